"""What the tiny CLIP knows about stills and about the texts of actions, in English and Chinese."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from actionprompt.backbone import CLIP, TextTower
from actionprompt.world.actions import activities
from actionprompt.world.augment import ASPECT, LUMA
from actionprompt.world.paraphrases import NUM_HELD_OUT, WORDINGS
from actionprompt.world.sayings import (
    CLASSES,
    GROUP_OF,
    GROUPS,
    NAMES_OF,
    PROMPTS,
    TEMPLATES,
    TEMPLATES_ZH,
    told,
    true_of,
)  # fmt: skip
from actionprompt.world.scene import Version
from actionprompt.world.stills import Still
from actionprompt.world.tiny_clip import encode_images

Measured = dict[str, Any]
Encode = Callable[[list[str]], Tensor]
"""Texts to embeddings [N, E]."""


def encoders(clip: CLIP, chinese: TextTower) -> dict[str, Encode]:
    """How the texts of each language are encoded, L2-normalised."""
    return {
        "english": lambda texts: F.normalize(clip.text(texts).sentence, dim=-1),
        "chinese": lambda texts: F.normalize(chinese.sentences(texts), dim=-1),
    }


@torch.no_grad()
def measure(clip: CLIP, chinese: TextTower, stills: Sequence[Still], version: Version) -> dict[str, Measured]:
    """Retrieval and zero-shot accuracy on stills, per language, in percent, each next to the chance level.

    Retrieval among the N stills: a hit (R@1) is a true partner whose cosine is greater than all others; a tie is a
    miss. `best` is the expected score of a perfect model, since a caption may be true of several images.
    Zero-shot: the value whose prompt in `PROMPTS` has the highest cosine, over the images that have one of its values.
    Classes: the highest cosine among all class names of the version, each the mean over its templates; either name of a
    reversible pair is right, and either rhythm of clapping. `majority` always answers the most frequent value.
    """
    about = [s.attributes for s in stills]
    seen = F.normalize(encode_images(clip, np.stack([s.image for s in stills])), dim=-1)
    true = true_of([told(s.caption, s.attributes) for s in stills], about)
    names = [(en, zh, a.kind) for a in activities(version) for en, zh in zip(a.names, a.names_zh, strict=True)]

    def one_language(encode: Encode, zh: int, templates: Sequence[str]) -> Measured:
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
        cosine = seen @ embed_names(encode, [name[zh] for name in names], templates).T
        for kind in dict.fromkeys(a["kind"] for a in about):
            rows = [row for row, a in enumerate(about) if a["kind"] == kind]
            hit = [names[int(cosine[row].argmax())][:2] in NAMES_OF[about[row]["activity"]] for row in rows]
            out["zero-shot"][f"class, {kind}"] = _accuracy(np.array(hit), len(names))
        rows = [row for row, a in enumerate(about) if a["kind"] == "still"]
        some = [index for index, name in enumerate(names) if name[2] == "still"]
        hit = [names[some[int(cosine[row, some].argmax())]][:2] in NAMES_OF[about[row]["activity"]] for row in rows]
        out["zero-shot"]["class, still among still"] = _accuracy(np.array(hit), len(some))
        return out

    encode = encoders(clip, chinese)
    return {
        "english": one_language(encode["english"], 0, TEMPLATES),
        "chinese": one_language(encode["chinese"], 1, TEMPLATES_ZH),
    }


def embed_names(encode: Encode, names: Sequence[str], templates: Sequence[str]) -> Float[Tensor, "K E"]:
    """The mean embedding of each name over the templates, L2-normalised."""
    texts = F.normalize(encode([template.format(name) for name in names for template in templates]), dim=-1)
    return F.normalize(texts.unflatten(0, (len(names), -1)).mean(1), dim=-1)


@torch.no_grad()
def measure_names(clip: CLIP, chinese: TextTower) -> Measured:
    """How well the text towers tell the class names of one group (`GROUPS`) apart, such as an action and its reversal.

    `same images`: for each two such names their cosine, averaged over the templates of each language and as bare
    names. `all`: the mean cosine of two class names. `held-out wordings`, English: the share, in percent, of the
    wordings that no training text holds whose nearest class name is their own; and of those, whose class shares its
    images with another, that are nearer to their own name than to the other's.
    """
    out: Measured = {"same images": [], "all": {}}
    two = [(i, j) for group in GROUPS for i in group for j in group if i < j]
    encode = encoders(clip, chinese)
    cosines = {
        (language, how): (x := embed_names(encode[language], [name[zh] for name in CLASSES], templates)) @ x.T
        for zh, (language, of) in enumerate((("english", TEMPLATES), ("chinese", TEMPLATES_ZH)))
        for how, templates in (("templates", of), ("bare", ("{}",)))
    }
    for i, j in two:
        numbers = {f"{language}, {how}": round(float(c[i, j]), 4) for (language, how), c in cosines.items()}
        out["same images"].append({"names": [CLASSES[i][0], CLASSES[j][0]], **numbers})
    off_diagonal = ~torch.eye(len(CLASSES), dtype=torch.bool)
    for (language, how), cosine in cosines.items():
        out["all"][f"{language}, {how}"] = round(float(cosine[off_diagonal].mean()), 4)
    names = embed_names(encode["english"], [name for name, _ in CLASSES], TEMPLATES)
    unseen = encode["english"]([text for name, _ in CLASSES for text in WORDINGS[name][0][-NUM_HELD_OUT:]])
    own = torch.arange(len(CLASSES)).repeat_interleave(NUM_HELD_OUT)
    cosine = unseen @ names.T
    nearer = [
        cosine[row, i] > cosine[row, j]
        for one, other in two for i, j in ((one, other), (other, one)) for row in (own == i).nonzero().flatten()
    ]  # fmt: skip
    out["held-out wordings"] = {
        "own class": _accuracy((cosine.argmax(1) == own).numpy(), len(CLASSES)),
        "own direction": _accuracy(np.array(nearer), 2),
    }
    return out


CHANGES = ("none", "crops of 0.3 to 1", "grey", "blur")


@torch.no_grad()
def measure_changes(clip: CLIP, stills: Sequence[Still]) -> Measured:
    """Zero-shot accuracy in percent of the class of changed stills by English names, with either name of a group right:
    as they are; after a random crop of 0.3 to 1 of their area with an aspect of 3/4 to 4/3; in grey; after a Gaussian
    blur of 1.5 pixels."""
    names = embed_names(lambda texts: clip.text(texts).sentence, [name for name, _ in CLASSES], TEMPLATES)
    group = torch.tensor([next(g for g, group in enumerate(GROUPS) if k in group) for k in range(len(CLASSES))])
    own = torch.tensor([GROUP_OF[s.attributes["activity"]] for s in stills])
    rng = np.random.default_rng(0)

    def accuracy(change: str) -> Measured:
        seen = encode_images(clip, np.stack([changed(s.image, change, rng) for s in stills]))
        return _accuracy((group[(F.normalize(seen, dim=-1) @ names.T).argmax(1)] == own).numpy(), len(CLASSES))

    return {change: accuracy(change) for change in CHANGES}


def changed(image: UInt8[np.ndarray, "S S 3"], change: str, rng: np.random.Generator) -> UInt8[np.ndarray, "S S 3"]:
    """One of `CHANGES`."""
    side = len(image)
    if change == "grey":
        return np.repeat(np.rint(image @ LUMA).astype(np.uint8)[..., None], 3, axis=-1)
    if change == "blur":
        return cv2.GaussianBlur(image, (0, 0), 1.5)
    if change == "none":
        return image
    area, ratio = side**2 * rng.uniform(0.3, 1), np.exp(rng.uniform(*np.log(ASPECT)))
    height, width = (min(round(float(x)), side) for x in (np.sqrt(area / ratio), np.sqrt(area * ratio)))
    top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    return cv2.resize(image[top : top + height, left : left + width], (side, side), interpolation=cv2.INTER_CUBIC)


def _percent(hits: Any) -> float:
    return round(100 * float(np.asarray(hits).mean()), 1)


def _accuracy(hits: np.ndarray, num_values: int, majority: float | None = None) -> Measured:
    out: Measured = {"accuracy": _percent(hits), "n": len(hits), "chance": round(100 / num_values, 1)}
    return out if majority is None else {**out, "majority": round(100 * float(majority), 1)}
