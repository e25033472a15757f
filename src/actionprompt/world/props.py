"""The objects that people use, as parts made of solids. Sizes in the unit of the actor frame (an adult's height).

The first of the kinds of an object is the only one in version 1 of the world.
"""

from itertools import pairwise

import numpy as np

from actionprompt.world.figure import Array, Colour, Part, Prop, Solid, Track, cross, hull, shade, tracks, unit

WOOD: Colour = (150, 100, 58)
STEEL: Colour = (168, 174, 182)
WHITE: Colour = (244, 242, 236)
DARK: Colour = (48, 48, 54)

BOXES = ("parcel", "crate", "present")
BALLS = ("plain", "football", "basketball", "beach ball")
BAGS = ("suitcase", "backpack", "shopping bag", "handbag")
CHAIRS = ("chair", "armchair", "stool", "office chair")
DOORS = ("panelled", "plain", "window", "glass", "planks")
HATS = ("brimmed", "cap", "beanie", "top hat", "straw hat")
GUITARS = ("acoustic", "electric", "ukulele")
MATS = ("plain", "striped", "bordered")


def box_solids(
    centre: Track, size: tuple[float, float, float], colour: Colour, axes: tuple[Array, Array, Array] | None = None
) -> list[Solid]:
    """The six faces of a box, lit from above; `axes` are its three unit vectors, [T, 3] or [3]."""
    axes = axes or (np.eye(3)[0], np.eye(3)[1], np.eye(3)[2])
    half = [np.broadcast_to(axis, centre.shape) * s / 2 for axis, s in zip(axes, size, strict=True)]
    faces = []
    for i, brightness in ((0, 0.82), (1, 1.12), (2, 1.0)):
        a, b = half[(i + 1) % 3], half[(i + 2) % 3]
        for sign in (1.0, -1.0):
            mid = centre + half[i] * sign
            corners = [(mid + a * p + b * q, 0.004) for p, q in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
            tone = shade(colour, brightness if i != 1 or sign > 0 else 0.7)
            faces.append(hull(tone, *corners, facing=half[i] * sign))
    return faces


def box(
    centre: Track, size: float, height: float, colour: Colour, *, nearer: float = 0.0, kind: str = "parcel"
) -> Prop:
    """A parcel with tape around it, a wooden crate or a present with a ribbon."""
    solids = box_solids(centre, (size, height, size), colour)
    if kind == "crate":
        for level in (-0.36, 0.0, 0.36):
            plank = centre + np.array([0.0, level * height, 0.0])
            solids += box_solids(plank, (size * 1.03, height * 0.22, size * 1.03), shade(colour, 1.12))
    elif kind == "present":
        ribbon = WHITE if sum(colour) < 450 else (206, 52, 66)
        solids += box_solids(centre, (size * 1.02, height * 1.02, size * 0.14), ribbon)
        solids += box_solids(centre, (size * 0.14, height * 1.02, size * 1.02), ribbon)
        knot = centre + np.array([0.0, height / 2, 0.0])
        for side in (1.0, -1.0):
            loop = knot + np.array([side * size * 0.16, size * 0.1, side * size * 0.1])
            solids.append(hull(ribbon, (knot, size * 0.04), (loop, size * 0.08)))
    else:
        solids += box_solids(centre, (size * 1.02, height * 1.02, size * 0.16), shade(colour, 1.2))
    return Prop("box", [Part(solids, centre, nearer)])


def ball(centre: Track, radius: float, colour: Colour, *, nearer: float = 0.06, kind: str = "plain") -> Prop:
    """A ball; a football is white with dark patches, a basketball has dark seams, a beach ball has light sectors."""
    at = lambda x, y, z: centre + np.array([x, y, z]) * radius  # noqa: E731
    skin: list[Solid]
    if kind == "football":
        spots = [(0.0, 0.1, 0.92), (0.0, 0.1, -0.92), (0.92, 0.1, 0.0), (-0.92, 0.1, 0.0), (0.0, 0.95, 0.1)]
        spots += [(x * 0.6, -0.62, z * 0.6) for x in (1, -1) for z in (1, -1)]
        colour = WHITE
        skin = [hull(DARK, (at(*spot), radius * 0.24), facing=at(*spot) - centre, cull=0.2) for spot in spots]
    elif kind == "basketball":
        colour = (222, 120, 52)
        turn = np.arange(9) * np.pi / 8
        rings = [[(np.cos(a), 0.15, np.sin(a)) for a in turn + k] for k in (0.0, np.pi)]
        rings += [[(k * np.sin(a) * 0.4, np.cos(a), k * np.sin(a) * 0.9) for a in turn] for k in (1, -1)]
        skin = [
            hull(DARK, (at(*p), radius * 0.05), (at(*q), radius * 0.05), facing=at(*p) - centre)
            for ring in rings
            for p, q in pairwise(ring)
        ]
    elif kind == "beach ball":
        skin = []
        for k in range(3):
            turn = k * 2 * np.pi / 3 + np.array([0.0, 0.5, 1.0])
            sector = [
                at(0.9 * np.cos(a) * np.sin(u), np.cos(u), 0.9 * np.sin(a) * np.sin(u))
                for a in turn
                for u in (0.3, 1.6, 2.8)
            ]
            out = np.broadcast_to(np.array([np.cos(turn[1]), 0.2, np.sin(turn[1])]), centre.shape)
            skin.append(hull(WHITE, *((p, radius * 0.05) for p in sector), facing=out, cull=0.25))
    else:
        skin = [hull(shade(colour, 1.5), (at(-0.3, 0.35, 0.0), radius * 0.32))]
    return Prop("ball", [Part([hull(colour, (centre, radius)), *skin], centre, nearer)])


def bag(centre: Track, size: float, colour: Colour, *, kind: str = "suitcase") -> Prop:
    """A suitcase, backpack, shopping bag or handbag; its handle is above the given centre."""
    at = lambda x, y, z: centre + np.array([x, y, z]) * size  # noqa: E731
    dark, grip = shade(colour, 0.6), (at(-0.2, 0.62, 0.0), at(0.2, 0.62, 0.0))
    handle = hull(dark, (grip[0], 0.012), (grip[1], 0.012))
    if kind == "backpack":
        body = [(at(x, y, z), size * 0.2) for x in (-0.22, 0.22) for y in (-0.3, 0.22) for z in (-0.08, 0.08)]
        pocket = [(at(x, y, z), size * 0.09) for x in (-0.24, 0.24) for y in (-0.32, -0.05) for z in (-0.28, 0.28)]
        solids = [handle, hull(colour, *body), hull(shade(colour, 0.8), *pocket)]
        solids.append(hull(dark, (at(-0.4, 0.16, 0.1), 0.008), (at(0.4, 0.16, 0.1), 0.008)))
    elif kind == "shopping bag":
        solids = [
            *(hull(dark, (at(x, 0.45, 0), 0.008), (at(x * 0.5, 0.64, 0), 0.008)) for x in (-0.28, 0.28)),
            hull(dark, (at(-0.14, 0.64, 0), 0.008), (at(0.14, 0.64, 0), 0.008)),
            *box_solids(centre, (size * 0.85, size, size * 0.45), shade(colour, 1.15)),
            *box_solids(centre, (size * 0.86, size * 0.3, size * 0.46), WHITE),
        ]
    elif kind == "handbag":
        base = [(at(x, -0.34, z), size * 0.14) for x in (-0.4, 0.4) for z in (-0.08, 0.08)]
        solids = [
            *(hull(dark, (at(x, 0.2, 0), 0.011), (grip[x > 0], 0.011)) for x in (-0.36, 0.36)),
            handle,
            hull(colour, *base, *((at(x, 0.12, 0.0), size * 0.12) for x in (-0.3, 0.3))),
            hull((236, 204, 104), (at(0.0, 0.06, 0.12), size * 0.06)),
        ]
    else:
        solids = [handle, *box_solids(centre, (size * 1.2, size, size * 0.4), colour)]
    return Prop("bag", [Part(solids, centre, 0.03)])


def bucket(centre: Track, size: float, colour: Colour) -> Prop:
    """A bucket as high as a bag of this size; its handle is above the given centre."""
    at = lambda x, y, z: centre + np.array([x, y, z]) * size  # noqa: E731
    turns = np.arange(8) * np.pi / 4
    rim = [(at(0.44 * np.cos(a), 0.3, 0.44 * np.sin(a)), 0.008) for a in turns]
    base = [(at(0.3 * np.cos(a), -0.46, 0.3 * np.sin(a)), 0.008) for a in turns]
    arc = [at(0.44 * np.cos(a), 0.3 + 0.32 * np.sin(a), 0.0) for a in np.arange(7) * np.pi / 6]
    solids = [hull(colour, *rim, *base), hull(shade(colour, 0.55), *rim)]
    solids += [hull(STEEL, (p, 0.009), (q, 0.009)) for p, q in pairwise(arc)]
    return Prop("bucket", [Part(solids, centre, 0.03)])


def bottle(centre: Track, size: float, colour: Colour) -> Prop:
    """A bottle as high as a bag of this size, with a label."""
    at = lambda y: centre + np.array([0.0, y * size, 0.0])  # noqa: E731
    solids = [
        hull(shade(colour, 0.7), (at(0.3), size * 0.09), (at(0.62), size * 0.08)),
        hull(colour, (at(-0.34), size * 0.17), (at(0.18), size * 0.17)),
        hull(WHITE, (at(-0.16), size * 0.16), (at(0.02), size * 0.16)),
        hull(DARK, (at(0.64), size * 0.1)),
    ]
    return Prop("bottle", [Part(solids, centre, 0.03)])


def closed_book(centre: Track, size: float, colour: Colour) -> Prop:
    """A closed book that lies flat, its spine towards the actor."""
    pages = box_solids(centre + np.array([0.01, 0.0, 0.0]), (size, size * 0.24, size * 1.02), WHITE)
    covers = [
        face
        for y in (-0.14, 0.14)
        for face in box_solids(centre + np.array([0.0, y * size, 0.0]), (size, size * 0.05, size * 1.1), colour)
    ]
    spine = box_solids(centre - np.array([size / 2, 0.0, 0.0]), (size * 0.06, size * 0.3, size * 1.1), colour)
    return Prop("book", [Part([*covers[:6], *pages, *spine, *covers[6:]], centre, 0.03)])


def chair(seat: Track, height: float, colour: Colour, *, kind: str = "chair") -> Prop:
    """A chair that faces forward; `seat` is the centre of the seat's top surface, `height` that of the seat.

    Kinds: a wooden chair, an armchair, a stool, or an office chair on one column.
    """
    w = 0.125
    at = lambda x, y, z: seat + np.array([x, y, z])  # noqa: E731
    far = seat - np.array([0.05, 0.0, 0.0])
    if kind == "armchair":
        solids = box_solids(at(-0.02, -height / 2, 0), (0.3, height - 0.01, 0.36), shade(colour, 0.85))
        solids += box_solids(at(-w - 0.04, 0.12, 0), (0.09, 0.36, 0.36), colour)
        arms = [box_solids(at(-0.02, 0.03, z), (0.3, 0.14, 0.055), shade(colour, 1.05)) for z in (-0.19, 0.19)]
        near = [Part(arm, at(-0.02, 0.0, z), -0.1) for arm, z in zip(arms, (-0.19, 0.19), strict=True)]
        return Prop("chair", [Part(solids, far, -0.22), *near])
    feet = [(x, z) for x in (-w, w) for z in (w, -w)]
    thin = (0.013, 0.012)
    if kind == "office chair":
        feet = [(1.1 * w * np.cos(a), 1.1 * w * np.sin(a)) for a in np.arange(5) * 0.4 * np.pi]
        legs = [hull(DARK, (at(0, 0.04 - height, 0), 0.014), (at(x, 0.014 - height, z), 0.014)) for x, z in feet]
        legs.append(hull(DARK, (at(0, -0.02, 0), 0.018), (at(0, 0.04 - height, 0), 0.018)))
    else:
        spread = 1.15 if kind == "stool" else 1.0
        legs = [
            hull(shade(colour, 0.8), (at(x, -0.02, z), thin[0]), (at(x * spread, -height + 0.013, z * spread), thin[1]))
            for x, z in feet
        ]
    if kind == "stool":
        turns = np.arange(8) * np.pi / 4
        top = [hull(colour, *((at(w * np.cos(a), -0.018, w * np.sin(a)), 0.018) for a in turns))]
        return Prop("stool", [Part([*legs, *top], far, -0.22)])
    top = box_solids(seat - np.array([0, 0.018, 0]), (2 * w + 0.04, 0.036, 2 * w + 0.04), colour)
    back = box_solids(at(-w - 0.005, 0.17, 0), (0.03, 0.3, 2 * w + 0.02), shade(colour, 0.9))
    return Prop("chair", [Part([*legs, *back, *top], far, -0.22)])


def ladder(foot: Track, height: float, lean: float, spacing: float, colour: Colour) -> Prop:
    """A ladder that faces the actor (rungs along z) and leans forward by `lean` per unit of height."""
    width = 0.15
    solids = []
    at = lambda y, z: foot + np.array([lean * y, y, z])  # noqa: E731
    for y in np.arange(spacing * 0.6, height, spacing):
        solids.append(hull(shade(colour, 0.8), (at(y, -width), 0.012), (at(y, width), 0.012)))
    for z in (-width, width):
        solids.append(hull(colour, (at(0.0, z), 0.017), (at(height, z), 0.017)))
    return Prop("ladder", [Part(solids, foot, -0.25)])


def door(
    hinge: Track,
    width: float,
    height: float,
    angle: Array,
    towards: float,
    colour: Colour,
    beyond: Colour,
    *,
    kind: str = "panelled",
) -> tuple[Prop, Track]:
    """A door in its frame, perpendicular to the forward axis, and the track of its knob.

    `hinge` is the lower corner at the hinges; `towards` (+1 or -1) is the direction along z in which the panel extends;
    `angle` is how far it is open, in radians, away from the actor; `beyond` is the colour seen through the open door.
    Kinds: `panelled`, `plain`, with a `window`, of `glass` in a frame, or of `planks`.
    """
    num_frames = len(hinge)
    across = np.array([0.0, 0.0, towards])
    up = np.array([0.0, 1.0, 0.0])
    swing = tracks(num_frames, np.sin(angle), 0.0, towards * np.cos(angle))
    a, b = hinge, hinge + across * width
    opening = hull(beyond, *((p, 0.002) for p in (a, b, b + up * height, a + up * height)))
    posts = [
        hull((236, 232, 224), (p, 0.022), (q, 0.022))
        for p, q in ((a, a + up * height), (b, b + up * height), (a + up * height, b + up * height))
    ]
    panel = [hinge, hinge + swing * width, hinge + swing * width + up * height * 0.985, hinge + up * height * 0.985]
    knob = hinge + swing * width * 0.86 + up * height * 0.47
    fields: dict[str, list[tuple[float, float, float, float, Colour]]] = {
        "panelled": [(0.16, 0.74, low, high, shade(colour, 0.84)) for low, high in ((0.08, 0.42), (0.52, 0.92))],
        "plain": [],
        "window": [(0.3, 0.7, 0.56, 0.88, (176, 212, 226)), (0.16, 0.84, 0.06, 0.16, STEEL)],
        "glass": [(0.12, 0.88, 0.06, 0.94, (182, 214, 222)), (0.2, 0.34, 0.2, 0.8, (222, 238, 242))],
        "planks": [(x, x + 0.03, 0.02, 0.97, shade(colour, 0.72)) for x in (0.19, 0.39, 0.59, 0.79)],
    }
    solids = [hull(colour, *((p, 0.006) for p in panel))]
    for start, stop, low, high, tone in fields[kind]:
        inset = [
            hinge + swing * width * s + up * height * v
            for s, v in ((start, low), (stop, low), (stop, high), (start, high))
        ]
        solids.append(hull(tone, *((p, 0.004) for p in inset)))
    solids.append(hull((240, 205, 90), (knob, 0.018)))
    middle = (a + b) / 2
    return Prop("door", [Part([opening], middle, -0.6), Part(posts, middle, -0.55), Part(solids, middle, -0.5)]), knob


def book(centre: Track, forward: Track, up: Track, left: Track, colour: Colour) -> Prop:
    """An open book held up; `forward` points from the reader to the book."""
    solids = []
    for side in (1.0, -1.0):
        spine = centre + forward * 0.015
        edge = centre + left * side * 0.085 - forward * 0.015
        page = [spine - up * 0.05, spine + up * 0.05, edge + up * 0.05, edge - up * 0.05]
        solids.append(hull(colour, *((p, 0.008) for p in page)))
        solids.append(hull((246, 243, 232), *((p - forward * 0.006, 0.001) for p in page), facing=-forward))
    return Prop("book", [Part(solids, centre, 0.12)])


def phone(hand: Track, up: Track, head: Track, colour: Colour = (40, 44, 56)) -> Prop:
    """A phone in a hand next to the head."""
    centre = hand + unit(head - hand) * 0.015 + up * 0.02
    return Prop(
        "phone", [Part([hull(colour, (centre - up * 0.035, 0.014), (centre + up * 0.04, 0.014))], centre, 0.14)]
    )


def guitar(body: Track, neck: Track, out: Track, colour: Colour, *, kind: str = "acoustic") -> Prop:
    """A guitar: `body` is the sound hole, `neck` the far end of the neck, `out` the direction that the strings face.

    Kinds: `acoustic`, `electric` (two horns and pickups, no sound hole), or `ukulele`, which has a smaller body.
    """
    along = unit(neck - body)
    strings = hull((235, 228, 205), (body - along * 0.06 + out * 0.02, 0.003), (neck + out * 0.02, 0.003))
    solids = [
        hull((92, 60, 36), (body, 0.016), (neck, 0.014)),
        hull((60, 42, 30), (neck, 0.022), (neck + along * 0.05, 0.02)),
    ]
    if kind == "electric":
        across = cross(along, out)
        for side, reach in ((1.0, 0.075), (-1.0, 0.055)):
            horn = body + along * reach + across * side * 0.055
            solids.append(hull(colour, (body - along * 0.06 + across * side * 0.02, 0.055), (horn, 0.022)))
        solids.append(hull(colour, (body - along * 0.1, 0.066)))
        for step in (-0.06, -0.01):
            ends = (body + along * step + across * side * 0.03 + out * 0.02 for side in (1, -1))
            solids.append(hull(DARK, *((end, 0.011) for end in ends)))
        solids.append(strings)
    else:
        size = 0.72 if kind == "ukulele" else 1.0
        solids += [
            hull(colour, (body - along * 0.09 * size, 0.088 * size)),
            hull(colour, (body + along * 0.02 * size, 0.066 * size)),
            hull((50, 32, 22), (body - along * 0.01 + out * 0.01, 0.026 * size)),
            strings,
        ]
    return Prop("guitar", [Part(solids, body + out * 0.05, 0.03)])


def hat(
    brim: Track, up: Track, forward: Track, left: Track, radius: float, colour: Colour, *, kind: str = "brimmed"
) -> Prop:
    """A hat; `brim` is the centre of its opening, `radius` that of the head.

    Kinds: with a round brim, a cap with a peak, a beanie with a bobble, a top hat, a straw hat.
    """

    def ring(centre: Track, reach: float, thick: float) -> list[tuple[Track, float]]:
        """Eight balls in a circle around the centre."""
        turns = np.arange(8) * np.pi / 4
        return [(centre + (forward * np.cos(a) + left * np.sin(a)) * reach, thick) for a in turns]

    dark, band = shade(colour, 0.55), brim + up * radius * 0.1
    crown = [(brim + up * radius * 0.2 + v * radius * 0.3, radius * 0.66) for v in (forward, -forward, left, -left)]
    if kind == "cap":
        peak = [(brim + forward * radius * 1.5 + left * side * radius * 0.45, 0.009) for side in (1, -1)]
        root = [(brim + forward * radius * 0.7 + left * side * radius * 0.7, 0.009) for side in (1, -1)]
        solids = [
            hull(shade(colour, 0.75), *peak, *root),
            hull(colour, *crown, (brim + up * radius * 0.3, radius * 0.66)),
        ]
    elif kind == "beanie":
        solids = [
            hull(colour, *crown, (brim + up * radius * 0.75, radius * 0.4)),
            hull(shade(colour, 0.75), *ring(band, radius * 0.75, radius * 0.24)),
            hull(WHITE, (brim + up * radius * 1.3, radius * 0.3)),
        ]
    elif kind == "top hat":
        solids = [
            hull(colour, *ring(brim, radius * 1.35, 0.008)),
            hull(colour, *ring(band, radius * 0.8, 0.01), *ring(brim + up * radius * 1.5, radius * 0.88, 0.01)),
            hull(dark, *ring(band, radius * 0.84, 0.01), *ring(brim + up * radius * 0.35, radius * 0.84, 0.01)),
        ]
    elif kind == "straw hat":
        straw = (228, 198, 128)
        solids = [
            hull(straw, *ring(brim - up * radius * 0.12, radius * 1.9, 0.007)),
            hull(colour, (band, radius * 0.84)),
            hull(straw, *crown, (brim + up * radius * 0.5, radius * 0.55)),
        ]
    else:
        solids = [
            hull(colour, *ring(brim, radius * 1.5, 0.008)),
            hull(dark, (band, radius * 0.84)),
            hull(colour, *crown, (brim + up * radius * 0.55, radius * 0.62)),
        ]
    return Prop("hat", [Part(solids, brim, 0.09)])


def rope(left: Track, right: Track, bulge: Track, colour: Colour) -> Prop:
    """A skipping rope between two hands; its middle is displaced by `bulge` from the line between them."""
    curve = [
        left * (1 - v) + right * v + bulge * np.sin(np.pi * v) ** 0.6 + (left - right) * 0.25 * np.sin(2 * np.pi * v)
        for v in np.linspace(0.0, 1.0, 11)
    ]
    parts = [Part([hull(colour, (a, 0.008), (b, 0.008))], (a + b) / 2, 0.0, outline=False) for a, b in pairwise(curve)]
    return Prop("rope", parts)


def mat(centre: Track, length: float, width: float, colour: Colour, *, kind: str = "plain") -> Prop:
    """A mat on the floor along the forward axis, plain, striped or with a border."""
    solids = box_solids(centre + np.array([0, 0.006, 0]), (length, 0.012, width), colour)
    top = centre + np.array([0, 0.013, 0])
    fields = {
        "plain": [],
        "striped": [(x, 0.09, 1.0) for x in (-0.3, -0.1, 0.1, 0.3)],
        "bordered": [(0.0, 0.86, 0.7)],
    }[kind]
    for x, long, wide in fields:
        tone = shade(colour, 0.7)
        corners = [
            (p * long * length / 2 + x * length, q * wide * width / 2) for p, q in ((1, 1), (1, -1), (-1, -1), (-1, 1))
        ]
        solids.append(hull(tone, *((top + np.array([p, 0.0, q]), 0.001) for p, q in corners)))
    return Prop("mat", [Part(solids, centre, -2.0)])
