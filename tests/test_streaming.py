"""One pass over a video: frames and times are those of the random-access reader; what is left of broken files."""

from fractions import Fraction

import numpy as np
import pytest

from actionprompt import video
from videos import number_of, numbered_frame, numbers_of, rewrite, write_numbered

NUM_FRAMES = 50
KINDS = {
    "h264.mp4": {"options": {"bf": "2"}},
    "large.mp4": {"height_px": 400, "width_px": 640, "options": {"bf": "2", "preset": "veryfast"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "b": "2M"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "ffv1.mkv": {"codec": "ffv1"},
    "odd.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "rate": Fraction(30000, 1001)},
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_and_times_are_those_of_the_reader(tmp_path, name):
    path = write_numbered(tmp_path / name, NUM_FRAMES, **KINDS[name])
    stream = video.Stream(path)
    times_s, frames = zip(*stream.frames(), strict=True)
    np.testing.assert_array_equal(np.stack(frames), video.read_frames(path, range(NUM_FRAMES)))
    np.testing.assert_allclose(times_s, video.frame_times(path, range(NUM_FRAMES)), atol=1e-9)
    info = video.probe(path)
    assert stream.num_read == NUM_FRAMES
    assert stream.damage == []
    assert stream.read_s == pytest.approx(info.duration_s, abs=2e-3)
    assert stream.duration_s == pytest.approx(info.duration_s, abs=2e-3)
    assert stream.fps == pytest.approx(info.fps, rel=1e-3)


def test_what_is_on_the_screen_at_a_time(tmp_path):
    """Of a variable rate that starts at 3 s: frame n is shown from pts[n] to pts[n + 1]."""
    pts = [3000, 3040, 3080, 3500, 3510, 3520, 4900, 5000, 5040, 5080]
    path = write_numbered(tmp_path / "vfr.mp4", 10, pts=pts, time_base=Fraction(1, 1000), options={"bf": "0"})
    asked = [0.0, 0.039, 0.041, 0.3, 0.499, 0.505, 0.6, 1.0, 1.8, 1.95, 2.05, 2.079, 9.0]
    expected = [0, 0, 1, 2, 2, 3, 5, 5, 5, 6, 8, 8, 9]
    found = [
        (time_s, positions, number_of(pixels)) for time_s, positions, pixels in video.Stream(path).frames_at(asked)
    ]
    assert [number for _, positions, number in found for _ in positions] == expected
    assert [position for _, positions, _ in found for position in positions] == list(range(len(asked)))
    assert len({number for _, _, number in found}) == len(found), "each frame comes once"
    for time_s, _, number in found:
        assert time_s == pytest.approx((pts[number] - pts[0]) / 1000)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_are_upright(tmp_path, rotation):
    path = write_numbered(tmp_path / "turned.mp4", 3, rotation=rotation)
    frames = np.stack([pixels for _, pixels in video.Stream(path).frames()])
    np.testing.assert_array_equal(frames, video.read_frames(path, range(3)))


@pytest.mark.parametrize(("name", "suffix"), [("h264.mp4", "mkv"), ("hevc.mkv", "mkv"), ("mpeg2.ts", "ts")])
def test_a_file_that_ends_broken_gives_what_was_readable(tmp_path, name, suffix):
    whole = write_numbered(tmp_path / name, NUM_FRAMES, **KINDS[name])
    copied = whole if whole.suffix == f".{suffix}" else rewrite(whole, tmp_path / f"c.{suffix}", lambda _, p: [p])
    path = tmp_path / f"cut.{suffix}"
    content = copied.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    stream = video.Stream(path)
    shown = [(time_s, number_of(pixels)) for time_s, pixels in stream.frames()]
    numbers = [number for _, number in shown]
    assert numbers[:-2] == list(range(len(numbers) - 2))  # of the last group, what is shown first may be missing
    assert sorted(set(numbers)) == numbers
    assert 10 < len(numbers) < NUM_FRAMES
    for time_s, number in shown:
        assert time_s == pytest.approx(number / 25, abs=2e-3)
    assert stream.read_s == pytest.approx((numbers[-1] + 1) / 25, abs=0.05)
    if suffix == "mkv":  # the file says how long it is; a transport stream does not
        assert any(line.startswith("truncated") for line in stream.damage)


def test_an_mp4_cut_behind_its_index_says_how_far_it_was_read(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", NUM_FRAMES, container_options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10])
    with pytest.raises(video.VideoDecodeError, match="truncated"):
        video.read_frames(path, [0])
    stream = video.Stream(path)
    numbers = [number_of(pixels) for _, pixels in stream.frames()]
    assert numbers == list(range(len(numbers)))
    assert 10 < len(numbers) < NUM_FRAMES
    assert any("truncated" in line for line in stream.damage)


def test_a_damaged_stretch_in_the_middle_is_left_out_and_said(tmp_path):
    source = write_numbered(tmp_path / "a.avi", NUM_FRAMES, "mpeg4", options={"bf": "0"})

    def damage(place, packet):
        if place == 20:
            data = bytearray(bytes(packet))
            data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
            changed = type(packet)(bytes(data))
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            return [changed]
        return [packet]

    stream = video.Stream(rewrite(source, tmp_path / "b.avi", damage))
    shown = [(time_s, number_of(pixels)) for time_s, pixels in stream.frames()]
    numbers = [number for _, number in shown]
    assert numbers[:20] == list(range(20))
    assert all(time_s == pytest.approx(number / 25) for time_s, number in shown)
    if stream.damage and len(numbers) < NUM_FRAMES:
        assert "damaged frames were left out: 0.8" in stream.damage[-1] or "cannot be decoded" in stream.damage[-1]
    else:
        pytest.fail(f"expected damage to be found, got {stream.damage} and {len(numbers)} frames")


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "folder").mkdir()
    for name, reason in (
        ("absent.mp4", "no such file"), ("empty.mp4", "the file is empty"), ("text.mp4", "not readable as video"),
        ("folder", "has no time stamps"),
    ):  # fmt: skip
        with pytest.raises(video.VideoDecodeError, match=reason) as caught:
            video.Stream(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_frames_that_are_not_asked_for_are_not_converted(tmp_path, monkeypatch):
    from actionprompt.video import streaming

    path = write_numbered(tmp_path / "a.mp4", NUM_FRAMES)
    calls, convert = [], streaming.convert
    monkeypatch.setattr(streaming, "convert", lambda *args: (calls.append(1), convert(*args))[1])
    found = list(video.Stream(path).frames_at([0.1, 1.0]))
    assert len(calls) == len(found) == 2
    assert numbers_of(np.stack([pixels for _, _, pixels in found])) == [2, 25]
    assert number_of(numbered_frame(7)) == 7
