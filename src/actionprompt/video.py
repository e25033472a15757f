"""Video files and image folders -> RGB frames: the only file that uses a video decoder.

A frame's index is its position in display order, counted from 0. What a container declares (number of frames,
timestamps) is not trusted: `_scan` demuxes the whole file once, without decoding, and derives the display order of the
frames from the packets; where packets are not sufficient, the video is decoded once from start to end instead.
Reading then decodes only the packets that the requested frames depend on.

Letters: N requested frames, H height, W width, P packets in decoding order.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Bool, Float64, Int64, Integer, UInt8
from PIL import Image, ImageOps

from actionprompt.clips import IMAGE_SUFFIXES, is_image

# fmt: off
# Codecs in which every packet contains exactly one displayed frame, so that packets can be counted instead of frames.
# Not VP8: its hidden reference frames have packets of their own.
_ONE_FRAME_PER_PACKET = frozenset((
    "av1", "ffv1", "gif", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "prores", "vp9",
))
# fmt: on
# Codecs whose decoder knows from the bitstream which frames no other frame refers to, and can skip them. Not HEVC: its
# "non-reference" frames may still be referred to by a higher temporal layer.
_CAN_SKIP = frozenset(("h264", "mpeg1video", "mpeg2video", "mpeg4"))
# Demuxing through this many bytes costs about as much as a seek.
_SEEK_BYTES = 4 << 20
# Up to this frame size, passing frames between threads costs more time than multithreaded decoding saves.
_THREAD_PX = 640 * 360


class VideoDecodeError(ValueError):
    """A video cannot be read; the message is one line with the file and the reason."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple:  # a data-loader worker pickles it
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class VideoInfo:
    """What a video contains. Height and width are those of the frames that `read_frames` returns, after rotation."""

    num_frames: int
    """Displayed frames: counted, not as declared by the container."""
    fps: float | None
    """Mean frames per second; None for an image folder, which has no timestamps."""
    height_px: int
    width_px: int
    duration_s: float | None
    """From the start of the first frame to the end of the last one; None for an image folder."""


@dataclass(frozen=True, eq=False)
class _Table:
    """Where every frame of one video is. Arrays are indexed by packet in decoding order, times_s by frame."""

    num_frames: int
    duration_s: float | None = None
    times_s: Float64[np.ndarray, " num_frames"] | None = None
    images: tuple[Path, ...] = ()
    stream: int = 0
    rank: Int64[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Display index of the frame in this packet; -1 if it displays none."""
    starts: Bool[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, bool))
    """Whether decoding can start at this packet."""
    reorder_depth: int = 0
    """How many frames the decoder must buffer to output them in display order."""
    offset: Int64[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Bytes of this stream before this packet."""
    pts: tuple[int | None, ...] = ()
    """Timestamps of the packets, if they can identify a packet after a seek; else empty."""


def count_frames(path: str | Path) -> int:
    """The number of displayed frames: all that sampling needs, and cheaper than `probe`.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    return _table(path).num_frames


def probe(path: str | Path) -> VideoInfo:
    """Counts the frames, and decodes the first one for its size.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    table = _table(path)
    height_px, width_px = read_frames(path, [0]).shape[1:3]
    fps = table.num_frames / table.duration_s if table.duration_s else None
    return VideoInfo(table.num_frames, fps, height_px, width_px, table.duration_s)


def frame_times(path: str | Path, indices: Sequence[int] | Integer[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Seconds from the first frame to each of these, by timestamps if they are valid, else by the mean frame rate.

    Raises:
        ValueError: an index is out of range.
        VideoDecodeError: the video cannot be read, or is an image folder, which has no timestamps.
    """
    table = _table(path)
    if table.times_s is None:
        raise VideoDecodeError(path, "an image folder has no timestamps; use frame indices")
    return table.times_s[_checked(path, indices, table.num_frames)]


def read_frames(
    path: str | Path, indices: Sequence[int] | Integer[np.ndarray, " N"], *, short_side_px: int | None = None
) -> UInt8[np.ndarray, "N H W 3"]:
    """The frames at these display indices, as uint8 RGB, rotated and mirrored as the file's metadata says.

    Indices may repeat and be in any order; each frame is decoded once. A requested frame that is missing or corrupt is
    an error, never replaced. Corrupt is what the decoder reports; the decoders of VP9 and GIF miss much of it. Pixels
    are assumed to be square, as is usual in the field. A data-loader worker decodes in one thread, other processes in
    four if frames are large.

    `short_side_px` shrinks the frames so that the short side has this size, keeping the aspect ratio; frames are never
    enlarged. Videos are resized by swscale's bicubic in their own 4:2:0 before rotation, images by Pillow's bicubic.
    It saves time, but only None gives the pixels from which CLIP's own resize can be reproduced exactly.

    Raises:
        ValueError: no indices, an index out of range, or `short_side_px` below 1.
        VideoDecodeError: the file cannot be read, or a requested frame cannot be decoded.
    """
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"expected short_side_px >= 1 or None, got {short_side_px}")
    table = _table(path)
    wanted = _checked(path, indices, table.num_frames)
    if not wanted:
        raise ValueError(f"{path}: no frame indices given; expected at least one")
    read = _read_images if table.images else _read_video
    return read(str(path), table, wanted, short_side_px)


def write_video(
    path: str | Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float, *, qp: int = 18, gop: int = 12
) -> None:
    """Writes uint8 RGB frames as H.264: 4:2:0, constant quantiser `qp`, a key frame every `gop` frames (1: intra only).

    One thread, no dates, no version tags: the same frames give the same bytes.

    Raises:
        ValueError: no frames, frames of different or odd sizes (4:2:0 needs even ones), or `fps` not above 0. A
            partly written file is deleted.
    """
    if not fps > 0:
        raise ValueError(f"{path}: expected fps > 0, got {fps}")
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    size_px = None
    try:
        with av.open(f"file:{os.path.abspath(path)}", "w", container_options=options) as container:
            for place, pixels in enumerate(frames):
                if size_px is None:
                    size_px = height_px, width_px = pixels.shape[:2]
                    if height_px % 2 or width_px % 2:
                        raise ValueError(f"{path}: H.264 needs even sizes, got {_by(size_px)} px; crop or pad by 1")
                    stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                    stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
                    stream.codec_context.gop_size = gop
                    stream.codec_context.thread_count = 1
                    stream.options = {"qp": str(qp), "preset": "veryfast", "flags": "+bitexact"}
                elif pixels.shape[:2] != size_px:
                    raise ValueError(f"{path}: frame {place} is {_by(pixels.shape)} px, frame 0 is {_by(size_px)}")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            if size_px is None:
                raise ValueError(f"{path}: no frames to write")
            container.mux(stream.encode(None))
    except ValueError:
        Path(path).unlink(missing_ok=True)
        raise


def _by(size_px: Sequence[int]) -> str:
    return f"{size_px[0]}x{size_px[1]}"


def _checked(path: str | Path, indices: Sequence[int] | np.ndarray, num_frames: int) -> list[int]:
    wanted = np.asarray(indices)
    if wanted.size == 0:
        return []
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise ValueError(f"{path}: expected a flat list of frame indices, got {wanted.dtype} of shape {wanted.shape}")
    outside = wanted[(wanted < 0) | (wanted >= num_frames)]
    if outside.size:
        raise ValueError(f"{path}: frame {outside[0]} asked for, but there are frames 0 to {num_frames - 1}")
    return wanted.tolist()


def _places(indices: list[int]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    return places


def _empty_frames(num_frames: int, size_px: tuple[int, int], short_side_px: int | None) -> np.ndarray:
    shrink = min(Fraction(1), Fraction(short_side_px or min(size_px), min(size_px)))
    return np.empty((num_frames, *(max(1, round(side * shrink)) for side in size_px), 3), np.uint8)


def _table(path: str | Path) -> _Table:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise VideoDecodeError(path, "no such file or folder") from None
    except OSError as error:
        raise VideoDecodeError(path, error.strerror or str(error)) from None
    return _cached_table(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _cached_table(path: str, mtime_ns: int, num_bytes: int) -> _Table:
    if os.path.isdir(path):
        return _scan_images(path)
    if num_bytes == 0:
        raise VideoDecodeError(path, "the file is empty")
    if num_bytes < _matroska_bytes(path):
        raise VideoDecodeError(path, f"truncated: has {num_bytes} of its {_matroska_bytes(path)} bytes")
    try:
        return _scan(path)
    except (av.FFmpegError, OSError) as error:
        raise VideoDecodeError(path, _reason(error)) from None


# --- video files ---------------------------------------------------------------------------------------------------


def _open(path: str, *, guess: bool = False) -> Any:
    """The container. With guess, FFmpeg decodes some frames to find what the header lacks; 2 to 10 ms for H.264."""
    options = {} if guess else {"codec_whitelist": "none"}
    # "file:" so that a colon in a name is not taken for a protocol; metadata is not used, so its encoding is ignored
    return av.open(f"file:{os.path.abspath(path)}", options=options, metadata_errors="replace")


def _reason(error: Exception) -> str:
    return f"not readable as video ({getattr(error, 'strerror', None) or error})"


def _pick_stream(path: str, container: Any) -> Any:
    hidden = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & hidden]
    if not streams:
        kinds = sorted({"image" if stream.type == "video" else stream.type for stream in container.streams})
        raise VideoDecodeError(path, f"contains no video stream, only {', '.join(kinds) or 'nothing'}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoDecodeError(path, "no decoder for its video codec")
    return stream


def _matroska_bytes(path: str) -> int:
    """Declared size of a Matroska or WebM file, 0 for other files. FFmpeg reads a truncated one without an error."""
    with open(path, "rb") as file:
        head = file.read(64)
    segment = head.find(b"\x18\x53\x80\x67")
    size = head[segment + 4 : segment + 12]  # EBML: n leading zero bits: n + 1 bytes; all value bits 1: unknown
    if not head.startswith(b"\x1a\x45\xdf\xa3") or segment < 0 or size[:1] in (b"", b"\0"):
        return 0
    num_bytes = 9 - size[0].bit_length()
    unknown = (1 << 7 * num_bytes) - 1
    value = int.from_bytes(size[:num_bytes]) & unknown
    return 0 if value == unknown else segment + 4 + num_bytes + value


_VOP_START = re.compile(b"\0\0\1\xb6(.)", re.DOTALL)


def _packets(path: str, container: Any, stream: Any) -> Iterator[tuple[Any, str]]:
    """The stream's packets in decoding order, each with its MPEG-4 frame type (I, P, B, S), "" for other codecs.

    MPEG-4 in AVI may pack two frames into one packet, followed by an empty one; here every packet has one frame.
    """
    for other in container.streams:
        other.discard = av.stream.Discard.default if other is stream else av.stream.Discard.all
    unpack = None
    if stream.codec_context.name == "mpeg4":
        unpack = av.bitstream.BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise VideoDecodeError(path, "truncated or corrupt: a packet is incomplete")
        if unpack is not None:
            for part in unpack.filter(packet if packet.size else None):
                if vop := _VOP_START.search(part):
                    yield part, "IPBS"[vop[1][0] >> 6]
        elif packet.size:  # an empty packet would flush the decoder
            yield packet, ""


def _scan(path: str) -> _Table:
    with _open(path) as container:
        stream = _pick_stream(path, container)
        codec = stream.codec_context.codec.canonical_name
        fields = [
            (packet.pts, packet.is_keyframe, packet.is_discard, packet.size, packet.duration, kind)
            for packet, kind in _packets(path, container, stream)
        ]
        number, container_name, second = stream.index, container.format.name, float(stream.time_base)
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        listed = stream.index_entries if "mp4" in container_name and codec != "mpeg4" else ()
        if len(listed) > len(fields) < sum(entry.size > 0 for entry in listed):
            raise VideoDecodeError(path, f"truncated: its index lists {len(listed)} frames, it contains {len(fields)}")
    if not fields:
        raise VideoDecodeError(path, "its video stream is empty")
    pts, key, discard, sizes, durations, types = zip(*fields)

    shown = np.flatnonzero(~np.array(discard))
    stamps = np.array([pts[place] for place in shown if pts[place] is not None], np.int64)
    sane = len(stamps) == len(shown) == len(np.unique(stamps)) and container_name != "avi"
    starts = np.array(key) & ~np.array(discard)
    if codec == "mpeg4":
        starts &= np.array(types) == "I"
    # tiny packets mean "repeat the last frame" (19 bytes is FFmpeg's bound); frames before the first key frame are not
    # displayed
    if codec == "mpeg4" and starts[0] and min(sizes) > 19 and types[1:2] != ("B",):
        order = _order_of_types(types)
        order = order[np.isin(order, shown)]
    elif sane and codec in _ONE_FRAME_PER_PACKET and key[0] and pts[0] is not None and pts[0] <= stamps.min():
        order = shown[np.argsort(stamps)]
    else:
        order = _order_by_decoding(path)
        starts[1:] = False
    num_frames = len(order)
    if not num_frames:
        raise VideoDecodeError(path, f"none of its {len(fields)} video packets can be decoded")
    rank = np.full(len(fields), -1)
    rank[order] = np.arange(num_frames)

    shown_pts = [pts[place] for place in order]
    if container_name != "avi" and None not in shown_pts and (np.diff(shown_pts) > 0).all():
        times_s = (np.array(shown_pts, np.int64) - shown_pts[0]) * second
        duration_s = float(times_s[-1]) + ((durations[order[-1]] or 0) * second or (1 / rate if rate else 0.0))
    elif rate:
        times_s, duration_s = np.arange(num_frames) / rate, num_frames / rate
    else:
        raise VideoDecodeError(path, "has neither timestamps nor a frame rate")
    return _Table(
        num_frames=num_frames,
        duration_s=duration_s,
        times_s=times_s,
        stream=number,
        rank=rank,
        starts=starts,
        # largest number of frames that precede a frame in decoding order and follow it in display order
        reorder_depth=int((np.arange(num_frames) - rank[rank >= 0]).max()),
        offset=np.cumsum(sizes) - sizes,
        pts=pts if sane and codec != "mpeg4" else (),
    )


def _order_of_types(types: Iterable[str]) -> np.ndarray:
    """Display order of MPEG-4 frames: a reference frame comes after the B frames that follow it in decoding order."""
    order: list[int] = []
    waiting: list[int] = []
    for place, kind in enumerate(types):
        if kind == "B":
            order.append(place)
        else:
            order += waiting
            waiting = [place]
    return np.array(order + waiting)


def _order_by_decoding(path: str) -> np.ndarray:
    """Packet numbers in display order, by decoding the whole video; for files whose packets are not sufficient."""
    with _open(path, guess=True) as container:
        stream = _pick_stream(path, container)
        _set_threads(stream.codec_context)
        order = []
        for place, (packet, _) in enumerate(_packets(path, container, stream)):
            packet.pts = place
            order += [frame.pts for frame in stream.codec_context.decode(packet)]
        order += [frame.pts for frame in stream.codec_context.decode(None)]
    if len(set(order)) != len(order):
        raise VideoDecodeError(path, "some packets contain several frames; re-encode it: ffmpeg -i OLD NEW.mp4")
    return np.array(order, np.int64)


def _set_threads(codec: Any) -> None:
    one = parent_process() is not None or os.cpu_count() == 1  # a data-loader worker uses one core
    codec.thread_type = "AUTO"
    codec.thread_count = 1 if one or codec.width * codec.height <= _THREAD_PX else 4


def _ranges(table: _Table, wanted: list[int]) -> list[tuple[int, int]]:
    """Ranges [start, stop) of packets to decode for the frames of these packets.

    A range starts at the last possible start at or before the packet whose frame is not displayed after the packet's:
    in an open GOP, frames that follow a key frame in decoding order but precede it in display order may refer to
    frames before it.
    """
    starts = np.flatnonzero(table.starts)
    ranges: list[tuple[int, int]] = []
    for place in wanted:
        usable = starts[(starts <= place) & (table.rank[starts] <= table.rank[place])]
        start = int(usable[-1]) if len(usable) else 0
        while ranges and start < ranges[-1][1]:
            start = min(start, ranges.pop()[0])
        ranges.append((start, place + 1))
    return ranges


def _decode(path: str, table: _Table, ranges: list[tuple[int, int]], keep: Collection[int]) -> Iterator[Any]:
    """Yields (start of range, frame) for these ranges of packets; frame.pts is set to the number of its packet.

    Frames of packets that are not in `keep` may be skipped if no other frame refers to them.
    """
    with _open(path) as container:
        stream = container.streams[table.stream]
        codec = stream.codec_context
        _set_threads(codec)
        can_skip = codec.name in _CAN_SKIP
        packets: Iterator[tuple[int, Any]] = ((k, p) for k, (p, _) in enumerate(_packets(path, container, stream)))
        place = -1
        for start, stop in ranges:
            if table.pts and table.offset[start] - table.offset[max(0, place)] > _SEEK_BYTES:
                place_of = {pts: number for number, pts in enumerate(table.pts)}
                container.seek(table.pts[start], stream=stream)
                packets = ((place_of.get(p.pts, -1), p) for p, _ in _packets(path, container, stream))
            codec.reorder_depth = table.reorder_depth  # flushing resets it
            for place, packet in packets:
                if place < start:
                    continue
                if can_skip:
                    codec.skip_frame = "DEFAULT" if place in keep else "NONREF"
                packet.pts = place
                for frame in codec.decode(packet):
                    yield start, frame
                if place + 1 >= stop:
                    break
            for frame in codec.decode(None):
                yield start, frame
            codec.flush_buffers()


def _read_video(
    path: str, table: _Table, indices: list[int], short_side_px: int | None, *, linear: bool = False
) -> np.ndarray:
    """Decodes only the needed packets; if that fails (a false key frame, a failed seek), decodes from the start.

    Decoding from the start is what a player does; if that fails too, the file is corrupt.
    """
    places = _places(indices)
    shown = np.flatnonzero(table.rank >= 0)
    packet_of = shown[np.argsort(table.rank[shown])]
    wanted = sorted(packet_of[list(places)].tolist())
    ranges = [(0, wanted[-1] + 1)] if linear else _ranges(table, wanted)
    scale, to_rgb = VideoReformatter(), VideoReformatter()
    frames, size_px, damage = None, (0, 0), ""
    try:
        for start, frame in _decode(path, table, ranges, range(wanted[-1] + 1) if linear else set(wanted)):
            index = int(table.rank[frame.pts])
            if frame.is_corrupt and index >= max(0, table.rank[start]):
                damage = f"frame {index} of {table.num_frames} is corrupt"
                break
            if index not in places:
                continue
            swap, step_y, step_x = _orientation(path, frame)
            new_size_px = (frame.width, frame.height) if swap else (frame.height, frame.width)
            if frames is None:
                size_px = new_size_px
                frames = _empty_frames(len(indices), size_px, short_side_px)
            elif new_size_px != size_px:
                raise VideoDecodeError(path, f"frame {index} is {_by(new_size_px)} px, others are {_by(size_px)}")
            first, *others = places.pop(index)
            as_stored = frames[first, ::step_y, ::step_x]
            _convert(frame, scale, to_rgb, as_stored.swapaxes(0, 1) if swap else as_stored)
            for place in others:
                frames[place] = frames[first]
        if places and not damage:
            damage = f"frame {min(places)} of {table.num_frames} cannot be decoded"
    except (av.FFmpegError, OSError) as error:
        damage = _reason(error)
    if not damage:
        assert frames is not None
        return frames
    if linear:
        raise VideoDecodeError(path, damage)
    return _read_video(path, table, indices, short_side_px, linear=True)


def _orientation(path: str, frame: Any) -> tuple[bool, int, int]:
    """The display matrix as: whether to swap rows and columns, then the step (1 or -1) along y and along x."""
    data = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, 1, 1
    # ISO/IEC 14496-12, 6.2.2: a stored point (x, y) is displayed at (a x + c y, b x + d y), y downwards
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].tolist()
    if min(abs(a), abs(b)) > 0.02 * max(abs(a), abs(b)):
        degrees = np.degrees(np.arctan2(b, a))
        raise VideoDecodeError(path, f"is rotated by {degrees:.0f} degrees; only multiples of 90 are supported")
    swap = abs(b) > abs(a)
    return swap, -1 if (b if swap else d) < 0 else 1, -1 if (c if swap else a) < 0 else 1


def _convert(frame: Any, scale: VideoReformatter, to_rgb: VideoReformatter, out: np.ndarray) -> None:
    """Writes a decoded frame as RGB to `out`, uint8 [H, W, 3] in any memory layout, resized to its size."""
    height_px, width_px = out.shape[:2]
    if (height_px, width_px) != (frame.height, frame.width) and frame.format.name in ("yuv420p", "yuvj420p"):
        # resized in its own format: five times faster than during conversion, and with the same colour arithmetic
        frame = scale.reformat(frame, width_px, height_px, interpolation="BICUBIC", threads=1)
    plane = to_rgb.reformat(frame, width_px, height_px, "rgb24", interpolation="BICUBIC", threads=1).planes[0]
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(height_px, plane.line_size)[:, : 3 * width_px]
    out[...] = pixels.reshape(height_px, width_px, 3)


# --- image folders -------------------------------------------------------------------------------------------------


def _scan_images(path: str) -> _Table:
    names = sorted(name for name in os.listdir(path) if is_image(name))
    if not names:
        raise VideoDecodeError(path, f"a folder without images (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    numbered: dict[int, str] = {}
    for name in names:
        digits = re.findall(r"\d+", os.path.splitext(name)[0])
        if not digits:
            raise VideoDecodeError(path, f"image {name} has no number in its name, so its position is unknown")
        number = int(digits[-1])
        if number in numbered:
            raise VideoDecodeError(path, f"images {numbered[number]} and {name} have the same number")
        numbered[number] = name
    first, last = min(numbered), max(numbered)
    if len(numbered) != last - first + 1:
        hole = next(number for number in range(first, last) if number not in numbered)
        raise VideoDecodeError(path, f"image {hole} is missing ({len(names)} images, numbered {first} to {last})")
    return _Table(len(numbered), images=tuple(Path(path, numbered[number]) for number in sorted(numbered)))


def _read_images(path: str, table: _Table, indices: list[int], short_side_px: int | None) -> np.ndarray:
    frames, size_px = None, (0, 0)
    for index, places in _places(indices).items():
        name = table.images[index].name
        try:
            with Image.open(table.images[index]) as file:
                image = ImageOps.exif_transpose(file).convert("RGB")
        except OSError as error:
            raise VideoDecodeError(path, f"image {name} cannot be read ({error})") from None
        if frames is None:
            size_px = image.height, image.width
            frames = _empty_frames(len(indices), size_px, short_side_px)
        elif (image.height, image.width) != size_px:
            raise VideoDecodeError(path, f"image {name} is {image.height}x{image.width} px, others are {_by(size_px)}")
        target = frames.shape[2], frames.shape[1]
        frames[places] = image if image.size == target else image.resize(target, Image.Resampling.BICUBIC)
    assert frames is not None
    return frames
