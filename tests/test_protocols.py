"""Which clips are trained and tested on, with which names; and what is refused because it would leak."""

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from actionprompt.clips import Clip, ClipList, read_lines
from actionprompt.datasets import hmdb51, read_labels, read_names, ucf101
from actionprompt.study import protocols
from actionprompt.study.protocols import Part, Plan, normalised

NAMES = ("Walk", "run fast", "jump-up", "wave", "sit")


def load(*, split: int, part: str, sizes=(9, 5, 7, 7, 8)) -> ClipList:
    """Five classes whose train lists have these sizes, two test clips each; split 1 tests what split 2 trains on."""
    clips = []
    for label, size in enumerate(sizes):
        numbers = range(size + 2)
        tested = numbers[:2] if split == 1 else numbers[-2:]
        chosen = tested if part == "test" else [number for number in numbers if number not in tested]
        clips += [
            Clip(f"{NAMES[label]}/v{label}_{number}.avi", Path(f"/d/{label}/{number}"), label) for number in chosen
        ]
    return ClipList(f"toy/split{split}/{part}", tuple(clips), NAMES, tuple("走跑跳挥坐"), NAMES)


def keys(clips: ClipList | None) -> list[str]:
    assert clips is not None
    return [clip.key for clip in clips.clips]


@pytest.fixture
def published(real_data) -> Path:
    return real_data / "annotations/vificlip/datasets_splits"


@pytest.fixture(scope="module")
def hmdb(real_data):
    return cache(partial(hmdb51.load, real_data / "annotations/hmdb51_official_splits", max_missing=None))


@pytest.fixture(scope="module")
def ucf(real_data):
    return cache(partial(ucf101.load, real_data / "annotations/ucf101_official", max_missing=None))


# -------------------------------------------------------------------------------------------------------- closed-set


def test_closed_set_of_three_splits(hmdb):
    plan = protocols.closed_set(hmdb, splits=(1, 2, 3), views=(4, 3))
    sizes = {part.name: (len(part.train.clips), len(part.tests["test"].clips)) for part in plan.parts}
    assert sizes == {"split1": (3570, 1530), "split2": (3570, 1530), "split3": (3570, 1530)}
    record = plan.record()
    assert record["views"] == "4x3"
    assert len({part["train"]["sha256"] for part in record["parts"].values()}) == 3
    assert len({part["train"]["classes_sha256"] for part in record["parts"].values()}) == 1
    json.dumps(record)
    figures = protocols.summarise(plan, {"split1": {"test": 60.0}, "split2": {"test": 63.0}, "split3": {"test": 66.0}})
    assert figures == {"accuracy": 63.0, "std": pytest.approx(np.std([60, 63, 66]))}
    one = protocols.closed_set(load)
    assert protocols.summarise(one, {"split1": {"test": 0.5}}) == {"accuracy": 0.5}


def test_parts_beside_test_are_tested_on_the_same_model_and_averaged_apart():
    def with_bias(*, split, part):
        clips = load(split=split, part="test" if part == "scene_bias" else part)
        return replace(clips, name=f"toy/split{split}/{part}")

    plan = protocols.closed_set(with_bias, splits=(1, 2), also=("scene_bias",))
    assert [test.name for test in plan.parts[1].tests.values()] == ["toy/split2/test", "toy/split2/scene_bias"]
    figures = protocols.summarise(
        plan, {"split1": {"test": 60.0, "scene_bias": 30.0}, "split2": {"test": 64.0, "scene_bias": 32.0}}
    )
    assert figures == {"accuracy": 62.0, "scene_bias": 31.0, "std": 2.0}
    assert list(protocols.few_shot(with_bias, shots=1, also=("scene_bias",)).parts[0].tests) == ["test", "scene_bias"]
    plan = protocols.zero_shot(with_bias, splits=(1, 2), also=("scene_bias",))
    assert list(plan.parts[0].tests) == ["split1", "split2", "scene_bias split1", "scene_bias split2"]
    scores = {"split1": 50.0, "split2": 52.0, "scene_bias split1": 40.0, "scene_bias split2": 44.0}
    figures = protocols.summarise(plan, {"zero-shot": scores})
    assert figures == {"accuracy": 51.0, "scene_bias": 42.0, "std": 1.0}


def test_a_clip_in_both_train_and_test_is_refused():
    train, test = load(split=1, part="train"), load(split=1, part="test")
    leaking = replace(test, clips=(*test.clips, train.clips[3]))
    with pytest.raises(
        ValueError, match=r"part split1: 1 clips are in both train and test: Walk/v0_5\.avi; test clips"
    ):
        protocols.closed_set(lambda *, split, part: train if part == "train" else leaking)
    renamed = replace(leaking, clips=(*test.clips, replace(train.clips[3], key="another name")))
    with pytest.raises(ValueError, match="1 clips are in both train and test: another name"):
        Part("x", train, {"test": renamed})


def test_splits_must_be_distinct():
    with pytest.raises(ValueError, match=r"expected at least one number, without repeats, got \(1, 1\)"):
        protocols.closed_set(load, splits=(1, 1))
    with pytest.raises(ValueError, match=r"expected at least one number, without repeats, got \(\)"):
        protocols.closed_set(load, splits=())


# ---------------------------------------------------------------------------------------------------------- few-shot


def test_few_shot_draw_is_golden_and_independent_of_the_lists_order():
    plan = protocols.few_shot(load, shots=2, seed=0)
    train = plan.parts[0].train
    assert np.bincount([clip.label for clip in train.clips]).tolist() == [2] * 5
    assert keys(train)[:4] == ["Walk/v0_6.avi", "Walk/v0_2.avi", "run fast/v1_5.avi", "run fast/v1_6.avi"]
    assert train.sha256 == "e8db6ad8fce8a77931a4fa3a12db4eca7fdd83220b48dba1d67a16bd013f63d2"
    assert plan.drawn == "seed 0"

    def shuffled(*, split, part):
        clips = load(split=split, part=part)
        return replace(clips, clips=tuple(np.random.default_rng(3).permutation(np.array(clips.clips, object))))

    assert protocols.few_shot(shuffled, shots=2, seed=0).parts[0].train.sha256 == train.sha256
    assert protocols.few_shot(load, shots=2, seed=1).parts[0].train.sha256 != train.sha256
    four = protocols.few_shot(load, shots=4, seed=0).parts[0].train
    assert set(keys(train)) < set(keys(four))  # larger draws of a seed contain the smaller ones
    assert len(plan.parts[0].tests["test"].clips) == 10


def test_few_shot_draw_is_golden_on_real_lists(hmdb, ucf):
    assert (
        protocols.few_shot(hmdb, shots=2).parts[0].train.sha256
        == "9a5d077dd50b8f5b737a2a6b8e99666d16778920306ecf6d0c6ef2e219dcc13d"
    )
    assert (
        protocols.few_shot(ucf, shots=16).parts[0].train.sha256
        == "facb490275c9984ad0d5b3ed4cab4010d0274bc5eb2d0b8376fd92259a1be8bc"
    )


def test_few_shot_draws_are_even():
    """Over many seeds every clip of a class is drawn about equally often."""
    train = load(split=1, part="train")
    drawn = [clip.key for seed in range(1000) for clip in protocols.draw(train, shots=2, seed=seed).clips]
    counts = np.array([drawn.count(clip.key) for clip in train.clips if clip.label == 0])
    assert counts.sum() == 2000
    assert abs(counts - 2000 / 9).max() < 5 * np.sqrt(2000 / 9)


def test_few_shot_averaged_over_test_splits_is_refused(hmdb, published):
    message = r"few-shot over the test lists of splits 1, 2, 3 is refused: clips drawn .* the mean would leak"
    with pytest.raises(ValueError, match=message):
        protocols.few_shot(load, shots=2, splits=(1, 2, 3))
    # The reason, measured: what such a list names lies in the other splits' tests.
    train = protocols.few_shot(hmdb, shots=2, published=published / "hmdb_splits/train1_few_shot_2.txt").parts[0].train
    for split, share in ((2, 0.353), (3, 0.343)):
        assert np.isin(keys(train), keys(hmdb(split=split, part="test"))).mean() == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("shots", [2, 4, 8, 16])
@pytest.mark.parametrize("name", ["hmdb", "ucf"])
def test_few_shot_with_a_published_list_reproduces_it_line_by_line(request, published, name, shots):
    file = published / f"{name}_splits/train1_few_shot_{shots}.txt"
    plan = protocols.few_shot(request.getfixturevalue(name), shots=shots, published=file)
    train = plan.parts[0].train
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    assert [Path(key).name for key in keys(train)] == [line[0] for line in lines]
    assert [int(line[1]) for line in lines] == [clip.label for clip in train.clips]
    assert plan.drawn == file.name
    val = [line.split(" ")[0] for line in (published / f"{name}_splits/val1.txt").read_text().splitlines()]
    assert sorted(Path(key).name for key in keys(plan.parts[0].tests["test"])) == sorted(val)


def test_a_published_names_file_can_contradict_its_own_lists(hmdb, published):
    """Known: ViFi-CLIP's HMDB-51 lists count as the official order does, its names file has two pairs the other way."""
    file = published / "hmdb_splits/train1_few_shot_2.txt"
    train = protocols.few_shot(hmdb, shots=2, published=file).parts[0].train
    theirs = read_names(published.parent / "labels/hmdb_51_labels.csv")
    wrong = {clip.label: (theirs[clip.label], train.source_names[clip.label]) for clip in train.clips}
    wrong = {label: pair for label, pair in wrong.items() if normalised(pair[0]) != normalised(pair[1])}
    assert wrong == {
        20: ("kick ball", "kick"),
        21: ("kick", "kick_ball"),
        44: ("sword exercise", "sword"),
        45: ("sword", "sword_exercise"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v0_5.avi\n", r"list:1: expected <clip> <id>, got 'v0_5\.avi'"),
        ("v0_5.avi 0\nv9_9.avi 0\n", r"list:2: expected one clip of toy/split1/train named v9_9\.avi, got 0"),
        ("v0_0.avi 0\n", r"list:1: expected one clip of toy/split1/train named v0_0\.avi, got 0"),  # a test clip
        ("v0_5.avi 0\nv0_5.mp4 0\n", r"list:2: v0_5\.mp4 is listed twice"),
        ("v0_5.avi 0\nv1_5.avi 0\n", r"list:2: id 0 stands for both Walk and run fast"),
        ("v0_5.avi 0\nv0_6.avi 0\n", r"expected 1 clips of every class, got 2 of Walk"),
    ],
)
def test_published_lists_that_do_not_fit_name_the_line(tmp_path, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(ValueError, match=message):
        protocols.few_shot(load, shots=1, published=tmp_path / "list")


def test_published_list_as_other_systems_write_it(tmp_path):
    lines = "\ufeff" + "\r\n".join(f"some folder/v{label}_5.mp4 {4 - label}" for label in (3, 1, 0, 2, 4)) + "\r\n"
    (tmp_path / "list").write_bytes(lines.encode())
    train = protocols.few_shot(load, shots=1, published=tmp_path / "list").parts[0].train
    assert [clip.label for clip in train.clips] == [3, 1, 0, 2, 4]


def test_too_few_clips_for_the_shots():
    with pytest.raises(ValueError, match=r"toy/split1/train: class run fast has 5 clips, fewer than 8 shots"):
        protocols.few_shot(load, shots=8)
    with pytest.raises(ValueError, match=r"expected shots >= 1, got 0"):
        protocols.few_shot(load, shots=0)


# --------------------------------------------------------------------------------------------------------- zero-shot


def test_zero_shot_over_three_splits_and_its_disjoint_part(ucf):
    kinetics = read_labels("kinetics400").english
    plan = protocols.zero_shot(ucf, trained_on=kinetics)
    (part,) = plan.parts
    assert part.train is None
    assert {name: len(test.clips) for name, test in part.tests.items()} == {
        "split1": 3783,
        "split2": 3734,
        "split3": 3696,
    }
    assert len(plan.seen_names) == 22
    assert {"archery", "clean and jerk", "shotput", "sky diving"} < set(plan.seen_names)
    figures = protocols.summarise(plan, {"zero-shot": {"split1": 70.0, "split2": 71.0, "split3": 72.0}})
    assert figures["accuracy"] == 71.0

    disjoint = protocols.zero_shot(ucf, trained_on=kinetics, disjoint=True)
    assert disjoint.protocol == "zero-shot-disjoint"
    for name, test in disjoint.parts[0].tests.items():
        assert len(test.class_names) == len(test.class_names_zh) == len(test.source_names) == 79
        whole = part.tests[name]
        kept = {clip.key: whole.class_names[clip.label] for clip in whole.clips}
        assert {clip.key: test.class_names[clip.label] for clip in test.clips} == {
            key: cls for key, cls in kept.items() if cls not in plan.seen_names
        }
        assert not {normalised(cls) for cls in test.class_names} & {normalised(cls) for cls in kinetics}


def test_zero_shot_refusals():
    with pytest.raises(ValueError, match=r"disjoint needs the names of the training classes: give trained_on"):
        protocols.zero_shot(load, splits=(1,), disjoint=True)
    for disjoint in (False, True):
        with pytest.raises(
            ValueError, match=r"all 5 candidate classes are training classes .*this is not a zero-shot test"
        ):
            protocols.zero_shot(load, splits=(1,), trained_on=[name.upper() for name in NAMES], disjoint=disjoint)
    plan = protocols.zero_shot(load, splits=(1,), trained_on=["RunFast", "jump up", "swim"])
    assert plan.seen_names == ("run fast", "jump-up")
    assert protocols.zero_shot(load, splits=(1,)).seen_names == ()


# ----------------------------------------------------------------------------------------------------- base-to-novel


@pytest.mark.parametrize(
    ("name", "base", "novel", "base_test", "novel_test"), [("hmdb", 26, 25, 780, 750), ("ucf", 51, 50, 2088, 1695)]
)
def test_base_to_novel_gives_the_published_halves(request, published, name, base, novel, base_test, novel_test):
    data_set = request.getfixturevalue(name)
    plan = protocols.base_to_novel(data_set)
    assert [part.name for part in plan.parts] == ["seed0", "seed1", "seed2"]
    assert len({part.train.sha256 for part in plan.parts}) == 3
    stem = {"hmdb": "hmdb_51", "ucf": "ucf_101"}[name]
    folder = published / f"base2novel_splits/{name}_splits"
    for part in plan.parts:
        assert np.bincount([clip.label for clip in part.train.clips]).tolist() == [16] * base
        for half, count, size in (("base", base, base_test), ("novel", novel, novel_test)):
            test = part.tests[half]
            assert (len(test.class_names), len(test.clips)) == (count, size)
            theirs = read_names(published.parent / f"labels/{stem}_{half}_labels.csv")
            assert sorted(map(normalised, test.source_names)) == sorted(map(normalised, theirs))
            assert sorted(Path(key).name for key in keys(test)) == sorted(
                line.split(" ")[0] for line in read_lines(folder / f"{half}_val.txt")
            )
        assert part.train.class_names == part.tests["base"].class_names

    files = [folder / f"fs_base_s{draw}_train.txt" for draw in (1, 2, 3)]
    plan = protocols.base_to_novel(data_set, published=files)
    for part, file in zip(plan.parts, files):
        assert [Path(key).name for key in keys(part.train)] == [line.split(" ")[0] for line in read_lines(file)]


def test_base_to_novel_takes_the_frequent_half_and_its_figure():
    plan = protocols.base_to_novel(load, shots=3)
    tests = plan.parts[0].tests
    assert tests["base"].class_names == ("Walk", "wave", "sit")  # 9, 7, 8 clips; of the two with 7 the later one
    assert tests["novel"].class_names == ("run fast", "jump-up")
    assert tests["novel"].class_names_zh == ("跑", "跳")
    assert {clip.key.split("/")[0]: clip.label for clip in tests["novel"].clips} == {"run fast": 0, "jump-up": 1}
    scores = {
        f"seed{i}": {"base": base, "novel": novel} for i, (base, novel) in enumerate([(80, 50), (90, 60), (70, 40)])
    }
    figures = protocols.summarise(plan, scores)
    assert figures == {"base": 80.0, "novel": 50.0, "harmonic_mean": pytest.approx(2 * 80 * 50 / 130)}
    assert protocols.harmonic_mean(0.0, 0.0) == 0.0


def test_base_to_novel_refuses_overlap_and_foreign_lists(tmp_path):
    def same_twice(*, split, part):
        return replace(load(split=split, part=part), class_names=("Walk", "w-a-l-k", "jump", "wave", "sit"))

    with pytest.raises(ValueError, match=r"base and novel classes overlap in walk; novel must be unseen"):
        protocols.base_to_novel(same_twice, shots=2)
    (tmp_path / "list").write_text("v1_5.avi 0\n")  # a novel class
    with pytest.raises(ValueError, match=r"list:1: expected one clip of toy/split1/train/base named v1_5\.avi, got 0"):
        protocols.base_to_novel(load, shots=1, published=[tmp_path / "list"])


def test_summarise_wants_every_part_once():
    plan = protocols.base_to_novel(load, shots=1, seeds=(7,))
    with pytest.raises(
        ValueError, match=r"expected an accuracy for each of \{'seed7': \['base', 'novel'\]\}, got \{'seed7'"
    ):
        protocols.summarise(plan, {"seed7": {"base": 1.0}})
    with pytest.raises(ValueError, match=r"expected accuracies >= 0"):
        protocols.summarise(plan, {"seed7": {"base": 1.0, "novel": float("nan")}})


def test_a_record_tells_lists_apart():
    first = protocols.few_shot(load, shots=1, seed=0)
    other = protocols.few_shot(load, shots=1, seed=1)
    assert isinstance(first, Plan)
    assert first.record() == protocols.few_shot(load, shots=1, seed=0).record()
    assert first.record()["parts"]["split1"]["train"]["sha256"] != other.record()["parts"]["split1"]["train"]["sha256"]
    assert first.record()["parts"]["split1"]["tests"] == other.record()["parts"]["split1"]["tests"]
