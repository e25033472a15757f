"""What evaluation costs on top of the bare tower, from decoded frames to class scores.

Compares, alternating in one run, `clip.image` on pixel-normalised frames with all that the evaluator does for the same
uint8 frames: normalise pixels, `Method.encode`, `Method.head`, pooling over the views. Decoding runs in the loader's
worker processes and is measured in `decode.py`.

    python benchmarks/costs/encode.py [--backbone random:ViT-B/32] [--clips 4] [--repeats 5]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from actionprompt import methods, records, transforms
from actionprompt.evaluation import pool_views
from actionprompt.weights import load_clip

NAMES = [f"class number {index}" for index in range(51)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="random:ViT-B/32")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/costs/encode.json"))
    args = parser.parse_args()
    started = time.time()
    clip = load_clip(args.backbone)
    method = methods.build("zeroshot", clip, NAMES).eval()
    side = clip.image.image_size
    shape = (args.clips, args.frames, 3, side, side)
    video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = transforms.normalise(video, mean=clip.pixels.mean, std=clip.pixels.std).flatten(0, 1)

    @torch.no_grad()
    def tower() -> None:
        clip.image(pixels)

    @torch.no_grad()
    def whole() -> None:
        frames = transforms.normalise(video, mean=clip.pixels.mean, std=clip.pixels.std)
        pool_views(method.head(method.encode(frames)).unflatten(0, (args.clips, 1)), "probabilities")

    seconds: dict[str, list[float]] = {"tower": [], "whole": []}
    for repeat in range(args.repeats + 1):
        for name, run in (("tower", tower), ("whole", whole)):
            began = time.process_time()  # of all threads, since the machine is shared
            run()
            if repeat:  # the first repetition is the warm-up
                seconds[name].append(time.process_time() - began)
    ratios = [whole / tower for whole, tower in zip(seconds["whole"], seconds["tower"])]
    record = {
        **records.provenance(seed=0, started=started),
        "what": "processor seconds from uint8 frames to class scores, as a ratio to the bare image tower",
        "backbone": args.backbone,
        "clips": args.clips,
        "frames": args.frames,
        "seconds": {name: round(statistics.median(values), 4) for name, values in seconds.items()},
        "ratio_median": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "limit": 1.10,
    }
    records.write(args.out, record)
    print(json.dumps({key: record[key] for key in ("backbone", "seconds", "ratio_median", "ratios")}, indent=1))


if __name__ == "__main__":
    main()
