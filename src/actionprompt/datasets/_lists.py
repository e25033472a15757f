"""From official lists to clips: find the list files, read them line by line, find the clips they name. No decoding.

A data set's own file says what its list lines mean and hands over `Row`s; everything about folders is here, once.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actionprompt.clips import VIDEO_SUFFIXES, Clip, ClipList, read_lines, some
from actionprompt.datasets._base import Info, Labels, require_folder

LIST_FOLDERS = (".", "annotations", "splits", "labels", "ucfTrainTestlist", "testTrainMulti_7030_splits")
"""Where list files may lie under the root; the last two are what the official archives make."""
ARCHIVES = (".rar", ".zip", ".tar", ".gz", ".tgz", ".7z")


class NotThere(ValueError):
    """A list or all of a list's clips are not there: what, and what to do about it."""

    def __init__(self, what: str, to_do: str):
        super().__init__(f"{what}; {to_do}")
        self.what = what


@dataclass(frozen=True)
class Row:
    """One line of an official list."""

    key: str
    """The clip as the list names it."""
    label: int
    fields: Mapping[str, str]
    """What the layout patterns of `Info.layouts` are filled with; `name` is the clip's name without suffix."""


def find_list(root: Path, names: Sequence[str], info: Info) -> Path:
    """The first of these list files that exists in the root or in one of the usual folders below it."""
    for name in names:
        for place in LIST_FOLDERS:
            if (root / place / name).is_file():
                return root / place / name
    where = ", ".join(str(root / place) for place in LIST_FOLDERS if (root / place).is_dir())
    raise NotThere(f"{info.title}: no official list {' or '.join(names)} in {where or root}", info.get)


def locate(root: Path, rows: Sequence[Row], info: Info) -> tuple[str, list[Path | None]]:
    """Every row's clip (None where it is not there), as a video file of any known suffix or as a folder.

    All are looked for under one layout, the first that fits most of them; it is the first result, "" if none fits.

    Raises `ValueError` where one name stands for two clips (`a.avi` beside `a.mp4`).
    """
    listings: dict[str, dict[str, str]] = {}

    def find(pattern: str, row: Row) -> Path | None:
        folder, name = os.path.split(pattern.format_map(row.fields))
        if folder not in listings:
            listings[folder] = _listing(root / folder, info)
        entry = listings[folder].get(name)
        return root / folder / entry if entry is not None else None

    best: tuple[str, list[Path | None]] = ("", [None] * len(rows))
    most = 0
    for pattern in info.layouts:
        paths = [find(pattern, row) for row in rows]
        count = sum(path is not None for path in paths)
        if count > most:
            best, most = (pattern, paths), count
        if count == len(rows):
            break
    return best


def _listing(folder: Path, info: Info) -> dict[str, str]:
    """Clip name without suffix -> directory entry, for the videos and folders in here."""
    if not folder.is_dir():
        return {}
    names: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                stem = entry.name
            elif suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if stem in names:
                raise ValueError(f"{info.title}: {folder} has both {names[stem]} and {entry.name}; keep one of them")
            names[stem] = entry.name
    return names


def archives(root: Path) -> list[str]:
    """Archives that lie in the root or one folder below it, relative to it."""
    found = [*root.glob("*"), *root.glob("*/*")]
    return sorted(str(p.relative_to(root)) for p in found if p.suffix.lower() in ARCHIVES and p.is_file())


def check_split_and_part(info: Info, split: int, part: str) -> None:
    """Refuses a split or part that the data set does not have."""
    if split not in info.splits:
        raise ValueError(f"{info.title}: expected split {some(info.splits, 10)}, got {split}")
    if part not in ("train", "test"):
        raise ValueError(
            f"{info.title}: expected part train or test, got {part!r}"
            + (" (its official validation list is called test here)" if part in ("val", "validation") else "")
        )


def check_count(info: Info, split: int, part: str, found: int, file: Path) -> None:
    """Refuses a list that does not have its official number of clips."""
    expected = info.counts.get((split, part))
    if expected is not None and found != expected:
        raise ValueError(
            f"{info.title}: expected {expected} clips in the {part} list of split {split}, got {found} from {file}; "
            "the list was cut or changed, take the official one"
        )


def clip_list(
    name: str, info: Info, labels: Labels, root: Path, rows: Sequence[Row], max_missing: int | None
) -> ClipList:
    """The list's clips where they lie under root.

    `max_missing` is the number of listed clips that may be absent, 0 unless told: those are left out and named in
    `missing`. None gives the whole list without looking for files (its paths are the keys under root).
    """
    build = partial(
        ClipList,
        name,
        class_names=labels.english,
        class_names_zh=labels.chinese,
        source_names=labels.source,
        flip=info.flip,
    )
    if max_missing is None:
        return build(clips=tuple(Clip(row.key, root / row.key, row.label) for row in rows))
    require_folder(root, info.title)
    layout, paths = locate(root, rows, info)
    missing = [row.key for row, path in zip(rows, paths) if path is None]
    if len(missing) == len(rows):
        packed = archives(root)
        raise NotThere(
            f"{name}: none of the {len(rows)} listed clips is under {root}",
            f"expected {some(info.layouts)}; " + (f"extract {some(packed)} first" if packed else info.get),
        )
    if len(missing) > max_missing:
        raise ValueError(
            f"{name}: {len(missing)} of {len(rows)} listed clips are missing under {root} (layout {layout}): "
            f"{some(missing)}; complete the data set, or allow it with max_missing={len(missing)}"
        )
    clips = tuple(Clip(row.key, path, row.label) for row, path in zip(rows, paths) if path is not None)
    return build(clips=clips, missing=tuple(missing), layout=layout)


def semicolon_rows(file: Path, source_names: Sequence[str]) -> list[Row]:
    """Rows of a list with `<clip>;<class>` per line, as Something-Something V1 and Jester publish them."""
    ids = {name: index for index, name in enumerate(source_names)}
    rows = []
    for number, line in enumerate(read_lines(file), 1):
        key, _, source = line.partition(";")
        if source not in ids:
            raise ValueError(f"{file}:{number}: expected <clip>;<class> with one of the known classes, got {line!r}")
        rows.append(Row(key, ids[source], {"name": key}))
    return rows
