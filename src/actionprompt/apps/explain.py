"""What a model looks at: the attention of the class token, or of an attention pool, over the patches, on the frames.

As in Fig. 7 of Deng et al. (Electronics 2024), the method is shown next to frozen CLIP; red is high attention, green
low. The maps come from `Method.attention_maps`; this file draws them.

Letters: T frames, S side of a model's input in pixels, h w patches, H W size of the drawn picture in pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from actionprompt import data, methods, transforms, video
from actionprompt.clips import Broken, Clip
from actionprompt.config import DataConfig
from actionprompt.method import Method
from actionprompt.weights import load_again, load_clip
from actionprompt.world.drawn import tiny_warnings

MARGIN_PX, BAND_PX = 4, 20


@dataclass(frozen=True)
class Explanation:
    """The input frames of a model, and the attention maps of frozen CLIP and of the model."""

    path: Path
    frames: UInt8[np.ndarray, "T S S 3"]
    """RGB, as cropped for the model."""
    maps: dict[str, Float[np.ndarray, "T h w"]]
    """By model: `frozen CLIP`, then the method. A frame's map sums to at most 1 (`Method.attention_maps`)."""
    warnings: tuple[str, ...] = ()
    """What has to be known of the model to judge the maps; drawn below them."""


def explain(
    path: str | Path,
    method: Method,
    config: DataConfig,
    *,
    baseline: Method | None = None,
    backbone: str | Path | None = None,
    num_layers: int = 3,
    device: torch.device | str = "cpu",
) -> Explanation:
    """Attention on the frames of one video (one view, the centre in time and space); see `Method.attention_maps` for
    `num_layers`.

    `baseline` is the model to compare with; by default frozen CLIP with the method's backbone, loaded again (from
    `backbone`, if it is given) because a method may have changed its own.

    Raises:
        VideoDecodeError: the video cannot be read.
        ValueError: the method does not provide attention maps.
    """
    if baseline is None:
        clip = load_clip(backbone) if backbone is not None else load_again(method.clip, method.clip_sha256)
        baseline = methods.build("zeroshot", clip, method.class_names)
    side_px = method.clip.image.image_size
    shown = Clip(key=str(path), path=Path(path), label=0)
    dataset = data.VideoDataset([shown], config.centre_view, side_px=side_px, training=False, pixels=method.clip.pixels)
    sample = dataset[0, 0]
    if isinstance(sample, Broken):
        raise video.VideoDecodeError(path, sample.reason)
    pixels = torch.from_numpy(sample.video).to(device)
    maps = {}
    for name, looks in (("frozen CLIP", baseline), (method.name, method)):
        looks = looks.to(device).eval()
        normalised = transforms.normalise(pixels, mean=looks.clip.pixels.mean, std=looks.clip.pixels.std)
        maps[name] = looks.attention_maps(normalised, num_layers=num_layers)[0].float().cpu().numpy()
    return Explanation(
        Path(path), sample.video[0].transpose(0, 2, 3, 1), maps, warnings=tuple(tiny_warnings(method, [path]))
    )


def overlay(
    frames: UInt8[np.ndarray, "T S S 3"], maps: Float[np.ndarray, "T h w"], *, strength: float = 0.5
) -> UInt8[np.ndarray, "T S S 3"]:
    """The maps overlaid on the frames, from green (the clip's minimum) to red (its 99th percentile), so that the frames
    of a clip are comparable. `strength` is the opacity of the colours, 0 to 1."""
    heat = F.interpolate(torch.from_numpy(maps)[None].float(), size=frames.shape[1:3], mode="bicubic")[0].numpy()
    low, high = heat.min(), np.percentile(heat, 99)
    heat = np.clip((heat - low) / max(high - low, 1e-12), 0, 1)
    colours = matplotlib.colormaps["RdYlGn_r"](heat)[..., :3] * 255
    return np.round((1 - strength) * frames + strength * colours).astype(np.uint8)


def rows(explanation: Explanation) -> dict[str, UInt8[np.ndarray, "T S S 3"]]:
    """The frames, then the overlay of every model, by title."""
    frames = explanation.frames
    return {"frames": frames, **{name: overlay(frames, maps) for name, maps in explanation.maps.items()}}


def strip(explanation: Explanation) -> UInt8[np.ndarray, "H W 3"]:
    """One picture with a column per frame and, from top to bottom, the frames, frozen CLIP, the method and the
    warnings."""
    parts = rows(explanation)
    pictures = [_titled_row(list(tiles), title) for title, tiles in parts.items()]
    width = max(picture.shape[1] for picture in pictures)
    rows_of = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate([*rows_of, _lines(explanation.warnings, width)])


def movie(explanation: Explanation) -> UInt8[np.ndarray, "T H W 3"]:
    """One picture per frame, with the frame, frozen CLIP and the method side by side, and the warnings below; H and W
    are even."""
    parts = rows(explanation)
    columns = [np.stack([_titled_row([tile], title) for tile in tiles]) for title, tiles in parts.items()]
    joined = np.concatenate(columns, axis=2)
    below = np.broadcast_to(lines := _lines(explanation.warnings, joined.shape[2]), (len(joined), *lines.shape))
    joined = np.concatenate([joined, below], axis=1)
    return joined[:, : joined.shape[1] // 2 * 2, : joined.shape[2] // 2 * 2]  # H.264 needs even sizes


def write(path: str | Path, explanation: Explanation, *, fps: float = 2.0) -> None:
    """Write the strip (`.png`) or the movie (`.gif`, `.mp4`, at `fps` input frames per second); folders are created.

    Raises:
        ValueError: `path` has another suffix.
    """
    path = Path(path)
    writers: dict[str, Callable[[], None]] = {
        ".png": lambda: Image.fromarray(strip(explanation)).save(path),
        ".gif": lambda: _write_gif(path, movie(explanation), fps),
        ".mp4": lambda: video.write_video(path, movie(explanation), fps),
    }
    if path.suffix.lower() not in writers:
        raise ValueError(f"expected a file name ending in {', '.join(writers)}, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix.lower()]()


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)


def _lines(texts: Sequence[str], width: int) -> UInt8[np.ndarray, "H W 3"]:
    """Texts in dark red on white, broken into lines that fit; no rows for no text."""
    font, lines = ImageFont.load_default(13), []
    for text in texts:
        lines.append("")
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width - 2 * MARGIN_PX:
                lines.append(word)
            else:
                lines[-1] = longer
    canvas = Image.new("RGB", (width, len(lines) * BAND_PX), "white")
    for place, line in enumerate(lines):
        ImageDraw.Draw(canvas).text((MARGIN_PX, place * BAND_PX + 3), line, fill="darkred", font=font)
    return np.asarray(canvas)


def _titled_row(tiles: list[np.ndarray], title: str) -> np.ndarray:
    """Square tiles in a row on white, with a title above."""
    side = tiles[0].shape[0]
    font = ImageFont.load_default(13)
    width = max(len(tiles) * (side + MARGIN_PX), int(font.getlength(title)) + MARGIN_PX) + MARGIN_PX
    canvas = Image.new("RGB", (width, BAND_PX + side + MARGIN_PX), "white")
    ImageDraw.Draw(canvas).text((MARGIN_PX, 3), title, fill="black", font=font)
    for place, tile in enumerate(tiles):
        canvas.paste(Image.fromarray(tile), (MARGIN_PX + place * (side + MARGIN_PX), BAND_PX))
    return np.asarray(canvas)
