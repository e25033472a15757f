"""What people do: each motion is a function of time that poses a body and moves its things.

A motion gets a `Take` and returns a `Performance`. Motions of the reversible kind run from the first action's
beginning to its end; the second action of the pair is the same performance run backwards. All lengths in the unit of
the actor frame.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import (
    SIDES,
    Actor,
    Array,
    Colour,
    Limb,
    Pose,
    Prop,
    Reach,
    Swing,
    Track,
    pose,
    tracks,
    unit,
)

PI = np.pi
DURATION_S = 2.0


@dataclass(frozen=True)
class Take:
    """One performance to be given: who, when, and with which random style."""

    actor: Actor
    rng: np.random.Generator
    t: Array
    """Times in seconds within the clip, float[T]."""
    near: Literal["left", "right"]
    """The side of the body that is turned to the camera."""

    def progress(self) -> Array:
        """From 0 to 1 with eased ends; start, end and holding times vary, so that no frame number has a fixed phase."""
        start, stop = self.rng.uniform(0.0, 0.3), self.rng.uniform(1.6, 2.0)
        low, high = self.rng.uniform(-0.12, 0.0), self.rng.uniform(1.0, 1.12)
        u = np.clip((self.t - start) / (stop - start), 0.0, 1.0)
        return np.clip(low + (high - low) * smooth(u), 0.0, 1.0)

    def cycle(self, low_hz: float, high_hz: float) -> Array:
        """Phase in radians at a rate drawn from the range, from a random start."""
        return 2 * PI * (self.rng.uniform(low_hz, high_hz) * self.t + self.rng.uniform(0.0, 1.0))

    def vary(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def at(self, x: Array | float, y: Array | float, z: Array | float) -> Track:
        return tracks(len(self.t), x, y, z)

    def colour(self) -> Colour:
        """A bright colour for a thing."""
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
    """A posed clip before it is seen by a camera."""

    pose: Pose
    state: list[str]
    """What the pose looks like in each frame, a key of `captions.STATES`; it never tells which way time runs."""
    props: list[Prop] = field(default_factory=list)
    yaw: tuple[float, float] = (0.0, 35.0)
    """Range of the camera's yaw in degrees: 0 sees the profile facing right, 90 the front, negative the back."""
    scroll: Array | float = 0.0
    """How far the camera travels along the way forward, float[T]."""
    extent: list[Track] = field(default_factory=list)
    """Points beside the joints that belong into the frame."""
    shadow: tuple[str, ...] = ("left_ankle", "right_ankle")
    """Joints below which a shadow falls."""


def smooth(u: Array) -> Array:
    """Ease in and out, 0..1 to 0..1."""
    return u * u * (3 - 2 * u)


def keyed(u: Array, *keys: tuple[float, ...]) -> list[Array]:
    """Tracks through keyframes (u, value, value, ...), eased between them."""
    at = np.array([k[0] for k in keys])
    i = np.clip(np.searchsorted(at, u, side="right") - 1, 0, len(at) - 2)
    w = smooth(np.clip((u - at[i]) / (at[i + 1] - at[i]), 0.0, 1.0))
    values = np.array([k[1:] for k in keys], float)
    return [values[i, c] * (1 - w) + values[i + 1, c] * w for c in range(values.shape[1])]


def choose(u: Array, *names: tuple[float, str]) -> list[str]:
    """The last name whose threshold is not above u, per frame."""
    return [next(name for low, name in reversed(names) if value >= low) for value in u]


def stand(take: Take, *, width: float = 0.055, split: float = 0.0) -> tuple[Limb, Limb]:
    """Both feet on the floor, `width` off the middle, the left one `split` ahead and the right one as much behind."""
    a = take.actor
    return both(lambda s: Reach(take.at(s * split, a.ankle, s * width * a.height), (1, 0, 0.2)))


def hang(take: Take, flex: Array | float = 0.0, *, bent: float = 0.15) -> Swing:
    """An arm that hangs down, swung by `flex`."""
    side = take.vary(0.06, 0.16)
    return Swing(flex, side, np.asarray(flex) + bent, side * 0.5)


def pair(near: str, near_limb: Limb, far_limb: Limb) -> tuple[Limb, Limb]:
    """(left, right) from the near and the far one."""
    return (near_limb, far_limb) if near == "left" else (far_limb, near_limb)


def both(limb: Callable[[float], Limb]) -> tuple[Limb, Limb]:
    """(left, right) from a function of the side: 1 for left, -1 for right."""
    return limb(1.0), limb(-1.0)


def opposite(phase: Array, side: float) -> Array:
    """The phase of a limb of which the right one (side -1) is half a cycle behind the left one."""
    return phase if side > 0 else phase + PI


def sitting_height(a: Actor) -> float:
    """Height of a seat on which the feet reach the floor."""
    return a.ankle + a.shin * 0.98


# --- reversible ---


def sit(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    seat = sitting_height(a)
    back = take.vary(0.9, 1.0) * a.thigh
    lean = take.vary(0.45, 0.75)
    x, y = keyed(
        p, (0, 0.0, a.hip_height), (0.5, -0.62 * back, (a.hip_height + seat) * 0.53), (1, -back, seat + 0.05 * a.height)
    )
    pitch = 0.03 + lean * np.sin(PI * p) ** 1.5
    reach = 0.7 * np.sin(PI * p)
    lap = 0.35 * p
    arm = Swing(lap + reach, 0.1, lap + 0.75 * p + reach * 1.1, 0.02)
    body = pose(a, take.at(x, y, 0.0), arms=(arm, arm), legs=stand(take), pitch=pitch, nod=-pitch * 0.5)
    chair = props.chair(take.at(-back - 0.01, seat, 0.0), seat, take.colour())
    state = choose(p, (0, "standing by chair"), (0.2, "half crouched"), (0.86, "sitting"))
    return Performance(body, state, [chair], (-5, 45))


def pick_up(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    kind = ["box", "ball", "bag"][int(take.rng.integers(3))]
    size = take.vary(0.15, 0.2)
    half = {"box": size * 0.45, "ball": size * 0.5, "bag": size * 0.5}[kind]
    down = np.sin(PI * np.clip(p, 0, 1)) ** 1.4
    squat = take.vary(0.3, 0.75)
    floor_x, carry_x = 0.27 * h, 0.19 * h
    x, y, pitch, ox, oy = keyed(
        p,
        (0.0, 0.0, a.hip_height, 0.02, floor_x, half),
        (0.5, -0.1 * h, a.hip_height * (1 - 0.5 * squat), 1.35 - 0.5 * squat, floor_x, half),
        (1.0, -0.01, a.hip_height, 0.0, carry_x, a.hip_height + 0.06 * h),
    )
    thing = take.at(ox, oy, 0.0)
    holding = smooth(np.clip((p - 0.2) / 0.28, 0.0, 1.0))[:, None]

    def hand(side: float) -> Reach:
        rest = take.at(x + 0.03, a.hip_height - 0.06 * h - 0.2 * down * h, side * 0.13 * h)
        hold = (0.0, size * 0.62, 0.02 * side) if kind == "bag" else (-0.01, 0.0, side * size * 0.5)
        return Reach(rest * (1 - holding) + (thing + np.array(hold)) * holding, (-0.6, -0.3, 0.8))

    body = pose(a, take.at(x, y, 0.0), arms=both(hand), legs=stand(take, width=0.07), pitch=pitch, nod=0.1)
    colour = take.colour()
    made = {
        "box": lambda: props.box(thing, size, size * 0.85, CARDBOARD, nearer=0.03),
        "ball": lambda: props.ball(thing, size / 2, colour),
        "bag": lambda: props.bag(thing, size, colour),
    }[kind]()
    state = choose(p, (0, f"standing by {kind}"), (0.17, f"bending to {kind}"), (0.8, f"holding {kind}"))
    return Performance(body, state, [made], (0, 50))


def open_door(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    near = SIDES[take.near]
    width, tall = take.vary(0.36, 0.42), take.vary(0.98, 1.08)
    angle = take.vary(1.1, 1.45) * smooth(np.clip((p - 0.22) / 0.6, 0, 1))
    door_x = a.arm * 0.92
    panel, knob = props.door(
        take.at(door_x, 0.0, near * (width * 0.5 + 0.07)), width, tall, angle, -near, take.colour(),
        [(255, 236, 180), (60, 66, 84), (150, 200, 226)][int(take.rng.integers(3))],
    )  # fmt: skip
    step = 0.2 * h * smooth(np.clip((p - 0.2) / 0.65, 0, 1))
    touch = smooth(np.clip(p / 0.22, 0, 1)) * (1 - smooth(np.clip((p - 0.86) / 0.14, 0, 1)))
    rest = take.at(step + 0.02, a.hip_height - 0.02, near * 0.14 * h)
    hand = Reach(rest + (knob - rest) * touch[:, None], (-0.4, -0.7, 0.6))
    lift = 0.04 * h * np.sin(PI * np.clip((p - 0.2) / 0.65, 0, 1))
    legs = pair(
        take.near,
        Reach(take.at(step + 0.02, a.ankle + lift, near * 0.055 * h), (1, 0, 0.2)),
        Reach(take.at(0.55 * step, a.ankle, -near * 0.055 * h), (1, 0, 0.2)),
    )
    lean = 0.06 + 0.1 * np.sin(PI * p)
    body = pose(
        a,
        take.at(step * 0.85, a.hip_height - 0.015 * h, 0.0),
        arms=pair(take.near, hand, hang(take)),
        legs=legs,
        pitch=lean,
    )
    state = choose(p, (0, "at closed door"), (0.3, "at half-open door"), (0.85, "at open door"))
    corner = take.at(door_x + 0.1, tall, near * (width * 0.5 + 0.07))
    return Performance(body, state, [panel], (-50, -30), extent=[corner])


def push_box(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    size, way = take.vary(0.46, 0.54) * h, take.vary(0.3, 0.5)
    x, pitch = way * p, take.vary(0.35, 0.6)
    steps = take.vary(6.5, 8.5) * way
    legs = gait(take, x - 0.06 * h, phase=PI * steps * p, stride=way / steps, lift=0.05 * h, lag=0.1 * h)
    hip = a.hip_height - 0.03 * h
    shoulder_x, shoulder_y = x - 0.04 * h + a.torso * np.sin(pitch) * 0.9, hip + a.torso * np.cos(pitch) * 0.9
    grip_y = min(size * 0.92, shoulder_y - 0.12 * h)
    edge = shoulder_x + np.sqrt(max((0.98 * a.arm) ** 2 - (shoulder_y - grip_y) ** 2, 0.06 * a.arm**2))
    arms = both(lambda side: Reach(take.at(edge, grip_y, side * 0.1 * h), (0, -1, 0.7)))
    body = pose(a, take.at(x - 0.04 * h, hip, 0.0), arms=arms, legs=legs, pitch=pitch, nod=-0.6 * pitch)
    crate = props.box(
        take.at(edge + size / 2, size / 2, 0.0), size, size, take.colour() if take.vary(0, 1) < 0.5 else CARDBOARD
    )
    edges = [take.at(edge + size * 0.7, size * 0.8, 0.0)]
    return Performance(body, ["leaning on box"] * len(p), [crate], (5, 40), extent=edges)


def gait(
    take: Take, x: Array, *, phase: Array, stride: float, lift: float, lag: float = 0.0, width: float = 0.05
) -> tuple[Limb, Limb]:
    """Feet of somebody who walks: `phase` advances by pi a step; one foot stands on the floor while the other swings.

    `x` is where the body is, float[T]; `stride` the length of a step; the feet are `lag` behind the body.
    """

    def foot(side: float) -> Reach:
        turn = opposite(phase, side) / (2 * PI)
        within = turn - np.floor(turn)
        swing = np.clip((within - 0.5) / 0.5, 0, 1)
        ahead = stride / 2 * np.where(within < 0.5, 1 - 4 * within, 2 * smooth(swing) - 1)
        height = take.actor.ankle + lift * np.sin(PI * swing)
        return Reach(take.at(x + ahead - lag, height, side * width * take.actor.height), (1, 0, 0.1))

    return both(foot)


def throw(take: Take) -> Performance:
    a = take.actor
    h, radius = a.height, take.vary(0.06, 0.085)
    low = take.vary(0, 1) < 0.4
    start, release = take.vary(0.0, 0.3), take.vary(0.7, 1.15)
    flight = np.maximum(take.t - release, 0.0)
    draw = smooth(np.clip((take.t - start) / (release - start), 0, 1))
    relax = smooth(np.clip((flight - 0.15) / 0.6, 0, 1)) * take.vary(0.0, 0.6)
    chest = a.hip_height + a.torso * (0.15 if low else 0.72)
    hold_x, hold_y = (0.12 * h, chest) if low else (0.16 * h, chest + 0.02)
    out_x, out_y = a.arm * 0.97, chest + (0.22 * h if low else 0.06 * h)
    hand_x, hand_y = hold_x + (out_x - hold_x) * draw, hold_y + (out_y - hold_y) * draw
    grip_x, grip_y = hand_x + (0.15 * h - hand_x) * relax, hand_y + (a.hip_height * 0.98 - hand_y) * relax
    arms = both(lambda side: Reach(take.at(grip_x, grip_y, side * (radius * 0.95 + 0.05 * relax)), (-0.3, -0.8, 0.6)))
    speed, climb = take.vary(1.0, 1.5), take.vary(0.3, 0.6)
    gone = speed * flight
    ball_x, ball_y = hand_x + radius * 0.5 + gone, hand_y + climb * flight - 0.8 * flight**2
    hip = take.at(0.05 * h * draw - 0.02 * h, a.hip_height - 0.02 * h, 0.0)
    body = pose(a, hip, arms=arms, legs=stand(take, width=0.06, split=0.07), pitch=0.16 * draw - 0.06)
    made = props.ball(take.at(ball_x, np.maximum(ball_y, radius), 0.0), radius, take.colour())
    state = choose(gone, (0, "holding ball"), (1e-9, "ball in the air"), (0.7, "hands ahead"))
    return Performance(body, state, [made], (0, 40), extent=[take.at(out_x + 0.6, out_y, 0.0)])


def climb(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h, gap = a.height, 0.15
    rungs = take.vary(2.2, 3.2)
    start = take.vary(0.4, 1.4)
    c = start + rungs * p
    lean = take.vary(0.05, 0.16)

    def rung(turn: Array) -> Array:
        """Height in rungs of a limb that moves two at a time, standing still half of the time."""
        return 2 * (np.floor(turn) + smooth(np.clip((turn - np.floor(turn) - 0.5) * 2, 0, 1)))

    foot_x = 0.2 * h
    top = round((a.hip_height + a.torso) / gap * 0.98)

    def on(height: Array, z: float) -> Track:
        """A point at a height, in rungs."""
        return take.at(foot_x + lean * height * gap, height * gap, z)

    def foot(side: float) -> Reach:
        height = rung(c / 2) if side > 0 else rung(c / 2 + 0.5) - 1
        return Reach(on(height + 0.6, side * 0.08) + np.array([-0.03, a.ankle, 0.0]), (1, 0.1, 0.5))

    def hand(side: float) -> Reach:
        height = rung(c / 2) if side < 0 else rung(c / 2 + 0.5) - 1
        return Reach(on(height + top + 0.6, side * 0.14), (-0.4, -0.8, 0.5))

    hip = c * gap + a.hip_height
    pelvis = take.at(foot_x + lean * hip - 0.19 * h, hip + a.ankle - 0.13 * h, 0.0)
    body = pose(a, pelvis, arms=both(hand), legs=both(foot), pitch=lean + 0.05, nod=-0.2)
    made = props.ladder(take.at(foot_x, 0.0, 0.0), 2.4, lean, gap, take.colour())
    return Performance(body, ["on ladder"] * len(p), [made], (-62, -25), shadow=())


def raise_arms(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    top = take.vary(2.7, 3.05)
    sideways = take.vary(0, 1) < 0.6
    lag = 0.08
    lower = np.clip(p * (1 + lag) - lag * np.sin(PI * p), 0, 1)
    if sideways:
        arm = Swing(0.06, 0.1 + (top - 0.1) * p, 0.1, 0.06 + (top - 0.06) * lower)
    else:
        arm = Swing(top * p, 0.12, top * lower + 0.1 * (1 - p), 0.06)
    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=(arm, arm), legs=stand(take), nod=-0.2 * p)
    state = choose(p, (0, "standing"), (0.3, "arms out" if sideways else "arms ahead"), (0.75, "arms up"))
    return Performance(body, state, [], (55, 125) if sideways else (5, 60))


def walk(take: Take) -> Performance:
    a, h = take.actor, take.actor.height
    p = take.t / DURATION_S
    way, steps = take.vary(0.6, 0.95), take.vary(3.0, 4.4)
    x = way * p
    phase = PI * steps * p + take.vary(0, 2 * PI)
    swing = take.vary(0.35, 0.6)

    def arm(side: float) -> Swing:
        flex = -swing * np.cos(opposite(phase, side))
        return Swing(flex, 0.1, flex + 0.25, 0.06)

    leg, half = a.thigh + a.shin, way / steps / 2
    drop = leg - np.sqrt(leg**2 - half**2) + 0.004
    y = a.ankle + 0.995 * leg - drop * (0.5 + 0.5 * np.cos(2 * phase))
    legs = gait(take, x, phase=phase, stride=way / steps, lift=0.055 * h)
    body = pose(a, take.at(x, y, 0.0), arms=both(arm), legs=legs, pitch=0.05)
    tracked = take.vary(0.0, 1.0)
    return Performance(body, ["walking"] * len(p), [], (0, 35), scroll=x * tracked)


def lie_down(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    low = 0.065 * h
    x, y, pitch, fx, fy, nod = keyed(
        p,
        (0.0, 0.0, a.hip_height, 0.03, 0.0, a.ankle, 0.0),
        (0.36, -0.12 * h, 0.24 * h, 0.75, 0.0, a.ankle, -0.2),
        (0.58, -0.22 * h, low, -0.1, 0.1 * h, a.ankle, 0.1),
        (0.72, -0.22 * h, low, -0.45, 0.14 * h, a.ankle, 0.3),
        (1.0, -0.22 * h, low, -PI / 2 + 0.04, -0.22 * h + a.thigh + a.shin * take.vary(0.8, 0.99), a.ankle, 0.0),
    )
    flex, lower, side = keyed(
        p, (0, 0, 0.15, 0.1), (0.36, 0.9, 1.2, 0.15), (0.6, -0.5, -0.35, 0.25), (1.0, 0.05, 0.1, 0.3)
    )
    arm = Swing(flex, side, lower, side * 0.6)
    legs = both(lambda s: Reach(take.at(fx, fy, s * 0.06 * h), (0.7, 1, 0.2)))
    body = pose(a, take.at(x, y, 0.0), arms=(arm, arm), legs=legs, pitch=pitch, nod=nod)
    state = choose(p, (0, "standing"), (0.15, "crouching"), (0.52, "sitting on floor"), (0.84, "lying"))
    mat = [props.mat(take.at(-0.25 * h, 0, 0), 1.1, 0.45, take.colour())] if take.vary(0, 1) < 0.5 else []
    return Performance(body, state, mat, (5, 32), shadow=("pelvis", "neck", "left_ankle"))


def put_on_hat(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h, near = a.height, SIDES[take.near]
    carry = smooth(np.clip(p / 0.62, 0, 1))
    away = smooth(np.clip((p - 0.68) / 0.32, 0, 1))
    draft = pose(
        a, take.at(0.0, a.hip_height, 0.0), arms=(hang(take), hang(take)), legs=stand(take), nod=0.12 * np.sin(PI * p)
    )
    forward, up, left = draft.head
    r = a.head_radius
    brim_on = draft["head"] + up * r * 0.5
    low = take.at(0.16 * h, a.hip_height + 0.08 * h, near * 0.15 * h)
    arc = take.at(0.12 * h, 0.05 * h, near * 0.1 * h) * np.sin(PI * carry)[:, None]
    brim = low + (brim_on - low) * carry[:, None] + arc
    grip = brim + forward * r * 0.7 + left * near * r * 1.0 + up * 0.02
    rest = take.at(0.05, a.hip_height - 0.02, near * 0.14 * h)
    hand = Reach(grip * (1 - away[:, None]) + rest * away[:, None], (-0.1, -0.8, 0.8))
    body = pose(
        a,
        take.at(0.0, a.hip_height, 0.0),
        arms=pair(take.near, hand, hang(take)),
        legs=stand(take),
        nod=0.12 * np.sin(PI * p),
    )
    made = props.hat(brim, up, forward, left, r, take.colour())
    state = choose(carry, (0, "holding hat"), (0.55, "hat near head"), (0.999, "wearing hat"))
    return Performance(body, state, [made], (25, 80))


# --- cyclic ---


def wave(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.2, 2.2)
    lift, width = take.vary(1.6, 2.1), take.vary(0.45, 0.75)
    arm = Swing(0.15, lift, 0.2, 2.75 + width * np.sin(phase) - 0.2)
    roll = 0.04 * np.sin(phase)
    arms = pair(take.near, arm, hang(take))
    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=arms, legs=stand(take), roll=roll)
    return Performance(body, ["waving"] * len(phase), [], (50, 130))


def _clap(take: Take, low_hz: float, high_hz: float) -> Performance:
    a, phase = take.actor, take.cycle(low_hz, high_hz)
    h, wide = a.height, take.vary(0.13, 0.2)
    gap = (0.02 + wide * (0.5 - 0.5 * np.cos(phase))) * h
    high = a.hip_height + a.torso * take.vary(0.6, 0.95)
    ahead = take.vary(0.2, 0.25) * h
    arms = both(lambda s: Reach(take.at(ahead - gap * 0.3, high, s * gap), (-0.2, -1, 0.8)))
    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=arms, legs=stand(take), nod=0.05)
    return Performance(body, ["clapping"] * len(phase), [], (50, 120))


def clap_slowly(take: Take) -> Performance:
    return _clap(take, 0.55, 0.85)


def clap_quickly(take: Take) -> Performance:
    return _clap(take, 1.7, 2.3)


def jumping_jacks(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.9, 1.5)
    h = a.height
    out = 0.5 - 0.5 * np.cos(phase)
    air = 0.05 * h * np.abs(np.sin(phase))
    arm = Swing(0.05, 0.12 + 2.75 * out, 0.1, 0.1 + 2.85 * out)
    legs = both(lambda s: Reach(take.at(0.0, a.ankle + air, s * (0.05 + 0.15 * out) * h), (1, 0, 0.4)))
    body = pose(a, take.at(0.0, a.hip_height - 0.03 * h * out + air, 0.0), arms=(arm, arm), legs=legs)
    return Performance(body, ["doing jumping jacks"] * len(phase), [], (65, 115))


def run(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.3, 1.9)
    h = a.height

    def leg(side: float) -> Swing:
        turn = opposite(phase, side)
        hip = 0.3 + 0.75 * np.sin(turn)
        return Swing(hip, 0.0, hip - 0.35 - 0.64 * (1 - np.cos(turn)), 0.0)

    def arm(side: float) -> Swing:
        flex = -0.9 * np.sin(opposite(phase, side))
        return Swing(flex - 0.1, 0.12, flex + 1.35, 0.0)

    up = a.hip_height - 0.02 * h + 0.035 * h * np.abs(np.sin(phase))
    lean = take.vary(0.12, 0.25)
    x = take.t * take.vary(0.0, 0.5)
    body = pose(a, take.at(x, up, 0.0), arms=both(arm), legs=both(leg), pitch=lean, nod=-0.1)
    return Performance(body, ["running"] * len(phase), [], (0, 40), scroll=x)


def march(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.8, 1.2)
    h, high = a.height, take.vary(0.2, 0.27)

    def leg(side: float) -> Reach:
        lift = np.maximum(np.sin(opposite(phase, side)), 0.0) ** 0.8
        return Reach(take.at(0.12 * h * lift, a.ankle + high * h * lift, side * 0.05 * h), (1, 0, 0.1))

    def arm(side: float) -> Swing:
        flex = -0.7 * np.sin(opposite(phase, side))
        return Swing(flex, 0.1, flex + 0.15, 0.08)

    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=both(arm), legs=both(leg))
    return Performance(body, ["marching"] * len(phase), [], (10, 75))


def punch(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.8, 1.3)
    h = a.height
    chin = a.hip_height + a.torso * 0.92

    def jab(side: float) -> Array:
        return np.maximum(np.sin(opposite(phase, side)), 0.0) ** 1.5

    def arm(side: float) -> Reach:
        guard, out = take.at(0.15 * h, chin, side * 0.07 * h), take.at(a.arm * 1.25, chin + 0.02 * h, side * 0.01)
        return Reach(guard + (out - guard) * jab(side)[:, None], (-0.2, -1, 0.5))

    twist = 0.45 * (jab(-1.0) - jab(1.0))
    legs = stand(take, width=0.07, split=0.1)
    bounce = a.hip_height - 0.04 * h + 0.01 * h * np.sin(2 * phase)
    body = pose(a, take.at(0.02, bounce, 0.0), arms=both(arm), legs=legs, pitch=0.12, twist=twist)
    return Performance(body, ["punching"] * len(phase), [], (5, 50))


def kick(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.6, 1.0)
    h, near = a.height, SIDES[take.near]
    high = take.vary(1.15, 1.75)
    out = np.maximum(np.sin(phase), 0.0) ** 1.2
    fold = np.maximum(np.sin(phase + 0.6), 0.0) * (1 - out)
    leg = Swing(-0.25 * (1 - out) + high * out, 0.05, -0.35 * (1 - out) + high * out - 0.9 * fold, 0.03)
    support = Reach(take.at(0.0, a.ankle, -near * 0.05 * h), (1, 0, 0.2))
    chin = a.hip_height + a.torso * 0.8
    arms = both(lambda s: Reach(take.at(0.13 * h - 0.05 * h * out, chin, s * 0.1 * h), (-0.2, -1, 0.6)))
    legs = pair(take.near, leg, support)
    hip = take.at(0.0, a.hip_height - 0.012 * h, 0.0)
    body = pose(a, hip, arms=arms, legs=legs, pitch=-0.28 * out + 0.05, nod=0.2 * out)
    return Performance(body, ["kicking"] * len(phase), [], (0, 40))


def push_ups(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.6, 1.1)
    h = a.height
    depth = 0.5 - 0.5 * np.cos(phase)
    shoulder = a.arm * (0.97 - 0.52 * depth)
    leg = a.thigh + a.shin
    length = leg + a.torso
    tilt = np.arcsin(np.clip((shoulder - a.ankle) / length, -1, 1))
    toe_x = -0.55 * length
    pelvis = take.at(toe_x + leg * np.cos(tilt), a.ankle + 0.01 + leg * np.sin(tilt), 0.0)
    hand_x = toe_x + length * np.cos(0.3) - 0.02
    arms = both(lambda s: Reach(take.at(hand_x, 0.03 * h, s * 0.13 * h), (-1, 0.3, 0.5)))
    leg_swing = Swing(0.0, 0.0, 0.0, 0.0)
    body = pose(a, pelvis, arms=arms, legs=(leg_swing, leg_swing), pitch=PI / 2 - tilt, nod=-0.45)
    mat = [props.mat(take.at(0, 0, 0), 1.15, 0.4, take.colour())] if take.vary(0, 1) < 0.6 else []
    return Performance(
        body, ["doing push-ups"] * len(phase), mat, (2, 28), shadow=("pelvis", "left_hand", "left_ankle")
    )


def jump_rope(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.0, 1.7)
    h = a.height
    air = 0.09 * h * np.maximum(np.cos(phase), -0.15)
    hand_x, hand_y = 0.1 * h + 0.02 * h * np.sin(phase), a.hip_height + 0.05 * h - 0.02 * h * np.cos(phase)
    left, right = take.at(hand_x, hand_y, 0.21 * h), take.at(hand_x, hand_y, -0.21 * h)
    arms = (Reach(left, (-1, -0.4, 0.3)), Reach(right, (-1, -0.4, 0.3)))
    feet = np.maximum(air, 0.0)
    legs = both(lambda s: Reach(take.at(-0.03 * feet / 0.09, a.ankle + feet, s * 0.04 * h), (1, 0, 0.1)))
    body = pose(a, take.at(0.0, a.hip_height - 0.02 * h + air, 0.0), arms=arms, legs=legs)
    above = a.hip_height + a.torso + 3.2 * a.head_radius - hand_y
    reach = np.where(np.cos(phase) > 0, hand_y - 0.012, above)
    swing = take.at(np.sin(phase) * 0.9, -np.cos(phase), 0.0) * reach[:, None]
    made = props.rope(left, right, swing, take.colour())
    return Performance(body, ["jumping rope"] * len(phase), [made], (50, 95))


# --- still ---


def lie(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h = a.height
    low, x = 0.065 * h, -0.05 * h
    bent = {1.0: take.vary(0.7, 0.995), -1.0: take.vary(0.75, 0.995)}
    legs = both(lambda s: Reach(take.at(x + (a.thigh + a.shin) * bent[s], a.ankle, s * 0.06 * h), (0, 1, 0.2)))
    kind = int(take.rng.integers(3))
    if kind == 0:
        arm: Limb = Swing(0.05 + 0.02 * np.sin(phase), 0.25, 0.1, 0.2)
    elif kind == 1:  # hands behind the head
        arm = Swing(2.6, 0.75, 3.6, -0.6)
    else:  # hands on the belly
        arm = Swing(0.15, 0.3, 0.75 + 0.03 * np.sin(phase), -0.6)
    body = pose(a, take.at(x, low, 0.0), arms=(arm, arm), legs=legs, pitch=-PI / 2 + 0.04, nod=0.0)
    mat = [props.mat(take.at(-0.05 * h, 0, 0), 1.15, 0.42, take.colour())] if take.vary(0, 1) < 0.5 else []
    return Performance(body, ["lying"] * len(phase), mat, (5, 32), shadow=("pelvis", "neck", "left_ankle"))


def handstand(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.3, 0.6)
    h, lean = a.height, 0.05 * np.sin(phase)
    top = a.arm * 0.97 + 0.02 * h
    split = take.vary(0.0, 0.5)
    pelvis = take.at(-(a.torso) * np.sin(lean), top + a.torso - 0.03 * h, 0.0)
    arms = both(lambda s: Reach(take.at(0.0, 0.03 * h, s * 0.12 * h), (-0.5, 0.0, 0.5)))
    legs = (
        Swing(split * 0.6 + lean, 0.04, split * 0.5 + 0.6 * lean - 0.15 * split, 0.02),
        Swing(-split * 0.6 + lean, 0.04, -split * 0.8 - 0.1 + 0.6 * lean, 0.02),
    )
    body = pose(a, pelvis, arms=arms, legs=legs, pitch=PI + lean, nod=-0.5)
    return Performance(body, ["doing a handstand"] * len(phase), [], (0, 90), shadow=("left_hand", "right_hand"))


def read(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h, seat = a.height, sitting_height(a)
    back = a.thigh * 0.95
    lift = 0.01 * h * np.sin(phase)
    hip = seat + 0.05 * h
    centre = take.at(-back + 0.21 * h, hip + a.torso * take.vary(0.5, 0.7) + lift, 0.0)
    arms = both(lambda s: Reach(centre + np.array([-0.015, -0.02 * h, s * 0.06]), (-0.3, -1, 0.5)))
    body = pose(a, take.at(-back, hip, 0.0), arms=arms, legs=stand(take), pitch=-0.04, nod=0.42)
    forward, up, left = body.torso
    tilt = unit(forward - 0.55 * up)
    made = props.book(centre, tilt, unit(up + 0.55 * forward), left, take.colour())
    chair = props.chair(take.at(-back - 0.01, seat, 0.0), seat, take.colour())
    return Performance(body, ["reading a book"] * len(phase), [chair, made], (5, 60))


def phone(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.3, 0.7)
    near = SIDES[take.near]
    nod = 0.06 + 0.08 * np.sin(phase)
    other: Limb = Swing(0.5, 0.3, 1.5 + 0.2 * np.sin(phase * 1.3), 0.0) if take.vary(0, 1) < 0.5 else hang(take)
    draft = pose(a, take.at(0.0, a.hip_height, 0.0), arms=(hang(take), hang(take)), legs=stand(take), nod=nod)
    forward, up, left = draft.head
    r = a.head_radius
    ear = draft["head"] + left * near * r * 1.05 + forward * r * 0.25 - up * r * 0.35
    arms = pair(take.near, Reach(ear, (0.3, -1, 0.9)), other)
    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=arms, legs=stand(take, split=take.vary(-0.04, 0.04)), nod=nod)
    made = props.phone(ear, up, draft["head"])
    return Performance(body, ["talking on the phone"] * len(phase), [made], (15, 75))


def guitar(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.0, 2.0)
    h, strum = a.height, take.near
    s = SIDES[strum]
    sway = 0.03 * np.sin(phase * 0.5)
    hole = take.at(0.12 * h, a.hip_height + 0.09 * h, s * 0.02 * h)
    end = take.at(0.17 * h, a.hip_height + 0.21 * h, -s * 0.36 * h)
    out = np.tile([1.0, 0.0, 0.0], (len(phase), 1))
    pick = Reach(hole + take.at(0.03, 0.035 * np.sin(phase), s * 0.03), (-0.6, -0.2, 1))
    fret = Reach(hole + (end - hole) * take.vary(0.68, 0.85) + take.at(0.02, -0.02, 0.0), (-0.2, -1, 0.3))
    body = pose(
        a,
        take.at(0.0, a.hip_height, 0.0),
        arms=pair(strum, pick, fret),
        legs=stand(take, width=0.07),
        roll=sway,
        nod=0.15,
    )
    finish = [(196, 120, 52), (150, 44, 40), (64, 92, 140), (226, 176, 84)][int(take.rng.integers(4))]
    made = props.guitar(hole, end, out, finish)
    return Performance(body, ["playing the guitar"] * len(phase), [made], (65, 115))


def sit_cross_legged(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h = a.height
    low = 0.07 * h
    legs = both(lambda s: Reach(take.at(0.17 * h, a.ankle * 1.05, -s * 0.07 * h), (0.5, 0.35, 1.4)))
    rise = 0.004 * h * np.sin(phase)
    if take.vary(0, 1) < 0.5:  # hands on the knees
        arms = both(lambda s: Reach(take.at(0.14 * h, low + 0.09 * h, s * 0.2 * h), (-0.6, -0.2, 0.6)))
    else:  # palms together
        arms = both(lambda s: Reach(take.at(0.15 * h, low + a.torso * 0.72 + rise, s * 0.012 * h), (-0.2, -0.8, 1)))
    body = pose(a, take.at(0.0, low + rise, 0.0), arms=arms, legs=legs, pitch=0.02)
    mat = [props.mat(take.at(0.05 * h, 0, 0), 0.6, 0.75, take.colour())] if take.vary(0, 1) < 0.6 else []
    return Performance(
        body, ["sitting cross-legged"] * len(phase), mat, (45, 115), shadow=("pelvis", "left_knee", "right_knee")
    )


Motion = Callable[[Take], Performance]
