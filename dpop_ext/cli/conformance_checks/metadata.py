"""The metadata documents of both servers (:rfc:`8414`, RFC 9728)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.trial import Party, Trial, judged
from dpop_ext.core.target import is_secure
from dpop_ext.symmetric.conformance import PROFILE

_LISTS: Final = (
    "dpop_symmetric_alg_values_supported",
    "dpop_symmetric_key_encryption_alg_values_supported",
    "dpop_symmetric_key_encryption_enc_values_supported",
)
_DERIVATIONS: Final = "dpop_symmetric_kdf_values_supported"
_CLAIMS: Final = "dpop_sym_conformance"


def check_issuer(pair: Pair) -> Iterator[Trial]:
    """Read what the authorization server says, and take its endpoint from it."""
    answer = pair.document(pair.issuer, "oauth-authorization-server")
    document = answer.body
    endpoint = document.get("token_endpoint")
    good = (
        # Else the client's secret would go to where another issuer says.
        document.get("issuer") == pair.issuer
        and isinstance(endpoint, str)
        and is_secure(endpoint)
    )
    pair.token_endpoint = str(endpoint) if good else ""
    yield judged(
        "issuer metadata",
        "as",
        "R1704",
        good=good,
        seen=f"{answer}, issuer {document.get('issuer')!r}",
        advice="Serve the document with the issuer as clients are configured with it, "
        "and a token_endpoint that is an https URL.",
    )
    missing = [name for name in _LISTS if not _names(document.get(name))]
    # Keys that are encrypted for the resource server are not derived.
    derivations = document.get(_DERIVATIONS, ["dpop-sym/1"])
    if not _names(derivations) or "dpop-sym/1" not in derivations:
        missing.append(_DERIVATIONS)
    yield judged(
        "symmetric members of the issuer",
        "as",
        "R1704",
        good=not missing,
        seen=f"missing: {', '.join(missing)}" if missing else "all there",
        advice="Add DPoP(...).get_metadata() of an extension with symmetric keys.",
    )
    yield from _check_claims(document, "as")


def check_resource(pair: Pair) -> Iterator[Trial]:
    """Read what the resource server says."""
    answer = pair.document(pair.resource, "oauth-protected-resource")
    document = pair.resource_metadata = answer.body
    yield judged(
        "resource metadata",
        "rs",
        "R1705",
        good=document.get("resource") == pair.resource,
        seen=f"{answer}, resource {document.get('resource')!r}",
        advice="Serve protected_resource_metadata(...) at "
        "/.well-known/oauth-protected-resource, with the identifier that clients use.",
    )
    missing = [
        name
        for name in (_LISTS[0], "dpop_symmetric_modes_supported")
        if not _names(document.get(name))
    ]
    yield judged(
        "symmetric members of the resource",
        "rs",
        "R1705",
        good=not missing,
        seen=f"missing: {', '.join(missing)}" if missing else "all there",
        advice="Give the verifier of the resource server its keyring.",
    )
    yield from _check_claims(document, "rs")


def _check_claims(document: Mapping[str, Any], party: Party) -> Iterator[Trial]:
    claims = document.get(_CLAIMS)
    own = f"{PROFILE}#{party}"
    good = _names(claims) and own in document[_CLAIMS]
    yield judged(
        f"claim of the {'issuer' if party == 'as' else 'resource'}",
        party,
        "R1707",
        good=good,
        seen="made" if good else f"{_CLAIMS} is {claims!r}",
        advice=f"Let {_CLAIMS} be a list of URIs with {own}.",
    )


def _names(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) for name in value)
    )
