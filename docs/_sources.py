"""Links to source files open a page with the source, and where their text is a name, at its definition."""

import ast
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[1]


@cache
def lines(path: Path) -> dict[str, int]:
    """Where functions, classes and methods (`Class.method`) begin."""
    found: dict[str, int] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                found[prefix + child.name] = child.lineno
                walk(child, f"{prefix}{child.name}.")

    walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


class SourceLinks(SphinxTransform):
    """Downloads of Python files become links to their pages."""

    default_priority = 400

    def apply(self) -> None:
        here = dirname(self.env.docname)
        for node in [*self.document.findall(addnodes.download_reference)]:
            target = normpath(join(here, node["reftarget"]))
            if not target.endswith(".py"):
                continue
            line = lines(ROOT / target).get(node.astext().removesuffix("()"))
            uri = f"{'../' * self.env.docname.count('/')}{target}.html" + (f"#source-{line}" if line else "")
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))
            self.env.metadata[self.env.docname].setdefault("sources", []).append(target)


def pages(app: Sphinx):
    """A page for each source file that is linked to."""
    formatter = HtmlFormatter(linenos="inline", anchorlinenos=True, lineanchors="source")
    for target in sorted({path for data in app.env.metadata.values() for path in data.get("sources", ())}):
        code = highlight((ROOT / target).read_text(encoding="utf-8"), PythonLexer(), formatter)
        yield target, {"title": target, "body": f"<h1>{target}</h1>\n{code}", "parents": []}, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(SourceLinks)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
