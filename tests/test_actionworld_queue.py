"""The queue of the leaderboard: exactly the runs of its records, and an exit code that says whether all succeeded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import benchmark

RECORDS = sorted((Path(__file__).parents[1] / "results" / "records" / "actionworld-small").rglob("*.json"))


@pytest.fixture(scope="module")
def queue():
    return benchmark("actionworld")


def options(command: str) -> frozenset[str]:
    """A command's options with their values, without order, output folder and precision."""
    words = command.removeprefix("actionprompt run ").removesuffix(" --skip-existing").split(" --")
    return frozenset(word for word in words if not word.startswith(("out ", "train.mixed-precision ")))


def test_every_line_has_its_records_and_every_record_its_line(queue):
    known = {options(f"{command} --seeds {seed}") for seed, command in queue.runs()}
    commands = {str(path): json.loads(path.read_text(encoding="utf-8"))["command"] for path in RECORDS}
    gone = "variant words"  # an option that was replaced; its records stay until the entries are measured anew
    commands = {name: command for name, command in commands.items() if gone not in options(command)}
    made = {options(command): name for name, command in commands.items()}
    assert not [name for run, name in made.items() if run not in known]
    assert not [sorted(run) for run in known if run not in made]
    assert len(made) == len(commands), "the same run under two names"


def test_nothing_to_do_is_an_error_and_a_failed_run_is_reported(queue, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["actionworld.py", "--only", "no_such_method"])
    with pytest.raises(SystemExit, match="2"):
        queue.main()
    assert "no line of QUEUE" in capsys.readouterr().err
    calls = []

    def call(words, *, check):
        calls.append({key: words[words.index(key) + 1] for key in ("--seeds", "--train.mixed-precision")})
        return subprocess.CompletedProcess(words, returncode=calls[-1]["--seeds"] == "1")

    monkeypatch.setattr(subprocess, "run", call)
    monkeypatch.setattr(sys, "argv", ["actionworld.py", "--only", "vifi_clip --also", "--precision", "no"])
    assert queue.main() == 1
    assert calls == [{"--seeds": seed, "--train.mixed-precision": "no"} for seed in "012"], (
        "a failed run does not stop the others"
    )
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "FAILED", "ok"]
