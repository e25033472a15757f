"""Places: indoor and outdoor backgrounds in groups, each group with as many different pictures as there are ids.

Drawn in design pixels, of which a frame is 112 wide and high; a background is larger, so that a camera can pan.
"""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import UInt8

from actionprompt.world.figure import Colour, shade

WIDTH, HEIGHT, FRAME = 184, 128, 112
"""Size of a background and side of a frame in design pixels."""
FLOOR = 92
"""Where the floor meets the wall, in design pixels from the top."""


class Canvas:
    """A picture drawn in design pixels with anti-aliased convex shapes; coordinates are rounded to 1/16 pixel."""

    def __init__(self, scale: float, rng: np.random.Generator) -> None:
        self.scale, self.rng = scale, rng
        self.image = np.zeros((round(HEIGHT * scale), round(WIDTH * scale), 3), np.uint8)

    def poly(self, points: list[tuple[float, float]], colour: Colour) -> None:
        fixed = np.rint(np.asarray(points) * self.scale * 16).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], colour, cv2.LINE_AA, 4)

    def rect(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        self.poly([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        a = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        self.poly(list(zip(x + rx * np.cos(a), y + ry * np.sin(a), strict=True)), colour)

    def fade(self, y0: float, y1: float, top: Colour, bottom: Colour) -> None:
        """Fill rows y0..y1 with a vertical gradient."""
        a, b = round(y0 * self.scale), round(y1 * self.scale)
        w = np.linspace(0, 1, max(b - a, 1))[:, None]
        rows = np.rint(np.asarray(top) * (1 - w) + np.asarray(bottom) * w).astype(np.uint8)
        self.image[a:b] = rows[:, None][: len(self.image) - a]

    def vary(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def pick(self, *options: Colour) -> Colour:
        """One of the colours, slightly changed."""
        base = options[int(self.rng.integers(len(options)))]
        return tuple(int(np.clip(c + self.rng.integers(-10, 11), 0, 255)) for c in base)  # type: ignore[return-value]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def spots(self, low: float, high: float) -> list[float]:
        """Positions from left to right with random gaps."""
        x, found = self.vary(-high, 0), []
        while x < WIDTH:
            found.append(x)
            x += self.vary(low, high)
        return found


def every(start: float, stop: float, step: float) -> list[float]:
    """Evenly spaced positions, without the last."""
    return np.arange(start, stop, step).tolist()


def floor_boards(c: Canvas, colour: Colour) -> None:
    """A floor of planks that recede."""
    c.fade(FLOOR, HEIGHT, shade(colour, 0.88), shade(colour, 1.06))
    middle = WIDTH / 2
    for x in every(-WIDTH, 2 * WIDTH, c.vary(11, 16)):
        near = middle + (x - middle) * 1.8
        c.poly([(x, FLOOR), (x + 0.5, FLOOR), (near + 1, HEIGHT), (near, HEIGHT)], shade(colour, 0.8))


def floor_tiles(c: Canvas, light: Colour, dark: Colour) -> None:
    """A floor of tiles that recede."""
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
    """A wall with wallpaper and skirting board."""
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


def living_room(c: Canvas) -> None:
    wall(c, c.pick((226, 204, 170), (176, 200, 190), (206, 178, 172), (184, 192, 214), (232, 222, 200)))
    floor_boards(c, c.pick((178, 128, 84), (150, 104, 70), (202, 160, 114)))
    pane = c.vary(15, 130) if c.chance(0.7) else -100.0
    window(c, pane, c.vary(16, 28), c.vary(28, 38), c.vary(26, 34))
    for x in c.spots(34, 60):
        if c.chance(0.55) and not pane - 24 < x < pane + 44:
            w, h, y = c.vary(12, 20), c.vary(10, 17), c.vary(22, 40)
            art = c.pick((200, 110, 80), (90, 130, 160), (220, 190, 110), (120, 150, 110))
            c.rect(x, y, w, h, (92, 66, 48))
            c.rect(x + 1.5, y + 1.5, w - 3, h - 3, art)
            c.oval(x + w * 0.5, y + h * 0.6, w * 0.22, h * 0.2, shade(art, 1.35))
    x = c.vary(5, 120)
    sofa = c.pick((74, 112, 130), (178, 92, 78), (126, 132, 90), (112, 96, 132), (196, 170, 130))
    c.rect(x, FLOOR - 24, 52, 22, shade(sofa, 0.85))
    for i in range(2):
        c.rect(x + 4 + 22 * i, FLOOR - 14, 21, 8, shade(sofa, 1.1))
    c.rect(x + 2, FLOOR - 8, 48, 8, sofa)
    for dx in (-3, 48):
        c.rect(x + dx, FLOOR - 17, 7, 19, shade(sofa, 0.95))
    plant(c, x + c.vary(64, 74), FLOOR + 2, c.vary(16, 24))
    rug = c.pick((196, 120, 96), (110, 130, 150), (216, 196, 160))
    c.oval(c.vary(60, 120), FLOOR + 17, 58, 9, rug)


def kitchen(c: Canvas) -> None:
    tile = c.pick((222, 230, 228), (236, 226, 206), (200, 220, 224))
    c.fade(0, FLOOR, tile, shade(tile, 0.95))
    for y in every(3, FLOOR, 9):
        c.rect(0, y, WIDTH, 0.6, shade(tile, 0.86))
    for x in every(2, WIDTH, 9):
        c.rect(x, 0, 0.6, FLOOR, shade(tile, 0.86))
    floor_tiles(c, c.pick((222, 214, 200), (230, 232, 232)), c.pick((120, 132, 140), (170, 110, 90), (96, 130, 128)))
    wood = c.pick((236, 236, 230), (96, 132, 140), (184, 132, 88), (208, 186, 120), (150, 168, 130))
    for x in every(c.vary(-24, 0), WIDTH, 24):
        if c.chance(0.8):
            c.rect(x, 0, 23, 26, shade(wood, 0.96))
            c.rect(x + 2, 2, 19, 22, wood)
            c.rect(x + 18.5, 16, 1.2, 5, shade(wood, 0.6))
    c.rect(0, FLOOR - 32, WIDTH, 32, shade(wood, 0.92))
    c.rect(0, FLOOR - 35, WIDTH, 4, c.pick((92, 84, 80), (212, 206, 198), (150, 108, 74)))
    for x in every(c.vary(-24, 0), WIDTH, 24):
        c.rect(x + 2, FLOOR - 28, 20, 23, wood)
        c.rect(x + 8, FLOOR - 26, 8, 1.3, shade(wood, 0.6))
    x = c.vary(6, 150)
    c.rect(x, FLOOR - 31, 24, 30, (84, 88, 96))
    c.rect(x + 3, FLOOR - 22, 18, 14, (40, 44, 52))
    c.rect(x + 3, FLOOR - 26, 18, 1.5, (190, 194, 200))
    c.rect(x + 4, FLOOR - 42, 9, 7, c.pick((200, 80, 66), (70, 120, 150), (190, 194, 200)))
    x = (x + c.vary(60, 100)) % 170
    fridge = c.pick((206, 212, 216), (190, 74, 66), (170, 204, 200))
    c.rect(x, FLOOR - 66, 27, 66, fridge)
    c.rect(x, FLOOR - 42, 27, 1, shade(fridge, 0.7))
    c.rect(x + 3, FLOOR - 58, 1.4, 12, shade(fridge, 0.6))
    c.rect(x + 3, FLOOR - 36, 1.4, 14, shade(fridge, 0.6))


def office(c: Canvas) -> None:
    paint = c.pick((214, 220, 224), (200, 212, 220), (226, 222, 214), (188, 200, 196))
    c.fade(0, FLOOR, shade(paint, 1.04), shade(paint, 0.95))
    c.rect(0, FLOOR - 3, WIDTH, 3, shade(paint, 0.75))
    carpet = c.pick((104, 112, 126), (120, 128, 120), (136, 122, 116))
    c.fade(FLOOR, HEIGHT, shade(carpet, 0.9), shade(carpet, 1.08))
    for _ in range(160):
        x, y = c.vary(0, WIDTH), c.vary(FLOOR, HEIGHT)
        c.rect(x, y, 1.5, 0.6, shade(carpet, c.vary(0.88, 1.12)))
    books(c, c.vary(0, 40), FLOOR - 62, c.vary(28, 40), 62, 4)
    x = c.vary(58, 92)
    c.rect(x - 1.5, 20, 45, 28, (150, 154, 160))
    c.rect(x, 21.5, 42, 25, (248, 250, 250))
    for i in range(4):
        c.rect(
            x + 5 + 8 * i,
            42 - (h := c.vary(5, 16)),
            5,
            h,
            c.pick((214, 84, 70), (70, 130, 190), (92, 170, 110), (240, 180, 60)),
        )
    x = c.vary(112, 140)
    desk = c.pick((190, 150, 106), (226, 226, 224), (120, 88, 66))
    c.rect(x, FLOOR - 25, 46, 3, desk)
    for dx in (1, 42):
        c.rect(x + dx, FLOOR - 22, 3, 23, shade(desk, 0.75))
    c.rect(x + 12, FLOOR - 45, 22, 15, (46, 50, 58))
    c.rect(x + 13.5, FLOOR - 43.5, 19, 12, c.pick((110, 170, 210), (90, 190, 160), (240, 240, 244)))
    c.rect(x + 21, FLOOR - 30, 4, 5, (70, 74, 82))
    if c.chance(0.5):
        plant(c, x - 9, FLOOR + 1, 18)
    for x in c.spots(44, 60):
        c.rect(x, 3, 26, 3, (255, 255, 246))


def gym(c: Canvas) -> None:
    paint = c.pick((228, 196, 140), (170, 186, 206), (206, 208, 204), (196, 160, 150))
    c.fade(0, FLOOR, shade(paint, 1.05), shade(paint, 0.94))
    stripe = c.pick((196, 62, 56), (44, 96, 160), (232, 160, 40), (60, 140, 100))
    c.rect(0, c.vary(26, 34), WIDTH, 5, stripe)
    floor_boards(c, c.pick((206, 156, 100), (186, 136, 88)))
    line = shade(stripe, 1.1)
    c.rect(0, FLOOR + c.vary(6, 9), WIDTH, 1.3, line)
    c.poly([(c.vary(30, 80), FLOOR), (c.vary(84, 90), FLOOR), (70, HEIGHT), (60, HEIGHT)], shade(line, 1.2))
    for _ in range(2):
        x = c.vary(0, 150)
        c.rect(x, 20, 2.5, FLOOR - 20, (150, 104, 62))
        c.rect(x + 24, 20, 2.5, FLOOR - 20, (150, 104, 62))
        for y in every(24, FLOOR - 4, 6):
            c.rect(x, y, 26, 1.8, (214, 168, 112))
    x = c.vary(10, 130)
    c.rect(x, FLOOR - 16, 44, 2.5, (70, 74, 82))
    c.rect(x, FLOOR - 6, 44, 2.5, (70, 74, 82))
    for y in (FLOOR - 19, FLOOR - 9):
        for i in range(4):
            tone = c.pick((60, 62, 70), (196, 66, 58), (56, 110, 170))
            for dx in (0, 6):
                c.oval(x + 5 + i * 10.5 + dx, y, 2.2, 3, tone)
            c.rect(x + 5 + i * 10.5, y - 0.6, 6, 1.2, (160, 164, 170))
    if c.chance(0.6):
        x = c.vary(20, 150)
        c.rect(x, 8, 20, 14, (246, 246, 246))
        c.rect(x + 6, 13, 8, 7, (214, 70, 60))
        c.oval(x + 10, 23, 5, 1.4, (232, 110, 48))


def street(c: Canvas) -> None:
    sky(c)
    for x in c.spots(27, 42):
        w, h = c.vary(30, 44), c.vary(40, 82)
        brick = c.pick(
            (190, 110, 88), (214, 184, 142), (150, 156, 168), (204, 150, 118), (130, 146, 140), (226, 208, 176)
        )
        top = FLOOR - h
        c.rect(x, top, w, h, brick)
        if c.chance(0.5):
            c.poly([(x - 1, top), (x + w / 2, top - c.vary(8, 15)), (x + w + 1, top)], shade(brick, 0.68))
        else:
            c.rect(x - 1, top - 2, w + 2, 3, shade(brick, 0.72))
        lit = c.pick((246, 226, 150), (150, 190, 212), (82, 104, 128))
        for y in every(top + 7, FLOOR - 22, 13):
            for dx in every(5, w - 6, 9.5):
                c.rect(x + dx - 0.7, y - 0.7, 6.4, 8.4, shade(brick, 1.2))
                c.rect(x + dx, y, 5, 7, lit if c.chance(0.7) else shade(lit, 0.75))
        c.rect(x + w * 0.4, FLOOR - 15, 8, 15, c.pick((110, 70, 52), (52, 90, 110), (150, 52, 48)))
    pave = c.pick((190, 186, 178), (170, 172, 176), (204, 194, 176))
    c.fade(FLOOR, HEIGHT, shade(pave, 0.94), pave)
    for x in every(-WIDTH, 2 * WIDTH, 15):
        near = WIDTH / 2 + (x - WIDTH / 2) * 1.5
        c.poly([(x, FLOOR), (x + 0.5, FLOOR), (near + 0.8, FLOOR + 24), (near, FLOOR + 24)], shade(pave, 0.85))
    c.rect(0, FLOOR + 9, WIDTH, 0.7, shade(pave, 0.85))
    c.rect(0, FLOOR + 24, WIDTH, 2.5, shade(pave, 1.12))
    c.rect(0, FLOOR + 26.5, WIDTH, HEIGHT, (86, 88, 96))
    for x in c.spots(60, 110):
        c.rect(x, 30, 2, FLOOR - 28, (64, 68, 76))
        c.oval(x + 1, 29, 3.6, 4.4, (255, 240, 190))
        if c.chance(0.5):
            tree(c, x + 26, FLOOR + 2, c.vary(36, 46))


def park(c: Canvas) -> None:
    sky(c)
    hills(c, 22, c.pick((134, 178, 130), (150, 186, 150), (120, 164, 140)))
    grass = c.pick((124, 178, 86), (106, 164, 92), (150, 184, 88))
    c.fade(FLOOR, HEIGHT, shade(grass, 0.93), shade(grass, 1.05))
    for x in c.spots(22, 46):
        tree(c, x, FLOOR + c.vary(0, 4), c.vary(34, 66))
    if c.chance(0.6):
        path = c.pick((214, 192, 150), (196, 188, 176))
        x = c.vary(20, 140)
        c.poly([(x, FLOOR), (x + 8, FLOOR), (x + c.vary(50, 70), HEIGHT), (x + c.vary(-10, 10), HEIGHT)], path)
    for _ in range(70):
        x, y = c.vary(0, WIDTH), c.vary(FLOOR + 3, HEIGHT)
        c.poly([(x - 1, y), (x, y - 2.6), (x + 1, y)], shade(grass, 0.84))
    bloom = c.pick((240, 110, 110), (250, 220, 90), (240, 240, 250), (190, 120, 200))
    for _ in range(int(c.vary(0, 26))):
        c.oval(c.vary(0, WIDTH), c.vary(FLOOR + 4, HEIGHT), 1.1, 1.0, bloom)
    if c.chance(0.5):
        x = c.vary(10, 130)
        for y in (FLOOR - 12, FLOOR - 8, FLOOR - 3):
            c.rect(x, y, 30, 2.4, (150, 104, 66))
        for dx in (3, 25):
            c.rect(x + dx, FLOOR - 12, 2, 16, (76, 78, 84))


def beach(c: Canvas) -> None:
    sky(c, clouds=0.5)
    sea = c.pick((58, 142, 186), (64, 170, 178), (84, 130, 180))
    line = FLOOR - c.vary(20, 34)
    c.fade(line, FLOOR, shade(sea, 0.9), shade(sea, 1.22))
    for _ in range(22):
        x, y = c.vary(0, WIDTH), c.vary(line + 3, FLOOR - 3)
        c.rect(x, y, c.vary(4, 12), 0.8, shade(sea, 1.35))
    if c.chance(0.5):
        x = c.vary(20, 160)
        c.poly([(x - 8, line + 1), (x + 8, line + 1), (x + 5, line + 4), (x - 6, line + 4)], (150, 84, 60))
        c.poly([(x, line), (x, line - 16), (x + 9, line - 2)], (250, 248, 240))
    if c.chance(0.4):
        x = c.vary(0, WIDTH)
        c.oval(x, line + 2, c.vary(20, 34), c.vary(6, 13), (110, 140, 130))
        c.rect(x - 40, line + 1, 80, 6, shade(sea, 0.92))
    sand = c.pick((238, 214, 160), (230, 200, 150), (244, 226, 184))
    c.fade(FLOOR - 1, HEIGHT, shade(sand, 0.94), shade(sand, 1.03))
    for x in c.spots(14, 22):
        c.oval(x, FLOOR - 0.5, 12, 2.0, (246, 250, 250))
    for _ in range(60):
        c.oval(c.vary(0, WIDTH), c.vary(FLOOR + 4, HEIGHT), 0.8, 0.5, shade(sand, 0.86))
    for x in c.spots(52, 90):
        if c.chance(0.5):
            lean = c.vary(-10, 10)
            top = FLOOR - c.vary(46, 62)
            c.poly(
                [(x - 1.8, FLOOR + 3), (x + lean - 1, top), (x + lean + 1, top), (x + 1.8, FLOOR + 3)], (150, 112, 74)
            )
            leaf = c.pick((70, 140, 78), (92, 158, 80))
            for a in np.linspace(-2.9, 0.1, 6):
                tip = (x + lean + 17 * np.cos(a), top + 9 * np.sin(a) + 5)
                c.poly([(x + lean, top - 1.5), tip, (x + lean, top + 2)], shade(leaf, 1 + 0.1 * np.cos(5 * a)))
        else:
            tone = c.pick((220, 70, 62), (250, 190, 70), (60, 140, 190))
            c.rect(x - 0.7, FLOOR - 32, 1.4, 36, (240, 236, 226))
            for i, k in enumerate((-1.0, -0.34, 0.34)):
                c.poly(
                    [(x, FLOOR - 38), (x + 21 * k, FLOOR - 25), (x + 21 * (k + 0.66), FLOOR - 25)],
                    tone if i % 2 == 0 else (250, 246, 236),
                )


def snow(c: Canvas) -> None:
    c.fade(0, HEIGHT, c.pick((142, 178, 214), (176, 196, 218), (200, 180, 206)), (232, 238, 244))
    hills(c, c.vary(46, 60), c.pick((128, 148, 178), (146, 152, 170), (112, 136, 160)), peaks=True)
    hills(c, 12, (214, 226, 238))
    for x in c.spots(16, 40):
        if c.chance(0.75):
            tree(c, x, FLOOR + c.vary(0, 4), c.vary(24, 50), pine=True)
    c.fade(FLOOR, HEIGHT, (222, 232, 242), (246, 249, 252))
    for x in c.spots(24, 50):
        c.oval(x, FLOOR + 1, c.vary(16, 30), 3, (226, 235, 244))
    for _ in range(24):
        c.oval(c.vary(0, WIDTH), c.vary(FLOOR + 6, HEIGHT), c.vary(3, 9), 0.6, (212, 224, 238))
    if c.chance(0.45):
        x = c.vary(20, 150)
        for y, r in ((FLOOR - 3, 8), (FLOOR - 15, 6), (FLOOR - 24, 4.4)):
            c.oval(x, y, r, r * 0.95, (250, 252, 254))
        c.poly([(x, FLOOR - 24.5), (x + 6, FLOOR - 23), (x, FLOOR - 22.5)], (238, 140, 60))
        for dx in (-1.6, 1.6):
            c.oval(x + dx, FLOOR - 26, 0.7, 0.7, (40, 44, 50))
    if c.chance(0.6):
        for _ in range(70):
            c.oval(c.vary(0, WIDTH), c.vary(0, FLOOR), 0.9, 0.9, (250, 252, 255))


def stage(c: Canvas) -> None:
    cloth = c.pick((150, 34, 46), (84, 40, 110), (36, 62, 120), (28, 92, 84), (176, 96, 40))
    back = shade(cloth, 0.62)
    c.fade(0, FLOOR, shade(back, 0.8), back)
    for x in every(c.vary(-9, 0), WIDTH, 9):
        c.rect(x, 0, 4.5, FLOOR, shade(cloth, 0.74))
        c.rect(x + 1, 0, 1.6, FLOOR, shade(cloth, 0.9))
    floor_boards(c, c.pick((140, 96, 62), (112, 78, 60), (92, 72, 66)))
    x = c.vary(50, 130)
    for dx, w in ((0, 34.0), (c.vary(-50, 50), 26.0)):
        lit = c.image.copy()
        beam = Canvas(c.scale, c.rng)
        beam.image = lit
        beam.poly(
            [(x + dx - 3, -2), (x + dx + 3, -2), (x + dx + w, FLOOR + 14), (x + dx - w, FLOOR + 14)], (255, 240, 196)
        )
        beam.oval(x + dx, FLOOR + 14, w, 8, (255, 244, 206))
        c.image = np.asarray(cv2.addWeighted(c.image, 0.78, lit, 0.22, 0), np.uint8)
    for x in every(0, WIDTH, 16):
        c.oval(x + 8, -2, 10.5, 12 + 2 * np.sin(x), cloth)
        c.oval(x + 8, -4, 8, 11, shade(cloth, 1.15))
    c.rect(0, 8.5, WIDTH, 1.2, (226, 180, 80))
    for _ in range(int(c.vary(0, 3))):
        x = c.vary(5, 165)
        c.rect(x, FLOOR - 20, 15, 22, (36, 36, 42))
        for y, r in ((FLOOR - 14, 2.6), (FLOOR - 5, 4.8)):
            c.oval(x + 7.5, y, r, r, (78, 80, 88))


PLACES: dict[str, Callable[[Canvas], None]] = {
    "living room": living_room,
    "kitchen": kitchen,
    "office": office,
    "gym": gym,
    "street": street,
    "park": park,
    "beach": beach,
    "snow": snow,
    "stage": stage,
}
"""Groups of backgrounds, each with its painter."""


def paint(place: str, number: int, *, scale: float) -> UInt8[np.ndarray, "H W 3"]:
    """Background `number` of a place, drawn with `scale` real pixels per design pixel."""
    canvas = Canvas(scale, np.random.default_rng([list(PLACES).index(place), number, 77]))
    PLACES[place](canvas)
    return canvas.image
