"""Your own clips, sorted into folders: the folder's name is the class.

Layouts: `root/<class>/<clip>` (no part asked for) or `root/<part>/<class>/<clip>` (`part` is `train`, `val` or `test`).
A clip is a video file or a folder of numbered JPEG or PNG frames. Classes are the folder names in sorted order, taken
over all parts together, so that train and test count alike; a file `root/classes.txt` (one folder name per line) sets
another order. Underscores become spaces in the readable name.

Names that start with a dot are left out by convention. Everything else that is not a clip is listed in
`ClipList.ignored`; clips that lie one folder too deep are an error, since nobody means to lose them.
"""

from pathlib import Path

from ._base import Clip, ClipList, Info, is_frame, is_video, read_names, require_folder, some

PARTS = ("train", "val", "test")

INFO = Info(
    title="folder",
    licence="yours",
    citation="",
    get="Sort the clips into one folder per class and pass that folder as root.",
    layouts="root/<class>/<clip>, or root/train/<class>/<clip> and root/test/<class>/<clip>; "
    "a clip is a video file or a folder of JPEG frames",
)


def load(root: str | Path, *, split: int = 1, part: str | None = None) -> ClipList:
    """All clips under `root` (`part=None`) or under `root/<part>`; without `root/test`, `test` is `root/val`.

    Raises `ValueError` for a wrong folder, no clips, a class that `classes.txt` lacks, clips one folder too deep.
    """
    root = require_folder(Path(root), "folder")
    if split != 1:
        raise ValueError(f"folder: a folder has one split, got split {split}; drop it")
    parts = [name for name in PARTS if (root / name).is_dir()]
    if part is None and parts and all(entry.name in PARTS for entry in _visible(root) if entry.is_dir()):
        raise ValueError(f"folder: {root} holds the parts {', '.join(parts)}; say which one with part")
    if part == "test" and "test" not in parts and "val" in parts:
        part = "val"
    if part is not None and part not in parts:
        raise ValueError(f"folder: no {root / part}; expected {INFO.layouts}")

    bases = [root] if part is None else [root / name for name in parts]
    folders = sorted({entry.name for base in bases for entry in _visible(base) if entry.is_dir()})
    if (root / "classes.txt").is_file():
        names = read_names(root / "classes.txt")
        unknown = [name for name in folders if name not in names]
        if unknown:
            raise ValueError(f"folder: {root / 'classes.txt'} does not know the class folder {some(unknown)}")
    else:
        names = tuple(folders)

    base = root if part is None else root / part
    clips: list[Clip] = []
    ignored = [f"{entry.name}: a file beside the class folders" for entry in _visible(base) if not entry.is_dir()]
    ignored = [line for line in ignored if not line.startswith("classes.txt:")]
    for label, name in enumerate(names):
        if not (base / name).is_dir():
            ignored.append(f"{name}: no folder for this class in {base.name}")
            continue
        found = len(clips)
        for entry in _visible(base / name):
            key = entry.relative_to(root).as_posix()
            if entry.is_dir():
                inside = _visible(entry)
                deeper = [file for file in inside if is_video(file)]
                if deeper:
                    raise ValueError(f"folder: {key}/{deeper[0].name} is one folder too deep; expected {INFO.layouts}")
                if not any(is_frame(file.name) for file in inside):
                    ignored.append(f"{key}: a folder without frames")
                    continue
            elif not is_video(entry):
                ignored.append(f"{key}: not a video file")
                continue
            clips.append(Clip(key, entry, label))
        if len(clips) == found:
            ignored.append(f"{name}: a class without clips")
    if not clips:
        raise ValueError(
            f"folder: no clips in {base}; expected {INFO.layouts}" + (f" ({some(ignored)})" if ignored else "")
        )
    readable = tuple(name.replace("_", " ") for name in names)
    return ClipList(
        f"folder/{root.name}" + (f"/{part}" if part else ""),
        tuple(clips),
        readable,
        source_names=names,
        ignored=tuple(ignored),
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
