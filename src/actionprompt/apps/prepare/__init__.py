"""A data set re-encoded so that training reads it cheaply: every clip under the name it had, everything else copied.

The folder that is written holds a manifest (`video.prepared.MANIFEST`) and a table of files (`ROWS`), one line of JSON
for each, added when the file is whole and in its place. A run that was stopped at any point, called again, does what is
not in the table or has changed since.
"""

import errno
import hashlib
import json
import os
import shutil
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from actionprompt import __version__, files, video
from actionprompt.apps.prepare import pool
from actionprompt.apps.prepare.source import Found, Item, Kind, look, state
from actionprompt.clips import is_video, some
from actionprompt.config import num_cores
from actionprompt.video import prepared
from actionprompt.video.prepared import MANIFEST, Encoding

ROWS = "prepared.jsonl"
SCRATCH = ".prepared.tmp"
"""Folder for what is not whole yet, below the one that is written."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the disk that end the run, instead of being those of one file."""
SAMPLE = 50
"""Clips after which the space that all will take is estimated."""


@dataclass(frozen=True)
class Row:
    """What is done: a line of `ROWS`."""

    name: str
    kind: Kind
    bytes: int
    mtime_ns: int
    sha256: str
    """Of the source; of a folder of images, that of their names and hashes."""
    frames: int | None
    prepared_bytes: int
    kept: str | None = None
    """Why a video was copied as it is, if it was."""


Task = tuple[Item, Row | None]
"""What is to be done, and what was done with it before."""


@dataclass(frozen=True)
class Result:
    """What `prepare` did. Bytes are those of all videos and folders of images that are in the target now."""

    num_videos: int
    num_folders: int
    num_files: int
    """Other files."""
    num_before: int
    """Those of all of them that an earlier run had done."""
    bytes_before: int
    bytes_after: int
    kept: tuple[str, ...]
    """Videos that were copied as they are, a line each with the reason."""
    broken: tuple[str, ...]
    """What could not be read and is not in the target, a line each."""
    left_out: tuple[str, ...]


def prepare(
    source: Path,
    target: Path,
    encoding: Encoding | None = None,
    *,
    num_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Result:
    """Re-encode all clips below `source` into the same places below `target`, and copy what is no clip.

    `num_workers` processes (None: one per core that this process may use) each read one clip at a time in one thread.
    `progress(done, total, note)` is called for every file.

    Raises:
        ValueError: no clips, folders that lie in one another, a target that holds other files or was written with
            another encoding, names that would be one name in the target, or too little space for copies.
        OSError: the disk is full, or a folder cannot be read or written.
    """
    encoding = encoding or Encoding()
    source, target = _checked(source, target)
    found = look(source)
    if not found.broken and all(item.kind == "file" for item in found.items):
        raise ValueError(f"{source}: expected videos or folders of images, found none")
    with files.one_writer(target):
        _open(target, encoding)
        _check_names(found, target)
        for folder in found.folders:
            _make_folder(target, folder)
        known = read_rows(target)
        todo = [item for item in found.items if not _is_done(item, known.get(item.name), target)]
        _check_space(todo, target)
        try:
            broken = sorted([*found.broken, *_work(todo, known, source, target, encoding, num_workers, progress)])
            for name, other in found.links:
                _link(target, name, other)
        finally:
            files.delete(target / SCRATCH)
        here = [known[item.name] for item in found.items if item.name in known]
        result = _result(here, found, len(found.items) - len(todo), broken)
        _write_manifest(target, encoding, result)
    return result


def read_rows(target: Path) -> dict[str, Row]:
    """The table of a prepared folder by name. A line that a killed run left incomplete is passed over."""
    found: dict[str, Row] = {}
    path = target / ROWS
    if path.exists():
        with path.open(encoding="ascii", errors="replace") as table:
            for line in table:
                with suppress(ValueError, TypeError):
                    row = Row(**json.loads(line))
                    found[row.name] = row
    return found


# Before the work ------------------------------------------------------------------------------------------------------


def _checked(source: Path, target: Path) -> tuple[Path, Path]:
    """Both as absolute paths without links."""
    source, target = source.expanduser(), target.expanduser()
    if not source.is_dir():
        raise ValueError(
            f"expected a folder to prepare, {'got the file' if source.exists() else 'there is no'} {source}"
        )
    if target.exists() and not target.is_dir():
        raise ValueError(f"expected a folder to write to, got the file {target}")
    source, target = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if source == target or source in target.parents or target in source.parents:
        raise ValueError(f"expected two folders of which none is in the other, got {source} and {target}")
    own = next((name for name in (MANIFEST, ROWS, SCRATCH) if os.path.lexists(source / name)), None)
    if own is not None:
        raise ValueError(f"{source} was itself written by prepare ({own}); prepare what it was made of")
    if is_video(source):
        raise ValueError(f"{source} is one clip, a folder of images; give the folder that it is in")
    return source, target


def _open(target: Path, encoding: Encoding) -> None:
    """Begin or continue a folder. What killed runs left in it is deleted."""
    files.delete(target / SCRATCH)
    there = sorted(path.name for path in target.iterdir() if not files.Writer.PATTERN.fullmatch(path.name))
    if MANIFEST not in there:
        if there:
            raise ValueError(
                f"{target} is not empty ({some(there)}) and was not written by prepare; choose a new folder"
            )
        files.write_json(target / MANIFEST, {"format": 1, "program": _program(), "encoding": asdict(encoding)})
    else:
        manifest = files.read_json(target / MANIFEST)
        before = manifest.get("encoding")
        if manifest.get("format") != 1 or before != asdict(encoding):
            raise ValueError(f"{target} was prepared with {_options(before)}, and now {_options(asdict(encoding))} are "
                             "asked for; use the same or choose a new folder")  # fmt: skip
    (target / SCRATCH).mkdir()


def _options(encoding: Any) -> str:
    pairs = encoding.items() if isinstance(encoding, dict) else ()
    return ", ".join(f"{name} {value}" for name, value in pairs) or "options that are not known"


def _program() -> str:
    return f"actionprompt {__version__}"


def _check_names(found: Found, target: Path) -> None:
    """Raise ValueError if two names would be one in the target, where the disk does not tell A from a."""
    if _tells_case(target):
        return
    names: dict[str, str] = {}
    for name in (*(item.name for item in found.items), *found.folders, *(name for name, _ in found.links)):
        other = names.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise ValueError(f"{name} and {other} would be one file in {target}, whose disk does not tell upper from "
                             "lower case; rename one, or choose another disk")  # fmt: skip


def _tells_case(target: Path) -> bool:
    (target / SCRATCH / "a").touch()
    return not (target / SCRATCH / "A").exists()


def _is_done(item: Item, row: Row | None, target: Path) -> bool:
    return row is not None and (item.bytes, item.mtime_ns) == (row.bytes, row.mtime_ns) and _is_there(row, target)


def _is_there(row: Row, target: Path) -> bool:
    try:
        path = target / row.name
        return path.is_dir() == (row.kind == "images") and state(path)[0] == row.prepared_bytes
    except OSError:
        return False


# The work -------------------------------------------------------------------------------------------------------------


def _work(
    todo: Sequence[Item],
    known: dict[str, Row],
    source: Path,
    target: Path,
    encoding: Encoding,
    num_workers: int | None,
    progress: Callable[[int, int, str], None] | None,
) -> list[str]:
    """Does what is to be done, and brings `known` and the table up to date; what cannot be done, a line each."""
    broken, done_bytes, total_bytes = [], 0, sum(item.bytes for item in todo)
    space = _Space(todo, target)
    tasks = ((item, known.get(item.name)) for item in todo)
    work = partial(_do, source=source, target=target, encoding=encoding)
    num_workers = min(num_workers or num_cores(), max(1, len(todo)))
    with (target / ROWS).open("a", encoding="ascii") as table, closing(pool.run(work, tasks, num_workers)) as finished:
        if table.tell():
            table.write("\n")  # ends a line that a killed run may have left incomplete
        for done, ((item, _), outcome) in enumerate(finished, start=1):
            if isinstance(outcome, Row):
                known[item.name] = outcome
                table.write(json.dumps(asdict(outcome)) + "\n")
                table.flush()
                space.count(item, outcome)
            else:
                known.pop(item.name, None)
                files.delete(target / item.name)  # of a source that could be read once
                broken.append(f"{item.name}: {outcome or 'the process that read it died'}")
            done_bytes += item.bytes
            if progress is not None:
                progress(done, len(todo), f"{size(done_bytes)} of {size(total_bytes)}")
    return broken


def _do(task: Task, *, source: Path, target: Path, encoding: Encoding) -> Row | str:
    """The row of an item that is done, or why it cannot be, in one line.

    Raises:
        OSError: the disk is full.
    """
    item, row = task
    path, place = source / item.name, target / item.name
    scratch = target / SCRATCH / str(os.getpid())
    try:
        same = row is not None and (row.kind, row.bytes) == (item.kind, item.bytes) and _is_there(row, target)
        if row is not None and same and _sha256(path) == row.sha256:  # only its date is new
            return replace(row, mtime_ns=item.mtime_ns)
        files.delete(scratch)
        frames, kept = None, None
        if item.kind == "images":
            frames = prepared.shrink_images(path, scratch, encoding)
        elif item.kind == "video":
            try:
                frames = prepared.reencode(path, scratch, encoding)
            except prepared.Unlike as error:
                frames, kept = video.count_frames(path), str(error)
                shutil.copyfile(path, scratch)
        else:
            shutil.copyfile(path, scratch)
        digest = _sha256(path)
        if state(path) != (item.bytes, item.mtime_ns):
            return "changed while it was read"
        if not scratch.is_dir():
            files.sync(scratch)
        num_bytes = state(scratch)[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() or scratch.is_dir():
            files.delete(place)
        scratch.replace(place)
        return Row(item.name, item.kind, item.bytes, item.mtime_ns, digest, frames, num_bytes, kept)
    except video.VideoDecodeError as error:
        return error.reason
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, os.strerror(error.errno), str(place)) from None
        return " ".join(str(error.strerror or error).split())


def _sha256(path: Path) -> str:
    if not path.is_dir():
        return files.sha256(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            digest.update(f"{files.sha256(file)} {file.name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _make_folder(target: Path, name: str) -> None:
    """A folder, also where an earlier run put a file or a link to another one, since that is what the source had."""
    place = target / name
    inside = Path(os.path.realpath(place)).is_relative_to(target)  # a link that leads out was put there by hand
    if place.is_file() or (place.is_symlink() and inside):
        place.unlink()
    place.mkdir(parents=True, exist_ok=True)


def _link(target: Path, name: str, other: str) -> None:
    """A link in the target as in the source, relative, so that the folder may be moved."""
    place = target / name
    text = os.path.relpath(target / other, place.parent)
    if not (place.is_symlink() and os.readlink(place) == text):
        files.delete(place)
        place.symlink_to(text, target_is_directory=(target / other).is_dir())


# What is said about it ------------------------------------------------------------------------------------------------


def _check_space(todo: Sequence[Item], target: Path) -> None:
    """Raise ValueError if not even the files that are copied as they are have room."""
    copied, free = sum(item.bytes for item in todo if item.kind == "file"), shutil.disk_usage(target).free
    if copied > free:
        raise ValueError(
            f"{target}: {size(copied)} are to be copied in addition to the clips, and {size(free)} are free"
        )


class _Space:
    """Tells once, from the clips done so far, that the disk will be too small for the rest."""

    def __init__(self, todo: Sequence[Item], target: Path) -> None:
        self._target, self._told = target, False
        self._left = Counter[Kind]()
        for item in todo:
            self._left[item.kind] += item.bytes
        self._number, self._before, self._after = 0, 0, 0

    def count(self, item: Item, row: Row) -> None:
        self._left[item.kind] -= item.bytes
        if item.kind == "file":
            return
        self._number, self._before = self._number + 1, self._before + item.bytes
        self._after += row.prepared_bytes
        if self._number % SAMPLE or self._told or not self._before:
            return
        clips = self._left["video"] + self._left["images"]
        needed, free = self._left["file"] + clips * self._after / self._before, shutil.disk_usage(self._target).free
        if needed > free:
            self._told = True
            warnings.warn(
                f"{self._target}: the rest will take about {size(needed)}, and {size(free)} are free; a full disk "
                "stops the run, and the same command continues it when there is room",
                files.Notice,
                stacklevel=2,
            )


def size(num_bytes: float) -> str:
    """For messages."""
    unit, name = next(
        pair for pair in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if num_bytes >= pair[0] or pair[0] == 1e3
    )
    return f"{num_bytes / unit:.1f} {name}"


def _result(rows: Sequence[Row], found: Found, num_before: int, broken: Sequence[str]) -> Result:
    number = Counter(row.kind for row in rows)
    clips = [row for row in rows if row.kind != "file"]
    return Result(
        num_videos=number["video"],
        num_folders=number["images"],
        num_files=number["file"],
        num_before=num_before,
        bytes_before=sum(row.bytes for row in clips),
        bytes_after=sum(row.prepared_bytes for row in clips),
        kept=tuple(f"{row.name}: {row.kept}" for row in rows if row.kept is not None),
        broken=tuple(broken),
        left_out=tuple(found.left_out),
    )


def _write_manifest(target: Path, encoding: Encoding, result: Result) -> None:
    """What prepared what and how; the files are in `ROWS`."""
    numbers = {name: value for name, value in asdict(result).items() if isinstance(value, int) and name != "num_before"}
    said = {"format": 1, "program": _program(), "encoding": asdict(encoding), "files": ROWS, **numbers,
            "kept": result.kept, "broken": result.broken, "left_out": result.left_out}  # fmt: skip
    files.write_json(target / MANIFEST, said)
