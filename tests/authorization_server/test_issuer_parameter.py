"""The issuer in authorization responses, and nowhere else."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authlib.oauth2.rfc6749 import grants

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
