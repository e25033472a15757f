"""What `tag` writes: Parquet parts of a fixed number of rows, each whole or not there, and the manifest of all."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionprompt import files
from actionprompt.apps.tag.source import printable
from actionprompt.apps.tag.work import Answers
from actionprompt.prediction import Predictor

MANIFEST, FORMAT = "_manifest.json", 1
"""With an underscore, so that what reads a folder of Parquet passes over it."""
KEY = b"actionprompt"
"""Of a part's own facts in the metadata of its file."""


@dataclass(frozen=True)
class Table:
    """The parts in a folder."""

    folder: Path
    rows: int
    part_rows: int
    run: str
    """Hash of the source and of all settings that could change a row."""
    labels: tuple[str, ...]
    none: bool
    """Whether none of these is an answer: the scores then have a last column for it."""
    none_below: float | None
    """Rejection threshold, where it is not in the scores already: below it there is no label."""
    width: int | None
    """Of the embeddings; None without."""

    @property
    def num_parts(self) -> int:
        return -(-self.rows // self.part_rows)

    def bounds(self, part: int) -> tuple[int, int]:
        """First row of a part, and the row after its last."""
        return part * self.part_rows, min(self.rows, (part + 1) * self.part_rows)

    def path(self, part: int) -> Path:
        """`part-00000.parquet`, with more digits where there are more than 100,000 parts."""
        return self.folder / f"part-{part:0{max(5, len(str(self.num_parts - 1)))}d}.parquet"

    def broken(self, part: int) -> int | None:
        """How many rows of a part could not be read; None if the part is not there, or is damaged, which a
        `files.Notice` says."""
        import pyarrow as pa
        from pyarrow import parquet

        path, (first, stop) = self.path(part), self.bounds(part)
        if not path.exists():
            return None
        try:
            found = parquet.read_metadata(path)
            facts = json.loads(found.metadata[KEY])
            if (facts["run"], facts["first_row"], found.num_rows) == (self.run, first, stop - first):
                return int(facts["broken"])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            pass
        warnings.warn(f"{path} is damaged and made again", files.Notice, stacklevel=2)
        return None

    def schema(self) -> Any:
        """Columns: path, status, error, label, score, scores and embedding; the names of the scores as JSON in the
        metadata of the field, null for none of these."""
        import pyarrow as pa

        names = [*self.labels, *([None] if self.none else [])]
        fields = [pa.field(name, pa.string(), nullable=name not in ("path", "status")) for name in COLUMNS[:4]]
        fields.append(pa.field("score", pa.float32()))
        told = {b"labels": json.dumps(names, ensure_ascii=False).encode("utf-8", "backslashreplace")}
        fields.append(pa.field("scores", pa.list_(pa.float32()), metadata=told))
        if self.width is not None:
            fields.append(pa.field("embedding", pa.list_(pa.float16())))
        return pa.schema(fields)

    def write(self, part: int, texts: Sequence[str], answers: Sequence[Answers]) -> int:
        """Write a part from the answers to all its batches, in order; how many of its rows could not be read."""
        import pyarrow as pa
        from pyarrow import parquet

        errors = [error for answer in answers for error in answer.errors]
        assert len(errors) == len(texts)
        good = np.array([error is None for error in errors])
        scores = np.concatenate([answer.scores for answer in answers])
        labels, best = self.best(scores)
        label = np.full(len(errors), None, object)
        label[good] = labels
        score = np.zeros(len(errors), np.float32)
        score[good] = best
        halves = [answer.embeddings for answer in answers if answer.embeddings is not None]
        columns = [
            pa.array(printable(texts), pa.string()),
            pa.array(np.where(good, "ok", "broken").tolist(), pa.string()),
            pa.array(printable(errors), pa.string()),
            pa.array(printable(label.tolist()), pa.string()),
            pa.array(score, mask=~good),
            _vectors(scores, good),
            *([_vectors(np.concatenate(halves), good)] if self.width is not None else []),
        ]
        num_broken = int((~good).sum())
        facts = {"run": self.run, "first_row": self.bounds(part)[0], "broken": num_broken}
        schema = self.schema().with_metadata({KEY: json.dumps(facts).encode()})
        table = pa.Table.from_arrays(columns, schema=schema)
        with files.replacing(self.path(part)) as temporary:
            parquet.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        return num_broken

    def best(self, scores: np.ndarray) -> tuple[list[str | None], np.ndarray]:
        """The label of each row, None for none of these, and the probability of that answer; below the threshold, of
        the most probable label."""
        if not len(scores):
            return [], np.zeros(0, np.float32)
        own = scores[:, : len(self.labels)]
        first, best = own.argmax(1), own.max(1)
        rejected = best < (0 if self.none_below is None else self.none_below)
        if self.none:
            rejected, best = scores[:, -1] > best, np.maximum(best, scores[:, -1])
        return [None if no else self.labels[i] for i, no in zip(first.tolist(), rejected.tolist())], best


COLUMNS = ("path", "status", "error", "label")


def _vectors(rows: np.ndarray, good: np.ndarray) -> Any:
    """`rows` are those of the `good`; the others are null. The lists are not of fixed size, since pyarrow up to 21 at
    least cannot read such columns with nulls back from Parquet."""
    import pyarrow as pa

    ends = np.concatenate([[0], np.cumsum(good)]) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(rows.ravel()), mask=pa.array(~good))


def table_of(folder: Path, rows: int, part_rows: int, run: str, predictor: Predictor, width: int | None) -> Table:
    """The table that a predictor's answers go to."""
    own_threshold = not predictor.none and not predictor.independent
    return Table(
        folder, rows, part_rows, run, predictor.class_names, predictor.none,
        predictor.none_below if own_threshold else None, width,
    )  # fmt: skip


def check_same(folder: Path, identity: dict[str, Any]) -> bool:
    """Whether a folder holds the beginning of the same run; False for one that is new or empty.

    Raises:
        ValueError: it holds something else; the message says what is different.
    """
    path = folder / MANIFEST
    if not path.exists():
        inside = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")] if folder.is_dir() else []
        if inside:
            raise ValueError(f"--out: expected a new or empty folder, or one of `tag`, but {folder} holds {inside[0]}")
        return False
    found = files.read_json(path)
    for name, now in _leaves(identity):
        before = dict(_leaves(found)).get(name)
        if before != now:
            before, now = (value if len(text := str(value)) < 60 else f"{text[:57]}..." for value in (before, now))
            raise ValueError(
                f"--out: {folder} was written with {name} {before}, but this is {now}; give the same source and "
                f"options, or another folder"
            )
    return True


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """A JSON object as its values, each with its keys."""
    if not isinstance(value, dict):
        return [(name, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{name}.{key}".lstrip("."))]
