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
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {some(known, 20)}"
        raise ValueError(f"there is no {what} {name!r}; {hint}")


def summary(folder: Path, name: str) -> str:
    """The first line of an entry's docstring, read without importing it."""
    source = (folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
