"""Tasks for several processes, of which one may die."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def run(
    work: Callable[[Task], Outcome], tasks: Iterable[Task], num_workers: int
) -> Generator[tuple[Task, Outcome | None], None, None]:
    """(task, outcome) as they are finished. A task that ends its process, as a file that was made to attack a decoder
    may, has the outcome None; new processes do the others. When the caller stops, the processes are killed."""
    coming = iter(tasks)
    alone: list[Task] = []  # one of these ended a process, so they are tried one by one
    while True:
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _begin)
        running: dict[Future[Outcome], Task] = {}
        try:
            while True:
                if alone and not running:
                    running[pool.submit(work, alone[-1])] = alone[-1]
                while not alone and len(running) < 2 * num_workers and (task := next(coming, None)) is not None:
                    running[pool.submit(work, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    task = running.pop(future)
                    if alone:
                        alone.pop()
                    yield task, outcome
        except BrokenProcessPool:
            if alone:
                yield alone.pop(), None
            else:
                alone = list(running.values())
        finally:
            if running:  # interrupted, or a process has died
                for child in set(multiprocessing.active_children()) - others:
                    child.kill()
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """A worker leaves Ctrl-C to the process that started it, and ends with that one, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
