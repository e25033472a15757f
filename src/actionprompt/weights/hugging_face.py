"""CLIP folders in Hugging Face format: a local folder, or the hub's copy in the local cache. Read without transformers,
whose import takes longer than a prediction."""

import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.weights import hub, tensors
from actionprompt.weights.assemble import CLIP_MEAN, CLIP_STD, assemble, check_sizes, check_vocabulary, sizes
from actionprompt.weights.tensors import read_json
from actionprompt.weights.tokenizer import EOT, Tokenizer

NAMES = {
    "vision_model.embeddings.": "image.embeddings.",
    "vision_model.pre_layrnorm.": "image.pre_norm.",
    "vision_model.encoder.layers.": "image.layers.",
    "vision_model.post_layernorm.": "image.post_norm.",
    "visual_projection.": "image.projection.",
    "text_model.embeddings.": "text.embeddings.",
    "text_model.encoder.layers.": "text.layers.",
    "text_model.final_layer_norm.": "text.final_norm.",
    "text_projection.": "text.projection.",
    "logit_scale": "logit_scale",
}
"""Prefixes of weight names in Hugging Face's CLIP, and ours."""
SIZES = {
    "image.width": ("vision_config.hidden_size", 768),
    "image.num_layers": ("vision_config.num_hidden_layers", 12),
    "image.mlp_width": ("vision_config.intermediate_size", 3072),
    "text.width": ("text_config.hidden_size", 512),
    "text.num_layers": ("text_config.num_hidden_layers", 12),
    "text.mlp_width": ("text_config.intermediate_size", 2048),
    "image_size": ("vision_config.image_size", 224),
    "patch_size": ("vision_config.patch_size", 32),
    "vocab_size": ("text_config.vocab_size", 49408),
    "context_length": ("text_config.max_position_embeddings", 77),
    "embed_dim": ("projection_dim", 512),
}
"""Sizes (`assemble.sizes`), their fields in `config.json`, and those of ViT-B/32."""
LAST = 2
"""As `eos_token_id`: the last token, in configurations that are older than the field."""


def find_folder(name: str) -> Path:
    """The folder of a model in Hugging Face format: a local one, or the hub's copy in the local cache."""
    if is_path(name):
        folder = local_path(name)
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"expected a model folder with config.json, an OpenAI .pt file or a hub name, got {folder}; "
                f"check the path, or name a hub model such as openai/clip-vit-base-patch16"
            )
        return folder
    return hub.folder(name)


def is_path(name: str) -> bool:
    """Whether a name is that of a file or folder: it is there, or no name of the hub is written like it."""
    written = name.startswith((".", "/", "~")) or name.endswith((".pt", ".pth")) or re.match(r"[A-Za-z]:\\", name)
    return bool(written) or local_path(name).exists()


def local_path(name: str) -> Path:
    """A path that the user gave, with the home folder in place of `~`; ValueError for one that no system can have."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"expected a model's folder, file or hub name, got {name[:80]!r} ({reason})") from None
    return path


def is_hub_name(name: str) -> bool:
    """Whether a text is `organisation/name` as the hub has them, and no path of another form."""
    word = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
    return bool(re.fullmatch(f"{word}/{word}", name)) and not name.endswith((".pt", ".pth"))


def from_folder(folder: Path, *, name: str) -> CLIP:
    """The CLIP of a folder; `name` is what it was asked for by."""
    path = folder / "config.json"
    config = read_json(path)
    if config.get("model_type") != "clip":
        raise ValueError(
            f"expected a model of type 'clip', but {folder} is {config.get('model_type')!r}; choose another checkpoint"
        )
    shape = _shape(config, path)
    weights = own_names(read_weights(folder))
    declared = {ours: number(config, theirs, size, path) for ours, (theirs, size) in SIZES.items()}
    found = sizes(weights)
    check_sizes(
        {SIZES[key][0]: n for key, n in declared.items()}, {SIZES[key][0]: n for key, n in found.items()}, str(path)
    )
    tokenizer = read_tokenizer(folder)
    check_vocabulary(len(tokenizer), shape.vocab_size, str(folder))
    _check_end(tokenizer, number(config, "text_config.eos_token_id", LAST, path, least=0), folder)
    processor = folder / "preprocessor_config.json"
    numbers = read_json(processor) if processor.is_file() else {}
    mean, std = numbers.get("image_mean", CLIP_MEAN), numbers.get("image_std", CLIP_STD)
    for key, values, least in (("image_mean", mean, -math.inf), ("image_std", std, 0)):
        three = isinstance(values, list | tuple) and len(values) == 3
        if not (three and all(type(x) in (int, float) and least < x < math.inf for x in values)):
            raise ValueError(f"{processor}: {key}: expected three finite numbers, one per channel, got {values!r}")
    return assemble(shape, weights, tokenizer, name=name, mean=mean, std=std, where=str(folder))


def own_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names; what is no part of a CLIP is left out."""
    own = {}
    for key, value in state.items():
        prefix = next((prefix for prefix in NAMES if key.startswith(prefix)), None)
        if prefix is not None and not key.endswith("position_ids"):  # these are counted from 0
            own[NAMES[prefix] + key.removeprefix(prefix)] = value
    return own


def hugging_face_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `own_names`."""
    back = {ours: theirs for theirs, ours in NAMES.items()}
    prefixes = {key: next(prefix for prefix in back if key.startswith(prefix)) for key in state}
    return {back[prefix] + key.removeprefix(prefix): state[key] for key, prefix in prefixes.items()}


def number(config: dict[str, Any], field: str, default: int, where: Path, *, least: int = 1) -> int:
    """A whole number of a `config.json`, by its field, such as `text_config.hidden_size`."""
    value: Any = config
    for part in field.split("."):
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise ValueError(f"{where}: {field}: expected it in an object, got {value!r}")
        value = value.get(part)
    value = default if value is None else value
    if type(value) is not int or value < least:
        raise ValueError(f"{where}: {field}: expected a whole number of at least {least}, got {value!r}")
    return value


def _shape(config: dict[str, Any], where: Path) -> CLIPShape:
    """The sizes that a `config.json` tells; what it leaves out is that of ViT-B/32, as in transformers."""
    found = {ours: number(config, theirs, size, where) for ours, (theirs, size) in SIZES.items()}

    def tower(ours: str, theirs: str, heads: int) -> TowerShape:
        options = config.get(theirs) or {}
        activation, norm_eps = options.get("hidden_act", "quick_gelu"), options.get("layer_norm_eps", 1e-5)
        if activation not in ("quick_gelu", "gelu"):
            raise ValueError(
                f"{where}: {theirs}.hidden_act: expected the activation quick_gelu or gelu, got {activation!r}"
            )
        if type(norm_eps) not in (int, float) or not 0 < norm_eps < 1:
            raise ValueError(f"{where}: {theirs}.layer_norm_eps: expected a number above 0, got {norm_eps!r}")
        num_heads = number(config, f"{theirs}.num_attention_heads", heads, where)
        width, layers, mlp_width = (found[f"{ours}.{size}"] for size in ("width", "num_layers", "mlp_width"))
        return TowerShape(width, layers, num_heads, mlp_width, activation, float(norm_eps))

    rest = ("image_size", "patch_size", "vocab_size", "context_length", "embed_dim")
    return CLIPShape(
        image=tower("image", "vision_config", 12),
        text=tower("text", "text_config", 8),
        **{key: found[key] for key in rest},
    )


def _check_end(tokenizer: Tokenizer, end: int, folder: Path) -> None:
    """Raise ValueError where the token that ends a text is not the one at which the weights gather it: the one that the
    configuration names, or the last one, which files of OpenAI's models call 2."""
    last = max(tokenizer.vocab.values())
    expected = last if end == LAST or end > last else end
    if tokenizer.eos_token_id != expected:
        raise ValueError(
            f"{folder}: expected {EOT} as token {expected}, where the weights gather a text, got "
            f"{tokenizer.eos_token_id}; copy the tokeniser's files from where the weights are from"
        )


def read_tokenizer(folder: Path) -> Tokenizer:
    """From `tokenizer.json`, else from `vocab.json` and `merges.txt`."""
    if (folder / "tokenizer.json").is_file():
        source = folder / "tokenizer.json"
        found = read_json(source)
        model = found.get("model") or {}
        try:
            vocab, merges = dict(model.get("vocab") or {}), model.get("merges") or []
            for token in found.get("added_tokens") or []:
                vocab.setdefault(token["content"], token["id"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: expected the model and added_tokens of a BPE tokeniser ({error!r})") from None
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        source = folder / "vocab.json"
        vocab = read_json(source)
        tensors.check_text(folder / "merges.txt")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
    else:
        raise ValueError(
            f"{folder}: expected its tokeniser, as tokenizer.json or as vocab.json with merges.txt; copy them from "
            f"where the weights are from"
        )
    ids = list(vocab.values())
    if not all(type(value) is int for value in ids) or sorted(ids) != list(range(len(ids))):
        raise ValueError(f"{source}: expected tokens with the numbers 0 to {len(ids) - 1}, each once")
    config = folder / "tokenizer_config.json"
    pad = read_json(config).get("pad_token", EOT) if config.is_file() else EOT
    pad = pad.get("content", EOT) if isinstance(pad, dict) else pad
    try:
        pairs = [(first, second) for first, second in (p if isinstance(p, list) else p.split(" ") for p in merges)]
        return Tokenizer(vocab, pairs, pad=pad if isinstance(pad, str) and pad in vocab else EOT)
    except Exception as error:  # the tokenizers library raises Exception itself
        raise ValueError(f"{folder}: {str(error).splitlines()[0]}") from None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder, from one file or from parts; safetensors, else what torch.save wrote."""
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{stem}.index.json"
        if (folder / stem).is_file():
            return _read_part(folder / stem)
        if index.is_file():
            names = read_json(index).get("weight_map")
            if not isinstance(names, dict) or not all(isinstance(part, str) for part in names.values()):
                raise ValueError(f"{index}: weight_map: expected file names by weight, got {type(names).__name__}")
            parts = sorted({Path(part).name for part in names.values()})
            return {key: value for part in parts for key, value in _read_part(folder / part).items()}
    raise ValueError(f"{folder}: the folder is not a complete model: it has no model.safetensors or pytorch_model.bin")


def _read_part(path: Path) -> dict[str, Tensor]:
    state = tensors.read(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} cannot be read as weights: expected tensors by name")
    tensors.check_finite(path, state)
    return state
