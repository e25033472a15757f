"""Vita-CLIP: three kinds of prompts in every layer of the frozen image tower, learned context before class names.

S. T. Wasim, M. Naseer, S. Khan, F. S. Khan, M. Shah, "Vita-CLIP: Video and text Adaptive CLIP via Multimodal
Prompting", CVPR 2023. What the paper leaves open was read in the authors' public code (TalalWasim/Vita-CLIP, MIT); such
facts are marked (code), and nothing of it is copied.

In every layer, from the class tokens c of the T frames: p = W c; one summary token s_t = p_t + MHSA(LN p)_t per frame;
T local prompts l_t + p_t, all of them given to every frame; S global prompts, the same for every frame. The prompts are
appended to the frame's own tokens in the frozen attention and dropped before the MLP. A learned time embedding is added
before CLIP's first LayerNorm. The video embedding is the mean over the frames; the text of a class is [SOS] X_1 .. X_n
{class} . [EOT] with a class-specific context X; logits are exp(l) cos(video, text), where l is learned and starts at
log(1 / 0.07) (code).

Differences from the paper and its code:
- W is trained. (code) freezes every parameter not named summary, local, global or time_embed; this includes the new W,
  which stays at its random initial values. The parameter count that the paper prints includes W.
- Clips of another length than T use the nearest row of the local prompts, as (code) does for the time embedding.
- Classes that were not trained use the frozen text embedding of `template`. (code) reads theirs from a file named
  class-only.
- Matrices have weight decay, vectors have none.

Without a class token, c is what the pooling of the backbone reads from the patches at the input of each layer. The
scale and bias of a sigmoid backbone are not used, since l is learned.

Trained parameters at ViT-B/16, T = 8, S = 8, n = 8:

| part | each | in 12 layers |
| --- | ---: | ---: |
| W | 590,592 | 7,087,104 |
| summary: norm and attention | 2,363,904 | 28,366,848 |
| local prompts | 6,144 | 73,728 |
| global prompts | 6,144 | 73,728 |
| time embedding, temperature | 6,145 | (once) |
| all but the contexts | | 35,607,553 |
| contexts | 4,096 | (per class) |

37,245,953 for Kinetics-400. Published: 38.88 M, which is the count for 16 context tokens on Kinetics-400, 38,884,353:
16 is the default of (code), while its training script sets 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.backbone import CLIP
from actionprompt.layers import FrameAttention, encode_prompts, prompted_frames
from actionprompt.method import Method, check_video
from actionprompt.paper import Card, Published, Recipe

# Letters: N videos, T frames, D tower width, P prompts of a frame, S global prompts, E joint width, K classes,
# n context tokens, R rows of a learned table


@dataclass(frozen=True)
class Config:
    """Options of `vita_clip`."""

    num_frames: int = 8
    """T, the rows of the time embedding and of the local prompts; clips of another length use the nearest rows."""
    num_global: int = 8
    """S, global prompts per layer; 0 for none."""
    summary: bool = True
    """One summary token per frame."""
    local: bool = True
    """T local prompts per frame."""
    num_context: int = 8
    """n, learned tokens before the class name (code); 0 for the frozen `template` alone."""
    class_context: bool = True
    """Every class learns its own context (code); otherwise all share one, which new class names can use as well."""
    template: str = "{}."
    """Prompt without learned tokens, for classes that have no learned context (code: the class name only)."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or min(self.num_global, self.num_context) < 0:
            raise ValueError(
                f"expected num_frames of at least 1 and num_global, num_context of at least 0, got {self.num_frames}, "
                f"{self.num_global}, {self.num_context}"
            )
        if self.template.count("{}") != 1:
            raise ValueError(f"expected a template with one {{}} for the class name, got {self.template!r}")


class LayerPrompts(nn.Module):
    """The prompts of one layer, computed from the class tokens at its input: summary, local, global; P = 1 + T + S."""

    def __init__(self, config: Config, width: int, *, num_heads: int, patch_size: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (3 * patch_size**2 + width))  # (code), after VPT
        uniform = lambda rows: nn.Parameter(torch.empty(rows, width).uniform_(-bound, bound))  # noqa: E731
        self.project = nn.Linear(width, width) if config.summary or config.local else None
        self.summary = FrameAttention(width, num_heads) if config.summary else None
        self.local_prompts = uniform(config.num_frames) if config.local else None
        self.global_prompts = uniform(config.num_global) if config.num_global else None

    def forward(self, c: Float[Tensor, "N T D"]) -> Float[Tensor, "N T P D"]:
        num_frames = c.shape[1]
        tokens = [c[:, :, None][:, :, :0]]
        if self.project is not None:
            p = self.project(c)
            if self.summary is not None:
                tokens.append(self.summary(p)[:, :, None])
            if self.local_prompts is not None:
                local = nearest_rows(self.local_prompts, num_frames) + p
                tokens.append(local[:, None].expand(-1, num_frames, -1, -1))
        if self.global_prompts is not None:
            tokens.append(self.global_prompts.expand(*c.shape[:2], -1, -1))
        return torch.cat(tokens, 2)


def nearest_rows(table: Float[Tensor, "R D"], num_frames: int) -> Float[Tensor, "T D"]:
    """One row of a learned table per frame; for another number of frames than rows, the nearest row (code)."""
    return table[torch.arange(num_frames, device=table.device) * len(table) // num_frames]


class Model(Method):
    """Frozen CLIP with prompts in both towers; see the file's docstring."""

    config: Config
    ids: Tensor
    frozen_text: Tensor
    own: Tensor
    row: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        image = clip.image
        self.time = nn.Parameter(0.02 * torch.randn(config.num_frames, image.width))
        self.prompts = nn.ModuleList(
            LayerPrompts(config, image.width, num_heads=image.num_heads, patch_size=image.patch_size)
            for _ in image.layers
        )
        self.context: nn.Parameter | None = None
        if config.num_context:
            num_rows = len(class_names) if config.class_context else 1
            self.context = nn.Parameter(0.02 * torch.randn(num_rows, config.num_context, clip.text.width))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.own_names = tuple(class_names)
        """The training classes: rows of the context."""
        self.set_classes(class_names, class_names_zh)

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("context",) if self.config.class_context else ()

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        super().set_classes(names, names_zh)
        text, config = self.clip.text, self.config
        row = [self.own_names.index(name) if name in self.own_names else -1 for name in names]
        if self.context is None or not config.class_context:
            row = [0 if self.context is not None else -1] * len(names)
        own = [index for index, at in enumerate(row) if at >= 0]
        ids = text.tokenize([f"{names[index]}." for index in own] or ["."], reserve=config.num_context)
        frozen = text([config.template.format(name) for name in names]).sentence
        # of the classes with a learned context alone: their places, rows of the context, and texts
        self.register_buffer("own", torch.tensor(own, dtype=torch.long, device=ids.device), persistent=False)
        rows = torch.tensor([row[index] for index in own], dtype=torch.long, device=ids.device)
        self.register_buffer("row", rows, persistent=False)
        self.register_buffer("frozen_text", frozen, persistent=False)
        self.register_buffer("ids", ids, persistent=False)

    def trained_state(self, *, inference: bool = False) -> dict[str, Tensor]:
        """As in the base class; ValueError while other classes than those of training are set."""
        if self.class_names != self.own_names:
            raise ValueError(
                "the learned contexts belong to the training classes; call set_classes with those before saving"
            )
        return super().trained_state(inference=inference)

    def encode(self, video: Float[Tensor, "N T 3 S S"]) -> Float[Tensor, "N E"]:
        """The mean of the frames' projected class tokens, or of what the pooling reads, not L2-normalised."""
        check_video(video)
        time = nearest_rows(self.time, video.shape[1])
        return prompted_frames(self.clip.image, video, time, self.prompts).mean(1)

    def encode_classes(self) -> Float[Tensor, "K E"]:
        """Text embeddings, not L2-normalised."""
        features = self.frozen_text
        if self.context is not None and len(self.own):
            learned = encode_prompts(self.clip.text, self.ids, self.context[self.row])
            features = features.index_put((self.own,), learned.to(features.dtype))
        return features

    def head(self, features: Float[Tensor, "N E"]) -> Float[Tensor, "N K"]:
        text = F.normalize(self.class_features().float(), dim=-1)
        return self.logit_scale.exp() * F.normalize(features.float(), dim=-1) @ text.T


VARIANTS = {
    "no_summary": Config(summary=False),
    "no_local": Config(local=False),
    "no_global": Config(num_global=0),
    "no_prompts": Config(summary=False, local=False, num_global=0),
    "no_context": Config(num_context=0),
    "one_context": Config(class_context=False),
}

_AUGMENT = {"grey": 0.0, "rand_augment": (4, 7)}
_TRAIN = {
    "lr": 1e-4, "weight_decay": 0.05, "betas": (0.9, 0.999), "epochs": 30, "batch_size": 64, "clip_grad_norm": None,
}  # fmt: skip
_KINETICS = {**_TRAIN, "lr": 4e-4, "epochs": 32, "batch_size": 256}
_OURS = "ours, after the public script for Kinetics-400"
_ALL = ("closed-set", "few-shot", "base-to-novel")
RECIPES = {
    "closed-set-kinetics400": Recipe(
        ("closed-set",), "public script for Kinetics-400", _KINETICS, {"augment": _AUGMENT}, datasets=("kinetics400",)
    ),
    "small": Recipe(_ALL, _OURS, _TRAIN, {"augment": _AUGMENT}),
    "zero-shot": Recipe(("zero-shot",), "ours, the public script for Kinetics-400", _KINETICS, {"augment": _AUGMENT}),
}
"""(code) has one training script, for Kinetics-400: 30,000 steps, here 32 epochs. The other recipes are our choice."""

CARD = Card(
    "Wasim et al., CVPR 2023",
    "three kinds of prompts in every layer, learned context",
    "equations against plain loops; parameters counted",
)

PUBLISHED = [
    Published("kinetics400", "closed-set", 80.5, "Vita-CLIP, Kinetics-400 table", top5=95.9, num_frames=8),
    Published("hmdb51", "closed-set", 67.3, "Deng et al. 2024, Table 8"),
    Published("ucf101", "closed-set", 91.5, "Deng et al. 2024, Table 8"),
    Published("hmdb51", "closed-set", 67.25, "Deng et al. 2024, Table 6", num_frames=8),
    Published("ucf101", "closed-set", 91.54, "Deng et al. 2024, Table 6", num_frames=8),
    Published("hmdb51", "closed-set", 63.79, "Deng et al. 2024, Table 6", num_frames=16),
    Published("ucf101", "closed-set", 90.38, "Deng et al. 2024, Table 6", num_frames=16),
    *(
        Published("hmdb51", f"few-shot K={k}", top1, "Deng et al. 2024, Table 7")
        for k, top1 in zip((2, 4, 8, 16), (39.9, 44.5, 54.0, 57.0))
    ),
    *(
        Published("ucf101", f"few-shot K={k}", top1, "Deng et al. 2024, Table 7")
        for k, top1 in zip((2, 4, 8, 16), (70.1, 79.3, 83.7, 90.0))
    ),
    Published("ucf101", "zero-shot", 75.0, "Vita-CLIP, zero-shot table", num_frames=8),
    Published("hmdb51", "zero-shot", 48.6, "Vita-CLIP, zero-shot table", num_frames=8),
    Published("kinetics600_er", "zero-shot", 67.4, "Vita-CLIP, zero-shot table", num_frames=8),
]
