"""Folders in Hugging Face format: local ones, or the hub's copy in the local cache. Read without transformers, whose
import takes longer than a prediction."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, TextTower
from actionprompt.weights import hub, pixels, tensors
from actionprompt.weights.assemble import assemble, assemble_text, check_sizes, check_vocabulary, sizes
from actionprompt.weights.families import SIZES, Fields, family_of, own_names, shape_of
from actionprompt.weights.tensors import read_json
from actionprompt.weights.tokenizer import Tokenizer
from actionprompt.weights.tokenizer_files import read_tokenizer

LAST = 2
"""As `eos_token_id` of a CLIP: the last token, in configurations that are older than the field."""


def find_folder(name: str) -> Path:
    """The folder of a model: a local one, or the hub's copy in the local cache."""
    if is_path(name):
        folder = local_path(name)
        if not any((folder / config).is_file() for config in hub.CONFIGS):
            way = "give the folder that it is in" if folder.is_file() else "check the path"
            raise ValueError(
                f"expected a model folder with config.json or open_clip_config.json, an OpenAI .pt file or a hub name, "
                f"got {folder}; {way}, or name a hub model such as openai/clip-vit-base-patch16"
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
    """The model of a folder, of any family; `name` is what it was asked for by.

    Raises:
        ValueError: a model of another kind, sizes that are not those of its weights, weights that are missing, unknown
            or not finite, or a tokeniser that is not theirs.
    """
    config, path = read_json(folder / "config.json"), folder / "config.json"
    family = family_of(config, folder)
    shape = shape_of(config, family, path)
    weights = own_names(read_weights(folder), family)
    tokenizer = _checked(shape, weights, Fields(config, family, path), family, folder)
    asked = pixels.from_preprocessor(folder, default=pixels.DEFAULTS[family], side_px=shape.image_size)
    return assemble(shape, weights, tokenizer, name=name, pixels=asked, where=str(folder), family=family)


def text_from_folder(folder: Path, family: str) -> TextTower:
    """The text tower of a folder of that family, which need not hold an image tower.

    Raises:
        ValueError: as `from_folder`.
    """
    config, path = read_json(folder / "config.json"), folder / "config.json"
    if config.get("model_type") != family:
        raise ValueError(
            f"expected a model of type {family!r}, but {folder} is {config.get('model_type')!r}; choose another "
            f"checkpoint"
        )
    shape = shape_of(config, family, path)
    weights = own_names(read_weights(folder), family)
    weights = {key: value for key, value in weights.items() if key.startswith("text")}
    tokenizer = _checked(shape, weights, Fields(config, family, path), family, folder)
    return assemble_text(shape, weights, tokenizer, where=str(folder))


def _checked(shape: CLIPShape, weights: Mapping[str, Tensor], fields: Fields, family: str, folder: Path) -> Tokenizer:
    """The tokeniser of a folder; it and the configuration are those that the weights were made with."""
    found = {SIZES[field]: size for field, size in sizes(weights).items() if field in SIZES}
    declared = fields.sizes()
    side = "vision_config.image_size"
    if side in found and found[side] <= declared.get(side, 0) < found[side] + shape.patch_size:
        found[side] = declared[side]  # patches do not reach into a rest that is smaller than one
    check_sizes(declared, found, str(fields.where))
    tokenizer = read_tokenizer(folder, family)
    check_vocabulary(len(tokenizer), shape.vocab_size, str(folder))
    if shape.text_pieces.readout == "eot":
        _check_end(tokenizer, fields.number("text_config.eos_token_id", least=0), folder, legacy=family == "clip")
    return tokenizer


def _check_end(tokenizer: Tokenizer, end: int, folder: Path, *, legacy: bool) -> None:
    """Raise ValueError where the token that ends a text is not the one at which the weights gather it: the one that the
    configuration names; `legacy`: or the last one, which files of OpenAI's models call 2."""
    last = len(tokenizer) - 1
    expected = last if legacy and (end == LAST or end > last) else end
    if tokenizer.eos_token_id != expected:
        named = next((token for token, index in tokenizer.vocab.items() if index == tokenizer.eos_token_id), None)
        raise ValueError(
            f"{folder}: expected {named} as token {expected}, where the weights gather a text, got "
            f"{tokenizer.eos_token_id}; copy the tokeniser's files from where the weights are from"
        )


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
