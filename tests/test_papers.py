"""The rows of the papers: against a table typed from the papers by hand, and each as a run on lists as published.

`golden/papers.tsv` has a line per row. A filled cell is what the paper prints; for Seeing in Flowing and MIP-CLIP, of
which no table is public, the recipe that we decided on. `a or b`: the paper prints both, or leaves it to one of them;
`multiple`: more than one; an empty cell: the paper prints nothing. `others` are the numbers of other systems.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actionprompt import checkpoint, commands, methods, papers, registry
from actionprompt.clips import Clip, ClipList, hold_out
from actionprompt.commands import run, train
from actionprompt.config import DataConfig, TrainConfig, to_json
from actionprompt.datasets import hmdb51, read_labels
from actionprompt.paper import Row
from actionprompt.study import experiment, protocols, rows
from actionprompt.training import LOG
from lists import link, written
from videos import write_numbered

NANO = "random:nano"
with (Path(__file__).parent / "golden/papers.tsv").open(encoding="utf-8", newline="") as file:
    LINES = {(line["paper"], line["row"]): line for line in csv.DictReader(file, delimiter="\t")}
ROWS: dict[tuple[str, str], Row] = {(paper, row.id): row for paper in papers.names() for row in papers.get(paper).ROWS}
RUNS = {key: row for key, row in ROWS.items() if row.runs}

PARTS = {
    "dual_semantic_tpr": "T3 T4 T5 T6 T7 T8 T9 F5a F5b F5c F6a F6b F7 F8",
    "promptlearner_clip": "T1 T2 T3 T4 T5 T6 T7 S4-7",
    "seeing_in_flowing": "A.few-shot A.zero-shot A.closed-set",
    "mip_clip": "A.supervised A.zero-shot",
    "zeroshot": "A.zero-shot",
}
"""Every table and figure with results, and what the abstracts name. Deng et al.'s Tables 1 and 2 are data and settings,
its Figures 1 to 4 and Zheng et al.'s drawings of networks."""


# The table ------------------------------------------------------------------------------------------------------------


def test_the_rows_are_those_of_the_table():
    assert list(ROWS.keys() - LINES.keys()) == []
    assert list(LINES.keys() - ROWS.keys()) == [], "typed from the papers, but without a row"


@pytest.mark.parametrize("paper", PARTS)
def test_every_table_and_figure_has_its_rows(paper):
    parts = {row_id for name, row_id in ROWS if name == paper}
    for part in PARTS[paper].split():
        assert any(row_id == part or row_id.startswith(f"{part}.") for row_id in parts), part
    known = tuple(f"{part}." for part in PARTS[paper].split())
    assert [row_id for row_id in parts if not f"{row_id}.".startswith(known)] == []


def test_a_row_runs_or_says_why_not():
    for key, row in ROWS.items():
        line = LINES[key]
        assert row.runs == bool(line["dataset"]), key
        if line["others"]:
            assert papers.kind(row) == papers.OTHER, key
            assert row.compares.rpartition(": ")[2] == line["others"], key
        elif not row.runs:
            assert papers.kind(row) == papers.NOT_RUN, key
            assert len(row.note) > 20, f"{key}: why is it not run?"


def test_the_numbers_are_printed():
    for key, row in RUNS.items():
        line = LINES[key]
        printed = tuple(float(line[name]) if line[name] else None for name in ("top1", "top5"))
        assert (row.dataset, row.protocol, row.top1, row.top5) == (line["dataset"], line["protocol"], *printed), key


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The root of every data set that a row needs."""
    with written(tmp_path_factory.mktemp("roots")) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "summary", cache(registry.summary))  # it parses a file for every help text
        yield found


# Every row as its command: what the run would use ---------------------------------------------------------------------


class Taken:
    """In place of training and running: what each command of a row would do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.trainings: list[tuple[DataConfig, TrainConfig, Any]] = []
        self.plans: list[protocols.Plan] = []
        self.data: list[DataConfig] = []
        patch.setattr(methods, "build", lambda name, clip, *names, config, seed: SimpleNamespace(config=config))
        patch.setattr(train, "train", self.train)
        patch.setattr(train, "tiny_warnings", lambda method, paths: [])
        patch.setattr(train, "print_broken", lambda broken: None)
        patch.setattr(experiment, "run", self.run)
        patch.setattr(checkpoint, "read_manifest", self.manifest)

    def train(self, method: Any, clips: ClipList, out: Path, *, config: Any, data_config: Any, **_: Any) -> Any:
        self.trainings.append((data_config, config, method.config))
        return SimpleNamespace(broken=())

    def run(self, plan: protocols.Plan, method: str, folder: Path, *, config: Any, **options: Any) -> dict[str, Any]:
        self.plans.append(plan)
        self.data.append(options["data_config"])
        if plan.parts[0].train is not None:
            self.trainings.append((options["data_config"], options["train_config"], config))
        return {"figures": {"accuracy": 0.0}, "metrics": {}, "seed": options["train_config"].seed}

    def manifest(self, path: Path) -> dict[str, Any]:
        return {"class_names": read_labels("kinetics400").english, "data": to_json(self.trainings[-1][0])}


def expand(row: Row, roots: dict[str, str], out: Path) -> Taken:
    """Every command of a row through its own verb, but for those of the flow stream."""
    with pytest.MonkeyPatch.context() as patch:
        taken = Taken(patch)
        steps = rows.commands(
            row, out / "row", root=roots[row.dataset], pretrain_root=roots["kinetics400"], backbone=NANO
        )
        for verb, *step in steps:
            if verb != "fuse" and step[0] != "i3d_flow":
                {"train": train, "run": run}[verb].main(step)
    return taken


def differences(line: dict[str, str], taken: Taken) -> Iterator[str]:
    """Where the run would not be what the table says."""
    tested = [name for part in taken.plans[0].parts for name in (part.name, *part.tests)]
    used = [*taken.data, *(data for data, *_ in taken.trainings)]
    learned = [config.num_frames for *_, config in taken.trainings if hasattr(config, "num_frames")]
    found: dict[str, Sequence[Any]] = {
        "protocol": [plan.protocol for plan in taken.plans],
        "shots": [plan.shots for plan in taken.plans],
        "frames": [*(data.num_frames for data in used), *learned],
        "views": [f"{clips}x{crops}" for clips, crops in (plan.views for plan in taken.plans)]
        + [f"{data.num_clips}x{data.num_crops}" for data in taken.data],
        "splits": [" ".join(sorted({name[-1] for name in tested if re.fullmatch(r"split\d", name)}))],
        "seeds": ["one" if len(taken.plans) == 1 else "multiple"],
        "batch": [training.batch_size for _, training, _ in taken.trainings],
        "epochs": [training.epochs for _, training, _ in taken.trainings],
        "lr": [training.lr for _, training, _ in taken.trainings],
        "weight_decay": [training.weight_decay for _, training, _ in taken.trainings],
    }
    for name, values in found.items():
        printed = {number(text) for text in line[name].split(" or ")}
        for value in sorted({str(value) for value in values}):
            if line[name] and number(value) not in printed:
                yield f"{line['row']}: {name} is {value}, expected {line[name]}"


def number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


SHARED: dict[str, dict[str, Any]] = {
    "dual_semantic_tpr": {  # Sec. 4.1.1, 4.1.2, Table 2
        "resize_side": 256, "fit": "own", "sampling": "segment", "grey": 0.2, "flip": 0.5, "multi_scale": (),
        "betas": (0.9, 0.999), "warmup_epochs": 5.0, "clip_grad_norm": None,
    },
    "promptlearner_clip": {"sampling": "segment", "random_groups": True, "warmup_epochs": 5.0},  # Sec. 4.2
}  # fmt: skip
"""What a paper prints once for all of its own rows."""
UNLIKE = {("T9.ours", "flip"): 0.0}  # Sec. 4.4 names other augmentation; left and right are classes


def shared(row: Row, taken: Taken) -> Iterator[str]:
    for name, expected in SHARED.get(row.method, {}).items():
        own = [t for t in taken.trainings if isinstance(t[2], methods.get(row.method).Config)]
        for data, training, _ in own[-1:]:
            found = next(getattr(part, name) for part in (data, data.augment, training) if hasattr(part, name))
            if found != UNLIKE.get((row.id, name), expected):
                yield f"{row.id}: {name} is {found}, expected {expected}"


CHAPTERS = sorted({(paper, row_id.split(".")[0]) for paper, row_id in RUNS})


@pytest.mark.parametrize(("paper", "chapter"), CHAPTERS)
def test_a_row_is_the_command_that_runs_what_is_printed(paper, chapter, roots, tmp_path):
    own = {key: row for key, row in RUNS.items() if key[0] == paper and key[1].split(".")[0] == chapter}
    assert own
    wrong = []
    for key, row in own.items():
        taken = expand(row, roots, tmp_path / row.id)
        wrong += [*differences(LINES[key], taken), *(shared(row, taken) if row.method == paper else ())]
    assert not wrong, "\n".join(wrong)


# Every row at nano size -----------------------------------------------------------------------------------------------


def few_clips(clips: ClipList, number: int = 2) -> ClipList:
    """Two clips of the first and two of the last class, or another number."""
    chosen: list[Clip] = []
    for label in (0, len(clips.class_names) - 1):
        chosen += [clip for clip in clips.clips if clip.label == label][:number]
    return replace(clips, clips=tuple(chosen))


def few_parts(plan: protocols.Plan, config: TrainConfig) -> protocols.Plan:
    parts = []
    for part in plan.parts:
        training = few_clips(part.train) if part.train is not None else None
        tests = {name: few_clips(test, 1) for name, test in part.tests.items()}
        if protocols.HELD_OUT in tests:
            tests[protocols.HELD_OUT] = hold_out(training, config.hold_out, config.seed)[1]
        parts.append(replace(part, train=training, tests=tests))
    return replace(plan, parts=tuple(parts))


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """One folder of records: rows that are trained on Kinetics-400 first in the same way share that training."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture
def one_step(monkeypatch) -> None:
    """Training and testing as they are, but for their length: four clips and one epoch, which is one step; the flow
    stream with 16 frames of 32 pixels."""

    def short(method: str, data: DataConfig) -> DataConfig:
        return replace(data, num_frames=16, test_frames=16) if method == "i3d_flow" else data

    def shorter_run(
        plan: protocols.Plan, method: str, folder: Path, *, train_config: TrainConfig, data_config: DataConfig,
        at_epochs: Sequence[int] = (), real: Any = experiment.run, **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        config = replace(train_config, epochs=max(at_epochs, default=1), num_workers=0)
        return real(
            few_parts(plan, train_config), method, folder, train_config=config, data_config=short(method, data_config),
            at_epochs=at_epochs, **options,
        )  # fmt: skip

    def shorter_train(
        method: Any, clips: ClipList, out: Path, *, config: TrainConfig, data_config: DataConfig, **options: Any
    ) -> Any:
        config, data_config = replace(config, epochs=1, num_workers=0), short(method.name, data_config)
        return moved(method, few_clips(clips), out, config=config, data_config=data_config, **options)

    def moved(method: Any, *args: Any, real: Any = train.train, **options: Any) -> Any:
        before = {name: value.clone() for name, value in method.trained_state().items()}
        result = real(method, *args, **options)
        assert any(not value.equal(before[name]) for name, value in method.trained_state().items())
        return result

    monkeypatch.setattr(experiment, "run", shorter_run)
    monkeypatch.setattr(experiment, "train", moved)

    def shorter_plan(
        method: Any, clips: ClipList, config: TrainConfig, data_config: DataConfig, *, real: Any = train.planned,
        **options: Any,
    ) -> Any:  # fmt: skip
        config = replace(config, epochs=1, num_workers=0)
        return real(method, few_clips(clips), config, short(method.name, data_config), **options)

    monkeypatch.setattr(train, "train", shorter_train)
    monkeypatch.setattr(train, "planned", shorter_plan)
    monkeypatch.setattr(methods.get("i3d_flow").Model, "frame_shape", (2, 32, 32))


def run_row(paper: str, row: Row, roots: dict[str, str], out: Path) -> list[dict[str, Any]]:
    """The records of `actionprompt paper`."""
    first = ["--pretrain.root", roots["kinetics400"]] if row.first is not None or row.flow else []
    code = commands.main([
        "paper", paper, row.id, "--clips.root", roots[row.dataset], *first, "--backbone", NANO, "--out", str(out),
    ])  # fmt: skip
    assert code == 0
    return [json.loads(path.read_text()) for path in sorted((out / paper / row.id).rglob("*-s*.json"))]


def check_row(paper: str, row: Row, roots: dict[str, str], out: Path) -> None:
    records = [record for record in run_row(paper, row, roots, out) if "paper" in record]
    assert [record["seed"] for record in records] == list(row.seeds)
    for record in records:
        about, accuracy = record["paper"], record["figures"]["accuracy"]
        assert (about["row"], about["published"]["top1"], about["changed"]) == (row.id, row.top1, [])
        assert about["difference"] == (None if row.top1 is None else pytest.approx(accuracy - row.top1))
        assert record["plan"]["views"] == row.views
        tested = [test for part in record["metrics"].values() for test in part]
        assert len(tested) == len(row.splits) * (2 if row.flow else 1)
        if row.first is not None and row.first.use == "start":
            assert record["start_from"]["copied"]
        if row.first is not None and row.first.use == "backbone":
            assert record["backbone"]["name"].startswith("run:")
        assert bool(record["model"]) == (row.first is not None and row.first.use == "model")
        epochs = row.options.partition("--at-epochs ")[2].split()
        assert list(record.get("by_epoch", {}).get("split1", ())) == epochs
        assert row.flow == ("rgb" in record["figures"]) == (len(record.get("fusion", ())) == len(row.splits))
    logs = [*(out / paper / row.id).rglob(LOG)]
    trained = row.protocol != "zero-shot" and records[0]["trained_parameters"] > 0
    assert len(logs) == trained * len(row.seeds) * len(row.splits) * (2 if row.flow else 1)
    for log in (*logs, *(out / paper).glob(f"kinetics400-*/{LOG}")):
        steps = [json.loads(line) for line in log.read_text().splitlines()]
        assert all(step["loss"] < 1e3 and step["lr"] > 0 for step in steps), log
        assert len(steps) == (30 if "--at-epochs" in row.options and log in logs else 1), log


def kind(row: Row) -> tuple[Any, ...]:
    """Rows that differ in their variant, recipe, frames and shots alone take the same way."""
    first, by_epoch = row.first and row.first.use, "--at-epochs" in row.options
    return row.method, row.protocol, row.dataset, row.views, first, row.flow, by_epoch


GROUPS = {kind(row): key for key, row in reversed(RUNS.items()) if row.dataset != "ucf101"}


@pytest.mark.parametrize(("paper", "row_id"), GROUPS.values())
def test_a_row_of_every_kind_takes_a_training_step(paper, row_id, roots, one_step, out):
    check_row(paper, RUNS[paper, row_id], roots, out)


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "row_id"), [key for key in RUNS if key not in GROUPS.values()])
def test_every_other_row_takes_a_training_step(paper, row_id, roots, one_step, out):
    check_row(paper, RUNS[paper, row_id], roots, out)


def test_a_row_on_the_official_lists_of_which_clips_are_missing(real_data, one_step, tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    video, root = write_numbered(tmp_path / "clip.mp4", 24), tmp_path / "hmdb51"
    root.mkdir()
    for file in (real_data / "annotations/hmdb51_official_splits").glob("*.txt"):
        (root / file.name).symlink_to(file)
    for clip in hmdb51.load(root, max_missing=None).clips + hmdb51.load(root, part="test", max_missing=None).clips:
        if clip.label in (0, 50):
            link(clip.path.parent, [clip.path.name], video)
    code = commands.main([
        "paper", "dual_semantic_tpr", "T6.ours.T8.hmdb51", "--clips.root", str(root), "--backbone", NANO,
        "--out", str(tmp_path / "out"), "--clips.max-missing", "3430",
    ])  # fmt: skip
    assert code == 0
    (path,) = (tmp_path / "out").rglob("*-s0.json")
    part = json.loads(path.read_text())["plan"]["parts"]["split1"]
    assert (len(part["train"]["missing"]), len(part["tests"]["test"]["missing"])) == (49 * 70, 49 * 30)
