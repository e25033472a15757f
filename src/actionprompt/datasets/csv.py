"""Your own clips, listed in a table with the columns `path,label[,split]`.

A first row that names `path` and `label` is a header: the columns may then be in any order, and further columns are
ignored. Without a header the columns are path, label and, if there is a third one, split. Quoting follows RFC 4180, so
a path may contain commas; `.tsv` files are tab-separated, and others may be, or have semicolons, where not every row
has a comma. Text is UTF-8, with or without BOM and CRLF. Paths are relative to `files`, by default the table's own
folder. A label is a class name or, if `names` (a file or a sequence) gives the class names, an id: one of that file,
or, where it has none, counted from 0. Without `names` the classes are the labels of the whole table in sorted order, so
that all parts use the same ids. The split column names parts (`train`, `val`, `test`, ...) and is required when a part
is requested.

Every row becomes a clip or an error with its line number; no row is skipped unless `max_missing` allows it.
"""

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

from actionprompt import labels as label_files
from actionprompt.clips import Clip, ClipList, listed, read_lines, some
from actionprompt.datasets._base import Info

INFO = Info(
    title="csv",
    licence="yours",
    citation="",
    get="write a CSV file with the columns path,label and optionally split, and pass that file as root",
    layouts=("<path as in the table>",),
    parts=(),
)


def parts(root: str | Path) -> tuple[str | None, ...]:
    """The parts named in the table's split column, in order of appearance; (None,) without such a column."""
    cells, columns = _cells(Path(root).expanduser())
    return tuple(dict.fromkeys(row[columns["split"]] for _, row in cells)) if "split" in columns else (None,)


def load(
    root: str | Path,
    *,
    split: int = 1,
    part: str | None = None,
    files: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None,
    max_missing: int | None = 0,
) -> ClipList:
    """The rows of the table `root` whose split column is `part`, or all rows.

    `files` and `names`: see above. `max_missing` is the number of clips that may be missing; these are left out and
    named in `ClipList.missing`. None does not look for files.

    Raises:
        ValueError: with the line number, a row with too few columns or an empty cell, an unknown label, or a path that
            is listed twice; also if the table has no row of that part, or more than `max_missing` clips are missing.
    """
    table = Path(root).expanduser()
    if split != 1:
        raise ValueError(f"csv: a table has one split, got split {split} (--clips.split); its split column names parts")
    cells, columns = _cells(table)
    if part is not None and "split" not in columns:
        raise ValueError(
            f"{table}: part {part!r} was requested (--part), but the table has no split column (path,label,split)"
        )
    class_names, ids = _classes(table, {row[columns["label"]] for _, row in cells}, names)

    base = table.parent if files is None else Path(files).expanduser()
    clips: dict[str, Clip] = {}
    for line, row in cells:
        key, label = row[columns["path"]].replace("\\", "/"), row[columns["label"]]
        if label not in ids:
            raise ValueError(
                f"{table}:{line}: class {label!r} is not among the {len(class_names)} names; check names "
                f"(--clips.names FILE), whose ids count from {'0' if '0' in ids else '1'}"
            )
        if part is not None and row[columns["split"]] != part:
            continue
        if key in clips:
            raise ValueError(f"{table}:{line}: {key} is listed twice")
        clips[key] = Clip(key, base / key, ids[label])
    if not clips:
        parts = sorted({row[columns["split"]] for _, row in cells})
        raise ValueError(f"{table}: no row has split {part!r}; the column has {', '.join(parts)}")

    missing = [key for key, clip in clips.items() if not clip.path.exists()] if max_missing is not None else []
    if len(missing) > (max_missing or 0):
        raise ValueError(
            f"{table}: {len(missing)} of {len(clips)} clips are missing under {base}: {some(missing)}; "
            f"complete them, or accept this with max_missing={len(missing)} (--clips.max-missing {len(missing)})"
        )
    return ClipList(
        f"csv/{table.stem}" + (f"/{part}" if part else ""),
        tuple(clip for key, clip in clips.items() if key not in set(missing)),
        class_names,
        missing=tuple(missing),
        layout=INFO.layouts[0],
    )


def paths(root: str | Path) -> list[Path]:
    """The files of all rows, whatever their labels are; they are not looked for."""
    table = Path(root).expanduser()
    cells, columns = _cells(table)
    return list(dict.fromkeys(table.parent / row[columns["path"]].replace("\\", "/") for _, row in cells))


def _cells(table: Path) -> tuple[list[tuple[int, list[str]]], dict[str, int]]:
    """The rows with their line numbers, and the index of each known column."""
    lines = read_lines(table)
    first = ("\t",) if table.suffix.lower() == ".tsv" else (",", "\t", ";")
    found = [_split(table, lines, delimiter) for delimiter in first]
    whole = [cells for cells in found if all(len(row) > 1 for _, row in cells)]
    single = [(line, row) for line, row in found[0] if len(row) < 2]
    if not whole and 2 * len(single) > len(found[0]):
        line, row = single[0]
        raise ValueError(
            f"{table}:{line}: expected path,label[,split] with a comma between path and label, got {row[0]!r}; a list "
            f"of `path id` is rewritten by  sed -E 's/ +([0-9]+) *$/,\\1/' {shlex.quote(table.name)} > list.csv"
        )
    cells = whole[0] if whole else found[0]
    header = [cell.lower() for cell in cells[0][1]] if cells else []
    if {"path", "rank", "label", "score"} <= set(header):
        raise ValueError(
            f"{table} is a table of predictions, as `predict --csv` writes it: expected labels that people gave, in a "
            f"table path,label[,split]"
        )
    if "path" in header and "label" in header:
        known = ["path", "label", "split"]
        columns, cells = {name: header.index(name) for name in known if name in header}, cells[1:]
    else:
        columns = {"path": 0, "label": 1} | ({"split": 2} if len(header) > 2 else {})
    if not cells:
        raise ValueError(f"{table}: expected rows path,label[,split], got none")
    for line, row in cells:
        if len(row) <= max(columns.values()):
            raise ValueError(f"{table}:{line}: expected {1 + max(columns.values())} columns, got {','.join(row)!r}")
        if not row[columns["path"]] or not row[columns["label"]]:
            raise ValueError(f"{table}:{line}: expected a path and a label, got an empty cell in {','.join(row)!r}")
    return cells, columns


def _split(table: Path, lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{table}:{reader.line_num}: expected a CSV row path,label[,split], got {error}") from None


def _classes(
    table: Path, labels: set[str], names: str | Path | Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The class names in id order, and the id of each label that the table may use."""
    if names is None:
        if all(label.isdigit() for label in labels):
            raise ValueError(
                f"{table}: the labels are ids; give a file with the class names as names (--clips.names FILE)"
            )
        class_names = tuple(sorted(labels))
        return class_names, {name: index for index, name in enumerate(class_names)}
    first, class_names = 0, listed(() if isinstance(names, str | Path) else names)
    if isinstance(names, str | Path):
        found = label_files.read(names)
        first, class_names = found.first, found.names
    by_id = {str(index + first): index for index in range(len(class_names))}
    return class_names, by_id | {name: index for index, name in enumerate(class_names)}
