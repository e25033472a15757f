"""What the embedded CLIP cannot do, measured, since results on ActionWorld depend on it; next to the one before it.

    python benchmarks/experiments/tiny_clip_limits.py --before FOLDER --out results/tiny_clip/limits.json

FOLDER holds `tiny_clip` and `tiny_clip_zh`, as `world.train_clip` writes them; `--after` is another one, instead of the
models that ship with the package. For both models, and in both versions of ActionWorld:

- `names`: cosine of the embeddings of an action's name and its reversal's name, mean and highest over the pairs, in
  English and Chinese, in the templates of `zeroshot` and of `dual_semantic_tpr` and as bare names. If the two are one
  text to the tower, a classifier of these frozen names can hardly separate the actions.
- `clips`: zero-shot accuracy without training on 240 training clips, as evaluated, mirrored, cropped and in grey; and
  `pair`, how often a clip of a reversible pair of `test` is nearer to its own class than to the reversal. Means over
  frames give exactly 50 %, since the clips are twins.
- `relative`: the same accuracies over that as evaluated.
- `stills`: class, attributes and retrieval of held-out stills (`world.tiny_clip_scores.measure`), and the class after
  changes of the image, over that without (`measure_changes`).
- `wordings`: held-out wordings of the actions (`measure_names`).
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actionprompt import data, datasets, methods, records, transforms
from actionprompt.backbone import CLIP, TextTower
from actionprompt.clips import ClipList
from actionprompt.config import Augment, DataConfig
from actionprompt.methods import dual_semantic_tpr, zeroshot
from actionprompt.weights import TINY, TINY_ZH, load_chinese_text, load_clip
from actionprompt.world.scene import Version
from actionprompt.world.stills import Still
from actionprompt.world.tiny_clip import sha256_of
from actionprompt.world.tiny_clip_scores import embed_names, measure, measure_changes, measure_names
from actionprompt.world.training_stills import held_out_stills

NUM_CLIPS, NUM_STILLS, BATCH_SIZE, SEED = 240, 1000, 24, 0
WORLDS: dict[Version, str] = {"1": "actionworld", "2": "actionworld_v2"}
EVALUATED = "as evaluated"
AUGMENTS = {
    EVALUATED: Augment((1, 1), (1, 1), flip=0, grey=0),
    "mirrored": Augment((1, 1), (1, 1), flip=1, grey=0),
    "crops of 0.6 to 1": Augment((0.6, 1), flip=0, grey=0),
    "crops of 0.3 to 1": Augment((0.3, 1), (3 / 4, 4 / 3), flip=0, grey=0),
    "crops of 0.08 to 1": Augment((0.08, 1), flip=0, grey=0),
    "grey": Augment((1, 1), (1, 1), flip=0, grey=1),
}
TEMPLATES = {
    "english": {
        "zeroshot": zeroshot.VIDEO_TEMPLATES, "dual_semantic_tpr": (dual_semantic_tpr.Config.template,), "bare": ("{}",)
    },
    "chinese": {"zeroshot": zeroshot.VIDEO_TEMPLATES_ZH, "bare": ("{}",)},
}  # fmt: skip
Models = tuple[CLIP, TextTower]
Row = dict[str, Any]


def reversed_names(models: Models, clips: ClipList, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Cosines of the names of each pair, mean and highest, and of all names on average, by language and template."""
    of = {"english": (models[0].text, clips.class_names), "chinese": (models[1], clips.class_names_zh or ())}
    at, rows = {name: index for index, name in enumerate(clips.class_names)}, []
    for language, ways in TEMPLATES.items():
        tower, class_names = of[language]
        for way, templates in ways.items():
            cosine = (x := embed_names(tower.sentences, class_names, templates)) @ x.T
            found = torch.stack([cosine[at[one], at[two]] for one, two in pairs])
            others = cosine[~torch.eye(len(class_names), dtype=torch.bool)]
            numbers = {"reversed, mean": found.mean(), "reversed, highest": found.max(), "all, mean": others.mean()}
            rows.append({"language": language, "template": way, **{k: round(float(v), 3) for k, v in numbers.items()}})
    return rows


def augmented(method: Any, clips: ClipList) -> dict[str, float]:
    """Zero-shot accuracy on `NUM_CLIPS` clips under each of `AUGMENTS`."""
    side_px, pixels = method.clip.image.image_size, method.clip.pixels
    positions = [(0, int(index)) for index in np.random.default_rng(SEED).permutation(len(clips.clips))[:NUM_CLIPS]]
    dataset = data.VideoDataset(clips.clips, DataConfig(), side_px=side_px, training=True, pixels=pixels, seed=SEED)
    right: dict[str, list[bool]] = {name: [] for name in AUGMENTS}
    for start in range(0, len(positions), BATCH_SIZE):
        batch = data.collate([dataset[position] for position in positions[start : start + BATCH_SIZE]])
        for name, augment in AUGMENTS.items():
            video = transforms.augment(
                batch.video[:, 0], batch.aspect, augment, side_px=side_px, mean=pixels.mean, std=pixels.std,
                rngs=[data.clip_rng(SEED, position, "augment") for position in batch.position],
            )  # fmt: skip
            right[name] += (method(video).argmax(1) == batch.label).tolist()
    return {name: float(np.mean(x)) for name, x in right.items()}


def pair_accuracy(method: Any, clips: ClipList, pairs: Sequence[tuple[str, str]]) -> float:
    """How often clips of reversible pairs are nearer to their own class than to its reversal, in percent."""
    at = clips.class_names.index
    reverse = {at(a): at(b) for one, two in pairs for a, b in ((one, two), (two, one))}
    side_px, pixels = method.clip.image.image_size, method.clip.pixels
    dataset = data.VideoDataset(clips.clips, DataConfig(), side_px=side_px, training=False, pixels=pixels)
    right: list[bool] = []
    for index, clip in enumerate(clips.clips):
        if clip.label in reverse:
            batch = data.collate([dataset[(0, index)]])
            logits = method(transforms.normalise(batch.video[:, 0], mean=pixels.mean, std=pixels.std))[0]
            right.append(bool(logits[clip.label] > logits[reverse[clip.label]]))
    return 100 * float(np.mean(right))


def on_stills(models: Models, stills: Sequence[Still], version: Version) -> Row:
    """Percent right for each attribute, kind of class and way of retrieval, in both languages; and what changes of the
    image leave of the class."""
    changes: dict[str, Any] = measure_changes(models[0], stills)
    plain = changes["none"]["accuracy"]
    left = {name: round(x["accuracy"] / plain, 3) for name, x in changes.items() if name != "none"}
    out: Row = {"class": plain, **{f"class after {name}, relative": x for name, x in left.items()}}
    for language, found in measure(*models, stills, version).items():
        numbers = {name: x["accuracy"] for name, x in found["zero-shot"].items()}
        numbers |= {f"{way} R@1": x["R@1"] for way, x in found["retrieval"].items()}
        out |= {f"{language}, {name}": x for name, x in numbers.items()}
    return out


@torch.no_grad()
def limits(of: dict[str, Models], *, size: str) -> dict[str, Any]:
    out: dict[str, list[Row]] = {name: [] for name in ("names", "clips", "relative", "wordings")}
    of_stills: dict[str, Row] = {}
    for version, name in WORLDS.items():
        world, stills = datasets.get(name), held_out_stills(NUM_STILLS, version)
        train, test = (world.load(split=1, part=part, size=size) for part in ("train", "test"))
        for label, models in of.items():
            about = {"model": label, "world": version}
            out["names"] += [{**about, **row} for row in reversed_names(models, train, world.PAIRS)]
            method = methods.build("zeroshot", models[0], train.class_names).eval()
            accuracy, pair = augmented(method, train), pair_accuracy(method, test, world.PAIRS)
            out["clips"].append({**about, **{k: round(100 * x, 1) for k, x in accuracy.items()}, "pair": pair})
            relative = {k: round(x / accuracy[EVALUATED], 3) for k, x in accuracy.items() if k != EVALUATED}
            out["relative"].append({**about, **relative})
            for what, value in on_stills(models, stills, version).items():
                of_stills.setdefault(what, {})[f"version {version}, {label}"] = value
    for label, models in of.items():
        heard = measure_names(*models)["held-out wordings"]
        out["wordings"].append({"model": label, **{name: x["accuracy"] for name, x in heard.items()}})
    return {**out, "stills": of_stills}


def load(folder: Path | None) -> Models:
    if folder is None:
        return load_clip(TINY), load_chinese_text(TINY_ZH)
    return load_clip(folder / "tiny_clip"), load_chinese_text(folder / "tiny_clip_zh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record")
    parser.add_argument("--before", type=Path, required=True, help="folder of the models to compare with")
    parser.add_argument("--after", type=Path, help="folder of other models than those that ship")
    parser.add_argument("--size", default="small", help="of the data sets")
    options = parser.parse_args()
    started = time.time()
    torch.set_num_threads(1)
    of = {"before": load(options.before), "after": load(options.after)}
    found = limits(of, size=options.size)
    records.write(options.out, {
        **records.provenance(seed=SEED, started=started), "before": sha256_of(options.before / "tiny_clip"), **found,
    })  # fmt: skip


if __name__ == "__main__":
    main()
