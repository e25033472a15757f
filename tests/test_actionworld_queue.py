"""The queue of the leaderboard: what it would run, the trials, resuming, and the budget."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from actionprompt import methods
from actionprompt.commands import run
from actionprompt.study import claims
from scripts import benchmark

HOME = Path(__file__).parents[1] / "results" / "records" / "actionworld_v2-small"
CHOICE = {"lr": 1e-3, "epochs": 4}


@pytest.fixture
def queue():
    return benchmark("actionworld")


def commands(queue):
    """A command of each entry under each protocol, and one trial of each."""
    lines = {(line.method, line.variant, line.protocol, line.shots): line for line in queue.lines()}.values()
    yield from (queue.command(line, CHOICE, "actionworld_v2", "small") for line in lines)
    yield from (queue.trial(key, 1e-3, 4, "actionworld_v2", "small") for key in queue.SETTINGS)


@pytest.mark.parametrize(
    "some", ["xclip base-to-novel", "promptlearner_clip text_only", pytest.param("", marks=pytest.mark.slow)]
)
def test_every_command_is_accepted_and_sees_the_papers_augmentation(queue, some):
    for words in commands(queue):
        if not {*some.split()} <= {*words}:
            continue
        options = run.read([*words[1:], "--out", "x"])[1]
        assert (options.data.num_frames, options.data.num_clips, options.data.num_crops) == (8, 1, 1)
        assert getattr(options.method, "num_frames", 8) == 8
        if "--train.lr" not in words:
            continue
        assert options.train.lr == 1e-3
        assert options.train.warmup_epochs < options.train.epochs / 2
        recipes = methods.get(words[1]).RECIPES
        printed = recipes["few-shot" if options.recipe == "none" else options.recipe]
        for name, value in printed.data.get("augment", {}).items():
            assert getattr(options.data.augment, name) == value, words
        assert options.data.augment.crop_scale == (0.08, 1.0)
        assert options.train.weight_decay == printed.train["weight_decay"]
        assert options.train.label_smoothing == printed.train.get("label_smoothing", 0)


def test_every_method_has_four_trials_one_of_them_at_the_papers_rate(queue):
    entries = {key[0] for key in queue.SETTINGS}
    assert entries == set(methods.names()) - {"i3d_flow"}
    for (method, _), settings in queue.SETTINGS.items():
        assert len(set(settings.rates)) == 3
        printed = methods.get(method).RECIPES[settings.recipes[0]].train["lr"]
        assert settings.rates[0] == printed
        assert len({settings.step_s, settings.epochs}) == 2


def test_what_a_claim_compares_is_run_with_all_seeds(queue):
    lines = queue.lines()
    assert len({line.path for line in lines}) == len(lines)
    made = {(line.method, line.variant, line.protocol, line.shots): [] for line in lines}
    for line in lines:
        made[line.method, line.variant, line.protocol, line.shots].append(line.seed)
    for method, variant, protocol, shots in claims.needed():
        trained = made.get((method, variant, protocol, shots))
        untrained = made.get((method, variant, "zero-shot", None)) if protocol == "closed-set" else None
        assert sorted(trained or []) == [0, 1, 2] or untrained == [0] or (trained == [0] and method == "zeroshot")
    also = [line for line in lines if line.also]
    assert {"scene_bias", "background"} == set(queue.ALSO)
    for claim in claims.CLAIMS:
        if claim.test in queue.ALSO:
            tested = {(line.method, line.variant) for line in also}
            assert {claim.better, claim.than} <= tested


def test_the_estimate_is_within_the_budget_and_the_plan_runs_nothing(queue, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a plan runs nothing"))
    monkeypatch.setattr(sys, "argv", ["actionworld.py", "--plan"])
    assert queue.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert 8 < float(last.split()[0]) <= 12.5


def test_nothing_to_do_is_an_error(queue, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["actionworld.py", "--only", "no_such_method"])
    with pytest.raises(SystemExit, match="2"):
        queue.main()
    assert "no line starts with one of --only" in capsys.readouterr().err


class Runs:
    """Takes the place of `subprocess.run`: writes the record that the command would, or fails."""

    def __init__(self, queue, monkeypatch, tmp_path, accuracy=lambda lr, epochs: 50.0):
        self.calls: list[list[str]] = []
        self.fails, self.accuracy = False, accuracy
        self.queue = queue.Queue("actionworld_v2", "small", tmp_path / "records", tmp_path / "work", 12.0)
        monkeypatch.setattr(subprocess, "run", self)
        monkeypatch.setattr(queue.records, "commit", lambda: "1")

    def __call__(self, words, *, check, env):
        words = words[3:]
        value = {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}
        self.calls.append(words)
        assert env["OMP_NUM_THREADS"] == "1"
        if self.fails:
            return subprocess.CompletedProcess(words, 1)
        protocol = "-".join(filter(None, [value["--protocol"], f"k{value['--shots']}" if "--shots" in value else "",
                                          value.get("--test-part", "")]))  # fmt: skip
        name = "-".join(filter(None, [words[1], value.get("--variant", ""), f"s{value['--seeds']}"]))
        path = Path(value["--out"], "actionworld_v2-small", protocol, f"{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        top1 = self.accuracy(float(value.get("--train.lr", 0)), int(value.get("--train.epochs", 0)))
        figures = {"val" if "--test-part" in value else "accuracy": top1}
        made = {"figures": figures, "core_hours": 0.5, "command": f"actionprompt {' '.join(words)}", "commit": "1",
                "date": "2026"}  # fmt: skip
        path.write_text(json.dumps(made))
        return subprocess.CompletedProcess(words, 0)


def test_the_best_rate_is_tried_for_longer_and_the_shorter_trial_wins_a_tie(queue, monkeypatch, tmp_path):
    runs = Runs(queue, monkeypatch, tmp_path, accuracy=lambda lr, epochs: 60.0 if lr == 1e-3 else 40.0)
    assert runs.queue.choose(("mip_clip", ""))
    tried = [(words[words.index("--train.lr") + 1], words[words.index("--train.epochs") + 1]) for words in runs.calls]
    assert tried == [("0.0001", "2"), ("0.001", "2"), ("0.003", "2"), ("0.001", "4")]
    assert all(words[words.index("--test-part") + 1] == "val" for words in runs.calls)
    chosen = runs.queue.choices["mip_clip"]
    assert (chosen["lr"], chosen["epochs"], len(chosen["trials"])) == (1e-3, 2, 4)
    assert runs.queue.spent() == 2.0
    assert runs.queue.choose(("mip_clip", ""))
    assert len(runs.calls) == 4, "what is chosen is not tried again"


def test_trials_resume_after_a_failure(queue, monkeypatch, tmp_path):
    runs = Runs(queue, monkeypatch, tmp_path, accuracy=lambda lr, epochs: 100 * lr + epochs)
    runs.fails = True
    assert not runs.queue.choose(("vifi_clip", ""))
    assert not runs.queue.choices
    runs.fails, runs.calls = False, []
    assert runs.queue.choose(("vifi_clip", ""))
    assert runs.queue.choices["vifi_clip"]["epochs"] == 4


def test_a_record_is_made_once_and_one_of_other_options_is_reported(queue, monkeypatch, tmp_path, capsys):
    runs = Runs(queue, monkeypatch, tmp_path)
    line = next(line for line in queue.lines() if line.name == "vifi_clip closed-set s0")
    assert queue.in_parallel([lambda: runs.queue.record(line)], 1) == [False]
    assert "FAILED vifi_clip closed-set s0: its trials have no result" in capsys.readouterr().out
    assert runs.queue.choose(("vifi_clip", ""))
    before = len(runs.calls)
    assert runs.queue.record(line)
    assert runs.queue.record(line)
    assert len(runs.calls) == before + 1
    path = runs.queue.home / line.path
    path.write_text(path.read_text().replace("--train.epochs 2", "--train.epochs 9"))
    with pytest.raises(ValueError, match="made with other options"):
        runs.queue.record(line)


def test_the_budget_stops_the_queue_and_a_failed_run_does_not(queue, monkeypatch, tmp_path, capsys):
    runs = Runs(queue, monkeypatch, tmp_path)
    lines = [line for line in queue.lines() if not line.trains]
    runs.fails = True
    assert queue.in_parallel([lambda line=line: runs.queue.record(line) for line in lines], 2) == [False] * 3
    assert len(runs.calls) == 3
    runs.fails, runs.queue.core_hours = False, 0.75
    assert queue.in_parallel([lambda line=line: runs.queue.record(line) for line in lines], 1) == [True, True, False]
    assert "LEFT OUT" in capsys.readouterr().out


def test_every_record_has_its_line(queue):
    paths = {line.path.as_posix(): line for line in queue.lines()}
    choices = json.loads((HOME / queue.CHOICES).read_text())["choices"] if HOME.is_dir() else {}
    for path in HOME.glob("*/*.json"):
        line = paths[path.relative_to(HOME).as_posix()]
        words = queue.command(line, choices.get("-".join(filter(None, line.key)), {}), "actionworld_v2", "small")
        there = json.loads(path.read_text(encoding="utf-8"))["command"]
        assert queue.options(there) == queue.options(" ".join(words)), path
