"""What a timeline is worth: against plain loops, and figures worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionprompt.apps.timeline import truth
from actionprompt.apps.timeline.answer import Segment
from actionprompt.apps.timeline.truth import Truth, iou, measure


def test_figures_worked_out_by_hand():
    """Ten seconds: a annotated 1 to 4, b 6 to 9. Predicted: a 1 to 3 (IoU 2/3), none 3 to 6, a 6 to 7, b 7 to 10
    (IoU 2/4)."""
    truths = [Truth(1, 4, "a"), Truth(6, 9, "b")]
    said = [
        Segment(0, 1, None, 0.9), Segment(1, 3, "a", 0.8), Segment(3, 6, None, 0.5), Segment(6, 7, "a", 0.9),
        Segment(7, 10, "b", 0.7),
    ]  # fmt: skip
    found = measure([(10.0, said, truths)])
    assert found.frame_accuracy == pytest.approx(70)  # wrong: 3 to 4, 6 to 7, 9 to 10
    assert found.frame_accuracy_annotated == pytest.approx(100 * 4 / 6)
    # of a, the surer detection at 6 is wrong: precision 1/2 at recall 1; b is right up to IoU 0.5
    assert found.map_at == {"0.3": pytest.approx(75), "0.5": pytest.approx(75), "0.7": pytest.approx(0)}
    assert found.boundary_error_s == pytest.approx(1.0)  # 0, 1, 1, 1
    assert (found.matched, found.num_segments, found.num_predicted) == (100, 2, 3)


def test_a_perfect_timeline_and_an_empty_one():
    truths = [Truth(1, 4, "a"), Truth(6, 9, "b")]
    perfect = [Segment(0, 1, None, 1), Segment(1, 4, "a", 1), Segment(4, 6, None, 1), Segment(6, 9, "b", 1)]
    found = measure([(9.0, perfect, truths), (5.0, [Segment(0, 5, None, 1.0)], [])])
    assert (found.frame_accuracy, found.frame_accuracy_annotated, found.boundary_error_s) == (100, 100, 0)
    assert found.map_at == {"0.3": 100, "0.5": 100, "0.7": 100}
    nothing = measure([(9.0, [], truths)])
    assert nothing.map_at == {"0.3": 0, "0.5": 0, "0.7": 0}
    assert (nothing.boundary_error_s, nothing.matched, nothing.frame_accuracy_annotated) == (None, 0, 0)
    empty = measure([(3.0, [], [])])
    assert (empty.frame_accuracy, empty.frame_accuracy_annotated, empty.map_at["0.5"]) == (100, None, None)


def test_a_second_detection_of_one_segment_is_wrong():
    said = [Segment(0, 5, "a", 0.9), Segment(5, 10, "a", 0.8)]
    assert measure([(10.0, said, [Truth(0, 10, "a")])]).map_at["0.5"] == pytest.approx(100)
    assert measure([(10.0, said[::-1], [Truth(0, 10, "a"), Truth(20, 21, "a")])]).map_at["0.5"] == pytest.approx(50)


segments = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from("abc")), max_size=6)


@settings(max_examples=80)
@given(st.lists(st.tuples(segments, segments), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_against_plain_loops(videos, seed):
    rng = np.random.default_rng(seed)
    made = [
        (
            100.0,
            [Segment(a, a + n, k, float(rng.random())) for a, n, k in said],
            [Truth(a, a + n, k) for a, n, k in true],
        )
        for said, true in videos
    ]
    for threshold in truth.IOUS:
        classes = {t.label for _, _, truths in made for t in truths}
        values = []
        for name in classes:
            detections = sorted(
                ((s.score, v, s) for v, (_, said, _) in enumerate(made) for s in said if s.label == name), reverse=True,
                key=lambda row: row[0],
            )  # fmt: skip
            taken, hits = set(), []
            for _, v, segment in detections:
                best, which = -1.0, None
                for number, annotated in enumerate(made[v][2]):
                    overlap = iou(segment, annotated)
                    if annotated.label == name and (v, number) not in taken and overlap >= threshold and overlap > best:
                        best, which = overlap, (v, number)
                hits.append(which is not None)
                taken |= {which} if which else set()
            total = sum(t.label == name for _, _, truths in made for t in truths)
            value = 0.0
            for place, hit in enumerate(hits):
                if hit:
                    value += max(sum(hits[: end + 1]) / (end + 1) for end in range(place, len(hits))) / total
            values.append(value)
        found = measure(made).map_at[f"{threshold:g}"]
        assert found is None if not classes else found == pytest.approx(100 * np.mean(values))


def test_annotations_are_read_as_written_and_wrong_ones_refused(tmp_path):
    path = tmp_path / "t.csv"
    given_ = (Truth(0.5, 2, "a, b"), Truth(3, 4.25, "c"))
    truth.write(path, given_)
    assert truth.read(path, ["c", "a, b"]) == given_
    path.write_text("start_s,end_s,label\n")
    assert truth.read(path, ["a"]) == ()
    for text, reason in (
        ("", "columns start_s, end_s, label"),
        ("start,end,label\n1,2,a\n", "start_s, end_s missing"),
        ("start_s,end_s,label\n1,x,a\n", "line 2: expected seconds"),
        ("start_s,end_s,label\n1\n", "line 2: expected seconds"),
        ("start_s,end_s,label\n2,1,a\n", "line 2: expected 0 <= start_s < end_s"),
        ("start_s,end_s,label\n-1,1,a\n", "line 2: expected 0 <= start_s"),
        ("start_s,end_s,label\n0,nan,a\n", "line 2: expected 0 <= start_s"),
        ("start_s,end_s,label\n0,1,b\n", "expected labels among those of the timeline, got b"),
        ("start_s,end_s,label\n0,2,a\n1,3,a\n", "overlap"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason) as caught:
            truth.read(path, ["a"])
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no list file"):
        truth.read(tmp_path / "absent.csv", ["a"])
    with pytest.raises(ValueError, match="at least one video"):
        measure([])
    assert not math.isnan(iou(Truth(0, 1, "a"), Truth(0, 1, "a")))
