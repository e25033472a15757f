"""Attention maps of any method against plain softmax attention, and the pictures made of them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from actionprompt import methods, video
from actionprompt.apps import explain
from actionprompt.apps.explain import Explanation
from actionprompt.config import DataConfig
from actionprompt.weights import TINY_WARNING, load_clip

NAMES, NAMES_ZH = ("wave", "run"), ("挥手", "跑步")


def build(name: str, variant: str | None = None, *, backbone: str = "nano"):
    module = methods.get(name)
    config = module.VARIANTS[variant] if variant else module.Config()
    if hasattr(config, "num_frames"):
        config = replace(config, num_frames=4)
    if name == "promptlearner_clip":  # its initial words are up to 17 tokens here, one for each byte
        config = replace(config, num_context=17)
    return methods.build(name, load_clip(f"random:{backbone}"), NAMES, NAMES_ZH, config=config)


def clip_frames(num_frames: int = 4) -> torch.Tensor:
    return torch.randn(2, num_frames, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def class_row(layer, tokens: torch.Tensor, num_patches: int) -> torch.Tensor:
    """Attention of token 0 over the patches behind it, averaged over the heads; tokens [L, D]."""
    x = layer.layer_norm1(tokens)
    d = x.shape[1] // layer.num_heads
    total = torch.zeros(num_patches)
    for h in range(layer.num_heads):
        part = slice(h * d, (h + 1) * d)
        query, keys = layer.self_attn.q_proj(x[0])[part], layer.self_attn.k_proj(x)[:, part]
        total += F.softmax(keys @ query / math.sqrt(d), dim=0)[1 : 1 + num_patches]
    return total / layer.num_heads


@pytest.mark.parametrize("num_layers", [1, 2])
def test_maps_are_the_class_tokens_attention_in_the_last_layers(num_layers):
    method, frames = build("zeroshot"), clip_frames()
    with torch.no_grad():
        maps = method.attention_maps(frames, num_layers=num_layers)
        x = method.clip.image.pre_norm(method.clip.image.embed(frames[1, 2:3]))
        rows = []
        for layer in method.clip.image.layers:
            rows.append(class_row(layer, x[0], 4))
            x = layer(x)
    assert maps.shape == (2, 4, 2, 2)
    torch.testing.assert_close(maps[1, 2].flatten(), torch.stack(rows[-num_layers:]).mean(0), rtol=1e-5, atol=1e-6)


def test_maps_of_prompts_are_those_of_the_tower_with_its_prompts():
    method, frames = build("dual_semantic_tpr"), clip_frames()
    with torch.no_grad():
        got = method.attention_maps(frames, num_layers=1)
        tower, prompts = method.clip.image, method.prompts
        x = tower.pre_norm(tower.embed(frames.flatten(0, 1))).unflatten(0, (2, 4))
        for layer, extra in zip(tower.layers, prompts):
            pieces = [piece.expand(2, 4, -1, -1) for piece in extra(x[:, :, 0])]
            tokens = torch.cat([x, *pieces], 2)
            x = layer(tokens.flatten(0, 1)).unflatten(0, (2, 4))[:, :, :5]
        expected = class_row(layer, tokens[1, 3], 4)
    torch.testing.assert_close(got[1, 3].flatten(), expected, rtol=1e-5, atol=1e-6)
    assert (got.sum((-1, -2)) < build("zeroshot").attention_maps(frames, num_layers=1).sum((-1, -2))).all()


def test_without_prompts_the_maps_are_frozen_clips():
    frames = clip_frames()
    frozen, baseline = build("zeroshot"), build("dual_semantic_tpr", "baseline")
    assert torch.equal(frozen.attention_maps(frames), baseline.attention_maps(frames))


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_maps(name):
    method = build(name).eval()
    if method.flow is not None:
        with pytest.raises(ValueError, match="no attention to show"):
            method.attention_maps(torch.zeros(2, 4, *method.frame_shape))
        return
    maps = method.attention_maps(clip_frames())
    assert maps.shape == (2, 4, 2, 2)
    assert maps.isfinite().all()
    assert (maps >= 0).all()
    assert (maps.sum((-1, -2)) <= 1 + 1e-5).all()


def probe_row(tower, tokens: torch.Tensor) -> torch.Tensor:
    """Attention of the probe of the attention pool over the patches, averaged over the heads; tokens [P, D]."""
    x, attention = tower.post_norm(tokens), tower.pool.attention
    query, keys = attention.q_proj(tower.pool.probe), attention.k_proj(x)
    d, total = len(query) // tower.num_heads, torch.zeros(len(x))
    for h in range(tower.num_heads):
        part = slice(h * d, (h + 1) * d)
        total += F.softmax(keys[:, part] @ query[part] / math.sqrt(d), dim=0)
    return total / tower.num_heads


def test_with_an_attention_pool_the_maps_are_its_probes_attention():
    method, frames = build("zeroshot", backbone="siglip-nano"), clip_frames()
    with torch.no_grad():
        maps = method.attention_maps(frames)
        assert torch.equal(maps, method.attention_maps(frames, num_layers=1))
        x = method.clip.image.embed(frames[1, 2:3])
        for layer in method.clip.image.layers:
            x = layer(x)
        expected = probe_row(method.clip.image, x[0])
    assert (expected - 1 / 4).abs().max() > 0.01
    torch.testing.assert_close(maps[1, 2].flatten(), expected, rtol=1e-5, atol=1e-6)


def test_with_an_attention_pool_the_maps_of_prompts_are_those_at_the_end_of_the_tower():
    method, frames = build("dual_semantic_tpr", backbone="siglip2-nano"), clip_frames()
    with torch.no_grad():
        got, tower = method.attention_maps(frames), method.clip.image
        x = tower.embed(frames.flatten(0, 1)).unflatten(0, (2, 4))
        for layer, extra in zip(tower.layers, method.prompts):
            probes = tower.pool(tower.post_norm(x.flatten(0, 1))).unflatten(0, (2, 4))
            pieces = [piece.expand(2, 4, -1, -1) for piece in extra(probes)]
            x = layer(torch.cat([x, *pieces], 2).flatten(0, 1)).unflatten(0, (2, 4))[:, :, :4]
    torch.testing.assert_close(got[1, 3].flatten(), probe_row(tower, x[1, 3]), rtol=1e-5, atol=1e-6)
    assert tower.pool.record is None


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_maps_with_an_attention_pool(name):
    if name == "i3d_flow":
        return
    maps = build(name, backbone="siglip2-nano").eval().attention_maps(clip_frames())
    assert maps.shape == (2, 4, 2, 2)
    torch.testing.assert_close(maps.sum((-1, -2)), torch.ones(2, 4))


def test_a_tower_that_averages_its_patches_has_nothing_to_show():
    method = build("vifi_clip", backbone="clipa-nano")
    with pytest.raises(ValueError, match=r"'random:clipa-nano' averages its patches.* need one with a class token"):
        method.attention_maps(clip_frames())


def test_nothing_is_taken_down_afterwards_even_after_an_error(monkeypatch):
    method = build("zeroshot")
    method.attention_maps(clip_frames())
    assert all(layer.record is None for layer in method.clip.image.layers)
    monkeypatch.setattr(method, "encode", lambda video: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        method.attention_maps(clip_frames())
    assert all(layer.record is None for layer in method.clip.image.layers)


def test_a_method_round_the_towers_attention_is_refused(monkeypatch):
    method = build("zeroshot")
    monkeypatch.setattr(method, "encode", lambda video: video.mean())
    with pytest.raises(ValueError, match="offers no attention maps"):
        method.attention_maps(clip_frames())


def test_attention_weights_take_the_bias_of_attend():
    layer, x = load_clip("random:nano").image.layers[0], torch.randn(2, 5, 32)
    bias = torch.zeros(5, 5)
    bias[:, 3] = -torch.inf
    weights = layer.attention_weights(x, bias)
    assert not weights[..., 3].any()
    with torch.no_grad():
        values = layer._qkv(x)[2]
        by_hand = x + layer.self_attn.out_proj((weights @ values).transpose(1, 2).flatten(2))
        torch.testing.assert_close(layer.attend(x, bias), by_hand, rtol=1e-5, atol=1e-5)


# Pictures ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip_path(tmp_path):
    """A folder of pictures, wider than high, each of another grey."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(8):
        Image.new("RGB", (64, 48), (index * 30,) * 3).save(folder / f"{index}.png")
    return folder


def test_explain_shows_the_frames_the_model_saw(clip_path):
    shown = explain.explain(clip_path, build("dual_semantic_tpr"), DataConfig(num_frames=4, num_clips=2, num_crops=3))
    assert list(shown.maps) == ["frozen CLIP", "dual_semantic_tpr"]
    assert [maps.shape for maps in shown.maps.values()] == [(4, 2, 2)] * 2
    assert shown.frames.shape == (4, 32, 32, 3)
    assert shown.frames[:, 16, 16, 0].tolist() == [30, 90, 150, 210]  # the centres of four segments


@pytest.mark.parametrize("backbone", ["siglip2-nano", "chinese-clip-nano"])
def test_explain_on_other_families(backbone, clip_path, tmp_path):
    shown = explain.explain(clip_path, build("vita_clip", backbone=backbone), DataConfig(num_frames=4))
    assert [maps.shape for maps in shown.maps.values()] == [(4, 2, 2)] * 2
    assert all(maps.std() > 0 for maps in shown.maps.values())
    explain.write(tmp_path / "shown.png", shown)
    assert (tmp_path / "shown.png").stat().st_size


def test_explain_passes_on_what_is_wrong_with_the_video(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    with pytest.raises(video.VideoDecodeError, match=r"broken\.mp4"):
        explain.explain(broken, build("zeroshot"), DataConfig())


def example(num_frames: int = 3, side_px: int = 40) -> Explanation:
    """Black frames; attention on the upper left quarter, more with every frame."""
    maps = np.zeros((num_frames, 4, 4), np.float32)
    maps[:, :2, :2] = np.linspace(0.1, 0.2, num_frames)[:, None, None]
    frames = np.zeros((num_frames, side_px, side_px, 3), np.uint8)
    return Explanation(Path("clip.mp4"), frames, {"frozen CLIP": maps * 0, "mine": maps})


def test_red_is_looked_at_and_green_is_not():
    shown = example()
    pixels = explain.overlay(shown.frames, shown.maps["mine"]).astype(int)
    seen, unseen = pixels[-1, 5, 5], pixels[-1, 35, 35]
    assert seen[0] > 2 * seen[1]
    assert unseen[1] > 2 * unseen[0]
    assert (np.diff(pixels[:, 5, 5, 1]) <= 0).all()  # one scale for all frames of a clip
    assert pixels[0, 5, 5, 1] > pixels[-1, 5, 5, 1]
    grey = np.full_like(shown.frames, 100)
    assert (explain.overlay(grey, shown.maps["mine"], strength=0.0) == 100).all()


def test_strip_and_movie_have_everything_in_its_place():
    shown = example()
    picture, film = explain.strip(shown), explain.movie(shown)
    tile, band = 40 + explain.MARGIN_PX, 40 + explain.MARGIN_PX + explain.BAND_PX
    assert picture.shape == (3 * band, 3 * tile + explain.MARGIN_PX, 3)
    top, left = explain.BAND_PX, explain.MARGIN_PX
    for row, pixels in enumerate(explain.rows(shown).values()):
        for column in range(3):
            y, x = row * band + top, column * tile + left
            assert (picture[y : y + 40, x : x + 40] == pixels[column]).all()
    assert film.shape[0] == 3
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0
    assert (film[1, top : top + 40, left : left + 40] == 0).all()  # the frame itself comes first


def test_the_warnings_stand_below_the_pictures():
    plain, warned = example(), replace(example(), warnings=("a line that is longer than the picture is wide", "short"))
    (height, width, _), picture = explain.strip(plain).shape, explain.strip(warned)
    assert (picture[:height] == explain.strip(plain)).all()
    lines = picture[height:].reshape(-1, explain.BAND_PX, width, 3)
    assert len(lines) >= 3
    assert all((line[..., 0] > line[..., 1] + 50).any() for line in lines)  # dark red
    film = explain.movie(warned)
    assert film.shape[1] > explain.movie(plain).shape[1]
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0


def test_a_model_on_tiny_carries_the_warning_to_video_that_actionworld_did_not_draw(clip_path):
    drawn = Path(__file__).parents[1] / "examples" / "handstand.mp4"
    method, config = methods.build("vifi_clip", load_clip("tiny"), NAMES), DataConfig(num_frames=2)
    method.clip_sha256 = method.clip.fingerprint()
    assert explain.explain(clip_path, method, config).warnings == (TINY_WARNING,)
    assert explain.explain(drawn, method, config).warnings == ()
    assert explain.explain(clip_path, build("zeroshot"), config).warnings == ()


def test_files_are_what_their_names_say(tmp_path):
    shown = example()
    for suffix in ("png", "gif", "mp4"):
        explain.write(tmp_path / "deep" / f"a.{suffix}", shown, fps=4)
    assert (np.asarray(Image.open(tmp_path / "deep/a.png")) == explain.strip(shown)).all()
    with Image.open(tmp_path / "deep/a.gif") as gif:
        assert gif.n_frames == 3
        assert gif.info["duration"] == 250
    info = video.probe(tmp_path / "deep/a.mp4")
    assert info.num_frames == 3
    frames = video.read_frames(tmp_path / "deep/a.mp4", [0, 1, 2]).astype(int)
    assert np.abs(frames - explain.movie(shown)).mean() < 10
    with pytest.raises(ValueError, match=r"\.png, \.gif, \.mp4, got .*a\.jpg"):
        explain.write(tmp_path / "a.jpg", shown)


def test_explain_on_a_real_clip(real_data, tmp_path):
    path = real_data / "videos" / "single_clips" / "k400_yoga.mp4"
    shown = explain.explain(path, build("dual_semantic_tpr"), DataConfig(num_frames=4))
    explain.write(tmp_path / "yoga.png", shown)
    with Image.open(tmp_path / "yoga.png") as picture:
        assert picture.width == 4 * (32 + explain.MARGIN_PX) + explain.MARGIN_PX
