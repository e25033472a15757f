"""Teach a model new actions from a few clips of one's own: encode them once, train on the frozen features, save.

The model is `seeing_in_flowing`, which trains from the cache of frame features. Where there are enough clips, some are
held out in turn to choose a score below which the answer is "none of these".

Letters: C clips, V views, K classes.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from actionprompt import checkpoint, features, methods
from actionprompt.backbone import CLIP, default_device
from actionprompt.clips import Clip, ClipList, some
from actionprompt.config import DataConfig, Progress, TrainConfig
from actionprompt.evaluation import pool_views
from actionprompt.method import Method
from actionprompt.training import Step, train
from actionprompt.weights import TINY, load_clip

METHOD = "seeing_in_flowing"
CONFIG = methods.get(METHOD).Config(text_form="late")
"""Late injection trains several times faster at full size (results/costs/seeing_in_flowing_text.json), and with all
classes of ActionWorld it is hardly worse than full prompts (`late` in results/actionworld.md). Six classes of five
clips each were tried once with either form; no record was kept."""
DATA = DataConfig(fit="letterbox")
"""The whole frame is seen: an action of one's own may happen at its edge."""
TRAIN = TrainConfig(epochs=50, batch_size=32, lr=1e-3, weight_decay=0.01, warmup_epochs=5.0, label_smoothing=0.1)
"""For a handful of clips an epoch is one step: the rate is ten times that of the method's few-shot recipe. With smooth
labels the best probability tells known from unknown clips better. Chosen by hand on training clips of ActionWorld (six
classes, five clips each, embedded CLIP), with full prompts; no record was kept."""
MIN_CLIPS = 3
"""Fewer clips of a class are too few: one is held out, and two others must say what the class is."""
MIN_TOP1 = 50.0
"""Percent of the held-out clips that must be recognised; below, scores say too little to choose a threshold by."""
MAX_ROUNDS = 5
"""Rounds of holding out; up to five clips per class this is leave one out of every class."""


@dataclass(frozen=True)
class NoneOfThese:
    """The score below which a clip shows none of the classes, chosen on held-out clips."""

    below: float
    """Probability of the best class under which the answer is none of them."""
    kept: float
    """Part of the held-out clips, among those recognised rightly, that score above it."""
    rejected: float
    """Part of the held-out clips that score below it when the name of their own class is struck off the list."""
    num_clips: int
    """Held-out clips that were recognised rightly: it was chosen on these."""


@dataclass(frozen=True)
class Taught:
    """What was learned."""

    folder: Path
    """Give it to `predict.load`, or to `actionprompt predict --model`."""
    num_clips: dict[str, int]
    """By class name."""
    held_out_top1: float | None
    """Percent of clips recognised rightly while they were held out; None where there were too few to hold any out."""
    none_of_these: NoneOfThese | None
    """None where it could not be chosen; `warnings` then says why."""
    warnings: tuple[str, ...]
    """What the user should know, a line each."""
    encode_s: float
    train_s: float
    """Wall time of the encoding pass, and of all trainings."""


def parse(arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NAME=clip1.mp4,clip2.mp4 ...` -> the clips of every class; the same name may come again with more clips.

    Raises:
        ValueError: no `=`, no name, or no clips, with the argument as it was given.
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

    `backbone` as in `backbone.load_clip`. The callbacks hear (done, total): clips encoded, and steps of all trainings.

    Raises:
        ValueError: fewer than two classes, a clip that is not there or given twice, clips that cannot be read, or a
            folder that holds a model already.
    """
    if (Path(out) / "model" / checkpoint.MANIFEST).exists():
        raise ValueError(f"{out} holds a model already; choose another folder, or remove it to teach it anew")
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
    rounds = rounds_of(clip_list, min(MAX_ROUNDS, max(num_clips.values()))) if enough else []
    sizes = [len(rounds) - rounds.count(number) for number in set(rounds)] + [len(clip_list.clips)]
    num_steps = config.epochs * sum(-(-size // config.batch_size) for size in sizes)
    done = 0

    def step(_: Step) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, num_steps)

    def learn(part: ClipList, folder: Path) -> Method:
        learner = methods.build(METHOD, clip, part.class_names, config=CONFIG, seed=config.seed)
        learner.clip_sha256 = method.clip_sha256  # the same backbone: hash it once
        no_checkpoints = replace(config, save_every_steps=num_steps + 1)
        train(learner, part, folder, config=no_checkpoints, data_config=data_config, device=device, on_step=step)
        return learner

    top1, none_of_these = None, None
    if enough:
        known, unknown, right = hold_out(clip_list, rounds, learn, stored.features, data_config)
        top1 = 100 * float(right.float().mean())
        none_of_these = choose(known, unknown, right) if top1 >= MIN_TOP1 else None
    if none_of_these is None:
        if top1 is None:
            why = f"choosing it takes three classes of {MIN_CLIPS} clips or more"
        elif top1 < MIN_TOP1:
            why = f"only {top1:.0f} % of the held-out clips are recognised; give more clips, or a larger backbone"
        else:
            why = "held-out clips score no higher than clips of other classes; give more clips, or a larger backbone"
        warnings.append(f"no threshold for none of these: {why}")
    learn(clip_list, Path(out))
    checkpoint.update_manifest(Path(out), held_out_top1=top1, none_of_these=none_of_these, warnings=warnings)
    return Taught(
        folder=Path(out),
        num_clips=num_clips,
        held_out_top1=top1,
        none_of_these=none_of_these,
        warnings=tuple(warnings),
        encode_s=encoded - began,
        train_s=time.perf_counter() - encoded,
    )


def as_list(clips: Mapping[str, Sequence[str | Path]]) -> ClipList:
    """The clips as a list with labels; their keys are their paths."""
    if len(clips) < 2:
        raise ValueError(f"expected at least two classes to tell apart, got {len(clips)}; add another NAME=clips")
    made = []
    for label, (name, paths) in enumerate(clips.items()):
        if not paths:
            raise ValueError(f"{name}: expected at least one clip, got none")
        for path in paths:
            if not Path(path).expanduser().exists():
                raise ValueError(f"{name}: there is no clip {path}; check the path")
            made.append(Clip(Path(path).as_posix(), Path(path).expanduser(), label))
    return ClipList("taught", tuple(made), tuple(clips))


def rounds_of(clips: ClipList, num_rounds: int) -> list[int]:
    """For each clip the round that holds it out: the clips of every class are dealt out in turn."""
    seen = [0] * len(clips.class_names)
    rounds = []
    for clip in clips.clips:
        rounds.append(seen[clip.label] % num_rounds)
        seen[clip.label] += 1
    return rounds


def hold_out(
    clips: ClipList,
    rounds: Sequence[int],
    learn: Callable[[ClipList, Path], Method],
    stored: Float[Tensor, "C V ..."],
    config: DataConfig,
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"], Bool[Tensor, " C"]]:
    """`held_out_scores` of every clip by a model that learned from the clips of the other rounds; by round."""
    scores = []
    with tempfile.TemporaryDirectory(prefix="actionprompt-") as folder:
        for number in sorted(set(rounds)):
            others = tuple(clip for clip, own in zip(clips.clips, rounds, strict=True) if own != number)
            learner = learn(replace(clips, clips=others), Path(folder, str(number)))
            held_out = [index for index, own in enumerate(rounds) if own == number]
            labels = torch.tensor([clips.clips[index].label for index in held_out])
            scores.append(held_out_scores(learner, stored[held_out], labels, config))
    known, unknown, right = (torch.cat(column) for column in zip(*scores))
    return known, unknown, right


@torch.no_grad()
def held_out_scores(
    method: Method, held_out: Float[Tensor, "C V ..."], labels: Tensor, config: DataConfig
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"], Bool[Tensor, " C"]]:
    """Best probability of every held-out clip under all class names; the same with the name of its own class struck
    off, so that it shows none of the others; and whether all names gave the right one."""
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
    """The threshold with the largest sum of kept and rejected parts (Youden's index), from the scores of
    `held_out_scores`; the smallest of equals. None if no threshold does better than chance."""
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
