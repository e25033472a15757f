"""What the verbs share: what is printed, the progress bar, options for clips and labels, and the defaults of a method.

Only the files of this folder print, and only they import tyro and rich. Names of files, clips and classes are data:
whatever is printed goes through `shown` (in cells and titles of tables), `say` or `note`.
"""

import argparse
import dataclasses
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actionprompt import datasets, methods
from actionprompt import labels as label_files
from actionprompt.clips import Broken, ClipList, listed, some
from actionprompt.config import DataConfig, TrainConfig, from_json, update

NONE = "none of these"
"""As an answer."""
STDOUT = Path("-")
"""As a file to write to."""
MOST_IGNORED = 10
"""Lines on what lay among the clips of a list and is none."""
PIPE_CLOSED = 141
"""128 + SIGPIPE: the exit code of a program that writes into a pipe whose reader has gone."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())  # what is left to print goes nowhere
        raise SystemExit(PIPE_CLOSED)


out, err = _Console(emoji=False, highlight=False), _Console(stderr=True, emoji=False, highlight=False)


def visible(text: object) -> str:
    """A text for the terminal: control characters, line ends, marks of direction and bytes that are no UTF-8 as
    escapes, such as `\\x1b`."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    joiner = char in "\u200c\u200d"  # they belong to Persian, Indic scripts and emoji
    hidden = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joiner
    return char.encode("unicode_escape").decode() if hidden else char


def shown(text: object) -> str:
    """`visible` text that rich's markup leaves as it is."""
    return escape(visible(text))


def cut(text: object, width: int) -> str:
    """A `visible` text in `width` columns of a terminal: what is too much is cut from the left, of a path whole folders
    where half of the width remains, as in "…/wave/001.mp4"."""
    text = visible(text)
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - 1:
        text = text[1:]
    folder = re.search(r"[/\\\\]", text[: len(text) // 2])
    return f"…{text[folder.start() :] if folder else text}"


def say(text: object = "") -> None:
    """A line on stdout."""
    out.print(visible(text), markup=False, soft_wrap=True)


def note(head: str, text: object, style: str = "yellow") -> None:
    """A line on stderr that begins with a coloured word."""
    err.print(f"[{style}]{escape(head)}[/] {shown(text)}", soft_wrap=True)


def to_stdout(text: str) -> None:
    """UTF-8 whatever the console has, since programs read it; what is no UTF-8 in a name, as an escape. A terminal gets
    `visible` text."""
    if sys.stdout.isatty():
        text = "\n".join(map(visible, text.split("\n")))
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


@contextmanager
def bar(what: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, called with (done, total[, note]); it appears with the first call."""
    text = (TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False))
    columns = (text[0], BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), text[1])
    progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    task = None

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal task
        if task is None:
            progress.start()
            task = progress.add_task(visible(what), total=total, note=note)
        progress.update(task, completed=done, total=total, note=visible(note))

    try:
        yield report
    finally:
        if task is not None:
            progress.stop()


@contextmanager
def texts_bar() -> Iterator[None]:
    """While it is entered, a bar appears where many class names are encoded."""
    from actionprompt.backbone.text import ON_TEXTS  # imports torch, which --help and list do without

    with bar("class names") as progress:
        before = ON_TEXTS.set(progress)
        try:
            yield
        finally:
            ON_TEXTS.reset(before)


def print_broken(broken: Iterable[Broken], what: str = "could not read") -> None:
    """A line on stderr for each clip that could not be read."""
    for item in broken:
        note(what, f"{item.key}: {item.reason}", "red")


# Options -------------------------------------------------------------------------------------------------------------


def parse(options: Any, args: Sequence[str], verb: str, about: str) -> Any:
    """The options of a verb as an instance of a dataclass; `--help` prints them and exits.

    Raises:
        ValueError: an option that does not exist, a missing one, or a value it does not take, in one line.
    """
    import tyro  # here, so that `list` starts without it

    complaint, columns = io.StringIO(), os.environ.get("COLUMNS")
    if not {"-h", "--help"} & set(args):
        os.environ["COLUMNS"] = "9999"  # no message is broken into lines
    try:
        with redirect_stderr(complaint):
            return tyro.cli(options, args=list(args), prog=f"actionprompt {verb}", description=about)
    except SystemExit as stop:
        if not stop.code:
            raise
    finally:
        os.environ.pop("COLUMNS", None)
        if columns is not None:
            os.environ["COLUMNS"] = columns
    raise ValueError(f"{_one_line(complaint.getvalue(), options, verb)}; see actionprompt {verb} --help")


def _one_line(box: str, options: Any, verb: str) -> str:
    """What tyro says in a box, in one line: what is wrong, and the nearest options."""
    rows = [row.strip(" \u2502") for row in re.sub(r"\x1b\[[0-9;]*m", "", box).split("\n")]
    parts: list[list[str]] = [[]]
    for row in rows[1:]:  # below the title; the box is drawn with lines, or in ASCII
        if row and not row.strip("-\u2500\u2570\u256f"):
            parts.append([])
        elif row:
            parts[-1].append(row)
    first, rest = ([part for part in parts if part] + [[], []])[:2]
    said = " ".join(first) or " ".join(box.split())
    if said.startswith("Missing from"):
        pairs = zip(first[1::2], first[2::2])
        wanted = [(name, what.removesuffix(" (required)").rstrip(".")) for name, what in pairs]
        named = (f"{n} ({w})" if n[0] == "-" else w[:1].lower() + w[1:] or n for n, w in wanted)
        return f"{verb} needs " + ", and ".join(named)
    said = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"expected a whole number, got \1", said)
    said = re.sub(r"could not convert string to float: (.*)", r"expected a number, got \1", said)
    unknown = re.fullmatch("Unrecognized options?: (.*)", said)
    if unknown:
        near = [line.split()[0].rstrip(",") for line in rest if line.startswith("--")]
        groups = {re.split("[:.]", word)[0] for word in unknown[1].split(", ")}
        near = near or [name for name in _names(options) if name[2:].split(".")[0] in groups and "." in name]
        return f"there is no option {unknown[1]}" + (f"; there is {some(near, 5)}" if near else "")
    failed = re.fullmatch("Error parsing ([a-z_.-]+): (.*)", said)
    if failed:
        return _named(failed[1].lstrip("-"), failed[2], options)
    return said[:1].lower() + said[1:].rstrip(".").replace(". Expected", ", expected")


def _named(place: str, message: str, options: Any) -> str:
    """A message on a field of an options dataclass, with the field's name as it is typed."""
    inside = [name.rpartition(".")[2] for name in _names(options) if name.rpartition(".")[0] == f"--{place}"]
    for word in re.findall(r"\w+", message):
        if word.replace("_", "-") in inside:
            return re.sub(rf"\b{word}\b", f"--{place}.{word.replace('_', '-')}", message, count=1)
    return f"--{place}: {message}" if f"--{place}" in _names(options) else message


def _names(options: Any, place: str = "--") -> list[str]:
    """The options of a dataclass as they are typed, those of the dataclasses in it as well."""
    found = []
    for name, kind in get_type_hints(options).items():
        found.append(f"{place}{name.replace('_', '-')}")
        if dataclasses.is_dataclass(kind):
            found += _names(kind, f"{found[-1]}.")
    return found


def check_least(options: Any, **least: int) -> None:
    """Raise ValueError for an option below the number it has to have at least; None passes."""
    for name, number in least.items():
        given = getattr(options, name)
        if given is not None and given < number:
            raise ValueError(f"expected --{name.replace('_', '-')} of at least {number}, got {given}")


def fetch(name: str, *, dataset: str = "", method: str = "") -> str:
    """The name of a backbone for `load_clip`, fetched before from the hub where it is not here, with its size and a
    bar. `auto` becomes `tiny` for a `dataset` of ActionWorld, and for a `method` without a backbone.

    Raises:
        ValueError: it can neither be found here nor be had from the hub, with the three ways out.
    """
    from actionprompt import weights  # imports torch, which --help and list do without

    if name == weights.AUTO and (method == "i3d_flow" or (dataset and datasets.get(dataset).INFO.generated)):
        return weights.TINY
    with bar(f"fetching {name}, MB") as progress:
        weights.download(name, lambda done, total: progress(done // 10**6, total // 10**6))
    return name


# Which clips ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clips:
    """Which clips."""

    dataset: str = "folder"
    """By name (`actionprompt list`); `folder` is root/<class>/<clip>, `csv` a table with path,label[,split]."""
    root: Path | None = None
    """Data-set root; for `csv` the table itself. A generated data set (`actionworld`) needs none."""
    split: int = 1
    """The official split, where there are several."""
    size: str | None = None
    """Of a generated data set: mini, small or full."""
    split_folder: float | None = None
    """Of `folder`: divide root/<class>/<clip> into this share for training and the rest for testing, by sources where
    the clips' names show them; --clips.split is the seed."""
    names: Path | None = None
    """Of `csv`: the class names where its labels are ids; one per line, `id,name` rows, or JSON."""
    max_missing: int = 0
    """Listed clips that may be missing, for copies that have decayed; they are shown and named in the record."""

    def load(self, part: str | None) -> ClipList:
        """The clips of one part. What lay among them and is no clip, and what is missing, is shown on stderr."""
        module = datasets.get(self.dataset)
        if self.root is None and not module.INFO.generated:
            raise ValueError(f"the data set {self.dataset} needs --clips.root: {module.INFO.get}")
        if self.size is not None and not module.INFO.generated:
            raise ValueError(f"the data set {self.dataset} has one size: expected no --clips.size, got {self.size}")
        if self.max_missing and not module.INFO.listed:
            raise ValueError(f"the data set {self.dataset} has no list of its clips, so none can be missing: expected "
                             f"no --clips.max-missing, got {self.max_missing}")  # fmt: skip
        if self.max_missing < 0:
            raise ValueError(f"expected --clips.max-missing of at least 0, got {self.max_missing}")
        if self.names is not None and self.dataset != "csv":
            raise ValueError(f"the data set {self.dataset} has its own class names: expected no --clips.names, got "
                             f"{self.names}")  # fmt: skip
        if self.split_folder is not None and self.dataset != "folder":
            raise ValueError(f"the data set {self.dataset} has its own parts: expected no --clips.split-folder, got "
                             f"{self.split_folder:g}")  # fmt: skip
        extra: dict[str, Any] = {"size": self.size} if self.size is not None else {}
        if self.names is not None:
            read_labels(self.names)
            extra["names"] = self.names
        if self.split_folder is not None:
            extra["split_folder"] = self.split_folder
        elif not module.INFO.parts and module.parts(self.root) == (None,):
            part = None  # the user's own list is not divided
        clips = module.load(self.root, split=self.split, part=part, max_missing=self.max_missing, **extra)
        for line in clips.ignored[:MOST_IGNORED]:
            note("not a clip:", line)
        if len(clips.ignored) > MOST_IGNORED:
            note("not a clip:", f"and {len(clips.ignored) - MOST_IGNORED} more")
        if clips.missing:
            there, gone = len(clips.clips), len(clips.missing)
            note("missing:", f"{gone} of {there + gone} clips of {clips.name}: {some(clips.missing, 5)}")
        return clips


def find_predictor(options: Any, names: tuple[str, ...] | None, *, fit: Any = None, precision: Any = "float32") -> Any:
    """The predictor of --model, or of zero-shot recognition of these names; the backbone is fetched before where it is
    not here. `fit` is a `DataConfig.fit`; None: the usual one. `precision` is that of `Predictor`.

    Raises:
        ValueError: neither a model nor names, or as `prediction.load` and `prediction.zero_shot`.
    """
    from actionprompt import prediction, weights  # they import torch, which --help and list do without

    asked: Any = {"none": options.none, "independent": options.independent, "precision": precision}
    if options.model is not None:
        backbone = options.backbone and fetch(options.backbone)
        with texts_bar():
            return prediction.load(options.model, class_names=names, backbone=backbone, fit=fit, **asked)
    if names is None:
        raise ValueError('expected --model RUN, or --labels "a,b,c" or --labels-file FILE for zero-shot recognition')
    config = DataConfig(fit=fit or "auto")
    backbone = fetch(options.backbone or weights.AUTO)
    with texts_bar():
        return prediction.zero_shot(names, backbone=backbone, config=config, **asked)


def class_names(text: str | None, file: Path | None) -> tuple[str, ...] | None:
    """The names of --labels (separated by commas) or --labels-file; None without either."""
    if text is not None and file is not None:
        raise ValueError("expected --labels or --labels-file, not both")
    if file is not None:
        return read_labels(file)
    if text is None:
        return None
    names = [name.strip() for name in re.split("[,，、]", text)]  # Chinese commas, too
    if not any(names):
        raise ValueError("expected at least one class name, got none")
    if not all(names):
        raise ValueError(f"--labels: expected a class name before and after every comma, got {text!r}")
    return listed(names)


def read_labels(file: Path) -> tuple[str, ...]:
    """The names in a file of class names. How they were read is shown on stderr."""
    found = label_files.read(file)
    number = f"{len(found.names)} class{'' if len(found.names) == 1 else 'es'}"
    note("classes:", f"{file.name}: read as {found.form}: {number}")
    return found.names


# A method and its defaults -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """A method, and what --variant, --recipe and --config make the defaults of all other options."""

    name: str
    module: ModuleType
    variant: str
    """A key of the method's `VARIANTS`; "" is the full method."""
    recipe: str
    """A key of its `RECIPES`; "" for none."""
    method: Any
    data: DataConfig
    train: TrainConfig
    source: str
    """Where the settings come from, in words."""


def choose_method(args: Sequence[str], verb: str) -> Chosen:
    """Read METHOD and the options that decide the defaults of all others, which the verb then parses again:
    --variant, --recipe, --config, --protocol, --clips.dataset and --model.

    Raises:
        ValueError: no method, or a variant, recipe, file or combination that does not exist.
        SystemExit: `--help` in place of the method.
    """
    if not args or args[0].startswith("-"):
        if args and args[0] in ("-h", "--help"):
            out.print(f"usage: actionprompt {verb} METHOD [--variant V] [--recipe R] [--config JSON] [options]\n")
            out.print("methods: " + ", ".join(methods.names()))
            out.print(f"\nactionprompt {verb} METHOD --help shows the options.", highlight=False)
            raise SystemExit(0)
        raise ValueError(f"expected a method after `{verb}`; choose one of {', '.join(methods.names())}")
    name, module = args[0], methods.get(args[0])
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--variant", "--recipe", "--config", "--protocol", "--clips.dataset", "--model"):
        parser.add_argument(option)
    try:
        given = vars(parser.parse_known_args(args[1:])[0])
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    recipe, protocol = given["recipe"], given["protocol"] or "closed-set"
    if verb == "train" and recipe in module.RECIPES:  # one list of clips: for closed-set, or for zero-shot transfer
        fitting = [p for p in module.RECIPES[recipe].protocols if p in ("closed-set", "zero-shot")]
        protocol = fitting[0] if fitting else protocol
    chosen = methods.defaults(
        name, variant=given["variant"] or "", recipe=recipe, protocol=protocol,
        dataset=given["clips.dataset"] or "folder",
    )  # fmt: skip
    method, data, train, source = chosen.method, chosen.data, chosen.train, chosen.source
    if given["config"] is not None:
        if not Path(given["config"]).is_file():
            raise ValueError(
                f"expected the JSON of a run or model manifest for --config, there is no {given['config']}"
            )
        saved = json.loads(Path(given["config"]).read_text(encoding="utf-8"))
        method = from_json(module.Config, saved.get("config", {}))
        data, train = update(DataConfig(), saved.get("data", {})), update(TrainConfig(), saved.get("train", {}))
        source = given["config"]
    elif given["model"] is not None:  # a trained model is tested on what it was trained on: frames, fit
        data, source = data_of(Path(given["model"])), f"{given['model']} for frames and views"
    return Chosen(name, module, given["variant"] or "", chosen.recipe, method, data, train, source)


def data_of(model: Path) -> DataConfig:
    """The data options a model was trained with."""
    from actionprompt import checkpoint  # imports torch, which --help and list do without

    manifest = checkpoint.read_manifest(model)
    return from_json(DataConfig, manifest["data"]) if "data" in manifest else DataConfig()


def find_model(args: Sequence[str]) -> Path | None:
    """The first argument of a verb that is a model or run folder: the defaults of its views come from there."""
    from actionprompt.checkpoint import MANIFEST

    for word in args:
        if not word.startswith("-") and any((Path(word) / part / MANIFEST).is_file() for part in ("", "model")):
            return Path(word)
    return None


def describe_choices(chosen: Chosen) -> str:
    """The first part of a verb's help: what the method is, and what its variants and recipes are called."""
    return (
        f"{methods.summary(chosen.name)}\n\n"
        f"variants: {', '.join(chosen.module.VARIANTS) or 'none'}\n"
        f"recipes: {', '.join(chosen.module.RECIPES) or 'none'}\n"
        f"`actionprompt list {chosen.name}` says which table of the paper each belongs to."
    )
