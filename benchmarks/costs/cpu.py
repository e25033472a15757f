"""What makes a prediction on a CPU fast: ways to compute the same model, from 8 stored frames to probabilities.

    python benchmarks/costs/cpu.py [--backbone random:ViT-B/16] [--repeats 3] [--only NAME ...]

`ways`: all alternate in one process, with as many threads as there are cores. `ratio` and `processor_ratio` are medians
of the ratios of elapsed and of processor time to eager float32; a way that takes twice as long is timed
once. `start_s` is what making it and its first call take on top of a later one. `cosine` is the least one of a frame's
embedding with that of eager float32, `change` the largest change of a probability: of the timed model, and of the
embedded model on test clips of ActionWorld, with its top-1 accuracy.
`processor` are the instructions that matter.
"""

import argparse
import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionprompt import data, datasets, methods, prediction, records
from actionprompt.apps import export
from actionprompt.config import DataConfig
from actionprompt.prediction import Predictor
from actionprompt.weights import load_clip

REFERENCE = "eager float32, as predict"
INSTRUCTIONS = ("avx2", "avx512_f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
NAMES = tuple(f"class number {index}" for index in range(10))
TOO_SLOW = 2.0

Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""uint8 video [N, V, T, C, S, S] -> probabilities [N, K], and frame embeddings [N, T, E] where it has them."""


def in_place(x: Tensor) -> Tensor:
    """QuickGELU in one block of memory."""
    y = 1.702 * x
    return y.sigmoid_().mul_(x)


def run_of(predictor: Predictor, *, context: Callable[[], Any] = torch.no_grad, tower: Any = None) -> Run:
    method = predictor.method
    encode = method.encode if tower is None else lambda x: tower(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def run(video: Tensor) -> tuple[Tensor, Tensor]:
        with context():
            features = encode(method.normalise(video.flatten(0, 1))).float()
            return predictor.of_clips(features), features

    return run


def activation(predictor: Predictor) -> Run:
    tower = copy.deepcopy(predictor.method.clip.image)
    for layer in tower.layers:
        layer.mlp.activation = in_place
    return run_of(predictor, tower=tower)


def fused(predictor: Predictor) -> Run:
    """Queries, keys and values by one linear layer."""
    tower = copy.deepcopy(predictor.method.clip.image)
    for layer in tower.layers:
        attn = layer.self_attn
        parts = [attn.q_proj, attn.k_proj, attn.v_proj]
        weight, bias = torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])

        def qkv(x: Tensor, layer: Any = layer, weight: Tensor = weight, bias: Tensor = bias) -> tuple[Tensor, ...]:
            return tuple(layer._heads(y) for y in F.linear(layer._normed(x), weight, bias).chunk(3, -1))

        layer._qkv = qkv
    return run_of(predictor, tower=tower)


class Packed(nn.Module):
    """A linear layer of oneDNN whose weights are laid out for `rows` rows of inputs."""

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def packed(predictor: Predictor) -> Run:
    tower = copy.deepcopy(predictor.method.clip.image)
    rows = predictor.config.num_frames * (tower.grid**2 + tower.num_prefix)
    for module in list(tower.layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Packed(child, rows))
    return run_of(predictor, tower=tower)


def patches(predictor: Predictor) -> Run:
    """The first convolution as a linear layer on unfolded patches."""
    tower = copy.deepcopy(predictor.method.clip.image)
    conv = tower.embeddings.patch_embedding

    def linear(x: Tensor) -> Tensor:
        y = F.linear(F.unfold(x, conv.kernel_size, stride=conv.stride).mT, conv.weight.flatten(1), conv.bias)
        return y.mT.unflatten(-1, (tower.grid, tower.grid))

    conv.forward = linear
    return run_of(predictor, tower=tower)


def compiled(predictor: Predictor) -> Run:
    torch._dynamo.reset()
    return run_of(predictor, tower=torch.compile(predictor.method.clip.image))


def lower(precision: Any) -> Callable[[Predictor], Run]:
    def make(predictor: Predictor) -> Run:
        return run_of(Predictor(predictor.method, predictor.config, device="cpu", precision=precision))

    return make


def graph(*, int8: bool) -> Callable[[Predictor], Run]:
    def make(predictor: Predictor) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            export.export(predictor, Path(folder) / "model", int8=int8)
            session = export.session(Path(folder) / "model" / export.GRAPH)
        return lambda video: (torch.from_numpy(np.asarray(session(video.numpy()))), None)

    return make


WAYS: dict[str, Callable[[Predictor], Run]] = {
    REFERENCE: run_of,
    "activation in place": activation,
    "inference mode": lambda predictor: run_of(predictor, context=torch.inference_mode),
    "one layer for q, k, v": fused,
    "patches as a linear layer": patches,
    "weights packed for oneDNN": packed,
    "torch.compile": compiled,
    "onnxruntime": graph(int8=False),
    "--precision bf16": lower("bf16"),
    "--precision int8": lower("int8"),
    "onnxruntime, int8": graph(int8=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clips", type=int, default=120, help="test clips of ActionWorld, at most")
    parser.add_argument("--only", nargs="+", choices=[*WAYS], default=[*WAYS], help="with the reference")
    parser.add_argument("--out", type=Path, default=Path("results/costs/cpu.json"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    started, names = time.time(), list(dict.fromkeys([REFERENCE, *args.only]))
    ways = measure(args.backbone, names, args.repeats)
    for name, found in accuracy([name for name in names if "error" not in ways[name]], args.clips).items():
        ways[name] |= found
    for name, row in ways.items():
        print(name, row, flush=True)
    found = torch.cpu.get_capabilities()
    record = {
        "benchmark": "cpu",
        **records.provenance(seed=0, started=started),
        "backbone": args.backbone,
        "threads": torch.get_num_threads(),
        "processor": {name: bool(found.get(name)) for name in INSTRUCTIONS},
        "ways": ways,
    }
    records.write(args.out, record)


def measure(backbone: str, names: list[str], repeats: int) -> dict[str, dict[str, Any]]:
    """Time of every way, by turn, and how far its answers are from those of the reference."""
    predictor = prediction.zero_shot(NAMES, backbone=backbone, config=DataConfig(), device="cpu")
    shape = (1, 1, 8, *predictor.method.frame_shape)
    video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    runs: dict[str, Run] = {}
    rows: dict[str, dict[str, Any]] = {}
    exact: tuple[Tensor, Tensor | None] | None = None
    for name in names:
        began = time.perf_counter()
        try:
            runs[name] = WAYS[name](predictor)
            answer = runs[name](video)
        except Exception as error:  # such as a processor or a compiler that is not there
            runs.pop(name, None)
            rows[name] = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
            continue
        exact = exact or answer
        rows[name] = {"start_s": time.perf_counter() - began, **apart(answer, exact)}
        print(name, rows[name], flush=True)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name, run in runs.items():
            if turn and taken[name][0][0] > TOO_SLOW * taken[REFERENCE][0][0]:
                continue
            began, processor = time.perf_counter(), time.process_time()
            run(video)
            taken[name].append((time.perf_counter() - began, time.process_time() - processor))
    for name, pairs in taken.items():
        wall, processor = ([own[i] / ref[i] for own, ref in zip(pairs, taken[REFERENCE])] for i in (0, 1))
        seconds = statistics.median(pair[0] for pair in pairs)
        start = max(rows[name].pop("start_s") - seconds, 0)
        rows[name] = {
            "ratio": round(statistics.median(wall), 3), "processor_ratio": round(statistics.median(processor), 3),
            "seconds": round(seconds, 3), "start_s": round(start, 1), **rows[name],
            "ratios": [round(x, 3) for x in wall],
        }  # fmt: skip
    return rows


def apart(answer: tuple[Tensor, Tensor | None], reference: tuple[Tensor, Tensor | None]) -> dict[str, float]:
    row = {"change": float((answer[0] - reference[0]).abs().max())}
    if answer[1] is not None and reference[1] is not None:
        row["cosine"] = float(F.cosine_similarity(answer[1].double(), reference[1].double(), dim=-1).min())
    return row


def accuracy(names: list[str], most: int) -> dict[str, dict[str, Any]]:
    """Each way with the embedded model on test clips of ActionWorld."""
    clips = datasets.get("actionworld").load(None, split=1, part="test", size="small")
    chosen = clips.clips[:: -(-len(clips.clips) // most)]
    clip, config = load_clip("tiny"), DataConfig()
    method = methods.build("zeroshot", clip, clips.class_names)
    predictor = Predictor(method, config, device="cpu")
    dataset = data.VideoDataset(
        chosen, predictor.config, side_px=clip.image.image_size, training=False, pixels=clip.pixels
    )
    batches = [[(0, i)] for i in range(len(chosen))]
    videos = [batch.video for batch in data.loader(dataset, batches, num_workers=0)]
    labels = torch.tensor([item.label for item in chosen])
    found: dict[str, dict[str, Any]] = {}
    exact = torch.empty(0)
    for name in names:
        try:
            run = WAYS[name](predictor)
            scores = torch.cat([run(video)[0] for video in videos])
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
            continue
        exact = scores if name == REFERENCE else exact
        found[name] = {
            "actionworld_clips": len(chosen),
            "actionworld_change": float((scores - exact).abs().max()),
            "actionworld_same_label": int((scores.argmax(-1) == exact.argmax(-1)).sum()),
            "actionworld_top1": round(100 * float((scores.argmax(-1) == labels).float().mean()), 1),
        }
    return found


if __name__ == "__main__":
    main()
