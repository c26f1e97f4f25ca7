"""What is asked of the servers, and what is read in an answer."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.limited_answer import MAX_STRUCTURAL
from dpop_ext.errors import ServerAnswerError
from dpop_ext.symmetric.response import MAX_ANSWER
from tests.cli.conformance.reading import (
    OK,
)
from tests.integrations.scripted_server import Answer, ScriptedServer


@pytest.mark.parametrize("secret", ["secret", None])
@pytest.mark.parametrize("scope", ["accounts", None])
def test_a_token_request_says_who_asks_and_for_what(
    server: ScriptedServer, pair: Pair, secret: str | None, scope: str | None
) -> None:
    pair.client_secret, pair.scope = secret, scope
    pair.request_token({"x": 1}, form={"dpop_sym": "HS256"})
    (sent,) = server.received
    expected = {
        "grant_type": "client_credentials",
        "resource": pair.resource,
        "dpop_sym": "HS256",
    }
    if scope is not None:
        expected["scope"] = scope
    basic = base64.b64encode(b"app:secret").decode()
    if secret is None:
        expected["client_id"] = "app"
    assert sent.form == expected
    assert sent.all("Authorization") == ([] if secret is None else [f"Basic {basic}"])
    claims = sent.proof.claims
    assert (claims["htm"], claims["htu"], claims["x"]) == (
        "POST",
        pair.token_endpoint,
        1,
    )
    assert claims["iat"] == pair.now


def test_no_other_request_has_the_secret(server: ScriptedServer, pair: Pair) -> None:
    pair.document(server.url, "x")
    pair.ask("token", lambda nonce: "proof")
    document, asked = server.received
    assert document.all("Authorization") == []
    assert asked.all("Authorization") == ["DPoP token"]
    assert "secret" not in repr(pair)


@pytest.mark.parametrize("path", ["", "/", "/tenant", "/tenant/"])
def test_a_document_is_where_its_rfc_puts_it(
    server: ScriptedServer, pair: Pair, path: str
) -> None:
    pair.document(server.url + path, "oauth-authorization-server")
    expected = f"/.well-known/oauth-authorization-server{path.rstrip('/')}"
    assert [sent.target for sent in server.received] == [expected]


def demand(*nonces: str, error: str = "use_dpop_nonce") -> Answer:
    fields = [("DPoP-Nonce", nonce) for nonce in nonces]
    return Answer(400, fields, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("replies", "nonces", "following"),
    [
        ([OK], [None], None),
        ([Answer(fields=[("DPoP-Nonce", "n-1")])], [None], "n-1"),
        ([demand("n-1"), OK], [None, "n-1"], "n-1"),
        ([demand("n-1"), Answer(fields=[("DPoP-Nonce", "n-2")])], [None, "n-1"], "n-2"),
        ([demand("n-1"), demand("n-2")], [None, "n-1"], "n-2"),
        ([demand("n-1", error="invalid_grant"), OK], [None], "n-1"),
        ([demand(), OK], [None], None),
    ],
)
def test_a_request_is_repeated_once_and_for_a_nonce_alone(
    server: ScriptedServer,
    pair: Pair,
    replies: list[Answer],
    nonces: list[str | None],
    following: str | None,
) -> None:
    server.play(*replies)
    pair.request_token({})
    assert server.nonces == nonces
    server.play(OK)
    pair.request_token({})
    assert server.nonces == [*nonces, following]
    # A nonce is for the server that gave it.
    pair.ask("token", lambda nonce: "proof" if nonce is None else nonce)
    assert server.received[-1].dpop == "proof"


def test_a_proof_that_is_given_is_sent_once(server: ScriptedServer, pair: Pair) -> None:
    server.play(demand("n-1"), OK)
    assert pair.request_token({}, proof="a.b.c").error == "use_dpop_nonce"
    assert [sent.dpop for sent in server.received] == ["a.b.c"]


@pytest.mark.parametrize(
    ("status", "is_good"),
    [(199, False), (200, True), (204, True), (299, True), (300, False), (401, False)],
)
def test_a_request_is_served_with_a_status_of_its_kind(
    server: ScriptedServer, pair: Pair, status: int, is_good: bool
) -> None:
    answer = pair.document(server.url, "x")
    assert replace(answer, status=status).is_good is is_good


def test_an_error_is_that_of_the_challenge_for_dpop(
    server: ScriptedServer, pair: Pair
) -> None:
    fields = [
        ("WWW-Authenticate", 'Bearer error="invalid_token"'),
        ("WWW-Authenticate", 'dpop error="use_dpop_asymmetric", sym_error="policy"'),
    ]
    server.play(Answer(401, fields, b'{"error": "x"}'))
    answer = pair.document(server.url, "x")
    assert (answer.error, answer.sym_error) == ("use_dpop_asymmetric", "policy")
    assert str(answer) == "401 use_dpop_asymmetric policy"
    server.play(Answer(401, fields[:1], b'{"error": "x"}'))
    assert str(pair.document(server.url, "x")) == "401 x"
    # Nothing of it speaks to the terminal.
    for odd in ('{"error": "\\u001b[31m"}', '{"error": ["x"]}'):
        server.play(Answer(400, body=odd.encode()))
        assert str(pair.document(server.url, "x")) == "400"
    server.play(Answer(401, fields[:1], b"no object"))
    assert str(pair.document(server.url, "x")) == "401"


def test_values_are_found_by_a_name_in_any_case(
    server: ScriptedServer, pair: Pair
) -> None:
    server.play(Answer(fields=[("X-One", "1"), ("x-one", "2"), ("X-Two", "3")]))
    assert pair.document(server.url, "x").values("X-ONE") == ["1", "2"]


def test_a_document_of_a_mebibyte_with_many_members_is_read(
    server: ScriptedServer, pair: Pair
) -> None:
    document = {"many": [0] * (MAX_STRUCTURAL - 10)}
    text = json.dumps(document).encode().ljust(MAX_ANSWER)
    server.play(Answer(body=text))
    assert pair.document(server.url, "x").body == document
    server.play(Answer(body=text + b" "))
    with pytest.raises(ServerAnswerError):
        pair.document(server.url, "x")
