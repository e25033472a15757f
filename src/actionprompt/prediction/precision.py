"""Predictions in lower precision: frames are encoded in bf16 or in 8-bit integers, all else stays in float32."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from actionprompt.backbone.int8 import to_int8
from actionprompt.method import Features, Method

Precision = Literal["float32", "bf16", "int8"]
INT8 = (
    "int8 rounds what the layers of the image tower compute with: probabilities are not exactly those of float32 "
    "(results/costs.md)"
)
SLOW_BF16 = "this processor has no bf16 instructions: bf16 is several times slower here than float32, or int8"


def lowered(method: Method, precision: Precision, device: torch.device) -> Method:
    """A copy of the method whose `encode` computes in that precision and returns float32; the method itself for
    float32.

    Raises:
        ValueError: no such precision, or int8 elsewhere than on a CPU, of a method that sees optical flow, or where
            torch cannot compute in it.
    """
    if precision == "float32":
        return method
    if precision not in ("bf16", "int8"):
        raise ValueError(f"expected a precision of float32, bf16 or int8, got {precision!r}")
    if precision == "int8" and device.type != "cpu":
        raise ValueError(f"expected bf16 or float32 on {device.type}: int8 computes on a CPU alone")
    if precision == "int8" and method.flow is not None:
        raise ValueError(f"expected bf16 or float32: int8 is for an image tower, which {method.name} does not use")
    method.clip_sha256  # noqa: B018  it is that of the weights as loaded
    method = copy.deepcopy(method)
    if precision == "int8":
        to_int8(method.clip.image.layers)
        return method
    encode = method.encode

    def in_bf16(video: Tensor) -> Features:
        with torch.autocast(device.type, torch.bfloat16):
            features = encode(video)
        return _float32(features)

    method.encode = in_bf16  # type: ignore[method-assign]
    return method


def what_changes(precision: Precision, device: torch.device) -> Iterator[str]:
    """What has to be said of answers in that precision, a line each."""
    if precision == "int8":
        yield INT8
    if precision == "bf16" and device.type == "cpu" and not has_bf16(capabilities()):
        yield SLOW_BF16


def capabilities() -> dict[str, Any]:
    """What torch says of this processor; nothing in torch before 2.12, which cannot say it."""
    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}


def has_bf16(found: dict[str, Any]) -> bool:
    """Whether a processor has instructions for bf16; also where nobody knows."""
    known = [found[name] for name in ("avx512_bf16", "amx_bf16", "bf16") if name in found]
    return not known or any(known)


def _float32(features: Features) -> Features:
    if isinstance(features, Tensor):
        return features.float()
    fields = {field.name: getattr(features, field.name) for field in dataclasses.fields(features)}
    return dataclasses.replace(features, **{k: x.float() if x.is_floating_point() else x for k, x in fields.items()})
