"""Single images with captions, for image-text training; every activity occurs, at every phase."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from actionprompt.world.actions import activities
from actionprompt.world.backgrounds import places
from actionprompt.world.captions import caption
from actionprompt.world.motion import DURATION_S
from actionprompt.world.render import render_with_mask
from actionprompt.world.scene import VERSION, Version, pool
from actionprompt.world.sensor import sample_sensor, shoot
from actionprompt.world.staging import stage


@dataclass(frozen=True)
class Still:
    """An image and what is true of it."""

    image: UInt8[np.ndarray, "H W 3"]
    caption: str
    caption_zh: str
    attributes: dict[str, str]
    """Ground truth: `activity` (key of the motion), `kind`, `pose`, `object`, `place`, `who`, `hair`, `hair_colour`,
    `shirt`, `bottom`, `bottom_colour`, and in version 2 `people`: `one` or `two`. A caption mentions only some of
    them."""
    figure: UInt8[np.ndarray, "H W"]
    """How much of each pixel shows the people of the action and their props, 0 to 255."""


def still(
    rng_or_seed: np.random.Generator | int,
    *,
    size_px: int = 112,
    fold: int = 0,
    on_black: bool = False,
    version: Version = VERSION,
) -> Still:
    """Draw an image with its captions.

    An integer seed gives the same still each time. Fold 0 has actors and backgrounds of its own; 1, 2, 3 are the
    folds of the video data set, 4 is reserved for held-out stills, and 5 is `val` of version 2. `on_black` draws the
    same people and props without the background and the crowd; the captions still mention the place.
    """
    rng = rng_or_seed if isinstance(rng_or_seed, np.random.Generator) else _seeded(rng_or_seed, version)
    return _draw(rng, 1, size_px=size_px, fold=fold, on_black=on_black, version=version)[0]


def moments(seed: int, num: int, *, size_px: int = 112, fold: int = 0, version: Version = "2") -> list[Still]:
    """Draw `num` random moments of one scene, each with captions and noise of its own. The people, the place, the view
    and the sensor are the same in all. In fours, a moment takes a third of the time of a single still."""
    return _draw(_seeded(seed, version), num, size_px=size_px, fold=fold, on_black=False, version=version)


def _seeded(seed: int, version: Version) -> np.random.Generator:
    return np.random.default_rng([seed, 5] if version == "1" else [int(version), seed, 5])


def _draw(
    rng: np.random.Generator, num: int, *, size_px: int, fold: int, on_black: bool, version: Version
) -> list[Still]:
    activity = activities(version)[int(rng.integers(len(activities(version))))]
    place = places(version)[int(rng.integers(len(places(version))))]
    actors, backgrounds = pool(fold, version)
    actor = actors[int(rng.integers(len(actors)))]
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    mirrored, times = bool(rng.integers(2)), rng.uniform(0.0, DURATION_S, num)
    staging = stage(
        rng, activity, actor, times,
        mirrored=mirrored, place=place, background=background, fold=fold, version=version,
    )  # fmt: skip
    performance, person = staging.performance, staging.take.actor
    scenery = staging.scenery | ({"background": None, "crowd": None} if on_black else {})
    images, figures = render_with_mask(staging.take, performance, staging.camera, **scenery, size_px=size_px)
    if version != "1":
        images = shoot(images, sample_sensor(rng), rng, stills=True)
    stills = []
    for image, figure, pose in zip(images, figures, performance.state, strict=True):
        english, chinese = caption(rng, actor=person, state=pose, place=place)
        things = [prop.name for prop in performance.props if prop.name != "mat"]
        if pose == "hands ahead":  # the ball has left the frame
            things = []
        attributes = {
            "activity": activity.key,
            "kind": activity.kind,
            "pose": pose,
            "object": things[-1] if things else "none",
            "place": place,
            "who": person.who,
            "hair": person.hair_style,
            "hair_colour": person.hair_name or "none",
            "shirt": person.shirt_name,
            "bottom": person.bottom,
            "bottom_colour": person.bottom_name,
        }
        if version != "1":
            attributes["people"] = "one" if performance.partner is None else "two"
        stills.append(Still(image, english, chinese, attributes, figure))
    return stills
