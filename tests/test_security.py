"""Files that somebody else wrote: they are read as data, their sizes are checked, and they open no paths."""

import contextlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from actionprompt import checkpoint, methods
from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.config import Pixels
from actionprompt.weights import archive, given, hugging_face, load_chinese_text, load_clip, openai
from actionprompt.weights.random import _randomise
from actionprompt.weights.tokenizer import BPE_FILE, bpe_tokenizer
from hubs import change
from test_backbone import Archive, openai_state

ASSETS = Path(__file__).parents[1] / "src" / "actionprompt" / "assets"
NAMES, NAMES_ZH = ["waving", "running", "jumping"], ["挥手", "跑步", "跳"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 598641023\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder for each test, which remembers nothing of the others."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A CLIP in Hugging Face format."""
    return Path(shutil.copytree(ASSETS / "tiny_clip", tmp_path / "clip"))


@pytest.fixture
def folder_zh(tmp_path) -> Path:
    return Path(shutil.copytree(ASSETS / "tiny_clip_zh", tmp_path / "clip_zh"))


# ------------------------------------------------------------------------------------------------- OpenAI's .pt files


@pytest.fixture
def published(tmp_path) -> CLIP:
    """A small CLIP in OpenAI's shape, with the vocabulary that lies next to the file."""
    tower = TowerShape(64, 2, 1, 256)
    shape = CLIPShape(tower, tower, image_size=32, patch_size=16, vocab_size=515, context_length=77, embed_dim=16)
    import gzip

    (tmp_path / BPE_FILE).write_bytes(gzip.compress(b'"bpe_simple_vocab_16e6.txt#version: 0.2\nt h'))
    clip = CLIP(shape, bpe_tokenizer([("t", "h")]), name="small", pixels=Pixels((0, 0, 0), (1, 1, 1)))
    _randomise(clip)
    return clip


def halves(clip: CLIP) -> dict[str, torch.Tensor]:
    return {key: value.half() for key, value in openai_state(clip).items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace", "save", "before 1.6"])
def test_archives_are_read_as_torch_reads_them(how, published, tmp_path):
    module, path = Archive(halves(published)), tmp_path / "small.pt"
    if how == "script":
        torch.jit.script(module).save(path)
    elif how == "trace":
        torch.jit.trace(module, torch.zeros(1)).save(path)
    else:
        torch.save(module.state_dict(), path, _use_new_zipfile_serialization=how == "save")
    expected = module.state_dict()
    if how != "before 1.6":
        found = archive.read(path)
        assert found.keys() == expected.keys() >= {"input_resolution", "context_length", "vocab_size"}
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value)
    loaded, original = load_clip(path), published.state_dict()
    assert loaded.state_dict().keys() == original.keys()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, original[name].half().float()), name


class Trap(nn.Module):
    """TorchScript that opens a file, for writing, while it is loaded."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target, self.kept = target, torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.target = state[0]
        self.training = state[1]
        self.kept = torch.from_file(state[0], shared=True, size=16, dtype=torch.uint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_in_torchscript_does_not_run(tmp_path):
    path, target = tmp_path / "trap.pt", tmp_path / "written"
    torch.jit.script(Trap(str(target))).save(path)
    torch.jit.load(path)
    assert target.is_file(), "the trap is none"
    target.unlink()
    with pytest.raises(
        ValueError, match=r"trap.pt cannot be read as weights: it holds an object that only its own code"
    ):
        load_clip(path)
    assert not target.exists()


class Call:
    """Pickled as a call."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


class Stored:
    """Pickled as a storage."""

    def __init__(self, numel: int, key: str = "0", kind=torch.FloatStorage):
        self.numel, self.key, self.kind = numel, key, kind


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return ("storage", value.kind, value.key, "cpu", value.numel) if isinstance(value, Stored) else None


def tensor(storage: Stored, offset=0, size=(4,), stride=(1,)) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def write(path: Path, value, entries=None, **options) -> Path:
    """An archive as torch.save writes it, with a pickle of one's own."""
    content = io.BytesIO()
    if isinstance(value, bytes):
        content.write(value)
    else:
        Pickler(content, protocol=2).dump(value)
    with zipfile.ZipFile(path, "w", **options) as out:
        out.writestr("small/data.pkl", content.getvalue())
        for key, stored in (entries or {"0": bytes(16)}).items():
            out.writestr(f"small/data/{key}", stored)
    return path


def deep() -> bytes:
    """TorchScript whose modules are in each other twice, forty times over: 2 ** 40 attributes."""
    new, a, b = b"c__torch__\nM\n)\x81", b"X\x01\x00\x00\x00a", b"X\x01\x00\x00\x00b"
    inner = new + b"q\x00"
    for index in range(40):
        inner = new + b"}(" + a + inner + b + b"h" + bytes([index]) + b"ubq" + bytes([index + 1])
    return b"\x80\x02" + inner + b"."


def test_a_well_formed_archive_of_ones_own_is_read(tmp_path):
    found = archive.read(write(tmp_path / "a.pt", {"a": tensor(Stored(4)), "b": [1, 2.5, None, ("x", True)]}))
    assert torch.equal(found["a"], torch.zeros(4))
    assert found["b"] == [1, 2.5, None, ("x", True)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(os.system, "touch written"), "holds (posix|nt).system, and reading that would run code"),
        (Call(eval, "open('written', 'w')"), "holds (builtins|__builtin__).eval, and reading that would run code"),
        (Call(torch.load, "/etc/passwd"), "holds torch.serialization.load, and reading that would run code"),
        (Call(getattr, "x", "y"), "holds (builtins|__builtin__).getattr, and reading"),
        ({"a": tensor(Stored(4, key="7"))}, "states 4 numbers of 4 bytes as data/7, and has no such entry"),
        ({"a": tensor(Stored(4, key="../../0"))}, r"and has no such entry"),
        ({"a": tensor(Stored(10**12))}, "states 1000000000000 numbers of 4 bytes as data/0, and has 16 bytes"),
        ({"a": tensor(Stored(4, kind=torch.HalfStorage))}, "states 4 numbers of 2 bytes as data/0, and has 16 bytes"),
        ({"a": tensor(Stored(4), stride=(2,))}, r"size \[4\], strides \[2\] and offset 0, which is outside its 4"),
        ({"a": tensor(Stored(4), stride=(-1,))}, "is outside its 4 numbers"),
        ({"a": tensor(Stored(4), offset=1)}, "offset 1, which is outside its 4 numbers"),
        ({"a": tensor(Stored(4), offset=-4)}, "offset -4, which is outside its 4 numbers"),
        ({"a": tensor(Stored(4), size=(10**12,), stride=(0,))}, "is outside its 4 numbers"),
        ({"a": tensor(Stored(4), size=(2, 2))}, "holds a tensor without a size"),
        ({"a": tensor(Stored(4), size=(4.0,))}, "holds a tensor without a size"),
        (b"\x80\x02c__torch__\nM\n)\x81X\x01\x00\x00\x00ab.", "holds an object that only its own code can restore"),
        (deep(), "holds modules with more than 100000 attributes"),
        (b"\x80\x02c__torch__\nM\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.", "or endlessly in each other"),
        (b"\x80\x02}(N(tub.", "makes no sense|no tensors need|keys that are no names"),
        (b"\x80\x02}((tNu.", "holds a dictionary with keys that are no names or numbers"),
        (b"\x80\x02R.", "holds a pickle that makes no sense"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.", "holds a pickle that makes no sense"),
        (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "in a place where it makes no sense"),
        (b"\x80\x02K\x01Q.", "holds a pickle that makes no sense"),
        (b"\x80\x02]r\xff\xff\xff\xff.", None),  # a memo of 4 billion places
        (b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "is damaged, cut or another kind of file"),
        (b"\x80\x02", "is damaged, cut or another kind of file"),
        (b"(dp0\n.", "holds the pickle operation DICT, which no tensors need"),
    ],
)
def test_an_archive_that_is_more_than_tensors_is_refused(value, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pt", value)
    with pytest.raises(ValueError, match=message or "not a CLIP|expected a state dict") as caught:
        load_clip(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "written").exists()
    os.replace(path, tmp_path / "pytorch_model.bin")  # the other road to the same reader
    (tmp_path / "config.json").write_bytes((ASSETS / "tiny_clip" / "config.json").read_bytes())
    with pytest.raises(ValueError, match=message or "expected tensors by name"):
        load_clip(tmp_path)


def test_compressed_overlapping_and_damaged_archives_are_refused(tmp_path):
    value, path = {"a": tensor(Stored(10**6))}, tmp_path / "bomb.pt"
    write(path, value, {"0": bytes(4 * 10**6)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**4
    with pytest.raises(ValueError, match="holds compressed or encrypted tensors, which torch does not write"):
        load_clip(path)

    write(path, {index: tensor(Stored(10**5), size=(10**5,)) for index in range(100)}, {"0": bytes(4 * 10**5)})
    with pytest.raises(ValueError, match="uses the same bytes for more tensors than a model does"):
        load_clip(path)

    write(path, {"a": tensor(Stored(4))}, {str(index): bytes([65]) * 400 for index in range(20)})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as opened:
        first = opened.getinfo("small/data/0").header_offset
        others = [opened.getinfo(f"small/data/{index}").header_offset for index in range(1, 20)]
    start = others[0]
    cut = content[:start] + content[content.index(b"PK\x01\x02") :]  # the bytes of the others go, their entries stay
    directory = cut.index(b"PK\x01\x02")
    for offset in others:
        cut = cut.replace(offset.to_bytes(4, "little"), first.to_bytes(4, "little"))
    cut = cut[:-6] + directory.to_bytes(4, "little") + cut[-2:]
    path.write_bytes(cut)
    with pytest.raises(ValueError, match=r"states more bytes of tensors than the file has|is damaged"):
        load_clip(path)

    write(path, {"a": tensor(Stored(4))}, {"0": b"0123456789abcdef"})
    path.write_bytes(path.read_bytes().replace(b"0123456789abcdef", b"0123456789abcdeX"))
    with pytest.raises(ValueError, match="is damaged: small/data/0 has not the checksum that it was written with"):
        load_clip(path)


def test_an_old_file_that_states_more_than_it_has_is_refused(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"a": torch.zeros(1).expand(10**9)}, path, _use_new_zipfile_serialization=False)
    assert path.stat().st_size < 10**4
    with pytest.raises(ValueError, match="states more numbers than the file has"):
        load_clip(path)


def test_a_vocabulary_that_unpacks_without_end_is_cut(published, tmp_path):
    import gzip

    torch.save(halves(published), tmp_path / "small.pt")
    (tmp_path / BPE_FILE).write_bytes(gzip.compress(b"#\n" + b"a" * (40 << 20)))
    with pytest.raises(ValueError, match=f"{BPE_FILE} cannot be read as OpenAI's list of merges"):
        load_clip(tmp_path / "small.pt")
    (tmp_path / BPE_FILE).write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"{BPE_FILE} is a pointer of Git LFS"):
        load_clip(tmp_path / "small.pt")
    (tmp_path / BPE_FILE).write_bytes(gzip.compress(b"#\n" + b"\n".join(b"%d %d" % (n, n) for n in range(9))))
    with pytest.raises(ValueError, match="expected a vocabulary of 515 tokens, as many as the weights have, got 523"):
        load_clip(tmp_path / "small.pt")


# --------------------------------------------------------------------------------------- Damaged, cut, empty, pointers


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"],
)
@pytest.mark.parametrize("kind", ["pointer", "empty", "cut"])
def test_a_file_that_is_not_whole_is_named(name, kind, folder):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes({"pointer": POINTER, "empty": b"", "cut": content[: len(content) // 2]}[kind])
    with pytest.raises(ValueError, match=r"clip.*") as caught:
        load_clip(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {"pointer": "git lfs pull", "empty": "is empty", "cut": "cannot be read as"}[kind] in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt"])
@pytest.mark.parametrize("kind", ["pointer", "empty", "cut", "gone"])
def test_a_chinese_folder_that_is_not_whole_is_named(name, kind, folder_zh):
    path = folder_zh / name
    content = path.read_bytes()
    path.write_bytes({"pointer": POINTER, "empty": b"", "cut": content[: len(content) // 2], "gone": b"x"}[kind])
    if kind == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=r"git lfs pull|is empty|cannot be read|lacks|expected|complete model"):
        load_chinese_text(folder_zh)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "small.pt"])
@pytest.mark.parametrize("kind", ["pointer", "empty", "cut"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_that_are_not_whole_are_named(name, kind, zipped, folder):
    state, path = load_file(folder / "model.safetensors"), folder / name
    (folder / "model.safetensors").unlink()
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes({"pointer": POINTER, "empty": b"", "cut": content[: len(content) // 2]}[kind])
    message = {"pointer": "git lfs pull", "empty": "is empty", "cut": "cannot be read as weights"}[kind]
    with pytest.raises(ValueError, match=message) as caught:
        load_clip(path if name == "small.pt" else folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(value, folder, folder_zh, tmp_path):
    for place, key in ((folder, "text_projection.weight"), (folder_zh, "text_projection.weight")):
        state = load_file(place / "model.safetensors")
        state[key][1, 2] = value
        save_file(state, place / "model.safetensors")
        with pytest.raises(ValueError, match=rf"model.safetensors: {key} is not finite: 1 of its \d+ numbers"):
            (load_clip if place == folder else load_chinese_text)(place)
    method = methods.build("vita_clip", load_clip("tiny"), NAMES)
    checkpoint.save(tmp_path / "model", method)
    state = load_file(tmp_path / "model" / "trained.safetensors")
    state["time"][0, 0] = value
    save_file(state, tmp_path / "model" / "trained.safetensors")
    change(tmp_path / "model" / "manifest.json", files_sha256={})
    with pytest.raises(ValueError, match=r"trained.safetensors: time is not finite: 1 of its"):
        checkpoint.load(tmp_path / "model")


@pytest.mark.parametrize(
    "name", ["~nobody-of-this-name/x", "~nobody-of-this-name/x.pt", "x" * 5000, "x" * 5000 + ".pt"]
)
@pytest.mark.parametrize("load", [load_clip, load_chinese_text])
def test_a_path_that_no_system_has_is_one_line(load, name):
    with pytest.raises(ValueError, match=r"expected a model's folder, file or hub name, got '") as caught:
        load(name)
    assert len(str(caught.value)) < 300


# ----------------------------------------------------------------------------------------- Sizes that a file states


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("vision_config__hidden_size", value) for value in (10**6, 10**12, 0, -1, "160", 160.0, True, [160])),
        ("vision_config__num_hidden_layers", 10**9),
        ("vision_config__intermediate_size", 10**9),
        ("vision_config__image_size", 10**9),
        ("vision_config__image_size", 128),
        ("vision_config__patch_size", 10**9),
        ("vision_config__patch_size", 1),
        ("vision_config__num_attention_heads", 7),
        ("vision_config__num_attention_heads", 10**9),
        ("vision_config__layer_norm_eps", "small"),
        ("vision_config__layer_norm_eps", float("nan")),
        ("vision_config__hidden_act", ["gelu"]),
        ("text_config__vocab_size", 10**9),
        ("text_config__vocab_size", 2013),
        ("text_config__hidden_size", 64),
        ("text_config__num_hidden_layers", 2),
        ("text_config__max_position_embeddings", 10**9),
        ("text_config__eos_token_id", 5),
        ("text_config", 5),
        ("projection_dim", 10**9),
        ("projection_dim", None),
    ],
)
def test_sizes_of_a_config_are_those_of_the_weights(field, value, folder):
    change(folder / "config.json", **{field: value})
    with pytest.raises(ValueError, match=r"expected") as caught:
        load_clip(folder)
    assert str(folder) in str(caught.value)
    names = field.replace("__", ".").split(".") if "heads" not in field else ["image"]
    ours = {"eos_token_id": "<|endoftext|>", "max_position_embeddings": "max_position"}
    assert ours.get(names[-1], names[-1]) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("text_config__hidden_size", value) for value in (10**6, 0, -1, "128", True)),
        ("text_config__num_hidden_layers", 10**9),
        ("text_config__vocab_size", 10**9),
        ("text_config__intermediate_size", 10**9),
        ("text_config__max_position_embeddings", 10**9),
        ("text_config__type_vocab_size", 10**9),
        ("text_config__num_attention_heads", 7),
        ("text_config__hidden_act", "runs"),
        ("projection_dim", 10**9),
    ],
)
def test_sizes_of_a_chinese_config_are_those_of_the_weights(field, value, folder_zh):
    change(folder_zh / "config.json", **{field: value})
    with pytest.raises(ValueError, match=r"config.json: .*expected") as caught:
        load_chinese_text(folder_zh)
    assert field.split("__")[-1] in str(caught.value)


def test_sizes_of_the_image_tower_that_is_not_used_cost_nothing(folder_zh):
    change(folder_zh / "config.json", vision_config__hidden_size=10**9, vision_config__num_hidden_layers=10**9)
    assert load_chinese_text(folder_zh).embed_dim == 128


@pytest.mark.parametrize("values", [[0.5, 0.5], "half", [0.5, 0.5, float("nan")], [0.5, 0.5, "x"], {}])
def test_means_and_deviations_are_three_numbers(values, folder):
    change(folder / "preprocessor_config.json", image_mean=values)
    with pytest.raises(ValueError, match=r"preprocessor_config.json: image_mean: expected three finite numbers"):
        load_clip(folder)


def test_a_deviation_of_zero_is_refused(folder):
    change(folder / "preprocessor_config.json", image_std=[0.5, 0.5, 0.0])
    with pytest.raises(ValueError, match=r"image_std: expected three finite numbers"):
        load_clip(folder)


def test_a_vocabulary_that_is_not_that_of_the_weights_is_refused(folder):
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ends = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    change(folder / "tokenizer.json", model__vocab=ends, model__merges=[], added_tokens=[])
    with pytest.raises(ValueError, match=r"expected a vocabulary of 2014 tokens, as many as the weights have, got 2;"):
        load_clip(folder)
    vocab = whole["model"]["vocab"]
    last = {index: token for token, index in vocab.items()}
    moved = {**vocab, last[5]: vocab["<|endoftext|>"], "<|endoftext|>": 5}
    change(folder / "tokenizer.json", model__vocab=moved, model__merges=[], added_tokens=[])
    with pytest.raises(
        ValueError, match=r"expected <\|endoftext\|> as token 2013, where the weights gather a text, got 5"
    ):
        load_clip(folder)
    change(folder / "config.json", text_config__eos_token_id=2)  # what files of OpenAI's models call the last one
    with pytest.raises(ValueError, match=r"expected <\|endoftext\|> as token 2013"):
        load_clip(folder)
    for wrong in ({**vocab, last[5]: 10**9}, {**vocab, last[5]: -1}, {**vocab, last[5]: "5"}, {**vocab, last[5]: 6}):
        change(folder / "tokenizer.json", model__vocab=wrong)
        with pytest.raises(ValueError, match=r"tokenizer.json: expected tokens with the numbers 0 to 2013, each once"):
            load_clip(folder)


def test_an_empty_chinese_vocabulary_is_refused(folder_zh):
    (folder_zh / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a vocabulary of 1191 tokens, as many as the weights have, got 5;"):
        load_chinese_text(folder_zh)


def test_a_chinese_vocabulary_is_read_from_tokenizer_json(folder_zh):
    texts = ["挥手", "跑步 Running"]
    expected = load_chinese_text(folder_zh).tokenizer.encode(texts)
    tokens = (folder_zh / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    (folder_zh / "vocab.txt").unlink()
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder_zh / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocab}}))
    assert load_chinese_text(folder_zh).tokenizer.encode(texts) == expected


@pytest.mark.parametrize("name", ["random:0", "random:-1", "random:x", "random:1e3", "random:" + "9" * 20, "random:"])
def test_random_towers_have_a_bounded_width(name):
    with pytest.raises(ValueError, match=r"expected random: and a joint width from 1 to 4096"):
        load_chinese_text(name)


# ------------------------------------------------------------------------------------------------------ Manifests


def model(tmp_path: Path, name: str = "vifi_clip", backbone: str | Path = "tiny") -> Path:
    zh = NAMES_ZH if name == "dual_semantic_tpr" else None
    checkpoint.save(tmp_path / "model", methods.build(name, load_clip(backbone), NAMES, zh))
    return tmp_path / "model"


PATHS = [
    "./clip", "../clip", "/etc/clip", "~/clip", "C:\\clip", "\\\\server\\share", "clip", "clip.pt", "a/b/c", "a/b.pt",
    "local:clip", "file:clip", "", "a//b", "org/..", "-x/y", "a/b\n",
]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_a_manifest_opens_no_path(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path)
    change(path / "manifest.json", backbone__name=name)
    opened = []
    monkeypatch.setattr(hugging_face, "from_folder", lambda folder, **_: opened.append(folder))
    monkeypatch.setattr(openai, "from_file", lambda file: opened.append(file))
    with pytest.raises(
        ValueError, match=r"only you know where it is: give its folder or file once \(`--backbone PATH`"
    ):
        checkpoint.load(path)
    assert opened == []


def test_a_hub_name_is_not_the_folder_that_happens_to_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path)
    shutil.copytree(ASSETS / "tiny_clip", tmp_path / "openai" / "no-such-clip")
    change(path / "manifest.json", backbone__name="openai/no-such-clip")
    with pytest.raises(ValueError, match=r"model: cannot get 'openai/no-such-clip' from the hub .*--backbone PATH"):
        checkpoint.load(path)
    assert load_clip("openai/no-such-clip").fingerprint() == load_clip("tiny").fingerprint()  # the user asks for it
    method, _ = checkpoint.load(path, backbone="openai/no-such-clip")
    assert method.clip.path == tmp_path / "openai" / "no-such-clip"


def test_the_hash_decides_about_a_backbone_that_is_given(folder, tmp_path):
    path = model(tmp_path)
    with pytest.raises(ValueError, match=r"was trained on a backbone 'tiny' with weights .* get the same checkpoint"):
        checkpoint.load(path, backbone="random:nano")


def test_a_backbone_that_the_user_gave_is_found_again(folder, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path, backbone="./clip")
    manifest = (path / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(manifest)["backbone"]["name"] == "local:clip"
    assert str(tmp_path) not in manifest
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    method, _ = checkpoint.load(path)
    assert method.clip.path == folder
    assert len(list((cache / given.FOLDER).iterdir())) == 1

    shutil.rmtree(cache)  # another user
    with pytest.raises(ValueError, match=r"model was trained on a backbone 'local:clip' .*`--backbone PATH`"):
        checkpoint.load(path)
    checkpoint.load(path, backbone=folder)  # once
    checkpoint.load(path)
    folder.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=r"only you know where it is"):
        checkpoint.load(path)
    shutil.copytree(tmp_path / "moved", folder)
    state = load_file(folder / "model.safetensors")
    state["logit_scale"] += 1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"but the one here is .*; get the same checkpoint"):
        checkpoint.load(path)


def test_a_cache_that_cannot_be_written_fails_no_load(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "file"))
    path = model(tmp_path, backbone=folder)
    with pytest.raises(ValueError, match="only you know where it is"):
        checkpoint.load(path)
    checkpoint.load(path, backbone=folder)


@pytest.mark.parametrize("sha256", ["../../../etc/passwd", "A" * 64, "0" * 63, 5, None, ["0"]])
def test_a_hash_is_no_path(sha256, tmp_path):
    path = model(tmp_path)
    change(path / "manifest.json", backbone__sha256=sha256)
    with pytest.raises(ValueError, match=r"manifest.json: backbone: expected a sha256 of 64 hexadecimal digits"):
        checkpoint.load(path)


def test_a_manifest_opens_no_chinese_folder_either(folder_zh, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path, "dual_semantic_tpr")
    shutil.copytree(folder_zh, tmp_path / "org" / "name")
    for name in ("./clip_zh", str(folder_zh), "clip_zh", "org/name", "random:99999", "random:1e9", "../x", ""):
        change(path / "manifest.json", config__chinese=name)
        with pytest.raises(ValueError, match=r"model names the Chinese text tower .* does not open paths"):
            checkpoint.load(path)
    load_chinese_text("./clip_zh")
    change(path / "manifest.json", config__chinese="./clip_zh")
    checkpoint.load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("class_names", ["a"] * 10_001, "class_names: expected at most 10000 names"),
        ("class_names", ["a", 5], "class_names: expected at most 10000 names"),
        ("class_names", "waving", "class_names: expected at most 10000 names"),
        ("class_names", None, "class_names: expected at most 10000 names, got None"),
        ("class_names_zh", [1], "class_names_zh: expected null or at most 10000 names"),
        ("config", [], "config: expected an object"),
        ("method", 5, "method: expected a name"),
        ("method", "../../x", "no method"),
        ("backbone", "tiny", "backbone: expected a name and a sha256"),
        ("format", 2, "expected a model of format 1"),
    ],
)
def test_entries_of_a_manifest_are_checked(field, value, message, tmp_path):
    path = model(tmp_path)
    change(path / "manifest.json", **{field: value})
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.load(path)
    assert len(str(caught.value)) < 500


def test_a_manifest_has_at_most_16_mb(tmp_path):
    path = model(tmp_path)
    change(path / "manifest.json", note="x" * (17 << 20))
    with pytest.raises(ValueError, match=r"manifest.json: expected at most 16 MB of text, got 17 MB"):
        checkpoint.load(path)


NUMBERS = [
    (name, option)
    for name in methods.names()
    for option, value in vars(methods.get(name).Config()).items()
    if isinstance(value, int | float) and not isinstance(value, bool)
]


@pytest.mark.parametrize(("name", "option"), NUMBERS)
def test_numbers_of_a_manifest_do_not_make_models_larger_than_their_weights(name, option, tmp_path):
    path = model(tmp_path, name, "random:nano")
    before = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["config"][option]
    whole = isinstance(before, int)
    for value in (10**9, 10**5, -1, float("nan")) if whole else (1e300, float("nan"), float("inf")):
        change(path / "manifest.json", **{f"config__{option}": value})
        with contextlib.suppress(ValueError):  # but for an option that makes no tensor
            method, _ = checkpoint.load(path)
            assert abs(getattr(method.config, option)) <= 10**5
            assert sum(p.numel() for p in method.parameters()) < 2**26
    change(path / "manifest.json", **{f"config__{option}": before})
    checkpoint.load(path)


def test_layers_of_a_manifest_are_not_built_before_they_are_counted(tmp_path):
    method = methods.build("actionclip", load_clip("tiny"), NAMES)
    checkpoint.save(tmp_path / "model", method)
    change(tmp_path / "model" / "manifest.json", config__num_layers=99_999)
    with pytest.raises(
        ValueError, match=r"the options of its manifest ask for a far larger model than its weights are"
    ):
        checkpoint.load(tmp_path / "model")


# ------------------------------------------------------------------------------------------------ Thousands of labels


def test_more_labels_than_a_model_can_have_are_refused():
    names = [f"class {index}" for index in range(10_001)]
    with pytest.raises(ValueError, match=r"expected at most 10,000 class names, got 10,001"):
        methods.build("vifi_clip", load_clip("random:nano"), names)
    method = methods.build("vifi_clip", load_clip("random:nano"), NAMES)
    with pytest.raises(ValueError, match=r"expected at most 10,000 class names, got 10,001"):
        method.set_classes(names)


@torch.no_grad()
def test_texts_are_encoded_in_parts_with_the_same_result(monkeypatch):
    from actionprompt.backbone import text

    clip, chinese = load_clip("tiny"), load_chinese_text("tiny_zh")
    texts = [f"{'walking ' * (index % 7)}number {index}" for index in range(20)]
    whole, whole_zh = clip.text(texts), chinese(texts).sentence
    seen = []
    clip.text.layers[0].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    monkeypatch.setattr(text, "TEXTS_AT_ONCE", 6)
    parts = clip.text(texts)
    assert seen == [6, 6, 6, 2]
    torch.testing.assert_close(parts.sentence, whole.sentence)
    torch.testing.assert_close(parts.words, whole.words)
    torch.testing.assert_close(clip.text.sentences(texts), whole.sentence)
    torch.testing.assert_close(chinese(texts).sentence, whole_zh)
    with torch.enable_grad():  # a training needs all texts in one graph
        seen.clear()
        clip.text(texts)
        assert seen == [20]
