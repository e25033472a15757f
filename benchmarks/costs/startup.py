"""How long the program takes to start, next to importing torch alone.

    python benchmarks/costs/startup.py [--repeats 5] [--out results/costs/startup.json]

Each command runs in a process of its own, alternating with `python -c "import torch"` within a repetition. `elapsed` is
wall-clock time, `processor` the processor time of the process; ratios are medians over the repetitions. Goals: `--help`
and `list` within 0.4 s, `predict` of one clip with the embedded model within twice the import of torch.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from actionprompt import records

CLIP = Path(__file__).parents[2] / "examples" / "handstand.mp4"
LABELS = "doing a handstand,reading a book,running,waving a hand"
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "--help": ["-m", "actionprompt", "--help"],
    "list": ["-m", "actionprompt", "list"],
    "predict": ["-m", "actionprompt", "predict", str(CLIP), "--labels", LABELS],
}
GOAL_S, GOAL_RATIO = 0.4, 2.0


def run(command: list[str]) -> dict[str, float]:
    """Seconds of one process: elapsed, and on its processors."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=os.environ)
    elapsed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"elapsed": elapsed, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/costs/startup.json"))
    args = parser.parse_args()
    started = time.time()
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    for repeat in range(args.repeats + 1):
        for name, command in COMMANDS.items():
            seconds = run(command)
            if repeat:  # the first repetition fills the disk cache
                taken[name].append(seconds)
    commands: dict[str, Any] = {}
    for name, runs in taken.items():
        commands[name] = {}
        for clock in ("elapsed", "processor"):
            ratios = [one[clock] / unit[clock] for one, unit in zip(runs, taken["import torch"])]
            commands[name] |= {
                f"{clock}_s": round(statistics.median(one[clock] for one in runs), 3),
                f"{clock}_ratio": round(statistics.median(ratios), 3),
            }
    met = {
        "--help": commands["--help"]["elapsed_s"] <= GOAL_S,
        "list": commands["list"]["elapsed_s"] <= GOAL_S,
        "predict": commands["predict"]["elapsed_ratio"] <= GOAL_RATIO,
    }
    record = {
        "benchmark": "startup",
        **records.provenance(seed=0, started=started),
        "repeats": args.repeats,
        "goals": {"help_and_list_s": GOAL_S, "predict_ratio": GOAL_RATIO, "met": all(met.values())},
        "commands": commands,
        "all": taken,
    }
    records.write(args.out, record)
    for name, found in commands.items():
        goal = "" if name not in met else "   met" if met[name] else "   missed"
        print(
            f"{name:<14} {found['elapsed_s']:.2f} s elapsed, {found['elapsed_ratio']:.2f} of import torch; "
            f"{found['processor_s']:.2f} s processor, {found['processor_ratio']:.2f}{goal}"
        )
    print(args.out)


if __name__ == "__main__":
    main()
