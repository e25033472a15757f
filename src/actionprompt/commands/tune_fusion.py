"""Choose dual_semantic_tpr's lambda on validation clips: actionprompt tune-fusion RUN --clips.root DIR"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from actionprompt.apps import language_weight
from actionprompt.backbone import default_device
from actionprompt.commands._shared import Clips, bar, out, print_broken


@dataclass(frozen=True)
class Tune:
    model: tyro.conf.Positional[Path]
    """A run or model folder."""
    clips: Clips = field(default_factory=Clips)
    part: str = "val"
    """Never the test part."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Tune, args=list(args), prog="actionprompt tune-fusion", description=__doc__)
    clips = options.clips.load(options.part)
    with bar("clips") as progress:
        choice = language_weight.tune(options.model, clips, device=default_device(), progress=progress)
    print_broken(choice.broken)
    out.print(f"lambda {choice.weight} on {choice.num_clips} clips, written into the model")
    return 1 if choice.broken else 0
