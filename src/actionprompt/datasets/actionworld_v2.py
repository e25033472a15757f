"""ActionWorld 2: generated videos of one or two people, with distractors and the noise of real cameras.

40 classes of four kinds (`KIND`). Reversible: ten pairs (`PAIRS`) of classes whose clips are twins, the same rendering
played forwards and backwards, both in the same part, so no order-invariant statistic of the frames can tell the two
classes apart. Cyclic: ten classes that differ in limb or rhythm; two of them (clapping slowly, clapping quickly) differ
in rhythm only. Still: six classes that a single frame shows. Interaction: four classes of two people, none of them
paired with its reversal. The first half of the classes (base) and the second (novel) contain equally many
of each kind; both classes of a pair are in the same half.

Relative to version 1 (`actionworld`) there are more actors, clothes, props, styles of motion and viewpoints; passers-by
and moving things in the background; and each clip is recorded by a sensor with noise, defocus, vignetting, drifting
exposure and a quantiser of its own. Actor, partner, camera, lighting, crowd, sensor, speed and style are drawn
independently of the class, but the kinds of distractors depend on the place.

Actors and backgrounds are divided into disjoint folds: 1, 2 and 3, and one more for `val`. Split k tests on fold k and
trains on the other two of the three. Each class has one of ten places as its home. Each place is home to four classes,
a reversible pair of one half and two classes of the other. The parts:

- `train` and `test` have the same correlation between place and action: three of four clips are set in the home place,
  the others in one of the other nine places, drawn uniformly. A classifier that sees only the place reaches 18.75 % in
  `test` (chance 2.5 %), and 37.5 % among the base or the novel classes alone (chance 5 %).
- `val`, for choosing when to stop and with which options, has the correlation of `test` and actors and backgrounds that
  no other part has. It is the same for all splits.
- `scene_bias` has the actors and backgrounds of `test` with the correlation inverted: no clip is set in its home place,
  so every place suggests wrong classes, and a classifier that relies on the place alone gets 0 %.
- `background` has the clips of `test` in another place: the same people, motion, camera and sensor, in a place that is
  neither the home of the class nor the place the clip had, with a crowd that suits it. The place alone gets 0 % here,
  too. The keys of a clip and its counterpart differ in the folder only (`main`, `swap`): answers can be compared clip
  by clip.

Few-shot and base-to-novel draw from `train`.

`long` has videos of a minute and more in which one person does one thing after another, with pauses, in one place that
does not depend on the actions (`world.long`). `test` of split k has the actors and backgrounds of fold k. `val`, for
choosing how a timeline is smoothed, has those of `val`.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.config import Progress
from actionprompt.datasets import _actionworld
from actionprompt.datasets._actionworld import LONG_PARTS, LONG_SIZES, LongVideo
from actionprompt.datasets._base import Info
from actionprompt.world import actions

__all__ = ["INFO", "KIND", "LONG_PARTS", "LONG_SIZES", "PAIRS", "SIZES", "LongVideo", "load", "long"]

KIND = actions.kinds("2")
PAIRS = actions.pairs("2")
SIZES = {
    "mini": {"train": 2, "val": 1, "test": 2, "scene_bias": 2, "background": 2},
    "small": {"train": 10, "val": 10, "test": 25, "scene_bias": 25, "background": 25},
    "full": {"train": 50, "val": 25, "test": 50, "scene_bias": 50, "background": 50},
}
"""Clips per class and fold; `train` has two folds, the other parts one. A smaller size is the beginning of a larger
one, so nothing is built twice."""

INFO = Info(
    title="ActionWorld 2",
    licence="Apache-2.0, like the program that renders it",
    citation="ActionPrompt, ActionWorld version 2",
    get="it is built on first use; nothing is downloaded",
    layouts=("v{version}-{size_px}px/fold{fold}/{role}/{class}/{number}",),
    num_classes=len(KIND),
    generated=True,
    listed=False,
    sizes=tuple(SIZES),
    splits=(1, 2, 3),
    parts=("train", "val", "test", "scene_bias", "background"),
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
    """The clips of one part; clips that do not exist yet are built, about 14 per second and core.

    `root` is the data-set root, existing or to be created; by default `actionworld` in `$ACTIONPROMPT_CACHE`, or in
    `~/.cache/actionprompt` if that is not set. `size_px` is the side of the square frames in pixels. With `max_missing`
    other than 0 nothing is built: missing clips are left out and named in `ClipList.missing`; None does not look for
    files. `workers` and `progress` are those of `world.build.build`.

    Raises:
        ValueError: an unknown split, part or size, an odd `size_px` or one below 16, more than `max_missing` missing
            clips, or a clip whose file was changed after it was built.
    """
    return _actionworld.load(
        "actionworld_v2", INFO, "2", SIZES, root,
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
    """The long videos of `val` or `test`; videos that do not exist yet are built, one in about 3 seconds per core. The
    arguments are those of `load`.

    Raises:
        ValueError: an unknown split, part or size, a wrong `size_px`, or a file that was changed after it was built.
    """
    return _actionworld.long(
        INFO, "2", root, split=split, part=part, size=size, size_px=size_px, workers=workers, progress=progress
    )
