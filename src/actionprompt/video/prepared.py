"""One clip re-encoded so that reading a few frames of it is cheap, with the frames and the times that it had.

The copy is H.264 without B-frames, with a key frame every few frames, shrunk and upright, in one container for all
suffixes: the reader, as FFmpeg, goes by the content. The reader's times are floats, and those of the copy are the same
floats: MP4 counts in 1 / N second, which gives them exactly where the original does so too; where the original counts
in other units (1001/30000 s in AVI), the copy is an AVI with the same unit; where the original has no usable time
stamps, an N is searched for whose multiples are the same floats.

Letters: F frames, H height, W width.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, Int64
from PIL import Image

from actionprompt.video import decoding, images, scan
from actionprompt.video.limits import Limits, VideoDecodeError, decode_errors, one_line

MANIFEST = "prepared.json"
"""What lies in the folder that ``actionprompt prepare`` wrote, and names its options."""
_MOST_TICKS = 2**31 - 1
"""Per second, and between two frames, in MP4."""
_AS_ITU601 = {1: 1, 4: 4, 7: 7, 9: 9}
"""Matrices of colour, as H.264 numbers them, by the same matrix as swscale numbers it; all others are taken for 5."""
_SAVED: dict[str | None, dict[str, Any]] = {
    "JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"quality": 95}, "BMP": {},
}  # fmt: skip


class Unlike(ValueError):
    """A copy would not have the frames or times of the original; the message is the reason in one line."""


@dataclass(frozen=True)
class Encoding:
    """How clips are re-encoded."""

    short_side_px: int = 256
    """Larger frames are shrunk to it; frames are never enlarged."""
    gop: int = 4
    """A key frame every so many frames: what reading one frame decodes at most."""
    crf: int = 18
    """Quality of the video, 0 to 51; lower is better and larger."""

    def __post_init__(self) -> None:
        for name, least, most in (("short_side_px", 2, 1 << 14), ("gop", 1, 1000), ("crf", 0, 51)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} from {least} to {most}, got {getattr(self, name)}")


def folder_of(path: Path) -> Path | None:
    """The prepared folder that a clip lies in (the nearest parent that holds the manifest), None for other clips."""
    return next((parent for parent in path.absolute().parents if (parent / MANIFEST).is_file()), None)


# Videos ---------------------------------------------------------------------------------------------------------------


def reencode(source: Path, target: Path, encoding: Encoding, *, limits: Limits | None = None) -> int:
    """Write the frames of a video file to `target` and read them back; the number of frames.

    Raises:
        VideoDecodeError: a frame of the source cannot be read, or frames differ in size.
        Unlike: no container gives its times, or the copy is not read as it should be. What was written is for the
            caller to delete.
        OSError: the target cannot be written.
    """
    limits = limits or Limits.from_environment()
    found = scan.table(source, limits)
    if found.times_s is None:
        raise VideoDecodeError(source, "a folder of images is no video file")
    reasons = []
    for clock in _clocks(source, found, limits):
        with closing(_shrunk(str(source), found, encoding.short_side_px, limits)) as frames:
            first = next(frames)
            try:
                _write(target, itertools.chain((first,), frames), first, clock, encoding)
                reason = _difference(target, found, (first.height, first.width), encoding, limits)
            except (VideoDecodeError, OSError):
                raise
            except Exception as error:  # whatever the encoder raises
                reason = f"cannot be encoded ({one_line(error)})"
        if reason is None:
            return found.num_frames
        reasons.append(reason)
    raise Unlike(reasons[0] if reasons else "its times cannot be had from MP4 or AVI")


@dataclass(frozen=True)
class _Clock:
    """When frames are shown, in a container."""

    container: str
    unit_s: Fraction
    ticks: Int64[np.ndarray, " F"]
    """When each frame is shown, in units."""
    last_ticks: int
    """How long the last frame is shown."""


def _clocks(source: Path, found: scan.Table, limits: Limits) -> Iterator[_Clock]:
    """The clocks by which the reader finds exactly these times, the best first."""
    times_s = found.times_s
    assert times_s is not None
    assert found.duration_s is not None
    last_s = found.duration_s - float(times_s[-1])
    with decode_errors(source), scan.open_video(str(source), limits) as container:
        stream = scan.pick_stream(str(source), container, limits)
        unit_s = Fraction(stream.time_base or 0)
        rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    if unit_s:
        ticks = np.rint(times_s / float(unit_s)).astype(np.int64)
        if (ticks * float(unit_s) == times_s).all():
            if unit_s.numerator > 1:
                yield _Clock("avi", unit_s, ticks, 1)
            else:
                fine = 2  # powers of two leave the floats as they are; half a unit, for the last frame
                while unit_s.denominator * fine < 10_000:
                    fine *= 2
                yield from _mp4(times_s, last_s, ticks, unit_s / fine, fine)
                yield from _mp4(times_s, last_s, ticks, unit_s, 1)
    if rate:
        places = np.arange(found.num_frames)
        if (places / float(rate) == times_s).all():
            for factor in _factors(times_s, places * rate.denominator, rate.numerator):
                unit_s = Fraction(1, rate.numerator * factor)
                yield from _mp4(times_s, last_s, places, unit_s, rate.denominator * factor)


def _mp4(
    times_s: Float64[np.ndarray, " F"], last_s: float, ticks: Int64[np.ndarray, " F"], unit_s: Fraction, factor: int
) -> Iterator[_Clock]:
    """The clock of an MP4 in which ticks count this much more; none where MP4 cannot hold its numbers."""
    ticks, last = ticks * factor, max(1, round(last_s / unit_s))
    longest = max(last, int(np.diff(ticks).max(initial=1)))
    if unit_s.denominator <= _MOST_TICKS and longest <= _MOST_TICKS and (ticks * float(unit_s) == times_s).all():
        yield _Clock("mp4", unit_s, ticks, last)


def _factors(times_s: Float64[np.ndarray, " F"], ticks: Int64[np.ndarray, " F"], rate: int) -> Iterator[int]:
    """The first odd factor with which ticks of 1 / (factor x rate) second are exactly these times: as a float, 1 / N is
    rounded by a little, and for some N by so little that all multiples are right."""
    some = np.unique(np.linspace(0, len(ticks) - 1, 32).astype(np.int64))
    for first in range(1, _MOST_TICKS // rate + 1, 1 << 13):
        factors = np.arange(first, min(first + (1 << 13), _MOST_TICKS // rate + 1), 2)
        seen = ticks[some] * factors[:, None] * (1 / (rate * factors))[:, None]
        for factor in factors[(seen == times_s[some]).all(1)].tolist():
            if (ticks * factor * (1 / (rate * factor)) == times_s).all():
                yield factor
                return


def _shrunk(path: str, found: scan.Table, short_side_px: int, limits: Limits) -> Generator[Any, None, None]:
    """Every frame in the order of display, shrunk and upright, as 4:2:0 with the colours of the first one.

    Raises:
        VideoDecodeError: one cannot be read, or has another size than the first.
    """
    tiny, scale = VideoReformatter(), VideoReformatter()
    count, size_px, colours = 0, (0, 0), (0, 0)
    with decode_errors(path), closing(decoding.from_start(path, found, found.num_frames - 1, limits)) as decoded:
        for index, frame in decoded:
            if not isinstance(frame, av.VideoFrame):
                raise VideoDecodeError(path, str(frame))
            if not count:
                size_px = frame.height, frame.width
                limits.check_size(path, *size_px)
                colours = _colours(frame)
            elif (frame.height, frame.width) != size_px:
                raise VideoDecodeError(
                    path, f"frame {index} is {images.by((frame.height, frame.width))} px, others are "
                    f"{images.by(size_px)}"
                )  # fmt: skip
            turn = decoding.orientation(path, tiny.reformat(frame, 8, 8, "gray", interpolation="POINT", threads=1))
            height_px, width_px = _even(size_px, short_side_px)
            plain = frame.format.name.startswith("yuv4") and colours == _colours(frame)
            convert: dict[str, int] = {}
            if not plain:
                convert = {"dst_colorspace": _AS_ITU601.get(colours[0], 5), "dst_color_range": colours[1] or 1}
            small = scale.reformat(frame, width_px, height_px, "yuv420p", interpolation="BICUBIC", threads=1, **convert)
            yield _upright(small, turn, colours)
            count += 1
    if count < found.num_frames:
        raise VideoDecodeError(path, f"frame {count} of {found.num_frames} cannot be decoded")


def _colours(frame: Any) -> tuple[int, int]:
    """Matrix and range of the copy of a frame, as H.264 numbers them."""
    if frame.format.is_rgb or frame.format.name.startswith("pal"):
        return 6, 1
    return frame.colorspace, 2 if frame.format.name.startswith("yuvj") else frame.color_range


def _even(size_px: tuple[int, int], short_side_px: int) -> tuple[int, int]:
    """The size of the copy, for 4:2:0: even, and not above the original's, but for a side of one pixel."""
    shrink = min(Fraction(1), Fraction(short_side_px, min(size_px)))
    height_px, width_px = (max(2, min(2 * round(side * shrink / 2), side - side % 2)) for side in size_px)
    return height_px, width_px


def _upright(frame: Any, turn: tuple[bool, int, int], colours: tuple[int, int]) -> Any:
    """A copy of a 4:2:0 frame without anything but its pixels, turned as `decoding.orientation` says."""
    swap, step_y, step_x = turn
    height_px, width_px = (frame.width, frame.height) if swap else (frame.height, frame.width)
    turned = av.VideoFrame(width_px, height_px, "yuv420p")
    for old, new in zip(frame.planes, turned.planes, strict=True):
        pixels = np.frombuffer(old, np.uint8).reshape(old.height, old.line_size)[:, : old.width]
        out = np.frombuffer(new, np.uint8).reshape(new.height, new.line_size)[:, : new.width][::step_y, ::step_x]
        (out.swapaxes(0, 1) if swap else out)[...] = pixels
    turned.colorspace, turned.color_range = colours
    return turned


def _write(target: Path, frames: Iterable[Any], first: Any, clock: _Clock, encoding: Encoding) -> None:
    """One thread, no dates, no version tags: the same frames give the same bytes, whatever their times are."""
    options = {"fflags": "+bitexact"}
    if clock.container == "mp4":
        options |= {"movflags": "+faststart", "use_editlist": "0"}
        options["video_track_timescale"] = str(clock.unit_s.denominator)
    ends = np.append(clock.ticks[1:], clock.ticks[-1] + clock.last_ticks)
    waiting = iter(zip(clock.ticks.tolist(), ends.tolist(), strict=True))
    path = f"file:{os.path.abspath(target)}"
    with av.open(path, "w", format=clock.container, container_options=options) as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        stream.time_base = clock.unit_s
        codec = stream.codec_context
        codec.gop_size, codec.thread_count = encoding.gop, 1
        codec.colorspace, codec.color_range = first.colorspace, first.color_range
        stream.options = {
            "crf": str(encoding.crf), "preset": "veryfast", "bf": "0", "flags": "+bitexact",
            "x264-params": f"keyint={encoding.gop}:min-keyint={encoding.gop}:scenecut=0:rc-lookahead=0:mbtree=0",
        }  # fmt: skip
        for place, frame in enumerate(frames):
            frame.pts, frame.time_base = place, Fraction(1, 25)
            _mux(container, stream.encode(frame), waiting, clock.unit_s)
        _mux(container, stream.encode(None), waiting, clock.unit_s)


def _mux(container: Any, packets: Iterable[Any], waiting: Iterator[tuple[int, int]], unit_s: Fraction) -> None:
    for packet in packets:  # one a frame, in the order of display
        start, end = next(waiting)
        packet.time_base, packet.pts, packet.dts, packet.duration = unit_s, start, start, end - start
        container.mux(packet)


def _difference(
    target: Path, found: scan.Table, size_px: tuple[int, int], encoding: Encoding, limits: Limits
) -> str | None:
    """What the reader finds in a copy that is not as it should be, in one line; None for a good copy."""
    try:
        with decode_errors(target):
            copy = scan.scan(str(target), limits)
        if copy.num_frames != found.num_frames:
            return f"its copy has {copy.num_frames} frames, not {found.num_frames}"
        if copy.times_s is None or found.times_s is None or (copy.times_s != found.times_s).any():
            return "the times of its copy differ"
        if not copy.jumps or copy.starts.sum() != -(-found.num_frames // encoding.gop):
            return f"its copy has {copy.starts.sum()} frames that reading can start at"
        with decode_errors(target):
            ends = decoding.read(str(target), copy, [0, copy.num_frames - 1], None, limits)
    except VideoDecodeError as error:
        return f"its copy cannot be read: {error.reason}"
    return None if ends.shape[1:3] == size_px else f"its copy is {images.by(ends.shape[1:3])} px"


# Folders of images ----------------------------------------------------------------------------------------------------


def shrink_images(source: Path, target: Path, encoding: Encoding, *, limits: Limits | None = None) -> int:
    """Copy a folder of images to a new folder, images upright and shrunk as the reader does it, all else and what is
    small enough byte by byte; the number of frames.

    Raises:
        VideoDecodeError: an image cannot be read, or they differ in size.
        OSError: the target cannot be written.
    """
    limits, path, size_px = limits or Limits.from_environment(), str(source), None
    frames = images.find(path)
    target.mkdir()
    for frame in frames:
        with decode_errors(path, f"image {frame.name} cannot be read"):
            image = images.upright(path, frame, limits)
            with Image.open(frame, formats=images.FORMATS) as opened:
                kind = opened.format
        size_px = size_px or (image.height, image.width)
        if (image.height, image.width) != size_px:
            raise VideoDecodeError(
                path, f"image {frame.name} is {image.height}x{image.width} px, others are {images.by(size_px)}"
            )
        shrink = Fraction(encoding.short_side_px, min(size_px))
        if shrink >= 1:
            shutil.copyfile(frame, target / frame.name)
            continue
        height_px, width_px = (max(1, round(side * shrink)) for side in size_px)
        small = image.resize((width_px, height_px), Image.Resampling.BICUBIC)
        kind = kind if kind in _SAVED else "PNG"
        with (target / frame.name).open("wb") as file:
            small.save(file, kind, **_SAVED[kind])
    names = {frame.name for frame in frames}
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name not in names and entry.is_file():
                shutil.copyfile(entry.path, target / entry.name)
    return len(frames)
