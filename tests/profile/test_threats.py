"""Each threat has a test that shows what stops it, or a word on why there is none."""

from __future__ import annotations

import tomllib

import pytest

from tests.documents.links import links, requirements_of, rows
from tests.documents.regions import DOCS

TEXT = (DOCS / "security.md").read_text("utf-8")
THREATS = {row[0]: row[-1] for row in rows(TEXT, "Threats")}
LIST = tomllib.loads((DOCS / "requirements.toml").read_text("utf-8"))
ISSUES = {entry["id"]: entry["issue"] for entry in LIST["requirement"]}
#: Shown by vectors, whose marks are in their files.
BY_VECTORS = ("tests/profile/test_proof_vectors.py", "test_a_symmetric_proof")


def test_the_table_has_every_threat_once() -> None:
    assert list(THREATS) == [f"T{number}" for number in range(1, 29)]


@pytest.mark.parametrize("threat", THREATS)
def test_the_tests_of_a_threat_are_there_and_marked_with_it(threat: str) -> None:
    for path, name in links(THREATS[threat]):
        assert name in requirements_of(path), f"{path} has no {name}"
        marks = requirements_of(path)[name]
        assert threat in marks or (path, name) == BY_VECTORS, name


@pytest.mark.parametrize("threat", THREATS)
def test_a_threat_that_must_have_a_test_has_one(threat: str) -> None:
    if ISSUES[threat] in LIST["enforced"]:
        assert links(THREATS[threat])
    if ISSUES[threat] == "informative":
        assert f"({threat})" in TEXT.partition("## What remains")[2]


def test_nothing_else_on_the_page_names_a_test_that_is_not_there() -> None:
    for path, name in links(TEXT):
        assert name in requirements_of(path), f"{path} has no {name}"
