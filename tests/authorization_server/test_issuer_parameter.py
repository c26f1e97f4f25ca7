"""The issuer in authorization responses, and nowhere else."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authlib.oauth2.rfc6749 import grants
from authlib.oidc.core.grants import OpenIDImplicitGrant
from authlib.oidc.rpinitiated import EndSessionEndpoint

from dpop_ext.authorization_server import IssuerIdentification
from tests.authorization_server.pushing import redirected
from tests.authorization_server.simulator import ISSUER, REDIRECT_URI, VERIFIER

REQUEST = {
    "response_type": "code",
    "client_id": "public",
    "redirect_uri": REDIRECT_URI,
    "state": "s t",
    "code_challenge": VERIFIER,
}


@pytest.mark.parametrize(
    ("method", "form", "changes", "member"),
    [
        ("POST", {"confirm": "yes"}, {}, "code"),
        ("POST", {}, {}, "error"),
        # Found before there is a page, where Authlib's own extension does not look.
        ("GET", {}, {"dpop_jkt": "short"}, "error"),
        ("POST", {"confirm": "yes"}, {"dpop_jkt": "short"}, "error"),
    ],
)
def test_every_redirection_to_the_client_names_the_issuer(
    sim: Any, method: str, form: Any, changes: Any, member: str
) -> None:
    sim.server.register_extension(IssuerIdentification(ISSUER))
    url = f"{ISSUER}/authorize?{urlencode(REQUEST | changes)}"
    for _ in range(2):
        parameters = redirected(sim.http.open(url, method=method, data=form))
        assert member in parameters
        assert parameters["iss"] == ISSUER


def test_a_response_in_the_fragment_has_it_there(make_sim: Any) -> None:
    sim = make_sim(extra_grants=[grants.ImplicitGrant])
    sim.server.register_extension(IssuerIdentification(ISSUER))
    changes = {"response_type": "token"}
    url = f"{ISSUER}/authorize?{urlencode(REQUEST | changes)}"
    answer = sim.http.post(url, data={"confirm": "yes"})
    location = urlsplit(answer.headers["Location"])
    assert not location.query
    parameters = dict(parse_qsl(location.fragment))
    assert parameters["iss"] == ISSUER
    assert parameters["access_token"]


def test_other_responses_stay_as_they_are(sim: Any, prove: Any) -> None:
    plain = sim.token({"grant_type": "client_credentials"}, prove())
    sim.server.register_extension(IssuerIdentification(ISSUER))
    named = sim.token({"grant_type": "client_credentials"}, prove())
    assert named.get_json().keys() == plain.get_json().keys()
    assert dict(named.headers).keys() == dict(plain.headers).keys()


def test_the_form_of_a_response_has_it_too(make_sim: Any) -> None:
    """Trap: response_mode=form_post has no Location, and Authlib's form no iss."""

    class Implicit(OpenIDImplicitGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def process_implicit_token(self, token: Any, code: Any = None) -> Any:
            return token | {"id_token": "x"}

    issuer = f"{ISSUER}/a&b"
    sim = make_sim(extra_grants=[Implicit])
    sim.server.register_extension(IssuerIdentification(issuer))
    changes = {"response_type": "id_token", "scope": "openid", "nonce": "n"}
    url = f"{ISSUER}/authorize?{urlencode(REQUEST | changes)}&response_mode=form_post"
    for form, member in (({"confirm": "yes"}, "id_token"), ({}, "error")):
        answer = sim.http.post(url, data=form)
        fields = re.findall(
            r'<input type="hidden" name="(\w+)" value="(.*?)"/>(?=<)', answer.text
        )
        assert member in dict(fields)
        assert [unescape(v) for name, v in fields if name == "iss"] == [issuer]
        assert answer.text.endswith("</form></body></html>")


def test_a_log_out_leads_to_where_the_client_registered(sim: Any) -> None:
    class EndSession(EndSessionEndpoint):
        def is_post_logout_redirect_uri_legitimate(self, *args: Any) -> bool:
            return True

        def end_session(self, end_session_request: Any) -> None:
            pass

    sim.server.register_endpoint(EndSession)
    sim.server.register_extension(IssuerIdentification(ISSUER))
    address = "https://client.example/out"
    sim.clients["public"].client_metadata["post_logout_redirect_uris"] = [address]
    sim.app.add_url_rule(
        "/logout", view_func=lambda: sim.server.create_endpoint_response("end_session")
    )
    query = {"client_id": "public", "post_logout_redirect_uri": address}
    answer = sim.http.get(f"{ISSUER}/logout?{urlencode(query)}")
    assert answer.headers["Location"] == address
    # The next response to an authorization request is named again.
    denied = sim.http.post(f"{ISSUER}/authorize?{urlencode(REQUEST)}")
    assert redirected(denied)["iss"] == ISSUER


def test_the_last_of_several_registrations_decides(sim: Any) -> None:
    """Two values of iss would be no issuer (RFC 9207 section 2.4)."""
    for issuer in ("https://old.example", ISSUER):
        sim.server.register_extension(IssuerIdentification(issuer))
    answer = sim.http.post(
        f"{ISSUER}/authorize?{urlencode(REQUEST)}", data={"confirm": "yes"}
    )
    query = parse_qsl(urlsplit(answer.headers["Location"]).query)
    assert [value for name, value in query if name == "iss"] == [ISSUER]
