"""Vectors about the header of a proof: type, algorithm, key."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from tests.vectors.corpus import ABSENT, Corpus, header, merged
from tests.vectors.hand_made import JSON, KEYS, b64, dump, jkt, mac, public, unb64


def types(corpus: Corpus) -> None:
    for name, typ in (
        ("JWT", "JWT"),
        ("at+jwt", "at+jwt"),
        ("in another case", "DPoP+JWT"),
        ("with the application prefix", "application/dpop+jwt"),
        ("with a space", "dpop+jwt "),
        ("missing", ABSENT),
        ("null", None),
        ("a list", ["dpop+jwt"]),
    ):
        corpus.add(f"typ {name}", "C-4 S-1", "malformed_proof", head={"typ": typ})


def algorithms(corpus: Corpus) -> None:
    secret = b"a secret that the attacker chose"
    oct_jwk = {"kty": "oct", "k": b64(secret)}
    none = dump(header("ec", "none"))
    body = b64(dump(corpus.claims()).encode())
    corpus.add(
        "alg none without a signature",
        "S-2 C-5 X-22",
        "malformed_proof",
        proof=f"{b64(none.encode())}.{body}.",
    )
    corpus.add(
        "alg none with a signature", "S-2 C-5 X-22", "unsupported_key", raw_header=none
    )
    corpus.add(
        "alg HS256 under an embedded oct key",
        "S-2 C-5 T5 R1504 R1505",
        "unsupported_key",
        head={"alg": "HS256", "jwk": oct_jwk},
        sign=mac(secret),
    )
    corpus.add(
        "alg ES256 with an embedded oct key",
        "C-7 T5 R1505",
        "unsupported_key",
        head={"jwk": oct_jwk},
        sign=mac(secret),
    )
    point = b"\4" + unb64(KEYS["ec"]["x"]) + unb64(KEYS["ec"]["y"])
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + point
    text = base64.encodebytes(spki).decode().replace("\n", "")
    pem = "\n".join(
        [
            "-----BEGIN PUBLIC KEY-----",
            text[:64],
            text[64:],
            "-----END PUBLIC KEY-----",
            "",
        ]
    )
    for name, known in (
        ("JSON", dump(public("ec")).encode()),
        ("x coordinate", unb64(KEYS["ec"]["x"])),
        ("DER", spki),
        ("PEM", pem.encode()),
        ("thumbprint", jkt("ec").encode()),
    ):
        corpus.add(
            f"alg HS256 under the {name} of the public key",
            "C-5 T5 R1504",
            "unsupported_key",
            head={"alg": "HS256"},
            sign=mac(known),
        )
    default = ["ES256", "Ed25519", "EdDSA", "PS256"]
    for key, alg, listed in (
        ("ec-384", "ES384", default),
        ("rsa", "RS256", default),
        ("secp256k1", "ES256K", default),
        ("ed448", "Ed448", default),
        ("ec", "ES256", ["PS256"]),
    ):
        corpus.add(
            f"alg {alg} that is not in the list",
            "C-5 J-13",
            "unsupported_key",
            key=key,
            alg=alg,
            algorithms=listed,
        )
    for name, odd in (
        ("in another case", "es256"),
        ("empty", ""),
        ("missing", ABSENT),
        ("null", None),
        ("a number", 256),
        ("a list", ["ES256"]),
    ):
        corpus.add(f"alg {name}", "C-5 S-2 C-3", "unsupported_key", head={"alg": odd})
    for alg, key in (
        ("ES256", "ec-384"),
        ("ES256", "secp256k1"),
        ("ES256", "rsa"),
        ("ES256", "ed"),
        ("PS256", "ec"),
        ("Ed25519", "ec"),
        ("EdDSA", "ed448"),
        ("Ed25519", "ed448"),
    ):
        corpus.add(
            f"alg {alg} with the key {key}",
            "C-5b",
            "unsupported_key",
            key=key,
            head={"alg": alg},
        )


def headers(corpus: Corpus) -> None:
    for member, value in (
        ("crit", ["exp"]),
        ("crit", ["unknown"]),
        ("crit", ["alg"]),
        ("crit", ["b64"]),
        ("crit", []),
        ("crit", None),
        ("crit", 1),
        ("crit", [{}]),
        ("b64", False),
        ("b64", True),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
    ):
        corpus.add(
            f"header with {member}: {dump(value)}",
            "C-2c J-12" if member == "b64" else "C-2c",
            "malformed_proof",
            head={member: value},
        )


def keys(corpus: Corpus) -> None:
    def refused(name: str, ids: str, code: str, jwk: object) -> None:
        corpus.add(f"jwk {name}", ids, code, head={"jwk": jwk})

    ec = public("ec")
    changes: JSON
    for name, jwk in (
        ("missing", ABSENT),
        ("null", None),
        ("a string", dump(ec)),
        ("a list", [ec]),
    ):
        refused(name, "S-3 C-3", "malformed_proof", jwk)
    for name, changes in (
        ("empty", dict.fromkeys(ec, ABSENT)),
        ("without kty", {"kty": ABSENT}),
        ("with kty as a list", {"kty": ["EC"]}),
        ("of an unknown kty", {"kty": "ec"}),
        ("without crv", {"crv": ABSENT}),
        ("of an unknown crv", {"crv": "P-255"}),
        ("with crv as an object", {"crv": {}}),
    ):
        refused(name, "C-5b S-3", "unsupported_key", merged(ec, changes))
    for name, changes in (
        ("without x", {"x": ABSENT}),
        ("with x as a number", {"x": 1}),
        ("with a padded x", {"x": ec["x"] + "="}),
        ("with x in plain base64", {"x": "+/" + ec["x"][2:]}),
        ("with y null", {"y": None}),
    ):
        refused(name, "C-5b S-3", "malformed_proof", merged(ec, changes))
    for name, changes in (
        ("with zeros before x", {"x": b64(b"\0" + unb64(ec["x"]))}),
        ("with a short y", {"y": b64(unb64(ec["y"])[1:])}),
        ("with an empty x", {"x": ""}),
        ("off the curve", {"y": ec["x"]}),
        ("at infinity", {"x": b64(bytes(32)), "y": b64(bytes(32))}),
    ):
        refused(name, "C-5b J-10 J-13", "unsupported_key", merged(ec, changes))
    refused("with its private key", "C-7 S-3", "unsupported_key", KEYS["ec"])
    for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"):
        for value in (None, "", "x"):
            refused(
                f"with the member {member}: {dump(value)}",
                "C-7 S-3",
                "unsupported_key",
                {**ec, member: value},
            )
    for name, changes in (
        ("for another alg", {"alg": "ES384"}),
        ("for encryption", {"use": "enc"}),
        ("for use null", {"use": None}),
        ("for signing", {"key_ops": ["sign"]}),
        ("for no operation", {"key_ops": []}),
        ("for verifying, twice", {"key_ops": ["verify", "verify"]}),
        ("with key_ops as a string", {"key_ops": "verify"}),
    ):
        refused(name, "C-5c", "unsupported_key", {**ec, **changes})


def weak_keys(corpus: Corpus) -> None:
    def rsa(name: str, ids: str, key: str, **changes: str) -> None:
        corpus.add(
            f"RSA key {name}",
            ids,
            "unsupported_key",
            key=key,
            alg="PS256",
            head={"jwk": {**public(key), **changes}},
        )

    rsa("of 1024 bits", "C-5b J-10", "rsa-1024")
    rsa("with exponent 3", "C-5b", "rsa-e3")
    rsa("with exponent 1", "C-5b", "rsa", e="AQ")
    rsa("with an even exponent", "C-5b", "rsa", e=b64((65538).to_bytes(3)))
    rsa("with an exponent of 33 bits", "C-5b", "rsa", e=b64((2**32 + 1).to_bytes(5)))
    rsa("with an empty exponent", "C-5b", "rsa", e="")
    rsa("with a zero before the exponent", "C-5b B-4", "rsa", e=b64(b"\0\1\0\1"))
    modulus = unb64(KEYS["rsa"]["n"])
    rsa("with a zero before the modulus", "C-5b B-4", "rsa", n=b64(b"\0" + modulus))
    rsa("with an even modulus", "C-5b", "rsa", n=b64(modulus[:-1] + b"\2"))
    large = b"".join(hashlib.sha512(bytes([number])).digest() for number in range(16))
    rsa("of 8192 bits", "C-5b", "rsa", n=b64(b"\xff" + large[:-2] + b"\1"))
    for point, note in _SMALL_ORDER.items():
        x = bytes.fromhex(point)
        corpus.add(
            f"Ed25519 key of small order, {note}",
            "C-5b J-13",
            "unsupported_key",
            proof=_forged_small_order(corpus, x),
        )


_SMALL_ORDER: Final = {
    "01" + "00" * 31: "order 1",
    "ec" + "ff" * 30 + "7f": "order 2",
    "00" * 32: "order 4",
    "00" * 31 + "80": "order 4, negative",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": "order 8",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85": "order 8, -",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": "order 8, 2",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa": "order 8, 2-",
    "01" + "00" * 30 + "80": "order 1, not canonical",
    "ec" + "ff" * 31: "order 2, not canonical",
    "ed" + "ff" * 30 + "7f": "order 4, not canonical",
    "ed" + "ff" * 31: "order 4, negative, not canonical",
    "ee" + "ff" * 30 + "7f": "order 1, y above p",
    "ee" + "ff" * 31: "order 1, y above p, not canonical",
}


def _forged_small_order(corpus: Corpus, x: bytes) -> str:
    """A proof that verifies without anyone having a private key.

    With R the identity and S zero, that takes a hash that the order of the key
    divides: one message in eight.
    """
    identity = b"\1" + bytes(31)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(x)}
    head = b64(dump({"typ": "dpop+jwt", "alg": "Ed25519", "jwk": jwk}).encode())
    while True:
        message = f"{head}.{b64(dump(corpus.claims()).encode())}"
        digest = hashlib.sha512(identity + x + message.encode()).digest()
        if digest[0] % 8 == 0:
            return f"{message}.{b64(identity + bytes(32))}"
