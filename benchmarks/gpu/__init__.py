"""Everything that one GPU should tell: `benchmarks/gpu.sh` starts it. One file per part, in this order."""

from collections.abc import Mapping
from typing import Any

PARTS = {  # name: (share of the time, what it tells)
    "parity": (0.10, "every method on the CPU and on the GPU, float32 and bf16"),
    "speed": (0.26, "inference and training of every method, eager and compiled"),
    "training": (0.17, "the loader, and a training of HMDB-51's size, extrapolated from measured steps"),
    "prepared": (0.07, "video files as they are and after `prepare`: loader, and steps through the trainer"),
    "features": (0.06, "the feature cache: written, read, trained from"),
    "predict": (0.10, "predictions in float32, bf16 and int8, and of exported graphs"),
    "resume": (0.09, "a training that was interrupted and resumed, compared with one that was not"),
    "large": (0.12, "ViT-L/14, and published video models"),
}
"""The rest of the time is for the last part to end in."""


def count_failures(record: Mapping[str, Any]) -> int:
    """Rows with an error, rows that did not pass their check, and the part itself if it broke."""
    rows = [row for row in record["rows"] if "error" in row or row.get("passed") is False]
    return len(rows) + ("error" in record)
