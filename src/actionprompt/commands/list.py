"""The methods and the data sets; of one method its variants and recipes: actionprompt list [METHOD]"""

from collections.abc import Iterable, Sequence

from actionprompt import datasets, methods


def main(args: Sequence[str]) -> int:
    if not args:
        for title, package in (("methods", methods), ("data sets", datasets)):
            print(f"{title}:")
            print_names((name, package.summary(name)) for name in package.names())
        print("actionprompt list METHOD shows a method's variants and recipes.")
        return 0
    if len(args) > 1 or args[0].startswith("-"):
        if args[0] in ("-h", "--help"):
            print("usage: actionprompt list [METHOD]")
            raise SystemExit(0)
        raise ValueError(f"expected one method or nothing after `list`, got {' '.join(args)}")
    module = methods.get(args[0])
    print(methods.summary(args[0]))
    for title, table in (("variants", module.VARIANTS), ("recipes", module.RECIPES)):
        print(f"{title}: {', '.join(table) or 'none'}")
    return 0


def print_names(rows: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, in two columns."""
    for name, summary in rows:
        print(f"  {name:<20} {summary}")
    print()
