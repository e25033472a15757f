"""The folder that `actionprompt export` wrote, as a model that answers on videos."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from actionprompt_runtime import views
from actionprompt_runtime.frames import VideoDecodeError

MANIFEST, FORMAT = "export.json", 1


@dataclass(frozen=True)
class Prediction:
    """What a model says of one video."""

    path: Path
    labels: tuple[str, ...]
    """Class names, most probable first."""
    scores: tuple[float, ...]
    """Their probabilities."""
    frames: tuple[tuple[int, ...], ...]
    """Display indices, counted from 0, of the frames that the model was given, by temporal view."""
    none_of_these: bool = False
    """Whether the answer is "none of these": `none` is above the best score, or the best score is below the model's
    rejection threshold."""
    none: float | None = None
    """The probability of none of these; None of a model that was exported without it."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[0]

    @property
    def score(self) -> float:
        """Its probability."""
        return self.scores[0]


def load(folder: str | Path, *, threads: int | None = None) -> "Model":
    """The model in a folder that `actionprompt export` wrote. `threads` run the graph, and as many read videos ahead;
    None: as many as the process may use cores.

    Raises:
        ValueError: no such folder, a newer format, a file that is not the one that was exported, or a graph that
            ONNX Runtime cannot run.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"expected threads of at least 1, or None, got {threads}")
    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name, sha256 in manifest["sha256"].items():
        _check_file(folder / name, sha256)
    threads = threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong comes as an exception
    try:
        session = onnxruntime.InferenceSession(
            str(folder / manifest["graph"]), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no common class but this
        raise ValueError(f"{folder / manifest['graph']}: ONNX Runtime cannot run it ({_line(error)})") from None
    return Model(folder, manifest, session, threads)


class Model:
    """An exported model; `load` makes it."""

    def __init__(self, folder: Path, manifest: dict[str, Any], session: Any, threads: int) -> None:
        self.folder, self.manifest, self.threads, self._session = folder, manifest, threads, session
        self.labels = tuple(manifest["labels"])
        taken, given = manifest["input"], [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()]
        side_px = taken["side_px"]
        shape = [taken["views"], taken["frames"], 3, side_px, side_px]
        if given != [(taken["name"], "tensor(uint8)", shape)]:
            raise ValueError(
                f"{folder}: the graph takes {given}, and the manifest says {taken['name']!r} of uint8 {shape}; export "
                f"the model again"
            )

    @property
    def about(self) -> dict[str, Any]:
        """What answers: the exporting program, method, backbone with its hash, labels and settings; plain JSON."""
        return self.manifest["about"]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be said with every answer, a line each."""
        return tuple(self.manifest["warnings"])

    def read(self, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
        """What the graph is given of a video, uint8 [V, T, 3, S, S], and the display indices of its frames [clips, T].

        Raises:
            VideoDecodeError: the video cannot be read.
        """
        side_px = self.manifest["input"]["side_px"]
        return views.load(path, sampling=self.manifest["frames"], pixels=self.manifest["pixels"], side_px=side_px)

    def probabilities(self, video: np.ndarray) -> np.ndarray:
        """float32 [N, K] of videos uint8 [N, V, T, 3, S, S]: of the labels and, where it is an answer, none of these.

        Raises:
            ValueError: ONNX Runtime fails, or what comes out is no finite number for every label.
        """
        try:
            (found,) = self._session.run([self.manifest["output"]["name"]], {self.manifest["input"]["name"]: video})
        except Exception as error:  # its exceptions have no common class but this
            raise ValueError(f"{self.folder}: ONNX Runtime failed ({_line(error)})") from None
        expected = (len(video), len(self.labels) + bool(self.manifest["none"]))
        if found.shape != expected or not np.isfinite(found).all():
            raise ValueError(f"{self.folder}: expected finite probabilities {list(expected)}, got {list(found.shape)}")
        return found

    def predict(self, path: str | Path, *, top: int | None = 5) -> Prediction:
        """Recognise one video; `top` labels, or all (None).

        Raises:
            VideoDecodeError: it cannot be read.
            ValueError: `top` below 1.
        """
        ((_, result),) = self.predict_all([path], top=top)
        if isinstance(result, VideoDecodeError):
            raise result
        return result

    def predict_all(
        self, paths: Iterable[str | Path], *, top: int | None = 5, batch: int = 1
    ) -> Iterator[tuple[Path, Prediction | VideoDecodeError]]:
        """Recognise many videos, in their order; one that cannot be read comes as its error, in its place. The graph
        runs on `batch` videos at a time.

        Raises:
            ValueError: one path in place of several, or `top` or `batch` below 1; before the first video is read.
        """
        if isinstance(paths, str | Path):
            raise ValueError(f"expected several paths, got one: {paths}; call predict, or predict_all([path])")
        if (top is not None and top < 1) or batch < 1:
            raise ValueError(f"expected top and batch of at least 1, got top={top} and batch={batch}")
        return self._predict_all([Path(path) for path in paths], top, batch)

    def _predict_all(
        self, paths: list[Path], top: int | None, batch: int
    ) -> Iterator[tuple[Path, Prediction | VideoDecodeError]]:
        reads = self._read_ahead(paths, batch + self.threads)
        for start in range(0, len(paths), batch):
            found = [next(reads) for _ in paths[start : start + batch]]
            good = [item[0] for item in found if not isinstance(item, VideoDecodeError)]
            rows = iter(self.probabilities(np.stack(good)) if good else ())
            for path, item in zip(paths[start : start + batch], found):
                if isinstance(item, VideoDecodeError):
                    yield path, item
                else:
                    yield path, self._prediction(path, next(rows), item[1], top)

    def _read_ahead(
        self, paths: list[Path], num_ahead: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray] | VideoDecodeError]:
        """What was read of each path, in order, or its error; `threads` read, at most `num_ahead` videos before their
        turn."""
        readers = ThreadPoolExecutor(self.threads)
        waiting: deque[Future] = deque()
        try:
            for path in paths:
                waiting.append(readers.submit(self._try, path))
                if len(waiting) >= num_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            readers.shutdown(cancel_futures=True)

    def _try(self, path: Path) -> tuple[np.ndarray, np.ndarray] | VideoDecodeError:
        try:
            return self.read(path)
        except VideoDecodeError as error:
            return error

    def _prediction(self, path: Path, row: np.ndarray, indices: np.ndarray, top: int | None) -> Prediction:
        own, none = row[: len(self.labels)], float(row[-1]) if self.manifest["none"] else None
        order = np.argsort(-own, kind="stable")[:top]
        best, below = float(own.max()), self.manifest["none_below"]
        rejected = none > best if none is not None else below is not None and best < below
        return Prediction(
            path, tuple(self.labels[i] for i in order), tuple(own[order].tolist()),
            tuple(map(tuple, indices.tolist())), rejected, none,
        )  # fmt: skip


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_file(path: Path, sha256: str) -> None:
    """Raise ValueError where a file is not the one that was exported."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); export the model again") from None
    if found != sha256:
        raise ValueError(f"{path} is damaged, or not the file that was exported (its SHA-256 differs); copy it again")


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, with every field that is used checked."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"expected a folder that `actionprompt export` wrote, there is no {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({_line(error)})") from None
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise ValueError(
            f"{path} has format {number}, this program reads {FORMAT}; install a newer actionprompt-runtime"
        )
    for place, kind in _FIELDS.items():
        value = found
        for name in place.split("."):
            value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
        if not kind(value):
            raise ValueError(f"{path}: {place} is {_wrong(value)}; export the model again")
    frames, pixels, taken = found["frames"], found["pixels"], found["input"]
    made = frames["num_clips"] * pixels["num_crops"], frames["num_frames"]
    if made != (taken["views"], taken["frames"]):
        raise ValueError(
            f"{path}: frames and pixels make {made[0]} views of {made[1]} frames, and input has {taken['views']} of "
            f"{taken['frames']}; export the model again"
        )
    if found["graph"] not in found["sha256"]:
        raise ValueError(f"{path}: sha256 has no entry for {found['graph']}; export the model again")
    return found


_MISSING = object()


def _wrong(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    text = repr(value)
    return f"wrong ({text if len(text) <= 100 else text[:100] + '...'})"


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _one_of(*values: Any) -> Any:
    return lambda value: type(value) in map(type, values) and value in values


def _file(name: Any) -> bool:
    """A file in the folder itself."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}


_FIELDS = {
    "format": _one_of(FORMAT),
    "graph": _file,
    "sha256": lambda value: isinstance(value, dict) and all(map(_file, value)),
    "labels": lambda value: _texts(value) and 0 < len(value) == len(set(value)),
    "none": _one_of(True, False),
    "none_below": lambda value: value is None or (type(value) in (int, float) and 0 <= value <= 1),
    "input.name": lambda value: isinstance(value, str),
    "input.views": _count,
    "input.frames": _count,
    "input.side_px": _count,
    "output.name": lambda value: isinstance(value, str),
    "frames.sampling": _one_of(*views.SAMPLINGS),
    "frames.num_frames": _count,
    "frames.stride": _count,
    "frames.num_clips": _count,
    "pixels.fit": _one_of(*views.FITS),
    "pixels.num_crops": _one_of(1, 3),
    "pixels.resize_side": lambda value: value is None or (_count(value) and 224 <= value < 1 << 14),
    "pixels.interpolation": _one_of(*views.RESAMPLING),
    "about": lambda value: isinstance(value, dict),
    "warnings": _texts,
}
"""Of the fields of the manifest that are used, what they may hold."""
