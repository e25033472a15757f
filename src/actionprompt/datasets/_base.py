"""What every data set has: facts about where it comes from, and class names. No torch, no decoding."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from actionprompt.clips import read_lines


@dataclass(frozen=True)
class Info:
    """The facts about one data set that people, prompts and augmentations need."""

    title: str
    """Its name as the field writes it."""
    licence: str
    citation: str
    get: str
    """Where and how to get it, and where to put it; shown to whoever lacks it."""
    layouts: tuple[str, ...]
    """Where a clip may lie under the root, without its suffix: a video file or a folder of pictures."""
    lists: tuple[str, ...] = ()
    """The official list files, as patterns; they may lie in the root or in `_lists.LIST_FOLDERS` under it."""
    num_classes: int | None = None
    """None where the user's own folder or list decides."""
    counts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """Clips per (split, part) in the official lists; a list with another number is refused."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Hash (`lists_sha256`) of official list files as published, by the file name or pattern in `lists`."""
    splits: tuple[int, ...] = (1,)
    parts: tuple[str, ...] = ("train", "test")
    """Empty where the user's own folder or list decides: then the module has `parts(root)`."""
    templates: tuple[str, ...] = ("a video of {}.",)
    """Prompt templates with one `{}` for the readable class name."""
    templates_zh: tuple[str, ...] = ("一段{}的视频。",)
    """The same for the Chinese name."""
    flip: bool = True
    """False where left and right (or any mirrored motion) are classes of their own: no horizontal flip in training."""
    generated: bool = False
    """True where the program makes the clips itself on first use: then no root is needed."""
    sizes: tuple[str, ...] = ()
    """Of a generated data set, from the smallest to the largest."""
    letterbox: bool = False
    """True where the clips' own shape gives the class away: scale every clip into one shape with borders."""


@dataclass(frozen=True)
class Labels:
    """The class names of one data set, in the order of its official ids counted from 0."""

    source: tuple[str, ...]
    english: tuple[str, ...]
    chinese: tuple[str, ...] | None


def lists_sha256(paths: Sequence[Path]) -> str:
    """Hash of list files in name order; line endings and trailing blanks do not count, since copies differ in them."""
    texts = ("\n".join(read_lines(path)) for path in sorted(paths, key=lambda path: path.name))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def read_names(path: Path) -> tuple[str, ...]:
    """Class names in id order from a file of one name per line, of `id,name` rows, or JSON `{name: id}`.

    Ids must be 0..K-1, each once. A first row `id,name` is a header.
    """
    if path.suffix.lower() == ".json":
        try:
            table = json.loads("\n".join(read_lines(path)))
            pairs = [(int(number), str(name)) for name, number in table.items()]
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}: expected a JSON object of name: id, got {error}") from None
    else:
        lines = [line.strip() for line in read_lines(path)]
        lines = [line for line in lines if line]
        if lines and re.fullmatch(r"id\s*,\s*\w+", lines[0], re.IGNORECASE):
            lines = lines[1:]
        split = [re.fullmatch(r"(\d+)\s*[, \t]\s*(.+)", line) for line in lines]
        if lines and all(split):
            pairs = [(int(match[1]), match[2].strip().strip('"')) for match in split if match]
        else:
            pairs = list(enumerate(lines))
    names = tuple(name for _, name in sorted(pairs))
    if [number for number, _ in sorted(pairs)] != list(range(len(pairs))) or not pairs:
        raise ValueError(f"{path}: expected class ids 0..{len(pairs) - 1}, each once; check the file")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: expected every class name once, but {twice!r} is there more than once")
    return names


@lru_cache
def read_labels(name: str) -> Labels:
    """Class names that ship with the package: `labels/<name>.tsv`, columns source, English, Chinese."""
    path = Path(__file__).parent / "labels" / f"{name}.tsv"
    rows = [line.split("\t") for line in read_lines(path)]
    assert rows[0] == ["source", "english", "chinese"], path
    assert all(len(row) == 3 for row in rows), path
    source, english, chinese = zip(*rows[1:])
    return Labels(source, english, chinese)


def require_folder(root: Path, what: str) -> Path:
    """`root` as a path that is a folder, or one line that says what was expected there."""
    root = Path(root).expanduser()
    if not root.exists():
        raise ValueError(f"{what}: no folder {root}; check the path")
    if not root.is_dir():
        raise ValueError(f"{what}: expected a folder, got the file {root}")
    return root
