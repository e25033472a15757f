"""What the headers in a video's packets say: the proof that decoding may begin in the middle.

Reading a packet's headers costs some microseconds and decodes nothing. A video is regular if every packet shows exactly
one frame, its display order follows from the headers, nothing that a decoder keeps (parameter sets, sequence headers)
changes on the way, and the chain of references has no gap. Of a regular video in H.264 (CABAC), VP9 or AV1, the frames
from a start on do not depend on any packet before it. Of HEVC, MPEG and H.264 with CAVLC only the number of frames is
known from the headers, since their decoders pass over damage. Anything else, and any codec that is not here, is
`Irregular`. Wrong is thus only a header that is taken for regular and is not, so in doubt it is not.

Clauses are those of the codecs' specifications: ITU-T H.264, H.265, ISO/IEC 14496-2 (MPEG-4), 11172-2 and 13818-2
(MPEG-1 and 2), the VP9 and AV1 bitstream specifications.
"""

from collections.abc import Callable
from typing import Any

from actionprompt.video.bits import Bits, Irregular, Shown, Steps, payload, units_of
from actionprompt.video.h264 import read_h264


def reader(codec: str, extradata: bytes) -> Callable[[bytes], Shown]:
    """Called with every packet in decoding order, it returns what the packet shows.

    Raises:
        Irregular: from here and from the returned function.
    """
    if codec not in _READERS:
        raise Irregular(f"{codec} is decoded from the start")
    steps = _READERS[codec](extradata)

    def read(data: bytes | None) -> Any:
        try:
            return steps.send(data)
        except (IndexError, KeyError):
            raise Irregular("a header is cut or refers to nothing") from None

    read(None)  # as far as the first packet
    return read


# --- HEVC ----------------------------------------------------------------------------------------------------------


def _hevc(extradata: bytes) -> Steps:
    """Counted alone: FFmpeg reports neither blocks that damage leaves out of a frame, which then show what was in the
    buffer before, nor frames that it drops for want of a reference."""
    length_bytes = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" else 0  # hvcC
    shown: Shown | None = None
    random_access = 0
    while True:
        data = yield shown
        frames = 0
        for unit in units_of(data, length_bytes):
            kind = unit[0] >> 1
            if kind == 34:
                bits = payload(unit, 2)
                bits.golombs(2)
                if bits.take(2) & 1:
                    raise Irregular("hidden frames")
            elif kind <= 9 or kind in (19, 20, 21):
                if unit[0] & 1 or unit[1] >> 3:
                    raise Irregular("layers")
                first = unit[2] >> 7
                frames += first
                random_access += first and kind > 9
                if not frames or (kind > 9 and unit[2] >> 6 & 1):
                    raise Irregular("a packet is not exactly one frame, or drops others")
                if random_access < 2 and kind in (8, 9):
                    raise Irregular("begins with frames that refer to what is not there")
            elif kind not in (32, 33, 35, 38, 39, 40):
                raise Irregular(f"NAL unit of type {kind}")
        if frames != 1 or not random_access:
            raise Irregular("a packet is not exactly one frame")
        shown = Shown(None, random_access == 1)


# --- MPEG-1, 2 and 4 -----------------------------------------------------------------------------------------------

_TINY = 19  # FFmpeg takes an MPEG-4 packet of at most this many bytes for "repeat the last frame"


def _mpeg(extradata: bytes, start_code: bytes = b"\0\0\1\0", kinds: str = " IPB") -> Steps:
    """Counted alone: not all damage is reported, and how FFmpeg decodes MPEG-4 depends on what it has seen of the
    encoder's faults until then."""
    mpeg4 = kinds == "IPBS"
    shown: Shown | None = None
    references = 0
    while True:
        data = yield shown
        place = data.find(start_code) + len(start_code)
        if place < len(start_code) or data.find(start_code, place) >= 0 or (mpeg4 and len(data) <= _TINY):
            raise Irregular("a packet is not exactly one frame")
        kind = (data[place] >> 6) if mpeg4 else (data[place + 1] >> 3 & 7)
        extension = -1 if mpeg4 else data.find(b"\0\0\1\xb5", place) + 4  # the coding extension of a frame of MPEG-2
        if extension > 3 and data[extension] >> 4 == 8 and data[extension + 2] & 3 != 3:
            raise Irregular("coded as fields")
        if kinds[kind : kind + 1] in ("", " "):
            raise Irregular("a frame of unknown kind")
        if not references and kinds[kind] != "I":
            raise Irregular("begins without a key frame")
        references += kinds[kind] != "B"
        if references < 2 and kinds[kind] == "B":
            raise Irregular("begins with frames that refer to what is not there")
        shown = Shown(None, kinds[kind] == "I")


def _mpeg4(extradata: bytes) -> Steps:
    return _mpeg(extradata, b"\0\0\1\xb6", "IPBS")


# --- VP9 and AV1 ---------------------------------------------------------------------------------------------------


def _vp9(extradata: bytes) -> Steps:
    shown: Shown | None = None
    place = 0
    while True:
        data = yield shown
        frames, marker = [data], data[-1]
        if marker >> 5 == 6:  # annex B: superframes
            count, size = (marker & 7) + 1, (marker >> 3 & 3) + 1
            index = data[-2 - count * size :]
            if index[0] == marker and len(index) == 2 + count * size:
                sizes = [int.from_bytes(index[1 + k * size : 1 + (k + 1) * size], "little") for k in range(count)]
                if not all(sizes) or sum(sizes) + len(index) != len(data):
                    raise Irregular("a superframe is damaged")
                frames = [data[sum(sizes[:k]) : sum(sizes[: k + 1])] for k in range(count)]
        key, visible = False, 0
        for frame in frames:
            bits = Bits(frame[:5])
            if bits.take(2) != 2:
                raise Irregular("a header is damaged")
            if bits.take(1) + 2 * bits.take(1) == 3 and bits.take(1):
                raise Irregular("a header is damaged")
            if bits.take(1):  # an earlier frame is shown
                visible += 1
                continue
            inter, show = bits.take(1), bits.take(1)
            visible += show
            if not inter and bits.take(25) & 0xFFFFFF != 0x498342:
                raise Irregular("a header is damaged")
            key = not inter and bool(show) and len(frames) == 1
        if visible != 1:
            raise Irregular("a packet does not show exactly one frame")
        shown = Shown((place,), key)
        place += 1


def _av1(extradata: bytes) -> Steps:
    shown: Shown | None = None
    sequence = None
    place = 0
    while True:
        data = yield shown
        key, visible, frames, at = False, 0, 0, 0
        while at < len(data):
            header, at = data[at], at + 1
            if header & 0x85 or not header & 2:  # forbidden or reserved bit, layers, no size
                raise Irregular("layers, or a header is damaged")
            size = shift = 0
            while True:
                byte, at = data[at], at + 1
                size, shift = size | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
            unit, at = data[at : at + size], at + size
            kind = header >> 3 & 15
            if kind == 1:
                if sequence not in (None, unit) or (sequence is None and place) or unit[0] & 8:
                    raise Irregular("sequence headers change")
                sequence = unit
            elif kind in (3, 6):
                frames += 1
                existing, inter, show = unit[0] >> 7, unit[0] >> 5 & 3, unit[0] >> 4 & 1
                visible += existing or show
                key = not existing and not inter and bool(show)
            elif kind not in (2, 4, 5, 15):
                raise Irregular(f"open bitstream unit of type {kind}")
        if at != len(data) or visible != 1:
            raise Irregular("a packet does not show exactly one frame")
        shown = Shown((place,), key and frames == 1)
        place += 1


_READERS = {
    "h264": read_h264,
    "hevc": _hevc,
    "mpeg1video": _mpeg,
    "mpeg2video": _mpeg,
    "mpeg4": _mpeg4,
    "vp9": _vp9,
    "av1": _av1,
}
