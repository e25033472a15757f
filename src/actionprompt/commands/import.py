"""A public checkpoint as a run of this program: actionprompt import METHOD FILE --dataset NAME --out RUN"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt import datasets
from actionprompt.apps import published
from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import check_least, class_names, fetch, parse, read_labels, say


@dataclass(frozen=True)
class Import:
    method: tyro.conf.Positional[str]
    """A method whose authors publish checkpoints."""
    file: tyro.conf.Positional[Path]
    """The checkpoint: .pt, .pth or .safetensors."""
    out: Path
    """Folder of the run."""
    backbone: str | None = None
    """The CLIP that it was trained from: a folder, an OpenAI .pt file, or a hub name such as
    openai/clip-vit-base-patch16. For `i3d_flow` none."""
    dataset: str | None = None
    """Take the class names of this data set (`actionprompt list`)."""
    labels: str | None = None
    """The class names in the order of the checkpoint's ids, separated by commas."""
    labels_file: Path | None = None
    """The same from a file: one per line, `id,name` rows, or JSON of name: id."""
    template: str | None = None
    """The prompt it was trained with, with {} for the class name, if it is not that of the authors' code."""
    num_frames: int | None = None
    """The frames it was trained with, where the checkpoint does not tell; by default those of the method's recipe."""


def main(args: Sequence[str]) -> int:
    options = parse(Import, args, "import", _description())
    check_least(options, num_frames=1)
    check_folder(options)
    names, names_zh = _names(options)
    backbone = None if options.backbone is None else fetch(options.backbone)
    method = published.import_checkpoint(
        options.method, options.file, options.out, names, names_zh, backbone=backbone,
        template=options.template, num_frames=options.num_frames,
    )  # fmt: skip
    model = options.out / "model"
    say(f"{model}: {options.method} with {len(names)} classes, from {options.file}")
    say(f"{sum(p.numel() for p in method.trained_state().values()):,} trained numbers")
    return 0


def _description() -> str:
    known = "\n".join(f"{name}: {entry.source}" for name, entry in sorted(published.IMPORTERS.items()))
    return f"{__doc__}\n\nNothing is imported unless every tensor of the file is accounted for.\n\n{known}"


def _names(options: Import) -> tuple[Sequence[str], Sequence[str] | None]:
    given = [name for name in ("dataset", "labels", "labels_file") if getattr(options, name) is not None]
    if len(given) != 1:
        raise ValueError(
            "a checkpoint does not hold its class names: expected one of --dataset, --labels and --labels-file, got "
            f"{' and '.join(given) or 'none'}"
        )
    if options.dataset is not None:
        datasets.get(options.dataset)
        found = datasets.read_labels(options.dataset)
        return found.english, found.chinese
    if options.labels_file is not None:
        return read_labels(options.labels_file), None
    return class_names(options.labels, None) or (), None
