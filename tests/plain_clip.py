"""Public checkpoints made for tests, in their published names and shapes, and what their authors' models compute with
them: plain functions of a dictionary of tensors that use nothing of the package."""

import math

import torch
import torch.nn.functional as F


def draw(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random numbers of about the size that trained weights have, rounded to float16 as published."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        std = math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.5
        state[name] = (std * torch.randn(shape, generator=generator)).half().float()
    return state | ({"logit_scale": torch.tensor(4.6052)} if "logit_scale" in state else {})


def layer_shapes(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    """A transformer layer in the names of OpenAI's CLIP."""
    return {
        f"{prefix}attn.in_proj_weight": (3 * width, width),
        f"{prefix}attn.in_proj_bias": (3 * width,),
        f"{prefix}attn.out_proj.weight": (width, width),
        f"{prefix}attn.out_proj.bias": (width,),
        f"{prefix}ln_1.weight": (width,),
        f"{prefix}ln_1.bias": (width,),
        f"{prefix}mlp.c_fc.weight": (4 * width, width),
        f"{prefix}mlp.c_fc.bias": (4 * width,),
        f"{prefix}mlp.c_proj.weight": (width, 4 * width),
        f"{prefix}mlp.c_proj.bias": (width,),
        f"{prefix}ln_2.weight": (width,),
        f"{prefix}ln_2.bias": (width,),
    }


def image_shapes(prefix: str, clip) -> dict[str, tuple[int, ...]]:
    """OpenAI's image tower in the sizes of `clip`."""
    image = clip.image
    shapes = {
        f"{prefix}class_embedding": (image.width,),
        f"{prefix}positional_embedding": (1 + image.grid**2, image.width),
        f"{prefix}proj": (image.width, clip.embed_dim),
        f"{prefix}conv1.weight": (image.width, 3, image.patch_size, image.patch_size),
    }
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{prefix}{norm}.{side}": (image.width,) for side in ("weight", "bias")}
    for number in range(len(image.layers)):
        shapes |= layer_shapes(f"{prefix}transformer.resblocks.{number}.", image.width)
    return shapes


def text_shapes(prefix: str, clip) -> dict[str, tuple[int, ...]]:
    """OpenAI's text tower in the sizes of `clip`, without the table of tokens."""
    text = clip.text
    shapes = {
        f"{prefix}positional_embedding": (text.context_length, text.width),
        f"{prefix}text_projection": (text.width, clip.embed_dim),
        f"{prefix}ln_final.weight": (text.width,),
        f"{prefix}ln_final.bias": (text.width,),
    }
    for number in range(len(text.layers)):
        shapes |= layer_shapes(f"{prefix}transformer.resblocks.{number}.", text.width)
    return shapes


def clip_shapes(clip) -> dict[str, tuple[int, ...]]:
    """The state dict of OpenAI's CLIP in the sizes of `clip`."""
    table = tuple(clip.text.embeddings.token_embedding.weight.shape)
    shapes = {**image_shapes("visual.", clip), **text_shapes("", clip)}
    return {**shapes, "token_embedding.weight": table, "logit_scale": ()}


def norm(x, state, prefix: str, eps: float = 1e-5):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{prefix}.weight"] + state[f"{prefix}.bias"]


def attend(queries, memory, weights, biases, out_weight, out_bias, heads: int, mask=None):
    """Multi-head attention [N, L, D] to [N, M, D]; `weights` and `biases` are those of queries, keys and values."""
    q, k, v = (x @ w.T + b for x, w, b in zip((queries, memory, memory), weights, biases))
    size = q.shape[-1] // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(-1, -2) / size**0.5
        out.append((scores if mask is None else scores + mask).softmax(-1) @ v[..., part])
    return torch.cat(out, -1) @ out_weight.T + out_bias


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def layer(x, state, prefix: str, heads: int, *, mask=None, extra=None, eps: float = 1e-5):
    """A transformer layer; the tokens `extra` take part in its attention alone."""
    length = x.shape[1]
    x = x if extra is None else torch.cat([x, extra], 1)
    y = norm(x, state, f"{prefix}ln_1", eps)
    fused = (state[f"{prefix}attn.in_proj_{side}"].chunk(3) for side in ("weight", "bias"))
    x = x + attend(
        y, y, *fused, state[f"{prefix}attn.out_proj.weight"], state[f"{prefix}attn.out_proj.bias"], heads, mask
    )
    x = x[:, :length]
    y = norm(x, state, f"{prefix}ln_2", eps) @ state[f"{prefix}mlp.c_fc.weight"].T + state[f"{prefix}mlp.c_fc.bias"]
    return x + quick_gelu(y) @ state[f"{prefix}mlp.c_proj.weight"].T + state[f"{prefix}mlp.c_proj.bias"]


def patches(state, prefix: str, frames, name: str = "conv1"):
    """[N, 3, S, S] -> patch embeddings [N, P, D]."""
    weight = state[f"{prefix}{name}.weight"]
    return F.conv2d(frames, weight, stride=weight.shape[-1]).flatten(2).transpose(1, 2)


def encode_frames(state, prefix: str, frames, clip):
    """Frames [N, 3, S, S] -> embeddings [N, E], OpenAI's image tower."""
    tokens = patches(state, prefix, frames)
    classes = state[f"{prefix}class_embedding"].expand(len(frames), 1, -1)
    x = torch.cat([classes, tokens], 1) + state[f"{prefix}positional_embedding"]
    x = norm(x, state, f"{prefix}ln_pre")
    for number in range(len(clip.image.layers)):
        x = layer(x, state, f"{prefix}transformer.resblocks.{number}.", clip.image.num_heads)
    return norm(x[:, 0], state, f"{prefix}ln_post") @ state[f"{prefix}proj"]


def encode_tokens(state, prefix: str, tokens, eot, clip):
    """Token embeddings [K, L, D] with the position of each EOT -> embeddings [K, E], OpenAI's text tower; without the
    positions those of all tokens, [K, L, E]."""
    x = tokens + state[f"{prefix}positional_embedding"][: tokens.shape[1]]
    mask = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)
    for number in range(len(clip.text.layers)):
        x = layer(x, state, f"{prefix}transformer.resblocks.{number}.", clip.text.num_heads, mask=mask)
    x = norm(x, state, f"{prefix}ln_final") @ state[f"{prefix}text_projection"]
    return x if eot is None else x[torch.arange(len(x)), eot]


def tokenize(texts: list[str], clip):
    """Ids padded with 0 to the context length, as OpenAI's `tokenize` does, and the position of each EOT."""
    rows = clip.text.tokenizer.encode(texts)
    length = clip.text.context_length
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    return ids, torch.tensor([len(row) - 1 for row in rows])


def cosines(a, b):
    return (a / a.norm(dim=-1, keepdim=True)) @ (b / b.norm(dim=-1, keepdim=True)).T


# ViFi-CLIP -----------------------------------------------------------------------------------------------------------


def vifi_clip(clip, names: list[str], prefix: str = "a photo of a"):
    """Its state dict."""
    shapes = {**image_shapes("image_encoder.", clip), **text_shapes("text_encoder.", clip), "logit_scale": ()}
    ids, _ = tokenize([f"{prefix} {name}." for name in names], clip)
    table = clip.text.embeddings.token_embedding.weight.detach()
    return {"prompt_learner.complete_text_embeddings": table[ids].clone(), **draw(shapes)}


def vifi_clip_logits(state, video, clip, names: list[str], prefix: str = "a photo of a"):
    frames = encode_frames(state, "image_encoder.", video.flatten(0, 1), clip).unflatten(0, video.shape[:2])
    _, eot = tokenize([f"{prefix} {name}." for name in names], clip)
    text = encode_tokens(state, "text_encoder.", state["prompt_learner.complete_text_embeddings"], eot, clip)
    return state["logit_scale"].exp() * cosines(frames.mean(1), text)


# ActionCLIP ----------------------------------------------------------------------------------------------------------


def actionclip(clip, head: str = "Transf"):
    """The state dicts of CLIP and of the fusion head."""
    width = clip.embed_dim
    fusion: dict[str, tuple[int, ...]] = {}
    if head != "meanP":
        fusion["frame_position_embeddings.weight"] = (clip.text.context_length, width)
    if head == "Transf":
        for number in range(6):
            fusion |= layer_shapes(f"transformer.resblocks.{number}.", width)
    if head == "LSTM":
        fusion |= {f"lstm_visual.weight_{part}_l0": (4 * width, width) for part in ("ih", "hh")}
        fusion |= {f"lstm_visual.bias_{part}_l0": (4 * width,) for part in ("ih", "hh")}
    if head == "Conv_1D":
        fusion["shift.weight"] = (width, 1, 3)
    return draw(clip_shapes(clip)), draw(fusion, seed=1)


def actionclip_probabilities(state, fusion, video, clip, names: list[str], templates, heads: int):
    """Its test: softmax over the classes for each template, then the mean over the templates."""
    frames = encode_frames(state, "visual.", video.flatten(0, 1), clip).unflatten(0, video.shape[:2])
    x = frames
    if "transformer.resblocks.0.ln_1.weight" in fusion:
        x = frames + fusion["frame_position_embeddings.weight"][: frames.shape[1]]
        for number in range(6):
            x = layer(x, fusion, f"transformer.resblocks.{number}.", heads, eps=1e-12)
        x = x + frames
    if "lstm_visual.weight_ih_l0" in fusion:
        x = frames + lstm(frames, fusion)
    ids, eot = tokenize([template.format(name) for template in templates for name in names], clip)
    text = encode_tokens(state, "", state["token_embedding.weight"][ids], eot, clip)
    similarity = state["logit_scale"].exp() * cosines(x.mean(1), text)
    return similarity.unflatten(1, (len(templates), len(names))).softmax(-1).mean(1)


def lstm(frames, state):
    hidden = cell = torch.zeros_like(frames[:, 0])
    out = []
    for x in frames.unbind(1):
        gates = sum(
            y @ state[f"lstm_visual.weight_{part}_l0"].T + state[f"lstm_visual.bias_{part}_l0"]
            for part, y in (("ih", x), ("hh", hidden))
        )
        i, f, g, o = gates.chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        out.append(hidden)
    return torch.stack(out, 1)


def text_of(clip, prefix: str):
    """The text tower of `clip` in OpenAI's names, with the table of tokens."""
    text, state = clip.text, {}
    state[f"{prefix}token_embedding.weight"] = text.embeddings.token_embedding.weight
    state[f"{prefix}positional_embedding"] = text.embeddings.position_embedding.weight
    state[f"{prefix}text_projection"] = text.projection.weight.T
    modules = {"ln_final": text.final_norm}
    for number, block in enumerate(text.layers):
        at, attn = f"transformer.resblocks.{number}.", block.self_attn
        modules |= {f"{at}ln_1": block.layer_norm1, f"{at}ln_2": block.layer_norm2, f"{at}attn.out_proj": attn.out_proj}
        modules |= {f"{at}mlp.c_fc": block.mlp.fc1, f"{at}mlp.c_proj": block.mlp.fc2}
        for side in ("weight", "bias"):
            fused = [getattr(linear, side) for linear in (attn.q_proj, attn.k_proj, attn.v_proj)]
            state[f"{prefix}{at}attn.in_proj_{side}"] = torch.cat(fused)
    state |= {f"{prefix}{name}.{side}": getattr(m, side) for name, m in modules.items() for side in ("weight", "bias")}
    return {name: value.detach().clone().contiguous() for name, value in state.items()}


# Vita-CLIP -----------------------------------------------------------------------------------------------------------


def vita_clip(clip, names: list[str], *, num_frames: int = 4, num_global: int = 3, num_context: int = 2):
    """Its state dict: the frozen towers are those of `clip`."""
    image, text, width = clip.image, clip.text, clip.image.width
    frozen = {
        "visual.cls_token": image.embeddings.class_embedding,
        "visual.pos_embed": image.embeddings.position_embedding.weight,
        "visual.patch_embed.proj.weight": image.embeddings.patch_embedding.weight,
        "visual.patch_embed.proj.bias": torch.zeros(width),
        "visual.proj": image.projection.weight.T,
        **text_of(clip, "textual."),
    }
    norms = [("visual.ln_pre", image.pre_norm), ("visual.ln_post", image.post_norm)]
    shapes: dict[str, tuple[int, ...]] = {
        "visual.time_embed": (num_frames, width),
        "visual.global_prompts": (len(image.layers), num_global, width),
        "prompt_learner.ctx": (len(names), num_context, text.width),
        "logit_scale": (),
    }
    for number, block in enumerate(image.layers):
        prefix, attn = f"visual.blocks.{number}.", block.self_attn
        norms += [(f"{prefix}norm1", block.layer_norm1), (f"{prefix}norm2", block.layer_norm2)]
        norms += [(f"{prefix}mlp.fc1", block.mlp.fc1), (f"{prefix}mlp.fc2", block.mlp.fc2)]
        parts = {"q": attn.q_proj, "k": attn.k_proj, "v": attn.v_proj, "out": attn.out_proj}
        norms += [(f"{prefix}attn.{part}_proj", linear) for part, linear in parts.items()]
        shapes[f"{prefix}local_prompts"] = (1, num_frames, width)
        for name in ("cls_proj", *(f"summary_attn_layer.{part}_proj" for part in parts)):
            shapes |= {f"{prefix}{name}.weight": (width, width), f"{prefix}{name}.bias": (width,)}
        shapes |= {f"{prefix}summary_ln.{side}": (width,) for side in ("weight", "bias")}
    frozen |= {f"{name}.{side}": getattr(module, side) for name, module in norms for side in ("weight", "bias")}
    ids, _ = tokenize([" ".join(["X"] * num_context) + f" {name}." for name in names], clip)
    own, _ = tokenize([f"{name}." for name in names], clip)
    prompts = text.embeddings.token_embedding.weight[own]
    return {
        **{name: value.detach().clone().contiguous() for name, value in frozen.items()},
        **draw(shapes),
        "prompt_learner.token_prefix": prompts[:, :1].detach().clone(),
        "prompt_learner.token_suffix": prompts[:, 1 : ids.shape[1] - num_context].detach().clone(),
    }


def vita_clip_logits(state, video, clip, names: list[str]):
    num_clips, num_frames = video.shape[:2]
    heads = clip.image.num_heads
    tokens = patches(state, "visual.", video.flatten(0, 1), "patch_embed.proj")
    classes = state["visual.cls_token"].expand(len(tokens), 1, -1)
    x = torch.cat([classes, tokens], 1) + state["visual.pos_embed"]
    x = x.unflatten(0, (num_clips, num_frames)) + state["visual.time_embed"][:, None]
    x = norm(x.flatten(0, 1), state, "visual.ln_pre")
    for number in range(len(clip.image.layers)):
        prefix = f"visual.blocks.{number}."
        linear = lambda y, name, p=prefix: y @ state[f"{p}{name}.weight"].T + state[f"{p}{name}.bias"]  # noqa: E731
        p = linear(x[:, 0].unflatten(0, (num_clips, num_frames)), "cls_proj")
        y = norm(p, state, f"{prefix}summary_ln")
        summary = p + attend(y, y, *split(state, f"{prefix}summary_attn_layer."), heads)
        local = (state[f"{prefix}local_prompts"] + p).repeat_interleave(num_frames, 0)
        shared = state["visual.global_prompts"][number].expand(len(x), -1, -1)
        z = torch.cat([x, summary.flatten(0, 1)[:, None], local, shared], 1)
        y = norm(z, state, f"{prefix}norm1")
        x = (z + attend(y, y, *split(state, f"{prefix}attn."), heads))[:, : x.shape[1]]
        x = x + linear(quick_gelu(linear(norm(x, state, f"{prefix}norm2"), "mlp.fc1")), "mlp.fc2")
    frames = norm(x[:, 0], state, "visual.ln_post") @ state["visual.proj"]
    context = state["prompt_learner.ctx"]
    context = context if context.ndim == 3 else context.expand(len(names), -1, -1)
    prompts = torch.cat([state["prompt_learner.token_prefix"], context, state["prompt_learner.token_suffix"]], 1)
    _, eot = tokenize([f"{name}." for name in names], clip)
    text = encode_tokens(state, "textual.", prompts, eot + context.shape[1], clip)
    return state["logit_scale"].exp() * cosines(frames.unflatten(0, (num_clips, num_frames)).mean(1), text)


def split(state, prefix: str):
    """Weights and biases of queries, keys and values, and those of the output."""
    parts = [[state[f"{prefix}{part}_proj.{side}"] for part in "qkv"] for side in ("weight", "bias")]
    return *parts, state[f"{prefix}out_proj.weight"], state[f"{prefix}out_proj.bias"]


# X-CLIP --------------------------------------------------------------------------------------------------------------


def xclip(clip, names: list[str], *, num_frames: int = 4):
    """Its state dict in the authors' names: the frozen text tower is that of `clip`."""
    width, joint = clip.image.width, clip.embed_dim
    shapes = image_shapes("visual.", clip)
    for number in range(len(clip.image.layers)):
        prefix = f"visual.transformer.resblocks.{number}.message_"
        shapes |= {f"{prefix}fc.weight": (width, width), f"{prefix}fc.bias": (width,)}
        shapes |= {f"{prefix}ln.{side}": (width,) for side in ("weight", "bias")}
        attention = layer_shapes(f"{prefix}", width)
        shapes |= {name: shape for name, shape in attention.items() if "attn" in name}
    shapes["mit.positional_embedding"] = (1, num_frames, joint)
    shapes |= layer_shapes("mit.resblocks.0.", joint)
    shapes |= {f"prompts_visual_ln.{side}": (width,) for side in ("weight", "bias")}
    shapes |= {"prompts_visual_proj": (width, joint), "prompts_generator.alpha": (joint,)}
    shapes |= {f"prompts_generator.norm.{side}": (joint,) for side in ("weight", "bias")}
    for number in range(2):
        prefix = f"prompts_generator.decoder.{number}."
        shapes |= {f"{prefix}cross_attn.{part}_proj.weight": (joint, joint) for part in "qkv"}
        shapes |= {f"{prefix}cross_attn.proj.weight": (joint, joint), f"{prefix}cross_attn.proj.bias": (joint,)}
        shapes |= {f"{prefix}{name}.{side}": (joint,) for name in ("norm1", "norm3") for side in ("weight", "bias")}
        shapes |= {f"{prefix}mlp.0.weight": (4 * joint, joint), f"{prefix}mlp.0.bias": (4 * joint,)}
        shapes |= {f"{prefix}mlp.3.weight": (joint, 4 * joint), f"{prefix}mlp.3.bias": (joint,)}
    return {**draw(shapes), **text_of(clip, ""), "logit_scale": clip.logit_scale.detach().clone()}


def xclip_logits(state, video, clip, names: list[str]):
    heads, many, size = clip.image.num_heads, max(1, clip.embed_dim // 64), video.shape[:2]
    tokens = patches(state, "visual.", video.flatten(0, 1))
    classes = state["visual.class_embedding"].expand(len(tokens), 1, -1)
    x = norm(torch.cat([classes, tokens], 1) + state["visual.positional_embedding"], state, "visual.ln_pre")
    for number in range(len(clip.image.layers)):
        prefix = f"visual.transformer.resblocks.{number}."
        message = x[:, 0] @ state[f"{prefix}message_fc.weight"].T + state[f"{prefix}message_fc.bias"]
        message = message.unflatten(0, size)
        y = norm(message, state, f"{prefix}message_ln")
        fused = (state[f"{prefix}message_attn.in_proj_{side}"].chunk(3) for side in ("weight", "bias"))
        out = (state[f"{prefix}message_attn.out_proj.{side}"] for side in ("weight", "bias"))
        message = message + attend(y, y, *fused, *out, heads)
        x = layer(x, state, prefix, heads, extra=message.flatten(0, 1)[:, None])
    frames = (norm(x[:, 0], state, "visual.ln_post") @ state["visual.proj"]).unflatten(0, size)
    seen = norm(x[:, 1:], state, "prompts_visual_ln") @ state["prompts_visual_proj"]
    seen = norm(seen.unflatten(0, size).mean(1), state, "prompts_generator.norm")
    y = layer(frames + state["mit.positional_embedding"], state, "mit.resblocks.0.", many)
    videos = (y + frames).mean(1)
    ids, eot = tokenize(names, clip)
    text = encode_tokens(state, "", state["token_embedding.weight"][ids], eot, clip).expand(len(video), -1, -1)
    prompt = text
    for number in range(2):
        prefix = f"prompts_generator.decoder.{number}."
        weights = [state[f"{prefix}cross_attn.{part}_proj.weight"] for part in "qkv"]
        out = (state[f"{prefix}cross_attn.proj.{side}"] for side in ("weight", "bias"))
        prompt = prompt + attend(norm(prompt, state, f"{prefix}norm1"), seen, weights, (0.0,) * 3, *out, many)
        y = norm(prompt, state, f"{prefix}norm3") @ state[f"{prefix}mlp.0.weight"].T + state[f"{prefix}mlp.0.bias"]
        prompt = prompt + quick_gelu(y) @ state[f"{prefix}mlp.3.weight"].T + state[f"{prefix}mlp.3.bias"]
    text = text + state["prompts_generator.alpha"] * prompt
    text, videos = text / text.norm(dim=-1, keepdim=True), videos / videos.norm(dim=-1, keepdim=True)
    return state["logit_scale"].exp() * (text @ videos[..., None])[..., 0]


# BIKE ----------------------------------------------------------------------------------------------------------------


def bike(clip):
    """The state dicts of CLIP, whose text tower is that of `clip`, and of the video head."""
    model = draw(image_shapes("visual.", clip)) | text_of(clip, "") | {"logit_scale": torch.tensor(4.0)}
    return model, actionclip(clip)[1]


def bike_similarities(state, fusion, video, clip, names: list[str], heads: int):
    """S_V of its video branch, Video Concept Spotting with every position of the text."""
    frames = encode_frames(state, "visual.", video.flatten(0, 1), clip).unflatten(0, video.shape[:2])
    x = frames + fusion["frame_position_embeddings.weight"][: frames.shape[1]]
    for number in range(6):
        x = layer(x, fusion, f"transformer.resblocks.{number}.", heads, eps=1e-12)
    x = x + frames
    ids, eot = tokenize([f"This is a video about {name}" for name in names], clip)
    words = encode_tokens(state, "", state["token_embedding.weight"][ids], None, clip)
    words, x = words / words.norm(dim=-1, keepdim=True), x / x.norm(dim=-1, keepdim=True)
    rows = []
    for word, at in zip(words, eot):
        weight = (torch.einsum("we,nte->nwt", word, x) / 0.01).softmax(-1).mean(1)
        rows.append(torch.einsum("nt,nte->ne", weight, x) @ word[at])
    return torch.stack(rows, 1)
