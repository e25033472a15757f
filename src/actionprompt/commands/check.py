"""Find videos that cannot be read: actionprompt check DIR (or a CSV table with path,label)"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import tyro
from rich.markup import escape

from actionprompt import datasets
from actionprompt.apps.check import problem
from actionprompt.clips import find_videos
from actionprompt.commands._shared import bar, err, out


@dataclass(frozen=True)
class Check:
    videos: tyro.conf.Positional[tuple[str, ...]]
    """Files, folders, globs, or CSV tables with a path column."""
    num_frames: int | None = 8
    """Frames to decode per clip, spread over it; `None` decodes every frame."""
    num_workers: int = 2
    """Decoding processes."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Check, args=list(args), prog="actionprompt check", description=__doc__)
    if not options.videos:
        raise ValueError("expected files, folders, globs or CSV tables to check, got none")
    paths: list[Path] = []
    for argument in options.videos:
        if Path(argument).suffix.lower() in (".csv", ".tsv"):
            paths += [clip.path for clip in datasets.get("csv").load(argument, max_missing=None).clips]
        else:
            paths += find_videos([argument])
    broken = []
    with (
        bar("videos") as progress,
        ProcessPoolExecutor(max(1, options.num_workers), mp_context=get_context("spawn")) as pool,
    ):
        for done, found in enumerate(pool.map(partial(problem, num_frames=options.num_frames), paths), start=1):
            if found is not None:
                broken.append(found)
            progress(done, len(paths))
    for line in broken:
        err.print(f"[red]unreadable[/] {escape(line)}", soft_wrap=True)
    out.print(f"{len(paths) - len(broken)} of {len(paths)} clips can be read")
    return 1 if broken else 0
