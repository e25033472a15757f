"""Rows on disk: found as they were written, whatever is cut, flipped, filled by others, merged or full."""

import errno
import hashlib
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest
import torch

from actionprompt import store

SHAPE = (2, 3)


def key_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def row_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)


def add(folder, numbers, *, dtype=np.float32, about="numbers", close=True) -> store.Appender:
    appender = store.Appender(folder, about)
    appender.add([key_of(n) for n in numbers], np.stack([row_of(n) for n in numbers]).astype(dtype))
    if close:
        appender.close()
    return appender


def read(folder, numbers) -> dict[int, np.ndarray]:
    """What is found, by number."""
    found = store.find(folder, [key_of(n) for n in numbers])
    return {
        n: found.parts[part][row].astype(np.float32)
        for n, part, row in zip(numbers, found.part, found.row)
        if part >= 0
    }


def check(folder, there, numbers=range(40)) -> None:
    found = read(folder, numbers)
    assert sorted(found) == sorted(there)
    for number, row in found.items():
        np.testing.assert_array_equal(row, row_of(number))


def test_rows_of_several_shards_are_found_and_gathered(tmp_path, monkeypatch):
    assert store.find(tmp_path / "none", [key_of(0)]).part.tolist() == [-1]
    with add(tmp_path, [0, 1], close=False) as appender:
        appender.add([key_of(2)], row_of(2)[None])
        check(tmp_path, [0, 1, 2])  # while it is being written to
    add(tmp_path, [5, 3])
    check(tmp_path, [0, 1, 2, 3, 5])
    for mapped in (False, True):
        monkeypatch.setattr(store, "SMALL_BYTES", 0 if mapped else 8 << 20)
        numbers = [3, 0, 5, 2]
        found = store.find(tmp_path, [key_of(n) for n in numbers])
        rows = store.Rows(found.parts, found.part, found.row)
        assert isinstance(found.parts[0].base, np.memmap) == mapped
        assert (len(rows), rows.shape, rows.num_bytes) == (4, (4, *SHAPE), 4 * 4 * 6)
        expected = np.stack([row_of(n) for n in numbers])
        np.testing.assert_array_equal(rows.read().numpy(), expected)
        np.testing.assert_array_equal(rows[torch.tensor([3, 0, 0])].numpy(), expected[[3, 0, 0]])
        assert rows[torch.tensor([], dtype=torch.long)].shape == (0, *SHAPE)


def test_float16_is_half_the_bytes_and_read_as_float32(tmp_path):
    add(tmp_path, range(10), dtype=np.float16)
    (rows,) = tmp_path.glob("*.rows")
    assert rows.stat().st_size == 10 * 6 * 2
    found = store.find(tmp_path, [key_of(n) for n in range(10)])
    gathered = store.Rows(found.parts, found.part, found.row).read()
    assert gathered.dtype == torch.float32
    np.testing.assert_array_equal(gathered.numpy(), np.stack([row_of(n).astype(np.float16) for n in range(10)]))


def test_cut_at_every_byte_keeps_the_rows_before(tmp_path):
    """What a kill leaves: the rows are written before their records, and either may stop at any byte."""
    appender = add(tmp_path / "whole", range(3), close=False)
    (rows,), (index,) = (list((tmp_path / "whole").glob(name)) for name in ("*.rows", "*.open"))
    content, records = rows.read_bytes(), index.read_bytes()
    header = records.index(b"\n") + 1
    size, record = len(content) // 3, (len(records) - header) // 3
    for cut in [*range(0, header, 9), *range(header, len(records) + 1, 2), len(records)]:
        folder = tmp_path / "cut"
        folder.mkdir()
        there = max(0, (cut - header) // record)
        for num_bytes in {len(content), there * size, min(len(content), there * size + 5)}:
            (folder / rows.name).write_bytes(content[:num_bytes])
            (folder / index.name).write_bytes(records[:cut])
            check(folder, range(there), range(3))
            found = store.find(folder, [key_of(n) for n in range(3)])
            assert (found.damaged, found.unnamed) == ((), 0), "a tail is not damage"
        add(folder, range(there, 4))
        check(folder, range(4), range(4))
        shutil.rmtree(folder)
    appender.close()


def test_every_flipped_bit_is_noticed(tmp_path):
    add(tmp_path, range(2))
    (rows,), (index,) = (list(tmp_path.glob(name)) for name in ("*.rows", "*.index"))
    keys = [key_of(n) for n in range(2)]
    header = index.read_bytes().index(b"\n") + 1
    for file, begin in ((rows, 0), (index, header)):
        whole = file.read_bytes()
        for at in range(begin, len(whole)):
            content = bytearray(whole)
            content[at] ^= 1 << at % 8
            file.write_bytes(content)
            found = store.find(tmp_path, keys)
            lost = (at - begin) // ((len(whole) - begin) // 2)
            assert found.part.tolist() == ([-1, 0] if lost == 0 else [0, -1]), (file.suffix, at)
            assert (found.damaged, found.unnamed) == (((lost,), 0) if file == rows else ((), 1))
        file.write_bytes(whole)
    for damaged in (b"", b"no index\n", index.read_bytes().replace(b'"format": 1', b'"format": 9')):
        index.write_bytes(damaged)
        found = store.find(tmp_path, keys)
        assert (found.part.tolist(), found.unnamed) == ([-1, -1], 1)


def test_another_copy_stands_for_a_damaged_row_and_the_oldest_counts(tmp_path):
    first = add(tmp_path, [0, 1])
    time.sleep(0.001)
    other = store.Appender(tmp_path, "numbers")
    other.add([key_of(0), key_of(1)], np.zeros((2, *SHAPE), np.float32))
    other.close()
    check(tmp_path, [0, 1])
    path = tmp_path / f"{first._name}.rows"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    found = store.find(tmp_path, [key_of(0), key_of(1)])
    assert (found.damaged, found.unnamed) == ((), 0)
    assert not read(tmp_path, [0])[0].any()
    np.testing.assert_array_equal(read(tmp_path, [1])[1], row_of(1))
    path.write_bytes(content[:30])  # the disk has lost the second row, too
    assert not read(tmp_path, [1])[1].any()


def test_rows_that_the_disk_has_lost_are_damaged(tmp_path):
    add(tmp_path, range(3))
    (rows,) = tmp_path.glob("*.rows")
    rows.write_bytes(rows.read_bytes()[:30])
    found = store.find(tmp_path, [key_of(n) for n in range(3)])
    assert (found.part.tolist(), found.damaged) == ([0, -1, -1], (1, 2))
    rows.unlink()
    assert store.find(tmp_path, [key_of(0)]).unnamed == 1


def test_rows_of_another_shape_are_not_mixed_in(tmp_path):
    add(tmp_path, [0])
    time.sleep(0.001)
    other = store.Appender(tmp_path, "numbers")
    other.add([key_of(1)], np.ones((1, 5), np.float32))
    other.close()
    found = store.find(tmp_path, [key_of(0), key_of(1)])
    assert (found.part.tolist(), found.unnamed) == ([-1, 0], 1)


# Merging --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_small_runs_leave_few_files(tmp_path, monkeypatch, runs):
    monkeypatch.setattr(store, "MOST_SMALL", 8 if runs == 100 else store.MOST_SMALL)
    for number in range(runs):
        add(tmp_path, [number, 2000])
    assert len(list(tmp_path.iterdir())) <= 2 * (store.MOST_SMALL + 1)
    check(tmp_path, [*range(runs), 2000], [*range(runs), 2000])
    copies = sum(path.stat().st_size for path in tmp_path.glob("*.rows")) // 24 - runs
    assert copies <= store.MOST_SMALL + 1, "merging keeps one copy of a row"


def test_merging_leaves_out_what_is_damaged_large_or_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SMALL_BYTES", 100)
    names = [add(tmp_path, [n])._name for n in range(4)]
    large, alive, killed = (
        add(tmp_path, range(10, 16)),
        add(tmp_path, [20], close=False),
        add(tmp_path, [21], close=False),
    )
    path = tmp_path / f"{names[0]}.rows"
    path.write_bytes(b"x" * 24)
    (tmp_path / "lost.rows").write_bytes(b"rows that no index names")
    old = time.time() - 2 * store.ABANDONED_S
    for name in ("lost.rows", f"{killed._name}.open"):
        os.utime(tmp_path / name, (old, old))
    kept = store.find(tmp_path, [key_of(1)])
    monkeypatch.setattr(store, "MOST_SMALL", 3)
    add(tmp_path, [30])
    there = {path.name for path in tmp_path.iterdir()}
    assert not {f"{name}.{kind}" for name in (*names, killed._name) for kind in ("rows", "index", "open")} & there
    assert {f"{large._name}.rows", f"{alive._name}.open"} <= there
    assert "lost.rows" not in there
    check(tmp_path, [1, 2, 3, *range(10, 16), 20, 21, 30])
    np.testing.assert_array_equal(kept.parts[0][kept.row[0]], row_of(1))  # found before, and still there
    alive.add([key_of(31)], row_of(31)[None])
    check(tmp_path, [1, 2, 3, *range(10, 16), 20, 21, 30, 31])
    alive.close()
    killed.close()


def fill(folder, first: int) -> None:
    for number in range(first, first + 40, 4):
        add(folder, range(number, number + 6))  # a part of them is written by both


def test_processes_that_write_and_merge_at_once_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST_SMALL", 2)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=fill, args=(tmp_path, first)) for first in (0, 20, 0, 60)]
    for writer in writers:
        writer.start()
    seen: set[int] = set()
    while any(writer.is_alive() for writer in writers):
        found = read(tmp_path, range(110))
        assert all(np.array_equal(row, row_of(n)) for n, row in found.items())
        assert seen <= found.keys(), "what was there stays there"
        seen = set(found)
    assert [writer.exitcode for writer in writers] == [0] * 4
    check(tmp_path, range(102), range(110))
    store.tidy(tmp_path)
    check(tmp_path, range(102), range(110))
    assert len(list(tmp_path.iterdir())) <= 2 * (store.MOST_SMALL + 1)


def on_a_full_disk(folder, width, result) -> None:
    import resource  # a file may not grow beyond the limit: one write is cut short, the next one fails

    resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))
    appender = store.Appender(folder, "n")
    try:
        for number in range(0, 40, 3):
            rows = np.stack([np.full(width, n, np.float32) for n in range(number, number + 3)])
            appender.add([key_of(n) for n in range(number, number + 3)], rows)
    except OSError as error:
        result.put((error.errno, appender.num_rows, appender.written().tolist()))
    appender.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the limit is set in a fork")
@pytest.mark.parametrize("width", [1, 18], ids=["the index is full", "the rows are full"])
def test_what_fitted_on_a_full_disk_is_kept(tmp_path, width):
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    process = context.Process(target=on_a_full_disk, args=(tmp_path, width, result))
    process.start()
    code, num_rows, written = result.get()
    process.join()
    assert (code, num_rows) == (errno.EFBIG, 6 if width == 18 else 9)
    assert written == [[n] * width for n in range(num_rows)]
    there = store.find(tmp_path, [key_of(n) for n in range(40)])
    assert (there.damaged, there.unnamed) == ((), 0), "a row is written before its record"
    found = read(tmp_path, range(40))
    assert sorted(found) == list(range(len(found)))
    assert len(found) >= num_rows
    assert all((row == n).all() for n, row in found.items())


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        add(tmp_path / "file" / "folder", [0])
    with store.Appender(tmp_path / "unused", "n") as appender:
        pass
    assert appender.num_rows == 0
    assert not (tmp_path / "unused").exists()
