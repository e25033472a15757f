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

from actionprompt import checkpoint, features, methods, records
from actionprompt.backbone import CLIP, TINY, load_clip
from actionprompt.config import DataConfig, TrainConfig, to_json
from actionprompt.datasets._base import Clip, ClipList, some
from actionprompt.evaluate import pool_views
from actionprompt.methods._base import Method
from actionprompt.predict import default_device
from actionprompt.train import Step, fit

METHOD = "seeing_in_flowing"
DATA = DataConfig(fit="letterbox")
"""The whole frame is seen: an action of one's own may happen at its edge."""
TRAIN = TrainConfig(epochs=50, batch_size=32, lr=1e-4, weight_decay=0.01, warmup_epochs=5.0, num_workers=2)
"""The method's few-shot recipe."""
MIN_CLIPS = 3
"""Fewer clips of a class are too few: one is held out, and two others must say what the class is."""
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
    held_out_top1: float
    """Percent of the held-out clips that were recognised rightly, without the threshold."""
    num_clips: int
    """Held-out clips."""


@dataclass(frozen=True)
class Taught:
    """What was learned."""

    folder: Path
    """Give it to `predict.load`, or to `actionprompt predict --model`."""
    num_clips: dict[str, int]
    """By class name."""
    none_of_these: NoneOfThese | None
    """None where there were too few clips to choose it; `warnings` then says so."""
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
    cpu: bool = False,
    on_encode: Callable[[int, int], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
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
    method = methods.build(METHOD, clip, clip_list.class_names, seed=config.seed)
    began = time.perf_counter()
    stored = features.cached(
        method.to("cpu" if cpu else default_device()), clip_list.clips, data_config,
        device="cpu" if cpu else default_device(), num_workers=config.num_workers,
        autocast=torch.bfloat16 if config.mixed_precision == "bf16" else None, progress=on_encode,
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
    rounds = min(MAX_ROUNDS, max(num_clips.values())) if enough else 0
    parts = [[i for i, r in enumerate(rounds_of(clip_list, rounds)) if r != out_now] for out_now in range(rounds)]
    num_steps = sum(config.epochs * -(-len(part) // config.batch_size) for part in [*parts, clip_list.clips])
    done = 0

    def step(_: Step) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, num_steps)

    def train(method: Method, clips: ClipList, folder: Path) -> None:
        method.clip_sha256 = sha256
        without_checkpoints = replace(config, save_every_steps=num_steps + 1)
        fit(method, clips, folder, config=without_checkpoints, data_config=data_config, cpu=cpu, on_step=step)

    sha256 = method.clip_sha256
    scores: list[tuple[Tensor, Tensor, Tensor]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            learner = methods.build(METHOD, clip, clip_list.class_names, seed=config.seed)
            train(learner, replace(clip_list, clips=tuple(clip_list.clips[i] for i in part)), Path(folder, str(number)))
            held_out = sorted(set(range(len(clip_list.clips))) - set(part))
            labels = torch.tensor([clip_list.clips[i].label for i in held_out])
            scores.append(held_out_scores(learner, stored.features[held_out], labels, data_config))
    train(method, clip_list, Path(out))
    none_of_these = choose(*(torch.cat(column) for column in zip(*scores))) if enough else None
    if none_of_these is None:
        warnings.append(
            "the held-out clips score no higher than clips of no class would: there is no threshold for none of these"
            if enough
            else f"no threshold for none of these: choosing it takes three classes of {MIN_CLIPS} clips or more"
        )
    manifest = checkpoint.read_manifest(Path(out))
    path = Path(manifest.pop("folder")) / checkpoint.MANIFEST
    records.write(path, {**manifest, "none_of_these": to_json(none_of_these), "warnings": warnings})
    return Taught(Path(out), num_clips, none_of_these, tuple(warnings), encoded - began, time.perf_counter() - encoded)


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
        rounds.append(seen[clip.label] % max(1, num_rounds))
        seen[clip.label] += 1
    return rounds


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
            best = NoneOfThese(below, kept, rejected, 100 * float(right.float().mean()), len(known))
    return best
