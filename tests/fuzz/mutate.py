"""Seeded damage: the same seed gives the same bytes."""

import random

VALUES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1)


def mutate(data: bytes, seed: str) -> bytes:
    """One to three faults; never the input itself."""
    draw = random.Random(seed)
    while True:
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            if changed:
                draw.choice(FAULTS)(changed, draw)
        if changed != data:
            return bytes(changed)


def flip_bits(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def flip_in_header(data: bytearray, draw: random.Random) -> None:
    """Near the beginning or the end, where containers keep what they declare."""
    reach = min(len(data), draw.choice((64, 256, 1024)))
    place = draw.randrange(reach)
    data[place if draw.random() < 0.7 else -1 - place] ^= 1 << draw.randrange(8)


def set_field(data: bytearray, draw: random.Random) -> None:
    """An extreme number in 1, 2, 4 or 8 bytes, of either byte order."""
    size = draw.choice((1, 2, 4, 4, 8))
    reach = len(data) if draw.random() < 0.5 else min(len(data), 1024)
    place = draw.randrange(reach)
    if draw.random() < 0.3:
        place = max(0, len(data) - 1 - place)
    value = draw.choice(VALUES) & (1 << 8 * size) - 1
    data[place : place + size] = value.to_bytes(size, draw.choice(("big", "little")))[: len(data) - place]


def cut_end(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _block(data: bytearray, draw: random.Random) -> slice:
    start = draw.randrange(len(data))
    return slice(start, start + draw.choice((1, 4, 16, 188, 512, 4096)))


def remove(data: bytearray, draw: random.Random) -> None:
    del data[_block(data, draw)]


def zero(data: bytearray, draw: random.Random) -> None:
    where = _block(data, draw)
    data[where] = bytes(len(data[where]))


def scramble(data: bytearray, draw: random.Random) -> None:
    where = _block(data, draw)
    data[where] = draw.randbytes(len(data[where]))


def insert(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data) + 1)
    data[place:place] = draw.randbytes(draw.choice((1, 4, 16, 188, 512)))


def duplicate(data: bytearray, draw: random.Random) -> None:
    copy = bytes(data[_block(data, draw)])
    place = draw.randrange(len(data) + 1)
    data[place:place] = copy


def swap(data: bytearray, draw: random.Random) -> None:
    size = draw.choice((4, 16, 188, 512))
    one, two = (draw.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


FAULTS = (
    *(flip_bits, flip_bits, flip_bits, flip_in_header, set_field, set_field),
    *(cut_end, remove, zero, scramble, insert, duplicate, swap),
)
