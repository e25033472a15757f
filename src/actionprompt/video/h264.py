"""H.264: the display order of frames, and whether the chain of references has a gap, from headers (ITU-T H.264)."""

from actionprompt.video.bits import Bits, Irregular, Shown, Steps, payload, units_of


class _Sets:
    """Parameter sets by kind and number. After the first packet sets may be repeated, but neither changed nor added."""

    def __init__(self) -> None:
        self.raw: dict[tuple[int, int], bytes] = {}
        self.read: dict[tuple[int, int], dict[str, int]] = {}
        self.closed = False

    def add(self, kind: int, unit: bytes, values: dict[str, int]) -> None:
        key = kind, values["id"]
        if self.raw.get(key, None if self.closed else unit) != unit:
            raise Irregular("parameter sets change")
        self.raw[key], self.read[key] = unit, values


def _order_count(reference: int, low_bits: int, bound: int) -> int:
    """The order count with these low bits that is next to that of the reference."""
    count = reference - reference % bound + low_bits
    if reference - count >= bound // 2:
        return count + bound
    return count - bound if count - reference > bound // 2 else count


def read_h264(extradata: bytes) -> Steps:
    sets, length_bytes = _Sets(), 0
    if extradata[:1] == b"\1":  # avcC
        length_bytes, place, counts = (extradata[4] & 3) + 1, 6, extradata[5] & 31
        for _ in range(2):  # sequence, then frame parameter sets (SPS, PPS)
            for _ in range(counts):
                size = int.from_bytes(extradata[place : place + 2])
                _h264_set(sets, extradata[place + 2 : place + 2 + size])
                place += 2 + size
            counts, place = (extradata[place] if place < len(extradata) else 0), place + 1
    else:
        for unit in units_of(extradata, 0):
            _h264_set(sets, unit)
    shown: Shown | None = None
    epoch = reference = reference_poc = -1
    while True:
        data = yield shown
        recovers, header, last_mb, limit = False, None, -1, None
        for unit in units_of(data, length_bytes):
            kind = unit[0] & 31
            if kind in (7, 8):
                _h264_set(sets, unit)
            elif kind == 6:
                recovers = recovers or _recovery_point(unit)
            elif kind in (1, 5):
                first_mb, *fields, limit = _h264_slice(sets, unit)
                if header not in (None, fields) or first_mb <= last_mb or (header is None) != (first_mb == 0):
                    raise Irregular("a packet is not exactly one frame")
                header, last_mb = fields, first_mb
            elif kind not in (9, 12):
                raise Irregular(f"NAL unit of type {kind}")
        if header is None:
            raise Irregular("a packet without a frame")
        sets.closed = True
        intra, idr, is_reference, frame_num, max_frame_num, poc_lsb, max_poc_lsb, bottom, cabac = header
        if idr:
            epoch, reference_poc = epoch + 1, 0
            if frame_num or not is_reference or not intra:
                raise Irregular("an IDR frame that is none")
        elif reference >= 0 and frame_num != (reference + 1) % max_frame_num:
            raise Irregular("frame numbers have a gap")
        # clause 8.2.1.1; without low bits (type 2), in decoding order
        poc = _order_count(reference_poc, poc_lsb, max_poc_lsb) if max_poc_lsb else reference_poc + 1
        if is_reference or not max_poc_lsb:
            reference_poc = poc
        if is_reference:
            reference = frame_num
        # after an error in CAVLC, FFmpeg adds coefficients of the damaged block to the next frame
        order = (epoch, min(poc, poc + bottom)) if cabac else None
        shown = Shown(order, bool(idr or (intra and recovers)), limit)


def _h264_set(sets: _Sets, unit: bytes) -> None:
    if unit[:1] and unit[0] & 31 == 7:
        sets.add(7, unit, _h264_sps(payload(unit, 1)))
    elif unit[:1] and unit[0] & 31 == 8:
        bits = payload(unit, 1)
        number, sps, cabac, bottom, groups = bits.golomb(), bits.golomb(), bits.take(1), bits.take(1), bits.golomb()
        if groups:
            raise Irregular("slice groups")
        bits.golombs(2)  # numbers of references
        bits.take(3)  # weighted prediction
        bits.golombs(3)  # quantisers
        bits.take(2)  # deblocking, constrained intra prediction
        if bits.take(1):
            raise Irregular("redundant slices")
        sets.add(8, unit, {"id": number, "sps": sps, "bottom": bottom, "cabac": cabac})


def _h264_sps(bits: Bits) -> dict[str, int]:
    profile = bits.take(24) >> 16
    number, planes = bits.golomb(), 0
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma = bits.golomb()
        planes = bits.take(1) if chroma == 3 else 0
        bits.golombs(2)
        bits.take(1)
        if bits.take(1):  # scaling matrices
            for place in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    last = scale = 8
                    for _ in range(16 if place < 6 else 64):
                        scale = (last + bits.signed()) % 256 if scale else 0
                        last = scale or last
    values = {"id": number, "planes": planes, "max_frame_num": 1 << bits.golomb() + 4, "max_poc_lsb": 0}
    order_type = bits.golomb()
    if order_type == 0:
        values["max_poc_lsb"] = 1 << bits.golomb() + 4
    elif order_type != 2:
        raise Irregular("order count of type 1")
    bits.golomb()
    bits.take(1)
    bits.golombs(2)
    values["frames_only"] = bits.take(1)
    bits.take(1 if values["frames_only"] else 2)
    if bits.take(1):  # cropping
        bits.golombs(4)
    values["reorder"] = _h264_reorder(bits) if bits.take(1) else -1
    return values


def _h264_reorder(bits: Bits) -> int:
    """max_num_reorder_frames of the video usability information (annex E), -1 if it is not there."""
    if bits.take(1) and bits.take(8) == 255:  # aspect ratio
        bits.take(32)
    if bits.take(1):  # overscan
        bits.take(1)
    if bits.take(1):  # video signal
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):  # place of chroma samples
        bits.golombs(2)
    if bits.take(1):  # timing
        bits.take(65)
    reference_decoders = 0
    for _ in range(2):
        if bits.take(1):
            reference_decoders += 1
            count = bits.golomb() + 1
            if count > 32:
                raise Irregular("a header is damaged")
            bits.take(8)
            for _ in range(count):
                bits.golombs(2)
                bits.take(1)
            bits.take(20)
    if reference_decoders:
        bits.take(1)
    bits.take(1)
    if not bits.take(1):
        return -1
    bits.take(1)
    return bits.golombs(6)[4]


def _h264_slice(sets: _Sets, unit: bytes) -> list:
    """[first macroblock, intra, IDR, reference, frame number and its bound, order count and its bound, offset of the
    bottom field, CABAC, reordering limit]."""
    if unit[0] >> 7:
        raise Irregular("a header is damaged")
    bits, idr, is_reference = payload(unit, 1, 40), unit[0] & 31 == 5, unit[0] >> 5 > 0
    first_mb, kind, number = bits.golombs(3)
    pps = sets.read[8, number]
    sps = sets.read[7, pps["sps"]]
    if sps["planes"]:
        raise Irregular("separate colour planes")
    frame_num = bits.take(sps["max_frame_num"].bit_length() - 1)
    if not sps["frames_only"] and bits.take(1):
        raise Irregular("coded as fields")
    if idr:
        bits.golomb()
    poc_lsb = bottom = 0
    if sps["max_poc_lsb"]:
        poc_lsb = bits.take(sps["max_poc_lsb"].bit_length() - 1)
        bottom = bits.signed() if pps["bottom"] else 0
    intra = kind % 5 == 2
    if idr and intra and bits.take(1):
        raise Irregular("frames are dropped at an IDR frame")
    limit = sps["reorder"] if sps["reorder"] >= 0 else None
    frame = [intra, idr, is_reference, frame_num, sps["max_frame_num"], poc_lsb, sps["max_poc_lsb"], bottom]
    return [first_mb, *frame, pps["cabac"], limit]


def _recovery_point(unit: bytes) -> bool:
    """Whether an SEI message says that output is right from this frame on (payload 6, no frames to wait for)."""
    data, place = unit.replace(b"\0\0\3", b"\0\0"), 1
    while place + 2 < len(data):
        kind = size = 0
        while data[place] == 255:
            kind, place = kind + 255, place + 1
        kind, place = kind + data[place], place + 1
        while data[place] == 255:
            size, place = size + 255, place + 1
        size, place = size + data[place], place + 1
        if kind == 6:
            return data[place] >> 7 == 1
        place += size
    return False
