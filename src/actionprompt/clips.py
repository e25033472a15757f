"""What a list of clips is: `Clip`, `ClipList`, `Broken`, and the videos that given paths name. No torch.

Every part of the program that takes clips takes these; a data set is a function that returns a `ClipList`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".asf", ".avi", ".divx", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".vob", ".webm", ".wmv",
))
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
# fmt: on
Position = tuple[int, int]
"""(epoch, index into the clip list): all that the random draws of a clip depend on, apart from the seed."""


@dataclass(frozen=True)
class Clip:
    """One labelled video: a file, or a folder of JPEG frames."""

    key: str
    """Unique within its list and stable between machines: the clip as its official list names it, else its path
    relative to the data root, with `/`."""
    path: Path
    label: int
    """Index into the list's `class_names`."""


@dataclass(frozen=True)
class Broken:
    """A clip that could not be read."""

    key: str
    reason: str
    position: Position
    """Which request it answers."""


@dataclass(frozen=True)
class ClipList:
    """The clips of one part of a data set, together with the classes their labels count in."""

    name: str
    """For people and records, such as `ucf101/split1/train`."""
    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    """Readable English names, the ones that go into prompts."""
    class_names_zh: tuple[str, ...] | None = None
    source_names: tuple[str, ...] | None = None
    """The names as the data set's authors spell them, in the same order."""
    ignored: tuple[str, ...] = ()
    """What lay among the clips and is none, a line each with the reason. Whoever loads a list shows these."""
    missing: tuple[str, ...] = ()
    """Keys of listed clips that are not there, where `max_missing` allows it. Whoever loads a list shows these, too."""
    layout: str = ""
    """Where the clips lie under the root: the one of `Info.layouts` that fits."""
    flip: bool = True
    """`Info.flip`: False where a mirrored clip would be one of another class, so that training refuses to mirror."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for clip in self.clips:
            if clip.key in seen:
                raise ValueError(f"{self.name}: expected every clip once, but {clip.key!r} is listed more than once")
            seen.add(clip.key)
            if not 0 <= clip.label < len(self.class_names):
                raise ValueError(
                    f"{self.name}: expected labels 0..{len(self.class_names) - 1}, got {clip.label} for {clip.key}"
                )
        for what, names in (("Chinese", self.class_names_zh), ("source", self.source_names)):
            if names is not None and len(names) != len(self.class_names):
                raise ValueError(f"{self.name}: {len(self.class_names)} class names but {len(names)} {what} names")

    @property
    def sha256(self) -> str:
        """Hash of keys and labels in order; the same on every machine that holds the same list."""
        lines = "".join(f"{clip.key}\t{clip.label}\n" for clip in self.clips)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def classes_sha256(self) -> str:
        """Hash of the class texts in order."""
        return hashlib.sha256("\n".join(self.class_names).encode()).hexdigest()


def is_video(path: str | Path) -> bool:
    """True for a file with a video suffix and for an image folder (images, no subfolders). Opens no file."""
    path = Path(path)
    if path.is_file():
        return path.suffix.lower() in VIDEO_SUFFIXES
    if not path.is_dir():
        return False
    has_image = False
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                return False
            has_image = has_image or is_image(entry.name)
    return has_image


def is_image(name: str) -> bool:
    """True for a name with an image suffix that is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def find_videos(arguments: Sequence[str]) -> list[Path]:
    """The videos that paths name: files as they are, folders searched recursively, globs expanded.

    Raises:
        ValueError: a path or glob that matches nothing, or a folder without videos.
    """
    found: list[Path] = []
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_file() or (path.is_dir() and is_video(path)):
            found.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if is_video(p))
            if not inside:
                raise ValueError(
                    f"no videos in the folder {path}; videos end in .mp4, .avi, .webm, .mkv, .mov and so on"
                )
            found += inside
        else:
            matches = sorted(Path(match) for match in glob(str(path), recursive=True))
            if not matches:
                raise ValueError(f"there is no file, folder or match for {argument!r}; check the path")
            found += [match for match in matches if is_video(match)]
    if not found:
        raise ValueError("expected at least one video file, folder or glob")
    return list(dict.fromkeys(found))


def read_lines(path: Path) -> list[str]:
    """Lines of a text list: UTF-8 with or without BOM, any line ending; without trailing blanks."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"no list file {path}; check the path") from None
    except IsADirectoryError:
        raise ValueError(f"expected a list file, got the folder {path}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected UTF-8 text, got {error.reason} at byte {error.start}; save as UTF-8"
        ) from None
    return [line.rstrip() for line in text.rstrip().split("\n")]


def some(items: Sequence[object], limit: int = 3) -> str:
    """`a, b, c and 7 more`, for messages."""
    text = ", ".join(str(item) for item in items[:limit])
    return text if len(items) <= limit else f"{text} and {len(items) - limit} more"


def hold_out(clips: ClipList, share: float, seed: int) -> tuple[ClipList, ClipList]:
    """The clips to train on, and the validation clips held out of them: `share` of every class, rounded, at least one,
    but never all of its clips.

    The clips of a class are sorted by the SHA-256 of `<seed>:<key>`, and the last ones are held out: the parts depend
    on the seed and the keys alone, not on the order of the list, and few-shot clips drawn with this seed
    (`study.protocols.draw`, which takes the first ones) are the same from the rest as from the whole list. Clips that
    were cut from one source video may fall into both parts, so accuracy on the validation part flatters.

    Raises:
        ValueError: `share` is not between 0 and 1, or no class has two clips.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share of the clips above 0 and below 1, got {share}")
    classes: list[list[Clip]] = [[] for _ in clips.class_names]
    for clip in clips.clips:
        classes[clip.label].append(clip)
    held: set[str] = set()
    for members in classes:
        members.sort(key=lambda clip: hashlib.sha256(f"{seed}:{clip.key}".encode()).digest())
        number = min(len(members) - 1, max(1, round(share * len(members))))
        held.update(clip.key for clip in members[len(members) - number :])
    if not held:
        raise ValueError(f"{clips.name}: expected a class with at least two clips to hold one out, got none")

    def part(name: str, inside: bool) -> ClipList:
        chosen = tuple(clip for clip in clips.clips if (clip.key in held) == inside)
        return replace(clips, name=f"{clips.name}/{name}-{share:g}-seed{seed}", clips=chosen)

    return part("without", False), part("held-out", True)
