"""The queue of the leaderboard: no record that it would not make again, and an end that says how it went."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "results").glob("actionworld-*.json"))


@pytest.fixture(scope="module")
def queue():
    spec = importlib.util.spec_from_file_location("benchmark_actionworld", ROOT / "benchmarks" / "actionworld.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(command: str) -> frozenset[str]:
    """A command's words with their values, in any order, in any precision."""
    words = command.removeprefix("actionprompt run ").removesuffix(" --skip-existing").split(" --")
    return frozenset(word for word in words if not word.startswith(("out ", "train.mixed-precision ")))


def test_every_record_is_one_of_the_queue(queue):
    lines = [line.split(" --seeds ") for line in queue.QUEUE]
    known = {options(f"{command} --seeds {seed}") for command, seeds in lines for seed in seeds.split()}
    commands = {path.name: json.loads(path.read_text(encoding="utf-8"))["command"] for path in RECORDS}
    assert commands, "no records in results/"
    assert not [name for name, command in commands.items() if options(command) not in known]
    assert len({options(command) for command in commands.values()}) == len(commands), "the same run under two names"


def test_nothing_to_do_is_an_error_and_a_failed_run_is_told(queue, monkeypatch, capsys):
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
    assert calls == [{"--seeds": seed, "--train.mixed-precision": "no"} for seed in "012"], "a failure stops nothing"
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "FAILED", "ok"]
