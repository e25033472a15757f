"""CLIP folders in Hugging Face format: a local folder, or the hub's copy in the local cache. Read without transformers,
whose import takes longer than a prediction."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.files import read_json
from actionprompt.weights.assemble import CLIP_MEAN, CLIP_STD, assemble
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


def find_folder(name: str) -> Path:
    """The folder of a model in Hugging Face format: a local one, or the hub's copy in the local cache."""
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists() or re.match(r"[A-Za-z]:\\", name)
    if looks_local:
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"expected a model folder with config.json, an OpenAI .pt file or a hub name, got {folder}; "
                f"check the path, or name a hub model such as openai/clip-vit-base-patch16"
            )
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError, disable_progress_bars

    disable_progress_bars()  # a library does not print
    try:
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "merges.txt", "vocab.txt"]))
        if not list(folder.glob("model*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=["model*.safetensors"]))
        if not list(folder.glob("model*.safetensors")):  # some of the oldest models are there as pickles alone
            folder = Path(snapshot_download(name, allow_patterns=["pytorch_model*.bin"]))
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(folder / "config.json")
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"cannot get {name!r} from the hub (not cached, and the hub was not reached or has no such model); "
            f"connect once, or download the model folder and give its path, or use 'tiny'"
        ) from error
    return folder


def from_folder(folder: Path, *, name: str) -> CLIP:
    """The CLIP of a folder; `name` is what it was asked for by."""
    config = read_json(folder / "config.json")
    if config.get("model_type") != "clip":
        raise ValueError(
            f"expected a model of type 'clip', but {folder} is {config.get('model_type')!r}; choose another checkpoint"
        )
    shape, tokenizer = _shape(config, folder), read_tokenizer(folder)
    if len(tokenizer) > shape.vocab_size:
        raise ValueError(
            f"{folder}: expected a vocabulary of at most {shape.vocab_size} tokens, as many as the weights have, got "
            f"{len(tokenizer)}"
        )
    processor = folder / "preprocessor_config.json"
    numbers = read_json(processor) if processor.is_file() else {}
    mean, std = numbers.get("image_mean", CLIP_MEAN), numbers.get("image_std", CLIP_STD)
    weights = own_names(_read_weights(folder))
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


def _shape(config: dict[str, Any], folder: Path) -> CLIPShape:
    """The sizes that a `config.json` tells; what it leaves out is that of ViT-B/32, as in transformers."""

    def tower(found: dict[str, Any], *sizes: int) -> TowerShape:
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        width, layers, heads, mlp_width = (int(found.get(key, size)) for key, size in zip(names, sizes))
        activation = found.get("hidden_act", "quick_gelu")
        if activation not in ("quick_gelu", "gelu"):
            raise ValueError(f"{folder}: expected the activation quick_gelu or gelu, got {activation!r}")
        return TowerShape(width, layers, heads, mlp_width, activation, float(found.get("layer_norm_eps", 1e-5)))

    image, text = config.get("vision_config") or {}, config.get("text_config") or {}
    return CLIPShape(
        image=tower(image, 768, 12, 12, 3072),
        text=tower(text, 512, 12, 8, 2048),
        image_size=int(image.get("image_size", 224)),
        patch_size=int(image.get("patch_size", 32)),
        vocab_size=int(text.get("vocab_size", 49408)),
        context_length=int(text.get("max_position_embeddings", 77)),
        embed_dim=int(config.get("projection_dim", 512)),
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    """From `tokenizer.json`, else from `vocab.json` and `merges.txt`."""
    if (folder / "tokenizer.json").is_file():
        model = read_json(folder / "tokenizer.json").get("model") or {}
        vocab, merges = model.get("vocab") or {}, model.get("merges") or []
        for token in read_json(folder / "tokenizer.json").get("added_tokens") or []:
            vocab.setdefault(token["content"], token["id"])
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocab = read_json(folder / "vocab.json")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
    else:
        raise ValueError(
            f"{folder}: expected its tokeniser, as tokenizer.json or as vocab.json with merges.txt; copy them from "
            f"where the weights are from"
        )
    config = folder / "tokenizer_config.json"
    pad = read_json(config).get("pad_token", EOT) if config.is_file() else EOT
    pad = pad.get("content", EOT) if isinstance(pad, dict) else pad
    pairs = [(first, second) for first, second in (p if isinstance(p, list) else p.split(" ") for p in merges)]
    try:
        return Tokenizer(vocab, pairs, pad=pad if pad in vocab else EOT)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder, from one file or from parts; safetensors, else pickles that hold tensors alone."""
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{stem}.index.json"
        if (folder / stem).is_file():
            return _read_part(folder / stem)
        if index.is_file():
            parts = sorted(set(read_json(index)["weight_map"].values()))
            return {key: value for part in parts for key, value in _read_part(folder / Path(part).name).items()}
    raise ValueError(f"{folder}: the folder is not a complete model: it has no model.safetensors or pytorch_model.bin")


def _read_part(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds here
        raise ValueError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error
