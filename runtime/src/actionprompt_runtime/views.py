"""Which frames of a video a model sees, and how each becomes square views: bit for bit as in `actionprompt`.

Letters: V views (clips x crops), T frames of a view, C crops, S side of the model's input in pixels, H W of a frame.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from actionprompt_runtime import frames

MOST_CROPPED = 1.1
"""Long / short side up to which the fit "auto" is the centre crop, else the letterbox."""
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
SAMPLINGS, FITS = ("segment", "dense"), ("crop", "squash", "letterbox", "auto")


def load(
    path: str | Path, *, sampling: dict[str, Any], pixels: dict[str, Any], side_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """A video as uint8 [V, T, 3, S, S], and the display indices of its frames, int64 [clips, T]. `sampling` and
    `pixels` are the arguments of `sample` and of `crops`, as in the manifest.

    Raises:
        VideoDecodeError: the video cannot be read.
    """
    indices, kept = frames.read(path, lambda total: sample(total, **sampling), lambda f: crops(f, side_px, **pixels))
    clips = np.stack([np.stack([kept[index] for index in row], 1) for row in indices.tolist()])  # [clips, C, T, ...]
    return clips.reshape(-1, *clips.shape[2:]), indices


def sample(total: int, *, sampling: str, num_frames: int, stride: int, num_clips: int) -> np.ndarray:
    """The frames of each clip, int64 [clips, T], out of `total`. "segment": the centres of T equal parts of the video;
    of several clips, each of these parts is divided again. "dense": T frames with a stride, from the middle or from
    evenly spaced starts; the last frame is repeated where the video is too short."""
    if sampling == "segment":
        tick = total / num_frames
        shift = (np.arange(num_clips) + 0.5) / num_clips
        return (tick * shift[:, None] + tick * np.arange(num_frames)).astype(np.int64)
    last_start = max(0, total - (num_frames - 1) * stride - 1)
    starts = np.arange(num_clips) * last_start // (num_clips - 1) if num_clips > 1 else np.array([last_start // 2])
    return np.minimum(starts[:, None] + np.arange(num_frames) * stride, total - 1).astype(np.int64)


def crops(
    frame: np.ndarray, side_px: int, *, fit: str, num_crops: int, resize_side: int | None, interpolation: str
) -> np.ndarray:
    """uint8 [C, 3, S, S] of a frame [H, W, 3]. "crop": the short side is resized to S, or for "short side 256, crop
    224" to S x `resize_side` / 224; then the centre, or three crops along the long side. "squash": the aspect ratio is
    ignored. "letterbox": the whole frame, centred on black."""
    height_px, width_px, _ = frame.shape
    short_px, long_px = sorted((height_px, width_px))
    if fit == "auto":
        fit = "crop" if long_px <= MOST_CROPPED * short_px else "letterbox"
    if fit == "squash":
        return _resize(frame, side_px, side_px, interpolation)[None]
    if fit == "letterbox":
        scale = side_px / long_px
        height, width = max(1, round(height_px * scale)), max(1, round(width_px * scale))
        top, left = (side_px - height) // 2, (side_px - width) // 2
        view = np.zeros((1, 3, side_px, side_px), np.uint8)
        view[0, :, top : top + height, left : left + width] = _resize(frame, height, width, interpolation)
        return view
    new_short = side_px if resize_side is None else round(side_px * resize_side / 224)
    new_long = int(new_short * long_px / short_px)
    across, centre = round((new_short - side_px) / 2), round((new_long - side_px) / 2)
    along = (centre,) if num_crops == 1 else (0, centre, new_long - side_px)
    landscape = width_px >= height_px
    whole = _resize(frame, *((new_short, new_long) if landscape else (new_long, new_short)), interpolation)
    places = [(across, place) if landscape else (place, across) for place in along]
    return np.stack([whole[:, top : top + side_px, left : left + side_px] for top, left in places])


def _resize(frame: np.ndarray, height_px: int, width_px: int, interpolation: str) -> np.ndarray:
    """uint8 [3, height, width]."""
    resized = Image.fromarray(frame).resize((width_px, height_px), RESAMPLING[interpolation])
    return np.asarray(resized).transpose(2, 0, 1)
