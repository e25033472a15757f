"""Articulated figures: bodies, limbs given by angles or end points, and the solids that draw a posed body.

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
    """`short`, `long`, `bun`, `ponytail`, `afro` or `bald`."""
    hair_name: str
    shirt: Colour
    shirt_name: str
    long_sleeves: bool
    bottom: str
    """`trousers`, `shorts` or `skirt`."""
    bottom_colour: Colour
    bottom_name: str
    shoes: Colour

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
        return 0.155 * self.height

    @property
    def forearm(self) -> float:
        return 0.15 * self.height

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
    return np.stack([np.broadcast_to(np.asarray(c, float), (num_frames,)) for c in coordinates], axis=-1)


def unit(v: Array) -> Array:
    """Vectors of length 1; a zero vector stays zero."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def bend(start: Track, end: Track, first: float, second: float, pole: Track) -> tuple[Track, Track]:
    """Middle joint and end of two bones from `start` towards `end`, bent towards `pole` (two-bone inverse kinematics).

    If the target is out of reach, the limb is stretched along the straight line to it, so bones keep their length.
    """
    line = end - start
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
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
    spread = lambda a: np.broadcast_to(np.asarray(a, float), (num_frames,))  # noqa: E731
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
    return Solid(np.stack(points, axis=1), radii, colour, facing, cull)


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter (factor > 1), clipped to 0..255."""
    return tuple(int(min(255, max(0, round(c * factor)))) for c in colour)  # type: ignore[return-value]


def figure_parts(actor: Actor, p: Pose) -> list[Part]:
    """The parts that draw a posed actor: legs, torso with clothes, head with hair and face, arms."""
    h, b = actor.height, actor.height * actor.bulk
    forward, up, left = p.torso
    head_forward, head_up, head_left = p.head
    parts = []
    trousers = actor.bottom == "trousers"
    for name in SIDES:
        hip, knee, ankle, toe = (p[f"{name}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
        shin_colour = actor.bottom_colour if trousers else actor.skin
        thigh_colour = actor.skin if actor.bottom == "skirt" else actor.bottom_colour
        solids = [
            hull(shin_colour, (knee, 0.034 * b), (ankle, 0.023 * b)),
            hull(actor.shoes, (ankle - 0.008 * up, 0.024 * h), (toe, 0.019 * h)),
            hull(thigh_colour, (hip, 0.05 * b), (knee, 0.037 * b)),
        ]
        parts.append(Part(solids, (hip + knee * 2 + ankle) / 4))
    pelvis, neck = p["pelvis"], p["neck"]
    waist = pelvis + up * 0.07 * h
    hips = [(p["left_hip"], 0.052 * b), (p["right_hip"], 0.052 * b), (waist, 0.055 * b)]
    shoulders = [(p[f"{s}_shoulder"] - up * 0.012 * h, 0.036 * b) for s in SIDES]
    chest = neck - up * 0.09 * h
    belly = [(waist + left * s * 0.018 * b, 0.055 * b) for s in (1.0, -1.0)]
    torso = [hull(actor.bottom_colour, *hips)]
    if actor.bottom == "skirt":
        hem = [
            (p[f"{s}_hip"] + (p[f"{s}_knee"] - p[f"{s}_hip"]) * 0.75 + left * k * 0.02 * h, 0.05 * b)
            for s, k in SIDES.items()
        ]
        parts.append(Part([hull(actor.bottom_colour, *hips, *hem)], pelvis, nearer=0.09 * h))
    torso.append(hull(actor.shirt, *shoulders, *belly, (chest + forward * 0.012 * h, 0.055 * b)))
    torso.append(hull(actor.skin, (neck - up * 0.005 * h, 0.03 * h), (p["head"] - head_up * 0.03 * h, 0.03 * h)))
    parts.append(Part(torso, (pelvis + neck) / 2))
    parts.append(_head_part(actor, p["head"], head_forward, head_up, head_left))
    for name in SIDES:
        shoulder, elbow, hand = (p[f"{name}_{j}"] for j in ("shoulder", "elbow", "hand"))
        sleeve = actor.shirt if actor.long_sleeves else actor.skin
        beyond = hand + unit(hand - elbow) * 0.02 * h
        solids = [
            hull(sleeve, (elbow, 0.026 * b), (hand, 0.02 * b)),
            hull(actor.skin, (beyond, 0.027 * h)),
            hull(shade(actor.shirt, 0.93), (shoulder, 0.034 * b), (elbow, 0.027 * b)),
        ]
        parts.append(Part(solids, (shoulder + elbow + hand) / 3, nearer=0.05 * h))
    return parts


def _head_part(actor: Actor, centre: Track, forward: Track, up: Track, left: Track) -> Part:
    r = actor.head_radius
    hair = {"short": 1.0, "long": 1.04, "bun": 1.0, "ponytail": 1.0, "afro": 1.35, "bald": 0.0}[actor.hair_style]
    back = centre - forward * 0.2 * r + up * 0.16 * r
    solids = []
    if actor.hair_style == "long":
        solids.append(hull(actor.hair, (back, r * 0.95), (centre - forward * 0.55 * r - up * 1.55 * r, r * 0.55)))
    if actor.hair_style == "ponytail":
        knot = centre - forward * 1.05 * r + up * 0.4 * r
        solids.append(hull(actor.hair, (knot, r * 0.3), (knot - up * 1.3 * r - forward * 0.3 * r, r * 0.22)))
    if actor.hair_style == "bun":
        solids.append(hull(actor.hair, (centre - forward * 0.5 * r + up * 1.1 * r, r * 0.42)))
    if hair:
        solids.append(hull(actor.hair, (back, r * hair)))
    face = centre + forward * 0.2 * r - up * 0.08 * r
    if not hair:
        solids.append(hull(actor.skin, (centre, r)))
    solids.append(hull(actor.skin, (face, r * 0.84), (face - up * 0.25 * r, r * 0.7), facing=forward, cull=-0.4))
    if not hair:
        pass
    elif actor.hair_style != "afro":
        fringe = centre + up * 0.62 * r
        solids.append(hull(actor.hair, (fringe - forward * 0.5 * r, r * 0.52), (fringe + forward * 0.3 * r, r * 0.38)))
    else:
        solids.append(hull(actor.hair, (centre + up * 0.75 * r - forward * 0.1 * r, r * 0.75)))
    for side in (1.0, -1.0):
        eye = centre + forward * 0.93 * r + left * side * 0.36 * r
        solids.append(hull((38, 32, 34), (eye, r * 0.12), facing=forward + 0.35 * side * left))
    mouth = centre + forward * 0.9 * r - up * 0.5 * r
    lips = shade(actor.skin, 0.62)
    solids.append(hull(lips, (mouth + left * 0.16 * r, r * 0.07), (mouth - left * 0.16 * r, r * 0.07), facing=forward))
    return Part(solids, centre, nearer=0.02)
