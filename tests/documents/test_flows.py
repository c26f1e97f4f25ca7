"""The diagrams and examples of the protocol are what their sources say."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest
from joserfc.jwk import ECKey

from dpop_ext import ProofVerifier
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.stores.memory import MemoryReplayStore
from tests.documents import protocol, sequence
from tests.documents.examples import examples
from tests.documents.regions import DOCS
from tests.vectors.profile import __main__ as vectors

ADVICE = "run: python -m tests.documents"
IMAGE = re.compile(r"^!\[(.*)\]\((\S+/\S+\.svg)\)$", re.MULTILINE)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_diagrams_are_made_from_their_texts() -> None:
    made = sequence.flows()
    assert set(made) == set(sequence.FOLDER.glob("*.svg"))
    for path, text in made.items():
        assert path.read_text("utf-8") == text, ADVICE


def test_a_diagram_is_on_a_page_with_its_title_for_those_who_do_not_see_it() -> None:
    shown = {}
    for page in DOCS.rglob("*.md"):
        text = page.read_text("utf-8")
        for title, target in IMAGE.findall(text):
            shown[page.parent / target] = title
    titles = {}
    for path, text in sequence.flows().items():
        root = ET.fromstring(text)
        titles[path] = root.findtext(f"{SVG}title")
        assert len(root.findtext(f"{SVG}desc") or "") > 100
    assert shown == titles


def test_what_is_no_line_of_a_diagram_is_refused() -> None:
    head = "title\n\ndescription\n\na = A\nb = B\n"
    assert "refusal" in sequence.svg(f"{head}a -x b: no")
    with pytest.raises(ValueError, match="->>"):
        sequence.svg(f"{head}a ->> b: no")
    with pytest.raises(ValueError, match="not in list"):
        sequence.svg(f"{head}a -> c: no")


def test_the_examples_of_the_protocol_are_vectors() -> None:
    assert protocol.PAGE.read_text("utf-8") == protocol.page(), ADVICE
    assert any(example.text in protocol.page() for example in examples())


def test_the_proof_of_the_page_would_be_accepted(ec_key: ECKey) -> None:
    text = protocol.PAGE.read_text("utf-8")
    header, claims, token = (
        json.loads(block)
        for block in re.findall(r"^```json\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    )
    assert token["cnf"].keys() == {"jkt"}
    file = (vectors.FOLDER / "symmetric-proofs.json").read_text("utf-8")
    header["jwk"] = ec_key.as_dict(private=False)
    verifier = ProofVerifier(MemoryReplayStore(), clock=lambda: 1_790_000_000)
    opened = verifier.open(
        sign_compact(header, claims, ec_key),
        method="GET",
        url="https://api.example.com/accounts/42?page=2",
        access_token=json.loads(file)["vectors"][0]["access_token"],
    )
    assert opened.kind == "asymmetric"
    assert opened.proof.iat == claims["iat"]
