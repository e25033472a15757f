"""Videos whose frames say which frame they are, in every codec, container and oddity that the wheel can write."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ROWS, COLUMNS = 4, 6  # 12 bits of the frame's number, then the same 12 bits inverted


def numbered_frame(number: int, height_px: int = 64, width_px: int = 96) -> np.ndarray:
    """uint8 [H, W, 3]: the number as dark and bright blocks that survive any codec, under noise that costs it bits."""
    bits = number >> np.arange(12) & 1
    grid = np.concatenate([bits, 1 - bits]).reshape(ROWS, COLUMNS)
    rows, columns = np.arange(height_px) * ROWS // height_px, np.arange(width_px) * COLUMNS // width_px
    noise = np.random.default_rng(number).integers(0, 50, (height_px, width_px, 3), np.uint8)
    return np.uint8(205 * grid)[rows][:, columns, None] + noise


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows; AssertionError if it shows none (wrong way round, smeared, mixed)."""
    height_px, width_px = frame.shape[:2]
    grid = np.empty((ROWS, COLUMNS))
    for row, column in itertools.product(range(ROWS), range(COLUMNS)):
        top, bottom = (int((row + part) * height_px / ROWS) for part in (0.3, 0.7))
        left, right = (int((column + part) * width_px / COLUMNS) for part in (0.3, 0.7))
        grid[row, column] = frame[top:bottom, left:right].mean()
    assert ((grid < 80) | (grid > 175)).all(), f"blocks are neither black nor white: {grid.round()}"
    bits = (grid.ravel() > 127).astype(int)
    assert (bits[:12] != bits[12:]).all(), f"not a numbered frame: {bits}"
    return int((bits[:12] << np.arange(12)).sum())


def numbers_of(frames: np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


def write_numbered(
    path: Path,
    num_frames: int,
    codec: str = "libx264",
    *,
    height_px: int = 64,
    width_px: int = 96,
    pix_fmt: str = "yuv420p",
    rate: int | Fraction = 25,
    gop: int = 12,
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    rotation: float = 0,
    hflip: bool = False,
    time_base: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    frames: Iterable[np.ndarray] | None = None,
    others: Iterable[str] = (),
) -> Path:
    """Writes numbered frames 0, 1, ... (or the given ones); pts in time_base (1 / rate if None).

    others: streams to put before the numbered one: "audio", "small" (a 32 x 32 video), "cover" (an attached picture).
    """
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        extra = [_add_other(container, kind) for kind in others]
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.options = options or {}
        if time_base:
            stream.time_base = stream.codec_context.time_base = time_base
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for other, frame in extra:
            container.mux(other.encode(frame) + other.encode(None))
        frames = frames or (numbered_frame(number, height_px, width_px) for number in range(num_frames))
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = pts[number] if pts else number
            frame.time_base = time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _add_other(container: Any, kind: str) -> tuple[Any, Any]:
    if kind == "audio":
        stream = container.add_stream("aac" if container.format.name != "avi" else "mp2", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        return stream, frame
    stream = container.add_stream("mjpeg", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
    if kind == "cover":
        stream.disposition = av.stream.Disposition.attached_pic
    return stream, av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)).reformat(format="yuvj420p")


def rewrite(source: Path, path: Path, edit: Callable[[int, Any], list[Any]]) -> Path:
    """Copies a video's packets; edit(place, packet) gives the packets to write instead of each."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for place, packet in enumerate(p for p in old.demux(stream) if p.size):
            for written in edit(place, packet):
                written.stream = copy
                new.mux(written)
    return path


def pack(source: Path, path: Path) -> Path:
    """Packs an MPEG-4 video as DivX and XviD do in AVI: the first B frame rides in the packet of the frame before it,
    and a tiny packet without content follows the last one. One more packet than frames, as in HMDB-51."""
    with av.open(str(source)) as old:
        data = [bytes(packet) for packet in old.demux(video=0) if packet.size]
    types = ["IPBS"[part[part.index(b"\0\0\1\xb6") + 4] >> 6] for part in data]
    header = data[0].index(b"\0\0\1\xb6")
    parts = [data[0][:header] + b"\0\0\1\xb2DivX503b1393p" + data[0][header:], b"\x7f"]  # it announces packed frames
    for place in range(1, len(data)):
        if types[place] == "B" != types[place - 1]:
            parts[-1] += data[place]
        else:
            parts.append(data[place])
        if types[place] == "B" and types[place + 1 : place + 2] != ["B"]:
            parts.append(b"\0\0\1\xb6\x5f\xff")
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for place, part in enumerate(parts):
            packet = av.Packet(part)
            packet.stream, packet.time_base, packet.pts, packet.dts = (
                copy,
                copy.time_base or Fraction(1, 25),
                place,
                place,
            )
            packet.is_keyframe = b"\0\0\1\xb6" in part and part[part.index(b"\0\0\1\xb6") + 4] >> 6 == 0
            new.mux(packet)
    return path


def strip_reordering(source: Path, path: Path) -> Path:
    """Copies an H.264 Main profile video without the part of its header that says how far frames are reordered."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        extra = stream.codec_context.extradata  # avcC: 6 bytes, then the length and bytes of the parameter set
        end = 8 + int.from_bytes(extra[6:8])
        header = extra[8:end].replace(b"\0\0\3", b"\0\0")
        bits = "".join(f"{byte:08b}" for byte in header)
        place = 32

        def number() -> int:  # Exp-Golomb
            nonlocal place
            zeros = bits.index("1", place) - place
            place += 2 * zeros + 1
            return int(bits[place - zeros - 1 : place], 2) - 1

        for _ in range(4):  # id, frame number's size, order count type (0, x264's) and size
            number()
        for step in range(3):  # reference frames (a flag follows), width, height
            number()
            place += step == 0
        assert bits[place] == "1"  # no fields
        place += 2
        cropped, place = bits[place] == "1", place + 1
        for _ in range(4 * cropped):
            number()
        assert bits[place] == "1"  # video usability information follows: drop it
        bits = bits[:place] + "01"
        header = bytes(int(f"{bits[k : k + 8]:0<8}", 2) for k in range(0, len(bits), 8))
        copy = new.add_stream_from_template(stream)
        copy.codec_context.extradata = extra[:6] + len(header).to_bytes(2) + header + extra[end:]
        for packet in (p for p in old.demux(stream) if p.size):
            packet.stream = copy
            new.mux(packet)
    return path
