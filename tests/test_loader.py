"""The loader of a training: one for all epochs, tables that are kept, what is said of waiting, and what a step runs."""

import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from actionprompt import data, files, methods, training, transforms, video
from actionprompt.clips import Clip, ClipList
from actionprompt.config import Augment, DataConfig, Pixels, TrainConfig
from actionprompt.prediction import zero_shot
from actionprompt.video import prepared, scan, write_video
from actionprompt.video.bits import Bits, Irregular
from actionprompt.weights import load_clip

NAMES = ("red", "green", "blue")
METHODS = [name for name in methods.names() if name not in ("zeroshot", "i3d_flow")]  # no training, no texts
PLAIN = Augment(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.5, grey=0.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> ClipList:
    """Nine videos of 12 frames, of three classes."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    made = []
    for index in range(9):
        frames = rng.integers(0, 90, (12, 48, 64, 3), dtype=np.uint8)
        frames[..., index % 3] += 120
        made.append(Clip(f"{index}.mp4", folder / f"{index}.mp4", index % 3))
        write_video(made[-1].path, frames, fps=12)
    return ClipList("clips", tuple(made), NAMES)


def train(clips: ClipList, folder: Path, *, on_step=None, on_epoch=None, **options) -> list[dict]:
    """The lines of the log."""
    config = TrainConfig(**{"epochs": 3, "batch_size": 4, "lr": 1e-3, "num_workers": 0, **options})
    method = methods.build("vifi_clip", load_clip("random:nano"), clips.class_names)
    training.train(
        method, clips, folder, config=config, data_config=DataConfig(num_frames=4), cache=False, device="cpu",
        on_step=on_step, on_epoch=on_epoch,
    )  # fmt: skip
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def dataset(clips) -> data.VideoDataset:
    return data.VideoDataset(
        clips.clips, DataConfig(num_frames=4, fit="crop"), side_px=32, training=True, pixels=Pixels(), seed=1
    )


# One loader for all epochs -------------------------------------------------------------------------------------------


def test_the_decoding_processes_of_a_training_start_once(clips, tmp_path, monkeypatch):
    read, who = data.VideoDataset.__getitem__, tmp_path / "who"
    epochs = []

    def noted(self, position):
        with who.open("a") as file:
            file.write(f"{os.getpid()} {position[0]} {position[1]}\n")
        return read(self, position)

    monkeypatch.setattr(data.VideoDataset, "__getitem__", noted)
    train(clips, tmp_path / "run", num_workers=1, on_epoch=epochs.append)
    lines = [line.split() for line in who.read_text().splitlines()]
    assert len({pid for pid, _, _ in lines}) == 1
    assert lines[0][0] != str(os.getpid())
    order = [np.random.default_rng([0, epoch]).permutation(9).tolist() for epoch in range(3)]
    assert [(int(e), int(c)) for _, e, c in lines] == [(e, c) for e in range(3) for c in order[e]]
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize("at", [2, 3, pytest.param(5, marks=pytest.mark.slow)])
def test_a_training_stopped_in_and_between_epochs_resumes_to_the_same_numbers(clips, tmp_path, at):
    """Of three steps an epoch; with other processes than the undisturbed one."""

    def stop(step):
        if step.step == at:
            raise KeyboardInterrupt

    expected = train(clips, tmp_path / "whole", micro_batches=2)
    with pytest.raises(KeyboardInterrupt):
        train(clips, tmp_path / "run", micro_batches=2, num_workers=2, save_every_steps=1, on_step=stop)
    assert train(clips, tmp_path / "run", micro_batches=2, num_workers=2, save_every_steps=1) == expected
    one, two = (tmp_path / name / "model" / "trained.safetensors" for name in ("whole", "run"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_the_samples_stacked_and_asked_for_only_so_far_ahead(dataset, num_workers):
    asked = []

    def names():
        for epoch in itertools.count():  # without end
            for batch in data.epoch_batches(9, 2, epoch=epoch, seed=5):
                asked.append(batch)
                yield batch

    with contextlib.closing(data.loader(dataset, names(), num_workers=num_workers)) as loaded:
        for number, batch in enumerate(itertools.islice(loaded, 7)):
            samples = [dataset[position] for position in asked[number]]
            assert batch.position == tuple(asked[number])
            np.testing.assert_array_equal(batch.video.numpy(), np.stack([sample.video for sample in samples]))
            assert batch.times_s == tuple(sample.times_s for sample in samples)
            assert len(asked) <= number + 2 + 2 * num_workers
    assert asked[6][0][0] == 1, "of the second epoch"


@pytest.fixture
def started(monkeypatch) -> list[int]:
    """How many processes every loader would start; none does."""
    asked, loader = [], data.DataLoader

    def noted(*args, num_workers, **options):
        asked.append(num_workers)
        return loader(*args, num_workers=0, **options)

    monkeypatch.setattr(data, "DataLoader", noted)
    monkeypatch.setattr(data, "_end", lambda loaded: None)
    return asked


@pytest.mark.parametrize(("num_clips", "batch_size", "expected"), [(1, 1, 0), (3, 1, 3), (9, 2, 5), (9, 9, 1)])
def test_no_more_processes_start_than_have_work(clips, started, num_clips, batch_size, expected):
    predictor = zero_shot(NAMES, backbone="random:nano", device="cpu")
    paths = [clip.path for clip in clips.clips[:num_clips]]
    answers = list(predictor.predict_all(paths, num_workers=100_000, batch_size=batch_size))
    assert len(answers) == num_clips
    assert started == [expected]


def test_a_training_starts_no_more_processes_than_it_has_clips(clips, started, tmp_path):
    train(clips, tmp_path, num_workers=100_000)
    assert started == [9]


# Tables --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scans(monkeypatch) -> list[str]:
    found, read = [], scan.scan
    monkeypatch.setattr(scan, "scan", lambda path, limits: found.append(Path(path).name) or read(path, limits))
    scan.cached.cache_clear()
    return found


def test_a_video_is_scanned_once_in_all_epochs(clips, tmp_path, scans):
    train(clips, tmp_path)
    assert sorted(scans) == [clip.key for clip in clips.clips]


def test_of_more_videos_than_are_kept_the_oldest_are_scanned_again(clips, scans, monkeypatch):
    monkeypatch.setattr(scan, "KEPT_FRAMES", 3 * 12)
    paths = [clip.path for clip in clips.clips[:4]]
    for path in (*paths[:3], paths[0], paths[3], paths[0], paths[2]):  # the fourth takes the place of the second
        assert video.count_frames(path) == 12
    assert scans == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    video.count_frames(paths[1])
    assert scans[4:] == ["1.mp4"]
    monkeypatch.setattr(scan, "KEPT_FRAMES", 5)  # less than one
    video.count_frames(paths[3])
    video.count_frames(paths[0])
    assert len(scan.cached.kept) <= 3


def test_a_changed_video_is_scanned_again(tmp_path, scans):
    path = tmp_path / "clip.mp4"
    for num_frames in (5, 7):
        write_video(path, np.zeros((num_frames, 32, 32, 3), np.uint8), fps=8)
        os.utime(path, ns=(num_frames, num_frames))
        assert video.count_frames(path) == video.count_frames(path) == num_frames
    assert scans == ["clip.mp4"] * 2


def test_golomb_codes_are_those_of_the_definition():
    """H.264, clause 9.1: z zeros, a one, and z more bits; the number is all of them read as one, minus 1."""
    draw = random.Random(0)
    for _ in range(300):
        numbers = [draw.choice((0, 1, draw.randrange(300), draw.randrange(1 << 20))) for _ in range(5)]
        text = "".join("0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}" for number in numbers)
        padded = text + "1" * (-len(text) % 8)
        bits = Bits(int(padded, 2).to_bytes(len(padded) // 8))
        assert bits.golombs(5) == numbers
        assert bits.left == len(padded) - len(text)
        short = Bits(int(padded, 2).to_bytes(len(padded) // 8)[:-1]) if len(padded) > 8 else Bits(b"")
        if len(padded) - 8 < len(text):
            with pytest.raises(Irregular, match="a header is cut"):
                short.golombs(5)
    with pytest.raises(Irregular, match="a header is damaged"):
        Bits(bytes(5) + b"\xff").golomb()
    with pytest.raises(Irregular, match="a header is cut"):
        Bits(b"").golomb()


# Waiting -------------------------------------------------------------------------------------------------------------


def waits(clips, steps: list[tuple[float, float]], **options) -> data.Waits:
    watched = data.Waits(clips.clips, **{"num_workers": 2, "flow": False, **options})
    for waited_s, spent_s in steps:
        watched.add(waited_s, spent_s)
    return watched


def test_waiting_is_told_once_with_its_share_and_what_to_do(clips):
    steps = [(9.0, 9.0), *[(0.4, 1.0)] * 40]  # the start does not count
    with pytest.warns(files.Notice) as told:
        waits(clips, steps)
    (text,) = [str(item.message) for item in told]
    assert text.startswith("of 20 steps, 40% of the time was spent waiting for clips; `actionprompt prepare` makes ")
    assert "\n" not in text


def test_clips_that_are_prepared_are_told_of_processes(clips, tmp_path):
    (tmp_path / prepared.MANIFEST).write_text("{}")
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "0.mp4"
    path.write_bytes(clips.clips[0].path.read_bytes())
    steps = [(1.0, 2.0)] * 21
    for clip, flow in ((Clip("0.mp4", path, 0), False), (clips.clips[0], True)):
        with pytest.warns(files.Notice, match=r"50% of .*; --train.num-workers is 3 on \d+ cores, and more processes"):
            waits(ClipList("one", (clip,), NAMES), steps, num_workers=3, flow=flow)


@pytest.mark.parametrize(
    "steps",
    [
        [(0.24, 1.0)] * 100,
        [(0.9, 1.0)] * 20,  # 19 and the start
        [(0.09, 0.1)] * 150,  # 15 seconds
        [(30.0, 30.0), *[(0.0, 1.0)] * 100],
        [*[(0.0, 1.0)] * 21, *[(1.0, 1.0)] * 100],  # decided before
    ],
)
def test_nothing_is_said_of_little_or_of_few(clips, steps, recwarn):
    waits(clips, steps)
    assert not list(recwarn)


def test_a_training_with_a_slow_disk_says_so_and_a_fast_one_does_not(clips, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(data.Waits, "least_steps", 4)
    monkeypatch.setattr(data.Waits, "least_s", 0.0)
    monkeypatch.setattr(data.Waits, "share", 0.95)
    train(clips, tmp_path / "fast")
    assert not [item for item in recwarn if issubclass(item.category, files.Notice)]
    read = data.VideoDataset.__getitem__
    monkeypatch.setattr(data.Waits, "share", 0.25)
    monkeypatch.setattr(
        data.VideoDataset, "__getitem__", lambda self, at: time.sleep(0.1) or read(self, at)
    )  # of 0.4 s a step
    with pytest.warns(files.Notice, match="of 4 steps, .*`actionprompt prepare`"):
        train(clips, tmp_path / "slow")


# Steps ---------------------------------------------------------------------------------------------------------------


def built(name: str, variant: str | None = None):
    config = methods.get(name).VARIANTS[variant] if variant else None
    method = methods.build(name, load_clip("random:nano"), NAMES, ("红", "绿", "蓝"), config=config).train()
    frames = torch.Generator().manual_seed(0)
    video = torch.randn(3, getattr(method.config, "num_frames", 4), *method.frame_shape, generator=frames)
    return method, video, torch.tensor([0, 2, 2])


@pytest.mark.parametrize("name", METHODS)
def test_no_training_step_tokenises_the_class_sentences(name, monkeypatch):
    method, frames, labels = built(name, "video" if name == "bike" else None)
    calls = []
    for tokenizer in {type(method.clip.tokenizer), type(method.text_tower.tokenizer)}:
        monkeypatch.setattr(tokenizer, "encode", lambda self, texts: calls.append(texts))
    method(frames, labels)["loss"].backward()
    assert calls == []


def test_bike_tokenises_only_what_it_found_in_the_videos(monkeypatch):
    method, frames, labels = built("bike")
    encode, texts = type(method.clip.tokenizer).encode, []
    monkeypatch.setattr(
        type(method.clip.tokenizer), "encode", lambda self, given: texts.extend(given) or encode(self, given)
    )
    method(frames, labels)["loss"].backward()
    found = {method.attributes.sentence(row, method.clip.text) for row in method.attributes.retrieve(frames).tolist()}
    assert set(texts) == found


ONE_GRAPH = ("mip_clip", "seeing_in_flowing", "vifi_clip", "vita_clip", "xclip")
"""The losses of the other methods compare the clips of a batch by class, so that shapes depend on the labels."""


class OnTheDevice(TorchDispatchMode):
    """Refuses to wait for the value or shape of a tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", ONE_GRAPH)
def test_the_forward_pass_of_a_step_never_waits_for_the_device(name):
    method, frames, labels = built(name)
    with OnTheDevice():
        method(frames, labels)
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            method.clip.text(["one", "two words"])


COMPILES = """
import sys, torch
from actionprompt import methods
from actionprompt.weights import load_clip
for name in sys.argv[1:]:
    torch.compiler.reset()
    method, graphs = methods.build(name, load_clip("random:nano"), ("red", "green", "blue")).train(), []
    video = torch.randn(3, getattr(method.config, "num_frames", 4), *method.frame_shape)
    labels = torch.tensor([0, 2, 2])
    run = torch.compile(method, backend=lambda graph, _: graphs.append(1) or graph.forward, fullgraph=True)
    torch.testing.assert_close(run(video, labels)["loss"], method(video, labels)["loss"])
    assert len(graphs) == 1, (name, len(graphs))
"""


@pytest.mark.slow
def test_a_training_step_compiles_to_one_graph():
    """In a process of its own, without the checks of shapes, which the compiler cannot see through."""
    done = subprocess.run([sys.executable, "-c", COMPILES, *ONE_GRAPH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", ["vita_clip", "mip_clip"])
@torch.no_grad()
def test_classes_with_and_without_a_learned_context_are_each_encoded_as_alone(name):
    """Names of another length than those of the training, among them and in another order."""
    config = methods.get(name).VARIANTS["zero_shot"] if name == "mip_clip" else None
    method = methods.build(name, load_clip("random:nano"), NAMES, config=config).eval()
    names = ("throwing a heavy ball over a wall", "blue", "yo-yo", "red")
    method.set_classes(names)
    features, text = method.class_features(), method.clip.text
    for row, class_name in enumerate(names):
        if class_name not in NAMES:
            plain = method.config.template.format(class_name) if name == "vita_clip" else f"{class_name}."
            expected = text([plain]).sentence
        else:
            context = method.context[NAMES.index(class_name)][None]
            ending = "." if name == "mip_clip" else f"{class_name}."
            if name == "mip_clip":
                context = method.alignment(context, text([f"{class_name}."]).sentence)
            ids = text.tokenize([ending], reserve=context.shape[1])
            tokens = text.insert(text.token_embeddings(ids), context)
            expected = text.encode(tokens, text.lengths(ids) + context.shape[1]).sentence
        torch.testing.assert_close(features[row], expected[0], rtol=1e-4, atol=1e-5)


def test_augmentation_of_a_clip_is_that_of_its_position_alone(dataset):
    """In any batch, of any epoch's loader."""
    batches = [[(0, 1), (0, 4)], [(0, 4), (1, 4)]]
    seen = {}
    for batch in data.loader(dataset, batches, num_workers=0):
        made = transforms.augment(
            batch.video[:, 0], batch.aspect, PLAIN, side_px=28, mean=(0.5,) * 3, std=(0.5,) * 3,
            rngs=[data.clip_rng(1, position, "augment") for position in batch.position],
        )  # fmt: skip
        for position, clip in zip(batch.position, made):
            assert torch.equal(seen.setdefault(position, clip), clip)
    assert len(seen) == 3
