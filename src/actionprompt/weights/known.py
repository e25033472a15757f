"""Backbones on the hub that are known by name: what they are, and under which licence their weights are."""

from typing import NamedTuple


class Known(NamedTuple):
    """A model of the hub."""

    family: str
    """One of `weights.FAMILIES`."""
    embed_dim: int
    """E."""
    image_size: int
    """In pixels."""
    licence: str
    """Of the weights, as their authors state it; "see card" where it is not one of the usual ones."""
    checked: bool
    """A checkpoint of just this shape, with random weights, gives what the reference gives
    (`results/costs/parity.json`); else one of its family in another size does."""


KNOWN = {
    "openai/clip-vit-base-patch32": Known("clip", 512, 224, "MIT", True),
    "openai/clip-vit-base-patch16": Known("clip", 512, 224, "MIT", True),
    "openai/clip-vit-large-patch14": Known("clip", 768, 224, "MIT", True),
    "openai/clip-vit-large-patch14-336": Known("clip", 768, 336, "MIT", False),
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": Known("clip", 512, 224, "MIT", False),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": Known("clip", 1024, 224, "MIT", False),
    "facebook/metaclip-b16-fullcc2.5b": Known("clip", 512, 224, "CC-BY-NC-4.0", False),
    "facebook/metaclip-2-worldwide-b32": Known("metaclip_2", 512, 224, "CC-BY-NC-4.0", True),
    "facebook/metaclip-2-worldwide-b16": Known("metaclip_2", 512, 224, "CC-BY-NC-4.0", True),
    "google/siglip-base-patch16-224": Known("siglip", 768, 224, "Apache-2.0", True),
    "google/siglip-so400m-patch14-384": Known("siglip", 1152, 384, "Apache-2.0", True),
    "google/siglip2-base-patch16-224": Known("siglip", 768, 224, "Apache-2.0", True),
    "google/siglip2-so400m-patch14-384": Known("siglip", 1152, 384, "Apache-2.0", False),
    "google/siglip2-base-patch16-naflex": Known("siglip2", 768, 256, "Apache-2.0", True),
    "BAAI/AltCLIP": Known("altclip", 768, 224, "see card", True),
    "OFA-Sys/chinese-clip-vit-base-patch16": Known("chinese_clip", 512, 224, "see card", True),
    "OFA-Sys/chinese-clip-vit-large-patch14": Known("chinese_clip", 768, 224, "see card", True),
    "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K": Known("open_clip", 512, 224, "MIT", True),
    "apple/DFN2B-CLIP-ViT-B-16": Known("open_clip", 512, 224, "see card", True),
}
