"""What `actionprompt tag` costs per row, and rows per second of its engines: local, and Ray with one and two actors.
From the costs of a row, the arithmetic for lists of 10^6, 10^8 and 10^10 videos (docs/how_to/scale.md).

    python benchmarks/costs/tag.py [--backbone random:ViT-B/32] [--rows 32]

The videos are the real clips of ACTIONPROMPT_REAL_DATA, or generated ones of ActionWorld. Costs of a row are processor
time in one thread. Rates are elapsed time from the first answer of every actor to the last one, on all cores: starting
is not in them. Memory and time of a list of a million rows are those of a process of its own.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from actionprompt import records, zero_shot
from actionprompt.apps import tag as engine
from actionprompt.apps.tag import cluster, local, work
from actionprompt.clips import find_videos
from actionprompt.datasets import actionworld

LABELS = ("waving a hand", "running", "reading a book", "opening a door", "playing the guitar")
NUM_SCORES, WIDTH = 400, 512
"""Of a row that is written: as many labels as Kinetics has, and an embedding of CLIP."""
SIZES = (10**6, 10**8, 10**10)
COSTED = "random:ViT-B/16"
"""The tower whose cost per row is in the arithmetic."""
LIST_ROWS = 10**6


def videos(number: int) -> tuple[str, list[str]]:
    """What they are, and their paths, over and over."""
    root = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if root and Path(root, "videos", "single_clips").is_dir():
        found = [str(path) for path in find_videos([str(Path(root, "videos", "single_clips"))])]
        what = "real clips"
    else:
        found = [str(clip.path) for clip in actionworld.load(size="mini", part="test").clips[:16]]
        what = "clips of ActionWorld"
    return what, [found[index % len(found)] for index in range(number)]


def cost_of_reading(predictor: Any, paths: list[str]) -> dict[str, float]:
    """Per row: processor time from a path to the uint8 frames of the model, and bytes of the file."""
    reader = work.Reader.of(predictor, "/")
    began = time.process_time()
    for path in paths:
        assert isinstance(reader.read(path, (0, 0)), work.Sample), path
    spent_s = time.process_time() - began
    return {
        "processor_ms": round(1e3 * spent_s / len(paths), 2),
        "file_kb": round(sum(Path(path).stat().st_size for path in paths) / len(paths) / 1e3, 1),
    }


def cost_of_tower(predictor: Any, num_rows: int = 2) -> float:
    """Milliseconds of one core per row, in one batch, after another one."""
    tower, (channels, *side_px) = work.Tower(predictor, True), predictor.method.frame_shape
    video = np.random.default_rng(0).integers(0, 256, (num_rows, 1, 8, channels, *side_px), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tower(work.Frames(0, (None,), video[:1]), [""])
    began = time.process_time()
    tower(work.Frames(0, (None,) * num_rows, video), [""] * num_rows)
    spent_s = time.process_time() - began
    torch.set_num_threads(threads)
    return round(1e3 * spent_s / num_rows, 1)


def cost_of_writing(folder: Path, rows: int = 20_000) -> dict[str, float]:
    """What the process that writes does per row, with 400 scores and an embedding: answers that cost nothing."""
    predictor = zero_shot([f"number {n}" for n in range(NUM_SCORES)], backbone="random:nano", device="cpu")
    source = listed(folder / "written.parquet", [f"memory://bucket/videos/{index:012d}.mp4" for index in range(rows)])
    rng, width = np.random.default_rng(0), predictor.method.clip.embed_dim
    scores, halves = rng.random((8, NUM_SCORES), np.float32), rng.standard_normal((8, width)).astype(np.float16)

    def answers(job: work.Job) -> Generator[work.Answers, None, None]:
        for first, stop in job.batches:
            yield work.Answers(first, (None,) * (stop - first), scores[: stop - first], halves[: stop - first])

    began = time.process_time()
    engine.tag(predictor, source, folder / "written", embeddings=True, engine=answers)
    spent_s = time.process_time() - began
    # the scores repeat here, so bytes are those before compression, which does little for scores and embeddings
    plain = 4 * (NUM_SCORES + 1) + 2 * WIDTH + len("memory://bucket/videos/000000000000.mp4")
    return {"processor_ms": round(1e3 * spent_s / rows, 4), "bytes": plain, "rows_per_s": round(rows / spent_s)}


def listed(path: Path, rows: list[str]) -> engine.Source:
    parquet.write_table(pa.table({"path": rows}), path)
    return engine.read(str(path))


def cost_of_list(folder: Path) -> dict[str, Any]:
    """Time and memory of a list of a million addresses, in a process of its own."""
    path = folder / "million.parquet"
    listed(path, [f"memory://bucket/videos/{index:012d}.mp4" for index in range(LIST_ROWS)])
    done = subprocess.run([sys.executable, __file__, "--list", str(path)], capture_output=True, text=True, check=True)
    return {"rows": LIST_ROWS, "bytes": path.stat().st_size, **json.loads(done.stdout)}


def read_list(path: str) -> dict[str, float]:
    """Seconds, and what Arrow holds of it in memory then and at most."""
    began = time.perf_counter()
    source = engine.read(path)
    source.sha256  # noqa: B018
    seconds, most = time.perf_counter() - began, pa.default_memory_pool().max_memory()
    return {
        "seconds": round(seconds, 2), "memory_mb": round(source.rows.nbytes / 1e6, 1),
        "peak_mb": round(most / 1e6, 1),
    }  # fmt: skip


def rate(predictor: Any, source: engine.Source, out: Path, run: Any, actors: int) -> tuple[float, float]:
    """Rows per second after the first answer of every actor, and seconds from the call to the first answer."""
    times, counts = [time.perf_counter()], [0]

    def timed(job: work.Job) -> Generator[work.Answers, None, None]:
        for answer in run(job):
            times.append(time.perf_counter())
            counts.append(len(answer.errors))
            yield answer

    engine.tag(predictor, source, out, part_rows=16, batch_size=4, num_workers=2, engine=timed)
    return sum(counts[actors + 1 :]) / (times[-1] - times[actors]), times[1] - times[0]


def engines(backbone: str, paths: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Rates of the engines, and whether their tables are that of the local one."""
    source = listed(folder / "list.parquet", paths)
    predictor = zero_shot(LABELS, backbone=backbone, device="cpu")
    runs = {
        "local": (local.run, 1),
        "ray, 1 actor": (functools.partial(cluster.run, actors=1), 1),
        "ray, 2 actors": (functools.partial(cluster.run, actors=2), 2),
    }
    found: dict[str, dict[str, Any]] = {}
    tables = {}
    for name, (run, actors) in runs.items():
        rows_per_s, start_s = rate(predictor, source, folder / name, run, actors)
        found[name] = {"rows_per_s": round(rows_per_s, 3), "first_answer_s": round(start_s, 1)}
        tables[name] = parquet.read_table(folder / name)
    scores = {name: np.stack(table["scores"].to_pylist()) for name, table in tables.items()}
    for name, entry in found.items():
        entry["ratio_to_local"] = round(entry["rows_per_s"] / found["local"]["rows_per_s"], 2)
        entry["largest_change_of_a_score"] = float(np.abs(scores[name] - scores["local"]).max())
        entry["same_labels"] = tables[name]["label"] == tables["local"]["label"]
    return found


def scale(read: dict[str, float], tower_ms: float, write: dict[str, float], listed: dict[str, Any]) -> list[dict]:
    """The arithmetic: what so many videos cost, were all as these."""
    return [
        {
            "videos": f"10^{len(str(rows)) - 1}",
            "reading_core_hours": round(rows * read["processor_ms"] / 3.6e6, 1),
            "towers_core_hours": round(rows * tower_ms / 3.6e6),
            "writing_core_hours": round(rows * write["processor_ms"] / 3.6e6, 2),
            "videos_tb": round(rows * read["file_kb"] / 1e9, 2),
            "table_gb": round(rows * write["bytes"] / 1e9, 1),
            "list_in_memory_gb": round(rows * listed["memory_mb"] / listed["rows"] / 1e3, 2),
        }
        for rows in SIZES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="random:ViT-B/32")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("results/costs/tag.json"))
    parser.add_argument("--list", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        print(json.dumps(read_list(args.list)))
        return
    started = time.time()
    what, paths = videos(args.rows)
    costed = zero_shot(LABELS[:2], backbone=COSTED, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read, tower_ms = cost_of_reading(costed, paths), cost_of_tower(costed)
        write, million = cost_of_writing(folder), cost_of_list(folder)
        del costed
        rates = engines(args.backbone, paths, folder)
    record = {
        **records.provenance(seed=0, started=started),
        "what": "tagging: processor time of a row, rows per second of the engines, and what lists of videos cost",
        "backbone": args.backbone,
        "videos": what,
        "rows": args.rows,
        "frames": 8,
        "row": {
            "read, processor ms": read["processor_ms"],
            "file, kB": read["file_kb"],
            f"tower {COSTED}, processor ms": tower_ms,
            "write, processor ms": write["processor_ms"],
            "written, bytes": write["bytes"],
            "rows per second that one process can write": write["rows_per_s"],
        },
        "list": million,
        "engines": rates,
        "scale": scale(read, tower_ms, write, million),
    }
    records.write(args.out, record)
    print(json.dumps({key: record[key] for key in ("videos", "row", "list", "engines", "scale")}, indent=1))


if __name__ == "__main__":
    main()
