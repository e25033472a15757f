"""Peak memory of a training step of `promptlearner_clip` at ViT-B/16 with 400 classes of 77 tokens, batch 8, 8 frames.

    python benchmarks/promptlearner_memory.py --out results/promptlearner_memory.json

Every case is a process of its own in float32 on the CPU: the model and AdamW's moments are made, then one whole step is
watched (resident memory before it, after the forward pass, and the highest). The clips of a batch have different
classes, the worst case for the text tower. Memory is linear in the number of clips: the peak at batch 8 is computed
from batches 1 and 2, and the same line is checked by measuring batch 4 (`--check 8` measures batch 8 itself). For
comparison, a loss over all classes (cross-entropy on the logits, every prompt with its gradient) is measured at 8 and
16 classes and computed for 400.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from actionprompt import methods, records
from actionprompt.backbone import load_clip

MB = 1e6
NUM_FRAMES, NUM_TOKENS, NUM_CLASSES, BATCH = 8, 77, 400, 8


def memory(field: str) -> float:
    """A field of /proc/self/status in MB: VmRSS is now, VmHWM the highest since the last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / MB


def step(*, batch: int, num_classes: int, checkpointing: bool, all_classes: bool) -> dict[str, float]:
    """One training step with warm optimiser state, watched."""
    clip = load_clip("random:ViT-B/16")
    num_letters = NUM_TOKENS - 2 - methods.get("promptlearner_clip").Config().num_context  # one token per letter here
    names = [f"{index:03}".ljust(num_letters, "x") for index in range(num_classes)]
    method = methods.build("promptlearner_clip", clip, names).train()
    clip.set_gradient_checkpointing(checkpointing)
    optimizer = torch.optim.AdamW(method.param_groups(5e-6))
    for parameter in method.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(batch, NUM_FRAMES, 3, 224, 224, generator=generator)
    labels = torch.arange(batch) % num_classes
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), time.perf_counter()
    loss = F.cross_entropy(method(video), labels) if all_classes else method(video, labels)["loss"]
    kept = memory("VmRSS") - before
    loss.backward()
    optimizer.step()
    assert method.ids.shape[1] + method.contexts.shape[1] == NUM_TOKENS
    return {
        "before_mb": round(before),
        "kept_by_forward_mb": round(kept),
        "peak_mb": round(memory("VmHWM")),
        "parameters_mb": round(sum(p.numel() * 4 for p in method.parameters()) / MB),
        "seconds": round(time.perf_counter() - start, 1),
    }


def run(**case: int | bool) -> dict[str, float]:
    """`step` in a fresh process."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back at once
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{case} failed:\n{done.stderr}")
    row = {**case, **json.loads(done.stdout)}
    print(row, flush=True)
    return row


def extrapolate(one: float, two: float, steps: float) -> float:
    """The line through two points, `steps` times their distance after the first."""
    return round(one + steps * (two - one))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    parser.add_argument("--check", type=int, default=4, help="batch at which the computed peak is measured")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(step(**json.loads(options.case))))
        return
    started, summary, rows = time.time(), {}, []
    for checkpointing in (False, True):
        case = {"num_classes": NUM_CLASSES, "checkpointing": checkpointing, "all_classes": False}
        one, two = run(batch=1, **case), run(batch=2, **case)
        check = run(batch=options.check, **case)
        rows += [one, two, check]
        peak = {n: extrapolate(one["peak_mb"], two["peak_mb"], n - 1) for n in (BATCH, options.check)}
        summary["checkpointing" if checkpointing else "plain"] = {
            f"computed_peak_mb_at_batch_{BATCH}": peak[BATCH],
            f"computed_peak_mb_at_batch_{options.check}": peak[options.check],
            f"measured_peak_mb_at_batch_{options.check}": check["peak_mb"],
        }
    few = run(batch=1, num_classes=8, checkpointing=False, all_classes=False)
    every = [run(batch=1, num_classes=n, checkpointing=False, all_classes=True) for n in (8, 16)]
    rows += [few, *every]
    kept = {row["num_classes"]: row["kept_by_forward_mb"] for row in (rows[0], few)}
    summary["kept_by_forward_mb_at_batch_1"] = {
        "8 classes": kept[8],
        "400 classes": kept[NUM_CLASSES],
        "400 classes, all in the loss, computed": extrapolate(
            every[0]["kept_by_forward_mb"], every[1]["kept_by_forward_mb"], (NUM_CLASSES - 8) / 8
        ),
    }
    print(json.dumps(summary, indent=1))
    if options.out:
        sizes = {"batch": BATCH, "num_frames": NUM_FRAMES, "num_tokens": NUM_TOKENS, "num_classes": NUM_CLASSES}
        record = {
            "benchmark": "promptlearner_memory", **records.provenance(seed=0, started=started),
            "backbone": "random:ViT-B/16", **sizes, "dtype": "float32", "summary": summary, "cases": rows,
        }  # fmt: skip
        records.write(options.out, record)


if __name__ == "__main__":
    main()
