"""The README does what it says: its commands and its Python run, its outputs are true, its tables the records."""

import re
import shlex
from pathlib import Path

import pytest

from actionprompt import commands
from actionprompt.commands import _shared
from actionprompt.study import pages
from actionprompt.weights import DEFAULT

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_command_on_the_first_screen_prints_what_stands_below_it(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (command,) = [block for block in blocks("sh") if block.startswith("actionprompt predict examples")]
    monkeypatch.setattr(_shared.out, "width", 100)
    assert commands.main([*shlex.split(command)[1:], "--num-workers", "0"]) == 0
    assert squeezed(capsys.readouterr().out) == squeezed(blocks("text")[0])


def test_the_quick_start_names_the_default_backbone_and_commands_that_are_there():
    (block,) = [block for block in blocks("sh") if block.startswith("actionprompt weights")]
    fetch, predict = block.splitlines()
    assert fetch == f"actionprompt weights get {DEFAULT}"
    words = shlex.split(predict)
    assert words[:3] == ["actionprompt", "predict", "your_video.mp4"]
    assert "--backbone" not in words  # it is the default


def test_the_python_on_the_first_screen_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("doing a handstand")


def test_every_command_named_exists():
    named = set(re.findall(r"`actionprompt ([a-z-]+)", README))
    assert named
    assert named <= set(commands.ORDER)
    targets = set(re.findall(r"`?make ([a-z-]+)`?", README))
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_tables_are_those_of_the_records():
    _, texts = pages.make(ROOT / "results", [ROOT / "README.md", *(ROOT / "docs/methods").glob("*.md")], draw=False)
    assert len(texts) > 15
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `actionprompt results`"
    for path in (ROOT / "results").glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), target


def test_pictures_and_links_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_demo_runs_and_its_report_is_whole(tmp_path, monkeypatch, capsys):
    assert commands.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    for picture in re.findall(r'src="([^"]+)"', page):
        assert (tmp_path / "demo" / picture).stat().st_size > 5000


def test_percentages_in_the_readings_stand_in_a_table_beside_them():
    pages = [path for path in (ROOT / "results").glob("*.md") if path.name != "README.md"]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        tables = " ".join(line for line in text.splitlines() if line.startswith("|"))
        prose = " ".join(line for line in text.splitlines() if not line.startswith("|"))
        unknown = [
            n for n in re.findall(r"(?<![\d.])\d\d\.\d(?![\d.])", prose) if n not in re.findall(r"[\d.]+", tables)
        ]
        assert not unknown, f"{path.name}: no table on the page says {', '.join(unknown)}"
