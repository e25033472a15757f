"""lambda of Eq. 18: chosen where it should be, written where it belongs, refused on the wrong clips."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actionprompt import checkpoint, commands, methods
from actionprompt.apps import language_weight
from actionprompt.clips import Clip, ClipList, hold_out
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import folder
from actionprompt.evaluation import evaluate
from actionprompt.study.protocols import draw
from actionprompt.training import train
from actionprompt.weights import load_clip

NAMES, NAMES_ZH = ("wave", "run", "jump"), ("挥手", "跑步", "跳跃")
TAU = 0.1


def cosines(right: float, wrong: float, labels: list[int], num_views: int = 2) -> torch.Tensor:
    """[C, V, 3]: `right` at the true class, `wrong` at the next one, 0 at the third."""
    table = torch.zeros(len(labels), num_views, 3)
    for row, label in enumerate(labels):
        table[row, :, label], table[row, :, (label + 1) % 3] = right, wrong
    return table


def test_the_language_that_is_right_gets_the_weight():
    labels = [0, 1, 2, 0]
    good, bad = cosines(0.9, 0.1, labels), cosines(0.1, 0.9, labels)
    choice = language_weight.choose(good, bad, torch.tensor(labels), tau=TAU)
    assert (choice.weight, max(choice.top1), min(choice.top1), choice.num_clips) == (1.0, 100.0, 0.0, 4)
    assert language_weight.choose(bad, good, torch.tensor(labels), tau=TAU).weight == 0.0


def test_two_languages_that_err_on_different_clips_are_mixed():
    labels = [0, 1, 2, 0]
    english = torch.cat([cosines(0.9, 0.1, labels[:2]), cosines(0.4, 0.5, labels[2:])])
    chinese = torch.cat([cosines(0.4, 0.5, labels[:2]), cosines(0.9, 0.1, labels[2:])])
    choice = language_weight.choose(english, chinese, torch.tensor(labels), tau=TAU)
    assert choice.top1[0] == choice.top1[-1] == 50.0
    assert choice.weight == 0.5  # among the equals, where the truth is most probable
    assert choice.candidates == language_weight.CANDIDATES
    assert choice.top1[language_weight.CANDIDATES.index(0.5)] == 100.0


def test_views_are_pooled_as_in_evaluation():
    """One view is sure of the truth, two lean the other way: the mean of the logits follows the one, the mean of the
    probabilities the two."""
    english = torch.tensor([[[0.3, 0.0, 0.0], [0.0, 0.13, 0.0], [0.0, 0.13, 0.0]]])
    for pooling, top1 in (("probabilities", 0.0), ("logits", 100.0)):
        choice = language_weight.choose(english, english, torch.tensor([0]), tau=0.1, pooling=pooling)
        assert set(choice.top1) == {top1}


def test_no_clips_no_choice():
    with pytest.raises(ValueError, match="got none"):
        language_weight.choose(torch.zeros(0, 1, 3), torch.zeros(0, 1, 3), torch.zeros(0, dtype=torch.long), tau=TAU)


@pytest.fixture
def clips(tmp_path) -> ClipList:
    """Twelve folders of noise, four to a class."""
    rng = np.random.default_rng(0)
    listed = []
    for index in range(12):
        folder = tmp_path / "clips" / f"{index:02}"
        folder.mkdir(parents=True)
        for frame in range(4):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{frame}.png")
        listed.append(Clip(f"{index:02}", folder, index % 3))
    return ClipList("mine/split1/val", tuple(listed), NAMES, NAMES_ZH)


def save(path, *, chinese: str | None = "auto", name: str = "dual_semantic_tpr", **facts):
    options = {"chinese": chinese, "num_frames": 4} if name == "dual_semantic_tpr" else {}
    config = methods.get(name).Config(**options)
    method = methods.build(name, load_clip("random:nano"), NAMES, NAMES_ZH, config=config)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    checkpoint.save(path, method, data=DataConfig(num_frames=4, num_clips=2), **facts)
    return path


def test_tune_writes_lambda_into_the_manifest_and_nothing_else(tmp_path, clips):
    model = save(tmp_path / "run" / "model", list="mine/split1/train", list_sha256="of the training list")
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    heard = []
    choice = language_weight.tune(
        tmp_path / "run", clips, num_workers=0, batch_size=5, progress=lambda *at: heard.append(at)
    )
    assert heard == [(5, 12), (10, 12), (12, 12)]
    assert choice.num_clips == 12
    after = {file.name: file.read_bytes() for file in model.iterdir()}
    assert after.pop("manifest.json") != before["manifest.json"]
    old = json.loads(before.pop("manifest.json"))
    assert after == before  # the weights
    new = json.loads((model / "manifest.json").read_text())
    assert new.pop("fusion") == {
        "list": clips.name, "list_sha256": clips.sha256, "weight": choice.weight, "num_clips": 12, "broken": [],
        "candidates": list(choice.candidates), "top1": list(choice.top1), "unseen": language_weight.BY_LIST,
    }  # fmt: skip
    assert new["config"].pop("fusion") == choice.weight
    assert old["config"].pop("fusion") == 0.5
    assert new == old
    # what the choice says of each lambda is what an evaluation at that lambda gives
    for weight in (0.0, choice.weight, 1.0):
        method, _ = checkpoint.load(model)
        assert method.config.fusion == choice.weight
        method.config = dataclasses.replace(method.config, fusion=weight)
        report = evaluate(method, clips, DataConfig(num_frames=4, num_clips=2), num_workers=0)
        assert report.metrics.top1 == pytest.approx(choice.top1[choice.candidates.index(weight)], abs=1e-3)
    assert max(choice.top1) == choice.top1[choice.candidates.index(choice.weight)]


def test_unreadable_clips_are_listed(tmp_path, clips):
    model = save(tmp_path / "model")
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    bad = Clip("bad", tmp_path / "bad.mp4", 0)
    choice = language_weight.tune(model, dataclasses.replace(clips, clips=(*clips.clips[:3], bad)), num_workers=0)
    assert choice.num_clips == 3
    assert [item.key for item in choice.broken] == ["bad"]
    assert [item["key"] for item in json.loads((model / "manifest.json").read_text())["fusion"]["broken"]] == ["bad"]
    with pytest.raises(ValueError, match="none of the 1 clips can be read"):
        language_weight.tune(model, dataclasses.replace(clips, clips=(bad,)), num_workers=0)


def test_the_wrong_clips_and_models_are_refused(tmp_path, clips):
    model = save(tmp_path / "model", list_sha256=clips.sha256)
    with pytest.raises(ValueError, match="mine/split1/test is a test list"):
        language_weight.tune(model, dataclasses.replace(clips, name="mine/split1/test"))
    with pytest.raises(ValueError, match="the list the model was trained on"):
        language_weight.tune(model, clips)
    with pytest.raises(ValueError, match="do not have the same class names"):
        language_weight.tune(model, dataclasses.replace(clips, class_names=("a", "b", "c"), clips=clips.clips[:4]))
    with pytest.raises(ValueError, match="got dual_semantic_tpr with chinese=None; there is no second language"):
        language_weight.tune(save(tmp_path / "english", chinese=None), clips)
    with pytest.raises(ValueError, match="got zeroshot"):
        language_weight.tune(save(tmp_path / "zeroshot", name="zeroshot"), clips)


# Clips held out of the training --------------------------------------------------------------------------------------


def listed(counts: list[int]) -> ClipList:
    """A list with this many clips of each class."""
    clips = [
        Clip(f"{name}/{n}.avi", Path(f"{name}/{n}.avi"), label)
        for label, (name, count) in enumerate(zip(NAMES, counts))
        for n in range(count)
    ]
    return ClipList("mine/split1/train", tuple(clips), NAMES, NAMES_ZH)


def keys(clips: ClipList) -> list[str]:
    return [clip.key for clip in clips.clips]


def test_a_share_of_every_class_is_held_out_and_the_rest_is_trained_on():
    whole = listed([70, 8, 1])
    training, validation = hold_out(whole, 0.1, 0)
    for part, counts in ((training, [63, 7, 1]), (validation, [7, 1, 0])):  # at least one, but never the last
        assert [sum(clip.label == label for clip in part.clips) for label in range(3)] == counts
    assert keys(training) == [key for key in keys(whole) if key not in keys(validation)]  # in the order of the list
    assert set(keys(training)) | set(keys(validation)) == set(keys(whole))
    assert (training.name, validation.name) == (
        "mine/split1/train/without-0.1-seed0", "mine/split1/train/held-out-0.1-seed0",
    )  # fmt: skip
    assert training.class_names == validation.class_names == NAMES
    assert training.class_names_zh == NAMES_ZH


def test_what_is_held_out_depends_on_seed_and_keys_alone():
    whole = listed([20, 9, 5])
    expected = set(keys(hold_out(whole, 0.25, 3)[1]))
    assert len(expected) == 5 + 2 + 1
    assert set(keys(hold_out(dataclasses.replace(whole, clips=whole.clips[::-1]), 0.25, 3)[1])) == expected
    assert set(keys(hold_out(whole, 0.25, 4)[1])) != expected
    one_class = dataclasses.replace(whole, clips=tuple(clip for clip in whole.clips if clip.label == 1))
    assert set(keys(hold_out(one_class, 0.25, 3)[1])) == {key for key in expected if key.startswith("run/")}
    by_hash = sorted(keys(one_class), key=lambda key: hashlib.sha256(f"3:{key}".encode()).hexdigest())
    assert set(keys(hold_out(one_class, 0.25, 3)[1])) == set(by_hash[-2:])


def test_few_shot_clips_are_the_same_with_and_without_a_held_out_part():
    whole = listed([20, 9, 5])
    for shots in (1, 2, 4):
        assert keys(draw(hold_out(whole, 0.25, 7)[0], shots=shots, seed=7)) == keys(draw(whole, shots=shots, seed=7))


def test_shares_and_lists_that_leave_nothing_are_refused():
    for share in (0, 1, 1.5, -0.1):
        with pytest.raises(ValueError, match=f"expected a share of the clips above 0 and below 1, got {share}"):
            hold_out(listed([4, 4, 4]), share, 0)
    with pytest.raises(ValueError, match="expected a class with at least two clips to hold one out, got none"):
        hold_out(listed([1, 1, 0]), 0.5, 0)


def write_trained(model: Path, clips: ClipList) -> None:
    (model / checkpoint.TRAINED_CLIPS).write_text("".join(f"{key}\n" for key in keys(clips)), encoding="utf-8")


def test_a_list_with_clips_of_the_training_is_refused_whatever_its_hash(tmp_path, clips):
    """Another list than that of the training was accepted, even if it had all but one of its clips."""
    training, validation = hold_out(clips, 0.25, 0)
    model = save(tmp_path / "model", list_sha256=training.sha256)
    write_trained(model, training)
    assert language_weight.check_unseen(model, validation) == language_weight.BY_CLIP
    one = training.clips[-1]
    mixed = dataclasses.replace(validation, clips=(*validation.clips, one))
    with pytest.raises(ValueError, match=rf"trained on 1 of its 4 clips \({one.key}\); .*--train.hold-out leaves out"):
        language_weight.check_unseen(model, mixed)
    with pytest.raises(ValueError, match=r"trained on 8 of its 8 clips \(\d\d, \d\d, \d\d and 5 more\)"):
        language_weight.tune(model, dataclasses.replace(training, clips=training.clips[:-1]), num_workers=0)
    assert language_weight.tune(model, validation, num_workers=0).unseen == language_weight.BY_CLIP
    assert json.loads((model / "manifest.json").read_text())["fusion"]["unseen"] == language_weight.BY_CLIP


def test_a_model_that_does_not_name_its_clips_says_so(tmp_path, clips):
    training, validation = hold_out(clips, 0.25, 0)
    model = save(tmp_path / "model", list_sha256=training.sha256)
    assert language_weight.check_unseen(model, validation) == language_weight.BY_LIST
    with pytest.raises(ValueError, match="is the list the model was trained on"):
        language_weight.check_unseen(model, training)


def test_held_out_clips_are_found_in_the_list_of_the_training(tmp_path, clips):
    training, validation = hold_out(clips, 0.25, 0)
    held = {"share": 0.25, "seed": 0, "clips": 3, "keys": keys(validation)}
    model = save(tmp_path / "model", held_out=held)
    found = language_weight.held_out(model, clips)
    assert (found.clips, found.name) == (validation.clips, "mine/split1/val/held-out")
    with pytest.raises(ValueError, match="3 of the 3 clips held out in training are not in this list"):
        language_weight.held_out(model, training)
    with pytest.raises(ValueError, match="trained on its whole list; expected a model trained with"):
        language_weight.held_out(save(tmp_path / "whole"), clips)


def test_from_training_with_a_held_out_part_to_its_lambda(tmp_path, clips, capsys):
    """As a user does it: `train --train.hold-out`, then `tune-fusion --part held-out`, which refuses the train part."""
    for clip in clips.clips:
        home = tmp_path / "root" / "train" / NAMES[clip.label]
        home.mkdir(parents=True, exist_ok=True)
        clip.path.rename(home / clip.key)
    where = ["--clips.root", str(tmp_path / "root")]
    (tmp_path / "root" / "classes.txt").write_text("\n".join(NAMES), encoding="utf-8")
    whole = folder.load(tmp_path / "root", part="train")
    named = dataclasses.replace(whole, class_names_zh=NAMES_ZH)
    method = methods.build(
        "dual_semantic_tpr", load_clip("random:nano"), NAMES, NAMES_ZH,
        config=methods.get("dual_semantic_tpr").Config(num_frames=4),
    )  # fmt: skip
    config = TrainConfig(epochs=1, batch_size=9, hold_out=0.25, num_workers=0)
    train(method, named, tmp_path / "run", config=config, data_config=DataConfig(num_frames=4), device="cpu")
    training, validation = hold_out(whole, 0.25, 0)
    lines = (tmp_path / "run" / "model" / checkpoint.TRAINED_CLIPS).read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[1] for line in lines] == keys(training)
    assert commands.main(["tune-fusion", str(tmp_path / "run"), *where, "--part", "held-out"]) == 0
    fusion = json.loads((tmp_path / "run" / "model" / "manifest.json").read_text())["fusion"]
    assert (fusion["num_clips"], fusion["unseen"]) == (3, language_weight.BY_CLIP)
    assert fusion["list_sha256"] == validation.sha256
    capsys.readouterr()
    assert commands.main(["tune-fusion", str(tmp_path / "run"), *where, "--part", "train"]) == 2
    assert "the model was trained on 9 of its 12 clips" in " ".join(capsys.readouterr().err.split())
