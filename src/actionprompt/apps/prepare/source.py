"""What is in the folder that is prepared: clips, other files, folders and links."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from actionprompt import files
from actionprompt.clips import VIDEO_SUFFIXES, is_folder, is_of_macos, is_video

Kind = Literal["video", "images", "file"]
"""A video file, a folder of images, or any other file."""
ARCHIVES = (".rar", ".zip", ".tar", ".gz", ".tgz", ".7z")
"""What data sets come in. They are left out: nothing reads them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file, or one clip that is a folder of images."""

    name: str
    """Below the source, with `/`."""
    kind: Kind
    bytes: int
    mtime_ns: int
    """Of a folder, that of the file in it that was changed last."""


@dataclass(frozen=True)
class Found:
    """All that is in a source, in order; names are below it."""

    items: list[Item] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    """The name of a link, and the name of what it points at."""
    left_out: list[str] = field(default_factory=list)
    """Archives, pipes, files of macOS, and what killed runs of this program left."""
    broken: list[str] = field(default_factory=list)
    """What cannot be looked at, a line each with the reason."""


def look(source: Path) -> Found:
    """Searches a folder. Links are followed if they lead out of it, and stay links if they lead into it.

    Raises:
        OSError: a folder that cannot be read.
    """
    found = Found()
    _visit(source, "", (), source, found)
    return found


def _visit(folder: Path, name: str, above: tuple[tuple[int, int], ...], source: Path, found: Found) -> None:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in above:
        found.left_out.append(f"{name}: a link to a folder above it")
        return
    if name:
        found.folders.append(name)
    above = (*above, (status.st_dev, status.st_ino))
    with os.scandir(folder) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    for entry in entries:
        below = f"{name}/{entry.name}" if name else entry.name
        kind: Kind = "video" if os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES else "file"
        if (
            is_of_macos(entry.name)
            or files.LEFTOVER.fullmatch(entry.name)
            or files.Writer.PATTERN.fullmatch(entry.name)
        ):
            found.left_out.append(below)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            found.broken.append(f"{below}: a link to nothing")
        elif entry.is_symlink() and (other := _inside(entry, kind, source)) is not None:
            found.links.append((below, other))
        elif is_folder(entry):
            if is_video(entry.path):
                _add(below, "images", entry.path, found)
            else:
                _visit(Path(entry.path), below, above, source, found)
        elif entry.is_file() and not (kind == "file" and entry.name.lower().endswith(ARCHIVES)):
            _add(below, kind, entry.path, found)
        else:
            found.left_out.append(below)


def _add(name: str, kind: Kind, path: str, found: Found) -> None:
    try:
        found.items.append(Item(name, kind, *state(Path(path))))
    except OSError as error:
        found.broken.append(f"{name}: {error.strerror}")


def _inside(entry: os.DirEntry[str], kind: Kind, source: Path) -> str | None:
    """What a link points at, as a name below the source; None if it leads out, or to a file of another kind, as the
    links into a store of nameless files do."""
    other = Path(os.path.realpath(entry.path))
    if not other.is_relative_to(source):
        return None
    if other.is_file() and (other.suffix.lower() in VIDEO_SUFFIXES) != (kind == "video"):
        return None
    return other.relative_to(source).as_posix()


def state(path: Path) -> tuple[int, int]:
    """(bytes, mtime_ns) of a file; of a folder the sum and the last of the files in it."""
    if not path.is_dir():
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    with os.scandir(path) as entries:
        states = [status for entry in entries if stat.S_ISREG((status := entry.stat()).st_mode)]
    return sum(status.st_size for status in states), max((status.st_mtime_ns for status in states), default=0)
