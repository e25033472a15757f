"""The command line: one file per verb, whose first line is its help and whose `main` takes the arguments after it.

Exit codes: 0 done; 1 done, but some clips could not be read (they are listed); 2 the request was wrong (one line says
how); 130 interrupted.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from actionprompt import registry

FOLDER = Path(__file__).parent
ORDER = (
    "demo", "teach", "train", "import", "eval", "predict", "run", "paper", "results", "bench", "data", "check", "fuse",
    "explain", "tune-fusion", "list",
)  # fmt: skip
"""The verbs in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """`actionprompt VERB ...`; see the module for the exit codes."""
    args = [*(sys.argv[1:] if argv is None else argv)]
    if not args or args[0] in ("-h", "--help"):
        print("usage: actionprompt VERB ...\n")
        for verb in ORDER:
            print(f"  {verb:<12} {registry.summary(FOLDER, verb)}")
        print("\nactionprompt VERB --help shows a verb's options.")
        return 0
    if args[0] == "--version":
        from actionprompt import __version__

        print(__version__)
        return 0
    try:
        return registry.load(__name__, args[0], ORDER, what="verb").main(args[1:])
    except (ValueError, FloatingPointError) as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command resumes where it stopped", file=sys.stderr)
        return 130
