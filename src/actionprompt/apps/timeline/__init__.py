"""When what happens in a video of any length: one pass over the file, windows, and segments of them.

The video is decoded once. Frames are sampled by time, so that a window of `window_s` shows the same action in any frame
rate: the T frames of a model are those on the screen at the centres of T equal parts of the window (segment sampling),
or around its centre with the stride it was trained with (dense sampling). Windows start every `hop_s`; the last one
ends with the video. A method whose `encode` is the image tower on every frame has each frame encoded once, and its
windows are taken over the embeddings; any other encodes window by window. Memory does not grow with the video, but for
the scores themselves.

Letters: W windows, T frames of a window, K labels, S side in pixels.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from actionprompt import transforms, video
from actionprompt.apps.timeline import smoothing
from actionprompt.apps.timeline.answer import Segment, Timeline, Window
from actionprompt.config import DataConfig, Progress
from actionprompt.method import check_frames
from actionprompt.prediction import Predictor
from actionprompt.prediction.none_of_these import by_odds, by_threshold

__all__ = ["Segment", "Timeline", "Window", "timeline"]

WINDOW_S, HOP_S = 2.0, 0.5
STAY_S = 2.0
"""Usual length of an action in the hidden Markov model (`smoothing`). Chosen with `MIN_S` and `smoothing.EVIDENCE` on
long validation videos of ActionWorld (results/timeline.md)."""
MIN_S = 1.5
"""No segment is shorter."""
FRAMES_AT_ONCE = 32
"""Frames that go through the image tower together."""
AHEAD = 16
"""Frames that are decoded while others are encoded."""


def timeline(
    predictor: Predictor,
    path: str | Path,
    *,
    window_s: float = WINDOW_S,
    hop_s: float = HOP_S,
    smooth: bool = True,
    stay_s: float = STAY_S,
    min_s: float = MIN_S,
    limits: video.Limits | None = None,
    progress: Progress | None = None,
) -> Timeline:
    """What happens when in one video, by `prediction.load` or `prediction.zero_shot`.

    Without `smooth` every window has its own most probable answer. With a predictor that scores labels independently,
    segments of different labels may overlap, and there are none where no label applies. `progress` is called with the
    windows that are done and all of them. A video that ends broken gives what could be read; `duration_s` and a warning
    say how much.

    Raises:
        VideoDecodeError: not one frame can be read, or it is a folder of images, which has no times.
        ValueError: times that are not above 0, or a method on optical flow.
    """
    if not (window_s > 0 and hop_s > 0):
        raise ValueError(f"expected window_s and hop_s above 0, got {window_s:g} and {hop_s:g}")
    if hop_s > window_s:
        raise ValueError(f"expected hop_s of at most window_s, or parts are not seen, got {hop_s:g} and {window_s:g}")
    if smooth:
        smoothing.check(hop_s, stay_s, min_s)
    if predictor.method.flow is not None:
        raise ValueError(f"{predictor.method.name} takes optical flow, and a timeline is made of RGB frames")
    check_frames(predictor.method, predictor.config)
    stream = video.Stream(path, limits=limits)
    starts, times = plan(stream, predictor.config, window_s, hop_s)
    centres = starts + min(window_s, stream.duration_s) / 2
    scores = np.concatenate(list(_scores(predictor, stream, times, centres, progress)))
    duration_s, centres = stream.read_s, centres[: len(scores)]
    ends = np.minimum(starts[: len(scores)] + window_s, duration_s)
    ends[-1] = duration_s
    num_labels = len(predictor.class_names)
    has_none = scores.shape[1] > num_labels
    below = None if predictor.independent else predictor.none_below
    if below is not None and not has_none:
        scores, has_none = by_threshold(torch.from_numpy(scores), below).numpy(), True
    windows = tuple(
        Window(float(start), float(end), tuple(row[:num_labels].tolist()), float(row[num_labels]) if has_none else None)
        for start, end, row in zip(starts, ends, scores)
    )

    def smoothed(rows: Float[np.ndarray, "W Z"]) -> Int64[np.ndarray, " W"]:
        seen = rows if below is None else by_odds(torch.from_numpy(rows), below).numpy()
        return smoothing.smooth(seen, hop_s=hop_s, stay_s=stay_s, min_s=min_s, evidence=smoothing.EVIDENCE)

    segments = cut(
        scores, centres, duration_s, predictor.class_names, independent=predictor.independent,
        smooth=smoothed if smooth else None,
    )  # fmt: skip
    settings = {
        "window_s": window_s, "hop_s": hop_s, "frames_per_window": times.shape[1],
        "smoothing": {"stay_s": stay_s, "min_s": min_s, "evidence": smoothing.EVIDENCE} if smooth else None,
    }  # fmt: skip
    return Timeline(
        path=Path(path),
        duration_s=duration_s,
        fps=stream.fps,
        labels=predictor.class_names,
        windows=windows,
        segments=tuple(segments),
        model={**predictor.about(), "timeline": settings},
        warnings=(*predictor.warnings([path]), *_damage(stream)),
    )


def cut(
    scores: Float[np.ndarray, "W S"],
    centres: Float64[np.ndarray, " W"],
    duration_s: float,
    labels: Sequence[str],
    *,
    smooth: Callable[[Float[np.ndarray, "W Z"]], Int64[np.ndarray, " W"]] | None,
    independent: bool = False,
) -> list[Segment]:
    """Windows to segments, whose boundaries lie in the middle between the centres of two windows. `scores` are those of
    the K labels, and of none of these where there is a column more; `smooth` gives every window its answer, by default
    the most probable one. Independent labels are cut one by one, each against its absence."""
    edges = [0.0, *((centres[1:] + centres[:-1]) / 2).tolist(), duration_s]
    answer = smooth or (lambda rows: rows.argmax(1))
    if independent:
        found = [
            Segment(edges[first], edges[stop], name, float(scores[first:stop, k].mean()))
            for k, name in enumerate(labels)
            for state, first, stop in smoothing.runs(answer(np.stack([1 - scores[:, k], scores[:, k]], 1)))
            if state
        ]
        return sorted(found, key=lambda segment: segment.start_s)
    names = (*labels, None)
    return [
        Segment(edges[first], edges[stop], names[state], float(scores[first:stop, state].mean()))
        for state, first, stop in smoothing.runs(answer(scores))
    ]


def plan(
    stream: video.Stream, config: DataConfig, window_s: float, hop_s: float
) -> tuple[Float64[np.ndarray, " W"], Float64[np.ndarray, "W T"]]:
    """Where the windows of a video start, and the times of their frames. A video shorter than a window is one."""
    duration_s, num_frames = stream.duration_s, config.test_frames or config.num_frames
    length_s = min(window_s, duration_s)
    last_s = duration_s - length_s
    starts = np.arange(0, last_s, hop_s)
    starts = np.append(starts[last_s - starts > 1e-6], last_s)
    if config.sampling == "segment":
        offsets = (np.arange(num_frames) + 0.5) * (length_s / num_frames)
    else:
        step_s = config.stride / (stream.expected_fps or 25)
        offsets = length_s / 2 + (np.arange(num_frames) - (num_frames - 1) / 2) * step_s
    return starts, np.clip(starts[:, None] + offsets, 0, duration_s)


def _scores(
    predictor: Predictor,
    stream: video.Stream,
    times: Float64[np.ndarray, "W T"],
    centres: Float64[np.ndarray, " W"],
    progress: Progress | None,
) -> Generator[Float[np.ndarray, "N K"], None, None]:
    """Probabilities of the windows whose centres could be read, in order, a few at a time."""
    method, device = predictor.method.to(predictor.device).eval(), predictor.device
    by_frame = method.encodes_frames
    asked, place = np.unique(times.round(6), return_inverse=True)
    place = place.reshape(times.shape)
    num_windows, num_frames = times.shape
    at_once = max(1, FRAMES_AT_ONCE if by_frame else FRAMES_AT_ONCE // num_frames)
    ring: dict[int, Tensor] = {}
    done = 0

    def ready() -> int:
        """The window after those that can be scored now, `at_once` of them at most."""
        stop = done
        while stop < min(num_windows, done + at_once) and place[stop, -1] in ring:
            stop += 1
        return stop

    def score(stop: int) -> Float[np.ndarray, "N K"]:
        nonlocal done
        stacked = torch.stack([torch.stack([ring[p] for p in row]) for row in place[done:stop].tolist()])
        features = stacked if by_frame else method.encode(method.normalise(stacked.to(device)))
        rows = predictor.probabilities(features)
        done = stop
        needed = place[done, 0] if done < num_windows else len(asked)
        for old in [position for position in ring if position < needed]:
            del ring[old]
        if progress is not None:
            progress(done, num_windows)
        return rows.cpu().numpy()

    def encode(frames: Sequence[tuple[list[int], Tensor]]) -> None:
        embeddings = method.encode(method.normalise(torch.stack([frame for _, frame in frames])[None].to(device)))[0]
        for (positions, _), embedding in zip(frames, embeddings):
            ring.update(dict.fromkeys(positions, embedding))

    waiting: list[tuple[list[int], Tensor]] = []
    with torch.no_grad(), closing(ahead(_squares(predictor, stream, asked), AHEAD)) as frames:
        for positions, frame in frames:
            if positions[-1] == len(asked) - 1:  # the last frame, which may come long before the expected end
                num_windows = max(1, int((centres <= stream.read_s).sum()))
            if not by_frame:
                ring.update(dict.fromkeys(positions, frame))
                while ready() - done >= at_once:
                    yield score(done + at_once)
                continue
            waiting.append((positions, frame))
            if len(waiting) == at_once:
                encode(waiting)
                waiting = []
                while (stop := ready()) > done:
                    yield score(stop)
        if waiting:
            encode(waiting)
        while done < num_windows:
            yield score(ready())


def _squares(
    predictor: Predictor, stream: video.Stream, asked: Float64[np.ndarray, " F"]
) -> Generator[tuple[list[int], UInt8[Tensor, "3 S S"]], None, None]:
    """The frames at these times, as the model sees them: the centre view of evaluation."""
    method, config = predictor.method, predictor.config
    for _, positions, pixels in stream.frames_at(asked):
        views = transforms.eval_views(
            pixels[None], side_px=method.frame_shape[-1], fit=config.fit, resize_side=config.resize_side,
            interpolation=method.clip.pixels.interpolation,
        )  # fmt: skip
        yield positions, torch.from_numpy(views[0, 0])


def ahead(items: Generator[Any, None, None], number: int) -> Generator[Any, None, None]:
    """The items, of which up to `number` are made in another thread before they are asked for."""
    ready: Queue[tuple[bool, Any]] = Queue(number)
    stop = threading.Event()

    def put(item: tuple[bool, Any]) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    if not put((True, item)):
                        return
            put((False, None))
        except BaseException as error:  # it is raised where the items are used
            put((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                more, item = ready.get(timeout=1.0)
            except Empty:
                continue
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        stop.set()
        thread.join()


def _damage(stream: video.Stream) -> list[str]:
    """What could not be read, for the timeline's warnings."""
    if not stream.damage:
        return []
    until = f"{stream.read_s:.1f} of {max(stream.read_s, stream.whole_s):.1f} s"
    return [f"the file is damaged and was read to {until}: {'; '.join(stream.damage)}"]
