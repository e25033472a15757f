"""From a row of a paper to the commands that run it, and from its records to a comparison with the printed number."""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionprompt import methods
from actionprompt.paper import Row as Row

HUB = {
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
}
"""Names of the backbones on the hub, by the names that papers use."""
NEUTRAL = ("--train.num-workers", "--train.save-every-steps", "--train.gradient-checkpointing", "--train.max-broken",
           "--clips.max-missing", "--scores")  # fmt: skip
"""Options of `actionprompt run` that leave a row what it is; clips that are left out stand in the record."""
EVERYWHERE = (*NEUTRAL[:-1], "--train.mixed-precision", "--train.micro-batches")
"""Options that also go to the trainings before a row's own and to the flow stream."""
HOLD_OUT = 0.1
"""Share of the training clips on which the weight of the flow stream is chosen."""


def commands(
    row: Row,
    out: Path,
    *,
    root: str | None = "DIR",
    pretrain_root: str = "KINETICS",
    backbone: str | None = None,
    start_from: Path | None = None,
    flow: Path | None = None,
    more: Sequence[str] = (),
) -> list[list[str]]:
    """The arguments of `actionprompt`, command by command, that run a row; records are written below `out`,
    trainings on another data set, which rows share, next to it.

    `root` is that of the row's data set (None: it needs none), `pretrain_root` that of the one it is trained on first.
    `start_from` is a finished run in place of that first training, `flow` one of `i3d_flow` on Kinetics-400. `more` are
    further options of `actionprompt run`, which replace the row's; those in `EVERYWHERE` go to all trainings.

    Raises:
        ValueError: a row that cannot be run, a first run for a row that has none, or `flow` for one without flow.
    """
    if not row.runs:
        raise ValueError(f"{row.id} cannot be run: {row.note}")
    if start_from is not None and row.first is None:
        raise ValueError(f"{row.id} is trained on {row.dataset} alone: leave out --start-from")
    if flow is not None and not row.flow:
        raise ValueError(f"{row.id} has no flow stream: leave out --flow")
    backbone = backbone or HUB[row.backbone]
    options = split_options(more)
    everywhere = [word for option in options if option[0] in EVERYWHERE for word in option]
    more = [word for option in options for word in option]
    steps, taken = [], ["--backbone", backbone]
    if row.first is not None:
        method = row.first.method or row.method
        variant = row.variant if row.first.variant is None else row.first.variant
        run = start_from or out.parent / first_name(row, method, variant, backbone)
        if start_from is None:
            steps.append([
                "train", method, *_option("--variant", variant), "--recipe", row.first.recipe,
                "--clips.dataset", row.first.dataset, "--clips.root", pretrain_root, "--backbone", backbone,
                *_frames(row, method), "--out", str(run), *everywhere,
            ])  # fmt: skip
        taken = {
            "model": ["--backbone", backbone, "--model", str(run)],
            "start": ["--backbone", backbone, "--start-from", str(run)],
            "backbone": ["--backbone", str(run)],
        }[row.first.use]
    clips, crops = row.views.split("x")
    held = ["--train.hold-out", str(HOLD_OUT), "--scores"] if row.flow else []
    own = ["--clips.dataset", row.dataset, *_option("--clips.root", root)]
    splits = ["--splits", *map(str, row.splits), "--seeds", *map(str, row.seeds)]
    recipe = [] if row.protocol == "zero-shot" else ["--recipe", row.recipe]
    steps.append([
        "run", row.method, *_option("--variant", row.variant), *recipe, "--protocol", row.protocol,
        *_option("--shots", row.shots), *own, *splits, *taken, *_frames(row, row.method),
        "--data.num-clips", clips, "--data.num-crops", crops, *row.options.split(), *held, "--out", str(out), *more,
    ])  # fmt: skip
    if row.flow:
        start = flow or out.parent / "kinetics400-i3d_flow"
        if flow is None:
            where = ["--clips.dataset", "kinetics400", "--clips.root", pretrain_root, "--out", str(start)]
            steps.append(["train", "i3d_flow", "--recipe", "closed-set", *where, *everywhere])
        steps.append([
            "run", "i3d_flow", "--recipe", "closed-set", *own, *splits, "--start-from", str(start), *held,
            "--out", str(out), *everywhere,
        ])  # fmt: skip
        steps += [fusion(row, out, split, seed) for seed in row.seeds for split in row.splits]
    return steps


def split_options(words: Sequence[str]) -> list[list[str]]:
    """Each option with its values; `--name=value` becomes two words."""
    options: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            options.append(word.split("=", 1))
        elif options:
            options[-1].append(word)
        else:
            raise ValueError(f"expected an option that starts with --, got {word!r}")
    return options


def first_name(row: Row, method: str, variant: str, backbone: str) -> str:
    """The folder of a row's training on another data set: the same for all rows that share it."""
    assert row.first is not None
    tower = re.sub(r"\W+", "-", backbone).strip("-")
    return "-".join(filter(None, [row.first.dataset, row.first.recipe, method, variant, tower, f"T{row.num_frames}"]))


def fusion(row: Row, out: Path, split: int, seed: int) -> list[str]:
    """The command that fuses the scores of the two streams on one split."""
    folder = f"{row.dataset}/{row.protocol}"
    streams = [
        Path(folder, f"{name}-s{seed}") for name in ("-".join(filter(None, [row.method, row.variant])), "i3d_flow")
    ]
    test, held = (
        [str(out / "scores" / s / f"split{split}-{part}.json") for s in streams] for part in ("test", "held-out")
    )
    return ["fuse", *test, "--choose-on", *held, "--json", str(fused(out, split, seed))]


def fused(out: Path, split: int, seed: int) -> Path:
    """Where `fusion` writes the record of one split."""
    return out / f"fused-split{split}-s{seed}.json"


def comparison(paper: str, row: Row, dataset: str, figures: Mapping[str, float], more: Sequence[str]) -> dict[str, Any]:
    """What a record says of the row it belongs to. The difference is ours minus the printed top-1 in percentage points;
    None without a printed number, or where `more` options or another data set replaced the row's."""
    changed = [word for option in split_options(more) if option[0] not in NEUTRAL for word in option]
    same = dataset == row.dataset and not changed
    printed = {"top1": row.top1, "top5": row.top5, "source": row.source or row.table}
    difference = figures["accuracy"] - row.top1 if same and row.top1 is not None and "accuracy" in figures else None
    return {"paper": paper, "row": row.id, "published": printed, "difference": difference, "changed": changed}


def fused_record(
    row: Row, out: Path, seed: int, about: Callable[[str, Mapping[str, float]], dict[str, Any]]
) -> dict[str, Any]:
    """The record of a row with a flow stream: that of its RGB stream, with the figures of the fusion."""
    stream = "-".join(filter(None, [row.method, row.variant]))
    record = json.loads((out / row.dataset / row.protocol / f"{stream}-s{seed}.json").read_text(encoding="utf-8"))
    splits = [json.loads(fused(out, split, seed).read_text(encoding="utf-8")) for split in row.splits]
    figures = {"accuracy": statistics.fmean(split["top1"] for split in splits), "rgb": record["figures"]["accuracy"]}
    return {
        **record,
        "variant": "fused with i3d_flow",
        "figures": figures,
        "fusion": splits,
        "paper": about(row.dataset, figures),
    }


def mean_accuracy(records: Sequence[Mapping[str, Any]]) -> float:
    """The result of a row over its records, one per seed, in percent."""
    return statistics.fmean(record["figures"]["accuracy"] for record in records)


def _option(name: str, value: str | int | None) -> list[str]:
    return [name, str(value)] if value else []


def _frames(row: Row, method: str) -> list[str]:
    learned = "num_frames" in methods.get(method).Config.__dataclass_fields__
    number = str(row.num_frames)
    return ["--data.num-frames", number, *(["--method.num-frames", number] if learned else [])]
