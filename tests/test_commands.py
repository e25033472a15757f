"""What the command line answers to errors: one line, the right exit code, no result lost, nothing started in vain."""

import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro

from actionprompt import commands, files
from actionprompt.commands import _shared, predict, results, train
from actionprompt.config import TrainConfig
from actionprompt.video import write_video

FAST = ["--backbone", "random:nano", "--num-workers", "0"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_shared.out, "width", 160)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "a.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8), fps=10)
    return path


def answer(args: list[str], capsys) -> tuple[int, str, str]:
    code = commands.main(args)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("predict a.mp4 --tpo 3", "there is no option --tpo, 3; there is --top; see actionprompt predict --help"),
        ("predict a.mp4 --top x", "--top: expected a whole number, got 'x'"),
        ("predict a.mp4 --labels", "missing value for argument '--labels', expected 1 values"),
        ("eval", "eval needs a run or model folder, or `zeroshot`; see actionprompt eval --help"),
        ("eval zeroshot --clips.rot x", "there is no option --clips.rot, x; there is --clips.root"),
        ("eval zeroshot data:data-config", "there is no option data:data-config; there is --data.num-frames, "),
        ("teach a=b.mp4", "teach needs --out PATH (Folder of the model)"),
        ("train vifi_clip", "train vifi_clip needs --out PATH"),
        ("train vifi_clip --out x --train.epochs -3", "expected --train.epochs of at least 1, got -3"),
        ("train vifi_clip --out x --train.batch-size 0", "expected --train.batch-size of at least 1, got 0"),
        ("train vifi_clip --out x --train.lr nan", "expected --train.lr of at least 0, got nan"),
        ("train vifi_clip --out x --train.betas 1 2", "expected --train.betas in [0, 1), got (1.0, 2.0)"),
        ("train vifi_clip --out x --train.num-workers -1", "expected --train.num-workers of at least 0, got -1"),
        ("train vifi_clip --out x --data.augment.flip 2", "--data.augment.flip is a probability in [0, 1], got 2.0"),
        ("train vifi_clip --out x --train.mixed-precision fp16", "invalid choice 'fp16' for argument"),
        ("bench --device tpu", "invalid choice 'tpu' for argument '--device', expected one of ('cpu', 'cuda')"),
        ("predict a.mp4 --labels a,b --top 0", "expected --top of at least 1, got 0"),
        ("eval zeroshot --num-workers -1", "expected --num-workers of at least 0, got -1"),
        ("eval zeroshot --batch-size 0", "expected --batch-size of at least 1, got 0"),
        ("check a.mp4 --num-frames 0", "expected --num-frames of at least 1, got 0"),
        ("demo --epochs 0", "expected --epochs of at least 1, got 0"),
        ("predict " + "a" * 300 + ".mp4 --labels a,b", "File name too long: aaa"),
    ],
)
def test_what_is_typed_wrong_is_one_line(command, message, capsys):
    code, out, err = answer(command.split(), capsys)
    (line,) = [line for line in err.splitlines() if line]
    assert (code, out) == (2, "")
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("terminal", [False, True])
def test_however_the_box_is_drawn(encoding, terminal, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    for args, message in (
        (["predict", "--tpo", "3"], "there is no option --tpo, 3; there is --top; see"),
        (["eval"], "eval needs a run or model folder, or `zeroshot`; see"),
        (
            ["train", "vifi_clip", "--out", "x", "--train.epochs", "0"],
            "expected --train.epochs of at least 1, got 0; see",
        ),
    ):
        assert commands.main(args) == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")


def test_long_words_of_an_option_stay_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    word = "--" + "x" * 300
    assert f"there is no option {word};" in answer(["predict", "a.mp4", word], capsys)[2]
    assert os.environ["COLUMNS"] == "40"


@dataclasses.dataclass(frozen=True)
class Options:
    number: tyro.conf.Positional[int]


def test_options_that_fit_are_returned():
    assert _shared.parse(Options, ["3"], "verb", "about") == Options(3)
    with pytest.raises(ValueError, match=r"NUMBER|INT|number"):
        _shared.parse(Options, ["x"], "verb", "about")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": float("nan")}, "expected lr of at least 0, got nan"),
        ({"lr": float("inf")}, "expected lr of at least 0, got inf"),
        ({"lr": -1.0}, "expected lr of at least 0"),
        ({"weight_decay": -0.1}, "expected weight_decay of at least 0"),
        ({"warmup_epochs": float("nan")}, "expected warmup_epochs of at least 0"),
        ({"mixup": -1.0}, "expected mixup of at least 0"),
        ({"seed": -1}, "expected seed of at least 0"),
        ({"num_workers": -1}, "expected num_workers of at least 0"),
        ({"max_broken": -1}, "expected max_broken of at least 0"),
        ({"betas": (0.9, 1.0)}, r"expected betas in \[0, 1\)"),
        ({"betas": (float("nan"), 0.9)}, r"expected betas in \[0, 1\)"),
        ({"clip_grad_norm": 0.0}, "expected clip_grad_norm above 0, or None"),
        ({"save_every_steps": 0}, "expected save_every_steps of at least 1, or None"),
        ({"label_smoothing": float("nan")}, "expected label_smoothing"),
    ],
)
def test_numbers_that_no_training_can_use(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


# Errors of files ------------------------------------------------------------------------------------------------------


def failing(error: Exception):
    def main(*args):
        raise error

    return main


def no_weights() -> Exception:
    from safetensors import SafetensorError

    return SafetensorError("header too small")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "x.mp4"), "error: Permission denied: x.mp4"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "a", None, "b"), "error: No such file or directory: a -> b"),
        (OSError("the hub\n cannot be reached"), "error: the hub cannot be reached"),
        (ValueError("expected a\nb"), "error: expected a\\nb"),
        (no_weights(), "error: header too small"),
    ],
)
def test_an_error_that_a_user_can_cause_is_one_line(error, line, capsys, monkeypatch):
    monkeypatch.setattr(predict, "main", failing(error))
    assert answer(["predict"], capsys) == (2, "", f"{line}\n")
    for args in (["--debug", "predict"], ["predict", "x", "--debug"]):
        code, _, err = answer(args, capsys)
        assert code == 2
        assert "Traceback (most recent call last)" in err
        assert err.endswith(f"{line}\n")
    assert "Traceback" not in answer(["predict", "--", "--debug"], capsys)[2], "a file of that name"


CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 11.76 GiB of which 1.50 GiB is free."
    " Including non-PyTorch memory, this process has 10.2 GiB memory in use. See documentation for Memory Management"
)
CPU = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "400000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA), f" ({CUDA.partition('. Incl')[0]})"),
        (torch.OutOfMemoryError(), ""),
        (RuntimeError("CUDA error: out of memory"), " (CUDA error: out of memory)"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), " (CUDA error: CUBLAS_STATUS_ALLOC_FAILED when)"),
        (RuntimeError(CPU), f" ({CPU.partition('DefaultCPUAllocator: ')[2]})"),
        (MemoryError("Unable to allocate 3.64 TiB for an array"), " (Unable to allocate 3.64 TiB for an array)"),
        (MemoryError(), ""),
    ],
)
def test_too_little_memory_is_one_line_with_what_to_do(error, said, capsys, monkeypatch):
    monkeypatch.setattr(train, "main", failing(error))
    code, _, err = answer(["train"], capsys)
    assert (code, err) == (2, f"error: memory ran out{said}; {commands.TRAINING}\n")
    monkeypatch.setattr(results, "main", failing(error))
    assert answer(["results"], capsys)[2].endswith("; end other programs that use it, or use a smaller backbone\n")
    monkeypatch.setattr(predict, "main", failing(RuntimeError("bug")))
    with pytest.raises(RuntimeError, match="bug"):
        commands.main(["predict"])


@pytest.mark.parametrize("verb", commands.LESS_MEMORY)
def test_the_options_that_save_memory_exist(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = [
        "run" if verb == "paper" else verb,
        *(["vifi_clip"] if verb in ("train", "run", "paper") else []),
        "--help",
    ]
    with pytest.raises(SystemExit):
        commands.main(words)
    told = set(re.findall(r"--[a-z0-9.-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z0-9.-]+", commands.LESS_MEMORY[verb])) <= told


@pytest.mark.parametrize("verb", ["predict", "train"])
def test_only_verbs_that_resume_say_so(verb, capsys, monkeypatch):
    monkeypatch.setattr({"predict": predict, "train": train}[verb], "main", failing(KeyboardInterrupt()))
    said = {"predict": "interrupted", "train": "interrupted; the same command goes on where it stopped"}[verb]
    assert answer([verb], capsys) == (130, "", f"{said}\n")
    assert set(commands.RESUMED) < set(commands.ORDER)
    assert "export" not in commands.RESUMED


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(predict, "main", failing(TypeError("bug")))
    with pytest.raises(TypeError, match="bug"):
        commands.main(["predict"])


PIPE = """
import subprocess, sys
command = [sys.executable, "-m", "actionprompt", *sys.argv[1:]]
first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
first.stdout.close()
print(first.wait(), first.stderr.read())
"""


@pytest.mark.skipif(os.name == "nt", reason="pipes end in another way")
@pytest.mark.parametrize("args", [["list"], ["--help"], ["predict", "--help"], ["check", "a.mp4"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_ends_quietly(args, unbuffered, clip):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([sys.executable, "-c", PIPE, *args], capture_output=True, text=True, env=environment)
    assert done.stdout == "141 b''\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line_and_the_table_is_shown(clip, capsys):
    code, out, err = answer(["predict", str(clip), "--labels", "a,b", "--json", "/dev/full", *FAST], capsys)
    assert code == 2
    assert "a.mp4" in out
    assert err == "error: No space left on device: /dev/full\n"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "actionprompt", "list"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


# Outputs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_outputs_are_checked_before_anything_is_loaded(option, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "find_predictor", failing(AssertionError("loaded")))
    (tmp_path / "folder").mkdir()
    for path in ("folder", "a.mp4/x.json"):
        code, _, err = answer(["predict", str(clip), "--labels", "a,b", option, path], capsys)
        assert code == 2
        assert err.startswith(f"error: {option}: ")


@pytest.mark.parametrize(
    "command",
    [
        "train vifi_clip --clips.root . --out a.mp4",
        "teach a=a.mp4 b=b.mp4 --out a.mp4",
        "demo --out a.mp4",
        "import xclip x.pth --labels a --out a.mp4/deeper",
        "eval zeroshot --clips.root . --json .",
        "eval zeroshot --clips.root . --scores .",
        "fuse a.json b.json --out .",
        "explain a.mp4 --model x --out .",
        "bench --out .",
        "data folder --root . --state .",
    ],
)
def test_every_verb_checks_its_outputs_first(command, clip, capsys):
    code, _, err = answer(command.split(), capsys)
    assert code == 2
    assert "expected a f" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: --")
    assert clip.stat().st_size > 1000


def test_results_are_written_before_a_table_that_cannot_be_printed(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(predict.Rows, "show", failing(RuntimeError("no table")))
    with pytest.raises(RuntimeError, match="no table"):
        commands.main(["predict", str(clip), "--labels", "a,b", "--json", "new/o.json", "--csv", "o.csv", *FAST])
    assert len(json.loads((tmp_path / "new/o.json").read_text())["predictions"]) == 1
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 3


def test_a_file_that_is_no_state_of_a_verification_is_left_alone(clip, tmp_path, capsys):
    (tmp_path / "root/run").mkdir(parents=True)
    (tmp_path / "root/run/a.mp4").write_bytes(clip.read_bytes())
    before = clip.read_bytes()
    code, _, err = answer(["data", "folder", "--root", "root", "--state", "a.mp4"], capsys)
    assert (code, clip.read_bytes()) == (2, before)
    assert "--state: a.mp4 exists and is no text file" in err
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = answer(["data", "folder", "--root", "root", "--state", "notes.txt"], capsys)
    assert (code, (tmp_path / "notes.txt").read_text()) == (2, "mine")
    assert "notes.txt: expected a file that an earlier verification wrote" in err


# Results --------------------------------------------------------------------------------------------------------------


def test_results_overwrites_no_page_of_somebody_else(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/README.md").write_text("# My results\n\nby hand\n")
    (tmp_path / "README.md").write_text("# Mine\n")
    code, _, err = answer(["results"], capsys)
    assert code == 2
    assert "README.md was not made by `actionprompt results` and is not overwritten: move it, or give another --" in err
    assert (tmp_path / "results/README.md").read_text() == "# My results\n\nby hand\n"
    (tmp_path / "results/README.md").unlink()
    page = tmp_path / "results/notes.md"
    page.write_bytes(b"<!-- generated: mine -->\r\nby hand\r\n<!-- end -->\r\n")
    code, _, err = answer(["results"], capsys)
    assert code == 2
    assert err.startswith(f"error: {Path('results/notes.md')}: there is no generated part 'mine'")
    assert not (tmp_path / "results/README.md").exists()
    by_hand = b"# Notes\r\n\r\nby hand \r\n"
    page.write_bytes(by_hand)
    for _ in range(2):
        assert answer(["results"], capsys)[0] == 0
    assert (tmp_path / "results/README.md").read_text().startswith("# Results\n\nGenerated by `actionprompt results`")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    assert page.read_bytes() == by_hand, "it has no generated part"
    (tmp_path / "README.md").unlink()
    assert answer(["results"], capsys)[0] == 0, "no README is needed"
    (tmp_path / "docs/methods").mkdir(parents=True)
    page = tmp_path / "docs/methods/vifi_clip.md"
    page.write_text("<!-- generated: leaderboard vifi_clip -->\n<!-- end -->\n")
    assert answer(["results", "--pages", "None"], capsys)[0] == 0
    assert "No records" not in page.read_text()
    assert answer(["results", "--check"], capsys)[0] == 1
    assert answer(["results"], capsys)[0] == 0
    assert "No records" in page.read_text(), "the pages of a folder are filled, too"
    code, _, err = answer(["results", "--pages", "other.md"], capsys)
    assert code == 2
    assert err.startswith("error: there is no other.md; expected pages with generated parts")
    assert results.Results.pages == (Path("README.md"), Path("docs/methods"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "some.json cannot be read as JSON"),
        ('{"figures": 1}', "some.json: expected JSON objects as figures"),
        ('{"figures": {}, "plan": {}, "dataset": "../../x"}', "expected the name of a data set, got '../../x'"),
    ],
)
def test_a_file_that_is_no_record_is_named(text, message, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    files.write_text(tmp_path / "results/some.json", text)
    code, _, err = answer(["results"], capsys)
    assert code == 2
    assert message in err
