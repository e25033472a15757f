"""Predict: from stored frames to probabilities as `actionprompt predict` computes them, in float32 and bf16 on the GPU
and in int8 on the CPU; and the same model exported to ONNX, where onnxruntime is installed, on the GPU if it has one.

A clip's answers are compared with those of float32; the processor's rows are relative to float32 on the processor."""

import importlib.util
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt.apps import export
from actionprompt.config import DataConfig
from actionprompt.prediction import Predictor
from actionprompt.prediction.precision import Precision
from actionprompt.study import bench
from actionprompt.study.meters import device_clock, turns
from gpu.part import Jobs
from gpu.settings import Settings

METHODS = ("zeroshot", "vita_clip")
"""One that works on frame embeddings, and one with prompts in every layer."""
EXTRA = ("onnx", "onnxscript", "onnxruntime")

Answer = Callable[[Tensor], Tensor]
"""uint8 video [N, V, T, C, S, S] on the device -> probabilities [N, K] on the CPU."""
Exact = dict[str, tuple[Tensor, float]]
"""By device: answers in float32, seconds of a clip."""


def jobs(settings: Settings) -> Jobs:
    lacking = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    exact: dict[str, Exact] = {name: {} for name in METHODS}
    devices = dict.fromkeys((settings.device, "cpu"))
    first: list[tuple[str, Precision]] = [(device, "float32") for device in devices]
    for name in METHODS:
        for device, precision in [*first, (settings.device, "bf16"), ("cpu", "int8")]:
            yield (
                {"method": name, "engine": "torch", "device": device, "precision": precision},
                partial(torch_row, name, settings, device, precision, exact[name]),
            )
    for name in METHODS:  # to export takes longest, and comes last
        for precision in ("float32", "int8"):
            about = {"method": name, "engine": "onnxruntime", "precision": precision}
            if lacking:
                yield about, lambda: {"skipped": f"{', '.join(lacking)} is not installed"}
                continue
            yield about, partial(graph_row, name, settings, precision == "int8", exact[name])


def torch_row(name: str, settings: Settings, device: str, precision: Precision, exact: Exact) -> dict[str, Any]:
    predictor, answer = by_torch(name, settings, device, precision)
    return row(predictor, answer, settings, device, exact, is_exact=precision == "float32")


def by_torch(name: str, settings: Settings, device: str, precision: Precision) -> tuple[Predictor, Answer]:
    classes = bench.class_names(settings.num_classes)
    method = bench.build_method(name, settings.backbone, classes, settings.num_frames)
    config = DataConfig(num_frames=settings.num_frames)
    predictor = Predictor(method, config, device=device, precision=precision)
    predictor.method.to(predictor.device)

    @torch.no_grad()
    def answer(video: Tensor) -> Tensor:
        return predictor.of_clips(predictor.method.encode(predictor.method.normalise(video.flatten(0, 1))))

    return predictor, answer


def row(
    predictor: Predictor, answer: Answer, settings: Settings, device: str, exact: Exact, *, is_exact: bool = False
) -> dict[str, Any]:
    """Clips per second, compared with the exact row of the device."""
    if not is_exact and device not in exact:
        raise ValueError(f"there is no row in float32 on {device} to compare with")
    num = settings.parity_clips if device == "cpu" else settings.batch_size
    shape = (num, 1, settings.num_frames, *predictor.method.frame_shape)
    video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)
    found = answer(video)
    calls = turns({"": partial(answer, video)}, settings.repeats, clock=partial(device_clock, device))[""]
    seconds = statistics.median(calls) / num
    if is_exact:
        exact[device] = found, seconds
    reference, base = exact[device]
    return {
        "clips": num,
        "clips_per_s": round(1 / seconds, 2),
        "ratio": round(seconds / base, 3),
        "change": float((found - reference).abs().max()),
        "same_top1": int((found.argmax(-1) == reference.argmax(-1)).sum()),
    }


def graph_row(name: str, settings: Settings, int8: bool, exact: Exact) -> dict[str, Any]:
    """The same of an exported graph; and where it ran, its size and how far the exporter found it from the model."""
    import onnxruntime

    cuda = settings.device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers() and not int8
    with tempfile.TemporaryDirectory() as folder:
        predictor, _ = by_torch(name, settings, "cpu", "float32")
        exported = export.export(predictor, Path(folder) / "model", int8=int8)
        providers = ["CUDAExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(Path(folder) / "model" / export.GRAPH, providers=providers)
    ran_on = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"

    def answer(video: Tensor) -> Tensor:
        return torch.from_numpy(session.run([export.OUTPUT], {export.INPUT: video.cpu().numpy()})[0])

    return {
        "device": ran_on,
        "mb": round(exported.size / 1e6, 1),
        "export_difference": exported.manifest["parity"]["probabilities_max_difference"],
        **row(predictor, answer, settings, ran_on, exact),
    }
