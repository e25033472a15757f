"""Your own clips, listed in a table: columns `path,label[,split]`.

A first row that names `path` and `label` is a header and allows any column order and further columns (not read);
without one the columns are path, label and, if there is a third, split. Quoting as in RFC 4180, so a path may hold
commas; `.tsv` files are separated by tabs. UTF-8, BOM and CRLF are fine. Paths are relative to `files`, else to the
list's own folder. A label is a class name, or an id from 0 when `names` (a file or a sequence) gives the names. Without
`names` the classes are the labels of the whole table in sorted order, so that all parts count alike. The split column
names parts (`train`, `val`, `test`, ...) and is required as soon as a part is asked for.

Every row becomes a clip or an error with its line number: nothing is left out.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from ._base import Clip, ClipList, Info, read_lines, read_names, some

INFO = Info(
    title="csv",
    licence="yours",
    citation="",
    get="Write a CSV file with the columns path,label and optionally split, and pass that file as root.",
    layouts="a CSV file path,label[,split]; a clip is a video file or a folder of JPEG frames",
)


def load(
    root: str | Path,
    *,
    split: int = 1,
    part: str | None = None,
    files: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None,
    require_files: bool = True,
) -> ClipList:
    """The rows of the table `root` whose split column says `part`, or all rows.

    Raises `ValueError` with the line number for a row with too few columns, an unknown label, or a path named twice;
    and, with the number and the first names, for files that are not there.
    """
    table = Path(root).expanduser()
    if split != 1:
        raise ValueError(f"csv: a table has one split, got split {split}; use its split column for parts")
    lines = read_lines(table)
    rows = csv.reader(lines, delimiter="\t" if table.suffix == ".tsv" else ",")
    cells = [(rows.line_num, [cell.strip() for cell in row]) for row in rows if any(cell.strip() for cell in row)]
    if not cells:
        raise ValueError(f"{table}: expected rows path,label[,split], got an empty file")
    header = [cell.lower() for cell in cells[0][1]]
    if "path" in header and "label" in header:
        columns, cells = {name: index for index, name in enumerate(header)}, cells[1:]
    else:
        columns = {"path": 0, "label": 1} | ({"split": 2} if len(header) > 2 else {})
    if part is not None and "split" not in columns:
        raise ValueError(f"{table}: part {part!r} was asked for, but the table has no split column (path,label,split)")

    width = 1 + max(columns[name] for name in ("path", "label", "split") if name in columns)
    for line, row in cells:
        if len(row) < width:
            raise ValueError(f"{table}:{line}: expected {width} columns, got {len(row)}: {','.join(row)}")
        if not row[columns["path"]] or not row[columns["label"]]:
            raise ValueError(f"{table}:{line}: expected a path and a label, got an empty cell: {','.join(row)}")
    labels = {row[columns["label"]] for _, row in cells}
    if names is None:
        if all(label.isdigit() for label in labels):
            raise ValueError(
                f"{table}: the labels are ids; give the class names with names (a file, one name per line)"
            )
        class_names = tuple(sorted(labels))
    else:
        class_names = read_names(Path(names)) if isinstance(names, str | Path) else tuple(names)
    ids = {str(index): index for index in range(len(class_names))} if names is not None else {}
    ids |= {name: index for index, name in enumerate(class_names)}

    base = table.parent if files is None else Path(files).expanduser()
    clips: dict[str, Clip] = {}
    parts: set[str] = set()
    for line, row in cells:
        key, label = row[columns["path"]].replace("\\", "/"), row[columns["label"]]
        if label not in ids:
            raise ValueError(f"{table}:{line}: class {label!r} is not among the {len(class_names)} names; check names")
        parts.add(row[columns["split"]] if "split" in columns else "")
        if part is not None and row[columns["split"]] != part:
            continue
        if key in clips:
            raise ValueError(f"{table}:{line}: {key} is listed twice")
        clips[key] = Clip(key, base / key, ids[label])
    if not clips:
        raise ValueError(f"{table}: no row has split {part!r}; the column has {', '.join(sorted(parts))}")
    missing = [key for key, clip in clips.items() if not clip.path.exists()] if require_files else []
    if missing:
        raise ValueError(f"{table}: {len(missing)} of {len(clips)} clips are not under {base}: {some(missing)}")
    return ClipList(f"csv/{table.stem}" + (f"/{part}" if part else ""), tuple(clips.values()), class_names)
