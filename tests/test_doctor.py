"""`actionprompt doctor`: what it finds, that a broken part is a finding and no traceback, and what it does not tell."""

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from actionprompt import commands
from actionprompt.apps import doctor
from actionprompt.video import codecs

PARTS = [
    "program", "libraries", "extras", "video", "devices", "memory", "cache", "embedded models", "backbones",
]  # fmt: skip
MB = 10**6


@pytest.fixture(autouse=True)
def _a_computer_with_room(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    monkeypatch.setattr(doctor, "_free_memory", lambda: 10**12)


def only(part) -> tuple[dict, list[doctor.Problem]]:
    """The facts and the problems of one part."""
    wrong = doctor._Wrong()
    return part(wrong), [*wrong]


def test_everything_is_looked_at_and_written(tmp_path, capsys):
    (tmp_path / "cache/features").mkdir(parents=True)
    (tmp_path / "cache/features/a").write_bytes(bytes(3 * MB))
    assert commands.main(["doctor", "--json", str(tmp_path / "found.json")]) == 0
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "found.json").read_text())
    assert [line for line in printed.splitlines() if not line.startswith(" ")] == [*PARTS, "nothing is wrong"]
    assert [*found] == ["ok", "problems", *PARTS]
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["cache"]["features_bytes"] == 3 * MB
    assert found["video"]["H.264 written and read"] == "yes"
    assert "h264" in found["video"]["decodes"]
    assert {"torch", "av"} <= found["libraries"].keys() or not doctor._asked()
    assert len(found["embedded models"]["weights of tiny"]) == 64


def test_what_is_wrong_is_said_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(codecs, "check_h264", lambda: (_ for _ in ()).throw(ValueError("no encoder\nat all")))
    monkeypatch.setattr(doctor, "_free_memory", lambda: 100 * MB)
    assert commands.main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert [line.partition(";")[0] for line in printed.err.splitlines()] == [
        "wrong: a video cannot be written and read: no encoder",
        "wrong: 0.1 GB of memory are free, 2.0 GB are needed for the default CLIP",
    ]
    assert "--only-binary :all: av" in printed.err
    assert printed.out.endswith("wrong: 2\n")


def test_a_library_that_cannot_be_imported_is_a_finding(monkeypatch):
    monkeypatch.setitem(sys.modules, "actionprompt.video.codecs", None)
    monkeypatch.delattr("actionprompt.video.codecs")
    report = doctor.examine()
    assert [problem.what.partition(":")[0] for problem in report.problems] == ["video"]
    assert [*report.facts] == [name for name in PARTS if name != "video"]
    assert json.loads(json.dumps(report.as_json()))["ok"] is False


def test_versions_that_are_not_allowed(monkeypatch):
    lines = ["numpy>=1.2", "av<2,>=1", "nothing-at-all>=3", 'rich[x]>=99; extra == "page"', "tyro>=1; extra == 'tag'"]
    monkeypatch.setattr(doctor, "_asked", lambda: lines)
    facts, wrong = only(doctor._libraries)
    assert [*facts] == ["numpy", "av", "nothing-at-all"]
    assert [problem.do for problem in wrong] == ['pip install "av<2,>=1"', 'pip install "nothing-at-all>=3"']
    facts, wrong = only(doctor._extras)
    assert facts == {"page": "installed", "tag": "installed", "cluster": "not known", "export": "not known"}
    assert [problem.what for problem in wrong] == ["the extra page needs other versions of rich"]


@pytest.mark.parametrize(
    ("version", "asked", "right"),
    [
        ("2.13.0+cpu", ">=2.6", True), ("2.6", ">=2.6", True), ("2.6.0", ">=2.6", True), ("2.5.9", ">=2.6", False),
        ("18.1.0", "<19,>=17.1", True), ("19.0.0", "<19,>=17.1", False), ("17.0.1", "<19,>=17.1", False),
        ("1", "", True),
    ],
)  # fmt: skip
def test_a_range_of_versions(version, asked, right):
    assert doctor.allowed(version, asked) is right


def test_a_cache_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1500 * MB))
    _, wrong = only(doctor._cache)
    assert [problem.what.partition(" are ")[0] for problem in wrong] == [
        f"the cache folder {tmp_path}/file/cache cannot be written", "1.5 GB of disk",
    ]  # fmt: skip
    assert not (tmp_path / "cache").exists(), "nothing is made"


def test_embedded_models_are_compared_with_what_was_installed(tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/changed").write_text("other")
    listed = [
        SimpleNamespace(
            parts=("actionprompt", "assets", name),
            hash=SimpleNamespace(mode="sha256", value="47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"),  # of nothing
            locate=lambda name=name: tmp_path / "assets" / name,
        )
        for name in ("changed", "gone", "right")
    ]
    (tmp_path / "assets/right").write_text("")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: listed)
    _, wrong = only(doctor._embedded)
    assert [problem.what for problem in wrong] == [
        "changed of assets is not as it was installed", "gone of assets is missing",
    ]  # fmt: skip


def test_the_hub_is_asked_only_on_request(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    facts, wrong = only(doctor._hub)
    assert (facts["answers"], wrong) == ("not asked, since HF_HUB_OFFLINE is set", [])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    facts, (problem,) = only(doctor._hub)
    assert facts["answers"] == "no"
    assert problem.what.startswith("http://127.0.0.1:9 does not answer: ")


def test_the_name_of_the_user_is_not_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert doctor.home_as_tilde(tmp_path / "a" / "b") == str(Path("~/a/b"))
    assert doctor.home_as_tilde(tmp_path.parent / "elsewhere") == str(tmp_path.parent / "elsewhere")
    facts, _ = only(doctor._cache)
    assert facts["folder"] == str(Path("~/cache"))


def test_other_frames_than_were_written_are_noticed(monkeypatch):
    codecs.check_h264()
    monkeypatch.setattr(codecs, "MOST_APART", 0.01)
    with pytest.raises(ValueError, match="gives back other frames than were written"):
        codecs.check_h264()
    assert not codecs._has("no-such-codec")
    assert codecs.decoders()["h264"]
