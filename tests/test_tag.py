"""`actionprompt tag` on one machine: rows against plain predictions, lists of every kind, addresses, interruptions."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from actionprompt import files, methods, prediction, zero_shot
from actionprompt.apps import tag as engine
from actionprompt.apps.tag import source as sources
from actionprompt.apps.tag import work
from actionprompt.clips import Clip
from actionprompt.config import DataConfig
from actionprompt.features import encode_clips
from actionprompt.video import write_video
from actionprompt.weights import load_clip

LABELS = ("red", "green", "blue")


def draw(path: Path, seed: int = 0) -> Path:
    frames = np.random.default_rng(seed).integers(0, 256, (4, 40, 48, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, fps=4)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Seven videos and, as the fourth in order, a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for index in range(7):
        draw(folder / f"{index}.mp4", index)
    (folder / "2b.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def predictor() -> prediction.Predictor:
    return zero_shot(LABELS, backbone="random:nano", device="cpu")


def rows_of(out: Path) -> list[dict]:
    return parquet.read_table(out).to_pylist()


def run(predictor, source, out: Path, **options) -> list[dict]:
    source = source if isinstance(source, sources.Source) else engine.read(str(source))
    engine.tag(predictor, source, out, **{"num_workers": 0, **options})
    return rows_of(out)


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [DataConfig(), DataConfig(num_clips=2, num_crops=3, pooling="logits")])
@pytest.mark.parametrize("none", [False, True])
def test_a_row_is_what_predict_says(clips, tmp_path, views, none):
    predictor = zero_shot(LABELS, backbone="random:nano", config=views, none=none, device="cpu")
    found = run(predictor, clips, tmp_path / "out", part_rows=4, batch_size=4)
    paths = sorted(clips.iterdir())
    expected = predictor.predict_all(paths, top=None, num_workers=0, batch_size=4)
    for row, (path, answer) in zip(found, expected, strict=True):
        assert row["path"] == str(path)
        if not answer.ok:
            assert (row["status"], row["error"]) == ("broken", answer.reason)
            assert row["label"] is row["score"] is row["scores"] is None
            continue
        by_label = dict(zip(answer.labels, answer.scores))
        assert (row["status"], row["error"]) == ("ok", None)
        assert row["scores"] == [*(by_label[name] for name in LABELS), *([answer.none] if none else [])]
        assert row["label"] == (None if answer.none_of_these else answer.label)
        assert row["score"] == max(row["scores"])
    assert [row["status"] for row in found].count("broken") == 1
    (names,) = parquet.read_schema(tmp_path / "out" / "part-00001.parquet").field("scores").metadata.values()
    assert json.loads(names) == [*LABELS, *([None] if none else [])]


def test_below_the_threshold_of_a_model_there_is_no_label(clips, tmp_path, predictor):
    whole = [row for row in run(predictor, clips, tmp_path / "all") if row["status"] == "ok"]
    below = sorted(row["score"] for row in whole)[3]
    strict = prediction.Predictor(predictor.method, predictor.config, none_below=below, device="cpu")
    found = [row for row in run(strict, clips, tmp_path / "strict") if row["status"] == "ok"]
    assert [row["label"] for row in found] == [row["label"] if row["score"] >= below else None for row in whole]
    assert [row["label"] for row in found].count(None) == 3
    assert [row["scores"] for row in found] == [row["scores"] for row in whole]


def test_an_embedding_is_the_mean_of_the_frames(clips, tmp_path):
    config = DataConfig(num_frames=3, num_clips=2)
    predictor = zero_shot(LABELS, backbone="random:nano", config=config, device="cpu")
    found = run(predictor, clips, tmp_path / "out", embeddings=True, batch_size=1)
    kind = parquet.read_schema(tmp_path / "out" / "part-00000.parquet").field("embedding").type
    assert kind == pa.list_(pa.float16())
    good = [row for row in found if row["status"] == "ok"]
    listed = [Clip(row["path"], Path(row["path"]), 0) for row in good]
    encoded = encode_clips(predictor.method, listed, config, num_workers=0, batch_size=1)
    for row, one in zip(good, encoded, strict=True):
        frames = one.features.flatten(0, 1).numpy().astype(np.float64)
        mean = (frames / np.linalg.norm(frames, axis=1, keepdims=True)).mean(0)
        np.testing.assert_allclose(row["embedding"], mean / np.linalg.norm(mean), atol=1e-3)
    assert [row["embedding"] for row in found if row["status"] != "ok"] == [None]


@pytest.mark.parametrize("name", ["mip_clip", "xclip"])
def test_embeddings_of_methods_that_have_them(clips, tmp_path, name):
    method = methods.build(name, load_clip("random:nano"), LABELS)
    predictor = prediction.Predictor(method, DataConfig(num_frames=getattr(method.config, "num_frames", 8)))
    if name != "mip_clip":
        with pytest.raises(ValueError, match=f"{name} has no single embedding of a video"):
            run(predictor, clips, tmp_path / "out", embeddings=True)
        assert not (tmp_path / "out").exists()
        return
    found = run(predictor, clips, tmp_path / "out", embeddings=True, batch_size=1)
    (one,) = encode_clips(
        method, [Clip("a", Path(found[0]["path"]), 0)], predictor.config, num_workers=0, batch_size=1
    )  # fmt: skip
    np.testing.assert_allclose(found[0]["embedding"], F.normalize(one.features, dim=-1)[0].numpy(), atol=1e-3)


def test_scores_that_are_not_finite_end_the_run_with_the_name_of_the_row(clips, tmp_path):
    damaged = zero_shot(LABELS, backbone="random:nano", device="cpu")
    damaged.method.text[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"0\.mp4: the model's scores of this video are not finite"):
        run(damaged, clips, tmp_path / "out")


# Lists ----------------------------------------------------------------------------------------------------------------

NAMES = ["a,b.mp4", 'quoted "c".mp4', "line\nend.mp4", "tab\tx.mp4", "été 漢.mp4", " blank.mp4 ", "\x1b[31m.mp4"]


def write_list(path: Path, names: list[str], column: str = "path") -> Path:
    if path.suffix == ".txt":
        path.write_text("\n".join(names) + "\n\n")
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerows([["id", column], *([str(number), name] for number, name in enumerate(names))])
    else:
        parquet.write_table(pa.table({"id": range(len(names)), column: names}), path)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".parquet"])
def test_hostile_names_in_lists_are_data(tmp_path, suffix):
    names = [name for name in NAMES if suffix != ".txt" or "\n" not in name]
    found = engine.read(str(write_list(tmp_path / f"list{suffix}", names)))
    assert found.texts(0, len(found)) == names
    assert found.base == os.path.realpath(tmp_path)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.large_binary()])
def test_parquet_of_other_texts_and_of_empty_rows(tmp_path, kind):
    column = pa.chunked_array([pa.array(["a.mp4", None], pa.string()), pa.array(["", "b.mp4"], pa.string())])
    column = column.cast(pa.binary()).cast(kind) if kind == pa.large_binary() else column.cast(kind)
    parquet.write_table(pa.table({"path": column}), tmp_path / "list.parquet")
    found = engine.read(str(tmp_path / "list.parquet"))
    assert found.texts(0, 4) == ["a.mp4", "", "", "b.mp4"]
    assert found.sha256 == engine.read(str(write_list(tmp_path / "other.parquet", ["a.mp4", "", "", "b.mp4"]))).sha256


def test_a_hash_is_of_all_rows_and_of_the_folder_of_relative_ones(tmp_path):
    def sha256(rows: list[str], base: str) -> str:
        return sources.Source(sources._array(rows), base).sha256

    relative, absolute = ["a", "bc"], ["/a", "s3://b/c"]
    assert sha256(relative, "/x") != sha256(["ab", "c"], "/x")
    assert sha256(relative, "/x") != sha256(relative[::-1], "/x")
    assert sha256(relative, "/x") != sha256(relative, "/y")
    assert sha256(absolute, "/x") == sha256(absolute, "/y")
    sliced = sources.Source(sources._array(["/z", *absolute]).slice(1), "/x")
    assert sliced.sha256 == sha256(absolute, "/x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"file,label\na.mp4,x\n", "has no column 'path', but file, label; name it with --column"),
        ("list.csv", b"path,path\na.mp4,b.mp4\n", "list.csv has 2 columns 'path'; rename all but one"),
        ("list.csv", b"path,label\na.mp4\n", "cannot be read as a table: CSV parse error: Row #2: Expected 2 columns"),
        ("list.parquet", b"PAR1 no", "list.parquet cannot be read as a table: Parquet"),
        ("list.txt", b"\n\n", "expected at least one row, got none"),
        ("list.csv", b"path\n", "expected at least one row, got none"),
        ("list.txt", b"\xff\xfea\0", "expected UTF-8 text, got UTF-16"),
        ("list.txt", b"unheard://x/a.mp4\n", "unheard:// cannot be read: Protocol not known: unheard"),
        ("list.txt", b"gdrive://x/a.mp4\n", "gdrive:// cannot be read: Please install"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        engine.read(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_two_columns_a_column_of_numbers_and_no_file(tmp_path):
    twice = pa.Table.from_arrays([pa.array(["a.mp4"]), pa.array(["b.mp4"])], names=["path", "path"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match=r"twice\.parquet has 2 columns 'path'"):
        engine.read(str(tmp_path / "twice.parquet"))
    parquet.write_table(pa.table({"path": [1, 2]}), tmp_path / "list.parquet")
    with pytest.raises(ValueError, match="expected texts in the column 'path', got int64"):
        engine.read(str(tmp_path / "list.parquet"))
    with pytest.raises(ValueError, match=r"no list file .*none\.csv"):
        engine.read(str(tmp_path / "none.csv"))


def test_names_that_are_no_utf8_and_rows_that_name_no_file(tmp_path, predictor):
    draw(tmp_path / "clips" / "a.mp4")
    odd = os.fsdecode(os.fsencode(tmp_path / "clips") + b"/b\xff\n.mp4")
    os.rename(draw(tmp_path / "b.mp4", 1), odd)
    found = run(predictor, tmp_path / "clips", tmp_path / "out")
    assert [(Path(row["path"]).name, row["status"]) for row in found] == [("a.mp4", "ok"), ("b\\xff\n.mp4", "ok")]
    listed = write_list(tmp_path / "list.parquet", ["clips/a.mp4", "", "\0.mp4", "clips", "x" * 5000, "clips/a.mp4"])
    found = run(predictor, listed, tmp_path / "out2")
    assert [row["status"] for row in found] == ["ok", "broken", "broken", "broken", "broken", "ok"]
    assert found[1]["error"] == "the row names no file"
    assert all("\n" not in row["error"] for row in found if row["error"])


# Addresses ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(clips):
    """The clips in fsspec's file system in memory."""
    system = fsspec.filesystem("memory")
    for path in clips.iterdir():
        system.pipe_file(f"/box/{path.name}", path.read_bytes())
    system.pipe_file("/box/notes.txt", b"no video")
    yield system
    system.rm("/box", recursive=True)


@pytest.mark.parametrize("what", ["folder", "glob", "list", "remote list"])
def test_addresses_are_fetched_read_and_removed(clips, memory, tmp_path, predictor, what):
    names = sorted(path.name for path in clips.iterdir())
    text = "\n".join(f"memory://box/{name}" if number % 2 else name for number, name in enumerate(names))
    memory.pipe_file("/box/list.txt", text.encode())
    given = {"folder": "memory://box", "glob": "memory://box/*.mp4", "remote list": "memory://box/list.txt"}
    if what == "list":
        (tmp_path / "list.csv").write_text("path\n" + "\n".join(f"memory://box/{name}" for name in names))
    found = run(predictor, given.get(what, tmp_path / "list.csv"), tmp_path / "out")
    expected = run(predictor, clips, tmp_path / "plain")
    assert [row["path"].rpartition("/")[2] for row in found] == names
    for row, plain in zip(found, expected, strict=True):
        assert {**row, "path": ""} == {**plain, "path": ""}
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_dir()]


class Flaky(MemoryFileSystem):
    """Fails a number of times before it gives a file; a file `bomb.mp4` ends the process that asks for it."""

    protocol, fails, cachable = "flaky", 0, False

    def get_file(self, rpath, lpath, **kwargs):
        if rpath.endswith("bomb.mp4"):
            os.kill(os.getpid(), signal.SIGKILL)
        if Flaky.fails:
            Flaky.fails -= 1
            raise TimeoutError("the line\nis busy")
        super().get_file(rpath.replace("flaky://", "/"), lpath, **kwargs)


@pytest.fixture
def flaky(memory, monkeypatch):
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(sources, "PAUSE_S", 0.01)


@pytest.mark.parametrize(("fails", "error"), [(2, None), (3, "could not be fetched (the line is busy)")])
def test_a_file_is_asked_for_three_times(flaky, tmp_path, predictor, monkeypatch, fails, error):
    monkeypatch.setattr(Flaky, "fails", fails)
    (tmp_path / "list.txt").write_text("flaky://box/0.mp4\nflaky://box/none.mp4\nflaky://box/1.mp4\n")
    found = run(predictor, tmp_path / "list.txt", tmp_path / "out")
    assert [row["error"] for row in found] == [error, "could not be fetched (no such file)", None]


@pytest.mark.skipif(sys.platform != "linux", reason="the file system of the test reaches workers by fork")
def test_a_file_that_ends_its_process_is_a_row_with_an_error(flaky, clips, tmp_path, predictor):
    names = [path.name for path in sorted(clips.iterdir())]
    names[5] = "bomb.mp4"
    (tmp_path / "list.txt").write_text("".join(f"flaky://box/{name}\n" for name in names))
    found = run(predictor, tmp_path / "list.txt", tmp_path / "out", part_rows=6, batch_size=2, num_workers=1)
    assert found[5]["error"] == "the process that decoded it ended (exit code -9)"
    expected = [row["scores"] for row in run(predictor, clips, tmp_path / "plain", part_rows=6, batch_size=2)]
    assert [row["scores"] for row in found[:4]] == expected[:4]
    assert [row["scores"] for row in found[6:]] == expected[6:]


# Parts, and runs that were interrupted --------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 5), st.data())
def test_batches_are_those_of_plain_loops(rows, part_rows, batch_size, given_data):
    num_parts = -(-rows // part_rows)
    parts = sorted(given_data.draw(st.sets(st.integers(0, num_parts - 1))))
    plain = []
    for part in parts:
        own = list(range(part * part_rows, min(rows, (part + 1) * part_rows)))
        plain += [(own[i], own[min(i + batch_size, len(own)) - 1] + 1) for i in range(0, len(own), batch_size)]
    batches = work.Batches(rows, part_rows, batch_size, parts)
    assert list(batches) == plain
    assert len(batches) == len(plain)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_workers_and_resumed_parts_change_no_byte(clips, tmp_path, predictor):
    run(predictor, clips, tmp_path / "a", part_rows=3, batch_size=2)
    run(predictor, clips, tmp_path / "b", part_rows=3, batch_size=2, num_workers=2)
    expected = contents(tmp_path / "a")
    assert list(expected) == ["_manifest.json", *(f"part-{part:05d}.parquet" for part in range(3))]
    assert contents(tmp_path / "b") == expected
    manifest = json.loads(expected["_manifest.json"])
    assert (manifest["finished"], manifest["broken"], manifest["source"]["rows"]) == (True, 1, 8)
    assert [(part["rows"], part["broken"]) for part in manifest["parts"]] == [(3, 0), (3, 1), (2, 0)]
    assert manifest["about"] == predictor.about()

    first, second, third = sorted((tmp_path / "b").glob("part-*"))
    first.unlink()
    third.write_bytes(third.read_bytes()[:-20])
    second.touch()
    changed = second.stat().st_mtime_ns
    with pytest.warns(files.Notice, match=r"part-00002\.parquet is damaged and made again"):
        again = engine.tag(
            predictor, engine.read(str(clips)), tmp_path / "b", part_rows=3, batch_size=2, num_workers=0
        )  # fmt: skip
    assert (again.parts, again.parts_written, again.broken) == (3, 2, 1)
    assert contents(tmp_path / "b") == expected
    assert second.stat().st_mtime_ns == changed


def test_other_options_another_source_and_other_files_are_refused(clips, tmp_path, predictor):
    run(predictor, clips, tmp_path / "out", part_rows=3)
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=r"out was written with options\.part_rows 3, but this is 4; give the same"):
        run(predictor, clips, tmp_path / "out", part_rows=4)
    with pytest.raises(ValueError, match=r"was written with source\.rows 8, but this is 1"):
        run(predictor, clips / "1.mp4", tmp_path / "out", part_rows=3)
    other = zero_shot(LABELS[::-1], backbone="random:nano", device="cpu")
    with pytest.raises(ValueError, match=r"was written with about\.labels .*, but this is .*'blue'"):
        run(other, clips, tmp_path / "out", part_rows=3)
    assert contents(tmp_path / "out") == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("")
    with pytest.raises(ValueError, match=r"expected a new or empty folder, or one of `tag`, but .* holds thesis\.doc"):
        run(predictor, clips, tmp_path / "full")


def test_one_process_writes_to_a_folder(clips, tmp_path, predictor):
    code = (
        f"from actionprompt import files\n"
        f"with files.one_writer({str(tmp_path / 'out')!r}):\n print('in', flush=True)\n input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match=f"is being written to by process {other.pid} on "):
            run(predictor, clips, tmp_path / "out")
        other.communicate(b"\n")


def killed(folder: Path, trials: int) -> dict:
    job = [sys.executable, str(Path(__file__).parent / "tag_job.py"), str(folder), str(trials)]
    done = subprocess.run(job, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="kills are made with fork")
def test_killed_three_times_equals_undisturbed(tmp_path):
    report = killed(tmp_path, 1)
    assert report["kills"] == 3
    assert report["faults"] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kills are made with fork")
def test_killed_at_every_moment(tmp_path):
    report = killed(tmp_path, 20)
    assert report["events"] >= 40
    assert report["kills"] >= 40
    assert report["faults"] == []
