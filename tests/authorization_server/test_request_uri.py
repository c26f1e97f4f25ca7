"""What a request_uri stands for, when it is good and for whom."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from authlib.oauth2 import rfc9101, rfc9207
from joserfc import jwt
from joserfc.jwk import Key

from dpop_ext.authorization_server import PushedAuthorizationRequests
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.errors import StoreError
from dpop_ext.stores.pushed_requests import MemoryPushedRequestStore
from tests.authorization_server.pushing import (
    REQUEST,
    Pushing,
    par_proof,
    redirected,
)
from tests.authorization_server.simulator import ISSUER, Prover

DENY: dict[str, str] = {}
ALLOW = {"confirm": "yes"}


def is_refused(response: Any, error: str = "invalid_request_uri") -> bool:
    """Whether a browser gets an error here, and is sent nowhere."""
    return (
        response.status_code == 400
        and "Location" not in response.headers
        and response.get_json()["error"] == error
    )


def test_pages_may_be_loaded_until_the_decision(pushing: Pushing) -> None:
    address = pushing.address(pushing.request_uri())
    for _ in range(3):
        assert pushing.sim.http.get(address).status_code == 200
    assert redirected(pushing.sim.http.post(address, data=ALLOW))["code"]


@pytest.mark.parametrize("decision", [ALLOW, DENY])
def test_a_decision_is_taken_once(pushing: Pushing, decision: dict[str, str]) -> None:
    address = pushing.address(pushing.request_uri())
    redirected(pushing.sim.http.post(address, data=decision))
    count = len(pushing.sim.codes)
    for response in (
        pushing.sim.http.post(address, data=ALLOW),
        pushing.sim.http.get(address),
    ):
        assert is_refused(response)
    assert len(pushing.sim.codes) == count


def test_parallel_decisions_give_one_code(pushing: Pushing) -> None:
    address = pushing.address(pushing.request_uri())
    barrier = threading.Barrier(8)
    load, statuses = pushing.store.load, []

    def load_together(reference: str) -> Any:
        found = load(reference)
        barrier.wait()
        return found

    pushing.store.load = load_together  # type: ignore[method-assign]

    def decide() -> None:
        response = pushing.sim.app.test_client().post(address, data=ALLOW)
        statuses.append(response.status_code)

    threads = [threading.Thread(target=decide) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [302] + [400] * 7
    assert len(pushing.sim.codes) == 1


def test_a_request_uri_has_its_time(
    make_pushing: Callable[..., Pushing], clock: Any
) -> None:
    pushing = make_pushing(lifetime=90)
    address = pushing.address(pushing.request_uri())
    clock.advance(89)
    assert pushing.sim.http.get(address).status_code == 200
    clock.advance(1)
    assert is_refused(pushing.sim.http.get(address))
    assert is_refused(pushing.sim.http.post(address, data=ALLOW))


@pytest.mark.requirement("J-7")
def test_a_request_uri_is_for_its_client(pushing: Pushing) -> None:
    request_uri = pushing.request_uri()
    assert is_refused(pushing.sim.http.get(pushing.address(request_uri, "public")))
    nameless = pushing.address(request_uri).replace("client_id", "x")
    assert is_refused(pushing.sim.http.get(nameless))
    twice = pushing.address(request_uri) + "&client_id=public"
    assert is_refused(pushing.sim.http.get(twice))
    twice = pushing.address(request_uri) + f"&request_uri={request_uri}"
    assert is_refused(pushing.sim.http.get(twice))
    assert pushing.code(request_uri)


@pytest.mark.parametrize("reference", ["", "x", "x" * 5000, '"\xe9', "'"])
def test_an_unknown_request_uri_is_refused(pushing: Pushing, reference: str) -> None:
    request_uri = f"urn:ietf:params:oauth:request_uri:{reference}"
    assert is_refused(pushing.sim.http.get(pushing.address(request_uri, **REQUEST)))


@pytest.mark.requirement("X-11")
def test_what_stands_beside_a_request_uri_is_ignored(
    pushing: Pushing, prove: Prover, prove_other: Prover
) -> None:
    beside = {
        "dpop_jkt": prove_other.jkt,
        "redirect_uri": "https://evil.example",
        "response_type": "token",
        "scope": "more",
        "resource": "https://other.example",
        "state": "other",
    }
    for changes, expected in (
        ({"dpop_jkt": prove.jkt}, prove.jkt),
        ({}, None),
    ):
        address = pushing.address(pushing.request_uri(**changes), **beside)
        answer = redirected(pushing.sim.http.post(address, data=ALLOW))
        assert answer["state"] == "s t"
        assert pushing.sim.codes[answer["code"]].dpop_jkt == expected
    request_uri = pushing.request_uri(par_proof(prove))
    code = pushing.code(request_uri, **beside)
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt


@pytest.mark.requirement("X-11")
def test_the_consent_form_adds_nothing_to_a_pushed_request(
    pushing: Pushing, prove_other: Prover
) -> None:
    address = pushing.address(pushing.request_uri())
    form = {**ALLOW, "dpop_jkt": prove_other.jkt, "state": "other"}
    answer = redirected(pushing.sim.http.post(address, data=form))
    assert pushing.sim.codes[answer["code"]].dpop_jkt is None
    assert answer["state"] == "s t"


def test_the_client_learns_which_request_was_denied(pushing: Pushing) -> None:
    """Trap: Authlib takes the state from a request that has the request_uri only."""
    address = pushing.address(pushing.request_uri())
    answer = redirected(pushing.sim.http.post(address, data=DENY))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "s t"
    assert pushing.sim.codes == {}


def test_the_issuer_is_in_the_response(pushing: Pushing) -> None:
    class Issuer(rfc9207.IssuerParameter):
        def get_issuer(self) -> str:
            return ISSUER

    pushing.sim.server.register_extension(Issuer())
    for form in ALLOW, DENY:
        address = pushing.address(pushing.request_uri())
        answer = redirected(pushing.sim.http.post(address, data=form))
        assert answer["iss"] == ISSUER


def test_a_client_that_was_deregistered_gets_no_code(pushing: Pushing) -> None:
    address = pushing.address(pushing.request_uri())
    del pushing.sim.clients["confidential"]
    response = pushing.sim.http.post(address, data=ALLOW)
    assert is_refused(response, "invalid_client")


# --- requests that were not pushed


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize("by", ["server", "client"])
def test_a_request_that_must_be_pushed_is_refused_otherwise(
    make_pushing: Callable[..., Pushing], by: str
) -> None:
    pushing = make_pushing(required=by == "server")
    if by == "client":
        metadata = pushing.sim.clients["confidential"].client_metadata
        metadata["require_pushed_authorization_requests"] = True
    for request_uri in "https://client.example/request", "urn:other:x", "":
        response = pushing.sim.http.get(pushing.address(request_uri, **REQUEST))
        assert is_refused(response, "invalid_request")
    response = pushing.sim.http.get(f"{ISSUER}/authorize", query_string=REQUEST)
    assert is_refused(response, "invalid_request")
    assert pushing.code(pushing.request_uri())


def test_others_may_go_on_without(pushing: Pushing) -> None:
    response = pushing.sim.http.get(f"{ISSUER}/authorize", query_string=REQUEST)
    assert response.status_code == 200
    response = pushing.sim.http.post(
        f"{ISSUER}/authorize", query_string=REQUEST, data=ALLOW
    )
    assert redirected(response)["code"]


# --- signed request objects


class SignedRequests(rfc9101.JWTAuthenticationRequest):
    """The request objects of the one client, whose key this is."""

    def __init__(self, key: Key, *, required: bool) -> None:
        super().__init__()
        self._key = key
        self._required = required

    def resolve_client_public_key(self, client: Any) -> Key:
        return self._key

    def get_request_object_signing_algorithms(self, client: Any) -> list[str]:
        return ["ES256"]

    def get_server_metadata(self) -> dict[str, Any]:
        return {"require_signed_request_object": self._required}


@pytest.mark.requirement("X-12")
@pytest.mark.parametrize("required", [True, False])
def test_dpop_jkt_in_a_signed_request_counts(
    pushing: Pushing,
    prove: Prover,
    prove_other: Prover,
    ec_key: Any,
    required: bool,
) -> None:
    extension = SignedRequests(ec_key, required=required)
    pushing.sim.server.register_extension(extension)

    def sign(**claims: Any) -> dict[str, Any]:
        payload = {"iss": "confidential", "aud": ISSUER, **REQUEST, **claims}
        nothing = dict.fromkeys(REQUEST)
        return {**nothing, "request": jwt.encode({"alg": "ES256"}, payload, ec_key)}

    inside = sign(dpop_jkt=prove.jkt)
    code = pushing.code(pushing.request_uri(**inside))
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt

    code = pushing.code(pushing.request_uri(par_proof(prove), **inside))
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt

    response = pushing.push(par_proof(prove_other), **inside)
    assert is_refused(response, "invalid_request")

    code = pushing.code(pushing.request_uri(par_proof(prove), **sign()))
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt

    outside = {**sign(), "dpop_jkt": prove.jkt}
    code = pushing.code(pushing.request_uri(**outside))
    assert pushing.sim.codes[code].dpop_jkt is None

    response = pushing.push(**sign(client_id="public"))
    assert is_refused(response, "invalid_request")
    response = pushing.push(**{**inside, "request": "a.b.c"})
    assert is_refused(response, "invalid_request_object")
    address = pushing.address(pushing.request_uri(**inside))
    assert redirected(pushing.sim.http.post(address, data=DENY))["state"] == "s t"


# --- what is not the way of the README, and stores that fail


def test_the_older_calling_convention_consumes_too(pushing: Pushing) -> None:
    server = pushing.sim.server

    @pushing.sim.app.post("/old")
    def old() -> Any:
        return server.create_authorization_response()

    address = pushing.address(pushing.request_uri()).replace("authorize", "old")
    with pytest.warns(DeprecationWarning, match="grant"):
        answer = redirected(pushing.sim.http.post(address))
    assert answer == {
        "error": "access_denied",
        "error_description": answer["error_description"],
        "state": "s t",
    }
    with pytest.warns(DeprecationWarning, match="grant"):
        assert is_refused(pushing.sim.http.post(address))


def test_a_grant_that_is_looked_up_twice_is_consumed_once(pushing: Pushing) -> None:
    server = pushing.sim.server
    address = pushing.address(pushing.request_uri())
    with pushing.sim.app.test_request_context(address):
        request = server.create_oauth2_request(None)
        first = server.get_authorization_grant(request)
        second = server.get_authorization_grant(request)
        for grant, status in (second, 302), (first, 400):
            response = server.create_authorization_response(grant=grant)
            assert response.status_code == status


@pytest.mark.parametrize("method", ["load", "consume", "save"])
def test_a_store_that_fails_lets_nothing_through(
    pushing: Pushing, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = pushing.address(pushing.request_uri())

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise StoreError

    setattr(pushing.store, method, fail)
    if method == "save":
        response = pushing.push()
    else:
        response = pushing.sim.http.post(address, data=ALLOW)
    assert response.status_code == 503
    assert response.get_json()["error"] == "temporarily_unavailable"
    assert response.headers["Retry-After"] == "5"
    assert pushing.sim.codes == {}
    (record,) = (one for one in caplog.records if one.levelname == "ERROR")
    assert vars(record)["event"] == "request_refused"
    assert vars(record)["fields"]["reason"] == "store_unavailable"


@pytest.mark.requirement("Q-18")
def test_a_nonce_challenge_at_par_stores_nothing(
    make_pushing: Callable[..., Pushing], prove: Prover, nonces: NonceIssuer
) -> None:
    pushing = make_pushing(nonces=nonces)
    assert pushing.push(par_proof(prove)).status_code == 400
    assert len(pushing.store) == 0
    assert pushing.code(pushing.request_uri(par_proof(prove, nonces)))


def test_the_last_of_several_registrations_decides(
    pushing: Pushing, prove: Prover
) -> None:
    """Trap: an application that is made anew, at a server that stays: two stores."""
    sim = pushing.sim
    earlier = pushing.request_uri()
    store = MemoryPushedRequestStore()
    again = PushedAuthorizationRequests(store, dpop=sim.dpop, lifetime=60)
    sim.server.register_extension(again)
    assert is_refused(sim.http.get(pushing.address(earlier)))
    answer = pushing.push(par_proof(prove)).get_json()
    assert (answer["expires_in"], len(store)) == (60, 1)
    assert sim.codes[pushing.code(answer["request_uri"])].dpop_jkt == prove.jkt
    assert len(store) == 0


@pytest.mark.parametrize("way", ["extension", "profile"])
@pytest.mark.requirement("U-7")
def test_a_refusal_is_one_line_in_the_log(
    make_pushing: Callable[..., Pushing], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of the two extensions is registered first, and so stands inside."""
    pushing = make_pushing(way=way)
    sim = pushing.sim
    sim.server.register_extension(sim.dpop)
    used, other = (pushing.address(pushing.request_uri()) for _ in range(2))
    with sim.app.test_request_context(used):
        late = sim.server.get_consent_grant()
    sim.http.post(used, data=ALLOW)
    caplog.set_level(logging.INFO, "dpop_ext")

    def reason_of(response: Any) -> Any:
        assert response.status_code in (400, 503)
        (record,) = caplog.records
        caplog.clear()
        assert vars(record)["fields"]["client"] == "'confidential'"
        return vars(record)["fields"]["reason"]

    assert reason_of(sim.http.get(used)) == "invalid_request_uri"
    with sim.app.test_request_context(used):
        response = sim.server.create_authorization_response(grant=late)
    assert reason_of(response) == "invalid_request_uri"
    pushing.extension.required = True
    plain = sim.http.get(f"{ISSUER}/authorize", query_string=REQUEST)
    assert reason_of(plain) == "invalid_request"

    def fail(*args: Any) -> Any:
        raise StoreError

    setattr(pushing.store, "load", fail)  # noqa: B010
    assert reason_of(sim.http.get(other)) == "store_unavailable"
