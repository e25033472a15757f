"""The reader returns exactly the frames asked for, whatever the codec, container, rate and way of getting there.

Every generated video shows the number of each frame, so that a frame can be recognised; where two ways of reading must
agree they are compared pixel by pixel.
"""

import csv
import multiprocessing
import os
import pickle
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from actionprompt import clips, sampling, video
from actionprompt.video import decoding, scan
from videos import add_other, number_of, numbered_frame, numbers_of, pack, rewrite, strip_reordering, write_numbered

NUM_FRAMES = 50
SIZE = {"height_px": 128, "width_px": 192}
X264 = {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0:threads=1"}
X264_OPEN = {"x264-params": X264["x264-params"] + ":open-gop=1"}
X265 = {
    "x265-params": "bframes=3:keyint=12:min-keyint=12:scenecut=0:open-gop=1:log-level=none:pools=none:frame-threads=1"
}
AV1 = {"preset": "10", "crf": "20", "svtav1-params": "lp=1"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}
ALT_REF = {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}
BFRAMES = {"bf": "2", "b_strategy": "0", "sc_threshold": "1000000000"}

# name: (suffix, codec, what differs, do the headers prove that decoding may begin in the middle?)
CODECS = {
    "h264": ("mp4", "libx264", {"options": X264}, True),
    "h264_open_gop": ("mkv", "libx264", {"options": X264_OPEN}, True),
    "h264_open_gop_mp4": ("mp4", "libx264", {"options": X264_OPEN}, True),
    "h264_no_b": ("mov", "libx264", {"options": {"x264-params": "bframes=0:threads=1"}}, True),
    "h264_main": ("mp4", "libx264", {"options": {**X264, "profile": "main"}}, True),
    "h264_long_gop": ("mp4", "libx264", {"options": X264, "gop": 250}, True),
    "h264_intra_refresh": (
        "mkv",
        "libx264",
        {"options": {"x264-params": "intra-refresh=1:keyint=12:threads=1"}},
        True,
    ),
    "h264_interlaced": ("ts", "libx264", {"options": {"x264-params": "tff=1:bframes=2:threads=1"}}, True),
    "h264_10_bit": ("mp4", "libx264", {"options": X264, "pix_fmt": "yuv420p10le"}, True),
    "h264_odd_size": (
        "mp4",
        "libx264",
        {"options": X264, "pix_fmt": "yuv444p", "height_px": 127, "width_px": 193},
        True,
    ),
    "h264_avi": ("avi", "libx264", {"options": X264}, True),
    "h264_flv": ("flv", "libx264", {"options": X264}, True),
    "h264_ts": ("ts", "libx264", {"options": X264}, True),
    "h264_raw": ("h264", "libx264", {"options": X264}, True),
    "h264_fragments": ("mp4", "libx264", {"options": X264, "container_options": {"movflags": "frag_keyframe"}}, True),
    "hevc": ("mp4", "libx265", {"options": X265}, False),
    "hevc_mkv": ("mkv", "libx265", {"options": X265}, False),
    "hevc_10_bit": ("mp4", "libx265", {"options": X265, "pix_fmt": "yuv420p10le"}, False),
    "av1": ("mp4", "libsvtav1", {"options": AV1}, True),
    "av1_mkv": ("mkv", "libsvtav1", {"options": AV1}, True),
    "vp9": ("webm", "libvpx-vp9", {"options": VP9}, True),
    "vp9_lookahead": ("webm", "libvpx-vp9", {"options": ALT_REF}, True),
    "vp9_odd_size": ("webm", "libvpx-vp9", {"options": VP9, "height_px": 127, "width_px": 193}, True),
    "vp8": ("webm", "libvpx", {"options": VP9}, False),
    "mpeg4": ("avi", "mpeg4", {"options": BFRAMES}, False),
    "mpeg4_mp4": ("mp4", "mpeg4", {"options": BFRAMES}, False),
    "mpeg4_mkv": ("mkv", "mpeg4", {"options": BFRAMES}, False),
    "mpeg2": ("mpg", "mpeg2video", {"options": BFRAMES}, False),
    "mpeg2_ts": ("ts", "mpeg2video", {"options": BFRAMES}, False),
    "mpeg1": ("mpg", "mpeg1video", {"options": BFRAMES}, False),
    "msmpeg4": ("avi", "msmpeg4", {}, False),
    "wmv2": ("wmv", "wmv2", {}, False),
    "mjpeg_avi": ("avi", "mjpeg", {"pix_fmt": "yuvj420p"}, False),
    "mjpeg": ("mov", "mjpeg", {"pix_fmt": "yuvj420p"}, False),
    "prores": ("mov", "prores_ks", {"pix_fmt": "yuv422p10le"}, False),
    "ffv1": ("mkv", "ffv1", {}, False),
    "gif": ("gif", "gif", {"pix_fmt": "rgb8"}, False),
}


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """name -> the file of CODECS, written when first asked for."""
    folder = tmp_path_factory.mktemp("clips")
    av.logging.set_level(av.logging.PANIC)

    def write(name: str) -> Path:
        suffix, codec, options, _ = CODECS[name]
        path = folder / f"{name}.{suffix}"
        return path if path.exists() else write_numbered(path, NUM_FRAMES, codec, **{**SIZE, **options})

    return write


@pytest.fixture
def count_calls(monkeypatch):
    """module, name of a function of the reader -> list of the arguments of its calls from now on."""

    def watch(module, name: str) -> list[tuple]:
        calls: list[tuple] = []
        original = getattr(module, name)

        def counted(*args, **kwargs):
            calls.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)
        return calls

    return watch


def table_of(path: Path) -> scan.Table:
    return scan.table(path, video.Limits())


def decode_linearly(path: Path) -> np.ndarray:
    """All frames as the plainest use of PyAV gives them."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24", interpolation="BICUBIC") for f in container.decode(video=0)])


def error_of(path: Path, indices=(0,)) -> str:
    """The one line that reading raises."""
    with pytest.raises(video.VideoDecodeError) as caught:
        video.read_frames(path, list(indices))
    assert "\n" not in str(caught.value)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.path == path
    return caught.value.reason


# --- every codec and container -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODECS)
def test_every_frame_is_the_one_asked_for(clip, count_calls, name):
    path = clip(name)
    info = video.probe(path)
    assert info.num_frames == video.count_frames(path) == NUM_FRAMES
    assert info.fps == pytest.approx(25)
    assert info.duration_s == pytest.approx(NUM_FRAMES / 25)
    np.testing.assert_allclose(video.frame_times(path, range(NUM_FRAMES)), np.arange(NUM_FRAMES) / 25, atol=1e-3)

    from_start = count_calls(decoding, "from_start")
    frames = video.read_frames(path, range(NUM_FRAMES))
    assert frames.shape == (NUM_FRAMES, info.height_px, info.width_px, 3)
    assert numbers_of(frames) == list(range(NUM_FRAMES))
    np.testing.assert_array_equal(frames, decode_linearly(path))

    for index in (0, 1, 11, 12, 13, 23, 24, 25, 37, 48, 49):
        np.testing.assert_array_equal(video.read_frames(path, [index])[0], frames[index], err_msg=f"frame {index}")
    assert table_of(path).jumps == CODECS[name][3]
    assert bool(from_start) != CODECS[name][3]
    assert table_of(path).starts.sum() > 1 or not CODECS[name][3] or name in ("h264_long_gop", "h264_intra_refresh")


@pytest.mark.parametrize(
    "name", ["h264_open_gop", "h264", "hevc", "mpeg4", "mpeg2_ts", "vp9_lookahead", "av1", "h264_avi"]
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    indices=st.lists(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=12),
    seek=st.booleans(),
    threads=st.booleans(),
)
def test_any_indices_in_any_order_by_any_way(clip, name, indices, seek, threads):
    path = clip(name)
    expected = decode_linearly_once(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "SEEK_BYTES", 0 if seek else 1 << 40)
        patch.setattr(decoding, "THREAD_PX", 0 if threads else 1 << 40)
        np.testing.assert_array_equal(video.read_frames(path, indices), expected[indices])


_linear: dict[Path, np.ndarray] = {}


def decode_linearly_once(path: Path) -> np.ndarray:
    if path not in _linear:
        _linear[path] = decode_linearly(path)
    return _linear[path]


# --- only what is needed -------------------------------------------------------------------------------------------


def decoded(path, indices, monkeypatch) -> tuple[int, int]:
    """How many packets were read and how many frames came out of the decoder for these indices."""
    video.count_frames(path)  # the scan reads all packets, once
    counts = {"packets": 0, "frames": 0}

    def counted(kind, function, *args):
        for item in function(*args):
            counts[kind] += 1
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "packets", partial(counted, "packets", decoding.packets))
        patch.setattr(decoding, "_decode", partial(counted, "frames", decoding._decode))
        video.read_frames(path, indices)
    return counts["packets"], counts["frames"]


def test_only_the_group_of_pictures_of_a_frame_is_decoded(clip, monkeypatch):
    packets, frames = decoded(clip("h264"), [40], monkeypatch)
    assert frames <= 5  # frame 36 is a key frame
    assert packets <= 43  # read past, not decoded; nothing is read after frame 40 is there
    assert decoded(clip("h264"), [1], monkeypatch)[0] <= 5
    packets, frames = decoded(clip("h264_open_gop"), [1, 40], monkeypatch)
    assert frames <= 9
    assert packets <= 43


def test_distant_frames_are_reached_by_seeking(clip, monkeypatch):
    monkeypatch.setattr(decoding, "SEEK_BYTES", 0)
    packets, _ = decoded(clip("h264"), [40], monkeypatch)
    assert packets <= 7
    packets, _ = decoded(clip("h264_open_gop"), [1, 40], monkeypatch)
    assert packets <= 14


def test_frames_that_no_other_needs_are_left_out(clip, monkeypatch):
    _, frames = decoded(clip("h264_long_gop"), [0, 49], monkeypatch)
    assert frames < 0.6 * NUM_FRAMES


def test_packets_are_counted_once_while_the_file_stays_the_same(clip, count_calls, tmp_path):
    scans = count_calls(scan, "scan")
    path = tmp_path / "clip.mp4"
    shutil.copy(clip("h264"), path)
    assert video.probe(path).num_frames == NUM_FRAMES
    video.read_frames(path, [3])
    assert len(scans) == 1
    write_numbered(path, 20, options=X264)
    os.utime(path, ns=(1, 1))
    assert video.probe(path).num_frames == 20
    assert len(scans) == 2


def test_hidden_frames_are_not_counted(clip, tmp_path):
    def hide(place, packet):
        data = bytearray(bytes(packet))
        if place == 10:
            data[0] &= 0b11101111  # VP8's show_frame
        hidden = av.Packet(bytes(data))
        hidden.pts, hidden.dts, hidden.time_base, hidden.is_keyframe = (
            packet.pts,
            packet.dts,
            packet.time_base,
            place == 0,
        )
        return [hidden]

    path = rewrite(clip("vp8"), tmp_path / "hidden.webm", hide)
    assert video.count_frames(path) == NUM_FRAMES - 1
    assert numbers_of(video.read_frames(path, [9, 10, 48])) == [9, 11, 49]
    assert video.frame_times(path, [9, 10, 48]).tolist() == pytest.approx([9 / 25, 11 / 25, 49 / 25])


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_streams_that_do_not_say_how_far_they_reorder(clip, count_calls, tmp_path, suffix):
    path = strip_reordering(clip("h264_main"), tmp_path / f"silent.{suffix}")
    with av.open(str(path), options={"codec_whitelist": "none"}) as container:  # what a decoder on its own makes of it
        shown = numbers_of(np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]))
    assert suffix == "mp4" or len(shown) < NUM_FRAMES
    from_start = count_calls(decoding, "from_start")
    assert numbers_of(video.read_frames(path, range(NUM_FRAMES))) == list(range(NUM_FRAMES))
    assert [number_of(video.read_frames(path, [index])[0]) for index in range(NUM_FRAMES)] == list(range(NUM_FRAMES))
    assert not from_start


@pytest.mark.parametrize(("name", "suffix"), [("hevc", "mkv"), ("mpeg4_mp4", "mp4")])
def test_a_false_key_frame_is_found_out(clip, count_calls, tmp_path, name, suffix):
    def lie(place, packet):
        packet.is_keyframe = packet.is_keyframe or place % 5 == 0
        return [packet]

    path = rewrite(clip(name), tmp_path / f"liar.{suffix}", lie)
    with av.open(str(path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) >= NUM_FRAMES // 5
    expected = decode_linearly(path)
    from_start = count_calls(decoding, "from_start")
    for index in range(NUM_FRAMES):
        np.testing.assert_array_equal(video.read_frames(path, [index])[0], expected[index])
    assert bool(from_start) != CODECS[name][3]  # what the frames themselves say decides, not the container


@pytest.mark.parametrize(
    ("name", "suffix"), [("hevc", "mkv"), ("h264_open_gop", "mkv"), ("mpeg2_ts", "ts"), ("mpeg4", "avi")]
)
def test_a_video_cut_out_of_a_longer_one_begins_with_its_first_key_frame(clip, tmp_path, name, suffix):
    with av.open(str(clip(name))) as container:
        start = [packet.is_keyframe for packet in container.demux(video=0) if packet.size].index(True, 1)
    path = rewrite(clip(name), tmp_path / f"late.{suffix}", lambda place, packet: [packet] if place >= start else [])
    expected = decode_linearly(path)
    assert len(expected) == NUM_FRAMES - 12  # frames 10 and 11 are there, but nothing they refer to
    assert video.count_frames(path) == NUM_FRAMES - 12
    gap = 12 / 25 if suffix == "avi" else 0  # AVI's muxer puts the gap before a late video behind its first packet
    assert video.frame_times(path, [0, 1, 37]).tolist() == pytest.approx([0, 0.04 + gap, 37 / 25 + gap])
    np.testing.assert_array_equal(video.read_frames(path, range(len(expected))), expected)
    for index in (0, 1, 13, 30):
        np.testing.assert_array_equal(video.read_frames(path, [index])[0], expected[index])


def test_a_forked_worker_reads_after_its_parent_did(clip):
    path = clip("h264")
    expected = video.read_frames(path, [30])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        np.testing.assert_array_equal(pool.submit(video.read_frames, path, [30]).result(timeout=60), expected)
        with pytest.raises(video.VideoDecodeError, match="no such file"):
            pool.submit(video.read_frames, path.with_name("absent.mp4"), [0]).result(timeout=60)


# --- what containers get wrong -------------------------------------------------------------------------------------


def test_packed_mpeg4_declares_one_frame_more_than_it_holds(clip, tmp_path):
    path = pack(clip("mpeg4"), tmp_path / "packed.avi")
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == NUM_FRAMES + 1
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert stamps != sorted(stamps)  # and FFmpeg's guess at its time stamps runs backwards
    assert video.count_frames(path) == NUM_FRAMES
    assert numbers_of(video.read_frames(path, range(NUM_FRAMES))) == list(range(NUM_FRAMES))
    for index in (0, 1, 2, 3, 12, 13, 31, 49):
        assert numbers_of(video.read_frames(path, [index])) == [index]


@pytest.mark.parametrize("wrong", [0, NUM_FRAMES - 10, NUM_FRAMES + 1, 10**6])
def test_declared_counts_are_not_believed(clip, tmp_path, wrong):
    data = bytearray(clip("mpeg4").read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        place = data.index(tag) + offset
        data[place : place + 4] = wrong.to_bytes(4, "little")
    path = tmp_path / "wrong.avi"
    path.write_bytes(data)
    assert video.count_frames(path) == NUM_FRAMES
    assert numbers_of(video.read_frames(path, [49, 0])) == [49, 0]


def test_repeated_time_stamps_are_not_believed(clip, tmp_path):
    def repeat(place, packet):
        packet.pts = packet.dts = place // 2 * 2
        return [packet]

    path = rewrite(clip("ffv1"), tmp_path / "repeated.mkv", repeat)
    assert video.count_frames(path) == NUM_FRAMES
    assert numbers_of(video.read_frames(path, [13, 12, 49])) == [13, 12, 49]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate(tmp_path, suffix):
    pts = np.cumsum([0, *(1 + place % 4 for place in range(NUM_FRAMES - 1))]).tolist()
    path = write_numbered(tmp_path / f"v.{suffix}", NUM_FRAMES, options=X264, pts=pts, time_base=Fraction(1, 50))
    info = video.probe(path)
    assert info.duration_s == pytest.approx(pts[-1] / 50, abs=0.1)
    assert info.fps == pytest.approx(NUM_FRAMES / info.duration_s)
    np.testing.assert_allclose(video.frame_times(path, range(NUM_FRAMES)), np.array(pts) / 50, atol=1e-3)
    assert numbers_of(video.read_frames(path, [49, 7, 30])) == [49, 7, 30]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_time_starts_at_the_first_frame_not_at_zero(tmp_path, suffix):
    path = write_numbered(tmp_path / f"late.{suffix}", NUM_FRAMES, options=X264, pts=range(500, 500 + NUM_FRAMES))
    assert video.probe(path).duration_s == pytest.approx(2)
    assert video.frame_times(path, [0, 25]).tolist() == pytest.approx([0, 1])
    assert numbers_of(video.read_frames(path, [0, 1, 25, 49])) == [0, 1, 25, 49]


def test_an_edit_list_hides_the_first_frames(tmp_path):
    path = write_numbered(
        tmp_path / "edited.mp4",
        NUM_FRAMES,
        options=X264,
        pts=range(-7, NUM_FRAMES - 7),
        container_options={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )
    assert video.count_frames(path) == NUM_FRAMES - 7
    expected = list(range(7, NUM_FRAMES))
    assert numbers_of(video.read_frames(path, range(NUM_FRAMES - 7))) == expected
    assert [number_of(video.read_frames(path, [index])[0]) for index in (0, 5, 6, 20, 42)] == [7, 12, 13, 27, 49]
    assert video.frame_times(path, [0, 1]).tolist() == pytest.approx([0, 0.04])


def test_several_streams(tmp_path):
    path = write_numbered(tmp_path / "several.mkv", NUM_FRAMES, options=X264, others=["audio", "small"], **SIZE)
    assert video.probe(path).width_px == 192
    assert numbers_of(video.read_frames(path, [0, 30])) == [0, 30]


def test_an_attached_picture_is_not_the_video(tmp_path):
    path = write_numbered(tmp_path / "cover.mp4", NUM_FRAMES, options=X264, others=["cover", "audio"])
    with av.open(str(path)) as container:
        assert any(s.disposition & av.stream.Disposition.attached_pic for s in container.streams.video)
    assert video.count_frames(path) == NUM_FRAMES
    assert numbers_of(video.read_frames(path, [30])) == [30]


def test_metadata_need_not_be_utf8(clip, tmp_path):
    path = tmp_path / "title.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "XXXXXXXX"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(5))) + stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"XXXXXXXX", b"caf\xe9 \xff\xfe!"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert numbers_of(video.read_frames(path, [0])) == [5]


@pytest.mark.parametrize("name", ["a b.mp4", "día 动作.mp4", "http:x.mp4", "50%_%05d.mp4", "-.mp4"])
def test_odd_file_names(clip, tmp_path, monkeypatch, name):
    shutil.copy(clip("h264"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert numbers_of(video.read_frames(name, [7])) == [7]
    assert numbers_of(video.read_frames(tmp_path / name, [8])) == [8]


# --- what the frames look like -------------------------------------------------------------------------------------


@pytest.mark.parametrize("short_side_px", [None, 48])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_applied(tmp_path, clockwise, mirrored, short_side_px):
    upright = [numbered_frame(number, 128, 192) for number in range(3)]
    # what a camera stores that was held so that its picture must be turned clockwise, and then mirrored, to be upright
    stored = [np.rot90(frame[:, ::-1] if mirrored else frame, clockwise // 90) for frame in upright]
    path = write_numbered(
        tmp_path / "turned.mp4",
        3,
        height_px=stored[0].shape[0],
        width_px=stored[0].shape[1],
        options=X264,
        frames=stored,
        rotation=-clockwise,  # PyAV counts counter-clockwise
        hflip=mirrored,
    )
    info = video.probe(path)
    assert (info.height_px, info.width_px) == (128, 192)
    frames = video.read_frames(path, range(3), short_side_px=short_side_px)
    assert frames.shape == ((3, 128, 192, 3) if short_side_px is None else (3, 48, 72, 3))
    assert numbers_of(frames) == [0, 1, 2]


def test_a_slanted_rotation_is_refused(tmp_path):
    path = write_numbered(tmp_path / "slanted.mp4", 2, options=X264, rotation=-30)
    assert error_of(path) == "is rotated by 30 degrees; only multiples of 90 are supported"


def picture(height_px: int = 240, width_px: int = 320) -> np.ndarray:
    """A smooth coloured picture with edges: what chroma, channel order and resizing can be seen in."""
    y, x = np.mgrid[:height_px, :width_px]
    waves = [127 + 100 * np.sin(x / a + y / b) for a, b in ((23.0, 41.0), (37.0, 19.0), (51.0, -29.0))]
    pixels = np.stack(waves, 2)
    pixels[60:120, 60:160] = (220, 40, 30)
    pixels[120:200, 160:260] = (30, 60, 200)
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_shrinking_agrees_with_pillow(tmp_path, pix_fmt):
    path = write_numbered(
        tmp_path / "picture.mp4",
        1,
        height_px=240,
        width_px=320,
        pix_fmt=pix_fmt,
        frames=[picture()],
        options={"qp": "4"},
    )
    whole = video.read_frames(path, [0])[0]
    assert np.abs(whole.astype(int) - picture()).mean() < (4 if pix_fmt == "yuv444p" else 5)
    for side in (224, 112, 60):
        ours = video.read_frames(path, [0], short_side_px=side)[0]
        pillow = np.asarray(Image.fromarray(whole).resize((round(side * 4 / 3), side), Image.Resampling.BICUBIC))
        assert ours.shape == pillow.shape
        difference = ours.astype(int) - pillow
        assert np.abs(difference @ (0.299, 0.587, 0.114)).mean() < 1.5
        assert np.abs(difference).mean() < (1 if pix_fmt == "yuv444p" else 6)  # colours are at half the resolution
    assert video.read_frames(path, [0], short_side_px=500).shape == (1, 240, 320, 3)  # never enlarged


@pytest.mark.parametrize("short_side_px", [None, 40])
@pytest.mark.parametrize(
    ("matrix", "full_range"), [("bt470bg", False), ("bt709", False), ("bt709", True), ("bt470bg", True)]
)
def test_colours_follow_the_files_own_matrix_and_range(tmp_path, matrix, full_range, short_side_px):
    red, green, blue = colour = 200, 90, 40
    kr, kb = {"bt470bg": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    values = luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    scale = (255, 255) if full_range else (219, 224)
    y, u, v = ((0 if full_range else 16) + values[0] * scale[0] / 255, *(128 + c * scale[1] / 255 for c in values[1:]))
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"qp": "1", "x264-params": f"colormatrix={matrix}"}
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame(96, 64, "yuv420p")
        for plane, value in zip(frame.planes, (y, u, v)):
            plane.update(bytes([round(value)]) * plane.buffer_size)
        container.mux(stream.encode(frame) + stream.encode(None))
    shown = video.read_frames(path, [0], short_side_px=short_side_px)[0].reshape(-1, 3)
    assert np.abs(shown.astype(int) - colour).max() <= 4


# --- damage and nonsense -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("name", ["h264", "h264_fragments", "h264_open_gop", "vp9", "mpeg4", "h264_flv"])
def test_a_cut_file_is_an_error_not_a_shorter_video(clip, tmp_path, name, kept):
    whole = clip(name).read_bytes()
    path = tmp_path / f"cut{clip(name).suffix}"
    path.write_bytes(whole[: int(kept * len(whole))])
    if name == "mpeg4" and kept == 0.99:
        assert video.count_frames(path) == NUM_FRAMES  # only AVI's index is gone; the frames are there
    else:
        assert re.search("truncated|not readable as video", error_of(path))


def test_a_file_cut_behind_its_index_says_so(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 20, options=X264, container_options={"movflags": "+faststart"}, **SIZE)
    path.write_bytes(path.read_bytes()[:-2000])
    assert error_of(path) == "truncated or corrupt: a packet is incomplete"
    path = write_numbered(tmp_path / "a.mkv", 20, options=X264, **SIZE)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    assert error_of(path) == f"truncated: has {size - 100} of its {size} bytes"


@pytest.mark.parametrize("name", ["h264", "h264_ts", "mpeg4", "mpeg2", "hevc"])
def test_damage_is_an_error_not_a_smeared_frame(clip, tmp_path, name):
    data = bytearray(clip(name).read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data) // 4, len(data) * 3 // 4, 60):
        data[place] ^= 0x55
    path = tmp_path / f"damaged{clip(name).suffix}"
    path.write_bytes(data)
    assert re.search(
        r"frame \d+ of \d+ is corrupt|not readable|truncated or corrupt|cannot be", error_of(path, range(40))
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a video at all" * 99, "not readable as video (Invalid data found when processing input)"),
    ],
)
def test_files_that_are_no_videos(tmp_path, content, reason):
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    assert error_of(path) == reason


def test_a_missing_file(tmp_path):
    assert error_of(tmp_path / "absent.mp4") == "no such file or folder"


@pytest.mark.parametrize("cover", [False, True])
def test_a_file_with_sound_only(tmp_path, cover):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        streams = [add_other(container, kind) for kind in ("audio", "cover")[: 1 + cover]]
        for stream, frame in streams:
            container.mux(stream.encode(frame) + stream.encode(None))
    assert error_of(path) == f"contains no video stream, only audio{', image' * cover}"


def test_frames_that_change_their_size(tmp_path):
    parts = [write_numbered(tmp_path / f"{h}.h264", 5, height_px=h, options=X264) for h in (64, 128)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert video.count_frames(path) == 10
    assert error_of(path, [0, 7]) == "frame 7 is 128x96 px, others are 64x96"
    assert video.read_frames(path, [7]).shape == (1, 128, 96, 3)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 50], r"frame 50 asked for, but there are frames 0 to 49$"),
        ([-1], r"frame -1 asked for, but there are frames 0 to 49$"),
        ([], r"no frame indices given; expected at least one$"),
        ([[0, 1]], r"expected a flat list of frame indices, got int64 of shape \(1, 2\)$"),
        ([0.5], r"expected a flat list of frame indices, got float64 of shape \(1,\)$"),
    ],
)
def test_indices_that_make_no_sense(clip, as_users_call, indices, message):
    with pytest.raises(ValueError, match=message) as caught:
        video.read_frames(clip("h264"), indices)
    assert not isinstance(caught.value, video.VideoDecodeError)
    if indices and np.ndim(indices) == 1 and isinstance(indices[0], int):
        with pytest.raises(ValueError, match=message):
            video.frame_times(clip("h264"), indices)


def test_short_side_must_be_positive(clip):
    with pytest.raises(ValueError, match=r"expected short_side_px >= 1 or None, got 0"):
        video.read_frames(clip("h264"), [0], short_side_px=0)


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(video.VideoDecodeError("a/b.mp4", "the file is empty")))
    assert str(error) == "a/b.mp4: the file is empty"
    assert (error.path, error.reason) == (Path("a/b.mp4"), "the file is empty")


# --- image folders -------------------------------------------------------------------------------------------------


def write_images(folder: Path, names: list[str], height_px: int = 64, width_px: int = 96) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number, height_px, width_px)).save(folder / name, quality=95)
    return folder


@pytest.mark.parametrize("pattern", ["{}.jpg", "img_{:05d}.jpg", "frame{}.png", "clip7_{}.jpeg"])
def test_image_folders_are_in_the_order_of_their_numbers(tmp_path, pattern):
    folder = write_images(tmp_path / "clip", [pattern.format(number) for number in range(8, 23)])
    (folder / "Thumbs.db").touch()
    (folder / ".hidden.jpg").touch()
    assert video.probe(folder) == video.VideoInfo(15, None, 64, 96, None)
    assert numbers_of(video.read_frames(folder, [14, 0, 3, 3])) == [14, 0, 3, 3]
    small = video.read_frames(folder, [5], short_side_px=32)
    assert small.shape == (1, 32, 48, 3)
    assert numbers_of(small) == [5]


def test_images_rotated_by_their_camera(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn clockwise to show"
    Image.fromarray(np.rot90(numbered_frame(0, 128, 192))).save(folder / "1.jpg", exif=exif, quality=95)
    assert video.probe(folder).height_px == 128
    assert numbers_of(video.read_frames(folder, [0])) == [0]


def test_image_folders_with_faults(tmp_path):
    folder = write_images(tmp_path / "hole", [f"img_{number:03d}.jpg" for number in (1, 2, 4, 5)])
    assert error_of(folder) == "image 3 is missing (4 images, numbered 1 to 5)"
    folder = write_images(tmp_path / "twice", ["1.jpg", "01.jpg"])
    assert error_of(folder) == "images 01.jpg and 1.jpg have the same number"
    folder = write_images(tmp_path / "nameless", ["a.jpg"])
    assert error_of(folder) == "image a.jpg has no number in its name, so its position is unknown"
    folder = write_images(tmp_path / "sizes", ["1.jpg", "2.jpg"])
    Image.fromarray(numbered_frame(1, 128, 192)).save(folder / "2.jpg")
    assert error_of(folder, [0, 1]) == "image 2.jpg is 128x192 px, others are 64x96"
    folder = write_images(tmp_path / "broken", ["1.jpg", "2.jpg"])
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:700])
    assert error_of(folder, [1]).startswith("image 2.jpg cannot be read (")
    (tmp_path / "bare").mkdir()
    assert error_of(tmp_path / "bare") == "a folder without images (looked for .bmp, .jpeg, .jpg, .png, .webp)"
    folder = write_images(tmp_path / "timeless", ["1.jpg"])
    with pytest.raises(video.VideoDecodeError, match="an image folder has no timestamps; use frame indices"):
        video.frame_times(folder, [0])


def test_is_video_tells_clips_from_the_folders_that_hold_them(tmp_path):
    write_images(tmp_path / "frames", ["1.jpg"])
    (tmp_path / "a.MP4").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "bare").mkdir()
    assert [entry.name for entry in sorted(tmp_path.iterdir()) if clips.is_video(entry)] == ["a.MP4", "frames"]
    Image.fromarray(numbered_frame(0)).save(tmp_path / "preview.jpg")
    assert not clips.is_video(tmp_path)  # images next to subfolders: a collection, not a clip
    assert not clips.is_video(tmp_path / "absent.mp4")


# --- writing -------------------------------------------------------------------------------------------------------


def test_written_videos_are_read_back_and_are_always_the_same_bytes(tmp_path):
    frames = np.stack([numbered_frame(number) for number in range(20)])
    video.write_video(tmp_path / "a.mp4", frames, 12.5)
    video.write_video(tmp_path / "b.mp4", iter(frames), 12.5)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert video.probe(tmp_path / "a.mp4") == video.VideoInfo(20, 12.5, 64, 96, 1.6)
    assert numbers_of(video.read_frames(tmp_path / "a.mp4", range(20))) == list(range(20))
    assert table_of(tmp_path / "a.mp4").starts.sum() == 2
    video.write_video(tmp_path / "intra.mp4", frames, 30, qp=4, gop=1)
    assert table_of(tmp_path / "intra.mp4").starts.all()
    assert np.abs(video.read_frames(tmp_path / "intra.mp4", [7])[0].astype(int) - frames[7]).mean() < 16  # 4:2:0 noise


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames to write"),
        ([numbered_frame(0, 65, 96)], "H.264 needs even sizes, got 65x96 px; crop or pad by 1"),
        ([numbered_frame(0), numbered_frame(1, 66, 96)], "frame 1 is 66x96 px, frame 0 is 64x96"),
    ],
)
def test_frames_that_cannot_be_written(tmp_path, frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        video.write_video(tmp_path / "a.mp4", frames, 25)
    assert not (tmp_path / "a.mp4").exists()


def test_a_rate_that_makes_no_sense(tmp_path):
    with pytest.raises(ValueError, match="expected fps > 0, got 0"):
        video.write_video(tmp_path / "a.mp4", [numbered_frame(0)], 0)


# --- real clips ----------------------------------------------------------------------------------------------------

FEW = re.compile(
    "hmdb51|ucf101|mmaction2_demo|pancake|robustness/[ahpv]|/(0_1_4|33_6_3|41_8_0).avi|nofi03[03]|fi067|sunday|ADL"
)


def real_clips(real_data: Path, choose=lambda name: True) -> list[dict[str, str]]:
    with open(real_data / "MANIFEST.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("videos/") and choose(row["file"])]
    assert rows
    return rows


def check_real_clips(real_data: Path, rows: list[dict[str, str]]) -> list[str]:
    """Reads 8, 16 and 32 segment frames of each; what is wrong, one line each."""
    faults = []
    for row in rows:
        path = real_data / row["file"]
        try:
            num_frames = video.count_frames(path)
            if num_frames != int(row["frames_decoded"]):
                faults.append(f"{path}: {num_frames} frames, the manifest says {row['frames_decoded']}")
            for num_samples in (8, 16, 32):
                video.read_frames(path, sampling.segment(num_frames, num_samples)[0], short_side_px=224)
        except ValueError as error:
            faults.append(str(error))
    return faults


def test_real_clips_are_read_and_counted(real_data):
    assert check_real_clips(real_data, real_clips(real_data, FEW.search)) == []


@pytest.mark.slow
def test_all_real_clips_are_read_and_counted(real_data):
    assert check_real_clips(real_data, real_clips(real_data)) == []


@pytest.mark.parametrize(
    "name",
    ["hmdb51_RATRACE", "ucf101_v_ApplyEyeMakeup", "/0_1_4.avi", "part_0", "k400_flipping", "h265", "fi067", "sunday"],
)
def test_real_frames_are_those_of_linear_decoding(real_data, name):
    (row,) = real_clips(real_data, lambda file: name in file)
    path = real_data / row["file"]
    expected = decode_linearly(path)
    assert len(expected) == video.count_frames(path)
    for indices in (
        sampling.segment(len(expected), 16)[0],
        *np.random.default_rng(0).integers(len(expected), size=(4, 3)),
    ):
        np.testing.assert_array_equal(video.read_frames(path, indices), expected[indices])


def test_real_rotation_tags(real_data):
    folder = real_data / "videos" / "robustness"
    upright = video.read_frames(folder / "video_0.mov", [0])
    assert video.read_frames(folder / "video_90.mov", [0]).shape[1:3] == upright.shape[2:0:-1]
    assert video.read_frames(folder / "video_180.mov", [0]).shape == upright.shape


def test_real_clips_cut_short_give_one_line_each(real_data, tmp_path):
    broken = []
    for row in real_clips(real_data, re.compile("k400_mmaction2_demo|hmdb51_RATRACE|av1_video|ADL/23").search):
        path = tmp_path / Path(row["file"]).name
        path.write_bytes((real_data / row["file"]).read_bytes()[: int(row["bytes"]) * 2 // 3])
        broken.append({"file": str(path), "frames_decoded": row["frames_decoded"]})
    faults = check_real_clips(Path("/"), broken)
    assert len(faults) == len(broken) == 4
    for fault, row in zip(faults, broken):
        assert re.fullmatch(f"{row['file']}: (truncated.*|not readable as video .*)", fault)


def test_real_image_folders(real_data):
    root = real_data / "frames" / "raivokoot_demo_dataset"
    lines = (root / "annotations.txt").read_text().split("\n")
    for name, first, last, _ in (line.split() for line in lines if line):
        assert clips.is_video(root / name)
        num_frames = video.count_frames(root / name)
        assert num_frames == int(last) - int(first) + 1
        frames = video.read_frames(root / name, sampling.segment(num_frames, 8)[0], short_side_px=224)
        with Image.open(next((root / name).iterdir())) as picture:
            assert min(frames.shape[1:3]) == min(*picture.size, 224)
