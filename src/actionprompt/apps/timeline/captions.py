"""A timeline as text: captions that players show, a table of its segments, and all of it as JSON."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionprompt.apps.timeline.answer import Segment, Timeline, Window
from actionprompt.files import no_formula


def as_vtt(timeline: Timeline) -> str:
    """WebVTT with a cue for each segment that has a label; warnings are notes, which players do not show."""
    blocks = ["WEBVTT", *(f"NOTE {_one_line(warning)}" for warning in timeline.warnings)]
    for segment in timeline.segments:
        start_ms, end_ms = round(1000 * segment.start_s), round(1000 * segment.end_s)
        if segment.label is not None and end_ms > start_ms:
            text = f"{_one_line(segment.label)} {100 * segment.score:.0f} %"
            blocks.append(f"{_clock(start_ms)} --> {_clock(end_ms)}\n{text}")
    return "\n\n".join(blocks) + "\n"


def as_csv(timeline: Timeline) -> str:
    """The segments, one a row; the label of none of these is empty, and one that a spreadsheet would take for a formula
    has a quote in front."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "label", "score"])
    for segment in timeline.segments:
        times_s = round(segment.start_s, 6), round(segment.end_s, 6)
        writer.writerow([*times_s, no_formula(segment.label or ""), round(segment.score, 6)])
    return buffer.getvalue()


def as_json(timeline: Timeline) -> dict[str, Any]:
    """All of it. A window has `none` where "none of these" was asked; the label of such a segment is null."""
    return {
        "path": str(timeline.path),
        "duration_s": timeline.duration_s,
        "fps": timeline.fps,
        "labels": list(timeline.labels),
        "windows": [_window(window) for window in timeline.windows],
        "segments": [_segment(segment) for segment in timeline.segments],
        "model": timeline.model,
        "warnings": list(timeline.warnings),
    }


def from_json(answer: Mapping[str, Any], path: str | Path) -> Timeline:
    """The timeline of the video at `path` that `as_json` made."""
    windows = (Window(w["start_s"], w["end_s"], tuple(w["scores"]), w.get("none")) for w in answer["windows"])
    return Timeline(
        path=Path(path),
        duration_s=answer["duration_s"],
        fps=answer["fps"],
        labels=tuple(answer["labels"]),
        windows=tuple(windows),
        segments=tuple(Segment(**segment) for segment in answer["segments"]),
        model=answer["model"],
        warnings=tuple(answer["warnings"]),
    )


def _window(window: Window) -> dict[str, Any]:
    none = {} if window.none is None else {"none": window.none}
    return {"start_s": window.start_s, "end_s": window.end_s, "scores": list(window.scores), **none}


def _segment(segment: Segment) -> dict[str, Any]:
    return {"start_s": segment.start_s, "end_s": segment.end_s, "label": segment.label, "score": segment.score}


def _clock(time_ms: int) -> str:
    """HH:MM:SS.mmm"""
    seconds, ms = divmod(time_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def _one_line(text: str) -> str:
    """Text that WebVTT shows as it is; without `>`, no part of it is an arrow."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
