"""The places, indoor and outdoor: each painter draws a different background for every background number."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

from actionprompt.world.canvas import (
    FLOOR,
    HEIGHT,
    WIDTH,
    Canvas,
    books,
    every,
    floor_boards,
    floor_tiles,
    hills,
    plant,
    sky,
    tree,
    wall,
    window,
)
from actionprompt.world.clutter import add_clutter, light_and_focus
from actionprompt.world.figure import shade
from actionprompt.world.scene import VERSION, Version


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


def classroom(c: Canvas) -> None:
    paint = c.pick((226, 218, 196), (200, 216, 206), (214, 206, 220), (236, 228, 208), (196, 210, 224))
    wall(c, paint)
    floor_boards(c, c.pick((176, 138, 98), (150, 140, 126), (122, 112, 100)))
    x, w = c.vary(20, 70), c.vary(58, 84)
    board = c.pick((44, 88, 70), (52, 60, 66), (38, 76, 84), (240, 242, 240))
    chalk = (226, 232, 226) if sum(board) < 450 else (60, 96, 160)
    c.rect(x - 2, 16, w + 4, 40, c.pick((150, 108, 70), (190, 192, 194)))
    c.rect(x, 18, w, 36, board)
    for y in every(23, 50, 7):
        left = x + c.vary(3, 8)
        while left < x + w - 12:
            word = c.vary(3, 9)
            if c.chance(0.7):
                c.rect(left, y, word, 1.1, chalk)
            left += word + 2
    c.rect(x + 4, 55, w - 8, 1.6, shade(paint, 0.7))
    clock = x + w + c.vary(8, 16)
    c.oval(clock, 20, 6, 6, (60, 62, 68))
    c.oval(clock, 20, 5, 5, (248, 248, 244))
    turn = c.vary(0, 2 * np.pi)
    for a, r in ((turn, 3.8), (turn * 7, 2.6)):
        c.poly([(clock - 0.4, 20), (clock + r * np.cos(a), 20 + r * np.sin(a)), (clock + 0.4, 20)], (40, 42, 48))
    if c.chance(0.6):
        window(c, (x + w + 30) % 150, c.vary(14, 22), c.vary(24, 32), c.vary(30, 38))
    wood = c.pick((206, 164, 112), (178, 128, 84), (224, 220, 206))
    seat = c.pick((196, 84, 66), (70, 116, 166), (96, 150, 96), (90, 92, 100))
    for x in every(c.vary(-20, 6), WIDTH, c.vary(32, 40)):
        c.rect(x + 7, FLOOR - 24, 12, 11, seat)
        c.rect(x + 8, FLOOR - 13, 1.5, 14, shade(seat, 0.6))
        c.rect(x + 16.5, FLOOR - 13, 1.5, 14, shade(seat, 0.6))
        c.rect(x, FLOOR - 16, 26, 3, wood)
        c.rect(x + 1, FLOOR - 13, 24, 4, shade(wood, 0.8))
        for dx in (1, 23):
            c.rect(x + dx, FLOOR - 13, 2, 16, (96, 100, 108))
        if c.chance(0.5):
            c.rect(x + c.vary(2, 14), FLOOR - 18, 8, 2, c.pick((196, 72, 64), (70, 120, 180), (236, 190, 80)))


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
    "classroom": classroom,
}
"""Every place with its painter."""


def places(version: Version) -> tuple[str, ...]:
    """The places of a version of the world: nine in version 1, and a classroom in version 2."""
    return tuple(PLACES)[:9] if version == "1" else tuple(PLACES)


def paint(place: str, number: int, *, scale: float, version: Version = VERSION) -> UInt8[np.ndarray, "H W 3"]:
    """Background `number` of a place, drawn with `scale` image pixels per design pixel.

    In version 2 the colours vary more, and furniture, clutter, light and focus are added.
    """
    seed = [list(PLACES).index(place), number, 77]
    if version == "1":
        canvas = Canvas(scale, np.random.default_rng(seed))
        PLACES[place](canvas)
        return canvas.image
    canvas = Canvas(scale, np.random.default_rng([2, *seed]), jitter=24)
    PLACES[place](canvas)
    add_clutter(canvas, place)
    light_and_focus(canvas)
    return canvas.image
