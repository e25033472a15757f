"""What the parts of MIP-CLIP cost at ViT-B/16 and 400 classes: memory of its reconstruction, MACs of its texts.

    python benchmarks/costs/mip_clip.py --out results/costs/mip_clip_cost.json

Time and memory of the whole method are measured by `actionprompt bench`. Here:

- Memory: peak bytes of live tensors, without inputs and weights, through forward and backward of the reconstruction
  (float32, K = 400, E = 512), compared with the formula as written (t + s v for all pairs, through MLP1); and the
  activations that the text tower keeps for the backward pass, with prompts of 11 and of 77 tokens for all classes.
  Counted operation by operation on the meta device, and once in a real step of batch 8; workspaces inside kernels are
  not counted.
- MACs (multiply-accumulate operations) of `encode` at T = 8 for the bare tower, `vita_clip` and `mip_clip`, of the text
  tower for 400 classes with prompts of 11 and of 77 tokens, and of the reconstruction.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from actionprompt import methods, records
from actionprompt.layers import quick_gelu
from actionprompt.methods import mip_clip
from actionprompt.methods.mip_clip import Reconstruction
from actionprompt.study.meters import LiveTensors, count_macs
from actionprompt.weights import load_clip

NUM_CLASSES, NUM_FRAMES, BATCH, WIDTH = 400, 8, 256, 512


def as_written(r: Reconstruction, v: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    text = r.text_out(quick_gelu(r.text_in(t + s[:, :, None] * v[:, None])))
    video = r.video_out(quick_gelu(r.video_in(v + s @ t)))
    return (F.normalize(text, dim=-1) * F.normalize(video, dim=-1)[:, None]).sum(-1)


def peak_mb(form: Callable[..., torch.Tensor], batch: int, device: str = "meta") -> int:
    with torch.device(device):
        v, t, s = torch.randn(batch, WIDTH), torch.randn(NUM_CLASSES, WIDTH), torch.randn(batch, NUM_CLASSES)
        r = Reconstruction(WIDTH)
    inputs = [v.requires_grad_(), t.requires_grad_(), *r.parameters()]
    with torch.enable_grad(), LiveTensors() as watch:
        torch.autograd.grad(form(r, v, t, s).sum(), inputs)
    return round(watch.peak / 1e6)


def giga_macs(run: Callable[[], Any]) -> float:
    return round(count_macs(run) / 1e9, 2)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    started = time.time()

    memory: dict[str, Any] = {"pairs_at_once": mip_clip.PAIRS_AT_ONCE}
    for name, form in (("ours", Reconstruction.__call__), ("as written", as_written)):
        memory[f"{name}, mb by batch"] = {batch: peak_mb(form, batch) for batch in (8, 64, BATCH)}
        memory[f"{name}, mb in a real step of 8"] = peak_mb(form, 8, "cpu")

    clip = load_clip("random:ViT-B/16")
    names = [f"class {k}" for k in range(NUM_CLASSES)]
    models = {name: methods.build(name, clip, names).eval() for name in ("vita_clip", "mip_clip")}
    for model in models.values():
        model.to("meta")
    reconstruction = models["mip_clip"].reconstruction
    with torch.device("meta"):
        video = torch.randn(1, NUM_FRAMES, 3, 224, 224)
        v, t, s = torch.randn(BATCH, WIDTH), torch.randn(NUM_CLASSES, WIDTH), torch.randn(BATCH, NUM_CLASSES)
    counts = {"tower": giga_macs(lambda: clip.image(video[0]))}
    counts |= {name: giga_macs(lambda model=model: model.encode(video)) for name, model in models.items()}
    for length in (11, 77):
        tokens = torch.zeros(NUM_CLASSES, length, clip.text.width, device="meta", requires_grad=True)
        lengths = torch.full((NUM_CLASSES,), length)
        counts[f"text, {length} tokens"] = giga_macs(lambda x=tokens, lengths=lengths: clip.text.encode(x, lengths))
        with torch.enable_grad(), LiveTensors() as watch:
            kept = clip.text.encode(tokens, lengths)
        memory[f"text kept for backward, {length} tokens, mb"] = round(watch.now / 1e6)
        del kept
    counts[f"reconstruction, batch {BATCH}"] = giga_macs(lambda: reconstruction(v, t, s))
    counts[f"reconstruction as written, batch {BATCH}"] = giga_macs(lambda: as_written(reconstruction, v, t, s))
    print(memory, counts, sep="\n")
    if options.out:
        record = {
            "benchmark": "mip_clip", **records.provenance(seed=0, started=started), "backbone": "random:ViT-B/16",
            "num_frames": NUM_FRAMES, "num_classes": NUM_CLASSES, "dtype": "float32",
            "reconstruction_peak": memory, "macs_1e9": counts,
        }  # fmt: skip
        records.write(options.out, record)


if __name__ == "__main__":
    main()
