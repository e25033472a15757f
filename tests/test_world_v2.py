"""ActionWorld 2: forty classes, parts that share no actor and no background, and a place that may mislead.

After an intended change of the pixels or of the lists, store the new hashes with
`cd tests && python -c "import test_world_v2; test_world_v2.store_golden()"` and give the reason in the commit.
"""

import hashlib
import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from actionprompt import world
from actionprompt.datasets import _actionworld, actionworld_v2
from actionprompt.evaluation import Report
from actionprompt.metrics import Metrics
from actionprompt.study.experiment import by_kind
from actionprompt.video import probe, read_frames
from actionprompt.world import build, long, staging
from actionprompt.world.actions import activities, class_names, class_names_zh, kinds, pairs
from actionprompt.world.backgrounds import places
from actionprompt.world.build import Scene
from actionprompt.world.long import Long
from actionprompt.world.render import render_with_mask
from actionprompt.world.scene import pool

GOLDEN = Path(__file__).parent / "golden" / "actionworld_v2.json"
ACTIVITIES, NAMES = activities("2"), class_names("2")
SPLITS, PARTS = actionworld_v2.INFO.splits, actionworld_v2.INFO.parts


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def clips() -> dict[str, str]:
    """Hashes of the frames of a clip of every activity."""
    return {a.key: sha(build.play(Scene(a, 1, "main", 0, "2"), size_px=64).tobytes()) for a in ACTIVITIES}


def stills() -> dict[str, str]:
    """Hashes of stills with their masks and captions."""
    hashes = {}
    for seed in range(8):
        drawn = world.moments(seed, 2)
        said = "".join(f"{s.caption}{s.caption_zh}{s.attributes}" for s in drawn)
        hashes[str(seed)] = sha(b"".join(s.image.tobytes() + s.figure.tobytes() for s in drawn) + said.encode())
    return hashes


def lists() -> dict[str, str]:
    """Hashes of the lists, and of what happens in the long videos."""
    segments = repr([long.segments_of(Long(fold, number, "2")) for fold in SPLITS for number in range(48)])
    return {"long": sha(segments.encode())} | {
        f"{size}/{split}/{part}": names_only(size, split, part).sha256[:16]
        for size in actionworld_v2.SIZES
        for split in SPLITS
        for part in PARTS
    }


def store_golden() -> None:
    found = {what.__name__: what() for what in (clips, stills, lists)}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


@pytest.mark.parametrize("what", [clips, stills, lists])
def test_golden(what):
    assert what() == json.loads(GOLDEN.read_text())[what.__name__]


def names_only(size: str, split: int, part: str):
    """A list whose clips are not built."""
    return actionworld_v2.load("nowhere", size=size, split=split, part=part, max_missing=None)


@cache
def scenes_of(size: str, split: int, part: str) -> list[Scene]:
    return _actionworld.scenes_of("2", split, part, actionworld_v2.SIZES[size][part])


# --- classes ---


def test_classes():
    assert len(NAMES) == len(set(NAMES)) == len(set(class_names_zh("2"))) == 40
    assert set(class_names("1")) < set(NAMES)
    assert Counter(kinds("2").values()) == {"reversible": 20, "cyclic": 10, "still": 6, "interaction": 4}
    assert len(pairs("2")) == 10
    assert len({a.key for a in ACTIVITIES}) == len(ACTIVITIES) == 30
    for name in class_names_zh("2"):
        name.encode("gb2312")


def test_base_and_novel_halves_have_the_same_kinds_and_keep_twins_together():
    base, novel = NAMES[:20], NAMES[20:]
    assert Counter(kinds("2")[n] for n in base) == Counter(kinds("2")[n] for n in novel)
    for first, second in [*pairs("2"), ("clapping slowly", "clapping quickly")]:
        assert (first in base) == (second in base)


def test_every_place_is_home_to_a_pair_of_one_half_and_two_classes_of_the_other():
    homes = {name: a.home for a in ACTIVITIES for name in a.names}
    assert len(places("2")) == 10
    for place in places("2"):
        base, novel = ([n for n in half if homes[n] == place] for half in (NAMES[:20], NAMES[20:]))
        assert (len(base), len(novel)) == (2, 2)
        assert (tuple(base) in pairs("2")) != (tuple(novel) in pairs("2"))
    assert homes["clapping slowly"] == homes["clapping quickly"]


def test_by_kind_has_every_kind():
    labels = {f"{name}/{n}": label for label, name in enumerate(NAMES) for n in range(2)}
    certain = {key: tuple(np.eye(40)[label].tolist()) for key, label in labels.items()}
    certain["hugging/0"] = certain["running/0"]
    metrics = Metrics(len(labels), 98.75, 100.0, 98.75, 0.0, (), ())
    table = by_kind(Report("test", metrics, (), certain, labels, NAMES, {}), actionworld_v2)["by_kind"]
    assert set(table) == {*kinds("2").values(), "pair"}
    assert table["interaction"] == {"percent": 87.5, "right": 7, "clips": 8}
    assert table["pair"] == {"percent": 100.0, "right": 40, "clips": 40}


# --- lists ---


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("mini", (160, 40, 80, 80, 80)),
        ("small", (800, 400, 1000, 1000, 1000)),
        ("full", (4000, 1000, 2000, 2000, 2000)),
    ],
)
def test_counts(size, expected):
    for part, number in zip(PARTS, expected, strict=True):
        clips = names_only(size, 2, part)
        assert clips.name == f"actionworld_v2-{size}/split2/{part}"
        assert Counter(clip.label for clip in clips.clips) == dict.fromkeys(range(40), number // 40)


def test_a_smaller_size_is_the_beginning_of_a_larger_one():
    for part in PARTS:
        mini, small, full = ({c.key for c in names_only(size, 1, part).clips} for size in actionworld_v2.SIZES)
        assert mini < small < full


def test_train_val_and_test_share_no_actor_and_no_background():
    for split in SPLITS:
        used = {}
        for part in PARTS:
            staged = [build.cast(scene) for scene in scenes_of("mini", split, part)]
            used[part] = {number for _, actor, _, background in staged for number in (actor, background)}
        for one, other in [("train", "val"), ("val", "test"), ("train", "test"), ("train", "scene_bias")]:
            assert not used[one] & used[other]
        assert used["background"] == used["test"]
    assert scenes_of("small", 1, "val") == scenes_of("small", 3, "val")


def test_partner_and_bystanders_are_other_actors_of_the_fold():
    for seed in range(60):
        ids = [other.id for other in staging.company(np.random.default_rng(seed), 20000 + seed, 2, "2")]
        assert len({20000 + seed, *ids}) == len(ids) + 1 == staging.NUM_BYSTANDERS + 2
        assert {*ids} <= {*pool(2, "2")[0]}


def test_what_the_place_alone_tells():
    """The best classifier that sees only the place, trained on `train`: 18.75 % in `test`, and always wrong in
    `scene_bias` and `background`."""
    answers = {place: [n for a in ACTIVITIES if a.home == place for n in a.names] for place in places("2")}
    learned: dict[str, Counter] = {place: Counter() for place in places("2")}
    for scene in scenes_of("full", 1, "train"):
        learned[build.cast(scene)[2]].update(scene.activity.names)
    for place, counts in learned.items():
        assert {name for name, _ in counts.most_common(4)} == set(answers[place])
    for part, expected in (("test", 0.1875), ("val", 0.1875), ("scene_bias", 0.0), ("background", 0.0)):
        shown = [(build.cast(scene)[2], name) for scene in scenes_of("full", 1, part) for name in scene.activity.names]
        assert np.mean([(name in answers[place]) / 4 for place, name in shown]) == pytest.approx(expected, abs=0.003)
        assert {place for place, _ in shown} == set(places("2"))


def test_actors_do_not_tell_the_class():
    classes: dict[int, set[str]] = {}
    for scene in scenes_of("full", 1, "train"):
        classes.setdefault(build.cast(scene)[1], set()).add(scene.activity.key)
    assert len(classes) > 280  # of two folds of 150
    assert np.median([len(keys) for keys in classes.values()]) > 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": 4}, "ActionWorld 2: expected split 1, 2 or 3, got 4"),
        ({"part": "bias"}, "expected part train, val, test, scene_bias, background, got 'bias'"),
        ({"max_missing": 3}, r"1000 of 1000 test clips are not in .*v2-112px; max_missing=0 builds them"),
    ],
)
def test_wrong_arguments(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        actionworld_v2.load(tmp_path, **{"part": "test"} | wrong)


# --- clips ---


@pytest.mark.parametrize("scene", scenes_of("mini", 2, "test")[::3], ids=lambda scene: scene.activity.key)
def test_a_background_clip_shows_the_same_people_in_another_place(scene):
    other = Scene(scene.activity, scene.fold, "swap", scene.number, "2")
    assert [key.replace("/swap/", "/main/") for key in other.keys] == list(scene.keys)
    (rng, one), (other_rng, two) = build.set_up(scene), build.set_up(other)
    assert two.scenery["place"] not in (scene.activity.home, one.scenery["place"])
    assert rng.bit_generator.state == other_rng.bit_generator.state, "the same sensor, with the same noise"
    (frames, mask), (swapped, same) = (
        render_with_mask(s.take, s.performance, s.camera, **s.scenery, size_px=64) for s in (one, two)
    )
    assert np.array_equal(mask, same)
    change = np.abs(frames.astype(int) - swapped).max(-1)
    assert change[mask == 255].max() <= 2, "the mask is rounded to 1/255"
    assert (change[mask == 255] == 0).mean() > 0.99
    assert (mask == 255).mean() > 0.02
    assert (change[mask == 0] > 0).mean() > 0.8


def test_twins_decode_to_the_same_frames_in_opposite_order(tmp_path):
    scenes = [Scene(a, 2, "main", 0, "2") for a in ACTIVITIES if a.kind == "reversible"]
    here = build.build(tmp_path, scenes, size_px=64)
    assert here == tmp_path / "v2-64px"
    for scene in scenes:
        forwards, backwards = (here / key for key in scene.keys)
        assert (probe(forwards).num_frames, probe(forwards).fps) == (40, 20.0)
        one, other = read_frames(forwards, range(40)), read_frames(backwards, range(40))
        assert np.array_equal(one, other[::-1])
        assert not np.array_equal(one, other), "order must matter"


def test_versions_are_built_apart(tmp_path):
    first = activities("1")[0]
    with pytest.raises(ValueError, match=r"expected scenes of one version, got 2 scenes of versions \['1', '2'\]"):
        build.build(tmp_path, [Scene(first, 1, "main", 0), Scene(ACTIVITIES[0], 1, "main", 0, "2")])


def test_load_builds_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path))
    few = scenes_of("mini", 1, "val")[:3]
    monkeypatch.setattr(_actionworld, "scenes_of", lambda *asked: few)
    clips = actionworld_v2.load(size="mini", part="val", size_px=32)
    assert [clip.label for clip in clips.clips] == [0, 1, 2, 3, 4, 5]
    assert all(c.path.is_file() and c.path.is_relative_to(tmp_path / "actionworld" / "v2-32px") for c in clips.clips)


# --- stills ---


def test_moments_are_of_one_scene_and_differ():
    drawn = world.moments(5, 4)
    assert len({sha(s.image.tobytes()) for s in drawn}) == 4
    constant = ("activity", "place", "who", "shirt", "bottom", "people")
    assert len({tuple(s.attributes[key] for key in constant) for s in drawn}) == 1
    again = world.moments(5, 4)
    assert all(np.array_equal(a.image, b.image) and a.caption == b.caption for a, b in zip(drawn, again, strict=True))
    assert np.array_equal(world.moments(5, 1)[0].image, world.still(5, version="2").image)
    assert not np.array_equal(drawn[0].image, world.moments(5, 4, fold=4)[0].image)


def test_a_still_knows_where_its_people_are_and_how_many():
    people = Counter()
    for seed in range(12):
        s, black = (world.still(seed, version="2", size_px=64, on_black=on_black) for on_black in (False, True))
        assert np.array_equal(s.figure, black.figure)
        assert 0.01 < (s.figure == 255).mean() < 0.7
        people[s.attributes["people"]] += 1
        assert (s.attributes["people"] == "two") == (s.attributes["kind"] == "interaction")
    assert set(people) == {"one", "two"}


# --- long videos ---


def test_long_videos_have_a_partner_in_interactions_only(monkeypatch):
    video, shown = Long(2, 3, "2"), []

    def render(take, performance, camera, **scenery):
        shown.append((len(take.t), performance.partner is not None))
        return np.zeros((len(take.t), 2, 2, 3), np.uint8)

    monkeypatch.setattr(long.render, "render", render)
    monkeypatch.setattr(long.render, "render_empty", lambda take, *_, **__: np.zeros((len(take.t), 2, 2, 3), np.uint8))
    monkeypatch.setattr(long, "shoot", lambda frames, *_: frames)
    assert sum(1 for _ in long.play(video)) == long.parts_of(video)[-1].end
    expected = sum(p.end - p.start for p in long.parts_of(video) if kinds("2").get(p.label) == "interaction")
    assert sum(number for number, two in shown if two) == expected > 0


def test_every_class_occurs_in_long_videos():
    counts = Counter(s[2] for fold in SPLITS for n in range(48) for s in long.segments_of(Long(fold, n, "2")))
    assert set(counts) == set(NAMES)
    assert max(counts.values()) < 3 * min(counts.values())
