"""Blocks used unchanged by three or more methods, and only those.

Letters: N videos, T frames, L tokens, M context tokens, P prompts of a frame, n learned tokens of a text, D width of a
tower, E width of the joint space, K classes.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed
from jaxtyping import Float, Int
from torch import Tensor, nn

from actionprompt.backbone import ImageTower, TextTower, quick_gelu


def is_exporting() -> bool:
    """Whether `torch.export` traces this call. torch 2.6 does not tell; `actionprompt export` asks for a newer one."""
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()


class Block(nn.Module):
    """Pre-norm transformer block as in CLIP: x + MHSA(LN x), then x + MLP(LN x) with QuickGELU and hidden width 4 D.

    With `cross=True` the attention is cross-attention: queries from LN(x), keys and values from LN(context)."""

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
        """Set both output projections to zero, so that the block starts as the identity; returns the block."""
        for linear in (self.attention.out_proj, self.fc2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        return self


class TemporalTransformer(nn.Module):
    """Transformer over the frames of a clip with learned position embeddings and an outer residual connection.

    Its output projection is initialised to zero, so it starts as the identity. More than `max_frames` frames raise
    ValueError."""

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


class FrameAttention(nn.Module):
    """Attention of one token per frame to tokens of the whole clip: x + MHA(queries LN(x), keys and values `memory`).

    Without `memory` it is self-attention over the frames (the summary token of Vita-CLIP, Wasim et al., 2023)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        for weight in (*self.attention.in_proj_weight.chunk(3), self.attention.out_proj.weight):
            nn.init.xavier_uniform_(weight)

    def forward(
        self, x: Float[Tensor, "N T D"], memory: Float[Tensor, "N M D"] | None = None
    ) -> Float[Tensor, "N T D"]:
        y = self.norm(x)
        memory = y if memory is None else memory
        return x + self.attention(y, memory, memory, need_weights=False)[0]


def prompted_frames(
    image: ImageTower,
    video: Float[Tensor, "N T 3 S S"],
    time: Float[Tensor, "T D"],
    prompts: Iterable[Callable[[Tensor], Tensor]],
) -> Float[Tensor, "N T E"]:
    """The image tower applied to every frame, with prompts in the attention of every layer.

    `prompts` holds one function per layer, from the frame tokens at the layer's input (`ImageTower.frame_token`: CLIP's
    class tokens) to its prompts, [N, T, D] -> [N, T, P, D]. The prompts are appended to the frame's own tokens, take
    part in the attention and are dropped before the MLP. `time` is added to every token of its frame before the tower's
    first LayerNorm. Returns the projected frame tokens, not L2-normalised."""
    frames = video.shape[:2]
    x = image.embed(video.flatten(0, 1)).unflatten(0, frames) + time[:, None]
    x = image.pre_norm(x.flatten(0, 1))
    length = x.shape[1]
    layers: list[Any] = list(image.layers)
    for layer, prompt in zip(layers, prompts, strict=True):
        tokens = prompt(image.frame_token(x).unflatten(0, frames)).flatten(0, 1)
        x = layer(torch.cat([x, tokens], 1), keep=length)
    return image.project(image.frame_token(x)).unflatten(0, frames)


def encode_prompts(text: TextTower, ids: Int[Tensor, "K L"], context: Float[Tensor, "K n D"]) -> Float[Tensor, "K E"]:
    """Sentence features, not L2-normalised, of texts with n learned context tokens in front of their words. The `ids`
    are those of `text.tokenize(..., reserve=n)`, which keeps room for them in the context length; all of its rows, so
    that the longest text fills its row, and nothing is cut by what is in a tensor."""
    tokens = text.insert(text.token_embeddings(ids), context)
    return text.encode(tokens, text.lengths(ids) + context.shape[1], cut=False).sentence


def same_label_targets(labels: Int[Tensor, " N"]) -> Float[Tensor, "N N"]:
    """Row i: equal weight on every sample of i's class, including i itself; rows sum to 1.

    With these targets `F.cross_entropy(similarity, targets)` is the supervised contrastive loss: the mean over anchors
    of the mean over their positives of -log softmax (Khosla et al., 2020, the form with the sum over positives outside
    the logarithm). KL(targets || softmax) is this loss minus the entropy of the targets, a constant."""
    same = (labels[:, None] == labels).float()
    return same / same.sum(1, keepdim=True)


def gather_batch(x: Tensor) -> Tensor:
    """The rows of all processes in rank order, differentiable in every process; x itself if there is only one process.

    For losses that compare the clips of a batch with each other: they then depend on the global batch, not on how many
    processes share it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return x
    if torch.distributed.get_world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))
