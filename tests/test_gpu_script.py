"""`benchmarks/gpu.sh` at nano size on the CPU: its records are whole, a cut and a failure cost no more than one row."""

import itertools
import json
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from actionprompt import methods

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

from gpu import PARTS, __main__, count_failures, libraries, part, resume  # noqa: E402
from gpu import predict as gpu_predict  # noqa: E402
from gpu.settings import ROOT, Settings, nano  # noqa: E402


@pytest.fixture(autouse=True)
def as_before(monkeypatch) -> Iterator[None]:
    """What a part changes of its process is undone."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def run(name: str, folder: Path, *names: str, seconds: float = 100) -> dict:
    file = folder / f"gpu_{name}.json"
    part.run(name, nano(Settings("cpu", names)), file, seconds)
    return json.loads(file.read_text())


def script(*args: str, **environment: str) -> subprocess.CompletedProcess:
    command = ["bash", str(BENCHMARKS / "gpu.sh"), "--nano", "--device", "cpu", *args]
    environment = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


def check(record: dict) -> None:
    for field in ("commit", "hardware", "versions", "command", "date", "hours", "seconds", "device", "settings"):
        assert field in record
    assert record["cut"] is False
    assert count_failures(record) == 0
    assert all(math.isfinite(number) for number in numbers(record))


def test_parity(tmp_path):
    record = run("parity", tmp_path, "dual_semantic_tpr")
    check(record)
    (row,) = record["rows"]
    assert row["method"] == "dual_semantic_tpr"
    assert row["float32"] == {"probabilities": 0, "features": 0, "same_top1": 2}  # the CPU next to itself
    assert 0 < row["bf16"]["probabilities"] < 0.1


def test_speed(tmp_path):
    record = run("speed", tmp_path, "vifi_clip")
    check(record)
    tower, vifi = record["rows"]
    assert tower["inference"]["ratio"] == 1
    assert vifi["inference"]["clips_per_s"] > 0
    assert vifi["training_step"]["clips_per_s"] > 0
    assert vifi["memory_mb"]["training_step"] > vifi["memory_mb"]["inference"]
    assert Settings("cuda", ()).passes == ((False, True), (True, False), (True, True))


def test_predict(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_predict, "METHODS", ("zeroshot",))
    monkeypatch.setattr(gpu_predict, "EXTRA", ("onnx", "no_such_runtime"))
    record = run("predict", tmp_path)
    check(record)
    exact, bf16, int8, *graphs = record["rows"]
    assert (exact["ratio"], exact["change"], exact["same_top1"]) == (1, 0, 2)
    assert (bf16["precision"], int8["precision"]) == ("bf16", "int8")
    assert all(0 < row["change"] < 0.1 for row in (bf16, int8))
    assert [row["skipped"] for row in graphs] == ["no_such_runtime is not installed"] * 2


@pytest.mark.slow
def test_prepared(tmp_path):
    record = run("prepared", tmp_path)
    check(record)
    prepare, *loads, memory = record["rows"]
    assert prepare["clips"] == 6
    assert prepare["bytes_ratio"] > 0
    assert [row["files"] for row in loads] == ["original"] * 2 + ["prepared"] * 2
    assert all(row["clips_per_s"] > 0 for row in [*loads, memory])


def test_resume(tmp_path, monkeypatch):
    every = resume.jobs
    monkeypatch.setattr(resume, "jobs", lambda settings: itertools.islice(every(settings), 1))
    record = run("resume", tmp_path)
    check(record)
    (row,) = record["rows"]
    assert (row["resumed_difference"], row["repeated_difference"], row["reason"]) == (0, 0, "equal")


def test_a_failure_costs_one_row(tmp_path, monkeypatch):
    def broken(self, video):
        raise RuntimeError("backend said:\n\nout of memory\nand more")

    monkeypatch.setattr(methods.get("zeroshot").Model, "encode", broken)
    record = run("parity", tmp_path, "zeroshot", "vifi_clip")
    first, second = record["rows"]
    assert first["error"] == "RuntimeError: backend said: out of memory"
    assert second["passed"]
    assert record["cut"] is False
    assert count_failures(record) == 1


def test_a_part_that_cannot_begin_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("gpu.clips.write_video", lambda *_: 1 / 0)
    record = run("features", tmp_path)
    assert (record["error"], record["cut"], record["rows"]) == ("ZeroDivisionError: division by zero", True, [])


def test_out_of_time_between_rows(tmp_path, monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(part.time, "monotonic", lambda: next(now))
    record = run("parity", tmp_path, "zeroshot", "vifi_clip", seconds=3)
    assert (record["cut"], len(record["rows"])) == (True, 1)
    assert run("parity", tmp_path, "zeroshot", seconds=0)["rows"] == []


def test_a_process_that_takes_too_long_is_killed(tmp_path):
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert __main__._run(sleeps, dict(os.environ), 0.1) is None
    file = tmp_path / "gpu_speed.json"
    file.write_text('{"cut": true, "seconds": 3, "rows": [{"model": "zeroshot"}]}')
    assert count_failures(__main__._finish(file, "speed", None)) == 0  # what it had written stays
    assert "status 1" in __main__._finish(file, "speed", 1)["error"]  # no row failed, so the process itself did
    assert "status -11" in __main__._finish(file, "speed", -11)["error"]
    assert json.loads(file.read_text())["rows"] == [{"model": "zeroshot"}]
    assert __main__._finish(tmp_path / "gpu_large.json", "large", None)["cut"]


@pytest.mark.skipif(find_spec("pip") is None, reason="an environment of uv has no pip")
def test_missing_libraries_come_from_wheels(tmp_path):
    pyproject, wheels, site = tmp_path / "pyproject.toml", tmp_path / "wheels", tmp_path / "site"
    pyproject.write_text('[project]\ndependencies = ["torch>=2.6", "nowhere_at_all>=1.2", "tyro>=99"]\n')
    assert libraries.missing(ROOT / "pyproject.toml", sys.path) == {}
    assert libraries.missing(pyproject, sys.path) == {"nowhere-at-all": None}
    wheels.mkdir()
    name = "nowhere_at_all-1.10"
    facts = "Metadata-Version: 2.1\nName: nowhere-at-all\nVersion: {}\nRequires-Dist: neither-this\n"
    with zipfile.ZipFile(wheels / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.dist-info/METADATA", facts.format("1.10"))
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    (wheels / "torch-9.9-cp30-none-any.whl").touch()  # there already, so left alone
    assert libraries.install(wheels, ["nowhere-at-all"], site) == ""
    assert libraries.missing(pyproject, [str(site), *sys.path]) == {"neither-this": "nowhere-at-all"}
    (site / f"{name}.dist-info" / "METADATA").write_text(facts.format("1.1"))
    assert libraries.missing(pyproject, [str(site), *sys.path]) == {"nowhere-at-all": None}  # too old
    (wheels / "nothing_here-1-cp30-none-any.whl").touch()
    assert "is not a supported wheel on this platform" in libraries.install(wheels, [], site)


def test_an_unknown_method_is_a_failed_row_and_status_1(tmp_path):
    done = script("--parts", "parity", "--methods", "vifi_clp", "zeroshot", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "did you mean 'vifi_clip'?" in done.stderr
    assert "2 rows, 1 failed" in done.stdout


@pytest.mark.slow
def test_the_whole_script(tmp_path):
    done = script("--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"gpu_{name}.json" for name in PARTS)
    found = {name: json.loads((tmp_path / f"gpu_{name}.json").read_text()) for name in PARTS}
    for record in found.values():
        check(record)
    assert [row["method"] for row in found["parity"]["rows"]] == list(methods.names())
    written, *read = found["features"]["rows"]
    assert (written["encoded"], written["added_mb"] > 0) == (6, True)
    assert [row["added_mb"] for row in read] == [0, 0]  # the second method finds what the first one wrote
    assert [row["reason"] for row in found["resume"]["rows"]] == ["equal"] * 4
    steps = [row for row in found["training"]["rows"] if row["what"] == "step"]
    assert all(row["minutes"] > 0 and row["published_minutes"] in (22, 41) for row in steps)
    assert {row["kind"] for row in found["large"]["rows"]} == {"tower", "method", "peer"}
    graphs = [row for row in found["predict"]["rows"] if row["engine"] == "onnxruntime"]
    assert [row["precision"] for row in graphs] == ["float32", "int8"] * 2
    assert all(row["export_difference"] < 0.1 for row in graphs if "skipped" not in row)


@pytest.mark.slow
def test_without_time_there_are_records_all_the_same(tmp_path):
    done = script("--out", str(tmp_path), SECONDS_MAX="0")
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"gpu_{name}.json").read_text()) for name in PARTS]
    assert [(record["cut"], record["rows"]) for record in found] == [(True, [])] * len(PARTS)
    assert done.stdout.count("0 rows, 0 failed, cut") == len(PARTS)
