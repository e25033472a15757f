"""The field's words: what docstrings, messages and pages say instead of home-made terms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT = (
    r"beside|(?<!the same command )goes on|go on where|multiply-adds?|hears|goes round|takes down|passed? by what"
    r"|where it lies|shall lie|within a turn|makers' data|feed part|dealt out|all that trains|score below which"
)
PAGES = [path for place in ("docs", ".github") for path in (ROOT / place).rglob("*.md")]
PAGES += [*ROOT.glob("*.md"), *(ROOT / "results").glob("*.md"), *(ROOT / "docs").glob("*.py")]
FILES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted(PAGES)]
PICTURES = (
    "explain",
    "demo",
    "plots",
    "leaderboard",
    "captions",
    "actionclip",
    "pages",
    "picture",
    "look",
    "timeline",
    "work",
)
"""Files that speak of pictures people look at, or whose data says `picture`; elsewhere it is an image or a frame."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_terms_are_those_of_the_field(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(rf"\b(?:{NOT})\b", text, re.IGNORECASE) == []
    assert re.findall(r"(?<!expected )\bcalibration error\b", text, re.IGNORECASE) == []
    if path.stem not in PICTURES:
        assert re.findall(r"\bpictures?\b(?!\.py)", text, re.IGNORECASE) == []
