"""Which videos folders, globs and tables name: links, loops, macOS, other suffixes, pipes, one file twice."""

import os
from pathlib import Path

import pytest

from actionprompt import clips
from actionprompt.clips import check_different, find_videos, search
from actionprompt.datasets import folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def links(tmp_path) -> None:
    try:
        (tmp_path / "probe").symlink_to(tmp_path)
    except OSError:
        pytest.skip("links need a privilege here")
    (tmp_path / "probe").unlink()


def test_linked_folders_are_searched_and_loops_end(links, tmp_path):
    touch(tmp_path / "real/a.mp4", tmp_path / "root/run/b.mp4")
    (tmp_path / "root/walk").symlink_to(tmp_path / "real")
    (tmp_path / "root/run/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/run/self").symlink_to(tmp_path / "root/run/self")
    (tmp_path / "root/c.mp4").symlink_to(tmp_path / "gone.mp4")
    found = search(tmp_path / "root")
    assert [path.name for path in found.videos] == ["b.mp4", "a.mp4"]
    assert sorted(path.name for path in found.others) == ["c.mp4", "self"], "links to nothing are named"


def test_what_macos_left_is_counted_and_not_looked_at(tmp_path):
    touch(
        *(tmp_path / name for name in ("a.mp4", "._a.mp4", ".DS_Store", "__MACOSX/b.mp4", "run/._b.mp4", "run/b.mp4"))
    )
    lines: list[str] = []
    assert find_videos([str(tmp_path)], lines.append) == [tmp_path / "a.mp4", tmp_path / "run/b.mp4"]
    assert len(lines) == 1
    assert lines[0].startswith("passed over 4 entries of macOS: ")
    (tmp_path / "a.mp4").unlink()
    there = folder.load(tmp_path)
    assert [clip.key for clip in there.clips] == ["run/b.mp4"]
    assert there.class_names == ("run",)
    assert "4 entries of macOS (._*, .DS_Store, __MACOSX)" in there.ignored


def test_files_that_are_not_looked_at_are_named(tmp_path):
    touch(*(tmp_path / f"c.{suffix}" for suffix in ("mp4", "3g2", "F4V", "mxf", "y4m", "h264", "xyz")))
    lines: list[str] = []
    assert len(find_videos([str(tmp_path)], lines.append)) == 6
    assert lines == [f"not looked at: 1 file without the suffix of a video: {tmp_path / 'c.xyz'}"]
    touch(tmp_path / "only/c.xyz")
    with pytest.raises(ValueError, match=r"no videos in the folder .*only; it holds .*c\.xyz; videos end in"):
        find_videos([str(tmp_path / "only")])


def test_a_glob_that_matches_folders_searches_them(tmp_path):
    touch(tmp_path / "run/a.mp4", tmp_path / "run/deep/b.mp4", tmp_path / "rest/c.mp4", tmp_path / "r.txt")
    lines: list[str] = []
    names = [path.name for path in find_videos([f"{tmp_path}/r*"], lines.append)]
    assert names == ["c.mp4", "a.mp4", "b.mp4"]
    assert "1 file without the suffix of a video" in lines[0]
    touch(tmp_path / "sq [HD]/a [1].mp4")
    assert find_videos([str(tmp_path / "sq [HD]")]) == [tmp_path / "sq [HD]/a [1].mp4"]
    with pytest.raises(ValueError, match=r"expected at least one video file, folder or glob, got .*r\.txt"):
        find_videos([f"{tmp_path}/r.t*"])


def test_image_folders_are_videos(tmp_path):
    touch(tmp_path / "a/1.png", tmp_path / "a/2.png", tmp_path / "b/c/1.jpg")
    assert search(tmp_path).videos == [tmp_path / "a", tmp_path / "b/c"]
    assert find_videos([str(tmp_path / "a")]) == [tmp_path / "a"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX systems")
def test_pipes_and_devices_are_not_opened(tmp_path):
    touch(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "b.mp4")
    assert search(tmp_path).videos == [tmp_path / "a.mp4"]
    assert search(tmp_path).others == [tmp_path / "b.mp4"]
    for path in (tmp_path / "b.mp4", Path("/dev/null")):
        with pytest.raises(ValueError, match=r"expected a video or a folder, got .*, which is a pipe or a device"):
            find_videos([str(path)])


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="nothing is closed to this user")
def test_a_folder_that_may_not_be_read_is_not_skipped(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "closed/b.mp4")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(PermissionError, match="closed"):
        search(tmp_path)
    (tmp_path / "closed").chmod(0o700)


def test_one_file_under_two_spellings(tmp_path, monkeypatch):
    touch(tmp_path / "a.mp4", tmp_path / "x/b.mp4")
    monkeypatch.chdir(tmp_path)
    check_different(["a.mp4", "x/b.mp4"])
    for other in ("./a.mp4", "x/../a.mp4", tmp_path / "a.mp4"):
        with pytest.raises(ValueError, match=r"expected every clip once, but a\.mp4 and .* are the same file"):
            check_different(["a.mp4", "x/b.mp4", other])


def test_one_file_under_two_links(links, tmp_path):
    touch(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    os.link(tmp_path / "a.mp4", tmp_path / "c.mp4")
    for name in ("b.mp4", "c.mp4"):
        with pytest.raises(ValueError, match=f"a\\.mp4 and .*{name} are the same file"):
            check_different([tmp_path / "a.mp4", tmp_path / name])


def test_class_folders_that_are_one_text_to_clip_are_refused(tmp_path):
    touch(tmp_path / "brush_hair/a.mp4", tmp_path / "Brush hair/a.mp4")
    with pytest.raises(ValueError, match=r"'Brush hair' and 'brush hair': one text to CLIP"):
        folder.load(tmp_path)


def test_suffixes_are_lower_case_and_no_images():
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in clips.VIDEO_SUFFIXES)
    assert not clips.VIDEO_SUFFIXES & clips.IMAGE_SUFFIXES


@pytest.mark.parametrize("argument", ["", " "])
def test_an_empty_path_is_not_the_working_folder(argument):
    with pytest.raises(ValueError, match="got an empty one; is a variable not set"):
        find_videos([argument])
