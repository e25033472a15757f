"""Exported graphs next to the models they come from: probabilities of videos, what the files hold, and the refusals."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import test_contract as contract
from actionprompt import checkpoint, files, layers, methods, prediction
from actionprompt.apps import export as exporting
from actionprompt.apps.export import export
from actionprompt.clips import Clip
from actionprompt.commands import main
from actionprompt.config import DataConfig
from actionprompt.data import VideoDataset
from actionprompt.prediction import Predictor
from actionprompt.video import write_video
from actionprompt.weights import load_clip

pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="the exporter of torch 2.6 cannot trace these graphs"
)

NAMES = contract.NAMES
DATA = DataConfig(num_frames=4, num_clips=2, num_crops=3, sampling="dense", stride=2, resize_side=256, pooling="logits")
WITHOUT_GRAPH = {
    ("i3d_flow", None): "sees optical flow",
    **{("bike", variant): "a graph has no tokeniser" for variant in (None, "attributes_only", "label_words")},
}
"""The methods that are refused, with what is said."""


@pytest.fixture(autouse=True)
def as_users_call_it(as_users_call, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def run_graph(folder: Path, video: np.ndarray) -> np.ndarray:
    """By the documented interface of ONNX Runtime alone."""
    manifest = json.loads((folder / "export.json").read_text())
    loaded = onnxruntime.InferenceSession(folder / manifest["graph"], providers=["CPUExecutionProvider"])
    return loaded.run([manifest["output"]["name"]], {manifest["input"]["name"]: video})[0]


def predictor(name: str, variant: str | None, **options) -> Predictor:
    method = contract.build(name, variant, noise=0.02)
    return Predictor(method, DataConfig(num_frames=contract.T), device="cpu", **options)


def videos(model: Predictor, num: int, seed: int = 5) -> np.ndarray:
    views, (channels, *sides) = model.config.num_views, model.method.frame_shape
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, views, model.config.num_frames, channels, *sides), dtype=np.uint8)


def expected(model: Predictor, video: np.ndarray) -> np.ndarray:
    """The model's probabilities, one view after the other, pooled by hand; `Predictor.probabilities` is tested with
    predictions."""
    rows = []
    for clip in video:
        views = model.method.normalise(torch.from_numpy(clip))
        with torch.no_grad():
            rows.append([model.probabilities(model.method.encode(view[None]))[0] for view in views])
    return np.stack([torch.stack(views).mean(0).numpy() for views in rows])


def same(folder: Path, model: Predictor, *, most: float = 1e-4) -> None:
    for num in (1, 2, 5):  # an axis of 1 is what tracing likes to take for fixed
        video = videos(model, num, seed=num)
        np.testing.assert_allclose(run_graph(folder, video), expected(model, video), rtol=0, atol=most)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A model with a head of its own, six views, and a rejection threshold."""
    method = contract.build("zeroshot", "linear", noise=0.05)
    folder = tmp_path_factory.mktemp("trained") / "model"
    checkpoint.save(folder, method, data=DATA, none_of_these={"below": 0.3})
    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "graph"
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    assert main(["export", str(trained), "--out", str(folder), "--none"]) == 0
    config.update("jaxtyping_disable", False)
    return folder


def test_torch_2_6_is_told_that_it_cannot_export(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.delattr(torch.compiler, "is_exporting")
    assert not layers.is_exporting()
    assert main(["export", str(trained), "--out", str(tmp_path / "graph")]) == 2
    assert f"expected a torch newer than 2.6, whose exporter cannot trace these graphs, got {torch.__version__}" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "graph").exists()


def test_a_clip_gets_the_probabilities_that_the_model_gives_it(exported, trained, tmp_path):
    """From the file to the answer, through all views; the logits are averaged, and none of these is the last."""
    rng, path = np.random.default_rng(0), tmp_path / "clip.mp4"
    write_video(path, rng.integers(0, 256, (24, 48, 80, 3), dtype=np.uint8), fps=12)
    model = prediction.load(trained, none=True, device="cpu")
    wanted = model.predict(path, top=None)
    data = VideoDataset(
        [Clip("clip", path, 0)], model.config, side_px=32, training=False, pixels=model.method.clip.pixels
    )
    (got,) = run_graph(exported, data[0, 0].video[None])
    by_name = dict(zip(wanted.labels, wanted.scores))
    np.testing.assert_allclose(got, [*(by_name[name] for name in NAMES), wanted.none], rtol=0, atol=1e-5)
    assert got.sum() == pytest.approx(1)


def test_the_manifest_says_what_a_reader_needs(exported, trained):
    manifest = json.loads((exported / "export.json").read_text())
    parity = manifest.pop("parity")
    assert 0 < parity["probabilities_max_difference"] <= 1e-5
    assert parity["same_answers"] == parity["videos"] == 5
    assert manifest.pop("about")["settings"]["weights_sha256"] == checkpoint.weights_sha256(trained)
    assert manifest.pop("program").startswith("actionprompt 0.")
    assert manifest == {
        "format": 1, "graph": "model.onnx", "precision": "float32", "labels": list(NAMES), "none": True,
        "none_below": 0.3, "background": None, "opset": 20, "warnings": [],
        "input": {
            "name": "video", "layout": "N V T C S S", "dtype": "uint8", "views": 6, "frames": 4, "side_px": 32,
        },
        "output": {"name": "probabilities", "columns": 6},
        "frames": {"sampling": "dense", "num_frames": 4, "stride": 2, "num_clips": 2},
        "pixels": {"fit": "crop", "num_crops": 3, "resize_side": 256, "interpolation": "bicubic"},
        "sha256": {"model.onnx": files.sha256(exported / "model.onnx")},
    }  # fmt: skip
    assert sorted(path.name for path in exported.iterdir()) == ["export.json", "model.onnx"]


def test_the_graph_holds_each_weight_once_and_nothing_of_how_it_was_made(exported):
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(use.domain, use.version) for use in model.opset_import] == [("", 20)]
    (taken,), (given,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in taken.type.tensor_type.shape.dim] == ["N", 6, 4, 3, 32, 32]
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["N", 6]
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    big = [tensor.tobytes() for tensor in tensors if tensor.size > 100]
    assert len(set(big)) == len(big)
    tower = load_clip("random:nano").image
    numbers = sum(p.numel() for p in tower.parameters()) + len(NAMES) * tower.embed_dim
    assert sum(tensor.size for tensor in tensors) < numbers + 200, "the text tower is not needed for known classes"
    made_of = {output: node.op_type for node in model.graph.node for output in node.output}
    weights = [name for node in model.graph.node if node.op_type == "MatMul" for name in node.input]
    assert not [name for name in weights if made_of.get(name) == "Transpose" and "weight" in name]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert {value.name for value in model.graph.value_info} <= {tensor.name for tensor in model.graph.initializer}


def test_int8_is_smaller_and_says_how_far_it_is_from_the_model(exported, trained, tmp_path, monkeypatch):
    whole = exported / "model.onnx"
    monkeypatch.setattr(exporting, "_write_graph", lambda model, shape, path: shutil.copy(whole, path))  # as it was
    model, folder = prediction.load(trained, none=True, device="cpu"), tmp_path / "small"
    manifest = export(model, folder, int8=True).manifest
    assert manifest["precision"] == "int8"
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "model.onnx"]
    graph = onnx.load(folder / "model.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 12, "six linear layers in each of two blocks; not the scores"
    stored = {tensor.name: tensor for tensor in graph.initializer}
    assert {stored[node.input[1]].data_type for node in products} == {onnx.TensorProto.UINT8}
    assert {len(onnx.numpy_helper.to_array(stored[node.input[3]])) for node in products} == {32, 128}, "per channel"
    video = videos(model, 3)
    got, wanted = run_graph(folder, video), expected_of_logits(model, video)
    assert 1e-6 < np.abs(got - wanted).max() < 0.05
    assert np.abs(run_graph(exported, video) - wanted).max() < 1e-5
    assert manifest["parity"]["probabilities_max_difference"] > 1e-6


def expected_of_logits(model: Predictor, video: np.ndarray) -> np.ndarray:
    """By hand: softmax of the mean logits of all views, and the threshold as the last column."""
    rows = []
    with torch.no_grad():
        for clip in video:
            views = [model.method(model.method.normalise(torch.from_numpy(view[None])))[0] for view in clip]
            own = torch.stack(views).mean(0).softmax(-1)
            rows.append(torch.cat([own, torch.tensor([0.3])]) / 1.3)
    return torch.stack(rows).numpy()


# Refusals ------------------------------------------------------------------------------------------------------------


def refused(capsys, *args: str) -> str:
    assert main(["export", *args]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path, capsys, own_console):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    labels = ("--labels", "a,b", "--backbone", "random:nano")
    assert "expected a new or an empty folder" in refused(capsys, "--out", str(tmp_path / "full"), *labels)
    assert "expected a folder" in refused(capsys, "--out", str(tmp_path / "full" / "mine"), *labels)
    assert "expected a folder" in refused(capsys, "--out", str(tmp_path / "full" / "mine" / "below"), *labels)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine"]
    assert "a RUN, or --labels" in refused(capsys, "--out", str(tmp_path / "new"))


def test_without_the_extra_one_line_says_what_to_install(tmp_path, capsys, own_console, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert 'pip install "actionprompt[export]"' in refused(capsys, "--out", str(tmp_path / "x"), "--labels", "a,b")


def test_what_the_runtime_cannot_do_is_refused(tmp_path):
    flow = Predictor(methods.build("i3d_flow", load_clip("random:nano"), NAMES), DataConfig(), device="cpu")
    with pytest.raises(ValueError, match="i3d_flow sees optical flow, which actionprompt-runtime does not compute"):
        export(flow, tmp_path / "flow")
    drawn = Predictor(contract.build("zeroshot", None), DataConfig(random_groups=True), device="cpu")
    with pytest.raises(ValueError, match="draws the frames of its views at random"):
        export(drawn, tmp_path / "drawn")
    rounded = Predictor(contract.build("zeroshot", None), DataConfig(), device="cpu", precision="bf16")
    with pytest.raises(ValueError, match="expected a predictor in float32 to export, got one in bf16"):
        export(rounded, tmp_path / "rounded")
    assert not list(tmp_path.iterdir())


def test_a_method_that_decides_by_what_it_sees_is_refused_and_named(tmp_path, monkeypatch):
    model = predictor("vifi_clip", None)
    head = model.method.head
    monkeypatch.setattr(model.method, "head", lambda x: head(x) if float(x.mean()) > 0 else -head(x))
    with pytest.raises(ValueError, match="vifi_clip cannot be written as an ONNX graph: "):
        export(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_answers_differently_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_write_graph", lambda model, shape, path: path.touch())
    monkeypatch.setattr(exporting, "session", lambda path: lambda video: np.full((len(video), len(NAMES)), 0.2, "f"))
    with pytest.raises(ValueError, match=r"probabilities are up to .* from those of the model, more than 1e-04"):
        export(predictor("zeroshot", None), tmp_path / "out")
    assert not list(tmp_path.iterdir())


# Everything ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@contract.every
def test_every_method_and_variant_gives_the_same_as_a_graph_or_is_refused(name, variant, tmp_path):
    model = predictor(name, variant)
    if (name, variant) in WITHOUT_GRAPH:
        with pytest.raises(ValueError, match=WITHOUT_GRAPH[name, variant]):
            export(model, tmp_path / "graph")
        return
    export(model, tmp_path / "graph")
    same(tmp_path / "graph", model)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["metaclip2-nano", "siglip-nano", "siglip2-nano", "altclip-nano", "clipa-nano"])
@pytest.mark.parametrize(
    ("name", "variant"), [("zeroshot", None), ("seeing_in_flowing", None), ("xclip", None), ("bike", "video")]
)
def test_towers_of_every_family(name, variant, family, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "BACKBONE", family)
    model = predictor(name, variant)
    export(model, tmp_path / "graph")
    same(tmp_path / "graph", model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "options"),
    [
        (None, {"none": True}),  # null names of the method
        ("transformer", {"none": True}),  # of frozen CLIP, which judges
        ("transformer", {"independent": True, "none": True}),
        ("linear", {"background": NAMES[-1], "none_below": 0.3}),
    ],
)
def test_every_kind_of_none_of_these(variant, options, tmp_path):
    model = predictor("zeroshot", variant, **options)
    manifest = export(model, tmp_path / "graph").manifest
    assert manifest["output"]["columns"] == len(model.class_names) + 1
    assert manifest["none_below"] == (0.3 if "none_below" in options else None)
    same(tmp_path / "graph", model)


@pytest.mark.slow
def test_weights_over_the_limit_of_a_file_lie_next_to_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_IN_ONE_FILE", 1000)
    for int8 in (False, True):
        model, folder = predictor("zeroshot", None), tmp_path / f"{int8}"
        manifest = export(model, folder, int8=int8).manifest
        assert {path.name for path in folder.iterdir()} == {"export.json", *manifest["sha256"]}
        assert manifest["sha256"] == {name: files.sha256(folder / name) for name in manifest["sha256"]}
        assert len(manifest["sha256"]) == 2
        same(folder, model, most=0.05 if int8 else 1e-4)


@pytest.mark.slow
def test_full_size_on_real_clips(real_data, tmp_path):
    model = prediction.zero_shot(
        ("waving a hand", "jumping", "falling down", "walking"), backbone="random:ViT-B/16", none=True, device="cpu"
    )
    model.method.clip.logit_scale.data.fill_(3.0)  # random towers give cosines of almost 1 to everything
    export(model, tmp_path / "graph")
    paths = sorted((real_data / "videos" / "single_clips").glob("*.mp4"))[:4]
    data = VideoDataset(
        [Clip(path.name, path, 0) for path in paths], model.config, side_px=224, training=False,
        pixels=model.method.clip.pixels,
    )  # fmt: skip
    for index, path in enumerate(paths):
        wanted = model.predict(path, top=None)
        (got,) = run_graph(tmp_path / "graph", data[0, index].video[None])
        by_name = dict(zip(wanted.labels, wanted.scores))
        np.testing.assert_allclose(got[:-1], [by_name[name] for name in model.class_names], rtol=0, atol=1e-4)
        assert got[-1] == pytest.approx(wanted.none, abs=1e-4)
