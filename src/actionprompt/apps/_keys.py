"""The names of tensors in the public checkpoints, and ours: one table per method.

A row is (their name, our name, how). In both names `#` stands for the number of a layer and `*` for `weight` or `bias`.
`how` says what their tensor is:

| how | their tensor |
| --- | --- |
| "" | ours |
| T | ours, transposed |
| chunk | queries, keys and values in one; `@` in our name stands for q, k or v |
| join | one third of ours; `@` in their name stands for q, k and v |
| front | ours, but for axes of length 1 in front |
| layers | ours of all layers in one, along the first axis |

Names and shapes were read in the authors' public code; `apps.published` turns files into models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Rows = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Keys:
    """Every tensor of a public checkpoint, and what becomes of it."""

    rows: Rows
    """Empty where both have the same names."""
    from_backbone: tuple[str, ...] = ()
    """Tensors of ours that the checkpoint does not hold, because they stayed those of the pretrained CLIP. A name that
    ends with a dot stands for all that begin with it."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """Tensors of theirs that no prediction needs, and why; a checkpoint may lack them."""


def under(theirs: str, ours: str, rows: Rows) -> Rows:
    """The rows with a prefix before each name."""
    return tuple((theirs + name, ours + own, how) for name, own, how in rows)


LAYER: Rows = (
    ("attn.in_proj_*", "self_attn.@_proj.*", "chunk"),
    ("attn.out_proj.*", "self_attn.out_proj.*", ""),
    ("ln_1.*", "layer_norm1.*", ""),
    ("mlp.c_fc.*", "mlp.fc1.*", ""),
    ("mlp.c_proj.*", "mlp.fc2.*", ""),
    ("ln_2.*", "layer_norm2.*", ""),
)
"""A transformer layer of OpenAI's CLIP."""

IMAGE: Rows = (
    ("class_embedding", "embeddings.class_embedding", ""),
    ("positional_embedding", "embeddings.position_embedding.weight", ""),
    ("conv1.weight", "embeddings.patch_embedding.weight", ""),
    ("ln_pre.*", "pre_norm.*", ""),
    *under("transformer.resblocks.#.", "layers.#.", LAYER),
    ("ln_post.*", "post_norm.*", ""),
    ("proj", "projection.weight", "T"),
)
"""OpenAI's image tower."""

TEXT: Rows = (
    ("token_embedding.weight", "embeddings.token_embedding.weight", ""),
    ("positional_embedding", "embeddings.position_embedding.weight", ""),
    *under("transformer.resblocks.#.", "layers.#.", LAYER),
    ("ln_final.*", "final_norm.*", ""),
    ("text_projection", "projection.weight", "T"),
)
"""OpenAI's text tower."""

CLIP: Rows = (
    *under("visual.", "clip.image.", IMAGE),
    *under("", "clip.text.", TEXT),
    ("logit_scale", "clip.logit_scale", ""),
)

BLOCK: Rows = (
    ("attn.in_proj_*", "attention.in_proj_*", ""),
    ("attn.out_proj.*", "attention.out_proj.*", ""),
    ("ln_1.*", "norm1.*", ""),
    ("mlp.c_fc.*", "fc1.*", ""),
    ("mlp.c_proj.*", "fc2.*", ""),
    ("ln_2.*", "norm2.*", ""),
)
"""A transformer layer that is no part of CLIP; ours is `layers.Block`."""

VIFI_CLIP = Keys(
    (
        *under("image_encoder.", "clip.image.", IMAGE),
        *under("text_encoder.", "clip.text.", TEXT[1:]),
        ("logit_scale", "clip.logit_scale", ""),
    ),
    from_backbone=("clip.text.embeddings.token_embedding.weight",),
    unused={"prompt_learner.complete_text_embeddings": "token embeddings of the class prompts"},
)
"""muzairkhattak/ViFi-CLIP, trainers/vificlip.py. The token embedding table is outside its model and is not trained."""

ACTIONCLIP = Keys(
    (
        *CLIP,
        ("fusion.frame_position_embeddings.weight", "temporal.position", ""),
        *under("fusion.transformer.resblocks.#.", "temporal.blocks.#.", BLOCK),
    )
)
"""sallymmx/ActionCLIP, modules/Visual_Prompt.py with the head `Transf`. `fusion.` stands before the names of the file's
second state dict, `fusion_model_state_dict`."""

ACTIONCLIP_LSTM = Keys(
    (
        *CLIP,
        *(
            (f"fusion.lstm_visual.{kind}_{side}_l0", f"temporal.lstm.{kind}_{side}_l0", "")
            for kind in ("weight", "bias")
            for side in ("ih", "hh")
        ),
    ),
    unused={"fusion.frame_position_embeddings.weight": "created with the head `LSTM`, which does not use it"},
)
"""The same with the head `LSTM`."""

VITA_CLIP = Keys(
    (
        ("visual.cls_token", "clip.image.embeddings.class_embedding", ""),
        ("visual.pos_embed", "clip.image.embeddings.position_embedding.weight", ""),
        ("visual.patch_embed.proj.weight", "clip.image.embeddings.patch_embedding.weight", ""),
        ("visual.ln_pre.*", "clip.image.pre_norm.*", ""),
        *under(
            "visual.blocks.#.",
            "clip.image.layers.#.",
            (
                *((f"attn.{part}_proj.*", f"self_attn.{part}_proj.*", "") for part in ("q", "k", "v", "out")),
                ("norm1.*", "layer_norm1.*", ""),
                ("mlp.fc1.*", "mlp.fc1.*", ""),
                ("mlp.fc2.*", "mlp.fc2.*", ""),
                ("norm2.*", "layer_norm2.*", ""),
            ),
        ),
        ("visual.ln_post.*", "clip.image.post_norm.*", ""),
        ("visual.proj", "clip.image.projection.weight", "T"),
        *under("textual.", "clip.text.", TEXT),
        ("visual.time_embed", "time", ""),
        *under(
            "visual.blocks.#.",
            "prompts.#.",
            (
                ("cls_proj.*", "project.*", ""),
                ("summary_ln.*", "summary.norm.*", ""),
                ("summary_attn_layer.@_proj.*", "summary.attention.in_proj_*", "join"),
                ("summary_attn_layer.out_proj.*", "summary.attention.out_proj.*", ""),
                ("local_prompts", "local_prompts", "front"),
            ),
        ),
        ("visual.global_prompts", "prompts.#.global_prompts", "layers"),
        ("prompt_learner.ctx", "context", "front"),
        ("logit_scale", "logit_scale", ""),
    ),
    from_backbone=("clip.logit_scale",),
    unused={
        "visual.patch_embed.proj.bias": "zero: CLIP's patch embedding has no bias",
        "prompt_learner.token_prefix": "token embedding of SOS",
        "prompt_learner.token_suffix": "token embeddings of the class names",
    },
)
"""TalalWasim/Vita-CLIP, training/VitaCLIP_model.py. Its towers are frozen, so they must be those of the backbone."""

XCLIP = Keys(
    (
        *CLIP,
        *under(
            "visual.transformer.resblocks.#.",
            "messages.#.",
            (
                ("message_fc.*", "project.*", ""),
                ("message_ln.*", "norm.*", ""),
                ("message_attn.in_proj_*", "fusion.in_proj_*", ""),
                ("message_attn.out_proj.*", "fusion.out_proj.*", ""),
            ),
        ),
        ("mit.positional_embedding", "mit.position", "front"),
        *under("mit.resblocks.#.", "mit.blocks.#.", BLOCK),
        ("prompts_visual_ln.*", "prompts.norm_patches.*", ""),
        ("prompts_visual_proj", "prompts.project.weight", "T"),
        ("prompts_generator.norm.*", "prompts.norm.*", ""),
        *under(
            "prompts_generator.decoder.#.",
            "prompts.layers.#.",
            (
                *((f"cross_attn.{part}_proj.weight", f"{part}_proj.weight", "") for part in "qkv"),
                ("cross_attn.proj.*", "out_proj.*", ""),
                ("norm1.*", "norm1.*", ""),
                ("norm3.*", "norm2.*", ""),
                ("mlp.0.*", "fc1.*", ""),
                ("mlp.3.*", "fc2.*", ""),
            ),
        ),
        ("prompts_generator.alpha", "prompts.alpha", ""),
    )
)
"""microsoft/VideoX, X-CLIP/models/xclip.py. The names of transformers' `XCLIPModel` are in `methods/xclip.py`."""

BIKE = Keys(ACTIONCLIP.rows)
"""whwu95/BIKE, modules/video_clip.py: the video branch, named as ActionCLIP. Its attributes branch is another file."""

OURS = Keys(())
"""For checkpoints that the method's own file has given our names."""

I3D_FLOW = Keys((), from_backbone=("clip.",))
"""The same; I3D has no backbone. The names of both public checkpoints are in `methods/i3d_flow.py`."""
