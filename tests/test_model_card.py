"""The model card in a model folder: what it says, that it says nothing of the machine, and that it changes no hash."""

import json
import re

import pytest
import torch

from actionprompt import checkpoint, datasets, methods
from actionprompt.apps.teach import held_out
from actionprompt.apps.teach.held_out import HeldOut
from actionprompt.checkpoint import card
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig, to_json
from actionprompt.weights import TINY_WARNING, load_clip

NAMES = ("waving", "clapping")
FACTS = {
    "list": "hmdb51/split1/train", "list_sha256": "1" * 64, "train": to_json(TrainConfig()), "trained_on": "frames",
    "data": to_json(DataConfig()),
}  # fmt: skip


def manifest(**changes) -> dict:
    return {
        "method": "vifi_clip", "config": {}, "backbone": {"name": "tiny", "sha256": "0" * 64},
        "class_names": list(NAMES), **FACTS, **changes,
    }  # fmt: skip


def section(text: str, name: str) -> str:
    return text.partition(f"## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", methods.names())
def test_every_saved_model_has_one(name, tmp_path):
    method = methods.build(name, load_clip("random:nano"), NAMES, ("挥手", "拍手"), seed=0)
    checkpoint.save(tmp_path / "model", method, trained_clips=[Clip("a", tmp_path / "no.mp4", 0)], **FACTS)
    text = (tmp_path / "model" / card.FILE).read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        "Use", "Classes", "Method", "Data", "Recipe", "Results", "Licences", "Limits",
    ]  # fmt: skip
    assert section(text, "Classes").split("\n") == ["", "- waving", "- clapping", ""]
    assert methods.get(name).CARD.paper in section(text, "Method")
    assert "1 clip of the list hmdb51/split1/train" in section(text, "Data")
    assert "30 epochs of batches of 32 clips; AdamW, learning rate 0.0001" in section(text, "Recipe")
    assert "- data: CC BY 4.0" in section(text, "Licences")
    assert ("no CLIP is used" in text) == (method.flow is not None)
    stored = json.loads((tmp_path / "model" / checkpoint.MANIFEST).read_text())
    assert list(stored["files_sha256"]) == [checkpoint.WEIGHTS, checkpoint.TRAINED_CLIPS], "the card belongs to no hash"


def test_a_folder_is_read_without_it_and_whatever_it_says(tmp_path):
    method = methods.build("vifi_clip", load_clip("random:nano"), NAMES, seed=0)
    checkpoint.save(tmp_path / "model", method)
    for text in ("changed by hand", None):
        path = tmp_path / "model" / card.FILE
        path.write_text(text) if text is not None else path.unlink()
        loaded, _ = checkpoint.load(tmp_path / "model")
        for key, value in method.trained_state(inference=True).items():
            assert torch.equal(loaded.trained_state(inference=True)[key], value)


def test_what_is_not_known_is_said(tmp_path):
    checkpoint.save(tmp_path, methods.build("vifi_clip", load_clip("random:nano"), NAMES, seed=0))
    text = (tmp_path / card.FILE).read_text()
    for name in ("Data", "Recipe"):
        assert section(text, name).strip() == "- not recorded"
    assert "- data: not known" in section(text, "Licences")
    assert "none is stored with the model" in section(text, "Results")


def test_a_taught_model_says_how_it_was_measured():
    found = HeldOut(NAMES, ((4, 1), (0, 5)), 10)
    none = to_json(held_out.NoneOfThese(0.625, 0.9, 0.8, 9, 10))
    text = card.text(manifest(list="taught", cross_validation=found.as_json(), none_of_these=none), 10)
    assert "top-1 90.0 % of 10 clips, each held out once (95 % interval 60 to 98 %; guessing 50 %)" in text
    assert 'rejection threshold 62 %, below which the answer is "none of these"' in text
    assert "whatever a video shows" not in text
    assert "- data: of the person who trained it" in text
    with_background = card.text(manifest(background="clapping", none_of_these=None))
    assert 'most like the class clapping is answered with "none of these"' in with_background
    assert "whatever a video shows" in card.text(manifest())


def test_the_embedded_model_is_said_once():
    plain = TINY_WARNING.replace("`", "\\`")
    assert card.text(manifest(warnings=[TINY_WARNING, "wave: 2 clips are too few"])).count(plain) == 1
    assert card.text(manifest()).count(plain) == 1
    assert plain not in card.text(manifest(method="i3d_flow", config={"flow": "dis"}))


def test_an_imported_checkpoint_is_of_its_authors():
    source = {"source": "muzairkhattak/ViFi-CLIP", "file": "a.pth", "sha256": "2" * 64}
    text = card.text(manifest(imported=source, backbone={"name": "openai/clip-vit-base-patch16", "sha256": "0" * 64}))
    assert "base_model: openai/clip-vit-base-patch16" in text.partition("\n---\n")[0]
    assert "muzairkhattak/ViFi-CLIP" in section(text, "Data")
    assert section(text, "Licences").split("\n")[1:4] == [
        "- data: see the authors' repository", "- backbone: MIT",
        "- weights in this folder: see the authors' repository",
    ]  # fmt: skip


@pytest.mark.parametrize("name", datasets.names())
def test_the_licence_of_every_data_set_is_known(name):
    text = section(card.text(manifest(list=f"{name}/a/train")), "Licences")
    assert (datasets.get(name).INFO.licence in text) or name in card.OWN
    generated = section(card.text(manifest(list=f"{name}-mini/split1/train")), "Licences")
    assert generated == text or name in card.OWN


@pytest.mark.parametrize(
    "name", ["# a", "1. a", "- a", "<b>x</b>", "[a](http://b)", "a\n\n## b", "`a`", "\x1b[31m", "a\\"]
)
def test_a_class_name_stays_one_line_of_text(name):
    lines = section(card.text(manifest(class_names=[name, "b"])), "Classes").split("\n")
    assert len(lines) == 4
    assert lines[1].isprintable()
    assert not re.search(r"(?<!\\)[<\[`]|^- (#|-|\d+\.)", lines[1])


def test_many_classes_are_counted():
    lines = section(card.text(manifest(class_names=[f"c{i}" for i in range(250)])), "Classes").strip().split("\n")
    assert len(lines) == card.MOST_NAMES + 1
    assert lines[-1] == "- and 150 more"


def test_training_on_clips_of_a_list_names_what_is_not_in_it():
    clips = ClipList("mine/train", (), NAMES)
    text = card.text(manifest(
        list=clips.name, held_out={"clips": 7}, broken=["a", "b"], dropped=[{"clips": ["c"], "after_step": 3}],
        start_from={"weights_sha256": "3" * 64}, provenance={"versions": {"actionprompt": "0.1.0"}},
    ), 20)  # fmt: skip
    for line in (
        "20 clips of the list mine/train",
        "held out of the training: 7 clips",
        "could not be read: 2 clips",
        "gone from the list during the training: 1 clip\n",
        f"started from a model with weights of SHA-256 `{'3' * 64}`",
        "- actionprompt 0.1.0",
    ):
        assert line in text
