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
from actionprompt.clips import Broken, ClipList, read_lines
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

    def load(self, part: str | None) -> ClipList:
        """The clips of one part; what lay among them and is no clip is shown on stderr."""
        module = datasets.get(self.dataset)
        if self.root is None and not module.INFO.generated:
            raise ValueError(f"the data set {self.dataset} needs --clips.root: {module.INFO.get}")
        if self.size is not None and not module.INFO.generated:
            raise ValueError(f"the data set {self.dataset} has one size: expected no --clips.size, got {self.size}")
        extra = {"size": self.size} if self.size is not None else {}
        if not module.INFO.parts and module.parts(self.root) == (None,):
            part = None  # the user's own list is not divided
        clips = module.load(self.root, split=self.split, part=part, **extra)
        for line in clips.ignored:
            err.print(f"[yellow]not a clip:[/] {escape(line)}")
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
    method: Any
    data: DataConfig
    train: TrainConfig
    rest: list[str]
    """The arguments that are left for the verb."""


def choose_method(args: Sequence[str], verb: str) -> Chosen:
    """Read METHOD, --variant, --recipe and --config from the arguments of a verb.

    Raises:
        ValueError: no method, or one, a variant or a recipe that does not exist.
        SystemExit: `--help` in place of the method.
    """
    if not args or args[0].startswith("-"):
        if args and args[0] in ("-h", "--help"):
            out.print(f"usage: actionprompt {verb} METHOD [--variant V] [--recipe R] [--config JSON] [options]\n")
            out.print("methods: " + ", ".join(methods.names()))
            out.print(f"\nactionprompt {verb} METHOD --help shows the options.", highlight=False)
            raise SystemExit(0)
        raise ValueError(f"expected a method after `{verb}`; choose one of {', '.join(methods.names())}")
    name = args[0]
    module = methods.get(name)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--variant", "--recipe", "--config"):
        parser.add_argument(option)
    try:
        given, rest = parser.parse_known_args(args[1:])
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    for kind, table in (("variant", module.VARIANTS), ("recipe", module.RECIPES)):
        value = getattr(given, kind)
        if value is not None and value not in table:
            raise ValueError(f"{name} has no {kind} {value!r}; there are {', '.join(table) or 'none'}")
    recipe = dict(module.RECIPES[given.recipe]) if given.recipe else {}
    method = module.VARIANTS[given.variant] if given.variant else module.Config()
    data, train = update(DataConfig(), recipe.pop("data", {})), update(TrainConfig(), recipe)
    if given.config is not None:
        if not Path(given.config).is_file():
            raise ValueError(f"expected the JSON of a run or model manifest for --config, there is no {given.config}")
        saved = json.loads(Path(given.config).read_text(encoding="utf-8"))
        method = from_json(module.Config, saved.get("config", {}))
        data, train = update(DataConfig(), saved.get("data", {})), update(TrainConfig(), saved.get("train", {}))
    return Chosen(name, module, given.variant or "", method, data, train, rest)


def describe_choices(chosen: Chosen) -> str:
    """The part of a verb's help that names what --variant, --recipe and --config take."""
    variants, recipes = chosen.module.VARIANTS, chosen.module.RECIPES
    return (
        f"{methods.summary(chosen.name)}\n\n"
        f"--variant NAME   a row of the paper's ablations: {', '.join(variants) or 'none'}\n"
        f"--recipe NAME    the paper's settings for a protocol: {', '.join(recipes) or 'none'}\n"
        "--config FILE    options of an earlier run, from its record or the manifest of its model"
    )
