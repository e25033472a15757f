"""Teach a model new actions from a few of your own clips: encode them once, train on the frozen features, save.

The model is `seeing_in_flowing`, which trains from frame features. By cross-validation on the clips it is known how
well they are recognised and whether more of them would help; with three classes of three clips or more, a rejection
threshold, below which the answer is "none of these", is chosen as well. A background class, of clips of nothing in
particular, is learned as what is none of the others.

Letters: C clips, V views, T frames, E width of the joint space.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from actionprompt import checkpoint, features, files, methods
from actionprompt.apps.teach import examples, held_out
from actionprompt.apps.teach.examples import parse
from actionprompt.apps.teach.held_out import HeldOut, NoneOfThese, Point
from actionprompt.backbone import CLIP, find_device
from actionprompt.clips import ClipList, some
from actionprompt.config import DataConfig, Progress, TrainConfig, check_type, to_json
from actionprompt.features import CachedFeatures
from actionprompt.method import Method
from actionprompt.store import Rows
from actionprompt.training import Step, train
from actionprompt.weights import AUTO, load_clip, load_named
from actionprompt.world.drawn import tiny_warnings

__all__ = ["CONFIG", "DATA", "METHOD", "TRAIN", "HeldOut", "NoneOfThese", "Point", "Taught", "parse", "teach"]

METHOD = "seeing_in_flowing"
CONFIG = methods.get(METHOD).Config(text_form="late")
"""Late injection trains several times faster at full size (results/costs/seeing_in_flowing_text.json). How accurate it
is next to full prompts has no record with the present embedded CLIP."""
DATA = DataConfig(fit="letterbox")
"""Letterboxed, so that the whole frame is visible: a user's action may happen at its edge. With a backbone that
squashes whole frames they are squashed."""
TRAIN = TrainConfig(epochs=20, batch_size=32, lr=3e-3, weight_decay=0.01, warmup_epochs=5.0, label_smoothing=0.1)
"""With a handful of clips an epoch is one step, so the learning rate is thirty times that of the method's few-shot
recipe. With label smoothing the highest class probability separates known from unknown clips better. Chosen by hand on
clips of ActionWorld (five classes of five clips, embedded CLIP); no record was kept."""
MIN_CLIPS = 3
"""Clips needed per class for a rejection threshold: one is held out, and at least two are left to learn from."""
MIN_TOP1 = 50.0
"""Held-out top-1 accuracy, in percent, that is needed to choose a threshold; below it, scores are not informative."""


@dataclass(frozen=True)
class Taught:
    """The result of `teach`."""

    folder: Path
    """For `prediction.load`, or `actionprompt predict --model`."""
    num_clips: dict[str, int]
    """Clips per class name, those of the model that was added to as well."""
    background: str | None
    """The class that is answered with "none of these"."""
    held_out: HeldOut | None
    """None where no class has two clips; `warnings` then says so."""
    curve: tuple[Point, ...]
    """Held-out accuracy by the number of clips that was learned from."""
    advice: str | None
    """Whether more clips would help, in words; None without held-out clips."""
    none_of_these: NoneOfThese | None
    """None if no threshold could be chosen; `warnings` then says why."""
    features_bytes: int
    """Size of the features that are kept next to the model; 0 if they are not."""
    warnings: tuple[str, ...]
    """Notes for the user, one line each."""
    encode_s: float
    """Wall time of encoding all clips, in seconds."""
    train_s: float
    """Wall time of cross-validation and training, in seconds."""

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        held_out = self.held_out.as_json() if self.held_out is not None else None
        curve = [{**to_json(point), "top1": point.top1} for point in self.curve]
        return {**to_json(values), "held_out": held_out, "curve": curve}


def teach(
    clips: Mapping[str, Sequence[str | Path]],
    out: str | Path,
    *,
    backbone: str | CLIP | None = None,
    background: str | None = None,
    add_to: str | Path | None = None,
    keep_features: bool = True,
    data_config: DataConfig | None = None,
    config: TrainConfig = TRAIN,
    device: torch.device | str | None = None,
    on_encode: Progress | None = None,
    on_step: Progress | None = None,
) -> Taught:
    """Learn the classes of `clips` (by class name: files, folders, globs, and spans of a file such as `a.mp4@12.5-15`)
    and write the model to `out`.

    The folder holds the whole model, with its rejection threshold, or none: called again after it was killed, this
    starts again. `backbone` is a CLIP or a name for `weights.load_clip`, by default `weights.AUTO`. `background` is the
    class that is answered with "none of these". With `add_to`, the folder of a taught model, its clips are learned from
    as well, from the features that are kept next to it (`keep_features`): the result is that of all clips at once.
    `on_encode` is called with (clips encoded, clips in total), `on_step` with (steps done, steps in total), over all
    folds and the final training.

    Raises:
        ValueError: fewer than two classes, a class without clips, a clip that does not exist, is given twice or cannot
            be read, a folder that already contains a model, another process that writes to it, or a model to add to
            that has no features, or another backbone or other data options than are given, no such device, or
            arguments of another type.
    """
    check_type(config, TrainConfig, "config")
    if data_config is not None:
        check_type(data_config, DataConfig, "data_config")
    with files.one_writer(out):
        return _teach(
            clips, Path(out), backbone=backbone, background=background, add_to=add_to, keep_features=keep_features,
            data_config=data_config, config=config, device=device, on_encode=on_encode, on_step=on_step,
        )  # fmt: skip


def _teach(
    clips: Mapping[str, Sequence[str | Path]], out: Path, *, backbone: str | CLIP | None, background: str | None,
    add_to: str | Path | None, keep_features: bool, data_config: DataConfig | None, config: TrainConfig,
    device: torch.device | str | None, on_encode: Progress | None, on_step: Progress | None,
) -> Taught:  # fmt: skip
    here = find_device(device)
    if (out / "model" / checkpoint.MANIFEST).exists():
        raise ValueError(f"{out} already contains a model; choose another folder, or delete it to teach again")
    new = examples.as_list(clips)
    kept = examples.read_kept(add_to) if add_to is not None else None
    clip_list, order = examples.join(kept.clips, new) if kept is not None else (new, list(range(len(new.clips))))
    if kept is not None and kept.background is not None:
        if background not in (None, kept.background):
            raise ValueError(
                f"expected the background of the model that is added to, {kept.background!r}, got {background!r}; a "
                f"model has one"
            )
        background = kept.background
    clip_list, moved = examples.background_last(clip_list, background)
    order = [order[index] for index in moved]
    if len(clip_list.class_names) < 2:
        raise ValueError(f"expected at least two classes to tell apart, got {len(clips)}; add another NAME=clips")
    clip = _backbone(backbone, kept)
    data_config = _data_config(data_config, kept, clip)
    method = methods.build(METHOD, clip, clip_list.class_names, config=CONFIG, seed=config.seed)
    if kept is not None:
        _check_same(method, kept, add_to)
    began = time.perf_counter()
    encoded = features.cached(
        method, new.clips, data_config, device=here, num_workers=config.num_workers,
        mixed_precision=config.mixed_precision, progress=on_encode,
    )  # fmt: skip
    if encoded.broken:
        lines = [f"{item.key} ({item.reason})" for item in encoded.broken]
        raise ValueError(f"{len(lines)} of {len(new.clips)} clips cannot be read: {some(lines)}; leave them out")
    stored = encoded.features.read()
    stored = (torch.cat([kept.features, stored]) if kept is not None else stored)[order]
    encode_s, began = time.perf_counter() - began, time.perf_counter()

    learner = _Learner(method, clip_list, stored, config, data_config, device, on_step)
    place = len(clip_list.class_names) - 1 if background is not None else None
    found = _cross_validate(learner, clip_list, stored, data_config, place)
    numbers = _count(clip_list)
    warnings = [*tiny_warnings(method, [clip.path for clip in new.clips]), *found.warnings]
    facts = {
        "held_out_top1": found.held_out.top1 if found.held_out is not None else None,
        "cross_validation": found.held_out.as_json() if found.held_out is not None else None,
        "learning_curve": found.curve,
        "none_of_these": found.none_of_these,
        "background": background,
        "warnings": warnings,
    }
    size = 0
    if keep_features:
        facts_of = {"name": clip.public_name, "sha256": method.clip_sha256}
        size = examples.keep(out, examples.Kept(clip_list, stored, data_config, background, facts_of))
    learner.learn(list(range(len(clip_list.clips))), out, **facts)
    return Taught(
        folder=out,
        num_clips=numbers,
        background=background,
        held_out=found.held_out,
        curve=found.curve,
        advice=found.advice,
        none_of_these=found.none_of_these,
        features_bytes=size,
        warnings=tuple(warnings),
        encode_s=encode_s,
        train_s=time.perf_counter() - began,
    )


def _backbone(backbone: str | CLIP | None, kept: examples.Kept | None) -> CLIP:
    """That of the model that is added to, unless another place for it is given."""
    if isinstance(backbone, CLIP):
        return backbone
    if backbone is None and kept is not None:
        return load_named(kept.backbone["name"], kept.backbone["sha256"], model="the model to add to")
    return load_clip(backbone or AUTO)


def _data_config(config: DataConfig | None, kept: examples.Kept | None, clip: CLIP) -> DataConfig:
    usual = DATA if clip.pixels.fit == "crop" else replace(DATA, fit="own")
    config = (config or (kept.data_config if kept is not None else usual)).resolved(clip.pixels)
    if config.num_views != 1 or config.test_frames is not None or config.random_groups:
        raise ValueError(
            f"teaching sees one view of a clip: expected num_clips=1, num_crops=1, test_frames=None and "
            f"random_groups=False, got {config.num_views} views, test_frames={config.test_frames} and random_groups="
            f"{config.random_groups}"
        )
    if kept is not None and config != kept.data_config:
        raise ValueError("expected the data options of the model that is added to: leave data_config out")
    return config


def _check_same(method: Method, kept: examples.Kept, add_to: Any) -> None:
    if method.clip_sha256 != kept.backbone["sha256"]:
        raise ValueError(
            f"{add_to} was taught on the backbone {kept.backbone['name']!r} with weights "
            f"{kept.backbone['sha256'][:12]}, and this one is {method.clip.public_name!r} with "
            f"{method.clip_sha256[:12]}; leave --backbone out, or give the same one"
        )
    if kept.features.shape[-1] != method.clip.embed_dim:
        raise ValueError(f"{add_to}: expected features of width {method.clip.embed_dim}, got {kept.features.shape[-1]}")


def _count(clips: ClipList) -> dict[str, int]:
    labels = [clip.label for clip in clips.clips]
    return {name: labels.count(label) for label, name in enumerate(clips.class_names)}


class _Learner:
    """Trains models of the same kind on parts of the clips, all from the same features."""

    def __init__(
        self, method: Method, clips: ClipList, stored: Float[Tensor, "C V T E"], config: TrainConfig,
        data_config: DataConfig, device: torch.device | str | None, on_step: Progress | None,
    ) -> None:  # fmt: skip
        self.method, self.clips, self.stored, self.device, self.on_step = method, clips, stored, device, on_step
        self.data_config, self.done, self.num_steps = data_config, 0, 0
        self.config = config

    def plan(self, sizes: Sequence[int]) -> None:
        """Say how many clips each training will have, for the progress."""
        self.num_steps = self.config.epochs * sum(-(-size // self.config.batch_size) for size in sizes)

    def learn(self, chosen: list[int], folder: Path, **facts: Any) -> Method:
        """Train on the clips at these positions."""
        part = replace(self.clips, clips=tuple(self.clips.clips[index] for index in chosen))
        learner = methods.build(METHOD, self.method.clip, part.class_names, config=CONFIG, seed=self.config.seed)
        learner.clip_sha256 = self.method.clip_sha256  # the same backbone, so it is hashed only once
        train(
            learner, part, folder, config=replace(self.config, save_every_steps=self.num_steps + 1),
            data_config=self.data_config, device=self.device, on_step=self._step, facts=facts,
            stored=CachedFeatures(Rows.of(self.stored[chosen]), torch.arange(len(chosen)), (), 0),
        )  # fmt: skip
        return learner

    def try_out(self, chosen: list[int]) -> Method:
        """Train on the clips at these positions; nothing of it stays on the disk."""
        folder = Path(tempfile.mkdtemp(prefix="actionprompt-"))
        try:
            return self.learn(chosen, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _step(self, _: Step) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(self.done, self.num_steps)


@dataclass(frozen=True)
class _Found:
    """What the cross-validation found."""

    held_out: HeldOut | None
    curve: tuple[Point, ...]
    advice: str | None
    none_of_these: NoneOfThese | None
    warnings: tuple[str, ...]


def _cross_validate(
    learner: _Learner, clips: ClipList, stored: Float[Tensor, "C V T E"], config: DataConfig, background: int | None
) -> _Found:
    numbers = _count(clips)
    warnings = [
        f"{name}: {number} {'clip is' if number == 1 else 'clips are'} too few; give {MIN_CLIPS} or more, better 5"
        for name, number in numbers.items()
        if number < MIN_CLIPS
    ]
    enough = len(numbers) >= 3 and not warnings
    sources = [examples.source_of(clip) for clip in clips.clips]
    plan = held_out.plan(clips, held_out.folds_of(clips, sources))
    learner.plan([*(len(others) for folds in plan for others, _ in folds), len(clips.clips)])
    no_threshold = 'no rejection threshold ("none of these"): '
    needed = f"it needs three classes with {MIN_CLIPS} clips or more each"
    if not plan:
        warnings.append("no class has two clips, so none can be held out: how well they are recognised is not known")
        return _Found(None, (), None, None, (*warnings, no_threshold + needed))
    alone = [clips.class_names[label] for label in sorted(held_out.of_one_source(clips, sources))]
    alone = [name for name in alone if numbers[name] > 1]
    if alone:
        warnings.append(
            f"{some(alone, 5)}: all clips are of one source video, so clips of it are held out while others of it are "
            f"learned from, and the held-out figures are optimistic; give clips of two videos or more"
        )
    scores, outcome, curve = held_out.cross_validate(clips, sources, plan, learner.try_out, stored, config, background)
    none_of_these = None
    if enough and outcome.top1 >= MIN_TOP1:
        place = -1 if background is None else background
        right = (scores.label == scores.answer) & (scores.label != place)
        none_of_these = held_out.choose(scores.known, scores.unknown, right)
    if none_of_these is None:
        if not enough:
            why = needed
        elif outcome.top1 < MIN_TOP1:
            why = f"only {outcome.top1:.0f} % of the held-out clips are recognised"
        else:
            why = "held-out clips score no higher than clips of other classes"
        warnings.append(no_threshold + why + ("; give more clips, or a larger backbone" if enough else ""))
    advice = held_out.advice(curve, len(clips.clips) / len(numbers))
    return _Found(outcome, curve, advice, none_of_these, tuple(warnings))
