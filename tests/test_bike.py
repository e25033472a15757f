"""BIKE: saliency, both branches, attributes and losses against plain loops; what is trained, and how fast."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from actionprompt import methods
from actionprompt.datasets import read_labels
from actionprompt.methods.bike import PUBLISHED, RECIPES, VARIANTS, Config, contrastive, spotting
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave")


def build(config: Config | None = None, *, noise: float = 0.1):
    """A small model that has left its starting point in every trained tensor."""
    method = methods.build("bike", load_clip("random:nano"), NAMES, config=config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return method.eval()


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(x):
    return x / x.norm()


def cosine(a, b):
    return float(unit(a) @ unit(b))


def saliency(frames, words, tau):
    """S_t of one video and class, word by word (D6)."""
    weights = [0.0] * len(frames)
    for word in words:
        scores = [math.exp(cosine(frame, word) / tau) for frame in frames]
        for t, score in enumerate(scores):
            weights[t] += score / sum(scores) / len(words)
    return weights


def words_by_hand(method, name: str, kind: str):
    """The projected tokens of one class text, and e_c; the text tower is called on a single padded sentence."""
    text = method.clip.text
    sentence = f"This is a video about {name}"
    ids = text.tokenize([sentence])[0].tolist()
    eot = len(ids) - 1
    padded = torch.tensor([ids + [0] * (text.context_length - len(ids))])
    out = text.encode(text.token_embeddings(padded), torch.tensor([text.context_length])).words[0]
    tokens = [text.projection.weight @ x for x in out]
    first = 1 + len("This is a video about".replace(" ", ""))  # SOS, then a token per letter
    return (tokens if kind == "all" else tokens[first:eot]), tokens[eot]


@pytest.mark.parametrize("kind", ["all", "name"])
@torch.no_grad()
def test_video_concept_spotting_by_loops(kind):
    method, frames = build(Config(words=kind, attributes=False, tau=0.05)), random(2, 4, 16)
    got = method.s_v(frames, slice(None))
    numbers = []
    for k, name in enumerate(NAMES):
        words, e_c = words_by_hand(method, name, kind)
        numbers.append(len(words))
        for n in range(2):
            s = saliency(frames[n], words, 0.05)
            assert sum(s) == pytest.approx(1)
            e_v = sum(s_t * unit(v) for s_t, v in zip(s, frames[n], strict=True))  # D7
            assert got[n, k].item() == pytest.approx(float(e_v @ unit(e_c)), abs=1e-5)
    assert numbers == ([128] * 3 if kind == "all" else [7, 7, 4])
    assert got.std() > 1e-3


@torch.no_grad()
def test_words_of_padding_do_not_count():
    v, e_c = F.normalize(random(2, 4, 16), dim=-1), F.normalize(random(1, 16), dim=-1)
    words = F.normalize(random(1, 3, 16, seed=4), dim=-1)
    share = torch.tensor([[0.5, 0.5, 0.0]])
    short = spotting(v, words[:, :2], share[:, :2], e_c, 0.01)
    torch.testing.assert_close(spotting(v, words, share, e_c, 0.01), short)
    assert (spotting(v, words, torch.full((1, 3), 1 / 3), e_c, 0.01) - short).abs().max() > 1e-3


@torch.no_grad()
def test_some_classes_have_the_scores_they_have_among_all():
    method, frames = build(Config(attributes=False)), random(2, 4, 16)
    some = method.s_v(frames, torch.tensor([2, 0]))
    torch.testing.assert_close(some, method.s_v(frames, slice(None))[:, [2, 0]])


@torch.no_grad()
def test_without_words_frames_are_averaged():
    method, frames = build(VARIANTS["mean_pooling"]), random(2, 4, 16)
    got = method.s_v(frames, slice(None))
    for n in range(2):
        mean = sum(frames[n]) / 4
        for k, name in enumerate(NAMES):
            assert got[n, k].item() == pytest.approx(cosine(mean, words_by_hand(method, name, "all")[1]), abs=1e-5)


def norm_by_loops(x, norm):
    mean = sum(x) / len(x)
    return (x - mean) / (sum((x - mean) ** 2) / len(x) + norm.eps).sqrt() * norm.weight + norm.bias


@torch.no_grad()
def test_temporal_transformer_by_loops():
    temporal, frames = build(Config(num_layers=2, attributes=False)).temporal, random(2, 4, 16)
    got = temporal(frames)
    for n in range(2):
        x = [frames[n, t] + temporal.position[t] for t in range(4)]
        for block in temporal.blocks:
            assert (block.attention.num_heads, block.norm1.eps) == (1, 1e-12)
            y = [norm_by_loops(one, block.norm1) for one in x]
            q, k, v = (
                [w @ one + b for one in y]
                for w, b in zip(
                    block.attention.in_proj_weight.chunk(3), block.attention.in_proj_bias.chunk(3), strict=True
                )
            )
            for t in range(4):
                scores = [math.exp(q[t] @ key / math.sqrt(16)) for key in k]
                mixed = sum(score / sum(scores) * value for score, value in zip(scores, v, strict=True))
                z = x[t] + block.attention.out_proj(mixed)
                hidden = block.fc1(norm_by_loops(z, block.norm2))
                x[t] = z + block.fc2(hidden * torch.sigmoid(1.702 * hidden))
        for t in range(4):
            torch.testing.assert_close(got[n, t], frames[n, t] + x[t], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="expected at most 128 frames, got 129"):
        temporal(random(1, 129, 16))


@torch.no_grad()
def test_attributes_are_the_nearest_phrases_in_the_pretrained_clip():
    method, video = build(Config(num_attributes=3)), random(2, 4, 3, 32, 32)
    clip, lexicon = load_clip("random:nano"), read_labels("kinetics400").english
    assert len(lexicon) == 400
    assert not torch.equal(clip.image.projection.weight, method.clip.image.projection.weight), "it was trained"
    phrases = clip.text(lexicon).sentence
    features = method.encode(video)
    for n in range(2):
        e_v = sum(clip.image(video[n, t : t + 1])[0] for t in range(4)) / 4
        nearest = sorted(range(400), key=lambda k: -cosine(e_v, phrases[k]))[:3]
        assert method.attributes.retrieve(video)[n].tolist() == nearest
        sentence = f"This is a video about {','.join(lexicon[k] for k in nearest)}"
        torch.testing.assert_close(
            features.attributes[n], unit(clip.text([sentence]).sentence[0]), rtol=1e-4, atol=1e-5
        )
        frames = method.clip.image(video[n])
        torch.testing.assert_close(features.frames[n], frames, rtol=1e-4, atol=1e-5)


def test_attributes_that_do_not_fit_are_left_out():
    method = build()
    branch, text = method.attributes, method.clip.text
    row = sorted(range(400), key=lambda k: -len(branch.lexicon[k]))[:8]
    sentence = branch.sentence(row, text)
    kept = sentence.removeprefix("This is a video about ").split(",")
    assert 1 < len(kept) < 8
    assert kept == [branch.lexicon[k] for k in row[: len(kept)]]
    longer = f"{sentence},{branch.lexicon[row[len(kept)]]}"
    fits = lambda s: len(text.tokenizer.encode([s])[0]) <= text.context_length  # noqa: E731
    assert fits(sentence)
    assert not fits(longer)


@torch.no_grad()
def test_prediction_weights_both_branches():
    method, video = build(Config(fusion=0.3)), random(2, 4, 3, 32, 32)
    features, branch = method.encode(video), method.attributes
    s_v, logits = method.s_v(method.temporal(features.frames), slice(None)), method(video)
    for n in range(2):
        for k, name in enumerate(NAMES):
            sides = []
            for head, x in ((branch.of_sentence, features.attributes[n]), (branch.of_class, method.text[k])):
                sides.append(head[2].weight @ (head[0].weight @ x + head[0].bias).clamp(min=0) + head[2].bias)
            s_a = cosine(*sides)
            expected = method.clip.logit_scale.exp() * (0.3 * s_v[n, k] + 0.7 * s_a)  # D18
            assert logits[n, k].item() == pytest.approx(expected.item(), abs=1e-4), name
    alone = methods.build("bike", load_clip("random:nano"), NAMES, config=VARIANTS["video"], seed=1)
    assert alone.encode(video).attributes.shape == (2, 0)


@torch.no_grad()
def test_losses_by_loops():
    labels, similarity, scale = torch.tensor([0, 2, 0, 1]), random(4, 4), torch.tensor(0.7)
    total = 0.0
    for matrix in (similarity, similarity.T):  # videos over texts, texts over videos
        for i in range(4):
            positives = [k for k in range(4) if labels[k] == labels[i]]
            exps = [math.exp(math.exp(0.7) * matrix[i, j]) for j in range(4)]
            total -= sum(math.log(exps[k] / sum(exps)) for k in positives) / len(positives) / 4
    assert contrastive(similarity, labels, scale).item() == pytest.approx(total / 2, rel=1e-5)  # D15

    method, video = build(), random(4, 4, 3, 32, 32)
    features = method.encode(video)
    s_v = method.s_v(method.temporal(features.frames), slice(None))[:, labels]
    s_a = method.attributes(features.attributes, method.text)[:, labels]
    losses = method(video, labels)
    parts = {
        "video": contrastive(s_v, labels, method.clip.logit_scale),
        "attributes": contrastive(s_a, labels, method.attributes.logit_scale),
    }
    for name, expected in parts.items():
        assert losses[name].item() == pytest.approx(expected.item(), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(sum(parts.values()).item(), rel=1e-5)


def test_the_branches_share_no_parameter():
    method, labels = build().train(), torch.tensor([0, 1, 1, 2])
    features = method.encode(random(4, 4, 3, 32, 32))
    of = {}
    for part in ("video", "attributes"):
        method.zero_grad()
        method.loss(features, labels)[part].backward(retain_graph=True)
        of[part] = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    assert not of["video"] & of["attributes"]
    assert of["video"] | of["attributes"] == {name for name, p in method.named_parameters() if p.requires_grad}


def test_soft_labels_are_refused():
    method = build(VARIANTS["mean_pooling"])
    with pytest.raises(ValueError, match="got soft labels; train without mixup"):
        method(random(2, 4, 3, 32, 32), torch.full((2, 3), 1 / 3))


def test_new_layers_learn_ten_times_as_fast_and_everything_decays():
    for method in (build(), build(VARIANTS["no_transformer"])):
        names = {id(p): name for name, p in method.named_parameters()}
        groups = method.param_groups(1e-3)
        assert all(set(group) == {"params", "lr"} for group in groups)
        for group in groups:
            for p in group["params"]:
                of_clip = names[id(p)].startswith("clip.") or "logit_scale" in names[id(p)]
                assert group["lr"] == pytest.approx(1e-3 if of_clip else 1e-2), names[id(p)]


def test_parameters_at_full_size():
    method = methods.build("bike", load_clip("random:ViT-B/16"), NAMES, config=Config(words="name", attributes=False))
    trained = {name: p.numel() for name, p in method.named_parameters() if p.requires_grad}
    assert sum(n for name, n in trained.items() if name.startswith("temporal.")) == 18_953_728
    assert sum(trained.values()) == 105_146_369
    assert method.temporal.blocks[0].attention.num_heads == 8
    branch = sum(
        p.numel() for name, p in build().named_parameters() if name.startswith("attributes.") and p.requires_grad
    )
    assert branch == 4 * 16**2 + 4 * 16 + 1
    assert 105_146_369 + 4 * 512**2 + 4 * 512 + 1 == 106_196_994
    assert not any(p.requires_grad for p in method.clip.text.parameters())


def test_starting_values_are_those_of_the_public_code():
    method = build(noise=0.0)
    block, head = method.temporal.blocks[0], method.attributes.of_class
    for tensor in (method.temporal.position, block.fc1.weight, block.attention.out_proj.weight, head[0].weight):
        assert tensor.std().item() == pytest.approx(0.02, rel=0.15)
    assert not block.fc1.bias.any()
    assert not head[2].bias.any()
    assert method.attributes.logit_scale == method.clip.logit_scale


def test_recipes_are_the_public_configs():
    for name, recipe in RECIPES.items():
        dataset = recipe.datasets[0] if recipe.datasets else "ucf101"
        defaults = methods.defaults("bike", recipe=name, protocol=recipe.protocols[0], dataset=dataset)
        train, data = defaults.train, defaults.data
        assert (train.lr, train.weight_decay, train.betas, train.batch_size) == (5e-6, 0.2, (0.9, 0.999), 256), name
        assert (data.resize_side, data.pooling, data.augment.grey) == (256, "logits", 0.2), name
        assert train.warmup_epochs / train.epochs == pytest.approx(5 / (30 if train.epochs == 30 else 20)), name
    assert RECIPES["closed-set"].train["epochs"] == 20
    assert RECIPES["few-shot-hmdb51-K2"].train["epochs"] == 20 * (3570 // (2 * 51))
    assert RECIPES["few-shot-ucf101-K16"].train["epochs"] == 20 * (9537 // (16 * 101))
    assert methods.defaults("bike", protocol="few-shot", dataset="hmdb51").recipe == "few-shot"


def test_published_numbers_belong_to_configurations_that_exist():
    assert {item.variant for item in PUBLISHED} <= {"", *VARIANTS}


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"num_attributes of at least 1, got 6, 0"):
        Config(num_attributes=0)
    with pytest.raises(ValueError, match=r"fusion in \[0, 1\] and tau above 0, got 1.5, 0.01"):
        Config(fusion=1.5)
    with pytest.raises(ValueError, match=r"tau above 0, got .*, nan"):
        Config(tau=float("nan"))
    with pytest.raises(ValueError, match=r"one \{\} for the class name, got 'no place'"):
        Config(template="no place")
    with pytest.raises(ValueError, match="such as kinetics400, got 'imagenet'"):
        build(Config(lexicon="imagenet"))
    with pytest.raises(ValueError, match="class names that are texts, got ' '"):
        methods.build("bike", load_clip("random:nano"), ["run", " "], config=VARIANTS["label_words"])
    assert dataclasses.replace(Config(), lexicon="ucf101").lexicon == "ucf101"
