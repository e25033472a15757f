"""The canvas on which places are painted, and the painters they share: floors, walls, windows, sky, hills, trees.

Coordinates are in design pixels: a frame is 112 of them wide and high, and a background is larger so that the camera
can pan.
"""

from itertools import pairwise

import cv2
import numpy as np

from actionprompt.world.figure import Colour, shade

WIDTH, HEIGHT, FRAME = 184, 128, 112
"""Size of a background and side of a frame in design pixels."""
FLOOR = 92
"""Where the floor meets the wall, in design pixels from the top."""


_TURN = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class Canvas:
    """An image that anti-aliased polygons are drawn on, in design pixels; vertices are rounded to 1/16 image pixel."""

    def __init__(self, scale: float, rng: np.random.Generator, *, jitter: int = 10) -> None:
        self.scale, self.rng, self.jitter = scale, rng, jitter
        self.image = np.zeros((round(HEIGHT * scale), round(WIDTH * scale), 3), np.uint8)

    def poly(self, points: list[tuple[float, float]] | np.ndarray, colour: Colour) -> None:
        fixed = np.rint(np.asarray(points) * (self.scale * 16)).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], colour, cv2.LINE_AA, 4)

    def rect(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        self.poly([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.poly(_CIRCLE * (rx, ry) + (x, y), colour)

    def fade(self, y0: float, y1: float, top: Colour, bottom: Colour) -> None:
        """Fill the rows from y0 to y1 with a vertical gradient."""
        a, b = round(y0 * self.scale), round(y1 * self.scale)
        w = np.linspace(0, 1, max(b - a, 1))[:, None]
        rows = np.rint(np.asarray(top) * (1 - w) + np.asarray(bottom) * w).astype(np.uint8)
        rows = rows[: len(self.image) - a, None]
        self.image[a:b] = cv2.resize(rows, (self.image.shape[1], len(rows)), interpolation=cv2.INTER_NEAREST)

    def vary(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def pick(self, *options: Colour) -> Colour:
        """A random one of the colours, each channel varied by up to `jitter` levels."""
        base = options[int(self.rng.integers(len(options)))]
        offsets = self.rng.integers(-self.jitter, self.jitter + 1, 3).tolist()
        return tuple(min(255, max(0, c + offset)) for c, offset in zip(base, offsets, strict=True))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def spots(self, low: float, high: float) -> list[float]:
        """Positions from left to right with random gaps between `low` and `high`."""
        x, found = self.vary(-high, 0), []
        while x < WIDTH:
            found.append(x)
            x += self.vary(low, high)
        return found


def every(start: float, stop: float, step: float) -> list[float]:
    """Evenly spaced positions from `start`, excluding `stop`."""
    return np.arange(start, stop, step).tolist()


def floor_boards(c: Canvas, colour: Colour) -> None:
    """A floor of boards in perspective."""
    c.fade(FLOOR, HEIGHT, shade(colour, 0.88), shade(colour, 1.06))
    middle = WIDTH / 2
    for x in every(-WIDTH, 2 * WIDTH, c.vary(11, 16)):
        near = middle + (x - middle) * 1.8
        c.poly([(x, FLOOR), (x + 0.5, FLOOR), (near + 1, HEIGHT), (near, HEIGHT)], shade(colour, 0.8))


def floor_tiles(c: Canvas, light: Colour, dark: Colour) -> None:
    """A floor of tiles in perspective."""
    c.fade(FLOOR, HEIGHT, shade(light, 0.92), light)
    middle, rows = WIDTH / 2, [FLOOR, FLOOR + 5, FLOOR + 12, FLOOR + 22, HEIGHT]
    side = c.vary(12, 17)
    for r, (top, bottom) in enumerate(pairwise(rows)):
        f0, f1 = (1 + 0.8 * (y - FLOOR) / (HEIGHT - FLOOR) for y in (top, bottom))
        for i in range(-12, 13):
            if (i + r) % 2:
                x0, x1 = i * side, (i + 1) * side
                corners = [(x0 * f0, top), (x1 * f0, top), (x1 * f1, bottom), (x0 * f1, bottom)]
                c.poly([(middle + x, y) for x, y in corners], dark)


def wall(c: Canvas, colour: Colour) -> None:
    """A wall with one of four wallpapers and a skirting board."""
    c.fade(0, FLOOR, shade(colour, 1.05), shade(colour, 0.93))
    paper = int(c.rng.integers(4))
    if paper == 1:
        for x in every(c.vary(0, 8), WIDTH, c.vary(9, 16)):
            c.rect(x, 0, 4, FLOOR, shade(colour, 0.95))
    elif paper == 2:
        for i, y in enumerate(every(5, FLOOR, 11)):
            for x in every(i % 2 * 6, WIDTH, 12):
                c.oval(x, y, 1.2, 1.2, shade(colour, 0.88))
    elif paper == 3:
        c.rect(0, FLOOR - 28, WIDTH, 28, shade(colour, 0.86))
        c.rect(0, FLOOR - 29, WIDTH, 1.5, shade(colour, 1.15))
    c.rect(0, FLOOR - 4, WIDTH, 4, shade(colour, 0.74))


def window(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    sky = c.pick((168, 212, 238), (250, 206, 160), (128, 164, 206))
    c.rect(x - 2, y - 2, w + 4, h + 4, (244, 242, 236))
    c.rect(x, y, w, h, sky)
    c.oval(x + w * 0.3, y + h * 0.35, w * 0.18, h * 0.07, shade(sky, 1.15))
    c.poly(
        [(x, y + h), (x, y + h * 0.72), (x + w * 0.5, y + h * 0.6), (x + w, y + h * 0.8), (x + w, y + h)],
        (126, 168, 120),
    )
    c.rect(x + w / 2 - 0.7, y, 1.4, h, (244, 242, 236))
    c.rect(x, y + h / 2 - 0.7, w, 1.4, (244, 242, 236))
    c.rect(x - 4, y + h + 1, w + 8, 2.5, (226, 222, 212))


def plant(c: Canvas, x: float, base: float, size: float) -> None:
    green = c.pick((64, 130, 76), (88, 150, 70), (52, 112, 92))
    for a in np.linspace(-1.1, 1.1, 7):
        tip = (x + np.sin(a) * size * 0.8, base - size * (0.55 + 0.65 * np.cos(a)))
        c.poly([(x - 1, base - size * 0.3), tip, (x + 1.5, base - size * 0.3)], shade(green, 1 + 0.12 * np.cos(7 * a)))
    pot = c.pick((190, 104, 70), (224, 220, 210), (84, 96, 120))
    c.poly(
        [
            (x - size * 0.25, base - size * 0.4),
            (x + size * 0.25, base - size * 0.4),
            (x + size * 0.18, base),
            (x - size * 0.18, base),
        ],
        pot,
    )


def books(c: Canvas, x: float, y: float, w: float, h: float, shelves: int) -> None:
    """A bookcase."""
    frame = c.pick((122, 82, 52), (226, 222, 214), (92, 74, 64))
    c.rect(x, y, w, h, frame)
    step = h / shelves
    for s in range(shelves):
        c.rect(x + 1.5, y + s * step + 1.5, w - 3, step - 2.5, shade(frame, 0.6))
        left = x + 2
        while left < x + w - 4:
            thick, tall = c.vary(1.4, 3.2), c.vary(0.55, 0.9) * (step - 3)
            if c.chance(0.85):
                colour = c.pick(
                    (190, 70, 60), (70, 110, 170), (220, 180, 80), (90, 140, 90), (150, 110, 160), (230, 224, 210)
                )
                c.rect(left, y + (s + 1) * step - 1 - tall, thick, tall, colour)
            left += thick + 0.4


def sky(c: Canvas, *, clouds: float = 0.7) -> None:
    moods = (
        ((92, 158, 216), (206, 230, 242)),
        ((112, 178, 226), (244, 236, 214)),
        ((104, 132, 190), (244, 186, 158)),
        ((150, 184, 206), (226, 234, 236)),
    )
    top, low = moods[int(c.rng.integers(len(moods)))]
    c.fade(0, FLOOR - 8, top, low)
    c.fade(FLOOR - 8, HEIGHT, low, low)
    if c.chance(0.5):
        c.oval(c.vary(15, WIDTH - 15), c.vary(10, 30), 8, 8, (255, 240, 196))
    for x in c.spots(40, 75):
        if c.chance(clouds):
            y, s = c.vary(8, 36), c.vary(0.7, 1.3)
            for dx, dy, r in ((-8, 1, 5), (0, -2, 7), (8, 1, 5.5), (15, 2, 3.5)):
                c.oval(x + dx * s, y + dy * s, r * s, r * 0.62 * s, shade(low, 1.04))


def hills(c: Canvas, height: float, colour: Colour, *, peaks: bool = False) -> None:
    """A skyline of round hills, or of pointed mountains with snow."""
    for x in c.spots(26, 46):
        h, w = height * c.vary(0.6, 1.2), c.vary(34, 60)
        tone = shade(colour, c.vary(0.93, 1.06))
        if peaks:
            c.poly([(x - w, FLOOR + 2), (x, FLOOR - h), (x + w, FLOOR + 2)], tone)
            cap = [(-0.33, 0.67), (0.0, 1.0), (0.33, 0.67), (0.12, 0.76), (0.0, 0.62), (-0.13, 0.78)]
            c.poly([(x + w * a, FLOOR - h * b) for a, b in cap], (244, 247, 250))
        else:
            c.oval(x, FLOOR + 4, w, h + 4, tone)


def tree(c: Canvas, x: float, base: float, size: float, *, pine: bool = False) -> None:
    trunk = c.pick((116, 80, 54), (96, 70, 56))
    green = (
        c.pick((70, 134, 72), (98, 152, 66), (52, 112, 80), (150, 150, 62))
        if not pine
        else c.pick((48, 98, 84), (62, 112, 90))
    )
    c.rect(x - size * 0.05, base - size * 0.5, size * 0.1, size * 0.5, trunk)
    if pine:
        for i in range(3):
            y, w = base - size * (0.2 + 0.26 * i), size * (0.34 - 0.08 * i)
            c.poly([(x - w, y), (x, y - size * 0.42), (x + w, y)], shade(green, 1 + 0.06 * i))
        return
    for dx, dy, r, f in ((-0.2, 0.55, 0.24, 0.9), (0.2, 0.58, 0.24, 0.95), (0, 0.78, 0.27, 1.08), (0, 0.55, 0.24, 1.0)):
        c.oval(x + dx * size, base - dy * size, r * size, r * size * 0.95, shade(green, f))
