"""Random distortions of a clip: colour jitter, and RandAugment (Cubuk et al., 2020) as in timm and as in ildoonet's
package, the two forms that video papers use.

Everything is drawn once per clip and shared by its frames. Operations that use pixel statistics (contrast,
auto-contrast, equalise) compute them over the whole clip, so that a static background keeps its colour while something
moves in front of it; the public code of PromptLearner-CLIP and ActionCLIP distorts every frame by its own draw.

Letters: T frames, R and S side in pixels.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Linear = tuple[tuple[float, float], tuple[float, float]]

TIMM = (
    *("auto_contrast", "equalise", "invert", "posterise", "solarise", "solarise_add"),
    *("colour", "contrast", "brightness", "sharpness"),
    *("rotate", "shear_x", "shear_y", "translate_x", "translate_y"),
)
ILDOONET = {
    "auto_contrast": (0, 1),
    "equalise": (0, 1),
    "invert": (0, 1),
    "rotate": (0, 30),  # degrees
    "posterise": (0, 4),  # bits that are kept: strongest at magnitude 0, where the frame turns black
    "solarise": (0, 256),  # grey level from which pixels are inverted: strongest at magnitude 0
    "solarise_add": (0, 110),  # grey levels
    "colour": (0.1, 1.9),  # factors: 1 changes nothing
    "contrast": (0.1, 1.9),
    "brightness": (0.1, 1.9),
    "sharpness": (0.1, 1.9),
    "shear_x": (0, 0.3),
    "shear_y": (0, 0.3),
    "cutout": (0, 40),  # pixels of a frame whose short side is 256
    "translate_x": (0, 100),
    "translate_y": (0, 100),
}
"""The 16 operations of ildoonet's package and the values at magnitudes 0 and 30."""
CUTOUT_COLOUR = (125, 123, 114)


def grey(clip: Float[Tensor, "T 3 S S"]) -> Float[Tensor, "T 3 S S"]:
    """The luma of each pixel in all three channels."""
    return _kornia().color.rgb_to_grayscale(clip).expand(-1, 3, -1, -1)


def colour_jitter(clip: Float[Tensor, "T 3 S S"], rng: np.random.Generator) -> Float[Tensor, "T 3 S S"]:
    """Brightness and contrast x [0.6, 1.4], saturation x [0.8, 1.2] and hue +- 0.1 turns, in random order."""
    steps = [
        partial(_brightness, factor=rng.uniform(0.6, 1.4)),
        partial(_contrast, factor=rng.uniform(0.6, 1.4)),
        partial(_saturation, factor=rng.uniform(0.8, 1.2)),
        partial(_kornia().enhance.adjust_hue, factor=2 * math.pi * rng.uniform(-0.1, 0.1)),
    ]
    for i in rng.permutation(len(steps)):
        clip = steps[i](clip)
    return clip


# --- RandAugment as in timm ------------------------------------------------------------------------------------------


def rand_augment_timm(
    clip: Float[Tensor, "T 3 S S"], rng: np.random.Generator, num_ops: int, magnitude: float, *, fill: Tensor
) -> Float[Tensor, "T 3 S S"]:
    """What video papers call rand-m7-n4: the operations and ranges of timm's "increasing" set at a magnitude of 0 to
    10, drawn uniformly with replacement, each applied with probability 1/2 and a random sign. It changes the model's
    input, after the crop; pixels from outside the frame are `fill`.

    Differences from timm: shears are about the centre instead of the corner; posterise keeps at least one bit; pixel
    statistics are those of the whole clip; the magnitude is not jittered (timm's mstd).
    """
    for name in rng.choice(TIMM, size=num_ops):
        level = float(rng.choice((-1, 1))) * magnitude / 10
        if rng.random() < 0.5:
            clip = timm_operation(name, clip, level, fill)
    return clip


def timm_operation(name: str, clip: Tensor, level: float, fill: Tensor) -> Tensor:
    """One of `TIMM` at a level in -1..1."""
    size = abs(level)
    side_px = clip.shape[-1]
    warp = partial(_affine, centre=(side_px - 1) / 2, fill=fill)
    match name:
        case "posterise":
            return _kornia().enhance.posterize(clip, max(1, 4 - int(4 * size)))
        case "solarise":
            return _kornia().enhance.solarize(clip, 1 - size)
        case "solarise_add":
            return torch.where(clip < 0.5, (clip + 110 / 255 * size).clamp_(max=1), clip)
        case "rotate":
            cos, sin = math.cos(math.radians(30 * level)), math.sin(math.radians(30 * level))
            return warp(clip, ((cos, -sin), (sin, cos)))
        case "shear_x":
            return warp(clip, ((1, 0.3 * level), (0, 1)))
        case "shear_y":
            return warp(clip, ((1, 0), (0.3 * level, 1)))
        case "translate_x":
            return warp(clip, shift_px=(0.45 * level * side_px, 0))
        case "translate_y":
            return warp(clip, shift_px=(0, 0.45 * level * side_px))
    return _colour_operation(name, clip, 1 + 0.9 * level)


# --- RandAugment as in ildoonet's package ----------------------------------------------------------------------------


def rand_augment_ildoonet(
    clip: UInt8[Tensor, "T 3 R R"], aspect: float, rng: np.random.Generator, num_ops: int, magnitude: float
) -> UInt8[Tensor, "T 3 R R"]:
    """RandAugment as PromptLearner-CLIP and ActionCLIP run it, with ildoonet's package `randaugment`: operations of
    `ILDOONET` drawn uniformly with replacement, every one applied, at a magnitude m of 0 to 30, whose value is
    `m / 30 * (max - min) + min`; the geometric ones with a random sign. It changes the whole frame, before the crop.

    `clip` is squashed to a square and `aspect` the width / height of its source: angles, shears and lengths are those
    of the source's true geometry. Geometric operations take the nearest pixel, shears keep the upper left corner, and
    pixels from outside the frame are black, as there.

    Differences from the package: one draw per clip instead of per frame; pixel statistics are those of the whole clip;
    pixels between two operations are not rounded to whole levels; lengths in pixels (cutout, translations) are those of
    a frame whose short side is 256, whatever the size of the stored frames.
    """
    pixels = clip.float().div_(255)
    for name in rng.choice(list(ILDOONET), size=num_ops):
        pixels = ildoonet_operation(name, pixels, ildoonet_value(name, magnitude), aspect, rng)
    return pixels.mul_(255).round_().byte()


def ildoonet_value(name: str, magnitude: float) -> float:
    """Degrees, bits, grey levels, factor, slope or pixels of an operation at a magnitude of 0 to 30."""
    low, high = ILDOONET[name]
    return magnitude / 30 * (high - low) + low


def ildoonet_operation(name: str, clip: Tensor, value: float, aspect: float, rng: np.random.Generator) -> Tensor:
    """One of `ILDOONET`; the signs of geometric operations and the place of the cutout are drawn from `rng`."""
    side_px = clip.shape[-1]
    # pixels of the squashed frame per pixel of the source with a short side of 256
    across, down = side_px / 256 * min(1, 1 / aspect), side_px / 256 * min(1, aspect)
    warp = partial(_affine, centre=-0.5, mode="nearest")  # -0.5: the upper left corner of the first pixel
    match name:
        case "posterise":
            lost = (1 << (8 - int(value))) - 1
            return (clip * 255).round_().int().bitwise_and_(~lost).float().div_(255)
        case "solarise":
            return _solarise(clip, value)
        case "solarise_add":
            return _solarise((clip + int(value) / 255).clamp_(max=1), 128)
        case "cutout":
            x, y = rng.uniform(0, side_px, size=2)
            left, top = int(max(0, x - value * across / 2)), int(max(0, y - value * down / 2))
            right, bottom = int(left + value * across), int(top + value * down)  # inclusive, as Pillow draws
            clip = clip.clone()
            clip[:, :, top : bottom + 1, left : right + 1] = clip.new_tensor(CUTOUT_COLOUR).view(3, 1, 1) / 255
            return clip
        case "rotate":
            angle = math.radians(_sign(rng) * value)
            cos, sin = math.cos(angle), math.sin(angle)
            return warp(clip, ((cos, -sin / aspect), (sin * aspect, cos)), centre=(side_px - 1) / 2)
        case "shear_x":
            return warp(clip, ((1, _sign(rng) * value / aspect), (0, 1)))
        case "shear_y":
            return warp(clip, ((1, 0), (_sign(rng) * value * aspect, 1)))
        case "translate_x":
            return warp(clip, shift_px=(_sign(rng) * value * across, 0))
        case "translate_y":
            return warp(clip, shift_px=(0, _sign(rng) * value * down))
    return _colour_operation(name, clip, value)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice((-1, 1)))


# --- operations on float clips in [0, 1] -----------------------------------------------------------------------------


def _kornia() -> Any:
    """Imported at the first augmentation: importing takes longer than a prediction, which does not need it."""
    import kornia

    return kornia


def _colour_operation(name: str, clip: Tensor, factor: float) -> Tensor:
    """The operations that both forms share; the first three have no strength."""
    match name:
        case "auto_contrast":
            low, high = clip.amin((0, 2, 3), keepdim=True), clip.amax((0, 2, 3), keepdim=True)
            return torch.where(high > low, (clip - low) / (high - low), clip)
        case "equalise":
            return _kornia().enhance.equalize3d(clip.transpose(0, 1)).transpose(0, 1)
        case "invert":
            return 1 - clip
        case "colour":
            return _saturation(clip, factor)
        case "contrast":
            return _contrast(clip, factor)
        case "brightness":
            return _brightness(clip, factor)
        case "sharpness":
            return _kornia().enhance.sharpness(clip, factor)
    raise AssertionError(name)


def _brightness(clip: Tensor, factor: float) -> Tensor:
    return (clip * factor).clamp_(0, 1)


def _contrast(clip: Tensor, factor: float) -> Tensor:
    mean = _kornia().color.rgb_to_grayscale(clip).mean()
    return torch.lerp(mean, clip, factor).clamp_(0, 1)


def _saturation(clip: Tensor, factor: float) -> Tensor:
    return _kornia().enhance.adjust_saturation_with_gray_subtraction(clip, factor)


def _solarise(clip: Tensor, threshold: float) -> Tensor:
    """Inverts the grey levels from `threshold` (0 to 256) on; half a level below it, where rounding cannot matter."""
    return torch.where(clip < (math.ceil(threshold) - 0.5) / 255, clip, 1 - clip)


def _affine(
    clip: Tensor,
    linear: Linear = ((1, 0), (0, 1)),
    *,
    centre: float,
    shift_px: tuple[float, float] = (0, 0),
    fill: Tensor | None = None,
    mode: str = "bilinear",
) -> Tensor:
    """Maps pixel x to `linear @ (x - centre) + centre + shift`; pixels from outside the frame are `fill`, or black."""
    (a, b), (c, d) = linear
    offset_x = centre - a * centre - b * centre + shift_px[0]
    offset_y = centre - c * centre - d * centre + shift_px[1]
    matrix = torch.tensor([[[a, b, offset_x], [c, d, offset_y]]], dtype=clip.dtype, device=clip.device)
    if fill is None:
        return _kornia().geometry.warp_affine(clip, matrix, clip.shape[-2:], mode=mode)
    # shifted by the fill colour, so that kornia's zero padding becomes the fill: half the cost of its own "fill" mode
    return _kornia().geometry.warp_affine(clip - fill, matrix, clip.shape[-2:], mode=mode).add_(fill)
