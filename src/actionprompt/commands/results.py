"""Make the tables from the records: actionprompt results [--folder results]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from actionprompt import files
from actionprompt.clips import read_text
from actionprompt.commands._shared import out, parse, say, shown
from actionprompt.study import pages

PAGES = (Path("README.md"), Path("docs/methods"))


@dataclass(frozen=True)
class Results:
    folder: Path = Path("results")
    """Folder of the records. The list of all is written there as README.md; the generated parts of other pages there
    are brought up to date, and their plots drawn into its `plots`."""
    pages: tuple[Path, ...] | None = PAGES
    """Further pages with generated parts, and folders of such, where they are there; `None` for none."""
    check: bool = False
    """Write nothing; exit with 1 if something is not up to date."""


def main(args: Sequence[str]) -> int:
    options = parse(Results, args, "results", __doc__)
    if not options.folder.is_dir():
        raise ValueError(f"there is no folder {options.folder}; call it where the records are, or give --folder")
    further: list[Path] = []
    for page in options.pages or ():
        if not page.exists() and page not in PAGES:
            raise ValueError(f"there is no {page}; expected pages with generated parts as --pages, or None")
        further += sorted(page.glob("*.md")) if page.is_dir() else [page] if page.exists() else []
    records, texts = pages.make(options.folder, further, draw=not options.check)
    for title, (head, *rows) in pages.summary(records).items():
        table = Table(*head, title=shown(title))
        for row in rows:
            table.add_row(*map(shown, row))
        out.print(table)
    stale = [path for path, text in texts.items() if not path.is_file() or read_text(path) != text]
    for path in stale:
        if not options.check:
            files.write_text(path, texts[path])
        say(f"{path}: {'not up to date' if options.check else 'written'}")
    say(f"{len(records)} record{'' if len(records) == 1 else 's'}")
    return 1 if options.check and stale else 0
