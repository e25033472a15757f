"""OpenAI's published `.pt` files, and the plain state dicts that people save from them."""

import gzip
import re
import zlib
from pathlib import Path

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.weights import hub, tensors
from actionprompt.weights.assemble import CLIP_MEAN, CLIP_STD, assemble, check_vocabulary, sizes
from actionprompt.weights.hugging_face import read_tokenizer
from actionprompt.weights.tokenizer import BPE_FILE, Tokenizer, bpe_tokenizer

NAMES = {
    "visual.class_embedding": "image.embeddings.class_embedding",
    "visual.positional_embedding": "image.embeddings.position_embedding.weight",
    "visual.conv1.": "image.embeddings.patch_embedding.",
    "visual.ln_pre.": "image.pre_norm.",
    "visual.ln_post.": "image.post_norm.",
    "visual.transformer.resblocks.": "image.layers.",
    "positional_embedding": "text.embeddings.position_embedding.weight",
    "token_embedding.": "text.embeddings.token_embedding.",
    "transformer.resblocks.": "text.layers.",
    "ln_final.": "text.final_norm.",
    "logit_scale": "logit_scale",
}
"""Prefixes of weight names in OpenAI's files, and ours; inside a layer `LAYER_NAMES`."""
LAYER_NAMES = {
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".attn.": ".self_attn.",
    ".c_fc.": ".fc1.",
    ".c_proj.": ".fc2.",
}


def from_file(path: Path) -> CLIP:
    """OpenAI's published files: a TorchScript archive, or the plain state dict people save from it."""
    if not path.is_file():
        raise ValueError(f"expected an OpenAI CLIP checkpoint, but there is no file {path}; check the path")
    state = _state(path)
    if "visual.proj" not in state or "visual.conv1.weight" not in state or "text_projection" not in state:
        kind = "a CLIP with a ResNet" if any(key.startswith("visual.layer1") for key in state) else "not a CLIP"
        raise ValueError(f"expected the weights of a CLIP with a ViT, but {path} is {kind}; take a ViT-B or ViT-L file")
    own, where = _to_own(state, path), str(path)
    found = sizes(own)

    def tower(name: str) -> TowerShape:
        width = found.get(f"{name}.width", 0)
        if width < 64 or width % 64:
            raise ValueError(f"{path}: expected a {name} tower whose width is a multiple of 64, got {width}")
        layers, mlp_width = found.get(f"{name}.num_layers", 1), found.get(f"{name}.mlp_width", 4 * width)
        return TowerShape(width, layers, width // 64, mlp_width)

    shape = CLIPShape(
        image=tower("image"),
        text=tower("text"),
        **{field: found.get(field, 1) for field in ("image_size", "patch_size", "vocab_size", "context_length")},
        embed_dim=found.get("embed_dim", 1),
    )
    tokenizer = find_tokenizer(path)
    check_vocabulary(len(tokenizer), shape.vocab_size, where)
    return assemble(shape, own, tokenizer, name=where, mean=CLIP_MEAN, std=CLIP_STD, where=where)


def _state(path: Path) -> dict[str, Tensor]:
    state = tensors.read(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"expected a state dict in {path}, got {type(state).__name__}")
    sizes = ("input_resolution", "context_length", "vocab_size")  # numbers that OpenAI stores with the weights
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if key not in sizes}
    strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise ValueError(f"expected tensors by name in {path}, got the entry {strange[0]!r}")
    tensors.check_finite(path, state)
    return {key: value.float() for key, value in state.items()}


def _to_own(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for theirs, ours in (("visual.proj", "image.projection.weight"), ("text_projection", "text.projection.weight")):
        value = state.pop(theirs)
        if value.ndim != 2:
            raise ValueError(f"{path}: expected {theirs} with two axes, got shape {list(value.shape)}")
        out[ours] = value.T.contiguous()
    for key, value in state.items():
        prefix = next((prefix for prefix in NAMES if key.startswith(prefix)), None)
        if prefix is None:
            raise ValueError(f"{path}: unexpected weight {key!r} in the OpenAI checkpoint")
        new = NAMES[prefix] + key.removeprefix(prefix)
        for old, name in LAYER_NAMES.items():
            new = new.replace(old, name)
        if ".in_proj_" in new:
            if not value.ndim or len(value) % 3:
                raise ValueError(f"{path}: expected {key} as three equal parts, got shape {list(value.shape)}")
            for part, tensor in zip("qkv", value.chunk(3), strict=True):
                out[re.sub(r"\.in_proj_(weight|bias)", rf".{part}_proj.\1", new)] = tensor
        else:
            out[new] = value
    return out


def find_tokenizer(path: Path) -> Tokenizer:
    """OpenAI's weights come without the vocabulary: take it from the file's folder, else from the hub."""
    file = path.parent / BPE_FILE
    if file.is_file():
        return bpe_tokenizer(_merges(file))
    try:
        return read_tokenizer(hub.folder("openai/clip-vit-base-patch16", weights=False))
    except ValueError as error:
        raise ValueError(
            f"{path} holds no vocabulary: put OpenAI's {BPE_FILE} into its folder, or connect to the hub once"
        ) from error


def _merges(file: Path) -> list[tuple[str, str]]:
    """The merges that CLIP uses of OpenAI's list."""
    tensors.check_text(file)
    try:
        with gzip.open(file) as content:
            text = content.read(tensors.MOST_TEXT_BYTES).decode()
        return [(first, second) for first, second in (line.split() for line in text.split("\n")[1 : 49152 - 256 - 1])]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{file} cannot be read as OpenAI's list of merges: {error}; download it again") from None
