"""The verb `tag`: what it prints and answers, its exit codes, and Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from actionprompt import commands
from actionprompt.apps.tag import source as sources
from actionprompt.video import write_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Three videos and a file that is none."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for index in range(3):
        write_video(folder / f"{index}.mp4", rng.integers(0, 256, (4, 40, 48, 3), dtype=np.uint8), fps=4)
    (folder / "3.mp4").write_bytes(b"no video")
    return folder


def test_the_command_lists_what_is_broken_and_exits_with_1(clips, tmp_path, capsys, own_console):
    options = ["--labels", "red,green,blue", "--backbone", "random:nano", "--num-workers", "0", "--part-rows", "2"]
    given = ["tag", str(clips), *options, "--out", str(tmp_path / "out")]
    assert commands.main(given) == 1
    said = capsys.readouterr()
    assert said.out == f"3 of 4 videos, 2 parts: {tmp_path / 'out'}\n"
    assert [line.split(":")[0] for line in said.err.splitlines()] == [
        f"could not read {clips / '3.mp4'}", "could not read 1 of 4 videos"
    ]  # fmt: skip
    assert commands.main(given) == 1
    assert "2 parts, 2 of them from before" in capsys.readouterr().out
    (clips.parent / "one.txt").write_text(str(clips / "1.mp4"))
    assert commands.main(["tag", str(clips.parent / "one.txt"), *options, "--out", str(tmp_path / "one")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--part-rows 0", "expected --part-rows of at least 1, got 0"),
        ("--engine ray --num-workers 0", "expected --num-workers of at least 1, got 0"),
        ("--ray-address auto", "expected --actors and --ray-address with --engine ray alone"),
        ("--actors 2", "expected --actors and --ray-address with --engine ray alone"),
        ("--engine ray --precision int8", "expected float32 or bf16 with ray: int8 weights are packed"),
        ("--engine spark", "invalid choice 'spark' for argument '--engine'"),
        ("--column file", "list.csv has no column 'file', but path; name it with --column"),
        ("--out list.csv", "--out: expected a folder, but"),
    ],
)
def test_what_is_wrong_is_said_before_the_work(tmp_path, monkeypatch, capsys, own_console, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("path\na.mp4\n")
    out = [] if "--out" in options else ["--out", "out"]
    code = commands.main(["tag", "list.csv", "--labels", "a,b", "--backbone", "random:nano", *out, *options.split()])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["list.txt", "a.mp4", ".", "*.csv*", "folder.csv", "memory://list.txt", "s3://a/b"])
def test_a_column_belongs_to_a_table(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    for name in ("list.txt", "a.mp4", "folder.csv/a.mp4"):
        (tmp_path / name).write_text("a.mp4\n")
    with pytest.raises(ValueError, match=r"is no table: expected --column with \.csv, .* alone, got 'path'"):
        sources.read(source, column="path")


@pytest.mark.parametrize(("library", "extra"), [("pyarrow", "tag"), ("fsspec", "tag"), ("ray", "cluster")])
def test_a_library_that_is_missing_is_one_line(tmp_path, monkeypatch, capsys, own_console, library, extra):
    find = sources.importlib.util.find_spec
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None if name == library else find(name))
    (tmp_path / "list.txt").write_text("memory://a.mp4\n")
    given = ["tag", str(tmp_path / "list.txt"), "--labels", "a,b", "--backbone", "random:nano", "--engine", "ray"]
    assert commands.main([*given, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f'error: {library} is not installed; pip install "actionprompt[{extra}]"\n'


@pytest.mark.skipif(os.name == "nt", reason="a console of Windows sends Ctrl-C to all its processes")
def test_interrupted_it_ends_with_130_and_resumes(clips, tmp_path):
    (tmp_path / "list.txt").write_text(f"{clips / '1.mp4'}\n" * 3000)
    code = "import sys; from actionprompt.commands import main; sys.exit(main())"
    given = ["tag", tmp_path / "list.txt", "--labels", "red,green,blue", "--backbone", "random:nano"]
    given += ["--part-rows", "4", "--batch-size", "4", "--out", tmp_path / "out"]
    job = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, given)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.callback(job.kill)
        while len(list((tmp_path / "out").glob("part-*"))) < 2:
            assert job.poll() is None, job.communicate()[1][-3000:]
            time.sleep(0.05)
        began = time.monotonic()
        os.killpg(job.pid, signal.SIGINT)
        said = job.communicate(timeout=60)[1]
    assert job.returncode == 130
    assert time.monotonic() - began < 5
    assert "Traceback" not in said
    left = {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()}
    assert left == {"_manifest.json", "part"}
