"""What an exported graph answers and costs, next to the model that it comes from.

    python benchmarks/costs/export.py [--size mini] [--large random:ViT-B/16] [--out results/costs/export.json]

`answers`: ActionWorld, split 1, with the embedded model: zero-shot, a temporal head trained on cached features, and
vita_clip, whose prompts run through every layer, both trained on the 144 clips of `train` (mini). Every test clip goes
through the model, its graph in float32 and its graph in int8: accuracy in percent, the largest difference of a
probability from the model's, and the share of clips that get the same label, in percent. `costs`, for the embedded and
a large backbone: seconds to export, MB, seconds to load the graph, and the processor time of one clip of 8 frames
relative to the model's, in torch, alternating in one run, with one thread. `real`: the largest difference on real clips
with the large backbone, if ACTIONPROMPT_REAL_DATA names their folder. Its towers are random and find all frames alike,
so the scale of the logits is e^3, with which all labels stay probable.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actionprompt import methods, prediction, records, training
from actionprompt.apps.export import GRAPH, export, session
from actionprompt.clips import Clip
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.data import Sample, VideoDataset
from actionprompt.datasets import actionworld
from actionprompt.prediction import Predictor
from actionprompt.weights import load_clip

TRAINED = {"zeroshot, transformer": ("zeroshot", "transformer", 1e-3, 30), "vita_clip": ("vita_clip", None, 1e-3, None)}
"""Method, variant, learning rate and epochs; None: --epochs."""
LABELS = tuple(
    f"{verb} {thing}" for verb in ("holding", "throwing", "lifting") for thing in ("a ball", "a box", "a cup")
)


def stored_frames(model: Predictor, clips: list[Clip]) -> np.ndarray:
    """What the graph takes of each clip [N, V, T, C, S, S]."""
    method = model.method
    data = VideoDataset(
        clips, model.config, side_px=method.frame_shape[-1], training=False, pixels=method.clip.pixels
    )  # fmt: skip
    samples = [data[0, index] for index in range(len(clips))]
    return np.stack([sample.video for sample in samples if isinstance(sample, Sample)])


@torch.no_grad()
def by_model(model: Predictor, video: np.ndarray) -> np.ndarray:
    method = model.method
    return model.of_clips(method.encode(method.normalise(torch.from_numpy(video).flatten(0, 1)))).numpy()


def in_parts(run: Any, video: np.ndarray) -> np.ndarray:
    return np.concatenate([run(video[start : start + 8]) for start in range(0, len(video), 8)])


def answers(model: Predictor, video: np.ndarray, labels: np.ndarray, folder: Path) -> dict[str, Any]:
    own = in_parts(lambda part: by_model(model, part), video)
    row: dict[str, Any] = {"clips": len(video), "model, top-1": top1(own, labels)}
    for precision in ("float32", "int8"):
        export(model, folder / precision, int8=precision == "int8")
        got = in_parts(session(folder / precision / GRAPH), video)
        row[precision] = {
            "top-1": top1(got, labels),
            "most apart": float(f"{np.abs(got - own).max():.2g}"),
            "same label": round(100 * float((got.argmax(1) == own.argmax(1)).mean()), 1),
        }
    return row


def top1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return round(100 * float((probabilities.argmax(1) == labels).mean()), 1)


def costs(model: Predictor, folder: Path, repeats: int) -> dict[str, Any]:
    method, rng = model.method, np.random.default_rng(0)
    video = rng.integers(0, 256, (1, 1, model.config.num_frames, *method.frame_shape), dtype=np.uint8)
    runs: dict[str, Any] = {"model": lambda: by_model(model, video)}
    row: dict[str, Any] = {}
    for precision in ("float32", "int8"):
        began = time.perf_counter()
        written = export(model, folder / precision, int8=precision == "int8")
        exported_s, began = time.perf_counter() - began, time.perf_counter()
        run = session(folder / precision / GRAPH)
        loaded_s = time.perf_counter() - began
        row[precision] = {
            "MB": round(written.size / 1e6, 1), "export s": round(exported_s, 1), "load s": round(loaded_s, 2),
        }  # fmt: skip
        runs[precision] = lambda run=run: run(video)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, once in runs.items():
            began = time.process_time()  # of all threads
            once()
            if repeat:  # the first repetition is the warm-up
                seconds[name].append(time.process_time() - began)
    for precision in ("float32", "int8"):
        ratios = [graph / own for graph, own in zip(seconds[precision], seconds["model"])]
        row[precision] |= {"time ÷ model": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios]}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", default="random:ViT-B/16")
    parser.add_argument("--size", default="mini", help="of the test clips of ActionWorld")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/costs/export.json"))
    options = parser.parse_args()
    started, found = time.time(), {"answers": {}, "costs": {}}
    with tempfile.TemporaryDirectory() as name:
        folder, config = Path(name), DataConfig()
        train = actionworld.load(size="mini", split=1, part="train")
        test = actionworld.load(size=options.size, split=1, part="test")
        models = {"zeroshot": methods.build("zeroshot", load_clip("tiny"), test.class_names, test.class_names_zh)}
        for title, (method, variant, lr, epochs) in TRAINED.items():
            own = methods.get(method).VARIANTS[variant] if variant else None
            models[title] = methods.build(
                method, load_clip("tiny"), test.class_names, test.class_names_zh, config=own
            )  # fmt: skip
            how = TrainConfig(epochs=epochs or options.epochs, lr=lr, batch_size=16, warmup_epochs=1, num_workers=0)
            training.train(models[title], train, folder / method, config=how, data_config=config, device="cpu")
        video: np.ndarray | None = None
        for title, model in models.items():
            predictor = Predictor(model, config, device="cpu")
            video = stored_frames(predictor, list(test.clips)) if video is None else video
            labels = np.array([clip.label for clip in test.clips])
            found["answers"][title] = answers(predictor, video, labels, folder / f"{title} graph")
            print(title, found["answers"][title], flush=True)
        torch.set_num_threads(1)
        for backbone in ("tiny", options.large):
            predictor = prediction.zero_shot(LABELS, backbone=backbone, config=config, device="cpu")
            if backbone.startswith("random:"):
                predictor.method.clip.logit_scale.data.fill_(3.0)
            place = folder / backbone.replace("/", "-").replace(":", "-")
            found["costs"][backbone] = costs(predictor, place, options.repeats)
            print(backbone, found["costs"][backbone], flush=True)
        if data := os.environ.get("ACTIONPROMPT_REAL_DATA"):
            paths = sorted((Path(data) / "videos" / "single_clips").glob("*.mp4"))[:8]
            video = stored_frames(predictor, [Clip(path.name, path, 0) for path in paths])
            own, found["real"] = in_parts(lambda part: by_model(predictor, part), video), {}
            for precision in ("float32", "int8"):
                apart = np.abs(in_parts(session(place / precision / GRAPH), video) - own).max()
                found["real"][precision] = {"clips": len(video), "most apart": float(f"{apart:.2g}")}
            print(found["real"], flush=True)
    records.write(options.out, {"benchmark": "export", **records.provenance(seed=0, started=started), **found})


if __name__ == "__main__":
    main()
