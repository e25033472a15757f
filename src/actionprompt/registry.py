"""A folder as a registry: every file `name.py` in it is the entry `name` (methods, data sets, verbs)."""

import ast
import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from actionprompt.clips import some


def names(folder: Path) -> tuple[str, ...]:
    """The entries, sorted; files with a leading underscore are none."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


def load(package: str, name: str, known: Sequence[str], *, what: str) -> ModuleType:
    """The module of an entry.

    Raises:
        ValueError: there is no such entry; with the nearest one.
    """
    check(name, known, what=what)
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def check(name: str, known: Sequence[str], *, what: str) -> None:
    """Raise ValueError, with the nearest name, for a name that is not known."""
    if name not in known:
        near = nearest(name, known)
        hint = f"choose one of {some(known, 20)}" if near is None else f"did you mean {near!r}?"
        raise ValueError(f"there is no {what} {name!r}; {hint}")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is most like `name`, if one is; capitals make no difference."""
    lower = {entry.lower(): entry for entry in known}
    return next((lower[near] for near in difflib.get_close_matches(name.lower(), lower, n=1)), None)


def summary(folder: Path, name: str) -> str:
    """The first line of an entry's docstring, read without importing it."""
    source = (folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
