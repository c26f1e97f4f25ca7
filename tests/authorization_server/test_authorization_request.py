"""dpop_jkt and resource at the authorization endpoint."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from dpop_ext.core.policy import FAPI2
from tests.authorization_server.simulator import (
    AUDIENCE,
    ISSUER,
    REDIRECT_URI,
    VERIFIER,
    User,
)

every_way = pytest.mark.parametrize("way", ["extension", "grant", "both"])

REQUEST = {
    "response_type": "code",
    "client_id": "public",
    "redirect_uri": REDIRECT_URI,
    "state": "s t",
    "code_challenge": VERIFIER,
}


def url(*pairs: tuple[str, str], **changes: str) -> str:
    query = urlencode([*(REQUEST | changes).items(), *pairs])
    return f"{ISSUER}/authorize?{query}"


def redirected(response: Any) -> dict[str, str]:
    """The parameters that the client gets."""
    assert response.status_code == 302
    location = urlsplit(response.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT_URI
    return dict(parse_qsl(location.query or location.fragment))


def approve(sim: Any, address: str) -> Any:
    """See the consent page, then agree to it."""
    assert sim.http.get(address).status_code == 200
    return sim.http.post(address, data={"confirm": "yes"})


@every_way
@pytest.mark.requirement("X-5")
def test_dpop_jkt_outlives_login_and_consent(
    make_sim: Any, prove: Any, way: str
) -> None:
    sim = make_sim(way=way)
    code = redirected(approve(sim, url(dpop_jkt=prove.jkt)))["code"]
    assert sim.codes[code].dpop_jkt == prove.jkt
    form = sim.grant("authorization_code", "public") | {"code": code}
    assert sim.token(form, client="public").status_code == 400
    assert sim.token(form, prove(), client="public").status_code == 200


def test_a_code_that_was_stored_without_its_key_is_not_given_out(
    sim: Any, prove: Any
) -> None:
    """Nothing but the application knows what it stored, so its first code is read."""
    sim.app.testing = True
    grant: Any = sim.server._authorization_grants[0][0]

    class Forgetful(grant):
        def save_authorization_code(self, code: str, request: Any) -> None:
            super().save_authorization_code(code, request)
            sim.codes[code].dpop_jkt = None

    class Unreadable(grant):
        def query_authorization_code(self, code: str, client: Any) -> None:
            pytest.fail("a second code was read")

    sim.server._authorization_grants[0] = (Forgetful, [])
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"dpop_jkt=request\.dpop_jkt"):
            approve(sim, url(dpop_jkt=prove.jkt))
    assert "code" in redirected(approve(sim, url()))
    sim.server._authorization_grants[0] = (grant, [])
    assert "code" in redirected(approve(sim, url(dpop_jkt=prove.jkt)))
    sim.server._authorization_grants[0] = (Unreadable, [])
    assert "code" in redirected(approve(sim, url(dpop_jkt=prove.jkt)))


def test_a_code_that_is_not_to_be_found_yet_is_given_out(sim: Any, prove: Any) -> None:
    """Some write it with the end of the request, or read from a copy."""
    sim.app.testing = True
    grant: Any = sim.server._authorization_grants[0][0]
    written: list[Any] = []

    class Deferring(grant):
        def save_authorization_code(self, code: str, request: Any) -> None:
            super().save_authorization_code(code, request)
            written.append(sim.codes.pop(code))

    sim.server._authorization_grants[0] = (Deferring, [])
    assert "code" in redirected(approve(sim, url(dpop_jkt=prove.jkt)))
    assert [code.dpop_jkt for code in written] == [prove.jkt]
    assert not sim.server.dpop_extension.saves_bound_codes


@every_way
def test_a_code_is_unbound_without_dpop_jkt(make_sim: Any, way: str) -> None:
    sim = make_sim(way=way)
    code = redirected(approve(sim, url()))["code"]
    assert sim.codes[code].dpop_jkt is None
    form = sim.grant("authorization_code", "public") | {"code": code}
    assert sim.token(form, client="public").get_json()["token_type"] == "Bearer"


def test_a_form_may_carry_the_whole_request(sim: Any, prove: Any) -> None:
    form = REQUEST | {"dpop_jkt": prove.jkt, "confirm": "yes"}
    response = sim.http.post(f"{ISSUER}/authorize", data=form)
    assert sim.codes[redirected(response)["code"]].dpop_jkt == prove.jkt


@every_way
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "jkt",
    [
        "",
        "x",
        "A" * 42,
        "A" * 44,
        "A" * 42 + "=",
        "A" * 42 + "+",
        # The last character has bits that are not part of the value.
        "A" * 42 + "B",
        "\xe9" * 43,
        '"' * 43,
    ],
)
@pytest.mark.requirement("X-4", "X-25")
def test_what_is_no_thumbprint_is_refused_by_redirection(
    make_sim: Any, way: str, method: str, jkt: str
) -> None:
    sim = make_sim(way=way)
    response = getattr(sim.http, method)(url(dpop_jkt=jkt))
    parameters = redirected(response)
    assert parameters["error"] == "invalid_request"
    assert parameters["state"] == "s t"
    assert sim.codes == {}


@pytest.mark.parametrize("other", ["same", "different"])
@pytest.mark.requirement("X-4")
def test_a_repeated_dpop_jkt_is_refused(
    sim: Any, prove: Any, prove_other: Any, other: str
) -> None:
    second = prove.jkt if other == "same" else prove_other.jkt
    response = sim.http.get(url(("dpop_jkt", second), dpop_jkt=prove.jkt))
    assert redirected(response)["error"] == "invalid_request"


@pytest.mark.requirement("U-7")
@pytest.mark.parametrize(
    ("changes", "reason", "client"),
    [
        ({"dpop_jkt": "x"}, "invalid_request", "public"),
        ({"response_type": "token"}, "unsupported_response_type", "public"),
        ({"client_id": "nobody"}, "invalid_client", "nobody"),
    ],
)
def test_a_refusal_is_one_line_in_the_log(
    sim: Any,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    reason: str,
    client: str,
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    sim.http.get(url(**changes))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"refused: {reason}, client '{client}', authorization endpoint"
    )


@pytest.mark.parametrize("name", ["dpop_jkt", "resource"])
@pytest.mark.requirement("X-5")
def test_the_consent_form_adds_nothing_to_the_request(
    sim: Any, prove: Any, name: str
) -> None:
    """Trap: Authlib's payload is query and form in one."""
    value = {"dpop_jkt": prove.jkt, "resource": AUDIENCE}[name]
    for address in (url(), url(**{name: value})):
        response = sim.http.post(address, data={"confirm": "yes", name: value})
        assert redirected(response)["error"] == "invalid_request"
    assert sim.codes == {}


@pytest.mark.requirement("X-11")
def test_a_signed_or_pushed_request_replaces_the_parameters(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    pushed: dict[str, Any] = REQUEST | {"dpop_jkt": prove.jkt}
    sim.server.register_hook(
        "before_get_authorization_grant",
        lambda _, request: setattr(request, "payload", BasicOAuth2Payload(pushed)),
    )
    address = url(dpop_jkt=prove_other.jkt)
    code = redirected(approve(sim, address))["code"]
    assert sim.codes[code].dpop_jkt == prove.jkt
    del pushed["dpop_jkt"]
    code = redirected(approve(sim, address))["code"]
    assert sim.codes[code].dpop_jkt is None
    for odd in (5, None, [prove.jkt], {"a": prove.jkt}):
        pushed["dpop_jkt"] = odd
        assert redirected(sim.http.get(address))["error"] == "invalid_request"


def test_an_error_comes_with_the_state_of_the_request(sim: Any) -> None:
    """Trap: the state is read from the request that the grant was made for."""
    response = sim.http.post(url(dpop_jkt="x"), data={"confirm": "yes"})
    assert redirected(response)["state"] == "s t"


# --- tokens from the authorization endpoint


class Implicit(grants.ImplicitGrant):
    pass


class Hybrid(grants.AuthorizationCodeGrant):
    """Code and token at once, as the hybrid flow of OpenID Connect has them."""

    RESPONSE_TYPES = {"code token"}
    ERROR_RESPONSE_FRAGMENT = True
    TOKEN_ENDPOINT_HTTP_METHODS: list[str] = []

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.saved = request.dpop_jkt

    def query_authorization_code(self, code: str, client: Any) -> Any:
        return SimpleNamespace(dpop_jkt=self.saved)

    def create_authorization_response(self, redirect_uri: str, grant_user: Any) -> Any:
        self.request.user = grant_user
        self.save_authorization_code("c", self.request)
        token = self.generate_token(user=User(), scope="", include_refresh_token=False)
        self.save_token(token)
        query = urlencode(token)
        return 302, "", [("Location", f"{redirect_uri}#{query}")]


@pytest.mark.parametrize("response_type", ["token", "code token"])
@pytest.mark.parametrize("required", ["client", "policy"])
@pytest.mark.requirement("J-21", "W-3")
def test_who_must_use_dpop_gets_no_token_from_the_authorization_endpoint(
    make_sim: Any, response_type: str, required: str
) -> None:
    options = {"policy": FAPI2} if required == "policy" else {}
    sim = make_sim(extra_grants=[Implicit, Hybrid], **options)
    if required == "client":
        sim.clients["public"].client_metadata["dpop_bound_access_tokens"] = True
    response = sim.http.get(url(response_type=response_type))
    parameters = redirected(response)
    assert parameters["error"] == "unauthorized_client"
    assert urlsplit(response.headers["Location"]).fragment
    assert redirected(approve(sim, url()))["code"]


@pytest.mark.parametrize("response_type", ["token", "code token"])
@every_way
def test_a_token_from_the_authorization_endpoint_is_never_bound(
    make_sim: Any, prove: Any, response_type: str, way: str
) -> None:
    """dpop_jkt is for the code; nobody has proved possession of the key yet."""
    sim = make_sim(extra_grants=[Implicit, Hybrid], way=way)
    address = url(response_type=response_type, dpop_jkt=prove.jkt)
    parameters = redirected(approve(sim, address))
    assert parameters["token_type"] == "Bearer"
    token = sim.tokens[-1]
    assert (token.token_type, token.dpop_jkt) == ("Bearer", None)
    assert "cnf" not in sim.introspect(token.access_token)


# --- resource


@every_way
def test_the_resource_is_kept_with_the_code(make_sim: Any, way: str) -> None:
    sim = make_sim(way=way)
    sim.clients["public"].client_metadata["audiences"] = [AUDIENCE, "https://b"]
    for audience in (AUDIENCE, "https://b"):
        code = redirected(approve(sim, url(resource=audience)))["code"]
        assert sim.codes[code].audience == audience


def test_a_resource_that_is_not_registered_is_refused_by_redirection(
    sim: Any,
) -> None:
    for value in ("https://evil.example", "", '"\xe9'):
        parameters = redirected(sim.http.get(url(resource=value)))
        assert parameters["error"] == "invalid_target"
        assert parameters["state"] == "s t"
    twice = url(("resource", AUDIENCE), resource=AUDIENCE)
    assert redirected(sim.http.get(twice))["error"] == "invalid_target"


# --- hostile requests


@pytest.mark.parametrize(
    "changes",
    [
        {"response_type": '"\xe9'},
        {"response_type": "no\\such"},
        {"redirect_uri": 'https://evil.example/"'},
        {"redirect_uri": "\xe9"},
        {"client_id": "\xe9"},
        {"scope": '"\xe9\\'},
    ],
)
def test_a_hostile_authorization_request_is_a_documented_error(
    sim: Any, changes: dict[str, str]
) -> None:
    """Trap: Authlib repeats parameters in errors that refuse quotes and non-ASCII."""
    for method in ("get", "post"):
        response = getattr(sim.http, method)(url(**changes))
        assert response.status_code in (200, 302, 400, 401)
        if response.status_code == 302:
            assert "code" not in parse_qs(urlsplit(response.headers["Location"]).query)


def test_the_older_calling_convention_gets_an_error_too(sim: Any) -> None:
    sim.app.add_url_rule(
        "/old",
        view_func=lambda: sim.server.create_authorization_response(grant_user=None),
    )
    address = url(response_type='"').replace("authorize", "old")
    with pytest.warns(DeprecationWarning, match="grant"):
        response = sim.http.get(address)
    assert response.status_code == 400
    assert response.get_json()["error"] == "unsupported_response_type"
