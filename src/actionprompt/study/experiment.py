"""Runs one protocol: trains and tests every part of a `Plan` and returns one record. Resumes after an interruption."""

import contextlib
import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from actionprompt import checkpoint, datasets, files, methods, records, resume
from actionprompt.backbone import CLIP
from actionprompt.clips import ClipList
from actionprompt.config import DataConfig, Progress, TrainConfig, to_json
from actionprompt.evaluation import Report, evaluate
from actionprompt.method import Method
from actionprompt.resume import check_finished
from actionprompt.study.paired import to_hex
from actionprompt.study.protocols import Part, Plan, own_part, summarise
from actionprompt.training import FROM_FLOW, FROM_PIXELS, Step, input_of, planned, train, used_data
from actionprompt.weights import AUTO, load_clip
from actionprompt.world.drawn import tiny_warnings


@dataclass(frozen=True)
class Callbacks:
    """Progress callbacks, all optional."""

    step: Callable[[Step], None] | None = None
    """Called after every training step."""
    encode: Progress | None = None
    """Called with (clips done, clips in total) while features for training are encoded."""
    evaluate: Progress | None = None
    """The same during evaluation."""


def run(
    plan: Plan,
    method: str,
    folder: str | Path,
    *,
    config: Any | None = None,
    variant: str = "",
    recipe: str = "",
    dataset: str = "",
    backbone: str = AUTO,
    model: Path | None = None,
    start_from: Path | None = None,
    train_config: TrainConfig,
    data_config: DataConfig,
    cache: bool = True,
    drop_missing: bool = False,
    at_epochs: Sequence[int] = (),
    device: torch.device | str | None = None,
    callbacks: Callbacks | None = None,
    keep: Callable[[str, str, Report], None] | None = None,
) -> dict[str, Any]:
    """Train `method` on each part of the plan, test it on each of the part's lists, and summarise by the protocol.

    Models and checkpoints are written to `folder`/<part>. A finished part is not trained again; an interrupted one
    resumes, with `drop_missing` also without clips that are gone (`training.train`). A method with nothing to train is
    only tested. The last epoch is reported. `model` is a trained model of this method, for plans that train nothing
    (zero-shot); `start_from` is one whose weights every training starts from (`checkpoint.start_from`). `keep` is
    called with part name, test name and report after each test. With `at_epochs`, the first test of each part is also
    run after these epochs of the training, and the record's `by_epoch` has the top-1 accuracies. The record's `figures`
    are percentages, its `core_hours` the processor time of this process and the ones it started; `variant`, `recipe`
    and `dataset` are the names it is stored under.

    Under `accelerate launch` every process must call this, and every process gets the record.

    Raises:
        ValueError: `model` with a plan that trains, a model of another method, `start_from` or `at_epochs` without a
            training, epochs beyond the last, a finished part of a run with other options, or another process that
            writes to the folder.
    """
    started, cpu_s, folder, callbacks = time.time(), sum(os.times()[:4]), Path(folder), callbacks or Callbacks()
    if any(not 1 <= epoch <= train_config.epochs for epoch in at_epochs):
        raise ValueError(f"expected at_epochs within the {train_config.epochs} epochs, got {tuple(at_epochs)}")
    config = config if config is not None else methods.get(method).Config()
    on = torch.device(device) if device is not None else PartialState().device
    clip = load_clip(backbone) if model is None else None  # a trained model brings its own
    accuracies: dict[str, dict[str, float]] = {}
    metrics: dict[str, dict[str, Any]] = {}
    facts: dict[str, Any] = {}
    by_epoch: dict[str, dict[str, float]] = {}
    tested = [clip.path for part in plan.parts for test in part.tests.values() for clip in test.clips]
    with files.one_writer(folder) if PartialState().is_main_process else contextlib.nullcontext():
        for part in plan.parts:
            home = folder / part.name
            trained = _untrained(
                part, method, config=config, clip=clip, model=model, backbone=backbone, seed=train_config.seed
            )
            config, data_config = trained.config, data_config.resolved(trained.clip.pixels)
            facts = _facts(trained, model)
            trains = part.train is not None and facts["trained_parameters"] > 0
            if not trains and (start_from is not None or at_epochs):
                raise ValueError(f"{method} trains nothing under {plan.protocol}: leave out start_from and at_epochs")
            if trains:
                assert part.train is not None
                copied = checkpoint.start_from(trained, start_from) if start_from is not None else None
                own = {"variant": variant, "recipe": recipe, **({"start_from": copied} if copied else {})}
                if (home / "model" / checkpoint.MANIFEST).is_file():
                    same = planned(trained, part.train, train_config, data_config, cache=cache, facts=own)[1]
                    with files.one_writer(home) if PartialState().is_main_process else contextlib.nullcontext():
                        check_finished(home, same)
                else:
                    test_at = _at_epochs(
                        trained, next(iter(part.tests.values())), home / BY_EPOCH, at_epochs, data_config,
                        device=on, mixed_precision=train_config.mixed_precision, num_workers=train_config.num_workers,
                        seed=train_config.seed, progress=callbacks.evaluate,
                    )  # fmt: skip
                    train(
                        trained, part.train, home, config=train_config, data_config=data_config, cache=cache,
                        device=device, on_step=callbacks.step, on_epoch=test_at, on_encode=callbacks.encode, facts=own,
                        drop_missing=drop_missing,
                    )  # fmt: skip
                trained, manifest = checkpoint.load(home / "model", clip=copy.deepcopy(clip))
                facts |= {"trained_on": manifest.get("trained_on"), "start_from": copied, "cache": cache}
                if at_epochs:
                    by_epoch[part.name] = _read_epochs(
                        home / BY_EPOCH, at_epochs, next(iter(part.tests.values())), data_config
                    )
            for name, test in part.tests.items():
                with torch.no_grad():
                    trained.set_classes(test.class_names, test.class_names_zh)
                report = evaluate(
                    trained, test, data_config, device=on, mixed_precision=train_config.mixed_precision,
                    num_workers=train_config.num_workers, seed=train_config.seed, cache=cache,
                    progress=callbacks.evaluate,
                )  # fmt: skip
                if keep is not None:
                    keep(part.name, name, report)
                accuracies.setdefault(part.name, {})[name] = report.metrics.top1
                metrics.setdefault(part.name, {})[name] = _numbers(report, dataset)
    return {
        **records.provenance(seed=train_config.seed, started=started),
        "core_hours": round((sum(os.times()[:4]) - cpu_s) / 3600, 4),
        "dataset": dataset,
        "method": method,
        "variant": variant,
        "recipe": recipe,
        "config": to_json(config),
        **facts,
        "train": to_json(train_config),
        "data": to_json(used_data(trained, data_config, cache=cache)),
        **({"by_epoch": by_epoch} if by_epoch else {}),
        "epoch_rule": "last",
        "plan": plan.record(),
        "warnings": tiny_warnings(trained, tested),
        "figures": summarise(plan, accuracies),
        "metrics": metrics,
    }


def _untrained(
    part: Part, method: str, *, config: Any, clip: CLIP | None, model: Path | None, backbone: str, seed: int
) -> Method:
    """The method of a part before its training; for a part that trains nothing, also a trained model."""
    classes = part.train or next(iter(part.tests.values()))
    if model is None:
        assert clip is not None
        return methods.build(
            method, copy.deepcopy(clip), classes.class_names, classes.class_names_zh, config=config, seed=seed
        )
    if part.train is not None:
        raise ValueError(f"this protocol trains its own model: expected model=None, got {model}")
    trained, manifest = checkpoint.load(model, backbone=None if backbone == AUTO else backbone)
    if manifest["method"] != method:
        raise ValueError(f"expected a model of {method}, but {model} is a {manifest['method']}")
    return trained


def _facts(trained: Method, model: Path | None) -> dict[str, Any]:
    return {
        "model": str(model) if model is not None else None,
        **({"model_sha256": checkpoint.weights_sha256(model)} if model is not None else {}),
        "backbone": {"name": trained.clip.public_name, "sha256": trained.clip_sha256},
        "trained_parameters": sum(p.numel() for p in trained.parameters() if p.requires_grad),
    }


def expected(
    plan: Plan, method: str, *, config: Any, backbone: str, model: Path | None, start_from: Path | None,
    train_config: TrainConfig, data_config: DataConfig, cache: bool, at_epochs: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """What the record of a run will say of its options, clips and weights."""
    part, clip = plan.parts[0], load_clip(backbone) if model is None else None
    trained = _untrained(part, method, config=config, clip=clip, model=model, backbone=backbone, seed=train_config.seed)
    facts = _facts(trained, model)
    return {
        "method": method,
        "config": to_json(trained.config),
        **facts,
        "trained_on": input_of(trained, cache=cache)
        if part.train is not None and facts["trained_parameters"]
        else None,
        "start_from": {"weights_sha256": checkpoint.weights_sha256(start_from)} if start_from is not None else None,
        "train": to_json(train_config),
        "data": to_json(used_data(trained, data_config, cache=cache)),
        "plan": plan.record(),
        "at_epochs": sorted(at_epochs),
    }


BY_EPOCH = "by_epoch.json"
"""File of a part's folder: top-1 accuracy by number of epochs, written during the training."""


def _at_epochs(
    method: Method, test: ClipList, path: Path, epochs: Sequence[int], config: DataConfig, **options: Any
) -> Callable[[int], None] | None:
    """The `on_epoch` callback that tests the method as it is after some epochs and writes the accuracy to `path`."""

    measured = _measured(test, config)

    def measure(epoch: int) -> None:
        if epoch in epochs:
            top1 = evaluate(method, test, config, cache=False, **options).metrics.top1
            known = files.read_json(path) if path.is_file() else {}
            records.write(path, {**(known if known.get("of") == measured else {"of": measured}), str(epoch): top1})

    return measure if epochs else None


def _measured(test: ClipList, config: DataConfig) -> dict[str, Any]:
    """What the accuracies in `BY_EPOCH` depend on, apart from the training."""
    views = {name: value for name, value in to_json(config).items() if name != "augment"}
    return {"list_sha256": test.sha256, "classes_sha256": test.classes_sha256, "data": views}


def _read_epochs(path: Path, epochs: Sequence[int], test: ClipList, config: DataConfig) -> dict[str, float]:
    known = files.read_json(path) if path.is_file() else {}
    if "of" in known and known["of"] != _measured(test, config):
        known = {}
    missing = [epoch for epoch in epochs if str(epoch) not in known]
    if missing:
        raise ValueError(
            f"{path.parent} holds a training that was not tested after the epochs {missing} with these options; choose "
            f"another folder"
        )
    return {str(epoch): known[str(epoch)] for epoch in epochs}


def record_path(plan: Plan, method: str, variant: str, *, dataset: str, size: str | None, seed: int) -> Path:
    """Path of a run's record below the folder of records: `<data set>/<protocol>/<method>[-<variant>]-s<seed>.json`.

    The protocol's folder name includes the shots and the part tested on where that is not `test`, that of the data set
    its size."""
    folder = "-".join(filter(None, [dataset, size]))
    own = "" if plan.protocol == "base-to-novel" else own_part(next(iter(plan.parts[0].tests)))
    shots, part = f"k{plan.shots}" if plan.shots else "", own if own != "test" else ""
    protocol = "-".join(filter(None, [plan.protocol, shots, part]))
    return Path(folder, protocol, "-".join(filter(None, [method, variant])) + f"-s{seed}.json")


def differences(path: Path, here: dict[str, Any]) -> list[str]:
    """How the existing record at `path` differs from the one that a run would write, which `expected` tells; a line
    per option, list of clips or file of weights."""
    there = files.read_json(path)
    if there.get("trained_on") not in (FROM_PIXELS, FROM_FLOW):  # none of the augmentation is applied
        there, here = ({**run, "data": {**run["data"], "augment": {}}} for run in (there, here))
    epochs: dict[str, float] = next(iter(there.get("by_epoch", {}).values()), {})
    return resume.differences({**there, "at_epochs": sorted(map(int, epochs))}, here)


def _numbers(report: Report, dataset: str) -> dict[str, Any]:
    """A report without scores and confusion matrix. `right` tells which clips are classified correctly, in the order of
    the list (`paired.from_hex`). If the data set has kinds of classes, also accuracies by kind, and `right_pair`: of
    the clips of reversible pairs, which score higher for their own class than for its reversal."""
    m, right = report.metrics, correct(report)
    numbers = {
        "top1": m.top1,
        "top5": m.top5 if m.top5 == m.top5 else None,
        "mean_class_accuracy": m.mean_class_accuracy,
        "calibration_error": m.calibration_error if m.calibration_error == m.calibration_error else None,
        "num_clips": m.num_clips,
        "unreadable": [item.key for item in report.broken],
        "right": to_hex(list(right.values())),
    }
    module: Any = datasets.get(dataset) if dataset in datasets.names() else None
    if not hasattr(module, "KIND"):
        return numbers
    pair = correct_in_pairs(report, module.PAIRS)
    return numbers | ({"right_pair": to_hex(list(pair.values()))} if pair else {}) | by_kind(report, module)


def correct(report: Report) -> dict[str, bool]:
    """By clip key, in the order of the list: whether its class has the highest score. An unreadable clip is wrong."""
    answers = {key: report.probabilities.get(key) for key in report.labels}
    return {
        key: row is not None and max(range(len(row)), key=row.__getitem__) == report.labels[key]
        for key, row in answers.items()
    }


def correct_in_pairs(report: Report, pairs: Sequence[tuple[str, str]]) -> dict[str, bool]:
    """The same of the clips of reversible pairs that are both among the classes: whether the clip's class scores higher
    than its reversal."""
    names = report.class_names
    reverse = {a: names.index(b) for one, two in pairs for a, b in ((one, two), (two, one)) if {one, two} <= {*names}}
    found = {}
    for key, label in report.labels.items():
        row, other = report.probabilities.get(key), reverse.get(names[label])
        if other is not None:
            found[key] = row is not None and row[label] > row[other]
    return found


def by_kind(report: Report, module: Any) -> dict[str, Any]:
    """Top-1 accuracy by kind of class, in percent, with the number of correct and of all clips, for every kind that the
    list has clips of. `pair` counts the clips of reversible pairs whose own class scores higher than its reversal
    (chance 50 %). `module` is a data set with `KIND` and `PAIRS`."""
    kinds: dict[str, list[bool]] = {}
    for key, right in correct(report).items():
        kinds.setdefault(module.KIND[report.class_names[report.labels[key]]], []).append(right)
    pair = list(correct_in_pairs(report, module.PAIRS).values())

    def share(answers: list[bool]) -> dict[str, float]:
        return {"percent": 100 * sum(answers) / len(answers), "right": sum(answers), "clips": len(answers)}

    table = {kind: share(answers) for kind, answers in sorted(kinds.items())}
    return {"by_kind": table | ({"pair": share(pair)} if pair else {})}
