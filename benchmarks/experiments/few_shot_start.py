"""Where the new parts of `dual_semantic_tpr` start, and what its printed learning rates do from there.

    python benchmarks/experiments/few_shot_start.py --out results/costs/dual_semantic_tpr_start.json

Few-shot with K = 2 on ActionWorld 2: how far the frame embeddings move from where they started, and whether it helps.
Rates are compared on the clips of `val`; the trials with more clips are in `choices.json` of the leaderboard.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actionprompt import checkpoint, methods, records
from actionprompt.clips import Clip, ClipList
from actionprompt.config import Augment, DataConfig, TrainConfig
from actionprompt.datasets import actionworld_v2 as actionworld
from actionprompt.features import encode_clips
from actionprompt.method import Method
from actionprompt.study.protocols import draw
from actionprompt.training import train
from actionprompt.weights import TINY, load_clip

DATA = DataConfig(num_frames=8, augment=Augment((1, 1), (1, 1), grey=0))
SEED, SHOTS = 0, 2


@dataclass(frozen=True)
class Run:
    """One training; everything else is as printed: AdamW, weight decay 0.01, 5 warm-up epochs, no clipping."""

    clips: str
    """Measured on `val` or on `test`. `width`: 8 clips of four classes in 60 steps, for towers as wide and deep as
    published ones."""
    zero_start: bool
    lr: float
    backbone: str = TINY
    shots: int = SHOTS
    epochs: int = 30
    batch_size: int = 64


B32 = "random:ViT-B/32"
RUNS = [
    *(Run("test", zero_start=zero, lr=4e-6) for zero in (True, False)),
    *(Run("val", zero_start=zero, lr=lr) for lr in (1e-4, 5e-4, 2e-3) for zero in (True, False)),
    *(Run("test", zero_start=True, lr=lr) for lr in (5e-4, 2e-3)),
    *(Run("width", zero_start=True, lr=lr, backbone=backbone, batch_size=4)
      for lr in (4e-6, 5e-4) for backbone in (TINY, B32)),
    Run("width", zero_start=False, lr=4e-6, backbone=B32, batch_size=4),
]  # fmt: skip


def lists(run: Run) -> tuple[ClipList, ClipList]:
    """The clips of a run for training and for measuring."""
    training = draw(actionworld.load(part="train", size="small"), shots=run.shots, seed=SEED)
    measured = actionworld.load(part="val" if run.clips == "val" else "test", size="small")
    if run.clips == "width":
        training, measured = (only(part, lambda clip: clip.label < 4) for part in (training, measured))
    return training, measured


def only(clips: ClipList, wanted: Callable[[Clip], bool]) -> ClipList:
    return replace(clips, clips=tuple(filter(wanted, clips.clips)))


def build(clips: ClipList, backbone: str, **options: Any) -> Method:
    config = methods.get("dual_semantic_tpr").Config(num_frames=DATA.num_frames, **options)
    names = clips.class_names, clips.class_names_zh
    return methods.build("dual_semantic_tpr", load_clip(backbone), *names, config=config, seed=SEED)


@torch.no_grad()
def answers(method: Method, clips: ClipList) -> tuple[Tensor, float]:
    """Frame embeddings [C, T, E] and top-1 accuracy in percent."""
    frames, labels = [], []
    for encoded in encode_clips(method.eval(), clips.clips, DATA, batch_size=16, num_workers=0):
        frames.append(encoded.features)
        labels += [clips.clips[index].label for index in encoded.index]
    features = torch.cat(frames)
    right = method.head(features).argmax(1) == torch.tensor(labels)
    return features, round(100 * float(right.float().mean()), 2)


def alike(a: Tensor, b: Tensor) -> float:
    return round(float(F.cosine_similarity(a, b, dim=-1).mean()), 6)


def trained(method: Method) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in method.named_parameters() if p.requires_grad)


def measure(run: Run, scratch: Path) -> dict[str, Any]:
    began = time.time()
    training, measured = lists(run)
    method = build(training, run.backbone, zero_start=run.zero_start)
    start = {name: p.detach().clone() for name, p in trained(method)}
    frozen, frozen_top1 = answers(build(training, run.backbone, prompts=False), measured)
    before, before_top1 = answers(method, measured)
    config = TrainConfig(
        epochs=run.epochs, batch_size=run.batch_size, lr=run.lr, betas=(0.9, 0.999), weight_decay=0.01,
        warmup_epochs=5.0, clip_grad_norm=None, seed=SEED, num_workers=0,
    )  # fmt: skip
    folder = scratch / "-".join(str(value).replace("/", "-") for value in asdict(run).values())
    if not (folder / "model").is_dir():
        train(method, training, folder, config=config, data_config=DATA, device="cpu")
    method, _ = checkpoint.load(folder / "model")
    losses = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    after, after_top1 = answers(method, measured)
    movement = torch.cat([(p.detach() - start[name]).abs().flatten() for name, p in trained(method)])
    return {
        **asdict(run),
        "steps": len(losses),
        "weights_moved_mean": float(movement.mean()),
        "weights_moved_max": float(movement.max()),
        "loss_first_epoch": round(statistics.fmean(losses[: len(losses) // run.epochs]), 4),
        "loss_last_epoch": round(statistics.fmean(losses[-len(losses) // run.epochs :]), 4),
        "cosine_frozen_clip_and_start": alike(frozen, before),
        "cosine_start_and_trained": alike(before, after),
        "top1_frozen_clip": frozen_top1,
        "top1_start": before_top1,
        "top1_trained": after_top1,
        "seconds": round(time.time() - began),
    }


def reached() -> dict[str, float]:
    """By start: the share of the trained weights that the first step's gradient reaches, in percent."""
    clips, _ = lists(RUNS[0])
    video = torch.randn(8, DATA.num_frames, 3, 112, 112, generator=torch.Generator().manual_seed(SEED))
    shares = {}
    for zero in (True, False):
        method = build(clips, TINY, zero_start=zero).train()
        method(video, torch.arange(8))["loss"].backward()
        gradients = [p.grad for _, p in trained(method) if p.grad is not None]
        total = sum(p.numel() for _, p in trained(method))
        shares[f"zero_start={zero}"] = round(100 * sum(int(g.count_nonzero()) for g in gradients) / total, 1)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record; runs that it holds are skipped")
    parser.add_argument("--scratch", type=Path, default=Path("runs/few_shot_start"), help="models and checkpoints")
    options = parser.parse_args()
    rows = json.loads(options.out.read_text(encoding="utf-8"))["runs"] if options.out.is_file() else []
    for run in RUNS:
        if any(asdict(run).items() <= row.items() for row in rows):
            continue
        rows.append(measure(run, options.scratch))
        facts = {"data": DATA, "shots_seed": SEED, "first_gradient_reaches_percent": reached()}
        records.write(options.out, {**records.provenance(seed=SEED), **facts, "runs": rows})


if __name__ == "__main__":
    main()
