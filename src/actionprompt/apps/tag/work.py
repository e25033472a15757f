"""The two steps of every engine: rows to pixels, on a CPU, and pixels to scores, where the towers are.

What is worked on together is a batch of rows that the list alone decides, so that no engine, interruption or number of
processes changes a score. A row that cannot be read is an error in its place.

Letters: B rows of a batch, G of them that could be read, V views, T frames, C channels, S side, K labels, E width.
"""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Float32, UInt8
from torch import Tensor

from actionprompt.apps.tag.source import Source, local, printable
from actionprompt.clips import Broken, Clip, Position
from actionprompt.config import DataConfig, Pixels
from actionprompt.data import Batch, Sample, VideoDataset
from actionprompt.method import Features, Method
from actionprompt.prediction import Predictor
from actionprompt.video import VideoDecodeError
from actionprompt.video.flow import Algorithm

EMBEDDING_OF_FRAMES = (
    "the mean of the L2-normalised embeddings that the image tower gives the frames, over all frames and views, "
    "L2-normalised"
)
PATIENCE_S = 600.0
EMBEDDING_OF_VIDEO = "the method's own embedding of the video, L2-normalised; of several views, their mean"


@dataclass(frozen=True)
class Reader:
    """Reads the video of a row as a predictor sees it."""

    base: str
    config: DataConfig
    side_px: int
    pixels: Pixels
    flow: Algorithm | None
    folder: Path | None = None
    """For files that are fetched; None: that of the system for temporary files."""

    @classmethod
    def of(cls, predictor: Predictor, base: str, folder: Path | None = None) -> "Reader":
        """The reader for what this predictor takes."""
        method = predictor.method
        return cls(base, predictor.config, method.frame_shape[-1], method.clip.pixels, method.flow, folder)

    @property
    def options(self) -> dict[str, Any]:
        """Those of a `VideoDataset`, but for the views."""
        return {"side_px": self.side_px, "training": False, "pixels": self.pixels, "flow": self.flow}

    def read(self, text: str, position: Position) -> Sample | Broken:
        """The video of a row. Whatever its file makes the decoder do is an error of the row."""
        try:
            with local(text, self.base, self.folder) as path:
                found = VideoDataset([Clip(text, path, 0)], self.config, **self.options)[0, 0]
                return replace(found, position=position)
        except ValueError as error:
            return Broken(text, error.reason if isinstance(error, VideoDecodeError) else str(error), position)
        except Exception as error:
            return Broken(text, f"{type(error).__name__}: {' '.join(str(error).split())}", position)


class Rows(VideoDataset):
    """The videos of a source, for `data.loader`; what is behind an address is fetched while it is read."""

    def __init__(self, source: Source, reader: Reader) -> None:
        super().__init__((), reader.config, **reader.options)
        self.source, self.reader = source, reader

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, position: Position) -> Sample | Broken:
        (text,) = self.source.texts(position[1], position[1] + 1)
        return self.reader.read(text, position)


def read_apart(reader: Reader, texts: Sequence[str], first: int) -> list[Sample | Broken]:
    """The videos of rows, read in another process. A file that ends it is an error of its row, and so is one that takes
    longer than `PATIENCE_S`."""
    found: list[Sample | Broken] = []
    while len(found) < len(texts):
        receive, send = multiprocessing.Pipe(duplex=False)
        start = len(found)
        process = multiprocessing.Process(
            target=_send, args=(send, reader, texts[start:], first + start), daemon=True
        )  # fmt: skip
        process.start()
        send.close()
        try:
            while len(found) < len(texts) and receive.poll(PATIENCE_S):
                found.append(receive.recv())
            reason = f"it took longer than {PATIENCE_S:.0f} s to read"
        except EOFError:
            process.join()
            reason = f"the process that decoded it ended (exit code {process.exitcode})"
        finally:
            process.kill()
            process.join()
            receive.close()
        if len(found) < len(texts):
            found.append(Broken(texts[len(found)], reason, (0, first + len(found))))
    return found


def _send(send: Connection, reader: Reader, texts: Sequence[str], first: int) -> None:
    torch.set_num_threads(1)
    for row, text in enumerate(texts, start=first):
        send.send(reader.read(text, (0, row)))


@dataclass(frozen=True)
class Frames:
    """A batch of rows as uint8."""

    first: int
    """Number of its first row."""
    errors: tuple[str | None, ...]
    """Of each row what was wrong, or None."""
    video: UInt8[np.ndarray, "G V T C S S"]

    @classmethod
    def of(cls, first: int, batch: Batch) -> "Frames":
        """From a loader, whose batch names the rows it holds."""
        errors: dict[int, str | None] = {position[1]: None for position in batch.position}
        errors |= {item.position[1]: item.reason for item in batch.broken}
        return cls(first, tuple(printable([errors[row] for row in sorted(errors)])), batch.video.numpy())


@dataclass(frozen=True)
class Answers:
    """A batch of rows after the towers."""

    first: int
    errors: tuple[str | None, ...]
    scores: Float32[np.ndarray, "G K"]
    """Probabilities of the labels, and of none of these in one more column where it is an answer."""
    embeddings: Float16[np.ndarray, "G E"] | None


class Batches(Sequence[tuple[int, int]]):
    """The batches of some parts of a list: their first row, and the row after their last. A batch ends with its
    part."""

    def __init__(self, num_rows: int, part_rows: int, batch_size: int, parts: Sequence[int]) -> None:
        self.num_rows, self.part_rows, self.batch_size, self.parts = num_rows, part_rows, batch_size, parts
        self.per_part = -(-part_rows // batch_size)
        last = min(part_rows, num_rows - parts[-1] * part_rows) if parts else 0
        self.length = (len(parts) - 1) * self.per_part + -(-last // batch_size) if parts else 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        part, batch = divmod(index, self.per_part)
        start = self.parts[part] * self.part_rows
        first = start + batch * self.batch_size
        return first, min(first + self.batch_size, start + self.part_rows, self.num_rows)


@dataclass(frozen=True)
class Job:
    """What an engine is to do: the answers to all batches, each whole, in any order."""

    predictor: Predictor
    source: Source
    batches: Batches
    embeddings: bool
    num_workers: int
    folder: Path
    """Temporary files may be put here."""


class Tower:
    """A predictor on batches of rows."""

    def __init__(self, predictor: Predictor, embeddings: bool) -> None:
        self.predictor, self.embeddings = predictor, embeddings
        self.width = predictor.method.clip.embed_dim if embeddings else None
        predictor.method.to(predictor.device).eval()

    @torch.no_grad()
    def __call__(self, batch: Frames, texts: Sequence[str]) -> Answers:
        """Scores of a batch, and its embeddings if they were asked for; `texts` are its rows.

        Raises:
            ValueError: scores that are not finite; the message names the row.
        """
        method, config = self.predictor.method, self.predictor.config
        num_scores = len(self.predictor.class_names) + self.predictor.none
        scores: Any = torch.empty(0, num_scores)
        embeddings: Any = torch.empty(0, self.width or 0)
        if len(batch.video):
            video = torch.from_numpy(batch.video).to(self.predictor.device, non_blocking=True)
            features = method.encode(method.normalise(video.flatten(0, 1)))
            scores = self.predictor.of_clips(features)
            if not bool(scores.isfinite().all()):
                good = [text for text, error in zip(texts, batch.errors, strict=True) if error is None]
                text = good[int((~scores.isfinite().all(1)).nonzero()[0])]
                raise ValueError(f"{text}: the model's scores of this video are not finite; its weights are damaged")
            if self.embeddings:
                embeddings = embedding(method, features, config.num_views).cpu()
        scores = scores.numpy().astype(np.float32)
        halves = embeddings.numpy().astype(np.float16) if self.embeddings else None
        return Answers(batch.first, batch.errors, scores, halves)


def embedding(method: Method, features: Features, num_views: int) -> Float[Tensor, "B E"]:
    """L2-normalised embeddings of clips from what `encode` gave of their views; see `embeds`."""
    vectors = F.normalize(features.float(), dim=-1)
    views = vectors.mean(1) if method.encodes_frames else vectors
    return F.normalize(views.unflatten(0, (-1, num_views)).mean(1), dim=-1)


@torch.no_grad()
def embeds(predictor: Predictor) -> str:
    """What the embedding of a video is with this method, in words.

    Raises:
        ValueError: the method has none: what it encodes is not one vector of the joint space per frame or video.
    """
    method, config = predictor.method, predictor.config
    if method.encodes_frames:
        return EMBEDDING_OF_FRAMES
    num_frames = config.test_frames or config.num_frames
    if method.flow is None:
        features = method.eval().cpu().encode(torch.zeros(1, num_frames, *method.frame_shape))
        if isinstance(features, Tensor) and features.shape == (1, method.clip.embed_dim):
            return EMBEDDING_OF_VIDEO
    raise ValueError(
        f"{method.name} has no single embedding of a video that could be kept: expected no --embeddings with it"
    )
