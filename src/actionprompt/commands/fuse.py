"""Late fusion of score files of the same clips: actionprompt fuse a.json b.json --choose-on a-val.json b-val.json"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.apps import scores
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import parse, say
from actionprompt.config import to_json
from actionprompt.records import provenance, write


@dataclass(frozen=True)
class Fuse:
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Score files, as `eval --scores` writes them."""
    weights: tuple[float, ...] | None = None
    """One per file; equal by default."""
    choose_on: tuple[Path, ...] = ()
    """Score files of the same two models on validation clips, in the same order: the weight that is best there is taken
    (0, 0.05, ..., 1; of equal accuracies the one with the highest likelihood)."""
    out: Path | None = None
    """Write the fused scores here, with weights, lists and hashes."""
    json: Path | None = None
    """Write the record here: accuracies, weights, lists and hashes."""


def main(args: Sequence[str]) -> int:
    options = parse(Fuse, args, "fuse", __doc__)
    check_files(options, "out", "json")
    started = time.time()
    fused, facts = scores.fuse_files(options.files, weights=options.weights, choose_on=options.choose_on)
    metrics = scores.measure_scores(fused)
    chosen = facts["chosen_on"]
    if chosen is not None:
        weights = ", ".join(f"{weight:.2f} of {path}" for weight, path in zip(facts["weights"], options.files))
        say(f"weights {weights}, chosen on {chosen['num_clips']} clips")
    accuracy = f"top-1 {metrics.top1:.2f} %   mean class accuracy {metrics.mean_class_accuracy:.2f} %"
    say(f"{accuracy}   {metrics.num_clips} clips")
    if options.out is not None:
        write(options.out, {**to_json(fused), "fusion": facts})
    if options.json is not None:
        numbers = {name: value for name, value in to_json(metrics).items() if name not in ("per_class", "confusion")}
        record = {**provenance(seed=0, started=started), **facts, **numbers, "unreadable": list(fused.broken)}
        write(options.json, {**record, "top5": None if metrics.top5 != metrics.top5 else metrics.top5})
    return 1 if fused.broken else 0
