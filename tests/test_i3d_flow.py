"""I3D on optical flow: the network against the published layer table, checkpoints by name, training and testing."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from actionprompt import checkpoint, methods
from actionprompt.clips import Clip, ClipList
from actionprompt.config import Augment, DataConfig, TrainConfig
from actionprompt.evaluation import evaluate
from actionprompt.methods import i3d_flow
from actionprompt.methods.i3d_flow import MaxPool, from_public, same_padding
from actionprompt.training import FROM_FLOW, train
from actionprompt.video.flow import quantise
from actionprompt.weights import load_clip
from test_flow import pan

# (name, input channels, 1x1; 1x1 and 3x3; 1x1 and 3x3; 1x1 after pooling), GoogLeNet's Table 1
MODULES = (
    ("Mixed_3b", 192, 64, 96, 128, 16, 32, 32),
    ("Mixed_3c", 256, 128, 128, 192, 32, 96, 64),
    ("Mixed_4b", 480, 192, 96, 208, 16, 48, 64),
    ("Mixed_4c", 512, 160, 112, 224, 24, 64, 64),
    ("Mixed_4d", 512, 128, 128, 256, 24, 64, 64),
    ("Mixed_4e", 512, 112, 144, 288, 32, 64, 64),
    ("Mixed_4f", 528, 256, 160, 320, 32, 128, 128),
    ("Mixed_5b", 832, 256, 160, 320, 32, 128, 128),
    ("Mixed_5c", 832, 384, 192, 384, 48, 128, 128),
)


def convolutions() -> dict[str, tuple[int, int, int]]:
    """Kernel side, input and output channels of every convolution with BatchNorm, by the names of the PyTorch port."""
    table = {"Conv3d_1a_7x7": (7, 2, 64), "Conv3d_2b_1x1": (1, 64, 64), "Conv3d_2c_3x3": (3, 64, 192)}
    for name, inputs, one, three_in, three, five_in, five, pooled in MODULES:
        table |= {
            f"{name}.b0": (1, inputs, one),
            f"{name}.b1a": (1, inputs, three_in), f"{name}.b1b": (3, three_in, three),
            f"{name}.b2a": (1, inputs, five_in), f"{name}.b2b": (3, five_in, five),
            f"{name}.b3b": (1, inputs, pooled),
        }  # fmt: skip
    return table


def port_state(num_classes: int, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors in the names and shapes of the PyTorch port's files."""
    rng, state = torch.Generator().manual_seed(seed), {}
    for name, (side, inputs, outputs) in convolutions().items():
        fan = inputs * side**3
        state[f"{name}.conv3d.weight"] = torch.randn(outputs, inputs, side, side, side, generator=rng) / math.sqrt(fan)
        state[f"{name}.bn.weight"] = torch.rand(outputs, generator=rng) + 0.5
        state[f"{name}.bn.bias"] = torch.randn(outputs, generator=rng) / 5
        state[f"{name}.bn.running_mean"] = torch.randn(outputs, generator=rng) / 5
        state[f"{name}.bn.running_var"] = torch.rand(outputs, generator=rng) + 0.5
    state["logits.conv3d.weight"] = torch.randn(num_classes, 1024, 1, 1, 1, generator=rng) / 32
    state["logits.conv3d.bias"] = torch.randn(num_classes, generator=rng)
    return state


def authors_state(port: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in the names and shapes of the TensorFlow checkpoints, which have no scale in BatchNorm."""
    state = {}
    for name in convolutions():
        layer, _, branch = name.partition(".")
        place = {
            "": "", "b0": "/Branch_0/Conv3d_0a_1x1",
            "b1a": "/Branch_1/Conv3d_0a_1x1", "b1b": "/Branch_1/Conv3d_0b_3x3",
            "b2a": "/Branch_2/Conv3d_0a_1x1", "b2b": "/Branch_2/Conv3d_0b_3x3",
            "b3b": "/Branch_3/Conv3d_0b_1x1",
        }[branch]  # fmt: skip
        if name == "Mixed_5b.b2b":
            place = "/Branch_2/Conv3d_0a_3x3"
        prefix = f"Flow/inception_i3d/{layer}{place}"
        state[f"{prefix}/conv_3d/w"] = port[f"{name}.conv3d.weight"].permute(2, 3, 4, 1, 0).contiguous()
        for theirs, own in (("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var")):
            state[f"{prefix}/batch_norm/{theirs}"] = port[f"{name}.bn.{own}"].reshape(1, 1, 1, 1, -1)
    prefix = "Flow/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d"
    state[f"{prefix}/w"] = port["logits.conv3d.weight"].permute(2, 3, 4, 1, 0).contiguous()
    state[f"{prefix}/b"] = port["logits.conv3d.bias"]
    return state


def build(num_classes: int = 3, **options) -> i3d_flow.Model:
    names = [f"class {i}" for i in range(num_classes)]
    return methods.build("i3d_flow", load_clip("random:nano"), names, config=i3d_flow.Config(**options))


def load(model: i3d_flow.Model, state: dict[str, Tensor]) -> i3d_flow.Model:
    model.load_trained_state(state)
    return model.eval()


# The network ---------------------------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_the_published_network_at_400_classes():
    table = convolutions().values()
    kernels = sum(side**3 * inputs * outputs for side, inputs, outputs in table)
    channels = sum(outputs for _, _, outputs in table)
    logits = 1024 * 400 + 400
    assert (len(table), kernels, channels, logits) == (57, 12_250_752, 7_280, 410_000)
    port = kernels + 2 * channels + logits  # BatchNorm with scale and offset
    authors = kernels + channels + logits  # with offset alone
    assert (port, authors) == (12_675_312, 12_668_032)
    model = build(400)
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == port
    assert sum(n for name, n in trained.items() if not name.endswith("bn.weight")) == authors


@pytest.mark.parametrize(("num_frames", "places"), [(64, 7), (250, 31), (16, 1), (9, 1), (8, 1), (1, 1)])
def test_the_maps_have_the_papers_sizes(num_frames, places):
    sizes = {}
    with torch.device("meta"):
        layers = i3d_flow.network().eval()
        x = torch.empty(1, 2, num_frames, 224, 224)
        for name, layer in layers.named_children():
            x = layer(x)
            sizes[name] = tuple(x.shape[1:])
    half, quarter, eighth = (-(-num_frames // n) for n in (2, 4, 8))
    expected = {
        "Conv3d_1a_7x7": (64, half, 112, 112), "MaxPool3d_2a_3x3": (64, half, 56, 56),
        "Conv3d_2c_3x3": (192, half, 56, 56), "MaxPool3d_3a_3x3": (192, half, 28, 28),
        "Mixed_3c": (480, half, 28, 28), "MaxPool3d_4a_3x3": (480, quarter, 14, 14), "Mixed_4f": (832, quarter, 14, 14),
        "MaxPool3d_5a_2x2": (832, eighth, 7, 7), "Mixed_5c": (1024, eighth, 7, 7),
    }  # fmt: skip
    assert {name: sizes[name] for name in expected} == expected
    assert max(1, eighth - 1) == places


@pytest.mark.slow
def test_a_forward_pass_at_full_size():
    model = build(400).eval()
    with torch.no_grad():
        features = model.encode(torch.rand(1, 64, 2, 224, 224) * 2 - 1)
        assert features.shape == (1, 7, 1024)
        logits = model.head(features)
    assert logits.shape == (1, 400)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (112, 3, 2, 0, 1), (7, 3, 2, 1, 1), (5, 7, 2, 3, 3), (14, 2, 2, 0, 0), (7, 2, 2, 0, 1),
     (9, 1, 1, 0, 0), (9, 3, 1, 1, 1), (1, 3, 2, 1, 1)],
)  # fmt: skip
def test_padding_is_tensorflows_same(size, kernel, stride, before, after):
    assert same_padding((1, 1, size), (1, 1, kernel), (1, 1, stride)) == [before, after, 0, 0, 0, 0]
    assert same_padding((size, 1, 1), (kernel, 1, 1), (stride, 1, 1)) == [0, 0, 0, 0, before, after]
    assert (size + before + after - kernel) // stride + 1 == math.ceil(size / stride)


def test_pooling_after_relu_does_not_see_the_zeros_of_its_padding():
    x = torch.relu(torch.randn(2, 3, 5, 7, 8))
    for size, stride in (
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((2, 2, 2), (2, 2, 2)),
        ((3, 3, 3), (1, 1, 1)),
    ):
        padded = F.pad(x, same_padding(x.shape[2:], size, stride), value=-torch.inf)
        expected = F.max_pool3d(padded, size, stride)
        assert torch.equal(MaxPool(size, stride)(x), expected)


def reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits [N, K] of flow [N, 2, T, S, S], straight from the published layer list and the port's tensors."""

    def pad(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int], value: float) -> Tensor:
        sides = []
        for size, k, s in zip(x.shape[2:], kernel, stride):
            total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
            sides = [total // 2, total - total // 2, *sides]
        return F.pad(x, sides, value=value)

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = F.conv3d(pad(x, tuple(weight.shape[2:]), (stride,) * 3, 0.0), weight, stride=stride)
        mean, var, scale, offset = (
            state[f"{name}.bn.{part}"].view(1, -1, 1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return torch.relu((x - mean) / torch.sqrt(var + 1e-3) * scale + offset)

    def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
        return F.max_pool3d(pad(x, kernel, stride, -torch.inf), kernel, stride)

    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for name, *_ in MODULES:
        if name == "Mixed_4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        x = torch.cat([
            unit(x, f"{name}.b0"),
            unit(unit(x, f"{name}.b1a"), f"{name}.b1b"),
            unit(unit(x, f"{name}.b2a"), f"{name}.b2b"),
            unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"),
        ], 1)  # fmt: skip
    weight, bias = state["logits.conv3d.weight"], state["logits.conv3d.bias"]
    windows = [x[:, :, t : t + 2].mean((2, 3, 4)) for t in range(x.shape[2] - 1)]
    return torch.stack([window @ weight[:, :, 0, 0, 0].T + bias for window in windows]).mean(0)


def test_logits_are_those_of_the_published_layers():
    state = port_state(4)
    model = load(build(4), from_public(state))
    codes = torch.randint(1, 256, (2, 20, 2, 33, 33), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference(state, (codes.transpose(1, 2).float() - 128) / 127)
        found = model(model.normalise(codes))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class Maps(nn.Module):
    """In place of the network: always the same maps."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, video: Tensor) -> Tensor:
        return self.maps


def test_a_map_of_7_by_7_is_averaged_whole_and_in_pairs_of_time():
    maps = torch.randn(2, 1024, 4, 7, 7)
    model = build(3).eval()
    model.network = Maps(maps)
    features = model.encode(torch.zeros(2, 25, 2, 7, 7))
    expected = torch.stack([maps[:, :, t : t + 2].mean((2, 3, 4)) for t in range(3)], 1)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    logits = torch.stack([model.logits(expected[:, t]) for t in range(3)]).mean(0)
    torch.testing.assert_close(model.head(features), logits, rtol=1e-5, atol=1e-5)


def test_codes_become_flow_between_minus_one_and_one():
    flow_px = np.array([-35, -20, -10, 0, 5, 20, 35], np.float32)
    codes = torch.from_numpy(quantise(np.tile(flow_px, (1, 1, 2, 7, 1))))
    normalised = build().normalise(codes)[0, 0, 0, 0]
    torch.testing.assert_close(normalised, torch.tensor([-1, -1, -0.5, 0, 0.25, 1, 1]), rtol=0, atol=0.5 / 127)
    assert normalised[3] == 0


# Public checkpoints --------------------------------------------------------------------------------------------------


def test_both_kinds_of_public_checkpoints_are_the_same_model(tmp_path):
    port = port_state(400)
    for name in convolutions():
        port[f"{name}.bn.weight"] = torch.ones_like(port[f"{name}.bn.weight"])
    torch.save(port, tmp_path / "flow_imagenet.pt")
    save_file(authors_state(port), tmp_path / "flow_imagenet.safetensors")
    from_port = from_public(torch.load(tmp_path / "flow_imagenet.pt", weights_only=True))
    from_authors = from_public(load_file(tmp_path / "flow_imagenet.safetensors"))
    assert from_port.keys() == from_authors.keys() == build(400).trained_state().keys()
    assert all(torch.equal(value, from_authors[name]) for name, value in from_port.items())
    model = load(build(400), from_authors)
    assert torch.equal(model.logits.weight, port["logits.conv3d.weight"].flatten(1))
    assert torch.equal(model.network.Mixed_5b.b2b.conv3d.weight, port["Mixed_5b.b2b.conv3d.weight"])


def test_every_tensor_of_a_checkpoint_is_accounted_for():
    port = port_state(157)
    counted = {**port, **{f"{name}.bn.num_batches_tracked": torch.tensor(7) for name in convolutions()}}
    assert all(torch.equal(a, b) for a, b in zip(from_public(counted).values(), from_public(port).values()))
    authors = authors_state(port)
    for state, name in ((port, "Mixed_4c.b2b.bn.running_var"), (authors, "Flow/inception_i3d/Conv3d_2b_1x1/conv_3d/w")):
        less = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match=f"1 of its tensors are missing .first: ..{name}... and 0 are unknown"):
            from_public(less)
        with pytest.raises(ValueError, match=r"0 of its tensors are missing .* and 1 are unknown \(first: \['momentum"):
            from_public({**state, "momentum": torch.zeros(1)})
        with pytest.raises(ValueError, match="expected shape"):
            from_public({**state, name: state[name][..., :-1]})
    rgb = {**port, "Conv3d_1a_7x7.conv3d.weight": torch.zeros(64, 3, 7, 7, 7)}
    with pytest.raises(
        ValueError, match=r"expected shape \[64, 2, 7, 7, 7\].* got \[64, 3, 7, 7, 7\]; .* RGB stream 3"
    ):
        from_public(rgb)
    with pytest.raises(
        ValueError, match=r"287 of its tensors are missing .* and 230 are unknown .*; RGB/ is the other stream"
    ):
        from_public({name.replace("Flow/", "RGB/"): value for name, value in authors.items()})


def test_a_head_of_other_classes_is_refused_and_starts_anew_when_asked(tmp_path):
    published = from_public(port_state(5))
    with pytest.raises(ValueError, match=r"logits.weight: expected shape \[3, 1024\], got \[5, 1024\]"):
        build(3).load_trained_state(published)
    checkpoint.save(tmp_path / "model", load(build(5), published), data=DataConfig())
    model = build(3)
    before = model.logits.weight.detach().clone()
    facts = checkpoint.start_from(model, tmp_path)
    assert torch.equal(model.logits.weight, before)
    assert torch.equal(model.network.Mixed_3b.b0.bn.running_var, published["network.Mixed_3b.b0.bn.running_var"])
    assert sorted(facts["anew"]) == ["logits.bias", "logits.weight"]
    assert len(facts["copied"]) == len(published) - 2


# Training and testing ------------------------------------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path, monkeypatch) -> ClipList:
    """Textures that move to the right, slowly or fast; the windows are 32 pixels wide."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(i3d_flow.Model, "frame_shape", property(lambda self: (2, 32, 32)))
    found = []
    for index in range(6):
        path = pan(tmp_path / f"{index}.mp4", 12, step_px=1 + 4 * (index % 2))
        found.append(Clip(f"{index}.mp4", path, index % 2))
    return ClipList("pans", tuple(found), ("slow", "fast"))


DATA = DataConfig(
    num_frames=8, test_frames=11, sampling="dense", stride=1, pooling="logits",
    augment=Augment(crop_scale=(1, 1), crop_ratio=(1, 1), grey=0),
)  # fmt: skip
TRAIN = TrainConfig(epochs=6, batch_size=6, lr=1e-3, num_workers=0, clip_grad_norm=None)


@pytest.mark.slow
def test_the_trainer_and_the_evaluator_take_it_as_any_other_method(clips, tmp_path):
    torch.set_num_threads(1)
    method = methods.build("i3d_flow", load_clip("tiny"), clips.class_names)
    result = train(method, clips, tmp_path / "run", config=TRAIN, data_config=DATA, device="cpu")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == list(range(1, 7))
    losses = [entry["loss"] for entry in log]
    assert losses[0] == pytest.approx(math.log(2), abs=0.4)
    assert max(losses[-2:]) < 0.5 * losses[0]
    loaded, manifest = checkpoint.load(result.folder)
    assert manifest["trained_on"] == FROM_FLOW
    assert manifest["config"] == {"flow": "dis", "dropout": 0.5}
    assert loaded.network.Mixed_4d.b0.bn.num_batches_tracked == 6
    assert torch.equal(loaded.network.Mixed_4d.b0.bn.running_mean, method.network.Mixed_4d.b0.bn.running_mean)
    report = evaluate(loaded, clips, DATA, num_workers=0)
    assert report.metrics.num_clips == 6
    assert not report.broken
    again = evaluate(method, clips, DATA, num_workers=0, batch_size=1)
    for key, row in report.probabilities.items():
        assert again.probabilities[key] == pytest.approx(row, abs=1e-5)


def test_statistics_of_batch_norm_come_from_the_micro_batch(clips):
    method = methods.build("i3d_flow", load_clip("tiny"), clips.class_names)
    video = torch.randn(4, 8, 2, 32, 32)
    method.train()
    with torch.no_grad():
        assert not torch.allclose(method.encode(video)[:2], method.encode(video[:2]), atol=1e-3)
        method.eval()
        torch.testing.assert_close(method.encode(video)[:2], method.encode(video[:2]), rtol=1e-4, atol=1e-4)


def test_what_makes_no_sense_on_flow_is_an_error(clips, tmp_path, as_users_call):
    method = methods.build("i3d_flow", load_clip("tiny"), clips.class_names)
    options = {"folder": tmp_path / "run", "device": "cpu"}
    with pytest.raises(
        ValueError, match=r"expected augment.crop_scale .* instead of .*augment.grey 0.0 instead of 0.2;"
    ):
        train(method, clips, config=TRAIN, data_config=DataConfig(), **options)
    jitter = Augment(crop_scale=(1, 1), crop_ratio=(1, 1), grey=0, colour_jitter=0.8)
    with pytest.raises(ValueError, match=r"expected augment.colour_jitter 0.0 instead of 0.8; the recipes of i3d_flow"):
        train(method, clips, config=TRAIN, data_config=DataConfig(augment=jitter), **options)
    with pytest.raises(ValueError, match="i3d_flow has no transformer layers to recompute"):
        train(method, clips, config=TrainConfig(gradient_checkpointing=True), data_config=DATA, **options)
    with pytest.raises(ValueError, match=r"expected optical flow \[N, T, 2, S, S\], got \[1, 8, 3, 32, 32\]"):
        method.encode(torch.zeros(1, 8, 3, 32, 32))
    with pytest.raises(ValueError, match="i3d_flow has no attention to show"):
        method.attention_maps(torch.zeros(1, 8, 2, 32, 32))
    with pytest.raises(ValueError, match="cannot be given other names"):
        method.set_classes(["other", "names"])
    clip = load_clip("random:nano")
    clip.name = "openai/clip-vit-large-patch14"
    with pytest.raises(
        ValueError, match="i3d_flow has no CLIP backbone: leave --backbone out, got 'openai/clip-vit-large"
    ):
        methods.build("i3d_flow", clip, clips.class_names)


def test_the_recipe_is_the_papers_input():
    found = methods.defaults("i3d_flow", protocol="closed-set", dataset="hmdb51")
    assert (found.data.num_frames, found.data.test_frames, found.data.sampling, found.data.stride) == (
        64,
        250,
        "dense",
        1,
    )
    assert found.data.resize_side == 256
    assert found.data.augment == Augment(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.5, grey=0)
    assert found.train.batch_size // found.train.micro_batches == 6
    assert found.recipe == "closed-set"


def test_learned_tables_refuse_other_test_frames():
    method = methods.build("vita_clip", load_clip("random:nano"), ["a", "b"])
    frames = method.config.num_frames
    clips = ClipList("x", (Clip("a", Path("a"), 0),), ("a", "b"))
    with pytest.raises(ValueError, match=f"num_frames={frames}, the data for {frames + 1}: expected the same"):
        evaluate(method, clips, DataConfig(num_frames=frames, test_frames=frames + 1), num_workers=0)
