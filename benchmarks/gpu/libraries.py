"""Which libraries a machine lacks, and how they come from a folder of wheels. Loads none of them."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

UNUSED = ("matplotlib", "opencv-python-headless", "rich", "torchmetrics", "tyro")
"""Dependencies of the package that nothing here loads."""


def missing(pyproject: Path, path: Sequence[str]) -> dict[str, str | None]:
    """The distributions that the package needs and `path` does not hold, or holds in a version that is too old; and in
    turn what those need that are there, with the one that needs it."""
    found = _installed(path)
    lines: list[str] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted: list[tuple[str, str | None]] = [(line, None) for line in lines if _name(line) not in UNUSED]
    lacking: dict[str, str | None] = {}
    seen: set[str] = set()
    while wanted:
        line, by = wanted.pop(0)
        name, least = _name(line), re.search(r">=\s*([\d.]+)", line)
        if name in seen:
            continue
        seen.add(name)
        if name not in found or (least and _version(found[name].version) < _version(least[1])):
            lacking[name] = by
        else:
            wanted += [(line, name) for line in found[name].requires or [] if ";" not in line]  # without extras
    return lacking


def install(wheels: Path, lacking: Sequence[str], target: Path) -> str:
    """Install into the folder `target` the wheels of what is lacking, and of what is not there at all; what pip says
    where it refuses."""
    here = _installed(sys.path)
    files = [str(file) for file in sorted(wheels.glob("*.whl"))]
    files = [file for file in files if (name := _name(Path(file).name.split("-")[0])) not in here or name in lacking]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    if not files:
        return ""
    done = subprocess.run([*command, "--no-deps", "--target", target, *files], capture_output=True, text=True)
    return f"{wheels}: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}" if done.returncode else ""


def _installed(path: Sequence[str]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for distribution in distributions(path=list(path)):
        if distribution.metadata["Name"]:
            found.setdefault(_name(distribution.metadata["Name"]), distribution)
    return found


def _name(requirement: str) -> str:
    """Normalised, as `typing-extensions` of `typing_extensions>=4.1`."""
    return re.sub(r"[-_.]+", "-", re.match(r"\s*([\w.-]+)", requirement)[1]).lower()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.match(r"[\d.]*", text)[0].split(".") if number)
