"""Linear layers in 8-bit integers, for predictions on a CPU. They cannot be trained or saved.

Weights are symmetric integers with one scale per output channel. Inputs are rounded to 0..255 with one scale and one
zero point per image, taken from what reaches the layer, so that no image changes the answer to another. Weights have
seven bits, since processors without VNNI add products in pairs into 16 bits, where eight times eight bits overflow.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

INPUT, WEIGHT = 255, 63
LEAST_SCALE = 1e-12


class Int8Linear(nn.Module):
    """A linear layer that computes in 8-bit integers and returns float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.scales = (weight.abs().amax(1) / WEIGHT).clamp(min=LEAST_SCALE)
        whole = (weight / self.scales[:, None]).round().clamp(-WEIGHT, WEIGHT).to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self.zeros = torch.zeros(len(whole), dtype=torch.int32)
        self.bias = linear.bias.detach().float() if linear.bias is not None else None

    def forward(self, x: Float[Tensor, "N *L D"]) -> Float[Tensor, "N *L F"]:
        y = torch.empty(*x.shape[:-1], len(self.scales))
        for image, out in zip(x.float(), y):
            out.copy_(self._image(image))
        return y

    def _image(self, x: Float[Tensor, "*L D"]) -> Float[Tensor, "*L F"]:
        least, most = torch.aminmax(x)
        low, high = min(float(least), 0.0), max(float(most), 0.0)  # 0 itself is not rounded
        if not math.isfinite(high - low):
            return torch.full((*x.shape[:-1], len(self.scales)), math.nan)
        scale = max((high - low) / INPUT, LEAST_SCALE)
        zero = round(-low / scale)
        whole = (x * (1 / scale)).add_(zero).round_().clamp_(0, INPUT).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            whole, scale, zero, self.packed, self.scales, self.zeros, self.bias, 1.0, 0, torch.float32, "none", [], ""
        )


def to_int8(layers: nn.Module) -> None:
    """Every linear layer inside becomes one in int8, in place.

    Raises:
        ValueError: the processor, or torch here, cannot compute in int8.
    """
    try:
        Int8Linear(nn.Linear(1, 1))(torch.zeros(1, 1))
    except (AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected a processor on which torch computes in int8 (oneDNN): {reason}") from None
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))
