"""Prepared: video files as they are, and after `actionprompt prepare`: what preparing takes, what the loader then reads
per second, and a training step through the trainer, next to the step on tensors that are there already."""

import dataclasses
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from actionprompt.apps.prepare import prepare
from actionprompt.clips import ClipList
from gpu import clips
from gpu.part import Jobs
from gpu.settings import Settings
from gpu.training import METHOD, in_memory, loader, through_trainer


def jobs(settings: Settings) -> Jobs:
    settings = dataclasses.replace(settings, loader_clips=settings.num_files)
    workers = clips.num_workers(settings, settings.num_frames)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "prepared")
        source.mkdir()
        found = clips.write(source, settings, settings.loader_clips)
        yield {"what": "prepare", "workers": workers}, partial(prepare_all, source, target, workers)
        there = dataclasses.replace(
            found, clips=tuple(dataclasses.replace(clip, path=target / clip.path.name) for clip in found.clips)
        )
        for name, files in (("original", found), ("prepared", there)):
            about = {"files": name, "num_frames": settings.num_frames, "workers": workers}
            yield {"what": "loader", **about}, partial(read, files, settings, workers)
            yield (
                {"what": "step", "method": METHOD, **about, "precision": "bf16"},
                partial(through_trainer, files, settings, settings.num_frames, workers),
            )
        yield (
            {"what": "step", "method": METHOD, "files": "none: tensors in memory", "precision": "bf16"},
            partial(in_memory, settings, settings.num_frames, {}, bf16=True, recompute=False),
        )


def prepare_all(source: Path, target: Path, workers: int) -> dict[str, Any]:
    began = time.perf_counter()
    result = prepare(source, target, num_workers=workers)
    seconds = time.perf_counter() - began
    if result.broken:
        raise ValueError(f"{len(result.broken)} clips cannot be prepared: {result.broken[0]}")
    return {
        "clips": result.num_videos,
        "clips_per_s": round(result.num_videos / seconds, 2),
        "bytes_ratio": round(result.bytes_after / result.bytes_before, 3),
    }


def read(files: ClipList, settings: Settings, workers: int) -> dict[str, Any]:
    return loader(files, settings, settings.num_frames, workers, {})
