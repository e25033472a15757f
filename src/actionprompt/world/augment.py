"""Random changes of a training still: crop, mirror, colours, grey and blur, with the mask of its figure.

In NumPy and OpenCV, about 0.1 ms per still of 112 px. Draws from the given generator only.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

CELL_PX = 4
"""Side of a cell of a mask in pixels. Crops begin and end on cells, so that the mask follows them exactly."""
CROPPED, GREY, JITTERED, BLURRED = 0.7, 0.2, 0.5, 0.2
"""Shares of the images that each change applies to."""
AREA, ASPECT = (0.3, 1.0), (3 / 4, 4 / 3)
"""Ranges of a crop's share of the image and of its width over its height."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def augment(
    image: UInt8[np.ndarray, "S S 3"], mask: UInt8[np.ndarray, "M M"], rng: np.random.Generator, strength: float = 1.0
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "M M"], bool]:
    """A changed still of the same size, its mask, and whether it lost its colours.

    `mask` has a cell for every `CELL_PX` pixels: how much of it shows the figure, 0..255. `strength`, 0..1, is a factor
    on the shares of all changes but mirroring. Changes of colour are small enough that no colour gets another's name.
    """
    if rng.random() < strength * CROPPED:
        top, left, bottom, right = crop_box(mask, rng)
        rows, columns = (slice(start * CELL_PX, end * CELL_PX) for start, end in ((top, bottom), (left, right)))
        image = cv2.resize(image[rows, columns], image.shape[:2], interpolation=cv2.INTER_CUBIC)
        mask = cv2.resize(mask[top:bottom, left:right], mask.shape, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:  # no text mentions left or right
        image, mask = image[:, ::-1], mask[:, ::-1]
    grey, jittered = bool(rng.random() < strength * GREY), rng.random() < strength * JITTERED
    if grey or jittered:
        image = cv2.transform(np.ascontiguousarray(image), colour_matrix(image, rng, grey=grey, jittered=jittered))
    if rng.random() < strength * BLURRED:
        image = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), rng.uniform(0.4, 1.5))
    return np.ascontiguousarray(image), np.ascontiguousarray(mask), grey


def crop_box(mask: UInt8[np.ndarray, "M M"], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, bottom and right in cells of a random resized crop (Szegedy et al., 2015). Of up to four crops the
    first one that keeps half of the figure is taken, or else the last."""
    side, whole = len(mask), mask.sum(dtype=np.int64)
    for _ in range(4):
        area, ratio = side**2 * rng.uniform(*AREA), np.exp(rng.uniform(*np.log(ASPECT)))
        height, width = (min(max(round(float(x)), 1), side) for x in (np.sqrt(area / ratio), np.sqrt(area * ratio)))
        top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
        box = top, left, top + height, left + width
        if 2 * mask[top : top + height, left : left + width].sum(dtype=np.int64) >= whole:
            break
    return box


def colour_matrix(
    image: UInt8[np.ndarray, "S S 3"], rng: np.random.Generator, *, grey: bool, jittered: bool
) -> Float[np.ndarray, "3 4"]:
    """The affine map of colours that applies saturation, hue, contrast around the mean luma, and brightness; with
    `grey`, the luma instead of saturation and hue."""
    luma = np.tile(LUMA, (3, 1))
    saturation, angle, contrast, brightness = 0.0, 0.0, 1.0, 1.0
    if jittered:
        contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2)
    if not grey:
        saturation, angle = rng.uniform(0.8, 1.2), np.deg2rad(rng.uniform(-6, 6))
    # a rotation around the axis of greys, on what differs from grey
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) / 3
    colours = luma + saturation * turned @ (np.eye(3) - luma)
    mean = float(np.array(cv2.mean(image)[:3]) @ LUMA)
    matrix = np.concatenate([contrast * colours, np.full((3, 1), (1 - contrast) * mean)], axis=1)
    return (brightness * matrix).astype(np.float32)
