"""Dual encoders as open pieces: `embed`, `layers`, `project`, for images and for text.

A method that changes the inside of a tower writes its own loop over `layers`, in sight; the backbone never learns a
method's name, and a method never that of a family of backbones: what differs between them are properties of the towers.
Pieces and their weights are named as in Hugging Face's CLIP, layer by layer; where weights come from is in `weights`.

Letters: N images, P patches, D width of a tower, K texts, L tokens of a text, E width of the joint space, H heads.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.backbone.image import ImagePieces, ImageTower
from actionprompt.backbone.layers import Layer, LayerNorm, TowerShape, quick_gelu
from actionprompt.backbone.text import TEXTS_AT_ONCE, TextFeatures, TextPieces, TextTower, Tokenizer, in_parts
from actionprompt.config import Pixels

__all__ = [
    "CLIP", "TEXTS_AT_ONCE", "CLIPShape", "ImagePieces", "ImageTower", "Layer", "LayerNorm", "TextFeatures",
    "TextPieces", "TextTower", "Tokenizer", "TowerShape", "default_device", "find_device", "in_parts", "quick_gelu",
]  # fmt: skip


@dataclass(frozen=True)
class CLIPShape:
    """The sizes and pieces of a dual encoder; the pieces are those of CLIP unless stated."""

    image: TowerShape
    text: TowerShape
    image_size: int
    """S, in pixels."""
    patch_size: int
    """In pixels."""
    vocab_size: int
    context_length: int
    """Most tokens of a text, with SOS and EOT."""
    embed_dim: int
    """E."""
    num_positions: int | None = None
    """Rows of the text tower's table of positions; None: `context_length`."""
    image_pieces: ImagePieces = field(default_factory=ImagePieces)
    text_pieces: TextPieces = field(default_factory=TextPieces)
    sigmoid: bool = False
    """Trained with a sigmoid for each pair of image and text, whose logits have a bias (SigLIP), in place of a softmax
    over a batch."""

    def text_tower(self, tokenizer: Tokenizer) -> TextTower:
        """The text tower alone, without weights."""
        return TextTower(
            self.text, tokenizer, vocab_size=self.vocab_size, num_positions=self.num_positions or self.context_length,
            context_length=self.context_length, embed_dim=self.embed_dim, pieces=self.text_pieces,
        )  # fmt: skip


class CLIP(nn.Module):
    """Both towers, the score and the numbers of the preprocessing."""

    def __init__(
        self, shape: CLIPShape, tokenizer: Tokenizer, *, name: str, family: str = "clip", pixels: Pixels | None = None
    ):
        super().__init__()
        self.image = ImageTower(
            shape.image, image_size=shape.image_size, patch_size=shape.patch_size, embed_dim=shape.embed_dim,
            pieces=shape.image_pieces,
        )  # fmt: skip
        self.text = shape.text_tower(tokenizer)
        self.tokenizer = tokenizer
        self.shape = shape
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))  # log(1 / 0.07), CLIP's start
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if shape.sigmoid else None  # SigLIP's start
        self.name = name
        """What `load_clip` was asked for."""
        self.family = family
        """The kind of checkpoint, one of `weights.FAMILIES`: to be shown. Nothing depends on it."""
        self.path: Path | None = None
        """The folder or file that the user gave, absolute; None for the embedded model, the hub and random weights."""
        self.pixels = Pixels() if pixels is None else pixels
        """What the checkpoint asks of its pixels."""

    @property
    def embed_dim(self) -> int:
        return self.image.embed_dim

    @property
    def public_name(self) -> str:
        """`name` without a path, for files that are given away: `local:` and the last part of what the user gave."""
        return self.name if self.path is None else f"local:{self.path.name}"

    def logits(self, video: Float[Tensor, "N E"], text: Float[Tensor, "K E"]) -> Float[Tensor, "N K"]:
        """The logits of L2-normalised embeddings: their cosines scaled, and with a sigmoid backbone its bias added."""
        return self._biased(self.logit_scale.exp() * video @ text.T)

    def score(self, cosine: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """`logits` of cosines that the caller has."""
        return self._biased(self.logit_scale.exp() * cosine)

    def _biased(self, logits: Tensor) -> Tensor:
        return logits if self.logit_bias is None else logits + self.logit_bias

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute the inside of every layer in the backward pass instead of keeping it: less memory, more time."""
        for module in self.modules():
            if isinstance(module, Layer):
                module.recompute = enabled

    def fingerprint(self) -> str:
        """SHA-256 over all weights, and over what they do not show of the function that they are part of, but for the
        number of heads. What is as in OpenAI's CLIP is not written."""
        digest = hashlib.sha256("".join(sorted(self._told())).encode())
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def _told(self) -> Iterator[str]:
        """What the weights do not show of the function that the towers are."""
        shape, usual = self.shape, TowerShape(0, 0, 0, 0)
        for name, tower in (("image", shape.image), ("text", shape.text)):
            yield from _unusual(name, tower, usual, ("activation", "norm_eps"))
        for name, pieces in (("image", shape.image_pieces), ("text", shape.text_pieces)):
            yield from _unusual(name, pieces, type(pieces)(), vars(pieces))


def _unusual(name: str, own: Any, usual: Any, fields: Iterable[str]) -> Iterator[str]:
    """The fields of a shape that are not as usual, with their values."""
    for field_name in fields:
        if getattr(own, field_name) != getattr(usual, field_name):
            yield f"{name}.{field_name}={getattr(own, field_name)} "


def find_device(name: torch.device | str | None) -> torch.device:
    """The device of that name; None for `default_device()`.

    Raises:
        ValueError: torch knows no such device, or it is not there.
    """
    if name is None:
        return default_device()
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # a CPU build asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected a device such as 'cpu', 'cuda' or 'mps', got {str(name)!r}: {reason}") from None


def default_device() -> torch.device:
    """CUDA, Apple's MPS or the CPU, whichever is there first."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
