"""Articulated figures: bodies, limbs given by angles or end points, and the solids of which everything is made.

Actor frame: x forward, y up, z to the actor's left; one unit is about the height of an adult; the floor is y = 0.
All arrays have a leading time axis T, so one call poses a whole clip.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Array = np.ndarray
Track = Float[Array, "T 3"]
"""The position of one point in every frame of a clip."""
Colour = tuple[int, int, int]

UP = np.array([0.0, 1.0, 0.0])
FORWARD = np.array([1.0, 0.0, 0.0])
SIDES = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class Actor:
    """A person: proportions relative to an adult of height 1, and appearance."""

    id: int
    who: str
    """`man`, `woman`, `boy` or `girl`."""
    height: float
    leg: float
    """Leg length relative to the average at this height."""
    bulk: float
    """Thickness of limbs and torso relative to the average."""
    head: float
    """Head radius relative to the average."""
    skin: Colour
    hair: Colour
    hair_style: str
    """`short`, `long`, `bun`, `ponytail`, `afro`, `bald`, `bob`, `braid`, `pigtails` or `mohawk`."""
    hair_name: str
    shirt: Colour
    shirt_name: str
    long_sleeves: bool
    bottom: str
    """`trousers`, `shorts` or `skirt`."""
    bottom_colour: Colour
    bottom_name: str
    shoes: Colour
    arms: float = 1.0
    """Arm length relative to the average at this height."""
    belly: float = 0.0
    """How far the belly protrudes, 0..1."""
    garment: str = "shirt"
    """`shirt`, `button-up`, `t-shirt`, `sleeveless`, `hoodie`, `jacket` (open over a shirt of colour `trim`) or
    `dress`."""
    pattern: str = "plain"
    """Pattern of the shirt: `plain`, `stripes`, `checks`, `dots`, `print` or `band`."""
    trim: Colour = (240, 240, 236)
    """Colour of the patterns."""
    bottom_pattern: str = "plain"
    """`plain`, `side stripe`, `hem` or `checks`."""
    footwear: str = "shoes"
    """`shoes`, `trainers` or `boots`."""
    beard: str = "none"
    """`none`, `beard` or `moustache`."""
    glasses: str = "none"
    """`none`, `glasses` or `sunglasses`."""
    accessories: tuple[str, ...] = ()
    """Any of `scarf`, `tie`, `belt`, `headband`, `headphones` and `bow`; none covers the hair as a hat does."""
    accent: Colour = (214, 64, 56)
    """Colour of the accessories."""

    @property
    def shin(self) -> float:
        return 0.235 * self.height * self.leg

    @property
    def thigh(self) -> float:
        return 0.24 * self.height * self.leg

    @property
    def ankle(self) -> float:
        return 0.035 * self.height

    @property
    def hip_height(self) -> float:
        """Height of the pelvis above the floor with nearly straight legs."""
        return self.ankle + 0.985 * (self.shin + self.thigh)

    @property
    def torso(self) -> float:
        return 0.27 * self.height

    @property
    def upper_arm(self) -> float:
        return 0.155 * self.height * self.arms

    @property
    def forearm(self) -> float:
        return 0.15 * self.height * self.arms

    @property
    def arm(self) -> float:
        return self.upper_arm + self.forearm

    @property
    def head_radius(self) -> float:
        return 0.078 * self.height * self.head

    @property
    def half_shoulders(self) -> float:
        return 0.088 * self.height * self.bulk

    @property
    def half_hips(self) -> float:
        return 0.05 * self.height * self.bulk


@dataclass(frozen=True)
class Swing:
    """A limb given by angles in radians in the torso's frame: at 0 it hangs down; at pi/2, `flex` points it forward and
    `side` outward. `lower_flex` and `lower_side` are the same angles of the forearm or shin."""

    flex: Float[Array, "T"] | float
    side: Float[Array, "T"] | float
    lower_flex: Float[Array, "T"] | float
    lower_side: Float[Array, "T"] | float


@dataclass(frozen=True)
class Reach:
    """A limb given by the position of its end (inverse kinematics); the middle joint bends towards `pole`."""

    target: Track
    pole: tuple[float, float, float]
    """Direction in the actor frame, (forward, up, outward)."""


Limb = Swing | Reach


@dataclass
class Pose:
    """Joint tracks by name (`pelvis`, `left_hand`, ...) and the axes (forward, up, left) of torso and head."""

    joints: dict[str, Track]
    torso: tuple[Track, Track, Track]
    head: tuple[Track, Track, Track]

    def __getitem__(self, joint: str) -> Track:
        return self.joints[joint]


@dataclass
class Solid:
    """The convex hull of balls: a limb, a face of a box, a ball. Everything in front of the background is made of
    solids."""

    points: Float[Array, "T N 3"]
    radii: tuple[float, ...]
    colour: Colour
    facing: Track | None = None
    """Outward normal; the solid is drawn only in frames where it faces the camera."""
    cull: float = 0.0
    """Cosine between `facing` and the direction to the camera above which the solid is drawn."""


@dataclass
class Part:
    """Solids drawn together, in order, on top of one common outline; parts are painted from far to near."""

    solids: list[Solid]
    anchor: Track
    """Position of the part that determines its depth in the painting order."""
    nearer: float = 0.0
    """Offset towards the camera, added to the depth of the anchor."""
    outline: bool = True


@dataclass
class Prop:
    """An object in the scene: its name for captions, and its parts."""

    name: str
    parts: list[Part] = field(default_factory=list)


def tracks(num_frames: int, *coordinates: Array | float) -> Track:
    """Stack x, y and z, each a number or [T], into [T, 3]."""
    stacked = np.empty((num_frames, len(coordinates)))
    for axis, coordinate in enumerate(coordinates):
        stacked[:, axis] = coordinate
    return stacked


def unit(v: Array) -> Array:
    """Vectors of length 1; a zero vector stays zero."""
    return v / np.maximum(_length(v), 1e-9)


def _length(v: Array) -> Array:
    """Lengths with a trailing axis of 1; `np.linalg.norm` gives the same bits in twice the time."""
    return np.sqrt(np.add.reduce(v * v, axis=-1, keepdims=True))


def cross(v: Track, w: Track) -> Track:
    """The cross product of two tracks."""
    return v[:, [1, 2, 0]] * w[:, [2, 0, 1]] - v[:, [2, 0, 1]] * w[:, [1, 2, 0]]


def bend(start: Track, end: Track, first: float, second: float, pole: Track) -> tuple[Track, Track]:
    """Middle joint and end of two bones from `start` towards `end`, bent towards `pole` (two-bone inverse kinematics).

    If the target is out of reach, the limb is stretched along the straight line to it, so bones keep their length.
    """
    line = end - start
    distance = _length(line)
    reach = np.clip(distance, abs(first - second) + 1e-4, (first + second) * 0.9995)
    along = unit(line)
    across = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    near = (reach**2 + first**2 - second**2) / (2 * reach)
    off = np.sqrt(np.maximum(first**2 - near**2, 0.0))
    return start + along * near + across * off, start + along * reach


def _turn(v: Track, w: Track, angle: Array) -> tuple[Track, Track]:
    """Rotate the orthonormal pair (v, w) in its plane by `angle`, from v towards w."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return v * c + w * s, w * c - v * s


def pose(
    actor: Actor,
    pelvis: Track,
    *,
    arms: tuple[Limb, Limb],
    legs: tuple[Limb, Limb],
    pitch: Array | float = 0.0,
    roll: Array | float = 0.0,
    twist: Array | float = 0.0,
    nod: Array | float = 0.0,
) -> Pose:
    """The joints of an actor in every frame of a clip, from the pelvis outwards.

    `pitch` leans the torso forward (pi/2: lying face down, -pi/2: lying on the back, pi: a handstand), `roll` leans it
    to its right, `twist` turns the shoulders to the left relative to the hips, `nod` bends the head down. `arms` and
    `legs` are (left, right). Legs given by angles are in the frame of the pelvis, which pitches with the torso.
    """
    num_frames = len(pelvis)
    zeros = np.zeros(num_frames)
    spread = lambda a: zeros + a  # noqa: E731
    forward, up, left = (np.tile(v, (num_frames, 1)) for v in (FORWARD, UP, np.array([0.0, 0.0, 1.0])))
    ahead, sideways = forward, left
    up, forward = _turn(up, forward, spread(pitch))
    up, left = _turn(up, left, -spread(roll))
    hip_axes = forward, up, sideways
    forward, left = _turn(forward, left, spread(twist))
    neck = pelvis + up * actor.torso
    head_up, head_forward = _turn(up, forward, spread(nod))
    head = neck + 0.4 * up * actor.head_radius + head_up * actor.head_radius * 0.95
    joints = {"pelvis": pelvis, "neck": neck, "head": head}

    def limb(spec: Limb, root: Track, first: float, second: float, side: float, axes: tuple) -> tuple[Track, Track]:
        if isinstance(spec, Reach):
            pole = ahead * spec.pole[0] + UP * spec.pole[1] + sideways * side * spec.pole[2]
            return bend(root, spec.target, first, second, pole)
        f, u, outward = axes[0], axes[1], axes[2] * side

        def towards(flex: Array | float, out: Array | float) -> Track:
            a, b = spread(flex)[:, None], spread(out)[:, None]
            return -u * np.cos(a) * np.cos(b) + f * np.sin(a) * np.cos(b) + outward * np.sin(b)

        middle = root + towards(spec.flex, spec.side) * first
        return middle, middle + towards(spec.lower_flex, spec.lower_side) * second

    for spec, (name, side) in zip(arms, SIDES.items(), strict=True):
        shoulder = neck - up * 0.03 * actor.height + left * side * actor.half_shoulders
        elbow, hand = limb(spec, shoulder, actor.upper_arm, actor.forearm, side, (forward, up, left))
        joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_hand": hand}
    for spec, (name, side) in zip(legs, SIDES.items(), strict=True):
        hip = pelvis + hip_axes[2] * side * actor.half_hips
        knee, ankle = limb(spec, hip, actor.thigh, actor.shin, side, hip_axes)
        shin = unit(ankle - knee)
        tip = hip_axes[0] - 0.25 * hip_axes[1]
        toe = ankle + unit(tip - (tip * shin).sum(-1, keepdims=True) * shin) * 0.085 * actor.height
        toe[:, 1] = np.maximum(toe[:, 1], np.minimum(0.018 * actor.height, ankle[:, 1]))
        joints |= {f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle, f"{name}_toe": toe}
    return Pose(joints, (forward, up, left), (head_forward, head_up, left))


def hull(colour: Colour, *balls: tuple[Track, float], facing: Track | None = None, cull: float = 0.0) -> Solid:
    """The convex hull of balls given as (track, radius)."""
    points, radii = zip(*balls, strict=True)
    return Solid(np.array(points).transpose(1, 0, 2), radii, colour, facing, cull)


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter (factor > 1), clipped to 0..255."""
    red, green, blue = colour
    return min(255, round(red * factor)), min(255, round(green * factor)), min(255, round(blue * factor))
