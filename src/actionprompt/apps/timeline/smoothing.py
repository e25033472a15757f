"""From scores of windows to segments: a hidden Markov model over the windows, and its most probable path.

The states are the answers: the labels and, where it was asked for, "none of these". What is seen of window w are the
model's probabilities p(k | w); with a rejection threshold, those by its odds (`prediction.none_of_these.by_odds`).
Windows overlap and probabilities are not calibrated, so what each window says counts with a weight a (`EVIDENCE`). With
a stay probability s = exp(-hop / stay_s), where `stay_s` is the usual length of an action, and K states, the path
k_1 ... k_W maximises

    sum_w a log p(k_w | w)  +  sum_w log t(k_(w-1), k_w),    t(i, j) = s if i = j, else (1 - s) / (K - 1)

(Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 1989, section III.B, with all states equally
probable at the start). No segment is shorter than `min_windows`: each state is a chain of that many, which are passed
one by one and of which only the last may be stayed in (an explicit minimum duration; section IV.D there). What was cut
off by the beginning or the end of the video may be shorter.

Letters: W windows, K states.
"""

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int64

EVIDENCE = 8.0
"""a, at the default window and hop; chosen with `apps.timeline.STAY_S`."""
FLOOR = 1e-6
"""The lowest probability that counts: no single window forbids an answer."""


def smooth(
    scores: Float[np.ndarray, "W K"], *, hop_s: float, stay_s: float, min_s: float, evidence: float
) -> Int64[np.ndarray, " W"]:
    """The most probable answer of every window.

    `scores` are probabilities; `stay_s` and `min_s` are seconds above 0 and of at least 0.

    Raises:
        ValueError: no windows, or times that are not as above.
    """
    if not len(scores):
        raise ValueError("expected at least one window, got none")
    check(hop_s, stay_s, min_s)
    seen = evidence * np.log(np.maximum(scores, FLOOR))
    return viterbi(seen, stay=math.exp(-hop_s / stay_s), min_windows=max(1, math.ceil(min_s / hop_s - 1e-9)))


def check(hop_s: float, stay_s: float, min_s: float) -> None:
    """Raise ValueError for times that cannot be."""
    if not (hop_s > 0 and stay_s > 0 and min_s >= 0):
        raise ValueError(
            f"expected seconds above 0, and a minimum of at least 0, got hop_s={hop_s:g}, stay_s={stay_s:g}, "
            f"min_s={min_s:g}"
        )


def viterbi(seen: Float[np.ndarray, "W K"], *, stay: float, min_windows: int = 1) -> Int64[np.ndarray, " W"]:
    """The path with the highest sum of `seen` (log-probabilities) and log transitions; of equal ones, that of the lower
    state. Exact: O(W K min_windows)."""
    num_windows, num_states = seen.shape
    if num_states == 1:
        return np.zeros(num_windows, np.int64)
    with np.errstate(divide="ignore"):  # a stay probability of 1 never moves
        log_stay, log_move = np.log(stay), np.log((1 - stay) / (num_states - 1))
    last = min_windows - 1
    best = np.tile(seen[0], (min_windows, 1))  # [step of the chain, state]; the video may begin in any of them
    came: list[np.ndarray] = []  # of each window: the step before, and for the first step the state before
    moved: list[np.ndarray] = []
    for row in seen[1:]:
        ahead = best[last]
        top = int(ahead.argmax())
        others = ahead.copy()
        others[top] = -np.inf
        source = np.full(num_states, top)
        source[top] = int(others.argmax())  # a state does not move to itself
        step = np.empty((min_windows, num_states), np.int64)
        new = np.empty_like(best)
        new[0], step[0] = ahead[source] + log_move, -1  # -1: from the last step of `source`
        new[1:], step[1:] = best[:-1] + log_stay, np.arange(last)[:, None]
        staying = best[last] + log_stay
        longer = staying >= new[last]
        new[last] = np.where(longer, staying, new[last])
        step[last] = np.where(longer, last, step[last])
        best = new + row
        came.append(step)
        moved.append(source)
    place, state = divmod(int(best.argmax()), num_states)
    path = [state]
    for step, source in zip(reversed(came), reversed(moved)):
        before = int(step[place, state])
        if before < 0:
            place, state = last, int(source[state])
        else:
            place = before
        path.append(state)
    return np.array(path[::-1], np.int64)


def runs(path: Int64[np.ndarray, " W"]) -> list[tuple[int, int, int]]:
    """(state, first window, window after the last) of every run of equal states."""
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(int(path[start]), start, stop) for start, stop in pairwise(edges)]
