"""A folder of numbered images as a video."""

import os
import re
import stat
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from actionprompt.clips import IMAGE_SUFFIXES, is_image
from actionprompt.video.limits import Limits, VideoDecodeError, decode_errors

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "WEBP")
"""By content; others that Pillow knows are no frames, and one of them runs a program."""


def find(path: str) -> tuple[Path, ...]:
    """The images of a folder in the order of the numbers in their names, without a gap.

    Raises:
        VideoDecodeError: no images, or numbers that are missing or come twice.
    """
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
    return tuple(Path(path, numbered[number]) for number in sorted(numbered))


def read(
    path: str, images: tuple[Path, ...], indices: list[int], short_side_px: int | None, limits: Limits
) -> UInt8[np.ndarray, "N H W 3"]:
    """The images at these indices, turned upright, shrunk by Pillow's bicubic."""
    frames, size_px = None, (0, 0)
    for index, where in places(indices).items():
        name = images[index].name
        with decode_errors(path, f"image {name} cannot be read"):
            image = upright(path, images[index], limits)
        if frames is None:
            size_px = image.height, image.width
            frames = empty_frames(path, len(indices), size_px, short_side_px, limits)
        elif (image.height, image.width) != size_px:
            raise VideoDecodeError(path, f"image {name} is {image.height}x{image.width} px, others are {by(size_px)}")
        target = frames.shape[2], frames.shape[1]
        frames[where] = image if image.size == target else image.resize(target, Image.Resampling.BICUBIC)
    assert frames is not None
    return frames


def upright(path: str, file: Path, limits: Limits) -> Image.Image:
    """One image as RGB, turned as its camera says; raises `VideoDecodeError`, or what Pillow or the system raise."""
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise VideoDecodeError(path, f"image {file.name} is no file")
    _check_chunks(path, file)
    with Image.open(file, formats=FORMATS) as opened:
        limits.check_size(path, opened.height, opened.width, f"image {file.name}")
        image = ImageOps.exif_transpose(opened)
    if image.mode == "F" or image.mode.startswith("I"):
        # 16 bits of grey: the upper 8, as Pillow itself does with 16 bits of colour; `convert` would clip
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise VideoDecodeError(path, f"image {file.name} has pixels of more than 16 bits; store it with 8")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return image.convert("RGB")


def _check_chunks(path: str, file: Path) -> None:
    """Refuses a PNG with a chunk that says it is longer than the file: Pillow would allocate what it says."""
    with open(file, "rb") as opened:
        if opened.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        size, place = os.fstat(opened.fileno()).st_size, 8
        while len(head := opened.read(8)) == 8:
            num_bytes = int.from_bytes(head[:4])
            place += 12 + num_bytes
            if place > size:
                raise VideoDecodeError(path, f"image {file.name} is damaged: a part says it has {num_bytes} bytes")
            opened.seek(place)


def places(indices: Iterable[int]) -> dict[int, list[int]]:
    """Where each index is asked for."""
    found: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        found.setdefault(index, []).append(place)
    return found


def empty_frames(
    path: str, num_frames: int, size_px: tuple[int, int], short_side_px: int | None, limits: Limits
) -> UInt8[np.ndarray, "N H W 3"]:
    """The array to read frames of this size into, after shrinking."""
    shrink = min(Fraction(1), Fraction(short_side_px or min(size_px), min(size_px)))
    shape = num_frames, *(max(1, round(side * shrink)) for side in size_px), 3
    limits.check_bytes(path, int(np.prod([int(side) for side in shape], dtype=object)))
    return np.empty(shape, np.uint8)


def by(size_px: tuple[int, ...]) -> str:
    """Height x width, for messages."""
    return f"{size_px[0]}x{size_px[1]}"
