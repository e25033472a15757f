"""Parts of the server by themselves: what browsers play, temporary folders, the quota, models, names in answers."""

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actionprompt import files
from actionprompt.page import schemas, videos, work
from actionprompt.page.models import Shelf
from actionprompt.video import VideoDecodeError
from actionprompt.video.browsers import playing

TOLD = {"backbone": {"name": "tiny", "tiny": True, "warning": "knows drawings"}, "model": None}


def written(path: Path, codec: str, pix_fmt: str = "yuv420p", late_s: float = 0.0) -> Path:
    """Ten grey frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for place in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * place, np.uint8), "rgb24").reformat(
                format=pix_fmt
            )
            frame.pts, frame.time_base = place + round(25 * late_s), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "plays", "media_type"),
    [
        ("a.mp4", "libx264", "yuv420p", True, "video/mp4"),
        ("a.mov", "libx264", "yuv420p", True, "video/mp4"),
        ("a.mp4", "libx264", "yuv444p", False, "video/mp4"),
        ("a.mp4", "libx264", "yuv420p10le", False, "video/mp4"),
        ("a.mp4", "libx265", "yuv420p", False, "video/mp4"),
        ("a.mp4", "mpeg4", "yuv420p", False, "video/mp4"),
        ("a.webm", "libvpx-vp9", "yuv420p", True, "video/webm"),
        ("a.webm", "libvpx", "yuv420p", True, "video/webm"),
        ("a.mkv", "libx264", "yuv420p", False, "application/octet-stream"),
        ("a.avi", "mpeg4", "yuv420p", False, "application/octet-stream"),
        ("a.ts", "libx264", "yuv420p", False, "application/octet-stream"),
    ],
)
def test_what_browsers_play(tmp_path, name, codec, pix_fmt, plays, media_type):
    found = playing(written(tmp_path / name, codec, pix_fmt))
    assert (found.plays, found.media_type) == (plays, media_type)
    renamed = (tmp_path / name).rename(tmp_path / "file")  # as uploads are called: the content decides
    assert playing(renamed) == found


def test_a_video_whose_clock_differs_from_ours_is_not_played_as_it_is(tmp_path):
    found = playing(written(tmp_path / "late.webm", "libvpx", late_s=1.0))
    assert not found.plays


def test_what_is_no_video_is_not_played(tmp_path):
    (tmp_path / "file").write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    with pytest.raises(VideoDecodeError):
        playing(tmp_path / "file")


# Temporary folders ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(videos.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_goes_with_the_server_also_after_an_error(place):
    with pytest.raises(RuntimeError), videos.temporary_folder() as folder:  # noqa: PT012
        (folder / "video").write_bytes(b"x")
        assert folder.stat().st_mode & 0o77 == 0 or os.name == "nt", "for this user alone"
        raise RuntimeError
    assert [path for path in place.iterdir() if path.name.startswith(videos.PREFIX)] == []


def test_what_a_killed_server_left_is_deleted_and_that_of_a_living_one_is_not(place):
    code = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from actionprompt.page.videos import temporary_folder\n"
        "with temporary_folder() as folder:\n    print(folder, flush=True); sys.stdin.read() or os._exit(9)"
    )
    dead, alive = (
        subprocess.Popen([sys.executable, "-c", code, str(place)], stdin=-1, stdout=-1, text=True) for _ in range(2)
    )
    left, kept = (Path(process.stdout.readline().strip()) for process in (dead, alive))
    dead.kill()
    dead.wait()
    (place / f"{videos.PREFIX}link").symlink_to(kept)
    (place / f"{videos.PREFIX}unclaimed-old").mkdir()
    (place / f"{videos.PREFIX}unclaimed-new").mkdir()
    os.utime(place / f"{videos.PREFIX}unclaimed-old", (time.time() - 1000,) * 2)
    with videos.temporary_folder() as own:
        there = {path.name for path in place.iterdir() if path.name.startswith(videos.PREFIX)}
    expected = {f"{videos.PREFIX}link", f"{videos.PREFIX}unclaimed-new", kept.name, own.name}
    alive.kill()
    alive.wait()
    assert there == expected
    assert not left.exists()


def test_the_quota_counts_what_is_there(tmp_path):
    disk = videos.Disk(tmp_path, 1000)
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(1001))
    disk.check()
    disk.measure(folder)
    with pytest.raises(videos.NoSpace, match="more than 1e-06 GB, the quota"):
        disk.check()
    files.delete(folder)
    disk.measure(folder)
    assert disk.used_bytes == 0


def test_a_nearly_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "SPARE_BYTES", 1 << 60)
    with pytest.raises(videos.NoSpace, match="nearly full"):
        videos.Disk(tmp_path, 1 << 61).check()


# Models ---------------------------------------------------------------------------------------------------------------


def test_taught_models_are_listed_newest_first_and_broken_ones_are_not(tmp_path):
    shelf = Shelf(tmp_path, None, TOLD)
    for number, name in enumerate(("a" * 16, "b" * 16)):
        manifest = {"class_names": ["x", "none"], "background": "none", "none_of_these": None, "warnings": ["few"]}
        files.write_json(tmp_path / name / "model" / "manifest.json", manifest)
        files.write_json(tmp_path / name / "page.json", {"name": f"<b>{number}", "created": f"2026-01-0{number + 1}"})
    (tmp_path / ("c" * 16)).mkdir()
    (tmp_path / ("c" * 16) / "page.json").write_text("{")
    files.write_json(tmp_path / ("d" * 16) / "page.json", {"name": "no model", "created": "2026-01-01"})
    found = shelf.listed()
    assert [(model.name, model.kind) for model in found] == [
        ("Any labels (tiny)", "zero-shot"), ("<b>1", "taught"), ("<b>0", "taught"),
    ]  # fmt: skip
    assert (found[1].labels, found[1].rejects, found[1].note) == (["x"], True, "few")
    assert shelf.find("c" * 16) is shelf.find("d" * 16) is shelf.find("e" * 16) is None
    shelf.delete("a" * 16)
    assert [model.id for model in shelf.listed()] == ["zero-shot", "b" * 16]


def test_unfinished_models_of_killed_servers_are_swept_and_nothing_else_is(tmp_path):
    old, new, whole, foreign = (tmp_path / name for name in ("a" * 16, "b" * 16, "c" * 16, "holiday"))
    for folder in (old, new, whole, foreign):
        folder.mkdir()
        (folder / "features.json").write_text("{}")
    (whole / "page.json").write_text("{")  # damaged, but somebody's
    (tmp_path / ("d" * 16)).symlink_to(foreign)
    for folder in (old, whole, foreign):
        os.utime(folder, (time.time() - 1000,) * 2)
    Shelf(tmp_path, None, TOLD).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["b" * 16, "c" * 16, "d" * 16, "holiday"])
    assert (foreign / "features.json").exists()


# Requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (schemas.PredictRequest, {"videos": ["0" * 16]}, "labels: expected at least one"),
        (schemas.PredictRequest, {"videos": [], "labels": ["a"]}, "at least 1 item"),
        (schemas.PredictRequest, {"videos": ["../../etc/passwd"], "labels": ["a"]}, "match pattern"),
        (schemas.PredictRequest, {"videos": ["0" * 16], "labels": ["a"], "model": "../x"}, "match pattern"),
        (schemas.PredictRequest, {"videos": ["0" * 16], "labels": ["a" * 201]}, "at most 200"),
        (schemas.PredictRequest, {"videos": ["0" * 16], "labels": ["a"], "lables": ["a"]}, "not permitted"),
        (schemas.PredictRequest, {"videos": ["0" * 16], "labels": ["a", " "]}, "at least 1 character"),
        (schemas.TeachRequest, {"name": " \t", "classes": []}, "at least 1 character"),
        (schemas.TimelineRequest, {"video": "0" * 16, "labels": ["a"], "hop_s": 3}, "at most window_s"),
        (schemas.TimelineRequest, {"video": "0" * 16, "labels": ["a"], "window_s": float("nan")}, "less than or equal"),
        (schemas.Example, {"video": "0" * 16, "start_s": 1}, "or neither"),
        (schemas.Example, {"video": "0" * 16, "start_s": 2, "end_s": 2}, "start_s before end_s"),
        (schemas.Example, {"video": "0" * 16, "start_s": 2, "end_s": float("inf")}, "start_s before end_s"),
    ],
)
def test_bodies_are_checked(kind, body, reason):
    with pytest.raises(ValueError, match=reason):
        kind(**body)


def test_answers_have_the_names_that_users_know():
    named = {"/tmp/x/file": "<img src=x>.mp4"}
    answer = {"warnings": ["/tmp/x/file: is long"], "rows": ({"path": "/tmp/x/file"}, 3, None)}
    found = work.renamed(answer, named)
    assert found == {"warnings": ["<img src=x>.mp4: is long"], "rows": [{"path": "<img src=x>.mp4"}, 3, None]}
    assert json.dumps(found)
