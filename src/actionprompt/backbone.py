"""CLIP as open pieces: `embed`, `layers`, `project`, for images and for text.

A method that changes the inside of a tower writes its own loop over `layers`, in sight; the backbone never learns a
method's name. Pieces and their weights are named as in Hugging Face's CLIP, layer by layer; where weights come from is
in `weights`.

Letters: N images, P patches, D width of a tower, K texts, L tokens of a text, E width of the joint space, H heads.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

TEXTS_AT_ONCE = 256
"""Texts that go through a text tower together where no gradients are needed, so that memory is bounded."""


@dataclass(frozen=True)
class TowerShape:
    """The sizes of one transformer."""

    width: int
    """D."""
    num_layers: int
    num_heads: int
    """H."""
    mlp_width: int
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    """Of the MLPs; `quick_gelu` is OpenAI's."""
    norm_eps: float = 1e-5


@dataclass(frozen=True)
class CLIPShape:
    """The sizes of a CLIP."""

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


@runtime_checkable
class Tokenizer(Protocol):
    """What a text tower asks of its tokeniser (`weights.Tokenizer`)."""

    eos_token_id: int
    pad_token_id: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with SOS and EOT."""

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where in its text each token stands: (start, end) in characters."""


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)


class WithoutInitialValues:
    """The weights of a tower come from a checkpoint, and drawing them first takes longer than reading them."""

    def reset_parameters(self) -> None:
        pass


class Linear(WithoutInitialValues, nn.Linear): ...


class LayerNorm(WithoutInitialValues, nn.LayerNorm): ...


class Embedding(WithoutInitialValues, nn.Embedding): ...


class Conv2d(WithoutInitialValues, nn.Conv2d): ...


class Attention(nn.Module):
    """The four projections of multi-head attention; `Layer` computes with them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k_proj, self.v_proj = Linear(width, width), Linear(width, width)
        self.q_proj, self.out_proj = Linear(width, width), Linear(width, width)


class MLP(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.activation = quick_gelu if shape.activation == "quick_gelu" else F.gelu
        self.fc1, self.fc2 = Linear(shape.width, shape.mlp_width), Linear(shape.mlp_width, shape.width)

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """One pre-norm transformer layer: `x = attend(x)`, then `x = feed_forward(x)`; the two halves can be called apart.
    Called as a whole, it stores half as much for a backward pass that recomputes (gradient checkpointing)."""

    def __init__(self, shape: TowerShape, *, is_causal: bool) -> None:
        super().__init__()
        self.self_attn = Attention(shape.width)
        self.layer_norm1 = LayerNorm(shape.width, eps=shape.norm_eps)
        self.mlp = MLP(shape)
        self.layer_norm2 = LayerNorm(shape.width, eps=shape.norm_eps)
        self.num_heads = shape.num_heads
        self.is_causal = is_causal
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
        y = self.layer_norm1(x)
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

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attn, y = self.self_attn, self.layer_norm1(x)
        return self._heads(attn.q_proj(y)), self._heads(attn.k_proj(y)), self._heads(attn.v_proj(y))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = self._qkv(x)
        if bias is not None:
            bias = bias.to(q.dtype)
            if self.is_causal:
                bias = bias + torch.full(bias.shape[-2:], -torch.inf, device=x.device, dtype=bias.dtype).triu(1)
        y = _attention(q, k, v, bias, is_causal=self.is_causal and bias is None)
        return x + self.self_attn.out_proj(y.transpose(1, 2).flatten(2))

    def _attend_to(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        q = self._heads(self.self_attn.q_proj(self.layer_norm1(x)))
        y = _attention(q, keys, values, mask)
        return x + self.self_attn.out_proj(y.transpose(1, 2).flatten(2))

    def _mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.layer_norm2(x))

    def _run(self, part: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(part, *args, use_reentrant=False)
        return part(*args)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, is_causal: bool = False) -> Tensor:
    """Softmax attention over [N, heads, L, d]. In bf16 on a CPU it runs in float32: torch's own backward pass for bf16
    is many times slower there than the one for float32 (a profile of torch 2.13 on AVX512-BF16, no record)."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
    with torch.autocast("cpu", enabled=False):
        mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        y = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask, is_causal=is_causal)
    return y.to(q.dtype)


class ImageEmbeddings(nn.Module):
    """Patches to tokens, a class token in front, learned positions."""

    def __init__(self, width: int, image_size: int, patch_size: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = Conv2d(3, width, patch_size, stride=patch_size, bias=False)
        self.position_embedding = Embedding(1 + (image_size // patch_size) ** 2, width)

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N L D"]:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        classes = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat([classes, patches], 1) + self.position_embedding.weight


class ImageTower(nn.Module):
    """The vision transformer of CLIP. `forward` is `embed`, `pre_norm`, every layer, `project`."""

    def __init__(self, shape: CLIPShape) -> None:
        super().__init__()
        width = shape.image.width
        self.embeddings = ImageEmbeddings(width, shape.image_size, shape.patch_size)
        self.pre_norm = LayerNorm(width, eps=shape.image.norm_eps)
        self.layers = nn.ModuleList(Layer(shape.image, is_causal=False) for _ in range(shape.image.num_layers))
        self.post_norm = LayerNorm(width, eps=shape.image.norm_eps)
        self.projection = Linear(width, shape.embed_dim, bias=False)
        self.width, self.num_heads = width, shape.image.num_heads
        self.image_size, self.patch_size = shape.image_size, shape.patch_size
        self.embed_dim = shape.embed_dim
        self.grid = shape.image_size // shape.patch_size

    def embed(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N L D"]:
        """Pixel-normalised frames -> class token and P patch tokens (L = 1 + P), positions added, before `pre_norm`."""
        if pixels.shape[-1] != self.image_size:
            raise ValueError(
                f"expected images of {self.image_size} x {self.image_size} pixels for this backbone, got "
                f"{pixels.shape[-2]} x {pixels.shape[-1]}; set the transform's side_px to {self.image_size}"
            )
        return self.embeddings(pixels)

    def project(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... E"]:
        """Final layer norm and projection of tokens into the joint space; not L2-normalised."""
        return self.projection(self.post_norm(x))

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N E"]:
        """Pixel-normalised frames -> image embeddings, not L2-normalised."""
        x = self.pre_norm(self.embed(pixels))
        for layer in self.layers:
            x = layer(x)
        return self.project(x[:, 0])


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower gives for K texts."""

    sentence: Float[Tensor, "*K E"]
    """The projected token at the EOT position, not L2-normalised."""
    words: Float[Tensor, "*K L D"]
    """All tokens after the final layer norm, not projected; positions behind the EOT mean nothing."""
    eot: Int[Tensor, "*K"]
    """Position of each EOT token."""


class TextEmbeddings(nn.Module):
    """The tables of tokens and positions."""

    def __init__(self, width: int, vocab_size: int, context_length: int) -> None:
        super().__init__()
        self.token_embedding = Embedding(vocab_size, width)
        self.position_embedding = Embedding(context_length, width)


class TextTower(nn.Module):
    """The causal text transformer of CLIP, with its tokeniser.

    Nothing behind the last EOT of a batch can reach it (causal mask), so `encode` cuts there: exact, and several times
    cheaper than 77 tokens for class names.
    """

    def __init__(self, shape: CLIPShape, tokenizer: Tokenizer) -> None:
        super().__init__()
        width = shape.text.width
        self.embeddings = TextEmbeddings(width, shape.vocab_size, shape.context_length)
        self.layers = nn.ModuleList(Layer(shape.text, is_causal=True) for _ in range(shape.text.num_layers))
        self.final_norm = LayerNorm(width, eps=shape.text.norm_eps)
        self.projection = Linear(width, shape.embed_dim, bias=False)
        self.tokenizer = tokenizer
        self.width, self.num_heads = width, shape.text.num_heads
        self.context_length = shape.context_length
        self.embed_dim = shape.embed_dim

    @property
    def device(self) -> torch.device:
        return self.projection.weight.device

    def tokenize(self, texts: Sequence[str], *, reserve: int = 0) -> Int[Tensor, "K L"]:
        """Token ids with SOS and EOT, padded to the longest. A text over the context length is an error; `reserve`
        positions of it are kept for learned tokens that the caller will insert."""
        rows = self.tokenizer.encode(texts)
        longest = max(range(len(rows)), key=lambda row: len(rows[row]))
        length = len(rows[longest])
        if length + reserve > self.context_length:
            and_learned = f" and {reserve} learned ones" if reserve else ""
            raise ValueError(
                f"expected texts of at most {self.context_length - reserve} tokens{and_learned}, got {length} for "
                f"{texts[longest]!r}; shorten the text or the template (texts are never cut)"
            )
        padded = [row + [self.tokenizer.pad_token_id] * (length - len(row)) for row in rows]
        return torch.tensor(padded, device=self.device)

    def eot_positions(self, ids: Int[Tensor, "*K L"]) -> Int[Tensor, "*K"]:
        """Index of the first EOT token of each text (the padding token may be the same)."""
        return (ids == self.tokenizer.eos_token_id).cumsum(-1).eq(0).sum(-1)

    def token_embeddings(self, ids: Int[Tensor, "*K L"]) -> Float[Tensor, "*K L D"]:
        """Rows of the token table, without positions: what learned context tokens are concatenated with."""
        return self.embeddings.token_embedding(ids)

    def add_positions(self, tokens: Float[Tensor, "*K L D"]) -> Float[Tensor, "*K L D"]:
        return tokens + self.embeddings.position_embedding.weight[: tokens.shape[-2]]

    def project(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... E"]:
        """Projection of tokens that already went through `final_norm`."""
        return self.projection(x)

    def encode(self, tokens: Float[Tensor, "*K L D"], eot: Int[Tensor, "*K"]) -> TextFeatures:
        """Token embeddings without positions -> features. Leading axes are free: [B, K, L, D] works too. Without
        gradients the layers see `TEXTS_AT_ONCE` texts at a time."""
        length, leading = int(eot.max()) + 1, tokens.shape[:-2]
        tokens, at = tokens[..., :length, :].flatten(0, -3), eot.flatten()
        size = len(tokens) if torch.is_grad_enabled() else TEXTS_AT_ONCE
        parts = [self._through_layers(x, last) for x, last in zip(tokens.split(size), at.split(size))]
        sentence, words = (torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts))
        return TextFeatures(sentence=sentence.unflatten(0, leading), words=words.unflatten(0, leading), eot=eot)

    def _through_layers(self, tokens: Tensor, eot: Tensor) -> tuple[Tensor, Tensor]:
        x = self.add_positions(tokens)
        for layer in self.layers:
            x = layer(x)
        words = self.final_norm(x)
        return self.project(words[torch.arange(len(words), device=words.device), eot]), words

    def forward(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> features."""
        ids = self.tokenize(texts)
        return self.encode(self.token_embeddings(ids), self.eot_positions(ids))

    @torch.no_grad()
    def sentences(self, texts: Sequence[str]) -> Float[Tensor, "K E"]:
        """`forward(texts).sentence` without gradients, in memory that does not grow with the number of texts."""
        return torch.cat([self(part).sentence for part in in_parts(texts)])


def in_parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """`TEXTS_AT_ONCE` texts at a time."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        yield texts[start : start + TEXTS_AT_ONCE]


class CLIP(nn.Module):
    """Both towers, the temperature and the numbers of the preprocessing."""

    def __init__(
        self, shape: CLIPShape, tokenizer: Tokenizer, *, name: str, mean: Sequence[float], std: Sequence[float]
    ):
        super().__init__()
        self.image = ImageTower(shape)
        self.text = TextTower(shape, tokenizer)
        self.tokenizer = tokenizer
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))  # log(1 / 0.07), CLIP's start
        self.name = name
        """What `load_clip` was asked for."""
        self.path: Path | None = None
        """The folder or file that the user gave, absolute; None for the embedded model, the hub and random weights."""
        self.mean, self.std = tuple(mean), tuple(std)

    @property
    def embed_dim(self) -> int:
        return self.image.embed_dim

    @property
    def public_name(self) -> str:
        """`name` without a path, for files that are given away: `local:` and the last part of what the user gave."""
        return self.name if self.path is None else f"local:{self.path.name}"

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute the inside of every layer in the backward pass instead of keeping it: less memory, more time."""
        for module in self.modules():
            if isinstance(module, Layer):
                module.recompute = enabled

    def fingerprint(self) -> str:
        """SHA-256 over all weights: equal exactly when two backbones are the same numbers."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


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
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a CPU build asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected a device such as 'cpu', 'cuda' or 'mps', got {str(name)!r}: {reason}") from None


def default_device() -> torch.device:
    """CUDA, Apple's MPS or the CPU, whichever is there first."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
