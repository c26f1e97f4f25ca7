"""The documents in ``docs/`` say what the requirements, vectors and tests say."""

from __future__ import annotations

from tests.documents import profile
from tests.documents.examples import examples
from tests.documents.regions import DOCS
from tests.plugins.requirement import RequirementList

REQUIREMENTS = RequirementList.read(DOCS / "requirements.toml").requirements
ADVICE = "run: python -m tests.documents"


def test_the_profile_is_up_to_date() -> None:
    assert profile.PAGE.read_text("utf-8") == profile.page(), ADVICE


def test_every_target_of_the_requirements_is_explained() -> None:
    used = {row.target for row in REQUIREMENTS.values() if row.target is not None}
    assert used == set(profile.TARGETS)


def test_every_requirement_of_the_profile_is_on_the_page() -> None:
    text = profile.page()
    of_the_profile = [
        name for name in REQUIREMENTS if name[0] in "RCE" and "-" not in name
    ]
    assert of_the_profile
    for name in of_the_profile:
        assert text.count(f"**{name}**") == 1, name


def test_examples_show_requirements_that_are_listed() -> None:
    named = {name for example in examples() for name in example.requirements}
    assert named <= REQUIREMENTS.keys()


def test_an_example_is_told_in_a_few_lines() -> None:
    for example in examples():
        assert example.text
        assert example.is_usual or len(example.text.splitlines()) <= 8, example.name
