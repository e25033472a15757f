"""Memory of a training step of `promptlearner_clip`: ViT-B/16, batch 8, 8 frames, 400 classes of 77 tokens, float32.

    python benchmarks/costs/promptlearner_memory.py --out results/costs/promptlearner_memory.json

Peak bytes of live tensors, counted operation by operation through the forward and backward pass: weights, gradients and
activations, with AdamW's two moments added; workspaces inside kernels are not counted. The full size is computed
without data, on tensors that have only a shape (FakeTensorMode); small steps are counted both on shapes and in a real
step (`real`). The clips of a batch have different classes, the worst case for the text tower. For comparison
(`all_classes`): cross-entropy over the logits of all classes, with the gradient through every prompt.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from actionprompt import methods, records
from actionprompt.study.meters import LiveTensors
from actionprompt.weights import load_clip

NUM_TOKENS = 77


def count(
    *, batch: int, num_frames: int, num_classes: int = 400, checkpointing: bool, all_classes: bool = False, real: bool
) -> dict[str, Any]:
    """One training step; sizes in MB."""
    with contextlib.nullcontext() if real else shapes_only():
        clip = load_clip("random:ViT-B/16")
        # random backbones have one token per letter
        num_letters = NUM_TOKENS - 3 - methods.get("promptlearner_clip").Config().num_context
        names = [f"{index:03}".ljust(num_letters, "x") for index in range(num_classes)]
        method = methods.build("promptlearner_clip", clip, names).train()
        assert method.ids.shape[1] + method.contexts.shape[1] == NUM_TOKENS
        clip.set_gradient_checkpointing(checkpointing)
        labels, video = torch.arange(batch), torch.randn(batch, num_frames, 3, 224, 224)
        weights = [*method.parameters(), *method.buffers()]
        before = sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in weights}.values())
        with LiveTensors(weights) as live:
            loss = F.cross_entropy(method(video), labels) if all_classes else method(video, labels)["loss"]
            kept = live.now
            loss.backward()
        moments = 2 * sum(parameter.nbytes for parameter in method.parameters())
    row = {
        "batch": batch, "num_frames": num_frames, "num_classes": num_classes, "checkpointing": checkpointing,
        "all_classes": all_classes, "real": real, "weights_and_moments_mb": (before + moments) / 1e6,
        "kept_by_forward_mb": kept / 1e6, "peak_mb": (before + live.peak + moments) / 1e6,
    }  # fmt: skip
    print(row, flush=True)
    return row


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Tensors without data. The two values that shapes depend on are given: the labels, all distinct, and the position
    of the last token."""

    def distinct(labels: torch.Tensor, *, return_inverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return labels, torch.arange(len(labels))

    last_token = mock.patch.object(torch.Tensor, "__int__", return_value=NUM_TOKENS - 1)  # EOT of the longest prompt
    with FakeTensorMode(allow_non_fake_inputs=True), mock.patch.object(torch.Tensor, "unique", distinct), last_token:
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    started, rows = time.time(), []
    for checkpointing in (False, True):
        rows.append(count(batch=8, num_frames=8, checkpointing=checkpointing, real=False))
        for size in (1, 2):
            computed, measured = (
                count(batch=size, num_frames=size, checkpointing=checkpointing, real=real) for real in (False, True)
            )
            ratio = measured["peak_mb"] / computed["peak_mb"]
            print(f"measured / computed at {size} x {size}: {ratio:.5f}")
            rows += [computed, {**measured, "measured_by_computed": ratio}]
    rows += [count(batch=8, num_frames=8, num_classes=8, checkpointing=False, real=False)]
    rows += [count(batch=8, num_frames=8, checkpointing=c, all_classes=True, real=False) for c in (False, True)]
    if options.out:
        record = {
            "benchmark": "promptlearner_memory", **records.provenance(seed=0, started=started),
            "backbone": "random:ViT-B/16", "num_tokens": NUM_TOKENS, "dtype": "float32", "cases": rows,
        }  # fmt: skip
        records.write(options.out, record)


if __name__ == "__main__":
    main()
