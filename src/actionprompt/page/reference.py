"""The reference at /docs: the OpenAPI schema as a page to read, with two programs to copy."""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

Schema = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
SHAPES = "#/components/schemas/"
ADDRESS = "http://127.0.0.1:7860"
"""In the programs, unless the schema names a server."""
PYTHON_CLIENT = f"""\
import json, urllib.request as web
ask = lambda path, data=None: web.urlopen(web.Request("{ADDRESS}" + path, data, {{"Content-Type": "application/json"}}))
video = json.load(ask("/api/videos?name=clip.mp4", open("clip.mp4", "rb")))
job = json.load(ask("/api/timeline", json.dumps({{"video": video["id"], "labels": ["wave", "walk"]}}).encode()))
ask(f"/api/jobs/{{job['id']}}/events").read()  # ends with the job
print(ask(f"/api/jobs/{{job['id']}}/result.csv").read().decode())
"""
"""Prints what happens when in `clip.mp4`."""
CURL = f"""\
page={ADDRESS}
video=$(curl -sf -X POST -T clip.mp4 "$page/api/videos?name=clip.mp4" | grep -oE '[0-9a-f]{{16}}' | head -n 1)
job=$(curl -sf -H 'Content-Type: application/json' -d '{{"video": "'$video'", "labels": ["wave", "walk"]}}' \\
  "$page/api/timeline" | grep -oE '[0-9a-f]{{16}}' | head -n 1)
curl -sfN "$page/api/jobs/$job/events"  # ends with the job
curl -sf "$page/api/jobs/$job/result.csv"
"""
"""The same in a shell."""
START = """\
<p>Everything that the page does, a program can do as well: upload a video, ask for something that takes its time (a
job), wait, and read the result. Bodies and answers are JSON, but for the bytes of videos. An error is
<code>{{"error": "what was expected, and what came"}}</code> with its status. The schema is at
<a href="/openapi.json">/openapi.json</a>.</p>
<h3 id="python">Python, without packages</h3>
<pre tabindex="0"><code>{python}</code></pre>
<h3 id="shell">Shell</h3>
<pre tabindex="0"><code>{shell}</code></pre>
<h3 id="token">With a token</h3>
<p>Where the server was started with a token, or listens to a network, every request has to carry the token that the
terminal printed: as the header <code>Authorization: Bearer TOKEN</code>, in Python next to
<code>Content-Type</code>, in the shell with <code>-H</code>. Bodies of more than 1 MB are refused, but for
videos.</p>
"""
WORKED = {"202": "A job that waits for its turn, or works already."}
"""What FastAPI calls a successful response, by its status."""
LIMITS = {
    "minLength": "at least {} characters", "maxLength": "at most {} characters", "minItems": "at least {} items",
    "maxItems": "at most {} items", "minimum": "at least {}", "maximum": "at most {}", "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}", "multipleOf": "a multiple of {}", "pattern": "matches {}",
}  # fmt: skip


def page(openapi: Schema) -> str:
    """The page. Whatever the schema says is text on it: no mark-up of a description is kept but `code`."""
    operations = [
        (method, path, item[method]) for path, item in openapi.get("paths", {}).items() for method in METHODS
        if method in item
    ]  # fmt: skip
    shapes: Schema = openapi.get("components", {}).get("schemas", {})
    info = openapi.get("info", {})
    address = next((str(server["url"]) for server in openapi.get("servers", [])), ADDRESS)
    python, shell = (escape(program.replace(ADDRESS, address)) for program in (PYTHON_CLIENT, CURL))
    contents = [
        ("#start", "Two programs to copy"),
        *((f"#{anchor(m, p)}", f"{m.upper()} {p}") for m, p, _ in operations),
    ]
    links = "".join(f'<li><a href="{escape(to)}">{_endpoint(name)}</a></li>' for to, name in contents)
    named = "".join(f'<li><a href="#{anchor("shape", name)}">{escape(name)}</a></li>' for name in shapes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(str(info.get("title", "ActionPrompt")))}: for programs</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<main class="reference">
<header>
<p><a href="/">Back to the page</a></p>
<h1>{escape(str(info.get("title", "ActionPrompt")))}: for programs</h1>
<p>{text(info.get("description", ""))} Version {escape(str(info.get("version", "")))}.</p>
</header>
<nav aria-label="Contents">
<h2>Contents</h2>
<ul>{links}</ul>
<h3>Shapes</h3>
<ul class="row">{named}</ul>
</nav>
<section id="start">
<h2>Two programs to copy</h2>
{START.format(python=python, shell=shell)}</section>
{"".join(_operation(*operation, shapes) for operation in operations)}
<section id="shapes">
<h2>Shapes</h2>
{"".join(_shape(name, shape) for name, shape in shapes.items())}
</section>
</main>
</body>
</html>
"""


def anchor(*words: str) -> str:
    """The id of a section."""
    return "-".join(part for word in words for part in re.findall("[A-Za-z0-9_]+", word))


def text(said: object) -> str:
    """A description as HTML: escaped, with `code` as code."""
    parts = re.split("`([^`\n]+)`", escape(" ".join(str(said).split())))
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _endpoint(name: str) -> str:
    method, _, path = name.partition(" ")
    known = method.lower() in METHODS and path.startswith("/")
    return f'<span class="method">{method}</span> <code>{escape(path)}</code>' if known else escape(name)


def _operation(method: str, path: str, operation: Schema, shapes: Schema) -> str:
    """The section of an endpoint."""
    name, of_whom = anchor(method, path), f"{method.upper()} {path}"
    parts = [f'<section id="{name}" aria-labelledby="{name}-head">']
    parts.append(f'<h2 id="{name}-head">{_endpoint(of_whom)}</h2>')
    parts.append(f"<p>{text(operation.get('description') or operation.get('summary', ''))}</p>")
    parameters = operation.get("parameters", [])
    if parameters:
        rows = (
            (
                p["name"],
                p.get("in", ""),
                p.get("required", False),
                {"description": p.get("description", ""), **p["schema"]},
            )
            for p in parameters
        )
        parts.append(_table("Parameters", of_whom, ("name", "in", "what"), (_parameter(*row) for row in rows)))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        of = content.get("schema", {})
        parts.append(f"<p><b>Body</b> <code>{escape(kind)}</code>: {kind_of(of)}</p>")
        parts.append(_fields("Body", of_whom, shapes.get(str(of.get("$ref", "")).removeprefix(SHAPES), of)))
    answers = (
        (
            f"<code>{escape(str(status))}</code>",
            text(_when(str(status), str(answer.get("description", "")))),
            ", ".join(_content(kind, content) for kind, content in answer.get("content", {}).items()) or "nothing",
        )
        for status, answer in sorted(operation.get("responses", {}).items())
    )
    parts.append(_table("Answers", of_whom, ("status", "when", "body"), answers))
    return "\n".join([*parts, "</section>\n"])


def _parameter(name: str, place: str, required: bool, schema: Schema) -> tuple[str, ...]:
    return f"<code>{escape(name)}</code>", escape(place), _what(schema, required)


def _content(kind: str, content: Schema) -> str:
    of = content.get("schema") or {}
    named = "" if kind == "application/json" else f"<code>{escape(kind)}</code>"
    return " ".join(part for part in (kind_of(of) if of else "", named) if part) or f"<code>{escape(kind)}</code>"


def _shape(name: str, shape: Schema) -> str:
    """The section of a type."""
    parts = [
        f'<section id="{anchor("shape", name)}">',
        f"<h3>{escape(name)}</h3>",
        f"<p>{text(shape.get('description', ''))}</p>",
    ]
    parts.append(_fields("Fields", name, shape) or f"<p>{kind_of(shape)}</p>")
    return "\n".join([*parts, "</section>\n"])


def _fields(caption: str, of: str, shape: Schema) -> str:
    """The table of the fields of an object; nothing where it has none."""
    required, fields = shape.get("required", []), shape.get("properties", {})
    rows = [(f"<code>{escape(field)}</code>", _what(of, field in required)) for field, of in fields.items()]
    return _table(caption, of, ("name", "what"), rows) if rows else ""


def _when(status: str, description: str) -> str:
    return WORKED.get(status, "It worked.") if description == "Successful Response" else description


def _table(caption: str, of: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of cells that are HTML; the first of a row is its head. `of` is the section that it is in."""
    plain = " ".join(re.findall("[A-Za-z0-9_/]+", of))
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{caption} of {plain}" tabindex="0"><table>'
        f"<caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _what(schema: Schema, required: bool) -> str:
    """Type, limits, default and meaning of a value."""
    said = [kind_of(schema), *limits(schema)]
    if "default" in schema:
        said.append(f"<code>{escape(json.dumps(schema['default'], ensure_ascii=False))}</code> unless given")
    elif required:
        said.append("needed")
    meaning = text(schema.get("description", ""))
    return f"{', '.join(said)}{f'. {meaning}' if meaning else ''}"


def kind_of(schema: Schema) -> str:
    """The type of a value as HTML, with links to the shapes it is made of."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(SHAPES)
        return f'<a href="#{anchor("shape", name)}">{escape(name)}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return (" and " if several == "allOf" else " or ").join(map(_inside, schema[several]))
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_inside(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_inside(schema['additionalProperties'])} by name"
    if kind == "string" and "format" in schema:
        return {"binary": "bytes", "date-time": "time (ISO 8601)"}.get(schema["format"], escape(f"{schema['format']}"))
    names = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    return escape(names.get(kind, str(kind)))


def _inside(schema: Schema) -> str:
    """A type within another, with its own limits."""
    own = limits(schema)
    return f"{kind_of(schema)} ({', '.join(own)})" if own else kind_of(schema)


def limits(schema: Schema) -> list[str]:
    """What a value has to keep to, as HTML."""
    found = []
    for name, words in LIMITS.items():
        if name in schema:
            value = schema[name]
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            found.append(words.format(f"<code>{escape(shown)}</code>" if name == "pattern" else escape(shown)))
    return found
