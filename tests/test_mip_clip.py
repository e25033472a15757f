"""MIP-CLIP: equations against loops and against X-CLIP's full layer, what is detached from what, counts, Jester."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from actionprompt import commands, methods, transforms
from actionprompt.config import DataConfig, update
from actionprompt.datasets import jester, read_labels
from actionprompt.methods import mip_clip
from actionprompt.methods.mip_clip import RECIPES, VARIANTS, Alignment, Config, Reconstruction, differences
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave")
LABELS = torch.tensor([0, 1, 2, 1])


@pytest.fixture(scope="module")
def clip():
    return load_clip("random:nano")


@pytest.fixture(scope="module")
def full():
    """The method at the size of the paper; whoever changes it puts it back."""
    return methods.build("mip_clip", load_clip("random:ViT-B/16"), NAMES, seed=0)


def shake(module: nn.Module, noise: float = 0.1) -> nn.Module:
    """Leaves the starting point in every trained tensor."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return module


def build(clip, config=None, names=NAMES, *, noise: float = 0.1):
    return shake(methods.build("mip_clip", clip, names, config=config, seed=1), noise).eval()


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(loss, module):
    """Name -> gradient, None where the loss does not reach."""
    names, parameters = zip(*[(name, p) for name, p in module.named_parameters() if p.requires_grad], strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True), strict=True))


# Video Motion Prompt


def test_differences_by_loops():
    c = random(2, 8, 5)
    z = differences(c, 6)
    assert z.shape == (2, 27, 5), "27 motion tokens at T = 8"
    expected = [c[:, t + d] - c[:, t] for d in range(1, 7) for t in range(8 - d)]
    torch.testing.assert_close(z, torch.stack(expected, 1), rtol=0, atol=0)
    assert differences(c[:, :4], 6).shape[1] == 3 + 2 + 1
    assert differences(c, 2).shape[1] == 7 + 6
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        differences(c[:, :1], 6)


@torch.no_grad()
def test_a_motion_prompt_by_loops(clip):
    vmp, c = build(clip).motion[1], random(2, 4, 32)
    attention = vmp.attention.attention
    (w_q, w_k, w_v), (b_q, b_k, b_v) = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    got = vmp(c)
    assert got.shape == (2, 4, 1, 32)
    for n in range(2):
        z = [c[n, t + d] - c[n, t] for d in (1, 2, 3) for t in range(4 - d)]
        memory = [F.layer_norm(vmp.motion.weight @ x + vmp.motion.bias, (32,), *vmp.norm.parameters()) for x in z]
        for t in range(4):
            p = vmp.frame.weight @ c[n, t] + vmp.frame.bias
            q = w_q @ F.layer_norm(p, (32,), *vmp.attention.norm.parameters()) + b_q
            heads = []
            for h in range(clip.image.num_heads):
                part = slice(h * 8, (h + 1) * 8)
                weights = torch.stack([(w_k[part] @ x + b_k[part]) @ q[part] / math.sqrt(8) for x in memory]).softmax(0)
                heads.append(sum(w * (w_v[part] @ x + b_v[part]) for w, x in zip(weights, memory, strict=True)))
            m = p + attention.out_proj.weight @ torch.cat(heads) + attention.out_proj.bias
            torch.testing.assert_close(got[n, t, 0], m, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_every_layer_has_motion_prompts_of_its_own_and_a_static_clip_has_no_motion(clip):
    method = build(clip)
    assert len(method.motion) == len(clip.image.layers) == 2
    assert not torch.equal(method.motion[0].frame.weight, method.motion[1].frame.weight)
    method.time.zero_()  # otherwise even the frames of a static clip differ
    frame = random(2, 1, 3, 32, 32)
    z, content = [], []
    for vmp in method.motion:
        vmp.motion.register_forward_pre_hook(lambda _, args: z.append(args[0]))
        vmp.attention.register_forward_hook(lambda _, args, out: content.append(out - args[0]))
    method.encode(frame.expand(-1, 4, -1, -1, -1))
    assert all(not x.any() for x in z), "a static clip has no differences in any layer"
    for m_minus_p in content:  # what is left is a constant of the layer: equal for both videos and all frames
        torch.testing.assert_close(m_minus_p, m_minus_p[:1, :1].expand_as(m_minus_p), rtol=0, atol=1e-6)
    z.clear(), content.clear()
    method.encode(random(2, 4, 3, 32, 32))
    assert not z[0].any(), "before the first layer class tokens have not met the pixels"
    assert z[1].abs().max() > 0.01
    assert (content[1] - content[1][:1, :1]).abs().max() > 0.01


@torch.no_grad()
def test_only_motion_prompts_see_the_order_of_frames(clip):
    video = random(2, 4, 3, 32, 32)
    for config, sees in ((Config(), True), (VARIANTS["no_vmp"], False)):
        method = build(clip, config)
        method.time.zero_()
        change = (method.encode(video) - method.encode(video.flip(1))).abs().max()
        assert (change > 1e-3) == sees


@torch.no_grad()
def test_time_rows_for_another_number_of_frames_are_the_nearest(clip):
    method, video = build(clip, VARIANTS["no_vmp"]), random(1, 12, 3, 32, 32)
    time = F.interpolate(method.time.T[None], size=12, mode="nearest")[0].T
    frames = [clip.image.pre_norm(clip.image.embed(video[:, t]) + time[t]) for t in range(12)]
    for layer in clip.image.layers:
        frames = [layer(x) for x in frames]
    expected = sum(clip.image.project(x[:, 0]) for x in frames) / 12
    torch.testing.assert_close(method.encode(video), expected, rtol=1e-4, atol=1e-5)


def test_tokens_at_full_size(full):
    """27 motion tokens; 198 tokens inside the attention, 197 after; one layer is enough to count."""
    lengths = []
    hooks = [
        full.motion[0].motion.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1])),
        *(
            module.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
            for module in (full.clip.image.layers[0].layer_norm1, full.clip.image.layers[0].layer_norm2)
        ),
    ]
    kept = full.clip.image.layers, full.motion
    full.clip.image.layers, full.motion = (layers[:1] for layers in kept)
    try:
        with torch.no_grad():
            assert full.encode(random(1, 8, 3, 224, 224)).shape == (1, 512)
    finally:
        full.clip.image.layers, full.motion = kept
        for hook in hooks:
            hook.remove()
    assert lengths == [27, 198, 197]


# Text


def test_alignment_equals_the_full_layer_of_x_clip_whose_queries_and_keys_learn_nothing():
    """One key: softmax is 1 whatever the query, so value and output projection are all there is."""
    width, heads, n = 16, 4, 3
    ours = shake(Alignment(width, width))
    q, k, v = (nn.Linear(width, width, bias=False) for _ in range(3))  # X-CLIP's have no bias
    out, norm_query = nn.Linear(width, width), nn.LayerNorm(width)
    context, g = random(5, n, width), random(5, width, seed=4)
    with torch.no_grad():
        ours.value.weight.copy_(out.weight @ v.weight)
        ours.value.bias.copy_(out.bias)
    key = ours.norm_name(g)[:, None]
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)  # noqa: E731
    logits = split(q(norm_query(context))) @ split(k(key)).transpose(-1, -2) / math.sqrt(width / heads)
    h = context + out((logits.softmax(-1) @ split(v(key))).transpose(1, 2).flatten(2))
    hidden = ours.fc1(ours.norm(h))
    h = h + ours.fc2(hidden * torch.sigmoid(1.702 * hidden))
    full = context + ours.alpha * h
    torch.testing.assert_close(ours(context, g), full, rtol=1e-5, atol=1e-5)
    full.square().sum().backward()
    for idle in (q, k, norm_query):
        assert all(p.grad.abs().max() < 1e-5 for p in idle.parameters())
    assert v.weight.grad.abs().max() > 1e-2


def test_cat_of_11_tokens_equals_77(full):
    text = full.clip.text
    with torch.no_grad():
        context = full.alignment(full.context, text([f"{name}." for name in NAMES]).sentence)
        table = text.embeddings.token_embedding.weight
        sos, dot, eot = (table[i] for i in text.tokenize(["."])[0])
        x = torch.stack([torch.stack([sos, *context[k], dot, eot, *[eot] * 66]) for k in range(len(NAMES))])
        assert x.shape == (len(NAMES), 77, 512)
        x = text.add_positions(x)
        lengths = []
        hook = text.layers[0].mlp.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
        got = full.class_features()
        hook.remove()
        for layer in text.layers:
            x = layer(x)
        expected = text.project(text.final_norm(x[:, 10]))
    assert lengths == [11]
    got, expected = F.normalize(got, dim=-1), F.normalize(expected, dim=-1)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_cat_never_reads_the_class_name(clip):
    without = build(clip, VARIANTS["no_sa"])
    assert without.ids.unique(dim=0).shape == (1, 3), "SOS, full stop, EOT for every class"
    renamed = build(clip, VARIANTS["no_sa"], ["a", "b", "c"])
    torch.testing.assert_close(renamed.class_features(), without.class_features(), rtol=0, atol=0)
    for variant in (None, "no_cat"):  # SA or the name itself tell the classes apart
        config = VARIANTS[variant] if variant else None
        change = build(clip, config, ["a", "b", "c"]).class_features() - build(clip, config).class_features()
        assert change.abs().max() > 1e-3


# Dual-branch Feature Reconstruction, and the visual branch


def reconstruction_by_loops(r: Reconstruction, v, t, s):
    mlp = lambda x, a, b: b(a(x) * torch.sigmoid(1.702 * a(x)))  # noqa: E731
    out = torch.empty(s.shape)
    for b in range(len(v)):
        video = mlp(v[b] + sum(s[b, k] * t[k] for k in range(len(t))), r.video_in, r.video_out)
        for k in range(len(t)):
            text = mlp(t[k] + s[b, k] * v[b], r.text_in, r.text_out)
            out[b, k] = video @ text / video.norm() / text.norm()
    return out


@pytest.mark.parametrize("pairs", [4096, 7, 1])
def test_reconstruction_by_loops_in_any_chunks(pairs, monkeypatch):
    monkeypatch.setattr(mip_clip, "PAIRS_AT_ONCE", pairs)
    r = shake(Reconstruction(8))
    v, t, s = random(5, 8, seed=4).requires_grad_(), random(3, 8).requires_grad_(), 3 * random(5, 3, seed=5)
    expected, got = reconstruction_by_loops(r, v, t, s), r(v, t, s)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    weight = random(5, 3, seed=6)
    inputs = [v, t, *r.parameters()]
    slow, fast = (torch.autograd.grad((x * weight).sum(), inputs) for x in (expected, got))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(r(v, t, s), expected.detach(), rtol=1e-5, atol=1e-5)


class Largest(TorchDispatchMode):
    """The largest tensor that any operation gives, forward or backward."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.numel())
        return out


def test_no_tensor_of_all_pairs_is_ever_built(monkeypatch):
    """Kinetics-400's number of classes and a large batch, forward and backward, at a small width."""
    width, num_classes, batch = 8, 400, 256
    r, t, s = Reconstruction(width), random(num_classes, width), random(batch, num_classes)
    v = random(batch, width).requires_grad_()
    with Largest() as chunked:
        r(v, t, s).sum().backward()
    assert chunked.elements <= mip_clip.PAIRS_AT_ONCE * 4 * width
    monkeypatch.setattr(mip_clip, "PAIRS_AT_ONCE", batch * num_classes)
    with Largest() as whole:
        r(v, t, s).sum().backward()
    assert whole.elements == batch * num_classes * 4 * width, "the measure sees what it is there to see"


def test_the_confidence_is_detached_in_both_directions(clip):
    method = build(clip).train()
    losses = method(random(4, 4, 3, 32, 32), LABELS)
    matching, branch = gradients(losses["matching"], method), gradients(losses["branch"], method)
    of_branch = {name for name in matching if name.startswith("branch.")}
    of_image = {name for name in matching if name.startswith(("motion.", "time"))}
    assert len(of_branch) == 4
    for name in matching:
        reached_by_matching = matching[name] is not None and bool(matching[name].any())
        reached_by_branch = branch[name] is not None and bool(branch[name].any())
        assert reached_by_matching == (name not in of_branch), name
        assert reached_by_branch == (name in of_branch | of_image), name
    torch.testing.assert_close(losses["loss"], losses["matching"] + losses["branch"])


def test_the_cosine_confidence_is_detached_in_the_matching_and_trained_by_its_own_loss(clip, monkeypatch):
    method = build(clip, VARIANTS["zero_shot"])
    seen = []
    whole = Reconstruction.forward
    monkeypatch.setattr(Reconstruction, "forward", lambda r, v, t, s: seen.append(s) or whole(r, v, t, s))
    v = method.encode(random(4, 4, 3, 32, 32))
    losses = method.loss(v, LABELS)
    s = method.logit_scale.exp() * F.cosine_similarity(v[:, None], method.class_features()[None], dim=-1)
    torch.testing.assert_close(seen[0], s.detach(), rtol=1e-4, atol=1e-4)
    assert not seen[0].requires_grad
    torch.testing.assert_close(losses["branch"], F.cross_entropy(s, LABELS), rtol=1e-4, atol=1e-4)
    branch = gradients(losses["branch"], method)
    assert branch["context"].any()
    assert branch["reconstruction.text_in.weight"] is None


@torch.no_grad()
def test_logits_and_probabilities(clip):
    v = random(4, 16)
    method = build(clip)
    t, s = method.class_features(), method.branch(v)
    expected = method.logit_scale.exp() * reconstruction_by_loops(method.reconstruction, v, t, s)
    torch.testing.assert_close(method.head(v), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        s, F.layer_norm(v, (16,), *method.branch[0].parameters()) @ method.branch[1].weight.T + method.branch[1].bias
    )
    both = build(clip, VARIANTS["add_confidence"])
    torch.testing.assert_close(both.head(v).exp(), (expected.softmax(-1) + s.softmax(-1)) / 2, rtol=1e-4, atol=1e-5)
    plain = build(clip, VARIANTS["no_dfr"])
    cosine = F.cosine_similarity(v[:, None], plain.class_features()[None], dim=-1)
    torch.testing.assert_close(plain.head(v), plain.logit_scale.exp() * cosine, rtol=1e-4, atol=1e-4)


# Other class names


def test_a_closed_head_refuses_other_names_with_the_reason(clip):
    for variant in (None, "no_vmp", "no_cat", "no_sa", "add_confidence"):
        method = build(clip, VARIANTS[variant] if variant else None)
        assert list(method.training_only()) == []
        with pytest.raises(ValueError, match=r"own for its 3 classes .* cannot be given other names"):
            method.set_classes(["jump", "run"])


@torch.no_grad()
def test_unseen_classes_use_their_frozen_name_and_seen_ones_their_context(clip):
    method = build(clip, VARIANTS["zero_shot"])
    learned = method.class_features()
    method.set_classes(["jump", "wave", "run", "sit down"])
    g = clip.text(["jump.", "run."]).sentence
    torch.testing.assert_close(method.class_features()[[0, 2]], g, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(method.class_features()[[1, 3]], learned[[2, 0]], rtol=1e-5, atol=1e-5)
    v = random(2, 16)
    s = method.logit_scale.exp() * F.cosine_similarity(v[:, None], method.class_features()[None], dim=-1)
    expected = method.logit_scale.exp() * reconstruction_by_loops(method.reconstruction, v, method.class_features(), s)
    torch.testing.assert_close(method.head(v), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="call set_classes with those before saving"):
        method.trained_state()


@torch.no_grad()
def test_a_shared_context_takes_unseen_classes_through_cat_and_sa(clip):
    method = build(clip, VARIANTS["zero_shot_shared"])
    assert method.context.shape == (1, 8, 32)
    method.set_classes(["jump", "run"])
    g = clip.text(["jump.", "run."]).sentence
    context = method.alignment(method.context.expand(2, -1, -1), g)
    table = clip.text.embeddings.token_embedding.weight
    sos, dot, eot = (table[i].expand(2, 1, -1) for i in clip.text.tokenize(["."])[0])
    expected = clip.text.encode(torch.cat([sos, context, dot, eot], 1), torch.tensor([11, 11])).sentence
    torch.testing.assert_close(method.class_features(), expected, rtol=1e-5, atol=1e-5)
    assert (expected - g).abs().max() > 0.1


def test_a_head_that_only_trains_opens_the_model_but_not_for_training(clip):
    method = build(clip, VARIANTS["no_dfr"])
    assert list(method.training_only()) == [method.branch]
    method.set_classes(["jump", "run"])
    assert method.head(random(2, 16)).shape == (2, 2)
    with pytest.raises(ValueError, match="call set_classes with those before training"):
        method.loss(random(2, 16), torch.tensor([0, 1]))


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="branch_weight above 0 with confidence='head'"):
        Config(branch_weight=0.0)
    with pytest.raises(ValueError, match="one prompt for all classes"):
        Config(shared_context=True, alignment=False)
    with pytest.raises(ValueError, match="num_context of at least 1, got 8, 6, 0"):
        Config(num_context=0)


# Size, learning, Jester


def test_parameters_at_full_size(full):
    trained = {name: p for name, p in full.named_parameters() if p.requires_grad}
    part = lambda start: sum(p.numel() for name, p in trained.items() if name.startswith(start))  # noqa: E731
    assert part("motion.") == 12 * 3_546_624 == 42_559_488
    assert part("time") + part("logit_scale") == 6_145
    assert part("branch.0") == 1_024
    assert part("alignment.") == 2_364_928
    assert part("reconstruction.") == 4_199_424
    per_class = [name for name, p in trained.items() if p.ndim and len(p) == len(NAMES)]
    assert sorted(per_class) == ["branch.1.bias", "branch.1.weight", "context"]
    per_class = sum(trained[name].numel() for name in per_class) // len(NAMES)
    assert per_class == 4096 + 513
    fixed = part("") - len(NAMES) * per_class
    ours = {27: 49_255_452, 51: 49_366_068, 101: 49_596_518, 400: 50_974_609}
    assert {k: fixed + k * per_class for k in ours} == ours
    # X-CLIP's prompt layer: q, k, v without bias, output projection, norms of query, key and MLP, MLP, alpha
    full_sa = 3 * 512**2 + (512**2 + 512) + 3 * 1024 + (512 * 2048 + 2048) + (2048 * 512 + 512) + 512
    assert full_sa == 3_152_384
    with_full_sa = {k: round((n - part("alignment.") + full_sa) / 1e6, 2) for k, n in ours.items()}
    assert with_full_sa == {27: 50.04, 51: 50.15, 101: 50.38, 400: 51.76}


def test_it_learns_two_classes_that_differ_in_direction_alone(clip):
    """The same frames, forwards and backwards: without order there is nothing to learn."""
    forwards = random(6, 4, 3, 32, 32)
    video, labels = torch.cat([forwards, forwards.flip(1)]), torch.arange(2).repeat_interleave(6)
    method = methods.build("mip_clip", clip, ["swiping left", "swiping right"], seed=0).train()
    optimizer = torch.optim.AdamW(method.param_groups(3e-3))
    for _ in range(60):
        optimizer.zero_grad()
        method(video, labels)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        assert (method.eval()(video).argmax(1) == labels).float().mean() == 1


def test_jester_has_classes_that_are_mirror_images_and_is_never_flipped():
    names = read_labels("jester").english
    assert len(names) == jester.INFO.num_classes == 27
    mirrored = [name for name in names if {"left", "right", "clockwise", "counterclockwise"} & set(name.split())]
    assert sorted(mirrored) == [
        "sliding two fingers left", "sliding two fingers right", "swiping left", "swiping right",
        "turning hand clockwise", "turning hand counterclockwise",
    ]  # fmt: skip
    assert not jester.INFO.flip
    assert RECIPES["jester"].data["augment"]["flip"] == 0.0


@pytest.mark.parametrize(("recipe", "mirrored"), [("jester", 0), ("small", 32)])
def test_the_recipe_for_jester_mirrors_no_clip(recipe, mirrored):
    """Texture in the left half alone: it stays there, while the usual recipe moves half of the clips to the right."""
    config = update(DataConfig(), dict(RECIPES[recipe].data)).augment
    config = replace(config, crop_scale=(1, 1), crop_ratio=(1, 1), rand_augment=None)
    clips = torch.full((64, 2, 3, 32, 32), 128, dtype=torch.uint8)
    clips[..., :16] = torch.randint(0, 256, (64, 2, 3, 32, 16), generator=torch.Generator().manual_seed(0))
    out = transforms.augment(
        clips, torch.ones(64), config, side_px=32, mean=(0.5,) * 3, std=(0.5,) * 3,
        rngs=[np.random.default_rng(i) for i in range(64)],
    )  # fmt: skip
    moved = (out[..., :16].std((1, 2, 3, 4)) < out[..., 16:].std((1, 2, 3, 4))).sum().item()
    assert abs(moved - mirrored) <= (12 if mirrored else 0)


def test_jester_from_its_lists_to_a_record(tmp_path, monkeypatch, capsys):
    """Frame folders and lists as published, all 27 gestures; what would mirror the clips is refused first."""
    labels, rng = read_labels("jester"), np.random.default_rng(0)
    for part, file in (("train", "train"), ("test", "validation")):
        monkeypatch.setitem(jester.INFO.counts, (1, part), 27)
        numbers = range(1, 28) if part == "train" else range(101, 128)
        lines = [f"{number};{name}\n" for number, name in zip(numbers, labels.source)]
        (tmp_path / f"jester-v1-{file}.csv").write_text("".join(lines))
        for number in numbers:
            folder = tmp_path / "20bn-jester-v1" / str(number)
            folder.mkdir(parents=True)
            for frame in range(1, 10):
                image = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
                image.save(folder / f"{frame:05}.jpg")
    out = tmp_path / "out"
    command = (
        f"run mip_clip --clips.dataset jester --clips.root {tmp_path} --backbone random:nano --out {out} "
        "--train.epochs 1 --train.batch-size 9 --train.num-workers 0 --data.augment.rand-augment None"
    )
    assert commands.main([*command.split(), "--data.augment.flip", "0.5"]) == 2
    assert "left and right are classes of their own: expected augment.flip 0, got 0.5" in capsys.readouterr().err
    assert commands.main(command.split()) == 0, "the recommended recipe of Jester does not flip"
    record = json.loads((out / "jester" / "closed-set" / "mip_clip-s0.json").read_text())
    assert record["metrics"]["split1"]["test"]["num_clips"] == 27
    assert record["plan"]["parts"]["split1"]["train"]["classes"] == 27
    assert record["data"]["augment"]["flip"] == 0.0
