"""Plots of records: PNG files next to the tables.

Every function takes plain numbers and a path; `leaderboard` decides what is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")


@dataclass(frozen=True)
class Point:
    """One measured value in percent; `std` is None where there is one seed."""

    mean: float
    std: float | None = None
    interval: tuple[float, float] | None = None
    """Drawn in place of `std`."""

    @property
    def bar(self) -> tuple[float, float]:
        """Lengths of the error bar below and above the mean."""
        low, high = self.interval or (self.mean - (self.std or 0), self.mean + (self.std or 0))
        return max(self.mean - low, 0.0), max(high - self.mean, 0.0)  # rounding may leave the mean just outside


def dots(
    path: str | Path, title: str, panels: Mapping[str, Mapping[str, Sequence[Point | None]]], rows: Sequence[str],
    chance: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """A dot per row with its interval or standard deviation: panel -> series -> a value or None per row.

    `chance`: by panel, where a dotted line marks chance level."""
    import matplotlib.pyplot as plt

    size = (3.2 * len(panels) + 2.2, 0.42 * len(rows) + 1.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, (panel, series) in zip(axes[0], panels.items()):
        height = 0.6 / len(series)
        for index, (name, values) in enumerate(series.items()):
            drawn = [(row, point) for row, point in enumerate(values) if point is not None]
            axis.errorbar(
                [point.mean for _, point in drawn],
                [row + (index - (len(series) - 1) / 2) * height for row, _ in drawn],
                xerr=list(zip(*(point.bar for _, point in drawn))) or None,
                label=name,
                fmt="o",
                ms=5,
                capsize=3,
            )
        if chance and panel in chance:
            axis.axvline(chance[panel], color="black", lw=1, ls=":", label="chance")
        axis.set_title(panel, fontsize=9)
        axis.set_xlabel("%", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.margins(x=0.12)
        if len(series) > 1 or (chance and panel in chance):
            axis.legend(fontsize=7, loc="best")
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def scatter(path: str | Path, title: str, x_name: str, y_name: str, points: Mapping[str, tuple[float, Point]]) -> None:
    """A labelled point per entry: x, and y with its standard deviation."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, (x, y) in points.items():
        axis.errorbar([x], [y.mean], yerr=[y.std or 0], fmt="o", ms=5, capsize=3, label=name)
    axis.set(title=title, xlabel=x_name, ylabel=y_name)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def lines(path: str | Path, title: str, x_name: str, series: Mapping[str, Mapping[float, Point]]) -> None:
    """One line per series: x -> value with its standard deviation; the x axis is logarithmic to base 2."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, points in series.items():
        xs = sorted(points)
        errors = [points[x].std or 0 for x in xs]
        axis.errorbar(xs, [points[x].mean for x in xs], yerr=errors, marker="o", ms=4, capsize=2, label=name)
    axis.set_xscale("log", base=2)
    ticks = sorted({x for points in series.values() for x in points})
    axis.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axis.set_xlabel(x_name)
    axis.set_ylabel("%")
    axis.grid(alpha=0.3)
    if series:
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set_title(title, fontsize=10)
    _save(figure, path)


def _save(figure: Any, path: str | Path) -> None:
    import matplotlib.pyplot as plt

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})  # the same bytes from the same records
    plt.close(figure)
