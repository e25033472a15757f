"""Kills `apps.tag` three times in a row at chosen moments, calls it a last time, and compares the folder byte by byte
with that of an undisturbed call. Every call is a fork of this process, so that nothing is imported twice.

Arguments: folder, number of trials. A moment is the one before something in the folder is opened for writing, half a
part is written, a file is renamed or deleted, or something is synced. Prints JSON: the `events` of an undisturbed call,
the `kills`, and the `faults`, one line each.
"""

import json
import os
import random
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyarrow import parquet

from actionprompt import zero_shot
from actionprompt.apps import tag
from actionprompt.video import write_video

LABELS = ("red", "green", "blue")


def make_clips(root: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(7):
        frames = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
        write_video(root / f"{index}.mp4", frames, fps=4)
    (root / "2b.mp4").write_bytes(b"no video")


def install(folder: str, kill_at: int) -> list[int]:
    """Kill this process at the event of a number; the list counts them."""
    count = [0]

    def event() -> None:
        count[0] += 1
        if count[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, args: Any) -> None:
        changes = name in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") and folder in str(args[0])
        if changes or (name == "open" and str(args[0]).startswith(folder) and args[2] & 3):
            event()

    sync, write = os.fsync, parquet.write_table

    def fsync(handle: int) -> None:
        event()
        sync(handle)

    def write_table(table: Any, path: Path, **options: Any) -> None:
        write(table, path, **options)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        event()
        path.write_bytes(content)

    os.fsync, parquet.write_table = fsync, write_table
    sys.addaudithook(audit)
    return count


def call(predictor: Any, root: Path, out: Path, kill_at: int = 0) -> tuple[int, int]:
    """The exit code of a call in a process of its own, -9 if it was killed, and its events."""
    out.mkdir(exist_ok=True)
    told = out.with_suffix(".events")
    told.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        code = 99
        try:
            count = install(str(out), kill_at)
            source = tag.read(str(root))
            tag.tag(predictor, source, out, part_rows=3, batch_size=2, embeddings=True, num_workers=0)
            told.write_text(str(count[0]))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, int(told.read_text()) if told.exists() else 0


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"folder" for path in sorted(out.iterdir())}


def main(folder: Path, trials: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    root = folder / "clips"
    root.mkdir()
    make_clips(root)
    os.chdir(folder)
    predictor = zero_shot(LABELS, backbone="random:nano", device="cpu")
    predictor.about()
    code, events = call(predictor, Path("clips"), folder / "whole")
    assert code == 0
    expected = contents(folder / "whole")
    assert list(expected) == ["_manifest.json", *(f"part-{part:05d}.parquet" for part in range(3))]
    rng, faults, kills = random.Random(0), [], 0
    for trial in range(trials):
        out = folder / "case"
        for attempt in range(3):
            at = (trial + 1) * events // (trials + 1) if attempt == 0 else rng.randint(1, events // 3)
            code, _ = call(predictor, Path("clips"), out, at)
            kills += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                faults.append(f"trial {trial}: exit {code}")
            torn = [path.name for path in out.glob("part-*") if path.read_bytes() != expected[path.name]]
            faults += [f"trial {trial}: {name} is there, but not whole" for name in torn]
        code, _ = call(predictor, Path("clips"), out)
        found = contents(out)
        if code or found != expected:
            wrong = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
            faults.append(f"trial {trial}: exit {code}, not as without a kill: {wrong}")
        shutil.rmtree(out)
    return {"events": events, "kills": kills, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
