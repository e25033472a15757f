"""A timeline against annotated segments: frame accuracy, mAP over temporal IoU, and the error of boundaries.

Annotations are a CSV with the columns start_s, end_s and label, a row per segment; what no row covers shows none of the
labels. mAP is that of ActivityNet (Heilbron et al., CVPR 2015) and THUMOS: the detections of a class in order of their
score, each of which takes the annotated segment of its video with the highest IoU that is still free; average precision
is the area under the precision-recall curve with precision made non-increasing; the mean is over the classes that occur
in the annotations.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from actionprompt import files
from actionprompt.apps.timeline.answer import Segment
from actionprompt.clips import read_text, some

IOUS = (0.3, 0.5, 0.7)
"""Temporal IoU (intersection over union) from which a detection is right."""
STEP_S = 0.01
"""Frame accuracy is measured at these steps of time, so that it does not depend on the frame rate."""
COLUMNS = ("start_s", "end_s", "label")


@dataclass(frozen=True)
class Truth:
    """An annotated segment."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class Measured:
    """How well timelines agree with annotations, over all their videos."""

    frame_accuracy: float
    """Percent of the time for which the answer is right; right is "none of these" where nothing is annotated."""
    frame_accuracy_annotated: float | None
    """The same over annotated time alone; None where nothing is annotated."""
    map_at: dict[str, float | None]
    """mAP in percent by IoU; None where nothing is annotated."""
    boundary_error_s: float | None
    """Median distance between the start or end of an annotated segment and that of the predicted segment of its label
    that overlaps it most; None where there is no such pair."""
    matched: float | None
    """Percent of the annotated segments that have such a predicted segment, which `boundary_error_s` is about."""
    num_segments: int
    """Annotated segments."""
    num_predicted: int
    """Predicted segments with a label."""


def read(path: Path, labels: Sequence[str]) -> tuple[Truth, ...]:
    """The annotated segments of a CSV, in the order of their starts.

    Raises:
        ValueError: no such columns, times that are none or end before they start, a label that is not among `labels`,
            or segments that overlap.
    """
    table = csv.DictReader(io.StringIO(read_text(path), newline=""))
    rows, missing = list(table), [name for name in COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise ValueError(f"{path}: expected a CSV with the columns {', '.join(COLUMNS)}, {', '.join(missing)} missing")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            start_s, end_s = float(row["start_s"]), float(row["end_s"])
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}, line {number}: expected seconds, got {row['start_s']!r} and {row['end_s']!r}"
            ) from None
        if not 0 <= start_s < end_s < math.inf:
            raise ValueError(f"{path}, line {number}: expected 0 <= start_s < end_s, got {start_s:g} and {end_s:g}")
        found.append(Truth(start_s, end_s, (row["label"] or "").strip()))
    unknown = sorted({truth.label for truth in found} - set(labels))
    if unknown:
        raise ValueError(f"{path}: expected labels among those of the timeline, got {some(unknown)}")
    found.sort(key=lambda truth: truth.start_s)
    for before, after in pairwise(found):
        if after.start_s < before.end_s - STEP_S:
            raise ValueError(f"{path}: the segments at {before.start_s:g} s and {after.start_s:g} s overlap")
    return tuple(found)


def write(path: Path, truths: Sequence[Truth]) -> None:
    """The CSV that `read` reads."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    writer.writerows([truth.start_s, truth.end_s, truth.label] for truth in truths)
    files.write_text(path, buffer.getvalue())


def measure(videos: Sequence[tuple[float, Sequence[Segment], Sequence[Truth]]]) -> Measured:
    """How well predicted segments agree with annotated ones; (duration in seconds, predicted, annotated) by video.

    Raises:
        ValueError: no videos, or one without length.
    """
    if not videos or not all(duration_s > 0 for duration_s, _, _ in videos):
        raise ValueError("expected at least one video, each longer than 0 s")
    right = shown = right_annotated = annotated = 0
    errors: list[float] = []
    num_matched = 0
    for duration_s, predicted, truths in videos:
        said, true = (timed(segments, duration_s) for segments in (predicted, truths))
        same = np.array([a == b for a, b in zip(said, true)])
        known = np.array([label is not None for label in true])
        right, shown = right + int(same.sum()), shown + len(same)
        right_annotated, annotated = right_annotated + int(same[known].sum()), annotated + int(known.sum())
        for truth in truths:
            near = [s for s in predicted if s.label == truth.label and iou(s, truth) > 0]
            if near:
                best = max(near, key=lambda segment: iou(segment, truth))
                errors += [abs(best.start_s - truth.start_s), abs(best.end_s - truth.end_s)]
                num_matched += 1
    num_segments = sum(len(truths) for _, _, truths in videos)
    return Measured(
        frame_accuracy=100 * right / shown,
        frame_accuracy_annotated=100 * right_annotated / annotated if annotated else None,
        map_at={f"{threshold:g}": mean_average_precision(videos, threshold) for threshold in IOUS},
        boundary_error_s=float(np.median(errors)) if errors else None,
        matched=100 * num_matched / num_segments if num_segments else None,
        num_segments=num_segments,
        num_predicted=sum(segment.label is not None for _, segments, _ in videos for segment in segments),
    )


def timed(segments: Sequence[Segment] | Sequence[Truth], duration_s: float) -> list[str | None]:
    """The label at every step of `STEP_S`, at its middle; None where there is none."""
    labels: list[str | None] = [None] * max(1, round(duration_s / STEP_S))
    for segment in segments:
        first, stop = (math.ceil(time_s / STEP_S - 0.5) for time_s in (segment.start_s, segment.end_s))
        labels[first:stop] = [segment.label] * (len(labels[first:stop]))
    return labels


def iou(one: Segment | Truth, other: Segment | Truth) -> float:
    """Intersection over union of two segments of time."""
    both = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return max(0.0, both) / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s))


def mean_average_precision(
    videos: Sequence[tuple[float, Sequence[Segment], Sequence[Truth]]], threshold: float
) -> float | None:
    """mAP in percent at one IoU; None where nothing is annotated."""
    classes = sorted({truth.label for _, _, truths in videos for truth in truths})
    return 100 * float(np.mean([_average_precision(videos, name, threshold) for name in classes])) if classes else None


def _average_precision(
    videos: Sequence[tuple[float, Sequence[Segment], Sequence[Truth]]], name: str, threshold: float
) -> float:
    detections = [
        (segment, number)
        for number, (_, segments, _) in enumerate(videos)
        for segment in segments
        if segment.label == name
    ]
    detections.sort(key=lambda pair: -pair[0].score)
    free = [[truth for truth in truths if truth.label == name] for _, _, truths in videos]
    num_truths = sum(map(len, free))
    hits = []
    for segment, number in detections:
        fitting = [truth for truth in free[number] if iou(segment, truth) >= threshold]
        if fitting:
            free[number].remove(max(fitting, key=lambda truth: iou(segment, truth)))
        hits.append(bool(fitting))
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1) if hits else np.zeros(0)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[np.array(hits, bool)].sum()) / num_truths
