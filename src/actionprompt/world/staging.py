"""What is in front of the camera: a performance, the people around it, the place, and the view of it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from actionprompt.world.actions import Activity
from actionprompt.world.distractors import sample_crowd
from actionprompt.world.figure import Actor, Array
from actionprompt.world.motion import Performance, Take
from actionprompt.world.scene import Camera, Version, pool, sample_actor, sample_camera

NUM_BYSTANDERS = 6
"""How many other actors of the fold the crowd of a scene is chosen from."""


@dataclass(frozen=True)
class Staging:
    """What `render` draws: `render(s.take, s.performance, s.camera, **s.scenery, size_px=...)`."""

    take: Take
    performance: Performance
    camera: Camera
    scenery: dict[str, Any]
    """`place` and `background`; in version 2 also `crowd`."""


def stage(
    rng: np.random.Generator,
    activity: Activity,
    actor: int,
    times: Array,
    *,
    mirrored: bool,
    place: str,
    background: int,
    fold: int,
    version: Version,
) -> Staging:
    """Perform an activity at `times` in seconds, float[T]. The crowd depends on the place, so it is sampled from a
    generator of its own: all else, and the state of `rng` afterwards, is the same at every place."""
    first, near = sample_actor(actor, version), near_side(mirrored)
    scenery: dict[str, Any] = {"place": place, "background": background}
    if version == "1":
        take = Take(first, rng, times, near)
    else:
        partner, *others = company(rng, actor, fold, version)
        crowd_rng = np.random.default_rng(int(rng.integers(1 << 32)))
        scenery["crowd"] = sample_crowd(crowd_rng, place=place, actors=others, t=times)
        take = Take(first, rng, times, near, partner, version)
    performance = activity.motion(take)
    camera = sample_camera(rng, performance.yaw, mirrored=mirrored, version=version)
    return Staging(take, performance, camera, scenery)


def near_side(mirrored: bool) -> Literal["left", "right"]:
    """The side of the body that is turned to the camera; seen by a mirrored one, the actor faces left."""
    return "left" if mirrored else "right"


def company(rng: np.random.Generator, actor: int, fold: int, version: Version) -> list[Actor]:
    """Other actors of the fold: the partner of an interaction, then the bystanders."""
    actors, _ = pool(fold, version)
    steps = 1 + rng.choice(len(actors) - 1, 1 + NUM_BYSTANDERS, replace=False)
    return [sample_actor(actors[(actor - actors.start + int(step)) % len(actors)], version) for step in steps]
