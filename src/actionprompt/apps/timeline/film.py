"""The film of a timeline: the video itself, with label, score and a running timeline drawn in.

Letters: H W size of a frame in pixels, h w that of a box.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from actionprompt import files
from actionprompt.apps.timeline import look
from actionprompt.apps.timeline.answer import Segment, Timeline
from actionprompt.config import Progress
from actionprompt.video.streaming import Stream
from actionprompt.video.writing import fitted, write_film

MIN_LINES, MAX_LINES = 240, 1080
"""Of the short side: smaller frames are enlarged, so that text is readable, and larger ones shrunk."""
OPACITY = 0.7
"""Of the dark boxes behind text."""


def write(timeline: Timeline, path: str | Path, progress: Progress | None = None) -> str:
    """Write the film of a timeline as mp4 (H.264, sound kept), whole or not at all.

    Frames are shown when the video shows them, up to `timeline.duration_s`. `progress` counts seconds of video.

    Returns:
        What happened to the sound, in a few words.

    Raises:
        ValueError: `path` does not end in .mp4, or is the video itself.
        VideoDecodeError: the video cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"expected a file name ending in .mp4, got {path}")
    if path.exists() and path.samefile(timeline.path):
        raise ValueError(f"{path} is the video itself; write its film to another folder")
    with files.replacing(path) as temporary:
        frames = _drawn(timeline, progress)
        return write_film(temporary, frames, timeline.duration_s, fps=timeline.fps, sound_of=timeline.path)


def _drawn(timeline: Timeline, progress: Progress | None) -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
    segments = iter(timeline.segments)
    segment = next(segments, None)
    frame: UInt8[np.ndarray, "H W 3"] | None = None
    overlay: _Overlay | None = None
    for time_s, pixels in Stream(timeline.path).frames():
        if time_s >= timeline.duration_s:
            break
        size_px = None if frame is None else frame.shape[:2]
        frame = fitted(pixels, size_px, least_px=MIN_LINES, most_px=MAX_LINES)
        if overlay is None:
            overlay = _Overlay(timeline, *frame.shape[:2])
        while segment is not None and time_s >= segment.end_s:
            segment = next(segments, None)
        overlay.draw(frame, time_s, segment)
        yield time_s, frame
        if progress is not None:
            progress(int(time_s), round(timeline.duration_s))


class _Overlay:
    """What is drawn on every frame: the strip with a cursor at the bottom, above it answer and time, and the warnings
    at the top."""

    def __init__(self, timeline: Timeline, height_px: int, width_px: int):
        side_px = min(height_px, width_px)
        self.timeline, self.marks, self.width_px = timeline, look.marks_of(timeline), width_px
        self.margin_px = max(4, side_px // 90)
        self.text_px, self.small_px = max(16, side_px // 20), max(11, side_px // 40)
        self.bar = look.strip(timeline, max(14, side_px // 25), width_px)
        lines = [line for warning in timeline.warnings for line in look.wrapped(warning, self.small_px, self._room_px)]
        self.warnings = _box(tuple(lines), self.small_px)

    @property
    def _room_px(self) -> int:
        """The width of text in a box that is as wide as the frame."""
        return self.width_px - 2 * self.margin_px - 2 * self.text_px

    def draw(self, frame: UInt8[np.ndarray, "H W 3"], time_s: float, segment: Segment | None) -> None:
        """Draws onto a frame."""
        margin_px, bar_px, duration_s = self.margin_px, len(self.bar), self.timeline.duration_s
        frame[-bar_px:] = self.bar
        cursor = int(self.width_px * time_s / duration_s)
        frame[-bar_px - 4 :, max(0, cursor - 3) : cursor + 4] = 0
        frame[-bar_px - 3 :, max(0, cursor - 1) : cursor + 2] = 255
        _blend(frame, self.warnings, margin_px, margin_px)
        bottom = len(frame) - bar_px - 4 - margin_px
        clock = _box((f"{look.clock(time_s, duration_s)} / {look.clock(duration_s, duration_s)}",), self.small_px)
        _blend(frame, clock, bottom - clock.shape[0], self.width_px - margin_px - clock.shape[1])
        if segment is not None:
            answer = self._answer(segment)
            crossing = answer.shape[1] + clock.shape[1] + 3 * margin_px > self.width_px
            _blend(frame, answer, bottom - answer.shape[0] - (clock.shape[0] + margin_px) * crossing, margin_px)

    def _answer(self, segment: Segment) -> UInt8[np.ndarray, "h w 4"]:
        label = "none of these" if segment.label is None else look.drawable(segment.label)
        colour = look.colour_of(look.mark_of(segment.label, self.marks))
        score = f"  {100 * segment.score:.0f} %"
        font = look.font(label, self.text_px)
        room_px = self._room_px - font.getlength(score)
        while font.getlength(label) > room_px and len(label) > 1:
            label = f"{label.rstrip('…')[:-1]}…"
        return _box((label + score,), self.text_px, colour)


@lru_cache(maxsize=8)
def _box(lines: tuple[str, ...], size_px: int, colour: look.Colour | None = None) -> UInt8[np.ndarray, "h w 4"]:
    """White text on a dark box, as RGBA; a bar of a colour at its left side."""
    if not lines:
        return np.zeros((0, 0, 4), np.uint8)
    fonts = [look.font(line, size_px) for line in lines]
    pad_px, bar_px, line_px = size_px // 3, 0 if colour is None else size_px // 2, round(1.3 * size_px)
    width_px = bar_px + 2 * pad_px + round(max(font.getlength(line) for font, line in zip(fonts, lines)))
    image = Image.new("RGBA", (width_px, line_px * len(lines) + pad_px), (0, 0, 0, round(255 * OPACITY)))
    draw = ImageDraw.Draw(image)
    if colour is not None:
        draw.rectangle((0, 0, bar_px - 1, image.height), fill=(*colour, 255))
    for place, (font, line) in enumerate(zip(fonts, lines)):
        draw.text((bar_px + pad_px, pad_px // 2 + (place + 0.5) * line_px), line, (255, 255, 255, 255), font, "lm")
    return np.asarray(image)


def _blend(frame: UInt8[np.ndarray, "H W 3"], box: UInt8[np.ndarray, "h w 4"], top: int, left: int) -> None:
    """Lay a box over a frame; what would lie outside is cut."""
    top, left = max(0, top), max(0, left)
    under = frame[top : top + box.shape[0], left : left + box.shape[1]]
    box = box[: under.shape[0], : under.shape[1]]
    opacity = box[..., 3:].astype(np.uint16)
    under[...] = (box[..., :3] * opacity + under * (255 - opacity)) // 255
