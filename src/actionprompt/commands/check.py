"""Find videos that cannot be read: actionprompt check DIR (or a CSV table with path,label)"""

import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import tyro

from actionprompt.apps.check import problem
from actionprompt.clips import find_videos
from actionprompt.commands._shared import bar, check_least, note, parse, say
from actionprompt.datasets import csv


@dataclass(frozen=True)
class Check:
    videos: tyro.conf.Positional[tuple[str, ...]]
    """Files, folders, globs, or CSV tables with a path column."""
    num_frames: int | None = 8
    """Frames to decode per clip, spread over it; `None` decodes every frame."""
    num_workers: int = 2
    """Decoding processes."""


def main(args: Sequence[str]) -> int:
    options = parse(Check, args, "check", __doc__)
    check_least(options, num_frames=1, num_workers=1)
    if not options.videos:
        raise ValueError("expected files, folders, globs or CSV tables to check, got none")
    paths: list[Path] = []
    for argument in options.videos:
        if Path(argument).suffix.lower() in (".csv", ".tsv", ".txt"):
            paths += csv.paths(argument)
        else:
            paths += find_videos([argument], lambda line: note("note:", line))
    broken = []
    with (
        bar("videos") as progress,
        ProcessPoolExecutor(  # Ctrl-C is for this process, which ends the others
            max(1, options.num_workers), get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
        ) as pool,
    ):
        for done, found in enumerate(pool.map(partial(problem, num_frames=options.num_frames), paths), start=1):
            if found is not None:
                broken.append(found)
            progress(done, len(paths))
    for line in broken:
        note("unreadable", line, "red")
    say(f"{len(paths) - len(broken)} of {len(paths)} clips can be read")
    return 1 if broken else 0
