"""What temporal prompts cost: `dual_semantic_tpr` at ViT-B/16, T = 8, S = 8, against the bare tower in one run.

    python benchmarks/costs/dual_semantic_tpr.py --out results/costs/dual_semantic_tpr_speed.json

One clip on one thread, in processor time; the candidates take turns, and a ratio is the median of the ratios within a
turn, so that a busy machine slows both sides alike. Random weights: speed does not depend on them.

- Inference: `encode` of one clip, against `clip.image` on the same 8 frames; and the head with 400 classes of 8 words.
- A training step (forward, loss, backward, optimiser), against the tower with frozen weights and a gradient at its
  first tokens: the least that any method with prompts in the first layer pays.
- Where the time goes: each part of a layer by itself.
- Multiply-adds, counted as the operations run.

Memory at the published batch of 32 is counted by `actionprompt bench`.
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
        "attend, 197 tokens": partial(infer, layer.attend, x[0]),
        "attend, 214 tokens": partial(infer, layer.attend, tokens),
        "feed, 197 tokens": partial(infer, layer.feed_forward, x[0]),
        "prompts, Eq. 8-10": partial(infer, prompts.plain, x[:, :, 0]),
        "prompts, Eq. 8-12": partial(infer, prompts, x[:, :, 0]),
        "joining tokens and prompts": partial(infer, lambda x: join([x, *pieces], (1, NUM_FRAMES)), x),
    }
    inference = {
        "bare tower": partial(infer, tower, frames),
        "prompts without beta": partial(infer, plain.eval().encode, video),
        "whole method": partial(infer, method.eval().encode, video),
    }
    timed = {
        "parts_of_a_layer": against(turns(parts, 3 * repeats), "bare layer"),
        "inference": against(turns(inference, repeats), "bare tower"),
    }

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

    timed["training_step"] = against(
        turns({"frozen tower": frozen_step, "whole method": step}, repeats), "frozen tower"
    )

    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)

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
    timed["head"] = against(
        turns({"400 classes of 8 words": partial(infer, method.head, features)}, 5), "400 classes of 8 words"
    )
    return {
        "backbone": "ViT-B/16, random weights",
        "num_frames": NUM_FRAMES,
        "num_prompts": NUM_FRAMES + 1 + method.config.num_global,
        "trained_parameters": trained,
        "macs": {
            name: {"G": round(n / 1e9, 2), "ratio": round(n / counted["bare tower"], 4)} for name, n in counted.items()
        },
        **timed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    started = time.time()
    result = measure(options.repeats)
    records.write(options.out, {**records.provenance(seed=0, started=started), "threads": 1, **result})


if __name__ == "__main__":
    main()
