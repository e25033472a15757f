"""What is sampled before a scene is rendered: the actor, the light and the camera."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from actionprompt.world.figure import Actor, Colour

Version = Literal["1", "2"]

VERSION: Version = "1"
"""What is drawn where no version is given. A version is part of every path and of the seeds of clips: the pixels of
none are ever changed."""

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
PALE = ("yellow", "pink", "white", "orange", "grey")
"""Shirts on which a dark pattern is easier to see than a light one."""
ACCENTS: tuple[Colour, ...] = (
    (214, 64, 56),
    (238, 148, 48),
    (242, 206, 84),
    (84, 160, 92),
    (64, 128, 196),
    (140, 96, 176),
    (240, 240, 236),
    (60, 60, 68),
)
"""Colours of patterns and accessories in version 2."""
SHOES: tuple[Colour, ...] = (
    (60, 50, 46),
    (236, 236, 236),
    (176, 50, 48),
    (48, 72, 120),
    (150, 104, 62),
    (80, 140, 90),
    (232, 168, 60),
)
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
def sample_actor(number: int, version: Version = VERSION) -> Actor:
    """Actor `number` of a version of the world; identical on every machine."""
    return _actor_1(number) if version == "1" else _actor_2(number)


def _actor_1(number: int) -> Actor:
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
        shoes=SHOES[int(rng.integers(4))],
    )


def _actor_2(number: int) -> Actor:
    rng = np.random.default_rng([2, number, 11])

    def pick(*options: tuple[str, float]) -> str:
        """One of the options (name, weight)."""
        lot = rng.random() * sum(weight for _, weight in options)
        for name, weight in options:
            lot -= weight
            if lot < 0:
                return name
        return options[0][0]

    def tint(colour: Colour) -> Colour:
        """A colour nearby, which keeps its name."""
        gain, warmth = rng.uniform(0.88, 1.08), rng.uniform(-0.04, 0.04)
        red, green, blue = (min(255, round(level * gain * (1 + k * warmth))) for level, k in zip(colour, (1, 0, -1)))
        return red, green, blue

    who = pick(("man", 0.35), ("woman", 0.35), ("boy", 0.15), ("girl", 0.15))
    child, female = who in ("boy", "girl"), who in ("woman", "girl")
    hair_name = pick(("black", 0.32), ("brown", 0.26), ("blond", 0.16), ("red", 0.1), ("grey", 0.0 if child else 0.16))
    style = (
        pick(
            ("long", 3),
            ("short", 3),
            ("bun", 2),
            ("ponytail", 2),
            ("bob", 3),
            ("braid", 2),
            ("pigtails", 1 + child),
            ("afro", 2),
        )
        if female
        else pick(("short", 6), ("afro", 2), ("mohawk", 1.2), ("long", 0.8), ("bald", 0.0 if child else 2))
    )
    garment = pick(
        ("shirt", 2),
        ("button-up", 2),
        ("t-shirt", 3),
        ("sleeveless", 1),
        ("hoodie", 2),
        ("jacket", 2),
        ("dress", 2.0 * female),
    )
    shirt = pick(*((name, 1.0) for name in SHIRTS if garment != "dress" or name in BOTTOMS))
    shirt_colour = tint(SHIRTS[shirt][0])
    bottom, bottom_name = (
        pick(("trousers", 5), ("shorts", 3), ("skirt", 4.0 * female)),
        pick(*((b, 1.0) for b in BOTTOMS)),
    )
    bottom_colour = tint(BOTTOMS[bottom_name][0])
    if garment == "dress":  # one piece: its lower half is the skirt
        bottom, bottom_name, bottom_colour = "skirt", shirt, shirt_colour
    tone = float(rng.uniform(0, len(SKINS) - 1))
    lighter, darker = (np.array(SKINS[i]) for i in (int(tone), min(int(tone) + 1, len(SKINS) - 1)))
    skin = tuple(int(v) for v in np.rint(lighter + (darker - lighter) * (tone - int(tone))))
    pattern = pick(("plain", 5), ("stripes", 2), ("checks", 1.5), ("dots", 1), ("print", 2), ("band", 1))
    worn = [
        name
        for name, chance in (
            ("scarf", 0.07),
            ("tie", 0.3 * (garment == "button-up" and not female)),
            ("belt", 0.3 * (garment != "dress")),
            ("headband", 0.08 * (style not in ("bald", "mohawk"))),
            ("headphones", 0.07),
            ("bow", 0.2 * female),
        )
        if rng.random() < chance
    ]
    return Actor(
        id=number,
        who=who,
        height=float(rng.uniform(0.66, 0.85) if child else rng.uniform(0.92, 1.1) - 0.05 * female),
        leg=float(rng.uniform(0.9, 0.99) if child else rng.uniform(0.93, 1.08)),
        bulk=float(rng.uniform(0.86, 1.2) if child else rng.uniform(0.84, 1.25) + (0.1 if not female else 0.0)),
        head=float(rng.uniform(1.2, 1.4) if child else rng.uniform(0.96, 1.12)),
        skin=skin,  # type: ignore[arg-type]
        hair=tint(HAIRS[hair_name][0]),
        hair_style=style,
        hair_name="" if style == "bald" else hair_name,
        shirt=shirt_colour,
        shirt_name=shirt,
        long_sleeves=garment in ("hoodie", "jacket")
        or (garment in ("shirt", "button-up", "dress") and bool(rng.random() < 0.6)),
        bottom=bottom,
        bottom_colour=bottom_colour,
        bottom_name=bottom_name,
        shoes=tint(SHOES[int(rng.integers(len(SHOES)))]),
        arms=float(rng.uniform(0.96, 1.06)),
        belly=0.0 if child else float(max(0.0, rng.uniform(-1.2, 1.0))),
        garment=garment,
        pattern="plain" if garment == "jacket" else pattern,
        trim=ACCENTS[int(rng.integers(len(ACCENTS)))]
        if rng.random() < 0.5
        else ((240, 240, 236), (52, 52, 58))[shirt in PALE],
        bottom_pattern=pick(("plain", 6), ("side stripe", 1.5), ("hem", 1.5), ("checks", 1.5)),
        footwear=pick(("shoes", 2), ("trainers", 3), ("boots", 2)),
        beard="none" if child or female else pick(("none", 6), ("beard", 2.5), ("moustache", 1.5)),
        glasses=pick(("none", 8), ("glasses", 2), ("sunglasses", 0.8)),
        accessories=tuple(worn),
        accent=ACCENTS[int(rng.integers(len(ACCENTS)))],
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
    lag: float = 1.0
    """Phase in radians of the vertical shake when that of the horizontal one is 0; it is 1.7 times as fast."""
    subject: float = 1.0
    """Brightness of people and props relative to the background; below 1, the scene is lit from behind."""


def sample_camera(
    rng: np.random.Generator, yaw: tuple[float, float], *, mirrored: bool, version: Version = VERSION
) -> Camera:
    """Sample a camera with its yaw in a range of degrees; seen by a mirrored one, the actor faces left.

    In version 2 the range is wider by 15 degrees at both ends, and the camera's motion has the same distribution when
    time is reversed: `lag` is uniform.
    """
    return (_camera_1 if version == "1" else _camera_2)(rng, yaw, mirrored)


def _camera_1(rng: np.random.Generator, yaw: tuple[float, float], mirrored: bool) -> Camera:
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


def _camera_2(rng: np.random.Generator, yaw: tuple[float, float], mirrored: bool) -> Camera:
    angle = np.deg2rad(rng.uniform(yaw[0] - 15, yaw[1] + 15))
    place = rng.uniform(-1, 1, 2).tolist()
    scene = rng.random()
    dim, backlit = scene < 0.1, scene > 0.9
    gain = rng.uniform(0.55, 0.75) if dim else rng.uniform(0.78, 1.12)
    warmth, tint = rng.uniform(-0.13, 0.13), rng.uniform(-0.04, 0.04)
    shaky = rng.random() < 1 / 3
    pan, shake_x, shake_y, rate = (9, 3.5, 2.5, 2.4) if shaky else (6, 1.2, 0.8, 1.5)
    return Camera(
        yaw=float(np.pi - angle if mirrored else angle),
        tilt=float(np.deg2rad(rng.uniform(2, 28))),
        zoom=float(rng.uniform(58, 96)),
        offset=(place[0], place[1]),
        window=float(rng.uniform(0.05, 0.95)),
        flip=bool(rng.random() < 0.5),
        drift=(
            float(rng.uniform(-pan, pan) * (rng.random() < 0.5)),
            float(rng.uniform(0, shake_x)),
            float(rng.uniform(0, shake_y)),
            float(rng.uniform(0.3, rate)),
            float(rng.uniform(0, 2 * np.pi)),
        ),
        light=(float(gain * (1 + warmth)), float(gain * (1 + tint)), float(gain * (1 - warmth))),
        lag=float(rng.uniform(0, 2 * np.pi)),
        subject=float(rng.uniform(0.5, 0.75) if backlit else rng.uniform(0.88, 1.08)),
    )


def pool(fold: int, version: Version = VERSION) -> tuple[range, range]:
    """Numbers of the actors, and of the backgrounds of each place, that belong to a fold; folds are disjoint.

    Fold 0 has the stills for training, 1 to 3 are the folds of the video data set, 4 has the held-out stills and 5, in
    version 2, the clips of `val`.
    """
    if version == "1":
        size = 400 if fold == 0 else 60
        return range(1000 * fold, 1000 * fold + size), range(1000 * fold, 1000 * fold + 32)
    actors, backgrounds = (3000, 160) if fold == 0 else (150, 48)
    return range(10000 * fold, 10000 * fold + actors), range(10000 * fold, 10000 * fold + backgrounds)
