"""ActionWorld: generated videos of human actions, in which motion and appearance are known exactly.

36 classes of three kinds (`KIND`). Reversible: ten pairs (`PAIRS`) of classes whose clips are twins, the same rendering
played forwards and backwards, both in the same part, so no order-invariant statistic of the frames can tell the two
classes apart. Cyclic: ten classes that differ in limb or rhythm; two of them (clapping slowly, clapping quickly) differ
in rhythm only. Still: six classes that a single frame shows. The first half of the classes (base) and the second
(novel) contain equally many of each kind; both classes of a pair are in the same half.

Actors and backgrounds are divided into three disjoint folds. Split k tests on fold k and trains on the other two. Each
class has one of nine places as its home; each place is home to four classes, and both classes of a pair share theirs:

- `train` and `test` have the same correlation between place and action: three of four clips are set in the home place,
  the others in one of the other eight places, drawn uniformly. A classifier that sees only the place reaches about
  18.75 % in `test` (chance 2.8 %).
- `scene_bias` has the actors and backgrounds of `test` with the correlation inverted: no clip is set in its home place,
  so every place suggests wrong classes, and a classifier that relies on the place alone gets 0 %. The accuracy in
  `test` minus that in `scene_bias` measures how much a model relies on the scene.

Actor, camera, lighting, speed and style are drawn independently of the class. Few-shot and base-to-novel draw from
`train`.

`long` has videos of a minute and more in which one person does one thing after another, with pauses, in one place that
does not depend on the actions (`world.long`). `test` of split k has the actors and backgrounds of fold k. `val`, for
choosing how a timeline is smoothed, has those of fold k mod 3 + 1, which is one of the two that split k trains on.
"""

from dataclasses import dataclass
from pathlib import Path

from actionprompt.clips import Clip, ClipList
from actionprompt.config import Progress, cache_root
from actionprompt.datasets._base import Info
from actionprompt.world.actions import ACTIVITIES, CLASS_NAMES, CLASS_NAMES_ZH, KIND, PAIRS
from actionprompt.world.build import FPS, Scene, build, folder
from actionprompt.world.long import Long, build_long, parts_of, segments_of

__all__ = ["INFO", "KIND", "LONG_PARTS", "LONG_SIZES", "PAIRS", "SIZES", "LongVideo", "load", "long"]

SIZES = {"mini": 2, "small": 10, "full": 50}
"""Clips per class and fold: `train` has twice as many (two folds), `test` and `scene_bias` this many. A smaller size is
the beginning of a larger one, so nothing is built twice."""
LONG_PARTS = ("val", "test")
LONG_SIZES = {"mini": 2, "small": 24, "full": 48}
"""Long videos in `test`; `val` has half as many."""

INFO = Info(
    title="ActionWorld",
    licence="Apache-2.0, like the program that renders it",
    citation="ActionPrompt, ActionWorld version 1",
    get="it is built on first use; nothing is downloaded",
    layouts=("v{version}-{size_px}px/fold{fold}/{role}/{class}/{number}",),
    num_classes=len(CLASS_NAMES),
    generated=True,
    listed=False,
    sizes=tuple(SIZES),
    splits=(1, 2, 3),
    parts=("train", "test", "scene_bias"),
    templates=("a person {}.", "a video of a person {}.", "a photo of a person {}."),
    templates_zh=("一个人在{}。", "一段一个人{}的视频。"),
)


def load(
    root: str | Path | None = None,
    *,
    split: int = 1,
    part: str = "train",
    size: str = "small",
    size_px: int = 112,
    max_missing: int | None = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> ClipList:
    """The clips of one part; clips that do not exist yet are built, about 35 per second and core.

    `root` is the data-set root, existing or to be created; by default `actionworld` in `$ACTIONPROMPT_CACHE`, or in
    `~/.cache/actionprompt` if that is not set. `size_px` is the side of the square frames in pixels. With `max_missing`
    other than 0 nothing is built: missing clips are left out and named in `ClipList.missing`; None does not look for
    files. `workers` and `progress` are those of `world.build.build`.

    Raises:
        ValueError: an unknown split, part or size, an odd `size_px` or one below 16, more than `max_missing` missing
            clips, or a clip whose file was changed after it was built.
    """
    if part not in INFO.parts:
        raise ValueError(f"{INFO.title}: expected part {', '.join(INFO.parts)}, got {part!r}")
    root = _root(root, split, size, size_px)
    scenes = [
        Scene(activity, fold, "bias" if part == "scene_bias" else "main", number)
        for activity in ACTIVITIES
        for fold in INFO.splits
        if (fold == split) != (part == "train")
        for number in range(SIZES[size])
    ]
    here = folder(root, size_px)
    if max_missing == 0:
        build(root, scenes, size_px=size_px, workers=workers, progress=progress)
    labels = {name: label for label, name in enumerate(CLASS_NAMES)}
    clips = [
        Clip(key, here / key, labels[name])
        for scene in scenes
        for key, name in zip(scene.keys, scene.activity.names, strict=True)
    ]
    clips.sort(key=lambda clip: (clip.label, clip.key))
    missing = () if not max_missing else tuple(clip.key for clip in clips if not clip.path.exists())
    if max_missing and len(missing) > max_missing:
        raise ValueError(
            f"{INFO.title}: {len(missing)} of {len(clips)} {part} clips are not in {here}; max_missing=0 builds them"
        )
    gone = set(missing)
    return ClipList(
        f"actionworld-{size}/split{split}/{part}",
        tuple(clip for clip in clips if clip.key not in gone),
        CLASS_NAMES,
        CLASS_NAMES_ZH,
        missing=missing,
        layout=INFO.layouts[0],
    )


@dataclass(frozen=True)
class LongVideo:
    """A long video, and when what happens in it."""

    path: Path
    duration_s: float
    segments: tuple[tuple[float, float, str], ...]
    """(start, end, class) of every action, in seconds; what is not listed is a pause."""


def long(
    root: str | Path | None = None,
    *,
    split: int = 1,
    part: str = "test",
    size: str = "small",
    size_px: int = 112,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[LongVideo, ...]:
    """The long videos of `val` or `test`; videos that do not exist yet are built, one in about 2 seconds per core. The
    arguments are those of `load`.

    Raises:
        ValueError: an unknown split, part or size, a wrong `size_px`, or a file that was changed after it was built.
    """
    if part not in LONG_PARTS:
        raise ValueError(f"{INFO.title} long: expected part {', '.join(LONG_PARTS)}, got {part!r}")
    root = _root(root, split, size, size_px)
    fold, count = (split, LONG_SIZES[size]) if part == "test" else (split % 3 + 1, LONG_SIZES[size] // 2)
    videos = [Long(fold, number) for number in range(count)]
    here = build_long(root, videos, size_px=size_px, workers=workers, progress=progress)
    return tuple(LongVideo(here / video.keys[0], parts_of(video)[-1].end / FPS, segments_of(video)) for video in videos)


def _root(root: str | Path | None, split: int, size: str, size_px: int) -> Path:
    """The root, after a look at what both `load` and `long` are given."""
    if split not in INFO.splits:
        raise ValueError(f"{INFO.title}: expected split 1, 2 or 3, got {split}")
    if size not in SIZES:
        raise ValueError(f"{INFO.title}: expected size {', '.join(SIZES)}, got {size!r}")
    if size_px % 2 or size_px < 16:
        raise ValueError(f"{INFO.title}: expected an even frame size of 16 px or more, got {size_px}")
    return Path(root).expanduser() if root is not None else cache_root() / "actionworld"
