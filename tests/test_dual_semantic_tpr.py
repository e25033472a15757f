"""dual_semantic_tpr against its equations written out with plain loops, and against what its docstring says."""

import gc
import gzip
import math
import re
import weakref
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionprompt import checkpoint, methods
from actionprompt.methods import dual_semantic_tpr as dst
from actionprompt.methods._words import label_tokens
from actionprompt.methods.dual_semantic_tpr import Config, Prompts, join
from actionprompt.weights import load_clip
from actionprompt.weights.tokenizer import bpe_tokenizer

NAMES, NAMES_ZH = ("sit down", "wave", "run"), ("坐下", "挥手", "跑步")
close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)
KINDS = ("mlp", "lstm", "transformer", "tada", "c3d", "r2plus1d")


def noisy(module: nn.Module, scale: float = 0.2, seed: int = 3) -> nn.Module:
    """Every trained tensor moved away from where it starts, so that no zero hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += scale * torch.randn(parameter.shape, generator=generator)
    return module


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(config: Config | None = None, *, seed: int = 0, names=NAMES, names_zh=NAMES_ZH):
    return methods.build("dual_semantic_tpr", load_clip("random:nano"), names, names_zh, config=config, seed=seed)


# Plain loops ---------------------------------------------------------------------------------------------------------


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def attend(rows: list[Tensor], num_heads: int, q, k, v, out) -> list[Tensor]:
    """Multi-head self-attention, one query, head and key at a time; q, k, v, out are functions of one row."""
    d = len(rows[0]) // num_heads
    queries, keys, values = ([project(row) for row in rows] for project in (q, k, v))
    results = []
    for query in queries:
        heads = []
        for h in range(num_heads):
            part = slice(h * d, (h + 1) * d)
            scores = [torch.exp(torch.dot(query[part], key[part]) / math.sqrt(d)) for key in keys]
            heads.append(sum(s / sum(scores) * value[part] for s, value in zip(scores, values)))
        results.append(out(torch.cat(heads)))
    return results


def of_multihead(attention: nn.MultiheadAttention):
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    inner = [lambda x, w=w, b=b: w @ x + b for w, b in zip(weights, biases)]
    return (*inner, lambda x: attention.out_proj.weight @ x + attention.out_proj.bias)


def affine(linear: nn.Linear, x: Tensor) -> Tensor:
    return linear.weight @ x if linear.bias is None else linear.weight @ x + linear.bias


def convolve(x: dict[tuple[int, int], Tensor], conv: nn.Conv2d, num_frames: int, num_prompts: int):
    """x[t, p] of width H -> the same after a convolution over time x prompts; zeros outside."""
    over_time, over_prompts = conv.weight.shape[2:]
    y = {}
    for t in range(num_frames):
        for p in range(num_prompts):
            total = conv.bias.clone()
            for i in range(over_time):
                for j in range(over_prompts):
                    at = (t + i - over_time // 2, p + j - over_prompts // 2)
                    if at in x:
                        total = total + conv.weight[:, :, i, j] @ x[at]
            y[t, p] = total
    return y


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def beta_of(beta, kind: str, prompts: dict[tuple[int, int], Tensor], T: int, P: int) -> dict[tuple[int, int], Tensor]:
    """Eq. 12's network for one video, prompt by prompt."""
    x = {at: affine(beta.down, prompt) for at, prompt in prompts.items()}
    net = beta.network
    if kind == "c3d":
        x = convolve(x, net, T, P)
    elif kind == "r2plus1d":
        middle = {at: torch.relu(row) for at, row in convolve(x, net[0], T, P).items()}
        x = convolve(middle, net[2], T, P)
    elif kind == "tada":
        frame = [sum(x[t, p] for p in range(P)) / P for t in range(T)]
        video = sum(frame) / T
        context = [f + affine(net.whole, video) for f in frame]

        def over_time(rows, conv):
            padded = [torch.zeros_like(rows[0]), *rows, torch.zeros_like(rows[0])]
            return [conv.bias + sum(conv.weight[:, :, i] @ padded[t + i] for i in range(3)) for t in range(len(rows))]

        alpha = over_time([torch.relu(row) for row in over_time(context, net.reduce)], net.expand)
        # the definition: the kernel itself is scaled along its input channels, anew for every frame
        y = {}
        for t in range(T):
            calibrated = nn.Conv2d(1, 1, 1)
            calibrated.weight = nn.Parameter(net.conv.weight * (1 + alpha[t])[None, :, None, None])
            calibrated.bias = net.conv.bias
            row = convolve({(0, p): x[t, p] for p in range(P)}, calibrated, 1, P)
            y.update({(t, p): row[0, p] for p in range(P)})
        x = y
    elif kind == "lstm":
        lstm = net.lstm
        for t in range(T):
            h = c = torch.zeros(lstm.hidden_size)
            for p in range(P):
                gates = lstm.weight_ih_l0 @ x[t, p] + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
                i, f, g, o = gates.chunk(4)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                x[t, p] = h
    elif kind == "transformer":
        for block in net.blocks:
            for t in range(T):
                rows = [x[t, p] for p in range(P)]
                normed = [layer_norm(row, block.norm1) for row in rows]
                rows = [r + a for r, a in zip(rows, attend(normed, 4, *of_multihead(block.attention)))]
                for p, row in enumerate(rows):
                    hidden = affine(block.fc1, layer_norm(row, block.norm2))
                    x[t, p] = row + affine(block.fc2, hidden * torch.sigmoid(1.702 * hidden))
    return {at: affine(beta.up, gelu(row)) for at, row in x.items()}


def prompts_of(prompts: Prompts, z: Tensor, num_heads: int, kind: str = "none") -> list[list[Tensor]]:
    """Eq. 8-12 for one video with class tokens z[t]: the P prompts of every frame."""
    T, S = len(z), len(prompts.shared)
    x = [affine(prompts.project, z[t]) for t in range(T)]
    c = attend([layer_norm(row, prompts.norm) for row in x], num_heads, *of_multihead(prompts.attention))
    P = T + 1 + S
    plain = {}
    for t in range(T):
        rows = [c[t] + x[t], *prompts.shared, *(prompts.interchange[u] + x[u] for u in range(T))]
        assert len(rows) == P
        plain.update({(t, p): row for p, row in enumerate(rows)})
    result = plain
    if kind != "none":
        result = beta_of(prompts.beta, kind, dict(plain), T, P)
        if prompts.residual:
            result = {at: result[at] + plain[at] for at in plain}
    return [[result[t, p] for p in range(P)] for t in range(T)]


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_prompts_are_equations_8_to_12(kind, residual):
    config = Config(num_frames=3, num_global=2, beta=kind, residual=residual)
    prompts = noisy(Prompts(8, 2, config))
    z = randn(2, 3, 8)
    with torch.no_grad():
        got = join(prompts(z), (2, 3))
        for n in range(2):
            expected = prompts_of(prompts, z[n], 2, kind)
            close(got[n], torch.stack([torch.stack(rows) for rows in expected]))


def test_kernels_over_time_and_prompts_are_those_of_their_names():
    kernels = {kind: [m.kernel_size for m in dst.Beta(8, kind).modules() if isinstance(m, nn.Conv2d)] for kind in KINDS}
    assert kernels == {
        "mlp": [], "lstm": [], "transformer": [], "tada": [(1, 3)], "c3d": [(3, 3)], "r2plus1d": [(1, 3), (3, 1)],
    }  # fmt: skip


def test_encode_is_equations_1_3_13_and_14():
    method = noisy(build(Config(num_frames=2, num_global=2))).eval()
    tower, video = method.clip.image, randn(1, 2, 3, 32, 32)
    with torch.no_grad():
        got = method.encode(video)[0]
        frames = [list(tower.embed(video[0, t : t + 1])[0] + method.temporal[t]) for t in range(2)]  # Eq. 1
        frames = [[layer_norm(token, tower.pre_norm) for token in frame] for frame in frames]
        for layer, prompts in zip(tower.layers, method.prompts):
            z = torch.stack([frame[0] for frame in frames])
            extra = prompts_of(prompts, z, tower.num_heads, "r2plus1d")
            own = layer.self_attn
            maps = [partial(affine, linear) for linear in (own.q_proj, own.k_proj, own.v_proj, own.out_proj)]
            for t, frame in enumerate(frames):
                tokens = [*frame, *extra[t]]
                normed = [layer_norm(token, layer.layer_norm1) for token in tokens]
                tokens = [token + a for token, a in zip(tokens, attend(normed, layer.num_heads, *maps))]  # Eq. 13
                frames[t] = [
                    token + layer.mlp(layer_norm(token, layer.layer_norm2)) for token in tokens[: len(frame)]
                ]  # Eq. 14
        expected = [affine(tower.projection, layer_norm(frame[0], tower.post_norm)) for frame in frames]  # Eq. 3
    close(got, torch.stack(expected))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a, b) / (a.norm() * b.norm())


def video_embedding(frames: Tensor, words: Tensor, tau: float) -> Tensor:
    """Eq. 6-7: `frames` [T, E], `words` [number of words, E]."""
    weights = []
    for t in range(len(frames)):
        total = torch.zeros(())
        for word in words:
            all_frames = sum(torch.exp(cosine(frames[u], word) / tau) for u in range(len(frames)))
            total = total + torch.exp(cosine(frames[t], word) / tau) / all_frames
        weights.append(total / len(words))
    return sum(weight * frame for weight, frame in zip(weights, frames))


def texts(method) -> tuple[Tensor, list[Tensor], Tensor]:
    """English sentences, each label's words, Chinese sentences: from the towers, one class at a time."""
    clip, template = load_clip("random:nano"), method.config.template
    english, words = [], []
    with torch.no_grad():
        for name in method.class_names:
            features = clip.text([template.format(name)])
            before = len(clip.text.tokenizer.encode([template[: template.index("{}")]])[0]) - 1
            number = len(clip.text.tokenizer.encode([name])[0]) - 2
            english.append(features.sentence[0])
            words.append(clip.text.projection(features.words[0, before : before + number]))
        chinese = dst.load_chinese_text(f"random:{clip.embed_dim}").sentences(method.class_names_zh)
    return torch.stack(english), words, chinese


@pytest.mark.parametrize("template", ["This is a video about {}", "a video about {}."])
def test_logits_are_equations_5_to_7_and_18(template):
    method = build(Config(fusion=0.3, tau=0.07, template=template)).eval()
    frames, (english, words, chinese) = randn(2, 4, 16), texts(method)
    got = method.head(frames)
    for n in range(2):
        for k in range(3):
            video = video_embedding(frames[n], words[k], 0.07)
            fused = 0.3 * cosine(video, english[k]) + 0.7 * cosine(video, chinese[k])
            close(got[n, k], fused / 0.07)


def test_pooling_weights_sum_to_one_over_the_frames():
    method = build()
    weights = dst.frame_weights(randn(5, 7, 16), method.words, method.word_share, 0.01)
    assert weights.shape == (5, 3, 7)
    close(weights.sum(-1), torch.ones(5, 3))


def test_mean_pooling_is_equation_4():
    method = build(Config(prompts=False, pooling="mean", chinese=None, tau=0.01))
    frames, (english, _, _) = randn(2, 4, 16), texts(method)
    video = F.normalize(frames.mean(1), dim=-1)
    close(method.head(frames), 100 * video @ F.normalize(english, dim=-1).T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [100.0, 31.5, 117.3])
def test_the_temperature_is_that_of_the_backbone_and_openais_is_the_printed_one(scale):
    clip, frames = load_clip("random:nano"), randn(2, 4, 16)
    clip.logit_scale.data.fill_(math.log(scale))
    follows, fixed = (
        methods.build("dual_semantic_tpr", clip, NAMES, NAMES_ZH, config=config, seed=0).eval()
        for config in (Config(), Config(tau=1 / scale))
    )
    assert follows.tau == pytest.approx(1 / scale, rel=1e-6)
    close(follows.head(frames), fixed.head(frames), rtol=1e-5, atol=1e-4)
    labels = torch.tensor([0, 2])
    close(follows.loss(frames, labels)["loss"], fixed.loss(frames, labels)["loss"], rtol=1e-5, atol=1e-5)


def loops_of_the_loss(frames: Tensor, labels: list[int], sentences: Tensor, words: list[Tensor], tau: float) -> Tensor:
    """Eq. 15 or 16. The video stands against text i as the words of text i weigh it."""
    B = len(labels)

    def s(i, k):  # text of clip i, video of clip k
        return cosine(sentences[labels[i]], video_embedding(frames[k], words[labels[i]], tau))

    vt = tv = torch.zeros(())
    for i in range(B):
        positives = [k for k in range(B) if labels[k] == labels[i]]
        for k in positives:
            over_videos = sum(torch.exp(s(i, j) / tau) for j in range(B))
            over_texts = sum(torch.exp(s(j, i) / tau) for j in range(B))
            vt = vt - torch.log(torch.exp(s(i, k) / tau) / over_videos) / len(positives) / B
            tv = tv - torch.log(torch.exp(s(k, i) / tau) / over_texts) / len(positives) / B
    return (vt + tv) / 2


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [2, 2, 2], [1], [0, 0, 2, 2, 2]])
def test_loss_is_equations_15_to_17_with_repeated_classes(labels):
    method = build(Config(tau=0.1))
    frames, (english, words, chinese) = randn(len(labels), 3, 16), texts(method)
    got = method.loss(frames, torch.tensor(labels))
    close(got["video_text"], loops_of_the_loss(frames, labels, english, words, 0.1))
    close(got["video_chinese"], loops_of_the_loss(frames, labels, chinese, words, 0.1))
    close(got["loss"], got["video_text"] + got["video_chinese"])
    assert set(method.loss(frames, F.one_hot(torch.tensor(labels), 3).float())) == set(got)
    for part, value in method.loss(frames, F.one_hot(torch.tensor(labels), 3).float()).items():
        close(value, got[part])


def loops_of_the_targets(own: list[int], mixed: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Eq. 15's targets of videos over texts and of texts over videos, one pair at a time. `mixed[i, c]` is clip i's
    part in class c; 1 - s of a target goes to the pairs that share a class, s evenly to all N candidates."""
    N = len(own)
    of_video, of_text = torch.zeros(N, N), torch.zeros(N, N)
    for i in range(N):
        classes = sum(mixed[i, c] for c in set(own))
        clips = sum(mixed[k, own[i]] for k in range(N))
        for j in range(N):
            texts = sum(own[k] == own[j] for k in range(N))
            of_video[i, j] = (1 - smoothing) * mixed[i, own[j]] / classes / texts + smoothing / N
            of_text[i, j] = (1 - smoothing) * mixed[j, own[i]] / clips + smoothing / N
    return of_video, of_text


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("mixing", [1.0, 0.7])
def test_soft_targets_are_those_of_plain_loops(smoothing, mixing):
    """Few of many classes, some of them several times, alone and mixed with the neighbour as mixup does."""
    own, num_classes = [5, 2, 2, 9, 5, 5], 11
    hard = F.one_hot(torch.tensor(own), num_classes).float()
    mixed = mixing * hard + (1 - mixing) * hard.roll(1, 0)
    labels = (1 - smoothing) * mixed + smoothing / num_classes
    got = dst.soft_targets(labels, torch.tensor(own))
    for rows, expected in zip(got, loops_of_the_targets(own, mixed, smoothing)):
        close(rows, expected)
        close(rows.sum(1), torch.ones(len(own)))
    similarity = randn(6, 6)
    parts = [-(rows * (m / 0.1).log_softmax(1)).sum(1).mean() for rows, m in zip(got, (similarity, similarity.T))]
    close(dst.contrastive(similarity, labels, torch.tensor(own), 0.1), sum(parts) / 2)


def test_smoothing_has_the_mass_that_was_asked_for_with_174_classes_and_batches_of_16():
    """Something-Something V1. Restricted to the classes of the batch and scaled, it had 0.0095 of the 0.1."""
    own = torch.arange(16) * 10
    labels = F.one_hot(own, 174) * (1 - 0.1) + 0.1 / 174
    for rows in dst.soft_targets(labels, own):
        close(rows.diagonal(), torch.full((16,), 0.9 + 0.1 / 16))
        off = rows.sum(1) - rows.diagonal()
        close(off, torch.full((16,), 0.1 * 15 / 16))  # 0.09375
    own = torch.tensor([3] * 4 + [8] * 12)
    labels = F.one_hot(own, 174) * (1 - 0.1) + 0.1 / 174
    for rows in dst.soft_targets(labels, own):
        positive = (rows * (own[:, None] == own)).sum(1)
        close(positive, 0.9 + 0.1 * torch.tensor([4 / 16] * 4 + [12 / 16] * 12))


def test_one_hot_rows_are_class_indices():
    own = torch.tensor([1, 0, 1, 1])
    for rows in dst.soft_targets(F.one_hot(own, 3).float(), own):
        close(rows, dst.same_label_targets(own))


def test_a_mixed_clip_has_positives_among_the_texts_of_both_its_classes():
    """Mixup: each video spreads its weight over the texts, each text over the videos, in proportion to the labels."""
    method, frames = build(Config(tau=0.1, chinese=None)), randn(3, 4, 16)
    soft = torch.tensor([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.1, 0.0, 0.9]])  # texts of classes 0, 1, 2
    logits = method.similarities(frames)[0] / 0.1
    total = torch.zeros(())
    for i in range(3):
        for j in range(3):
            total = total - soft[i, j] / soft[i].sum() * logits[i].log_softmax(0)[j]
            total = total - soft[j, i] / soft[:, i].sum() * logits[:, i].log_softmax(0)[j]
    close(method.loss(frames, soft)["loss"], total / 6)


# Several processes ---------------------------------------------------------------------------------------------------

BATCH_LABELS = (0, 1, 1, 2)


def _loss_and_gradients(model, method, video, labels) -> dict[str, Tensor]:
    losses = model(video, labels)
    losses["loss"].backward()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {"loss": losses["loss"].detach(), **gradients}


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    method = noisy(build(Config(num_frames=2)), 0.02).train()
    model = nn.parallel.DistributedDataParallel(method)
    share = slice(rank * 2, rank * 2 + 2)
    video, labels = randn(4, 2, 3, 32, 32)[share], torch.tensor(BATCH_LABELS)[share]
    torch.save(_loss_and_gradients(model, method, video, labels), f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_loss_and_gradients_of_two_processes_are_those_of_one(tmp_path):
    torch.multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=2)
    method = noisy(build(Config(num_frames=2)), 0.02).train()
    expected = _loss_and_gradients(method, method, randn(4, 2, 3, 32, 32), torch.tensor(BATCH_LABELS))
    for rank in range(2):
        got = torch.load(tmp_path / f"{rank}.pt")
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-5)


# What the parts are and where they start -----------------------------------------------------------------------------


def test_without_prompts_it_is_frozen_clip_with_word_guided_pooling():
    method, clip, video = build(dst.VARIANTS["baseline"]).eval(), load_clip("random:nano"), randn(2, 4, 3, 32, 32)
    assert not [p for p in method.parameters() if p.requires_grad]
    assert method.frozen_features
    with torch.no_grad():
        frames = torch.stack([clip.image(one) for one in video])
        sentences = [clip.text([method.config.template.format(name)]).sentence[0] for name in NAMES]
        got = method(video)
        _, words, _ = texts(method)
        for n in range(2):
            for k in range(3):
                pooled = video_embedding(frames[n], words[k], method.tau)
                close(got[n, k], cosine(pooled, sentences[k]) / method.tau, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_zero_beta_the_residual_gives_the_prompts_back(kind):
    z = randn(2, 3, 8)
    prompts = noisy(Prompts(8, 2, Config(num_frames=3, beta=kind)))
    nn.init.zeros_(prompts.beta.up.weight)
    nn.init.zeros_(prompts.beta.up.bias)
    assert torch.equal(join(prompts(z), (2, 3)), join(prompts.plain(z), (2, 3)))
    prompts.residual = False
    assert not join(prompts(z), (2, 3)).any()
    fresh = Prompts(8, 2, Config(num_frames=3, beta=kind, zero_start=True))
    assert torch.equal(join(fresh(z), (2, 3)), join(fresh.plain(z), (2, 3)))


def gradients_of_the_first_step(config: Config) -> dict[str, Tensor]:
    method = build(config).train()
    method(randn(3, config.num_frames, 3, 32, 32), torch.arange(3))["loss"].backward()
    return {name: p.grad for name, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("zero_start", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_without_the_residual_the_prompts_are_alive_from_the_start(kind, zero_start):
    """With an up projection of zero they were all zero, and no weight before it had a gradient."""
    config = Config(num_frames=3, beta=kind, residual=False, zero_start=zero_start)
    prompts, z = Prompts(8, 2, config), randn(2, 3, 8)
    with torch.no_grad():
        rows = join(prompts(z), (2, 3))
    assert not torch.equal(rows[0], rows[1])  # two clips
    assert not torch.equal(rows[0, 0], rows[0, 1])  # two frames
    # TAda's own start (Huang et al., 2022): its calibration begins as 1 and is learned from the second step on
    at_zero = ("whole", "reduce") if kind == "tada" else ()
    gradients = {name: g for name, g in gradients_of_the_first_step(config).items() if ".beta." in name}
    assert gradients
    for name, gradient in gradients.items():
        assert gradient.any() == (not any(part in name for part in at_zero)), name


def test_a_start_at_zero_keeps_the_first_gradient_from_what_lies_before_it():
    behind = ("beta.down", "beta.network", "attention.in_proj", "norm")
    for zero_start in (True, False):
        for name, gradient in gradients_of_the_first_step(Config(num_frames=3, zero_start=zero_start)).items():
            assert gradient.any() != (zero_start and any(part in name for part in behind)), name


def test_a_start_at_zero_is_that_of_the_frames_own_class_tokens():
    prompts, z = Prompts(8, 2, Config(num_frames=3, zero_start=True)), randn(2, 3, 8)
    summary, shared, interchange = prompts.plain(z)
    close(summary[:, :, 0], z)
    close(interchange[:, 0], z + prompts.interchange)
    assert shared.shape == (1, 1, 8, 8)


def test_interchange_prompts_are_not_copied_for_every_frame():
    config = Config(num_frames=4, num_global=2)
    prompts, z = Prompts(8, 2, config), randn(3, 4, 8)
    for beta in (prompts.beta, None, dst.Beta(8, "mlp")):
        prompts.beta, seen = beta, []
        if beta is not None:
            beta.down.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0].shape[:-1].numel()))
        interchange = prompts.plain(z)[2]
        assert interchange.shape == (3, 1, 4, 8)
        rewritten = prompts(z)[2]
        assert rewritten.shape[1] == (1 if beta is None or isinstance(beta.network, nn.Identity) else 4)
        assert sum(seen) in (0, 3 * 4 + 2 + 3 * 4)  # not 3 * 4 * (1 + 2 + 4)


@pytest.mark.parametrize(("column", "num_frames"), [(0, 8), (1, 16)])
def test_the_docstring_counts_the_trained_parameters_as_they_are(column, num_frames):
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+) \| ([\d,]+) \|$", dst.__doc__, re.MULTILINE)
    with torch.device("meta"):
        layer = Prompts(768, 12, Config(num_frames=num_frames))

    def count(*modules) -> int:
        return 12 * sum(p.numel() for m in modules for p in (m.parameters() if isinstance(m, nn.Module) else [m]))

    assert [int(number.replace(",", "")) for number in (row[column] for row in rows)] == [
        count(layer.project), count(layer.attention, layer.norm), count(layer.shared), count(layer.interchange),
        count(layer.beta), num_frames * 768, count(layer) + num_frames * 768,
    ]  # fmt: skip


@pytest.mark.parametrize("num_frames", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_trained_parameters_are_those_of_table_6(kind, num_frames):
    with torch.device("meta"):
        layer = Prompts(768, 12, Config(beta=kind, num_frames=num_frames))
    total = 12 * sum(p.numel() for p in layer.parameters()) + num_frames * 768
    assert abs(total / 54.2e6 - 1) < 0.01


def test_trained_is_what_the_table_lists_and_nothing_else():
    method = build()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in method.named_parameters() if name.startswith(("temporal", "prompts."))}
    assert len(method.prompts) == len(method.clip.image.layers)


# Text towers and class names -----------------------------------------------------------------------------------------


def test_the_text_towers_leave_training_and_classes_can_still_be_named(monkeypatch):
    towers = []

    def load(name):
        tower = load_chinese_text(name)
        towers.append(weakref.ref(tower))
        return tower

    load_chinese_text = dst.load_chinese_text
    monkeypatch.setattr(dst, "load_chinese_text", load)
    clip = load_clip("random:nano")
    whole = sum(p.numel() for p in clip.parameters())
    text = sum(p.numel() for p in clip.text.parameters())
    sha256 = clip.fingerprint()
    method = methods.build("dual_semantic_tpr", clip, NAMES, NAMES_ZH)
    gc.collect()
    assert len(towers) == 1
    assert towers[0]() is None
    assert sum(p.numel() for p in method.parameters() if not p.requires_grad) == whole - text
    assert not [key for key in method.state_dict() if "text_model" in key or ".text." in key]
    assert method.clip_sha256 == sha256  # of both towers
    assert hasattr(clip, "text")  # the caller's CLIP is whole
    assert sum(p.numel() for p in clip.parameters()) == whole
    method.to(torch.bfloat16)
    assert next(clip.text.parameters()).dtype == torch.float32  # it follows the module nowhere
    method.set_classes(NAMES, NAMES_ZH)
    assert len(towers) == 1  # the same names cost nothing
    method.set_classes(("jump",), ("跳跃",))
    assert len(towers) == 2
    assert method.words.shape[:2] == (1, 4)


def test_a_model_does_not_load_with_another_chinese_tower(monkeypatch, tmp_path):
    checkpoint.save(tmp_path / "model", build())
    checkpoint.load(tmp_path / "model")
    load = dst.load_chinese_text

    def other(name):
        tower = load(name)
        nn.init.normal_(tower.projection.weight, generator=torch.Generator().manual_seed(9))
        return tower

    monkeypatch.setattr(dst, "load_chinese_text", other)
    with pytest.raises(ValueError, match="trained with another Chinese text tower than the one that 'auto' gives here"):
        checkpoint.load(tmp_path / "model")


def test_label_words_are_the_label_s_own_tokens():
    for template in ("This is a video about {}", "a video about {}.", "{} is what the video shows"):
        method = build(Config(template=template))
        tower = load_clip("random:nano").text
        for name in ("tying knot (not on a tie)", "Sit  Down", "run"):
            (at,) = label_tokens(method.text_tower, method.config.template, [name])
            assert at == list(range(at[0], at[0] + len(at)))
            sentence, alone = (tower.tokenizer.tokens(text) for text in (template.format(name), name))
            assert "".join(sentence[i] for i in at).replace("</w>", "") == "".join(alone[1:-1]).replace("</w>", "")
            assert len(at) == len(alone) - 2


def test_label_words_with_the_vocabulary_of_clip(real_data):
    """In the real vocabulary a bracket and the full stop behind it are one token, which then is the label's."""
    packed = (real_data / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    method = build(Config(template="a video about {}."))
    (tower,) = method._text_tower
    tower.tokenizer = bpe_tokenizer(merges)
    for name, words in {
        "brush hair": ["brush", "hair"],
        "tying knot (not on a tie)": ["tying", "knot", "(", "not", "on", "a", "tie", ")."],
        "smoke": ["smoke"],
    }.items():
        (at,) = label_tokens(method.text_tower, method.config.template, [name])
        tokens = tower.tokenizer.tokens(f"a video about {name}.")
        assert [tokens[i].removesuffix("</w>") for i in at] == words


def test_what_cannot_work_is_said_in_one_line():
    with pytest.raises(ValueError, match=r"expected a Chinese name for every class.*chinese=None"):
        build(names_zh=None)
    with pytest.raises(ValueError, match="class names that are texts, got ' '"):
        build(names=("run", " "), names_zh=("跑", "空"))
    with pytest.raises(ValueError, match="joint width 16, as 'random:nano', got 24 from 'random:24'"):
        build(Config(chinese="random:24"))
    method = build(Config(chinese=None), names_zh=None)
    method.clip.name = "some/clip"
    object.__setattr__(method, "config", Config())
    with pytest.raises(ValueError, match="no published Chinese-CLIP has the joint width 16 of 'some/clip'"):
        method.set_classes(("jump",), ("跳",))
    for wrong in (
        {"fusion": 1.5},
        {"tau": 0.0},
        {"tau": math.nan},
        {"num_frames": 0},
        {"num_global": 0},
        {"template": "no place"},
    ):
        with pytest.raises(ValueError, match="expected"):
            Config(**wrong)


def test_video_of_another_shape_is_refused(as_users_call):
    with pytest.raises(ValueError, match="axes 1 and 2 look swapped"):
        build().encode(randn(2, 3, 4, 32, 32))


def test_the_published_tower_goes_with_the_joint_width(monkeypatch):
    asked = []
    monkeypatch.setattr(dst, "load_chinese_text", lambda name: asked.append(name) or 1 / 0)
    clip = load_clip("random:nano")
    for name, width in (("tiny", 16), ("openai/clip-vit-base-patch16", 512), ("openai/clip-vit-large-patch14", 768)):
        clip.name, clip.image.embed_dim = name, width
        with pytest.raises(ZeroDivisionError):
            methods.build("dual_semantic_tpr", clip, NAMES, NAMES_ZH)
    assert asked == [
        "tiny_zh", "OFA-Sys/chinese-clip-vit-base-patch16", "OFA-Sys/chinese-clip-vit-large-patch14",
    ]  # fmt: skip


# Time ----------------------------------------------------------------------------------------------------------------


def test_another_number_of_frames_than_the_model_s_is_refused():
    method = build(Config(num_frames=4))
    for num_frames in (1, 8):
        with pytest.raises(ValueError, match=f"expected 4 frames per clip.*got {num_frames}; set num_frames"):
            method.encode(randn(1, num_frames, 3, 32, 32))
    build(dst.VARIANTS["baseline"]).encode(randn(1, 3, 3, 32, 32))  # without prompts any number will do


def test_it_learns_the_order_of_frames_which_frozen_clip_cannot_see():
    """Two classes of the same frames, one in reverse."""
    frames = randn(1, 4, 3, 32, 32).repeat(4, 1, 1, 1, 1) + 0.1 * randn(4, 4, 3, 32, 32, seed=1)
    video = torch.cat([frames, frames.flip(1)])
    labels = torch.tensor([0] * 4 + [1] * 4)
    frozen = build(dst.VARIANTS["baseline"], names=NAMES[:2], names_zh=NAMES_ZH[:2]).eval()
    close(frozen(video[:4]), frozen(video[4:]), rtol=1e-5, atol=1e-3)
    method = build(Config(num_frames=4), names=NAMES[:2], names_zh=NAMES_ZH[:2]).train()
    optimizer = torch.optim.AdamW(method.param_groups(5e-3))
    for _ in range(60):
        loss = method(video, labels)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert (method.eval()(video).argmax(1) == labels).all()
