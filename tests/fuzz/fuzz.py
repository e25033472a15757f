"""Seeded mutants of small clips, judged in worker processes with limits of memory and time.

    python tests/fuzz/fuzz.py --mutants 2000 --seed 0 --workers 2 --out record.json

Mutants are dealt out to the seeds in turn; `--only NAME/NUMBER` repeats one. An interrupted run resumes.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import seeds  # noqa: E402

TIME_LIMIT_S = 60.0
MEMORY_LIMIT_BYTES = 6 << 30  # address space, of which the libraries themselves take a good part


class Worker:
    """A process of `judge`; a mutant that ends it, or takes too long, costs a new one."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None

    def judge(self, name: str, number: int, seed: int) -> dict[str, Any]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "judge.py"), str(self.folder), str(MEMORY_LIMIT_BYTES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
        print(name, number, seed, sep="\t", file=self.process.stdin, flush=True)
        late = threading.Timer(TIME_LIMIT_S, self.process.kill)
        start = time.monotonic()
        late.start()
        line = self.process.stdout.readline()
        late.cancel()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.process = None
        hang = time.monotonic() - start >= TIME_LIMIT_S
        verdict = {"verdict": "hang" if hang else "crash", "why": f"exit code {code}", "sound": False}
        return {"name": name, "number": number, **verdict}

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def run(mutants: Iterable[tuple[str, int]], folder: Path, *, seed: int, workers: int) -> Iterator[dict[str, Any]]:
    """Verdicts as they come."""
    work: queue.Queue = queue.Queue()
    done: queue.Queue = queue.Queue()
    for item in mutants:
        work.put(item)
    count = work.qsize()

    def serve() -> None:
        worker = Worker(folder)
        while True:
            try:
                item = work.get_nowait()
            except queue.Empty:
                worker.close()
                return
            done.put(worker.judge(*item, seed))

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        yield done.get()
    for thread in threads:
        thread.join()


def deal(names: list[str], count: int) -> list[tuple[str, int]]:
    return [(names[number % len(names)], number // len(names)) for number in range(count)]


FINE = ("equal", "refused")


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by verdict and by seed, and every fault."""
    by_seed: dict[str, Counter] = {}
    for result in results:
        by_seed.setdefault(result["name"], Counter())[result["verdict"]] += 1
    return {
        "mutants": len(results),
        "verdicts": dict(Counter(result["verdict"] for result in results)),
        "refused_though_plain_decode_is_sound": sum(r["verdict"] == "refused" and r["sound"] for r in results),
        "by_seed": {name: dict(counts) for name, counts in sorted(by_seed.items())},
        "faults": [result for result in results if result["verdict"] not in FINE],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help="NAME or NAME/NUMBER")
    args = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        names = seeds.writable()
        mutants = deal(names, args.mutants)
        if args.only:
            name, _, number = args.only.partition("/")
            mutants = [(name, int(number))] if number else [item for item in mutants if item[0] == name]
        for name in {name for name, _ in mutants}:
            seeds.write(name, Path(folder))
        log = args.out.with_suffix(".jsonl") if args.out else None
        results = [json.loads(line) for line in log.open()] if log and log.exists() else []
        known = {(result["name"], result["number"]) for result in results}
        left = [item for item in mutants if item not in known]
        for place, result in enumerate(run(left, Path(folder), seed=args.seed, workers=args.workers)):
            results.append(result)
            if log:
                with log.open("a") as file:
                    print(json.dumps(result), file=file)
            if result["verdict"] not in FINE or args.only:
                print(result, flush=True)
            elif place % 500 == 499:
                print(f"{place + 1} of {len(left)}, {time.time() - started:.0f} s", file=sys.stderr, flush=True)
    found = summary(results)
    print(json.dumps({key: value for key, value in found.items() if key not in ("by_seed", "faults")}, indent=1))
    if args.out:
        from actionprompt import records

        timed = {"judged_in_these_hours": len(left)}  # the others in an earlier run that was stopped
        records.write(args.out, {**records.provenance(seed=args.seed, started=started), **timed, **found})
        log.unlink()
    raise SystemExit(bool(found["faults"]))


if __name__ == "__main__":
    main()
