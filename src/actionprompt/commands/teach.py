"""Learn your own actions from a few clips: actionprompt teach wave=a.mp4,b.mp4 clap=c.mp4,d.mp4 --out my_actions"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape

from actionprompt.apps.teach import parse, teach
from actionprompt.commands._shared import bar, err, out
from actionprompt.weights import TINY


@dataclass(frozen=True)
class Teach:
    classes: tyro.conf.Positional[tuple[str, ...]]
    """NAME=clip,clip,... for every action; five clips each are a good start."""
    out: Path
    """Folder of the model."""
    backbone: str = TINY
    """`tiny` (embedded), a folder, an OpenAI .pt file, or a hub name such as openai/clip-vit-base-patch16."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Teach, args=list(args), prog="actionprompt teach", description=__doc__)
    with bar("encoding clips") as encode, bar("training") as step:
        taught = teach(parse(options.classes), options.out, backbone=options.backbone, on_encode=encode, on_step=step)
    for line in taught.warnings:
        err.print(f"[yellow]note:[/] {escape(line)}", soft_wrap=True)
    if taught.held_out_top1 is not None:
        out.print(f"{taught.held_out_top1:.0f} % of the clips were recognised while they were held out")
    if taught.none_of_these is not None:
        out.print(f"rejection threshold {100 * taught.none_of_these.below:.0f} %: a clip below it shows none of these")
    names = ", ".join(taught.num_clips)
    out.print(f"{taught.folder}: {names}; now actionprompt predict CLIP --model {taught.folder}", soft_wrap=True)
    return 0
