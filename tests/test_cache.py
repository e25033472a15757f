"""The suite leaves the user's cache alone, and what a user has given does not stand for what is built in."""

import shutil
from pathlib import Path

import actionprompt
from actionprompt import checkpoint, methods
from actionprompt.config import cache_root
from actionprompt.weights import given, load_clip


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
