"""Recognise actions in videos: actionprompt-runtime exported clip.mp4

Exit codes: 0 done; 1 done, but some videos could not be read; 2 the request was wrong, or a file could not be read or
written (one line says how); 130 interrupted; 141 the reader of a pipe has gone.
"""

import argparse
import dataclasses
import io
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import actionprompt_runtime

INTERRUPTED, PIPE_CLOSED = 130, 141
NONE = "none of these"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see actionprompt-runtime --help")


def main(argv: list[str] | None = None) -> int:
    """See the module for the exit codes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # a pipe without a reader, or a full disk, answers here
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush at exit
        return PIPE_CLOSED
    except OSError as error:
        return _fail(f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error))
    except ValueError as error:
        return _fail(str(error))


def run(args: list[str]) -> int:
    """Answers on videos; the exit code."""
    parser = _Parser("actionprompt-runtime", description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("model", type=Path, metavar="DIR", help="the folder that `actionprompt export` wrote")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, and folders of numbered images")
    parser.add_argument("--version", action="version", version=actionprompt_runtime.__version__)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many labels to show (5)")
    parser.add_argument("--json", metavar="FILE", help="write the results here; - is stdout, with nothing else on it")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="videos that the graph takes at a time (1)")
    parser.add_argument("--threads", type=int, metavar="N", help="that compute, and as many that read (one per core)")
    options = parser.parse_args(args)
    if options.json not in (None, "-"):
        _check_output(Path(options.json))

    model = actionprompt_runtime.load(options.model, threads=options.threads)
    answers = model.predict_all(options.videos, top=options.top, batch=options.batch)
    for line in model.warnings:
        _note(f"warning: {line}")
    results, unreadable = [], []
    for path, result in _in_background(answers):
        if isinstance(result, actionprompt_runtime.VideoDecodeError):
            unreadable.append({"key": str(path), "reason": result.reason})
            _note(f"could not read {result}")
            continue
        results.append({**dataclasses.asdict(result), "path": str(path)})
        if options.json != "-":
            print(_visible(f"{path}: {_ranked(result)}"), flush=True)
    if options.json is not None:
        about = {**model.about, "runtime": f"actionprompt-runtime {actionprompt_runtime.__version__}"}
        answer = {"about": about, "warnings": model.warnings, "predictions": results, "unreadable": unreadable}
        _write(options.json, json.dumps(answer, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return 1 if unreadable else 0


def _ranked(result: Any) -> str:
    """Labels with their probabilities, the highest first; none of these is one of them where the model has it."""
    cells = [f"{label} {100 * score:.1f} %" for label, score in zip(result.labels, result.scores)]
    if result.none is not None:
        cells.insert(sum(score >= result.none for score in result.scores), f"{NONE} {100 * result.none:.1f} %")
    elif result.none_of_these:
        cells[0] = f"{NONE} ({cells[0]})"
    return ", ".join(cells)


def _in_background(items: Iterable[Any]) -> Iterator[Any]:
    """The items, made in another thread: this one waits, so that a signal meets it at once and not after the graph."""
    made: queue.SimpleQueue = queue.SimpleQueue()

    def make() -> None:
        try:
            for item in items:
                made.put((item, None))
            made.put((None, None))
        except BaseException as error:
            made.put((None, error))

    threading.Thread(target=make, daemon=True).start()
    while True:
        try:
            item, error = made.get(timeout=0.5)  # Windows interrupts no wait without an end
        except queue.Empty:
            continue
        if error is not None:
            raise error
        if item is None:
            return
        yield item


def _end(*_: Any) -> None:
    """Ends the process, whatever its threads are doing; there is no file that is half written."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _fail(text: str) -> int:
    _note(f"error: {text}")
    return 2


def _note(text: str) -> None:
    print(_visible(text), file=sys.stderr, flush=True)


def _visible(text: str) -> str:
    """In one line, with escapes in place of control characters, which names of files may hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _check_output(path: Path) -> None:
    """See that the file can be written, before the work starts; an existing file keeps its content."""
    if path.is_dir():
        raise ValueError(f"--json: expected a file, but {path} is a folder; name a file in it")
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise ValueError(f"--json: {path} cannot be written ({error.strerror})") from None


def _write(place: str, text: str) -> None:
    """Into a file, whole or not at all; - is stdout."""
    content = text.encode("utf-8", "backslashreplace")
    if place == "-":
        sys.stdout.buffer.write(content)
        return
    path = Path(os.path.realpath(place))
    try:
        if path.exists() and not path.is_file():  # a device or a pipe
            path.write_bytes(content)
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # for the moment that it takes
        temporary = path.with_name(f".{path.name[-100:]}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        error.filename = place  # a full disk names no file, and the temporary one is nobody's
        raise


if __name__ == "__main__":
    sys.exit(main())
