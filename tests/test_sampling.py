"""Properties of the index sets, over every size of video that can occur."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionprompt import sampling

num_frames = st.integers(1, 2000)
num_samples = st.integers(1, 64)
num_clips = st.integers(1, 10)
strides = st.integers(1, 16)
seeds = st.none() | st.integers(0, 2**32 - 1) | st.sampled_from([0.0, np.nextafter(1.0, 0.0)])


def rng_of(seed):
    if isinstance(seed, float):
        return Extreme(seed)
    return None if seed is None else np.random.default_rng(seed)


class Extreme(np.random.Generator):
    """A generator that always draws the same value."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, shape):
        return np.full(shape, self.value)


@given(num_frames, num_samples, num_clips, seeds)
def test_segment_takes_one_frame_from_each_segment(n, t, v, seed):
    indices = sampling.segment(n, t, num_clips=v, rng=rng_of(seed))
    assert indices.shape == (v, t)
    assert indices.dtype == np.int64
    assert (indices >= 0).all()
    assert (indices < n).all()
    assert (np.diff(indices, axis=1) >= 0).all()
    place = np.arange(t)  # frame f covers [f, f + 1); segment i covers [i n/t, (i + 1) n/t); they must overlap
    assert ((indices + 1) * t > place * n).all()
    assert (indices * t < (place + 1) * n).all()


@given(num_frames, num_samples)
def test_segment_without_rng_is_the_published_rule(n, t):
    tick = n / t
    assert sampling.segment(n, t)[0].tolist() == [int(tick / 2.0 + tick * i) for i in range(t)]


def test_segment_numbers_worked_by_hand():
    assert sampling.segment(100, 4).tolist() == [[12, 37, 62, 87]]
    assert sampling.segment(40, 4, num_clips=2).tolist() == [[2, 12, 22, 32], [7, 17, 27, 37]]
    assert sampling.segment(3, 6).tolist() == [[0, 0, 1, 1, 2, 2]]
    assert sampling.segment(1, 4).tolist() == [[0, 0, 0, 0]]


@given(num_samples, num_clips, seeds)
def test_segment_of_as_many_frames_as_samples_is_the_identity(t, v, seed):
    assert (sampling.segment(t, t, num_clips=v, rng=rng_of(seed)) == np.arange(t)).all()


@given(st.integers(1, 30), num_samples)
def test_segment_of_a_short_video_repeats_evenly(n, t):
    counts = np.bincount(sampling.segment(n, n + t)[0], minlength=n)
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1


@given(num_frames, num_samples)
def test_segment_extremes_of_the_draw_stay_inside(n, t):
    lowest = sampling.segment(n, t, rng=Extreme(0.0))[0]
    highest = sampling.segment(n, t, rng=Extreme(np.nextafter(1.0, 0.0)))[0]
    assert lowest.tolist() == [n * i // t for i in range(t)]
    assert highest.tolist() == [-(-n * (i + 1) // t) - 1 for i in range(t)]


def test_segment_with_rng_reaches_every_frame_about_equally():
    rng = np.random.default_rng(0)
    counts = np.bincount(sampling.segment(50, 8, num_clips=20_000, rng=rng).ravel(), minlength=50)
    expected = 20_000 * 8 / 50
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected)).all()


def test_segment_clips_are_different_where_frames_suffice():
    clips = sampling.segment(300, 8, num_clips=10)
    assert len({tuple(clip) for clip in clips.tolist()}) == 10
    assert len(np.unique(clips)) == 80
    random = sampling.segment(300, 8, num_clips=10, rng=np.random.default_rng(0))
    assert len({tuple(clip) for clip in random.tolist()}) == 10


@given(num_frames, num_samples, strides, num_clips, seeds)
def test_dense_is_equally_spaced_until_the_video_ends(n, t, stride, v, seed):
    indices = sampling.dense(n, t, stride=stride, num_clips=v, rng=rng_of(seed))
    assert indices.shape == (v, t)
    assert indices.dtype == np.int64
    assert (indices >= 0).all()
    assert (indices < n).all()
    start = indices[:, :1]
    assert (indices == np.minimum(start + stride * np.arange(t), n - 1)).all()
    span = (t - 1) * stride + 1
    if n >= span:
        assert (np.diff(indices, axis=1) == stride).all()
    else:
        assert (start == 0).all()


def test_dense_numbers_worked_by_hand():
    assert sampling.dense(100, 4, stride=2).tolist() == [[46, 48, 50, 52]]
    assert sampling.dense(10, 2, stride=3, num_clips=3).tolist() == [[0, 3], [3, 6], [6, 9]]
    assert sampling.dense(5, 4, stride=2).tolist() == [[0, 2, 4, 4]]


@given(st.integers(2, 10), st.integers(1, 16), st.integers(1, 8), st.integers(0, 200))
def test_dense_clips_reach_both_ends(v, t, stride, extra):
    n = (t - 1) * stride + 1 + extra
    clips = sampling.dense(n, t, stride=stride, num_clips=v)
    assert clips[0, 0] == 0
    assert clips[-1, -1] == n - 1
    steps = np.diff(clips[:, 0])
    assert steps.max() - steps.min() <= 1


def test_dense_with_rng_reaches_every_start_about_equally():
    clips = sampling.dense(20, 4, stride=2, num_clips=14_000, rng=np.random.default_rng(0))
    counts = np.bincount(clips[:, 0], minlength=14)
    assert len(counts) == 14
    assert (np.abs(counts - 1000) < 6 * np.sqrt(1000)).all()
    assert set(clips.ravel().tolist()) == set(range(20))


@given(num_frames, num_samples, num_clips, st.integers(0, 2**32 - 1))
def test_the_same_generator_state_gives_the_same_indices(n, t, v, seed):
    for draw in (sampling.segment, lambda *a, **k: sampling.dense(*a, stride=3, **k)):
        first, second = (draw(n, t, num_clips=v, rng=np.random.default_rng(seed)) for _ in range(2))
        assert (first == second).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling.segment(0, 8), "expected a video of at least 1 frame, got num_frames=0"),
        (lambda: sampling.dense(-1, 8, stride=1), "expected a video of at least 1 frame, got num_frames=-1"),
        (lambda: sampling.segment(10, 0), "expected num_samples >= 1, got 0"),
        (lambda: sampling.segment(10, 8, num_clips=0), "expected num_clips >= 1, got 0"),
        (lambda: sampling.dense(10, 8, stride=0), "expected stride >= 1, got 0"),
        (lambda: sampling.dense(10, -3, stride=2), "expected num_samples >= 1, got -3"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
