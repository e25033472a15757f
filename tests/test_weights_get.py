"""How a CLIP comes from the hub: fetched, checked, found again without a network, and what is said where it is not."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

import actionprompt
import hubs
import plain_open_clip
from actionprompt import checkpoint, commands, methods
from actionprompt.commands import _shared
from actionprompt.files import Notice
from actionprompt.method import Method
from actionprompt.weights import AUTO, DEFAULT, FAMILIES, TINY_WARNING, hub, is_tiny, load_clip, load_named
from actionprompt.weights.known import KNOWN
from actionprompt.weights.tokenizer import nano_tokenizer
from actionprompt.world.drawn import tiny_warnings

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def nano(tmp_path_factory) -> Path:
    return hubs.write_clip("random:nano", tmp_path_factory.mktemp("nano") / "clip")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


# Without a network ---------------------------------------------------------------------------------------------------


def test_the_default_is_found_in_the_hubs_cache_offline(nano, home):
    hubs.write_cache(nano, home, DEFAULT)
    clip = load_clip(AUTO)
    assert clip.name == clip.public_name == DEFAULT  # what a record says: never `auto`
    assert clip.path is None
    assert clip.fingerprint() == load_clip(DEFAULT).fingerprint() == load_clip("random:nano").fingerprint()


def test_a_local_folder_of_that_name_is_not_the_default(nano, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(nano, tmp_path / DEFAULT)
    with pytest.raises(ValueError, match="cannot get"):
        load_clip(AUTO)
    assert load_clip(DEFAULT).path == tmp_path / DEFAULT


@pytest.mark.slow
def test_the_default_at_full_size_is_found_in_the_hubs_cache_offline(home, tmp_path):
    hubs.write_cache(hubs.write_clip("random:ViT-B/16", tmp_path / "clip"), home, DEFAULT)
    clip = load_clip(AUTO)
    assert (clip.name, clip.embed_dim, clip.image.image_size) == (DEFAULT, 512, 224)
    assert torch.equal(clip.image.projection.weight, load_clip("random:ViT-B/16").image.projection.weight)


def three_ways(name: str) -> str:
    return (
        rf"cannot get '{name}' from the hub \(HF_HUB_OFFLINE is set\): connect once, or run `actionprompt weights get "
        rf"{name} --out DIR` on a connected machine and copy DIR; or give a CLIP that you have, .* or take `--backbone "
        r"tiny`, which knows ActionWorld's drawings alone$"
    )


@pytest.mark.parametrize("name", [AUTO, DEFAULT])
def test_where_it_cannot_be_had_three_ways_out_are_named(name, home):
    with pytest.raises(ValueError, match=three_ways(DEFAULT)) as caught:
        load_clip(name)
    assert "\n" not in str(caught.value)
    assert not home.exists()  # nothing is left


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_copy_in_the_cache_that_lacks_a_file_is_no_copy(gone, nano, home):
    store = hubs.write_cache(nano, home, DEFAULT)
    (store / "snapshots" / hubs.COMMIT / gone).resolve().unlink()  # the link stays
    assert hub.cached(DEFAULT) is None
    with pytest.raises(ValueError, match=three_ways(DEFAULT)):
        load_clip(AUTO)


def test_names_that_are_none_are_answered_in_one_line(home):
    for name in ("tniy", "a/b/c", "--x", ""):
        with pytest.raises(ValueError, match=r"^[^\n]*$"):
            load_clip(name)


# What is needed ------------------------------------------------------------------------------------------------------


def test_one_tokeniser_and_one_form_of_weights_are_taken():
    small = ["config.json", "vocab.json", "merges.txt"]
    rest = ["README.md", "flax_model.msgpack", "tf_model.h5", "model.fp16.safetensors"]
    assert hub.needed([*small, *rest]) == []
    assert hub.needed([*small, *rest, "pytorch_model.bin"]) == [*small, "pytorch_model.bin"]
    assert hub.needed([*small, "pytorch_model.bin", "model.safetensors"]) == [*small, "model.safetensors"]
    both, chinese = [*small, "tokenizer.json", "pytorch_model.bin"], ["config.json", "vocab.txt", "pytorch_model.bin"]
    assert hub.needed(both) == ["config.json", "tokenizer.json", "pytorch_model.bin"]
    assert hub.needed(chinese) == chinese
    siglip = ["config.json", "spiece.model", "model.safetensors"]
    assert hub.needed(siglip) == siglip
    assert hub.needed([*siglip, "tokenizer.json"]) == ["config.json", "tokenizer.json", "model.safetensors"]
    assert hub.needed([*small, "x"], weights=False) == small
    index, parts = "model.safetensors.index.json", [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert hub.needed([*small, index, *parts]) == [*small, index, *parts]
    assert hub.needed([*small, index, parts[0]]) == []
    assert hub.needed(["tokenizer.json", "model.safetensors"]) == []


def test_of_two_formats_hugging_faces_is_taken_where_it_is_whole():
    both = ["config.json", "tokenizer.json", "open_clip_config.json", "open_clip_pytorch_model.bin", "README.md"]
    whole = ["config.json", "tokenizer.json", "model.safetensors"]
    assert hub.needed([*both, "model.safetensors"]) == whole
    assert hub.needed(both) == ["open_clip_config.json", "tokenizer.json", "open_clip_pytorch_model.bin"]
    assert hub.needed([*both, "open_clip_model.safetensors"])[-1] == "open_clip_model.safetensors"
    assert hub.needed([*both, "open_clip_pytorch_model.safetensors"])[-1] == "open_clip_pytorch_model.safetensors"
    alone = ["open_clip_config.json", "open_clip_model.safetensors"]  # its vocabulary is OpenAI's
    assert hub.needed(alone) == alone
    assert hub.needed(alone, weights=False) == alone[:1]
    assert hub.needed(alone[:1]) == []


@pytest.mark.parametrize("name", ["siglip2-nano", "altclip-nano", "chinese-clip-nano", "metaclip2-nano"])
def test_every_family_is_found_in_the_hubs_cache_offline(name, home, tmp_path):
    hubs.write_cache(hubs.write_clip(f"random:{name}", tmp_path / "model"), home, "me/model")
    clip = load_clip("me/model")
    assert (clip.name, clip.path, clip.family) == ("me/model", None, load_clip(f"random:{name}").family)
    assert clip.fingerprint() == load_clip(f"random:{name}").fingerprint()
    again = load_named("me/model", clip.fingerprint(), model="a model")
    assert again.fingerprint() == clip.fingerprint()


def test_the_format_of_open_clip_is_found_in_the_hubs_cache_offline(home, tmp_path, capsys, own_console):
    cfg = plain_open_clip.small()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": {}}))
    save_file(plain_open_clip.draw(cfg), folder / "open_clip_model.safetensors")
    nano_tokenizer("clip").save(folder)
    hubs.write_cache(folder, home, "me/open")
    clip = load_clip("me/open")
    assert (clip.name, clip.family) == ("me/open", "open_clip")
    assert clip.fingerprint() == load_clip(folder).fingerprint()
    assert commands.main(["weights", "get", "me/open", "--out", str(tmp_path / "stick")]) == 0
    assert f"sha256 {clip.fingerprint()}" in capsys.readouterr().out
    assert load_clip(tmp_path / "stick").fingerprint() == clip.fingerprint()


# From a hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(nano, home, monkeypatch):
    """A hub that serves `me/clip`, and that this process asks; with chunks of 500 bytes, where the hub has 10 MB."""
    with hubs.serving(nano) as serving:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", serving.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", serving.url)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
        yield serving


def the_clip() -> str:
    return load_clip("random:nano").fingerprint()


def blobs(home: Path) -> Path:
    return home / "models--me--clip" / "blobs"


def test_get_fetches_checks_and_names_with_the_variables_of_the_hub(nano, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    with hubs.serving(nano) as serving:  # a process of its own: huggingface_hub reads its variables once
        env |= {"HF_ENDPOINT": serving.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_mine"}
        command = [sys.executable, "-m", "actionprompt", "weights", "get", "me/clip", "--out", "stick"]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
        assert {token for _, _, token in serving.asked} == {"Bearer hf_mine"}
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr
    size, store = sum(path.stat().st_size for path in nano.iterdir()), tmp_path / "home" / "hub" / "models--me--clip"
    assert done.stderr.startswith(f"note: fetching me/clip from the hub: {size / 1e6:.1f} MB into {store}")
    clip = load_clip("random:nano")
    count = sum(parameter.numel() for parameter in clip.parameters())
    sizes = f"embeddings of 16, images of 32 px, texts of up to 128 tokens, {count / 1e6:.1f} M parameters"
    said = f"me/clip: clip, {sizes}, sha256 {clip.fingerprint()}"
    assert done.stdout.splitlines() == [
        said, "folder: stick", "copy stick to a machine without a network, and give it there: --backbone stick",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "stick").iterdir()) == sorted(path.name for path in nano.iterdir())
    assert not any(path.is_symlink() for path in (tmp_path / "stick").iterdir())
    assert load_clip(tmp_path / "stick").fingerprint() == clip.fingerprint()


def test_what_is_there_is_compared_and_mended(server, home, capsys, own_console, monkeypatch):
    assert commands.main(["weights", "get", "me/clip"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    server.asked.clear()
    assert commands.main(["weights", "get", "me/clip"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == said
    assert server.asked == []
    blob = next(path for path in blobs(home).iterdir() if len(path.name) == 64)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    assert commands.main(["weights", "get", "me/clip"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == said
    assert [name for name, _, _ in server.asked] == ["model.safetensors"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert commands.main(["weights", "get", "me/clip"]) == 0
    assert "(HF_HUB_OFFLINE is set); the copy in the local cache is taken" in capsys.readouterr().err


def test_the_cache_is_one_for_other_programs_too(server, home):
    from huggingface_hub import scan_cache_dir, snapshot_download

    folder = hub.get("me/clip")
    assert folder == hub.cached("me/clip") == Path(snapshot_download("me/clip", local_files_only=True, cache_dir=home))
    found = scan_cache_dir(home)
    assert [(repo.repo_id, repo.nb_files) for repo in found.repos] == [("me/clip", len(server.files))]
    assert not found.warnings


def test_a_download_that_is_cut_resumes_where_it_was_cut(server):
    server.cut = [1000, 2000]
    told: list[tuple[int, int]] = []
    hub.get("me/clip", progress=lambda done, total: told.append((done, total)))
    asked = [span for name, span, _ in server.asked if name == "model.safetensors"]
    assert asked == ["", "bytes=1000-", "bytes=3000-"]
    assert load_clip("me/clip").fingerprint() == the_clip()
    size = sum(len(content) for content in server.files.values())
    assert told == sorted(told)
    assert told[-1] == (size, size)


def test_a_hub_that_is_gone_after_a_cut_is_named_and_the_next_call_resumes(server, capsys, own_console, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    server.cut, server.gone_after_cut = [4000], True
    assert commands.main(["weights", "get", "me/clip"]) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: cannot get 'me/clip' from the hub (")
    assert "; 0.0 MB of a file are kept, and the next call resumes there): connect and call it again" in last
    assert printed.out == ""
    assert hub.cached("me/clip") is None  # no half file is taken for a whole one
    with pytest.raises(ValueError, match=r"cannot get 'me/clip' from the hub .*: connect once, or run"):
        load_clip("me/clip")
    server.gone = server.gone_after_cut = False
    server.asked.clear()
    hub.get("me/clip")
    assert [(name, span) for name, span, _ in server.asked] == [("model.safetensors", "bytes=4000-")]
    assert load_clip("me/clip").fingerprint() == the_clip()


@pytest.mark.parametrize("wrong", ["model.safetensors", "tokenizer.json"])
def test_a_file_with_another_hash_is_refused_and_not_kept(wrong, server, home, capsys, own_console):
    server.wrong.add(wrong)
    assert commands.main(["weights", "get", "me/clip"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.splitlines()[-1]
    assert last.startswith(f"error: me/clip: {wrong} arrived with another content than the hub lists")
    assert hub.cached("me/clip") is None
    expected = hubs.hash_of(server.files[wrong], large=hubs.is_large(Path(wrong)))
    assert not any(path.name.startswith(expected) for path in blobs(home).iterdir())
    server.wrong.clear()
    hub.get("me/clip")
    assert load_clip("me/clip").fingerprint() == the_clip()


def test_what_is_no_clip_is_refused_before_its_weights_come(server):
    server.files["config.json"] = json.dumps({"model_type": "bert"}).encode()
    with pytest.raises(ValueError, match=r"^expected a model of type clip, .*, but me/clip is 'bert'; choose another"):
        hub.get("me/clip")
    assert "model.safetensors" not in {name for name, _, _ in server.asked}
    towers = {"vision_cfg": {"timm_model_name": "vit_base_patch16_224"}, "text_cfg": {}}
    del server.files["config.json"]
    server.files["open_clip_config.json"] = json.dumps({"model_cfg": towers}).encode()
    with pytest.raises(ValueError, match=r"^me/clip has an image tower of timm, 'vit_base_patch16_224': expected Open"):
        hub.get("me/clip")
    assert "model.safetensors" not in {name for name, _, _ in server.asked}
    del server.files["model.safetensors"]
    with pytest.raises(ValueError, match=r"^me/clip is no CLIP in Hugging Face format: expected config.json, .* lists"):
        hub.get("me/clip")


def test_a_model_that_is_not_on_the_hub_is_named(server):
    said = r"^cannot get 'me/other' from the hub \(the hub has no such model, or not for everyone: then set HF_TOKEN\)"
    with pytest.raises(ValueError, match=said):
        load_clip("me/other")


def test_the_vocabulary_alone_is_fetched_where_weights_are_at_hand(server):
    folder = hub.folder("me/clip", weights=False)
    assert "model.safetensors" not in {name for name, _, _ in server.asked}
    assert hub.cached("me/clip") is None
    assert hub.cached("me/clip", weights=False) == folder


def test_a_full_disk_is_named_with_the_file(server, home, monkeypatch):
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hub._Counted, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        hub.get("me/clip")
    assert str(caught.value.filename).startswith(str(blobs(home)))


def test_a_verb_fetches_a_backbone_and_says_its_size_before(server):
    with pytest.warns(Notice, match=r"^fetching me/clip from the hub: \d+\.\d MB into "):
        assert _shared.fetch("me/clip") == "me/clip"
    assert load_clip("me/clip").fingerprint() == the_clip()
    server.asked.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _shared.fetch("me/clip") == "me/clip"
    assert server.asked == []


def test_auto_is_tiny_for_actionworld_and_where_no_clip_is_used(home):
    assert _shared.fetch("auto", dataset="actionworld") == _shared.fetch("auto", method="i3d_flow") == "tiny"
    with pytest.raises(ValueError, match=three_ways(DEFAULT)):
        _shared.fetch("auto", dataset="hmdb51", method="zeroshot")
    for name in ("tiny", "random:nano", "./folder", "file.pt"):
        assert _shared.fetch(name) == name


# The verb ------------------------------------------------------------------------------------------------------------


def test_out_holds_nothing_else(nano, home, tmp_path, capsys, own_console):
    hubs.write_cache(nano, home, DEFAULT)
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "pytorch_model.bin").write_text("other weights")
    assert commands.main(["weights", "get", "--out", str(tmp_path / "stick")]) == 2
    assert "expected a new or empty folder, but it holds 'pytorch_model.bin'" in capsys.readouterr().err
    assert (tmp_path / "stick" / "pytorch_model.bin").read_text() == "other weights"


def test_list_says_what_is_here(nano, home, capsys):
    hubs.write_cache(nano, home, DEFAULT)
    assert commands.main(["weights", "list"]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    rows = {line[0]: line[-1] for line in lines if line and line[-1] in ("yes", "no")}
    assert [name for name, here in rows.items() if here == "yes"] == [DEFAULT, "tiny"]
    assert rows.keys() == {*KNOWN, "tiny"}
    assert max(len(line.rstrip()) for line in text.splitlines() if line.split()[-1:] == ["no"]) < 80, "for a terminal"
    assert {known.family for known in KNOWN.values()} == {*FAMILIES}


def test_what_is_said_to_be_checked_has_a_record():
    record = json.loads((Path(__file__).parents[1] / "results" / "costs" / "parity.json").read_text())
    for name, measured in record["models"].items():
        assert measured["family"] == KNOWN[name].family
        for what, difference in measured.items():
            if what not in ("family", "parameters"):
                assert difference <= record["limits"]["logits" if "logits" in what else "embeddings"], (name, what)
    assert {name for name, known in KNOWN.items() if known.checked} == record["models"].keys()


@pytest.mark.parametrize("args", [[], ["--help"], ["get", "--help"]])
def test_help_is_an_answer(args, capsys):
    try:
        code = commands.main(["weights", *args])
    except SystemExit as stop:
        code = stop.code or 0
    assert code == 0
    assert "usage: actionprompt weights" in capsys.readouterr().out


def test_other_words_are_refused(capsys, own_console):
    assert commands.main(["weights", "fetch"]) == 2
    assert "expected `weights get` or `weights list`, got fetch" in capsys.readouterr().err


# Whose drawings it knows ---------------------------------------------------------------------------------------------


def test_a_clip_is_tiny_by_its_vocabulary_whatever_it_is_called(tmp_path):
    folder = Path(actionprompt.__file__).parent / "assets" / "tiny_clip"
    shutil.copytree(folder, tmp_path / "mine")
    assert is_tiny(load_clip("tiny"))
    assert is_tiny(load_clip(tmp_path / "mine"))
    assert not is_tiny(load_clip("random:nano"))
    assert not is_tiny(load_clip("random:ViT-B/32"))


def save_trained(method: Method, folder: Path) -> None:
    """A model folder as training leaves it, its trained tensors moved."""
    method.clip_sha256 = method.clip.fingerprint()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter += 0.01
    checkpoint.save(folder, method)


@pytest.mark.parametrize("method", ["vifi_clip", "zeroshot"])
def test_what_is_trained_on_tiny_is_tiny(method, tmp_path):
    built = methods.build(method, load_clip("tiny"), ["a", "b"])
    save_trained(built, tmp_path / "model")
    assert is_tiny(checkpoint.load(tmp_path / "model")[0].clip)
    if method == "vifi_clip":
        towers = load_clip(tmp_path / "model")
        assert towers.name.startswith("run:")
        assert is_tiny(towers)


@pytest.mark.parametrize("name", ["siglip2-nano", "altclip-nano", "clipa-nano"])
def test_towers_that_a_training_has_tuned_are_a_backbone_of_the_same_family(name, tmp_path):
    base = load_clip(f"random:{name}")
    built = methods.build("vifi_clip", load_clip(f"random:{name}"), ["a", "b"])
    save_trained(built, tmp_path / "model")
    towers = load_clip(tmp_path / "model")
    assert (towers.family, towers.pixels) == (base.family, base.pixels)
    assert towers.fingerprint() == built.clip.fingerprint() != base.fingerprint()
    assert not is_tiny(towers)


def test_the_warning_is_for_videos_that_actionworld_did_not_draw(tmp_path):
    drawn = EXAMPLES / "handstand.mp4"
    other = Path(shutil.copy(drawn, tmp_path / "guitar.mp4"))
    tiny, nano = (methods.build("zeroshot", load_clip(name), ["a", "b"]) for name in ("tiny", "random:nano"))
    assert tiny_warnings(tiny, [drawn]) == []
    assert tiny_warnings(tiny, [drawn, other]) == [TINY_WARNING]
    assert tiny_warnings(nano, [other]) == []
    assert tiny_warnings(methods.build("i3d_flow", load_clip("tiny"), ["a", "b"]), [other]) == []
