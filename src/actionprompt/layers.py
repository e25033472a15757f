"""Blocks used unchanged by three or more methods, and only those.

Letters: N videos, T frames, L tokens, D width.
"""

import torch
import torch.distributed
from jaxtyping import Float, Int
from torch import Tensor, nn


class Block(nn.Module):
    """Pre-norm transformer block in CLIP's form: x + MHSA(LN x), then x + MLP(LN x) with QuickGELU and a factor of 4.

    With `context` it is cross-attention: queries from x, keys and values from LN(context)."""

    def __init__(self, width: int, num_heads: int, *, cross: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width) if cross else None
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "N L D"], context: Float[Tensor, "N M D"] | None = None) -> Tensor:
        y = self.norm1(x)
        memory = y if self.norm_context is None else self.norm_context(context)
        x = x + self.attention(y, memory, memory, need_weights=False)[0]
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))

    def zero_output(self) -> "Block":
        """Start as the identity: both output projections at zero."""
        for linear in (self.attention.out_proj, self.fc2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        return self


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)


class TemporalTransformer(nn.Module):
    """Transformer over the frames of a clip with learned positions and an outer residual; starts as the identity."""

    def __init__(self, width: int, *, num_layers: int, max_frames: int = 64) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(max_frames, width) * 0.01)
        self.blocks = nn.ModuleList(Block(width, max(1, width // 64)) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, frames: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        if frames.shape[1] > len(self.position):
            raise ValueError(f"expected at most {len(self.position)} frames (max_frames), got {frames.shape[1]}")
        x = frames + self.position[: frames.shape[1]]
        for block in self.blocks:
            x = block(x)
        return frames + self.output(self.norm(x))


def same_label_targets(labels: Int[Tensor, " N"]) -> Float[Tensor, "N N"]:
    """Row i: equal weight on every sample of i's class, i itself among them; rows sum to 1.

    With them `F.cross_entropy(similarity, targets)` is the supervised contrastive loss: the mean over anchors of the
    mean over their positives of -log softmax (Khosla et al., 2020, outside the logarithm). The KL divergence to the
    same targets is it minus their entropy."""
    same = (labels[:, None] == labels).float()
    return same / same.sum(1, keepdim=True)


def gather_batch(x: Tensor) -> Tensor:
    """Rows of all processes, in rank order, with gradients to every one of them; x itself in a single process.

    For losses that compare clips of a batch with each other, so that they do not depend on the number of processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return x
    if torch.distributed.get_world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))
