"""The solids that draw a posed actor: legs, torso with clothes, head with hair and face, arms."""

from itertools import pairwise

import numpy as np

from actionprompt.world.figure import SIDES, Actor, Colour, Part, Pose, Solid, Track, cross, hull, shade, unit

Ball = tuple[Track, float]
_DARK: Colour = (38, 32, 34)
_WHITE: Colour = (240, 240, 236)


def figure_parts(actor: Actor, p: Pose) -> list[Part]:
    """The parts that draw a posed actor, in a fixed order: legs, skirt, torso, head, arms."""
    h, b = actor.height, actor.height * actor.bulk
    forward, up, left = p.torso
    parts = [_leg(actor, p, name) for name in SIDES]
    pelvis, neck = p["pelvis"], p["neck"]
    waist = pelvis + up * 0.07 * h
    hips = [(p["left_hip"], 0.052 * b), (p["right_hip"], 0.052 * b), (waist, 0.055 * b)]
    if actor.bottom == "skirt":
        parts.append(Part(_skirt(actor, p, hips), pelvis, nearer=0.09 * h))
    shoulders = [(p[f"{s}_shoulder"] - up * 0.012 * h, 0.036 * b) for s in SIDES]
    chest = neck - up * 0.09 * h
    belly = [(waist + left * s * 0.018 * b, 0.055 * b) for s in (1.0, -1.0)]
    if actor.belly:
        belly.append((waist + up * 0.02 * h + forward * (0.012 + 0.04 * actor.belly) * h, 0.055 * b))
    torso = [hull(actor.bottom_colour, *hips)]
    torso.append(hull(actor.shirt, *shoulders, *belly, (chest + forward * 0.012 * h, 0.055 * b)))
    torso += _shirt_details(actor, waist, (shoulders[0][0] + shoulders[1][0]) / 2, p.torso)
    torso.append(hull(actor.skin, (neck - up * 0.005 * h, 0.03 * h), (p["head"] - p.head[1] * 0.03 * h, 0.03 * h)))
    torso += _around_the_neck(actor, neck, waist, p.torso)
    parts.append(Part(torso, (pelvis + neck) / 2))
    parts.append(_head(actor, p["head"], *p.head))
    return parts + [_arm(actor, p, name) for name in SIDES]


def _ring(centre: Track, a: Track, b: Track, thick: float, *, num: int = 6) -> list[Ball]:
    """Balls on an ellipse around the centre with half axes a and b, [T, 3] each."""
    turns = np.arange(num) * (2 * np.pi / num)
    return [(centre + a * np.cos(turn) + b * np.sin(turn), thick) for turn in turns]


def _cuff(start: Track, end: Track, at: float, side: Track, radius: float, thick: float) -> list[Ball]:
    """A ring around the limb from `start` to `end`, at a fraction of its length."""
    across = unit(cross(end - start, side))
    return _ring(start + (end - start) * at, side * radius, across * radius, thick, num=4)


def _leg(actor: Actor, p: Pose, name: str) -> Part:
    h, b, trousers = actor.height, actor.height * actor.bulk, actor.bottom == "trousers"
    up, left = p.torso[1:]
    hip, knee, ankle, toe = (p[f"{name}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
    down = unit(ankle - knee)
    solids = [
        hull(actor.bottom_colour if trousers else actor.skin, (knee, 0.034 * b), (ankle, 0.023 * b)),
        hull(actor.shoes, (ankle - 0.008 * up, 0.024 * h), (toe, 0.019 * h)),
    ]
    if actor.footwear == "boots":
        solids.append(hull(actor.shoes, (ankle - down * 0.075 * h, 0.031 * b), (ankle, 0.026 * b)))
    elif actor.footwear == "trainers":
        solids.append(hull(_WHITE, (ankle + down * 0.018 * h, 0.011 * h), (toe + down * 0.012 * h, 0.009 * h)))
    thigh = actor.skin if actor.bottom == "skirt" else actor.bottom_colour
    solids.append(hull(thigh, (hip, 0.05 * b), (knee, 0.037 * b)))
    bones = [(hip, knee, 0.048 * b, 0.038 * b)] * (actor.bottom != "skirt")
    bones += [(knee, ankle, 0.036 * b, 0.026 * b)] * trousers
    for start, end, wide, narrow in bones:
        if actor.bottom_pattern == "side stripe":
            out = left * SIDES[name]
            ends = ((start + out * wide, 0.008 * h), (end + out * narrow, 0.008 * h))
            solids.append(hull(actor.trim, *ends, facing=out, cull=0.1))
        elif actor.bottom_pattern == "checks":
            for at in (0.3, 0.75):
                radius = wide + (narrow - wide) * at - 0.004 * h
                solids.append(hull(shade(actor.bottom_colour, 1.45), *_cuff(start, end, at, left, radius, 0.005 * h)))
    if actor.bottom_pattern == "hem" and bones:
        start, end, _, narrow = bones[-1]
        solids.append(
            hull(actor.trim, *(ball for at in (0.84, 0.9) for ball in _cuff(start, end, at, left, narrow, 0.005 * h)))
        )
    return Part(solids, (hip + knee * 2 + ankle) / 4)


def _skirt(actor: Actor, p: Pose, hips: list[Ball]) -> list[Solid]:
    h, b, left = actor.height, actor.height * actor.bulk, p.torso[2]
    drop = {s: p[f"{s}_knee"] - p[f"{s}_hip"] for s in SIDES}
    hem = [(p[f"{s}_hip"] + drop[s] * 0.75 + left * k * 0.02 * h, 0.05 * b) for s, k in SIDES.items()]
    solids = [hull(actor.bottom_colour, *hips, *hem)]
    levels = {"hem": (0.72, 0.82), "checks": (0.3, 0.6)}.get(actor.bottom_pattern, ())
    bands = []
    for at in levels:
        band = []
        for s, k in SIDES.items():
            centre = p[f"{s}_hip"] + drop[s] * at + left * k * 0.02 * h * at / 0.75
            ahead = unit(cross(left, drop[s])) * 0.042 * b
            band += [(centre + v, 0.006 * h) for v in (ahead, -ahead, left * k * 0.045 * b)]
        bands.append(band)
    if actor.bottom_pattern == "hem":
        solids.append(hull(actor.trim, *(ball for band in bands for ball in band)))
    else:
        solids += [hull(shade(actor.bottom_colour, 1.45), *band) for band in bands]
    return solids


def _shirt_details(actor: Actor, waist: Track, top: Track, axes: tuple[Track, Track, Track]) -> list[Solid]:
    """Patterns, pockets, buttons: `waist` and `top` are the ends of the axis of the shirt."""
    h, b = actor.height, actor.height * actor.bulk
    forward, _, left = axes
    bulge = forward * 0.04 * actor.belly * h

    def middle(level: float) -> Track:
        """Centre of the shirt at a level between waist (0) and shoulders (1)."""
        return waist + (top - waist) * level + forward * 0.006 * h + bulge * 0.5 * max(0.0, 0.6 - level)

    def band(colour: Colour, *levels: float) -> list[Solid]:
        """A band around the shirt at a level, or between two, in six pieces, of which those that face away are hidden:
        a single convex hull would show its top to a camera that looks down."""
        rings = [
            _ring(middle(level), left * (0.066 + 0.046 * level) * b, forward * (0.05 - 0.008 * level) * b, 0.007 * h)
            for level in levels
        ]
        solids = []
        for i in range(6):
            pieces = [ring[k % 6] for ring in rings for k in (i, i + 1)]
            turn = (i + 0.5) * np.pi / 3
            solids.append(hull(colour, *pieces, facing=left * np.cos(turn) + forward * np.sin(turn)))
        return solids

    def spot(level: float, side: float, radius: float, *, front: float = 1.0) -> Ball:
        """A ball on the front or back (-1): `side` is in half widths of the torso."""
        ahead = forward * front * (0.05 * b + 0.01 * h) + (bulge * max(0.0, 1 - 1.6 * level) if front > 0 else 0.0)
        return middle(level) + left * side * 0.07 * b + ahead, radius * h

    def front(colour: Colour, *balls: Ball) -> Solid:
        return hull(colour, *balls, facing=forward, cull=0.1)

    solids: list[Solid] = []
    if actor.pattern == "stripes":
        solids += [piece for level in (0.05, 0.3, 0.55, 0.8) for piece in band(actor.trim, level)]
    elif actor.pattern == "band":
        solids += band(actor.trim, 0.5, 0.68)
    elif actor.pattern == "checks":
        tone = shade(actor.shirt, 0.7)
        solids += [*band(tone, 0.2), *band(tone, 0.65)]
        for side in (-0.7, 0.0, 0.7):
            for way in (1.0, -1.0):
                ends = spot(0.0, side, 0.006, front=way), spot(0.95, side, 0.006, front=way)
                solids.append(hull(tone, *ends, facing=forward * way, cull=0.1))
    elif actor.pattern == "dots":
        for level, sides in ((0.1, (-0.5, 0.5)), (0.45, (-0.8, 0.0, 0.8)), (0.8, (-0.5, 0.5))):
            for way in (1.0, -1.0):
                dots = (spot(level, side, 0.011, front=way) for side in sides)
                solids += [hull(actor.trim, dot, facing=forward * way, cull=0.1) for dot in dots]
    elif actor.pattern == "print":
        shapes = (
            [front(actor.trim, spot(0.6, 0.0, 0.034))],
            [front(actor.trim, *(spot(*at, 0.004) for at in ((0.4, -0.55), (0.4, 0.55), (0.85, 0.0))))],
            [front(actor.trim, *(spot(*at, 0.006) for at in ((0.4, -0.5), (0.4, 0.5), (0.8, -0.5), (0.8, 0.5))))],
            [front(actor.trim, spot(level, -0.6, 0.009), spot(level, 0.6 - level / 2, 0.009)) for level in (0.5, 0.72)],
        )
        solids += shapes[actor.id % len(shapes)]
    if actor.garment == "jacket":
        solids.append(
            front(actor.trim, *(spot(*at, 0.004) for at in ((1.0, -0.4), (1.0, 0.4), (0.0, -0.45), (0.0, 0.45))))
        )
    elif actor.garment == "hoodie":
        corners = ((0.02, -0.6), (0.02, 0.6), (0.26, -0.4), (0.26, 0.4))
        solids.append(front(shade(actor.shirt, 0.8), *(spot(*at, 0.005) for at in corners)))
        solids += [front(actor.trim, spot(1.0, k, 0.004), spot(0.72, k, 0.004)) for k in (-0.2, 0.2)]
    elif actor.garment == "button-up":
        solids.append(front(shade(actor.shirt, 0.82), spot(0.0, 0.0, 0.004), spot(0.98, 0.0, 0.004)))
        solids += [front(_WHITE if sum(actor.shirt) < 400 else _DARK, spot(y, 0.0, 0.006)) for y in (0.2, 0.5, 0.8)]
    if "belt" in actor.accessories:
        solids += band((70, 50, 38), -0.12)
        solids.append(front((224, 196, 110), (middle(-0.12) + forward * 0.05 * b, 0.011 * h)))
    return solids


def _around_the_neck(actor: Actor, neck: Track, waist: Track, axes: tuple[Track, Track, Track]) -> list[Solid]:
    """Hood, collar, tie and scarf."""
    h, b = actor.height, actor.height * actor.bulk
    forward, up, left = axes
    throat = neck + forward * (0.03 * b + 0.012 * h) - up * 0.015 * h
    solids: list[Solid] = []
    if actor.garment == "hoodie":
        tone = shade(actor.shirt, 0.86)
        hood = [(neck - forward * 0.045 * h + left * k * 0.035 * h, 0.032 * h) for k in (1.0, -1.0)]
        solids.append(hull(tone, *hood, (neck - forward * 0.05 * h - up * 0.045 * h, 0.025 * h)))
    elif actor.garment == "button-up":
        for k in (1.0, -1.0):
            tip = throat + left * k * 0.03 * h - up * 0.022 * h
            solids.append(hull(shade(actor.shirt, 1.15), (throat, 0.008 * h), (tip, 0.007 * h), facing=forward))
    if "tie" in actor.accessories:
        chest = throat + forward * 0.02 * h
        knot = [
            (chest - up * 0.005 * h, 0.009 * h),
            (chest - up * 0.1 * h, 0.016 * h),
            (chest - up * 0.135 * h, 0.004 * h),
        ]
        solids.append(hull(actor.accent, *knot, facing=forward, cull=0.1))
    if "scarf" in actor.accessories:
        low = neck + up * 0.012 * h
        tail = low + forward * 0.055 * h + left * 0.025 * h
        solids.append(
            hull(shade(actor.accent, 0.85), (tail, 0.018 * h), (tail - up * 0.12 * h, 0.02 * h), facing=forward)
        )
        solids.append(hull(actor.accent, *_ring(low, left * 0.034 * h, forward * 0.034 * h, 0.02 * h)))
    return solids


def _arm(actor: Actor, p: Pose, name: str) -> Part:
    h, b = actor.height, actor.height * actor.bulk
    shoulder, elbow, hand = (p[f"{name}_{j}"] for j in ("shoulder", "elbow", "hand"))
    cloth = shade(actor.shirt, 0.93)
    beyond = hand + unit(hand - elbow) * 0.02 * h
    solids = [
        hull(actor.shirt if actor.long_sleeves else actor.skin, (elbow, 0.026 * b), (hand, 0.02 * b)),
        hull(actor.skin, (beyond, 0.027 * h)),
    ]
    if actor.garment in ("t-shirt", "sleeveless"):
        solids.append(hull(actor.skin, (shoulder, 0.032 * b), (elbow, 0.026 * b)))
    if actor.garment == "t-shirt":
        solids.append(hull(cloth, (shoulder, 0.035 * b), (shoulder + (elbow - shoulder) * 0.55, 0.034 * b)))
    elif actor.garment != "sleeveless":
        solids.append(hull(cloth, (shoulder, 0.034 * b), (elbow, 0.027 * b)))
    if actor.pattern in ("stripes", "band") and actor.garment != "sleeveless":
        solids.append(hull(actor.trim, *_cuff(shoulder, elbow, 0.4, p.torso[2], 0.028 * b, 0.006 * h)))
    return Part(solids, (shoulder + elbow + hand) / 3, nearer=0.05 * h)


def _arc(centre: Track, a: Track, b: Track, start: float, stop: float, num: int) -> list[Track]:
    """Points on an arc around the centre from angle `start` to `stop`, where a is at 0 and b at pi/2."""
    return [centre + a * np.cos(turn) + b * np.sin(turn) for turn in np.linspace(start, stop, num)]


def _head(actor: Actor, centre: Track, forward: Track, up: Track, left: Track) -> Part:
    r, style = actor.head_radius, actor.hair_style
    shaved = style in ("bald", "mohawk")
    solids = _hair_behind(actor, centre, forward, up, left)
    face = centre + forward * 0.2 * r - up * 0.08 * r
    if shaved:
        solids.append(hull(actor.skin, (centre, r)))
    solids.append(hull(actor.skin, (face, r * 0.84), (face - up * 0.25 * r, r * 0.7), facing=forward, cull=-0.4))
    if style == "mohawk":
        crest = _arc(centre, forward * 1.08 * r, up * 1.12 * r, 0.5, 3.0, 6)
        solids += [hull(actor.hair, (a, r * 0.24), (b, r * 0.24)) for a, b in pairwise(crest)]
    elif style == "afro":
        solids.append(hull(actor.hair, (centre + up * 0.75 * r - forward * 0.1 * r, r * 0.75)))
    elif not shaved:
        fringe = centre + up * 0.62 * r
        solids.append(hull(actor.hair, (fringe - forward * 0.5 * r, r * 0.52), (fringe + forward * 0.3 * r, r * 0.38)))
    return Part(
        solids + _face(actor, centre, forward, up, left) + _on_head(actor, centre, forward, up, left), centre, 0.02
    )


def _hair_behind(actor: Actor, centre: Track, forward: Track, up: Track, left: Track) -> list[Solid]:
    """The hair that the face covers."""
    r, style = actor.head_radius, actor.hair_style
    size = {"long": 1.04, "bob": 1.05, "afro": 1.35, "bald": 0.0, "mohawk": 0.0}.get(style, 1.0)
    back = centre - forward * 0.2 * r + up * 0.16 * r
    knot = centre - forward * 1.05 * r + up * 0.4 * r
    solids = []
    if style == "long":
        solids.append(hull(actor.hair, (back, r * 0.95), (centre - forward * 0.55 * r - up * 1.55 * r, r * 0.55)))
    elif style == "bob":
        ends = [(centre - forward * 0.2 * r + left * k * 0.55 * r - up * 0.62 * r, r * 0.5) for k in (1.0, -1.0)]
        solids.append(hull(actor.hair, (back, r * 1.0), *ends))
    elif style == "ponytail":
        solids.append(hull(actor.hair, (knot, r * 0.3), (knot - up * 1.3 * r - forward * 0.3 * r, r * 0.22)))
    elif style == "bun":
        solids.append(hull(actor.hair, (centre - forward * 0.5 * r + up * 1.1 * r, r * 0.42)))
    elif style == "braid":
        start = centre - forward * 0.95 * r - up * 0.35 * r
        drop = -up * 0.5 * r - forward * 0.04 * r
        beads = [start + drop * i for i in range(5)]
        solids += [
            hull(shade(actor.hair, 0.9 + 0.12 * (i % 2)), (at, r * (0.32 - 0.03 * i))) for i, at in enumerate(beads)
        ]
        solids.append(hull(actor.accent, (beads[-1] + drop * 0.3, r * 0.15)))
    elif style == "pigtails":
        for k in (1.0, -1.0):
            tie = centre + left * k * 1.0 * r - forward * 0.3 * r + up * 0.25 * r
            tip = tie + left * k * 0.45 * r - up * 1.0 * r
            solids.append(
                hull(actor.hair, (tie, r * 0.26), ((tie + tip) / 2 + left * k * 0.1 * r, r * 0.3), (tip, r * 0.12))
            )
            solids.append(hull(actor.accent, (tie, r * 0.2)))
    if size:
        solids.append(hull(actor.hair, (back, r * size)))
    return solids


def _face(actor: Actor, centre: Track, forward: Track, up: Track, left: Track) -> list[Solid]:
    """Beard, glasses, eyes and mouth."""
    r = actor.head_radius
    mouth = centre + forward * 0.9 * r - up * 0.5 * r
    solids: list[Solid] = []
    if actor.beard == "beard":
        jaw = [(centre + forward * 0.52 * r - up * 0.52 * r + left * k * 0.34 * r, r * 0.36) for k in (1.0, -1.0)]
        chin = (centre + forward * 0.55 * r - up * 0.85 * r, r * 0.34)
        solids.append(hull(actor.hair, *jaw, chin, facing=forward, cull=-0.3))
    elif actor.beard == "moustache":
        lip = mouth + up * 0.17 * r
        solids.append(hull(actor.hair, *((lip + left * k * 0.28 * r, r * 0.13) for k in (1.0, -1.0)), facing=forward))
    sides = [(side, centre + forward * 0.93 * r + left * side * 0.36 * r) for side in (1.0, -1.0)]
    frame = (46, 42, 48) if sum(actor.skin) > 380 else (214, 206, 190)
    for side, eye in sides:
        outward = forward + 0.35 * side * left
        if actor.glasses != "none":
            dark = actor.glasses == "sunglasses"
            temple = centre + left * side * 0.92 * r + forward * 0.1 * r + up * 0.1 * r
            rim = eye + left * side * 0.26 * r
            solids.append(hull(frame, (rim, r * 0.05), (temple, r * 0.05), facing=left * side + forward, cull=0.35))
            solids.append(hull((30, 30, 36) if dark else frame, (eye, r * 0.31), facing=outward))
            if dark:
                continue
            solids.append(hull(shade(actor.skin, 1.12), (eye, r * 0.23), facing=outward))
        solids.append(hull(_DARK, (eye, r * 0.12), facing=outward))
    if actor.glasses != "none":
        bridge = ((eye - left * side * 0.2 * r, r * 0.05) for side, eye in sides)
        solids.append(hull(frame if actor.glasses == "glasses" else (30, 30, 36), *bridge, facing=forward))
    lips = shade(actor.skin, 0.62)
    solids.append(hull(lips, (mouth + left * 0.16 * r, r * 0.07), (mouth - left * 0.16 * r, r * 0.07), facing=forward))
    return solids


def _on_head(actor: Actor, centre: Track, forward: Track, up: Track, left: Track) -> list[Solid]:
    """Headband, headphones and bow."""
    r, tone = actor.head_radius, actor.accent
    size = 1.3 if actor.hair_style == "afro" else 1.0
    solids: list[Solid] = []
    if "headband" in actor.accessories:
        around = _arc(
            centre + up * 0.42 * r - forward * 0.06 * r, forward * r * size, left * r * size, 0.0, 2 * np.pi, 11
        )
        for a, b in pairwise(around):
            solids.append(
                hull(tone, (a, r * 0.1), (b, r * 0.1), facing=(a + b) / 2 - centre - up * 0.42 * r, cull=-0.05)
            )
    if "headphones" in actor.accessories:
        over = _arc(centre + up * 0.1 * r, left * 1.04 * r * size, up * 1.1 * r * size, 0.0, np.pi, 7)
        solids += [hull(shade(tone, 0.8), (a, r * 0.09), (b, r * 0.09)) for a, b in pairwise(over)]
        for k in (1.0, -1.0):
            cup = [(centre + left * k * 0.98 * r * size + up * y * r, r * 0.26) for y in (0.1, -0.12)]
            solids.append(hull(tone, *cup, facing=left * k, cull=-0.25))
    if "bow" in actor.accessories:
        knot = centre + up * 0.95 * r * size + left * 0.35 * r + forward * 0.1 * r
        for k in (1.0, -1.0):
            wing = knot + left * k * 0.36 * r
            solids.append(
                hull(tone, (knot, r * 0.05), (wing + up * 0.16 * r, r * 0.1), (wing - up * 0.12 * r, r * 0.1))
            )
        solids.append(hull(shade(tone, 0.75), (knot, r * 0.12)))
    return solids
