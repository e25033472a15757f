"""ViFi-CLIP: plain fine-tuning of both CLIP towers on video.

H. Rasheed et al., "Fine-tuned CLIP Models are Efficient Video Learners", CVPR 2023.
Frame embeddings are averaged over time; the average is compared with the class prompts by cosine similarity.
Cross-entropy over the classes trains the image tower, the text tower and the temperature. Nothing is added to CLIP.
`train_text=False` and `train_image=False` are the rows of the paper's ablation that tune one tower only.

Difference from the paper: the text tower runs on sequences cut at the longest EOT (exact under the causal mask).

The bias of a sigmoid backbone shifts all logits alike and cancels in the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from actionprompt.backbone import CLIP
from actionprompt.method import Method
from actionprompt.paper import Card, Published, Recipe


@dataclass(frozen=True)
class Config:
    """Options of `vifi_clip`."""

    template: str = "a photo of a person doing {}."
    """The prompt, with `{}` for the class name."""
    train_image: bool = True
    """Fine-tune the image tower."""
    train_text: bool = True
    """Fine-tune the text tower."""


class Model(Method):
    """Fine-tuned CLIP with mean pooling over frames."""

    config: Config
    ids: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        clip.image.requires_grad_(config.train_image)
        clip.text.requires_grad_(config.train_text)
        clip.logit_scale.requires_grad_(True)
        self.set_classes(class_names, class_names_zh)

    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        super().set_classes(names, names_zh)
        ids = self.clip.text.tokenize([self.config.template.format(name) for name in names])
        self.register_buffer("ids", ids, persistent=False)

    def encode_classes(self) -> Float[Tensor, "K E"]:
        """L2-normalised text embeddings of the class prompts."""
        text = self.clip.text
        sentence = text.encode(text.token_embeddings(self.ids), text.lengths(self.ids), cut=False).sentence
        return F.normalize(sentence, dim=-1)

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        video = F.normalize(features.mean(1), dim=-1)
        return self.clip.logits(video, self.class_features())


VARIANTS = {"image_only": Config(train_text=False), "text_only": Config(train_image=False)}

RECIPES = {
    protocol: Recipe(
        (protocol,), f"public configs, {protocol}",
        {"lr": lr, "weight_decay": 0.001, "epochs": epochs, "batch_size": batch_size, "warmup_epochs": 5.0},
    )
    for protocol, lr, epochs, batch_size in (
        ("closed-set", 8e-6, 30, 256), ("few-shot", 2e-6, 50, 64), ("zero-shot", 8e-6, 10, 256),
        ("base-to-novel", 2e-6, 11, 64),
    )
}  # fmt: skip

CARD = Card(
    "Rasheed et al., CVPR 2023",
    "nothing: plain fine-tuning of both towers",
    "towers against transformers at full size",
)

PUBLISHED = [
    *(
        Published("hmdb51", f"few-shot K={k}", top1, "Table 4")
        for k, top1 in zip((2, 4, 8, 16), (57.2, 62.7, 64.5, 66.8))
    ),
    *(
        Published("ucf101", f"few-shot K={k}", top1, "Table 4")
        for k, top1 in zip((2, 4, 8, 16), (80.7, 85.1, 90.0, 92.7))
    ),
    Published("ucf101", "zero-shot", 76.8, "Table 2"),
    Published("hmdb51", "zero-shot", 51.3, "Table 2"),
    Published("kinetics600_er", "zero-shot", 71.2, "Table 2"),
]
