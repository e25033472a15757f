"""CLIP as open pieces over Hugging Face transformers: `embed`, `layers`, `project`, for images and for text.

A method that changes the inside of a tower writes its own loop over `layers`, in sight; the backbone never learns a
method's name. Weights come from a hub name, a local folder in Hugging Face format, or OpenAI's `.pt` files.

Letters: N pictures, P patches, D width of a tower, K texts, L tokens of a text, E width of the joint space, H heads.
"""

import gzip
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
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
        return self._run(lambda x, bias: self._feed(self._attend(x, bias)[:, :keep]), x, bias)

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

    def feed(self, x: Tensor) -> Tensor:
        """x + MLP(LN(x))."""
        return self._run(self._feed, x)

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

    def _feed(self, x: Tensor) -> Tensor:
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


# Loading -------------------------------------------------------------------------------------------------------------

ARCHITECTURES = {  # name: (image_size, patch, image width, image layers, text width, E)
    "ViT-B/32": (224, 32, 768, 12, 512, 512),
    "ViT-B/16": (224, 16, 768, 12, 512, 512),
    "ViT-L/14": (224, 14, 1024, 24, 768, 768),
    "nano": (32, 16, 32, 2, 32, 16),
}
"""What `random:NAME` can build. `nano` is for tests of plumbing."""


def load_clip(name: str | Path) -> CLIP:
    """Load a CLIP.

    `name` is `"tiny"` (the embedded one), a folder in Hugging Face format, an OpenAI `.pt` file (TorchScript archive or
    plain state dict), a hub name such as `openai/clip-vit-base-patch16`, or `random:ViT-B/16` for random weights.

    Raises:
        ValueError: the file, folder or name is not a CLIP that can be loaded, with the next step.
    """
    name = str(name)
    if name.startswith("random:"):
        return _random_clip(name)
    if name == TINY:
        return _from_pretrained(str(_asset("tiny_clip")), name=TINY)
    if name.endswith((".pt", ".pth")):
        return _from_openai(Path(name))
    return _from_pretrained(name, name=name)


def load_chinese_text(name: str | Path) -> ChineseTextTower:
    """Load the text tower of a Chinese-CLIP: `"tiny_zh"`, a folder, a hub name such as
    `OFA-Sys/chinese-clip-vit-base-patch16`, or `random:512`, one small layer of random weights with E = 512 for tests.
    The image tower of the checkpoint, where there is one, is not kept."""
    from transformers import ChineseCLIPModel

    name = str(name)
    if name.startswith("random:"):
        return _random_chinese_text(int(name.removeprefix("random:")))
    source = str(_asset("tiny_clip_zh")) if name == TINY_ZH else name
    model, tokenizer = _hf_load(
        ChineseCLIPModel, source, model_type="chinese_clip", optional=("vision_model.", "visual_")
    )
    return ChineseTextTower(model.text_model, model.text_projection, tokenizer).eval()


def _asset(folder: str) -> Path:
    path = Path(__file__).parent / "assets" / folder
    if not (path / "config.json").is_file():
        raise ValueError(f"the embedded model {folder} is missing from this installation; install the package again")
    return path


def _hf_load(model_class: Any, source: str, *, model_type: str, optional: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """Model and tokeniser from a folder or the hub; every weight outside `optional` must be in the checkpoint."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # a model loads in a second, and a library does not print
    looks_local = source.startswith((".", "/", "~")) or Path(source).exists() or re.match(r"[A-Za-z]:\\", source)
    source = str(Path(source).expanduser()) if looks_local else source
    if looks_local and not (Path(source) / "config.json").is_file():
        raise ValueError(
            f"expected a model folder with config.json, an OpenAI .pt file or a hub name, got {source}; "
            f"check the path, or name a hub model such as openai/clip-vit-base-patch16"
        )
    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type != model_type:
            raise ValueError(
                f"expected a model of type {model_type!r}, but {source} is {config.model_type!r}; "
                f"choose another checkpoint"
            )
        model, info = model_class.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except OSError as error:
        if looks_local:
            raise ValueError(f"{source}: the folder is not a complete model: {str(error).splitlines()[0]}") from error
        raise ValueError(
            f"cannot get {source!r} from the hub (not cached, and the hub was not reached or has no such model); "
            f"connect once, or download the model folder and give its path, or use {TINY!r}"
        ) from error
    missing = [key for key in info["missing_keys"] if not key.startswith(optional or ("\0",))]
    if missing or info["mismatched_keys"]:
        raise ValueError(
            f"{source}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}"
        )
    return model, tokenizer


def _from_pretrained(source: str, *, name: str) -> CLIP:
    from transformers import CLIPModel

    model, tokenizer = _hf_load(CLIPModel, source, model_type="clip")
    processor = Path(source) / "preprocessor_config.json"
    numbers = json.loads(processor.read_text()) if processor.is_file() else {}
    mean, std = numbers.get("image_mean", CLIP_MEAN), numbers.get("image_std", CLIP_STD)
    return CLIP(model, tokenizer, name=name, mean=mean, std=std).eval()


def _random_clip(name: str) -> CLIP:
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    arch = name.removeprefix("random:")
    if arch not in ARCHITECTURES:
        raise ValueError(f"expected random: and one of {', '.join(ARCHITECTURES)}, got {name!r}")
    size, patch, width, layers, text_width, embed_dim = ARCHITECTURES[arch]
    heads = 64 if width >= 512 else 8
    config = CLIPConfig(
        vision_config={
            "image_size": size, "patch_size": patch, "hidden_size": width, "intermediate_size": 4 * width,
            "num_hidden_layers": layers, "num_attention_heads": width // heads,
        },
        text_config={
            "hidden_size": text_width, "intermediate_size": 4 * text_width, "num_hidden_layers": min(layers, 12),
            "num_attention_heads": text_width // heads, "vocab_size": 49408 if width >= 512 else 514,
            "max_position_embeddings": 77 if width >= 512 else 128,
            "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513,
        },
        projection_dim=embed_dim,
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config)
    _randomise(model, torch.Generator().manual_seed(0))
    tokenizer = _bpe_tokenizer([])
    return CLIP(model, tokenizer, name=name, mean=CLIP_MEAN, std=CLIP_STD).eval()


def _random_chinese_text(embed_dim: int) -> ChineseTextTower:
    from transformers import BertTokenizer, ChineseCLIPTextConfig, ChineseCLIPTextModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0x4E00, 0xA000))]
    vocab = {word: index for index, word in enumerate([*special, *letters, *(f"##{x}" for x in letters[:94])])}
    config = ChineseCLIPTextConfig(
        vocab_size=len(vocab), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=1.0,  # with the usual 0.02 all texts come out alike
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, projection = ChineseCLIPTextModel(config), nn.Linear(config.hidden_size, embed_dim, bias=False)
    return ChineseTextTower(model, projection, BertTokenizer(vocab=vocab)).eval()


@torch.no_grad()
def _randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Weights that pass activations of unit size on, so that random towers tell their inputs apart."""
    for name, parameter in model.named_parameters():
        if name == "logit_scale":
            parameter.fill_(2.6592)  # log(1 / 0.07), CLIP's start
        elif parameter.ndim == 1 and not name.endswith("class_embedding"):
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            is_table = "embedding" in name and "patch" not in name
            parameter.normal_(std=0.02 if is_table else fan_in**-0.5, generator=generator)


def _bpe_tokenizer(merges: list[tuple[str, str]]) -> Any:
    """CLIP's lower-casing byte-level BPE from its list of merges; with none, one token per byte."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges)


def _from_openai(path: Path) -> CLIP:
    """OpenAI's published files: a TorchScript archive, or the plain state dict people save from it."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    if not path.is_file():
        raise ValueError(f"expected an OpenAI CLIP checkpoint, but there is no file {path}; check the path")
    state = _openai_state(path)
    if "visual.proj" not in state or "visual.conv1.weight" not in state or "text_projection" not in state:
        kind = "a CLIP with a ResNet" if any(key.startswith("visual.layer1") for key in state) else "not a CLIP"
        raise ValueError(f"expected the weights of a CLIP with a ViT, but {path} is {kind}; take a ViT-B or ViT-L file")
    width, _, patch, _ = state["visual.conv1.weight"].shape
    num_patches = state["visual.positional_embedding"].shape[0] - 1
    context_length, text_width = state["positional_embedding"].shape

    def depth(prefix: str) -> int:
        return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))

    config = CLIPConfig(
        vision_config={
            "image_size": patch * int(num_patches**0.5), "patch_size": patch, "hidden_size": width,
            "intermediate_size": 4 * width, "num_hidden_layers": depth("visual.transformer.resblocks."),
            "num_attention_heads": width // 64,
        },
        text_config={
            "hidden_size": text_width, "intermediate_size": 4 * text_width,
            "num_hidden_layers": depth("transformer.resblocks."), "num_attention_heads": text_width // 64,
            "vocab_size": state["token_embedding.weight"].shape[0], "max_position_embeddings": context_length,
        },
        projection_dim=state["text_projection"].shape[1],
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config)
    model.load_state_dict(_openai_to_hf(state), strict=True)
    return CLIP(model, _openai_tokenizer(path), name=str(path), mean=CLIP_MEAN, std=CLIP_STD).eval()


def _openai_state(path: Path) -> dict[str, Tensor]:
    try:
        scripted = zipfile.is_zipfile(path) and any("constants.pkl" in n for n in zipfile.ZipFile(path).namelist())
        state = torch.jit.load(path, map_location="cpu").state_dict() if scripted else None
        if state is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds here
        raise ValueError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"expected a state dict in {path}, got {type(state).__name__}")
    sizes = ("input_resolution", "context_length", "vocab_size")  # numbers OpenAI stores beside the weights
    return {k.removeprefix("module."): v.float() for k, v in state.items() if k.removeprefix("module.") not in sizes}


def _openai_to_hf(state: dict[str, Tensor]) -> dict[str, Tensor]:
    rename = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "logit_scale": "logit_scale",
    }
    prefixes = {
        "visual.ln_pre.": "vision_model.pre_layrnorm.",
        "visual.ln_post.": "vision_model.post_layernorm.",
        "visual.transformer.resblocks.": "vision_model.encoder.layers.",
        "transformer.resblocks.": "text_model.encoder.layers.",
        "ln_final.": "text_model.final_layer_norm.",
    }
    inside = {
        ".ln_1.": ".layer_norm1.",
        ".ln_2.": ".layer_norm2.",
        ".attn.": ".self_attn.",
        ".c_fc.": ".fc1.",
        ".c_proj.": ".fc2.",
    }
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == "visual.proj":
            out["visual_projection.weight"] = value.T.contiguous()
        elif key == "text_projection":
            out["text_projection.weight"] = value.T.contiguous()
        elif key in rename:
            out[rename[key]] = value
        else:
            prefix = next((p for p in prefixes if key.startswith(p)), None)
            if prefix is None:
                raise ValueError(f"unexpected weight {key!r} in the OpenAI checkpoint")
            new = prefixes[prefix] + key[len(prefix) :]
            for old, name in inside.items():
                new = new.replace(old, name)
            if ".in_proj_" in new:
                for part, tensor in zip("qkv", value.chunk(3), strict=True):
                    out[re.sub(r"\.in_proj_(weight|bias)", rf".{part}_proj.\1", new)] = tensor
            else:
                out[new] = value
    return out


def _openai_tokenizer(path: Path) -> Any:
    """OpenAI's weights come without the vocabulary: take it from beside the file, else from the hub."""
    file = path.parent / BPE_FILE
    if file.is_file():
        lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
        return _bpe_tokenizer([tuple(line.split()) for line in lines])  # type: ignore[misc]
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained("openai/clip-vit-base-patch16")
    except OSError as error:
        raise ValueError(
            f"{path} holds no vocabulary: put OpenAI's {BPE_FILE} beside it, or connect to the hub once"
        ) from error
