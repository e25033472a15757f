"""The stills that the tiny CLIP is trained on, as memory-mapped files, and the held-out stills it is measured on.

Letters: N stills, S side in pixels, P patches of a still.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from actionprompt.world.sayings import Attributes
from actionprompt.world.scene import VERSION
from actionprompt.world.stills import Still, still

SIDE_PX, PATCH_PX = 112, 16
HELD_OUT_FOLD = 4
_CHUNK = 2000
"""Stills drawn between two writes to disk."""


@dataclass(frozen=True)
class Stills:
    """The training images and what is known about each."""

    images: UInt8[np.ndarray, "N S S 3"]
    figures: UInt8[np.ndarray, "N P"]
    """Which share of each patch shows the person or a prop, scaled to 0..255."""
    attributes: list[Attributes]

    def __getitem__(self, rows: slice) -> "Stills":
        return Stills(self.images[rows], self.figures[rows], self.attributes[rows])

    @property
    def sha256(self) -> str:
        """Hash of the attributes and the images, for the record."""
        digest = hashlib.sha256(json.dumps(self.attributes, sort_keys=True).encode())
        for part in np.array_split(self.images, len(self.images) // 1000 + 1):
            digest.update(part.tobytes())
        return digest.hexdigest()


def draw_stills(folder: Path, num_stills: int, *, seed: int) -> Stills:
    """Stills of fold 0 as memory maps; stills on disk are reused, and the next call resumes an interrupted one."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"stills_v{VERSION}_seed{seed}_{num_stills}"

    def memory(kind: str, *shape: int) -> np.memmap:
        file = folder / f"{name}_{kind}.npy"
        mode: Any = "r+" if file.exists() else "w+"
        return np.lib.format.open_memmap(file, mode=mode, dtype=np.uint8, shape=(num_stills, *shape))

    grid = SIDE_PX // PATCH_PX
    images, figures = memory("images", SIDE_PX, SIDE_PX, 3), memory("figures", grid**2)
    table = folder / f"{name}.jsonl"
    attributes = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    while len(attributes) < num_stills:
        start, end = len(attributes), min(len(attributes) + _CHUNK, num_stills)
        for index in range(start, end):
            drawn = still(1_000_000 * seed + index, size_px=SIDE_PX)
            on_black = still(1_000_000 * seed + index, size_px=SIDE_PX, on_black=True)
            covered = (on_black.image.max(-1) > 6).reshape(grid, PATCH_PX, grid, PATCH_PX)
            images[index] = drawn.image
            figures[index] = (255 * covered.mean((1, 3))).astype(np.uint8).flatten()
            attributes.append(drawn.attributes)
        images.flush()
        figures.flush()
        with table.open("a") as file:
            file.writelines(json.dumps(a) + "\n" for a in attributes[start:])
    return Stills(images, figures, attributes)


def held_out_stills(num_stills: int) -> list[Still]:
    """Stills of actors and backgrounds that do not occur in training; no caption occurs twice, in either language."""
    found: list[Still] = []
    seen: set[str] = set()
    seed = 0
    while len(found) < num_stills:
        drawn = still(seed, size_px=SIDE_PX, fold=HELD_OUT_FOLD)
        if not {drawn.caption, drawn.caption_zh} & seen:
            found.append(drawn)
            seen |= {drawn.caption, drawn.caption_zh}
        seed += 1
    return found
