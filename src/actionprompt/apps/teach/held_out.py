"""What taught clips say of the model when they are held out: accuracy, rejection threshold and learning curve.

Letters: C clips, V views, K classes, P clips of known classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from actionprompt.clips import ClipList
from actionprompt.config import DataConfig
from actionprompt.evaluation import pool_views
from actionprompt.method import Method
from actionprompt.metrics import wilson

MAX_FOLDS = 3
"""Largest number of folds: each is a training, and learns from two thirds of the clips."""
RISE, RISE_CLIPS = 3.0, 2
"""A learning curve that rises by less than this, in percent and in clips, is flat."""


@dataclass(frozen=True)
class HeldOut:
    """How the clips were recognised by models that had not learned from them."""

    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    num_sources: int
    """Source videos of the clips that were held out."""

    @property
    def num_clips(self) -> int:
        """Clips that were held out, each once."""
        return sum(map(sum, self.confusion))

    @property
    def num_right(self) -> int:
        """Those of them that were recognised."""
        return sum(row[label] for label, row in enumerate(self.confusion))

    @property
    def top1(self) -> float:
        """Percent."""
        return 100 * self.num_right / self.num_clips

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `top1` (Wilson, 1927)."""
        return wilson(self.num_right, self.num_clips)

    @property
    def chance(self) -> float:
        """What guessing reaches, in percent: one class in K, or always the class with most clips."""
        return 100 * max(1 / len(self.class_names), max(map(sum, self.confusion)) / self.num_clips)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "num_clips": self.num_clips,
            "num_sources": self.num_sources,
            "top1": self.top1,
            "interval": list(self.interval),
            "chance": self.chance,
            "per_class": [
                {"name": name, "num_clips": sum(row), "num_right": row[label]}
                for label, (name, row) in enumerate(zip(self.class_names, self.confusion, strict=True))
            ],
            "confusion": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True)
class Point:
    """A point of the learning curve; every point is measured on the same held-out clips."""

    clips_per_class: float
    """Clips per class that the models learned from, in the mean over folds and classes."""
    num_right: int
    num_clips: int

    @property
    def top1(self) -> float:
        """Percent."""
        return 100 * self.num_right / self.num_clips


@dataclass(frozen=True)
class NoneOfThese:
    """A rejection threshold for "none of these", chosen on held-out clips."""

    below: float
    """The rejection threshold: a clip whose highest class probability is below it is "none of these"."""
    kept: float
    """Fraction of the correctly recognised held-out clips that score at or above the threshold."""
    rejected: float
    """Fraction of the `num_unknown` that score below the threshold."""
    num_clips: int
    """Correctly recognised held-out clips, of which `kept` is a fraction."""
    num_unknown: int
    """All held-out clips, each without its own class among the candidates; clips of the background as they are."""


@dataclass(frozen=True)
class Scores:
    """What models said of held-out clips."""

    known: Float[Tensor, " C"]
    """The highest probability of a class with all classes as candidates; 0 where the background is more probable."""
    unknown: Float[Tensor, " C"]
    """The same without the clip's own class, so that it shows none of the candidates."""
    label: Int[Tensor, " C"]
    answer: Int[Tensor, " C"]
    """The most probable class."""


def folds_of(clips: ClipList, sources: Sequence[str], most: int = MAX_FOLDS) -> list[int]:
    """The fold of every clip, from 0; `sources` names the video that each was cut from.

    The clips of one source, of whatever class, share a fold. The largest sources come first, each into the fold that
    has the fewest clips of its classes and leaves a clip of each of them to learn from; where there is no such fold, it
    is never held out (-1). The clips of a class of one source (`of_one_source`) count as a source each."""
    alone = of_one_source(clips, sources)
    groups: dict[tuple[str, int], list[int]] = {}
    for index, (clip, source) in enumerate(zip(clips.clips, sources, strict=True)):
        groups.setdefault((source, index if clip.label in alone else -1), []).append(index)
    labels = {group: [clips.clips[index].label for index in own] for group, own in groups.items()}
    number = [sum(label in own for own in labels.values()) for label in range(len(clips.class_names))]
    num_folds = min(most, max(number))
    clips_in = [[0] * len(number) for _ in range(num_folds)]
    groups_in = [[0] * len(number) for _ in range(num_folds)]
    folds = [-1] * len(clips.clips)
    for group, own in sorted(groups.items(), key=lambda item: -len(item[1])):
        free = [
            fold
            for fold in range(num_folds)
            if all(groups_in[fold][label] + 1 < number[label] for label in set(labels[group]))
        ]
        if not free:
            continue
        fold = min(free, key=lambda fold: sum(clips_in[fold][label] for label in set(labels[group])))
        for label in set(labels[group]):
            groups_in[fold][label] += 1
            clips_in[fold][label] += labels[group].count(label)
        for index in own:
            folds[index] = fold
    return folds


def of_one_source(clips: ClipList, sources: Sequence[str]) -> set[int]:
    """The labels of the classes whose clips are all of one source video. No source can be held out of them."""
    found: dict[int, set[str]] = {}
    for clip, source in zip(clips.clips, sources, strict=True):
        found.setdefault(clip.label, set()).add(source)
    return {label for label, own in found.items() if len(own) == 1}


def plan(clips: ClipList, folds: Sequence[int]) -> list[list[tuple[list[int], list[int]]]]:
    """The trainings of the cross-validation: for each point of the learning curve, and each fold, the positions of the
    clips to learn from and of those that are held out.

    The last point is that of all clips of the other folds; before it, where there are enough, is one of half of them
    per class, the first ones after the held-out fold in round-robin order. Each point takes as many trainings as there
    are folds, which is why there are no more."""
    held_out = sorted(set(folds) - {-1})
    whole = [
        ([i for i, own in enumerate(folds) if own != fold], [i for i, own in enumerate(folds) if own == fold])
        for fold in held_out
    ]
    half = min((max(_numbers(clips, others)) for others, _ in whole), default=0) // 2
    if not half:
        return [whole] if whole else []
    part = []
    for fold, (others, own) in zip(held_out, whole, strict=True):
        seen, chosen = [0] * len(clips.class_names), []
        for index in sorted(others, key=lambda i: ((folds[i] - fold) % len(held_out), i)):
            label = clips.clips[index].label
            if seen[label] < half:
                chosen.append(index)
            seen[label] += 1
        part.append((sorted(chosen), own))
    return [part, whole]


def _numbers(clips: ClipList, chosen: Sequence[int]) -> list[int]:
    """How many of the chosen clips each class has."""
    number = [0] * len(clips.class_names)
    for index in chosen:
        number[clips.clips[index].label] += 1
    return number


def cross_validate(
    clips: ClipList,
    sources: Sequence[str],
    plan: list[list[tuple[list[int], list[int]]]],
    learn: Callable[[list[int]], Method],
    stored: Float[Tensor, "C V T E"],
    config: DataConfig,
    background: int | None,
) -> tuple[Scores, HeldOut, tuple[Point, ...]]:
    """Train every model of the plan, and score the clips that it has not learned from. `stored` are the features of all
    clips, `sources` the videos that they were cut from."""
    labels = torch.tensor([clip.label for clip in clips.clips])
    points = []
    for folds in plan:
        scores = [
            held_out_scores(learn(others), stored[own], labels[own], config, background, with_unknown=folds is plan[-1])
            for others, own in folds
        ]
        label, answer = (torch.cat([getattr(part, name) for part in scores]) for name in ("label", "answer"))
        number = [sum(_numbers(clips, others)) / len(clips.class_names) for others, _ in folds]
        points.append(Point(sum(number) / len(number), int((label == answer).sum()), len(label)))
    known, unknown = (torch.cat([getattr(part, name) for part in scores]) for name in ("known", "unknown"))
    size = len(clips.class_names)
    confusion = torch.zeros(size, size, dtype=torch.long).index_put_(
        (label, answer), torch.ones_like(label), accumulate=True
    )
    num_sources = len({sources[index] for _, own in plan[-1] for index in own})
    held_out = HeldOut(clips.class_names, tuple(map(tuple, confusion.tolist())), num_sources)
    return Scores(known, unknown, label, answer), held_out, tuple(points)


@torch.no_grad()
def held_out_scores(
    method: Method, held_out: Float[Tensor, "C V T E"], labels: Int[Tensor, " C"], config: DataConfig,
    background: int | None = None, *, with_unknown: bool = True,
) -> Scores:  # fmt: skip
    """`Scores` of clips by a model that has not learned from them; `background` is the position of that class. Without
    `with_unknown`, or with two classes, where one alone would be left, `unknown` is 0."""
    method.eval()
    names, device = method.class_names, next(method.parameters()).device
    flat = held_out.to(device).flatten(0, 1)

    def probabilities() -> Tensor:
        return pool_views(method.head(flat).unflatten(0, held_out.shape[:2]), config.pooling).cpu()

    def highest(rows: Float[Tensor, "C K"], candidates: list[int]) -> Float[Tensor, " C"]:
        """Of the classes alone, and 0 where the background is more probable."""
        if background not in candidates:
            return rows.max(1).values
        place = candidates.index(background)
        classes = torch.cat([rows[:, :place], rows[:, place + 1 :], torch.zeros_like(rows[:, :1])], 1).max(1).values
        return classes * (classes >= rows[:, place])

    all_classes = list(range(len(names)))
    rows = probabilities()
    known, answer = highest(rows, all_classes), rows.argmax(1)
    unknown = known.clone() if with_unknown else torch.zeros_like(known)
    for label in labels.unique().tolist() if with_unknown and len(names) > 2 else ():
        if label != background:
            left = [index for index in all_classes if index != label]
            method.set_classes([names[index] for index in left])
            unknown[labels == label] = highest(probabilities(), left)[labels == label]
    method.set_classes(names)
    return Scores(known, unknown, labels, answer)


def choose(known: Float[Tensor, " C"], unknown: Float[Tensor, " P"], right: Bool[Tensor, " C"]) -> NoneOfThese | None:
    """The rejection threshold that maximises `kept + rejected` (Youden's index); in a tie, the smallest. None if no
    threshold is better than chance."""
    sure = known[right]
    if not len(sure):
        return None
    scores = torch.cat([sure, unknown]).double().unique()
    best: NoneOfThese | None = None
    for below in ((scores[1:] + scores[:-1]) / 2).tolist():
        kept, rejected = float((sure >= below).float().mean()), float((unknown < below).float().mean())
        if kept + rejected > (best.kept + best.rejected if best else 1.0):
            best = NoneOfThese(below, kept, rejected, len(sure), len(unknown))
    return best


def advice(points: Sequence[Point], clips_per_class: float) -> str:
    """What the learning curve says of more clips, in words. `clips_per_class` is what there is, in the mean."""
    if len(points) < 2:
        return "how many more clips would help is seen from three clips per class on"
    before, last = points[-2:]
    span = f"from {before.clips_per_class:.2g} to {last.clips_per_class:.2g} clips per class the held-out accuracy"
    if last.num_right == last.num_clips:
        return f"{span} went from {before.top1:.0f} to 100 %: more clips of this kind have nothing left to show here"
    gained = last.num_right - before.num_right
    if gained < RISE_CLIPS or last.top1 - before.top1 < RISE:
        return (
            f"{span} went from {before.top1:.0f} to {last.top1:.0f} %, which is flat: more clips of the same kind will "
            f"hardly help; clips of other people, places and views may, or a larger backbone"
        )
    # the error as a power of the number of clips, through the last two points
    error, ratio = 1 - last.top1 / 100, last.clips_per_class / before.clips_per_class
    power = math.log((1 - before.top1 / 100) / error) / math.log(ratio)
    then = 100 - 100 * error * (last.clips_per_class / (2 * clips_per_class)) ** power
    return (
        f"{span} rose from {before.top1:.0f} to {last.top1:.0f} %: more clips will probably help; if the error keeps "
        f"falling like this, {clips_per_class:.2g} more per class give about {then:.0f} %"
    )
