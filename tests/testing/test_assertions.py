"""The attacks are refused by what is protected, and found where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flask import Flask
from joserfc.jwk import ECKey, OKPKey
from werkzeug.test import Client

from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import DPoPTokenValidator
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.testing import FakeClock, Issuer, assert_rejects_dpop_attacks
from dpop_ext.testing.callers import Answer
from dpop_ext.verifier import ProofVerifier

URL = "https://api.example"


def page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


@pytest.fixture
def protect(dpop_issuer: Issuer, dpop_clock: FakeClock) -> Callable[..., Any]:
    """Make a WSGI application that is protected, with a weakness perhaps."""

    def protect(**options: Any) -> Any:
        verifier = ProofVerifier(
            options.pop("store", None) or MemoryReplayStore(),
            nonces=options.pop("nonces", None),
            clock=dpop_clock,
        )
        return DPoPMiddleware(
            page,
            verifier=verifier,
            find_token=options.pop("find_token", dpop_issuer.validator()),
            public_url=options.pop("public_url", URL),
            **options,
        )

    return protect


@pytest.fixture
def attack(
    dpop_issuer: Issuer, dpop_key: ECKey, dpop_clock: FakeClock
) -> Callable[..., int]:
    def attack(client: Any, path: str = "/accounts?page=2", **changes: Any) -> int:
        token = dpop_issuer.access_token(dpop_key.thumbprint(), scope="accounts")
        values: dict[str, Any] = {
            "access_token": token,
            "key": dpop_key,
            "clock": dpop_clock,
        }
        return assert_rejects_dpop_attacks(client, path, **(values | changes))

    return attack


def test_what_is_protected_refuses_everything(
    protect: Callable[..., Any], attack: Callable[..., int]
) -> None:
    assert attack(Client(protect())) >= 35


def test_with_nonces_there_are_two_more(
    protect: Callable[..., Any], attack: Callable[..., int]
) -> None:
    without = attack(Client(protect()))
    nonces = NonceIssuer([bytes(range(32))])
    assert attack(Client(protect(nonces=nonces))) == without + 2


def test_the_test_client_of_flask_will_do(
    dpop_issuer: Issuer, dpop_clock: FakeClock, attack: Callable[..., int]
) -> None:
    app = Flask("api")
    require_oauth = ResourceProtector()
    verifier = ProofVerifier(MemoryReplayStore(), clock=dpop_clock)
    require_oauth.register_token_validator(
        DPoPTokenValidator(dpop_issuer.validator(), verifier, public_url=URL)
    )

    @app.post("/transfers")
    @require_oauth("accounts")  # type: ignore[untyped-decorator]
    def transfers() -> str:
        return "done"

    attack(app.test_client(), "/transfers", method="POST")


def test_a_client_of_httpx_will_do(
    protect: Callable[..., Any], attack: Callable[..., int]
) -> None:
    transport = httpx.WSGITransport(protect())
    with httpx.Client(transport=transport, base_url=URL) as client:
        attack(client)


def test_a_function_will_do_and_nothing_else(
    protect: Callable[..., Any], attack: Callable[..., int]
) -> None:
    inner = Client(protect())

    def call(method: str, path: str, fields: list[tuple[str, str]]) -> Answer:
        response = inner.open(path, method=method, headers=fields)
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers})

    attack(call)
    with pytest.raises(TypeError, match="test client"):
        attack(7)


def weak_bearer(app: Any) -> Any:
    """Let everything through that is sent as Bearer."""

    def weak(environ: Any, start_response: Any) -> Any:
        if environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer"):
            return page(environ, start_response)
        return app(environ, start_response)

    return weak


def fragile(app: Any) -> Any:
    """Fail where a long field comes."""

    def weak(environ: Any, start_response: Any) -> Any:
        if len(environ.get("HTTP_DPOP", "")) > 9000:
            start_response("500 Internal Server Error", [])
            return [b""]
        return app(environ, start_response)

    return weak


def silent(app: Any) -> Any:
    """Refuse without a challenge."""

    def weak(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [field for field in headers if field[0] != "WWW-Authenticate"]
            return start_response(status, kept, *more)

        return app(environ, start)

    return weak


@pytest.mark.parametrize(
    ("weaken", "fault"),
    [
        (weak_bearer, "the token as Bearer: it was let through, status 200"),
        (fragile, "a proof of 20,000 characters: the server failed with 500"),
        (silent, "no proof: a refusal with 401 has no challenge for DPoP"),
    ],
)
def test_a_weakness_is_named(
    protect: Callable[..., Any],
    attack: Callable[..., int],
    weaken: Callable[[Any], Any],
    fault: str,
) -> None:
    with pytest.raises(AssertionError, match="does not refuse as it must") as caught:
        attack(Client(weaken(protect())))
    assert fault in str(caught.value)


def test_a_route_without_protection_is_found_out(attack: Callable[..., int]) -> None:
    with pytest.raises(AssertionError) as caught:
        attack(Client(page))
    assert str(caught.value).count("it was let through") >= 35


def test_a_server_without_replay_protection_is_found_out(
    protect: Callable[..., Any], attack: Callable[..., int]
) -> None:
    with pytest.raises(AssertionError) as caught:
        attack(Client(protect(store=NoReplayProtection())))
    (line,) = str(caught.value).splitlines()[1:]
    assert "a proof that was used before" in line


def test_a_route_that_refuses_everything_shows_nothing(
    protect: Callable[..., Any], attack: Callable[..., int], dpop_issuer: Issuer
) -> None:
    app = protect(public_url="https://other.example")
    with pytest.raises(AssertionError, match="public_url"):
        attack(Client(app))
    expired = dpop_issuer.access_token("x" * 43, lifetime=-10)
    with pytest.raises(AssertionError, match="refuses a good request"):
        attack(Client(protect()), access_token=expired)


def test_other_keys_will_do(
    protect: Callable[..., Any],
    attack: Callable[..., int],
    dpop_issuer: Issuer,
    ed_key: OKPKey,
) -> None:
    token = dpop_issuer.access_token(ed_key.thumbprint())
    attack(Client(protect()), access_token=token, key=ed_key)


def test_the_signer_has_the_key_and_the_clock(
    dpop_signer: ProofSigner, dpop_key: ECKey
) -> None:
    assert dpop_signer.jkt == dpop_key.thumbprint()


def test_a_token_without_a_key_is_a_bearer_token(
    dpop_issuer: Issuer, protect: Callable[..., Any]
) -> None:
    token = dpop_issuer.access_token(None)
    client = Client(protect(accept_bearer=True))
    response = client.get("/", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    assert "example" in repr(dpop_issuer)
