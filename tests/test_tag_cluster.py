"""`actionprompt tag --engine ray`: the table of the local engine, also when an actor is killed; no process is left."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from actionprompt import commands, zero_shot
from actionprompt.apps import tag as engine
from actionprompt.apps.tag import cluster, work
from actionprompt.video import write_video

LABELS = ("red", "green", "blue")
NUM_ROWS = 240
RAY = ("raylet", "gcs_server", "ray::")
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found by their names")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """A list of videos, one of which is none."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for index in range(4):
        write_video(folder / f"{index}.mp4", rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), fps=4)
    (folder / "4.mp4").write_bytes(b"no video")
    (folder / "list.txt").write_text("".join(f"{index % 5}.mp4\n" for index in range(NUM_ROWS)))
    return folder / "list.txt"


def command(rows: Path, out: Path, *more: str) -> subprocess.Popen:
    code = "import sys; from actionprompt.commands import main; sys.exit(main())"
    given = ["tag", rows, "--labels", ",".join(LABELS), "--backbone", "random:nano", "--out", out, "--embeddings"]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, given), "--part-rows", "20", "--batch-size", "4", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def wait_for_parts(job: subprocess.Popen, out: Path, number: int) -> None:
    while len(list(out.glob("part-*"))) < number:
        assert job.poll() is None, job.communicate()[1][-3000:]
        time.sleep(0.05)


def of_ray(below: int) -> list[psutil.Process]:
    """Ray's processes that a process started."""
    found = []
    for process in psutil.Process(below).children(recursive=True):
        try:
            if any(name in " ".join(process.cmdline()) for name in RAY):
                found.append(process)
        except psutil.Error:
            pass
    return found


@pytest.mark.parametrize("embeddings", [False, True])
def test_what_crosses_processes_is_what_was_sent(rows, tmp_path, embeddings):
    predictor = zero_shot(LABELS, backbone="random:nano", none=True, device="cpu")
    source = engine.read(str(rows))
    batches = work.Batches(len(source), 6, 4, [0, 1, 3])
    job = work.Job(predictor, source, batches, embeddings, 1, tmp_path)
    towers = cluster._Towers.__new__(cluster._Towers)
    towers.tower = work.Tower(predictor, embeddings)
    reader = work.Reader.of(predictor, source.base)

    def through_arrow(row: dict) -> dict:
        (row,) = pa.Table.from_pylist([row]).to_pylist()
        return row

    sent = [row for block in cluster._blocks(job) for row in block.to_pylist()]
    found = [
        cluster._answers(through_arrow(towers(through_arrow(cluster._read(row, reader)))), job) for row in sent
    ]  # fmt: skip
    for one, plain in zip(found, engine.local.run(work.Job(predictor, source, batches, embeddings, 0, tmp_path))):
        assert (one.first, one.errors) == (plain.first, plain.errors)
        np.testing.assert_array_equal(one.scores, plain.scores)
        assert one.scores.dtype == plain.scores.dtype
        if embeddings:
            np.testing.assert_array_equal(one.embeddings, plain.embeddings)
    assert [one.first for one in found] == [first for first, _ in batches]
    assert any(any(one.errors) for one in found)


@linux
@pytest.mark.slow
def test_a_killed_actor_changes_nothing(rows, tmp_path):
    plain = command(rows, tmp_path / "local")
    assert (plain.wait(), plain.communicate()[0]) == (1, f"192 of 240 videos, 12 parts: {tmp_path / 'local'}\n")
    expected = contents(tmp_path / "local")

    quiet = command(rows, tmp_path / "quiet", "--engine", "ray", "--actors", "2")
    said = quiet.communicate()
    assert quiet.returncode == 1, said[1][-3000:]
    assert contents(tmp_path / "quiet") == expected

    job = command(rows, tmp_path / "killed", "--engine", "ray", "--actors", "2")
    wait_for_parts(job, tmp_path / "killed", 1)
    actors = [process for process in of_ray(job.pid) if "_Towers" in " ".join(process.cmdline())]
    assert len(actors) == 2
    assert not (tmp_path / "killed" / "part-00011.parquet").exists()
    actors[0].kill()
    said = job.communicate()
    assert job.returncode == 1, said[1][-3000:]
    assert contents(tmp_path / "killed") == expected


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(rows, tmp_path, number):
    (rows.parent / "long.txt").write_text("0.mp4\n" * 20_000)
    job = command(rows.parent / "long.txt", tmp_path / "out", "--engine", "ray")
    wait_for_parts(job, tmp_path / "out", 1)
    processes = of_ray(job.pid)
    assert len(processes) >= 4
    began = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(job.pid, number)  # Ctrl-C goes to all of a terminal's processes
    said = job.communicate(timeout=60)[1]
    if number != signal.SIGKILL:
        assert job.returncode == 130
        assert time.monotonic() - began < 5
        assert "Traceback" not in said
    assert psutil.wait_procs(processes, timeout=180)[1] == []  # after a SIGKILL, Ray's agents look for their parent


@pytest.mark.slow
def test_what_is_wrong_in_an_actor_is_one_line(rows, tmp_path):
    code = (
        "from actionprompt import zero_shot\n"
        "from actionprompt.apps import tag\n"
        "from actionprompt.apps.tag import cluster\n"
        "model = zero_shot(['a', 'b'], backbone='random:nano', device='cpu')\n"
        "model.method.text[0, 0] = float('nan')\n"
        f"try:\n    tag.tag(model, tag.read({str(rows)!r}), {str(tmp_path / 'out')!r}, engine=cluster.run)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"[0-3]\.mp4: the model's scores of this video are not finite; its weights are damaged", said)


def test_a_cluster_that_is_not_there_is_one_line(rows, tmp_path, capsys, own_console):
    given = ["tag", str(rows), "--labels", "a,b", "--backbone", "random:nano", "--out", str(tmp_path / "out")]
    assert commands.main([*given, "--engine", "ray", "--ray-address", "127.0.0.1:1"]) == 2
    message = "error: no cluster of Ray answers at 127.0.0.1:1 (Connection refused)\n"
    assert capsys.readouterr().err == message


def test_a_cluster_that_does_not_start_in_time_is_one_line(rows, tmp_path, capsys, own_console, monkeypatch):
    def init(**_):
        raise Exception("The current node timed out\nduring startup.")  # as in ray/_private/node.py

    monkeypatch.setattr("ray.init", init)
    given = ["tag", str(rows), "--labels", "a,b", "--backbone", "random:nano", "--out", str(tmp_path / "out")]
    assert commands.main([*given, "--engine", "ray"]) == 2
    assert capsys.readouterr().err == "error: no cluster of Ray: The current node timed out during startup.\n"
