"""A finished run as the start of another: its tuned towers as a backbone, its weights but for those of its classes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actionprompt import checkpoint, methods
from actionprompt.clips import Clip, ClipList
from actionprompt.method import Method
from actionprompt.weights import load_clip

NAMES = ("sit down", "stand up", "wave", "clap the hands", "run")
OTHER = ("jump", "throw a ball", "climb", "dive", "kick")  # as many
FEW = ("jump", "throw a ball")


def build(name: str, variant: str = "", names=NAMES, *, clip=None, seed: int = 0) -> Method:
    config = methods.get(name).VARIANTS[variant] if variant else None
    names_zh = [f"动作{number}" for number in range(len(names))]
    method = methods.build(name, clip or load_clip("random:nano"), names, names_zh, config=config, seed=seed)
    method.clip_sha256  # noqa: B018 - the hash of the backbone as loaded, as training takes it
    return method


@torch.no_grad()
def trained(method: Method, seed: int = 7) -> Method:
    """As after a training: every trained tensor has changed."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in method.parameters():
        if parameter.requires_grad:
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    method.set_classes(method.class_names, method.class_names_zh)
    return method.eval()


def save(method: Method, run: Path) -> Path:
    checkpoint.save(run / "model", method)
    return run


def state(method: Method) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


def video() -> torch.Tensor:
    return torch.randn(3, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


# Tuned towers as a backbone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variant", "tuned"),
    [
        ("vifi_clip", "", ("image", "text")),
        ("promptlearner_clip", "", ("image", "text")),
        ("promptlearner_clip", "vision_only", ("image",)),
        ("promptlearner_clip", "text_only", ("text",)),
        ("actionclip", "unimodal", ("image",)),
    ],
)
def test_a_run_is_a_backbone_with_its_tuned_towers(name, variant, tuned, tmp_path):
    method, base = trained(build(name, variant)), load_clip("random:nano")
    run = save(method, tmp_path / "run")
    for path in (run, run / "model", str(run)):
        clip = load_clip(path)
        assert clip.name == f"run:{clip.fingerprint()[:16]}"
        for key, value in clip.state_dict().items():
            expected = method.clip if key.split(".")[0] in (*tuned, "logit_scale") else base
            assert torch.equal(value, expected.state_dict()[key]), key
        start = base.state_dict()
        changed = {key.split(".")[0] for key, x in clip.state_dict().items() if not torch.equal(x, start[key])}
        assert changed - {"logit_scale"} == set(tuned)
    assert clip.pixels == base.pixels
    assert clip.text.tokenizer.encode(["wave"]) == base.text.tokenizer.encode(["wave"])


def test_a_model_on_the_towers_of_a_run_needs_to_be_told_the_run_wherever_it_is(tmp_path):
    """Table 5 of PromptLearner-CLIP: towers trained before, then frozen."""
    run = save(trained(build("actionclip", "unimodal")), tmp_path / "kinetics")
    model = trained(build("promptlearner_clip", "text_only", clip=load_clip(run)), seed=8)
    assert model.frozen_features
    with torch.no_grad():
        expected = model(video())
    second = save(model, tmp_path / "second")
    manifest = json.loads((second / "model" / "manifest.json").read_text())
    assert manifest["backbone"] == {"name": f"run:{model.clip_sha256[:16]}", "sha256": model.clip_sha256}
    assert str(tmp_path) not in json.dumps(manifest), "no path, which another machine does not have"
    with pytest.raises(ValueError, match=r"backbone run:[0-9a-f]{16} is the towers of a run.*`--backbone RUN`"):
        checkpoint.load(second)
    moved = run.rename(tmp_path / "elsewhere")
    loaded, _ = checkpoint.load(second, backbone=moved)
    with torch.no_grad():
        assert torch.equal(loaded(video()), expected)
    loaded, _ = checkpoint.load(second, clip=load_clip(moved))
    with torch.no_grad():
        assert torch.equal(loaded(video()), expected)
    other = save(trained(build("actionclip", "unimodal"), seed=9), tmp_path / "other")
    with pytest.raises(ValueError, match=r"was trained on a backbone 'run:.*but the one here is .*; get the same"):
        checkpoint.load(second, backbone=other)
    with pytest.raises(ValueError, match=r"second was itself trained on the towers of a run \(run:[0-9a-f]{16}\)"):
        load_clip(second)


def test_another_backbone_may_be_given_for_a_name_too(tmp_path):
    method = trained(build("vifi_clip"))
    run = save(method, tmp_path / "run")
    manifest = run / "model" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"random:nano"', '"somewhere/else"'))
    loaded, _ = checkpoint.load(run, backbone="random:nano")
    with torch.no_grad():
        assert torch.equal(loaded(video()), method(video()))


@pytest.mark.parametrize(("name", "variant"), [("promptlearner_clip", "frozen"), ("zeroshot", "linear")])
def test_a_run_that_tuned_no_tower_is_no_backbone(name, variant, tmp_path):
    run = save(trained(build(name, variant)), tmp_path / "run")
    with pytest.raises(ValueError, match=rf"this run of {name} tuned no tower of its backbone; use 'random:nano'"):
        load_clip(run)


def test_a_run_fits_its_own_backbone_only(tmp_path):
    run = save(trained(build("vifi_clip")), tmp_path / "run")
    manifest, weights = run / "model" / "manifest.json", run / "model" / "trained.safetensors"
    whole = load_file(weights)
    without_hashes = {key: value for key, value in json.loads(manifest.read_text()).items() if key != "files_sha256"}
    manifest.write_text(json.dumps(without_hashes))
    name = "clip.image.projection.weight"
    for tensors, message in (
        (
            {**whole, "clip.image.extra": torch.zeros(3)},
            r"clip.image.extra is \[3\], the backbone .* no such tensor",
        ),
        ({**whole, name: torch.zeros(2, 3)}, rf"{name} is \[2, 3\], the backbone 'random:nano' has it as \[16, 32\]"),
    ):
        save_file(tensors, weights)
        with pytest.raises(ValueError, match=message):
            load_clip(run)
    save_file(whole, weights)
    sha256 = json.loads(manifest.read_text())["backbone"]["sha256"]
    manifest.write_text(manifest.read_text().replace(sha256, "0" * 64))
    with pytest.raises(ValueError, match=r"'random:nano' with weights 0{12}, but the one here is .*same checkpoint"):
        load_clip(run)


def test_a_model_folder_lists_the_clips_it_was_trained_on(tmp_path):
    method = build("vifi_clip")
    for name in ("1.mp4", "Über.mp4", "copy.mp4", "other.mp4"):
        (tmp_path / name).write_bytes(b"the same" if name in ("1.mp4", "copy.mp4") else name.encode())
    clips = [Clip("a/1.mp4", tmp_path / "1.mp4", 0), Clip("b/Über.mp4", tmp_path / "Über.mp4", 0)]
    checkpoint.save(tmp_path / "model", method, trained_clips=clips, seed=3)
    lines = (tmp_path / "model" / "clips.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[1] for line in lines] == ["a/1.mp4", "b/Über.mp4"]
    tested = [Clip(name, tmp_path / name, 0) for name in ("copy.mp4", "other.mp4", "gone.mp4")]
    found = checkpoint.seen_in_training(tmp_path / "model", ClipList("test", tuple(tested), ("a",)))
    assert found == ["copy.mp4"], "the same video under another name"
    manifest = checkpoint.read_manifest(tmp_path / "model")
    assert manifest["seed"] == 3
    assert "trained_clips" not in manifest, "a list of Kinetics is long"
    checkpoint.save(tmp_path / "imported", method)
    assert sorted(path.name for path in (tmp_path / "imported").iterdir()) == [
        "README.md",
        "manifest.json",
        "trained.safetensors",
    ]


# Weights of a run without those of its classes ------------------------------------------------------------------------


def cases():
    for name in methods.names():
        for variant in ("", *methods.get(name).VARIANTS):
            yield pytest.param(name, variant, id=f"{name}-{variant}".strip("-"))


@pytest.mark.parametrize(("name", "variant"), list(cases()))
def test_a_method_states_which_of_its_tensors_have_a_row_per_class(name, variant):
    five, two = (build(name, variant, names) for names in (NAMES, FEW))
    first, second = five.trained_state(), two.trained_state()
    assert first.keys() == second.keys()
    rows = {key for key in first if first[key].shape != second[key].shape}
    parts = five.per_class
    assert rows == {key for key in first if any(key == part or key.startswith(f"{part}.") for part in parts)}
    assert all((len(first[key]), len(second[key])) == (5, 2) for key in rows)
    assert five.open_vocabulary or rows, "what else keeps it to its classes?"


@pytest.mark.parametrize("names", [FEW, OTHER, NAMES], ids=["fewer", "as_many", "the_same"])
def test_contexts_and_training_only_parts_start_anew_and_all_else_comes_over(names, tmp_path):
    """Kinetics-400 before HMDB-51 (Sec. 4.7 of PromptLearner-CLIP)."""
    source = trained(build("promptlearner_clip", "transformer"))
    run, target = save(source, tmp_path / "run"), build("promptlearner_clip", "transformer", names, seed=3)
    before, there = state(target), state(source)
    record = checkpoint.start_from(target, run)
    now = state(target)
    anew = {"contexts", *(f"interaction.{key}" for key in target.interaction.state_dict())}
    assert set(record["anew"]) == anew
    assert set(record["copied"]) == {
        "clip.logit_scale", *(f"clip.{tower}.{key}" for tower in ("image", "text")
                              for key in getattr(target.clip, tower).state_dict()),
        *(f"temporal.{key}" for key in target.temporal.state_dict()),
    }  # fmt: skip
    assert all(torch.equal(now[key], before[key]) for key in anew)
    assert all(torch.equal(now[key], there[key]) for key in record["copied"])
    assert not any(torch.equal(now[key], before[key]) for key in record["copied"])
    digest = hashlib.sha256((run / "model" / "trained.safetensors").read_bytes()).hexdigest()
    facts = {key: record[key] for key in ("method", "weights_sha256", "num_classes", "options")}
    assert facts == {"method": "promptlearner_clip", "weights_sha256": digest, "num_classes": 5, "options": {}}
    json.dumps(record)
    again = build("promptlearner_clip", "transformer", names, seed=3)
    assert checkpoint.start_from(again, run.rename(tmp_path / "moved")) == record, "the path is no part of it"


def test_a_started_model_is_saved_on_the_backbone_it_was_built_on(tmp_path):
    run = save(trained(build("vifi_clip")), tmp_path / "run")
    target = methods.build("vifi_clip", load_clip("random:nano"), FEW)  # its backbone not hashed yet
    record = checkpoint.start_from(target, run)
    assert record["anew"] == []
    assert set(record["copied"]) == set(target.trained_state())
    assert target.clip_sha256 == load_clip("random:nano").fingerprint()
    checkpoint.save(tmp_path / "second", trained(target, seed=8))
    loaded, _ = checkpoint.load(tmp_path / "second")
    with torch.no_grad():
        assert torch.equal(loaded(video()), target(video()))


@pytest.mark.parametrize(
    ("name", "variant"),
    [("vifi_clip", ""), ("vita_clip", "one_context"), ("actionclip", ""), ("seeing_in_flowing", ""),
     ("mip_clip", "zero_shot_shared"), ("promptlearner_clip", "code"), ("dual_semantic_tpr", "frames_4")],
)  # fmt: skip
def test_without_tensors_of_its_classes_a_started_model_answers_as_the_run_does(name, variant, tmp_path):
    """For the classes of another list, such as zero-shot training before HMDB-51."""
    source = trained(build(name, variant))
    run, target = save(source, tmp_path / "run"), build(name, variant, FEW, seed=3).eval()
    record = checkpoint.start_from(target, run)
    assert {key.split(".")[0] for key in record["anew"]} <= {"interaction"}
    with torch.no_grad():
        source.set_classes(target.class_names, target.class_names_zh)
        torch.testing.assert_close(target(video()), source(video()), rtol=1e-5, atol=1e-5)


def test_the_heads_of_other_methods_start_anew(tmp_path):
    expected = {
        ("actionclip", "unimodal"): {"linear.weight", "linear.bias"},
        ("mip_clip", ""): {"context", "branch.1.weight", "branch.1.bias"},
        ("mip_clip", "no_dfr"): {"context", "branch.0.weight", "branch.0.bias", "branch.1.weight", "branch.1.bias"},
        ("vita_clip", ""): {"context"},
        ("vita_clip", "one_context"): set(),
    }
    for (name, variant), anew in expected.items():
        run = save(trained(build(name, variant)), tmp_path / f"{name}-{variant}")
        target = build(name, variant, FEW)
        record = checkpoint.start_from(target, run)
        assert set(record["anew"]) == anew, (name, variant)
        assert set(record["copied"]) == set(target.trained_state()) - anew


def refused(method: Method, run: Path, message: str) -> None:
    before = state(method)
    with pytest.raises(ValueError, match=message):
        checkpoint.start_from(method, run)
    assert all(torch.equal(value, before[key]) for key, value in state(method).items()), "nothing has changed"


def test_what_does_not_fit_is_refused_with_the_difference(tmp_path):
    run = save(trained(build("promptlearner_clip")), tmp_path / "run")
    refused(build("vifi_clip"), run, "expected a run of vifi_clip to start from, but .* is one of promptlearner_clip")
    refused(
        build("promptlearner_clip", "transformer"), run,
        r"temporal.* is not trained there and \[.*\] here; options of the run: temporal is 'mean' and here 'transf",
    )  # fmt: skip
    refused(
        build("promptlearner_clip", "text_only"), run,
        r"clip.image.* is \[.*\] there and not trained here; options of the run: train_vision is True and here False",
    )  # fmt: skip
    config = methods.get("promptlearner_clip").Config(num_context=15)
    method = methods.build("promptlearner_clip", load_clip("random:nano"), NAMES, config=config)
    refused(method, run, r"contexts is \[5, 16, 32\] there and \[5, 15, 32\] here; .* num_context is 16 and here 15")
    tuned = save(trained(build("vifi_clip")), tmp_path / "tuned")
    refused(
        build("promptlearner_clip", clip=load_clip(tuned)), run,
        r"trained on a backbone 'random:nano' with weights .* has 'run:.*; start from a run on the same backbone",
    )  # fmt: skip
    refused(build("promptlearner_clip"), tmp_path / "nothing", "expected a model folder with manifest.json")
    shared = save(trained(build("vita_clip", "one_context")), tmp_path / "shared")
    refused(build("vita_clip"), shared, r"context is \[1, 8, 32\] there and \[5, 8, 32\] here.*class_context is False")
    linear = save(trained(build("zeroshot", "linear")), tmp_path / "linear")
    refused(build("zeroshot", "linear"), linear, "every trained tensor of this zeroshot belongs to its classes")


def test_options_that_change_no_tensor_may_differ_and_are_recorded(tmp_path):
    run = save(trained(build("promptlearner_clip")), tmp_path / "run")
    config = methods.get("promptlearner_clip").Config(contrastive=0.5, context="random")
    method = methods.build("promptlearner_clip", load_clip("random:nano"), FEW, config=config)
    options = checkpoint.start_from(method, run)["options"]
    assert options == {"contrastive": [1.0, 0.5], "context": ["words", "random"]}
