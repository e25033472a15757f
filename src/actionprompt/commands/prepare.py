"""Re-encode a data set so that training reads it fast: actionprompt prepare SOURCE TARGET"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from actionprompt.apps import prepare as app
from actionprompt.clips import some
from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import bar, check_least, note, parse, say
from actionprompt.video.prepared import Encoding


@dataclass(frozen=True)
class Prepare:
    source: tyro.conf.Positional[Path]
    """A folder with videos or folders of images, such as the root of a data set."""
    target: tyro.conf.Positional[Path]
    """A folder to write, new or begun by an earlier run with the same options; its structure is that of the source."""
    short_side: int = Encoding.short_side_px
    """Larger frames are shrunk to this short side, in pixels."""
    gop: int = Encoding.gop
    """A key frame every so many frames: smaller reads faster and takes more space."""
    crf: int = Encoding.crf
    """Quality of H.264, 0 to 51: lower is better and takes more space."""
    workers: int | None = None
    """Processes; `None`: one per core."""


def main(args: Sequence[str]) -> int:
    options = parse(Prepare, args, "prepare", __doc__)
    check_least(options, workers=1)
    check_folder(options, "target", typed="TARGET")
    encoding = Encoding(options.short_side, options.gop, options.crf)
    with bar("preparing") as progress:
        done = app.prepare(
            options.source, options.target, encoding, num_workers=options.workers, progress=progress
        )  # fmt: skip
    if done.left_out:
        note("left out:", f"{len(done.left_out)}: {some(done.left_out, 5)}")
    for line in done.kept:
        note("copied as it is", line)
    for line in done.broken:
        note("unreadable", line, "red")
    clips, others = done.num_videos + done.num_folders, done.num_files
    before = f", {done.num_before} of them by an earlier run" if done.num_before else ""
    say(
        f"{clips} clip{'' if clips == 1 else 's'} and {others} other file{'' if others == 1 else 's'} are in "
        f"{options.target}{before}; {app.size(done.bytes_before)} of clips became {app.size(done.bytes_after)}"
    )
    if done.broken:
        say(f"{len(done.broken)} could not be read and are not there: data sets with official lists then need "
            f"--clips.max-missing {len(done.broken)}")  # fmt: skip
    return 1 if done.broken else 0
