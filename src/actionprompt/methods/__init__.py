"""The methods. This folder is the registry: the file `name.py` is the method `name`. Listing them imports no torch."""

from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from actionprompt import registry
from actionprompt.paper import Card

if TYPE_CHECKING:
    from actionprompt.methods._build import build as build

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names of all methods, in alphabetical order."""
    return registry.names(FOLDER)


def summary(name: str) -> str:
    """The first line of a method's docstring."""
    return registry.summary(FOLDER, name)


def get(name: str) -> ModuleType:
    """The module of a method: its `Config` and `Model`, and the tables `VARIANTS`, `RECIPES`, `ABLATIONS`, `CARD` and
    `PUBLISHED`. The tables are optional in the file; missing ones are set to empty ones here.

    Raises:
        ValueError: there is no method of that name (the message names the closest one), or its file has no `Config` or
            no `Model`.
    """
    module: Any = registry.load(__name__, name, names(), what="method")
    if not is_dataclass(getattr(module, "Config", None)) or not isinstance(getattr(module, "Model", None), type):
        raise ValueError(
            f"methods/{name}.py: expected a dataclass `Config` and a class `Model(Method)`; see `vifi_clip.py`"
        )
    tables: dict[str, Any] = {"VARIANTS": {}, "RECIPES": {}, "ABLATIONS": [], "PUBLISHED": []}
    for table, empty in {**tables, "CARD": Card("", summary(name), "the contract suite")}.items():
        if not hasattr(module, table):
            setattr(module, table, empty)
    return module


def __getattr__(name: str) -> Any:
    if name == "build":
        from actionprompt.methods._build import build

        return build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
