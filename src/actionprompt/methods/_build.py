"""Building methods by name; separate from the registry, which imports no torch."""

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

import torch

from actionprompt import methods
from actionprompt.backbone import CLIP
from actionprompt.clips import listed
from actionprompt.method import Method

MOST_LETTERS = 1000
"""Of a template; a text of CLIP's has 77 tokens."""


def build(
    name: str,
    clip: CLIP,
    class_names: Iterable[str],
    class_names_zh: Iterable[str] | None = None,
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
    class_names_zh = tuple(class_names_zh) if class_names_zh is not None else None
    config = config if config is not None else module.Config()
    for option in dataclasses.fields(config):
        value = getattr(config, option.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: expected {option.name} as a finite number, got {value}")
        if "template" in option.name:
            for template in (value,) if isinstance(value, str) else value or ():
                _check_template(name, option.name, template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.Model(config, clip, class_names, class_names_zh)


def _check_template(method: str, option: str, template: str) -> None:
    """A text of a class has the bare name in it, so nothing but `{}` once is formatted."""
    if re.findall(r"[{}].?", template) != ["{}"] or len(template) > MOST_LETTERS:
        got = repr(template) if len(template) <= MOST_LETTERS else f"{len(template)} letters"
        raise ValueError(
            f"{method}: expected {option} with one {{}} for the class name, no other brace, and at most {MOST_LETTERS} "
            f"letters, got {got}"
        )
