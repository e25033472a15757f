"""The command line as a person uses it: real files in, tables and exit codes out, and nonsense answered in one line."""

import csv
import json

import numpy as np
import pytest
import torch

from actionprompt import commands
from actionprompt.study import experiment
from actionprompt.video import write_video
from actionprompt.weights import load_clip

NANO = "--backbone random:nano"


pytestmark = pytest.mark.usefixtures("own_console")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """root/<part>/<class>/<clip>: two classes told apart by colour."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for label, name in enumerate(("red_light", "blue_light")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                frames = rng.integers(0, 80, (10, 48, 64, 3), dtype=np.uint8)
                frames[..., 2 * label] += 150
                write_video(root / part / name / f"{index}.mp4", frames, fps=10)
    return root


def call(command: str, capsys) -> tuple[int, str, str]:
    code = commands.main(command.split())
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_train_eval_predict_round_trip(folder, tmp_path, capsys):
    run = tmp_path / "run"
    options = "--train.epochs 8 --train.batch-size 4 --train.lr 1e-3 --train.num-workers 0 --data.num-frames 4"
    command = f"train vifi_clip --clips.root {folder} --out {run} {NANO} {options} --data.augment.grey 0"
    code, out, _ = call(command, capsys)
    assert code == 0
    assert "vifi_clip on 8 clips of 2 classes" in " ".join(out.split())

    record, scores = tmp_path / "record.json", tmp_path / "scores.json"
    code, out, _ = call(f"eval {run} --clips.root {folder} --json {record} --scores {scores} --num-workers 0", capsys)
    assert code == 0
    assert "red light" in out
    assert "top-1 100.00 %" in out
    written = json.loads(record.read_text())
    assert written["metrics"]["top1"] == 100
    for fact in (
        "commit",
        "seed",
        "list_sha256",
        "classes_sha256",
        "hardware",
        "hours",
        "versions",
        "data",
        "backbone",
    ):
        assert fact in written

    table, rows = tmp_path / "p.json", tmp_path / "p.csv"
    files = f"{folder}/test/red_light/*.mp4 {folder}/test/blue_light"
    code, out, _ = call(f"predict {files} --model {run} --json {table} --csv {rows} --num-workers 0", capsys)
    assert code == 0
    predictions = json.loads(table.read_text())["predictions"]
    assert [p["labels"][0] for p in predictions] == ["red light"] * 2 + ["blue light"] * 2
    assert abs(sum(predictions[0]["scores"]) - 1) < 1e-5
    assert len(predictions[0]["times_s"]) == 4
    with rows.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert lines[0]["label"] == "red light"

    code, out, _ = call(f"fuse {scores} {scores}", capsys)
    assert code == 2  # the same file twice is one file
    copy = tmp_path / "copy.json"
    copy.write_text(scores.read_text())
    code, out, _ = call(f"fuse {scores} {copy} --weights 1 3", capsys)
    assert code == 0
    assert "top-1 100.00 %" in out


def test_a_run_replays_from_its_manifest(folder, tmp_path, capsys):
    options = "--train.epochs 1 --train.batch-size 8 --train.num-workers 0 --data.num-frames 2"
    call(f"train vifi_clip --clips.root {folder} --out {tmp_path / 'a'} {NANO} {options}", capsys)
    manifest = tmp_path / "a" / "model" / "manifest.json"
    code, *_ = call(f"train vifi_clip --config {manifest} --clips.root {folder} --out {tmp_path / 'b'} {NANO}", capsys)
    assert code == 0
    weights = [(tmp_path / run / "model" / "trained.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]


def test_zero_shot_needs_no_model(folder, capsys):
    clip = folder / "test" / "red_light" / "0.mp4"
    code = commands.main(
        ["predict", str(clip), "--labels", "red light, blue light", *NANO.split(), "--num-workers", "0"]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "red light" in out
    assert "%" in out


def test_unreadable_clips_are_listed_counted_and_in_the_exit_code(folder, tmp_path, capsys):
    import shutil

    root = tmp_path / "clips"
    shutil.copytree(folder, root)
    (root / "test" / "red_light" / "9.mp4").write_bytes(b"\0" * 100)
    code, out, err = call(f"check {root}", capsys)
    assert code == 1
    assert "12 of 13 clips can be read" in out
    assert "9.mp4" in err
    code, out, err = call(f"predict {root / 'test'} --labels a,b {NANO} --num-workers 0", capsys)
    assert code == 1
    assert "could not read" in err
    code, out, err = call(f"eval zeroshot --clips.root {root} {NANO} --num-workers 0", capsys)
    assert code == 1
    assert "5 clips" in out
    assert "counted as wrong, could not read test/red_light/9.mp4" in err


def test_a_protocol_is_one_command_and_one_record(folder, tmp_path, capsys):
    options = "--train.epochs 2 --train.num-workers 0 --data.num-frames 4 --seeds 0 1"
    out = tmp_path / "results"
    command = (
        f"run zeroshot --variant transformer --protocol few-shot --shots 2 --clips.root {folder} --out {out} {NANO}"
    )
    code, printed, _ = call(f"{command} {options}", capsys)
    assert code == 0
    assert "accuracy" in printed
    records = sorted(out.rglob("*-s?.json"))
    assert [path.relative_to(out).as_posix() for path in records] == [
        f"folder/few-shot-k2/zeroshot-transformer-s{seed}.json" for seed in "01"
    ]
    record = json.loads(records[1].read_text())
    assert record["seed"] == 1
    assert record["plan"]["drawn"] == "seed 1"
    code, printed, _ = call(f"results --folder {out} --pages None", capsys)
    assert code == 0
    assert "few-shot K=2" in (out / "README.md").read_text()
    assert "folder, few-shot K=2" in printed
    assert "zeroshot transformer" in printed
    records[1].write_text(json.dumps({**record, "commit": None}))  # of an installed package
    code, _, _ = call(f"results --folder {out} --pages None", capsys)
    assert code == 0
    assert "zeroshot-transformer-s1.json) (commit not recorded)" in (out / "README.md").read_text()
    del record["seed"]
    records[1].write_text(json.dumps(record))
    code, _, err = call(f"results --folder {out} --pages None", capsys)
    assert code == 2
    assert "a record needs seed; run it again" in err


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("trian", "there is no verb 'trian'; did you mean 'train'?"),
        ("train", "expected a method after `train`; choose one of"),
        ("train vifi_clap --out x", "there is no method 'vifi_clap'; did you mean 'vifi_clip'?"),
        ("train vifi_clip --out x", "the data set folder needs --clips.root"),
        ("train vifi_clip --variant big --out x", "vifi_clip has no variant 'big'; there are image_only, text_only"),
        ("train vifi_clip --clips.root /no/where --out x", "/no/where"),
        ("predict nothing.mp4 --labels a", "there is no file, folder or match for 'nothing.mp4'; check the path"),
        ("predict {clip}", "expected --model RUN, or --labels"),
        ("predict {clip} --labels ,", "expected at least one class name, got none"),
        ("predict {clip} --labels a,a --backbone random:nano", "expected different class names, got 'a' twice"),
        ("predict {clip} --labels a --backbone /no/model", "expected a model folder with config.json"),
        ("predict {clip} --model /no/model", "expected a model folder with manifest.json, got /no/model"),
        ("eval /no/model --clips.root {root}", "expected a model folder with manifest.json"),
        ("data ucf102 --root /tmp", "no data set 'ucf102'; did you mean 'ucf101'?"),
        ("data ucf101", "expected --root DIR, the root of UCF-101, existing or to be created"),
        ("fuse a.json b.json", "a.json cannot be read as a score file"),
        ("results --folder /no/where", "there is no folder /no/where"),
        ("train zeroshot --clips.root {root} --out {out} --backbone random:nano", "zeroshot has nothing to train"),
    ],
)
def test_nonsense_is_answered_in_one_line(command, answer, folder, tmp_path, capsys):
    clip = folder / "test" / "red_light" / "0.mp4"
    code, _, err = call(command.format(clip=clip, root=folder, out=tmp_path / "run"), capsys)
    assert code == 2
    assert answer in " ".join(err.split())
    assert "Traceback" not in err


def test_every_verb_has_help(capsys):
    code, out, _ = call("--help", capsys)
    assert code == 0
    for verb in commands.ORDER:
        assert verb in out
        command = [verb, "vifi_clip", "--help"] if verb in ("train", "run") else [verb, "--help"]
        with pytest.raises(SystemExit) as stop:
            commands.main(command)
        assert stop.value.code == 0
        assert "usage: actionprompt" in capsys.readouterr().out


def test_list_names_every_method_and_data_set(capsys):
    from actionprompt import datasets, methods

    code, out, _ = call("list", capsys)
    assert code == 0
    for name in [*methods.names(), *datasets.names()]:
        assert name in out


def test_a_run_that_has_a_record_is_skipped_and_one_with_other_options_is_refused(
    folder, tmp_path, capsys, monkeypatch
):
    command = (
        f"run zeroshot --protocol zero-shot --clips.root {folder} {NANO} --out {tmp_path} "
        "--skip-existing --train.num-workers 0 --data.num-frames"
    )
    code, out, _ = call(f"{command} 4", capsys)
    assert code == 0
    (path,) = tmp_path.rglob("*-s0.json")
    made = path.read_text()
    assert "accuracy" in out

    code, out, _ = call(f"{command} 4", capsys)
    assert (code, " ".join(out.split())) == (0, f"{path} is there")

    def refused(options: str, named: str) -> None:
        code, _, err = call(f"{command} {options}", capsys)
        assert code == 2
        assert f"{path} is the record of a run with other options ({named}" in " ".join(err.split())
        assert path.read_text() == made

    refused("2", "--data.num-frames 4, here 2")
    refused("4 --data.num-crops 3", "--data.num-crops 1, here 3")
    refused("4 --train.mixed-precision bf16", "--train.mixed-precision no, here bf16")
    clip = load_clip("random:nano")
    with torch.no_grad():
        clip.image.projection.weight.mul_(2)
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "load_clip", lambda name: clip)
        refused("4", "weights of the backbone ")
    new = folder / "test" / "red_light" / "new.mp4"
    new.write_bytes((folder / "test" / "red_light" / "0.mp4").read_bytes())
    refused("4", "clips of zero-shot/")
    new.unlink()
    assert call(f"{command} 4", capsys)[0] == 0


def test_explain_writes_every_file_that_is_named(folder, tmp_path, capsys):
    run, clip = tmp_path / "run", folder / "test" / "red_light" / "0.mp4"
    training = "--train.epochs 1 --train.batch-size 4 --train.num-workers 0 --data.num-frames 2"
    assert call(f"train zeroshot --variant linear --clips.root {folder} --out {run} {NANO} {training}", capsys)[0] == 0
    files = [tmp_path / "map.png", tmp_path / "map.gif"]
    code, out, _ = call(f"explain --out {files[0]} --out {files[1]} --model {run} {clip}", capsys)
    assert code == 0
    assert out.split() == [str(path) for path in files]
    assert all(path.stat().st_size > 1000 for path in files)
    code, _, err = call(f"explain --model {run} {clip}", capsys)
    assert code == 2
    assert "give --out FILE.png" in err
