"""OpenAI's published `.pt` files, and the plain state dicts that people save from them; OpenCLIP has the same names."""

import gzip
import re
import zlib
from pathlib import Path

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.config import Pixels
from actionprompt.weights import hub, tensors
from actionprompt.weights.assemble import assemble, check_vocabulary, sizes
from actionprompt.weights.tokenizer import BPE_FILE, Tokenizer, bpe_tokenizer
from actionprompt.weights.tokenizer_files import read_tokenizer

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
    "text_projection.": "text.projection.",
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
}
"""Prefixes of weight names in OpenAI's and OpenCLIP's files, and ours; inside a layer `LAYER_NAMES`."""
LAYER_NAMES = {
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".attn.": ".self_attn.",
    ".c_fc.": ".fc1.",
    ".c_proj.": ".fc2.",
}
WIDEST = 1024
"""Of OpenAI's towers: that of ViT-L's images."""
TRANSPOSED = {"visual.proj": "image.projection.weight", "text_projection": "text.projection.weight"}
"""Names of matrices that are multiplied from the right, and ours."""


def from_file(path: Path) -> CLIP:
    """OpenAI's published files: a TorchScript archive, or the plain state dict people save from it.

    The weights do not tell the activation and the number of heads, which are OpenAI's here: QuickGELU, and heads of 64
    channels. OpenCLIP's weights have the same names and may have others, so they need their folder (`open_clip`).
    """
    if not path.is_file():
        raise ValueError(f"expected an OpenAI CLIP checkpoint, but there is no file {path}; check the path")
    state = read_state(path)
    if "visual.proj" not in state or "visual.conv1.weight" not in state or "text_projection" not in state:
        kind = "a CLIP with a ResNet" if any(key.startswith("visual.layer1") for key in state) else "not a CLIP"
        raise ValueError(f"expected the weights of a CLIP with a ViT, but {path} is {kind}; take a ViT-B or ViT-L file")
    own, where = own_names(state, path), str(path)
    found = sizes(own)

    def tower(name: str) -> TowerShape:
        width = found.get(f"{name}.width", 0)
        if width % 64 or not 64 <= width <= WIDEST:
            raise ValueError(
                f"{path}: expected a {name} tower whose width is a multiple of 64 up to {WIDEST}, as OpenAI's, got "
                f"{width}; of OpenCLIP's models take the folder with open_clip_config.json"
            )
        layers, mlp_width = found.get(f"{name}.num_layers", 1), found.get(f"{name}.mlp_width", 4 * width)
        return TowerShape(width, layers, width // 64, mlp_width)

    shape = CLIPShape(
        image=tower("image"),
        text=tower("text"),
        image_size=found.get("image_size", 1),
        patch_size=found.get("patch_size", 1),
        vocab_size=found.get("vocab_size", 1),
        context_length=found.get("num_positions", 1),
        embed_dim=found.get("embed_dim", 1),
    )
    tokenizer = find_tokenizer(path)
    check_vocabulary(len(tokenizer), shape.vocab_size, where)
    return assemble(shape, own, tokenizer, name=where, pixels=Pixels(), where=where)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name: of a TorchScript archive, or of a state dict, by itself or among other things that
    a training wrote.

    Raises:
        ValueError: as `tensors.read`, or the file is no state dict.
    """
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
    return state


def own_names(state: dict[str, Tensor], where: Path) -> dict[str, Tensor]:
    """Weights under our names; ValueError naming `where` for one that has none, or has the name of another."""
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        own = _own(key, value, where)
        if twice := out.keys() & own.keys():
            raise ValueError(f"{where}: unexpected weight {key!r}: {min(twice)} is there under two names")
        out |= own
    return out


def _own(key: str, value: Tensor, where: Path) -> dict[str, Tensor]:
    """One weight of a file, which may be three of ours."""
    if key in TRANSPOSED:
        if value.ndim != 2:
            raise ValueError(f"{where}: expected {key} with two axes, got shape {list(value.shape)}")
        return {TRANSPOSED[key]: value.T.contiguous()}
    prefix = next((prefix for prefix in NAMES if key.startswith(prefix)), None)
    if prefix is None:
        raise ValueError(f"{where}: unexpected weight {key!r} in the checkpoint")
    new = NAMES[prefix] + key.removeprefix(prefix)
    for old, name in LAYER_NAMES.items():
        new = new.replace(old, name)
    if ".in_proj_" not in new:
        return {new: value}
    if not value.ndim or len(value) % 3:
        raise ValueError(f"{where}: expected {key} as three equal parts, got shape {list(value.shape)}")
    names = [re.sub(r"\.in_proj_(weight|bias)", rf".{part}_proj.\1", new) for part in "qkv"]
    return dict(zip(names, value.chunk(3), strict=True))


def find_tokenizer(path: Path) -> Tokenizer:
    """OpenAI's weights come without the vocabulary: take it from the file's folder, else from the hub."""
    file = path.parent / BPE_FILE
    if file.is_file():
        return bpe_tokenizer(_merges(file))
    try:
        return read_tokenizer(hub.folder("openai/clip-vit-base-patch16", weights=False), "clip")
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
