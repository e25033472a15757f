"""What a list of clips is: `Clip`, `ClipList`, `Broken`, and the videos that given paths name. No torch.

Every part of the program that takes clips takes these; a data set is a function that returns a `ClipList`.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path, PureWindowsPath

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".264", ".265", ".3g2", ".3gp", ".3gpp", ".amv", ".asf", ".av1", ".avc", ".avi", ".divx", ".dv", ".f4v", ".flv",
    ".gif", ".h261", ".h263", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v",
    ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu",
    ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
))
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
# fmt: on
IDENTITY_BYTES = 64 << 10
MAX_CLASSES = 10_000
"""Class names that a list may have."""
Span = tuple[float, float]
"""A part of a video, in seconds from its first frame: from the start to before the end."""
Position = tuple[int, int]
"""(epoch, index into the clip list): all that the random draws of a clip depend on, apart from the seed."""


@dataclass(frozen=True, slots=True)  # there are 240,000 of them
class Clip:
    """One labelled video: a file, a part of one, or a folder of JPEG frames."""

    key: str
    """Unique within its list and stable between machines: the clip as its official list names it, else its path
    relative to the data root, with `/`."""
    path: Path
    label: int
    """Index into the list's `class_names`."""
    span: Span | None = None
    """The part of the file that is the clip; None: all of it."""
    known: str | None = None
    """Its `identity`, where the file itself is not at hand."""


@dataclass(frozen=True)
class Broken:
    """A clip that could not be read."""

    key: str
    reason: str
    position: Position
    """Which request it answers."""

    @property
    def ok(self) -> bool:
        """False, where a result's is True."""
        return False


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
        try:
            listed(self.class_names)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        for what, names in (("Chinese", self.class_names_zh), ("source", self.source_names)):
            if names is not None and len(names) != len(self.class_names):
                raise ValueError(f"{self.name}: {len(self.class_names)} class names but {len(names)} {what} names")

    @property
    def sha256(self) -> str:
        """Hash of keys and labels in order; the same on every machine that holds the same list."""
        lines = "".join(f"{clip.key}\t{clip.label}\n" for clip in self.clips)
        return hashlib.sha256(_bytes(lines)).hexdigest()

    @property
    def classes_sha256(self) -> str:
        """Hash of the class texts in order."""
        return hashlib.sha256(_bytes("\n".join(self.class_names))).hexdigest()


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
            if is_folder(entry):
                return False
            has_image = has_image or is_image(entry.name)
    return has_image


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder and a link to one; a loop of links is none."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def is_image(name: str) -> bool:
    """True for a name with an image suffix that is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def find_videos(arguments: Sequence[str], note: Callable[[str], None] | None = None) -> list[Path]:
    """The videos that paths name: files as they are, folders searched recursively, globs expanded. `note` is called
    with a line on what was not looked at: files of macOS, and files without the suffix of a video.

    Raises:
        ValueError: a path or glob that matches nothing, a pipe or device, or a folder without videos.
    """
    found: list[Path] = []
    system, others = [], []
    for argument in arguments:
        if not argument.strip():
            raise ValueError("expected the path of a video or folder, got an empty one; is a variable not set?")
        path = Path(argument).expanduser()
        matches = [path] if path.exists() else sorted(Path(match) for match in glob(str(path), recursive=True))
        if not matches:
            raise ValueError(f"there is no file, folder or match for {argument!r}; check the path")
        for match in matches:
            if match.is_dir():
                inside = search(match)
                if not inside.videos and match is path:
                    there = f"; it holds {some(inside.others)}" if inside.others else ""
                    raise ValueError(
                        f"no videos in the folder {path}{there}; videos end in .mp4, .avi, .webm, .mkv, .mov and so on"
                    )
                found += inside.videos
                system += inside.system
                others += inside.others
            elif match is path and not match.is_file():
                raise ValueError(f"expected a video or a folder, got {path}, which is a pipe or a device")
            elif match is path or is_video(match):
                found.append(match)
            else:
                others.append(match)
    if not found:
        there = f", got {some(others)}" if others else ""
        raise ValueError(f"expected at least one video file, folder or glob{there}")
    if note is not None and system:
        note(f"passed over {len(system)} {'entry' if len(system) == 1 else 'entries'} of macOS: {some(system)}")
    if note is not None and others:
        files = "file" if len(others) == 1 else "files"
        note(f"not looked at: {len(others)} {files} without the suffix of a video: {some(others)}")
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Search:
    """What is in a folder and all folders below it, in order."""

    videos: list[Path]
    """Video files and image folders."""
    system: list[Path]
    """`._*`, `.DS_Store` and `__MACOSX`, as in `is_of_macos`."""
    others: list[Path]
    """Everything else that is no folder; also pipes, devices and links to nothing."""


def search(folder: Path) -> Search:
    """Links to folders are followed, and every folder is searched once: a loop of links ends.

    Raises:
        OSError: a folder that may not be read.
    """
    found, seen = Search([], [], []), set()

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if is_video(place):
            found.videos.append(Path(place))
            continue
        found.system.extend(Path(place, name) for name in [*folders, *names] if is_of_macos(name))
        for path in (Path(place, name) for name in names if not is_of_macos(name)):
            (found.videos if is_video(path) else found.others).append(path)
        folders[:] = sorted(name for name in folders if not is_of_macos(name))
    for paths in (found.videos, found.system, found.others):
        paths.sort()
    return found


def is_of_macos(name: str) -> bool:
    """True for what macOS adds to disks of other systems and to archives."""
    return name.startswith("._") or name in (".DS_Store", "__MACOSX")


def check_different(paths: Iterable[str | Path | tuple[str | Path, Span | None]]) -> None:
    """Raise ValueError if two paths are one file or folder, by whatever spelling or link; both are named. Two spans of
    one file are different if they do not overlap."""
    seen: dict[tuple[int, int], list[tuple[str | Path, Span | None]]] = {}
    for item in paths:
        path, span = item if isinstance(item, tuple) else (item, None)
        status = os.stat(Path(path).expanduser())
        others = seen.setdefault((status.st_dev, status.st_ino), [])
        for other, own in others:
            if overlap(own, span):
                first, second = with_span(other, own), with_span(path, span)
                why = "are the same file" if own is span is None else "overlap in the same file"
                raise ValueError(f"expected every clip once, but {first} and {second} {why}")
        others.append((path, span))


TIME = r"(?:(?:\d+:)?\d{1,2}:)?\d+(?:\.\d+)?"
SPAN = re.compile(rf"(?P<path>.+)@(?P<start>{TIME})-(?P<end>{TIME})")
"""`long.mp4@12.5-15`, `long.mp4@1:02.5-1:10`, `long.mp4@1:00:00-1:00:04`."""


def split_span(argument: str | Path) -> tuple[str, Span | None]:
    """A path, and the span in seconds that may follow it after an `@`. Where there is a file of the whole name, it is
    meant.

    Raises:
        ValueError: a span that does not end after it starts, or is not written as one.
    """
    text = str(argument)
    if "@" not in text or Path(text).expanduser().exists():
        return text, None
    found = SPAN.fullmatch(text)
    if found is None:
        path, _, rest = text.rpartition("@")
        if Path(path).expanduser().is_file():
            raise ValueError(f"{text}: expected a span such as {path}@12.5-15 or {path}@1:02.5-1:10, got {rest!r}")
        return text, None
    start_s, end_s = (_seconds(found[name]) for name in ("start", "end"))
    if not start_s < end_s:
        raise ValueError(f"{text}: expected a span that ends after it starts, got {start_s:g} s to {end_s:g} s")
    return found["path"], (start_s, end_s)


def _seconds(text: str) -> float:
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def with_span(path: str | Path, span: Span | None) -> str:
    """The inverse of `split_span`."""
    return str(path) if span is None else f"{path}@{_plain(span[0])}-{_plain(span[1])}"


def _plain(time_s: float) -> str:
    """Without an exponent, which `SPAN` does not read."""
    return f"{time_s:.9f}".rstrip("0").rstrip(".")


def overlap(one: Span | None, other: Span | None) -> bool:
    """Whether two spans of a video share a part of it; None is all of it."""
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])


def read_text(path: Path) -> str:
    """A text file: UTF-8 with or without BOM, any line ending.

    Raises:
        ValueError: no file there, or text in another encoding.
    """
    if path.is_dir():
        raise ValueError(f"expected a list file, got the folder {path}")
    if not path.exists():
        raise ValueError(f"no list file {path}; check the path")
    if not path.is_file():
        raise ValueError(f"expected a list file, got {path}, which is a pipe or a device")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        guess = "UTF-16" if wide else f"Latin-1 or another encoding (byte {error.start})"
        guess = "a file that is no text" if b"\0" in content and not wide else guess
        raise ValueError(f"{path}: expected UTF-8 text, got {guess}; save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}: expected UTF-8 text, got zero bytes, as in UTF-16; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """Lines of a text list, read by `read_text`; without trailing blanks."""
    return [line.rstrip() for line in read_text(path).rstrip().split("\n")]


def some(items: Sequence[object], limit: int = 3) -> str:
    """`a, b, c and 7 more`, for messages."""
    text = ", ".join(str(item) for item in items[:limit])
    return text if len(items) <= limit else f"{text} and {len(items) - limit} more"


def public_key(key: str) -> str:
    """A key as others may read it: of a path that begins at the root of a disk, the name of the file alone."""
    return PureWindowsPath(key).name if key.startswith("/") or PureWindowsPath(key).is_absolute() else key


def identity(path: Path) -> str:
    """What makes a video the same one under any name: a hash of its size and of its first and last 64 KiB; of a folder
    of images, of their number and of the first and the last one.

    Raises:
        OSError: it cannot be read.
        ValueError: a pipe or a device, which is not opened.
    """
    inside = sorted(entry for entry in path.iterdir() if is_image(entry.name)) if path.is_dir() else []
    digest = hashlib.sha256(str(len(inside)).encode())
    for file in (inside[0], inside[-1]) if inside else (path,):
        if file.exists() and not file.is_file():
            raise ValueError(f"expected a file, but {file} is a pipe or a device")
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            digest.update(f"/{size}/".encode())
            for start in (0, max(0, size - IDENTITY_BYTES)):
                opened.seek(start)
                digest.update(opened.read(IDENTITY_BYTES))
    return digest.hexdigest()[:32]


def is_chinese(text: str) -> bool:
    """Whether a text has Chinese characters in it."""
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def listed(names: Iterable[str]) -> tuple[str, ...]:
    """Class names as a tuple, each a text of its own to CLIP.

    Raises:
        ValueError: no list, or one string, which would be taken for the list of its letters; more than `MAX_CLASSES`
            names; an empty name; names that are equal, or differ in case and white space only.
    """
    if isinstance(names, str):
        raise ValueError(f"expected a list of class names, got one string; write [{names!r}]")
    if not isinstance(names, Iterable):
        raise ValueError(f"expected a list of class names, got {names!r}; write ['waving', 'clapping']")
    names = tuple(names)
    if len(names) > MAX_CLASSES:
        raise ValueError(f"expected at most {MAX_CLASSES:,} class names, got {len(names):,}")
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"expected class names that are texts, got {name!r}")
        text = " ".join(unicodedata.normalize("NFC", name).lower().split())
        if text not in seen:
            seen[text] = name
        elif seen[text] == name:
            raise ValueError(f"expected different class names, got {name!r} twice")
        else:
            raise ValueError(f"expected different class names, got {seen[text]!r} and {name!r}: one text to CLIP")
    return names


def _bytes(text: str) -> bytes:
    """For hashes; a file name that is no UTF-8 has the bytes that the disk has."""
    return text.encode("utf-8", "surrogateescape")


def in_order_of(clips: ClipList, names: Sequence[str]) -> ClipList:
    """The same clips with their labels counted in `names`, which hold all names of the list's classes.

    Raises:
        ValueError: a class of the list is not among `names`.
    """
    names = tuple(names)
    if names == clips.class_names:
        return clips
    place = {name: index for index, name in enumerate(names)}
    unknown = [name for name in clips.class_names if name not in place]
    if unknown:
        raise ValueError(f"{clips.name}: expected classes among the {len(names)} given, got {some(unknown)}")
    moved = tuple(replace(clip, label=place[clips.class_names[clip.label]]) for clip in clips.clips)
    return replace(clips, clips=moved, class_names=names, class_names_zh=None, source_names=None)


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
        members.sort(key=lambda clip: hashlib.sha256(_bytes(f"{seed}:{clip.key}")).digest())
        number = min(len(members) - 1, max(1, round(share * len(members))))
        held.update(clip.key for clip in members[len(members) - number :])
    if not held:
        raise ValueError(f"{clips.name}: expected a class with at least two clips to hold one out, got none")

    def part(name: str, inside: bool) -> ClipList:
        chosen = tuple(clip for clip in clips.clips if (clip.key in held) == inside)
        return replace(clips, name=f"{clips.name}/{name}-{share:g}-seed{seed}", clips=chosen)

    return part("without", False), part("held-out", True)
