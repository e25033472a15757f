"""The cyclic motions: a movement repeated at a random rate from a random phase; classes differ in limb or rhythm."""

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import SIDES, Array, Limb, Reach, Swing, pose
from actionprompt.world.motion import (
    PI,
    Performance,
    Take,
    both,
    hang,
    mats,
    opposite,
    pair,
    stand,
)


def wave(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.2, 2.2, (0.9, 2.8))
    lift, width = take.vary(1.6, 2.1, (1.3, 2.3)), take.vary(0.45, 0.75, (0.35, 0.95))
    style = take.kind(("forearm", "forearm", "whole arm", "elbow low"))
    arm = Swing(0.15, lift, 0.2, 2.75 + width * np.sin(phase) - 0.2)
    if style == "whole arm":
        swing = 2.55 + 0.6 * width * np.sin(phase)
        arm = Swing(0.1, swing, 0.1, swing + 0.25 * width * np.sin(phase - 0.5))
    elif style == "elbow low":
        arm = Swing(0.15, 0.35, 0.3, 2.6 + width * np.sin(phase))
    roll = 0.04 * take.factor(0.0, 1.6) * np.sin(phase)
    who = take.kind(("near", "near", "far", "both"))
    rest: Limb = arm if who == "both" else hang(take)
    arms = pair(take.near, rest, arm) if who == "far" else pair(take.near, arm, rest)
    hips = take.at(0.0, a.hip_height, 0.0) + take.sway()
    body = pose(a, hips, arms=arms, legs=stand(take), roll=roll)
    return Performance(body, ["waving"] * len(phase), [], (50, 130))


def _clap(take: Take, low_hz: float, high_hz: float, wider: tuple[float, float]) -> Performance:
    a, phase = take.actor, take.cycle(low_hz, high_hz, wider)
    h, wide = a.height, take.vary(0.13, 0.2, (0.1, 0.26))
    gap = (0.02 + wide * (0.5 - 0.5 * np.cos(phase))) * h
    high = a.hip_height + a.torso * take.vary(0.6, 0.95, (0.35, 1.15))
    ahead = take.vary(0.2, 0.25, (0.16, 0.26)) * h
    arms = both(lambda s: Reach(take.at(ahead - gap * 0.3, high, s * gap), (-0.2, -1, 0.8)))
    hips = take.at(0.0, a.hip_height, 0.0) + take.sway()
    body = pose(a, hips, arms=arms, legs=stand(take), nod=0.05 * take.factor(-2.0, 4.0))
    return Performance(body, ["clapping"] * len(phase), [], (50, 120))


def clap_slowly(take: Take) -> Performance:
    return _clap(take, 0.55, 0.85, (0.45, 0.95))


def clap_quickly(take: Take) -> Performance:
    return _clap(take, 1.7, 2.3, (1.6, 2.6))


def jumping_jacks(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.9, 1.5, (0.75, 1.7))
    h = a.height
    out = 0.5 - 0.5 * np.cos(phase)
    air = 0.05 * take.factor(0.3, 1.4) * h * np.abs(np.sin(phase))
    top, apart = 2.75 * take.factor(0.72, 1.03), 0.15 * take.factor(0.7, 1.3)
    arm = Swing(0.05, 0.12 + top * out, 0.1, 0.1 + (top + 0.1) * out)
    legs = both(lambda s: Reach(take.at(0.0, a.ankle + air, s * (0.05 + apart * out) * h), (1, 0, 0.4)))
    body = pose(a, take.at(0.0, a.hip_height - 0.03 * h * out + air, 0.0), arms=(arm, arm), legs=legs)
    return Performance(body, ["doing jumping jacks"] * len(phase), [], (65, 115))


def run(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.3, 1.9, (1.1, 2.1))
    h = a.height
    strides, kicks, pumps = take.factor(0.75, 1.15), take.factor(0.75, 1.15), take.factor(0.4, 1.2)
    elbow = 1.35 * take.factor(0.8, 1.25)

    def leg(side: float) -> Swing:
        turn = opposite(phase, side)
        hip = 0.3 + 0.75 * strides * np.sin(turn)
        return Swing(hip, 0.0, hip - 0.35 - 0.64 * kicks * (1 - np.cos(turn)), 0.0)

    def arm(side: float) -> Swing:
        flex = -0.9 * pumps * np.sin(opposite(phase, side))
        return Swing(flex - 0.1, 0.12, flex + elbow, 0.0)

    up = a.hip_height - 0.02 * h + 0.035 * h * np.abs(np.sin(phase))
    lean = take.vary(0.12, 0.25, (0.05, 0.35))
    x = take.t * take.vary(0.0, 0.5, (0.0, 0.7))
    body = pose(a, take.at(x, up, 0.0), arms=both(arm), legs=both(leg), pitch=lean, nod=-0.1)
    return Performance(body, ["running"] * len(phase), [], (0, 40), scroll=x)


def march(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.8, 1.2, (0.65, 1.4))
    h, high = a.height, take.vary(0.2, 0.27, (0.16, 0.29))
    swing, bent = 0.7 * take.factor(0.3, 1.5), 0.15 * take.factor(0.5, 7.0)

    def leg(side: float) -> Reach:
        lift = np.maximum(np.sin(opposite(phase, side)), 0.0) ** 0.8
        return Reach(take.at(0.12 * h * lift, a.ankle + high * h * lift, side * 0.05 * h), (1, 0, 0.1))

    def arm(side: float) -> Swing:
        flex = -swing * np.sin(opposite(phase, side))
        return Swing(flex, 0.1, flex + bent, 0.08)

    body = pose(a, take.at(0.0, a.hip_height, 0.0), arms=both(arm), legs=both(leg))
    return Performance(body, ["marching"] * len(phase), [], (10, 75))


def punch(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.8, 1.3, (0.7, 1.6))
    h, near = a.height, SIDES[take.near]
    chin = a.hip_height + a.torso * 0.92 * take.factor(0.85, 1.03)
    style = take.kind(("straight", "straight", "one arm", "uppercut"))
    rise = 0.02 * h * take.factor(-6.0, 6.0)

    def jab(side: float) -> Array:
        if style == "one arm":
            return np.maximum(np.sin(phase), 0.0) ** 1.5 * (side == near)
        return np.maximum(np.sin(opposite(phase, side)), 0.0) ** 1.5

    def arm(side: float) -> Reach:
        guard, out = take.at(0.15 * h, chin, side * 0.07 * h), take.at(a.arm * 1.25, chin + rise, side * 0.01)
        hit = jab(side)
        if style == "uppercut":
            guard, out = guard - np.array([0.0, 0.08 * h, 0.0]), take.at(0.24 * h, chin + 0.14 * h, side * 0.03)
            guard = guard - take.at(0.0, 0.12 * h, 0.0) * (4 * hit * (1 - hit))[:, None]
        return Reach(guard + (out - guard) * hit[:, None], (-0.2, -1, 0.5))

    twist = 0.45 * take.factor(0.4, 1.4) * (jab(-1.0) - jab(1.0))
    legs = stand(take, width=0.07, split=0.1 * take.factor(-1.0, 1.2))
    bounce = a.hip_height - 0.04 * h + 0.01 * take.factor(0.0, 2.0) * h * np.sin(2 * phase)
    hips = take.at(0.02, bounce, 0.0) + take.sway()
    body = pose(a, hips, arms=both(arm), legs=legs, pitch=0.12, twist=twist)
    return Performance(body, ["punching"] * len(phase), [], (5, 50))


def kick(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.6, 1.0, (0.6, 1.2))
    h, near = a.height, SIDES[take.near]
    high = take.vary(1.15, 1.75, (0.85, 1.95))
    out = np.maximum(np.sin(phase), 0.0) ** 1.2
    fold = np.maximum(np.sin(phase + 0.6), 0.0) * (1 - out) * take.factor(0.4, 1.3)
    style = take.kind(("guard", "guard", "hanging", "spread"))
    leg = Swing(-0.25 * (1 - out) + high * out, 0.05, -0.35 * (1 - out) + high * out - 0.9 * fold, 0.03)
    support = Reach(take.at(0.0, a.ankle, -near * 0.05 * h), (1, 0, 0.2))
    chin = a.hip_height + a.torso * 0.8
    arms: tuple[Limb, Limb] = both(
        lambda s: Reach(take.at(0.13 * h - 0.05 * h * out, chin, s * 0.1 * h), (-0.2, -1, 0.6))
    )
    if style != "guard":
        swing, out_side = 0.5 * take.factor(-1.0, 1.0) * out, 0.12 if style == "hanging" else 0.6 + 0.3 * out
        arms = both(lambda s: Swing(swing, out_side, swing + 0.2, out_side * 0.7))
    legs = pair(take.near, leg, support)
    hip = take.at(0.0, a.hip_height - 0.012 * h, 0.0)
    body = pose(a, hip, arms=arms, legs=legs, pitch=-0.28 * take.factor(0.4, 1.3) * out + 0.05, nod=0.2 * out)
    return Performance(body, ["kicking"] * len(phase), [], (0, 40))


def push_ups(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.6, 1.1, (0.45, 1.3))
    h = a.height
    depth = (0.5 - 0.5 * np.cos(phase)) * take.factor(0.65, 1.05)
    shoulder = a.arm * (0.97 - 0.52 * depth)
    on_knees = take.kind(("toes", "toes", "knees")) == "knees"
    leg, foot = (a.thigh, 0.035 * h) if on_knees else (a.thigh + a.shin, a.ankle)
    length = leg + a.torso
    tilt = np.arcsin(np.clip((shoulder - foot) / length, -1, 1))
    toe_x = -0.55 * length
    pelvis = take.at(toe_x + leg * np.cos(tilt), foot + 0.01 + leg * np.sin(tilt), 0.0)
    hand_x = toe_x + length * np.cos(0.4 if on_knees else 0.3) - 0.02
    wide = 0.13 * take.factor(0.75, 1.4)
    arms = both(lambda s: Reach(take.at(hand_x, 0.03 * h, s * wide * h), (-1, 0.3, 0.5)))
    leg_swing = Swing(0.0, 0.0, -take.vary(0.4, 1.6) if on_knees else 0.0, 0.0)
    nod = -0.45 * take.factor(0.2, 1.3)
    body = pose(a, pelvis, arms=arms, legs=(leg_swing, leg_swing), pitch=PI / 2 - tilt, nod=nod)
    mat, shadow = mats(take, 0.0, 1.15, 0.4, chance=0.6), ("pelvis", "left_hand", "left_ankle")
    return Performance(body, ["doing push-ups"] * len(phase), mat, (2, 28), shadow=shadow)


def jump_rope(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.0, 1.7, (0.9, 2.0))
    h = a.height
    air = 0.09 * take.factor(0.5, 1.3) * h * np.maximum(np.cos(phase), -0.15)
    hand_x, hand_y = 0.1 * h + 0.02 * h * np.sin(phase), a.hip_height + 0.05 * h - 0.02 * h * np.cos(phase)
    out = 0.21 * take.factor(0.85, 1.2)
    left, right = take.at(hand_x, hand_y, out * h), take.at(hand_x, hand_y, -out * h)
    arms = (Reach(left, (-1, -0.4, 0.3)), Reach(right, (-1, -0.4, 0.3)))
    feet = np.maximum(air, 0.0)
    skips = 0.0 if take.kind(("together", "together", "skip")) == "together" else 0.12 * h

    def leg(side: float) -> Reach:
        knee = skips * np.maximum(np.sin(opposite(phase / 2, side)), 0.0)
        return Reach(take.at(-0.03 * feet / 0.09 + knee, a.ankle + feet + knee, side * 0.04 * h), (1, 0, 0.1))

    body = pose(a, take.at(0.0, a.hip_height - 0.02 * h + air, 0.0), arms=arms, legs=both(leg))
    above = a.hip_height + a.torso + 3.2 * a.head_radius - hand_y
    reach = np.where(np.cos(phase) > 0, hand_y - 0.012, above)
    swing = take.at(np.sin(phase) * 0.9, -np.cos(phase), 0.0) * reach[:, None]
    made = props.rope(left, right, swing, take.colour())
    return Performance(body, ["jumping rope"] * len(phase), [made], (50, 95))
