"""The stills that the tiny CLIP is trained on, as memory-mapped files, and the held-out stills it is measured on.

Letters: N stills, S side in pixels, M side of a mask in cells.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from actionprompt import files
from actionprompt.world.augment import CELL_PX
from actionprompt.world.sayings import Attributes
from actionprompt.world.scene import Version
from actionprompt.world.stills import Still, moments, still

SIDE_PX, PATCH_PX = 112, 16
HELD_OUT_FOLD = 4
MOMENTS = 4
"""Stills of one scene; each of them takes a third of the time of a scene of its own."""
CHUNK = 2000
"""Stills that are stored together, a multiple of `MOMENTS`; drawing is resumed at a chunk."""
CLEAN = 4
"""Every chunk of this number is drawn in version 1: larger people, bare places, no noise."""


@dataclass(frozen=True)
class Stills:
    """The training images and what is known about each."""

    images: UInt8[np.ndarray, "N S S 3"]
    masks: UInt8[np.ndarray, "N M M"]
    """How much of each cell of `CELL_PX` pixels shows the people or a prop, 0..255."""
    attributes: Sequence[Attributes]
    core_hours: float = 0.0
    """What drawing them took, over all runs and processes."""

    def __getitem__(self, rows: slice) -> "Stills":
        return Stills(self.images[rows], self.masks[rows], self.attributes[rows])

    @property
    def sha256(self) -> str:
        """Hash of the attributes and the images, for the record."""
        digest = hashlib.sha256(json.dumps(self.attributes, sort_keys=True).encode())
        for part in np.array_split(self.images, len(self.images) // 1000 + 1):
            digest.update(part.tobytes())
        return digest.hexdigest()


def draw_stills(folder: Path, num_stills: int, *, seed: int, version: Version = "2", num_processes: int = 1) -> Stills:
    """Stills of fold 0 as memory maps; chunks on disk are reused, so the next call resumes an interrupted one. One of
    `CLEAN` chunks is of version 1, whatever `version` is.

    With `num_processes` > 1 Python processes are started, so a script needs the usual `if __name__ == "__main__"`.
    """
    here = folder / f"stills_v{version}_clean{CLEAN}_seed{seed}_{num_stills}"
    here.mkdir(parents=True, exist_ok=True)
    _memory(here, num_stills)
    jobs = [(here, num_stills, seed, version, part, num_processes, os.getpid()) for part in range(num_processes)]
    if num_processes == 1:
        _draw_part(*jobs[0])
    else:
        spawn = multiprocessing.get_context("spawn")
        processes = [spawn.Process(target=_draw_part, args=job, daemon=True) for job in jobs]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(codes := [process.exitcode for process in processes]):
            raise RuntimeError(f"drawing stopped with exit codes {codes}; the next call resumes it")
    chunks = [json.loads(_table(here, start).read_text()) for start in range(0, num_stills, CHUNK)]
    attributes = [about for chunk in chunks for about in chunk["attributes"]]
    return Stills(*_memory(here, num_stills), attributes, sum(chunk["seconds"] for chunk in chunks) / 3600)


def _memory(here: Path, num_stills: int) -> tuple[np.memmap, np.memmap]:
    """The files of images and masks, created if they do not exist."""

    def memory(kind: str, *shape: int) -> np.memmap:
        mode: Any = "r+" if (here / kind).exists() else "w+"
        return np.lib.format.open_memmap(here / kind, mode=mode, dtype=np.uint8, shape=(num_stills, *shape))

    cells = SIDE_PX // CELL_PX
    return memory("images.npy", SIDE_PX, SIDE_PX, 3), memory("masks.npy", cells, cells)


def _table(here: Path, start: int) -> Path:
    """The attributes of a chunk; the file exists once its images are on disk."""
    return here / f"from{start:07d}.json"


def _draw_part(
    here: Path, num_stills: int, seed: int, version: Version, part: int, num_parts: int, parent: int
) -> None:
    """Draws every `num_parts`-th chunk, from chunk `part`; stops when the process `parent` has ended."""
    cv2.setNumThreads(1)  # such small images are not worth sharing
    images, masks = _memory(here, num_stills)
    for start in range(part * CHUNK, num_stills, num_parts * CHUNK):
        if _table(here, start).exists():
            continue
        if parent not in (os.getpid(), os.getppid()):
            return
        began, end, attributes = time.process_time(), min(start + CHUNK, num_stills), []
        of: Version = "1" if start // CHUNK % CLEAN == CLEAN - 1 else version
        for first in range(start, end, MOMENTS):
            scene = moments((1_000_000 * seed + first) // MOMENTS, MOMENTS, size_px=SIDE_PX, version=of)
            for index, drawn in enumerate(scene[: end - first], start=first):
                cells = drawn.figure.reshape(SIDE_PX // CELL_PX, CELL_PX, SIDE_PX // CELL_PX, CELL_PX)
                images[index], masks[index] = drawn.image, cells.mean((1, 3))
                attributes.append({"people": "one", **drawn.attributes})  # which version 1 does not say
        images.flush()
        masks.flush()
        with files.replacing(_table(here, start)) as temporary:
            chunk = {"seconds": time.process_time() - began, "attributes": attributes}
            temporary.write_text(json.dumps(chunk, ensure_ascii=False), encoding="utf-8")


def held_out_stills(num_stills: int, version: Version = "2") -> list[Still]:
    """Stills of actors and backgrounds that do not occur in training; no caption occurs twice, in either language."""
    found: list[Still] = []
    seen: set[str] = set()
    seed = 0
    while len(found) < num_stills:
        drawn = still(seed, size_px=SIDE_PX, fold=HELD_OUT_FOLD, version=version)
        if not {drawn.caption, drawn.caption_zh} & seen:
            found.append(drawn)
            seen |= {drawn.caption, drawn.caption_zh}
        seed += 1
    return found
