"""The queue of ActionWorld records: every line below is one `actionprompt run`; those that have a record are passed by.

    python benchmarks/actionworld.py [--only zeroshot] [--out results]

Sized for two CPU cores: `small` (720 training and 360 test clips), the embedded tiny CLIP, 8 frames. Methods with
frozen features train from the cache, in seconds to a few minutes per record; those that run the tower in every step
take longer and come last. Stop it at any time and start it again: it goes on where it stopped, also inside a training.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

SMALL = "--clips.dataset actionworld --clips.size small"
HEAD = "--train.epochs 60 --train.batch-size 64 --train.lr 1e-3 --train.warmup-epochs 5"
FLOW = "--train.epochs 30 --train.batch-size 32 --train.lr 5e-4 --train.warmup-epochs 3"
QUEUE = [
    # what the instrument must show: order-free heads cannot tell a reversible pair, an order-aware one can
    f"zeroshot --protocol zero-shot --splits 1 2 3 {SMALL} --seeds 0",
    f"zeroshot --variant linear {SMALL} {HEAD} --seeds 0 1 2",
    f"zeroshot --variant transformer {SMALL} {HEAD} --seeds 0 1 2",
    f"zeroshot --protocol zero-shot --splits 1 2 3 --part scene_bias {SMALL} --seeds 0",
    f"zeroshot --variant linear --part scene_bias {SMALL} {HEAD} --seeds 0 1 2",
    f"zeroshot --variant transformer --part scene_bias {SMALL} {HEAD} --seeds 0 1 2",
    # motion prompts
    f"seeing_in_flowing {SMALL} {FLOW} --seeds 0 1 2",
    *(f"seeing_in_flowing --variant {v} {SMALL} {FLOW} --seeds 0 1 2"
      for v in ("no_motion", "no_spatial", "no_map", "no_mcb", "no_short", "no_long")),
    *(f"{method} --protocol few-shot --shots {k} {SMALL} {options} --seeds 0 1 2"
      for k in (2, 4, 8, 16)
      for method, options in (("zeroshot --variant transformer", HEAD), ("seeing_in_flowing", FLOW))),
    f"seeing_in_flowing --protocol base-to-novel --shots 16 {SMALL} {FLOW} --seeds 0 1 2",
    f"zeroshot --variant transformer --protocol base-to-novel --shots 16 {SMALL} {HEAD} --seeds 0 1 2",
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
            print(f"{'ok' if done.returncode == 0 else 'FAILED'} {time.time() - began:.0f} s: {command} seed {seed}")
            if done.returncode:
                failed.append(line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
