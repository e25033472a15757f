"""The default backbone of the verbs: `auto`, which a record names by what it stands for, and what is said of `tiny`."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

import hubs
from actionprompt import commands
from actionprompt.weights import DEFAULT, TINY_WARNING, load_clip

SMALL = ["--data.num-frames", "2", "--train.num-workers", "0", "--train.epochs", "1", "--recipe", "none"]


@pytest.fixture
def home(tmp_path, monkeypatch, own_console) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def root(tmp_path) -> Path:
    for part in ("train", "test"):
        for label in ("wave", "clap"):
            for number in range(2):
                clip = tmp_path / "root" / part / label / str(number)
                clip.mkdir(parents=True)
                for frame in range(3):
                    shade = (80 * frame, 100 * number, 60 if part == "train" else 200)
                    Image.new("RGB", (40, 40), shade).save(clip / f"{frame}.png")
    return tmp_path / "root"


def call(*words: object) -> int:
    return commands.main([str(word) for word in words])


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("verb", ["train vifi_clip", "run vifi_clip", "eval zeroshot"])
def test_without_a_default_the_three_ways_out_are_one_error(verb, root, home, tmp_path, capsys):
    out = [] if verb.startswith("eval") else ["--out", tmp_path / "out"]
    assert call(*verb.split(), "--clips.root", root, *out) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: cannot get '{DEFAULT}' from the hub (HF_HUB_OFFLINE is set): connect once, or run")
    ways = (f"`actionprompt weights get {DEFAULT} --out DIR`", "`--backbone PATH`", "`--backbone tiny`, which knows")
    assert [way for way in ways if way not in error] == []
    assert not (tmp_path / "out").exists()


def test_records_and_models_name_what_auto_stands_for(root, home, tmp_path, capsys):
    hubs.write_cache(hubs.write_clip("random:nano", tmp_path / "clip"), home, DEFAULT)
    backbone = {"name": DEFAULT, "sha256": load_clip("random:nano").fingerprint()}
    assert call("train", "vifi_clip", "--clips.root", root, "--out", tmp_path / "run", *SMALL) == 0
    assert read(tmp_path / "run" / "model" / "manifest.json")["backbone"] == backbone
    for number, model in enumerate((tmp_path / "run", "zeroshot")):
        path = tmp_path / f"{number}.json"
        options = ["--data.num-frames", 2, "--num-workers", 0, "--json", path]
        assert call("eval", model, "--clips.root", root, *options) == 0
        record = read(path)
        assert (record["backbone"], record["warnings"]) == (backbone, [])
    out = tmp_path / "records"
    assert call("run", "vifi_clip", "--clips.root", root, "--out", out, *SMALL) == 0
    (path,) = out.glob("*/*/*.json")
    assert (read(path)["backbone"], read(path)["warnings"]) == (backbone, [])
    assert call("run", "vifi_clip", "--clips.root", root, "--out", out, "--skip-existing", *SMALL) == 0
    assert "is there" in capsys.readouterr().out
    zero = ["--protocol", "zero-shot", "--model", tmp_path / "run", "--data.num-frames", 2, "--train.num-workers", 0]
    for old, new in (("wave", "jump"), ("clap", "sit")):
        (root / "test" / old).rename(root / "test" / new)
        (root / "train" / old).rename(root / "train" / new)
    assert call("run", "vifi_clip", "--clips.root", root, "--out", tmp_path / "zero", *zero) == 0
    (path,) = (tmp_path / "zero").glob("*/*/*.json")
    assert read(path)["backbone"] == backbone  # that of the model


def test_tiny_on_other_video_is_warned_of_in_every_output(root, home, tmp_path, capsys):
    where = ["--clips.root", root, "--backbone", "tiny"]
    assert call("train", "vifi_clip", *where, "--out", tmp_path / "run", *SMALL) == 0
    assert f"warning: {TINY_WARNING}" in capsys.readouterr().err
    json_of = ["--json", tmp_path / "x.json", "--data.num-frames", 2, "--num-workers", 0]
    for model in ([tmp_path / "run", *where[:2]], ["zeroshot", *where]):
        assert call("eval", *model, *json_of) == 0
        assert capsys.readouterr().err.count(f"warning: {TINY_WARNING}") == 1
        assert read(tmp_path / "x.json")["warnings"] == [TINY_WARNING]
    assert call("run", "vifi_clip", *where, "--out", tmp_path / "records", *SMALL) == 0
    assert capsys.readouterr().err.count(f"warning: {TINY_WARNING}") == 1
    (path,) = (tmp_path / "records").glob("*/*/*.json")
    assert read(path)["warnings"] == [TINY_WARNING]
    out = ["--model", tmp_path / "run", "--out", tmp_path / "map.png"]
    assert call("explain", root / "test" / "wave" / "0", *out) == 0
    assert capsys.readouterr().err.count(f"warning: {TINY_WARNING}") == 1
