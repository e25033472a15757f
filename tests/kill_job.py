"""Kills `train`, `run`, `teach` and the building of ActionWorld, calls them again, and compares what is then there with
what an undisturbed call leaves. Linux alone: every call is a fork of this process, so that nothing is imported twice.

Arguments: folder, points per verb, kills at random times per verb, verbs. A point is the moment before a file is opened
for writing, half of it is written, it is renamed or deleted, or something is synced. Prints JSON: by verb, the number
of `events` of an undisturbed call, of `kills`, and the `faults`, one line each.
"""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # the first optimiser imports it
import torch.utils.tensorboard
import torchmetrics.functional.classification  # noqa: F401

from actionprompt import checkpoint, commands, evaluation, prediction, records, training  # noqa: F401
from actionprompt.apps import teach
from actionprompt.commands import run, train  # noqa: F401
from actionprompt.video import write_video
from actionprompt.world import build
from actionprompt.world.actions import ACTIVITIES

NANO = (
    *("--backbone", "random:nano", "--train.num-workers", "0", "--train.epochs", "2", "--train.batch-size", "3"),
    *("--data.num-frames", "2"),
)
CLASSES = ("red", "green", "blue")
UNFINISHED = re.compile(r"\.(tmp|old|lock)(\.\w+)?$")
WHOLE = re.compile(r"\.writer-.*\.lock")
"""Of ActionWorld: a folder with all its clips is not entered again, so a lock can lie in it until more are built."""


def verb_train(root: Path, out: Path) -> int:
    command = ["train", "vifi_clip", "--clips.root", f"{root}/train", "--out", str(out), *NANO]
    return commands.main([*command, "--train.save-every-steps", "1"])


def verb_run(root: Path, out: Path) -> int:
    command = ["run", "zeroshot", "--variant", "linear", "--clips.root", str(root), "--out", str(out), *NANO]
    return commands.main([*command, "--skip-existing", "--at-epochs", "1", "--scores"])


def verb_teach(root: Path, out: Path) -> int:
    clips = {name: sorted((root / "train" / name).iterdir()) for name in CLASSES}
    config = training.TrainConfig(epochs=2, num_workers=0, lr=1e-2)
    teach.teach(clips, out, backbone="random:nano", config=config, device="cpu")
    return 0


def verb_build(root: Path, out: Path) -> int:
    build.build(out, [build.Scene(activity, 1, "main", 0) for activity in ACTIVITIES[:4]], size_px=32)
    return 0


VERBS = {"train": verb_train, "run": verb_run, "teach": verb_teach, "build": verb_build}


def make_clips(root: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for channel, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for index in range(3):
                frames = rng.integers(0, 90, (4, 32, 32, 3), dtype=np.uint8)
                frames[..., channel] += 120
                write_video(root / part / name / f"{index}.mp4", frames, fps=4)


class Events:
    """Counts what happens to the files of a folder, and kills the process at the event of a number."""

    def __init__(self, folder: Path, kill_at: int) -> None:
        self.folder, self.kill_at, self.count = os.path.realpath(folder), kill_at, 0

    def event(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        def audit(name: str, args: Any) -> None:
            if name in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                inside = str(args[0]).startswith(self.folder) or (name == "os.remove" and args[1] != -1)
                if inside:
                    self.event()
            elif name == "open" and isinstance(args[0], str) and args[0].startswith(self.folder) and args[2] & 3:
                self.event()

        sys.addaudithook(audit)
        sync = os.fsync

        def fsync(handle: int) -> None:
            self.event()
            sync(handle)

        def write_bytes(path: Path, content: bytes) -> int:
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                self.event()
                return file.write(content[len(content) // 2 :])

        save = checkpoint.save_file

        def save_file(tensors: Any, path: Path) -> None:
            self.event()
            save(tensors, path)
            self.event()

        os.fsync, Path.write_bytes, checkpoint.save_file = fsync, write_bytes, save_file


def call(verb: str, root: Path, case: Path, *, kill_at: int = 0, kill_after_s: float | None = None) -> tuple[int, str]:
    """The exit code of a call in a process of its own, -9 if it was killed, and what it printed."""
    case.mkdir(exist_ok=True)
    child = os.fork()
    if not child:
        code = 99
        try:
            log = os.open(case / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["ACTIONPROMPT_CACHE"] = str(case / "work" / "cache")
            (case / "work").mkdir(exist_ok=True)
            records.commit = lambda: None
            events = Events(case / "work", kill_at)
            events.install()
            code = VERBS[verb](root, case / "work" / "out")
            (case / "events.txt").write_text(str(events.count))
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, (case / "log.txt").read_text() if (case / "log.txt").is_file() else ""


def result(verb: str, case: Path) -> dict[str, Any]:
    """What a call leaves, without dates."""
    out = case / "work" / "out"
    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if name.endswith("manifest.json") or "-s0.json" in name or re.search(r"zeroshot-linear-s0\.json$", name):
            record = json.loads(path.read_text())
            for key in ("provenance", "date", "hours", "core_hours", "command", "commit"):
                record.pop(key, None)
            found[name] = record
        elif name.endswith("manifest.tsv"):
            found[name] = {key: str(entry) for key, entry in build.read_manifest(path).items()}
        elif "tensorboard" not in name and not UNFINISHED.search(name):
            found[name] = path.read_bytes().hex()
    return found


def faults_of(verb: str, root: Path, case: Path, expected: dict[str, Any], what: str) -> list[str]:
    """Call again after a kill; what is then wrong."""
    out = case / "work" / "out"
    finished = (out / "model" / "manifest.json").is_file()
    code, said = call(verb, root, case)
    refused = code != 0 and finished and ("holds a finished training" in said or "already contains a model" in said)
    if code != 0 and not refused:
        return [f"{what}: called again, exit {code}: {said[-600:]}"]
    found = result(verb, case)
    names = sorted(found.keys() | expected.keys())
    faults = [f"{what}: {name} is not as without a kill" for name in names if found.get(name) != expected.get(name)]
    left = [path.name for path in out.rglob("*") if UNFINISHED.search(path.name)]
    if verb == "build":
        left = [name for name in left if not WHOLE.fullmatch(name)]
    return faults + [f"{what}: left {name}" for name in left]


def main(folder: Path, points: int, at_random: int, verbs: list[str]) -> dict[str, Any]:
    torch.set_num_threads(1)
    root, report, rng = folder / "clips", {}, random.Random(0)
    make_clips(root)
    for verb in verbs:
        began = time.monotonic()
        code, said = call(verb, root, folder / f"{verb}-whole")
        took_s = time.monotonic() - began
        assert code == 0, said
        expected = result(verb, folder / f"{verb}-whole")
        assert expected
        events = int((folder / f"{verb}-whole" / "events.txt").read_text())
        numbers = sorted({1 + round(i * (events - 1) / max(1, points - 1)) for i in range(min(points, events))})
        kills: list[tuple[str, dict[str, Any]]] = [(f"event {n} of {events}", {"kill_at": n}) for n in numbers]
        for _ in range(at_random):
            after_s = rng.uniform(0, took_s)
            kills.append((f"after {after_s:.3f} s of {took_s:.3f}", {"kill_after_s": after_s}))
        faults = []
        for what, kill in kills:
            case = folder / "case"
            code, said = call(verb, root, case, **kill)
            if code not in (-9, 0):
                faults.append(f"{what}: exit {code} before the kill: {said[-600:]}")
            faults += faults_of(verb, root, case, expected, what)
            shutil.rmtree(case)
        report[verb] = {"events": events, "kills": len(kills), "faults": faults}
    return report


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])))
