"""How each family of dual encoders is written in Hugging Face format: the names of its weights, the fields of its
`config.json` with the defaults of transformers' configuration classes, and the pieces of its towers.

A `config.json` may leave out any field: those of SigLIP on the hub hold little more than the kind of each tower. What
it leaves out is the default of its family.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt.backbone import CLIPShape, ImagePieces, TextPieces, TowerShape
from actionprompt.backbone.layers import Activation

ACTIVATIONS: dict[str, Activation] = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
"""Values of `hidden_act`, and ours."""
CLIP_IMAGE_PIECES, CLIP_TEXT_PIECES = ImagePieces(), TextPieces()
Defaults = Mapping[str, int | float | str | bool | None]


@dataclass(frozen=True)
class Family:
    """One kind of `model_type`."""

    names: Mapping[str, str]
    """Prefixes of the names of its weights, and ours."""
    unused: tuple[str, ...]
    """Patterns of names that checkpoints hold and no embedding depends on."""
    defaults: Defaults
    """Fields of `config.json` that its shape is made of, and what they are where it leaves them out."""
    image: ImagePieces = CLIP_IMAGE_PIECES
    text: TextPieces = CLIP_TEXT_PIECES
    sigmoid: bool = False
    layer_names: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of names inside a text layer, behind its number, and ours; empty: they are the same."""
    old_options: bool = True
    """`text_config_dict` and `vision_config_dict`, which old files have, stand in for what ends in `_config`."""


# Names ----------------------------------------------------------------------------------------------------------------

IMAGE_NAMES = {
    "vision_model.embeddings.": "image.embeddings.",
    "vision_model.encoder.layers.": "image.layers.",
    "vision_model.post_layernorm.": "image.post_norm.",
    "logit_scale": "logit_scale",
}
CLIP_IMAGE_NAMES = {
    **IMAGE_NAMES, "vision_model.pre_layrnorm.": "image.pre_norm.", "visual_projection.": "image.projection.",
}  # fmt: skip
TEXT_NAMES = {
    "text_model.embeddings.": "text.embeddings.",
    "text_model.encoder.layers.": "text.layers.",
    "text_model.final_layer_norm.": "text.final_norm.",
}
CLIP_NAMES = {**CLIP_IMAGE_NAMES, **TEXT_NAMES, "text_projection.": "text.projection."}
SIGLIP_NAMES = {
    **IMAGE_NAMES,
    "vision_model.head.probe": "image.pool.probe",
    "vision_model.head.attention.": "image.pool.attention.",
    "vision_model.head.layernorm.": "image.pool.norm.",
    "vision_model.head.mlp.": "image.pool.mlp.",
    **TEXT_NAMES,
    "text_model.head.": "text.projection.",
    "logit_bias": "logit_bias",
}


def _bert_names(prefix: str) -> dict[str, str]:
    return {
        f"{prefix}embeddings.word_embeddings.": "text.embeddings.token_embedding.",
        f"{prefix}embeddings.position_embeddings.": "text.embeddings.position_embedding.",
        f"{prefix}embeddings.token_type_embeddings.": "text.embeddings.type_embedding.",
        f"{prefix}embeddings.LayerNorm.": "text.embeddings.norm.",
        f"{prefix}encoder.layer.": "text.layers.",
        f"{prefix}encoder.layers.": "text.layers.",  # in memory, transformers 5 calls AltCLIP's so
    }


BERT_LAYER_NAMES = {
    "attention.self.query.": "self_attn.q_proj.",
    "attention.self.key.": "self_attn.k_proj.",
    "attention.self.value.": "self_attn.v_proj.",
    "attention.output.dense.": "self_attn.out_proj.",
    "attention.output.LayerNorm.": "layer_norm1.",
    "intermediate.dense.": "mlp.fc1.",
    "output.dense.": "mlp.fc2.",
    "output.LayerNorm.": "layer_norm2.",
}
UNUSED = (r"(vision|text)_model\.embeddings\.position_ids",)
"""Counted from 0, or from `first_position`."""
BERT_UNUSED = (
    r"vision_model\.embeddings\.position_ids",
    r"text_model\.(roberta\.)?embeddings\.(position|token_type)_ids",
    r"text_model\.(roberta\.)?pooler\.dense\.(weight|bias)",  # of BERT's own training; the first token is projected
)

# Fields ---------------------------------------------------------------------------------------------------------------

SIZES = {
    "image.width": "vision_config.hidden_size",
    "image.num_layers": "vision_config.num_hidden_layers",
    "image.mlp_width": "vision_config.intermediate_size",
    "text.width": "text_config.hidden_size",
    "text.num_layers": "text_config.num_hidden_layers",
    "text.mlp_width": "text_config.intermediate_size",
    "image_size": "vision_config.image_size",
    "num_patches": "vision_config.num_patches",
    "patch_size": "vision_config.patch_size",
    "vocab_size": "text_config.vocab_size",
    "num_positions": "text_config.max_position_embeddings",
    "num_types": "text_config.type_vocab_size",
    "hidden_projection": "text_config.project_dim",
    "embed_dim": "projection_dim",
}
"""Sizes that weights tell (`assemble.sizes`), and the fields that declare them."""


def _tower(
    part: str, width: int, heads: int, *, activation: str, eps: float, layers: int = 12, **rest: Any
) -> dict[str, Any]:
    fields = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "hidden_act": activation, "layer_norm_eps": eps, **rest,
    }  # fmt: skip
    return {f"{part}.{key}": value for key, value in fields.items()}


CLIP_IMAGE = _tower("vision_config", 768, 12, activation="quick_gelu", eps=1e-5, image_size=224, patch_size=32)
CLIP_DEFAULTS = {
    **CLIP_IMAGE,
    **_tower(
        "text_config", 512, 8, activation="quick_gelu", eps=1e-5, vocab_size=49408, max_position_embeddings=77,
        eos_token_id=49407,
    ),
    "projection_dim": 512,
}  # fmt: skip
SIGLIP_TEXT = _tower(
    "text_config", 768, 12, activation="gelu_pytorch_tanh", eps=1e-6, vocab_size=32000, max_position_embeddings=64,
    projection_size=None,
)  # fmt: skip


def _siglip_image(**rest: int) -> dict[str, Any]:
    return _tower(
        "vision_config", 768, 12, activation="gelu_pytorch_tanh", eps=1e-6, patch_size=16, vision_use_head=True, **rest
    )


# Families -------------------------------------------------------------------------------------------------------------

BERT = TextPieces(is_causal=False, readout="first", norm_first=False)
SIGLIP = Family(
    names=SIGLIP_NAMES,
    unused=UNUSED,
    defaults={**_siglip_image(image_size=224), **SIGLIP_TEXT},
    image=ImagePieces(class_token=False, patch_bias=True, pre_norm=False, pooling="attention", projection=False),
    text=TextPieces(is_causal=False, readout="last", fixed_length=True, projection_bias=True),
    sigmoid=True,
    old_options=False,
)
FAMILIES = {
    "clip": Family(CLIP_NAMES, UNUSED, CLIP_DEFAULTS),
    "metaclip_2": Family(CLIP_NAMES, UNUSED, CLIP_DEFAULTS),
    "siglip": SIGLIP,
    "siglip2": replace(SIGLIP, defaults={**_siglip_image(num_patches=256), **SIGLIP_TEXT}),
    "altclip": Family(
        names={
            "vision_model.encoder.layer.": "image.layers.",  # so transformers 5 stores them, and reads both
            **CLIP_IMAGE_NAMES,
            **_bert_names("text_model.roberta."),
            "text_model.pre_LN.": "text.final_norm.",
            "text_model.transformation.": "text.projection.0.",
            "text_projection.": "text.projection.1.",
        },
        unused=BERT_UNUSED,
        layer_names=BERT_LAYER_NAMES,
        defaults={
            **CLIP_IMAGE,
            **_tower(
                "text_config", 1024, 16, layers=24, activation="gelu", eps=1e-5, vocab_size=250002,
                max_position_embeddings=514, type_vocab_size=1, project_dim=768, pad_token_id=1,
            ),
            "projection_dim": 768,
        },
        text=BERT,
    ),
    "chinese_clip": Family(
        names={**CLIP_IMAGE_NAMES, **_bert_names("text_model."), "text_projection.": "text.projection."},
        unused=BERT_UNUSED,
        layer_names=BERT_LAYER_NAMES,
        defaults={
            **CLIP_IMAGE,
            **_tower(
                "text_config", 768, 12, activation="gelu", eps=1e-12, vocab_size=30522, max_position_embeddings=512,
                type_vocab_size=2,
            ),
            "projection_dim": 512,
        },
        text=replace(BERT, final_norm=False),
    ),
}  # fmt: skip
"""By `model_type`. The fixed-size SigLIP 2 is a `siglip`; `siglip2` is NaFlex, here at the fixed size of its table of
positions."""


def family_of(config: Mapping[str, Any], where: str | Path) -> str:
    """The family that a `config.json` declares; ValueError for another one."""
    kind = config.get("model_type", config.get("architecture"))  # the latter is timm's
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ValueError(
            f"expected a model of type {', '.join(FAMILIES)}, or one in OpenCLIP's format, but {where} is {kind!r}; "
            f"choose another checkpoint"
        )
    return kind


# Configurations -------------------------------------------------------------------------------------------------------


class Fields:
    """The fields of a `config.json`, by names such as `text_config.hidden_size`, with the defaults of its family."""

    def __init__(self, config: Mapping[str, Any], family: str, where: str | Path) -> None:
        self.family, self.where = FAMILIES[family], where
        self.values: dict[str, Any] = {"": config}
        for part in ("text_config", "vision_config"):
            old = config.get(f"{part}_dict") if self.family.old_options else None
            value = config.get(part) if old is None else old
            if value is not None and not isinstance(value, Mapping):
                raise ValueError(f"{where}: {part}: expected an object, got {value!r}")
            self.values[part] = value or {}

    def __getitem__(self, name: str) -> Any:
        part, _, key = name.rpartition(".")
        value = self.values[part].get(key)
        return self.family.defaults[name] if value is None else value

    def number(self, name: str, *, least: int = 1) -> int:
        """A whole number."""
        value = self[name]
        if type(value) is not int or value < least:
            raise ValueError(f"{self.where}: {name}: expected a whole number of at least {least}, got {value!r}")
        return value

    def sizes(self) -> dict[str, int]:
        """What the configuration declares of `SIZES`, by the name of the field."""
        declared = {name: self.number(name) for name in SIZES.values() if name in self.family.defaults}
        if (name := "text_config.projection_size") in self.family.defaults:
            joint = self.number("vision_config.hidden_size")
            own = self.number("text_config.hidden_size") if self[name] is None else self.number(name)
            if own != joint:
                raise ValueError(f"{self.where}: {name}: expected {joint}, the width of the image tower, got {own}")
        return declared

    def tower(self, part: str) -> TowerShape:
        activation, norm_eps = self[f"{part}.hidden_act"], self[f"{part}.layer_norm_eps"]
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            known = " or ".join(", ".join(ACTIVATIONS).rsplit(", ", 1))
            raise ValueError(f"{self.where}: {part}.hidden_act: expected the activation {known}, got {activation!r}")
        if type(norm_eps) not in (int, float) or not 0 < norm_eps < 1:
            raise ValueError(f"{self.where}: {part}.layer_norm_eps: expected a number above 0, got {norm_eps!r}")
        width, num_heads = self.number(f"{part}.hidden_size"), self.number(f"{part}.num_attention_heads")
        if width % num_heads:
            tower = {"vision_config": "image", "text_config": "text"}[part]
            raise ValueError(
                f"{self.where}: {part}.num_attention_heads: expected a divisor of {width}, the width of the {tower} "
                f"tower, got {num_heads}"
            )
        return TowerShape(
            width=width,
            num_layers=self.number(f"{part}.num_hidden_layers"),
            num_heads=num_heads,
            mlp_width=self.number(f"{part}.intermediate_size"),
            activation=ACTIVATIONS[activation],
            norm_eps=float(norm_eps),
        )


def shape_of(config: Mapping[str, Any], family: str, where: str | Path) -> CLIPShape:
    """The sizes and pieces that a `config.json` of a family declares.

    Raises:
        ValueError: a field of another kind, or a variant that is no dual encoder of this shape.
    """
    fields, kind = Fields(config, family, where), FAMILIES[family]
    sizes, patch_size = fields.sizes(), fields.number("vision_config.patch_size")
    num_patches = sizes.get("vision_config.num_patches")
    if num_patches is not None and math.isqrt(num_patches) ** 2 != num_patches:
        raise ValueError(f"{where}: vision_config.num_patches: expected a square number, got {num_patches}")
    if "vision_config.vision_use_head" in kind.defaults and fields["vision_config.vision_use_head"] is not True:
        got = fields["vision_config.vision_use_head"]
        raise ValueError(
            f"{where}: vision_config.vision_use_head: expected true, got {got!r}: without this head the model has no "
            f"image embedding"
        )
    num_positions, first = sizes["text_config.max_position_embeddings"], 0
    if "text_config.pad_token_id" in kind.defaults:
        first = fields.number("text_config.pad_token_id", least=0) + 1
        if num_positions <= first:
            name = "text_config.max_position_embeddings"
            raise ValueError(f"{where}: {name}: expected more than {first}, where texts begin, got {num_positions}")
    return CLIPShape(
        image=fields.tower("vision_config"),
        text=fields.tower("text_config"),
        image_size=sizes["vision_config.image_size"] if num_patches is None else patch_size * math.isqrt(num_patches),
        patch_size=patch_size,
        vocab_size=sizes["text_config.vocab_size"],
        context_length=num_positions - first,
        num_positions=num_positions,
        embed_dim=sizes.get("projection_dim", sizes["vision_config.hidden_size"]),
        image_pieces=kind.image,
        text_pieces=replace(
            kind.text,
            first_position=first,
            num_types=sizes.get("text_config.type_vocab_size", 0),
            hidden_projection=sizes.get("text_config.project_dim", 0),
        ),
        sigmoid=kind.sigmoid,
    )


# Weights --------------------------------------------------------------------------------------------------------------


def own_names(state: Mapping[str, Tensor], family: str = "clip") -> dict[str, Tensor]:
    """Weights under our names and in our shapes, without those of `unused`. One that the family does not know keeps its
    name."""
    kind, own = FAMILIES[family], dict[str, Tensor]()
    for key, value in state.items():
        prefix = next((prefix for prefix in kind.names if key.startswith(prefix)), None)
        if any(re.fullmatch(pattern, key) for pattern in kind.unused):
            continue
        name = key if prefix is None else kind.names[prefix] + key.removeprefix(prefix)
        if kind.layer_names and name.startswith("text.layers."):
            name = _inside(name, kind.layer_names)
        for part, tensor in _own_shape(name, value):
            own[key if part in own else part] = tensor  # a name that is there twice is an unknown one
    return own


def hugging_face_names(state: Mapping[str, Tensor], family: str = "clip") -> dict[str, Tensor]:
    """The inverse of `own_names`, with the names that transformers writes."""
    kind = FAMILIES[family]
    back = {ours: theirs for theirs, ours in reversed([*kind.names.items()])}
    inside = {ours: theirs for theirs, ours in kind.layer_names.items()}
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        prefix = next(prefix for prefix in back if key.startswith(prefix))
        name = _inside(key, inside) if inside and key.startswith("text.layers.") else key
        found[back[prefix] + name.removeprefix(prefix)] = value
    for name, value in list(found.items()):
        if name in ("logit_scale", "logit_bias") and kind.sigmoid:
            found[name] = value.reshape(1)
        elif name.endswith("head.probe"):
            found[name] = value.reshape(1, 1, -1)
        elif name.endswith("patch_embedding.weight") and family == "siglip2":
            found[name] = value.permute(0, 2, 3, 1).flatten(1)
        elif ".head.attention.q_proj." in name:
            parts = [found.pop(name.replace("q_proj.", f"{part}_proj.")) for part in "qkv"]
            found[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return found


def _inside(name: str, table: Mapping[str, str]) -> str:
    """The name of a weight of a text layer, with what is behind the layer's number as `table` has it."""
    found = re.fullmatch(r"(text\.layers\.\d+\.)(.+)", name)
    old = found and next((old for old in table if found[2].startswith(old)), None)
    return name if found is None or old is None else found[1] + table[old] + found[2].removeprefix(old)


def _own_shape(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """A weight in our shapes; one of no shape that it could have stays what it is."""
    if name in ("logit_scale", "logit_bias") and value.numel() == 1:
        return [(name, value.reshape(()))]
    if name == "image.pool.probe" and value.shape[:-1].numel() == 1:
        return [(name, value.flatten())]
    if name == "image.embeddings.patch_embedding.weight" and value.ndim == 2:  # (row, column, channel)
        side = math.isqrt(value.shape[1] // 3)
        if value.shape[1] == 3 * side**2:
            return [(name, value.unflatten(1, (side, side, 3)).permute(0, 3, 1, 2))]
    if ".pool.attention.in_proj_" in name and value.ndim and len(value) and len(value) % 3 == 0:
        return [
            (name.replace("in_proj_", f"{part}_proj."), tensor)
            for part, tensor in zip("qkv", value.chunk(3), strict=True)
        ]
    return [(name, value)]
