"""Long videos of known parts: one person in one place who does one thing after another, with pauses.

In version 2 a partner is there during interactions only, nobody is in the background, and one sensor records all.

A video lasts at least `MIN_S`. A pause is empty (nobody is there) or idle (the person stands and breathes). Actions are
any classes in any order, but no class twice in a row. Reversible actions but walking, and interactions, are done once,
at a pace of their own, with short holds; walking, cyclic and still ones last as long as is drawn. The place is drawn
independently of the actions.

The actor's posture changes with the action, and so does the view that shows it well: there is a cut at every boundary.
So that a cut is no proof of a boundary, the camera is cut within actions and pauses too: every third cut is.

Which parts a video has is known in frames, and the same on every machine; `build` says what else is guaranteed. The
annotation of `NUMBER.mp4`, `NUMBER.csv` (`start_s,end_s,label`), lists the actions and no pauses.

Letters: H W size of a frame in pixels.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from actionprompt import files
from actionprompt.config import Progress
from actionprompt.world import render
from actionprompt.world.actions import Activity, activities, class_names
from actionprompt.world.backgrounds import places
from actionprompt.world.build import FPS, QP, Entry, build, write_frames
from actionprompt.world.figure import pose
from actionprompt.world.motion import DURATION_S, Performance, Take, hang, stand
from actionprompt.world.scene import Version, pool, sample_actor, sample_camera
from actionprompt.world.sensor import Sensor, sample_sensor, shoot
from actionprompt.world.staging import company, near_side

MIN_S = 60.0
ACTION_S, PAUSE_S = (2.0, 6.0), (1.0, 5.0)
"""How long an action or a pause may last. A reversible action but walking: at most `DURATION_S * MOST_STRETCH` and two
holds."""
MOST_STRETCH, MOST_HOLD_S = 1.4, 0.6
PAUSES = 0.75
"""How often an action is followed by a pause."""
SHOT_S = (1.5, 4.0)
"""How long until the camera is cut within an action or a pause; not so near its end that less than `LEAST_SHOT_S` is
left."""
LEAST_SHOT_S = 0.6
_ROLE = 2  # after `main` and `bias`


@dataclass(frozen=True)
class Part:
    """An action, or a pause, from frame `start` to before frame `end`."""

    start: int
    end: int
    label: str | None
    """None: a pause."""
    empty: bool = False
    """Of a pause: nobody is there."""


@dataclass(frozen=True)
class Long:
    """A long video of a fold."""

    fold: int
    number: int
    version: Version = "1"

    @property
    def keys(self) -> tuple[str, str]:
        """Paths of the video and its annotation relative to `build.folder`."""
        stem = f"fold{self.fold}/long/{self.number:03d}"
        return f"{stem}.mp4", f"{stem}.csv"


def parts_of(video: Long) -> tuple[Part, ...]:
    """What happens in a video, from its first frame to its last."""
    return _parts(_rng(video), video.version)


def segments_of(video: Long) -> tuple[tuple[float, float, str], ...]:
    """(start, end, class) of every action, in seconds."""
    return tuple((part.start / FPS, part.end / FPS, part.label) for part in parts_of(video) if part.label is not None)


def play(video: Long, *, size_px: int = 112) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Render a video, frame by frame; in version 2, as its sensor records it."""
    sensor = _sensor(video)
    noise_rng = np.random.default_rng([*_seed(video), 1])
    for frames in _shots_of(video, size_px):
        yield from frames if sensor is None else shoot(frames, sensor, noise_rng)


def _shots_of(video: Long, size_px: int) -> Iterator[UInt8[np.ndarray, "T H W 3"]]:
    """The frames of one shot after the other, without the sensor's noise."""
    rng, version = _rng(video), video.version
    parts = _parts(rng, version)
    actors, backgrounds = pool(video.fold, version)
    number = actors[int(rng.integers(len(actors)))]
    actor = sample_actor(number, version)
    place = places(version)[int(rng.integers(len(places(version))))]
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    partner = None if version == "1" else company(rng, number, video.fold, version)[0]
    mirrored = bool(rng.integers(2))
    near = near_side(mirrored)
    # its light, and which way round the background is
    room = sample_camera(rng, (0.0, 0.0), mirrored=mirrored, version=version)
    for part in parts:
        activity = next((a for a in activities(version) if part.label in a.names), None)
        style = int(rng.integers(1 << 32))  # of the action: the same in all its shots
        times = np.arange(part.end - part.start) / FPS
        within = _within(rng, activity, part, times)
        for shot in _shots(rng, len(times)):
            take = Take(actor, np.random.default_rng(style), within[shot], near, partner, version)
            performance = (activity.motion if activity else idle)(take)
            view = sample_camera(rng, performance.yaw, mirrored=mirrored, version=version)
            camera = replace(view, flip=room.flip, light=room.light)
            scene: dict[str, Any] = {"place": place, "background": background, "size_px": size_px}
            # of the camera, whatever the actor's is
            clock = Take(actor, rng, times[shot] - times[shot][0], near, partner, version)
            if part.empty:
                yield np.stack(list(render.render_empty(clock, camera, **scene)))
            else:
                yield render.render(clock, performance, camera, **scene)


def build_long(
    root: Path, videos: Iterable[Long], *, size_px: int = 112, workers: int = 1, progress: Progress | None = None
) -> Path:
    """`build.build` for long videos and their annotations."""
    return build(root, videos, size_px=size_px, workers=workers, progress=progress, write=_write)


def idle(take: Take) -> Performance:
    """Somebody who stands and breathes."""
    a, phase = take.actor, take.cycle(0.2, 0.35)
    sway = 0.03 * np.sin(0.7 * phase)
    arm = hang(take, 0.03 * np.sin(phase))
    hip = take.at(0.004 * a.height * np.sin(0.7 * phase), a.hip_height + 0.003 * a.height * np.sin(phase), 0.0)
    body = pose(a, hip, arms=(arm, arm), legs=stand(take), pitch=0.02 + 0.015 * np.sin(phase), nod=0.05 + sway)
    return Performance(body, ["standing"] * len(phase), [], (0, 120))


def _rng(video: Long) -> np.random.Generator:
    return np.random.default_rng(_seed(video))


def _seed(video: Long) -> list[int]:
    return [int(video.version), video.fold, _ROLE, video.number]


def _sensor(video: Long) -> Sensor | None:
    return None if video.version == "1" else sample_sensor(np.random.default_rng([*_seed(video), 0]))


def _parts(rng: np.random.Generator, version: Version) -> tuple[Part, ...]:
    parts: list[Part] = []
    last: str | None = None

    def add(seconds: float, label: str | None, empty: bool = False) -> None:
        start = parts[-1].end if parts else 0
        parts.append(Part(start, start + round(seconds * FPS), label, empty))

    def pause() -> None:
        add(rng.uniform(*PAUSE_S), None, bool(rng.integers(2)))

    if rng.random() < PAUSES:
        pause()
    while not parts or parts[-1].end < MIN_S * FPS:
        others = [name for name in class_names(version) if name != last]
        last = others[int(rng.integers(len(others)))]
        activity = next(a for a in activities(version) if last in a.names)
        if _once(activity):
            add(DURATION_S * rng.uniform(1.0, MOST_STRETCH) + 2 * rng.uniform(0.0, MOST_HOLD_S), last)
        else:
            add(rng.uniform(*ACTION_S), last)
        if rng.random() < PAUSES:
            pause()
    return tuple(parts)


def _once(activity: Activity) -> bool:
    """Whether it is over after `DURATION_S`."""
    return activity.kind in ("reversible", "interaction") and activity.key != "walk"


def _within(rng: np.random.Generator, activity: Activity | None, part: Part, times: np.ndarray) -> np.ndarray:
    """The time of the motion at each frame of a part: played backwards for the second class of a pair."""
    if activity is None:
        return times
    if _once(activity):
        spare = max(0.0, len(times) / FPS - DURATION_S)  # is made of two holds and a slower pace
        most = min(spare, 2 * MOST_HOLD_S)
        holds = rng.uniform(min(most, max(0.0, spare - DURATION_S * (MOST_STRETCH - 1))), most)
        before = rng.uniform(max(0.0, holds - MOST_HOLD_S), min(holds, MOST_HOLD_S))
        pace = DURATION_S / (DURATION_S + spare - holds)
        times = np.clip((times - before) * pace, 0.0, DURATION_S)
    return times[::-1] if part.label == activity.names[-1] != activity.names[0] else times


def _shots(rng: np.random.Generator, num_frames: int) -> Iterator[slice]:
    start = 0
    while True:
        stop = start + round(rng.uniform(*SHOT_S) * FPS)
        if stop > num_frames - LEAST_SHOT_S * FPS:
            yield slice(start, num_frames)
            return
        yield slice(start, stop)
        start = stop


def _write(here: Path, size_px: int, video: Long) -> list[Entry]:
    """Render a video and write it with its annotation."""
    key, table = video.keys
    sensor = _sensor(video)
    qp = QP if sensor is None else sensor.qp
    entry = write_frames(here, key, play(video, size_px=size_px), qp=qp, gop=FPS)
    rows = [f"{start:g},{end:g},{label}\n" for start, end, label in segments_of(video)]
    text = "".join(["start_s,end_s,label\n", *rows])
    files.write_text(here / table, text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return [entry, Entry(table, sha256, sha256)]
