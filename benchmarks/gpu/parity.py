"""Parity: each method with the same weights and the same clips on the CPU in float32, which is the reference, on the
GPU in float32 without TF32, and there under bf16 autocast. Every trained tensor is moved away from its start first:
many a branch starts at zero, and would hide what its kernels do."""

import time
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actionprompt.method import Method
from actionprompt.study import bench
from gpu.part import Jobs
from gpu.settings import Settings

MOST_DIFFERENCE = 1e-4
"""Of a probability in float32. In bf16 the difference is stated, and whether the highest class is the same."""
SHIFT = 0.01
"""Standard deviation of what is added to the trained tensors."""


def jobs(settings: Settings) -> Jobs:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for name in settings.methods:
        yield {"method": name}, partial(compare, name, settings)


def compare(name: str, settings: Settings) -> dict[str, Any]:
    """Largest absolute differences of probabilities, and of L2-normalised features where `encode` gives a tensor."""
    classes = bench.class_names(settings.num_classes)
    method = shifted(bench.build_method(name, settings.backbone, classes, settings.num_frames)).eval()
    random = torch.Generator().manual_seed(0)
    video = torch.randn(settings.parity_clips, settings.num_frames, *method.frame_shape, generator=random)
    began = time.perf_counter()
    reference = answers(method, video, "cpu", bf16=False)
    seconds = time.perf_counter() - began
    found = {
        precision: differences(reference, answers(method, video, settings.device, bf16=precision == "bf16"))
        for precision in ("float32", "bf16")
    }
    return {
        "clips": settings.parity_clips,
        "cpu_seconds": round(seconds, 3),
        "highest_probability": round(float(reference["probabilities"].amax(-1).mean()), 4),
        **found,
        "most_difference": MOST_DIFFERENCE,
        "passed": found["float32"]["probabilities"] <= MOST_DIFFERENCE,
    }


@torch.no_grad()
def shifted(method: Method) -> Method:
    random = torch.Generator().manual_seed(1)
    for parameter in method.parameters():
        if parameter.requires_grad:
            parameter += SHIFT * torch.randn(parameter.shape, generator=random)
    method.set_classes(method.class_names, method.class_names_zh)
    return method


@torch.no_grad()
def answers(method: Method, video: Tensor, device: str, *, bf16: bool) -> dict[str, Tensor]:
    """Probabilities and, where they are one tensor, features, in float32 on the CPU."""
    method.to(device).train().eval()  # to forget what is kept of the class names
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        features = method.encode(video.to(device))
        logits = method.head(features)
    found = {"probabilities": logits.float().softmax(-1).cpu()}
    if isinstance(features, Tensor):
        found["features"] = F.normalize(features.float(), dim=-1).cpu()
    return found


def differences(reference: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, Any]:
    largest = {name: float((found[name] - reference[name]).abs().max()) for name in reference}
    same = (found["probabilities"].argmax(-1) == reference["probabilities"].argmax(-1)).sum()
    return {**largest, "same_top1": int(same)}
