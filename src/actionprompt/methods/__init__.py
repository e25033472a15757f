"""The methods. This folder is the registry: a file `name.py` is the method `name`."""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch

from actionprompt.backbone import CLIP
from actionprompt.methods._base import Method


def names() -> list[str]:
    """All methods, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def get(name: str) -> ModuleType:
    """The file of a method: its `Config`, `Model`, `VARIANTS`, `RECIPES` and `PUBLISHED`."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names())}"
        raise ValueError(f"there is no method {name!r}; {hint}")
    return importlib.import_module(f"{__name__}.{name}")


def build(
    name: str,
    clip: CLIP,
    class_names: Sequence[str],
    class_names_zh: Sequence[str] | None = None,
    *,
    config: Any | None = None,
    seed: int = 0,
) -> Method:
    """A method over a backbone, new parameters drawn from `seed` alone (the global generator is left as it was)."""
    module = get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.Model(config if config is not None else module.Config(), clip, class_names, class_names_zh)
