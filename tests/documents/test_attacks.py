"""The attacks that the README lists are those of the page, in the same words."""

from __future__ import annotations

import pytest

from tests.documents.links import ROOT, links, requirements_of, rows
from tests.documents.regions import DOCS
from tests.plugins.requirement import RequirementList

ATTACKS = rows((DOCS / "attacks.md").read_text("utf-8"), "")
LISTED = RequirementList.read(DOCS / "requirements.toml").requirements


def test_the_short_list_is_a_part_of_the_long_one() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    short = rows(readme, "Attacks and what stops them")
    assert len(short) < len(ATTACKS)
    for row in short:
        assert row in [attack[:2] for attack in ATTACKS]


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: str(row[0]))
def test_a_test_that_is_named_shows_a_requirement_that_is_named(row: list[str]) -> None:
    named = set(row[2].replace("`", "").split())
    assert named <= LISTED.keys()
    shown = links(row[3])
    assert named
    assert shown
    for path, name in shown:
        assert f"def {name}(" in (ROOT / path).read_text("utf-8")
    marks = [requirements_of(path).get(name) for path, name in shown]
    if all(marks):
        assert any(mark & named for mark in marks if mark)
