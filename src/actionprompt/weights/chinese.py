"""The text tower of Chinese-CLIP, with transformers' own modules."""

from pathlib import Path

import torch
from torch import nn

from actionprompt.backbone import ChineseTextTower
from actionprompt.files import read_json


def text_tower_from_folder(folder: Path) -> ChineseTextTower:
    """The text tower of a Chinese-CLIP folder in Hugging Face format; every weight of it must be in the checkpoint."""
    from transformers import AutoTokenizer, ChineseCLIPModel
    from transformers.utils import logging

    kind = read_json(folder / "config.json").get("model_type")
    if kind != "chinese_clip":
        raise ValueError(
            f"expected a model of type 'chinese_clip', but {folder} is {kind!r}; choose another checkpoint"
        )
    logging.disable_progress_bar()  # a model loads in a second, and a library does not print
    try:
        model, info = ChineseCLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except OSError as error:
        raise ValueError(f"{folder}: the folder is not a complete model: {str(error).splitlines()[0]}") from error
    missing = [key for key in info["missing_keys"] if not key.startswith(("vision_model.", "visual_"))]
    if missing or info["mismatched_keys"]:
        raise ValueError(
            f"{folder}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}"
        )
    return ChineseTextTower(model.text_model, model.text_projection, tokenizer).eval()


def random_text_tower(embed_dim: int) -> ChineseTextTower:
    """One small layer of random weights, one token per character; for tests."""
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
