"""What is published: the files of wheel and sdist, the versions, and the dependencies that the code has."""

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import actionprompt

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "actionprompt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(re.findall(r"^([\w.-]+)==([\d.]+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
DISTRIBUTIONS = {
    "PIL": "pillow", "cv2": "opencv-python-headless", "myst_parser": "myst-parser", "pygments": "Pygments",
    "sphinx": "Sphinx",
}  # fmt: skip
"""Of modules whose distribution has another name."""
NOT_IMPORTED = {
    "tensorboard",  # accelerate's tracker imports it
    "pytest-xdist",  # a plugin of pytest
    "furo",  # the site's theme
    "sphinx-copybutton",  # an extension of Sphinx
    "ziamath",  # the site takes its font
}


def requirements(lines: list[str]) -> dict[str, str]:
    """Oldest version allowed, by name."""
    others = [line for line in lines if not line.startswith("actionprompt[")]
    return dict(re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)(?:,<\d+)?", line).groups() for line in others)


RUN = requirements(PROJECT["dependencies"])
EXTRAS = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}
PAGE, TAG, CLUSTER, EXPORT, DOCS, TEST = (EXTRAS[name] for name in ("page", "tag", "cluster", "export", "docs", "test"))
ALL = RUN | PAGE | TAG | CLUSTER | EXPORT | DOCS | TEST


def imported(*files: Path) -> set[str]:
    """Distributions that Python files import, wherever in the file, without the standard library."""
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    ours = {
        "actionprompt",
        *(path.stem for place in ("tests", "tests/fuzz", "benchmarks") for path in (ROOT / place).iterdir()),
    }
    return {DISTRIBUTIONS.get(name, name) for name in found - ours - sys.stdlib_module_names}


def files(builder: type) -> set[str]:
    return {Path(file.distribution_path).as_posix() for file in builder(str(ROOT)).recurse_included_files()}


def test_the_wheel_holds_the_package_and_nothing_else():
    expected = {path.relative_to(ROOT / "src").as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    assert files(WheelBuilder) == expected
    assert "actionprompt/py.typed" in expected
    for ending, least in ((".safetensors", 2), (".tsv", 8), (".html", 1), (".css", 1), (".js", 6)):
        assert len([name for name in expected if name.endswith(ending)]) >= least


def test_the_sdist_can_be_tested_and_holds_nothing_made():
    inside = files(SdistBuilder)
    for folder in (".ci", ".github", "benchmarks", "docs", "examples", "results", "runtime", "src", "tests"):
        made = ("__pycache__", "records/models", "records/scores", ".log")
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {name for name in there if not any(part in name for part in made)} <= inside, folder
    assert {"Makefile", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt"} <= inside
    assert not [name for name in inside if name.startswith((".venv/", ".git/", "demo/", "runs/", "dist/"))]


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert actionprompt.__version__ == PROJECT["version"]
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == PROJECT["version"]


def test_the_command_is_there():
    module, _, name = PROJECT["scripts"]["actionprompt"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_what_the_code_imports_is_asked_for_and_no_more():
    page, tag = {*(PACKAGE / "page").rglob("*.py")}, {*(PACKAGE / "apps" / "tag").rglob("*.py")}
    export = {path for path in PACKAGE.rglob("*.py") if path.stem == "export"}
    assert imported(*{*PACKAGE.rglob("*.py")} - page - tag - export) == RUN.keys() - NOT_IMPORTED
    assert imported(*page) - RUN.keys() == PAGE.keys()
    assert imported(*tag) - RUN.keys() == TAG.keys() | CLUSTER.keys()
    assert imported(*export) - RUN.keys() == EXPORT.keys() - NOT_IMPORTED
    assert imported(*(ROOT / "docs").glob("*.py")) == DOCS.keys() - NOT_IMPORTED
    extras = PAGE.keys() | TAG.keys() | CLUSTER.keys() | EXPORT.keys()
    assert imported(*(ROOT / "tests").rglob("*.py")) - RUN.keys() - extras == TEST.keys() - NOT_IMPORTED


@pytest.mark.parametrize("name", ALL)
def test_the_pinned_version_is_allowed(name):
    pinned, oldest = (tuple(map(int, version.split("."))) for version in (PINS[name], ALL[name]))
    assert pinned >= oldest


def test_other_files_name_the_same_versions():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    pinned = re.findall(r"([\w-]+)==([\d.]+)", hooks)
    assert {"ruff", "mypy"} <= {name for name, _ in pinned}
    assert all(PINS[name] == version for name, version in pinned), pinned
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    prefix = "Programming Language :: Python :: "
    pythons = {line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)}
    assert set(re.findall(r'python: "([\d.]+)"', workflow)) == pythons
    assert set(re.findall(r'torch: "([^"]+)"', workflow)) == {f"=={RUN['torch']}.*", f">={RUN['torch']}"}
