"""What the bench counts is exact on sizes worked out by hand; its record is whole. No times are asserted."""

import json
from functools import partial

import pytest
import torch
from torch import nn

from actionprompt import commands, methods
from actionprompt.commands import _shared
from actionprompt.study import bench, meters, pages

TINY_VIT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
}  # fmt: skip


def test_macs_of_a_linear_layer_and_of_attention():
    linear, x = nn.Linear(5, 7), torch.randn(3, 5)
    assert meters.count_macs(lambda: linear(x)) == 3 * 5 * 7
    # backward: the gradients of the weights, and no gradient of the input, which needs none
    assert meters.count_macs(lambda: linear(x).sum().backward()) == 2 * 3 * 5 * 7
    attention, y = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(1, 6, 8)
    with torch.no_grad():
        count = meters.count_macs(lambda: attention(y, y, y, need_weights=False))
    assert count == 4 * 6 * 8 * 8 + 2 * 6 * 6 * 8
    assert torch.backends.mha.get_fastpath_enabled()


def test_peak_of_live_tensors():
    x = torch.randn(1000)
    with meters.LiveTensors([x]) as live:
        y = x + 1
        z = y * 2  # both alive: 2 x 4000 bytes
        del y
        x.view(10, 100)  # no new bytes
        z = z + 1
        assert live.now == 4000
        del z
    assert (live.now, live.peak) == (0, 8000)
    assert bench.peak_mb(lambda: x + 1, [x, x.view(10, 100)], "cpu", 0) == 0.008


def test_ratios_are_medians_within_a_turn():
    found = meters.against({"a": [1.0, 2.0, 10.0], "b": [2.0, 3.0, 10.0]}, "a")
    assert found["b"]["ratios"] == [2, 1.5, 1]
    assert found["b"]["ratio"] == 1.5
    seconds = iter(range(100))
    assert meters.turns({"a": lambda: None}, 3, clock=lambda: next(seconds), number=2) == {"a": [0.5] * 3}


@pytest.fixture(scope="module")
def record():
    names = ["zeroshot", "zeroshot:linear", "vifi_clip", "dual_semantic_tpr"]
    return bench.measure(["random:nano"], names, peers=False, num_frames=4, batch_size=2, num_classes=32, repeats=1)


def test_the_record_is_whole(record, tmp_path):
    record = json.loads(json.dumps(record))
    for field in ("commit", "hardware", "versions", "command", "hours", "unit", "clock", "threads", "repeats"):
        assert field in record
    tower, zeroshot, linear, vifi, dual = record["rows"]
    assert not any("error" in row for row in record["rows"])
    assert tower["inference"]["ratio"] == 1
    for row in (zeroshot, linear, vifi, dual):
        assert row["inference"].keys() >= {"seconds", "ratio", "ratios", "clips_per_s"}
        assert row["macs_per_clip"]["inference"] >= tower["macs_per_clip"]["inference"]
        assert row["memory_mb"]["inference"] >= tower["memory_mb"]["inference"]
    assert [row["inference_limit"] for row in (zeroshot, vifi, dual)] == [1.1, 1.1, 1.35]
    assert "training_step" not in zeroshot
    assert linear["trained_parameters"] == 32 * 16
    assert {"training_step", "cached_step"} <= linear.keys()
    assert "cached_step" not in vifi
    assert vifi["trained_parameters"] == vifi["parameters"]
    assert vifi["macs_per_clip"]["training_step"] > 2.5 * tower["macs_per_clip"]["inference"]
    assert vifi["memory_mb"]["training_step"] > vifi["memory_mb"]["inference"]

    (memory,) = record["training_memory"]["measured"]
    assert [(c["precision"], c["gradient_checkpointing"]) for c in memory["cases"]] == [
        (precision, recompute) for precision in ("float32", "bf16 autocast") for recompute in (False, True)
    ]
    assert all(case["mb"] > tower["memory_mb"]["inference"] for case in memory["cases"])

    head, *rows = bench.table(record)
    assert len(rows) == 5
    assert all(len(row) == len(head) for row in rows)
    assert len(bench.memory_lines(record)) == 4
    bench.plot(record, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 5000


def test_memory_without_numbers_is_that_of_a_real_step(record):
    method = bench.build_method("dual_semantic_tpr", "random:nano", bench.class_names(32), 4).train()
    optimizer = torch.optim.AdamW(method.param_groups(1e-6))
    inputs, real = (torch.randn(32, 4, 3, *[method.clip.image.image_size] * 2), torch.arange(32)), []
    bench.training_step(method, optimizer, *(x[:1] for x in inputs), device="cpu", bf16=False)
    held = [*method.parameters(), *method.buffers(), *meters.states_of(optimizer), *inputs]
    for bf16, recompute in ((False, False), (False, True), (True, False), (True, True)):
        method.clip.set_gradient_checkpointing(recompute)
        step = partial(bench.training_step, method, optimizer, *inputs, device="cpu", bf16=bf16)
        real.append(bench.peak_mb(step, held, "cpu", 0))
    assert [case["mb"] for case in record["training_memory"]["measured"][0]["cases"]] == pytest.approx(real, rel=1e-3)
    assert len(set(real)) == 4


def test_a_page_shows_the_record(record, tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps(record))
    (tmp_path / "bench_other.json").write_text("{}")
    part = "<!-- generated: costs bench -->\n<!-- end -->\n"
    text = pages.fill(part, [], tmp_path / "plots", pages.collect_benchmarks(tmp_path))
    lines = text.splitlines()
    assert lines[1].startswith("| backbone | model | frames |")
    assert [line.split(" | ")[1] for line in lines[3:8]] == [row["model"] for row in record["rows"]]
    assert "dual_semantic_tpr, random:nano, batch 32, float32: " in text
    assert (tmp_path / "plots" / "bench.png").is_file()
    assert pages.fill(text, [], None, pages.collect_benchmarks(tmp_path)) == text


@pytest.mark.parametrize("name", bench.PEERS)
def test_peers_are_called_like_methods(name):
    shape = {"tubelet_size": [2, 16, 16]} if name == "ViViT-B" else {}
    peer = bench.Peer(name, 5, **TINY_VIT, **shape).eval()
    assert peer.num_frames == bench.PEERS[name][1]
    video = torch.randn(2, peer.num_frames, 3, 32, 32)
    with torch.no_grad():
        first, again = peer(video), peer(video)  # the second from kept names
    assert first.shape == (2, 5)
    assert torch.equal(first, again)
    loss = peer.train()(video, torch.tensor([1, 3]))["loss"]
    assert loss.isfinite()
    loss.backward()
    listed = [p for group in peer.param_groups(1.0) for p in group["params"]]
    assert len(listed) == len(list(peer.parameters()))


def test_a_model_that_cannot_run_is_a_row_with_its_reason(monkeypatch, tmp_path, capsys):
    def broken(self, features):
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(methods.get("zeroshot").Model, "head", broken)
    out = tmp_path / "bench.json"
    options = "--backbones random:nano --methods zeroshot --no-peers --repeats 1 --num-classes 2"
    assert commands.main(["bench", "--out", str(out), *options.split()]) == 1
    assert json.loads(out.read_text())["rows"][1]["error"] == "out of memory"
    assert out.with_suffix(".png").is_file()
    said = capsys.readouterr()
    assert "bare tower" in said.out
    assert "random:nano, zeroshot: out of memory" in said.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--methods vifi_clp", "did you mean 'vifi_clip'?"),
        ("--methods vifi_clip:image", "vifi_clip has no variant 'image'; there are image_only, text_only"),
        ("--backbones random:huge", "expected random: and one of"),
        ("--repeats 0", "expected --repeats of at least 1, got 0"),
        ("--num-classes 401", "expected at most 400 classes, got 401"),
        ("--device cuda", "torch sees no such device"),
    ],
)
def test_nonsense_is_answered_in_one_line(options, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(_shared.err, "width", 300)
    assert commands.main(["bench", "--out", str(tmp_path / "b.json"), *options.split()]) == 2
    assert expected in capsys.readouterr().err


def test_gpus_are_known_by_name():
    assert bench.peak_flops("NVIDIA H200") == 989e12
    assert bench.peak_flops("NVIDIA H100 PCIe") == 756e12
    assert bench.peak_flops("NVIDIA GeForce RTX 3060") is None
