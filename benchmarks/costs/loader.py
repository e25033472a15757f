"""What a training from pixels pays for its clips: where the loader spends the processor, its clips per second, what a
step through the loader costs over one on tensors in memory, and what one loader for all epochs saves.

    ACTIONPROMPT_REAL_DATA=DIR python benchmarks/costs/loader.py --out results/costs/loader.json

Clips: DIR/videos/single_clips, or without real clips drifting texture; as they are, and prepared by the defaults of
`actionprompt prepare`. Everything takes turns within a repetition, and medians are reported.

- `stages`: processor milliseconds per clip in one thread, 8 frames for a model that sees 224 px: scan (where the frames
  are, nothing kept from before), read (decode and shrink), squash, collate, and augment, which runs in the training
  process or on its GPU.
- `loader`: the loader alone, by worker processes: clips per second of the wall clock, and processor milliseconds per
  clip in the training process and in the workers. Clips per second and core are 1000 over their sum.
- `steps`: processor seconds of a step of `train` over those of the same step without reading, stacking and augmenting
  its clips: what it would take with its pixels in memory.
- `epochs`: seconds to load short epochs, one loader for all over one for each, which starts its workers anew.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from actionprompt import data, methods, records, transforms, video
from actionprompt.clips import Clip, ClipList
from actionprompt.config import Augment, DataConfig, Pixels, TrainConfig
from actionprompt.training import Step, train
from actionprompt.video import prepared, scan
from actionprompt.weights import load_clip

SIDE_PX, CONFIG = 224, DataConfig(fit="crop")
STEPS = (("vita_clip", "random:ViT-B/32"), ("vita_clip", "tiny"))
"""Method and backbone: a real one, and the smallest there is, to which a clip costs most."""
BATCH = 6


def sources(folder: Path) -> tuple[list[Path], str]:
    real = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if real:
        return sorted((Path(real) / "videos" / "single_clips").iterdir()), "18 real clips"
    texture = np.kron(np.random.default_rng(0).integers(0, 255, (24, 48, 3), np.uint8), np.ones((30, 30, 1), np.uint8))
    made = [folder / f"{number}.mp4" for number in range(BATCH)]
    for number, path in enumerate(made):
        frames = (texture[at : at + 256, at + number : at + number + 340] for at in range(200))
        video.write_video(path, frames, fps=25, gop=100)
    return made, "generated texture"


def clip_list(paths: list[Path]) -> ClipList:
    names = [f"class number {index}" for index in range(len(paths))]
    return ClipList("clips", tuple(Clip(path.name, path, i) for i, path in enumerate(paths)), tuple(names))


def stages(clips: ClipList, epoch: int) -> dict[str, float]:
    """Processor milliseconds per clip."""
    seconds: dict[str, float] = {}
    pixels, side_px = Pixels(), data.train_side(SIDE_PX)
    dataset = data.VideoDataset(clips.clips, CONFIG, side_px=SIDE_PX, training=True, pixels=pixels)

    def timed(name: str, run: Callable[[], Any]) -> Any:
        began = time.thread_time()
        made = run()
        seconds[name] = seconds.get(name, 0.0) + time.thread_time() - began
        return made

    for number, clip in enumerate(clips.clips):
        scan.cached.cache_clear()
        position = (epoch, number)
        timed("scan", partial(video.count_frames, clip.path))
        sample = dataset[position]
        assert isinstance(sample, data.Sample)
        frames = timed("read", partial(video.read_frames, clip.path, sample.indices.ravel(), short_side_px=side_px))
        timed("squash", partial(transforms.squash, frames, side_px=side_px, fit=CONFIG.fit))
        batch = timed("collate", partial(data.collate, [sample]))
        rngs = [data.clip_rng(0, position, "augment")]
        augment = partial(transforms.augment, side_px=SIDE_PX, mean=pixels.mean, std=pixels.std, rngs=rngs)
        timed("augment", partial(augment, batch.video[:, 0], batch.aspect, Augment()))
    return {name: 1e3 * spent / len(clips.clips) for name, spent in seconds.items()}


def used_s() -> tuple[float, float, float]:
    """Of this process, of its children that have ended, and of the clock on the wall."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system, time.perf_counter()


def loader_alone(clips: ClipList, num_workers: int, epochs: int) -> dict[str, float]:
    dataset = data.VideoDataset(clips.clips, CONFIG, side_px=SIDE_PX, training=True, pixels=Pixels())
    names = chain.from_iterable(data.epoch_batches(len(clips.clips), BATCH, epoch=e, seed=0) for e in range(epochs))
    scan.cached.cache_clear()
    before = used_s()
    num_clips = sum(len(batch.key) for batch in data.loader(dataset, names, num_workers=num_workers))
    own, workers, wall = (after - then for after, then in zip(used_s(), before))
    return {
        "clips_per_s": num_clips / wall,
        "own_ms": 1e3 * own / num_clips,
        "workers_ms": 1e3 * workers / num_clips,
    }


def through_loader(clips: ClipList, method_name: str, backbone: str, number: int) -> list[tuple[float, float]]:
    """Processor seconds of each step of `train` but the first, and what is left of them without reading, stacking and
    augmenting the clips. It decodes in its own process, so that its seconds are all there are."""
    method = methods.build(method_name, load_clip(backbone), clips.class_names)
    marks: list[tuple[float, float]] = []
    pixels_s = 0.0

    def counted(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal pixels_s
            began = time.process_time()
            made = run(*args, **options)
            pixels_s += time.process_time() - began
            return made

        return call

    def note(step: Step) -> None:
        marks.append((time.process_time(), pixels_s))
        if step.step == number + 1:
            raise KeyboardInterrupt

    config = TrainConfig(epochs=1000, batch_size=BATCH, lr=1e-6, num_workers=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.suppress(KeyboardInterrupt),
        mock.patch.object(data.VideoDataset, "__getitem__", counted(data.VideoDataset.__getitem__)),
        mock.patch.object(data, "collate", counted(data.collate)),
        mock.patch.object(transforms, "augment", counted(transforms.augment)),
    ):
        train(
            method, clips, Path(folder) / "run", config=config, data_config=CONFIG, device="cpu", cache=False,
            on_step=note,
        )  # fmt: skip
    return [(after[0] - then[0], after[0] - then[0] - after[1] + then[1]) for then, after in pairwise(marks)]


def short_epochs(clips: ClipList, epochs: int, *, one: bool) -> float:
    """Seconds of the wall clock."""
    dataset = data.VideoDataset(clips.clips, CONFIG, side_px=SIDE_PX, training=True, pixels=Pixels())
    batches = [data.epoch_batches(len(clips.clips), BATCH, epoch=epoch, seed=0) for epoch in range(epochs)]
    began = time.perf_counter()
    for part in [list(chain.from_iterable(batches))] if one else batches:
        for _ in data.loader(dataset, part, num_workers=2):
            pass
    return time.perf_counter() - began


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed")
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    started = time.time()
    torch.set_num_threads(1)  # processor seconds then do not depend on what threads wait for
    with tempfile.TemporaryDirectory() as place:
        originals, what = sources(Path(place))
        originals, copies = originals[:: options.every], Path(place) / "prepared"
        size = min(BATCH, len(originals))
        originals = originals[: len(originals) // size * size]  # so that every batch is full
        copies.mkdir()
        for path in originals:
            prepared.reencode(path, copies / path.name, prepared.Encoding())
        kinds = {"original": clip_list(originals), "prepared": clip_list([copies / path.name for path in originals])}
        record = {
            **records.provenance(seed=0, started=started),
            "benchmark": "loader",
            "clips": what,
            **measured(kinds, options.repeats, options.steps),
        }
    record["hours"] = round((time.time() - started) / 3600, 4)
    if options.out:
        records.write(options.out, record)
    for name in ("stages", "loader", "steps", "epochs"):
        for row in record[name]:
            print(name, row)


def measured(kinds: dict[str, ClipList], repeats: int, num_steps: int) -> dict[str, Any]:
    stage_rows: dict[str, list] = {kind: [] for kind in kinds}
    alone: dict[tuple[str, int], list] = {(kind, workers): [] for kind in kinds for workers in (0, 1, 2)}
    border: list[float] = []
    for repeat in range(repeats + 1):  # the first one warms up
        for kind, clips in kinds.items():
            stage_rows[kind].append(stages(clips, repeat))
    for _ in range(repeats):
        for (kind, workers), rows in alone.items():
            rows.append(loader_alone(kinds[kind], workers, 2))
        clips = kinds["prepared"]
        border.append(short_epochs(clips, 5, one=False) / short_epochs(clips, 5, one=True))
    steps = []
    size = min(BATCH, len(kinds["original"].clips))
    for method, backbone in STEPS:
        for kind, clips in kinds.items():
            spent = through_loader(clips, method, backbone, num_steps * (1 if backbone != "tiny" else 4))
            all_s, left_s = (statistics.median(column) for column in zip(*spent))
            ratio = statistics.median(whole / left for whole, left in spent)
            steps.append(
                {"method": method, "backbone": backbone, "batch": size, "clips": kind, "seconds": round(all_s, 4)}
                | {"in_memory_seconds": round(left_s, 4), "ratio": round(ratio, 3)}
                | {"pixels_ms_per_clip": round(1e3 * (all_s - left_s) / size, 2)}
            )
    return {
        "repeats": repeats,
        "stages": [{"clips": kind, **shares(medians(rows[1:]))} for kind, rows in stage_rows.items()],
        "loader": [
            {"clips": kind, "workers": workers, **per_core(medians(rows))} for (kind, workers), rows in alone.items()
        ],
        "steps": steps,
        "epochs": [
            {
                "what": "a loader for each of 5 epochs over one for all",
                "clips_per_epoch": len(kinds["prepared"].clips),
                "ratio": round(statistics.median(border), 3),
                "ratios": [round(ratio, 3) for ratio in border],
            }
        ],
    }


def shares(row: dict[str, float]) -> dict[str, float]:
    total = sum(row.values())
    return {
        **{f"{name}_ms": spent for name, spent in row.items()},
        "all_ms": round(total, 3),
        "read_share": round(row["read"] / total, 3),
        "clips_per_s_per_core": round(1e3 / total, 2),
    }


def per_core(row: dict[str, float]) -> dict[str, float]:
    return {**row, "clips_per_s_per_core": round(1e3 / (row["own_ms"] + row["workers_ms"]), 2)}


if __name__ == "__main__":
    main()
