"""Where towers come from: the embedded models, a folder in Hugging Face format, OpenAI's `.pt` files, the hub, or
random weights of a published shape."""

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actionprompt.backbone import CLIP, ChineseTextTower

TINY = "tiny"
"""The name of the small CLIP that ships with the package."""
TINY_ZH = "tiny_zh"
"""The name of its Chinese text tower."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
ARCHITECTURES = {  # name: (image_size, patch, image width, image layers, text width, E)
    "ViT-B/32": (224, 32, 768, 12, 512, 512),
    "ViT-B/16": (224, 16, 768, 12, 512, 512),
    "ViT-L/14": (224, 14, 1024, 24, 768, 768),
    "nano": (32, 16, 32, 2, 32, 16),
}
"""What `random:NAME` can build. `nano` is for tests of plumbing."""


def load_clip(name: str | Path) -> CLIP:
    """Load a CLIP.

    `name` is `"tiny"` (the embedded one), a folder in Hugging Face format, an OpenAI `.pt` file (TorchScript archive or
    plain state dict), a hub name such as `openai/clip-vit-base-patch16`, or `random:ViT-B/16` for random weights.

    Raises:
        ValueError: the file, folder or name is not a CLIP that can be loaded, with the next step.
    """
    name = str(name)
    if name.startswith("random:"):
        return _random_clip(name)
    if name == TINY:
        return _from_pretrained(str(_asset("tiny_clip")), name=TINY)
    if name.endswith((".pt", ".pth")):
        return _from_openai(Path(name))
    return _from_pretrained(name, name=name)


def load_chinese_text(name: str | Path) -> ChineseTextTower:
    """Load the text tower of a Chinese-CLIP: `"tiny_zh"`, a folder, a hub name such as
    `OFA-Sys/chinese-clip-vit-base-patch16`, or `random:512`, one small layer of random weights with E = 512 for tests.
    The image tower of the checkpoint, where there is one, is not kept."""
    from transformers import ChineseCLIPModel

    name = str(name)
    if name.startswith("random:"):
        return _random_chinese_text(int(name.removeprefix("random:")))
    source = str(_asset("tiny_clip_zh")) if name == TINY_ZH else name
    model, tokenizer = _hf_load(
        ChineseCLIPModel, source, model_type="chinese_clip", optional=("vision_model.", "visual_")
    )
    return ChineseTextTower(model.text_model, model.text_projection, tokenizer).eval()


def _asset(folder: str) -> Path:
    path = Path(__file__).parent / "assets" / folder
    if not (path / "config.json").is_file():
        raise ValueError(f"the embedded model {folder} is missing from this installation; install the package again")
    return path


def _hf_load(model_class: Any, source: str, *, model_type: str, optional: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """Model and tokeniser from a folder or the hub; every weight outside `optional` must be in the checkpoint."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # a model loads in a second, and a library does not print
    looks_local = source.startswith((".", "/", "~")) or Path(source).exists() or re.match(r"[A-Za-z]:\\", source)
    source = str(Path(source).expanduser()) if looks_local else source
    if looks_local and not (Path(source) / "config.json").is_file():
        raise ValueError(
            f"expected a model folder with config.json, an OpenAI .pt file or a hub name, got {source}; "
            f"check the path, or name a hub model such as openai/clip-vit-base-patch16"
        )
    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type != model_type:
            raise ValueError(
                f"expected a model of type {model_type!r}, but {source} is {config.model_type!r}; "
                f"choose another checkpoint"
            )
        model, info = model_class.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except OSError as error:
        if looks_local:
            raise ValueError(f"{source}: the folder is not a complete model: {str(error).splitlines()[0]}") from error
        raise ValueError(
            f"cannot get {source!r} from the hub (not cached, and the hub was not reached or has no such model); "
            f"connect once, or download the model folder and give its path, or use {TINY!r}"
        ) from error
    missing = [key for key in info["missing_keys"] if not key.startswith(optional or ("\0",))]
    if missing or info["mismatched_keys"]:
        raise ValueError(
            f"{source}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}"
        )
    return model, tokenizer


def _from_pretrained(source: str, *, name: str) -> CLIP:
    from transformers import CLIPModel

    model, tokenizer = _hf_load(CLIPModel, source, model_type="clip")
    processor = Path(source) / "preprocessor_config.json"
    numbers = json.loads(processor.read_text()) if processor.is_file() else {}
    mean, std = numbers.get("image_mean", CLIP_MEAN), numbers.get("image_std", CLIP_STD)
    return CLIP(model, tokenizer, name=name, mean=mean, std=std).eval()


def _random_clip(name: str) -> CLIP:
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    arch = name.removeprefix("random:")
    if arch not in ARCHITECTURES:
        raise ValueError(f"expected random: and one of {', '.join(ARCHITECTURES)}, got {name!r}")
    size, patch, width, layers, text_width, embed_dim = ARCHITECTURES[arch]
    heads = 64 if width >= 512 else 8
    config = CLIPConfig(
        vision_config={
            "image_size": size, "patch_size": patch, "hidden_size": width, "intermediate_size": 4 * width,
            "num_hidden_layers": layers, "num_attention_heads": width // heads,
        },
        text_config={
            "hidden_size": text_width, "intermediate_size": 4 * text_width, "num_hidden_layers": min(layers, 12),
            "num_attention_heads": text_width // heads, "vocab_size": 49408 if width >= 512 else 514,
            "max_position_embeddings": 77 if width >= 512 else 128,
            "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513,
        },
        projection_dim=embed_dim,
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config)
    _randomise(model, torch.Generator().manual_seed(0))
    tokenizer = bpe_tokenizer([])
    return CLIP(model, tokenizer, name=name, mean=CLIP_MEAN, std=CLIP_STD).eval()


def _random_chinese_text(embed_dim: int) -> ChineseTextTower:
    from transformers import BertTokenizer, ChineseCLIPTextConfig, ChineseCLIPTextModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0x4E00, 0xA000))]
    vocab = {word: index for index, word in enumerate([*special, *letters, *(f"##{x}" for x in letters[:94])])}
    config = ChineseCLIPTextConfig(
        vocab_size=len(vocab), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=1.0,  # with the usual 0.02 all texts come out alike
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, projection = ChineseCLIPTextModel(config), nn.Linear(config.hidden_size, embed_dim, bias=False)
    return ChineseTextTower(model, projection, BertTokenizer(vocab=vocab)).eval()


@torch.no_grad()
def _randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Weights that pass activations of unit size on, so that random towers tell their inputs apart."""
    for name, parameter in model.named_parameters():
        if name == "logit_scale":
            parameter.fill_(2.6592)  # log(1 / 0.07), CLIP's start
        elif parameter.ndim == 1 and not name.endswith("class_embedding"):
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            is_table = "embedding" in name and "patch" not in name
            parameter.normal_(std=0.02 if is_table else fan_in**-0.5, generator=generator)


def bpe_tokenizer(merges: list[tuple[str, str]]) -> Any:
    """CLIP's lower-casing byte-level BPE from its list of merges; with none, one token per byte."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges)


def _from_openai(path: Path) -> CLIP:
    """OpenAI's published files: a TorchScript archive, or the plain state dict people save from it."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    if not path.is_file():
        raise ValueError(f"expected an OpenAI CLIP checkpoint, but there is no file {path}; check the path")
    state = _openai_state(path)
    if "visual.proj" not in state or "visual.conv1.weight" not in state or "text_projection" not in state:
        kind = "a CLIP with a ResNet" if any(key.startswith("visual.layer1") for key in state) else "not a CLIP"
        raise ValueError(f"expected the weights of a CLIP with a ViT, but {path} is {kind}; take a ViT-B or ViT-L file")
    width, _, patch, _ = state["visual.conv1.weight"].shape
    num_patches = state["visual.positional_embedding"].shape[0] - 1
    context_length, text_width = state["positional_embedding"].shape

    def depth(prefix: str) -> int:
        return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))

    config = CLIPConfig(
        vision_config={
            "image_size": patch * int(num_patches**0.5), "patch_size": patch, "hidden_size": width,
            "intermediate_size": 4 * width, "num_hidden_layers": depth("visual.transformer.resblocks."),
            "num_attention_heads": width // 64,
        },
        text_config={
            "hidden_size": text_width, "intermediate_size": 4 * text_width,
            "num_hidden_layers": depth("transformer.resblocks."), "num_attention_heads": text_width // 64,
            "vocab_size": state["token_embedding.weight"].shape[0], "max_position_embeddings": context_length,
        },
        projection_dim=state["text_projection"].shape[1],
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config)
    model.load_state_dict(_openai_to_hf(state), strict=True)
    return CLIP(model, _openai_tokenizer(path), name=str(path), mean=CLIP_MEAN, std=CLIP_STD).eval()


def _openai_state(path: Path) -> dict[str, Tensor]:
    try:
        scripted = zipfile.is_zipfile(path) and any("constants.pkl" in n for n in zipfile.ZipFile(path).namelist())
        state = torch.jit.load(path, map_location="cpu").state_dict() if scripted else None
        if state is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds here
        raise ValueError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"expected a state dict in {path}, got {type(state).__name__}")
    sizes = ("input_resolution", "context_length", "vocab_size")  # numbers OpenAI stores beside the weights
    return {k.removeprefix("module."): v.float() for k, v in state.items() if k.removeprefix("module.") not in sizes}


def _openai_to_hf(state: dict[str, Tensor]) -> dict[str, Tensor]:
    rename = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "logit_scale": "logit_scale",
    }
    prefixes = {
        "visual.ln_pre.": "vision_model.pre_layrnorm.",
        "visual.ln_post.": "vision_model.post_layernorm.",
        "visual.transformer.resblocks.": "vision_model.encoder.layers.",
        "transformer.resblocks.": "text_model.encoder.layers.",
        "ln_final.": "text_model.final_layer_norm.",
    }
    inside = {
        ".ln_1.": ".layer_norm1.",
        ".ln_2.": ".layer_norm2.",
        ".attn.": ".self_attn.",
        ".c_fc.": ".fc1.",
        ".c_proj.": ".fc2.",
    }
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == "visual.proj":
            out["visual_projection.weight"] = value.T.contiguous()
        elif key == "text_projection":
            out["text_projection.weight"] = value.T.contiguous()
        elif key in rename:
            out[rename[key]] = value
        else:
            prefix = next((p for p in prefixes if key.startswith(p)), None)
            if prefix is None:
                raise ValueError(f"unexpected weight {key!r} in the OpenAI checkpoint")
            new = prefixes[prefix] + key[len(prefix) :]
            for old, name in inside.items():
                new = new.replace(old, name)
            if ".in_proj_" in new:
                for part, tensor in zip("qkv", value.chunk(3), strict=True):
                    out[re.sub(r"\.in_proj_(weight|bias)", rf".{part}_proj.\1", new)] = tensor
            else:
                out[new] = value
    return out


def _openai_tokenizer(path: Path) -> Any:
    """OpenAI's weights come without the vocabulary: take it from beside the file, else from the hub."""
    file = path.parent / BPE_FILE
    if file.is_file():
        lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
        return bpe_tokenizer([tuple(line.split()) for line in lines])  # type: ignore[misc]
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained("openai/clip-vit-base-patch16")
    except OSError as error:
        raise ValueError(
            f"{path} holds no vocabulary: put OpenAI's {BPE_FILE} beside it, or connect to the hub once"
        ) from error
