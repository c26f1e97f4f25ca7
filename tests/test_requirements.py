"""The list of requirements is fit to be read: by the plugin, by people, by programs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

LIST = Path(__file__).parent.parent / "docs" / "requirements.toml"

LEVELS = {
    "MUST",
    "MUST NOT",
    "MUST*",
    "SHOULD",
    "SHOULD NOT",
    "RECOMMENDED",
    "MAY",
    "OPTIONAL",
    "txt",
    "H",
    "practice",
    "IANA",
    "none",
}
ISSUES = {
    "foundation",
    "rfc9449",
    "symmetric",
    "scale",
    "speed",
    "client",
    "practice",
    "informative",
}
ROLES = {"AS", "RS", "client", "all"}
TARGETS = {
    "TOKEN_REQUEST",
    "TOKEN_RESPONSE",
    "KEY_JWE",
    "ACCESS_TOKEN",
    "SYM_PROOF",
    "RES_PROOF",
    "CHALLENGE",
    "KEYRING",
    "TICKET",
    "AS_METADATA",
    "RS_METADATA",
    "AS",
    "CLIENT",
    "RS",
}
FAMILIES = list("GHSCNTMBPDRQXJFWU")
RFC9449_ID = re.compile(r"[A-Z]-[1-9][0-9]?[abc]?")
PROFILE_ID = re.compile(r"[RCE][1-9][0-9]{3}|T[1-9][0-9]?")
# Dates, section numbers and addresses have full stops; the end of a sentence is
# followed by white space.
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")

SECTION = re.compile(
    r"RFC [0-9]{4} [0-9]"
    r"|Practice, [a-z][A-Za-z ]+$"
    r"|FAPI 2\.0 Security Profile [0-9]"
    r"|DPoP Symmetric Profile 1\.0(, (threat T[0-9]+|[a-z][A-Za-z ]+))?$"
)

DATA: dict[str, Any] = tomllib.loads(LIST.read_text(encoding="utf-8"))
REQUIREMENTS: list[dict[str, str]] = DATA["requirement"]
IDS = [entry["id"] for entry in REQUIREMENTS]


def test_ids_are_unique() -> None:
    assert sorted(set(IDS)) == sorted(IDS)


def test_enforced_names_issues_that_need_tests() -> None:
    enforced = DATA["enforced"]

    assert set(enforced) <= ISSUES - {"informative"}
    assert len(set(enforced)) == len(enforced)


def test_every_family_counts_from_one_without_a_gap() -> None:
    for family in FAMILIES:
        numbers = [
            int(re.sub("[^0-9]", "", name))
            for name in IDS
            if name.startswith(f"{family}-")
        ]

        assert sorted(set(numbers)) == list(range(1, len(set(numbers)) + 1)), family


def test_the_threats_are_numbered_from_1_to_28() -> None:
    threats = [name for name in IDS if re.fullmatch("T[0-9]+", name)]

    assert threats == [f"T{number}" for number in range(1, 29)]


def test_families_stand_together() -> None:
    families = [re.sub("[0-9].*", "", name) for name in IDS]
    changes = [
        family
        for before, family in zip(["", *families], families, strict=False)
        if before != family
    ]

    assert changes == [f"{family}-" for family in FAMILIES] + ["R", "C", "E", "T"]


def test_ids_are_of_a_known_form() -> None:
    forms = {True: RFC9449_ID, False: PROFILE_ID}

    assert not [name for name in IDS if not forms["-" in name].fullmatch(name)]


def test_members_are_from_the_lists() -> None:
    assert {entry["level"] for entry in REQUIREMENTS} <= LEVELS
    assert {entry["issue"] for entry in REQUIREMENTS} <= ISSUES
    assert {role for entry in REQUIREMENTS for role in entry["role"].split(", ")} <= (
        ROLES
    )


def test_sections_name_a_specification() -> None:
    odd = [
        entry["section"]
        for entry in REQUIREMENTS
        if not SECTION.match(entry["section"])
    ]

    assert not odd


def test_texts_are_one_sentence_each() -> None:
    odd = [
        entry["id"]
        for entry in REQUIREMENTS
        if [end.end() for end in SENTENCE_END.finditer(entry["text"])]
        != [len(entry["text"])]
        or not entry["text"][0].isupper()
    ]

    assert not odd


def test_texts_are_plain_and_fit_a_cell_of_a_table() -> None:
    odd = [
        entry["id"]
        for entry in REQUIREMENTS
        if not re.fullmatch(r"[!-{}~]+( [!-{}~]+)*", entry["text"])
    ]

    assert not odd


def test_each_requirement_of_the_profile_and_nothing_else_has_a_target() -> None:
    of_the_profile = [name for name in IDS if re.fullmatch("R[0-9]{4}", name)]
    with_target = [entry["id"] for entry in REQUIREMENTS if "target" in entry]

    assert with_target == of_the_profile
    assert {entry.get("target", "RS") for entry in REQUIREMENTS} <= TARGETS


def test_what_must_be_done_is_never_informative() -> None:
    by_level = {level: set[str]() for level in LEVELS}
    for entry in REQUIREMENTS:
        by_level[entry["level"]].add(entry["issue"])

    assert by_level["none"] == {"informative"}
    assert by_level["practice"] == {"practice"}
    for level in ("MUST", "MUST NOT", "MUST*"):
        assert "informative" not in by_level[level]


def test_the_profile_is_numbered_in_order() -> None:
    for letter in "RCE":
        numbers = [name for name in IDS if re.fullmatch(f"{letter}[0-9]{{4}}", name)]

        assert numbers == sorted(numbers)
