"""Runs the parts, each in a process of its own that has to end in time: a crash ends one part, and a cut loses one row.

What one part leaves of its time the later ones get. A part asks the clock before each row; if a row takes far too long
all the same, its process is killed, and the record stays as it was after the row before."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu import PARTS, count_failures, libraries
from gpu.settings import ROOT, parse

LEAST_S = 30
"""What even a part without time gets: it loads torch, and writes a record that says so."""


def main(args: Sequence[str]) -> int:
    options, began = parse(args, prog="gpu.sh"), time.monotonic()
    with tempfile.TemporaryDirectory() as site:
        if not _all_there(options.wheels, Path(site)):
            return 2
        paths = [site, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        lines, failed, share = [], False, 0.0
        whole = sum(PARTS[name][0] for name in options.parts) + 1 - sum(share for share, _ in PARTS.values())
        for name in options.parts:
            share += PARTS[name][0]
            left = options.seconds * share / whole - (time.monotonic() - began)
            kill = max(options.seconds - (time.monotonic() - began), LEAST_S)
            kill = min(kill, max(left + 0.03 * options.seconds, LEAST_S))
            file = options.out / f"gpu_{name}.json"
            file.unlink(missing_ok=True)
            print(f"{name}: {PARTS[name][1]}, {max(left, 0):.0f} s", flush=True)
            command = [sys.executable, "-m", "gpu.part", *args, "--parts", name, "--seconds", f"{left:.1f}"]
            status = _run(command, environment, kill)
            if status == 2:
                return 2
            record = _finish(file, name, status)
            failures = count_failures(record)
            failed |= bool(failures)
            lines.append(
                f"{name:9} {file}  {record['seconds']:.0f} s, {len(record['rows'])} rows, {failures} failed"
                f"{', cut' if record['cut'] else ''}"
            )
    print("\n".join(lines))
    return 1 if failed else 0


def _all_there(wheels: Path | None, site: Path) -> bool:
    """Whether all libraries are there, if need be from the wheels, which are installed into `site`. Says in one line
    what is missing. Where only something is missing that another library names, we try all the same."""
    pyproject = ROOT / "pyproject.toml"
    lacking = libraries.missing(pyproject, sys.path)
    if lacking and wheels is not None:
        if problem := libraries.install(wheels, list(lacking), site):
            print(problem, file=sys.stderr)
        lacking = libraries.missing(pyproject, [str(site), *sys.path])
    if lacking:
        names = ", ".join(name + (f" (for {by})" if by else "") for name, by in lacking.items())
        given = f"{wheels} has no wheels of them" if wheels is not None else "set WHEELS to a folder of wheels"
        print(f"{sys.executable} lacks {names}: {given}, see the head of benchmarks/gpu.sh", file=sys.stderr)
    return None not in lacking.values()


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> int | None:
    """Exit status of a process; None where it took longer and was killed, with all that it had started."""
    process = subprocess.Popen(command, env=environment, process_group=0)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _finish(file: Path, name: str, status: int | None) -> dict[str, Any]:
    """The record of a part that has ended; where its process crashed, the record says so."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    record: dict[str, Any] = {"benchmark": "gpu", "part": name, "cut": True, "seconds": 0, "rows": [], **found}
    unexplained = status == 1 and count_failures(record) == 0
    if not found or unexplained or status not in (0, 1, None):
        record["error"] = f"the process of this part ended with status {status}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the part that runs, too
    sys.exit(main(sys.argv[1:]))
