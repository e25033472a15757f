"""The scripts of `benchmarks/`, which belong to no package."""

import importlib.util
from pathlib import Path
from types import ModuleType


def benchmark(name: str) -> ModuleType:
    """A fresh import of `benchmarks/*/NAME.py`."""
    (path,) = (Path(__file__).parents[1] / "benchmarks").glob(f"*/{name}.py")
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
