"""The transformer layer that all towers share, and its parts.

Letters: N sequences, L and M tokens, D width of a tower, H heads, d channels of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]


@dataclass(frozen=True)
class TowerShape:
    """The sizes of one transformer."""

    width: int
    """D."""
    num_layers: int
    num_heads: int
    """H."""
    mlp_width: int
    activation: Activation = "quick_gelu"
    """Of the MLPs; `quick_gelu` is OpenAI's, `gelu_tanh` SigLIP's."""
    norm_eps: float = 1e-5


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with tanh in place of the error function, as in SigLIP."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu, "gelu_tanh": gelu_tanh}


class WithoutInitialValues:
    """The weights of a tower come from a checkpoint, and drawing them first takes longer than reading them."""

    def reset_parameters(self) -> None:
        pass


class Linear(WithoutInitialValues, nn.Linear): ...


class LayerNorm(WithoutInitialValues, nn.LayerNorm): ...


class Embedding(WithoutInitialValues, nn.Embedding): ...


class Conv2d(WithoutInitialValues, nn.Conv2d): ...


class Attention(nn.Module):
    """The four projections of multi-head attention; `Layer` and `AttentionPool` compute with them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k_proj, self.v_proj = Linear(width, width), Linear(width, width)
        self.q_proj, self.out_proj = Linear(width, width), Linear(width, width)


class MLP(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[shape.activation]
        self.fc1, self.fc2 = Linear(shape.width, shape.mlp_width), Linear(shape.mlp_width, shape.width)

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """One transformer layer: `x = attend(x)`, then `x = feed_forward(x)`; the two halves can be called apart. Called as
    a whole, it stores half as much for a backward pass that recomputes (gradient checkpointing).

    `norm_first`: the layer norms come first in their residual branches, as in ViT and GPT; else behind the sums, as in
    BERT. The docstrings give the former."""

    def __init__(self, shape: TowerShape, *, is_causal: bool, norm_first: bool = True) -> None:
        super().__init__()
        self.self_attn = Attention(shape.width)
        self.layer_norm1 = LayerNorm(shape.width, eps=shape.norm_eps)
        self.mlp = MLP(shape)
        self.layer_norm2 = LayerNorm(shape.width, eps=shape.norm_eps)
        self.num_heads = shape.num_heads
        self.is_causal, self.norm_first = is_causal, norm_first
        self.recompute = False
        self.record: list[tuple[Tensor, Tensor | None]] | None = None
        """If a list, the inputs (x, bias) of every call of the attention are appended to it: for attention maps."""

    def forward(self, x: Tensor, bias: Tensor | None = None, *, keep: int | None = None) -> Tensor:
        """x [N, L, D] -> [N, L, D]; see `attend` for `bias`. With `keep` only the first so many tokens reach
        `feed_forward`."""
        self._append(x, bias)
        return self._run(lambda x, bias: self._mlp(self._attend(x, bias)[:, :keep]), x, bias)

    def attend(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x + MHSA(LN(x)). `bias` [*, L, L] is added to the attention logits before the softmax (-inf masks)."""
        self._append(x, bias)
        return self._run(self._attend, x, bias)

    def keys_values(self, x: Float[Tensor, "N L D"]) -> tuple[Float[Tensor, "N H L d"], Float[Tensor, "N H L d"]]:
        """Keys and values of tokens x for `attend_to`: sequences can share those of the tokens they have in common."""
        y = self._normed(x)
        return self._heads(self.self_attn.k_proj(y)), self._heads(self.self_attn.v_proj(y))

    def attend_to(
        self,
        x: Float[Tensor, "N L D"],
        keys: Float[Tensor, "N H M d"],
        values: Float[Tensor, "N H M d"],
        mask: Bool[Tensor, "... #L M"] | None = None,
    ) -> Float[Tensor, "N L D"]:
        """x + MHA(queries of LN(x), keys, values): `attend` with keys chosen by the caller; x attends where `mask` is
        true ([L, M], or [N, 1, L, M]), and no causal mask is added."""
        return self._run(self._attend_to, x, keys, values, mask)

    def feed_forward(self, x: Tensor) -> Tensor:
        """x + MLP(LN(x))."""
        return self._run(self._mlp, x)

    def attention_weights(self, x: Float[Tensor, "N L D"], bias: Tensor | None = None) -> Float[Tensor, "N H L L"]:
        """The attention weights of `attend` on the same input, for attention maps."""
        q, k, _ = self._qkv(x)
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        logits = logits if bias is None else logits + bias
        if self.is_causal:
            logits = logits + torch.full_like(logits, -torch.inf).triu(1)
        return logits.softmax(-1)

    def _append(self, x: Tensor, bias: Tensor | None) -> None:
        if self.record is not None:
            self.record.append((x.detach(), bias))

    def _normed(self, x: Tensor) -> Tensor:
        return self.layer_norm1(x) if self.norm_first else x

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attn, y = self.self_attn, self._normed(x)
        return self._heads(attn.q_proj(y)), self._heads(attn.k_proj(y)), self._heads(attn.v_proj(y))

    def _heads(self, x: Tensor) -> Tensor:
        return split_heads(x, self.num_heads)

    def _attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = self._qkv(x)
        if bias is not None:
            bias = bias.to(q.dtype)
            if self.is_causal:
                bias = bias + torch.full(bias.shape[-2:], -torch.inf, device=x.device, dtype=bias.dtype).triu(1)
        return self._attended(x, attention(q, k, v, bias, is_causal=self.is_causal and bias is None))

    def _attend_to(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        q = self._heads(self.self_attn.q_proj(self._normed(x)))
        return self._attended(x, attention(q, keys, values, mask))

    def _attended(self, x: Tensor, y: Tensor) -> Tensor:
        x = x + self.self_attn.out_proj(y.transpose(1, 2).flatten(2))
        return x if self.norm_first else self.layer_norm1(x)

    def _mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.layer_norm2(x)) if self.norm_first else self.layer_norm2(x + self.mlp(x))

    def _run(self, part: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(part, *args, use_reentrant=False)
        return part(*args)


def split_heads(x: Float[Tensor, "N L D"], num_heads: int) -> Float[Tensor, "N H L d"]:
    """Tokens in `num_heads` parts of their channels."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, is_causal: bool = False) -> Tensor:
    """Softmax attention over [N, heads, L, d]. In bf16 on a CPU it runs in float32: torch's own backward pass for bf16
    is many times slower there than the one for float32 (a profile of torch 2.13 on AVX512-BF16, no record)."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
    with torch.autocast("cpu", enabled=False):
        mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        y = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask, is_causal=is_causal)
    return y.to(q.dtype)
