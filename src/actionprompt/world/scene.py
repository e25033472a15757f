"""What is sampled before a scene is rendered: the actor, the light and the camera."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from actionprompt.world.figure import Actor, Colour

VERSION = "1"
"""Version of the whole world: part of every path and of the seeds of clips. Raised with any change of the pixels."""

SHIRTS: dict[str, tuple[Colour, str]] = {
    "red": ((208, 56, 52), "红色"),
    "orange": ((236, 136, 44), "橙色"),
    "yellow": ((242, 204, 72), "黄色"),
    "green": ((72, 150, 82), "绿色"),
    "blue": ((54, 108, 188), "蓝色"),
    "purple": ((124, 84, 168), "紫色"),
    "pink": ((236, 140, 168), "粉色"),
    "white": ((240, 240, 236), "白色"),
    "black": ((52, 52, 58), "黑色"),
    "grey": ((142, 146, 152), "灰色"),
}
BOTTOMS: dict[str, tuple[Colour, str]] = {
    "blue": ((58, 84, 132), "蓝色"),
    "black": ((48, 48, 54), "黑色"),
    "grey": ((116, 120, 128), "灰色"),
    "brown": ((124, 88, 60), "棕色"),
    "green": ((78, 104, 72), "绿色"),
    "red": ((172, 58, 58), "红色"),
    "white": ((226, 222, 212), "白色"),
}
SKINS: tuple[Colour, ...] = (
    (250, 218, 190),
    (240, 196, 160),
    (222, 170, 128),
    (190, 134, 96),
    (146, 98, 68),
    (104, 70, 50),
)
HAIRS: dict[str, tuple[Colour, str]] = {
    "black": ((36, 30, 32), "黑"),
    "brown": ((98, 62, 40), "棕"),
    "blond": ((228, 188, 104), "金"),
    "red": ((182, 82, 40), "红"),
    "grey": ((176, 176, 180), "灰白"),
}


@lru_cache(maxsize=4096)
def sample_actor(number: int) -> Actor:
    """Actor `number` of the world; identical on every machine."""
    rng = np.random.default_rng([number, 11])
    who = ("man", "woman", "boy", "girl")[int(rng.choice(4, p=[0.36, 0.36, 0.14, 0.14]))]
    child, female = who in ("boy", "girl"), who in ("woman", "girl")
    styles = ("long", "bun", "ponytail", "short", "afro") if female else ("short", "short", "short", "afro", "bald")
    style = styles[int(rng.integers(5))]
    if child and style == "bald":
        style = "short"
    pick = lambda table: list(table)[int(rng.integers(len(table)))]  # noqa: E731
    shirt, bottom_name = pick(SHIRTS), pick(BOTTOMS)
    skin = SKINS[int(rng.integers(len(SKINS)))]
    hair_name = list(HAIRS)[int(rng.choice(5, p=[0.36, 0.26, 0.18, 0.1, 0.1]))]
    if child and hair_name == "grey":
        hair_name = "brown"
    bottom = ("trousers", "shorts", "skirt")[int(rng.choice(3, p=[0.4, 0.2, 0.4] if female else [0.7, 0.3, 0.0]))]
    return Actor(
        id=number,
        who=who,
        height=float(rng.uniform(0.74, 0.84) if child else rng.uniform(0.95, 1.06) - 0.04 * female),
        leg=float(rng.uniform(0.92, 0.98) if child else rng.uniform(0.96, 1.05)),
        bulk=float(rng.uniform(0.9, 1.1) if female or child else rng.uniform(0.98, 1.25)),
        head=float(rng.uniform(1.22, 1.36) if child else rng.uniform(1.0, 1.12)),
        skin=skin,
        hair=HAIRS[hair_name][0],
        hair_style=style,
        hair_name="" if style == "bald" else hair_name,
        shirt=SHIRTS[shirt][0],
        shirt_name=shirt,
        long_sleeves=bool(rng.random() < 0.5),
        bottom=bottom,
        bottom_colour=BOTTOMS[bottom_name][0],
        bottom_name=bottom_name,
        shoes=((60, 50, 46), (236, 236, 236), (176, 50, 48), (48, 72, 120))[int(rng.integers(4))],
    )


@dataclass(frozen=True)
class Camera:
    """Viewpoint, framing, camera motion and light of a clip."""

    yaw: float
    """Radians; see `motion.Performance.yaw`."""
    tilt: float
    """Downward tilt in radians."""
    zoom: float
    """Preferred size of one unit of the actor frame, in design pixels."""
    offset: tuple[float, float]
    """Preferred position (x, y) of the actor within the free room of the frame, -1..1 each."""
    window: float
    """Horizontal position of the frame in the wider background, 0..1."""
    flip: bool
    """Whether the background is mirrored."""
    drift: tuple[float, float, float, float, float]
    """The camera's own motion: pan in design pixels per second, amplitudes of the shake in x and y in design pixels,
    its rate in Hz and its phase in radians."""
    light: tuple[float, float, float]
    """Factors for red, green, blue."""


def sample_camera(rng: np.random.Generator, yaw: tuple[float, float], *, mirrored: bool) -> Camera:
    """Sample a camera with its yaw in a range of degrees; seen by a mirrored one, the actor faces left."""
    angle = np.deg2rad(rng.uniform(*yaw))
    warmth, gain = rng.uniform(-0.06, 0.06), rng.uniform(0.85, 1.05)
    return Camera(
        yaw=float(np.pi - angle if mirrored else angle),
        tilt=float(np.deg2rad(rng.uniform(6, 14))),
        zoom=float(rng.uniform(62, 80)),
        offset=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
        window=float(rng.uniform(0.15, 0.85)),
        flip=bool(rng.random() < 0.5),
        drift=(
            float(rng.uniform(-6, 6) * (rng.random() < 0.5)),
            float(rng.uniform(0, 1.2)),
            float(rng.uniform(0, 0.8)),
            float(rng.uniform(0.3, 1.5)),
            float(rng.uniform(0, 6.3)),
        ),
        light=(float(gain * (1 + warmth)), float(gain), float(gain * (1 - warmth))),
    )


def pool(fold: int) -> tuple[range, range]:
    """Numbers of the actors, and of the backgrounds of each place, that belong to a fold; folds are disjoint."""
    size = 400 if fold == 0 else 60
    return range(1000 * fold, 1000 * fold + size), range(1000 * fold, 1000 * fold + 32)
