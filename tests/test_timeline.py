"""When what happens: windows against plain loops for every method, segments, broken files, memory, and the verb."""

import csv
import gc
import json
import re
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from actionprompt import methods, timeline, transforms, video, zero_shot
from actionprompt.apps import timeline as engine
from actionprompt.apps.timeline import film
from actionprompt.clips import find_videos
from actionprompt.commands import main
from actionprompt.config import DataConfig
from actionprompt.datasets import actionworld
from actionprompt.prediction import Predictor
from actionprompt.weights import TINY_WARNING, load_clip
from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.build import FPS, Scene, play
from videos import numbered_frame, write_numbered

NAMES = ("doing a handstand", "playing the guitar", "reading a book")
METHODS = [name for name in methods.names() if name != "i3d_flow"]


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Four seconds each of a handstand, the guitar and the handstand again, drawn by ActionWorld."""
    by_name = {activity.names[0]: activity for activity in ACTIVITIES}
    path = tmp_path_factory.mktemp("staged") / "staged.mp4"
    parts = []
    for name, number in ((NAMES[0], 0), (NAMES[1], 0), (NAMES[0], 1)):
        frames = play(Scene(by_name[name], 1, "main", number))
        parts += [frames, frames[::-1]]
    video.write_video(path, np.concatenate(parts), FPS)
    return path


@pytest.mark.parametrize("name", METHODS)
def test_windows_are_clips_in_plain_loops(name, tmp_path):
    """Of a video whose frames are unevenly long, for every method: the probabilities of each window are those of the
    frames on the screen at the centres of its parts."""
    rng = np.random.default_rng(1)
    pts = np.cumsum(rng.integers(20, 120, 45)).tolist()
    frames = [rng.integers(0, 255, (48, 64, 3), np.uint8) // 2 + numbered_frame(n, 48, 64) // 2 for n in range(45)]
    path = write_numbered(tmp_path / "v.mp4", 45, height_px=48, pts=pts, time_base=Fraction(1, 1000), frames=frames)
    names_zh = ("倒立", "弹吉他", "看书") if name == "dual_semantic_tpr" else None
    method = methods.build(name, load_clip("random:nano"), NAMES, names_zh, seed=0)
    config = DataConfig(num_frames=getattr(method.config, "num_frames", 4), fit="letterbox")
    predictor = Predictor(method, config)
    found = timeline(predictor, path, window_s=1.0, hop_s=0.4)

    count = video.count_frames(path)
    times_s, stored = video.frame_times(path, range(count)), video.read_frames(path, range(count))
    duration_s = video.probe(path).duration_s
    starts = [*np.arange(0, duration_s - 1.0, 0.4), duration_s - 1.0]
    assert [window.start_s for window in found.windows] == pytest.approx(starts)
    assert found.windows[-1].end_s == found.duration_s == pytest.approx(duration_s)
    for window, start in zip(found.windows, starts, strict=True):
        asked = [start + (i + 0.5) / config.num_frames for i in range(config.num_frames)]
        shown = [max(n for n, time_s in enumerate(times_s) if time_s <= moment) for moment in asked]
        views = transforms.eval_views(stored[shown], side_px=method.frame_shape[-1], fit="letterbox")
        with torch.no_grad():
            features = method.encode(method.normalise(torch.from_numpy(views)))
            expected = method.head(features).softmax(-1)[0]
        np.testing.assert_allclose(window.scores, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["zeroshot", "vita_clip"])
def test_every_frame_of_a_method_on_frames_is_encoded_once(staged, kind):
    method = methods.build(kind, load_clip("tiny"), NAMES, seed=0)
    predictor, seen = Predictor(method, DataConfig(num_frames=getattr(method.config, "num_frames", 8))), []
    encode = method.encode
    type(method).encode_before = type(method).encode
    method.encode = lambda x: (seen.append(x.shape[0] * x.shape[1]), encode(x))[1]
    found = timeline(predictor, staged)
    del type(method).encode_before
    num_frames = predictor.config.num_frames
    if method.encodes_frames:
        assert sum(seen) == 12 * 4  # 12 s, a frame every 2 / 8 s
    else:
        assert sum(seen) == len(found.windows) * num_frames


def test_segments_are_what_was_played(staged):
    found = timeline(zero_shot(NAMES, backbone="tiny"), staged)
    assert [segment.label for segment in found.segments] == [NAMES[0], NAMES[1], NAMES[0]]
    assert [segment.end_s for segment in found.segments] == pytest.approx([4, 8, 12], abs=0.8)
    assert found.segments[0].start_s == 0
    for before, after in pairwise(found.segments):
        assert before.end_s == after.start_s
    assert found.duration_s == pytest.approx(12)
    assert found.fps == pytest.approx(FPS)
    assert all(sum(window.scores) == pytest.approx(1, abs=1e-5) for window in found.windows)
    assert found.model["backbone"]["name"] == "tiny"
    assert found.model["timeline"]["frames_per_window"] == 8


def test_without_smoothing_every_window_answers_for_itself(staged):
    predictor = zero_shot(("a", "b", "c"), backbone="random:nano")
    found = timeline(predictor, staged, smooth=False)
    answers = [found.labels[int(np.argmax(window.scores))] for window in found.windows]
    centres = [(window.start_s + window.end_s) / 2 for window in found.windows]
    for centre, answer in zip(centres, answers, strict=True):
        assert next(s.label for s in found.segments if s.start_s <= centre < s.end_s) == answer
    assert found.model["timeline"]["smoothing"] is None


def test_none_of_these_by_null_prompts_by_a_threshold_and_independently(staged):
    asked = NAMES[1:]
    by_nulls = timeline(zero_shot(asked, backbone="tiny", none=True), staged)
    for window in by_nulls.windows:
        assert sum(window.scores) + window.none == pytest.approx(1, abs=1e-5)
    threshold = zero_shot(asked, backbone="tiny")
    threshold.none_below = 0.999999
    found = timeline(threshold, staged, smooth=False)
    for window in found.windows:
        assert (window.none > max(window.scores)) == (max(window.scores) / (1 - window.none) < 0.999999)
    assert {segment.label for segment in found.segments} <= {*asked, None}

    apart = timeline(zero_shot(NAMES, backbone="tiny", independent=True), staged)
    assert all(window.none is None and max(window.scores) <= 1 for window in apart.windows)
    starts = [segment.start_s for segment in apart.segments]
    assert starts == sorted(starts)
    assert None not in {segment.label for segment in apart.segments}


@pytest.mark.parametrize("num_frames", [1, 3, 30])
def test_a_video_shorter_than_a_window_is_one(tmp_path, num_frames):
    path = write_numbered(tmp_path / "short.mp4", num_frames)
    found = timeline(zero_shot(("a", "b"), backbone="random:nano"), path)
    assert len(found.windows) == len(found.segments) == 1
    assert (found.windows[0].start_s, found.windows[0].end_s) == (0, found.duration_s)
    assert found.duration_s == pytest.approx(num_frames / 25)


def test_a_video_that_ends_broken_says_to_which_second(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 250, container_options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = timeline(zero_shot(("a", "b"), backbone="random:nano"), path)
    assert 4 < found.duration_s < 6
    assert found.windows[-1].end_s == found.segments[-1].end_s == found.duration_s
    (line,) = found.warnings
    assert re.fullmatch(r"the file is damaged and was read to [45]\.\d of 10\.0 s: truncated .*", line)


def test_memory_does_not_grow_with_the_video(tmp_path):
    """Embeddings alive while windows are scored: those of a batch and of a window, of 160 frames in all."""
    predictor, alive = zero_shot(("a", "b"), backbone="random:nano"), []
    shape = (predictor.method.clip.embed_dim,)

    def progress(done, total):
        alive.append(sum(type(o) is torch.Tensor and o.shape == shape for o in gc.get_objects()))

    path = write_numbered(tmp_path / "long.mp4", 8 * 40, rate=8)
    found = timeline(predictor, path, window_s=2, hop_s=1, progress=progress)
    assert len(found.windows) == 39
    assert 0 < max(alive[1:-1]) - alive[-1] <= engine.FRAMES_AT_ONCE + 2 * 8


def test_bad_arguments_are_one_line(staged, tmp_path):
    predictor = zero_shot(("a", "b"), backbone="random:nano")
    for options, reason in (
        ({"window_s": 0}, "above 0"), ({"hop_s": -1.0}, "above 0"), ({"hop_s": 3.0}, "parts are not seen"),
        ({"stay_s": 0.0}, "expected seconds above 0"), ({"window_s": float("nan")}, "above 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason):  # before anything is read
            timeline(predictor, tmp_path / "absent.mp4", **options)
    with pytest.raises(video.VideoDecodeError, match="no time stamps"):
        timeline(predictor, tmp_path)
    flow = Predictor(methods.build("i3d_flow", load_clip("tiny"), ("a", "b")), DataConfig(num_frames=64))
    with pytest.raises(ValueError, match="optical flow"):
        timeline(flow, staged)


def test_an_error_in_the_reading_thread_reaches_the_caller():
    def items():
        yield 1
        raise KeyError("lost")

    found = engine.ahead(items(), 4)
    assert next(found) == 1
    with pytest.raises(KeyError, match="lost"):
        next(found)


def test_a_reader_that_is_left_is_closed():
    closed = []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    found = engine.ahead(items(), 2)
    assert next(found) == 0
    found.close()
    assert closed == [True]


# The verb ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_console")
def test_the_verb_writes_all_files_and_measures(staged, tmp_path, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text(f"start_s,end_s,label\n0,4,{NAMES[0]}\n4,8,{NAMES[1]}\n8,12,{NAMES[0]}\n")
    out = tmp_path / "out"
    words = ["timeline", str(staged), "--labels", ",".join(NAMES), "--backbone", "tiny", "--out", str(out)]
    assert main([*words, "--truth", str(truth), "--video"]) == 0
    shown = capsys.readouterr()
    assert "frame accuracy" in shown.out
    assert "mAP at IoU 0.3: 100.0 %" in shown.out
    assert TINY_WARNING in shown.err  # the test's own file is not in a folder that ActionWorld built
    assert sorted(path.name for path in out.iterdir()) == [
        "measured.json", "staged.csv", "staged.json", "staged.mp4", "staged.png", "staged.vtt"
    ]  # fmt: skip
    found = json.loads((out / "staged.json").read_text())
    assert set(found) == {"path", "duration_s", "fps", "labels", "windows", "segments", "model", "warnings"}
    assert found["warnings"] == [TINY_WARNING]
    rows = list(csv.DictReader((out / "staged.csv").open()))
    assert [row["label"] for row in rows] == [NAMES[0], NAMES[1], NAMES[0]]
    assert (out / "staged.vtt").read_text().startswith("WEBVTT\n")
    with av.open(str(out / "staged.mp4")) as film:
        assert film.streams.video[0].codec_context.name == "h264"
    measured = json.loads((out / "measured.json").read_text())
    assert measured["frame_accuracy"] > 85
    assert measured["about"]["method"] == "zeroshot"


@pytest.mark.usefixtures("own_console")
def test_a_folder_gives_a_summary_and_lists_what_is_broken(staged, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/a.mp4"):
        (folder / name).write_bytes(staged.read_bytes())
    (folder / "broken.mp4").write_bytes(b"no video")
    write_numbered(folder / "a.avi", 30, "mpeg4")
    out = tmp_path / "out"
    words = ["timeline", str(folder), "--labels", ",".join(NAMES), "--backbone", "tiny", "--out", str(out)]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "broken.mp4: not readable as video" in shown.err
    assert "3 of 4 videos" in shown.out
    rows = {row["path"]: row for row in csv.DictReader((out / "summary.csv").open())}
    assert len(rows) == 4
    assert float(rows[str(folder / "deep" / "a.mp4")][f"{NAMES[1]}_s"]) == pytest.approx(4, abs=1)
    assert "not readable" in rows[str(folder / "broken.mp4")]["problem"]
    made = {path.relative_to(out).as_posix() for path in out.rglob("*.json")}
    assert made == {"a.mp4.json", "a.avi.json", "deep/a.json"}


@pytest.mark.usefixtures("own_console")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "expected --model RUN, or --labels"),
        (["--labels", "a,b", "--hop-s", "5"], "parts are not seen"),
        (["--labels", "a,b", "--truth", "absent.csv"], "no list file absent.csv"),
        (["--labels", "a,b", "--window-s", "x"], "expected a number, got 'x'"),
        (["--labels", "a,b", "--model", "absent"], "absent"),
    ],
)
def test_nonsense_is_one_line(staged, tmp_path, capsys, words, reason):
    out = tmp_path / "out"
    assert main(["timeline", str(staged), "--out", str(out), "--backbone", "tiny", *words]) == 2
    shown = capsys.readouterr()
    assert reason in shown.err
    assert not out.exists()


@pytest.mark.usefixtures("own_console")
def test_a_film_never_takes_the_place_of_its_video(staged, tmp_path, capsys):
    path = tmp_path / "a.mp4"
    path.write_bytes(staged.read_bytes())
    words = ["timeline", str(path), "--labels", "a,b", "--backbone", "tiny", "--out", str(tmp_path), "--video"]
    assert main(words) == 2
    assert "would take the place of the video" in capsys.readouterr().err
    assert path.read_bytes() == staged.read_bytes()
    assert [child.name for child in tmp_path.iterdir()] == ["a.mp4"]


def test_names_of_the_files_never_meet(tmp_path):
    from actionprompt.commands.timeline import output_names

    paths = [tmp_path / name for name in ("a.mp4", "b/a.mp4", "b/c.mp4", "b/c.mov", "d.x.mp4")]
    assert output_names(paths) == ["a", "b/a", "b/c.mp4", "b/c.mov", "d.x"]
    assert output_names(paths[:1]) == ["a"]
    paths = [tmp_path / name for name in ("summary.mp4", "measured.avi", "x/summary.mp4", "A.mp4", "a.mov")]
    assert output_names(paths) == ["summary.mp4", "measured.avi", "x/summary", "A.mp4", "a.mov"]
    paths = [tmp_path / name for name in ("a.mp4", "a.avi", "a.mp4.mkv")]
    assert output_names(paths) == ["a.mp4", "a.avi", "a.mp4.mkv"]


@pytest.mark.slow
def test_every_real_video(real_data, tmp_path):
    """Every file of the folder of real videos: a duration within 0.1 s of what a plain decode shows, windows that cover
    it, segments that follow each other, and a film that browsers play."""
    paths = find_videos([str(real_data / "videos")], lambda line: None)
    assert len(paths) > 150
    predictor, wrong = zero_shot(("walking", "fighting", "falling"), backbone="tiny"), []
    for number, path in enumerate(path for path in paths if not path.is_dir()):
        found = timeline(predictor, path)
        stamps = plain_stamps(path)
        if abs(found.duration_s - stamps) > 0.1 or found.warnings != (TINY_WARNING,):
            wrong.append((path.name, found.duration_s, stamps, found.warnings))
        edges = [(window.start_s, window.end_s) for window in found.windows]
        assert edges[0][0] == 0
        assert edges[-1][1] == found.duration_s
        assert all(after[0] <= before[1] for before, after in pairwise(edges))
        assert found.segments[0].start_s == 0
        assert found.segments[-1].end_s == found.duration_s
        assert all(before.end_s == after.start_s for before, after in pairwise(found.segments))
        if number % 10 == 0:
            film.write(found, tmp_path / "film.mp4")
            check_film(tmp_path / "film.mp4", found.duration_s)
    assert wrong == []


def plain_stamps(path):
    """Seconds from the first frame to the end of the last one, by a plain decode in PyAV."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts, frame.duration) for frame in container.decode(stream)]
        second, rate = float(stream.time_base), float(stream.average_rate or stream.guessed_rate)
    stamps = [pts for pts, _ in frames]
    if None in stamps or len(stamps) < 2:
        return len(frames) / rate
    return (max(stamps) - min(stamps)) * second + float(np.median(np.diff(sorted(stamps)))) * second


def check_film(path, duration_s):
    """H.264, 4:2:0, the index in front, as long as it is to be."""
    content, place, boxes = path.read_bytes(), 0, []
    while place < len(content):
        size = int.from_bytes(content[place : place + 4])
        boxes.append(content[place + 4 : place + 8].decode("latin-1"))
        place += size or len(content)
    assert boxes.index("moov") < boxes.index("mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(duration_s, abs=0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("own_console")
def test_the_tutorial_teaches_from_spans_of_a_long_video_and_finds_them_in_another(tmp_path, capsys):
    """docs/tutorials/own_video.md: `teach` with spans and a background, then `timeline --model --truth`."""
    one, other = actionworld.long(split=1, part="val", size="small", root=tmp_path / "world")[:2]
    spans: dict[str, list[str]] = {}
    for video_ in (one, other):
        end_s = 0.0
        for start, end, label in video_.segments:
            if start - end_s > 1:
                spans.setdefault("none", []).append(f"{video_.path}@{end_s + 0.1:.2f}-{start - 0.1:.2f}")
            spans.setdefault(label, []).append(f"{video_.path}@{start + 0.1:.2f}-{end - 0.1:.2f}")
            end_s = end
    words = [f"{name}={','.join(found)}" for name, found in spans.items()]
    model, out, truth = tmp_path / "my_actions", tmp_path / "out", tmp_path / "truth.csv"
    assert main(["teach", *words, "--backbone", "tiny", "--out", str(model)]) == 0
    labels = set(spans) - {"none"}
    rows = [f"{start},{end},{label}" for start, end, label in other.segments if label in labels]
    truth.write_text("\n".join(["start_s,end_s,label", *rows]) + "\n")
    assert main(["timeline", str(other.path), "--model", str(model), "--out", str(out), "--truth", str(truth)]) == 0
    assert "frame accuracy" in capsys.readouterr().out
    found = json.loads((out / f"{other.path.stem}.json").read_text())
    assert set(found["labels"]) == labels
    assert found["warnings"] == []
    assert None in {segment["label"] for segment in found["segments"]}
    assert json.loads((out / "measured.json").read_text())["frame_accuracy"] > 60  # it was taught from this video
