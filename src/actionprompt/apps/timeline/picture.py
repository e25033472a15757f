"""A picture of a timeline: key frames, the strip of segments, and the scores over time."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.gridspec import GridSpec

from actionprompt import files, video
from actionprompt.apps.timeline import look
from actionprompt.apps.timeline.answer import Segment, Timeline
from actionprompt.video.streaming import Stream

DPI, WIDTH_IN = 110, 14.0
LEFT, RIGHT = 0.055, 0.975
"""Where the time axis starts and ends, as parts of the width."""
FRAMES_IN, STRIP_IN, CURVES_IN, ROW_IN = 1.25, 0.4, 2.4, 0.22
"""Heights; a row is a line of text."""
LABEL_PT, NOTE_PT = 8.5, 8.5
"""Of labels in the strip, and of notes."""
MOST_POINTS = 1400
"""Of a curve: about one per pixel. More windows are drawn as the maximum of those that share a pixel."""
STYLES = ("-", "--", ":")
"""Of the curves, as the textures of the strip."""


def draw(timeline: Timeline, path: str | Path, *, title: str | None = None) -> None:
    """Write the picture of a timeline as PNG; its title is the name of the file, unless given.

    The key frames stand above the parts of the time axis they are from. Only labels that come first somewhere have a
    colour and a curve; how many others were asked is said. Where the frames cannot be read, there is a note.
    """
    labels, notes = _legend(timeline), _notes(timeline)
    rows = len(notes) + 0.4 * bool(notes)
    rows_of_legend = -(-len(labels) // _columns(labels))
    heights_in = [FRAMES_IN + ROW_IN, STRIP_IN, CURVES_IN, 2.0 * ROW_IN + rows_of_legend * ROW_IN]
    top_in = (2.3 + rows) * ROW_IN
    height_in = top_in + sum(heights_in) + 0.35
    figure = Figure((WIDTH_IN, height_in), dpi=DPI)
    grid = GridSpec(
        4, 1, figure, left=LEFT, right=RIGHT, top=1 - top_in / height_in, bottom=0.01, hspace=0.06,
        height_ratios=heights_in,
    )  # fmt: skip
    with warnings.catch_warnings():
        # a font with the letters was looked for, and what it lacks is in the notes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        _title(figure, timeline, timeline.path.name if title is None else title, notes, height_in)
        _frames(figure, grid[0, 0], timeline)
        _strip(figure.add_subplot(grid[1, 0]), timeline)
        _curves(figure.add_subplot(grid[2, 0]), timeline)
        _draw_legend(figure.add_subplot(grid[3, 0]), labels)
        with files.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _text(axis: Any, x: float, y: float, text: str, size: float, **options: Any) -> Any:
    """Text of any script, in which `$` is a dollar sign."""
    text = look.drawable(text)
    font = FontProperties(fname=look.font_of(text)[0], size=size)
    return axis.text(x, y, text, fontproperties=font, parse_math=False, **options)


def _notes(timeline: Timeline) -> list[str]:
    lines = [*timeline.warnings, *look.without_font(timeline)]
    room_pt = 72 * WIDTH_IN * (RIGHT - LEFT)
    return [part for line in lines for part in look.wrapped(line, NOTE_PT, room_pt)]


def _title(figure: Figure, timeline: Timeline, title: str, notes: list[str], height_in: float) -> None:
    def y(rows: float) -> float:
        return 1 - rows * ROW_IN / height_in

    backbone = timeline.model.get("backbone") or {}
    model = [timeline.model.get("method"), backbone.get("name") if isinstance(backbone, dict) else backbone]
    asked = f"{len(timeline.labels)} labels" if len(timeline.labels) > 1 else "1 label"
    facts = [look.clock(timeline.duration_s, timeline.duration_s), *(str(part) for part in model if part), asked]
    _text(figure, LEFT, y(1.0), _shortened(title, 90), 13, va="center")
    _text(figure, RIGHT, y(1.0), _shortened(" · ".join(facts), 90), 9, va="center", ha="right", color="0.25")
    for row, line in enumerate(notes):
        _text(figure, LEFT, y(2.0 + row), line, NOTE_PT, va="center", color="#a03000")


def _shortened(name: str, most: int) -> str:
    """A text cut from the left, since names of files differ at the end."""
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def _frames(figure: Figure, place: Any, timeline: Timeline) -> None:
    """A frame from each part of the video, above that part."""
    row = figure.add_subplot(place)
    row.axis("off")
    row.set(xlim=(0, timeline.duration_s), ylim=(-ROW_IN, FRAMES_IN))
    width_in = WIDTH_IN * (RIGHT - LEFT)
    try:
        height_px, width_px = next(Stream(timeline.path).frames())[1].shape[:2]
        num_frames = max(1, min(10, int(width_in / (FRAMES_IN * width_px / height_px + 0.15))))
        shown = _key_times(timeline, num_frames)
        frames = _read(timeline, shown)
    except video.VideoDecodeError as error:
        _text(row, timeline.duration_s / 2, FRAMES_IN / 2, f"no frames: {error.reason}", 8.5, ha="center")
        return
    scale = timeline.duration_s / width_in
    for number, (time_s, frame) in enumerate(zip(shown, frames)):
        middle = (number + 0.5) * timeline.duration_s / num_frames
        half = scale * min(FRAMES_IN * frame.shape[1] / frame.shape[0], width_in / num_frames - 0.1) / 2
        height_in = 2 * half / scale * frame.shape[0] / frame.shape[1]
        row.imshow(
            frame, extent=(middle - half, middle + half, 0, height_in), aspect="auto", interpolation="antialiased"
        )
        row.plot([middle, time_s], [-0.02, -ROW_IN], color="0.4", lw=0.8, clip_on=False)
        row.plot([time_s], [-ROW_IN], color="0.2", marker="v", ms=4, clip_on=False)
    row.set(xlim=(0, timeline.duration_s), ylim=(-ROW_IN, FRAMES_IN))


def _key_times(timeline: Timeline, num_frames: int) -> list[float]:
    """The middle of what is shown longest in each of equal parts of the video; what has a label comes first."""
    times = []
    for number in range(num_frames):
        start, end = (timeline.duration_s * k / num_frames for k in (number, number + 1))
        pieces = [
            (segment.label is not None, min(end, segment.end_s) - max(start, segment.start_s), segment)
            for segment in timeline.segments
            if segment.start_s < end and segment.end_s > start
        ]
        segment = max(pieces, key=lambda piece: piece[:2])[2] if pieces else Segment(start, end, None, 0.0)
        times.append((max(start, segment.start_s) + min(end, segment.end_s)) / 2)
    return times


def _read(timeline: Timeline, times_s: list[float]) -> list[UInt8[np.ndarray, "H W 3"]]:
    """What is on the screen at these times, in order; of a damaged video too."""
    stream = Stream(timeline.path)
    if stream.seekable:
        first_s = video.frame_times(timeline.path, np.arange(video.count_frames(timeline.path)))
        indices = np.maximum(np.searchsorted(first_s, np.add(times_s, 1e-6), side="right") - 1, 0)
        try:
            return list(video.read_frames(timeline.path, indices, short_side_px=2 * round(DPI * FRAMES_IN)))
        except video.VideoDecodeError:
            pass  # a frame is damaged: the nearest one before it that is not
    found = {place: frame for _, asked, frame in stream.frames_at(times_s) for place in asked}
    return [found[place] for place in range(len(times_s))]


def _strip(axis: Axes, timeline: Timeline) -> None:
    width_in = WIDTH_IN * (RIGHT - LEFT)
    pixels = look.strip(timeline, round(STRIP_IN * DPI), round(width_in * DPI))
    axis.imshow(pixels, extent=(0, timeline.duration_s, 0, 1), aspect="auto", interpolation="nearest")
    axis.set(xlim=(0, timeline.duration_s), ylim=(0, 1), yticks=[], xticks=[])
    marks = look.marks_of(timeline)
    for segment in timeline.segments:
        room_in = (segment.end_s - segment.start_s) / timeline.duration_s * width_in
        colour = look.colour_of(look.mark_of(segment.label, marks))
        lines = _lines("none of these" if segment.label is None else look.drawable(segment.label), room_in - 0.1)
        ink = "black" if look.ink_on(colour) == (0, 0, 0) else "white"
        for number, line in enumerate(lines):
            middle, y = (segment.start_s + segment.end_s) / 2, 0.5 - 0.4 * (number - (len(lines) - 1) / 2)
            under = {"facecolor": _rgb(colour), "edgecolor": "none", "pad": 0.8}  # covers the texture
            _text(axis, middle, y, line, LABEL_PT, ha="center", va="center", color=ink, bbox=under)


def _lines(text: str, room_in: float) -> tuple[str, ...]:
    """A text in one or two lines that fit into a width; none if they do not."""
    font = look.font(text, LABEL_PT)
    spaces = [place for place, letter in enumerate(text) if letter == " "]
    middle = min(spaces, key=lambda place: abs(place - len(text) / 2), default=0)
    for lines in ((text,), (text[:middle], text[middle + 1 :])):
        if text and all(font.getlength(line) / 72 <= room_in for line in lines):
            return lines
    return ()


def _curves(axis: Axes, timeline: Timeline) -> None:
    spans = np.array([(window.start_s, window.end_s) for window in timeline.windows]).reshape(-1, 2)
    scores = np.array([window.scores for window in timeline.windows]).reshape(len(spans), len(timeline.labels))
    if timeline.windows and timeline.windows[0].none is not None:
        none = np.array([window.none for window in timeline.windows], float)
        x, y = _points(spans, none, timeline.duration_s)
        axis.fill_between(x, 0, y, color=_rgb(look.NONE), alpha=0.6, lw=0)
    for label, mark in reversed(look.marks_of(timeline).items()):
        x, y = _points(spans, scores[:, timeline.labels.index(label)], timeline.duration_s)
        axis.plot(x, y, STYLES[mark // len(look.COLOURS)], color=_rgb(look.colour_of(mark)), lw=1.4)
    ticks, names, unit = _ticks(timeline.duration_s)
    axis.set_xticks(ticks, names)
    axis.set(xlim=(0, timeline.duration_s), ylim=(0, 104), yticks=[0, 25, 50, 75, 100])
    axis.set_ylabel("score (%)", fontsize=9)
    axis.set_xlabel(f"time ({unit})", fontsize=9, labelpad=2)
    axis.tick_params(labelsize=9)
    axis.grid(alpha=0.3)


def _points(
    spans: Float[np.ndarray, "N 2"], scores: Float[np.ndarray, " N"], duration_s: float
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """Points of a curve: seconds, and percent. It is level before the centre of the first window and after the last."""
    if not len(spans):
        return np.zeros(0), np.zeros(0)
    x, y = spans.mean(1), 100 * scores
    if len(x) > MOST_POINTS:
        column = np.minimum((x / duration_s * MOST_POINTS).astype(int), MOST_POINTS - 1)
        columns, starts = np.unique(column, return_index=True)
        x, y = (columns + 0.5) * duration_s / MOST_POINTS, np.maximum.reduceat(y, starts)
    return np.array([0.0, *x, duration_s]), np.array([y[0], *y, y[-1]])


def _ticks(duration_s: float) -> tuple[list[float], list[str], str]:
    """At most 13 round times, how they are written, and in which unit."""
    steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400]
    step = next((step for step in steps if duration_s / step <= 12), duration_s / 12)
    ticks = [step * k for k in range(int(duration_s / step + 1e-9) + 1)]
    if duration_s < 100:
        return ticks, [f"{tick:g}" for tick in np.round(ticks, 6)], "s"
    if duration_s < 2 * 3600:
        return ticks, [f"{int(tick) // 60}:{int(tick) % 60:02d}" for tick in ticks], "min:s"
    return ticks, [f"{int(tick) // 3600}:{int(tick) // 60 % 60:02d}" for tick in ticks], "h:min"


def _rgb(colour: look.Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


_Entry = tuple[str, int | None]
"""Of the legend: a text and the mark in front of it."""


def _legend(timeline: Timeline) -> list[_Entry]:
    seconds, marks = look.seconds_of(timeline), look.marks_of(timeline)

    def entry(text: str, time_s: float, mark: int) -> _Entry:
        return f"{_shortened(look.drawable(text), 50)} ({100 * time_s / timeline.duration_s:.0f} %)", mark

    entries = [entry(label, time_s, marks[label]) for label, time_s in seconds.items() if label in marks]
    others = [time_s for label, time_s in seconds.items() if label not in marks]
    if others:
        entries.append(entry(f"{len(others)} other labels", sum(others), look.OTHERS_MARK))
    if any(segment.label is None for segment in timeline.segments):
        entries.append(entry("none of these", timeline.duration_s - sum(seconds.values()), look.NONE_MARK))
    unseen = len(timeline.labels) - len(seconds)
    if unseen:
        entries.append((f"not found: {unseen} of {len(timeline.labels)} labels", None))
    return entries


def _columns(entries: list[_Entry]) -> int:
    longest = max((len(text) for text, _ in entries), default=1)
    return max(1, int(WIDTH_IN * (RIGHT - LEFT) / (0.6 + 0.085 * longest)))


def _draw_legend(axis: Axes, entries: list[_Entry]) -> None:
    columns, width_in = _columns(entries), WIDTH_IN * (RIGHT - LEFT)
    rows = -(-len(entries) // columns)
    axis.axis("off")
    for place, (text, mark) in enumerate(entries):
        x, y = place % columns * width_in / columns, -(place // columns)
        if mark is not None:
            swatch = look.painted(np.full(34, mark), 16)
            axis.imshow(swatch, extent=(x, x + 0.3, y - 0.3, y + 0.3), aspect="auto", interpolation="nearest")
        _text(axis, x if mark is None else x + 0.38, y, text, 9, va="center")
    axis.set(xlim=(0, width_in), ylim=(-rows, 2))
