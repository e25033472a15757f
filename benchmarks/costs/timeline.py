"""What a timeline of an hour of 720p costs: time relative to decoding the file alone plus the image tower alone on the
same frames, and peak memory, which is to be that of ten minutes. Each part runs in a process of its own, one after the
other, in one call.

    python benchmarks/costs/timeline.py [--backbone random:ViT-B/32] [--minutes 10 60]

The video is H.264 at 25 frames per second, made of half a minute of drifting texture under noise, whose packets are
repeated: what is decoded is an hour long, what is encoded only once.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from actionprompt import records, video, zero_shot
from actionprompt.apps import timeline as engine

FPS, HEIGHT_PX, WIDTH_PX, PART_S = 25, 720, 1280, 30
LABELS = ("waving a hand", "running", "reading a book", "opening a door", "playing the guitar")


def draw(path: Path) -> None:
    """Half a minute of drifting texture with noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (24, 48, 3), np.uint8)
    texture = np.kron(coarse, np.ones((60, 60, 1), np.uint8))

    def frames():
        for number in range(PART_S * FPS):
            top, left = number % (texture.shape[0] - HEIGHT_PX), 2 * number % (texture.shape[1] - WIDTH_PX)
            noise = rng.integers(0, 24, (HEIGHT_PX, WIDTH_PX, 1), np.uint8)
            yield np.minimum(texture[top : top + HEIGHT_PX, left : left + WIDTH_PX], 231) + noise

    video.write_video(path, frames(), FPS, qp=30, gop=50)


def repeat(source: Path, path: Path, minutes: int) -> None:
    """The packets of a video, over and over, with times that run on."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        length = round(PART_S / stream.time_base)
        for turn in range(minutes * 60 // PART_S):
            old.seek(0)
            for packet in old.demux(stream):
                if packet.size:
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = copy
                    new.mux(packet)


def decode(path: Path, backbone: str) -> dict[str, Any]:
    """Every frame decoded, none converted."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", 4
        return {"frames": sum(1 for _ in container.decode(stream))}


def encode(path: Path, backbone: str) -> dict[str, Any]:
    """The image tower on as many frames as the timeline encodes, in the same batches."""
    predictor = zero_shot(LABELS, backbone=backbone)
    _, times = engine.plan(video.Stream(path), predictor.config, engine.WINDOW_S, engine.HOP_S)
    num_frames, side_px = len(np.unique(times.round(6))), predictor.method.frame_shape[-1]
    frames = torch.randint(0, 255, (1, engine.FRAMES_AT_ONCE, 3, side_px, side_px), dtype=torch.uint8)
    with torch.no_grad():
        for start in range(0, num_frames, engine.FRAMES_AT_ONCE):
            predictor.method.encode(predictor.method.normalise(frames[:, : num_frames - start]))
    return {"frames": num_frames}


def whole(path: Path, backbone: str) -> dict[str, Any]:
    """The timeline."""
    found = engine.timeline(zero_shot(LABELS, backbone=backbone), path)
    return {"windows": len(found.windows), "duration_s": round(found.duration_s, 3)}


def in_a_process(work: Callable[[Path, str], dict[str, Any]], path: Path, backbone: str) -> dict[str, Any]:
    """What `work` says, with its seconds (by the clock, and of the processors) and its peak memory."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_measured, args=(work, path, backbone, theirs))
    process.start()
    theirs.close()
    found = mine.recv()
    process.join()
    return found


def _measured(work: Callable[[Path, str], dict[str, Any]], path: Path, backbone: str, pipe: Any) -> None:
    zero_shot(LABELS, backbone="tiny")  # imports are no part of it
    began, cpu = time.perf_counter(), time.process_time()
    found = work(path, backbone)
    found |= {"seconds": round(time.perf_counter() - began, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(found | {"peak_mb": round(peak / 2**20)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="random:ViT-B/32")
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--out", type=Path, default=Path("results/costs/timeline.json"))
    args = parser.parse_args()
    started = time.time()
    lengths: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        part = Path(folder, "part.mp4")
        draw(part)
        for minutes in args.minutes:
            path = Path(folder, f"{minutes}.mp4")
            repeat(part, path, minutes)
            parts = {work.__name__: in_a_process(work, path, args.backbone) for work in (decode, encode, whole)}
            alone = parts["decode"], parts["encode"]
            lengths[str(minutes)] = {
                **parts,
                "ratio": round(parts["whole"]["seconds"] / sum(part["seconds"] for part in alone), 3),
                "cpu_ratio": round(parts["whole"]["cpu_seconds"] / sum(part["cpu_seconds"] for part in alone), 3),
            }
            path.unlink()
            print(json.dumps({minutes: lengths[str(minutes)]}, indent=1), flush=True)
    record = {
        **records.provenance(seed=0, started=started),
        "what": "timeline of 720p H.264, 25 frames per second, relative to decoding alone plus the image tower alone",
        "backbone": args.backbone,
        "limit": 1.15,
        "minutes": lengths,
    }
    records.write(args.out, record)


if __name__ == "__main__":
    main()
