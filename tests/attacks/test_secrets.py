"""Secrets stay where they belong, in a whole flow with every kind of refusal."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from demo_server import demo_data
from dpop_ext.symmetric.delivery import unwrap_key
from tests.attacks.moves import (
    ask,
    derivation_secrets,
    derive,
    prove,
    prove_symmetrically,
)
from tests.demo.parties import CONFIDENTIAL, RESOURCE_SERVER, VERIFIER
from tests.fuzz.running import Log, running
from tests.fuzz.servers import Servers
from tests.fuzz.wire import Answer


def spellings(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")
    yield repr(secret)[2:-1].encode()


class Flow:
    """Everything that a client can do, with all that was answered."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.answers: list[TestResponse | Answer] = []
        self.code = servers.code()
        self.key = ECKey.generate_key("P-256")
        jwk = self.key.as_dict(private=False)
        claims = {"dsk": {"algs": ["HS256"], "jwk": jwk}}
        self.tokens = servers.redeem(self.code, claims=claims).get_json()
        token = self.token = self.tokens["access_token"]
        self.secret = derive(servers, token)
        self.refresh_token = self.tokens["refresh_token"]
        self.run()

    def run(self) -> None:
        servers, token = self.servers, self.token
        for proof in (
            prove(servers, token),
            prove_symmetrically(servers, self.secret, token),
            prove_symmetrically(servers, bytes(32), token),
            prove_symmetrically(servers, self.secret, token, htm="PUT"),
            b"x",
            None,
        ):
            self.answers.append(ask(servers, token, proof))
        self.answers.append(ask(servers, token, None, scheme="Bearer"))
        self.answers.append(ask(servers, token + "x", prove(servers, token + "x")))
        form = {"token": token}
        for path, headers in (
            ("/introspect", RESOURCE_SERVER),
            ("/introspect", CONFIDENTIAL),
            ("/revoke", CONFIDENTIAL),
        ):
            answer = servers.as_client.post(path, data=form, headers=headers)
            self.answers.append(answer)
        self.answers += [
            servers.redeem(self.code),
            servers.redeem(self.code, key=ECKey.generate_key("P-256")),
            servers.refresh(self.refresh_token),
            servers.refresh(self.refresh_token),
            servers.token({"grant_type": "client_credentials"}, headers=CONFIDENTIAL),
            servers.sign_in(servers.as_app.test_client(), target="", password="no"),
            servers.as_client.get("/.well-known/oauth-authorization-server"),
            servers.as_client.get("/jwks"),
            servers.rs_client.get("/.well-known/oauth-protected-resource"),
        ]


def said_by(answer: Any) -> bytes:
    if isinstance(answer, Answer):
        return answer.body + str(answer.headers).encode()
    return bytes(answer.data) + str(answer.headers).encode()


@pytest.mark.requirement("T20")
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_no_secret_in_logs_answers_or_database(
    tmp_path: Path, ec_key: ECKey, level: int
) -> None:
    with running(tmp_path, ec_key) as servers, Log(level) as log:
        flow = Flow(servers)
        ring = derivation_secrets(servers).peek(servers.settings.resource_url)
        keys = [servers.signing_key, servers.key, flow.key]
        hidden = [entry.secret.reveal() for entry in ring if entry.secret is not None]
        hidden += [flow.secret]
        private = [str(key.as_dict(private=True)["d"]).encode() for key in keys]
        texts = [
            demo_data.CONFIDENTIAL_SECRET,
            demo_data.PASSWORD,
            flow.token,
            flow.refresh_token,
            flow.code,
            VERIFIER,
        ]
        database = b"".join(
            path.read_bytes()
            for path in tmp_path.glob("demo.sqlite3*")
            if path.is_file()
        )
        answers = b"".join(map(said_by, flow.answers))
        delivered = unwrap_key(
            flow.tokens["cnf"]["jwe"],
            private_key=flow.key,
            algorithms=["HS256"],
            key_algorithms=["ECDH-ES"],
            encodings=["A256GCM"],
            issuer=servers.settings.issuer_url,
            audience=servers.settings.resource_url,
            access_token=flow.token,
            now=servers.now,
        )
    assert delivered.key.reveal() == flow.secret
    lines = "\n".join(log.lines).encode()
    assert len(log.lines) > 8
    never = [text for secret in hidden for text in spellings(secret)] + private
    for text in never:
        assert text not in answers
        assert text not in database
        assert text not in lines
    for text in map(str.encode, texts):
        assert text not in lines
        assert text not in answers
        if text != VERIFIER.encode():
            assert text not in database
