"""What a method file states about its paper: its row in the README, recipes, published numbers, ablations. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Settings of training and data for one or more protocols, with their source."""

    protocols: tuple[str, ...]
    """`closed-set`, `few-shot`, `zero-shot`, `base-to-novel`: what these settings are for."""
    source: str
    """Where they are printed, such as `Table 2, Sec. 4.4`; `ours, ...` where they are our choice."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` that differ from its defaults."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `DataConfig` that differ from its defaults."""
    datasets: tuple[str, ...] = ()
    """The data sets they are for; empty: any."""
    recommended: bool = True
    """Taken without `--recipe`; False for printed settings that hardly train, next to which there are ours."""


@dataclass(frozen=True)
class Published:
    """One accuracy that a paper publishes, in percent."""

    dataset: str
    protocol: str
    """`closed-set`, `few-shot K=4`, `zero-shot`, ..."""
    top1: float | None
    """None where a figure shows it without printing the number."""
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


@dataclass(frozen=True)
class First:
    """A training on another data set that a row needs before its own."""

    dataset: str
    use: str
    """What the row takes of it: `model` (tested as it is), `start` (weights to start from), `backbone` (its towers)."""
    recipe: str
    method: str = ""
    """"": the row's own method."""
    variant: str | None = None
    """None: the row's own variant."""


@dataclass(frozen=True)
class Row:
    """One row of a paper's table or figure, and how it is run."""

    id: str
    """Table or figure, row, and what distinguishes it: `T7.ours.K4.hmdb51`."""
    compares: str
    """What is compared, in a few words."""
    dataset: str
    top1: float | None = None
    """As printed, in percent; None where only a plot shows it, or nothing is public."""
    top5: float | None = None
    source: str = ""
    """Where the number is from, if not from this paper."""
    method: str = ""
    """Our method that runs it; "": another system, or nothing that is trained (`note` says which)."""
    variant: str = ""
    recipe: str = "none"
    """The method's recipe with the printed settings."""
    protocol: str = "closed-set"
    shots: int | None = None
    backbone: str = "ViT-B/16"
    num_frames: int | None = 8
    views: str = "1x1"
    """Temporal clips x spatial crops."""
    splits: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    """A record each; the row's result is their mean."""
    options: str = ""
    """Further options of `actionprompt run`, where the recipe does not have them."""
    first: First | None = None
    flow: bool = False
    """The scores are fused with those of `i3d_flow`, with the weight chosen on held-out training clips."""
    note: str = ""
    """Our choice where the paper is not explicit, or the reason why a row cannot be run."""

    @property
    def runs(self) -> bool:
        """Whether one command runs it."""
        return bool(self.method)

    @property
    def table(self) -> str:
        """The table, figure or section of the row, in words."""
        name = self.id.split(".")[0]
        words = {"T": "Table ", "F": "Figure ", "S": "Section ", "A": "abstract"}
        return words[name[0]] + name[1:]

    @property
    def published(self) -> Published:
        """The printed number on its own."""
        protocol = f"{self.protocol} K={self.shots}" if self.shots else self.protocol
        return Published(
            self.dataset, protocol, self.top1, self.source or self.table, self.top5, self.variant,
            self.backbone, self.num_frames, self.views,
        )  # fmt: skip
