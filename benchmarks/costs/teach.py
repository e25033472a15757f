"""How long `teach` takes for six actions of five clips each, on real video, and its accuracy on other clips.

    ACTIONPROMPT_REAL_DATA=DIR python benchmarks/costs/teach.py --out results/costs/teach.json

UT-Interaction, set 1: the first five clips of every class are taught, those of later sequences are tested. The
backbones are the embedded tiny CLIP, and ViT-B/32 and ViT-B/16 with random weights, whose accuracy means nothing. Wall
time and processor time on all cores: encoding (decoding and image tower, once per clip), then training, which includes
the cross-validation for accuracy, learning curve and rejection threshold. `ratio` is all of it relative to encoding; it
is to be at most 2 with the backbones that people use.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from actionprompt import datasets, prediction, records
from actionprompt.apps.teach import teach

NUM_CLIPS = 5


def measure(backbone: str, root: Path, folder: Path) -> dict[str, Any]:
    ut = datasets.get("ut_interaction")
    taught: dict[str, list[Path]] = {name: [] for name in ut.load(root, split=1, part="test").class_names}
    asked: list[tuple[Path, str]] = []
    for sequence in range(1, 11):
        clips = ut.load(root, split=sequence, part="test")
        for clip in clips.clips:
            name = clips.class_names[clip.label]
            if len(taught[name]) < NUM_CLIPS:
                taught[name].append(clip.path)
            else:
                asked.append((clip.path, name))
    os.environ["ACTIONPROMPT_CACHE"] = str(folder / "cache")  # nothing is encoded yet
    began, cpu = time.perf_counter(), time.process_time()
    result = teach(taught, folder / "model", backbone=backbone, device="cpu")
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    model = prediction.load(result.folder)
    answers = [(model.predict(path), name) for path, name in asked]
    return {
        "clips": sum(map(len, taught.values())),
        "encode_s": round(result.encode_s, 1),
        "train_s": round(result.train_s, 1),
        "wall_s": round(wall, 1),
        "processor_s": round(cpu, 1),
        "ratio": round((result.encode_s + result.train_s) / result.encode_s, 2),
        "held_out_top1": result.held_out.top1 if result.held_out is not None else None,
        "asked_clips": len(asked),
        "asked_top1": round(100 * sum(answer.label == name for answer, name in answers) / len(answers), 1),
        "warnings": list(result.warnings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON record")
    options = parser.parse_args()
    data = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if not data:
        raise SystemExit("set ACTIONPROMPT_REAL_DATA to the folder with videos/ut_interaction")
    root, started, found = Path(data) / "videos" / "ut_interaction" / "set1", time.time(), {}
    for backbone in ("tiny", "random:ViT-B/32", "random:ViT-B/16"):
        with tempfile.TemporaryDirectory() as folder:
            found[backbone] = measure(backbone, root, Path(folder))
        print(backbone, found[backbone], flush=True)
    records.write(options.out, {"benchmark": "teach", **records.provenance(seed=0, started=started), "measured": found})


if __name__ == "__main__":
    main()
