"""The engine of one machine: decoding processes, and the towers in this one."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from actionprompt import data
from actionprompt.apps.tag.work import Answers, Frames, Job, Reader, Rows, Tower, read_apart
from actionprompt.clips import Position

AHEAD = 2
"""Batches that torch's loader has every worker read ahead."""


class Positions(Sequence[list[Position]]):
    """Batches as the loader takes them, from one on."""

    def __init__(self, job: Job, begin: int) -> None:
        self.batches, self.begin = job.batches, begin

    def __len__(self) -> int:
        return len(self.batches) - self.begin

    def __getitem__(self, index: Any) -> Any:
        if index < 0:
            raise IndexError(index)
        return [(0, row) for row in range(*self.batches[self.begin + index])]


def run(job: Job) -> Generator[Answers, None, None]:
    """The answers to all batches, in order."""
    tower = Tower(job.predictor, job.embeddings)
    with closing(read(job)) as batches:
        for batch in batches:
            yield tower(batch, job.source.texts(batch.first, batch.first + len(batch.errors)))


def read(job: Job) -> Generator[Frames, None, None]:
    """The frames of all batches. Where a file ends the process that decodes it, the batches that were being read are
    read again with `read_apart`."""
    reader = Reader.of(job.predictor, job.source.base, job.folder)
    rows = Rows(job.source, reader)
    done = 0
    while done < len(job.batches):
        loaded = data.loader(rows, Positions(job, done), num_workers=job.num_workers)
        try:
            with closing(loaded):
                for batch in loaded:
                    yield Frames.of(job.batches[done][0], batch)
                    done += 1
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
        for _ in range(min(AHEAD * job.num_workers + 1, len(job.batches) - done)):
            first, stop = job.batches[done]
            texts = job.source.texts(first, stop)
            yield Frames.of(first, data.collate(read_apart(reader, texts, first)))
            done += 1
