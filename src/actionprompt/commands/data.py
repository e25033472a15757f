"""What of a data set is there, and what to do about the rest: actionprompt data NAME --root DIR [--verify]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape

from actionprompt import datasets
from actionprompt.apps import check
from actionprompt.commands._shared import bar, err, out


@dataclass(frozen=True)
class Data:
    name: tyro.conf.Positional[str]
    """A data set (`actionprompt list`)."""
    root: Path | None = None
    """Data-set root, existing or to be created."""
    verify: bool = False
    """Decode every clip; without it a sample of 20."""
    state: Path | None = None
    """File that remembers what was decoded, so that a stopped verification resumes."""
    num_workers: int = 2
    """Decoding processes."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Data, args=list(args), prog="actionprompt data", description=__doc__)
    module = datasets.get(options.name)
    complete = True
    if options.root is not None:
        inspection = check.inspect(options.name, options.root)
        for line in inspection.lines():
            out.print(escape(line), highlight=False, soft_wrap=True)
        parts, complete = list(inspection.parts), inspection.complete
    elif module.INFO.generated:
        parts = [module.load(part=part, size=module.INFO.sizes[0]) for part in module.INFO.parts]
    else:
        raise ValueError(f"expected --root DIR, the root of {module.INFO.title}, existing or to be created; "
                         f"{module.INFO.get}")  # fmt: skip
    failures: list[str] = []
    for clips in parts:
        if clips.clips:
            with bar(f"decoding {clips.name}") as progress:
                result = check.verify(
                    clips, num_clips=None if options.verify else 20, num_workers=options.num_workers,
                    state_file=options.state, progress=progress,
                )  # fmt: skip
            out.print(f"{clips.name}: {result.num_clips - len(result.failures)} of {result.num_clips} clips decode")
            failures += result.failures
    for line in failures:
        err.print(f"[red]unreadable[/] {escape(line)}", soft_wrap=True)
    return 1 if failures or not complete else 0
