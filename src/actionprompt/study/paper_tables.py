"""Tables and plots of the papers' rows: printed numbers, ours from the records, and how each row is run."""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actionprompt import papers
from actionprompt.paper import Row
from actionprompt.study import leaderboard, plots, tables


def rows_table(paper: str, records: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Every row of a paper; ours is the mean over the records of its seeds, made with the row's own options. Below it
    the paper's plots of what has been run, and what the paper leaves open."""
    own = [r for r in records if r.get("paper", {}).get("paper") == paper and not r["paper"]["changed"]]
    ours = {
        row.id: [r["figures"]["accuracy"] for r in own if r["paper"]["row"] == row.id] for row in papers.get(paper).ROWS
    }
    lines = [["row", "what is compared", "frames", "views", "splits", "published", "ours", "difference", "how"]]
    lines += [_line(row, ours[row.id]) for row in papers.get(paper).ROWS]
    plots_made = [*_few_shot_plot(paper, own, plot_folder), *_epochs_plot(paper, own, plot_folder)]
    choices = "\n".join(f"- {choice}" for choice in papers.get(paper).CHOICES)
    return "\n\n".join([tables.table(lines), *plots_made, f"Left open by the paper, and taken here:\n\n{choices}"])


def _line(row: Row, accuracies: Sequence[float]) -> list[str]:
    printed = " / ".join(f"{value:g}" for value in (row.top1, row.top5) if value is not None)
    if row.source and printed:
        printed += f" ({row.source})"
    if not row.runs:
        return [f"`{row.id}`", row.compares, "", "", "", printed, "", "", row.note]
    difference = f"{statistics.fmean(accuracies) - row.top1:+.1f}" if accuracies and row.top1 is not None else ""
    how = "one command" + (f"; {row.note}" if row.note else "")
    splits = ", ".join(map(str, row.splits))
    frames = str(row.num_frames)
    return [
        f"`{row.id}`",
        row.compares,
        frames,
        row.views,
        splits,
        printed,
        tables.mean_std(accuracies),
        difference,
        how,
    ]


def _few_shot_plot(paper: str, records: Sequence[dict[str, Any]], folder: Path | None) -> list[str]:
    """Accuracy over K, a plot per data set, ours only (Figure 8 of Deng et al.)."""
    few = [r for r in records if r["plan"]["protocol"] == "few-shot"]
    links = []
    for dataset in sorted({r["dataset"] for r in few}):
        series: dict[str, dict[float, plots.Point]] = {}
        for key in sorted({(r["method"], r["variant"]) for r in few}):
            same = [r for r in few if (r["method"], r["variant"], r["dataset"]) == (*key, dataset)]
            by_shots = {k: [r["figures"]["accuracy"] for r in same if r["plan"]["shots"] == k] for k in (2, 4, 8, 16)}
            found = {float(k): p for k, values in by_shots.items() if (p := leaderboard.point_of(values))}
            if found:
                series[leaderboard.plain_name(*key)] = found
        name = f"{paper}-few-shot-{dataset}"
        draw = partial(plots.lines, title=f"{dataset}, few-shot", x_name="training clips per class", series=series)
        links.append(leaderboard.plot_link(folder, name, draw))
    return links


def _epochs_plot(paper: str, records: Sequence[dict[str, Any]], folder: Path | None) -> list[str]:
    """Accuracy by number of epochs, the mean over the splits (Figure 6b of Deng et al.)."""
    series = {}
    for record in (r for r in records if r.get("by_epoch")):
        parts = list(record["by_epoch"].values())
        means = {float(epoch): plots.Point(statistics.fmean(part[epoch] for part in parts)) for epoch in parts[0]}
        series[f"{record['dataset']}, seed {record['seed']}"] = means
    if not series:
        return []
    draw = partial(plots.lines, title=f"{paper}, accuracy by epochs", x_name="epochs", series=series)
    return [leaderboard.plot_link(folder, f"{paper}-epochs", draw)]
