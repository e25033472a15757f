"""kill -9 at any point, then the same command again: what is there in the end is what an undisturbed run leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

JOB = Path(__file__).parent / "kill_job.py"
VERBS = ("train", "run", "teach", "build")
OFTEN = ("run", "teach", "build")  # tests/test_train.py kills a training, too
pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="kills are made with fork")


def killed(folder: Path, *, points: int, at_random: int, verbs: tuple[str, ...]) -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, str(JOB), str(folder), str(points), str(at_random), *verbs], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> dict[str, dict]:
    return killed(tmp_path_factory.mktemp("kills"), points=1, at_random=1, verbs=OFTEN)


@pytest.mark.parametrize("verb", OFTEN)
def test_killed_and_called_again_equals_undisturbed(few, verb):
    assert few[verb]["kills"] == 2
    assert few[verb]["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_fifty_points(tmp_path, verb):
    report = killed(tmp_path, points=50, at_random=10, verbs=(verb,))[verb]
    assert report["events"] >= 50
    assert report["kills"] == 60
    assert report["faults"] == []


def test_a_process_that_is_killed_leaves_a_lock_that_the_next_one_takes(tmp_path):
    code = (
        f"from actionprompt import files\nimport time\n"
        f"with files.one_writer({str(tmp_path)!r}):\n print('in', flush=True)\n time.sleep(60)"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "in\n"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"is being written to by process {first.pid} on " in second.stderr.splitlines()[-1]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(list(tmp_path.glob(".writer-*.lock"))) == 1
    third = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert third.stdout.readline() == "in\n"
    (lock,) = tmp_path.glob(".writer-*.lock")
    assert str(third.pid) in lock.name
    third.kill()
    third.wait()
