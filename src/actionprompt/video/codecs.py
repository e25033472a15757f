"""What the installed FFmpeg, that of PyAV, can decode and encode."""

import tempfile
from pathlib import Path

import av
import numpy as np

from actionprompt.video import Limits, read_frames, write_video

DECODERS = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg", "prores", "wmv2", "flv1")
"""FFmpeg's names of the codecs that data sets, cameras and browsers have."""
MOST_APART = 8.0
"""Mean difference, of 255, between frames and what comes back of them from H.264 at the quality of `write_video`."""


def libraries() -> dict[str, str]:
    """The versions of FFmpeg's libraries by name."""
    return {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}


def decoders() -> dict[str, bool]:
    """Whether there is a decoder, for each of `DECODERS`."""
    return {name: _has(name) for name in DECODERS}


def _has(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except ValueError:  # PyAV's error for a codec that it does not know is one
        return False
    return True


def check_h264() -> None:
    """Write a video in H.264, which demo, timeline films and ActionWorld need, and read it again.

    Raises:
        ValueError: other frames came back.
        OSError: the file cannot be written.
        VideoDecodeError: it cannot be read.
    """
    ramp = np.arange(64, dtype=np.uint8)
    frames = [np.stack([np.add.outer(ramp, ramp) + 8 * index] * 3, -1).astype(np.uint8) for index in range(4)]
    with tempfile.TemporaryDirectory(prefix="actionprompt-") as folder:
        path = Path(folder) / "check.mp4"
        write_video(path, frames, fps=4)
        found = read_frames(path, range(4), limits=Limits())
    apart = np.abs(np.stack(frames).astype(float) - found).mean()
    if apart > MOST_APART:
        raise ValueError(f"H.264 gives back other frames than were written, {apart:.0f} of 255 apart in the mean")
