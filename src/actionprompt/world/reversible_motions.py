"""The reversible motions: each is the first action of a pair; the second is the same performance played backwards."""

import numpy as np

from actionprompt.world import props
from actionprompt.world.figure import SIDES, Array, Limb, Reach, Swing, Track, pose
from actionprompt.world.motion import (
    CARDBOARD,
    DURATION_S,
    HELD,
    PI,
    Performance,
    Take,
    both,
    choose,
    gait,
    grip,
    half_height,
    hang,
    keyed,
    mats,
    opposite,
    pair,
    sitting_height,
    smooth,
    stand,
    thing,
)


def sit(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    kind = take.kind(props.CHAIRS)
    seat = sitting_height(a) * (take.factor(0.95, 1.25) if kind == "stool" else take.factor(0.95, 1.05))
    back = take.vary(0.9, 1.0, (0.8, 1.0)) * a.thigh
    lean = take.vary(0.45, 0.75, (0.3, 0.95))
    x, y = keyed(
        p, (0, 0.0, a.hip_height), (0.5, -0.62 * back, (a.hip_height + seat) * 0.53), (1, -back, seat + 0.05 * a.height)
    )
    pitch = 0.03 + lean * np.sin(PI * p) ** 1.5
    reach = 0.7 * np.sin(PI * p)
    lap = 0.35 * p
    arm: Limb = Swing(lap + reach, 0.1, lap + 0.75 * p + reach * 1.1, 0.02)
    arms = (arm, arm)
    style = take.kind(("balance", "on the knees", "on the seat"))
    if style != "balance":
        ahead, high, wide = (0.6 * a.thigh, 0.06, 0.1) if style == "on the knees" else (0.02, 0.01, 0.16)
        arms = both(lambda s: Reach(take.at(x + ahead * p + 0.02, y + high * p, s * wide * a.height), (-1, 0, 0.5)))
    body = pose(a, take.at(x, y, 0.0) + take.sway(), arms=arms, legs=stand(take), pitch=pitch, nod=-pitch * 0.5)
    chair = props.chair(take.at(-back - 0.01, seat, 0.0), seat, take.colour(), kind=kind)
    names = ("standing by chair", "half crouched", "sitting")
    if kind in ("stool", "armchair"):
        names = (f"standing by {kind}", f"half crouched at {kind}", f"sitting on {kind}")
    state = choose(p, (0, names[0]), (0.2, names[1]), (0.86, names[2]))
    return Performance(body, state, [chair], (-5, 45))


def pick_up(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h, near = a.height, SIDES[take.near]
    things = HELD[:3] if take.version == "1" else HELD
    kind = things[int(take.rng.integers(len(things)))]
    size = take.vary(0.15, 0.2, (0.12, 0.24))
    half = half_height(kind, size)
    down = np.sin(PI * np.clip(p, 0, 1)) ** 1.4
    squat = take.vary(0.3, 0.75, (0.15, 0.95))
    floor_x, carry_x, carry_y = 0.27 * h, 0.19 * h, 0.06 * h
    one_hand = take.kind(("both", "both" if kind in ("box", "ball") else "one")) == "one"
    if take.version == "2":
        floor_x, carry_y = take.vary(0.22, 0.32) * h, take.vary(0.0, 0.16) * h - 0.06 * one_hand
    x, y, pitch, ox, oy = keyed(
        p,
        (0.0, 0.0, a.hip_height, 0.02, floor_x, half),
        (0.5, -0.1 * h, a.hip_height * (1 - 0.5 * squat), 1.35 - 0.5 * squat, floor_x, half),
        (1.0, -0.01, a.hip_height, 0.0, carry_x, a.hip_height + carry_y),
    )
    thing_at = take.at(ox, oy, 0.06 * near * p if one_hand else 0.0)
    holding = smooth(np.clip((p - 0.2) / 0.28, 0.0, 1.0))[:, None]
    hold = np.array(grip(kind, size))

    def hand(side: float) -> Reach:
        rest = take.at(x + 0.03, a.hip_height - 0.06 * h - 0.2 * down * h, side * 0.13 * h)
        if one_hand and side != near:
            rest = take.at(x + 0.05 + 0.1 * down, y - 0.02 - 0.05 * down, side * 0.12 * h)
            return Reach(rest, (-0.6, -0.3, 0.8))
        return Reach(rest * (1 - holding) + (thing_at + hold * np.array([1, 1, side])) * holding, (-0.6, -0.3, 0.8))

    hips = take.at(x, y, 0.0) + take.sway()
    body = pose(a, hips, arms=both(hand), legs=stand(take, width=0.07), pitch=pitch, nod=0.1)
    state = choose(p, (0, f"standing by {kind}"), (0.17, f"bending to {kind}"), (0.8, f"holding {kind}"))
    return Performance(body, state, [thing(take, kind, thing_at, size)], (0, 50))


def open_door(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    near = SIDES[take.near]
    width, tall = take.vary(0.36, 0.42, (0.34, 0.46)), take.vary(0.98, 1.08, (0.95, 1.2))
    angle = take.vary(1.1, 1.45, (0.9, 1.7)) * smooth(np.clip((p - 0.22) / 0.6, 0, 1))
    door_x = a.arm * 0.92
    panel, knob = props.door(
        take.at(door_x, 0.0, near * (width * 0.5 + 0.07)), width, tall, angle, -near, take.colour(),
        [(255, 236, 180), (60, 66, 84), (150, 200, 226)][int(take.rng.integers(3))],
        kind=take.kind(props.DOORS),
    )  # fmt: skip
    step = 0.2 * take.factor(0.4, 1.3) * h * smooth(np.clip((p - 0.2) / 0.65, 0, 1))
    touch = smooth(np.clip(p / 0.22, 0, 1)) * (1 - smooth(np.clip((p - 0.86) / 0.14, 0, 1)))
    rest = take.at(step + 0.02, a.hip_height - 0.02, near * 0.14 * h)
    hand = Reach(rest + (knob - rest) * touch[:, None], (-0.4, -0.7, 0.6))
    lift = 0.04 * h * np.sin(PI * np.clip((p - 0.2) / 0.65, 0, 1))
    legs = pair(
        take.near,
        Reach(take.at(step + 0.02, a.ankle + lift, near * 0.055 * h), (1, 0, 0.2)),
        Reach(take.at(0.55 * step, a.ankle, -near * 0.055 * h), (1, 0, 0.2)),
    )
    lean = 0.06 + 0.1 * take.factor(0.2, 2.0) * np.sin(PI * p)
    body = pose(
        a,
        take.at(step * 0.85, a.hip_height - 0.015 * h, 0.0) + take.sway(),
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
    size, way = take.vary(0.46, 0.54, (0.36, 0.62)) * h, take.vary(0.3, 0.5, (0.25, 0.6))
    x, pitch = way * p, take.vary(0.35, 0.6, (0.25, 0.75))
    steps = take.vary(6.5, 8.5, (5.5, 9.0)) * way
    legs = gait(take, x - 0.06 * h, phase=PI * steps * p, stride=way / steps, lift=0.05 * h, lag=0.1 * h)
    hip = a.hip_height - 0.03 * h
    shoulder_x, shoulder_y = x - 0.04 * h + a.torso * np.sin(pitch) * 0.9, hip + a.torso * np.cos(pitch) * 0.9
    grip_y = min(size * 0.92, shoulder_y - 0.12 * h)
    edge = shoulder_x + np.sqrt(max((0.98 * a.arm) ** 2 - (shoulder_y - grip_y) ** 2, 0.06 * a.arm**2))
    arms = both(lambda side: Reach(take.at(edge, grip_y, side * 0.1 * h), (0, -1, 0.7)))
    body = pose(a, take.at(x - 0.04 * h, hip, 0.0), arms=arms, legs=legs, pitch=pitch, nod=-0.6 * pitch)
    crate = props.box(
        take.at(edge + size / 2, size / 2, 0.0), size, size, take.colour() if take.vary(0, 1) < 0.5 else CARDBOARD,
        kind=take.kind(props.BOXES),
    )  # fmt: skip
    edges = [take.at(edge + size * 0.7, size * 0.8, 0.0)]
    return Performance(body, ["leaning on box"] * len(p), [crate], (5, 40), extent=edges)


def throw(take: Take) -> Performance:
    a = take.actor
    h, near, radius = a.height, SIDES[take.near], take.vary(0.06, 0.085, (0.045, 0.11))
    low = take.vary(0, 1) < 0.4
    start, release = take.vary(0.0, 0.3), take.vary(0.7, 1.15, (0.6, 1.25))
    style = take.kind(("chest", "chest", "overhead", "one hand"))
    flight = np.maximum(take.t - release, 0.0)
    draw = smooth(np.clip((take.t - start) / (release - start), 0, 1))
    relax = smooth(np.clip((flight - 0.15) / 0.6, 0, 1)) * take.vary(0.0, 0.6)
    chest = a.hip_height + a.torso * (0.15 if low else 0.72)
    hold_x, hold_y = (0.12 * h, chest) if low else (0.16 * h, chest + 0.02)
    out_x, out_y = a.arm * 0.97, chest + (0.22 * h if low else 0.06 * h)
    if style == "overhead" or (style == "one hand" and not low):
        hold_x, hold_y = -0.06 * h, a.hip_height + a.torso * 1.25
        out_x, out_y = a.arm * 0.85, a.hip_height + a.torso * take.vary(1.0, 1.2)
    elif style == "one hand":
        hold_x, hold_y = -0.08 * h, a.hip_height + 0.03 * h
    arc = 0.07 * h * np.sin(PI * draw) * (style != "chest") * (-1 if low and style == "one hand" else 1)
    hand_x, hand_y = hold_x + (out_x - hold_x) * draw, hold_y + (out_y - hold_y) * draw + arc
    grip_x, grip_y = hand_x + (0.15 * h - hand_x) * relax, hand_y + (a.hip_height * 0.98 - hand_y) * relax
    aside = near * 0.1 * h if style == "one hand" else 0.0

    def hand(side: float) -> Limb:
        if style == "one hand" and side != near:
            return Swing(0.7 * np.sin(PI * draw), 0.3, 1.0 * np.sin(PI * draw) + 0.2, 0.1)
        spread = aside if aside else side * (radius * 0.95 + 0.05 * relax)
        return Reach(take.at(grip_x, grip_y, spread), (-0.3, -0.8, 0.6))

    arms = both(hand)
    speed, climb = take.vary(1.0, 1.5, (0.8, 1.7)), take.vary(0.3, 0.6, (0.1, 0.75))
    gone = speed * flight
    ball_x, ball_y = hand_x + radius * 0.5 + gone, hand_y + climb * flight - 0.8 * flight**2
    hip = take.at(0.05 * h * draw - 0.02 * h, a.hip_height - 0.02 * h, 0.0)
    body = pose(a, hip, arms=arms, legs=stand(take, width=0.06, split=0.07), pitch=0.16 * draw - 0.06)
    centre = take.at(ball_x, np.maximum(ball_y, radius), aside)
    made = props.ball(centre, radius, take.colour(), kind=take.kind(props.BALLS))
    state = choose(gone, (0, "holding ball"), (1e-9, "ball in the air"), (0.7, "hands ahead"))
    return Performance(body, state, [made], (0, 40), extent=[take.at(out_x + 0.6, out_y, 0.0)])


def climb(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h, gap = a.height, 0.15
    rungs = take.vary(2.2, 3.2, (1.8, 4.0))
    start = take.vary(0.4, 1.4)
    c = start + rungs * p
    lean = take.vary(0.05, 0.16, (0.02, 0.24))

    def rung(turn: Array) -> Array:
        """Height, in rungs, of a limb that moves up two rungs at a time and rests half of the time."""
        return 2 * (np.floor(turn) + smooth(np.clip((turn - np.floor(turn) - 0.5) * 2, 0, 1)))

    foot_x = 0.2 * h
    top = round((a.hip_height + a.torso) / gap * 0.98)

    def on(height: Array, z: float) -> Track:
        """The point of the ladder at a height in rungs."""
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
    top = take.vary(2.7, 3.05, (2.5, 3.1))
    sideways = take.vary(0, 1) < 0.6
    lag = 0.08 * take.factor(0.0, 3.0)
    bent = 0.0 if take.version == "1" else take.vary(0.0, 0.9)
    lower = np.clip(p * (1 + lag) - lag * np.sin(PI * p), 0, 1)
    fold = bent * np.sin(PI * p)
    if sideways:
        arm = Swing(0.06, 0.1 + (top - 0.1) * p, 0.1, 0.06 + (top - 0.06) * lower + fold)
    else:
        arm = Swing(top * p, 0.12, top * lower + 0.1 * (1 - p) + fold, 0.06)
    hips = take.at(0.0, a.hip_height, 0.0) + take.sway()
    legs = stand(take, width=0.055 * take.factor(0.7, 1.8))
    body = pose(a, hips, arms=(arm, arm), legs=legs, nod=-0.2 * take.factor(0.0, 1.5) * p)
    state = choose(p, (0, "standing"), (0.3, "arms out" if sideways else "arms ahead"), (0.75, "arms up"))
    return Performance(body, state, [], (55, 125) if sideways else (5, 60))


def walk(take: Take) -> Performance:
    a, h = take.actor, take.actor.height
    p = take.t / DURATION_S
    way, steps = take.vary(0.6, 0.95, (0.45, 1.15)), take.vary(3.0, 4.4, (2.6, 5.2))
    x = way * p
    phase = PI * steps * p + take.vary(0, 2 * PI)
    swing = take.vary(0.35, 0.6, (0.1, 0.85))
    carries = take.kind(("nothing", "nothing", "nothing", "bag", "box"))

    def arm(side: float) -> Limb:
        flex = -swing * np.cos(opposite(phase, side))
        if carries == "box":
            return Reach(load + np.array([-0.01, 0.0, side * 0.085]), (-0.6, -0.3, 0.8))
        return Swing(flex, 0.1, flex + 0.25, 0.06)

    leg, half = a.thigh + a.shin, way / steps / 2
    drop = leg - np.sqrt(leg**2 - half**2) + 0.004
    y = a.ankle + 0.995 * leg - drop * (0.5 + 0.5 * np.cos(2 * phase))
    legs = gait(take, x, phase=phase, stride=way / steps, lift=0.055 * take.factor(0.6, 1.5) * h)
    load = take.at(x + 0.19 * h, y + 0.08 * h, 0.0)
    body = pose(a, take.at(x, y, 0.0), arms=both(arm), legs=legs, pitch=0.05 * take.factor(-0.5, 3.0))
    made = []
    if carries == "box":
        made = [thing(take, "box", load, 0.17)]
    elif carries == "bag":
        made = [thing(take, "bag", body[f"{take.near}_hand"] - np.array([0.0, 0.62 * 0.16, 0.0]), 0.16)]
    tracked = take.vary(0.0, 1.0)
    return Performance(body, ["walking"] * len(p), made, (0, 35), scroll=x * tracked)


def lie_down(take: Take) -> Performance:
    a, p = take.actor, take.progress()
    h = a.height
    low = 0.065 * h
    x, y, pitch, fx, fy, nod = keyed(
        p,
        (0.0, 0.0, a.hip_height, 0.03, 0.0, a.ankle, 0.0),
        (0.36, -0.12 * h, 0.24 * take.factor(0.9, 1.3) * h, 0.75 * take.factor(0.6, 1.2), 0.0, a.ankle, -0.2),
        (0.58, -0.22 * h, low, -0.1, 0.1 * h, a.ankle, 0.1),
        (0.72, -0.22 * h, low, -0.45, 0.14 * h, a.ankle, 0.3),
        (
            1.0,
            -0.22 * h,
            low,
            -PI / 2 + 0.04,
            -0.22 * h + a.thigh + a.shin * take.vary(0.8, 0.99, (0.4, 0.99)),
            a.ankle,
            0.0,
        ),
    )
    flex, lower, side = keyed(
        p,
        (0, 0, 0.15, 0.1),
        (0.36, 0.9 * take.factor(-0.2, 1.3), 1.2 * take.factor(0.0, 1.2), 0.15),
        (0.6, -0.5, -0.35, 0.25),
        (1.0, 0.05, 0.1, 0.3 * take.factor(0.4, 2.5)),
    )
    arm = Swing(flex, side, lower, side * 0.6)
    legs = both(lambda s: Reach(take.at(fx, fy, s * 0.06 * h), (0.7, 1, 0.2)))
    body = pose(a, take.at(x, y, 0.0), arms=(arm, arm), legs=legs, pitch=pitch, nod=nod)
    state = choose(p, (0, "standing"), (0.15, "crouching"), (0.52, "sitting on floor"), (0.84, "lying"))
    mat = mats(take, -0.25 * h, 1.1, 0.45)
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
    low = take.at(0.16 * h, a.hip_height + 0.08 * take.factor(-0.5, 2.2) * h, near * 0.15 * take.factor(0.1, 1.1) * h)
    two_hands = take.kind(("one", "one", "two")) == "two"
    arc = take.at(0.12 * h, 0.05 * h, near * 0.1 * h) * np.sin(PI * carry)[:, None]
    brim = low + (brim_on - low) * carry[:, None] + arc
    held_at = brim + forward * r * 0.7 + left * near * r * 1.0 + up * 0.02
    rest = take.at(0.05, a.hip_height - 0.02, near * 0.14 * h)
    hand = Reach(held_at * (1 - away[:, None]) + rest * away[:, None], (-0.1, -0.8, 0.8))
    other: Limb = hang(take)
    if two_hands:
        far = (held_at - 2 * left * near * r) * (1 - away[:, None]) + rest * np.array([1, 1, -1]) * away[:, None]
        other = Reach(far, (-0.1, -0.8, 0.8))
    body = pose(
        a,
        take.at(0.0, a.hip_height, 0.0),
        arms=pair(take.near, hand, other),
        legs=stand(take),
        nod=0.12 * np.sin(PI * p),
    )
    made = props.hat(brim, up, forward, left, r, take.colour(), kind=take.kind(props.HATS))
    state = choose(carry, (0, "holding hat"), (0.55, "hat near head"), (0.999, "wearing hat"))
    return Performance(body, state, [made], (25, 80))
