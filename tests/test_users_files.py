"""Files of the user are theirs: no output takes the place of an input, and no folder is emptied that holds other files.
What a model folder says of its clips is checked, and says nothing of where they are."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from actionprompt import commands, methods, resume
from actionprompt.backbone.text import ON_TEXTS
from actionprompt.clips import identity
from actionprompt.commands import _shared
from actionprompt.study import demo
from actionprompt.video import write_video
from actionprompt.weights import load_clip

NAMES = ("run", "walk")
TRAIN = "train vifi_clip --backbone random:nano --train.epochs 1 --train.num-workers 0 --train.batch-size 2"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with clips by class, a list of their absolute paths, a list of labels and a model of them."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    rows = []
    for name in NAMES:
        (folder / "root" / name).mkdir(parents=True)
        for number in range(2):
            path = folder / "root" / name / f"{name}{number}.mp4"
            write_video(path, rng.integers(0, 256, (6, 48, 64, 3), dtype=np.uint8), fps=10)
            rows.append(f"{path},{name}\n")
    (folder / "list.csv").write_text("path,label\n" + "".join(rows))
    (folder / "labels.txt").write_text("run\nwalk\n")
    shutil.copy(path, folder / "a.mp4")
    code = commands.main(f"{TRAIN} --clips.dataset csv --clips.root {folder}/list.csv --out {folder}/m".split())
    assert code == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the working folder."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_shared.out, "width", 160)
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def answer(command: str, capsys) -> tuple[int, str]:
    code = commands.main(command.split())
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Outputs --------------------------------------------------------------------------------------------------------------

PREDICT = "predict a.mp4 --backbone random:nano --num-workers 0"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{PREDICT} --labels a,b --json a.mp4", "--json: a.mp4 is an input, or another output, too"),
        (f"{PREDICT} --labels a,b --json root/../a.mp4", "is an input"),
        ("predict ro*t --labels a,b --backbone random:nano --csv root/run/run0.mp4", "--csv: root/run/run0.mp4 is an"),
        (f"{PREDICT} --labels-file labels.txt --csv labels.txt", "--csv: labels.txt is an input"),
        (f"{PREDICT} --labels a,b --json o --csv o", "--json: o is an input, or another output, too"),
        ("predict a.mp4 --model m --json m/model/manifest.json", "m/model/manifest.json is a part of the model"),
        ("explain a.mp4 --model m --out a.mp4", "--out: a.mp4 is an input"),
        ("eval zeroshot --clips.dataset csv --clips.root list.csv --json list.csv", "--json: list.csv is an input"),
        ("eval m --clips.root root --json m/log.jsonl", "m/log.jsonl is a part of the model"),
        ("eval zeroshot --clips.root root --scores a.mp4", "--scores: a.mp4 exists and is no text file"),
        ("teach a=a.mp4 b=root/run/run0.mp4 --out t --json a.mp4", "--json: a.mp4 is an input"),
        ("fuse labels.txt m/log.jsonl --weights 0.5 --json labels.txt", "--json: labels.txt is an input"),
        (f"{TRAIN} --clips.root root --out root", "--out: root is an input"),
        (f"{TRAIN} --clips.root root --start-from m --out m/model", "--out: m/model is a part of the model"),
        ("prepare root root", "TARGET: root is an input"),
        ("bench --out a.mp4", "--out: a.mp4 exists and is no text file"),
    ],
)
def test_an_output_that_is_an_input_is_refused_before_the_work(command, message, here, capsys):
    before = tree(here)
    code, text = answer(command, capsys)
    assert code == 2, text
    assert message in text.splitlines()[-1]
    assert tree(here) == before


def test_results_take_the_place_of_earlier_results(here, capsys):
    for top in (1, 2):
        code, text = answer(f"{PREDICT} --labels a,b --json o.json --csv o.csv --top {top}", capsys)
        assert code == 0, text
        assert len(json.loads(Path("o.json").read_text())["predictions"][0]["labels"]) == top


@pytest.mark.parametrize("suffix", [".json", ".csv", ".vtt", ".png"])
def test_a_timeline_overwrites_no_file_next_to_its_video(suffix, here, capsys):
    path = Path("a").with_suffix(suffix)
    path.write_text('{"mine": 1}')
    command = "timeline a.mp4 --labels waving,clapping --backbone random:nano --out ."
    code, text = answer(command, capsys)
    assert code == 2
    assert f"--out: {path} is there and of no earlier timeline; name another folder" in text
    assert path.read_text() == '{"mine": 1}'
    path.unlink()
    for _ in range(2):
        code, text = answer(command, capsys)
        assert code == 0, text


def test_a_checkpoint_that_was_being_deleted_goes_and_one_with_other_files_stays(tmp_path):
    for name in ("step-00000001/trained.safetensors", "step-00000002/mine.txt", "step-00000002/manifest.json"):
        (tmp_path / "checkpoints" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkpoints" / name).touch()
    resume.delete_checkpoints(tmp_path)
    assert sorted(tree(tmp_path)) == ["checkpoints/step-00000002/manifest.json", "checkpoints/step-00000002/mine.txt"]


# Folders --------------------------------------------------------------------------------------------------------------


def test_a_training_keeps_what_others_put_into_its_folders(here, capsys):
    for name in (
        "w/model/thesis.txt",
        "w/model/deep/er.txt",
        "w/checkpoints/step-7/mine.txt",
        "w/checkpoints/mine.txt",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("mine")
    before = tree(here / "w")
    code, text = answer(f"{TRAIN} --clips.root root --out w --train.save-every-steps 1", capsys)
    assert code == 0, text
    after = tree(here / "w")
    assert {name: after.get(name) for name in before} == before
    assert "model/manifest.json" in after
    assert not [name for name in after if name.startswith("checkpoints/") and name not in before]
    code, text = answer(f"{TRAIN} --clips.root root --out w --train.save-every-steps 1", capsys)
    assert "w holds a finished training" in text
    assert {name: tree(here / "w").get(name) for name in before} == before


def test_a_log_that_no_training_wrote_is_not_overwritten(here, capsys):
    Path("w").mkdir()
    Path("w/log.jsonl").write_text("mine")
    code, text = answer(f"{TRAIN} --clips.root root --out w", capsys)
    assert code == 2
    assert "w/log.jsonl is no log of a training; choose another folder" in text
    assert Path("w/log.jsonl").read_text() == "mine"
    Path("w/log.jsonl").write_text('{"step": 1, "epoch": 0}\n{"ste')  # of one that was killed
    code, text = answer(f"{TRAIN} --clips.root root --out w", capsys)
    assert code == 0, text


@pytest.mark.parametrize("name", ["thesis.txt", "report.html", "run/notes.txt"])
def test_the_demo_deletes_nothing_but_an_earlier_demo(name, tmp_path):
    ours = tmp_path / "report.html"
    ours.write_text(f"<!doctype html>{demo.TITLE}")
    (tmp_path / "clips.png").touch()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match="contains other files; give an empty folder"):
        demo.demo(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert (tmp_path / "clips.png").exists()
    (tmp_path / name).unlink()
    (tmp_path / "run").mkdir(exist_ok=True)
    ours.write_text(f"<!doctype html>{demo.TITLE}")
    demo._clear(tmp_path)
    assert [*tmp_path.iterdir()] == []


# Pipes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_in_a_list_is_a_clip_that_cannot_be_read(here, capsys):
    os.mkfifo(here / "p.mp4")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        identity(here / "p.mp4")
    with Path("list.csv").open("a") as file:
        file.write(f"{here}/p.mp4,run\n")
    given = "--clips.dataset csv --clips.root list.csv"
    code, text = answer(f"eval m {given} --num-workers 0 --on-training-clips --json o.json", capsys)
    assert code == 1
    assert "p.mp4" in text
    assert json.loads(Path("o.json").read_text())["broken"][0]["key"] == "p.mp4"
    code, text = answer(f"{TRAIN} --train.max-broken 1 {given} --out f", capsys)
    assert code == 1, "as whenever something was left out"
    assert json.loads(Path("f/model/manifest.json").read_text())["broken"] == ["p.mp4"]
    lines = Path("f/model/clips.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] == "-" for line in lines) == [False] * 4 + [True]


# What a model says of its clips ---------------------------------------------------------------------------------------


def test_a_model_and_its_records_say_nothing_of_where_its_clips_are(here, made, capsys):
    code, text = answer(
        f"eval {here}/m --clips.dataset csv --clips.root list.csv --num-workers 0 --json o.json --on-training-clips",
        capsys,
    )
    assert code == 0, text
    assert json.loads(Path("o.json").read_text())["trained_on_clips"] == [
        "run0.mp4",
        "run1.mp4",
        "walk0.mp4",
        "walk1.mp4",
    ]
    for path in (Path("o.json"), *(path for path in Path("m/model").iterdir() if path.suffix != ".safetensors")):
        text = path.read_text()
        assert str(made) not in text, path
        assert str(here) not in text, path


@pytest.mark.parametrize("how", ["gone", "empty", "pointer"])
def test_a_list_of_clips_that_is_not_there_is_not_an_empty_one(how, here, capsys):
    listed = Path("m/model/clips.txt")
    if how == "gone":
        listed.unlink()
    else:
        listed.write_text(
            "" if how == "empty" else "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
        )
    code, text = answer("eval m --clips.root root --num-workers 0 --json o.json", capsys)
    if how == "gone":
        assert code == 0, text
        assert "the model has no list of the clips it was trained on, so these may be among them" in text
        assert json.loads(Path("o.json").read_text())["trained_on_clips"] is None
    else:
        assert code == 2
        assert "clips.txt is damaged, or was changed after it was saved; get it again, or delete it" in text


# Numbers and texts of a manifest --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "option", "value", "message"),
    [
        ("data", "num_frames", 10**9, "expected num_frames of 1 to 10000, got 1000000000"),
        ("data", "test_frames", 10**9, "expected test_frames of 1 to 10000"),
        ("data", "stride", 10**9, "expected stride of 1 to 10000"),
        ("data", "num_clips", 10**9, "expected num_clips of 1 to 10000"),
        ("data", "resize_side", 10**9, "expected resize_side of 224 to 10000"),
        ("config", "template", "{:>300000000}", "expected template with one {} for the class name, no other brace"),
        ("config", "template", "{.foo}", "expected template with one {}"),
        ("config", "template", "{0}", "expected template with one {}"),
        ("config", "template", "{} {x}", "expected template with one {}"),
        ("config", "template", "the same for all", "expected template with one {}"),
        ("config", "template", "{}" + 10**6 * "a", "got 1000002 letters"),
    ],
)
def test_what_a_manifest_asks_for_is_bounded(part, option, value, message, here, capsys):
    path = Path("m/model/manifest.json")
    manifest = json.loads(path.read_text())
    manifest[part][option] = value
    path.write_text(json.dumps(manifest))
    code, text = answer("predict a.mp4 --model m --num-workers 0", capsys)
    assert code == 2
    assert (text[:7], text.count("\n")) == ("error: ", 1)
    assert message in text


@pytest.mark.parametrize("template", ["{.foo}", "{x}", "a video", "{} and {}", "{"])
def test_a_template_that_is_typed_wrong_is_one_line(template, here, capsys):
    code = commands.main([*f"{TRAIN} --clips.root root --out w --method.template".split(), template])
    text = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert text.startswith("error: ")
    assert "expected template with one {}" in text


def test_many_class_names_report_their_progress():
    seen = []
    before = ON_TEXTS.set(lambda done, total: seen.append((done, total)))
    try:
        methods.build("zeroshot", load_clip("random:nano"), [f"name {number}" for number in range(40)])
    finally:
        ON_TEXTS.reset(before)
    assert seen[-1][0] == seen[-1][1] >= 40
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
