"""Late fusion over score files: the arithmetic, and every way two files may not belong together."""

import json
import math

import pytest

from actionprompt import records
from actionprompt.apps import scores
from actionprompt.apps.scores import fuse, measure_scores, read
from actionprompt.clips import Broken
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
