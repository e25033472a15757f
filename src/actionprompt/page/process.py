"""A process that does the work of the server, one task at a time: whatever a file or a model does to it, the server
stays."""

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

LOOK_S = 0.25
"""How often a working process is looked at."""
CANCEL_S = 3.0
"""Within which a process has to leave a task that is cancelled; then it is killed."""
STOP_S = 2.0
"""Within which an idle process has to end."""
MOST_LINE = 1 << 20
"""Bytes of an answer; results are files."""


class Failed(Exception):
    """A task could not be done; the message is one line for the user. `limit`: because it wanted more than it may."""

    def __init__(self, reason: str, *, limit: bool = False) -> None:
        super().__init__(reason)
        self.limit = limit


class Cancelled(Exception):
    """A task was cancelled."""


@dataclass(frozen=True)
class Bounds:
    """What a task may take."""

    seconds: float
    memory_bytes: int
    disk_full: Callable[[], str | None] = lambda: None
    """Why no more may be written, if that is so."""


class Worker:
    """Does tasks one after another, in a process that starts with the first one, and again after it ended."""

    def __init__(self, *, module: Sequence[str] = ("-m", "actionprompt.page.work")) -> None:
        """`module` are the arguments for Python that start the process."""
        self._module = module
        self._process: Process | None = None
        self._cancelled = False
        self._killed_because: Failed | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def do(
        self, task: dict[str, Any], bounds: Bounds, progress: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any]:
        """The answer to a task of `work`.

        Raises:
            Failed: it could not be done, took too much, or the process died.
            Cancelled: `cancel` was called.
        """
        self._cancelled, self._killed_because = False, None
        process = await self._started()
        if self._cancelled:
            raise Cancelled
        assert process.stdin is not None
        assert process.stdout is not None
        watch = asyncio.create_task(self._watch(process, bounds))
        try:
            with contextlib.suppress(ConnectionError):  # it has died; the end of its output says so
                process.stdin.write(_line({"task": task}))
                await process.stdin.drain()
            while line := await process.stdout.readline():
                answer = json.loads(line)
                if "progress" in answer:
                    progress(answer["progress"])
                elif "done" in answer:
                    return answer["done"]
                elif "cancelled" in answer:
                    raise Cancelled
                else:
                    raise Failed(answer["failed"], limit=answer.get("limit", False))
            code = await process.wait()
        finally:
            watch.cancel()
        if self._cancelled:
            raise Cancelled
        raise self._killed_because or Failed(_death(code))

    async def cancel(self) -> None:
        """End the task that is being done; a process that does not leave it is killed."""
        process, self._cancelled = self._process, True
        if process is None or process.returncode is not None or process.stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            process.stdin.write(_line({"cancel": True}))
            await process.stdin.drain()

    async def stop(self) -> None:
        """End the process, and all that it started."""
        if (process := self._process) is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            kill(process.pid)
            await process.wait()

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            apart = os.name != "nt"  # Ctrl-C in the terminal is for the server, which then ends its workers
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._module, stdin=PIPE, stdout=PIPE, limit=MOST_LINE, start_new_session=apart
            )
        return self._process

    async def _watch(self, process: Process, bounds: Bounds) -> None:
        """Kills a process that takes too much, or does not leave a cancelled task."""
        began, cancelled_at = time.monotonic(), None
        while process.returncode is None:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            if self._cancelled:
                cancelled_at = now if cancelled_at is None else cancelled_at
                if now - cancelled_at > CANCEL_S:
                    kill(process.pid)
                continue
            full = bounds.disk_full()
            if now - began > bounds.seconds:
                self._end(process, f"it took longer than {bounds.seconds / 60:g} minutes, the limit (--max-minutes)")
            elif (used := memory_of(process.pid)) > bounds.memory_bytes:
                self._end(
                    process,
                    f"it needed {used / 1e9:.1f} GB of memory, and the limit is {bounds.memory_bytes / 1e9:.1f} GB "
                    f"(--max-memory-gb)",
                )
            elif full is not None:
                self._end(process, full)

    def _end(self, process: Process, reason: str) -> None:
        self._killed_because = self._killed_because or Failed(reason, limit=True)
        kill(process.pid)


def memory_of(pid: int) -> int:
    """Bytes of memory that a process and those it started hold; pages that they share count for each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def kill(pid: int) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                one.kill()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _death(code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return (
        f"the process that worked on it ended {how}: the file or too little memory ended it, or somebody did; "
        f"other jobs are not affected"
    )
