"""Measure a trained model, or zero-shot CLIP, on a data set: actionprompt eval RUN --clips.root DIR"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import tyro
from rich.table import Table

from actionprompt import checkpoint, methods
from actionprompt.backbone import default_device
from actionprompt.clips import ClipList, in_order_of, public_key, some
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import (
    Clips,
    bar,
    check_least,
    data_of,
    fetch,
    find_model,
    note,
    out,
    parse,
    print_broken,
    say,
    shown,
    texts_bar,
)
from actionprompt.config import DataConfig
from actionprompt.evaluation import Report, evaluate, to_record, write_scores
from actionprompt.method import Method
from actionprompt.records import write
from actionprompt.weights import AUTO, load_clip
from actionprompt.world.drawn import tiny_warnings

MOST_CLASSES = 60
"""Classes that the table shows; the record has all."""


@dataclass(frozen=True)
class TestClips(Clips):
    """Which clips."""

    classes: Literal["model", "folder"] | None = None
    """Where the clips have other classes than the model: choose among those of the model, or those of the clips."""


def main(args: Sequence[str]) -> int:
    trained = find_model(args)

    @dataclass(frozen=True)
    class Eval:
        model: tyro.conf.Positional[str]
        """A run or model folder, or `zeroshot`."""
        clips: TestClips = field(default_factory=TestClips)
        part: str = "test"
        """Part of the data set to measure on."""
        on_training_clips: bool = False
        """Exit with 0 even if the model was trained on some of the clips."""
        backbone: str | None = None
        """Of `zeroshot`: as in `train`, by default `auto`. Of a trained model: where the backbone lies, if it is not
        where the model's manifest says."""
        json: Path | None = None
        """Write the record here."""
        scores: Path | None = None
        """Write every clip's class probabilities here, for `fuse`."""
        bf16: bool = False
        """bf16 autocast."""
        batch_size: int = 8
        """Clips encoded at once."""
        num_workers: int = 2
        """Decoding processes; 0 decodes in this one."""
        cache: bool = True
        """Keep frozen features on disk."""
        data: DataConfig = field(default_factory=lambda: data_of(trained) if trained else DataConfig())
        """Frames and views. The defaults are those the model was trained with."""
        seed: int = 0
        """Of random frame groups."""

    options = parse(Eval, args, "eval", __doc__)
    check_least(options, batch_size=1, num_workers=0)
    check_files(options, "json", "scores")
    started = time.time()
    seen: list[str] | None = []
    clips = options.clips.load(options.part)
    if options.model == "zeroshot":
        if options.clips.classes is not None:
            raise ValueError("zeroshot takes the classes of the clips: expected no --clips.classes")
        clip = load_clip(fetch(options.backbone or AUTO, dataset=options.clips.dataset))
        with texts_bar():
            method = methods.build("zeroshot", clip, clips.class_names, clips.class_names_zh)
    else:
        backbone = None if options.backbone is None else fetch(options.backbone)
        with texts_bar():
            method, _ = checkpoint.load(options.model, backbone=backbone)
        clips = agree(method, clips, options.clips.classes)
        seen = checkpoint.seen_in_training(options.model, clips)
        if seen is None:
            note("note:", "the model has no list of the clips it was trained on, so these may be among them")
    warnings = tiny_warnings(method, (clip.path for clip in clips.clips))
    for line in warnings:
        note("warning:", line)
    with bar("clips") as progress:
        report = evaluate(
            method, clips, options.data, device=default_device(), mixed_precision="bf16" if options.bf16 else "no",
            batch_size=options.batch_size, num_workers=options.num_workers, seed=options.seed, cache=options.cache,
            progress=progress,
        )  # fmt: skip
    try:  # the files first, and the table even if they cannot be written
        if options.json is not None:
            record = to_record(
                report, seed=options.seed, started=started, model=public_key(options.model), warnings=warnings,
                trained_on_clips=None if seen is None else [*map(public_key, seen)],
            )  # fmt: skip
            write(options.json, record)
        if options.scores is not None:
            write_scores(options.scores, report)
    finally:
        print_report(report)
        if seen:
            there = "all" if len(seen) == len(clips.clips) else f"{len(seen)} of {len(clips.clips)}"
            note(
                "measured on training clips:",
                f"the model was trained on {there} of these clips ({some(seen)}), so the figures say nothing of other "
                "clips; --clips.split-folder divides a folder",
                "red",
            )
    return 1 if report.broken or (seen and not options.on_training_clips) else 0


def agree(method: Method, clips: ClipList, candidates: Literal["model", "folder"] | None) -> ClipList:
    """Give model and list the same classes: those of the list (`folder`) or of the model (`model`). Without a choice
    they must have the same names, in any order.

    Raises:
        ValueError: other names without a choice, or with one that the model or the list cannot take.
    """
    there, here = set(method.class_names), set(clips.class_names)
    if there != here and candidates is None:
        new, lacking = (
            [n for n in clips.class_names if n not in there],
            [n for n in method.class_names if n not in here],
        )
        parts = [f"{what}: {some(names, 5)}" for what, names in (("missing here", lacking), ("new here", new)) if names]
        raise ValueError(
            f"{clips.name} has other classes than the model ({'; '.join(parts)}); add --clips.classes model to choose "
            f"among the {len(there)} classes of the model, or --clips.classes folder among the {len(here)} of the clips"
        )
    if candidates == "model":
        return in_order_of(clips, method.class_names)
    with torch.no_grad():
        method.set_classes(clips.class_names, clips.class_names_zh)
    return clips


def print_report(report: Report) -> None:
    """Figures, and a table of the classes that have clips; of many classes the worst."""
    metrics = report.metrics
    present = [row for row in metrics.per_class if row.num_clips]
    rows = present if len(present) <= MOST_CLASSES else sorted(present, key=lambda row: row.top1)[:MOST_CLASSES]
    table = Table("class", "clips", "top-1 %", title=shown(report.name))
    for row in rows:
        table.add_row(shown(row.name), str(row.num_clips), f"{row.top1:.1f}")
    out.print(table)
    if len(rows) < len(present):
        say(f"the table has the {len(rows)} worst of {len(present)} classes; --json FILE writes all")
    if len(present) < len(metrics.per_class):
        say(f"{len(metrics.per_class) - len(present)} of {len(metrics.per_class)} classes have no clips here")
    figures = {
        "top-1": metrics.top1,
        "top-5": metrics.top5,
        "mean class accuracy": metrics.mean_class_accuracy,
        "expected calibration error": metrics.calibration_error,
    }
    defined = [f"{name} {value:.2f} %" for name, value in figures.items() if value == value]
    say("   ".join([*defined, f"{metrics.num_clips} clips"]))
    print_broken(report.broken, "counted as wrong, could not read")
