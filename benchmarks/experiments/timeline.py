"""How well a timeline finds what happens when: the videos of ActionWorld 2's part `long`, the tiny CLIP.

    python benchmarks/experiments/timeline.py [--size small] [--seeds 0 1 2] [--out results/timeline/long.json]

Zero-shot, and `seeing_in_flowing` in its form `late`, trained on ActionWorld's clips with the rate and epochs of its
rows in results/leaderboard.md, with all class names as labels. The windows of each video are scored once; segments are
then cut from the same scores with smoothing and without: of the labels alone, with "none of these", and with a
rejection threshold that is chosen on the clips of `val` as `teach` chooses it.
How long an action usually lasts (`stay_s`), the shortest segment (`min_s`) and `smoothing.EVIDENCE` are chosen on the
`val` videos by mAP, the mean over three IoUs, the models, and labels alone and with none of these. Frame accuracy
rewards what never answers: two fifths of the time are pause. No candidate of `min_s` reaches 2 s, since no action of
these videos is shorter. Only then are the test videos looked at. Smoothing is compared with the most probable answer of
each window by a sign-flip test over videos, of the mAP of each video and of its frame accuracy; with a threshold it is
done twice, by odds as `actionprompt timeline` does it (`none_of_these.by_odds`), and with the threshold itself as the
score of none of these. The accuracy on the single clips of the same split stands next to them.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actionprompt import methods, records
from actionprompt.apps import timeline as engine
from actionprompt.apps.teach import held_out
from actionprompt.apps.timeline import smoothing, truth
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import actionworld_v2 as actionworld
from actionprompt.evaluation import evaluate
from actionprompt.features import cached
from actionprompt.prediction import Predictor
from actionprompt.prediction.none_of_these import by_odds, by_threshold
from actionprompt.training import train
from actionprompt.weights import TINY, load_clip

STAY_S, MIN_S, EVIDENCE = (0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 1.5), (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Candidates."""
NAMES = ("stay_s", "min_s", "evidence")
FLOW = TrainConfig(epochs=6, batch_size=32, lr=5e-4, warmup_epochs=1, num_workers=0)
DATA = DataConfig()
NUM_FLIPS = 100_000
ALONE, NONE, THRESHOLD = "labels alone", "with none of these", "with a threshold"


@dataclasses.dataclass
class Scored:
    """One video: its windows by one predictor, and what is annotated."""

    scores: np.ndarray
    """[W, K + 1]: labels, none of these."""
    centres: np.ndarray
    duration_s: float
    truths: tuple[truth.Truth, ...]

    def rows(self, answers: str, below: float) -> np.ndarray:
        """The scores of the labels alone, with none of these, or with the threshold `below`."""
        if answers == NONE:
            return self.scores
        alone = self.scores[:, :-1] / self.scores[:, :-1].sum(1, keepdims=True)
        return by_threshold(torch.from_numpy(alone), below).numpy() if answers == THRESHOLD else alone


@dataclasses.dataclass
class Model:
    """A predictor, and what its single clips say."""

    predictor: Predictor
    top1: float
    """On the clips of the test split, in percent."""
    threshold: held_out.NoneOfThese
    """Chosen on the clips of `val`."""


def build(name: str, seed: int, size: str) -> Model:
    """The method, trained if it can be."""
    clips = {part: actionworld.load(part=part, size=size) for part in ("train", "val", "test")}
    clip = load_clip(TINY)
    if name == "zeroshot":
        method = methods.build(name, clip, clips["train"].class_names, seed=seed)
    else:
        config = dataclasses.replace(methods.get(name).VARIANTS["late"], pairs_per_chunk=2048)
        method = methods.build(name, clip, clips["train"].class_names, config=config, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            options = dataclasses.replace(FLOW, seed=seed)
            train(method, clips["train"], Path(folder, "run"), config=options, data_config=DATA, device="cpu")
    top1 = evaluate(method, clips["test"], DATA).metrics.top1
    stored = cached(method, clips["val"].clips, DATA, num_workers=0)
    assert not stored.broken
    labels = torch.tensor([clip.label for clip in clips["val"].clips])
    scores = held_out.held_out_scores(method, stored.features.read(), labels, DATA)
    threshold = held_out.choose(scores.known, scores.unknown, scores.answer == scores.label)
    assert threshold is not None, "single clips are recognised better than by chance"
    return Model(Predictor(method, DATA, none=True), top1, threshold)


def remember_frames(method: Any, seen: dict[bytes, Any]) -> None:
    """The image tower is the same for all methods: each batch of frames goes through it once."""
    encode = method.encode

    def from_memory(frames: Any) -> Any:
        key = hashlib.sha256(frames.numpy().tobytes()).digest()
        if key not in seen:
            seen[key] = encode(frames)
        return seen[key]

    method.encode = from_memory


def score(predictor: Predictor, videos: Sequence[Any]) -> list[Scored]:
    """Every window of every video, once."""
    found = []
    for long in videos:
        answer = engine.timeline(predictor, long.path, smooth=False)
        scores = np.array([[*window.scores, window.none] for window in answer.windows])
        centres = np.array([(window.start_s + window.end_s) / 2 for window in answer.windows])
        truths = tuple(truth.Truth(*segment) for segment in long.segments)
        found.append(Scored(scores, centres, answer.duration_s, truths))
    return found


def cut(videos: Sequence[Scored], labels: Sequence[str], smooth: Any, answers: str, below: float) -> list[Any]:
    """(duration, predicted segments, annotated segments) of every video."""
    return [
        (v.duration_s, engine.cut(v.rows(answers, below), v.centres, v.duration_s, labels, smooth=smooth), v.truths)
        for v in videos
    ]


def mean_map(cuts: Sequence[Any]) -> float:
    """mAP in percent, the mean over the IoUs."""
    return float(np.mean([truth.mean_average_precision(cuts, iou) for iou in truth.IOUS]))


def measured(cuts: Sequence[Any]) -> dict[str, Any]:
    """The figures over all videos; mAP, the mean over the IoUs, and frame accuracy of each."""
    found = {"mean_map": mean_map(cuts), **dataclasses.asdict(truth.measure(cuts))}
    return {
        **{name: _rounded(value) for name, value in found.items()},
        "map_by_video": [round(mean_map([one]), 2) for one in cuts],
        "frame_accuracy_by_video": [round(truth.measure([one]).frame_accuracy, 2) for one in cuts],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def minutes(videos: Sequence[Scored]) -> float:
    return sum(v.duration_s for v in videos) / 60


def annotated(videos: Sequence[Scored]) -> float:
    """Minutes in which somebody does one of the actions."""
    return sum(segment.end_s - segment.start_s for v in videos for segment in v.truths) / 60


def by_odds_first(smooth: Any, below: float) -> Any:
    """Smoothing as `actionprompt timeline` does it with a rejection threshold."""
    return lambda rows: smooth(by_odds(torch.from_numpy(rows), below).numpy())


def flips(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Two-sided sign-flip test of the mean difference a - b over videos."""
    difference = np.subtract(a, b)
    signs = np.random.default_rng(0).choice([-1, 1], (NUM_FLIPS, len(difference)))
    beyond = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).sum()
    return {"difference": round(float(difference.mean()), 2), "p": round(float((beyond + 1) / (NUM_FLIPS + 1)), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=list(actionworld.SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/timeline/long.json"))
    args = parser.parse_args()
    started = time.time()
    runs = [("zeroshot", args.seeds[0]), *(("seeing_in_flowing", seed) for seed in args.seeds)]
    videos = {part: actionworld.long(split=1, part=part, size=args.size) for part in ("val", "test")}
    labels = actionworld.load(part="test", size="mini").class_names
    models = {f"{name}-s{seed}": build(name, seed, args.size) for name, seed in runs}
    seen: dict[bytes, Any] = {}
    for model in models.values():
        assert model.predictor.method.encodes_frames
        remember_frames(model.predictor.method, seen)
    val = {key: score(model.predictor, videos["val"]) for key, model in models.items()}

    def total(options: tuple[float, ...], answers: str) -> float:
        smooth = partial(smoothing.smooth, hop_s=engine.HOP_S, **dict(zip(NAMES, options)))
        return sum(mean_map(cut(v, labels, smooth, answers, 0.0)) / len(val) for v in val.values())

    grid = {o: {a: total(o, a) for a in (ALONE, NONE)} for o in itertools.product(STAY_S, MIN_S, EVIDENCE)}
    chosen = max(grid, key=lambda options: sum(grid[options].values()))
    smooth = partial(smoothing.smooth, hop_s=engine.HOP_S, **dict(zip(NAMES, chosen)))
    test = {key: score(model.predictor, videos["test"]) for key, model in models.items()}
    rows: list[dict[str, Any]] = []
    smoothed: list[dict[str, Any]] = []
    for key, answers in itertools.product(models, (ALONE, NONE, THRESHOLD)):
        below = models[key].threshold.below
        ways: dict[str, Any] = {"no": None, "yes": smooth}
        if answers == THRESHOLD:
            ways = {"no": None, "yes": by_odds_first(smooth, below), "of the threshold itself": smooth}
        found = {way: measured(cut(test[key], labels, call, answers, below)) for way, call in ways.items()}
        about = {"model": key, "answers": answers}
        rows += [{**about, "smoothing": way, **figures} for way, figures in found.items()]
        for way in list(ways)[1:]:
            differences = {
                name: flips(found[way][field], found["no"][field])
                for name, field in (("mAP", "map_by_video"), ("frame accuracy", "frame_accuracy_by_video"))
            }
            smoothed.append({**about, "smoothing": way, **differences})
    shown = {"val": next(iter(val.values())), "test": next(iter(test.values()))}
    record = {
        **records.provenance(seed=args.seeds[0], started=started),
        "what": "timelines of ActionWorld 2's long videos, split 1, all class names, tiny CLIP",
        "videos": {part: len(found) for part, found in videos.items()},
        "minutes": {part: round(minutes(one), 2) for part, one in shown.items()},
        "pause_percent": {part: round(100 - 100 * annotated(one) / minutes(one), 2) for part, one in shown.items()},
        "window_s": engine.WINDOW_S,
        "hop_s": engine.HOP_S,
        "chosen_on_val": dict(zip(NAMES, chosen)),
        "thresholds": {key: dataclasses.asdict(model.threshold) for key, model in models.items()},
        "val_mean_map": {
            " ".join(f"{x:g}" for x in option): {answers: round(value, 2) for answers, value in found.items()}
            for option, found in grid.items()
        },
        "clips_top1": {key: round(model.top1, 2) for key, model in models.items()},
        "rows": rows,
        "smoothing": smoothed,
    }  # fmt: skip
    records.write(args.out, record)
    print(json.dumps(record["chosen_on_val"], indent=1))


if __name__ == "__main__":
    main()
