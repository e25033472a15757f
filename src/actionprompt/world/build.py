"""From scene numbers to video files: which scenes there are, how one is rendered, and the folder that holds the clips.

Guaranteed across machines, for each version: the same keys and labels, and the same frames before encoding
(`frames_sha256` in the manifest); tests compare both with stored hashes. The bytes of the files, and so the decoded
frames, are the same wherever the same PyAV wheel is installed. The two clips of a reversible scene always decode to the
same frames in opposite order, since every frame is coded independently (intra only, constant quantiser, one thread).

A folder belongs to one version and frame size, and one process at a time builds in it. Its `manifest.tsv` has a line
per clip: key, SHA-256 of the file, SHA-256 of the rendered frames. A clip is written to a temporary file, renamed, then
added to the manifest, so a build that was interrupted at any point is resumed by the next one; clips in the manifest
are verified before they are used.
"""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from actionprompt import files
from actionprompt.config import Progress
from actionprompt.video import write_video
from actionprompt.world.actions import Activity, activities
from actionprompt.world.backgrounds import places
from actionprompt.world.motion import DURATION_S
from actionprompt.world.render import render
from actionprompt.world.scene import VERSION, Version, pool
from actionprompt.world.sensor import sample_sensor, shoot
from actionprompt.world.staging import Staging, stage

FPS = 20
NUM_FRAMES = 40
"""Two seconds. Chosen so that the centres of 8, 16 or 32 equal segments are symmetric under time reversal: the two
clips of a pair then give the same sampled frames in opposite order. With 4 or 10 segments they are one frame apart."""
QP = 26
"""Constant quantiser of version 1: about 80 KB per clip at 112 px. In version 2 each sensor has its own."""
HOME_OF_FOUR = 3
"""In role `main`, this many of every four scenes of an activity play at its home, the others at any other place."""

Role = Literal["main", "bias", "swap"]
_ROLE_SEED: dict[Role, int] = {"main": 0, "bias": 1, "swap": 3}  # 2: long videos


@dataclass(frozen=True)
class Scene:
    """One rendering: a clip, or the two clips of a reversible activity."""

    activity: Activity
    fold: int
    """1, 2 or 3, and 5 for `val` of version 2: which actors and backgrounds take part."""
    role: Role
    """`main`: mostly at the activity's home. `bias`: never at its home. `swap`, of version 2: the scene of role `main`
    with the same number, at the home of other classes."""
    number: int
    version: Version = "1"

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of its clips relative to `folder`: forwards and, for a reversible activity, backwards."""
        folder = f"fold{self.fold}/{self.role}"
        return tuple(f"{folder}/{name.replace(' ', '_')}/{self.number:03d}.mp4" for name in self.activity.names)

    @property
    def at_home(self) -> bool:
        """Whether it plays at the activity's home: in role `main`, true for three of any four successive numbers."""
        turn = self.number + activities(self.version).index(self.activity) + self.fold
        return self.role == "main" and (turn + 1) * HOME_OF_FOUR // 4 > turn * HOME_OF_FOUR // 4


def cast(scene: Scene) -> tuple[np.random.Generator, int, str, int]:
    """What is sampled for a scene: actor, place and background, after a generator for everything sampled later."""
    if scene.role == "swap":
        rng, actor, place, background = cast(replace(scene, role="main"))
        return rng, actor, _elsewhere(_seeded(scene), scene, place), background
    rng = _seeded(scene)
    away = _elsewhere(rng, scene)
    actors, backgrounds = pool(scene.fold, scene.version)
    actor = actors[int(rng.integers(len(actors)))]
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    return rng, actor, scene.activity.home if scene.at_home else away, background


def _seeded(scene: Scene) -> np.random.Generator:
    index = activities(scene.version).index(scene.activity)
    return np.random.default_rng([int(scene.version), scene.fold, _ROLE_SEED[scene.role], index, scene.number])


def _elsewhere(rng: np.random.Generator, scene: Scene, *others: str) -> str:
    """A place that is neither the home of the activity nor one of the others."""
    left = [place for place in places(scene.version) if place not in (scene.activity.home, *others)]
    return left[int(rng.integers(len(left)))]


def set_up(scene: Scene) -> tuple[np.random.Generator, Staging]:
    """What is rendered, after the generator for the sensor."""
    rng, actor, place, background = cast(scene)
    mirrored = bool(rng.integers(2))
    times = np.arange(NUM_FRAMES) * (DURATION_S / NUM_FRAMES)
    staging = stage(
        rng, scene.activity, actor, times,
        mirrored=mirrored, place=place, background=background, fold=scene.fold, version=scene.version,
    )  # fmt: skip
    return rng, staging


def play(scene: Scene, *, size_px: int = 112) -> UInt8[np.ndarray, "40 H W 3"]:
    """Render a scene forwards; in version 2, as its sensor records it."""
    return _record(scene, size_px)[0]


def _record(scene: Scene, size_px: int) -> tuple[UInt8[np.ndarray, "40 H W 3"], int]:
    """The frames of a scene, and the quantiser they are encoded with."""
    rng, staging = set_up(scene)
    frames = render(staging.take, staging.performance, staging.camera, **staging.scenery, size_px=size_px)
    if scene.version == "1":
        return frames, QP
    sensor = sample_sensor(rng)
    return shoot(frames, sensor, rng), sensor.qp


@dataclass(frozen=True)
class Entry:
    """A line of the manifest."""

    key: str
    file_sha256: str
    frames_sha256: str
    """Hash of the bytes of the rendered frames, before encoding; of a text, of its bytes."""


@runtime_checkable
class Built(Protocol):
    """What is built in one piece: a `Scene`, or a long video."""

    @property
    def version(self) -> Version: ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of its files relative to `folder`."""
        ...


def folder(root: Path, size_px: int, version: Version = VERSION) -> Path:
    """Folder of the clips of a version and frame size below a root."""
    return root / f"v{version}-{size_px}px"


def read_manifest(path: Path) -> dict[str, Entry]:
    """Entries by key. Of several entries for a key the last one counts; incompletely written lines are ignored."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    rows = [line.split("\t") for line in lines]
    return {row[0]: Entry(*row) for row in rows if len(row) == 3 and len(row[1]) == len(row[2]) == 64}


def build(
    root: Path,
    scenes: Iterable[Built],
    *,
    size_px: int = 112,
    workers: int = 1,
    progress: Progress | None = None,
    write: Callable[[Path, int, Any], list[Entry]] | None = None,
) -> Path:
    """Write the clips of these scenes that do not exist yet, verify the others, and return the folder they are in.

    `progress(done, total)` counts the scenes to be built. With `workers` > 1 new Python processes are started, so a
    script needs the usual `if __name__ == "__main__"`. Of several processes that a launcher started, the first one
    builds and the others wait. `write(folder, size_px, scene)` writes the files of a scene and returns their entries;
    by default `write_scene`.

    Raises:
        ValueError: scenes of more than one version, or none; a clip whose file was changed, one whose frames differ
            from those rendered before, or another process that builds in the folder.
    """
    scenes = list(scenes)
    versions = {scene.version for scene in scenes}
    if len(versions) != 1:
        raise ValueError(f"expected scenes of one version, got {len(scenes)} scenes of versions {sorted(versions)}")
    here = folder(root, size_px, versions.pop())
    while todo := _missing(here, scenes):
        if os.environ.get("LOCAL_RANK", "0") != "0":
            time.sleep(0.5)
            continue
        with files.one_writer(here):
            for home in {(here / key).parent for scene in todo for key in scene.keys}:
                files.sweep(home)
            todo = _missing(here, todo)
            _build(here, todo, _written(here, todo, size_px, workers, write or write_scene), progress)
        break
    return here


def _missing(here: Path, scenes: Iterable[Built]) -> list[Built]:
    """The scenes that are to be built; the clips of the others are verified."""
    known = read_manifest(here / "manifest.tsv")
    todo = []
    for scene in scenes:
        if all(key in known and (here / key).exists() for key in scene.keys):
            for key in scene.keys:
                _check(here / key, known[key])
        else:
            todo.append(scene)
    return todo


def _build(
    here: Path, todo: list[Built], written: Generator[list[Entry], None, None], progress: Progress | None
) -> None:
    known = read_manifest(here / "manifest.tsv")
    with open(here / "manifest.tsv", "ab", buffering=0) as manifest, contextlib.closing(written):
        for done, entries in enumerate(written, start=1):
            for entry in entries:
                before = known.get(entry.key)
                if before is not None and before.frames_sha256 != entry.frames_sha256:
                    raise ValueError(
                        f"{here / entry.key}: expected frames {before.frames_sha256[:12]} as in the manifest, rendered "
                        f"{entry.frames_sha256[:12]}; this folder was built by another program, choose another root"
                    )
            lines = "".join(f"{e.key}\t{e.file_sha256}\t{e.frames_sha256}\n" for e in entries)
            # The leading newline ends a line that an interrupted run may have left incomplete.
            manifest.write(f"\n{lines}".encode())
            if progress is not None:
                progress(done, len(todo))
        os.fsync(manifest.fileno())


def _check(path: Path, entry: Entry) -> None:
    found = files.sha256(path)
    if found != entry.file_sha256:
        raise ValueError(
            f"{path}: expected SHA-256 {entry.file_sha256[:12]} as built, got {found[:12]}; the file was changed, "
            "delete it and it will be built again"
        )


def _written(
    here: Path, scenes: list[Built], size_px: int, workers: int, write: Callable[[Path, int, Any], list[Entry]]
) -> Generator[list[Entry], None, None]:
    write_here = partial(write, here, size_px)
    if workers == 1:
        yield from map(write_here, scenes)
        return
    spawn = multiprocessing.get_context("spawn")
    # Ctrl-C is for this process, which ends the others
    with ProcessPoolExecutor(workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as executor:
        yield from executor.map(write_here, scenes, chunksize=4)


def write_scene(here: Path, size_px: int, scene: Scene) -> list[Entry]:
    """Render a scene and write its clips."""
    frames, qp = _record(scene, size_px)
    clips = zip(scene.keys, (frames, frames[::-1]), strict=False)
    return [write_frames(here, key, clip, qp=qp, gop=1) for key, clip in clips]


def write_frames(
    here: Path, key: str, frames: Iterable[UInt8[np.ndarray, "H W 3"]], *, qp: int = QP, gop: int
) -> Entry:
    """Write a video, whole or not at all, with a key frame every `gop` frames."""
    digest = hashlib.sha256()

    def hashed() -> Generator[UInt8[np.ndarray, "H W 3"], None, None]:
        for frame in frames:
            digest.update(frame.tobytes())
            yield frame

    with files.replacing(here / key) as temporary:
        draft = temporary.with_name(f"{temporary.name}.mp4")  # its suffix says which format
        write_video(draft, hashed(), FPS, qp=qp, gop=gop)
        file_sha256 = files.sha256(draft)
        draft.rename(temporary)
    return Entry(key, file_sha256, digest.hexdigest())
