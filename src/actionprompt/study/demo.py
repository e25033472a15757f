"""The demo: can a model tell an action from its reversal? ActionWorld `mini`, zero-shot, few-shot training of a
motion-aware method on the ten reversible pairs with the settings of `teach`, one prediction, and a report with a
conclusion.

All reported numbers are measured during the run. The report is one folder: `report.html`, plots and film strips.
"""

import html
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from actionprompt import files, methods, training, video
from actionprompt.apps import teach
from actionprompt.clips import ClipList
from actionprompt.config import DataConfig, Progress
from actionprompt.datasets import actionworld
from actionprompt.evaluation import Report, evaluate
from actionprompt.metrics import wilson
from actionprompt.prediction import Prediction, Predictor
from actionprompt.study import protocols
from actionprompt.study.experiment import by_kind
from actionprompt.training import Step
from actionprompt.weights import TINY, load_clip

METHOD, SHOTS = "seeing_in_flowing", 4
TITLE = "<title>ActionPrompt demo</title>"
IMAGES = ("clips.png", "predicted.png", "summary.png", "kinds.png", "loss.png", "confusion.png", "classes.png")
KINDS = {
    "reversible": "reversible (all names)",
    "cyclic": "cyclic (all names)",
    "still": "visible in a still (all names)",
    "pair": "reversible (its two names)",
}


@dataclass(frozen=True)
class Outcome:
    """The results of the demo. Accuracies by kind are (accuracy, low, high) in percent, with the 95 % interval."""

    zero_shot: Report
    trained: Report
    kinds: dict[str, dict[str, tuple[float, float, float]]]
    """By model (`zero-shot`, `trained`), then by kind of class."""
    conclusion: tuple[str, ...]
    """What the intervals say, one sentence each."""
    losses: tuple[float, ...]
    """Training loss of every step."""
    prediction: Prediction
    """Of one test clip, by the trained model."""
    seconds: dict[str, float]
    """Wall time by stage."""
    report: Path
    """`report.html`."""


def demo(
    folder: str | Path,
    *,
    epochs: int = 50,
    on_build: Progress | None = None,
    on_encode: Progress | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Outcome:
    """Run the demo and write the report into `folder`, replacing that of an earlier demo.

    `on_build` and `on_encode` are called with (done, total) scenes built and clips encoded, `on_step` after every
    training step.

    Raises:
        ValueError: `folder` is not empty and does not contain the report of an earlier demo.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal began
        seconds[stage], began = time.perf_counter() - began, time.perf_counter()

    def load(split: int, part: str) -> Any:
        return actionworld.load(split=split, part=part, size="mini", progress=on_build)

    plan = protocols.few_shot(load, shots=SHOTS)
    (part,) = plan.parts
    assert part.train is not None
    train, test = reversible(part.train), part.tests["test"]
    lap("building the clips")
    config = DataConfig(num_frames=8)
    plain = methods.build("zeroshot", load_clip(TINY), test.class_names, test.class_names_zh)
    zero_shot = evaluate(plain, test, config, progress=on_encode)
    lap("zero-shot")
    model = methods.build(METHOD, load_clip(TINY), train.class_names, train.class_names_zh)
    losses: list[float] = []

    def record(step: Step) -> None:
        losses.append(step.losses["loss"])
        if on_step is not None:
            on_step(step)

    recipe = replace(teach.TRAIN, epochs=epochs, lr=1e-3)
    training.train(
        model,
        train,
        folder / "run",
        config=recipe,
        data_config=config,
        device="cpu",
        on_step=record,
        on_encode=on_encode,
    )
    lap(f"training {METHOD}, {SHOTS} clips of each reversible class")
    model.set_classes(test.class_names, test.class_names_zh)
    trained = evaluate(model, test, config)
    lap("evaluating it")
    shown = next(clip for clip in test.clips if test.class_names[clip.label] == "sitting down")
    prediction = Predictor(model, config, device="cpu").predict(shown.path)
    lap("predicting one clip")
    kinds = {name: _intervals(report) for name, report in (("zero-shot", zero_shot), ("trained", trained))}
    outcome = Outcome(
        zero_shot, trained, kinds, conclude(kinds), tuple(losses), prediction, seconds, folder / "report.html"
    )
    film_strips([test.clips[i] for i in range(0, len(test.clips), 2)], test.class_names, folder / "clips.png")
    film_strips([shown], test.class_names, folder / "predicted.png", num_frames=8)
    _plots(outcome, folder)
    _summary(outcome, test, folder / "summary.png")
    _write_report(outcome, folder)
    lap("drawing the report")
    return outcome


def _clear(folder: Path) -> None:
    """Delete an earlier demo; of a folder with anything else in it, nothing."""
    report = folder / "report.html"
    ours = not report.exists() or TITLE in report.read_text(encoding="utf-8", errors="replace")
    inside = {path.name for path in (folder / "run").glob("*")}
    ours = ours and inside <= {"model", "log.jsonl", "tensorboard", "checkpoints"}
    if not ours or not {path.name for path in folder.iterdir()} <= {*IMAGES, "report.html", "run"}:
        raise ValueError(f"{folder} contains other files; give an empty folder for the demo")
    for path in folder.iterdir():
        files.delete(path)


def reversible(clips: ClipList) -> ClipList:
    """The clips of the ten pairs of classes that share every frame, with the names of these twenty alone."""
    names = tuple(name for name in clips.class_names if actionworld.KIND[name] == "reversible")
    chosen = tuple(clip for clip in clips.clips if clips.class_names[clip.label] in names)
    moved = tuple(replace(clip, label=names.index(clips.class_names[clip.label])) for clip in chosen)
    return replace(
        clips, name=f"{clips.name}/reversible", clips=moved, class_names=names, class_names_zh=None, source_names=None
    )


def conclude(kinds: dict[str, dict[str, tuple[float, float, float]]]) -> tuple[str, ...]:
    """What the intervals of the pairs say of each model, and what the training did to classes it was not shown."""
    lines = []
    for model, text in (("zero-shot", "Frozen CLIP"), ("trained", f"{METHOD}, after {SHOTS} clips per class,")):
        percent, low, high = kinds[model]["pair"]
        found = "above chance" if low > 50 else "below chance" if high < 50 else "not distinguishable from chance"
        lines.append(
            f"{text} chooses between an action and its reversal rightly in {percent:.0f} % of the clips "
            f"(95 % interval {low:.0f} to {high:.0f}, chance 50): {found}."
        )
    (before, *_), (after, *_) = kinds["zero-shot"]["still"], kinds["trained"]["still"]
    lines.append(
        f"The training showed reversible classes alone: of clips that one still is enough for, {before:.0f} % were "
        f"recognised before it and {after:.0f} % after it."
    )
    return tuple(lines)


def _intervals(report: Report) -> dict[str, tuple[float, float, float]]:
    table = by_kind(report, actionworld)["by_kind"]
    return {kind: (row["percent"], *wilson(row["right"], row["clips"])) for kind, row in table.items()}


def film_strips(
    clips: Sequence[Any], class_names: Sequence[str], path: Path, *, num_frames: int = 6, columns: int = 2
) -> None:
    """Draw clips as strips of `num_frames` evenly spaced frames, titled with the class, `columns` strips per row."""
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    rows = -(-len(clips) // columns) if len(clips) > 1 else 1
    columns = min(columns, len(clips))
    figure, axes = plt.subplots(rows, columns, figsize=(columns * num_frames * 1.05, rows * 1.3), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, clip in zip(axes.ravel(), clips):
        count = video.probe(clip.path).num_frames
        frames = video.read_frames(clip.path, np.linspace(0, count - 1, num_frames).round().astype(np.int64))
        gap = np.full((frames.shape[1], 3, 3), 255, np.uint8)
        strip = np.concatenate([part for frame in frames for part in (frame, gap)][:-1], axis=1)
        axis.imshow(np.asarray(Image.fromarray(strip)))
        axis.set_title(class_names[clip.label], fontsize=9, loc="left", pad=2)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _summary(outcome: Outcome, test: Any, path: Path) -> None:
    """One picture with clips of reversible pairs and others, and the accuracies by kind of class."""
    shown = ("sitting down", "standing up", "climbing up a ladder", "climbing down a ladder", "doing a handstand")
    clips = [next(c for c in test.clips if test.class_names[c.label] == name) for name in shown]
    film_strips(clips, test.class_names, path, num_frames=7, columns=1)
    left, right = Image.open(path).convert("RGB"), Image.open(path.with_name("kinds.png")).convert("RGB")
    right = right.resize((right.width * left.height // right.height // 2, left.height // 2), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (left.width + right.width, left.height), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width, left.height // 4))
    page.save(path)


def _plots(outcome: Outcome, folder: Path) -> None:
    import matplotlib.pyplot as plt

    names = outcome.trained.class_names
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for offset, (model, table) in zip((-0.2, 0.2), outcome.kinds.items()):
        percent = np.array([table[kind] for kind in KINDS])
        error = np.abs(percent[:, 1:] - percent[:, :1]).T
        label = model if model == "zero-shot" else f"{METHOD}, {SHOTS} shots"
        axis.bar(np.arange(len(KINDS)) + offset, percent[:, 0], 0.38, yerr=error, capsize=3, label=label)
    axis.set_xticks(range(len(KINDS)), [text.replace(" (", "\n(") for text in KINDS.values()], fontsize=8)
    axis.set_ylabel("top-1 %")
    axis.set_ylim(0, 100)
    axis.axhline(50, 3 / 4, 1, color="black", linestyle=":", linewidth=1, label="chance, two names")
    figure.tight_layout()
    _legend_above(axis)
    figure.savefig(folder / "kinds.png", dpi=110, bbox_inches="tight")
    figure, axis = plt.subplots(figsize=(7, 2.6))
    axis.plot(range(1, len(outcome.losses) + 1), outcome.losses)
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=110)
    figure, axis = plt.subplots(figsize=(8, 7.4))
    counts = np.array(outcome.trained.metrics.confusion)
    image = axis.imshow(counts, cmap="Blues", vmin=0)
    figure.colorbar(image, ax=axis, label="clips", ticks=range(int(counts.max()) + 1), shrink=0.6)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    figure.tight_layout()
    figure.savefig(folder / "confusion.png", dpi=110)
    figure, axis = plt.subplots(figsize=(7, 6.6))
    places = np.arange(len(names))
    for offset, (label, report) in zip((0.2, -0.2), (("zero-shot", outcome.zero_shot), ("trained", outcome.trained))):
        axis.barh(places + offset, [row.top1 for row in report.metrics.per_class], 0.38, label=label)
    axis.set_yticks(places, names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("top-1 %")
    axis.set_xlim(0, 100)
    figure.tight_layout()
    _legend_above(axis)
    figure.savefig(folder / "classes.png", dpi=110, bbox_inches="tight")
    plt.close("all")


def _legend_above(axis: Any) -> None:
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def _write_report(outcome: Outcome, folder: Path) -> None:
    def row(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    kinds = [
        row([text, *(f"{p:.1f} ({low:.0f} to {high:.0f})" for p, low, high in
                     (outcome.kinds[model][kind] for model in outcome.kinds))])
        for kind, text in KINDS.items()
    ]  # fmt: skip
    prediction = outcome.prediction
    top = [row([label, f"{100 * score:.1f} %"]) for label, score in zip(prediction.labels, prediction.scores)]
    stages = [row([stage, f"{value:.1f} s"]) for stage, value in outcome.seconds.items()]
    before, after = outcome.zero_shot.metrics, outcome.trained.metrics
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8">{TITLE}
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse;margin:1rem 0}}td,th{{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}}
img{{max-width:100%}}</style>
<h1>ActionPrompt demo</h1>
<p>ActionWorld mini, split 1: {len(after.per_class)} classes, {after.num_clips} test clips with actors and backgrounds
that training never shows. Everything on this page was measured in this run, on this machine.</p>
<h2>Can it tell an action from its reversal?</h2>
<p>Trained on {SHOTS} clips of each of the twenty reversible classes, tested on all classes. The 95 % interval is in
brackets. Top-1 over all classes: zero-shot {before.top1:.1f} %, {METHOD} {after.top1:.1f} %
(chance {100 / len(after.per_class):.1f} %).</p>
<table>{row(["kind of class", "zero-shot %", f"{METHOD} %"], "th")}{"".join(kinds)}</table>
<p>The two classes of a reversible pair share every frame and differ only in temporal order, so no model that looks at
single frames can tell them apart: chance is 50 % for "its two names".</p>
<img src="kinds.png" alt="accuracy by kind of class">
<h2>Conclusion</h2>{"".join(f"<p>{html.escape(line)}</p>" for line in outcome.conclusion)}
<h2>One clip</h2><p>{html.escape(prediction.path.name)}</p><img src="predicted.png" alt="the clip">
<table>{"".join(top)}</table>
<h2>The clips</h2><img src="clips.png" alt="film strips of all classes">
<h2>By class</h2><img src="classes.png" alt="accuracy by class">
<h2>Confusions after training</h2><img src="confusion.png" alt="confusion matrix">
<h2>Training</h2><img src="loss.png" alt="loss curve">
<h2>Time</h2><table>{"".join(stages)}</table></html>
"""
    files.write_text(outcome.report, page)
