"""Folders in Hugging Face format in all the shapes in which they come, and the hub's cache."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actionprompt.weights import load_clip
from actionprompt.weights.tokenizer import EOT, SOS, clip_tokenizer

TINY = Path(__file__).parents[1] / "src" / "actionprompt" / "assets" / "tiny_clip"
TEXTS = ["waving a hand", "Running!", "  jumping \n jacks ", "naïve 3,000 Ämter", "don't", "挥手", ""]


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "clip"))


def check_same(loaded) -> None:
    tiny = load_clip("tiny")
    assert loaded.fingerprint() == tiny.fingerprint()
    assert loaded.text.tokenizer.encode(TEXTS) == tiny.text.tokenizer.encode(TEXTS)


def test_tokens_are_those_of_transformers():
    from transformers import CLIPTokenizer

    theirs, ours = CLIPTokenizer.from_pretrained(TINY), load_clip("tiny").text.tokenizer
    assert ours.encode(TEXTS) == theirs(TEXTS)["input_ids"]
    offsets = theirs(TEXTS, return_offsets_mapping=True)["offset_mapping"]
    assert [[tuple(span) for span in row] for row in offsets] == ours.offsets(TEXTS)
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (
        theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id,
    )  # fmt: skip


def test_what_we_save_transformers_reads(tmp_path):
    from transformers import CLIPTokenizer

    load_clip("tiny").text.tokenizer.save(tmp_path)
    assert CLIPTokenizer.from_pretrained(tmp_path)(TEXTS)["input_ids"] == load_clip("tiny").text.tokenizer.encode(TEXTS)


def test_parts_of_weights_are_put_together(folder):
    state = load_file(folder / "model.safetensors")
    keys = sorted(state)
    parts = {"model-00001-of-00002.safetensors": keys[::2], "model-00002-of-00002.safetensors": keys[1::2]}
    for name, own in parts.items():
        save_file({key: state[key] for key in own}, folder / name)
    index = {"weight_map": {key: name for name, own in parts.items() for key in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    check_same(load_clip(folder))


def test_old_pickles_are_read_as_tensors_alone(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**state, "text_model.embeddings.position_ids": torch.arange(77)}, folder / "pytorch_model.bin")
    check_same(load_clip(folder))
    torch.save({"code": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin cannot be read as weights"):
        load_clip(folder)


def test_vocabulary_and_merges_in_files_of_their_own(folder):
    tokenizer = load_clip("tiny").text.tokenizer
    (folder / "vocab.json").write_text(json.dumps(tokenizer.vocab), encoding="utf-8")
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    check_same(load_clip(folder))


def test_the_hubs_cache_is_found_offline(tmp_path, monkeypatch):
    from huggingface_hub import constants

    repository, commit = tmp_path / "models--me--small", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(TINY, repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = load_clip("me/small")
    assert loaded.name == "me/small"
    check_same(loaded)


def test_what_a_folder_lacks_is_told_in_one_line(folder):
    (folder / "tokenizer.json").rename(folder / "gone")
    with pytest.raises(ValueError, match=r"expected its tokeniser, as tokenizer.json or as vocab.json with merges.txt"):
        load_clip(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}, "merges": []}}))
    with pytest.raises(ValueError, match=r"lacks <\|startoftext\|>, <\|endoftext\|>"):
        load_clip(folder)
    (folder / "gone").rename(folder / "tokenizer.json")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 100
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"text_config.vocab_size: expected 2014, as the weights have it, got 100"):
        load_clip(folder)
    config["text_config"] |= {"vocab_size": 2014, "hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"text_config.hidden_size: expected 128, as the weights have it, got 64"):
        load_clip(folder)
    config["text_config"] |= {"hidden_size": 128, "hidden_act": "relu"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"expected the activation quick_gelu, gelu or gelu_pytorch_tanh, got 'relu'"):
        load_clip(folder)
    (folder / "model.safetensors").unlink()
    config["text_config"]["hidden_act"] = "quick_gelu"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"is not a complete model: it has no model.safetensors or pytorch_model.bin"):
        load_clip(folder)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model.safetensors is empty"):
        load_clip(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json cannot be read as JSON"):
        load_clip(folder)


def test_a_tokeniser_is_shared_by_copies():
    import copy

    tokenizer = clip_tokenizer({SOS: 0, EOT: 1, "a</w>": 2}, [])
    assert copy.deepcopy(tokenizer) is tokenizer
    assert tokenizer.encode(["a"]) == [[0, 2, 1]]
