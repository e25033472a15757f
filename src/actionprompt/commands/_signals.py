"""What ends a command from outside: Ctrl-C and SIGTERM, once politely and then at once."""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""Exit code of an interrupted command, whichever signal it was."""
GRACE_S = 4.0
"""Time to end workers and to close files; a second signal ends it."""


@contextmanager
def interruptible(text: str) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt once; `GRACE_S` later, or with the next signal, the process ends and
    says `text`. What is yielded tells whether there was one: whatever else is raised then, such as torch's error that
    a worker was killed, only follows from it.

    An exception in a destructor is printed and lost. For a KeyboardInterrupt, which can meet any line, that would be an
    interrupt without effect, so it is raised again."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    was_interrupted = False
    signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.getsignal(s) for s in signals}
    unraisable = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal was_interrupted
        for s in signals:
            signal.signal(s, lambda *_: _end(text))
        if not was_interrupted:
            was_interrupted = True
            _later(GRACE_S, partial(_end, text))
        raise KeyboardInterrupt

    def lost(error: Any) -> None:
        if not was_interrupted:
            unraisable(error)
        elif issubclass(error.exc_type, KeyboardInterrupt):
            signal.signal(signal.SIGINT, interrupt)
            _later(0.05, _thread.interrupt_main)  # when the destructor has ended

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(INTERRUPTED)  # taking the interpreter apart can take seconds

    for s in signals:
        signal.signal(s, interrupt)
    sys.unraisablehook = lost
    atexit.register(leave)  # before all others, so it is called after them
    try:
        yield lambda: was_interrupted
    finally:
        if not was_interrupted:  # else what is left to do at exit may take no longer than the rest of `GRACE_S`
            sys.unraisablehook = unraisable
            atexit.unregister(leave)
            for s, handler in before.items():
                signal.signal(s, handler)


def _later(seconds: float, call: Callable[[], Any]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _end(text: str) -> None:
    """End without asking anybody; with a progress bar, the cursor of the terminal is hidden."""
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{shown}{text}\n".encode())
    os._exit(INTERRUPTED)
