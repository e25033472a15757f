"""What the camera sees of version 2: two people, a crowd behind them, a mask of the people, an imperfect sensor."""

from dataclasses import replace
from statistics import NormalDist

import cv2
import numpy as np
import pytest

from actionprompt.world import cyclic_motions, distractors, scene, sensor, still_motions
from actionprompt.world.backgrounds import PLACES
from actionprompt.world.distractors import _SCENES, TALLEST, Bystander, Crowd, Shape, sample_crowd
from actionprompt.world.figure import Pose
from actionprompt.world.motion import LAST_S, Take
from actionprompt.world.render import render, render_with_mask
from actionprompt.world.sensor import Sensor, sample_sensor, shoot

TIMES = np.arange(40) / 20
ACTORS = [scene.sample_actor(number) for number in range(12)]
CLEAN = Sensor()


def a_take(seed: int = 0, *, times=TIMES[::13], partner=None) -> Take:
    return Take(ACTORS[seed], np.random.default_rng(seed), times, "left", partner)


def a_camera(seed: int = 0, *, mirrored: bool = False) -> scene.Camera:
    return scene.sample_camera(np.random.default_rng(seed), (20, 120), mirrored=mirrored)


def a_crowd(place: str, seed: int, times=TIMES[::13]) -> Crowd:
    rng, crowd = np.random.default_rng([seed, 3]), None
    while crowd is None:
        crowd = sample_crowd(rng, place=place, actors=ACTORS, t=times)
    return crowd


def moved(pose: Pose, x: float) -> Pose:
    joints = {name: track + np.array([x, 0.0, 0.0]) for name, track in pose.joints.items()}
    return Pose(joints, pose.torso, pose.head)


# --- two people, the mask ---


@pytest.mark.parametrize("place", ["street", "beach", "stage"])
def test_the_mask_is_what_does_not_depend_on_background_and_crowd(place):
    take = a_take(3)
    performance, camera = still_motions.guitar(take), replace(a_camera(3, mirrored=place == "beach"), light=(1.0,) * 3)
    draw = lambda **kw: render_with_mask(take, performance, camera, size_px=96, **kw)  # noqa: E731
    (plain, mask), black = draw(place=place, background=5), draw(place=place, background=None)
    covered, partly = mask == 255, (mask > 0) & (mask < 255)
    assert 0.02 < covered.mean() < 0.5
    assert partly.mean() < 0.1, "only at edges"
    for seed in range(3):
        other = draw(place=place, background=seed, crowd=a_crowd(place, seed))
        assert np.array_equal(mask, other[1])
        change = np.abs(plain[covered].astype(int) - other[0][covered])  # a mask of 254.9 is 255
        assert change.max() <= 2, "a crowd covers the actor"
        assert change.mean() < 0.02
    assert np.array_equal(mask, black[1])
    assert (black[0][mask == 0] == 0).all(), "a part of the figure is not in the mask"
    behind = plain[partly] - black[0][partly].astype(float)
    assert (behind <= 258.0 - mask[partly][:, None]).all(), "what is not covered shows the background"


def test_the_mask_costs_no_second_drawing_and_changes_nothing():
    take = a_take()
    performance = cyclic_motions.wave(take)
    given = {"place": "street", "background": 3, "size_px": 112, "crowd": a_crowd("street", 1)}
    frames, mask = render_with_mask(take, performance, a_camera(), **given)
    assert np.array_equal(frames, render(take, performance, a_camera(), **given))
    assert mask.shape == frames.shape[:3]
    assert mask.dtype == np.uint8


def test_both_people_are_drawn_and_inside_the_frame():
    alone = a_take(0)
    performance = cyclic_motions.clap_slowly(alone)
    partner = moved(cyclic_motions.clap_slowly(a_take(1)).pose, 0.9)
    take, both = a_take(0, partner=ACTORS[1]), replace(performance, partner=partner)
    for seed in range(8):
        camera = replace(a_camera(seed), yaw=0.3)
        draw = lambda who, what: render_with_mask(who, what, camera, place="gym", background=0, size_px=112)  # noqa: B023, E731
        (_, mask), (_, single) = draw(take, both), draw(alone, performance)
        for edge in (mask[:, 0], mask[:, :, 0], mask[:, :, -1], mask[:, -1]):
            assert edge.max() == 0
        for one, two in zip(single, mask, strict=True):
            assert cv2.connectedComponents((one > 0).astype(np.uint8))[0] == 2
            assert cv2.connectedComponents((two > 0).astype(np.uint8))[0] == 3, "background and two people"
    with pytest.raises(ValueError, match="expected a take with a partner, got None"):
        draw(alone, both)


# --- the crowd ---


def test_every_place_has_a_crowd():
    assert set(PLACES) <= set(_SCENES)
    with pytest.raises(ValueError, match=r"expected a place of living room, .*, got 'moon'"):
        sample_crowd(np.random.default_rng(0), place="moon", actors=ACTORS, t=TIMES)


def test_a_third_of_the_clips_have_no_crowd_and_half_of_the_crowds_are_reversed(monkeypatch):
    """So a crowd and its reversal are equally likely."""
    seen = lambda take, *_: (0.0, [Shape(np.tile(take.t[:, None, None], (1, 3, 2)), (0, 0, 0))])  # noqa: E731
    monkeypatch.setattr(distractors, "_bystander", seen)
    monkeypatch.setitem(_SCENES, "park", ((None,), (seen, seen)))
    rng, reversed_, num = np.random.default_rng(0), [], 1500
    for _ in range(num):
        crowd = sample_crowd(rng, place="park", actors=ACTORS, t=TIMES)
        if crowd is not None:
            assert 0 < len(crowd.items) <= 5
            times = [item.corners[:, 0, 0] for item in crowd.items]
            reversed_.append(bool(times[0][0] > times[0][-1]))
            assert all(np.allclose(t, TIMES[::-1] if reversed_[-1] else TIMES) for t in times)
    assert len(reversed_) / num == pytest.approx(2 / 3, abs=0.04)
    assert np.mean(reversed_) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("place", _SCENES)
def test_a_crowd_is_a_function_of_time(place):
    """It has no memory, so times in opposite order give the same crowd in opposite order."""
    for seed in range(3):
        one, two = (a_crowd(place, seed, TIMES[::13][::step]) for step in (1, -1))
        for a, b in zip(one.items, two.items, strict=True):
            if isinstance(a, Shape):
                assert np.allclose(a.corners, b.corners[::-1])
                continue
            tracks = [[solid.points for part in item.parts for solid in part.solids] for item in (a, b)]
            assert all(np.allclose(x, y[::-1]) for x, y in zip(*tracks, strict=True))


@pytest.mark.parametrize("place", _SCENES)
def test_crowds_are_small_visible_and_reproducible(place):
    seen = []
    for seed in range(4):
        crowd = a_crowd(place, seed, TIMES[:1])
        for item in crowd.items:
            if isinstance(item, Bystander):
                top = max(solid.points[..., 1].max() for part in item.parts for solid in part.solids)
                assert top * item.unit < TALLEST * 1.12  # raised arms and hair included
        take = a_take(seed, times=TIMES[:1])
        performance, camera = cyclic_motions.wave(take), a_camera(seed)
        draw = lambda crowd: render(take, performance, camera, place=place, background=0, size_px=64, crowd=crowd)  # noqa: B023, E731
        frames = draw(crowd)
        assert np.array_equal(frames, draw(a_crowd(place, seed, TIMES[:1])))
        seen.append((frames != draw(None)).any(-1).mean())
    assert np.median(seen) > 0.004
    assert max(seen) < 0.6


def test_a_crowd_stays_where_it_is_in_the_scenery():
    """It moves with the background when the camera follows a runner, and is centred in the middle of the clip."""
    take = a_take(times=np.array([0.0, LAST_S / 2, LAST_S]))
    performance = replace(cyclic_motions.wave(take), scroll=np.array([0.0, 0.3, 0.6]))
    square = np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)]) + np.array([56.0, 20.0])
    crowd = Crowd((Shape(np.broadcast_to(square, (3, 4, 2)), (255, 0, 0)),))
    camera = replace(a_camera(), yaw=0.0, drift=(0.0,) * 5, light=(1.0,) * 3)
    frames = render(take, performance, camera, place="park", background=None, size_px=112, crowd=crowd)
    centres = [np.nonzero((f == (255, 0, 0)).all(-1).any(0))[0].mean() for f in frames]
    assert centres[1] == pytest.approx(55.5, abs=1.0)
    assert centres[0] - centres[1] == pytest.approx(centres[1] - centres[2], abs=1.0)
    assert centres[0] - centres[2] > 20


# --- the sensor ---


def grey(level: int, *, num_frames: int = 6, size_px: int = 64) -> np.ndarray:
    return np.full((num_frames, size_px, size_px, 3), level, np.uint8)


def a_clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)


def test_clean_sensors_change_nothing():
    frames = a_clip()
    for stills in (False, True):
        assert np.array_equal(shoot(frames, CLEAN, np.random.default_rng(0), stills=stills), frames)
    assert np.array_equal(shoot(frames, Sensor(qp=40), np.random.default_rng(0)), frames)
    assert np.array_equal(shoot(frames, Sensor(jpeg=50), np.random.default_rng(0)), frames), "JPEG is for stills"


def test_sensors_are_sampled_as_declared():
    rng = np.random.default_rng(0)
    sensors = [sample_sensor(rng) for _ in range(600)]
    assert np.mean([s == CLEAN for s in sensors]) == pytest.approx(0.3, abs=0.05)
    dirty = [s for s in sensors if s != CLEAN]
    assert {s.qp for s in dirty} == set(range(24, 41))
    assert {min(s.jpeg for s in dirty), max(s.jpeg for s in dirty)} == {35, 95}
    for name in ("blotches", "defocus", "vignette", "flicker", "drift"):
        assert 0.2 < np.mean([getattr(s, name) > 0 for s in dirty]) < 0.8, name


@pytest.mark.parametrize(("shot", "read"), [(0.0, 2.0), (0.1, 0.0), (0.25, 3.0)])
def test_noise_has_the_declared_variance(shot, read):
    for level in (40, 128, 200):
        noisy = shoot(grey(level), Sensor(shot=shot, read=read), np.random.default_rng(level)).astype(float)
        assert noisy.mean() == pytest.approx(level, abs=0.1)
        assert noisy.var() == pytest.approx(shot * level + read**2, rel=0.1)
        shifted = noisy[:, :, 1:] * noisy[:, :, :-1]
        assert shifted.mean() == pytest.approx(level**2, rel=1e-2), "neighbours are independent"


def test_noise_does_not_depend_on_the_position_in_time():
    frames, sensed = a_clip(), Sensor(shot=0.2, read=2.0, blotches=3.0)
    noise = [shoot(f, sensed, np.random.default_rng(5)).astype(int) for f in (grey(128), grey(128)[::-1])]
    assert np.array_equal(*noise)
    spread = [frame.var() for frame in noise[0]]
    assert max(spread) < 1.1 * min(spread)
    assert len({frame.tobytes() for frame in noise[0]}) == len(spread)
    once, again = (shoot(frames, sensed, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(once, again)


def test_oscillations_have_no_direction():
    """Over many clips, exposure rises as often as it falls, and bands roll upwards as often as downwards."""
    rng = np.random.default_rng(0)
    rise, roll = [], []
    for _ in range(200):
        level = shoot(grey(200, num_frames=3, size_px=32), Sensor(flicker=0.03, drift=0.03), rng).astype(float)
        rise.append(level[-1].mean() - level[0].mean())
        rows = level.mean((2, 3)) - level.mean((1, 2, 3))[:, None]
        roll.append((rows[0, :-1] * rows[1, 1:] - rows[0, 1:] * rows[1, :-1]).mean())
    for found in (rise, roll):
        assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
        assert np.std(found) > 0
    assert level.max() <= 200


def test_optics_blur_and_darken_the_corners():
    frames, rng = a_clip(), np.random.default_rng(0)
    blurred = shoot(frames, Sensor(defocus=0.02), rng)
    assert np.diff(blurred.astype(int), axis=2).var() < 0.6 * np.diff(frames.astype(int), axis=2).var()
    dark = shoot(grey(200), Sensor(vignette=0.3), rng)
    assert (np.abs(dark[0, 0, 0].astype(int) - 140) <= 3).all()
    assert (np.abs(dark[0, 32, 32].astype(int) - 200) <= 2).all()
    assert np.array_equal(dark, dark[:, ::-1, ::-1])


def test_stills_go_through_jpeg_one_by_one():
    frames = render(a_take(), cyclic_motions.wave(a_take()), a_camera(), place="park", background=1, size_px=96)
    far = {q: shoot(frames, Sensor(jpeg=q), np.random.default_rng(0), stills=True) for q in (35, 95)}
    error = {q: np.abs(f.astype(int) - frames).mean() for q, f in far.items()}
    assert 0 < error[95] < error[35] < 12
    single = np.concatenate([shoot(f[None], Sensor(jpeg=35), np.random.default_rng(0), stills=True) for f in frames])
    assert np.array_equal(single, far[35])


def test_no_table_is_rounded_at_a_half():
    """Machines differ in the last bits of logarithms and sines; the tables do not."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
    waves = 127 * np.sin(2 * np.pi * np.arange(256) / 256)
    for exact in (64 * values / np.sqrt(np.mean(values**2)), waves):
        assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    assert sensor._NORMAL.sum() == 0
    assert np.mean((sensor._NORMAL / 64) ** 2) == pytest.approx(1.0, abs=0.003)
