"""None of these: how well clips of the asked classes are told from clips of others, by several scores.

    python benchmarks/experiments/none_of_these.py [--only zero_shot few_shot real] [--seeds 0 1 2] [--out DIR]

- `zero_shot`: frozen CLIP on ActionWorld 2. The 40 classes are divided at random into asked and unknown ones, both
  classes of a pair on one side; 20 classes are asked, or 4 of them. Everything is chosen on part `val` and reported on
  part `test`, whose actors and backgrounds are others.
- `few_shot`: the same, of `seeing_in_flowing` trained on 8 clips of each of the 20 classes, of part `train`.
- `real`: `actionprompt teach` on 5 clips of each class of UT-Interaction (set 1); asked: the other clips, unknown:
  falls (GMDCSA-24) and fights (surveillance). The folder is found by ACTIONPROMPT_REAL_DATA. The backbone is the
  embedded CLIP, which knows drawings alone, and the fights resemble three of the classes (kicking, pushing, punching).

The scores, of which a low one means none of these:

- `max_softmax`: the highest probability among the asked labels;
- `max_logit` and `energy`: their highest logit, and the logarithm of the sum of exp(logit) (Liu et al., NeurIPS 2020);
- `null_prompts`: one less the probability of none of these (`prediction.none_of_these`), with the 64 null names in use;
  of frozen CLIP also with all that there are;
- `null_prompts_of_frozen_clip`, for a trained method: the same of frozen CLIP on the frames that it encodes; and
  `max_softmax_times_frozen_clip`, its product with the trained method's highest probability;
- `both`: the highest probability of a label with the null names among the classes, which is the product of the two.

Figures: AUROC in percent, and the percentage of unknown clips that are accepted where 95 % of the known ones are.
`weights` is the choice of `WEIGHT`: the percentages of known clips kept and of unknown ones rejected, on the
validation clips, where none of these is the answer if it is the most probable.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actionprompt import datasets, methods, records
from actionprompt.apps.teach import teach
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig, to_json
from actionprompt.features import cached
from actionprompt.method import Method
from actionprompt.prediction import load, none_of_these
from actionprompt.training import train
from actionprompt.weights import load_clip

BACKBONE, SHOTS, WEIGHTS = "tiny", 8, (1.0, 2.0, 4.0, 8.0, 16.0)
DATA = DataConfig()
FEW_SHOT = TrainConfig(
    epochs=30, batch_size=32, lr=1e-3, warmup_epochs=3.0, label_smoothing=0.1, num_workers=0, save_every_steps=10**6
)
KEPT = 0.95
TAUGHT = 5


def divide(clips: ClipList, seed: int, most: int | None = None) -> tuple[list[int], list[int]]:
    """Labels to ask for, and unknown ones: half of the pairs and half of the other classes each. With `most`, as many
    of the labels to ask for; the rest of them is left out."""
    rng = np.random.default_rng(seed)
    index = {name: label for label, name in enumerate(clips.class_names)}
    pairs = [tuple(index[name] for name in pair) for pair in datasets.get("actionworld_v2").PAIRS]
    single = [(label,) for label in index.values() if not any(label in pair for pair in pairs)]
    asked: list[int] = []
    for group in (pairs, single):
        asked += [label for place in rng.permutation(len(group))[: len(group) // 2] for label in group[place]]
    unknown = sorted(set(index.values()) - set(asked))
    return sorted(rng.choice(asked, most, replace=False).tolist() if most else asked), unknown


def few(clips: ClipList, labels: Iterable[int], number: int, seed: int) -> list[int]:
    """Positions of `number` clips of each class."""
    rng, chosen = np.random.default_rng(seed), []
    for label in labels:
        there = [position for position, clip in enumerate(clips.clips) if clip.label == label]
        chosen += rng.choice(there, number, replace=False).tolist()
    return sorted(chosen)


def auroc(known: Tensor, unknown: Tensor) -> float:
    """Area under the ROC curve in percent: how often a known clip scores higher than an unknown one; ties are half."""
    higher = known[:, None] > unknown
    ties = known[:, None] == unknown
    return 100 * float((higher.double() + ties.double() / 2).mean())


def accepted(known: Tensor, unknown: Tensor) -> float:
    """Percentage of unknown clips at or above the score that `KEPT` of the known ones reach."""
    return 100 * float((unknown >= known.double().quantile(1 - KEPT, interpolation="lower")).double().mean())


@torch.no_grad()
def logits_of(method: Method, features: Tensor, nulls: none_of_these.Nulls, names: tuple[str, ...]) -> Tensor:
    """Logits of the labels and the null names; the method then has the labels again."""
    method.set_classes((*names, *nulls.names))
    logits = method.head(features).float()
    method.set_classes(names)
    return logits


def scores(
    method: Method, features: Tensor, names: tuple[str, ...], frozen: Method
) -> tuple[dict[str, Tensor], dict[float, Tensor]]:
    """By score, its values for all clips; and by weight, whether none of these is the most probable."""
    nulls = none_of_these.null_names(method, names)
    logits = logits_of(method, features, nulls, names)
    asked, joint = logits[:, : len(names)], nulls.joint(logits)
    found = {
        "max_softmax": asked.softmax(1).amax(1),
        "max_logit": asked.amax(1),
        "energy": asked.logsumexp(1),
        "null_prompts": 1 - joint[:, -1].double(),
        "both": joint[:, :-1].amax(1),
    }
    if method.name == "zeroshot":
        every = none_of_these.null_names(method, names, most=None)
        found["null_prompts_all_names"] = 1 - every.joint(logits_of(method, features, every, names))[:, -1].double()
    else:
        frozen_nulls = none_of_these.null_names(frozen, names)
        accepted_by_clip = 1 - frozen_nulls.joint(logits_of(frozen, features, frozen_nulls, names))[:, -1].double()
        found["null_prompts_of_frozen_clip"] = accepted_by_clip
        found["max_softmax_times_frozen_clip"] = found["max_softmax"] * accepted_by_clip
    heavier = {w: joint[:, -1] * w / none_of_these.WEIGHT > joint[:, :-1].amax(1) for w in WEIGHTS}
    return found, heavier


def measure(
    method: Method, features: Tensor, known: Tensor, unknown: Tensor, names: tuple[str, ...], frozen: Method
) -> dict[str, Any]:
    """Figures of every score, and what each weight keeps and rejects."""
    found, rejected = scores(method, features, names, frozen)
    return {
        "num_known": int(known.sum()),
        "num_unknown": int(unknown.sum()),
        "scores": {
            name: {"auroc": auroc(s[known], s[unknown]), "unknown_accepted": accepted(s[known], s[unknown])}
            for name, s in found.items()
        },
        "weights": {
            f"{weight:g}": {
                "known_kept": 100 * float((~none[known]).double().mean()),
                "unknown_rejected": 100 * float(none[unknown].double().mean()),
            }
            for weight, none in rejected.items()
        },
    }


def average(runs: list[Any]) -> Any:
    """The mean over the seeds, number by number."""
    if isinstance(runs[0], dict):
        return {key: average([run[key] for run in runs]) for key in runs[0]}
    return round(mean(runs), 2)


def actionworld(seeds: list[int], most: int | None, trained: bool) -> dict[str, Any]:
    """The figures of one row on ActionWorld, of validation and test clips."""
    load_part = datasets.get("actionworld_v2").load
    parts = {part: load_part(split=1, part=part, size="small") for part in ("train", "val", "test")}
    frozen = methods.build("zeroshot", load_clip(BACKBONE), parts["train"].class_names)
    measured = {name: parts[part] for name, part in (("validation", "val"), ("test", "test"))}
    stored = {name: cached(frozen, clips.clips, DATA, num_workers=0) for name, clips in measured.items()}
    runs = []
    for seed in seeds:
        asked, unknown = divide(parts["train"], seed, most)
        names = tuple(parts["train"].class_names[label] for label in asked)
        method = train_few(parts["train"], asked, names, seed) if trained else frozen
        run = {}
        for name, clips in measured.items():
            labels = torch.tensor([clip.label for clip in clips.clips])
            assert len(stored[name].features) == len(labels), "every clip can be read"
            known, other = (torch.isin(labels, torch.tensor(chosen)) for chosen in (asked, unknown))
            run[name] = measure(method.eval(), stored[name].features.read()[:, 0], known, other, names, frozen)
        runs.append(run)
    return {
        "backbone": {"name": BACKBONE, "sha256": frozen.clip_sha256},
        "lists_sha256": {part: clips.sha256 for part, clips in parts.items()},
        "num_asked": len(names),
        "best_weight": choose(average([run["validation"]["weights"] for run in runs])),
        "mean": average(runs),
        "by_seed": dict(zip(map(str, seeds), runs)),
    }


def figures(rows: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The figures of every score by test, flat, for a page; rows are (what was asked, measurement)."""
    return [
        {
            "asked": asked,
            "score": name.replace("_", " "),
            "AUROC": found["auroc"],
            "accepted %": found["unknown_accepted"],
        }
        for asked, measured in rows
        for name, found in measured["scores"].items()
    ]


def on_test(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`figures` of the test clips."""
    return figures((f"{row['num_asked']} classes", row["mean"]["test"]) for row in rows)


def zero_shot(seeds: list[int]) -> dict[str, Any]:
    rows = [actionworld(seeds, most, trained=False) for most in (None, 4)]
    weights = average([row["mean"]["validation"]["weights"] for row in rows])
    used = {"null_names": none_of_these.MOST, "of": len(none_of_these.unrelated(None)), "weight": none_of_these.WEIGHT}
    best = {"best_weight": choose(weights), "in_use": used}
    return {
        "dataset": "actionworld_v2-small",
        "method": "zeroshot",
        **best,
        "rows": rows,
        "scores_on_test": on_test(rows),
    }


def few_shot(seeds: list[int]) -> dict[str, Any]:
    how = {"method": "seeing_in_flowing", "text_form": "late", "shots": SHOTS, "train": to_json(FEW_SHOT)}
    rows = [actionworld(seeds, None, trained=True)]
    return {"dataset": "actionworld_v2-small", **how, "rows": rows, "scores_on_test": on_test(rows)}


def choose(weights: dict[str, dict[str, float]]) -> float:
    """The weight with the highest sum of known clips kept and unknown ones rejected."""
    return float(max(weights, key=lambda weight: sum(weights[weight].values())))


def train_few(clips: ClipList, asked: list[int], names: tuple[str, ...], seed: int) -> Method:
    """`seeing_in_flowing` (late injection) trained on `SHOTS` clips of each asked class."""
    used = [clips.clips[place] for place in few(clips, asked, SHOTS, seed)]
    chosen = tuple(replace(clip, label=asked.index(clip.label)) for clip in used)
    options = methods.get("seeing_in_flowing").Config(text_form="late")
    method = methods.build("seeing_in_flowing", load_clip(BACKBONE), names, config=options, seed=seed)
    with tempfile.TemporaryDirectory(prefix="actionprompt-") as folder:
        part = ClipList("actionworld/few", chosen, names)
        train(method, part, Path(folder), config=replace(FEW_SHOT, seed=seed), data_config=DATA, device="cpu")
    return method


def real(seeds: list[int]) -> dict[str, Any]:
    root = Path(os.environ["ACTIONPROMPT_REAL_DATA"]) / "videos"
    module = datasets.get("ut_interaction")
    clips = [
        clip for k in range(1, 11) for clip in module.load(root / "ut_interaction/set1", split=k, part="test").clips
    ]
    names = module.load(root / "ut_interaction/set1", split=1, part="test").class_names
    everything = ClipList("ut_interaction", tuple(clips), names)
    strange = [
        *sorted((root / "gmdcsa24_falls").rglob("Fall/*.mp4")),
        *sorted((root / "surveillance_fight/fight").glob("*")),
    ]
    others = [Clip(path.relative_to(root).as_posix(), path, 0) for path in strange]
    frozen = methods.build("zeroshot", load_clip(BACKBONE), names)
    runs, thresholds = [], []
    for seed in seeds:
        used = few(everything, range(len(names)), TAUGHT, seed)
        free = [clip for place, clip in enumerate(clips) if place not in used]
        with tempfile.TemporaryDirectory(prefix="actionprompt-") as folder:
            given = {name: [clips[i].path for i in used if clips[i].label == label] for label, name in enumerate(names)}
            taught = teach(given, Path(folder, "taught"), backbone=BACKBONE, keep_features=False)
            predictor = load(taught.folder, device="cpu")
        stored = cached(predictor.method, [*free, *others], predictor.config, num_workers=0)
        assert not stored.broken
        known = torch.arange(len(stored.features)) < len(free)
        features = stored.features.read()[:, 0]
        runs.append(measure(predictor.method, features, known, ~known, names, frozen))
        with torch.no_grad():
            highest, answer = predictor.method.head(features).softmax(1).max(1)
        labels = torch.tensor([clip.label for clip in free])
        below = predictor.none_below
        thresholds.append({
            "held_out_top1": taught.held_out.top1 if taught.held_out is not None else None,
            "test_top1": 100 * float((answer[known] == labels).double().mean()),
            "below": below,
            "known_kept": None if below is None else 100 * float((highest[known] >= below).double().mean()),
            "unknown_rejected": None if below is None else 100 * float((highest[~known] < below).double().mean()),
        })  # fmt: skip
    return {
        "asked": "ut_interaction, set 1", "taught_clips": TAUGHT * len(names),
        "unknown": "falls (GMDCSA-24) and fights (surveillance)", "backbone": {"name": BACKBONE},
        "list_sha256": everything.sha256, "method": "seeing_in_flowing, as `teach` trains it",
        "mean": average(runs), "by_seed": dict(zip(map(str, seeds), runs)),
        "scores_on_test": figures([("6 classes of UT-Interaction", average(runs))]),
        "threshold_of_teach": dict(zip(map(str, seeds), thresholds)),
    }  # fmt: skip


PARTS = {"zero_shot": zero_shot, "few_shot": few_shot, "real": real}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/timeline"))
    options = parser.parse_args()
    for name in options.only:
        started = time.time()
        record = PARTS[name](options.seeds)
        facts = {**records.provenance(seed=options.seeds[0], started=started), "seeds": options.seeds, **record}
        records.write(options.out / f"none_{name}.json", facts)


if __name__ == "__main__":
    main()
