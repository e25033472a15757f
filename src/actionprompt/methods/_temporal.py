"""The temporal transformer of the released code of ActionCLIP and BIKE.

Letters: N videos, T frames, E width of the joint space.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.layers import Block


def start_small(module: nn.Module) -> None:
    """Linear weights from N(0, 0.02) and biases of zero (code)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class ReleasedTransformer(nn.Module):
    """frames + blocks(frames + positions), with LayerNorms whose epsilon is 1e-12. More than `max_frames` frames raise
    ValueError."""

    def __init__(self, width: int, num_layers: int, num_heads: int, max_frames: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(max_frames, width))
        self.blocks = nn.Sequential(*(Block(width, num_heads) for _ in range(num_layers)))
        self.blocks.apply(start_small)
        for module in self.blocks.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-12

    def forward(self, frames: Float[Tensor, "N T E"]) -> Float[Tensor, "N T E"]:
        if frames.shape[1] > len(self.position):
            raise ValueError(f"expected at most {len(self.position)} frames, got {frames.shape[1]}")
        return frames + self.blocks(frames + self.position[: frames.shape[1]])
