"""Files of class names in every form people write them, read with the right names or refused in a line."""

import csv
import json
import os

import pytest

from actionprompt import commands, labels
from actionprompt.commands import _shared
from actionprompt.datasets import csv as table_of_clips

WALK_RUN = ("walk fast", "run, then stop")


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.txt", "walk fast\nrun, then stop\n", "one name per line"),
        ("a.txt", "\ufeffwalk fast\r\n\r\nrun, then stop\r\n", "one name per line"),
        ("a.txt", "walk fast\rrun, then stop\r", "one name per line"),
        ("a.csv", '"walk fast"\n"run, then stop"\n', "one name per line"),
        ("a.csv", 'name\nwalk fast\n"run, then stop"\n', "one name per line"),
        ("a.csv", "id,name\n0,walk fast\n1,run, then stop\n", "id,name"),
        ("a.csv", 'id,name\n1,"run, then stop"\n0,walk fast\n', "id,name"),
        ("a.csv", '"id","name"\n"0","walk fast"\n"1","run, then stop"\n', "id,name"),
        ("a.csv", "1,walk fast\n2,run, then stop\n", "id,name"),
        ("a.csv", "class_id, class_name\n00, walk fast\n01, run, then stop\n", "id,name"),
        ("a.csv", "name,id\nrun, then stop,1\nwalk fast,0\n", "name,id"),
        ("a.csv", "id;name\n0;walk fast\n1;run, then stop\n", "id;name"),
        ("a.tsv", "id\tname\n0\twalk fast\n1\trun, then stop\n", "id<TAB>name"),
        ("a.txt", "2\trun, then stop\n1\twalk fast\n", "id<TAB>name"),
        ("a.txt", "walk fast\t0\nrun, then stop\t1\n", "name<TAB>id"),
        ("a.txt", "0 walk fast\n1  run, then stop\n", "id name"),
        ("a.txt", "id name\n0 walk fast\n1 run, then stop\n", "id name"),
        ("a.json", '["walk fast", "run, then stop"]', "JSON list of names"),
        ("a.txt", '["walk fast", "run, then stop"]', "JSON list of names"),
        ("a.json", '{"1": "run, then stop", "0": "walk fast"}', "JSON map of ids to names"),
        ("a.json", '{"run, then stop": 2, "walk fast": "1"}', "JSON map of names to ids"),
    ],
)
def test_the_names_and_how_they_were_read(tmp_path, name, text, form):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found = labels.read(tmp_path / name)
    assert (found.names, found.form) == (WALK_RUN, form)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("phase 1\nphase 2\n", ("phase 1", "phase 2")),
        ("2 hands clap\nwave\n", ("2 hands clap", "wave")),
        ("[none]\nrun\n", ("[none]", "run")),
        ('say "hi"\nrun\n', ('say "hi"', "run")),
        ("挥手\n走路\n", ("挥手", "走路")),
        ("0,run\n", ("run",)),
    ],
)
def test_names_that_look_like_something_else(tmp_path, text, names):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert labels.read(tmp_path / "a.txt").names == names


def test_the_class_lists_of_the_package_are_read_as_they_are(tmp_path):
    from actionprompt import datasets

    for name in ("hmdb51", "ucf101", "kinetics400", "something_v2"):
        names = datasets.read_labels(name).english
        with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "name"), *enumerate(names)])
        (tmp_path / "a.txt").write_text("\n".join(names), encoding="utf-8")
        (tmp_path / "a.json").write_text(json.dumps({name: str(i) for i, name in enumerate(names)}))
        assert [labels.read(tmp_path / f"a.{kind}").names for kind in ("csv", "txt", "json")] == [names] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run\nwalk\n".encode("utf-16"), "expected UTF-8 text, got UTF-16; save it as UTF-8"),
        ("run\nwalk\n".encode("utf-16-le"), "got zero bytes, as in UTF-16; save it as UTF-8"),
        ("café\nwalk\n".encode("latin-1"), r"got Latin-1 or another encoding \(byte 3\); save it as UTF-8"),
        (b"\0\xff\xfe\0" * 100, "a file that is no text"),
        (b"Run\nrun \n", "'Run' and 'run': one text to CLIP"),
        (b"run\nwalk\nrun\n", "got 'run' twice"),
        (b"", "expected at least one class name, got none"),
        (b"run,walk,jump\n", "expected one class name per line, got one line with commas: 'run,walk,jump'"),
        (b"0,run\n2,walk\n", r"expected class ids 0\.\.1 or 1\.\.2, each once, got 0\.\.2 for 2 names"),
        (b"0 run\n0 walk\n", "each once, got 0 more than once"),
        (b"5,run\n", r"each once, got 5\.\.5 for 1 names"),
        (b"0,run\nwalk\n1,jump\n", "line 2: expected id,name as on the other lines, got 'walk'"),
        (b"0 run\n1 walk\njump\n", "line 3: expected id name as on the other lines, got 'jump'"),
        (b"id,name,other\n0,run,x\n", "line 1: expected id,name as on the other lines"),
        (b"source\tenglish\nrun_x\trun\n", "got other columns in line 1"),
        (b"\n".join(b"%d" % i for i in range(10_001)), "at most 10,000 class names, got 10,001"),
        (b"x" * ((16 << 20) + 1), "got a file of 16 MB; 16 MB at most"),
    ],
)
def test_what_is_no_list_of_names_is_refused_in_a_line(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.txt: .*{message}") as error:
        labels.read(tmp_path / "a.txt")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON, a list of names or a map of ids and names: "),
        ("[" * 100_000, "maximum recursion"),
        ("{}", "got neither"),
        ("3", "got neither"),
        ("[1, 2]", "a list of other values"),
        ('[{"id": 0}]', "a list of other values"),
        ('{"run": 1.5}', "other values among them"),
        ('{"0": "1", "1": "0"}', "got numbers for both"),
        ('{"run": 0, "run": 1}', "got 'run' twice"),
        ('{"run": 0, "walk": 2}', r"expected class ids 0\.\.1 or 1\.\.2"),
    ],
)
def test_json_that_is_no_list_of_names(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: .*{message}"):
        labels.read(tmp_path / "a.json")


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"no list file .*gone\.txt; check the path"):
        labels.read(tmp_path / "gone.txt")
    with pytest.raises(ValueError, match="expected a list file, got the folder"):
        labels.read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        with pytest.raises(ValueError, match="which is a pipe or a device"):
            labels.read(tmp_path / "pipe.txt")


def test_the_command_line_says_how_a_file_was_read(tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("id,name\n1,run\n0,walk, slowly\n")
    assert _shared.class_names(None, tmp_path / "labels.csv") == ("walk, slowly", "run")
    assert "labels.csv: read as id,name: 2 classes" in capsys.readouterr().err
    assert _shared.class_names("walk, run、stand", None) == ("walk", "run", "stand")
    cases = [("Run,run", "one text to CLIP"), (" , ", "at least one class name")]
    cases += [(text, "--labels: expected a class name before and after every comma, got")
              for text in ("a,,b", ",a", "a,", "a, ,b", "a，、b")]  # fmt: skip
    for text, message in cases:
        with pytest.raises(ValueError, match=message):
            _shared.class_names(text, None)


# Tables of clips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,label\na b.mp4,walk\nc.mp4,run\n"),
        ("a.csv", "path;label\na b.mp4;walk\nc.mp4;run\n"),
        ("a.csv", "a b.mp4\twalk\nc.mp4\trun\n"),
        ("a.txt", "a b.mp4,walk\nc.mp4,run\n"),
        ("a.TSV", "path\tlabel\na b.mp4\twalk\nc.mp4\trun\n"),
    ],
)
def test_tables_with_other_separators(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    clips = table_of_clips.load(tmp_path / name, max_missing=None)
    assert [(clip.key, clips.class_names[clip.label]) for clip in clips.clips] == [
        ("a b.mp4", "walk"),
        ("c.mp4", "run"),
    ]
    assert table_of_clips.paths(tmp_path / name) == [tmp_path / "a b.mp4", tmp_path / "c.mp4"]


def test_a_list_of_path_and_id_is_told_how_to_become_a_table(tmp_path, capsys):
    (tmp_path / "space.csv").write_text("walk/walk0 (31).mp4 0\nrun/run0.mp4 1\n")
    with pytest.raises(ValueError, match=r"space\.csv:1: expected path,label.* with a comma .*sed -E .*space\.csv"):
        table_of_clips.load(tmp_path / "space.csv")
    assert commands.main(["check", str(tmp_path / "space.csv")]) == 2
    assert "with a comma between path and label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        ("walk\nrun\n", ("0", "1"), ["walk", "run"]),
        ("0,walk\n1,run\n", ("0", "1"), ["walk", "run"]),
        ("1,walk\n2,run\n", ("1", "2"), ["walk", "run"]),
        ("1,walk\n2,run\n", ("run", "1"), ["run", "walk"]),
    ],
)
def test_ids_get_the_names_of_a_file(tmp_path, names, labels, expected):
    (tmp_path / "names.txt").write_text(names)
    (tmp_path / "a.csv").write_text("".join(f"{i}.mp4,{label}\n" for i, label in enumerate(labels)))
    clips = table_of_clips.load(tmp_path / "a.csv", names=tmp_path / "names.txt", max_missing=None)
    assert [clips.class_names[clip.label] for clip in clips.clips] == expected


def test_ids_that_the_names_do_not_have(tmp_path, capsys):
    (tmp_path / "names.txt").write_text("1,walk\n2,run\n")
    (tmp_path / "a.csv").write_text("0.mp4,0\n1.mp4,1\n")
    root = ["eval", "zeroshot", "--clips.dataset", "csv", "--clips.root", str(tmp_path / "a.csv")]
    assert commands.main([*root, "--clips.names", str(tmp_path / "names.txt")]) == 2
    error = capsys.readouterr().err
    assert "names.txt: read as id,name: 2 classes" in error
    assert "class '0' is not among the 2 names; check names (--clips.names FILE), whose ids count from 1" in error
    assert commands.main(root) == 2
    assert "(--clips.names FILE)" in capsys.readouterr().err
    assert commands.main(["eval", "zeroshot", "--clips.root", str(tmp_path), "--clips.names", "x"]) == 2
    assert "expected no --clips.names" in capsys.readouterr().err
