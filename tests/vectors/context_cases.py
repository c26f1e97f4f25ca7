"""Vectors about nonces, bindings, replay, and proofs without an access token."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from tests.vectors.corpus import ABSENT, NOW, Corpus
from tests.vectors.hand_made import b64, compact, dump, jkt, mac, negated_s

TOKEN_URL: Final = "https://as.example.com/token"
NONCE_SECRET: Final = bytes(range(32))
_JWK_OF_RFC_9449: Final = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
_HEADER_OF_RFC_9449: Final = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZy"
    "aHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpi"
    "VFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
#: The two proofs of RFC 9449, sections 5 and 7.
_TOKEN_PROOF: Final = (
    f"{_HEADER_OF_RFC_9449}."
    "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ."
    "2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37x"
    "RZT3Lg"
)
_RESOURCE_PROOF: Final = (
    f"{_HEADER_OF_RFC_9449}."
    "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
    "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVI"
    "eU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
    "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxh"
    "AJpLjA"
)


def rfc_9449(corpus: Corpus) -> None:
    corpus.add(
        "token request of RFC 9449",
        "C-6 C-9 J-9",
        proof=_TOKEN_PROOF,
        jkt=_JWK_OF_RFC_9449,
        now=1_562_262_616,
        method="POST",
        url="https://server.example.com/token",
        access_token=None,
    )
    corpus.add(
        "resource request of RFC 9449",
        "C-6 C-9 C-12a J-9",
        proof=_RESOURCE_PROOF,
        jkt=_JWK_OF_RFC_9449,
        now=1_562_262_618,
        url="https://resource.example.org/protectedresource",
        access_token="Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
    )


def nonces(corpus: Corpus) -> None:
    secrets = [NONCE_SECRET.hex()]
    for name, ids, nonce in (
        ("of this minute", "C-10 Q-5 Q-19", _nonce("rs", 0)),
        ("of the minute before", "C-10 Q-7", _nonce("rs", -1)),
        ("of two minutes before", "C-10 Q-7", _nonce("rs", -2)),
    ):
        corpus.add(f"nonce {name}", ids, claims={"nonce": nonce}, nonce_secrets=secrets)
    for name, ids, claims in (
        ("missing", "C-10 C-3 Q-12 Q-16", {}),
        ("null", "C-10 Q-16", {"nonce": None}),
        ("of three minutes before", "C-10 Q-2 Q-5", {"nonce": _nonce("rs", -3)}),
        ("of the next minute", "C-10 Q-5", {"nonce": _nonce("rs", 1)}),
        ("of the authorization server", "C-10 Q-20", {"nonce": _nonce("as", 0)}),
        ("under another secret", "C-10 Q-5", {"nonce": b64(bytes(16))}),
        ("empty", "C-10 Q-5", {"nonce": ""}),
        ("cut short", "C-10 Q-5", {"nonce": _nonce("rs", 0)[:-1]}),
        ("with a space", "C-10 Q-5", {"nonce": _nonce("rs", 0) + " "}),
        ("a number", "C-10 C-3 Q-5", {"nonce": 1}),
        ("a list", "C-10 C-3 Q-5", {"nonce": [_nonce("rs", 0)]}),
        ("not ASCII", "C-10 Q-5", {"nonce": "ä" * 22}),
        ("missing from a stale proof", "C-10 C-11", {"iat": NOW - 3600}),
    ):
        corpus.add(
            f"nonce {name}", ids, "use_dpop_nonce", claims=claims, nonce_secrets=secrets
        )
    corpus.add(
        "nonce good but the proof stale",
        "C-11 X-18",
        "stale_proof",
        claims={"nonce": _nonce("rs", 0), "iat": NOW - 66},
        nonce_secrets=secrets,
    )
    corpus.add(
        "nonce of the older of two secrets",
        "C-10",
        claims={"nonce": _nonce("rs", 0)},
        nonce_secrets=[*secrets, bytes(range(32, 64)).hex()],
    )


def _nonce(purpose: str, step: int) -> str:
    label = purpose.encode()
    message = b"dpop-nonce/1\0" + len(label).to_bytes(2) + label
    message += (NOW // 60 + step).to_bytes(8)
    return b64(hmac.digest(NONCE_SECRET, message, hashlib.sha256)[:16])


def bindings(corpus: Corpus) -> None:
    corpus.add(
        "token of another key", "C-12b B-2", "key_mismatch", bound_to=jkt("other-ec")
    )
    corpus.add("token of no key", "P-7", "unbound_token", bound_to=None)
    corpus.add(
        "token of the same key in another form",
        "C-12b B-3",
        "key_mismatch",
        bound_to=jkt("ec") + "=",
    )
    corpus.add(
        "token of another key and the proof stale",
        "C-11 C-12b",
        "stale_proof",
        claims={"iat": NOW - 66},
        bound_to=jkt("other-ec"),
    )


def replays(corpus: Corpus) -> None:
    proof = corpus.good()
    corpus.add(
        "second use",
        "X-15 W-4",
        "replayed_proof",
        proof=proof,
        used=[{"proof": proof, "jkt": jkt("ec")}],
    )
    corpus.add(
        "second use with the other signature of the same text",
        "X-15 W-4",
        "replayed_proof",
        proof=negated_s(proof),
        used=[{"proof": proof, "jkt": jkt("ec")}],
    )
    first, second = (
        corpus.good(jti="the same", htu=f"https://api.example.com/{path}")
        for path in ("accounts/42", "accounts/%34%32")
    )
    corpus.add(
        "second use of a jti in another spelling of the target",
        "X-15",
        "replayed_proof",
        proof=second,
        used=[{"proof": first, "jkt": jkt("ec")}],
    )
    corpus.add(
        "jti that another key used",
        "X-15",
        claims={"jti": "the same"},
        key="ed",
        alg="Ed25519",
        used=[{"proof": first, "jkt": jkt("ec")}],
    )
    corpus.add("signature in its other form", "C-6", proof=negated_s(corpus.good()))


def token_endpoint(corpus: Corpus) -> None:
    request: dict[str, Any] = {"method": "POST", "url": TOKEN_URL, "access_token": None}
    claims = {"htm": "POST", "htu": TOKEN_URL}
    corpus.add("token request", "S-6 T-2", claims=claims | {"ath": ABSENT}, **request)
    corpus.add("token request with ath", "S-12", claims=claims, **request)
    corpus.add(
        "token request with the nonce of the resource server",
        "Q-20",
        "use_dpop_nonce",
        claims=claims | {"nonce": _nonce("rs", 0)},
        nonce_secrets=[NONCE_SECRET.hex()],
        **request,
    )
    corpus.add(
        "token request with its nonce",
        "C-10 Q-1",
        claims=claims | {"nonce": _nonce("as", 0)},
        nonce_secrets=[NONCE_SECRET.hex()],
        **request,
    )
    symmetric = {"typ": "dpop-sym+jwt", "alg": "HS256"}
    for name, where, members in (
        ("token request", request, claims),
        ("resource request without a keyring", {}, {}),
    ):
        corpus.add(
            f"symmetric proof at a {name}",
            "X-22 R1401" if where else "R1401",
            "malformed_proof",
            proof=compact(
                dump(symmetric), dump(corpus.claims(**members)), mac(NONCE_SECRET)
            ),
            **where,
        )
