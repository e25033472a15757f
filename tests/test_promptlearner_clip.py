"""PromptLearner-CLIP: its equations against plain loops, and what its training-only part may not do."""

import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from actionprompt import checkpoint, methods
from actionprompt.methods import promptlearner_clip as pl
from actionprompt.methods.promptlearner_clip import Config
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave", "clap the hands", "run")
LABELS = torch.tensor([0, 1, 1, 3, 1, 3])  # one class three times, one twice, one once


@pytest.fixture
def on_meta():
    """Shapes without numbers: a full-size model in no time."""
    with torch.device("meta"):
        yield


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(config: Config | None = None, names=NAMES, **options):
    return methods.build("promptlearner_clip", load_clip("random:nano"), names, config=config or Config(**options))


def frames(n: int = len(LABELS), num_frames: int = 4) -> torch.Tensor:
    return torch.randn(n, num_frames, 16, generator=generator(3))


def close(actual, expected) -> None:
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=1e-5, atol=1e-5)


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    total = sum(math.exp(v - top) for v in values)
    return [math.exp(v - top) / total for v in values]


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


# Interaction module ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_parsing_is_equations_12_to_17():
    parser = pl.Parser(6, 5, num_steps=3).double()
    s_0, s = (torch.randn(*shape, generator=generator(), dtype=torch.float64) for shape in ((2, 6), (2, 7, 5)))
    is_word = torch.tensor(
        [[False, True, True, True, False, False, False], [False, True, True, True, True, True, False]]
    )
    y, weights = parser(s_0, s, is_word)
    for i in range(2):
        words = [m for m in range(7) if is_word[i, m]]
        previous = torch.zeros(5, dtype=torch.float64)
        for step in range(3):
            q = parser.question[step].weight @ s_0[i] + parser.question[step].bias
            u = torch.tensor([*q.tolist(), *previous.tolist()], dtype=torch.float64)
            state = [max(0.0, float(row @ u + b)) for row, b in zip(parser.update.weight, parser.update.bias)]
            state = torch.tensor(state, dtype=torch.float64)
            a = []
            for m in words:
                hidden = [
                    math.tanh(float(w0 @ state + w1 @ s[i, m]))
                    for w0, w1 in zip(parser.state.weight, parser.word.weight)
                ]
                a.append(sum(w * h for w, h in zip(parser.score.weight[0].tolist(), hidden)))
            r = softmax(a)
            previous = sum(r_m * s[i, m] for r_m, m in zip(r, words))
        close(y[i], previous)
        close(weights[i, is_word[i]], torch.tensor(r, dtype=weights.dtype))


@torch.no_grad()
def test_masked_words_have_exactly_no_weight():
    parser = pl.Parser(6, 5, num_steps=3)
    s_0, s = torch.randn(2, 6, generator=generator()), torch.randn(2, 7, 5, generator=generator(1))
    is_word = torch.tensor(
        [[False, True, True, False, False, False, False], [False, True, True, True, True, True, False]]
    )
    y, weights = parser(s_0, s, is_word)
    assert weights[~is_word].eq(0).all()
    assert weights[is_word].gt(0).all()
    again, _ = parser(s_0, torch.where(is_word[:, :, None], s, 1e6), is_word)
    assert torch.equal(again, y)


@pytest.mark.parametrize("semantics", ["average", "eot", "parse"])
@torch.no_grad()
def test_what_guides_the_graph_is_made_of_context_and_class_words_alone(semantics):
    method = build(semantics=semantics)
    text = method.encode_prompts(torch.tensor([0, 3]))
    meaning = method.interaction.meaning(text)
    length = method.ids.ne(513).sum(1) - 1 + 16  # without SOS and EOT; 513 is EOT and padding here
    for row, index in enumerate((0, 3)):
        assert int(text.readout[row]) == int(length[index]) + 1
        words = text.words[row, 1 : int(length[index]) + 1]
        if semantics == "eot":
            close(meaning[row], text.words[row, int(length[index]) + 1])
            continue
        if semantics == "average":
            close(meaning[row], sum(words) / len(words))
        spoilt = text.words.clone()
        spoilt[row, 0] = spoilt[row, int(length[index]) + 1 :] = 1e6
        again = method.interaction.meaning(replace(text, words=spoilt))
        assert torch.equal(again[row], meaning[row])


@torch.no_grad()
def test_graph_is_equations_18_to_21():
    graph = pl.Graph(4, 3).double()
    v, y = (torch.randn(*shape, generator=generator(), dtype=torch.float64) for shape in ((2, 5, 4), (2, 3)))
    out = graph(v, y)
    for b in range(2):
        nodes = [torch.tensor([*v[b, k].tolist(), *y[b].tolist()], dtype=torch.float64) for k in range(5)]
        for i in range(5):
            others = [j for j in range(5) if j != i]
            alpha = softmax([float((graph.query.weight @ nodes[i]) @ (graph.key.weight @ nodes[j])) for j in others])
            mixed = nodes[i] + sum(a * nodes[j] for a, j in zip(alpha, others))
            close(out[b, i], mixed.clamp(min=0))


def test_a_single_frame_has_no_neighbours():
    graph = pl.Graph(4, 3)
    v, y = torch.randn(2, 1, 4, requires_grad=True), torch.randn(2, 3)
    out = graph(v, y)
    assert torch.equal(out[:, 0], torch.cat([v[:, 0], y], -1).relu())
    out.sum().backward()
    assert v.grad.isfinite().all()


@torch.no_grad()
def test_fusion_is_butd():
    fusion = pl.Fusion(4, 3).double()
    v, y = (torch.randn(*shape, generator=generator(), dtype=torch.float64) for shape in ((2, 5, 7), (2, 3)))

    def gated(layer, x):
        w, b = layer.linear.weight, layer.linear.bias
        half = len(b) // 2
        return torch.tensor(
            [
                math.tanh(float(w[o] @ x + b[o])) / (1 + math.exp(-float(w[half + o] @ x + b[half + o])))
                for o in range(half)
            ],
            dtype=torch.float64,
        )

    out = fusion(v, y)
    for b in range(2):
        scores = [
            float(fusion.attend[1].weight[0] @ gated(fusion.attend[0], torch.cat([v[b, k], y[b]]))) for k in range(5)
        ]
        attended = sum(a * v[b, k] for k, a in enumerate(softmax(scores)))
        close(out[b], [t * u for t, u in zip(gated(fusion.text, y[b]), gated(fusion.video, attended))])


# Losses ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rows", "softmax"])
@torch.no_grad()
def test_kl_is_equation_23_for_both_readings_of_the_label_matrix(kind):
    method = build(kl_target=kind)
    features = frames()
    parts = method.loss(features, LABELS)
    s = unit(method.encode_prompts(LABELS).sentence)
    v = unit(features.mean(1))
    scale, n = float(method.clip.logit_scale.exp()), len(LABELS)
    for part, rows, columns in (("video_text", v, s), ("text_video", s, v)):
        total = 0.0
        for i in range(n):
            p = softmax([scale * float(rows[i] @ columns[j]) for j in range(n)])
            same = [float(LABELS[i] == LABELS[j]) for j in range(n)]
            q = [x / sum(same) for x in same] if kind == "rows" else softmax([10 * x for x in same])
            total += sum(q_j * math.log(q_j / p_j) for q_j, p_j in zip(q, p) if q_j > 0) / n
        close(float(parts[part]), total)


def khosla(z: torch.Tensor, labels: list[int], tau: float) -> float:
    """Eq. 2 of Khosla et al. (2020) over I = all rows of z, divided by their number."""
    everything, total = range(len(z)), 0.0
    for i in everything:
        others = [a for a in everything if a != i]
        denominator = sum(math.exp(float(z[i] @ z[a]) / tau) for a in others)
        positives = [p for p in others if labels[p] == labels[i]]
        total -= sum(math.log(math.exp(float(z[i] @ z[p]) / tau) / denominator) for p in positives) / len(positives)
    return total / len(z)


@pytest.mark.parametrize(
    "labels", [LABELS, torch.arange(6), torch.zeros(6, dtype=torch.long)], ids=["mixed", "once", "one"]
)
def test_contrastive_loss_is_khosla_et_al_and_equation_24(labels):
    fused, s = (unit(torch.randn(6, 8, generator=generator(i), dtype=torch.float64)) for i in (0, 1))
    fused.requires_grad_()
    views = pl.contrastive_loss(fused, s, labels, "views")
    with torch.no_grad():
        close(float(views), khosla(torch.cat([fused, s]), labels.tolist() * 2, pl.TEMPERATURE))
    texts = pl.contrastive_loss(fused, s, labels, "texts")
    with torch.no_grad():
        total = 0.0
        for i in range(6):
            log_p = [math.log(p) for p in softmax([float(fused[i] @ s[a]) / pl.TEMPERATURE for a in range(6)])]
            positives = [p for p in range(6) if labels[p] == labels[i]]
            total -= sum(log_p[p] for p in positives) / len(positives)
        close(float(texts), total / 6)
    (views + texts).backward()
    assert fused.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1.0, 0.5, 0.5)),
        ({"video_text": 0.0}, (1.0, 0.0, 0.5)),
        ({"text_video": 0.0}, (1.0, 0.5, 0.0)),
        ({"contrastive": 0.0}, (0.0, 0.5, 0.5)),
        ({"contrastive": 0.3, "video_text": 2.0}, (0.3, 1.0, 0.5)),
        ({"loss_weights": "code"}, (1 / 3, 1 / 3, 1 / 3)),
        ({"loss_weights": "code", "contrastive": 0.3, "video_text": 2.0}, (0.1, 2 / 3, 1 / 3)),
        ({"loss_weights": "code", "contrastive": 0.0}, (0.0, 1 / 3, 1 / 3)),
    ],
)
def test_coefficients_multiply_the_terms_and_equation_23_keeps_its_half(options, expected):
    losses = build(**options).loss(frames(), LABELS)
    assert ("contrastive" in losses) == (expected[0] > 0)
    parts = (losses.get("contrastive", torch.zeros(())), losses["video_text"], losses["text_video"])
    close(losses["loss"], sum(weight * part for weight, part in zip(expected, parts)))


def test_without_interaction_the_clip_itself_is_drawn_to_the_texts():
    method, features = build(semantics="none"), frames()
    assert method.interaction is None
    s = unit(method.encode_prompts(LABELS).sentence)
    expected = pl.contrastive_loss(unit(features.mean(1)), s, LABELS, "texts")
    close(method.loss(features, LABELS)["contrastive"], expected)


def test_the_interaction_sees_the_text_of_each_clips_own_label():
    method, features = build(), frames()
    fused = []
    hook = method.interaction.register_forward_hook(lambda module, inputs, output: fused.append(output))
    method.loss(features, LABELS)
    hook.remove()
    for i, label in enumerate(LABELS):
        text = method.encode_prompts(label[None])
        close(fused[0][i], method.interaction(features[i : i + 1], text, torch.tensor([0]))[0])


# Prompts and predictions ----------------------------------------------------------------------------------------------


def word_embeddings(clip) -> torch.Tensor:
    """Those of the four words; a token per letter here, so that M = 16 leaves two for the random ones."""
    words = clip.text.token_embeddings(clip.text.tokenize(["a video of action"]))[0, 1:-1]
    assert len(words) == len("avideoofaction") == 14
    return words


@torch.no_grad()
def test_the_tokens_next_to_the_class_name_start_from_the_words_and_the_others_at_random(monkeypatch):
    method = build(names=[f"class {i}" for i in range(200)])
    contexts, words = method.contexts, word_embeddings(load_clip("random:nano"))
    assert contexts.shape == (200, 16, 32)
    assert contexts.requires_grad
    assert torch.equal(contexts[:, 2:], words.expand(200, -1, -1))
    drawn = contexts[:, :2]
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.03)
    assert abs(float(drawn.mean())) < 1e-3
    assert not torch.equal(drawn[0], drawn[1])
    text, tokens = method.clip.text, []
    encode = text.encode
    monkeypatch.setattr(text, "encode", lambda x, eot: tokens.append(x) or encode(x, eot))
    method.encode_prompts(torch.tensor([7]))
    named = text.token_embeddings(text.tokenize(["class 7."]))[0]
    assert torch.equal(tokens[0][0, 3:17], words), "the words come last, in front of the class name"
    assert torch.equal(tokens[0][0, 17 : 16 + len(named)], named[1:])


@torch.no_grad()
def test_as_many_tokens_as_the_words_have_start_as_the_written_sentence():
    method, clip = build(num_context=14), load_clip("random:nano")
    written = unit(clip.text([f"a video of action {name}." for name in NAMES]).sentence)
    features = frames()
    close(method.head(features), clip.logit_scale.exp() * unit(features.mean(1)) @ written.T)
    with pytest.raises(ValueError, match=r"num_context of at least 14, the tokens of 'a video of action', got 13"):
        build(num_context=13)
    assert build(num_context=13, context="random").contexts.shape[1] == 13


def test_random_contexts_belong_to_classes_and_have_the_stated_spread():
    contexts = build(names=[f"class {i}" for i in range(50)], context="random", context_std=0.05).contexts.detach()
    assert contexts.shape == (50, 16, 32)
    assert float(contexts.std()) == pytest.approx(0.05, rel=0.03)
    assert abs(float(contexts.mean())) < 1e-3
    assert float(contexts[:, 2:].std()) == pytest.approx(0.05, rel=0.03), "not only the first two"


def test_the_released_form_shares_the_words_and_trains_none_of_them(tmp_path):
    method, clip, features = build(pl.VARIANTS["code"]), load_clip("random:nano"), frames()
    method.clip_sha256  # noqa: B018 - the hash of the backbone as loaded
    assert method.contexts.shape == (1, 14, 32)
    method.loss(features, LABELS)["loss"].backward()
    assert method.contexts.grad is None
    assert not any("contexts" in name for name in method.trained_state())
    with torch.no_grad():
        for names in (NAMES, ("jump", "throw a ball")):  # no class has parameters of its own
            method.set_classes(names)
            written = unit(clip.text([f"a video of action {name}." for name in names]).sentence)
            close(method.head(features), clip.logit_scale.exp() * unit(features.mean(1)) @ written.T)
        for parameter in method.clip.text.parameters():
            parameter += 0.1
        expected = method.head(features)
        checkpoint.save(tmp_path / "model", method)
        loaded, _ = checkpoint.load(tmp_path / "model")
        assert torch.equal(loaded.contexts, word_embeddings(clip)[None]), "as before training"
        close(loaded.head(features), expected)


@pytest.mark.parametrize("context", ["words", "random", "code"])
def test_a_full_stop_follows_the_class_name(context):
    method = build(context=context)
    assert torch.equal(method.ids, method.clip.text.tokenize([f"{name}." for name in NAMES]))


def test_every_row_of_the_tables_has_its_variant():
    base = Config()
    assert (base.num_context, base.context, base.context_std) == (16, "words", 0.02)  # Sec. 4.2, Table 3 with the tick
    assert (base.temporal, base.semantics, base.num_steps) == ("mean", "parse", 3)  # Sec. 3.2, Table 2
    assert (base.contrastive, base.video_text, base.text_video, base.loss_weights) == (1, 1, 1, "paper")  # Table 1
    assert {name: {k: v for k, v in vars(c).items() if v != getattr(base, k)} for name, c in pl.VARIANTS.items()} == {
        "loss_1_0_1": {"video_text": 0.0},
        "loss_1_1_0": {"text_video": 0.0},
        "loss_0_1_1": {"contrastive": 0.0},
        "average": {"semantics": "average"},
        "eot": {"semantics": "eot"},
        "one_step": {"num_steps": 1},
        "two_steps": {"num_steps": 2},
        "four_steps": {"num_steps": 4},
        "without_interaction": {"semantics": "none"},
        "without_initialisation": {"context": "random"},
        "frozen": {"train_text": False, "train_vision": False},
        "text_only": {"train_vision": False},
        "vision_only": {"train_text": False},
        "transformer": {"temporal": "transformer"},
        "kl_softmax": {"kl_target": "softmax"},
        "contrast_views": {"contrast": "views"},
        "code": {
            "context": "code", "temporal": "transformer", "num_steps": 1, "loss_weights": "code",
            "kl_target": "softmax", "contrast": "views",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "recipe", "batch", "rand_augment"),
    [
        ("kinetics400", None, 64, (2, 9)),
        ("mini_kinetics200", None, 64, (2, 9)),
        ("mini_kinetics200", "code", 32, (2, 9)),
        ("hmdb51", None, 64, None),
        ("ucf101", None, 64, None),
    ],
)
def test_recipes_are_the_papers_and_the_codes_settings(dataset, recipe, batch, rand_augment):
    chosen = methods.defaults("promptlearner_clip", dataset=dataset, recipe=recipe)
    train, data = chosen.train, chosen.data
    assert (train.batch_size, train.epochs, train.warmup_epochs, train.lr) == (batch, 50, 5.0, 5e-6)  # Sec. 4.2
    assert (train.weight_decay, train.betas, train.clip_grad_norm) == (0.2, (0.9, 0.98), None)
    assert (data.num_frames, data.num_clips, data.random_groups, data.num_crops) == (8, 10, True, 1)
    assert (data.resize_side, data.pooling) == (256, "probabilities")
    assert data.augment.rand_augment == rand_augment
    assert rand_augment is None or data.augment.rand_augment_kind == "ildoonet"
    assert (data.augment.multi_scale, data.augment.colour_jitter) == ((1, 0.875, 0.75, 0.66), 0.8)
    assert (data.augment.grey, data.augment.flip) == (0.2, 0.5)


def test_left_and_right_of_something_something_are_not_flipped():
    assert methods.defaults("promptlearner_clip", dataset="something_v2").data.augment.flip == 0


def test_a_step_changes_the_contexts_of_the_batch_and_encodes_no_other_prompt(monkeypatch):
    method = build(names=[f"class {i:03}" for i in range(200)])
    encode, sizes = method.clip.text.encode, []
    monkeypatch.setattr(
        method.clip.text, "encode", lambda tokens, lengths: sizes.append(len(tokens)) or encode(tokens, lengths)
    )
    method.loss(frames(), LABELS)["loss"].backward()
    assert sizes == [3]
    assert method.contexts.grad.abs().sum((1, 2)).nonzero().ravel().tolist() == [0, 1, 3]


def test_memory_of_a_step_does_not_grow_with_the_classes():
    def saved_bytes(num_classes: int) -> int:
        method = build(names=[f"class {i:03}" for i in range(num_classes)]).train()
        seen: dict[int, torch.Tensor] = {}

        def keep(x: torch.Tensor) -> torch.Tensor:
            seen[x.data_ptr()] = x
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            method.loss(frames(), LABELS)["loss"].backward()
        own = {p.data_ptr() for p in method.parameters()}
        return sum(x.numel() * x.element_size() for pointer, x in seen.items() if pointer not in own)

    assert saved_bytes(400) == saved_bytes(5)


@torch.no_grad()
def test_many_classes_are_encoded_in_parts_for_a_prediction(monkeypatch):
    method = build(names=[f"class number {i}" for i in range(150)]).eval()
    features, whole = frames(), method.encode_prompts(torch.arange(150)).sentence
    close(method.head(features), method.clip.logit_scale.exp() * unit(features.mean(1)) @ unit(whole).T)
    method.train().eval()
    encode, sizes = method.clip.text.encode, []
    monkeypatch.setattr(
        method.clip.text, "encode", lambda tokens, lengths: sizes.append(len(tokens)) or encode(tokens, lengths)
    )
    for _ in range(2):
        method.head(features)
    assert sizes == [64, 64, 22]  # and once only: nothing changes while evaluating


@torch.no_grad()
def test_predictions_are_bit_identical_whatever_the_interaction_module_is(tmp_path):
    method = build().eval()
    video = torch.randn(3, 4, 3, 32, 32, generator=generator())
    expected = method(video)
    for fill in (0.0, 1e30, math.nan):
        for parameter in method.interaction.parameters():
            parameter.fill_(fill)
        method.train().eval()  # nothing kept
        assert torch.equal(method(video), expected)
    checkpoint.save(tmp_path / "model", method)
    state = method.trained_state(inference=True)
    assert not any("interaction" in name for name in state)
    assert any("interaction" in name for name in method.trained_state())
    loaded, _ = checkpoint.load(tmp_path / "model", clip=load_clip("random:nano"))
    assert torch.equal(loaded(video), expected)
    del method.interaction  # not even there
    assert torch.equal(method(video), expected)


@pytest.mark.parametrize(
    ("options", "trained"),
    [({}, "both"), ({"train_text": False}, "image"), ({"train_vision": False}, "text"),
     ({"train_text": False, "train_vision": False}, "none")],
)  # fmt: skip
def test_pathways_are_switched_apart(options, trained):
    method = build(**options)
    assert all(p.requires_grad == (trained in ("both", "text")) for p in method.clip.text.parameters())
    assert all(p.requires_grad == (trained in ("both", "image")) for p in method.clip.image.parameters())
    assert method.frozen_features == (trained in ("text", "none"))
    rates = {id(p): group["lr"] for group in method.param_groups(1.0) for p in group["params"]}
    assert rates[id(method.clip.logit_scale)] == 1.0
    assert {rates[id(p)] for p in [method.contexts, *method.interaction.parameters()]} == {10.0}


def test_with_frozen_towers_it_learns_from_cached_features():
    method = build(train_text=False, train_vision=False).train()
    video = torch.randn(6, 4, 3, 32, 32, generator=generator())
    cached = method.encode(video)
    assert not cached.requires_grad
    close(method(None, LABELS, features=cached)["loss"], method(video, LABELS)["loss"])
    labels = torch.arange(5).repeat(4)
    clips = torch.randn(5, 1, 16, generator=generator(2))[labels] + 0.1 * torch.randn(20, 4, 16, generator=generator(4))
    optimizer = torch.optim.AdamW(method.param_groups(1e-3))
    before = [p.clone() for p in method.clip.text.parameters()]
    for _ in range(40):
        optimizer.zero_grad()
        method(None, labels, features=clips)["loss"].backward()
        optimizer.step()
    assert method.eval().head(clips).argmax(1).eq(labels).all()
    assert all(torch.equal(p, q) for p, q in zip(method.clip.text.parameters(), before))


def test_temporal_transformer_starts_as_the_mean_and_sees_order():
    method, features = build(temporal="transformer"), frames()
    close(method.head(features), build().head(features))
    torch.nn.init.normal_(method.temporal.output.weight, generator=generator())
    assert not torch.allclose(method.head(features), method.head(features.flip(1)))


@pytest.mark.parametrize("num_frames", [1, 3, 16])
def test_any_number_of_frames(num_frames):
    method, features = build(), frames(num_frames=num_frames)
    loss = method.loss(features, LABELS)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert method.contexts.grad.isfinite().all()


def test_soft_labels_are_refused(as_users_call):
    with pytest.raises(ValueError, match="expected one class index per clip, got soft labels; train without mixup"):
        build().loss(frames(), F.one_hot(LABELS, 5).float())


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"they train the similarity used for predictions.*got .* = \(1.0, 0.0, 0.0\)"):
        Config(video_text=0.0, text_video=0.0)
    with pytest.raises(ValueError, match="coefficients of at least 0"):
        Config(contrastive=-1.0)
    with pytest.raises(ValueError, match="num_steps of at least 1"):
        Config(num_steps=0)
    with pytest.raises(
        ValueError, match=r"at most 21 tokens and 107 learned ones, got 23 for 'aaaaaaaaaaaaaaaaaaaa\.'"
    ):
        build(names=("wave", "a" * 20), num_context=107)


def test_every_process_sees_the_clips_of_all(monkeypatch):
    """Two halves of a batch, each with the other's rows gathered in: both have the loss of the whole, and their
    gradients add up to its gradient."""
    method, features = build(contrast="views"), frames()
    whole = method.loss(features, LABELS)
    whole["loss"].backward()
    expected = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    halves = [(features[:3], LABELS[:3]), (features[3:], LABELS[3:])]
    rows: list[list[torch.Tensor]] = [[], []]
    for half, (x, y) in enumerate(halves):
        monkeypatch.setattr(pl, "gather_batch", lambda x, half=half: rows[half].append(x.detach()) or x)
        method.loss(x, y)
    method.zero_grad()
    for half, (x, y) in enumerate(halves):
        others = iter(rows[1 - half])
        put = (lambda x: torch.cat([x, next(others)])) if half == 0 else (lambda x: torch.cat([next(others), x]))  # noqa: B023
        monkeypatch.setattr(pl, "gather_batch", put)
        losses = method.loss(x, y)
        close(losses["loss"], whole["loss"])
        losses["loss"].backward()
    expected["clip.logit_scale"] *= 2  # used by both halves on all rows
    for name, gradient in expected.items():
        torch.testing.assert_close(method.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_loss_of_two_processes_is_that_of_one(tmp_path):
    """Values and gradients: clips are compared over the whole batch, wherever they are."""
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, torch
            import torch.distributed as dist
            from torch.nn.parallel import DistributedDataParallel
            from actionprompt import methods
            from actionprompt.weights import load_clip
            from actionprompt.methods.promptlearner_clip import Config

            rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
            torch.set_num_threads(1)
            config = Config(contrast="views")
            method = methods.build("promptlearner_clip", load_clip("random:nano"), list("abcde"), config=config)
            video = torch.randn(6, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
            labels, model = torch.tensor([0, 1, 1, 3, 1, 3]), method
            if size > 1:
                dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
                model = DistributedDataParallel(method)
                video, labels = video.chunk(size)[rank], labels.chunk(size)[rank]
            losses = model(video, labels)
            losses["loss"].backward()
            gradients = {name: p.grad for name, p in method.named_parameters()}
            torch.save((losses["loss"].detach(), gradients), f"{folder}/{size}-{rank}.pt")
            """
        )
    )
    runs = [(0, 1), (0, 2), (1, 2)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, script, str(rank), str(size), tmp_path], env=environment)
        for rank, size in runs
    ]
    try:
        assert [process.wait(600) for process in started] == [0, 0, 0]
    finally:
        for process in started:
            process.kill()
    loss, gradients = torch.load(tmp_path / "1-0.pt")
    for rank in (0, 1):
        other_loss, other = torch.load(tmp_path / f"2-{rank}.pt")
        close(other_loss, loss)
        for name, gradient in gradients.items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-5)


def test_parameter_counts_are_those_the_docstring_states(on_meta):
    names, config = [f"action {i}" for i in range(400)], Config(temporal="transformer")
    method = methods.build("promptlearner_clip", load_clip("random:ViT-B/16"), names, config=config)

    def count(module) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,}"

    parts = method.interaction
    assert (
        f"contexts {method.contexts.numel():,}; interaction {count(parts)} (parsing {count(parts.parser)}" in pl.__doc__
    )
    assert (
        f"{count(parts.graph)}, fusion {count(parts.fusion)}; training only); CLIP {count(method.clip)}" in pl.__doc__
    )
    assert f"if chosen, {count(method.temporal)}." in pl.__doc__
    assert parts.fusion.text.linear.out_features == 2 * 512
