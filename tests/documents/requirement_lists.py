"""A Sphinx extension: requirements by section, with their tests, and links to them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Final

from docutils import nodes
from sphinx.application import Sphinx

from tests.documents.links import ROOT
from tests.documents.regions import DOCS
from tests.plugins.requirement import Requirement, RequirementList

#: The page with the tables, and where they come.
PAGE: Final = "requirements"
PLACE: Final = "<!-- requirements -->"

#: In this order: how the names of the specifications begin.
_ORDER: Final = ("RFC 9449", "RFC", "FAPI", "DPoP")
_DOCUMENT: Final = re.compile(r"(RFC \d+|FAPI 2\.0 Security Profile|[^,]+)(.*)")
_MARK: Final = re.compile(r"@pytest\.mark\.requirement\(([^)]*)\)")
_TEST: Final = re.compile(r"\bdef (test_\w+)")
_NAME: Final = re.compile(r'"([A-Z]\d*-?\d+[a-z]?)"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect with the events of Sphinx."""
    app.connect("source-read", _fill)
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@cache
def listed() -> dict[str, Requirement]:
    """Return every requirement by its name."""
    return RequirementList.read(DOCS / "requirements.toml").requirements


def tests_of() -> dict[str, list[str]]:
    """Return the tests, or modules of tests, that name each requirement.

    A mark that a program makes, of the rows of a table for example, is found by the
    name in the table: then the module is what is told.
    """
    found: dict[str, dict[str, None]] = defaultdict(dict)
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests/vectors").rglob("*.json")]
    for path in sorted(paths):
        text = path.read_text("utf-8")
        file = path.relative_to(ROOT).as_posix()
        for mark in _MARK.finditer(text):
            test = _TEST.search(text, mark.end())
            if test is None:
                continue
            for name in _NAME.findall(mark[1]):
                found[name][f"{file}::{test[1]}"] = None
        for name in _NAME.findall(text):
            found[name][file] = None
    return {
        name: [test for test in tests if "::" in test] or list(tests)
        for name, tests in found.items()
    }


def lists(requirements: Iterable[Requirement]) -> str:
    """Return the requirements, with a heading for each document and each section."""
    tests = tests_of()
    documents: dict[str, dict[str, list[Requirement]]] = defaultdict(dict)
    for row in requirements:
        document, section = _parts(row.section)
        documents[document].setdefault(section, []).append(row)
    blocks: list[str] = []
    for document in sorted(documents, key=_place):
        blocks.append(f"## {document}")
        sections = documents[document]
        for section in sorted(sections, key=_natural):
            blocks += [f"### {_title(document, section)}"] if section else []
            for row in sections[section]:
                blocks += [_sentence(row), _tests(tests.get(row.id, []))]
    return "\n\n".join(filter(None, blocks))


def _parts(section: str) -> tuple[str, str]:
    """Return a document, and what of it."""
    found = _DOCUMENT.fullmatch(section)
    if found is None:
        raise ValueError(f"not a section of a document: {section}")
    return found[1], found[2].lstrip(", ")


def _place(document: str) -> tuple[int, list[tuple[int, str]]]:
    first = [i for i, name in enumerate(_ORDER) if document.startswith(name)]
    return min(first, default=len(_ORDER)), _natural(document)


def _title(document: str, section: str) -> str:
    if document.startswith("RFC"):
        number = document.removeprefix("RFC ")
        uri = f"https://www.rfc-editor.org/rfc/rfc{number}#section-{section}"
        return f"Section [{section}]({uri})"
    return section if document.startswith("FAPI") else section.capitalize()


def _sentence(row: Requirement) -> str:
    text = re.sub(r"([*_<\[])", r"\\\1", row.text)
    role = row.target or row.role
    return f'<span id="{row.id}"></span>**{row.id}** ({role}, {row.level}) {text}'


def _tests(tests: list[str]) -> str:
    if not tests:
        return ""
    count = "1 test" if len(tests) == 1 else f"{len(tests)} tests"
    rows = "".join(f"<li><code>{test}</code></li>" for test in tests)
    return f"<details><summary>{count}</summary><ul>{rows}</ul></details>"


def _natural(text: str) -> list[tuple[int, str]]:
    """Order 7.2 before 7.10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.findall(r"\d+|\D+", text)
    ]


def _fill(_app: Sphinx, page: str, source: list[str]) -> None:
    if page == PAGE:
        source[0] = source[0].replace(PLACE, lists(listed().values()))


def _link(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make a link of each name of a requirement that is set like code."""
    if page == PAGE:
        return
    uri = app.builder.get_relative_uri(page, PAGE)
    for node in list(doctree.findall(nodes.literal)):
        name = node.astext()
        if name in listed() and not isinstance(node.parent, nodes.reference):
            link = nodes.reference("", "", refuri=f"{uri}#{name}", internal=True)
            node.replace_self(link)
            link += node
