"""What files ask for and may not get: limits, special files, sizes, playlists; and streams that change on the way."""

import os
import shutil
import socket
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from actionprompt import video
from actionprompt.video import scan
from videos import numbered_frame, numbers_of, write_numbered

X264 = {"x264-params": "bframes=2:scenecut=0:threads=1"}


def error_of(path: Path, **options) -> str:
    with pytest.raises(video.VideoDecodeError) as caught:
        video.read_frames(path, [0], **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value.reason


def plain(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return np.stack([f.to_ndarray(format="rgb24", interpolation="BICUBIC") for f in container.decode(stream)])


def assert_plain(path: Path, num_frames: int) -> None:
    """Every frame alone, and all together, are those of plain decoding."""
    expected = plain(path)
    assert video.count_frames(path) == len(expected) == num_frames
    np.testing.assert_array_equal(video.read_frames(path, range(num_frames)), expected)
    for index in range(num_frames):
        np.testing.assert_array_equal(video.read_frames(path, [index])[0], expected[index], err_msg=f"frame {index}")


# --- streams that change on the way --------------------------------------------------------------------------------


def flv_tags(path: Path) -> list[bytearray]:
    data, place, tags = path.read_bytes(), 13, []
    while place < len(data):
        size = 11 + int.from_bytes(data[place + 1 : place + 4]) + 4
        tags.append(bytearray(data[place : place + size]))
        place += size
    return tags


def test_a_sequence_header_that_changes_is_never_skipped(tmp_path):
    """The second header tells of other quantisation matrices: without it, frames look right and are not."""
    parts = [
        write_numbered(tmp_path / f"{cqm}.flv", 20, options={"x264-params": f"{X264['x264-params']}:cqm={cqm}"})
        for cqm in ("flat", "jvt")
    ]
    second = [tag for tag in flv_tags(parts[1]) if tag[0] == 9]
    for tag in second:
        time_ms = int.from_bytes(tag[4:7]) + 20 * 40
        tag[4:7] = time_ms.to_bytes(3)
    both = tmp_path / "both.flv"
    both.write_bytes(parts[0].read_bytes()[:13] + b"".join(flv_tags(parts[0])[:-1]) + b"".join(second))
    assert_plain(both, 40)


@pytest.mark.parametrize("changed", [False, True])
def test_concatenated_transport_streams_are_whole(tmp_path, changed):
    """`cat a.ts b.ts`: the counters of packets start again, and nothing is lost; the encoder may differ, too."""
    other = {"x264-params": X264["x264-params"] + ":cqm=jvt:ref=1"} if changed else X264
    parts = [write_numbered(tmp_path / f"{k}.ts", 15, options=o) for k, o in enumerate((X264, other))]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert_plain(both, 30)


def test_times_of_an_avi_with_empty_packets_are_its_own(tmp_path):
    pts = range(0, 60, 3)
    path = write_numbered(tmp_path / "a.avi", 20, "mjpeg", pix_fmt="yuvj420p", pts=pts, time_base=Fraction(1, 25))
    assert video.frame_times(path, [0, 1, 2, 19]).tolist() == pytest.approx([0, 0.12, 0.24, 57 / 25])
    assert numbers_of(video.read_frames(path, [0, 1, 19])) == [0, 1, 19]


def test_an_edit_list_that_discards_everything(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 10, options=X264)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 16  # media time of the first entry: behind the last frame
    data[place : place + 4] = (1 << 20).to_bytes(4)
    path.write_bytes(data)
    assert error_of(path) == "none of its 10 video packets shows a frame"


def test_absurd_times_are_not_believed(tmp_path):
    path = write_numbered(tmp_path / "a.avi", 10, "mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 20  # scale of the rate
    data[place : place + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    assert error_of(path) == "has neither timestamps nor a frame rate"


def test_every_given_fault_is_read_as_by_plain_decoding_or_refused(real_data, tmp_path):
    """The inputs of `faults`: what each is read as."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
    import judge

    folder, equal = real_data / "faults", set()
    for file in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix != ".md"):
        path = file
        if file.name.startswith("pic_"):
            path = tmp_path / file.stem
            path.mkdir(exist_ok=True)
            shutil.copy(file, path / f"1{file.suffix}")
        found = judge.judge(path, "0")
        assert found["verdict"] in ("equal", "refused"), (file.name, found)
        equal |= {file.name} if found["verdict"] == "equal" else set()
    assert equal >= {"m9536.ts", "m3769.flv", "m366.webm", "m3227.mkv", "m220.avi", "m6075.avi", "m8851.gif"}
    clips = folder / "reports" / "videos"
    for name in ("paff_frame.ts", "HCAFF1_HHI.264", "paff_field.mkv", "paff_frame.mp4", "stsd_ref.mp4", "stsd_cqm.mp4"):
        assert judge.judge(clips / name, "0") == {"verdict": "equal", "why": "", "sound": True}, name


# --- limits --------------------------------------------------------------------------------------------------------


def huge_gif(path: Path, side_px: int = 16_000) -> Path:
    """Some 30 bytes that ask for gigabytes."""
    size = struct.pack("<HH", side_px, side_px)
    palette = bytes(6)
    image = b"," + bytes(4) + size + b"\0\2\2L\1\0"
    path.write_bytes(b"GIF89a" + size + b"\x80\0\0" + palette + image + b";")
    return path


def test_frames_above_the_limit_are_refused_before_they_are_decoded(tmp_path):
    path = huge_gif(tmp_path / "a.gif")
    limit = "a frame of 16000x16000 px exceeds the limit of 67108864 pixels; raise it by ACTIONPROMPT_MAX_PIXELS"
    assert error_of(path) == limit
    with pytest.raises(video.VideoDecodeError, match="exceeds the limit"):
        video.count_frames(path)


def test_limits_are_set_by_an_argument_or_by_the_environment(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 10, options=X264)
    small = video.Limits(max_pixels=64 * 96 - 1)
    assert "exceeds the limit of 6143 pixels" in error_of(path, limits=small)
    assert "exceeds the limit" not in str(video.probe(path))
    monkeypatch.setenv("ACTIONPROMPT_MAX_PIXELS", "6143")
    assert "exceeds the limit of 6143 pixels" in error_of(path)
    monkeypatch.setenv("ACTIONPROMPT_MAX_PIXELS", "6144")
    monkeypatch.setenv("ACTIONPROMPT_MAX_BYTES", str(64 * 96 * 3 * 4))
    assert video.read_frames(path, range(4)).nbytes == 64 * 96 * 3 * 4
    with pytest.raises(video.VideoDecodeError, match=r"92160 bytes, and the limit is 73728 per call.*MAX_BYTES"):
        video.read_frames(path, range(5))
    assert len(video.read_frames(path, range(5), short_side_px=32)) == 5


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "many", "1.5"])
def test_a_limit_that_is_no_number_is_one_line(tmp_path, monkeypatch, text):
    path = write_numbered(tmp_path / "a.mp4", 2, options=X264)
    monkeypatch.setenv("ACTIONPROMPT_MAX_BYTES", text)
    with pytest.raises(
        ValueError, match=r"max_bytes >= 1, got 0|ACTIONPROMPT_MAX_BYTES: expected a whole number"
    ) as caught:
        video.read_frames(path, [0])
    assert not isinstance(caught.value, video.VideoDecodeError)


def test_a_stream_that_grows_on_the_way_is_held_to_the_limit(tmp_path):
    parts = [write_numbered(tmp_path / f"{h}.h264", 5, height_px=h, options=X264) for h in (64, 128)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(video.VideoDecodeError):
        video.read_frames(path, [7], limits=video.Limits(max_pixels=64 * 96))
    assert video.read_frames(path, [7]).shape == (1, 128, 96, 3)


# --- special files -------------------------------------------------------------------------------------------------

NO_FILE = "neither a file nor a folder of images, but a pipe, a socket or a device"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_sockets_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert error_of(tmp_path / "pipe.mp4") == NO_FILE
    with socket.socket(socket.AF_UNIX) as opened:
        place = os.getcwd()
        os.chdir(tmp_path)  # the names of sockets must be short
        try:
            opened.bind("s.mp4")
        finally:
            os.chdir(place)
        assert error_of(tmp_path / "s.mp4") == NO_FILE
    assert error_of(Path("/dev/null")) == NO_FILE
    (tmp_path / "frames").mkdir()
    os.mkfifo(tmp_path / "frames" / "1.png")
    assert error_of(tmp_path / "frames") == "image 1.png is no file"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_loop_of_links_is_an_error(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    assert "symbolic links" in error_of(tmp_path / "a.mp4")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="every file is readable to this user")
def test_a_file_without_permission(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 2, options=X264)
    path.chmod(0)
    assert error_of(path) == "not readable as video (Permission denied)"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError(), IndexError("list index")])
def test_whatever_a_file_causes_is_a_decode_error(tmp_path, monkeypatch, error):
    path = write_numbered(tmp_path / "a.mp4", 2, options=X264)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(scan, "open_video", fail)
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    assert error_of(path) == f"not readable as video ({text})"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.ts\n",
    ],
    ids=["playlist", "script"],
)
def test_a_file_that_names_others_opens_none(tmp_path, content):
    write_numbered(tmp_path / "other.ts", 5, options=X264)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert error_of(path).startswith("not readable as video (")


# --- images --------------------------------------------------------------------------------------------------------


def test_images_of_16_bits_are_scaled_not_clipped(tmp_path):
    folder = tmp_path / "grey"
    folder.mkdir()
    values = numbered_frame(5)[..., 0].astype(np.uint16) * 256 + 77
    Image.fromarray(values).save(folder / "1.png")
    np.testing.assert_array_equal(video.read_frames(folder, [0])[0], np.repeat(values[..., None] >> 8, 3, 2))


def test_a_png_that_declares_gigabytes_allocates_none(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(numbered_frame(5)).save(folder / "1.png")
    data = bytearray((folder / "1.png").read_bytes())
    place = data.index(b"IDAT") - 4
    data[place : place + 4] = (0xFFFF1803).to_bytes(4)
    (folder / "1.png").write_bytes(data)
    assert error_of(folder) == "image 1.png is damaged: a part says it has 4294907907 bytes"


def test_images_of_other_formats_and_sizes_are_refused(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")  # Pillow would run Ghostscript
    assert error_of(folder).startswith("image 1.png cannot be read (cannot identify image file")
    huge_gif(folder / "1.png", 9_000)
    assert error_of(folder).startswith("image 1.png of 9000x9000 px exceeds the limit of 67108864 pixels")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "deep.tiff")
    shutil.copy(tmp_path / "deep.tiff", folder / "1.png")
    assert error_of(folder).startswith("image 1.png cannot be read (")
