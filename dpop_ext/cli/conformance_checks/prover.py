"""Symmetric proofs as they should be, and as they should not."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair, random_name
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_binding import access_token_hash

_ABSENT: Final = object()
_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """Makes proofs as they should be, and as they should not."""

    pair: Pair
    issued: Issued

    def proof(
        self,
        nonce: str | None,
        *,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        raw: Callable[[str], str] = str,
        key: bytes | None = None,
        token: str | None = None,
        tag_length: int | None = None,
        url: str | None = None,
        method: str = "GET",
    ) -> str:
        """Return a proof, good but for what is given.

        :param header: members that are different; so are *claims*.
        :param raw: changes the text of the claims, before the MAC.
        :param tag_length: bytes of the MAC that are sent.
        """
        head = _merged({"typ": "dpop-sym+jwt", "alg": "HS256"}, header)
        said = _merged(
            {
                "jti": random_name(),
                "htm": method,
                "htu": url or self.pair.url,
                "iat": self.pair.now,
                "ath": access_token_hash(token or self.issued.access_token),
                **({} if nonce is None else {"nonce": nonce}),
            },
            claims,
        )
        segments = [dump(head), raw(dump(said))]
        signing_input = ".".join(b64url_encode(text.encode()) for text in segments)
        secret = self.issued.key.key.reveal() if key is None else key
        digest = _DIGESTS.get(str(head.get("alg")), "sha256")
        tag = hmac.digest(secret, signing_input.encode(), digest)[:tag_length]
        return f"{signing_input}.{b64url_encode(tag)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadProof:
    """A proof that is refused."""

    name: str
    requirements: str
    #: Arguments of :meth:`Prover.proof`.
    changes: Callable[[Prover], dict[str, Any]]
    #: What to change where it is accepted.
    advice: str


def _case(name: str, requirements: str, advice: str, **changes: Any) -> BadProof:
    return BadProof(
        name=name,
        requirements=requirements,
        advice=advice,
        changes=lambda _: changes,
    )


_HEADERS_ADVICE: Final = "Refuse every header member but typ, alg and kid."
BAD_PROOFS: Final = (
    _case(
        "no typ",
        "R1401",
        "typ decides: refuse a proof without one.",
        header={"typ": _ABSENT},
    ),
    _case("typ JWT", "R1401", "Compare typ exactly.", header={"typ": "JWT"}),
    _case(
        "jwk in the header",
        "R1402",
        _HEADERS_ADVICE,
        header={"jwk": {"kty": "oct", "k": "AAAA"}},
    ),
    _case(
        "jku in the header",
        "R1402",
        _HEADERS_ADVICE,
        header={"jku": "https://a.example"},
    ),
    _case(
        "crit in the header",
        "R1402",
        _HEADERS_ADVICE,
        header={"crit": ["b64"], "b64": True},
    ),
    _case("an unknown header member", "R1402", _HEADERS_ADVICE, header={"x": 1}),
    _case("alg none", "R1403", "Take HS256 and HS512 only.", header={"alg": "none"}),
    _case("HS384", "R1403", "Take HS256 and HS512 only.", header={"alg": "HS384"}),
    _case(
        "HS512 with a key for HS256",
        "R1403",
        "Compare alg with that of the key.",
        header={"alg": "HS512"},
    ),
    _case(
        "a kid with a zero",
        "R2102",
        "A kid is a version in decimal.",
        header={"kid": "07"},
    ),
    _case(
        "the kid of another version",
        "R2102",
        "Compare kid with the version of the token.",
        header={"kid": "9007199254740991"},
    ),
    _case("no ath", "R1404", "Demand ath.", claims={"ath": _ABSENT}),
    _case(
        "the ath of another token",
        "R1404",
        "Compare ath with the token.",
        claims={"ath": access_token_hash("x")},
    ),
    _case("another method", "R1503", "Compare htm.", method="POST"),
    _case("another URL", "R1503", "Compare htu.", url="https://evil.example/"),
    _case("iat an hour ago", "R1503", "Narrow the window of iat.", claims={"iat": 1}),
    _case(
        "iat that is true",
        "R2093",
        "A time is a number, and true is none.",
        claims={"iat": True},
    ),
    _case(
        "a repeated claim",
        "R2093",
        "Parse JSON strictly.",
        raw=lambda text: '{"htm":"GET",' + text[1:],
    ),
    _case(
        "a MAC of 16 bytes",
        "R1509",
        "Compare the whole MAC.",
        tag_length=16,
    ),
    _case(
        "no MAC",
        "R1509",
        "Compare the whole MAC.",
        tag_length=0,
    ),
    _case(
        "another key",
        "R1501 R1509",
        "Verify the MAC.",
        key=hashlib.sha256(b"").digest(),
    ),
    BadProof(
        name="a MAC under the thumbprint",
        requirements="R1509",
        advice="A MAC key comes from the derivation alone.",
        changes=lambda prover: {"key": prover.pair.key.thumbprint().encode()},
    ),
    BadProof(
        name="an asymmetric proof with a MAC",
        requirements="R1504",
        advice="Take no MAC under typ dpop+jwt.",
        changes=lambda prover: {
            "header": {"typ": "dpop+jwt", "jwk": prover.pair.key.as_dict(private=False)}
        },
    ),
    _case(
        "an asymmetric proof with an oct key",
        "R1505",
        "Take no key of kty oct out of a header.",
        header={
            "typ": "dpop+jwt",
            "jwk": {"kty": "oct", "k": b64url_encode(bytes(32))},
        },
        key=bytes(32),
    ),
)


def _merged(
    base: Mapping[str, Any], changes: Mapping[str, Any] | None
) -> dict[str, Any]:
    both = {**base, **(changes or {})}
    return {name: value for name, value in both.items() if value is not _ABSENT}


def dump(value: Mapping[str, Any]) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"))
