"""What a motion gets (`Take`) and returns (`Performance`), and the helpers from which motions are composed.

A motion is a function of time that poses a body and moves its props: see `reversible_motions`, `cyclic_motions`,
`still_motions` and `interaction_motions`. All lengths are in the unit of the actor frame (see `figure`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import Actor, Array, Colour, Limb, Pose, Prop, Reach, Swing, Track, tracks
from actionprompt.world.scene import Version

PI = np.pi
DURATION_S = 2.0
LAST_S = 1.95
"""Time of the last frame of a clip."""


@dataclass(frozen=True)
class Take:
    """The input of a motion: the actor, the times, and the random generator that varies the style."""

    actor: Actor
    rng: np.random.Generator
    t: Array
    """Times in seconds within the clip, float[T]."""
    near: Literal["left", "right"]
    """The side of the body that is turned to the camera."""
    partner: Actor | None = None
    """The second person of an interaction."""
    version: Version = "1"
    """Version 1 has one style per action; version 2 has several, more props, and wider ranges of speed."""

    def progress(self) -> Array:
        """From 0 to 1, eased in and out; start, end and hold times are random, so no frame number has a fixed phase."""
        early, late = ((0.0, 0.3), (1.6, 2.0)) if self.version == "1" else ((0.0, 0.5), (1.45, 1.95))
        start, stop = self.rng.uniform(*early), self.rng.uniform(*late)
        low, high = self.rng.uniform(-0.12, 0.0), self.rng.uniform(1.0, 1.12)
        u = np.clip((self.t - start) / (stop - start), 0.0, 1.0)
        return np.clip(low + (high - low) * smooth(u), 0.0, 1.0)

    def cycle(self, low_hz: float, high_hz: float, wider: tuple[float, float] | None = None) -> Array:
        """Phase in radians, with a rate sampled from the range, in version 2 from the `wider` one, and a random initial
        phase."""
        return 2 * PI * (self.vary(low_hz, high_hz, wider) * self.t + self.rng.uniform(0.0, 1.0))

    def vary(self, low: float, high: float, wider: tuple[float, float] | None = None) -> float:
        """A random number in the range, in version 2 in the `wider` one."""
        return float(self.rng.uniform(*(wider if wider and self.version == "2" else (low, high))))

    def kind(self, options: Sequence[str]) -> str:
        """A random one of the options; version 1 has the first one only."""
        return options[0] if self.version == "1" else options[int(self.rng.integers(len(options)))]

    def factor(self, low: float, high: float) -> float:
        """A random factor in version 2; 1 in version 1."""
        return 1.0 if self.version == "1" else self.vary(low, high)

    def sway(self) -> Track | float:
        """Displacement of the hips of somebody who stands, float[T, 3]; none in version 1."""
        if self.version == "1":
            return 0.0
        ahead, aside = (self.vary(0.0, 0.014) * np.sin(self.cycle(0.15, 0.6)) for _ in range(2))
        return self.at(ahead, 0.0, aside + self.vary(-0.02, 0.02))

    def at(self, x: Array | float, y: Array | float, z: Array | float) -> Track:
        return tracks(len(self.t), x, y, z)

    def colour(self) -> Colour:
        """A random bright colour for a prop."""
        return VIVID[int(self.rng.integers(len(VIVID)))]


VIVID: tuple[Colour, ...] = (
    (214, 64, 56),
    (238, 148, 48),
    (242, 200, 66),
    (92, 168, 84),
    (56, 140, 196),
    (120, 92, 176),
    (226, 112, 150),
    (64, 176, 168),
)
CARDBOARD: Colour = (190, 142, 88)


@dataclass
class Performance:
    """A posed clip, before the camera is chosen."""

    pose: Pose
    state: list[str]
    """Name of the pose in each frame, a key of `captions.states`; it never reveals the direction of time."""
    props: list[Prop] = field(default_factory=list)
    yaw: tuple[float, float] = (0.0, 35.0)
    """Range of the camera's yaw in degrees: at 0 the actor is in profile and faces right, at 90 the actor faces the
    camera, at negative values the back is visible."""
    scroll: Array | float = 0.0
    """How far the camera has moved along the forward axis, float[T]."""
    extent: list[Track] = field(default_factory=list)
    """Further points, in addition to the joints, that have to be inside the frame."""
    shadow: tuple[str, ...] = ("left_ankle", "right_ankle")
    """The shadow on the floor covers the area below these joints."""
    partner: Pose | None = None
    """The pose of `Take.partner` in the scene; its own forward axis may point anywhere."""


def smooth(u: Array) -> Array:
    """Smoothstep: eases in and out, from 0..1 to 0..1."""
    return u * u * (3 - 2 * u)


def keyed(u: Array, *keys: tuple[float, ...]) -> list[Array]:
    """Tracks through keyframes (u, value, value, ...), eased between them."""
    at = np.array([k[0] for k in keys])
    i = np.clip(np.searchsorted(at, u, side="right") - 1, 0, len(at) - 2)
    w = smooth(np.clip((u - at[i]) / (at[i + 1] - at[i]), 0.0, 1.0))
    values = np.array([k[1:] for k in keys], float)
    return [values[i, c] * (1 - w) + values[i + 1, c] * w for c in range(values.shape[1])]


def choose(u: Array, *names: tuple[float, str]) -> list[str]:
    """Per frame, the last name whose threshold is at most `u`."""
    return [next(name for low, name in reversed(names) if value >= low) for value in u]


def stand(take: Take, *, width: float = 0.055, split: float = 0.0) -> tuple[Limb, Limb]:
    """Legs with both feet on the floor, each `width` from the middle, the left one `split` ahead of the middle and the
    right one as far behind it."""
    a = take.actor
    return both(lambda s: Reach(take.at(s * split, a.ankle, s * width * a.height), (1, 0, 0.2)))


def hang(take: Take, flex: Array | float = 0.0, *, bent: float = 0.15) -> Swing:
    """An arm that hangs down, swung by `flex`."""
    side = take.vary(0.06, 0.16)
    return Swing(flex, side, np.asarray(flex) + bent, side * 0.5)


def pair(near: str, near_limb: Limb, far_limb: Limb) -> tuple[Limb, Limb]:
    """The limbs as (left, right), given which side is near the camera."""
    return (near_limb, far_limb) if near == "left" else (far_limb, near_limb)


def both(limb: Callable[[float], Limb]) -> tuple[Limb, Limb]:
    """The limbs as (left, right), given a function of the side: 1 for left, -1 for right."""
    return limb(1.0), limb(-1.0)


def opposite(phase: Array, side: float) -> Array:
    """Phase of a limb when left and right alternate: the right one (side -1) is half a cycle from the left one."""
    return phase if side > 0 else phase + PI


def sitting_height(a: Actor) -> float:
    """Height of a seat from which the feet reach the floor."""
    return a.ankle + a.shin * 0.98


def gait(
    take: Take, x: Array, *, phase: Array, stride: float, lift: float, lag: float = 0.0, width: float = 0.05
) -> tuple[Limb, Limb]:
    """Legs of somebody who walks: `phase` advances by pi per step; one foot is on the floor while the other swings.

    `x` is the position of the body, float[T]; `stride` is the length of a step; the feet are `lag` behind the body.
    """

    def foot(side: float) -> Reach:
        turn = opposite(phase, side) / (2 * PI)
        within = turn - np.floor(turn)
        swing = np.clip((within - 0.5) / 0.5, 0, 1)
        ahead = stride / 2 * np.where(within < 0.5, 1 - 4 * within, 2 * smooth(swing) - 1)
        height = take.actor.ankle + lift * np.sin(PI * swing)
        return Reach(take.at(x + ahead - lag, height, side * width * take.actor.height), (1, 0, 0.1))

    return both(foot)


HELD = ("box", "ball", "bag", "bucket", "bottle", "book")
"""The things that `thing` makes and that a person can carry."""


def thing(take: Take, kind: str, centre: Track, size: float) -> Prop:
    """A thing of `HELD` in a random colour, about `size` wide."""
    if kind == "box":
        made = take.kind(props.BOXES)
        colour = take.colour() if made == "present" else CARDBOARD
        return props.box(centre, size, size * take.factor(0.75, 1.1) * 0.85, colour, nearer=0.03, kind=made)
    colour = take.colour()
    if kind == "ball":
        return props.ball(centre, size / 2, colour, kind=take.kind(props.BALLS))
    if kind == "bag":
        return props.bag(centre, size, colour, kind=take.kind(props.BAGS))
    return {"bucket": props.bucket, "bottle": props.bottle, "book": props.closed_book}[kind](centre, size, colour)


def half_height(kind: str, size: float) -> float:
    """How high the centre of a thing of `HELD` is above the floor on which it stands."""
    return size * {"box": 0.45, "book": 0.17}.get(kind, 0.5)


def grip(kind: str, size: float) -> tuple[float, float, float]:
    """Where a hand holds a thing of `HELD`, relative to its centre: ahead, up, to the hand's side."""
    if kind in ("bag", "bucket"):
        return 0.0, 0.62 * size, 0.02
    if kind == "bottle":
        return -0.01, 0.0, 0.02
    return -0.01, 0.0, 0.5 * size


def mats(take: Take, x: float, length: float, width: float, *, chance: float = 0.5) -> list[Prop]:
    """With some probability, a mat on the floor."""
    if take.vary(0, 1) >= chance:
        return []
    return [props.mat(take.at(x, 0, 0), length, width, take.colour(), kind=take.kind(props.MATS))]


Motion = Callable[[Take], Performance]
