"""The small distribution in `runtime/`: its frames and views are those of the main package bit for bit, what it answers
is what the graph says, and everything else is one line."""

import ast
import dataclasses
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
from hatchling.builders.wheel import WheelBuilder
from onnx import TensorProto, helper
from PIL import Image

import actionprompt
from actionprompt import clips, methods, prediction, sampling, transforms, video
from actionprompt.apps import export
from actionprompt.config import DataConfig, Pixels
from actionprompt.data import Sample, VideoDataset
from actionprompt.video import images, scan
from actionprompt.weights import load_clip
from videos import add_other, numbered_frame, pack, rewrite, strip_reordering, write_numbered

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "runtime"
SOURCE = RUNTIME / "src"
sys.path.insert(0, str(SOURCE))  # it need not be installed
runtime, frames, model, views, command = (
    importlib.import_module(f"actionprompt_runtime{name}") for name in ("", ".frames", ".model", ".views", ".__main__")
)
SIDE_PX = 32
LABELS = ("waving", "clapping", "running", "跳舞")
DATA = DataConfig(num_frames=4, fit="auto")


# --- one folder that was exported, made by hand -----------------------------------------------------------------------


def manifest_of(data: DataConfig = DATA, **changes) -> dict:
    views_num, none = data.num_views, changes.get("none", False)
    return {
        "format": 1, "program": "actionprompt 0", "graph": "model.onnx", "precision": "float32",
        "labels": list(LABELS), "none": none, "none_below": None, "background": None,
        "input": {"name": "video", "layout": "N V T C S S", "dtype": "uint8", "views": views_num,
                  "frames": data.num_frames, "side_px": SIDE_PX},
        "output": {"name": "probabilities", "columns": len(LABELS) + none},
        "frames": {"sampling": data.sampling, "num_frames": data.num_frames, "stride": data.stride,
                   "num_clips": data.num_clips},
        "pixels": {"fit": data.fit, "num_crops": data.num_crops, "resize_side": data.resize_side,
                   "interpolation": "bicubic"},
        "parity": {}, "about": {"program": "actionprompt 0", "labels": list(LABELS)}, "warnings": [], **changes,
    }  # fmt: skip


def weights(num_views: int, num_frames: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.05, (num_views * num_frames * 3 * SIDE_PX**2, columns)).astype(np.float32)


def exported(folder: Path, data: DataConfig = DATA, *, num_products: int = 0, **changes) -> Path:
    """A folder as `actionprompt export` writes it; its graph is the softmax of a linear layer on all pixels, and takes
    as long as this many products of large matrices."""
    manifest = manifest_of(data, **changes)
    taken, columns = manifest["input"], manifest["output"]["columns"]
    shape = ["N", data.num_views, data.num_frames, 3, SIDE_PX, SIDE_PX]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, (w := weights(*shape[1:3], columns)).shape, w.ravel()),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 255]),
    ]
    nodes = [
        helper.make_node("Cast", ["video"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("Mul", ["flat", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    if num_products:
        constants.append(helper.make_tensor("side", TensorProto.INT64, [2], [2048, 2048]))
        names = [f"product{number}" for number in range(num_products + 1)]
        slow = [helper.make_node("ReduceMean", ["scaled"], ["mean"], keepdims=0)]
        slow.append(helper.make_node("Expand", ["mean", "side"], [names[0]]))
        slow += [helper.make_node("MatMul", [one, one], [other]) for one, other in itertools.pairwise(names)]
        slow.append(helper.make_node("ReduceMean", [names[-1]], ["last"], keepdims=0))
        slow.append(helper.make_node("Add", ["logits", "last"], ["added"]))
        nodes = [*nodes[:-1], *slow, helper.make_node("Softmax", ["added"], ["probabilities"], axis=1)]
    inside = helper.make_tensor_value_info(taken["name"], TensorProto.UINT8, shape)
    outside = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", columns])
    graph = helper.make_graph(nodes, "hand-made", [inside], [outside], constants)
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "export.json").write_text(json.dumps({"sha256": {"model.onnx": sha256}} | manifest))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("exported") / "model")


def edit(folder: Path, **changes) -> Path:
    manifest = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(manifest | changes))
    return folder


# --- the same frames and views as the main package --------------------------------------------------------------------


def by_main(path: Path, data: DataConfig = DATA) -> tuple[np.ndarray, np.ndarray] | str:
    found = VideoDataset(
        [clips.Clip("clip", path, 0)], data, side_px=SIDE_PX, training=False, pixels=Pixels()
    )[0, 0]  # fmt: skip
    return (found.video, found.indices) if isinstance(found, Sample) else found.reason


def by_runtime(path: Path, data: DataConfig = DATA) -> tuple[np.ndarray, np.ndarray] | str:
    made = manifest_of(data)
    try:
        return views.load(path, sampling=made["frames"], pixels=made["pixels"], side_px=SIDE_PX)
    except frames.VideoDecodeError as error:
        said = error
    assert str(said) == f"{path}: {said.reason}"
    assert "\n" not in str(said)
    return said.reason


def assert_same(path: Path, data: DataConfig = DATA) -> np.ndarray:
    """Both packages are given the same; returns the indices of the frames."""
    expected, found = by_main(path, data), by_runtime(path, data)
    assert not isinstance(expected, str), expected
    assert not isinstance(found, str), found
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[0].dtype == np.uint8
    return found[1]


X264 = {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0:open-gop=1:threads=1"}
QUICK = {"deadline": "realtime", "cpu-used": "8"}
BFRAMES = {"bf": "2", "b_strategy": "0", "sc_threshold": "1000000000"}
CODECS = {
    "h264.mp4": ("libx264", {"options": X264}),
    "h264.ts": ("libx264", {"options": X264}),
    "h264.flv": ("libx264", {"options": X264}),
    "h264.avi": ("libx264", {"options": X264}),
    "raw.h264": ("libx264", {"options": X264}),
    "fragments.mp4": ("libx264", {"options": X264, "container_options": {"movflags": "frag_keyframe"}}),
    "interlaced.ts": ("libx264", {"options": {"x264-params": "tff=1:bframes=2:threads=1"}}),
    "10bit.mkv": ("libx264", {"options": X264, "pix_fmt": "yuv420p10le"}),
    "odd.mp4": ("libx264", {"options": X264, "pix_fmt": "yuv444p", "height_px": 63, "width_px": 97}),
    "hevc.mp4": (
        "libx265",
        {"options": {"x265-params": "bframes=3:keyint=12:open-gop=1:log-level=none:pools=none:frame-threads=1"}},
    ),
    "av1.mkv": ("libsvtav1", {"options": {"preset": "10", "crf": "20", "svtav1-params": "lp=1"}}),
    "vp9.webm": (
        "libvpx-vp9",
        {"options": {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    ),
    "vp8.webm": ("libvpx", {"options": QUICK}),
    "mpeg4.avi": ("mpeg4", {"options": BFRAMES}),
    "mpeg4.mkv": ("mpeg4", {"options": BFRAMES}),
    "mpeg2.ts": ("mpeg2video", {"options": BFRAMES}),
    "mpeg1.mpg": ("mpeg1video", {"options": BFRAMES}),
    "wmv2.wmv": ("wmv2", {}),
    "mjpeg.avi": ("mjpeg", {"pix_fmt": "yuvj420p"}),
    "prores.mov": ("prores_ks", {"pix_fmt": "yuv422p10le"}),
    "ffv1.mkv": ("ffv1", {}),
    "gif.gif": ("gif", {"pix_fmt": "rgb8"}),
}
NUM_FRAMES = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """name -> the file of CODECS, written when first asked for."""
    place = tmp_path_factory.mktemp("clips")

    def write(name: str) -> Path:
        codec, options = CODECS[name]
        path = place / name
        return path if path.exists() else write_numbered(path, NUM_FRAMES, codec, **options)

    return write


@pytest.mark.parametrize("name", CODECS)
def test_every_codec(clip, name):
    assert assert_same(clip(name)).tolist() == [[3, 9, 15, 21]]
    assert_same(clip(name), DataConfig(num_frames=3, sampling="dense", stride=5, num_clips=2, num_crops=3, fit="crop"))
    found, kept = frames.read(clip(name), np.arange, lambda frame: frame.copy())
    with av.open(str(clip(name))) as container:  # the plainest use of PyAV
        plain = [f.to_ndarray(format="rgb24", interpolation="BICUBIC") for f in container.decode(video=0)]
    assert found.tolist() == sorted(kept) == list(range(NUM_FRAMES))
    np.testing.assert_array_equal([kept[index] for index in range(NUM_FRAMES)], plain)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5])
def test_videos_with_fewer_frames_than_a_model_sees(tmp_path, num_frames):
    path = write_numbered(tmp_path / "short.mp4", num_frames, options=X264)
    assert len(set(assert_same(path, DataConfig(num_frames=8)).ravel())) == num_frames
    assert_same(path, DataConfig(num_frames=8, sampling="dense", stride=2, num_clips=3))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_and_mirrored(tmp_path, rotation, mirrored):
    path = write_numbered(tmp_path / "turned.mp4", 5, options=X264, rotation=rotation, hflip=mirrored)
    for fit in ("letterbox", "crop"):
        assert_same(path, dataclasses.replace(DATA, fit=fit))


def test_a_slanted_rotation_is_refused(tmp_path):
    path = write_numbered(tmp_path / "slanted.mp4", 2, options=X264, rotation=-30)
    assert by_runtime(path) == by_main(path) == "is rotated by 30 degrees; only multiples of 90 are supported"


def passes(monkeypatch) -> list:
    """Grows by one for each time that a video is decoded."""
    calls, decode = [], frames._decode
    monkeypatch.setattr(frames, "_decode", lambda *args: calls.append(args) or decode(*args))
    return calls


def test_a_number_of_frames_that_packets_do_not_tell_costs_a_second_pass(clip, tmp_path, monkeypatch):
    def hide(place, packet):
        data = bytearray(bytes(packet))
        if place == 10:
            data[0] &= 0b11101111  # VP8's show_frame
        hidden = av.Packet(bytes(data))
        hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
        hidden.is_keyframe = place == 0
        return [hidden]

    calls = passes(monkeypatch)
    assert_same(rewrite(clip("vp8.webm"), tmp_path / "hidden.webm", hide), DataConfig(num_frames=NUM_FRAMES - 1))
    assert len(calls) == 2
    assert_same(clip("vp8.webm"))
    assert_same(pack(clip("mpeg4.avi"), tmp_path / "packed.avi"))  # as XviD does, as in HMDB-51
    assert len(calls) == 4


def test_what_containers_get_wrong(clip, tmp_path, monkeypatch):
    calls = passes(monkeypatch)
    edited = write_numbered(
        tmp_path / "edited.mp4", 20, options=X264, pts=range(-7, 13),
        container_options={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )  # fmt: skip
    assert assert_same(edited, DataConfig(num_frames=13)).tolist() == [list(range(13))]
    assert len(calls) == 1  # what the edit list hides is not counted
    late = write_numbered(tmp_path / "late.ts", 20, options=X264 | {"qp": "30"}, pts=range(500, 520))
    assert_same(write_numbered(tmp_path / "cover.mp4", 9, options=X264, others=["cover", "audio", "small"]))
    assert_same(late)
    title = tmp_path / "title.mp4"
    with av.open(str(title), "w") as container:
        container.metadata["title"] = "XXXXXXXX"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(5))) + stream.encode(None))
    title.write_bytes(title.read_bytes().replace(b"XXXXXXXX", b"caf\xe9 \xff\xfe!"))  # no UTF-8
    assert_same(title)
    both = tmp_path / "both.ts"
    both.write_bytes(late.read_bytes() + clip("h264.ts").read_bytes())
    assert assert_same(both, DataConfig(num_frames=44)).tolist() == [list(range(44))]
    pts = np.cumsum([1 + place % 4 for place in range(20)]).tolist()
    assert_same(write_numbered(tmp_path / "v.mkv", 20, options=X264, pts=pts, time_base=Fraction(1, 50)))
    assert_same(write_numbered(tmp_path / "empty.avi", 20, "mjpeg", pix_fmt="yuvj420p", pts=range(0, 60, 3)))
    main = write_numbered(tmp_path / "main.mp4", 20, options=X264 | {"profile": "main"})
    for suffix in ("mkv", "ts", "mp4"):
        assert_same(strip_reordering(main, tmp_path / f"silent.{suffix}"))


@pytest.mark.parametrize("name", ["a b.mp4", "día 动作.mp4", "http:x.mp4", "50%_%05d.mp4", "-.mp4", b"\xff.mp4"])
def test_odd_file_names(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    shutil.copy(clip("h264.mp4"), name)
    assert_same(Path(name))


# --- pure functions ---------------------------------------------------------------------------------------------------


def test_sampling_is_that_of_the_main_package():
    for total in [*range(1, 60), 299, 1000, 123_457]:
        for num, num_clips, stride in ((1, 1, 1), (8, 1, 4), (8, 2, 4), (16, 3, 2), (32, 10, 8)):
            own = {"num_frames": num, "num_clips": num_clips, "stride": stride}
            expected = sampling.segment(total, num, num_clips=num_clips)
            np.testing.assert_array_equal(views.sample(total, sampling="segment", **own), expected)
            expected = sampling.dense(total, num, stride=stride, num_clips=num_clips)
            np.testing.assert_array_equal(views.sample(total, sampling="dense", **own), expected)


@pytest.mark.parametrize(
    ("height_px", "width_px"),
    [(64, 96), (96, 64), (97, 61), (33, 33), (20, 22), (20, 23), (1, 90), (240, 320), (35, 61), (39, 39)],
)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_views_are_those_of_the_main_package(height_px, width_px, interpolation):
    frame = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), np.uint8)
    ways = [(fit, 1, None) for fit in views.FITS]
    for fit, num_crops, side in [*ways, ("crop", 3, None), ("crop", 3, 256), ("crop", 1, 251)]:
        own = {"num_crops": num_crops, "fit": fit, "resize_side": side, "interpolation": interpolation}
        expected = transforms.eval_views(frame[None], side_px=SIDE_PX, **own)[:, 0]
        np.testing.assert_array_equal(views.crops(frame, SIDE_PX, **own), expected, err_msg=str(own))


def test_constants_are_those_of_the_main_package():
    assert frames.FORMATS == scan.FORMATS
    assert frames.IMAGE_FORMATS == images.FORMATS
    assert frames.IMAGE_SUFFIXES == clips.IMAGE_SUFFIXES
    assert video.Limits().max_pixels == frames.DEFAULT_MAX_PIXELS
    assert views.MOST_CROPPED == transforms.MOST_CROPPED
    assert views.RESAMPLING == transforms.RESAMPLING
    assert (model.FORMAT, model.MANIFEST) == (export.FORMAT, export.MANIFEST)


# --- image folders ----------------------------------------------------------------------------------------------------


def test_image_folders(tmp_path):
    numbers = range(8, 23)
    for pattern in ("{}.jpg", "img_{:05d}.png", "clip7_{}.webp"):
        place = tmp_path / pattern[-4:]
        place.mkdir()
        (place / "Thumbs.db").touch()
        for number in numbers:
            Image.fromarray(numbered_frame(number)).save(place / pattern.format(number))
        assert_same(place)
    deep = tmp_path / "deep"
    deep.mkdir()
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(numbered_frame(5)[..., 0].astype(np.uint16) * 256 + 77).rotate(90, expand=True).save(
        deep / "1.png", exif=turned
    )
    Image.fromarray(numbered_frame(6)).convert("P").save(deep / "2.png")
    Image.fromarray(numbered_frame(7)).convert("RGBA").save(deep / "3.png")
    assert_same(deep, DataConfig(num_frames=3, fit="letterbox"))


def image_folder(place: Path, *names: str) -> Path:
    place.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(place / name)
    return place


def test_image_folders_that_are_refused_as_in_the_main_package(tmp_path):
    faults = {
        "none": image_folder(tmp_path / "none"),
        "hole": image_folder(tmp_path / "hole", "1.png", "2.png", "4.png"),
        "twice": image_folder(tmp_path / "twice", "1.png", "01.png"),
        "unnumbered": image_folder(tmp_path / "unnumbered", "a.png"),
        "chunk": image_folder(tmp_path / "chunk", "1.png"),
        "program": image_folder(tmp_path / "program", "1.png"),
        "sizes": image_folder(tmp_path / "sizes", "1.png", "2.png"),
    }
    data = bytearray((faults["chunk"] / "1.png").read_bytes())
    data[data.index(b"IDAT") - 4 : data.index(b"IDAT")] = (0xFFFF1803).to_bytes(4)
    (faults["chunk"] / "1.png").write_bytes(data)
    (faults["program"] / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.fromarray(numbered_frame(1, 66, 96)).save(faults["sizes"] / "2.png")
    if hasattr(os, "mkfifo"):
        (tmp_path / "pipe").mkdir()
        os.mkfifo(tmp_path / "pipe" / "1.png")
        faults["pipe"] = tmp_path / "pipe"
    for name, place in faults.items():
        expected = by_main(place)
        assert isinstance(expected, str), name
        assert by_runtime(place) == expected


# --- damage and nonsense ----------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_refused_as_by_the_main_package(clip, tmp_path):
    whole = {name: clip(name).read_bytes() for name in ("h264.mp4", "vp9.webm", "h264.flv")}
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"not a video at all" * 99,
        "list.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
        "script.mp4": b"ffconcat version 1.0\nfile other.ts\n",
        **{f"cut{share}{name}": data[: int(share * len(data))] for name, data in whole.items() for share in (0.3, 0.9)},
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        expected = by_main(tmp_path / name)
        assert isinstance(expected, str), name
        assert by_runtime(tmp_path / name) == expected
    front = write_numbered(
        tmp_path / "front.mp4", 9, options=X264, container_options={"movflags": "+faststart"}
    )  # fmt: skip
    with av.open(str(front)) as container:
        last = [packet.pos for packet in container.demux(video=0) if packet.size][-1]
    front.write_bytes(front.read_bytes()[:last])
    assert by_runtime(front) == by_main(front) == "truncated: its index lists 9 frames, it contains 8"
    for name, kinds in (("sound.mp4", ["audio"]), ("covered.mp4", ["audio", "cover"])):
        with av.open(str(tmp_path / name), "w") as container:
            for stream, frame in [add_other(container, kind) for kind in kinds]:
                container.mux(stream.encode(frame) + stream.encode(None))
        assert by_runtime(tmp_path / name) == by_main(tmp_path / name)
    assert by_runtime(tmp_path / "absent.mp4") == by_main(tmp_path / "absent.mp4") == "no such file or folder"
    assert by_runtime(Path("/dev/null")) == by_main(Path("/dev/null"))
    parts = [write_numbered(tmp_path / f"{h}.h264", 5, height_px=h, options=X264) for h in (64, 128)]
    (tmp_path / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert by_runtime(tmp_path / "both.h264") == "frame 6 is 128x96 px, others are 64x96"


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", "mpeg4.avi", "hevc.mp4", "vp9.webm", "gif.gif", "mpeg2.ts"])
def test_damaged_videos_give_the_frames_of_plain_decoding_or_one_line(clip, tmp_path, name):
    sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
    judge = importlib.import_module("judge")
    whole, refused = clip(name).read_bytes(), 0
    for seed in range(12):
        data, rng = bytearray(whole), np.random.default_rng(seed)
        for place in rng.integers(len(data) // 4, len(data), 1 + seed // 2):
            data[place] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{seed}{clip(name).suffix}"
        path.write_bytes(data)
        found = by_runtime(path)
        if isinstance(found, str):
            refused += 1
            continue
        plain = judge.Plain(path)
        assert not plain.error, (seed, plain.error)
        _, kept = frames.read(path, lambda total: views.sample(total, **manifest_of()["frames"]), judge.digest)
        assert found[1].max() < len(plain.frames)
        for index, digest in kept.items():
            assert digest in plain.frames[index], (seed, index)
            assert not plain.corrupt[index]
    assert 0 < refused < 12 or name in ("vp9.webm", "gif.gif")  # whose decoders miss much


def test_frames_above_the_limit_are_refused_before_they_are_decoded(tmp_path, monkeypatch, clip):
    path, size = tmp_path / "a.gif", (16_000).to_bytes(2, "little") * 2
    path.write_bytes(b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\2\2L\1\0;")
    assert "16000x16000 px exceeds the limit of 67108864 pixels" in by_runtime(path)
    monkeypatch.setenv("ACTIONPROMPT_MAX_PIXELS", str(64 * 96 - 1))
    assert "64x96 px exceeds the limit of 6143" in by_runtime(clip("h264.mp4"))
    limit = "image 1.png of 64x96 px exceeds the limit of 6143 pixels; raise it by ACTIONPROMPT_MAX_PIXELS"
    assert by_runtime(image_folder(tmp_path / "images", "1.png")) == by_main(tmp_path / "images") == limit
    monkeypatch.setenv("ACTIONPROMPT_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="ACTIONPROMPT_MAX_PIXELS: expected a whole number above 0, got 'many'"):
        by_runtime(clip("h264.mp4"))


# --- answers ----------------------------------------------------------------------------------------------------------


def expected_scores(path: Path, data: DataConfig = DATA, columns: int = len(LABELS)) -> np.ndarray:
    pixels = by_main(path, data)[0]
    logits = pixels.reshape(1, -1) / 255 @ weights(data.num_views, data.num_frames, columns).astype(np.float64)
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum())[0]


def test_a_prediction_is_what_the_graph_says(folder, clip):
    found = runtime.load(folder, threads=1).predict(clip("h264.mp4"), top=None)
    scores = expected_scores(clip("h264.mp4"))
    assert found.labels == tuple(LABELS[i] for i in np.argsort(-scores))
    np.testing.assert_allclose(found.scores, -np.sort(-scores), atol=1e-5)
    assert (found.label, found.score) == (found.labels[0], found.scores[0])
    assert (found.none, found.none_of_these, found.frames) == (None, False, ((3, 9, 15, 21),))
    assert len(runtime.load(folder).predict(clip("h264.mp4"), top=2).labels) == 2


def test_views_and_batches(tmp_path, clip):
    data = DataConfig(num_frames=2, num_clips=2, num_crops=3, fit="crop")
    found = runtime.load(exported(tmp_path / "m", data), threads=2)
    paths = [clip(name) for name in ("h264.mp4", "gif.gif", "mpeg4.avi", "odd.mp4")]
    paths.insert(2, tmp_path / "absent.mp4")
    for batch in (1, 2, 9):
        answers = list(found.predict_all(paths, top=None, batch=batch))
        assert [path for path, _ in answers] == paths
        assert answers[2][1].reason == "no such file or folder"
        for path, answer in (pair for pair in answers if pair[0] != paths[2]):
            scores = dict(zip(answer.labels, answer.scores))
            np.testing.assert_allclose([scores[x] for x in LABELS], expected_scores(path, data), atol=1e-5)
    assert list(found.predict_all([])) == []
    with pytest.raises(runtime.VideoDecodeError, match="no such file or folder"):
        found.predict(paths[2])


def test_none_of_these_by_column_and_by_threshold(tmp_path, clip, folder):
    path = clip("h264.mp4")
    scores = expected_scores(path, columns=5)
    found = runtime.load(exported(tmp_path / "none", none=True)).predict(path)
    assert found.none == pytest.approx(scores[-1], abs=1e-5)
    assert found.none_of_these == (scores[-1] > scores[:-1].max())
    assert len(found.labels) == 4
    best = expected_scores(path).max()
    for below, rejected in ((best - 0.01, False), (best + 0.01, True)):
        copy = edit(shutil.copytree(folder, tmp_path / str(below)), none_below=float(below))
        assert runtime.load(copy).predict(path).none_of_these == rejected


# --- what is wrong with a folder --------------------------------------------------------------------------------------


def error_of(folder: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(folder))) as caught:
        runtime.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_that_are_refused(tmp_path, folder):
    def copy(name: str, **changes) -> Path:
        return edit(shutil.copytree(folder, tmp_path / name), **changes)

    assert "expected a folder that `actionprompt export` wrote" in error_of(tmp_path)
    assert "has format 2, this program reads 1; install a newer actionprompt-runtime" in error_of(copy("a", format=2))
    assert "format is wrong ('1')" in error_of(copy("b", format="1"))
    assert "graph is wrong ('../model.onnx')" in error_of(copy("c", graph="../model.onnx"))
    assert "sha256 is wrong" in error_of(copy("d", sha256={"../secret": ""}))
    assert "frames.sampling is missing" in error_of(copy("e", frames={}))
    pixels = manifest_of()["pixels"] | {"num_crops": True}
    assert "pixels.num_crops is wrong (True)" in error_of(copy("f", pixels=pixels))
    damaged = copy("g")
    data = bytearray((damaged / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(data)
    assert "is damaged, or not the file that was exported (its SHA-256 differs)" in error_of(damaged)
    (copy("h") / "model.onnx").unlink()
    assert "cannot be read (No such file or directory)" in error_of(tmp_path / "h")
    nonsense = b"no graph"
    (copy("i", sha256={"model.onnx": hashlib.sha256(nonsense).hexdigest()}) / "model.onnx").write_bytes(nonsense)
    assert "ONNX Runtime cannot run it" in error_of(tmp_path / "i")
    (copy("j") / "export.json").write_text('{"format": 1,')
    assert "cannot be read as JSON" in error_of(tmp_path / "j")
    (tmp_path / "j" / "export.json").write_text("[1]")
    assert "format is missing" in error_of(tmp_path / "j")
    manifest = manifest_of()
    five = {"frames": manifest["frames"] | {"num_frames": 5}, "input": manifest["input"] | {"frames": 5}}
    assert "the graph takes" in error_of(copy("k", **five))
    assert "sha256 has no entry for model.onnx" in error_of(copy("m", sha256={}))
    frames = manifest_of()["frames"]
    assert "make 3 views of 4 frames, and input has 1 of 4" in error_of(copy("n", frames=frames | {"num_clips": 3}))
    assert "make 1 views of 16 frames, and input has 1 of 4" in error_of(copy("o", frames=frames | {"num_frames": 16}))
    assert "pixels.resize_side is wrong (1000000)" in error_of(
        copy("p", pixels=manifest["pixels"] | {"resize_side": 10**6})
    )
    assert "none_below is wrong (nan)" in error_of(copy("q", none_below=float("nan")))
    without = {name: value for name, value in manifest["pixels"].items() if name != "resize_side"}
    assert "pixels.resize_side is missing" in error_of(copy("r", pixels=without))
    assert "labels is wrong" in error_of(copy("s", labels=["one"] * 4))
    assert "expected a folder that `actionprompt export` wrote" in error_of(folder / "export.json")
    other = runtime.load(copy("l", labels=["one"]))
    with pytest.raises(ValueError, match=r"expected finite probabilities \[1, 1\], got \[1, 4\]"):
        other.probabilities(np.zeros((1, 1, 4, 3, SIDE_PX, SIDE_PX), np.uint8))


def test_arguments_that_make_no_sense(folder, clip):
    found = runtime.load(folder)
    with pytest.raises(ValueError, match="expected threads of at least 1, or None, got 0"):
        runtime.load(folder, threads=0)
    with pytest.raises(ValueError, match="top and batch of at least 1, got top=0"):
        found.predict(clip("h264.mp4"), top=0)
    with pytest.raises(ValueError, match="top and batch of at least 1, got top=5 and batch=0"):
        found.predict_all([], batch=0)
    with pytest.raises(ValueError, match="expected several paths, got one"):
        found.predict_all("clip.mp4")


# --- the command ------------------------------------------------------------------------------------------------------


def run(*args: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "actionprompt_runtime", *map(str, args)], capture_output=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE)}, **options,
    )  # fmt: skip


def test_the_command(folder, clip, tmp_path):
    hostile = tmp_path / os.fsdecode(b"a\n\x1b[31m\xff.mp4")
    shutil.copy(clip("gif.gif"), hostile)
    paths = [clip("h264.mp4"), tmp_path / "absent.mp4", hostile]
    done = run(folder, *paths, "--top", 2, "--json", tmp_path / "out.json", "--batch", 2, "--threads", 2)
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(rf"{re.escape(str(paths[0]))}: \S+ \d+\.\d %, \S+ \d+\.\d %", lines[0])
    assert lines[1].startswith(f"{tmp_path}/a\\n\\x1b[31m\\udcff.mp4: ")
    assert done.stderr.decode() == f"could not read {paths[1]}: no such file or folder\n"
    answer = json.loads((tmp_path / "out.json").read_text())
    assert answer["unreadable"] == [{"key": str(paths[1]), "reason": "no such file or folder"}]
    assert [one["path"] for one in answer["predictions"]] == [str(paths[0]), str(hostile)]
    assert answer["about"]["runtime"] == f"actionprompt-runtime {runtime.__version__}"
    own = runtime.load(folder).predict(paths[0], top=2)
    assert answer["predictions"][0] == json.loads(json.dumps({**dataclasses.asdict(own), "path": str(paths[0])}))

    done = run(folder, paths[0], "--json", "-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [one["path"] for one in json.loads(done.stdout)["predictions"]] == [str(paths[0])]


def test_the_version_and_the_help():
    done = run("--version")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{runtime.__version__}\n", b"")
    done = run("--help")
    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    readme = (RUNTIME / "README.md").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z]+", said)) - {"--help"}
    assert options == {"--version", "--top", "--json", "--batch", "--threads"}
    assert all(f"{option} " in readme or f"{option}\n" in readme for option in options)


def called(capfd, *args: object) -> str:
    """What the command says of a wrong request, in this process."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert command.main([str(arg) for arg in args]) == 2
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_wrong_requests_are_one_line(folder, clip, tmp_path, capfd):
    path = clip("h264.mp4")
    assert "required: DIR, VIDEO; see actionprompt-runtime --help" in called(capfd)
    assert "invalid int value: 'x'" in called(capfd, folder, path, "--top", "x")
    assert "expected top and batch of at least 1" in called(capfd, folder, path, "--top", 0)
    assert "unrecognized arguments: --tap" in called(capfd, folder, path, "--tap")
    assert "`actionprompt export` wrote" in called(capfd, tmp_path / "a\nb", path)
    assert "--json: expected a file" in called(capfd, folder, path, "--json", tmp_path)
    (tmp_path / "file").touch()
    assert "cannot be written (Not a directory)" in called(capfd, folder, path, "--json", tmp_path / "file" / "x.json")
    if Path("/dev/full").exists():
        done = run(folder, path, "--json", "/dev/full")
        assert (done.returncode, done.stderr) == (2, b"error: No space left on device: /dev/full\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_does_not_wait_for_the_graph(clip, tmp_path, number):
    place = exported(tmp_path / "model", num_products=1000, warnings=["begins"])
    process = subprocess.Popen(
        [sys.executable, "-m", "actionprompt_runtime", place, clip("h264.mp4"), "--json", "out.json", "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr.readline() == b"warning: begins\n"
    time.sleep(0.5)  # reading takes a tenth of it
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"interrupted\n")
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == [place]


def test_a_pipe_without_a_reader(folder, clip):
    process = subprocess.Popen(
        [sys.executable, "-m", "actionprompt_runtime", folder, *[clip("h264.mp4")] * 2],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""


# --- what is published ------------------------------------------------------------------------------------------------


def test_it_is_small_and_needs_no_torch():
    project = tomllib.loads((RUNTIME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    main = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {*main["dependencies"], *main["optional-dependencies"]["export"]}
    assert {*project["dependencies"]} <= bounds
    found = {"PIL": "pillow"}
    names = {re.match(r"\w+", line)[0] for line in project["dependencies"]}
    imported = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    imported -= {"actionprompt_runtime", *sys.stdlib_module_names}
    assert {found.get(name, name) for name in imported} == names == {"av", "numpy", "onnxruntime", "pillow"}
    code = "import sys, actionprompt_runtime; assert not {'torch', 'actionprompt', 'onnx'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})


def test_versions_licence_and_wheel():
    project = tomllib.loads((RUNTIME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    main = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == runtime.__version__ == main["version"] == actionprompt.__version__
    for field in ("requires-python", "license", "authors"):
        assert project[field] == main[field], field
    assert (RUNTIME / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    inside = {Path(f.distribution_path).as_posix() for f in WheelBuilder(str(RUNTIME)).recurse_included_files()}
    expected = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    assert inside == expected | {"actionprompt_runtime/py.typed"}
    module, _, name = project["scripts"]["actionprompt-runtime"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_files_are_few_and_short():
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")) < 900


# --- through the exporter ---------------------------------------------------------------------------------------------


def assert_same_answers(predictor: prediction.Predictor, folder: Path, paths: list[Path]) -> None:
    """Of the model in torch and of its graph, in this package."""
    export.export(predictor, folder)
    expected = predictor.predict_all(paths, top=None, num_workers=0)
    found = runtime.load(folder).predict_all(paths, top=None, batch=3)
    for (path, one), (_, other) in zip(expected, found, strict=True):
        assert dict(zip(other.labels, other.scores)) == pytest.approx(dict(zip(one.labels, one.scores)), abs=1e-4)
        assert [*other.scores] == sorted(other.scores, reverse=True)
        assert other.none == (one.none if one.none is None else pytest.approx(one.none, abs=1e-4)), path
        assert other.none_of_these == one.none_of_these
        if not path.is_dir():
            shown = video.frame_times(path, np.ravel(other.frames)).tolist()
            assert shown == list(one.times_s)


NAMES = ("doing a handstand", "reading a book", "running", "waving a hand")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["zero-shot", "none", "independent", "views", "threshold"])
def test_answers_of_exported_models(tmp_path, clip, how):
    paths = [ROOT / "examples" / "handstand.mp4", *(clip(name) for name in ("odd.mp4", "mpeg4.avi", "gif.gif"))]
    paths.append(image_folder(tmp_path / "images", *(f"{number}.png" for number in range(11))))
    if os.environ.get("ACTIONPROMPT_REAL_DATA"):
        paths += sorted(Path(os.environ["ACTIONPROMPT_REAL_DATA"], "videos", "single_clips").iterdir())[::3]
    if how in ("views", "threshold"):
        method = methods.build("zeroshot", load_clip("tiny"), NAMES)
        data = DataConfig(num_frames=4, sampling="dense", num_clips=2, num_crops=3, fit="crop", pooling="logits")
        predictor = prediction.Predictor(method, data, none_below=0.9 if how == "threshold" else None)
    else:
        predictor = prediction.zero_shot(
            NAMES, backbone="tiny", none=how != "zero-shot", independent=how == "independent"
        )
    assert_same_answers(predictor, tmp_path / "model", paths)


# --- real clips -------------------------------------------------------------------------------------------------------


def test_given_faults(real_data, tmp_path):
    for file in sorted(p for p in (real_data / "faults").iterdir() if p.is_file() and p.suffix != ".md"):
        path = file
        if file.name.startswith("pic_"):
            path = tmp_path / file.name
            path.mkdir()
            shutil.copy(file, path / f"1{file.suffix}")
        expected, found = by_main(path), by_runtime(path)
        assert isinstance(found, str) == isinstance(expected, str), (file.name, found, expected)
        if not isinstance(found, str):
            np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.slow
def test_real_clips(real_data):
    files = [p for name in ("single_clips", "robustness") for p in sorted((real_data / "videos" / name).iterdir())]
    assert len(files) >= 26
    for path in files:
        for data in (DATA, DataConfig(num_frames=8, sampling="dense", num_clips=2, num_crops=3, fit="crop")):
            assert_same(path, data)
