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


def missing(pyproject: Path, path: Sequence[str]) -> list[str]:
    """The distributions that the package needs and `path` does not hold, or holds in a version that is too old; and in
    turn what those need that are there."""
    found = _installed(path)
    wanted: list[str] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = [line for line in wanted if _name(line) not in UNUSED]
    lacking, seen = [], set()
    while wanted:
        line = wanted.pop(0)
        name, least = _name(line), re.search(r">=\s*([\d.]+)", line)
        if name in seen:
            continue
        seen.add(name)
        if name not in found or (least and _version(found[name].version) < _version(least[1])):
            lacking.append(name)
        else:
            wanted += [line for line in found[name].requires or [] if ";" not in line]  # without extras
    return sorted(lacking)


def install(wheels: Path, lacking: Sequence[str], target: Path) -> None:
    """Install into the folder `target` the wheels of what is lacking, and of what is not there at all.

    Raises:
        ValueError: pip refuses, with its last line.
    """
    here = _installed(sys.path)
    files = [str(file) for file in sorted(wheels.glob("*.whl"))]
    files = [file for file in files if (name := _name(Path(file).name.split("-")[0])) not in here or name in lacking]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    if files:
        done = subprocess.run([*command, "--no-deps", "--target", target, *files], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{wheels}: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}")


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
