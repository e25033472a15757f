"""Whole protocols on real files: all four on ActionWorld mini, closed-set and few-shot on real letterboxed clips."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from actionprompt import datasets, methods
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import actionworld
from actionprompt.study import experiment, pages, protocols
from actionprompt.weights import load_clip

TRAIN = TrainConfig(epochs=2, batch_size=16, lr=1e-3, num_workers=0)
DATA = DataConfig(num_frames=8)  # 8 centre frames of 40 are the same set forwards and backwards; 4 are not


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One cache for generated clips and frame features of all tests of this file."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONPROMPT_CACHE", str(folder / "cache"))
        yield folder


def run(plan, folder, *, method="zeroshot", variant="transformer", dataset="actionworld", data=DATA, train=TRAIN):
    config = methods.get(method).VARIANTS[variant] if variant else None
    return experiment.run(
        plan, method, folder, config=config, variant=variant or "", dataset=dataset, backbone="random:nano",
        train_config=train, data_config=data, device="cpu",
    )  # fmt: skip


load_mini = partial(actionworld.load, size="mini")


def test_closed_set_on_actionworld_resumes_and_makes_a_traceable_record(home, tmp_path):
    plan = protocols.closed_set(load_mini)
    record = run(plan, tmp_path / "models")
    assert record["figures"].keys() == {"accuracy"}
    assert record["plan"]["parts"]["split1"]["train"]["clips"] == 144
    by_kind = record["metrics"]["split1"]["test"]["by_kind"]
    assert {kind: row["clips"] for kind, row in by_kind.items()} == {
        "cyclic": 20, "pair": 40, "reversible": 40, "still": 12,
    }  # fmt: skip
    written = tmp_path / "models" / "split1" / "model" / "trained.safetensors"
    before = written.stat().st_mtime_ns
    again = run(plan, tmp_path / "models")
    assert written.stat().st_mtime_ns == before, "a finished part is not trained again"
    assert again["figures"] == record["figures"]
    (tmp_path / "closed.json").write_text(json.dumps({**record, "commit": record["commit"] or "test"}))
    (found,) = pages.collect(tmp_path)
    page = pages.results_page([found])
    assert "## actionworld, closed-set" in page
    assert f"{record['figures']['accuracy']:.1f}" in page
    assert "seeing_in_flowing" in page  # the published numbers stand below


def test_a_finished_part_is_not_published_under_other_options(home, tmp_path, monkeypatch):
    def other_weights(name):
        clip = load_clip(name)
        with torch.no_grad():
            clip.image.projection.weight.mul_(2)
        return clip

    plan = protocols.few_shot(load_mini, shots=1)
    run(plan, tmp_path)
    for options, named in (
        ({"train": replace(TRAIN, lr=1e-2)}, "--train.lr 0.001, here 0.01"),
        ({"variant": "linear"}, "--method.head transformer, here linear"),
        ({"data": replace(DATA, num_frames=4)}, "--data.num-frames 8, here 4"),
    ):
        with pytest.raises(ValueError, match=rf"split1 holds a finished training with other options \(.*{named}"):
            run(plan, tmp_path, **options)
    with pytest.raises(ValueError, match=r"with other options .*list of clips [0-9a-f]{12}, here [0-9a-f]{12}"):
        run(protocols.few_shot(load_mini, shots=1, seed=4), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "load_clip", other_weights)
        with pytest.raises(ValueError, match=r"with other options .*weights of the backbone"):
            run(plan, tmp_path)
    same = run(plan, tmp_path, train=replace(TRAIN, max_broken=1), data=replace(DATA, num_clips=2))
    assert same["data"]["num_clips"] == 2, "the model is the same, whatever views it is tested on"


def test_accuracies_by_epoch_belong_to_the_views_they_were_measured_on(home, tmp_path):
    plan = protocols.few_shot(load_mini, shots=1)
    options = {
        "config": methods.get("zeroshot").VARIANTS["linear"], "backbone": "random:nano", "train_config": TRAIN,
        "device": "cpu", "at_epochs": (1,),
    }  # fmt: skip
    first = experiment.run(plan, "zeroshot", tmp_path, data_config=DATA, **options)
    crop = replace(DATA, fit="crop")  # the backbone's own
    for same in (DATA, crop):
        assert experiment.run(plan, "zeroshot", tmp_path, data_config=same, **options)["by_epoch"] == first["by_epoch"]
    with pytest.raises(ValueError, match=r"not tested after the epochs \[1\] with these options"):
        experiment.run(plan, "zeroshot", tmp_path, data_config=replace(DATA, num_clips=2), **options)


def test_few_shot_on_actionworld(home, tmp_path):
    record = run(protocols.few_shot(load_mini, shots=2, seed=3), tmp_path)
    assert record["plan"]["parts"]["split1"]["train"]["clips"] == 72
    assert record["plan"]["drawn"] == "seed 3"


def test_zero_shot_on_actionworld_over_three_splits(home, tmp_path):
    record = run(protocols.zero_shot(load_mini), tmp_path, variant=None)
    assert record["trained_parameters"] == 0
    assert record["figures"].keys() == {"accuracy", "std"}
    pair = record["metrics"]["zero-shot"]["split2"]["by_kind"]["pair"]
    assert pair["percent"] == 50, "twins share their frames: mean pooling answers one of the two, always the same"


def test_base_to_novel_on_actionworld(home, tmp_path):
    record = run(protocols.base_to_novel(load_mini, shots=2, seeds=(0, 1)), tmp_path)
    figures = record["figures"]
    assert figures.keys() == {"base", "novel", "harmonic_mean"}
    assert set(record["metrics"]) == {"seed0", "seed1"}
    if figures["base"] + figures["novel"]:
        expected = 2 * figures["base"] * figures["novel"] / (figures["base"] + figures["novel"])
        assert figures["harmonic_mean"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("protocol", "method", "variant"), [("closed", "vifi_clip", None), ("few", "zeroshot", "linear")]
)
def test_ut_interaction_letterboxed(home, tmp_path, real_data, protocol, method, variant):
    load = partial(datasets.get("ut_interaction").load, real_data / "videos" / "ut_interaction" / "set1")
    plan = protocols.closed_set(load, splits=(1, 2)) if protocol == "closed" else protocols.few_shot(load, shots=2)
    record = run(
        plan, tmp_path, method=method, variant=variant, dataset="ut_interaction",
        data=DataConfig(num_frames=4, fit="letterbox"), train=TrainConfig(epochs=1, batch_size=16, num_workers=0),
    )  # fmt: skip
    assert 0 <= record["figures"]["accuracy"] <= 100
    assert not any(test["unreadable"] for part in record["metrics"].values() for test in part.values())
    assert record["data"]["fit"] == "letterbox"


@pytest.mark.slow
def test_a_trained_model_is_tested_on_another_data_set(home, tmp_path):
    run(protocols.few_shot(load_mini, shots=1), tmp_path / "source")
    model = tmp_path / "source" / "split1" / "model"
    plan = protocols.zero_shot(load_mini, splits=(2,))
    options = {"backbone": "random:nano", "train_config": TRAIN, "data_config": DATA, "device": "cpu"}
    record = experiment.run(plan, "zeroshot", tmp_path / "x", model=model, **options)
    assert record["model"] == str(model)
    assert record["config"]["head"] == "transformer"
    with pytest.raises(ValueError, match=r"expected a model of vifi_clip, but .* is a zeroshot"):
        experiment.run(plan, "vifi_clip", tmp_path / "y", model=model, **options)


def test_generated_parts_are_replaced_and_nothing_else():
    text = "a\n<!-- generated: methods -->\nold\n<!-- end -->\nb\n"
    assert pages.replace_generated(text, "methods", "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="has no part"):
        pages.replace_generated("nothing", "methods", "new")
