"""What methods cost: time, memory, MACs and trained parameters, as ratios to the bare image tower.

The unit of everything: the bare tower, `clip.image` on the same number of clips of `num_frames` frames, without
gradients, in the same run. In each repetition every model is timed next to it, and a ratio is the median of the ratios
per repetition, so that a busy machine slows both sides alike. On the CPU time is processor time, on one thread unless
told otherwise; on CUDA it is elapsed time between synchronisations, under bf16 autocast, eager and compiled.

- Inference: pixels to scores over the class names. The names are encoded once beforehand, as in real use; what a method
  computes from names and video together is computed for every clip.
- A training step: forward, loss, backward and AdamW on pixels. Where features are frozen, also from cached features.
- Memory: the most bytes alive at once, with weights, optimiser states and input. On the CPU tensors are counted as
  operations create them, without workspaces inside kernels; on CUDA it is the allocator's peak.
- MACs (multiply-accumulate operations) of matrix products, convolutions and attention, as papers count them. Training
  of peers: three times inference.

Weights are random: speed does not depend on them. Class names are tokenised with the vocabulary of the embedded tiny
CLIP, since that of a random tower, one token per letter, would make them three times as long.
"""

import contextlib
import copy
import dataclasses
import functools
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from actionprompt import methods, records
from actionprompt.backbone import CLIP
from actionprompt.datasets import read_labels
from actionprompt.method import Method
from actionprompt.study.meters import (
    against,
    bytes_of,
    count_macs,
    device_clock,
    peak_mb,
    states_of,
    training_step,
    turns,
)
from actionprompt.study.peers import PEERS, Peer
from actionprompt.weights import TINY, load_clip

TOWER = "bare tower"
FRAME_LIMIT, PROMPT_LIMIT = 1.1, 1.35
"""Goals for inference, as ratios to the bare tower: on frame embeddings; with an `encode` of its own."""
MEMORY_METHOD, PUBLISHED_MB, PUBLISHED_BATCH = "dual_semantic_tpr", 6601, 32
"""Table 6 of its paper: training memory at T = 8, ViT-B/16. Ours is in MB of 10^6 bytes, the stricter reading."""
PEAK_FLOPS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "RTX 4090": 165e12}
"""Dense bf16 floating-point operations per second by a part of the GPU's name, from vendor datasheets."""


# Counting ------------------------------------------------------------------------------------------------------------


# Peers ---------------------------------------------------------------------------------------------------------------


# Measuring -----------------------------------------------------------------------------------------------------------


class Ruler:
    """One bare tower on one device, and what is measured against it."""

    def __init__(
        self, tower: nn.Module, side_px: int, *, num_frames: int, batch_size: int, num_classes: int, repeats: int,
        device: str, compiled: bool,
    ) -> None:  # fmt: skip
        self.cuda, self.device, self.compiled = device == "cuda", device, compiled
        self.batch_size, self.num_classes, self.repeats = batch_size, num_classes, repeats
        self.chip = peak_flops(torch.cuda.get_device_name()) if self.cuda else None
        self.tower = tower.to(device).requires_grad_(False)
        self.frames = self.video(num_frames, 3, side_px, side_px).flatten(0, 1)
        self.bare = partial(self.infer, self.prepared(self.tower), self.frames)

    def video(self, num_frames: int, *frame_shape: int) -> Tensor:
        shape = (self.batch_size, num_frames, *frame_shape)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def prepared(self, model: nn.Module) -> Callable[..., Any]:
        if not self.compiled:
            return model
        # All methods share `Method.forward`; beyond 8 it would run eagerly. The name is that of torch 2.6, too
        torch._dynamo.config.cache_size_limit = 64
        return torch.compile(model, dynamic=False)

    def infer(self, run: Callable[..., Any], *inputs: Tensor) -> Any:
        with torch.no_grad(), torch.autocast(self.device, torch.bfloat16, enabled=self.cuda):
            return run(*inputs)

    def timed(self, candidates: Mapping[str, Callable[[], Any]], counts: dict[str, int]) -> dict[str, dict[str, Any]]:
        """Times of the candidates, clips and calls per second, and the share of the chip's peak."""
        clock, number = partial(device_clock, self.device), 10 if self.cuda else 1
        seconds = turns({TOWER: self.bare, **candidates}, self.repeats, clock=clock, number=number)
        found = against(seconds, TOWER)
        for name, entry in found.items():
            each = entry["seconds"]
            entry |= {"calls_per_s": round(1 / each, 4), "clips_per_s": round(self.batch_size / each, 4)}
            if self.chip and name in counts:
                entry["flops_utilisation"] = round(2 * counts[name] / each / self.chip, 4)
        return found

    def tower_row(self) -> dict[str, Any]:
        count = count_macs(partial(self.infer, self.tower, self.frames))
        held = [*self.tower.parameters(), *self.tower.buffers(), self.frames]
        before = torch.cuda.memory_allocated() - bytes_of(held) if self.cuda else 0
        return {
            "parameters": sum(p.numel() for p in self.tower.parameters()),
            "trained_parameters": 0,
            "inference": self.timed({}, {TOWER: count})[TOWER],
            "macs_per_clip": {"inference": count // self.batch_size},
            "memory_mb": {"inference": peak_mb(self.bare, held, self.device, before)},
        }

    def row(self, build: Callable[[], Any], *, training: bool = True) -> dict[str, Any]:
        """All figures of a model that is called as `model(video)` and `model(video, labels)["loss"]`; without
        `training` those of inference alone."""
        before = torch.cuda.memory_allocated() if self.cuda else 0
        model = build().to(self.device).eval()
        is_peer = isinstance(model, Peer)
        frames = model.num_frames if is_peer else len(self.frames) // self.batch_size
        video = self.video(frames, *((3, model.side_px, model.side_px) if is_peer else model.frame_shape))
        labels = torch.arange(self.batch_size, device=self.device) % self.num_classes
        trained = [p for p in model.parameters() if p.requires_grad]
        run, held = self.prepared(model), [*model.parameters(), *model.buffers(), video, labels]
        infer = partial(self.infer, run, video)
        self.infer(model, video)  # what is done once
        counts = {"inference": count_macs(partial(self.infer, model, video))}
        if self.compiled:
            infer()  # compiles
        memory = {"inference": peak_mb(infer, held, self.device, before)}
        found = self.timed({"inference": infer}, counts)
        if trained and training:
            model.train()
            optimizer = torch.optim.AdamW(model.param_groups(1e-6))
            step = partial(training_step, device=self.device, bf16=self.cuda)
            steps = {"training_step": partial(step, run, optimizer, video, labels)}
            steps["training_step"]()  # makes the optimiser's states
            counts["training_step"] = 3 * counts["inference"]
            if not is_peer:
                counts["training_step"] = count_macs(partial(step, model, optimizer, video, labels))
            if not is_peer and model.frozen_features:
                cached = partial(run, features=self.infer(model.encode, video))
                steps["cached_step"] = partial(step, cached, optimizer, None, labels)
            memory["training_step"] = peak_mb(steps["training_step"], held + states_of(optimizer), self.device, before)
            found |= self.timed(steps, counts)
        del found[TOWER]
        row = {
            "num_frames": frames,
            "parameters": sum(p.numel() for p in model.parameters()),
            "trained_parameters": sum(p.numel() for p in trained),
            **found,
            "macs_per_clip": {name: count // self.batch_size for name, count in counts.items()},
            "memory_mb": memory,
        }
        if is_peer:
            scale = len(self.frames) / self.batch_size / frames
            return row | {"ratio_per_frame": {name: round(found[name]["ratio"] * scale, 3) for name in found}}
        limit = FRAME_LIMIT if type(model).encode is Method.encode else PROMPT_LIMIT
        return row | {"inference_limit": limit, "within_limit": found["inference"]["ratio"] <= limit}


def measure(
    backbones: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    peers: bool = True,
    num_frames: int = 8,
    batch_size: int = 1,
    num_classes: int = 51,
    repeats: int = 5,
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """The record of all methods (or `names`, each NAME or NAME:VARIANT) on all backbones, and of the peers.

    `progress` is called with (done, total, what is measured next). A model that fails on the device leaves a row with
    `error`.

    Raises:
        ValueError: an unknown method, variant, backbone or device, or a number out of range.
    """
    for what, number in {"num_frames": num_frames, "batch_size": batch_size, "num_classes": num_classes,
                         "repeats": repeats, "threads": threads}.items():  # fmt: skip
        if number < 1:
            raise ValueError(f"expected {what} of at least 1, got {number}")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"expected a device that is here, cpu or cuda, got {device!r}; torch sees no such device")
    started, names = time.time(), names or methods.names()
    for name in names:
        _config(name, num_frames)
    classes = class_names(num_classes)
    references = {name: load_clip(name).image for name in backbones}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    jobs: list[tuple[str, bool, str, str]] = []
    for backbone, tower in references.items():
        for compiled in (False, True) if device == "cuda" else (False,):
            jobs.append((backbone, compiled, "tower", TOWER))
            jobs += [(backbone, compiled, "method", name) for name in names]
            jobs += [
                (backbone, compiled, "peer", name)
                for name, (patch, _) in PEERS.items()
                if peers and patch == tower.patch_size
            ]
        jobs += [(backbone, False, "memory", name) for name in names if name == MEMORY_METHOD]
    try:
        for done, (backbone, compiled, kind, name) in enumerate(jobs):
            if progress is not None:
                progress(done, len(jobs), f"{backbone}  {name}")
            build: Any = partial(Peer, name, num_classes) if kind == "peer" else None
            build = build or partial(build_method, name, backbone, classes, num_frames)
            row = {"backbone": backbone, "model": name, "kind": kind, "compiled": compiled, "num_frames": num_frames}
            try:
                if kind == "memory":
                    memory.append({"backbone": backbone, "model": name, "cases": batch_memory(build(), device)})
                    continue
                if kind == "tower":
                    tower = references[backbone]
                    ruler = Ruler(
                        tower, tower.image_size, num_frames=num_frames, batch_size=batch_size,
                        num_classes=num_classes, repeats=repeats, device=device, compiled=compiled,
                    )  # fmt: skip
                rows.append(row | (ruler.tower_row() if kind == "tower" else ruler.row(build)))
            except RuntimeError as error:  # out of memory, or not to be compiled
                rows.append(row | {"error": str(error).strip().partition("\n")[0]})
            finally:
                gc.collect()
    finally:
        torch.set_num_threads(before)
    return {
        "benchmark": "bench",
        **records.provenance(seed=0, started=started),
        "device": device,
        "precision": "bf16 autocast" if device == "cuda" else "float32",
        "clock": "elapsed" if device == "cuda" else "processor time",
        "threads": threads,
        "unit": f"{TOWER}: image tower without gradients, batch_size clips of num_frames frames, same run",
        "num_frames": num_frames,
        "batch_size": batch_size,
        "num_classes": num_classes,
        "repeats": repeats,
        "peak_flops": peak_flops(torch.cuda.get_device_name()) if device == "cuda" else None,
        "rows": rows,
        "training_memory": {"published_mb": PUBLISHED_MB, "batch_size": PUBLISHED_BATCH, "measured": memory},
    }


def peak_flops(gpu: str) -> float | None:
    """Dense bf16 FLOP/s of a GPU by its name; None for one that the table does not hold."""
    return next((flops for part, flops in PEAK_FLOPS.items() if part.lower() in gpu.lower()), None)


def class_names(num_classes: int) -> tuple[Sequence[str], Sequence[str]]:
    """English and Chinese names of real actions: the first ones of HMDB-51, or beyond 51 of Kinetics-400."""
    labels = read_labels("hmdb51" if num_classes <= 51 else "kinetics400")
    if num_classes > len(labels.english):
        raise ValueError(f"expected at most {len(labels.english)} classes, got {num_classes}")
    assert labels.chinese is not None
    return labels.english[:num_classes], labels.chinese[:num_classes]


def _config(name: str, num_frames: int) -> Any:
    method, _, variant = name.partition(":")
    module = methods.get(method)
    if variant and variant not in module.VARIANTS:
        raise ValueError(f"{method} has no variant {variant!r}; there are {', '.join(module.VARIANTS) or 'none'}")
    config = module.VARIANTS[variant] if variant else module.Config()
    has_frames = any(field.name == "num_frames" for field in dataclasses.fields(config))
    return dataclasses.replace(config, num_frames=num_frames) if has_frames else config


@functools.cache
def _vocabulary() -> Any:
    return load_clip(TINY).text.tokenizer


@functools.lru_cache(maxsize=1)
def _backbone(name: str) -> CLIP:
    """Drawing the random weights of ViT-L/14 takes seconds, copying them one."""
    return load_clip(name)


def build_method(name: str, backbone: str, classes: tuple[Sequence[str], Sequence[str]], num_frames: int) -> Method:
    clip, vocabulary = copy.deepcopy(_backbone(backbone)), _vocabulary()
    if backbone.startswith("random:") and clip.text.embeddings.token_embedding.num_embeddings >= len(vocabulary):
        clip.text.tokenizer = vocabulary
    return methods.build(name.partition(":")[0], clip, *classes, config=_config(name, num_frames))


def batch_memory(method: Method, device: str = "cpu") -> list[dict[str, Any]]:
    """Memory of a training step with `PUBLISHED_BATCH` clips of different classes in MB of 10^6 bytes, with and without
    bf16 and gradient checkpointing. On CUDA it is measured. On the CPU it is counted on tensors that have a shape and
    no numbers: exactly what a real step makes, without the time that one takes."""
    before, model = 0, method.train()
    with contextlib.ExitStack() as without_numbers:
        if device == "cuda":
            before = torch.cuda.memory_allocated()
            model.to(device)
        else:
            mode = FakeTensorMode()
            with FakeCopyMode(mode):
                model = copy.deepcopy(method)
            without_numbers.enter_context(mode)
            without_numbers.enter_context(mock.patch.object(torch.Tensor, "unique", _all_different))
        cases: list[dict[str, Any]] = []
        optimizer = torch.optim.AdamW(model.param_groups(1e-6))
        num_frames = getattr(method.config, "num_frames", 8)
        video = torch.randn(PUBLISHED_BATCH, num_frames, *model.frame_shape, device=device)
        labels = torch.arange(PUBLISHED_BATCH, device=device) % len(method.class_names)
        step = partial(training_step, model, optimizer, device=device)
        step(video[:1], labels[:1], bf16=False)  # makes the optimiser's states
        held = [*model.parameters(), *model.buffers(), *states_of(optimizer), video, labels]
        for bf16, recompute in ((False, False), (False, True), (True, False), (True, True)):
            model.clip.set_gradient_checkpointing(recompute)
            mb = peak_mb(partial(step, video, labels, bf16=bf16), held, device, before)
            precision = "bf16 autocast" if bf16 else "float32"
            case = {"precision": precision, "gradient_checkpointing": recompute, "mb": round(mb, 3)}
            cases.append(case | {"below_published": mb < PUBLISHED_MB})
        model.clip.set_gradient_checkpointing(False)
    return cases


def _all_different(labels: Tensor, *, return_inverse: bool) -> tuple[Tensor, Tensor]:
    """What `labels.unique` gives where all labels are different."""
    return labels, torch.arange(len(labels), device=labels.device)


# Showing -------------------------------------------------------------------------------------------------------------


def table(record: dict[str, Any]) -> list[list[str]]:
    """Rows for people, the first one the head; everything with ÷ is a ratio to the bare tower of the same backbone."""
    head = "backbone, model, frames, clips/s, inference ÷, goal, step ÷, cached step ÷, trained M, MACs ÷"
    rows = [[*head.split(", "), "inference MB", "training MB"]]
    chip = record["peak_flops"] is not None
    rows[0] += ["steps/s", "% of peak, inference", "% of peak, training"] if chip else ["steps/s"]
    for row in record["rows"]:
        name = row["model"] + (", compiled" if row["compiled"] else "")
        if "error" in row:
            rows.append([row["backbone"], name, f"failed: {row['error']}", *[""] * (len(rows[0]) - 3)])
            continue
        tower = next(r for r in record["rows"] if r["backbone"] == row["backbone"] and r["kind"] == "tower")
        inference, step, cached = (row.get(key, {}) for key in ("inference", "training_step", "cached_step"))
        ours, bare = (r["macs_per_clip"]["inference"] for r in (row, tower))
        cells = [
            row["backbone"], name, row["num_frames"], f"{inference['clips_per_s']:.3g}", ratio_cell(inference),
            f"{row['inference_limit']} {'met' if row['within_limit'] else 'missed'}" if row["kind"] == "method" else "",
            ratio_cell(step), ratio_cell(cached),
            f"{row['trained_parameters'] / 1e6:.2f}", f"{ours / bare:.3f}", f"{row['memory_mb']['inference']:.0f}",
            f"{row['memory_mb']['training_step']:.0f}" if step else "",
            f"{step['calls_per_s']:.3g}" if step else "",
        ]  # fmt: skip
        if chip:
            cells += [f"{100 * x['flops_utilisation']:.0f}" if x else "" for x in (inference, step)]
        rows.append([str(cell) for cell in cells])
    return rows


def ratio_cell(entry: Mapping[str, Any]) -> str:
    """A ratio in hundredths, below 0.1 in thousandths: no digit more than its noise allows; empty where nothing was
    measured."""
    if not entry:
        return ""
    ratio = entry["ratio"]
    return "<0.001" if ratio < 0.001 else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"


def memory_lines(record: dict[str, Any]) -> list[str]:
    """What a training step of the published batch takes, a line per case."""
    memory = record["training_memory"]
    size = memory["batch_size"]
    return [
        f"{item['model']}, {item['backbone']}, batch {size}, {case['precision']}"
        f"{', gradient checkpointing' if case['gradient_checkpointing'] else ''}: "
        f"{case['mb']:,.0f} MB, {'below' if case['below_published'] else 'not below'} "
        f"{memory['published_mb']} MB"
        for item in memory["measured"]
        for case in item["cases"]
    ]


def plot(record: dict[str, Any], path: str | Path) -> None:
    """Bars of inference and training time by model, as ratios to the bare tower, with the goals of inference."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    rows = [row for row in record["rows"] if row["kind"] != "tower" and "error" not in row][::-1]
    labels = [f"{r['model']}{', compiled' if r['compiled'] else ''}  {r['backbone'].split(':')[-1]}" for r in rows]
    colours = ["tab:blue" if row["kind"] == "method" else "tab:grey" for row in rows]
    height = max(2.5, 1 + 0.24 * len(rows))
    figure, panels = plt.subplots(1, 2, figsize=(11, height), sharey=True, layout="constrained")
    for axes, key, title in zip(panels, ("inference", "training_step"), ("inference", "training step")):
        bars = axes.barh(labels, [row.get(key, {}).get("ratio", 0) for row in rows], color=colours)
        axes.bar_label(bars, [f"{row[key]['ratio']:.2f}" if key in row else "-" for row in rows], padding=2, fontsize=7)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.margins(x=0.12)
        axes.set_title(f"{title}, time per clip (bare tower = 1)")
    for limit in (FRAME_LIMIT, PROMPT_LIMIT):
        panels[0].axvline(limit, color="tab:red", linewidth=0.8, linestyle=":")
    figure.suptitle(
        f"{record['num_frames']} frames, {record['precision']}, {record['device']}; grey: peers", fontsize=9
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
