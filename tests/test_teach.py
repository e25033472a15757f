"""Teaching: the whole flow on real files, what is held out, the threshold by brute force, and the refusals."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actionprompt import methods, prediction, timeline
from actionprompt.apps import teach
from actionprompt.apps.teach import held_out
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig
from actionprompt.video import write_video
from actionprompt.weights import TINY_WARNING, load_clip

QUICK = replace(teach.TRAIN, epochs=15, lr=1e-2, warmup_epochs=1.0, num_workers=0)
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, list]:
    """Five H.264 clips for each of three classes told apart by colour."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    made: dict[str, list] = {name: [] for name in COLOURS}
    for channel, name in enumerate(COLOURS):
        for index in range(5):
            frames = rng.integers(0, 20, (10, 40, 56, 3), dtype=np.uint8)
            frames[..., channel] += 200
            made[name].append(folder / f"{name}{index}.mp4")
            write_video(made[name][-1], frames, fps=10)
    return made


def red_and_grey(folder) -> Path:
    """Ten seconds of red, six of grey, which was not taught, and four of red."""
    frames = np.random.default_rng(1).integers(0, 20, (200, 40, 56, 3), dtype=np.uint8)
    frames[:100, ..., 0] += 200
    frames[100:160] += 100
    frames[160:, ..., 0] += 200
    path = folder / "red_and_grey.mp4"
    write_video(path, frames, fps=10)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def run(clips, out, **options):
    return teach.teach(clips, out, backbone="random:nano", config=QUICK, device="cpu", **options)


def manifest_of(folder) -> dict:
    return json.loads((folder / "mine" / "model" / "manifest.json").read_text())


def test_from_clips_to_predictions(films, tmp_path):
    steps, encoded = [], []
    few = {name: paths[:3] for name, paths in films.items()}
    taught = run(few, tmp_path / "mine", on_step=lambda *s: steps.append(s), on_encode=lambda *s: encoded.append(s))
    assert taught.num_clips == {"red": 3, "green": 3, "blue": 3}
    assert taught.warnings == ()
    assert encoded[-1] == (9, 9)
    assert steps == [(i + 1, 7 * 15) for i in range(7 * 15)], "three folds of two sizes, and the model itself"
    none = taught.none_of_these
    assert (none.num_clips, none.num_unknown) == (9, 9)
    assert taught.held_out.top1 == manifest_of(tmp_path)["held_out_top1"] == 100
    assert taught.held_out.confusion == ((3, 0, 0), (0, 3, 0), (0, 0, 3))
    assert taught.held_out.chance == pytest.approx(100 / 3)
    assert [(point.clips_per_class, point.num_clips) for point in taught.curve] == [(1, 9), (2, 9)]
    assert 1 / 3 < none.below < 1
    manifest = manifest_of(tmp_path)
    assert manifest["none_of_these"]["below"] == none.below
    assert manifest["data"]["fit"] == "letterbox"

    predictor = prediction.load(tmp_path / "mine", device="cpu")
    unseen = [(name, path) for name, paths in films.items() for path in paths[3:]]
    answers = [answer for _, answer in predictor.predict_all([path for _, path in unseen], num_workers=0)]
    assert [answer.label for answer in answers] == [name for name, _ in unseen]
    assert [answer.none_of_these for answer in answers] == [answer.score < none.below for answer in answers]
    assert sum(answer.none_of_these for answer in answers) <= 1, "the classes themselves are known"
    for asked in (None, False):  # the model gives the probability of none of these, or the timeline does
        loaded = prediction.load(tmp_path / "mine", device="cpu", none=asked)
        segments = timeline(loaded, red_and_grey(tmp_path)).segments
        assert [segment.label for segment in segments] == ["red", None, "red"]
        assert [segment.end_s for segment in segments] == pytest.approx([10, 16, 20], abs=1)
    predictor.none_below = answers[0].score + 1e-6
    assert predictor.predict(unseen[0][1]).none_of_these
    predictor.set_classes(["red", "blue", "yellow"])
    assert predictor.none_below is None, "the threshold was chosen for other names"
    assert prediction.load(tmp_path / "mine", class_names=["red", "blue"]).none_below is None
    with pytest.raises(ValueError, match="mine already contains a model; choose another folder, or delete it"):
        run(few, tmp_path / "mine")


def test_too_few_clips_are_said(films, tmp_path):
    few = {"red": films["red"][:1], "green": films["green"][:2], "blue": films["blue"][:3]}
    taught = run(few, tmp_path / "few")
    assert taught.warnings == (
        "red: 1 clip is too few; give 3 or more, better 5",
        "green: 2 clips are too few; give 3 or more, better 5",
        'no rejection threshold ("none of these"): it needs three classes with 3 clips or more each',
    )
    assert taught.none_of_these is None
    assert prediction.load(tmp_path / "few").none_below is None
    assert taught.held_out.num_clips == 5, "the only clip of a class is never held out"
    two = run({name: films[name][:3] for name in ("red", "blue")}, tmp_path / "two")
    assert len(two.warnings) == 1, "with two classes, striking off one name leaves nothing to choose from"
    assert two.held_out.num_clips == 6


def test_two_classes_of_two_clips_leave_one_out_and_of_one_clip_nothing(films, tmp_path):
    two = run({name: films[name][:2] for name in ("red", "blue")}, tmp_path / "two")
    assert (two.held_out.num_clips, two.held_out.chance) == (4, 50)
    assert two.held_out.interval[0] < two.held_out.top1 <= two.held_out.interval[1]
    assert len(two.curve) == 1
    assert two.advice == "how many more clips would help is seen from three clips per class on"
    one = run({name: films[name][:1] for name in ("red", "blue")}, tmp_path / "mine")
    assert (one.held_out, one.curve, one.advice) == (None, (), None)
    assert "no class has two clips, so none can be held out: how well they are recognised is not known" in one.warnings
    manifest = manifest_of(tmp_path)
    assert "none_of_these" in manifest
    assert manifest["none_of_these"] is None, "so that every prediction can say it"
    assert prediction.load(tmp_path / "mine", device="cpu").warnings([])


@pytest.mark.parametrize("counts", [(3, 3, 3), (5, 5, 5), (3, 5, 9), (16, 3, 4), (1, 2, 5), (2, 2), (1, 1)])
def test_every_clip_is_held_out_once_and_its_class_keeps_others(films, counts):
    clips = listed(counts)
    folds = held_out.folds_of(clips, [clip.key for clip in clips.clips])
    for label, number in enumerate(counts):
        own = Counter(fold for clip, fold in zip(clips.clips, folds, strict=True) if clip.label == label)
        assert sum(own.values()) == number
        if number == 1:
            assert own == {-1: 1}, "nothing would be left to learn it from"
        else:
            assert max(own.values()) <= -(-number // held_out.MAX_FOLDS) or number == 2
            assert number - max(own.values()) >= 1
    plan = held_out.plan(clips, folds)
    for point in plan:
        tested = sorted(index for _, own in point for index in own)
        assert tested == [index for index, fold in enumerate(folds) if fold >= 0], "each once, at every point"
        assert not any(set(others) & set(own) for others, own in point)
    half = {(3, 3, 3): 1, (5, 5, 5): 1, (3, 5, 9): 3, (16, 3, 4): 5, (1, 2, 5): 1}
    for point in plan[:-1]:
        for others, own in point:
            for label, number in enumerate(counts):
                there = sum(clips.clips[index].label == label for index in others)
                left = number - sum(clips.clips[index].label == label for index in own)
                assert there == min(half[counts], left)
    assert len(plan) == (0 if counts == (1, 1) else 1 if counts == (2, 2) else 2)


@pytest.mark.parametrize("seed", range(40))
def test_clips_of_one_source_are_held_out_together_and_every_class_keeps_others(seed):
    rng = np.random.default_rng(seed)
    clips = listed(rng.integers(1, 9, rng.integers(2, 4)).tolist())
    sources = [f"{number}.mp4" for number in rng.integers(0, rng.integers(2, 9), len(clips.clips))]
    folds = held_out.folds_of(clips, sources)
    own = [
        {source for clip, source in zip(clips.clips, sources, strict=True) if clip.label == label}
        for label in range(len(clips.class_names))
    ]
    assert held_out.of_one_source(clips, sources) == {label for label, names in enumerate(own) if len(names) == 1}
    several = [
        (source, fold)
        for clip, source, fold in zip(clips.clips, sources, folds, strict=True)
        if len(own[clip.label]) > 1
    ]
    assert all(fold == dict(several)[source] for source, fold in several)
    for fold in set(folds) - {-1}:
        left = {clip.label for clip, there in zip(clips.clips, folds, strict=True) if there != fold}
        assert left == set(range(len(clips.class_names))), "every class is learned by every model"


def listed(counts) -> ClipList:
    made = [Clip(f"{k}/{i}", Path(f"{k}/{i}"), k) for k, n in enumerate(counts) for i in range(n)]
    return ClipList("x", tuple(made), COLOURS[: len(counts)])


def test_nothing_held_out_is_trained_on(films, tmp_path, monkeypatch):
    trained, scored = [], []
    real_fit, real_scores = teach.train, held_out.held_out_scores

    def fit(method, clips, folder, **options):
        trained.append({clip.path for clip in clips.clips})
        assert len(options["stored"].features) == len(clips.clips)
        if len(clips.clips) == 9:
            real_fit(method, clips, folder, **options)

    def scores(method, features, labels, config, background, **options):
        scored.append((features, labels))
        return real_scores(method, features, labels, config, background, **options)

    monkeypatch.setattr(teach, "train", fit)
    monkeypatch.setattr(held_out, "held_out_scores", scores)
    few = {name: paths[:3] for name, paths in films.items()}
    run(few, tmp_path / "mine")
    everything = {path for paths in few.values() for path in paths}
    assert [len(keys) for keys in trained] == [3, 3, 3, 6, 6, 6, 9]
    assert [len(labels) for _, labels in scored] == [3] * 6
    assert all(labels.tolist() == [0, 1, 2] for _, labels in scored)
    left = [everything - keys for keys in trained[3:6]]
    assert set.union(*left) == everything
    assert sum(map(len, left)) == 9
    rows = torch.cat([features for features, _ in scored[3:]])
    assert len(rows.flatten(1).unique(dim=0)) == 9, "every clip's own features are scored, once"


def test_scores_of_held_out_clips_by_loops():
    method = methods.build("seeing_in_flowing", load_clip("random:nano"), ("sit", "run", "wave", "clap")).eval()
    x = torch.randn(5, 2, 8, 16, generator=torch.Generator().manual_seed(0))  # two views
    labels = torch.tensor([0, 3, 3, 1, 0])
    found = held_out.held_out_scores(method, x, labels, DataConfig())
    known, unknown, right = found.known, found.unknown, found.answer == labels
    assert method.class_names == ("sit", "run", "wave", "clap"), "the names come back"
    names = method.class_names
    with torch.no_grad():
        for i, label in enumerate(labels.tolist()):
            p = torch.stack([method.head(x[i, v : v + 1])[0].softmax(0) for v in range(2)]).mean(0)
            torch.testing.assert_close(known[i], p.max())
            assert bool(right[i]) == (int(p.argmax()) == label)
        for i, label in enumerate(labels.tolist()):
            method.set_classes([name for k, name in enumerate(names) if k != label])
            p = torch.stack([method.head(x[i, v : v + 1])[0].softmax(0) for v in range(2)]).mean(0)
            assert len(p) == 3
            torch.testing.assert_close(unknown[i], p.max())


def test_the_threshold_is_the_best_there_is():
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(30, generator=generator) * 0.6 + 0.4
    unknown = torch.rand(30, generator=generator) * 0.7
    right = torch.rand(30, generator=generator) < 0.8
    choice = held_out.choose(known, unknown, right)
    assert choice.num_clips == int(right.sum())
    assert choice.kept == pytest.approx(sum(k >= choice.below for k in known[right].tolist()) / int(right.sum()))
    assert choice.rejected == pytest.approx(sum(u < choice.below for u in unknown.tolist()) / 30)
    for below in torch.linspace(0, 1, 1001).tolist():
        kept = float((known[right] >= below).float().mean())
        rejected = float((unknown < below).float().mean())
        assert kept + rejected <= choice.kept + choice.rejected + 1e-6


def test_no_threshold_where_none_helps():
    low, high = torch.full((6,), 0.3), torch.full((6,), 0.9)
    yes = torch.ones(6, dtype=torch.bool)
    assert held_out.choose(low, high, yes) is None, "unknown clips score higher: every threshold would do harm"
    assert held_out.choose(high, high, yes) is None
    assert held_out.choose(high, low, ~yes) is None, "nothing was recognised"
    assert held_out.choose(high, low, yes).below == pytest.approx(0.6)


def test_arguments_of_the_verb():
    assert teach.parse(["wave=a.mp4,b.mp4", "sit down = c d.mp4 ", "wave=e.mp4"]) == {
        "wave": ("a.mp4", "b.mp4", "e.mp4"),
        "sit down": ("c d.mp4",),
    }
    for bad in ("wave", "=a.mp4", "wave=", "wave=,", " = "):
        with pytest.raises(ValueError, match=rf"expected NAME=clip1.mp4,clip2.mp4,... .*, got '{bad}'"):
            teach.parse(["sit=a.mp4", bad])


@pytest.mark.parametrize("given", ["a.mp4,,b.mp4", ",a.mp4", "a.mp4,", "a.mp4, ,b.mp4"])
def test_nothing_next_to_a_comma_is_not_passed_over(given):
    """An unset shell variable leaves it."""
    with pytest.raises(ValueError, match=rf"a clip before and after every comma, got 'sit={given}'"):
        teach.parse([f"sit={given}"])


@pytest.mark.parametrize(
    ("right", "known", "why"),
    [
        (4, 0.9, "only 44 % of the held-out clips are recognised; give more clips, or a larger backbone"),
        (5, 0.1, "held-out clips score no higher than clips of other classes; give more clips, or a larger backbone"),
    ],
)
def test_a_threshold_that_would_mislead_is_not_given(films, tmp_path, monkeypatch, right, known, why):
    labels = torch.arange(9) // 3
    answers = torch.where(torch.arange(9) < right, labels, (labels + 1) % 3)
    nine = held_out.Scores(torch.full((9,), known), torch.full((9,), 0.5), labels, answers)
    outcome = held_out.HeldOut(COLOURS, ((right, 9 - right, 0), (0, 0, 0), (0, 0, 0)), 9)
    monkeypatch.setattr(held_out, "cross_validate", lambda *_: (nine, outcome, ()))
    taught = run({name: paths[:3] for name, paths in films.items()}, tmp_path / "mine")
    assert taught.none_of_these is None
    assert taught.held_out.top1 == pytest.approx(100 * right / 9)
    assert taught.warnings == (f'no rejection threshold ("none of these"): {why}',)
    assert manifest_of(tmp_path)["warnings"] == list(taught.warnings)
    assert prediction.load(tmp_path / "mine").none_below is None


def test_wrong_clips_are_named(films, tmp_path, monkeypatch):
    red, green = films["red"][:3], films["green"][:3]
    with pytest.raises(ValueError, match="expected at least two classes to tell apart, got 1"):
        run({"red": red}, tmp_path / "x")
    with pytest.raises(ValueError, match="green: expected at least one clip, got none"):
        run({"red": red, "green": []}, tmp_path / "x")
    with pytest.raises(ValueError, match=r"green: there is no file, folder or match for .*nowhere\.mp4'"):
        run({"red": red, "green": [tmp_path / "nowhere.mp4"]}, tmp_path / "x")
    with pytest.raises(ValueError, match=r"red0\.mp4 are the same file"):
        run({"red": red, "green": [*green, red[0]]}, tmp_path / "x")
    folder, name = red[0].parent, red[0].name
    monkeypatch.chdir(folder)
    for other in (f"./{name}", f"../{folder.name}/{name}", red[0]):
        with pytest.raises(ValueError, match=re.escape(f"but {name} and {other} are the same file")):
            run({"red": [name], "green": [*green, other]}, tmp_path / "x")
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match=r"1 of 7 clips cannot be read: \S*broken\.mp4 \(.+\); leave them out"):
        run({"red": red, "green": [*green, tmp_path / "broken.mp4"]}, tmp_path / "x")
    assert not (tmp_path / "x").exists(), "nothing is written for a wrong request"


def test_taught_on_tiny_with_clips_that_it_does_not_know(films, tmp_path):
    clips = {name: found[:1] for name, found in films.items()}
    taught = teach.teach(clips, tmp_path / "mine", backbone="tiny", config=QUICK, device="cpu")
    assert taught.warnings[0] == manifest_of(tmp_path)["warnings"][0] == TINY_WARNING
    assert TINY_WARNING in prediction.load(tmp_path / "mine").warnings([films["red"][0]])
