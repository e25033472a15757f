"""Optical flow: known motions, what is stored of it, and what the data path makes of it."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import videos
from actionprompt import data, video
from actionprompt.clips import Broken, Clip
from actionprompt.config import Augment, DataConfig, Pixels
from actionprompt.video import flow

HEIGHT, WIDTH = 256, 340


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Noise of five octaves, uint8 RGB."""
    rng, out = np.random.default_rng(seed), np.zeros((height, width))
    for scale in (2, 4, 8, 16, 32):
        noise = rng.standard_normal((height // scale + 2, width // scale + 2))
        out += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * np.sqrt(scale)
    grey = np.clip(128 + 45 * (out - out.mean()) / out.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def affine(kind: str, amount: float) -> np.ndarray:
    """[2, 3]: where a pixel goes. Translation in pixels along (0.8, 0.6); rotation in degrees, and zoom, about the
    centre."""
    linear, shift = np.eye(2), np.zeros(2)
    if kind == "translation":
        shift = amount * np.array([0.8, 0.6])
    elif kind == "rotation":
        angle = np.deg2rad(amount)
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        linear = amount * np.eye(2)
    centre = np.array([WIDTH - 1, HEIGHT - 1]) / 2
    return np.concatenate([linear, (centre - linear @ centre + shift)[:, None]], 1)


def moved(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = frame.shape[1], frame.shape[0]
    return cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def true_flow(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow [2, h, w] of a motion, and where it leads to a place 4 pixels or more inside the frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    there = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    inside = (there[0] >= 4) & (there[0] < WIDTH - 4) & (there[1] >= 4) & (there[1] < HEIGHT - 4)
    return there - np.stack([x, y]), inside


def end_point_errors(kind: str, amount: float, algorithm: str) -> np.ndarray:
    """Of two textures, in pixels."""
    matrix, errors = affine(kind, amount), []
    truth, inside = true_flow(matrix)
    for seed in (0, 1):
        frame = texture(seed)
        found = flow.between(np.stack([frame, moved(frame, matrix)]), algorithm=algorithm)[0]
        errors.append(np.linalg.norm(found - truth, axis=0)[inside])
    return np.concatenate(errors)


# Measured with OpenCV 5.0, mean and 95th percentile in pixels; the largest displacement of the last rows is 18 pixels
DIS = [
    ("translation", 0, 0.000, 0.000),
    ("translation", 0.5, 0.093, 0.114),
    ("translation", 2, 0.053, 0.078),
    ("translation", 5, 0.021, 0.054),
    ("translation", 10, 0.003, 0.019),
    ("translation", 18, 0.061, 0.102),
    ("rotation", 1, 0.050, 0.096),
    ("rotation", 3, 0.068, 0.144),
    ("rotation", 6, 0.121, 0.270),
    ("zoom", 0.95, 0.091, 0.291),
    ("zoom", 1.02, 0.046, 0.088),
    ("zoom", 1.05, 0.058, 0.119),
    ("zoom", 1.1, 0.093, 0.192),
]
TVL1 = [
    ("translation", 0.5, 0.008, 0.017),
    ("translation", 2, 0.008, 0.015),
    ("translation", 5, 0.004, 0.009),
    ("rotation", 1, 0.010, 0.022),
    ("zoom", 1.02, 0.011, 0.028),
    ("zoom", 1.05, 0.049, 0.078),
]


@pytest.mark.parametrize(("kind", "amount", "mean_px", "p95_px"), DIS)
def test_dis_finds_known_motions(kind, amount, mean_px, p95_px):
    errors = end_point_errors(kind, amount, "dis")
    assert errors.mean() <= 1.5 * mean_px + 0.02
    assert np.percentile(errors, 95) <= 1.5 * p95_px + 0.04


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(cv2, "optflow"), reason="TV-L1 needs opencv-contrib-python-headless")
@pytest.mark.parametrize(("kind", "amount", "mean_px", "p95_px"), TVL1)
def test_tvl1_finds_known_motions(kind, amount, mean_px, p95_px):
    errors = end_point_errors(kind, amount, "tvl1")
    assert errors.mean() <= 1.5 * mean_px + 0.02
    assert np.percentile(errors, 95) <= 1.5 * p95_px + 0.04


def test_axes_and_signs():
    frame = texture(3)
    right = flow.between(np.stack([frame, np.roll(frame, 3, axis=1)]))[0, :, 40:-40, 40:-40]
    down = flow.between(np.stack([frame, np.roll(frame, 2, axis=0)]))[0, :, 40:-40, 40:-40]
    np.testing.assert_allclose(right.mean((1, 2)), [3, 0], atol=0.05)
    np.testing.assert_allclose(down.mean((1, 2)), [0, 2], atol=0.05)


def test_tvl1_without_the_contributed_modules_says_what_to_install(monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(ValueError, match=r"opencv-contrib-python-headless`, or take 'dis'"):
        flow.between(np.stack([texture(0), texture(1)]), algorithm="tvl1")


def test_bad_input(as_users_call):
    with pytest.raises(ValueError, match="expected the flow algorithm 'dis' or 'tvl1', got 'farneback'"):
        flow.between(np.stack([texture(0), texture(1)]), algorithm="farneback")
    with pytest.raises(ValueError, match="optical flow needs two frames, got 1"):
        flow.between(texture(0)[None])


# What is stored ------------------------------------------------------------------------------------------------------


def test_rounding_clipping_and_mirroring_of_the_codes():
    values = np.linspace(-30, 30, 24001, dtype=np.float32).reshape(1, 1, 1, -1)
    codes = flow.quantise(values)
    back = flow.dequantise(codes)
    inside = np.abs(values) <= 20
    assert np.abs(back - values)[inside].max() <= 10 / 127 + 1e-5  # half a step of 20/127 pixels
    assert np.abs(back - values)[inside].max() > 0.078  # and no better
    assert (back[~inside] == 20 * np.sign(values[~inside])).all()
    assert (codes.min(), codes.max()) == (1, 255)
    assert flow.quantise(np.zeros(3, np.float32)).tolist() == [128, 128, 128]
    both = np.concatenate([values, values], 1)
    negative = both * np.array([-1, 1], np.float32)[:, None, None]
    np.testing.assert_array_equal(flow.mirror(flow.quantise(both)), flow.quantise(negative)[..., ::-1])


def test_the_mirrored_flow_is_the_flow_of_the_mirrored_video():
    frame = texture(4)
    pair = np.stack([frame, moved(frame, affine("rotation", 2))])
    mirrored = flow.mirror(flow.quantise(flow.between(pair)))
    direct = flow.quantise(flow.between(np.ascontiguousarray(pair[:, :, ::-1])))
    truth, inside = true_flow(affine("rotation", 2))
    assert np.abs(truth[0]).max() > 4  # so that a sign that is not turned would be seen
    difference = np.abs(mirrored.astype(int) - direct)[0][:, inside[:, ::-1]]
    assert np.percentile(difference, 95) <= 2  # DIS is not exactly symmetric; a step is 0.16 pixels


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def pan(path: Path, num_frames: int, *, height: int = 64, width: int = 96, step_px: float = 2.0) -> Path:
    """A video of a texture that moves to the right."""
    frames = texture(5, height, width + int(step_px * num_frames) + 8)
    shown = [
        np.ascontiguousarray(frames[:, int(step_px * (num_frames - t)) :][:, :width]) for t in range(num_frames)
    ]  # fmt: skip
    video.write_video(path, shown, 25)
    return path


def test_cached_flow_is_computed_flow(home):
    path = pan(home / "a.mp4", 140)  # more than two chunks of decoding
    assert flow.count(path) == 139
    frames = video.read_frames(path, range(140))
    direct = flow.quantise(flow.between(frames))
    first = flow.read(path, range(139), short_side_px=64)
    np.testing.assert_array_equal(first, direct)
    (stored,) = (home / "cache" / "flow").rglob("*.npz")
    before = stored.stat().st_mtime_ns
    again = flow.read(path, [138, 0, 64, 0], short_side_px=64)
    np.testing.assert_array_equal(again, direct[[138, 0, 64, 0]])
    assert stored.stat().st_mtime_ns == before
    assert stored.stat().st_size < direct.nbytes / 4
    assert not [*(home / "cache").rglob("*.tmp")]


def test_the_short_side_is_that_of_the_option_and_displacements_follow(home):
    path = pan(home / "a.mp4", 6)
    for short_side_px, shape in ((32, (32, 48)), (64, (64, 96)), (128, (128, 192))):
        codes = flow.read(path, range(5), short_side_px=short_side_px)
        assert codes.shape == (5, 2, *shape)
        middle = flow.dequantise(codes)[:, 0, shape[0] // 4 : -shape[0] // 4, shape[1] // 4 : -shape[1] // 4]
        assert np.median(middle) == pytest.approx(2 * short_side_px / 64, abs=0.2)


def test_another_file_algorithm_or_size_is_another_entry(home, monkeypatch):
    path = pan(home / "a.mp4", 4)
    flow.read(path, [0], short_side_px=32)
    flow.read(path, [0], short_side_px=48)
    monkeypatch.setattr(flow, "_algorithm", lambda name: cv2.DISOpticalFlow.create(0))
    flow.read(path, [0], short_side_px=32, algorithm="tvl1")
    assert len([*(home / "cache").rglob("*.npz")]) == 3
    pan(path, 5)
    assert flow.read(path, [3], short_side_px=32).shape == (1, 2, 32, 48)
    assert len([*(home / "cache").rglob("*.npz")]) == 4


def test_an_interrupted_computation_leaves_nothing_behind(home, monkeypatch):
    path, calls = pan(home / "a.mp4", 80), []

    def killed(frames, **options):
        calls.append(len(frames))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.zeros((len(frames) - 1, 2, *frames.shape[1:3]), np.float32)

    with monkeypatch.context() as patch:
        patch.setattr(flow, "between", killed)
        with pytest.raises(KeyboardInterrupt):
            flow.read(path, [0], short_side_px=32)
    assert calls == [65, 16]
    assert not [file for file in (home / "cache").rglob("*") if file.is_file()]
    assert flow.read(path, [0], short_side_px=32).any()


def test_a_folder_of_images_has_flow_too(home):
    folder = home / "frames"
    folder.mkdir()
    wide = texture(6, 64, 110)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), wide[:, 8 - 2 * index : 104 - 2 * index])
    codes = flow.read(folder, [0, 1], short_side_px=64)
    assert np.median(flow.dequantise(codes)[:, 0, 16:-16, 16:-16]) == pytest.approx(2, abs=0.1)


def test_what_has_no_flow_says_so(home):
    one = videos.write_numbered(home / "one.mp4", 1)
    with pytest.raises(video.VideoDecodeError, match="a single frame, and optical flow needs two"):
        flow.count(one)
    path = pan(home / "a.mp4", 4)
    with pytest.raises(ValueError, match="expected flow frames 0 to 2, got \\[3\\]"):
        flow.read(path, [0, 3])
    assert not (home / "cache").exists()


def test_cv2_is_imported_when_flow_is_computed_and_not_before():
    import subprocess

    code = "import sys, actionprompt.data; print('cv2' in sys.modules, 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
    code = "import sys, actionprompt.video.flow; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]


# From clips to batches -----------------------------------------------------------------------------------------------

CONFIG = DataConfig(num_frames=6, sampling="dense", stride=1)
SIDE = 28  # stored with a short side of 32


def dataset(path: Path, config: DataConfig = CONFIG, *, training: bool = False, seed: int = 0) -> data.VideoDataset:
    clips = [Clip("a", path, 1)]
    return data.VideoDataset(clips, config, side_px=SIDE, training=training, pixels=Pixels(), seed=seed, flow="dis")


def test_evaluation_sees_centre_windows_of_the_stored_flow(home):
    path = pan(home / "a.mp4", 20)
    codes = flow.read(path, range(19), short_side_px=32)
    assert codes.shape[-2:] == (32, 48)
    sample = dataset(path)[0, 0]
    start = (19 - 6) // 2
    np.testing.assert_array_equal(sample.video[0], codes[start : start + 6, :, 2:30, 10:38])
    assert sample.indices.tolist() == [list(range(start, start + 6))]
    assert sample.times_s == pytest.approx([t / 25 for t in range(start, start + 6)])
    three = dataset(path, DataConfig(num_frames=6, sampling="dense", stride=2, num_clips=2, num_crops=3))[0, 0].video
    assert three.shape == (6, 6, 2, SIDE, SIDE)
    starts = (0, 19 - 11)
    for view, (t, left) in enumerate((t, left) for t in starts for left in (0, 10, 20)):
        np.testing.assert_array_equal(three[view], codes[t : t + 11 : 2, :, 2:30, left : left + 28])


def test_a_portrait_video_is_cut_along_its_height(home):
    path = pan(home / "a.mp4", 9, height=96, width=64)
    codes = flow.read(path, range(8), short_side_px=32)
    three = dataset(path, DataConfig(num_frames=8, sampling="dense", stride=1, num_crops=3))[0, 0].video
    for view, top in enumerate((0, 10, 20)):
        np.testing.assert_array_equal(three[view], codes[:, :, top : top + 28, 2:30])


def test_a_short_video_starts_again(home):
    path = pan(home / "a.mp4", 5)
    config = DataConfig(num_frames=10, sampling="dense", stride=1)
    sample = dataset(path, config)[0, 0]
    assert sample.indices.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]]
    np.testing.assert_array_equal(sample.video[0, :4], sample.video[0, 4:8])
    assert dataset(path, config, training=True)[0, 0].indices.tolist() == sample.indices.tolist()
    rgb = data.VideoDataset([Clip("a", path, 1)], config, side_px=SIDE, training=False, pixels=Pixels())
    assert rgb[0, 0].indices.tolist() == [[0, 1, 2, 3, 4, 4, 4, 4, 4, 4]]  # RGB repeats its last frame, as before


def test_evaluation_can_have_more_frames_than_training(home):
    path = pan(home / "a.mp4", 20)
    config = DataConfig(num_frames=6, test_frames=15, sampling="dense", stride=1)
    assert dataset(path, config)[0, 0].video.shape == (1, 15, 2, SIDE, SIDE)
    assert dataset(path, config, training=True)[0, 0].video.shape == (1, 6, 2, SIDE, SIDE)
    assert dataset(path, config.centre_view)[0, 0].video.shape == (1, 6, 2, SIDE, SIDE)
    with pytest.raises(ValueError, match="expected test_frames of 1 to 10000, got 0"):
        DataConfig(test_frames=0)


def test_training_takes_random_windows_and_mirrors_with_the_sign(home):
    path = pan(home / "a.mp4", 20)
    codes = flow.read(path, range(19), short_side_px=32)
    flips = 0
    for epoch in range(20):
        sample = dataset(path, training=True)[epoch, 0]
        np.testing.assert_array_equal(sample.video, dataset(path, training=True)[epoch, 0].video)
        start = sample.indices[0, 0]
        found = []
        for candidate, flipped in ((codes, False), (flow.mirror(codes), True)):
            part = candidate[start : start + 6]
            found += [
                (flipped, top, left)
                for top in range(5)
                for left in range(21)
                if np.array_equal(sample.video[0], part[..., top : top + 28, left : left + 28])
            ]
        assert len(found) == 1
        flips += found[0][0]
        moves = sample.video[0, :, 0, 8:-8, 8:-8].astype(float).mean() - 128
        assert (moves < 0) == found[0][0]  # the texture moves to the right, mirrored to the left
    assert 4 <= flips <= 16
    never = DataConfig(num_frames=6, sampling="dense", stride=1, augment=Augment(flip=0.0))
    assert all(
        dataset(path, never, training=True)[epoch, 0].video[0, :, 0, 8:-8, 8:-8].astype(float).mean() > 128
        for epoch in range(8)
    )


def test_resize_side_gives_the_stored_size(home):
    path = pan(home / "a.mp4", 4)
    config = DataConfig(num_frames=3, sampling="dense", stride=1, resize_side=320)
    sample = dataset(path, config)[0, 0]
    codes = flow.read(path, range(3), short_side_px=40)
    np.testing.assert_array_equal(sample.video[0], codes[:, :, 6:34, 16:44])


def test_unreadable_clips_are_listed_and_letterboxes_refused(home):
    one = videos.write_numbered(home / "one.mp4", 1)
    assert dataset(one)[0, 0] == Broken("a", "it has a single frame, and optical flow needs two", (0, 0))
    with pytest.raises(ValueError, match="optical flow is taken in windows: expected fit 'crop', got 'letterbox'"):
        dataset(one, DataConfig(fit="letterbox"))


def test_workers_compute_the_same_flow(home):
    paths = [pan(home / f"{i}.mp4", 8, step_px=1 + i) for i in range(3)]
    clips = [Clip(str(i), path, i) for i, path in enumerate(paths)]
    config = DataConfig(num_frames=4, sampling="dense", stride=1)
    sets = [
        data.VideoDataset(clips, config, side_px=SIDE, training=False, pixels=Pixels(), flow="dis") for _ in range(2)
    ]
    batches = [[(0, 0), (0, 1)], [(0, 2)]]
    by_workers = [batch.video for batch in data.loader(sets[0], batches, num_workers=2)]
    assert [tuple(v.shape) for v in by_workers] == [(2, 1, 4, 2, SIDE, SIDE), (1, 1, 4, 2, SIDE, SIDE)]
    for own, other in zip(by_workers, data.loader(sets[1], batches, num_workers=0)):
        assert own.equal(other.video)
