"""Trains the two models that ship with the package: a small CLIP on ActionWorld's stills, and its Chinese text tower.

    python -m actionprompt.world.train_clip --out DIR --seed 0

does everything from nothing: draws the stills, learns the tokeniser, trains the CLIP (Radford et al., ICML 2021:
symmetric InfoNCE), aligns a Chinese-CLIP text tower (Yang et al., 2022) to it with the image tower locked (LiT, Zhai et
al., CVPR 2022), stores both as fp16 in Hugging Face format in `DIR/tiny_clip` and `DIR/tiny_clip_zh`, and measures what
is stored on held-out stills (`DIR/record.json`). Killed at any point, the same command goes on where it was.

Cost: about 0.55 hours of one core (AMD EPYC with AVX512-BF16; a second core is not used): 0.1 for drawing the stills at
4 ms each, twice; 0.38 for the CLIP; 0.08 for the Chinese tower. On a busy machine of two cores the training took 36
minutes by the clock. Without bf16 in the processor it takes longer; how much has not been measured.

Only single pictures are seen, never their order; the two names of a reversible pair are said of the same pictures,
equally often. Differences from the papers, all possible because it is known what is true of a picture: a text that is
also true of another picture of the batch is no negative for it; every picture is asked about every attribute (`ask`);
both towers are also trained as classifiers of the attributes (`Classifiers`, dropped at the end); at first only a few
patches are seen, those with the figure among them (`encode_some`). The Chinese tower is also drawn to the English
feature of the same sentence (cosine).

Letters: N stills, S side in pixels, E width of the joint space.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import actionprompt
from actionprompt import transforms
from actionprompt.backbone import CLIP, ChineseTextTower
from actionprompt.weights import CLIP_MEAN, CLIP_STD, bpe_tokenizer, load_chinese_text, load_clip
from actionprompt.world import VERSION, Still, render, still
from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.sayings import NAMES_OF, PROMPTS, TEMPLATES, TEMPLATES_ZH, Attributes, ask, say, told, true_of

SIDE_PX, PATCH_PX, EMBED_DIM, CONTEXT_LENGTH = 112, 16, 128, 77
VISION = {"hidden_size": 160, "intermediate_size": 640, "num_hidden_layers": 6, "num_attention_heads": 5}
TEXT = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}
NUM_MERGES = 1500
HELD_OUT_FOLD, NUM_HELD_OUT = 4, 1000
LOG_EVERY, CHECKPOINT_EVERY = 20, 200
CLASSIFIED = (*PROMPTS, "pose", "activity")

Measured = dict[str, Any]


# Stills on disk -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stills:
    """The training pictures."""

    images: UInt8[np.ndarray, "N S S 3"]
    figures: UInt8[np.ndarray, "N P"]
    """How much of each patch is the person or a thing in use, 0..255."""
    attributes: list[Attributes]

    def __getitem__(self, rows: slice) -> "Stills":
        return Stills(self.images[rows], self.figures[rows], self.attributes[rows])


def draw_stills(folder: Path, num_stills: int, *, seed: int) -> Stills:
    """Stills of fold 0 as memory maps; drawn once, resumed where it stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"stills_v{VERSION}_seed{seed}_{num_stills}"

    def memory(kind: str, *shape: int) -> np.memmap:
        file = folder / f"{name}_{kind}.npy"
        mode: Any = "r+" if file.exists() else "w+"
        return np.lib.format.open_memmap(file, mode=mode, dtype=np.uint8, shape=(num_stills, *shape))

    grid = SIDE_PX // PATCH_PX
    images, figures = memory("images", SIDE_PX, SIDE_PX, 3), memory("figures", grid**2)
    table = folder / f"{name}.jsonl"
    attributes = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    while len(attributes) < num_stills:
        start, end = len(attributes), min(len(attributes) + 2000, num_stills)
        seeds = range(1_000_000 * seed + start, 1_000_000 * seed + end)
        for index, drawn in zip(range(start, end), (still(s, size_px=SIDE_PX) for s in seeds), strict=True):
            images[index] = drawn.image
            attributes.append(drawn.attributes)
        with _no_backgrounds():
            for index, drawn in zip(range(start, end), (still(s, size_px=SIDE_PX) for s in seeds), strict=True):
                covered = (drawn.image.max(-1) > 6).reshape(grid, PATCH_PX, grid, PATCH_PX)
                figures[index] = (255 * covered.mean((1, 3))).astype(np.uint8).flatten()
        images.flush()
        figures.flush()
        with table.open("a") as file:
            file.writelines(json.dumps(a) + "\n" for a in attributes[start:])
    return Stills(images, figures, attributes)


@contextmanager
def _no_backgrounds() -> Iterator[None]:
    """Pictures are drawn in front of black."""
    painted = render._background
    setattr(render, "_background", lambda *args: np.zeros_like(painted(*args)))  # noqa: B010
    try:
        yield
    finally:
        setattr(render, "_background", painted)  # noqa: B010


def held_out_stills(num_stills: int) -> list[Still]:
    """Stills of actors and backgrounds that training never saw, no caption twice in either language."""
    found: list[Still] = []
    seen: set[str] = set()
    seed = 0
    while len(found) < num_stills:
        drawn = still(seed, size_px=SIDE_PX, fold=HELD_OUT_FOLD)
        if not {drawn.caption, drawn.caption_zh} & seen:
            found.append(drawn)
            seen |= {drawn.caption, drawn.caption_zh}
        seed += 1
    return found


# Models ---------------------------------------------------------------------------------------------------------------


def label_texts() -> tuple[list[str], list[str]]:
    """English and Chinese class names of every data set the package knows."""
    folder = Path(actionprompt.__file__).parent / "datasets" / "labels"
    tables = [path.read_text("utf-8").splitlines()[1:] for path in sorted(folder.glob("*.tsv"))]
    rows = [row.split("\t") for table in tables for row in table]
    english = [name for a in ACTIVITIES for name in a.names] + [row[1] for row in rows]
    return english, [name for a in ACTIVITIES for name in a.names_zh] + [row[2] for row in rows]


def build_clip(texts: Sequence[str]) -> tuple[Any, CLIP]:
    """A CLIP with random weights and a byte-level BPE learned from `texts`: the Hugging Face model and ours, one set of
    weights."""
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
    return model, CLIP(model, tokenizer, name="tiny", mean=CLIP_MEAN, std=CLIP_STD)


def _sincos(grid: int, width: int) -> Tensor:
    """Two-dimensional sine and cosine positions to start from [P, D] (Beyer et al., 2022, Better plain ViT baselines):
    from CLIP's own start at 0.02 it takes thousands of steps until positions count beside the patches."""
    rate = 1 / 10_000 ** torch.linspace(0, 1, width // 4)
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    angles = [where.flatten()[:, None] * rate for where in (x, y)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)


def _learn_merges(texts: Sequence[str]) -> list[tuple[str, str]]:
    from tokenizers import Tokenizer, models, trainers

    plain = bpe_tokenizer([])
    clip_like, letters = plain.backend_tokenizer, plain.convert_ids_to_tokens(range(2 * 256))
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = clip_like.normalizer, clip_like.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + NUM_MERGES, end_of_word_suffix="</w>", show_progress=False,
        special_tokens=letters,  # with fixed numbers, since numbers break ties between equally frequent pairs
    )  # fmt: skip
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges][:NUM_MERGES]


def build_chinese(texts: Sequence[str], folder: Path) -> tuple[Any, ChineseTextTower]:
    """A Chinese-CLIP with random weights, one token per character of `texts`; its image tower is a stand-in of one tiny
    layer that the format asks for."""
    latin = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    characters = sorted({c for text in texts for c in text.lower() if ord(c) > 127 and not c.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *latin, *(f"##{c}" for c in latin), *characters]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
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
    return model, ChineseTextTower(model.text_model, model.text_projection, tokenizer)


# Training -------------------------------------------------------------------------------------------------------------


def encode_some(
    clip: CLIP, pixels: Float[Tensor, "N 3 S S"], figures: UInt8[np.ndarray, "N P"], keep: int, rng: np.random.Generator
) -> Float[Tensor, "N E"]:
    """The image tower on `keep` patches of each picture: those with the figure first, then others, by lot.

    Leaving patches out saves their cost (FLIP, Li et al., CVPR 2023). Leaving out background makes a small figure a
    large part of what is seen: from whole pictures the tower learns the places at once, and the people hardly at all.
    """
    x = clip.image.pre_norm(clip.image.embed(pixels))
    patches = (rng.random(figures.shape) - (figures > 12)).argsort(1)[:, :keep] + 1
    tokens = torch.from_numpy(np.concatenate([np.zeros((len(x), 1), np.int64), patches], 1))
    x = x.gather(1, tokens[..., None].expand(-1, -1, x.shape[-1]))
    for layer in clip.image.layers:
        x = layer(x)
    return clip.image.project(x[:, 0])


class Classifiers(nn.Module):
    """Directions in the joint space for every value of every attribute, shared by pictures and texts; not kept.

    From random towers InfoNCE alone learns the places at once and then rests for thousands of steps, since sentences
    that differ in one word start almost equal. Classified on their own, both towers leave that start at once.
    """

    def __init__(self, attributes: Sequence[Attributes]) -> None:
        super().__init__()
        self.values = {what: sorted({a[what] for a in attributes}) for what in CLASSIFIED}
        self.rows = nn.ParameterDict({k: 0.05 * torch.randn(len(v), EMBED_DIM) for k, v in self.values.items()})

    def loss(self, features: Float[Tensor, "N E"], facts: Sequence[Attributes], scale: Tensor) -> Tensor:
        """Cross-entropy over scaled cosines, averaged over the attributes; what a row does not tell is not asked."""
        z, losses = F.normalize(features.float(), dim=-1), []
        for what, values in self.values.items():
            which = [row for row, fact in enumerate(facts) if what in fact]
            if which:
                logits = scale * z[which] @ F.normalize(self.rows[what], dim=-1).T
                losses.append(F.cross_entropy(logits, torch.tensor([values.index(facts[row][what]) for row in which])))
        return torch.stack(losses).mean()


def num_kept(progress: float, *, keep: int, num_patches: int) -> int:
    """Patches seen of a picture: `keep` in the first 40 % of the steps, then more and more, all in the last 20 %."""
    return round(keep + (num_patches - keep) * min(max(progress - 0.4, 0.0) / 0.4, 1.0))


def info_nce(
    images: Float[Tensor, "N E"], texts: Float[Tensor, "N E"], scale: Tensor, true: Bool[np.ndarray, "N N"]
) -> Tensor:
    """Symmetric InfoNCE over cosines (CLIP, Fig. 3) in which `true[k, n]` pairs off the diagonal are no negatives."""
    logits = scale * F.normalize(texts.float(), dim=-1) @ F.normalize(images.float(), dim=-1).T
    logits = logits.masked_fill(torch.from_numpy(true & ~np.eye(len(true), dtype=bool)), -torch.inf)
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def batches(num_stills: int, batch_size: int, *, seed: int, start: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """Step and indices of its stills; every epoch is a new permutation, and any step can be the first."""
    per_epoch = num_stills // batch_size
    for step in range(start, end):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch, 1]).permutation(num_stills)
        yield step, np.sort(order[position * batch_size : (position + 1) * batch_size])


def optimise(
    model: nn.Module, loss_of: Callable[[int, np.ndarray], dict[str, Tensor]], *, name: str, out: Path,
    num_stills: int, steps: int, batch_size: int, lr: float, seed: int, log: Callable[[Measured], None],
) -> float:  # fmt: skip
    """AdamW with warm-up and cosine; goes on from `out/<name>.pt`. Returns the core hours spent over all runs."""
    parts = [p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]
    decay = [{"params": parts[0], "weight_decay": 0.1}, {"params": parts[1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(decay, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0)))
    )
    file = out / f"{name}.pt"
    kept: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    start, hours = 0, 0.0
    if file.exists():
        state = torch.load(file, weights_only=True)
        for key, part in kept.items():
            part.load_state_dict(state[key])
        start, hours = state["step"], state["hours"]
    began = time.process_time() - 3600 * hours
    for step, rows in batches(num_stills, batch_size, seed=seed, start=start, end=steps):
        losses = loss_of(step, rows)
        if not bool(torch.isfinite(losses["loss"])):
            raise RuntimeError(f"{name}: the loss is {losses['loss'].item()} at step {step}; lower the learning rate")
        optimizer.zero_grad()
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        hours = (time.process_time() - began) / 3600
        last = step + 1 == steps
        if step % LOG_EVERY == 0 or last:
            numbers = {key: round(float(value.detach()), 4) for key, value in losses.items()}
            log({"stage": name, "step": step, "core_hours": round(hours, 4), **numbers})
        if (step + 1) % CHECKPOINT_EVERY == 0 or last:
            state = {key: part.state_dict() for key, part in kept.items()}
            torch.save({**state, "step": step + 1, "hours": hours}, file.with_suffix(".part"))
            os.replace(file.with_suffix(".part"), file)
    return hours


def train_english(clip: CLIP, stills: Stills, *, keep: int, steps: int, seed: int, **options: Any) -> float:
    """Image and text tower together: InfoNCE with `say`, plus the mean cross-entropy over the questions of `ask`
    about attributes, plus that over its question for the class, plus `Classifiers`, twice for pictures, once for
    texts."""
    classifiers = Classifiers(stills.attributes)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 2])
        about = [stills.attributes[row] for row in rows]
        texts, _, facts = zip(*(say(a, rng) for a in about), strict=True)
        questions = list(ask(about, rng))
        images, figures = stills.images[rows], stills.figures[rows].reshape(len(rows), clip.image.grid, -1)
        mirrored = rng.random(len(rows)) < 0.5  # no text speaks of left and right
        images[mirrored], figures[mirrored] = images[mirrored, :, ::-1], figures[mirrored, :, ::-1]
        pixels = normalise(torch.from_numpy(images), clip)
        now = num_kept(step / steps, keep=keep, num_patches=clip.image.grid**2)
        with fast():
            seen = encode_some(clip, pixels, figures.reshape(len(rows), -1), now, rng)
            said = clip.text(texts).sentence
            answers = clip.text([text for texts, _, _ in questions for text in texts]).sentence
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(100))
        scale = clip.logit_scale.exp()
        match = info_nce(seen, said, scale, true_of(facts, about))
        cosine = F.normalize(seen.float(), dim=-1) @ F.normalize(answers.float(), dim=-1).T
        each = cosine.split([len(texts) for texts, _, _ in questions], dim=1)
        *asked, named = (
            F.cross_entropy(scale * part[who], torch.tensor(value))
            for part, (_, who, value) in zip(each, questions, strict=True) if who
        )  # fmt: skip
        answered = torch.stack(asked).mean() + named
        classified = 2 * classifiers.loss(seen, about, scale) + classifiers.loss(said, facts, scale)
        parts = {"match": match.detach(), "asked": answered.detach(), "classified": classified.detach()}
        return {"loss": match + answered + classified, **parts, "scale": scale.detach()}

    both = nn.ModuleDict({"clip": clip, "classifiers": classifiers})
    num_stills = len(stills.attributes)
    return optimise(both, loss_of, name="tiny_clip", num_stills=num_stills, steps=steps, seed=seed, **options)


def train_chinese(tower: ChineseTextTower, clip: CLIP, stills: Stills, *, seed: int, **options: Any) -> float:
    """The Chinese text tower alone: InfoNCE with the features of the locked image tower, plus 1 - cosine to the English
    feature of the same sentence."""
    seen = encode_images(clip, stills.images)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 3])
        about = [stills.attributes[row] for row in rows]
        texts, texts_zh, facts = zip(*(say(a, rng) for a in about), strict=True)
        with fast():
            with torch.no_grad():
                english = clip.text(texts).sentence
            said = tower(texts_zh)
        match = info_nce(seen[rows], said, clip.logit_scale.detach().exp(), true_of(facts, about))
        apart = (1 - F.cosine_similarity(said.float(), english.float())).mean()
        return {"loss": match + apart, "match": match.detach(), "apart": apart.detach()}

    return optimise(tower, loss_of, name="tiny_clip_zh", num_stills=len(stills.attributes), seed=seed, **options)


@contextmanager
def fast() -> Iterator[None]:
    """bf16 with attention as plain products: on processors with AVX512-BF16 two thirds of fp32's time, while the fused
    attention's backward pass in bf16 takes seven times as long as in fp32 (torch 2.13)."""
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
        yield


# Measuring ------------------------------------------------------------------------------------------------------------


def normalise(images: UInt8[Tensor, "N S S 3"], clip: CLIP) -> Float[Tensor, "N 3 S S"]:
    """As `transforms.normalise`, of single pictures with their channels last."""
    return transforms.normalise(images.permute(0, 3, 1, 2)[:, None], mean=clip.mean, std=clip.std)[:, 0]


@torch.no_grad()
def encode_images(clip: CLIP, images: UInt8[np.ndarray, "N S S 3"]) -> Float[Tensor, "N E"]:
    parts = np.array_split(images, len(images) // 256 + 1)
    return torch.cat([clip.image(normalise(torch.from_numpy(part), clip)) for part in parts])


@torch.no_grad()
def measure(clip: CLIP, chinese: ChineseTextTower, stills: Sequence[Still]) -> dict[str, Measured]:
    """Retrieval and zero-shot accuracy on stills, per language, in percent, each beside what chance gives.

    Retrieval among the N stills: a hit (R@1) is a true partner whose cosine is greater than all others; a tie is a
    miss. `best` is what a perfect model can expect, since a caption may be true of several pictures.
    Zero-shot: the highest cosine among the prompts of `PROMPTS`, over the pictures that have one of its values.
    Classes: the highest among all class names, each the mean over its templates; either name of a reversible pair is
    right, and either rhythm of clapping. `majority` always answers the most frequent value.
    """
    about = [s.attributes for s in stills]
    seen = F.normalize(encode_images(clip, np.stack([s.image for s in stills])), dim=-1)
    true = true_of([told(s.caption, s.attributes) for s in stills], about)
    names = [(en, zh, a.kind) for a in ACTIVITIES for en, zh in zip(a.names, a.names_zh, strict=True)]

    def one_language(encode: Callable[[list[str]], Tensor], zh: int, templates: Sequence[str]) -> Measured:
        captions = encode([(s.caption, s.caption_zh)[zh] for s in stills])
        out: Measured = {"retrieval": {}, "zero-shot": {}}
        for way, cosine, partners in (
            ("image to text", seen @ captions.T, true.T), ("text to image", captions @ seen.T, true)
        ):  # fmt: skip
            others = cosine.masked_fill(torch.eye(len(stills), dtype=torch.bool), -torch.inf)
            rank = (others >= cosine.diagonal()[:, None]).sum(1)
            out["retrieval"][way] = {
                "R@1": _percent(rank < 1), "R@5": _percent(rank < 5), "chance R@1": round(100 / len(stills), 2),
                "best R@1": round(100 * float((1 / partners.sum(1)).mean()), 1),
            }  # fmt: skip
        for what, prompt in PROMPTS.items():
            values = list(prompt.words)
            texts = encode([prompt.text(value, zh) for value in values])
            rows = [row for row, a in enumerate(about) if a[what] in values]
            right = np.array([values.index(about[row][what]) for row in rows])
            guess = (seen[rows] @ texts.T).argmax(1).numpy()
            out["zero-shot"][what] = _accuracy(guess == right, len(values), np.bincount(right).max() / len(right))
        texts = encode([template.format(name[zh]) for name in names for template in templates])
        texts = F.normalize(texts.unflatten(0, (len(names), -1)).mean(1), dim=-1)
        cosine = seen @ texts.T
        for kind in ("still", "cyclic", "reversible"):
            rows = [row for row, a in enumerate(about) if a["kind"] == kind]
            hit = [names[int(cosine[row].argmax())][:2] in NAMES_OF[about[row]["activity"]] for row in rows]
            out["zero-shot"][f"class, {kind}"] = _accuracy(np.array(hit), len(names))
        rows = [row for row, a in enumerate(about) if a["kind"] == "still"]
        some = [index for index, name in enumerate(names) if name[2] == "still"]
        hit = [names[some[int(cosine[row, some].argmax())]][:2] in NAMES_OF[about[row]["activity"]] for row in rows]
        out["zero-shot"]["class, still among still"] = _accuracy(np.array(hit), len(some))
        return out

    return {
        "english": one_language(lambda texts: F.normalize(clip.text(texts).sentence, dim=-1), 0, TEMPLATES),
        "chinese": one_language(lambda texts: F.normalize(chinese(texts), dim=-1), 1, TEMPLATES_ZH),
    }


def _percent(hits: Any) -> float:
    return round(100 * float(np.asarray(hits).mean()), 1)


def _accuracy(hits: np.ndarray, num_values: int, majority: float | None = None) -> Measured:
    out: Measured = {"accuracy": _percent(hits), "n": len(hits), "chance": round(100 / num_values, 1)}
    return out if majority is None else {**out, "majority": round(100 * float(majority), 1)}


# From nothing to two folders ------------------------------------------------------------------------------------------


def store(model: Any, tokenizer: Any, folder: Path) -> None:
    """fp16 weights, configuration, tokeniser and the numbers of the preprocessing, in Hugging Face format."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    side = {"height": SIDE_PX, "width": SIDE_PX}
    numbers = {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True, "resample": 3,
        "size": {"shortest_edge": SIDE_PX}, "do_center_crop": True, "crop_size": side, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers, indent=2) + "\n")


def sha256_of(folder: Path) -> dict[str, str]:
    """File name to SHA-256, for every file of a model folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m actionprompt.world.train_clip", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the two models, record.json, log.jsonl, checkpoints")
    parser.add_argument("--stills", type=Path, help="where the stills lie, 38 kB each; default: OUT/stills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-stills", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=2000, help="of the CLIP")
    parser.add_argument("--steps-zh", type=int, default=1000, help="of the Chinese text tower")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--keep", type=int, default=16, help="patches seen of 49 at first; see `num_kept`")
    parser.add_argument("--num-threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.num_threads)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    commit = _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain", ".") else "")

    def log(line: Measured) -> None:
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    stills = draw_stills(args.stills or out / "stills", args.num_stills, seed=args.seed)
    rng = np.random.default_rng([args.seed, 4])
    texts, texts_zh, _ = zip(*(say(a, rng) for a in stills.attributes[:20_000]), strict=True)
    labels, labels_zh = label_texts()
    options = {"out": out, "batch_size": args.batch_size, "lr": args.lr, "seed": args.seed, "log": log}
    torch.manual_seed(args.seed)
    model, clip = build_clip([*texts, *(t.format(name) for name in labels for t in TEMPLATES)])
    hours = {"tiny_clip": train_english(clip, stills, keep=args.keep, steps=args.steps, **options)}
    model.logit_scale.data.copy_(clip.logit_scale)
    store(model, clip.text.tokenizer, out / "tiny_clip")
    clip = load_clip(out / "tiny_clip")

    some = slice(20_000)
    torch.manual_seed(args.seed)
    model, tower = build_chinese([*texts_zh, *labels_zh, *TEMPLATES_ZH], out / "tiny_clip_zh")
    hours["tiny_clip_zh"] = train_chinese(tower, clip, stills[some], steps=args.steps_zh, **options)
    model.logit_scale.data.copy_(clip.logit_scale)
    store(model, tower.tokenizer, out / "tiny_clip_zh")
    (out / "tiny_clip_zh" / "tokenizer.json").unlink()  # says again what vocab.txt says
    tower = load_chinese_text(out / "tiny_clip_zh")

    cpuinfo = Path("/proc/cpuinfo")
    cpu = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    record = {
        "result": "tiny_clip",
        "command": " ".join(["python -m actionprompt.world.train_clip", *(sys.argv[1:] if argv is None else argv)]),
        "options": {k: v for k, v in vars(args).items() if k not in ("out", "stills")},
        "seed": args.seed,
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
        "hardware": {"cpu": (cpu or [platform.machine()])[0], "cores": os.cpu_count(), "threads": args.num_threads},
        "core_hours": {key: round(value, 3) for key, value in hours.items()},
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, np)},
        "data": {
            "world_version": VERSION, "num_stills": args.num_stills, "stills_sha256": _sha256(stills),
            "labels_sha256": hashlib.sha256("\n".join([*labels, *labels_zh]).encode()).hexdigest(),
        },
        "models": {
            "tiny_clip": {"image_parameters": _size(clip.image), "text_parameters": _size(clip.text)},
            "tiny_clip_zh": {"text_parameters": _size(tower)},
        },
        "files": {f"{f}/{name}": sha for f in hours for name, sha in sha256_of(out / f).items()},
        "bytes": sum(p.stat().st_size for f in hours for p in (out / f).iterdir()),
        "held_out": {
            "fold": HELD_OUT_FOLD, "num_stills": NUM_HELD_OUT, "how": (measure.__doc__ or "").split("\n\n")[1],
            **measure(clip, tower, held_out_stills(NUM_HELD_OUT)),
        },
    }  # fmt: skip
    (out / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _git(*args: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", "-C", here, *args], capture_output=True, text=True, check=True).stdout.strip()


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _sha256(stills: Stills) -> str:
    digest = hashlib.sha256(json.dumps(stills.attributes, sort_keys=True).encode())
    for part in np.array_split(stills.images, len(stills.images) // 1000 + 1):
        digest.update(part.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
