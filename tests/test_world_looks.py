"""The looks of version 2: its actors, props, places and cameras vary, and what captions say of them stays true."""

from collections import Counter
from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pytest

from actionprompt.world import backgrounds, captions, clutter, props, scene
from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.backgrounds import PLACES, paint, places
from actionprompt.world.figure import Actor, pose
from actionprompt.world.motion import DURATION_S, Performance, Take, hang, stand
from actionprompt.world.render import _drift, render

CAST = [scene.sample_actor(number, "2") for number in range(1500)]
PLAIN = replace(scene.sample_actor(3), who="woman", hair_style="short", hair_name="brown", skin=(222, 170, 128))


def draw(
    actor: Actor, made: props.Prop | None = None, *, yaw: float = 60.0, tilt: float = 8.0, size_px: int = 96
) -> np.ndarray:
    """The actor standing, on black, seen at a fixed angle, [H, W, 3]."""
    take = Take(actor, np.random.default_rng(0), np.zeros(1), "left")
    body = pose(actor, take.at(0.0, actor.hip_height, 0.0), arms=(hang(take), hang(take)), legs=stand(take))
    camera = scene.sample_camera(np.random.default_rng(0), (yaw, yaw), mirrored=False)
    camera = replace(camera, light=(1.0, 1.0, 1.0), zoom=90.0, tilt=np.deg2rad(tilt))
    shown = Performance(body, ["standing"], [made] if made else [])
    return render(take, shown, camera, place="park", background=None, size_px=size_px)[0]


def changed(one: np.ndarray, other: np.ndarray) -> int:
    """Number of pixels that differ clearly."""
    return int((np.abs(one.astype(int) - other).max(-1) > 24).sum())


# --- actors ---


def test_version_1_is_the_default_and_plain():
    given = {f.name: f.default for f in fields(Actor) if f.name in ("arms", "belly", "garment", "pattern", "footwear")}
    for number in range(50):
        actor = scene.sample_actor(number)
        assert actor == scene.sample_actor(number, "1")
        assert {name: getattr(actor, name) for name in given} == given


@pytest.mark.parametrize("table", ["shirt", "bottom", "hair"])
def test_a_colour_is_nearest_to_the_one_that_it_is_named_after(table):
    colours = {"shirt": scene.SHIRTS, "bottom": scene.BOTTOMS, "hair": scene.HAIRS}[table]
    centres = np.array([colour for colour, _ in colours.values()])
    shades = set()
    for actor in CAST:
        name = getattr(actor, f"{table}_name")
        if not name or (table == "bottom" and actor.garment == "dress"):
            continue
        colour = getattr(actor, {"shirt": "shirt", "bottom": "bottom_colour", "hair": "hair"}[table])
        assert list(colours)[int(np.square(centres - colour).sum(1).argmin())] == name
        shades.add(colour)
    assert len(shades) > 500


def test_every_look_occurs_and_has_words():
    assert {actor.hair_style for actor in CAST} == set(captions.STYLES)
    assert {actor.bottom for actor in CAST} == set(captions.BOTTOMS_ZH)
    for name, least in (("garment", 7), ("pattern", 6), ("bottom_pattern", 4), ("footwear", 3), ("glasses", 3)):
        counts = Counter(getattr(actor, name) for actor in CAST)
        assert len(counts) == least
        assert min(counts.values()) > 30, counts
    for actor in CAST:
        assert actor.bottom_name in scene.BOTTOMS
        if actor.who in ("boy", "girl"):
            assert (actor.hair_style, actor.hair_name, actor.beard) != ("bald", "grey", "beard")
            assert actor.height < 0.86
        else:
            assert actor.height > 0.86
        if actor.garment == "dress":
            assert (actor.bottom, actor.bottom_name) == ("skirt", actor.shirt_name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hair_style", tuple(captions.STYLES)),
        ("garment", ("shirt", "button-up", "t-shirt", "sleeveless", "hoodie", "jacket")),
        ("pattern", ("plain", "stripes", "checks", "dots", "print", "band")),
        ("bottom_pattern", ("plain", "side stripe", "hem", "checks")),
        ("footwear", ("shoes", "trainers", "boots")),
        ("beard", ("none", "beard", "moustache")),
        ("glasses", ("none", "glasses", "sunglasses")),
        ("accessories", ((), ("scarf",), ("tie",), ("belt",), ("headband",), ("headphones",), ("bow",))),
        ("belly", (0.0, 1.0)),
        ("arms", (0.95, 1.1)),
    ],
)
def test_looks_differ(name, values):
    base = replace(PLAIN, bottom="trousers", shirt=(54, 108, 188), trim=(240, 240, 236), long_sleeves=True)
    images = [draw(replace(base, **{name: value}), size_px=160) for value in values]
    for one, other in combinations(images, 2):
        assert 4 < changed(one, other) < 3000


def test_most_of_a_shirt_has_the_colour_that_it_is_named_after():
    """Recolouring the shirt changes more of the image than recolouring its patterns."""
    odd: tuple[int, int, int] = (10, 250, 130)
    base = replace(PLAIN, shirt=(54, 108, 188), trim=(240, 240, 236))
    worn = [("sleeveless", pattern) for pattern in ("stripes", "checks", "dots", "print", "band")]
    for garment, pattern in [*worn, ("jacket", "plain"), ("hoodie", "plain")]:
        actor = replace(base, garment=garment, pattern=pattern)
        looks = (actor, replace(actor, shirt=odd), replace(actor, trim=odd))
        image, *others = (draw(look, yaw=75.0, tilt=28.0, size_px=80) for look in looks)
        shirt, trim = (changed(image, other) for other in others)
        assert shirt > 1.5 * trim, (garment, pattern, shirt, trim)


@pytest.mark.parametrize("activity", ACTIVITIES, ids=lambda a: a.key)
def test_bodies_hold_together(activity):
    for seed, actor in enumerate(CAST[:12]):
        take = Take(actor, np.random.default_rng(seed), np.linspace(0, 1.95, 10), ("left", "right")[seed % 2])
        joint = activity.motion(take).pose.joints
        for side in ("left", "right"):
            bones = ("shoulder", "elbow", "upper_arm"), ("elbow", "hand", "forearm"), ("hip", "knee", "thigh")
            for a, b, length in bones:
                found = np.linalg.norm(joint[f"{side}_{a}"] - joint[f"{side}_{b}"], axis=1)
                assert np.allclose(found, getattr(actor, length), atol=1e-6), (a, b)
        assert min(track[:, 1].min() for track in joint.values()) > -0.04, "through the floor"


@pytest.mark.parametrize("version", ["1", "2"])
def test_folds_share_nobody_and_nothing(version):
    folds = [scene.pool(fold, version) for fold in range(6)]
    for which in (0, 1):
        numbers = [set(fold[which]) for fold in folds]
        assert len(set().union(*numbers)) == sum(map(len, numbers))
    if version == "2":
        assert [(len(a), len(b)) for a, b in folds] == [(3000, 160), *[(150, 48)] * 5]


# --- cameras ---


def test_cameras_of_version_2_vary_more():
    rng = np.random.default_rng(0)
    ranges = {}
    for version in ("1", "2"):
        shots = [scene.sample_camera(rng, (0, 40), mirrored=False, version=version) for _ in range(800)]
        values = {
            "yaw": np.rad2deg([s.yaw for s in shots]),
            "tilt": np.rad2deg([s.tilt for s in shots]),
            "zoom": np.array([s.zoom for s in shots]),
            "shake": np.array([s.drift[1] for s in shots]),
            "light": np.array([s.light[1] for s in shots]),
            "subject": np.array([s.subject for s in shots]),
        }
        ranges[version] = {name: (v.min(), v.max()) for name, v in values.items()}
    assert ranges["1"]["subject"] == (1.0, 1.0)
    for name, (low, high) in ranges["2"].items():
        assert low <= ranges["1"][name][0] + 0.01
        assert high >= ranges["1"][name][1]
    assert -15 <= ranges["2"]["yaw"][0] < -13
    assert 53 < ranges["2"]["yaw"][1] <= 55


def test_the_motion_of_the_camera_does_not_tell_the_direction_of_time():
    """Played backwards, a camera moves like another one, and both are equally probable: their pans are opposite, and
    their phases, which are uniform and independent, are shifted."""
    rng = np.random.default_rng(1)
    shots = [scene.sample_camera(rng, (0, 40), mirrored=False, version="2") for _ in range(3000)]
    t = np.arange(40) / 20
    for shot in shots[:50]:
        pan, shake_x, shake_y, rate, start = shot.drift
        first = np.pi - start - 2 * np.pi * rate * DURATION_S
        second = np.pi - (1.7 * (2 * np.pi * rate * DURATION_S + start) + shot.lag) - 1.7 * first
        opposite = replace(shot, drift=(-pan, shake_x, shake_y, rate, first), lag=second)
        assert np.allclose(_drift(shot, DURATION_S - t), _drift(opposite, t))
    start, lag = (np.array([getter(shot) for shot in shots]) for getter in (lambda s: s.drift[4], lambda s: s.lag))
    for a, b in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2)):
        assert abs(np.exp(1j * (a * start + b * lag)).mean()) < 0.06
    pans = np.array([shot.drift[0] for shot in shots])
    assert abs((pans > 0).sum() - (pans < 0).sum()) < 120


# --- props ---


def made_of(kinds: str, kind: str) -> props.Prop:
    at = lambda x, y, z: np.array([[x, y, z]], float)  # noqa: E731
    forward, up, left = at(1, 0, 0), at(0, 1, 0), at(0, 0, 1)
    colour = (214, 64, 56)
    return {
        "BOXES": lambda: props.box(at(0.4, 0.1, 0), 0.2, 0.18, colour, kind=kind),
        "BALLS": lambda: props.ball(at(0.4, 0.1, 0), 0.1, colour, kind=kind),
        "BAGS": lambda: props.bag(at(0.4, 0.1, 0), 0.2, colour, kind=kind),
        "CHAIRS": lambda: props.chair(at(-0.4, 0.26, 0), 0.26, colour, kind=kind),
        "DOORS": lambda: props.door(at(0.4, 0, 0.2), 0.4, 1.0, np.array([0.6]), -1.0, colour, (9, 9, 9), kind=kind)[0],
        "HATS": lambda: props.hat(at(0.4, 0.4, 0), up, forward, left, 0.1, colour, kind=kind),
        "GUITARS": lambda: props.guitar(at(0.3, 0.5, 0.1), at(0.3, 0.6, -0.2), forward, colour, kind=kind),
        "MATS": lambda: props.mat(at(0.2, 0, 0), 1.0, 0.6, colour, kind=kind),
    }[kinds]()


@pytest.mark.parametrize("kinds", ["BOXES", "BALLS", "BAGS", "CHAIRS", "DOORS", "HATS", "GUITARS", "MATS"])
def test_kinds_of_props_differ(kinds):
    found = [made_of(kinds, kind) for kind in getattr(props, kinds)]
    images = [draw(PLAIN, prop, yaw=50 if kinds != "DOORS" else -40, tilt=25) for prop in found]
    for one, other in combinations(images, 2):
        assert changed(one, other) > 12
    assert {prop.name for prop in found} <= {*captions.OBJECTS, "stool", "mat"}


# --- places ---


def test_a_classroom_is_the_last_place_and_only_in_version_2():
    assert list(PLACES)[-1] == "classroom"
    assert places("2") == (*places("1"), "classroom") == tuple(PLACES)
    assert set(clutter.ITEMS) == set(captions.PLACES) == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_backgrounds_of_version_2(place):
    images = [paint(place, number, scale=1.0, version="2") for number in range(4)]
    assert np.array_equal(images[0], paint(place, 0, scale=1.0, version="2"))
    assert all(changed(one, other) > 2000 for one, other in combinations(images, 2))
    assert paint(place, 0, scale=2.0, version="2").shape == (256, 368, 3)
    assert changed(images[0], paint(place, 0, scale=1.0)) > 2000


@pytest.mark.parametrize("place", PLACES)
def test_every_item_of_a_place_shows(place):
    for item in clutter.ITEMS[place]:
        canvas = backgrounds.Canvas(1.0, np.random.default_rng(0))
        canvas.image[:] = 128
        item(canvas, 90.0)
        assert 20 < (canvas.image != 128).any(-1).sum() < 4000, item.__name__
