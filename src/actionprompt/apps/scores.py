"""Late fusion: the weighted mean of several models' class probabilities on the same clips.

This is how papers combine streams: PromptLearner-CLIP's Table 7 fuses its scores with those of an I3D on optical flow.
They do not say how the weight is found. Here it is given, equal, or chosen on validation clips, and recorded with the
lists. A score file is written by an evaluation (`evaluation.write_scores`); other programs can write one as well, with
or without the name of the list:

    {"list": "mine/val", "class_names": ["run", "wave"], "scores": {"a.avi": [0.9, 0.1]},
     "labels": {"a.avi": 0, "b.avi": 1}, "broken": ["b.avi"]}

Letters: C clips, K classes.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actionprompt.clips import Clip, ClipList
from actionprompt.config import to_json
from actionprompt.metrics import Metrics, measure

SUM_TOLERANCE = 1e-3
"""Allowed deviation of a row's sum from 1, since score files are rounded."""
CANDIDATES = tuple(round(0.05 * i, 2) for i in range(21))
"""Weights of the first of two files that `choose` compares."""


@dataclass(frozen=True)
class Scores:
    """A score file; the fields are those of the file."""

    class_names: tuple[str, ...]
    scores: dict[str, tuple[float, ...]]
    """K class probabilities by clip key; readable clips only."""
    labels: dict[str, int]
    """Index into `class_names` by clip key, for all clips."""
    broken: tuple[str, ...]
    """Keys of the clips that could not be read: they have a label but no scores, and count as wrong."""
    list: str = ""
    """Name of the list of clips; empty where a file does not say."""

    @property
    def clips(self) -> ClipList:
        """The clips as a list, for its hashes; where they lie is not known."""
        clips = tuple(Clip(key, Path(key), label) for key, label in self.labels.items())
        return ClipList(self.list, clips, self.class_names)


def read(path: str | Path) -> Scores:
    """Read and check a score file.

    Raises:
        ValueError: not a score file, rows that are not probabilities, or clips without label or scores.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a score file: {error}; give a file written by an evaluation"
        ) from error
    fields = {"class_names": list, "scores": dict, "labels": dict, "broken": list}  # JSON lists and objects
    for name, kind in fields.items():
        if not isinstance(record, dict) or not isinstance(record.get(name), kind):
            raise ValueError(
                f"{path}: expected a score file with {', '.join(fields)}, "
                f"but {name} is missing or not a {kind.__name__}"
            )
    names = tuple(record["class_names"])
    if not all(isinstance(text, str) for text in (*names, *record["broken"])):
        raise ValueError(f"{path}: expected class_names and broken to contain strings only")
    for key, label in record["labels"].items():
        if type(label) is not int or not 0 <= label < len(names):
            raise ValueError(f"{path}: expected labels 0..{len(names) - 1}, got {label!r} for {key}")
    both = set(record["scores"]).intersection(record["broken"])
    wrong = sorted(both | (set(record["labels"]) ^ {*record["scores"], *record["broken"]}))
    if wrong:
        raise ValueError(
            f"{path}: expected every clip to have a label and either scores or an entry in broken, except: {wrong[0]}"
        )
    scores = {key: _row(path, key, row, len(names)) for key, row in record["scores"].items()}
    return Scores(names, scores, dict(record["labels"]), tuple(record["broken"]), str(record.get("list", "")))


def fuse(sources: Mapping[str, Scores], *, weights: Sequence[float] | None = None) -> Scores:
    """The weighted mean of the sources' probabilities, clip by clip.

    `sources` are score files by name; errors use these names. `weights` are in the same order, equal by default, and
    need not sum to 1. A clip that any source could not read is broken in the result.

    Raises:
        ValueError: fewer than two sources; sources with different clips, labels or classes; not one finite weight of at
            least 0 per source, or all weights 0.
    """
    if len(sources) < 2:
        raise ValueError(f"expected at least two different score files to fuse, got {len(sources)}")
    weights = [1.0] * len(sources) if weights is None else list(weights)
    if len(weights) != len(sources):
        raise ValueError(f"expected one weight per score file, got {len(weights)} for {len(sources)}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise ValueError(f"expected weights of at least 0, and not all 0, got {weights}")
    (first_name, first), *others = sources.items()
    for name, other in others:
        _check_same(first_name, first, name, other)
    total = sum(weights)
    fused: dict[str, tuple[float, ...]] = {}
    for key in first.labels:
        rows = [source.scores[key] for source in sources.values() if key in source.scores]
        if len(rows) == len(sources):
            fused[key] = tuple(sum(w * p for w, p in zip(weights, column)) / total for column in zip(*rows))
    broken = tuple(key for key in first.labels if key not in fused)
    return Scores(first.class_names, fused, first.labels, broken, first.list)


@dataclass(frozen=True)
class Choice:
    """The weight of the first of two sources, chosen on validation clips, and the accuracy of every candidate."""

    weight: float
    """The second source has 1 - weight."""
    candidates: tuple[float, ...]
    top1: tuple[float, ...]
    """Top-1 accuracy in percent on the clips that both could read, by candidate."""
    num_clips: int
    """These clips."""


def choose(validation: Mapping[str, Scores], *, candidates: Sequence[float] = CANDIDATES) -> Choice:
    """The weight with the highest top-1 accuracy on two score files of validation clips. Of several with the same
    accuracy the one with the highest mean log-probability of the true class, and then the smallest.

    Raises:
        ValueError: not two sources, sources that `fuse` refuses, a test list, or no clip that both could read.
    """
    if len(validation) != 2:
        raise ValueError(f"expected two score files to choose the weight between, got {len(validation)}")
    (first_name, one), (second_name, two) = validation.items()
    _check_same(first_name, one, second_name, two)
    for name, scores in validation.items():
        if "test" in scores.list.split("/"):
            raise ValueError(f"{name} has the test list {scores.list}: choose the weight on validation clips")
    keys = [key for key in one.labels if key in one.scores and key in two.scores]
    if not keys:
        raise ValueError(f"expected validation clips that both could read, got none in {first_name} and {second_name}")
    first, second = (torch.tensor([source.scores[key] for key in keys]) for source in (one, two))
    truth = torch.tensor([one.labels[key] for key in keys])
    top1, likelihood = [], []
    for weight in candidates:
        mixed = weight * first + (1 - weight) * second
        top1.append(100 * float((mixed.argmax(1) == truth).float().mean()))
        likelihood.append(float(mixed.gather(1, truth[:, None]).clamp_min(1e-12).log().mean()))
    best = max(range(len(candidates)), key=lambda i: (top1[i], likelihood[i], -candidates[i]))
    return Choice(candidates[best], tuple(candidates), tuple(top1), len(keys))


def fuse_files(
    files: Sequence[Path], *, weights: Sequence[float] | None = None, choose_on: Sequence[Path] = ()
) -> tuple[Scores, dict[str, Any]]:
    """The fused scores of score files, and for the record: files, lists and weights, with their hashes.

    `choose_on` are score files of the same models, in the same order, on the validation clips where `choose` chooses
    the weight.

    Raises:
        ValueError: as `read`, `fuse` and `choose`; both `weights` and `choose_on`; validation scores for other classes,
            or for clips that are fused.
    """
    sources = {str(path): read(path) for path in files}
    chosen_on = None
    if choose_on:
        if weights is not None:
            raise ValueError("expected weights, or validation scores to choose them on, not both")
        validation = {str(path): read(path) for path in choose_on}
        if len(choose_on) != len(files):
            raise ValueError(f"expected one validation file per score file, got {len(choose_on)} for {len(files)}")
        choice = choose(validation)
        weights = [choice.weight, 1 - choice.weight]
        _check_validation(validation, sources)
        chosen_on = {**_about(validation), **to_json(choice)}
    fused = fuse(sources, weights=weights)
    used = [1.0] * len(sources) if weights is None else list(weights)
    shares = [round(weight / sum(used), 6) for weight in used]
    return fused, {**_about(sources), "weights": shares, "chosen_on": chosen_on}


def measure_scores(scores: Scores) -> Metrics:
    """The metrics of a score file, fused or not; broken clips count as wrong."""
    rows = [scores.scores[key] for key in scores.labels if key in scores.scores]
    read_labels = [label for key, label in scores.labels.items() if key in scores.scores]
    return measure(
        torch.tensor(rows).reshape(-1, len(scores.class_names)),
        torch.tensor(read_labels, dtype=torch.long),
        scores.class_names,
        broken=torch.tensor([scores.labels[key] for key in scores.broken], dtype=torch.long),
    )


def _about(sources: Mapping[str, Scores]) -> dict[str, Any]:
    clips = next(iter(sources.values())).clips
    hashes = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in sources}
    return {"files": hashes, "list": clips.name, "list_sha256": clips.sha256, "classes_sha256": clips.classes_sha256}


def _check_validation(validation: Mapping[str, Scores], sources: Mapping[str, Scores]) -> None:
    (name, chosen), (other, fused) = next(iter(validation.items())), next(iter(sources.items()))
    if chosen.class_names != fused.class_names:
        raise ValueError(f"{name} has other classes than {other}; choose the weight on the same data set")
    both = sorted(chosen.labels.keys() & fused.labels.keys())
    if both:
        raise ValueError(
            f"{len(both)} clips of {name} are also in {other} (the first: {both[0]}): choose the weight on validation "
            f"clips, which are neither trained nor tested on"
        )


def _row(path: str | Path, key: str, row: Any, num_classes: int) -> tuple[float, ...]:
    numbers = isinstance(row, list) and all(type(p) in (int, float) and math.isfinite(p) for p in row)
    if not numbers or len(row) != num_classes:
        raise ValueError(f"{path}: expected {num_classes} numbers for {key}, one per class")
    if min(row) < 0 or abs(sum(row) - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"{path}: expected probabilities that sum to 1 for {key}, got a sum of {sum(row):.4g} and a minimum of "
            f"{min(row):.4g}; apply a softmax to logits first"
        )
    return tuple(float(p) for p in row)


def _check_same(first_name: str, first: Scores, name: str, other: Scores) -> None:
    if other.class_names != first.class_names:
        if sorted(other.class_names) == sorted(first.class_names):
            what = "the same classes in a different order"
        else:
            different = sorted(set(first.class_names) ^ set(other.class_names))
            what = f"different classes ({len(different)} are in one of the two only, such as {different[:1]})"
        raise ValueError(f"{name} has {what} than {first_name}; evaluate both models on the same list")
    if other.labels.keys() != first.labels.keys():
        only = [sorted(a.keys() - b.keys()) for a, b in ((first.labels, other.labels), (other.labels, first.labels))]
        raise ValueError(
            f"{name} and {first_name} have different clips: {len(only[0])} are in {first_name} only "
            f"{only[0][:1]}, {len(only[1])} in {name} only {only[1][:1]}; evaluate both models on the same list"
        )
    for key, label in first.labels.items():
        if other.labels[key] != label:
            raise ValueError(
                f"{key} is {first.class_names[label]!r} in {first_name} but "
                f"{first.class_names[other.labels[key]]!r} in {name}; evaluate both models on the same list"
            )
