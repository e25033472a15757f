"""What a timeline writes: captions, tables, JSON, the picture and the film, read back as players and people would."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from actionprompt import files, video
from actionprompt.apps.timeline import captions, film, look, picture
from actionprompt.apps.timeline.answer import Segment, Timeline, Window
from actionprompt.video import writing
from actionprompt.video.writing import fitted
from videos import numbered_frame, write_numbered

MODEL = {"version": "0.1", "method": "zeroshot", "backbone": {"name": "tiny", "sha256": "0" * 64}}


def made(path: Path | str, duration_s: float, segments: list[tuple[float, float, str | None]], **others) -> Timeline:
    """A timeline of these segments, with a window each half second."""
    labels = tuple(dict.fromkeys(label for _, _, label in segments if label is not None)) or ("walk",)

    def scores(time_s: float) -> list[float]:
        label = next((label for start, end, label in segments if start <= time_s < end), None)
        return [0.9 if known == label else 0.1 / len(labels) for known in labels]

    windows = []
    for number in range(max(1, int(2 * (duration_s - 1)) + 1)):
        start_s = number / 2
        end_s = min(start_s + 1, duration_s)
        found = scores((start_s + end_s) / 2)
        windows.append(Window(start_s, end_s, tuple(found), max(0.0, 1 - sum(found))))
    parts = tuple(Segment(start, end, label, 0.87) for start, end, label in segments)
    made_of = {"fps": 10.0, "labels": labels, "windows": tuple(windows), "segments": parts, "model": MODEL}
    return Timeline(path=Path(path), duration_s=duration_s, **(made_of | others))


# --- captions, table, JSON ---


def test_captions_are_cues_with_times_above_an_hour_and_no_markup():
    segments = [(0.0, 1.5, "walk"), (1.5, 3599.9996, None), (3599.9996, 3661.25, "a <b> & --> c\r\n\r\nd\u2028e")]
    text = captions.as_vtt(made("x.mp4", 3661.25, segments, warnings=("known --> unknown\n\nline",)))
    assert text == (
        "WEBVTT\n\nNOTE known --&gt; unknown line\n\n00:00:00.000 --> 00:00:01.500\nwalk 87 %\n\n"
        "01:00:00.000 --> 01:01:01.250\na &lt;b&gt; &amp; --&gt; c d e 87 %\n"
    )
    assert text.count("-->") == 2, "one arrow a cue"


def test_a_demuxer_reads_the_captions(tmp_path):
    segments = [(0.0, 2.0, "walk"), (2.0, 4.0, None), (4.0, 7300.5, "run & <jump>")]
    path = tmp_path / "x.vtt"
    files.write_text(path, captions.as_vtt(made("x.mp4", 7300.5, segments, warnings=("w",))))
    with av.open(str(path)) as container:
        cues = [(p.pts * p.time_base, p.duration * p.time_base, bytes(p)) for p in container.demux() if p.size]
    assert cues == [(0, 2, b"walk 87 %"), (4, Fraction(14593, 2), b"run &amp; &lt;jump&gt; 87 %")]


def test_a_segment_without_length_has_no_cue():
    assert "-->" not in captions.as_vtt(made("x.mp4", 2.0, [(0.0, 0.0002, "walk"), (0.0002, 2.0, None)]))


def test_the_table_has_a_row_for_each_segment_and_no_formulas():
    timeline = made("x.mp4", 4.0, [(0.0, 0.1 + 0.2, '=cmd|"x"'), (0.1 + 0.2, 3.0, None), (3.0, 4.0, "a, b\nc")])
    rows = list(csv.DictReader(captions.as_csv(timeline).splitlines(keepends=True)))
    assert [row["label"] for row in rows] == ['\'=cmd|"x"', "", "a, b\nc"]
    assert [(row["start_s"], row["end_s"], row["score"]) for row in rows] == [
        ("0.0", "0.3", "0.87"), ("0.3", "3.0", "0.87"), ("3.0", "4.0", "0.87"),
    ]  # fmt: skip


def test_json_has_exactly_the_promised_keys(tmp_path):
    name = "caf\udce9.mp4"
    timeline = made(name, 2.0, [(0.0, 1.0, "walk"), (1.0, 2.0, None)], warnings=("w",))
    files.write_json(tmp_path / "x.json", captions.as_json(timeline))
    found = json.loads((tmp_path / "x.json").read_text())
    assert list(found) == ["path", "duration_s", "fps", "labels", "windows", "segments", "model", "warnings"]
    assert found["path"] == name
    assert found["segments"] == [
        {"start_s": 0.0, "end_s": 1.0, "label": "walk", "score": 0.87},
        {"start_s": 1.0, "end_s": 2.0, "label": None, "score": 0.87},
    ]
    assert found["windows"][0] == {"start_s": 0.0, "end_s": 1.0, "scores": [0.9], "none": pytest.approx(0.1)}
    assert (found["model"], found["warnings"]) == (MODEL, ["w"])
    without = replace(timeline, windows=tuple(replace(window, none=None) for window in timeline.windows))
    assert all(set(w) == {"start_s", "end_s", "scores"} for w in captions.as_json(without)["windows"])


# --- colours and fonts ---


def column_colours(timeline: Timeline, width_px: int) -> list[tuple[int, int, int]]:
    """The colour of each column, without its texture."""
    return [tuple(column.max(0)) for column in look.strip(timeline, 32, width_px).transpose(1, 0, 2)]


def test_the_strip_shows_who_has_most_of_a_column_and_no_event_is_too_short():
    timeline = made("x.mp4", 100.0, [(0.0, 33.0, "a"), (33.0, 68.0, "b"), (68.0, 68.01, "c"), (68.01, 100.0, None)])
    assert column_colours(timeline, 10) == [*[look.COLOURS[0]] * 3, *[look.COLOURS[1]] * 4, *[look.NONE] * 3]
    apart = made("x.mp4", 100.0, [(0.0, 68.0, None), (68.0, 68.01, "c"), (68.01, 100.0, None)])
    assert column_colours(apart, 10) == [*[look.NONE] * 6, look.COLOURS[0], *[look.NONE] * 3]


def test_many_labels_have_marks_of_their_own_as_far_as_there_are_any():
    most = len(look.COLOURS) * look.TEXTURES
    spans = [(float(k), float(k + 1), f"label {k}") for k in range(most)]
    columns = look.strip(made("x.mp4", float(most), spans), 32, 64 * most).reshape(32, most, 64, 3)
    assert len({columns[:, k].tobytes() for k in range(most)}) == most
    timeline = made("x.mp4", 100.0, [(0.0, 60.0, "long"), *((60.0 + k, 61.0 + k, f"label {k}") for k in range(40))])
    marks = look.marks_of(timeline)
    assert (marks["long"], len(marks)) == (0, most)
    assert column_colours(timeline, 100)[-1] == look.OTHERS


def test_a_label_has_the_same_colour_in_every_video():
    labels = ("a", "b", "c")
    one = made("x.mp4", 2.0, [(0.0, 2.0, "b")], labels=labels)
    other = made("y.mp4", 2.0, [(0.0, 0.5, "b"), (0.5, 2.0, "c")], labels=labels)
    assert look.marks_of(one)["b"] == look.marks_of(other)["b"] == 1


@pytest.mark.parametrize(
    ("time_s", "duration_s", "text"),
    [(3.25, 10, "3.2 s"), (59.7, 75, "1:00"), (59.4, 75, "0:59"), (3601, 3700, "1:00:01"), (61, 7200, "0:01:01")],
)
def test_clock(time_s, duration_s, text):
    assert look.clock(time_s, duration_s) == text


def test_letters_that_no_font_has_are_said(tmp_path):
    timeline = made("x.mp4", 2.0, [(0.0, 1.0, "\U000f1234 $x^2$"), (1.0, 2.0, "Ж")])
    assert look.font_of("walk Жé")[1]
    (line,) = look.without_font(timeline)
    assert "\U000f1234" in line
    assert "Ж" not in line


# --- the picture ---


def text_boxes(timeline: Timeline, path: Path, monkeypatch) -> list[tuple[str, float, float, float, float]]:
    """Every text of a picture, and its box as parts of the width and height."""
    found = []
    real = picture.Figure.savefig

    def savefig(figure, *args, **options):
        FigureCanvasAgg(figure).draw()
        width, height = figure.bbox.width, figure.bbox.height
        for text in figure.findobj(Text):
            if (
                text.get_text()
                and text.get_visible()
                and (text.axes is None or text.axes.axison or text in text.axes.texts)
            ):
                box = text.get_window_extent()
                found.append((text.get_text(), box.x0 / width, box.y0 / height, box.x1 / width, box.y1 / height))
        real(figure, *args, **options)

    monkeypatch.setattr(picture.Figure, "savefig", savefig)
    picture.draw(timeline, path)
    return found


CASES = {
    "10 s": (10.0, [(0.0, 4.0, "walk"), (4.0, 6.0, None), (6.0, 10.0, "run")]),
    "75 s": (75.0, [(float(k), float(k + 5), f"action {k // 5 % 4}") for k in range(0, 75, 5)]),
    "3 h": (10800.0, [(60.0 * k, 60.0 * (k + 1), None if k % 3 else f"action {k % 50}") for k in range(180)]),
    "one window": (0.4, [(0.0, 0.4, "walk")]),
    "nothing": (3.0, [(0.0, 3.0, None)]),
}


@pytest.mark.parametrize("case", CASES)
def test_texts_lie_inside_the_picture_and_over_no_other(case, tmp_path, monkeypatch):
    duration_s, segments = CASES[case]
    path = write_numbered(tmp_path / "x.mp4", 30, rate=10)
    warnings = ("the backbone knows only drawings of ActionWorld",)
    labels = (*(f"action {k}" for k in range(50)), "walk", "run")
    timeline = made(path, duration_s, segments, warnings=warnings, labels=labels)
    timeline = replace(timeline, windows=tuple(replace(w, scores=(*[0.01] * 51, 0.4)) for w in timeline.windows))
    boxes = text_boxes(timeline, tmp_path / "x.png", monkeypatch)
    texts = [text for text, *_ in boxes]
    assert warnings[0] in texts
    assert "x.mp4" in texts
    assert any("52 labels" in text for text in texts)
    for number, (text, left, low, right, high) in enumerate(boxes):
        assert 0 <= left < right <= 1, text
        assert 0 <= low < high <= 1, text
        for other, left2, low2, right2, high2 in boxes[:number]:
            apart = left >= right2 or left2 >= right or low >= high2 or low2 >= high
            assert apart, f"{text!r} covers {other!r}"
    with Image.open(tmp_path / "x.png") as opened:
        image = np.asarray(opened.convert("RGB"))
    assert 1200 < image.shape[1] < 1700
    shown = {colour for colour in look.COLOURS[:2] if (image == colour).all(-1).sum() > 100}
    assert shown or case == "nothing"


def test_a_curve_of_many_windows_keeps_every_peak():
    spans = np.stack([np.arange(21600) / 2, np.arange(21600) / 2 + 2], axis=1)
    scores = np.zeros(21600)
    scores[[1, 7777, 21598]] = 0.5, 0.9, 0.7
    x, y = picture._points(spans, scores, 10801.5)
    assert len(x) <= picture.MOST_POINTS + 2
    assert (np.diff(x) >= 0).all()
    assert sorted(y[y > 0]) == [50, 50, 70, 70, 90], "the first and the last point are repeated at the ends"
    assert x[y.argmax()] == pytest.approx(7777 / 2 + 1, abs=10801.5 / picture.MOST_POINTS)


@pytest.mark.parametrize("duration_s", [0.1, 0.75, 10, 59.9, 75, 600, 3599, 7200, 10800, 100_000])
def test_ticks_are_few_round_and_inside(duration_s):
    ticks, names, unit = picture._ticks(duration_s)
    assert 1 < len(ticks) <= 13
    assert len(set(names)) == len(names)
    assert ticks[-1] <= duration_s + 1e-6
    assert unit == ("s" if duration_s < 100 else "min:s" if duration_s < 7200 else "h:min")


def test_key_frames_are_those_on_the_screen(tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 40, rate=10)
    timeline = made(path, 4.0, [(0.0, 1.8, None), (1.8, 2.0, "walk"), (2.0, 4.0, "run")])
    assert picture._key_times(timeline, 2) == [pytest.approx(1.9), 3.0]
    for times_s in ([1.9, 3.0], [0.0], [3.99, 0.55]):
        exact = video.read_frames(path, [int(10 * time_s + 1e-6) for time_s in times_s])
        assert np.abs(np.stack(picture._read(timeline, times_s)).astype(int) - exact).max() == 0


def test_key_frames_of_a_file_that_ends_broken_are_those_before(tmp_path):
    whole = write_numbered(tmp_path / "whole.mp4", 40, rate=10, container_options={"movflags": "faststart"})
    path = tmp_path / "broken.mp4"
    path.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    frames = picture._read(made(path, 1.5, [(0.0, 1.5, "walk")]), [0.25, 1.25])
    assert np.abs(np.stack(frames).astype(int) - video.read_frames(whole, [2, 12])).max() == 0


def test_a_picture_without_readable_frames_says_so(tmp_path, monkeypatch):
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    texts = [
        text
        for text, *_ in text_boxes(made(tmp_path / "x.mp4", 2.0, [(0.0, 2.0, "a")]), tmp_path / "p.png", monkeypatch)
    ]
    assert any(text.startswith("no frames: ") for text in texts)


def test_any_script_and_any_name_is_drawn(tmp_path, recwarn):
    path = write_numbered(tmp_path / "x.mp4", 8, rate=10)
    labels = ["跑步", "$\\frac{1}{$", "مشي", "a\nb\0c\ud800", "🏃", "", "x" * 300]
    segments = [(k / 8, (k + 1) / 8, label) for k, label in enumerate(labels)]
    picture.draw(made(path, 0.8, segments), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] > 1200
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("word", ["iiii", "WWWW", "跑步跑步"])
def test_notes_fit_the_width_of_the_picture_whatever_their_letters_are(word):
    notes = picture._notes(made("a.mp4", 1.0, [], warnings=(" ".join([word] * 90),)))
    assert " ".join(notes).startswith(" ".join([word] * 90))
    room_pt = 72 * picture.WIDTH_IN * (picture.RIGHT - picture.LEFT)
    assert all(look.font(line, picture.NOTE_PT).getlength(line) <= room_pt for line in notes)


# --- the film ---


def boxes_of(path: Path) -> list[str]:
    """The names of the top-level boxes of an mp4 file, in order."""
    data, place, names = path.read_bytes(), 0, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        names.append(data[place + 4 : place + 8].decode("latin-1"))
        place += int.from_bytes(data[place + 8 : place + 16]) if size == 1 else size or len(data) - place
    assert place == len(data)
    return names


def shown(path: Path) -> tuple[list[float], np.ndarray]:
    """When the frames of a film are shown, and the frames."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time_s for time_s, _ in frames], np.stack([pixels for _, pixels in frames])


def corners(pixels: np.ndarray) -> list[int]:
    """The brightness of the four corners of a frame, above the bar; clockwise from the top left."""
    height, width = pixels.shape[:2]
    rows, columns = (
        (slice(height // 8, height // 4), slice(height // 2, 3 * height // 4)),
        (slice(0, width // 8), slice(-width // 8, None)),
    )
    return [
        round(pixels[r, c].mean())
        for r, c in ((rows[0], columns[0]), (rows[0], columns[1]), (rows[1], columns[1]), (rows[1], columns[0]))
    ]


def test_a_film_is_what_browsers_play(tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 30, rate=10, height_px=241, width_px=321, pix_fmt="yuv444p")
    told = []
    timeline = made(path, 3.0, [(0.0, 1.0, "walk"), (1.0, 3.0, None)], warnings=("only drawings",))
    sound = film.write(timeline, tmp_path / "film.mp4", lambda done, total: told.append((done, total)))
    assert sound == "no sound"
    names = boxes_of(tmp_path / "film.mp4")
    assert names.index("moov") < names.index("mdat")
    with av.open(str(tmp_path / "film.mp4")) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == (242, 322)
        assert float(stream.duration * stream.time_base) == pytest.approx(3.0, abs=0.001)
    assert told[-1] == (2, 3)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert not list(tmp_path.glob(".*")), "no draft is left"


def test_the_answer_the_score_and_the_cursor_are_drawn(tmp_path):
    grey = (np.full((360, 480, 3), 128, np.uint8) for _ in range(40))
    path = write_numbered(tmp_path / "x.mp4", 40, rate=10, height_px=360, width_px=480, frames=grey)
    timeline = made(path, 4.0, [(0.0, 2.0, "walk"), (2.0, 4.0, None)])
    film.write(timeline, tmp_path / "film.mp4")
    _, frames = shown(tmp_path / "film.mp4")
    bar = frames[:, -8].astype(int)
    assert np.abs(bar[0, 200] - look.COLOURS[0]).max() < 12
    assert np.abs(bar[0, 300] - look.NONE).max() < 12
    white = [int((row[:, 1] > 235).nonzero()[0].mean()) for row in bar[5:35]]
    assert white == pytest.approx([480 * (k / 40) for k in range(5, 35)], abs=2)
    answers = frames[:, 250:345, 4:240].astype(int)
    assert np.abs(answers[3] - answers[17]).mean() < 2
    assert np.abs(answers[3] - answers[23]).mean() > 5
    assert np.abs(frames[0, :100].astype(int) - 128).max() < 6, "without warnings the top is free"
    film.write(replace(timeline, warnings=("only drawings " * 12,)), tmp_path / "warned.mp4")
    assert np.abs(shown(tmp_path / "warned.mp4")[1][0, :60].astype(int) - 128).mean() > 20


@pytest.mark.parametrize("start_s", [0, 7])
def test_frames_keep_their_times(tmp_path, start_s):
    """Of a variable rate, and of a stream that starts late."""
    gaps_ms = np.random.default_rng(0).integers(15, 200, 39)
    pts = (np.concatenate([[0], np.cumsum(gaps_ms)]) + 1000 * start_s).tolist()
    path = write_numbered(tmp_path / "x.mkv", 40, pts=pts, time_base=Fraction(1, 1000), options={"bf": "2"})
    duration_s = (pts[-1] - pts[0]) / 1000 + 0.1
    film.write(made(path, duration_s, [(0.0, duration_s, "walk")]), tmp_path / "film.mp4")
    times_s, _ = shown(tmp_path / "film.mp4")
    assert times_s == pytest.approx([(p - pts[0]) / 1000 for p in pts], abs=1e-4)
    assert video.probe(tmp_path / "film.mp4").duration_s == pytest.approx(duration_s, abs=0.1)


@pytest.mark.parametrize("fps", [None, 10, 1e-4, 5000])
def test_the_last_frame_is_shown_until_the_end(tmp_path, fps):
    frames = ((time_s, numbered_frame(number)) for number, time_s in enumerate([0.0, 0.1, 0.25, 0.4]))
    writing.write_film(tmp_path / "film.mp4", frames, 2.0, fps=fps)
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_video_is_upright_in_the_film(tmp_path, rotation):
    stored = np.zeros((240, 320, 3), np.uint8)
    stored[:120, :160], stored[:120, 160:], stored[120:, 160:], stored[120:, :160] = 20, 80, 160, 240
    path = write_numbered(
        tmp_path / "x.mp4", 5, height_px=240, width_px=320, rate=10, rotation=rotation, frames=[stored] * 5
    )
    film.write(made(path, 0.5, [(0.0, 0.5, None)], fps=None), tmp_path / "film.mp4")
    _, frames = shown(tmp_path / "film.mp4")
    (upright,) = video.read_frames(path, [0])
    assert frames.shape[1:3] == upright.shape[:2] == ((320, 240) if rotation % 180 else (240, 320))
    assert corners(frames[0]) == pytest.approx(corners(upright), abs=4)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize(("lines", "wanted"), [(112, 336), (300, 300), (2160, 1080)])
def test_small_frames_are_enlarged_and_very_large_ones_shrunk(lines, wanted):
    frame = fitted(np.zeros((lines, 2 * lines, 3), np.uint8), None, least_px=film.MIN_LINES, most_px=film.MAX_LINES)
    assert frame.shape == (wanted, 2 * wanted, 3)


def test_a_recording_that_changes_its_size_gets_borders():
    frame = fitted(np.full((100, 300, 3), 255, np.uint8), (240, 320), least_px=240, most_px=1080)
    assert frame.shape == (240, 320, 3)
    rows = np.flatnonzero(frame.mean((1, 2)) > 128)
    assert (rows[0], rows[-1]) == (66, 172)


def with_sound(
    path: Path, codec: str, *, video_s: float, sound_s: float, late_s: float = 0.0, first_s: float = 0.0
) -> Path:
    """A video of grey frames whose sound starts `late_s` after the first frame, which is at `first_s`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        voice = container.add_stream(codec, rate=48000)
        voice.layout = "mono"
        for number in range(round(10 * video_s)):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = number + round(10 * first_s), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        samples = np.arange(round(48000 * sound_s))
        tone = (8000 * np.sin(2 * np.pi * 440 * samples / 48000)).astype(np.int16)
        tone[:24000] //= 20  # quiet for half a second
        for start in range(0, len(tone), 960):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
            piece.sample_rate, piece.pts = 48000, start + round(48000 * (first_s + late_s))
            piece.time_base = Fraction(1, 48000)
            container.mux(voice.encode(piece))
        container.mux(voice.encode(None))
    return path


def heard(path: Path) -> tuple[float, float, float]:
    """When sound starts, gets loud, and ends."""
    times, loud = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            values = frame.to_ndarray().astype(float).reshape(-1)
            times += [frame.time, frame.time + frame.samples / frame.sample_rate]
            loud.append((frame.time, np.abs(values).max()))
    most = max(level for _, level in loud)
    return min(times), next(time_s for time_s, level in loud if level > most / 2), max(times)


@pytest.mark.parametrize(
    ("name", "codec", "told"),
    [
        ("x.mp4", "aac", "sound copied (aac)"),
        ("x.mkv", "libopus", "sound copied (opus)"),
        ("x.ts", "aac", "sound copied (aac)"),
        ("x.mkv", "libmp3lame", "sound copied (mp3)"),
        ("x.mkv", "flac", "sound copied (flac)"),
        ("x.mov", "pcm_s16le", "sound transcoded from pcm_s16le to aac"),
        ("x.mkv", "ac3", "sound transcoded from ac3 to aac"),
    ],
)  # fmt: skip
def test_sound_is_kept_and_in_step(tmp_path, name, codec, told):
    """Also where the file's clock does not start at 0 and sound starts late."""
    path = with_sound(tmp_path / name, codec, video_s=3.0, sound_s=2.5, late_s=0.3, first_s=2.0)
    assert film.write(made(path, 3.0, [(0.0, 3.0, "walk")]), tmp_path / "film.mp4") == told
    start_s, loud_s, end_s = heard(tmp_path / "film.mp4")
    assert (start_s, loud_s, end_s) == (
        pytest.approx(0.3, abs=0.08),
        pytest.approx(0.8, abs=0.08),
        pytest.approx(2.8, abs=0.08),
    )
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.streams.audio[0].codec_context.name.removesuffix("float") in ("aac", "opus", "mp3", "flac")
        assert container.duration / 1e6 == pytest.approx(3.0, abs=0.1)
    names = boxes_of(tmp_path / "film.mp4")
    assert names.index("moov") < names.index("mdat")


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_that_is_longer_than_the_video_is_cut(tmp_path, codec):
    path = with_sound(tmp_path / "x.mov", codec, video_s=1.0, sound_s=3.0)
    film.write(made(path, 1.0, [(0.0, 1.0, "walk")]), tmp_path / "film.mp4")
    assert heard(tmp_path / "film.mp4")[2] == pytest.approx(1.0, abs=0.05)


def test_one_of_several_sound_streams_is_kept_and_said(tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 10, rate=10, others=("audio", "audio"))
    assert (
        film.write(made(path, 1.0, [(0.0, 1.0, None)]), tmp_path / "f.mp4")
        == "sound copied (aac, 1 of 2 sound streams)"
    )


def test_a_file_that_ends_broken_is_written_as_far_as_it_could_be_read(tmp_path):
    whole = with_sound(tmp_path / "whole.mkv", "libopus", video_s=6.0, sound_s=6.0)
    path = tmp_path / "broken.mkv"
    path.write_bytes(whole.read_bytes()[: int(0.5 * whole.stat().st_size)])
    stream = film.Stream(path)
    times = [time_s for time_s, _ in stream.frames()]
    assert 1 < stream.read_s < 5
    film.write(made(path, stream.read_s, [(0.0, stream.read_s, "walk")]), tmp_path / "film.mp4")
    assert shown(tmp_path / "film.mp4")[0] == pytest.approx(times, abs=1e-4)
    assert heard(tmp_path / "film.mp4")[2] == pytest.approx(stream.read_s, abs=0.3)


def test_a_film_is_written_whole_or_not_at_all(tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 100, rate=10)
    out = tmp_path / "film.mp4"
    out.write_bytes(b"the old film")

    def stop(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film.write(made(path, 10.0, [(0.0, 10.0, "walk")]), out, stop)
    assert out.read_bytes() == b"the old film"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "x.mp4"]


def test_a_film_takes_no_place_of_its_video(tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 5)
    timeline = made(path, 0.2, [(0.0, 0.2, None)])
    with pytest.raises(ValueError, match=r"x.mp4 is the video itself; write its film to another folder"):
        film.write(timeline, path)
    with pytest.raises(ValueError, match=r"expected a file name ending in .mp4, got .*film.avi"):
        film.write(timeline, tmp_path / "film.avi")


@pytest.mark.parametrize("times", [[0.0, 0.0], [0.2, 0.1]])
def test_times_of_a_film_increase(tmp_path, times):
    frames = ((time_s, numbered_frame(0)) for time_s in times)
    with pytest.raises(ValueError, match=r"expected times that increase, got .* s for frame 1"):
        writing.write_film(tmp_path / "x.mp4", frames, 1.0)
    with pytest.raises(ValueError, match="no frames to write"):
        writing.write_film(tmp_path / "x.mp4", iter(()), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("robustness/video_90.mov", "no sound"),
        ("robustness/part_0.mp4", "no sound"),
        ("robustness/h264_10bits.mp4", "no sound"),
        ("single_clips/k400_flipping_a_pancake.mkv", "sound copied (opus)"),
        ("single_clips/ucf101_archery_example.avi", "sound copied (mp3)"),
        ("single_clips/anet_v_GGSY1Qvo990.mp4", "sound copied (aac)"),
    ],
)
def test_films_of_real_videos(real_data, tmp_path, name, sound):
    path = real_data / "videos" / name
    info = video.probe(path)
    assert info.duration_s is not None
    timeline = made(path, info.duration_s, [(0.0, info.duration_s, "walk")], fps=info.fps)
    assert film.write(timeline, tmp_path / "film.mp4") == sound
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(info.duration_s, abs=0.1)
    times_s, frames = shown(tmp_path / "film.mp4")
    assert times_s == pytest.approx(video.frame_times(path, range(info.num_frames)), abs=1e-4)
    shape = frames.shape[1] / frames.shape[2]
    assert shape == pytest.approx(info.height_px / info.width_px, rel=0.02)
    assert boxes_of(tmp_path / "film.mp4").index("moov") < boxes_of(tmp_path / "film.mp4").index("mdat")
    picture.draw(timeline, tmp_path / "x.png")
