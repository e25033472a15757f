"""What of a data set is there, and what to do about the rest: actionprompt data NAME --root DIR [--verify]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt import datasets
from actionprompt.apps import check
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import bar, check_least, note, parse, say


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
    options = parse(Data, args, "data", __doc__)
    check_least(options, num_workers=1)
    check_files(options, "state")
    module = datasets.get(options.name)
    complete = True
    if options.root is not None:
        inspection = check.inspect(options.name, options.root)
        for line in inspection.lines():
            say(line)
        parts, complete = list(inspection.parts), inspection.complete
    elif module.INFO.generated:
        parts = [module.load(part=part, size=module.INFO.sizes[0]) for part in module.INFO.parts]
        for part in module.LONG_PARTS:
            videos = module.long(part=part, size=module.INFO.sizes[0])
            minutes = sum(video.duration_s for video in videos) / 60
            say(f"{options.name} long/{part}: {len(videos)} videos, {minutes:.1f} min, in {videos[0].path.parent}")
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
            say(f"{clips.name}: {result.num_clips - len(result.failures)} of {result.num_clips} clips decode")
            failures += result.failures
    for line in failures:
        note("unreadable", line, "red")
    return 1 if failures or not complete else 0
