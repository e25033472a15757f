"""Whether ActionWorld drew a file is told by its content and a manifest, not by its name."""

import shutil
from pathlib import Path

import pytest

from actionprompt.world import build
from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.drawn import is_drawn

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_example_is_drawn():
    assert is_drawn(EXAMPLES / "handstand.mp4")


def test_clips_of_a_build_are_drawn(tmp_path):
    scene = build.Scene(ACTIVITIES[0], 1, "main", 0)
    home = build.build(tmp_path, [scene], size_px=32)
    assert all(is_drawn(home / key) for key in scene.keys)
    assert not is_drawn(home / "manifest.tsv")


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def test_a_file_under_another_name_or_with_another_content_is_not_drawn(folder, monkeypatch):
    clip = folder / "handstand.mp4"
    assert is_drawn(clip)
    monkeypatch.chdir(folder)
    assert is_drawn("handstand.mp4")
    assert not is_drawn(clip.rename(folder / "other.mp4"))
    (folder / "handstand.mp4").write_bytes((folder / "other.mp4").read_bytes() + b"\0")
    assert not is_drawn(clip)


def test_what_is_no_file_is_not_drawn(folder):
    assert not is_drawn(folder)
    assert not is_drawn(folder / "nowhere.mp4")


def test_a_manifest_is_looked_for_five_folders_up(folder):
    entry = (folder / "manifest.tsv").read_text()
    for depth, drawn in ((4, True), (5, False)):
        place = "/".join("abcde"[:depth]) + "/handstand.mp4"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "handstand.mp4", folder / place)
        (folder / "manifest.tsv").write_text(entry.replace("handstand.mp4", place))
        assert is_drawn(folder / place) is drawn


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"path\tlabel\nhandstand.mp4\tx\n", b"handstand.mp4\t\t\n"])
def test_manifests_of_other_programs_are_no_manifests(folder, content):
    (folder / "manifest.tsv").write_bytes(content)
    assert not is_drawn(folder / "handstand.mp4")
    (folder / "manifest.tsv").unlink()
    (folder / "manifest.tsv").mkdir()
    assert not is_drawn(folder / "handstand.mp4")
