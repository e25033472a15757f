"""Every method on backbones of every family: a covering set of the contract, and all of it among the slow tests; what a
method reads of a tower that is not CLIP's, against plain loops."""

import inspect

import pytest
import torch
import torch.nn.functional as F

import test_contract as contract
from actionprompt import checkpoint, methods
from actionprompt.methods import bike, dual_semantic_tpr, promptlearner_clip
from actionprompt.methods._words import label_tokens
from actionprompt.weights import load_clip
from actionprompt.weights.random import CONFIGS, OPEN_CLIP

KINDS = (
    ("metaclip2-nano",),
    ("siglip-nano", "siglip2-nano"),
    ("altclip-nano", "chinese-clip-nano"),
    ("clipa-nano",),
)
"""Families whose towers have the same pieces: CLIP's with another tokeniser; an attention pool, and texts of a fixed
length that are read at their last position; a BERT; the mean of the patches."""
FAMILIES = tuple(family for kind in KINDS for family in kind)
ON_CLIP = tuple(name for name in methods.names() if name != "i3d_flow")
CHECKS = {name: f for name, f in vars(contract).items() if contract.every.mark in getattr(f, "pytestmark", ())}
"""The tests of the contract that take every method and variant."""
COVERING = (
    "test_logits_are_finite_and_have_their_shape",
    "test_a_video_does_not_depend_on_the_others_in_its_batch",
    "test_every_trained_tensor_gets_a_gradient_and_no_other_changes",
    "test_saved_and_loaded_gives_equal_logits",
    "test_permuted_class_names_permute_the_logits",
)
VARIANTS = {
    "actionclip": "unimodal", "bike": "label_words", "dual_semantic_tpr": "baseline", "mip_clip": "zero_shot_shared",
    "promptlearner_clip": "eot", "seeing_in_flowing": "late", "vifi_clip": "text_only", "vita_clip": "one_context",
    "xclip": "tune_both", "zeroshot": "linear",
}  # fmt: skip
"""One of each method that asks something else of its backbone than the default does."""
NAMES, NAMES_ZH = contract.NAMES, contract.NAMES_ZH


def covering():
    """Every method on every kind of tower, on one of its families; the variant on every second kind."""
    for place, kind in enumerate(KINDS):
        for index, name in enumerate(ON_CLIP):
            family, variant = kind[index % len(kind)], VARIANTS.get(name) if (place + index) % 2 else None
            yield pytest.param(family, name, variant, id=f"{family}-{name}-{variant or 'default'}")


CASES = list(covering())


def run(check: str, name: str, variant: str | None, tmp_path) -> None:
    function = CHECKS[check]
    function(name, variant, **({"tmp_path": tmp_path} if "tmp_path" in inspect.signature(function).parameters else {}))


@pytest.mark.parametrize(("family", "name", "variant"), CASES)
@pytest.mark.parametrize("check", COVERING)
def test_every_method_keeps_the_contract_on_every_kind_of_tower(check, family, name, variant, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "BACKBONE", family)
    run(check, name, variant, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("check", CHECKS)
def test_every_method_and_variant_keeps_the_contract_on_every_family(check, family, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "BACKBONE", family)
    failed, num_run = {}, 0
    for index, case in enumerate(contract.cases()):
        name, variant = case.values
        if name == "i3d_flow":
            continue
        try:
            run(check, name, variant, tmp_path / str(index))
            num_run += 1
        except pytest.skip.Exception:
            pass
        except Exception as error:  # the other cases are still of interest
            failed[case.id] = error
    assert not failed
    assert num_run


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip2-nano", "chinese-clip-nano"])
@pytest.mark.parametrize("name", ON_CLIP)
def test_compiling_changes_nothing_on_other_families(name, family, as_users_call, monkeypatch):
    monkeypatch.setattr(contract, "BACKBONE", family)
    contract.test_compiling_changes_no_score_and_no_gradient(name, None)


def test_the_covering_set_has_every_family_every_method_and_every_kind():
    assert sorted(FAMILIES) == sorted(name for name in (*CONFIGS, *OPEN_CLIP) if name.endswith("-nano"))
    cases = [case.values for case in CASES]
    assert {family for family, _, _ in cases} == set(FAMILIES)
    assert {(name, kind) for kind in KINDS for family, name, _ in cases if family in kind} == {
        (name, kind) for name in ON_CLIP for kind in KINDS
    }
    assert all(variant is None or variant in methods.get(name).VARIANTS for _, name, variant in cases)
    assert {name for _, name, variant in cases if variant} == set(VARIANTS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_method_without_clip_is_refused_with_any(family):
    clip = load_clip(f"random:{family}")
    clip.name = f"somebody/{family}"
    with pytest.raises(
        ValueError, match=f"i3d_flow has no CLIP backbone: leave --backbone out, got 'somebody/{family}'"
    ):
        methods.build("i3d_flow", clip, NAMES)


# Checkpoints ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["siglip-nano", "chinese-clip-nano"])
def test_a_checkpoint_is_refused_on_every_other_backbone(family, tmp_path):
    """Most tensors of vita_clip have the same shapes on all of these, and all have on those of one family."""
    clips = {name: load_clip(f"random:{name}") for name in ("nano", *FAMILIES)}
    with torch.no_grad():
        for key in (*clips[family].state_dict(),):
            if key in ("logit_scale", "logit_bias", "image.pool.probe", "text.embeddings.type_embedding.weight"):
                clips[key] = load_clip(f"random:{family}")
                clips[key].state_dict()[key].add_(1e-3)
    hashes = {name: clip.fingerprint() for name, clip in clips.items()}
    assert len(set(hashes.values())) == len(clips) >= len(FAMILIES) + 3
    method = methods.build("vita_clip", load_clip(f"random:{family}"), NAMES)
    method.clip_sha256 = hashes[family]
    checkpoint.save(tmp_path, method)
    checkpoint.load(tmp_path, clip=clips.pop(family))
    for name, clip in clips.items():
        with pytest.raises(ValueError, match=rf"was trained on a backbone 'random:{family}' with .*; get the same"):
            checkpoint.load(tmp_path, clip=clip)
        start = methods.build("vita_clip", clip, NAMES)
        start.clip_sha256 = hashes[name]
        with pytest.raises(ValueError, match="start from a run on the same backbone"):
            checkpoint.start_from(start, tmp_path)


# What a method reads of another tower --------------------------------------------------------------------------------


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", ["siglip-nano", "siglip2-nano"])
@torch.no_grad()
def test_a_sigmoid_backbone_scores_with_its_scale_and_bias(family):
    clip = load_clip(f"random:{family}")
    clip.logit_scale.fill_(1.5)
    clip.logit_bias.fill_(-7.0)
    method, x = methods.build("zeroshot", clip, NAMES).eval(), random(2, 3, clip.embed_dim)
    logits = method.head(x)
    for n in range(2):
        frames = [frame / frame.norm() for frame in x[n]]
        video = sum(frames) / 3
        for k in range(len(NAMES)):
            cosine = torch.dot(video / video.norm(), method.text[k])
            torch.testing.assert_close(logits[n, k], 2.718281828**1.5 * cosine - 7, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bias_of_a_sigmoid_backbone_cancels_in_every_loss_over_classes(family):
    """Equal gradients with another bias; without one there is nothing to cancel."""
    clip = load_clip(f"random:{family}")
    assert (clip.logit_bias is None) == ("siglip" not in family)
    if clip.logit_bias is None:
        return
    for name in ("actionclip", "promptlearner_clip", "vifi_clip", "xclip"):
        losses = []
        for bias in (-10.0, 3.0):
            method = contract_method(name, family)
            with torch.no_grad():
                method.clip.logit_bias.fill_(bias)
            torch.manual_seed(0)
            losses.append(method.train()(contract.video(method), torch.tensor([0, 1, 1]))["loss"].detach())
            assert not method.clip.logit_bias.requires_grad
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)


def contract_method(name: str, family: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "BACKBONE", family)
        return contract.build(name, None, noise=0.02)


@pytest.mark.parametrize("family", ["siglip-nano", "chinese-clip-nano"])
@torch.no_grad()
def test_prompted_frames_without_class_token_by_loops(family):
    """vita_clip: the prompts of a layer are made of the frame tokens at its input."""
    method, video = contract_method("vita_clip", family).eval(), random(1, 4, 3, 32, 32)
    image, frames = method.clip.image, []
    for t in range(4):
        frames.append(image.pre_norm(image.embed(video[:, t]) + method.time[t]))
    for layer, prompt in zip(image.layers, method.prompts, strict=True):
        if image.pool is None:
            tokens = torch.stack([x[:, 0] for x in frames], 1)
        else:
            tokens = torch.stack([image.pool(image.post_norm(x)) for x in frames], 1)
        prompts = prompt(tokens)
        length = frames[0].shape[1]
        mixed = [layer.attend(torch.cat([x, prompts[:, t]], 1))[:, :length] for t, x in enumerate(frames)]
        frames = [layer.feed_forward(x) for x in mixed]
    if image.pool is None:
        expected = sum(image.projection(image.post_norm(x[:, 0])) for x in frames) / 4
    else:
        expected = sum(image.pool(image.post_norm(x)) for x in frames) / 4
    torch.testing.assert_close(method.encode(video), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_words_of_a_name_are_its_own_tokens_in_every_tokeniser(family):
    text = load_clip(f"random:{family}").text
    for template in ("This is a video about {}", "a video about {}.", "{} is what the video shows"):
        for name in ("wave", "sit down", "Running", "tie a knot"):
            (at,) = label_tokens(text, template, [name])
            assert at == list(range(at[0], at[0] + len(at)))
            tokens, alone = text.tokenizer.tokens(template.format(name)), text.tokenizer.tokens(name)
            start, end = text.tokenizer.num_start, len(alone) - text.tokenizer.num_end
            found = ["".join(part).strip("▁ ") for part in ([tokens[i] for i in at], alone[start:end])]
            assert found[0] == found[1]


@pytest.mark.parametrize("semantics", ["average", "eot", "parse"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_what_guides_the_graph_are_words_alone(family, semantics):
    config = promptlearner_clip.Config(num_context=17, semantics=semantics)
    method = methods.build("promptlearner_clip", load_clip(f"random:{family}"), NAMES, config=config)
    text, tokenizer = method.encode_prompts(torch.tensor([0, 3])), method.clip.tokenizer
    meaning = method.interaction.meaning(text)
    for row, name in enumerate((NAMES[0], NAMES[3])):
        length = 17 + len(tokenizer.encode([f"{name}."])[0])
        assert int(text.lengths[row]) == length
        words = text.words[row, tokenizer.num_start : length - tokenizer.num_end]
        read = {"eot": length - 1, "first": 0, "last": text.words.shape[1] - 1}[method.clip.text.pieces.readout]
        if semantics == "average":
            torch.testing.assert_close(meaning[row], sum(words) / len(words), rtol=1e-5, atol=1e-5)
        if semantics == "eot":
            torch.testing.assert_close(meaning[row], text.words[row, read])
        if semantics == "parse":
            y, weights = method.interaction.parser(
                text.sentence[row : row + 1], words[None], torch.ones(1, len(words), dtype=torch.bool)
            )
            assert (weights > 0).all()
            torch.testing.assert_close(meaning[row], y[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_bike_reads_every_position_of_a_text(family):
    """Those before the padding as in the text alone; behind it one for each position up to the context length."""
    config = bike.Config(attributes=False)
    method, text = methods.build("bike", load_clip(f"random:{family}"), NAMES, config=config), None
    text = method.clip.text
    assert method.words.shape == (len(NAMES), text.context_length, method.clip.embed_dim)
    assert (method.share == 1 / text.context_length).all()
    for k, name in enumerate(NAMES):
        alone = text([config.template.format(name)])
        words = F.normalize(text.project(alone.words[0]), dim=-1)
        torch.testing.assert_close(method.words[k, : len(words)], words, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(method.text[k], F.normalize(alone.sentence[0], dim=-1), rtol=1e-4, atol=1e-5)
        assert len(words) == text.context_length or not text.pieces.fixed_length
    assert method.words.isfinite().all()


@torch.no_grad()
def test_a_backbone_that_reads_chinese_reads_the_chinese_names_itself(monkeypatch):
    loaded, load = [], dual_semantic_tpr.load_chinese_text
    monkeypatch.setattr(dual_semantic_tpr, "load_chinese_text", lambda name: loaded.append(name) or load(name))
    for family in ("nano", *FAMILIES):
        loaded.clear()
        clip = load_clip(f"random:{family}")
        method = methods.build("dual_semantic_tpr", clip, NAMES, NAMES_ZH)
        if "动" not in clip.tokenizer.vocab:
            assert loaded == [f"random:{clip.embed_dim}"]
            continue
        assert not loaded
        for k, name in enumerate(NAMES_ZH):
            expected = F.normalize(clip.text([name]).sentence[0], dim=-1)
            torch.testing.assert_close(method.text_zh[k], expected, rtol=1e-4, atol=1e-5)
        assert (method.text_zh[0] - method.text_zh[1]).abs().max() > 1e-3
        other = methods.build(
            "dual_semantic_tpr", clip, NAMES, NAMES_ZH, config=dual_semantic_tpr.Config(chinese="random:16")
        )
        assert loaded == ["random:16"]
        assert (other.text_zh - method.text_zh).abs().max() > 1e-3
