"""Learn your own actions from a few clips: actionprompt teach wave=a.mp4,b.mp4 clap=c.mp4,d.mp4 --out my_actions"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.apps.teach import parse as read_clips
from actionprompt.apps.teach import teach
from actionprompt.commands._shared import bar, check_folder, note, parse, say
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
    options = parse(Teach, args, "teach", __doc__)
    classes = read_clips(options.classes)
    check_folder(options.out, "--out")
    with bar("encoding clips") as encode, bar("training") as step:
        taught = teach(classes, options.out, backbone=options.backbone, on_encode=encode, on_step=step)
    for line in taught.warnings:
        note("note:", line)
    if taught.held_out_top1 is not None:
        say(f"{taught.held_out_top1:.0f} % of the clips were recognised while they were held out")
    if taught.none_of_these is not None:
        say(f"rejection threshold {100 * taught.none_of_these.below:.0f} %: a clip below it shows none of these")
    names = ", ".join(taught.num_clips)
    say(f"{taught.folder}: {names}; now actionprompt predict CLIP --model {taught.folder}")
    return 0
