"""What the verbs share: consoles, the progress bar, options for clips and labels, and the defaults of a method.

Only the files of this folder print, and only they import tyro and rich.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actionprompt import datasets, methods
from actionprompt.clips import Broken, ClipList, read_lines, some
from actionprompt.config import DataConfig, TrainConfig, from_json, update

out, err = Console(), Console(stderr=True)


@contextmanager
def bar(what: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, called with (done, total[, note]); it appears with the first call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=err, transient=True)
    task = None

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal task
        if task is None:
            progress.start()
            task = progress.add_task(what, total=total, note=note)
        progress.update(task, completed=done, total=total, note=note)

    try:
        yield report
    finally:
        progress.stop()


def print_broken(broken: Iterable[Broken], what: str = "could not read") -> None:
    """A line on stderr for each clip that could not be read."""
    for item in broken:
        err.print(f"[red]{what}[/] {escape(item.key)}: {escape(item.reason)}", soft_wrap=True)


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
        extra = {"size": self.size} if self.size is not None else {}
        if not module.INFO.parts and module.parts(self.root) == (None,):
            part = None  # the user's own list is not divided
        clips = module.load(self.root, split=self.split, part=part, max_missing=self.max_missing, **extra)
        for line in clips.ignored:
            err.print(f"[yellow]not a clip:[/] {escape(line)}")
        if clips.missing:
            there, gone = len(clips.clips), len(clips.missing)
            err.print(f"[yellow]missing:[/] {gone} of {there + gone} clips of {clips.name}: "
                      f"{escape(some(clips.missing, 5))}", soft_wrap=True)  # fmt: skip
        return clips


def class_names(text: str | None, file: Path | None) -> list[str] | None:
    """The names of --labels (separated by commas) or --labels-file (one per line); None without either."""
    if text is not None and file is not None:
        raise ValueError("expected --labels or --labels-file, not both")
    if file is not None:
        if not file.is_file():
            raise ValueError(f"there is no file {file}; --labels-file takes a text file with one class name per line")
        text = ",".join(read_lines(file))
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError("expected at least one class name, got none")
    return names


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
