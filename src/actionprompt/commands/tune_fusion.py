"""Choose dual_semantic_tpr's lambda on validation clips: actionprompt tune-fusion RUN --clips.root DIR"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from actionprompt.apps import language_weight
from actionprompt.backbone import default_device
from actionprompt.commands._shared import Clips, bar, fetch, note, parse, print_broken, say
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
    options = parse(Tune, args, "tune-fusion", __doc__)
    held_out = options.part == HELD_OUT
    clips = options.clips.load("train" if held_out else options.part)
    if held_out:
        clips = language_weight.held_out(options.model, clips)
    backbone = None if options.backbone is None else fetch(options.backbone)
    with bar("clips") as progress:
        choice = language_weight.tune(
            options.model, clips, backbone=backbone, device=default_device(), progress=progress
        )
    print_broken(choice.broken)
    if choice.unseen != language_weight.BY_CLIP:
        note("clips of the training:", f"{choice.unseen}; train again to have every clip compared")
    say(f"lambda {choice.weight} on {choice.num_clips} clips, written into the model")
    return 1 if choice.broken else 0
