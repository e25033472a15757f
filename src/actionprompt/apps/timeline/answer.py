"""What a timeline is: windows, segments, and the video they are of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Window:
    """A part of a video that a model scored as one clip."""

    start_s: float
    end_s: float
    scores: tuple[float, ...]
    """A probability for each of `Timeline.labels`, in their order. With "none of these" they sum to 1 together with
    `none`; scored independently, each is a probability of its own."""
    none: float | None = None
    """The probability that it shows none of the labels; None where this was not asked."""


@dataclass(frozen=True)
class Segment:
    """A part of a video with one answer. Segments follow each other without gaps from 0 to the end; not so where labels
    are scored independently."""

    start_s: float
    end_s: float
    label: str | None
    """None: none of these."""
    score: float
    """The mean probability of this answer over the windows whose centres lie in the segment."""


@dataclass(frozen=True)
class Timeline:
    """When what happens in one video. Times are in seconds from its first frame."""

    path: Path
    duration_s: float
    """Of what could be read."""
    fps: float | None
    """Mean frames per second."""
    labels: tuple[str, ...]
    windows: tuple[Window, ...]
    segments: tuple[Segment, ...]
    model: dict[str, Any]
    """What answered: program version, method, backbone with its hash, and all settings."""
    warnings: tuple[str, ...] = ()
    """One line each: what a reader of this timeline has to know."""

    @property
    def seconds(self) -> dict[str | None, float]:
        """The answers that segments have, and for how many seconds, longest first; None: none of these."""
        found: dict[str | None, float] = {}
        for segment in self.segments:
            found[segment.label] = found.get(segment.label, 0.0) + segment.end_s - segment.start_s
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def ok(self) -> bool:
        """True; a video that cannot be read comes as `clips.Broken`, whose `ok` is False."""
        return True
