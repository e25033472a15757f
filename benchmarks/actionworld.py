"""The queue of ActionWorld records: every line below is one `actionprompt run`; those that have a record are passed by.

    python benchmarks/actionworld.py [--only zeroshot] [--out results]

Sized for two CPU cores: `small` (720 training and 360 test clips), the embedded tiny CLIP, 8 frames, views 1x1. Methods
with frozen features train from the cache, in one or two minutes per record. Methods with the tower in every step pay 70
to 90 ms of one core per clip and step: four to five minutes per record. Stop it at any time and start it again: it goes
on where it stopped, also inside a training. Two of these at once, with different `--only`, use two cores best.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

SMALL = "--clips.dataset actionworld --clips.size small"
CLOSED = f"--also scene_bias {SMALL}"
HEAD = "--train.epochs 60 --train.batch-size 64 --train.lr 1e-3 --train.warmup-epochs 5"
FLOW = "--train.batch-size 32 --train.lr 5e-4 --train.warmup-epochs 2 --method.pairs-per-chunk 2048"
FLOW_EPOCHS = {2: 60, 4: 60, 8: 30, 16: 15}
THREE, ONE = "--seeds 0 1 2", "--seeds 0"
QUEUE = [
    # what the instrument must show: order-free heads cannot tell a reversible pair, an order-aware one can
    f"zeroshot --protocol zero-shot --splits 1 2 3 {CLOSED} {ONE}",
    f"zeroshot --variant linear {CLOSED} {HEAD} {THREE}",
    f"zeroshot --variant transformer {CLOSED} {HEAD} {THREE}",
    # Seeing in Flowing: each block removed; few-shot; classes never trained on
    f"seeing_in_flowing {CLOSED} {FLOW} --train.epochs 12 {THREE}",
    *(f"seeing_in_flowing --variant {v} {CLOSED} {FLOW} --train.epochs 12 {THREE}"
      for v in ("no_motion", "no_mcb", "no_map", "no_short", "no_long", "no_spatial")),
    f"seeing_in_flowing --protocol base-to-novel --shots 16 {SMALL} {FLOW} --train.epochs 24 {THREE}",
    *(f"{method} --protocol few-shot --shots {k} {SMALL} {options} {THREE}"
      for k, epochs in FLOW_EPOCHS.items()
      for method, options in (("zeroshot --variant linear", HEAD), ("zeroshot --variant transformer", HEAD),
                              ("seeing_in_flowing", f"{FLOW} --train.epochs {epochs}"))),
    f"zeroshot --variant transformer --protocol base-to-novel --shots 16 {SMALL} {HEAD} {THREE}",
    f"zeroshot --variant linear --protocol base-to-novel --shots 16 {SMALL} {HEAD} {THREE}",
]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="lines that start with this")
    parser.add_argument("--out", type=Path, default=Path("results"))
    args = parser.parse_args()
    failed = []
    for line in (line for line in QUEUE if line.startswith(args.only)):
        command, seeds = line.split(" --seeds ")
        for seed in seeds.split():
            began = time.time()
            call = [sys.executable, "-m", "actionprompt", "run", *command.split(), "--seeds", seed]
            done = subprocess.run([*call, "--out", str(args.out), "--skip-existing"], check=False)
            outcome = "ok" if done.returncode == 0 else "FAILED"
            print(f"{outcome} {time.time() - began:.0f} s: {command} seed {seed}", flush=True)
            if done.returncode:
                failed.append(line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
