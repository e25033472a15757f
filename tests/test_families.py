"""Every family in Hugging Face format next to transformers' own models, every tensor of them random, so that what a
loader drops or mixes up shows in an embedding."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import hubs
from actionprompt.backbone import CLIP
from actionprompt.config import Pixels
from actionprompt.weights import FAMILIES, families, hub, load_chinese_text, load_clip, random
from actionprompt.weights.assemble import assemble, sizes
from actionprompt.weights.pixels import DEFAULTS
from actionprompt.weights.tokenizer import nano_tokenizer

TEXTS = ["waving a hand", "Running!", "running", "x", "a video of a person doing jumping jacks, twice", "a </s> b"]
TEXTS_ZH = ["挥手", "在公园里打太极拳", "Running!", "running", "a 跑步 b", "挥 [SEP] 手"]
NAFLEX_NANO = random._config("siglip2", (32, 16, 32, 2), (32, 2), None, head=8, positions=64, vocab_size=262)
NAFLEX_NANO["vision_config"]["num_patches"] = 4
VIT_B16 = random.CONFIGS["ViT-B/16"]
VIT_B16 = {**VIT_B16, "text_config": {**VIT_B16["text_config"], "eos_token_id": 513}}  # of the small tokeniser
NAFLEX = random._config("siglip2", (256, 16, 768, 12), (768, 12), None, vocab_size=256000)
FORMS = {  # form: (nano shape, full shape, the family of its tokeniser)
    "clip": (random.CONFIGS["nano"], VIT_B16, "clip"),
    "metaclip_2": (random.CONFIGS["metaclip2-nano"], random.CONFIGS["MetaCLIP2-B/32"], "metaclip_2"),
    "siglip": (random.CONFIGS["siglip-nano"], random.CONFIGS["SigLIP-B/16"], "siglip"),
    "siglip2 fixed": (random.CONFIGS["siglip2-nano"], random.CONFIGS["SigLIP2-B/16"], "siglip2"),
    "siglip2 naflex": (NAFLEX_NANO, NAFLEX, "siglip2"),
    "altclip": (random.CONFIGS["altclip-nano"], random.CONFIGS["AltCLIP"], "altclip"),
    "chinese_clip": (random.CONFIGS["chinese-clip-nano"], random.CONFIGS["Chinese-CLIP-B/16"], "chinese_clip"),
}


def their_config(config: dict):
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[config["model_type"]](**{k: v for k, v in config.items() if k != "model_type"})


@torch.no_grad()
def randomise(model: torch.nn.Module) -> None:
    """Every tensor of a model of transformers, such that activations stay of unit size."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.normal_(generator=generator)
        if name in ("logit_scale", "logit_bias"):
            parameter.copy_(parameter.abs() + 2)
        elif "probe" not in name and parameter.ndim > 1:
            parameter.mul_(0.3 if "embedding" in name and "patch" not in name else parameter[0].numel() ** -0.5)
        elif re.search("norm.*weight|LN.weight", name, re.IGNORECASE):
            parameter.mul_(0.1).add_(1)
        elif "class_embedding" not in name:
            parameter.mul_(0.1)


def write(config: dict, tokens: str, folder: Path):
    """transformers' model of a configuration, random and stored in a folder with its tokeniser."""
    from transformers import AutoModel
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = AutoModel.from_config(their_config(config)).eval()
    randomise(model)
    model.save_pretrained(folder)
    rows = families.shape_of(config, config["model_type"], folder).vocab_size
    hubs.write_tokenizer(nano_tokenizer(tokens), folder, num_tokens=rows)
    return model


def normalised(frames: np.ndarray, asked: Pixels) -> torch.Tensor:
    """Frames of the side of a tower, pixel-normalised."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (asked.mean, asked.std))
    return (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - mean) / std


def frames_of(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


@torch.no_grad()
def their_outputs(model, texts: list[str], folder: Path) -> dict[str, torch.Tensor]:
    """Embeddings and logits of transformers' model, by its own tokeniser, and NaFlex by its own image processor."""
    from transformers import AutoTokenizer, Siglip2ImageProcessor

    family = model.config.model_type
    shape = families.shape_of(json.loads((folder / "config.json").read_text()), family, folder)
    frames = frames_of(shape.image_size)
    if family == "siglip2":
        grid = shape.image_size // shape.patch_size
        processor = Siglip2ImageProcessor(patch_size=shape.patch_size, max_num_patches=grid**2)
        seen = dict(processor(list(frames), return_tensors="pt"))
    else:
        seen = {"pixel_values": normalised(frames, DEFAULTS[family])}
    fixed = shape.text_pieces.fixed_length
    padding = {"padding": "max_length", "max_length": shape.context_length} if fixed else {"padding": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")  # as SigLIP 2 was trained
    said = tokenizer(texts, return_tensors="pt", **padding)
    said = {key: said[key] for key in ("input_ids", "attention_mask")[: 1 if fixed else 2]}  # SigLIP attends to padding
    return {
        "image": model.get_image_features(**seen).pooler_output,
        "text": model.get_text_features(**said).pooler_output,
        "logits": model(**said, **seen).logits_per_image,
    }


@torch.no_grad()
def differences(theirs: dict[str, torch.Tensor], clip: CLIP, texts: list[str]) -> dict[str, float]:
    """The largest differences of embeddings (raw and L2-normalised) and, relative to the largest, of logits."""
    image, text = clip.image(normalised(frames_of(clip.image.image_size), clip.pixels)), clip.text(texts).sentence
    for embeddings in (theirs["image"], theirs["text"]):
        assert embeddings.std() > 0.05
        assert (embeddings[0] - embeddings[1]).abs().max() > 1e-2
    unit_image, unit_text = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
    found = {
        "image": image - theirs["image"],
        "text": text - theirs["text"],
        "image, L2-normalised": unit_image - F.normalize(theirs["image"], dim=-1),
        "text, L2-normalised": unit_text - F.normalize(theirs["text"], dim=-1),
        "logits, relative": (clip.logits(unit_image, unit_text) - theirs["logits"]) / theirs["logits"].abs().max(),
    }
    return {key: float(value.abs().max()) for key, value in found.items()}


def check(model, clip: CLIP, texts: list[str], folder: Path) -> None:
    check_small(differences(their_outputs(model, texts, folder), clip, texts))


def check_small(found: dict[str, float]) -> None:
    for what, difference in found.items():
        assert difference <= (1e-4 if "logits" in what else 1e-5), (what, difference)


@pytest.fixture(scope="module", params=FORMS)
def stored(request, tmp_path_factory):
    """A nano model of every form: its folder, transformers' model and ours."""
    config, _, tokens = FORMS[request.param]
    folder = tmp_path_factory.mktemp("model")
    model = write(config, tokens, folder)
    return folder, model, load_clip(folder)


def texts_of(family: str) -> list[str]:
    return TEXTS_ZH if family == "chinese_clip" else TEXTS


# Parity ---------------------------------------------------------------------------------------------------------------


def test_embeddings_and_logits_are_those_of_transformers(stored):
    folder, model, clip = stored
    assert clip.family == model.config.model_type
    check(model, clip, texts_of(clip.family), folder)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_embeddings_and_logits_are_those_of_transformers_at_full_size(form, tmp_path, record_property):
    _, config, tokens = FORMS[form]
    model, texts = write(config, tokens, tmp_path), texts_of(config["model_type"])
    theirs = their_outputs(model, texts, tmp_path)
    del model  # up to 3.5 GB
    found = differences(theirs, load_clip(tmp_path), texts)
    record_property(form, found)
    print(f"\n{form}: " + ", ".join(f"{what} {value:.1e}" for what, value in found.items()))
    check_small(found)
    (tmp_path / "model.safetensors").unlink()


def test_the_embedded_chinese_tower_is_that_of_transformers():
    from transformers import BertTokenizer, ChineseCLIPModel

    folder = Path(random.__file__).parents[1] / "assets" / "tiny_clip_zh"
    model = ChineseCLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    texts = ["挥手", "在公园里打太极拳", "Running!", "开门", "长" * 70]
    batch = BertTokenizer(str(folder / "vocab.txt"))(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model.get_text_features(**batch).pooler_output
    torch.testing.assert_close(load_chinese_text("tiny_zh").sentences(texts), expected, rtol=0, atol=1e-5)


# What a loader may drop ----------------------------------------------------------------------------------------------


@torch.no_grad()
def output(clip: CLIP, pixels: torch.Tensor, key: str) -> torch.Tensor:
    """What a weight of that name can change."""
    if key.startswith("vi"):
        return clip.image(pixels)
    return clip.text(["ab", "c"]).sentence if key.startswith("text") else clip.score(torch.tensor([0.5]))


def test_every_tensor_of_a_checkpoint_matters(stored):
    folder, model, _ = stored
    clip, state = load_clip(folder), load_file(folder / "model.safetensors")
    assert len(state) == len(model.state_dict())
    pixels, own = normalised(frames_of(clip.image.image_size), clip.pixels), clip.state_dict()
    before = {key: output(clip, pixels, key) for key in ("vision_model", "text_model", "logit_scale")}
    for key, value in state.items():
        places = families.own_names({key: value}, clip.family)
        assert places, f"{key} is dropped"
        kept = {place: own[place].clone() for place in places}
        for place in places:
            own[place].zero_()
        whole = next(name for name in before if name[:2] == key[:2])
        changed = (output(clip, pixels, key) - before[whole]).abs().max()
        adds_a_constant = re.search(r"(k_proj|self\.key)\.bias$", key)  # to all logits of a softmax
        assert changed > 1e-6 or adds_a_constant, key
        for place, tensor in kept.items():
            assert torch.equal(tensor, places[place].view_as(tensor)), key
            own[place].copy_(tensor)


def test_weights_are_written_under_the_names_that_transformers_writes(stored):
    folder, _, clip = stored
    state = load_file(folder / "model.safetensors")
    ours = families.hugging_face_names(clip.state_dict(), clip.family)
    assert {key: list(value.shape) for key, value in ours.items()} == {k: list(v.shape) for k, v in state.items()}
    assert all(torch.equal(ours[key], value) for key, value in state.items())


EXTRA = {
    "vision_model.embeddings.position_ids": torch.arange(5)[None],
    "text_model.embeddings.position_ids": torch.arange(96)[None],
}
BERT_EXTRA = {
    "vision_model.embeddings.position_ids": torch.arange(5)[None],
    "text_model.{}embeddings.position_ids": torch.arange(130)[None],
    "text_model.{}embeddings.token_type_ids": torch.zeros(1, 130).long(),
    "text_model.{}pooler.dense.weight": torch.randn(32, 32),
    "text_model.{}pooler.dense.bias": torch.randn(32),
}


def test_what_is_left_out_has_a_name_and_anything_else_is_an_error(stored, tmp_path):
    folder, _, clip = stored
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    state = load_file(folder / "model.safetensors")
    extra = BERT_EXTRA if clip.family in ("altclip", "chinese_clip") else EXTRA
    extra = {key.format("roberta." if clip.family == "altclip" else ""): value for key, value in extra.items()}
    save_file({**state, **extra}, tmp_path / "model.safetensors")
    assert load_clip(tmp_path).fingerprint() == clip.fingerprint()
    for key in ("text_model.encoder.layers.0.extra", "vision_model.head.classifier.weight", "classifier.weight"):
        save_file({**state, key: torch.zeros(2)}, tmp_path / "model.safetensors")
        with pytest.raises(
            ValueError, match=r"0 weights are missing .* and 1 are unknown, the first is \['[a-z_0-9.]*"
        ):
            load_clip(tmp_path)
    shape = families.shape_of(json.loads((folder / "config.json").read_text()), clip.family, folder)
    for key in [*state][::3]:
        kept = families.own_names({name: value for name, value in state.items() if name != key}, clip.family)
        with pytest.raises(ValueError, match=r"x: [13] weights are missing from the checkpoint, the first is"):
            assemble(shape, kept, clip.tokenizer, name="x", pixels=clip.pixels, where="x")


def test_weights_of_another_shape_are_named_in_a_line(stored):
    folder, _, clip = stored
    state = load_file(folder / "model.safetensors")
    shape = families.shape_of(json.loads((folder / "config.json").read_text()), clip.family, folder)
    special = [key for key in state if "head." in key or "patch_embedding" in key or "logit" in key]
    for key in {*special, *[*state][::20]}:
        for wrong in (torch.zeros(0, 3), torch.zeros(7, 7), torch.zeros(3, 1, 1)):
            own = families.own_names({**state, key: wrong}, clip.family)
            sizes(own)
            with pytest.raises(ValueError, match=r"^x: [^\n]*(expected shape \[|weights are missing)[^\n]*$"):
                assemble(shape, own, clip.tokenizer, name="x", pixels=clip.pixels, where="x")


def test_sizes_and_numbers_of_weights_are_checked_before_anything_is_allocated(stored, tmp_path):
    folder, _, clip = stored
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    for name in families.Fields(config, clip.family, folder).sizes():
        part, _, key = name.rpartition(".")
        wrong = json.loads(json.dumps(config))
        (wrong[part] if part else wrong)[key] = 1 << 18  # a square number
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(
            ValueError, match=rf"config.json: {name}: expected \d+, as the weights have it, got 262144|width"
        ):
            load_clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "model.safetensors")
    key = next(key for key in state if "fc2.bias" in key or "output.dense.bias" in key)
    save_file({**state, key: state[key] * torch.nan}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"{key} is not finite: 32 of its 32 numbers"):
        load_clip(tmp_path)


# Texts ----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_text_does_not_depend_on_its_batch(stored):
    _, _, clip = stored
    texts = texts_of(clip.family)
    alone = F.normalize(torch.cat([clip.text([text]).sentence for text in texts]), dim=-1)
    for together in (clip.text(texts).sentence, clip.text.sentences(texts)):
        torch.testing.assert_close(F.normalize(together, dim=-1), alone, rtol=0, atol=1e-6)


def test_punctuation_and_case_are_those_of_the_original_tokeniser(stored):
    _, _, clip = stored
    plain, loud = clip.text.sentences(["running", "Running!"])
    upper = clip.text.sentences(["RUNNING"])[0]
    lowers = clip.family not in ("metaclip_2", "altclip")  # XLM-R's and XLM-V's words have a case
    assert torch.allclose(plain, upper, atol=1e-6) is lowers
    canonical = clip.family == "siglip" and clip.tokenizer.pad_token_id == clip.tokenizer.eos_token_id
    assert torch.allclose(plain, loud, atol=1e-6) is canonical  # SigLIP reads no punctuation, SigLIP 2 does


def test_a_text_over_the_limit_of_its_family_is_an_error(stored):
    _, _, clip = stored
    limit = {"siglip": 96, "siglip2": 64}.get(clip.family, 128)
    letter = "长" if clip.family == "chinese_clip" else "b"
    ends = clip.tokenizer.num_start + clip.tokenizer.num_end
    assert clip.text.context_length == limit
    assert clip.text([letter * (limit - ends)]).lengths.tolist() == [limit]
    with pytest.raises(ValueError, match=rf"expected texts of at most {limit} tokens, got {limit + 1} for "):
        clip.text(["x", letter * (limit - ends + 1)])


# Configurations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", families.FAMILIES)
def test_defaults_are_those_of_transformers(family):
    config = their_config({"model_type": family})
    for name, value in families.FAMILIES[family].defaults.items():
        part, _, key = name.rpartition(".")
        theirs = getattr(getattr(config, part) if part else config, key, value)  # older versions lack vision_use_head
        if name == "text_config.projection_size":
            assert value is None
            value = config.text_config.hidden_size
        assert theirs == value, name


@pytest.mark.parametrize("family", families.FAMILIES)
def test_what_a_configuration_leaves_out_is_the_default_of_its_family(family):
    """The configurations of SigLIP on the hub have two empty parts, but for their `model_type`."""
    full = their_config({"model_type": family}).to_dict()
    empty = {"model_type": family, "text_config": {"model_type": f"{family}_text_model"}, "vision_config": None}
    assert families.shape_of(empty, family, "x") == families.shape_of(full, family, "x")


@pytest.mark.parametrize("family", ["clip", "metaclip_2", "altclip", "chinese_clip"])
def test_old_configurations_have_a_second_set_of_options_which_counts(family):
    old = {
        "text_config": {"hidden_size": 64, "num_attention_heads": 2, "hidden_act": "gelu", "num_hidden_layers": 3},
        "text_config_dict": {"hidden_size": 96, "num_attention_heads": 4}, "vision_config_dict": {"image_size": 256},
        "vision_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
    }  # fmt: skip
    theirs = their_config({"model_type": family, **json.loads(json.dumps(old))}).to_dict()
    shape = families.shape_of(old, family, "x")
    assert shape == families.shape_of(theirs, family, "x")
    assert (shape.text.width, shape.text.num_heads, shape.image_size) == (96, 4, 256)
    assert shape.text.num_layers != 3


@pytest.mark.parametrize("form", ["metaclip_2", "siglip", "altclip", "chinese_clip"])
def test_the_options_of_each_tower_are_its_own(form, tmp_path):
    config, _, tokens = FORMS[form]
    config = json.loads(json.dumps(config))
    for part, (activation, eps, heads) in {
        "vision_config": ("gelu", 0.3, 2), "text_config": ("quick_gelu", 0.1, 1)
    }.items():  # fmt: skip
        config[part] |= {"hidden_act": activation, "layer_norm_eps": eps, "num_attention_heads": heads}
    model = write(config, tokens, tmp_path)
    check(model, load_clip(tmp_path), texts_of(config["model_type"]), tmp_path)


def test_sides_that_patches_do_not_fill_are_those_of_transformers(tmp_path):
    """Of SigLIP's so400m, whose patches of 14 pixels leave 6 of its 384 out."""
    config = json.loads(json.dumps(random.CONFIGS["siglip-nano"]))
    config["vision_config"]["image_size"] = 40
    model = write(config, "siglip", tmp_path)
    clip = load_clip(tmp_path)
    assert (clip.image.image_size, clip.image.grid) == (40, 2)
    check(model, clip, TEXTS, tmp_path)


REFUSED = {
    "blip": "BlipConfig", "flava": "FlavaConfig", "clipseg": "CLIPSegConfig", "xclip": "XCLIPConfig",
    "owlvit": "OwlViTConfig", "align": "AlignConfig",
}  # fmt: skip


@pytest.mark.parametrize("kind", [*REFUSED, "groupvit", "vision-text-dual-encoder", "bert", None, 3])
def test_other_models_are_refused_by_name_with_what_is_supported(kind, tmp_path):
    import transformers

    if kind in REFUSED:
        assert getattr(transformers, REFUSED[kind]).model_type == kind
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    said = (
        rf"^expected a model of type clip, metaclip_2, siglip, siglip2, altclip, chinese_clip, or one in OpenCLIP's "
        rf"format, but .* is {kind!r}; choose another checkpoint$"
    )
    with pytest.raises(ValueError, match=said):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": f"{kind} of timm"}))
    with pytest.raises(ValueError, match=rf"is '{kind} of timm'; choose another"):
        load_clip(tmp_path)


def test_variants_that_are_no_dual_encoder_are_refused_in_a_line():
    def shape(family: str, text: dict | None = None, **vision: object):
        return families.shape_of({"text_config": text or {}, "vision_config": vision}, family, "config.json")

    with pytest.raises(ValueError, match=r"vision_use_head: expected true, got False: without this head the model has"):
        shape("siglip", vision_use_head=False)
    with pytest.raises(ValueError, match=r"num_patches: expected a square number, got 250"):
        shape("siglip2", num_patches=250)
    with pytest.raises(ValueError, match=r"projection_size: expected 768, the width of the image tower, got 512"):
        shape("siglip", {"projection_size": 512})
    with pytest.raises(ValueError, match=r"projection_size: expected 1152, the width of the image tower, got 768"):
        shape("siglip", hidden_size=1152)
    assert shape("siglip", {"projection_size": 1152}, hidden_size=1152).embed_dim == 1152
    with pytest.raises(
        ValueError, match=r"expected the activation quick_gelu, gelu or gelu_pytorch_tanh, got 'gelu_new'"
    ):
        shape("siglip", hidden_act="gelu_new")
    with pytest.raises(ValueError, match=r"max_position_embeddings: expected more than 2, where texts begin, got 2"):
        shape("altclip", {"max_position_embeddings": 2})
    with pytest.raises(
        ValueError, match=r"vision_config.image_size: expected a whole number of at least 1, got \[2, 3\]"
    ):
        shape("clip", image_size=[2, 3])
    with pytest.raises(ValueError, match=r"text_config: expected an object, got 'siglip'"):
        families.shape_of({"text_config": "siglip"}, "siglip", "config.json")


def test_a_text_projection_of_another_width_than_its_tower_is_that_of_transformers(tmp_path):
    config = json.loads(json.dumps(random.CONFIGS["siglip-nano"]))
    config["text_config"] |= {"hidden_size": 16, "num_attention_heads": 2, "projection_size": 32}
    model = write(config, "siglip", tmp_path)
    check(model, load_clip(tmp_path), TEXTS, tmp_path)


def test_a_text_is_read_at_the_token_that_the_configuration_names(tmp_path):
    model = write(random.CONFIGS["metaclip2-nano"], "metaclip_2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for end in (1, 259, 49407):  # without CLIP's fallback to the last token
        config["text_config"]["eos_token_id"] = end
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=rf"expected </s> as token {end}, where the weights gather a text, got 2"):
            load_clip(tmp_path)
    write(random.CONFIGS["nano"], "clip", tmp_path / "clip")
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2  # as files of OpenAI's models have it: the last one
    (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(tmp_path / "clip").eval()
    check(model, load_clip(tmp_path / "clip"), TEXTS, tmp_path / "clip")


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["siglip", "altclip", "chinese_clip"])
def test_old_pickles_whole_or_in_parts_are_read_as_tensors_alone(family, tmp_path):
    name = next(name for name, config in random.CONFIGS.items() if config["model_type"] == family and "nano" in name)
    folder = hubs.write_clip(f"random:{name}", tmp_path / "model")
    expected = load_clip(folder).fingerprint()
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert load_clip(folder).fingerprint() == expected
    torch.save({**state, "code": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin cannot be read as weights: it (holds|names) .*pathlib"):
        load_clip(folder)
    (folder / "pytorch_model.bin").unlink()
    keys, parts = sorted(state), [f"pytorch_model-0000{part}-of-00002.bin" for part in (1, 2)]
    for part, own in zip(parts, (keys[::2], keys[1::2]), strict=True):
        torch.save({key: state[key] for key in own}, folder / part)
    index = {"weight_map": {key: parts[place % 2] for place, key in enumerate(keys)}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert load_clip(folder).fingerprint() == expected
    assert hub.needed([path.name for path in folder.iterdir()])[-3:] == ["pytorch_model.bin.index.json", *parts]


def test_half_precision_is_read_as_float32(tmp_path):
    folder = hubs.write_clip("random:siglip-nano", tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    save_file({key: value.bfloat16() for key, value in state.items()}, folder / "model.safetensors")
    clip = load_clip(folder)
    assert {parameter.dtype for parameter in clip.parameters()} == {torch.float32}
    torch.testing.assert_close(clip.logit_scale, state["logit_scale"].bfloat16().float()[0])


def test_altclips_layers_have_two_names(tmp_path):
    """In memory, transformers 5 has `encoder.layers.` in both towers, and it stores both as `encoder.layer.`; older
    files have the latter in the text tower alone."""
    folder = hubs.write_clip("random:altclip-nano", tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    assert any(".roberta.encoder.layer.1." in key for key in state)
    assert any("vision_model.encoder.layer.1." in key for key in state)
    renamed = {key.replace("encoder.layer.", "encoder.layers."): value for key, value in state.items()}
    save_file(renamed, folder / "model.safetensors")
    assert load_clip(folder).fingerprint() == load_clip("random:altclip-nano").fingerprint()
    some = next(key for key in state if ".roberta.encoder.layer." in key)
    save_file({**renamed, some: state[some].clone()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 are unknown, the first is \['text_model.roberta.encoder"):
        load_clip(folder)


# Random weights -------------------------------------------------------------------------------------------------------


def test_families_have_random_models_of_nano_size():
    nano = {load_clip(f"random:{name}").family for name in [*random.CONFIGS, *random.OPEN_CLIP] if "nano" in name}
    assert {*FAMILIES} - nano <= {"siglip2"}  # NaFlex, which differs from the fixed size in its files alone


@pytest.mark.parametrize("name", [name for name in random.CONFIGS if "nano" in name])
def test_random_models_are_stored_and_read_again(name, tmp_path):
    clip, again = load_clip(f"random:{name}"), load_clip(hubs.write_clip(f"random:{name}", tmp_path / "model"))
    assert again.fingerprint() == clip.fingerprint()
    assert (again.family, again.pixels, again.embed_dim) == (clip.family, clip.pixels, clip.embed_dim)
    assert again.tokenizer.encode(TEXTS) == clip.tokenizer.encode(TEXTS)
    text = F.normalize(clip.text.sentences(["挥手", "跑步", "running"]), dim=-1)
    assert (text @ text.T).triu(1).max() < 0.9999  # they tell their inputs apart


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in random.CONFIGS if "nano" not in name])
def test_random_models_in_published_shapes_can_be_built(name):
    clip = load_clip(f"random:{name}")
    table = clip.text.embeddings.token_embedding
    assert max(max(row) for row in clip.tokenizer.encode([*TEXTS, *TEXTS_ZH])) < table.num_embeddings
    assert clip.image(torch.zeros(1, 3, clip.image.image_size, clip.image.image_size)).shape == (1, clip.embed_dim)
    assert clip.text(["running"]).sentence.shape == (1, clip.embed_dim)


def test_the_numbers_of_random_clips_are_fixed():
    assert load_clip("random:nano").fingerprint().startswith("c35a23dd380b0971")
