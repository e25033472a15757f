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
`train`. The camera can tell the direction of time nevertheless: its vertical shake follows the horizontal one at a
fixed phase (`world.scene.Camera.lag`). In version 2 (`actionworld_v2`) it cannot.

`long` has videos of a minute and more in which one person does one thing after another, with pauses, in one place that
does not depend on the actions (`world.long`). `test` of split k has the actors and backgrounds of fold k. `val`, for
choosing how a timeline is smoothed, has those of fold k mod 3 + 1, which is one of the two that split k trains on.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.config import Progress
from actionprompt.datasets import _actionworld
from actionprompt.datasets._actionworld import LONG_PARTS, LONG_SIZES, LongVideo
from actionprompt.datasets._base import Info
from actionprompt.world.actions import CLASS_NAMES, KIND, PAIRS

__all__ = ["INFO", "KIND", "LONG_PARTS", "LONG_SIZES", "PAIRS", "SIZES", "LongVideo", "load", "long"]

SIZES = {"mini": 2, "small": 10, "full": 50}
"""Clips per class and fold: `train` has twice as many (two folds), `test` and `scene_bias` this many. A smaller size is
the beginning of a larger one, so nothing is built twice."""
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
    num_clips = {name: dict.fromkeys(INFO.parts, num) for name, num in SIZES.items()}
    return _actionworld.load(
        "actionworld", INFO, "1", num_clips, root,
        split=split, part=part, size=size, size_px=size_px, max_missing=max_missing, workers=workers,
        progress=progress,
    )  # fmt: skip


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
    return _actionworld.long(
        INFO, "1", root, split=split, part=part, size=size, size_px=size_px, workers=workers, progress=progress
    )
