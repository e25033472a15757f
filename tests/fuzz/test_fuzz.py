"""The reader's promise on damaged files: the frames of a plain sequential decode, or `VideoDecodeError`."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import judge
import seeds
from mutate import mutate

import fuzz

QUICK = (
    *("h264_mp4", "h264_ts", "h264_flv", "h264_avi", "h264_cavlc", "mpeg4_avi", "vp9_webm", "vp8_webm"),
    *("mjpeg_avi", "ffv1_crc_mkv", "gif", "png"),
)


def faults(names: list[str], count: int, folder: Path, *, seed: int, workers: int) -> list[dict]:
    for name in names:
        seeds.write(name, folder)
    results = list(fuzz.run(fuzz.deal(names, count), folder, seed=seed, workers=workers))
    assert len(results) == count
    assert {result["verdict"] for result in results} >= {"equal", "refused"}
    return fuzz.summary(results)["faults"]


def test_mutants_are_read_as_plain_decoding_reads_them_or_refused(tmp_path):
    assert faults(list(QUICK), 60, tmp_path, seed=3, workers=1) == []


@pytest.mark.slow
def test_two_thousand_mutants_of_every_codec(tmp_path):
    assert faults(seeds.writable(), 2000, tmp_path, seed=4, workers=2) == []


def test_the_same_seed_gives_the_same_mutant():
    data = bytes(range(256)) * 4
    assert mutate(data, "1/a/2") == mutate(data, "1/a/2") != mutate(data, "1/a/3")
    assert data not in {mutate(data, str(seed)) for seed in range(200)}


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (lambda frames, indices: frames + np.uint8(1), "wrong pixels"),
        (lambda frames, indices: frames + np.uint8(len(indices) > 1), "depends"),
        (lambda frames, indices: frames[::-1], "depends"),
        (lambda frames, indices: 1 / 0, "other exception"),
    ],
)
def test_a_reader_that_breaks_the_promise_is_found_out(tmp_path, monkeypatch, wrong, verdict):
    path = seeds.write("h264_mp4", tmp_path)
    assert judge.judge(path, "0")["verdict"] == "equal"
    read = judge.video.read_frames
    monkeypatch.setattr(
        judge.video, "read_frames", lambda path, indices, **options: wrong(read(path, indices, **options), indices)
    )
    assert judge.judge(path, "0")["verdict"] == verdict


def test_a_process_that_dies_or_hangs_is_a_fault(tmp_path, monkeypatch):
    seeds.write("png", tmp_path)
    (result,) = fuzz.run([("no such seed", 0)], tmp_path, seed=0, workers=1)  # the worker ends with an exception
    assert result["verdict"] == "crash"
    monkeypatch.setattr(fuzz, "TIME_LIMIT_S", 0.01)
    (result,) = fuzz.run([("png", 0)], tmp_path, seed=0, workers=1)
    assert result["verdict"] == "hang"
