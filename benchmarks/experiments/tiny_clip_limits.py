"""What the tiny CLIP cannot do, measured, since results on ActionWorld depend on it.

    python benchmarks/experiments/tiny_clip_limits.py --out results/tiny_clip/tiny_clip_limits.json

- Names: cosine similarity of the embeddings of an action's name and its reversal's name, in English and Chinese, in the
  templates of `zeroshot` and of `dual_semantic_tpr` and as bare names. If the two are one text to the tower, a
  classifier of these frozen names can hardly separate the actions.
- Augmentation: zero-shot accuracy without training on 240 training clips, as evaluated, mirrored, cropped and in grey;
  and relative to the accuracy as evaluated.
- Order: how often a clip of a reversible pair of `test` is nearer to its own class than to the reversal. Means over
  frames give exactly 50 %, since the clips are twins.

`--world` chooses the version of ActionWorld, `--backbone` the models: `tiny`, or a folder as `world.train_clip` writes
it, with the Chinese tower in the folder of that name with `_zh`.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from actionprompt import data, datasets, methods, records, transforms
from actionprompt.backbone import TextTower
from actionprompt.clips import ClipList
from actionprompt.config import Augment, DataConfig
from actionprompt.methods import dual_semantic_tpr, zeroshot
from actionprompt.weights import TINY, TINY_ZH, load_chinese_text, load_clip

NUM_CLIPS, BATCH_SIZE, SEED = 240, 24, 0
EVALUATED = "as evaluated"
AUGMENTS = {
    EVALUATED: Augment((1, 1), (1, 1), flip=0, grey=0),
    "mirrored": Augment((1, 1), (1, 1), flip=1, grey=0),
    "crops of 0.8 to 1": Augment((0.8, 1), flip=0, grey=0),
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


def names(tower: TextTower, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """The L2-normalised mean embedding [K, E] of each name over the templates."""
    texts = F.normalize(
        tower.sentences([template.format(name) for name in class_names for template in templates]), dim=-1
    )
    return F.normalize(texts.unflatten(0, (len(class_names), -1)).mean(1), dim=-1)


def measure_names(towers: dict[str, TextTower], clips: ClipList, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Cosines of the names of each pair, and of all names on average, by language and template."""
    of = {"english": clips.class_names, "chinese": clips.class_names_zh or ()}
    cosines = {
        f"{language}, {way}": (x := names(towers[language], of[language], templates)) @ x.T
        for language, ways in TEMPLATES.items() for way, templates in ways.items()
    }  # fmt: skip
    at = {name: index for index, name in enumerate(clips.class_names)}
    off_diagonal = ~torch.eye(len(at), dtype=torch.bool)
    return {
        "names_of_reversed_actions_cosine": [
            {"pair": pair, **{way: round(float(x[at[pair[0]], at[pair[1]]]), 4) for way, x in cosines.items()}}
            for pair in pairs
        ],
        "names_of_all_classes_mean_cosine": {
            way: round(float(x[off_diagonal].mean()), 4) for way, x in cosines.items()
        },
    }


def measure_augmented(method: Any, clips: ClipList) -> dict[str, Any]:
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
    accuracy = {name: float(np.mean(x)) for name, x in right.items()}
    return {
        "untrained_accuracy_percent": {name: round(100 * x, 2) for name, x in accuracy.items()},
        "relative_to_as_evaluated": {name: round(x / accuracy[EVALUATED], 3) for name, x in accuracy.items()},
        "clips": len(positions),
    }


def measure_order(method: Any, clips: ClipList, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """How often clips of reversible pairs are nearer to their own class than to its reversal."""
    reverse = {
        clips.class_names.index(a): clips.class_names.index(b)
        for one, two in pairs
        for a, b in ((one, two), (two, one))
    }
    side_px, pixels = method.clip.image.image_size, method.clip.pixels
    dataset = data.VideoDataset(clips.clips, DataConfig(), side_px=side_px, training=False, pixels=pixels)
    right: list[bool] = []
    for index, clip in enumerate(clips.clips):
        if clip.label in reverse:
            batch = data.collate([dataset[(0, index)]])
            logits = method(transforms.normalise(batch.video[:, 0], mean=pixels.mean, std=pixels.std))[0]
            right.append(bool(logits[clip.label] > logits[reverse[clip.label]]))
    return {"untrained_pair_accuracy_percent": round(100 * float(np.mean(right)), 2), "pair_clips": len(right)}


@torch.no_grad()
def measure(world: ModuleType, backbone: str, *, size: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    train, test = (world.load(split=1, part=part, size=size) for part in ("train", "test"))
    clip = load_clip(backbone)
    towers = {"english": clip.text, "chinese": load_chinese_text(TINY_ZH if backbone == TINY else f"{backbone}_zh")}
    found = measure_names(towers, train, world.PAIRS)
    method = methods.build("zeroshot", clip, train.class_names).eval()
    return {**found, **measure_augmented(method, train), **measure_order(method, test, world.PAIRS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record")
    parser.add_argument("--world", choices=("actionworld", "actionworld_v2"), default="actionworld")
    parser.add_argument("--backbone", default=TINY, help=f"{TINY}, or a folder")
    parser.add_argument("--size", default="small", help="of the data set")
    options = parser.parse_args()
    started = time.time()
    found = measure(datasets.get(options.world), options.backbone, size=options.size)
    about = {"world": options.world, "backbone": records.public(options.backbone)}
    records.write(options.out, {**records.provenance(seed=SEED, started=started), **about, **found})


if __name__ == "__main__":
    main()
