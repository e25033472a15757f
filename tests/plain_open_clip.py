"""What OpenCLIP's models with a ViT compute: plain functions of a dictionary of tensors in OpenCLIP's published names.

They use nothing of the package. A `cfg` is the `model_cfg` of an `open_clip_config.json`; keys that it leaves out have
the values of `VISION` and `TEXT`, the defaults of open_clip 3.3. Source: `transformer.py` and `model.py` of
mlfoundations/open_clip.
"""

import math
from typing import Any

import torch

from plain_clip import attend, cosines, norm, patches, quick_gelu

VISION: dict[str, Any] = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "mlp_ratio": 4.0,
    "patch_size": 16,
    "image_size": 224,
    "ls_init_value": None,
    "no_ln_pre": False,
    "pool_type": "tok",
    "final_ln_after_pool": False,
    "act_kwargs": None,
    "norm_kwargs": None,
}
TEXT: dict[str, Any] = {
    "layers": 12,
    "width": 512,
    "heads": 8,
    "mlp_ratio": 4.0,
    "context_length": 77,
    "vocab_size": 49408,
    "ls_init_value": None,
    "no_causal_mask": False,
    "pool_type": "argmax",
    "pad_id": 0,
    "eos_id": 2,
    "proj_type": "linear",
    "proj_bias": False,
    "act_kwargs": None,
    "norm_kwargs": None,
    "hf_tokenizer_name": None,
    "tokenizer_kwargs": None,
}
MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_bias", "nonscalar_logit_scale"}


def small(vision: dict | None = None, text: dict | None = None, **model) -> dict[str, Any]:
    """A `model_cfg` of 16 patches of 8 px, width 32, 2 layers of 2 heads, 16 tokens out of 600, 24 dimensions."""
    image = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
    words = {"context_length": 16, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2}
    return {"embed_dim": 24, "vision_cfg": image | (vision or {}), "text_cfg": words | (text or {}), **model}


CLIPA = (
    {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
    {"no_causal_mask": True, "pool_type": "last"},
)
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": small(),
    "quickgelu": small(quick_gelu=True),
    "layer scale": small({"ls_init_value": 1e-4}, {"ls_init_value": 1e-5}),
    "avg pool": small({"pool_type": "avg"}),
    "clipa": small(*CLIPA),
    "pool first": small(text={"pool_type": "first", "no_causal_mask": True}),
    "text pool eos": small(text={"pool_type": "eos", "eos_id": 7}),
    "proj_bias": small(text={"proj_bias": True}),
    "custom_text": small(custom_text=True),
    "heads": small({"head_width": 8, "mlp_ratio": 4.3637}, {"heads": 8, "mlp_ratio": 3.7362}),
    "sigmoid": small(init_logit_bias=-10),
}
MORE: dict[str, dict[str, Any]] = {
    "no projection": small(text={"width": 24, "proj_type": "none"}),
    "tanh": small(text={"act_kwargs": {"approximate": "tanh"}, "norm_kwargs": {"eps": 1e-6}}),
    "custom_text with proj_bias": small(text={"proj_bias": True}, custom_text=True),
    "nonscalar": small(init_logit_bias=-10, nonscalar_logit_scale=True),
}
"""Options that OpenCLIP has, and uses with image towers of timm only, or not at all."""


def parts(cfg: dict) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the image tower and those of the text tower."""
    unknown = (set(cfg) - MODEL) | (set(cfg["vision_cfg"]) - set(VISION)) | (set(cfg["text_cfg"]) - set(TEXT))
    assert not unknown, f"no equations here for {sorted(unknown)}"
    return VISION | cfg["vision_cfg"], TEXT | cfg["text_cfg"]


def layer_shapes(prefix: str, options: dict) -> dict[str, tuple[int, ...]]:
    """The MLP's width is truncated, not rounded. LayerScale is there unless `ls_init_value` is None: 0 counts."""
    width = options["width"]
    hidden = int(width * options["mlp_ratio"])
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}attn.in_proj_weight": (3 * width, width),
        f"{prefix}attn.in_proj_bias": (3 * width,),
        f"{prefix}attn.out_proj.weight": (width, width),
        f"{prefix}attn.out_proj.bias": (width,),
        f"{prefix}mlp.c_fc.weight": (hidden, width),
        f"{prefix}mlp.c_fc.bias": (hidden,),
        f"{prefix}mlp.c_proj.weight": (width, hidden),
        f"{prefix}mlp.c_proj.bias": (width,),
    }
    shapes |= {f"{prefix}{name}.{side}": (width,) for name in ("ln_1", "ln_2") for side in ("weight", "bias")}
    if options["ls_init_value"] is not None:
        shapes |= {f"{prefix}{name}.gamma": (width,) for name in ("ls_1", "ls_2")}
    return shapes


def shapes(cfg: dict) -> dict[str, tuple[int, ...]]:
    """The state dict of a `model_cfg`.

    The text tower's names begin with `text.` only if `custom_text`. `visual.proj` and `text_projection` are [width,
    embed_dim] and multiply from the right, but `text_projection.weight` of `proj_bias` is [embed_dim, width]. There is
    a `logit_bias` only with `init_logit_bias`.
    """
    image, text = parts(cfg)
    width, embed_dim, patch = image["width"], cfg["embed_dim"], image["patch_size"]
    result: dict[str, tuple[int, ...]] = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (1 + (image["image_size"] // patch) ** 2, width),
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.proj": (width, embed_dim),
    }
    for name in ("ln_post",) if image["no_ln_pre"] else ("ln_pre", "ln_post"):
        result |= {f"visual.{name}.{side}": (width,) for side in ("weight", "bias")}
    for number in range(image["layers"]):
        result |= layer_shapes(f"visual.transformer.resblocks.{number}.", image)
    at, width = text_prefix(cfg), text["width"]
    result[f"{at}token_embedding.weight"] = (text["vocab_size"], width)
    result[f"{at}positional_embedding"] = (text["context_length"], width)
    result |= {f"{at}ln_final.{side}": (width,) for side in ("weight", "bias")}
    for number in range(text["layers"]):
        result |= layer_shapes(f"{at}transformer.resblocks.{number}.", text)
    if text["proj_type"] != "none":
        if text["proj_bias"]:
            result[f"{at}text_projection.weight"] = (embed_dim, width)
            result[f"{at}text_projection.bias"] = (embed_dim,)
        else:
            result[f"{at}text_projection"] = (width, embed_dim)
    scalar = (1,) if cfg.get("nonscalar_logit_scale") else ()
    bias = {} if cfg.get("init_logit_bias") is None else {"logit_bias": scalar}
    return {**result, "logit_scale": scalar, **bias}


def text_prefix(cfg: dict) -> str:
    return "text." if cfg.get("custom_text") else ""


def draw(cfg: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    """Every tensor random, of about the size that trained weights have: biases around 0, what multiplies (norms,
    LayerScale) around 1, the scale around e^3, its bias around -3."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes(cfg).items():
        noise = torch.randn(shape, generator=generator)
        if name == "logit_scale":
            state[name] = 3 + 0.3 * noise
        elif name == "logit_bias":
            state[name] = -3 + 0.3 * noise
        elif (".ln_" in f".{name}" and name.endswith("weight")) or name.endswith("gamma"):
            state[name] = 1 + 0.3 * noise
        elif len(shape) == 1 or name.endswith(("positional_embedding", "token_embedding.weight")):
            state[name] = 0.5 * noise
        elif name.endswith(("visual.proj", "text_projection")):
            state[name] = shape[0] ** -0.5 * noise
        else:
            state[name] = math.prod(shape[1:]) ** -0.5 * noise
    return state


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


def activation(cfg: dict, options: dict):
    """`quick_gelu` holds for both towers; `act_kwargs` can ask for GELU's approximation by tanh in one of them."""
    kwargs = options["act_kwargs"] or {}
    assert not (cfg.get("quick_gelu") and kwargs)
    if cfg.get("quick_gelu"):
        return quick_gelu
    return {"none": gelu, "tanh": gelu_tanh}[kwargs.get("approximate", "none")]


def layers(x, state, prefix: str, cfg: dict, options: dict, heads: int, mask=None):
    """Tokens [N, L, D] through all layers: norm, attention, scale, residual; norm, MLP, scale, residual."""
    act, eps = activation(cfg, options), epsilon(options)
    for number in range(options["layers"]):
        at = f"{prefix}transformer.resblocks.{number}."
        y = norm(x, state, f"{at}ln_1", eps)
        fused = (state[f"{at}attn.in_proj_{side}"].chunk(3) for side in ("weight", "bias"))
        y = attend(y, y, *fused, state[f"{at}attn.out_proj.weight"], state[f"{at}attn.out_proj.bias"], heads, mask)
        x = x + (y if options["ls_init_value"] is None else y * state[f"{at}ls_1.gamma"])
        y = norm(x, state, f"{at}ln_2", eps)
        y = act(y @ state[f"{at}mlp.c_fc.weight"].T + state[f"{at}mlp.c_fc.bias"])
        y = y @ state[f"{at}mlp.c_proj.weight"].T + state[f"{at}mlp.c_proj.bias"]
        x = x + (y if options["ls_init_value"] is None else y * state[f"{at}ls_2.gamma"])
    return x


def epsilon(options: dict) -> float:
    """Of every norm of a tower."""
    return (options["norm_kwargs"] or {}).get("eps", 1e-5)


def encode_images(state, cfg: dict, pixels):
    """Pixels [N, 3, S, S], pixel-normalised -> embeddings [N, E], not L2-normalised.

    The class token comes first and has a position; there is always one, also where the pool does not read it. `ln_pre`
    comes after the positions, unless `no_ln_pre`. `pool_type` "tok" reads the class token, "avg" the mean of the
    patches without the class token. `ln_post` is applied to every token before the pool, or, with
    `final_ln_after_pool`, to the pooled token: the two are the same for "tok", and not for "avg". The projection is
    last.
    """
    image, _ = parts(cfg)
    assert pixels.shape[-2:] == (image["image_size"],) * 2
    classes = state["visual.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([classes, patches(state, "visual.", pixels)], 1) + state["visual.positional_embedding"]
    if not image["no_ln_pre"]:
        x = norm(x, state, "visual.ln_pre", epsilon(image))
    x = layers(x, state, "visual.", cfg, image, image["width"] // image["head_width"])
    if not image["final_ln_after_pool"]:
        x = norm(x, state, "visual.ln_post", epsilon(image))
    x = {"tok": x[:, 0], "avg": x[:, 1:].mean(1)}[image["pool_type"]]
    if image["final_ln_after_pool"]:
        x = norm(x, state, "visual.ln_post", epsilon(image))
    return x @ state["visual.proj"]


def encode_texts(state, cfg: dict, ids):
    """Ids [K, L], padded to the context length, -> embeddings [K, E], not L2-normalised.

    No key is masked because it is padding. With the causal mask padding cannot reach what "argmax", "eos" and "first"
    read; without it (`no_causal_mask`) every token attends to the padding too, and "last" reads the last position of
    the context, which is padding in all but the longest texts. Thus the embedding depends on the padding id and on the
    padded length. `ln_final` comes before the pool, then the projection, with a bias if `proj_bias`; with `proj_type`
    "none" there is none and the text's width is that of the embeddings.
    """
    _, text = parts(cfg)
    at, length = text_prefix(cfg), text["context_length"]
    assert ids.shape[1] == length
    x = state[f"{at}token_embedding.weight"][ids] + state[f"{at}positional_embedding"]
    mask = None if text["no_causal_mask"] else torch.full((length, length), -torch.inf).triu(1)
    x = layers(x, state, at, cfg, text, text["heads"], mask)
    x = norm(x, state, f"{at}ln_final", epsilon(text))
    x = torch.stack([tokens[position(row, text)] for tokens, row in zip(x, ids.tolist())])
    if text["proj_type"] == "none":
        return x
    if text["proj_bias"]:
        return x @ state[f"{at}text_projection.weight"].T + state[f"{at}text_projection.bias"]
    return x @ state[f"{at}text_projection"]


def position(row: list[int], text: dict) -> int:
    """Which token of a padded text is read: that of the highest id (the first such), the first `eos_id` (the first
    token if there is none), the first or the last."""
    match text["pool_type"]:
        case "argmax":
            return row.index(max(row))
        case "eos":
            return row.index(text["eos_id"]) if text["eos_id"] in row else 0
        case "first":
            return 0
        case "last":
            return len(row) - 1
    raise AssertionError(text["pool_type"])


def logits(state, cfg: dict, pixels, ids):
    """[N, K]: e^logit_scale times the cosine, plus `logit_bias` where the model has one."""
    scaled = state["logit_scale"].exp() * cosines(encode_images(state, cfg, pixels), encode_texts(state, cfg, ids))
    return scaled + state.get("logit_bias", 0)
