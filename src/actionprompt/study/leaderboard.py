"""Tables and plots of ActionWorld: the leaderboard, kinds of classes, few-shot, novel classes, ablations, cost."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from actionprompt import methods, papers
from actionprompt.paper import Ablation
from actionprompt.study import bench, paired, plots, tables
from actionprompt.study.protocols import own_part
from actionprompt.world import actions

DATASET, SIZE = "actionworld_v2", "small"
VERSION: actions.Version = "2"


def world_records(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records of the leaderboard's data set and size, without those tested on `val`."""
    return [
        dict(record)
        for record in records
        if record["dataset"] == DATASET and record.get("size") == SIZE and "val" not in record["figures"]
    ]


ENTRIES = [("zeroshot", ""), ("zeroshot", "linear"), ("zeroshot", "transformer")]
"""Entries of the leaderboard next to the full methods: frozen CLIP, and two heads on its frame embeddings."""
KINDS = ("still", "cyclic", "reversible", "interaction", "pair")
"""Columns of `kinds`, where the records have them."""
SHOTS = (4, 16)


def entries() -> list[tuple[str, str]]:
    """(method, variant) of all rows of the leaderboard."""
    return ENTRIES + [(name, "") for name in methods.names() if name != "zeroshot"]


def leaderboard(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Every entry under every protocol, in percent, with the 95 % interval; `pair`: the class scores higher than its
    own reversal (chance 50)."""
    rows, shown = _board(world, entries())
    if len(rows) == 1:
        return tables.NO_RECORDS
    picture = plot_link(plot_folder, "leaderboard", lambda path: plots.dots(
        path, "ActionWorld small, trained on all classes; 95 % intervals over the clips",
        {name: {"": shown[name]} for name in ("closed-set", "scene bias", "background", "pair")},
        [row[0].replace("`", "") for row in rows[1:]], {"pair": 50.0},
    ))  # fmt: skip
    return tables.table(rows) + "\n\n" + picture


def of_method(method: str, world: Sequence[dict[str, Any]]) -> str:
    """The rows of one method and its variants, in the columns of `leaderboard`."""
    rows, _ = _board(world, [(method, variant) for variant in ("", *methods.get(method).VARIANTS)])
    filled = [index for index, column in enumerate(zip(*rows[1:])) if any(column)]
    return tables.table([[row[index] for index in filled] for row in rows]) if filled else tables.NO_RECORDS


def _board(
    world: Sequence[dict[str, Any]], chosen: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], dict[str, list[plots.Point | None]]]:
    """Rows of the leaderboard, below a head, and the points of each column."""
    closed = ("closed-set", "zero-shot")
    columns: dict[str, Callable[[str, str], tuple[plots.Point | None, str]]] = {
        "closed-set": lambda m, v: figures_cell(world, m, v, "accuracy", "test", *closed),
        "scene bias": lambda m, v: figures_cell(world, m, v, "scene_bias", "scene_bias", *closed),
        "background": lambda m, v: figures_cell(world, m, v, "background", "background", *closed),
        "pair": lambda m, v: with_interval(
            kind_percents(world, m, v, "pair", *closed), select(world, m, v, closed, None), "test",
            "right_pair",
        ),
        **{
            f"K={k}": lambda m, v, k=k: figures_cell(world, m, v, "accuracy", "test", "few-shot", shots=k)  # type: ignore[misc]
            for k in SHOTS
        },
        "base": lambda m, v: figures_cell(world, m, v, "base", "base", "base-to-novel"),
        "novel": lambda m, v: figures_cell(world, m, v, "novel", "novel", "base-to-novel"),
        "harmonic mean": lambda m, v: figures_cell(world, m, v, "harmonic_mean", "", "base-to-novel"),
    }  # fmt: skip
    rows = [["entry", "trained parameters", *columns]]
    shown: dict[str, list[plots.Point | None]] = {name: [] for name in columns}
    for method, variant in chosen:
        same = select(world, method, variant, ("closed-set", "few-shot", "base-to-novel", "zero-shot"), None)
        if not same:
            continue
        found = {name: column(method, variant) for name, column in columns.items()}
        trained = f"{same[0]['trained_parameters']:,}"
        rows.append([row_name(method, variant), trained, *(text for _, text in found.values())])
        for name, points in shown.items():
            points.append(found[name][0])
    return rows, shown


def figures_cell(
    world: Sequence[dict[str, Any]], method: str, variant: str, figure: str, test: str, *protocols: str,
    shots: int | None = None,
) -> tuple[plots.Point | None, str]:  # fmt: skip
    """A figure of an entry over its records, and the text of its cell."""
    values = figure_values(world, method, variant, figure, *protocols, shots=shots)
    return with_interval(values, select(world, method, variant, protocols, shots), test)


def with_interval(
    values: list[float], records: Sequence[Mapping[str, Any]], test: str, field: str = "right"
) -> tuple[plots.Point | None, str]:
    """The values as a point, and as `54.2 ± 1.1 (51–57)`: their mean, their standard deviation, the 95 % interval over
    the clips of `test`, where all records say which clips they have right."""
    bits, point = [paired.read(record, test, field) for record in records], point_of(values)
    if point is None or any(row is None for row in bits):
        return point, tables.mean_std(values)
    right = np.stack([row for row in bits if row is not None])
    low, high = paired.interval(right, blocks(test, right.shape[1], of_pairs=field == "right_pair"))
    return replace(point, interval=(low, high)), f"{tables.mean_std(values)} ({low:.0f}–{high:.0f})"


def class_names(test: str) -> tuple[str, ...]:
    """The classes of a test list. Of classes with equally many clips, the later half is `base` (`protocols`)."""
    names = actions.class_names(VERSION)
    half = len(names) // 2
    return {"novel": names[:half], "base": names[half:]}.get(test, names)


def blocks(test: str, num_clips: int, *, of_pairs: bool = False) -> Int[np.ndarray, " C"]:
    """The block of each clip of a test list, or of its clips of reversible pairs (`paired.twins`)."""
    return paired.twins(class_names(test), actions.pairs(VERSION), num_clips, of_pairs=of_pairs)


def trials(choices: Mapping[str, Any]) -> str:
    """The trials of every method on `val`, and which was chosen (`benchmarks/experiments/actionworld.py`)."""
    rows = [["entry", "rate", "epochs", "val, top-1 %", "chosen", "core minutes"]]
    for name, made in choices.items():
        for trial in made["trials"]:
            chosen = (trial["lr"], trial["epochs"]) == (made["lr"], made["epochs"])
            rows.append([f"`{name}`", f"{trial['lr']:g}", str(trial["epochs"]), f"{trial['val']:.1f}",
                         "yes" if chosen else "", f"{60 * trial['core_hours']:.1f}"])  # fmt: skip
    return tables.table(rows) if len(rows) > 1 else tables.NO_RECORDS


def core_hours(world: Sequence[Mapping[str, Any]], choices: Mapping[str, Any]) -> str:
    """The processor time of all records and trials, in core hours."""
    spent = {
        "trials": [trial["core_hours"] for made in choices.values() for trial in made["trials"]],
        "seed 0": [record.get("core_hours") for record in world if record["seed"] == 0],
        "other seeds": [record.get("core_hours") for record in world if record["seed"] != 0],
    }
    known = {name: [hours for hours in found if hours is not None] for name, found in spent.items()}
    rows = [["runs", "number", "core hours"]]
    rows += [[name, str(len(found)), f"{sum(found):.2f}"] for name, found in known.items()]
    every = [hours for found in known.values() for hours in found]
    return tables.table([*rows, ["all", str(len(every)), f"{sum(every):.2f}"]])


def kinds(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Closed-set accuracy by kind of class."""
    found = {
        entry: {kind: kind_percents(world, *entry, kind, "closed-set", "zero-shot") for kind in KINDS}
        for entry in entries()
    }
    found = {entry: percents for entry, percents in found.items() if any(percents.values())}
    if not found:
        return tables.NO_RECORDS
    names = [kind for kind in KINDS if any(percents[kind] for percents in found.values())]
    rows = [["entry", *names], *([row_name(*e), *(tables.mean_std(f[k]) for k in names)] for e, f in found.items())]
    picture = plot_link(plot_folder, "kinds", lambda path: plots.dots(
        path, "ActionWorld small, by kind of class", {k: {"": [point_of(f[k]) for f in found.values()]} for k in names},
        [plain_name(*entry) for entry in found], {"pair": 50.0},
    ))  # fmt: skip
    return tables.table(rows) + "\n\n" + picture


def few_shot(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Accuracy and pairs over the number of shots."""
    overall: dict[str, dict[float, plots.Point]] = {}
    pair: dict[str, dict[float, plots.Point]] = {}
    rows = [["pair %, by shots", *(f"K={k}" for k in SHOTS)]]
    for entry in entries():
        accuracies = [figure_values(world, *entry, "accuracy", "few-shot", shots=k) for k in SHOTS]
        if not any(accuracies):
            continue
        pairs = [kind_percents(world, *entry, "pair", "few-shot", shots=k) for k in SHOTS]
        rows.append([row_name(*entry), *map(tables.mean_std, pairs)])
        for series, values in ((overall, accuracies), (pair, pairs)):
            series[plain_name(*entry)] = {float(k): p for k, x in zip(SHOTS, values) if (p := point_of(x))}
    if not overall:
        return tables.NO_RECORDS
    draw = partial(plots.lines, x_name="shots per class")
    pictures = [
        plot_link(plot_folder, "few-shot", lambda path: draw(path, "ActionWorld small, few-shot", series=overall)),
        plot_link(plot_folder, "few-shot-pair", lambda path: draw(path, "within reversible pairs", series=pair)),
    ]
    return tables.table(rows) + "\n\n" + "\n".join(pictures)


def base_to_novel(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Trained on one half of the classes, tested on each half; overall and within its reversible pairs."""
    found = {
        entry: {
            **{
                name: figure_values(world, *entry, name, "base-to-novel") for name in ("base", "novel", "harmonic_mean")
            },
            **{
                f"pair, {half}": kind_percents(world, *entry, "pair", "base-to-novel", test=half)
                for half in ("base", "novel")
            },
        }
        for entry in [*entries(), ("mip_clip", "zero_shot")]
    }
    found = {entry: columns for entry, columns in found.items() if columns["base"]}
    if not found:
        return tables.NO_RECORDS
    rows = [["entry", *(name.replace("_", " ") for name in next(iter(found.values())))]]
    rows += [[row_name(*e), *map(tables.mean_std, columns.values())] for e, columns in found.items()]
    names = ("base", "novel", "pair, base", "pair, novel")
    picture = plot_link(plot_folder, "base-to-novel", lambda path: plots.dots(
        path, "ActionWorld small, 16 shots of one half of the classes",
        {name: {"": [point_of(columns[name]) for columns in found.values()]} for name in names},
        [plain_name(*entry) for entry in found], {"pair, base": 50.0, "pair, novel": 50.0},
    ))  # fmt: skip
    return tables.table(rows) + "\n\n" + picture


def ablations(method: str, world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """One table and one plot for each of the method's ablations and each protocol it was run under."""
    parts = []
    for number, ablation in enumerate(methods.get(method).ABLATIONS, start=1):
        rows = [tuple(row.split("/")) if "/" in row else (method, row) for row in ablation.rows]
        for protocol in sorted({tables.protocol_name(r) for r in world}):
            same = [r for r in world if tables.protocol_name(r) == protocol]
            if protocol.startswith("closed-set"):  # variants that train nothing are tested on the same clips
                untrained = [r for r in world if r["plan"]["protocol"] == "zero-shot" and not r["trained_parameters"]]
                same = untrained + same
            ran = {(r["method"], r["variant"]) for r in same}
            shown = [row for row in rows if row in ran]
            if sum(row[0] == method for row in shown) > 1:
                name = re.sub(r"\W+", "-", f"{method}-{number}-{protocol}")
                parts.append(_ablation(method, ablation, shown, protocol, same, plot_folder, name))
    return "\n\n".join(parts) or tables.NO_RECORDS


def trade(world: Sequence[dict[str, Any]], record: dict[str, Any], plot_folder: Path | None, name: str) -> str:
    """Closed-set accuracy and the pairs that need the order of frames, next to what a clip and a training step cost
    (`bench`)."""
    cost = {row["model"]: row for row in record["rows"] if "error" not in row and not row["compiled"]}
    rows = [["entry", "closed-set", "pair", "inference ÷", "step ÷", "cached step ÷", "training MB"]]
    points: dict[str, tuple[float, plots.Point]] = {}
    for method, variant in entries():
        row = cost.get(f"{method}:{variant}" if variant else method)
        accuracy = figure_values(world, method, variant, "accuracy", "closed-set", "zero-shot")
        pair = kind_percents(world, method, variant, "pair", "closed-set", "zero-shot")
        point = point_of(pair)
        if row is None or point is None:
            continue
        ratios = [bench.ratio_cell(row.get(key, {})) for key in ("inference", "training_step", "cached_step")]
        memory = row["memory_mb"].get("training_step")
        numbers = [tables.mean_std(accuracy), tables.mean_std(pair), *ratios, f"{memory:.0f}" if memory else ""]
        rows.append([row_name(method, variant), *numbers])
        if "training_step" in row:
            points[plain_name(method, variant)] = (row["training_step"]["ratio"], point)
    picture = plot_link(plot_folder, f"trade-{name}", lambda path: plots.scatter(
        path, "What the order of frames costs", "training step, bare tower = 1",
        "accuracy within reversible pairs, %", points,
    ))  # fmt: skip
    return tables.table(rows) + "\n\n" + picture


def _ablation(
    method: str, ablation: Ablation, rows: Sequence[tuple[str, str]], protocol: str, world: Sequence[dict[str, Any]],
    plot_folder: Path | None, name: str,
) -> str:  # fmt: skip
    """A table of one ablation under one protocol: ours next to what the paper prints for the same rows."""
    figures = list(dict.fromkeys(key for r in world for key in r["figures"] if key != "std"))
    closed = "base" not in figures
    ours: dict[str, Callable[..., list[float]]] = {
        "ActionWorld": partial(figure_values, figure="accuracy"),
        "scene bias": partial(figure_values, figure="scene_bias"),
        "pair": partial(kind_percents, kind="pair"),
    } if closed else {
        **{name.replace("_", " "): partial(figure_values, figure=name) for name in figures},
        **{f"pair, {half}": partial(kind_percents, kind="pair", test=half) for half in ("base", "novel")},
    }  # fmt: skip
    printed = {
        (m, v, item.dataset): item.top1
        for m, v in rows
        for item in papers.published(m)
        if item.top1 is not None and item.variant == v and ablation.source and item.source.endswith(ablation.source)
        and item.protocol in ("closed-set", "few-shot K=16")
    }  # fmt: skip
    published = list(dict.fromkeys(dataset for _, _, dataset in printed))
    found = {column: [get(world, method=m, variant=v) for m, v in rows] for column, get in ours.items()}
    used = [column for column, values in found.items() if any(values)]
    lines = [["row", *used, "seeds", *(f"published, {dataset}" for dataset in published)]]
    for index, (m, v) in enumerate(rows):
        numbers = [tables.mean_std(found[column][index]) for column in used]
        seeds = str(max((len(found[column][index]) for column in used), default=0))
        cells = [f"{printed[m, v, d]:g}" if (m, v, d) in printed else "" for d in published]
        lines.append([row_name(m, v), *numbers, seeds, *cells])
    panels = {column: {"": [point_of(values) for values in found[column]]} for column in used}
    if published and closed:
        panels["published"] = {
            d: [plots.Point(printed[m, v, d]) if (m, v, d) in printed else None for m, v in rows] for d in published
        }
    labels = [plain_name(m, v) for m, v in rows]
    title = f"{method}: {ablation.title}"
    picture = plot_link(plot_folder, name, lambda path: plots.dots(
        path, f"{title}\n{protocol}", panels, labels, {column: 50.0 for column in used if column.startswith("pair")}
    ))  # fmt: skip
    return f"**{ablation.title}**; {protocol}\n\n{tables.table(lines)}\n\n{picture}"


def select(
    world: Sequence[Mapping[str, Any]], method: str, variant: str, protocols: Sequence[str], shots: int | None
) -> list[Mapping[str, Any]]:
    """Records of a method's variant under the first of the protocols that has any."""
    same = [r for r in world if (r["method"], r["variant"]) == (method, variant)]
    for protocol in protocols or [r["plan"]["protocol"] for r in same[:1]]:
        found = [
            r for r in same if r["plan"]["protocol"] == protocol and (shots is None or r["plan"]["shots"] == shots)
        ]
        if found:
            return found
    return []


def figure_values(
    world: Sequence[dict[str, Any]], method: str, variant: str, figure: str, *protocols: str, shots: int | None = None
) -> list[float]:
    found = select(world, method, variant, protocols, shots)
    return [record["figures"][figure] for record in found if figure in record["figures"]]


def kind_percents(
    world: Sequence[dict[str, Any]], method: str, variant: str, kind: str, *protocols: str, shots: int | None = None,
    test: str = "test",
) -> list[float]:  # fmt: skip
    """Percent of one kind of class on one test list; the mean over a record's splits."""
    values = []
    for record in select(world, method, variant, protocols, shots):
        tests = [
            numbers["by_kind"][kind]["percent"]
            for part in record["metrics"].values()
            for name, numbers in part.items()
            if own_part(name) == test and kind in numbers.get("by_kind", {})
        ]
        if tests:
            values.append(statistics.fmean(tests))
    return values


def point_of(values: Sequence[float]) -> plots.Point | None:
    if not values:
        return None
    return plots.Point(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def row_name(method: str, variant: str) -> str:
    return f"`{method} {variant}`" if variant else f"`{method}`"


def plain_name(method: str, variant: str) -> str:
    """`row_name` for plots."""
    return row_name(method, variant).replace("`", "")


def plot_link(folder: Path | None, name: str, draw: Callable[[Path], None]) -> str:
    """The link to a plot, which is drawn if there is a folder for it."""
    if folder is not None:
        draw(folder / f"{name}.png")
    return f"![{name}](plots/{name}.png)"
