"""Published video models of transformers, with random weights, for comparison in benchmarks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionprompt.method import groups

PEERS = {  # name: (patch_px, num_frames)
    "XCLIP-B/32": (32, 8),
    "XCLIP-B/16": (16, 8),
    "VideoMAE-B": (16, 16),
    "ViViT-B": (16, 32),
    "TimeSformer-B": (16, 8),
}
"""Models of transformers in their published base shapes, with the frames each was published with. Each is compared with
the tower of its patch size."""


class Peer(nn.Module):
    """A video model of transformers with random weights, called like a method. `shape` replaces fields of its
    (vision) configuration; `num_frames` and `side_px` say what it takes."""

    def __init__(self, name: str, num_classes: int, **shape: Any) -> None:
        super().__init__()
        import transformers as hf

        if name not in PEERS:
            raise ValueError(f"there is no peer {name!r}; choose one of {', '.join(PEERS)}")
        patch, num_frames = PEERS[name]
        kind = name.partition("-")[0]
        if kind == "XCLIP":
            config = hf.XCLIPConfig(vision_config={"patch_size": patch, "num_frames": num_frames, **shape})
            vision, self.model = config.vision_config, hf.XCLIPModel(config)
            self.model.text_model = _Once(self.model.text_model)
            ids = torch.full((num_classes, 8), config.text_config.vocab_size - 1)  # the last one ends the text
            ids[:, :-1] = torch.arange(num_classes)[:, None]
            self.register_buffer("ids", ids)
        else:
            kind = {"ViViT": "Vivit", "TimeSformer": "Timesformer"}.get(kind, kind)
            config = vision = getattr(hf, f"{kind}Config")(num_frames=num_frames, num_labels=num_classes, **shape)
            self.model = getattr(hf, f"{kind}ForVideoClassification")(config)
        self.num_frames: int = vision.num_frames
        self.side_px: int = vision.image_size

    def forward(self, video: Tensor, labels: Tensor | None = None) -> Any:
        """Logits; with labels, the loss."""
        if hasattr(self, "ids"):
            logits = self.model(input_ids=self.ids, pixel_values=video).logits_per_video
        else:
            logits = self.model(pixel_values=video).logits
        return logits if labels is None else {"loss": F.cross_entropy(logits.float(), labels)}

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        return groups(self.parameters(), lr)


class _Once(nn.Module):
    """A text tower that in evaluation reads the class names once, as our methods do."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.said = inside, None

    def train(self, mode: bool = True) -> "_Once":
        self.said = None
        return super().train(mode)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.training or torch.is_grad_enabled():
            return self.inside(*args, **kwargs)
        if self.said is None:
            self.said = self.inside(*args, **kwargs)
        return self.said
