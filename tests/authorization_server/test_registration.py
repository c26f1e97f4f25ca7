"""Registering the extension: versions, URLs, twice, and beside other extensions."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.consts import version
from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin, grants
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode

from dpop_ext.authorization_server import DPoP
from dpop_ext.authorization_server.extension import _check_authlib_version
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.verifier import ProofVerifier
from tests.authorization_server.simulator import ISSUER, METHODS, User
from tests.authorization_server.test_every_grant import error_of

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}


@pytest.fixture
def verifier() -> ProofVerifier:
    return ProofVerifier(NoReplayProtection())


@pytest.mark.parametrize(
    "number", ["1.9.8", "1.10.0", "1.10", "2.0.0", "0.15.6", "1.9", "", "1.9.x"]
)
def test_a_version_of_authlib_that_was_not_tested_is_refused(
    monkeypatch: Any, verifier: ProofVerifier, number: str
) -> None:
    monkeypatch.setattr(
        "dpop_ext.authorization_server.extension.authlib_version", number
    )
    with pytest.raises(RuntimeError, match="install") as caught:
        DPoP(verifier)
    assert "authlib>=1.9.9,<1.10" in str(caught.value)


@pytest.mark.parametrize("number", [version, "1.9.9", "1.9.10", "1.9.12.post1"])
def test_a_version_of_authlib_that_fits_is_accepted(number: str) -> None:
    _check_authlib_version(number)


@pytest.mark.parametrize("url", ["", "as.example", "/auth", "ftp://as.example"])
def test_a_public_url_that_is_none_is_refused(
    verifier: ProofVerifier, url: str
) -> None:
    with pytest.raises(ValueError, match="http"):
        DPoP(verifier, public_url=url)


@pytest.mark.requirement("G-1")
def test_a_public_url_is_https_or_loopback(
    verifier: ProofVerifier, monkeypatch: Any
) -> None:
    monkeypatch.delenv("AUTHLIB_INSECURE_TRANSPORT", raising=False)
    with pytest.raises(ValueError, match="https"):
        DPoP(verifier, public_url="http://as.example")
    for url in (ISSUER, "http://127.0.0.1:9000", "http://localhost", "http://[::1]:9"):
        assert DPoP(verifier, public_url=url).public_url == url


def test_the_extension_of_a_grant_wins_over_that_of_the_server(
    make_sim: Any, prove: Any, clock: Any
) -> None:
    """Both at once: the proof is spent once, and by one of them."""

    class Required(DPoP):
        def is_required(self, client: Any) -> bool:
            return True

    sim = make_sim()
    sim.server._token_grants.clear()
    own = Required(ProofVerifier(NoReplayProtection(), clock=clock), public_url=ISSUER)
    sim.server.register_grant(grants.ClientCredentialsGrant, [own])
    assert error_of(sim.token(CLIENT_CREDENTIALS)) == (400, "invalid_dpop_proof")
    proof = prove()
    for _ in range(2):
        assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 200


def test_the_last_extension_of_a_server_decides(
    sim: Any, prove: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As where an application is made for each test, and its server once."""

    class Required(DPoP):
        def is_required(self, client: Any) -> bool:
            return True

    sim.server.register_extension(sim.server.dpop_extension)
    assert sim.token(CLIENT_CREDENTIALS).get_json()["token_type"] == "Bearer"
    assert caplog.messages == []
    sim.server.register_extension(Required(sim.verifier, public_url=ISSUER))
    assert "replaces another one" in caplog.text
    assert error_of(sim.token(CLIENT_CREDENTIALS)) == (400, "invalid_dpop_proof")
    assert sim.token(CLIENT_CREDENTIALS, prove()).status_code == 200


def test_a_grant_without_the_extension_stays_as_it_is(
    make_sim: Any, prove: Any
) -> None:
    """In the older way a grant that was forgotten issues Bearer."""
    sim = make_sim(way="grant")
    sim.server._token_grants.clear()
    sim.server.register_grant(grants.ClientCredentialsGrant)
    response = sim.token(CLIENT_CREDENTIALS, prove())
    assert response.get_json()["token_type"] == "Bearer"
    assert sim.tokens[-1].dpop_jkt is None


@pytest.mark.parametrize("way", ["extension", "grant", "both"])
def test_openid_connect_works_beside_it(make_sim: Any, prove: Any, way: str) -> None:
    """Trap: hooks run in no order, so nothing here depends on one."""

    class OpenID(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def generate_user_info(self, user: Any, scope: str) -> UserInfo:
            return UserInfo(sub=user.name)

        def get_authorization_code_claims(self, authorization_code: Any) -> Any:
            return {}

        def resolve_client_private_key(self, client: Any) -> Any:
            return sim.signing_key

        def get_client_algorithm(self, client: Any) -> str:
            return "ES256"

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {"iss": ISSUER}

    sim = make_sim(way=way)
    grant, extensions = sim.server._token_grants[0]
    sim.server._token_grants[0] = (grant, [OpenID(), *extensions])
    code = sim.add_code(scope="openid", dpop_jkt=prove.jkt)
    form = sim.grant("authorization_code") | {"code": code.code}
    body = sim.token(form, prove()).get_json()
    assert body["token_type"] == "DPoP"
    assert body["id_token"].count(".") == 2
    # Its nonce is not the one of DPoP, and no header field of it is either.
    assert sim.tokens[-1].dpop_jkt == prove.jkt


class LateGrant(BaseGrant, TokenEndpointMixin):
    """Authenticates the client when the request was checked."""

    GRANT_TYPE = "late"
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_token_request(self) -> None:
        pass

    def create_token_response(self) -> Any:
        self.request.client = self.authenticate_token_endpoint_client()
        token = self.generate_token(user=User(), scope="")
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


def test_a_grant_that_has_no_client_yet_gives_out_nothing(
    make_sim: Any, prove: Any
) -> None:
    """Trap: nothing would count that is known of the client.

    Such as that it must use DPoP; or that it does not authenticate, so that its refresh
    tokens are bound.
    """
    sim = make_sim(extra_grants=[LateGrant])
    sim.app.testing = True
    for proof in (prove(), None):
        with pytest.raises(RuntimeError, match=r"set request\.client"):
            sim.token({"grant_type": "late"}, proof, client="public")
    assert sim.tokens == []


class GrantByName(BaseGrant, TokenEndpointMixin):
    """Finds its client by the name, without a method of Authlib's."""

    GRANT_TYPE = "by-name"

    def validate_token_request(self) -> None:
        self.request.client = self.server.query_client(self.request.form["client_id"])

    def create_token_response(self) -> Any:
        token = self.generate_token(user=User(), scope="")
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


def test_a_client_that_nothing_is_known_of_has_not_authenticated(
    make_sim: Any, prove: Any, prove_other: Any
) -> None:
    """So its refresh token is bound, like that of any public client."""
    sim = make_sim(extra_grants=[GrantByName])
    issued = sim.token({"grant_type": "by-name"}, prove(), client="public").get_json()
    assert sim.tokens[-1].refresh_dpop_jkt == prove.jkt
    form = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    stolen = sim.token(form, prove_other(), client="public")
    assert error_of(stolen) == (400, "invalid_grant")
    assert sim.token(form, prove(), client="public").status_code == 200


def test_an_application_may_know_better(make_sim: Any, prove: Any) -> None:
    class Knowing(DPoP):
        def is_public(self, grant: Any) -> bool:
            return grant.GRANT_TYPE != "by-name" and super().is_public(grant)

    sim = make_sim(extra_grants=[GrantByName], dpop_class=Knowing)
    sim.token({"grant_type": "by-name"}, prove(), client="public")
    assert sim.tokens[-1].refresh_dpop_jkt is None
    sim.token(sim.grant("password", "public"), prove(), client="public")
    assert sim.tokens[-1].refresh_dpop_jkt == prove.jkt
