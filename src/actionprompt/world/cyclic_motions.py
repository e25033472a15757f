"""The cyclic motions: a movement repeated at a random rate from a random phase; classes differ in limb or rhythm."""

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import SIDES, Array, Reach, Swing, pose
from actionprompt.world.motion import (
    PI,
    Performance,
    Take,
    both,
    hang,
    opposite,
    pair,
    stand,
)


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
