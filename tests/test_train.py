"""The trainer: exact resume after a kill, the same curve over two processes, and its refusals."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from actionprompt import data, methods, training
from actionprompt.clips import Clip, ClipList
from actionprompt.config import Augment, DataConfig, TrainConfig
from actionprompt.evaluation import predict_clips
from actionprompt.video import write_video
from actionprompt.weights import load_clip

NAMES = ("red", "green", "blue")
JOB = Path(__file__).parent / "train_job.py"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> ClipList:
    """Twelve real H.264 clips of three classes told apart by colour."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    made = []
    for index in range(12):
        label = index % 3
        frames = rng.integers(0, 90, (12, 48, 64, 3), dtype=np.uint8)
        frames[..., label] += 120
        path = folder / f"{index:02d}.mp4"
        write_video(path, frames, fps=12)
        made.append(Clip(path.name, path, label))
    return ClipList("colours", tuple(made), NAMES)


def train(clips: ClipList, folder: Path, *, method: str = "vifi_clip", variant: str | None = None, **options):
    config = methods.get(method).VARIANTS[variant] if variant else None
    data_config = options.pop("data_config", DataConfig(num_frames=4))
    cache, on_step = options.pop("cache", True), options.pop("on_step", None)
    options = {"epochs": 3, "batch_size": 4, "lr": 1e-3, "num_workers": 0, **options}
    model = methods.build(method, load_clip("random:nano"), clips.class_names, config=config)
    return training.train(
        model, clips, folder, config=TrainConfig(**options), data_config=data_config, cache=cache, device="cpu",
        on_step=on_step,
    )  # fmt: skip


def test_predictions_keep_nothing_for_a_backward_pass(clips, monkeypatch):
    method = methods.build("vifi_clip", load_clip("random:nano"), clips.class_names)
    head, given = method.head, []
    monkeypatch.setattr(method, "head", lambda feature: given.append(feature) or head(feature))
    for _, answer in predict_clips(method, clips.clips[:3], DataConfig(num_frames=4), num_workers=0):
        assert not answer.probabilities.requires_grad
        assert torch.is_grad_enabled(), "the caller may train between two answers"
    assert [feature.requires_grad for feature in given] == [False]


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "trained.safetensors")


def test_training_learns_what_there_is_to_learn(clips, tmp_path):
    train(clips, tmp_path, epochs=20, lr=5e-4, data_config=DataConfig(num_frames=4, augment=Augment(grey=0.0)))
    losses = [entry["loss"] for entry in log(tmp_path)]
    assert len(losses) == 20 * 3
    assert losses[0] > 0.9
    assert np.mean(losses[-6:]) < 0.2


def start_job(clips: ClipList, folder: Path, *launcher: str, **options) -> subprocess.Popen:
    spec = {
        "keys": [c.key for c in clips.clips],
        "root": str(clips.clips[0].path.parent),
        "out": str(folder),
        **options,
    }
    command = [sys.executable, *launcher, str(JOB), json.dumps(spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(job: subprocess.Popen) -> None:
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors[-3000:]


def test_killed_and_resumed_equals_uninterrupted(clips, tmp_path):
    """kill -9 wherever it happens to be, twice; then the weights are those of a run nobody touched, bit for bit."""
    finish(start_job(clips, tmp_path / "whole", epochs=12))
    for fraction in (0.3, 0.7):
        job = start_job(clips, tmp_path / "killed", epochs=12)
        path = tmp_path / "killed" / "log.jsonl"
        deadline = time.monotonic() + 120
        while not path.is_file() or len(path.read_text().splitlines()) < fraction * 36:
            assert job.poll() is None, job.communicate()[1][-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        job.kill()
        job.wait()
        assert not (tmp_path / "killed" / "model").exists()
    finish(start_job(clips, tmp_path / "killed", epochs=12))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert [e["loss"] for e in log(tmp_path / "whole")] == [e["loss"] for e in log(tmp_path / "killed")]


def test_two_processes_give_the_curve_of_one(clips, tmp_path):
    finish(start_job(clips, tmp_path / "one", epochs=3))
    # Accelerate starts several local processes for CPUs through MPI only, or, as here, as it does for GPUs
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
                "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0")  # fmt: skip
    finish(start_job(clips, tmp_path / "two", *launcher, epochs=3))
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(one) == len(two) == 9
    np.testing.assert_allclose([e["loss"] for e in two], [e["loss"] for e in one], rtol=2e-4)
    manifest = json.loads((tmp_path / "two" / "processes.json").read_text())
    assert manifest == 2


def test_micro_batches_give_the_same_step(clips, tmp_path):
    train(clips, tmp_path / "whole", epochs=2)
    train(clips, tmp_path / "parts", epochs=2, micro_batches=3)
    expected = [entry["loss"] for entry in log(tmp_path / "whole")]
    np.testing.assert_allclose([entry["loss"] for entry in log(tmp_path / "parts")], expected, rtol=1e-4)


def test_the_last_smaller_batch_is_trained_on(clips, tmp_path):
    train(clips, tmp_path, epochs=1, batch_size=5)
    assert len(log(tmp_path)) == 3  # 5 + 5 + 2


def test_training_from_the_cache_equals_training_from_pixels(clips, tmp_path, monkeypatch):
    """With the same transform: whole frames, no random draws."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    plain = Augment(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.0, grey=0.0)
    drawn = data.clip_rng
    monkeypatch.setattr(data, "clip_rng", lambda *args: None if args[2] == "frames" else drawn(*args))
    monkeypatch.setattr(data.VideoDataset, "_squares", data.VideoDataset._views)
    for name, cache in (("pixels", False), ("cache", True)):
        train(
            clips, tmp_path / name, method="zeroshot", variant="transformer", cache=cache, lr=1e-2,
            data_config=DataConfig(num_frames=4, augment=plain),
        )  # fmt: skip
    pixels, cached = ([entry["loss"] for entry in log(tmp_path / name)] for name in ("pixels", "cache"))
    assert pixels[0] != pytest.approx(pixels[-1], rel=1e-3)
    np.testing.assert_allclose(cached, pixels, atol=1e-5)


def test_a_changed_clip_is_encoded_again(clips, tmp_path, monkeypatch):
    from actionprompt import features

    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    path = tmp_path / "clip.mp4"
    write_video(path, np.full((8, 32, 32, 3), 200, np.uint8), fps=8)
    clip, config = (Clip("clip.mp4", path, 0),), DataConfig(num_frames=4)
    first = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    again = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    assert (first.num_encoded, again.num_encoded) == (1, 0)
    assert torch.equal(first.features, again.features)
    write_video(path, np.full((8, 32, 32, 3), 20, np.uint8), fps=8)
    os.utime(path, ns=(1, 1))
    changed = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    assert changed.num_encoded == 1
    assert not torch.allclose(changed.features, first.features)
    other = features.cached(method, clip, DataConfig(num_frames=3), root=tmp_path, num_workers=0)
    assert other.num_encoded == 1


def test_not_a_number_stops_with_the_clips_of_the_batch(clips, tmp_path):
    with pytest.raises(FloatingPointError, match=r"step \d+: the loss is nan; lower the learning rate.*\d\d\.mp4"):
        train(clips, tmp_path, epochs=30, lr=1e30, clip_grad_norm=None)


def test_an_unreadable_clip_stops_training_unless_allowed(clips, tmp_path):
    bad = tmp_path / "broken.mp4"
    bad.write_bytes(b"no video at all")
    worse = ClipList("colours", (*clips.clips, Clip("broken.mp4", bad, 0)), NAMES)
    with pytest.raises(ValueError, match=r"1 clips cannot be read and max_broken is 0; the first is broken.mp4: "):
        train(worse, tmp_path / "strict")
    result = train(worse, tmp_path / "allowed", max_broken=1)
    assert [item.key for item in result.broken] == ["broken.mp4"]
    manifest = json.loads((tmp_path / "allowed" / "model" / "manifest.json").read_text())
    assert manifest["broken"] == ["broken.mp4"]


def test_refusals(clips, tmp_path):
    with pytest.raises(ValueError, match="zeroshot has nothing to train"):
        train(clips, tmp_path / "a", method="zeroshot")
    train(clips, tmp_path / "b", epochs=1)
    with pytest.raises(ValueError, match="holds a finished training"):
        train(clips, tmp_path / "b", epochs=1)

    def stop(step):
        if step.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(clips, tmp_path / "c", epochs=3, on_step=stop)
    with pytest.raises(ValueError, match=r"checkpoints of another run \(different: train\)"):
        train(clips, tmp_path / "c", epochs=3, lr=5e-4)
    with pytest.raises(ValueError, match="mixup mixes pixels"):
        train(clips, tmp_path / "d", method="zeroshot", variant="linear", mixup=0.2)


def test_label_smoothing_and_mixup_train(clips, tmp_path):
    train(clips, tmp_path, epochs=2, label_smoothing=0.1, mixup=0.2)
    assert all(np.isfinite(entry["loss"]) for entry in log(tmp_path))
