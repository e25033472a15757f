"""Checkpoints in OpenCLIP's format: against transformers' CLIP, against plain equations, and every other model refused.

The configurations are those of OpenCLIP's model_configs, and the numbers of parameters those of its model_profile.csv.
"""

import copy
import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import plain_open_clip as plain
from actionprompt.backbone import CLIP
from actionprompt.config import CLIP_MEAN, CLIP_STD, Pixels
from actionprompt.weights import hub, load_clip, open_clip, openai, random
from actionprompt.weights.tokenizer import BERT_SPECIAL, BPE_FILE, bpe_tokenizer, nano_tokenizer

TEXTS = ["waving", "a cat!", "x"]
EOS = 513
"""The last token of a BPE without merges."""
PREPROCESS = {
    "mode": "RGB", "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic",
    "resize_mode": "shortest", "fill_color": 0,
}  # fmt: skip
CONFIGS = {**plain.CONFIGS, **plain.MORE}


def cfg_of(embed_dim: int, image: tuple, text: tuple, *, head_width: int = 64, mlp_ratio: float = 4.0, **rest) -> dict:
    """A configuration as OpenCLIP has it; `image` is the side, patch size, width and number of layers, `text` width,
    heads and layers."""
    vision = dict(zip(("image_size", "patch_size", "width", "layers"), image, strict=True))
    vision |= {} if head_width == 64 else {"head_width": head_width}
    vision |= {} if mlp_ratio == 4 else {"mlp_ratio": mlp_ratio}
    words = {"context_length": 77, "vocab_size": 49408, **dict(zip(("width", "heads", "layers"), text, strict=True))}
    return {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": words, **rest}


def clipa(cfg: dict, **rest) -> dict:
    cfg["vision_cfg"] |= {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True, **rest}
    cfg["text_cfg"] |= {
        "context_length": 32, "vocab_size": 32000, "hf_tokenizer_name": "bert-base-uncased",
        "tokenizer_kwargs": {"strip_sep_token": True}, "pool_type": "last", "no_causal_mask": True, **rest,
    }  # fmt: skip
    return cfg


B32, B16, L14 = (224, 32, 768, 12), (224, 16, 768, 12), (224, 14, 1024, 24)
H14, G14 = (224, 14, 1280, 32), (224, 14, 1664, 48)
TANH = {"act_kwargs": {"approximate": "tanh"}}
PUBLISHED = {  # name: (configuration, image parameters in millions, text parameters, heads of the image tower)
    "ViT-B-32": (cfg_of(512, B32, (512, 8, 12)), 87.85, 63.43, 12),
    "ViT-B-32-quickgelu": (cfg_of(512, B32, (512, 8, 12), quick_gelu=True), 87.85, 63.43, 12),
    "ViT-B-32-256": (cfg_of(512, (256, *B32[1:]), (512, 8, 12)), 87.86, 63.43, 12),
    "ViT-B-16": (cfg_of(512, B16, (512, 8, 12)), 86.19, 63.43, 12),
    "ViT-B-16-plus-240": (cfg_of(640, (240, 16, 896, 12), (640, 10, 12)), 117.21, 91.16, 14),
    "ViT-L-14": (cfg_of(768, L14, (768, 12, 12)), 303.97, 123.65, 16),
    "ViT-L-14-336": (cfg_of(768, (336, *L14[1:]), (768, 12, 12)), 304.29, 123.65, 16),
    "ViT-L-14-CLIPA": (clipa(cfg_of(768, L14, (768, 12, 12)), **TANH), 303.96, 110.25, 16),
    "ViT-L-16": (cfg_of(768, (224, 16, 1024, 24), (768, 12, 12)), 304.09, 123.65, 16),
    "ViT-H-14": (cfg_of(1024, H14, (1024, 16, 24), head_width=80), 632.08, 354.03, 16),
    "ViT-H-14-quickgelu": (cfg_of(1024, H14, (1024, 16, 24), head_width=80, quick_gelu=True), 632.08, 354.03, 16),
    "ViT-H-14-CLIPA": (clipa(cfg_of(1024, H14, (1024, 16, 24), head_width=80), **TANH), 632.07, 336.16, 16),
    "ViT-g-14": (
        cfg_of(1024, (224, 14, 1408, 40), (1024, 16, 24), head_width=88, mlp_ratio=4.3637), 1012.65, 354.03, 16
    ),
    "ViT-bigG-14": (cfg_of(1280, G14, (1280, 20, 32), head_width=104, mlp_ratio=4.9231), 1844.91, 694.66, 16),
    "ViT-bigG-14-CLIPA": (
        clipa(cfg_of(1280, G14, (1280, 20, 32), head_width=104, mlp_ratio=4.9231), **TANH), 1844.9, 672.32, 16
    ),
}  # fmt: skip


def write(folder: Path, cfg: dict, state: dict | None = None, *, file: str = "open_clip_model.safetensors") -> Path:
    """A folder in OpenCLIP's format, with a BPE of one token per byte where it has no vocabulary."""
    state = plain.draw(cfg) if state is None else state
    folder.mkdir(exist_ok=True)
    config = {"model_cfg": cfg, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    if file.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / file)
    else:
        torch.save(state, folder / file)
    if not (folder / BPE_FILE).exists():
        bpe_tokenizer([]).save(folder)
    return folder


def load(folder: Path) -> CLIP:
    return open_clip.from_folder(folder, name=str(folder))


def pixels_of(clip: CLIP, num: int = 2) -> torch.Tensor:
    size = clip.image.image_size
    return torch.randn(num, 3, size, size, generator=torch.Generator().manual_seed(3))


def padded(clip: CLIP, texts: list[str] = TEXTS, pad: int = 0) -> torch.Tensor:
    """Ids as OpenCLIP makes them: padded to the context length."""
    length = clip.text.context_length
    return torch.tensor([row + [pad] * (length - len(row)) for row in clip.text.tokenizer.encode(texts)])


@torch.no_grad()
def outputs(clip: CLIP) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    image, text = clip.image(pixels_of(clip)), clip.text(TEXTS).sentence
    return image, text, clip.logits(F.normalize(image, dim=-1), F.normalize(text, dim=-1))


# Parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_features_and_logits_are_those_of_the_equations(tmp_path, name):
    cfg = copy.deepcopy(CONFIGS[name])
    if "eos_id" in cfg["text_cfg"]:
        cfg["text_cfg"]["eos_id"] = EOS
    state = plain.draw(cfg)
    clip = load(write(tmp_path, cfg, state))
    ids, pixels = padded(clip), pixels_of(clip)
    image, text, logits = outputs(clip)
    expected = plain.encode_images(state, cfg, pixels), plain.encode_texts(state, cfg, ids)
    assert (expected[0][0] - expected[0][1]).abs().max() > 0.1
    torch.testing.assert_close(image, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(text, expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, plain.logits(state, cfg, pixels, ids), rtol=1e-4, atol=1e-5)
    assert (clip.logit_bias is not None) == ("init_logit_bias" in cfg)
    assert clip.family == "open_clip"
    assert clip.pixels == Pixels()


def hf_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in OpenCLIP's names under those of transformers' CLIPModel."""
    out = {}
    for key, value in state.items():
        if key in ("visual.proj", "text_projection"):
            out["visual_projection.weight" if key == "visual.proj" else "text_projection.weight"] = value.T
            continue
        tower, key = ("vision_model.", key[7:]) if key.startswith("visual.") else ("text_model.", key)
        for old, new in {
            "transformer.resblocks.": "encoder.layers.", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
            "attn.": "self_attn.", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "ln_pre": "pre_layrnorm",
            "ln_post": "post_layernorm", "ln_final": "final_layer_norm", "conv1.": "embeddings.patch_embedding.",
            "class_embedding": "embeddings.class_embedding", "token_embedding.": "embeddings.token_embedding.",
            "positional_embedding": "embeddings.position_embedding.weight",
        }.items():  # fmt: skip
            key = key.replace(old, new)
        if "in_proj" in key:
            for part, tensor in zip("qkv", value.chunk(3), strict=True):
                out[tower + key.replace("in_proj_", f"{part}_proj.")] = tensor
        else:
            out["logit_scale" if key == "logit_scale" else tower + key] = value
    return out


def transformers_outputs(cfg: dict, state: dict[str, torch.Tensor], pixels: torch.Tensor, ids: torch.Tensor):
    """Image and text embeddings and logits of transformers' CLIPModel; the highest id ends a text."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    vision, text = plain.VISION | cfg["vision_cfg"], plain.TEXT | cfg["text_cfg"]
    act = "quick_gelu" if cfg.get("quick_gelu") else "gelu"

    def tower(found: dict, heads: int) -> dict:
        width = found["width"]
        return {
            "hidden_size": width, "num_hidden_layers": found["layers"], "num_attention_heads": heads,
            "intermediate_size": int(width * found["mlp_ratio"]), "hidden_act": act,
        }  # fmt: skip

    config = CLIPConfig(
        vision_config={
            **tower(vision, vision["width"] // vision["head_width"]), "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
        text_config={
            **tower(text, text["heads"]), "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"], "eos_token_id": int(ids.max()),
            "bos_token_id": int(ids.max()) - 1,
        },
        projection_dim=cfg["embed_dim"],
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config).eval()
    model.load_state_dict(hf_names(state), strict=True)  # every tensor of it is one of `state`
    with torch.no_grad():
        image = model.get_image_features(pixel_values=pixels).pooler_output
        text_embeds = model.get_text_features(input_ids=ids).pooler_output
        return image, text_embeds, model(input_ids=ids, pixel_values=pixels).logits_per_image


def compare(folder: Path, cfg: dict) -> tuple[float, float]:
    """The largest difference from transformers of embeddings, and of logits relative to the largest."""
    state = plain.draw(cfg)
    clip = load(write(folder, cfg, state))
    found = outputs(clip)
    pixels, ids = pixels_of(clip), padded(clip)
    del clip
    expected = transformers_outputs(cfg, state, pixels, ids)
    embeddings = max(float((a - b).abs().max()) for a, b in zip(found[:2], expected[:2]))
    assert min(float((x[0] - x[1]).abs().max()) for x in expected[:2]) > 0.1
    return embeddings, float((found[2] - expected[2]).abs().max() / expected[2].abs().max())


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("head_width", [16, 20])
def test_features_are_those_of_transformers(tmp_path, quick_gelu, head_width):
    width = 2 * head_width
    cfg = plain.small({"head_width": head_width, "width": width}, quick_gelu=quick_gelu)
    embeddings, logits = compare(tmp_path, cfg)
    assert embeddings < 1e-5
    assert logits < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most_layers"), [("ViT-B-32", 12), ("ViT-B-32-quickgelu", 12), ("ViT-H-14", 6), ("ViT-bigG-14", 3)]
)
def test_features_are_those_of_transformers_at_full_width(tmp_path, real_data, name, most_layers):
    """ViT-B/32 whole, the others in all but the number of layers."""
    shutil.copy(real_data / "tokenizer" / BPE_FILE, tmp_path / BPE_FILE)
    cfg = copy.deepcopy(PUBLISHED[name][0])
    for tower in ("vision_cfg", "text_cfg"):
        cfg[tower]["layers"] = min(most_layers, cfg[tower]["layers"])
    embeddings, logits = compare(tmp_path, cfg)
    assert embeddings < 1e-5
    assert logits < 1e-4


# Which models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_sizes_that_are_published(name):
    cfg, image_params, text_params, heads = PUBLISHED[name]
    shape = open_clip.shape_of(cfg, Path("c.json"))
    with torch.device("meta"):
        clip = CLIP(shape, bpe_tokenizer([]), name=name)
    for tower, millions in ((clip.image, image_params), (clip.text, text_params)):
        assert sum(p.numel() for p in tower.parameters()) / 1e6 == pytest.approx(millions, abs=0.0051)
    assert clip.image.num_heads == heads
    assert clip.text.num_heads == cfg["text_cfg"]["heads"]
    activation = "quick_gelu" if "quickgelu" in name else "gelu_tanh" if "CLIPA" in name else "gelu"
    assert (shape.image.activation, shape.text.activation) == (activation, activation)
    assert shape.text_pieces.fixed_length == ("CLIPA" in name) == (not shape.image_pieces.norm_first)


def test_what_a_configuration_leaves_out_has_the_default_of_open_clip():
    shape = open_clip.shape_of({"embed_dim": 512, "vision_cfg": {}, "text_cfg": {}}, Path("c.json"))
    assert shape == open_clip.shape_of(PUBLISHED["ViT-B-16"][0], Path("c.json"))


NEUTRAL = {
    "vision_cfg": {
        "patch_dropout": 0.5, "output_tokens": False, "attentional_pool": False, "attn_pooler_queries": 256,
        "timm_model_name": None, "timm_pool": "avg", "timm_proj": "linear", "qk_norm": False, "block_type": None,
        "pos_embed_type": "sin_cos_2d", "act_kwargs": None, "image_size": [224, 224],
    },
    "text_cfg": {
        "embed_cls": False, "use_pad_mask": False, "hf_model_name": None, "hf_proj_type": "mlp", "pad_id": 0,
        "final_ln_after_pool": True, "output_tokens": True, "hf_tokenizer_name": None, "block_type": "default",
    },
    "custom_text": True, "init_logit_scale": 2.3, "output_dict": True, "init_logit_bias": None,
}  # fmt: skip


def merged(cfg: dict, change: dict) -> dict:
    towers = {key: cfg[key] | change.get(key, {}) for key in ("vision_cfg", "text_cfg")}
    return cfg | change | towers


def test_fields_that_change_nothing_are_taken():
    plainly = PUBLISHED["ViT-B-16"][0]
    assert open_clip.shape_of(merged(plainly, NEUTRAL), Path("c.json")) == open_clip.shape_of(plainly, Path("c.json"))


OTHER = {  # what it is: (change of a ViT-B-16, what the error says)
    "timm": ({"vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_224"}}, "timm_model_name is 'vit_base_.*timm"),
    "eva": ({"vision_cfg": {"eva_model_name": "eva-clip-b-16"}}, "eva_model_name is .*EVA"),
    "resnet": ({"vision_cfg": {"layers": [3, 4, 6, 3]}}, r"vision_cfg.layers is \[3, 4, 6, 3\], a ResNet"),
    "coca": ({"multimodal_cfg": {"width": 512}}, "model_cfg.multimodal_cfg is .*CoCa"),
    "hf text": ({"text_cfg": {"hf_model_name": "roberta-base"}}, "text_cfg.hf_model_name is 'roberta-base'"),
    "pooler": ({"vision_cfg": {"attentional_pool": True}}, "attentional_pool is True, pooling by attention"),
    "patchnorm": ({"vision_cfg": {"input_patchnorm": True}}, "vision_cfg.input_patchnorm is True"),
    "not square": ({"vision_cfg": {"image_size": [224, 336]}}, r"vision_cfg.image_size: .*got \[224, 336\]"),
    "patches": ({"vision_cfg": {"patch_size": [16, 8]}}, r"vision_cfg.patch_size: .*got \[16, 8\]"),
    "all tokens": ({"vision_cfg": {"pool_type": "none"}}, "vision_cfg.pool_type: expected one of 'tok', 'avg', got"),
    "old mean": ({"vision_cfg": {"global_average_pool": True}}, "vision_cfg.global_average_pool is True.*not known"),
    "old norm": ({"vision_cfg": {"ln_pre": False}}, "vision_cfg.ln_pre is False, a field that is not known"),
    "qk norm": ({"vision_cfg": {"qk_norm": True}}, "vision_cfg.qk_norm is True, another kind of layer"),
    "text qk norm": ({"text_cfg": {"qk_norm": True}}, "text_cfg.qk_norm is True"),
    "block": ({"text_cfg": {"block_type": "custom"}}, "text_cfg.block_type is 'custom'"),
    "class token": ({"text_cfg": {"embed_cls": True}}, "text_cfg.embed_cls is True, a class token behind the text"),
    "pad mask": ({"text_cfg": {"use_pad_mask": True}}, "text_cfg.use_pad_mask is True, a mask over padding"),
    "mean text": ({"text_cfg": {"pool_type": "mean"}}, "text_cfg.pool_type: expected one of 'argmax', .*got 'mean'"),
    "mlp text": ({"text_cfg": {"proj_type": "mlp"}}, "text_cfg.proj_type: expected one of 'linear', 'none', got 'mlp'"),
    "tokenizer": ({"text_cfg": {"hf_tokenizer_name": "t5-base"}}, "text_cfg.hf_tokenizer_name: .*got 't5-base'"),
    "tips": ({"text_cfg": {"tokenizer_mode": "tips"}}, "text_cfg.tokenizer_mode is 'tips'"),
    "positions": ({"vision_cfg": {"pos_embed_type": "rope"}}, "vision_cfg.pos_embed_type: .*got 'rope'"),
    "act": ({"vision_cfg": {"act_kwargs": {"inplace": True}}}, "vision_cfg.act_kwargs: .*'inplace'"),
    "act of quick": ({"quick_gelu": True, "text_cfg": TANH}, "text_cfg.act_kwargs: expected .*'tanh'"),
    "norm": ({"text_cfg": {"norm_kwargs": {"bias": False}}}, "text_cfg.norm_kwargs: expected eps .*'bias'"),
    "eps": ({"text_cfg": {"norm_kwargs": {"eps": "small"}}}, "text_cfg.norm_kwargs: expected eps .*'small'"),
    "no projection": (
        {"embed_dim": 768, "text_cfg": {"proj_type": "none"}},
        "embed_dim 768 without .*, got 512",
    ),
    "audio": ({"audio_cfg": {}}, "model_cfg.audio_cfg is {}, a field that is not known"),
    "width": ({"vision_cfg": {"width": 768.0}}, "vision_cfg.width: expected a whole number .*got 768.0"),
    "layers": ({"text_cfg": {"layers": 0}}, "text_cfg.layers: expected a whole number from 1 .*got 0"),
    "ratio": ({"text_cfg": {"mlp_ratio": float("nan")}}, "text_cfg.mlp_ratio: expected a number above 0, got nan"),
    "flag": ({"quick_gelu": 1}, "model_cfg.quick_gelu: expected true or false, got 1"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_models_are_refused_by_name(tmp_path, kind):
    change, says = OTHER[kind]
    cfg = merged(PUBLISHED["ViT-B-16"][0], change)
    with pytest.raises(ValueError, match=f"open_clip_config.json: .*{says}") as error:
        load(write(tmp_path, cfg, {"logit_scale": torch.zeros(())}))
    assert "\n" not in str(error.value)


def test_a_configuration_without_its_parts_is_refused(tmp_path, as_users_call):
    for cfg, says in (
        (None, "model_cfg: expected an object, got None"),
        ({"embed_dim": 512, "text_cfg": {}}, "vision_cfg: expected an object, got None"),
        ({"embed_dim": 512, "vision_cfg": {}}, "text_cfg: expected an object, got None"),
        ({"vision_cfg": {}, "text_cfg": {}}, "model_cfg.embed_dim: expected a whole number"),
    ):
        with pytest.raises(ValueError, match=says):
            load(write(tmp_path, cfg, {"logit_scale": torch.zeros(())}))  # type: ignore[arg-type]
    folder = write(tmp_path, plain.small())
    path = folder / "open_clip_config.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({"model_cfg": found["model_cfg"]}))
    with pytest.raises(ValueError, match="preprocess_cfg: expected an object, got None"):
        load(folder)
    path.write_text(json.dumps({**found, "adapter_cfg": {}}))
    with pytest.raises(ValueError, match="expected model_cfg and preprocess_cfg, got the field 'adapter_cfg'"):
        load(folder)


# Weights --------------------------------------------------------------------------------------------------------------


LAYER = "visual.transformer.resblocks.1"
EVERY = plain.small(
    {"ls_init_value": 0.1}, {"ls_init_value": 0.1, "proj_bias": True}, init_logit_bias=-10, custom_text=True
)  # fmt: skip


@pytest.mark.parametrize("cfg", [EVERY, plain.small(*plain.CLIPA)], ids=["every", "clipa"])
def test_every_tensor_matters(tmp_path, cfg):
    cfg = merged(cfg, {key: {**cfg[key], "layers": 1} for key in ("vision_cfg", "text_cfg")})
    state = plain.draw(cfg)
    before = outputs(load(write(tmp_path, cfg, state)))
    for key, value in state.items():
        save_file(state | {key: torch.zeros_like(value)}, tmp_path / "open_clip_model.safetensors")
        after = outputs(load(tmp_path))
        assert max(float((a - b).abs().max()) for a, b in zip(before, after)) > 1e-3, key


@pytest.mark.parametrize(
    "key", ["visual.proj", "text_projection", "ln_final.bias", f"{LAYER}.ls_2.gamma", f"{LAYER}.mlp.c_proj.bias"]
)
def test_a_missing_or_misshapen_tensor_is_told(tmp_path, key):
    cfg = plain.small({"ls_init_value": 0.1})
    state = plain.draw(cfg)
    write(tmp_path, cfg, {name: value for name, value in state.items() if name != key})
    with pytest.raises(ValueError, match=r"1 weights are missing from the checkpoint|gamma of shape .* got nothing"):
        load(tmp_path)
    write(tmp_path, cfg, state | {key: torch.zeros(7, 3) if state[key].ndim == 2 else torch.zeros(7)})
    with pytest.raises(
        ValueError, match=r"expected (shape \[\d+(, \d+)?\], as the configuration|visual.*gamma of shape)"
    ):
        load(tmp_path)


def test_tensors_that_the_configuration_does_not_have_are_refused(tmp_path):
    cfg, scaled = plain.small(), plain.small({"ls_init_value": 0.1})
    write(tmp_path, cfg, plain.draw(scaled))
    with pytest.raises(ValueError, match=r"are unknown, the first is \['image.layers.0.ls_1.gamma"):
        load(tmp_path)
    write(tmp_path, cfg, plain.draw(cfg) | {"text.cls_emb": torch.zeros(32)})
    with pytest.raises(ValueError, match="unexpected weight 'cls_emb'"):
        load(tmp_path)
    write(tmp_path, cfg, plain.draw(cfg) | {"text.ln_final.bias": torch.zeros(32)})
    with pytest.raises(ValueError, match=r"expected one text tower, got weights with and without `text.` in front"):
        load(tmp_path)
    for twice in ("text_projection.weight", "transformer.resblocks.0.self_attn.q_proj.weight"):
        write(tmp_path, cfg, plain.draw(cfg) | {twice: torch.zeros(24, 32)})
        with pytest.raises(ValueError, match=f"unexpected weight '{twice}': .* is there under two names"):
            load(tmp_path)
    write(tmp_path, cfg, plain.draw(cfg) | {"ln_final.bias": torch.full((32,), torch.nan)})
    with pytest.raises(ValueError, match=r"ln_final.bias is not finite"):
        load(tmp_path)


def test_a_bias_of_the_logits_in_the_weights_alone_is_taken(tmp_path):
    cfg = plain.small()
    clip = load(write(tmp_path, cfg, plain.draw(cfg) | {"logit_bias": torch.tensor(-2.5)}))
    assert clip.score(torch.zeros(1)).tolist() == [-2.5]


@pytest.mark.parametrize("file", [*hub.OPEN_CLIP_WEIGHTS, "training.bin"])
def test_every_file_of_weights_is_read(tmp_path, file):
    cfg = plain.small()
    state = plain.draw(cfg)
    expected = outputs(load(write(tmp_path / "plain", cfg, state)))
    if file == "training.bin":  # what OpenCLIP's own training writes
        content = {"epoch": 3, "name": "x", "state_dict": {f"module.{key}": value for key, value in state.items()}}
        folder = write(tmp_path / "other", cfg, content, file="open_clip_pytorch_model.bin")
    else:
        folder = write(tmp_path / "other", cfg, state, file=file)
    for a, b in zip(outputs(load(folder)), expected, strict=True):
        assert torch.equal(a, b)


def test_weights_of_open_clip_without_their_folder_are_not_read_as_openais(tmp_path):
    """Those of ViT-H, whose heads have 80 channels; narrower ones cannot be told from OpenAI's."""
    state = plain.draw(plain.small({"width": 1280, "layers": 1, "head_width": 80}))
    torch.save(state, tmp_path / "h14.pt")
    with pytest.raises(ValueError, match=r"multiple of 64 up to 1024, .* got 1280; .* open_clip_config.json"):
        openai.from_file(tmp_path / "h14.pt")


NASTY = [None, True, 0, -1, 1e308, 10**30, float("nan"), "x", [], [1], {"eps": 1}, {"x": {}}]


@pytest.mark.parametrize("part", ["model_cfg", "vision_cfg", "text_cfg"])
def test_any_value_of_a_field_gives_a_model_or_one_line(tmp_path, part):
    cfg = plain.small()
    fields = {"model_cfg": open_clip.MODEL, "vision_cfg": open_clip.VISION, "text_cfg": open_clip.TEXT}[part]
    path = write(tmp_path, cfg) / "open_clip_config.json"
    lines = []
    for field in (*fields, *open_clip.KINDS):
        for value in NASTY:
            changed = cfg | ({field: value} if part == "model_cfg" else {part: {**cfg[part], field: value}})
            path.write_text(json.dumps({"model_cfg": changed, "preprocess_cfg": PREPROCESS}))
            try:
                open_clip.shape_of(changed, path)
                if part == "text_cfg":
                    load(tmp_path)
            except ValueError as error:
                lines.append(str(error))
    assert len(lines) > 5 * len(fields)
    assert [line for line in lines if not line.startswith(str(tmp_path)) or "\n" in line] == []


def test_half_precision_is_read_as_float32(tmp_path):
    cfg = plain.small({"ls_init_value": 0.1})
    state = {key: value.half() for key, value in plain.draw(cfg).items()}
    clip = load(write(tmp_path, cfg, state))
    expected = plain.encode_images({key: value.float() for key, value in state.items()}, cfg, pixels_of(clip))
    torch.testing.assert_close(outputs(clip)[0], expected, rtol=0, atol=1e-5)


class Code:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return print, ("code of a file ran",)


def test_damaged_files_and_code_are_refused(tmp_path, capsys):
    cfg = plain.small()
    folder = write(tmp_path, cfg)
    weights = folder / "open_clip_model.safetensors"
    whole = weights.read_bytes()
    for content, says in (
        (whole[:-100], "cannot be read as weights"),
        (whole[:4], "cannot be read"),
        (b"", "is empty"),
    ):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match=f"open_clip_model.safetensors.* {says}"):
            load(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=r"not a complete model: expected one of open_clip_model.safetensors, "):
        load(folder)
    torch.save({**plain.draw(cfg), "hook": Code()}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"open_clip_pytorch_model.bin cannot be read as weights: .*would run code"):
        load(folder)
    old = {"hook": Code()}
    torch.save(old, folder / "open_clip_pytorch_model.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"open_clip_pytorch_model.bin cannot be read as weights"):
        load(folder)
    assert capsys.readouterr().out == ""
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(ValueError, match=r"there is none at .*open_clip_config.json"):
        load(folder)


def test_of_a_folder_in_both_formats_hugging_faces_is_read(tmp_path):
    """As LAION's have them; both hold the same weights, which differ here."""
    cfg = plain.small()
    folder = write(tmp_path, cfg)
    assert load_clip(folder).family == "open_clip"
    state, sizes = hf_names(plain.draw(cfg, seed=1)), {"hidden_size": 32, "num_hidden_layers": 2, "hidden_act": "gelu"}
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    vision = {**sizes, "num_attention_heads": 2, "intermediate_size": 128, "image_size": 32, "patch_size": 8}
    text = {**sizes, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 600}
    text |= {"max_position_embeddings": 16, "eos_token_id": EOS}
    config = {"model_type": "clip", "projection_dim": 24, "vision_config": vision, "text_config": text}
    (folder / "config.json").write_text(json.dumps(config))
    clip = load_clip(folder)
    assert clip.family == "clip"
    expected = plain.encode_images(plain.draw(cfg, seed=1), cfg, pixels_of(clip))
    torch.testing.assert_close(outputs(clip)[0], expected, rtol=0, atol=1e-5)
    (folder / "model.safetensors").unlink()  # the configuration alone is not enough
    clip = load_clip(folder)
    torch.testing.assert_close(
        outputs(clip)[0], plain.encode_images(plain.draw(cfg), cfg, pixels_of(clip)), rtol=0, atol=1e-5
    )
    assert clip.path == folder.absolute()


# Tokenisers -----------------------------------------------------------------------------------------------------------


def test_padding_is_zero_and_reaches_the_words_without_a_causal_mask(tmp_path):
    cfg = plain.small(text={"no_causal_mask": True})
    state = plain.draw(cfg)
    clip = load(write(tmp_path, cfg, state))
    ids = clip.text.tokenize(TEXTS)
    assert ids.shape == (3, 16)
    assert torch.equal(ids, padded(clip))
    assert not torch.allclose(
        plain.encode_texts(state, cfg, padded(clip, pad=EOS)), clip.text(TEXTS).sentence, atol=1e-2
    )


def test_a_text_is_the_same_alone_and_in_a_batch_and_never_cut(tmp_path):
    for cfg in (plain.small(), plain.small(*plain.CLIPA)):
        clip = load(write(tmp_path, cfg))
        with torch.no_grad():
            alone = torch.cat([clip.text([text]).sentence for text in TEXTS])
            torch.testing.assert_close(alone, clip.text(TEXTS).sentence, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(clip.text(["WAVING"]).sentence, alone[:1])
        with pytest.raises(ValueError, match="at most 16 tokens, got 22"):
            clip.text(["a" * 20])


def bert_folder(folder: Path, **text) -> tuple[dict, dict, dict[str, int]]:
    """CLIPA's kind of model with a small vocabulary of a BERT."""
    letters = [chr(code) for code in range(97, 123)]
    words = [*BERT_SPECIAL, "[MASK]", *letters, *(f"##{letter}" for letter in letters), "run", "##ning", "!"]
    cfg = plain.small({**plain.CLIPA[0], **TANH}, {**plain.CLIPA[1], "vocab_size": 100, **TANH})
    state = plain.draw(cfg)
    tokens = {"hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": {"strip_sep_token": True}, **text}
    write(folder, merged(cfg, {"text_cfg": tokens}), state)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return cfg, state, {word: index for index, word in enumerate(words)}


def test_clipa_reads_berts_tokens_without_sep(tmp_path):
    from transformers import BertTokenizer

    cfg, state, vocab = bert_folder(tmp_path)
    clip = load(tmp_path)
    texts = ["Running!", "running", "a cat"]
    ids = BertTokenizer(vocab=vocab)(texts, padding="max_length", max_length=16, return_tensors="pt")["input_ids"]
    assert int((ids == vocab["[SEP]"]).sum()) == 3
    ids[ids == vocab["[SEP]"]] = 0  # `strip_sep_token`
    assert torch.equal(clip.text.tokenize(texts), ids)
    with torch.no_grad():
        torch.testing.assert_close(clip.text(texts).sentence, plain.encode_texts(state, cfg, ids), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            clip.image(pixels_of(clip)), plain.encode_images(state, cfg, pixels_of(clip)), rtol=0, atol=1e-5
        )
    assert clip.text.tokenizer.eos_token_id is None
    assert clip.text.lengths(ids).tolist() == [4, 3, 5]


def test_a_bert_without_strip_keeps_sep(tmp_path):
    cfg, state, vocab = bert_folder(tmp_path, tokenizer_kwargs=None)
    clip = load(tmp_path)
    ids = clip.text.tokenize(["run"])
    assert ids[0, :4].tolist() == [vocab["[CLS]"], vocab["run"], vocab["[SEP]"], 0]
    with torch.no_grad():
        torch.testing.assert_close(clip.text(["run"]).sentence, plain.encode_texts(state, cfg, ids), rtol=0, atol=1e-5)


def test_texts_of_xlm_v_are_read_at_its_end_token(tmp_path):
    """MetaCLIP 2 in OpenCLIP's format."""
    tokenizer = nano_tokenizer("metaclip_2")
    cfg = plain.small(text={"pool_type": "eos", "eos_id": 2, "vocab_size": len(tokenizer)}, quick_gelu=True)
    state = plain.draw(cfg)
    write(tmp_path, merged(cfg, {"text_cfg": {"hf_tokenizer_name": "facebook/xlm-v-base"}}), state)
    tokenizer.save(tmp_path)
    clip = load(tmp_path)
    ids = padded(clip, pad=1)
    assert ids[0, [0, -1]].tolist() == [0, 1]
    with torch.no_grad():
        torch.testing.assert_close(clip.text(TEXTS).sentence, plain.encode_texts(state, cfg, ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ({"tokenizer_kwargs": {"clean": "canonicalize"}}, "tokenizer_kwargs: expected strip_sep_token .*'clean'"),
        ({"tokenizer_kwargs": {"strip_sep_token": True}}, "tokenizer_kwargs: expected strip_sep_token of bert"),
        ({"pool_type": "eos", "eos_id": 7}, "text to end with token 7, where the pool_type eos reads it, got 513"),
        ({"pad_id": 1}, "text_cfg.pad_id: expected 0, got 1"),
        ({"vocab_size": 49408}, "expected a vocabulary of 49408 tokens, as many as the weights have, got 514"),
        ({"vocab_size": 500}, "expected a vocabulary of 500 tokens"),
    ],
)  # fmt: skip
def test_tokenisers_that_do_not_fit_are_refused(tmp_path, text, says):
    cfg = plain.small(text={key: value for key, value in text.items() if key == "vocab_size"})
    with pytest.raises(ValueError, match=says):
        load(write(tmp_path, merged(cfg, {"text_cfg": text}), plain.draw(cfg)))


def test_a_bert_is_not_read_at_its_highest_token(tmp_path):
    bert_folder(tmp_path, pool_type="argmax", tokenizer_kwargs={})
    with pytest.raises(ValueError, match=r"expected a text to end with token 59, where the pool_type argmax .*got 3"):
        load(tmp_path)


def test_the_table_of_clipa_is_larger_than_berts_vocabulary(tmp_path, monkeypatch):
    bert_folder(tmp_path, vocab_size=32000)
    with pytest.raises(ValueError, match="expected a vocabulary of 30522 tokens, as many as the weights have, got 60"):
        load(tmp_path)
    monkeypatch.setattr(open_clip, "BERT_TOKENS", 60)
    with pytest.raises(ValueError, match=r"expected shape \[32000, 32\]"):  # of the table itself
        load(tmp_path)


def test_the_vocabulary_is_that_of_the_folder_or_openais(tmp_path, monkeypatch):
    cfg = plain.small()
    folder = write(tmp_path, cfg)
    expected = outputs(load(folder))[1]
    found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    vocab = dict(found["vocab"]) | {"<|startoftext|>": EOS - 1, "<|endoftext|>": EOS}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    assert torch.equal(outputs(load(folder))[1], expected)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    (folder / BPE_FILE).write_bytes(gzip.compress(b"merges"))
    clip = load(folder)
    assert torch.equal(outputs(clip)[1], expected)
    assert clip.text.tokenizer.pad_token_id == 0
    (folder / BPE_FILE).unlink()

    def offline(name: str, **_) -> Path:
        raise hub.NotThere("offline")

    monkeypatch.setattr(openai.hub, "folder", offline)
    with pytest.raises(ValueError, match=f"holds no vocabulary: put OpenAI's {BPE_FILE} into its folder"):
        load(folder)


# Next to the others ---------------------------------------------------------------------------------------------------


def test_preprocessing_comes_from_the_folder(tmp_path):
    folder = write(tmp_path, plain.small())
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    how = {"interpolation": "bilinear", "resize_mode": "squash"}
    config["preprocess_cfg"] = {"size": [32, 32], "mean": mean, "std": std, **how}
    path.write_text(json.dumps(config))
    assert load(folder).pixels == Pixels(mean, std, "bilinear", "squash")


def test_the_random_clipa_has_the_pieces_of_clipa():
    clip = load_clip("random:clipa-nano")
    rows = clip.text.embeddings.token_embedding.num_embeddings
    cfg = plain.small(
        {**plain.CLIPA[0], **TANH, "patch_size": 16, "head_width": 8},
        {**plain.CLIPA[1], **TANH, "vocab_size": rows, "context_length": 96, "heads": 4}, embed_dim=16,
    )  # fmt: skip
    assert open_clip.shape_of(cfg, Path("c.json")) == random.OPEN_CLIP["clipa-nano"]
    assert clip.text.tokenize(["go"])[0, :4].tolist()[::3] == [clip.text.tokenizer.bos_token_id, 0]
    assert clip.text.tokenize(["go"]).shape == (1, 96)
