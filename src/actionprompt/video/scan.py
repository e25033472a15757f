"""Where every frame of a video is: one pass over its packets, and a full decode where packets do not prove it.

What a container declares (number of frames, key frames, order, duration) is not trusted. `headers` reads what the
packets themselves say; if they prove a video regular, its frames can be reached from any key frame. Any other video has
the frames that decoding it from start to end gives.

Letters: P packets in decoding order.
"""

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import Bool, Float64, Int64

from actionprompt.video import headers, images
from actionprompt.video.limits import Limits, VideoDecodeError, decode_errors, one_line

# Containers of video alone: others (playlists, scripts, image sequences) would open files that they name.
FORMATS = (
    "3gp,apng,asf,av1,avi,cavsvideo,dirac,dv,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,"
    "mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webp,wtv,yuv4mpegpipe"
)
Stamps = tuple[int | None, int | None, int]
"""Of a packet: when it is to be shown, when decoded, and how long (pts, dts, duration)."""
_LONGEST_GAP_S, _FASTEST_FPS = 24 * 3600.0, 10_000.0
"""Time stamps further apart, or closer together, are taken for damage."""


KEPT_FRAMES = 1 << 21
"""Of tables that are kept, at 33 bytes each: all of UCF-101, or of HMDB-51 five times."""


@dataclass(frozen=True, eq=False)
class Table:
    """Where every frame of one video is. Arrays are indexed by packet in decoding order, times_s by frame."""

    num_frames: int
    duration_s: float | None = None
    times_s: Float64[np.ndarray, " num_frames"] | None = None
    images: tuple[Path, ...] = ()
    stream: int = 0
    jumps: bool = False
    """Whether `headers` proves that frames can be reached from a start; what follows is empty if not."""
    rank: Int64[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Display index of the frame in this packet; -1 if it displays none."""
    starts: Bool[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, bool))
    """Whether decoding can start at this packet."""
    reorder_depth: int = 0
    """How many frames the decoder must buffer to output them in display order."""
    sizes: Int64[np.ndarray, " P"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Bytes of each packet."""
    pts: Int64[np.ndarray, " _"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Timestamps of the packets, if they can identify a packet after a seek; else empty."""

    @property
    def weight(self) -> int:
        """Of its memory, in frames of a video; an image's path takes about 16 times as much."""
        return self.num_frames * (16 if self.images else 1)


def table(path: str | Path, limits: Limits) -> Table:
    """The table of a video; the same file is looked at once.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    found = check_kind(path)
    return cached(str(path), found.st_mtime_ns, found.st_size, limits)


def check_kind(path: str | Path) -> os.stat_result:
    """What the system says of a file or folder.

    Raises:
        VideoDecodeError: there is none, or it is neither.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise VideoDecodeError(path, "no such file or folder") from None
    except (OSError, ValueError) as error:
        raise VideoDecodeError(path, one_line(error)) from None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise VideoDecodeError(path, "neither a file nor a folder of images, but a pipe, a socket or a device")
    return found


class _Tables:
    """The tables of the videos that were looked at last, `KEPT_FRAMES` in all or a single one: a training scans a video
    once, not in every epoch. Without a lock, which a process that is forked could find held: each line is one step."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int, int, Limits], Table] = {}

    def __call__(self, path: str, mtime_ns: int, num_bytes: int, limits: Limits) -> Table:
        """`table` of a file in this state."""
        key = path, mtime_ns, num_bytes, limits
        found = self.kept.pop(key, None)
        if found is None:
            found = find(path, num_bytes, limits)
            room = KEPT_FRAMES - found.weight - sum(table.weight for table in list(self.kept.values()))
            for oldest in list(self.kept):
                if room >= 0:
                    break
                dropped = self.kept.pop(oldest, None)
                room += dropped.weight if dropped is not None else 0
        self.kept[key] = found
        return found

    def cache_clear(self) -> None:
        self.kept.clear()


cached = _Tables()


def find(path: str, num_bytes: int, limits: Limits) -> Table:
    """The table of a file or folder, which is looked at."""
    with decode_errors(path):
        if os.path.isdir(path):
            found = images.find(path)
            return Table(len(found), images=found)
        if num_bytes == 0:
            raise VideoDecodeError(path, "the file is empty")
        if (missing := truncated(path, num_bytes)) is not None:
            raise VideoDecodeError(path, missing)
        return scan(path, limits)


def open_video(path: str, limits: Limits, *, guess: bool = False) -> Any:
    """The container. With guess, FFmpeg decodes some frames to find what the header lacks; 2 to 10 ms for H.264."""
    options = {"format_whitelist": FORMATS}
    if guess:
        options |= limits.decoder_options
    else:
        options["codec_whitelist"] = "none"
    # "file:" so that a colon in a name is not taken for a protocol; metadata is not used, so its encoding is ignored
    return av.open(f"file:{os.path.abspath(path)}", options=options, metadata_errors="replace")


def pick_stream(path: str, container: Any, limits: Limits) -> Any:
    hidden = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & hidden]
    if not streams:
        kinds = sorted({"image" if stream.type == "video" else stream.type for stream in container.streams})
        raise VideoDecodeError(path, f"contains no video stream, only {', '.join(kinds) or 'nothing'}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoDecodeError(path, "no decoder for its video codec")
    limits.check_size(path, stream.height, stream.width)
    return stream


def packets(path: str, container: Any, stream: Any, *, unpack: bool = False) -> Iterator[Any]:
    """The stream's packets in decoding order.

    MPEG-4 in AVI may pack two frames into one packet, followed by an empty one; unpacked, every packet has one frame.
    """
    for other in container.streams:
        other.discard = av.stream.Discard.default if other is stream else av.stream.Discard.all
    split = None
    if unpack and stream.codec_context.name == "mpeg4":
        split = av.bitstream.BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    for packet in container.demux(stream):
        # a transport stream counts its packets, and those of two streams in a row are not counted on
        if packet.is_corrupt and container.format.name != "mpegts":
            raise VideoDecodeError(path, "truncated or corrupt: a packet is incomplete")
        if split is not None:
            yield from (part for part in split.filter(packet if packet.size else None) if b"\0\0\1\xb6" in bytes(part))
        elif packet.size:  # an empty packet would flush the decoder
            yield packet


def decode_all(path: str, limits: Limits, stamps: list[Stamps] | None = None) -> Generator[tuple[int, Any], None, None]:
    """(number of its packet, frame) for every frame: the plain decode, in one thread, that defines what a video holds.

    If `stamps` is a list, (pts, dts, duration) of each packet are appended to it.

    Raises:
        Exception: whatever the decoder does not decode.
    """
    with open_video(path, limits, guess=True) as container:
        stream = pick_stream(path, container, limits)
        codec = stream.codec_context
        codec.options = limits.decoder_options
        codec.thread_type, codec.thread_count = "NONE", 1
        place = 0
        for place, packet in enumerate(packets(path, container, stream)):
            if stamps is not None:
                stamps.append((packet.pts, packet.dts, packet.duration or 0))
            packet.pts = place
            for frame in codec.decode(packet):
                limits.check_size(path, frame.height, frame.width)
                yield place if frame.pts is None else frame.pts, frame
        for frame in codec.decode(None):
            yield place if frame.pts is None else frame.pts, frame


@dataclass(eq=False)
class Look:
    """What one pass over the packets of a video tells, without decoding. Lists are by packet in decoding order."""

    stream: int
    codec: str
    container: str
    second: float
    """Of a time stamp."""
    rate: float
    """Frames per second as declared; 0 if they are not."""
    declared_s: float
    """How long the file says it is; 0 if it does not."""
    stamps: list[Stamps] = field(default_factory=list)
    discard: list[bool] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    shown: list[headers.Shown] | None = None
    """What the packets say; None if they do not prove the video regular."""
    damage: str | None = None
    """Why the file is not whole."""

    @property
    def avi(self) -> bool:
        return self.container == "avi"


def look(path: str, limits: Limits) -> Look:
    """One pass over the packets, as far as they go."""
    with open_video(path, limits) as container:
        stream = pick_stream(path, container, limits)
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        codec = stream.codec_context.codec.canonical_name
        second = float(stream.time_base or 0)
        declared_s = (stream.duration or 0) * second or (container.duration or 0) / av.time_base
        found = Look(stream.index, codec, container.format.name, second, rate, declared_s)
        found.shown = []
        try:
            read = headers.reader(codec, bytes(stream.codec_context.extradata or b""))
        except headers.Irregular:
            read = None
        try:
            for packet in packets(path, container, stream, unpack=True):
                found.stamps.append((packet.pts, packet.dts, packet.duration or 0))
                found.discard.append(packet.is_discard)
                found.sizes.append(packet.size)
                if packet.is_corrupt or packet.has_sidedata("new_extradata"):
                    read = None  # what the decoder is given changes
                if read is not None:
                    try:
                        found.shown.append(read(bytes(packet)))
                    except headers.Irregular:
                        read = None
        except VideoDecodeError as error:
            found.damage = error.reason
        except Exception as error:  # whatever the demuxer raises
            found.damage = f"not readable as video ({one_line(error)})"
        if read is None:
            found.shown = None
        listed = stream.index_entries if "mp4" in found.container and codec != "mpeg4" else ()
        if not found.damage and len(listed) > len(found.sizes) < sum(entry.size > 0 for entry in listed):
            num_listed, num_there = len(listed), len(found.sizes)
            found.damage = f"truncated: its index lists {num_listed} frames, it contains {num_there}"
    return found


def scan(path: str, limits: Limits) -> Table:
    """The table of a video file, from its packets, or by decoding all of it."""
    seen = look(path, limits)
    if seen.damage is not None:
        raise VideoDecodeError(path, seen.damage)
    if not seen.sizes:
        raise VideoDecodeError(path, "its video stream is empty")
    if (found := by_packets(path, seen)) is not None:
        return found
    stamps: list[Stamps] = []
    place_of = [place for place, _ in decode_all(path, limits, stamps)]
    if not place_of:
        raise VideoDecodeError(path, f"none of its {len(seen.sizes)} video packets shows a frame")
    times_s, duration_s = _times(path, [stamps[place] for place in place_of], seen)
    return Table(num_frames=len(place_of), duration_s=duration_s, times_s=times_s, stream=seen.stream)


def by_packets(path: str, seen: Look) -> Table | None:
    """The table of a video whose packets prove which frames it has; None for any other."""
    shown, sizes = seen.shown, seen.sizes
    order = _order(shown, seen.discard, seen.stamps) if shown else None
    if not shown or order is None:
        return None
    if not order:
        raise VideoDecodeError(path, f"none of its {len(sizes)} video packets shows a frame")
    times_s, duration_s = _times(path, [seen.stamps[place] for place in order], seen)
    known = Table(num_frames=len(order), duration_s=duration_s, times_s=times_s, stream=seen.stream)
    if shown[0].order is None:
        return known
    rank = np.full(len(sizes), -1)
    rank[order] = np.arange(len(order))
    stamps = [pts for pts, _, _ in seen.stamps if pts is not None]
    sane = len(set(stamps)) == len(sizes) and not seen.avi
    return replace(
        known,
        jumps=True,
        rank=rank,
        starts=np.array([one.start for one in shown]) & ~np.array(seen.discard),
        reorder_depth=_depth(rank),
        sizes=np.array(sizes, np.int64),
        pts=np.array(stamps if sane else [], np.int64),
    )


def _depth(rank: np.ndarray) -> int:
    """The largest number of frames that precede a frame in decoding order and follow it in display order."""
    return int((np.arange((rank >= 0).sum()) - rank[rank >= 0]).max())


def _order(shown: list[headers.Shown], discard: list[bool], stamps: list[Stamps]) -> list[int] | None:
    """Packets in display order; None if the video does not begin with the frame to be decoded first, or the stream
    itself says that less is reordered than is."""
    whole = [place for place, hidden in enumerate(discard) if not hidden]
    order = {place: one.order for place, one in enumerate(shown) if one.order is not None}
    if len(order) < len(shown):  # only how many frames there are is known
        return sorted(whole, key=lambda place: stamps[place][0] or 0)
    by_order = sorted(order, key=order.__getitem__)
    depth = _depth(np.argsort(by_order))
    if not shown[0].start or by_order[0] != 0:
        return None
    if any(one.reorder_limit is not None and one.reorder_limit < depth for one in shown):
        return None
    return [place for place in by_order if not discard[place]]


def _times(path: str, shown: list[Stamps], seen: Look) -> tuple[np.ndarray, float]:
    """Seconds at which each frame is shown, and how long the video is, from (pts, dts, duration) by frame."""
    num_frames, rate = len(shown), plausible(seen.rate)
    # AVI has no display times, only the place of each packet in time: frames are shown in this rhythm
    found = sorted((dts for _, dts, _ in shown), key=lambda t: t or 0) if seen.avi else [pts for pts, _, _ in shown]
    stamps = [stamp for stamp in found if stamp is not None]
    if len(stamps) == num_frames:
        times_s = np.array([stamp - stamps[0] for stamp in stamps], np.float64) * seen.second
        gaps = np.diff(times_s)
        if in_step(gaps):
            return times_s, float(times_s[-1]) + last_frame_s(shown[-1], gaps, seen)
    if not rate:
        raise VideoDecodeError(path, "has neither timestamps nor a frame rate")
    return np.arange(num_frames) / rate, num_frames / rate


def last_frame_s(stamps: Stamps, gaps_s: Float64[np.ndarray, " N"], seen: Look) -> float:
    """How long the last frame is shown: as its packet says, if that is not longer than others are; else as is usual."""
    said_s, rate = stamps[2] * seen.second, plausible(seen.rate)
    usual_s = float(np.median(gaps_s)) if len(gaps_s) else 1 / rate if rate else said_s
    return said_s if 0 < said_s <= max(2 * usual_s, gaps_s.max(initial=0.0)) else usual_s


def plausible(rate: float) -> float:
    """A declared frame rate; 0 for one that cannot be."""
    return rate if 1 / _LONGEST_GAP_S < rate <= _FASTEST_FPS else 0.0


def in_step(gaps_s: Float64[np.ndarray, " N"]) -> bool:
    """Whether the seconds between frames can be those of a video."""
    return bool(((gaps_s > 1 / _FASTEST_FPS) & (gaps_s < _LONGEST_GAP_S)).all())


def truncated(path: str, num_bytes: int) -> str | None:
    """What is missing of a Matroska or WebM file: FFmpeg reads a truncated one without an error."""
    declared = _matroska_bytes(path)
    return f"truncated: has {num_bytes} of its {declared} bytes" if num_bytes < declared else None


def _matroska_bytes(path: str) -> int:
    """Declared size of a Matroska or WebM file, 0 for other files."""
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
