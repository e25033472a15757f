"""A model as one ONNX graph, from stored frames to probabilities, and a manifest that says how frames are made.

`actionprompt-runtime` predicts from such a folder, without torch. What does not depend on the video, such as the
embeddings of the class names, is computed before and becomes constants of the graph.

Letters: N clips, V views, T frames, C channels, S side in pixels, K labels, and none of these where it is an answer.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from actionprompt import files
from actionprompt.method import check_frames
from actionprompt.prediction import Predictor

FORMAT, MANIFEST, GRAPH = 1, "export.json", "model.onnx"
INPUT, OUTPUT = "video", "probabilities"
OPSET = 20
"""The oldest with all operators of the graphs; onnxruntime has it since 1.17."""
MOST_APART = 1e-4
"""Between probabilities of the model and of its graph in float32."""
MOST_IN_ONE_FILE = 2**31 - 2**24
"""Bytes of weights; a protocol buffer holds 2 GB."""
EXTRA = 'exporting needs onnx, onnxscript and onnxruntime: pip install "actionprompt[export]"'

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Exported:
    """A folder that was written."""

    folder: Path
    manifest: dict[str, Any]
    """The content of `export.json`."""
    size: int
    """Bytes of all files."""


class _Whole(nn.Module):
    """What a predictor does with stored frames."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.method, self.predict = predictor.method, predictor.of_clips

    def forward(self, video: UInt8[Tensor, "N V T C S S"]) -> Float[Tensor, "N K"]:
        method = self.method
        return self.predict(method.encode(method.normalise(video.flatten(0, 1))))


def export(predictor: Predictor, folder: str | Path, *, int8: bool = False) -> Exported:
    """Write `model.onnx` and `export.json` into a new or empty folder, all of it or nothing. With `int8`, linear layers
    have weights of 8 bits, and round what they are given to 8 bits; all other operators stay in float32.

    The graph is run next to the model before anything is kept; the manifest says how far apart their probabilities are.
    The predictor moves to the CPU.

    Raises:
        ValueError: the folder holds something, the extra is not installed, the runtime cannot make the frames that the
            model asks for, the method cannot be written as a graph, or graph and model answer differently.
    """
    folder = Path(folder)
    check_folder(folder)
    _check(predictor)
    predictor.device = torch.device("cpu")
    predictor.method.to("cpu").eval()
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        whole, shape = _Whole(predictor).eval(), _shape(predictor)
        _write_graph(whole, shape, temporary / GRAPH)
        if int8:
            _quantise(temporary / GRAPH)
        apart = _apart(whole, shape, temporary / GRAPH)
        if not int8 and apart["probabilities_max_difference"] > MOST_APART:
            raise ValueError(
                f"{folder}: the graph's probabilities are up to {apart['probabilities_max_difference']:.1e} from those "
                f"of the model, more than {MOST_APART:.0e}; nothing was written"
            )
        hashes = {path.name: files.sha256(path) for path in sorted(temporary.iterdir())}
        manifest = _manifest(predictor, shape, "int8" if int8 else "float32", apart, hashes)
        files.write_json(temporary / MANIFEST, manifest, indent=2)
        size = sum(path.stat().st_size for path in temporary.iterdir())
    return Exported(folder, manifest, size)


def check_folder(folder: Path) -> None:
    """Raise ValueError before the work starts: for a folder that holds something or cannot be made, without the extra,
    or with torch 2.6. Nothing is made."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(f"--out: expected a folder, but {there} is none")
    if there == folder.absolute() and any(folder.iterdir()):
        raise ValueError(f"--out: expected a new or an empty folder, but {folder} holds files; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"--out: {folder} cannot be written (no permission in {there})")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError(EXTRA) from None
    if not hasattr(torch.compiler, "is_exporting"):
        raise ValueError(
            f"expected a torch newer than 2.6, whose exporter cannot trace these graphs, got {torch.__version__}; "
            "export where torch is newer: the folder runs without torch"
        )


def _check(predictor: Predictor) -> None:
    """Raise ValueError for what cannot be exported."""
    method, config = predictor.method, predictor.config
    if method.flow is not None:
        raise ValueError(
            f"{method.name} sees optical flow, which actionprompt-runtime does not compute; export a method that sees "
            f"frames"
        )
    if predictor.precision != "float32":
        raise ValueError(
            f"expected a predictor in float32 to export, got one in {predictor.precision}; int8=True (--int8) rounds "
            f"what is written"
        )
    if config.random_groups:
        raise ValueError(
            "this model draws the frames of its views at random (random_groups), and actionprompt-runtime takes them "
            "evenly; train or choose one without"
        )
    check_frames(method, config)


def _shape(predictor: Predictor) -> tuple[int, ...]:
    """V, T, C, S, S."""
    config = predictor.config
    return config.num_views, config.test_frames or config.num_frames, *predictor.method.frame_shape


def _manifest(
    predictor: Predictor, shape: tuple[int, ...], precision: Precision, apart: dict[str, Any], hashes: dict[str, str]
) -> dict[str, Any]:
    config, about = predictor.config, predictor.about()
    columns = len(predictor.class_names) + predictor.none
    return {
        "format": FORMAT,
        "program": about["program"],
        "graph": GRAPH,
        "precision": precision,
        "labels": list(predictor.class_names),
        "none": predictor.none,
        "none_below": None if predictor.independent else predictor.none_below,
        "background": predictor.background,
        "input": {
            "name": INPUT, "layout": "N V T C S S", "dtype": "uint8", "views": shape[0], "frames": shape[1],
            "side_px": shape[-1],
        },
        "output": {"name": OUTPUT, "columns": columns},
        "frames": {
            "sampling": config.sampling, "num_frames": shape[1], "stride": config.stride, "num_clips": config.num_clips,
        },
        "pixels": {
            "fit": config.fit, "num_crops": config.num_crops, "resize_side": config.resize_side,
            "interpolation": predictor.method.clip.pixels.interpolation,
        },
        "opset": OPSET,
        "parity": apart,
        "sha256": hashes,
        "about": about,
        "warnings": predictor.warnings([MANIFEST]),
    }  # fmt: skip


# The graph -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _write_graph(whole: _Whole, shape: tuple[int, ...], path: Path) -> None:
    """Raises ValueError for a method that cannot be written as a graph."""
    example = torch.from_numpy(_videos(3, shape))
    whole(example)  # what depends on the classes alone is computed once, and is a constant after that
    with _quietly():
        try:
            program = torch.export.export(
                whole, (example,), dynamic_shapes=({0: torch.export.Dim("N", min=1)},), strict=False
            )
            written: Any = torch.onnx.export(
                program, (), dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{whole.method.name} cannot be written as an ONNX graph: {reason}") from error
    _strip(written.model)
    size = sum(value.const_value.nbytes for value in written.model.graph.initializers.values())
    written.save(path, external_data=size > MOST_IN_ONE_FILE)


def _strip(model: Any) -> None:
    """Without the traces of where each operator came from, which take as much room as a small model, and with N, not
    the symbols of the export, as the number of clips."""
    graph = model.graph
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if not value.is_graph_output():
                value.shape = value.type = None  # whoever loads the graph infers them again
    for value in (*graph.inputs, *graph.outputs):
        value.metadata_props.clear()
        value.shape = type(value.shape)(["N", *value.shape[1:]])
    for place in (graph, model):
        place.metadata_props.clear()


def _quantise(path: Path) -> None:
    """The graph of a file with weights of 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    single = path.parent / "float32"
    files_of = list(path.parent.iterdir())
    single.mkdir()
    for file in files_of:
        file.rename(single / file.name)
    with _quietly():
        # unsigned weights: with signed ones, sums overflow the 16 bits that they have on processors without VNNI
        quantize_dynamic(
            single / path.name, path, op_types_to_quantize=["MatMul"], weight_type=QuantType.QUInt8, per_channel=True,
            nodes_to_quantize=_linear(onnx.load(single / path.name, load_external_data=False).graph),
            use_external_data_format=len(files_of) > 1,
        )  # fmt: skip
    files.delete(single)


def _linear(graph: Any) -> list[str]:
    """The products with a weight to which a bias is added: linear layers. The cosines with the class names have none:
    rounding them would cost accuracy and save nothing."""
    stored = {tensor.name for tensor in graph.initializer}
    biased = {node.input[0] for node in graph.node if node.op_type == "Add" and node.input[1] in stored}
    products = (node for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored)
    return [node.name for node in products if node.output[0] in biased]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the remarks of the exporters: they are on operators of others, and on what was not folded."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "onnxruntime", "root")
    loggers = [logging.getLogger(None if name == "root" else name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


# The check -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _apart(whole: _Whole, shape: tuple[int, ...], path: Path) -> dict[str, Any]:
    """How far the probabilities of graph and model are apart, on generated videos, one alone and several at once."""
    run = session(path)
    most, same, num_videos = 0.0, 0, 0
    for video in (_videos(1, shape, seed=1), _videos(4, shape, seed=2)):
        wanted, got = whole(torch.from_numpy(video)).numpy(), run(video)
        if got.shape != wanted.shape or not np.isfinite(got).all():
            raise ValueError(f"{path.name}: expected finite probabilities {wanted.shape} of the graph, got {got.shape}")
        most = max(most, float(np.abs(got - wanted).max()))
        same += int((got.argmax(1) == wanted.argmax(1)).sum())
        num_videos += len(video)
    return {"probabilities_max_difference": most, "same_answers": same, "videos": num_videos}


def session(path: Path) -> Callable[[UInt8[np.ndarray, "N V T C S S"]], Float[np.ndarray, "N K"]]:
    """The graph of a file as a function, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    loaded = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda video: loaded.run([OUTPUT], {INPUT: video})[0]


def _videos(num: int, shape: tuple[int, ...], *, seed: int = 0) -> UInt8[np.ndarray, "N V T C S S"]:
    """Moving fields of colour of several sizes, with noise: frames in which a tower finds more than in noise alone."""
    rng = np.random.default_rng(seed)
    *outer, side_px, _ = shape
    out = np.empty((num, *shape), np.uint8)
    for video, cells in zip(out, (2 ** (1 + index % 4) for index in range(num))):
        coarse = rng.uniform(0, 255, (*outer, cells, cells))
        where = np.arange(side_px) * cells // side_px
        fields = coarse[..., where[:, None], where]
        video[...] = np.clip(fields + rng.normal(0, 16, fields.shape), 0, 255)
    return out
