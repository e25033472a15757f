"""RandAugment as in timm and as in ildoonet's package: operations against Pillow's, ranges, counts, order, geometry."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from actionprompt import distortions, transforms
from actionprompt.config import Augment
from actionprompt.distortions import ILDOONET, TIMM, ildoonet_operation, ildoonet_value, timm_operation

NEAREST, BILINEAR = Image.NEAREST, Image.BILINEAR
PLAIN = Augment(crop_scale=(1, 1), flip=0, grey=0)


def noise(height: int, width: int, *, seed: int = 0, cells: int = 20) -> np.ndarray:
    """A smooth coloured frame uint8 [H, W, 3] within 40..167: auto-contrast has something to do."""
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC)) // 2 + 40


def as_clip(frame: np.ndarray) -> torch.Tensor:
    return torch.tensor(frame).permute(2, 0, 1)[None] / 255


def difference(ours: torch.Tensor, expected: Image.Image) -> np.ndarray:
    """In grey levels."""
    return np.abs((ours[0].permute(1, 2, 0) * 255).round().int().numpy() - np.asarray(expected).astype(int))


def affine(image: Image.Image, data: tuple, resample: int = NEAREST, **options) -> Image.Image:
    return image.transform(image.size, Image.AFFINE, data, resample, **options)


# --- as in timm -----------------------------------------------------------------------------------------------------

FILL = {"fillcolor": (10, 20, 30)}


@pytest.mark.parametrize(
    ("name", "level", "reference", "within"),
    [
        ("auto_contrast", 0.7, ImageOps.autocontrast, 1),
        ("equalise", 0.7, ImageOps.equalize, 1),
        ("invert", 0.7, ImageOps.invert, 0),
        ("posterise", 0.7, lambda image: ImageOps.posterize(image, 2), 0),
        ("posterise", -0.3, lambda image: ImageOps.posterize(image, 3), 0),
        ("solarise", 0.7, lambda image: ImageOps.solarize(image, 77), 0),
        ("solarise_add", 0.7, lambda image: image.point(lambda i: min(255, i + 77) if i < 128 else i), 0),
        ("colour", 0.7, lambda image: ImageEnhance.Color(image).enhance(1.63), 2),
        ("colour", -0.7, lambda image: ImageEnhance.Color(image).enhance(0.37), 2),
        ("contrast", 0.7, lambda image: ImageEnhance.Contrast(image).enhance(1.63), 2),
        ("brightness", -0.7, lambda image: ImageEnhance.Brightness(image).enhance(0.37), 1),
        ("sharpness", 0.7, lambda image: ImageEnhance.Sharpness(image).enhance(1.63), 2),
        ("rotate", 0.7, lambda image: image.rotate(-21, BILINEAR, **FILL), 3),
        ("rotate", -0.7, lambda image: image.rotate(21, BILINEAR, **FILL), 3),
        ("translate_x", 0.5, lambda image: affine(image, (1, 0, -18, 0, 1, 0), **FILL), 1),
        ("translate_y", -0.5, lambda image: affine(image, (1, 0, 0, 0, 1, 18), **FILL), 1),
        ("shear_x", 1.0, lambda image: affine(image, (1, -0.3, 0.3 * 40, 0, 1, 0), BILINEAR, **FILL), 3),
        ("shear_y", 1.0, lambda image: affine(image, (1, 0, 0, -0.3, 1, 0.3 * 40), BILINEAR, **FILL), 3),
    ],
)
def test_operation_as_in_timm_is_pillows(name, level, reference, within):
    """On a clip of one frame, where the clip's statistics are the image's. The rim of a turned image may differ:
    Pillow cuts where we blend into the fill colour."""
    frame = noise(80, 80, seed=4)
    fill = torch.tensor(FILL["fillcolor"]).view(3, 1, 1) / 255
    # a hundredth of a level above: kornia cuts 255 * (k / 255) to whole levels, which in float32 may fall just below k
    ours = timm_operation(name, as_clip(frame) + 0.01 / 255, level, fill)
    expected = reference(Image.fromarray(frame))
    far = difference(ours, expected)
    assert np.abs(np.asarray(expected).astype(int) - frame).max() > 5
    if name in ("rotate", "shear_x", "shear_y"):
        assert (far > within).mean() < 0.03
        assert np.median(far) <= 1
    else:
        assert far.max() <= within


def test_as_in_timm_half_of_what_is_drawn_is_applied_and_more_for_more():
    clip, fill = as_clip(noise(32, 32)), torch.zeros(3, 1, 1)

    def changed(num_ops: int, magnitude: int) -> list[float]:
        runs = (np.random.default_rng(seed) for seed in range(120))
        out = [distortions.rand_augment_timm(clip, rng, num_ops, magnitude, fill=fill) for rng in runs]
        return [(one - clip).abs().mean().item() for one in out]

    one = changed(1, 7)
    assert 40 < sum(far > 1e-6 for far in one) < 80
    assert sum(far > 1e-6 for far in changed(4, 7)) > 100
    assert np.mean(changed(1, 2)) < np.mean(one)


# --- as in ildoonet's package ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at_0", "at_9", "at_30"),
    [
        ("auto_contrast", 0, 0.3, 1),
        ("equalise", 0, 0.3, 1),
        ("invert", 0, 0.3, 1),
        ("rotate", 0, 9, 30),
        ("posterise", 0, 1.2, 4),
        ("solarise", 0, 76.8, 256),
        ("solarise_add", 0, 33, 110),
        ("colour", 0.1, 0.64, 1.9),
        ("contrast", 0.1, 0.64, 1.9),
        ("brightness", 0.1, 0.64, 1.9),
        ("sharpness", 0.1, 0.64, 1.9),
        ("shear_x", 0, 0.09, 0.3),
        ("shear_y", 0, 0.09, 0.3),
        ("cutout", 0, 12, 40),
        ("translate_x", 0, 30, 100),
        ("translate_y", 0, 30, 100),
    ],
)
def test_values_as_in_ildoonets_package(name, at_0, at_9, at_30):
    assert [ildoonet_value(name, m) for m in (0, 9, 30)] == pytest.approx([at_0, at_9, at_30])
    assert len(ILDOONET) == 16


def solarise_add(image: Image.Image, value: float, sign: int) -> Image.Image:
    """Added to every level, cut to bytes, then inverted from 128 on."""
    return ImageOps.solarize(image.point(lambda i: int(min(255, i + value))), 128)


def cutout(image: Image.Image, value: float, sign: int) -> Image.Image:
    x, y = np.random.default_rng(SEED[sign]).uniform(0, 256, size=2)
    left, top = int(max(0, x - value / 2)), int(max(0, y - value / 2))
    box = (left, top, min(256, left + value), min(256, top + value))
    image = image.copy()
    ImageDraw.Draw(image).rectangle(box, (125, 123, 114))
    return image


PILLOW = {  # (image, value, sign) -> image
    "auto_contrast": lambda image, value, sign: ImageOps.autocontrast(image),
    "equalise": lambda image, value, sign: ImageOps.equalize(image),
    "invert": lambda image, value, sign: ImageOps.invert(image),
    "rotate": lambda image, value, sign: image.rotate(-sign * value),
    # Pillow of the time took 0 bits, as a black frame; it is an error now
    "posterise": lambda image, value, sign: (
        ImageOps.posterize(image, int(value)) if value >= 1 else Image.new("RGB", image.size)
    ),
    "solarise": lambda image, value, sign: ImageOps.solarize(image, value),
    "solarise_add": solarise_add,
    "colour": lambda image, value, sign: ImageEnhance.Color(image).enhance(value),
    "contrast": lambda image, value, sign: ImageEnhance.Contrast(image).enhance(value),
    "brightness": lambda image, value, sign: ImageEnhance.Brightness(image).enhance(value),
    "sharpness": lambda image, value, sign: ImageEnhance.Sharpness(image).enhance(value),
    "shear_x": lambda image, value, sign: affine(image, (1, -sign * value, 0, 0, 1, 0)),
    "shear_y": lambda image, value, sign: affine(image, (1, 0, 0, -sign * value, 1, 0)),
    "cutout": cutout,
    "translate_x": lambda image, value, sign: affine(image, (1, 0, -sign * value, 0, 1, 0)),
    "translate_y": lambda image, value, sign: affine(image, (1, 0, 0, 0, 1, -sign * value)),
}
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
WITHIN = {"auto_contrast": 1, "colour": 1, "contrast": 1, "brightness": 1, "sharpness": 1}  # grey levels; 0 elsewhere
SEED = {int(np.random.default_rng(seed).choice((-1, 1))): seed for seed in range(8)}  # one that draws each sign


@pytest.mark.parametrize("magnitude", [0, 5, 9, 30])
@pytest.mark.parametrize("name", ILDOONET)
def test_operation_as_in_ildoonets_package_is_pillows(name, magnitude):
    """A clip of one frame of 256 x 256: to the level, but where Pillow cuts the levels of a blend that we round. Of the
    pixels of a turned frame two in a thousand may be the neighbour's: Pillow computes their places in 16 bits. (At
    some other magnitudes whole lines of a sheared frame fall exactly between two pixels.)"""
    frame = noise(256, 256, seed=4)
    value = ildoonet_value(name, magnitude)
    for sign in (-1, 1):
        ours = ildoonet_operation(name, as_clip(frame), value, 1.0, np.random.default_rng(SEED[sign]))
        far = difference(ours, PILLOW[name](Image.fromarray(frame), value, sign))
        if name in GEOMETRIC:
            assert (far > 0).mean() <= (0.002 if name == "rotate" else 0)
        else:
            assert far.max() <= WITHIN.get(name, 0)


@pytest.mark.parametrize("aspect", [2.0, 0.5])
@pytest.mark.parametrize("name", [*GEOMETRIC, "cutout"])
def test_geometry_is_that_of_the_source_not_of_the_squashed_square(name, aspect):
    """The operation on a squashed frame is the operation on the frame, squashed; its short side of 128 is 256 there."""
    height, width = (128, 256) if aspect > 1 else (256, 128)
    source = Image.fromarray(noise(height, width, cells=6))
    value = ildoonet_value(name, 20)
    squashed = np.asarray(source.resize((128, 128), Image.BICUBIC))
    rng = np.random.default_rng(SEED[1])
    ours = ildoonet_operation(name, as_clip(squashed), value, aspect, rng)
    if name == "cutout":
        hidden = (difference(ours, Image.fromarray(squashed)) > 0).any(2)
        rows, columns = hidden.any(1).sum(), hidden.any(0).sum()
        assert (rows * height / 128, columns * width / 128) == pytest.approx((value / 2, value / 2), abs=2.1)
        return
    pixels = value / 2 if name.startswith("translate") else value
    expected = PILLOW[name](source, pixels, 1).resize((128, 128), Image.BICUBIC)
    assert difference(ours, expected).mean() < 2
    wrong = ildoonet_operation(name, as_clip(squashed), value, 1.0, np.random.default_rng(SEED[1]))
    turned_along = (name == "translate_x" and aspect < 1) or (name == "translate_y" and aspect > 1)
    assert turned_along or difference(wrong, expected).mean() > 4


def test_every_operation_that_is_drawn_is_applied_once(monkeypatch):
    """n operations for every clip, with replacement and uniformly, at the value of the magnitude; none is skipped."""
    calls = []

    def spy(name, clip, value, aspect, rng):
        calls.append((str(name), value, aspect))
        return clip

    monkeypatch.setattr(distortions, "ildoonet_operation", spy)
    clip = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    rng = np.random.default_rng(0)
    for _ in range(800):
        before = len(calls)
        distortions.rand_augment_ildoonet(clip, 1.5, rng, 4, 9)
        assert len(calls) - before == 4
    count = Counter(name for name, _, _ in calls)
    assert set(count) == set(ILDOONET)
    assert 150 < min(count.values()) < 200 < max(count.values()) < 250, "200 of each"
    assert any(len({name for name, _, _ in calls[i : i + 4]}) < 4 for i in range(0, 3200, 4)), "with replacement"
    assert all(value == ildoonet_value(name, 9) and aspect == 1.5 for name, value, aspect in calls)


def test_no_operation_as_in_ildoonets_package_is_left_out_by_chance():
    """With one operation of magnitude 9 every clip changes; of timm's, half."""
    clip = torch.tensor(noise(64, 64)).permute(2, 0, 1)[None]
    runs = [distortions.rand_augment_ildoonet(clip, 1.0, np.random.default_rng(seed), 1, 9) for seed in range(100)]
    assert all(not torch.equal(out, clip) for out in runs)


def test_signs_are_drawn_for_the_geometric_operations_alone():
    clip = as_clip(noise(32, 32))
    for name in set(ILDOONET) - {"cutout"}:
        value = ildoonet_value(name, 20)
        runs = [ildoonet_operation(name, clip, value, 1.0, np.random.default_rng(seed)) for seed in range(20)]
        different = {out.numpy().tobytes() for out in runs}
        assert len(different) == (2 if name in GEOMETRIC else 1), name


def test_statistics_are_those_of_the_whole_clip():
    """A still background keeps its colour while something bright moves in front of it."""
    clip = as_clip(noise(32, 32)).repeat(2, 1, 1, 1)
    clip[1, :, 8:16, 8:16] = 1
    for name in ("auto_contrast", "equalise", "contrast"):
        out = ildoonet_operation(name, clip, 0.64, 1.0, np.random.default_rng(0))
        changed = (out[0] != out[1]).any(0)
        assert not changed[16:].any(), name
        assert changed[8:16, 8:16].all(), name


# --- in the order of the public code --------------------------------------------------------------------------------


def spies(monkeypatch) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """Name, shape and type of the clip of everything that `augment` calls, in order."""
    calls = []

    def spy(module, name):
        real = getattr(module, name)

        def called(clip, *args, **options):
            calls.append((name, tuple(clip.shape), clip.dtype))
            return real(clip, *args, **options)

        monkeypatch.setattr(module, name, called)

    spy(transforms, "_resize_box")
    for name in ("rand_augment_timm", "rand_augment_ildoonet", "colour_jitter", "grey"):
        spy(distortions, name)
    return calls


@pytest.mark.parametrize("kind", ["ildoonet", "timm"])
def test_order_of_the_augmentations(kind, monkeypatch):
    """ActionCLIP and PromptLearner-CLIP distort the whole frame, crop, flip, jitter and take the grey last."""
    calls = spies(monkeypatch)
    config = Augment(rand_augment=(2, 9), rand_augment_kind=kind, colour_jitter=1, grey=1)
    video = torch.tensor(noise(64, 64)).permute(2, 0, 1)[None, None]
    transforms.augment(
        video, torch.ones(1), config, side_px=56, mean=(0, 0, 0), std=(1, 1, 1), rngs=[np.random.default_rng(0)]
    )
    whole, crop = (1, 3, 64, 64), (1, 3, 56, 56)
    resize = ("_resize_box", whole, torch.uint8)
    colours = [("colour_jitter", crop, torch.float32), ("grey", crop, torch.float32)]
    if kind == "ildoonet":
        assert calls == [("rand_augment_ildoonet", whole, torch.uint8), resize, *colours]
    else:
        assert calls == [resize, *colours, ("rand_augment_timm", crop, torch.float32)]


def test_off_is_off_for_both_kinds(monkeypatch):
    """N = 0, as on HMDB-51."""
    calls = spies(monkeypatch)
    video = torch.tensor(noise(64, 64)).permute(2, 0, 1)[None, None]
    for kind in ("ildoonet", "timm"):
        config = Augment(rand_augment=None, rand_augment_kind=kind)
        transforms.augment(
            video, torch.ones(1), config, side_px=56, mean=(0, 0, 0), std=(1, 1, 1), rngs=[np.random.default_rng(0)]
        )
    assert {name for name, _, _ in calls} <= {"_resize_box", "grey"}


def test_whole_levels_go_in_and_out():
    frame = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    out = distortions.rand_augment_ildoonet(frame, 1.0, np.random.default_rng(0), 1, 30)
    assert out.dtype == torch.uint8
    assert out.shape == frame.shape


def test_operations_stay_on_the_device_of_the_clip():
    """A `meta` tensor takes no operand from another device, and nothing can be read from it."""
    clip, rng = torch.empty(2, 3, 16, 16, device="meta"), np.random.default_rng(0)
    fill = torch.zeros(3, 1, 1, device="meta")
    outs = [ildoonet_operation(name, clip, ildoonet_value(name, 9), 1.5, rng) for name in ILDOONET]
    outs += [timm_operation(name, clip, 0.7, fill) for name in TIMM]
    outs += [distortions.colour_jitter(clip, rng), distortions.grey(clip)]
    assert {(out.device.type, tuple(out.shape)) for out in outs} == {("meta", (2, 3, 16, 16))}
