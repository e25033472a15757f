"""Video files and image folders -> RGB frames: the only package that uses a video decoder.

A frame's index is its position in display order, counted from 0, in the plain sequential decode of the file: FFmpeg's
decoder, from the first packet on, in one thread. The reader's promise is these frames, or a `VideoDecodeError`; how it
finds them is in `scan` (what is where), `headers` (the proof that decoding may begin in the middle) and `decoding`.

What a file declares is checked against `Limits`, and never believed.

Letters: N requested frames, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Integer, UInt8

from actionprompt.video import decoding, images
from actionprompt.video.limits import Limits, VideoDecodeError, decode_errors
from actionprompt.video.scan import table
from actionprompt.video.streaming import Stream
from actionprompt.video.writing import write_video

__all__ = (
    "Limits",
    "Stream",
    "VideoDecodeError",
    "VideoInfo",
    "count_frames",
    "frame_times",
    "probe",
    "read_frames",
    "write_video",
)


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


def count_frames(path: str | Path, *, limits: Limits | None = None) -> int:
    """The number of displayed frames: all that sampling needs, and cheaper than `probe`.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    return table(path, limits or Limits.from_environment()).num_frames


def probe(path: str | Path, *, limits: Limits | None = None) -> VideoInfo:
    """Counts the frames, and decodes the first one for its size.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    found = table(path, limits or Limits.from_environment())
    height_px, width_px = read_frames(path, [0], limits=limits).shape[1:3]
    fps = found.num_frames / found.duration_s if found.duration_s else None
    return VideoInfo(found.num_frames, fps, height_px, width_px, found.duration_s)


def frame_times(
    path: str | Path, indices: Sequence[int] | Integer[np.ndarray, " N"], *, limits: Limits | None = None
) -> Float64[np.ndarray, " N"]:
    """Seconds from the first frame to each of these, by timestamps if they are valid, else by the mean frame rate.

    Raises:
        ValueError: an index is out of range.
        VideoDecodeError: the video cannot be read, or is an image folder, which has no timestamps.
    """
    found = table(path, limits or Limits.from_environment())
    if found.times_s is None:
        raise VideoDecodeError(path, "an image folder has no timestamps; use frame indices")
    return found.times_s[_checked(path, indices, found.num_frames)]


def read_frames(
    path: str | Path,
    indices: Sequence[int] | Integer[np.ndarray, " N"],
    *,
    short_side_px: int | None = None,
    limits: Limits | None = None,
) -> UInt8[np.ndarray, "N H W 3"]:
    """The frames at these display indices, as uint8 RGB, rotated and mirrored as the file's metadata says.

    Indices may repeat and be in any order; each frame is decoded once. A requested frame that is missing or corrupt is
    an error, never replaced. Corrupt is what the decoder reports; the decoders of VP8, VP9 and GIF miss much of it, and
    return for damaged data what any player shows. Pixels are assumed to be square, as is usual in the field. A
    data-loader worker decodes in one thread, other processes in four if frames are large.

    `short_side_px` shrinks the frames so that the short side has this size, keeping the aspect ratio; frames are never
    enlarged. Videos are resized by swscale's bicubic in their own 4:2:0 before rotation, images by Pillow's bicubic.
    It saves time, but only None gives the pixels from which CLIP's own resize can be reproduced exactly.

    Raises:
        ValueError: no indices, an index out of range, or `short_side_px` below 1.
        VideoDecodeError: the file cannot be read, a requested frame cannot be decoded, or a limit is exceeded.
    """
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"expected short_side_px >= 1 or None, got {short_side_px}")
    limits = limits or Limits.from_environment()
    found = table(path, limits)
    wanted = _checked(path, indices, found.num_frames)
    if not wanted:
        raise ValueError(f"{path}: no frame indices given; expected at least one")
    with decode_errors(path):
        if found.images:
            return images.read(str(path), found.images, wanted, short_side_px, limits)
        return decoding.read(str(path), found, wanted, short_side_px, limits)


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
