"""The reference at /docs: everything that the schema says is on it as text, and its programs work."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI

from actionprompt.page import reference
from actionprompt.page.routes import router
from actionprompt.page.service import Service
from page.clips import Clips
from page.running import Running

TAGS = {
    "html", "head", "meta", "title", "link", "body", "main", "header", "nav", "section", "h1", "h2", "h3", "p", "a",
    "ul", "li", "pre", "code", "b", "span", "div", "table", "caption", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "rel", "href", "type", "class", "id", "aria-label", "aria-labelledby", "role",
    "tabindex", "scope",
}  # fmt: skip
SINGLE = {"meta", "link"}


class Read(HTMLParser):
    """What a page is made of; AssertionError where a tag is not closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in SINGLE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def schema():
    app = FastAPI(title="ActionPrompt", version="0.1.0")
    app.include_router(router(object.__new__(Service), app.openapi))
    return app.openapi()


@pytest.fixture(scope="module")
def read(schema):
    return Read(reference.page(schema))


def test_the_page_needs_nothing_that_the_policy_forbids(read):
    assert {tag for tag, _ in read.tags} <= TAGS  # so no script, no style, no image
    assert {name for _, attrs in read.tags for name in attrs} <= ATTRIBUTES
    assert [a["href"] for tag, a in read.tags if tag == "link"] == ["/static/icon.svg", "/static/style.css"]
    assert all(re.match("[#/](?!/)", href) for href in read.values("href"))


def test_every_link_of_the_page_leads_somewhere(read):
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    inner = {href[1:] for href in read.values("href") if href.startswith("#")}
    assert len(inner) > 25
    assert inner <= {*ids}
    assert {href for href in read.values("href") if href.startswith("/")} == {
        "/", "/openapi.json", "/static/icon.svg", "/static/style.css"
    }  # fmt: skip


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text))


def test_all_that_the_schema_says_is_there(schema, read):
    text = " ".join(" ".join(read.text).split())
    ids = set(read.values("id"))
    operations = [(m, path, o) for path, item in schema["paths"].items() for m, o in item.items()]
    assert len(operations) > 15
    for method, path, operation in operations:
        assert reference.anchor(method, path) in ids
        assert path in text
        assert {p["name"] for p in operation.get("parameters", [])} <= {*re.findall(r"\w+", text)}
        for status in operation["responses"]:
            assert f" {status} " in text
    for name, shape in schema["components"]["schemas"].items():
        assert reference.anchor("shape", name) in ids
        for field, of in shape.get("properties", {}).items():
            assert f" {field} " in text
            assert words(of.get("description", "")) in words(text)
    assert "Successful Response" not in text


def test_what_a_field_may_be():
    kind, what = reference.kind_of, reference._what
    assert kind({"$ref": "#/components/schemas/Job"}) == '<a href="#shape-Job">Job</a>'
    assert (
        kind({"type": "array", "items": {"type": "string", "minLength": 1}}) == "list of text (at least 1 characters)"
    )
    assert kind({"anyOf": [{"type": "number"}, {"type": "null"}]}) == "number or null"
    assert kind({"enum": ["done", "failed"]}) == "<code>&quot;done&quot;</code> or <code>&quot;failed&quot;</code>"
    assert kind({"const": "<b>"}) == "<code>&quot;&lt;b&gt;&quot;</code>"
    assert kind({"type": "object", "additionalProperties": {"type": "string"}}) == "object of text by name"
    assert kind({"type": "string", "format": "binary"}) == "bytes"
    assert kind({}) == "anything"
    limited = {"type": "number", "exclusiveMinimum": 0, "maximum": 600.0, "default": 2.0, "description": "Of `x`."}
    assert what(limited, False) == "number, at most 600, above 0, <code>2.0</code> unless given. Of <code>x</code>."
    assert what({"type": "integer"}, True) == "whole number, needed"
    assert what({"type": "integer", "default": None}, False) == "whole number, <code>null</code> unless given"


def test_the_fields_of_a_body_are_in_the_section_of_its_endpoint(schema):
    page = reference.page(schema)
    section = page.partition('<section id="post-api-timeline"')[2].partition("</section>")[0]
    for word in ("video", "labels", "window_s", "above 0", "at most 600", "2.0", "429", "TimelineRequest"):
        assert word in section


EVIL = "<img src=x onerror=alert(1)>\"'`</code></pre><script>`&amp;{0}{python}"


def spoiled(value):
    """A schema whose every word that is not of OpenAPI itself is an attack."""
    kept = {"$ref", "type", "format", "in"}
    if isinstance(value, dict):
        return {
            (key + EVIL if key in {"video", "labels", "Job", "/api/timeline", "application/json"} else key): (
                inner if key in kept else spoiled(inner)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [spoiled(inner) for inner in value]
    return EVIL + value if isinstance(value, str) else value


def test_a_schema_is_text(schema):
    bad = spoiled(schema)
    bad["servers"] = [{"url": EVIL}]
    bad["components"]["schemas"]["More"] = {
        "type": EVIL,
        "format": EVIL,
        "properties": {"a": {"type": EVIL, "format": EVIL}, "b": {"type": "string", "format": EVIL}},
    }
    bad["components"]["schemas"]["Other"] = {"$ref": EVIL}
    read = Read(reference.page(bad))
    assert {tag for tag, _ in read.tags} <= TAGS
    assert {name for _, attrs in read.tags for name in attrs} <= ATTRIBUTES
    assert not [value for _, attrs in read.tags for value in attrs.values() if {*"<>'\""} & {*value}]
    assert " ".join(read.text).count("<img src=x onerror=alert(1)>") > 100


def test_a_schema_with_nothing_in_it_is_a_page():
    assert "Two programs to copy" in "".join(Read(reference.page({})).text)


# The programs --------------------------------------------------------------------------------------------------------


def test_the_programs_name_the_server_of_the_schema():
    url = "http://127.0.0.1:9000"
    text = "".join(Read(reference.page({"servers": [{"url": url}]})).text)
    for program in (reference.PYTHON_CLIENT, reference.CURL):
        assert reference.ADDRESS in program
        assert program in "".join(Read(reference.page({})).text)
        assert program.replace(reference.ADDRESS, url) in text


def test_the_python_program_is_five_lines_without_packages():
    lines = reference.PYTHON_CLIENT.splitlines()
    assert lines[0].startswith("import ")
    assert len(lines[1:]) == 5
    assert {*re.findall(r"[\w.]+", lines[0].removeprefix("import "))} - {"as", "web"} <= {"json", "urllib.request"}


@pytest.mark.page
@pytest.mark.parametrize("shell", ["python", "sh"])
def test_the_programs_work(shell, server: Running, client, clips: Clips, tmp_path):
    if shell == "sh" and not (shutil.which("sh") and shutil.which("curl")):
        pytest.skip("there is no curl")
    shutil.copy(clips.clip("running"), tmp_path / "clip.mp4")
    command, program = {
        "python": ([sys.executable, "-c"], reference.PYTHON_CLIENT), "sh": (["sh", "-ec"], reference.CURL)
    }[shell]  # fmt: skip
    program = program.replace(reference.ADDRESS, server.client.url)
    done = subprocess.run([*command, program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    head = lines.index("start_s,end_s,label,score")
    assert lines[head + 1].startswith("0.0,")
