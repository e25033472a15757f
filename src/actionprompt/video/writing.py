"""Frames -> a video file."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from actionprompt.video.images import by
from actionprompt.video.sound import add_sound


def write_video(
    path: str | Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float, *, qp: int = 18, gop: int = 12
) -> None:
    """Writes uint8 RGB frames as H.264: 4:2:0, constant quantiser `qp`, a key frame every `gop` frames (1: intra only).

    One thread, no dates, no version tags: the same frames give the same bytes.

    Raises:
        ValueError: no frames, frames of different or odd sizes (4:2:0 needs even ones), or `fps` not above 0. A
            partly written file is deleted.
    """
    if not fps > 0:
        raise ValueError(f"{path}: expected fps > 0, got {fps}")
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    size_px = None
    try:
        with av.open(f"file:{os.path.abspath(path)}", "w", container_options=options) as container:
            for place, pixels in enumerate(frames):
                if size_px is None:
                    size_px = height_px, width_px = pixels.shape[:2]
                    if height_px % 2 or width_px % 2:
                        raise ValueError(f"{path}: H.264 needs even sizes, got {by(size_px)} px; crop or pad by 1")
                    stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                    stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
                    stream.codec_context.gop_size = gop
                    stream.codec_context.thread_count = 1
                    stream.options = {"qp": str(qp), "preset": "veryfast", "flags": "+bitexact"}
                elif pixels.shape[:2] != size_px:
                    raise ValueError(f"{path}: frame {place} is {by(pixels.shape)} px, frame 0 is {by(size_px)}")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            if size_px is None:
                raise ValueError(f"{path}: no frames to write")
            container.mux(stream.encode(None))
    except ValueError:
        Path(path).unlink(missing_ok=True)
        raise


def write_film(
    path: str | Path,
    frames: Iterable[tuple[float, UInt8[np.ndarray, "H W 3"]]],
    duration_s: float,
    *,
    fps: float | None = None,
    sound_of: str | Path | None = None,
    crf: int = 20,
) -> str:
    """Writes RGB frames, each with the second at which it is shown, as an mp4 that browsers play while it loads:
    H.264, 4:2:0, the index in front, constant quality `crf`. The last frame is shown until `duration_s`. An odd size is
    padded by one.

    `fps` is the mean rate, where known. The sound of `sound_of` is kept; see `add_sound`, whose line is returned.

    Raises:
        ValueError: no frames, frames of different sizes, or times that do not increase. The file is then incomplete.
    """
    clock = Fraction(1, 90_000)  # the usual one of video: fine enough for every frame rate
    rate = Fraction(min(max(fps or 25.0, 1.0), 240.0)).limit_denominator(1001)  # a hint for the encoder
    sound, heard_s, last = "no sound", -np.inf, None
    voice: Iterator[float] = iter(())
    with av.open(f"file:{os.path.abspath(path)}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        for place, (time_s, pixels) in enumerate(frames):
            if last is None:
                size_px = pixels.shape[:2]
                stream: Any = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = (side + side % 2 for side in size_px)
                stream.pix_fmt, stream.time_base = "yuv420p", clock
                stream.codec_context.time_base = clock
                stream.options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}  # the last packet: the last frame
                if sound_of is not None:
                    sound, voice = add_sound(container, sound_of, duration_s)
            elif pixels.shape[:2] != size_px:
                raise ValueError(f"{path}: frame {place} is {by(pixels.shape)} px, frame 0 is {by(size_px)}")
            pts = round(time_s / clock)
            if last is not None and pts <= last:
                raise ValueError(f"{path}: expected times that increase, got {time_s:.6f} s for frame {place}")
            last = pts
            odd = [(0, side % 2) for side in size_px]
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, [*odd, (0, 0)], mode="edge"), format="rgb24")
            frame.pts, frame.time_base = pts, clock
            container.mux(stream.encode(frame))
            while heard_s < time_s:
                heard_s = next(voice, np.inf)
        if last is None:
            raise ValueError(f"{path}: no frames to write")
        for packet in stream.encode(None):
            if packet.pts == last:
                packet.duration = max(1, round(duration_s / clock) - last)
            container.mux(packet)
        for _ in voice:
            pass
    return sound


def fitted(
    pixels: UInt8[np.ndarray, "h w 3"], size_px: tuple[int, int] | None, *, least_px: int, most_px: int
) -> UInt8[np.ndarray, "H W 3"]:
    """A frame of a film, to draw on: enlarged by a whole number where its short side is below `least_px`, or shrunk to
    `most_px`. `size_px` is the size (height, width) of the frames before it: one of another shape, where a recording
    changes its size, gets black borders."""
    height_px, width_px = pixels.shape[:2]
    side_px = min(height_px, width_px)
    scale = -(-least_px // side_px) if side_px < least_px else min(1.0, most_px / side_px)
    if size_px is not None:
        scale = min(size_px[0] / height_px, size_px[1] / width_px)
    new_px = max(1, round(height_px * scale)), max(1, round(width_px * scale))
    if new_px != (height_px, width_px):
        pixels = np.asarray(Image.fromarray(pixels).resize(new_px[::-1], Image.Resampling.BICUBIC))
    frame = np.zeros((*(size_px or new_px), 3), np.uint8)
    top, left = (frame.shape[0] - new_px[0]) // 2, (frame.shape[1] - new_px[1]) // 2
    frame[top : top + new_px[0], left : left + new_px[1]] = pixels
    return frame
