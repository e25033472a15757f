"""Choose dual_semantic_tpr's lambda on validation clips: actionprompt tune-fusion RUN --clips.root DIR"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from actionprompt.apps import language_weight
from actionprompt.backbone import default_device
from actionprompt.commands._shared import Clips, bar, err, out, print_broken
from actionprompt.study.protocols import HELD_OUT


@dataclass(frozen=True)
class Tune:
    model: tyro.conf.Positional[Path]
    """A run or model folder."""
    clips: Clips = field(default_factory=Clips)
    backbone: str | None = None
    """Where the model's backbone lies, if it is not where its manifest says."""
    part: str = "val"
    """Never the test part; `held-out` for the clips of the train part that training with --train.hold-out left out."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Tune, args=list(args), prog="actionprompt tune-fusion", description=__doc__)
    held_out = options.part == HELD_OUT
    clips = options.clips.load("train" if held_out else options.part)
    if held_out:
        clips = language_weight.held_out(options.model, clips)
    with bar("clips") as progress:
        choice = language_weight.tune(
            options.model, clips, backbone=options.backbone, device=default_device(), progress=progress
        )
    print_broken(choice.broken)
    if choice.unseen != language_weight.BY_CLIP:
        err.print(f"[yellow]clips of the training:[/] {choice.unseen}; train again to have every clip compared")
    out.print(f"lambda {choice.weight} on {choice.num_clips} clips, written into the model")
    return 1 if choice.broken else 0
