"""Compares the reader with the plain sequential decode on one file. Run as a process, it judges one mutant per line of
its input: `seed name<TAB>number of the mutant<TAB>seed of all`.

Verdicts: `equal` (what the reader returned are the plain decode's frames), `refused` (nothing was returned, with
`VideoDecodeError`), or a fault: `other exception`, `wrong pixels`, `depends` (one frame, two answers), `nonsense`
(times, counts). The parent adds `crash` and `hang`.
"""

import hashlib
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from actionprompt import video

LIMITS = video.Limits(max_pixels=1 << 22, max_bytes=1 << 28)
NUM_PAIRS = 8


class Fault(Exception):
    """kind: what."""


def digest(frame: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(frame), digest_size=16).digest() + str(frame.shape).encode()


def turned(frame: np.ndarray) -> set[bytes]:
    """A frame in all eight orientations."""
    return {digest(np.rot90(side, k)) for side in (frame, frame[:, ::-1]) for k in range(4)}


class Plain:
    """The frames of the plain sequential decode up to its first error, and what comes after it."""

    def __init__(self, path: Path):
        self.frames: list[set[bytes]] = []
        self.corrupt: list[bool] = []
        self.later: set[bytes] = set()
        self.turned = b"mdat" in path.read_bytes() if path.is_file() else False  # containers that may turn a video
        self.error = ""
        try:
            if path.is_dir():
                self._images(path)
            else:
                self._decode(path)
        except Exception as error:
            self.error = self.error or f"{type(error).__name__}: {error}"

    def _images(self, folder: Path) -> None:
        """Images do not depend on each other."""
        for file in sorted(folder.iterdir()):
            try:
                with Image.open(file) as opened:
                    if opened.height * opened.width > LIMITS.max_pixels:
                        raise ValueError("too large")
                    image = ImageOps.exif_transpose(opened)
                self.frames.append({digest(np.asarray(image.convert("RGB")))})
                self.corrupt.append(False)
            except Exception:
                self.frames.append(set())
                self.corrupt.append(True)

    def _decode(self, path: Path) -> None:
        options = LIMITS.decoder_options
        with av.open(f"file:{path}", metadata_errors="replace", options=options) as container:
            stream = container.streams.best("video")
            stream.codec_context.options = options
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                if packet.size == 0 and packet.dts is not None:
                    continue
                try:
                    for frame in packet.decode():
                        self._add(frame)
                except Exception as error:
                    self.error = self.error or f"{type(error).__name__}: {error}"

    def _add(self, frame: Any) -> None:
        pixels = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
        found = turned(pixels) if self.turned else {digest(pixels)}
        if self.error:
            self.later |= found
        else:
            self.frames.append(found)
            self.corrupt.append(frame.is_corrupt)


def judge(path: Path, seed: str) -> dict[str, Any]:
    """{verdict, why, sound: whether the plain decode reported nothing}."""
    plain = Plain(path)
    sound = bool(plain.frames) and not plain.error and not any(plain.corrupt)
    try:
        verdict, why = compare(path, plain, random.Random(seed))
    except Fault as fault:
        verdict, why = fault.args
        if verdict == "wrong pixels" and Plain(path).frames != plain.frames:
            verdict = "plain decode differs from itself"
    return {"verdict": verdict, "why": why, "sound": sound}


def compare(path: Path, plain: Plain, draw: random.Random) -> tuple[str, str]:
    answers: dict[int, bytes] = {}
    reasons: list[str] = []

    def call(function: Any, *args: Any) -> Any:
        try:
            return function(path, *args, limits=LIMITS)
        except video.VideoDecodeError as error:
            if "\n" in str(error) or str(path) not in str(error):
                raise Fault("other exception", f"message {error!r}") from None
            reasons.append(error.reason)
        except Exception as error:
            raise Fault("other exception", f"{type(error).__name__}: {error}") from None

    def read(indices: list[int]) -> None:
        frames = call(video.read_frames, indices)
        if frames is None:
            return
        for index, frame in zip(indices, frames, strict=True):
            found = digest(frame)
            if answers.setdefault(index, found) != found:
                raise Fault("depends", f"frame {index}, asked for {indices}")
            right = plain.frames[index] if index < len(plain.frames) else plain.later
            if found not in right:
                raise Fault(
                    "wrong pixels", f"frame {index}, asked for {indices}; plain decode: {plain.error or 'fine'}"
                )

    num_frames = call(video.count_frames)
    if num_frames is None:
        return "refused", reasons[0]
    # of a damaged video the headers may promise more than can be decoded: those frames must be refused
    if num_frames < len(plain.frames) and not plain.error:
        raise Fault("nonsense", f"{num_frames} frames counted, {len(plain.frames)} decoded")
    info = call(video.probe)
    if not path.is_dir():
        times = call(video.frame_times, list(range(num_frames)))
        if len(times) != num_frames or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise Fault("nonsense", f"times {times.tolist()}")
        if info and not (0 < info.duration_s < 1e8 and 0 < info.fps <= 10_000):
            raise Fault("nonsense", f"{info}")
    some = list(range(num_frames)) if num_frames <= 40 else draw.sample(range(num_frames), 40)
    for index in some:
        read([index])
    for _ in range(NUM_PAIRS):
        read([draw.choice(some), draw.choice(some)])
    if num_frames <= 400:
        read(list(range(num_frames)))
    return ("equal", "") if answers else ("refused", reasons[0])


def mutant(source: Path, folder: Path, seed: str) -> Path:
    """Writes the mutant of a clip, or of one image of a folder."""
    from mutate import mutate

    if not source.is_dir():
        path = folder / source.name
        path.write_bytes(mutate(source.read_bytes(), seed))
        return path
    path = folder / source.name
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(source, path)
    file = random.Random(seed).choice(sorted(path.iterdir()))
    file.write_bytes(mutate(file.read_bytes(), seed))
    return path


def limit_memory(num_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    seeds, num_bytes = Path(sys.argv[1]), int(sys.argv[2])
    files = {path.name.partition(".")[0]: path for path in seeds.iterdir() if not path.name.startswith("_")}
    limit_memory(num_bytes)
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            name, number, seed = line.rstrip("\n").split("\t")
            key = f"{seed}/{name}/{number}"
            path = mutant(files[name], Path(folder), key)
            try:
                found = judge(path, key)
            except MemoryError:
                found = {"verdict": "out of memory", "why": "", "sound": False}
            print(json.dumps({"name": name, "number": int(number), **found}), flush=True)


if __name__ == "__main__":
    main()
