"""Cells and tables in Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def protocol_name(record: dict[str, Any]) -> str:
    """`closed-set`, `few-shot K=4`, ..., with the size of a generated data set."""
    plan = record["plan"]
    shots = f" K={plan['shots']}" if plan["shots"] else ""
    size = f", {record['size']}" if record.get("size") else ""
    return plan["protocol"] + shots + size


def mean_std(values: Sequence[float]) -> str:
    """`71.3 ± 0.8`; one value stands alone."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"
