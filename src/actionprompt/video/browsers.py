"""Whether browsers play a file as it is."""

from dataclasses import dataclass
from pathlib import Path

from actionprompt.video import scan
from actionprompt.video.limits import Limits, decode_errors

PLAYED = {"mp4": ("h264", "av1"), "webm": ("vp8", "vp9", "av1")}
"""Codecs that today's browsers play, by container; HEVC, for one, depends on the computer."""
EIGHT_BITS = ("yuv420p", "yuvj420p")
LATE_S = 0.05
"""A first frame that is shown later: the clock of a player and ours, which starts with it, differ."""


@dataclass(frozen=True)
class Playing:
    """How a browser meets a file."""

    codec: str
    media_type: str
    """For `Content-Type`."""
    plays: bool


def playing(path: str | Path, *, limits: Limits | None = None) -> Playing:
    """What a browser would make of a video file; nothing is decoded.

    Raises:
        VideoDecodeError: the video cannot be opened.
    """
    limits = limits or Limits.from_environment()
    with decode_errors(path), scan.open_video(str(path), limits, guess=True) as container:
        stream = scan.pick_stream(str(path), container, limits)
        names, codec = container.format.name.split(","), stream.codec_context.codec.canonical_name
        container_name = next((name for name in PLAYED if name in names), "")
        if container_name == "webm" and codec not in PLAYED["webm"]:
            container_name = ""  # FFmpeg has one name for WebM and Matroska
        late_s = float((stream.start_time or 0) * (stream.time_base or 0))
        plays = codec in PLAYED.get(container_name, ()) and stream.codec_context.pix_fmt in EIGHT_BITS
        media_type = f"video/{container_name}" if container_name else "application/octet-stream"
        return Playing(codec, media_type, plays and abs(late_s) < LATE_S)
