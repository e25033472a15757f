"""ActionCLIP: templates, temporal heads and the KL loss against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from actionprompt import methods
from actionprompt.methods import actionclip
from actionprompt.methods.actionclip import TEMPLATES, Config
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave", "clap the hands", "run")
LABELS = torch.tensor([0, 1, 1, 3, 1, 3])


@pytest.fixture
def on_meta():
    """Shapes without numbers: a full-size model in no time."""
    with torch.device("meta"):
        yield


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(names=NAMES, **options):
    return methods.build("actionclip", load_clip("random:nano"), names, config=Config(**options))


def frames(n: int = len(LABELS), num_frames: int = 4) -> torch.Tensor:
    return torch.randn(n, num_frames, 16, generator=generator(3))


def close(actual, expected) -> None:
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=1e-5, atol=1e-5)


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def test_there_are_sixteen_different_templates():
    assert len(set(TEMPLATES)) == 16
    assert all(template.count("{}") == 1 for template in TEMPLATES)


@torch.no_grad()
def test_a_prediction_averages_the_probabilities_of_all_templates():
    method, features = build(temporal="mean").eval(), frames()
    video, scale = unit(features.mean(1)), method.clip.logit_scale.exp()
    mean = torch.zeros(len(LABELS), len(NAMES))
    for template in TEMPLATES:
        text = unit(method.clip.text([template.format(name) for name in NAMES]).sentence)
        mean += (scale * video @ text.T).softmax(-1) / 16
    close(method.head(features).softmax(-1), mean)
    close(method.head(features).exp(), mean)


@torch.no_grad()
def test_the_loss_draws_one_template_per_clip_and_is_the_kl_both_ways():
    method, features = build(temporal="mean"), frames()
    torch.manual_seed(5)
    losses = method.loss(features, LABELS)
    torch.manual_seed(5)
    drawn = torch.randint(16, (len(LABELS),)).tolist()
    assert len(set(drawn)) > 2
    texts = [TEMPLATES[j].format(NAMES[i]) for i, j in zip(LABELS.tolist(), drawn)]
    text, video = unit(method.clip.text(texts).sentence), unit(features.mean(1))
    scale, n = float(method.clip.logit_scale.exp()), len(LABELS)
    for part, rows, columns in (("video_text", video, text), ("text_video", text, video)):
        total = 0.0
        for i in range(n):
            logits = [scale * float(rows[i] @ columns[j]) for j in range(n)]
            log_sum = max(logits) + math.log(sum(math.exp(x - max(logits)) for x in logits))
            positives = [j for j in range(n) if LABELS[j] == LABELS[i]]
            q = 1 / len(positives)
            total += sum(q * (math.log(q) - (logits[j] - log_sum)) for j in positives) / n
        close(float(losses[part]), total)
    close(losses["loss"], (losses["video_text"] + losses["text_video"]) / 2)


def test_draws_follow_torchs_generator_and_reach_every_template():
    method = build(temporal="mean")
    seen = []
    encode = method.encode_sentences
    method.encode_sentences = lambda rows: seen.append(rows.tolist()) or encode(rows)
    labels = torch.zeros(400, dtype=torch.long)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        method.loss(frames(400), labels)
    assert seen[0] == list(range(16))  # the rows of class 0, each encoded once
    few, seen = torch.tensor([0, 1, 2]), []
    method.encode_sentences = lambda rows: seen.append(rows.tolist()) or encode(rows)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        method.loss(frames(3), few)
    assert seen[0] == seen[1] != seen[2]
    assert [row // 16 for row in seen[0]] == [0, 1, 2]


@torch.no_grad()
def test_conv1d_starts_as_a_shift_in_time():
    conv, x = build(temporal="conv1d").temporal, frames()
    out = conv(x) - x
    zero = torch.zeros_like(x[:, :1])
    before, after = torch.cat([zero, x[:, :-1]], 1), torch.cat([x[:, 1:], zero], 1)
    close(out, torch.cat([before[..., :4], x[..., 4:12], after[..., 12:]], -1))


@torch.no_grad()
def test_lstm_is_its_equations():
    head, x = build(temporal="lstm").temporal, frames(2)
    lstm = head.lstm
    out = head(x)
    for n in range(2):
        h = c = torch.zeros(16)
        for t in range(4):
            gates = lstm.weight_ih_l0 @ x[n, t] + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            close(out[n, t], x[n, t] + h)


@torch.no_grad()
def test_the_transformer_starts_as_the_mean():
    features = frames()
    close(build().head(features), build(temporal="mean").head(features))


@pytest.mark.parametrize(
    ("temporal", "sees"), [("mean", False), ("conv1d", True), ("lstm", True), ("transformer", True)]
)
@torch.no_grad()
def test_which_heads_see_the_order_of_frames(temporal, sees):
    method, features = build(temporal=temporal), frames(num_frames=7)
    if temporal == "transformer":
        torch.nn.init.normal_(method.temporal.output.weight, generator=generator())
    same = torch.allclose(method.head(features), method.head(features.flip(1)), atol=1e-4)
    assert same != sees


def test_unimodal_is_a_linear_classifier_without_text():
    method, features = build(temporal="mean", classifier="linear"), frames()
    logits = features.mean(1) @ method.linear.weight.T + method.linear.bias
    close(method.head(features), logits)
    close(method.loss(features, LABELS)["loss"], F.cross_entropy(logits, LABELS))
    assert not any(p.requires_grad for p in [*method.clip.text.parameters(), method.clip.logit_scale])
    with pytest.raises(ValueError, match="cannot be given other names"):
        method.set_classes(("jump", "throw"))


@pytest.mark.parametrize(("text", "vision"), [(True, True), (True, False), (False, True), (False, False)])
def test_towers_are_tuned_apart(text, vision):
    method = build(train_text=text, train_vision=vision)
    assert all(p.requires_grad == text for p in method.clip.text.parameters())
    assert all(p.requires_grad == vision for p in method.clip.image.parameters())
    assert method.frozen_features == (not vision)
    video = torch.randn(6, 4, 3, 32, 32, generator=generator())
    method(video, LABELS)["loss"].backward()
    for tower, tuned in ((method.clip.text, text), (method.clip.image, vision)):
        assert all((p.grad is not None) == tuned for p in tower.parameters())


def test_with_a_frozen_vision_tower_it_learns_from_cached_features():
    """Table 5 of PromptLearner-CLIP: its ActionCLIP on image towers that stay as they are."""
    method = methods.build("actionclip", load_clip("random:nano"), NAMES, config=actionclip.VARIANTS["text_only"])
    video = torch.randn(6, 4, 3, 32, 32, generator=generator())
    cached = method.encode(video)
    assert not cached.requires_grad
    losses = []
    for arguments in ((video, None), (None, cached)):
        torch.manual_seed(1)  # the drawn templates
        losses.append(method(arguments[0], LABELS, features=arguments[1])["loss"])
    close(losses[0], losses[1])
    names = {name for name, p in method.named_parameters() if p.requires_grad}
    assert not any(name.startswith("clip.image.") for name in names)
    assert {name.split(".")[0] for name in names} == {"clip", "temporal"}


@pytest.mark.parametrize(
    ("dataset", "batch", "rand_augment"), [("kinetics400", 64, (2, 9)), ("hmdb51", 32, None), ("ucf101", 32, None)]
)
def test_recipes_are_the_public_configs(dataset, batch, rand_augment):
    chosen = methods.defaults("actionclip", dataset=dataset)
    augment = chosen.data.augment
    assert (chosen.train.batch_size, augment.rand_augment) == (batch, rand_augment)
    assert rand_augment is None or augment.rand_augment_kind == "ildoonet"
    assert (augment.multi_scale, augment.colour_jitter, augment.grey) == ((1, 0.875, 0.75, 0.66), 0.8, 0.2)
    assert (chosen.data.resize_side, chosen.data.num_clips, chosen.data.num_crops) == (256, 10, 3)


def test_many_sentences_are_encoded_in_parts_and_kept_while_evaluating(monkeypatch):
    method = build(names=[f"class {i:02}" for i in range(40)]).eval()
    encode, sizes = method.clip.text.encode, []
    monkeypatch.setattr(
        method.clip.text, "encode", lambda tokens, lengths: sizes.append(len(tokens)) or encode(tokens, lengths)
    )
    with torch.no_grad():
        first, second = method.head(frames()), method.head(frames())
        assert sizes == [256, 256, 128]
        assert torch.equal(first, second)
        method.set_classes(NAMES)
        assert method.head(frames()).shape == (6, 5)


def test_every_process_sees_the_clips_of_all(monkeypatch):
    method, features = build(templates=("{}",), temporal="mean"), frames()
    whole = method.loss(features, LABELS)["loss"]
    calls = iter([LABELS, unit(features.mean(1)), unit(method.clip.text([NAMES[i] for i in LABELS]).sentence)])
    monkeypatch.setattr(actionclip, "gather_batch", lambda x: next(calls))
    close(method.loss(features[:3], LABELS[:3])["loss"], whole)


def test_learning_rates_are_those_of_the_paper():
    method = build()
    rates = {id(p): group["lr"] for group in method.param_groups(1.0) for p in group["params"]}
    assert {rates[id(p)] for p in method.clip.parameters()} == {1.0}
    assert {rates[id(p)] for p in method.temporal.parameters()} == {10.0}


def test_soft_labels_are_refused(as_users_call):
    soft = F.one_hot(LABELS, 5).float()
    with pytest.raises(ValueError, match="expected one class index per clip, got soft labels; train without mixup"):
        build().loss(frames(), soft)
    assert build(classifier="linear").loss(frames(), soft)["loss"].isfinite()


def test_templates_without_a_place_for_the_name_are_refused():
    with pytest.raises(ValueError, match=r"one {} for the class name, got \['an action'\]"):
        Config(templates=("a {}", "an action"))
    with pytest.raises(ValueError, match="got none"):
        Config(templates=())


def test_parameter_counts_are_those_the_docstring_states(on_meta):
    clip = load_clip("random:ViT-B/16")

    def count(module) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,}"

    heads = {
        name: methods.build("actionclip", clip, NAMES, config=Config(temporal=name)).temporal
        for name in ("conv1d", "lstm", "transformer", "transformer_code")
    }
    stated = ", ".join(f"{name} {count(head)}" for name, head in heads.items())
    assert f"CLIP {count(clip)}; temporal head: mean 0, {stated}." in " ".join(actionclip.__doc__.split())
