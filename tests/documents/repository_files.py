"""A Sphinx extension: links from ``docs/`` to other files of the repository.

They work in a view of the repository as they stand. In the site each leads to a page
with the text of the file, at the function that the link names.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final
from urllib.parse import urldefrag

from docutils import nodes
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.util.osutil import relative_uri

from tests.documents.links import ROOT

#: What the links are in between.
SCHEME: Final = "repository:"

_LINK: Final = re.compile(r"\]\(((?:\.\./)+[^)\s]+)\)")
_log: Final = getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect with the events of Sphinx."""
    app.connect("source-read", _name_files)
    app.connect("doctree-resolved", _resolve_links)
    app.connect("build-finished", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def outside(page: str, target: str) -> str | None:
    """Return where a link of a page leads, from the root; None if into ``docs/``.

    :param page: path of the page without its extension, below ``docs/``.
    :param target: path that is relative to the page, perhaps with a fragment.
    """
    folder = posixpath.join("docs", posixpath.dirname(page))
    path = posixpath.normpath(posixpath.join(folder, target))
    return None if path.startswith("docs/") else path


def line_of(text: str, name: str) -> int | None:
    """Return the number of the line where a function or class is defined."""
    found = re.search(rf"^ *(?:async )?(?:def|class) {name}\b", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _name_files(_app: Sphinx, page: str, source: list[str]) -> None:
    def renamed(found: re.Match[str]) -> str:
        path = outside(page, found[1])
        return found[0] if path is None else f"]({SCHEME}{path})"

    source[0] = _LINK.sub(renamed, source[0])


def _resolve_links(app: Sphinx, doctree: nodes.document, page: str) -> None:
    here = app.builder.get_target_uri(page)
    for node in doctree.findall(nodes.reference):
        uri = node.get("refuri", "")
        if not uri.startswith(SCHEME):
            continue
        path, name = urldefrag(uri.removeprefix(SCHEME))
        file = ROOT / path
        # A folder has no page.
        if file.is_dir():
            node.replace_self(node.children)
            continue
        line = line_of(file.read_text("utf-8"), name) if file.is_file() else None
        if not file.is_file() or (name and line is None):
            _log.warning("nothing is at %s", uri, location=node)
            continue
        _linked(app).add(path)
        there = app.builder.get_target_uri(_page_of(path))
        fragment = f"#line-{line}" if line else ""
        node["refuri"] = relative_uri(here, there) + fragment
        node["classes"].append("file")


def _write_pages(app: Sphinx, error: Exception | None) -> None:
    for path in sorted(_linked(app)) if error is None else ():
        uri = app.builder.get_target_uri(_page_of(path))
        page = Path(app.outdir, uri)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_page(path, relative_uri(uri, "")), "utf-8")


def _page(path: str, root: str) -> str:
    """Return the page of a file: without the theme, which makes much of each page."""
    formatter = HtmlFormatter(linespans="line", wrapcode=True)
    text = (ROOT / path).read_text("utf-8")
    code = highlight(text, get_lexer_for_filename(Path(path).name), formatter)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{path}</title>
<link rel="stylesheet" href="{root}_static/pygments.css">
<link rel="stylesheet" href="{root}_static/site.css">
<body class="file">
<h1>{path}</h1>
{code}
</body>
</html>
"""


def _page_of(path: str) -> str:
    return f"_files/{path}"


def _linked(app: Sphinx) -> set[str]:
    found: set[str] = app.env.__dict__.setdefault("repository_files", set())
    return found
