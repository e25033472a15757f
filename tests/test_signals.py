"""Ctrl-C and SIGTERM end a training with workers: exit code 130, one line, no traceback, no lock left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from actionprompt.video import write_video

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a console of Windows sends Ctrl-C to all its processes")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for name in ("red", "green"):
        (folder / name).mkdir()
        for index in range(3):
            write_video(folder / name / f"{index}.mp4", rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), fps=6)
    return folder


def interrupt(root: Path, out: Path, number: signal.Signals, *, times: int = 1, after_s: float = 0.0):
    """Signals to the whole process group, as a terminal does it: exit code, stderr, and seconds to the end."""
    code = "import sys; from actionprompt.commands import main; sys.exit(main())"
    training = ["train", "vifi_clip", "--clips.root", root, "--backbone", "random:nano", "--train.batch-size", "3"]
    options = ["--train.epochs", "3000", "--train.save-every-steps", "1", "--train.num-workers", "2", "--out", out]
    job = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, training + options)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not list(out.glob("checkpoints/step-*")):
        assert job.poll() is None, job.communicate()[1][-3000:]
        time.sleep(0.05)
    time.sleep(after_s)
    began = time.monotonic()
    for _ in range(times):
        os.killpg(job.pid, number)
        time.sleep(0.01)
    try:
        said = job.communicate(timeout=60)[1]
    finally:
        job.kill()
    return job.returncode, said, time.monotonic() - began


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_an_interrupted_training_ends_in_order(root, tmp_path, number, times):
    code, said, _ = interrupt(root, tmp_path / "run", number, times=times)
    assert code == 130
    assert "Traceback" not in said
    assert said.count("interrupted; ") == 1
    assert times > 1 or not list((tmp_path / "run").glob(".writer-*.lock"))


@pytest.mark.slow
def test_fifty_interrupts(root, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(50):
        out = tmp_path / str(index)
        code, said, took_s = interrupt(root, out, signal.SIGINT, after_s=rng.uniform(0, 0.5))
        assert (code, "Traceback" in said, said.count("interrupted; ")) == (130, False, 1), said
        assert took_s < 5
        assert not list(out.glob(".writer-*.lock"))


def test_a_worker_whose_parent_was_interrupted_says_nothing():
    """multiprocessing's thread that hands tensors over prints what it raises through `sys.excepthook`."""
    code = (
        "import sys\n"
        "from actionprompt import data\n"
        "data._start_worker(0)\n"
        "for error in (ConnectionResetError(104, 'reset'), EOFError(), ValueError('said')):\n"
        "    try:\n        raise error\n"
        "    except Exception:\n        sys.excepthook(*sys.exc_info())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.rstrip().endswith("ValueError: said")
