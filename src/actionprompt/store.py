"""Arrays by key on disk, as memory-mapped shards of fixed-size rows that several processes fill without a lock.

A folder holds rows of one shape. A process appends to a shard of its own, two files: `NAME.rows` are the rows, one
after the other; the index, `NAME.open` while it is written to and then `NAME.index`, is a line of JSON (type and shape
of a row, and what the rows are) and a record for each row: its key, the CRC-32 of key and row, and that of the record.
A row is written before its record, so what a process that is killed leaves is a tail that nothing names.

Losing a row is no error: whoever kept it makes it again. Two processes that make the same row keep it twice, and the
older one counts. Small shards are merged when there are many; a shard that can be deleted by that is read into memory
instead of mapped, so no map loses its file.
"""

import contextlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from actionprompt import files

FORMAT = 1
KEY_BYTES = 32
RECORD = np.dtype([("key", f"S{KEY_BYTES}"), ("row", "<u4"), ("record", "<u4")])
SMALL_BYTES = 8 << 20
"""Shards with fewer bytes of rows may be merged."""
MOST_SMALL = 32
"""Small shards in a folder, above which they are merged."""
ABANDONED_S = 3600
"""Seconds without a change after which a shard that was not closed is taken for that of a killed process. The clock and
the processes of another machine say nothing certain, and if this one still lives, it loses rows and no more."""


class Rows:
    """C rows of one shape that lie in several arrays, in memory or mapped from files, and are gathered on demand."""

    def __init__(self, parts: Sequence[np.ndarray], part: Int[np.ndarray, " C"], row: Int[np.ndarray, " C"]) -> None:
        self._parts, self._part, self._row = parts, part, row
        self.shape: tuple[int, ...] = (len(part), *(parts[part[0]].shape[1:] if len(part) else ()))

    @classmethod
    def of(cls, rows: Tensor) -> "Rows":
        """The rows of a tensor on the CPU."""
        return cls([rows.numpy()], np.zeros(len(rows), np.int64), np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self._part)

    @property
    def num_bytes(self) -> int:
        """What `read` takes."""
        return 4 * int(np.prod(self.shape))

    def __getitem__(self, chosen: Int[Tensor, " n"]) -> Tensor:
        """The rows of these numbers, [n, ...], in float32 on the CPU."""
        numbers = chosen.cpu().numpy()
        part, row = self._part[numbers], self._row[numbers]
        gathered = np.empty((len(numbers), *self.shape[1:]), np.float32)
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            gathered[here] = self._parts[number][row[here]]
        return torch.from_numpy(gathered)

    def read(self) -> Tensor:
        """All of them, [C, ...], in memory."""
        return self[torch.arange(len(self))]


@dataclass(frozen=True)
class Found:
    """What a folder holds of K keys."""

    parts: tuple[np.ndarray, ...]
    part: Int[np.ndarray, " K"]
    """The array that the row of a key is in; -1: none."""
    row: Int[np.ndarray, " K"]
    """The row in that array."""
    damaged: tuple[int, ...]
    """Positions of keys whose rows are damaged; another copy of the row counts for it."""
    unnamed: int
    """Damaged records and indices: which keys they were of is not known."""


def find(folder: Path, keys: Sequence[bytes]) -> Found:
    """The rows of these keys of 32 bytes, their checksums verified. What cannot be read is not there."""
    for _ in range(10):
        try:
            return _find(folder, keys)
        except FileNotFoundError:  # a shard was closed or merged between two looks
            continue
        except OSError:  # no folder, or none that may be read
            break
    return Found((), np.full(len(keys), -1), np.zeros(len(keys), np.int64), (), 0)


def _find(folder: Path, keys: Sequence[bytes]) -> Found:
    shards, unreadable = _scan(folder)
    every = np.concatenate([shard.keys for shard in shards] or [np.empty(0, RECORD["key"])])
    shard_of = np.repeat(np.arange(len(shards)), [len(shard.keys) for shard in shards])
    row_of = np.concatenate([np.arange(len(shard.keys)) for shard in shards] or [np.empty(0, np.int64)])
    order = np.argsort(every, kind="stable")  # shards are in the order of their age, so older copies come first
    wanted = np.array(keys, RECORD["key"])
    place, end = (np.searchsorted(every, wanted, side, sorter=order) for side in ("left", "right"))
    part, row = np.full(len(keys), -1), np.zeros(len(keys), np.int64)
    damaged: list[int] = []
    waiting = np.flatnonzero(place < end)
    while len(waiting):
        candidates = order[place[waiting]]
        good = _verify(shards, shard_of[candidates], row_of[candidates])
        part[waiting[good]], row[waiting[good]] = shard_of[candidates[good]], row_of[candidates[good]]
        waiting = waiting[~good]
        place[waiting] += 1
        last = place[waiting] == end[waiting]
        damaged += waiting[last].tolist()
        waiting = waiting[~last]
    used = np.unique(part[part >= 0])
    if len(used):
        part[part >= 0] = np.searchsorted(used, part[part >= 0])
    unnamed = unreadable + sum(shard.num_damaged for shard in shards)
    return Found(tuple(shards[number].rows for number in used), part, row, tuple(sorted(damaged)), unnamed)


class Appender:
    """Appends rows to a shard of its own, which is made with the first row."""

    def __init__(self, folder: Path, about: str) -> None:
        self._folder, self._about = folder, about
        self._name = f"{time.time_ns():016x}-{secrets.token_hex(8)}"
        self._rows: BinaryIO | None = None
        self._index: BinaryIO | None = None
        self.num_rows = 0
        """Rows that are written, with their records."""

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Append a row for each key.

        Raises:
            OSError: they cannot be written, and nothing can be added any more; `num_rows` stay.
        """
        if self._rows is None or self._index is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            tidy(self._folder)
            self._dtype, self._shape = rows.dtype, rows.shape[1:]
            self._rows = self._file(".rows").open("xb", buffering=0)
            self._index = self._file(".open").open("xb", buffering=0)
            _write(self._index, _header(rows.dtype, rows.shape[1:], self._about))
        assert (rows.dtype, rows.shape[1:]) == (self._dtype, self._shape)
        _write(self._rows, np.ascontiguousarray(rows).tobytes())
        _write(self._index, b"".join(_record(key, row) for key, row in zip(keys, rows, strict=True)))
        self.num_rows += len(keys)

    def _file(self, suffix: str) -> Path:
        return self._folder / f"{self._name}{suffix}"

    def close(self) -> None:
        """End the shard; it can be merged from now on."""
        for file in (self._rows, self._index):
            if file is not None:
                file.close()
        if self._index is not None:
            with contextlib.suppress(OSError):  # on Windows, while somebody reads it; then it counts when it is old
                if self.num_rows:
                    self._file(".open").replace(self._file(".index"))
                else:
                    self._file(".open").unlink()
                    self._file(".rows").unlink()
        self._index = None

    def written(self) -> np.ndarray:
        """The rows that this process has added, mapped or in memory."""
        return _map(self._file(".rows"), self._dtype, (self.num_rows, *self._shape))


# Shards ---------------------------------------------------------------------------------------------------------------


@dataclass
class _Shard:
    """The index of a shard, and its rows when they are asked for; one row for each record, n of them."""

    path: Path
    """Of the index."""
    header: bytes
    """Without the end of its line."""
    dtype: np.dtype
    shape: tuple[int, ...]
    keys: np.ndarray
    """Empty where the record is damaged."""
    sums: np.ndarray
    num_rows: int
    """Rows in the file; fewer than records where the disk has lost some."""
    num_damaged: int
    _mapped: np.ndarray | None = field(default=None)

    @property
    def rows(self) -> np.ndarray:
        if self._mapped is None:
            self._mapped = _map(self.path.with_suffix(".rows"), self.dtype, (self.num_rows, *self.shape))
        return self._mapped


def _map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    if count * dtype.itemsize < SMALL_BYTES:  # may be merged, that is deleted, while this process reads it
        return np.fromfile(path, dtype, count).reshape(shape)
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))


def _scan(folder: Path) -> tuple[list[_Shard], int]:
    """The shards of a folder, the oldest first, and the number of those that cannot be read or hold other rows."""
    names = sorted(os.listdir(folder)) if folder.exists() else []
    shards, unreadable = _read_all(folder / name for name in names if name.endswith((".index", ".open")))
    same = [shard for shard in shards if (shard.dtype, shard.shape) == (shards[-1].dtype, shards[-1].shape)]
    return same, len(unreadable) + len(shards) - len(same)


def _read_all(paths: Iterable[Path]) -> tuple[list[_Shard], list[Path]]:
    """The shards of these indices, and those that cannot be read.

    Raises:
        FileNotFoundError: one has another name now.
    """
    shards, unreadable = [], []
    for path in paths:
        try:
            shard = _read(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, FileNotFoundError) and not path.exists():
                raise
            unreadable.append(path)
        else:
            shards += [shard] if shard is not None else []
    return shards, unreadable


def _read(path: Path) -> _Shard | None:
    """The shard of an index; None where the process was killed before a first row was whole.

    Raises:
        ValueError: not what an `Appender` writes.
    """
    content = path.read_bytes()
    header, newline, records = content.partition(b"\n")
    if not newline and path.suffix == ".open":
        return None
    about = json.loads(header)
    dtype, shape = np.dtype(about["dtype"]), tuple(int(side) for side in about["shape"])
    row_bytes = dtype.itemsize * int(np.prod(shape))
    if about["format"] != FORMAT or dtype.name not in ("float16", "float32") or row_bytes < 1:
        raise ValueError(f"{path}: expected the index of a shard of format {FORMAT}")
    size = RECORD.itemsize
    entries = np.frombuffer(records[: len(records) // size * size], RECORD)
    sums = np.array([zlib.crc32(records[i * size : (i + 1) * size - 4]) for i in range(len(entries))], np.uint32)
    keys, damaged = entries["key"].copy(), sums != entries["record"]
    keys[damaged] = b""
    num_rows = min(len(entries), path.with_suffix(".rows").stat().st_size // row_bytes)
    return _Shard(path, header, dtype, shape, keys, entries["row"], num_rows, int(damaged.sum()))


def _verify(
    shards: Sequence[_Shard], shard: Int[np.ndarray, " n"], row: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Whether rows are as they were written. Reads all of them, in the order of the disk, in several threads."""
    good = np.zeros(len(row), bool)

    def check(numbers: Int[np.ndarray, " m"]) -> None:
        here = shards[shard[numbers[0]]]
        for number, at in zip(numbers.tolist(), row[numbers].tolist()):
            good[number] = at < here.num_rows and _sum(_key(here.keys[at]), here.rows[at]) == here.sums[at]

    parts = []
    for number in np.unique(shard):
        here = np.flatnonzero(shard == number)
        here = here[np.argsort(row[here], kind="stable")]
        try:
            _ = shards[number].rows  # mapped once, not by every thread
        except PermissionError:
            continue
        parts += [here[start : start + 1024] for start in range(0, len(here), 1024)]
    if len(parts) < 2:
        for numbers in parts:
            check(numbers)
        return good
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for _ in pool.map(check, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return good


def _key(key: bytes) -> bytes:
    return key.ljust(KEY_BYTES, b"\0")  # NumPy cuts zeros at the end


def _sum(key: bytes, row: np.ndarray) -> int:
    return zlib.crc32(row.reshape(-1).view(np.uint8).data, zlib.crc32(key))


def _record(key: bytes, row: np.ndarray) -> bytes:
    record = key + _sum(key, row).to_bytes(4, "little")
    return record + zlib.crc32(record).to_bytes(4, "little")


def _header(dtype: np.dtype, shape: Sequence[int], about: str) -> bytes:
    header: dict[str, Any] = {"format": FORMAT, "dtype": dtype.name, "shape": list(shape), "about": about}
    return json.dumps(header).encode() + b"\n"


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it to an unbuffered file, which may take a part at a time."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


# Merging --------------------------------------------------------------------------------------------------------------


def tidy(folder: Path) -> None:
    """Merge the small shards of a folder if there are many, and delete what killed processes left without an index.
    Another process may do the same at the same time: then rows are kept twice."""
    now = time.time()
    try:
        changed = {entry.name: (entry.stat().st_mtime, entry.stat().st_size) for entry in os.scandir(folder)}
        for name, (time_s, _) in changed.items():
            stem, suffix = os.path.splitext(name)
            lost = suffix == ".rows" and f"{stem}.index" not in changed and f"{stem}.open" not in changed
            if (lost or suffix == ".new") and now - time_s > ABANDONED_S:
                (folder / name).unlink(missing_ok=True)
        small = []
        for name, (time_s, _) in sorted(changed.items()):
            stem, suffix = os.path.splitext(name)
            ended = suffix == ".index" or (suffix == ".open" and now - time_s > ABANDONED_S)
            if ended and changed.get(f"{stem}.rows", (0, SMALL_BYTES))[1] < SMALL_BYTES:
                small.append(folder / name)
        if len(small) > MOST_SMALL:
            _merge(folder, small)
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing is lost: a folder that is read-only or gone, a damaged index, or somebody else was faster


def _merge(folder: Path, small: Sequence[Path]) -> None:
    shards, unreadable = _read_all(small)
    kept = [shard for shard in shards if shard.header == shards[-1].header]
    if len(kept) < 2:
        return
    merged = folder / f"{small[0].stem.partition('-')[0]}-{secrets.token_hex(8)}.rows"  # as old as the oldest of them
    seen: set[bytes] = {b""}
    try:
        with merged.open("xb") as rows, merged.with_suffix(".new").open("xb") as index:
            index.write(kept[0].header + b"\n")
            for number, shard in enumerate(kept):
                good = _verify(kept, np.full(len(shard.keys), number), np.arange(len(shard.keys)))
                for at in np.flatnonzero(good).tolist():
                    key = _key(shard.keys[at])
                    if shard.keys[at] and key not in seen:
                        seen.add(key)
                        rows.write(shard.rows[at].tobytes())
                        index.write(_record(key, shard.rows[at]))
        for path in (merged, merged.with_suffix(".new")):
            files.sync(path)  # before the others are deleted
        merged.with_suffix(".new").replace(merged.with_suffix(".index"))
    except BaseException:
        for path in (merged, merged.with_suffix(".new")):
            path.unlink(missing_ok=True)
        raise
    other = {*unreadable, *(shard.path for shard in shards if shard.header != shards[-1].header)}
    for path in small:
        for suffix in (path.suffix, ".rows") if path not in other else ():  # rows without an index are nobody's
            with contextlib.suppress(OSError):
                path.with_suffix(suffix).unlink()
