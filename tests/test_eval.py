"""What is measured on what: classes that differ, clips of the training, a folder divided into parts; and the errors of
the Python interface."""

import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import actionprompt
from actionprompt import commands
from actionprompt.clips import Broken, Clip, ClipList, identity, in_order_of
from actionprompt.commands import _shared
from actionprompt.commands import eval as eval_verb
from actionprompt.datasets import folder
from actionprompt.evaluation import Report, to_record
from actionprompt.metrics import ClassResult, Metrics
from actionprompt.prediction import zero_shot
from actionprompt.video import write_video

NAMES = ("jump", "run", "walk")
TRAIN = "--backbone random:nano --train.epochs 1 --train.batch-size 3 --train.num-workers 0 --data.num-frames 4"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """root/<class>/<clip>: three classes of five clips."""
    root = tmp_path_factory.mktemp("eval") / "root"
    rng = np.random.default_rng(0)
    for name in NAMES:
        (root / name).mkdir(parents=True)
        for number in range(5):
            frames = rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
            write_video(root / name / f"{name}{number}.mp4", frames, fps=10)
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """Trained on the divided folder."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert (
        commands.main(f"train vifi_clip --clips.root {root} --clips.split-folder 0.6 --out {out} {TRAIN}".split()) == 0
    )
    return out


@pytest.fixture
def call(capsys, monkeypatch):
    monkeypatch.setattr(_shared.out, "width", 160)
    monkeypatch.setattr(_shared.err, "width", 160)

    def call(command: str) -> tuple[int, str]:
        code = commands.main(command.split())
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return call


def test_the_other_part_of_a_divided_folder_is_new_to_the_model(root, run, call, tmp_path):
    record = tmp_path / "record.json"
    code, text = call(f"eval {run} --clips.root {root} --clips.split-folder 0.6 --num-workers 0 --json {record}")
    assert code == 0, text
    assert "6 clips" in text
    assert json.loads(record.read_text())["trained_on_clips"] == []
    assert json.loads((run / "model/manifest.json").read_text())["list"] == "folder/root/0.6-seed1/train"


def test_clips_of_the_training_are_known_by_their_content(root, run, call, tmp_path):
    record, trained = tmp_path / "record.json", [line.split("\t")[1] for line in (run / "model/clips.txt").open()]
    for name in NAMES:  # another folder, other names
        (tmp_path / "copy" / name).mkdir(parents=True)
    copied = trained[0].strip()
    shutil.copy(root / copied, tmp_path / "copy" / copied.split("/")[0] / "other_name.mp4")
    for name in NAMES:
        write_video(tmp_path / "copy" / name / "new.mp4", np.full((6, 32, 32, 3), len(name), np.uint8), fps=10)
    command = f"eval {run} --clips.root {tmp_path}/copy --num-workers 0 --json {record}"
    code, text = call(command)
    assert code == 1, text
    assert "measured on training clips: the model was trained on 1 of 4 of these clips" in text
    assert "other_name.mp4" in text
    assert [key.split("/")[1] for key in json.loads(record.read_text())["trained_on_clips"]] == ["other_name.mp4"]
    code, text = call(f"{command} --on-training-clips")
    assert code == 0, text
    assert "measured on training clips" in text
    code, text = call(f"eval {run} --clips.root {root} --num-workers 0")
    assert code == 1, text
    assert "trained on 9 of 15 of these clips" in text


def test_other_classes_are_named_and_asked_about(root, run, call, tmp_path):
    shutil.copytree(root, tmp_path / "two", ignore=shutil.ignore_patterns("jump"))
    command = f"eval {run} --clips.root {tmp_path}/two --clips.split-folder 0.6 --num-workers 0 --on-training-clips"
    code, text = call(command)
    assert code == 2
    assert "other classes than the model (missing here: jump)" in text
    assert "--clips.classes model" in text
    code, text = call(f"{command} --clips.classes model")
    assert code == 0, text
    assert "1 of 3 classes" in text, "the class is among the candidates"
    code, text = call(f"{command} --clips.classes folder")
    assert code == 0, text
    assert "of 3 classes" not in text
    (tmp_path / "two/run").rename(tmp_path / "two/sprint")
    code, text = call(command)
    assert code == 2
    assert "(missing here: jump, run; new here: sprint)" in text
    code, text = call(f"{command} --clips.classes model")
    assert code == 2
    assert "expected classes among the 3 given, got sprint" in text


def test_a_closed_head_takes_its_names_in_another_order(root, call, tmp_path):
    out, command = tmp_path / "linear", f"--clips.root {root} --clips.split-folder 0.6"
    assert call(f"train zeroshot --variant linear {command} --out {out} {TRAIN}")[0] == 0
    shutil.copytree(root, tmp_path / "root")
    (tmp_path / "root/classes.txt").write_text("walk\njump\nrun\n")
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert call(f"eval {out} {command} --num-workers 0 --json {one}")[0] == 0
    assert (
        call(f"eval {out} --clips.root {tmp_path}/root --clips.split-folder 0.6 --num-workers 0 --json {two}")[0] == 0
    )
    one, two = (json.loads(path.read_text())["metrics"] for path in (one, two))
    assert [row["name"] for row in two["per_class"]] == ["walk", "jump", "run"]
    assert {row["name"]: row["top1"] for row in one["per_class"]} == {
        row["name"]: row["top1"] for row in two["per_class"]
    }
    assert one["top1"] == two["top1"]


def report_of(num_classes: int, num_present: int, calibration_error: float = 1.0):
    """Of one clip each of the first classes; class n is right in n percent of its clips."""
    rows = tuple(
        ClassResult(f"class {n}", int(n < num_present), float(n) if n < num_present else math.nan)
        for n in range(num_classes)
    )
    metrics = Metrics(num_present, 50.0, math.nan, 50.0, calibration_error, rows, ())
    return Report("a list", metrics, (), {}, {}, tuple(row.name for row in rows), {})


@pytest.mark.parametrize(
    ("num_classes", "num_present", "first", "rows", "lines"),
    [
        (3, 3, "class 0", 3, []),
        (400, 1, "class 0", 1, ["399 of 400 classes have no clips here"]),
        (60, 60, "class 0", 60, []),
        (401, 400, "class 0", 60,
         ["the table has the 60 worst of 400 classes; --json FILE writes all", "1 of 401 classes have no clips here"]),
    ],
)  # fmt: skip
def test_the_table_shows_classes_with_clips_and_of_many_the_worst(
    num_classes, num_present, first, rows, lines, capsys, monkeypatch
):
    monkeypatch.setattr(_shared.out, "width", 160)
    report = report_of(num_classes, num_present)
    eval_verb.print_report(report)
    said = capsys.readouterr().out.splitlines()
    shown = [line for line in said if "│ class " in line]
    assert len(shown) == rows
    assert [line for line in said if " classes" in line] == lines
    assert first in shown[0]
    assert f"class {rows - 1} " in shown[-1]
    record = to_record(report, seed=0, started=0.0)
    assert len(record["metrics"]["per_class"]) == num_classes
    assert num_present == num_classes or record["metrics"]["per_class"][-1]["top1"] is None


@pytest.mark.parametrize(
    ("error", "figures"),
    [(1.0, "mean class accuracy 50.00 %   expected calibration error 1.00 %   1 clips"),
     (math.nan, "mean class accuracy 50.00 %   1 clips")],
)  # fmt: skip
def test_a_figure_that_is_not_defined_is_not_shown(error, figures, capsys, monkeypatch):
    """As the calibration error of a single class."""
    monkeypatch.setattr(_shared.out, "width", 160)
    eval_verb.print_report(report_of(1, 1, error))
    assert capsys.readouterr().out.splitlines()[-1] == f"top-1 50.00 %   {figures}"


def test_predictions_are_not_taken_for_labels(root, call, tmp_path):
    table = tmp_path / "predictions.csv"
    assert call(f"predict {root} --labels walk,run --backbone random:nano --num-workers 0 --csv {table}")[0] == 0
    code, text = call(f"eval zeroshot --backbone random:nano --clips.dataset csv --clips.root {table} --num-workers 0")
    assert code == 2
    assert "predictions.csv is a table of predictions, as `predict --csv` writes it" in text


def keys(*names: str) -> ClipList:
    classes = tuple(dict.fromkeys(name.split("/")[0] for name in names))
    clips = tuple(Clip(name, Path(name), classes.index(name.split("/")[0])) for name in names)
    return ClipList("folder/x", clips, classes)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a/v_Run_g01_c02.avi", "v_Run_g01"),
        ("a/Show_Me_run_f_cm_np1_ba_med_0.avi", "Show_Me"),
        ("a/-abc_DEF_000010_000020.mp4", "-abc_DEF"),
        ("a/holiday_clip2.mp4", "holiday"),
        ("a/holiday-part-03.mov", "holiday"),
        ("a/run12.mp4", "a/run12.mp4"),
        ("a/2024.01.05 run.mp4", "a/2024.01.05 run.mp4"),
    ],
)
def test_names_show_their_source(name, source):
    assert folder.source_of(name) == source


def test_a_folder_is_divided_by_sources_and_repeatably():
    names = [f"{c}/v_{c}_g{g:02d}_c{n:02d}.avi" for c in ("Run", "Walk") for g in range(10) for n in range(1 + g % 3)]
    whole = keys(*names)
    for seed in (1, 2, 3):
        train, test = (folder.divide(whole, part, share=0.8, seed=seed) for part in ("train", "test"))
        assert {c.key for c in train.clips} | {c.key for c in test.clips} == set(names)
        assert not {folder.source_of(c.key) for c in train.clips} & {folder.source_of(c.key) for c in test.clips}
        number = Counter(clip.label for clip in test.clips)
        assert all(4 <= number[label] <= 6 for label in (0, 1)), "about 4 of 19 clips of each class, in whole sources"
        again = folder.divide(ClipList("folder/x", whole.clips[::-1], whole.class_names), "test", share=0.8, seed=seed)
        assert {c.key for c in again.clips} == {c.key for c in test.clips}, "whatever the order of the list"
    assert (
        folder.divide(whole, "test", share=0.8, seed=1).sha256 != folder.divide(whole, "test", share=0.8, seed=2).sha256
    )


def test_a_source_of_two_classes_is_in_one_part():
    whole = keys(*(f"{c}/film{n}_clip{k}.mp4" for c in ("a", "b") for n in range(6) for k in range(2)))
    test = folder.divide(whole, "test", share=0.7, seed=1)
    assert {folder.source_of(c.key) for c in test.clips if c.label == 0} == {
        folder.source_of(c.key) for c in test.clips if c.label == 1
    }


def test_divisions_that_cannot_be_made_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match="clips of at least two sources, one for each part; a has not"):
        folder.divide(keys("a/f_clip1.mp4", "a/f_clip2.mp4", "b/1.mp4", "b/2.mp4"), "test", share=0.5, seed=1)
    for share in (0, 1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            folder.load(root, part="test", split_folder=share)
    with pytest.raises(ValueError, match="parts train and test, got 'val'"):
        folder.load(root, part="val", split_folder=0.5)
    shutil.copytree(root, tmp_path / "parts/train")
    with pytest.raises(ValueError, match="parts of its own: expected no split_folder"):
        folder.load(tmp_path / "parts", part="train", split_folder=0.5)
    with pytest.raises(ValueError, match=r"csv has its own parts: expected no --clips.split-folder"):
        _shared.Clips(dataset="csv", root=root, split_folder=0.5).load("test")


def test_identity_is_of_the_content(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(200_000))
    (tmp_path / "b.mp4").write_bytes(bytes(200_000))
    assert identity(tmp_path / "a.mp4") == identity(tmp_path / "b.mp4")
    for content in (bytes(199_999), bytes(200_001), b"1" + bytes(199_999), bytes(199_999) + b"1", b""):
        (tmp_path / "b.mp4").write_bytes(content)
        assert identity(tmp_path / "a.mp4") != identity(tmp_path / "b.mp4")


def test_labels_follow_their_names():
    clips = in_order_of(keys("a/1.mp4", "b/1.mp4"), ["c", "b", "a"])
    assert [clip.label for clip in clips.clips] == [2, 1]
    with pytest.raises(ValueError, match="expected classes among the 1 given, got a"):
        in_order_of(keys("a/1.mp4", "b/1.mp4"), ["b"])


# The Python interface ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predictor():
    return zero_shot(["run", "walk"], backbone="random:nano")


WRONG = {
    "zero_shot('run')": "expected a list of class names, got one string; write ['run']",
    "zero_shot(None)": "expected a list of class names, got None; write ['waving', 'clapping']",
    "predictor.set_classes(None)": "expected a list of class names, got None; write ['waving', 'clapping']",
    "predictor.set_classes('run')": "expected a list of class names, got one string; write ['run']",
    "methods.build('vifi_clip', load_clip('random:nano'), 'run')": "expected a list of class names, got one string",
    "zero_shot(['run', 'walk'], backbone='random:nano', config={})": "expected config as a DataConfig, got dict",
    "zero_shot(['run', 'walk'], backbone='random:nano', device='gpu')": "expected a device such as 'cpu', 'cuda'",
    "Predictor(predictor.method, DataConfig(), device='cuda:99')": "expected a device such as 'cpu', 'cuda' or 'mps'",
    "predictor.predict(clip, top=0)": "expected top of at least 1, or None for all classes, got 0",
    "predictor.predict(clip, top=-1)": "expected top of at least 1, or None for all classes, got -1",
    "predictor.predict(clip, top=1.5)":
        "expected top of at least 1, or None for all classes, got 1.5; give a whole number",
    "predictor.predict(None)": "expected the path of a video as a str or Path, got None",
    "list(predictor.predict_all([clip, b'a.mp4']))": "expected the path of a video as a str or Path, got b'a.mp4'",
    "predictor.predict_all('a.mp4')": "expected several paths, got one: a.mp4; call predict, or predict_all([path])",
    "predictor.predict_all(b'a.mp4')": "expected several paths, got one: b'a.mp4'; call predict, or predict_all",
    "predictor.predict_all(None)": "expected several paths, got None; call predict, or predict_all([path])",
    "predictor.predict_all([clip], num_workers=-1)": "expected num_workers of at least 0, got -1; give a whole number",
    "predictor.predict_all([clip], batch_size=0)": "expected batch_size of at least 1, got 0; give a whole number",
    "actionprompt.evaluate(method, clips, DataConfig(), num_workers=-1)": "expected num_workers of at least 0, got -1",
    "actionprompt.evaluate(method, clips, DataConfig(), batch_size=0)": "expected batch_size of at least 1, got 0",
    "actionprompt.evaluate(method, clips, DataConfig(), device='gpu')": "expected a device such as 'cpu', 'cuda'",
    "actionprompt.evaluate('m', clips, DataConfig())": "expected method as a Method, got str; `load(folder).method` is",
    "actionprompt.evaluate(predictor, clips, DataConfig())": "expected method as a Method, got Predictor",
    "actionprompt.train('vifi_clip', clips, 'x', config=TrainConfig(), data_config=DataConfig())":
        "expected method as a Method, got str; `load(folder).method` is",
    "actionprompt.train(method, clips, 'x', config=TrainConfig(), data_config=DataConfig(), device='gpu')":
        "expected a device such as 'cpu', 'cuda'",
    "actionprompt.evaluate(method, clips, {})": "expected config as a DataConfig, got dict",
    "actionprompt.evaluate(method, root, DataConfig())": "expected clips as a ClipList, got str",
    "actionprompt.train(method, root, 'x', config=TrainConfig(), data_config=DataConfig())":
        "expected clips as a ClipList, got str",
    "actionprompt.train(method, clips, 'x', config={}, data_config=DataConfig())":
        "expected config as a TrainConfig, got dict",
    "actionprompt.train(method, clips, 'x', config=TrainConfig(), data_config={})":
        "expected data_config as a DataConfig, got dict",
    "actionprompt.teach({'a': 'clip.mp4', 'b': ['b.mp4']}, 'x', backbone='random:nano')":
        "a: expected a list of clips, got one string; write ['clip.mp4']",
    "actionprompt.teach({'a': [clip], 'b': [clip]}, 'x', device='gpu')": "expected a device such as 'cpu', 'cuda'",
    "actionprompt.teach({'a': [clip], 'b': [clip]}, 'x', config={})": "expected config as a TrainConfig, got dict",
    "actionprompt.teach({'a': [clip], 'b': [clip]}, 'x', data_config={})": "expected data_config as a DataConfig, got",
    "actionprompt.teach('a=b', 'x')":
        "expected a dict of clips by class name, got str; write {'waving': ['a.mp4', 'b.mp4'], ...}",
    "actionprompt.teach([clip], 'x')": "expected a dict of clips by class name, got list",
    "actionprompt.teach({}, 'x')": "expected a dict of clips by class name, got an empty one",
}  # fmt: skip
CODE = """
import json, sys
import actionprompt
from actionprompt import methods
from actionprompt.weights import load_clip
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.datasets import folder
from actionprompt.prediction import Predictor, zero_shot
root, clip, wrong = json.loads(sys.argv[1])
predictor = zero_shot(["run", "walk"], backbone="random:nano")
clips = folder.load(root)
method = methods.build("vifi_clip", load_clip("random:nano"), clips.class_names)
for call in wrong:
    try:
        eval(call)
        print("nothing")
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_one_clear_error_each(root, tmp_path):
    """In a process of its own: in this one the checks of every signature come first."""
    arguments = json.dumps([str(root), str(root / "run/run0.mp4"), list(WRONG)])
    done = subprocess.run(
        [sys.executable, "-c", CODE, arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    for call, expected, got in zip(WRONG, WRONG.values(), done.stdout.splitlines(), strict=True):
        assert got.startswith(f"ValueError {expected}"), (call, got)
    assert not list(tmp_path.iterdir())


def test_generators_are_lists(root):
    predictor = zero_shot((name for name in NAMES), backbone="random:nano")
    assert predictor.class_names == NAMES
    predictor.set_classes(name for name in ("a", "b"))
    assert predictor.class_names == ("a", "b")
    results = predictor.predict_all((path for path in sorted(root.rglob("run*.mp4"))), num_workers=0, top=None)
    assert [len(result.labels) for _, result in results] == [2] * 5


def test_a_trained_model_takes_its_names_from_a_generator(run):
    predictor = actionprompt.load(run, class_names=(name for name in ("a", "b")), class_names_zh=iter(("甲", "乙")))
    assert predictor.class_names == ("a", "b")
    assert predictor.method.class_names_zh == ("甲", "乙")


def test_a_result_says_whether_it_is_one(predictor, root, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nonsense")
    (_, good), (_, bad) = predictor.predict_all([root / "run/run0.mp4", tmp_path / "bad.mp4"], num_workers=0)
    assert (good.ok, bad.ok) == (True, False)
    assert isinstance(bad, Broken)


def test_the_verbs_are_public_functions():
    for name in ("evaluate", "load", "teach", "train", "zero_shot"):
        assert name in dir(actionprompt)
        assert callable(getattr(actionprompt, name))
        assert getattr(actionprompt, name).__doc__


def test_records_hold_no_path_of_backbone_or_clips(root, call, tmp_path):
    tiny = Path(actionprompt.__file__).parent / "assets" / "tiny_clip"
    shutil.copytree(tiny, tmp_path / "private" / "my_clip")
    options = f"--clips.root {root} --clips.split-folder 0.6 --backbone {tmp_path}/private/my_clip --data.num-frames 2"
    assert call(f"run zeroshot {options} --out {tmp_path}/records")[0] == 0
    assert call(f"eval zeroshot {options} --num-workers 0 --json {tmp_path}/records/eval.json")[0] == 0
    for path in (tmp_path / "records").rglob("*.json"):
        text = path.read_text()
        assert "local:my_clip" in text
        assert str(tmp_path) not in text
        assert str(root) not in text
