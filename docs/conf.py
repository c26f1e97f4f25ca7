"""How Sphinx makes the site: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "dpop-ext"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "tests.documents.python_names",
    "tests.documents.repository_files",
    "tests.documents.requirement_lists",
]

html_theme = "furo"
html_title = "dpop-ext"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "tango"

myst_heading_anchors = 3
myst_url_schemes = ["https", "mailto", "repository"]

toc_object_entries = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
nitpicky = True
nitpick_ignore = [
    ("py:class", "WSGIApplication"),  # for type checkers alone
    ("py:attr", "Attempt.authenticate"),  # made by __init__
]
