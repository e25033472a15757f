"""Speed of the reader against decord, OpenCV and torchcodec: 16 segment frames, short side 224, of every real clip.

    ACTIONPROMPT_REAL_DATA=DIR python benchmarks/costs/decode.py --out results/costs/decode.json

Every reader does the same job, with nothing kept from an earlier call: open the file, get its frame count, sample the
centres of 16 segments, return these frames as one uint8 RGB array [16, H, W, 3] whose short side is 224 px (smaller
videos keep their size). Ours is the path of `data.VideoDataset`: `video.count_frames`, `sampling.segment`,
`video.read_frames`. The peers are told H and W beforehand, ours finds them. One clip at a time, the readers alternate
within each repetition, so that load on a shared machine slows all of them; only ratios within a clip are reported. The
project does not depend on decord and torchcodec: `pip install decord torchcodec`; torchcodec also needs FFmpeg's shared
libraries. Peers that cannot be imported are named and left out.

Reported: wall time, processor time (what counts with one loader worker per core), and the number of clips where a
reader returned other frames than the 16 centres, compared with plain linear decoding (`wrong_frames`): a reader that
trusts a wrong frame count samples, and returns, wrong frames.
"""

import argparse
import csv
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np

from actionprompt import records, sampling, video
from actionprompt.video import scan

NUM_FRAMES = 16
SIDE_PX = 224


def read_ours(path: str, size_px: tuple[int, int]) -> np.ndarray:
    scan.cached.cache_clear()
    indices = sampling.segment(video.count_frames(path), NUM_FRAMES)[0]
    return video.read_frames(path, indices, short_side_px=SIDE_PX)


def read_decord(path: str, size_px: tuple[int, int]) -> np.ndarray:
    import decord  # type: ignore[import-not-found]

    reader = decord.VideoReader(path, height=size_px[0], width=size_px[1], num_threads=0)
    return reader.get_batch(sampling.segment(len(reader), NUM_FRAMES)[0]).asnumpy()


def read_opencv(path: str, size_px: tuple[int, int]) -> np.ndarray:
    import cv2

    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    indices = sampling.segment(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), NUM_FRAMES)[0].tolist()
    frames: list[np.ndarray] = []
    for index in range(indices[-1] + 1):
        if not capture.grab():
            break
        if index == indices[len(frames)]:
            frame = cv2.resize(capture.retrieve()[1], size_px[::-1], interpolation=cv2.INTER_LINEAR)
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            while len(frames) < NUM_FRAMES and index == indices[len(frames)]:
                frames.append(frame)
    capture.release()
    return np.stack(frames)


def read_torchcodec(path: str, size_px: tuple[int, int]) -> np.ndarray:
    import torch
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    # one thread and torch's own resize: faster here than several threads, and than its transforms=[Resize(size_px)]
    decoder = VideoDecoder(path)
    frames = decoder.get_frames_at(sampling.segment(len(decoder), NUM_FRAMES)[0].tolist()).data
    if frames.shape[2:] != size_px:
        frames = torch.nn.functional.interpolate(frames, size_px, mode="bilinear", antialias=True)
    return frames.permute(0, 2, 3, 1).numpy()


PEERS = {
    "decord": ("decord", read_decord),
    "opencv": ("opencv-python-headless", read_opencv),
    "torchcodec": ("torchcodec", read_torchcodec),
}


def available() -> tuple[dict[str, Callable], dict[str, str]]:
    readers: dict[str, Callable] = {"ours": read_ours}
    absent = {}
    for name, (distribution, reader) in PEERS.items():
        try:
            __import__({"opencv": "cv2", "torchcodec": "torchcodec.decoders"}.get(name, name))
            version(distribution)
            readers[name] = reader
        except Exception as error:  # an import may fail in any way; the record names the reason
            absent[name] = str(error).strip().splitlines()[0]
    return readers, absent


def small_size(info: video.VideoInfo) -> tuple[int, int]:
    scale = min(1.0, SIDE_PX / min(info.height_px, info.width_px))
    return round(info.height_px * scale), round(info.width_px * scale)


def signatures(frames: np.ndarray) -> np.ndarray:
    """Each frame as 16 x 16 mean colours, which hardly change with resizing and colour conversion."""
    num_frames, height, width, _ = frames.shape
    rows, columns = np.arange(16) * height // 16, np.arange(16) * width // 16
    sums = np.add.reduceat(np.add.reduceat(frames.astype(np.float32), rows, 1), columns, 2)
    cells = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    return (sums / cells[:, :, None]).reshape(num_frames, -1)


def wrong_frames(got: np.ndarray, truth: np.ndarray, indices: np.ndarray) -> int:
    """How many frames are clearly more similar to another frame of the video than to the requested one."""
    distance = np.stack([np.abs(truth - one).mean(1) for one in signatures(got)])
    requested = distance[np.arange(len(indices)), indices]
    return int((distance.min(1) < 0.5 * requested).sum() if len(truth) > 1 else 0)


def linear(path: str, size_px: tuple[int, int]) -> np.ndarray:
    """Signatures of all frames by plain linear decoding, rotated as FFmpeg's own tag says."""
    with av.open(path, metadata_errors="replace") as container:
        parts = []
        for frame in container.decode(video=0):
            turned = size_px[::-1] if frame.rotation % 180 else size_px
            rgb = frame.to_ndarray(format="rgb24", width=turned[1], height=turned[0], interpolation="BICUBIC")
            parts.append(signatures(np.rot90(rgb, frame.rotation // 90)[None])[0])
        return np.stack(parts)


def clips_of(data: Path) -> dict[Path, str]:
    """SHA-256 by file, from the manifest."""
    with open(data / "MANIFEST.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {data / row["file"]: row["sha256"] for row in rows if row["file"].startswith("videos/")}


def time_clip(clip: Path, readers: dict[str, Callable], repeats: int) -> dict[str, Any]:
    """Every reader's median times and number of wrong frames for one clip; where it failed, the error instead."""
    info = video.probe(clip)
    size_px = small_size(info)
    truth = linear(str(clip), size_px)
    indices = sampling.segment(len(truth), NUM_FRAMES)[0]
    wall: dict[str, list[float]] = {name: [] for name in readers}
    cpu: dict[str, list[float]] = {name: [] for name in readers}
    wrong: dict[str, int | str] = {}
    names = list(readers)
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            start, start_cpu = time.perf_counter(), time.process_time()
            try:
                got = readers[name](str(clip), size_px)
            except Exception as error:  # a peer that cannot read a clip is a result
                wrong[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:100]}"
                continue
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
            if repeat == 0:
                same_size = got.shape == (NUM_FRAMES, *size_px, 3)
                wrong[name] = wrong_frames(got, truth, indices) if same_size else f"shape {list(got.shape)}"
    return {
        "num_frames": len(truth),
        "size_px": [info.height_px, info.width_px],
        "wall_ms": {name: round(1e3 * statistics.median(times), 2) for name, times in wall.items() if times},
        "cpu_ms": {name: round(1e3 * statistics.median(times), 2) for name, times in cpu.items() if times},
        "wrong_frames": wrong,
    }


def ratios_of(row: dict[str, Any], clock: str) -> dict[str, float]:
    """Times relative to ours."""
    return {name: time_ms / row[clock]["ours"] for name, time_ms in row[clock].items()}


def line_of(row: dict[str, Any]) -> str:
    parts = [f"{row['clip']}: {row['num_frames']} frames of {row['size_px'][0]}x{row['size_px'][1]}"]
    parts.append(f"ours {row['wall_ms']['ours']:.1f} ms, times that:")
    for name, ratio in ratios_of(row, "wall_ms").items():
        if name != "ours":
            parts.append(f"{name} {ratio:.2f} (processor {ratios_of(row, 'cpu_ms')[name]:.2f})")
    bad = {name: fault for name, fault in row["wrong_frames"].items() if fault}
    return "  ".join(parts) + (f"  wrong: {bad}" if bad else "")


def summary_of(rows: list[dict[str, Any]], name: str) -> dict[str, float]:
    done = [row for row in rows if name in row["wall_ms"]]
    faults = [row["wrong_frames"].get(name, 0) for row in rows]
    return {
        "wall_ratio_median": round(statistics.median(ratios_of(row, "wall_ms")[name] for row in done), 3),
        "cpu_ratio_median": round(statistics.median(ratios_of(row, "cpu_ms")[name] for row in done), 3),
        "clips_failed": sum(isinstance(fault, str) for fault in faults),
        "clips_with_wrong_frames": sum(isinstance(fault, int) and fault > 0 for fault in faults),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--out", type=Path, help="write the JSON record here")
    options = parser.parse_args()
    if "ACTIONPROMPT_REAL_DATA" not in os.environ:
        sys.exit("set ACTIONPROMPT_REAL_DATA to the folder of real clips (MANIFEST.csv, videos/)")
    started = time.time()
    data = Path(os.environ["ACTIONPROMPT_REAL_DATA"])
    clips = dict(list(clips_of(data).items())[:: options.every])
    av.logging.set_level(av.logging.PANIC)
    readers, absent = available()
    for name, reason in absent.items():
        print(f"{name}: absent ({reason})")

    rows, lines = [], []
    for clip in clips:
        row = {"clip": str(clip.relative_to(data))} | time_clip(clip, readers, options.repeats)
        rows.append(row)
        lines.append(line_of(row))
        print(lines[-1], flush=True)

    print(f"\ntime relative to ours, median over {len(rows)} clips; above 1 is slower than ours")
    summary = {name: summary_of(rows, name) for name in readers}
    for name, line in summary.items():
        print(
            f"  {name:11} wall {line['wall_ratio_median']:5.2f}  processor {line['cpu_ratio_median']:5.2f}  "
            f"failed {line['clips_failed']}, wrong frames in {line['clips_with_wrong_frames']} clips"
        )
    fastest = {}
    for clock in ("wall_ms", "cpu_ms") if len(readers) > 1 else ():
        best = [min(ratio for n, ratio in ratios_of(row, clock).items() if n != "ours") for row in rows]
        fastest[clock] = {"ratio_median": round(statistics.median(best), 3), "ours_wins": sum(r > 1 for r in best)}
        print(f"  fastest peer of each clip, {clock}: {fastest[clock]}")
    if options.out:
        record = records.provenance(seed=0, started=started) | {
            "benchmark": "decode",
            "clips_sha256": hashlib.sha256("\n".join(clips.values()).encode()).hexdigest(),
            "peers": {name: version(PEERS[name][0]) for name in readers if name != "ours"},
            "absent": absent,
            "repeats": options.repeats,
            "fastest_peer_of_each_clip": fastest,
            "summary": summary,
            "clips": lines,
        }
        records.write(options.out, record)


if __name__ == "__main__":
    main()
