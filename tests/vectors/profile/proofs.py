"""Symmetric proofs and the access tokens they come with, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.vectors.profile.parts import (
    ABSENT,
    CLIENT_KEY,
    ISSUER,
    JKT,
    NOW,
    b64url,
    dump,
    ec_jwk,
    ec_key,
    mac,
    merged,
    public_jwk,
    seed,
    sha256,
    sign,
)
from tests.vectors.profile.server import (
    DENIED_R,
    HEADER,
    SERVER,
    TOKEN_CLAIMS,
    TOKEN_HEADER,
    URL,
    access_token,
    proof_claims,
    usual_key,
)

INVALID_PROOF: Final = {"error": "invalid_dpop_proof"}
INVALID_TOKEN: Final = {"error": "invalid_token"}
STALE: Final = {"error": "invalid_token", "sym_error": "stale_key"}
UNKNOWN: Final = {"error": "use_dpop_asymmetric", "sym_error": "unknown_key"}
EXPIRED: Final = {"error": "invalid_token", "sym_error": "expired_key"}
ACCEPTED: Final[dict[str, str]] = {"result": "accepted"}

Vector = dict[str, Any]


def generate() -> dict[str, Any]:
    """Return the content of ``symmetric-proofs.json``."""
    vectors = [
        *_good(),
        *_headers(),
        *_algorithms(),
        *_claims(),
        *_texts(),
        *_keys(),
        *_tokens(),
        *_versions(),
        *_confusion(),
    ]
    return {**SERVER, "vectors": vectors}


def _good() -> list[Vector]:
    every = ["R1401", "R1402", "R1403", "R1404", "R1301", "R1302", "R1304", "R1509"]
    hs512 = access_token(dsk={"alg": "HS512"})
    return [
        _vector("usual", [*every, "R1501", "R2101", "R2103"], ACCEPTED),
        _vector("with a kid", ["R2102"], ACCEPTED, header={"kid": "7"}),
        _vector(
            "HS512",
            ["R1403"],
            ACCEPTED,
            token=hs512,
            header={"alg": "HS512"},
            key=usual_key(algorithm="HS512"),
            digest="sha512",
        ),
        _vector("an unknown claim", ["R1401"], ACCEPTED, claims={"seq": 0}),
        _vector("60 s old", ["R1401"], ACCEPTED, claims={"iat": NOW - 60}),
        _vector(
            "one audience in a list",
            ["R1302"],
            ACCEPTED,
            token=access_token(claims={"aud": [TOKEN_CLAIMS["aud"]]}),
        ),
        _vector(
            "a pending version",
            ["R1703"],
            ACCEPTED,
            token=access_token(dsk={"v": 8}),
            key=usual_key(version=8),
        ),
    ]


def _headers() -> list[Vector]:
    jwk = public_jwk(ec_jwk(CLIENT_KEY))
    return [
        _vector("no typ", ["R1401"], INVALID_PROOF, header={"typ": ABSENT}),
        _vector(
            "typ in capitals", ["R1401"], INVALID_PROOF, header={"typ": "DPoP-sym+jwt"}
        ),
        _vector("typ of a JWT", ["R1401"], INVALID_PROOF, header={"typ": "JWT"}),
        _vector("jwk", ["R1402"], INVALID_PROOF, header={"jwk": jwk}),
        _vector("jku", ["R1402"], INVALID_PROOF, header={"jku": f"{ISSUER}/jwks"}),
        _vector("x5u", ["R1402"], INVALID_PROOF, header={"x5u": f"{ISSUER}/x5u"}),
        _vector("x5c", ["R1402"], INVALID_PROOF, header={"x5c": ["AAAA"]}),
        _vector(
            "crit", ["R1402"], INVALID_PROOF, header={"crit": ["b64"], "b64": True}
        ),
        _vector("b64", ["R1402"], INVALID_PROOF, header={"b64": True}),
        _vector("zip", ["R1402"], INVALID_PROOF, header={"zip": "DEF"}),
        _vector("an unknown member", ["R1402"], INVALID_PROOF, header={"dlg": []}),
        _vector(
            "the kid of another version", ["R2102"], INVALID_PROOF, header={"kid": "8"}
        ),
        _vector("a kid with a zero", ["R2102"], INVALID_PROOF, header={"kid": "07"}),
        _vector("a kid that is a number", ["R2102"], INVALID_PROOF, header={"kid": 7}),
    ]


def _algorithms() -> list[Vector]:
    return [
        _vector("alg none", ["R1403", "T5"], INVALID_PROOF, header={"alg": "none"}),
        _vector(
            "HS384", ["R1403"], INVALID_PROOF, header={"alg": "HS384"}, digest="sha384"
        ),
        _vector(
            "HS512 with the key of HS256",
            ["R1403"],
            INVALID_PROOF,
            header={"alg": "HS512"},
            digest="sha512",
        ),
        _vector(
            "HS512 with a key of its own",
            ["R1403"],
            INVALID_PROOF,
            header={"alg": "HS512"},
            key=usual_key(algorithm="HS512"),
            digest="sha512",
        ),
        _vector("ES256", ["R1403"], INVALID_PROOF, header={"alg": "ES256"}),
    ]


def _claims() -> list[Vector]:
    return [
        _vector("no ath", ["R1404"], INVALID_PROOF, claims={"ath": ABSENT}),
        _vector(
            "the ath of another token",
            ["R1404"],
            INVALID_PROOF,
            claims={"ath": sha256("x")},
        ),
        _vector("no jti", ["R1509"], INVALID_PROOF, claims={"jti": ABSENT}),
        _vector("another method", ["R1503"], INVALID_PROOF, claims={"htm": "POST"}),
        _vector(
            "another URL", ["R1503", "T23"], INVALID_PROOF, claims={"htu": URL + "3"}
        ),
        _vector("too old", ["R1503"], INVALID_PROOF, claims={"iat": NOW - 120}),
        _vector("made for later", ["T28"], INVALID_PROOF, claims={"iat": NOW + 120}),
        _vector("iat is true", ["T22"], INVALID_PROOF, claims={"iat": True}),
        _vector("iat is text", ["T22"], INVALID_PROOF, claims={"iat": str(NOW)}),
    ]


def _texts() -> list[Vector]:
    def of(change: Callable[[str], str]) -> Vector:
        return {"change": change}

    return [
        _vector("a repeated claim", ["T22"], INVALID_PROOF, raw=_repeated),
        _vector("iat is an infinity", ["T22"], INVALID_PROOF, raw=_infinite),
        _vector("a MAC of 16 bytes", ["T22"], INVALID_PROOF, **of(lambda p: p[:-21])),
        _vector("no MAC", ["T22", "R1509"], INVALID_PROOF, **of(lambda p: p[:-43])),
        _vector("a MAC with padding", ["T22"], INVALID_PROOF, **of(lambda p: p + "=")),
        _vector("left-over bits", ["T22"], INVALID_PROOF, **of(_left_over)),
        _vector("a changed MAC", ["R1509"], INVALID_PROOF, **of(_changed)),
        _vector(
            "over 2048 characters", ["R1401"], INVALID_PROOF, claims={"pad": "x" * 1500}
        ),
    ]


def _keys() -> list[Vector]:
    wrong = {
        "the key of another client": usual_key(client_id="another"),
        "the key of another audience": usual_key(audience="https://b.example.com"),
        "the key of another issuer": usual_key(issuer="https://as.example.net"),
        "the key of another proof key": usual_key(jkt=b64url(seed("another key"))),
        "the key of another token": usual_key(r=DENIED_R),
        "the key of another version": usual_key(version=8),
    }
    return [
        _vector(name, ["T4", "R1501"], INVALID_PROOF, key=key)
        for name, key in wrong.items()
    ]


def _tokens() -> list[Vector]:
    def odd(name: str, requirements: list[str], **changes: Any) -> Vector:
        return _vector(name, requirements, INVALID_TOKEN, token=access_token(**changes))

    raw = dump(TOKEN_CLAIMS)
    return [
        odd("no jkt", ["R1301"], cnf={"jkt": ABSENT}),
        odd("two audiences", ["R1302"], claims={"aud": [TOKEN_CLAIMS["aud"], "b"]}),
        odd("another audience", ["R1501"], claims={"aud": "https://b.example.com"}),
        odd("another issuer", ["R1501"], claims={"iss": "https://as.example.net"}),
        odd("an r of 31 bytes", ["R1304", "R2103"], dsk={"r": b64url(bytes(31))}),
        odd(
            "an r with padding", ["R1304", "R2103"], dsk={"r": b64url(bytes(32)) + "="}
        ),
        odd("a version that is text", ["R2101"], dsk={"v": "7"}),
        odd("a version that is true", ["R2101"], dsk={"v": True}),
        odd("a version with a fraction", ["R2101"], dsk={"v": 7.5}),
        odd("no client", ["R1501"], claims={"client_id": ABSENT}),
        odd("a client of 2049 bytes", ["R2104"], claims={"client_id": "x" * 2049}),
        odd("an expired token", ["R1509"], claims={"exp": NOW}),
        odd("claims over 4 KiB", ["R2091"], claims={"pad": "x" * 4096}),
        odd("17 levels", ["R2092"], raw=raw[:-1] + ',"x":' + "[" * 16 + "]" * 16 + "}"),
        odd("a repeated claim of the token", ["R2093"], raw='{"sub":"bob",' + raw[1:]),
        odd("a lone surrogate", ["R2105"], claims={"client_id": "a\ud800"}),
        odd("a denied jti", ["R2012", "T15"], claims={"jti": "denied"}),
        _vector(
            "a denied r",
            ["R2012", "T15"],
            INVALID_TOKEN,
            token=access_token(dsk={"r": b64url(DENIED_R)}),
            key=usual_key(r=DENIED_R),
        ),
        _vector(
            "a token that the issuer did not sign",
            ["R1509", "T1"],
            INVALID_TOKEN,
            token=sign(dump(TOKEN_HEADER), raw, ec_key("another server")),
        ),
        _vector(
            "a token without a key",
            ["R1509"],
            INVALID_PROOF,
            token=access_token(cnf={"dsk": ABSENT}),
        ),
        _vector(
            "a key that has expired",
            ["R1510"],
            EXPIRED,
            token=access_token(dsk={"exp": NOW}),
        ),
    ]


def _versions() -> list[Vector]:
    expected = {
        4: ("a version below the lowest live one", "R1506", STALE),
        5: ("a revoked version", "R1506", STALE),
        6: ("a version that has expired", "R1506", STALE),
        9: ("a version one ahead", "R1507", UNKNOWN),
        10: ("a version two ahead", "R1507", UNKNOWN),
        11: ("a version three ahead", "R1507", INVALID_TOKEN),
    }
    return [
        _vector(
            name,
            [requirement],
            result,
            token=access_token(dsk={"v": version}),
            key=usual_key(version=version),
        )
        for version, (name, requirement, result) in expected.items()
    ]


def _confusion() -> list[Vector]:
    jwk = public_jwk(ec_jwk(CLIENT_KEY))
    oct_jwk = {"kty": "oct", "k": b64url(bytes(range(32)))}
    asymmetric = {"typ": "dpop+jwt", "jwk": jwk}
    return [
        _vector("a MAC under the JWK", ["T5"], INVALID_PROOF, key=dump(jwk).encode()),
        _vector("a MAC under the thumbprint", ["T5"], INVALID_PROOF, key=JKT.encode()),
        _vector("a MAC under the r", ["T5"], INVALID_PROOF, key=bytes(range(32, 64))),
        _vector(
            "an asymmetric proof with a MAC",
            ["R1504", "T5"],
            INVALID_PROOF,
            header=asymmetric,
        ),
        _vector(
            "an asymmetric proof with an oct key",
            ["R1505", "T5"],
            INVALID_PROOF,
            header={"typ": "dpop+jwt", "jwk": oct_jwk},
            key=bytes(range(32)),
        ),
    ]


def _vector(
    name: str,
    requirements: list[str],
    result: dict[str, str],
    *,
    token: str | None = None,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    raw: Callable[[dict[str, Any]], str] = dump,
    key: bytes | None = None,
    digest: str = "sha256",
    change: Callable[[str], str] = str,
) -> Vector:
    """Return one vector: what arrives, and what is answered."""
    token = access_token() if token is None else token
    # Each proof has a jti of its own, so the order of the vectors means nothing.
    jti = f"jti of: {name}"
    text = raw(proof_claims(token, jti, claims or {}))
    head = dump(merged(HEADER, header or {}))
    proof = mac(head, text, usual_key() if key is None else key, digest=digest)
    return {
        "name": name,
        "requirements": requirements,
        **result,
        "access_token": token,
        "proof": change(proof),
    }


def _repeated(claims: dict[str, Any]) -> str:
    return '{"htm":"GET",' + dump(claims)[1:]


def _infinite(claims: dict[str, Any]) -> str:
    return dump(claims | {"iat": 0}).replace('"iat":0', '"iat":1e999')


def _left_over(proof: str) -> str:
    """Change the two bits of the last character that stand for nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return proof[:-1] + letters[letters.index(proof[-1]) ^ 1]


def _changed(proof: str) -> str:
    head, _, tag = proof.rpartition(".")
    return f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"
