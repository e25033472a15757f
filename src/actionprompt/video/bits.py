"""Bits of a bitstream, and what a packet is found to show."""

from collections.abc import Generator
from typing import Any, NamedTuple


class Irregular(Exception):
    """A video whose frames may depend on any packet before them; says why."""


class Shown(NamedTuple):
    """The frame that a packet shows."""

    order: tuple[int, ...] | None
    """Sorting by this gives the display order. None where decoding in the middle cannot be trusted: FFmpeg's decoder
    does not report all that damage does to a frame, or damage leaves traces in later frames."""
    start: bool
    """Whether decoding can start here."""
    reorder_limit: int | None = None
    """How many frames the stream itself says are buffered for reordering; None if it does not say."""


Steps = Generator[Any, Any, None]
"""Is sent a packet and yields what it shows; the first value, for no packet yet, is None."""


class Bits:
    """Reads bits from the most significant one on; runs out with `Irregular`."""

    def __init__(self, data: bytes):
        self.left, self.value = 8 * len(data), int.from_bytes(data)

    def take(self, num_bits: int) -> int:
        self.left -= num_bits
        if self.left < 0:
            raise Irregular("a header is cut")
        return self.value >> self.left & (1 << num_bits) - 1

    def golomb(self) -> int:
        """ue(v), clause 9.1 of H.264."""
        rest = self.value & (1 << self.left) - 1
        zeros = self.left - rest.bit_length()
        if zeros > 32:
            raise Irregular("a header is damaged")
        self.left -= 2 * zeros + 1
        if self.left < 0:
            raise Irregular("a header is cut")
        return (rest >> self.left) - 1

    def golombs(self, count: int) -> list[int]:
        return [self.golomb() for _ in range(count)]

    def signed(self) -> int:
        """se(v)."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def units_of(data: bytes, length_bytes: int) -> list[bytes]:
    """The NAL units of a packet, with 4, 2 or 1 bytes of length before each, or (0) start codes as in Annex B."""
    if not length_bytes:
        first, *units = data.split(b"\0\0\1")
        if first.strip(b"\0"):
            raise Irregular("bytes before the first start code")
        return [unit.rstrip(b"\0") for unit in units]
    units, place = [], 0
    while place < len(data):
        end = place + length_bytes + int.from_bytes(data[place : place + length_bytes])
        units.append(data[place + length_bytes : end])
        place = end
    if place != len(data):
        raise Irregular("a NAL unit is cut")
    return units


def payload(unit: bytes, header_bytes: int, limit: int = 1 << 12) -> Bits:
    """The bits after the NAL unit's header, without emulation prevention."""
    return Bits(unit[header_bytes:limit].replace(b"\0\0\3", b"\0\0"))
