"""What the texts of classes cost a process that answers with "none of these", before and after they are on the disk.

    python benchmarks/costs/class_texts.py [--backbone random:ViT-B/16] [--out results/costs/class_texts.json]

Zero-shot recognition of three labels, each time in a process of its own: its text tower encodes the labels and the null
names. The first process begins with an empty cache, the second has the same labels, the third others, the fourth the
labels of the first one and a cache that is empty and cannot be written. Processor time on all cores of making the
predictor, the backbone loaded before; `equal` compares all bits of the class embeddings with those of the first.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from actionprompt import prediction, records
from actionprompt.weights import load_clip

LABELS, OTHERS = ("running", "reading a book", "waving a hand"), ("playing the piano", "cooking soup", "a handstand")


def measure(backbone: str, labels: tuple[str, ...]) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    clip = load_clip(backbone)
    began, processor_s = time.perf_counter(), time.process_time()
    predictor = prediction.zero_shot(labels, backbone=clip, none=True, device="cpu")
    wall_s, processor_s = time.perf_counter() - began, time.process_time() - processor_s
    embeddings: Any = predictor.method.text
    digest = hashlib.sha256(embeddings.contiguous().numpy().tobytes()).hexdigest()
    return {"processor_s": processor_s, "wall_s": wall_s, "embeddings": digest}


def in_process(backbone: str, labels: tuple[str, ...], cache: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--backbone", backbone, "--labels", *labels]
    done = subprocess.run(
        command, env={**os.environ, "ACTIONPROMPT_CACHE": str(cache)}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--out", type=Path, default=Path("results/costs/class_texts.json"))
    parser.add_argument("--labels", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.labels:
        print(json.dumps(measure(options.backbone, tuple(options.labels))))
        return
    started, found = time.time(), {}
    with tempfile.TemporaryDirectory() as folder:
        cache, unwritable = Path(folder, "cache"), Path(folder, "file")
        unwritable.write_text("")
        for name, labels, place in (
            ("empty cache", LABELS, cache), ("the same labels again", LABELS, cache), ("other labels", OTHERS, cache),
            ("no cache", LABELS, unwritable),
        ):  # fmt: skip
            answer = in_process(options.backbone, labels, place)
            equal = answer["embeddings"] == found.get("empty cache", answer)["embeddings"] if labels == LABELS else None
            found[name] = {**answer, "equal": equal}
            print(name, found[name], flush=True)
        num_bytes = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    rows = {
        name: {
            **{key: round(answer[key], 2) for key in ("processor_s", "wall_s")},
            "relative": round(answer["processor_s"] / found["no cache"]["processor_s"], 3),
            "equal": answer["equal"],
        }
        for name, answer in found.items()
    }
    record = {
        "benchmark": "class_texts",
        **records.provenance(seed=0, started=started),
        "backbone": options.backbone,
        "threads": torch.get_num_threads(),
        "measured": rows,
        "cache_kb": round(num_bytes / 1e3),
    }
    records.write(options.out, record)


if __name__ == "__main__":
    main()
