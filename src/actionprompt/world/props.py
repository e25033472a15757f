"""The objects that people use, as parts made of solids. Sizes in the unit of the actor frame (an adult's height)."""

from itertools import pairwise

import numpy as np

from actionprompt.world.figure import Array, Colour, Part, Prop, Solid, Track, hull, shade, tracks, unit

WOOD: Colour = (150, 100, 58)
STEEL: Colour = (168, 174, 182)


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


def box(centre: Track, size: float, height: float, colour: Colour, *, nearer: float = 0.0) -> Prop:
    """A parcel with tape around it."""
    solids = box_solids(centre, (size, height, size), colour)
    solids += box_solids(centre, (size * 1.02, height * 1.02, size * 0.16), shade(colour, 1.2))
    return Prop("box", [Part(solids, centre, nearer)])


def ball(centre: Track, radius: float, colour: Colour, *, nearer: float = 0.06) -> Prop:
    stripe = hull(shade(colour, 1.5), (centre + np.array([-0.3, 0.35, 0.0]) * radius, radius * 0.32))
    return Prop("ball", [Part([hull(colour, (centre, radius)), stripe], centre, nearer)])


def bag(centre: Track, size: float, colour: Colour) -> Prop:
    """A suitcase; its handle is above the given centre."""
    handle = [centre + np.array([x * size, 0.62 * size, 0.0]) for x in (-0.2, 0.2)]
    solids = [
        hull(shade(colour, 0.6), (handle[0], 0.012), (handle[1], 0.012)),
        *box_solids(centre, (size * 1.2, size, size * 0.4), colour),
    ]
    return Prop("bag", [Part(solids, centre, 0.03)])


def chair(seat: Track, height: float, colour: Colour) -> Prop:
    """A chair that faces forward; `seat` is the centre of the seat's top surface, `height` that of the seat."""
    w = 0.125
    legs = [
        hull(
            shade(colour, 0.8),
            (seat + np.array([x, -0.02, z]), 0.013),
            (seat + np.array([x, -height + 0.013, z]), 0.012),
        )
        for x in (-w, w)
        for z in (w, -w)
    ]
    top = box_solids(seat - np.array([0, 0.018, 0]), (2 * w + 0.04, 0.036, 2 * w + 0.04), colour)
    back = box_solids(seat + np.array([-w - 0.005, 0.17, 0]), (0.03, 0.3, 2 * w + 0.02), shade(colour, 0.9))
    far = seat - np.array([0.05, 0.0, 0.0])
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
    hinge: Track, width: float, height: float, angle: Array, towards: float, colour: Colour, beyond: Colour
) -> tuple[Prop, Track]:
    """A door in its frame, perpendicular to the forward axis, and the track of its knob.

    `hinge` is the lower corner at the hinges; `towards` (+1 or -1) is the direction along z in which the panel extends;
    `angle` is how far it is open, in radians, away from the actor; `beyond` is the colour seen through the open door.
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
    solids = [hull(colour, *((p, 0.006) for p in panel))]
    for low, high in ((0.08, 0.42), (0.52, 0.92)):
        inset = [
            hinge + swing * width * s + up * height * v
            for s, v in ((0.16, low), (0.74, low), (0.74, high), (0.16, high))
        ]
        solids.append(hull(shade(colour, 0.84), *((p, 0.004) for p in inset)))
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


def phone(hand: Track, up: Track, head: Track) -> Prop:
    centre = hand + unit(head - hand) * 0.015 + up * 0.02
    return Prop(
        "phone", [Part([hull((40, 44, 56), (centre - up * 0.035, 0.014), (centre + up * 0.04, 0.014))], centre, 0.14)]
    )


def guitar(body: Track, neck: Track, out: Track, colour: Colour) -> Prop:
    """A guitar: `body` is the sound hole, `neck` the far end of the neck, `out` the direction that the strings face."""
    along = unit(neck - body)
    strings = [hull((235, 228, 205), (body - along * 0.06 + out * 0.02, 0.003), (neck + out * 0.02, 0.003))]
    solids = [
        hull((92, 60, 36), (body, 0.016), (neck, 0.014)),
        hull((60, 42, 30), (neck, 0.022), (neck + along * 0.05, 0.02)),
        hull(colour, (body - along * 0.09, 0.088)),
        hull(colour, (body + along * 0.02, 0.066)),
        hull((50, 32, 22), (body - along * 0.01 + out * 0.01, 0.026)),
        *strings,
    ]
    return Prop("guitar", [Part(solids, body + out * 0.05, 0.03)])


def hat(brim: Track, up: Track, forward: Track, left: Track, radius: float, colour: Colour) -> Prop:
    """A hat with a round brim; `brim` is the centre of its opening."""
    edge = radius * 1.5
    rim = [(brim + (forward * np.cos(a) + left * np.sin(a)) * edge, 0.008) for a in np.arange(8) * np.pi / 4]
    crown = [(brim + up * radius * 0.2 + v * radius * 0.3, radius * 0.66) for v in (forward, -forward, left, -left)]
    solids = [
        hull(colour, *rim),
        hull(shade(colour, 0.55), (brim + up * radius * 0.1, radius * 0.84)),
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


def mat(centre: Track, length: float, width: float, colour: Colour) -> Prop:
    """A mat on the floor along the forward axis."""
    return Prop(
        "mat", [Part(box_solids(centre + np.array([0, 0.006, 0]), (length, 0.012, width), colour), centre, -2.0)]
    )
