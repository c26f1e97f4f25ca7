"""``DPoP-Ticket`` fields that answer one request, good and bad."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors.generate_symmetric import compact
from tests.vectors.profile.parts import (
    ABSENT,
    AUDIENCE,
    JKT,
    NOW,
    b64url,
    ec_jwk,
    ec_key,
    encrypt,
    merged,
    public_jwk,
    seed,
    sha256,
    thumbprint,
)
from tests.vectors.profile.tickets import ticket

RECIPIENT: Final = ec_key("client P-256")
PROOF: Final = "the.proof.itself"
EXPIRES_AT: Final = NOW + 240

_EPHEMERAL: Final = ec_key("ephemeral P-256")
_KEY: Final = seed("key of a ticket")
_N: Final = b64url(seed("n"))
_TICKET: Final = b64url(ticket(exp=EXPIRES_AT))
_DSK: Final = {
    "rs": AUDIENCE,
    "jkt": JKT,
    "n": _N,
    "rph": sha256(PROOF),
    "tkt": _TICKET,
    "exp": EXPIRES_AT,
}
_HEADER: Final = {
    "typ": "dpop-sym+jwe",
    "cty": "jwk+json",
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "kid": thumbprint(public_jwk(ec_jwk(RECIPIENT))),
    "epk": public_jwk(ec_jwk(_EPHEMERAL)),
}
_JWK: Final = {
    "kty": "oct",
    "use": "sig",
    "key_ops": ["sign"],
    "alg": "HS256",
    "k": b64url(_KEY),
}

Vector = dict[str, Any]


def generate() -> dict[str, Any]:
    """Return the content of ``ticket-fields.json``."""
    return {
        "now": NOW,
        "resource": AUDIENCE,
        "jkt": JKT,
        "n": _N,
        "proof": PROOF,
        "private_key": ec_jwk(RECIPIENT),
        "algorithms": ["HS256"],
        "key_algorithms": ["ECDH-ES", "RSA1_5"],
        "encodings": ["A256GCM"],
        "vectors": [*_good(), *_fields(), *_bindings(), *_tickets(), *_keys()],
    }


def _good() -> list[Vector]:
    ids = ["R1801", "R2134", "R2136", "R2137", "R2138"]
    return [
        _vector("usual", ids, good=True),
        _vector("members of no meaning", ids, good=True, more=', x=?1, y="z";q, w=(1)'),
        _vector("white space", ["R2134"], good=True, joint=" \t,\t "),
    ]


def _fields() -> list[Vector]:
    ids = ["T22"]
    return [
        _vector("no ticket", ids, members={"tkt": ABSENT}),
        _vector("no key", ids, members={"key": ABSENT}),
        _vector("no algorithm", ids, members={"alg": ABSENT}),
        _vector("no time", ids, members={"exp": ABSENT}),
        _vector("another algorithm", ids, members={"alg": "HS512"}),
        _vector("a time that is text", ids, members={"exp": str(EXPIRES_AT)}),
        _vector("the time of another ticket", ["R1801"], members={"exp": NOW + 241}),
        _vector("a second ticket that counts", ids, more=', tkt="AAAA"'),
        _vector("a member that is none", ids, more=", =1"),
        _vector("a comma at the end", ids, more=","),
        _vector("a string without an end", ids, more=', x="'),
    ]


def _bindings() -> list[Vector]:
    return [
        _vector("of another server", ["R2138"], dsk={"rs": "https://b.example"}),
        _vector("for another key", ["R2138"], dsk={"jkt": sha256("another key")}),
        _vector("another n", ["R2136"], dsk={"n": b64url(seed("another n"))}),
        _vector("no n", ["R2136"], dsk={"n": ABSENT}),
        _vector("for another proof", ["R2137"], dsk={"rph": sha256("another proof")}),
        _vector("no rph", ["R2137"], dsk={"rph": ABSENT}),
        _vector("no rs", ["R2138"], dsk={"rs": ABSENT}),
        _vector("the key of another ticket", ["T12"], dsk={"tkt": _other_ticket()}),
        _vector("another time in the JWE", ["T12"], dsk={"exp": NOW + 200}),
        _vector("a time in the JWE that is text", ["T22"], dsk={"exp": "1"}),
    ]


def _tickets() -> list[Vector]:
    def of(name: str, ids: list[str], raw: bytes, exp: int = EXPIRES_AT) -> Vector:
        text = b64url(raw)
        said = {"tkt": text, "exp": exp}
        return _vector(name, ids, members=said, dsk=said)

    return [
        of("a ticket of another type", ["R2134"], ticket(kind=1, exp=EXPIRES_AT)),
        of("a ticket of 26 bytes", ["R2134"], ticket(exp=EXPIRES_AT)[:-1]),
        of("a ticket of 28 bytes", ["R2134"], ticket(exp=EXPIRES_AT) + b"\0"),
        of("expired", ["R1801"], ticket(exp=NOW), NOW),
        of("good for too long", ["R1801"], ticket(exp=NOW + 3606), NOW + 3606),
    ]


def _keys() -> list[Vector]:
    return [
        _vector("another typ", ["R2065"], header={"typ": "dpop-sym-rs+jwe"}),
        _vector("zip", ["T14"], header={"zip": "DEF"}),
        _vector("RSA1_5", ["T14"], header={"alg": "RSA1_5"}),
        _vector("another kid", ["T13"], header={"kid": sha256("another key")}),
        _vector("a key of 31 bytes", ["R1205"], jwk={"k": b64url(_KEY[1:])}),
        _vector("a key with a version", ["R1205"], jwk={"kid": "7"}),
        _vector("a key to verify with", ["R1205"], jwk={"key_ops": ["verify"]}),
    ]


def _vector(
    name: str,
    requirements: list[str],
    *,
    good: bool = False,
    members: dict[str, Any] | None = None,
    more: str = "",
    joint: str = ", ",
    dsk: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    jwk: dict[str, Any] | None = None,
) -> Vector:
    """Return one vector; unless it is *good*, the client goes on without a ticket."""
    head = merged(_HEADER | {"dsk": merged(_DSK, dsk or {})}, header or {})
    values = {
        "tkt": _TICKET,
        "key": encrypt(head, compact(merged(_JWK, jwk or {})), RECIPIENT, _EPHEMERAL),
        "exp": EXPIRES_AT,
        "alg": "HS256",
    }
    written = [
        f"{each}={value}" if isinstance(value, int) else f'{each}="{value}"'
        for each, value in merged(values, members or {}).items()
    ]
    result: Vector = {"error": "refused"}
    if good:
        result = {"algorithm": "HS256", "ticket": _TICKET, "key": _KEY.hex()}
    return {
        "name": name,
        "requirements": requirements,
        **result,
        "field": joint.join(written) + more,
    }


def _other_ticket() -> str:
    return b64url(ticket(exp=EXPIRES_AT)[:-1] + b"\0")
