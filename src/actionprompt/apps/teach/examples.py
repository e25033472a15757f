"""The clips that a model is taught from: as they are named, and as features that are kept with the model.

Letters: C clips, V views, T frames, E width of the joint space.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from actionprompt import files
from actionprompt.clips import (
    Clip,
    ClipList,
    Span,
    check_different,
    find_videos,
    identity,
    overlap,
    some,
    split_span,
    with_span,
)
from actionprompt.config import DataConfig, from_json, to_json
from actionprompt.datasets import folder as folders
from actionprompt.weights.run import read_manifest, read_tensors

FEATURES, INDEX = "features.safetensors", "features.json"
"""Files next to the model folder: the features of the clips it was taught from, and whose they are."""


def parse(arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NAME=clip1.mp4,folder,long.mp4@12.5-15 ...` -> what is named for every class; a name may be repeated with more.

    Raises:
        ValueError: an argument without `=`, name or clips, or with nothing next to a comma; the message quotes it.
    """
    clips: dict[str, tuple[str, ...]] = {}
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        name, paths = name.strip(), tuple(path.strip() for path in rest.split(","))
        if not equals or not name or not any(paths):
            raise ValueError(f"expected NAME=clip1.mp4,clip2.mp4,... with at least one clip, got {argument!r}")
        if not all(paths):
            raise ValueError(
                f"expected a clip before and after every comma, got {argument!r}; take the extra comma out"
            )
        clips[name] = clips.get(name, ()) + paths
    return clips


def as_list(clips: Mapping[str, Sequence[str | Path]]) -> ClipList:
    """The clips as a `ClipList`; their labels follow the order of the classes. A folder or glob stands for the videos
    in it, `long.mp4@12.5-15` for a span of a file. Keys are the paths below the folder that all clips share, since the
    model lists them and may be given away.

    Raises:
        ValueError: no clips by class name, a class without clips, or a clip that does not exist, is given twice (by its
            file or as a copy), or overlaps another span.
    """
    if not isinstance(clips, Mapping) or not clips:
        got = "an empty one" if isinstance(clips, Mapping) else type(clips).__name__
        raise ValueError(
            f"expected a dict of clips by class name, got {got}; write {{'waving': ['a.mp4', 'b.mp4'], ...}}"
        )
    made: list[tuple[Path, Any, int]] = []
    as_given: list[tuple[str | Path, Span | None]] = []
    for label, (name, paths) in enumerate(clips.items()):
        if isinstance(paths, str | Path):
            raise ValueError(f"{name}: expected a list of clips, got one string; write [{str(paths)!r}]")
        if not paths:
            raise ValueError(f"{name}: expected at least one clip, got none")
        for given in paths:
            path, span = split_span(given)
            if span is not None and not Path(path).expanduser().is_file():
                raise ValueError(f"{name}: there is no file {path} to take a span of; check the path")
            try:
                found = find_videos([path])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            made += [(Path(os.path.abspath(video)), span, label) for video in found]
            as_given += [(path if video == Path(path).expanduser() else video, span) for video in found]
    check_different(as_given)
    _check_contents((path, span) for path, span, _ in made)
    shared = os.path.commonpath([path.parent for path, _, _ in made])
    keyed = (
        Clip(with_span(path.relative_to(shared).as_posix(), span), path, label, span) for path, span, label in made
    )
    return ClipList("taught", tuple(keyed), tuple(clips))


def _check_contents(clips: Iterable[tuple[Path, Span | None]]) -> None:
    """Raise ValueError for a video that is given twice under two names, as copies: held out, it would be recognised by
    its copy."""
    seen: dict[str, list[tuple[Path, Span | None]]] = {}
    for path, span in clips:
        others = seen.setdefault(identity(path), [])
        for other, own in others:
            if overlap(own, span):
                first, second = with_span(other, own), with_span(path, span)
                raise ValueError(f"expected every clip once, but {first} and {second} are copies of the same video")
        others.append((path, span))


def source_of(clip: Clip) -> str:
    """The video that a clip was cut from: as its name shows it (`datasets.folder`), else its file, by its content."""
    name = clip.key if clip.span is None else split_span(clip.key)[0]
    shown = folders.source_of(name)
    return shown if shown != name else clip.known or identity(clip.path)


@dataclass(frozen=True)
class Kept:
    """The clips that a model was taught from, as features; their files are not needed."""

    clips: ClipList
    features: Float[Tensor, "C V T E"]
    data_config: DataConfig
    """How the frames were sampled and preprocessed."""
    background: str | None
    backbone: dict[str, str]
    """Its name, and the SHA-256 of its weights."""


def keep(folder: Path, kept: Kept) -> int:
    """Write the features of the taught clips into the folder of a model.

    Returns:
        What they take, in bytes.
    """
    with files.replacing(folder / FEATURES) as temporary:
        save_file({"features": kept.features.contiguous()}, temporary)
    rows = [
        {"key": clip.key, "label": clip.label, "span": clip.span, "identity": clip.known or identity(clip.path)}
        for clip in kept.clips.clips
    ]
    index = {
        "backbone": kept.backbone,
        "data": to_json(kept.data_config),
        "class_names": list(kept.clips.class_names),
        "background": kept.background,
        "clips": rows,
        "files_sha256": {FEATURES: files.sha256(folder / FEATURES)},
    }
    files.write_json(folder / INDEX, index)
    return (folder / FEATURES).stat().st_size


def read_kept(model: str | Path) -> Kept:
    """What `keep` wrote into the folder of a model.

    Raises:
        ValueError: no model, one without the features of its clips, or files that are damaged.
    """
    folder = Path(read_manifest(Path(model))["folder"]).parent
    if not (folder / INDEX).is_file():
        raise ValueError(
            f"{model} holds no features of the clips it was taught from ({INDEX}), so nothing can be added to it; "
            f"teach it again from all clips, without --no-keep-features"
        )
    index = files.read_json(folder / INDEX)
    try:
        features = read_tensors(folder, index, FEATURES)["features"]
        clips = tuple(
            Clip(
                row["key"], Path(row["key"]), row["label"], tuple(row["span"]) if row["span"] else None, row["identity"]
            )
            for row in index["clips"]
        )
        listed = ClipList("taught", clips, tuple(index["class_names"]))
        config = from_json(DataConfig, index["data"])
        kept = Kept(listed, features, config, index["background"], dict(index["backbone"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / INDEX} is not what teaching writes ({error!r}); teach the model again") from None
    if features.ndim != 4 or features.shape[:3] != (len(clips), config.num_views, config.num_frames):
        raise ValueError(
            f"{folder / FEATURES}: expected features of {len(clips)} clips in {config.num_frames} frames, got "
            f"{list(features.shape)}; teach the model again"
        )
    return kept


def join(kept: ClipList, new: ClipList) -> tuple[ClipList, list[int]]:
    """The clips of both lists, by class, those of `kept` first; its classes come first, too. And, for each of them, its
    position in `kept` followed by `new`.

    Raises:
        ValueError: a clip of `new` is among those of `kept`, or overlaps one.
    """
    names = (*kept.class_names, *(name for name in new.class_names if name not in kept.class_names))
    there: dict[str | None, list[Clip]] = {}
    for clip in kept.clips:
        there.setdefault(clip.known, []).append(clip)
    twice = [
        clip.key
        for clip in new.clips
        if any(overlap(clip.span, other.span) for other in there.get(clip.known or identity(clip.path), []))
    ]
    if twice:
        raise ValueError(f"expected new clips, but the model was taught from these already: {some(twice)}")
    used, moved = {clip.key for clip in kept.clips}, list(kept.clips)
    for clip in new.clips:
        key, number = clip.key, 2
        while key in used:
            key, number = f"{clip.key} ({number})", number + 1
        used.add(key)
        moved.append(replace(clip, key=key, label=names.index(new.class_names[clip.label])))
    order = sorted(range(len(moved)), key=lambda index: moved[index].label)
    return ClipList("taught", tuple(moved[index] for index in order), names), order


def background_last(clips: ClipList, background: str | None) -> tuple[ClipList, list[int]]:
    """The list with the background class as the last one, by class; and the position of each clip in `clips`.

    Raises:
        ValueError: there is no such class, or no other one.
    """
    if background is None:
        return clips, list(range(len(clips.clips)))
    names = clips.class_names
    if background not in names:
        raise ValueError(f"expected the background class to be one of {', '.join(names)}, got {background!r}")
    ordered = (*(name for name in names if name != background), background)
    moved = [replace(clip, label=ordered.index(names[clip.label])) for clip in clips.clips]
    order = sorted(range(len(moved)), key=lambda index: moved[index].label)
    return replace(clips, clips=tuple(moved[index] for index in order), class_names=ordered), order
