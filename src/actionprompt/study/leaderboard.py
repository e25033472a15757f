"""Tables and plots of ActionWorld: the leaderboard, kinds of classes, few-shot, novel classes, ablations, cost."""

import re
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actionprompt import methods, papers
from actionprompt.paper import Ablation
from actionprompt.study import bench, plots, tables


def world_records(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["dataset"] == "actionworld" and record.get("size") == "small"]


ENTRIES = [("zeroshot", ""), ("zeroshot", "linear"), ("zeroshot", "transformer")]
"""Entries of the leaderboard next to the full methods: frozen CLIP, and two heads on its frame embeddings."""
SHOTS = (2, 4, 8, 16)
MARK = " †"
"""On entries in `OUTDATED`."""


_CONTEXTS = "the contexts now start as the paper ticks them, four tokens from words; here all sixteen were random"
OUTDATED: dict[tuple[str, str], str] = {
    ("promptlearner_clip", variant): _CONTEXTS
    for variant in ("", "without_interaction", "loss_0_1_1", "loss_1_1_0", "loss_1_0_1", "frozen", "text_only",
                    "vision_only")
} | {
    ("promptlearner_clip", "words"): "an option that is gone: four contexts, all from words",
} | {
    ("dual_semantic_tpr", f"{network}_no_residual"): "without the residual all prompts started at zero"
    for network in ("tada", "c3d", "r2plus1d")
}  # fmt: skip
"""Entries whose records were made before a fault was mended, and what changed; they are marked until measured anew."""


def outdated(world: Sequence[dict[str, Any]]) -> str:
    """The entries with records that a later correction touches."""
    reasons: dict[str, list[str]] = {}
    for entry, reason in OUTDATED.items():
        if any((record["method"], record["variant"]) == entry for record in world):
            reasons.setdefault(reason, []).append(row_name(*entry).removesuffix(MARK))
    return "\n".join(f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()) or tables.NO_RECORDS


def entries() -> list[tuple[str, str]]:
    """(method, variant) of all rows of the leaderboard."""
    return ENTRIES + [(name, "") for name in methods.names() if name != "zeroshot"]


def leaderboard(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Every entry under every protocol, in percent; `pair`: the class scores higher than its own reversal (chance
    50)."""
    columns: dict[str, Callable[[str, str], list[float]]] = {
        "closed-set": lambda m, v: figure_values(world, m, v, "accuracy", "closed-set", "zero-shot"),
        "scene bias": lambda m, v: figure_values(world, m, v, "scene_bias", "closed-set", "zero-shot"),
        "pair": lambda m, v: kind_percents(world, m, v, "pair", "closed-set", "zero-shot"),
        **{
            f"K={k}": lambda m, v, k=k: figure_values(world, m, v, "accuracy", "few-shot", shots=k)  # type: ignore[misc]
            for k in SHOTS
        },
        "base": lambda m, v: figure_values(world, m, v, "base", "base-to-novel"),
        "novel": lambda m, v: figure_values(world, m, v, "novel", "base-to-novel"),
        "harmonic mean": lambda m, v: figure_values(world, m, v, "harmonic_mean", "base-to-novel"),
    }
    rows = [["entry", "trained parameters", *columns]]
    shown: dict[str, list[plots.Point | None]] = {name: [] for name in ("closed-set", "scene bias", "pair")}
    for method, variant in entries():
        found = {name: column(method, variant) for name, column in columns.items()}
        same = _select(world, method, variant, ("closed-set", "few-shot", "base-to-novel", "zero-shot"), None)
        if not same:
            continue
        trained = f"{same[0]['trained_parameters']:,}"
        rows.append([row_name(method, variant), trained, *map(tables.mean_std, found.values())])
        for name, values in shown.items():
            values.append(point_of(found[name]))
    if len(rows) == 1:
        return tables.NO_RECORDS
    picture = plot_link(plot_folder, "leaderboard", lambda path: plots.dots(
        path, "ActionWorld small, trained on all classes", {name: {"": v} for name, v in shown.items()},
        [row[0].replace("`", "") for row in rows[1:]], {"pair": 50.0},
    ))  # fmt: skip
    return tables.table(rows) + "\n\n" + picture


def kinds(world: Sequence[dict[str, Any]], plot_folder: Path | None) -> str:
    """Closed-set accuracy by kind of class."""
    names = ("still", "cyclic", "reversible", "pair")
    found = {
        entry: {kind: kind_percents(world, *entry, kind, "closed-set", "zero-shot") for kind in names}
        for entry in entries()
    }
    found = {entry: percents for entry, percents in found.items() if any(percents.values())}
    if not found:
        return tables.NO_RECORDS
    rows = [["entry", *names], *([row_name(*e), *map(tables.mean_std, f.values())] for e, f in found.items())]
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


def _select(
    world: Sequence[dict[str, Any]], method: str, variant: str, protocols: Sequence[str], shots: int | None
) -> list[dict[str, Any]]:
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
    found = _select(world, method, variant, protocols, shots)
    return [record["figures"][figure] for record in found if figure in record["figures"]]


def kind_percents(
    world: Sequence[dict[str, Any]], method: str, variant: str, kind: str, *protocols: str, shots: int | None = None,
    test: str = "",
) -> list[float]:  # fmt: skip
    """Percent of one kind of class, on one test list or on all but `scene_bias`; the mean over a record's splits."""
    values = []
    for record in _select(world, method, variant, protocols, shots):
        tests = [
            numbers["by_kind"][kind]["percent"]
            for part in record["metrics"].values()
            for name, numbers in part.items()
            if (name == test or not test) and "scene_bias" not in name and kind in numbers.get("by_kind", {})
        ]
        if tests:
            values.append(statistics.fmean(tests))
    return values


def point_of(values: Sequence[float]) -> plots.Point | None:
    if not values:
        return None
    return plots.Point(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def row_name(method: str, variant: str) -> str:
    name = f"`{method}`" if not variant else f"`{method} {variant}`"
    return name + (MARK if (method, variant) in OUTDATED else "")


def plain_name(method: str, variant: str) -> str:
    """`row_name` for plots."""
    return row_name(method, variant).replace("`", "")


def plot_link(folder: Path | None, name: str, draw: Callable[[Path], None]) -> str:
    """The link to a plot, which is drawn if there is a folder for it."""
    if folder is not None:
        draw(folder / f"{name}.png")
    return f"![{name}](plots/{name}.png)"
