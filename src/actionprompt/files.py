"""Files that hold all of what was written or do not change: a temporary name, the disk, then a rename; and folders that
one process at a time writes to.

A name that is no valid UTF-8 (Python holds its bytes as lone surrogates) passes through: a text file gets the bytes
back, a JSON file the escapes that `json.loads` reads as the same string.
"""

import hashlib
import json
import os
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any


class Notice(UserWarning):
    """What was damaged or could not be written, and what is done instead: the work continues, but the user is told."""


@contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path to write a file or a folder to; it takes the place of `path` when the block ends without an
    error, and is deleted if there is one. The folder above is made. What was written reaches the disk before the
    rename, and the rename before this returns; not so if `durable` is False, for files that can be made again."""
    path = Path(os.path.realpath(path))  # what a link points at is replaced, not the link
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[-100:]}.{os.getpid()}.tmp")
    delete(temporary)
    if durable:
        sweep(path.parent, path.name[-100:])
    try:
        yield temporary
        if durable:
            for written in [*temporary.rglob("*"), temporary] if temporary.is_dir() else [temporary]:
                sync(written)
        if temporary.is_dir() and path.exists():  # a folder is not replaced in one step, so the old one steps aside
            old = path.with_name(f".{path.name[-100:]}.{os.getpid()}.old")
            delete(old)
            path.rename(old)
            try:
                temporary.rename(path)
            finally:
                if not path.exists():
                    old.rename(path)
            delete(old)
        else:
            temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        delete(temporary)


def _name(error: OSError, path: Path) -> None:
    """A full disk does not say where."""
    if error.errno is not None and error.filename is None:
        error.filename = str(path)


_BEGAN = time.time()
LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.(?P<kind>tmp|old)(\.\w+)?")
"""What `replacing` leaves if its process is killed."""


def sweep(folder: Path, name: str = "*", *, older_than_s: float = 0.0) -> None:
    """Delete what killed processes of this machine left of `replacing` in a folder, or of the file of a name; a folder
    that had stepped aside for one that never came takes its place again."""
    now = time.time()
    for path in sorted(folder.glob(f".{name if name == '*' else escape(name)}.*")):
        found = LEFTOVER.fullmatch(path.name)
        if found is None:
            continue
        pid, changed = int(found["pid"]), path.lstat().st_mtime
        ended = not _alive(pid) or (pid == os.getpid() and changed < _BEGAN)  # in a container, numbers come again
        if not ended or now - changed < older_than_s:
            continue
        if found["kind"] == "old" and len(found["name"]) < 100 and not (folder / found["name"]).exists():
            path.rename(folder / found["name"])
        else:
            delete(path)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all; into a device or a pipe, such as /dev/stdout, as it comes."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as special:
                special.write(content)
            return
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        error.filename = str(path)  # a full disk names no file, and the temporary one is nobody's
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with `\\n` at the end of lines, whole or not at all."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def append(path: Path, line: str) -> None:
    """Add a line to a text file; a process that is killed, or a full disk, can leave a part of it."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        _name(error, path)
        raise


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Write strict JSON, whole or not at all.

    Raises:
        ValueError: a number that is not finite, which JSON does not know.
    """
    try:
        text = to_text(value, indent=indent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def to_text(value: Any, *, indent: int | None = 1) -> str:
    """Strict JSON.

    Raises:
        ValueError: a number that is not finite, which JSON does not know.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(f"expected finite numbers, got one that JSON cannot hold ({error})") from None


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON object, or one line that names the file and says what is wrong.

    Raises:
        ValueError: no such file, no JSON, or JSON that is no object.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def no_formula(cell: str) -> str:
    """The text of a CSV cell, with a quote in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def check_output(path: str | Path, option: str, *, text: bool = True) -> None:
    """Make the folder of an output file and see that the file can be written, before the work starts; an existing file
    keeps its content. `option` is how the caller was given the path, such as `--json`.

    Raises:
        ValueError: a folder where a file is expected, a place that cannot be written to, or a file that is no text
            where `text` is written: a video, say, whose name was typed in the wrong place.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{option}: expected a file, but {path} is a folder; name a file in it")
    new = not path.exists()
    if text and path.is_file() and _is_binary(path):
        raise ValueError(f"{option}: {path} exists and is no text file; delete it or name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written ({error.strerror or error})") from None


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(4096)
    except OSError:
        return False  # whoever writes to it says why that is not possible


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def delete(path: Path) -> None:
    """Delete a file or a folder with all in it; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, before going on. Windows can sync no folder."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# One writer per folder ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Writer:
    """A process that writes to a folder. Its name is that of a file in the folder, so that it is there in one step."""

    host: str
    pid: int
    started: str
    """When the process started, by the clock of the system; empty where that is not known."""

    PATTERN = re.compile(r"\.writer-(.+)-(\d+)-(\d*)\.lock")

    @classmethod
    def here(cls) -> "Writer":
        """This process."""
        host = re.sub(r"[^\w.-]", "_", socket.gethostname())[:100] or "localhost"
        return cls(host, os.getpid(), _started(os.getpid()) or "")

    @property
    def file(self) -> str:
        """Name of its lock file."""
        return f".writer-{self.host}-{self.pid}-{self.started}.lock"

    @property
    def gone(self) -> bool:
        """Is it certain that the process has ended? Of another machine, nothing is."""
        return self.host == Writer.here().host and not _alive(self.pid, self.started)


_held: dict[Path, int] = {}  # the lock files of this process, and the thread that holds each


@contextmanager
def one_writer(folder: str | Path) -> Iterator[None]:
    """While it is entered, no other process may enter it for the same folder, which is made. What killed processes of
    this machine left there is deleted. A thread may enter it again.

    Everyone creates a file of its own and then looks for those of others, so of two that come at once at least one sees
    the other; a lock that a killed process left can be deleted by anybody, since nobody else's has its name.

    Raises:
        ValueError: somebody else writes to the folder; the message says who.
    """
    folder = Path(os.path.realpath(folder))
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / Writer.here().file
    if _held.get(own) == threading.get_ident():
        yield
        return
    _take(folder, own)
    _held[own] = threading.get_ident()
    try:
        sweep(folder)
        yield
    finally:
        del _held[own]
        own.unlink(missing_ok=True)
        if new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _take(folder: Path, own: Path, attempts: int = 5) -> None:
    while True:
        try:
            os.close(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            raise ValueError(f"{folder} is being written to by another thread of this process; wait for it") from None
        other = writer_in(folder, but=own)
        if other is None:
            return
        own.unlink()
        attempts -= 1
        if not attempts:
            break
        time.sleep(random.SystemRandom().uniform(0.01, 0.1))  # two that refuse each other do not meet again
    here = other.host == Writer.here().host
    dead = "" if here else f"; if it has ended, delete {folder / other.file}"
    who = f"process {other.pid} on {other.host}"
    raise ValueError(f"{folder} is being written to by {who}; wait for it or choose another folder{dead}")


def writer_in(folder: Path, *, but: Path | None = None) -> Writer | None:
    """Who writes to the folder, if anybody does; the lock file `but` is not asked. The locks of those who have ended
    are deleted."""
    for path in folder.glob(".writer-*.lock"):
        found = Writer.PATTERN.fullmatch(path.name)
        if found is None or path == but:
            continue
        writer = Writer(found[1], int(found[2]), found[3])
        if not writer.gone:
            return writer
        path.unlink(missing_ok=True)
    return None


def _alive(pid: int, started: str = "") -> bool:
    """Whether a process of this machine runs; with `started`, the one that began then, not another of its number."""
    if os.name == "nt":
        return _alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    now = _started(pid)
    return now is None or (now != "" and started in ("", now))


def _started(pid: int) -> str | None:
    """Clock ticks from the start of the system to that of a process; empty if it has ended and only waits for its
    parent to notice, None where the system does not tell."""
    try:
        # after the name, which may hold spaces: state, and 19 fields later the start (man 5 proc)
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]


def _alive_on_windows(pid: int) -> bool:
    import ctypes

    synchronize, wait_timeout, access_denied = 0x00100000, 0x00000102, 5
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return ctypes.get_last_error() == access_denied  # type: ignore[attr-defined,unused-ignore]
    running = kernel.WaitForSingleObject(handle, 0) == wait_timeout
    kernel.CloseHandle(handle)
    return running
