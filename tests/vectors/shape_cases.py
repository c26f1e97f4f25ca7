"""Vectors about the form of a proof and its signature."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.vectors.corpus import Corpus, header
from tests.vectors.hand_made import KEYS, b64, compact, dump, jkt, pss, public, signer


def good(corpus: Corpus) -> None:
    corpus.add("valid ES256", "C-6 C-9 S-9 P-2")
    corpus.add("valid Ed25519", "C-5b J-16", key="ed", alg="Ed25519")
    corpus.add("valid EdDSA", "C-5b J-16", key="ed", alg="EdDSA")
    corpus.add("valid PS256", "C-5b", key="rsa", alg="PS256")
    corpus.add("valid PS256 of 4096 bits", "C-5b", key="rsa-4096", alg="PS256")
    for key, alg in (("ec-384", "ES384"), ("ec-521", "ES512"), ("rsa", "RS256")):
        corpus.add(
            f"valid {alg} where allowed", "C-5", key=key, alg=alg, algorithms=[alg]
        )
    corpus.add("key with a coordinate that starts with zero", "B-4", key="ec-short-x")
    corpus.add("unknown claims", "S-12 X-23", claims={"sub": "x", "nested": {"a": [1]}})
    corpus.add("unknown header members", "S-12", head={"kid": "x", "iss": "https://x"})
    corpus.add(
        "key references that are ignored",
        "C-6 J-13",
        head={
            "kid": jkt("other-ec"),
            "jku": "https://attacker.example/jwks",
            "x5u": "https://attacker.example/x5c",
            "x5c": ["junk", 1],
            "x5t": "junk",
        },
    )
    corpus.add(
        "key says what it is for",
        "C-5c B-4",
        head={
            "jwk": {
                **public("ec"),
                "kid": "1",
                "use": "sig",
                "key_ops": ["verify"],
                "alg": "ES256",
                "ext": True,
            }
        },
    )
    corpus.add("nonce that nobody asked for", "C-10", claims={"nonce": 7})


def shapes(corpus: Corpus) -> None:
    good = corpus.good()
    head, payload, signature = good.split(".")
    for name, ids, proof in (
        ("empty", "H-4 C-2", ""),
        ("two proofs joined by a comma", "C-1 H-3", f"{good},{good}"),
        ("two proofs joined by comma and space", "C-1 H-3", f"{good}, {good}"),
        ("a proof and an empty field", "C-1 H-3", f"{good},"),
        ("an empty field and a proof", "C-1 H-3", f",{good}"),
        ("space in front", "C-2 H-3 J-11", f" {good}"),
        ("space behind", "C-2 H-3 J-11", f"{good} "),
        ("line break behind", "C-2 J-11", f"{good}\n"),
        ("line break inside", "C-2 J-11", f"{head}.{payload}.\r\n {signature}"),
        ("padded", "C-2 H-3 J-11", f"{head}.{payload}.{signature}=="),
        ("padded payload", "C-2 J-11", f"{head}.{payload}=.{signature}"),
        ("character of plain base64", "C-2 H-3", f"{head}.{payload}.{signature[:-1]}+"),
        ("tilde", "C-2 H-3", f"{good}~"),
        ("not ASCII", "C-2 H-3", f"{good}ä"),
        ("NUL", "C-2", f"{good}\0"),
        ("one part", "C-2", head),
        ("two parts", "C-2", f"{head}.{payload}"),
        ("four parts", "C-2", f"{good}.{signature}"),
        (
            "five parts, as a JWE",
            "C-2 C-2c",
            f"{head}..{payload}.{payload}.{signature}",
        ),
        ("empty header", "C-2", f".{payload}.{signature}"),
        ("empty payload", "C-2", f"{head}..{signature}"),
        ("empty signature", "C-2", f"{head}.{payload}."),
        ("bits left over in the signature", "C-2 T22", f"{good[:-1]}{_next(good[-1])}"),
        ("length that base64 cannot have", "C-2", f"{head}.{payload}.{signature}AAA"),
        (
            "JSON serialisation",
            "C-2",
            dump({"payload": payload, "signature": signature}),
        ),
    ):
        corpus.add(f"shape: {name}", ids, "malformed_proof", proof=proof)
    corpus.add("shape: 8192 characters", "C-2", proof=_of_length(corpus, 8192))
    corpus.add(
        "shape: 8193 characters",
        "C-2",
        "malformed_proof",
        proof=_of_length(corpus, 8193),
    )


def _of_length(corpus: Corpus, length: int) -> str:
    """A good proof of *length* characters."""
    sign = signer("ec", "ES256")
    for head, more in itertools.product(range(3), range(3)):
        claims = corpus.claims(pad="x" * (length * 3 // 4 - 512 + more))
        proof = compact(dump(header(pad="x" * head)), dump(claims), sign)
        claims["pad"] += "x" * ((length - len(proof)) * 3 // 4)
        proof = compact(dump(header(pad="x" * head)), dump(claims), sign)
        if len(proof) == length:
            return proof
    raise AssertionError


def signatures(corpus: Corpus) -> None:
    def spoilt(name: str, spoil: Callable[[bytes], bytes], ids: str = "C-6") -> None:
        good = signer("ec", "ES256")
        corpus.add(
            f"signature {name}",
            ids,
            "bad_signature",
            sign=lambda message: spoil(good(message)),
        )

    spoilt("with one bit changed", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    spoilt("of zeros", lambda raw: bytes(64), "C-6 J-10")
    spoilt("cut short", lambda raw: raw[:-1], "C-6 J-10")
    spoilt("with a byte behind it", lambda raw: raw + b"\0", "C-6 J-10")
    spoilt("of one byte", lambda raw: b"\0", "C-6 J-10")
    spoilt("in DER", _der, "C-6 J-10")
    corpus.add(
        "signature by another key",
        "C-6",
        "bad_signature",
        sign=signer("other-ec", "ES256"),
    )
    corpus.add(
        "signature by another key, whose thumbprint is the kid",
        "C-6 J-13",
        "bad_signature",
        head={"kid": jkt("other-ec")},
        sign=signer("other-ec", "ES256"),
    )
    good = corpus.good()
    head, payload, signature = good.split(".")
    other = b64(dump(corpus.claims()).encode())
    corpus.add(
        "signature of another payload",
        "C-6",
        "bad_signature",
        proof=f"{head}.{other}.{signature}",
    )
    corpus.add(
        "header exchanged",
        "C-6",
        "bad_signature",
        proof=f"{b64(dump(header('other-ec')).encode())}.{payload}.{signature}",
    )
    corpus.add(
        "letters in the other case", "H-2", "malformed_proof", proof=good.swapcase()
    )
    corpus.add(
        "PS256 without a salt",
        "C-6",
        "bad_signature",
        key="rsa",
        alg="PS256",
        sign=pss(KEYS["rsa"], salt_length=0),
    )
    corpus.add(
        "PS256 that is RS256",
        "C-6",
        "bad_signature",
        key="rsa",
        alg="PS256",
        sign=signer("rsa", "RS256"),
    )


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))


def json(corpus: Corpus) -> None:
    good = signer("ec", "ES256")
    texts = {name: dump(value) for name, value in header().items()}
    head = dump(header())
    jwk = texts["jwk"]

    def bad_header(name: str, ids: str, raw: str) -> None:
        corpus.add(f"header {name}", ids, "malformed_proof", raw_header=raw)

    def bad_payload(name: str, ids: str, raw: str | bytes) -> None:
        corpus.add(f"payload {name}", ids, "malformed_proof", raw_payload=raw)

    def claims(extra: str = "") -> str:
        return dump(corpus.claims())[:-1] + extra + "}"

    bad_header("with alg twice", "C-2b J-11", head[:-1] + ',"alg":"ES256"}')
    bad_header("with typ twice", "C-2b J-11", '{"typ":"JWT",' + head[1:])
    bad_header("with jwk twice", "C-2b J-11", head[:-1] + f',"jwk":{jwk}}}')
    bad_header(
        "with kty twice in jwk", "C-2b", head.replace('"kty":', '"kty":"RSA","kty":')
    )
    bad_header(
        "with x twice in jwk, once escaped",
        "C-2b",
        head.replace('"x":', '"\\u0078":"","x":'),
    )
    for name, raw in (
        ("that is a list", f"[{head}]"),
        ("that is a string", '"dpop+jwt"'),
        ("that is null", "null"),
        ("of two objects", head + head),
        ("that ends early", head[:-1]),
        ("with a comma at the end", head[:-1] + ",}"),
        ("in single quotes", head.replace('"', "'")),
        ("with a comment", head[:-1] + "/**/}"),
        ("with NaN", head[:-1] + ',"x":NaN}'),
        ("with half a surrogate pair in a name", head[:-1] + ',"\\ud800":1}'),
    ):
        bad_header(name, "C-2 S-1", raw)
    bad_header("of 3000 characters", "C-2", head[:-1] + f',"x":"{"x" * 2600}"}}')

    other = "https://evil.example/accounts/42"
    bad_payload(
        "with htu twice, good one last",
        "C-2b T22",
        f'{{"htu":"{other}",' + claims()[1:],
    )
    bad_payload(
        "with htu twice, good one first", "C-2b T22", claims(f',"htu":"{other}"')
    )
    bad_payload("with iat twice", "C-2b T22", claims(',"iat":1'))
    bad_payload("with jti twice, once escaped", "C-2b T22", claims(',"\\u006ati":"x"'))
    bad_payload(
        "with a name twice in a claim", "C-2b T22", claims(',"x":{"a":1,"a":1}')
    )
    for name, raw_payload in (
        ("that is a list", f"[{claims()}]"),
        ("that is a string", '"x"'),
        ("that is a number", "1"),
        ("that is null", "null"),
        ("with text behind it", claims() + "x"),
        ("that is no JSON", "x"),
        ("of one space", " "),
        ("with a raw line break in a string", claims(',"x":"\n"')),
        ("with an unknown escape", claims(',"x":"\\x41"')),
        ("with a byte order mark", "\ufeff" + claims()),
        ("in UTF-16", claims().encode("utf-16")),
        ("in UTF-16 without a mark", claims().encode("utf-16-le")),
        ("in UTF-32", claims().encode("utf-32-le")),
        ("in Latin-1", claims(',"x":"ä"').encode("latin-1")),
        (
            "with an overlong UTF-8 sequence",
            claims(',"x":"').encode()[:-1] + b'\xc0\xaf"}',
        ),
        (
            "with a surrogate in UTF-8",
            claims(',"x":"').encode()[:-1] + b'\xed\xa0\x80"}',
        ),
        ("with a NUL in a string", claims(',"x":"\\u0000"')),
        ("with half a surrogate pair", claims(',"x":"\\udc00"')),
        ("nested 17 deep", claims(f',"x":{"[" * 16}{"]" * 16}')),
        ("nested 2000 deep", claims(f',"x":{"[" * 2000}{"]" * 2000}')),
        ("nested 2000 deep and cut off", f'{{"x":{"[" * 2000}'),
        ("with 300 commas in a string", claims(f',"x":"{"," * 300}"')),
    ):
        bad_payload(name, "C-2 T22", raw_payload)
    corpus.add(
        "payload nested 16 deep",
        "C-2",
        raw_payload=claims(f',"x":{"[" * 15}{"]" * 15}'),
    )
    corpus.add("payload with white space", "C-2", raw_payload=f" {claims()} \n")
    corpus.add(
        "payload with a surrogate pair",
        "C-2",
        raw_payload=claims(',"x":"\\ud83d\\ude00"'),
    )
    corpus.add(
        "payload with escaped names",
        "C-2",
        raw_payload=claims().replace('"htm"', '"\\u0068tm"'),
    )
    payload = _unpadded(claims)
    signing_input = f"{b64(head.encode())}.{payload[:-1]}{_next(payload[-1])}"
    corpus.add(
        "payload with bits left over, signed",
        "C-2 T22",
        "malformed_proof",
        proof=f"{signing_input}.{b64(good(signing_input.encode()))}",
    )


def _unpadded(claims: Callable[[str], str]) -> str:
    """Claims in base64url whose last character has bits to spare."""
    texts = (b64(claims(f',"pad":"{"x" * length}"').encode()) for length in range(3))
    return next(text for text in texts if len(text) % 4)


def _next(character: str) -> str:
    """The base64url character whose value is one more: it changes left-over bits."""
    return chr(ord(character) + 1)
