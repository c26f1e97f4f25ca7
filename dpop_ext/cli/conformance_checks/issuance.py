"""A token with a symmetric key, as the client gets it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from joserfc.jwk import ECKey

from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.trial import Trial, judged, skipped
from dpop_ext.cli.limited_answer import MAX_STRUCTURAL
from dpop_ext.client.token_response import delivered_jwe
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import is_b64url_of
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.core.token68 import is_token68
from dpop_ext.errors import KeyDeliveryError, MalformedJOSEError
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key
from dpop_ext.symmetric.key_request import key_request_claim

_ASKED: Mapping[str, Any] = {
    "algorithms": ["HS256"],
    "key_algorithms": ["ECDH-ES"],
    "encodings": ["A256GCM"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token and its key."""

    access_token: str = field(repr=False)
    key: DeliveredKey
    #: Claims of the token, which nobody verified; empty for an opaque one.
    claims: Mapping[str, Any]

    @property
    def reference(self) -> Mapping[str, Any]:
        """The ``cnf.dsk`` of the token; empty if there is none."""
        return _reference(self.claims)


def check_issuance(pair: Pair, found: list[Issued]) -> Iterator[Trial]:
    """Get two tokens, and look at the first response from all sides.

    :param found: gets the tokens that are good.
    """
    encryption_key = ECKey.generate_key("P-256")
    claim = key_request_claim(encryption_key=encryption_key, **_ASKED)
    answer = pair.request_token({"dsk": claim})
    token, jwe = answer.body.get("access_token"), delivered_jwe(answer.body)
    has_key = answer.status == 200 and _is_token(token) and jwe is not None
    yield judged(
        "token response",
        "as",
        "R1101",
        good=has_key and str(answer.body.get("token_type")).lower() == "dpop",
        seen=f"{answer}, {'with' if jwe else 'without'} cnf.jwe",
        advice="Check the client's registration, its audiences and the policy: it must "
        "get a token with a key for the resource.",
    )
    if not _is_token(token) or jwe is None:
        return
    yield judged(
        "caching",
        "as",
        "R1102",
        good="no-store" in answer.fields.get("Cache-Control", ""),
        seen=f"Cache-Control {answer.fields.get('Cache-Control')!r}",
        advice="Send Cache-Control: no-store with every token response.",
    )
    yield from _check_header(jwe, token, encryption_key)
    try:
        key = unwrap_key(
            jwe,
            private_key=encryption_key,
            issuer=pair.issuer,
            audience=pair.resource,
            access_token=token,
            now=pair.now,
            **_ASKED,
        )
    except KeyDeliveryError:
        yield _opened(good=False)
        return
    yield _opened(good=True)
    claims = _claims(token)
    yield from _check_claims(claims, key, pair)
    found.append(Issued(access_token=token, key=key, claims=claims))
    yield _check_next(pair, claims)


def _is_token(value: Any) -> TypeGuard[str]:
    """Tell whether it is an access token that a header field takes."""
    return isinstance(value, str) and is_token68(value)


def _check_header(jwe: str, token: str, key: ECKey) -> Iterator[Trial]:
    header = _object(jwe.partition(".")[0])
    dsk = header.get("dsk")
    ath = dsk.get("ath") if isinstance(dsk, dict) else None
    for name, requirement, good, seen, advice in (
        (
            "type of the JWE",
            "R1201 R2211",
            (header.get("typ"), header.get("cty")) == ("dpop-sym+jwe", "jwk+json"),
            f"typ {header.get('typ')!r}, cty {header.get('cty')!r}",
            "Let typ be dpop-sym+jwe and cty jwk+json.",
        ),
        (
            "algorithm of the JWE",
            "R1202",
            (header.get("alg"), header.get("enc")) == ("ECDH-ES", "A256GCM"),
            f"{header.get('alg')!r}, {header.get('enc')!r}",
            "Use an algorithm that the client offers in kalgs and encs.",
        ),
        (
            "compression of the JWE",
            "R1203",
            "zip" not in header,
            "zip" if "zip" in header else "none",
            "Leave zip out.",
        ),
        (
            "token hash in the JWE",
            "R1204",
            ath == access_token_hash(token),
            "of this token" if ath == access_token_hash(token) else f"{ath!r}",
            "Let dsk.ath be the SHA-256 of the access token in the same response.",
        ),
        (
            "kid of the JWE",
            "R1201",
            header.get("kid") == key.thumbprint(),
            f"{header.get('kid')!r}",
            "Let kid be the thumbprint of dsk.jwk.",
        ),
    ):
        yield judged(name, "as", requirement, good=good, seen=seen, advice=advice)


def _opened(*, good: bool) -> Trial:
    return judged(
        "key in the JWE",
        "as",
        "R1205 R2213",
        good=good,
        seen="one oct JWK" if good else "not a key that the client may use",
        advice="Encrypt one JWK: kty oct, use sig, key_ops [sign], an alg that was "
        "offered, the version as kid, and k as long as the MAC; dsk names iss, aud, v "
        "and exp.",
    )


def _check_claims(
    claims: Mapping[str, Any], key: DeliveredKey, pair: Pair
) -> Iterator[Trial]:
    requirements = "R1301 R1302 R1303 R1304 R2101 R2103"
    if not claims:
        yield skipped("claims of the token", "as", requirements, "it is opaque")
        return
    cnf = claims.get("cnf")
    cnf = cnf if isinstance(cnf, dict) else {}
    yield judged(
        "thumbprint in the token",
        "as",
        "R1301 R2103",
        good=cnf.get("jkt") == pair.key.thumbprint(),
        seen=f"cnf has {list(cnf)}",
        advice="Let cnf.jkt be the thumbprint of the proof key, beside the key.",
    )
    yield judged(
        "audience of the token",
        "as",
        "R1302",
        good=claims.get("aud") in (pair.resource, [pair.resource]),
        seen=f"aud {claims.get('aud')!r}",
        advice="A token with a symmetric key has one audience: the resource.",
    )
    secret = key.key.reveal()
    spellings = (b64url_encode(secret), secret.hex())
    shown = any(text in json.dumps(claims) for text in spellings)
    yield judged(
        "secrecy of the key",
        "as",
        "R1303",
        good=not shown,
        seen="the token has the key" if shown else "the token has no key in the clear",
        advice="Put r and the version into the token, and never the key.",
    )
    dsk = cnf.get("dsk")
    if not isinstance(dsk, dict):
        yield skipped("reference to the key", "as", "R1304 R2101", "cnf has no dsk")
        return
    yield judged(
        "reference to the key",
        "as",
        "R1304 R2101",
        good=is_b64url_of(dsk.get("r"), length=32) and dsk.get("v") == key.version,
        seen=f"v {dsk.get('v')!r}, r of {len(str(dsk.get('r')))} characters",
        advice="Let r be 32 random bytes in base64url, and v the integer of the JWE.",
    )


def _check_next(pair: Pair, claims: Mapping[str, Any]) -> Trial:
    name, requirements = "second token", "R1304"
    claim = key_request_claim(encryption_key=ECKey.generate_key("P-256"), **_ASKED)
    other = _claims(str(pair.request_token({"dsk": claim}).body.get("access_token")))
    values = [_reference(one).get("r") for one in (claims, other)]
    if None in values:
        return skipped(name, "as", requirements, "no cnf.dsk to compare")
    return judged(
        name,
        "as",
        requirements,
        good=values[0] != values[1],
        seen="another r" if values[0] != values[1] else "the same r",
        advice="Draw a new r for each token.",
    )


def _reference(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    cnf = claims.get("cnf")
    dsk = cnf.get("dsk") if isinstance(cnf, dict) else None
    return dsk if isinstance(dsk, dict) else {}


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    return _object(parts[1]) if len(parts) == 3 else {}


def _object(segment: str) -> dict[str, Any]:
    with suppress(MalformedJOSEError):
        content = b64url_decode(segment)
        return parse_json_object(content, max_structural=MAX_STRUCTURAL)
    return {}
