"""What a method file says of its paper: its row in the README, its published numbers, its ablations. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One number of a paper, in percent."""

    dataset: str
    protocol: str
    """`closed-set`, `few-shot K=4`, `zero-shot`, ..."""
    top1: float
    source: str
    """Where it is printed: `Table 7`."""
    top5: float | None = None
    variant: str = ""
    """Which row, where it is not the full method: a key of `VARIANTS`, or words."""
    backbone: str = "ViT-B/16"
    num_frames: int | None = None
    views: str = "1x1"
    """Clips x crops."""


@dataclass(frozen=True)
class Card:
    """What the README's table says of a method."""

    paper: str
    """Authors, venue, year."""
    adds: str
    """What it adds to CLIP, in a few words."""
    verified: str
    """What the tests hold it to, beside the contract that all methods share."""


@dataclass(frozen=True)
class Ablation:
    """Rows of a paper that are compared with each other."""

    title: str
    """What is taken apart, and where the paper prints it."""
    rows: tuple[str, ...]
    """Keys of `VARIANTS`; "" is the full method; `actionclip/unimodal` is another method's variant."""
    source: str = ""
    """The `source` of the `Published` numbers that stand beside ours; "": none are printed."""
