"""What the picture and the film of a timeline share: the colours of labels, the strip of segments, fonts, clock times.

Letters: H W size of a strip in pixels.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from actionprompt.apps.timeline.answer import Timeline

Colour = tuple[int, int, int]
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66),
)  # fmt: skip
"""Of Okabe and Ito (2008), which colour-blind people tell apart."""
TEXTURES = 3
"""Plain, striped, dotted: they tell the second and the third label of a colour apart."""
NONE: Colour = (205, 205, 205)
OTHERS: Colour = (80, 80, 80)
"""Of labels for which no colour is left."""
OTHERS_MARK, NONE_MARK = len(COLOURS) * TEXTURES, len(COLOURS) * TEXTURES + 1
"""The marks that follow those of labels."""


def seconds_of(timeline: Timeline) -> dict[str, float]:
    """The labels that segments have, and for how many seconds, longest first."""
    return {label: time_s for label, time_s in timeline.seconds.items() if label is not None}


def marks_of(timeline: Timeline) -> dict[str, int]:
    """The mark (colour and texture) of each label that occurs. The same in every video where the labels are few; else
    the labels with the most time have one."""
    seconds = seconds_of(timeline)
    if len(timeline.labels) <= len(COLOURS):
        return {label: mark for mark, label in enumerate(timeline.labels) if label in seconds}
    return {label: mark for mark, label in enumerate(list(seconds)[: len(COLOURS) * TEXTURES])}


def mark_of(label: str | None, marks: dict[str, int]) -> int:
    """The mark of any answer, given those of labels."""
    return NONE_MARK if label is None else marks.get(label, OTHERS_MARK)


def colour_of(mark: int) -> Colour:
    """The colour of a mark."""
    return {OTHERS_MARK: OTHERS, NONE_MARK: NONE}.get(mark) or COLOURS[mark % len(COLOURS)]


def ink_on(colour: Colour) -> Colour:
    """Black or white: what is readable on a colour."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else (255, 255, 255)


def strip(timeline: Timeline, height_px: int, width_px: int) -> UInt8[np.ndarray, "H W 3"]:
    """The segments from left to right. A column shows the label with the most of its time, and none of these only where
    there is no label, so that no event is too short to be seen."""
    marks = marks_of(timeline)
    share = np.zeros((NONE_MARK + 1, width_px))
    for segment in timeline.segments:
        start, end = (width_px * time_s / timeline.duration_s for time_s in (segment.start_s, segment.end_s))
        columns = np.arange(int(start), min(int(np.ceil(end)), width_px))
        share[mark_of(segment.label, marks), columns] += np.minimum(columns + 1, end) - np.maximum(columns, start)
    share[NONE_MARK] *= 1e-9
    shown = np.where(share.max(0) > 0, share.argmax(0), NONE_MARK)
    return painted(shown, height_px)


def painted(marks: Integer[np.ndarray, " W"], height_px: int) -> UInt8[np.ndarray, "H W 3"]:
    """Columns in the colour and texture of their marks."""
    table = np.array([colour_of(mark) for mark in range(NONE_MARK + 1)], float)
    texture = np.where(marks < OTHERS_MARK, marks // len(COLOURS), 0)
    rows, columns, size = np.arange(height_px)[:, None], np.arange(len(marks))[None], max(2, height_px // 8)
    striped = (texture == 1) & ((rows + columns) // size % 2 == 0)
    dotted = (texture == 2) & (rows // size % 2 == 0) & (columns // size % 2 == 0)
    return (table[marks] * np.where(striped | dotted, 0.6, 1.0)[..., None]).round().astype(np.uint8)


def clock(time_s: float, duration_s: float) -> str:
    """A time within a video of this length: `12.3 s`, `2:05` or `1:02:05`."""
    if duration_s < 60:
        return f"{time_s:.1f} s"
    seconds = round(time_s)
    hours = f"{seconds // 3600}:" if duration_s >= 3600 else ""
    minutes = f"{seconds // 60 % 60:02d}" if hours else str(seconds // 60)
    return f"{hours}{minutes}:{seconds % 60:02d}"


def drawable(text: str) -> str:
    """Text as one line, in which what is no character is a question mark."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def font_of(text: str) -> tuple[str, bool]:
    """A font file of this computer for a text, and whether it has all its letters: DejaVu Sans, which matplotlib brings
    along, else any that has them."""
    return _font_with(frozenset(ord(letter) for letter in text if not letter.isspace()))


@lru_cache(maxsize=64)
def font(text: str, size: int | float) -> ImageFont.FreeTypeFont:
    """The font of `font_of` in a size; lengths of text are in the unit of the size."""
    return ImageFont.truetype(font_of(text)[0], size)


def wrapped(text: str, size: int | float, room: float) -> list[str]:
    """A text, `drawable`, as lines that fit into a width; a word that does not has a line of its own."""
    text = drawable(text)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(text, size).getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=256)
def _font_with(letters: frozenset[int]) -> tuple[str, bool]:
    usual = font_manager.findfont("DejaVu Sans")
    others = {font.fname for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")}
    for file in (usual, *sorted(others)):
        if letters <= _letters_in(file):
            return file, True
    return usual, False


@lru_cache(maxsize=4096)
def _letters_in(file: str) -> frozenset[int]:
    """The characters of a font that can be drawn at any size; fonts of coloured bitmaps cannot."""
    try:
        ImageFont.truetype(file, 17)
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def without_font(timeline: Timeline) -> tuple[str, ...]:
    """A line on what is drawn as empty boxes, if there is any."""
    texts = [drawable(text) for text in (timeline.path.name, *seconds_of(timeline))]
    missing = [text for text in texts if not font_of(text)[1]]
    if not missing:
        return ()
    named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return (f"no font of this computer has all letters of {named}; they are drawn as empty boxes",)
