"""Every refusal of the demo servers: an answer with the reason, and one log line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.demo.parties import (
    CONFIDENTIAL,
    RESOURCE_SERVER,
    Parties,
    basic,
)

Ask = Callable[[Parties], TestResponse]


def post(path: str, form: dict[str, Any], headers: Any = None) -> Ask:
    return lambda parties: parties.as_client.post(path, data=form, headers=headers)


def get(path: str) -> Ask:
    return lambda parties: parties.as_client.get(path)


def log_in(parties: Parties) -> TestResponse:
    return parties.sign_in(parties.as_app.test_client(), target="", password="wrong")


def log_in_too_often(parties: Parties) -> TestResponse:
    for _ in range(5):
        log_in(parties)
    return log_in(parties)


def send_state_twice(parties: Parties) -> TestResponse:
    return parties.as_client.get(parties.authorize_url() + "&state=2")


REFUSALS: dict[str, tuple[Ask, int, str]] = {
    "parameter twice": (
        post("/token", {"grant_type": ["a", "b"]}),
        400,
        "repeated_parameter, client -, protocol.token endpoint",
    ),
    "grant type": (
        post("/token", {"grant_type": "x"}),
        400,
        "unsupported_grant_type, client -, token endpoint",
    ),
    "introspection by nobody": (
        post("/introspect", {"token": "x"}),
        401,
        "invalid_client, client -, protocol.introspect endpoint",
    ),
    "introspection of nothing": (
        post("/introspect", {}, RESOURCE_SERVER),
        400,
        "invalid_request, client 'tests-resource-server', protocol.introspect endpoint",
    ),
    "revocation with a wrong secret": (
        post("/revoke", {"token": "x"}, basic("demo-confidential", "wrong")),
        401,
        "invalid_client, client -, protocol.revoke endpoint",
    ),
    "authorization by nobody": (
        get("/authorize?response_type=code"),
        400,
        "invalid_client, client -, authorization endpoint",
    ),
    "response type": (
        get("/authorize?response_type=x&client_id=demo-public"),
        400,
        "unsupported_response_type, client 'demo-public', authorization endpoint",
    ),
    "query that is no text": (
        lambda parties: parties.as_client.get(
            "/authorize", environ_overrides={"QUERY_STRING": "state=\xff"}
        ),
        400,
        "invalid_request, client -, the query is not ASCII",
    ),
    "state twice": (
        send_state_twice,
        400,
        "invalid_request, client 'demo-public', authorization endpoint",
    ),
    "log-in without a form": (
        post("/login", {}),
        400,
        "stale_form, client -, login.submit endpoint",
    ),
    "wrong password": (log_in, 401, "wrong_password, client -, login.submit endpoint"),
    "consent without a form": (
        post("/authorize?response_type=code", {}),
        400,
        "stale_form, client -, authorization.decide endpoint",
    ),
    "too many log-ins": (
        log_in_too_often,
        429,
        "too_many_log_ins, client -, login.submit endpoint",
    ),
    "method": (get("/token"), 405, "method_not_allowed, client -, unknown endpoint"),
    "path": (get("/nothing\n"), 404, "not_found, client -, unknown endpoint"),
    "too long": (
        post("/token", {"code": "x" * 70_000}),
        413,
        "request_entity_too_large, client -, protocol.token endpoint",
    ),
}


@pytest.mark.parametrize(("ask", "status", "line"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_line_in_the_log(
    parties: Parties,
    caplog: pytest.LogCaptureFixture,
    ask: Ask,
    status: int,
    line: str,
) -> None:
    with caplog.at_level("INFO"):
        answer = ask(parties)
    assert answer.status_code == status
    lines = [text for text in caplog.messages if text.startswith("refused: ")]
    expected = f"refused: {line}"
    assert lines[-1:] == [expected]
    assert lines.count(expected) == 1


def test_a_refused_token_says_what_is_wrong(parties: Parties) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    for answer in (
        parties.refresh("no-such-token"),
        parties.as_client.post("/revoke", data={"token": token}, headers=CONFIDENTIAL),
    ):
        assert answer.status_code == 400
        assert answer.get_json()["error"] == "invalid_grant"
        assert answer.get_json()["error_description"]


def test_a_nested_order_is_refused_as_any_other_malformed_one(
    parties: Parties,
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    for order in b"[" * 60_000, b'{"amount":' * 6_000:
        answer = parties.api(
            "POST",
            "/api/transfers",
            token,
            data=order,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 400


@pytest.mark.parametrize("target", ["/api/echo/%0A", "/api/echo/a%0Ab%0D"])
def test_echo_takes_any_path(parties: Parties, target: str) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    answer = parties.api("GET", target, token)
    expected = {"method": "GET", "target": target, "proof": "asymmetric"}
    assert answer.get_json() == expected


def test_a_refused_push_is_one_line_and_no_more(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    form = dict(parse_qsl(urlsplit(parties.authorize_url(scope="none")).query))
    with caplog.at_level("INFO"):
        answer = parties.as_client.post("/par", data=form)
    assert answer.get_json()["error"] == "invalid_scope"
    lines = [text for text in caplog.messages if text.startswith("refused: ")]
    where = "client 'demo-public', pushed_authorization_request endpoint"
    assert lines == [f"refused: invalid_scope, {where}"]
