"""lambda of Eq. 18: chosen where it should be, written where it belongs, refused on the wrong clips."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from actionprompt import checkpoint, methods
from actionprompt.apps import language_weight
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig
from actionprompt.evaluation import evaluate
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
    config = methods.get(name).Config(**({"chinese": chinese} if name == "dual_semantic_tpr" else {}))
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
        "candidates": list(choice.candidates), "top1": list(choice.top1),
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
