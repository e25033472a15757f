"""Learn your own actions from a few clips: actionprompt teach wave=a.mp4,b.mp4 clap=c.mp4,d.mp4 --out my_actions

After NAME= come files, folders, globs, and spans of a long video in seconds or minutes, such as long.mp4@12.5-15 or
long.mp4@1:02.5-1:10. Clips of nothing in particular, named none=, teach what is "none of these"."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.table import Table

from actionprompt import files
from actionprompt.apps.teach import HeldOut, Taught, teach
from actionprompt.apps.teach import parse as read_clips
from actionprompt.commands._outputs import check_files, check_folder
from actionprompt.commands._shared import (
    STDOUT,
    Clips,
    bar,
    fetch,
    note,
    out,
    parse,
    say,
    shown,
    to_stdout,
)
from actionprompt.weights import AUTO

NONE = "none"
"""As a name on the command line: the background class."""
MOST_COLUMNS = 12
"""Classes that a confusion table shows; a larger one would not fit the terminal."""


@dataclass(frozen=True)
class Teach:
    classes: tyro.conf.Positional[tuple[str, ...]] = ()
    """NAME=clip,clip,... for every action: files, folders, globs, and spans such as long.mp4@12.5-15; five clips each
    are a good start."""
    out: Path = tyro.MISSING
    """Folder of the model."""
    backbone: str | None = None
    """`auto` (the default: openai/clip-vit-base-patch16), `tiny` (embedded, knows the drawings of ActionWorld only), a
    folder, an OpenAI .pt file, or a hub name. With --add-to that of the model, unless given."""
    clips: Clips = field(default_factory=Clips)
    """Classes from folders: --clips.root ROOT with ROOT/<class>/<clip>."""
    background: str | None = None
    """The class that is answered with "none of these"; `none=...` is one by itself, a folder of that name is not."""
    add_to: Path | None = None
    """A taught model: its clips are learned as well, from the features kept next to it."""
    keep_features: bool = True
    """Keep the features of the clips next to the model, so that classes can be added without the clips. Whoever is
    given the folder gets them, too."""
    json: Path | None = None
    """Write all that was found here; `-` is stdout, with nothing else on it."""


def main(args: Sequence[str]) -> int:
    options = parse(Teach, args, "teach", __doc__)
    named = read_clips(options.classes)
    check_folder(options, apart=False)
    check_files(options, "json", inputs=itertools.chain.from_iterable(named.values()))
    background = options.background or (NONE if NONE in named else None)
    classes = {**_of_folders(options.clips)}
    for name, paths in named.items():
        classes[name] = (*classes.get(name, ()), *paths)
    if not classes:
        raise ValueError("expected NAME=clip1.mp4,clip2.mp4,... for every action, or --clips.root ROOT")
    backbone = options.backbone or (AUTO if options.add_to is None else None)
    if backbone is not None:
        backbone = fetch(backbone)
    with bar("encoding clips") as encode, bar("training") as step:
        taught = teach(
            classes, options.out, backbone=backbone, background=background, add_to=options.add_to,
            keep_features=options.keep_features, on_encode=encode, on_step=step,
        )  # fmt: skip
    if options.json == STDOUT:
        to_stdout(files.to_text(taught.as_json()))
        for line in taught.warnings:
            note("note:", line)
        return 0
    if options.json is not None:
        files.write_json(options.json, taught.as_json())
    _print(taught)
    return 0


def _of_folders(clips: Clips) -> dict[str, tuple[str | Path, ...]]:
    """The clips of --clips.root, or of another data set; none if neither is given."""
    if clips == Clips():
        return {}
    listed = clips.load("train")
    found: dict[str, tuple[str | Path, ...]] = dict.fromkeys(listed.class_names, ())
    for clip in listed.clips:
        found[listed.class_names[clip.label]] += (clip.path,)
    return {name: paths for name, paths in found.items() if paths}


def _print(taught: Taught) -> None:
    held_out, none = taught.held_out, taught.none_of_these
    if held_out is not None:
        low, high = held_out.interval
        say(f"held out, {held_out.num_right} of {held_out.num_clips} clips were recognised: {held_out.top1:.0f} % "
            f"(95 % interval {low:.0f} to {high:.0f} %; guessing {held_out.chance:.0f} %)")  # fmt: skip
        if held_out.num_sources < held_out.num_clips:
            say(f"they are of {held_out.num_sources} source video{'' if held_out.num_sources == 1 else 's'}")
        out.print(confusion(held_out))
    for point in taught.curve if len(taught.curve) > 1 else ():
        number = f"{point.clips_per_class:.2g} clip{'' if point.clips_per_class == 1 else 's'}"
        say(f"learned from {number} per class: {point.top1:.0f} % "
            f"({point.num_right} of {point.num_clips})")  # fmt: skip
    if taught.advice is not None:
        say(taught.advice)
    if none is not None:
        kept, rejected = round(none.kept * none.num_clips), round(none.rejected * none.num_unknown)
        say(f'rejection threshold {100 * none.below:.0f} %: a clip whose best class is below it is "none of these"; it '
            f"keeps {kept} of {none.num_clips} recognised clips ({100 * none.kept:.0f} %) and rejects {rejected} of "
            f"{none.num_unknown} clips of actions it does not know ({100 * none.rejected:.0f} %)")  # fmt: skip
    if taught.background is not None:
        say(f'a clip that is most like the class {taught.background} is answered with "none of these"')
    for line in taught.warnings:
        note("note:", line)
    if taught.features_bytes:
        say(f"the features of the clips ({taught.features_bytes / 1e6:.1f} MB, no frames) are kept in {taught.folder}, "
            f"for --add-to; --no-keep-features leaves them out")  # fmt: skip
    names = ", ".join(taught.num_clips)
    say(f"{taught.folder}: {names}; use it with actionprompt predict CLIP --model {taught.folder}, or actionprompt "
        f"timeline VIDEO --model {taught.folder}")  # fmt: skip


def confusion(held_out: HeldOut) -> Table:
    """Rows: what a clip shows; columns: what was answered. Of many classes, the most frequent mistake in place of the
    columns."""
    names, rows = held_out.class_names, held_out.confusion
    wide = len(names) > MOST_COLUMNS
    headers = ["most frequent mistake"] if wide else [shown(name) for name in names]
    table = Table("held out", "right", *headers)
    for label, (name, row) in enumerate(zip(names, rows, strict=True)):
        right = f"{row[label]} of {sum(row)}" + (f" ({100 * row[label] / sum(row):.0f} %)" if sum(row) else "")
        wrong = [number if answer != label else 0 for answer, number in enumerate(row)]
        worst = f"{shown(names[wrong.index(max(wrong))])} ({max(wrong)})" if any(wrong) else ""
        cells = [worst] if wide else [str(number) if number else "" for number in row]
        table.add_row(shown(name), right, *cells)
    return table
