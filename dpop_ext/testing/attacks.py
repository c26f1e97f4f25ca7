"""What a thief of an access token tries at a route (:rfc:`9449#section-11`)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from joserfc.jwk import ECKey, Key

from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.request_binding import access_token_hash

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One request that must be refused."""

    name: str
    #: Where it says so.
    section: str
    #: Credentials of the request, as header field lines.
    fields: Fields = field(repr=False)
    #: Credentials of a request before it, which is good.
    before: Fields | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The request that the attacks are made of."""

    method: str
    #: As clients call it.
    url: str
    access_token: str = field(repr=False)
    #: What the token is bound to.
    key: Key = field(repr=False)
    #: What the server supplied, if it demands nonces.
    nonce: str | None = None
    now: int


def good_request(target: Target) -> Fields:
    """Return the credentials of a request that must be served."""
    return _with(target, _proof(target))


def attacks(target: Target) -> Iterator[Attack]:
    """Make the requests. Each has one fault, and a new proof where it has one."""
    yield from _downgrades(target)
    yield from _fields(target)
    yield from _headers(target)
    yield from _claims(target)
    once = good_request(target)
    yield Attack(
        name="a proof that was used before",
        section="RFC 9449 section 11.1",
        before=once,
        fields=once,
    )


def _downgrades(target: Target) -> Iterator[Attack]:
    token = target.access_token
    yield Attack(
        name="the token as Bearer",
        section="RFC 9449 section 7.2",
        fields=[("Authorization", f"Bearer {token}")],
    )
    yield Attack(
        name="the token as Bearer, with a proof beside it",
        section="RFC 9449 section 7.2",
        fields=[("Authorization", f"Bearer {token}"), ("DPoP", _proof(target))],
    )
    yield Attack(
        name="no proof",
        section="RFC 9449 section 7.1",
        fields=[("Authorization", f"DPoP {token}")],
    )
    yield Attack(
        name="a token that nobody issued",
        section="RFC 9449 section 7.1",
        fields=_with(
            target, _proof(target, ath=access_token_hash("made-up")), token="made-up"
        ),
    )


def _fields(target: Target) -> Iterator[Attack]:
    proof, other = _proof(target), _proof(target)
    for name, value in (
        ("an empty proof", ""),
        ("what is no JWS", "proof"),
        ("two proofs with a comma", f"{proof},{other}"),
        ("a proof of 20,000 characters", "x" * 20_000),
    ):
        yield Attack(
            name=name,
            section="RFC 9449 section 4.3, items 1 and 2",
            fields=_with(target, value),
        )


def _headers(target: Target) -> Iterator[Attack]:
    stranger = ECKey.generate_key("P-256")
    private = target.key.as_dict(private=True)
    section = "RFC 9449 section 4.3, items 4 to 7"
    yield Attack(
        name="a proof by another key",
        section="RFC 9449 section 7.1",
        fields=_with(target, _proof(target, key=stranger)),
    )
    public = _public(target.key)
    for name, header in (
        ("typ JWT", {"typ": "JWT"}),
        ("no typ", {"typ": None}),
        ("no jwk", {"jwk": None}),
        ("a private key in jwk", {"jwk": private}),
        ("crit", {"crit": ["exp"], "exp": target.now + 60}),
    ):
        yield Attack(
            name=f"a header with {name}",
            section=section,
            fields=_with(target, _sign(target, _claims_of(target), header=header)),
        )
    for algorithm in ("none", "HS256", "HS512"):
        head = json_segment({"typ": "dpop+jwt", "alg": algorithm, "jwk": public})
        body = json_segment(_claims_of(target))
        tag = "" if algorithm == "none" else b64url_encode(secrets.token_bytes(32))
        yield Attack(
            name=f"alg {algorithm}",
            section=section,
            fields=_with(target, f"{head}.{body}.{tag}"),
        )
    head, body, signature = _proof(target).split(".")
    forged = json_segment(_claims_of(target) | {"htm": target.method})
    yield Attack(
        name="a signature of other claims",
        section=section,
        fields=_with(target, f"{head}.{forged}.{signature}"),
    )
    _, _, foreign = _proof(target, key=stranger).split(".")
    yield Attack(
        name="a signature by another key",
        section=section,
        fields=_with(target, f"{head}.{body}.{foreign}"),
    )


def _claims(target: Target) -> Iterator[Attack]:
    parts = urlsplit(target.url)
    elsewhere = urlunsplit(parts._replace(netloc=f"other.{parts.netloc}"))
    window, ahead = RFC9449.window, RFC9449.future
    cases: list[tuple[str, str, Mapping[str, Any]]] = [
        ("no jti", "4.3, item 3", {"jti": None}),
        ("an empty jti", "4.3, item 3", {"jti": ""}),
        ("a number for jti", "4.3, item 3", {"jti": 7}),
        ("no htm", "4.3, item 3", {"htm": None}),
        ("no htu", "4.3, item 3", {"htu": None}),
        ("no iat", "4.3, item 3", {"iat": None}),
        ("a text for iat", "4.3, item 3", {"iat": str(target.now)}),
        ("another method", "4.3, item 8", {"htm": "TRACE"}),
        ("another path", "4.3, item 9", {"htu": f"{target.url}/more"}),
        ("another host", "4.3, item 9", {"htu": elsewhere}),
        ("a path alone", "4.3, item 9", {"htu": parts.path or "/"}),
        ("a proof of yesterday", "4.3, item 11", {"iat": target.now - 86_400}),
        ("a proof that is too old", "11.1", {"iat": target.now - 10 * window}),
        ("a proof of the future", "4.3, item 11", {"iat": target.now + 100 * ahead}),
        ("no ath", "4.3, item 12", {"ath": None}),
        ("the ath of another token", "4.3, item 12", {"ath": access_token_hash("x")}),
    ]
    if target.nonce is not None:
        cases += [
            ("no nonce", "4.3, item 10", {"nonce": None}),
            ("a made-up nonce", "4.3, item 10", {"nonce": "made-up"}),
        ]
    for name, where, changes in cases:
        yield Attack(
            name=name,
            section=f"RFC 9449 section {where}",
            fields=_with(target, _proof(target, **changes)),
        )


def _with(target: Target, proof: str, *, token: str | None = None) -> Fields:
    token = target.access_token if token is None else token
    return [("Authorization", f"DPoP {token}"), ("DPoP", proof)]


def _claims_of(target: Target) -> dict[str, Any]:
    claims = {
        "jti": secrets.token_urlsafe(12),
        "htm": target.method,
        "htu": urlunsplit(urlsplit(target.url)._replace(query="", fragment="")),
        "iat": target.now,
        "ath": access_token_hash(target.access_token),
    }
    return claims if target.nonce is None else claims | {"nonce": target.nonce}


def _proof(target: Target, *, key: Key | None = None, **changes: Any) -> str:
    claims = _claims_of(target) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return _sign(target, claims, key=key or target.key)


def _sign(
    target: Target,
    claims: Mapping[str, Any],
    *,
    key: Key | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    key = key or target.key
    members = {
        "typ": "dpop+jwt",
        "alg": ProofMaker(key, algorithm=None, clock=float).algorithm,
        "jwk": _public(key),
        **(header or {}),
    }
    members = {name: value for name, value in members.items() if value is not None}
    return sign_compact(members, dict(claims), key)


def _public(key: Key) -> dict[str, Any]:
    return dict(key.as_dict(private=False))
