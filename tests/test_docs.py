"""The pages do what they say: their commands and Python run, their links lead somewhere, the reference is whole."""

import html
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import actionprompt
from actionprompt import commands, methods
from page.clips import Clips

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"((?:^<!--.*?-->\n+)*)^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!-- (slow|not run: \w.+) -->")
LINK = re.compile(r"\[((?:[^\]`]|`[^`]*`)*)\]\(([^)\s]+)\)")


@cache
def extension(name: str) -> dict[str, Any]:
    """What a file of docs/ defines."""
    return runpy.run_path(str(DOCS / f"{name}.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^(`{3,}).*?^\1$", "", text_of(path), flags=re.MULTILINE | re.DOTALL)


def blocks(path: Path, *, slow: bool) -> list[tuple[str, str]]:
    """Language and code of the blocks that run, in order; slow ones if asked for."""
    found = []
    for comments, language, code in BLOCK.findall(text_of(path)):
        notes = NOTE.findall(comments)
        if not any(note.startswith("not run") for note in notes) and (slow or "slow" not in notes):
            found.append((language, code))
    return found


# Blocks --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """What the blocks of a page find in their folder."""
    folder = tmp_path_factory.mktemp("docs")
    clips = Clips(tmp_path_factory.mktemp("drawn"))
    for name, label in (("handstand", "doing a handstand"), ("running", "running")):
        (folder / "clips" / name).mkdir(parents=True)
        for number in range(4):
            shutil.copy(clips.clip(label, number), folder / "clips" / name / f"{number + 1}.mp4")
    shutil.copy(clips.clip("doing a handstand", 4), folder / "clip.mp4")
    shutil.copy(clips.three, folder / "long.mp4")
    (folder / "names.txt").write_text("doing a handstand\nreading a book\ndoing push-ups\nrunning\n", encoding="utf-8")
    return folder


@cache
def known_options(verb: str) -> set[str]:
    """The first words of a command's options: `--clips` of `--clips.root`."""
    made, module = extension("_reference"), f"actionprompt.commands.{verb.replace('-', '_')}"
    found = [item for name in made["parsed"](module) for item, _ in made["fields"](made["find"](module, name)[1])]
    return {"--" + item.target.id.replace("_", "-") for item in found}


def answer(words: list[str]) -> int:
    """The exit code of a command; where it says nothing of workers, its videos are read in this process."""
    if "--num-workers" in known_options(words[0]) and "--num-workers" not in words:
        words = [*words, "--num-workers", "1" if words[0] in ("check", "data") else "0"]
    try:
        return commands.main(words)
    except SystemExit as done:  # --help
        return int(done.code or 0)


def run_in_shell(code: str) -> None:
    """Commands of `actionprompt` alone run in this process, anything else in a shell."""
    lines = re.sub(r"\\\n", " ", code).splitlines()
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if all(line.startswith("actionprompt ") and not re.search(r"[|<>&;$`]", line) for line in lines):
        for line in lines:
            assert answer(shlex.split(line, comments=True)[1:]) == 0, line
        return
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("this block needs bash")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run([shell, "-ec", code], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def run_blocks(path: Path, prepared: Path, folder: Path, monkeypatch, *, slow: bool) -> None:
    """All blocks of a page, in order, in a folder of its own."""
    shutil.copytree(prepared, folder / "work")
    monkeypatch.chdir(folder / "work")
    names = {"__name__": "__main__"}
    for language, code in blocks(path, slow=slow):
        if language == "bash":
            run_in_shell(code)
        else:
            exec(compile(code, path.name, "exec"), names)


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, slow=False)], ids=name)
def test_blocks_run(path, prepared, tmp_path, monkeypatch, capsys):
    run_blocks(path, prepared, tmp_path, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, slow=False) != blocks(p, slow=True)], ids=name)
def test_slow_blocks_run(path, prepared, tmp_path, monkeypatch, capsys):
    run_blocks(path, prepared, tmp_path, monkeypatch, slow=True)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_block_is_marked_as_what_it_is(path):
    text = text_of(path)
    assert "```sh\n" not in text, "commands are in ```bash blocks, which run"
    assert len(BLOCK.findall(text)) == len(re.findall(r"^```(?:bash|python)$", text, re.MULTILINE))
    for comments, _, code in BLOCK.findall(text):
        for comment in re.findall(r"<!--.*?-->", comments):
            assert NOTE.fullmatch(comment), f"{comment} above {code}: expected `slow` or `not run: reason`"


def test_every_command_named_exists():
    for path in PAGES:
        named = set(re.findall(r"(?:^|`)actionprompt ([a-z][a-z-]+)", text_of(path), re.MULTILINE))
        assert named <= set(commands.ORDER), path


def test_options_in_blocks_that_do_not_run_are_there():
    for path in PAGES:
        code = "\n".join(code for _, language, code in BLOCK.findall(text_of(path)) if language == "bash")
        for line in re.findall(r"^ *actionprompt .*", code.replace("\\\n", " "), re.MULTILINE):
            verb, *rest = shlex.split(line, comments=True)[1:]
            known = known_options(verb)
            for option in re.findall(r"^--[a-z-]+", "\n".join(rest), re.MULTILINE):
                either = {option, option.replace("--no-", "--", 1)}
                assert not known or either & {*known, "--help", "--debug"}, f"{path.name}: {line}"


# Links ---------------------------------------------------------------------------------------------------------------


@cache
def anchors(path: Path) -> set[str]:
    """Of the headings of a page, as GitHub and the site name them."""
    titles = re.findall(r"^#+ (.+?)\s*$", prose(path), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    defined = extension("_sources")["lines"]
    for words, target in LINK.findall(prose(path)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_file(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"
        named = re.fullmatch(r"`([\w.]+)(?:\(\))?`", words)
        if there.suffix == ".py" and named and named[1] not in (there.name, there.stem):
            assert named[1] in defined(there), f"{file} defines no {named[1]}"


def test_every_page_is_in_a_list():
    """Of docs/index.md, of an index of a folder, or of a glob there."""
    listed = set()
    for page in PAGES:
        for body in re.findall(r"```\{toctree\}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
            for line in (line.strip() for line in body.splitlines()):
                if line and not line.startswith(":"):
                    folder = ROOT if line.startswith("/") else page.parent
                    listed |= {path.resolve() for path in folder.glob(f"{line.lstrip('/')}.md")}
    assert [name(page) for page in PAGES if page not in listed] == ["docs/index.md"]


# The reference -------------------------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference():
    find = extension("_reference")["find"]
    described: set[str] = set()
    for path in (DOCS / "reference").glob("*.md"):
        for module, body in re.findall(r"```\{api\} (\S+)\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL):
            for item in body.split():
                assert find(module, item), f"{path.name}: {module} has no {item}"
                described.add(f"{module}.{item}")
    assert {f"actionprompt.{item}" for item in actionprompt.__all__} <= described


def test_every_command_is_in_the_reference():
    assert tuple(re.findall(r"```\{options\} (\S+)", text_of(DOCS / "reference" / "commands.md"))) == commands.ORDER


def test_shapes_are_in_signatures():
    made = extension("_reference")
    signature = made["signature"](made["find"]("actionprompt.evaluation", "softmax")[1], "actionprompt.evaluation")
    assert signature == "(logits: Float[Tensor, '*N K']) -> Float[Tensor, '*N K']"


@pytest.mark.parametrize("method", methods.names())
def test_every_method_has_a_page_and_a_figure(method):
    page, figure = DOCS / "methods" / f"{method}.md", DOCS / "methods" / "figures" / f"{method}.svg"
    text = text_of(page)
    assert f"(figures/{method}.svg)" in text
    assert "<svg" in text_of(figure)
    equation = rf"\[`[\w.]+(\(\))?`\]\(\.\./\.\./src/actionprompt/methods/{method}\.py\)"
    assert re.search(equation, text), "no link to the line of an equation"
    assert f"{method}.md" in text_of(DOCS / "methods" / "index.md")


# The site ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(DOCS), "-b", "html"]
    done = subprocess.run([*build, str(ROOT), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.rglob("*.html")]
    assert {tmp_path / "index.html", tmp_path / "docs" / "index.html", tmp_path / "search.html"} <= {*pages}
    loads = re.compile(r'<(?:script|img|iframe|link rel="(?:stylesheet|preload)")[^>]*(?:src|href)="([^"]+)"')
    for page in pages:
        assert not [address for address in loads.findall(text_of(page)) if "//" in address], page
    words = html.unescape(re.sub(r"<[^>]+>", "", text_of(tmp_path / "docs" / "reference" / "methods.html")))
    assert "video: UInt8[Tensor, 'N T C S S']" in " ".join(words.split())
