"""What dual encoders in Hugging Face format compute: plain functions of a dictionary of tensors in published names.

They use nothing of the package and nothing of transformers. A `family` is the `model_type` of `config`, which is the
complete `config.json` (`Config.to_dict()`). Sources: CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023), BERT
(Devlin et al., 2019), XLM-R (Conneau et al., 2020), AltCLIP (Chen et al., 2022), Chinese-CLIP (Yang et al., 2022), and
the models of transformers where a paper leaves something open.
"""

import torch
import torch.nn.functional as F

from plain_clip import attend, cosines, norm, patches, quick_gelu
from plain_open_clip import gelu, gelu_tanh

FAMILIES = ("clip", "metaclip_2", "siglip", "siglip2", "altclip", "chinese_clip")
ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu, "gelu_pytorch_tanh": gelu_tanh}


def linear(x, state, name: str):
    """With or without a bias."""
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)


def heads_of(x, state, prefix: str, names: tuple[str, str, str, str], heads: int, mask=None):
    """Self-attention [N, L, D] of the linear layers called `names`: queries, keys, values, output."""
    *three, out = (f"{prefix}{name}" for name in names)
    weights, biases = ([state[f"{name}.{side}"] for name in three] for side in ("weight", "bias"))
    return attend(x, x, weights, biases, state[f"{out}.weight"], state[f"{out}.bias"], heads, mask)


def layer_prefix(state, encoder: str) -> str:
    """`layer` or `layers`: AltCLIP's published files say `layer` of its texts and `layers` of its images, a model in
    memory `layers` of both, and what transformers 5 saves `layer` of both."""
    return next(f"{encoder}.{name}." for name in ("layer", "layers") if f"{encoder}.{name}.0." in "\n".join(state))


def pre_norm_layers(x, state, tower: str, config: dict, mask=None):
    """The layers of CLIP and SigLIP: norm, attention, residual; norm, MLP, residual."""
    act, eps = ACTIVATIONS[config["hidden_act"]], config["layer_norm_eps"]
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    start = layer_prefix(state, f"{tower}.encoder")
    for number in range(config["num_hidden_layers"]):
        at = f"{start}{number}."
        y = norm(x, state, f"{at}layer_norm1", eps)
        x = x + heads_of(y, state, f"{at}self_attn.", names, config["num_attention_heads"], mask)
        y = act(linear(norm(x, state, f"{at}layer_norm2", eps), state, f"{at}mlp.fc1"))
        x = x + linear(y, state, f"{at}mlp.fc2")
    return x


def post_norm_layers(x, state, tower: str, config: dict, mask):
    """The layers of BERT: attention, residual, norm; MLP, residual, norm."""
    act, eps = ACTIVATIONS[config["hidden_act"]], config["layer_norm_eps"]
    names = ("self.query", "self.key", "self.value", "output.dense")
    start = layer_prefix(state, f"{tower}.encoder")
    for number in range(config["num_hidden_layers"]):
        at = f"{start}{number}."
        y = heads_of(x, state, f"{at}attention.", names, config["num_attention_heads"], mask)
        x = norm(x + y, state, f"{at}attention.output.LayerNorm", eps)
        y = linear(act(linear(x, state, f"{at}intermediate.dense")), state, f"{at}output.dense")
        x = norm(x + y, state, f"{at}output.LayerNorm", eps)
    return x


# Images --------------------------------------------------------------------------------------------------------------


def encode_images(family: str, state, config: dict, pixels):
    """Pixels [N, 3, S, S], pixel-normalised -> embeddings [N, E], not L2-normalised."""
    encode = siglip_images if family in ("siglip", "siglip2") else clip_images
    return encode(state, config["vision_config"], pixels)


def clip_images(state, config: dict, pixels):
    """CLIP's image tower, also of MetaCLIP 2, AltCLIP and Chinese-CLIP.

    The class token comes first; norm of all tokens; layers; norm of the class token; projection without a bias. The
    patches have no bias."""
    at, eps = "vision_model.", config["layer_norm_eps"]
    classes = state[f"{at}embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([classes, patches(state, f"{at}embeddings.", pixels, "patch_embedding")], 1)
    x = norm(x + state[f"{at}embeddings.position_embedding.weight"], state, f"{at}pre_layrnorm", eps)
    x = pre_norm_layers(x, state, "vision_model", config)
    return norm(x[:, 0], state, f"{at}post_layernorm", eps) @ state["visual_projection.weight"].T


def siglip_images(state, config: dict, pixels):
    """SigLIP's image tower: no class token, no norm before the layers, no projection. The patches have a bias.

    After the norm of all tokens one learned probe attends to them; to its output y, which has no residual of the
    probe, the MLP of its norm is added: y + MLP(norm(y)). The queries, keys and values of this attention are one fused
    matrix."""
    at, act, eps = "vision_model.", ACTIVATIONS[config["hidden_act"]], config["layer_norm_eps"]
    x = siglip_patches(state, f"{at}embeddings.", pixels, config["patch_size"])
    x = norm(pre_norm_layers(x, state, "vision_model", config), state, f"{at}post_layernorm", eps)
    fused = (state[f"{at}head.attention.in_proj_{side}"].chunk(3) for side in ("weight", "bias"))
    out = (state[f"{at}head.attention.out_proj.{side}"] for side in ("weight", "bias"))
    probe = state[f"{at}head.probe"].expand(len(x), 1, -1)
    y = attend(probe, x, *fused, *out, config["num_attention_heads"])
    z = act(linear(norm(y, state, f"{at}head.layernorm", eps), state, f"{at}head.mlp.fc1"))
    return (y + linear(z, state, f"{at}head.mlp.fc2"))[:, 0]


def siglip_patches(state, prefix: str, pixels, size: int):
    """Patches with their positions [N, P, D], row by row.

    Fixed size: a convolution with one position per patch. NaFlex: a linear layer of the pixels of a patch, where the
    colour changes fastest, then the column, then the row; its square grid of positions is resized to the grid of
    patches (bilinear, antialiased), which changes nothing where the two are equal."""
    weight, positions = state[f"{prefix}patch_embedding.weight"], state[f"{prefix}position_embedding.weight"]
    if weight.ndim == 4:
        return patches(state, prefix, pixels, "patch_embedding") + state[f"{prefix}patch_embedding.bias"] + positions
    rows, columns = pixels.shape[-2] // size, pixels.shape[-1] // size
    x = []
    for row in range(rows):
        for column in range(columns):
            patch = pixels[..., row * size : (row + 1) * size, column * size : (column + 1) * size]
            x.append(linear(patch.permute(0, 2, 3, 1).flatten(1), state, f"{prefix}patch_embedding"))
    side = round(len(positions) ** 0.5)
    grid = positions.T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
    return torch.stack(x, 1) + grid[0].flatten(1).T


# Texts ---------------------------------------------------------------------------------------------------------------


def encode_texts(family: str, state, config: dict, ids, lengths):
    """Ids [K, L], padded on the right, and the number of tokens of each text without padding [K] -> embeddings [K, E],
    not L2-normalised."""
    text = config["text_config"]
    if family in ("siglip", "siglip2"):
        return siglip_texts(state, text, ids)
    if family == "clip":
        return clip_texts(state, text, ids, [clip_end(row, text["eos_token_id"]) for row in ids.tolist()])
    if family == "metaclip_2":
        return clip_texts(state, text, ids, [row.index(text["eos_token_id"]) for row in ids.tolist()])
    return (altclip_texts if family == "altclip" else chinese_texts)(state, text, ids, lengths)


def clip_end(row: list[int], eos: int) -> int:
    """Where CLIP's text is read: the first end token; where the configuration says 2, as the first ones did by mistake,
    the highest id. MetaCLIP 2 has no such exception: its end token is 2."""
    return row.index(max(row) if eos == 2 else eos)


def clip_texts(state, config: dict, ids, ends: list[int]):
    """The text tower of CLIP and MetaCLIP 2: a causal mask, so padding behind the end does not matter; norm of all
    tokens; the token at `ends`; projection without a bias."""
    length = ids.shape[1]
    x = state["text_model.embeddings.token_embedding.weight"][ids]
    x = x + state["text_model.embeddings.position_embedding.weight"][:length]
    x = pre_norm_layers(x, state, "text_model", config, torch.full((length, length), -torch.inf).triu(1))
    x = norm(x, state, "text_model.final_layer_norm", config["layer_norm_eps"])
    return x[torch.arange(len(x)), ends] @ state["text_projection.weight"].T


def siglip_texts(state, config: dict, ids):
    """SigLIP's text tower: no mask at all, so all tokens attend to the padding too; norm; the last position, which is
    padding in all but the longest texts; a linear layer with a bias. The texts must be padded to the full length."""
    assert ids.shape[1] == config["max_position_embeddings"]
    x = state["text_model.embeddings.token_embedding.weight"][ids]
    x = x + state["text_model.embeddings.position_embedding.weight"]
    x = pre_norm_layers(x, state, "text_model", config)
    x = norm(x, state, "text_model.final_layer_norm", config["layer_norm_eps"])
    return linear(x[:, -1], state, "text_model.head")


def bert(state, tower: str, config: dict, ids, lengths, first: int):
    """Token states [K, L, D] of BERT, whose positions are counted from `first`.

    Words, positions and token type 0 are added, then normalised. Every token attends to the whole text and not to its
    padding; there is no norm after the last layer, because each layer ends with one."""
    at, length = f"{tower}.embeddings.", ids.shape[1]
    x = state[f"{at}word_embeddings.weight"][ids] + state[f"{at}token_type_embeddings.weight"][0]
    x = x + state[f"{at}position_embeddings.weight"][first : first + length]
    x = norm(x, state, f"{at}LayerNorm", config["layer_norm_eps"])
    mask = torch.zeros(len(ids), 1, length)
    for number, count in enumerate(lengths):
        mask[number, :, int(count) :] = -torch.inf
    return post_norm_layers(x, state, tower, config, mask)


def chinese_texts(state, config: dict, ids, lengths):
    """Chinese-CLIP: BERT's state of [CLS], without BERT's pooler; projection without a bias."""
    x = bert(state, "text_model", config, ids, lengths, first=0)
    return x[:, 0] @ state["text_projection.weight"].T


def altclip_texts(state, config: dict, ids, lengths):
    """AltCLIP: XLM-R's state of <s>, a norm, the transformation into CLIP's space (with a bias), the projection of CLIP
    (without one). Positions begin behind the padding id, at 2."""
    x = bert(state, "text_model.roberta", config, ids, lengths, first=config["pad_token_id"] + 1)
    x = norm(x[:, 0], state, "text_model.pre_LN", config["layer_norm_eps"])
    return linear(x, state, "text_model.transformation") @ state["text_projection.weight"].T


# Score ---------------------------------------------------------------------------------------------------------------


def logits(family: str, state, config: dict, pixels, ids, lengths):
    """[N, K]: e^logit_scale times the cosine, plus SigLIP's bias."""
    images = encode_images(family, state, config, pixels)
    scaled = state["logit_scale"].exp() * cosines(images, encode_texts(family, state, config, ids, lengths))
    return scaled + state.get("logit_bias", 0)
