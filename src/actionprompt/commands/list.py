"""The methods and the data sets; of one method its variants and recipes: actionprompt list [METHOD]"""

from collections.abc import Iterable, Sequence

from actionprompt import datasets, methods, papers


def main(args: Sequence[str]) -> int:
    if not args:
        for title, package in (("methods", methods), ("data sets", datasets)):
            print(f"{title}:")
            print_names((name, package.summary(name)) for name in package.names())
        print("actionprompt list METHOD shows a method's variants and recipes, and which table each is from.")
        return 0
    if len(args) > 1 or args[0].startswith("-"):
        if args[0] in ("-h", "--help"):
            print("usage: actionprompt list [METHOD]")
            raise SystemExit(0)
        raise ValueError(f"expected one method or nothing after `list`, got {' '.join(args)}")
    module = methods.get(args[0])
    print(f"{methods.summary(args[0])}\n")
    print("variants (--variant), with the tables and figures that compare them:")
    print_names((name, tables_of(args[0], name)) for name in module.VARIANTS)
    print("recipes (--recipe); without one, the first that is recommended for the protocol and the data set is taken:")
    print_names(
        (
            name,
            f"{', '.join(recipe.protocols)}{' on ' + ', '.join(recipe.datasets) if recipe.datasets else ''}: "
            f"{recipe.source}{'' if recipe.recommended else '; only by name'}",
        )
        for name, recipe in module.RECIPES.items()
    )
    if args[0] in papers.names():
        print(f"actionprompt paper {args[0]} lists the paper's rows, each with its command.")
    return 0


def tables_of(method: str, variant: str) -> str:
    """Where a variant is compared: tables and figures of its paper; `ours` if the paper has none."""
    rows = papers.get(method).ROWS if method in papers.names() else []
    printed = [row.table for row in rows if (row.method, row.variant) == (method, variant)]
    own = [item.source for item in methods.get(method).PUBLISHED if item.variant == variant]
    return ", ".join(dict.fromkeys([*printed, *own])) or "ours"


def print_names(rows: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, in two columns."""
    for name, summary in rows:
        print(f"  {name:<22} {summary}")
    print()
