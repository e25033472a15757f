"""The command line: one file per verb, whose first line is its help and whose `main` takes the arguments after it.

Exit codes: 0 done; 1 done, but some clips could not be read, or `doctor` found something wrong (it is listed); 2 the
request was wrong, or a file could not be read or written (one line says how); 130 interrupted; 141 the reader of a pipe
has gone.
"""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionprompt import errors, files, registry
from actionprompt.commands import _signals

FOLDER = Path(__file__).parent
ORDER = (
    "demo", "weights", "prepare", "teach", "train", "import", "eval", "predict", "timeline", "tag", "export", "serve",
    "run", "paper", "results", "bench", "data", "check", "fuse", "explain", "tune-fusion", "list",
    "doctor",
)  # fmt: skip
"""The verbs in the order of the help."""
TRAINING = (
    "add --train.mixed-precision bf16, --train.gradient-checkpointing or more --train.micro-batches, or give fewer "
    "--data.num-frames or a smaller --train.batch-size"
)
LESS_MEMORY = {
    "train": TRAINING, "run": TRAINING, "paper": TRAINING,
    "eval": "add --bf16, or give a smaller --batch-size or fewer --data.num-frames",
    "tag": "add --precision bf16, or give a smaller --batch-size",
    "predict": "add --precision bf16, or give a smaller --backbone",
    "bench": "give a smaller --batch-size, fewer --num-frames or smaller --backbones",
    "prepare": "give fewer --workers",
}  # fmt: skip
"""By verb: the options that make it need less memory."""
RESUMED = ("weights", "prepare", "train", "tag", "run", "paper")
"""Verbs that resume where they stopped if they are called again."""


def main(argv: Sequence[str] | None = None) -> int:
    """`actionprompt VERB ...`; see the module for the exit codes. With `--debug` anywhere before `--`, an error shows
    its traceback as well."""
    args = [*(sys.argv[1:] if argv is None else argv)]
    end = args.index("--") if "--" in args else len(args)
    debug, args = "--debug" in args[:end], [word for word in args[:end] if word != "--debug"] + args[end:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a console cannot show
    verb = args[0] if args else ""
    said = "interrupted" + ("; the same command goes on where it stopped" if verb in RESUMED else "")
    with _signals.interruptible(said) as interrupted, notices():
        try:
            try:
                return answer(args)
            finally:
                sys.stdout.flush()  # a pipe without a reader, or a full disk, answers here
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, KeyboardInterrupt) or interrupted():
                print(said, file=sys.stderr)
                return _signals.INTERRUPTED
            text = errors.of_a_user(error)
            if text is None:
                raise
            if errors.of_memory(error):
                text += f"; {LESS_MEMORY.get(verb, 'end other programs that use it, or use a smaller backbone')}"
            from actionprompt.commands._shared import PIPE_CLOSED, note

            leave_stdout()
            if debug:
                traceback.print_exc()
            if isinstance(error, BrokenPipeError):
                return PIPE_CLOSED
            note("error:", text, "red")
            return 2


@contextmanager
def notices() -> Iterator[None]:
    """Shows what was damaged or could not be written (`files.Notice`) in a line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", files.Notice)
        show = warnings.showwarning

        def in_a_line(message: Warning | str, category: type[Warning], *args: Any, **options: Any) -> None:
            if issubclass(category, files.Notice):
                from actionprompt.commands._shared import note

                note("note:", str(message), "yellow")
            else:
                show(message, category, *args, **options)

        warnings.showwarning = in_a_line
        yield


def answer(args: Sequence[str]) -> int:
    """The exit code of a verb with its arguments."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: actionprompt VERB ...\n")
        for verb in ORDER:
            print(f"  {verb:<12} {registry.summary(FOLDER, verb)}")
        print("\nactionprompt VERB --help shows a verb's options; --debug shows where an error comes from.")
        return 0
    if args[0] == "--version":
        from actionprompt import __version__

        print(__version__)
        return 0
    return registry.load(__name__, args[0], ORDER, what="verb").main(args[1:])


def leave_stdout() -> None:
    """Where stdout can no longer be written to, let what is left to print go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
