"""The PAR endpoint: who may push what, and with which proof."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlencode

import pytest
from authlib.oauth2 import rfc8414
from joserfc.errors import InvalidClaimError

from dpop_ext.authorization_server import (
    AuthorizationServerMetadata,
    ClientMetadataClaims,
    PushedAuthorizationRequests,
)
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.pushed_requests import MemoryPushedRequestStore
from tests.authorization_server.pushing import (
    PAR_URL,
    REQUEST,
    Pushing,
    par_proof,
    redirected,
)
from tests.authorization_server.simulator import AUDIENCE, ISSUER, Prover, basic


def error_of(response: Any, status: int = 400) -> str:
    """The error of a JSON answer that is not kept and leads nowhere."""
    assert response.status_code == status, response.text
    assert response.is_json
    assert "Location" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    error: str = response.get_json()["error"]
    return error


@pytest.mark.requirement("J-7")
def test_a_request_is_exchanged_for_a_request_uri(pushing: Pushing) -> None:
    response = pushing.push()
    assert response.status_code == 201
    body = response.get_json()
    prefix, reference = body["request_uri"].rsplit(":", 1)
    assert prefix == "urn:ietf:params:oauth:request_uri"
    assert len(reference) == 43
    assert body["expires_in"] == 300
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"
    assert "DPoP-Nonce" not in response.headers
    assert pushing.request_uri() != body["request_uri"]


@pytest.mark.parametrize("client", ["confidential", "public"])
def test_clients_authenticate_as_at_the_token_endpoint(
    pushing: Pushing, client: str
) -> None:
    assert pushing.push(client=client).status_code == 201


@pytest.mark.requirement("J-7")
def test_a_confidential_client_must_authenticate(
    pushing: Pushing, prove: Prover
) -> None:
    for headers in (), [("Authorization", basic("confidential", "wrong"))]:
        response = pushing.push(par_proof(prove), headers=headers, authenticate=False)
        assert error_of(response, 401) == "invalid_client"
    unknown = [("Authorization", basic("nobody", "x"))]
    response = pushing.push(headers=unknown, authenticate=False)
    assert error_of(response, 401) == "invalid_client"
    hostile = [("Authorization", "Basic /////w==")]
    response = pushing.push(headers=hostile, authenticate=False)
    assert error_of(response) == "invalid_request"
    assert len(pushing.store) == 0


def test_a_client_cannot_push_for_another(pushing: Pushing) -> None:
    response = pushing.push(client_id="public")
    assert error_of(response) == "invalid_request"


def test_the_client_that_authenticates_need_not_name_itself_again(
    pushing: Pushing,
) -> None:
    request_uri = pushing.request_uri(client_id=None)
    assert pushing.code(request_uri) in pushing.sim.codes


def test_the_one_redirect_uri_of_a_client_need_not_be_named(pushing: Pushing) -> None:
    request_uri = pushing.request_uri(redirect_uri=None)
    assert pushing.code(request_uri) in pushing.sim.codes


def test_credentials_are_not_kept(pushing: Pushing) -> None:
    pushing.request_uri(
        client_secret="s3cret",
        client_assertion="a.b.c",
        client_assertion_type="urn:example",
    )
    (stored,) = pushing.store._entries.values()
    assert set(stored.parameters) == set(REQUEST)
    assert "s t" not in repr(stored)


@pytest.mark.requirement("U-7")
def test_a_refusal_is_one_line_in_the_log(
    pushing: Pushing, prove: Prover, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    refused: list[tuple[str, dict[str, Any]]] = [
        ("malformed_proof", {"proof": "x"}),
        ("invalid_client", {"authenticate": False}),
        ("invalid_request", {"redirect_uri": "https://evil.example"}),
        ("invalid_request", {"proof": par_proof(prove), "dpop_jkt": "A" * 43}),
    ]
    for reason, request in refused:
        caplog.clear()
        assert pushing.push(**request).status_code in (400, 401)
        (record,) = caplog.records
        assert record.getMessage().startswith(
            f"refused: {reason}, client 'confidential', "
            "pushed_authorization_request endpoint"
        )


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_only_post_is_taken(pushing: Pushing, method: str) -> None:
    fields = [("Authorization", basic("confidential", "secret"))]
    response = pushing.sim.http.open(
        PAR_URL, method=method, data=REQUEST, headers=fields
    )
    assert error_of(response, 405) == "invalid_request"
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/x-www-form-urlencoded", 201),
        ("Application/X-WWW-Form-URLencoded; charset=utf-8", 201),
        ("multipart/form-data; boundary=x", 400),
        ("application/json", 400),
        ("", 400),
    ],
)
def test_only_a_form_is_taken(pushing: Pushing, content_type: str, status: int) -> None:
    fields = [("Content-Type", content_type)]
    data = urlencode(REQUEST)
    if "multipart" in content_type:
        part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
        data = "".join(part.format(*each) for each in REQUEST.items()) + "--x--\r\n"
    response = pushing.push(headers=fields, data=data)
    assert response.status_code == status


@pytest.mark.requirement("X-6", "X-10")
def test_dpop_jkt_is_taken_from_the_body_and_refused_in_the_query(
    pushing: Pushing, prove: Prover
) -> None:
    response = pushing.push(url=f"{PAR_URL}?dpop_jkt={prove.jkt}")
    assert error_of(response) == "invalid_request"
    response = pushing.push(url=f"{PAR_URL}?x", dpop_jkt=prove.jkt)
    assert error_of(response) == "invalid_request"
    code = pushing.code(pushing.request_uri(dpop_jkt=prove.jkt))
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt
    assert pushing.redeem(code).get_json()["error"] == "invalid_dpop_proof"
    assert pushing.redeem(code, prove()).get_json()["token_type"] == "DPoP"


@pytest.mark.requirement("X-4")
@pytest.mark.parametrize("jkt", ["", "x", "A" * 42 + "B", "A" * 42 + "=", '"\xe9'])
def test_what_is_no_thumbprint_is_refused_without_redirection(
    pushing: Pushing, jkt: str
) -> None:
    assert error_of(pushing.push(dpop_jkt=jkt)) == "invalid_request"
    assert len(pushing.store) == 0


@pytest.mark.requirement("X-4")
@pytest.mark.parametrize("name", ["dpop_jkt", "client_id", "state", "unknown"])
def test_a_repeated_parameter_is_refused(
    pushing: Pushing, prove: Prover, name: str
) -> None:
    value = {"dpop_jkt": prove.jkt, "client_id": "confidential"}.get(name, "x")
    changes: dict[str, Any] = {name: [value, value]}
    response = pushing.push(**changes)
    assert error_of(response) == "invalid_request"


def test_a_repeated_resource_is_for_the_audience_rules(pushing: Pushing) -> None:
    response = pushing.push(resource=[AUDIENCE, AUDIENCE])
    assert error_of(response) == "invalid_target"
    code = pushing.code(pushing.request_uri(resource=AUDIENCE))
    assert pushing.sim.codes[code].audience == AUDIENCE


@pytest.mark.requirement("J-7")
def test_a_request_uri_cannot_be_pushed(pushing: Pushing) -> None:
    response = pushing.push(request_uri=pushing.request_uri())
    assert error_of(response) == "invalid_request"


def test_a_large_request_is_refused(pushing: Pushing) -> None:
    """Of more than 8192 characters, names and values together, or 64 parameters."""
    room = 8192 - sum(map(len, [*REQUEST, *REQUEST.values(), "x"]))
    assert pushing.push(x="x" * room).status_code == 201
    assert error_of(pushing.push(x="x" * (room + 1)), 413) == "invalid_request"
    names = [f"p{number}" for number in range(65 - len(REQUEST))]
    many: dict[str, Any] = dict.fromkeys(names[1:], "x")
    assert pushing.push(**many).status_code == 201
    many[names[0]] = "x"
    assert error_of(pushing.push(**many), 413) == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "nonsense"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": '"\xe9'}, "unsupported_response_type"),
        ({"redirect_uri": "https://evil.example"}, "invalid_request"),
        ({"redirect_uri": 'https://evil.example/"'}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
    ],
)
@pytest.mark.requirement("J-7")
def test_a_faulty_request_is_refused_without_redirection(
    pushing: Pushing, changes: dict[str, Any], error: str
) -> None:
    response = pushing.push(**changes)
    assert error_of(response) == error
    assert "state" not in response.get_json()
    assert "evil" not in response.text
    assert len(pushing.store) == 0


# --- the proof


@pytest.mark.requirement("X-8", "X-10")
@pytest.mark.parametrize("client", ["confidential", "public"])
def test_a_proof_binds_the_code_to_its_key(
    pushing: Pushing, prove: Prover, prove_other: Prover, client: str
) -> None:
    request_uri = pushing.request_uri(par_proof(prove), client=client)
    code = pushing.code(request_uri, client)
    assert pushing.sim.codes[code].dpop_jkt == prove.jkt
    assert (
        pushing.redeem(code, client=client).get_json()["error"] == "invalid_dpop_proof"
    )
    answer = pushing.redeem(code, prove(), client=client)
    assert answer.get_json()["token_type"] == "DPoP"
    code = pushing.code(pushing.request_uri(par_proof(prove), client=client), client)
    answer = pushing.redeem(code, prove_other(), client=client)
    assert answer.get_json()["error"] == "invalid_grant"


@pytest.mark.requirement("X-9", "X-10")
def test_a_proof_and_dpop_jkt_must_be_of_one_key(
    pushing: Pushing, prove: Prover, prove_other: Prover
) -> None:
    assert pushing.push(par_proof(prove), dpop_jkt=prove.jkt).status_code == 201
    response = pushing.push(par_proof(prove), dpop_jkt=prove_other.jkt)
    assert error_of(response) == "invalid_request"


@pytest.mark.requirement("X-4", "X-9")
def test_dpop_jkt_is_checked_of_a_grant_that_has_no_dpop_of_its_own(
    make_pushing: Callable[..., Pushing], prove: Prover, prove_other: Prover
) -> None:
    """Where it is registered with some grants, and not with the server."""
    pushing = make_pushing(way="profile")
    for proof, jkt in (None, "x"), (par_proof(prove), prove_other.jkt):
        assert error_of(pushing.push(proof, dpop_jkt=jkt)) == "invalid_request"
    assert len(pushing.store) == 0
    assert pushing.push(par_proof(prove), dpop_jkt=prove.jkt).status_code == 201


@pytest.mark.requirement("X-7")
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET"},
        {"url": f"{ISSUER}/token"},
        {"url": f"{PAR_URL}/"},
        {"now": 1_790_000_000 - 66},
        {"now": 1_790_000_000 + 31},
    ],
)
def test_the_proof_must_be_for_this_request(
    pushing: Pushing, prove: Prover, changes: dict[str, Any]
) -> None:
    response = pushing.push(par_proof(prove, **changes))
    assert error_of(response) == "invalid_dpop_proof"
    assert len(pushing.store) == 0


@pytest.mark.requirement("X-7")
def test_a_proof_that_is_none_is_refused(pushing: Pushing, prove: Prover) -> None:
    for proof in "", "x", f"{par_proof(prove)},{par_proof(prove)}", prove() + "x":
        assert error_of(pushing.push(proof)) == "invalid_dpop_proof"


@pytest.mark.requirement("X-7")
def test_a_proof_is_good_once(pushing: Pushing, prove: Prover) -> None:
    proof = par_proof(prove)
    assert pushing.push(proof).status_code == 201
    assert error_of(pushing.push(proof)) == "invalid_dpop_proof"
    assert len(pushing.store) == 1


def test_a_refused_request_does_not_use_the_proof_up(
    pushing: Pushing, prove: Prover
) -> None:
    proof = par_proof(prove)
    assert pushing.push(proof, code_challenge="short").status_code == 400
    assert pushing.push(proof, authenticate=False).status_code == 401
    assert pushing.push(proof).status_code == 201


@pytest.mark.requirement("X-7", "Q-1")
def test_a_nonce_is_demanded_and_given(
    make_pushing: Callable[..., Pushing],
    prove: Prover,
    nonces: NonceIssuer,
    clock: Any,
) -> None:
    pushing = make_pushing(nonces=nonces)
    challenge = pushing.push(par_proof(prove))
    assert error_of(challenge) == "use_dpop_nonce"
    (nonce,) = challenge.headers.getlist("DPoP-Nonce")
    proof = par_proof(prove, nonces)
    clock.advance(60)
    answer = pushing.push(proof)
    assert answer.status_code == 201
    (newer,) = answer.headers.getlist("DPoP-Nonce")
    assert newer != nonce
    again = pushing.push(par_proof(prove, nonces))
    assert "DPoP-Nonce" not in again.headers


@pytest.mark.requirement("Q-4")
def test_nonces_do_not_pile_up(
    make_pushing: Callable[..., Pushing],
    prove: Prover,
    nonces: NonceIssuer,
    clock: Any,
) -> None:
    """Trap: Authlib has one list of header fields for all of its responses."""
    pushing = make_pushing(nonces=nonces)
    for _ in range(3):
        proof = par_proof(prove, nonces)
        clock.advance(60)
        assert len(pushing.push(proof).headers.getlist("DPoP-Nonce")) == 1
    assert "DPoP-Nonce" not in pushing.push().headers


# --- the stores


class Silent:
    """A store that does not answer."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        raise StoreError


def test_a_replay_store_that_fails_stores_no_request(
    make_pushing: Callable[..., Pushing], prove: Prover
) -> None:
    pushing = make_pushing(replay_store=Silent())
    response = pushing.push(par_proof(prove))
    assert error_of(response, 503) == "temporarily_unavailable"
    assert response.headers["Retry-After"]
    assert len(pushing.store) == 0


def test_a_client_with_too_many_requests_gets_429_and_others_are_served(
    make_pushing: Callable[..., Pushing],
) -> None:
    pushing = make_pushing()
    pushing.store._max_per_client = 1
    pushing.request_uri()
    response = pushing.push()
    assert error_of(response, 429) == "temporarily_unavailable"
    assert int(response.headers["Retry-After"]) > 0
    pushing.request_uri(client="public")


def test_a_full_store_refuses_until_requests_expire(
    clock: Any, make_pushing: Callable[..., Pushing]
) -> None:
    pushing = make_pushing()
    pushing.store._capacity = 2
    for _ in range(2):
        pushing.request_uri()
    assert error_of(pushing.push(), 503) == "temporarily_unavailable"
    clock.advance(300)
    assert pushing.push().status_code == 201
    assert len(pushing.store) == 1


def test_one_of_many_consumes_a_request(pushing: Pushing) -> None:
    reference = pushing.request_uri().rsplit(":", 1)[1]
    barrier = threading.Barrier(16)
    results: list[bool] = []

    def consume() -> None:
        barrier.wait()
        results.append(pushing.store.consume(reference))

    threads = [threading.Thread(target=consume) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 15 + [True]


@pytest.mark.parametrize("lifetime", [4, 600, 0, -1])
def test_the_lifetime_has_limits(pushing: Pushing, lifetime: int) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        PushedAuthorizationRequests(
            pushing.store, dpop=pushing.sim.dpop, lifetime=lifetime
        )


def test_the_defaults_are_the_documented_ones(pushing: Pushing) -> None:
    extension = PushedAuthorizationRequests(pushing.store, dpop=pushing.sim.dpop)
    assert (extension.required, extension.lifetime) == (False, 300)


@pytest.mark.parametrize("lifetime", [5, 599])
def test_a_request_uri_lives_as_long_as_was_said(
    make_pushing: Callable[..., Pushing], clock: Any, lifetime: int
) -> None:
    pushing = make_pushing(lifetime=lifetime)
    answer = pushing.push().get_json()
    assert answer["expires_in"] == lifetime
    address = pushing.address(answer["request_uri"])
    clock.advance(lifetime - 1)
    assert pushing.sim.http.get(address).status_code == 200
    clock.advance(1)
    assert pushing.sim.http.get(address).status_code == 400


def test_the_store_has_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="max_entries"):
        MemoryPushedRequestStore(0)


def test_proofs_of_par_and_of_the_token_endpoint_share_the_replay_store(
    make_pushing: Callable[..., Pushing], prove: Prover
) -> None:
    store = MemoryReplayStore()
    pushing = make_pushing(replay_store=store)
    pushing.request_uri(par_proof(prove, jti="j1"))
    answer = pushing.sim.token({"grant_type": "client_credentials"}, prove(jti="j1"))
    assert answer.get_json()["error"] == "invalid_dpop_proof"
    assert redirected(
        pushing.sim.http.post(
            pushing.address(pushing.request_uri()), data={"confirm": "yes"}
        )
    )["code"]


# --- metadata


@pytest.mark.requirement("J-7")
@pytest.mark.parametrize(
    ("member", "value", "good"),
    [
        ("pushed_authorization_request_endpoint", PAR_URL, True),
        ("pushed_authorization_request_endpoint", "http://as.example/par", False),
        ("require_pushed_authorization_requests", True, True),
        ("require_pushed_authorization_requests", "true", False),
        ("require_pushed_authorization_requests", 1, False),
    ],
)
def test_server_metadata_is_checked(member: str, value: Any, good: bool) -> None:
    metadata = rfc8414.AuthorizationServerMetadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        response_types_supported=["code"],
        **{member: value},
    )
    expected = nullcontext() if good else pytest.raises(ValueError, match=member)
    with expected:
        metadata.validate(metadata_classes=[AuthorizationServerMetadata])


@pytest.mark.parametrize(
    ("value", "good"), [(True, True), (False, True), ("true", False), (None, False)]
)
def test_client_metadata_is_checked(value: Any, good: bool) -> None:
    claims = ClientMetadataClaims({"require_pushed_authorization_requests": value}, {})
    with nullcontext() if good else pytest.raises(InvalidClaimError):
        claims.validate()


@pytest.mark.parametrize("way", ["extension", "grant", "both"])
@pytest.mark.parametrize("response_type", ['"', "\xe9", "no\\such", "token"])
def test_an_unknown_response_type_is_a_documented_error(
    make_pushing: Callable[..., Pushing], way: str, response_type: str
) -> None:
    """Also where DPoP is registered with each grant, and not with the server."""
    answer = make_pushing(way=way).push(response_type=response_type)
    error = error_of(answer, 400)
    assert error in ("unsupported_response_type", "invalid_request")
