"""Comparisons of entries that were tested on the same clips: test, interval, and the smallest effect they can show.

What a record keeps of a list is whether each of its clips was classified correctly, packed into a hex string
(`to_hex`). Twins, the two clips of a reversible scene, are one block: blocks, not clips, are independent of each other.

Letters: C clips of a list, S seeds, B blocks, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from actionprompt.study.protocols import own_part

NUM_RESAMPLES = 10_000
AT_ONCE = 500
"""Resamples drawn at a time, to bound the memory."""


def to_hex(right: Sequence[bool]) -> str:
    """One bit per clip, the first clip in the highest bit, padded with zeros to whole bytes."""
    return np.packbits(np.asarray(right, dtype=bool)).tobytes().hex()


def from_hex(text: str, num_clips: int) -> Bool[np.ndarray, " C"]:
    """The inverse of `to_hex`.

    Raises:
        ValueError: the text is not that of `num_clips` clips.
    """
    expected = 2 * math.ceil(num_clips / 8)
    if len(text) != expected:
        raise ValueError(f"expected {expected} hex digits for {num_clips} clips, got {len(text)}")
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=num_clips).astype(bool)


def read(record: Mapping[str, Any], test: str, field: str = "right") -> Bool[np.ndarray, " C"] | None:
    """Which clips of a test list a record has right, in the order of the list, over all its parts; `field` is `right`
    or `right_pair` (`experiment.run`). A zero-shot record names its lists `split1` and `scene_bias split1`. None for a
    record without the list or without these bits."""
    found = []
    for part in record["metrics"].values():
        for name, numbers in part.items():
            if own_part(name) == test and field in numbers:
                num_clips = numbers["by_kind"]["pair"]["clips"] if field == "right_pair" else numbers["num_clips"]
                found.append(from_hex(numbers[field], num_clips))
    return np.concatenate(found) if found else None


def list_hash(record: Mapping[str, Any], test: str) -> str:
    """The hashes of the clips of a test list, in all parts of a record; they do not depend on what was trained on."""
    parts = record["plan"]["parts"].values()
    return " ".join(
        found["sha256"] for part in parts for name, found in part["tests"].items() if own_part(name) == test
    )


def twins(
    class_names: Sequence[str], pairs: Sequence[tuple[str, str]], num_clips: int, *, of_pairs: bool = False
) -> Int[np.ndarray, " C"]:
    """The block of each clip of a list that has equally many clips of every class, class after class: clips of the same
    number of the two classes of a pair are twins. `of_pairs`: the list of only the clips of pairs.

    Raises:
        ValueError: `num_clips` is not a multiple of the number of classes.
    """
    reverse = {a: b for one, two in pairs for a, b in ((one, two), (two, one))}
    listed = [name for name in class_names if not of_pairs or reverse.get(name) in class_names]
    each, rest = divmod(num_clips, len(listed))
    if rest:
        raise ValueError(f"expected equally many clips of {len(listed)} classes, got {num_clips} clips")
    first = {name: min(index, listed.index(reverse[name]) if reverse.get(name) in listed else index)
             for index, name in enumerate(listed)}  # fmt: skip
    return np.concatenate([first[name] * each + np.arange(each) for name in listed])


def mcnemar(a: Bool[np.ndarray, " C"], b: Bool[np.ndarray, " C"]) -> float:
    """Two-sided p of McNemar's exact test: under the null hypothesis, each of the two is as likely to be the one that
    has a clip right which the other has wrong. 1 without such clips."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    below = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * below / 2**n)) if n else 1.0


@dataclass(frozen=True)
class Difference:
    """a minus b, in percentage points."""

    points: float
    """The mean over seeds and clips."""
    low: float
    high: float
    """95 % interval of the bootstrap over blocks."""
    p: float
    """Two-sided, of the null hypothesis that the two are exchangeable within each block."""
    by_seed: tuple[float, ...]
    discordant: float
    """Share of the clips on which the two differ, the mean over seeds."""


def compare(
    a: Num[np.ndarray, "S C"] | Bool[np.ndarray, "S C"],
    b: Num[np.ndarray, "_ _"] | Bool[np.ndarray, "_ _"],
    blocks: Int[np.ndarray, " C"] | None = None,
) -> Difference:
    """Compare two entries, of the same seeds, on the same clips; without blocks each clip is one.

    A resample draws blocks with replacement and takes them in all seeds of both entries. p is the share of random sign
    changes of the blocks' differences that give a difference at least as large as the observed one; of one seed without
    blocks it is McNemar's exact p.

    Raises:
        ValueError: other shapes of `b` than of `a`.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected the same seeds and clips, got {a.shape} and {b.shape}")
    delta = a.astype(float) - b.astype(float)
    sums, sizes = _by_block(delta.mean(0), blocks)
    low, high = _interval(sums, sizes)
    exact = blocks is None and len(a) == 1 and a.dtype == b.dtype == bool
    return Difference(
        points=100 * float(delta.mean()),
        low=low,
        high=high,
        p=mcnemar(a[0], b[0]) if exact else _sign_changes(sums),
        by_seed=tuple(100 * delta.mean(1)),
        discordant=float((delta != 0).mean()),
    )


def interval(
    right: Num[np.ndarray, "S C"] | Bool[np.ndarray, "S C"], blocks: Int[np.ndarray, " C"] | None = None
) -> tuple[float, float]:
    """95 % interval of an accuracy, the mean over seeds, of the bootstrap over blocks; in percent."""
    return _interval(*_by_block(right.astype(float).mean(0), blocks))


def smallest_effect(num_clips: int, discordance: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference, in percentage points, that McNemar's test finds with this power where the two entries
    differ on a share `discordance` of the clips (Connor, 1987). nan where even the largest difference is too small."""
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)

    def needed(delta: float) -> float:
        return (z_alpha * math.sqrt(discordance) + z_power * math.sqrt(discordance - delta**2)) ** 2 / delta**2

    low, high = 0.0, discordance
    if needed(high) > num_clips:
        return math.nan
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if middle and needed(middle) <= num_clips else (middle, high)
    return 100 * high


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for several tests at once (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _by_block(
    values: Float[np.ndarray, " C"], blocks: Int[np.ndarray, " C"] | None
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """Sum of the values of each block, and its number of clips."""
    if blocks is None:
        return values, np.ones_like(values)
    index = np.unique(blocks, return_inverse=True)[1]
    return np.bincount(index, weights=values), np.bincount(index).astype(float)


def _interval(sums: Float[np.ndarray, " B"], sizes: Float[np.ndarray, " B"]) -> tuple[float, float]:
    rng, num = np.random.default_rng(0), len(sums)
    means = []
    for _ in range(NUM_RESAMPLES // AT_ONCE):
        drawn = rng.integers(num, size=(AT_ONCE, num))
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return 100 * float(low), 100 * float(high)


def _sign_changes(sums: Float[np.ndarray, " B"]) -> float:
    rng, changing = np.random.default_rng(0), sums[np.abs(sums) > 1e-9]
    if not len(changing):
        return 1.0
    observed, as_large = abs(changing.sum()) - 1e-9, 0
    for _ in range(NUM_RESAMPLES // AT_ONCE):
        signs = 2 * rng.integers(2, size=(AT_ONCE, len(changing))) - 1
        as_large += int((np.abs(signs @ changing) >= observed).sum())
    return (as_large + 1) / (NUM_RESAMPLES + 1)
