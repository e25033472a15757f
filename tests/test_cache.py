"""The cache: of frozen features, whole whatever happens to it; the suite leaves that of the user alone, and what a user
has given does not stand for what is built in."""

import dataclasses
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import actionprompt
from actionprompt import checkpoint, features, files, methods, store, training
from actionprompt.backbone import CLIP
from actionprompt.backbone import text as text_module
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig, cache_root
from actionprompt.evaluation import evaluate
from actionprompt.video import write_video
from actionprompt.weights import given, load_clip

NAMES = ("red", "green", "blue")
CONFIG = DataConfig(num_frames=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> ClipList:
    """Twelve short clips of three colours."""
    folder = tmp_path_factory.mktemp("colours")
    rng, made = np.random.default_rng(0), []
    for index in range(12):
        frames = rng.integers(0, 90, (3, 48, 64, 3), dtype=np.uint8)
        frames[..., index % 3] += 120
        path = folder / f"{index:02d}.mp4"
        write_video(path, frames, fps=12)
        made.append(Clip(path.name, path, index % 3))
    return ClipList("colours", tuple(made), NAMES)


@pytest.fixture(scope="module")
def method():
    return methods.build("zeroshot", load_clip("random:nano"), NAMES)


def cached(method, clips, root, **options) -> features.CachedFeatures:
    return features.cached(method, clips, CONFIG, root=root, num_workers=0, **{"batch_size": 4, **options})


def shards(root: Path) -> list[Path]:
    return sorted((root / "features").rglob("*.rows"))


@pytest.fixture(scope="module")
def whole(method, clips, tmp_path_factory) -> torch.Tensor:
    """The features of all clips by a loop that keeps nothing."""
    encoded = features.encode_clips(method, clips.clips, CONFIG, batch_size=4, num_workers=0)
    return torch.cat([batch.features for batch in encoded])[:, None]


def test_features_come_from_the_cache_as_they_were_encoded(method, clips, whole, tmp_path, monkeypatch):
    first = cached(method, clips.clips, tmp_path)
    assert (first.num_encoded, len(shards(tmp_path)), first.features.shape) == (12, 1, tuple(whole.shape))
    for small_bytes in (8 << 20, 0):  # read into memory, mapped
        monkeypatch.setattr(store, "SMALL_BYTES", small_bytes)
        again = cached(method, clips.clips, tmp_path)
        assert again.num_encoded == 0
        for found in (first, again):
            assert torch.equal(found.features.read(), whole)
            assert torch.equal(found.features[torch.tensor([7, 2])], whole[[7, 2]])
        turned = cached(method, [clips.clips[i] for i in (9, 0, 5)], tmp_path)
        assert torch.equal(turned.features.read(), whole[[9, 0, 5]])


def test_damaged_features_are_encoded_again_and_said(method, clips, whole, tmp_path):
    cached(method, clips.clips, tmp_path)
    (rows,) = shards(tmp_path)
    content, size = bytearray(rows.read_bytes()), rows.stat().st_size // 12
    content[size - 1] ^= 1
    content[5 * size : 6 * size] = content[6 * size : 7 * size]  # whole, but of another clip
    rows.write_bytes(content[: 10 * size + 3])
    with pytest.warns(
        files.Notice, match=r"of 4 clips are damaged and encoded again: 00.mp4, 05.mp4, 10.mp4 and 1 more"
    ):
        again = cached(method, clips.clips, tmp_path)
    assert again.num_encoded == 4
    assert torch.equal(again.features.read(), whole)
    assert cached(method, clips.clips, tmp_path).num_encoded == 0  # and nothing is said any more
    for index in (tmp_path / "features").rglob("*.index"):
        content = bytearray(index.read_bytes())
        content[-20] ^= 1
        index.write_bytes(content)
    with pytest.warns(files.Notice, match="parts are damaged and encoded again"):
        assert torch.equal(cached(method, clips.clips, tmp_path).features.read(), whole)
    assert cached(method, clips.clips, tmp_path).num_encoded == 0


def test_an_interrupted_pass_is_continued_with_the_same_batches(method, clips, whole, tmp_path, monkeypatch):
    encode, seen = method.encode, []

    def until(video, most=2):
        seen.append(len(video))
        if len(seen) == most:
            raise KeyboardInterrupt
        return encode(video)

    monkeypatch.setattr(method, "encode", until)
    with pytest.raises(KeyboardInterrupt):
        cached(method, clips.clips, tmp_path)
    (rows,) = shards(tmp_path)
    size = rows.stat().st_size // 4
    rows.with_suffix(".index").rename(rows.with_suffix(".open"))
    rows.write_bytes(rows.read_bytes() + b"x" * (size + 7))  # as a kill leaves it: rows without records
    seen.clear()
    monkeypatch.setattr(method, "encode", lambda video: seen.append(len(video)) or encode(video))
    found = cached(method, clips.clips, tmp_path)
    assert (found.num_encoded, seen) == (8, [4, 4])
    assert torch.equal(found.features.read(), whole)
    short = rows.with_suffix(".open").read_bytes()
    rows.with_suffix(".open").write_bytes(short[: -store.RECORD.itemsize - 3])  # two records short
    seen.clear()
    found = cached(method, clips.clips, tmp_path)
    assert (found.num_encoded, seen) == (2, [4]), "the whole batch, for the sake of its last bits"
    assert torch.equal(found.features.read(), whole)


def test_processes_share_the_batches(method, clips, whole, tmp_path):
    parts = [cached(method, clips.clips, tmp_path, batch_size=3, share=(rank, 3)) for rank in range(3)]
    assert [part.num_encoded for part in parts] == [6, 3, 3]
    found = cached(method, clips.clips, tmp_path, batch_size=3)
    assert (found.num_encoded, len(shards(tmp_path))) == (0, 3)
    torch.testing.assert_close(found.features.read(), whole)


def test_float16_is_kept_apart_and_rounds(method, clips, whole, tmp_path, monkeypatch):
    for _ in range(2):
        found = cached(method, clips.clips, tmp_path, dtype="float16")
        assert torch.equal(found.features.read(), whole.half().float())
    assert torch.equal(cached(method, clips.clips, tmp_path).features.read(), whole)
    assert sorted(path.stat().st_size for path in shards(tmp_path)) == [whole.numel() * 2, whole.numel() * 4]
    encode = method.encode
    monkeypatch.setattr(method, "encode", lambda video: encode(video) * 1e6)
    with pytest.raises(ValueError, match=r"00\.mp4: the features of this clip are too large for float16"):
        cached(method, clips.clips, tmp_path / "large", dtype="float16")


def test_a_cache_that_cannot_be_written_is_said_once(method, clips, whole, tmp_path, monkeypatch):
    write, calls = store._write, []

    def full(file, content):
        calls.append(1)
        if len(calls) > 3:  # the index, and the rows and records of the first batch
            raise OSError(28, "No space left on device")
        write(file, content)

    monkeypatch.setattr(store, "_write", full)
    with pytest.warns(files.Notice, match=r"cannot be kept in .* \(No space left on device\)") as told:
        found = cached(method, clips.clips, tmp_path)
    assert len(told) == 1
    assert torch.equal(found.features.read(), whole)
    monkeypatch.setattr(store, "_write", write)
    again = cached(method, clips.clips, tmp_path)
    assert again.num_encoded == 8
    assert torch.equal(again.features.read(), whole)


def test_links_and_folders_of_images_are_known_by_their_files(method, clips, tmp_path):
    (tmp_path / "link.mp4").symlink_to(clips.clips[0].path)
    (tmp_path / "folder").symlink_to(clips.clips[0].path.parent)
    clip = clips.clips[0]
    assert cached(method, [clip], tmp_path).num_encoded == 1
    for path in (tmp_path / "link.mp4", tmp_path / "folder" / clip.path.name):
        assert cached(method, [Clip("other", path, 0)], tmp_path).num_encoded == 0
    os.utime(clip.path, ns=(1, clip.path.stat().st_mtime_ns + 1))
    assert cached(method, [Clip("other", tmp_path / "link.mp4", 0)], tmp_path).num_encoded == 1
    assert cached(method, [Clip("null\0", Path("null\0"), 0)], tmp_path).broken[0].key == "null\0"


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / training.LOG).read_text().splitlines()]


def test_training_and_evaluation_gather_from_the_disk_what_they_had_in_memory(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    linear = methods.get("zeroshot").VARIANTS["linear"]

    def run(name: str, **options):
        model = methods.build("zeroshot", load_clip("random:nano"), NAMES, config=linear)
        config = TrainConfig(epochs=2, batch_size=5, lr=1e-2, num_workers=0, **options)
        training.train(model, clips, tmp_path / name, config=config, data_config=CONFIG, device="cpu")
        return evaluate(model, clips, CONFIG, num_workers=0).probabilities

    first = run("memory")
    monkeypatch.setattr(training, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(store, "SMALL_BYTES", 0)
    read, whole = store.Rows.read, []
    monkeypatch.setattr(store.Rows, "read", lambda self: whole.append(len(self)) or read(self))
    assert run("disk") == first
    assert len(clips.clips) not in whole
    assert log(tmp_path / "disk") == log(tmp_path / "memory")
    rounded = run("rounded", feature_dtype="float16")
    assert rounded != first
    manifest = json.loads((tmp_path / "rounded" / "model" / "manifest.json").read_text())
    assert manifest["train"]["feature_dtype"] == "float16"
    model = methods.build("vifi_clip", load_clip("random:nano"), NAMES)
    options = {"config": TrainConfig(feature_dtype="float16"), "data_config": CONFIG, "device": "cpu"}
    with pytest.raises(ValueError, match=r"trains from pixels here, .*: expected feature_dtype float32"):
        training.train(model, clips, tmp_path / "pixels", **options)


def test_towers_of_equal_weights_and_other_heads_do_not_share_features(clips, method, tmp_path):
    """As of a folder whose config.json had a wrong number of heads, and was put right."""
    shape = method.clip.shape
    shape = dataclasses.replace(shape, image=dataclasses.replace(shape.image, num_heads=2 * shape.image.num_heads))
    other = CLIP(shape, method.clip.tokenizer, name="other")
    other.load_state_dict(method.clip.state_dict())
    other = methods.build("zeroshot", other, NAMES)
    assert other.clip_sha256 == method.clip_sha256
    first, second = (cached(m, clips.clips, tmp_path) for m in (method, other))
    assert second.num_encoded == len(clips.clips)
    assert not torch.equal(first.features.read(), second.features.read())


# Of the user ----------------------------------------------------------------------------------------------------------


def test_the_cache_is_not_that_of_the_user():
    assert cache_root() != Path("~/.cache/actionprompt").expanduser()


def test_a_copy_of_the_embedded_clip_that_was_given_does_not_stand_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(Path(actionprompt.__file__).parent / "assets" / "tiny_clip", tmp_path / "copy")
    for name, path in (("tiny", tmp_path / "copy"), ("random:nano", tmp_path / "copy")):
        method = methods.build("zeroshot", load_clip(name), ["a", "b"])
        method.clip_sha256 = method.clip.fingerprint()
        given.remember(method.clip_sha256, path)
        checkpoint.save(tmp_path / "model", method)
        loaded = checkpoint.load(tmp_path / "model")[0].clip
        assert (loaded.name, loaded.path) == (name, None)
        shutil.rmtree(tmp_path / "model")


# Class texts ----------------------------------------------------------------------------------------------------------

TEXTS = [f"a video of a person {what}." for what in ("running", "at work", "reading a long book") * 4]
TEXTS = [f"{text} {number}" for number, text in enumerate(TEXTS)]


def tower(monkeypatch, seen: list[int], name: str = "random:nano"):
    """A frozen text tower in which every text that is encoded is counted."""
    text = load_clip(name).requires_grad_(False).text
    encode = text.encode
    monkeypatch.setattr(text, "encode", lambda *args, **options: seen.append(len(args[0])) or encode(*args, **options))
    return text


@pytest.fixture
def texts_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path))
    return tmp_path / "texts"


def test_texts_are_encoded_once_on_this_disk_with_the_same_bits(texts_cache, monkeypatch):
    seen: list[int] = []
    first = tower(monkeypatch, seen).sentences(TEXTS)
    assert seen == [1] * len(TEXTS)
    torch.testing.assert_close(first, load_clip("random:nano").text(TEXTS).sentence)
    second = tower(monkeypatch, seen)
    assert torch.equal(second.sentences([*TEXTS[::-1], "one more"])[:-1], first.flip(0))
    assert seen == [1] * (len(TEXTS) + 1)
    few = tower(monkeypatch, [])
    assert torch.equal(few.sentences(TEXTS[3:5]), first[3:5]), "not by way of the disk"
    shutil.rmtree(texts_cache)
    texts_cache.write_text("a file where the folder should be")
    other = tower(monkeypatch, [])
    with pytest.warns(
        files.Notice, match="embeddings of texts cannot be kept in .*; they are encoded every time"
    ) as told:
        assert torch.equal(other.sentences(TEXTS), first)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        other.sentences([f"{text} again" for text in TEXTS])


def test_a_damaged_embedding_of_a_text_is_made_again(texts_cache, monkeypatch):
    first = tower(monkeypatch, []).sentences(TEXTS)
    (rows,) = texts_cache.rglob("*.rows")
    content = bytearray(rows.read_bytes())
    content[0] ^= 1
    rows.write_bytes(content)
    with pytest.warns(files.Notice, match="embeddings of texts are damaged and encoded again"):
        again = tower(monkeypatch, seen := []).sentences(TEXTS)
    assert torch.equal(again, first)
    assert seen == [1]
    tower(monkeypatch, seen).sentences(TEXTS)
    assert seen == [1]


def test_other_weights_are_other_embeddings_and_trained_ones_stay_in_memory(texts_cache, monkeypatch):
    first = tower(monkeypatch, []).sentences(TEXTS)
    other = tower(monkeypatch, seen := [])
    with torch.no_grad():
        other.final_norm.weight.mul_(2)
    assert not torch.allclose(other.sentences(TEXTS), first)
    assert len(seen) == len(TEXTS)
    assert len(list(texts_cache.iterdir())) == 2
    trained = tower(monkeypatch, seen)
    trained.requires_grad_(True)
    trained.sentences(TEXTS)
    assert len(seen) == 2 * len(TEXTS)
    tower(monkeypatch, seen).sentences(TEXTS[: text_module.FEW_TEXTS])
    assert len(list(texts_cache.iterdir())) == 2
    with torch.no_grad():
        trained.requires_grad_(False).final_norm.weight.mul_(1.5)
    trained.sentences(TEXTS)
    assert len(list(texts_cache.iterdir())) == 3, "the weights as they are now"
