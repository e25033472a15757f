"""What a camera does to frames: defocus, vignetting, unsteady exposure and white balance, noise, JPEG.

The arithmetic is in integers, with random bytes mapped to quantiles by tables, so the same generator gives the same
bytes on every machine with the same wheels. Nothing depends on the order of the frames but slow oscillations with
random phases and signs, whose distribution is the same in both directions of time.
"""

from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt32

QP = 26
"""Constant quantiser of a clean sensor."""
BLOTCH_PX = 4
"""Grid spacing of colour noise."""
_TURN = 256
"""Phases are integers; this many are one turn."""
_SINE = np.rint(127 * np.sin(2 * np.pi * np.arange(_TURN) / _TURN)).astype(np.int64)


def _quantiles() -> Int32[np.ndarray, "256"]:
    """The normal distribution as 256 equally likely values with mean 0 and variance 1, in units of 1/64."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
    return np.rint(64 * values / np.sqrt(np.mean(values**2))).astype(np.int32)


_NORMAL = _quantiles()


@dataclass(frozen=True)
class Sensor:
    """A camera's imperfections; by default it has none. Levels are those of 8-bit pixels."""

    shot: float = 0.0
    """Variance of the noise, in squared levels, per level of the pixel."""
    read: float = 0.0
    """Standard deviation, in levels, of the noise that does not depend on the pixel."""
    blotches: float = 0.0
    """Standard deviation, in levels, of colour noise on a grid of `BLOTCH_PX`; between its points it is interpolated,
    hence smaller."""
    defocus: float = 0.0
    """Standard deviation of the Gaussian blur, as a fraction of the frame's height."""
    vignette: float = 0.0
    """By what fraction the corners are darker than the centre."""
    flicker: float = 0.0
    """Amplitude of the exposure's oscillation, as a fraction."""
    drift: float = 0.0
    """Amplitude of the slow oscillation of each colour channel, as a fraction."""
    qp: int = QP
    """Constant quantiser for videos."""
    jpeg: int | None = None
    """JPEG quality of single images; None: not compressed."""


def sample_sensor(rng: np.random.Generator) -> Sensor:
    """Sample a sensor; 30 % are clean."""
    clean = rng.random() < 0.3
    sensor = Sensor(
        shot=float(rng.uniform(0.0, 0.25)),
        read=float(rng.uniform(0.3, 3.0)),
        blotches=float(rng.uniform(0.0, 5.0) * (rng.random() < 0.5)),
        defocus=float(rng.uniform(0.002, 0.006) * (rng.random() < 0.6)),
        vignette=float(rng.uniform(0.05, 0.35) * (rng.random() < 0.6)),
        flicker=float(rng.uniform(0.005, 0.03) * (rng.random() < 0.5)),
        drift=float(rng.uniform(0.005, 0.03) * (rng.random() < 0.5)),
        qp=int(rng.integers(24, 41)),
        jpeg=int(rng.integers(35, 96)),
    )
    return Sensor() if clean else sensor


def shoot(
    frames: UInt8[np.ndarray, "T H W 3"], sensor: Sensor, rng: np.random.Generator, *, stills: bool = False
) -> UInt8[np.ndarray, "T H W 3"]:
    """What the sensor makes of RGB frames of one clip or, if `stills`, of unrelated images, each compressed to JPEG.

    A clean sensor returns `frames` unchanged.
    """
    if sensor == Sensor(qp=sensor.qp):
        return frames
    num_frames, height, width, _ = frames.shape
    row_gain, colour_gain = _oscillations(sensor, rng, num_frames, height, stills=stills)
    vignette, table = np.repeat(_vignette(sensor, height, width), 3, axis=1), _noise_table(sensor)
    shot = np.empty_like(frames)
    for i, frame in enumerate(frames):
        if sensor.defocus:
            frame = cv2.GaussianBlur(frame, (0, 0), sensor.defocus * height)
        levels = frame.reshape(height, width * 3).astype(np.uint16)
        if sensor.vignette or sensor.flicker or sensor.drift:
            gain = (vignette * np.tile(colour_gain[i], width) >> 8) * row_gain[i][:, None] >> 8
            levels = levels * gain.astype(np.uint16) + 128 >> 8
        if sensor.shot or sensor.read:
            levels = np.take(table, levels << 8 | _random_bytes(rng, levels.shape))
        if sensor.blotches:
            brighter, darker = _blotches(sensor, rng, height, width)
            levels = cv2.subtract(cv2.add(levels.astype(np.uint8), brighter), darker)
        shot[i] = levels.reshape(frame.shape)
        if stills and sensor.jpeg is not None:
            shot[i] = _through_jpeg(shot[i], sensor.jpeg)
    return shot


def _random_bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    count = int(np.prod(shape))
    words = rng.integers(0, 1 << 64, -(-count // 8), dtype=np.uint64)
    return words.astype("<u8").view(np.uint8)[:count].reshape(shape)


def _oscillations(
    sensor: Sensor, rng: np.random.Generator, num_frames: int, height: int, *, stills: bool
) -> tuple[UInt32[np.ndarray, "T H"], UInt32[np.ndarray, "T 3"]]:
    """Gains of every row (rolling shutter) and of every colour channel, in 1/256, at most 256."""
    phase = rng.integers(_TURN, size=4)
    fast, bands, slow = rng.integers(-60, 61), rng.integers(-200, 201), rng.integers(-4, 5, size=3)
    time = rng.integers(_TURN, size=(num_frames, 4)) if stills else np.arange(num_frames)[:, None] * [fast, *slow]
    turns = phase + time
    rows = np.arange(height) * bands // height
    row_gain = _gain(sensor.flicker, turns[:, :1] + rows)
    return row_gain, _gain(sensor.drift, turns[:, 1:])


def _gain(amplitude: float, phase: Int64[np.ndarray, "..."]) -> UInt32[np.ndarray, "..."]:
    """An oscillation between 1 and 1 - 2 * amplitude, in 1/256."""
    swing = int(amplitude * 65536)
    return (256 - (swing * (127 + _SINE[phase % _TURN]) // 127 + 128 >> 8)).astype(np.uint32)


def _vignette(sensor: Sensor, height: int, width: int) -> UInt32[np.ndarray, "H W"]:
    """The gain of every pixel, in 1/256: it falls with the squared distance from the centre."""
    y, x = (2 * np.arange(n) + 1 - n for n in (height, width))
    far = y[:, None] ** 2 * width**2 + x[None] ** 2 * height**2
    return (256 - int(sensor.vignette * 256) * far // (2 * height**2 * width**2)).astype(np.uint32)


def _noise_table(sensor: Sensor) -> UInt8[np.ndarray, "65536"]:
    """The noisy level at index 256 * level + random byte."""
    level = np.arange(256, dtype=np.int32)[:, None]
    variance = int(sensor.shot * 4096) * level + int(sensor.read**2 * 4096)
    spread = np.sqrt(variance).astype(np.int32)  # in 1/64 levels
    noisy = level * 4096 + spread * _NORMAL + 2048 >> 12
    return np.clip(noisy, 0, 255).astype(np.uint8).reshape(-1)


def _blotches(
    sensor: Sensor, rng: np.random.Generator, height: int, width: int
) -> tuple[UInt8[np.ndarray, "H W3"], UInt8[np.ndarray, "H W3"]]:
    """Colour noise: what is added to each level, and what is subtracted."""
    size = -(-height // BLOTCH_PX), -(-width // BLOTCH_PX), 3
    spread = np.clip(128 + (int(sensor.blotches * 64) * _NORMAL + 2048 >> 12), 0, 255).astype(np.uint8)
    coarse = spread[_random_bytes(rng, size)]
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).reshape(height, width * 3)
    middle = np.full_like(fine, 128)
    return cv2.subtract(fine, middle), cv2.subtract(middle, fine)


def _through_jpeg(frame: UInt8[np.ndarray, "H W 3"], quality: int) -> UInt8[np.ndarray, "H W 3"]:
    _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)
