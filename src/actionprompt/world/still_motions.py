"""The still motions: postures that a single frame shows, held with small movements."""

from typing import Literal

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import SIDES, Limb, Reach, Swing, pose, unit
from actionprompt.world.motion import (
    PI,
    Performance,
    Take,
    both,
    hang,
    mats,
    pair,
    sitting_height,
    stand,
)


def lie(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h = a.height
    low, x = 0.065 * h, -0.05 * h
    bent = {1.0: take.vary(0.7, 0.995, (0.5, 0.995)), -1.0: take.vary(0.75, 0.995, (0.5, 0.995))}
    legs = both(lambda s: Reach(take.at(x + (a.thigh + a.shin) * bent[s], a.ankle, s * 0.06 * h), (0, 1, 0.2)))
    kind = int(take.rng.integers(3))
    if kind == 0:
        arm: Limb = Swing(0.05 + 0.02 * np.sin(phase), 0.25, 0.1, 0.2)
    elif kind == 1:  # hands behind the head
        arm = Swing(2.6, 0.75, 3.6, -0.6)
    elif take.kind(("belly", "belly", "wide")) == "wide":
        arm = Swing(0.05, take.vary(0.5, 1.5), 0.1, take.vary(0.6, 1.5))
    else:  # hands on the belly
        arm = Swing(0.15, 0.3, 0.75 + 0.03 * np.sin(phase), -0.6)
    body = pose(a, take.at(x, low, 0.0), arms=(arm, arm), legs=legs, pitch=-PI / 2 + 0.04, nod=0.0)
    mat = mats(take, -0.05 * h, 1.15, 0.42)
    return Performance(body, ["lying"] * len(phase), mat, (5, 32), shadow=("pelvis", "neck", "left_ankle"))


def handstand(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.3, 0.6)
    h, lean = a.height, 0.05 * take.factor(0.3, 1.8) * np.sin(phase)
    top = a.arm * 0.97 + 0.02 * h
    split = take.vary(0.0, 0.5, (0.0, 1.0))
    bent = take.kind(("straight", "straight", "bent")) == "bent"
    pelvis = take.at(-(a.torso) * np.sin(lean), top + a.torso - 0.03 * h, 0.0)
    arms = both(lambda s: Reach(take.at(0.0, 0.03 * h, s * 0.12 * h), (-0.5, 0.0, 0.5)))
    legs = (
        Swing(split * 0.6 + lean, 0.04, split * 0.5 + 0.6 * lean - 0.15 * split, 0.02),
        Swing(-split * 0.6 + lean, 0.04, -split * 0.8 - 0.1 - 1.2 * bent + 0.6 * lean, 0.02),
    )
    body = pose(a, pelvis, arms=arms, legs=legs, pitch=PI + lean, nod=-0.5)
    return Performance(body, ["doing a handstand"] * len(phase), [], (0, 90), shadow=("left_hand", "right_hand"))


def read(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h, seat = a.height, sitting_height(a)
    kind = take.kind((*props.CHAIRS, "standing", "standing"))
    standing = kind == "standing"
    back = 0.0 if standing else a.thigh * 0.95
    lift = 0.01 * h * np.sin(phase)
    hip = a.hip_height if standing else seat + 0.05 * h
    far = 0.21 * take.factor(0.85, 1.05)
    centre = take.at(-back + far * h, hip + a.torso * take.vary(0.5, 0.7, (0.35, 0.8)) + lift, 0.0)
    hips = take.at(-back, hip, 0.0) + (take.sway() if standing else 0.0)
    pitch, nod = -0.04 * take.factor(-1.5, 2.0), 0.42 * take.factor(0.6, 1.3)
    arms = both(lambda s: Reach(centre + np.array([-0.015, -0.02 * h, s * 0.06]), (-0.3, -1, 0.5)))
    body = pose(a, hips, arms=arms, legs=stand(take), pitch=pitch, nod=nod)
    forward, up, left = body.torso
    tilt = unit(forward - 0.55 * up)
    made = props.book(centre, tilt, unit(up + 0.55 * forward), left, take.colour())
    if standing:
        return Performance(body, ["reading a book standing"] * len(phase), [made], (5, 60))
    chair = props.chair(take.at(-back - 0.01, seat, 0.0), seat, take.colour(), kind=kind)
    state = "reading a book seated" if kind in ("stool", "armchair") else "reading a book"
    return Performance(body, [state] * len(phase), [chair, made], (5, 60))


def phone(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.3, 0.7, (0.2, 0.9))
    near = SIDES[take.near]
    nod = 0.06 + 0.08 * take.factor(0.2, 1.8) * np.sin(phase)
    other: Limb = Swing(0.5, 0.3, 1.5 + 0.2 * np.sin(phase * 1.3), 0.0) if take.vary(0, 1) < 0.5 else hang(take)
    kind = take.kind(("standing", "standing", "standing", *props.CHAIRS))
    seated = kind != "standing"
    seat = sitting_height(a)
    hips = take.at(-0.95 * a.thigh, seat + 0.05 * a.height, 0.0) if seated else take.at(0.0, a.hip_height, 0.0)
    hips = hips + (0.0 if seated else take.sway())
    if take.kind(("free", "free", "hip")) == "hip":
        at_hip = hips + np.array([0.02, 0.05, -near * 0.1]) * a.height
        other = Reach(at_hip, (-0.6, 0.0, 1.0))
    elif seated:
        other = Reach(hips + np.array([0.16, 0.06, -near * 0.08]) * a.height, (-1, 0, 0.5))
    draft = pose(a, hips, arms=(hang(take), hang(take)), legs=stand(take), nod=nod)
    forward, up, left = draft.head
    r = a.head_radius
    ear = draft["head"] + left * near * r * 1.05 + forward * r * 0.25 - up * r * 0.35
    arms = pair(take.near, Reach(ear, (0.3, -1, 0.9)), other)
    body = pose(a, hips, arms=arms, legs=stand(take, split=take.vary(-0.04, 0.04)), nod=nod)
    made = [props.phone(ear, up, draft["head"])]
    if take.version == "2":
        made = [props.phone(ear, up, draft["head"], take.colour() if take.vary(0, 1) < 0.5 else (40, 44, 56))]
    if seated:
        made.insert(0, props.chair(take.at(-0.95 * a.thigh - 0.01, seat, 0.0), seat, take.colour(), kind=kind))
    return Performance(body, ["talking on the phone"] * len(phase), made, (15, 75))


def guitar(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(1.0, 2.0, (0.8, 2.4))
    h = a.height
    strum: Literal["left", "right"] = take.near
    if take.kind(("near", "near", "far")) == "far":
        strum = "right" if strum == "left" else "left"
    s = SIDES[strum]
    seated = take.kind(("standing", "standing", "stool")) == "stool"
    seat = sitting_height(a)
    hips = take.at(0.0, seat + 0.05 * h, 0.0) if seated else take.at(0.0, a.hip_height, 0.0)
    high = seat + 0.07 * h if seated else a.hip_height
    sway = 0.03 * take.factor(0.2, 2.0) * np.sin(phase * 0.5)
    hole = take.at(0.12 * h, high + 0.09 * h, s * 0.02 * h)
    end = take.at(0.17 * h, high + 0.21 * take.factor(0.75, 1.25) * h, -s * 0.36 * h)
    out = np.tile([1.0, 0.0, 0.0], (len(phase), 1))
    pick = Reach(hole + take.at(0.03, 0.035 * np.sin(phase), s * 0.03), (-0.6, -0.2, 1))
    fret = Reach(hole + (end - hole) * take.vary(0.68, 0.85, (0.6, 0.88)) + take.at(0.02, -0.02, 0.0), (-0.2, -1, 0.3))
    feet = stand(take, width=0.07)
    if seated:
        feet = both(lambda side: Reach(take.at(0.95 * a.thigh, a.ankle, side * 0.07 * h), (1, 0, 0.2)))
    nod = 0.15 * take.factor(-0.5, 2.5)
    body = pose(a, hips, arms=pair(strum, pick, fret), legs=feet, roll=sway, nod=nod)
    finish = [(196, 120, 52), (150, 44, 40), (64, 92, 140), (226, 176, 84)][int(take.rng.integers(4))]
    made = [props.guitar(hole, end, out, finish, kind=take.kind(props.GUITARS))]
    if seated:
        made.insert(0, props.chair(take.at(-0.01, seat, 0.0), seat, take.colour(), kind="stool"))
    return Performance(body, ["playing the guitar"] * len(phase), made, (65, 115))


def sit_cross_legged(take: Take) -> Performance:
    a, phase = take.actor, take.cycle(0.2, 0.4)
    h = a.height
    low = 0.07 * h
    legs = both(lambda s: Reach(take.at(0.17 * h, a.ankle * 1.05, -s * 0.07 * h), (0.5, 0.35, 1.4)))
    rise = 0.004 * h * np.sin(phase)
    style = take.kind(("calm", "calm", "lap", "behind"))
    if style == "lap":
        arms = both(lambda s: Reach(take.at(0.13 * h, low + 0.05 * h, s * 0.03 * h), (-0.6, -0.2, 0.8)))
    elif style == "behind":
        arms = both(lambda s: Reach(take.at(-0.16 * h, 0.03 * h, s * 0.16 * h), (-1, 0.2, 0.5)))
    elif take.vary(0, 1) < 0.5:  # hands on the knees
        arms = both(lambda s: Reach(take.at(0.14 * h, low + 0.09 * h, s * 0.2 * h), (-0.6, -0.2, 0.6)))
    else:  # palms together
        arms = both(lambda s: Reach(take.at(0.15 * h, low + a.torso * 0.72 + rise, s * 0.012 * h), (-0.2, -0.8, 1)))
    body = pose(
        a,
        take.at(0.0, low + rise, 0.0),
        arms=arms,
        legs=legs,
        pitch=-0.2 if style == "behind" else 0.02 * take.factor(-2.0, 5.0),
    )
    mat = mats(take, 0.05 * h, 0.6, 0.75, chance=0.6)
    return Performance(
        body, ["sitting cross-legged"] * len(phase), mat, (45, 115), shadow=("pelvis", "left_knee", "right_knee")
    )
