"""From official lists to clips: find the list files, read them line by line, locate the clips they name. No decoding.

A data set's own file parses its list format into `Row`s; all data sets share the folder handling here.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actionprompt.clips import VIDEO_SUFFIXES, Clip, ClipList, is_folder, read_lines, some
from actionprompt.datasets._base import Info, Labels, require_folder

LIST_FOLDERS = (".", "annotations", "splits", "labels", "ucfTrainTestlist", "testTrainMulti_7030_splits")
"""Folders below the root that are searched for list files; the last two are created by the official archives."""
ARCHIVES = (".rar", ".zip", ".tar", ".gz", ".tgz", ".7z")


class NotThere(ValueError):
    """A list file, or every clip of a list, is missing. `what` says which; the message also says what to do."""

    def __init__(self, what: str, to_do: str):
        super().__init__(f"{what}; {to_do}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an official list."""

    key: str
    """The clip as named in the list."""
    label: int
    fields: Mapping[str, str]
    """Values for the placeholders in `Info.layouts`; `name` is the clip's file name without suffix."""


def find_list(root: Path, names: Sequence[str], info: Info) -> Path:
    """The first of these list files that exists in one of `LIST_FOLDERS` below the root.

    Raises:
        NotThere: none of them exists.
    """
    for name in names:
        for place in LIST_FOLDERS:
            if (root / place / name).is_file():
                return root / place / name
    where = ", ".join(str(root / place) for place in LIST_FOLDERS if (root / place).is_dir())
    raise NotThere(f"{info.title}: no official list {' or '.join(names)} in {where or root}", info.get)


def locate(root: Path, rows: Sequence[Row], info: Info) -> tuple[str, list[Path | None]]:
    """The layout of the clips, and every row's path: a video file of any known suffix or a folder, None if missing.

    All rows are searched for under one layout, the one that finds most of them (of several, the first); "" if no layout
    finds any.

    Raises:
        ValueError: two clips have the same name without suffix (`a.avi` next to `a.mp4`).
    """
    listings: dict[str, tuple[Path, dict[str, str]]] = {}

    def find(pattern: str, row: Row) -> Path | None:
        folder, name = os.path.split(pattern.format_map(row.fields))
        if folder not in listings:
            place = root / folder
            listings[folder] = place, _listing(place, info)
        place, listing = listings[folder]
        entry = listing.get(name)
        return place / entry if entry is not None else None

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
    """Clip name without suffix -> directory entry, for the videos and subfolders of `folder`."""
    if not folder.is_dir():
        return {}
    names: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if entry.name.startswith("."):
                continue
            if is_folder(entry):
                stem = entry.name
            elif suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if stem in names:
                raise ValueError(f"{info.title}: {folder} has both {names[stem]} and {entry.name}; keep one of them")
            names[stem] = entry.name
    return names


def archives(root: Path) -> list[str]:
    """Archives in the root or one folder below it, as paths relative to the root."""
    found = [*root.glob("*"), *root.glob("*/*")]
    return sorted(str(p.relative_to(root)) for p in found if p.suffix.lower() in ARCHIVES and p.is_file())


def check_split_and_part(info: Info, split: int, part: str) -> None:
    """Raises `ValueError` for a split or part that the data set does not have."""
    if split not in info.splits:
        raise ValueError(f"{info.title}: expected split {some(info.splits, 10)}, got {split}")
    if part not in ("train", "test"):
        raise ValueError(
            f"{info.title}: expected part train or test, got {part!r}"
            + (" (its official validation list is called test here)" if part in ("val", "validation") else "")
        )


def check_count(info: Info, split: int, part: str, found: int, file: Path) -> None:
    """Raises `ValueError` for a list that does not have its official number of clips."""
    expected = info.counts.get((split, part))
    if expected is not None and found != expected:
        raise ValueError(
            f"{info.title}: expected {expected} clips in the {part} list of split {split}, got {found} from {file}; "
            "the list is truncated or was modified; use the official one"
        )


def clip_list(
    name: str, info: Info, labels: Labels, root: Path, rows: Sequence[Row], max_missing: int | None
) -> ClipList:
    """The listed clips with their paths below `root`.

    `max_missing` is the number of listed clips that may be missing, usually 0; missing clips are left out and named in
    `ClipList.missing`. None returns the whole list without looking for files; each path is then `root / key`.

    Raises:
        NotThere: all listed clips are missing.
        ValueError: `root` is not a folder, the list is empty, or more than `max_missing` clips are missing.
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
    if not rows:
        raise ValueError(f"{name}: expected a list that names clips, got one that names none")
    layout, paths = locate(root, rows, info)
    missing = [row.key for row, path in zip(rows, paths) if path is None]
    if len(missing) == len(rows):
        packed, first = archives(root), info.layouts[0].format_map(rows[0].fields)
        raise NotThere(
            f"{name}: none of the {len(rows)} listed clips is under {root}, such as {root / first}.mp4",
            f"expected {some(info.layouts)}; " + (f"extract {some(packed)} first" if packed else info.get),
        )
    if len(missing) > max_missing:
        raise ValueError(
            f"{name}: {len(missing)} of {len(rows)} listed clips are missing under {root} (layout {layout}): "
            f"{some(missing)}; complete the data set, or accept this with max_missing={len(missing)} "
            f"(--clips.max-missing {len(missing)})"
        )
    clips = tuple(Clip(row.key, path, row.label) for row, path in zip(rows, paths) if path is not None)
    return build(clips=clips, missing=tuple(missing), layout=layout)


def semicolon_rows(file: Path, source_names: Sequence[str]) -> list[Row]:
    """Rows of a list with `<clip>;<class>` per line, the format of Something-Something V1 and Jester."""
    ids = {name: index for index, name in enumerate(source_names)}
    rows = []
    for number, line in enumerate(read_lines(file), 1):
        key, _, source = line.partition(";")
        if source not in ids:
            raise ValueError(f"{file}:{number}: expected <clip>;<class> with one of the known classes, got {line!r}")
        rows.append(Row(key, ids[source], {"name": key}))
    return rows
