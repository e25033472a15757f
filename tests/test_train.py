"""The trainer: exact resume after a kill, the same curve over two processes, and its refusals."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from actionprompt import data, features, files, methods, training
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
    drop_missing = options.pop("drop_missing", False)
    options = {"epochs": 3, "batch_size": 4, "lr": 1e-3, "num_workers": 0, **options}
    model = methods.build(method, load_clip("random:nano"), clips.class_names, config=config)
    return training.train(
        model, clips, folder, config=TrainConfig(**options), data_config=data_config, cache=cache, device="cpu",
        on_step=on_step, drop_missing=drop_missing,
    )  # fmt: skip


def stop_at(number: int):
    def stop(step):
        if step.step == number:
            raise KeyboardInterrupt

    return stop


def interrupted(clips: ClipList, folder: Path, at: int, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(clips, folder, on_step=stop_at(at), **options)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "model" / "manifest.json").read_text())


def equal(one: Path, two: Path) -> bool:
    return (one / "model/trained.safetensors").read_bytes() == (two / "model/trained.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory) -> Path:
    """The folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(clips, folder)
    return folder


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


@pytest.mark.slow
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
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    path = tmp_path / "clip.mp4"
    write_video(path, np.full((8, 32, 32, 3), 200, np.uint8), fps=8)
    clip, config = (Clip("clip.mp4", path, 0),), DataConfig(num_frames=4)
    first = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    again = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    assert (first.num_encoded, again.num_encoded) == (1, 0)
    assert torch.equal(first.features.read(), again.features.read())
    write_video(path, np.full((8, 32, 32, 3), 20, np.uint8), fps=8)
    os.utime(path, ns=(1, 1))
    changed = features.cached(method, clip, config, root=tmp_path, num_workers=0)
    assert changed.num_encoded == 1
    assert not torch.allclose(changed.features.read(), first.features.read())
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

    interrupted(clips, tmp_path / "c", 4)
    with pytest.raises(ValueError, match=r"checkpoints of another run \(--train.lr 0.001, here 0.0005\)"):
        train(clips, tmp_path / "c", epochs=3, lr=5e-4)
    with pytest.raises(ValueError, match="mixup mixes pixels"):
        train(clips, tmp_path / "d", method="zeroshot", variant="linear", mixup=0.2)


def test_label_smoothing_and_mixup_train(clips, tmp_path):
    train(clips, tmp_path, epochs=2, label_smoothing=0.1, mixup=0.2)
    assert all(np.isfinite(entry["loss"]) for entry in log(tmp_path))


# Nothing lost --------------------------------------------------------------------------------------------------------


def test_what_changes_no_number_does_not_make_another_run(clips, tmp_path, whole):
    interrupted(clips, tmp_path, 5, save_every_steps=1)
    train(clips, tmp_path, num_workers=1, max_broken=2, save_every_steps=5)
    assert equal(tmp_path, whole)
    assert log(tmp_path) == log(whole)


def test_what_makes_another_run_is_named_as_it_is_typed(clips, tmp_path):
    interrupted(clips, tmp_path, 4)
    other = DataConfig(num_frames=4, augment=Augment(flip=0.25))
    message = r"another run \(--train.batch-size 4, here 6; --data.augment.flip 0.5, here 0.25\)"
    with pytest.raises(ValueError, match=message):
        train(clips, tmp_path, batch_size=6, data_config=other)
    with pytest.raises(ValueError, match=r"another run \(list of clips \(in another order\)\)"):
        train(ClipList("colours", clips.clips[::-1], NAMES), tmp_path)
    new = Clip("new.mp4", clips.clips[0].path, 0)
    with pytest.raises(ValueError, match=r"another run \(list of clips \(without 00.mp4; new here new.mp4\)\)"):
        train(ClipList("colours", (new, *clips.clips[1:]), NAMES), tmp_path)


@pytest.mark.parametrize("name", ["trained.safetensors", "optimizer.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["one bit", "cut", "gone"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(clips, tmp_path, whole, name, damage):
    interrupted(clips, tmp_path, 6, save_every_steps=1)
    newest = sorted((tmp_path / "checkpoints").glob("step-*"))[-1]
    assert newest.name == "step-00000005"
    content = bytearray((newest / name).read_bytes())
    content[0 if name == "manifest.json" else -20] ^= 4
    (newest / name).write_bytes(content if damage == "one bit" else content[: len(content) // 2])
    if damage == "gone":
        (newest / name).unlink()
    # a checkpoint without a manifest is one that was being deleted
    said = pytest.warns(files.Notice, match=rf"step-00000005/{name}.* resumed from step-00000004 instead")
    with contextlib.nullcontext() if (name, damage) == ("manifest.json", "gone") else said:
        train(clips, tmp_path, save_every_steps=1)
    assert equal(tmp_path, whole)
    assert log(tmp_path) == log(whole)


def test_without_a_readable_checkpoint_nothing_starts_again_by_itself(clips, tmp_path):
    interrupted(clips, tmp_path, 6, save_every_steps=1)
    for path in (tmp_path / "checkpoints").glob("step-*/trained.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"no checkpoint of .* can be read .*step-00000005.* delete .*checkpoints"):
        train(clips, tmp_path)


def test_damaged_weights_are_not_loaded(clips, whole, tmp_path):
    from actionprompt import checkpoint

    shutil.copytree(whole / "model", tmp_path / "model")
    path = tmp_path / "model" / "trained.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"trained\.safetensors is damaged: its SHA-256 is not the one in manifest"):
        checkpoint.load(tmp_path)
    manifest = manifest_of(tmp_path)
    del manifest["files_sha256"]  # as version 0.1.0 wrote it
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest))
    checkpoint.load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_neither_saved_nor_loaded(clips, whole, tmp_path, value):
    from safetensors.torch import save_file

    from actionprompt import checkpoint

    method, _ = checkpoint.load(whole)
    name, tensor = next(iter(method.trained_state().items()))
    with torch.no_grad():
        tensor.flatten()[0] = value
    with pytest.raises(ValueError, match=rf"trained.safetensors: {name} is not finite"):
        checkpoint.save(tmp_path / "saved", method)
    assert not (tmp_path / "saved").exists()
    shutil.copytree(whole / "model", tmp_path / "model")
    state = {key: item.detach().contiguous() for key, item in method.trained_state(inference=True).items()}
    save_file(state, tmp_path / "model" / "trained.safetensors")
    manifest = manifest_of(tmp_path)
    manifest["files_sha256"] = {"trained.safetensors": files.sha256(tmp_path / "model" / "trained.safetensors")}
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"trained.safetensors: {name} is not finite"):
        checkpoint.load(tmp_path)


def test_features_that_are_not_finite_name_the_clip(clips, tmp_path, monkeypatch):
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    encode, calls = method.encode, []

    def spoiled(video):
        found = encode(video)
        if not calls:
            found[2] = float("nan")
        calls.append(1)
        return found

    monkeypatch.setattr(method, "encode", spoiled)
    options = {"num_workers": 0, "batch_size": 4}
    with pytest.raises(ValueError, match=r"02\.mp4: the features of this clip are not finite"):
        features.cached(method, clips.clips, DataConfig(num_frames=2), root=tmp_path, **options)
    assert not list(tmp_path.rglob("*.rows")), "nothing of that batch is kept"


@pytest.mark.parametrize("cache", [True, False])
def test_scores_that_are_not_finite_name_the_clip(clips, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path))
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    head = method.head

    def spoiled(feature):
        logits = head(feature)
        logits[2] = float("nan")
        return logits

    monkeypatch.setattr(method, "head", spoiled)
    with pytest.raises(ValueError, match=r"02\.mp4: the model's scores of this clip are not finite numbers"):
        list(predict_clips(method, clips.clips, DataConfig(num_frames=2), num_workers=0, cache=cache))


def test_a_cache_that_cannot_be_written_is_said_and_does_without(clips, tmp_path):
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.warns(files.Notice, match="features cannot be kept in .*; the work continues without") as told:
        found = features.cached(method, clips.clips, DataConfig(num_frames=2), root=tmp_path, num_workers=0)
    assert len(told) == 1
    assert (found.num_encoded, len(found.features)) == (12, 12)


def test_a_clip_that_is_gone_is_asked_for(clips, tmp_path):
    shorter = ClipList("colours", clips.clips[:6] + clips.clips[8:], NAMES)
    interrupted(clips, tmp_path / "a", 7, save_every_steps=1)
    message = r"2 clips that this run began with are not there \(06.mp4, 07.mp4\); .* --drop-missing .* the other 10"
    with pytest.raises(ValueError, match=message):
        train(shorter, tmp_path / "a")
    with pytest.raises(ValueError, match=r"another run \(--train.lr 0.001, here 0.01\)"):
        train(shorter, tmp_path / "a", lr=0.01, drop_missing=True)
    # two epochs of three steps are done; the last one has three as well, of 4, 4 and 2 clips
    train(shorter, tmp_path / "a", drop_missing=True)
    manifest = manifest_of(tmp_path / "a")
    assert manifest["dropped"] == [{"clips": ["06.mp4", "07.mp4"], "after_step": 6}]
    assert manifest["list_sha256"] == shorter.sha256
    assert [entry["step"] for entry in log(tmp_path / "a")] == list(range(1, 10))
    seen = (tmp_path / "a/model/clips.txt").read_text()
    assert all(f"\t{clip.key}\n" in seen for clip in clips.clips), "they were trained on"

    # a checkpoint within an epoch cannot be continued with another list: the training starts again
    interrupted(clips, tmp_path / "b", 3, save_every_steps=1)
    train(shorter, tmp_path / "b", drop_missing=True)
    assert manifest_of(tmp_path / "b")["dropped"] == [{"clips": ["06.mp4", "07.mp4"], "after_step": 0}]
    train(shorter, tmp_path / "c")
    assert equal(tmp_path / "b", tmp_path / "c")
    assert log(tmp_path / "b") == log(tmp_path / "c")


def test_dropped_clips_are_remembered_by_a_run_that_is_interrupted_again(clips, tmp_path):
    shorter = ClipList("colours", clips.clips[1:9], NAMES)
    interrupted(clips, tmp_path, 4)
    interrupted(shorter, tmp_path, 6, drop_missing=True, epochs=3, save_every_steps=1)
    train(shorter, tmp_path, epochs=3)
    (dropped,) = manifest_of(tmp_path)["dropped"]
    assert dropped == {"clips": ["00.mp4", "09.mp4", "10.mp4", "11.mp4"], "after_step": 3}
    assert [entry["step"] for entry in log(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]  # three of 12 clips, then two of 8 each


def test_a_full_disk_stops_and_the_resumed_run_is_equal(clips, tmp_path, whole):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (whole / "model" / "trained.safetensors").stat().st_size

    def fill(step):
        if step.step == 5:  # the next checkpoint finds no room
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))

    try:
        with pytest.raises(OSError, match=r"step-00000005.* cannot be written"):
            train(clips, tmp_path, save_every_steps=1, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*")) == ["step-00000003", "step-00000004"]
    train(clips, tmp_path, save_every_steps=1)
    assert equal(tmp_path, whole)
    assert log(tmp_path) == log(whole)


def test_the_log_holds_no_nan(clips, tmp_path):
    bad = tmp_path / "broken.mp4"
    bad.write_bytes(b"no video at all")
    worse = ClipList("colours", (*clips.clips[:2], Clip("broken.mp4", bad, 0)), NAMES)
    train(worse, tmp_path / "run", max_broken=1, batch_size=1, epochs=1)
    lines = (tmp_path / "run" / "log.jsonl").read_text()
    assert "NaN" not in lines
    assert sorted(entry["loss"] is None for entry in log(tmp_path / "run")) == [False, False, True]


def test_what_a_killed_process_left_goes(clips, tmp_path, whole):
    interrupted(clips, tmp_path, 5, save_every_steps=1)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [tmp_path / f".notes.{os.getppid()}.tmp", tmp_path / ".hidden", tmp_path / ".x.tmp"]
    for path in kept:
        path.write_text("somebody's")
    (tmp_path / f".log.jsonl.{ended.pid}.tmp").write_text("half")
    (tmp_path / "checkpoints" / f".step-00000005.{ended.pid}.tmp").mkdir()
    newest = tmp_path / "checkpoints" / "step-00000004"
    newest.rename(newest.with_name(f".step-00000004.{ended.pid}.old"))  # killed while it was being replaced
    interrupted(clips, tmp_path, 6, save_every_steps=1)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*")) == ["step-00000004", "step-00000005"]
    assert not [path for path in tmp_path.rglob(".*") if str(ended.pid) in path.name]
    assert all(path.is_file() for path in kept)
