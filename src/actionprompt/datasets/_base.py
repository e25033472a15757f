"""What every data set gives: named classes and lists of clips. No torch here, and no decoding."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One labelled video: a file, or a folder of JPEG frames."""

    key: str
    """Unique within its list and stable between machines: the path relative to the data root, with `/`."""
    path: Path
    label: int
    """Index into the list's `class_names`."""


@dataclass(frozen=True)
class ClipList:
    """The clips of one part of a data set, together with the classes their labels count in."""

    name: str
    """For people and records, such as `ucf101/split1/train`."""
    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    """Readable English names, the ones that go into prompts."""
    class_names_zh: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        keys = [clip.key for clip in self.clips]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"{self.name}: expected every clip once, but {twice!r} is listed more than once")
        wrong = [clip for clip in self.clips if not 0 <= clip.label < len(self.class_names)]
        if wrong:
            raise ValueError(
                f"{self.name}: expected labels 0..{len(self.class_names) - 1}, got {wrong[0].label} for {wrong[0].key}"
            )

    @property
    def sha256(self) -> str:
        """Hash of keys and labels in order; the same on every machine that holds the same list."""
        lines = "".join(f"{clip.key}\t{clip.label}\n" for clip in self.clips)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def classes_sha256(self) -> str:
        """Hash of the class texts in order."""
        return hashlib.sha256("\n".join(self.class_names).encode()).hexdigest()
