"""The site: `make docs` builds it to build/docs.

The source folder of Sphinx is the repository, so a link between pages is the same relative path on the site, on GitHub
and in an editor. Formulas become MathML; nothing is loaded from another server.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

project = "ActionPrompt"
author = "The ActionPrompt authors"
copyright = author
project_file = (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
release = re.search(r'^version = "(.+)"$', project_file, re.MULTILINE)[1]

extensions = ["myst_parser", "sphinx_copybutton", "_formulas", "_notebook", "_reference", "_sources"]
root_doc = "docs/index"
include_patterns = ["docs/**", "results/*.md", "*.md"]
exclude_patterns = ["README.md", "docs/_*", "**/.*"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # results/*.md are filled from records, and a part may be one level down
smartquotes = False  # they would turn --options into dashes
html_math_renderer = "mathml"

html_theme = "furo"
html_title = f"ActionPrompt {release}"
font = Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"
html_static_path = ["_static", str(font)]
html_css_files = ["site.css"]
html_favicon = "../src/actionprompt/page/static/icon.svg"
html_extra_path = ["_extra"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
toc_object_entries_show_parents = "hide"
python_display_short_literal_types = True
maximum_signature_line_length = 100
