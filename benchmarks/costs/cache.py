"""What the cache of frame features saves: the first epoch of a method with frozen features, which decodes and encodes
the clips, compared with its second, which reads features from memory. One run that starts with an empty cache.

    python benchmarks/costs/cache.py [--backbone random:ViT-B/32] [--clips 24]
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

from actionprompt import methods, records
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import actionworld
from actionprompt.training import Step, train
from actionprompt.weights import load_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="random:ViT-B/32")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("results/costs/cache.json"))
    args = parser.parse_args()
    started = time.time()
    every = actionworld.load(size="mini", part="train")
    step = max(1, len(every.clips) // args.clips)
    clips = dataclasses.replace(every, clips=every.clips[::step][: args.clips])
    module = methods.get("zeroshot")
    method = methods.build(
        "zeroshot", load_clip(args.backbone), clips.class_names, config=module.VARIANTS["transformer"]
    )
    ends: list[float] = []

    def on_step(now: Step) -> None:
        if now.step % (now.num_steps // 3) == 0:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        os.environ["ACTIONPROMPT_CACHE"] = folder
        config = TrainConfig(epochs=3, batch_size=8, lr=1e-3)
        began = time.perf_counter()
        train(
            method, clips, Path(folder) / "run", config=config, data_config=DataConfig(num_frames=8), device="cpu",
            on_step=on_step,
        )  # fmt: skip
    first, second = ends[0] - began, ends[1] - ends[0]
    record = {
        **records.provenance(seed=0, started=started),
        "what": "first epoch (decoding, encoding, training) relative to the second (training from the cache)",
        "backbone": args.backbone,
        "clips": len(clips.clips),
        "frames": 8,
        "seconds": {"first": round(first, 3), "second": round(second, 4)},
        "ratio": round(first / second, 1),
        "limit": 50,
    }
    records.write(args.out, record)
    print(json.dumps({key: record[key] for key in ("backbone", "clips", "seconds", "ratio")}, indent=1))


if __name__ == "__main__":
    main()
