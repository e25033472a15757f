"""ActionWorld: generated videos of people doing things, in which motion and appearance are known exactly.

36 classes of three kinds (`KIND`). Reversible: ten pairs (`PAIRS`) whose clips are twins, the same rendering played
forwards and backwards, both in the same part, so no statistic of the frames that ignores their order can tell the two
classes apart. Cyclic: ten classes that differ in limb or rhythm, two of them (clapping slowly, clapping quickly) in
nothing but rhythm. Still: six that one frame shows. The first and the second half of the classes, base and novel, hold
equally many of each kind; twins are on one side.

Actors and backgrounds are divided into three folds that share none. Split k tests on fold k and trains on the other
two. Each class has one of nine places as its home; each place is home to four classes, and twins share theirs:

- `train` and `test` have the same correlation of place and action: three of four clips play at home, the others at one
  of the other eight places, drawn evenly. Who sees nothing but the place gets about 18.75 % in `test` (chance 2.8 %).
- `scene_bias` has the actors and backgrounds of `test` and the correlation inverted: no clip plays at home, so every
  place speaks for wrong classes, and who follows the place alone gets 0 %. The accuracy in `test` less that in
  `scene_bias` is what a model owes to the scene.

Actor, camera, light, speed and style are drawn independently of the class. Few-shot and base-to-novel draw from
`train`.
"""

from pathlib import Path

from actionprompt.clips import Clip, ClipList
from actionprompt.config import Progress, cache_root
from actionprompt.datasets._base import Info
from actionprompt.world.actions import ACTIVITIES, CLASS_NAMES, CLASS_NAMES_ZH, KIND, PAIRS
from actionprompt.world.build import Scene, build, folder

__all__ = ["INFO", "KIND", "PAIRS", "SIZES", "load"]

SIZES = {"mini": 2, "small": 10, "full": 50}
"""Clips of each class in each fold: `train` has twice as many, `test` and `scene_bias` as many. A smaller size is the
beginning of a larger one, so nothing is built twice."""

INFO = Info(
    title="ActionWorld",
    licence="Apache-2.0, like the program that draws it",
    citation="ActionPrompt, ActionWorld version 1",
    get="it is built on first use; nothing is downloaded",
    layouts=("v{version}-{size_px}px/fold{fold}/{role}/{class}/{number}",),
    num_classes=len(CLASS_NAMES),
    generated=True,
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
    """The clips of one part; what is not there yet is built, about 35 clips a second and core.

    `root` is where the clips lie or shall lie, by default `actionworld` in `$ACTIONPROMPT_CACHE` or in
    `~/.cache/actionprompt`. With `max_missing` other than 0 nothing is built: absent clips are named in `missing`, or,
    with None, nothing is looked for. `workers` and `progress` are those of `world.build.build`.
    """
    if split not in INFO.splits:
        raise ValueError(f"{INFO.title}: expected split 1, 2 or 3, got {split}")
    if part not in INFO.parts:
        raise ValueError(f"{INFO.title}: expected part {', '.join(INFO.parts)}, got {part!r}")
    if size not in SIZES:
        raise ValueError(f"{INFO.title}: expected size {', '.join(SIZES)}, got {size!r}")
    if size_px % 2 or size_px < 16:
        raise ValueError(f"{INFO.title}: expected an even frame size of 16 px or more, got {size_px}")
    root = Path(root).expanduser() if root is not None else cache_root() / "actionworld"
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
            f"{INFO.title}: {len(missing)} of {len(clips)} clips of {part} are not in {here}; max_missing=0 builds them"
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
