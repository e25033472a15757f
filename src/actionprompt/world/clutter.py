"""Furniture and clutter that stand around in the places of version 2, and the light and focus of their backgrounds."""

from collections.abc import Callable

import cv2
import numpy as np

from actionprompt.world.canvas import FLOOR, WIDTH, Canvas, plant, tree, window
from actionprompt.world.figure import Colour, shade

Item = Callable[[Canvas, float], None]
"""Draws a thing in the middle of a horizontal position."""

PAINTS: tuple[Colour, ...] = (
    (202, 70, 62),
    (232, 146, 60),
    (238, 204, 92),
    (92, 152, 92),
    (70, 150, 160),
    (74, 112, 180),
    (136, 98, 164),
    (218, 128, 152),
    (236, 232, 222),
    (84, 86, 94),
)
WOODS: tuple[Colour, ...] = ((122, 82, 52), (176, 128, 84), (214, 180, 130), (88, 66, 54))
METALS: tuple[Colour, ...] = ((70, 74, 82), (150, 156, 164), (206, 210, 214))


def poster(c: Canvas, x: float) -> None:
    w, h, y = c.vary(9, 18), c.vary(12, 22), c.vary(10, 38)
    paper, ink = c.pick(*PAINTS), c.pick(*PAINTS)
    c.rect(x - w / 2, y, w, h, paper)
    if c.chance(0.5):
        c.oval(x, y + h * 0.4, w * 0.3, w * 0.3, ink)
    else:
        c.poly([(x - w * 0.35, y + h * 0.65), (x, y + h * 0.15), (x + w * 0.35, y + h * 0.65)], ink)
    for line in (0.76, 0.86):
        c.rect(x - w * 0.35, y + h * line, w * c.vary(0.4, 0.7), h * 0.05, shade(paper, 0.6))


def shelf(c: Canvas, x: float) -> None:
    w, y = c.vary(18, 32), c.vary(24, 44)
    c.rect(x - w / 2, y, w, 2, c.pick(*WOODS))
    left = x - w / 2 + 1
    while left < x + w / 2 - 4:
        wide, tall = c.vary(1.5, 5), c.vary(4, 9)
        if wide < 3.5:
            c.rect(left, y - tall, wide, tall, c.pick(*PAINTS))
        else:
            c.oval(left + wide / 2, y - wide * 0.6, wide * 0.5, wide * 0.6, c.pick(*PAINTS))
        left += wide + 0.6


def mirror(c: Canvas, x: float) -> None:
    rx, ry, y = c.vary(6, 9), c.vary(9, 14), c.vary(30, 40)
    c.oval(x, y, rx + 1.5, ry + 1.5, c.pick(*WOODS, *METALS))
    c.oval(x, y, rx, ry, (206, 222, 230))
    c.poly([(x - rx * 0.5, y + 3), (x + rx * 0.2, y - ry * 0.6), (x + rx * 0.4, y - ry * 0.5)], (228, 240, 244))


def pendant(c: Canvas, x: float) -> None:
    """A lamp that hangs from the ceiling."""
    y, r = c.vary(8, 22), c.vary(5, 9)
    c.rect(x - 0.4, 0, 0.8, y, (70, 70, 76))
    c.poly([(x - r * 0.4, y), (x + r * 0.4, y), (x + r, y + r), (x - r, y + r)], c.pick(*PAINTS))
    c.oval(x, y + r, r * 0.5, r * 0.25, (255, 246, 206))


def curtain(c: Canvas, x: float) -> None:
    cloth, w = c.pick(*PAINTS), c.vary(10, 18)
    for i in range(5):
        c.rect(x - w / 2 + i * w / 5, 6, w / 5, FLOOR - 12, shade(cloth, 0.92 + 0.12 * (i % 2)))


def television(c: Canvas, x: float) -> None:
    w, y = c.vary(26, 38), c.vary(20, 34)
    c.rect(x - w / 2, y, w, w * 0.58, (34, 36, 42))
    screen = c.pick(*PAINTS)
    c.rect(x - w / 2 + 1.2, y + 1.2, w - 2.4, w * 0.58 - 2.4, screen)
    c.oval(x + c.vary(-6, 6), y + w * 0.3, w * 0.14, w * 0.12, shade(screen, 1.3))


def hooks(c: Canvas, x: float) -> None:
    """Coats on a rail."""
    c.rect(x - 13, 24, 26, 2, c.pick(*WOODS))
    for dx in (-9, 0, 9):
        if c.chance(0.75):
            coat, w = c.pick(*PAINTS), c.vary(3.5, 5)
            c.poly([(x + dx - 1.5, 26), (x + dx + 1.5, 26), (x + dx + w, 52), (x + dx - w, 52)], coat)
            c.rect(x + dx - 0.3, 30, 0.6, 21, shade(coat, 0.7))


def cabinet(c: Canvas, x: float) -> None:
    w, h, rows = c.vary(18, 34), c.vary(16, 44), 2 + int(c.chance(0.5))
    front = c.pick(*WOODS, *METALS, *PAINTS)
    c.rect(x - w / 2, FLOOR - h, w, h + 2, shade(front, 0.8))
    for i in range(rows):
        top = FLOOR - h + 1 + i * h / rows
        c.rect(x - w / 2 + 1, top, w - 2, h / rows - 1, front)
        c.rect(x - 2.5, top + h / rows * 0.4, 5, 1, shade(front, 0.55))
    if c.chance(0.5):
        plant(c, x + c.vary(-5, 5), FLOOR - h, c.vary(8, 12))


def floor_lamp(c: Canvas, x: float) -> None:
    h, tone = c.vary(44, 60), c.pick(*METALS)
    c.rect(x - 0.7, FLOOR - h, 1.4, h + 1, tone)
    c.oval(x, FLOOR + 1, 5, 1.4, tone)
    c.poly([(x - 4, FLOOR - h - 9), (x + 4, FLOOR - h - 9), (x + 7, FLOOR - h), (x - 7, FLOOR - h)], c.pick(*PAINTS))


def waste_bin(c: Canvas, x: float) -> None:
    w, h, base, tone = c.vary(4, 7), c.vary(11, 18), FLOOR + c.vary(0, 4), c.pick(*METALS, *PAINTS)
    c.poly([(x - w, base - h), (x + w, base - h), (x + w * 0.75, base), (x - w * 0.75, base)], tone)
    c.rect(x - w - 0.6, base - h - 1, 2 * w + 1.2, 2.2, shade(tone, 0.7))


def boxes(c: Canvas, x: float) -> None:
    base = FLOOR + c.vary(0, 4)
    for _ in range(1 + int(c.vary(0, 3))):
        w, h, tone = c.vary(9, 17), c.vary(8, 13), c.pick((190, 142, 88), (170, 124, 80), *PAINTS)
        left = x - w / 2 + c.vary(-2, 2)
        c.rect(left, base - h, w, h, tone)
        c.rect(left + w * 0.42, base - h, w * 0.16, h, shade(tone, 1.15))
        base -= h


def bicycle(c: Canvas, x: float) -> None:
    frame, base, r = c.pick(*PAINTS), FLOOR + c.vary(1, 5), 7.5
    hub = base - r
    for dx in (-11, 11):
        c.oval(x + dx, hub, r, r, (50, 52, 58))
        c.oval(x + dx, hub, r - 1.3, r - 1.3, shade(frame, 0.5))
        c.oval(x + dx, hub, r - 2.2, r - 2.2, (178, 182, 186))
    bars = [((-11, 0), (-5, -9)), ((-5, -9), (8, -9)), ((8, -9), (11, 0)), ((-5, -9), (-1, 0)), ((-1, 0), (8, -9))]
    for (x0, y0), (x1, y1) in bars:
        c.poly(
            [(x + x0 - 0.7, hub + y0), (x + x0 + 0.7, hub + y0), (x + x1 + 0.7, hub + y1), (x + x1 - 0.7, hub + y1)],
            frame,
        )
    c.rect(x - 8, hub - 12, 6, 1.6, (46, 40, 40))
    c.rect(x + 6, hub - 13, 6, 1.2, (60, 62, 68))


def radiator(c: Canvas, x: float) -> None:
    w = c.vary(20, 36)
    for i in range(int(w / 4)):
        c.rect(x - w / 2 + 4 * i, FLOOR - 24, 3.2, 19, (232, 230, 224))
        c.rect(x - w / 2 + 4 * i + 2.4, FLOOR - 24, 0.8, 19, (196, 194, 190))


def loudspeaker(c: Canvas, x: float) -> None:
    h, w = c.vary(20, 34), c.vary(11, 16)
    c.rect(x - w / 2, FLOOR - h, w, h + 2, (40, 40, 46))
    for y, r in ((0.26, 0.2), (0.66, 0.34)):
        c.oval(x, FLOOR - h + h * y, w * r, w * r, (86, 88, 96))
        c.oval(x, FLOOR - h + h * y, w * r * 0.5, w * r * 0.5, (54, 56, 62))


def cones(c: Canvas, x: float) -> None:
    for dx in (-8, 0, 8)[: 1 + int(c.vary(0, 3))]:
        base = FLOOR + c.vary(2, 6)
        c.poly([(x + dx - 3, base), (x + dx, base - 9), (x + dx + 3, base)], (236, 108, 46))
        c.rect(x + dx - 1.8, base - 5, 3.6, 1.6, (244, 240, 232))


def whiteboard(c: Canvas, x: float) -> None:
    c.rect(x - 16, 20, 32, 24, c.pick(*METALS))
    c.rect(x - 15, 21, 30, 22, (248, 248, 246))
    for y in (25, 30, 35):
        c.rect(x - 12, y, c.vary(6, 22), 1.2, c.pick(*PAINTS))


def car(c: Canvas, x: float) -> None:
    paint, base, w = c.pick(*PAINTS), FLOOR + c.vary(1, 4), c.vary(38, 52)
    c.poly(
        [(x - w * 0.3, base - 11), (x - w * 0.18, base - 19), (x + w * 0.17, base - 19), (x + w * 0.32, base - 11)],
        shade(paint, 0.9),
    )
    for k in (-1.0, 1.0):
        glass = [
            (x + k * w * 0.24, base - 11),
            (x + k * w * 0.15, base - 17.5),
            (x + k, base - 17.5),
            (x + k, base - 11),
        ]
        c.poly(glass, (176, 206, 220))
    c.rect(x - w / 2, base - 12, w, 9, paint)
    for k in (-0.29, 0.29):
        c.oval(x + k * w, base - 3, 4.4, 4.4, (40, 40, 46))
        c.oval(x + k * w, base - 3, 2, 2, (176, 180, 186))


def sign(c: Canvas, x: float) -> None:
    y, tone = c.vary(28, 46), c.pick(*PAINTS)
    c.rect(x - 0.7, y, 1.4, FLOOR - y + 3, (120, 124, 130))
    if c.chance(0.5):
        c.oval(x, y, 5.5, 5.5, (240, 240, 238))
        c.oval(x, y, 4.4, 4.4, tone)
    else:
        c.rect(x - 7, y - 5, 14, 9, tone)
        c.rect(x - 5, y - 2, 10, 1.4, (244, 242, 236))


def fence(c: Canvas, x: float) -> None:
    tone, w = c.pick(*WOODS, (240, 238, 230)), c.vary(36, 70)
    for y in (FLOOR - 12, FLOOR - 6):
        c.rect(x - w / 2, y, w, 1.6, tone)
    for i in range(int(w / 6)):
        left = x - w / 2 + 6 * i
        c.poly(
            [
                (left, FLOOR + 2),
                (left, FLOOR - 14),
                (left + 1.5, FLOOR - 16.5),
                (left + 3, FLOOR - 14),
                (left + 3, FLOOR + 2),
            ],
            tone,
        )


def bush(c: Canvas, x: float) -> None:
    green, size = c.pick((82, 138, 74), (106, 152, 70), (60, 112, 82)), c.vary(7, 14)
    for dx, f in ((-0.8, 0.92), (0.8, 0.96), (0.0, 1.05)):
        c.oval(x + dx * size, FLOOR - size * 0.35, size, size * 0.75, shade(green, f))
    if c.chance(0.4):
        bloom = c.pick(*PAINTS)
        for _ in range(6):
            c.oval(x + c.vary(-1.4, 1.4) * size, FLOOR - c.vary(0.1, 0.8) * size, 1.1, 1.1, bloom)


def balloons(c: Canvas, x: float) -> None:
    for _ in range(1 + int(c.vary(0, 3))):
        dx, y = c.vary(-9, 9), c.vary(10, 40)
        c.poly([(x + dx - 0.2, y), (x + dx + 0.2, y), (x + 0.3, y + 40), (x - 0.3, y + 40)], (120, 120, 124))
        c.oval(x + dx, y, 4, 5, c.pick(*PAINTS))


def bench(c: Canvas, x: float) -> None:
    wood, base = c.pick(*WOODS), FLOOR + c.vary(0, 4)
    for y in (13, 9, 4):
        c.rect(x - 15, base - y, 30, 2.3, wood)
    for dx in (-12, 10):
        c.rect(x + dx, base - 13, 2, 16, (76, 78, 84))


def stall(c: Canvas, x: float) -> None:
    """A stall with a striped awning."""
    tone = c.pick(*PAINTS)
    for dx in (-16, 15):
        c.rect(x + dx, FLOOR - 38, 1.4, 40, (110, 112, 118))
    c.rect(x - 17, FLOOR - 15, 34, 16, shade(tone, 0.8))
    for i in range(6):
        stripe = tone if i % 2 else (244, 242, 236)
        left = x - 18 + 6 * i
        c.poly(
            [
                (left, FLOOR - 34),
                (left + 6, FLOOR - 34),
                (x + (left + 6 - x) * 0.8, FLOOR - 42),
                (x + (left - x) * 0.8, FLOOR - 42),
            ],
            stripe,
        )
    for i in range(6):
        c.oval(x - 13 + 5 * i, FLOOR - 16.5, 2.4, 2.2, c.pick(*PAINTS))


def towel(c: Canvas, x: float) -> None:
    tone, y, w = c.pick(*PAINTS), FLOOR + c.vary(3, 10), c.vary(12, 18)
    for i in range(5):
        stripe = tone if i % 2 == 0 else shade(tone, 1.3)
        c.poly(
            [
                (x + i * w / 5, y),
                (x + (i + 1) * w / 5, y),
                (x + (i + 1) * w / 5 + 4, y + 5),
                (x + i * w / 5 + 4, y + 5),
            ],
            stripe,
        )


def rocks(c: Canvas, x: float) -> None:
    tone = c.pick((130, 128, 124), (158, 150, 138), (104, 108, 116))
    for dx in (-7, 0, 6):
        r = c.vary(3, 8)
        c.oval(x + dx, FLOOR + 2, r, r * 0.7, shade(tone, c.vary(0.88, 1.1)))


def hut(c: Canvas, x: float) -> None:
    """A hut, or a lifeguard's stand by the sea."""
    tone, w, h = c.pick(*PAINTS, *WOODS), c.vary(24, 36), c.vary(16, 24)
    c.rect(x - w / 2, FLOOR - h, w, h + 2, tone)
    for y in range(4, int(h), 4):
        c.rect(x - w / 2, FLOOR - y, w, 0.7, shade(tone, 0.82))
    c.poly(
        [(x - w * 0.62, FLOOR - h), (x, FLOOR - h - 11), (x + w * 0.62, FLOOR - h)],
        c.pick((120, 70, 56), (96, 100, 110), (240, 244, 248)),
    )
    c.rect(x - 3, FLOOR - 13, 6, 14, shade(tone, 0.6))
    c.rect(x + w * 0.22, FLOOR - h + 4, 5, 5, (250, 232, 170))


def skis(c: Canvas, x: float) -> None:
    tone = c.pick(*PAINTS)
    for dx, lean in ((-3, -3.0), (2, 3.0)):
        c.poly(
            [
                (x + dx, FLOOR + 4),
                (x + dx + 1.8, FLOOR + 4),
                (x + dx + 1.8 + lean, FLOOR - 38),
                (x + dx + lean, FLOOR - 38),
            ],
            tone,
        )
    c.oval(x, FLOOR + 4, 9, 2, (244, 248, 252))


def microphone(c: Canvas, x: float) -> None:
    c.rect(x - 0.5, FLOOR - 40, 1, 44, (120, 124, 130))
    c.oval(x, FLOOR - 42, 2, 2.6, (44, 46, 52))
    c.oval(x, FLOOR + 4, 5, 1.4, (60, 62, 68))


def drums(c: Canvas, x: float) -> None:
    tone = c.pick(*PAINTS)
    c.oval(x, FLOOR - 8, 10, 10, shade(tone, 0.7))
    c.oval(x, FLOOR - 8, 8.4, 8.4, (238, 234, 224))
    for dx in (-13, 13):
        c.rect(x + dx - 6, FLOOR - 22, 12, 8, tone)
        c.rect(x + dx - 0.5, FLOOR - 14, 1, 16, (150, 154, 160))
    c.oval(x - 15, FLOOR - 34, 8, 1.4, (226, 186, 88))


def lanterns(c: Canvas, x: float) -> None:
    """A string of small lamps or flags."""
    tones = [c.pick(*PAINTS) for _ in range(3)]
    y, sag = c.vary(8, 22), c.vary(4, 9)
    for i in range(12):
        u = i / 11
        dip = y + 4 * sag * u * (1 - u)
        left = x - 42 + 84 * u
        c.poly([(left - 2.4, dip), (left + 2.4, dip), (left, dip + 5)], tones[i % 3])


def second_window(c: Canvas, x: float) -> None:
    window(c, x - 10, c.vary(14, 26), c.vary(18, 26), c.vary(24, 34))


def far_tree(c: Canvas, x: float) -> None:
    tree(c, x, FLOOR + c.vary(0, 3), c.vary(26, 56), pine=c.chance(0.3))


def pine(c: Canvas, x: float) -> None:
    tree(c, x, FLOOR + c.vary(0, 3), c.vary(20, 44), pine=True)


def potted_plant(c: Canvas, x: float) -> None:
    plant(c, x, FLOOR + c.vary(0, 3), c.vary(12, 26))


ITEMS: dict[str, tuple[Item, ...]] = {
    "living room": (
        poster,
        shelf,
        mirror,
        pendant,
        curtain,
        television,
        cabinet,
        floor_lamp,
        boxes,
        radiator,
        potted_plant,
    ),
    "kitchen": (shelf, pendant, poster, waste_bin, cabinet, boxes, second_window, potted_plant),
    "office": (poster, cabinet, waste_bin, boxes, hooks, second_window, potted_plant, floor_lamp, bicycle, whiteboard),
    "gym": (poster, cones, bench, boxes, loudspeaker, lanterns, hooks, bicycle, second_window),
    "street": (car, bicycle, waste_bin, sign, bench, stall, bush, boxes, cones, lanterns, far_tree),
    "park": (bench, waste_bin, fence, bush, balloons, bicycle, sign, far_tree, stall, lanterns, rocks),
    "beach": (towel, rocks, hut, balloons, fence, stall, sign, bicycle),
    "snow": (pine, hut, skis, fence, rocks, sign, bench),
    "stage": (loudspeaker, microphone, drums, lanterns, boxes, floor_lamp, potted_plant, balloons),
    "classroom": (
        poster,
        shelf,
        hooks,
        cabinet,
        waste_bin,
        lanterns,
        pendant,
        second_window,
        potted_plant,
        radiator,
        boxes,
    ),
}
"""What may stand in each place."""


def add_clutter(c: Canvas, place: str) -> None:
    """Add two to six things of a place, from left to right."""
    things = ITEMS[place]
    for x in sorted(c.vary(4, WIDTH - 4) for _ in range(int(c.vary(2, 7)))):
        things[int(c.rng.integers(len(things)))](c, x)


def light_and_focus(c: Canvas) -> None:
    """Tint the whole background, let its brightness change across it, and put a quarter of the backgrounds out of
    focus. In integers, so that it is the same on every machine."""
    tint = np.array([c.vary(0.9, 1.06) for _ in range(3)])
    slope, bright = c.vary(-0.22, 0.22), c.vary(0.84, 1.06)
    columns = np.linspace(-slope, slope, c.image.shape[1])[:, None] + bright
    factors = np.rint(columns * tint * 128).astype(np.uint16)  # at most 174, so that products fit in 16 bits
    lit = c.image * factors >> 7
    c.image = np.minimum(lit, 255, out=lit).astype(np.uint8)
    if c.chance(0.25):
        width = 2 * max(1, round(c.scale * c.vary(0.6, 1.6))) + 1
        c.image = np.asarray(cv2.GaussianBlur(c.image, (width, width), 0), np.uint8)
