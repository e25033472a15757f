"""None of these, without a clip of it: unrelated actions as classes next to the asked labels.

The classes of the method are the K asked labels and M null names: generic ones, and actions of the data sets whose
class names ship with the package, less those that are near to an asked label. The M null logits n become one, of the
weight of `WEIGHT` classes:

    none = log(mean_m exp(n_m)) + log(WEIGHT)

With it the softmax goes over K + 1 classes. Scored independently, each label has a softmax of its own against the null
names that are not near to it. Trained methods favour what they were trained on over every null name: there frozen CLIP
judges instead, where it sees the same frames (`Predictor`). What this gains: results/timeline.md.

Negative labels for rejection are those of Jiang et al. (ICLR 2024), who choose the ones farthest from the labels, and
leave each its own weight.

Letters: N clips or views, K asked labels, M null names, E width of the joint space.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from actionprompt.clips import is_chinese
from actionprompt.datasets import read_labels
from actionprompt.method import Method

GENERIC = (
    ("standing still", "站着不动"), ("doing nothing", "什么也不做"), ("doing something else", "做别的事"),
    ("looking around", "环顾四周"),
)  # fmt: skip
"""What people do when nothing happens, in English and Chinese; these stay whatever is asked."""
SOURCES = ("hmdb51", "kinetics400", "kinetics600", "ucf101", "ut_interaction")
"""The data sets whose class names are unrelated actions: those that name an action, not a movement of `something`."""
MOST = 64
"""Of their names, evenly spaced in the alphabet. All 755 add at most 1.4 points of AUROC on
ActionWorld (results/timeline.md), and are twelve times as many to encode."""
NEAR = 0.5
"""Cosine of text embeddings, less their mean, above which a null name is near to a label."""
WEIGHT = 4.0
"""How many classes all null names together weigh. Of 1, 2, 4, 8 and 16 the one with the highest sum of known clips kept
and unknown ones rejected on validation clips of ActionWorld, with the embedded CLIP (results/timeline.md)."""
TEMPLATE = "a video of a person {}."


def unrelated(most: int | None = MOST) -> tuple[tuple[str, str], ...]:
    """The actions of `SOURCES` in English and Chinese: all, or `most` of them, evenly spaced in the alphabet."""
    found: dict[str, str] = {}
    for source in SOURCES:
        labels = read_labels(source)
        assert labels.chinese is not None
        found = dict(zip(labels.english, labels.chinese, strict=True)) | found
    names, most = sorted(found.items()), len(found) if most is None else min(most, len(found))
    return tuple(names[place * len(names) // most] for place in range(most))


@dataclass(frozen=True)
class Nulls:
    """The null names of a list of labels."""

    names: tuple[str, ...]
    """What `Method.set_classes` is given after the labels; M of them."""
    names_zh: tuple[str, ...]
    """The same in Chinese."""
    apart: Bool[Tensor, "K M"]
    """Which of them are not near to which label."""

    def joint(self, logits: Float[Tensor, "*N L"]) -> Float[Tensor, "*N C"]:
        """Probabilities of the labels and, last, of none of these; they sum to 1."""
        asked, null = self._split(logits)
        return torch.cat([asked, _pooled(null, self.apart.all(0).to(null.device))[..., None]], -1).softmax(-1)

    def independent(self, logits: Float[Tensor, "*N L"]) -> Float[Tensor, "*N K"]:
        """The probability of each label by itself, against the null names that are not near to it."""
        asked, null = self._split(logits)
        return (asked - _pooled(null[..., None, :], self.apart.to(null.device))).sigmoid()

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits[..., : len(self.apart)], logits[..., len(self.apart) :]


NO_NAMES = Nulls((), (), torch.ones(0, 0, dtype=torch.bool))


def _pooled(null: Tensor, apart: Tensor) -> Tensor:
    """The logits of the null names that are `apart` as one, along the last axis."""
    number = apart.sum(-1).to(null.dtype)
    return null.masked_fill(~apart, -math.inf).logsumexp(-1) - number.log() + math.log(WEIGHT)


@torch.no_grad()
def null_names(method: Method, labels: Sequence[str], *, most: int | None = MOST) -> Nulls:
    """The null names for these labels, and which are apart from which by the text tower of the method's backbone.

    Raises:
        ValueError: the method cannot be given names that it has not learned.
    """
    if not method.open_vocabulary:
        raise ValueError(
            f"this {method.name} has learned its {len(method.class_names)} classes alone and cannot be asked for "
            f'others, so "none of these" needs a rejection threshold, which `actionprompt teach` chooses; or train an '
            f"open-vocabulary method"
        )
    in_chinese = any(is_chinese(label) for label in labels)  # then null names that the same text tower reads
    asked, tokenizer = {label.casefold() for label in labels}, method.text_tower.tokenizer
    seen = {tuple(ids) for ids in tokenizer.encode(labels)}

    def others(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that are none of the labels, and not the same to the backbone as one before them."""
        found = []
        for pair, ids in zip(pairs, map(tuple, tokenizer.encode([pair[in_chinese] for pair in pairs])), strict=True):
            if ids not in seen and asked.isdisjoint(name.casefold() for name in pair):
                found.append(pair)
                seen.add(ids)
        return found

    generic, actions = others(GENERIC), others(unrelated(most))
    texts = [*labels, *(pair[in_chinese] for pair in actions)]
    texts = texts if in_chinese else [TEMPLATE.format(text) for text in texts]
    embeddings = F.normalize(method.text_tower.sentences(texts).float(), dim=-1).cpu()
    centred = F.normalize(embeddings - embeddings[len(labels) :].mean(0), dim=-1)
    apart = centred[: len(labels)] @ centred[len(labels) :].T <= NEAR
    kept = apart.any(0)  # a name that is near to every label says nothing
    names, names_zh = zip(*generic, *(pair for pair, keep in zip(actions, kept.tolist()) if keep))
    always = torch.ones(len(labels), len(generic), dtype=torch.bool)
    return Nulls(names_zh if in_chinese else names, names_zh, torch.cat([always, apart[:, kept]], 1))


def by_threshold(own: Float[Tensor, "*N K"], below: float) -> Float[Tensor, "*N C"]:
    """Probabilities of the labels alone -> of the labels and, last, of none of these, for a model with a rejection
    threshold: none of these is the most probable exactly where no label reaches the threshold."""
    return torch.cat([own, torch.full_like(own[..., :1], below)], -1) / (1 + below)


def by_background(logits: Float[Tensor, "*N C"], below: float | None) -> Float[Tensor, "*N C"]:
    """Probabilities of the labels and, last, of none of these, for a model whose last class is the background: none of
    these is the most probable where the background is, or where no label reaches the rejection threshold."""
    own = logits.softmax(-1)
    rows = torch.cat([own[..., :-1], own[..., -1:].clamp(min=below or 0.0)], -1)
    return rows / rows.sum(-1, keepdim=True)


def by_odds(rows: Float[Tensor, "*N C"], below: float) -> Float[Tensor, "*N C"]:
    """Rows of `by_threshold` or `by_background` with another score of none of these: that of the background, or where
    it is higher, with p the model's own probability of the best label, the one for which

        log(best / none) = logit(p) - logit(below)

    The most probable answer stays the same, since this is 0 at the threshold, and it can be summed over the windows of
    a video. Of the constant of `by_threshold` the sum cannot be used: a label gains -log(below) over it at most, and
    loses any amount."""
    none = rows[..., -1:]
    own = rows[..., :-1] * torch.where(none < below, below / none, 1.0)  # without the normalisation
    rejected = below * (1 - own.amax(-1, keepdim=True)) / max(1 - below, 1e-6)
    rows = torch.cat([own, torch.maximum(rejected, 1 - own.sum(-1, keepdim=True))], -1)
    return rows / rows.sum(-1, keepdim=True)
