"""X-CLIP: the forward pass against transformers' XCLIPModel, equations against plain loops, rates, recipes."""

import math

import pytest
import torch
import torch.nn.functional as F

from actionprompt import methods
from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.config import Pixels
from actionprompt.methods.xclip import IMAGENET_MEAN, IMAGENET_STD, PUBLISHED, RECIPES, VARIANTS, Config
from actionprompt.methods.xclip import from_transformers as renamed
from actionprompt.weights import load_clip
from actionprompt.weights.tokenizer import bpe_tokenizer

NAMES = ("sit down", "stand up", "wave")
SHAPES = {  # side, patch, image width, layers and heads, text width, layers and heads, E, vocabulary, text length
    "small": (32, 16, 48, 3, 4, 32, 2, 4, 128, 514, 40),
    "ViT-B/32": (224, 32, 768, 12, 12, 512, 12, 8, 512, 49408, 77),
    "ViT-B/16": (224, 16, 768, 12, 12, 512, 12, 8, 512, 49408, 77),
}


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(config: Config | None = None, *, noise: float = 0.1, backbone: str = "nano"):
    """A small model that has left its starting point in every trained tensor."""
    method = methods.build("xclip", load_clip(f"random:{backbone}"), NAMES, config=config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn(parameter.shape, generator=generator)
        method.set_classes(NAMES)
    return method.eval()


def of_transformers(name: str, num_frames: int):
    """XCLIPModel with every tensor random, and this shape's CLIP without weights."""
    from transformers import XCLIPConfig, XCLIPModel
    from transformers.initialization import no_init_weights

    side, patch, width, layers, heads, text_width, text_layers, text_heads, embed_dim, vocab, length = SHAPES[name]
    many = embed_dim // 64
    config = XCLIPConfig(
        vision_config={
            "image_size": side, "patch_size": patch, "hidden_size": width, "num_hidden_layers": layers,
            "intermediate_size": 4 * width, "num_attention_heads": heads, "num_frames": num_frames,
            "mit_hidden_size": embed_dim, "mit_intermediate_size": 4 * embed_dim, "mit_num_attention_heads": many,
        },
        text_config={
            "hidden_size": text_width, "num_hidden_layers": text_layers, "intermediate_size": 4 * text_width,
            "num_attention_heads": text_heads, "vocab_size": vocab, "max_position_embeddings": length,
        },
        projection_dim=embed_dim, prompt_num_attention_heads=many,
    )  # fmt: skip
    with no_init_weights():
        model = XCLIPModel(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for key, p in model.named_parameters():
            is_scale = p.ndim == 1 and "norm" in key.replace("_ln.", "_norm.") and key.endswith("weight")
            spread = 0.3 if p.ndim < 2 or "position" in key else p[0].numel() ** -0.5
            if key == "prompts_visual_projection":  # [D, E], applied from the right
                spread = len(p) ** -0.5
            p.copy_(spread * torch.randn(p.shape, generator=generator) + (1.0 if is_scale else 0.0))
    shape = CLIPShape(
        TowerShape(width, layers, heads, 4 * width), TowerShape(text_width, text_layers, text_heads, 4 * text_width),
        side, patch, vocab, length, embed_dim,
    )  # fmt: skip
    return model, CLIP(shape, bpe_tokenizer([]), name="from XCLIPModel")


@pytest.mark.parametrize(
    ("name", "num_frames"),
    [("small", 8), ("small", 3), *(pytest.param(f"ViT-B/{p}", 8, marks=pytest.mark.slow) for p in (32, 16))],
)
@torch.no_grad()
def test_the_forward_pass_is_that_of_transformers(name, num_frames):
    model, clip = of_transformers(name, num_frames)
    for parameter in clip.parameters():
        parameter.zero_()  # what the state does not hold would stay zero
    method = methods.build("xclip", clip, NAMES, config=Config(num_frames=num_frames)).eval()
    method.load_state_dict(renamed(model.state_dict()), strict=True)
    method.set_classes(NAMES)
    if name == "ViT-B/16":
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        assert trained == 131_501_056, "131.5 M are published"
    side = SHAPES[name][0]
    video = random(2, num_frames, 3, side, side)
    theirs = model(input_ids=method.ids, pixel_values=video)
    features = method.encode(video)
    ours = {
        "video": F.normalize(features[:, 0], dim=-1),
        "text": F.normalize(method.texts(features), dim=-1),
        "logits": method.head(features) / clip.logit_scale.exp(),
    }
    theirs = {
        "video": theirs.video_embeds, "text": theirs.text_embeds,
        "logits": theirs.logits_per_video / model.logit_scale.exp(),
    }  # fmt: skip
    for key, value in ours.items():
        assert value.flatten(1).std(0).max() > 1e-3, "one value for all clips shows nothing"
        assert (value - theirs[key]).abs().max() <= 1e-5, key


def test_weights_of_transformers_are_all_accounted_for():
    state = of_transformers("small", 4)[0].state_dict()
    method = methods.build("xclip", of_transformers("small", 4)[1], NAMES, config=Config(num_frames=4))
    assert renamed(state).keys() == method.state_dict().keys()
    assert renamed({**state, "text_model.embeddings.position_ids": torch.arange(40)}).keys() == renamed(state).keys()
    with pytest.raises(ValueError, match=r"it has no 'vision_model\.other'; check the file"):
        renamed({**state, "vision_model.other": torch.zeros(1)})
    for key in ("mit.position_embedding", "vision_model.encoder.layers.1.message_attn.k_proj.bias", "logit_scale"):
        with pytest.raises(RuntimeError, match="Missing key"):
            method.load_state_dict(renamed({k: v for k, v in state.items() if k != key}))


def norm_by_loops(x, norm):
    mean = sum(x) / len(x)
    return (x - mean) / (sum((x - mean) ** 2) / len(x) + norm.eps).sqrt() * norm.weight + norm.bias


def attend_by_loops(q, keys, values, num_heads):
    """One query over keys and values, head by head."""
    size, out = len(q) // num_heads, []
    for h in range(num_heads):
        rows = slice(h * size, (h + 1) * size)
        scores = [math.exp(q[rows] @ k[rows] / math.sqrt(size)) for k in keys]
        out.append(sum(s / sum(scores) * v[rows] for s, v in zip(scores, values, strict=True)))
    return torch.cat(out)


def self_attention_by_loops(x, attention):
    """MHSA of `nn.MultiheadAttention` over the vectors of a list."""
    q, k, v = (
        [w @ y + b for y in x]
        for w, b in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    return [attention.out_proj(attend_by_loops(one, k, v, attention.num_heads)) for one in q]


def mlp(x, block):
    hidden = block.fc1(x)
    return block.fc2(hidden * torch.sigmoid(1.702 * hidden))


@torch.no_grad()
def test_messages_by_loops():
    message, c = build().messages[1], random(2, 4, 32)
    got = message(c)
    for n in range(2):
        m = [message.project.weight @ c[n, t] + message.project.bias for t in range(4)]
        added = self_attention_by_loops([norm_by_loops(x, message.norm) for x in m], message.fusion)
        for t in range(4):
            torch.testing.assert_close(got[n, t], m[t] + added[t], rtol=1e-4, atol=1e-5)  # Eq. 7


@torch.no_grad()
def test_integration_by_loops():
    mit, h = build(Config(num_frames=4, mit_layers=2)).mit, random(2, 4, 16)
    got = mit(h)
    for n in range(2):
        x = [h[n, t] + mit.position[t] for t in range(4)]
        for block in mit.blocks:
            added = self_attention_by_loops([norm_by_loops(y, block.norm1) for y in x], block.attention)
            x = [y + a for y, a in zip(x, added, strict=True)]
            x = [y + mlp(norm_by_loops(y, block.norm2), block) for y in x]
        expected = sum(y + h[n, t] for t, y in enumerate(x)) / 4  # Eq. 6
        torch.testing.assert_close(got[n], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_prompts_by_loops():
    method = build(Config(num_frames=4))
    prompts, x, c = method.prompts, random(2, 4, 5, 32), random(3, 16, seed=4)
    z = prompts.patches(x)
    got = prompts(c, z)
    assert len(prompts.layers) == 2
    for n in range(2):
        seen = []
        for p in range(5):
            mean = sum(prompts.project.weight @ norm_by_loops(x[n, t, p], prompts.norm_patches) for t in range(4)) / 4
            torch.testing.assert_close(z[n, p], mean, rtol=1e-4, atol=1e-5)
            seen.append(norm_by_loops(mean, prompts.norm))
        for k in range(3):
            y = c[k]
            for layer in prompts.layers:
                keys, values = [layer.k_proj.weight @ s for s in seen], [layer.v_proj.weight @ s for s in seen]
                query = layer.q_proj.weight @ norm_by_loops(y, layer.norm1)
                y = y + layer.out_proj(attend_by_loops(query, keys, values, layer.num_heads))  # Eq. 10
                y = y + mlp(norm_by_loops(y, layer.norm2), layer)  # Eq. 10
            torch.testing.assert_close(got[n, k], c[k] + prompts.alpha * y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["nano", "siglip-nano"])
@torch.no_grad()
def test_the_message_joins_the_attention_and_is_dropped_before_the_mlp(backbone):
    method, video = build(Config(num_frames=4), backbone=backbone), random(2, 4, 3, 32, 32)
    image, bias = method.clip.image, method.clip.logit_bias
    assert (bias is None) == (backbone == "nano")

    def frame_tokens(x):  # of 4 frames: the class token, or what the pool reads from the patches
        return x[:, 0] if image.pool is None else image.pool(image.post_norm(x))

    for n in range(2):
        x = image.pre_norm(image.embed(video[n]))
        for layer, message in zip(image.layers, method.messages, strict=True):
            m = message(frame_tokens(x)[None])[0]
            x = torch.stack([layer.attend(torch.cat([x[t], m[t : t + 1]])[None])[0, :-1] for t in range(4)])  # Eq. 8
            x = x + layer.mlp(layer.layer_norm2(x))  # Eq. 9
        h = image.project(frame_tokens(x))
        patches = x[None] if image.pool is not None else x[None, :, 1:]
        assert patches.shape[2] == 4
        expected = torch.cat([method.mit(h[None]), method.prompts.patches(patches)[0]])
        torch.testing.assert_close(method.encode(video)[n], expected, rtol=1e-4, atol=1e-5)
        cosine = F.cosine_similarity(expected[:1], method.texts(expected[None])[0])
        logits = method.clip.logit_scale.exp() * cosine + (0 if bias is None else bias)  # Eq. 3
        torch.testing.assert_close(method(video)[n], logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_its_parts_it_is_clip_with_the_mean_over_the_frames():
    method, video = build(VARIANTS["clip_mean"]), random(2, 4, 3, 32, 32)
    assert not [name for name, _ in method.named_parameters() if not name.startswith("clip.")]
    mean = method.clip.image(video.flatten(0, 1)).unflatten(0, (2, 4)).mean(1)
    text = method.clip.text(list(NAMES)).sentence
    expected = method.clip.logit_scale.exp() * F.cosine_similarity(mean[:, None], text[None], dim=-1)
    torch.testing.assert_close(method(video), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_frames_are_told_apart_and_other_lengths_use_the_nearest_positions():
    method, video = build(), random(1, 8, 3, 32, 32)
    assert (method(video) - method(video.flip(1))).abs().max() > 1e-3, "the positions of the MIT"
    h = random(1, 4, 16)
    rows = method.mit.position[[0, 2, 4, 6]]
    torch.testing.assert_close(method.mit(h), (method.mit.blocks(h + rows) + h).mean(1))


def test_new_layers_learn_ten_times_as_fast_and_vectors_and_positions_do_not_decay():
    method = build(VARIANTS["tune_both"])
    names = {id(p): name for name, p in method.named_parameters()}
    found = {
        names[id(p)]: (group["lr"], group.get("weight_decay"))
        for group in method.param_groups(1e-3)
        for p in group["params"]
    }
    assert len(found) == len(names)
    for name, (lr, decay) in found.items():
        assert lr == pytest.approx(1e-3 if name.startswith("clip.") else 1e-2), name
        assert decay == (0.0 if method.get_parameter(name).ndim < 2 or "position" in name else None), name


@pytest.mark.parametrize(
    ("variant", "trained"),
    [("", "image"), ("tune_both", "image text"), ("tune_text", "text"), ("tune_none", "")],
)
def test_table_7_says_which_tower_is_tuned(variant, trained):
    method = build(VARIANTS[variant] if variant else None)
    for tower in ("image", "text"):
        assert {p.requires_grad for p in getattr(method.clip, tower).parameters()} == {tower in trained}
    assert method.clip.logit_scale.requires_grad == ("text" in trained)
    assert all(p.requires_grad for name, p in method.named_parameters() if not name.startswith("clip."))


def test_pixels_are_normalised_with_imagenets_numbers():
    pixels = build().clip.pixels
    assert (pixels.mean, pixels.std) == (IMAGENET_MEAN, IMAGENET_STD)
    clip, own = load_clip("random:nano"), Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear", "squash")
    clip.pixels = own
    assert methods.build("xclip", clip, NAMES).clip.pixels == own


def test_starting_values_are_those_of_the_public_code():
    method = build(noise=0.0)
    prompts, block = method.prompts, method.mit.blocks[0]
    assert prompts.project.weight.std().item() == pytest.approx(1, rel=0.1)
    assert prompts.alpha.eq(0.1).all()
    for tensor in (prompts.layers[0].k_proj.weight, prompts.layers[1].fc2.weight, block.fc1.weight,
                   block.attention.out_proj.weight, method.mit.position):  # fmt: skip
        assert tensor.std().item() == pytest.approx(0.02, rel=0.15)
    assert not prompts.layers[0].out_proj.bias.any()
    assert not block.fc2.bias.any()


def test_recipes_are_table_s1():
    for name, lr, epochs, batch_size in (
        ("closed-set", 8e-6, 30, 256), ("few-shot", 2e-6, 50, 64), ("zero-shot", 8e-6, 10, 256),
    ):  # fmt: skip
        defaults = methods.defaults("xclip", recipe=name, protocol=name, dataset="hmdb51", variant="frames_32")
        train = defaults.train
        assert (train.lr, train.epochs, train.batch_size, train.weight_decay) == (lr, epochs, batch_size, 0.001)
        assert (train.warmup_epochs, train.label_smoothing, train.mixup, train.betas) == (5, 0.1, 0.8, (0.9, 0.98))
        assert defaults.data.num_frames == 32
        assert (defaults.data.num_views, defaults.data.resize_side) == (
            (12, None) if name == "closed-set" else (1, 256)
        )
        assert RECIPES[name].protocols == (name,)


def test_published_numbers_belong_to_configurations_that_exist():
    for item in PUBLISHED:
        assert item.variant in {"", *VARIANTS}
        config = VARIANTS[item.variant] if item.variant else Config()
        assert item.num_frames in (None, config.num_frames)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"num_frames of at least 1 .* got 0, 1, 2"):
        Config(num_frames=0)
    with pytest.raises(ValueError, match=r"one \{\} for the class name, got 'no place'"):
        Config(template="no place")
