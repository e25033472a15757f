"""A limit on what is allocated while a model is built from a file that somebody else may have written."""

import math
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LEAST = 4096
"""How many numbers every new tensor counts at least, so that a million tiny ones are refused, too."""


class Budget(TorchDispatchMode):
    """A context in which torch makes tensors of at most `numbers` numbers in total: sizes that a file states are limits
    to check, not amounts to allocate.

    Raises:
        ValueError: inside it, for the tensor that would be too much, before it is allocated.
    """

    def __init__(self, numbers: int, where: str) -> None:
        super().__init__()
        self.left: float = numbers
        self.where = where

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        sizes = [arg for arg in args if isinstance(arg, list | tuple) and all(type(x) is int for x in arg)]
        of = next((arg for arg in args if isinstance(arg, Tensor)), None)
        if of is not None or any(isinstance(arg, list | tuple) and arg not in sizes for arg in args):
            if of is not None and func.__name__.startswith("repeat.") and sizes:
                self._take(math.prod(sizes[0]) * of.numel())
            elif func.__name__.startswith("new_") and sizes:
                self._take(math.prod(sizes[0]))
        elif str(kwargs.get("device")) != "meta":
            counts = [arg for arg in args if isinstance(arg, int | float)]
            self._take(math.prod(sizes[0]) if sizes else max(counts, default=1))
        return func(*args, **kwargs)

    def _take(self, numbers: float) -> None:
        self.left -= max(numbers, LEAST)
        if self.left < 0:
            raise ValueError(
                f"{self.where}: the options of its manifest ask for a far larger model than its weights are; get it "
                f"again"
            )
