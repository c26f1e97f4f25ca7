"""Each row of the mapping to WS-Trust has a test that shows it."""

from __future__ import annotations

import pytest

from tests.documents.links import links, requirements_of, rows
from tests.documents.regions import DOCS

ROWS = rows((DOCS / "ws-trust.md").read_text("utf-8"), "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_a_test_that_is_there(row: list[str]) -> None:
    (link,) = links(row[-1])
    path, name = link
    assert name in requirements_of(path), f"{path} has no {name}"
