"""What happens when in videos of any length: actionprompt timeline match.mp4 --labels "serve,volley" --out timelines"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Column, Table

from actionprompt import files
from actionprompt.apps import timeline as engine
from actionprompt.apps.timeline import Timeline, captions, film, picture, truth
from actionprompt.clips import Broken, find_videos
from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import (
    NONE,
    bar,
    class_names,
    find_predictor,
    note,
    out,
    parse,
    print_broken,
    say,
    shown,
)
from actionprompt.config import to_json
from actionprompt.video import VideoDecodeError

SUMMARY, MEASURED = "summary.csv", "measured.json"
SUFFIXES = (".json", ".csv", ".vtt", ".png")
"""Of the files of a video, in the order in which they are written."""
BEGIN = b'{\n "path": '
"""Of a timeline's JSON."""
MOST_ROWS = 40
"""Segments of one video that are printed; its CSV has all."""


@dataclass(frozen=True)
class Options:
    videos: tyro.conf.Positional[tuple[str, ...]]
    """Video files, folders (searched for videos) and globs."""
    out: Path
    """Folder for NAME.json, NAME.csv (segments), NAME.vtt (captions) and NAME.png of every video."""
    model: Path | None = None
    """A trained or taught model; without it frozen CLIP tells the labels apart."""
    labels: str | None = None
    """Class names to look for, separated by commas."""
    labels_file: Path | None = None
    """The same from a file: one per line, `id,name` rows, or JSON."""
    backbone: str | None = None
    """Without a model: `auto`, openai/clip-vit-base-patch16 from the cache or the hub; or a folder, a .pt file, a hub
    name, or `tiny`. With a model: where its backbone lies, if it is not where the manifest says."""
    none: Annotated[tyro.conf.DisallowNone[bool | None], tyro.conf.arg(help_behavior_hint="")] = None
    """Let "none of these" be an answer, by unrelated actions next to the labels. On by default, since most of a long
    video shows none of the labels (`predict` has it off), but for a trained model that tells it poorly. A taught model
    with a rejection threshold or a background answers so in any case."""
    independent: bool = False
    """Look for each label by itself, so that several can happen at once."""
    window_s: float = engine.WINDOW_S
    """Seconds that the model sees at once."""
    hop_s: float = engine.HOP_S
    """Seconds from one window to the next: the finest step of a boundary."""
    smooth: bool = True
    """Smooth the answers by a hidden Markov model."""
    stay_s: float = engine.STAY_S
    """Of the smoothing: how long an action usually lasts, in seconds."""
    min_s: float = engine.MIN_S
    """Of the smoothing: the shortest segment, in seconds."""
    video: bool = False
    """Write NAME.mp4 too: the video with label, score and a running timeline drawn in, sound kept."""
    truth: Path | None = None
    """Annotated segments to measure against: a CSV with start_s,end_s,label, or a folder with NAME.csv of every
    video."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "timeline", __doc__)
    paths = find_videos(options.videos, lambda line: note("note:", line))
    names = class_names(options.labels, options.labels_file)
    check_folder(options, apart=False)
    stems = output_names(paths)
    _check_free(options.out, stems)
    if options.video:
        for path, stem in zip(paths, stems, strict=True):
            if os.path.realpath(_named(options.out / stem, ".mp4")) == os.path.realpath(path):
                raise ValueError(f"--out: the film of {path} would take the place of the video; give another folder")
    predictor = find_predictor(options, names)
    truths = _truths(options.truth, paths, stems, predictor.class_names)
    said = predictor.warnings(paths)
    for line in said:
        note("warning:", line)
    made: list[Timeline] = []
    broken: list[Broken] = []
    for number, (path, stem) in enumerate(zip(paths, stems, strict=True), start=1):
        where = f"{path.name}, {number} of {len(paths)}"
        try:
            with bar("windows") as progress:
                answer = engine.timeline(
                    predictor, path, window_s=options.window_s, hop_s=options.hop_s, smooth=options.smooth,
                    stay_s=options.stay_s, min_s=options.min_s, progress=partial(progress, note=where),
                )  # fmt: skip
        except VideoDecodeError as error:
            broken.append(Broken(str(path), error.reason, (0, number - 1)))
            print_broken(broken[-1:])
            continue
        made.append(answer)
        for line in answer.warnings:
            if line not in said:
                note("warning:", f"{path}: {line}")
        _write(answer, options.out / stem)
        if options.video:
            with bar("seconds of film") as progress:
                sound = film.write(answer, _named(options.out / stem, ".mp4"), partial(progress, note=where))
            note("film:", f"{stem}.mp4, {sound}")
        if len(paths) == 1:
            out.print(segments_table(answer))
        else:
            say(f"{stem}: {in_words(answer)}")
    if len(paths) > 1:
        files.write_text(options.out / SUMMARY, summary(made, broken, predictor.class_names))
    if truths and made:
        measured = truth.measure([(t.duration_s, t.segments, truths[t.path]) for t in made])
        files.write_json(options.out / MEASURED, {**asdict(measured), "about": made[0].model}, indent=2)
        for line in in_figures(measured):
            say(line)
    say(f"{len(made)} of {len(paths)} videos: {options.out}")
    return 1 if broken else 0


def output_names(paths: Sequence[Path]) -> list[str]:
    """What the files of each video are called below the output folder: its path below the folder that all share,
    without its suffix unless two would be the same, on a system without capitals too, or it is the name of a file for
    all videos."""
    shared = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    below = [Path(os.path.relpath(os.path.abspath(path), shared)) for path in paths]
    bare = [path.with_suffix("").as_posix() for path in below]
    taken = [name.casefold() for name in (*bare, *(Path(name).stem for name in (SUMMARY, MEASURED)))]
    names = [name if taken.count(name.casefold()) == 1 else path.as_posix() for name, path in zip(bare, below)]
    different = len({name.casefold() for name in names}) == len(names)
    return names if different else [path.as_posix() for path in below]


def _truths(
    given: Path | None, paths: Sequence[Path], stems: Sequence[str], labels: Sequence[str]
) -> dict[Path, tuple[truth.Truth, ...]]:
    """The annotated segments by video, read before the work starts."""
    if given is None:
        return {}
    if given.is_dir():
        return {path: truth.read(given / f"{stem}.csv", labels) for path, stem in zip(paths, stems, strict=True)}
    if len(paths) != 1:
        raise ValueError(f"--truth: expected a folder with NAME.csv for each of {len(paths)} videos, got {given}")
    return {paths[0]: truth.read(given, labels)}


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _check_free(folder: Path, stems: Sequence[str]) -> None:
    """Raise ValueError where a file of this name is there, but no earlier timeline: subtitles next to their video."""
    for stem in stems:
        there = [path for suffix in SUFFIXES if (path := _named(folder / stem, suffix)).exists()]
        if there and (there[0].suffix != SUFFIXES[0] or not there[0].read_bytes().startswith(BEGIN)):
            raise ValueError(f"--out: {there[0]} is there and of no earlier timeline; name another folder")


def _write(answer: Timeline, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    json, csv, vtt, png = (_named(stem, suffix) for suffix in SUFFIXES)
    files.write_json(json, captions.as_json(answer), indent=1)
    files.write_text(csv, captions.as_csv(answer))
    files.write_text(vtt, captions.as_vtt(answer))
    picture.draw(answer, png)


def segments_table(answer: Timeline) -> Table:
    """The segments of one video."""
    table = Table(Column("from", justify="right"), Column("to", justify="right"), "what", Column("score"))
    for segment in answer.segments[:MOST_ROWS]:
        label = shown(segment.label) if segment.label is not None else f"[dim]{NONE}[/]"
        table.add_row(clock(segment.start_s), clock(segment.end_s), label, f"{100 * segment.score:.0f} %")
    if not answer.segments:
        table.add_row("0:00.0", clock(answer.duration_s), "[dim]no label[/]", "")
    if len(answer.segments) > MOST_ROWS:
        table.add_row("", "", f"and {len(answer.segments) - MOST_ROWS} more", "")
    return table


def clock(time_s: float) -> str:
    """`1:02.5`, or `1:00:02.5` from an hour on."""
    tenths = round(10 * time_s)
    hours, minutes, seconds = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def in_words(answer: Timeline) -> str:
    """`1:02.5: wave 30.0 s, walk 12.5 s`"""
    parts = [f"{NONE if name is None else name} {time_s:.1f} s" for name, time_s in answer.seconds.items()]
    return f"{clock(answer.duration_s)}: {', '.join(parts) or 'no label'}"


def summary(made: Sequence[Timeline], broken: Sequence[Broken], labels: Sequence[str]) -> str:
    """A row per video: how long it is, seconds of each answer, and what is wrong with it."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["path", "duration_s", "segments", *(f"{files.no_formula(n)}_s" for n in (*labels, NONE)), "problem"]
    )
    for answer in made:
        shares = [round(answer.seconds.get(name, 0.0), 3) for name in (*labels, None)]
        problem = files.no_formula("; ".join(answer.warnings))
        path = files.no_formula(str(answer.path))
        writer.writerow([path, round(answer.duration_s, 3), len(answer.segments), *shares, problem])
    for item in broken:
        writer.writerow(
            [files.no_formula(item.key), "", "", *([""] * (len(labels) + 1)), files.no_formula(item.reason)]
        )
    return buffer.getvalue()


def in_figures(measured: truth.Measured) -> list[str]:
    """What `--truth` found, a line each."""
    found = to_json(measured)

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} %"

    at = ", ".join(f"{iou}: {percent(value)}" for iou, value in found["map_at"].items())
    error = found["boundary_error_s"]
    return [
        f"frame accuracy {percent(found['frame_accuracy'])} of all time, "
        f"{percent(found['frame_accuracy_annotated'])} of annotated time",
        f"mAP at IoU {at}",
        f"boundary error {'-' if error is None else f'{error:.2f} s'} (median; {percent(found['matched'])} of "
        f"{found['num_segments']} annotated segments have a predicted one that overlaps)",
    ]
