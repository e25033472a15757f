"""What a method file states about its paper: its row in the README, its published numbers, its ablations. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One accuracy that a paper publishes, in percent."""

    dataset: str
    protocol: str
    """`closed-set`, `few-shot K=4`, `zero-shot`, ..."""
    top1: float
    source: str
    """Where it is printed, e.g. `Table 7`."""
    top5: float | None = None
    variant: str = ""
    """The configuration, if it is not the full method: a key of `VARIANTS`, or a description."""
    backbone: str = "ViT-B/16"
    num_frames: int | None = None
    views: str = "1x1"
    """Temporal clips x spatial crops."""


@dataclass(frozen=True)
class Card:
    """A method's row in the table of the README."""

    paper: str
    """Authors, venue, year."""
    adds: str
    """What it adds to CLIP, in a few words."""
    verified: str
    """What its own tests verify, in addition to the contract suite that all methods share."""


@dataclass(frozen=True)
class Ablation:
    """Configurations that are compared with each other, usually the rows of one table of the paper."""

    title: str
    """What is varied, and where the paper prints it."""
    rows: tuple[str, ...]
    """Keys of `VARIANTS`; "" is the full method; `actionclip/unimodal` is another method's variant."""
    source: str = ""
    """The `source` of the `Published` numbers shown next to ours; "": the paper prints none."""
