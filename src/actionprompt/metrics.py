"""Accuracy and calibration metrics, computed with TorchMetrics. Unreadable clips count as wrong.

Letters: C clips, K classes.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class ClassResult:
    """The result of one class."""

    name: str
    num_clips: int
    """Clips of this class, including unreadable ones."""
    top1: float
    """Percent; NaN for a class without clips."""


@dataclass(frozen=True)
class Metrics:
    """The results of an evaluation; accuracies in percent."""

    num_clips: int
    """All clips of the list, including unreadable ones."""
    top1: float
    top5: float
    """NaN with fewer than six classes, where every readable clip would count as correct."""
    mean_class_accuracy: float
    """Mean of the top-1 accuracies of the classes that have clips."""
    calibration_error: float
    """Expected calibration error (ECE) with 15 bins (Guo et al., 2017), of the readable clips; in percent."""
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class; readable clips only."""


def measure(
    probabilities: Float[Tensor, "C K"], labels: Int[Tensor, " C"], names: tuple[str, ...], *, broken: Int[Tensor, " X"]
) -> Metrics:
    """The metrics of class probabilities `[C, K]`, with `labels` and `names` of the classes.

    `broken` are the labels of the clips that could not be read: each counts as wrong in every accuracy.

    Raises:
        ValueError: there are no clips, neither readable nor unreadable ones.
    """
    # imported here: importing takes longer than a prediction, which does not need it
    from torchmetrics.functional.classification import (
        multiclass_calibration_error,
        multiclass_confusion_matrix,
        multiclass_stat_scores,
    )

    num_classes, total = len(names), len(labels) + len(broken)
    if total == 0:
        raise ValueError("expected clips to evaluate, got none")
    count = torch.bincount(torch.cat([labels, broken]), minlength=num_classes)

    def correct(top_k: int) -> Tensor:
        if not len(labels):
            return torch.zeros(num_classes)
        if num_classes == 1:
            return torch.bincount(labels, minlength=1)
        stats = multiclass_stat_scores(probabilities, labels, num_classes, average="none", top_k=top_k)
        return stats[:, 0]

    right = correct(1)
    accuracy = 100 * right / count
    calibration = math.nan
    if len(labels) and num_classes > 1:
        calibration = 100 * float(multiclass_calibration_error(probabilities, labels, num_classes, n_bins=15))
    confusion = (
        multiclass_confusion_matrix(probabilities.argmax(1), labels, num_classes).tolist()
        if num_classes > 1
        else [[len(labels)]]
    )
    return Metrics(
        num_clips=total,
        top1=100 * float(right.sum()) / total,
        top5=100 * float(correct(5).sum()) / total if num_classes > 5 else math.nan,
        mean_class_accuracy=float(accuracy[count > 0].mean()),
        calibration_error=calibration,
        per_class=tuple(
            ClassResult(name, int(n), float(a)) for name, n, a in zip(names, count.tolist(), accuracy.tolist())
        ),
        confusion=tuple(tuple(row) for row in confusion),
    )


def wilson(num_correct: int, num_clips: int) -> tuple[float, float]:
    """95 % confidence interval of an accuracy, in percent (Wilson, 1927)."""
    z, p = 1.96, num_correct / num_clips
    centre = p + z * z / (2 * num_clips)
    half = z * math.sqrt(p * (1 - p) / num_clips + z * z / (4 * num_clips**2))
    scale = 100 / (1 + z * z / num_clips)
    return max(0.0, scale * (centre - half)), min(100.0, scale * (centre + half))
