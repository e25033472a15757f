"""Seeing in Flowing: equations against loops, the cheap text against the plain one, and what the spec must show."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionprompt import checkpoint, data, features, methods
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.methods.seeing_in_flowing import VARIANTS, Config, Model, Motion, differences
from actionprompt.training import train
from actionprompt.video import write_video
from actionprompt.weights import load_clip
from scripts import benchmark

NAMES = ("sit", "stand up", "wave with both hands", "run", "clap")
FORMS = ("eot_cut", "late", "output")


TOWERS = ("siglip-nano", "chinese-clip-nano", "altclip-nano")
"""Without causal mask: padded to a fixed length and read at the last position; BERT, read at the first; the same with
another projection."""


@pytest.fixture(scope="module")
def clip():
    return load_clip("random:nano")


@pytest.fixture(scope="module")
def towers():
    """With biases and norms that are not those of a fresh tower."""
    found = {name: load_clip(f"random:{name}") for name in ("nano", *TOWERS)}
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for tower in found.values():
            for parameter in tower.text.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return found


def build(clip, config: Config, names=NAMES, *, noise: float = 0.1) -> Model:
    """A model that has left its starting point in every trained tensor."""
    method = methods.build("seeing_in_flowing", clip, names, config=config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return method.eval()


def frames(n: int = 3, t: int = 8, *, width: int = 16) -> torch.Tensor:
    return torch.randn(n, t, width, generator=torch.Generator().manual_seed(3))


# The motion block, by loops


def test_differences_by_loops():
    x = frames()
    assert [part.shape[1] for part in differences(x, "short")] == [7]
    assert [part.shape[1] for part in differences(x, "stride")] == [6, 5, 4, 3, 2], "20 long-term tokens at T = 8"
    assert [part.shape[1] for part in differences(x[:, :4], "stride")] == [2]
    for n in range(3):
        for t in range(7):
            torch.testing.assert_close(differences(x, "short")[0][n, t], x[n, t + 1] - x[n, t])
            torch.testing.assert_close(differences(x, "first")[0][n, t], x[n, t + 1] - x[n, 0])
        for t in range(8):
            torch.testing.assert_close(differences(x, "mean")[0][n, t], x[n, t] - sum(x[n]) / 8)
        for d in range(2, 7):
            for t in range(8 - d):
                torch.testing.assert_close(differences(x, "stride")[d - 2][n, t], x[n, t + d] - x[n, t])


@pytest.mark.parametrize("kind", ["short", "stride", "first", "mean"])
def test_identical_frames_have_no_differences(kind):
    for part in differences(frames(t=1).expand(-1, 8, -1), kind):
        assert part.abs().max() < 1e-6


def test_motion_tokens_and_vector_by_loops(clip):
    streams = build(clip, Config()).motion
    x = frames(1)[0]
    short = torch.stack([x[t + 1] - x[t] + streams.time[t] for t in range(7)])
    long = [(x[t + d] - x[t] + streams.time[t] + streams.distance[d - 2]) for d in range(2, 7) for t in range(8 - d)]
    short, long = streams.blocks[0](short[None])[0], streams.blocks[1](torch.stack(long)[None])[0]
    vector = streams.to_vector.weight @ torch.cat([short.mean(0), long.mean(0)]) + streams.to_vector.bias
    motion = streams(x[None])
    assert motion.tokens.shape == (1, 27, 16)
    torch.testing.assert_close(motion.tokens[0], torch.cat([short, long]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(motion.vector[0], vector, rtol=1e-5, atol=1e-5)


# The text, against the tower run plainly over every sentence


def plain_sentence(method: Model, name: str, motion: Motion) -> torch.Tensor:
    """One class sentence of one video, all tokens through all layers, its prompts moved where the form says."""
    tower, form = method.clip.text, method.config.text_form
    static = method.config.prompts == "static"
    ids = tower.tokenize([f"{name}."], reserve=len(method.base_prompts))
    tokens, start = tower.token_embeddings(ids), tower.tokenizer.num_start
    prompts = method.base_prompts[None]
    if form == "eot_cut" and not static:
        prompts = method.update(prompts, motion)
    x = tower.add_positions(torch.cat([tokens[:, :start], prompts, tokens[:, start:]], 1))
    end = start + prompts.shape[1]
    for layer in tower.layers[:-1]:
        x = layer(x)
    if form == "late" and not static:
        x = torch.cat([x[:, :start], method.update(x[:, start:end], motion), x[:, end:]], 1)
    x = tower.layers[-1](x)
    read = {"first": 0, "last": x.shape[1] - 1, "eot": int(tower.lengths(ids)) + prompts.shape[1] - 1}
    text = tower.project(tower.final_norm(x))[:, read[tower.pieces.readout]]
    return method.update(text[:, None], motion)[0, 0] if form == "output" and not static else text[0]


@pytest.mark.parametrize("pairs_per_chunk", [1, 4, 512])
@pytest.mark.parametrize("prompts", ["motion", "metanet", "static"])
@pytest.mark.parametrize("form", FORMS)
def test_text_equals_the_tower_run_plainly(clip, form, prompts, pairs_per_chunk):
    compare_text(build(clip, Config(text_form=form, prompts=prompts, pairs_per_chunk=pairs_per_chunk)))


@pytest.mark.parametrize("prompts", ["motion", "metanet", "static"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tower", TOWERS)
def test_text_without_causal_mask_equals_the_tower_run_plainly(towers, tower, form, prompts):
    assert not towers[tower].text.is_causal
    compare_text(build(towers[tower], Config(text_form=form, prompts=prompts, pairs_per_chunk=4)))


def compare_text(method: Model) -> None:
    """The text of three videos against `plain_sentence`, which sees one sentence at a time."""
    with torch.no_grad():
        motion = method.motion(frames(width=method.clip.embed_dim))
        text = method.text(motion).expand(3, -1, -1)
        for n in range(3):
            own = Motion(motion.tokens[n : n + 1], motion.vector[n : n + 1])
            for k, name in enumerate(NAMES):
                torch.testing.assert_close(text[n, k], plain_sentence(method, name, own), rtol=1e-4, atol=1e-5)
    if method.config.prompts != "static":
        assert (text[0] - text[1]).abs().max() > 1e-3, "the text follows the video"


@pytest.mark.parametrize("prompts", ["motion", "metanet", "static"])
@pytest.mark.parametrize("form", FORMS)
def test_shared_prefixes_and_whole_sentences_are_equal(clip, form, prompts):
    logits, gradients = [], []
    for shares_prefix in (True, False):
        method = build(clip, Config(text_form=form, prompts=prompts, pairs_per_chunk=4)).train()
        method.shares_prefix = shares_prefix
        method(None, torch.tensor([0, 1, 4]), features=frames())["loss"].backward()
        gradients.append({key: p.grad for key, p in method.named_parameters() if p.requires_grad})
        with torch.no_grad():
            logits.append(method.head(frames()))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_shared_keys_and_values_equal_causal_attention(clip):
    layer, x = clip.text.layers[0], torch.randn(2, 7, clip.text.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        keys, values = (torch.cat(pair, 2) for pair in zip(layer.keys_values(x[:, :3]), layer.keys_values(x[:, 3:])))
        mask = torch.ones(4, 7, dtype=torch.bool).tril(3)
        torch.testing.assert_close(layer.attend_to(x[:, 3:], keys, values, mask), layer.attend(x)[:, 3:])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tower", ["nano", *TOWERS])
def test_chunks_change_no_gradient(towers, tower, form):
    gradients = []
    for pairs_per_chunk in (512, 4):
        method = build(towers[tower], Config(text_form=form, pairs_per_chunk=pairs_per_chunk)).train()
        x = frames(width=method.clip.embed_dim)
        method(None, torch.tensor([0, 1, 4]), features=x)["loss"].backward()
        gradients.append({key: p.grad for key, p in method.named_parameters() if p.requires_grad})
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, rtol=1e-4, atol=1e-5)


def test_many_views_are_taken_in_groups(clip, monkeypatch):
    method = build(clip, Config(pairs_per_chunk=1))
    x = torch.cat([frames(40), frames(40) * 0.5])
    sizes = []
    whole = method.motion.forward
    monkeypatch.setattr(method.motion, "forward", lambda f: (sizes.append(len(f)), whole(f))[1])
    with torch.no_grad():
        grouped = method.head(x)
    assert max(sizes) == 64 // len(NAMES)
    assert sum(sizes) == 80
    torch.testing.assert_close(grouped, method.head(x).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["late", "output"])
@pytest.mark.parametrize("tower", TOWERS)
def test_without_causal_mask_the_early_layers_run_once_per_class_list(towers, tower, form, monkeypatch):
    method = build(towers[tower], Config(text_form=form, pairs_per_chunk=2))
    sizes = []
    whole = Model._whole
    monkeypatch.setattr(
        Model, "_whole", lambda self, c, prompts: (sizes.append(len(self.tokens[c])), whole(self, c, prompts))[1]
    )
    x = frames(width=method.clip.embed_dim)
    with torch.no_grad():
        assert torch.equal(method.head(x), method.head(x))
        assert sizes == [2, 2, 1]
        method.set_classes(NAMES[:2])
        assert method.head(x).shape == (3, 2)
        assert sizes == [2, 2, 1, 2]


def test_the_early_layers_run_once_per_class_list(clip, monkeypatch):
    method = build(clip, Config(text_form="late"))
    runs = []
    early = Model._prefix
    monkeypatch.setattr(Model, "_prefix", lambda self, prompts: (runs.append(1), early(self, prompts))[1])
    with torch.no_grad():
        first = method.head(frames())
        assert torch.equal(method.head(frames()), first)
        assert len(runs) == 1
        with torch.autocast("cpu", torch.bfloat16):
            method.head(frames())
        assert len(runs) == 2, "another precision is another text"
        method.head(frames())
        method.base_prompts += 0.5
        moved = method.head(frames())
        assert len(runs) == 4
        assert (moved - first).abs().max() > 1e-3, "a stale text would answer as before"
        method.set_classes(NAMES[:2])
        assert method.head(frames()).shape == (3, 2)
    method.train()(None, torch.tensor([0, 1, 1]), features=frames())["loss"].backward()
    method(None, torch.tensor([0, 1, 1]), features=frames())["loss"].backward()  # kept graphs would fail here
    assert len(runs) == 7
    assert method._kept is None, "a kept graph would fill the memory"


# The form


def test_the_form_follows_the_number_of_classes_and_is_recorded(clip, tmp_path):
    many = [f"action {i}" for i in range(51)]
    assert methods.build("seeing_in_flowing", clip, many[:50]).config.text_form == "eot_cut"
    method = methods.build("seeing_in_flowing", clip, many)
    assert method.config.text_form == "late"
    not_causal = methods.build(
        "seeing_in_flowing", load_clip("random:siglip-nano"), many[:2], config=Config(num_prompts=2)
    )
    assert not_causal.config.text_form == "late"
    forced = methods.build("seeing_in_flowing", clip, many, config=Config(text_form="eot_cut"))
    assert forced.config.text_form == "eot_cut"
    with torch.no_grad():
        method.set_classes(many[:3])  # zero-shot on a shorter list: what was trained stays
    checkpoint.save(tmp_path / "model", method)
    loaded, manifest = checkpoint.load(tmp_path / "model", clip=clip)
    assert manifest["config"]["text_form"] == loaded.config.text_form == "late"


# What the spec must show


@pytest.mark.parametrize("form", FORMS)
def test_training_starts_at_mean_pooled_clip_with_the_base_prompts(clip, form):
    method = methods.build("seeing_in_flowing", clip, NAMES, config=Config(text_form=form)).eval()
    x = frames()
    ids = clip.text.tokenize([f"{name}." for name in NAMES])
    tokens = clip.text.token_embeddings(ids)
    with torch.no_grad():
        assert (method.head(x) - method.head(x.flip(1))).abs().max() > 1e-5, "the scales of 0.1 let motion in"
        for scale in (method.update.alpha, method.beta_text, method.beta_video):
            scale.zero_()
        prompts = method.base_prompts.expand(len(NAMES), -1, -1)
        text = clip.text.encode(
            torch.cat([tokens[:, :1], prompts, tokens[:, 1:]], 1), clip.text.lengths(ids) + len(prompts[0])
        ).sentence
        expected = clip.logit_scale.exp() * F.normalize(x.mean(1), dim=-1) @ F.normalize(text, dim=-1).T
        torch.testing.assert_close(method.head(x), expected, rtol=1e-5, atol=1e-5)


def test_reversing_the_frames_changes_the_video_vector(clip):
    x = frames()
    alone = {"prompts": "static", "communicate_text": False, "communicate_video": False}  # logits follow v alone
    with torch.no_grad():
        for streams in ({"short": False, "spatial": False}, {"long_term": "none", "spatial": False}, {}):
            method = build(clip, Config(**alone, **streams))
            assert (method.head(x) - method.head(x.flip(1))).abs().max() > 1e-2, streams
        blind = build(clip, Config(**alone, short=False, long_term="none", spatial=False))
        torch.testing.assert_close(blind.head(x), blind.head(x.flip(1)), rtol=1e-5, atol=1e-5)


def test_communication_by_loops(clip):
    method = build(clip, Config(text_form="late"))
    x = frames(1)
    with torch.no_grad():
        motion = method.motion(x)
        video_frames = x + method.spatial(x + method.position[:8])
        v, t = video_frames.mean(1)[0] + motion.vector[0], method.text(motion)[0]
        v2 = v + method.beta_video * method.video_from_text(v[None, None], t[None])[0, 0]
        logits = []
        for k in range(len(NAMES)):
            t2 = t[k] + method.beta_text * method.text_from_video(t[k][None, None], video_frames)[0, 0]
            logits.append(clip.logit_scale.exp() * torch.dot(v2, t2) / v2.norm() / t2.norm())
        torch.testing.assert_close(method.head(x)[0], torch.stack(logits), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "gone"),
    [
        (Config(communicate_text=False), ("text_from_video", "beta_text")),
        (Config(communicate_video=False), ("video_from_text", "beta_video")),
        (Config(spatial=False), ("spatial", "position")),
        (Config(prompts="static"), ("update",)),
    ],
)
def test_a_block_that_is_switched_off_is_gone(clip, config, gone):
    left = {
        name.split(".")[0] for name in methods.build("seeing_in_flowing", clip, NAMES, config=config).trained_state()
    }
    whole = {name.split(".")[0] for name in methods.build("seeing_in_flowing", clip, NAMES).trained_state()}
    assert whole - left == set(gone)


@pytest.fixture(scope="module")
def paper_size():
    """ViT-B/16 without numbers: counting needs none."""
    with torch.device("meta"):
        return Model(Config(), load_clip("random:ViT-B/16"), NAMES)


def count(*parts) -> int:
    return sum(p.numel() for part in parts for p in (part.parameters() if hasattr(part, "parameters") else [part]))


def test_added_parameters_are_the_papers(paper_size):
    method, motion = paper_size, paper_size.motion
    by_part = {
        "short": count(motion.blocks[0]),
        "long": count(motion.blocks[1]),
        "embeddings": count(motion.time, motion.distance),
        "vector": count(motion.to_vector),
        "spatial": count(method.spatial, method.position),
        "base prompts": count(method.base_prompts),
        "update": count(method.update),
        "to text": count(method.text_from_video, method.beta_text),
        "to video": count(method.video_from_text, method.beta_video),
    }
    assert list(by_part.values()) == [
        3_152_384, 3_152_384, 6_656, 524_800, 3_156_480, 4_096, 3_153_920, 3_153_920, 3_153_920,
    ]  # fmt: skip
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    assert trained == sum(by_part.values()) == 19_458_560
    assert abs(trained / 19.5e6 - 1) < 0.01
    whole = sum(p.numel() for p in method.parameters()) - method.clip.text.embeddings.token_embedding.weight.numel()
    assert abs(whole / 143.9e6 - 1) < 0.01, "the paper's total without the token table"
    for number in [*by_part.values(), trained]:
        assert f"{number:,}" in methods.get("seeing_in_flowing").__doc__


def test_macs_are_counted_whole(clip):
    """Against a count by hand at the size of nano: E 16, W 32, 8 frames, M 8."""
    method = build(clip, Config(text_form="late"))
    num_classes, length = len(NAMES), method.names.shape[1]
    counted = benchmark("seeing_in_flowing").count_macs(method, num_frames=8)
    patches, width, layers = 4, 32, 2
    tokens = patches + 1
    layer = 12 * width**2 * tokens + 2 * tokens**2 * width
    assert counted["image_tower"] == 8 * (patches * 3 * 16**2 * width + layers * layer + width * 16)
    self_block = lambda n, e: 12 * e**2 * n + 2 * n**2 * e  # noqa: E731
    cross = lambda n, m, e: 10 * e**2 * n + 2 * e**2 * m + 2 * n * m * e  # noqa: E731
    e, w, prompts, motion = 16, 32, 8, 27
    head = self_block(7, e) + self_block(20, e) + 2 * e * e + self_block(8, e)
    head += motion * e * w + cross(prompts, motion, w)  # MAP; at nano the widths differ
    last = 2 * w * w * (1 + prompts)  # keys and values of the last layer
    last += num_classes * (10 * w * w + 2 * (1 + prompts + length) * w + w * e)  # at the EOT alone, and the projection
    head += last + cross(num_classes, 8, e) + cross(1, num_classes, e)
    assert counted["head"] == head
    names = num_classes * length
    early = (
        12 * w * w * (1 + prompts + names)
        + 2 * w * w * names
        + 2 * w * (1 + prompts) ** 2
        + 2 * w * names * (1 + prompts + length)
    )
    assert counted["once_per_class_list"] == early


# Frozen features


def test_training_from_the_cache_equals_training_from_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    rng, names, clips = np.random.default_rng(0), ("left", "right"), []
    for index in range(6):
        film = np.repeat(rng.integers(0, 80, (1, 48, 64, 3), dtype=np.uint8), 20, 0)
        for t in range(20):
            x = 2 * t if index % 2 else 38 - 2 * t
            film[t, 10:30, x : x + 20] = 200
        write_video(tmp_path / f"{index}.mp4", film, fps=10)
        clips.append(Clip(f"{index}.mp4", tmp_path / f"{index}.mp4", index % 2))
    clips = ClipList("moves", tuple(clips), names)
    config = TrainConfig(epochs=4, batch_size=4, lr=3e-3, num_workers=0, warmup_epochs=1.0)
    data_config = DataConfig(num_frames=8)
    cached = methods.build("seeing_in_flowing", load_clip("random:nano"), names)
    train(cached, clips, tmp_path / "run", config=config, data_config=data_config, device="cpu")
    cached_losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]

    method = methods.build("seeing_in_flowing", load_clip("random:nano"), names).train()
    dataset = data.VideoDataset(clips.clips, data_config, side_px=32, training=False, pixels=method.clip.pixels)
    optimizer = torch.optim.AdamW(method.param_groups(config.lr), betas=config.betas, weight_decay=config.weight_decay)
    losses: list[float] = []
    for epoch in range(4):
        for positions in data.epoch_batches(6, 4, epoch=epoch, seed=0):
            batch = data.collate([dataset[position] for position in positions])
            pixels = method.normalise(batch.video.flatten(0, 1))
            step, warm_up, total = len(losses), 2, 8
            lr = (step + 1) / (warm_up + 1) if step < warm_up else 0.5 + 0.5 * math.cos(math.pi * (step - 2) / 6)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * lr
            loss = method(pixels, batch.label)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert len(losses) == len(cached_losses) == total
    assert losses[-1] < losses[0] - 0.02, "nothing was trained"
    np.testing.assert_allclose(cached_losses, losses, rtol=0, atol=1e-5)


def test_the_cache_is_shared_with_other_methods_on_the_same_tower(clip, tmp_path):
    film = np.random.default_rng(0).integers(0, 255, (12, 40, 40, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", film, fps=10)
    clips = [Clip("a.mp4", tmp_path / "a.mp4", 0)]
    options = {"root": tmp_path, "num_workers": 0}
    config = DataConfig(num_frames=8)
    assert features.cached(methods.build("zeroshot", clip, NAMES), clips, config, **options).num_encoded == 1
    assert features.cached(methods.build("seeing_in_flowing", clip, NAMES), clips, config, **options).num_encoded == 0


# Refusals


def test_wrong_frames_and_options_are_refused(clip):
    method = build(clip, Config())
    for t in (3, 9):
        with pytest.raises(ValueError, match=rf"expected 4 to 8 frames per view .*, got {t}; sample as many, or train"):
            method.head(frames(t=t))
    assert build(clip, replace(Config(), long_term="first")).head(frames(t=2)).shape == (3, 5)
    with pytest.raises(ValueError, match="prompts='motion' needs a motion stream: keep one, or set prompts='static'"):
        Config(short=False, long_term="none")
    with pytest.raises(ValueError, match="expected num_frames of at least 4, got 3"):
        Config(num_frames=3)
    with pytest.raises(ValueError, match="expected num_prompts of at least 1, got 0"):
        Config(num_prompts=0)


def test_a_name_too_long_for_the_prompts_is_named(clip):
    with pytest.raises(ValueError, match=r"at most 120 tokens and 8 learned ones, got 125 for 'a{100}\.\.\.'; shorten"):
        methods.build("seeing_in_flowing", clip, ["run", "a" * 122])


def test_every_variant_differs_from_the_whole_method():
    assert Config() not in VARIANTS.values()
    assert len(set(VARIANTS.values())) == len(VARIANTS)
