"""ActionWorld keeps its promises: twins differ in time only, folds share nothing, every machine gets the same pixels.

After an intended change of the pixels (raise `world.VERSION` with it) or of the lists, store the new hashes with
`cd tests && python -c "import test_world; test_world.store_golden()"` and give the reason in the commit.
"""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from actionprompt import sampling, world
from actionprompt.datasets import actionworld
from actionprompt.video import probe, read_frames
from actionprompt.world import build, captions, scene
from actionprompt.world.actions import ACTIVITIES, CLASS_NAMES, CLASS_NAMES_ZH, KIND, PAIRS
from actionprompt.world.backgrounds import places
from actionprompt.world.build import Scene
from actionprompt.world.motion import Take

GOLDEN = Path(__file__).parent / "golden" / "actionworld.json"
REVERSIBLE = [activity for activity in ACTIVITIES if activity.kind == "reversible"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@cache
def golden_now() -> dict[str, dict[str, str]]:
    """Hashes of one rendering of every activity, of stills with their captions, and of the lists."""
    clips = {a.key: sha(build.play(Scene(a, 1, "main", 0)).tobytes()) for a in ACTIVITIES}
    stills = {}
    for seed in range(12):
        s = world.still(seed)
        stills[str(seed)] = sha(s.image.tobytes() + f"{s.caption}{s.caption_zh}{s.attributes}".encode())
    lists = {}
    for size in actionworld.SIZES:
        for split in actionworld.INFO.splits:
            for part in actionworld.INFO.parts:
                lists[f"{size}/{split}/{part}"] = names_only(size, split, part).sha256[:16]
    return {"clips": clips, "stills": stills, "lists": lists}


def store_golden() -> None:
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden_now(), indent=1) + "\n")


def names_only(size: str, split: int, part: str):
    """A list whose clips are not built."""
    return actionworld.load("nowhere", size=size, split=split, part=part, max_missing=None)


@cache
def scenes_of(size: str, split: int, part: str) -> list[Scene]:
    """The scene of each clip of a list."""
    numbers = range(actionworld.SIZES[size])
    every = [
        Scene(a, fold, role, n) for a in ACTIVITIES for fold in (1, 2, 3) for role in ("main", "bias") for n in numbers
    ]
    by_key = {key: s for s in every for key in s.keys}
    return [by_key[clip.key] for clip in names_only(size, split, part).clips]


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> Path:
    """One scene of every reversible activity, written as videos."""
    root = tmp_path_factory.mktemp("twins")
    return build.build(root, [Scene(activity, 2, "main", 0) for activity in REVERSIBLE])


# --- classes ---


def test_classes():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(set(CLASS_NAMES_ZH)) == 36
    assert Counter(KIND.values()) == {"reversible": 20, "cyclic": 10, "still": 6}
    assert len(PAIRS) == 10
    for name in CLASS_NAMES_ZH:
        assert all("\u4e00" <= letter <= "\u9fff" for letter in name)
        name.encode("gb2312")
    homes = Counter(a.home for a in ACTIVITIES for _ in a.names)
    assert homes == dict.fromkeys(places("1"), 4)


def test_base_and_novel_halves_have_the_same_kinds_and_keep_twins_together():
    base, novel = CLASS_NAMES[:18], CLASS_NAMES[18:]
    assert Counter(KIND[n] for n in base) == Counter(KIND[n] for n in novel)
    for first, second in PAIRS:
        assert (first in base) == (second in base)


# --- twins ---


@pytest.mark.parametrize("activity", REVERSIBLE, ids=lambda a: a.key)
def test_twins_decode_to_the_same_frames_in_opposite_order(twins, activity):
    forwards, backwards = (twins / key for key in Scene(activity, 2, "main", 0).keys)
    info = probe(forwards)
    assert (info.num_frames, info.fps, info.duration_s) == (40, 20.0, 2.0)
    a, b = read_frames(forwards, range(40)), read_frames(backwards, range(40))
    # Any order-free statistic is a function of this multiset.
    assert Counter(sha(f.tobytes()) for f in a) == Counter(sha(f.tobytes()) for f in b)
    assert np.array_equal(a, b[::-1])
    assert not np.array_equal(a, b), "order must matter"
    for num_samples in (8, 16, 32):
        index = sampling.segment(40, num_samples)[0]
        assert np.array_equal(a[index], b[index][::-1])


@pytest.mark.parametrize("activity", REVERSIBLE, ids=lambda a: a.key)
def test_time_has_a_direction(activity):
    """The motion is not a palindrome: played backwards, at least one joint is far from where it was."""
    poses = [perform(activity, seed).pose for seed in range(3)]
    for pose in poses:
        joints = np.stack(list(pose.joints.values()), axis=1)
        assert np.abs(joints - joints[::-1]).max() > 0.05


def perform(activity, seed: int, times=None):
    rng = np.random.default_rng(seed)
    times = np.arange(40) / 20 if times is None else times
    return activity.motion(Take(scene.sample_actor(seed), rng, times, ("left", "right")[seed % 2]))


@pytest.mark.parametrize("num_samples", [8, 16, 32])
def test_segment_centres_are_symmetric_under_time_reversal(num_samples):
    index = sampling.segment(build.NUM_FRAMES, num_samples)[0]
    assert np.array_equal(build.NUM_FRAMES - 1 - index, index[::-1])


def test_a_frame_number_has_no_fixed_phase():
    """The middle frame of a reversible clip shows different phases from clip to clip."""
    for key in ("sit", "open_door", "lie_down"):
        activity = next(a for a in ACTIVITIES if a.key == key)
        states = {perform(activity, seed).state[k] for seed in range(12) for k in (14, 25)}
        assert len(states) > 1, key


# --- motions and captions ---


@pytest.mark.parametrize("activity", ACTIVITIES, ids=lambda a: a.key)
def test_bodies_hold_together(activity):
    for seed in range(6):
        performance, actor = perform(activity, seed), scene.sample_actor(seed)
        joint = performance.pose.joints
        assert all(np.isfinite(track).all() for track in joint.values())
        for side in ("left", "right"):
            bones = ("shoulder", "elbow", "upper_arm"), ("elbow", "hand", "forearm")
            bones += ("hip", "knee", "thigh"), ("knee", "ankle", "shin")
            for a, b, length in bones:
                found = np.linalg.norm(joint[f"{side}_{a}"] - joint[f"{side}_{b}"], axis=1)
                assert np.allclose(found, getattr(actor, length), atol=1e-6), (a, b)
        lowest = min(track[:, 1].min() for track in joint.values())
        assert lowest > -0.03, "through the floor"
        assert set(performance.state) <= set(captions.STATES)


@pytest.mark.parametrize("activity", ACTIVITIES, ids=lambda a: a.key)
def test_motion_is_continuous(activity):
    """No joint jumps: in a twentieth of a second, at most 0.18 body heights, or 0.35 for the fast kicks and runs."""
    limit = 0.35 if activity.kind == "cyclic" else 0.18
    for seed in range(6):
        for name, track in perform(activity, seed).pose.joints.items():
            step = np.linalg.norm(np.diff(track, axis=0), axis=1).max()
            assert step < limit, (name, step)


def test_every_pose_name_occurs_and_every_class_is_described():
    seen = {state for a in ACTIVITIES for seed in range(8) for state in perform(a, seed).state}
    seen |= {state for seed in range(40) for state in perform(ACTIVITIES[1], seed).state}
    assert seen == set(captions.STATES)
    english = " ".join(p for phrases, _ in captions.STATES.values() for p in phrases)
    chinese = " ".join(p for _, phrases in captions.STATES.values() for p in phrases)
    assert [n for n in CLASS_NAMES if n not in english] == []
    assert [n for n in CLASS_NAMES_ZH if n not in chinese] == []


def test_captions_never_tell_the_direction_of_time():
    rng = np.random.default_rng(0)
    both = 0
    for state in captions.STATES:
        for _ in range(60):
            actor = scene.sample_actor(int(rng.integers(400)))
            for text, pairs in zip(
                captions.caption(rng, actor=actor, state=state, place="park"),
                (PAIRS, [a.names_zh for a in REVERSIBLE]),
                strict=True,
            ):
                for first, second in pairs:
                    assert (first in text) == (second in text), text
                    both += first in text
    assert both > 100


def test_caption_and_attributes_agree():
    for seed in range(60):
        s = world.still(seed, size_px=32)
        said = [c for c in scene.SHIRTS if f"{c} shirt" in s.caption]
        assert said in ([], [s.attributes["shirt"]])
        said_zh = [zh for _, zh in scene.SHIRTS.values() if f"{zh}上衣" in s.caption_zh]
        assert said_zh in ([], [scene.SHIRTS[s.attributes["shirt"]][1]])
        assert bool(said) == bool(said_zh)
        assert (captions.PLACES[s.attributes["place"]][0] in s.caption) == any(
            where in s.caption for where, _ in captions.PLACES.values()
        )


def test_stills_on_black_show_the_same_figure_without_the_background():
    for seed in range(8):
        s, black = world.still(seed), world.still(seed, on_black=True)
        assert black.attributes == s.attributes
        assert black.caption == s.caption
        empty = black.image.max(-1) == 0
        assert 0.3 < empty.mean() < 0.98
        same = (black.image == s.image).all(-1)
        assert same[~empty].mean() > 0.6, "the inside of the figure"  # its anti-aliased edges differ


def test_stills_are_reproducible_at_any_size():
    a, b = world.still(7), world.still(np.random.default_rng([7, 5]))
    assert np.array_equal(a.image, b.image)
    assert a.attributes == b.attributes
    assert world.still(7, size_px=64).image.shape == (64, 64, 3)
    assert world.still(7, size_px=224).caption == a.caption
    assert not np.array_equal(a.image, world.still(7, fold=4).image)


# --- lists ---


@pytest.mark.parametrize("split", [1, 2, 3])
def test_parts_share_no_actor_and_no_background_and_keep_twins_together(split):
    def used(part: str) -> tuple[set[int], set[int]]:
        drawn = [build.cast(s) for s in scenes_of("small", split, part)]
        return {actor for _, actor, _, _ in drawn}, {background for *_, background in drawn}

    train, test, bias = (used(part) for part in actionworld.INFO.parts)
    for held_out in (test, bias):
        assert not train[0] & held_out[0]
        assert not train[1] & held_out[1]
    for part in actionworld.INFO.parts:
        clips = names_only("small", split, part)
        counts = Counter(clip.label for clip in clips.clips)
        assert counts == dict.fromkeys(range(36), 20 if part == "train" else 10)
        keys = {clip.key for clip in clips.clips}
        for first, second in PAIRS:
            for key in keys:
                if f"/{first.replace(' ', '_')}/" in key:
                    assert key.replace(first.replace(" ", "_"), second.replace(" ", "_")) in keys


def test_a_smaller_size_is_the_beginning_of_a_larger_one():
    for part in actionworld.INFO.parts:
        mini, small = ({c.key for c in names_only(size, 1, part).clips} for size in ("mini", "small"))
        assert mini < small


def test_what_the_place_alone_tells():
    """The best classifier that sees only the place, trained on `train`: 18.75 % in `test`, 0 % in `scene_bias`."""
    correct = {}
    for part in actionworld.INFO.parts:
        found = scenes_of("full", 1, part)
        at_home = [build.cast(s)[2] == s.activity.home for s in found]
        correct[part] = np.mean(at_home) / 4  # a place is home to four classes, equally frequent
        if part != "scene_bias":
            assert np.mean(at_home) == pytest.approx(0.75, abs=0.005)
            away = Counter(build.cast(s)[2] for s, home in zip(found, at_home, strict=True) if not home)
            assert set(away) == set(places("1"))
    assert correct["test"] == pytest.approx(0.1875, abs=0.002)
    assert correct["scene_bias"] == 0.0


def test_actors_do_not_tell_the_class():
    """Every actor of a fold appears in many classes."""
    classes: dict[int, set[str]] = {}
    for s in scenes_of("full", 1, "train"):
        classes.setdefault(build.cast(s)[1], set()).add(s.activity.key)
    assert len(classes) == 120
    assert min(len(keys) for keys in classes.values()) > 8


# --- golden ---


@pytest.mark.parametrize("what", ["clips", "stills", "lists"])
def test_golden(what):
    stored = json.loads(GOLDEN.read_text())[what]
    assert golden_now()[what] == stored


# --- building ---


def a_few() -> list[Scene]:
    return [Scene(a, 1, "main", 0) for a in ACTIVITIES[:4]]


def entries(here: Path) -> set[str]:
    return set((here / "manifest.tsv").read_text().split("\n")) - {""}


def test_two_builds_are_identical_byte_for_byte(tmp_path):
    one = build.build(tmp_path / "one", a_few(), size_px=64)
    two = build.build(tmp_path / "two", a_few(), size_px=64, workers=2)
    assert entries(one) == entries(two)
    keys = [key for s in a_few() for key in s.keys]
    assert [(one / k).read_bytes() for k in keys] == [(two / k).read_bytes() for k in keys]
    manifest = build.read_manifest(one / "manifest.tsv")
    frames = build.play(a_few()[0], size_px=64)
    assert manifest[keys[0]].frames_sha256 == hashlib.sha256(frames.tobytes()).hexdigest()
    assert manifest[keys[1]].frames_sha256 == hashlib.sha256(frames[::-1].tobytes()).hexdigest()


def test_an_interrupted_build_is_resumed(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.build(tmp_path, a_few(), size_px=64, progress=stop)
    here = build.folder(tmp_path, 64)
    kept = {path: path.stat().st_mtime_ns for path in here.rglob("*.mp4")}
    with open(here / "manifest.tsv", "a") as manifest:
        manifest.write("fold1/main/opening_a_door/000.mp4\t0123")  # killed while this was written
    told = []
    build.build(tmp_path, a_few(), size_px=64, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    whole = build.build(tmp_path / "whole", a_few(), size_px=64)
    assert build.read_manifest(here / "manifest.tsv") == build.read_manifest(whole / "manifest.tsv")
    assert not list(here.rglob(".*")), "no draft is left"


def test_a_changed_clip_is_refused_and_a_deleted_one_built_again(tmp_path):
    here = build.build(tmp_path, a_few()[:1], size_px=64)
    path = here / a_few()[0].keys[1]
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"?")
    with pytest.raises(ValueError, match=r"standing_up.000.mp4: expected SHA-256 .* the file was changed, delete it"):
        build.build(tmp_path, a_few()[:1], size_px=64)
    path.unlink()
    build.build(tmp_path, a_few()[:1], size_px=64)
    assert path.read_bytes() == right


def test_a_folder_of_another_program_is_refused(tmp_path):
    here = build.build(tmp_path, a_few()[:1], size_px=64)
    manifest = here / "manifest.tsv"
    entry = next(iter(build.read_manifest(manifest).values()))
    manifest.write_text(manifest.read_text().replace(entry.frames_sha256, "0" * 64))
    (here / entry.key).unlink()
    with pytest.raises(ValueError, match="built by another program, choose another root"):
        build.build(tmp_path, a_few()[:1], size_px=64)


def test_load_builds_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path))
    monkeypatch.setitem(actionworld.SIZES, "mini", 1)
    told = []
    clips = actionworld.load(size="mini", part="test", size_px=32, progress=lambda *a: told.append(a))
    assert clips.name == "actionworld-mini/split1/test"
    assert len(clips.clips) == 36
    assert told[-1] == (26, 26)
    assert all(c.path.is_relative_to(tmp_path / "actionworld" / "v1-32px") for c in clips.clips)
    assert [c.label for c in clips.clips] == list(range(36))
    assert probe(clips.clips[0].path).height_px == 32
    again = actionworld.load(size="mini", part="test", size_px=32, max_missing=10)
    assert again.clips == clips.clips
    clips.clips[5].path.unlink()
    assert actionworld.load(size="mini", part="test", size_px=32, max_missing=1).missing == (clips.clips[5].key,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": 4}, "expected split 1, 2 or 3, got 4"),
        ({"part": "val"}, "expected part train, test, scene_bias, got 'val'"),
        ({"size": "huge"}, "expected size mini, small, full, got 'huge'"),
        ({"size_px": 111}, "expected an even frame size of 16 px or more, got 111"),
        ({"max_missing": 3}, r"720 of 720 train clips are not in .*; max_missing=0 builds them"),
    ],
)
def test_wrong_arguments(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        actionworld.load(tmp_path, **wrong)


def test_no_torch():
    code = "import sys; import actionprompt.datasets.actionworld, actionprompt.world; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
