"""Vita-CLIP: prompts against plain loops, token counts, parameter counts, names with and without learned context."""

import math

import pytest
import torch
import torch.nn.functional as F

from actionprompt import methods
from actionprompt.layers import FrameAttention
from actionprompt.methods.vita_clip import RECIPES, Config, nearest_rows
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave")


@pytest.fixture(scope="module")
def clip():
    return load_clip("random:nano")


def build(clip, config=None, names=NAMES, *, noise: float = 0.1):
    """A model that has left its starting point in every trained tensor."""
    method = methods.build("vita_clip", clip, names, config=config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return method.eval()


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def norm_by_loops(x, norm):
    mean = sum(x) / len(x)
    deviation = (sum((x - mean) ** 2) / len(x) + norm.eps).sqrt()
    return (x - mean) / deviation * norm.weight + norm.bias


def attention_by_loops(queries, keys, attention):
    """Multi-head attention of vectors over vectors, one head, query and key at a time."""
    heads, width = attention.num_heads, attention.embed_dim
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    size, out = width // heads, []
    for q in queries:
        parts = []
        for h in range(heads):
            rows = slice(h * size, (h + 1) * size)
            q_h = weights[0][rows] @ q + biases[0][rows]
            scores = [(weights[1][rows] @ k + biases[1][rows]) @ q_h / math.sqrt(size) for k in keys]
            total = sum(score.exp() for score in scores)
            values = [weights[2][rows] @ k + biases[2][rows] for k in keys]
            parts.append(sum(score.exp() / total * value for score, value in zip(scores, values, strict=True)))
        out.append(attention.out_proj.weight @ torch.cat(parts) + attention.out_proj.bias)
    return out


@torch.no_grad()
def test_the_prompts_of_a_layer_by_loops(clip):
    prompts = build(clip, Config(num_frames=4, num_global=3)).prompts[1]
    c = random(2, 4, 32)
    got = prompts(c)
    assert got.shape == (2, 4, 1 + 4 + 3, 32)
    for n in range(2):
        p = [prompts.project.weight @ c[n, t] + prompts.project.bias for t in range(4)]
        seen = [norm_by_loops(x, prompts.summary.norm) for x in p]
        looked = attention_by_loops(seen, seen, prompts.summary.attention)
        for t in range(4):
            torch.testing.assert_close(got[n, t, 0], p[t] + looked[t], rtol=1e-5, atol=1e-5)
            for other in range(4):  # every frame receives the local prompts of all frames
                expected = prompts.local_prompts[other] + p[other]
                torch.testing.assert_close(got[n, t, 1 + other], expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(got[n, t, 5:], prompts.global_prompts, rtol=0, atol=0)


@torch.no_grad()
def test_the_whole_tower_by_the_plain_formula(clip):
    method, video = build(clip, Config(num_frames=4)), random(2, 4, 3, 32, 32)
    for n in range(2):
        x = torch.stack([clip.image.embed(video[n, t : t + 1])[0] + method.time[t] for t in range(4)])
        x = clip.image.pre_norm(x)
        for layer, prompts in zip(clip.image.layers, method.prompts, strict=True):
            tokens = prompts(x[None, :, 0])[0]
            attended = []
            for t in range(4):
                y = layer.layer_norm1(torch.cat([x[t], tokens[t]]))[None]
                q, k, v = (getattr(layer.self_attn, f"{name}_proj")(y).unflatten(-1, (-1, 8)) for name in "qkv")
                weights = (torch.einsum("blhd,bmhd->bhlm", q, k) / math.sqrt(8)).softmax(-1)
                z = layer.self_attn.out_proj(torch.einsum("bhlm,bmhd->blhd", weights, v).flatten(2))[0]
                attended.append(x[t] + z[: len(x[t])])
            x = torch.stack([z + layer.mlp(layer.layer_norm2(z)) for z in attended])
        expected = sum(clip.image.project(x[t, 0]) for t in range(4)) / 4
        torch.testing.assert_close(method.encode(video)[n], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_text_is_context_then_name_and_logits_are_scaled_cosines(clip):
    method = build(clip)
    for k, name in enumerate(NAMES):
        ids = clip.text.tokenize([f"{name}."])
        table = clip.text.embeddings.token_embedding.weight
        tokens = torch.cat([table[ids[0, :1]], method.context[k], table[ids[0, 1:]]])
        assert len(tokens) == 1 + 8 + len(f"{name}.".replace(" ", "")) + 1, "SOS, context, a token per letter, EOT"
        sentence = clip.text.encode(tokens[None], torch.tensor([len(tokens)])).sentence[0]
        torch.testing.assert_close(method.class_features()[k], sentence, rtol=1e-5, atol=1e-5)
        v = random(2, 16)
        cosine = F.cosine_similarity(v, sentence[None])
        torch.testing.assert_close(method.head(v)[:, k], method.logit_scale.exp() * cosine, rtol=1e-4, atol=1e-5)
    assert build(clip, noise=0.0).logit_scale.exp().item() == pytest.approx(1 / 0.07)


def test_a_row_per_frame_is_the_nearest():
    table = random(8, 5)
    for num_frames in (1, 3, 4, 8, 16, 20):
        expected = F.interpolate(table.T[None], size=num_frames, mode="nearest")[0].T
        torch.testing.assert_close(nearest_rows(table, num_frames), expected, rtol=0, atol=0)


def test_the_token_over_frames_starts_from_xavier():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = FrameAttention(64, 4).attention
    for weight in (*attention.in_proj_weight.chunk(3), attention.out_proj.weight):
        bound = math.sqrt(6 / (64 + 64))
        assert 0.99 * bound < weight.abs().max() <= bound
    assert not attention.in_proj_bias.any()
    assert not attention.out_proj.bias.any()


@torch.no_grad()
def test_names_without_learned_context_have_the_frozen_feature_of_the_template(clip):
    method = build(clip)
    learned = method.class_features()
    method.set_classes(["jump", "wave"])
    mixed = method.class_features()
    torch.testing.assert_close(mixed[0], clip.text(["jump."]).sentence[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mixed[1], learned[2], rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="call set_classes with those before saving"):
        method.trained_state()
    shared = build(clip, Config(class_context=False))
    before = shared.class_features()
    shared.set_classes(["jump", "wave"])
    torch.testing.assert_close(shared.class_features()[1], before[2], rtol=1e-5, atol=1e-5)
    assert (shared.class_features()[0] - clip.text(["jump."]).sentence[0]).abs().max() > 0.01, (
        "the context serves it, too"
    )


def test_nonsense_is_answered_in_one_line(clip, as_users_call):
    with pytest.raises(ValueError, match=r"at most 120 tokens and 8 learned ones, got 203 for 'aaaa"):
        methods.build("vita_clip", clip, ["a" * 200, "b"])
    with pytest.raises(ValueError, match=r"one \{\} for the class name, got 'a video'"):
        Config(template="a video")
    with pytest.raises(ValueError, match="num_frames of at least 1"):
        Config(num_frames=0)
    with pytest.raises(ValueError, match="axes 1 and 2 look swapped"):
        build(clip).encode(torch.zeros(1, 3, 4, 32, 32))


def test_parameters_and_tokens_at_full_size():
    clip = load_clip("random:ViT-B/16")
    method = methods.build("vita_clip", clip, ["sit", "stand"])
    shapes = {name: p.numel() for name, p in method.named_parameters() if p.requires_grad}
    table = {"project": 7_087_104, "summary": 28_366_848, "local_prompts": 73_728, "global_prompts": 73_728}
    for part, number in table.items():
        assert sum(size for name, size in shapes.items() if part in name) == number
    fixed = sum(shapes.values()) - shapes["context"]
    assert fixed == 35_607_553
    assert shapes["context"] == 2 * 4096
    assert fixed + 400 * 4096 == 37_245_953
    assert fixed + 400 * 2 * 4096 == 38_884_353, "16 context tokens: the 38.88 M that are published"

    lengths = []
    layer = clip.image.layers[0]
    for half in (layer.layer_norm1, layer.layer_norm2):
        half.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    assert len(clip.image.layers) == len(method.prompts) == 12
    clip.image.layers, method.prompts = clip.image.layers[:1], method.prompts[:1]  # one is enough to count
    with torch.no_grad():
        assert method.encode(torch.zeros(1, 8, 3, 224, 224)).shape == (1, 512)
    assert lengths == [197 + 1 + 8 + 8, 197]


def test_the_script_of_the_authors_is_a_recipe():
    recipe = RECIPES["closed-set-kinetics400"].train
    steps = recipe["epochs"] * 240_000 / recipe["batch_size"]
    assert steps == pytest.approx(30_000, rel=0.01)
