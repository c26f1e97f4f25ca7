"""Digests of requests, response proofs, and routes that take no MAC."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dpop_ext.cli.conformance_checks.pair import PROOF_ERROR, Answer
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.cli.conformance_checks.trial import Trial, judged, skipped
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.response import (
    RESPONSE_FIELD,
    AnsweredRequest,
    verify_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes

_RSP = {"rsp": True}


def check_digests(prover: Prover) -> Iterator[Trial]:
    """Send digests of another content and of another query."""
    wrong = content_digest(b"something else")
    for claim, requirements in (("cd", "R2141 R2143"), ("hq", "R2141 R2144")):
        answer = _ask(prover, claims={claim: wrong})
        yield judged(
            f"a {claim} of something else",
            "rs",
            requirements,
            good=(answer.status, answer.error) == (401, PROOF_ERROR),
            seen=str(answer),
            advice=f"Verify {claim} whenever it is there. Expected: 401 {PROOF_ERROR}.",
        )


def check_answers(prover: Prover) -> Iterator[Trial]:
    """Ask for response proofs, if the server says that it makes them."""
    names = ("a response proof", "the refusal of a replay", "the refusal of a bad MAC")
    shown = ("R1901 R2152 R2161 R2162 R2163", "R2153", "R1902")
    if prover.pair.resource_metadata.get("dpop_response_signing_supported") is not True:
        for name, requirements in zip(names, shown, strict=True):
            yield skipped(name, "rs", requirements, "the server makes none")
        return
    sent: list[str] = []

    def once(nonce: str | None) -> str:
        sent.append(prover.proof(nonce, claims=_RSP))
        return sent[-1]

    token = prover.issued.access_token
    answer = prover.pair.ask(token, once)
    fault = _fault(prover, answer, sent[-1])
    yield judged(
        names[0],
        "rs",
        shown[0],
        good=answer.is_good and fault is None,
        seen=fault or str(answer),
        advice="Prove status, content and fields of the answer, and which request it "
        "answers, as they go over the wire: nothing behind may change them.",
    )
    for name, requirements, refused in (
        (names[1], shown[1], prover.pair.ask(token, lambda _: sent[-1])),
        (names[2], shown[2], _ask(prover, claims=_RSP, key=bytes(32))),
    ):
        bare = not refused.values(RESPONSE_FIELD)
        yield judged(
            name,
            "rs",
            requirements,
            good=refused.error == PROOF_ERROR and bare,
            seen=f"{refused}, {'without' if bare else 'with'} a response proof",
            advice="Prove nothing to who has not proved anything anew.",
        )


def _fault(prover: Prover, answer: Answer, proof: str) -> str | None:
    request = AnsweredRequest.of(
        proof, target=prover.pair.url, content=content_digest(b"")
    )
    try:
        verify_response_proof(
            answer.values(RESPONSE_FIELD),
            SecretBytes(response_key(prover.issued.key.key.reveal())),
            request,
            status=answer.status,
            fields=answer.lines,
            content=answer.content,
            now=prover.pair.now,
        )
    except ResponseProofError as error:
        return error.description
    return None


def check_step_up(prover: Prover) -> Trial:
    """Send a symmetric proof where the server says that it takes none."""
    name, requirements = "a symmetric proof where none is taken", "R1511"
    paths = prover.pair.resource_metadata.get("dpop_asymmetric_required_paths")
    if not isinstance(paths, list) or not paths or not isinstance(paths[0], str):
        return skipped(name, "rs", requirements, "the server names no such path")
    url = urlunsplit(urlsplit(prover.pair.resource)._replace(path=paths[0]))
    answer = _ask(prover, url=url)
    if answer.status in (404, 405):
        answer = _ask(prover, url=url, method="POST")
    return judged(
        name,
        "rs",
        requirements,
        good=(answer.error, answer.sym_error) == ("use_dpop_asymmetric", "policy"),
        seen=str(answer),
        advice="Demand asymmetric proofs on the paths of "
        "dpop_asymmetric_required_paths. Expected: use_dpop_asymmetric policy.",
    )


def _ask(
    prover: Prover, *, url: str | None = None, method: str = "GET", **changes: Any
) -> Answer:
    make = partial(prover.proof, url=url, method=method, **changes)
    return prover.pair.ask(prover.issued.access_token, make, url=url, method=method)
