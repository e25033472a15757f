"""Video files like those of HMDB-51, made on the spot: H.264, 320x240 px, 60 to 100 frames. What they show is a texture
that drifts; speed hardly depends on it."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from actionprompt.clips import Clip, ClipList
from actionprompt.study.bench import class_names
from actionprompt.video import write_video
from gpu.settings import Settings

FPS = 30.0
STEP_PX = 2
"""How far the texture drifts from frame to frame."""


def write(folder: Path, settings: Settings, num_clips: int) -> ClipList:
    """A list of clips over files that are written into a folder. Labels are dealt round-robin."""
    paths = [folder / f"{number:04}.mp4" for number in range(min(settings.num_files, num_clips))]
    first = paths[: settings.num_contents]
    with ThreadPoolExecutor(max_workers=settings.workers) as pool:
        list(pool.map(lambda job: write_video(job[1], frames(job[0], settings), FPS), enumerate(first)))
    for number, path in enumerate(paths[len(first) :]):
        shutil.copyfile(first[number % len(first)], path)
    english, chinese = class_names(settings.num_classes)
    clips = tuple(
        Clip(f"{number:05}", paths[number % len(paths)], number % settings.num_classes) for number in range(num_clips)
    )
    return ClipList("synthetic", clips, tuple(english), tuple(chinese))


def frames(seed: int, settings: Settings) -> Iterator[np.ndarray]:
    """uint8 [H, W, 3]: blocks with grain on them, seen through a window that moves."""
    random, (width_px, height_px) = np.random.default_rng(seed), settings.clip_size_px
    num_frames = int(random.integers(*settings.clip_frames, endpoint=True))
    height, width = height_px + STEP_PX * num_frames, width_px + STEP_PX * num_frames
    blocks = random.integers(0, 224, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    texture = blocks.repeat(16, 0).repeat(16, 1) + random.integers(0, 32, (len(blocks) * 16, 1, 3), np.uint8)
    for start in range(0, STEP_PX * num_frames, STEP_PX):
        yield texture[start : start + height_px, start : start + width_px]


def num_workers(settings: Settings, num_frames: int) -> int:
    """As many decoding processes as have room in shared memory for three batches each, one in the making and two that
    wait."""
    batch_bytes = settings.train_batch_size * num_frames * 3 * 256**2
    room = shutil.disk_usage("/dev/shm").free // (3 * batch_bytes) if os.path.isdir("/dev/shm") else settings.workers
    return max(1, min(settings.workers, room))
