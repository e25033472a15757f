"""The method of docs/tutorials/add_a_method.md in a copy of the package: the contract, a record, the tables."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorials" / "add_a_method.md"


def file_of_the_page() -> str:
    """The first block of Python: the method's file."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of package and tests with the method in its place."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "src" / "actionprompt", folder / "src" / "actionprompt", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src" / "actionprompt" / "methods" / "arrow.py").write_text(file_of_the_page(), encoding="utf-8")
    return folder


def call(checkout: Path, *words: str) -> str:
    """The output of `python -m ...` in the copy."""
    paths = os.pathsep.join([str(checkout / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_is_formatted_and_says_what_it_is():
    code = file_of_the_page()
    assert code.startswith('"""Arrow: ')
    assert max(map(len, code.splitlines())) <= 120


@pytest.mark.slow
def test_the_contract_holds(checkout):
    said = call(checkout, "pytest", "-n", "0", "-p", "no:cacheprovider", "tests/test_contract.py", "-k", "arrow")
    assert re.search(r"\d+ passed", said)
    assert "arrow" in call(checkout, "actionprompt", "list")


@pytest.mark.slow
def test_a_record_and_a_row_of_the_table(checkout):
    (block,) = [
        part
        for part in re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if "actionprompt run arrow" in part
    ]
    run, zero_shot, results = block.strip().splitlines()
    assert run.endswith("--seeds 0 1 2 --out tries/records")
    short = run.replace("--seeds 0 1 2", "--seeds 0 --train.epochs 2 --train.num-workers 0")
    for line in (short, zero_shot, results):
        said = call(checkout, *line.split())
    assert "arrow" in said
    assert "zeroshot" in said
    assert "| arrow |" in (checkout / "tries" / "README.md").read_text(encoding="utf-8")
