"""From decoded frames to model input.

Data-loader workers use uint8 only (`eval_views`, `squash`); floating-point work is done in batches on the device
(`normalise`, `augment`, `mixup`). Evaluation reproduces the preprocessing of a backbone's checkpoint (`config.Pixels`)
bit for bit. Training draws random parameters once per clip, so that what is static in a video stays static after
augmentation.

Letters: F and T frames, H W source size in pixels, S side in pixels, N clips, K classes.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from actionprompt import distortions
from actionprompt.config import Augment, Fit

MOST_CROPPED = 1.1
"""Long / short side up to which `fit="auto"` takes the centre crop, which then loses a tenth at most; a crop of 4:3
loses a quarter."""

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
PAD_VALUE = 0  # uint8: letterbox bars are black before pixel normalisation


def resolve(fit: Fit, height_px: int, width_px: int) -> Literal["crop", "squash", "letterbox"]:
    """What `fit` means for a video of this size.

    Raises:
        ValueError: another `fit`, or "own", which `DataConfig.resolved` replaces by that of a backbone.
    """
    if fit in ("crop", "squash", "letterbox"):
        return fit
    if fit != "auto":
        raise ValueError(f"fit must be 'crop', 'squash', 'letterbox' or 'auto', got {fit!r}")
    return "crop" if max(height_px, width_px) <= MOST_CROPPED * min(height_px, width_px) else "letterbox"


def eval_views(
    frames: UInt8[np.ndarray, "F H W 3"],
    *,
    side_px: int,
    num_crops: int = 1,
    fit: Fit = "crop",
    resize_side: int | None = None,
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
) -> UInt8[np.ndarray, "{num_crops} F 3 {side_px} {side_px}"]:
    """Deterministic square views of a clip: a checkpoint's own preprocessing, up to the uint8 image before pixel
    normalisation. The resize is Pillow's, which antialiases, with this `interpolation`.

    `fit="crop"`: the short side is resized to `side_px`, the long side rounded down, then cropped at an offset that is
    rounded half to even, as in CLIP's `_transform` (Radford et al., 2021) and OpenCLIP. transformers rounds the offset
    down: its crop is one pixel to the left of this one (above it) where the long side exceeds `side_px` by 3, 7, 11,
    ..., and the same elsewhere. `num_crops=3` takes the left, centre and right crop of a landscape video, or the top,
    centre and bottom crop of a portrait one (the usual `clips x 3` views). `fit="squash"`: the whole frame is resized
    to the square, its aspect ratio ignored (SigLIP). `fit="letterbox"`: the long side is resized to `side_px` and the
    frame is centred on black. `fit="auto"`: "crop" up to a ratio of the sides of `MOST_CROPPED`, else "letterbox".

    `resize_side` is the 256 that video papers state as "short side 256, crop 224": the short side in pixels before the
    crop, for an input of 224 and in proportion for others (73 for an input of 64). All crops are centred along the
    short side. None is CLIP's own: the short side is `side_px`.

    Raises:
        ValueError: frames that are not uint8 RGB `[F, H, W, 3]`, `side_px` below 1, `num_crops` other than 1 or 3,
            `resize_side` below 224, three crops or a `resize_side` of a frame that is not cropped, or another `fit` or
            `interpolation`.
    """
    _check_frames(frames)
    _check_side(side_px)
    if num_crops not in (1, 3):
        raise ValueError(f"num_crops must be 1 or 3, got {num_crops}")
    num_frames, height_px, width_px, _ = frames.shape
    shown = resolve(fit, height_px, width_px)
    if fit != "crop" and num_crops != 1:
        raise ValueError(f"fit={fit!r} gives one view, got num_crops={num_crops}; use num_crops=1 or fit='crop'")
    if resize_side is not None and fit != "crop":
        raise ValueError(f"a frame is cropped with fit='crop' alone: expected no resize_side, got {resize_side}")
    if resize_side is not None and resize_side < 224:
        raise ValueError(f"resize_side must be at least 224, the crop that it is stated for, got {resize_side}")
    if interpolation not in RESAMPLING:
        raise ValueError(f"interpolation must be 'bicubic' or 'bilinear', got {interpolation!r}")

    views = np.full((num_crops, num_frames, 3, side_px, side_px), PAD_VALUE, dtype=np.uint8)
    if shown != "crop":
        box = (0, 0, side_px, side_px) if shown == "squash" else _letterbox(height_px, width_px, side_px)
        top, left, new_height, new_width = box
        for i, frame in enumerate(frames):
            resized = _resize_pillow(frame, new_height, new_width, interpolation)
            views[0, i, :, top : top + new_height, left : left + new_width] = resized.transpose(2, 0, 1)
        return views

    short_px, long_px = sorted((height_px, width_px))
    new_short = side_px if resize_side is None else round(side_px * resize_side / 224)
    new_long = int(new_short * long_px / short_px)
    across = round((new_short - side_px) / 2)
    centre = round((new_long - side_px) / 2)
    offsets = (centre,) if num_crops == 1 else (0, centre, new_long - side_px)
    landscape = width_px >= height_px
    for i, frame in enumerate(frames):
        size = (new_short, new_long) if landscape else (new_long, new_short)
        resized = _resize_pillow(frame, *size, interpolation)
        for view, along in zip(views, offsets):
            top, left = (across, along) if landscape else (along, across)
            view[i] = resized[top : top + side_px, left : left + side_px].transpose(2, 0, 1)
    return views


def squash(
    frames: UInt8[np.ndarray, "F H W 3"], *, side_px: int, fit: Fit = "crop"
) -> tuple[UInt8[np.ndarray, "F 3 {side_px} {side_px}"], float]:
    """Whole frames resized to squares, so that clips of any shape can be stacked, and the aspect ratio to undo this.

    Returns the frames and `aspect`, the width / height of the source frames; `augment` draws its crops in this true
    geometry. With `fit="squash"` the aspect is 1: crops are drawn in the squashed geometry that evaluation shows.
    `fit="letterbox"` preserves the aspect ratio with black bars instead and returns an aspect of 1. The resize is
    antialiased bicubic on uint8 tensors, as that of the crops in `augment`, also where evaluation is bilinear: equal to
    Pillow's up to rounding, in a tenth of the time.

    A training crop is taken from these `side_px` pixels, not from the source: choose `side_px` somewhat larger than the
    model's input (256 for 224), or small crops are blurred.

    Raises:
        ValueError: frames that are not uint8 RGB `[F, H, W, 3]`, `side_px` below 1, or another `fit`.
    """
    _check_frames(frames)
    _check_side(side_px)
    num_frames, height_px, width_px, _ = frames.shape
    # FHWC viewed as FCHW is torch's channels_last, for which its uint8 resize is fast
    source = torch.from_numpy(np.require(frames, requirements=["C", "W"])).permute(0, 3, 1, 2)
    shown = resolve(fit, height_px, width_px)
    if shown != "letterbox":
        whole = F.interpolate(source, size=(side_px, side_px), mode="bicubic", antialias=True)
        return whole.contiguous().numpy(), width_px / height_px if shown == "crop" else 1.0
    top, left, new_height, new_width = _letterbox(height_px, width_px, side_px)
    boxed = torch.full((num_frames, 3, side_px, side_px), PAD_VALUE, dtype=torch.uint8)
    boxed[:, :, top : top + new_height, left : left + new_width] = F.interpolate(
        source, size=(new_height, new_width), mode="bicubic", antialias=True
    )
    return boxed.numpy(), 1.0


def normalise(
    video: UInt8[Tensor, "N T 3 S S"], *, mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "N T 3 S S"]:
    """Pixel normalisation: `(video / 255 - mean) / std` per channel, float32, on the video's device.

    Raises:
        ValueError: a video that is not uint8 `[N, T, 3, S, S]`, or not three values of mean and std.
    """
    _check_video(video)
    return _standardise(video.float().div_(255), mean, std)


def augment(
    video: UInt8[Tensor, "N T 3 R R"],
    aspect: Float[Tensor, " N"],
    config: Augment,
    *,
    side_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    rngs: Sequence[np.random.Generator],
) -> Float[Tensor, "N T 3 {side_px} {side_px}"]:
    """Random crop, flip, colour jitter, greyscale, RandAugment, random erasing and pixel normalisation, drawn once per
    clip and shared by its frames; RandAugment of the kind "ildoonet" comes first, before the crop.

    `video` and `aspect` are stacked results of `squash`. Runs on the video's device. Clip n draws from `rngs[n]` only,
    so its pixels do not depend on other clips, processes or global state. With all random operations turned off the
    result is `normalise` of the frames resized to `side_px`.

    Operations that use pixel statistics (contrast, auto-contrast, equalise) compute them over the whole clip, so that a
    static background keeps its colour while something moves in front of it; applying an image augmentation frame by
    frame, as some papers do, makes it flicker.

    Raises:
        ValueError: a video that is not uint8 `[N, T, 3, R, R]`, not one positive finite aspect per clip, or `side_px`
            below 1.
    """
    _check_video(video)
    _check_side(side_px)
    if aspect.shape != video.shape[:1]:
        raise ValueError(
            f"expected one aspect per clip, shape {list(video.shape[:1])}, got {list(aspect.shape)} "
            f"for video {list(video.shape)}"
        )
    if not bool(((aspect > 0) & aspect.isfinite()).all()):
        raise ValueError(
            f"expected aspect (width / height of the source) to be positive and finite, got {aspect.tolist()}"
        )

    num_clips, num_frames = video.shape[:2]
    out = torch.empty((num_clips, num_frames, 3, side_px, side_px), device=video.device)
    fill = _per_channel(mean, video.device)
    # clip by clip: every clip has its own operations, and one clip fits into the CPU cache where a batch does not
    with torch.autocast(video.device.type, enabled=False):  # kornia's convolutions would round pixels to bfloat16
        for n, (clip_aspect, rng) in enumerate(zip(aspect.tolist(), rngs, strict=True)):
            whole = video[n]
            if config.rand_augment is not None and config.rand_augment_kind == "ildoonet":
                whole = distortions.rand_augment_ildoonet(whole, clip_aspect, rng, *config.rand_augment)
            clip = _resize_box(whole, _crop_box(rng, clip_aspect, config), side_px)
            if rng.random() < config.flip:
                clip = clip.flip(-1)
            grey = rng.random() < config.grey
            if rng.random() < config.colour_jitter:
                clip = distortions.colour_jitter(clip, rng)
            if grey:
                clip = distortions.grey(clip)
            if config.rand_augment is not None and config.rand_augment_kind == "timm":
                clip = distortions.rand_augment_timm(clip, rng, *config.rand_augment, fill=fill)
            out[n] = clip
            if rng.random() < config.random_erasing:
                top, left, height, width = _erase_box(rng, side_px)
                out[n, :, :, top : top + height, left : left + width] = fill
    return _standardise(out, mean, std)


def mixup(
    video: Float[Tensor, "N T 3 S S"], targets: Float[Tensor, "N K"], *, alpha: float, rng: np.random.Generator
) -> tuple[Float[Tensor, "N T 3 S S"], Float[Tensor, "N K"]]:
    """`x = lam * x_n + (1 - lam) * x_(n-1)`, and the same for the targets, with `lam ~ Beta(alpha, alpha)` (Zhang et
    al., 2018, eq. 1); one `lam` per batch, as in their code. `targets` are one-hot or label-smoothed rows. A clip is
    mixed with its neighbour in the batch, which the loader has shuffled; a batch of one is returned unchanged.

    Raises:
        ValueError: `alpha` not above 0, or not one float row of targets per clip.
    """
    if not alpha > 0:
        raise ValueError(f"mixup's alpha must be positive, got {alpha}; omit the call to train without it")
    if targets.ndim != 2 or len(targets) != len(video) or not targets.is_floating_point():
        raise ValueError(
            f"expected one float row of class weights per clip, [{len(video)}, K], got {targets.dtype} "
            f"{list(targets.shape)} for video {list(video.shape)}; convert class indices with one_hot(...).float()"
        )
    weight = 1 - rng.beta(alpha, alpha)
    return video.lerp(video.roll(1, 0), weight), targets.lerp(targets.roll(1, 0), weight)


# --- geometry -------------------------------------------------------------------------------------------------------


def _resize_pillow(frame: np.ndarray, height_px: int, width_px: int, interpolation: str) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((width_px, height_px), RESAMPLING[interpolation]))


def _letterbox(height_px: int, width_px: int, side_px: int) -> tuple[int, int, int, int]:
    """Top, left, height, width in pixels of the frame inside the square."""
    scale = side_px / max(height_px, width_px)
    height, width = max(1, round(height_px * scale)), max(1, round(width_px * scale))
    return (side_px - height) // 2, (side_px - width) // 2, height, width


def _crop_box(rng: np.random.Generator, aspect: float, config: Augment) -> tuple[float, float, float, float]:
    """Top, left, height, width of the training crop as fractions of the frame. Random resized crop (Szegedy et al.,
    2015): of ten draws of area and ratio the first that fits; if none fits, the largest centred box with a ratio in
    range, whatever its area, as in torchvision."""
    if config.multi_scale:
        return _multi_scale_box(rng, aspect, config.multi_scale)
    low, high = config.crop_ratio
    for _ in range(10):
        area = rng.uniform(*config.crop_scale)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        height, width = math.sqrt(area * aspect / ratio), math.sqrt(area * ratio / aspect)
        if height <= 1 and width <= 1:
            return rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width
    ratio = min(max(aspect, low), high)
    height, width = min(1.0, aspect / ratio), min(1.0, ratio / aspect)
    return (1 - height) / 2, (1 - width) / 2, height, width


# top and left of a crop in quarters of the room it has: corners, centre, edges, quarters (TSN's more_fix_crop)
_PLACES = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))


def _multi_scale_box(
    rng: np.random.Generator, aspect: float, sizes: Sequence[float]
) -> tuple[float, float, float, float]:
    """Multi-scale crop of TSN (Wang et al., 2016), as its code has it: height and width are fractions of the short side
    that are at most one place apart in `sizes`, at one of 13 places. Not taken over: sizes within 3 pixels of the input
    become the input's there, and its resize is bilinear."""
    pairs = [(h, w) for i, h in enumerate(sizes) for j, w in enumerate(sizes) if abs(i - j) <= 1]
    height, width = pairs[rng.integers(len(pairs))]
    height, width = height * min(1, aspect), width * min(1, 1 / aspect)
    top, left = _PLACES[rng.integers(len(_PLACES))]
    return (1 - height) * top / 4, (1 - width) * left / 4, height, width


def _resize_box(clip: Tensor, box: tuple[float, float, float, float], side_px: int) -> Tensor:
    """A box of a uint8 clip, rounded to whole pixels, resized to float [T, 3, side, side] in [0, 1]; antialiased like
    CLIP's own training crop, unlike kornia's crops."""
    top, left, height, width = (fraction * clip.shape[-1] for fraction in box)
    rows = slice(round(top), max(round(top + height), round(top) + 1))
    columns = slice(round(left), max(round(left + width), round(left) + 1))
    pixels = clip[:, :, rows, columns].float().div_(255)
    # bicubic overshoots next to hard edges
    return F.interpolate(pixels, size=(side_px, side_px), mode="bicubic", antialias=True).clamp_(0, 1)


def _erase_box(rng: np.random.Generator, side_px: int) -> tuple[int, int, int, int]:
    """Top, left, height, width in pixels; a box that is longer than the frame is clipped to it."""
    area = rng.uniform(0.02, 1 / 3) * side_px**2
    ratio = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
    height = min(side_px, max(1, round(math.sqrt(area / ratio))))
    width = min(side_px, max(1, round(math.sqrt(area * ratio))))
    return int(rng.integers(side_px - height + 1)), int(rng.integers(side_px - width + 1)), height, width


def _standardise(video: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """In place."""
    return video.sub_(_per_channel(mean, video.device)).div_(_per_channel(std, video.device))


def _per_channel(values: Sequence[float], device: torch.device) -> Tensor:
    if len(values) != 3:
        raise ValueError(f"expected mean and std with one number per colour channel, 3 in all, got {values}")
    return torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_frames(frames: np.ndarray) -> None:
    shape = list(frames.shape)
    if frames.ndim == 4 and shape[3] == 3 and min(shape) > 0 and frames.dtype == np.uint8:
        return
    hint = ""
    if frames.ndim == 3 and shape[2] == 3:
        hint = "; pass a single frame as frames[None]"
    elif frames.ndim == 4 and shape[1] == 3:
        hint = "; the channels seem to be axis 1, move them last with frames.transpose(0, 2, 3, 1)"
    elif frames.ndim == 4 and shape[3] == 4:
        hint = "; drop the alpha channel with frames[..., :3]"
    elif frames.dtype != np.uint8:
        hint = "; pass pixels 0..255, they are scaled after resizing"
    raise ValueError(f"expected frames uint8 [F, H, W, 3], none empty, got {frames.dtype} {shape}{hint}")


def _check_video(video: Tensor) -> None:
    shape = list(video.shape)
    if video.ndim == 5 and shape[2] == 3 and shape[3] == shape[4] and min(shape) > 0 and video.dtype == torch.uint8:
        return
    hint = ""
    if video.ndim == 4 and shape[1] == 3:
        hint = "; pass a single clip as video[None]"
    elif video.ndim == 5 and shape[2] != 3 and shape[1] == 3:
        hint = "; axes 1 and 2 look swapped, use video.transpose(1, 2)"
    elif video.ndim == 5 and shape[2] != 3 and shape[4] == 3:
        hint = "; the channels seem to be last, use video.permute(0, 1, 4, 2, 3)"
    elif video.ndim == 6:
        hint = "; merge clips and views with video.flatten(0, 1)"
    elif video.dtype != torch.uint8:
        hint = "; pass pixels 0..255 as decoded, they are scaled here"
    raise ValueError(
        f"expected video uint8 [N, T, 3, S, S], none empty, got {str(video.dtype).removeprefix('torch.')} {shape}{hint}"
    )


def _check_side(side_px: int) -> None:
    if side_px < 1:
        raise ValueError(f"side_px must be at least 1, got {side_px}")
