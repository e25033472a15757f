"""How well a timeline finds what happens when: the videos of ActionWorld's part `long`, the tiny CLIP.

    python benchmarks/experiments/timeline.py [--size small] [--seeds 0 1 2] [--out results/timeline/long.json]

Zero-shot, and `seeing_in_flowing` trained on ActionWorld's clips with the settings of its rows in
results/actionworld.md, with all 36 class names as labels. The windows of each video are scored once; segments are then
cut from the same scores with smoothing and without, with "none of these" and without.
How long an action usually lasts (`stay_s`), the shortest segment (`min_s`) and `smoothing.EVIDENCE` are chosen on the
`val` videos by frame accuracy, the mean over the methods; the times are common, the evidence is one with none of these
and one without. Only then are the test videos looked at. Smoothing is compared with the most probable answer of each
window by a sign-flip test over videos. The accuracy on the single clips of the same split stands next to them.
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

from actionprompt import methods, records
from actionprompt.apps import timeline as engine
from actionprompt.apps.timeline import smoothing, truth
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import actionworld
from actionprompt.evaluation import evaluate
from actionprompt.prediction import Predictor
from actionprompt.training import train
from actionprompt.weights import TINY, load_clip

STAY_S, MIN_S, EVIDENCE = (1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 1.5), (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Candidates."""
NAMES = ("stay_s", "min_s", "evidence")
FLOW = TrainConfig(epochs=12, batch_size=32, lr=5e-4, warmup_epochs=2)
DATA = DataConfig()
NUM_FLIPS = 100_000
NONE = {False: "labels alone", True: "with none of these"}


@dataclasses.dataclass
class Scored:
    """One video: its windows by one predictor, and what is annotated."""

    scores: np.ndarray
    """[W, K + 1]: labels, none of these."""
    centres: np.ndarray
    duration_s: float
    truths: tuple[truth.Truth, ...]

    def rows(self, none: bool) -> np.ndarray:
        """The scores with none of these, or of the labels alone."""
        return self.scores if none else self.scores[:, :-1] / self.scores[:, :-1].sum(1, keepdims=True)


def build(name: str, seed: int, size: str) -> tuple[Predictor, float]:
    """The method, trained if it can be, and its accuracy on the single clips of the test split in percent."""
    clips = {part: actionworld.load(part=part, size=size) for part in ("train", "test")}
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
    return Predictor(method, DATA, none=True), top1


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


def measured(videos: Sequence[Scored], labels: Sequence[str], smooth: Any, none: bool) -> dict[str, Any]:
    """The figures over all videos, and the frame accuracy of each."""
    cuts = [
        (v.duration_s, engine.cut(v.rows(none), v.centres, v.duration_s, labels, smooth=smooth), v.truths)
        for v in videos
    ]
    each = [truth.measure([one]).frame_accuracy for one in cuts]
    rounded = {k: _rounded(v) for k, v in dataclasses.asdict(truth.measure(cuts)).items()}
    return {**rounded, "frame_accuracy_by_video": [round(value, 2) for value in each]}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def flips(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Two-sided sign-flip test of the mean difference a - b over videos."""
    difference = np.subtract(a, b)
    signs = np.random.default_rng(0).choice([-1, 1], (NUM_FLIPS, len(difference)))
    beyond = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).sum()
    return {"difference": round(float(difference.mean()), 3), "p": float((beyond + 1) / (NUM_FLIPS + 1))}


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
    made: dict[str, tuple[Predictor, float]] = {f"{name}-s{seed}": build(name, seed, args.size) for name, seed in runs}
    seen: dict[bytes, Any] = {}
    for predictor, _ in made.values():
        assert predictor.method.encodes_frames
        remember_frames(predictor.method, seen)
    val = {key: score(predictor, videos["val"]) for key, (predictor, _) in made.items()}

    def total(options: tuple[float, ...], none: bool) -> float:
        smooth = partial(smoothing.smooth, hop_s=engine.HOP_S, **dict(zip(NAMES, options)))
        return sum(measured(v, labels, smooth, none)["frame_accuracy"] / len(val) for v in val.values())

    grid = {o: {none: total(o, none) for none in (False, True)} for o in itertools.product(STAY_S, MIN_S, EVIDENCE)}

    def best(times: tuple[float, float], none: bool) -> float:
        """The best evidence for a `stay_s` and a `min_s`."""
        return max(EVIDENCE, key=lambda evidence: grid[(*times, evidence)][none])

    chosen_s = max(
        itertools.product(STAY_S, MIN_S),
        key=lambda times: sum(grid[(*times, best(times, none))][none] for none in (False, True)),
    )
    chosen = {none: dict(zip(NAMES, (*chosen_s, best(chosen_s, none)))) for none in (False, True)}
    test = {key: score(predictor, videos["test"]) for key, (predictor, _) in made.items()}
    rows: list[dict[str, Any]] = []
    smoothed: list[dict[str, Any]] = []
    for key, none in itertools.product(made, (False, True)):
        about = {"model": key, "answers": NONE[none]}
        smooth = partial(smoothing.smooth, hop_s=engine.HOP_S, **chosen[none])
        with_it, without = (measured(test[key], labels, way, none) for way in (smooth, None))
        rows += [{**about, "smoothing": True, **with_it}, {**about, "smoothing": False, **without}]
        smoothed.append(about | flips(with_it["frame_accuracy_by_video"], without["frame_accuracy_by_video"]))
    record = {
        **records.provenance(seed=args.seeds[0], started=started),
        "what": "timelines of ActionWorld's long videos, split 1, all 36 class names, tiny CLIP",
        "videos": {part: len(found) for part, found in videos.items()},
        "minutes": {part: round(sum(v.duration_s for v in s) / 60, 2) for part, s in
                    (("val", next(iter(val.values()))), ("test", next(iter(test.values()))))},
        "window_s": engine.WINDOW_S,
        "hop_s": engine.HOP_S,
        "chosen_on_val": {NONE[none]: options for none, options in chosen.items()},
        "val_frame_accuracy": {
            " ".join(f"{x:g}" for x in option): {NONE[none]: round(value, 2) for none, value in found.items()}
            for option, found in grid.items()
        },
        "clips_top1": {key: round(top1, 2) for key, (_, top1) in made.items()},
        "rows": rows,
        "smoothing": smoothed,
    }  # fmt: skip
    records.write(args.out, record)
    print(json.dumps({k: record[k] for k in ("chosen_on_val", "val_frame_accuracy")}, indent=1))


if __name__ == "__main__":
    main()
