"""Frozen CLIP on video: prompt templates over the class names, mean pooling over frames, cosine similarity.

The zero-shot baseline of the field (Radford et al., CLIP, ICML 2021, applied per frame and averaged). Two heads can be
trained on the same frozen, cacheable frame embeddings; both start exactly at the zero-shot classifier:

- `linear`: one weight per class and channel on the mean-pooled, L2-normalised embedding, initialised with the text
  embeddings (CLIP's linear probe, initialised as in WiSE-FT, Wortsman et al., CVPR 2022). Invariant to frame order.
- `transformer`: a temporal transformer over the frame embeddings with learned position embeddings and an outer residual
  connection, the temporal head of ActionCLIP (Wang et al., 2021, "Transf") and of Efficient-Prompt (Ju et al., ECCV
  2022). Sensitive to frame order.

Difference from the papers: the output of the temporal transformer starts at zero, so that training starts at zero-shot.

The bias of a sigmoid backbone shifts all logits alike: it changes no ranking and cancels in the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.backbone import CLIP
from actionprompt.clips import is_chinese
from actionprompt.layers import TemporalTransformer
from actionprompt.method import Method
from actionprompt.paper import Card, Recipe

VIDEO_TEMPLATES = (
    "a photo of {}.",
    "a photo of a person {}.",
    "a video of {}.",
    "a video of a person {}.",
    "a video of a person doing {}.",
    "a example of a person during {}.",
    "a demonstration of the person performing {}.",
)
"""Seven of the templates OpenAI published for Kinetics-700 and UCF-101 (openai/CLIP, data/prompts.md, MIT)."""

VIDEO_TEMPLATES_ZH = ("{}", "一张{}的照片。", "一段{}的视频。", "一个人在{}的视频。")
"""Ours: the name alone, a photo, a video, a video of a person."""


@dataclass(frozen=True)
class Config:
    """Options of `zeroshot`."""

    templates: tuple[str, ...] = VIDEO_TEMPLATES
    """Sentences with `{}` for the class name. A class embedding is the mean of its L2-normalised sentence embeddings,
    L2-normalised again."""
    templates_zh: tuple[str, ...] = VIDEO_TEMPLATES_ZH
    """The same for names in Chinese characters, which a backbone with a Chinese text tower knows."""
    head: Literal["none", "linear", "transformer"] = "none"
    """What is trained on the frozen frame embeddings; `none` trains nothing."""
    num_layers: int = 2
    """Layers of the temporal transformer."""
    max_frames: int = 64
    """Rows of the temporal transformer's position table: the largest number of frames it accepts."""


class Model(Method):
    """Frozen CLIP; see the file's docstring."""

    config: Config
    text: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        bad = [template for template in (*config.templates, *config.templates_zh) if template.count("{}") != 1]
        if bad or not (config.templates and config.templates_zh):
            raise ValueError(f"expected templates with one {{}} for the class name, got {bad[:1] or 'none'}")
        if config.head == "transformer":
            self.temporal = TemporalTransformer(
                clip.embed_dim, num_layers=config.num_layers, max_frames=config.max_frames
            )
        self.set_classes(class_names, class_names_zh)
        if config.head == "linear":
            self.linear = nn.Parameter(self.text.clone())

    @property
    def frozen_features(self) -> bool:
        return True

    @property
    def open_vocabulary(self) -> bool:
        return self.config.head != "linear"

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("linear",)

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        super().set_classes(names, names_zh)
        templates = [self.config.templates_zh if is_chinese(name) else self.config.templates for name in names]
        texts = [template.format(name) for name, row in zip(names, templates) for template in row]
        sentences = F.normalize(self.clip.text.sentences(texts), dim=-1).split([len(row) for row in templates])
        text = F.normalize(torch.stack([row.mean(0) for row in sentences]), dim=-1)
        self.register_buffer("text", text, persistent=False)

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        if self.config.head == "transformer":
            features = self.temporal(features)
        video = F.normalize(F.normalize(features, dim=-1).mean(1), dim=-1)
        weight = self.linear if self.config.head == "linear" else self.text
        return self.clip.logits(video, weight)


VARIANTS = {"linear": Config(head="linear"), "transformer": Config(head="transformer")}

RECIPES = {
    "heads": Recipe(
        ("closed-set", "few-shot", "base-to-novel"), "ours: the papers train other modules",
        {"lr": 1e-3, "weight_decay": 0.01, "epochs": 50, "batch_size": 64, "warmup_epochs": 5.0},
    )
}  # fmt: skip

CARD = Card(
    "Radford et al., ICML 2021",
    "nothing, or a linear or temporal head on frozen frames",
    "towers against transformers at full size; heads start at zero-shot",
)
