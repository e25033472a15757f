"""The folder is the registry: a data set is a file here, and its name is the file's."""

import difflib
import importlib
from pathlib import Path
from types import ModuleType


def names() -> tuple[str, ...]:
    """Names of all data sets, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def get(name: str) -> ModuleType:
    """The data set's module; it has `INFO` and `load(root, *, split=1, part=...)`.

    Raises `ValueError` with the nearest names when there is none of that name.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
        raise ValueError(f"no data set {name!r}; {hint}")
    return importlib.import_module(f"{__name__}.{name}")
