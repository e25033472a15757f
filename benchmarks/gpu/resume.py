"""Resume: is a training that was interrupted and resumed equal, bit for bit, to one that went straight through?

Two straight trainings are compared as well: where they differ, it is the GPU's kernels that add in another order each
time, and not the resuming. Each precision without and with torch's deterministic algorithms. These want the variable
CUBLAS_WORKSPACE_CONFIG from the first matrix product on, so it is set for all rows; `:4096:8` is what torch takes on
Hopper without it."""

import contextlib
import os
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from actionprompt.checkpoint import WEIGHTS
from actionprompt.clips import ClipList
from actionprompt.config import DataConfig, Precision, TrainConfig
from actionprompt.study import bench
from actionprompt.training import Step, train
from gpu import clips
from gpu.part import Jobs
from gpu.settings import Settings

METHOD = "dual_semantic_tpr"
STEPS_PER_EPOCH = 3
"""A checkpoint is written after the first epoch of two, and the interruption comes one step later."""


class Interrupted(Exception):
    pass


def jobs(settings: Settings) -> Jobs:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    with tempfile.TemporaryDirectory() as folder:
        found = clips.write(Path(folder), settings, settings.resume_clips)
        precisions: tuple[Precision, ...] = ("bf16", "no")
        for precision in precisions:
            for deterministic in (False, True):
                about = {"method": METHOD, "precision": precision, "deterministic": deterministic}
                yield about, partial(compare, found, settings, precision, deterministic)


def compare(found: ClipList, settings: Settings, precision: Precision, deterministic: bool) -> dict[str, Any]:
    """Largest absolute differences of trained weights, and what torch says of operations without a fixed order."""
    with warnings.catch_warnings(record=True) as said, tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        try:
            run = partial(trained, found, settings, precision)
            straight, again = run(Path(folder, "straight")), run(Path(folder, "again"))
            resumed = run(Path(folder, "resumed"), interrupt=True)
        finally:
            torch.use_deterministic_algorithms(False)
    notes = {str(warning.message).split(". ")[0] for warning in said if "determinis" in str(warning.message)}
    resuming, repeating = difference(straight, resumed), difference(straight, again)
    if resuming == 0:
        reason = "equal"
    elif repeating > 0:
        reason = "two trainings without interruption differ as well"
    else:
        reason = "trainings without interruption are equal, so resuming changes something"
    return {
        "steps": 2 * STEPS_PER_EPOCH,
        "resumed_difference": resuming,
        "repeated_difference": repeating,
        "reason": reason,
        "torch_says": sorted(notes),
        "passed": resuming == 0 or repeating > 0,
    }


def trained(
    found: ClipList, settings: Settings, precision: Precision, folder: Path, *, interrupt: bool = False
) -> dict[str, torch.Tensor]:
    """The trained weights after two epochs; with `interrupt`, of a second call that resumes a first one."""
    config = TrainConfig(
        epochs=2, batch_size=len(found.clips) // STEPS_PER_EPOCH, mixed_precision=precision, num_workers=0
    )

    def stop(now: Step) -> None:
        if now.step == STEPS_PER_EPOCH + 1:
            raise Interrupted

    def call(on_step: Any) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # as in a new process
        classes = found.class_names, found.class_names_zh
        method = bench.build_method(METHOD, settings.backbone, classes, settings.num_frames)
        train(
            method, found, folder, config=config, data_config=DataConfig(num_frames=settings.num_frames),
            device="cpu" if settings.device == "cpu" else None, on_step=on_step,
        )  # fmt: skip

    if interrupt:
        with contextlib.suppress(Interrupted):
            call(stop)
        if not list(folder.glob("checkpoints/step-*")):
            raise ValueError("expected a checkpoint to resume from, got none")
    call(None)
    return load_file(folder / "model" / WEIGHTS)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest absolute difference of two sets of weights; 0 only where all bits are equal."""
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    return max((float((one[name] - other[name]).abs().max()) for name in different), default=0.0)
