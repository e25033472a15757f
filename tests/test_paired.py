"""Paired comparisons against plain loops, known values, and data made with a known difference."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from actionprompt.clips import Clip, ClipList
from actionprompt.evaluation import Report
from actionprompt.metrics import measure
from actionprompt.study import experiment, paired, protocols

RNG = np.random.default_rng(3)


def bits(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def test_bits_survive_hex_and_a_text_of_another_length_is_refused():
    for num_clips in (1, 7, 8, 9, 1000):
        right = RNG.random(num_clips) < 0.6
        text = paired.to_hex(right.tolist())
        assert len(text) == 2 * math.ceil(num_clips / 8)
        assert np.array_equal(paired.from_hex(text, num_clips), right)
    assert paired.to_hex([True, False, True]) == "a0"
    with pytest.raises(ValueError, match="expected 4 hex digits for 9 clips, got 2"):
        paired.from_hex("a0", 9)


def test_mcnemar_is_the_binomial_test_of_the_discordant_clips():
    for only_a, only_b in ((0, 0), (5, 0), (1, 9), (10, 12), (3, 3)):
        a = bits(*[1] * only_a, *[0] * only_b, 1, 0, 1)
        b = bits(*[0] * only_a, *[1] * only_b, 1, 0, 1)
        n, extreme = only_a + only_b, abs(only_a - only_b)
        outcomes = [abs(2 * sum(flips) - n) >= extreme for flips in itertools.product((0, 1), repeat=min(n, 14))]
        if n <= 14:
            assert paired.mcnemar(a, b) == pytest.approx(sum(outcomes) / len(outcomes))
    many = bits(*[1] * 40, *[0] * 20)
    assert paired.mcnemar(many, ~many) == pytest.approx(0.01352, abs=1e-4)  # R: binom.test(20, 60)


def test_random_sign_changes_agree_with_mcnemar():
    a, b = RNG.random((1, 300)) < 0.6, RNG.random((1, 300)) < 0.5
    exact = paired.compare(a, b)
    assert exact.p == paired.mcnemar(a[0], b[0])
    assert paired.compare(a, b, np.arange(300)).p == pytest.approx(exact.p, abs=0.02)


def test_the_bootstrap_draws_blocks_and_takes_them_in_all_seeds():
    a, b = RNG.random((3, 40)) < 0.7, RNG.random((3, 40)) < 0.5
    blocks = np.arange(40) // 2
    found = paired.compare(a, b, blocks)
    rng, means = np.random.default_rng(7), []
    for _ in range(1500):
        clips = [c for block in rng.integers(20, size=20) for c in range(40) if blocks[c] == block]
        means.append(100 * np.mean([a[s, c] - float(b[s, c]) for s in range(3) for c in clips]))
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=1.2)
    assert found.high == pytest.approx(high, abs=1.2)
    assert found.points == pytest.approx(np.mean(found.by_seed))
    assert found.by_seed[1] == pytest.approx(100 * (a[1].mean() - b[1].mean()))
    assert found.discordant == pytest.approx(np.mean(a != b))


def test_twins_that_answer_alike_widen_the_interval():
    half = RNG.random((1, 200)) < 0.6
    a, b = np.repeat(half, 2, axis=1), np.repeat(RNG.random((1, 200)) < 0.5, 2, axis=1)
    alone, together = paired.compare(a, b), paired.compare(a, b, np.arange(400) // 2)
    assert together.high - together.low > 1.3 * (alone.high - alone.low)
    assert together.p > alone.p


def test_no_difference_is_rarely_found(monkeypatch):
    monkeypatch.setattr(paired, "NUM_RESAMPLES", 4000)
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = rng.random((2, 200)) < 0.5, rng.random((2, 200)) < 0.5
        d = paired.compare(a, b, np.arange(200))
        found += d.p < 0.05
        assert (d.p < 0.03) <= (d.low > 0 or d.high < 0) <= (d.p < 0.08)
    assert found <= 6


def test_different_clips_are_refused():
    with pytest.raises(ValueError, match=r"same seeds and clips, got \(1, 3\) and \(1, 4\)"):
        paired.compare(bits(1, 0, 1)[None], bits(1, 0, 1, 1)[None])


def test_twins_are_clips_of_one_number_of_a_pair():
    names, pairs = ("up", "down", "wave", "in", "out"), (("up", "down"), ("in", "out"))
    blocks = paired.twins(names, pairs, 10)
    assert [sorted(np.flatnonzero(blocks == b)) for b in np.unique(blocks)] == [
        [0, 2], [1, 3], [4], [5], [6, 8], [7, 9],
    ]  # fmt: skip
    assert list(paired.twins(names, pairs, 8, of_pairs=True)) == [0, 1, 0, 1, 4, 5, 4, 5]
    with pytest.raises(ValueError, match="equally many clips of 5 classes, got 11"):
        paired.twins(names, pairs, 11)


def test_the_smallest_effect_is_found_with_the_stated_power():
    effect = paired.smallest_effect(1000, 0.2)
    assert effect == pytest.approx(3.93, abs=0.1)
    assert paired.smallest_effect(4000, 0.2) == pytest.approx(effect / 2, abs=0.05)
    assert math.isnan(paired.smallest_effect(20, 0.01))
    rng, found, delta = np.random.default_rng(0), 0, effect / 100
    for _ in range(300):
        kind = rng.choice(3, size=1000, p=[(0.2 + delta) / 2, (0.2 - delta) / 2, 0.8])
        found += paired.mcnemar(kind == 0, kind == 1) < 0.05
    assert 0.72 < found / 300 < 0.87


def test_holm_corrects_the_smallest_p_most():
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([]) == []


def record(**tests: list[bool]) -> dict:
    metrics = {name: {"right": paired.to_hex(right), "num_clips": len(right)} for name, right in tests.items()}
    return {"metrics": {"split1": metrics}}


def test_a_record_is_read_by_the_part_of_the_data_set():
    zero = {"metrics": {"zero-shot": {
        "split1": {"right": "80", "num_clips": 2}, "scene_bias split1": {"right": "40", "num_clips": 2},
    }}}  # fmt: skip
    assert list(paired.read(zero, "test")) == [True, False]
    assert list(paired.read(zero, "scene_bias")) == [False, True]
    assert list(paired.read(record(test=[True, True, False]), "test")) == [True, True, False]
    assert paired.read(record(test=[True]), "background") is None
    assert paired.read({"metrics": {"split1": {"test": {"top1": 50.0, "num_clips": 2}}}}, "test") is None


def test_a_report_becomes_the_bits_of_its_clips_in_the_order_of_the_list():
    scores = {"c/0": (0.7, 0.2, 0.1), "a/0": (0.4, 0.3, 0.3), "b/0": (0.3, 0.1, 0.6)}
    labels = {"c/0": 0, "gone": 1, "a/0": 1, "b/0": 2}
    names = ("up", "down", "wave")
    order = [key for key in labels if key in scores]
    metrics = measure(torch.tensor([scores[key] for key in order]), torch.tensor([labels[key] for key in order]), names,
                      broken=torch.tensor([1]))  # fmt: skip
    report = Report("list", metrics, (), scores, labels, names, {})
    assert metrics.top1 == 50.0
    assert list(experiment.correct(report).items()) == [("c/0", True), ("gone", False), ("a/0", False), ("b/0", True)]
    pair = experiment.correct_in_pairs(report, [("up", "down"), ("in", "out")])
    assert pair == {"c/0": True, "gone": False, "a/0": False}, "in and out are no classes of this list"


def test_the_part_on_which_settings_are_chosen_gives_no_accuracy_and_has_its_own_record():
    def load(*, split: int, part: str) -> ClipList:
        clips = tuple(Clip(f"{part}/{i}", Path(f"{part}/{i}"), i % 2) for i in range(8))
        return ClipList(f"x/{part}", clips, ("up", "down"), ("上", "下"))

    plan = protocols.plan("few-shot", load, shots=2, test_part="val")
    assert [test.name for test in plan.parts[0].tests.values()] == ["x/val"]
    assert protocols.summarise(plan, {"split1": {"val": 40.0}}) == {"val": 40.0}
    path = experiment.record_path(plan, "mip_clip", "", dataset="x", size="small", seed=1)
    assert path.as_posix() == "x-small/few-shot-k2-val/mip_clip-s1.json"
    tested = protocols.plan("few-shot", load, shots=2, also=("bias",))
    path = experiment.record_path(tested, "mip_clip", "", dataset="x", size="small", seed=1)
    assert path.as_posix() == "x-small/few-shot-k2/mip_clip-s1.json"
    with pytest.raises(ValueError, match="test_part belongs to closed-set and few-shot, got 'val' for base-to-novel"):
        protocols.plan("base-to-novel", load, shots=2, test_part="val")
