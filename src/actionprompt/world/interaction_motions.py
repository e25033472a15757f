"""The interactions: two people who face each other. None is paired with its reversal.

Each person is posed in a frame of their own, at its origin and facing forward; the partner is then turned around by
`turned`. Who gives and who pushes is random, and so is the direction of time of all but the push, so that a motion and
its reverse are equally frequent.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from actionprompt.world.figure import SIDES, Actor, Array, Limb, Pose, Prop, Reach, Swing, Track, pose
from actionprompt.world.motion import (
    HELD,
    LAST_S,
    PI,
    Performance,
    Take,
    both,
    choose,
    gait,
    grip,
    keyed,
    smooth,
    stand,
    thing,
)

HALF_TURN = np.array([-1.0, 1.0, -1.0])
"""A rotation by half a turn about the vertical axis."""
PALM = 0.03
"""Distance of the palm from the hand joint along the forearm, relative to the height of the body."""
YAW = (-25.0, 25.0)
"""From nearly the side, so that neither hides the other; `sample_camera` widens the range."""


def across(track: Track, place: Track) -> Track:
    """From the frame of one of two people who face each other to that of the other, whose origin is at `place` in
    both."""
    return place + track * HALF_TURN


def turned(body: Pose, place: Track) -> Pose:
    """A pose in the frame of the person opposite, whose origin is at `place`."""
    torso, head = ((f * HALF_TURN, u * HALF_TURN, s * HALF_TURN) for f, u, s in (body.torso, body.head))
    return Pose({name: across(track, place) for name, track in body.joints.items()}, torso, head)


def people(take: Take) -> tuple[Take, Take]:
    """The take of each of the two people, in a frame of their own."""
    if take.partner is None:
        raise ValueError("expected a take with a partner, since an interaction needs two people, got None")
    other = replace(take, actor=take.partner, partner=take.actor, near="right" if take.near == "left" else "left")
    return take, other


def either_way(take: Take) -> Take:
    """The take itself or, as often, one whose time is reversed."""
    return take if take.vary(0, 1) < 0.5 else replace(take, t=LAST_S - take.t)


def duet(bodies: tuple[Pose, Pose], place: Track, state: list[str], made: list[Prop] | None = None) -> Performance:
    """A performance of the actor and the partner, each posed in a frame of their own."""
    partner = turned(bodies[1], place)
    return Performance(bodies[0], state, made or [], YAW, extent=list(partner.joints.values()), partner=partner)


def reach(a: Actor, high: float, lean: float, wide: float) -> float:
    """How far ahead of the hips a hand gets, `high` above the floor and `wide` to the side of the shoulder, when the
    torso leans by `lean` radians; at least a third of the arm."""
    up = a.torso - 0.03 * a.height
    free = (0.97 * a.arm) ** 2 - (high - a.hip_height - up * np.cos(lean)) ** 2 - wide**2
    return float(np.sqrt(max(free, (a.arm / 3) ** 2)) + up * np.sin(lean))


def trunk(a: Actor, share: float) -> float:
    """Height of a point of the upright torso, from 0 at the hips to 1 at the neck."""
    return a.hip_height + share * a.torso


def hanging(take: Take, side: float, x: Array | float = 0.0) -> Track:
    """Where a hand hangs; the hips are at `x`."""
    a = take.actor
    return take.at(x + 0.04 * a.height, a.hip_height - 0.02 * a.height, side * 0.14 * a.height)


def along(u: Array, *stops: tuple[float, Track]) -> Track:
    """A track through others, at these values of `u`, eased between them."""
    track = stops[0][1]
    for (low, _), (high, end) in pairwise(stops):
        track = track + (end - track) * smooth(np.clip((u - low) / (high - low), 0.0, 1.0))[:, None]
    return track


def hand_over(take: Take) -> Performance:
    """One person holds a thing out, the other takes it."""
    take = either_way(take)
    (one, other), p = people(take), take.progress()
    kind, size = HELD[int(take.rng.integers(len(HELD)))], take.vary(0.13, 0.2)
    hold = np.array(grip(kind, size))
    lean, low = take.vary(0.0, 0.3), take.vary(0.3, 0.6)
    high = (trunk(one.actor, low) + trunk(other.actor, low)) / 2
    far, far_other = (reach(who.actor, high + hold[1], lean, 0.05) * take.vary(0.75, 0.97) for who in (one, other))
    place = take.at(far + far_other, 0.0, take.vary(-0.05, 0.05))

    def person(who: Take, far: float, u: Array) -> tuple[Pose, Track]:
        """The pose of somebody who holds the thing at 0 of `u` and has let go of it at 1, and where they hold it."""
        a, aside = who.actor, 0.0 if kind in ("box", "ball") else SIDES[who.near] * take.vary(-0.08, 0.08)
        own = take.at(take.vary(0.16, 0.22) * a.height, trunk(a, take.vary(0.1, 0.5)), aside)
        held = along(u, (0.0, own), (0.36, take.at(far, high, 0.0) + place * np.array([0.0, 0.0, 0.5])))

        def hand(side: float) -> Reach:
            at = held + hold * np.array([1.0, 1.0, side])
            return Reach(along(u, (0.62, at), (0.98, hanging(who, side))), (-0.5, -0.7, 0.7))

        legs = stand(who, split=take.vary(-0.06, 0.06))
        pitch, hips = lean * np.sin(PI * p) ** 2, take.at(0.0, a.hip_height - 0.01, 0.0)
        return pose(a, hips, arms=both(hand), legs=legs, pitch=pitch, nod=take.vary(0.0, 0.2)), held

    gives = take.vary(0, 1) < 0.5
    body, held = person(one, far, p if gives else 1 - p)
    body_other, held_other = person(other, far_other, 1 - p if gives else p)
    centre = np.where(((p < 0.5) == gives)[:, None], held, across(held_other, place))
    state = choose(p, (0, "facing somebody"), (0.2, f"handing over {kind}"), (0.8, "facing somebody"))
    return duet((body, body_other), place, state, [thing(take, kind, centre, size)])


def high_five(take: Take) -> Performance:
    """Both raise a hand or both hands, and the palms meet once or twice."""
    take = either_way(take)
    (one, other), p = people(take), take.progress()
    style = ("same side", "mirrored", "two hands")[int(take.rng.integers(3))]
    twice, first = take.vary(0, 1) < 0.4, SIDES[take.near] * (1.0 if take.vary(0, 1) < 0.6 else -1.0)
    lean, wide = take.vary(0.0, 0.22), 0.0 if style == "same side" else take.vary(0.08, 0.11)
    shoulder, shoulder_other = trunk(one.actor, 0.88), trunk(other.actor, 0.88)
    high = (shoulder + shoulder_other) / 2 + take.vary(0.08, 0.25)
    high = min(high, shoulder + 0.85 * one.actor.arm, shoulder_other + 0.85 * other.actor.arm)
    far, far_other = (reach(who.actor, high, lean, 0.09) * take.vary(0.8, 0.97) for who in (one, other))
    gap = PALM * (one.actor.height + other.actor.height)
    place = take.at(far + far_other + gap, 0.0, take.vary(-0.03, 0.03))

    def person(who: Take, far: float, raised: float) -> Pose:
        a, h, swing = who.actor, who.actor.height, take.vary(0.1, 0.5)

        def hand(side: float) -> Limb:
            if style != "two hands" and side != raised:
                return Swing(swing * p * (1 - p), 0.12, 0.15 + swing * p * (1 - p), 0.05)
            rest = hanging(who, side)
            meet = take.at(far, high, side * wide) + place * np.array([0.0, 0.0, 0.5])
            ready = take.at(0.62 * far, high - 0.02 * h, side * (wide + 0.03 * h))
            apart = meet + (ready - meet) * 0.5
            stops = [(0.18, ready), (0.35, meet), (0.65, meet), (0.82, ready)]
            if twice:
                stops = [(0.18, ready), (0.32, meet), (0.42, meet), (0.5, apart)]
                stops += [(0.58, meet), (0.68, meet), (0.82, ready)]
            return Reach(along(p, (0.0, rest), *stops, (1.0, rest)), (-0.3, -1, 0.7))

        legs = stand(who, split=take.vary(-0.07, 0.07))
        hips, nod = take.at(0.0, a.hip_height - 0.01, 0.0), -take.vary(0.0, 0.25) * np.sin(PI * p)
        return pose(a, hips, arms=both(hand), legs=legs, pitch=lean * np.sin(PI * p) ** 2, nod=nod)

    bodies = person(one, far, first), person(other, far_other, first if style == "same side" else -first)
    return duet(bodies, place, choose(p, (0, "facing somebody"), (0.12, "high five"), (0.88, "facing somebody")))


def push(take: Take) -> Performance:
    """One person steps up and pushes the other, who staggers back."""
    one, other = people(take)
    pushes = take.vary(0, 1) < 0.5
    strong, weak = (one, other) if pushes else (other, one)
    a, h, near = strong.actor, strong.actor.height, SIDES[strong.near]
    since = take.t - take.vary(0.45, 1.15)
    lean, step, one_hand = take.vary(0.15, 0.4), take.vary(0.04, 0.2), take.vary(0, 1) < 0.3
    high = min(trunk(a, 0.85), trunk(weak.actor, take.vary(0.6, 0.8)))
    far = reach(a, high, lean, 0.03) * take.vary(0.85, 0.97)
    place = take.at(step + far + PALM * h + 0.07 * weak.actor.bulk * weak.actor.height, 0.0, take.vary(-0.02, 0.02))
    x, pitch = keyed(
        since,
        (-0.5, 0.0, 0.0),
        (0.0, step, lean),
        (0.25, step, lean * 1.1),
        (take.vary(0.6, 1.2), step, 0.0),
        (9.0, step, 0.0),
    )

    def hand(side: float) -> Reach:
        if one_hand and side != near:
            return Reach(hanging(strong, side, x), (-1, -0.3, 0.3))
        ready = take.at(0.6 * far, high - 0.02, side * 0.09 * h)
        meet = take.at(step + far, high, side * 0.07 * h)
        through = meet + np.array([0.05, 0.01, 0.0])
        stops = [(-0.18, ready), (0.0, meet), (0.12, through), (0.25, through), (0.8, hanging(strong, side, step))]
        return Reach(along(since, (-0.5, hanging(strong, side)), *stops), (-0.3, -0.8, 0.7))

    def foot(side: float) -> Reach:
        leads = side == near
        lift = 0.05 * h * np.sin(PI * np.clip((since + 0.5) / 0.5, 0, 1)) * leads
        return Reach(take.at(x * (1.9 if leads else 0.1), a.ankle + lift, side * 0.06 * h), (1, 0, 0.2))

    hips = take.at(x, a.hip_height - 0.15 * step - 0.01, 0.0)
    body = pose(a, hips, arms=both(hand), legs=both(foot), pitch=pitch, nod=-0.3 * pitch)
    bodies = (body, stagger(weak, since)) if pushes else (stagger(weak, since), body)
    contact = "pushing somebody" if pushes else "pushed by somebody"
    return duet(bodies, place, choose(since, (-9, "facing somebody"), (-0.25, contact), (0.5, "facing somebody")))


def stagger(take: Take, since: Array) -> Pose:
    """Somebody who is pushed at time 0 of `since`, steps back and regains balance."""
    a, h = take.actor, take.actor.height
    way, steps, lasts = take.vary(0.2, 0.42) * h, int(take.rng.integers(2, 4)), take.vary(0.55, 0.8)
    gone = 1 - (1 - np.clip(since / lasts, 0.0, 1.0)) ** 2
    knocked, flail = take.vary(0.25, 0.5), take.vary(0.5, 1.3)
    pitch, flex, out = keyed(
        since / lasts,
        (0.0, 0.02, 0.0, 0.1),
        (0.3, -knocked, flail, 0.5),
        (0.75, 0.35 * knocked, 0.6 * flail, 0.5),
        (1.3, 0.02, 0.0, 0.1),
        (9.0, 0.02, 0.0, 0.1),
    )
    legs = gait(take, -way * gone, phase=-PI * steps * gone, stride=way / steps, lift=0.07 * h, width=0.06)
    arm = Swing(flex, out, flex * 1.5 + 0.15, out * 0.7)
    hips = take.at(-way * gone, a.hip_height - 0.025 * h, 0.0)
    return pose(a, hips, arms=(arm, arm), legs=legs, pitch=pitch, nod=-0.5 * pitch)


def hug(take: Take) -> Performance:
    """They step up to each other, put their arms around each other and stay so or part again."""
    take = either_way(take)
    (one, other), p = people(take), take.progress()
    keys = [(take.vary(0.45, 0.7), 1.0), (1.0, 1.0)]
    if take.vary(0, 1) < 0.4:
        keys = [(0.38, 1.0), (0.62, 1.0), (1.0, 0.0)]
    (close,) = keyed(p, (0.0, 0.0), *keys)
    aside = take.vary(0.05, 0.08) * (1.0 if take.vary(0, 1) < 0.5 else -1.0)
    way, share = take.vary(0.2, 0.5), (0.5, 0.5, 0.2, 0.8)[int(take.rng.integers(4))]
    sway = 0.04 * np.sin(take.cycle(0.3, 0.7)) * close
    taller = one.actor.height - other.actor.height
    bow, bow_other = (take.vary(0.03, 0.12) + 1.2 * max(0.0, more) for more in (taller, -taller))
    gap = 0.07 * (one.actor.bulk + other.actor.bulk)
    gap += 0.5 * (one.actor.torso * np.sin(bow) + other.actor.torso * np.sin(bow_other))

    def person(who: Take, partner: Actor, way: float, bow: float) -> Pose:
        a, h, steps = who.actor, who.actor.height, 1 if way < 0.2 else 2
        x, over = -way * (1 - close), 1.0 if take.vary(0, 1) < 0.5 else -1.0
        upper, lower = take.vary(0.7, 0.85), take.vary(0.45, 0.7)

        def arm(side: float) -> Reach:
            high = min(trunk(partner, upper if side == over else lower), trunk(a, 0.95))
            ready = take.at(x + 0.22 * h, (high + trunk(a, 0.6)) / 2, side * 0.2 * h)
            back = take.at(gap + 0.05, high, aside + side * 0.05)
            stops = [(0.0, hanging(who, side, x)), (0.6, ready), (1.0, back)]
            return Reach(along(close, *stops), (-0.3, -0.5, 1))

        legs = gait(who, x, phase=PI * steps * close, stride=max(way / steps, 0.04), lift=0.05 * h, width=0.06)
        hips = take.at(x, a.hip_height - (0.02 + 0.1 * max(0.0, bow - 0.1) * close) * h, 0.0)
        roll = np.sign(aside) * 0.12 * close + sway
        return pose(a, hips, arms=both(arm), legs=legs, pitch=bow * close, roll=roll, nod=0.1 * close)

    bodies = person(one, other.actor, way * share, bow), person(other, one.actor, way * (1 - share), bow_other)
    state = choose(close, (0, "facing somebody"), (0.7, "hugging"))
    return duet(bodies, take.at(gap, 0.0, aside), state)
