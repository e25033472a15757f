"""Frame sampling: which frames of a video to use, as pure functions of its number of frames.

Letters: V clips (temporal views), T frames per clip.
"""

import numpy as np
from jaxtyping import Int64


def segment(
    num_frames: int, num_samples: int, *, num_clips: int = 1, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "V T"]:
    """Segment sampling: one frame from each of T equal segments of a video (TSN: Wang et al., ECCV 2016, section 3.1).

    Without `rng`, a single clip takes the centre of each segment: frame i is int(tick/2 + tick*i) with
    tick = num_frames/num_samples, as TSN's code does at test time. Several clips take the centres of `num_clips` equal
    parts of each segment instead, so that all clips differ if there are enough frames. With `rng`, every frame is drawn
    uniformly from its own segment, independently for each clip. TSN's training code drops the last
    num_frames % num_samples frames; here the segments cover the whole video.

    Returns frame indices, non-decreasing along T. Videos with fewer frames than samples repeat frames evenly.

    Raises:
        ValueError: an argument is below 1.
    """
    _check(num_frames, num_samples=num_samples, num_clips=num_clips)
    tick = num_frames / num_samples
    place_T = np.arange(num_samples)
    if rng is None:
        shift_V = (np.arange(num_clips) + 0.5) / num_clips
        return (tick * shift_V[:, None] + tick * place_T).astype(np.int64)
    drawn_VT = (tick * (place_T + rng.random((num_clips, num_samples)))).astype(np.int64)
    first_T = num_frames * place_T // num_samples  # rounding must not move a draw out of its segment
    last_T = -(-num_frames * (place_T + 1) // num_samples) - 1
    return np.clip(drawn_VT, first_T, last_T)


def dense(
    num_frames: int, num_samples: int, *, stride: int, num_clips: int = 1, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "V T"]:
    """Dense sampling: T frames with a fixed stride, as for 3-D networks (SlowFast: Feichtenhofer et al., ICCV 2019).

    Without `rng`, a single clip is taken from the middle of the video; several clips have evenly spaced starts, from
    the first possible one to the last. With `rng`, each start is drawn uniformly from those at which the clip fits.

    A video shorter than the clip's span of (num_samples - 1) * stride + 1 frames is padded by repeating its last frame,
    as in SlowFast's code (MMAction2 loops the video instead, which shows a jump that never happened).

    Raises:
        ValueError: an argument is below 1.
    """
    _check(num_frames, num_samples=num_samples, num_clips=num_clips, stride=stride)
    last_start = max(0, num_frames - (num_samples - 1) * stride - 1)
    if rng is not None:
        start_V = rng.integers(last_start + 1, size=num_clips)
    elif num_clips == 1:
        start_V = np.array([last_start // 2])
    else:
        start_V = np.arange(num_clips) * last_start // (num_clips - 1)
    return np.minimum(start_V[:, None] + np.arange(num_samples) * stride, num_frames - 1).astype(np.int64)


def _check(num_frames: int, **counts: int) -> None:
    if num_frames < 1:
        raise ValueError(f"expected a video of at least 1 frame, got num_frames={num_frames}")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected {name} >= 1, got {count}")
