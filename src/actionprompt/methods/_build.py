"""Building methods by name; separate from the registry, which imports no torch."""

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
        ValueError: there is no method of that name, or the class names or backbone do not fit the configuration.
    """
    module, class_names = methods.get(name), listed(class_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.Model(config if config is not None else module.Config(), clip, class_names, class_names_zh)
