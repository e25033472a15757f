"""What a training needs to resume: its checkpoints, its log, and what makes two runs the same run."""

import json
import shutil
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from actionprompt import checkpoint, files, methods
from actionprompt.checkpoint import MANIFEST, WEIGHTS
from actionprompt.clips import Clip, ClipList, some
from actionprompt.config import DataConfig, TrainConfig, to_json
from actionprompt.method import Method
from actionprompt.weights.run import read_tensors

OPTIMIZER, LOG = "optimizer.safetensors", "log.jsonl"
STEPS = f"step-{'[0-9]' * 8}"
"""Names of checkpoints."""
KEPT = 2
"""Checkpoints that are kept: should the newest be damaged, the one before it takes its place."""
NEUTRAL = ("train.num_workers", "train.max_broken", "train.save_every_steps")
"""Options that change no number of a training."""
IN_EVALUATION = ("data.test_frames", "data.num_clips", "data.num_crops", "data.random_groups", "data.pooling")
"""Options that training does not use."""


@dataclass(frozen=True)
class Start:
    """Where a training starts."""

    step: int = 0
    """Optimiser steps done."""
    origin: tuple[int, int] = (0, 0)
    """The epoch and the step at which the present list of clips begins: another list can have longer epochs."""
    dropped: tuple[dict[str, Any], ...] = ()
    """For the manifest: clips that left the list during the training, with the step after which."""
    dropped_clips: tuple[Clip, ...] = ()
    """Those of them that were trained on."""


def describe(run: dict[str, Any], *, ignore: Collection[str] = ()) -> dict[str, Any]:
    """What makes a run, by option: from a checkpoint, a model's manifest or a record, with the defaults of options that
    it does not have."""
    defaults = {"train": to_json(TrainConfig()), "data": to_json(DataConfig())}
    if run.get("method") in methods.names():
        defaults["config"] = to_json(methods.get(run["method"]).Config())
    flat: dict[str, Any] = {}

    def flatten(name: str, value: Any, default: Any) -> None:
        if isinstance(value, dict):
            default = default if isinstance(default, dict) else {}
            for key in {**default, **value}:
                flatten(f"{name}.{key}", value.get(key, default.get(key)), default.get(key))
        else:
            flat[name] = value

    for part in ("config", "train", "data"):
        flatten(part, run.get(part, {}), defaults.get(part, {}))
    flat["method"] = run.get("method")
    flat["backbone"] = run["backbone"]["sha256"] if isinstance(run.get("backbone"), dict) else run.get("backbone")
    flat["start_from"] = (run.get("start_from") or {}).get("weights_sha256")
    for name in ("trained_on", "list_sha256", "classes_sha256", "model", "model_sha256", "at_epochs"):
        if run.get(name) is not None:
            flat[name] = run[name]
    for part, lists in run.get("plan", {}).get("parts", {}).items():
        for name, listed in {"train": lists["train"], **lists["tests"]}.items():
            if listed is not None:
                flat[f"clips of {part}/{name}"] = listed["sha256"]
                flat[f"class names of {part}/{name}"] = listed["classes_sha256"]
    return {name: value for name, value in flat.items() if name not in ignore}


WORDS = {
    "backbone": "weights of the backbone",
    "start_from": "weights of --start-from",
    "model": "--model",
    "model_sha256": "weights of --model",
    "list_sha256": "list of clips",
    "classes_sha256": "class names",
    "trained_on": "trained on",
    "at_epochs": "--at-epochs",
}


def differences(there: dict[str, Any], here: dict[str, Any], *, ignore: Collection[str] = NEUTRAL) -> list[str]:
    """How two runs differ, as options are typed: `--train.lr 0.001, here 0.01`. What is not known of the one there is
    not compared, but for the lists of its clips."""
    if there.get("method") != here.get("method"):
        return [f"method {there.get('method')}, here {here.get('method')}"]
    before, now = describe(there, ignore=ignore), describe(here, ignore=ignore)
    lines = []
    for name in now:
        known = name in before or " of " in name
        if known and before.get(name) != now[name]:
            part, _, option = name.partition(".")
            typed = f"--{'method' if part == 'config' else part}.{option.replace('_', '-')}"
            word = typed if part in ("config", "train", "data") else WORDS.get(name, name)
            lines.append(f"{word} {_short(before.get(name))}, here {_short(now[name])}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value[:12] if len(value) == 64 else value
    return "none" if value in (None, []) else str(value)


def check_finished(folder: Path, run: dict[str, Any]) -> None:
    """Raise ValueError if the model in a run folder is not the one that this run would train; if it is, delete the
    checkpoints that are left of a process killed at the very end."""
    different = differences(checkpoint.read_manifest(folder / "model"), run, ignore=(*NEUTRAL, *IN_EVALUATION))
    if different:
        raise ValueError(
            f"{folder} holds a finished training with other options ({'; '.join(different)}); choose another folder "
            f"with --out, or delete it to train again"
        )
    delete_checkpoints(folder)


def delete_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a run folder, also those that a killed process had begun to delete, and their folder
    unless somebody else has something in it."""
    checkpoints = folder / "checkpoints"
    files.sweep(checkpoints)
    for path in (*checkpoints.glob(STEPS), *checkpoints.glob("clips-*.json")):
        if path.is_file() or {inside.name for inside in path.iterdir()} <= {WEIGHTS, OPTIMIZER, MANIFEST}:
            files.delete(path)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()


# Checkpoints ----------------------------------------------------------------------------------------------------------


def save(
    folder: Path, start: Start, run: dict[str, Any], clips: ClipList, method: Method, optimizer: torch.optim.Optimizer,
    *, step: int, epochs: int | None,
) -> None:  # fmt: skip
    """Write the checkpoint of a step, with which the `epochs` end, if any do; the log up to there reaches the disk
    first."""
    state = {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }
    files.sync(folder / LOG)
    checkpoints = folder / "checkpoints"
    listed = _list_file(checkpoints, run)
    if not listed.is_file():
        files.write_json(listed, {clip.key: [clip.label, str(clip.path)] for clip in clips.clips}, indent=None)
    tensors = {WEIGHTS: method.trained_state(), OPTIMIZER: state}
    manifest = {"step": step, "epochs": epochs, "origin": start.origin, "dropped": start.dropped, "run": run}
    checkpoint.write_folder(checkpoints / f"step-{step:08d}", tensors, manifest)
    for old in sorted(checkpoints.glob(STEPS))[:-KEPT]:
        shutil.rmtree(old)


def load(
    folder: Path, run: dict[str, Any], clips: ClipList, method: Method, optimizer: torch.optim.Optimizer,
    accelerator: Accelerator, *, drop_missing: bool,
) -> Start:  # fmt: skip
    """Load the newest checkpoint, if there is one.

    If clips of the list that the run began with are gone, `drop_missing` continues with the others from the end of an
    epoch, or from the start where no checkpoint was written at the end of one.

    Raises:
        ValueError: a finished training, checkpoints of another run, or none that can be read.
    """
    checkpoints = folder / "checkpoints"
    if (folder / "model" / MANIFEST).is_file():
        delete_checkpoints(folder)  # of a process killed at the very end
        raise ValueError(f"{folder} holds a finished training; choose another folder, or remove it to train again")
    if accelerator.is_main_process:
        files.sweep(checkpoints)
        _check_log(folder / LOG)
    found = sorted(checkpoints.glob(f"{STEPS}/{MANIFEST}"), reverse=True)
    manifests: dict[Path, dict[str, Any]] = {}
    unread = []
    for path in found:
        try:
            manifests[path.parent] = files.read_json(path)
        except ValueError as error:
            unread.append(str(error))
    gone: list[str] = []
    if manifests:
        gone = _check_same(folder, next(iter(manifests.values()))["run"], run, clips, drop_missing=drop_missing)
    usable = [path for path, manifest in manifests.items() if not gone or manifest.get("epochs") is not None]
    chosen: Path | None = None
    for path in usable if accelerator.is_main_process else ():
        try:
            for name in (WEIGHTS, OPTIMIZER):
                read_tensors(path, manifests[path], name)
        except ValueError as error:
            unread.append(str(error))
        else:
            chosen = path
            break
    chosen = broadcast_object_list([chosen])[0]
    if unread and accelerator.is_main_process:
        if chosen is None:
            raise ValueError(
                f"no checkpoint of {folder} can be read ({'; '.join(unread)}); delete {checkpoints} to start again"
            )
        text = f"{'; '.join(unread)}; resumed from {chosen.name} instead"
        warnings.warn(text, files.Notice, stacklevel=2)
    if accelerator.is_main_process:
        for path in checkpoints.glob(STEPS):
            if chosen is None or path.name > chosen.name:
                shutil.rmtree(path)  # damaged, or of clips that are not there
    if chosen is None:
        return Start(dropped=({"clips": gone, "after_step": 0},) if gone else ())
    manifest = manifests[chosen]
    method.load_trained_state(read_tensors(chosen, manifest))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in read_tensors(chosen, manifest, OPTIMIZER).items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    accelerator.wait_for_everyone()
    step, origin, dropped = int(manifest["step"]), manifest.get("origin", (0, 0)), manifest.get("dropped", [])
    if gone:
        origin, dropped = (manifest["epochs"], step), [*dropped, {"clips": gone, "after_step": step}]
    listed = {key: entry for path in checkpoints.glob("clips-*.json") for key, entry in files.read_json(path).items()}
    before = [key for entry in dropped for key in entry["clips"] if entry["after_step"] > 0]
    trained = tuple(Clip(key, Path(listed[key][1]), listed[key][0]) for key in before)
    return Start(step, (int(origin[0]), int(origin[1])), tuple(dropped), trained)


def _list_file(checkpoints: Path, run: dict[str, Any]) -> Path:
    return checkpoints / f"clips-{run['list_sha256'][:16]}.json"


def _check_same(
    folder: Path, there: dict[str, Any], here: dict[str, Any], clips: ClipList, *, drop_missing: bool
) -> list[str]:
    """The keys of the clips that have left the list, if that is all that differs between two runs.

    Raises:
        ValueError: what else differs, or clips are gone without `drop_missing`.
    """
    ignore = (*NEUTRAL, *IN_EVALUATION)
    different = differences(there, here, ignore=(*ignore, "list_sha256"))
    gone: list[str] = []
    if there["list_sha256"] != here["list_sha256"]:
        listed = _list_file(folder / "checkpoints", there)
        before = {key: label for key, (label, _) in files.read_json(listed).items()} if listed.is_file() else {}
        now = {clip.key: clip.label for clip in clips.clips}
        gone = [key for key in before if key not in now]
        new = [key for key in now if before.get(key) != now[key]]
        if not before or new or not gone or [key for key in before if key in now] != list(now):
            parts = [f"{what} {some(keys)}" for what, keys in (("without", gone), ("new here", new)) if keys]
            different.append(f"list of clips ({'; '.join(parts) or 'in another order'})")
    if different:
        raise ValueError(
            f"{folder} holds checkpoints of another run ({'; '.join(different)}); choose another folder, remove it, or "
            f"call with the same options to resume"
        )
    if gone and not drop_missing:
        raise ValueError(
            f"{folder}: {len(gone)} clips that this run began with are not there ({some(gone)}); put them back, or add "
            f"--drop-missing to continue with the other {len(clips.clips)}"
        )
    return gone


def _check_log(path: Path) -> None:
    """Raise ValueError for a file that no training wrote, which `cut_log` would empty; the last line can be cut."""
    begin = '{"step":'
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    if not all(line[: len(begin)] == begin[: len(line)] for line in lines):
        raise ValueError(f"{path} is no log of a training; choose another folder")


def cut_log(path: Path, step: int) -> None:
    """Remove log entries after the last checkpoint of a killed run: these steps are repeated."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = []
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break  # an incomplete line: the process was killed while writing it
        if entry["step"] <= step:
            kept.append(line + "\n")
    files.write_text(path, "".join(kept))
