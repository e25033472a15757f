"""From a list of clips to batches on the way to the device. Nothing unreadable is replaced or dropped silently.

Letters: B clips of a batch, V views, T frames, C channels (3 of RGB, 2 of flow), R side of a training frame in pixels,
S side of the model's input.
"""

import signal
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from actionprompt import files, sampling, transforms, video
from actionprompt.clips import Broken, Clip, Position
from actionprompt.config import DataConfig, Pixels, num_cores
from actionprompt.video import flow, prepared


@dataclass(frozen=True)
class Sample:
    """One clip as uint8: RGB, or codes of optical flow."""

    video: UInt8[np.ndarray, "V T C S S"]
    indices: Int64[np.ndarray, "num_clips T"]
    """The frames it was made of, by temporal view; spatial views share them. Flow at t leads from frame t to t + 1."""
    times_s: tuple[float, ...]
    """When these frames are shown; empty for a folder of images, which carries no time."""
    aspect: float
    label: int
    key: str
    position: Position


@dataclass(frozen=True)
class Batch:
    """B clips, and those that should have been among them."""

    video: UInt8[Tensor, "B V T C S S"]
    times_s: tuple[tuple[float, ...], ...]
    """Of each clip, as in `Sample`."""
    aspect: Float[Tensor, " B"]
    """Width / height of the source of each clip; training frames are stored as squares."""
    label: Int[Tensor, " B"]
    key: tuple[str, ...]
    position: tuple[Position, ...]
    broken: tuple[Broken, ...]

    def pin_memory(self) -> "Batch":
        return replace(self, video=self.video.pin_memory(), label=self.label.pin_memory())


class VideoDataset(Dataset):
    """Clips by `Position`. Training: one view of random frames, whole, squashed to squares of `train_side(side_px)`.
    Evaluation: the deterministic views of `DataConfig`, as the backbone's checkpoint asks for (`pixels`).

    With `flow`, the codes of optical flow by that algorithm instead of RGB, as I3D was trained and tested (Carreira and
    Zisserman, 2017): windows of `side_px` out of frames with a short side of `resize_side` (None: 256), never resized,
    since that would change what a displacement means. Training takes a window at a random place and flips it with the
    probability of `augment.flip`, evaluation the centre or three along the long side. A video with fewer flow frames
    than a view starts again from its first."""

    def __init__(
        self,
        clips: Sequence[Clip],
        config: DataConfig,
        *,
        side_px: int,
        training: bool,
        pixels: Pixels,
        seed: int = 0,
        flow: flow.Algorithm | None = None,
    ):
        config = config.resolved(pixels)
        if flow is not None and config.fit != "crop":
            raise ValueError(
                f"optical flow is taken in windows: expected fit 'crop', got {config.fit!r}; add --data.fit crop"
            )
        self.clips, self.config, self.side_px, self.training, self.seed = clips, config, side_px, training, seed
        self.interpolation, self.flow = pixels.interpolation, flow

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, position: Position) -> Sample | Broken:
        clip = self.clips[position[1]]
        try:
            indices = self._indices(clip, position)
            if self.flow is not None:
                frames, aspect = self._windows(clip, indices, position), 1.0
            else:
                frames, aspect = (self._squares if self.training else self._views)(clip, indices)
            times_s = () if clip.path.is_dir() else tuple(video.frame_times(clip.path, indices.ravel()).tolist())
        except video.VideoDecodeError as error:
            return Broken(clip.key, error.reason, position)
        return Sample(frames, indices, times_s, aspect, clip.label, clip.key, position)

    def _indices(self, clip: Clip, position: Position) -> np.ndarray:
        """The frames of each temporal view [num_clips, T]."""
        config = self.config
        num_frames = video.count_frames(clip.path) if self.flow is None else flow.count(clip.path)
        num_clips, rng = (1 if self.training else config.num_clips), None
        num_samples = config.num_frames if self.training else config.test_frames or config.num_frames
        if self.training:
            rng = clip_rng(self.seed, position, "frames")
        elif config.random_groups:  # by key: the same groups for a clip in any list and process
            rng = np.random.default_rng([self.seed, *clip.key.encode()])
        first, num_frames = self._within(clip, num_frames)
        if config.sampling == "segment":
            return first + sampling.segment(num_frames, num_samples, num_clips=num_clips, rng=rng)
        span = (num_samples - 1) * config.stride + 1 if self.flow is not None else 0
        indices = sampling.dense(
            max(num_frames, span), num_samples, stride=config.stride, num_clips=num_clips, rng=rng
        )  # fmt: skip
        return first + indices % num_frames  # a repeated last frame would be flow that nothing shows

    def _within(self, clip: Clip, num_frames: int) -> tuple[int, int]:
        """The first of the frames (of flow: of the pairs of frames) that may be sampled, and their number.

        Raises:
            VideoDecodeError: a span that is not within the video, or holds no frame.
        """
        if clip.span is None:
            return 0, num_frames
        times_s = video.frame_times(clip.path, np.arange(video.count_frames(clip.path)))
        (start_s, end_s), last_s = clip.span, float(times_s[-1])
        length_s = last_s + (last_s / (len(times_s) - 1) if len(times_s) > 1 else 0.0)
        if end_s > length_s + 0.05:
            raise video.VideoDecodeError(
                clip.path, f"the span {start_s:g}-{end_s:g} s is not within the video, which is {length_s:.2f} s long"
            )
        first, end = np.searchsorted(times_s, clip.span)
        end = end if self.flow is None else end - 1  # flow leads to the next frame, which has to be within, too
        if end <= first:
            raise video.VideoDecodeError(clip.path, f"the span {start_s:g}-{end_s:g} s is too short to hold a frame")
        return int(first), int(end - first)

    def _squares(self, clip: Clip, indices: np.ndarray) -> tuple[np.ndarray, float]:
        side_px = train_side(self.side_px)
        frames = video.read_frames(clip.path, indices.ravel(), short_side_px=side_px)
        squares, aspect = transforms.squash(frames, side_px=side_px, fit=self.config.fit)
        return squares[None], aspect

    def _views(self, clip: Clip, indices: np.ndarray) -> tuple[np.ndarray, float]:
        config = self.config
        frames = video.read_frames(clip.path, indices.ravel())
        crops = transforms.eval_views(
            frames, side_px=self.side_px, num_crops=config.num_crops, fit=config.fit, resize_side=config.resize_side,
            interpolation=self.interpolation,
        )  # fmt: skip
        views = crops.reshape(config.num_crops, *indices.shape, *crops.shape[2:]).swapaxes(0, 1)
        return views.reshape(config.num_views, *views.shape[2:]), 1.0

    def _windows(self, clip: Clip, indices: np.ndarray, position: Position) -> np.ndarray:
        config, side_px = self.config, self.side_px
        short_side_px = round(side_px * (config.resize_side or 256) / 224)
        assert self.flow is not None
        codes = flow.read(clip.path, indices.ravel(), short_side_px=short_side_px, algorithm=self.flow)
        room = np.subtract(codes.shape[-2:], side_px)
        if self.training:
            rng = clip_rng(self.seed, position, "augment")
            top, left = rng.integers(room + 1)
            window = codes[..., top : top + side_px, left : left + side_px]
            return (flow.mirror(window) if rng.random() < config.augment.flip else window)[None]
        along = 0 if room[0] > room[1] else 1  # the long side
        places = np.repeat(room[None] // 2, config.num_crops, axis=0)
        if config.num_crops == 3:
            places[:, along] = 0, room[along] // 2, room[along]
        crops = np.stack([codes[..., t : t + side_px, s : s + side_px] for t, s in places])
        views = crops.reshape(config.num_crops, *indices.shape, *crops.shape[2:]).swapaxes(0, 1)
        return views.reshape(config.num_views, *views.shape[2:])


def train_side(side_px: int) -> int:
    """Side of stored training frames: 256 for a model that sees 224."""
    return round(side_px * 256 / 224)


def clip_rng(seed: int, position: Position, purpose: str) -> np.random.Generator:
    """The random numbers of one clip in one epoch: the same in any batch, process or resumed run."""
    return np.random.default_rng([seed, *position, *purpose.encode()])


def collate(samples: Sequence[Sample | Broken]) -> Batch:
    """Stacks what could be read and lists what could not. All broken gives a batch of no clips."""
    good = [sample for sample in samples if isinstance(sample, Sample)]
    shape = good[0].video.shape if good else (0, 0, 3, 0, 0)
    return Batch(
        video=torch.from_numpy(np.stack([s.video for s in good]) if good else np.empty((0, *shape), np.uint8)),
        times_s=tuple(s.times_s for s in good),
        aspect=torch.tensor([s.aspect for s in good], dtype=torch.float32),
        label=torch.tensor([s.label for s in good], dtype=torch.long),
        key=tuple(s.key for s in good),
        position=tuple(s.position for s in good),
        broken=tuple(sample for sample in samples if isinstance(sample, Broken)),
    )


def loader(
    dataset: VideoDataset, batches: Iterable[Sequence[Position]], *, num_workers: int
) -> Generator[Batch, None, None]:
    """The named batches in order, decoded by `num_workers` processes ahead of time, which end when this is closed. The
    names are asked for as far ahead as that. There are never more processes than batches, or clips where the number of
    batches is not known."""
    num_workers = min(num_workers, len(batches) if isinstance(batches, Sized) else len(dataset))
    with _not_interrupted():
        loaded: Any = iter(
            DataLoader(
                dataset,
                batch_sampler=batches,  # type: ignore[arg-type]
                collate_fn=collate,
                num_workers=num_workers,
                pin_memory=torch.cuda.is_available(),
                worker_init_fn=_start_worker,
            )
        )
    try:
        yield from loaded
    finally:
        if num_workers:
            _end(loaded)


def timed(batches: Iterable[Batch]) -> Iterator[tuple[Batch, float]]:
    """Each batch with the seconds that were waited for it."""
    began = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - began
        began = time.perf_counter()


class Waits:
    """Tells once, by a `files.Notice`, that a training waits for its clips: measured over its first steps but one, for
    whose batch the decoding processes have to start."""

    share, least_steps, least_s = 0.25, 20, 20.0
    """Told is a share of the time above this, after so many steps and seconds."""

    def __init__(self, clips: Sequence[Clip], *, num_workers: int, flow: bool) -> None:
        self.clips, self.num_workers, self.flow = clips, num_workers, flow
        self.num_steps, self.waited_s, self.spent_s = -1, 0.0, 0.0
        self.decided = False

    def add(self, waited_s: float, spent_s: float) -> None:
        """After a step that took `spent_s`, of which `waited_s` for its clips."""
        self.num_steps += 1
        if self.decided or self.num_steps == 0:
            return
        self.waited_s, self.spent_s = self.waited_s + waited_s, self.spent_s + spent_s
        if self.num_steps >= self.least_steps and self.spent_s >= self.least_s:
            self.decided = True
            if self.waited_s > self.share * self.spent_s:
                warnings.warn(self._advice(), files.Notice, stacklevel=3)

    def _advice(self) -> str:
        said = f"of {self.num_steps} steps, {self.waited_s / self.spent_s:.0%} of the time was spent waiting for clips"
        path = self.clips[0].path
        if not self.flow and path.is_file() and prepared.folder_of(path) is None:
            return f"{said}; `actionprompt prepare` makes a copy of the videos whose frames are cheap to read"
        here = f"--train.num-workers is {self.num_workers} on {num_cores()} cores"
        return f"{said}; {here}, and more processes read more clips"


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Ctrl-C waits until the end of the block. Processes that are started in it are not interrupted: their parent ends
    them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows; `_start_worker` does it there
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _unless_cut_off
    torch.set_num_threads(1)  # the workers themselves are the parallelism


def _unless_cut_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In a worker: errors are printed as usual, but not that its parent, which was interrupted, fetches no more."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _end(loaded: Any, grace_s: float = 1.0) -> None:
    """End the workers of a loader: those that are waiting at once, those that are still decoding after `grace_s`. Left
    to the destructor, torch waits for every worker, and an interrupt in a destructor is printed and forgotten."""
    terminate = threading.Timer(grace_s, lambda: [worker.terminate() for worker in loaded._workers])
    terminate.start()
    try:
        loaded._shutdown_workers()
    finally:
        terminate.cancel()


def epoch_batches(
    num_clips: int, batch_size: int, *, epoch: int, seed: int, rank: int = 0, world_size: int = 1
) -> list[list[Position]]:
    """This process's share of every batch of an epoch, in a random order drawn from (seed, epoch).

    All processes together see the batches a single one would. The last batch may be smaller; it is cut to a multiple of
    `world_size`, so with several processes up to `world_size - 1` clips of an epoch's random order wait for the next.
    """
    if batch_size % world_size:
        raise ValueError(f"expected a batch_size that {world_size} processes can share evenly, got {batch_size}")
    order = np.random.default_rng([seed, epoch]).permutation(num_clips).tolist()
    batches = []
    for start in range(0, num_clips, batch_size):
        batch = order[start : start + batch_size]
        share = len(batch) // world_size
        if share:
            batches.append([(epoch, index) for index in batch[rank * share : (rank + 1) * share]])
    if not batches:
        raise ValueError(f"expected at least {world_size} clips to train on, got {num_clips}")
    return batches
