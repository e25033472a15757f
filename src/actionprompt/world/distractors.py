"""What moves behind a performance: passers-by, animals, vehicles and things that suit the place.

Half of the crowds are played backwards, so none tells the direction of time. A crowd depends on the place, not on the
class, and is drawn behind the performance, smaller than its people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from actionprompt.world import props
from actionprompt.world.body import figure_parts
from actionprompt.world.canvas import FLOOR, FRAME
from actionprompt.world.figure import Actor, Array, Colour, Limb, Part, Pose, Reach, Swing, shade
from actionprompt.world.figure import pose as posed
from actionprompt.world.motion import DURATION_S, PI, Take, both, gait, hang, opposite, sitting_height, stand

TALLEST = 0.45
"""Largest height of a bystander relative to the actor's."""
NONE = 1 / 3
"""Probability that nothing moves behind a performance."""


@dataclass(frozen=True)
class Bystander:
    """A small person, with what it sits on."""

    parts: list[Part]
    yaw: float
    """Radians, as of `Camera.yaw`."""
    unit: float
    """Size of one unit of its actor frame, relative to the height of the actor of the performance."""
    feet: tuple[float, float]
    """Position (x, y) of the origin of its actor frame: design pixels from the frame's left edge in the middle of the
    clip, and from the background's upper edge."""


@dataclass(frozen=True)
class Shape:
    """A flat convex polygon."""

    corners: Float[Array, "T M 2"]
    """Design pixels; x and y as in `Bystander.feet`."""
    colour: Colour
    opacity: Float[Array, "T"] | float = 1.0


@dataclass(frozen=True)
class Crowd:
    """What moves behind a performance, from far to near."""

    items: tuple[Bystander | Shape, ...]


def sample_crowd(
    rng: np.random.Generator, *, place: str, actors: Sequence[Actor], t: Float[Array, "T"]
) -> Crowd | None:
    """Sample what moves behind a performance at a place, at times `t` in seconds: nothing (None) in a third of all
    cases, else up to five groups. Bystanders look like random ones of `actors`.

    Raises:
        ValueError: an unknown place.
    """
    if place not in _SCENES:
        raise ValueError(f"expected a place of {', '.join(_SCENES)}, got {place!r}")
    if rng.random() < NONE:
        return None
    if rng.random() < 0.5:
        t = t[0] + t[-1] - t
    postures, things = _SCENES[place]
    num_people, num_things = int(rng.integers(0, 4)), int(rng.integers(0, 3))
    take = lambda: Take(actors[int(rng.integers(len(actors)))], rng, t, "left")  # noqa: E731
    groups = [_bystander(take(), postures[int(rng.integers(len(postures)))]) for _ in range(num_people)]
    groups += [
        things[int(i)](take()) for i in rng.permutation(len(things))[: num_things if num_people else num_things + 1]
    ]
    groups.sort(key=lambda group: group[0])
    return Crowd(tuple(item for _, items in groups for item in items))


Group = tuple[float, list[Bystander | Shape]]
"""What belongs together, after the y at which it stands: the larger, the nearer."""


def _bystander(take: Take, posture: Callable[[Take], tuple[Pose, list[Part]]]) -> Group:
    pose, parts = posture(take)
    size = take.vary(0.32, TALLEST)
    y = FLOOR + 10.0 * (size - 0.32) / (TALLEST - 0.32) + take.vary(-1.0, 1.0)
    turn = take.vary(-0.5, 0.5) if posture is walking else take.vary(0.3, PI - 0.3)
    yaw = turn + PI * (take.rng.random() < 0.5) * (posture is walking)
    feet = take.vary(0.0, FRAME), y
    return y, [Bystander([*parts, *figure_parts(take.actor, pose)], yaw, size / max(take.actor.height, 1.0), feet)]


# --- people ---


def walking(take: Take) -> tuple[Pose, list[Part]]:
    a, h = take.actor, take.actor.height
    phase, stride = take.cycle(0.7, 1.2), take.vary(0.28, 0.42) * h
    x = stride * (phase - np.mean(phase)) / PI
    swing = take.vary(0.2, 0.6)

    def arm(side: float) -> Limb:
        flex = -swing * np.cos(opposite(phase, side))
        return Swing(flex, 0.1, flex + 0.25, 0.06)

    legs = gait(take, x, phase=phase, stride=stride, lift=0.05 * h)
    pelvis = take.at(x, a.hip_height - 0.01 * h * (1 + np.cos(2 * phase)), 0.0)
    return posed(a, pelvis, arms=both(arm), legs=legs, pitch=0.05), []


def standing(take: Take) -> tuple[Pose, list[Part]]:
    """Standing and shifting the weight, with hanging arms or hands on the hips."""
    a, h = take.actor, take.actor.height
    phase, wide = take.cycle(0.2, 0.6), take.vary(0.01, 0.05)
    arms: tuple[Limb, Limb] = (hang(take), hang(take))
    if take.rng.random() < 0.4:
        arms = both(lambda s: Reach(take.at(0.03 * h, a.hip_height + 0.06 * h, s * 0.1 * h), (-0.3, 0, 1)))
    pelvis = take.at(0.0, a.hip_height - 0.008 * h, wide * 0.6 * np.sin(phase))
    return posed(a, pelvis, arms=arms, legs=stand(take), roll=wide * np.sin(phase), nod=0.1 * np.sin(phase)), []


def sitting(take: Take) -> tuple[Pose, list[Part]]:
    """Sitting on a chair and swaying."""
    a, h = take.actor, take.actor.height
    phase, seat = take.cycle(0.2, 0.7), sitting_height(take.actor)
    back = 0.9 * a.thigh
    pelvis = take.at(-back, seat + 0.05 * h, 0.0)
    lean = 0.08 + take.vary(0.02, 0.08) * np.sin(phase)
    arms = both(lambda s: Reach(take.at(-0.3 * back, seat + 0.13 * h, s * 0.07 * h), (-0.6, -0.3, 0.8)))
    pose = posed(a, pelvis, arms=arms, legs=stand(take), pitch=lean, nod=-lean)
    return pose, props.chair(take.at(-back - 0.01, seat, 0.0), seat, take.colour()).parts


def stretching(take: Take) -> tuple[Pose, list[Part]]:
    """Bending from side to side, with the hands on the hips or above the head."""
    a, h = take.actor, take.actor.height
    bend = take.vary(0.2, 0.45) * np.sin(take.cycle(0.25, 0.6))
    pelvis = take.at(0.0, a.hip_height - 0.02 * h, 0.0)
    arms: tuple[Limb, Limb] = both(lambda s: Reach(take.at(0.02, a.hip_height + 0.06 * h, s * 0.1 * h), (-0.3, 0, 1)))
    if take.rng.random() < 0.5:
        arms = (Swing(0.2, 2.7, 0.2, 3.1), Swing(0.2, 2.7, 0.2, 3.1))
    return posed(a, pelvis, arms=arms, legs=stand(take, width=0.11), roll=bend), []


def dancing(take: Take) -> tuple[Pose, list[Part]]:
    """Bouncing from foot to foot with bent arms."""
    a, h = take.actor, take.actor.height
    phase = take.cycle(0.5, 1.0)
    low = 0.03 * h * (1 + np.cos(2 * phase))
    pelvis = take.at(0.0, a.hip_height - 0.01 * h - low, 0.04 * h * np.sin(phase))
    arms = both(lambda s: Swing(0.3 + 0.2 * np.sin(phase) * s, 0.4, 1.6, 0.1))
    return posed(a, pelvis, arms=arms, legs=stand(take, width=0.08), twist=0.3 * np.sin(phase)), []


# --- things ---

_CIRCLE = np.stack([f(np.arange(14) * (2 * PI / 14)) for f in (np.cos, np.sin)], axis=-1)


def _poly(
    take: Take, colour: Colour, *points: tuple[Array | float, Array | float], opacity: Array | float = 1.0
) -> Shape:
    """A polygon whose corners (x, y) are numbers or [T]."""
    corners = np.empty((len(take.t), len(points), 2))
    for i, (x, y) in enumerate(points):
        corners[:, i, 0], corners[:, i, 1] = x, y
    return Shape(corners, colour, opacity)


def _rect(take: Take, colour: Colour, x: Array | float, y: Array | float, w: float, h: float) -> Shape:
    return _poly(take, colour, (x, y), (x + w, y), (x + w, y + h), (x, y + h))


def _oval(
    take: Take,
    colour: Colour,
    x: Array | float,
    y: Array | float,
    rx: float,
    ry: float,
    opacity: Array | float = 1.0,
) -> Shape:
    corners = np.empty((len(take.t), 1, 2))
    corners[:, 0, 0], corners[:, 0, 1] = x, y
    return Shape(corners + _CIRCLE * (rx, ry), colour, opacity)


def _passing(take: Take, slow: float, fast: float) -> tuple[Array, float]:
    """x of something that crosses the frame, somewhere inside it in the middle of the clip, and its direction."""
    way = 1.0 if take.rng.random() < 0.5 else -1.0
    return take.vary(0, FRAME) + way * take.vary(slow, fast) * (take.t - DURATION_S / 2), way


def cars(take: Take) -> Group:
    x, way = _passing(take, 10, 45)
    y, s, paint = FLOOR + take.vary(1.5, 4.5), take.vary(0.8, 1.1), take.colour()
    cabin = take.vary(0.4, 0.8)
    at = lambda points: [(x + way * s * px, y - s * py) for px, py in points]  # noqa: E731
    shapes = [
        _poly(take, paint, *at([(-15, 3), (-15, 8), (-12, 9.5), (11, 9), (15, 7), (15, 3)])),
        _poly(take, shade(paint, 0.8), *at([(-12, 9), (-9 * cabin, 15), (5, 15), (10, 9)])),
        _poly(take, (186, 214, 226), *at([(-8, 9.5), (-7 * cabin, 14), (4, 14), (8, 9.5)])),
        _poly(take, (252, 238, 180), *at([(13.5, 7), (15, 6.5), (15, 5), (13.5, 5)])),
    ]
    for px in (-9.0, 9.0):
        wheel = x + way * s * px
        shapes += [
            _oval(take, (44, 44, 50), wheel, y - 3 * s, 3.2 * s, 3.2 * s),
            _oval(take, (170, 172, 178), wheel, y - 3 * s, 1.4 * s, 1.4 * s),
        ]
    return y, [*shapes]


def birds(take: Take) -> Group:
    x, way = _passing(take, 6, 30)
    y, rise = take.vary(10, 38), take.vary(-4, 4) * (take.t - DURATION_S / 2)
    tone = ((54, 56, 66), (240, 240, 240), (110, 96, 90))[int(take.rng.integers(3))]
    shapes: list[Bystander | Shape] = []
    for _ in range(int(take.rng.integers(1, 5))):
        s, bx, by = take.vary(0.7, 1.3), x + take.vary(-16, 16), y + rise + take.vary(-7, 7)
        flap = np.sin(take.cycle(1.5, 4.0)) * 3.5 * s
        shapes.append(_oval(take, tone, bx, by, 2.6 * s, 0.9 * s))
        shapes.append(_oval(take, tone, bx + way * 2.6 * s, by - 0.5 * s, 0.9 * s, 0.8 * s))
        shapes += [
            _poly(take, shade(tone, f), (bx + 1.2 * s, by), (bx + k * s, by - flap), (bx - 1.2 * s, by))
            for k, f in ((-1.5, 0.8), (1.0, 1.1))
        ]
    return y, shapes


def _animal(take: Take, slow: float, fast: float, size: float, coats: tuple[Colour, ...]) -> Group:
    """A dog or a cat that crosses the frame."""
    x, way = _passing(take, slow, fast)
    y, s, coat = FLOOR + take.vary(1, 7), size * take.vary(0.8, 1.15), coats[int(take.rng.integers(len(coats)))]
    phase = take.cycle(1.2, 2.4)
    bob = 0.4 * s * np.sin(2 * phase)
    shapes: list[Bystander | Shape] = []
    for px, turn in ((-4.0, 0.0), (-3.2, PI), (3.6, PI), (4.4, 0.0)):
        tip = x + way * s * (px + 1.6 * np.sin(phase + turn))
        root = x + way * s * px
        shapes.append(
            _poly(
                take,
                shade(coat, 0.85),
                (root - 0.8 * s, y - 5 * s),
                (root + 0.8 * s, y - 5 * s),
                (tip + 0.6 * s, y),
                (tip - 0.6 * s, y),
            )
        )
    wag = 1.5 * s * np.sin(take.cycle(1, 3))
    tail = x - way * s * 5
    shapes.append(_poly(take, coat, (tail, y - 6.5 * s), (tail - way * 4 * s, y - 10 * s + wag), (tail, y - 5.2 * s)))
    shapes.append(_oval(take, coat, x, y - 5.6 * s + bob, 5.8 * s, 2.3 * s))
    shapes.append(_oval(take, coat, x + way * 6.6 * s, y - 8.6 * s + bob, 2.3 * s, 2.0 * s))
    shapes.append(_oval(take, shade(coat, 0.7), x + way * 5.6 * s, y - 9.6 * s + bob, 0.9 * s, 1.6 * s))
    return y, shapes


def dog(take: Take) -> Group:
    return _animal(take, 6, 30, 0.9, ((150, 104, 62), (60, 54, 52), (222, 196, 150), (236, 232, 224)))


def cat(take: Take) -> Group:
    return _animal(take, 3, 14, 0.6, ((60, 56, 58), (226, 150, 74), (170, 166, 160), (240, 236, 228)))


def balloons(take: Take) -> Group:
    y, rise = take.vary(22, 60), take.vary(-5, 5) * (take.t - DURATION_S / 2)
    shapes: list[Bystander | Shape] = []
    x = take.vary(5, FRAME - 5)
    for _ in range(int(take.rng.integers(1, 4))):
        bx = x + take.vary(-10, 10) + take.vary(0.5, 3) * np.sin(take.cycle(0.2, 0.7))
        by, r = y + take.vary(-7, 7) + rise, take.vary(3, 4.8)
        shapes.append(_poly(take, (90, 90, 96), (bx - 0.2, by), (bx + 0.2, by), (x + 0.2, y + 20), (x - 0.2, y + 20)))
        tone = take.colour()
        shapes.append(_oval(take, tone, bx, by, r, r * 1.2))
        shapes.append(_oval(take, shade(tone, 1.35), bx - 0.3 * r, by - 0.4 * r, 0.25 * r, 0.4 * r))
    return y, shapes


def bouncing_ball(take: Take) -> Group:
    x, _ = _passing(take, 0, 14)
    y, r, high, tone = FLOOR + take.vary(2, 7), take.vary(1.8, 3.2), take.vary(8, 24), take.colour()
    fall = take.cycle(0.8, 1.5) / (2 * PI)
    within = fall - np.floor(fall)
    up = y - r - high * 4 * within * (1 - within)
    return y, [
        _oval(take, (40, 40, 44), x, y, r, r * 0.3, 0.25),
        _oval(take, tone, x, up, r, r),
        _oval(take, shade(tone, 1.4), x - 0.3 * r, up - 0.35 * r, 0.3 * r, 0.3 * r),
    ]


def sail(take: Take) -> Group:
    x, way = _passing(take, 1, 8)
    phase, s = take.cycle(0.2, 0.6), take.vary(0.5, 1.0)
    y, heel = FLOOR - take.vary(9, 15) + 0.7 * np.sin(phase), way * 1.2 * np.sin(phase + 0.8)
    at = lambda px, py: (x + way * s * px + heel * py / 16, y - s * py)  # noqa: E731
    return FLOOR - 20.0, [
        _poly(take, (140, 84, 60), at(-8, 3), at(9, 3), at(5, -1), at(-6, -1)),
        _poly(take, (250, 246, 238), at(0.5, 4), at(0.5, 20), at(8, 5)),
        _poly(take, take.colour(), at(-0.5, 4), at(-0.5, 18), at(-7, 5)),
    ]


def waves(take: Take) -> Group:
    foam: list[Bystander | Shape] = []
    for _ in range(int(take.rng.integers(3, 7))):
        phase = take.cycle(0.2, 0.5)
        x, y = take.vary(0, FRAME) + 5 * np.sin(phase), FLOOR - take.vary(1, 15) + 0.8 * np.cos(phase)
        foam.append(_oval(take, (246, 250, 252), x, y, take.vary(6, 16), 0.8, 0.4 + 0.35 * np.sin(phase)))
    return FLOOR - 16.0, foam


def spotlights(take: Take) -> Group:
    lights: list[Bystander | Shape] = []
    for _ in range(int(take.rng.integers(1, 4))):
        tone, lamp = shade(take.colour(), 1.25), take.vary(0, FRAME)
        x = take.vary(10, FRAME - 10) + take.vary(6, 30) * np.sin(take.cycle(0.2, 0.7))
        w, y = take.vary(9, 16), FLOOR + take.vary(3, 12)
        lights.append(_poly(take, tone, (lamp - 2, -2), (lamp + 2, -2), (x + w, y), (x - w, y), opacity=0.22))
        lights.append(_oval(take, tone, x, y, w, w * 0.25, 0.4))
    return 0.0, lights


def screen(take: Take) -> Group:
    """A screen on the wall whose image changes."""
    w, h = take.vary(16, 26), take.vary(10, 16)
    x, y = take.vary(0, FRAME - w), take.vary(26, 50)
    shapes: list[Bystander | Shape] = [
        _rect(take, (40, 42, 48), x - 1, y - 1, w + 2, h + 2),
        _rect(take, take.colour(), x, y, w, h),
    ]
    for _ in range(3):
        blink = 0.5 + 0.25 * (np.sin(take.cycle(0.5, 2.0)) + np.sin(take.cycle(2.0, 5.0)))
        wide, left = take.vary(0.3, 1.0) * w, take.vary(0.0, 1.0)
        area = [(x + left * (w - wide) + dx, y + dy) for dx, dy in ((0, 0), (wide, 0), (wide, h), (0, h))]
        shapes.append(_poly(take, shade(take.colour(), take.vary(0.5, 1.4)), *area, opacity=blink))
    return y, shapes


def lamp(take: Take) -> Group:
    """A lamp that swings from the ceiling."""
    x, long, s, tone = take.vary(4, FRAME - 4), take.vary(22, 42), take.vary(0.8, 1.3), take.colour()
    angle = take.vary(0.04, 0.2) * np.sin(take.cycle(0.4, 0.9))
    sin, cos = np.sin(angle), np.cos(angle)
    at = lambda px, py: (x + py * sin + px * cos, py * cos - px * sin)  # noqa: E731
    return 1.0, [
        _poly(take, (60, 60, 66), at(-0.4, -4), at(0.4, -4), at(0.4, long), at(-0.4, long)),
        _oval(take, (255, 244, 196), *at(0, long + 5 * s), 2.4 * s, 2.4 * s),
        _poly(take, tone, at(-1.5 * s, long), at(1.5 * s, long), at(5.5 * s, long + 5 * s), at(-5.5 * s, long + 5 * s)),
    ]


def flag(take: Take) -> Group:
    """A flag on a pole, waving in the wind."""
    x, top, tone, other = take.vary(2, FRAME - 2), take.vary(20, 40), take.colour(), take.colour()
    way = 1.0 if take.rng.random() < 0.5 else -1.0
    phase, wide = take.cycle(0.6, 1.6), take.vary(2.2, 3.4)
    y = [top + 0.3 * i * np.sin(phase - 0.9 * i) + 0.25 * i for i in range(7)]
    shapes: list[Bystander | Shape] = [_rect(take, (120, 116, 112), x - 0.6, top - 2, 1.2, FLOOR + 2 - top)]
    for i in range(6):
        a, b = x + way * wide * i, x + way * wide * (i + 1)
        for low, high, paint in ((0, 5, tone), (5, 10, other)):
            fold = shade(paint, 1.0 if i % 2 else 0.93)
            shapes.append(
                _poly(take, fold, (a, y[i] + low), (b, y[i + 1] + low), (b, y[i + 1] + high), (a, y[i] + high))
            )
    return FLOOR, shapes


def swaying_tree(take: Take) -> Group:
    x, s, y = take.vary(0, FRAME), take.vary(28, 50), FLOOR + take.vary(0, 3)
    green = ((70, 134, 72), (98, 152, 66), (150, 150, 62))[int(take.rng.integers(3))]
    sway = take.vary(0.02, 0.06) * s * np.sin(take.cycle(0.2, 0.6))
    trunk = [
        (x - 0.05 * s, y),
        (x + 0.05 * s, y),
        (x + 0.04 * s + sway / 2, y - s / 2),
        (x - 0.04 * s + sway / 2, y - s / 2),
    ]
    crown = ((-0.2, 0.55, 0.24, 0.9), (0.2, 0.58, 0.24, 0.95), (0.0, 0.78, 0.27, 1.08), (0.0, 0.55, 0.24, 1.0))
    return y - 3, [
        _poly(take, (112, 78, 54), *trunk),
        *(
            _oval(take, shade(green, f), x + dx * s + sway * dy / 0.55, y - dy * s, r * s, 0.95 * r * s)
            for dx, dy, r, f in crown
        ),
    ]


def flurry(take: Take) -> Group:
    """Snowflakes in the wind."""
    wind, sink = take.vary(-30, 30), take.vary(-14, 14)
    flakes: list[Bystander | Shape] = []
    for _ in range(int(take.rng.integers(10, 26))):
        x = take.vary(-10, FRAME + 10) + wind * take.vary(0.7, 1.3) * (take.t - DURATION_S / 2)
        y = take.vary(4, FLOOR) + sink * (take.t - DURATION_S / 2) + 1.5 * np.sin(take.cycle(0.3, 1.0))
        flakes.append(_oval(take, (250, 252, 255), x, y, take.vary(0.5, 1.0), take.vary(0.5, 1.0)))
    return FLOOR - 8.0, flakes


Posture = Callable[[Take], tuple[Pose, list[Part]]]
Thing = Callable[[Take], Group]
_SCENES: dict[str, tuple[tuple[Posture, ...], tuple[Thing, ...]]] = {
    "living room": ((standing, sitting, sitting, walking), (lamp, screen, cat, balloons)),
    "kitchen": ((standing, standing, walking), (lamp, cat, screen)),
    "office": ((sitting, sitting, standing, walking), (screen, lamp)),
    "gym": ((stretching, stretching, standing, walking), (bouncing_ball, screen, flag)),
    "street": ((walking, walking, standing), (cars, cars, birds, dog, flag)),
    "park": ((walking, standing, stretching), (dog, birds, balloons, swaying_tree, bouncing_ball)),
    "beach": ((walking, standing, stretching), (sail, waves, birds, flag, bouncing_ball, dog)),
    "snow": ((walking, standing), (flurry, birds, dog, flag)),
    "stage": ((dancing, standing), (spotlights, spotlights, balloons)),
    "classroom": ((sitting, sitting, standing, walking), (screen, lamp)),
}
"""What people do and what else moves at each place; the more often something is listed, the more often it happens."""
