"""Features: what the cache of frozen features is worth. Video files are encoded into it, it is read back, and a method
that has the same features trains from it."""

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

from actionprompt.clips import ClipList
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.features import cached
from actionprompt.study import bench
from actionprompt.training import train
from gpu import clips
from gpu.part import Jobs
from gpu.settings import Settings
from gpu.training import HMDB51_CLIPS

WRITES, TRAINS = "zeroshot", "seeing_in_flowing"
"""Both take the image tower's embedding of each frame, so that the second finds in the cache what the first wrote."""


def jobs(settings: Settings) -> Jobs:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "cache")
        found = clips.write(Path(folder), settings, settings.num_files)
        for what in ("encode into the cache", "read the cache"):
            yield {"what": what, "method": WRITES}, partial(through_cache, found, settings, root)
        yield {"what": "train from the cache", "method": TRAINS}, partial(epoch, found, settings, root)


def through_cache(found: ClipList, settings: Settings, root: Path) -> dict[str, Any]:
    """One pass over the clips: those that are not in the cache are decoded and encoded in bf16."""
    method = bench.build_method(
        WRITES, settings.backbone, (found.class_names, found.class_names_zh), settings.num_frames
    )
    method.clip_sha256  # noqa: B018  the hash of the weights is part of the key, and taken once per model
    before, began = size(root), time.perf_counter()
    stored = cached(
        method, found.clips, DataConfig(num_frames=settings.num_frames), device=settings.device,
        mixed_precision="bf16", batch_size=settings.train_batch_size,
        num_workers=clips.num_workers(settings, settings.num_frames), root=root,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if stored.broken:
        raise ValueError(f"{len(stored.broken)} clips cannot be read: {stored.broken[0].reason}")
    clips_per_s = round(len(found.clips) / seconds, 2)
    return {
        "clips": len(found.clips),
        "encoded": stored.num_encoded,
        "added_mb": round((size(root) - before) / 1e6, 3),
        "seconds": seconds,
        "clips_per_s": clips_per_s,
    }


def size(root: Path) -> int:
    """Bytes of the cache."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def epoch(found: ClipList, settings: Settings, root: Path) -> dict[str, Any]:
    """The shorter of the second and the third epoch."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it keeps one precision for the life of a process
    classes = found.class_names, found.class_names_zh
    method = bench.build_method(TRAINS, settings.backbone, classes, settings.num_frames)
    config = TrainConfig(epochs=3, batch_size=settings.train_batch_size, lr=1e-6, mixed_precision="bf16", num_workers=0)
    before = size(root)
    os.environ["ACTIONPROMPT_CACHE"] = str(root)
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = train(
                method, found, folder, config=config, data_config=DataConfig(num_frames=settings.num_frames),
                device="cpu" if settings.device == "cpu" else None,
            )  # fmt: skip
    finally:
        del os.environ["ACTIONPROMPT_CACHE"]
    seconds = min(done.epoch_seconds[1:])
    return {
        "clips": len(found.clips),
        "added_mb": round((size(root) - before) / 1e6, 3),
        "seconds": seconds,
        "clips_per_s": round(len(found.clips) / seconds, 2),
        "hmdb51_epoch_seconds": round(HMDB51_CLIPS / len(found.clips) * seconds, 3),
    }
