"""Dual encoders with random weights in published shapes: for costs and for tests, which do not depend on what weights
know."""

from typing import Any

import torch
from torch import nn

from actionprompt.backbone import CLIP, CLIPShape, ImagePieces, TextPieces, TextTower, TowerShape
from actionprompt.weights import pixels
from actionprompt.weights.families import shape_of
from actionprompt.weights.tokenizer import Tokenizer, bert_tokenizer, nano_tokenizer

Config = dict[str, Any]


def _config(
    family: str, image: tuple[int, int, int, int], text: tuple[int, int], embed_dim: int | None, *, head: int = 64,
    activation: str | None = None, positions: int | None = None, **text_rest: Any
) -> Config:  # fmt: skip
    """What the `config.json` of a published model says, where it is not the default of its family. `image` is its
    side, patch size, width and number of layers, `text` width and number of layers, `head` the channels of a head."""
    side, patch, *image_sizes = image
    towers = []
    for width, layers in (image_sizes, text):
        sizes = {
            "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
            "num_attention_heads": width // head,
        }  # fmt: skip
        towers.append(sizes | ({} if activation is None else {"hidden_act": activation}))
    vision_config = {**towers[0], "image_size": side, "patch_size": patch}
    joint = {} if embed_dim is None else {"projection_dim": embed_dim}
    context = {} if positions is None else {"max_position_embeddings": positions}
    text_config = {**towers[1], **context, **text_rest}
    return {"model_type": family, **joint, "vision_config": vision_config, "text_config": text_config}


def _nano(family: str, positions: int, vocab_size: int, embed_dim: int | None = 16, **rest: Any) -> Config:
    return _config(
        family, (32, 16, 32, 2), (32, 2), embed_dim, head=8, positions=positions, vocab_size=vocab_size, **rest
    )


CONFIGS: dict[str, Config] = {
    "ViT-B/32": _config("clip", (224, 32, 768, 12), (512, 12), 512),
    "ViT-B/16": _config("clip", (224, 16, 768, 12), (512, 12), 512),
    "ViT-L/14": _config("clip", (224, 14, 1024, 24), (768, 12), 768),
    "MetaCLIP2-B/32": _config(
        "metaclip_2", (224, 32, 768, 12), (512, 12), 512, activation="gelu", vocab_size=901629, eos_token_id=2
    ),
    "SigLIP-B/16": _config("siglip", (224, 16, 768, 12), (768, 12), None),
    "SigLIP2-B/16": _config("siglip", (224, 16, 768, 12), (768, 12), None, vocab_size=256000),
    "AltCLIP": _config("altclip", (224, 14, 1024, 24), (1024, 24), 768),
    "Chinese-CLIP-B/16": _config("chinese_clip", (224, 16, 768, 12), (768, 12), 512, vocab_size=21128),
    "nano": _nano("clip", 128, 514, eos_token_id=513),
    "metaclip2-nano": _nano("metaclip_2", 128, 260, eos_token_id=2),
    "siglip-nano": _nano("siglip", 96, 259, None),
    "siglip2-nano": _nano("siglip", 96, 262, None),
    "altclip-nano": _nano("altclip", 130, 260, project_dim=24),
    "chinese-clip-nano": _nano("chinese_clip", 128, 21095),
}
"""What `random:NAME` can build, as `config.json` has it. Those with `nano` in their names are for tests of plumbing."""
OPEN_CLIP: dict[str, CLIPShape] = {
    "clipa-nano": CLIPShape(
        image=TowerShape(32, 2, 4, 128, "gelu_tanh"), text=TowerShape(32, 2, 4, 128, "gelu_tanh"), image_size=32,
        patch_size=16, vocab_size=21095, context_length=96, embed_dim=16,
        image_pieces=ImagePieces(pre_norm=False, pooling="mean", norm_first=False),
        text_pieces=TextPieces(is_causal=False, readout="last", fixed_length=True),
    ),
}  # fmt: skip
"""The same of OpenCLIP's format."""
TOKENIZERS = {"SigLIP2-B/16": "siglip2", "siglip2-nano": "siglip2", "clipa-nano": "clipa"}
"""The family of a tokeniser that is not the model's own; "clipa" is a BERT's without [SEP]."""


def random_clip(name: str) -> CLIP:
    """`random:NAME` with a name of `CONFIGS` or `OPEN_CLIP`; the same weights each time. The tokeniser is a small one;
    the ids that it gives are those of rows in a published table of tokens, too."""
    arch = name.removeprefix("random:")
    if arch not in CONFIGS and arch not in OPEN_CLIP:
        raise ValueError(f"expected random: and one of {', '.join([*CONFIGS, *OPEN_CLIP])}, got {name!r}")
    family = CONFIGS[arch]["model_type"] if arch in CONFIGS else "open_clip"
    shape = shape_of(CONFIGS[arch], family, name) if arch in CONFIGS else OPEN_CLIP[arch]
    tokenizer = _tokenizer(TOKENIZERS.get(arch, family), shape)
    clip = CLIP(shape, tokenizer, name=name, family=family, pixels=pixels.DEFAULTS[family])
    _randomise(clip)
    return clip.eval()


def random_chinese_text(name: str) -> TextTower:
    """`random:E`: the text tower of a Chinese-CLIP with one small layer of random weights, one token per character; for
    tests."""
    width = name.removeprefix("random:")
    if not width.isdecimal() or not 1 <= int(width[:5]) <= 4096:
        raise ValueError(f"expected random: and a joint width from 1 to 4096, got {name!r}")
    config = _config("chinese_clip", (32, 16, 32, 1), (16, 1), int(width), head=8, positions=512, vocab_size=21095)
    shape = shape_of(config, "chinese_clip", name)
    tower = shape.text_tower(_tokenizer("chinese_clip", shape))
    generator = torch.Generator().manual_seed(0)
    for part in (tower.embeddings, tower.layers, tower.projection):
        _draw(part, generator)
    return tower.eval()


def _tokenizer(family: str, shape: CLIPShape) -> Tokenizer:
    tokenizer = nano_tokenizer("chinese_clip" if family == "clipa" else family, max_length=shape.context_length)
    if family == "clipa":
        tokenizer = bert_tokenizer(tokenizer.vocab, strip_sep=True, max_length=shape.context_length)
    assert len(tokenizer) <= shape.vocab_size
    return tokenizer


def _randomise(clip: CLIP) -> None:
    text, image, generator = clip.text, clip.image, torch.Generator().manual_seed(0)
    parts = [text.embeddings, text.layers, text.final_norm, image.embeddings, image.pre_norm, image.layers]
    parts += [image.post_norm, image.projection, text.projection]  # the order of the draws
    for part in [*parts, *([] if image.pool is None else [image.pool])]:
        _draw(part, generator)
    clip.logit_scale.data.fill_(2.6592)


@torch.no_grad()
def _draw(part: nn.Module, generator: torch.Generator) -> None:
    """Weights that pass activations of unit size on, so that random towers tell their inputs apart."""
    for name, parameter in part.named_parameters():
        if parameter.ndim == 1 and name not in ("class_embedding", "probe"):
            is_norm = "norm" in name or isinstance(part, nn.LayerNorm)
            parameter.fill_(1.0 if is_norm and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            is_table = "embedding" in name and "patch" not in name
            parameter.normal_(std=0.02 if is_table else fan_in**-0.5, generator=generator)
