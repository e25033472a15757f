"""LaTeX formulas as MathML, which browsers draw without a script."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)


def mathml(writer, node: nodes.Element, *, as_block: bool) -> None:
    """Write a formula; one that cannot be converted is a warning, and shown as it was typed."""
    try:
        text = tex2mathml(node.astext(), as_block)
    except MathError as error:
        log.warning("formula: %s", error, location=node)
        text = f"<code>{writer.encode(node.astext())}</code>"
    writer.body.append(f'<div class="formula">{text}</div>\n' if as_block else text)
    raise nodes.SkipNode


def inline(writer, node: nodes.math) -> None:
    mathml(writer, node, as_block=False)


def block(writer, node: nodes.math_block) -> None:
    mathml(writer, node, as_block=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
