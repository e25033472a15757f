"""Inference on a CPU: predictions in bf16 and int8."""

import copy
import inspect
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from actionprompt import commands, methods, prediction
from actionprompt.backbone.int8 import Int8Linear, to_int8
from actionprompt.prediction import precision
from actionprompt.prediction.precision import has_bf16, lowered
from actionprompt.weights import load_clip

NAMES, NAMES_ZH = ("left", "right", "up"), ("左", "右", "上")
CPU = torch.device("cpu")
EXAMPLE = next((Path(__file__).parents[1] / "examples").glob("*.mp4"))
METHODS = [name for name in methods.names() if name != "i3d_flow"]


def frames(method, num: int, seed: int = 0) -> torch.Tensor:
    num_frames = getattr(method.config, "num_frames", 8)
    video = torch.randint(0, 256, (num, num_frames, *method.frame_shape), dtype=torch.uint8,
                          generator=torch.Generator().manual_seed(seed))  # fmt: skip
    return method.normalise(video)


# int8 ----------------------------------------------------------------------------------------------------------------


def plain_int8(linear, x):
    """The same in whole numbers, image by image."""
    weight = linear.weight.detach().double()
    scales = weight.abs().amax(1) / 63
    whole = (weight / scales[:, None]).round()
    rows = []
    for image in x.double():
        low, high = min(image.min().item(), 0), max(image.max().item(), 0)
        scale = (high - low) / 255
        zero = round(-low / scale)
        steps = (image / scale + zero).round().clamp(0, 255) - zero
        rows.append((steps @ whole.T) * scale * scales + linear.bias.double())
    return torch.stack(rows)


@pytest.mark.parametrize("offset", [0.0, 5.0, -5.0])
def test_an_int8_layer_computes_in_whole_numbers(offset):
    torch.manual_seed(0)
    linear = torch.nn.Linear(300, 70)
    x = torch.randn(3, 11, 300) * torch.tensor([1.0, 100.0, 0.01])[:, None, None] + offset
    with torch.no_grad():
        ours, plain = Int8Linear(linear)(x), plain_int8(linear, x)
    error = (ours - plain).abs().amax((1, 2)) / plain.abs().amax((1, 2))
    assert float(error.max()) < 2e-3  # a few inputs lie between two steps, and are rounded the other way in float32


def test_products_do_not_overflow_where_all_are_as_large_as_can_be():
    linear = torch.nn.Linear(512, 4)
    torch.nn.init.constant_(linear.weight, 0.5)
    with torch.no_grad():
        assert torch.allclose(Int8Linear(linear)(torch.ones(1, 512)), linear(torch.ones(1, 512)), rtol=1e-4)


def test_zero_weights_zero_inputs_and_inputs_that_are_no_numbers():
    linear = torch.nn.Linear(4, 2)
    x = torch.stack([torch.zeros(4), torch.ones(4), torch.full((4,), torch.nan), torch.full((4,), torch.inf)])
    y = Int8Linear(linear)(x)
    assert torch.allclose(y[0], linear.bias)
    assert bool(y[1].isfinite().all())
    assert bool(y[2:].isnan().all())
    torch.nn.init.zeros_(linear.weight)
    assert torch.allclose(Int8Linear(linear)(torch.ones(1, 4)), linear.bias)


def test_an_image_does_not_depend_on_the_others_in_int8():
    image = load_clip("tiny").image
    to_int8(image.layers)
    x = torch.randn(4, 3, image.image_size, image.image_size, generator=torch.Generator().manual_seed(0))
    x[1:] *= 30
    with torch.no_grad():
        together, alone = image(x)[0], image(x[:1])[0]
    assert torch.allclose(together, alone, atol=1e-4)


# Every method --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_in_lower_precision(name):
    method = methods.build(name, load_clip("random:nano"), NAMES, NAMES_ZH).eval()
    state = copy.deepcopy(method.state_dict())
    video = frames(method, 2)
    for low in ("bf16", "int8"):
        other = lowered(method, low, CPU)
        with torch.no_grad():
            exact, rounded = (m.head(m.encode(video)).softmax(-1) for m in (method, other))
        assert 0 < float((exact - rounded).abs().max()) < 0.2
        assert other.clip_sha256 == method.clip_sha256
        assert other.encodes_frames == method.encodes_frames
    assert all(torch.equal(method.state_dict()[key], value) for key, value in state.items())  # it is left alone


@pytest.mark.parametrize("low", ["bf16", "int8"])
def test_a_judge_sees_the_same_features(low):
    """None of these by null prompts of frozen CLIP, whose head gets what `encode` returned."""
    clip = load_clip("tiny")
    exact, rounded = (
        prediction.zero_shot(NAMES, backbone=clip, none=True, device="cpu", precision=p) for p in ("float32", low)
    )
    video = frames(exact.method, 2)
    with torch.no_grad():
        a, b = (p.probabilities(p.method.encode(video)) for p in (exact, rounded))
    assert a.shape == b.shape == (2, len(NAMES) + 1)
    assert 0 < float((a - b).abs().max()) < 0.1
    assert F.cosine_similarity(a, b).min() > 0.99


# What is said and refused ----------------------------------------------------------------------------------------


def test_what_cannot_be_had_is_refused_in_a_line():
    tiny = load_clip("random:nano")
    method = methods.build("zeroshot", tiny, NAMES)
    with pytest.raises(ValueError, match="expected a precision of float32, bf16 or int8, got 'no'"):
        inspect.unwrap(lowered)(method, "no", CPU)
    with pytest.raises(ValueError, match="expected bf16 or float32 on cuda: int8 computes on a CPU alone"):
        lowered(method, "int8", torch.device("cuda"))
    with pytest.raises(ValueError, match="which i3d_flow does not use"):
        lowered(methods.build("i3d_flow", tiny, NAMES), "int8", CPU)


def test_where_torch_has_no_int8_it_is_said_in_a_line(monkeypatch):
    def missing(*_):
        raise RuntimeError("no oneDNN\nand much more")

    monkeypatch.setattr(Int8Linear, "forward", missing)
    with pytest.raises(ValueError, match=r"a processor on which torch computes in int8 \(oneDNN\): no oneDNN$"):
        to_int8(torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_slow_bf16_is_said_where_the_processor_has_no_instructions(monkeypatch):
    assert has_bf16({})
    assert has_bf16({"avx512_bf16": False, "amx_bf16": True})
    assert not has_bf16({"avx512_bf16": False, "amx_bf16": False})
    for found, said in (({"avx512_bf16": False}, [precision.SLOW_BF16]), ({"avx512_bf16": True}, [])):
        monkeypatch.setattr(precision, "capabilities", lambda found=found: found)
        assert list(precision.what_changes("bf16", CPU)) == said
    assert list(precision.what_changes("float32", CPU)) == []
    assert list(precision.what_changes("bf16", torch.device("cuda"))) == []


def test_predict_in_int8(tmp_path, capsys):
    answers = {}
    for name in ("float32", "int8"):
        file = tmp_path / f"{name}.json"
        words = ["predict", str(EXAMPLE), "--labels", ",".join(NAMES), "--backbone", "tiny", "--json", str(file)]
        assert commands.main([*words, "--precision", name]) == 0
        assert (precision.INT8 in " ".join(capsys.readouterr().err.split())) == (name == "int8")
        answers[name] = json.loads(file.read_text())
    exact, rounded = (answers[name]["predictions"][0]["scores"] for name in ("float32", "int8"))
    assert answers["int8"]["about"]["settings"]["precision"] == "int8"
    assert precision.INT8 in answers["int8"]["warnings"]
    assert precision.INT8 not in answers["float32"]["warnings"]
    assert exact != rounded
    assert max(abs(a - b) for a, b in zip(sorted(exact), sorted(rounded))) < 0.05
