"""Two limits of the embedded tiny CLIP that affect every number on ActionWorld.

    python benchmarks/experiments/tiny_clip_limits.py --out results/tiny_clip/tiny_clip_limits.json

- Names: cosine similarity of the embeddings of an action's name and its reversal's name, in English and Chinese. On
  stills the two are one action, so a classifier of these frozen names can hardly separate them.
- Augmentation: zero-shot accuracy without training on 240 training clips, as evaluated, mirrored, cropped as usual, and
  in grey. The tiny CLIP was trained on whole coloured stills.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actionprompt import data, methods, records, transforms
from actionprompt.config import Augment, DataConfig
from actionprompt.datasets import actionworld
from actionprompt.weights import TINY, load_clip
from actionprompt.world.actions import PAIRS

NUM_CLIPS, SEED = 240, 0
AUGMENTS = {
    "as evaluated": Augment((1, 1), (1, 1), flip=0, grey=0),
    "mirrored": Augment((1, 1), (1, 1), flip=1, grey=0),
    "crops of 0.8 to 1": Augment((0.8, 1), flip=0, grey=0),
    "crops of 0.6 to 1": Augment((0.6, 1), flip=0, grey=0),
    "crops of 0.08 to 1": Augment((0.08, 1), flip=0, grey=0),
    "grey": Augment((1, 1), (1, 1), flip=0, grey=1),
}


@torch.no_grad()
def measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    clips = actionworld.load(split=1, part="train", size="small")
    clip = load_clip(TINY)
    dual: Any = methods.build("dual_semantic_tpr", load_clip(TINY), clips.class_names, clips.class_names_zh)
    names = {"english": dual.text, "chinese": dual.text_zh}
    at = {name: index for index, name in enumerate(clips.class_names)}
    alike = [
        {"pair": pair, **{language: round(float(x[at[pair[0]]] @ x[at[pair[1]]]), 4) for language, x in names.items()}}
        for pair in PAIRS
    ]
    off_diagonal = ~torch.eye(len(at), dtype=torch.bool)
    between = {language: round(float((x @ x.T)[off_diagonal].mean()), 4) for language, x in names.items()}

    method = methods.build("zeroshot", clip, clips.class_names).eval()
    side_px, order = clip.image.image_size, np.random.default_rng(SEED).permutation(len(clips.clips))[:NUM_CLIPS]
    positions = [(0, int(index)) for index in order]
    dataset = data.VideoDataset(
        clips.clips, DataConfig(), side_px=side_px, training=True, pixels=clip.pixels, seed=SEED
    )
    right: dict[str, list[bool]] = {name: [] for name in AUGMENTS}
    for start in range(0, NUM_CLIPS, 24):
        batch = data.collate([dataset[position] for position in positions[start : start + 24]])
        for name, augment in AUGMENTS.items():
            video = transforms.augment(
                batch.video[:, 0], batch.aspect, augment, side_px=side_px, mean=clip.pixels.mean, std=clip.pixels.std,
                rngs=[data.clip_rng(SEED, position, "augment") for position in batch.position],
            )  # fmt: skip
            right[name] += (method(video).argmax(1) == batch.label).tolist()
    return {
        "names_of_reversed_actions_cosine": alike,
        "names_of_all_classes_mean_cosine": between,
        "untrained_accuracy_percent": {name: round(100 * float(np.mean(x)), 2) for name, x in right.items()},
        "clips": NUM_CLIPS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record")
    options = parser.parse_args()
    started = time.time()
    records.write(options.out, {**records.provenance(seed=SEED, started=started), **measure()})


if __name__ == "__main__":
    main()
