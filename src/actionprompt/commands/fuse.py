"""Late fusion of score files of the same clips: actionprompt fuse a.json b.json --weights 0.5 0.5"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.apps import scores
from actionprompt.commands._shared import out
from actionprompt.records import write


@dataclass(frozen=True)
class Fuse:
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Score files, as `eval --scores` writes them."""
    weights: tuple[float, ...] | None = None
    """One per file; equal by default."""
    out: Path | None = None
    """Write the fused scores here."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Fuse, args=list(args), prog="actionprompt fuse", description=__doc__)
    fused = scores.fuse({str(path): scores.read(path) for path in options.files}, weights=options.weights)
    metrics = scores.measure_scores(fused)
    accuracy = f"top-1 {metrics.top1:.2f} %   mean class accuracy {metrics.mean_class_accuracy:.2f} %"
    out.print(f"{accuracy}   {metrics.num_clips} clips")
    if options.out is not None:
        write(options.out, fused)
    return 1 if fused.broken else 0
