"""Your own clips, sorted into folders: the folder's name is the class.

Layouts: `root/<class>/<clip>` (`part=None`) or `root/<part>/<class>/<clip>` (`part` is `train`, `val` or `test`). A
clip is a video file or a folder of numbered images. Classes are the folder names of all parts together in sorted order,
so that train and test use the same ids; a file `root/classes.txt` (one folder name per line) sets another order.
Underscores become spaces in the readable name.

A root of the first layout can be divided here (`split_folder`): a share of every class becomes the part `train`, the
rest `test`, drawn from `split` as the seed. Clips cut from one source stay together where their names show the source:
`v_Run_g01_c02` and `v_Run_g01_c03` (UCF-101), `NAME_run_f_cm_np1_ba_med_0` (HMDB-51), `ID_000010_000020` (Kinetics),
`NAME_clip2`, `NAME-part-3`.

A folder without a clip in any part is no class, unless `classes.txt` lists it. Names that start with a dot and
`__MACOSX` are skipped; what macOS left is counted. Everything else that is not a clip is listed in `ClipList.ignored`;
clips that are nested one folder too deep are an error, since skipping them can hardly be intended.
"""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from actionprompt.clips import Clip, ClipList, is_of_macos, is_video, some
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


def load(
    root: str | Path,
    *,
    split: int = 1,
    part: str | None = None,
    max_missing: int | None = 0,
    split_folder: float | None = None,
) -> ClipList:
    """All clips under `root` (`part=None`) or under `root/<part>`; without `root/test`, part `test` is `root/val`.

    `split_folder` divides `root`: the share of the clips that is `train`. `max_missing` exists because every data set
    takes it: without an official list no clip can be missing.

    Raises:
        ValueError: `root` is not a folder or has no such part, there are no clips, a class folder is not in
            `classes.txt`, or clips are nested one folder too deep; `split_folder` of a root that has parts, or one
            that leaves a class without clips for a part.
    """
    root = require_folder(Path(root), INFO.title)
    if split_folder is not None:
        if parts(root) != (None,):
            raise ValueError(f"folder: {root} has parts of its own: expected no split_folder, got {split_folder:g}")
        whole = load(root, max_missing=max_missing)
        return whole if part is None else divide(whole, part, share=split_folder, seed=split)
    expected = f"expected {' or '.join(f'{root}/{layout}' for layout in INFO.layouts)}"
    if split != 1:
        raise ValueError(f"folder: a folder has one split, got split {split}; leave split (--clips.split) out")
    there = parts(root)
    if part is None and there != (None,):
        raise ValueError(f"folder: {root} has the parts {', '.join(map(str, there))}; choose one with part (--part)")
    if part == "test" and "test" not in there and "val" in there:
        part = "val"
    if part is not None and part not in there:
        raise ValueError(
            f"folder: no part {part!r} in {root} (parts are folders train, val or test, with no other folder next to "
            f"them); {expected}"
        )

    bases = [root] if part is None else [root / str(name) for name in there]
    folders = sorted({entry.name for base in bases for entry in _visible(base) if entry.is_dir()})
    names = tuple(name for name in folders if any(is_video(path) for base in bases for path in _visible(base / name)))
    if (root / "classes.txt").is_file():
        listed = read_names(root / "classes.txt")
        unknown = [name for name in names if name not in listed]
        if unknown:
            raise ValueError(f"folder: {root / 'classes.txt'} does not list the class folder {some(unknown)}")
        names = listed
    others = [name for name in folders if name not in names]

    base = root if part is None else root / part
    loose = [f"{path.name}: a file next to the class folders" for path in _visible(base) if not path.is_dir()]
    ignored = [f"{name}: a folder without clips, so no class" for name in others]
    ignored += [line for line in loose if not line.startswith(("classes.txt:", "prepared.json"))]  # of `prepare`
    clips: list[Clip] = []
    for label, name in enumerate((*names, *others)):
        before, unread = len(clips), []
        for path in _visible(base / name):
            key = path.relative_to(root).as_posix()
            if is_video(path):
                clips.append(Clip(key, path, label))
                continue
            deeper = [inside for inside in _visible(path) if is_video(inside)]
            if deeper:
                raise ValueError(f"folder: {key}/{deeper[0].name} is nested one folder too deep; {expected}")
            unread.append(f"{key}: {'a folder without images' if path.is_dir() else 'not a video file'}")
        if label < len(names):
            ignored += unread if len(clips) > before else [*unread, f"{name}: a class without clips"]
    places = [base, *(base / name for name in names if (base / name).is_dir())]
    hidden = sum(is_of_macos(path.name) for place in places for path in place.iterdir())
    if hidden:
        ignored.append(f"{hidden} entries of macOS (._*, .DS_Store, __MACOSX)")
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


SOURCES = (
    r"(?P<source>v_.+_g\d+)_c\d+",  # UCF-101
    r"(?P<source>.+)_[a-z_]+_[fhul]_(cm|nm)_np\d_(ba|bf|fr|le|ri)_(bad|med|goo)_\d+",  # HMDB-51
    r"(?P<source>.+)_\d{6}_\d{6}",  # Kinetics
    r"(?P<source>.+?)[-_ ]*(clip|part|scene|seg|segment|shot)[-_ ]*\d+",
)


def source_of(key: str) -> str:
    """The source that the name of a clip shows; else the key itself."""
    stem = re.sub(r"\.\w{1,5}$", "", key.rpartition("/")[2])
    found = next((match for pattern in SOURCES if (match := re.fullmatch(pattern, stem, re.IGNORECASE))), None)
    return found["source"] if found else key


def divide(clips: ClipList, part: str, *, share: float, seed: int) -> ClipList:
    """One part of a division of `clips`: `share` of every class is `train`, the rest `test`.

    The clips of one source (`source_of`), of whatever class, are in one part. Sources are taken in the order of the
    SHA-256 of `<seed>:<source>` and given to `test` while a class of theirs has less there than its share.

    Raises:
        ValueError: a share that is not between 0 and 1, another part, or a class that has clips for one part alone.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share of the clips above 0 and below 1 for the training part, got {share}")
    if part not in ("train", "test"):
        raise ValueError(f"folder: a divided folder has the parts train and test, got {part!r}")
    sources: dict[str, list[Clip]] = {}
    for clip in clips.clips:
        sources.setdefault(source_of(clip.key), []).append(clip)
    number = [0] * len(clips.class_names)
    for clip in clips.clips:
        number[clip.label] += 1
    want = [min(n - 1, max(1, round((1 - share) * n))) for n in number]
    have, kept = [0] * len(number), [*number]
    test: set[str] = set()
    for source in sorted(
        sources, key=lambda source: hashlib.sha256(f"{seed}:{source}".encode(errors="surrogateescape")).digest()
    ):
        taken = [0] * len(number)
        for clip in sources[source]:
            taken[clip.label] += 1
        labels = [label for label, n in enumerate(taken) if n]
        if any(have[label] < want[label] for label in labels) and all(kept[label] > taken[label] for label in labels):
            test.update(clip.key for clip in sources[source])
            for label in labels:
                have[label] += taken[label]
                kept[label] -= taken[label]
    bad = [name for name, n, there in zip(clips.class_names, number, have, strict=True) if n and not there]
    if bad:
        raise ValueError(
            f"{clips.name}: expected every class to have clips of at least two sources, one for each part; {some(bad)} "
            f"{'has' if len(bad) == 1 else 'have'} not"
        )
    chosen = tuple(clip for clip in clips.clips if (clip.key in test) == (part == "test"))
    return replace(clips, name=f"{clips.name}/{share:g}-seed{seed}/{part}", clips=chosen)


def _visible(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, in order; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not is_of_macos(path.name))
