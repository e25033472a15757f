"""Building methods by name; separate from the registry, which imports no torch."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch

from actionprompt import methods
from actionprompt.backbone import CLIP
from actionprompt.clips import listed
from actionprompt.method import Method


def build(
    name: str,
    clip: CLIP,
    class_names: Sequence[str],
    class_names_zh: Sequence[str] | None = None,
    *,
    config: Any | None = None,
    seed: int = 0,
) -> Method:
    """A method on a backbone, which it freezes and modifies in place. New parameters are drawn from `seed` alone;
    torch's global generator is left unchanged. Without `config`, the method's `Config()`.

    Raises:
        ValueError: there is no method of that name, an option is infinite or nan, or the class names or backbone do not
            fit the configuration.
    """
    module, class_names = methods.get(name), listed(class_names)
    config = config if config is not None else module.Config()
    for option in dataclasses.fields(config):
        value = getattr(config, option.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: expected {option.name} as a finite number, got {value}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.Model(config, clip, class_names, class_names_zh)
