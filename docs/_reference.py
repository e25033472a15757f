"""Directives that make the reference: docstrings, which are Markdown, and signatures as they are in the source.

    ```{api} actionprompt.video      of a module: the names in the body, or without a body all public ones it defines
    read_frames
    ```
    ```{options} predict             of a command: what it does and its options
    ```

The source is parsed and not imported: annotations keep their shapes, and a site can be built without torch.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SOURCE = Path(__file__).parents[1] / "src"
Definition = ast.FunctionDef | ast.ClassDef


def path_of(module: str) -> Path:
    place = SOURCE.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def find(module: str, name: str) -> tuple[str, Definition]:
    """The module that defines a name, and its definition; imports are followed."""
    for node in ast.walk(tree(module)):
        if isinstance(node, Definition) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return find(str(node.module), name)
    raise LookupError(f"{module} has no {name}")


def public(module: str) -> list[str]:
    """Names of the functions and classes that a module defines, with a docstring."""
    defined = [node for node in tree(module).body if isinstance(node, Definition)]
    return [node.name for node in defined if not node.name.startswith("_") and ast.get_docstring(node)]


@cache
def constants(module: str) -> dict[str, ast.Constant]:
    """Literal values by the name of the module's constant."""
    found = {}
    for node in (node for node in tree(module).body if isinstance(node, ast.Assign)):
        target, value = node.targets[0], node.value
        names, values = (target.elts, value.elts) if isinstance(target, ast.Tuple) else ([target], [value])
        pairs = [(a, b) for a, b in zip(names, values) if isinstance(a, ast.Name) and isinstance(b, ast.Constant)]
        found |= {a.id: b for a, b in pairs}
    return found


def signature(node: ast.FunctionDef, module: str) -> str:
    """Arguments as in the source, without self and with the values of constants, and what is returned."""
    args = ast.parse(ast.unparse(node)).body[0].args  # a copy
    if args.args and args.args[0].arg in ("self", "cls"):
        del args.args[0]
    for values in (args.defaults, args.kw_defaults):
        values[:] = [
            constants(module).get(value.id, value) if isinstance(value, ast.Name) else value for value in values
        ]
    return f"({ast.unparse(args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def markdown(node: ast.AST | str | None) -> list[str]:
    """The docstring of a definition, or a text, as lines of Markdown; a `Raises:` section becomes a list."""
    text = node if isinstance(node, str) else (ast.get_docstring(node) or "" if node is not None else "")
    parts = re.split(r"(`[^`]*`)", text)
    text = "".join(part if part.startswith("`") else re.sub(r"<(?=\w)", "&lt;", part) for part in parts)
    lines, inside = [], False
    for line in text.splitlines():
        if line.strip() in ("Raises:", "Yields:", "Returns:"):
            inside = True
            lines += ["", f"**{line.strip()[:-1]}**", ""]
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, what = line.strip().partition(": ")
            lines.append(f"- `{name}`: {what}")
        elif inside and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line.strip()
            lines.append(line)
    return lines


def fields(node: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Annotated attributes with the docstring below each."""
    for item, after in zip(node.body, [*node.body[1:], None]):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[0] != "_":
            below = after.value if isinstance(after, ast.Expr) else None
            text = below.value if isinstance(below, ast.Constant) and isinstance(below.value, str) else ""
            yield item, "\n".join(line.strip() for line in text.splitlines())


def default(value: ast.expr | None) -> str:
    """The default of a field as source; nothing where it is made by a function."""
    text = ast.unparse(value) if value is not None else ""
    return "" if text == "tyro.MISSING" or text.startswith("field(") else text


def value_of(value: ast.expr | None, module: str) -> ast.expr | None:
    """What a name of the source stands for: a constant, or a field of a class or of an instance with its defaults."""
    from_where = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in tree(module).body if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    if isinstance(value, ast.Name):
        home, name = from_where.get(value.id, (module, value.id))
        return constants(home).get(name, value)
    if not (isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and default(value)):
        return value
    owner = value.value.id
    inner = ".".join(from_where.get(owner, ()))
    if inner and path_of(inner).exists():
        return constants(inner).get(value.attr, value)
    made = [n.value for n in tree(module).body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == owner]
    home, node = find(module, ast.unparse(made[0].func) if made else owner)
    return next(item.value for item, _ in fields(node) if item.target.id == value.attr)


def typed(value: ast.expr | None, module: str) -> str:
    """A default as it is typed after the option; nothing where there is none or a function makes it."""
    value = value_of(value, module)
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Path":
        value = value.args[0]
    if isinstance(value, ast.Tuple):
        return " ".join(typed(item, module) for item in value.elts)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else default(value)


def fence(depth: int, kind: str, what: str, options: dict[str, str], content: list[str]) -> list[str]:
    """A directive around content, whose fence is longer than those within."""
    marks = "`" * (8 - depth)
    head = [f"{marks}{{py:{kind}}} {what}", *[f":{name}: {value}" for name, value in options.items() if value], ""]
    return ["", *head, *content, marks, ""]


def describe(module: str, home: str, node: Definition) -> list[str]:
    """Markdown with the directives of Sphinx's Python domain."""
    within = {"module": module}
    if isinstance(node, ast.FunctionDef):
        return fence(1, "function", f"{node.name}{signature(node, home)}", within, markdown(node))
    content, methods = markdown(node), []
    for item, text in fields(node):
        options = {"type": ast.unparse(item.annotation), "value": default(item.value)}
        content += fence(2, "attribute", item.target.id, options, markdown(text))
    made = ""
    for item in (item for item in node.body if isinstance(item, ast.FunctionDef)):
        if item.name == "__init__":
            made = signature(item, home).removesuffix(" -> None")
        if item.name.startswith("_") or not ast.get_docstring(item):
            continue
        of = {ast.unparse(decorator) for decorator in item.decorator_list}
        if "property" in of:
            returned = {"type": ast.unparse(item.returns) if item.returns else ""}
            methods += fence(2, "property", item.name, returned, markdown(item))
        else:
            methods += fence(2, "method", f"{item.name}{signature(item, home)}", {}, markdown(item))
    return fence(1, "class", f"{node.name}{made}", within, [*content, *methods])


class FromSource(SphinxDirective):
    """Markdown made of source files, in place of the directive."""

    optional_arguments = 1
    has_content = True

    def made(self) -> Iterator[str]:
        """The lines."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        box = nodes.Element()
        self.state.nested_parse(StringList([*self.made()], source=self.env.docname), 0, box)
        return box.children

    def read(self, module: str) -> str:
        """The module, whose changes make the page be read again."""
        self.env.note_dependency(str(path_of(module)))
        return module

    def all_of(self, package: str) -> Iterator[str]:
        """The modules of a registry."""
        for path in sorted(path_of(package).parent.glob("[a-z]*.py")):
            yield self.read(f"{package}.{path.stem}")


class About(FromSource):
    """The docstring of a module."""

    def made(self) -> Iterator[str]:
        yield from markdown(tree(self.read(self.arguments[0])))


class Api(FromSource):
    """Functions and classes of a module."""

    def made(self) -> Iterator[str]:
        module = self.arguments[0]
        for name in " ".join(self.content).split() or public(module):
            home, node = find(module, name)
            yield from describe(module, self.read(home), node)


class Command(FromSource):
    """What a command does, and its options."""

    def made(self) -> Iterator[str]:
        module = self.read(f"actionprompt.commands.{self.arguments[0].replace('-', '_')}")
        summary, _, more = (ast.get_docstring(tree(module)) or "").partition("\n")
        what, _, call = summary.partition(": actionprompt ")
        usage = f"actionprompt {call.strip() or self.arguments[0]}"
        yield from (f"{what.removesuffix('.')}.", "", "```text", usage, "```", "", *markdown(more), "")
        for name in parsed(module):
            home, node = find(module, name)
            for item, text in fields(node):
                says = " ".join(markdown(text)) or f"fields of `{ast.unparse(item.annotation)}`"
                yield from ("", f"- {option(item, home)}: {says}")
        for names, text in arguments(module):
            yield from ("", f"- {names}" + (f": {' '.join(markdown(text))}" if text else ""))


class Settings(FromSource):
    """The settings of every method."""

    def made(self) -> Iterator[str]:
        for module in self.all_of("actionprompt.methods"):
            yield from describe(module, module, find(module, "Config")[1])


class DataSets(FromSource):
    """What every data set is."""

    def made(self) -> Iterator[str]:
        for module in self.all_of("actionprompt.datasets"):
            yield from ("", f"**`{module.rpartition('.')[2]}`**", "", *markdown(tree(module)), "")


def parsed(module: str) -> list[str]:
    """The classes of options that a command reads."""
    calls = [
        node for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "parse"
    ]
    return [ast.unparse(call.args[0]) for call in calls]


def arguments(module: str) -> Iterator[tuple[str, str]]:
    """Names and texts of the arguments of a command that has an `argparse` parser of its own."""
    for call in (node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            text = given.get("help")
            yield (
                ", ".join(f"`{name.value}`" for name in call.args if isinstance(name, ast.Constant)),
                text.value if isinstance(text, ast.Constant) else "",
            )


def option(item: ast.AnnAssign, module: str) -> str:
    """Name, type and default of an option; what is on by default with the name that turns it off."""
    kind, marks = item.annotation, []
    while isinstance(kind, ast.Subscript) and ast.unparse(kind.value).startswith(("Annotated", "tyro.conf.")):
        marks.append(ast.unparse(kind.value))
        kind = kind.slice.elts[0] if marks[-1] == "Annotated" else kind.slice
    name = item.target.id.replace("_", "-")
    given = f"`{name.upper()}`" if "tyro.conf.Positional" in marks else f"`--{name}`"
    value = typed(item.value, module)
    if ast.unparse(kind) == "bool" and value == "True":
        given += f", `--no-{name}`"
    return f"{given} *({ast.unparse(kind)}{f', default {value}' if value else ''})*"


DIRECTIVES = {"about": About, "api": Api, "options": Command, "methods": Settings, "datasets": DataSets}


def setup(app: Sphinx) -> dict[str, bool]:
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
