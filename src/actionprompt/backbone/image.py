"""The image tower as open pieces: `embed`, `pre_norm`, `layers`, `frame_token`, `project`.

Letters: N images, P patches, L tokens (L = P and the class token, where there is one), D width, E width of the joint
space, H heads.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.backbone.layers import (
    MLP,
    Attention,
    Conv2d,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    TowerShape,
    attention,
    split_heads,
)


@dataclass(frozen=True)
class ImagePieces:
    """Which pieces an image tower has; the defaults are those of CLIP."""

    class_token: bool = True
    """A learned token stands in front of the patches."""
    patch_bias: bool = False
    pre_norm: bool = True
    """A layer norm before the first layer."""
    pooling: Literal["class", "mean", "attention"] = "class"
    """How the tokens become one: the class token, the mean of the patches, or `AttentionPool` over the patches."""
    norm_first: bool = True
    """The last layer norm comes before the mean over the patches; for a class token both are the same."""
    projection: bool = True
    """A linear projection into the joint space; without it E = D."""


class ImageEmbeddings(nn.Module):
    """Patches to tokens, a class token in front where there is one, learned positions."""

    def __init__(self, width: int, image_size: int, patch_size: int, pieces: ImagePieces) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(width)) if pieces.class_token else None
        self.patch_embedding = Conv2d(3, width, patch_size, stride=patch_size, bias=pieces.patch_bias)
        self.position_embedding = Embedding(pieces.class_token + (image_size // patch_size) ** 2, width)

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N L D"]:
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if self.class_embedding is not None:
            x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], 1)
        return x + self.position_embedding.weight


class AttentionPool(nn.Module):
    """The pooling of SigLIP (Zhai et al., 2023): a learned probe attends to the patches; to what it reads, an MLP of it
    is added."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.empty(shape.width))
        self.attention = Attention(shape.width)
        self.norm = LayerNorm(shape.width, eps=shape.norm_eps)
        self.mlp = MLP(shape)
        self.num_heads = shape.num_heads
        self.record: list[Tensor] | None = None
        """If a list, the input of every call is appended to it: for attention maps."""

    def forward(self, x: Float[Tensor, "N P D"]) -> Float[Tensor, "N D"]:
        if self.record is not None:
            self.record.append(x.detach())
        q, k = self._queries_keys(x)
        y = attention(q, k, split_heads(self.attention.v_proj(x), self.num_heads))
        y = self.attention.out_proj(y.transpose(1, 2).flatten(2))[:, 0]
        return y + self.mlp(self.norm(y))

    def attention_weights(self, x: Float[Tensor, "N P D"]) -> Float[Tensor, "N H P"]:
        """How the probe attends to the patches, for attention maps."""
        q, k = self._queries_keys(x)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)[:, :, 0]

    def _queries_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.attention.q_proj(self.probe.to(x.dtype).expand(x.shape[0], 1, -1))
        return split_heads(q, self.num_heads), split_heads(self.attention.k_proj(x), self.num_heads)


class ImageTower(nn.Module):
    """A vision transformer. `forward` is `embed`, `pre_norm`, every layer, `frame_token`, `project`."""

    def __init__(
        self, shape: TowerShape, *, image_size: int, patch_size: int, embed_dim: int, pieces: ImagePieces
    ) -> None:
        super().__init__()
        self.embeddings = ImageEmbeddings(shape.width, image_size, patch_size, pieces)
        self.pre_norm = LayerNorm(shape.width, eps=shape.norm_eps) if pieces.pre_norm else nn.Identity()
        self.layers = nn.ModuleList(Layer(shape, is_causal=False) for _ in range(shape.num_layers))
        self.post_norm = LayerNorm(shape.width, eps=shape.norm_eps)
        self.pool = AttentionPool(shape) if pieces.pooling == "attention" else None
        self.projection = Linear(shape.width, embed_dim, bias=False) if pieces.projection else nn.Identity()
        self.pieces = pieces
        self.num_prefix = int(pieces.class_token)
        """Tokens in front of the patches."""
        self.width, self.num_heads = shape.width, shape.num_heads
        self.image_size, self.patch_size = image_size, patch_size
        self.embed_dim = embed_dim
        self.grid = image_size // patch_size

    def embed(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N L D"]:
        """Pixel-normalised frames -> the class token, where there is one, and P patch tokens; positions added, before
        `pre_norm`."""
        if pixels.shape[-1] != self.image_size:
            raise ValueError(
                f"expected images of {self.image_size} x {self.image_size} pixels for this backbone, got "
                f"{pixels.shape[-2]} x {pixels.shape[-1]}; set the transform's side_px to {self.image_size}"
            )
        return self.embeddings(pixels)

    def patch_tokens(self, x: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N P D"]:
        """The tokens of the patches among a frame's own tokens."""
        return x[..., self.num_prefix :, :]

    def frame_token(self, x: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N D"]:
        """One token for each frame from its L own tokens, after any layer: CLIP's class token; with the pooling "mean"
        the mean of the patches; with "attention" what the probe of `AttentionPool` reads from the patches, which costs
        a sixth of a layer. `project` takes it into the joint space."""
        if self.pieces.pooling == "class":
            return x[..., 0, :]
        x = self.patch_tokens(x)
        x = self.post_norm(x) if self.pool is not None or self.pieces.norm_first else x
        return x.mean(-2) if self.pool is None else self.pool(x.flatten(0, -3)).unflatten(0, x.shape[:-2])

    def project(self, token: Float[Tensor, "*N D"]) -> Float[Tensor, "*N E"]:
        """A `frame_token` of the last layer into the joint space; not L2-normalised."""
        normed = self.pieces.pooling != "class" and (self.pool is not None or self.pieces.norm_first)
        return self.projection(token if normed else self.post_norm(token))

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N E"]:
        """Pixel-normalised frames -> image embeddings, not L2-normalised."""
        x = self.pre_norm(self.embed(pixels))
        for layer in self.layers:
            x = layer(x)
        return self.project(self.frame_token(x))
