"""Names of files, clips and classes are data: no terminal, table, spreadsheet or page does what a name says."""

import ast
import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

import actionprompt
from actionprompt import commands
from actionprompt.clips import Clip, ClipList, listed
from actionprompt.commands import _shared
from actionprompt.commands.predict import Rows
from actionprompt.files import no_formula
from actionprompt.prediction import Prediction, zero_shot
from actionprompt.prediction.tables import as_csv
from actionprompt.study import pages, tables
from actionprompt.video import write_video

FOLDER = Path(actionprompt.__file__).parent / "commands"
HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "line\nbreak", "a\u202eb", "a\u2066b", "\x9b31m", ":o:",
    ":smile:", "[red]x[/]", "[/]", "x\\", "[link=http://a]b[/link]", "caf\udce9", "a\u2028b", "\ufeffa",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("own_console")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8), fps=10)
    return path


def verbs() -> list[Path]:
    return [path for path in FOLDER.glob("*.py") if path.name != "_shared.py"]


@pytest.mark.parametrize("path", verbs(), ids=lambda path: path.name)
def test_verbs_print_names_through_one_function_only(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "rich.markup" not in imported
    assert "rich.console" not in imported
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    printed = [call for call in calls if ast.unparse(call.func) in ("out.print", "err.print")]
    assert not [
        ast.unparse(call) for call in printed if isinstance(call.args[0], ast.JoinedStr | ast.Constant | ast.BinOp)
    ]


def test_no_console_takes_codes_from_texts():
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console"):
                assert {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}["emoji"] == "False"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_line_shows_a_name_as_it_is_and_nothing_else(name, capsys):
    _shared.say(f"name {name} end")
    _shared.note("head:", f"name {name} end")
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        (line,) = text.splitlines()
        assert line.isprintable()
        assert line.removeprefix("head: ") == f"name {_shared.visible(name)} end"
    assert _shared.visible(name).isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_cells_and_titles_of_tables_too(name, capsys):
    table = Table("a", title=_shared.shown(f"t{name}t"))
    table.add_row(_shared.shown(f"c{name}c"))
    _shared.out.print(table)
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.split("\n"))
    for text in (f"t{name}t", f"c{name}c"):
        assert _shared.visible(text) in printed


def test_names_in_other_scripts_stay():
    for name in ("挥手", "می‌دود", "दौड़ना", "👩‍💻", "naïve", "a b"):
        assert _shared.visible(name) == name
    assert _shared.visible("caf\udce9") == "caf\\xe9", "the byte on the disk"


def test_the_table_of_predictions_shows_names(capsys):
    predictor = zero_shot(("\x1b[31m:o:", "[i]"), backbone="random:nano", device="cpu")
    result = Prediction(Path("c:o:l[b].mp4"), ("\x1b[31m:o:", "[i]"), (0.5, 0.5), ())
    Rows(predictor, [result.path], 2).show(result)
    printed = capsys.readouterr().out
    assert "c:o:l[b].mp4" in printed
    assert "\\x1b[31m:o: 50.0 %" in printed
    assert "[i] 50.0 %" in printed


def test_an_error_shows_a_name(capsys):
    assert commands.main(["predict", "no\x1b[31m:o:\n.mp4", "--labels", "a"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "\\x1b[31m:o:" in line
    assert line.isprintable()


def test_no_cell_of_a_csv_file_is_a_formula():
    for start in "=+-@\t\r":
        assert no_formula(f"{start}1+1") == f"'{start}1+1"
    assert no_formula("a=1") == "a=1"
    about = {"program": "p", "method": "m", "backbone": {"name": "@b", "sha256": "0"}, "labels": ["=a"], "settings": {}}
    written = as_csv([Prediction(Path("-a.mp4"), ("=HYPERLINK(1)", 'a,"b"'), (0.75, 1e-7), ())], about, ["+1"])
    rows = list(csv.reader(io.StringIO(written)))
    assert [row[:4] for row in rows[1:]] == [
        ["'-a.mp4", "1", "'=HYPERLINK(1)", "0.75"],
        ["'-a.mp4", "2", 'a,"b"', "1e-07"],
    ]
    assert all(not cell.startswith(tuple("=+-@")) for row in rows for cell in row)


def test_a_name_in_a_page_is_text():
    name = "a|b`c`<img src=x>[l](u)\n# *h*"
    assert tables.plain(name) == r"a\|b\`c\`\<img src=x\>\[l\](u) # \*h\*"
    assert tables.link("0", "a b/(c)|\udce9.json") == "[0](a%20b/%28c%29%7C%E9.json)"
    test = {"by_kind": {name: {"percent": 50.0}}}
    record = {
        "dataset": "folder", "method": "zeroshot", "variant": name, "seed": 0, "commit": "1", "file": "a b.json",
        "plan": {"protocol": name, "shots": None, "views": "1x1"}, "data": {"num_frames": 8},
        "backbone": {"name": name}, "figures": {name: 1.0}, "metrics": {"split1": {name: test}},
    }  # fmt: skip
    text = pages.data_set_tables("folder", [record])
    assert "<img" not in text.replace("\\<img", "")
    assert not [line for line in text.splitlines() if line.startswith("# ")]
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows[:3]} == {rows[0].count("|")}
    assert len(rows) == 6
    text = pages.measured({"part": {name: {"value": name}}}, "part")
    assert "<img" not in text.replace("\\<img", "")


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX systems")
def test_a_name_that_is_no_utf8_is_predicted_and_evaluated(clip, tmp_path, capsys):
    for folder in ("walk", "run"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    for path in (b"walk/caf\xe9.mp4", b"run/a.mp4"):
        try:
            with open(os.path.join(os.fsencode(tmp_path), b"root", path), "wb") as file:
                file.write(clip.read_bytes())
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
    options = ["--backbone", "random:nano", "--num-workers", "0"]
    code = commands.main(
        ["predict", str(tmp_path / "root"), "--labels", "a,b", "--json", str(tmp_path / "o.json"), *options]
    )
    assert code == 0
    assert "caf\\xe9.mp4" in capsys.readouterr().out
    assert b"caf\\udce9.mp4" in (tmp_path / "o.json").read_bytes()
    scores = tmp_path / "s.json"
    assert (
        commands.main(["eval", "zeroshot", "--clips.root", str(tmp_path / "root"), "--scores", str(scores), *options])
        == 0
    )
    assert "2 clips" in capsys.readouterr().out
    assert len(ClipList("a", (Clip("caf\udce9", Path("a"), 0),), ("a",)).sha256) == 64


@pytest.mark.parametrize(("encoding", "label"), [("cp1252", "\\u6325\\u624b"), ("ascii", "\\u6325"), ("utf-8", "挥手")])
def test_a_console_that_cannot_show_a_name_shows_an_escape(encoding, label, clip, tmp_path):
    command = [sys.executable, "-m", "actionprompt", "predict", str(clip), "--labels", "挥手,走路"]
    done = subprocess.run(
        [*command, "--backbone", "random:nano", "--num-workers", "0", "--json", str(tmp_path / "o.json")],
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "150"}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert label in done.stdout.decode(encoding)
    assert "挥手" in (tmp_path / "o.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Run", "run"], "'Run' and 'run': one text to CLIP"),
        (["run fast", " run  fast"], "one text to CLIP"),
        (["caf\u00e9", "cafe\u0301"], "one text to CLIP"),
        (["a", "a"], "got 'a' twice"),
        (["a", " "], "expected class names that are texts, got ' '"),
        ([1, 2], "expected class names that are texts, got 1"),
        ("run", r"got one string; write \['run'\]"),
        ([str(i) for i in range(10_001)], "at most 10,000 class names, got 10,001"),
    ],
)
def test_class_names_are_different_texts(names, message, as_users_call):
    with pytest.raises(ValueError, match=message):
        listed(names)
    if not isinstance(names, str):
        with pytest.raises(ValueError, match=f"mine: .*{message}"):
            ClipList("mine", (), tuple(names))


def test_official_class_names_are_different_texts():
    from actionprompt import datasets

    for path in (Path(actionprompt.__file__).parent / "datasets/labels").glob("*.tsv"):
        assert listed(datasets.read_labels(path.stem).english)
