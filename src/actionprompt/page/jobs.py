"""Jobs: what takes its time. Two queues, one for models and one for files, each with a process that does one job at a
time."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actionprompt import files
from actionprompt.page import schemas
from actionprompt.page.process import Bounds, Cancelled, Failed, Worker
from actionprompt.page.videos import Disk, new_id

LANES = {"predict": "model", "timeline": "model", "teach": "model", "film": "media", "preview": "media"}
"""Which queue a kind of job waits in, so that a preview does not wait for a training."""
FINAL = ("done", "failed", "cancelled")
USUAL_S = {"model": 10.0, "media": 10.0}
"""How long a job takes, until one was seen."""
MEASURE_S = 2.0
"""How often the files of a running job are measured."""
CALM_S = 0.2
"""Watchers are told of progress no more often."""


class QueueFull(Exception):
    """A job was not accepted."""

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        super().__init__(f"the queue is full: {waiting} jobs wait; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(eq=False)
class Work:
    """A job as the server holds it."""

    kind: schemas.Kind
    title: str
    task: dict[str, Any]
    """For `work`."""
    folder: Path
    """Of its results."""
    videos: tuple[str, ...]
    request: dict[str, Any]
    of: str | None = None
    done: Callable[["Work"], None] = lambda work: None
    """Called when it is done, before anybody is told."""
    undone: Callable[["Work"], None] = lambda work: None
    """Called when it failed or was cancelled."""
    id: str = field(default_factory=new_id)
    state: schemas.State = "waiting"
    progress: schemas.Progress | None = None
    error: str | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float | None = None
    seconds: float | None = None
    suffixes: tuple[str, ...] = ()
    """Of its results, once it is done."""
    notices: tuple[str, ...] = ()
    """What was found damaged, or could not be kept, while it was done."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another, at every change."""

    def touch(self) -> None:
        """Tell those who watch."""
        old, self.changed = self.changed, asyncio.Event()
        old.set()


class Jobs:
    """All jobs, and the queues that they wait in."""

    def __init__(
        self, root: Path, disk: Disk, *, max_queue: int, max_jobs: int, seconds: float, memory_bytes: int
    ) -> None:
        self.root, self.disk, self.max_queue, self.max_jobs = root, disk, max_queue, max_jobs
        self.bounds = Bounds(seconds, memory_bytes, disk.full)
        self.workers = {lane: Worker() for lane in ("model", "media")}
        self.works: dict[str, Work] = {}
        self._queues: dict[str, deque[Work]] = {lane: deque() for lane in self.workers}
        self._news = {lane: asyncio.Event() for lane in self.workers}
        self._usual_s = dict(USUAL_S)
        self._running: dict[str, Work | None] = dict.fromkeys(self.workers)
        self._closed = False

    async def run(self) -> None:
        """Does jobs until it is cancelled; then the processes are ended."""
        try:
            await asyncio.gather(*(self._serve(lane) for lane in self.workers))
        finally:
            await asyncio.gather(*(worker.stop() for worker in self.workers.values()))

    def add(self, work: Work) -> Work:
        """Queue a job.

        Raises:
            QueueFull: too many wait.
            NoSpace: the quota or the disk is full.
        """
        lane = LANES[work.kind]
        queue = self._queues[lane]
        if len(queue) >= self.max_queue:
            next_place_s = max(1, round(self._usual_s[lane]))  # then one more job has ended
            raise QueueFull(len(queue), min(next_place_s, 600))
        self.disk.check()
        work.folder = self.root / work.id
        work.folder.mkdir(parents=True)
        self.works[work.id] = work
        queue.append(work)
        self._news[lane].set()
        self._forget()
        return work

    def place(self, work: Work) -> int | None:
        """In its queue, from 1."""
        queue = self._queues[LANES[work.kind]]
        return queue.index(work) + 1 if work.state == "waiting" and work in queue else None

    def using(self, video: str) -> bool:
        """Whether a job that waits or runs needs a video."""
        return any(video in work.videos for work in self.works.values() if work.state not in FINAL)

    async def cancel(self, work: Work) -> None:
        """End a job that waits or runs, and wait until it has ended."""
        queue = self._queues[LANES[work.kind]]
        if work in queue:
            queue.remove(work)
            self._finish(work, "cancelled")
            self._tell_waiting(queue)
            return
        lane = LANES[work.kind]
        while work.state not in FINAL:
            changed = work.changed
            if self._running[lane] is work:
                await self.workers[lane].cancel()
            await changed.wait()

    def delete(self, work: Work) -> None:
        """Forget a finished job, with its files."""
        del self.works[work.id]
        files.delete(work.folder)
        self.disk.measure(work.folder)
        work.touch()

    async def watch(self, work: Work) -> AsyncIterator[Work]:
        """The job now, and after every change until it is finished or deleted, or the server stops."""
        while True:
            changed = work.changed
            yield work
            if work.state in FINAL or work.id not in self.works:
                return
            await changed.wait()
            if self._closed:
                return
            if work.state == "running":
                await asyncio.sleep(CALM_S)

    def close(self) -> None:
        """Let those who watch go, since the server stops."""
        self._closed = True
        for work in self.works.values():
            work.touch()

    # ------------------------------------------------------------------------------------------------------------------

    async def _serve(self, lane: str) -> None:
        queue, news = self._queues[lane], self._news[lane]
        while True:
            await news.wait()
            if not queue:
                news.clear()
                continue
            work = queue.popleft()
            self._tell_waiting(queue)
            self._running[lane] = work
            try:
                await self._do(work, self.workers[lane])
            finally:
                self._running[lane] = None
            if work.seconds is not None:
                self._usual_s[lane] += 0.3 * (work.seconds - self._usual_s[lane])

    async def _do(self, work: Work, worker: Worker) -> None:
        work.state, work.began = "running", time.monotonic()
        work.touch()

        def progress(told: dict[str, Any]) -> None:
            work.progress = schemas.Progress(**told)
            work.touch()

        measuring = asyncio.create_task(self._measure(work.folder))
        try:
            answer = await worker.do({**work.task, "folder": str(work.folder)}, self.bounds, progress)
            work.suffixes, work.notices = tuple(answer.get("files", ())), tuple(answer.get("notices", ()))
            work.done(work)
            self._finish(work, "done")
        except Cancelled:
            self._finish(work, "cancelled")
        except Failed as error:
            self._finish(work, "failed", str(error))
        except asyncio.CancelledError:  # the server stops
            self._finish(work, "cancelled")
            raise
        except Exception as error:
            self._finish(work, "failed", f"a fault of the server ({type(error).__name__}: {error})")
        finally:
            measuring.cancel()

    async def _measure(self, folder: Path) -> None:
        while True:
            await asyncio.sleep(MEASURE_S)
            self.disk.measure(folder)

    def _finish(self, work: Work, state: schemas.State, error: str | None = None) -> None:
        if state != "done":
            work.undone(work)
            files.delete(work.folder)
        work.state, work.error, work.progress = state, error, None
        if work.began is not None:
            work.seconds = time.monotonic() - work.began
        self.disk.measure(work.folder)
        work.touch()

    def _tell_waiting(self, queue: Sequence[Work]) -> None:
        for work in queue:
            work.touch()

    def _forget(self) -> None:
        """Finished jobs beyond `max_jobs`, the oldest first."""
        finished = [work for work in self.works.values() if work.state in FINAL]
        for work in finished[: max(0, len(finished) - self.max_jobs)]:
            self.delete(work)
