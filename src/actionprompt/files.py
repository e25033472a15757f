"""Files that hold all of what was written or do not change: a temporary name, the disk, then a rename.

A name that is no valid UTF-8 (Python holds its bytes as lone surrogates) passes through: a text file gets the bytes
back, a JSON file the escapes that `json.loads` reads as the same string.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file or a folder to; it takes the place of `path` when the block ends without an
    error, and is deleted if there is one. The folder above is made. What was written reaches the disk before the
    rename, and the rename before this returns."""
    path = Path(os.path.realpath(path))  # what a link points at is replaced, not the link
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[-100:]}.{os.getpid()}.tmp")
    delete(temporary)
    try:
        yield temporary
        for written in [*temporary.rglob("*"), temporary] if temporary.is_dir() else [temporary]:
            sync(written)
        if temporary.is_dir() and path.exists():  # a folder is not replaced in one step, so the old one steps aside
            old = path.with_name(f".{path.name[-100:]}.{os.getpid()}.old")
            delete(old)
            path.rename(old)
            temporary.rename(path)
            delete(old)
        else:
            temporary.replace(path)
        sync(path.parent)
    finally:
        delete(temporary)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all; into a device or a pipe, such as /dev/stdout, as it comes."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as special:
            special.write(content)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with `\\n` at the end of lines, whole or not at all."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Write strict JSON, whole or not at all.

    Raises:
        ValueError: a number that is not finite, which JSON does not know.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path}: expected finite numbers, got one that JSON cannot hold ({error})") from None
    write_bytes(path, f"{text}\n".encode("utf-8", "backslashreplace"))


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


def check_output(path: str | Path, option: str) -> None:
    """Make the folder of an output file and see that the file can be written, before the work starts; an existing file
    keeps its content. `option` is how the caller was given the path, such as `--json`.

    Raises:
        ValueError: a folder where a file is expected, or a place that cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{option}: expected a file, but {path} is a folder; name a file in it")
    new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written ({error.strerror or error})") from None


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
