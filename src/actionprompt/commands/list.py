"""The methods and the data sets; of one method its variants and recipes: actionprompt list [METHOD]"""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.markup import escape
from rich.table import Table

from actionprompt import datasets, methods
from actionprompt.commands._shared import out


@dataclass(frozen=True)
class List:
    method: tyro.conf.Positional[str | None] = None
    """A method, to see its variants and recipes."""


def main(args: Sequence[str]) -> int:
    options = tyro.cli(List, args=list(args), prog="actionprompt list", description=__doc__)
    if options.method is not None:
        module = methods.get(options.method)
        out.print(escape(methods.summary(options.method)), highlight=False)
        for what, table in (("variants", module.VARIANTS), ("recipes", module.RECIPES)):
            out.print(f"{what}: {', '.join(table) or 'none'}", highlight=False, soft_wrap=True)
        return 0
    for what, package in (("method", methods), ("data set", datasets)):
        table = Table(what, "what it is")
        for name in package.names():
            table.add_row(name, escape(package.summary(name)))
        out.print(table)
    return 0
