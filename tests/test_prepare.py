"""A prepared data set is the data set: the same names, frames and times, whatever the files are, and however often the
work was interrupted.

Frames are recognised by the number that they show; times are compared as floats, bit for bit.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import test_video
from actionprompt import datasets, files, video
from actionprompt.apps import prepare as app
from actionprompt.apps.prepare import pool
from actionprompt.clips import VIDEO_SUFFIXES, find_videos
from actionprompt.commands import main
from actionprompt.video import prepared, scan
from actionprompt.video.prepared import Encoding
from videos import numbered_frame, numbers_of, pack, rewrite, write_numbered

NUM_FRAMES = 20
X264, VP9 = test_video.X264, test_video.VP9
SMALL = Encoding(short_side_px=64)


def reencoded(source: Path, encoding: Encoding = SMALL) -> Path:
    """The copy of a video, which has the frames and times of it."""
    target = source.with_name("copy")
    num_frames = prepared.reencode(source, target, encoding)
    places = range(num_frames)
    assert num_frames == video.count_frames(source) == video.count_frames(target)
    assert video.frame_times(target, places).tobytes() == video.frame_times(source, places).tobytes()
    table = scan.table(target, video.Limits())
    assert table.jumps
    assert np.flatnonzero(table.starts).tolist() == list(range(0, num_frames, encoding.gop))
    assert table.rank.tolist() == list(places)  # in the order of display
    return target


def container_of(path: Path) -> tuple[str, Fraction]:
    with av.open(str(path)) as container:
        return container.format.name.split(",")[0], container.streams[0].time_base


# --- one file: frames and times ------------------------------------------------------------------------------------

FEW = ("h264_open_gop", "h264_ts", "h264_raw", "h264_10_bit", "mpeg4", "mpeg2", "vp9_odd_size", "mjpeg_avi", "gif")
REST = [name for name in test_video.CODECS if name not in FEW]


@pytest.mark.parametrize("name", [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)])
def test_every_codec_keeps_its_frames_and_times(tmp_path, name):
    suffix, codec, options, _ = test_video.CODECS[name]
    source = write_numbered(tmp_path / f"a.{suffix}", NUM_FRAMES, codec, **{**test_video.SIZE, **options})
    target = reencoded(source)
    frames = video.read_frames(target, range(NUM_FRAMES))
    assert numbers_of(frames) == list(range(NUM_FRAMES))
    assert frames.shape[1] == 64
    assert video.probe(target).duration_s == pytest.approx(video.probe(source).duration_s, abs=1e-9)
    original = video.read_frames(source, range(NUM_FRAMES), short_side_px=64)
    assert np.abs(frames.mean((0, 1, 2)) - original.mean((0, 1, 2))).max() < 1.6  # 4:2:0 and rounding


RATES = {
    "ntsc": (Fraction(30000, 1001), "mp4"),
    "film": (Fraction(24000, 1001), "mkv"),
    "slow": (Fraction(1, 3), "mp4"),
    "fast": (Fraction(1000), "mp4"),
    "ntsc_avi": (Fraction(30000, 1001), "avi"),
    "odd_avi": (Fraction(2997, 100), "avi"),
    "micro_avi": (Fraction(10_000_000, 333_667), "avi"),
    "ntsc_y4m": (Fraction(30000, 1001), "y4m"),
    "ntsc_raw": (Fraction(30000, 1001), "m2v"),
}


@pytest.mark.parametrize("name", RATES)
def test_every_rate_keeps_its_times(tmp_path, name):
    rate, suffix = RATES[name]
    codec = {"y4m": "wrapped_avframe", "m2v": "mpeg2video"}.get(suffix, "libx264")
    options = {} if codec == "mpeg2video" else X264 if codec == "libx264" else {}
    source = write_numbered(tmp_path / f"a.{suffix}", 50, codec, rate=rate, options=options)
    reencoded(source)


def test_avi_of_odd_units_stays_avi_and_everything_else_becomes_mp4(tmp_path):
    ntsc = write_numbered(tmp_path / "a.avi", 40, rate=Fraction(30000, 1001), options=X264)
    assert container_of(reencoded(ntsc)) == ("avi", Fraction(1001, 30000))
    plain = write_numbered(tmp_path / "b.avi", 40, options=X264)
    assert container_of(reencoded(plain)) == ("mov", Fraction(1, 12800))


def test_a_video_without_time_stamps_gets_some_that_are_exactly_its_times(tmp_path):
    source = rewrite(
        write_numbered(tmp_path / "a.mkv", 400, "mpeg4", height_px=32, width_px=48),
        tmp_path / "repeated.mkv",
        lambda place, packet: [stamped(packet, place // 2 * 2)],
    )
    times_s = video.frame_times(source, range(400))
    assert times_s.tolist() == [place / 25 for place in range(400)]
    assert times_s.tolist() != (np.arange(400) * (1 / 25)).tolist()  # a clock of 1/25 s is another one
    target = source.with_name("copy")
    assert prepared.reencode(source, target, SMALL) == 400
    assert video.frame_times(target, range(400)).tolist() == times_s.tolist()


@pytest.mark.parametrize(
    ("rate", "num_frames"), [(25, 100_000), (Fraction(30000, 1001), 300), (Fraction(30000, 1001), 30_000)]
)
def test_a_clock_is_found_whose_ticks_are_exactly_the_times_of_a_mean_rate(rate, num_frames):
    places, rate = np.arange(num_frames), Fraction(rate)
    times_s = places / float(rate)
    (factor,) = prepared._factors(times_s, places * rate.denominator, rate.numerator)
    per_second = rate.numerator * factor
    assert per_second < 2**31
    assert (places * rate.denominator * factor * float(Fraction(1, per_second)) == times_s).all()


def stamped(packet, pts: int):
    packet.pts = packet.dts = pts
    return packet


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_variable_rate_and_a_late_start(tmp_path, suffix):
    pts = (777 + np.cumsum([0, *(1 + place % 4 for place in range(NUM_FRAMES - 1))])).tolist()
    source = write_numbered(
        tmp_path / f"v.{suffix}", NUM_FRAMES, options=X264, pts=pts, time_base=Fraction(1, 50)
    )  # fmt: skip
    assert numbers_of(video.read_frames(reencoded(source), range(NUM_FRAMES))) == list(range(NUM_FRAMES))


def test_gaps_in_avi(tmp_path):
    pts = [*range(10), *range(40, 50)]
    source = write_numbered(
        tmp_path / "g.avi", NUM_FRAMES, "mpeg4", rate=Fraction(30000, 1001), pts=pts,
        time_base=Fraction(1001, 30000),
    )  # fmt: skip
    assert np.diff(video.frame_times(source, range(NUM_FRAMES))).max() > 1
    reencoded(source)


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "gif", "h264"])
def test_a_single_frame(tmp_path, suffix):
    codec, options = ("gif", {"pix_fmt": "rgb8"}) if suffix == "gif" else ("libx264", {"options": X264})
    source = write_numbered(tmp_path / f"one.{suffix}", 1, codec, **options)
    target = reencoded(source)
    assert numbers_of(video.read_frames(target, [0])) == [0]
    assert video.probe(target).duration_s == pytest.approx(video.probe(source).duration_s, abs=1e-3)


def test_packets_that_show_nothing_and_frames_that_are_hidden(tmp_path):
    packed = pack(write_numbered(tmp_path / "a.avi", NUM_FRAMES, "mpeg4", options=test_video.BFRAMES),
                  tmp_path / "packed.avi")  # fmt: skip
    assert numbers_of(video.read_frames(reencoded(packed), range(NUM_FRAMES))) == list(range(NUM_FRAMES))
    edited = write_numbered(
        tmp_path / "edited.mp4", NUM_FRAMES, options=X264, pts=range(-7, NUM_FRAMES - 7),
        container_options={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )  # fmt: skip
    assert numbers_of(video.read_frames(reencoded(edited), range(NUM_FRAMES - 7))) == list(range(7, NUM_FRAMES))
    others = write_numbered(tmp_path / "several.mkv", NUM_FRAMES, options=X264, others=["audio", "small", "cover"])
    with av.open(str(reencoded(others))) as container:
        assert [stream.type for stream in container.streams] == ["video"]  # sound is dropped


def test_an_hour_of_gaps_is_kept(tmp_path):
    pts = [0, 1, 90_000 * 3600, 90_000 * 3600 + 1]
    source = write_numbered(
        tmp_path / "long.mkv", 4, options=X264, pts=[p + 9000 * k for k, p in enumerate(pts)],
        time_base=Fraction(1, 90_000),
    )  # fmt: skip
    assert video.frame_times(source, [2])[0] > 3600
    reencoded(source)


# --- one file: pixels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_frames_are_stored_upright(tmp_path, clockwise, mirrored):
    upright = [numbered_frame(number, 128, 192) for number in range(3)]
    stored = [np.rot90(frame[:, ::-1] if mirrored else frame, clockwise // 90) for frame in upright]
    source = write_numbered(
        tmp_path / "turned.mp4", 3, height_px=stored[0].shape[0], width_px=stored[0].shape[1], options=X264,
        frames=stored, rotation=-clockwise, hflip=mirrored,
    )  # fmt: skip
    frames = video.read_frames(reencoded(source), range(3))
    assert numbers_of(frames) == [0, 1, 2]
    assert frames.shape == (3, 64, 96, 3)
    assert np.abs(frames.astype(int) - video.read_frames(source, range(3), short_side_px=64)).mean() < 6


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", ["bt470bg", "bt709", "smpte240m"])
def test_colours_are_those_of_the_source(tmp_path, matrix, full_range):
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"qp": "1", "x264-params": f"colormatrix={matrix}"}
        stream.codec_context.color_range = 2 if full_range else 1
        for values in ((60, 90, 200), (200, 120, 60), (30, 200, 140)):
            frame = av.VideoFrame(96, 64, "yuv420p")
            for plane, value in zip(frame.planes, values):
                plane.update(bytes([value]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = video.read_frames(reencoded(path, Encoding(short_side_px=32)), range(3))
    original = video.read_frames(path, range(3), short_side_px=32)
    assert np.abs(frames.astype(int) - original).max() <= 4


@pytest.mark.parametrize(
    ("size_px", "short_side_px", "expected"),
    [
        ((64, 96), 256, (64, 96)),  # never enlarged
        ((127, 193), 256, (126, 192)),
        ((127, 193), 64, (64, 98)),
        ((240, 427), 120, (120, 214)),
        ((33, 16), 64, (32, 16)),
    ],
)
def test_sizes_are_even_and_never_larger(tmp_path, size_px, short_side_px, expected):
    source = write_numbered(tmp_path / "a.mkv", 2, "ffv1", height_px=size_px[0], width_px=size_px[1], pix_fmt="yuv444p")
    frames = video.read_frames(reencoded(source, Encoding(short_side_px=short_side_px)), [0, 1])
    assert frames.shape[1:3] == expected


def test_quality_is_that_of_the_source_at_the_same_size(tmp_path):
    source = next(Path(__file__).parents[1].joinpath("examples").glob("*.mp4"))
    target = tmp_path / "copy"
    num_frames = prepared.reencode(source, target, Encoding(short_side_px=112))
    one, other = (
        video.read_frames(target, range(num_frames)),
        video.read_frames(source, range(num_frames), short_side_px=112),
    )
    assert one.shape == other.shape
    assert psnr(one, other) > 36
    worse = tmp_path / "worse"
    prepared.reencode(source, worse, Encoding(short_side_px=112, crf=40))
    assert psnr(video.read_frames(worse, range(num_frames)), other) < 33  # the measure sees what crf does
    assert worse.stat().st_size < target.stat().st_size / 2


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean())


def test_the_same_frames_give_the_same_bytes_with_a_key_frame_every_gop(tmp_path):
    source = write_numbered(tmp_path / "a.mp4", 10, options=X264)
    one = reencoded(source).read_bytes()
    assert one == reencoded(source).read_bytes()
    random = np.random.default_rng(0)
    scenes = [np.kron(random.integers(0, 256, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8)) for _ in range(4)]
    cuts = write_numbered(tmp_path / "cuts.mp4", 20, options=X264, frames=[scene for scene in scenes for _ in range(5)])
    for gop in (1, 3, 8):
        reencoded(cuts, Encoding(64, gop))  # no key frames where scenes change


# --- one file: what cannot be done ---------------------------------------------------------------------------------


def test_a_copy_that_is_not_as_it_should_be_is_found_out(tmp_path, monkeypatch):
    source, target = write_numbered(tmp_path / "a.mp4", NUM_FRAMES, options=X264), tmp_path / "copy"
    write = prepared._write

    def fewer(target, frames, first, clock, encoding):
        clock = prepared._Clock(clock.container, clock.unit_s, clock.ticks[:-1], 1)
        write(target, list(frames)[:-1], first, clock, encoding)

    def late(target, frames, first, clock, encoding):
        ticks = clock.ticks.copy()
        ticks[5] += 1
        write(target, frames, first, prepared._Clock(clock.container, clock.unit_s, ticks, 1), encoding)

    def sparse(target, frames, first, clock, encoding):
        write(target, frames, first, clock, Encoding(64, 5))

    def nothing(target, frames, first, clock, encoding):
        list(frames)
        target.write_bytes(b"not a video" * 100)

    for wrong, reason in (
        (fewer, "its copy has 19 frames, not 20"),
        (late, "the times of its copy differ"),
        (sparse, "its copy has 4 frames that reading can start at"),
        (nothing, "its copy cannot be read: not readable as video"),
    ):
        monkeypatch.setattr(prepared, "_write", wrong)
        with pytest.raises(prepared.Unlike, match=reason):
            prepared.reencode(source, target, SMALL)


def test_frames_of_several_sizes_and_damage_are_the_readers_errors(tmp_path):
    parts = [write_numbered(tmp_path / f"{h}.h264", 5, height_px=h, options=X264) for h in (64, 128)]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(video.VideoDecodeError, match="frame 5 is 128x96 px, others are 64x96"):
        prepared.reencode(both, tmp_path / "copy", SMALL)
    whole = write_numbered(tmp_path / "a.mp4", NUM_FRAMES, options=X264, **test_video.SIZE)
    data = bytearray(whole.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 4, len(data) * 3 // 4, 60):
        data[place] ^= 0x55
    whole.write_bytes(data)
    with pytest.raises(video.VideoDecodeError):
        prepared.reencode(whole, tmp_path / "copy", SMALL)


@pytest.mark.parametrize("values", [{"gop": 0}, {"crf": 52}, {"short_side_px": 1}])
def test_encodings_that_make_no_sense(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"expected {name} from"):
        Encoding(**values)


# --- folders of images ---------------------------------------------------------------------------------------------


def images(folder: Path, suffix: str, size_px: tuple[int, int], num_frames: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(num_frames):
        Image.fromarray(numbered_frame(number, *size_px)).save(folder / f"img_{number:05}.{suffix}", quality=95)
    return folder


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_images_are_shrunk_as_the_reader_does_it(tmp_path, suffix):
    folder = images(tmp_path / "clip", suffix, (128, 192))
    (folder / "Thumbs.db").write_bytes(b"x")
    assert prepared.shrink_images(folder, tmp_path / "copy", SMALL) == 3
    assert sorted(os.listdir(tmp_path / "copy")) == sorted(os.listdir(folder))
    ours, expected = (video.read_frames(path, range(3), short_side_px=64) for path in (tmp_path / "copy", folder))
    assert numbers_of(ours) == [0, 1, 2]
    assert np.abs(ours.astype(int) - expected).mean() < (0.01 if suffix in ("png", "bmp") else 8)
    with Image.open(tmp_path / "copy" / f"img_00000.{suffix}") as image:
        assert image.size == (96, 64)
        assert image.format == {"jpg": "JPEG"}.get(suffix, suffix.upper())


def test_small_images_are_copied_byte_by_byte_and_turned_ones_stay_upright(tmp_path):
    folder = images(tmp_path / "small", "jpg", (64, 96))
    prepared.shrink_images(folder, tmp_path / "a", SMALL)
    for path in folder.iterdir():
        assert (tmp_path / "a" / path.name).read_bytes() == path.read_bytes()
    turned = tmp_path / "turned"
    turned.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(numbered_frame(0, 128, 192))).save(turned / "1.jpg", exif=exif, quality=95)
    prepared.shrink_images(turned, tmp_path / "b", SMALL)
    assert numbers_of(video.read_frames(tmp_path / "b", [0])) == [0]
    assert video.read_frames(tmp_path / "b", [0]).shape == (1, 64, 96, 3)


def test_images_of_several_sizes_are_an_error(tmp_path):
    folder = images(tmp_path / "clip", "png", (128, 192), 2)
    Image.fromarray(numbered_frame(1, 64, 96)).save(folder / "img_00001.png")
    with pytest.raises(video.VideoDecodeError, match=r"image img_00001\.png is 64x96 px, others are 128x192"):
        prepared.shrink_images(folder, tmp_path / "copy", SMALL)


# --- data sets -----------------------------------------------------------------------------------------------------


def write_root(root: Path) -> Path:
    """A data set of videos in odd codecs, folders of images, lists and links."""
    for name in ("train/run", "train/walk", "test/run", "test/walk", "test/empty"):
        (root / name).mkdir(parents=True)
    write_numbered(root / "train/run/a b.mp4", 12, options=X264)
    write_numbered(root / "train/walk/b.avi", 12, "mpeg4", rate=Fraction(30000, 1001))
    images(root / "test/walk/d", "png", (128, 192), 4)
    write_numbered(root / "test/run/A.webm", 12, "libvpx-vp9", options=VP9)
    write_numbered(root / "test/run/a.webm", 8, "libvpx-vp9", options=VP9)
    (root / "list.csv").write_text("path,label\ntrain/run/a b.mp4,run\ntest/walk/d,walk\ntest/run/link.mp4,run\n")
    (root / "test/run/link.mp4").symlink_to("../../train/run/a b.mp4")
    return root


def tree(folder: Path) -> dict[str, bytes]:
    """Every file but the table, whose lines come in the order in which clips were finished."""
    inside = [path for path in folder.rglob("*") if path.is_file() and path.name not in (app.ROWS, prepared.MANIFEST)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in inside}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_root(tmp_path_factory.mktemp("data") / "source")


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("data") / "target"
    result = app.prepare(source, target, SMALL, num_workers=1)
    assert (result.num_videos, result.num_folders, result.num_files) == (4, 1, 1)
    assert result.broken == result.kept == result.left_out == ()
    return target


def test_a_data_set_loads_from_the_target_as_from_the_source(source, undisturbed):
    assert not (undisturbed / app.SCRATCH).exists()
    assert (undisturbed / "list.csv").read_bytes() == (source / "list.csv").read_bytes()
    for part in ("train", "test"):
        one, other = (datasets.get("folder").load(root, part=part) for root in (source, undisturbed))
        assert [clip.key for clip in one.clips] == [clip.key for clip in other.clips]
        assert (one.sha256, one.classes_sha256) == (other.sha256, other.classes_sha256)
        assert one.ignored == other.ignored  # not a word about the manifest
    clips = datasets.get("csv").load(undisturbed / "list.csv").clips
    for clip in clips:
        original = source / clip.path.relative_to(undisturbed)
        num_frames = video.count_frames(clip.path)
        assert num_frames == video.count_frames(original)
        assert numbers_of(video.read_frames(clip.path, range(num_frames))) == list(range(num_frames))
        if clip.path.is_file():
            places = range(num_frames)
            assert video.frame_times(clip.path, places).tolist() == video.frame_times(original, places).tolist()
        assert prepared.folder_of(clip.path) == undisturbed
        assert prepared.folder_of(original) is None


def test_the_manifest_names_options_hashes_frames_and_bytes(source, undisturbed):
    manifest = json.loads((undisturbed / prepared.MANIFEST).read_text())
    assert manifest["encoding"] == {"short_side_px": 64, "gop": 4, "crf": SMALL.crf}
    rows = {row["name"]: row for row in map(json.loads, (undisturbed / app.ROWS).read_text().splitlines())}
    assert set(rows) == {
        "train/run/a b.mp4", "train/walk/b.avi", "test/run/A.webm", "test/run/a.webm", "test/walk/d", "list.csv",
    }  # fmt: skip
    row = rows["train/walk/b.avi"]
    assert row["sha256"] == files.sha256(source / "train/walk/b.avi")
    assert (row["frames"], row["bytes"]) == (12, (source / "train/walk/b.avi").stat().st_size)
    assert row["prepared_bytes"] == (undisturbed / "train/walk/b.avi").stat().st_size
    clips = [row for row in rows.values() if row["kind"] != "file"]
    assert manifest["bytes_before"] == sum(row["bytes"] for row in clips)
    assert manifest["bytes_after"] == sum(row["prepared_bytes"] for row in clips)


def test_links_inside_stay_links_and_links_that_lead_out_are_followed(tmp_path):
    outside = tmp_path / "outside"
    (outside / "more").mkdir(parents=True)
    write_numbered(outside / "more/x.mp4", 4, options=X264)
    root = tmp_path / "source"
    root.mkdir()
    shutil.copy(outside / "more/x.mp4", root / "0a1b2c")
    (root / "stored.mp4").symlink_to("0a1b2c")
    (root / "class").symlink_to(outside / "more", target_is_directory=True)
    (root / "same").symlink_to("class", target_is_directory=True)
    (root / "loop").symlink_to(".", target_is_directory=True)
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    result = app.prepare(root, tmp_path / "target", SMALL, num_workers=1)
    assert result.broken == ("gone.mp4: a link to nothing",)
    target = tmp_path / "target"
    assert not (target / "class").is_symlink()
    assert numbers_of(video.read_frames(target / "class/x.mp4", range(4))) == [0, 1, 2, 3]
    assert not (target / "stored.mp4").is_symlink()  # its content is a file without a suffix, which stays as it is
    assert scan.table(target / "stored.mp4", video.Limits()).starts.sum() == 1
    assert (target / "0a1b2c").read_bytes() == (root / "0a1b2c").read_bytes()
    assert os.readlink(target / "loop") == "."
    target.rename(tmp_path / "moved")  # links are relative
    assert video.count_frames(tmp_path / "moved/same/x.mp4") == 4


def test_what_was_a_link_or_a_file_and_is_a_folder_now(tmp_path):
    root, target = tmp_path / "source", tmp_path / "target"
    (root / "a").mkdir(parents=True)
    write_numbered(root / "a/x.mp4", 4, options=X264)
    (root / "link").symlink_to("a", target_is_directory=True)
    (root / "file").touch()
    app.prepare(root, target, SMALL, num_workers=1)
    before = (target / "a/x.mp4").read_bytes()
    for name in ("link", "file"):
        (root / name).unlink()
        (root / name).mkdir()
        write_numbered(root / name / "x.mp4", 6, options=X264)
    result = app.prepare(root, target, SMALL, num_workers=1)
    assert (result.num_videos, result.num_before) == (3, 1)
    assert (target / "a/x.mp4").read_bytes() == before
    assert [video.count_frames(target / name / "x.mp4") for name in ("a", "link", "file")] == [4, 6, 6]


def test_a_second_run_does_only_what_is_new(source, undisturbed, tmp_path, monkeypatch):
    root, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(source, root, symlinks=True)
    shutil.copytree(undisturbed, target, symlinks=True)
    done = []

    def here(work, tasks, num_workers):  # in this process, so that calls can be counted
        for task in tasks:
            done.append(task[0].name)
            yield task, work(task)

    monkeypatch.setattr(pool, "run", here)
    calls = []
    monkeypatch.setattr(prepared, "reencode", lambda *args: calls.append(args[0].name) or reencode(*args))
    assert app.prepare(root, target, SMALL).num_before == 6
    assert done == []
    table = target / app.ROWS
    table.write_text(table.read_text() + '{"name": "train/run/a b.mp4", "kind": "vid')  # as a killed run leaves it
    os.utime(root / "train/run/a b.mp4", ns=(1, 1))  # a new date alone
    write_numbered(
        root / "test/run/A.webm", 9, "libvpx-vp9", options=VP9
    )  # a new clip under an old name; its row comes first
    (target / "train/walk/b.avi").unlink()
    (target / "test/run/a.webm").write_bytes(b"cut")
    assert app.prepare(root, target, SMALL).num_before == 2
    assert sorted(done) == ["test/run/A.webm", "test/run/a.webm", "train/run/a b.mp4", "train/walk/b.avi"]
    assert calls == ["A.webm", "a.webm", "b.avi"]
    assert video.count_frames(target / "test/run/A.webm") == 9
    done.clear()
    assert app.prepare(root, target, SMALL).num_before == 6
    assert done == []
    (root / "train/walk/b.avi").write_bytes(b"no video")  # what was good once is not left behind
    assert app.prepare(root, target, SMALL).broken == (
        "train/walk/b.avi: not readable as video (Invalid data found when processing input)",
    )
    assert not (target / "train/walk/b.avi").exists()


reencode = prepared.reencode


def test_what_cannot_be_read_is_listed_and_the_rest_is_done(tmp_path, capsys, own_console):
    root = tmp_path / "source"
    (root / "run").mkdir(parents=True)
    name = os.fsdecode(b"a\n\xe9\x1b[31m.mp4")
    write_numbered(root / "good.mp4", 4, options=X264).rename(root / "run" / name)
    (root / "run/bad.mp4").write_bytes(b"")
    images(root / "run/hole", "png", (32, 32)).joinpath("img_00001.png").unlink()
    (root / "run/all.tar.gz").write_bytes(b"archive")
    (root / "run/._good.mp4").write_bytes(b"of macOS")
    os.mkfifo(root / "run/pipe")
    target = tmp_path / "target"
    assert main(["prepare", str(root), str(target), "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert "1 clip and 0 other files are in" in out
    assert "--clips.max-missing 2" in out
    assert "run/bad.mp4: the file is empty" in err
    assert "run/hole: image 1 is missing" in err
    assert "left out: 3: run/._good.mp4, run/all.tar.gz, run/pipe" in err
    assert [os.fsencode(path.name) for path in (target / "run").iterdir()] == [os.fsencode(name)]
    assert find_videos([str(target)]) == [target / "run" / name]
    assert datasets.get("folder").load(target).ignored == ()


def test_a_video_that_cannot_be_copied_exactly_is_copied_as_it_is_and_named(tmp_path, monkeypatch):
    root = tmp_path / "source"
    root.mkdir()
    path = write_numbered(root / "a.mp4", 4, options=X264)

    def unlike(*args):
        raise prepared.Unlike("its times cannot be had")

    monkeypatch.setattr(prepared, "reencode", unlike)
    monkeypatch.setattr(pool, "run", lambda work, tasks, _: ((task, work(task)) for task in tasks))
    result = app.prepare(root, tmp_path / "target", SMALL)
    assert result.kept == ("a.mp4: its times cannot be had",)
    assert result.broken == ()
    assert (tmp_path / "target/a.mp4").read_bytes() == path.read_bytes()


def test_folders_that_are_refused(source, undisturbed, tmp_path):
    def refusal(one: Path, other: Path, encoding: Encoding = SMALL) -> str:
        with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
            app.prepare(one, other, encoding)
        return str(caught.value)

    assert "of which none is in the other" in refusal(source, source)
    assert "of which none is in the other" in refusal(source, source / "deep/target")
    assert "of which none is in the other" in refusal(source / "train", source)
    (tmp_path / "link").symlink_to(source, target_is_directory=True)
    assert "of which none is in the other" in refusal(source, tmp_path / "link" / "target")
    assert not (source / "deep").exists()
    assert "there is no" in refusal(tmp_path / "absent", tmp_path / "t")
    assert "got the file" in refusal(source / "list.csv", tmp_path / "t")
    assert "got the file" in refusal(source, source.parent / "source/list.csv")
    assert "was itself written by prepare" in refusal(undisturbed, tmp_path / "t")
    assert "is one clip, a folder of images" in refusal(source / "test/walk/d", tmp_path / "t")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").touch()
    assert "expected videos or folders of images, found none" in refusal(tmp_path / "lists", tmp_path / "t")
    (tmp_path / "lists" / app.ROWS).touch()  # would be written over the table of the target
    assert "was itself written by prepare (prepared.jsonl)" in refusal(tmp_path / "lists", tmp_path / "t")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    assert "is not empty (notes.txt) and was not written by prepare" in refusal(source, tmp_path / "mine")
    said = refusal(source, undisturbed, Encoding(short_side_px=128))
    assert f"short_side_px 64, gop 4, crf {SMALL.crf}, and now short_side_px 128" in said
    assert not (tmp_path / "t").exists()


def test_names_that_differ_in_case_are_refused_where_the_disk_does_not_tell(source, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "_tells_case", lambda target: False)
    with pytest.raises(ValueError, match=r"test/run/a.webm and test/run/A.webm would be one file"):
        app.prepare(source, tmp_path / "target", SMALL)


def test_a_full_disk_is_foretold_and_ends_the_run(source, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(pool, "run", lambda work, tasks, _: ((task, work(task)) for task in tasks))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(ValueError, match=r"0\.1 kB are to be copied in addition to the clips, and 0\.0 kB are free"):
        app.prepare(source, tmp_path / "one", SMALL)
    monkeypatch.setattr(app, "SAMPLE", 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.warns(files.Notice, match=r"the rest will take about \d+\.\d kB, and 1.0 kB are free"):
        app.prepare(source, tmp_path / "two", SMALL)

    def full(source, target, *args):
        if source.name == "b.avi":
            raise OSError(28, "No space left on device")
        return reencode(source, target, *args)

    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(prepared, "reencode", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        app.prepare(source, tmp_path / "three", SMALL)
    assert caught.value.filename.endswith("train/walk/b.avi")
    assert not (tmp_path / "three" / app.SCRATCH).exists()


def test_a_task_that_ends_its_process_is_one_that_fails():
    tasks = ["1", "__import__('os')._exit(3)", "3", "4"]
    assert dict(pool.run(eval, tasks, 1)) == {"1": 1, tasks[1]: None, "3": 3, "4": 4}


def test_killed_at_any_point_and_called_again_it_ends_whole(source, undisturbed, tmp_path):
    target = tmp_path / "target"
    command = [sys.executable, "-m", "actionprompt", "prepare", str(source), str(target), "--short-side", "64"]
    command += ["--workers", "1"]
    process = subprocess.Popen(command, start_new_session=True)
    rows = target / app.ROWS
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert all_end(process.pid)
    result = app.prepare(source, target, SMALL, num_workers=1)
    assert result.num_before >= 1
    assert tree(target) == tree(undisturbed)


def all_end(group: int) -> bool:
    """Whether all processes of a group, workers as well, end within five seconds."""
    ended = time.monotonic() + 5
    while time.monotonic() < ended:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_at_once(tmp_path, number):
    root = tmp_path / "source"
    root.mkdir()
    frames = (np.kron(numbered_frame(place), np.ones((12, 12, 1), np.uint8)) for place in range(300))
    write_numbered(root / "a.mp4", 300, height_px=768, width_px=1152, frames=frames, options={"preset": "ultrafast"})
    shutil.copy(root / "a.mp4", root / "b.mp4")
    command = [sys.executable, "-m", "actionprompt", "prepare", str(root), str(tmp_path / "target"), "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    while not list((tmp_path / "target" / app.SCRATCH).glob("[0-9]*")):
        assert process.poll() is None
        time.sleep(0.02)
    began = time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    assert process.wait(timeout=10) == 130
    assert time.monotonic() - began < 5
    assert all_end(process.pid)
    assert not (tmp_path / "target" / app.SCRATCH).exists()
    assert process.stderr.read().decode().count("\n") == 1


@pytest.mark.parametrize("unit", [Fraction(1, 25), pytest.param(Fraction(1001, 30000), marks=pytest.mark.slow)])
def test_every_suffix_of_a_video_is_opened_by_its_content(tmp_path, unit):
    suffix = "mp4" if unit.numerator == 1 else "avi"
    target = reencoded(write_numbered(tmp_path / f"a.{suffix}", 5, rate=1 / unit, options=X264))
    assert container_of(target)[0] == {"mp4": "mov"}.get(suffix, suffix)
    for name in sorted(VIDEO_SUFFIXES):
        path = target.rename(tmp_path / f"b{name}")
        assert numbers_of(video.read_frames(path, range(5))) == list(range(5)), name
        target = path


# --- real clips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["hmdb51_RATRACE", "ucf101_v_ApplyEyeMakeup", "/0_1_4.avi", "k400_flipping", "video_90", "h264_10bits", "fi067"],
)
def test_real_clips_keep_their_frames_and_times(real_data, tmp_path, name):
    (row,) = test_video.real_clips(real_data, lambda file: name in file)
    original, target = real_data / row["file"], tmp_path / "copy"
    num_frames = prepared.reencode(original, target, Encoding())
    places = np.arange(num_frames)
    assert num_frames == int(row["frames_decoded"]) == video.count_frames(target)
    assert video.frame_times(target, places).tobytes() == video.frame_times(original, places).tobytes()
    some = places[:: max(1, num_frames // 6)]
    ours = video.read_frames(target, some)
    size_px = ours.shape[2:0:-1]
    for frame, whole in zip(ours, video.read_frames(original, some)):
        assert psnr(frame, np.asarray(Image.fromarray(whole).resize(size_px, Image.Resampling.BICUBIC))) > 26
