"""CLIP as open pieces over Hugging Face transformers: `embed`, `layers`, `project`, for images and for text.

A method that changes the inside of a tower writes its own loop over `layers`, in sight; the backbone never learns a
method's name. Weights come from a hub name, a local folder in Hugging Face format, or OpenAI's `.pt` files.

Letters: N pictures, P patches, D width of a tower, K texts, L tokens of a text, E width of the joint space, H heads.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

TINY = "tiny"
"""The name of the small CLIP that ships with the package."""
TINY_ZH = "tiny_zh"
"""The name of its Chinese text tower."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"


class Layer(nn.Module):
    """One pre-norm transformer layer: `x = attend(x)`, then `x = feed(x)`; the two halves can be called apart. Called
    whole, it keeps half as much for a backward pass that recomputes."""

    def __init__(self, hf_layer: Any, *, is_causal: bool) -> None:
        super().__init__()
        self.self_attn = hf_layer.self_attn
        self.layer_norm1 = hf_layer.layer_norm1
        self.mlp = hf_layer.mlp
        self.layer_norm2 = hf_layer.layer_norm2
        self.num_heads: int = hf_layer.self_attn.num_heads
        self.is_causal = is_causal
        self.recompute = False
        self.record: list[tuple[Tensor, Tensor | None]] | None = None
        """A list here takes down what the attention is given, (x, bias) of every call: for pictures of it."""

    def forward(self, x: Tensor, bias: Tensor | None = None, *, keep: int | None = None) -> Tensor:
        """x [N, L, D] -> [N, L, D]; see `attend` for `bias`. With `keep` only the first so many tokens go on to
        `feed`."""
        self._take_down(x, bias)
        return self._run(lambda x, bias: self._mlp(self._attend(x, bias)[:, :keep]), x, bias)

    def attend(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x + MHSA(LN(x)). `bias` [*, L, L] is added to the attention logits before the softmax (-inf masks)."""
        self._take_down(x, bias)
        return self._run(self._attend, x, bias)

    def keys_values(self, x: Float[Tensor, "N L D"]) -> tuple[Float[Tensor, "N H L d"], Float[Tensor, "N H L d"]]:
        """What `attend_to` sees of tokens x: lets many sequences share the tokens they have in common."""
        y = self.layer_norm1(x)
        return self._heads(self.self_attn.k_proj(y)), self._heads(self.self_attn.v_proj(y))

    def attend_to(
        self,
        x: Float[Tensor, "N L D"],
        keys: Float[Tensor, "N H M d"],
        values: Float[Tensor, "N H M d"],
        mask: Bool[Tensor, "... #L M"] | None = None,
    ) -> Float[Tensor, "N L D"]:
        """x + MHA(queries of LN(x), keys, values): `attend` with the keys chosen by the caller; x sees where `mask` is
        true ([L, M], or [N, 1, L, M]), and no causal mask is added."""
        return self._run(self._attend_to, x, keys, values, mask)

    def feed_forward(self, x: Tensor) -> Tensor:
        """x + MLP(LN(x))."""
        return self._run(self._mlp, x)

    def attention_weights(self, x: Float[Tensor, "N L D"], bias: Tensor | None = None) -> Float[Tensor, "N H L L"]:
        """The softmax of `attend` on the same input; for pictures of what the tower looks at."""
        q, k, _ = self._qkv(x)
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        logits = logits if bias is None else logits + bias
        if self.is_causal:
            logits = logits + torch.full_like(logits, -torch.inf).triu(1)
        return logits.softmax(-1)

    def _take_down(self, x: Tensor, bias: Tensor | None) -> None:
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


class ImageTower(nn.Module):
    """The vision transformer of CLIP. `forward` is `embed`, `pre_norm`, every layer, `project`."""

    def __init__(self, vision_model: Any, projection: nn.Linear) -> None:
        super().__init__()
        self.embeddings = vision_model.embeddings
        self.pre_norm = vision_model.pre_layrnorm
        self.layers = nn.ModuleList(Layer(layer, is_causal=False) for layer in vision_model.encoder.layers)
        self.post_norm = vision_model.post_layernorm
        self.projection = projection
        config = vision_model.config
        self.width: int = config.hidden_size
        self.num_heads: int = config.num_attention_heads
        self.image_size: int = config.image_size
        self.patch_size: int = config.patch_size
        self.embed_dim: int = projection.out_features
        self.grid: int = self.image_size // self.patch_size

    def embed(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N L D"]:
        """Normalised pixels -> class token and P patch tokens (L = 1 + P), positions added, before `pre_norm`."""
        if pixels.shape[-1] != self.image_size:
            raise ValueError(
                f"expected pictures of {self.image_size} x {self.image_size} pixels for this backbone, got "
                f"{pixels.shape[-2]} x {pixels.shape[-1]}; set the transform's side_px to {self.image_size}"
            )
        return self.embeddings(pixels)

    def project(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... E"]:
        """Final layer norm and projection of tokens into the joint space; not normalised."""
        return self.projection(self.post_norm(x))

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N E"]:
        """Normalised pixels -> picture embeddings, not normalised."""
        x = self.pre_norm(self.embed(pixels))
        for layer in self.layers:
            x = layer(x)
        return self.project(x[:, 0])


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower says of K texts."""

    sentence: Float[Tensor, "*K E"]
    """The projected token at the EOT position, not normalised."""
    words: Float[Tensor, "*K L D"]
    """All tokens after the final layer norm, not projected; positions behind the EOT mean nothing."""
    eot: Int[Tensor, "*K"]
    """Position of each EOT token."""


class TextTower(nn.Module):
    """The causal text transformer of CLIP, with its tokeniser.

    Nothing behind the last EOT of a batch can reach it (causal mask), so `encode` cuts there: exact, and several times
    cheaper than 77 tokens for class names.
    """

    def __init__(self, text_model: Any, projection: nn.Linear, tokenizer: Any) -> None:
        super().__init__()
        self.embeddings = text_model.embeddings
        self.layers = nn.ModuleList(Layer(layer, is_causal=True) for layer in text_model.encoder.layers)
        self.final_norm = text_model.final_layer_norm
        self.projection = projection
        self.tokenizer = tokenizer
        self.width: int = text_model.config.hidden_size
        self.num_heads: int = text_model.config.num_attention_heads
        self.context_length: int = text_model.config.max_position_embeddings
        self.embed_dim: int = projection.out_features

    @property
    def device(self) -> torch.device:
        return self.projection.weight.device

    def tokenize(self, texts: Sequence[str], *, reserve: int = 0) -> Int[Tensor, "K L"]:
        """Token ids with SOS and EOT, padded to the longest. A text over the context length is an error; `reserve`
        positions of it are kept for learned tokens that the caller will insert."""
        ids = self.tokenizer(list(texts), padding=True, truncation=False, return_tensors="pt")["input_ids"]
        if ids.shape[1] + reserve > self.context_length:
            longest = max(texts, key=lambda text: len(self.tokenizer(text)["input_ids"]))
            beside = f" beside {reserve} learned ones" if reserve else ""
            raise ValueError(
                f"expected texts of at most {self.context_length - reserve} tokens{beside}, got {ids.shape[1]} for "
                f"{longest!r}; shorten the text or the template (texts are never cut)"
            )
        return ids.to(self.device)

    def eot_positions(self, ids: Int[Tensor, "*K L"]) -> Int[Tensor, "*K"]:
        """Index of the first EOT token of each text (the padding token may be the same)."""
        return (ids == self.tokenizer.eos_token_id).cumsum(-1).eq(0).sum(-1)

    def token_embeddings(self, ids: Int[Tensor, "*K L"]) -> Float[Tensor, "*K L D"]:
        """Rows of the token table, without positions: what learned context tokens stand beside."""
        return self.embeddings.token_embedding(ids)

    def add_positions(self, tokens: Float[Tensor, "*K L D"]) -> Float[Tensor, "*K L D"]:
        return tokens + self.embeddings.position_embedding.weight[: tokens.shape[-2]]

    def project(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... E"]:
        """Projection of tokens that already went through `final_norm`."""
        return self.projection(x)

    def encode(self, tokens: Float[Tensor, "*K L D"], eot: Int[Tensor, "*K"]) -> TextFeatures:
        """Token embeddings without positions -> features. Leading axes are free: [B, K, L, D] works too."""
        length = int(eot.max()) + 1
        x = self.add_positions(tokens[..., :length, :]).flatten(0, -3)
        for layer in self.layers:
            x = layer(x)
        words = self.final_norm(x)
        sentence = self.project(words[torch.arange(len(words), device=words.device), eot.flatten()])
        leading = tokens.shape[:-2]
        return TextFeatures(sentence=sentence.unflatten(0, leading), words=words.unflatten(0, leading), eot=eot)

    def forward(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> features."""
        ids = self.tokenize(texts)
        return self.encode(self.token_embeddings(ids), self.eot_positions(ids))


class ChineseTextTower(nn.Module):
    """The text tower of Chinese-CLIP (Yang et al., 2022): a bidirectional RoBERTa, its CLS token projected."""

    def __init__(self, text_model: Any, projection: nn.Linear, tokenizer: Any) -> None:
        super().__init__()
        self.text_model = text_model
        self.projection = projection
        self.tokenizer = tokenizer
        self.context_length: int = min(text_model.config.max_position_embeddings, 512)
        self.embed_dim: int = projection.out_features

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "K E"]:
        """Texts -> embeddings, not normalised. A text over the context length is an error."""
        batch = self.tokenizer(list(texts), padding=True, truncation=False, return_tensors="pt")
        length = batch["input_ids"].shape[1]
        if length > self.context_length:
            raise ValueError(f"expected Chinese texts of at most {self.context_length} tokens, got {length}")
        batch = batch.to(self.projection.weight.device)
        return self.projection(self.text_model(**batch).last_hidden_state[:, 0])


class CLIP(nn.Module):
    """Both towers, the temperature and the numbers of the preprocessing."""

    def __init__(self, hf_model: Any, tokenizer: Any, *, name: str, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.image = ImageTower(hf_model.vision_model, hf_model.visual_projection)
        self.text = TextTower(hf_model.text_model, hf_model.text_projection, tokenizer)
        self.logit_scale = nn.Parameter(hf_model.logit_scale.detach().clone())
        self.name = name
        """What `load_clip` was asked for, so that a checkpoint can ask again."""
        self.mean, self.std = tuple(mean), tuple(std)

    @property
    def embed_dim(self) -> int:
        return self.image.embed_dim

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


def default_device() -> torch.device:
    """CUDA, Apple's MPS or the CPU, whichever is there first."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
