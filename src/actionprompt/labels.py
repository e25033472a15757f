"""Files of class names, as people and data sets write them. No torch.

A line is a class, and commas inside a name stay. If every line has an id, the ids order the names: `id,name`,
`id;name`, `id<TAB>name`, `id name`, or with a comma, semicolon or tab `name,id`, each with or without a header. JSON is
a list of names, or a map of ids to names or of names to ids. Ids are 0..K-1 or 1..K, each exactly once.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from actionprompt.clips import MAX_CLASSES, listed, read_text

MAX_BYTES = 16 << 20
SEPARATORS = {"\t": "<TAB>", ",": ",", ";": ";", r"[ \t]+": " "}
"""Regular expressions, and how messages show them."""
ID = r"[0-9]{1,9}"
HEADER = r"(?:(?:class|label|category|action)[ _]?)?(?:ids?|index|idx|number|no|#)|classes|class|label|category"
"""The head of a column of ids; `class` and `label` are heads of either column."""
NAME_HEADER = r"(?:(?:class|label|category|action|display|english)[ _]?)?names?|labels?|class(?:es)?|category|action"


@dataclass(frozen=True)
class LabelFile:
    """What is in a file of class names."""

    names: tuple[str, ...]
    """In the order of the ids or lines."""
    form: str
    """How it was read, such as `id,name`."""
    first: int
    """The first id, 0 or 1; 0 in a file without ids."""


def read(path: str | Path) -> LabelFile:
    """Read a file of class names; see the module for the formats.

    Raises:
        ValueError: no such file, over 16 MB, more than 10,000 names, no UTF-8, ids that are incomplete or doubled or on
            some lines only, or names that are equal or differ in case and white space only. The message names the file.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: expected class names, got a file of {path.stat().st_size >> 20} MB; 16 MB at most")
    text = read_text(path).strip()
    try:
        if path.suffix.lower() == ".json" or _is_json(text):
            form, pairs = _from_json(text)
        else:
            form, pairs = _from_lines(text.split("\n"), table=path.suffix.lower() in (".csv", ".tsv"))
        return LabelFile(_in_order(pairs), form, min(number for number, _ in pairs))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _in_order(pairs: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    if not pairs:
        raise ValueError("expected at least one class name, got none")
    if len(pairs) > MAX_CLASSES:
        raise ValueError(f"expected at most {MAX_CLASSES:,} class names, got {len(pairs):,}")
    ids = sorted(number for number, _ in pairs)
    if ids not in (list(range(len(ids))), list(range(1, len(ids) + 1))):
        twice = next((number for number, after in pairwise(ids) if number == after), None)
        got = f"{twice} more than once" if twice is not None else f"{ids[0]}..{ids[-1]} for {len(ids)} names"
        raise ValueError(
            f"expected class ids 0..{len(ids) - 1} or 1..{len(ids)}, each once, got {got}; names that begin with a "
            "number need ids of their own, as id,name"
        )
    return listed(name.strip() for _, name in sorted(pairs, key=lambda pair: pair[0]))


def _from_lines(lines: Sequence[str], *, table: bool) -> tuple[str, list[tuple[int, str]]]:
    rows = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    for separator, shown in SEPARATORS.items():
        for form, pattern, header in (
            (f"id{shown}name", rf'"?(?P<id>{ID})"?\s*{separator}\s*(?P<name>.+)', (HEADER, NAME_HEADER)),
            (f"name{shown}id", rf'(?P<name>.+?)\s*{separator}\s*"?(?P<id>{ID})"?', (NAME_HEADER, HEADER)),
        ):
            if shown == " " and form == "name id":
                continue  # `phase 1` is a name
            head = bool(rows) and re.fullmatch(
                rf'"?({header[0]})"?\s*{separator}\s*"?({header[1]})"?', rows[0][1], re.I
            )
            found = [(number, line, re.fullmatch(pattern, line)) for number, line in rows[bool(head) :]]
            matched = [match for _, _, match in found if match]
            if len(matched) == len(found) and found:
                return form, [(int(match["id"]), _unquoted(match["name"])) for match in matched]
            if matched and (head or 2 * len(matched) > len(found) or (shown != " " and form.startswith("id"))):
                number, line = next((number, line) for number, line, match in found if not match)
                raise ValueError(f"line {number}: expected {form} as on the other lines, got {line!r}")
    if table and rows and re.fullmatch(NAME_HEADER, rows[0][1].strip('"'), re.I):
        rows = rows[1:]
    columns = next((number for number, line in rows if "\t" in line), None)
    if columns is not None:
        raise ValueError(
            f"expected one class name per line, or id<TAB>name on all, got other columns in line {columns}"
        )
    if len(rows) == 1 and "," in rows[0][1] and rows[0][1][:1] != '"':
        raise ValueError(f"expected one class name per line, got one line with commas: {rows[0][1][:60]!r}")
    return "one name per line", [(index, _unquoted(line)) for index, (_, line) in enumerate(rows)]


def _unquoted(cell: str) -> str:
    """A cell of a CSV file without its quotes."""
    inside = re.fullmatch(r'"((?:[^"]|"")*)"', cell)
    return inside[1].replace('""', '"') if inside else cell


def _is_json(text: str) -> bool:
    """True for a JSON list or map in a file of another suffix; `[none]` may be a name."""
    try:
        return text[:1] in ("[", "{") and isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False


def _from_json(text: str) -> tuple[str, list[tuple[int, str]]]:
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: pairs if pairs else {})
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, a list of names or a map of ids and names: {error}") from None
    if not isinstance(found, list) or not found:
        raise ValueError("expected JSON, a list of names or a map of ids and names, got neither")
    if all(isinstance(name, str) for name in found):
        return "JSON list of names", list(enumerate(found))
    pairs: list[Any] = [pair for pair in found if isinstance(pair, tuple)]
    if len(pairs) != len(found):
        raise ValueError("expected JSON, a list of names or a map of ids and names, got a list of other values")
    by_id = [(int(key), value) for key, value in pairs if re.fullmatch(ID, key) and isinstance(value, str)]
    by_name = [(int(value), key) for key, value in pairs if _is_id(value)]
    if len(by_id) == len(by_name) == len(pairs):
        raise ValueError("expected JSON, a map of ids and names, got numbers for both; write a list of names")
    if len(by_id) == len(pairs):
        return "JSON map of ids to names", by_id
    if len(by_name) == len(pairs):
        return "JSON map of names to ids", by_name
    raise ValueError("expected JSON, a map of ids to names or of names to ids, got other values among them")


def _is_id(value: Any) -> bool:
    return (type(value) is int and value >= 0) or (isinstance(value, str) and re.fullmatch(ID, value) is not None)
