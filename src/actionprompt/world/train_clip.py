"""Trains the two models that ship with the package: a small CLIP on ActionWorld's stills, and its Chinese text tower.

    python -m actionprompt.world.train_clip --out DIR --seed 0

does everything: draws the stills, learns the tokeniser, trains the CLIP (Radford et al., ICML 2021: symmetric InfoNCE),
aligns a Chinese-CLIP text tower (Yang et al., 2022) to it with the image tower locked (LiT, Zhai et al., CVPR 2022),
stores both as fp16 in Hugging Face format in `DIR/tiny_clip` and `DIR/tiny_clip_zh`, and measures them on held-out
stills (`DIR/record.json`). With `--start FOLDER` training starts from the weights and the tokeniser of a CLIP, such as
one trained on the cleaner stills of version 1. If it is killed at any point, the same command resumes there.

The record has the cost of each stage (`core_hours`). Drawing takes `--num-threads` processes, training as many threads.

The images are changed at random (`augment`): cropped, mirrored, in other colours or in grey, blurred. The models see
single images only, never their order: the two class names of a reversible pair, and the other wordings of both,
describe the same images, equally often, and every image is as near to one as to the other (`free_of_order`). The text
tower tells them apart all the same, since it also learns from texts alone (`told_apart`). Differences from the papers,
all possible because the ground truth of every image is known:

- A text that is also true of another image of the batch is not a negative for that image.
- Every image is classified by the prompts of every attribute (`ask`) and by the class names.
- Both towers are also trained as classifiers of the attributes (`Classifiers`, discarded after training).
- Early in training the image tower sees only a few patches, those that show the figure first (`encode_some`).
- The Chinese tower is also pulled towards the English embedding of the same sentence (cosine).

Letters: N stills, S side in pixels, P patches of a still, K classes, E width of the joint space.
"""

import argparse
import hashlib
import inspect
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from actionprompt import records
from actionprompt.backbone import CLIP, TextTower
from actionprompt.weights import load_chinese_text, load_clip
from actionprompt.world.augment import augment
from actionprompt.world.sayings import (
    ALL_TEMPLATES,
    GROUP_OF,
    GROUPS,
    PROMPTS,
    Attributes,
    ask,
    reworded,
    say,
    true_of,
    without_colours,
    wordings,
)  # fmt: skip
from actionprompt.world.scene import Version
from actionprompt.world.tiny_clip import (
    EMBED_DIM,
    build_chinese,
    build_clip,
    encode_images,
    label_texts,
    normalise,
    reopen_clip,
    sha256_of,
    store_chinese,
    store_clip,
)  # fmt: skip
from actionprompt.world.tiny_clip_scores import Measured, measure, measure_changes, measure_names
from actionprompt.world.training_stills import HELD_OUT_FOLD, PATCH_PX, SIDE_PX, Stills, draw_stills, held_out_stills

NUM_HELD_OUT = 1000
LOG_EVERY, CHECKPOINT_EVERY = 20, 100
"""In steps."""
CLASSIFIED = (*PROMPTS, "pose", "activity")
"""The attributes that `Classifiers` predicts."""
MOST_ALIKE = 0.7
"""Cosine up to which the names of an action and its reversal are pushed apart (`told_apart`)."""
SAME_IMAGES = torch.tensor([(i, j) for group in GROUPS for i in group for j in group if i < j])
"""The pairs of classes whose names are true of the same images."""


def encode_some(
    clip: CLIP, pixels: Float[Tensor, "N 3 S S"], figures: UInt8[np.ndarray, "N P"], keep: int, rng: np.random.Generator
) -> Float[Tensor, "N E"]:
    """The image tower on `keep` patches of each image: the patches that show the figure first, then random others.

    Dropping patches saves their cost (FLIP, Li et al., CVPR 2023). Dropping background patches makes a small figure a
    large part of the input: from whole images the tower quickly learns the places but hardly anything about the people.
    """
    x = clip.image.pre_norm(clip.image.embed(pixels))
    patches = (rng.random(figures.shape) - (figures > 12)).argsort(1)[:, :keep] + 1
    tokens = torch.from_numpy(np.concatenate([np.zeros((len(x), 1), np.int64), patches], 1))
    x = x.gather(1, tokens[..., None].expand(-1, -1, x.shape[-1]))
    for layer in clip.image.layers:
        x = layer(x)
    return clip.image.project(clip.image.frame_token(x))


def encode_texts(tower: TextTower, texts: Sequence[str]) -> Float[Tensor, "N E"]:
    """The texts through a tower in groups of similar length, so that little is spent on padding."""
    order = np.argsort([len(ids) for ids in tower.tokenizer.encode(texts)], kind="stable")
    groups = np.array_split(order, len(texts) // 50 + 1)
    sentences = torch.cat([tower([texts[index] for index in group]).sentence for group in groups])
    return sentences[torch.from_numpy(np.argsort(order))].float()


class Classifiers(nn.Module):
    """A direction in the joint space for every value of every attribute, shared by images and texts; not stored.

    From random weights, InfoNCE alone quickly learns the places and then stays on a plateau for thousands of steps,
    since sentences that differ in one word have almost equal embeddings at first. With these classification losses on
    each tower, training leaves the plateau at once.
    """

    def __init__(self, attributes: Sequence[Attributes]) -> None:
        super().__init__()
        self.values = {what: sorted({a[what] for a in attributes}) for what in CLASSIFIED}
        self.rows = nn.ParameterDict({k: 0.05 * torch.randn(len(v), EMBED_DIM) for k, v in self.values.items()})

    def loss(self, features: Float[Tensor, "N E"], facts: Sequence[Attributes], scale: Tensor) -> Tensor:
        """Cross-entropy over scaled cosines, averaged over attributes; each uses the rows whose facts state it."""
        z, losses = F.normalize(features.float(), dim=-1), []
        for what, values in self.values.items():
            which = [row for row, fact in enumerate(facts) if what in fact]
            if which:
                logits = scale * z[which] @ F.normalize(self.rows[what], dim=-1).T
                losses.append(F.cross_entropy(logits, torch.tensor([values.index(facts[row][what]) for row in which])))
        return torch.stack(losses).mean()


def num_kept(progress: float, *, keep: int, num_patches: int) -> int:
    """How many patches of an image are encoded: `keep` in the first 40 % of the steps, then linearly more up to all
    patches, which the last 20 % of the steps see."""
    return round(keep + (num_patches - keep) * min(max(progress - 0.4, 0.0) / 0.4, 1.0))


def info_nce(
    images: Float[Tensor, "N E"], texts: Float[Tensor, "N E"], scale: Tensor, true: Bool[np.ndarray, "N N"]
) -> Tensor:
    """Symmetric InfoNCE over cosines (CLIP, Fig. 3); pairs off the diagonal with `true[k, n]`, text k being true of
    image n, are excluded from the negatives."""
    logits = scale * F.normalize(texts.float(), dim=-1) @ F.normalize(images.float(), dim=-1).T
    logits = logits.masked_fill(torch.from_numpy(true & ~np.eye(len(true), dtype=bool)), -torch.inf)
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def told_apart(texts: Float[Tensor, "2 K E"], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Two losses on L2-normalised embeddings of two wordings of every class: InfoNCE between the two, with all other
    classes as negatives; and the mean of relu(cosine - `MOST_ALIKE`)^2 between the wordings of an action and those of
    its reversal, or of any two classes of `SAME_IMAGES`."""
    logits, labels = scale * texts[0] @ texts[1].T, torch.arange(texts.shape[1])
    one, other = texts[:, SAME_IMAGES[:, 0]], texts[:, SAME_IMAGES[:, 1]]
    cosine = torch.einsum("ape,bpe->abp", one, other)
    match = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    return match, F.relu(cosine - MOST_ALIKE).square().mean()


def free_of_order(images: Float[Tensor, "N E"], texts: Float[Tensor, "2 K E"], scale: Tensor) -> Tensor:
    """How far images are from being equally near to the two classes of each pair of `SAME_IMAGES`: the squared
    difference of their logits, summed over the pairs and averaged over images and wordings. What tells the names of an
    action and of its reversal apart then lies where no image has a component, so that no phase of an action looks like
    one of the two."""
    apart = texts[:, SAME_IMAGES[:, 0]] - texts[:, SAME_IMAGES[:, 1]]
    return (scale * images @ apart.transpose(1, 2)).square().sum(-1).mean()


def classified(
    images: Float[Tensor, "N E"], texts: Float[Tensor, "2 K E"], about: Sequence[Attributes], scale: Tensor,
    rng: np.random.Generator,
) -> Tensor:  # fmt: skip
    """Cross-entropy of the class of each image among one class of each group, by each of the two wordings; of classes
    that are true of the same images, a random one stands for the group."""
    labels = torch.tensor([GROUP_OF[a["activity"]] for a in about])
    losses = []
    for of in texts:
        some = of[[group[int(rng.integers(len(group)))] for group in GROUPS]]
        losses.append(F.cross_entropy(scale * images @ some.T, labels))
    return torch.stack(losses).mean()


def batches(num_stills: int, batch_size: int, *, seed: int, start: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """Steps `start` to `end`, each with the indices of its stills; every epoch is a new permutation of all stills."""
    per_epoch = num_stills // batch_size
    if per_epoch < 1:
        raise ValueError(f"expected at least one batch of {batch_size} stills, got {num_stills}")
    drawn, order = -1, np.empty(0, np.int64)
    for step in range(start, end):
        epoch, position = divmod(step, per_epoch)
        if epoch != drawn:
            drawn, order = epoch, np.random.default_rng([seed, epoch, 1]).permutation(num_stills)
        yield step, np.sort(order[position * batch_size : (position + 1) * batch_size])


def optimise(
    model: nn.Module, loss_of: Callable[[int, np.ndarray], dict[str, Tensor]], *, name: str, out: Path,
    num_stills: int, steps: int, batch_size: int, lr: float, seed: int, log: Callable[[Measured], None],
) -> float:  # fmt: skip
    """AdamW with warm-up and cosine decay; resumes from `out/<name>.pt`. Returns the core hours over all runs."""
    parts = [p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]
    decay = [{"params": parts[0], "weight_decay": 0.1}, {"params": parts[1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(decay, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 0.5 + 0.5 * math.cos(math.pi * min(step / max(steps, 1), 1.0)))
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
    """Trains image and text tower together and returns the core hours.

    The loss is the sum of: InfoNCE with the texts of `say`; the mean cross-entropy over the attribute questions of
    `ask`; `classified`; the losses of `Classifiers`, with weight 2 for the images and 1 for the texts; and, of two
    wordings of every class, the losses of `told_apart` with weights 0.5 and 10 and `free_of_order` with weight 0.5.
    These three weights and the strength of the changes of images rise from 0 over the first 20 % of the steps: with
    these weights in full from the start, the image tower had learned hardly anything after 80 steps.
    """
    classifiers = Classifiers(stills.attributes)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 2])
        strength = min(5 * step / steps, 1.0)
        images, figures, about = changed(stills, rows, rng, strength)
        texts, _, facts = zip(*(say(a, rng) for a in about), strict=True)
        questions = list(ask(about))
        asked = [text for texts, _, _ in questions for text in texts]
        pixels = normalise(torch.from_numpy(images), clip)
        now = num_kept(step / steps, keep=keep, num_patches=clip.image.grid**2)
        with fast():
            seen = encode_some(clip, pixels, figures, now, rng)
            said, answers = encode_texts(clip.text, [*texts, *asked, *wordings(0, rng)]).tensor_split([len(texts)])
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(100))
        scale = clip.logit_scale.exp()
        match = info_nce(seen, said, scale, true_of(facts, about))
        z, answers = F.normalize(seen.float(), dim=-1), F.normalize(answers, dim=-1)
        each = (z @ answers[: len(asked)].T).split([len(texts) for texts, _, _ in questions], dim=1)
        answered = torch.stack([
            F.cross_entropy(scale * part[who], torch.tensor(value))
            for part, (_, who, value) in zip(each, questions, strict=True) if who
        ]).mean()  # fmt: skip
        worded = answers[len(asked) :].unflatten(0, (2, -1))
        named = classified(z, worded, about, scale, rng)
        same, apart = told_apart(worded, scale.detach())
        parts = {
            "match": match, "asked": answered, "named": named, "images": 2 * classifiers.loss(seen, about, scale),
            "texts": classifiers.loss(said, facts, scale), "same": 0.5 * strength * same,
            "apart": 10 * strength * apart, "order": 0.5 * strength * free_of_order(z, worded, scale.detach()),
        }  # fmt: skip
        return {"loss": torch.stack(list(parts.values())).sum(), **parts, "scale": scale}

    both = nn.ModuleDict({"clip": clip, "classifiers": classifiers})
    num_stills = len(stills.attributes)
    return optimise(both, loss_of, name="tiny_clip", num_stills=num_stills, steps=steps, seed=seed, **options)


def changed(
    stills: Stills, rows: np.ndarray, rng: np.random.Generator, strength: float = 1.0
) -> tuple[UInt8[np.ndarray, "N S S 3"], UInt8[np.ndarray, "N P"], list[Attributes]]:
    """Augmented stills, the share of each patch that shows the figure, and what is known of each image."""
    images, masks, grey = zip(
        *(augment(stills.images[row], stills.masks[row], rng, strength) for row in rows), strict=True
    )
    about = [
        without_colours(stills.attributes[row]) if g else stills.attributes[row]
        for row, g in zip(rows, grey, strict=True)
    ]
    grid = SIDE_PX // PATCH_PX
    cells = np.stack(masks).reshape(len(rows), grid, len(masks[0]) // grid, grid, len(masks[0]) // grid)
    return np.stack(images), cells.mean((2, 4)).astype(np.uint8).reshape(len(rows), -1), about


def train_chinese(tower: TextTower, clip: CLIP, stills: Stills, *, seed: int, **options: Any) -> float:
    """Trains the Chinese text tower alone and returns the core hours.

    The loss is the sum of: InfoNCE with the embeddings of the locked image tower; 1 - cosine to the English embedding
    of the same sentence; and, of two wordings of every class, the losses of `told_apart` with weights 0.5 and 10 and
    1 - cosine to two English wordings of the class.
    """
    seen = encode_images(clip, stills.images)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 3])
        about = [stills.attributes[row] for row in rows]
        texts, texts_zh, facts = zip(*(say(a, rng) for a in about), strict=True)
        with fast():
            with torch.no_grad():
                english, names = encode_texts(clip.text, [*texts, *wordings(0, rng)]).tensor_split([len(texts)])
            said, said_names = encode_texts(tower, [*texts_zh, *wordings(1, rng)]).tensor_split([len(texts)])
        scale = clip.logit_scale.detach().exp()
        match = info_nce(seen[rows], said, scale, true_of(facts, about))
        away = (1 - F.cosine_similarity(said, english)).mean() + (1 - F.cosine_similarity(said_names, names)).mean()
        same, apart = told_apart(F.normalize(said_names, dim=-1).unflatten(0, (2, -1)), scale)
        parts = {"match": match, "away": away, "same": 0.5 * same, "apart": 10 * apart}
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    return optimise(tower, loss_of, name="tiny_clip_zh", num_stills=len(stills.attributes), seed=seed, **options)


@contextmanager
def fast() -> Iterator[None]:
    """bf16 autocast with unfused attention where the processor has AVX512-BF16, where the backward pass of fused
    attention is slower than in fp32 (torch 2.13). Elsewhere fp32, since bf16 is slower than fp32 there."""
    if torch.cpu._is_avx512_bf16_supported():
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
            yield
    else:
        yield


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m actionprompt.world.train_clip", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the two models, record.json, log.jsonl, checkpoints")
    parser.add_argument("--stills", type=Path, help="folder of the stills, 38 kB each; default: OUT/stills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--version", choices=("1", "2"), default="2", help="of ActionWorld")
    parser.add_argument("--num-stills", type=int, default=240_000)
    parser.add_argument("--start", type=Path, help="folder of a CLIP with its tokeniser; default: random weights")
    parser.add_argument("--steps", type=int, default=3200, help="of the CLIP; 0 keeps that of --start")
    parser.add_argument("--steps-zh", type=int, default=1000, help="of the Chinese text tower")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--keep", type=int, default=16, help="patches encoded of 49 at first; see `num_kept`")
    parser.add_argument("--num-threads", type=int, default=2, help="and processes that draw")
    args = parser.parse_args(argv)
    if args.steps == 0 and args.start is None:
        parser.error("--steps 0 trains no CLIP: give the folder of the one to keep as --start")
    torch.set_num_threads(args.num_threads)
    cv2.setNumThreads(1)  # such small images are not worth sharing
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    started, commit = time.time(), records.commit()  # now: it may change until the end

    def log(line: Measured) -> None:
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    stills = draw_stills(
        args.stills or out / "stills", args.num_stills, seed=args.seed, version=args.version,
        num_processes=args.num_threads,
    )  # fmt: skip
    some = slice(20_000)
    rng = np.random.default_rng([args.seed, 4])
    texts, texts_zh, _ = zip(*(say(a, rng) for a in stills[some].attributes), strict=True)
    labels, labels_zh = label_texts()
    options = {"out": out, "batch_size": args.batch_size, "lr": args.lr, "seed": args.seed, "log": log}
    torch.manual_seed(args.seed)
    learned = [*texts, *_templated(labels, 0), *_templated(reworded(0), 0)]
    model, clip = build_clip(learned) if args.start is None else reopen_clip(args.start)
    hours = {"stills": stills.core_hours}
    hours["tiny_clip"] = train_english(clip, stills, keep=args.keep, steps=args.steps, **options)
    store_clip(model, clip, out / "tiny_clip")
    clip = load_clip(out / "tiny_clip")

    torch.manual_seed(args.seed)
    model, tower = build_chinese([*texts_zh, *_templated([*labels_zh, *reworded(1)], 1)], out / "tiny_clip_zh")
    hours["tiny_clip_zh"] = train_chinese(tower, clip, stills[some], steps=args.steps_zh, **options)
    model.logit_scale.data.copy_(clip.logit_scale)
    store_chinese(model, tower, out / "tiny_clip_zh")
    tower = load_chinese_text(out / "tiny_clip_zh")

    folders = ("tiny_clip", "tiny_clip_zh")
    versions: tuple[Version, ...] = ("1", "2")
    held_out = {version: held_out_stills(NUM_HELD_OUT, version) for version in versions}
    record = {
        "result": "tiny_clip",
        **records.provenance(seed=args.seed, started=started),
        "command": " ".join(["python -m actionprompt.world.train_clip", *map(records.public, argv or sys.argv[1:])]),
        "commit": commit,
        "options": {k: v for k, v in vars(args).items() if k not in ("out", "stills", "start")},
        "start": None if args.start is None else sha256_of(args.start),
        "core_hours": {key: round(value, 3) for key, value in hours.items()},
        "data": {
            "world_version": args.version, "num_stills": args.num_stills, "stills_sha256": stills.sha256,
            "labels_sha256": hashlib.sha256("\n".join([*labels, *labels_zh]).encode()).hexdigest(),
        },
        "models": {
            "tiny_clip": {"image_parameters": _size(clip.image), "text_parameters": _size(clip.text)},
            "tiny_clip_zh": {"text_parameters": _size(tower)},
        },
        "files": {f"{f}/{name}": sha for f in folders for name, sha in sha256_of(out / f).items()},
        "bytes": sum(p.stat().st_size for f in folders for p in (out / f).iterdir()),
        "names": {"how": _about(measure_names), **measure_names(clip, tower)},
        "held_out": {
            "fold": HELD_OUT_FOLD, "num_stills": NUM_HELD_OUT, "how": _about(measure),
            "how_changed": _about(measure_changes),
            **{
                f"version {version}": {
                    **measure(clip, tower, of, version), "class of changed stills": measure_changes(clip, of)
                }
                for version, of in held_out.items()
            },
        },
    }  # fmt: skip
    records.write(out / "record.json", record)


def _templated(texts: Sequence[str], language: int) -> list[str]:
    return [template.format(text) for text in texts for template in ALL_TEMPLATES[language]]


def _about(measured: Callable[..., Any]) -> str:
    """The part of a docstring that says how something is measured."""
    return inspect.cleandoc(measured.__doc__ or "").split("\n\n")[-1]


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    main()
