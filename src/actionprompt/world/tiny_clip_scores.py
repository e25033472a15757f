"""What the tiny CLIP knows about stills: retrieval and zero-shot accuracy, in English and Chinese."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from actionprompt.backbone import CLIP, TextTower
from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.sayings import NAMES_OF, PROMPTS, TEMPLATES, TEMPLATES_ZH, told, true_of
from actionprompt.world.stills import Still
from actionprompt.world.tiny_clip import encode_images

Measured = dict[str, Any]


@torch.no_grad()
def measure(clip: CLIP, chinese: TextTower, stills: Sequence[Still]) -> dict[str, Measured]:
    """Retrieval and zero-shot accuracy on stills, per language, in percent, each next to the chance level.

    Retrieval among the N stills: a hit (R@1) is a true partner whose cosine is greater than all others; a tie is a
    miss. `best` is the expected score of a perfect model, since a caption may be true of several images.
    Zero-shot: the value whose prompt in `PROMPTS` has the highest cosine, over the images that have one of its values.
    Classes: the highest cosine among all class names, each the mean over its templates; either name of a reversible
    pair is right, and either rhythm of clapping. `majority` always answers the most frequent value.
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
        "chinese": one_language(lambda texts: F.normalize(chinese.sentences(texts), dim=-1), 1, TEMPLATES_ZH),
    }


def _percent(hits: Any) -> float:
    return round(100 * float(np.asarray(hits).mean()), 1)


def _accuracy(hits: np.ndarray, num_values: int, majority: float | None = None) -> Measured:
    out: Measured = {"accuracy": _percent(hits), "n": len(hits), "chance": round(100 / num_values, 1)}
    return out if majority is None else {**out, "majority": round(100 * float(majority), 1)}
