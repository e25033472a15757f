"""Two people: their hands meet, they face each other, and only the push tells the direction of time. The motions of
version 2 keep what those of version 1 promise; `test_world` compares the pixels of version 1 with stored hashes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from actionprompt.world import captions, interaction_motions
from actionprompt.world.actions import activities, class_names, class_names_zh, pairs
from actionprompt.world.figure import Actor, unit
from actionprompt.world.motion import LAST_S, Performance, Take
from actionprompt.world.scene import sample_actor

FRAMES = np.arange(40) / 20
INTERACTIONS = [a for a in activities("2") if a.kind == "interaction"]
REVERSIBLE = [a for a in activities("2") if a.kind == "reversible"]
BOTH_SIDES = ("left", "right")


def take_of(seed: int, times=FRAMES) -> Take:
    """A take whose partner is another actor, of any height."""
    return Take(
        sample_actor(seed, "2"), np.random.default_rng([seed, 3]), times, BOTH_SIDES[seed % 2],
        partner=sample_actor(7 * seed + 1003, "2"), version="2",
    )  # fmt: skip


@cache
def perform(key: str, seed: int) -> tuple[Take, Performance]:
    take = take_of(seed)
    return take, next(a for a in activities("2") if a.key == key).motion(take)


def hands(body, actor: Actor, beyond: float = 0.0) -> np.ndarray:
    """Both hands, or points beyond them along the forearms: float[2, T, 3]."""
    joints = [(body[f"{side}_hand"], body[f"{side}_elbow"]) for side in BOTH_SIDES]
    return np.stack([hand + unit(hand - elbow) * beyond * actor.height for hand, elbow in joints])


def nearest(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest distance of any of the points `a` from any of `b` in the same frame."""
    return float(np.linalg.norm(a[:, None] - b[None], axis=-1).min())


# --- geometry ---


def test_a_partner_is_needed():
    take = Take(sample_actor(0), np.random.default_rng(0), FRAMES, "left")
    with pytest.raises(ValueError, match="expected a take with a partner"):
        interaction_motions.hug(take)


def test_across_is_its_own_inverse():
    rng = np.random.default_rng(0)
    track, place = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)) * np.array([1, 0, 1])
    assert np.allclose(interaction_motions.across(interaction_motions.across(track, place), place), track)


@pytest.mark.parametrize("name", [a.key for a in INTERACTIONS])
def test_both_bodies_hold_together_and_face_each_other(name):
    for seed in range(6):
        take, p = perform(name, seed)
        for actor, body in ((take.actor, p.pose), (take.partner, p.partner)):
            for side in BOTH_SIDES:
                for a, b, length in (("elbow", "hand", "forearm"), ("hip", "knee", "thigh"), ("knee", "ankle", "shin")):
                    found = np.linalg.norm(body[f"{side}_{a}"] - body[f"{side}_{b}"], axis=1)
                    assert np.allclose(found, getattr(actor, length), atol=1e-6)
            joints = np.stack(list(body.joints.values()))
            assert joints[..., 1].min() > -0.03, "through the floor"
            assert np.linalg.norm(np.diff(joints, axis=1), axis=-1).max() < 0.3, "a jump"
        line = p.partner["pelvis"] - p.pose["pelvis"]
        assert line[:, 0].min() > 0.1, "the partner is in front"
        for ahead, left, body in ((1, 1, p.pose), (-1, -1, p.partner)):
            forward, _, side = body.torso
            assert (ahead * forward[:, 0] > 0.5).all()
            assert (left * side[:, 2] > 0.5).all(), "turned, not mirrored"
            across = body["left_hip"] - body["right_hip"]
            assert (across * side).sum(-1).min() > 0


@pytest.mark.parametrize("name", [a.key for a in INTERACTIONS])
def test_the_partner_is_in_the_frame(name):
    _, p = perform(name, 1)
    assert all(any(point is track for point in p.extent) for track in p.partner.joints.values())


# --- contact ---


def test_hands_meet_at_the_thing_that_is_handed_over():
    givers = set()
    for seed in range(16):
        take, p = perform("hand_over", seed)
        a, b = hands(p.pose, take.actor), hands(p.partner, take.partner)
        thing = p.props[0].parts[0].anchor
        assert nearest(a, b) < 0.03
        assert nearest(a, thing[None]) < 0.14
        assert nearest(b, thing[None]) < 0.14
        assert np.linalg.norm(np.diff(thing, axis=0), axis=1).max() < 0.1, "it does not jump"
        middle = (p.pose["pelvis"][:, 0] + p.partner["pelvis"][:, 0]) / 2
        way = thing[-1, 0] - middle[-1] - (thing[0, 0] - middle[0])
        givers.add("actor" if way > 0.05 else "partner" if way < -0.05 else "neither")
    assert {"actor", "partner"} <= givers


def test_palms_meet_in_a_high_five():
    for seed in range(16):
        take, p = perform("high_five", seed)
        palm = interaction_motions.PALM
        assert nearest(hands(p.pose, take.actor, palm), hands(p.partner, take.partner, palm)) < 0.07


def test_who_is_pushed_is_touched_and_staggers_back():
    pushers = set()
    for seed in range(16):
        take, p = perform("push", seed)
        bodies, actors = (p.pose, p.partner), (take.actor, take.partner)
        back = [p.pose["pelvis"][0, 0] - p.pose["pelvis"][:, 0], p.partner["pelvis"][:, 0] - p.partner["pelvis"][0, 0]]
        pushed = int(np.argmax([moved.max() for moved in back]))
        assert back[pushed].max() > 0.15
        assert back[1 - pushed].max() < 0.01
        chest = bodies[pushed]["pelvis"] + 0.7 * (bodies[pushed]["neck"] - bodies[pushed]["pelvis"])
        assert nearest(hands(bodies[1 - pushed], actors[1 - pushed]), chest[None]) < 0.3
        assert set(p.state) - {"facing somebody"} <= {("pushed by somebody", "pushing somebody")[pushed]}
        pushers.add(1 - pushed)
    assert pushers == {0, 1}


def test_arms_are_around_the_other_in_a_hug():
    for seed in range(16):
        take, p = perform("hug", seed)
        close = np.argmin(p.partner["pelvis"][:, 0] - p.pose["pelvis"][:, 0])
        for body, actor, other, ahead in ((p.pose, take.actor, p.partner, 1), (p.partner, take.partner, p.pose, -1)):
            trunk = (other["pelvis"] + other["neck"])[close] / 2
            offset = hands(body, actor)[:, close] - trunk
            assert np.linalg.norm(offset[:, [0, 2]], axis=1).max() < 0.16
            assert (ahead * offset[:, 0] > -0.06).all(), "on the far side"


# --- time ---


def test_every_other_take_is_reversed():
    take = take_of(0)
    takes = [interaction_motions.either_way(take) for _ in range(400)]
    starts = [round(float(take.t[0]), 9) for take in takes]
    assert set(starts) == {0.0, LAST_S}
    assert 160 < starts.count(0.0) < 240
    assert FRAMES[-1] == LAST_S


@pytest.mark.parametrize("name", ["hand_over", "high_five", "hug"])
def test_time_has_no_direction(name, monkeypatch):
    """A motion is as frequent as its reverse: `either_way` decides, and nothing else depends on the time."""

    def played(seed: int, reverse: bool) -> np.ndarray:
        def either_way(take: Take) -> Take:
            take.vary(0, 1)
            return replace(take, t=LAST_S - take.t) if reverse else take

        monkeypatch.setattr(interaction_motions, "either_way", either_way)
        p = getattr(interaction_motions, name)(take_of(seed))
        things = [part.anchor for prop in p.props for part in prop.parts]
        return np.stack([*p.pose.joints.values(), *p.partner.joints.values(), *things], axis=1)

    for seed in range(3):
        assert np.allclose(played(seed, True), played(seed, False)[::-1])


def test_a_push_has_a_direction():
    for seed in range(16):
        _, p = perform("push", seed)
        gap = p.partner["pelvis"][:, 0] - p.pose["pelvis"][:, 0]
        assert gap[-1] > gap[0]


@pytest.mark.parametrize("activity", REVERSIBLE, ids=lambda a: a.key)
def test_reversible_motions_of_version_2_have_a_direction(activity):
    for seed in range(3):
        joints = np.stack(list(perform(activity.key, seed)[1].pose.joints.values()), axis=1)
        assert np.abs(joints - joints[::-1]).max() > 0.05


# --- version 2 of all motions ---


@pytest.mark.parametrize("activity", activities("2"), ids=lambda a: a.key)
def test_version_2_bodies_hold_together_and_move_continuously(activity):
    limit = {"cyclic": 0.45, "interaction": 0.3}.get(activity.kind, 0.25)
    for seed in range(5):
        take, p = perform(activity.key, seed)
        joints = np.stack(list(p.pose.joints.values()))
        assert np.isfinite(joints).all()
        assert joints[..., 1].min() > -0.04, "through the floor"
        assert np.linalg.norm(np.diff(joints, axis=1), axis=-1).max() < limit, "a jump"
        for side in BOTH_SIDES:
            found = np.linalg.norm(p.pose[f"{side}_shoulder"] - p.pose[f"{side}_elbow"], axis=1)
            assert np.allclose(found, take.actor.upper_arm, atol=1e-6)


def test_version_1_has_one_style():
    """It has neither the poses nor the things of version 2."""
    for key in ("sit", "pick_up", "read"):
        motion = next(a.motion for a in activities("1") if a.key == key)
        takes = (replace(take_of(seed, FRAMES[::20]), version="1") for seed in range(8))
        found = [motion(take) for take in takes]
        assert {state for p in found for state in p.state} <= set(captions.states("1"))
        assert {prop.name for p in found for prop in p.props} <= {"chair", "box", "ball", "bag", "book"}


def test_the_two_rhythms_of_clapping_stay_apart():
    times = np.arange(400) / 200
    rates: dict[str, list[float]] = {"clap_slowly": [], "clap_quickly": []}
    for activity in activities("2"):
        for seed in range(12 if activity.key in rates else 0):
            pose = activity.motion(take_of(seed, times)).pose
            gap = np.linalg.norm(pose["left_hand"] - pose["right_hand"], axis=1)
            turns = (np.diff(np.sign(np.diff(gap))) != 0).sum()  # twice per clap
            rates[activity.key].append(turns / 2 / 2.0)
    assert max(rates["clap_slowly"]) <= 1.0
    assert min(rates["clap_quickly"]) >= 1.5


# --- captions ---


def test_every_class_is_described():
    for number, names in enumerate((class_names("2"), class_names_zh("2"))):
        told = " ".join(phrase for phrases in captions.states("2").values() for phrase in phrases[number])
        assert [name for name in names if name not in told] == []


@pytest.mark.slow
def test_every_pose_of_version_2_has_captions_and_every_prop_a_name():
    many = ("pick_up", "hand_over", "sit")  # of many things
    found = [
        a.motion(take_of(seed, FRAMES[::4])) for a in activities("2") for seed in range(40 if a.key in many else 8)
    ]
    poses = {state for p in found for state in p.state}
    assert poses <= set(captions.states("2"))
    assert set(captions.states("2")) - poses <= set(captions.states("1"))
    assert {prop.name for p in found for prop in p.props} - {"mat"} == set(captions.OBJECTS)


def test_captions_of_version_2_never_tell_the_direction_of_time():
    rng = np.random.default_rng(0)
    chinese = [a.names_zh for a in REVERSIBLE]
    for state in captions.states("2"):
        for _ in range(12):
            texts = captions.caption(
                rng, actor=sample_actor(int(rng.integers(400)), "2"), state=state, place="classroom"
            )
            for text, twins in zip(texts, (pairs("2"), chinese), strict=True):
                assert all((first in text) == (second in text) for first, second in twins), text
            texts[1].encode("gb2312")


def test_a_caption_of_two_people_names_the_other_person():
    rng = np.random.default_rng(1)
    for state in ("facing somebody", "handing over box", "high five", "pushed by somebody"):
        english, chinese = zip(
            *(captions.caption(rng, actor=sample_actor(2), state=state, place="park") for _ in range(20)), strict=True
        )
        assert sum("another person" in text for text in english) >= 5
        assert all("人" in text for text in chinese)
    assert set(captions.PLACES) >= {"classroom"}
