"""The small runtime compared with the full package: size on disk, start-up, reading, and clips per second.

    ACTIONPROMPT_REAL_DATA=DIR python benchmarks/costs/runtime.py [--clips 5] [--repeats 2]

- `packages`: bytes of the installed files of each distribution and of all that it depends on, without extras, in the
  environment that runs this (torch is the one that is installed: for the CPU, or with the libraries of a GPU).
- `startup`: one clip with the embedded model, in a process of its own, from `python` to exit.
- `reading`: from a file to the uint8 views of 8 frames, one clip after the other in one thread; the main package
  decodes what it needs, the runtime all of a video.
- `speed`: all clips with `--backbone` (random weights) and 8 frames, after one clip to warm up, in a process for each
  repetition; the processes alternate. Times are of reading and the model together, with as many threads as there are
  cores. `difference` is the largest one of a probability from that of the main package.

Without the folder of real clips, generated ones of 320 x 240 px are read.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "runtime" / "src"))
LABELS = ("doing a handstand", "reading a book", "running", "waving a hand")
MAIN, RUNTIME, INT8 = "actionprompt", "actionprompt-runtime", "actionprompt-runtime int8"


def size_mb(requirements: list[str]) -> dict[str, float]:
    """Megabytes of the files of these distributions and of all that they depend on, by name."""
    found: dict[str, float] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        asked = waiting.pop()
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        one = importlib.metadata.distribution(asked.name)
        name = one.metadata["Name"].lower().replace("_", "-")
        if name in found:
            continue
        places = [Path(str(one.locate_file(file))) for file in one.files or ()]
        found[name] = sum(place.stat().st_size for place in places if place.is_file()) / 1e6
        waiting += [Requirement(text) for text in one.requires or ()]
    return found


def needed(project: Path) -> list[str]:
    return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]


def packages() -> dict[str, Any]:
    sources = {MAIN: ROOT / "src" / "actionprompt", RUNTIME: ROOT / "runtime" / "src" / "actionprompt_runtime"}
    projects = {MAIN: ROOT / "pyproject.toml", RUNTIME: ROOT / "runtime" / "pyproject.toml"}
    found = {}
    for name, project in projects.items():
        others = size_mb(needed(project))
        own = sum(p.stat().st_size for p in sources[name].rglob("*") if p.is_file() and p.suffix != ".pyc") / 1e6
        found[name] = {
            "own_mb": round(own, 2),
            "packages": len(others) + 1,
            "size_mb": round(own + sum(others.values())),
        }
    for one in found.values():
        one["ratio"] = round(one["size_mb"] / found[MAIN]["size_mb"], 3)
    return found


def clips(folder: Path) -> list[Path]:
    """Real clips, or generated ones."""
    from actionprompt import video

    real = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if real:
        return sorted((Path(real) / "videos" / "single_clips").iterdir())
    y, x = np.mgrid[:240, :320]

    def frames(seed: int) -> Iterator[np.ndarray]:
        for number in range(200):
            waves = [np.sin((x + 3 * number) / a + y / (b + seed)) for a, b in ((23, 41), (37, 19), (51, 29))]
            yield (127 + 100 * np.stack(waves, 2)).astype(np.uint8)

    for seed in range(12):
        video.write_video(folder / f"{seed}.mp4", frames(seed), 25, gop=50)
    return sorted(folder.glob("*.mp4"))


def timed(command: list[str]) -> dict[str, float]:
    """Seconds of one process: elapsed, and on its processors."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "runtime" / "src")}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=env)
    elapsed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"elapsed": elapsed, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def ratios(taken: dict[str, list[dict[str, float]]], divided_by: int = 1) -> dict[str, Any]:
    """Medians of the repetitions, and of the ratios to the main package within each."""
    found: dict[str, Any] = {}
    for name, runs in taken.items():
        found[name] = {}
        for clock in ("elapsed", "processor"):
            of_main = [one[clock] / unit[clock] for one, unit in zip(runs, taken[MAIN])]
            found[name] |= {
                f"{clock}_s": round(statistics.median(one[clock] for one in runs) / divided_by, 3),
                f"{clock}_ratio": round(statistics.median(of_main), 3),
            }
    return found


def startup(exported: Path, repeats: int) -> dict[str, Any]:
    clip = str(ROOT / "examples" / "handstand.mp4")
    commands = {
        MAIN: ["-m", "actionprompt", "predict", clip, "--backbone", "tiny", "--labels", ",".join(LABELS)],
        RUNTIME: ["-m", "actionprompt_runtime", str(exported), clip],
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for repeat, (name, command) in itertools.product(range(repeats + 1), commands.items()):
        seconds = timed(command)
        if repeat:  # the first repetition fills the disk cache
            taken[name].append(seconds)
    return ratios(taken)


def reading(exported: Path, paths: list[Path]) -> dict[str, Any]:
    """Seconds of reading a clip, and of how many clips both packages read the same."""
    import actionprompt_runtime
    import torch

    from actionprompt.clips import Clip
    from actionprompt.config import DataConfig, Pixels
    from actionprompt.data import VideoDataset

    torch.set_num_threads(1)
    model = actionprompt_runtime.load(exported, threads=1)
    side_px = model.manifest["input"]["side_px"]
    given = VideoDataset(
        [Clip(str(path), path, 0) for path in paths], DataConfig(fit="auto"), side_px=side_px, training=False,
        pixels=Pixels(),
    )  # fmt: skip
    taken: dict[str, list[dict[str, float]]] = {MAIN: [], RUNTIME: []}
    same = 0
    for index, path in enumerate(paths):
        began, cpu = time.perf_counter(), time.process_time()
        main: Any = given[0, index]
        taken[MAIN].append({"elapsed": time.perf_counter() - began, "processor": time.process_time() - cpu})
        began, cpu = time.perf_counter(), time.process_time()
        video, _ = model.read(path)
        taken[RUNTIME].append({"elapsed": time.perf_counter() - began, "processor": time.process_time() - cpu})
        same += bool(np.array_equal(video, main.video))
    found = ratios(taken)
    found[RUNTIME] |= {"clips": len(paths), "equal": same}
    return found


def child(kind: str, source: str, paths: list[Path]) -> None:
    """Predicts all clips in this process and prints what it took as JSON."""
    if kind == MAIN:
        from actionprompt import prediction

        model: Any = prediction.zero_shot(LABELS, backbone=source)
    else:
        import actionprompt_runtime

        model = actionprompt_runtime.load(source)
    model.predict(paths[0])
    before, began = sum(os.times()[:4]), time.perf_counter()
    scores = [sorted(zip(found.labels, found.scores)) for _, found in model.predict_all(paths, top=None)]
    elapsed, processor = time.perf_counter() - began, sum(os.times()[:4]) - before
    peak_kb = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])  # getrusage has the parent's
    found = {"elapsed": elapsed, "processor": processor, "peak_mb": peak_kb * 1024 / 1e6}
    print(json.dumps({**found, "scores": scores}))


def speed(models: dict[str, str], paths: list[Path], repeats: int) -> dict[str, Any]:
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in models}
    for _, (kind, source) in itertools.product(range(repeats), models.items()):
        command = [sys.executable, __file__, "--child", kind, source, *map(str, paths)]
        taken[kind].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    found = ratios(taken, len(paths))
    wanted = taken[MAIN][0]["scores"]
    for kind, runs in taken.items():
        pairs = [
            (one[1], other[1])
            for a, b in zip(wanted, runs[0]["scores"], strict=True)
            for one, other in zip(a, b, strict=True)
        ]
        found[kind] |= {
            "clips_per_s": round(len(paths) / statistics.median(run["elapsed"] for run in runs), 2),
            "peak_mb": round(max(run["peak_mb"] for run in runs)),
            "difference": float(f"{max(abs(a - b) for a, b in pairs):.1e}"),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--clips", type=int, default=5, help="of `speed`")
    parser.add_argument("--repeats", type=int, default=2, help="of `speed`; `startup` has twice as many")
    parser.add_argument("--out", type=Path, default=Path("results/costs/runtime.json"))
    args = parser.parse_args()

    from actionprompt import prediction, records
    from actionprompt.apps.export import export

    started = time.time()
    record: dict[str, Any] = {"benchmark": "runtime", "backbone": args.backbone, "packages": packages()}
    print(json.dumps(record["packages"], indent=1), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(prediction.zero_shot(LABELS, backbone="tiny"), folder / "tiny")
        paths = clips(folder)
        record["startup"] = startup(folder / "tiny", 2 * args.repeats)
        print(json.dumps(record["startup"], indent=1), flush=True)
        record["reading"] = reading(folder / "tiny", paths)
        print(json.dumps(record["reading"], indent=1), flush=True)
        big = prediction.zero_shot(LABELS, backbone=args.backbone)
        export(big, folder / "float32")
        export(big, folder / "int8", int8=True)
        del big
        models = {MAIN: args.backbone, RUNTIME: str(folder / "float32"), INT8: str(folder / "int8")}
        record["speed"] = speed(models, paths[: args.clips], args.repeats)
        print(json.dumps(record["speed"], indent=1), flush=True)
    records.write(args.out, {**record, **records.provenance(seed=0, started=started)})
    print(args.out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], [Path(path) for path in sys.argv[4:]])
    else:
        main()
