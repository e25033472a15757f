"""Make the tables from the records: actionprompt results [--folder results] [--readme README.md]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape

from actionprompt.commands._shared import out
from actionprompt.study import pages


@dataclass(frozen=True)
class Results:
    folder: Path = Path("results")
    """Folder of the records. The list of all is written there as README.md; the generated parts of other pages there
    are brought up to date, and their plots drawn into its `plots`."""
    readme: Path | None = Path("README.md")
    """The README whose generated table is brought up to date; `None` for none."""
    check: bool = False
    """Write nothing; exit with 1 if something is not up to date."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(Results, args=list(args), prog="actionprompt results", description=__doc__)
    if not options.folder.is_dir():
        raise ValueError(f"there is no folder {options.folder}; call it in the project, or give --folder")
    num_records, texts = pages.make(options.folder, options.readme, draw=not options.check)
    stale = [p for p, text in texts.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        if not options.check:
            path.write_text(texts[path], encoding="utf-8")
        out.print(escape(f"{path}: {'not up to date' if options.check else 'written'}"), soft_wrap=True)
    out.print(f"{num_records} records")
    return 1 if options.check and stale else 0
