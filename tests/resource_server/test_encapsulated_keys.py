"""A resource server without any shared secret, behind each adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, jsonify
from joserfc.jwk import ECKey

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import DPoPTokenValidator, IntrospectionTokenValidator
from dpop_ext.resource_server.keyring_sync import RATE
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    CLIENT,
    ISSUER,
    Request,
    Response,
    World,
    send,
)

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)
WRONG = SecretBytes(bytes(range(1, 33)))


@pytest.fixture
def encapsulated(world: World) -> World:
    world.symmetric = True
    world.private_keys = [ECKey.generate_key("P-256")]
    return world


def request(token: str, proof: str) -> dict[str, Any]:
    fields = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    return Request(headers=fields).environ()


def refused(response: Response) -> tuple[int, str | None, str | None]:
    challenge = response.challenges["DPoP"]
    return response.status, challenge.get("error"), challenge.get("sym_error")


@every_adapter
def test_a_symmetric_proof_gets_through(encapsulated: World, adapter: str) -> None:
    app = encapsulated.app(adapter)
    token = encapsulated.encapsulated_token()
    for _ in range(3):
        proof = encapsulated.encapsulated_proof(token)
        answer = send(app, request(token, proof))
        assert (answer.status, answer.json["kind"]) == (200, "symmetric")
    replay = send(app, request(token, proof))
    assert refused(replay) == (401, "invalid_dpop_proof", None)
    # An asymmetric one goes with the same token.
    answer = send(app, request(token, encapsulated.proof(token)))
    assert (answer.status, answer.json["kind"]) == (200, "asymmetric")


@every_adapter
@pytest.mark.requirement("R1509")
def test_a_forged_token_never_reaches_the_private_key(
    encapsulated: World, adapter: str, decryptions: list[str]
) -> None:
    app = encapsulated.app(adapter)
    token = encapsulated.encapsulated_token()
    head, payload, signature = token.split(".")
    forger = ECKey.generate_key("P-256")
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": CLIENT,
        "iat": encapsulated.clock.now,
        "exp": encapsulated.clock.now + 300,
        "jti": "token-1",
        "cnf": {"jkt": encapsulated.jkt, "jwe": encapsulated.encapsulate()},
    }
    forged = sign_compact({"typ": "at+jwt", "alg": "ES256"}, claims, forger)
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for text in (forged, f"{head}.{payload}.{flipped}", f"{head}.{payload}.AAAA"):
        proof = encapsulated.encapsulated_proof(text)
        assert refused(send(app, request(text, proof))) == (401, "invalid_token", None)
    assert decryptions == []
    assert len(encapsulated.store) == 0
    proof = encapsulated.encapsulated_proof(token)
    assert send(app, request(token, proof)).status == 200
    assert len(decryptions) == 1


@every_adapter
@pytest.mark.requirement("R2062", "T4")
@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"audience": "https://other.example.com"},
        {"issuer": "https://as2.example.com"},
        {"jkt": "1ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"expires_at": 1_790_000_299},
    ],
)
def test_a_swapped_jwe_is_a_bad_token(
    encapsulated: World,
    adapter: str,
    change: dict[str, Any],
    decryptions: list[str],
) -> None:
    app = encapsulated.app(adapter)
    token = encapsulated.encapsulated_token(**change)
    proof = encapsulated.encapsulated_proof(token)
    assert refused(send(app, request(token, proof))) == (401, "invalid_token", None)
    assert encapsulated.served == 0
    assert decryptions == []


@every_adapter
@pytest.mark.requirement("R2261")
def test_both_kinds_of_key_in_one_token_are_refused(
    encapsulated: World, adapter: str, decryptions: list[str]
) -> None:
    app = encapsulated.app(adapter)
    jwe_text = encapsulated.encapsulate()
    dsk = {"alg": "HS256", "v": 7, "r": "A" * 43}
    for cnf in (
        {"jkt": encapsulated.jkt, "jwe": jwe_text, "dsk": dsk},
        {"jwe": jwe_text},
        {"jkt": encapsulated.jkt, "jwe": None},
        {"jkt": encapsulated.jkt, "jwe": "a.b.c.d"},
        {"jkt": encapsulated.jkt, "jwe": jwe_text, "kid": "another way"},
    ):
        token = encapsulated.token(cnf=cnf)
        for proof in (
            encapsulated.encapsulated_proof(token),
            encapsulated.proof(token),
        ):
            answer = send(app, request(token, proof))
            assert refused(answer) == (401, "invalid_token", None)
    assert decryptions == []


@every_adapter
def test_every_fault_of_the_proof_is_one_answer(
    encapsulated: World, adapter: str
) -> None:
    app = encapsulated.app(adapter)
    token = encapsulated.encapsulated_token()
    answers = [
        send(app, request(token, encapsulated.encapsulated_proof(token, **change)))
        for change in (
            {"key": WRONG},
            {"method": "POST"},
            {"url": f"{AUDIENCE}/other"},
            {"version": 7},
            {"now": encapsulated.clock.now - 3600},
            {"algorithm": "HS512", "key": SecretBytes(bytes(range(64)))},
        )
    ]
    # Once the key is known, and before.
    for answer in [*answers, send(app, request(token, "x.y.z"))]:
        assert refused(answer) == (401, "invalid_dpop_proof", None)
    assert len({answer.body for answer in answers}) == 1


@every_adapter
def test_a_missing_private_key_asks_for_an_asymmetric_proof(
    encapsulated: World, adapter: str
) -> None:
    app = encapsulated.app(adapter)
    token = encapsulated.encapsulated_token()
    assert encapsulated.private_keys is not None
    old = encapsulated.private_keys.pop()
    # More often than secrets are looked for: there are none to look for here.
    for _ in range(RATE + 2):
        proof = encapsulated.encapsulated_proof(token)
        answer = send(app, request(token, proof))
        assert refused(answer) == (401, "use_dpop_asymmetric", "unknown_key")
    answer = send(app, request(token, encapsulated.proof(token)))
    assert answer.status == 200
    encapsulated.private_keys += [ECKey.generate_key("P-256"), old]
    proof = encapsulated.encapsulated_proof(token)
    assert send(app, request(token, proof)).status == 200


# --- opaque tokens


class Introspection:
    """Answers an introspection request."""

    def __init__(self, world: World) -> None:
        self.answer: dict[str, Any] = {
            "active": True,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": world.clock.now + 300,
            "scope": "accounts",
            "token_type": "DPoP",
            "cnf": {"jkt": world.jkt, "jwe": world.encapsulate()},
        }

    def __call__(self, url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        return json.dumps(
            {name: value for name, value in self.answer.items() if value is not ...}
        ).encode()


def introspecting(world: World, server: Introspection, adapter: str) -> Any:
    private_keys = world.private_keys or []
    verifier = ProofVerifier(
        world.store,
        decryptor=KeyDecryptor(lambda: private_keys),
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque",
        clock=world.clock,
    )
    tokens = IntrospectionTokenValidator(
        "https://as.example.com/introspect",
        client_id="rs",
        client_secret="secret",
        issuer=ISSUER,
        audience=AUDIENCE,
        post=server,
        clock=world.clock,
    )
    if adapter == "flask":
        return flask_app(verifier, tokens)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps({"kind": environ["dpop_ext.proof"].kind}).encode()]

    return DPoPMiddleware(
        app,
        verifier=verifier,
        find_token=tokens,
        scopes=["accounts"],
        public_url=AUDIENCE,
    )


def flask_app(verifier: ProofVerifier, tokens: Any) -> Flask:
    app = Flask("resource-server")
    protector = ResourceProtector()
    protector.register_token_validator(
        DPoPTokenValidator(tokens, verifier, public_url=AUDIENCE)
    )

    @app.get("/accounts")
    @protector("accounts")  # type: ignore[untyped-decorator]
    def accounts() -> Any:
        return jsonify(kind=current_proof.kind if current_proof else None)

    return app


@every_adapter
def test_the_key_comes_in_the_answer_about_an_opaque_token(
    encapsulated: World, adapter: str, decryptions: list[str]
) -> None:
    server = Introspection(encapsulated)
    app = introspecting(encapsulated, server, adapter)
    for _ in range(3):
        proof = encapsulated.encapsulated_proof("opaque")
        answer = send(app, request("opaque", proof))
        assert (answer.status, answer.json["kind"]) == (200, "symmetric")
    assert len(decryptions) == 1
    bad = encapsulated.encapsulated_proof("opaque", key=WRONG)
    answer = send(app, request("opaque", bad))
    assert refused(answer) == (401, "invalid_dpop_proof", None)
    server.answer["active"] = False
    proof = encapsulated.encapsulated_proof("opaque")
    answer = send(app, request("opaque", proof))
    assert refused(answer) == (401, "invalid_token", None)


@every_adapter
@pytest.mark.requirement("R2232")
@pytest.mark.parametrize("name", ["iss", "aud", "client_id", "exp"])
def test_an_answer_with_a_key_says_whose_it_is(
    encapsulated: World, adapter: str, name: str, decryptions: list[str]
) -> None:
    server = Introspection(encapsulated)
    app = introspecting(encapsulated, server, adapter)
    server.answer[name] = ...
    proof = encapsulated.encapsulated_proof("opaque")
    answer = send(app, request("opaque", proof))
    assert refused(answer) == (401, "invalid_token", None)
    assert decryptions == []


@every_adapter
@pytest.mark.requirement("R2062")
@pytest.mark.parametrize(
    ("name", "value"), [("client_id", "another"), ("exp", 1_790_000_200)]
)
def test_an_answer_that_was_put_together_from_two_is_refused(
    encapsulated: World, adapter: str, name: str, value: object, decryptions: list[str]
) -> None:
    server = Introspection(encapsulated)
    app = introspecting(encapsulated, server, adapter)
    server.answer[name] = value
    proof = encapsulated.encapsulated_proof("opaque")
    answer = send(app, request("opaque", proof))
    assert refused(answer) == (401, "invalid_token", None)
    assert decryptions == []


# --- rows of an application that is both servers


class Row:
    """A row of the application's table of tokens."""

    def __init__(self, world: World, **column: Any) -> None:
        self.client_id = CLIENT
        self.scope = "accounts"
        self.issued_at = world.clock.now
        self.expires_in = 300
        self.token_type = "DPoP"
        self.dpop_jkt = world.jkt
        self.dpop_dsk = json.dumps(
            {
                "jwe": world.encapsulate(),
                "exp": world.clock.now + 300,
                "aud": AUDIENCE,
            }
            | column
        )

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return self.scope


def test_a_row_brings_its_encrypted_key(encapsulated: World) -> None:
    row = Row(encapsulated)

    class Rows(BearerTokenValidator):
        def authenticate_token(self, token_string: str) -> Row:
            return row

    assert encapsulated.private_keys is not None
    private_keys = encapsulated.private_keys
    verifier = ProofVerifier(
        encapsulated.store,
        decryptor=KeyDecryptor(lambda: private_keys),
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque",
        clock=encapsulated.clock,
    )
    app = flask_app(verifier, Rows())

    def status() -> int:
        proof = encapsulated.encapsulated_proof("opaque")
        return send(app, request("opaque", proof)).status

    assert status() == 200
    # The row was written by a later reading of the clock than its key.
    row.issued_at += 1
    assert status() == 200
    row.issued_at -= 2
    assert status() == 401
    row.issued_at += 1
    row.dpop_dsk = Row(encapsulated, aud="https://other.example").dpop_dsk
    assert status() == 401
