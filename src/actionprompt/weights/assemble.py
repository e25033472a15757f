"""A CLIP from its sizes, its weights and its tokeniser; every weight is accounted for."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from actionprompt.backbone import CLIP, CLIPShape, TextTower
from actionprompt.config import Pixels
from actionprompt.weights.tokenizer import Tokenizer

MOST, MOST_LAYERS = 1 << 20, 1_000
"""Of any size, and of a tower's layers; the largest published CLIPs have tables of 250,000 rows and 48 layers."""
JOINT = ("text.projection.weight", "text.projection.1.weight")
"""What projects a text into the joint space: its first axis is E."""
SPARE_TOKENS = 128
"""Rows that a table of tokens may have without a token, since some are padded to a multiple of this."""
T = TypeVar("T", bound=nn.Module)


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """What the shapes of a CLIP's weights tell of its sizes: fields of `CLIPShape` and its pieces, of its towers as
    `image.width`, and `num_patches`. A size whose weight is missing is left out."""
    found = {}
    joint = next((name for name in JOINT if name in state), JOINT[0])
    for field, (name, axis) in {
        "image.width": ("image.embeddings.patch_embedding.weight", 0),
        "image.mlp_width": ("image.layers.0.mlp.fc1.weight", 0),
        "text.width": ("text.embeddings.token_embedding.weight", 1),
        "text.mlp_width": ("text.layers.0.mlp.fc1.weight", 0),
        "patch_size": ("image.embeddings.patch_embedding.weight", 2),
        "vocab_size": ("text.embeddings.token_embedding.weight", 0),
        "num_positions": ("text.embeddings.position_embedding.weight", 0),
        "num_types": ("text.embeddings.type_embedding.weight", 0),
        "hidden_projection": ("text.projection.0.weight", 0),
        "embed_dim": (joint, 0),
    }.items():
        if name in state and state[name].ndim > axis:
            found[field] = state[name].shape[axis]
    for tower in ("image", "text"):
        if layers := num_layers(state, f"{tower}.layers."):
            found[f"{tower}.num_layers"] = layers
    positions = state.get("image.embeddings.position_embedding.weight")
    if positions is not None and positions.ndim:
        found["num_patches"] = max(len(positions) - ("image.embeddings.class_embedding" in state), 0)
        if "patch_size" in found:
            found["image_size"] = found["patch_size"] * round(found["num_patches"] ** 0.5)
    return found


def num_layers(names: Collection[str], prefix: str) -> int:
    """The layers that are named, counted from 0."""
    return len({found[1] for name in names if (found := re.match(re.escape(prefix) + r"(\d+)\.", name))})


def check_sizes(declared: Mapping[str, int], found: Mapping[str, int], where: str) -> None:
    """Raise ValueError for a declared size that is not the one of the weights, before anything of it is allocated."""
    for field, size in declared.items():
        if found.get(field, size) != size:
            raise ValueError(f"{where}: {field}: expected {found[field]}, as the weights have it, got {size}")


def check_vocabulary(num_tokens: int, num_rows: int, where: str) -> None:
    """Raise ValueError where a tokeniser and a table of tokens are not made for each other: with an empty vocabulary
    all texts would come out alike."""
    if not num_rows - SPARE_TOKENS <= num_tokens <= num_rows:
        raise ValueError(
            f"{where}: expected a vocabulary of {num_rows} tokens, as many as the weights have, got {num_tokens}; copy "
            f"the tokeniser's files from where the weights are from"
        )


def _check_possible(shape: CLIPShape, where: str, towers: Sequence[str] = ("image", "text")) -> None:
    """Raise ValueError for sizes that no CLIP with these towers has."""
    numbers = {f"{tower}.{key}": x for tower in towers for key, x in vars(getattr(shape, tower)).items()}
    others = {key: x for key, x in vars(shape).items() if "image" in towers or key not in ("image_size", "patch_size")}
    for field, size in {**numbers, **others}.items():
        most = MOST_LAYERS if field.endswith("num_layers") else MOST
        least = 0 if field == "num_positions" else 1  # 0: the context length
        if type(size) is int and not least <= size <= most:
            raise ValueError(f"{where}: {field}: expected {least} to {most}, got {size}")
    for name in towers:
        tower = getattr(shape, name)
        if tower.width % tower.num_heads:
            raise ValueError(
                f"{where}: {name}: expected a width that {tower.num_heads} heads divide, got {tower.width}"
            )
    if "image" in towers and shape.image_size < shape.patch_size:
        raise ValueError(
            f"{where}: image_size: expected at least the patch size {shape.patch_size}, got {shape.image_size}"
        )


def assemble(
    shape: CLIPShape, state: Mapping[str, Tensor], tokenizer: Tokenizer, *, name: str, pixels: Pixels, where: str,
    family: str = "clip",
) -> CLIP:  # fmt: skip
    """A CLIP whose every weight comes from `state`, in float32.

    Raises:
        ValueError: weights that are missing, unknown or of another shape.
    """
    _check_possible(shape, where)
    with torch.device("meta"):  # shapes alone: nothing is allocated before they are those of the weights
        clip = CLIP(shape, tokenizer, name=name, family=family, pixels=pixels)
    return _filled(clip, state, where)


def assemble_text(shape: CLIPShape, state: Mapping[str, Tensor], tokenizer: Tokenizer, *, where: str) -> TextTower:
    """`assemble` for the text tower alone: `state` has its weights, as a CLIP names them."""
    _check_possible(shape, where, ["text"])
    with torch.device("meta"):
        tower = shape.text_tower(tokenizer)
    return _filled(tower, {key.removeprefix("text."): value for key, value in state.items()}, where)


def _filled(module: T, state: Mapping[str, Tensor], where: str) -> T:
    """A module of the meta device with the weights of `state`."""
    own = module.state_dict()
    missing, unknown = [key for key in own if key not in state], [key for key in state if key not in own]
    if missing or unknown:
        raise ValueError(
            f"{where}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}, and "
            f"{len(unknown)} are unknown, the first is {unknown[:1]}"
        )
    for key, value in own.items():
        if value.shape != state[key].shape:
            raise ValueError(
                f"{where}: {key}: expected shape {list(value.shape)}, as the configuration has it, got "
                f"{list(state[key].shape)}"
            )
        if not state[key].is_floating_point():
            raise ValueError(
                f"{where}: {key}: expected floating-point numbers, got {state[key].dtype}; get weights that are not "
                f"quantised"
            )
    module.to_empty(device="cpu").load_state_dict(state)
    return module.eval()
