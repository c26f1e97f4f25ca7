"""What garbage costs, beside what it costs to accept a proof that goes as far."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from joserfc.jwk import ECKey

from benchmarks.operations import Row
from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    NOW,
    URL,
    ResourceServer,
    access_token,
    asymmetric_proof,
    delivered_key,
    received,
    symmetric_proof,
    warm,
)
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import (
    AccessTokenError,
    BadSignatureError,
    DPoPError,
    KeyMismatchError,
    MalformedProofError,
    ReplayedProofError,
    StaleProofError,
    TargetMismatchError,
    TokenMismatchError,
)
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes

_SEEN, _FIRST = "symmetric", "symmetric, token not seen before"
_KNOWN, _UNKNOWN = "ES256, key and token seen before", "ES256, nothing seen before"
#: Name, proof, access token, what it is refused with, and what accepting costs that.
_Case = tuple[str, str, str, type[DPoPError], str]
_DECISION = "whole decision, symmetric"
_WHOLE = "refuse: whole decision, bad MAC"


def refusing() -> list[Row]:
    """Return what is refused, in the order of the checks that it passes."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    other_text, forged = (access_token(EC_KEY, number=number) for number in (1, 2))
    forged = _changed(forged)
    good = symmetric_proof(key, text)
    signed = asymmetric_proof(EC_KEY, "ES256", text)
    server = warm(warm(ResourceServer(), (text, good)), (text, signed))
    stranger = ECKey.generate_key("P-256")
    away, mac = f"{URL}0", _changed(symmetric_proof(key, forged))
    cases: list[_Case] = [
        ("8 KiB of dots", "." * 8192, text, MalformedProofError, _KNOWN),
        ("8 KiB of brackets", _deep(), text, MalformedProofError, _KNOWN),
    ]
    away, mac = f"{URL}0", _changed(symmetric_proof(key, forged))
    old, elsewhere = _symmetric(key, text, age=600), _symmetric(key, text, url=away)
    symmetric: list[_Case] = [
        ("old", old, text, StaleProofError, _SEEN),
        ("elsewhere", elsewhere, text, TargetMismatchError, _SEEN),
        ("of another token", good, other_text, TokenMismatchError, _FIRST),
        ("bad MAC", _changed(good), text, BadSignatureError, _SEEN),
        ("bad MAC, forged token", mac, forged, BadSignatureError, _FIRST),
        ("used", good, text, ReplayedProofError, _SEEN),
    ]
    old, elsewhere = _asymmetric(text, age=600), _asymmetric(text, url=away)
    by_other = asymmetric_proof(stranger, "ES256", text)
    for_forged = asymmetric_proof(EC_KEY, "ES256", forged)
    asymmetric: list[_Case] = [
        ("old", old, text, StaleProofError, _KNOWN),
        ("elsewhere", elsewhere, text, TargetMismatchError, _KNOWN),
        ("of another token", signed, other_text, TokenMismatchError, _KNOWN),
        ("bad signature", _changed(signed), text, BadSignatureError, _KNOWN),
        ("by another key", by_other, text, KeyMismatchError, _UNKNOWN),
        ("forged token", for_forged, forged, AccessTokenError, _UNKNOWN),
    ]
    for kind, of_kind in (("symmetric", symmetric), ("ES256", asymmetric)):
        cases += [
            (f"{kind}, {name}", proof, token, error, base)
            for name, proof, token, error, base in of_kind
        ]
    rows = [
        Row(
            name=f"refuse: {name}",
            call=_refused(server, proof, token, error),
            base=(base,),
            budget=1,
        )
        for name, proof, token, error, base in cases
    ]
    return [
        _by_gate(server, "refuse: no proof", text, ()),
        *rows,
        # With the answer that it gets, and with the log as Python has it by default:
        # the line is at INFO, and is not written.
        _by_gate(server, _WHOLE, text, (_changed(good),)),
    ]


def _symmetric(key: SecretBytes, text: str, *, age: int = 0, url: str = URL) -> str:
    return make_symmetric_proof(
        key,
        algorithm="HS256",
        method="GET",
        url=url,
        now=NOW - age,
        access_token=text,
    )


def _asymmetric(text: str, *, age: int = 0, url: str = URL) -> str:
    return make_proof(
        EC_KEY,
        algorithm="ES256",
        method="GET",
        url=url,
        now=NOW - age,
        access_token=text,
    )


def _by_gate(
    server: ResourceServer,
    name: str,
    text: str,
    proofs: tuple[str, ...],
) -> Row:
    gate = Gate(server.verifier, server.find_token, public_url=AUDIENCE)

    def call() -> None:
        request = ResourceRequest(
            method="GET",
            scheme="http",
            host="10.0.0.1:8000",
            raw_target="/accounts/42",
            authorization=(f"DPoP {text}",),
            proofs=proofs,
        )
        try:
            gate.check(request, scopes=["accounts"])
        except AccessRefusedError as error:
            gate.challenges.answer(error.refusal)
            return
        raise AssertionError("it was accepted")

    return Row(name=name, call=call, base=(_DECISION,), budget=1)


def _refused(
    server: ResourceServer, proof: str, text: str, error: type[DPoPError]
) -> Callable[[], object]:
    texts = cycle([received(text) for _ in range(2)])

    def call() -> None:
        try:
            # One of them: next() would take longer.
            for one in texts:
                server.serve(one, proof)
                raise AssertionError("it was accepted")
        except error:
            return

    return call


def _changed(jws: str) -> str:
    """Return *jws* with another signature."""
    head, _, tag = jws.rpartition(".")
    return f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"


def _deep() -> str:
    return "e30." + "W1tb" * 2000 + ".AAAA"
