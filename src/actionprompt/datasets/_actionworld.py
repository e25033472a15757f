"""What the versions of ActionWorld share: their lists, how clips come to exist, and the long videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actionprompt.clips import Clip, ClipList
from actionprompt.config import Progress, cache_root
from actionprompt.datasets._base import Info
from actionprompt.world.actions import activities, class_names, class_names_zh
from actionprompt.world.build import FPS, Role, Scene, build, folder
from actionprompt.world.long import Long, build_long, parts_of, segments_of
from actionprompt.world.scene import Version

LONG_PARTS = ("val", "test")
LONG_SIZES = {"mini": 2, "small": 24, "full": 48}
"""Long videos in `test`; `val` has half as many."""
VAL_FOLD = 5
ROLES: dict[str, Role] = {"scene_bias": "bias", "background": "swap"}
"""Of the parts whose place is not drawn as in `train`."""


def load(
    name: str,
    info: Info,
    version: Version,
    num_clips: Mapping[str, Mapping[str, int]],
    root: str | Path | None,
    *,
    split: int,
    part: str,
    size: str,
    size_px: int,
    max_missing: int | None,
    workers: int,
    progress: Progress | None,
) -> ClipList:
    """The clips of one part of the data set `name`; `num_clips` has the clips per class and fold, by size and part."""
    if part not in info.parts:
        raise ValueError(f"{info.title}: expected part {', '.join(info.parts)}, got {part!r}")
    root = _root(info, root, split, size, size_px)
    scenes = scenes_of(version, split, part, num_clips[size][part])
    here = folder(root, size_px, version)
    if max_missing == 0:
        build(root, scenes, size_px=size_px, workers=workers, progress=progress)
    labels = {class_name: label for label, class_name in enumerate(class_names(version))}
    clips = [
        Clip(key, here / key, labels[class_name])
        for scene in scenes
        for key, class_name in zip(scene.keys, scene.activity.names, strict=True)
    ]
    clips.sort(key=lambda clip: (clip.label, clip.key))
    missing = () if not max_missing else tuple(clip.key for clip in clips if not clip.path.exists())
    if max_missing and len(missing) > max_missing:
        raise ValueError(
            f"{info.title}: {len(missing)} of {len(clips)} {part} clips are not in {here}; max_missing=0 builds them"
        )
    gone = set(missing)
    return ClipList(
        f"{name}-{size}/split{split}/{part}",
        tuple(clip for clip in clips if clip.key not in gone),
        class_names(version),
        class_names_zh(version),
        missing=missing,
        layout=info.layouts[0],
    )


def scenes_of(version: Version, split: int, part: str, num: int) -> list[Scene]:
    """The scenes of a part, `num` for each activity and fold."""
    folds = {"train": tuple(fold for fold in (1, 2, 3) if fold != split), "val": (VAL_FOLD,)}.get(part, (split,))
    return [
        Scene(activity, fold, ROLES.get(part, "main"), number, version)
        for activity in activities(version)
        for fold in folds
        for number in range(num)
    ]


@dataclass(frozen=True)
class LongVideo:
    """A long video, and when what happens in it."""

    path: Path
    duration_s: float
    segments: tuple[tuple[float, float, str], ...]
    """(start, end, class) of every action, in seconds; what is not listed is a pause."""


def long(
    info: Info,
    version: Version,
    root: str | Path | None,
    *,
    split: int,
    part: str,
    size: str,
    size_px: int,
    workers: int,
    progress: Progress | None,
) -> tuple[LongVideo, ...]:
    """The long videos of `val` or `test`."""
    if part not in LONG_PARTS:
        raise ValueError(f"{info.title} long: expected part {', '.join(LONG_PARTS)}, got {part!r}")
    root = _root(info, root, split, size, size_px)
    own = VAL_FOLD if "val" in info.parts else split % 3 + 1
    fold, count = (split, LONG_SIZES[size]) if part == "test" else (own, LONG_SIZES[size] // 2)
    videos = [Long(fold, number, version) for number in range(count)]
    here = build_long(root, videos, size_px=size_px, workers=workers, progress=progress)
    return tuple(LongVideo(here / video.keys[0], parts_of(video)[-1].end / FPS, segments_of(video)) for video in videos)


def _root(info: Info, root: str | Path | None, split: int, size: str, size_px: int) -> Path:
    """The root, after a look at what both `load` and `long` are given."""
    if split not in info.splits:
        raise ValueError(f"{info.title}: expected split 1, 2 or 3, got {split}")
    if size not in info.sizes:
        raise ValueError(f"{info.title}: expected size {', '.join(info.sizes)}, got {size!r}")
    if size_px % 2 or size_px < 16:
        raise ValueError(f"{info.title}: expected an even frame size of 16 px or more, got {size_px}")
    return Path(root).expanduser() if root is not None else cache_root() / "actionworld"
