"""Preprocessing of every family: read from the checkpoint's files, held to transformers' own image processors."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer as Words
from tokenizers import models
from transformers import CLIPProcessor, PreTrainedTokenizerFast, SiglipProcessor
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from actionprompt import checkpoint, data, methods, prediction, training, video
from actionprompt.apps import explain
from actionprompt.apps.teach import _data_config
from actionprompt.apps.timeline import _squares
from actionprompt.clips import Clip, ClipList
from actionprompt.config import CLIP_MEAN, CLIP_STD, DataConfig, Pixels, TrainConfig, update
from actionprompt.evaluation import evaluate
from actionprompt.features import cached, encode_clips
from actionprompt.transforms import eval_views, normalise, squash
from actionprompt.weights import load_clip
from actionprompt.weights.pixels import DEFAULTS, PROCESSORS, from_open_clip, from_preprocessor

HALF = (0.5, 0.5, 0.5)
SQUASHED = Pixels(HALF, HALF, "bilinear", "squash")
SQUARE = {"height": 224, "width": 224}
CLIPS = {"image_mean": list(CLIP_MEAN), "image_std": list(CLIP_STD), "do_normalize": True, "do_resize": True}
SIGLIPS = {
    "image_mean": list(HALF), "image_std": list(HALF), "do_normalize": True, "do_resize": True, "do_rescale": True,
    "rescale_factor": 0.00392156862745098, "image_processor_type": "SiglipImageProcessor",
}  # fmt: skip
PUBLISHED = {
    "clip": (CLIPImageProcessorPil, 224, Pixels(), {
        **CLIPS, "crop_size": 224, "do_center_crop": True, "feature_extractor_type": "CLIPFeatureExtractor",
        "resample": 3, "size": 224,
    }),
    "clip 336": (CLIPImageProcessorPil, 336, Pixels(), {
        **CLIPS, "crop_size": 336, "do_center_crop": True, "feature_extractor_type": "CLIPFeatureExtractor",
        "resample": 3, "size": 336,
    }),
    "metaclip_2": (CLIPImageProcessorPil, 224, Pixels(), {
        **CLIPS, "crop_size": SQUARE, "do_center_crop": True, "do_convert_rgb": True, "do_rescale": True,
        "image_processor_type": "CLIPImageProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
    }),
    "metaclip_2 squashed": (CLIPImageProcessorPil, 224, Pixels(fit="squash"), {
        **CLIPS, "crop_size": SQUARE, "do_center_crop": True, "image_processor_type": "CLIPImageProcessorFast",
        "resample": 3, "size": SQUARE,
    }),
    "altclip": (CLIPImageProcessorPil, 224, Pixels(), {
        **CLIPS, "crop_size": SQUARE, "do_center_crop": True, "do_convert_rgb": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": {"shortest_edge": 224},
    }),
    "chinese_clip": (ChineseCLIPImageProcessorPil, 224, Pixels(fit="squash"), {
        **CLIPS, "do_center_crop": False, "feature_extractor_type": "ChineseCLIPFeatureExtractor",
        "image_processor_type": "ChineseCLIPImageProcessor", "resample": 3, "size": SQUARE,
    }),
    "chinese_clip cropped": (ChineseCLIPImageProcessorPil, 224, Pixels(), {
        **CLIPS, "image_processor_type": "ChineseCLIPImageProcessor", "resample": 3, "size": 224, "crop_size": 224,
    }),
    "siglip": (SiglipImageProcessorPil, 224, Pixels(HALF, HALF, "bicubic", "squash"), {
        **SIGLIPS, "resample": 3, "size": SQUARE,
    }),
    "siglip2 fixed": (SiglipImageProcessorPil, 384, SQUASHED, {
        **SIGLIPS, "resample": 2, "size": {"height": 384, "width": 384},
    }),
    "siglip2": (Siglip2ImageProcessorPil, 256, SQUASHED, {
        **SIGLIPS, "image_processor_type": "Siglip2ImageProcessor", "do_convert_rgb": None, "max_num_patches": 256,
        "patch_size": 16, "resample": 2,
    }),
}  # fmt: skip
"""By family: transformers' processor, side of the tower, what is read, and settings as in files of the hub."""
SIZES = [
    (240, 320), (320, 240), (227, 500), (1080, 608), (224, 224), (37, 211), (301, 300), (100, 56), (5, 90), (224, 227),
    (231, 224), (336, 339), (343, 336),
]  # fmt: skip
"""Height and width. The last four exceed a side of 224 or 336 by 3 or 7: there a crop of transformers is elsewhere."""


def generated() -> Iterator[np.ndarray]:
    """Coarse and fine noise, so that filters overshoot."""
    for seed, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize((width, height), Image.NEAREST)
        fine = rng.integers(0, 256, (height, width, 3), np.uint8)
        yield np.where(fine[..., :1] < 64, fine, np.asarray(coarse))


@pytest.fixture(scope="module")
def real_frames(real_data) -> list[np.ndarray]:
    """One frame of every size among the videos, landscape and portrait."""
    frames: dict[tuple[int, ...], np.ndarray] = {}
    for path in sorted((real_data / "videos").rglob("*.*")):
        try:
            frame = video.read_frames(path, [0])[0]
        except video.VideoDecodeError:
            continue
        frames.setdefault(frame.shape, frame)
    assert {height > width for height, width, _ in frames} == {True, False}
    assert len(frames) >= 20
    return list(frames.values())


def read(folder: Path, settings: dict, side_px: int, default: Pixels = SQUASHED, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(settings))
    return from_preprocessor(folder, default=default, side_px=side_px)


def measure(family: str, frames: Iterable[np.ndarray], folder: Path) -> tuple[int, int, int, float]:
    """Number of images, in how many of them transformers crops one pixel before us, and the highest difference, apart
    from that, of their uint8 pixels and after pixel normalisation."""
    kind, side_px, expected, settings = PUBLISHED[family]
    pixels = read(folder, settings, side_px)
    assert pixels == expected
    processor = kind(**settings)
    uint8, floats, number, shifted = 0, 0.0, 0, 0
    for frame in frames:
        ours = eval_views(frame[None], side_px=side_px, fit=pixels.fit, interpolation=pixels.interpolation)
        theirs = np.asarray(processor(frame, do_rescale=False, do_normalize=False)["pixel_values"][0])
        margin = max(0, int(side_px * max(frame.shape[:2]) / min(frame.shape[:2])) - side_px)
        number += 1
        if pixels.fit == "crop" and margin % 4 == 3:  # one pixel apart, which is all
            whole = np.asarray(processor(frame, do_center_crop=False, do_rescale=False, do_normalize=False)[
                "pixel_values"][0])  # fmt: skip
            top, left = np.multiply(np.subtract(whole.shape[1:], side_px) > 0, margin // 2)
            np.testing.assert_array_equal(theirs, whole[:, top : top + side_px, left : left + side_px])
            top, left = np.multiply(np.subtract(whole.shape[1:], side_px) > 0, margin // 2 + 1)
            theirs = whole[:, top : top + side_px, left : left + side_px]
            shifted += 1
            values = processor(theirs, do_resize=False, do_center_crop=False)["pixel_values"][0]
        else:
            values = processor(frame)["pixel_values"][0]
        assert theirs.dtype == np.uint8
        uint8 = max(uint8, int(np.abs(ours[0, 0].astype(int) - theirs).max()))
        normalised = normalise(torch.from_numpy(ours), mean=pixels.mean, std=pixels.std)[0, 0].numpy()
        floats = max(floats, float(np.abs(normalised - np.asarray(values)).max()))
    return number, shifted, uint8, floats


CROPS_OR_SQUASHES = [family for family in PUBLISHED if family != "siglip2"]


@pytest.mark.parametrize("family", CROPS_OR_SQUASHES)
def test_equals_the_processor_of_transformers(family, tmp_path):
    number, shifted, uint8, floats = measure(family, generated(), tmp_path)
    assert (number, uint8) == (len(SIZES), 0)
    assert shifted >= 2 * (PUBLISHED[family][2].fit == "crop")
    assert floats <= 1e-6


@pytest.mark.parametrize("family", CROPS_OR_SQUASHES)
def test_equals_the_processor_of_transformers_on_real_frames(family, tmp_path, real_frames):
    _, _, uint8, floats = measure(family, real_frames, tmp_path)
    assert uint8 == 0
    assert floats <= 1e-6


def naflex(frames: Iterable[np.ndarray], folder: Path) -> tuple[int, float]:
    """As `measure`, for square images, which NaFlex makes 16 x 16 patches of 16 pixels of."""
    _, side_px, expected, settings = PUBLISHED["siglip2"]
    pixels = read(folder, settings, side_px)
    assert pixels == expected
    processor = Siglip2ImageProcessorPil(**settings)
    uint8, floats = 0, 0.0
    for frame in frames:
        found = processor(frame)
        assert np.asarray(found["spatial_shapes"][0]).tolist() == [16, 16]
        assert np.asarray(found["pixel_attention_mask"][0]).all()
        view = eval_views(frame[None], side_px=side_px, fit=pixels.fit, interpolation=pixels.interpolation)
        normalised = normalise(torch.from_numpy(view), mean=pixels.mean, std=pixels.std)[0, 0].numpy()
        whole = np.asarray(processor(frame, do_rescale=False, do_normalize=False)["pixel_values"][0])
        uint8 = max(uint8, int(np.abs(patches(view[0, 0]).astype(int) - whole).max()))
        floats = max(floats, float(np.abs(patches(normalised) - np.asarray(found["pixel_values"][0])).max()))
    return uint8, floats


def patches(image: np.ndarray) -> np.ndarray:
    return image.reshape(3, 16, 16, 16, 16).transpose(1, 3, 2, 4, 0).reshape(256, 768)


def test_naflex_at_a_fixed_size_is_its_own_grid_of_a_square_image(tmp_path):
    rng = np.random.default_rng(0)
    uint8, floats = naflex([rng.integers(0, 256, (n, n, 3), np.uint8) for n in (20, 50, 256, 300, 700)], tmp_path)
    assert uint8 == 0
    assert floats <= 1e-6


def test_naflex_at_a_fixed_size_is_its_own_grid_of_square_real_frames(tmp_path, real_frames):
    uint8, floats = naflex([frame[: min(frame.shape[:2]), : min(frame.shape[:2])] for frame in real_frames], tmp_path)
    assert uint8 == 0
    assert floats <= 1e-6


# Files ----------------------------------------------------------------------------------------------------------------


def test_what_transformers_saves_is_read(tmp_path):
    """The image processor alone in a file of its own, and within that of the whole processor, which comes first."""
    words = Words(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    images = SiglipImageProcessorPil(resample=2)
    images.save_pretrained(tmp_path)
    assert from_preprocessor(tmp_path, default=Pixels(), side_px=224) == SQUASHED
    CLIPProcessor(image_processor=CLIPImageProcessorPil(), tokenizer=tokenizer).save_pretrained(tmp_path)
    assert from_preprocessor(tmp_path, default=SQUASHED, side_px=224) == Pixels()
    SiglipProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(tmp_path / "whole")
    assert not (tmp_path / "whole" / "preprocessor_config.json").exists()
    assert from_preprocessor(tmp_path / "whole", default=Pixels(), side_px=224) == SQUASHED
    (tmp_path / "processor_config.json").write_text('{"processor_class": "SiglipProcessor"}')
    assert from_preprocessor(tmp_path, default=Pixels(), side_px=224) == SQUASHED


@pytest.mark.parametrize("name", PROCESSORS)
def test_what_a_file_leaves_out_is_the_default_of_its_processor(name, tmp_path):
    kinds = {
        "CLIP": CLIPImageProcessorPil, "ChineseCLIP": ChineseCLIPImageProcessorPil, "Siglip": SiglipImageProcessorPil,
        "Siglip2": Siglip2ImageProcessorPil,
    }  # fmt: skip
    side_px = 256 if name == "Siglip2" else 224
    for end in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"):
        found = read(tmp_path, {"image_processor_type": name + end}, side_px)
        assert found == PROCESSORS[name]
    kinds[name]().save_pretrained(tmp_path)
    assert from_preprocessor(tmp_path, default=Pixels(std=(9, 9, 9)), side_px=side_px) == PROCESSORS[name]


def test_without_a_file_it_is_the_familys_default(tmp_path):
    for family, pixels in DEFAULTS.items():
        assert from_preprocessor(tmp_path, default=pixels, side_px=99) == pixels, family
    mean = (0.1, 0.2, 0.3)
    found = read(tmp_path, {"image_mean": mean}, 99)  # no processor is named: the family's
    assert found == replace(SQUASHED, mean=mean)
    assert read(tmp_path, {"image_mean": mean}, 99, Pixels()) == Pixels(mean=mean)
    unnormalised = read(tmp_path, {"do_normalize": False, "image_mean": "?"}, 99, Pixels())
    assert unnormalised == Pixels((0, 0, 0), (1, 1, 1))


CLIP_FILE, NAFLEX = PUBLISHED["clip"][3], PUBLISHED["siglip2"][3]
REFUSED = [
    (CLIP_FILE | {"do_rescale": False}, "do_rescale: expected true, got False"),
    (CLIP_FILE | {"do_rescale": None}, "do_rescale: expected true, got None"),
    (CLIP_FILE | {"do_resize": False}, "do_resize: expected true, got False"),
    (CLIP_FILE | {"do_pad": True}, "do_pad: expected false, got True"),
    (CLIP_FILE | {"do_resize": "no"}, "do_resize: expected true or false, got 'no'"),
    (CLIP_FILE | {"do_center_crop": 1}, "do_center_crop: expected true or false, got 1"),
    (CLIP_FILE | {"rescale_factor": 1 / 127.5}, "rescale_factor: expected 1 / 255, got 0.00784"),
    (CLIP_FILE | {"rescale_factor": "1/255"}, "rescale_factor: expected 1 / 255, got '1/255'"),
    (CLIP_FILE | {"resample": 1}, "resample: expected one of 2, 3, got 1"),
    (CLIP_FILE | {"resample": None}, "resample: expected one of 2, 3, got None"),
    (CLIP_FILE | {"resample": [3]}, r"resample: expected one of 2, 3, got \[3\]"),
    (CLIP_FILE | {"size": 336}, "size: expected 224, the side of the image tower, got .'shortest_edge': 336"),
    (CLIP_FILE | {"size": {"shortest_edge": 256}}, "size: expected 224, .*got .'shortest_edge': 256"),
    (CLIP_FILE | {"size": {"height": 224, "width": 448}}, "size: expected 224, .*'width': 448"),
    (CLIP_FILE | {"size": {"shortest_edge": 224, "longest_edge": 300}}, "size: expected 224, .*'longest_edge': 300"),
    (CLIP_FILE | {"size": {"longest_edge": 224}}, "size: expected 224, .*'longest_edge': 224"),
    (CLIP_FILE | {"size": "224"}, "size: expected 224, the side of the image tower, got '224'"),
    (CLIP_FILE | {"crop_size": 200}, "crop_size: expected 224, the side of the image tower, got 200"),
    (CLIP_FILE | {"size": SQUARE, "crop_size": 200}, "crop_size: expected 224, the side of the image tower, got 200"),
    (CLIP_FILE | {"do_center_crop": False}, "expected do_center_crop, or a height and a width as the size: the image"),
    (SIGLIPS | {"size": 224}, "expected do_center_crop, or a height and a width as the size: the image tower takes"),
    (CLIP_FILE | {"image_mean": [0.5, 0.5]}, r"image_mean: expected three finite numbers, one per channel, got \[0.5,"),
    (CLIP_FILE | {"image_mean": 0.5}, "image_mean: expected three finite numbers, one per channel, got 0.5"),
    (CLIP_FILE | {"image_mean": [0.5, 0.5, "a"]}, "image_mean: expected three finite numbers"),
    (CLIP_FILE | {"image_std": [0.5, 0.0, 0.5]}, "image_std: expected three finite numbers"),
    (CLIP_FILE | {"image_std": [0.5, 1e999, 0.5]}, "Infinity|image_std: expected three finite numbers"),
    (CLIP_FILE | {"feature_extractor_type": "ViTFeatureExtractor"}, "image_processor_type: expected one of CLIPImage"),
    (CLIP_FILE | {"image_processor_type": "BitImageProcessor"}, "expected one of CLIPImage.*, got 'BitImageProcessor'"),
    (CLIP_FILE | {"image_processor_type": ["CLIPImageProcessor"]}, "image_processor_type: expected one of CLIPImage"),
    (NAFLEX | {"max_num_patches": 1024}, "the image tower, 224 pixels, got up to 1024 patches of 16 pixels"),
    (NAFLEX | {"patch_size": 15}, "with the side of the image tower, 224 pixels, got up to 256 patches of 15 pixels"),
    (NAFLEX | {"patch_size": 0}, "patch_size: expected a whole number of at least 1, got 0"),
    (NAFLEX | {"max_num_patches": None}, "max_num_patches: expected a whole number of at least 1, got None"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_reproduced_is_refused_in_one_line(settings, message, tmp_path):
    for name, written in (
        ("preprocessor_config.json", settings), ("processor_config.json", {"image_processor": settings})
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name}: .*(?:{message})") as error:
            read(tmp_path, written, 224, name=name)
        assert "\n" not in str(error.value)


def test_a_processor_that_is_no_object_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"processor_config.json: image_processor: expected an object, got \[\]"):
        read(tmp_path, {"image_processor": []}, 224, name="processor_config.json")


# OpenCLIP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        ({}, Pixels()),
        ({"mean": list(CLIP_MEAN), "std": list(CLIP_STD), "interpolation": "bicubic", "resize_mode": "shortest"},
         Pixels()),
        ({"size": [224, 224], "mode": "RGB", "mean": list(HALF), "std": list(HALF), "interpolation": "bicubic",
          "resize_mode": "squash", "fill_color": 0}, Pixels(HALF, HALF, "bicubic", "squash")),
        ({"size": 224, "mean": list(HALF), "std": None, "interpolation": "bilinear", "resize_mode": None},
         Pixels(HALF, CLIP_STD, "bilinear")),
    ],
)  # fmt: skip
def test_open_clips_words_mean_what_its_transforms_do(preprocess, expected):
    pixels = from_open_clip(preprocess, "open_clip_config.json", side_px=224)
    assert pixels == expected
    filters = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}
    for frame in generated():
        (view,) = eval_views(frame[None], side_px=224, fit=pixels.fit, interpolation=pixels.interpolation)
        height, width = frame.shape[:2]
        image, how = Image.fromarray(frame), filters[pixels.interpolation]
        if pixels.fit == "squash":
            image = image.resize((224, 224), how)
        else:  # torchvision's Resize(224) and CenterCrop(224)
            size = (224, int(224 * height / width)) if width <= height else (int(224 * width / height), 224)
            left, top = (round((length - 224) / 2) for length in size)
            image = image.resize(size, how).crop((left, top, left + 224, top + 224))
        np.testing.assert_array_equal(view[0].transpose(1, 2, 0), np.asarray(image))


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        ({"resize_mode": "longest"}, "resize_mode: expected one of 'shortest', 'squash', got 'longest'"),
        ({"interpolation": "random"}, "interpolation: expected one of 'bicubic', 'bilinear', got 'random'"),
        ({"size": 336}, "size: expected 224, the side of the image tower, got 336"),
        ({"size": [224, 256]}, r"size: expected 224, the side of the image tower, got \[224, 256\]"),
        ({"mode": "L"}, "mode: expected 'RGB', got 'L'"),
        ({"mean": 0.5}, "mean: expected three finite numbers, one per channel, got 0.5"),
        ({"std": [0.5, 0.5, -1]}, "std: expected three finite numbers"),
        ([], r"preprocess_cfg: expected an object, got \[\]"),
    ],
)
def test_what_of_open_clip_cannot_be_reproduced_is_refused(as_users_call, preprocess, message):
    with pytest.raises(ValueError, match=f"^open_clip_config.json: {message}"):
        from_open_clip(preprocess, "open_clip_config.json", side_px=224)


# From the checkpoint to the model -------------------------------------------------------------------------------------


def squashing() -> methods.Any:
    """A model on a small backbone that asks for what SigLIP 2 does."""
    clip = load_clip("random:nano")
    clip.pixels = SQUASHED
    return methods.build("zeroshot", clip, ("a", "b"), config=methods.get("zeroshot").VARIANTS["linear"])


@pytest.fixture
def clips(tmp_path) -> ClipList:
    (tmp_path / "clips").mkdir()
    made = []
    for number, frame in enumerate((FRAME, FRAME[::-1])):
        path = tmp_path / "clips" / f"{number}.mp4"
        video.write_video(path, np.repeat(frame[None], 4, 0), 10)
        made.append(Clip(path.name, path, number))
    return ClipList("two", tuple(made), ("a", "b"))


FRAME = next(generated())[:96, :160]


def seen(path: Path, fit: str = "squash", how: int = Image.BILINEAR) -> np.ndarray:
    """What the model sees of a video's first frame [3, 32, 32], by Pillow alone."""
    image = Image.fromarray(video.read_frames(path, [0])[0])
    if fit == "crop":
        image = image.resize((int(32 * 160 / 96), 32), how)
        left = round((image.width - 32) / 2)
        return np.asarray(image.crop((left, 0, left + 32, 32))).transpose(2, 0, 1)
    return np.asarray(image.resize((32, 32), how)).transpose(2, 0, 1)


def test_own_is_what_the_backbone_asks_for_and_auto_the_squash_where_it_squashes():
    own, auto = DataConfig(), DataConfig(fit="auto")
    assert own.fit == "own"
    assert (own.resolved(Pixels()).fit, own.resolved(SQUASHED).fit) == ("crop", "squash")
    assert (auto.resolved(Pixels()).fit, auto.resolved(SQUASHED).fit) == ("auto", "squash")
    for fit in ("crop", "squash", "letterbox"):
        for pixels in (Pixels(), SQUASHED):
            assert DataConfig(fit=fit).resolved(pixels).fit == fit
            assert own.resolved(pixels).resolved(Pixels()) == own.resolved(pixels)
    three = DataConfig(num_crops=3, resize_side=256, num_clips=2)
    assert three.resolved(Pixels()) == replace(three, fit="crop")


@pytest.mark.parametrize("options", [{"num_crops": 3}, {"resize_side": 256}], ids=["three crops", "resize side"])
def test_crops_of_a_backbone_that_squashes_are_refused_everywhere(options, clips, tmp_path):
    method, config = squashing(), DataConfig(**options, num_frames=2)
    run = {"config": TrainConfig(epochs=1, num_workers=0), "device": "cpu"}
    ways = {
        "train": lambda: training.train(method, clips, tmp_path / "run", data_config=config, **run),
        "evaluate": lambda: evaluate(method, clips, config, num_workers=0),
        "predict": lambda: prediction.Predictor(method, config),
        "features": lambda: cached(method, clips.clips, config, num_workers=0, root=tmp_path),
        "encode": lambda: next(encode_clips(method, clips.clips, config, num_workers=0)),
        "explain": lambda: explain.explain(clips.clips[0].path, method, replace(config, resize_side=256)),
    }
    for name, way in ways.items():
        with pytest.raises(ValueError, match=r"backbone squashes whole frames.*crops were asked.*--data.fit crop") as e:
            way()
        assert "\n" not in str(e.value), name
    cropped = replace(config, fit="crop")
    assert len(evaluate(method, clips, cropped, num_workers=0).probabilities) == 2
    assert not (tmp_path / "run" / "model").exists()


def test_flow_windows_of_a_backbone_that_squashes_are_refused(clips):
    with pytest.raises(ValueError, match=r"windows: expected fit 'crop', got 'squash'; add --data\.fit crop"):
        data.VideoDataset(clips.clips, DataConfig(), side_px=32, training=False, pixels=SQUASHED, flow="dis")


def test_evaluation_prediction_and_teaching_see_what_the_backbone_asks_for(clips, tmp_path, monkeypatch):
    method, config, expected = squashing(), DataConfig(num_frames=1), seen(clips.clips[0].path)
    assert np.abs(expected.astype(int) - seen(clips.clips[0].path, "crop")).max() > 50
    assert np.abs(expected.astype(int) - seen(clips.clips[0].path, how=Image.BICUBIC)).max() > 5
    shown = []
    own = type(method).normalise
    monkeypatch.setattr(type(method), "normalise", lambda self, v: shown.append(v[0, 0].numpy()) or own(self, v))
    report = evaluate(method, clips, config, num_workers=0, cache=False)
    assert report.facts["data"]["fit"] == "squash"
    predictor = prediction.Predictor(method, DataConfig(num_frames=1, fit="auto"), device="cpu")
    predictor.predict(clips.clips[0].path)
    assert predictor.about()["settings"]["data"]["fit"] == "squash"
    cached(method, clips.clips, config, num_workers=0, root=tmp_path)
    assert len(shown) == 3
    for frame in shown:
        np.testing.assert_array_equal(frame, expected)
    _, frame = next(_squares(predictor, video.Stream(clips.clips[0].path), np.zeros(1)))
    np.testing.assert_array_equal(frame.numpy(), expected)
    for options in (None, DataConfig()):
        assert _data_config(options, None, method.clip).fit == "squash"
    looks = explain.explain(clips.clips[0].path, squashing(), config, baseline=squashing())
    np.testing.assert_array_equal(looks.frames[0].transpose(2, 0, 1), expected)


def test_what_is_written_of_a_training_names_the_fit_that_was_used(clips, tmp_path):
    run = {"config": TrainConfig(epochs=1, num_workers=0), "data_config": DataConfig(num_frames=1), "device": "cpu"}
    training.train(squashing(), clips, tmp_path / "squash", **run)
    assert checkpoint.read_manifest(tmp_path / "squash")["data"]["fit"] == "squash"
    plain = methods.build("zeroshot", load_clip("random:nano"), ("a", "b"), config=squashing().config)
    training.train(plain, clips, tmp_path / "crop", **run)
    assert checkpoint.read_manifest(tmp_path / "crop")["data"]["fit"] == "crop"


def test_the_cache_tells_interpolations_and_fits_apart(clips, tmp_path):
    numbers = []
    for pixels, fit in (
        (Pixels(), "own"), (Pixels(), "crop"), (Pixels(fit="squash"), "own"), (Pixels(), "squash"),
        (Pixels(interpolation="bilinear"), "own"), (Pixels(), "auto"),
    ):  # fmt: skip
        method = squashing()
        method.clip.pixels = pixels
        config = DataConfig(num_frames=1, fit=fit)
        numbers.append(cached(method, clips.clips, config, num_workers=0, root=tmp_path).num_encoded)
    assert numbers == [2, 0, 2, 0, 2, 2]


def test_training_frames_of_a_backbone_that_squashes_are_squashed(clips):
    """Crops are drawn in the geometry of evaluation: without augmentation it is its view, but for the resize."""
    frames = video.read_frames(clips.clips[0].path, [0])
    squares, aspect = squash(frames, side_px=36, fit="squash")
    assert aspect == 1.0
    np.testing.assert_array_equal(squares, squash(frames, side_px=36, fit="crop")[0])
    sets = [
        data.VideoDataset(clips.clips, DataConfig(num_frames=1), side_px=32, training=True, pixels=pixels)[0, 0]
        for pixels in (Pixels(), SQUASHED)
    ]
    assert [one.aspect for one in sets] == [pytest.approx(160 / 96, rel=0.02), 1.0]


def test_options_of_older_models_keep_their_meaning():
    assert update(DataConfig(), {"fit": "crop"}).fit == "crop"
    with pytest.raises(ValueError, match=re.escape("expected one of 'own', 'crop', 'squash', 'letterbox', 'auto'")):
        update(DataConfig(), {"fit": "stretch"})
