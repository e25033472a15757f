"""Write a model as a folder that needs no torch: actionprompt export runs/my_model --out my_graph

The folder holds an ONNX graph and a manifest; `actionprompt-runtime DIR clip.mp4` predicts from it: see
docs/how_to/export.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.commands._shared import class_names, find_predictor, note, parse, say
from actionprompt.config import Fit


@dataclass(frozen=True)
class Export:
    model: tyro.conf.Positional[Path | None] = None
    """A run or model folder; without it frozen CLIP tells the labels apart."""
    out: Path = tyro.MISSING
    """Folder to write, a new or an empty one: all of it, or nothing where the command is interrupted."""
    int8: bool = False
    """Weights of 8 bits: about a quarter of the size, other scores (docs/how_to/export.md says how far apart)."""
    labels: str | None = None
    """Class names to tell apart, separated by commas; of a trained model those that it was trained on, unless given."""
    labels_file: Path | None = None
    """The same from a file: one per line, `id,name` rows, or JSON."""
    backbone: str | None = None
    """As of `actionprompt predict`."""
    none: bool = False
    """Let "none of these" be an answer, as in `actionprompt predict`."""
    independent: bool = False
    """Score each label by itself, as in `actionprompt predict`."""
    fit: Fit | None = None
    """What of a frame is seen, as in `actionprompt predict`."""


def main(args: Sequence[str]) -> int:
    options = parse(Export, args, "export", __doc__)
    from actionprompt.apps.export import check_folder, export  # they import torch, which --help does without

    names = class_names(options.labels, options.labels_file)
    if options.model is None and names is None:
        raise ValueError('expected a RUN, or --labels "a,b,c" or --labels-file FILE for zero-shot recognition')
    check_folder(options.out)
    predictor = find_predictor(options, names, fit=options.fit)
    exported = export(predictor, options.out, int8=options.int8)
    for line in exported.manifest["warnings"]:
        note("warning:", line)
    parity = exported.manifest["parity"]
    say(f"{exported.folder}: {exported.size / 1e6:.1f} MB in {exported.manifest['precision']}")
    say(
        f"probabilities differ from the model's by at most {parity['probabilities_max_difference']:.1e}, and "
        f"{parity['same_answers']} of {parity['videos']} answers are the same, on generated videos"
    )
    return 0
