"""What a benchmark counts with: seconds of alternating candidates, multiply-accumulate operations (MACs), and bytes
alive at once."""

import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


def device_clock(device: str) -> float:
    """Seconds: of the processor on the CPU; on CUDA elapsed ones, after a synchronisation."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def turns(
    candidates: Mapping[str, Callable[[], Any]], repeats: int, *, clock: Callable[[], float] = time.process_time,
    number: int = 1,
) -> dict[str, list[float]]:  # fmt: skip
    """Seconds of one call of every candidate, by turn, after one turn to warm up. In a turn each is called `number`
    times. The default clock is processor time."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, run in candidates.items():
            began = clock()
            for _ in range(number):
                run()
            if turn:
                seconds[name].append((clock() - began) / number)
    return seconds


def against(seconds: dict[str, list[float]], reference: str) -> dict[str, dict[str, Any]]:
    """Median seconds of every candidate, and the median of its ratios to the reference per repetition."""
    return {
        name: {
            "seconds": round(statistics.median(taken), 6),
            "ratio": round(statistics.median(a / b for a, b in zip(taken, seconds[reference])), 3),
            "ratios": [round(a / b, 3) for a, b in zip(taken, seconds[reference])],
        }
        for name, taken in seconds.items()
    }


class _CountMacs(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out) // 2
        return out


def count_macs(run: Callable[[], Any]) -> int:
    """Of matrix products, convolutions and attention alone, forward and - where `run` goes there - backward."""
    fast = torch.backends.mha.get_fastpath_enabled()  # nn.MultiheadAttention as one operation that nobody counts
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _CountMacs() as counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.total


class LiveTensors(TorchDispatchMode):
    """Bytes of tensors that operations made and that are alive: `now`, and at most (`peak`); `known` do not count."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {x.untyped_storage()._cdata: None for x in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in self._known:
                self._see(x.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_mb(run: Callable[[], Any], held: Iterable[Tensor], device: str, before: int) -> float:
    """MB of 10^6 bytes at the peak of `run`: on the CPU of what it makes and of the `held` tensors; on CUDA of all that
    is allocated, above the `before` bytes of others."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return round((torch.cuda.max_memory_allocated() - before) / 1e6, 3)
    held = list(held)
    with LiveTensors(held) as live:
        run()
    return round((live.peak + bytes_of(held)) / 1e6, 3)


def training_step(
    run: Callable[..., Any], optimizer: torch.optim.Optimizer, *inputs: Tensor | None, device: str, bf16: bool
) -> None:
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        loss = run(*inputs)["loss"]
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def states_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [x for state in optimizer.state.values() for x in state.values() if isinstance(x, Tensor)]


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}.values())
