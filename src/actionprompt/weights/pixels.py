"""What a checkpoint asks of its pixels, from the files next to its weights.

Files in Hugging Face format are read as transformers 5 reads them: the `image_processor` of processor_config.json, else
preprocessor_config.json; what a file leaves out is the default of the image processor that it names. transformers has
each of them twice, with Pillow and with torchvision; here is Pillow. What cannot be reproduced exactly is refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actionprompt.config import Pixels
from actionprompt.weights.tensors import read_json

HALF = (0.5, 0.5, 0.5)
SIGLIP = Pixels(HALF, HALF, fit="squash")
PROCESSORS = {
    "CLIP": Pixels(),
    "ChineseCLIP": Pixels(),
    "Siglip": SIGLIP,
    "Siglip2": replace(SIGLIP, interpolation="bilinear"),
}
"""Defaults of transformers' image processors by the first part of their name; "Siglip2" is NaFlex."""
DEFAULTS = {
    "clip": Pixels(),
    "metaclip_2": Pixels(),
    "altclip": Pixels(),
    "chinese_clip": Pixels(fit="squash"),  # `image_transform` in the authors' code (OFA-Sys/Chinese-CLIP)
    "siglip": SIGLIP,
    "siglip2": PROCESSORS["Siglip2"],
    "open_clip": Pixels(),
}
"""By family, for a folder without such a file."""
FILES = ("processor_config.json", "preprocessor_config.json")
RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
RESIZE_MODES = {"shortest": "crop", "squash": "squash"}
"""OpenCLIP's words."""


def from_preprocessor(folder: Path, *, default: Pixels, side_px: int) -> Pixels:
    """What a folder in Hugging Face format asks for; `default` where it has no file that says so. `side_px` is the side
    of the image tower, and of a frame whose size the file leaves out.

    NaFlex keeps an image's aspect ratio in a grid of up to `max_num_patches`; at the fixed size of `side_px` it is the
    squash, which is the same for a square image.

    Raises:
        ValueError: a file that asks for another size, or for what cannot be reproduced.
    """
    where, found = _image_processor(folder)
    if where is None:
        return default
    name = found.get("image_processor_type", found.get("feature_extractor_type"))
    kind = None
    if name is not None:
        match = re.fullmatch(r"(\w+?)(ImageProcessor|FeatureExtractor)(Fast|Pil)?", str(name))
        kind = match[1] if match else None
        if kind not in PROCESSORS:
            known = ", ".join(f"{known}ImageProcessor" for known in PROCESSORS)
            raise ValueError(f"{where}: image_processor_type: expected one of {known}, got {name!r}")
        default = PROCESSORS[kind]
    for field, value in (("do_resize", True), ("do_rescale", True), ("do_pad", False)):
        if _flag(found, field, value, where) is not value:
            raise ValueError(f"{where}: {field}: expected {str(value).lower()}, got {found[field]!r}")
    factor = found.get("rescale_factor", 1 / 255)
    if type(factor) not in (int, float) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise ValueError(f"{where}: rescale_factor: expected 1 / 255, got {factor!r}")
    interpolation: Any = _word(found, "resample", RESAMPLE, default.interpolation, where)
    if kind == "Siglip2":
        _check_grid(found, side_px, where)
        fit: Any = "squash"
    else:
        fit = _fit(found, default, side_px, where)
    if not _flag(found, "do_normalize", True, where):
        return Pixels((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), interpolation, fit)
    mean, std = _three(found, "image_mean", default.mean, where), _three(found, "image_std", default.std, where, 0.0)
    return Pixels(mean, std, interpolation, fit)


def from_open_clip(preprocess: Mapping[str, Any], where: str | Path, *, side_px: int) -> Pixels:
    """What the `preprocess_cfg` of a file in OpenCLIP's format asks for; what it leaves out is OpenCLIP's default.
    `where` is the file, for messages, and `side_px` the side of the image tower.

    Raises:
        ValueError: as `from_preprocessor`.
    """
    if not isinstance(preprocess, Mapping):
        raise ValueError(f"{where}: preprocess_cfg: expected an object, got {preprocess!r}")
    found = {key: value for key, value in preprocess.items() if value is not None}
    if found.get("mode", "RGB") != "RGB":
        raise ValueError(f"{where}: mode: expected 'RGB', got {found['mode']!r}")
    size = found.get("size", side_px)
    if size not in (side_px, [side_px], [side_px, side_px]):
        raise ValueError(f"{where}: size: expected {side_px}, the side of the image tower, got {size!r}")
    words = {"bicubic": "bicubic", "bilinear": "bilinear"}
    interpolation: Any = _word(found, "interpolation", words, "bicubic", where)
    fit: Any = _word(found, "resize_mode", RESIZE_MODES, "crop", where)
    own = Pixels()
    return Pixels(_three(found, "mean", own.mean, where), _three(found, "std", own.std, where, 0.0), interpolation, fit)


def _image_processor(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The file that has the fields of an image processor, and these."""
    for name in FILES:
        if (folder / name).is_file():
            found: Any = read_json(folder / name)
            if name == FILES[0]:
                found = found.get("image_processor")
                if found is None:  # the file names other parts alone
                    continue
                if not isinstance(found, dict):
                    raise ValueError(f"{folder / name}: image_processor: expected an object, got {found!r}")
            return folder / name, found
    return None, {}


def _fit(found: Mapping[str, Any], default: Pixels, side_px: int, where: Path) -> str:
    """The crop, or the squash: of a short side, or of height and width."""
    size = found.get("size", {"shortest_edge": side_px} if default.fit == "crop" else [side_px, side_px])
    size = {"shortest_edge": size} if type(size) is int else size
    crops = _flag(found, "do_center_crop", default.fit == "crop", where)
    crop = found.get("crop_size", side_px)
    square = ([side_px, side_px], {"height": side_px, "width": side_px})
    if size not in (*square, {"shortest_edge": side_px}):
        raise ValueError(f"{where}: size: expected {side_px}, the side of the image tower, got {size!r}")
    if crops and crop not in (side_px, *square):
        raise ValueError(f"{where}: crop_size: expected {side_px}, the side of the image tower, got {crop!r}")
    if size in square:
        return "squash"
    if not crops:
        raise ValueError(
            f"{where}: expected do_center_crop, or a height and a width as the size: the image tower takes squares"
        )
    return "crop"


def _check_grid(found: Mapping[str, Any], side_px: int, where: Path) -> None:
    """Raise ValueError where NaFlex would make another image than one of `side_px` of a square one."""
    patch_px, most = found.get("patch_size", 16), found.get("max_num_patches", 256)
    for field, value in (("patch_size", patch_px), ("max_num_patches", most)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{where}: {field}: expected a whole number of at least 1, got {value!r}")
    if side_px % patch_px or most != (side_px // patch_px) ** 2:
        raise ValueError(
            f"{where}: expected a square of patches with the side of the image tower, {side_px} pixels, got up to "
            f"{most} patches of {patch_px} pixels"
        )


def _flag(found: Mapping[str, Any], field: str, default: bool, where: Path) -> bool:
    value = found.get(field, default)
    if value not in (True, False, None) or type(value) is int:
        raise ValueError(f"{where}: {field}: expected true or false, got {value!r}")
    return bool(value)  # transformers takes null for false


def _word(found: Mapping[str, Any], field: str, words: Mapping[Any, str], default: str, where: str | Path) -> str:
    if field not in found:
        return default
    value = found[field]
    if not isinstance(value, int | str) or value not in words:
        raise ValueError(f"{where}: {field}: expected one of {', '.join(map(repr, words))}, got {value!r}")
    return words[value]


def _three(
    found: Mapping[str, Any], field: str, default: tuple[float, ...], where: str | Path, above: float = -math.inf
) -> tuple[float, float, float]:
    values = found.get(field, default)
    three = isinstance(values, list | tuple) and len(values) == 3
    if not (three and all(type(x) in (int, float) and above < x < math.inf for x in values)):
        raise ValueError(f"{where}: {field}: expected three finite numbers, one per channel, got {values!r}")
    red, green, blue = map(float, values)
    return red, green, blue
