"""From a performance to pixels: project, sort from far to near, fill (the painter's algorithm).

OpenCV's anti-aliased convex fill works in integers: points are rounded to 1/16 pixel of a canvas twice the frame's
size, so the last bits of sines and cosines, which differ between machines, do not affect the pixels. Measured on 40
polygons per frame: 0.27 ms, compared with 0.84 ms for Pillow on a canvas of three times the size, whose edges are
coarser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import UInt8

from actionprompt.world import backgrounds
from actionprompt.world.canvas import FLOOR, FRAME, HEIGHT, WIDTH
from actionprompt.world.figure import Array, figure_parts, unit
from actionprompt.world.motion import DURATION_S, Performance, Take
from actionprompt.world.scene import Camera

OVERSAMPLING = 2
_CIRCLE = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=-1)
_BITS = 4
"""Fractional bits of canvas coordinates."""
OUTLINE = 0.011
"""Width of the dark outline around parts, in the unit of the actor frame."""
MARGIN = 0.12
"""Free space around the joints, in the same unit."""
SPARE_X, SPARE_Y = WIDTH - FRAME, HEIGHT - FRAME
"""How much larger the background is than a frame, in design pixels."""
FEET = FLOOR + 9.0
"""Height at which the actor stands, in design pixels from the top of the frame."""


@lru_cache(maxsize=320)
def _background(place: str, number: int | None, scale: float) -> UInt8[np.ndarray, "H W 3"]:
    """The whole background, larger than a frame; black if it has no number."""
    if number is None:
        return np.zeros((round(HEIGHT * scale), round(WIDTH * scale), 3), np.uint8)
    return backgrounds.paint(place, number, scale=scale)


def _view(camera: Camera) -> Array:
    """Matrix [3, 3] from row vectors in the actor frame to (right, down, towards the camera)."""
    cos, sin, dip, flat = np.cos(camera.yaw), np.sin(camera.yaw), np.sin(camera.tilt), np.cos(camera.tilt)
    return np.array([[cos, sin * dip, sin * flat], [0.0, -flat, dip], [sin, -cos * dip, -cos * flat]])


def render(
    take: Take, performance: Performance, camera: Camera, *, place: str, background: int | None, size_px: int
) -> UInt8[np.ndarray, "T H W 3"]:
    """Draw every frame of a performance as RGB, `size_px` high and wide, in front of background number `background` of
    a place, or of black where `background` is None."""
    scale = size_px * OVERSAMPLING / FRAME
    num_frames = len(take.t)
    view = _view(camera)

    # Frame the actor: at the preferred size, or as large as fits; props may leave the frame.
    travel = np.broadcast_to(np.asarray(performance.scroll, float) * view[0, 0], (num_frames,))
    body = np.stack(list(performance.pose.joints.values()), axis=1) @ view
    if performance.extent:
        body = np.concatenate([body, np.stack(performance.extent, axis=1) @ view], axis=1)
    seen = body[..., 0] - travel[:, None]
    left, right, top = seen.min() - MARGIN, seen.max() + MARGIN, MARGIN - body[..., 1].min()
    wish = camera.zoom * np.clip(0.9 / top, 1.0, 1.3)  # closer to somebody who is low, as when sitting on the floor
    zoom = min(wish, (FRAME - 4) / (right - left), (FEET - 4) / top)
    slack_x, slack_y = (FRAME - 4) - zoom * (right - left), FEET - 4 - zoom * top
    x0 = FRAME / 2 - zoom * (left + right) / 2 + camera.offset[0] * min(slack_x / 2, 22.0)
    y0 = FEET + camera.offset[1] * min(3.0, slack_y)

    # The camera's own motion moves background and actor together, in whole pixels of the canvas.
    move_x, move_y = _drift(camera, take.t)
    move_x = move_x + zoom * travel
    middle = np.clip(camera.window * SPARE_X, -move_x.min(), max(SPARE_X - move_x.max(), 0.0))
    crop_x = np.rint(np.clip(middle + move_x, 0, SPARE_X) * scale).astype(int)
    crop_y = _rows(move_y, scale)
    origin = np.array([x0, y0]) * scale - np.stack([crop_x - middle * scale, crop_y - SPARE_Y * 0.4 * scale], axis=-1)

    strokes = _strokes(take, performance, view, origin, zoom * scale)
    shadow = None
    if performance.shadow:
        floor = np.stack([performance.pose[j] * np.array([1.0, 0.0, 1.0]) for j in performance.shadow], axis=1)
        shadow = _fixed((floor @ view)[..., :2], np.array([0.1, 0.026]), origin, zoom * scale)

    behind, table = _behind(place, background, camera, scale), _light(camera)
    side = size_px * OVERSAMPLING
    frames = np.empty((num_frames, size_px, size_px, 3), np.uint8)
    for i in range(num_frames):
        canvas = behind[crop_y[i] : crop_y[i] + side, crop_x[i] : crop_x[i] + side].copy()
        if shadow is not None:
            _darken(canvas, cv2.convexHull(shadow[i]))
        for _, layers in sorted(((s.depth[i], s.layers) for s in strokes), key=lambda pair: pair[0]):
            for points, colours, shown in layers:
                if shown is None or shown[i]:
                    cv2.fillConvexPoly(canvas, cv2.convexHull(points[i]), colours[i], cv2.LINE_AA, _BITS)
        small = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA)
        cv2.LUT(small, table, dst=frames[i])
    return frames


def render_empty(
    take: Take, camera: Camera, *, place: str, background: int, size_px: int
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """What `render` draws, without the actor, frame by frame."""
    scale, side = size_px * OVERSAMPLING / FRAME, size_px * OVERSAMPLING
    behind, table = _behind(place, background, camera, scale), _light(camera)
    move_x, move_y = _drift(camera, take.t)
    crop_x = np.rint(np.clip(camera.window * SPARE_X + move_x, 0, SPARE_X) * scale).astype(int)
    for x, y in zip(crop_x, _rows(move_y, scale)):
        small = cv2.resize(behind[y : y + side, x : x + side], (size_px, size_px), interpolation=cv2.INTER_AREA)
        yield cv2.LUT(small, table)


def _drift(camera: Camera, t: Array) -> tuple[Array, Array]:
    """How far the camera has moved at these seconds, to the right and down, in design pixels."""
    pan, shake_x, shake_y, rate, start = camera.drift
    turn = 2 * np.pi * rate * t + start
    return pan * (t - DURATION_S / 2) + shake_x * np.sin(turn), shake_y * np.sin(1.7 * turn + 1.0)


def _rows(move_y: Array, scale: float) -> Array:
    """The first row of the canvas in each frame."""
    return np.rint(np.clip(SPARE_Y * 0.4 + move_y, 0, SPARE_Y) * scale).astype(int)


def _behind(place: str, background: int | None, camera: Camera, scale: float) -> UInt8[np.ndarray, "H W 3"]:
    """The background, the way round that the camera sees it."""
    behind = _background(place, background, scale)
    return np.ascontiguousarray(behind[:, ::-1]) if camera.flip else behind


def _light(camera: Camera) -> UInt8[np.ndarray, "1 256 3"]:
    """What each level of each colour becomes in the camera's light."""
    levels = np.arange(256)[:, None] * np.asarray(camera.light)
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)[None]


@dataclass
class _Stroke:
    """A projected part: depth per frame, and its polygons in drawing order as (points[T, M, 2], RGB[T], shown[T])."""

    depth: list[float]
    layers: list[tuple[Array, list[list[int]], Array | None]]


def _strokes(take: Take, performance: Performance, view: Array, origin: Array, zoom: float) -> list[_Stroke]:
    """Project the balls of all solids at once, then split the result by part."""
    figure = figure_parts(take.actor, performance.pose)
    parts = [*figure, *(part for prop in performance.props for part in prop.parts)]
    solids = [solid for part in parts for solid in part.solids]
    flat = np.concatenate([solid.points for solid in solids], axis=1) @ view[:, :2]
    radii = np.concatenate([solid.radii for solid in solids])[:, None, None]
    fills = _fixed(flat, radii, origin, zoom)
    edges = _fixed(flat, radii + OUTLINE, origin, zoom)
    depth = np.stack([part.anchor for part in parts], axis=1) @ view[:, 2]
    dim = np.clip(1.0 + 0.5 * depth, 0.87, 1.03)  # farther parts are slightly darker
    tone = (
        np.array([solid.colour for solid in solids]) * np.repeat(dim, [len(p.solids) for p in parts], axis=1)[..., None]
    )
    light = np.rint(np.minimum(tone, 255)).astype(int).transpose(1, 0, 2).tolist()
    dark = np.rint(tone * 0.58).astype(int).transpose(1, 0, 2).tolist()
    strokes, ball, index = [], 0, 0
    for part, place in zip(parts, depth.T, strict=True):
        under, over = [], []
        for solid in part.solids:
            span = slice(ball * len(_CIRCLE), (ball + len(solid.radii)) * len(_CIRCLE))
            shown = None
            if solid.facing is not None:
                shown = unit(solid.facing) @ view[:, 2] > solid.cull
            over.append((fills[:, span], light[index], shown))
            if part.outline and (len(solid.radii) > 2 or max(solid.radii) > 0.011):
                under.append((edges[:, span], dark[index], shown))
            ball, index = ball + len(solid.radii), index + 1
        strokes.append(_Stroke((place + part.nearer).tolist(), [*under, *over]))
    return strokes


def _fixed(centres: Array, radii: Array | float, origin: Array, zoom: float) -> Array:
    """Circles around centres [T, N, 2], as fixed-point canvas points int32[T, N * 14, 2]."""
    points = (centres[:, :, None] + _CIRCLE * radii) * zoom + origin[:, None, None]
    return np.rint(points * (1 << _BITS)).astype(np.int32).reshape(len(centres), -1, 2)


def _darken(canvas: Array, outline: Array) -> None:
    """Multiply the inside of a convex fixed-point polygon by 0.75."""
    x, y, w, h = cv2.boundingRect(np.right_shift(outline, _BITS))
    x1, y1 = min(x + w + 1, canvas.shape[1]), min(y + h + 1, canvas.shape[0])
    x, y = max(x, 0), max(y, 0)
    if x >= x1 or y >= y1:
        return
    region = canvas[y:y1, x:x1]
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, outline - np.array([x, y], np.int32) * (1 << _BITS), 255, cv2.LINE_AA, _BITS)
    keep = 256 - (mask[..., None].astype(np.uint16) >> 2)
    region[...] = (region * keep >> 8).astype(np.uint8)
