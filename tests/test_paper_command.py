"""`actionprompt paper` as a person uses it, recipes by protocol and data set, and what is said of nonsense."""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from actionprompt import commands, datasets, methods, papers
from actionprompt.commands import _shared, train
from actionprompt.config import TrainConfig
from actionprompt.study import experiment
from lists import link, written
from videos import write_numbered

PAPERS = ", ".join(papers.names())
NANO, OURS = "random:nano", "T8.ours.hmdb51"


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> Iterator[dict[str, str]]:
    with written(tmp_path_factory.mktemp("roots")) as found:
        yield found


@pytest.fixture(autouse=True)
def _wide(monkeypatch) -> None:
    monkeypatch.setattr(_shared.out, "width", 160)
    monkeypatch.setattr(_shared.err, "width", 160)


def call(command: str, capsys) -> tuple[int, str, str]:
    code = commands.main(command.split())
    printed = capsys.readouterr()
    return code, printed.out, " ".join(printed.err.split())


@pytest.fixture
def nothing_runs(monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing may be trained or tested here")

    monkeypatch.setattr(experiment, "run", refuse)
    monkeypatch.setattr(train, "train", refuse)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dual_semantic", f"there is no paper 'dual_semantic', but {PAPERS}; did you mean 'dual_semantic_tpr'?"),
        ("vifi_clip", f"there is no paper 'vifi_clip', but {PAPERS}; the method vifi_clip has no rows of a paper: see "
         "actionprompt list vifi_clip, actionprompt run vifi_clip"),
        ("vifi_clpi ROW", "'vifi_clpi', but dual_semantic_tpr, "),
        ("vifi_clpi ROW", "; the method vifi_clip has no rows of a paper: see actionprompt list vifi_clip"),
        ("actionclip T1 --plan", "; the method actionclip has no rows of a paper"),
        ("MIP-CLIP", "did you mean 'mip_clip'?"),
        ("ucf101", f"error: there is no paper 'ucf101', but {PAPERS}"),
        ("dual_semantic_tpr T7.our.K4.hmdb51", "'T7.our.K4.hmdb51'; did you mean 'T7.ours.K4.hmdb51'?"),
        ("dual_semantic_tpr T8.ours.hmdb", "no row of dual_semantic_tpr 'T8.ours.hmdb'; did you mean 'T8."),
        ("--rows", "expected a method before --rows; choose one of dual_semantic_tpr, mip_clip"),
        ("mip_clip --plan --rows", "expected a row before --rows; `actionprompt paper mip_clip` lists them"),
        (f"dual_semantic_tpr {OURS} --clips.root DIR", "expected --out DIR for the records and models, or --plan"),
        (f"dual_semantic_tpr {OURS} --out OUT", "runs on hmdb51: give its root as --clips.root DIR"),
        (f"dual_semantic_tpr {OURS} --clips.root /no/such --out OUT", "HMDB-51: no folder /no/such; check the path"),
        ("mip_clip A.zero-shot.ucf101 --clips.root DIR --out OUT",
         "trains on Kinetics-400 first: give its root as --pretrain.root DIR, or finished runs as --start-from"),
        (f"dual_semantic_tpr {OURS} --clips.root DIR --out OUT --start-from RUN",
         "is trained on hmdb51 alone: leave out --start-from"),
        (f"dual_semantic_tpr {OURS} --clips.root DIR --out OUT --flow RUN", "has no flow stream: leave out --flow"),
        ("dual_semantic_tpr T8.tsm --plan", "T8.tsm cannot be run: another system"),
        ("mip_clip A.zero-shot.kinetics400 --plan", "cannot be run: Kinetics-400 is what zero-shot models are trained"),
    ],
)  # fmt: skip
def test_errors_of_paper(command, message, nothing_runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(f"paper {command}", capsys)
    assert code == 2
    assert message in err
    assert not (tmp_path / "OUT").exists()


def test_paper_prints_every_row(capsys):
    code, out, _ = call("paper", capsys)
    assert code == 0
    for paper in papers.names():
        own = papers.get(paper).ROWS
        runs = sum(row.runs for row in own)
        assert f"{paper}: {papers.summary(paper)}\n  {len(own)} rows: {runs} run with one command" in out
        code, listed, _ = call(f"paper {paper}", capsys)
        assert code == 0
        for row in own:
            assert f"\n{row.id}: {row.compares}\n" in listed
            if row.runs:
                assert f"actionprompt run {row.method} " in listed.partition(f"\n{row.id}: ")[2].partition("\n\n")[0]
        assert all(choice in listed for choice in papers.get(paper).CHOICES)


def test_plan_prints_the_commands_and_runs_nothing(nothing_runs, tmp_path, capsys):
    code, out, _ = call("paper promptlearner_clip S4-7.hmdb51 --clips.root H --pretrain.root K --plan", capsys)
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("actionprompt train promptlearner_clip --recipe closed-set --clips.dataset kinetics400")
    assert "--clips.root K " in first
    assert re.match(r"actionprompt run promptlearner_clip --recipe \S+ --protocol closed-set --clips\.", second)
    (run_folder,) = re.findall(r"--out (\S+)", first)
    assert f"--start-from {run_folder} " in second
    assert "--clips.root H --splits 1 2 3 --seeds 0 " in second
    options = "--start-from RUN --backbone B --plan --train.lr 1"
    code, out, _ = call(f"paper promptlearner_clip S4-7.hmdb51 {options}", capsys)
    assert code == 0
    (only,) = out.splitlines()
    assert "--backbone B --start-from RUN " in only
    assert only.endswith(" --train.lr 1")


def test_the_record_names_the_row_the_published_number_and_the_difference(roots, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "run", lambda *_, **__: {"figures": {"accuracy": 60.0}, "metrics": {}})
    row = papers.row("dual_semantic_tpr", "T6.vita.T8.hmdb51")
    command = f"paper dual_semantic_tpr {row.id} --clips.root {roots['hmdb51']} --backbone {NANO}"
    for folder, more in (("own", ""), ("changed", " --train.lr 1e-3")):
        code, out, _ = call(f"{command} --out {tmp_path}/{folder}{more}", capsys)
        assert code == 0
        changed = f"; with{more} in place of the row's own options" if more else ""
        assert out.rstrip().endswith(f"{row.id}: 60.00 %, the mean of 1 records; published: 67.25 %{changed}")
        (path,) = (tmp_path / folder / "dual_semantic_tpr" / row.id).rglob("*-s0.json")
        assert json.loads(path.read_text())["paper"] == {
            "paper": "dual_semantic_tpr", "row": row.id, "difference": None if more else -7.25, "changed": more.split(),
            "published": {"top1": 67.25, "top5": None, "source": "Table 6"},
        }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run dual_semantic_tpr --recipe few-shot", "for few-shot, not for closed-set; give --protocol few-shot"),
        ("train dual_semantic_tpr --recipe few-shot", "for few-shot, not for closed-set; give --protocol few-shot"),
        ("run dual_semantic_tpr --recipe closed-set --protocol few-shot", "is for closed-set, not for few-shot"),
        ("run dual_semantic_tpr --shots 4", "--shots belongs to few-shot and base-to-novel: add --protocol few-shot"),
        ("run dual_semantic_tpr --recipe something_v1", "is for something_v1, not for hmdb51"),
        ("run dual_semantic_tpr --recipe few", "dual_semantic_tpr has no recipe 'few'; there are closed-set, few-shot"),
    ],
)  # fmt: skip
def test_a_recipe_belongs_to_its_protocol(command, message, nothing_runs, roots, tmp_path, capsys):
    code, _, err = call(
        f"{command} --clips.dataset hmdb51 --clips.root {roots['hmdb51']} --backbone {NANO} --out {tmp_path}", capsys
    )
    assert code == 2
    assert message in err


def test_the_recommended_recipe_follows_protocol_and_data_set():
    chosen: dict[str, str] = {}
    for name in methods.names():
        for protocol in ("closed-set", "few-shot", "zero-shot", "base-to-novel"):
            for dataset in ("hmdb51", "kinetics400", "jester", "something_v1", "folder"):
                found = methods.defaults(name, protocol=protocol, dataset=dataset)
                recipe = methods.get(name).RECIPES.get(found.recipe)
                chosen[f"{name} {protocol} {dataset}"] = found.recipe
                if recipe is not None:
                    assert recipe.recommended
                    assert protocol in recipe.protocols
                    assert dataset in recipe.datasets or not recipe.datasets
                assert (found.data.augment.flip == 0) or datasets.get(dataset).INFO.flip
            found = methods.defaults(name, protocol=protocol, dataset="actionworld")
            assert (found.recipe, found.train) == ("", TrainConfig())
            assert "no recipe" in found.source
    assert chosen["vita_clip closed-set kinetics400"] == "closed-set-kinetics400"
    assert chosen["vita_clip closed-set hmdb51"] == "small"
    assert chosen["mip_clip closed-set jester"] == "jester"
    assert chosen["actionclip closed-set hmdb51"] == "closed-set-hmdb51-ucf101"
    assert chosen["actionclip closed-set folder"] == "closed-set"
    assert chosen["vifi_clip zero-shot kinetics400"] == "zero-shot"
    assert chosen["zeroshot zero-shot hmdb51"] == ""


def test_view_options_change_only_what_they_name(tmp_path, monkeypatch, capsys):
    """A model of letterboxed clips is tested on letterboxed clips, with four views as with one."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    video = write_numbered(tmp_path / "clip.mp4", 8)
    for name in ("walk", "wave"):
        link(tmp_path / "clips/train" / name, ["a.mp4", "b.mp4"], video)
    options = "--data.fit letterbox --data.num-frames 2 --train.epochs 1 --train.num-workers 0"
    command = f"train zeroshot --variant linear --clips.root {tmp_path}/clips --backbone {NANO} --out {tmp_path}/run"
    assert call(f"{command} {options}", capsys)[0] == 0
    record = tmp_path / "record.json"
    views = "--data.num-clips 4 --num-workers 0 --on-training-clips"
    command = f"eval {tmp_path}/run --clips.root {tmp_path}/clips --part train --json {record} {views}"
    assert call(command, capsys)[0] == 0
    data = json.loads(record.read_text())["data"]
    assert (data["fit"], data["num_frames"], data["num_clips"], data["num_crops"]) == ("letterbox", 2, 4, 1)


@pytest.fixture
def trained(monkeypatch) -> list[Any]:
    """The trainings on another data set that were started; none takes place."""
    found: list[Any] = []

    def note(method: Any, *_: Any, **__: Any) -> Any:
        found.append(method.name)
        return SimpleNamespace(broken=())

    monkeypatch.setattr(train, "train", note)
    record = {"figures": {"accuracy": 60.0}, "metrics": {}, "backbone": {"name": NANO}, "data": {}, "train": {}}
    monkeypatch.setattr(experiment, "run", lambda *_, **__: dict(record))
    return found


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ("S4-7.hmdb51", "--clips.root {hmdb51} --pretrain.root {kinetics400} --nonsense 3"),
        ("S4-7.hmdb51", "--clips.root /no/such --pretrain.root {kinetics400}"),
        ("S4-7.hmdb51", "--clips.root {hmdb51} --pretrain.root /no/such"),
        ("T7.ours.hmdb51", "--clips.root {hmdb51} --start-from {hmdb51}"),  # the flow stream needs Kinetics-400, too
    ],
)
def test_what_a_row_needs_is_checked_before_anything_is_trained(row, options, trained, roots, tmp_path, capsys):
    try:
        code, *_ = call(
            f"paper promptlearner_clip {row} {options.format(**roots)} --backbone {NANO} --out {tmp_path}", capsys
        )
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert trained == []
    assert [*tmp_path.rglob("*.json")] == []


def test_a_root_that_no_step_reads_is_refused(trained, roots, tmp_path, capsys):
    command = f"paper dual_semantic_tpr {OURS} --clips.root {roots['hmdb51']} --pretrain.root /any --out {tmp_path}"
    code, _, err = call(f"{command} --backbone {NANO}", capsys)
    assert code == 2
    assert "leave out --pretrain.root" in err


def test_what_is_said_of_an_earlier_record_is_what_the_record_says(trained, roots, tmp_path, capsys):
    row = "T6.vita.T8.hmdb51"
    command = f"paper dual_semantic_tpr {row} --clips.root {roots['hmdb51']} --backbone {NANO} --out {tmp_path}"
    _, out, _ = call(f"{command} --train.lr 1e-3", capsys)
    assert "with --train.lr 1e-3 in place of the row's own options" in " ".join(out.split())
    code, _, err = call(command, capsys)
    assert code == 2, "what was made with other options is not the row's"
    assert "is the record of a run with other options" in " ".join(err.split())
