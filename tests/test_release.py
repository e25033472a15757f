"""The wheel works away from the checkout; what the dependencies take is what the page says."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from actionprompt.apps import doctor
from scripts import benchmark

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason=".ci/wheel is a shell script")
def test_the_wheel_works_away_from_the_checkout(tmp_path):
    done = subprocess.run(
        [ROOT / ".ci" / "wheel", "--here"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": "", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    version, *said = done.stdout.partition("Successfully built ")[2].splitlines()[1:]
    assert version.count(".") == 2
    assert "methods:" in said
    assert "nothing is wrong" in said
    assert "doing a handstand" in said[-1]


def test_the_page_of_dependencies_has_the_table_of_the_record():
    script = benchmark("dependencies")
    record = json.loads((ROOT / "results" / "costs" / "dependencies.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "how_to" / "dependencies.md").read_text(encoding="utf-8")
    assert script.table(record) in page
    assert f"takes {record['own_mb']['package']:.1f} MB, of which {record['own_mb']['embedded_models']:.1f} MB" in page
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [re.match(r"[\w-]+", line)[0] for line in project["dependencies"]]
    assert [row["name"] for row in record["dependencies"]] == asked == [*script.PURPOSES]
    assert record["extras"].keys() == script.EXTRAS.keys() == {*doctor.EXTRAS}
    assert tuple(name for name in project["optional-dependencies"] if name in doctor.EXTRAS) == doctor.EXTRAS


def test_what_a_distribution_and_its_own_ask_for_is_counted_once():
    script = benchmark("dependencies")
    named = script.closure(map(script.Requirement, ("torch", "numpy")))
    assert {"torch", "numpy", "sympy", "mpmath"} <= named
    assert "transformers" not in named
    assert script.megabytes(named) > script.megabytes(["torch"]) > 100
    extras = {"a": ["x>=1"], "b": ["actionprompt[a]", "y>=2"]}
    assert [one.name for one in script.requirements(extras, "b")] == ["x", "y"]
