"""Long videos of ActionWorld: what happens is known in frames, and cuts do not tell.

After an intended change of the pixels (raise `world.VERSION` with it), store the new hashes with
`cd tests && python -c "import test_long; test_long.store_golden()"` and give the reason in the commit.
"""

import csv
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from actionprompt.datasets import actionworld, actionworld_v2
from actionprompt.video import probe, read_frames
from actionprompt.world import build, long
from actionprompt.world.actions import ACTIVITIES, CLASS_NAMES, KIND, PAIRS
from actionprompt.world.build import FPS
from actionprompt.world.long import Long
from actionprompt.world.motion import DURATION_S, Performance, Take
from actionprompt.world.scene import Camera, pool, sample_actor, sample_camera

GOLDEN = Path(__file__).parent / "golden" / "long.json"
VIDEOS = [Long(fold, number) for fold in (1, 2, 3) for number in range(48)]


def golden_now() -> dict[str, str]:
    """Hashes of the annotation of every video, and of the frames of one per fold."""
    found = {str(video.keys[1]): repr(long.segments_of(video)) for video in VIDEOS}
    hashes = {"segments": hashlib.sha256(json.dumps(found).encode()).hexdigest()}
    for fold in (1, 2, 3):
        digest = hashlib.sha256()
        for frame in long.play(Long(fold, 0), size_px=48):
            digest.update(frame.tobytes())
        hashes[f"frames of fold {fold}"] = digest.hexdigest()
    return hashes


def store_golden() -> None:
    GOLDEN.write_text(json.dumps(golden_now(), indent=1) + "\n")


def test_golden():
    assert golden_now() == json.loads(GOLDEN.read_text())


# --- what happens when ---


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_videos_last_a_minute_and_parts_last_what_is_said(fold):
    for video in VIDEOS:
        parts = long.parts_of(video)
        assert parts[0].start == 0
        assert all(a.end == b.start for a, b in pairwise(parts))
        assert 60 * FPS <= parts[-1].end < 71 * FPS
        for part in parts:
            seconds = (part.end - part.start) / FPS
            low, high = long.PAUSE_S if part.label is None else long.ACTION_S
            assert low - 0.03 <= seconds <= high + 0.03
            if KIND.get(part.label) == "reversible" and "walking" not in part.label:
                assert seconds <= 4.03
        assert not any(a.label is None and b.label is None for a, b in pairwise(parts))
        actions = [part.label for part in parts if part.label is not None]
        assert all(a != b for a, b in pairwise(actions))


def test_every_class_occurs_and_pauses_are_of_both_kinds():
    parts = [part for video in VIDEOS for part in long.parts_of(video)]
    counts = Counter(part.label for part in parts if part.label is not None)
    assert set(counts) == set(CLASS_NAMES)
    assert max(counts.values()) < 3 * min(counts.values())
    empty = [part.empty for part in parts if part.label is None]
    assert 0.4 < np.mean(empty) < 0.6
    assert 0.6 < len(empty) / sum(counts.values()) < 0.9
    for first, second in PAIRS:
        assert counts[first] > 0 < counts[second]


def test_videos_differ():
    assert len({long.segments_of(video) for video in VIDEOS}) == len(VIDEOS)


@dataclass
class Shot:
    """What was to be drawn: nothing is."""

    camera: Camera
    scenery: tuple
    performance: Performance | None
    """None: nobody is there."""
    times: np.ndarray
    """Of the motion."""


@pytest.fixture
def shots(monkeypatch):
    """Plays a video without drawing, and gives its shots."""
    takes: list[Take] = []
    found: list[Shot] = []

    def take(*args):
        takes.append(Take(*args))
        return takes[-1]

    def render(clock, performance, camera, *, place, background, size_px):
        motion = takes[-2]  # the last one is the camera's clock
        assert takes[-1] is clock
        assert len(motion.t) == len(clock.t)
        scenery = (clock.actor.id, clock.near, place, background, camera.flip, camera.light)
        found.append(Shot(camera, scenery, performance, motion.t))
        return np.zeros((len(clock.t), 1, 1, 3), np.uint8)

    monkeypatch.setattr(long, "Take", take)
    monkeypatch.setattr(long.render, "render", render)
    monkeypatch.setattr(
        long.render, "render_empty", lambda clock, camera, **scenery: render(clock, None, camera, **scenery)
    )

    def play(video: Long, *, first: bool = False) -> list[Shot]:
        found.clear()
        if first:
            next(long.play(video))
            return list(found)
        frames = sum(1 for _ in long.play(video))
        assert frames == sum(len(shot.times) for shot in found) == long.parts_of(video)[-1].end
        return list(found)

    return play


STATES = {
    activity.key: {
        state
        for seed in range(30)
        for state in activity.motion(
            Take(sample_actor(seed), np.random.default_rng(seed), np.linspace(0, 2, 60), "left")
        ).state
    }
    for activity in ACTIVITIES
}


def test_frames_show_what_the_annotation_says(shots):
    for video in VIDEOS[::12]:
        parts = iter(long.parts_of(video))
        part, at = next(parts), 0
        for shot in shots(video):
            if at == part.end:
                part = next(parts)
            assert part.start <= at < at + len(shot.times) <= part.end, "a shot is of one part"
            at += len(shot.times)
            assert (shot.performance is None) == part.empty
            if part.label is not None:
                (activity,) = (a for a in ACTIVITIES if part.label in a.names)
                assert set(shot.performance.state) <= STATES[activity.key]
            elif not part.empty:
                assert set(shot.performance.state) == {"standing"}


@pytest.mark.slow
def test_an_action_is_done_once_and_the_second_of_a_pair_backwards(shots):
    seen = set()
    for video in VIDEOS[::6]:
        drawn = shots(video)
        for part in long.parts_of(video):
            times = np.zeros(0)
            while len(times) < part.end - part.start:
                times = np.concatenate([times, drawn.pop(0).times])
            if part.label is None:
                continue
            (activity,) = (a for a in ACTIVITIES if part.label in a.names)
            seen.add(part.label)
            if part.label == activity.names[-1] != activity.names[0]:
                times = times[::-1]
            steps = np.diff(times)
            assert (steps >= 0).all()
            if activity.kind == "reversible" and activity.key != "walk":
                assert (times[0], times[-1]) == (0.0, pytest.approx(DURATION_S, abs=0.08))
                moving = steps[(steps > 0)][1:-1]
                assert np.ptp(moving) < 1e-9, "at an even pace"
                assert 1 / FPS / 1.45 < moving[0] <= 1 / FPS + 1e-9
                assert max((times == 0).sum(), (times == DURATION_S).sum()) / FPS <= long.MOST_HOLD_S + 0.11
            else:
                assert steps == pytest.approx(1 / FPS)
    assert seen == set(CLASS_NAMES)


@pytest.mark.slow
def test_a_cut_is_no_proof_of_a_boundary(shots):
    boundaries = cuts = 0
    for video in VIDEOS[::12]:
        drawn = shots(video)
        assert len({shot.scenery for shot in drawn}) == 1, "one actor, place, light for the whole video"
        assert len({shot.camera for shot in drawn}) == len(drawn), "every cut changes the camera"
        assert all(len(shot.times) >= long.LEAST_SHOT_S * FPS for shot in drawn)
        boundaries += len(long.parts_of(video)) - 1
        cuts += len(drawn) - 1
    assert 0.55 < boundaries / cuts < 0.75


@pytest.mark.slow
def test_the_place_does_not_tell_the_action(shots):
    """A place is the home of four of 36 classes."""
    homes = {name: a.home for a in ACTIVITIES for name in a.names}
    at_home, places = [], Counter()
    for video in VIDEOS:
        actor, _, place, background, *_ = shots(video, first=True)[0].scenery
        actors, backgrounds = pool(video.fold)
        assert actor in actors
        assert background in backgrounds
        places[place] += 1
        at_home += [homes[label] == place for _, _, label in long.segments_of(video)]
    assert 0.07 < np.mean(at_home) < 0.16
    assert len(places) == 9


# --- pixels ---


def test_an_empty_pause_shows_what_is_behind_the_actor():
    """The background without the actor is the background with one, wherever the actor is not."""
    rng = np.random.default_rng(0)
    camera = sample_camera(rng, (0.0, 90.0), mirrored=False)
    take = Take(sample_actor(1001), rng, np.arange(20) / FPS, "left")
    empty = np.stack(list(long.render.render_empty(take, camera, place="park", background=1001, size_px=64)))
    idle = long.render.render(take, long.idle(take), camera, place="park", background=1001, size_px=64)
    same = (empty == idle).all(-1).mean()
    assert 0.7 < same < 0.97
    assert (empty[:, :, :4] == idle[:, :, :4]).all(), "at the side, where nobody is"


def test_somebody_who_stands_breathes():
    take = Take(sample_actor(3), np.random.default_rng(0), np.arange(100) / FPS, "left")
    joints = np.stack(list(long.idle(take).pose.joints.values()), axis=1)
    moved = np.ptp(joints, axis=0).max()
    assert 0.002 < moved < 0.05
    assert joints[..., 1].min() > -0.03


# --- building ---


def test_two_builds_are_identical_and_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(long, "MIN_S", 6.0)
    videos = [Long(1, 0), Long(3, 1)]
    one = long.build_long(tmp_path / "one", videos, size_px=32)
    two = long.build_long(tmp_path / "two", videos[:1], size_px=32)
    kept = (two / videos[0].keys[0]).stat().st_mtime_ns
    told = []
    long.build_long(tmp_path / "two", videos, size_px=32, progress=lambda *done: told.append(done))
    assert told == [(1, 1)]
    assert (two / videos[0].keys[0]).stat().st_mtime_ns == kept
    keys = [key for video in videos for key in video.keys]
    assert [(one / key).read_bytes() for key in keys] == [(two / key).read_bytes() for key in keys]
    assert build.read_manifest(one / "manifest.tsv") == build.read_manifest(two / "manifest.tsv")
    assert set(build.read_manifest(one / "manifest.tsv")) == set(keys)
    assert not list(two.rglob(".*")), "no draft is left"


@pytest.mark.parametrize("kind", [0, 1], ids=["video", "annotation"])
def test_a_changed_file_is_refused_and_a_deleted_one_built_again(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(long, "MIN_S", 3.0)
    here = long.build_long(tmp_path, [Long(1, 0)], size_px=32)
    path = here / Long(1, 0).keys[kind]
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"?")
    with pytest.raises(ValueError, match="the file was changed, delete it and it will be built again"):
        long.build_long(tmp_path, [Long(1, 0)], size_px=32)
    path.unlink()
    long.build_long(tmp_path, [Long(1, 0)], size_px=32)
    assert path.read_bytes() == right


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("long")


def test_videos_and_annotations_agree(built):
    videos = actionworld.long(built, split=2, part="test", size="mini", size_px=32)
    assert [video.path.relative_to(built).as_posix() for video in videos] == [
        f"v1-32px/fold2/long/00{number}.mp4" for number in range(2)
    ]
    for video in videos:
        info = probe(video.path)
        assert (info.fps, info.duration_s) == (20.0, pytest.approx(video.duration_s))
        assert info.num_frames == round(20 * video.duration_s)
        rows = list(csv.DictReader(video.path.with_suffix(".csv").read_text().splitlines()))
        assert [(float(r["start_s"]), float(r["end_s"]), r["label"]) for r in rows] == list(video.segments)
        for start_s, end_s, label in video.segments:
            assert label in CLASS_NAMES
            assert [20 * s == pytest.approx(round(20 * s)) for s in (start_s, end_s)] == [True, True]
    frames = np.stack(list(long.play(Long(2, 0), size_px=32)))
    stored = read_frames(videos[0].path, range(len(frames)))
    assert np.abs(stored.astype(int) - frames).mean() < 8


def test_val_is_of_a_fold_that_the_split_trains_on(built):
    for split, fold in ((1, 2), (2, 3), (3, 1)):
        (video,) = actionworld.long(built, split=split, part="val", size="mini", size_px=32)
        assert f"fold{fold}" in video.path.parts
        train = actionworld.load(built, split=split, size="mini", size_px=32, max_missing=None)
        assert any(clip.key.startswith(f"fold{fold}/") for clip in train.clips)
        test = actionworld.load(built, split=split, part="test", size="mini", size_px=32, max_missing=None)
        assert not any(clip.key.startswith(f"fold{fold}/") for clip in test.clips)


def test_val_of_version_2_has_the_people_of_val(built):
    for split in (1, 2, 3):
        (video,) = actionworld_v2.long(built, split=split, part="val", size="mini", size_px=32)
        (fold,) = (part for part in video.path.parts if part.startswith("fold"))
        for part, shared in (("train", False), ("test", False), ("val", True)):
            clips = actionworld_v2.load(built, split=split, part=part, size="mini", size_px=32, max_missing=None).clips
            assert any(clip.key.startswith(f"{fold}/") for clip in clips) == shared


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"part": "train"}, "ActionWorld long: expected part val, test, got 'train'"),
        ({"split": 4}, "expected split 1, 2 or 3, got 4"),
        ({"size": "huge"}, "expected size mini, small, full, got 'huge'"),
        ({"size_px": 111}, "expected an even frame size of 16 px or more, got 111"),
    ],
)
def test_wrong_arguments(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        actionworld.long(tmp_path, **wrong)
