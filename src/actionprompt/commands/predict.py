"""Recognise actions in videos: actionprompt predict clip.mp4 --labels "wave,clap,run" """

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Column, Table

from actionprompt import files
from actionprompt.clips import Broken, find_videos
from actionprompt.commands._shared import bar, check_least, class_names, note, out, parse, print_broken, shown
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
    """The same from a file: one per line, `id,name` rows, or JSON."""
    backbone: str | None = None
    """Of zero-shot recognition; by default `tiny`. Of a trained model: where the backbone lies, if it is not where the
    model's manifest says."""
    top: int = 5
    """How many classes to show."""
    json: Path | None = None
    """Write the results here."""
    csv: Path | None = None
    """Write the results here, one row per video and class; a text that a spreadsheet would take for a formula has a
    quote in front."""
    num_workers: int = 2
    """Decoding processes, where there are several videos; 0 decodes in this one."""


def main(args: Sequence[str]) -> int:
    options = parse(Predict, args, "predict", __doc__)
    check_least(options, top=1, num_workers=0)
    names = class_names(options.labels, options.labels_file)
    paths = find_videos(options.videos, lambda line: note("note:", line))
    for path, option in ((options.json, "--json"), (options.csv, "--csv")):
        if path is not None:
            files.check_output(path, option)
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
    try:  # the files first, and the table even if they cannot be written
        if options.json is not None:
            rows = [{**dataclasses.asdict(result), "path": str(result.path)} for result in results]
            unreadable = [{"key": item.key, "reason": item.reason} for item in broken]
            files.write_json(options.json, {"predictions": rows, "unreadable": unreadable})
        if options.csv is not None:
            files.write_text(options.csv, as_csv(results))
    finally:
        if results:
            out.print(as_table(results, min(options.top, len(predictor.class_names))))
        print_broken(broken)
    return 1 if broken else 0


def as_table(results: Sequence[Prediction], num_ranks: int) -> Table:
    table = Table(Column("video", overflow="fold"), *(f"{rank + 1}." for rank in range(num_ranks)))
    for result in results:
        cells = [f"{shown(label)} {100 * score:.1f} %" for label, score in zip(result.labels, result.scores)]
        if result.none_of_these:
            cells[0] = f"none of these ({cells[0]})"
        table.add_row(shown(result.path), *cells)
    return table


def as_csv(results: Sequence[Prediction]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["path", "rank", "label", "score"])
    for result in results:
        ranked = enumerate(zip(result.labels, result.scores), start=1)
        path = no_formula(str(result.path))
        writer.writerows([path, rank, no_formula(label), score] for rank, (label, score) in ranked)
    return buffer.getvalue()


def no_formula(cell: str) -> str:
    """A text with a quote in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
