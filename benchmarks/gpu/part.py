"""One part in a process of its own: python -m gpu.part --parts speed --seconds 100. Its record is written after every
row, as one that was cut off, and once more at the end."""

import gc
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from actionprompt import methods, records
from gpu import PARTS, count_failures
from gpu.settings import Settings, nano, parse

Jobs = Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]
"""What a part gives: for each row what it is about, and the function that measures it."""


def main(args: Sequence[str]) -> int:
    options = parse(args, prog="gpu.part")
    has_gpu = torch.cuda.is_available()
    device = options.device or ("cpu" if options.nano and not has_gpu else "cuda")
    if device == "cuda" and not has_gpu:
        print("torch sees no GPU; --nano runs the same program on the CPU", file=sys.stderr)
        return 2
    settings = Settings(device, tuple(options.methods) or methods.names(), workers=max(1, cores() - 1))
    if options.nano:
        torch.set_num_threads(1)  # threads that wait for each other take most of so little work
        settings = nano(settings)
    (name,) = options.parts
    record = run(name, settings, options.out / f"gpu_{name}.json", options.seconds)
    return 1 if count_failures(record) else 0


def run(name: str, settings: Settings, file: Path, seconds: float) -> dict[str, Any]:
    """Measure the rows of a part until `seconds` have passed. A row that fails says why in one line."""
    began = time.monotonic()
    record = head(name, settings)

    def write(**changes: Any) -> None:
        taken = time.monotonic() - began
        record.update(seconds=round(taken, 1), hours=round(taken / 3600, 4), **changes)
        records.write(file, record)

    rows: list[dict[str, Any]] = []
    write(cut=True, rows=rows)
    try:
        torch.zeros(1, device=settings.device)  # the GPU's context, which is no row's to pay for
        jobs: Jobs = importlib.import_module(f"gpu.{name}").jobs(settings)
        while time.monotonic() - began < seconds:
            about, measure = next(jobs, ({}, None))
            if measure is None:
                write(cut=False)
                break
            print(f"  {', '.join(f'{key} {value}' for key, value in about.items())}", flush=True)
            rows.append(about | attempt(measure))
            write()
    except Exception as error:
        write(error=one_line(error))
    return record


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row's figures, or its error; and the memory it took is free again."""
    began = time.monotonic()
    try:
        row = measure()
    except Exception as error:  # whatever one row meets, the next ones are measured
        row = {"error": one_line(error)}
        print(f"    {row['error']}", file=sys.stderr, flush=True)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return row | {"row_seconds": round(time.monotonic() - began, 1)}


def one_line(error: Exception) -> str:
    """The kind of an error and the first thing it says; a line that ends with a colon brings the next one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])
    return f"{type(error).__name__}: {text}"


def head(name: str, settings: Settings) -> dict[str, Any]:
    """What stands in every record before its rows."""
    cuda = settings.device == "cuda"
    return {
        "benchmark": "gpu",
        "part": name,
        "what": PARTS[name][1],
        **records.provenance(seed=0, started=time.time()),
        "command": f"python -m gpu.part {' '.join(sys.argv[1:])}",
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "gpu_memory_mb": round(torch.cuda.get_device_properties(0).total_memory / 1e6) if cuda else None,
        "settings": asdict(replace(settings, peer_shape=dict(settings.peer_shape))),
    }


def cores() -> int:
    """This process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
