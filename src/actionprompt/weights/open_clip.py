"""Checkpoints in OpenCLIP's format: `open_clip_config.json`, and the weights next to it.

OpenCLIP (github.com/mlfoundations/open_clip) has towers of many kinds under one configuration. Its own vision and text
transformers are read; names, defaults and meanings of the fields are those of its source. A field that asks for another
kind, or that is not known, is refused by its name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape, ImagePieces, TextPieces, TowerShape
from actionprompt.backbone.layers import Activation
from actionprompt.weights import hub, openai
from actionprompt.weights.assemble import MOST, assemble, check_vocabulary
from actionprompt.weights.pixels import from_open_clip
from actionprompt.weights.tensors import read_json
from actionprompt.weights.tokenizer import Tokenizer
from actionprompt.weights.tokenizer_files import read_tokenizer

CONFIG = hub.CONFIGS[1]
"""The file that says how a model is built."""

# Fields by their default: a whole number, a number, true or false, an object, one of some words of which the first is
# the default, or a number that may be missing (None).
MODEL: dict[str, Any] = {
    "embed_dim": 0, "vision_cfg": {}, "text_cfg": {}, "quick_gelu": False, "init_logit_bias": None,
}  # fmt: skip
VISION: dict[str, Any] = {
    "image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "head_width": 64, "mlp_ratio": 4.0,
    "ls_init_value": None, "no_ln_pre": False, "pos_embed_type": ("learnable", "sin_cos_2d"),
    "pool_type": ("tok", "avg"), "final_ln_after_pool": False, "act_kwargs": {}, "norm_kwargs": {},
}  # fmt: skip
TEXT: dict[str, Any] = {
    "context_length": 77, "vocab_size": 49408, "width": 512, "layers": 12, "heads": 8, "mlp_ratio": 4.0,
    "ls_init_value": None, "no_causal_mask": False, "pool_type": ("argmax", "first", "last", "eos"), "eos_id": 2,
    "proj_type": ("linear", "none"), "proj_bias": False, "act_kwargs": {}, "norm_kwargs": {}, "pad_id": None,
    "hf_tokenizer_name": ("", "bert-base-uncased", "facebook/xlm-v-base"), "tokenizer_kwargs": {},
}  # fmt: skip
IDLE = (
    "custom_text", "output_dict", "init_logit_scale", "nonscalar_logit_scale",
    "patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained", "timm_pool",
    "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path", "hf_model_pretrained", "hf_proj_type",
    "hf_pooler_type", "correct_cls_mask", "final_ln_after_pool",
)  # fmt: skip
"""Fields of training or of the form of an output, of what the tensors say, or of a kind in `KINDS`. A text's last norm
is the same before and behind the pool, which picks one token."""
KINDS: dict[str, tuple[Any, str]] = {
    "multimodal_cfg": (None, "a captioner (CoCa)"),
    "timm_model_name": (None, "an image tower of timm"),
    "eva_model_name": (None, "an image tower of EVA"),
    "attentional_pool": (False, "pooling by attention"),
    "input_patchnorm": (False, "a norm of the patches"),
    "hf_model_name": (None, "a text tower of transformers"),
    "embed_cls": (False, "a class token behind the text"),
    "use_pad_mask": (False, "a mask over padding"),
    "block_type": ("default", "another kind of layer"),
    **dict.fromkeys(
        ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"),
        (False, "another kind of layer"),
    ),
}
"""Fields that make another kind of model, with the value at which they do not; null never does."""
READABLE = (
    "only OpenCLIP's own vision transformer with its own text transformer is read (ViT-B-32 to ViT-bigG-14, quickgelu "
    "or not, CLIPA); choose such a checkpoint, or one in Hugging Face format"
)
READOUT: dict[str, Any] = {"argmax": "eot", "eos": "eot", "first": "first", "last": "last"}
"""OpenCLIP's `pool_type` of texts, and ours."""
BERT_ROWS, BERT_TOKENS = 32000, 30522
"""CLIPA's table of tokens, and how many of them the vocabulary of `bert-base-uncased` has."""


def from_folder(folder: Path, *, name: str) -> CLIP:
    """The dual encoder of a folder; `name` is what it was asked for by.

    Raises:
        ValueError: a file that is missing, damaged or would run code, or a model of another kind, with the field that
            says so.
    """
    path = folder / CONFIG
    config = read_json(path)
    if unknown := [key for key in config if key not in ("model_cfg", "preprocess_cfg")]:
        raise ValueError(f"{path}: expected model_cfg and preprocess_cfg, got the field {unknown[0]!r}")
    model, vision, text = _fields(config.get("model_cfg"), path)
    preprocess: Any = config.get("preprocess_cfg")
    state = _state(folder)
    shape = _shape(model, vision, text, path, sigmoid="logit_bias" in state)
    _fold_layer_scale(state, "visual.transformer", vision, path)
    _fold_layer_scale(state, "transformer", text, path)
    tokenizer = _tokenizer(folder, text, path)
    pixels = from_open_clip(preprocess, path, side_px=shape.image_size)
    own = openai.own_names(state, folder)
    return assemble(shape, own, tokenizer, name=name, pixels=pixels, where=str(folder), family="open_clip")


def shape_of(model_cfg: Any, path: Path) -> CLIPShape:
    """The sizes and pieces that the `model_cfg` of the configuration `path` describes.

    Raises:
        ValueError: as `from_folder`.
    """
    return _shape(*_fields(model_cfg, path), path, sigmoid=False)


def _shape(
    model: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any], path: Path, *, sigmoid: bool
) -> CLIPShape:
    """`sigmoid`: the checkpoint has a bias of the logits."""

    def tower(field: str, found: Mapping[str, Any], num_heads: int) -> TowerShape:
        options, norm_eps = found["act_kwargs"], found["norm_kwargs"].get("eps", 1e-5)
        if options not in ([{}] if model["quick_gelu"] else [{}, {"approximate": "none"}, {"approximate": "tanh"}]):
            raise ValueError(f"{path}: {field}.act_kwargs: expected tanh or none as approximate of GELU, got {options}")
        gelu: Activation = "gelu_tanh" if options == {"approximate": "tanh"} else "gelu"
        activation = "quick_gelu" if model["quick_gelu"] else gelu
        if {*found["norm_kwargs"]} - {"eps"} or type(norm_eps) is not float or not 0 < norm_eps < 1:
            raise ValueError(f"{path}: {field}.norm_kwargs: expected eps between 0 and 1, got {found['norm_kwargs']}")
        width, mlp_width = found["width"], int(found["width"] * found["mlp_ratio"])
        return TowerShape(width, found["layers"], num_heads, mlp_width, activation, norm_eps)

    if text["proj_type"] == "none" and text["width"] != model["embed_dim"]:
        raise ValueError(
            f"{path}: text_cfg.width: expected the embed_dim {model['embed_dim']} without a projection, got "
            f"{text['width']}"
        )
    return CLIPShape(
        image=tower("vision_cfg", vision, vision["width"] // vision["head_width"]),
        text=tower("text_cfg", text, text["heads"]),
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        vocab_size=text["vocab_size"],
        context_length=text["context_length"],
        embed_dim=model["embed_dim"],
        image_pieces=ImagePieces(
            pre_norm=not vision["no_ln_pre"],
            pooling="mean" if vision["pool_type"] == "avg" else "class",
            norm_first=not vision["final_ln_after_pool"],
        ),
        text_pieces=TextPieces(
            is_causal=not text["no_causal_mask"],
            readout=READOUT[text["pool_type"]],
            fixed_length=text["no_causal_mask"] or text["pool_type"] == "last",
            projection=text["proj_type"] == "linear",
            projection_bias=text["proj_bias"] and text["proj_type"] == "linear",
        ),
        sigmoid=sigmoid or model["init_logit_bias"] is not None,
    )


# Fields ---------------------------------------------------------------------------------------------------------------


def _fields(model_cfg: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The fields of a `model_cfg`, of its `vision_cfg` and of its `text_cfg`, all there and of their types."""
    model = _checked(model_cfg, "model_cfg", MODEL, path)
    vision = _checked(model_cfg.get("vision_cfg"), "vision_cfg", VISION, path)
    return model, vision, _checked(model_cfg.get("text_cfg"), "text_cfg", TEXT, path)


def _checked(found: Any, name: str, fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """One object of a configuration: what it leaves out, or gives as null, has its default."""
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {name}: expected an object, got {found!r}")
    found = {key: value for key, value in found.items() if value is not None}
    for key, value in found.items():
        off, kind = KINDS.get(key, (None, "a field that is not known"))
        if key == "layers" and isinstance(value, list):
            kind = "a ResNet"
        elif key in fields or key in IDLE or value == off:
            continue
        stated = "{...}" if isinstance(value, dict) and value else repr(value)
        raise ValueError(f"{path}: {name}.{key} is {stated}, {kind}: {READABLE}")
    out = {}
    for key, default in fields.items():
        value = found.get(key, default[0] if isinstance(default, tuple) else default)
        if key in ("image_size", "patch_size") and isinstance(value, list) and value and value == 2 * value[:1]:
            value = value[0]  # height and width
        if (expected := _expected(value, default)) is not None:
            raise ValueError(f"{path}: {name}.{key}: expected {expected}, got {value!r}")
        out[key] = float(value) if isinstance(default, float) else value
    return out


def _expected(value: Any, default: Any) -> str | None:
    """What a field with this default must be, if `value` is not."""
    number = type(value) in (int, float)
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, tuple):
        return None if value in default else f"one of {', '.join(map(repr, filter(None, default)))}"
    if isinstance(default, dict):
        return None if isinstance(value, dict) else "an object"
    if isinstance(default, int):
        return None if type(value) is int and 1 <= value <= MOST else f"a whole number from 1 to {MOST}"
    if isinstance(default, float):
        return None if number and 0 < value < 1_000 else "a number above 0"
    return None if value is None or number else "a number"


# Weights --------------------------------------------------------------------------------------------------------------


def _state(folder: Path) -> dict[str, Tensor]:
    """The weights of a folder under the names that they have without OpenCLIP's `custom_text`."""
    path = next((folder / name for name in hub.OPEN_CLIP_WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(
            f"{folder}: the folder is not a complete model: expected one of {', '.join(hub.OPEN_CLIP_WEIGHTS)}"
        )
    found = openai.read_state(path)
    state = {key.removeprefix("text."): value for key, value in found.items()}
    if len(state) != len(found):
        raise ValueError(f"{path}: expected one text tower, got weights with and without `text.` in front")
    for key in ("logit_scale", "logit_bias"):
        if key in state and state[key].numel() == 1:
            state[key] = state[key].reshape(())
    return state


def _fold_layer_scale(state: dict[str, Tensor], prefix: str, found: Mapping[str, Any], path: Path) -> None:
    """LayerScale multiplies the output of attention and MLP by gamma; as gamma * (W y + b) = (gamma * W) y + gamma * b,
    it becomes part of their last linear layers."""
    if found["ls_init_value"] is None:
        return
    for index in range(found["layers"]):
        for scale, last in (("ls_1", "attn.out_proj"), ("ls_2", "mlp.c_proj")):
            layer = f"{prefix}.resblocks.{index}"
            gamma = state.pop(f"{layer}.{scale}.gamma", None)
            if gamma is None or gamma.shape != (found["width"],):
                got = "nothing" if gamma is None else f"shape {list(gamma.shape)}"
                raise ValueError(
                    f"{path}: ls_init_value: expected {layer}.{scale}.gamma of shape [{found['width']}], got {got}"
                )
            for kind, factor in (("weight", gamma.float()[:, None]), ("bias", gamma.float())):
                if (value := state.get(f"{layer}.{last}.{kind}")) is not None and len(value) == len(gamma):
                    state[f"{layer}.{last}.{kind}"] = factor * value


# Tokeniser ------------------------------------------------------------------------------------------------------------


def _tokenizer(folder: Path, text: Mapping[str, Any], path: Path) -> Tokenizer:
    """OpenAI's BPE padded with zeros, or the tokeniser of transformers that `hf_tokenizer_name` names: a BERT's as in
    Chinese-CLIP, or an XLM-R's as in AltCLIP."""
    name, options, rows = text["hf_tokenizer_name"], text["tokenizer_kwargs"], text["vocab_size"]
    strip_sep = name == "bert-base-uncased" and options.get("strip_sep_token") is True
    if any(option != "strip_sep_token" or value not in (False, strip_sep) for option, value in options.items()):
        raise ValueError(
            f"{path}: text_cfg.tokenizer_kwargs: expected strip_sep_token of bert-base-uncased, or nothing, got "
            f"{options!r}"
        )
    if name == "bert-base-uncased":
        found = read_tokenizer(folder, "chinese_clip", strip_sep=strip_sep, pad=0)
        rows = BERT_TOKENS if rows == BERT_ROWS else rows
    elif name:
        found = read_tokenizer(folder, "altclip")
    elif any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json")):
        found = read_tokenizer(folder, "clip", pad=0)
    else:
        found = openai.find_tokenizer(path)
        found.pad_token_id = 0
    check_vocabulary(len(found), rows, str(folder))
    end = {"argmax": len(found) - 1, "eos": text["eos_id"]}.get(text["pool_type"], found.eos_token_id)
    if found.eos_token_id != end:
        raise ValueError(
            f"{folder}: expected a text to end with token {end}, where the pool_type {text['pool_type']} reads it, got "
            f"{found.eos_token_id}; copy the tokeniser's files from where the weights are from"
        )
    if text["pad_id"] not in (None, found.pad_token_id):
        raise ValueError(f"{path}: text_cfg.pad_id: expected {found.pad_token_id}, got {text['pad_id']}")
    return found
