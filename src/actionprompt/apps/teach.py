"""Teach a model new actions from a few of your own clips: encode them once, train on the frozen features, save.

The model is `seeing_in_flowing`, which trains from the cache of frame features. If there are enough clips, a rejection
threshold, below which the answer is "none of these", is chosen by cross-validation on them.

Letters: C clips, V views, K classes.
"""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from actionprompt import checkpoint, features, files, methods
from actionprompt.backbone import CLIP, default_device
from actionprompt.clips import Clip, ClipList, check_different, some
from actionprompt.config import DataConfig, Progress, TrainConfig
from actionprompt.evaluation import pool_views
from actionprompt.method import Method
from actionprompt.training import Step, train
from actionprompt.weights import TINY, load_clip

METHOD = "seeing_in_flowing"
CONFIG = methods.get(METHOD).Config(text_form="late")
"""Late injection trains several times faster at full size (results/costs/seeing_in_flowing_text.json) and, with all
classes of ActionWorld, is hardly worse than full prompts (`late` in results/actionworld.md). Six classes of five clips
each were tried once with both forms; no record was kept."""
DATA = DataConfig(fit="letterbox")
"""Letterboxed, so that the whole frame is visible: a user's action may happen at its edge."""
TRAIN = TrainConfig(epochs=50, batch_size=32, lr=1e-3, weight_decay=0.01, warmup_epochs=5.0, label_smoothing=0.1)
"""With a handful of clips an epoch is one step, so the learning rate is ten times that of the method's few-shot recipe.
With label smoothing the highest class probability separates known from unknown clips better. Chosen by hand on training
clips of ActionWorld (six classes, five clips each, embedded CLIP), with full prompts; no record was kept."""
MIN_CLIPS = 3
"""Clips needed per class for cross-validation: one is held out, and at least two are left to learn from."""
MIN_TOP1 = 50.0
"""Held-out top-1 accuracy, in percent, that is needed to choose a threshold; below it, scores are not informative."""
MAX_FOLDS = 5
"""Largest number of folds; with up to five clips per class each fold holds out at most one clip of every class."""


@dataclass(frozen=True)
class NoneOfThese:
    """A rejection threshold for "none of these", chosen on held-out clips."""

    below: float
    """The rejection threshold: a clip whose highest class probability is below it is "none of these"."""
    kept: float
    """Fraction of the correctly recognised held-out clips that score at or above the threshold."""
    rejected: float
    """Fraction of all held-out clips that score below the threshold when their own class is not a candidate."""
    num_clips: int
    """Correctly recognised held-out clips, of which `kept` is a fraction."""


@dataclass(frozen=True)
class Taught:
    """The result of `teach`."""

    folder: Path
    """For `prediction.load`, or `actionprompt predict --model`."""
    num_clips: dict[str, int]
    """Clips per class name."""
    held_out_top1: float | None
    """Cross-validated top-1 accuracy in percent; None with too few clips for cross-validation."""
    none_of_these: NoneOfThese | None
    """None if no threshold could be chosen; `warnings` then says why."""
    warnings: tuple[str, ...]
    """Notes for the user, one line each."""
    encode_s: float
    """Wall time of encoding all clips, in seconds."""
    train_s: float
    """Wall time of cross-validation and training, in seconds."""


def parse(arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NAME=clip1.mp4,clip2.mp4 ...` -> the clips of every class; a name may be repeated with more clips.

    Raises:
        ValueError: an argument without `=`, name or clips; the message quotes it.
    """
    clips: dict[str, tuple[str, ...]] = {}
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        name, paths = name.strip(), tuple(path.strip() for path in rest.split(",") if path.strip())
        if not equals or not name or not paths:
            raise ValueError(f"expected NAME=clip1.mp4,clip2.mp4,... with at least one clip, got {argument!r}")
        clips[name] = clips.get(name, ()) + paths
    return clips


def teach(
    clips: Mapping[str, Sequence[str | Path]],
    out: str | Path,
    *,
    backbone: str | CLIP = TINY,
    data_config: DataConfig = DATA,
    config: TrainConfig = TRAIN,
    device: torch.device | str | None = None,
    on_encode: Progress | None = None,
    on_step: Progress | None = None,
) -> Taught:
    """Learn the classes of `clips` (paths by class name) and write the model to `out`.

    The folder holds the whole model, with its rejection threshold, or none: called again after it was killed, this
    starts again. `backbone` is a CLIP or a name for `weights.load_clip`. `on_encode` is called with (clips encoded,
    clips in total), `on_step` with (steps done, steps in total), over all folds and the final training.

    Raises:
        ValueError: fewer than two classes, a class without clips, a clip that does not exist, is given twice or cannot
            be read, a folder that already contains a model, or another process that writes to it.
    """
    with files.one_writer(out):
        return _teach(
            clips, Path(out), backbone=backbone, data_config=data_config, config=config, device=device,
            on_encode=on_encode, on_step=on_step,
        )  # fmt: skip


def _teach(
    clips: Mapping[str, Sequence[str | Path]], out: Path, *, backbone: str | CLIP, data_config: DataConfig,
    config: TrainConfig, device: torch.device | str | None, on_encode: Progress | None, on_step: Progress | None,
) -> Taught:  # fmt: skip
    if (out / "model" / checkpoint.MANIFEST).exists():
        raise ValueError(f"{out} already contains a model; choose another folder, or delete it to teach again")
    clip_list = as_list(clips)
    clip = load_clip(backbone) if isinstance(backbone, str) else backbone
    method = methods.build(METHOD, clip, clip_list.class_names, config=CONFIG, seed=config.seed)
    began = time.perf_counter()
    stored = features.cached(
        method, clip_list.clips, data_config, device=device or default_device(), num_workers=config.num_workers,
        mixed_precision=config.mixed_precision, progress=on_encode,
    )  # fmt: skip
    if stored.broken:
        lines = [f"{item.key} ({item.reason})" for item in stored.broken]
        raise ValueError(f"{len(lines)} of {len(clip_list.clips)} clips cannot be read: {some(lines)}; leave them out")
    encoded = time.perf_counter()

    num_clips = {name: len(paths) for name, paths in clips.items()}
    warnings = [
        f"{name}: {number} {'clip is' if number == 1 else 'clips are'} too few; give {MIN_CLIPS} or more, better 5"
        for name, number in num_clips.items()
        if number < MIN_CLIPS
    ]
    enough = len(clips) >= 3 and not warnings
    folds = folds_of(clip_list, min(MAX_FOLDS, max(num_clips.values()))) if enough else []
    sizes = [len(folds) - folds.count(fold) for fold in set(folds)] + [len(clip_list.clips)]
    num_steps = config.epochs * sum(-(-size // config.batch_size) for size in sizes)
    done = 0

    def step(_: Step) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, num_steps)

    def learn(part: ClipList, folder: Path, **facts: Any) -> Method:
        learner = methods.build(METHOD, clip, part.class_names, config=CONFIG, seed=config.seed)
        learner.clip_sha256 = method.clip_sha256  # the same backbone, so it is hashed only once
        no_checkpoints = replace(config, save_every_steps=num_steps + 1)
        train(
            learner, part, folder, config=no_checkpoints, data_config=data_config, device=device, on_step=step,
            facts=facts,
        )  # fmt: skip
        return learner

    top1, none_of_these = None, None
    if enough:
        known, unknown, right = hold_out(clip_list, folds, learn, stored.features, data_config)
        top1 = 100 * float(right.float().mean())
        none_of_these = choose(known, unknown, right) if top1 >= MIN_TOP1 else None
    if none_of_these is None:
        if top1 is None:
            why = f"it needs three classes with {MIN_CLIPS} clips or more each"
        elif top1 < MIN_TOP1:
            why = f"only {top1:.0f} % of the held-out clips are recognised; give more clips, or a larger backbone"
        else:
            why = "held-out clips score no higher than clips of other classes; give more clips, or a larger backbone"
        warnings.append(f'no rejection threshold ("none of these"): {why}')
    learn(clip_list, out, held_out_top1=top1, none_of_these=none_of_these, warnings=warnings)
    return Taught(
        folder=out,
        num_clips=num_clips,
        held_out_top1=top1,
        none_of_these=none_of_these,
        warnings=tuple(warnings),
        encode_s=encoded - began,
        train_s=time.perf_counter() - encoded,
    )


def as_list(clips: Mapping[str, Sequence[str | Path]]) -> ClipList:
    """The clips as a `ClipList`; their labels follow the order of the classes. Keys are the paths below the folder that
    all clips share, since the model lists them and may be given away.

    Raises:
        ValueError: fewer than two classes, a class without clips, or a clip that does not exist or is given twice.
    """
    if len(clips) < 2:
        raise ValueError(f"expected at least two classes to tell apart, got {len(clips)}; add another NAME=clips")
    made = []
    for label, (name, paths) in enumerate(clips.items()):
        if isinstance(paths, str | Path):
            raise ValueError(f"{name}: expected a list of clips, got one string; write [{str(paths)!r}]")
        if not paths:
            raise ValueError(f"{name}: expected at least one clip, got none")
        for path in paths:
            if not Path(path).expanduser().exists():
                raise ValueError(f"{name}: there is no clip {path}; check the path")
            made.append((Path(os.path.abspath(Path(path).expanduser())), label))
    check_different(path for path, _ in made)
    shared = os.path.commonpath([path.parent for path, _ in made])
    return ClipList(
        "taught", tuple(Clip(path.relative_to(shared).as_posix(), path, label) for path, label in made), tuple(clips)
    )


def folds_of(clips: ClipList, num_folds: int) -> list[int]:
    """The fold of every clip, 0 to `num_folds - 1`: the clips of each class are assigned to the folds round-robin."""
    seen = [0] * len(clips.class_names)
    folds = []
    for clip in clips.clips:
        folds.append(seen[clip.label] % num_folds)
        seen[clip.label] += 1
    return folds


def hold_out(
    clips: ClipList,
    folds: Sequence[int],
    learn: Callable[[ClipList, Path], Method],
    stored: Float[Tensor, "C V ..."],
    config: DataConfig,
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"], Bool[Tensor, " C"]]:
    """Cross-validation: `held_out_scores` of every clip, in the order of the folds, by a model `learn` trained on the
    clips of the other folds. `stored` are the features of all clips."""
    scores = []
    with tempfile.TemporaryDirectory(prefix="actionprompt-") as folder:
        for fold in sorted(set(folds)):
            others = tuple(clip for clip, own in zip(clips.clips, folds, strict=True) if own != fold)
            learner = learn(replace(clips, clips=others), Path(folder, str(fold)))
            held_out = [index for index, own in enumerate(folds) if own == fold]
            labels = torch.tensor([clips.clips[index].label for index in held_out])
            scores.append(held_out_scores(learner, stored[held_out], labels, config))
    known, unknown, right = (torch.cat(column) for column in zip(*scores))
    return known, unknown, right


@torch.no_grad()
def held_out_scores(
    method: Method, held_out: Float[Tensor, "C V ..."], labels: Tensor, config: DataConfig
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"], Bool[Tensor, " C"]]:
    """For every held-out clip: its highest class probability with all classes as candidates; the same without its own
    class, so that it shows none of the candidates; and whether it is recognised correctly among all classes."""
    method.eval()
    names, device = method.class_names, next(method.parameters()).device
    flat = held_out.to(device).flatten(0, 1)

    def probabilities() -> Tensor:
        return pool_views(method.head(flat).unflatten(0, held_out.shape[:2]), config.pooling).cpu()

    known, answer = probabilities().max(1)
    unknown = torch.empty_like(known)
    for label in labels.unique().tolist():
        method.set_classes([name for index, name in enumerate(names) if index != label])
        unknown[labels == label] = probabilities().max(1).values[labels == label]
    method.set_classes(names)
    return known, unknown, answer == labels


def choose(known: Float[Tensor, " C"], unknown: Float[Tensor, " C"], right: Bool[Tensor, " C"]) -> NoneOfThese | None:
    """The rejection threshold that maximises `kept + rejected` (Youden's index) on the result of `held_out_scores`; in
    a tie, the smallest. None if no threshold is better than chance."""
    sure = known[right]
    if not len(sure):
        return None
    scores = torch.cat([sure, unknown]).double().unique()
    best: NoneOfThese | None = None
    for below in ((scores[1:] + scores[:-1]) / 2).tolist():
        kept, rejected = float((sure >= below).float().mean()), float((unknown < below).float().mean())
        if kept + rejected > (best.kept + best.rejected if best else 1.0):
            best = NoneOfThese(below, kept, rejected, len(sure))
    return best
