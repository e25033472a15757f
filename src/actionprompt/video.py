"""Video files and picture folders -> RGB frames: the only file that knows a decoder.

A frame's index is its place in display order, counted from 0. What a container declares (frame count, time stamps) is
not believed: `_scan` reads every packet once, without decoding, and builds the table from packets to display order;
where that order cannot be proved from the packets, the video is decoded through once instead. Reading then sends the
decoder only the packets that the wanted frames need.

Letters: N frames asked for, H height, W width, P packets in decoding order.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, Integer, UInt8
from PIL import Image, ImageOps

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
PICTURE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".webp"])

# Codecs whose every packet holds exactly one shown frame, so that packets can be counted instead of frames. Not VP8:
# its hidden reference frames are packets of their own.
_ONE_FRAME_PER_PACKET = frozenset(
    ["av1", "ffv1", "gif", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "prores", "vp9"]
)
# Of these (and MPEG-4), the ones whose key packets really are places where decoding can begin.
_KEYS_ARE_STARTS = frozenset(
    ["av1", "ffv1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "prores", "vp9"]
)
# A reordering decoder may drop what no other frame refers to; these decide that from the bitstream, exactly. HEVC's
# sub-layer non-reference pictures may still serve a higher layer, so HEVC is not here.
_CAN_SKIP = frozenset(["h264", "mpeg1video", "mpeg2video", "mpeg4"])
# Demuxing through this many bytes costs about as much as a seek.
_SEEK_BYTES = 4 << 20


class VideoDecodeError(ValueError):
    """A video that cannot be read; one line that names the file and the reason."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self):  # loader workers send it through a pipe
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds. Height and width are those of the frames `read_frames` returns, after rotation."""

    num_frames: int
    """Frames that can be shown, counted, not declared."""
    fps: float | None
    """Mean frames per second; None for a picture folder, which carries no time."""
    height_px: int
    width_px: int
    duration_s: float | None
    """From the first frame's appearance to the last one's end; None for a picture folder."""


@dataclass(frozen=True, eq=False)
class _Table:
    """Where every frame of one video is. Arrays run over packets in decoding order, except times_s."""

    info: VideoInfo
    times_s: Float64[np.ndarray, " num_frames"] | None
    pictures: tuple[Path, ...] = ()
    stream: int = 0
    rank: Integer[np.ndarray, " P"] | None = None
    """Display index of the frame in this packet; -1 where none is shown."""
    key: np.ndarray | None = None
    dts: tuple[int | None, ...] = ()
    offset: np.ndarray | None = None
    """Bytes of this stream before the packet."""
    reorder_depth: int = 0


def is_video(path: str | Path) -> bool:
    """True for a file with a video suffix and for a picture folder (pictures, no subfolders). Opens no file."""
    path = Path(path)
    if path.is_file():
        return path.suffix.lower() in VIDEO_SUFFIXES
    if not path.is_dir():
        return False
    has_picture = False
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                return False
            has_picture = has_picture or _is_picture(entry.name)
    return has_picture


def probe(path: str | Path) -> VideoInfo:
    """Counts the frames, and finds size, rate and duration. VideoDecodeError if the video cannot be read."""
    return _table(path).info


def frame_times(path: str | Path, indices: Sequence[int] | Integer[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Seconds from the first frame to each of these; by time stamps where they are sane, else by the mean rate.

    VideoDecodeError for a picture folder, which carries no time; ValueError for an index out of range.
    """
    table = _table(path)
    if table.times_s is None:
        raise VideoDecodeError(path, "a folder of pictures carries no times; count in frames")
    return table.times_s[_checked(path, indices, table.info.num_frames)]


def read_frames(
    path: str | Path, indices: Sequence[int] | Integer[np.ndarray, " N"], *, short_side_px: int | None = None
) -> UInt8[np.ndarray, "N H W 3"]:
    """The frames at these display indices, as RGB, rotated as the file asks.

    Indices may repeat and come in any order; each frame is decoded once. A wanted frame that is missing or damaged is
    an error, never replaced. Pixels are taken as square, as the field does.

    short_side_px shrinks the frames (bicubic, while converting to RGB; aspect kept, never enlarged) so that the short
    side has this size: several times faster to move and resize afterwards. Only None gives the pixels on which CLIP's
    own resize must work to match it exactly.

    Raises ValueError for an index out of range, VideoDecodeError for whatever the file does wrong.
    """
    table = _table(path)
    info = table.info
    wanted = _checked(path, indices, info.num_frames)
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"expected short_side_px >= 1 or None, got {short_side_px}")
    short_px = min(info.height_px, info.width_px)
    scale = Fraction(1) if short_side_px is None else min(Fraction(1), Fraction(short_side_px, short_px))
    height_px, width_px = (max(1, round(side * scale)) for side in (info.height_px, info.width_px))
    frames = np.empty((len(wanted), height_px, width_px, 3), np.uint8)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(wanted.tolist()):
        places.setdefault(index, []).append(place)
    if table.pictures:
        for index, where in places.items():
            frames[where] = _read_picture(path, table, index, (width_px, height_px))
        return frames
    missing = _decode_into(frames, path, table, places)
    if missing:  # a start that was none, or a frame dropped in reordering: the long way is always right
        missing = _decode_into(frames, path, table, missing, linear=True)
    if missing:
        raise VideoDecodeError(path, f"frame {min(missing)} of {info.num_frames} cannot be decoded")
    return frames


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]] | UInt8[np.ndarray, "T H W 3"],
    fps: float,
    *,
    qp: int = 18,
    gop: int = 12,
) -> None:
    """Writes RGB frames as H.264 (yuv420p, constant quantiser qp, a key frame every gop frames; gop=1 is all intra).

    One thread, no dates, no version tags: the same frames give the same bytes. ValueError on odd sizes (4:2:0 cannot
    hold them), on frames of different sizes, and on no frames.
    """
    stream = None
    count = 0
    with av.open(str(path), "w", container_options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        for count, array in enumerate(frames, start=1):
            if stream is None:
                height_px, width_px = array.shape[:2]
                if height_px % 2 or width_px % 2:
                    raise ValueError(f"{path}: H.264 needs even sizes, got {height_px}x{width_px} px; pad or crop by 1")
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
                stream.codec_context.gop_size = gop
                stream.codec_context.thread_count = 1
                stream.options = {"qp": str(qp), "preset": "veryfast", "flags": "+bitexact"}
            elif array.shape[:2] != (height_px, width_px):
                raise ValueError(f"{path}: frame {count - 1} is {array.shape[:2]}, frame 0 is {(height_px, width_px)}")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")))
        if stream is None:
            raise ValueError(f"{path}: no frames to write")
        container.mux(stream.encode(None))


def _checked(path, indices, num_frames: int) -> np.ndarray:
    wanted = np.asarray(indices)
    if wanted.size == 0:
        wanted = wanted.astype(np.int64)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise ValueError(f"{path}: expected a flat list of integer frame indices, got {wanted.dtype}{wanted.shape}")
    outside = wanted[(wanted < 0) | (wanted >= num_frames)]
    if outside.size:
        raise ValueError(f"{path}: frame {outside[0]} asked for, but its frames are 0 to {num_frames - 1}")
    return wanted


def _table(path: str | Path) -> _Table:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise VideoDecodeError(path, "no such file or folder") from None
    except OSError as error:
        raise VideoDecodeError(path, error.strerror or str(error)) from None
    return _cached_table(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _cached_table(path: str, mtime_ns: int, size: int) -> _Table:  # the last two are there for the cache alone
    if os.path.isdir(path):
        return _scan_pictures(path)
    if size == 0:
        raise VideoDecodeError(path, "the file is empty")
    try:
        with _open(path) as container:
            return _scan(path, container)
    except (av.FFmpegError, OSError) as error:
        raise VideoDecodeError(path, _reason(error)) from None


# --- video files ---------------------------------------------------------------------------------------------------


def _open(path: str):
    # "file:" so that a colon in a name is no protocol; metadata is never read, so its encoding must not matter
    return av.open("file:" + os.path.abspath(path), metadata_errors="replace")


def _reason(error: Exception) -> str:
    return f"not readable as video ({getattr(error, 'strerror', None) or error})"


def _pick_stream(path: str, container):
    hidden = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & hidden]
    if not streams:
        kinds = sorted({s.type for s in container.streams})
        found = f"only {', '.join(kinds)}" if kinds else "nothing"
        raise VideoDecodeError(path, f"holds no video stream, {found}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoDecodeError(path, "its video codec has no decoder here")
    return stream


def _packets(path: str, container, stream) -> Iterator:
    """The stream's packets in decoding order, one frame each where the codec allows; pts = None throughout MPEG-4."""
    for other in container.streams:
        other.discard = av.stream.Discard.default if other is stream else av.stream.Discard.all
    unpack = None
    if stream.codec_context.name == "mpeg4":  # AVI packs two frames into a packet and pads with empty ones
        unpack = av.bitstream.BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise VideoDecodeError(path, "cut off or damaged: a packet is incomplete")
        if unpack is None:
            if packet.size:  # an empty packet would end the decoder
                yield packet
        else:
            for frame_packet in unpack.filter(packet if packet.size else None):
                if _vop_type(frame_packet):
                    yield frame_packet


def _vop_type(packet) -> str:
    """MPEG-4 Part 2: the coding type (I, P, B, S) of the first video object plane in this packet; "" if none."""
    data = bytes(packet)
    start = data.find(b"\0\0\1\xb6")
    return "IPBS"[data[start + 4] >> 6] if 0 <= start < len(data) - 4 else ""


def _scan(path: str, container) -> _Table:
    stream = _pick_stream(path, container)
    codec = stream.codec_context
    codec.thread_type = "NONE"
    pts: list[int | None] = []
    dts: list[int | None] = []
    key, discard, sizes, types, durations = [], [], [], [], []
    first = None
    for packet in _packets(path, container, stream):
        pts.append(packet.pts)
        dts.append(packet.dts)
        key.append(packet.is_keyframe)
        discard.append(packet.is_discard)
        sizes.append(packet.size)
        durations.append(packet.duration or 0)
        if codec.name == "mpeg4":
            types.append(_vop_type(packet))
        if first is None:
            first = next(iter(codec.decode(packet)), None)
    if first is None:
        first = next(iter(codec.decode(None)), None)
    if first is None:
        raise VideoDecodeError(path, f"no frame of its {len(pts)} packets can be decoded")

    by_types = codec.name == "mpeg4" and key[0] and min(sizes) > 19  # FFmpeg's bound for "repeat the last frame"
    shown = ~np.array(discard)
    stamps = np.array([stamp for stamp, show in zip(pts, shown) if show and stamp is not None])
    sane = len(stamps) == shown.sum() and len(np.unique(stamps)) == len(stamps)
    keys = np.array(key) if codec.name in _KEYS_ARE_STARTS else np.arange(len(key)) == 0
    if by_types:
        order = _order_of_types(types)
        order = order[shown[order]]
    elif sane and _is_one_to_one(codec.name) and key[0] and stamps.min() >= (pts[0] or 0):
        order = np.flatnonzero(shown)[np.argsort(stamps)]
    else:
        order = _order_by_decoding(path)
        keys = np.arange(len(key)) == 0
    rank = np.full(len(pts), -1)
    rank[order] = np.arange(len(order))

    rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    if sane and not by_types:
        ordered = np.sort(stamps)[: len(order)]
        times_s = (ordered - ordered[0]) * float(stream.time_base)
        last_s = durations[int(order[-1])] * float(stream.time_base) or (1 / rate if rate else 0.0)
        duration_s = float(times_s[-1]) + last_s
    else:
        if not rate:
            raise VideoDecodeError(path, "has neither time stamps nor a frame rate")
        times_s = np.arange(len(order)) / rate
        duration_s = len(order) / rate
    swap = _turns(path, first)[0] % 2
    height_px, width_px = (first.width, first.height) if swap else (first.height, first.width)
    fps = len(order) / duration_s if duration_s else rate
    return _Table(
        info=VideoInfo(len(order), fps, height_px, width_px, duration_s),
        times_s=times_s,
        stream=stream.index,
        rank=rank,
        key=keys,
        dts=tuple(dts),
        offset=np.cumsum(sizes) - sizes,
        reorder_depth=codec.reorder_depth,
    )


def _is_one_to_one(codec: str) -> bool:
    return {"libdav1d": "av1", "libvpx-vp9": "vp9"}.get(codec, codec) in _ONE_FRAME_PER_PACKET


def _order_of_types(types: list[str]) -> np.ndarray:
    """Display order of MPEG-4 frames: a reference frame is shown after the B frames that follow it in the stream."""
    order, waiting = [], []
    for place, kind in enumerate(types):
        if kind == "B":
            order.append(place)
        else:
            order += waiting
            waiting = [place]
    return np.array(order + waiting)


def _order_by_decoding(path: str) -> np.ndarray:
    """Packet numbers in the order in which a decoder shows their frames; the answer where the packets give none."""
    with _open(path) as container:
        stream = _pick_stream(path, container)
        order = [frame.pts for _, frame in _run(path, container, stream, None, [(0, 1 << 62)], ())]
    if len(set(order)) != len(order):
        raise VideoDecodeError(path, "its decoder gives several frames per packet; rewrite it (ffmpeg -i in out.mp4)")
    return np.array(order)


def _run(path, container, stream, table, ranges, wanted) -> Iterator:
    """Decodes these packet ranges [start, stop); yields (range number, frame) with frame.pts = its packet's number."""
    codec = stream.codec_context
    codec.thread_type = "AUTO"
    codec.thread_count = 1 if parent_process() else len(os.sched_getaffinity(0))
    can_skip = table is not None and codec.name in _CAN_SKIP
    if table is not None:
        codec.reorder_depth = table.reorder_depth
    number = 0
    for place, packet in enumerate(_packets(path, container, stream)):
        start, stop = ranges[number]
        if place < start:
            continue
        packet.pts = place
        if can_skip:
            codec.skip_frame = "DEFAULT" if place in wanted else "NONREF"
        for frame in codec.decode(packet):
            yield number, frame
        if place + 1 == stop:
            for frame in codec.decode(None):
                yield number, frame
            number += 1
            if number == len(ranges):
                return
            codec.flush_buffers()
            if table is not None:
                codec.reorder_depth = table.reorder_depth
    for frame in codec.decode(None):
        yield number, frame


def _ranges(table: _Table, wanted: list[int]) -> list[tuple[int, int]]:
    """The packets to decode for these packets' frames: each from the last key packet that is shown no later."""
    assert table.key is not None and table.rank is not None
    keys = np.flatnonzero(table.key)
    ranges: list[tuple[int, int]] = []
    for place in wanted:
        before = keys[(keys <= place)]
        starts = before[(table.rank[before] <= table.rank[place])]
        start = int(starts[-1]) if len(starts) else 0
        if ranges and start < ranges[-1][1]:
            ranges[-1] = ranges[-1][0], place + 1
        else:
            ranges.append((start, place + 1))
    return ranges


def _decode_into(frames, path, table: _Table, places: dict[int, list[int]], linear: bool = False) -> dict:
    """Fills frames; returns the part of places that did not come."""
    assert table.rank is not None
    packet_of = np.empty(table.info.num_frames, np.int64)
    packet_of[table.rank[table.rank >= 0]] = np.flatnonzero(table.rank >= 0)
    wanted = {int(packet_of[index]): index for index in places}
    todo = sorted(wanted)
    if not todo:
        return {}
    ranges = [(0, todo[-1] + 1)] if linear else _ranges(table, todo)
    missing = dict(places)
    convert = VideoReformatter()
    try:
        with _open(str(path)) as container:
            stream = container.streams[table.stream]
            for _, frame in _run(path, container, stream, table, ranges, wanted):
                index = wanted.get(frame.pts)
                if index is None or frame.is_corrupt:
                    continue
                where = missing.pop(index, None)
                if where:
                    frames[where] = _to_rgb(path, frame, convert, table.info, frames.shape[1:3])
    except (av.FFmpegError, OSError) as error:
        if linear:
            raise VideoDecodeError(path, _reason(error)) from None
    return missing


def _turns(path, frame) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, then mirrored left to right or not, that the frame's display matrix asks for."""
    data = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    degrees = np.degrees(np.arctan2(-b, a))
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > 1:
        raise VideoDecodeError(path, f"asks for a rotation of {degrees:.0f} degrees; only quarter turns are supported")
    return turns % 4, mirrored


def _to_rgb(path, frame, convert: VideoReformatter, info: VideoInfo, size_px) -> np.ndarray:
    turns, mirrored = _turns(path, frame)
    stored = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
    if stored != (info.height_px, info.width_px):
        raise VideoDecodeError(
            path, f"frame size changes from {info.height_px}x{info.width_px} to {stored[0]}x{stored[1]} px"
        )
    height_px, width_px = size_px[::-1] if turns % 2 else size_px
    rgb = convert.reformat(frame, width_px, height_px, "rgb24", interpolation="BICUBIC", threads=1)
    plane = rgb.planes[0]
    array = np.frombuffer(plane, np.uint8).reshape(height_px, plane.line_size)[:, : width_px * 3]
    array = np.rot90(array.reshape(height_px, width_px, 3), turns)
    return array[:, ::-1] if mirrored else array


# --- picture folders -----------------------------------------------------------------------------------------------


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _scan_pictures(path: str) -> _Table:
    names = [name for name in os.listdir(path) if _is_picture(name)]
    if not names:
        raise VideoDecodeError(path, f"a folder without pictures (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
    numbered = {}
    for name in sorted(names):
        digits = re.findall(r"\d+", os.path.splitext(name)[0])
        if not digits:
            raise VideoDecodeError(path, f"picture {name} has no number in its name, so its place is unknown")
        number = int(digits[-1])
        if number in numbered:
            raise VideoDecodeError(path, f"pictures {numbered[number]} and {name} have the same number")
        numbered[number] = name
    first, last = min(numbered), max(numbered)
    hole = next((number for number in range(first, last) if number not in numbered), None)
    if hole is not None:
        raise VideoDecodeError(path, f"picture {hole} is missing ({len(names)} pictures, numbered {first} to {last})")
    pictures = tuple(Path(path, numbered[number]) for number in sorted(numbered))
    width_px, height_px = _open_picture(path, pictures[0]).size
    return _Table(VideoInfo(len(pictures), None, height_px, width_px, None), None, pictures)


def _open_picture(path, picture: Path) -> Image.Image:
    try:
        with Image.open(picture) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise VideoDecodeError(path, f"picture {picture.name} cannot be read ({error})") from None


def _read_picture(path, table: _Table, index: int, size_px: tuple[int, int]) -> np.ndarray:
    image = _open_picture(path, table.pictures[index])
    if (image.height, image.width) != (table.info.height_px, table.info.width_px):
        raise VideoDecodeError(
            path,
            f"picture {table.pictures[index].name} is {image.height}x{image.width} px, "
            f"the first is {table.info.height_px}x{table.info.width_px}",
        )
    return np.asarray(image if image.size == size_px else image.resize(size_px, Image.Resampling.BICUBIC))
