"""The parts of ``docs/profile.md`` that come from the requirements and the vectors."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import Final

from tests.documents.examples import Example, examples
from tests.documents.regions import DOCS, filled
from tests.plugins.requirement import Requirement, RequirementList

PAGE: Final = DOCS / "profile.md"
#: What must conform, and what it is.
TARGETS: Final = {
    "TOKEN_REQUEST": "a request to the token endpoint, with its proof",
    "TOKEN_RESPONSE": "the successful answer to it",
    "KEY_JWE": "a JWE that delivers a symmetric key",
    "ACCESS_TOKEN": "an access token, or the introspection answer for an opaque one",
    "SYM_PROOF": "a symmetric proof, in the DPoP field of a request",
    "RES_PROOF": "a response proof, in the DPoP-Response field of an answer",
    "CHALLENGE": "a WWW-Authenticate field with the scheme DPoP",
    "KEYRING": "the derivation secrets of one audience, on their way or at rest",
    "TICKET": "a ticket of a resource server, with the JWE beside it",
    "AS_METADATA": "the metadata document of an authorization server (RFC 8414)",
    "RS_METADATA": "the metadata document of a protected resource (RFC 9728)",
    "AS": "an authorization server",
    "CLIENT": "a client",
    "RS": "a resource server",
}
_VECTORS: Final = "../tests/vectors/profile"
_BASE: Final = "DPoP Symmetric Profile 1.0"


def page() -> str:
    """Return what the page should be."""
    return filled(PAGE.read_text("utf-8"), regions())


def regions() -> dict[str, str]:
    """Return the parts of the page, by name."""
    listed = RequirementList.read(DOCS / "requirements.toml").requirements
    rows = [row for row in listed.values() if row.section.startswith(_BASE)]
    return {
        "targets": _targets(),
        "usual": _usual(),
        "requirements": _requirements([row for row in rows if row.id[0] == "R"]),
        "considerations": _list([row for row in rows if row.id[0] == "C"]),
        "extensibility": _list([row for row in rows if row.id[0] == "E"]),
    }


def _targets() -> str:
    lines = ["| target | what it is |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {TARGETS[name]} |" for name in TARGETS)])


def _requirements(rows: list[Requirement]) -> str:
    found = list(examples())
    blocks: list[str] = []
    heading = ""
    for row in rows:
        if (new := _heading(row)) != heading:
            heading = new
            blocks.append(f"### {heading}")
        blocks.append(f"**{row.id}** (**{row.target}**, {row.level}) {row.text}")
        blocks += _shown(row.id, found)
    return "\n\n".join(blocks)


def _heading(row: Requirement) -> str:
    """Return the target of the first requirements, and the topic of the others."""
    topic = row.section.removeprefix(_BASE).removeprefix(", ")
    if topic:
        return topic[0].upper() + topic[1:]
    families = {
        "10": "Token requests",
        "11": "Token responses",
        "12": "Delivered keys",
        "13": "Access tokens",
        "14": "Symmetric proofs",
        "15": "Resource servers",
        "16": "Clients",
        "17": "Derivation secrets and metadata",
        "18": "Tickets",
        "19": "Response proofs",
    }
    return families[row.id[1:3]]


def _usual() -> str:
    """Return the examples that the others are shown by their difference from."""
    blocks = []
    for example in examples():
        if example.is_usual:
            blocks += [f"{_caption(example)}:", f"```text\n{example.text}\n```"]
    return "\n\n".join(blocks)


def _shown(requirement: str, found: list[Example]) -> list[str]:
    """Return one example of each verdict: the first that is there for it alone."""
    blocks = []
    for is_correct, label in ((True, "CORRECT"), (False, "INCORRECT")):
        fitting = [
            one
            for one in found
            if one.is_correct is is_correct and requirement in one.requirements
        ]
        if not fitting:
            continue
        example = min(
            fitting, key=lambda one: (one.is_usual, one.requirements[0] != requirement)
        )
        if example.is_usual:
            blocks.append(f"{label}: {_caption(example)}, as above")
        else:
            blocks.append(f"{label}: {_caption(example)}")
            blocks.append(f"```text\n{example.text}\n```")
    return blocks


def _caption(example: Example) -> str:
    path = PurePosixPath(posixpath.normpath(f"{_VECTORS}/{example.file}"))
    link = f"[{path.name}]({path})"
    if example.error is None:
        verdict = ""
    elif example.error == "refused":
        verdict = ", which is refused"
    else:
        verdict = f", which is answered `{example.error}`"
    listed = "" if example.part == "vectors" else f" of `{example.part}`"
    return f'"{example.name}"{listed} in {link}{verdict}'


def _list(rows: list[Requirement]) -> str:
    return "\n".join(f"* **{row.id}** {row.text}" for row in rows)
