"""A training set of the size of Kinetics-400: what its list and its cached features cost before the first batch.

    python benchmarks/costs/kinetics_size.py [--clips 240000] [--out results/costs/kinetics_size.json]

The clips are empty files behind an official list, and their features generated: 8 frames of 512 numbers each. Every row
of the table is a process of its own. `one file per clip` is what the cache was before: each file read, its SHA-256
checked, all stacked in memory. `start` is from the list to the first batch of 32 features, checksums verified;
`private` is the memory that the process has for itself at its peak, and `mapped` what else of its files it maps, which
the system takes back when others need it. `epoch` gathers all batches of 32 of an epoch, after the start has read every
file. The folder takes 15 GB for 240,000 clips, and the files are not read from a cold disk.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actionprompt import data, features, methods, records
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig
from actionprompt.datasets import kinetics400, read_labels
from actionprompt.features import Encoded
from actionprompt.weights import load_clip

SHAPE = (8, 512)
BATCH, ENCODED_AT_ONCE = 32, 256
CONFIG = DataConfig(num_frames=SHAPE[0])


def make_clips(root: Path, number: int) -> None:
    """An official list, and an empty file for every clip of it."""
    names = read_labels("kinetics400").source
    rows = [(names[i % len(names)], f"{i:011}", i % 300) for i in range(number)]
    (root / "annotations").mkdir(parents=True)
    lines = [f"{name},{key},{start_s},{start_s + 10},train" for name, key, start_s in rows]
    head = "label,youtube_id,time_start,time_end,split"
    (root / "annotations" / "train.csv").write_text("\n".join([head, *lines]) + "\n")
    for name in names:
        (root / "train" / name).mkdir(parents=True)
    for name, key, start_s in rows:
        os.close(os.open(root / "train" / name / f"{key}_{start_s:06}_{start_s + 10:06}.mp4", os.O_CREAT))


def generated(index: Any) -> np.ndarray:
    """The features of some clips, other numbers for each."""
    base = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return base + np.asarray(index, np.float32)[:, None, None] / 1000


def generate(method: Any, clips: Any, config: Any, *, only: list[int], batch_size: int, **_: Any) -> Iterator[Encoded]:
    """In place of `features.encode_clips`, which decodes."""
    for start in range(0, len(only), batch_size):
        part = only[start : start + batch_size]
        yield Encoded(tuple(part), torch.from_numpy(generated(part)), ((),) * len(part), ())


# One file per clip ----------------------------------------------------------------------------------------------------


def file_of(folder: Path, clip: Clip) -> Path:
    status = clip.path.stat()
    text = json.dumps([[os.path.realpath(clip.path), status.st_size, status.st_mtime_ns]])
    key = hashlib.sha256(text.encode()).hexdigest()
    return folder / key[:2] / f"{key}.features"


def write_files(folder: Path, clips: ClipList) -> None:
    for index, clip in enumerate(clips.clips):
        path, content = file_of(folder, clip), io.BytesIO()
        np.save(content, generated([index]))
        checksum = hashlib.sha256(path.name.encode() + content.getvalue()).digest()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(checksum + content.getvalue())
        temporary.replace(path)


def read_files(folder: Path, clips: ClipList) -> torch.Tensor:
    found = []
    for path in [file_of(folder, clip) for clip in clips.clips]:
        content = path.read_bytes()
        if content[:32] != hashlib.sha256(path.name.encode() + content[32:]).digest():
            raise ValueError(f"{path} is damaged")
        found.append(torch.from_numpy(np.load(io.BytesIO(content[32:]))))
    return torch.stack(found)


# Measured, each in a process of its own -------------------------------------------------------------------------------


class Memory:
    """The peak of what this process has for itself and of what it maps of files, in bytes, by looking often."""

    def __init__(self) -> None:
        self.private, self.mapped, self._ended = 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            held = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
            self.private = max(self.private, held["RssAnon:"])
            self.mapped = max(self.mapped, held["RssFile:"] + held["RssShmem:"])

    def end(self) -> dict[str, float]:
        self._ended.set()
        self._thread.join()
        return {"private_gb": round(self.private / 1e9, 3), "mapped_gb": round(self.mapped / 1e9, 3)}


def cached(clips: ClipList, cache: Path, dtype: Any, share: tuple[int, int] = (0, 1)) -> features.CachedFeatures:
    method = methods.build("zeroshot", load_clip("random:nano"), clips.class_names)
    return features.cached(
        method, clips.clips, CONFIG, root=cache, dtype=dtype, share=share, batch_size=ENCODED_AT_ONCE
    )


def measure(what: str, folder: Path, dtype: Any, share: tuple[int, int]) -> dict[str, Any]:
    torch.set_num_threads(1)
    features.encode_clips = generate  # type: ignore[assignment]
    load_clip("random:nano")
    memory = Memory()
    began, processor_s = time.perf_counter(), time.process_time()
    clips = kinetics400.load(folder / "clips")
    result: dict[str, Any] = {"list_s": round(time.perf_counter() - began, 2)}
    if what == "fill":
        cached(clips, folder / dtype, dtype, share)
    elif what == "fill files":
        write_files(folder / "files", clips)
    elif what in ("start", "start files"):
        order = data.epoch_batches(len(clips.clips), BATCH, epoch=0, seed=0)
        if what == "start":
            stored = cached(clips, folder / dtype, dtype)
            assert stored.num_encoded == 0
            rows: Any = stored.features
        else:
            rows = read_files(folder / "files", clips)
        batches = [torch.tensor([index for _, index in batch]) for batch in order]
        expected = generated(batches[0].tolist()).astype(dtype).astype(np.float32)[:, None]
        assert np.array_equal(rows[batches[0]].numpy(), expected)
        result["start_s"] = round(time.perf_counter() - began, 2)
        result["start_processor_s"] = round(time.process_time() - processor_s, 2)
        result |= memory.end()
        now = time.perf_counter()
        for batch in batches:
            rows[batch]
        result["epoch_s"] = round(time.perf_counter() - now, 2)
        return result
    return {**result, "seconds": round(time.perf_counter() - began, 2), **memory.end()}


def in_process(what: str, folder: Path, dtype: str = "float32", share: tuple[int, int] = (0, 1)) -> subprocess.Popen:
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder), "--dtype", dtype]
    return subprocess.Popen([*command, "--share", *map(str, share)], stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen) -> dict[str, Any]:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(process.args)} ended with {process.returncode}")
    return json.loads(said.splitlines()[-1])


def size(folder: Path) -> dict[str, Any]:
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return {"files": len(found), "gb": round(sum(entry.st_blocks for entry in found) * 512 / 1e9, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=240_000)
    parser.add_argument("--in", dest="place", type=Path, help="where the 15 GB go; default: the temporary folder")
    parser.add_argument("--out", type=Path, default=Path("results/costs/kinetics_size.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dtype", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder, options.dtype, tuple(options.share))))
        return
    started = time.time()
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        folder, found = Path(place), {}
        make_clips(folder / "clips", options.clips)
        found["one file per clip"] = {"fill": answer(in_process("fill files", folder))}
        found["one file per clip"] |= {"start": answer(in_process("start files", folder)), **size(folder / "files")}
        for dtype in ("float32", "float16"):
            filling = [in_process("fill", folder, dtype, (rank, 2)) for rank in range(2)]
            filled = {"seconds": max(answer(process)["seconds"] for process in filling), "processes": 2}
            found[f"shards, {dtype}"] = {"fill": filled, "start": answer(in_process("start", folder, dtype))}
            found[f"shards, {dtype}"] |= size(folder / dtype)
            print(json.dumps(found, indent=1), flush=True)
    before, now = found["one file per clip"]["start"], found["shards, float32"]["start"]
    record = {
        "benchmark": "kinetics_size",
        **records.provenance(seed=0, started=started),
        "clips": options.clips,
        "shape": list(SHAPE),
        "measured": found,
        "ratios": {
            "start": round(before["start_s"] / now["start_s"], 1),
            "private memory": round(before["private_gb"] / now["private_gb"], 1),
        },
    }
    records.write(options.out, record)


if __name__ == "__main__":
    main()
