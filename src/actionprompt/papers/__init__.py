"""The papers, row by row: every table and figure with its published numbers, and what runs each row. No torch.

This folder is the registry: the file `name.py` is the paper of the method `name`. Its `ROWS` hold numbers as printed,
`CHOICES` what the paper leaves open and what we take.
"""

from pathlib import Path
from types import ModuleType

from actionprompt import methods, registry
from actionprompt.paper import Published, Row

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The papers, by the names of their methods."""
    return registry.names(FOLDER)


def summary(name: str) -> str:
    """The first line of a paper's file."""
    return registry.summary(FOLDER, name)


def get(name: str) -> ModuleType:
    """A paper's module with `ROWS` and `CHOICES`.

    Raises:
        ValueError: there is no paper of that name; with those that there are, and what to do with a method without one.
    """
    if name not in names():
        near = registry.nearest(name, (*names(), *methods.names()))
        hint = ""
        if near in names():
            hint = f"; did you mean {near!r}?"
        elif near is not None:
            hint = f"; the method {near} has no rows of a paper: see actionprompt list {near}, actionprompt run {near}"
        raise ValueError(f"there is no paper {name!r}, but {', '.join(names())}{hint}")
    return registry.load(__name__, name, names(), what="paper")


def row(paper: str, row_id: str) -> Row:
    """One row of a paper.

    Raises:
        ValueError: there is no such row; with the nearest one.
    """
    rows = {row.id: row for row in get(paper).ROWS}
    registry.check(row_id, tuple(rows), what=f"row of {paper}")
    return rows[row_id]


RUNS, OTHER, NOT_RUN = "one command", "another system", "not run"


def kind(row: Row) -> str:
    """Whether a row runs as one command, is of another system, or cannot be run or needs no run."""
    return RUNS if row.method else OTHER if row.note == OTHER else NOT_RUN


def published(method: str) -> list[Published]:
    """All numbers printed for a method: in the rows of its own paper here, and in its own file."""
    rows = get(method).ROWS if method in names() else []
    return [row.published for row in rows if row.method == method and row.top1 is not None] + methods.get(
        method
    ).PUBLISHED
