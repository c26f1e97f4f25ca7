from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from starlette.datastructures import QueryParams
from werkzeug.datastructures import MultiDict

from dpop_ext.client import AuthorizationRequest
from dpop_ext.client.authorization_request import AuthorizationDraft
from dpop_ext.client.authorization_response import MAX_RESPONSE
from dpop_ext.client.exchange import Reply
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import (
    AuthorizationRefusedError,
    AuthorizationResponseError,
    UnsupportedServerError,
    WrongIssuerError,
)
from tests.client.driving import ISSUER
from tests.client.metadata import servers

CALLBACK = "https://app.example/callback"


def draft(*, extra: dict[str, Any] | None = None, **changes: Any) -> AuthorizationDraft:
    return AuthorizationDraft(
        servers(**changes).authorization,
        client_id="app",
        redirect_uri=CALLBACK,
        jkt="thumbprint",
        extra=extra or {},
    )


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, strict_parsing=True)


def answer(request: AuthorizationRequest, **changes: Any) -> str:
    """The URL that the browser comes back to."""
    parameters = {"code": "c-1", "state": request.state, "iss": ISSUER, **changes}
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{CALLBACK}?{urlencode(given)}"


def test_a_request_has_pkce_state_and_the_key() -> None:
    made = draft(extra={"scope": "accounts", "prompt": None})
    request = made.plain()
    said = {name: value for name, (value,) in query_of(request.url).items()}
    challenge = hashlib.sha256(request.code_verifier.encode()).digest()
    assert said == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "scope": "accounts",
        "state": request.state,
        "code_challenge": b64url_encode(challenge),
        "code_challenge_method": "S256",
        "dpop_jkt": "thumbprint",
    }
    assert 43 <= len(request.code_verifier) <= 128
    assert len(request.state) >= 32
    other = draft().plain()
    assert {other.state, other.code_verifier}.isdisjoint(
        {request.state, request.code_verifier}
    )


@pytest.mark.parametrize(
    "name", ["state", "code_challenge", "code_challenge_method", "dpop_jkt", "request"]
)
def test_a_caller_does_not_undo_a_check(name: str) -> None:
    with pytest.raises(ValueError, match="set by the client"):
        draft(extra={name: "x"})


def test_a_pushed_request_says_nothing_in_the_url() -> None:
    made = draft(extra={"scope": "accounts"})
    assert made.push_to == f"{ISSUER}/par"
    body = json.dumps({"request_uri": "urn:x:1", "expires_in": 60}).encode()
    request = made.pushed(Reply(status=201, body=body))
    assert query_of(request.url) == {"client_id": ["app"], "request_uri": ["urn:x:1"]}
    assert request.state == made.parameters["state"]
    assert draft(pushed_authorization_request_endpoint=None).push_to is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_request"}, "invalid_request"),
        (401, {"error": "<script>"}, ""),
        (500, b"<html>", ""),
        (201, {}, ""),
        (201, {"request_uri": ""}, ""),
        (201, {"request_uri": "a b"}, ""),
        (201, {"request_uri": "u" * 1025}, ""),
        (302, {"request_uri": "urn:x:1"}, ""),
    ],
)
def test_a_request_that_was_not_taken_is_no_request(
    status: int, body: Any, error: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(AuthorizationRefusedError) as caught:
        draft().pushed(Reply(status=status, body=content))
    assert caught.value.error == error


def test_the_query_of_the_endpoint_stays() -> None:
    made = draft(authorization_endpoint=f"{ISSUER}/authorize?tenant=1")
    assert query_of(made.plain().url)["tenant"] == ["1"]
    with pytest.raises(UnsupportedServerError):
        draft(authorization_endpoint=None)


def test_the_code_of_the_response_to_the_request_is_read() -> None:
    request = draft().plain()
    assert request.read_code(answer(request)) == "c-1"
    parameters = {"code": "c-1", "state": request.state, "iss": ISSUER}
    assert request.read_code(parameters) == "c-1"
    later = AuthorizationRequest.load(request.dump())
    assert later == request
    assert later.read_code(answer(request)) == "c-1"


@pytest.mark.parametrize("state", ["other", "", None, "\u00e4"])
def test_a_response_with_another_state_is_refused(state: str | None) -> None:
    request = draft().plain()
    with pytest.raises(AuthorizationResponseError):
        request.read_code(answer(request, state=state))
    with pytest.raises(AuthorizationResponseError):
        request.read_code(answer(request, state=state, code=None, error="x"))


@pytest.mark.parametrize("promised", [True, None])
@pytest.mark.parametrize("issuer", ["https://evil.example", f"{ISSUER}/", "", None])
def test_a_response_of_another_issuer_is_refused(
    promised: bool | None,
    issuer: str | None,
) -> None:
    made = draft(authorization_response_iss_parameter_supported=promised)
    request = made.plain()
    if issuer is None and not promised:
        assert request.read_code(answer(request, iss=None)) == "c-1"
        return
    with pytest.raises(WrongIssuerError):
        request.read_code(answer(request, iss=issuer))
    # An error of another server is not one of this.
    with pytest.raises(WrongIssuerError):
        request.read_code(answer(request, iss=issuer, code=None, error="access_denied"))


@pytest.mark.parametrize(
    ("error", "known"), [("access_denied", "access_denied"), ("<b>", ""), ("", "")]
)
def test_a_refusal_names_its_error(error: str, known: str) -> None:
    request = draft().plain()
    with pytest.raises(AuthorizationRefusedError) as caught:
        request.read_code(answer(request, error=error))
    assert caught.value.error == known


@pytest.mark.parametrize("code", [None, "", "c" * 8193])
def test_a_response_has_a_code(code: str | None) -> None:
    request = draft().plain()
    with pytest.raises(AuthorizationResponseError):
        request.read_code(answer(request, code=code))


def test_a_response_that_can_be_read_in_two_ways_is_refused() -> None:
    request = draft().plain()
    good = answer(request)
    for url in (
        f"{good}&code=c-2",
        f"{good}&state={request.state}",
        f"{good}&iss=https%3A%2F%2Fevil.example",
        f"{good}&x=%ff",
        f"{good}&x={'y' * MAX_RESPONSE}",
        good + "".join(f"&x{number}=1" for number in range(40)),
        CALLBACK,
        "",
        "http://[",
    ):
        with pytest.raises(AuthorizationResponseError) as caught:
            request.read_code(url)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("kind", [MultiDict, QueryParams])
def test_parameters_of_a_web_framework_are_repeated_by_nobody(kind: Any) -> None:
    """They look like a mapping that has the first of the values, or the last."""
    request = draft().plain()
    good = parse_qsl(urlsplit(answer(request)).query)
    assert request.read_code(kind(good)) == request.read_code(answer(request))
    for repeated in ("iss", "code", "state"):
        for evil in ([(repeated, "x"), *good], [*good, (repeated, "x")]):
            with pytest.raises(AuthorizationResponseError):
                request.read_code(kind(evil))


def test_what_is_kept_is_checked_when_it_is_read() -> None:
    request = draft().plain()
    kept = json.loads(request.dump())
    for change in (
        {"issuer": None},
        {"promises_issuer": "yes"},
        {"promises_issuer": None},
        {"state": ""},
        {"more": "x"},
    ):
        with pytest.raises(AuthorizationResponseError):
            AuthorizationRequest.load(json.dumps({**kept, **change}))
    with pytest.raises(AuthorizationResponseError):
        AuthorizationRequest.load("")


def test_a_request_shows_no_secret() -> None:
    request = draft().plain()
    shown = repr(request)
    assert request.state not in shown
    assert request.code_verifier not in shown
