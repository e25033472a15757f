"""Files are whole or unchanged, JSON is strict, names are bytes."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actionprompt import files


def test_an_error_leaves_the_old_file_and_no_leftovers(tmp_path):
    def fail() -> None:
        with files.replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    for content in ("one", "two"):
        with files.replacing(tmp_path / "model") as temporary:
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / content).write_text(content)
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model/deep") == ["two"]


def test_a_link_keeps_pointing_at_what_was_written(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    files.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write_text(tmp_path / "pipe", "hello")
    assert os.read(reader, 100) == b"hello"
    assert not (tmp_path / "pipe").is_file()
    os.close(reader)


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json: expected finite numbers"):
        files.write_json(tmp_path / "a.json", {"x": [1.0, float("nan")]})
    assert not os.listdir(tmp_path)


def test_a_name_that_is_no_utf8_comes_back(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    files.write_json(tmp_path / "a.json", {"name": name, "other": "挥手"})
    files.write_text(tmp_path / "a.txt", name)
    assert json.loads((tmp_path / "a.json").read_bytes().decode()) == {"name": name, "other": "挥手"}
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9.mp4"


@pytest.mark.parametrize("text", ["[1]", "{", "nonsense", "[" * 100_000])
def test_json_that_is_no_object_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json") as error:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_outputs_are_checked_before_the_work(tmp_path):
    files.check_output(tmp_path / "new/a.json", "--json")
    assert os.listdir(tmp_path) == ["new"]
    assert not os.listdir(tmp_path / "new")
    (tmp_path / "kept.json").write_text("kept")
    files.check_output(tmp_path / "kept.json", "--json")
    assert (tmp_path / "kept.json").read_text() == "kept"
    with pytest.raises(ValueError, match=r"--json: expected a file, but"):
        files.check_output(tmp_path, "--json")
    with pytest.raises(ValueError, match=r"--csv: .* cannot be written"):
        files.check_output(tmp_path / "kept.json/a.csv", "--csv")
    with pytest.raises(ValueError, match=r"--csv: .* cannot be written"):
        files.check_output(Path("/proc/nothing/a.csv"), "--csv")


# One writer per folder ------------------------------------------------------------------------------------------------


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock(folder: Path, *, host: str | None = None, pid: int, started: str = "") -> Path:
    path = folder / files.Writer(host or files.Writer.here().host, pid, started).file
    path.touch()
    return path


def test_a_folder_has_one_writer(tmp_path):
    home = tmp_path / "new" / "run"
    with files.one_writer(home):
        (own,) = home.iterdir()
        assert own.name == files.Writer.here().file
        with files.one_writer(home):  # the same thread: what it calls writes to the same folder
            assert own.exists()
        assert own.exists()
        said = []

        def other() -> None:
            with pytest.raises(ValueError, match="another thread of this process"), files.one_writer(home):
                pass
            said.append(True)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert said
        assert own.exists()
    assert not home.exists(), "it was made for this, and nothing was written"
    with files.one_writer(tmp_path):
        pass
    assert os.listdir(tmp_path) == ["new"]


def test_another_writer_is_named(tmp_path):
    parent = lock(tmp_path, pid=os.getppid(), started=files._started(os.getppid()) or "")
    with pytest.raises(ValueError, match=rf"is being written to by process {os.getppid()} on .*; wait for it"):
        files.one_writer(tmp_path).__enter__()
    assert os.listdir(tmp_path) == [parent.name]
    parent.unlink()
    far = lock(tmp_path, host="far.away-2", pid=7, started="12")
    with pytest.raises(ValueError, match=rf"process 7 on far.away-2; .* if it has ended, delete {far}"):
        files.one_writer(tmp_path).__enter__()


def test_the_lock_of_an_ended_process_is_taken_over(tmp_path, ended):
    lock(tmp_path, pid=ended)
    if files._started(os.getppid()):  # its number has been given to another process
        lock(tmp_path, pid=os.getppid(), started="1")
    with files.one_writer(tmp_path):
        assert os.listdir(tmp_path) == [files.Writer.here().file]


RACE = """
import os, sys, time
from pathlib import Path
from actionprompt import files
folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
try:
    with files.one_writer(folder / "run"):
        inside = folder / "inside"
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if two are in
        time.sleep(0.6)
        inside.unlink()
        print("in")
except ValueError:
    print("refused")
"""


def test_of_many_that_come_at_once_one_enters(tmp_path, ended):
    (tmp_path / "run").mkdir()
    lock(tmp_path / "run", pid=ended)
    command = [sys.executable, "-c", RACE, str(tmp_path), str(time.time() + 1)]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [job.communicate()[0].strip() for job in jobs]
    assert all(job.returncode == 0 for job in jobs)
    assert said.count("in") >= 1
    assert set(said) <= {"in", "refused"}


def test_leftovers_of_ended_processes_go_and_nothing_else(tmp_path, ended):
    (tmp_path / f".model.{ended}.tmp").mkdir()
    (tmp_path / f".a.json.{ended}.tmp").touch()
    (tmp_path / f".clip.mp4.{ended}.tmp.mp4").touch()
    (tmp_path / "new").mkdir()
    (tmp_path / f".new.{ended}.old").mkdir()
    (tmp_path / f".stepped.{ended}.old").mkdir()
    (tmp_path / f".stepped.{ended}.old" / "content").touch()
    kept = [f".a.json.{os.getppid()}.tmp", f"a.{ended}.tmp", ".a.tmp", f".{ended}.tmp", f".a.{ended}.txt"]
    for name in kept:
        (tmp_path / name).touch()
    files.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "new", "stepped"])
    assert os.listdir(tmp_path / "stepped") == ["content"], "it had stepped aside for one that never came"


def test_an_interrupted_replacement_leaves_the_old_folder(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    rename = Path.rename

    def fail(path: Path, target: Path):
        if path.name.endswith(".tmp"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "model") as temporary:
        temporary.mkdir()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["old"]
