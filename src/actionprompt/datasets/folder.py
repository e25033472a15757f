"""Your own clips, sorted into folders: the folder's name is the class.

Layouts: `root/<class>/<clip>` (`part=None`) or `root/<part>/<class>/<clip>` (`part` is `train`, `val` or `test`). A
clip is a video file or a folder of numbered images. Classes are the folder names of all parts together in sorted order,
so that train and test use the same ids; a file `root/classes.txt` (one folder name per line) sets another order.
Underscores become spaces in the readable name.

Names that start with a dot are skipped. Everything else that is not a clip is listed in `ClipList.ignored`; clips that
are nested one folder too deep are an error, since skipping them can hardly be intended.
"""

from pathlib import Path

from actionprompt.clips import Clip, ClipList, is_video, some
from actionprompt.datasets._base import Info, read_names, require_folder

PARTS = ("train", "val", "test")

INFO = Info(
    title="folder",
    licence="yours",
    citation="",
    get="sort the clips into one folder per class and pass the folder that holds those as root",
    layouts=("<class>/<clip>", "<train|val|test>/<class>/<clip>"),
    parts=(),
    listed=False,
)


def parts(root: str | Path) -> tuple[str | None, ...]:
    """Those of `train`, `val` and `test` that are folders of `root`, if it has no other folder; else (None,)."""
    root = require_folder(Path(root), INFO.title)
    folders = {path.name for path in _visible(root) if path.is_dir()}
    return tuple(name for name in PARTS if name in folders) if folders and folders <= set(PARTS) else (None,)


def load(root: str | Path, *, split: int = 1, part: str | None = None, max_missing: int | None = 0) -> ClipList:
    """All clips under `root` (`part=None`) or under `root/<part>`; without `root/test`, part `test` is `root/val`.

    `max_missing` exists because every data set takes it: without an official list no clip can be missing.

    Raises:
        ValueError: `root` is not a folder or has no such part, there are no clips, a class folder is not in
            `classes.txt`, or clips are nested one folder too deep.
    """
    root = require_folder(Path(root), INFO.title)
    expected = f"expected {' or '.join(f'{root}/{layout}' for layout in INFO.layouts)}"
    if split != 1:
        raise ValueError(f"folder: a folder has one split, got split {split}; leave split out")
    there = parts(root)
    if part is None and there != (None,):
        raise ValueError(f"folder: {root} has the parts {', '.join(map(str, there))}; choose one with part")
    if part == "test" and "test" not in there and "val" in there:
        part = "val"
    if part is not None and part not in there:
        raise ValueError(
            f"folder: no part {part!r} in {root} (parts are folders train, val or test, with no other folder next to "
            f"them); {expected}"
        )

    bases = [root] if part is None else [root / str(name) for name in there]
    folders = sorted({entry.name for base in bases for entry in _visible(base) if entry.is_dir()})
    names = tuple(folders)
    if (root / "classes.txt").is_file():
        names = read_names(root / "classes.txt")
        unknown = [name for name in folders if name not in names]
        if unknown:
            raise ValueError(f"folder: {root / 'classes.txt'} does not list the class folder {some(unknown)}")

    base = root if part is None else root / part
    ignored = [f"{path.name}: a file next to the class folders" for path in _visible(base) if not path.is_dir()]
    ignored = [line for line in ignored if not line.startswith("classes.txt:")]
    clips: list[Clip] = []
    for label, name in enumerate(names):
        before = len(clips)
        for path in _visible(base / name) if (base / name).is_dir() else []:
            key = path.relative_to(root).as_posix()
            if is_video(path):
                clips.append(Clip(key, path, label))
                continue
            deeper = [inside for inside in _visible(path) if is_video(inside)] if path.is_dir() else []
            if deeper:
                raise ValueError(f"folder: {key}/{deeper[0].name} is nested one folder too deep; {expected}")
            ignored.append(f"{key}: {'a folder without images' if path.is_dir() else 'not a video file'}")
        if len(clips) == before:
            ignored.append(f"{name}: a class without clips")
    if not clips:
        raise ValueError(f"folder: no clips in {base}; {expected}" + (f" ({some(ignored)})" if ignored else ""))
    return ClipList(
        f"folder/{root.name}" + (f"/{part}" if part else ""),
        tuple(clips),
        tuple(name.replace("_", " ") for name in names),
        source_names=names,
        ignored=tuple(ignored),
        layout=INFO.layouts[0 if part is None else 1],
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
