"""What a model is taught from: spans of a long video, folders, a background class, and models that are added to."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from actionprompt import checkpoint, commands, data, features, methods, prediction, video
from actionprompt.apps import teach
from actionprompt.apps.teach import examples, held_out
from actionprompt.clips import Broken, Clip, ClipList, check_different, split_span, with_span
from actionprompt.config import DataConfig, Pixels
from actionprompt.prediction.none_of_these import by_background
from actionprompt.video import write_video
from actionprompt.weights import load_clip
from actionprompt.weights.run import WEIGHTS
from test_teach import QUICK


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """12 s at 10 frames per second: a third each is red, green and blue."""
    path, rng = tmp_path_factory.mktemp("long") / "long.mp4", np.random.default_rng(0)
    frames = rng.integers(0, 30, (120, 40, 56, 3), dtype=np.uint8)
    for channel in range(3):
        frames[40 * channel : 40 * channel + 40, ..., channel] += 200
    write_video(path, frames, fps=10)
    return path


def spans(long, *, step_s=0.8) -> dict[str, list[str]]:
    """Five clips of each colour."""
    return {
        name: [f"{long}@{4 * third + step_s * i:g}-{4 * third + step_s * (i + 1):g}" for i in range(5)]
        for third, name in enumerate(("red", "green", "blue"))
    }


def run(clips, out, *, epochs=15, **options):
    config = replace(QUICK, epochs=epochs)
    return teach.teach(clips, out, backbone="random:nano", config=config, device="cpu", **options)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("a.mp4@12.5-15", (12.5, 15)),
        ("a.mp4@1:02.5-1:10", (62.5, 70)),
        ("a.mp4@59:59-1:00:01.25", (3599, 3601.25)),
        ("a@b/c.mp4@0-1", (0, 1)),
    ],
)
def test_spans_as_they_are_typed(text, span):
    path, found = split_span(text)
    assert (path, found) == (text.rpartition("@")[0], span)
    assert split_span(with_span(path, found)) == (path, found)


@pytest.mark.parametrize("span", [(0.0, 1e-5), (1e-7, 12345678.125), (0.1 + 0.2, 100.0)])
def test_spans_are_written_so_that_they_can_be_read(span):
    assert split_span(with_span("a.mp4", span))[1] == pytest.approx(span, abs=1e-9)


def test_a_name_with_an_at_sign_is_a_name_if_there_is_such_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.mp4@1-2").touch()
    assert split_span("a.mp4@1-2") == ("a.mp4@1-2", None)
    assert split_span("a.mp4@1-3") == ("a.mp4", (1, 3))
    assert split_span("me@home.mp4") == ("me@home.mp4", None)
    for bad, message in (("2-1", "got 2 s to 1 s"), ("1-1", "got 1 s to 1 s")):
        with pytest.raises(ValueError, match=f"a span that ends after it starts, {message}"):
            split_span(f"a.mp4@{bad}")
    for bad in ("1", "1-", "-2", "1-x", "1s-2s", "1:2:3:4-5:0:0:0"):
        with pytest.raises(ValueError, match=r"expected a span such as a\.mp4@12\.5-15 or a\.mp4@1:02\.5-1:10, got"):
            split_span(f"a.mp4@{bad}")


def test_spans_of_a_file_are_different_clips_unless_they_overlap(long):
    check_different([(long, (0, 1)), (long, (1, 2)), (long, (3, 4))])
    for other in ((0.5, 0.6), (-1, 5), None):
        with pytest.raises(ValueError, match=r"long\.mp4@0-1 and .*long\.mp4.* overlap in the same file"):
            check_different([(long, (0, 1)), (long, other)])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_only_frames_of_the_span_are_sampled(long, training, sampling):
    clips = [Clip("a", long, 0, span) for span in ((4.0, 8.0), (11.5, 12.0), (3.9, 4.05))]
    config = DataConfig(num_frames=4, sampling=sampling, stride=2)
    dataset = data.VideoDataset(clips, config, side_px=16, training=training, pixels=Pixels())
    for index, clip in enumerate(clips):
        times = dataset[0, index].times_s
        assert all(clip.span[0] <= time < clip.span[1] for time in times)
    assert dataset[0, 0].video[:, :, 1].mean() > 120
    assert dataset[0, 0].video[:, :, 2].mean() < 60
    if sampling == "segment" and not training:
        assert dataset[0, 0].times_s == pytest.approx((4.5, 5.5, 6.5, 7.5)), "the centres of four parts of the span"


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ((11, 13), "the span 11-13 s is not within the video, which is 12.00 s long"),
        ((20, 21), "the span 20-21 s is not within the video, which is 12.00 s long"),
        ((1.01, 1.09), "the span 1.01-1.09 s is too short to hold a frame"),
    ],
)
def test_a_span_that_is_not_there_is_one_line(long, span, reason, tmp_path):
    dataset = data.VideoDataset([Clip("a", long, 0, span)], DataConfig(), side_px=16, training=False, pixels=Pixels())
    assert dataset[0, 0] == Broken("a", reason, (0, 0))
    clips = {"red": [f"{long}@0-1"], "blue": [with_span(long, span)]}
    with pytest.raises(ValueError, match=f"1 of 2 clips cannot be read: .*{reason}"):
        run(clips, tmp_path / "x")
    with pytest.raises(ValueError, match="there is no file nowhere to take a span of"):
        run({"red": [f"{long}@0-1"], "blue": ["nowhere@1-2"]}, tmp_path / "x")


def test_the_cache_and_the_leak_check_know_the_span(long, tmp_path):
    method = methods.build(teach.METHOD, load_clip("random:nano"), ("a", "b"))
    parts = [Clip("0", long, 0, (0, 4)), Clip("1", long, 0, (4, 8)), Clip("2", long, 0)]
    first = features.cached(method, parts, DataConfig(), num_workers=0)
    assert first.num_encoded == 3
    assert not torch.allclose(first.features.read()[0], first.features.read()[1])
    again = features.cached(method, parts[::-1], DataConfig(), num_workers=0)
    assert again.num_encoded == 0
    assert torch.equal(again.features.read(), first.features.read().flip(0))
    checkpoint.save(tmp_path / "m", method, trained_clips=parts[:1])
    asked = [Clip(f"{i}", long, 0, span) for i, span in enumerate(((0, 4), (3, 5), (4, 8), None))]
    assert checkpoint.seen_in_training(tmp_path / "m", ClipList("x", tuple(asked), ("a",))) == ["0", "1", "3"]


def test_taught_from_spans_of_one_video(long, tmp_path):
    taught = run(spans(long), tmp_path / "m")
    assert taught.held_out.top1 == 100
    assert taught.num_clips == {"red": 5, "green": 5, "blue": 5}
    predictor = prediction.load(tmp_path / "m", device="cpu")
    assert predictor.predict(long).path == long
    lines = (tmp_path / "m" / "model" / "clips.txt").read_text().splitlines()
    assert len({line.split("\t")[0] for line in lines}) == 15
    assert lines[1].endswith("long.mp4@0.8-1.6")


def test_spans_of_one_video_are_held_out_together(long, tmp_path, monkeypatch):
    other = tmp_path / "other.mp4"
    write_video(other, video.read_frames(long, np.arange(119, -1, -1)), fps=10)  # another file: blue, green, red
    clips = {
        "red": [f"{long}@0-1", f"{long}@1-2", f"{long}@2-3", f"{other}@8.5-9.5", f"{other}@10-11"],
        "blue": [f"{long}@8.5-9.5", f"{long}@10-11", f"{other}@0-1", f"{other}@1-2"],
    }
    plans, real = [], held_out.plan
    monkeypatch.setattr(held_out, "plan", lambda *given: plans.append(real(*given)) or plans[-1])
    taught = run(clips, tmp_path / "m", epochs=1)
    paths = [str(path).partition("@")[0] for path in (*clips["red"], *clips["blue"])]
    for others, own in plans[0][-1]:
        assert not {paths[index] for index in others} & {paths[index] for index in own}
    assert (taught.held_out.num_clips, taught.held_out.num_sources) == (9, 2)
    assert not any("source video" in line for line in taught.warnings)
    assert taught.held_out.as_json()["num_sources"] == 2
    one = run({"red": clips["red"], "blue": clips["blue"][:2]}, tmp_path / "one", epochs=1)
    assert one.held_out.num_clips == 7
    (line,) = (line for line in one.warnings if "source video" in line)
    assert line.startswith("blue: all clips are of one source video, so clips of it are held out while others of it")
    assert "the held-out figures are optimistic; give clips of two videos or more" in line


def test_the_source_of_a_clip_is_what_its_name_shows_or_its_file(long, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(Path(long).read_bytes())
    spanned = examples.as_list({"a": [f"{long}@0-1", f"{long}@1.5-2"], "b": [f"{copy}@2-3"]}).clips
    assert len({examples.source_of(clip) for clip in spanned}) == 1
    kept = [replace(clip, path=Path(clip.key), known=examples.identity(clip.path)) for clip in spanned]
    assert [examples.source_of(clip) for clip in kept] == [examples.source_of(clip) for clip in spanned]
    cut = [Clip(f"run/v_run_g01_c0{i}.avi", tmp_path / f"v_run_g01_c0{i}.avi", 0) for i in (1, 2)]
    assert [examples.source_of(clip) for clip in cut] == ["v_run_g01"] * 2
    assert examples.source_of(replace(cut[0], span=(0.0, 1.0), key="run/v_run_g01_c01.avi@0-1")) == "v_run_g01"


def test_a_background_class_is_answered_with_none_of_these(long, tmp_path):
    clips = spans(long)
    taught = run(
        {"none": clips["green"], "red": clips["red"], "blue": clips["blue"]}, tmp_path / "m", background="none"
    )
    assert taught.background == "none"
    manifest = json.loads((tmp_path / "m/model/manifest.json").read_text())
    assert manifest["background"] == "none"
    assert manifest["class_names"] == ["red", "blue", "none"], "the background is the last class"
    predictor = prediction.load(tmp_path / "m", device="cpu")
    assert predictor.class_names == ("red", "blue")
    assert predictor.warnings([]) == []
    for third, label in enumerate(("red", None, "blue")):
        path = tmp_path / f"{third}.mp4"
        write_video(path, video.read_frames(long, np.arange(40 * third + 2, 40 * third + 38)), fps=10)
        answer = predictor.predict(path, top=None)
        assert set(answer.labels) == {"red", "blue"}
        assert answer.none_of_these == (label is None)
        assert answer.none + sum(answer.scores) == pytest.approx(1)
        if label is not None:
            assert answer.label == label
    predictor.set_classes(["red", "yellow"])
    assert not predictor.predict(path).none_of_these, "names of the user's own: the background belonged to the others"
    other = prediction.load(tmp_path / "m", device="cpu", class_names=["red", "blue"])
    assert other.predict(path).none is None
    with pytest.raises(ValueError, match="expected the background class to be one of red, blue, got 'none'"):
        run({name: clips[name] for name in ("red", "blue")}, tmp_path / "x", background="none")


def test_folders_globs_and_classes_by_root(long, tmp_path, monkeypatch, capsys):
    for third, name in enumerate(("wave_hands", "none", "clap")):
        for i in range(3):
            path = tmp_path / "root" / name / f"{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, video.read_frames(long, np.arange(40 * third + 10 * i, 40 * third + 10 * i + 10)), fps=10)
    monkeypatch.chdir(tmp_path)
    listed = examples.as_list({"a": ["root/wave_hands"], "b": ["root/clap/*.mp4", f"{long}@0-1"]})
    assert [clip.label for clip in listed.clips] == [0, 0, 0, 1, 1, 1, 1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a: no videos in the folder empty"):
        examples.as_list({"a": ["empty"], "b": ["root/clap"]})
    made = []

    def fake(clips, out, **options):
        made.append((clips, options["background"]))
        raise ValueError("enough")

    monkeypatch.setattr("actionprompt.commands.teach.teach", fake)
    common = ["--out", "m", "--backbone", "random:nano"]
    for more, classes, background in (
        (["--clips.root", "root"], {"wave hands": 3, "none": 3, "clap": 3}, None),
        (["--clips.root", "root", "--background", "none"], {"wave hands": 3, "none": 3, "clap": 3}, "none"),
        (["clap=root/clap", "none=root/none"], {"clap": 1, "none": 1}, "none"),
        (["clap=x.mp4", "--clips.root", "root"], {"wave hands": 3, "none": 3, "clap": 4}, None),
    ):
        assert commands.main(["teach", *more, *common]) == 2
        clips, given = made.pop()
        assert {name: len(paths) for name, paths in clips.items()} == classes
        assert given == background
    assert commands.main(["teach", *common]) == 2
    assert "expected NAME=clip1.mp4,clip2.mp4,... for every action, or --clips.root ROOT" in capsys.readouterr().err


def test_a_class_is_added_without_the_old_clips(long, tmp_path):
    clips = spans(long)
    first = {"red": clips["red"], "green": clips["green"][:3]}
    run(first, tmp_path / "first", epochs=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir() if path.is_file()}
    more = {"blue": clips["blue"], "green": clips["green"][3:]}
    added = run(more, tmp_path / "added", add_to=tmp_path / "first", epochs=2)
    at_once = run(clips, tmp_path / "at_once", epochs=2)
    assert added.num_clips == at_once.num_clips == {"red": 5, "green": 5, "blue": 5}
    assert added.held_out == at_once.held_out
    one, other = (load_file(tmp_path / name / "model" / WEIGHTS) for name in ("added", "at_once"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-4)
    lines = [(tmp_path / name / "model/clips.txt").read_text().split() for name in ("added", "at_once")]
    assert sorted(lines[0][::2]) == sorted(lines[1][::2]), "whose clips they are is kept"
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"the model was taught from these already: long\.mp4@0\.5-1"):
        run({"x": [f"{long}@0.5-1"]}, tmp_path / "x", add_to=tmp_path / "added")


def test_what_cannot_be_added_to_is_said(long, tmp_path):
    clips = spans(long)
    two = {name: clips[name][:2] for name in ("red", "green")}
    new = {"blue": clips["blue"][:2]}
    assert run(two, tmp_path / "without", keep_features=False, epochs=1).features_bytes == 0
    assert {path.name for path in (tmp_path / "without").iterdir()} & {examples.FEATURES, examples.INDEX} == set()
    with pytest.raises(ValueError, match=r"holds no features of the clips .*; teach it again from all clips"):
        run(new, tmp_path / "x", add_to=tmp_path / "without")
    taught = run(two, tmp_path / "with", epochs=1)
    assert taught.features_bytes == (tmp_path / "with" / examples.FEATURES).stat().st_size
    with pytest.raises(ValueError, match=r"was taught on the backbone 'random:nano' with .* is 'tiny'"):
        teach.teach(new, tmp_path / "x", backbone="tiny", config=QUICK, device="cpu", add_to=tmp_path / "with")
    with pytest.raises(ValueError, match="expected the data options of the model that is added to"):
        run(new, tmp_path / "x", add_to=tmp_path / "with", data_config=DataConfig(num_frames=8, fit="crop"))
    content = bytearray((tmp_path / "with" / examples.FEATURES).read_bytes())
    content[-1] ^= 1
    (tmp_path / "with" / examples.FEATURES).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        run(new, tmp_path / "x", add_to=tmp_path / "with")
    with pytest.raises(ValueError, match="teaching sees one view of a clip"):
        run(two, tmp_path / "x", data_config=DataConfig(num_clips=2))
    assert not (tmp_path / "x").exists()


def test_copies_of_a_clip_are_said_since_each_would_be_recognised_by_the_other(long, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(Path(long).read_bytes())
    with pytest.raises(ValueError, match=r"long\.mp4 and .*copy\.mp4 are copies of the same video"):
        examples.as_list({"red": [long], "blue": [copy]})
    with pytest.raises(ValueError, match=r"copy\.mp4@0\.5-1\.5 are copies"):
        examples.as_list({"red": [f"{long}@0-1"], "blue": [f"{copy}@0.5-1.5"]})
    assert len(examples.as_list({"red": [f"{long}@0-1"], "blue": [f"{copy}@1-2"]}).clips) == 2


def test_a_model_has_one_background(long, tmp_path):
    clips = spans(long)
    run({name: clips[name][:2] for name in ("red", "green")}, tmp_path / "m", background="green", epochs=1)
    new = {"blue": clips["blue"][:2]}
    with pytest.raises(ValueError, match="expected the background of the model that is added to, 'green', got 'blue'"):
        run(new, tmp_path / "x", add_to=tmp_path / "m", background="blue")
    assert run(new, tmp_path / "x", add_to=tmp_path / "m", background="green", epochs=1).background == "green"


def test_everything_is_printed_and_written(long, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "actionprompt.commands.teach.teach", lambda clips, out, **o: run(clips, out, add_to=o["add_to"])
    )
    named = [f"{name}={','.join(paths)}" for name, paths in spans(long).items()]
    out, file = str(tmp_path / "m"), str(tmp_path / "m.json")
    assert commands.main(["teach", *named, "--out", out, "--backbone", "random:nano", "--json", file]) == 0
    said = capsys.readouterr().out
    assert "held out, 15 of 15 clips were recognised: 100 % (95 % interval 80 to 100 %; guessing 33 %)" in said
    assert "they are of 1 source video\n" in said
    assert "learned from 1 clip per class: " in said
    assert "more clips of this kind have nothing left to show here" in said
    assert "rejection threshold" in said
    assert "of 15 recognised clips (" in said
    assert "MB, no frames) are kept in" in said
    found = json.loads((tmp_path / "m.json").read_text())
    assert found["held_out"]["confusion"] == [[5, 0, 0], [0, 5, 0], [0, 0, 5]]
    assert [point["num_clips"] for point in found["curve"]] == [15, 15]
    assert found["none_of_these"]["num_unknown"] == 15
    assert found["num_clips"] == {"red": 5, "green": 5, "blue": 5}
    few = [f"{name}={paths[0]}" for name, paths in spans(long).items()]
    assert commands.main(["teach", *few, "--out", f"{out}2", "--backbone", "random:nano", "--json", "-"]) == 0
    said, noted = capsys.readouterr()
    assert json.loads(said)["held_out"] is None, "nothing else is on stdout"
    assert "no class has two clips" in noted


def test_what_the_learning_curve_says_of_more_clips():
    point = held_out.Point
    assert "seen from three clips per class on" in held_out.advice([point(1, 3, 4)], 2)
    rising = held_out.advice([point(1, 10, 30), point(2, 20, 30), point(4, 25, 30)], 5)
    assert rising == (
        "from 2 to 4 clips per class the held-out accuracy rose from 67 to 83 %: more clips will probably help; if the "
        "error keeps falling like this, 5 more per class give about 93 %"
    ), "the error halves with every doubling: 1/6 at 4 clips is 1/15 at 10"
    for flat in (
        [point(2, 20, 30), point(4, 20, 30)],
        [point(2, 20, 30), point(4, 21, 30)],
        [point(2, 9, 9), point(4, 8, 9)],
    ):
        assert "which is flat: more clips of the same kind will hardly help" in held_out.advice(flat, 5)
    assert "went from 67 to 100 %: more clips of this kind have nothing left" in held_out.advice(
        [point(2, 2, 3), point(4, 3, 3)], 5
    )


def test_scores_with_a_background_by_loops():
    names = ("sit", "run", "wave", "none")
    method = methods.build(teach.METHOD, load_clip("random:nano"), names).eval()
    features = 3 * torch.randn(12, 1, 8, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 4
    found = held_out.held_out_scores(method, features, labels, DataConfig(), 3)
    with torch.no_grad():
        for i, label in enumerate(labels.tolist()):
            method.set_classes(names)
            p = method.head(features[i])[0].softmax(0)
            best = float(p[:3].max()) if p[:3].max() >= p[3] else 0.0
            assert float(found.known[i]) == pytest.approx(best, abs=1e-5)
            if label != 3:
                method.set_classes([name for name in names if name != names[label]])
                p = method.head(features[i])[0].softmax(0)
                best = float(p[:2].max()) if p[:2].max() >= p[2] else 0.0
            assert float(found.unknown[i]) == pytest.approx(best, abs=1e-5), "a clip of the background is as it is"
    assert {0.0} < set(found.known.tolist()), "the background is the most probable for some, not for all"


def test_a_background_is_answered_exactly_where_it_is_the_most_probable():
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    own = logits.softmax(1)
    for below in (None, 0.5):
        rows = by_background(logits, below)
        torch.testing.assert_close(rows.sum(1), torch.ones(200))
        expected = (own[:, 3] > own[:, :3].amax(1)) | (own[:, :3].amax(1) < (below or 0))
        assert torch.equal(rows.argmax(1) == 3, expected)
