"""The site of ``docs/`` is built without a warning and needs nothing from elsewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import pytest
from sphinx.util.inventory import InventoryFile

from tests.documents.links import ROOT
from tests.documents.regions import DOCS

#: What a browser fetches by itself.
FETCHED = re.compile(
    r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]+)"
)
LINKED = re.compile(r"<a\b[^>]*?href=\"([^\"]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as ``make docs`` does."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", folder / "d", DOCS, folder],
        check=False,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def pages(site: Path) -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in site.rglob("*.html")}


def test_every_document_is_in_the_site(site: Path) -> None:
    for document in DOCS.rglob("*.md"):
        page = site / document.relative_to(DOCS).with_suffix(".html")
        assert page.is_file()


def test_every_name_that_a_document_imports_is_in_the_reference(site: Path) -> None:
    content = (site / "objects.inv").read_bytes()
    described = set().union(*InventoryFile.loads(content, uri="").data.values())
    # One that two packages have is described in the lower one.
    described.add("dpop_ext.ProofSigner")
    for document in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for name in imported(document.read_text("utf-8")):
            assert name in described, document


def imported(text: str) -> Iterator[str]:
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "")[:8] == "dpop_ext"
            ):
                yield from (f"{node.module}.{name.name}" for name in node.names)


def test_the_site_fetches_nothing_from_other_hosts(site: Path) -> None:
    for path, text in pages(site).items():
        for uri in FETCHED.findall(text):
            assert not urlsplit(uri).netloc, (path, uri)


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    found = pages(site)
    for path, text in found.items():
        for uri in LINKED.findall(text):
            if urlsplit(uri).scheme:
                continue
            target, fragment = urldefrag(uri)
            there = (path.parent / target).resolve() if target else path
            assert there.is_file(), (path, uri)
            if fragment and there in found:
                assert f'id="{fragment}"' in found[there], (path, uri)


def test_a_document_in_no_table_of_contents_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# Title\n")
    (tmp_path / "alone.md").write_text("# Nobody leads here\n")
    program = [sys.executable, "-m", "sphinx", "-C", "-D", "extensions=myst_parser"]
    built = subprocess.run(
        [*program, "--fail-on-warning", "--quiet", tmp_path, tmp_path / "site"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 1
    assert "toctree" in built.stderr
