"""The contract every method is held to. New files in `methods/` are found by themselves. `test_methods_on_families`
runs it on backbones of other families."""

import dataclasses
import math
from functools import partial
from typing import get_type_hints

import pytest
import torch
from torch import Tensor

from actionprompt import checkpoint, datasets, methods
from actionprompt.backbone import CLIP
from actionprompt.config import from_json, to_json
from actionprompt.method import Method
from actionprompt.paper import Published
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave", "clap the hands", "run")
NAMES_ZH = ("坐下", "站起来", "挥手", "拍手", "跑步")
OTHER, OTHER_ZH = ("jump", "throw a ball"), ("跳跃", "扔球")
N, T = 3, 4
BACKBONE = "nano"
"""The random weights that all tests run on."""
UNTRAINED = {("zeroshot", None), ("dual_semantic_tpr", "baseline"), ("dual_semantic_tpr", "mean_pooling")}
"""Frozen CLIP: nothing to train."""


def cases():
    for name in methods.names():
        yield pytest.param(name, None, id=name)
        for variant in methods.get(name).VARIANTS:
            yield pytest.param(name, variant, id=f"{name}-{variant}")


every = pytest.mark.parametrize(("name", "variant"), list(cases()))


def backbone() -> CLIP:
    return load_clip(f"random:{BACKBONE}")


def build(name: str, variant: str | None, *, names=NAMES, names_zh=NAMES_ZH, seed: int = 0, noise: float = 0.0):
    module = methods.get(name)
    config = module.VARIANTS[variant] if variant else module.Config()
    if hasattr(config, "num_frames"):
        config = dataclasses.replace(config, num_frames=T)
    if name == "promptlearner_clip":  # its initial words are up to 17 tokens here, one for each byte
        config = dataclasses.replace(config, num_context=17)
    method = methods.build(name, backbone(), names, names_zh, config=config, seed=seed)
    method.clip_sha256  # noqa: B018 - the hash of the backbone as loaded
    if noise:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in method.parameters():
                if parameter.requires_grad:
                    parameter += noise * torch.randn(parameter.shape, generator=generator)
            method.set_classes(names, names_zh)
    return method


def video(method: Method, n: int = N, seed: int = 1) -> Tensor:
    channels = method.frame_shape[0]
    return torch.randn(n, T, channels, 32, 32, generator=torch.Generator().manual_seed(seed))


def rows(features, index):
    """The features of some videos: `encode` gives a tensor or a dataclass of tensors with N first."""
    if isinstance(features, Tensor):
        return features[index]
    return dataclasses.replace(
        features, **{f.name: getattr(features, f.name)[index] for f in dataclasses.fields(features)}
    )


@every
def test_logits_are_finite_and_have_their_shape(name, variant):
    method = build(name, variant, noise=0.02).eval()
    with torch.no_grad():
        logits = method(video(method))
    assert logits.shape == (N, len(NAMES))
    assert logits.isfinite().all()


@every
def test_head_of_encode_is_the_whole_forward(name, variant):
    method = build(name, variant, noise=0.02).eval()
    with torch.no_grad():
        torch.testing.assert_close(method.head(method.encode(video(method))), method(video(method)), rtol=0, atol=0)


@every
def test_a_video_does_not_depend_on_the_others_in_its_batch(name, variant):
    method = build(name, variant, noise=0.02).eval()
    with torch.no_grad():
        together = method(video(method))
        alone = torch.cat([method(video(method)[i : i + 1]) for i in range(N)])
        swapped = method(video(method).flip(0)).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together, swapped, rtol=1e-4, atol=1e-4)


@every
def test_the_same_names_in_another_order_reorder_the_logits(name, variant):
    method, order = build(name, variant, noise=0.02).eval(), [3, 0, 4, 2, 1]
    with torch.no_grad():
        before = method(video(method))
        method.set_classes([NAMES[i] for i in order], [NAMES_ZH[i] for i in order])
        torch.testing.assert_close(method(video(method)), before[:, order], rtol=1e-5, atol=1e-5)
        method.set_classes(NAMES, NAMES_ZH)
        torch.testing.assert_close(method(video(method)), before, rtol=1e-5, atol=1e-5)


@every
def test_every_trained_tensor_gets_a_gradient_and_no_other_changes(name, variant):
    method = build(name, variant, noise=0.02).train()
    trained = {key: p for key, p in method.named_parameters() if p.requires_grad}
    if not trained:
        assert (name, variant) in UNTRAINED
        return
    frozen = {key: p.clone() for key, p in method.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(method.param_groups(1e-3))
    losses = method(video(method, 5), torch.tensor([0, 1, 1, 3, 4]))
    losses["loss"].backward()
    without = [key for key, p in trained.items() if p.grad is None or not p.grad.any()]
    assert not without
    before = {key: p.clone() for key, p in trained.items()}
    optimizer.step()
    still = [key for key, p in trained.items() if torch.equal(p, before[key])]
    assert not still
    assert all(torch.equal(p, frozen[key]) for key, p in method.named_parameters() if key in frozen)


@every
def test_optimiser_groups_hold_every_trained_tensor_once(name, variant):
    method = build(name, variant)
    listed = [id(p) for group in method.param_groups(1e-3) for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in method.parameters() if p.requires_grad)


@every
def test_same_seed_same_numbers(name, variant):
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        method = build(name, variant, seed=5).eval()
        with torch.no_grad():
            results.append(method(video(method)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@every
def test_saved_and_loaded_gives_equal_logits(name, variant, tmp_path):
    method = build(name, variant, noise=0.02).eval()
    with torch.no_grad():
        expected = method(video(method))
    checkpoint.save(tmp_path / "model", method)
    loaded, manifest = checkpoint.load(tmp_path / "model", clip=backbone())
    assert manifest["method"] == name
    with torch.no_grad():
        torch.testing.assert_close(loaded(video(loaded)), expected, rtol=0, atol=0)


@every
def test_other_class_names_work_or_are_refused_with_the_reason(name, variant):
    method = build(name, variant, noise=0.02).eval()
    if not method.open_vocabulary:
        with pytest.raises(ValueError, match="cannot be given other names"):
            method.set_classes(OTHER, OTHER_ZH)
        return
    with torch.no_grad():
        method.set_classes(OTHER, OTHER_ZH)
        logits = method(video(method))
        assert logits.shape == (N, 2)
        method.set_classes(NAMES, NAMES_ZH)
        again = method(video(method))
    torch.testing.assert_close(
        again, build(name, variant, noise=0.02).eval()(video(method)).detach(), rtol=1e-4, atol=1e-4
    )


@every
def test_permuted_class_names_permute_the_logits(name, variant):
    method = build(name, variant, noise=0.02).eval()
    if not method.open_vocabulary:
        pytest.skip("the classes are the rows of learned parameters")
    order = [3, 0, 4, 2, 1]
    with torch.no_grad():
        expected = method(video(method))[:, order]
        method.set_classes([NAMES[i] for i in order], [NAMES_ZH[i] for i in order])
        torch.testing.assert_close(method(video(method)), expected, rtol=1e-4, atol=1e-4)


@every
def test_runs_in_bf16_autocast(name, variant):
    method = build(name, variant, noise=0.02).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if any(p.requires_grad for p in method.parameters()):
            loss = method(video(method), torch.tensor([0, 1, 1]))["loss"]
            loss.backward()
            assert loss.isfinite()
        with torch.no_grad():
            logits = method.eval()(video(method))
    assert logits.isfinite().all()


@every
def test_frozen_features_are_one_tensor_and_do_not_train(name, variant):
    method = build(name, variant, noise=0.02).train()
    if not method.frozen_features:
        pytest.skip("encode is trained")
    features = method.encode(video(method))
    assert isinstance(features, Tensor)
    assert not features.requires_grad
    assert features.shape[0] == N


@every
def test_gradient_checkpointing_changes_no_gradient(name, variant):
    gradients = []
    for enabled in (False, True):
        method = build(name, variant, noise=0.02).train()
        if not any(p.requires_grad for p in method.parameters()):
            pytest.skip("nothing to train")
        method.clip.set_gradient_checkpointing(enabled)
        torch.manual_seed(0)
        method(video(method), torch.tensor([0, 1, 1]))["loss"].backward()
        gradients.append({key: p.grad for key, p in method.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_compiling_changes_no_score_and_no_gradient(name, as_users_call):  # the compiler cannot see through the checks
    torch.compiler.reset()
    scores, gradients = [], []
    for prepare in (lambda method: method, partial(torch.compile, backend="aot_eager")):
        method = build(name, None, noise=0.02)
        run = prepare(method)
        with torch.no_grad():
            method.eval()
            scores.append(run(video(method)))
        torch.manual_seed(0)
        if (name, None) not in UNTRAINED:
            method.train()
            run(video(method), torch.tensor([0, 1, 1]))["loss"].backward()
        gradients.append({key: p.grad for key, p in method.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@every
def test_what_training_alone_needs_cannot_touch_a_prediction(name, variant):
    method = build(name, variant, noise=0.02).eval()
    modules = list(method.training_only())
    if not modules:
        pytest.skip("every part is needed for predictions")
    with torch.no_grad():
        expected = method(video(method))
        for module in modules:
            for parameter in module.parameters():
                parameter.fill_(float("nan"))
        assert torch.equal(method(video(method)), expected)


@pytest.mark.parametrize("name", methods.names())
def test_the_file_holds_what_every_method_file_holds(name):
    module = methods.get(name)
    assert module.__doc__
    assert dataclasses.fields(module.Config) is not None
    for config in [module.Config(), *module.VARIANTS.values()]:
        assert from_json(module.Config, to_json(config)) == config
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.no_such_field = 1
    assert module.PUBLISHED is not None
    assert all(isinstance(item, Published) and 0 < item.top1 <= 100 and item.source for item in module.PUBLISHED)
    assert module.CARD.adds
    assert module.CARD.verified
    for ablation in module.ABLATIONS:
        for row in ablation.rows:
            other, _, variant = row.rpartition("/")
            assert variant in {"", *methods.get(other or name).VARIANTS}, row
    for recipe_name, recipe in module.RECIPES.items():
        assert " " not in recipe_name
        assert recipe.source
        assert set(recipe.protocols) <= {"closed-set", "few-shot", "zero-shot", "base-to-novel"}
        assert set(recipe.datasets) <= set(datasets.names())
        for dataset in recipe.datasets or ("folder",):
            for protocol in recipe.protocols:
                chosen = methods.defaults(name, recipe=recipe_name, protocol=protocol, dataset=dataset)
                assert all(getattr(chosen.train, key) == value for key, value in recipe.train.items())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", methods.names())
def test_options_are_finite_numbers(name, value):
    hints = get_type_hints(methods.get(name).Config)
    for option in (option for option, kind in hints.items() if kind in (float, float | None)):
        with pytest.raises(ValueError, match=option):
            methods.build(name, backbone(), NAMES, NAMES_ZH, config=methods.get(name).Config(**{option: value}))


def test_options_out_of_their_range_are_refused():
    with pytest.raises(ValueError, match=r"context_std of at least 0, got 16, 3, -0\.1"):
        methods.get("promptlearner_clip").Config(context_std=-0.1)
    with pytest.raises(ValueError, match=r"dropout, a probability, in \[0, 1\), got 1\.0"):
        methods.get("i3d_flow").Config(dropout=1.0)


def test_a_typo_in_a_method_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no method 'vifi_clp'; did you mean 'vifi_clip'\?"):
        methods.get("vifi_clp")


def test_video_with_swapped_axes_is_refused(as_users_call):
    method = build("zeroshot", None)
    with pytest.raises(ValueError, match=r"got \[3, 3, 4, 32, 32\]; axes 1 and 2 look swapped"):
        method.encode(video(method).transpose(1, 2))


@pytest.mark.parametrize("name", methods.names())
def test_class_names_may_come_from_generators(name, as_users_call):
    """In any place: what reads them twice still sees them all."""
    one = methods.build(name, backbone(), iter(NAMES), iter(NAMES_ZH))
    two = methods.build(name, backbone(), NAMES, NAMES_ZH)
    names, names_zh = (OTHER, OTHER_ZH) if one.open_vocabulary else (NAMES[::-1], NAMES_ZH[::-1])
    with torch.no_grad():
        one.set_classes(iter(names), iter(names_zh))
        two.set_classes(names, names_zh)
    assert (one.class_names, one.class_names_zh) == (names, names_zh)
    texts = dict(one.named_buffers())
    for key, expected in two.named_buffers():
        torch.testing.assert_close(texts[key], expected, rtol=0, atol=0)


def test_class_names_are_checked():
    method = build("zeroshot", None)
    with pytest.raises(ValueError, match="at least one class name"):
        method.set_classes([])
    with pytest.raises(ValueError, match="'wave' twice"):
        method.set_classes(["wave", "clap", "wave"])
    with pytest.raises(ValueError, match="one Chinese name per class, got 1 for 2"):
        method.set_classes(["wave", "clap"], ["挥手"])
