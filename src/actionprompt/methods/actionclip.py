"""ActionCLIP: both CLIP towers fine-tuned to match videos with sentences about their class.

M. Wang, J. Xing, Y. Liu, "ActionCLIP: A New Paradigm for Video Action Recognition", arXiv:2109.08472, 2021; (code)
marks facts from the authors' public code (MIT), of which nothing is copied. It is the baseline of PromptLearner-CLIP
(Zheng et al., ACCV 2022).

In training, the class name of each clip is written into one of 16 hand-written templates, drawn at random per clip
("textual prompt"). The loss is the KL divergence between the similarities of the batch's clips and sentences and their
same-class matrix, in both directions, halved. A prediction averages the class probabilities over the 16 templates
(code). Frame embeddings go through a temporal head with a residual connection and are then averaged ("post-network
prompt").

`classifier="linear"` is the unimodal counterpart: image tower, temporal head and a linear layer, trained with
cross-entropy; with mean pooling it is the row "ViT" of PromptLearner-CLIP's Table 3.

Differences from (code): the targets are the label matrix with every row divided by its sum, where (code) takes
softmax(10 x the 0/1 matrix); the temporal transformer starts as the identity (`temporal="transformer_code"` is that of
(code)); the convolution runs over time ((code) reshapes the axes instead of transposing them); biases, norms and the
temperature have no weight decay; a prediction uses the learned temperature, where (code) uses 100. The paper's
pre-network (`joint`) and in-network (`shift`) prompts are left out.

The bias of a sigmoid backbone shifts all similarities of a batch alike and cancels in every softmax.

Trained parameters at ViT-B/16: CLIP 149,620,737; temporal head: mean 0, conv1d 1,536, lstm 2,101,248, transformer
19,210,240, transformer_code 18,953,728.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from actionprompt.backbone import CLIP
from actionprompt.layers import TemporalTransformer, gather_batch, same_label_targets
from actionprompt.method import Method, groups
from actionprompt.methods._temporal import ReleasedTransformer
from actionprompt.paper import Card, Published, Recipe

# Letters: N or B clips, T frames, E joint width, K classes, P templates, C sentences, L tokens

TEMPLATES = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)
"""The templates of (code)."""
SENTENCES_AT_ONCE = 256
"""Sentences that a prediction encodes at once; bounds its memory."""


@dataclass(frozen=True)
class Config:
    """Options of `actionclip`."""

    templates: tuple[str, ...] = TEMPLATES
    """Sentences with `{}` for the class name."""
    temporal: Literal["mean", "conv1d", "lstm", "transformer", "transformer_code"] = "transformer"
    """Temporal head on the frame embeddings before they are averaged; the transformer is the paper's best.
    `transformer_code` is that of (code), whose public checkpoints have it: random at first, without output layer."""
    num_layers: int = 6
    """Layers of the temporal transformer (code)."""
    classifier: Literal["text", "linear"] = "text"
    """Match videos with sentences, or classify videos with a linear layer and without text."""
    train_text: bool = True
    """Fine-tune the text tower; the linear classifier does without it."""
    train_vision: bool = True
    """Fine-tune the image tower; if it stays frozen, frame embeddings can be cached for training."""

    def __post_init__(self) -> None:
        bad = [template for template in self.templates if template.count("{}") != 1]
        if bad or not self.templates:
            raise ValueError(f"expected templates with one {{}} for the class name, got {bad[:1] or 'none'}")


class Conv1d(nn.Module):
    """Depthwise convolution over three frames with a residual connection. It starts as a temporal shift: a quarter of
    the channels takes the previous frame, a quarter the next frame, the others the same frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        tap = torch.ones(width, dtype=torch.long)
        tap[: width // 4], tap[width - width // 4 :] = 0, 2
        with torch.no_grad():
            self.conv.weight.copy_(F.one_hot(tap, 3)[:, None])

    def forward(self, frames: Float[Tensor, "N T E"]) -> Float[Tensor, "N T E"]:
        return frames + self.conv(frames.mT).mT


class Lstm(nn.Module):
    """One LSTM layer over the frames in time order, with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, frames: Float[Tensor, "N T E"]) -> Float[Tensor, "N T E"]:
        return frames + self.lstm(frames)[0]


class Model(Method):
    """Fine-tuned CLIP with a temporal head; see the file's docstring."""

    config: Config
    ids: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        clip.image.requires_grad_(config.train_vision)
        width = clip.embed_dim
        self.temporal: nn.Module = nn.Identity()
        if config.temporal == "transformer":
            self.temporal = TemporalTransformer(width, num_layers=config.num_layers)
        elif config.temporal == "transformer_code":
            num_heads, max_frames = max(1, clip.text.width // 64), clip.text.context_length  # (code)
            self.temporal = ReleasedTransformer(width, config.num_layers, num_heads, max_frames)
        elif config.temporal != "mean":
            self.temporal = {"conv1d": Conv1d, "lstm": Lstm}[config.temporal](width)
        if config.classifier == "linear":
            self.linear = nn.Linear(width, len(class_names))
        else:
            clip.text.requires_grad_(config.train_text)
            clip.logit_scale.requires_grad_(True)
        self.set_classes(class_names, class_names_zh)

    @property
    def frozen_features(self) -> bool:
        return not self.config.train_vision

    @property
    def open_vocabulary(self) -> bool:
        return self.config.classifier == "text"

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("linear",)

    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        super().set_classes(names, names_zh)
        texts = [template.format(name) for name in names for template in self.config.templates]
        self.register_buffer("ids", self.clip.text.tokenize(texts), persistent=False)  # [K * P, L], class by class

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """`lr` for CLIP's parameters, 10 `lr` for the new ones (code)."""
        known = {id(p) for p in self.clip.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        new = [p for p in trained if id(p) not in known]
        return groups((p for p in trained if id(p) in known), lr) + groups(new, 10 * lr)

    def encode_sentences(self, rows: Int[Tensor, " C"]) -> Float[Tensor, "C E"]:
        """L2-normalised embeddings of the sentences in the given rows of `ids`."""
        text, ids = self.clip.text, self.ids[rows]
        return F.normalize(text.encode(text.token_embeddings(ids), text.lengths(ids)).sentence, dim=-1)

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        """Log of the class probabilities averaged over the templates; with the linear classifier, its logits."""
        video = self.temporal(features).mean(1)
        if self.config.classifier == "linear":
            return self.linear(video)
        similarity = self.clip.logits(F.normalize(video, dim=-1), self.class_features())
        by_template = similarity.float().unflatten(1, (-1, len(self.config.templates))).log_softmax(1)
        return by_template.logsumexp(2) - math.log(len(self.config.templates))  # log of the mean probability

    def encode_classes(self) -> Float[Tensor, "C E"]:
        """L2-normalised embeddings of all C = K * P sentences, class by class."""
        rows = torch.arange(len(self.ids), device=self.ids.device).split(SENTENCES_AT_ONCE)
        return torch.cat([self.encode_sentences(part) for part in rows])

    def loss(self, features: Float[Tensor, "B T E"], labels: Tensor) -> dict[str, Tensor]:
        """The mean of the KL losses `video_text` and `text_video`; templates are drawn from torch's global generator.
        With the linear classifier, cross-entropy.

        Raises:
            ValueError: soft labels with the text classifier, since clips are compared by class.
        """
        if self.config.classifier == "linear":
            return super().loss(features, labels)
        if labels.ndim != 1:
            raise ValueError(
                "actionclip compares clips of the same class: expected one class index per clip, got soft labels; "
                "train without mixup and label smoothing"
            )
        num_templates = len(self.config.templates)
        drawn = torch.randint(num_templates, labels.shape).to(labels.device)  # from the CPU: the same on every device
        rows, index = (num_templates * labels + drawn).unique(return_inverse=True)
        sentence, video = self.encode_sentences(rows)[index], F.normalize(self.temporal(features).mean(1), dim=-1)
        with torch.autocast(labels.device.type, enabled=False):
            targets = same_label_targets(gather_batch(labels))
            similarity = self.clip.logits(gather_batch(video.float()), gather_batch(sentence.float()))
            parts = {
                "video_text": F.kl_div(similarity.log_softmax(1), targets, reduction="batchmean"),
                "text_video": F.kl_div(similarity.T.log_softmax(1), targets, reduction="batchmean"),
            }
        return {"loss": (parts["video_text"] + parts["text_video"]) / 2, **parts}


VARIANTS = {
    "mean": Config(temporal="mean"),
    "conv1d": Config(temporal="conv1d"),
    "lstm": Config(temporal="lstm"),
    "unimodal": Config(temporal="mean", classifier="linear"),
    "text_only": Config(train_vision=False),
}

_TRAIN = {
    "lr": 5e-6, "weight_decay": 0.2, "betas": (0.9, 0.98), "epochs": 50, "batch_size": 64, "warmup_epochs": 5.0,
    "clip_grad_norm": None,
}  # fmt: skip
_CROP = {"multi_scale": (1.0, 0.875, 0.75, 0.66), "colour_jitter": 0.8, "grey": 0.2}
_RAND_AUGMENT = {"rand_augment": (2, 9), "rand_augment_kind": "ildoonet"}
_DATA = {"num_frames": 8, "num_clips": 10, "num_crops": 3, "resize_side": 256, "augment": {**_CROP, **_RAND_AUGMENT}}
_ALL = ("closed-set", "few-shot", "zero-shot", "base-to-novel")
RECIPES = {
    "closed-set": Recipe(_ALL, "public config for Kinetics-400; 10 x 3 views: paper", _TRAIN, _DATA),
    "closed-set-hmdb51-ucf101": Recipe(
        _ALL, "public configs: batch 32, no RandAugment; 10 x 3 views: paper", {**_TRAIN, "batch_size": 32},
        {**_DATA, "augment": _CROP}, datasets=("hmdb51", "ucf101"),
    ),
}  # fmt: skip
"""From (code). Its configs ask for gradients clipped at 20, which its training loop does not do. 10 x 3 views as in the
paper's comparison with other methods."""

_MINI, _K400, _PL = "mini_kinetics200", "kinetics400", "PromptLearner-CLIP, Table"

CARD = Card(
    "Wang et al., arXiv 2021",
    "both towers tuned, sentences about the class, a temporal head",
    "loss and heads against plain loops; parameters counted",
)

PUBLISHED = [
    *(
        Published(_K400, "closed-set", top1, "Table 6, as in the authors' README", top5=top5, backbone=backbone,
                  num_frames=num_frames)
        for backbone, num_frames, top1, top5 in (
            ("ViT-B/32", 8, 78.36, 94.25), ("ViT-B/16", 8, 81.09, 95.49), ("ViT-B/16", 16, 81.68, 95.87),
            ("ViT-B/16", 32, 82.32, 96.20),
        )
    ),
    Published(_K400, "closed-set", 83.8, "abstract", num_frames=32, views="10x3"),
    Published("hmdb51", "closed-set", 76.2, "README", num_frames=32, variant="Kinetics-400 first"),
    Published("ucf101", "closed-set", 97.1, "README", num_frames=32, variant="Kinetics-400 first"),
    Published(_MINI, "closed-set", 83.70, f"{_PL} 3", top5=96.53, variant="unimodal", num_frames=8, views="10x1"),
    Published(_MINI, "closed-set", 84.02, f"{_PL} 3", top5=96.85, num_frames=8, views="10x1"),
    *(
        Published(_K400, "closed-set", top1, f"{_PL} 5", top5=top5, variant="text_only", backbone=backbone,
                  num_frames=num_frames, views="10x1")
        for backbone, num_frames, top1, top5 in (
            ("ViT-B/32", 8, 77.49, 93.88), ("ViT-B/16", 8, 80.32, 95.41), ("ViT-B/16", 16, 81.12, 95.73)
        )
    ),
    *(
        Published(dataset, f"few-shot K={k}", top1, "TC-CLIP (Kim et al., ECCV 2024)", variant="Kinetics-400 first")
        for dataset, row in (("hmdb51", (54.8, 56.7, 57.3)), ("ucf101", (80.7, 85.3, 89.2)))
        for k, top1 in zip((2, 4, 8), row)
    ),
    *(
        Published(dataset, "zero-shot", top1, "TC-CLIP (Kim et al., ECCV 2024)")
        for dataset, top1 in (("ucf101", 77.5), ("hmdb51", 48.2), ("kinetics600_er", 62.5))
    ),
]  # fmt: skip
