"""The queue of ActionWorld records: every line is one `actionprompt run`; runs whose record exists are skipped.

    python benchmarks/experiments/actionworld.py [--only mip_clip vita_clip] [--out results/records]

Sized for two CPU cores: `small` (720 training and 360 test clips), the embedded tiny CLIP, 8 frames, views 1x1. Methods
with frozen features train from the cache, in one or two minutes per record. Methods that run the tower in every step
take about 45 ms of one core per clip and step in bf16, three minutes per record. A processor without bf16 instructions
is many times slower in bf16 and about two times slower in float32: use `--precision no` there. Few epochs at high
learning rates: the papers' recipes, for thirty epochs and more of full-size towers, would not converge in that time.
No random crops and no grey images, which the tiny CLIP was not trained on: without training, it recognises 48 % of 240
training clips, 30 % after crops of 0.6 to 1, 13 % in grey (results/tiny_clip/tiny_clip_limits.json).

It can be interrupted at any time: started again, it resumes, also within a training. The first seed of every line comes
first. Two of these processes with different `--only` use two cores best.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SMALL = "--clips.dataset actionworld --clips.size small"
CLOSED = f"--also scene_bias {SMALL}"
HEAD = "--train.epochs 60 --train.batch-size 64 --train.lr 1e-3 --train.warmup-epochs 5"
FLOW = "--train.batch-size 32 --train.lr 5e-4 --train.warmup-epochs 2 --method.pairs-per-chunk 2048"
FLOW_EPOCHS = {2: 60, 4: 60, 8: 30, 16: 15}
TOWER = (
    "--train.mixed-precision bf16 --train.batch-size 16 --train.warmup-epochs 0.5 --train.num-workers 0 "
    "--data.augment.crop-scale 1 1 --data.augment.crop-ratio 1 1 --data.augment.grey 0 --data.augment.rand-augment None"
)
TUNED = f"{TOWER} --train.lr 5e-5 --data.num-clips 1 --data.num-crops 1 --data.no-random-groups"
PROMPTS = f"{TOWER} --train.lr 2e-3"
TOWER_EPOCHS = {2: 20, 4: 10, 8: 5, 16: 4}
EIGHT_FRAMES = {"dual_semantic_tpr": ("--method.num-frames", "8", "--data.num-frames", "8")}
"""Added to the commands of a method whose own number of frames is another one."""
THREE, ONE = "--seeds 0 1 2", "--seeds 0"
QUEUE = [
    # sanity check: heads blind to the order of frames stay at chance within pairs, an order-aware head does not
    f"zeroshot --protocol zero-shot --splits 1 2 3 {CLOSED} {ONE}",
    f"zeroshot --variant linear {CLOSED} {HEAD} {THREE}",
    f"zeroshot --variant transformer {CLOSED} {HEAD} {THREE}",
    # Seeing in Flowing: each block removed; few-shot; classes never trained on
    f"seeing_in_flowing {CLOSED} {FLOW} --train.epochs 12 {THREE}",
    *(f"seeing_in_flowing --variant {v} {CLOSED} {FLOW} --train.epochs 12 {THREE}"
      for v in ("no_motion", "no_mcb", "no_map", "no_short", "no_long", "no_spatial", "late")),
    f"seeing_in_flowing --protocol base-to-novel --shots 16 {SMALL} {FLOW} --train.epochs 24 {THREE}",
    *(f"{method} --protocol few-shot --shots {k} {SMALL} {options} {THREE}"
      for k, epochs in FLOW_EPOCHS.items()
      for method, options in (("zeroshot --variant linear", HEAD), ("zeroshot --variant transformer", HEAD),
                              ("seeing_in_flowing", f"{FLOW} --train.epochs {epochs}"))),
    f"zeroshot --protocol base-to-novel --shots 16 {SMALL} {ONE}",
    f"zeroshot --variant transformer --protocol base-to-novel --shots 16 {SMALL} {HEAD} {THREE}",
    # MIP-CLIP and Vita-CLIP: each part removed, supervised and base-to-novel
    *(f"{m} --recipe closed-set {CLOSED} {PROMPTS} --train.epochs 4 {THREE}"
      for m in ("mip_clip", "mip_clip --variant no_vmp", "vita_clip", "mip_clip --variant zero_shot",
                *(f"mip_clip --variant {v}" for v in ("no_dfr", "no_branch", "no_cat", "no_sa")))),
    *(f"{m} --recipe base-to-novel --protocol base-to-novel --shots 16 {SMALL} {PROMPTS} --train.epochs 8 {THREE}"
      for m in (*(f"mip_clip --variant zero_shot{v}" for v in ("", "_no_vmp", "_no_cat", "_no_sa", "_no_dfr")),
                "vita_clip")),
    # dual semantic supervision: its Figure 5a, Tables 3 and 4
    f"dual_semantic_tpr --variant baseline --protocol zero-shot --splits 1 {CLOSED} {ONE}",
    *(f"dual_semantic_tpr{v} {CLOSED} {PROMPTS} --train.epochs 4 {THREE}"
      for v in ("", *(f" --variant {v}" for v in (
          "prompts_beta", "prompts", "r2plus1d_no_residual", "beta_c3d", "c3d_no_residual", "beta_tada",
          "tada_no_residual", "beta_mlp", "beta_lstm", "beta_transformer")))),
    # PromptLearner-CLIP compared with ActionCLIP, both towers tuned: its Tables 1, 3 and 4
    *(f"{m} {CLOSED} {TUNED} --train.epochs 4 {THREE}"
      for m in ("promptlearner_clip", "actionclip", "actionclip --variant unimodal",
                *(f"promptlearner_clip --variant {v}" for v in (
                    "without_interaction", "loss_0_1_1", "frozen", "text_only", "vision_only", "loss_1_1_0",
                    "loss_1_0_1")))),
    # the rest of the leaderboard
    f"vifi_clip {CLOSED} {TUNED} --train.epochs 4 {THREE}",
    *(f"{m} --protocol base-to-novel --shots 16 {SMALL} {options} --train.epochs 8 {THREE}"
      for m, options in (("vifi_clip", TUNED), ("actionclip", TUNED), ("dual_semantic_tpr", PROMPTS))),
    *(f"{m} --protocol few-shot --shots {k} {SMALL} {options} --train.epochs {epochs} {THREE}"
      for k, epochs in TOWER_EPOCHS.items()
      for m, options in (("vifi_clip", TUNED), ("actionclip", TUNED), ("promptlearner_clip", TUNED),
                         ("dual_semantic_tpr", PROMPTS), ("mip_clip --recipe few-shot", PROMPTS),
                         ("vita_clip --recipe few-shot", PROMPTS))),
]  # fmt: skip


def runs(only: Sequence[str] = ("",)) -> list[tuple[int, str]]:
    """Seed and command of each record of the lines that start with one of `only`, ordered by seed."""
    lines = [line.split(" --seeds ") for line in QUEUE if line.startswith(tuple(only))]
    return sorted(((int(seed), command) for command, seeds in lines for seed in seeds.split()), key=lambda run: run[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="lines that start with one of these")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="run these of a line's seeds")
    parser.add_argument(
        "--precision", choices=("bf16", "no"), default="bf16", help="of methods that run the tower in every step"
    )
    parser.add_argument("--out", type=Path, default=Path("results/records"))
    args = parser.parse_args()
    chosen = [(seed, command) for seed, command in runs(args.only) if seed in args.seeds]
    if not chosen:
        parser.error("no line of QUEUE starts with one of --only and has one of --seeds (0, 1, 2)")
    failed = []
    for seed, command in chosen:
        command = command.replace("mixed-precision bf16", f"mixed-precision {args.precision}")
        began = time.time()
        words = command.split()
        words += EIGHT_FRAMES.get(words[0], ())
        call = [sys.executable, "-m", "actionprompt", "run", *words, "--seeds", str(seed)]
        done = subprocess.run([*call, "--out", str(args.out), "--skip-existing"], check=False)
        outcome = "ok" if done.returncode == 0 else "FAILED"
        print(f"{outcome} {time.time() - began:.0f} s: {command} seed {seed}", flush=True)
        if done.returncode:
            failed.append(command)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
