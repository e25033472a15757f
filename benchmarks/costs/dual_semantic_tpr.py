"""What the parts of `dual_semantic_tpr` cost at ViT-B/16, T = 8, S = 8.

    python benchmarks/costs/dual_semantic_tpr.py --out results/costs/dual_semantic_tpr_speed.json

The cost of the whole method relative to the bare tower is measured by `actionprompt bench`, and so is its memory. Here:

- MACs (multiply-accumulate operations) of the tower with prompts, with prompts and beta, and of the head for 400
  classes of 8 words, counted as the operations run.
- The time of each part of one layer, relative to the bare layer.
- The time of a training step (forward, loss, backward, optimiser), relative to a step through the frozen tower with a
  gradient at its first tokens: the minimum for any method with prompts in the first layer.

One clip, random weights (speed does not depend on them), one thread, processor time. The candidates alternate, and a
ratio is the median of the ratios per repetition, so that load on a shared machine slows both sides alike.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt import methods, records
from actionprompt.datasets import read_labels
from actionprompt.methods.dual_semantic_tpr import VARIANTS, join
from actionprompt.study.meters import against, count_macs, turns
from actionprompt.weights import load_clip

NUM_FRAMES = 8


@torch.no_grad()
def infer(run: Callable[[Tensor], Any], x: Tensor) -> Any:
    return run(x)


def measure(repeats: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    labels = read_labels("hmdb51")
    clip = load_clip("random:ViT-B/16")
    method: Any = methods.build("dual_semantic_tpr", clip, labels.english, labels.chinese)
    plain: Any = methods.build("dual_semantic_tpr", clip, labels.english, config=VARIANTS["prompts"])
    tower, layer, prompts = clip.image, clip.image.layers[0], method.prompts[0]
    video = torch.randn(1, NUM_FRAMES, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    frames, label = video.flatten(0, 1), torch.tensor([7])

    x = infer(tower.pre_norm, infer(tower.embed, frames)).unflatten(0, (1, NUM_FRAMES))
    pieces = infer(prompts, x[:, :, 0])
    tokens = join([x, *pieces], (1, NUM_FRAMES)).flatten(0, 1)
    parts = {
        "bare layer": partial(infer, layer, x[0]),
        "attention, 197 tokens": partial(infer, layer.attend, x[0]),
        "attention, 214 tokens": partial(infer, layer.attend, tokens),
        "MLP, 197 tokens": partial(infer, layer.feed_forward, x[0]),
        "prompts, Eq. 8-10": partial(infer, prompts.plain, x[:, :, 0]),
        "prompts, Eq. 8-12": partial(infer, prompts, x[:, :, 0]),
        "joining tokens and prompts": partial(infer, lambda x: join([x, *pieces], (1, NUM_FRAMES)), x),
    }
    parts_of_a_layer = against(turns(parts, 3 * repeats), "bare layer")

    def frozen_step() -> None:
        x = tower.pre_norm(tower.embed(frames)).requires_grad_()
        for layer in tower.layers:
            x = layer(x)
        tower.project(x[:, 0]).square().mean().backward()

    optimizer = torch.optim.AdamW(method.param_groups(1e-6))

    def step() -> None:
        method.train()(video, label)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    training_step = against(turns({"frozen tower": frozen_step, "whole method": step}, repeats), "frozen tower")

    for m in (method, plain):
        m.eval().requires_grad_(False)
    features = method.encode(video)
    method.text, method.text_zh = torch.randn(2, 400, clip.embed_dim).unbind()
    method.words, method.word_share = torch.randn(400, 8, clip.embed_dim), torch.full((400, 8), 1 / 8)
    counted = {
        "bare tower": count_macs(lambda: tower(frames)),
        "prompts without beta": count_macs(lambda: plain.encode(video)),
        "whole method": count_macs(lambda: method.encode(video)),
        "head, 400 classes of 8 words": count_macs(lambda: method.head(features)),
    }
    return {
        "backbone": "ViT-B/16, random weights",
        "num_frames": NUM_FRAMES,
        "num_prompts": NUM_FRAMES + 1 + method.config.num_global,
        "macs": {
            name: {"G": round(n / 1e9, 2), "ratio": round(n / counted["bare tower"], 4)} for name, n in counted.items()
        },
        "parts_of_a_layer": parts_of_a_layer,
        "training_step": training_step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    started = time.time()
    result = measure(options.repeats)
    records.write(options.out, {**records.provenance(seed=0, started=started), "threads": 1, **result})


if __name__ == "__main__":
    main()
