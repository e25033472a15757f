"""What every data set has: facts about its origin and file layout, and its class names. No torch, no decoding."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from actionprompt import labels
from actionprompt.clips import read_lines


@dataclass(frozen=True)
class Info:
    """Facts about one data set that users, prompts and augmentations need."""

    title: str
    """The name as written in the literature."""
    licence: str
    citation: str
    get: str
    """Where and how to get it, and where to put it; shown where it is not found."""
    layouts: tuple[str, ...]
    """Patterns of a clip's path below the root, without suffix; a clip is a video file or an image folder."""
    lists: tuple[str, ...] = ()
    """The official list files, as glob patterns; searched for in `_lists.LIST_FOLDERS` below the root."""
    num_classes: int | None = None
    """None where the user's own folder or list determines it."""
    counts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """Clips per (split, part) in the official lists; a list with a different number of clips is rejected."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """`lists_sha256` of the official list files as published, keyed by the file name or pattern in `lists`."""
    splits: tuple[int, ...] = (1,)
    parts: tuple[str, ...] = ("train", "test")
    """Empty where the user's own folder or list determines them; the module then has `parts(root)`."""
    templates: tuple[str, ...] = ("a video of {}.",)
    """Prompt templates with one `{}` for the readable English class name."""
    templates_zh: tuple[str, ...] = ("一段{}的视频。",)
    """The same for the Chinese class name."""
    flip: bool = True
    """False where mirroring changes the class (left and right are separate classes): no horizontal flip in training."""
    generated: bool = False
    """True where the library generates the clips on first use, so that no root is needed."""
    sizes: tuple[str, ...] = ()
    """The sizes of a generated data set, from the smallest to the largest."""
    letterbox: bool = False
    """True where a clip's aspect ratio reveals its class: letterbox all clips to one shape."""
    listed: bool = True
    """False where nothing says which clips there should be, so that none can be missing: `max_missing` has no sense."""


@dataclass(frozen=True)
class Labels:
    """The class names of one data set, in the order of its official ids counted from 0."""

    source: tuple[str, ...]
    """As the data set's authors spell them."""
    english: tuple[str, ...]
    """Readable, for prompts."""
    chinese: tuple[str, ...] | None


def lists_sha256(paths: Sequence[Path]) -> str:
    """SHA-256 of list files in name order, ignoring line endings and trailing whitespace, in which copies differ."""
    texts = ("\n".join(read_lines(path)) for path in sorted(paths, key=lambda path: path.name))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def read_names(path: Path) -> tuple[str, ...]:
    """Class names in id order, from any file that `actionprompt.labels` reads; ValueError for others."""
    return labels.read(path).names


@lru_cache
def read_labels(name: str) -> Labels:
    """The class names shipped with the package in `labels/<name>.tsv`, columns source, english and chinese."""
    path = Path(__file__).parent / "labels" / f"{name}.tsv"
    rows = [line.split("\t") for line in read_lines(path)]
    assert rows[0] == ["source", "english", "chinese"], path
    assert all(len(row) == 3 for row in rows), path
    source, english, chinese = zip(*rows[1:])
    return Labels(source, english, chinese)


def require_folder(root: Path, what: str) -> Path:
    """`root` with `~` expanded; `what` names the data set in errors.

    Raises:
        ValueError: `root` does not exist or is not a folder.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise ValueError(f"{what}: no folder {root}; check the path")
    if not root.is_dir():
        raise ValueError(f"{what}: expected a folder, got the file {root}")
    return root
