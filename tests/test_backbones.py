"""Verbs on a folder of another family: SigLIP 2, from teaching to a timeline, and what a model of it refuses."""

import csv
import json

import numpy as np
import pytest
import torch
from transformers import SiglipConfig, SiglipModel

from actionprompt.commands import main
from actionprompt.video import write_video
from actionprompt.weights import load_clip
from actionprompt.weights.tokenizer import nano_tokenizer

COLOURS = ("red", "green", "blue")
LABELS = ",".join(COLOURS)
PREPROCESSOR = {
    "image_processor_type": "SiglipImageProcessor", "do_resize": True, "resample": 2, "do_rescale": True,
    "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {"max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
"""Longer than the published 64, since the tokeniser has a token for every letter."""
WIDE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 2, "num_attention_heads": 12}


def siglip2(folder, tower: dict, image_size: int) -> str:
    """A fixed-size SigLIP 2 with random weights, written by transformers."""
    tokenizer = nano_tokenizer("siglip2")
    torch.manual_seed(0)
    model = SiglipModel(
        SiglipConfig(
            text_config={**tower, **TEXT, "vocab_size": len(tokenizer)},
            vision_config={**tower, "image_size": image_size, "patch_size": 16},
        )
    )
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-10.0)
    model.save_pretrained(folder)
    tokenizer.save(folder)
    size = {"height": image_size, "width": image_size}
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, "size": size}))
    return str(folder)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, list[str]]:
    """Three clips of each of three colours, in no square shape."""
    folder, rng, made = tmp_path_factory.mktemp("films"), np.random.default_rng(0), {}
    for channel, name in enumerate(COLOURS):
        paths = [folder / f"{name}{index}.mp4" for index in range(3)]
        for path in paths:
            frames = rng.integers(0, 20, (20, 40, 64, 3), dtype=np.uint8)
            frames[..., channel] += 200
            write_video(path, frames, fps=10)
        made[name] = [str(path) for path in paths]
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def answer(args: list[str], capsys) -> tuple[int, str, str]:
    code = main(args)
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("tower", "image_size"), [(TOWER, 32), pytest.param(WIDE, 224, marks=pytest.mark.slow)], ids=["nano", "wide"]
)
def test_teach_predict_timeline_and_explain_on_a_siglip_2(tower, image_size, films, tmp_path, capsys, own_console):
    folder, taught = siglip2(tmp_path / "siglip2", tower, image_size), str(tmp_path / "colours")
    assert load_clip(folder).family == "siglip"
    clips = [f"{name}={path}" for name, paths in films.items() for path in paths]
    code, _, err = answer(["teach", *clips, "--out", taught, "--backbone", folder], capsys)
    assert code == 0, err
    manifest = json.loads((tmp_path / "colours" / "model" / "manifest.json").read_text())
    assert manifest["backbone"]["sha256"] == load_clip(folder).fingerprint()

    video = films["red"][0]
    for asked in (["--labels", LABELS, "--backbone", folder], ["--model", taught]):
        code, out, err = answer(["predict", video, *asked, "--json", "-"], capsys)
        assert code == 0, err
        about = json.loads(out)
        assert json.dumps(about).count(manifest["backbone"]["sha256"]) >= 1
        code, out, err = answer(["timeline", video, *asked, "--out", str(tmp_path / f"t{len(asked)}")], capsys)
        assert code == 0, err
        rows = list(csv.DictReader((tmp_path / f"t{len(asked)}" / "red0.csv").open()))
        assert rows
        assert {row["label"] for row in rows} <= {*COLOURS, ""}, "no label where it is none of these"
    code, _, err = answer(["explain", video, "--model", taught, "--out", str(tmp_path / "map.png")], capsys)
    assert code == 0, err
    assert (tmp_path / "map.png").stat().st_size > 1000
    code, _, err = answer(["predict", video, "--model", taught, "--backbone", "random:siglip2-nano"], capsys)
    assert code == 2
    assert "backbone" in err
