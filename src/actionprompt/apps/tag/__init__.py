"""Labels for a list of videos of any length, as a table in Parquet.

The rows of the list are cut into parts of fixed size, and every part into fixed batches. An engine answers batches, on
this machine (`local`) or on a cluster (`cluster`); a part whose batches are all answered is written, whole. Called
again, parts that are there are not made again, and the table in the end is that of a run nobody disturbed, bit by bit.
"""

import hashlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt import files
from actionprompt.apps.tag import local
from actionprompt.apps.tag.source import Source, read, require
from actionprompt.apps.tag.table import FORMAT, MANIFEST, Table, check_same, table_of
from actionprompt.apps.tag.work import Answers, Batches, Job, embeds
from actionprompt.config import Progress
from actionprompt.method import check_frames
from actionprompt.prediction import Predictor

__all__ = ["Engine", "Job", "Source", "Tagged", "read", "tag"]

Engine = Callable[[Job], Generator[Answers, None, None]]
PART_ROWS, BATCH_SIZE = 1000, 8


@dataclass(frozen=True)
class Tagged:
    """What is in the folder when a run has ended."""

    folder: Path
    rows: int
    broken: int
    """Rows that could not be read."""
    parts: int
    parts_written: int
    """By this call; the others were there."""


def tag(
    predictor: Predictor,
    source: Source,
    out: str | Path,
    *,
    part_rows: int = PART_ROWS,
    batch_size: int = BATCH_SIZE,
    embeddings: bool = False,
    num_workers: int = 2,
    engine: Engine = local.run,
    on_broken: Callable[[str, str], None] | None = None,
    progress: Progress | None = None,
) -> Tagged:
    """Write what a predictor says of every row to `out`: parts of `part_rows` rows with the columns path, status (`ok`
    or `broken`), error, label (null: none of these), score, scores and, with `embeddings`, embedding; and a manifest.

    `num_workers` decode; 0 decodes in this process, and is for `local` alone. `on_broken` is called with the path and
    the error of each row that could not be read, `progress` with the rows that are done and all of them.

    Raises:
        ValueError: `out` holds something else, or the same for another source or other settings; another process writes
            to it; a method without embeddings; scores that are not finite.
    """
    require("pyarrow")
    out = Path(out)
    check_frames(predictor.method, predictor.config)
    meaning = embeds(predictor) if embeddings else None
    identity = {
        "format": FORMAT,
        "source": {"rows": len(source), "sha256": source.sha256},
        "options": {"part_rows": part_rows, "batch_size": batch_size, "embeddings": embeddings},
        "about": predictor.about(),
    }
    check_same(out, identity)
    width = predictor.method.clip.embed_dim if embeddings else None
    run = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    table = table_of(out, len(source), part_rows, run, predictor, width)
    with files.one_writer(out):
        if not check_same(out, identity):
            files.write_json(out / MANIFEST, {"finished": False, **identity})
        broken = {part: found for part in range(table.num_parts) if (found := table.broken(part)) is not None}
        todo = [part for part in range(table.num_parts) if part not in broken]
        if todo:
            fetched = out / f".fetched.{os.getpid()}.tmp"  # the next writer deletes it if this process is killed
            fetched.mkdir()
            try:
                batches = Batches(len(source), part_rows, batch_size, todo)
                job = Job(predictor, source, batches, embeddings, num_workers, fetched)
                broken |= _work(job, table, engine, on_broken, progress)
            finally:
                files.delete(fetched)
        files.write_json(out / MANIFEST, {"finished": True, **identity, **_contents(table, broken, meaning)})
    return Tagged(out, len(source), sum(broken.values()), table.num_parts, len(todo))


def _work(
    job: Job, table: Table, engine: Engine, on_broken: Callable[[str, str], None] | None, progress: Progress | None
) -> dict[int, int]:
    """Have an engine answer all batches, and write parts as they become whole; the broken rows of each."""
    broken: dict[int, int] = {}
    waiting: dict[int, dict[int, Answers]] = {}
    done = table.rows - sum(stop - first for first, stop in map(table.bounds, job.batches.parts))
    with closing(engine(job)) as answers:
        for answer in answers:
            part = answer.first // table.part_rows
            waiting.setdefault(part, {})[answer.first] = answer
            if on_broken is not None and any(answer.errors):
                texts = job.source.texts(answer.first, answer.first + len(answer.errors))
                for text, error in zip(texts, answer.errors, strict=True):
                    if error is not None:
                        on_broken(text, error)
            first, stop = table.bounds(part)
            if sum(len(one.errors) for one in waiting[part].values()) == stop - first:
                whole = waiting.pop(part)
                broken[part] = table.write(part, job.source.texts(first, stop), [whole[row] for row in sorted(whole)])
            done += len(answer.errors)
            if progress is not None:
                progress(done, table.rows)
    if waiting or len(broken) != len(job.batches.parts):
        raise RuntimeError(f"the engine ended without an answer to every row: {len(waiting)} parts are not whole")
    return broken


def _contents(table: Table, broken: dict[int, int], meaning: str | None) -> dict[str, Any]:
    """What a manifest says of a finished table."""
    labels = [*table.labels, *([None] if table.none else [])]
    bounds = {part: table.bounds(part) for part in range(table.num_parts)}
    return {
        "columns": {"scores": labels, **({"embedding": meaning} if meaning is not None else {})},
        "broken": sum(broken.values()),
        "parts": [
            {"name": table.path(part).name, "rows": stop - first, "broken": broken[part]}
            for part, (first, stop) in bounds.items()
        ],
    }
