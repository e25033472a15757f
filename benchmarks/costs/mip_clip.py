"""What MIP-CLIP costs at ViT-B/16: memory of its feature reconstruction at 400 classes, multiply-adds, speed.

    python benchmarks/costs/mip_clip.py --out results/costs/mip_clip_cost.json

- Memory: the most bytes alive in tensors at once, beyond inputs and weights, through forward and backward of the
  reconstruction (float32, K = 400, E = 512); beside it the formula as it stands (t + s v for all pairs, through MLP1),
  and what a training step keeps of its text side, prompts of 11 tokens for all classes. Counted operation by operation
  on shapes alone, checked by one real step of a small batch; workspaces inside kernels are not counted.
- Multiply-adds of `encode` at T = 8 for the bare tower, `vita_clip` and `mip_clip`, of the text side at 400 classes
  with prompts of 11 and of 77 tokens, and of the reconstruction.
- Speed of `encode` of one clip against the bare tower on one thread, in processor time, taking turns; the median of the
  ratios within a turn. Random weights: none of this depends on them.
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
from actionprompt.study.meters import LiveTensors, against, count_macs, turns
from actionprompt.weights import load_clip

NUM_CLASSES, NUM_FRAMES, BATCH, WIDTH = 400, 8, 256, 512


def as_it_stands(r: Reconstruction, v: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
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


def thousand_millions(run: Callable[[], Any]) -> float:
    return round(count_macs(run) / 1e9, 2)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    started = time.time()
    torch.set_num_threads(1)

    memory: dict[str, Any] = {"pairs_at_once": mip_clip.PAIRS_AT_ONCE}
    for name, form in (("ours", Reconstruction.__call__), ("as it stands", as_it_stands)):
        memory[f"{name}, mb by batch"] = {batch: peak_mb(form, batch) for batch in (8, 64, BATCH)}
        memory[f"{name}, mb in a real step of 8"] = peak_mb(form, 8, "cpu")

    clip = load_clip("random:ViT-B/16")
    names = [f"class {k}" for k in range(NUM_CLASSES)]
    models = {name: methods.build(name, clip, names).eval() for name in ("vita_clip", "mip_clip")}
    video = torch.randn(1, NUM_FRAMES, 3, 224, 224)

    def candidates() -> dict[str, Callable[[], Any]]:
        return {
            "tower": lambda: clip.image(video[0]),
            **{name: lambda model=model: model.encode(video) for name, model in models.items()},
        }

    seconds = turns(candidates(), options.repeats)
    ratios = {name: entry["ratio"] for name, entry in against(seconds, "tower").items() if name != "tower"}

    # from here on shapes alone
    video, reconstruction = video.to("meta"), models["mip_clip"].to("meta").reconstruction
    models["vita_clip"].to("meta")
    counts = {name: thousand_millions(run) for name, run in candidates().items()}
    with torch.device("meta"):
        v, t, s = torch.randn(BATCH, WIDTH), torch.randn(NUM_CLASSES, WIDTH), torch.randn(BATCH, NUM_CLASSES)
    for length in (11, 77):
        tokens = torch.zeros(NUM_CLASSES, length, clip.text.width, device="meta", requires_grad=True)
        eot = torch.full((NUM_CLASSES,), length - 1)
        counts[f"text, {length} tokens"] = thousand_millions(
            lambda tokens=tokens, eot=eot: clip.text.encode(tokens, eot)
        )
        with torch.enable_grad(), LiveTensors() as watch:
            kept = clip.text.encode(tokens, eot)
        memory[f"text kept for backward, {length} tokens, mb"] = round(watch.now / 1e6)
        del kept
    counts[f"reconstruction, batch {BATCH}"] = thousand_millions(lambda: reconstruction(v, t, s))
    counts[f"reconstruction as it stands, batch {BATCH}"] = thousand_millions(
        lambda: as_it_stands(reconstruction, v, t, s)
    )
    print(memory, counts, ratios, seconds, sep="\n")
    if options.out:
        record = {
            "benchmark": "mip_clip", **records.provenance(seed=0, started=started), "backbone": "random:ViT-B/16",
            "num_frames": NUM_FRAMES, "num_classes": NUM_CLASSES, "dtype": "float32",
            "reconstruction_peak": memory, "macs_1e9": counts, "encode_time_over_tower": ratios,
            "encode_seconds": seconds,
        }  # fmt: skip
        records.write(options.out, record)


if __name__ == "__main__":
    main()
