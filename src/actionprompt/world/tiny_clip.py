"""The two models that ship with the package: how they are built with random weights, applied to stills, and stored.

A CLIP (Radford et al., ICML 2021) for frames of 112 px, and the text tower of a Chinese-CLIP (Yang et al., 2022) that
shares its joint embedding space.

Letters: N stills, S side in pixels, P patches of a still, D width of the image tower, E width of the joint space.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float, UInt8
from tokenizers import Tokenizer, models, trainers
from torch import Tensor, nn

from actionprompt import transforms
from actionprompt.backbone import CLIP, CLIPShape, TextTower, TowerShape
from actionprompt.config import CLIP_MEAN, CLIP_STD, Pixels
from actionprompt.weights import load_clip
from actionprompt.weights.assemble import assemble, assemble_text
from actionprompt.weights.families import hugging_face_names, own_names, shape_of
from actionprompt.weights.tokenizer import EOT, SOS, bert_tokenizer, bpe_tokenizer
from actionprompt.world.sayings import CLASSES
from actionprompt.world.training_stills import PATCH_PX, SIDE_PX

EMBED_DIM, CONTEXT_LENGTH = 128, 77
VISION = {"hidden_size": 160, "intermediate_size": 640, "num_hidden_layers": 6, "num_attention_heads": 5}
TEXT = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}
NUM_MERGES = 1500


def label_texts() -> tuple[list[str], list[str]]:
    """English and Chinese class names of every data set in the package."""
    folder = Path(__file__).parents[1] / "datasets" / "labels"
    tables = [path.read_text("utf-8").splitlines()[1:] for path in sorted(folder.glob("*.tsv"))]
    rows = [row.split("\t") for table in tables for row in table]
    english, chinese = zip(*CLASSES, *((row[1], row[2]) for row in rows), strict=True)
    return list(english), list(chinese)


# Building -------------------------------------------------------------------------------------------------------------


def build_clip(texts: Sequence[str]) -> tuple[Any, CLIP]:
    """A CLIP with random weights and a byte-level BPE learned from `texts`: the Hugging Face model, for its initial
    values and its configuration file, and our `CLIP` with the same weights."""
    tokenizer = bpe_tokenizer(_learn_merges(texts))
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = transformers.CLIPConfig(
        vision_config={**VISION, "image_size": SIDE_PX, "patch_size": PATCH_PX, "projection_dim": EMBED_DIM},
        text_config={
            **TEXT, **special, "pad_token_id": tokenizer.eos_token_id, "vocab_size": len(tokenizer),
            "max_position_embeddings": CONTEXT_LENGTH, "projection_dim": EMBED_DIM,
        },
        projection_dim=EMBED_DIM,
    )  # fmt: skip
    model = transformers.CLIPModel(config)
    positions = model.vision_model.embeddings.position_embedding.weight
    positions.data[1:] = 0.3 * _sincos(SIDE_PX // PATCH_PX, positions.shape[1])
    image, text = (
        TowerShape(
            width=tower["hidden_size"], num_layers=tower["num_hidden_layers"], num_heads=tower["num_attention_heads"],
            mlp_width=tower["intermediate_size"],
        )
        for tower in (VISION, TEXT)
    )  # fmt: skip
    shape = CLIPShape(image, text, SIDE_PX, PATCH_PX, len(tokenizer), CONTEXT_LENGTH, EMBED_DIM)
    weights = own_names(model.state_dict())
    clip = assemble(shape, weights, tokenizer, name="tiny", pixels=Pixels(), where="initial values")
    return model, clip


def reopen_clip(folder: Path) -> tuple[Any, CLIP]:
    """A stored CLIP, to be trained further: the Hugging Face model and our `CLIP`, as `build_clip` returns them."""
    clip = load_clip(folder).float().requires_grad_(True)
    return transformers.CLIPModel.from_pretrained(folder).float(), clip


def _sincos(grid: int, width: int) -> Float[Tensor, "P D"]:
    """Two-dimensional sine-cosine position embeddings as initial values (Beyer et al., 2022, Better plain ViT
    baselines): CLIP's own initialisation (standard deviation 0.02) needs thousands of steps until the position
    embeddings matter next to the patch embeddings."""
    rate = 1 / 10_000 ** torch.linspace(0, 1, width // 4)
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    angles = [where.flatten()[:, None] * rate for where in (x, y)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)


def _learn_merges(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The first `NUM_MERGES` BPE merges learned from `texts`, after CLIP's own normalisation and word splitting."""
    plain = bpe_tokenizer([])
    letters = [token for token in plain.vocab if token not in (SOS, EOT)]
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = plain.backend.normalizer, plain.backend.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + NUM_MERGES, end_of_word_suffix="</w>", show_progress=False,
        special_tokens=letters,  # with fixed ids, since ids break ties between equally frequent pairs
    )  # fmt: skip
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges][:NUM_MERGES]


def build_chinese(texts: Sequence[str], folder: Path) -> tuple[Any, TextTower]:
    """A Chinese-CLIP with random weights and one token per character of `texts`, its vocabulary written to `folder`;
    its image tower is a placeholder of one tiny layer, since the format requires one."""
    latin = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    characters = sorted({c for text in texts for c in text.lower() if ord(c) > 127 and not c.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *latin, *(f"##{c}" for c in latin), *characters]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = transformers.ChineseCLIPConfig(
        text_config={
            **TEXT, "vocab_size": len(words), "max_position_embeddings": CONTEXT_LENGTH, "pad_token_id": 0,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        },
        vision_config={
            "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "image_size": 16, "patch_size": 16,
        },
        projection_dim=EMBED_DIM,
    )  # fmt: skip
    model = transformers.ChineseCLIPModel(config)
    for weight in [*model.vision_model.parameters(), *model.visual_projection.parameters()]:
        nn.init.zeros_(weight)
    shape = shape_of(config.to_dict(), "chinese_clip", "initial values")
    weights = {k: v for k, v in own_names(model.state_dict(), "chinese_clip").items() if k.startswith("text.")}
    tokenizer = bert_tokenizer({word: index for index, word in enumerate(words)})
    return model, assemble_text(shape, weights, tokenizer, where="initial values")


# Applying -------------------------------------------------------------------------------------------------------------


def normalise(images: UInt8[Tensor, "N S S 3"], clip: CLIP) -> Float[Tensor, "N 3 S S"]:
    """`transforms.normalise` for single images whose channels are the last axis."""
    return transforms.normalise(images.permute(0, 3, 1, 2)[:, None], mean=clip.pixels.mean, std=clip.pixels.std)[:, 0]


@torch.no_grad()
def encode_images(clip: CLIP, images: UInt8[np.ndarray, "N S S 3"]) -> Float[Tensor, "N E"]:
    """Image embeddings (not L2-normalised), computed in batches of at most 256."""
    parts = np.array_split(images, len(images) // 256 + 1)
    return torch.cat([clip.image(normalise(torch.from_numpy(part), clip)) for part in parts])


# Storing --------------------------------------------------------------------------------------------------------------


def store_clip(model: Any, clip: CLIP, folder: Path) -> None:
    """The weights of `clip` in fp16, the configuration of `model`, tokeniser and preprocessing parameters, in Hugging
    Face format."""
    model.load_state_dict(hugging_face_names(clip.state_dict()))
    _store_model(model, folder)
    tokenizer: Any = clip.text.tokenizer
    tokenizer.save(folder)


def store_chinese(model: Any, tower: TextTower, folder: Path) -> None:
    """The same for a Chinese-CLIP, whose image tower is the one of `model`."""
    own = {f"text.{key}": value for key, value in tower.state_dict().items()}
    model.load_state_dict({**model.state_dict(), **hugging_face_names(own, "chinese_clip")})
    _store_model(model, folder)
    tokenizer: Any = tower.tokenizer
    tokenizer.save(folder)
    (folder / "tokenizer.json").unlink()  # repeats vocab.txt


def _store_model(model: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.float()
    side = {"height": SIDE_PX, "width": SIDE_PX}
    numbers = {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True, "resample": 3,
        "size": {"shortest_edge": SIDE_PX}, "do_center_crop": True, "crop_size": side, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers, indent=2) + "\n")


def sha256_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model folder, by file name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
