"""Optical flow between consecutive frames of a video: computed, quantised, kept on disk, read. No torch.

Flow frame t of a video holds where every pixel of frame t is in frame t + 1: x to the right and y downwards, in pixels
of a frame whose short side is `short_side_px` (256, as in Carreira and Zisserman, 2017; smaller frames are enlarged, so
that a displacement means the same in every clip). A video of F frames has D = F - 1 flow frames.

Stored numbers are uint8, as is usual in the field: clipped to +-20 pixels, q = 128 + round(v * 127 / 20), so q is in
1..255, zero flow is 128 exactly, and a mirrored displacement is 256 - q exactly. One step is 20/127 = 0.157 pixels, the
rounding error at most half of it, 0.079 pixels. (The usual 255 * (v + 20) / 40 has no code for zero: rounding moves
what does not move by 0.08 pixels.)

A clip is computed once and kept below `config.cache_root()/flow`: an .npz with one array per flow frame, so that 64 of
300 are read without the others. An array holds differences of neighbouring codes along x and then y, modulo 256, which
deflate packs better than the codes: over 585 flow frames of 15 public clips (HMDB-51, UT-Interaction, WLASL and others,
256 x 341 pixels for 4 : 3) 11 kB per flow frame instead of 207, where deflate alone needs 13, PNG at OpenCV's default
15, and JPEG of quality 95, which loses, 7. On one core, computing takes about 35 ms per frame (DIS), reading 3 ms.

Letters: F frames, D flow frames, N requested flow frames, h w height and width in pixels.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Integer, UInt8

from actionprompt import video
from actionprompt.config import cache_root

Algorithm = Literal["dis", "tvl1"]
"""DIS (Kroeger et al., 2016) of OpenCV, preset "medium", or TV-L1 (Zach et al., 2007) of OpenCV's contributed modules
with its default parameters: what I3D used. TV-L1 is more exact below some 5 pixels, loses larger displacements, and
takes a hundred times as long."""
LIMIT_PX = 20.0
"""Displacements are clipped to this, as in the I3D paper."""
ZERO, STEPS = 128, 127
"""The code of zero flow, and the number of codes on either side of it."""
VERSION = 1
_CHUNK = 64  # frames decoded at once, so that a long video does not have to fit into memory


def between(frames: UInt8[np.ndarray, "F h w 3"], *, algorithm: Algorithm = "dis") -> Float32[np.ndarray, "D 2 h w"]:
    """Flow from each frame to the next one in pixels, of their luma. D = F - 1.

    Raises:
        ValueError: fewer than two frames, an unknown algorithm, or TV-L1 without OpenCV's contributed modules.
    """
    import cv2

    if len(frames) < 2:
        raise ValueError(f"optical flow needs two frames, got {len(frames)}")
    method = _algorithm(algorithm)
    luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # data-loader workers are the parallelism; the result is the same with more
    try:
        flows = [method.calc(one, two, None) for one, two in pairwise(luma)]
    finally:
        cv2.setNumThreads(threads)
    return np.stack(flows).transpose(0, 3, 1, 2)


def quantise(flow: Float32[np.ndarray, "*D"]) -> UInt8[np.ndarray, "*D"]:
    """Pixels -> codes, clipped to +-`LIMIT_PX`."""
    return (ZERO + np.rint(np.clip(flow, -LIMIT_PX, LIMIT_PX) * (STEPS / LIMIT_PX))).astype(np.uint8)


def dequantise(codes: UInt8[np.ndarray, "*D"]) -> Float32[np.ndarray, "*D"]:
    """Codes -> pixels; the inverse of `quantise` up to its rounding error."""
    return (codes.astype(np.float32) - ZERO) * np.float32(LIMIT_PX / STEPS)


def mirror(codes: UInt8[np.ndarray, "N 2 h w"]) -> UInt8[np.ndarray, "N 2 h w"]:
    """The flow of the mirrored video: left and right exchanged, and x of the opposite sign."""
    mirrored = codes[..., ::-1].copy()
    mirrored[:, 0] = -mirrored[:, 0]  # modulo 256: 256 - q
    return mirrored


def count(path: str | Path) -> int:
    """D, the number of flow frames of a video.

    Raises:
        VideoDecodeError: the video cannot be read, or has a single frame.
    """
    num_frames = video.count_frames(path)
    if num_frames < 2:
        raise video.VideoDecodeError(path, "it has a single frame, and optical flow needs two")
    return num_frames - 1


def read(
    path: str | Path,
    indices: Sequence[int] | Integer[np.ndarray, " N"],
    *,
    short_side_px: int = 256,
    algorithm: Algorithm = "dis",
) -> UInt8[np.ndarray, "N 2 h w"]:
    """The codes of these flow frames, from the cache; the whole clip is computed if it is not there yet.

    Indices may repeat and be in any order.

    Raises:
        ValueError: an index out of range, or TV-L1 where it is not installed.
        VideoDecodeError: the video cannot be read; every frame of it is needed.
    """
    num_flows, wanted = count(path), np.asarray(indices).tolist()
    outside = [index for index in wanted if not 0 <= index < num_flows]
    if outside or not wanted:
        raise ValueError(f"{path}: expected flow frames 0 to {num_flows - 1}, got {outside[:1] or 'none'}")
    stored = _stored(path, short_side_px, algorithm)
    if not stored.is_file():
        _write(stored, path, num_flows, short_side_px, algorithm)
    with np.load(stored) as arrays:
        frames = {index: _unpack(arrays[str(index)]) for index in sorted(set(wanted))}
    return np.stack([frames[index] for index in wanted])


def _algorithm(name: str) -> Any:
    import cv2

    if name == "dis":
        return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if name != "tvl1":
        raise ValueError(f"expected the flow algorithm 'dis' or 'tvl1', got {name!r}")
    if not hasattr(cv2, "optflow"):
        raise ValueError(
            "TV-L1 is one of OpenCV's contributed modules, which opencv-python-headless does not have: replace it by "
            "`pip uninstall opencv-python-headless` and `pip install opencv-contrib-python-headless`, or take 'dis'"
        )
    return cv2.optflow.DualTVL1OpticalFlow_create()


def _codes(path: str | Path, num_flows: int, short_side_px: int, algorithm: Algorithm) -> Iterator[np.ndarray]:
    """The codes [2, h, w] of every flow frame, in order."""
    import cv2

    for start in range(0, num_flows, _CHUNK):
        indices = range(start, min(start + _CHUNK, num_flows) + 1)
        frames = video.read_frames(path, indices, short_side_px=short_side_px)
        scale = short_side_px / min(frames.shape[1:3])
        if scale != 1:  # `read_frames` does not enlarge
            size = tuple(round(side * scale) for side in frames.shape[2:0:-1])
            frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames])
        yield from quantise(between(frames, algorithm=algorithm))


def _write(stored: Path, path: str | Path, num_flows: int, short_side_px: int, algorithm: Algorithm) -> None:
    """Atomic, so that what is there is whole; two processes that compute the same clip write the same."""
    stored.parent.mkdir(parents=True, exist_ok=True)
    temporary = stored.with_suffix(f".{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for index, codes in enumerate(_codes(path, num_flows, short_side_px, algorithm)):
                with file.open(f"{index}.npy", "w") as member:
                    np.lib.format.write_array(member, _pack(codes))
        temporary.replace(stored)
    finally:
        temporary.unlink(missing_ok=True)


def _pack(codes: np.ndarray) -> np.ndarray:
    along_x = np.diff(codes, axis=-1, prepend=np.uint8(0))
    return np.diff(along_x, axis=-2, prepend=np.uint8(0))


def _unpack(packed: np.ndarray) -> np.ndarray:
    return packed.cumsum(-2, dtype=np.uint8).cumsum(-1, dtype=np.uint8)


def _stored(path: str | Path, short_side_px: int, algorithm: str) -> Path:
    """Where the flow of a clip is kept; its files' names, sizes and times of change decide."""
    path = Path(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    identity = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    key = hashlib.sha256(json.dumps([VERSION, algorithm, short_side_px, identity]).encode()).hexdigest()
    return cache_root() / "flow" / key[:2] / f"{key}.npz"
