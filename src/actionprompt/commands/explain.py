"""Show where a model looks, next to frozen CLIP: actionprompt explain clip.mp4 --model RUN --out map.png"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.apps import explain
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import check_least, fetch, note, parse, say
from actionprompt.prediction import load


@dataclass(frozen=True)
class Explain:
    video: tyro.conf.Positional[Path]
    """The video to look at."""
    out: tyro.conf.UseAppendAction[tuple[Path, ...]]
    """File to write: .png (a strip), .gif or .mp4; may be given again for another."""
    model: Path
    """A run or model folder."""
    backbone: str | None = None
    """Where the model's backbone lies, if it is not where its manifest says."""
    num_layers: int = 3
    """Last layers whose attention is averaged; without effect where an attention pool reads the patches (SigLIP)."""


def main(args: Sequence[str]) -> int:
    options = parse(Explain, args, "explain", __doc__)
    check_least(options, num_layers=1)
    if not options.out:
        raise ValueError("expected a file to write; give --out FILE.png")
    check_files(options, "out", text=False)
    backbone = None if options.backbone is None else fetch(options.backbone)
    predictor = load(options.model, backbone=backbone)
    result = explain.explain(
        options.video,
        predictor.method,
        predictor.config,
        backbone=backbone,
        num_layers=options.num_layers,
        device=predictor.device,
    )
    for line in result.warnings:
        note("warning:", line)
    for path in options.out:
        explain.write(path, result)
        say(path)
    return 0
