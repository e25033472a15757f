"""Single images with captions, for image-text training; every activity occurs, at every phase."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.backgrounds import PLACES
from actionprompt.world.captions import caption
from actionprompt.world.motion import DURATION_S, Take
from actionprompt.world.render import render
from actionprompt.world.scene import pool, sample_actor, sample_camera


@dataclass(frozen=True)
class Still:
    """An image and what is true of it."""

    image: UInt8[np.ndarray, "H W 3"]
    caption: str
    caption_zh: str
    attributes: dict[str, str]
    """Ground truth: `activity` (key of the motion), `kind`, `pose`, `object`, `place`, `who`, `hair`, `hair_colour`,
    `shirt`, `bottom`, `bottom_colour`. A caption mentions only some of them."""


def still(
    rng_or_seed: np.random.Generator | int, *, size_px: int = 112, fold: int = 0, on_black: bool = False
) -> Still:
    """Draw an image with its captions.

    An integer seed gives the same still each time. Fold 0 has actors and backgrounds of its own; 1, 2, 3 are the
    folds of the video data set, and 4 is reserved for held-out stills. `on_black` draws the same person and props
    without the background, for masks; the captions still mention the place.
    """
    rng = rng_or_seed if isinstance(rng_or_seed, np.random.Generator) else np.random.default_rng([rng_or_seed, 5])
    activity = ACTIVITIES[int(rng.integers(len(ACTIVITIES)))]
    place = list(PLACES)[int(rng.integers(len(PLACES)))]
    actors, backgrounds = pool(fold)
    actor = sample_actor(actors[int(rng.integers(len(actors)))])
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    mirrored = bool(rng.integers(2))
    take = Take(actor, rng, np.array([rng.uniform(0.0, DURATION_S)]), "left" if mirrored else "right")
    performance = activity.motion(take)
    camera = sample_camera(rng, performance.yaw, mirrored=mirrored)
    shown = None if on_black else background
    image = render(take, performance, camera, place=place, background=shown, size_px=size_px)[0]
    english, chinese = caption(rng, actor=actor, state=performance.state[0], place=place)
    things = [prop.name for prop in performance.props if prop.name != "mat"]
    if performance.state[0] == "hands ahead":  # the ball has left the frame
        things = []
    attributes = {
        "activity": activity.key,
        "kind": activity.kind,
        "pose": performance.state[0],
        "object": things[-1] if things else "none",
        "place": place,
        "who": actor.who,
        "hair": actor.hair_style,
        "hair_colour": actor.hair_name or "none",
        "shirt": actor.shirt_name,
        "bottom": actor.bottom,
        "bottom_colour": actor.bottom_name,
    }
    return Still(image, english, chinese, attributes)
