"""Trains the two models that ship with the package: a small CLIP on ActionWorld's stills, and its Chinese text tower.

    python -m actionprompt.world.train_clip --out DIR --seed 0

does everything from scratch: draws the stills, learns the tokeniser, trains the CLIP (Radford et al., ICML 2021:
symmetric InfoNCE), aligns a Chinese-CLIP text tower (Yang et al., 2022) to it with the image tower locked (LiT, Zhai et
al., CVPR 2022), stores both as fp16 in Hugging Face format in `DIR/tiny_clip` and `DIR/tiny_clip_zh`, and measures the
stored models on held-out stills (`DIR/record.json`). If it is killed at any point, the same command resumes there.

Cost: about 0.55 hours of one core (AMD EPYC with AVX512-BF16; a second core is not used): 0.1 for drawing the stills at
4 ms each, twice; 0.38 for the CLIP; 0.08 for the Chinese tower. On a busy two-core machine the training took 36 minutes
of wall-clock time. Without bf16 in the processor it takes longer; how much has not been measured.

The models see single images only, never their order; the two class names of a reversible pair describe the same images,
equally often. Differences from the papers, all possible because the ground truth of every image is known:

- A text that is also true of another image of the batch is not a negative for that image.
- Every image is classified by the prompts of every attribute (`ask`).
- Both towers are also trained as classifiers of the attributes (`Classifiers`, discarded after training).
- Early in training the image tower sees only a few patches, those that show the figure first (`encode_some`).
- The Chinese tower is also pulled towards the English embedding of the same sentence (cosine).

Letters: N stills, S side in pixels, P patches of a still, E width of the joint space.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from actionprompt import records
from actionprompt.backbone import CLIP, TextTower
from actionprompt.weights import load_chinese_text, load_clip
from actionprompt.world.sayings import PROMPTS, TEMPLATES, TEMPLATES_ZH, Attributes, ask, say, true_of
from actionprompt.world.scene import VERSION
from actionprompt.world.tiny_clip import (
    EMBED_DIM,
    build_chinese,
    build_clip,
    encode_images,
    label_texts,
    normalise,
    sha256_of,
    store_chinese,
    store_clip,
)  # fmt: skip
from actionprompt.world.tiny_clip_scores import Measured, measure
from actionprompt.world.training_stills import HELD_OUT_FOLD, Stills, draw_stills, held_out_stills

NUM_HELD_OUT = 1000
LOG_EVERY, CHECKPOINT_EVERY = 20, 200
"""In steps."""
CLASSIFIED = (*PROMPTS, "pose", "activity")
"""The attributes that `Classifiers` predicts."""


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


def batches(num_stills: int, batch_size: int, *, seed: int, start: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """Steps `start` to `end`, each with the indices of its stills; every epoch is a new permutation of all stills."""
    per_epoch = num_stills // batch_size
    for step in range(start, end):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch, 1]).permutation(num_stills)
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
    """Trains image and text tower together and returns the core hours.

    The loss is the sum of: InfoNCE with the texts of `say`; the mean cross-entropy over the attribute questions of
    `ask`; the cross-entropy of its class question; the losses of `Classifiers`, with weight 2 for the images and 1 for
    the texts.
    """
    classifiers = Classifiers(stills.attributes)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 2])
        about = [stills.attributes[row] for row in rows]
        texts, _, facts = zip(*(say(a, rng) for a in about), strict=True)
        questions = list(ask(about, rng))
        images, figures = stills.images[rows], stills.figures[rows].reshape(len(rows), clip.image.grid, -1)
        mirrored = rng.random(len(rows)) < 0.5  # no text mentions left or right
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


def train_chinese(tower: TextTower, clip: CLIP, stills: Stills, *, seed: int, **options: Any) -> float:
    """Trains the Chinese text tower alone and returns the core hours: InfoNCE with the embeddings of the locked image
    tower, plus 1 - cosine to the English embedding of the same sentence."""
    seen = encode_images(clip, stills.images)

    def loss_of(step: int, rows: np.ndarray) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step, 3])
        about = [stills.attributes[row] for row in rows]
        texts, texts_zh, facts = zip(*(say(a, rng) for a in about), strict=True)
        with fast():
            with torch.no_grad():
                english = clip.text(texts).sentence
            said = tower(texts_zh).sentence
        match = info_nce(seen[rows], said, clip.logit_scale.detach().exp(), true_of(facts, about))
        apart = (1 - F.cosine_similarity(said.float(), english.float())).mean()
        return {"loss": match + apart, "match": match.detach(), "apart": apart.detach()}

    return optimise(tower, loss_of, name="tiny_clip_zh", num_stills=len(stills.attributes), seed=seed, **options)


@contextmanager
def fast() -> Iterator[None]:
    """bf16 autocast with unfused attention: on processors with AVX512-BF16 this takes two thirds of the time of fp32,
    while the backward pass of fused attention takes seven times as long in bf16 as in fp32 (torch 2.13)."""
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
        yield


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m actionprompt.world.train_clip", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the two models, record.json, log.jsonl, checkpoints")
    parser.add_argument("--stills", type=Path, help="folder of the stills, 38 kB each; default: OUT/stills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-stills", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=2000, help="of the CLIP")
    parser.add_argument("--steps-zh", type=int, default=1000, help="of the Chinese text tower")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--keep", type=int, default=16, help="patches encoded of 49 at first; see `num_kept`")
    parser.add_argument("--num-threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.num_threads)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    started, commit = time.time(), records.commit()  # now: it may change until the end

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
    store_clip(model, clip, out / "tiny_clip")
    clip = load_clip(out / "tiny_clip")

    some = slice(20_000)
    torch.manual_seed(args.seed)
    model, tower = build_chinese([*texts_zh, *labels_zh, *TEMPLATES_ZH], out / "tiny_clip_zh")
    hours["tiny_clip_zh"] = train_chinese(tower, clip, stills[some], steps=args.steps_zh, **options)
    model.logit_scale.data.copy_(clip.logit_scale)
    store_chinese(model, tower, out / "tiny_clip_zh")
    tower = load_chinese_text(out / "tiny_clip_zh")

    record = {
        "result": "tiny_clip",
        **records.provenance(seed=args.seed, started=started),
        "command": " ".join(["python -m actionprompt.world.train_clip", *(sys.argv[1:] if argv is None else argv)]),
        "commit": commit,
        "options": {k: v for k, v in vars(args).items() if k not in ("out", "stills")},
        "core_hours": {key: round(value, 3) for key, value in hours.items()},
        "data": {
            "world_version": VERSION, "num_stills": args.num_stills, "stills_sha256": stills.sha256,
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
    records.write(out / "record.json", record)


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    main()
