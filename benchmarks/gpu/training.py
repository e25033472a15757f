"""Training: `dual_semantic_tpr` on a training of HMDB-51's size, which its paper timed on two RTX 4090 (Table 6).

Nothing runs for that long here: a step is measured and multiplied. Its input is either tensors that are there already,
so that it is the GPU's time alone, or video files through loader and trainer, as in real use. The loader is measured by
itself as well: a training takes as long as the slower of the two."""

import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from actionprompt import data
from actionprompt.clips import ClipList
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.study import bench
from actionprompt.study.meters import device_clock, peak_mb, states_of, training_step, turns
from actionprompt.training import Step, train
from actionprompt.weights import load_clip
from gpu import clips
from gpu.part import Jobs
from gpu.settings import Settings

METHOD = "dual_semantic_tpr"
HMDB51_CLIPS, EPOCHS = 3570, 30
PUBLISHED = {8: {"minutes": 22, "memory_mb": 6601}, 16: {"minutes": 41, "memory_mb": 10759}}
"""By T, at batch 32 on two RTX 4090 (Table 6)."""


def jobs(settings: Settings) -> Jobs:
    rates: dict[int, float] = {}  # T -> clips/s of the loader
    with tempfile.TemporaryDirectory() as folder:
        found = clips.write(Path(folder), settings, settings.loader_clips)
        for num_frames in PUBLISHED:
            about = {"num_frames": num_frames, "precision": "bf16"}
            workers = clips.num_workers(settings, num_frames)
            yield (
                {"what": "loader", "num_frames": num_frames, "workers": workers},
                partial(loader, found, settings, num_frames, workers, rates),
            )
            step = partial(in_memory, settings, num_frames, rates)
            yield (
                {"what": "step", "input": "memory", **about, "gradient_checkpointing": False},
                partial(step, bf16=True, recompute=False),
            )
            yield (
                {"what": "step", "input": "files", **about, "workers": workers},
                partial(through_trainer, found, settings, num_frames, workers),
            )
        for bf16, recompute in ((True, True), (False, False), (False, True)):
            for num_frames in PUBLISHED:
                about = {"num_frames": num_frames, "precision": "bf16" if bf16 else "float32"}
                yield (
                    {"what": "step", "input": "memory", **about, "gradient_checkpointing": recompute},
                    partial(in_memory, settings, num_frames, rates, bf16=bf16, recompute=recompute),
                )
        yield {"what": "loader", "num_frames": 8, "workers": 1}, partial(loader, found, settings, 8, 1, {})


def loader(
    found: ClipList, settings: Settings, num_frames: int, workers: int, rates: dict[int, float]
) -> dict[str, Any]:
    """Clips per second from files in the page cache to batches in memory, the start of the workers included."""
    clip, config = load_clip(settings.backbone), DataConfig(num_frames=num_frames)
    dataset = data.VideoDataset(found.clips, config, side_px=clip.image.image_size, training=True, pixels=clip.pixels)
    num = max(settings.train_batch_size, settings.loader_clips * workers // settings.workers)
    batches = data.epoch_batches(num, settings.train_batch_size, epoch=0, seed=0)
    began = time.perf_counter()
    read = [len(batch.key) for batch in data.loader(dataset, batches, num_workers=workers)]
    seconds = time.perf_counter() - began
    if sum(read) != num:
        raise ValueError(f"{num - sum(read)} of {num} clips cannot be read")
    rates[num_frames] = num / seconds
    return {
        "clips": num,
        "clips_per_s": round(num / seconds, 2),
        "clips_per_s_per_worker": round(num / seconds / workers, 2),
        "minutes": round(HMDB51_CLIPS * EPOCHS * seconds / num / 60, 2),
    }


def in_memory(
    settings: Settings, num_frames: int, rates: Mapping[int, float], *, bf16: bool, recompute: bool
) -> dict[str, Any]:
    """A step on a batch that is on the device; with what a training of HMDB-51's size would take."""
    device, cuda = settings.device, settings.device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    classes = bench.class_names(settings.num_classes)
    method = bench.build_method(METHOD, settings.backbone, classes, num_frames).to(device).train()
    method.clip.set_gradient_checkpointing(recompute)
    video = torch.randn(settings.train_batch_size, num_frames, *method.frame_shape, device=device)
    labels = torch.arange(settings.train_batch_size, device=device) % settings.num_classes
    optimizer = torch.optim.AdamW(method.param_groups(1e-6))
    step = partial(training_step, method, optimizer, video, labels, device=device, bf16=bf16)
    step()  # makes the optimiser's states
    held = [*method.parameters(), *method.buffers(), *states_of(optimizer), video, labels]
    memory = peak_mb(step, held, device, before)
    seconds = turns({"step": step}, settings.num_steps, clock=partial(device_clock, device))["step"]
    return extrapolated(statistics.median(seconds), settings, num_frames, rates.get(num_frames)) | {
        "memory_mb": memory,
        "published_mb": PUBLISHED[num_frames]["memory_mb"],
    }


def through_trainer(found: ClipList, settings: Settings, num_frames: int, workers: int) -> dict[str, Any]:
    """A step of `train` on video files: decoding, augmentation, logging and all. The mean over one epoch, without its
    first step, which waits for the loader to start."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it keeps one precision for the life of a process
    if settings.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    classes = found.class_names, found.class_names_zh
    method = bench.build_method(METHOD, settings.backbone, classes, num_frames)
    ends: list[float] = []

    def note(_: Step) -> None:
        ends.append(time.perf_counter())

    config = TrainConfig(
        epochs=1, batch_size=settings.train_batch_size, lr=1e-6, mixed_precision="bf16", num_workers=workers
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            method, found, Path(folder) / "run", config=config, data_config=DataConfig(num_frames=num_frames),
            device="cpu" if settings.device == "cpu" else None, on_step=note,
        )  # fmt: skip
    row = extrapolated((ends[-1] - ends[0]) / (len(ends) - 1), settings, num_frames, None)
    peak = round(torch.cuda.max_memory_allocated() / 1e6, 3) if settings.device == "cuda" else None
    return row | {"memory_mb": peak, "published_mb": PUBLISHED[num_frames]["memory_mb"]}


def extrapolated(seconds: float, settings: Settings, num_frames: int, rate: float | None) -> dict[str, Any]:
    """A step of so many seconds, and the minutes of a training of HMDB-51's size: by it, and by it or the loader at
    `rate` clips/s, whichever is slower."""
    num_steps = HMDB51_CLIPS * EPOCHS / settings.train_batch_size
    minutes = num_steps * seconds / 60
    row = {
        "seconds_per_step": round(seconds, 6),
        "clips_per_s": round(settings.train_batch_size / seconds, 2),
        "minutes": round(minutes, 2),
    }
    if rate is not None:
        row["minutes_with_loader"] = round(max(minutes, HMDB51_CLIPS * EPOCHS / rate / 60), 2)
    return row | {"published_minutes": PUBLISHED[num_frames]["minutes"]}
