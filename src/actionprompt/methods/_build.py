"""Methods from their names; apart from the registry, which loads no torch."""

from collections.abc import Sequence
from typing import Any

import torch

from actionprompt import methods
from actionprompt.backbone import CLIP
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
    """A method over a backbone, new parameters drawn from `seed` alone (the global generator is left as it was)."""
    module = methods.get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.Model(config if config is not None else module.Config(), clip, class_names, class_names_zh)
