"""Recognise actions in videos: actionprompt predict clip.mp4 --labels "wave,clap,run" """

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.cells import cell_len, set_cell_size

from actionprompt import files
from actionprompt.clips import Broken, find_videos
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import (
    NONE,
    STDOUT,
    bar,
    check_least,
    class_names,
    cut,
    find_predictor,
    note,
    out,
    parse,
    print_broken,
    say,
    to_stdout,
    visible,
)
from actionprompt.config import Fit
from actionprompt.prediction import Prediction, Predictor
from actionprompt.prediction.precision import Precision
from actionprompt.prediction.tables import as_csv, as_json

GAP, SHORTEST_NAME = 2, 20
"""Columns between two cells, and what a table leaves for the name of a video at least."""


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
    """Of zero-shot recognition: `auto` by default, openai/clip-vit-base-patch16 from the cache or the hub; or a folder,
    a .pt file, a hub name, or `tiny`. Of a trained model: where the backbone is, if it is not where the manifest
    says."""
    none: bool = False
    """Let "none of these" be an answer, by unrelated actions next to the labels. Off by default, since a clip is taken
    to show one of the labels (`timeline` has it on). A taught model with a rejection threshold or a background answers
    so in any case; with a threshold, --none adds the probability."""
    independent: bool = False
    """Score each label by itself against unrelated actions, so that several can be true at once."""
    fit: Fit | None = None
    """What of a frame is seen: what the backbone's checkpoint asks for (`own`), the centre `crop`, the whole frame with
    its aspect ratio ignored (`squash`) or with black bars (`letterbox`), or (`auto`) the squash with a backbone that
    asks for it, else the crop for videos that are nearly square and the letterbox for others. By default `auto`; of a
    trained model, what it was trained with."""
    precision: Precision = "float32"
    """In which the frames are encoded. int8 computes on a CPU alone, with full-size backbones faster than float32, and
    its scores are not exactly the same; bf16 needs a GPU, or a processor with instructions for it."""
    top: int = 5
    """How many classes to show."""
    json: Path | None = None
    """Write the results here; `-` is stdout, with nothing else on it."""
    csv: Path | None = None
    """Write the results here, one row per video and class; `-` is stdout. A text that a spreadsheet would take for a
    formula has a quote in front."""
    num_workers: int = 2
    """Decoding processes, where there are several videos; 0 decodes in this one."""


def main(args: Sequence[str]) -> int:
    options = parse(Predict, args, "predict", __doc__)
    check_least(options, top=1, num_workers=0)
    names = class_names(options.labels, options.labels_file)
    paths = find_videos(options.videos, lambda line: note("note:", line))
    if options.json == options.csv == STDOUT:
        raise ValueError("expected --json - or --csv -, not both: there is one stdout")
    check_files(options, "json", "csv", inputs=paths)
    predictor = find_predictor(options, names, fit=options.fit, precision=options.precision)
    warnings = predictor.warnings(paths)
    for line in warnings:
        note("warning:", line)
    about = predictor.about()
    if options.csv == STDOUT:
        to_stdout(as_csv([], about, warnings))
        show = _Once(lambda result: to_stdout(as_csv([result], about, warnings, header=False)))
    elif options.json == STDOUT:
        show = _Once(lambda result: None)
    else:
        show = _Once(Rows(predictor, paths, options.top).show)
    results, broken = _answers(options, predictor, paths, show)
    if options.json is not None:
        answer = as_json(results, broken, about, warnings)
        if options.json == STDOUT:
            to_stdout(files.to_text(answer))
        else:
            files.write_json(options.json, answer)
    if options.csv not in (None, STDOUT):
        files.write_text(options.csv, as_csv(results, about, warnings))
    if show.failed is not None:
        raise show.failed
    return 1 if broken else 0


def _answers(
    options: Predict, predictor: Predictor, paths: Sequence[Path], show: Callable[[Prediction], None]
) -> tuple[list[Prediction], list[Broken]]:
    """All predictions; each is shown as soon as it is there, while later videos are decoded."""
    results: list[Prediction] = []
    broken: list[Broken] = []
    answers = predictor.predict_all(paths, top=options.top, num_workers=options.num_workers, batch_size=1)
    with bar("videos") as progress:
        for _, result in answers:
            if isinstance(result, Broken):
                broken.append(result)
                print_broken([result])
            else:
                results.append(result)
                show(result)
                for line in result.warnings:
                    note("note:", f"{result.path}: {line}")
            if not out.is_terminal or len(paths) == 1:  # rows on the same terminal would run into the bar
                progress(len(results) + len(broken), len(paths))
    return results, broken


class _Once:
    """Shows predictions until that fails; the files are written all the same, and the failure is raised after that."""

    def __init__(self, show: Callable[[Prediction], None]) -> None:
        self.show = show
        self.failed: BaseException | None = None

    def __call__(self, result: Prediction) -> None:
        if self.failed is None:
            try:
                self.show(result)
            except (Exception, SystemExit) as error:  # a pipe without a reader ends the program
                self.failed = error


class Rows:
    """Predictions on the terminal, one by one, below a line that says what answers: a row each where the ranks fit next
    to each other, else a line for each rank below the name of the video."""

    def __init__(self, predictor: Predictor, paths: Iterable[Path], top: int) -> None:
        method = predictor.method
        self.about = f"{method.name} on {method.clip.public_name}, {predictor.config.num_frames} frames"
        labels = [visible(name) for name in predictor.class_names]
        self.num_ranks = min(top, len(labels)) + predictor.none
        longest = max(cell_len(label) for label in [*labels, *([NONE] if predictor.none else [])])
        if predictor.none_below is not None and not predictor.none and not predictor.independent:
            longest += cell_len(f"{NONE} ()")
        self.cell = longest + len(" 100.0 %")
        names = max(cell_len(visible(path)) for path in paths)
        self.name = min(names, out.width - self.num_ranks * (self.cell + GAP))
        self.in_a_row = self.name >= min(names, SHORTEST_NAME)
        self.begun = False

    def show(self, result: Prediction) -> None:
        cells = self.cells(result)
        if not self.begun:
            say(cut(self.about, out.width))
            if self.in_a_row:
                self._row("video", [f"{rank + 1}." for rank in range(self.num_ranks)])
                say("-" * (max(self.name, len("video")) + self.num_ranks * (self.cell + GAP)))
            self.begun = True
        if not self.in_a_row:
            say(cut(result.path, out.width))
            for rank, cell in enumerate(cells, start=1):
                say(f"{rank:>3}. {cell}")
            return
        self._row(cut(result.path, self.name), cells)

    def _row(self, name: str, cells: Sequence[str]) -> None:
        padded = [set_cell_size(cell, self.cell) for cell in cells]
        say((" " * GAP).join([set_cell_size(name, max(self.name, len("video"))), *padded]).rstrip())

    def cells(self, result: Prediction) -> list[str]:
        """The labels with their probabilities, the highest first; none of these is one of them where it was asked."""
        ranked = [*zip(result.labels, result.scores)]
        if result.none is not None:
            place = sum(score >= result.none for _, score in ranked)
            ranked.insert(place, (NONE, result.none))
        cells = [f"{visible(label)} {100 * score:.1f} %" for label, score in ranked]
        if result.none_of_these and result.none is None:
            cells[0] = f"{NONE} ({cells[0]})"
        return cells
