"""What is seen before the work starts: that what a verb writes can be written, and takes the place of nothing of the
user's."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from actionprompt import files
from actionprompt.commands._shared import STDOUT

MODELS = ("model", "start_from", "run", "add_to")
"""Options that are a model folder, or a run folder that holds one."""


def check_files(options: Any, *names: str, inputs: Iterable[str | Path] = (), text: bool = True) -> None:
    """See that the files of these options can be written (`files.check_output`), and that each is neither an input, nor
    in a model that is one, nor another output. `-` and None pass. `inputs` are those that are not named one by one.

    Raises:
        ValueError: one of them is, or cannot be written.
    """
    for name in names:
        value, option = getattr(options, name), _typed(name)
        for path in value if isinstance(value, tuple) else (value,):
            if path not in (None, STDOUT):
                if not path.is_dir():
                    _check_alone(options, option, path, inputs)
                files.check_output(path, option, text=text)


def check_folder(options: Any, name: str = "out", *, typed: str = "", apart: bool = True) -> None:
    """See that the folder of this option can be made or written to, and is no input if it has to be `apart`; nothing is
    made. `typed` is what people know the option as, where it is not `--NAME`.

    Raises:
        ValueError: an input, a file where a folder is expected, or a place that cannot be written to.
    """
    path, option = getattr(options, name), typed or _typed(name)
    there = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(f"{option}: expected a folder, but {there} is none")
    if apart:
        _check_alone(options, option, path)
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{option}: {path} cannot be written (no permission in {there})")


def _typed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_alone(options: Any, option: str, path: Path, inputs: Iterable[str | Path] = ()) -> None:
    real = Path(os.path.realpath(path))
    given = [*_paths(options), *(("", Path(other)) for other in inputs if real.exists())]  # a new file is no input
    found = [(name, Path(os.path.realpath(other))) for name, other in given]
    if sum(other == real for _, other in found) > 1:
        raise ValueError(f"{option}: {path} is an input, or another output, too; give another name")
    if real.exists() and any(name in MODELS and real.is_relative_to(other) for name, other in found):
        raise ValueError(f"{option}: {path} is a part of the model; give another name")


def _paths(options: Any) -> Iterator[tuple[str, Path]]:
    """The options that are paths, or texts that name something that is there; in options of options, too."""
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        if dataclasses.is_dataclass(value):
            yield from _paths(value)
        for item in value if isinstance(value, tuple) else (value,):
            named = isinstance(item, str) and option.name != "backbone" and os.path.exists(item)
            if named or isinstance(item, Path):
                yield option.name, Path(item)
