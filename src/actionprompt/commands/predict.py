"""Recognise actions in videos: actionprompt predict clip.mp4 --labels "wave,clap,run" """

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape
from rich.table import Table

from actionprompt.clips import Broken, find_videos
from actionprompt.commands._shared import bar, class_names, out, print_broken
from actionprompt.prediction import Prediction, load, zero_shot
from actionprompt.weights import TINY


@dataclass(frozen=True)
class Predict:
    videos: tyro.conf.Positional[tuple[str, ...]]
    """Video files, folders (searched for videos) and globs."""
    model: Path | None = None
    """A trained model; without it frozen CLIP tells the labels apart."""
    labels: str | None = None
    """Class names to tell apart, separated by commas."""
    labels_file: Path | None = None
    """The same, one per line."""
    backbone: str | None = None
    """Of zero-shot recognition; by default `tiny`. Of a trained model: where the backbone lies, if it is not where the
    model's manifest says."""
    top: int = 5
    """How many classes to show."""
    json: Path | None = None
    """Write the results here."""
    csv: Path | None = None
    """Write the results here, one row per video and class."""
    num_workers: int = 2
    """Decoding processes, where there are several videos; 0 decodes in this one."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Predict, args=list(args), prog="actionprompt predict", description=__doc__)
    paths = find_videos(options.videos)
    names = class_names(options.labels, options.labels_file)
    if options.model is not None:
        predictor = load(options.model, class_names=names, backbone=options.backbone)
    elif names is not None:
        predictor = zero_shot(names, backbone=options.backbone or TINY)
    else:
        raise ValueError('expected --model RUN, or --labels "a,b,c" or --labels-file FILE for zero-shot recognition')
    results: list[Prediction] = []
    broken: list[Broken] = []
    with bar("videos") as progress:
        for _, result in predictor.predict_all(paths, top=options.top, num_workers=options.num_workers):
            if isinstance(result, Broken):
                broken.append(result)
            else:
                results.append(result)
            progress(len(results) + len(broken), len(paths))
    if results:
        out.print(as_table(results, min(options.top, len(predictor.class_names))))
    print_broken(broken)
    if options.json is not None:
        rows = [{**dataclasses.asdict(result), "path": str(result.path)} for result in results]
        unreadable = [{"key": item.key, "reason": item.reason} for item in broken]
        text = json.dumps({"predictions": rows, "unreadable": unreadable}, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.csv is not None:
        options.csv.write_text(as_csv(results), encoding="utf-8", newline="")
    return 1 if broken else 0


def as_table(results: Sequence[Prediction], num_ranks: int) -> Table:
    table = Table("video", *(f"{rank + 1}." for rank in range(num_ranks)))
    for result in results:
        cells = [f"{escape(label)} {100 * score:.1f} %" for label, score in zip(result.labels, result.scores)]
        if result.none_of_these:
            cells[0] = f"none of these ({cells[0]})"
        table.add_row(escape(str(result.path)), *cells)
    return table


def as_csv(results: Sequence[Prediction]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["path", "rank", "label", "score"])
    for result in results:
        ranked = enumerate(zip(result.labels, result.scores), start=1)
        writer.writerows([result.path, rank, label, score] for rank, (label, score) in ranked)
    return buffer.getvalue()
