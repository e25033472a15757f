"""Late fusion over score files: the arithmetic, and every way two files may not belong together."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from actionprompt import records
from actionprompt.apps import scores
from actionprompt.apps.scores import CANDIDATES, Scores, choose, fuse, fuse_files, measure_scores, read
from actionprompt.clips import Broken, Clip, ClipList
from actionprompt.commands import main
from actionprompt.evaluation import Report, write_scores
from actionprompt.metrics import measure

A = {
    "class_names": ["run", "wave", "jump"],
    "scores": {"1.avi": [0.5, 0.3, 0.2], "2.avi": [0.6, 0.4, 0.0], "3.avi": [0.1, 0.1, 0.8]},
    "labels": {"1.avi": 0, "2.avi": 1, "3.avi": 2, "4.avi": 1},
    "broken": ["4.avi"],
}
B = {
    **A,
    "scores": {"1.avi": [0.4, 0.5, 0.1], "2.avi": [0.1, 0.9, 0.0], "4.avi": [0.0, 1.0, 0.0]},
    "broken": ["3.avi"],
}


@pytest.fixture
def put(tmp_path):
    def write(name: str, record):
        path = tmp_path / name
        path.write_text(record if isinstance(record, str) else json.dumps(record), encoding="utf-8")
        return path

    return write


def load(put, *given):
    return {f"{i}.json": read(put(f"{i}.json", record)) for i, record in enumerate(given)}


def test_the_mean_of_two_with_and_without_weights(put):
    sources = load(put, A, B)
    assert fuse(sources).scores["1.avi"] == pytest.approx((0.45, 0.4, 0.15))
    assert fuse(sources, weights=[3, 1]).scores["1.avi"] == pytest.approx((0.475, 0.35, 0.175))
    assert fuse(sources, weights=[0.0, 2.0]).scores == {
        key: pytest.approx(B["scores"][key]) for key in ("1.avi", "2.avi")
    }
    assert all(math.isclose(sum(row), 1) for row in fuse(load(put, A, B, A), weights=[1, 2, 3]).scores.values())


def test_a_clip_one_of_them_could_not_read_counts_as_wrong(put):
    sources = load(put, A, B)
    fused = fuse(sources)
    assert fused.broken == ("3.avi", "4.avi")
    assert set(fused.scores) == {"1.avi", "2.avi"}
    assert fused.labels == A["labels"]
    assert measure_scores(sources["0.json"]).top1 == pytest.approx(50)  # 1 and 3
    assert measure_scores(sources["1.json"]).top1 == pytest.approx(50)  # 2 and 4
    result = measure_scores(fused)
    assert (result.num_clips, result.top1) == (4, pytest.approx(50))  # 1 and 2, though neither file has both right
    assert [row.num_clips for row in result.per_class] == [1, 2, 1]


def test_what_evaluation_writes_is_read_and_what_fusion_gives_can_be_written(tmp_path, put):
    import torch

    probabilities = {"a": (0.123456789, 0.876543211), "b": (0.5, 0.5)}
    metrics = measure(
        torch.tensor(list(probabilities.values())), torch.tensor([1, 0]), ("x", "y"), broken=torch.tensor([0])
    )
    report = Report(
        name="list", metrics=metrics, broken=(Broken("c", "no frames", (0, 0)),), probabilities=probabilities,
        labels={"a": 1, "b": 0, "c": 0}, class_names=("x", "y"), facts={},
    )  # fmt: skip
    write_scores(tmp_path / "a.json", report)
    back = read(tmp_path / "a.json")
    assert back.broken == ("c",)
    assert back.scores["a"] == pytest.approx(probabilities["a"], abs=1e-6)
    assert measure_scores(back).top1 == metrics.top1
    fused = fuse({"a": back, "b": back})
    records.write(tmp_path / "fused.json", fused)
    assert read(tmp_path / "fused.json") == fused


def without(record: dict, name: str) -> dict:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("not json", "cannot be read as a score file"),
        ([1, 2], "expected a score file with class_names, scores, labels, broken, but class_names is missing"),
        (without(A, "broken"), "broken is missing or not a list"),
        ({**A, "broken": [{"key": "4.avi"}]}, "expected class_names and broken to contain strings only"),
        ({**A, "scores": []}, "scores is missing or not a dict"),
        ({**A, "labels": {**A["labels"], "1.avi": 3}}, r"expected labels 0\.\.2, got 3 for 1\.avi"),
        ({**A, "labels": {**A["labels"], "1.avi": True}}, r"expected labels 0\.\.2, got True"),
        ({**A, "labels": without(A["labels"], "2.avi")}, r"to have a label and either scores .* except: 2\.avi"),
        ({**A, "scores": without(A["scores"], "1.avi")}, r"to have a label and either scores .* except: 1\.avi"),
        ({**A, "broken": ["4.avi", "1.avi"]}, r"either scores or an entry in broken, except: 1\.avi"),
        ({**A, "scores": {**A["scores"], "1.avi": [0.5, 0.5]}}, r"expected 3 numbers for 1\.avi, one per class"),
        ({**A, "scores": {**A["scores"], "1.avi": [0.5, 0.5, None]}}, r"expected 3 numbers for 1\.avi"),
        ({**A, "scores": {**A["scores"], "1.avi": [0.5, 0.5, math.nan]}}, r"expected 3 numbers for 1\.avi"),
        (
            {**A, "scores": {**A["scores"], "1.avi": [2.5, 0.1, -0.5]}},
            r"got a sum of 2\.1 .* apply a softmax to logits",
        ),
        ({**A, "scores": {**A["scores"], "1.avi": [0.5, 0.5, 0.5]}}, r"to 1 for 1\.avi, got a sum of 1\.5"),
        ({**A, "scores": {**A["scores"], "1.avi": [1.5, 0.1, -0.6]}}, r"a minimum of -0\.6; apply a softmax"),
    ],
)
def test_a_file_that_is_no_score_file_says_why(put, record, message):
    path = put("bad.json", record)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json cannot be read as a score file"):
        read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**B, "class_names": ["wave", "run", "jump"]}, "1.json has the same classes in a different order than 0.json"),
        ({**B, "class_names": ["run", "wave", "hop"]}, r"different classes \(2 are in one .* as \['hop'\]\)"),
        (
            {**B, "labels": {**A["labels"], "5.avi": 1}, "broken": ["3.avi", "5.avi"]},
            r"have different clips: 0 are in 0.json only \[\], 1 in 1.json only \['5.avi'\]",
        ),
        ({**B, "labels": {**B["labels"], "2.avi": 0}}, "2.avi is 'wave' in 0.json but 'run' in 1.json"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(put, other, message):
    with pytest.raises(ValueError, match=message):
        fuse(load(put, A, other))


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [-1, 2], [0, 0], [1, math.inf]])
def test_weights_that_do_not_fit_are_refused(put, weights):
    with pytest.raises(ValueError, match=r"expected (one weight per score file, got \d for 2|weights of at least 0)"):
        fuse(load(put, A, B), weights=weights)


def test_one_file_is_nothing_to_fuse(put):
    with pytest.raises(ValueError, match="at least two different score files to fuse, got 1"):
        fuse(load(put, A))
    assert scores.SUM_TOLERANCE >= 0.5e-6 * 1000  # rounding to six digits over a thousand classes passes


# The weight, chosen on validation clips ------------------------------------------------------------------------------

CLASSES = ("run", "wave", "jump")


def stream(seed: int, part: str, num_clips: int = 60, *, skill: float = 1.0, name: str = "") -> Scores:
    """Scores of a stream that is right more often the higher `skill` is; labels depend on the part alone."""
    labels = np.random.default_rng(len(part)).integers(0, 3, num_clips)
    logits = np.random.default_rng([seed, *part.encode()]).normal(size=(num_clips, 3))
    logits[np.arange(num_clips), labels] += skill
    rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    keys = [f"{part}/{i}.avi" for i in range(num_clips)]
    return Scores(
        CLASSES, {k: tuple(map(float, row)) for k, row in zip(keys, rows)}, dict(zip(keys, map(int, labels))), (), name
    )


def test_the_weight_is_the_best_of_the_grid_by_plain_loops():
    one, two = stream(1, "val", skill=1.2), stream(2, "val", skill=0.8)
    choice = choose({"a": one, "b": two})
    assert choice.candidates == CANDIDATES == tuple(i / 20 for i in range(21))
    best, top1 = None, []
    for weight in CANDIDATES:
        right, likelihood = 0, 0.0
        for key, label in one.labels.items():
            row = [weight * p + (1 - weight) * q for p, q in zip(one.scores[key], two.scores[key])]
            right += max(range(3), key=row.__getitem__) == label
            likelihood += math.log(row[label])
        top1.append(100 * right / len(one.labels))
        best = max(best or (-1.0,), (top1[-1], likelihood, -weight))
    assert choice.top1 == pytest.approx(top1)
    assert choice.weight == -best[2]
    assert 0 < choice.weight < 1  # both streams help each other here
    assert max(top1) > max(top1[0], top1[-1])
    assert choice.num_clips == 60


def test_ties_go_to_the_likelihood_and_then_to_the_smallest_weight():
    sure = Scores(CLASSES, {"1": (0.9, 0.05, 0.05)}, {"1": 0}, ())
    less_sure = Scores(CLASSES, {"1": (0.6, 0.2, 0.2)}, {"1": 0}, ())
    assert choose({"a": sure, "b": less_sure}).weight == 1  # all weights are right: the surer stream
    assert choose({"a": less_sure, "b": sure}).weight == 0
    assert choose({"a": sure, "b": sure}).weight == 0


def test_clips_that_one_stream_cannot_read_do_not_choose():
    one, two = stream(1, "val"), stream(2, "val")
    keys = list(one.labels)
    broken = Scores(CLASSES, {k: row for k, row in two.scores.items() if k != keys[0]}, two.labels, (keys[0],))
    rest = [
        Scores(CLASSES, {k: s.scores[k] for k in keys[1:]}, {k: s.labels[k] for k in keys[1:]}, ()) for s in (one, two)
    ]
    assert choose({"a": one, "b": broken}) == choose({"a": rest[0], "b": rest[1]})


@pytest.fixture
def files(tmp_path):
    """Four score files: both streams on the test and on the held-out clips."""

    def write(part: str, name: str) -> list[Path]:
        paths = [tmp_path / f"{which}-{part}.json" for which in ("rgb", "flow")]
        for seed, path in enumerate(paths):
            records.write(path, stream(seed, part, skill=1.0 + seed / 5, name=name))
        return paths

    return write("test", "hmdb51/split1/test"), write("held", "hmdb51/split1/train/held-out-0.1-seed0")


def test_the_record_names_weight_lists_and_hashes(files, tmp_path, capsys):
    test, held = files
    command = ["fuse", *map(str, test), "--choose-on", *map(str, held)]
    assert main([*command, "--out", str(tmp_path / "fused.json"), "--json", str(tmp_path / "record.json")]) == 0
    weight = choose({str(path): read(path) for path in held}).weight
    assert (
        f"weights {weight:.2f} of {test[0]}, {1 - weight:.2f} of {test[1]}, chosen on 60 clips"
        in capsys.readouterr().out
    )
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["weights"] == pytest.approx([weight, 1 - weight])
    expected = fuse({str(path): read(path) for path in test}, weights=[weight, 1 - weight])
    assert record["top1"] == pytest.approx(measure_scores(expected).top1)
    assert record["num_clips"] == 60
    assert record["top5"] is None
    chosen = record["chosen_on"]
    assert (chosen["weight"], chosen["num_clips"], len(chosen["top1"])) == (weight, 60, 21)
    for entry, paths, part, name in (
        (record, test, "test", "hmdb51/split1/test"),
        (chosen, held, "held", "hmdb51/split1/train/held-out-0.1-seed0"),
    ):
        scores_of = stream(0, part)
        clips = ClipList("any", tuple(Clip(k, Path("x"), label) for k, label in scores_of.labels.items()), CLASSES)
        assert entry["list"] == name
        assert entry["list_sha256"] == clips.sha256
        assert entry["classes_sha256"] == clips.classes_sha256
        assert entry["files"] == {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
    fused = json.loads((tmp_path / "fused.json").read_text())
    assert fused["fusion"]["weights"] == record["weights"]
    assert fused["fusion"]["chosen_on"] == chosen
    assert read(tmp_path / "fused.json").scores.keys() == expected.scores.keys()


def test_given_or_equal_weights_are_recorded_as_shares(files):
    test, _ = files
    assert fuse_files(test)[1]["weights"] == [0.5, 0.5]
    facts = fuse_files(test, weights=[3, 1])[1]
    assert facts["weights"] == [0.75, 0.25]
    assert facts["chosen_on"] is None


def test_the_weight_is_not_chosen_on_test_clips(files, tmp_path):
    test, held = files
    with pytest.raises(ValueError, match="has the test list hmdb51/split1/test: choose the weight on validation clips"):
        fuse_files(test, choose_on=test)
    unnamed = []  # a file that does not name its list is recognised by its clips
    for path in test:
        record = {k: v for k, v in json.loads(path.read_text()).items() if k != "list"}
        unnamed.append(tmp_path / f"unnamed-{path.name}")
        unnamed[-1].write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"60 clips of .*unnamed-rgb-test.json are also in .*rgb-test.json \(the first: test/0"
    ):
        fuse_files(test, choose_on=unnamed)
    with pytest.raises(ValueError, match="expected weights, or validation scores to choose them on, not both"):
        fuse_files(test, weights=[1, 1], choose_on=held)
    with pytest.raises(ValueError, match="expected one validation file per score file, got 1 for 2"):
        fuse_files(test, choose_on=held[:1])
    third = tmp_path / "third.json"
    records.write(third, stream(7, "test"))
    with pytest.raises(ValueError, match="expected two score files to choose the weight between, got 3"):
        fuse_files([*test, third], choose_on=[*held, third])


def test_validation_files_must_fit_each_other_and_the_test_files(files, tmp_path):
    test, held = files
    other = tmp_path / "other.json"
    records.write(other, stream(1, "elsewhere"))
    with pytest.raises(ValueError, match=r"other\.json and .*rgb-held\.json have different clips"):
        fuse_files(test, choose_on=[held[0], other])
    classes = []
    for path in held:
        record = json.loads(path.read_text())
        classes.append(tmp_path / f"classes-{path.name}")
        classes[-1].write_text(json.dumps({**record, "class_names": ["run", "wave", "hop"]}))
    with pytest.raises(ValueError, match=r"classes-rgb-held.json has other classes than .*rgb-test.json"):
        fuse_files(test, choose_on=classes)
    broken = Scores(CLASSES, {}, {"1": 0}, ("1",))
    with pytest.raises(ValueError, match="expected validation clips that both could read, got none in a and b"):
        choose({"a": broken, "b": broken})
