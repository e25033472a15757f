"""Records: one JSON file per result, with everything needed to trace and repeat it."""

import datetime
import importlib.metadata
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from actionprompt import files
from actionprompt.config import num_cores, to_json

LIBRARIES = ("actionprompt", "torch", "transformers", "accelerate", "kornia", "av", "numpy", "torchmetrics")


def provenance(*, seed: int, started: float | None = None) -> dict[str, Any]:
    """Command, commit, hardware and versions of this process. `started` is `time.time()` at the start of the work:
    the record then states its `hours`."""
    now, program = datetime.datetime.now(datetime.UTC), Path(sys.argv[0]).name
    facts: dict[str, Any] = {
        "command": " ".join(["actionprompt" if program == "__main__.py" else program, *map(public, sys.argv[1:])]),
        "seed": seed,
        "commit": commit(),
        "date": now.isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    if started is not None:
        facts["hours"] = round((now.timestamp() - started) / 3600, 4)
    return facts


def public(argument: str) -> str:
    """An argument of the command line without the folders of absolute paths, which tell of the machine: records and
    models are given away."""
    pieces = re.split(r"([=,])", argument)
    return "".join(f".../{Path(piece).name}" if Path(piece).is_absolute() else piece for piece in pieces)


def _version(name: str) -> str | None:
    """None where a package is used without being installed, as the project itself from its checkout."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Hash of the checked-out commit the package runs from, with `-dirty` where files differ; None if installed."""
    here = Path(__file__).resolve().parent

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", here, *args], capture_output=True, text=True, check=True).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # the package is part of another repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory, and the GPU if there is one."""
    return {
        "cpu": _cpu_name(),
        "cores": num_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(terse=True),
    }


def write(path: Path, record: Any) -> None:
    """Write a record, a dict or a dataclass, as JSON; atomically."""
    files.write_json(path, to_json(record))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
