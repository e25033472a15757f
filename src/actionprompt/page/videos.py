"""Uploads on the disk: a folder for each, in a temporary folder that goes with the server.

What a file is called is text. On the disk everything has names that the server made.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actionprompt import files
from actionprompt.page.schemas import Video

PREFIX = "actionprompt-page-"
"""Starts the name of a server's temporary folder."""
SPARE_BYTES = 500_000_000
"""Of the disk that is left to others."""
WITHOUT_OWNER_S = 60.0
"""A temporary folder that nobody has claimed for so long was left by a server that was killed."""


class NoSpace(Exception):
    """An upload or a result does not fit."""


def new_id() -> str:
    """16 hexadecimal digits that nobody guesses."""
    return secrets.token_hex(8)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of the server's own, deleted when the block ends; those of servers that were killed are deleted now."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{PREFIX}*"):
        if _abandoned(left):
            files.delete(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # for this user alone
    try:
        with files.one_writer(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether a folder was left by a server of this user and computer that has ended."""
    try:
        status = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            return False
        if any(folder.glob(".writer-*.lock")):
            return files.writer_in(folder) is None
        return time.time() - status.st_mtime > WITHOUT_OWNER_S
    except OSError:
        return False


@dataclass
class Upload:
    """A video that was uploaded."""

    video: Video
    folder: Path
    media_type: str

    @property
    def path(self) -> Path:
        """The file as it came."""
        return self.folder / "file"

    @property
    def preview(self) -> Path:
        """H.264 for browsers; not there until it was asked for."""
        return self.folder / "preview.mp4"

    @property
    def thumbnail(self) -> Path:
        """A JPEG."""
        return self.folder / "thumbnail.jpg"


@dataclass
class Disk:
    """What all uploads and results take, against the quota."""

    root: Path
    quota_bytes: int
    taken: dict[Path, int] = field(default_factory=dict)
    """Bytes by folder."""

    @property
    def used_bytes(self) -> int:
        return sum(self.taken.values())

    def measure(self, folder: Path) -> None:
        """Look at what a folder takes; one that is gone takes nothing."""
        found = sum(map(_size, _files_in(folder)))
        if found:
            self.taken[folder] = found
        else:
            self.taken.pop(folder, None)

    def full(self) -> str | None:
        """Why nothing more can be written, if that is so."""
        if self.used_bytes > self.quota_bytes:
            return (
                f"uploads and results would take more than {self.quota_bytes / 1e9:g} GB, the quota (--max-gb); delete "
                f"videos or jobs"
            )
        if shutil.disk_usage(self.root).free < SPARE_BYTES:
            return f"the disk of {self.root.parent} is nearly full; free some space"
        return None

    def check(self) -> None:
        """Raise `NoSpace` if nothing more can be written."""
        if (reason := self.full()) is not None:
            raise NoSpace(reason)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # deleted since it was found: a process works in the folder
        return 0


def _files_in(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                yield path
