"""Frames -> a video file."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from actionprompt.video.images import by


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
