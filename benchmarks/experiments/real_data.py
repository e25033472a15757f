"""Real video, small: two data sets nobody tuned for, methods on the tiny CLIP compared with baselines without CLIP.

    export ACTIONPROMPT_REAL_DATA=DIR
    python benchmarks/experiments/real_data.py [--only ut_interaction] [--seeds 0 1 2] [--out results/records]

- `ut_interaction`, set 1: 60 clips, six classes, leave-one-sequence-out over ten sequences.
- `surveillance_fight`: 87 clips, fight or no fight, five-fold cross-validation with whole places. The scenes of
  `MANIFEST.csv` are shots: 65 scenes are 42 places (`SAME_PLACE`). It is not one of the library's data sets: its
  folders and folds are read here.

Both are letterboxed. This shows that the pipeline runs on real files and how weak a CLIP trained on generated stills is
there. It does not rank methods: a fold of `ut_interaction` tests 5 to 7 clips. The untrained tower is tested on the
same folds, so that all rows share one table. Only methods with frozen features are run: others run the tower in every
step of every fold, which takes minutes instead of seconds.

The trivial baselines see no image, or only how much neighbouring frames differ: a logistic regression on a few numbers
per clip, on the same folds. Letterboxing does not hide a crop's shape: its bars show `aspect`. A method says something
about actions only where it is better than these rows.

Runs whose record exists are skipped, and finished folds are not trained again, so it can be interrupted at any time.
The folder of the clips comes from the environment, so that no record contains its path.
"""

import argparse
import csv
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from actionprompt import datasets, methods, records, video
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.study import experiment, pages, protocols
from actionprompt.study.protocols import Plan
from actionprompt.weights import TINY

NUM_FOLDS = 5
"""Of `surveillance_fight`."""
SAME_PLACE = (
    (6, 9), (26, 29, 32, 131, 134), (39, 40), (42, 43), (54, 119), (57, 116), (60, 118), (63, 121), (65, 67, 123),
    (68, 69, 70), (92, 93, 159, 161), (97, 99, 166), (101, 167), (147, 148), (164, 165),
)  # fmt: skip
"""Scenes of `surveillance_fight` that show one place, most of them through one camera: found by correlating the clips'
frames, decided by eye. A fold must not test on a room it was trained on."""
SHORT_SIDE_PX = 64
"""Of the frames whose difference is taken, so that the result does not depend on the clip's size."""

DATA = DataConfig(fit="letterbox")
# 54 or 70 clips: batches of 16 give four or five steps per epoch. Chosen before any test, and not changed afterwards.
HEAD = TrainConfig(epochs=60, batch_size=16, lr=1e-3, warmup_epochs=5, num_workers=0)
FLOW = TrainConfig(epochs=30, batch_size=16, lr=5e-4, warmup_epochs=3, num_workers=0)
METHODS = [  # method, variant, options; an entry that trains nothing has one record, seed 0
    ("zeroshot", "", HEAD),
    ("zeroshot", "linear", HEAD),
    ("zeroshot", "transformer", HEAD),
    ("seeing_in_flowing", "", FLOW),
]


# data sets and folds -------------------------------------------------------------------------------------------------


def ut_interaction(root: Path) -> Plan:
    """Leave one sequence out, all ten."""
    module = datasets.get("ut_interaction")
    load = partial(module.load, root / "videos" / "ut_interaction" / "set1")
    return protocols.closed_set(load, splits=module.INFO.splits)


def surveillance_fight(root: Path) -> Plan:
    """Five folds of whole places; split k tests on fold k."""
    folder = root / "videos" / "surveillance_fight"
    clips = datasets.get("folder").load(folder)
    names = {"fight": "fight", "noFight": "no fight"}
    clips = replace(clips, class_names=tuple(names[name] for name in clips.source_names or ()))
    return protocols.closed_set(
        partial(leave_fold_out, clips, folds(clips, places(root, folder))), splits=range(1, NUM_FOLDS + 1)
    )


def places(root: Path, folder: Path) -> dict[str, int]:
    """By clip key: the place, which is the scene in the manifest's note, or the first scene of its group in
    `SAME_PLACE`.

    Raises `ValueError` for a clip without a scene, which could be in both train and test.
    """
    place = {scene: same[0] for same in SAME_PLACE for scene in same}
    found: dict[str, int] = {}
    with (root / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = root / row["file"]
            if path.is_relative_to(folder):
                match = re.fullmatch(r"scene (\d+)", row["note"])
                if not match:
                    raise ValueError(
                        f"MANIFEST.csv: expected a note such as `scene 43` for {path.name}, got {row['note']!r}"
                    )
                found[path.relative_to(folder).as_posix()] = place.get(int(match[1]), int(match[1]))
    return found


def folds(clips: ClipList, place: dict[str, int], num_folds: int = NUM_FOLDS) -> dict[str, int]:
    """By clip key: its fold, 1 to `num_folds`. Places stay whole. From the largest to the smallest, each is assigned to
    the fold with the fewest clips of its classes so far, so that every fold gets its share of every class."""
    counts: dict[int, list[int]] = {}
    for clip in clips.clips:
        counts.setdefault(place[clip.key], [0] * len(clips.class_names))[clip.label] += 1
    filled = [[0] * len(clips.class_names) for _ in range(num_folds)]
    fold_of: dict[int, int] = {}
    for name, count in sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0])):
        crowd = [(sum(a * b for a, b in zip(fold, count)), sum(fold)) for fold in filled]
        chosen = min(range(num_folds), key=crowd.__getitem__)
        filled[chosen] = [a + b for a, b in zip(filled[chosen], count)]
        fold_of[name] = chosen + 1
    return {clip.key: fold_of[place[clip.key]] for clip in clips.clips}


def leave_fold_out(clips: ClipList, fold: dict[str, int], *, split: int, part: str) -> ClipList:
    """Part `test` is fold `split`, part `train` all others."""
    chosen = tuple(clip for clip in clips.clips if (fold[clip.key] == split) == (part == "test"))
    return replace(clips, name=f"surveillance_fight/fold{split}/{part}", clips=chosen)


DATASETS: dict[str, Callable[[Path], Plan]] = {
    "ut_interaction": ut_interaction,
    "surveillance_fight": surveillance_fight,
}


# trivial baselines ---------------------------------------------------------------------------------------------------


def majority_class(clip: Clip) -> list[float]:
    """No numbers: the most frequent class of the training clips."""
    return []


def crop_shape(clip: Clip) -> list[float]:
    """Log width and log height of the file."""
    info = video.probe(clip.path)
    return [float(np.log(info.width_px)), float(np.log(info.height_px))]


def shape_and_length(clip: Clip) -> list[float]:
    """Log width, log height and log number of frames of the file."""
    return [*crop_shape(clip), float(np.log(video.count_frames(clip.path)))]


def aspect(clip: Clip) -> list[float]:
    """Log of width / height: what the bars of a letterboxed clip still show."""
    width, height = crop_shape(clip)
    return [width - height]


def frame_difference(clip: Clip) -> list[float]:
    """Log of the mean absolute difference of neighbouring grey frames, and of its spread over the image (the standard
    deviation over pixels of the mean over time, relative to its mean)."""
    frames = video.read_frames(clip.path, range(video.count_frames(clip.path)), short_side_px=SHORT_SIDE_PX)
    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    change = np.abs(np.diff(grey, axis=0)).mean(0) if len(grey) > 1 else np.zeros_like(grey[0])
    mean = float(change.mean()) + 1e-3  # grey levels 0 to 255; keeps the log of a still clip finite
    return [float(np.log(mean)), float(np.log(change.std() / mean + 1e-3))]


BASELINES = (majority_class, crop_shape, shape_and_length, aspect, frame_difference)
NUM_FRAMES = {"frame_difference": "all"}


def classify(train_NF: Tensor, labels_N: Tensor, test_MF: Tensor, *, num_classes: int) -> Tensor:
    """Labels [M] of the test rows by multinomial logistic regression: standardised columns, summed loss plus half the
    squared norm of the weights. Without columns the most frequent label, the first of several."""
    if train_NF.shape[1] == 0:
        counts = torch.bincount(labels_N, minlength=num_classes).tolist()
        return torch.full((len(test_MF),), counts.index(max(counts)))
    mean, std = train_NF.mean(0), train_NF.std(0, correction=0).clamp_min(1e-9)
    x_NF = (train_NF - mean) / std
    weight = torch.zeros(num_classes, train_NF.shape[1], dtype=train_NF.dtype, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=train_NF.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(x_NF @ weight.T + bias, labels_N, reduction="sum") + weight.square().sum() / 2
        value.backward()
        return value

    optimiser.step(loss)
    return ((test_MF - mean) / std @ weight.T + bias).argmax(1).detach()


def run_baseline(plan: Plan, dataset: str, baseline: Callable[[Clip], list[float]]) -> dict[str, Any]:
    """The record of a baseline, on the same folds and in the same form as a method's. A clip that cannot be read
    raises."""
    started, known = time.time(), {}

    def numbers(clips: Sequence[Clip]) -> Tensor:
        for clip in clips:
            if clip.path not in known:
                known[clip.path] = baseline(clip)
        return torch.tensor([known[clip.path] for clip in clips], dtype=torch.float64)

    metrics: dict[str, dict[str, Any]] = {}
    for part in plan.parts:
        assert part.train is not None
        labels = torch.tensor([clip.label for clip in part.train.clips])
        for name, test in part.tests.items():
            answers = classify(
                numbers(part.train.clips), labels, numbers(test.clips), num_classes=len(test.class_names)
            )
            right = sum(int(answer) == clip.label for answer, clip in zip(answers, test.clips, strict=True))
            metrics.setdefault(part.name, {})[name] = {
                "top1": 100 * right / len(test.clips), "num_clips": len(test.clips), "unreadable": [],
            }  # fmt: skip
    top1 = {part: {name: test["top1"] for name, test in tests.items()} for part, tests in metrics.items()}
    name = baseline.__name__
    return {
        **records.provenance(seed=0, started=started),
        "dataset": dataset,
        "method": pages.BASELINE,
        "variant": name,
        "config": {"numbers": " ".join((baseline.__doc__ or "").split()), "classifier": "logistic regression"},
        "backbone": {"name": "none", "sha256": None},
        "data": {"num_frames": NUM_FRAMES.get(name, 0)},
        "plan": plan.record(),
        "figures": protocols.summarise(plan, top1),
        "metrics": metrics,
    }


# the queue -----------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only data sets whose name starts with this")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of entries that are trained")
    parser.add_argument("--out", type=Path, default=Path("results/records"))
    args = parser.parse_args()
    root = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if not root or not Path(root).is_dir():
        parser.error(f"ACTIONPROMPT_REAL_DATA must name the folder of real clips, got {root!r}")
    for dataset in (name for name in DATASETS if name.startswith(args.only)):
        plan = DATASETS[dataset](Path(root))
        queue: dict[str, Callable[[], dict[str, Any]]] = {
            f"{dataset}-closed-set-{pages.BASELINE}-{baseline.__name__}-s0": partial(
                run_baseline, plan, dataset, baseline
            )
            for baseline in BASELINES
        }
        for seed in args.seeds:
            for method, variant, train in METHODS:
                if method == "zeroshot" and not variant and seed != 0:
                    continue  # trains nothing: all seeds give the same
                stem = "-".join(filter(None, [dataset, "closed-set", method, variant, f"s{seed}"]))
                queue[stem] = partial(
                    experiment.run, plan, method, args.out / "models" / stem,
                    config=methods.get(method).VARIANTS[variant] if variant else None, variant=variant,
                    dataset=dataset, backbone=TINY, train_config=replace(train, seed=seed), data_config=DATA,
                )  # fmt: skip
        for stem, run in queue.items():
            path = args.out / f"{stem}.json"
            if path.is_file():
                print(f"{path} exists, skipped", flush=True)
                continue
            began = time.time()
            record = run()
            records.write(path, record)
            print(f"{path}: {record['figures']['accuracy']:.1f} %, {time.time() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
