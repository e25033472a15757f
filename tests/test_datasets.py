"""Official lists as published, the user's own folders and tables, and what is said when something is not there.

The folders here are made small or of empty files: these tests read lists and names. Decoding is `verify`'s, at the end.
"""

import hashlib
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from actionprompt import commands, datasets
from actionprompt.apps import check
from actionprompt.clips import Clip, ClipList
from actionprompt.commands import _shared
from actionprompt.datasets import (
    _kinetics600,
    csv,
    folder,
    hmdb51,
    jester,
    kinetics400,
    kinetics600_er,
    kinetics600_val,
    lists_sha256,
    mini_kinetics200,
    read_labels,
    read_names,
    something_v1,
    something_v2,
    ucf101,
    ut_interaction,
)
from actionprompt.study import protocols
from actionprompt.study.protocols import normalised
from actionprompt.video import write_video

K600 = (kinetics600_er, kinetics600_val)
OFFICIAL = (hmdb51, ucf101, kinetics400, *K600, mini_kinetics200, something_v1, something_v2, jester, ut_interaction)


DIGESTS = ["af31b25d446031c5", "c7dd90897fb1bcde", "08c0aa3eccfab8df"]
"""Of the class names of the three groups of Kinetics-600, as published by ER-ZSAR and ViFi-CLIP."""


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture(scope="module")
def hmdb(tmp_path_factory) -> Path:
    """HMDB-51 in its full size, with invented clip names and the same hundred empty files for every class."""
    root = tmp_path_factory.mktemp("hmdb")
    names = [f"clip #{i}_u_nm.avi" for i in range(102)]
    for name in names[:100]:
        touch(root / ".files" / name)
    use = ["1"] * 70 + ["2"] * 30 + ["0"] * 2
    lines = "".join(f"{name} {number} \n" for name, number in zip(names, use))
    for source in read_labels("hmdb51").source:
        (root / source).symlink_to(root / ".files")
        for split in (1, 2, 3):
            (root / f"{source}_test_split{split}.txt").write_text(lines)
    return root


# ----------------------------------------------------------------------------------------------- registry and facts


def test_the_folder_is_the_registry():
    expected = {module.__name__.rsplit(".", 1)[1] for module in (*OFFICIAL, folder, csv)}
    assert expected <= set(datasets.names())
    assert datasets.get("hmdb51") is hmdb51
    with pytest.raises(ValueError, match=r"no data set 'hdmb51'; did you mean 'hmdb51'"):
        datasets.get("hdmb51")
    with pytest.raises(ValueError, match=r"no data set '_base'"):
        datasets.get("_base")


def test_loading_lists_needs_no_torch():
    code = "import sys; from actionprompt import datasets; from actionprompt.study import protocols;"
    code += "[datasets.get(n) for n in sys.argv[1:]];"
    code += "assert 'torch' not in sys.modules"
    known = [module.__name__.rsplit(".", 1)[1] for module in (*OFFICIAL, folder, csv)]
    subprocess.run([sys.executable, "-c", code, *known], check=True)


@pytest.mark.parametrize("module", OFFICIAL)
def test_every_official_data_set_states_its_facts(module):
    info = module.INFO
    assert info.title in module.__doc__
    assert info.licence
    assert re.search(r"(19|20)\d\d", info.citation)
    assert "ROOT/" in info.get
    assert info.layouts
    assert all(template.count("{}") == 1 for template in (*info.templates, *info.templates_zh))
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in info.sha256.values())
    assert set(info.sha256) <= set(info.lists)


def test_mirrored_motion_is_a_class_of_its_own_in_three_data_sets_and_nowhere_else():
    assert [module for module in OFFICIAL if not module.INFO.flip] == [something_v1, something_v2, jester]
    for module in OFFICIAL:
        names = read_labels("kinetics600" if module in K600 else module.__name__.rsplit(".", 1)[1]).english
        sided = [name for name in names if re.search(r"\b(left|right|clockwise)\b", name)]
        assert bool(sided) is (not module.INFO.flip), sided
    assert ut_interaction.INFO.letterbox


# ---------------------------------------------------------------------------------------------------- official lists


def test_hmdb_official_lists(real_data):
    root = real_data / "annotations/hmdb51_official_splits"
    keys = {}
    for split in (1, 2, 3):
        for part, count in (("train", 3570), ("test", 1530)):
            clips = hmdb51.load(root, split=split, part=part, max_missing=None)
            assert len(clips.clips) == count
            per_class = np.bincount([clip.label for clip in clips.clips])
            assert per_class.tolist() == [count // 51] * 51
            keys[split, part] = {clip.key for clip in clips.clips}
            for clip in clips.clips:  # the class is part of every name, except that spelling varies in none
                assert clip.key.startswith(f"{clips.source_names[clip.label]}/")
        assert not keys[split, "train"] & keys[split, "test"]
    first = hmdb51.load(root, max_missing=None).clips[0]
    assert first.key == "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi"
    for pattern, digest in hmdb51.INFO.sha256.items():
        assert lists_sha256(list(root.glob(pattern))) == digest


def test_ucf_official_lists(real_data):
    root = real_data / "annotations/ucf101_official"
    assert b"\r\n" in (root / "trainlist01.txt").read_bytes()
    lists = {
        (split, part): ucf101.load(root, split=split, part=part, max_missing=None)
        for split in (1, 2, 3)
        for part in ("train", "test")
    }
    assert [len(clips.clips) for clips in lists.values()] == [9537, 3783, 9586, 3734, 9624, 3696]
    train, test = lists[1, "train"], lists[1, "test"]
    assert len({clip.key for clip in train.clips + test.clips}) == 13_320
    odd = [clip for clip in test.clips if "HandStand" in clip.key and "Pushups" in clip.key]
    assert len(odd) == 28
    assert {clip.key.split("/")[0] for clip in odd} == {"HandstandPushups"}
    assert {train.source_names[clip.label] for clip in odd} == {"HandstandPushups"}
    assert train.clips[0].label == 0  # ids start at 1 in the file
    for pattern, digest in ucf101.INFO.sha256.items():
        assert lists_sha256(list(root.glob(pattern))) == digest


def test_mini_kinetics_official_validation_ids(real_data, tmp_path):
    ids = (real_data / "annotations/mini_kinetics200/val_ytid_list.txt").read_text().split()
    (tmp_path / "val_ytid_list.txt").write_text("\n".join(ids))
    lines = [f"yoga,{name},{i},{i + 10},validate" for i, name in enumerate(ids)]
    header = "label,youtube_id,time_start,time_end,split\n"
    (tmp_path / "val.csv").write_text(header + "\n".join(lines))
    (tmp_path / "train.csv").write_text(header)
    clips = mini_kinetics200.load(tmp_path, part="test", max_missing=None)
    assert len(clips.clips) == 5000
    assert clips.clips[7].key == f"val/{ids[7]}_000007_000017"
    assert clips.class_names[clips.clips[0].label] == "yoga"
    assert clips.clips[0].label == 198  # 399 in Kinetics-400
    (tmp_path / "val.csv").write_text(header + "\n".join(lines[:-2]))
    with pytest.raises(ValueError, match=rf"2 of 5000 ids are in no Kinetics-400 list.*{ids[-2]}, {ids[-1]}"):
        mini_kinetics200.load(tmp_path, part="test", max_missing=None)


def test_kinetics_lists_and_layouts(tmp_path):
    header = "label,youtube_id,time_start,time_end,split\r\n"
    rows = ["air drumming,-abc_EFGHI0,3,13,train", "punching person (boxing),abcdefghij1,0.0,10.0,train"]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/train.csv").write_text("\ufeff" + header + "\r\n".join(rows))
    touch(tmp_path / "train/air_drumming/-abc_EFGHI0_000003_000013.mp4")
    touch(tmp_path / "train/punching_person_(boxing)/abcdefghij1_000000_000010.webm")
    clips = kinetics400.load(tmp_path)
    assert clips.layout == "{part}/{class_}/{name}"
    assert [clips.class_names[clip.label] for clip in clips.clips] == ["air drumming", "punching person (boxing)"]
    assert [clip.key for clip in clips.clips] == ["train/-abc_EFGHI0_000003_000013", "train/abcdefghij1_000000_000010"]

    (tmp_path / "annotations/kinetics400_val_list_videos.txt").write_text("abseiling/0wR5jVB-WPk.mp4 0\nx y.mp4 399\n")
    touch(tmp_path / "videos_val/abseiling/0wR5jVB-WPk.mp4")
    clips = kinetics400.load(tmp_path, part="test", max_missing=1)
    assert [(clip.key, clip.label) for clip in clips.clips] == [("abseiling/0wR5jVB-WPk.mp4", 0)]
    assert clips.missing == ("x y.mp4",)

    (tmp_path / "annotations/train.csv").write_text(header)
    with pytest.raises(ValueError, match="kinetics400/train: expected a list that names clips, got one that names no"):
        kinetics400.load(tmp_path)
    (tmp_path / "annotations/train.csv").write_text(header + "air guitar,-abc_EFGHI0,3,13,train")
    with pytest.raises(ValueError, match=r"train\.csv:2: 'air guitar' is not a Kinetics-400 class"):
        kinetics400.load(tmp_path)
    (tmp_path / "annotations/train.csv").write_text("name,id\n")
    with pytest.raises(ValueError, match=r"expected the columns label, youtube_id, .*got name, id"):
        kinetics400.load(tmp_path)
    (tmp_path / "annotations/kinetics400_val_list_videos.txt").write_text("a.mp4 400\n")
    with pytest.raises(ValueError, match=r"list_videos\.txt:1: expected <path> and an id 0\.\.399, got 'a\.mp4 400'"):
        kinetics400.load(tmp_path, part="test")


# Kinetics-600, zero-shot: two lists over the same three groups of classes


def er_list(group: int) -> list[str]:
    """A list of `kinetics600_er` in the published format: two invented clips per class."""
    folders = ("train", "test", "val")
    return [
        f"{folders[(label + n) % 3]}/{label:09}_{n}_{label:06}_{label + 10:06}.mp4 {label}"
        for label in range(160)
        for n in range(2)
    ]


def val_list(group: int) -> list[str]:
    """The same of `kinetics600_val`."""
    names = _kinetics600.labels(group).source
    return [
        f"val/{name.replace(' ', '_')}/{label:09}_{n}_000000_000010.mp4,{label}"
        for label, name in enumerate(names)
        for n in range(2)
    ]


def write_k600(root: Path, group: int) -> None:
    (root / "annotations" / f"k600_split{group}").mkdir(parents=True, exist_ok=True)
    (root / f"annotations/ZS_split{group}_K600_eval.txt").write_text("\r\n".join(er_list(group)) + "\r\n")
    (root / f"annotations/k600_split{group}/val.csv").write_text("\n".join(val_list(group)))


def test_kinetics600_groups_are_the_published_ones():
    every = read_labels("kinetics600").source
    assert (len(every), list(every)) == (220, sorted(every))
    seen = [normalised(name) for name in read_labels("kinetics400").source]
    assert [name for name in every if normalised(name) in seen] == []  # nothing that Kinetics-400 teaches
    groups = [_kinetics600.labels(group).source for group in (1, 2, 3)]
    assert [len(set(names)) for names in groups] == [160] * 3
    left_out = [{name for name in every if name not in names} for names in groups]
    assert set.intersection(*left_out) == {"making horseshoes", "pillow fight", "spelunking"}
    digests = [hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] for names in groups]
    assert digests == DIGESTS


def test_kinetics600_groups_agree_with_the_label_files_of_vifi_clip(real_data):
    labels = real_data / "annotations/vificlip/labels"
    for group in (1, 2, 3):
        assert _kinetics600.labels(group).source == read_names(labels / f"ZS_split{group}_K600.csv")
    assert set(read_labels("kinetics600").source) < set(read_names(labels / "kinetics_600_labels.csv"))


def test_kinetics600_lists_of_both_kinds(tmp_path):
    for group in (1, 2, 3):
        write_k600(tmp_path, group)
    names = {}
    for module in K600:
        plan = protocols.plan("zero-shot", partial(module.load, tmp_path, max_missing=None), splits=(1, 2, 3))
        tests = plan.parts[0].tests
        assert list(tests) == ["split1", "split2", "split3"]
        for group, test in enumerate(tests.values(), 1):
            assert (len(test.clips), test.class_names) == (320, _kinetics600.labels(group).english)
            assert [clip.label for clip in test.clips] == [label for label in range(160) for _ in range(2)]
        names[module] = [test["list"] for test in plan.record()["parts"]["zero-shot"]["tests"].values()]
    assert names[kinetics600_er] == [f"kinetics600_er/group{group}/test" for group in (1, 2, 3)]
    assert names[kinetics600_val] == [f"kinetics600_val/group{group}/test" for group in (1, 2, 3)]
    er, val = (module.load(tmp_path, split=2, max_missing=None) for module in K600)
    assert er.clips[3].key == "val/000000001_1_000001_000011.mp4"
    assert val.clips[2].key == "val/arguing/000000001_0_000000_000010.mp4"

    for clips, layout in ((er, "{part}/{name}.mp4"), (val, "{part}/{class_}/{name}.mp4")):
        for clip in clips.clips:
            part, *folder, name = Path(clip.key).with_suffix("").parts
            touch(tmp_path / layout.format(part=part, class_="".join(folder), name=name))
    for module in K600:
        assert len(module.load(tmp_path, split=2).clips) == 320
    (tmp_path / "train/000000002_1_000002_000012.mp4").unlink()
    with pytest.raises(ValueError, match=r"kinetics600_er/group2/test: 1 of 320 listed clips are missing"):
        kinetics600_er.load(tmp_path, split=2)
    clips = kinetics600_er.load(tmp_path, split=2, max_missing=1)
    assert clips.missing == ("train/000000002_1_000002_000012.mp4",)


@pytest.mark.parametrize(
    ("module", "lines", "message"),
    [
        (
            kinetics600_er,
            er_list(1)[:-2],
            r"no clips of 1 of the 160 classes \(yarn spinning\); the list is incomplete",
        ),
        (
            kinetics600_er,
            ["train/a.mp4 160"],
            r"eval\.txt:1: expected a line like .* with a label 0\.\.159, got 'train/a",
        ),
        (kinetics600_er, ["a.mp4 1"], r"eval\.txt:1: expected a line like .*, got 'a\.mp4 1'"),
        (kinetics600_er, val_list(1), r"eval\.txt:1: expected a line like .*, got 'val/acting_in_play"),
        (kinetics600_val, er_list(1), r"val\.csv:1: expected a line like .*, got 'train/000000000_0"),
        (
            kinetics600_val,
            val_list(2),
            r"val\.csv:3: label 1 is 'adjusting glasses' in group 1, but the clip is in the folder arguing",
        ),
    ],
)
def test_kinetics600_lists_that_are_wrong(module, lines, message, tmp_path):
    write_k600(tmp_path, 1)
    file = "ZS_split1_K600_eval.txt" if module is kinetics600_er else "k600_split1/val.csv"
    (tmp_path / "annotations" / file).write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        module.load(tmp_path, max_missing=None)


@pytest.mark.parametrize("module", K600)
def test_kinetics600_is_for_testing(module, tmp_path):
    with pytest.raises(ValueError, match=r"expected part test, got 'train'; .* use --protocol zero-shot"):
        module.load(tmp_path, part="train")
    with pytest.raises(ValueError, match=r"expected split 1, 2 or 3, one per group of classes, got 4"):
        module.load(tmp_path, split=4)
    with pytest.raises(
        ValueError, match=r"no official list (ZS_split3_K600_eval\.txt|k600_split3/val\.csv or k600_spl)"
    ):
        module.load(tmp_path, split=3)


def test_something_and_jester_lists(tmp_path, monkeypatch):
    for module in (something_v1, something_v2, jester):
        monkeypatch.setitem(module.INFO.counts, (1, "test"), 2)
    (tmp_path / "something-something-v1-validation.csv").write_text(
        "7;Holding something\r\n3;Pushing something so that it almost falls off but doesn't\r\n"
    )
    for number in (7, 3):
        touch(tmp_path / f"20bn-something-something-v1/{number}/00001.jpg")
    clips = something_v1.load(tmp_path, part="test")
    assert [(clip.key, clip.label) for clip in clips.clips] == [("7", 0), ("3", something_v1_id("almost falls off"))]
    assert clips.clips[0].path.is_dir()

    entries = [
        {"id": "78687", "label": "holding potato next to box", "template": "Holding [something] next to [something]"},
        {"id": "42326", "template": "Stacking [number of] [something]", "label": "stacking 4 coins"},
    ]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/validation.json").write_text(json.dumps(entries))
    touch(tmp_path / "20bn-something-something-v2/78687.webm")
    touch(tmp_path / "20bn-something-something-v2/42326.webm")
    clips = something_v2.load(tmp_path, part="test")
    assert [(clip.key, clip.label) for clip in clips.clips] == [("78687", 19), ("42326", 144)]
    (tmp_path / "labels/validation.json").write_text(json.dumps([{"id": 1, "template": "Eating [something]"}]))
    with pytest.raises(ValueError, match=r"clip 1 has the template 'Eating something', which is not"):
        something_v2.load(tmp_path, part="test")
    (tmp_path / "labels/validation.json").write_text('{"id": 1}')
    with pytest.raises(ValueError, match="expected a JSON list of objects with id and template"):
        something_v2.load(tmp_path, part="test")

    (tmp_path / "jester-v1-validation.csv").write_text("9;Pulling Hand In\n8;Pushing Hand Away\n")
    clips = jester.load(tmp_path, part="test", max_missing=None)
    assert [(clip.key, clip.label) for clip in clips.clips] == [("9", 4), ("8", 5)]
    (tmp_path / "jester-v1-validation.csv").write_text("9;Pulling Hand In\n8;Pulling Hand\n")
    with pytest.raises(ValueError, match=r"validation\.csv:2: expected <clip>;<class>.*got '8;Pulling Hand'"):
        jester.load(tmp_path, part="test", max_missing=None)


def something_v1_id(part: str) -> int:
    return next(i for i, name in enumerate(read_labels("something_v1").source) if part in name)


def test_ut_interaction_leaves_one_sequence_out(real_data):
    root = real_data / "videos/ut_interaction/set1"
    tested = []
    for split in ut_interaction.INFO.splits:
        train, test = (ut_interaction.load(root, split=split, part=part) for part in ("train", "test"))
        assert len(train.clips) + len(test.clips) == 60
        assert not {clip.key for clip in train.clips} & {clip.key for clip in test.clips}
        assert {clip.key.split("_")[1] for clip in test.clips} == {str(split)}
        tested += test.clips
    assert len({clip.key for clip in tested}) == 60
    assert np.bincount([clip.label for clip in tested]).tolist() == [10] * 6
    label = {clip.key: train.class_names[clip.label] for clip in tested}
    assert (label["0_1_4.avi"], label["10_2_1.avi"], label["17_3_0.avi"]) == ("punching", "hugging", "hand shaking")


def test_ut_interaction_says_what_is_incomplete(tmp_path):
    for number in range(60):
        touch(tmp_path / f"{number}_{number // 6 + 11}_{number % 6}.avi")  # set 2 counts its sequences from 11
    touch(tmp_path / "notes.txt")
    clips = ut_interaction.load(tmp_path, split=10, part="test")
    assert {clip.key.split("_")[1] for clip in clips.clips} == {"20"}
    assert clips.ignored == ("notes.txt: not named <number>_<sequence>_<class 0..5>.avi",)
    (tmp_path / "0_11_0.avi").unlink()
    with pytest.raises(ValueError, match=r"expected the 60 clips of ten sequences in .*, got 59 of 10"):
        ut_interaction.load(tmp_path)
    test = ut_interaction.load(tmp_path, part="test", max_missing=1)
    assert len(test.clips) == 5
    assert test.missing == ("0_?_?",)


# -------------------------------------------------------------------------- what is wrong, each with its own clear line


def test_a_complete_data_set_loads_in_any_layout(hmdb, tmp_path):
    train = hmdb51.load(hmdb, split=2)
    assert (train.layout, len(train.clips), train.missing, train.ignored) == ("{class}/{name}", 3570, (), ())
    assert train.clips[0].path == hmdb / "brush_hair/clip #0_u_nm.avi"
    assert train.clips[0].path.is_file()
    assert (train.class_names[0], train.class_names_zh[0]) == ("brush hair", "梳头")
    for source in read_labels("hmdb51").source:  # frame folders next to the lists, and one split only
        for name in (hmdb / f"{source}_test_split1.txt").read_text().splitlines()[70:100]:
            (tmp_path / "rawframes" / source / name.split(".avi")[0]).mkdir(parents=True)
    (tmp_path / "splits").mkdir()
    for file in hmdb.glob("*_split1.txt"):
        (tmp_path / "splits" / file.name).symlink_to(file)
    test = hmdb51.load(tmp_path, part="test")
    assert (test.layout, len(test.clips)) == ("rawframes/{class}/{name}", 1530)
    assert test.sha256 == hmdb51.load(hmdb, part="test").sha256  # the same list, however it is stored


def test_a_wrong_folder(hmdb, tmp_path):
    with pytest.raises(ValueError, match=r"HMDB-51: no folder /no/such/place; check the path"):
        hmdb51.load("/no/such/place")
    with pytest.raises(ValueError, match=r"HMDB-51: expected a folder, got the file"):
        hmdb51.load(touch(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"no official list brush_hair_test_split1\.txt in .*; get hmdb51_org\.rar"):
        hmdb51.load(tmp_path)
    for file in hmdb.glob("*_split1.txt"):
        (tmp_path / file.name).symlink_to(file)
    message = (
        r"hmdb51/split1/train: none of the 3570 listed clips is under .*, such as .*/brush_hair/clip #0_u_nm\.mp4; "
        r"expected \{class\}/\{name\}, .*; get hmdb"
    )
    with pytest.raises(ValueError, match=message):
        hmdb51.load(tmp_path, max_missing=100_000)  # leave to miss clips is no leave to miss the data set
    touch(tmp_path / "brush_hair.rar")
    with pytest.raises(ValueError, match=r"none of the 3570 .*; extract brush_hair\.rar first"):
        hmdb51.load(tmp_path)
    with pytest.raises(ValueError, match=r"expected split 1, 2, 3, got 4"):
        hmdb51.load(tmp_path, split=4)
    with pytest.raises(
        ValueError, match=r"expected part train or test, got 'val' \(its official validation list is call"
    ):
        kinetics400.load(tmp_path, part="val")


def test_a_half_extracted_data_set(hmdb, tmp_path):
    for file in hmdb.glob("*.txt"):
        (tmp_path / file.name).symlink_to(file)
    for source in ("brush_hair", "wave"):
        (tmp_path / source).symlink_to(hmdb / source)
    touch(tmp_path / "cartwheel.rar")
    message = (
        r"hmdb51/split1/train: 3430 of 3570 listed clips are missing under .* \(layout \{class\}/\{name\}\): "
        r"cartwheel/clip #0_u_nm\.avi, .* and 3427 more; complete the data set, or accept this with "
        r"max_missing=3430 \(--clips\.max-missing 3430\)"
    )
    with pytest.raises(ValueError, match=message):
        hmdb51.load(tmp_path)
    report = check.inspect("hmdb51", tmp_path)
    assert not report.complete
    text = "\n".join(report.lines())
    assert "hmdb51/split1/train: 140 of 3570 clips; videos, layout {class}/{name}" in text
    assert "missing 3430: cartwheel/clip #0_u_nm.avi" in text
    assert "49 of 51 classes have no clip: cartwheel, catch, chew, clap hands, climb and 44 more" in text
    assert "archives, not extracted or no longer needed (1): cartwheel.rar" in text
    assert "problem: list *_test_split?.txt is not as published" in text  # invented names
    assert "to do: get hmdb51_org.rar" in text
    assert "or use the clips that are there: --clips.max-missing 3430, in train, eval, run and paper" in text


def test_data_says_what_is_missing_of_a_list_and_what_to_do(tmp_path, capsys):
    """A few lines, however many clips and classes there are."""
    names = read_labels("kinetics400").source
    for part in ("train", "val"):
        rows = (f"{name},{part[:2]}{number:09},0,10" for number, name in enumerate(names))
        (tmp_path / f"{part}.csv").write_text("label,youtube_id,time_start,time_end\n" + "\n".join(rows))
    command = ["data", "kinetics400", "--root", str(tmp_path)]
    assert commands.main(command) == 1
    said = capsys.readouterr().out
    wanted = tmp_path / "train/abseiling/tr000000000_000000_000010.mp4"
    assert f"problem: kinetics400/train: none of the 400 listed clips is under {tmp_path}, such as {wanted}\n" in said
    assert "--clips.max-missing" not in said, "without a clip there is nothing to accept"
    wanted.parent.mkdir(parents=True)
    write_video(wanted, np.zeros((8, 32, 32, 3), np.uint8), 8)
    assert commands.main(command) == 1
    said = capsys.readouterr().out
    assert "kinetics400/train: 1 of 400 clips; videos, layout {part}/{class}/{name}\n" in said
    assert "  missing 399: train/tr000000001_000000_000010, " in said
    assert "or use the clips that are there: --clips.max-missing 399, in train, eval, run and paper\n" in said
    assert len(said.splitlines()) < 12


def test_a_list_naming_a_missing_clip(hmdb, tmp_path):
    for path in hmdb.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "wave").unlink()
    for path in (hmdb / "wave").iterdir():
        if "#5_" not in path.name:
            touch(tmp_path / "wave" / path.name)
    with pytest.raises(ValueError, match=r"1 of 3570 listed clips are missing .*: wave/clip #5_u_nm\.avi;"):
        hmdb51.load(tmp_path)
    clips = hmdb51.load(tmp_path, max_missing=1)
    assert len(clips.clips) == 3569
    assert clips.missing == ("wave/clip #5_u_nm.avi",)
    touch(tmp_path / "wave" / "clip #6_u_nm.mp4")
    with pytest.raises(ValueError, match=r"has both clip #6_u_nm\..* and .*; keep one of them"):
        hmdb51.load(tmp_path, max_missing=1)


def test_the_layout_is_the_one_that_fits_most_clips(tmp_path):
    rows = [f"yoga,abcdefghi{i:02},0,10,train" for i in range(9)]
    (tmp_path / "train.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "\n".join(rows))
    for i in range(9):  # three lie where the first layout says, two where the last one does
        folder = ["train/yoga"] * 3 + ["videos_train/yoga"] * 4 + ["videos_train"] * 2
        touch(tmp_path / folder[i] / f"abcdefghi{i:02}_000000_000010.mp4")
    clips = kinetics400.load(tmp_path, max_missing=5)
    assert clips.layout == "videos_{part}/{class_}/{name}"
    assert [clip.key for clip in clips.clips] == [f"train/abcdefghi{i:02}_000000_000010" for i in (3, 4, 5, 6)]
    assert len(clips.missing) == 5


def test_a_malformed_official_list(hmdb, tmp_path):
    for path in hmdb.glob("*.txt"):
        (tmp_path / path.name).write_text(path.read_text())
    lines = (tmp_path / "chew_test_split1.txt").read_text().splitlines()
    (tmp_path / "chew_test_split1.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(
        ValueError, match=r"expected 3570 clips in the train list of split 1, got 3569 from .*truncated"
    ):
        hmdb51.load(tmp_path)
    (tmp_path / "chew_test_split1.txt").write_text("\n".join([*lines[:1], "a.avi 3", *lines[2:]]))
    with pytest.raises(
        ValueError, match=r"chew_test_split1\.txt:2: expected a clip name and 0, 1 or 2, got 'a\.avi 3'"
    ):
        hmdb51.load(tmp_path)
    (tmp_path / "chew_test_split1.txt").write_bytes(b"a\xffb.avi 1\n")
    with pytest.raises(
        ValueError, match=r"chew_test_split1\.txt: expected UTF-8 text, got .*byte 1.*; save it as UTF-8"
    ):
        hmdb51.load(tmp_path)

    (tmp_path / "trainlist01.txt").write_text("Archery/v_Archery_g01_c01.avi 3\r\nJuggling/v_x.avi 4\r\n")
    with pytest.raises(
        ValueError, match=r"trainlist01\.txt:2: expected <class>/<file> of a UCF-101 class, got 'Juggling"
    ):
        ucf101.load(tmp_path)
    (tmp_path / "trainlist01.txt").write_text("Archery/v_Archery_g01_c01.avi 2\n")
    with pytest.raises(ValueError, match=r"trainlist01\.txt:1: expected the id 3 for Archery, got '2'"):
        ucf101.load(tmp_path)


def test_a_clip_list_checks_itself():
    clips = (Clip("a", Path("a"), 0), Clip("b", Path("b"), 2))
    with pytest.raises(ValueError, match=r"x: expected labels 0\.\.1, got 2 for b"):
        ClipList("x", clips, ("p", "q"))
    with pytest.raises(ValueError, match=r"x: expected every clip once, but 'a' is listed more than once"):
        ClipList("x", (clips[0], clips[0]), ("p", "q"))
    with pytest.raises(ValueError, match=r"x: 2 class names but 1 Chinese names"):
        ClipList("x", (), ("p", "q"), ("一",))


# ------------------------------------------------------------------------------------------------- decayed copies


@pytest.fixture
def small_hmdb(tmp_path, monkeypatch) -> Path:
    """HMDB-51 with one train and one test clip of every class, all the same video."""
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    for split in (1, 2, 3):
        for part in ("train", "test"):
            monkeypatch.setitem(hmdb51.INFO.counts, (split, part), 51)
    root = tmp_path / "hmdb51"
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    root.mkdir()
    write_video(root / "clip.mp4", frames, 10)
    for source in read_labels("hmdb51").source:
        (root / source).mkdir()
        for name in ("a.avi", "b.avi"):
            (root / source / name).write_bytes((root / "clip.mp4").read_bytes())
        (root / f"{source}_test_split1.txt").write_text("a.avi 1 \nb.avi 2 \n")
    (root / "clip.mp4").unlink()
    return root


def test_run_with_a_clip_missing(small_hmdb, tmp_path, capsys):
    command = [
        *(
            "run",
            "zeroshot",
            "--clips.dataset",
            "hmdb51",
            "--clips.root",
            str(small_hmdb),
            "--out",
            str(tmp_path / "out"),
        ),
        *("--backbone", "random:nano", "--data.num-frames", "2", "--train.num-workers", "0"),
    ]
    (small_hmdb / "wave/b.avi").unlink()
    assert commands.main(command) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "hmdb51/split1/test: 1 of 51 listed clips are missing under" in message
    assert "wave/b.avi; complete the data set, or accept this with max_missing=1 (--clips.max-missing 1)" in message
    assert not (tmp_path / "out").exists()

    assert commands.main([*command, "--clips.max-missing", "1"]) == 0
    assert "missing: 1 of 51 clips of hmdb51/split1/test: wave/b.avi" in " ".join(capsys.readouterr().err.split())
    (file,) = (tmp_path / "out/hmdb51/closed-set").glob("*.json")
    part = json.loads(file.read_text())["plan"]["parts"]["split1"]
    assert (part["train"]["clips"], part["train"]["missing"]) == (51, [])
    assert (part["tests"]["test"]["clips"], part["tests"]["test"]["missing"]) == (50, ["wave/b.avi"])

    (small_hmdb / "walk/b.avi").unlink()
    assert commands.main([*command, "--clips.max-missing", "1"]) == 2
    assert "2 of 51 listed clips are missing" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--clips.dataset folder --clips.root . --clips.max-missing 1", "the data set folder has no list of its clips"),
        ("--clips.dataset actionworld --clips.max-missing 3", "expected no --clips.max-missing, got 3"),
        ("--clips.dataset hmdb51 --clips.root . --clips.max-missing -1", "expected --clips.max-missing of at least 0"),
    ],
)
def test_max_missing_where_it_has_no_sense(options, message, tmp_path, capsys):
    command = f"run zeroshot --backbone random:nano --out {tmp_path} {options}"
    assert commands.main(command.split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())


# --------------------------------------------------------------------------------------------------- the user's own


def test_folder_of_classes(tmp_path):
    for name in ("run_fast/a b.MP4", "run_fast/.hidden.mp4", "run_fast/notes.txt", "跳/片段 1.avi", "readme.md"):
        touch(tmp_path / name)
    for number in (1, 2, 3):
        touch(tmp_path / f"跳/frames/img_{number:05}.jpg")
    (tmp_path / "跳/empty").mkdir()
    (tmp_path / "wave").mkdir()
    clips = folder.load(tmp_path)
    assert [clip.key for clip in clips.clips] == ["run_fast/a b.MP4", "跳/frames", "跳/片段 1.avi"]
    assert clips.class_names == ("run fast", "跳")
    assert clips.source_names == ("run_fast", "跳")
    assert [clip.label for clip in clips.clips] == [0, 1, 1]
    assert clips.ignored == (
        "wave: a folder without clips, so no class",
        "readme.md: a file next to the class folders",
        "run_fast/notes.txt: not a video file",
        "跳/empty: a folder without images",
    )
    (tmp_path / "classes.txt").write_text("wave\nrun_fast\n跳\n", encoding="utf-8")
    clips = folder.load(tmp_path)
    assert (clips.class_names, [clip.label for clip in clips.clips]) == (("wave", "run fast", "跳"), [1, 2, 2])
    assert "wave: a class without clips" in clips.ignored


def test_folders_next_to_the_classes(tmp_path, capsys):
    """Hidden ones are passed over; another is a class if it has clips, else it is named in one line."""
    for name in ("run/1.mp4", "walk/1.mp4", ".ipynb_checkpoints/1.mp4", "__MACOSX/run/._1.mp4", "empty/.keep"):
        touch(tmp_path / name)
    for number in range(500):
        touch(tmp_path / f"notes/{number}.txt")
        touch(tmp_path / f"run/{number}.txt")
    clips = folder.load(tmp_path)
    assert clips.class_names == ("run", "walk")
    assert clips.ignored[:2] == (
        "empty: a folder without clips, so no class",
        "notes: a folder without clips, so no class",
    )
    assert not any("notes/" in line or "ipynb" in line for line in clips.ignored)
    assert clips.ignored[-1] == "1 entries of macOS (._*, .DS_Store, __MACOSX)"
    assert _shared.Clips(root=tmp_path).load(None) == clips
    said = capsys.readouterr().err
    assert "not a clip: notes: a folder without clips, so no class\n" in said
    assert said.endswith("not a clip: and 493 more\n")
    (tmp_path / "classes.txt").write_text("walk\nrun\n")
    assert folder.load(tmp_path).class_names == ("walk", "run"), "a folder without clips need not be listed"
    touch(tmp_path / "notes/2026/1.mp4")
    with pytest.raises(ValueError, match=r"folder: notes/2026/1\.mp4 is nested one folder too deep; expected "):
        folder.load(tmp_path)


def test_folder_with_parts_counts_classes_over_all_parts(tmp_path):
    touch(tmp_path / "train/walk/1.mp4")
    touch(tmp_path / "train/run/1.mp4")
    touch(tmp_path / "val/walk/2.mp4")
    test = folder.load(tmp_path, part="test")
    assert test.name.endswith("/val")
    assert [(clip.key, test.class_names[clip.label]) for clip in test.clips] == [("val/walk/2.mp4", "walk")]
    assert test.classes_sha256 == folder.load(tmp_path, part="train").classes_sha256
    assert test.ignored == ("run: a class without clips",)
    (tmp_path / "train/jump").mkdir()
    assert folder.load(tmp_path, part="train").class_names == ("run", "walk")
    assert folder.load(tmp_path, part="train").ignored == ("jump: a folder without clips, so no class",)
    (tmp_path / "classes.txt").write_bytes("\ufeffwalk\r\nrun\r\n\r\n".encode())
    assert folder.load(tmp_path, part="train").class_names == ("walk", "run")
    (tmp_path / "classes.txt").write_text("walk\njump\n")
    with pytest.raises(ValueError, match=r"classes\.txt does not list the class folder run"):
        folder.load(tmp_path, part="train")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(ValueError, match=r"has the parts train, val; choose one with part"):
        folder.load(tmp_path)
    with pytest.raises(ValueError, match=r"a folder has one split, got split 2"):
        folder.load(tmp_path, split=2, part="train")


def test_folder_errors(tmp_path):
    with pytest.raises(ValueError, match=r"folder: no folder .*/nowhere; check the path"):
        folder.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"folder: no clips in .*; expected .*/<class>/<clip> or "):
        folder.load(tmp_path)
    touch(tmp_path / "sports/run/1.mp4")
    with pytest.raises(ValueError, match=r"folder: sports/run/1\.mp4 is nested one folder too deep; expected "):
        folder.load(tmp_path)
    with pytest.raises(ValueError, match=r"folder: no part 'train' in .* \(parts are .*\); expected "):
        folder.load(tmp_path, part="train")


def test_csv_of_clips(tmp_path):
    for name in ("a b.mp4", "c,d.mp4", "e.mp4"):
        touch(tmp_path / "clips" / name)
    table = tmp_path / "list.csv"
    table.write_bytes('\ufeffsplit,label,path\r\ntrain,walk,a b.mp4\r\n"test",run,"c,d.mp4"\r\n\r\n'.encode())
    clips = csv.load(table, files=tmp_path / "clips")
    assert [(clip.key, clip.label) for clip in clips.clips] == [("a b.mp4", 1), ("c,d.mp4", 0)]
    assert clips.class_names == ("run", "walk")
    assert csv.parts(table) == ("train", "test")
    test = csv.load(table, part="test", files=tmp_path / "clips")
    assert [(clip.key, test.class_names[clip.label]) for clip in test.clips] == [("c,d.mp4", "run")]
    with pytest.raises(ValueError, match=r"no row has split 'val'; the column has test, train"):
        csv.load(table, part="val", files=tmp_path / "clips")
    table.write_text("clips/a b.mp4,1\nclips/e.mp4, 0 \nclips\\gone.mp4,walk\n")  # no header, ids and a name
    with pytest.raises(ValueError, match=r"list\.csv: 1 of 3 clips are missing under .*: clips/gone\.mp4"):
        csv.load(table, names=["run", "walk"])
    clips = csv.load(table, names=["run", "walk"], max_missing=1)
    assert [(clip.key, clip.label) for clip in clips.clips] == [("clips/a b.mp4", 1), ("clips/e.mp4", 0)]
    assert clips.missing == ("clips/gone.mp4",)


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("a.mp4,0\nb.mp4,1\n", None, r"the labels are ids; give a file .* \(--clips\.names FILE\)"),
        ("a.mp4,walk\nb.mp4,jump\n", ["walk"], r"list\.csv:2: class 'jump' is not among the 1 names; check names"),
        ("a.mp4,walk\nb.mp4\n", None, r"list\.csv:2: expected 2 columns, got 'b\.mp4'"),
        ("path,label\na.mp4,\n", None, r"list\.csv:2: expected a path and a label, got an empty cell in 'a\.mp4,'"),
        ("a.mp4,walk\na.mp4,walk\n", None, r"list\.csv:2: a\.mp4 is listed twice"),
        ("\n", None, r"expected rows path,label\[,split\], got none"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, text, names, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        csv.load(tmp_path / "list.csv", names=names, max_missing=None)


def test_csv_part_without_a_split_column(tmp_path):
    (tmp_path / "list.csv").write_text("a.mp4,walk\n")
    with pytest.raises(ValueError, match=r"part 'train' was requested \(--part\), but the table has no split column"):
        csv.load(tmp_path / "list.csv", part="train")
    with pytest.raises(ValueError, match=r"no list file .*/nowhere\.csv; check the path"):
        csv.load(tmp_path / "nowhere.csv")


def test_names_files(tmp_path):
    path = tmp_path / "names"
    for text in ("\ufeffwalk fast\r\nrun\r\n", "id,name\n1,run\n0,walk fast\n", '0 "walk fast"\n1 run\n'):
        path.write_text(text)
        assert read_names(path) == ("walk fast", "run")
    (tmp_path / "n.json").write_text('{"run": "1", "walk fast": "0"}')
    assert read_names(tmp_path / "n.json") == ("walk fast", "run")
    path.write_text("0,walk\n2,run\n")
    with pytest.raises(ValueError, match=r"expected class ids 0\.\.1 or 1\.\.2, each once"):
        read_names(path)
    path.write_text("walk\nwalk\n")
    with pytest.raises(ValueError, match=r"names: expected different class names, got 'walk' twice"):
        read_names(path)


# ------------------------------------------------------------------------------------------------ inspect and verify


def test_inspect_a_complete_data_set(hmdb):
    report = check.inspect("hmdb51", hmdb)
    assert [len(part.clips) for part in report.parts] == [3570, 1530] * 3
    assert report.problems == (
        f"list *_test_split?.txt is not as published (sha256 {report.lists['*_test_split?.txt']})",
    )
    with pytest.raises(ValueError, match=r"HMDB-51: there is no /no/such/place; check the path, or get hmdb"):
        check.inspect("hmdb51", "/no/such/place")


def test_inspect_real_clips(real_data):
    report = check.inspect("ut_interaction", real_data / "videos/ut_interaction/set1")
    assert report.complete
    assert report.lines()[1].endswith(
        "ut_interaction/split1/train: 54 of 54 clips; videos, layout " + report.parts[0].layout
    )
    report = check.inspect("folder", real_data / "frames/raivokoot_demo_dataset")
    assert report.complete
    assert "4 of 4 clips; frame folders, layout <class>/<clip>" in report.lines()[1]
    assert report.lines()[2].strip() == "left out 1: annotations.txt: a file next to the class folders"


def test_inspect_lists_that_are_not_there(tmp_path):
    report = check.inspect("ucf101", tmp_path)
    assert len(report.problems) == 6
    assert report.problems[0] == f"UCF-101: no official list trainlist01.txt in {tmp_path}"
    assert not report.complete
    assert report.lines()[-1].startswith("to do: get UCF101.rar")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Twelve good clips, a cut one, a frame folder with a hole, and one that is text."""
    root = tmp_path_factory.mktemp("clips")
    (root / "walk").mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    write_video(root / "walk/00.mp4", frames, 10)
    good = (root / "walk/00.mp4").read_bytes()
    for number in range(1, 12):
        (root / f"walk/{number:02}.mp4").write_bytes(good)
    (root / "run").mkdir()
    (root / "run/cut.mp4").write_bytes(good[: len(good) // 2])
    (root / "run/text.mp4").write_text("not a video")
    from PIL import Image

    for number in (1, 2, 4):
        path = touch(root / f"run/holes/img_{number:05}.jpg")
        Image.fromarray(frames[0]).save(path)
    return root


def test_verify_names_every_clip_that_cannot_be_decoded(clips):
    seen = []
    report = check.verify(folder.load(clips), progress=lambda done, total: seen.append((done, total)))
    assert (report.num_clips, report.num_resumed) == (15, 0)
    assert seen == [(i + 1, 15) for i in range(15)]
    assert [line.split(":")[0] for line in report.failures] == ["run/cut.mp4", "run/holes", "run/text.mp4"]
    assert "image 3 is missing" in report.failures[1]
    assert not any("\n" in line for line in report.failures)
    sample = check.verify(folder.load(clips), num_clips=2)
    assert (sample.num_clips, [line.split(":")[0] for line in sample.failures]) == (2, ["run/cut.mp4"])


def test_verify_in_parallel_says_the_same(clips):
    one, two = (check.verify(folder.load(clips), num_workers=n) for n in (1, 2))
    assert one == two


def test_verify_resumes_after_being_stopped(clips, tmp_path):
    state = tmp_path / "state.jsonl"

    def stop_after_eight(done, total):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check.verify(folder.load(clips), state_file=state, progress=stop_after_eight)
    with state.open("a") as file:
        file.write('{"key": "walk/05.mp4", "iden')  # killed in the middle of a line
    decoded = []
    report = check.verify(folder.load(clips), state_file=state, progress=lambda done, total: decoded.append(done))
    assert report.num_resumed == 5  # eight were seen, three of them bad: those are tried again
    assert decoded == list(range(6, 16))
    assert len(report.failures) == 3
    report = check.verify(folder.load(clips), state_file=state)
    assert report.num_resumed == 12

    changed = clips / "walk/00.mp4"
    good = changed.read_bytes()
    changed.write_bytes(good[:100])
    try:
        report = check.verify(folder.load(clips), state_file=state)
        assert report.num_resumed == 11
        assert [line.split(":")[0] for line in report.failures][-1] == "walk/00.mp4"
    finally:
        changed.write_bytes(good)
