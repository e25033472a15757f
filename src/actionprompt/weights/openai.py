"""OpenAI's published `.pt` files, and the plain state dicts that people save from them."""

import gzip
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.weights.assemble import CLIP_MEAN, CLIP_STD, assemble
from actionprompt.weights.hugging_face import find_folder, read_tokenizer
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
    width, _, patch, _ = state["visual.conv1.weight"].shape
    num_patches = state["visual.positional_embedding"].shape[0] - 1
    context_length, text_width = state["positional_embedding"].shape

    def depth(prefix: str) -> int:
        return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))

    embed_dim = state["text_projection"].shape[1]
    shape = CLIPShape(
        image=TowerShape(width, depth("visual.transformer.resblocks."), width // 64, 4 * width),
        text=TowerShape(text_width, depth("transformer.resblocks."), text_width // 64, 4 * text_width),
        image_size=patch * int(num_patches**0.5),
        patch_size=patch,
        vocab_size=state["token_embedding.weight"].shape[0],
        context_length=context_length,
        embed_dim=embed_dim,
    )
    own, tokenizer = _to_own(state, path), find_tokenizer(path)
    return assemble(shape, own, tokenizer, name=str(path), mean=CLIP_MEAN, std=CLIP_STD, where=str(path))


def _state(path: Path) -> dict[str, Tensor]:
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
    sizes = ("input_resolution", "context_length", "vocab_size")  # numbers that OpenAI stores with the weights
    return {k.removeprefix("module."): v.float() for k, v in state.items() if k.removeprefix("module.") not in sizes}


def _to_own(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {
        "image.projection.weight": state.pop("visual.proj").T.contiguous(),
        "text.projection.weight": state.pop("text_projection").T.contiguous(),
    }
    for key, value in state.items():
        prefix = next((prefix for prefix in NAMES if key.startswith(prefix)), None)
        if prefix is None:
            raise ValueError(f"{path}: unexpected weight {key!r} in the OpenAI checkpoint")
        new = NAMES[prefix] + key.removeprefix(prefix)
        for old, name in LAYER_NAMES.items():
            new = new.replace(old, name)
        if ".in_proj_" in new:
            for part, tensor in zip("qkv", value.chunk(3), strict=True):
                out[re.sub(r"\.in_proj_(weight|bias)", rf".{part}_proj.\1", new)] = tensor
        else:
            out[new] = value
    return out


def find_tokenizer(path: Path) -> Tokenizer:
    """OpenAI's weights come without the vocabulary: take it from the file's folder, else from the hub."""
    file = path.parent / BPE_FILE
    if file.is_file():
        lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
        return bpe_tokenizer([(first, second) for first, second in (line.split() for line in lines)])
    try:
        return read_tokenizer(find_folder("openai/clip-vit-base-patch16"))
    except ValueError as error:
        raise ValueError(
            f"{path} holds no vocabulary: put OpenAI's {BPE_FILE} into its folder, or connect to the hub once"
        ) from error
