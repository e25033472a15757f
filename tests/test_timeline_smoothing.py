"""The most probable path against every path there is, and what smoothing does to windows."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actionprompt.apps.timeline.smoothing import EVIDENCE, runs, smooth, viterbi
from actionprompt.prediction.none_of_these import by_background, by_odds, by_threshold


def by_brute_force(seen, stay, min_windows):
    """The best path out of all, with its value: the definition, in plain loops."""
    num_windows, num_states = seen.shape
    found = []
    for path in itertools.product(range(num_states), repeat=num_windows):
        value, lengths = seen[0, path[0]], [1]
        for before, now, row in zip(path, path[1:], seen[1:]):
            chance = stay if before == now else (1 - stay) / (num_states - 1)
            value += row[now] + (math.log(chance) if chance else -math.inf)
            if before == now:
                lengths[-1] += 1
            else:
                lengths.append(1)
        inner = lengths[1:-1]  # what the borders of the video cut may be shorter
        if all(length >= min_windows for length in inner):
            found.append((value, path))
    return max(found, key=lambda pair: pair[0])


def value_of(path, seen, stay):
    moves = sum(math.log(stay if a == b else (1 - stay) / (seen.shape[1] - 1)) for a, b in itertools.pairwise(path))
    return sum(row[k] for row, k in zip(seen, path)) + moves


@settings(max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 7),
    st.integers(2, 3),
    st.integers(1, 4),
    st.sampled_from([0.2, 0.6, 0.95]),
)
def test_the_path_is_the_best_of_all(seed, num_windows, num_states, min_windows, stay):
    seen = np.log(np.random.default_rng(seed).dirichlet(np.ones(num_states) * 0.5, num_windows) + 1e-9)
    path = viterbi(seen, stay=stay, min_windows=min_windows).tolist()
    value, _ = by_brute_force(seen, stay, min_windows)
    assert value_of(path, seen, stay) == pytest.approx(value, abs=1e-9)
    inner = [stop - start for _, start, stop in runs(np.array(path))][1:-1]
    assert all(length >= min_windows for length in inner)


def test_one_wrong_window_is_smoothed_away_and_a_long_action_is_not():
    scores = np.full((40, 3), 0.1)
    scores[:20, 0] = scores[20:, 1] = 0.8
    scores[7] = [0.3, 0.1, 0.6]
    options = {"hop_s": 0.5, "stay_s": 5.0, "min_s": 1.0, "evidence": 0.25}
    assert runs(smooth(scores, **options)) == [(0, 0, 20), (1, 20, 40)]
    assert len(runs(scores.argmax(1))) == 4


def test_one_state_and_one_window():
    assert smooth(np.ones((5, 1)), hop_s=1, stay_s=1, min_s=0, evidence=1).tolist() == [0] * 5
    assert smooth(np.array([[0.2, 0.8]]), hop_s=1, stay_s=1, min_s=9, evidence=1).tolist() == [1]


def test_a_stay_probability_of_one_never_moves():
    assert viterbi(np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])), stay=1.0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("wrong", [{"hop_s": 0.0}, {"stay_s": -1.0}, {"min_s": float("nan")}])
def test_times_that_are_none_are_refused(wrong):
    options = {"hop_s": 0.5, "stay_s": 5.0, "min_s": 1.0, "evidence": 0.25} | wrong
    with pytest.raises(ValueError, match="expected seconds above 0"):
        smooth(np.ones((3, 2)) / 2, **options)
    with pytest.raises(ValueError, match="at least one window"):
        smooth(np.ones((0, 2)), hop_s=1, stay_s=1, min_s=0, evidence=1)


def test_odds_of_a_threshold_by_hand():
    """Threshold 0.6: none = 0.6 (1 - p) / 0.4 next to a best label of probability p, then all of them sum to 1."""
    own = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5], [1.0, 0.0]])
    sums, none = torch.tensor([[1.3], [1.6], [1.75], [1.0]]), torch.tensor([[0.3], [0.6], [0.75], [0.0]])
    torch.testing.assert_close(by_odds(by_threshold(own, 0.6), 0.6), torch.cat([own, none], 1) / sums)
    logits = torch.tensor([[0.5, 0.2, 0.3]]).log()  # the last is the background
    for below, none, total in ((0.25, 0.3, 1.0), (0.6, 0.75, 1.45)):  # 0.25 * 0.5 / 0.75 is less than the background
        expected = torch.tensor([[0.5, 0.2, none]]) / total
        torch.testing.assert_close(by_odds(by_background(logits, below), below), expected)


@pytest.mark.parametrize("below", [0.0, 0.05, 0.5, 0.9, 1.0])
def test_odds_leave_the_most_probable_answer(below):
    logits = 3 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    logits[0] = torch.tensor([1e4, 0, 0, 0])  # a probability of 1
    for rows in (by_threshold(logits.softmax(1), below), by_background(logits, below)):
        found = by_odds(rows, below)
        torch.testing.assert_close(found.sum(1), torch.ones(500))
        assert torch.equal(found.argmax(1) == rows.shape[1] - 1, rows.argmax(1) == rows.shape[1] - 1)


def test_a_threshold_does_not_outweigh_an_action_that_reaches_it():
    """Ten seconds above the threshold and ten below it. What the threshold says adds up to less than two moves."""
    own = torch.full((40, 3), 0.05)
    own[:20, 0], own[20:, 0], own[20:, 1] = 0.9, 0.5, 0.45
    rows = by_threshold(own, 0.75)
    assert runs(rows.argmax(1).numpy()) == [(0, 0, 20), (3, 20, 40)]
    options = {"hop_s": 0.5, "stay_s": 2.0, "min_s": 1.5, "evidence": EVIDENCE}
    assert runs(smooth(by_odds(rows, 0.75).numpy(), **options)) == [(0, 0, 20), (3, 20, 40)]
