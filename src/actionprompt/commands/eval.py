"""Measure a trained model, or zero-shot CLIP, on a data set: actionprompt eval RUN --clips.root DIR"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.markup import escape
from rich.table import Table

from actionprompt import checkpoint, methods
from actionprompt.backbone import default_device
from actionprompt.commands._shared import Clips, bar, data_of, find_model, out, print_broken
from actionprompt.config import DataConfig
from actionprompt.evaluation import Report, evaluate, to_record, write_scores
from actionprompt.records import write
from actionprompt.weights import TINY, load_clip


def main(args: Sequence[str]) -> int:
    trained = find_model(args)

    @dataclass(frozen=True)
    class Eval:
        model: tyro.conf.Positional[str]
        """A run or model folder, or `zeroshot`."""
        clips: Clips = field(default_factory=Clips)
        part: str = "test"
        """Part of the data set to measure on."""
        backbone: str | None = None
        """Of `zeroshot`: `tiny` (the default), a folder, file or hub name. Of a trained model: where the backbone lies,
        if it is not where the model's manifest says."""
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

    options = tyro.cli(Eval, args=list(args), prog="actionprompt eval", description=__doc__)
    started = time.time()
    clips = options.clips.load(options.part)
    if options.model == "zeroshot":
        clip = load_clip(options.backbone or TINY)
        method = methods.build("zeroshot", clip, clips.class_names, clips.class_names_zh)
    else:
        method, _ = checkpoint.load(options.model, backbone=options.backbone)
        if method.class_names != clips.class_names:
            method.set_classes(clips.class_names, clips.class_names_zh)
    with bar("clips") as progress:
        report = evaluate(
            method, clips, options.data, device=default_device(), mixed_precision="bf16" if options.bf16 else "no",
            batch_size=options.batch_size, num_workers=options.num_workers, seed=options.seed, cache=options.cache,
            progress=progress,
        )  # fmt: skip
    print_report(report)
    if options.json is not None:
        write(options.json, to_record(report, seed=options.seed, started=started, model=options.model))
    if options.scores is not None:
        write_scores(options.scores, report)
    return 1 if report.broken else 0


def print_report(report: Report) -> None:
    metrics = report.metrics
    table = Table("class", "clips", "top-1 %", title=report.name)
    for row in metrics.per_class:
        table.add_row(escape(row.name), str(row.num_clips), f"{row.top1:.1f}" if row.num_clips else "")
    out.print(table)
    top5 = f"   top-5 {metrics.top5:.2f} %" if metrics.top5 == metrics.top5 else ""
    out.print(
        f"top-1 {metrics.top1:.2f} %{top5}   mean class accuracy {metrics.mean_class_accuracy:.2f} %   "
        f"expected calibration error {metrics.calibration_error:.2f} %   {metrics.num_clips} clips",
        soft_wrap=True,
    )
    print_broken(report.broken, "counted as wrong, could not read")
