"""What `prepare` gives and takes: processor time of reading 8 random frames of a clip before over after, bytes after
over before, PSNR and predictions, for several distances of key frames and qualities.

    ACTIONPROMPT_REAL_DATA=DIR python benchmarks/costs/prepare.py --out results/costs/prepare.json

Clips: DIR/videos/single_clips, or without real clips drifting texture in three codecs. Reading is that of training
(short side 256) with nothing kept from an earlier call: count the frames, sample one in each of 8 segments, return
them. Original and copy take turns within a repetition, so that load on a shared machine slows both; medians of the
repetitions. PSNR is that of 8 frames spread over the clip, compared with the decoded original shrunk to the size of
the copy by Pillow's bicubic. Predictions: the cosine of clip embeddings of original and copy (ViT-B/32 with random
weights), and the accuracy of `tiny` on the test clips of ActionWorld, original and prepared by the defaults.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from actionprompt import datasets, features, prediction, records, sampling, video
from actionprompt.apps import prepare as app
from actionprompt.clips import Clip
from actionprompt.video import prepared, scan
from actionprompt.video.prepared import Encoding

NUM_FRAMES, SIDE_PX = 8, 256
SETTINGS = [*(Encoding(gop=gop) for gop in (1, 2, 8, 12)), Encoding(crf=23), Encoding()]
"""The default last: its copies are then those that models are asked about."""


def clips_of(folder: Path, every: int) -> tuple[list[Path], str]:
    """The real clips, or generated ones."""
    data = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if data:
        with (Path(data) / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
            names = sorted(
                row["file"] for row in csv.DictReader(file) if row["file"].startswith("videos/single_clips/")
            )
        return [Path(data) / name for name in names][::every], "real clips of HMDB-51, UCF-101, Kinetics-400 and others"
    texture = np.kron(np.random.default_rng(0).integers(0, 255, (24, 48, 3), np.uint8), np.ones((60, 60, 1), np.uint8))
    kinds = (("a.mp4", "libx264", 720, 1280), ("b.avi", "mpeg4", 240, 320), ("c.webm", "libvpx-vp9", 360, 640))
    for name, codec, height_px, width_px in kinds:
        with av.open(str(folder / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            for number in range(200):
                pixels = texture[number : number + height_px, 2 * number : 2 * number + width_px]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            container.mux(stream.encode(None))
    return [folder / name for name, *_ in kinds], "generated texture"


def read(path: Path, seed: int) -> float:
    """Processor seconds of reading a clip once."""
    scan.cached.cache_clear()
    start = time.process_time()
    indices = sampling.segment(video.count_frames(path), NUM_FRAMES, rng=np.random.default_rng(seed))[0]
    video.read_frames(path, indices, short_side_px=SIDE_PX)
    return time.process_time() - start


def psnr(original: Path, copy: Path) -> float:
    indices = sampling.segment(video.count_frames(copy), NUM_FRAMES)[0]
    found = video.read_frames(copy, indices)
    errors = []
    for one, whole in zip(found, video.read_frames(original, indices), strict=True):
        small = Image.fromarray(whole).resize(one.shape[1::-1], Image.Resampling.BICUBIC)
        errors.append(((one.astype(np.float64) - np.asarray(small)) ** 2).mean())
    return float(10 * np.log10(255**2 / np.mean(errors)))


def measure(clips: list[Path], encoding: Encoding, folder: Path, repeats: int) -> dict[str, Any]:
    before, after, quality = [], [], []
    bytes_before = bytes_after = 0
    start = time.process_time()
    copies = [folder / f"{place}" for place in range(len(clips))]
    for clip, copy in zip(clips, copies, strict=True):
        prepared.reencode(clip, copy, encoding)
    encode_s = time.process_time() - start
    for clip, copy in zip(clips, copies, strict=True):
        times = [(read(clip, seed), read(copy, seed)) for seed in range(repeats)]
        before.append(statistics.median(one for one, _ in times))
        after.append(statistics.median(other for _, other in times))
        quality.append(psnr(clip, copy))
        bytes_before, bytes_after = bytes_before + clip.stat().st_size, bytes_after + copy.stat().st_size
    return {
        "reading before / after, all clips": round(sum(before) / sum(after), 2),
        "median clip": round(float(np.median(np.divide(before, after))), 2),
        "bytes after / before": round(bytes_after / bytes_before, 2),
        "psnr dB": round(statistics.mean(quality), 1),
        "lowest psnr dB": round(min(quality), 1),
        "preparing, readings of the original": round(encode_s / sum(before), 1),
    }


def embeddings(clips: list[Path]) -> torch.Tensor:
    """The mean of the frames' embeddings, by clip."""
    model = prediction.zero_shot(["waving", "running"], backbone="random:ViT-B/32")
    listed = [Clip(str(path), path, 0) for path in clips]
    encoded = features.encode_clips(model.method, listed, model.config, num_workers=0)
    return torch.nn.functional.normalize(torch.cat([one.features.mean(1) for one in encoded]), dim=-1)


def predictions(clips: list[Path], folder: Path) -> dict[str, Any]:
    """What models say of originals and of the copies that lie in the folder."""
    copies = [folder / f"{place}" for place in range(len(clips))]
    cosine = (embeddings(clips) * embeddings(copies)).sum(1)
    world = datasets.get("actionworld").load(part="test", size="mini")
    root = folder / "world"
    root.mkdir()
    for place, clip in enumerate(world.clips):
        (root / f"{place}.mp4").symlink_to(clip.path)
    app.prepare(root, folder / "prepared", Encoding())
    model = prediction.zero_shot(list(world.class_names), backbone="tiny")
    names = [f"{place}.mp4" for place in range(len(world.clips))]
    answers = [
        [answer for _, answer in model.predict_all([place / name for name in names], top=None, num_workers=0)]
        for place in (root, folder / "prepared")
    ]
    labels = [world.class_names[clip.label] for clip in world.clips]
    right = [
        100 * statistics.mean(one.label == label for one, label in zip(part, labels, strict=True)) for part in answers
    ]
    pairs = list(zip(*answers, strict=True))
    return {
        "cosine of embeddings": round(float(cosine.mean()), 6),
        "lowest cosine": round(float(cosine.min()), 6),
        "clips of ActionWorld": len(names),
        "accuracy, original": round(float(right[0]), 1),
        "accuracy, prepared": round(float(right[1]), 1),
        "same label": round(100 * statistics.mean(one.label == other.label for one, other in pairs), 1),
        "mean change of the top score": round(statistics.mean(abs(one.score - other.score) for one, other in pairs), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    started = time.time()
    torch.set_num_threads(1)
    av.logging.set_level(av.logging.PANIC)
    with tempfile.TemporaryDirectory() as folder:
        clips, what = clips_of(Path(folder), options.every)
        print(f"{len(clips)} clips: {what}")
        found = {}
        for encoding in SETTINGS:
            name = f"gop {encoding.gop}, crf {encoding.crf}" + (" (default)" if encoding == Encoding() else "")
            found[name] = measure(clips, encoding, Path(folder), options.repeats)
            print(name, found[name], flush=True)
        said = predictions(clips, Path(folder))
        print(said)
    if options.out:
        record = {"benchmark": "prepare", **records.provenance(seed=0, started=started), "clips": len(clips),
                  "source": what, "settings": found, "predictions": said}  # fmt: skip
        records.write(options.out, record)


if __name__ == "__main__":
    main()
