"""What users bring as a backbone: configurations as the hub has them, weights that are no numbers, names that are none,
and towers in half precision."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import hubs
import plain_open_clip as plain
from actionprompt import methods
from actionprompt.backbone import CLIP, CLIPShape
from actionprompt.config import CLIP_MEAN, CLIP_STD, Pixels
from actionprompt.weights import families, hub, load_clip, open_clip, openai, pixels
from actionprompt.weights.tokenizer import bpe_tokenizer

HALF = (0.5, 0.5, 0.5)
NANO = ("nano", "metaclip2-nano", "siglip-nano", "siglip2-nano", "altclip-nano", "chinese-clip-nano", "clipa-nano")

# Configurations -------------------------------------------------------------------------------------------------------

OLD = {
    "_name_or_path": "", "add_cross_attention": False, "architectures": None, "bad_words_ids": None, "bos_token_id": 0,
    "chunk_size_feed_forward": 0, "decoder_start_token_id": None, "do_sample": False, "dropout": 0.0, "eos_token_id": 2,
    "attention_dropout": 0.0, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "initializer_factor": 1.0, "prefix": None,
    "initializer_range": 0.02, "is_decoder": False, "is_encoder_decoder": False, "max_length": 20, "num_beams": 1,
    "num_channels": 3, "output_past": True, "pad_token_id": 1, "pooler_type": "first_token_transform", "top_p": 1.0,
    "position_embedding_type": "absolute", "projection_dim": 512, "pruned_heads": {}, "return_dict": True,
    "tie_word_embeddings": True, "tokenizer_class": None, "torch_dtype": None, "torchscript": False, "use_cache": True,
    "transformers_version": "4.24.0", "use_bfloat16": False,
}  # fmt: skip
"""What transformers 4 wrote into the configuration of a tower, and no embedding depends on."""


def tower(kind: str, width: int, layers: int, heads: int, mlp: int | None = None, **rest: Any) -> dict[str, Any]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**OLD, "model_type": kind, **sizes, "intermediate_size": mlp or 4 * width, **rest}


def config(kind: str, image: dict, text: dict, embed_dim: int | None, **rest: Any) -> dict[str, Any]:
    joint = {} if embed_dim is None else {"projection_dim": embed_dim}
    old = {"logit_scale_init_value": 2.6592, "text_config_dict": None, "vision_config_dict": None}
    return {**OLD, **old, "model_type": kind, **joint, "text_config": text, "vision_config": image, **rest}


def clip_config(image: dict, text: dict, embed_dim: int, act: str = "quick_gelu") -> dict[str, Any]:
    image, text = {**image, "hidden_act": act, "layer_norm_eps": 1e-5}, {**text, "hidden_act": act}
    text |= {"layer_norm_eps": 1e-5, "max_position_embeddings": 77, "vocab_size": 49408}
    return config("clip", image, text, embed_dim)


B16 = tower("clip_vision_model", 768, 12, 12, image_size=224, patch_size=16)
L14 = tower("clip_vision_model", 1024, 24, 16, image_size=224, patch_size=14)
H14 = tower("clip_vision_model", 1280, 32, 16, image_size=224, patch_size=14)
BIG_G = tower("clip_vision_model", 1664, 48, 16, 8192, image_size=224, patch_size=14)
SO400M = tower("siglip_vision_model", 1152, 27, 16, 4304, layer_norm_eps=1e-6)
BERT = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "pad_token_id": 0}
BERT |= {"type_vocab_size": 2, "vocab_size": 21128}
XLM = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 514, "pooler_fn": "cls"}
XLM |= {"project_dim": 768, "type_vocab_size": 1, "vocab_size": 250002, "learn_encoder": False}
OWN_TEXT = {"hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20}
OWN_TEXT |= {"num_hidden_layers": 32, "projection_dim": 1280}
CLIP_OLD = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "size": 224, "resample": 3,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
}  # fmt: skip
"""Sides as a number, and no type of an image processor, as transformers had them before version 4.26."""
CLIP_BOTH = {
    **CLIP_OLD, "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224}, "do_convert_rgb": True,
    "do_rescale": True, "image_processor_type": "CLIPImageProcessor", "processor_class": "CLIPProcessor",
    "rescale_factor": 0.00392156862745098, "use_square_size": False,
}  # fmt: skip
CHINESE = {
    **CLIP_OLD, "do_center_crop": False, "do_convert_rgb": True, "size": {"height": 224, "width": 224},
    "feature_extractor_type": "ChineseCLIPFeatureExtractor", "crop_size": {"height": 224, "width": 224},
}  # fmt: skip
SIGLIP = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": HALF, "image_std": HALF, "resample": 3,
    "image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor",
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip
NULLS = dict.fromkeys(("crop_size", "device", "do_center_crop", "do_convert_rgb", "do_pad", "pad_size", "size_divisor"))
SIGLIP_FAST = {**SIGLIP, **NULLS, "image_processor_type": "SiglipImageProcessorFast", "resample": 2}
NAFLEX = {
    **SIGLIP, **NULLS, "image_processor_type": "Siglip2ImageProcessorFast", "processor_class": "Siglip2Processor",
    "max_num_patches": 256, "patch_size": 16, "resample": 2, "size": None,
}  # fmt: skip
META = {
    **CLIP_BOTH,
    **dict.fromkeys(("device", "do_pad", "pad_size")),
    "image_processor_type": "CLIPImageProcessorFast",
}
WORLDWIDE = {"bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 77, "vocab_size": 901629}
PUBLISHED: dict[str, tuple[dict, dict, tuple, Pixels]] = {
    # name on the hub: config.json and preprocessor_config.json as they are there; (side, E, tokens of a text, heads
    # of both towers, activations); pixels
    "openai/clip-vit-large-patch14-336": (
        clip_config({**L14, "image_size": 336}, tower("clip_text_model", 768, 12, 12), 768),
        {**CLIP_OLD, "crop_size": 336, "size": 336}, (336, 768, 77, 16, 12, "quick_gelu", "quick_gelu"), Pixels(),
    ),
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": (
        clip_config(L14, tower("clip_text_model", 768, 12, 12), 768, "gelu"),
        {**CLIP_OLD, "image_mean": HALF, "image_std": HALF}, (224, 768, 77, 16, 12, "gelu", "gelu"), Pixels(HALF, HALF),
    ),
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k": (  # the second set of options counts
        clip_config(BIG_G, tower("clip_text_model", 512, 12, 8), 1280, "gelu") | {"text_config_dict": OWN_TEXT},
        CLIP_OLD, (224, 1280, 77, 16, 20, "gelu", "gelu"), Pixels(),
    ),
    "facebook/metaclip-b16-fullcc2.5b": (
        clip_config(B16, tower("clip_text_model", 512, 12, 8), 512),
        CLIP_BOTH, (224, 512, 77, 12, 8, "quick_gelu", "quick_gelu"), Pixels(),
    ),
    "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M": (
        clip_config({**B16, "hidden_size": 256, "num_attention_heads": 4}, tower("clip_text_model", 256, 3, 4), 512),
        CLIP_BOTH, (224, 512, 77, 4, 4, "quick_gelu", "quick_gelu"), Pixels(),
    ),
    "google/siglip-base-patch16-224": (
        {"model_type": "siglip", "text_config": {"model_type": "siglip_text_model"}, "vision_config": {}},
        SIGLIP, (224, 768, 64, 12, 12, "gelu_tanh", "gelu_tanh"), Pixels(HALF, HALF, fit="squash"),
    ),
    "google/siglip-so400m-patch14-384": (
        config("siglip", {**SO400M, "image_size": 384, "patch_size": 14},
               tower("siglip_text_model", 1152, 27, 16, 4304), None),
        {**SIGLIP, "size": {"height": 384, "width": 384}},
        (384, 1152, 64, 16, 16, "gelu_tanh", "gelu_tanh"), Pixels(HALF, HALF, fit="squash"),
    ),
    "google/siglip2-base-patch16-224": (
        {"model_type": "siglip", "vision_config": {"torch_dtype": "float32"}, "text_config": {"vocab_size": 256000}},
        SIGLIP_FAST, (224, 768, 64, 12, 12, "gelu_tanh", "gelu_tanh"), Pixels(HALF, HALF, "bilinear", "squash"),
    ),
    "google/siglip2-so400m-patch16-naflex": (
        config("siglip2", {**SO400M, "num_patches": 256, "patch_size": 16, "model_type": "siglip2_vision_model"},
               tower("siglip2_text_model", 1152, 27, 16, 4304, vocab_size=256000, projection_size=1152), None),
        NAFLEX, (256, 1152, 64, 16, 16, "gelu_tanh", "gelu_tanh"), Pixels(HALF, HALF, "bilinear", "squash"),
    ),
    "facebook/metaclip-2-worldwide-huge-quickgelu": (
        config("metaclip_2", H14, tower("metaclip_2_text_model", 1024, 24, 16, **WORLDWIDE), 1024),
        META, (224, 1024, 77, 16, 16, "quick_gelu", "quick_gelu"), Pixels(),
    ),
    "BAAI/AltCLIP": (
        config("altclip", L14, tower("altclip_text_model", 1024, 24, 16, **XLM), 768, direct_kd=False, num_layers=3),
        CLIP_OLD, (224, 768, 512, 16, 16, "quick_gelu", "gelu"), Pixels(),
    ),
    "OFA-Sys/chinese-clip-vit-base-patch16": (
        config("chinese_clip", B16, tower("chinese_clip_text_model", 768, 12, 12, **BERT), 512),
        CHINESE, (224, 512, 512, 12, 12, "quick_gelu", "gelu"), Pixels(fit="squash"),
    ),
    "OFA-Sys/chinese-clip-vit-huge-patch14": (
        config("chinese_clip", H14, tower("chinese_clip_text_model", 1024, 24, 16, **BERT), 1024),
        CHINESE, (224, 1024, 512, 16, 16, "quick_gelu", "gelu"), Pixels(fit="squash"),
    ),
}  # fmt: skip


def facts(shape: CLIPShape) -> tuple:
    image, text = shape.image, shape.text
    heads = (image.num_heads, text.num_heads)
    return (shape.image_size, shape.embed_dim, shape.context_length, *heads, image.activation, text.activation)


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_of_the_hub_are_read_with_all_that_they_hold(name, tmp_path):
    stored, processor, expected, asked = PUBLISHED[name]
    family = families.family_of(stored, name)
    shape = families.shape_of(stored, family, name)
    assert facts(shape) == expected
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    assert pixels.from_preprocessor(tmp_path, default=pixels.DEFAULTS[family], side_px=shape.image_size) == asked


def test_a_captioner_is_refused_in_a_short_line(tmp_path):
    words = {"context_length": 76, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "attn_pooler_heads": 8}
    cfg = {**plain.small(), "multimodal_cfg": words}
    with pytest.raises(
        ValueError, match=r"^c.json: model_cfg.multimodal_cfg is \{\.\.\.\}, a captioner \(CoCa\): "
    ) as e:
        open_clip.shape_of(cfg, Path("c.json"))
    assert len(str(e.value)) < 300


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def siglip(tmp_path_factory) -> Path:
    return hubs.write_clip("random:siglip2-nano", tmp_path_factory.mktemp("siglip") / "clip")


def write_open_clip(folder: Path, state: dict[str, torch.Tensor], cfg: dict) -> Path:
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": {}}))
    bpe_tokenizer([]).save(folder)
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers_are_refused(kind, siglip, tmp_path):
    shutil.copytree(siglip, tmp_path / "clip")
    weights = load_file(siglip / "model.safetensors")
    key = "text_model.encoder.layers.0.mlp.fc1.weight"
    save_file({**weights, key: weights[key].to(kind)}, tmp_path / "clip" / "model.safetensors")
    state = plain.draw(plain.small())
    key = "transformer.resblocks.0.mlp.c_fc.weight"
    other = write_open_clip(tmp_path / "open_clip", {**state, key: state[key].to(kind)}, plain.small())
    for folder in (tmp_path / "clip", other):
        with pytest.raises(
            ValueError, match=rf"(fc1|c_fc).weight: expected .*, got {kind}; get weights that are not q"
        ):
            load_clip(folder)


def test_half_precision_is_not_copied_before_it_is_loaded(tmp_path):
    cfg = plain.small(vision={"ls_init_value": 0.1})
    state = {key: value.half() for key, value in plain.draw(cfg).items()}
    folder = write_open_clip(tmp_path / "clip", state, cfg)
    read = openai.read_state(folder / "open_clip_model.safetensors")
    assert {value.dtype for value in read.values()} == {torch.float16}
    clip = load_clip(folder)
    assert {parameter.dtype for parameter in clip.parameters()} == {torch.float32}
    gamma, last = (state[f"visual.transformer.resblocks.0.{name}"] for name in ("ls_2.gamma", "mlp.c_proj.weight"))
    assert torch.equal(clip.image.layers[0].mlp.fc2.weight, gamma.float()[:, None] * last.float())  # not in half


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["https://huggingface.co/google/siglip2-base-patch16-224", "google/siglip2-base-patch16-224/", " a/b", "a b"],
)
def test_what_no_model_of_the_hub_can_be_called_is_said_to_be_no_name(name):
    for call in (load_clip, hub.get):
        with pytest.raises(
            ValueError, match=r"^expected a folder or file that is there, or the name of a model"
        ) as error:
            call(name)
        assert str(error.value).endswith(f"such as google/siglip2-base-patch16-224, got {name!r}")


def test_a_file_of_a_model_is_answered_with_its_folder(siglip):
    for file in ("model.safetensors", "config.json"):
        with pytest.raises(ValueError, match=rf"{file}; give the folder that it is in"):
            load_clip(siglip / file)


@pytest.fixture
def timm(tmp_path) -> Path:
    """A CLIP as timm stores it: OpenCLIP's files, and those of its image tower alone."""
    folder = write_open_clip(tmp_path / "timm", plain.draw(plain.small()), plain.small())
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch16_clip_224", "num_classes": 512}))
    save_file({"patch_embed.proj.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    return folder


def served(serving: hubs.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", serving.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", serving.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_of_a_model_of_timm_the_files_of_open_clip_are_fetched(timm, tmp_path, monkeypatch):
    with hubs.serving(timm) as serving:
        served(serving, tmp_path, monkeypatch)
        clip = load_clip("me/clip")
        assert {name for name, _, _ in serving.asked} == {path.name for path in timm.iterdir()} - {"model.safetensors"}
    assert clip.family == "open_clip"
    assert load_clip(hub.copy(hub.folder("me/clip"), tmp_path / "stick")).fingerprint() == clip.fingerprint()
    assert load_clip(timm).fingerprint() == clip.fingerprint()


def test_a_model_that_was_refused_is_refused_again_before_its_weights_are_fetched(siglip, tmp_path, monkeypatch):
    shutil.copytree(siglip, tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text('{"model_type": "blip"}')
    with hubs.serving(tmp_path / "other") as serving:
        served(serving, tmp_path, monkeypatch)
        for _ in range(2):
            with pytest.raises(ValueError, match="but me/clip is 'blip'"):
                hub.get("me/clip")
        assert [name for name, _, _ in serving.asked] == ["config.json"]


def test_a_text_that_is_far_too_long_is_shown_by_its_start():
    text = load_clip("random:siglip2-nano").text
    with pytest.raises(ValueError, match=r"at most 96 tokens, got \d{4} for 'a{100}\.\.\.'; shorten the text"):
        text.tokenize(["short", "a" * 5000])
    with pytest.raises(ValueError, match=r"at most 96 tokens, got 101 for 'b{100}'; shorten"):
        text.tokenize(["b" * 100])


@pytest.mark.parametrize(
    ("backbone", "names", "said"),
    [
        ("siglip-nano", ["Running!", "running", "x"], "'Running!' and 'running' are the same text"),
        ("siglip-nano", ["running", "!!!"], "expected class names with words in them, got '!!!'"),
        ("chinese-clip-nano", ["🏃", "running", "💃"], "'🏃' and '💃' are the same text"),
    ],
)
def test_names_that_a_backbone_cannot_tell_apart_are_refused(backbone, names, said):
    with pytest.raises(ValueError, match=said):
        methods.build("zeroshot", load_clip(f"random:{backbone}"), names)
    methods.build("zeroshot", load_clip("random:siglip2-nano"), names)  # whose tokens keep punctuation and emoji


# Numbers --------------------------------------------------------------------------------------------------------------


def score(clip: CLIP, images: torch.Tensor) -> torch.Tensor:
    image, text = clip.image(images), clip.text(["running", "a 跑步 b", ""]).sentence
    return clip.logits(F.normalize(image, dim=-1), F.normalize(text, dim=-1))


@pytest.mark.parametrize("name", NANO)
def test_half_precision_and_recomputed_layers_give_the_same_scores_and_gradients(name):
    clip = load_clip(f"random:{name}")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    exact = score(clip, images)
    exact.square().sum().backward()
    gradients = {key: parameter.grad for key, parameter in clip.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    clip.zero_grad()
    clip.set_gradient_checkpointing(True)
    score(clip, images).square().sum().backward()
    for key, parameter in clip.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key], rtol=1e-5, atol=1e-6)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = score(clip, images)
    scale = float(clip.logit_scale.detach().exp())
    torch.testing.assert_close(rounded.float() / scale, exact.detach() / scale, rtol=0, atol=0.03)
    with torch.no_grad():
        rounded = score(clip.bfloat16(), images.bfloat16())
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float() / scale, exact.detach() / scale, rtol=0, atol=0.05)
