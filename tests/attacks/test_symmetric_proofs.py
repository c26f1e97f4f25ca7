"""Threats to symmetric proofs, as requests (DPoP Symmetric Profile)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from demo_server import resource_server
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.stores.nonce_file import create_nonce_file
from tests.attacks.moves import (
    AS_CONFIDENTIAL,
    CLIENT_CREDENTIALS,
    ask,
    forge,
    key_of,
    prove,
    prove_symmetrically,
)
from tests.fuzz.servers import Servers
from tests.fuzz.wire import send


def public_texts(key: ECKey) -> dict[str, bytes]:
    """Return the public values that have been mistaken for a MAC key."""
    public = key.public_key
    jwk = key.as_dict(private=False)
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    spki = PublicFormat.SubjectPublicKeyInfo
    return {
        "pem": public.public_bytes(Encoding.PEM, spki),
        "der": public.public_bytes(Encoding.DER, spki),
        "jwkjson": json.dumps(members, separators=(",", ":")).encode(),
        "x": b64url_decode(str(jwk["x"])),
        "jkt": key.thumbprint().encode(),
        "embedded_oct": bytes(32),
        "empty": b"",
    }


@pytest.mark.requirement("T5", "R1504", "R1505", "C-5", "S-2", "X-22")
@pytest.mark.parametrize("typ", ["dpop+jwt", "dpop-sym+jwt", "JWT", None])
@pytest.mark.parametrize(
    "variant", ["pem", "der", "jwkjson", "x", "jkt", "embedded_oct", "empty"]
)
def test_alg_confusion(servers: Servers, variant: str, typ: str | None) -> None:
    token, _ = key_of(servers)
    mac_key = public_texts(servers.key)[variant]
    jwk = servers.key.as_dict(private=False)
    if variant == "embedded_oct":
        jwk = {"kty": "oct", "k": b64url_encode(mac_key)}
    typed = {} if typ is None else {"typ": typ}
    for header in (
        {**typed, "alg": "HS256", "jwk": jwk},
        {**typed, "alg": "HS256"},
        {**typed, "alg": "none", "jwk": jwk},
        {**typed, "alg": "ES256", "jwk": jwk},
    ):
        proof = prove_symmetrically(servers, mac_key, token, header=header)
        answer = ask(servers, token, proof)
        assert (answer.status, answer.error) == (401, "invalid_dpop_proof")
        url = f"{servers.settings.issuer_url}/token"
        proof = prove_symmetrically(
            servers, mac_key, token, method="POST", url=url, header=header
        )
        answer = servers.ask_token(
            CLIENT_CREDENTIALS, proof=proof, fields=AS_CONFIDENTIAL
        )
        assert (answer.status, answer.error) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("X-15")
def test_a_proof_is_good_once(servers: Servers) -> None:
    token, key = key_of(servers)
    for proof in prove(servers, token), prove_symmetrically(servers, key, token):
        assert ask(servers, token, proof).status == 200
        answer = ask(servers, token, proof)
        assert (answer.status, answer.error) == (401, "invalid_dpop_proof")


@pytest.mark.requirement("T9")
def test_a_new_nonce_secret_makes_up_for_a_lost_memory(strict_servers: Servers) -> None:
    servers = strict_servers
    token, key = key_of(servers)
    servers.api("GET", "/api/accounts", token)
    proof = prove_symmetrically(servers, key, token)
    assert ask(servers, token, proof).status == 200
    nonces = servers.settings.rs_keys_directory / "nonces.json"
    nonces.unlink()
    create_nonce_file(nonces)
    restarted = resource_server.create_app(
        servers.settings, fetch=servers.fetch, clock=servers.clock
    )
    answer = ask(servers, token, proof, app=restarted)
    assert (answer.status, answer.error) == (401, "use_dpop_nonce")


@pytest.mark.requirement("T10", "R1503")
def test_what_is_refused_is_not_remembered(
    servers: Servers, other_ec_key: ECKey
) -> None:
    token, key = key_of(servers)
    before = servers.state()
    for number in range(50):
        forged = forge(token, other_ec_key, jti=f"forged-{number}")
        for text, proof in (
            (forged, prove(servers, forged)),
            (forged, prove_symmetrically(servers, key, forged)),
            (token, prove_symmetrically(servers, bytes(32), token)),
            (token, prove_symmetrically(servers, key, token, htm="POST")),
            (token, prove(servers, token, method="POST")),
        ):
            assert ask(servers, text, proof).status == 401
        assert servers.ask_token([("grant_type", b"x")]).status == 400
        pairs = [*CLIENT_CREDENTIALS, ("client_id", b"demo-public")]
        assert servers.ask_token(pairs).status == 401
    assert servers.state() == before


def tamper(text: bytes, part: int, change: Callable[[bytes], bytes]) -> bytes:
    parts = text.split(b".")
    parts[part] = change(parts[part])
    return b".".join(parts)


@pytest.mark.requirement("T22", "C-2")
@pytest.mark.parametrize(
    ("part", "change"),
    [
        (2, lambda tag: b64url_encode(b64url_decode(tag.decode())[:-1]).encode()),
        (2, lambda tag: b64url_encode(b64url_decode(tag.decode())[:16]).encode()),
        (2, lambda tag: b64url_encode(b"\0" * 32).encode()),
        (2, lambda tag: tag[:-1] + bytes([tag[-1] + 1])),
        (2, lambda tag: tag + b"="),
        (2, lambda tag: b""),
        (1, lambda claims: claims + b"AA"),
        (0, lambda header: header + b"="),
        (0, lambda header: header.swapcase()),
    ],
)
def test_a_proof_has_one_spelling(
    servers: Servers, part: int, change: Callable[[bytes], bytes]
) -> None:
    token, key = key_of(servers)
    for proof in prove_symmetrically(servers, key, token), prove(servers, token):
        answer = ask(servers, token, tamper(proof, part, change))
        assert (answer.status, answer.error) == (401, "invalid_dpop_proof")
        assert ask(servers, token, proof).status == 200


@pytest.mark.requirement("T23", "C-9", "N-18")
def test_a_proof_for_an_evil_server_is_good_nowhere_else(servers: Servers) -> None:
    token, key = key_of(servers)
    evil = "http://127.0.0.1:6666/api/accounts"
    for proof in (
        prove_symmetrically(servers, key, token, url=evil),
        servers.good_proof("GET", evil, token),
    ):
        for target in b"/api/accounts", evil.encode():
            fields = [
                ("Authorization", f"DPoP {token}".encode()),
                ("DPoP", proof),
                ("Host", b"127.0.0.1:6666"),
                ("X-Forwarded-Host", b"127.0.0.1:6666"),
                ("Forwarded", b"host=127.0.0.1:6666"),
            ]
            answer = send(servers.rs_app, "GET", target, fields)
            assert (answer.status, answer.error) == (401, "invalid_dpop_proof")


def test_the_answer_does_not_tell_which_check_a_symmetric_proof_failed(
    servers: Servers,
) -> None:
    token, key = key_of(servers)
    used = prove_symmetrically(servers, key, token)
    assert ask(servers, token, used).status == 200
    answers = [
        ask(servers, token, proof)
        for proof in (
            used,
            prove_symmetrically(servers, bytes(32), token),
            prove_symmetrically(servers, key, token, htm="POST"),
            prove_symmetrically(servers, key, token, htu="http://127.0.0.1:9001/"),
            prove_symmetrically(servers, key, token, ath="x"),
            prove_symmetrically(servers, key, token, iat=servers.now - 1000),
            prove_symmetrically(servers, key, token, jti=""),
            tamper(used, 2, lambda tag: tag[:20]),
        )
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({(answer.body, *answer.headers) for answer in answers}) == 1
