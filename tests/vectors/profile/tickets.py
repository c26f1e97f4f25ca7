"""Proofs under a ticket of the resource server, good and bad."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from tests.vectors.profile.parts import (
    ABSENT,
    AUDIENCE,
    CLIENT,
    ISSUER,
    JKT,
    NOW,
    b64url,
    dump,
    ec_key,
    expand,
    lp,
    mac,
    merged,
    seed,
    sign,
)
from tests.vectors.profile.server import (
    SERVER,
    TOKEN_CLAIMS,
    TOKEN_HEADER,
    access_token,
    proof_claims,
)

INVALID_PROOF: Final = {"error": "invalid_dpop_proof"}
INVALID_TOKEN: Final = {"error": "invalid_token"}
STALE: Final = {"error": "use_dpop_asymmetric", "sym_error": "stale_ticket"}
ACCEPTED: Final[dict[str, str]] = {"result": "accepted"}
LIFETIME: Final = 300
TKID: Final = seed("tkid")[:4]
TICKET_KEY: Final = seed("ticket key")
LOGGED_OUT: Final = b64url(seed("logged out"))

Vector = dict[str, Any]


def ticket(
    *, kind: int = 2, tkid: bytes = TKID, exp: int = NOW + LIFETIME - 60
) -> bytes:
    """Return the 27 bytes of a ticket, made a minute ago."""
    return bytes([kind]) + tkid + exp.to_bytes(6) + seed("ticket")[:16]


def ticket_proof_key(raw: bytes, *, algorithm: str = "HS256", **names: str) -> bytes:
    """Return the key of the proofs under a ticket."""
    used = {"audience": AUDIENCE, "issuer": ISSUER, "client_id": CLIENT, "jkt": JKT}
    used |= names
    info = b"dpop-sym/1 tkt\0" + lp(raw) + lp(algorithm.encode())
    info += b"".join(lp(used[name].encode()) for name in used)
    return expand(TICKET_KEY, info, {"HS256": 32, "HS512": 64}[algorithm])


def generate() -> dict[str, Any]:
    """Return the content of ``tickets.json``."""
    names = ("now", "issuer", "audience", "issuer_jwk", "method", "url")
    return {
        **{name: SERVER[name] for name in names},
        "algorithms": ["HS256"],
        "ticket_keys": [
            {
                "tkid": TKID.hex(),
                "key": TICKET_KEY.hex(),
                "lifetime": LIFETIME,
                "expires_at": NOW + 3600,
            }
        ],
        # Whose tickets of that second and before are good no more.
        "logouts": [{"jkt": LOGGED_OUT, "not_before": NOW - 60}],
        "vectors": [*_good(), *_lives(), *_texts(), *_keys(), *_tokens()],
    }


def _good() -> list[Vector]:
    plain = access_token(cnf={"dsk": ABSENT})
    return [
        _vector("usual", ["R1803", "R2131", "R2134"], ACCEPTED),
        _vector("a token without a key", ["R1803"], ACCEPTED, token=plain),
        _vector(
            "the next token",
            ["R1803"],
            ACCEPTED,
            token=access_token(claims={"jti": "next"}, dsk={"v": 99, "alg": "HS512"}),
        ),
        _vector(
            "made by a clock that is 5 s ahead",
            ["R2131"],
            ACCEPTED,
            raw=ticket(exp=NOW + LIFETIME + 5),
        ),
    ]


def _lives() -> list[Vector]:
    token = access_token(cnf={"jkt": LOGGED_OUT})
    return [
        _vector("expired", ["R2131"], STALE, raw=ticket(exp=NOW)),
        _vector(
            "good for too long",
            ["R2131", "R1801"],
            STALE,
            raw=ticket(exp=NOW + LIFETIME + 6),
        ),
        _vector(
            "an unknown ticket key", ["R1805", "T11"], STALE, raw=ticket(tkid=bytes(4))
        ),
        _vector(
            "made before the log-out",
            ["R2132"],
            STALE,
            token=token,
            key=ticket_proof_key(ticket(), jkt=LOGGED_OUT),
        ),
        _vector(
            "made after the log-out",
            ["R2132"],
            ACCEPTED,
            raw=ticket(exp=NOW + LIFETIME - 59),
            token=token,
            key=ticket_proof_key(ticket(exp=NOW + LIFETIME - 59), jkt=LOGGED_OUT),
        ),
    ]


def _texts() -> list[Vector]:
    text = b64url(ticket())
    return [
        _vector("another type of ticket", ["R2134"], INVALID_PROOF, raw=ticket(kind=1)),
        _vector("35 characters", ["R2134"], INVALID_PROOF, header={"tkt": text[:-1]}),
        _vector(
            "40 characters", ["R2134"], INVALID_PROOF, header={"tkt": text + "AAAA"}
        ),
        _vector(
            "a ticket that is a number", ["R2134"], INVALID_PROOF, header={"tkt": 2}
        ),
        _vector(
            "a kid beside the ticket", ["R2102"], INVALID_PROOF, header={"kid": "7"}
        ),
        _vector(
            "HS512, which is not taken",
            ["R1403"],
            INVALID_PROOF,
            header={"alg": "HS512"},
            key=ticket_proof_key(ticket(), algorithm="HS512"),
            digest="sha512",
        ),
    ]


def _keys() -> list[Vector]:
    raw = ticket()
    wrong = {
        "another client": ticket_proof_key(raw, client_id="another"),
        "another audience": ticket_proof_key(raw, audience="https://b.example.com"),
        "another issuer": ticket_proof_key(raw, issuer="https://as.example.net"),
        "another proof key": ticket_proof_key(raw, jkt=b64url(seed("another key"))),
        "another ticket": ticket_proof_key(ticket(exp=NOW + 200)),
        "the ticket key itself": TICKET_KEY,
    }
    changed = raw[:-1] + bytes([raw[-1] ^ 1])
    return [
        *(
            _vector(f"the key of {name}", ["T12"], INVALID_PROOF, key=key)
            for name, key in wrong.items()
        ),
        _vector(
            "a changed ticket",
            ["T12"],
            INVALID_PROOF,
            raw=changed,
            key=ticket_proof_key(raw),
        ),
        _vector(
            "a later expiry",
            ["T12"],
            INVALID_PROOF,
            raw=ticket(exp=NOW + 299),
            key=ticket_proof_key(raw),
        ),
        _vector("a changed MAC", ["R1509"], INVALID_PROOF, change=_changed),
    ]


def _tokens() -> list[Vector]:
    forged = sign(dump(TOKEN_HEADER), dump(TOKEN_CLAIMS), ec_key("another server"))
    return [
        _vector(
            "a token that the issuer did not sign",
            ["R1509"],
            INVALID_TOKEN,
            token=forged,
        ),
        _vector(
            "an expired token",
            ["R1803"],
            INVALID_TOKEN,
            token=access_token(claims={"exp": NOW}),
        ),
        _vector(
            "a token of another issuer",
            ["R1501"],
            INVALID_TOKEN,
            token=access_token(claims={"iss": "https://as.example.net"}),
        ),
        _vector(
            "a token for another audience",
            ["R1501"],
            INVALID_TOKEN,
            token=access_token(claims={"aud": "https://b.example.com"}),
        ),
        _vector(
            "the ath of another token", ["R1404"], INVALID_PROOF, claims={"ath": JKT}
        ),
        _vector("another URL", ["R1503"], INVALID_PROOF, claims={"htu": AUDIENCE}),
        _vector("too old", ["R1503"], INVALID_PROOF, claims={"iat": NOW - 120}),
    ]


def _vector(
    name: str,
    requirements: list[str],
    result: dict[str, str],
    *,
    raw: bytes | None = None,
    token: str | None = None,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    key: bytes | None = None,
    digest: str = "sha256",
    change: Callable[[str], str] = str,
) -> Vector:
    token = access_token() if token is None else token
    raw = ticket() if raw is None else raw
    usual = {"typ": "dpop-sym+jwt", "alg": "HS256", "tkt": b64url(raw)}
    said = dump(proof_claims(token, f"jti of: {name}", claims or {}))
    used = ticket_proof_key(raw) if key is None else key
    proof = mac(dump(merged(usual, header or {})), said, used, digest=digest)
    return {
        "name": name,
        "requirements": requirements,
        **result,
        "access_token": token,
        "proof": change(proof),
    }


def _changed(proof: str) -> str:
    head, _, tag = proof.rpartition(".")
    first = base64.urlsafe_b64decode(tag + "=")[0] ^ 1
    rest = base64.urlsafe_b64decode(tag + "=")[1:]
    return f"{head}.{b64url(bytes([first]) + rest)}"
