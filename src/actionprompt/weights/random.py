"""CLIPs with random weights in published shapes: for costs and for tests, which do not depend on what weights know."""

import torch
from torch import nn

from actionprompt.backbone import CLIP, CLIPShape, TowerShape
from actionprompt.weights.assemble import CLIP_MEAN, CLIP_STD
from actionprompt.weights.tokenizer import bpe_tokenizer

# name: (image_size, patch, image width, image layers, text width, E)
ARCHITECTURES = {
    "ViT-B/32": (224, 32, 768, 12, 512, 512),
    "ViT-B/16": (224, 16, 768, 12, 512, 512),
    "ViT-L/14": (224, 14, 1024, 24, 768, 768),
    "nano": (32, 16, 32, 2, 32, 16),
}
"""What `random:NAME` can build. `nano` is for tests of plumbing."""


def random_clip(name: str) -> CLIP:
    """`random:NAME` with a name of `ARCHITECTURES`; the same weights each time."""
    arch = name.removeprefix("random:")
    if arch not in ARCHITECTURES:
        raise ValueError(f"expected random: and one of {', '.join(ARCHITECTURES)}, got {name!r}")
    size, patch, width, layers, text_width, embed_dim = ARCHITECTURES[arch]
    full = width >= 512
    head = 64 if full else 8
    shape = CLIPShape(
        image=TowerShape(width, layers, width // head, 4 * width),
        text=TowerShape(text_width, min(layers, 12), text_width // head, 4 * text_width),
        image_size=size,
        patch_size=patch,
        vocab_size=49408 if full else 514,
        context_length=77 if full else 128,
        embed_dim=embed_dim,
    )
    clip = CLIP(shape, bpe_tokenizer([]), name=name, mean=CLIP_MEAN, std=CLIP_STD)
    _randomise(clip, torch.Generator().manual_seed(0))
    return clip.eval()


@torch.no_grad()
def _randomise(clip: CLIP, generator: torch.Generator) -> None:
    """Weights that pass activations of unit size on, so that random towers tell their inputs apart."""
    text, image = clip.text, clip.image
    parts = [text.embeddings, text.layers, text.final_norm, image.embeddings, image.pre_norm, image.layers]
    for part in (*parts, image.post_norm, image.projection, text.projection):  # the order of the draws
        for name, parameter in part.named_parameters():
            if parameter.ndim == 1 and name != "class_embedding":
                is_norm = "norm" in name or isinstance(part, nn.LayerNorm)
                parameter.fill_(1.0 if is_norm and name.endswith("weight") else 0.0)
            else:
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                is_table = "embedding" in name and "patch" not in name
                parameter.normal_(std=0.02 if is_table else fan_in**-0.5, generator=generator)
    clip.logit_scale.fill_(2.6592)
