"""Folders and files that the user gave as a backbone, remembered by the hash of their weights.

A model names its backbone without a path: a path would tell of the user's machine where the model is given away, and a
model that somebody sent could have this program open any path. What is remembered here, in the cache folder of the user
who gave it, finds the backbone again from any directory.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path

from actionprompt.config import cache_root
from actionprompt.files import write_text

FOLDER = "backbones"
"""In the cache folder: one file for each hash, which holds the absolute path."""


def remember(sha256: str, path: Path) -> None:
    """Keep where weights are. A cache folder that cannot be written to is no error: the user then gives the path."""
    with contextlib.suppress(OSError):
        write_text(_file(sha256), str(path.absolute()))


def recall(sha256: str) -> Path | None:
    """Where the user had weights with this hash, if they are still there."""
    try:
        path = Path(_file(sha256).read_bytes().decode("utf-8", "surrogateescape"))
        return path if path.exists() else None
    except (OSError, ValueError):
        return None


def path_key(path: str | Path) -> str:
    """A key for a path itself, for what has no hash of its own."""
    absolute = os.path.abspath(os.path.expanduser(path))
    return hashlib.sha256(absolute.encode("utf-8", "surrogatepass")).hexdigest()


def _file(sha256: str) -> Path:
    """Raises ValueError for a text that is no hash, which a file could have as a path."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"expected a SHA-256 in hexadecimal, got {sha256!r}")
    return cache_root() / FOLDER / sha256
