"""Cells and tables in Markdown."""

import re
import statistics
import urllib.parse
from collections.abc import Collection, Sequence
from typing import Any

NO_RECORDS = "No records yet."


def table(rows: Sequence[Sequence[str]], *, once: Collection[str] = ()) -> str:
    """A Markdown table; the first row is its head. Columns named in `once` whose cells are all equal are stated in a
    line above the table, and left out where they are empty."""
    head = rows[0]
    same = {name: cells[0] for name, *cells in zip(*rows) if name in once and len(set(cells)) == 1}
    kept = [index for index, name in enumerate(head) if name not in same]
    lines = ["| " + " | ".join(row[index] for index in kept) + " |" for row in rows]
    text = "\n".join([lines[0], "|" + " --- |" * len(kept), *lines[1:]])
    stated = ", ".join(f"{name} {cell}" for name, cell in same.items() if cell)
    return f"All rows: {stated}.\n\n{text}" if stated else text


def plain(text: object) -> str:
    """A text from a record, on one line, as Markdown that shows it as it is: `|`, HTML and links in it are text."""
    return re.sub(r"[\\`*<>&|\[\]]", r"\\\g<0>", "".join(char if char.isprintable() else " " for char in str(text)))


def link(text: str, file: str) -> str:
    """A link to a file, whatever its name is."""
    return f"[{plain(text)}]({urllib.parse.quote(file, errors='surrogateescape')})"


def protocol_name(record: dict[str, Any]) -> str:
    """`closed-set`, `few-shot K=4`, ..., with the size of a generated data set."""
    plan = record["plan"]
    shots = f" K={plan['shots']}" if plan["shots"] else ""
    size = f", {record['size']}" if record.get("size") else ""
    return plan["protocol"] + shots + size


def mean_std(values: Sequence[float]) -> str:
    """`71.3 ± 0.8`; one value has no deviation, no value is an empty cell."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"
