"""Files are whole or unchanged, JSON is strict, names are bytes."""

import json
import os
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
