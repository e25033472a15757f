"""What an installation has, what is wrong with it, and what to do: versions, codecs, devices, memory, cache, weights.

Every part is looked at by itself, and imports what it needs by itself, so that a broken library is a finding. Nothing
is changed; the one file that is written, a video of four frames, is deleted.
"""

import base64
import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt import __version__, files
from actionprompt.config import cache_root, num_cores

NAME = "actionprompt"
LEAST_MEMORY, LEAST_DISK = 2 * 10**9, 2 * 10**9
"""Bytes that should be free: the default CLIP has 0.6 GB of weights, in memory twice while they are loaded."""
HUB_TIMEOUT_S = 3.0
EXTRAS = ("page", "tag", "cluster", "export")
"""Of the package, those that users install."""
REINSTALL = f"pip install --force-reinstall {NAME}"
PYAV = "install PyAV from its wheel, which brings FFmpeg: pip install --force-reinstall --only-binary :all: av"
DRIVER = Path("/proc/driver/nvidia/version")
"""There where Linux has NVIDIA's driver."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong."""

    what: str
    do: str
    """What to do about it."""


@dataclass(frozen=True)
class Report:
    """What was found."""

    facts: dict[str, Facts]
    """By part. Numbers of bytes have names that end in `_bytes`; folders below the home folder begin with `~`."""
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        problems = [{"what": problem.what, "do": problem.do} for problem in self.problems]
        return {"ok": not problems, "problems": problems, **self.facts}


class _Wrong(list[Problem]):
    def add(self, what: str, do: str) -> None:
        self.append(Problem(what, do))


def examine(*, hub: bool = False) -> Report:
    """Look at everything; the hub is asked with `hub` alone, and has `HUB_TIMEOUT_S` seconds to answer."""
    parts: dict[str, Callable[[_Wrong], Facts]] = {
        "program": _program, "libraries": _libraries, "extras": _extras, "video": _video, "devices": _devices,
        "memory": _memory, "cache": _cache, "embedded models": _embedded, "backbones": _backbones,
    }  # fmt: skip
    if hub:
        parts["hub"] = _hub
    facts, wrong = {}, _Wrong()
    for name, part in parts.items():
        try:
            facts[name] = part(wrong)
        except Exception as error:  # whatever a broken library raises
            wrong.add(f"{name}: {_line(error)}", REINSTALL)
    return Report(facts, tuple(wrong))


def home_as_tilde(path: Path) -> str:
    """A path without the name of the user, since reports of faults are public."""
    with contextlib.suppress(ValueError, RuntimeError):
        return str(Path("~") / path.absolute().relative_to(Path.home()))
    return str(path)


# Python and its packages ----------------------------------------------------------------------------------------------


def _program(wrong: _Wrong) -> Facts:
    return {
        NAME: __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
    }


def requirements(lines: Iterable[str], extra: str | None = None) -> dict[str, str]:
    """The ranges of versions, such as `<19,>=17.1`, by distribution, of the lines of a package's metadata that belong
    to an extra, or to none."""
    found = {}
    for line in lines:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?\s*([^;]*?)\s*(?:;.*extra == ['\"]([\w-]+)['\"].*)?", line)
        if match is not None and match[3] == extra:
            found[match[1]] = match[2]
    return found


def allowed(version: str, asked: str) -> bool:
    """Whether a version is in a range such as `<19,>=17.1`, by its numbers."""
    bounds = re.findall(r"(>=|<)\s*([\d.]+)", asked)
    return all((_numbers(version) >= _numbers(bound)) == (sign == ">=") for sign, bound in bounds)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:4]]
    return (*numbers, *[0] * (4 - len(numbers)))


def _asked() -> list[str]:
    """What the installed package asks for; nothing where it runs from a checkout that is not installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.requires(NAME) or []
    return []


def _installed(name: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _libraries(wrong: _Wrong) -> Facts:
    facts = {}
    for name, asked in requirements(_asked()).items():
        facts[name] = found = _installed(name)
        if found is None or not allowed(found, asked):
            wrong.add(f"{name} {found or 'is not installed'}: {asked} is needed", f'pip install "{name}{asked}"')
    return facts


def _extras(wrong: _Wrong) -> Facts:
    facts: Facts = {}
    for extra in EXTRAS:
        asked = requirements(_asked(), extra)
        found = {name: _installed(name) for name in asked}
        missing = [name for name, version in found.items() if version is None]
        old = [name for name, version in found.items() if version is not None and not allowed(version, asked[name])]
        facts[extra] = f"without {', '.join(missing)}" if missing else "installed" if found else "not known"
        if old:
            wrong.add(f"the extra {extra} needs other versions of {', '.join(old)}", f'pip install "{NAME}[{extra}]"')
    return facts


# Video ----------------------------------------------------------------------------------------------------------------


def _video(wrong: _Wrong) -> Facts:
    from actionprompt.video import codecs

    found = codecs.decoders()
    names = {True: [name for name in found if found[name]], False: [name for name in found if not found[name]]}
    facts: Facts = {
        **codecs.libraries(), "decodes": ", ".join(names[True]), "does not decode": ", ".join(names[False]) or None,
    }  # fmt: skip
    try:
        codecs.check_h264()
        facts["H.264 written and read"] = "yes"
    except Exception as error:  # an encoder that is not there is one of several errors of PyAV
        facts["H.264 written and read"] = "no"
        wrong.add(f"a video cannot be written and read: {_line(error)}", PYAV)
    if not found["h264"]:
        wrong.add("there is no decoder of H.264, in which most videos are", PYAV)
    return facts


# The computer ---------------------------------------------------------------------------------------------------------


def _devices(wrong: _Wrong) -> Facts:
    import torch

    from actionprompt import records
    from actionprompt.backbone import default_device

    facts: Facts = {"cpu": records.hardware()["cpu"], "cores": num_cores(), "threads of torch": torch.get_num_threads(),
                    "cuda of torch": torch.version.cuda, "used by default": str(default_device())}  # fmt: skip
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        facts[f"gpu {index}"] = f"{about.name}, {about.total_memory / 1e9:.1f} GB, compute {about.major}.{about.minor}"
    if DRIVER.exists() and not torch.cuda.is_available():
        built = f"is for CUDA {torch.version.cuda}" if torch.version.cuda else "has no CUDA"
        wrong.add(
            f"an NVIDIA driver is here, but torch cannot use it: this torch {built}",
            "install the torch that https://pytorch.org names for your driver, or update the driver",
        )
    try:
        torch.ones(8, 8, device=default_device()).matmul(torch.ones(8, 8, device=default_device())).sum().item()
    except Exception as error:  # of a driver that is too old, or a GPU that this torch has no code for
        wrong.add(f"{default_device()} cannot compute: {_line(error)}", "choose --device cpu, or another torch")
    return facts


def _memory(wrong: _Wrong) -> Facts:
    facts = {"total_bytes": _pages("SC_PHYS_PAGES"), "free_bytes": _free_memory()}
    if facts["free_bytes"] is not None and facts["free_bytes"] < LEAST_MEMORY:
        wrong.add(f"{_gb(facts['free_bytes'])} of memory are free, {_gb(LEAST_MEMORY)} are needed for the default CLIP",
                  "close other programs, or choose a smaller backbone")  # fmt: skip
    return facts


def _pages(name: str) -> int | None:
    """A number of memory pages in bytes; None where the system does not tell."""
    if name in getattr(os, "sysconf_names", {}):
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    return None


def _free_memory() -> int | None:
    """Memory that programs could get, that of the disk cache as well."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return _pages("SC_AVPHYS_PAGES")


def _cache(wrong: _Wrong) -> Facts:
    root = cache_root()
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    facts: Facts = {"folder": home_as_tilde(root), "free_bytes": free}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir():
            facts[f"{path.name}_bytes"] = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
    elsewhere = "set ACTIONPROMPT_CACHE to another folder"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        wrong.add(f"the cache folder {facts['folder']} cannot be written", elsewhere)
    if free < LEAST_DISK:
        do = f"delete what is in the cache folder (it is made again), or {elsewhere}"
        wrong.add(f"{_gb(free)} of disk are free for the cache folder, {_gb(LEAST_DISK)} are needed", do)
    return facts


# Weights --------------------------------------------------------------------------------------------------------------


def _embedded(wrong: _Wrong) -> Facts:
    from actionprompt import weights

    assets = Path(weights.__file__).parents[1] / "assets"
    facts: Facts = {path.parent.name: files.sha256(path) for path in sorted(assets.glob("*/*.safetensors"))}
    for path, expected in _recorded():
        if not path.is_file() or files.sha256(path) != expected:
            gone = "is not as it was installed" if path.is_file() else "is missing"
            wrong.add(f"{path.name} of {path.parent.name} {gone}", REINSTALL)
    facts["weights of tiny"] = weights.load_clip(weights.TINY).fingerprint()
    return facts


def _recorded() -> Iterator[tuple[Path, str]]:
    """The embedded models' files with their SHA-256, as the installer noted them; none in an editable installation."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(NAME) or ():
            if "assets" in file.parts and file.hash is not None and file.hash.mode == "sha256":
                digest = base64.urlsafe_b64decode(file.hash.value + "==").hex()
                yield Path(str(file.locate())), digest


def _backbones(wrong: _Wrong) -> Facts:
    from huggingface_hub import constants

    from actionprompt.weights import DEFAULT, hub
    from actionprompt.weights.known import KNOWN

    there = [name for name in KNOWN if hub.cached(name)]
    needs = f"not here; `actionprompt weights get {DEFAULT}` fetches it"
    return {"folder": home_as_tilde(Path(constants.HF_HUB_CACHE)), DEFAULT: "here" if DEFAULT in there else needs,
            "others": ", ".join(name for name in there if name != DEFAULT) or None}  # fmt: skip


def _hub(wrong: _Wrong) -> Facts:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return {"address": constants.ENDPOINT, "answers": "not asked, since HF_HUB_OFFLINE is set"}
    began = time.perf_counter()
    try:
        status = get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S).status_code
        answers = f"yes, status {status}, {time.perf_counter() - began:.1f} s"
    except Exception as error:  # of whichever HTTP client huggingface_hub has
        answers = "no"
        do = "check network and proxy (HTTPS_PROXY), or see docs/how_to/weights_behind_a_firewall.md"
        wrong.add(f"{constants.ENDPOINT} does not answer: {_line(error)}", do)
    return {"address": constants.ENDPOINT, "answers": answers}


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
