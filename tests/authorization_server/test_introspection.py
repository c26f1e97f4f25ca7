"""Introspection of bound tokens, opaque and JWT."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
from authlib.oauth2.rfc9068 import JWTIntrospectionEndpoint
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    IntrospectionConfirmation,
    SignedIntrospection,
    SymmetricKeys,
)
from dpop_ext.core.jws_signature import sign_compact
from tests.authorization_server.simulator import (
    AUDIENCE,
    ISSUER,
    TOKEN_EXCHANGE,
    basic,
    dsk_column,
)
from tests.authorization_server.symmetric_parts import Secrets, ask

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}


@pytest.fixture
def symmetric_sim(make_sim: Any, clock: Any) -> Any:
    return make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))


def issue(sim: Any, *proof: str) -> str:
    text: str = sim.token(CLIENT_CREDENTIALS, *proof).get_json()["access_token"]
    return text


@pytest.mark.requirement("B-5", "B-6")
def test_a_bound_token_is_reported_with_its_key(sim: Any, prove: Any) -> None:
    answer = sim.introspect(issue(sim, prove()))
    assert answer == {
        "active": True,
        "token_type": "DPoP",
        "client_id": "confidential",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": sim.clock.now + 300,
        "cnf": {"jkt": prove.jkt},
    }


@pytest.mark.requirement("B-6")
def test_dpop_is_said_whatever_the_application_says(sim: Any, prove: Any) -> None:
    text = issue(sim, prove())
    sim.tokens[-1].token_type = "Bearer"
    assert sim.introspect(text)["token_type"] == "DPoP"


def test_an_unbound_token_is_reported_without_a_key(sim: Any) -> None:
    answer = sim.introspect(issue(sim))
    assert answer["token_type"] == "Bearer"
    assert "cnf" not in answer


def test_an_inactive_token_says_nothing_else(sim: Any, prove: Any) -> None:
    text = issue(sim, prove())
    sim.tokens[-1].revoked = True
    assert sim.introspect(text) == {"active": False}
    assert sim.introspect("unknown") == {"active": False}


@pytest.mark.requirement("R2233")
def test_only_the_resource_server_of_the_token_learns_how_to_derive_its_key(
    symmetric_sim: Any, prove: Any
) -> None:
    sim = symmetric_sim
    text = issue(sim, prove(**ask()))
    dsk = dsk_column(sim.tokens[-1])
    answer = sim.introspect(text, "rs")
    assert answer["aud"] == dsk.pop("aud") == AUDIENCE
    assert answer["cnf"] == {"jkt": prove.jkt, "dsk": dsk}
    assert {"iss", "client_id", "exp"} <= set(answer)
    for other in ("other-rs", "confidential"):
        answer = sim.introspect(text, other)
        assert (answer["token_type"], answer["cnf"]) == ("DPoP", {"jkt": prove.jkt})
    # A text has parts, and an audience could be one of them.
    for served in (["https://b"], AUDIENCE, f"{AUDIENCE}.other"):
        sim.clients["rs"].client_metadata["resource_server_audiences"] = served
        assert "dsk" not in sim.introspect(text, "rs")["cnf"]


def endpoint(sim: Any) -> Any:
    return sim.server._endpoints["introspection"][0]


def test_what_the_key_needs_comes_from_the_token_when_it_is_not_said(
    symmetric_sim: Any, prove: Any
) -> None:
    """Trap: the usual introspect_token names the client as the audience."""
    sim = symmetric_sim
    text = issue(sim, prove(**ask()))
    endpoint(sim).introspect_token = lambda token: {"exp": 5, "aud": token.client_id}
    answer = sim.introspect(text)
    assert (answer["iss"], answer["client_id"]) == (ISSUER, "confidential")
    assert (answer["aud"], answer["exp"]) == (AUDIENCE, 5)


@pytest.mark.requirement("R2232")
def test_what_the_key_needs_and_nobody_says_is_a_fault(
    symmetric_sim: Any, prove: Any
) -> None:
    sim = symmetric_sim
    text = issue(sim, prove(**ask()))
    endpoint(sim).introspect_token = lambda token: {}
    endpoint(sim).issuer = None
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="iss and exp"):
        sim.introspect(text)
    assert sim.introspect(text, "other-rs")["cnf"] == {"jkt": prove.jkt}


# --- JWTs


class JWTIntrospection(IntrospectionConfirmation, JWTIntrospectionEndpoint):
    key: Any = None

    def get_jwks(self) -> Any:
        return self.key

    def check_permission(self, token: Any, client: Any, request: Any) -> bool:
        return True


@pytest.fixture
def jwt_sim(make_sim: Any, clock: Any) -> Any:
    # Authlib compares exp with the time of the day, not with our clock.
    symmetric = SymmetricKeys(Secrets(clock), issuer=ISSUER)
    sim = make_sim(form="jwt", lifetime=2_000_000_000, symmetric=symmetric)
    jwt_endpoint = JWTIntrospection(issuer=ISSUER)
    jwt_endpoint.key = sim.signing_key
    del sim.server._endpoints["introspection"]
    sim.server.register_endpoint(jwt_endpoint)
    return sim


def scoped(sim: Any, *proof: str) -> str:
    form = CLIENT_CREDENTIALS | {"scope": "accounts"}
    text: str = sim.token(form, *proof).get_json()["access_token"]
    return text


@pytest.mark.requirement("B-5", "B-6")
def test_a_bound_jwt_is_not_reported_as_bearer(jwt_sim: Any, prove: Any) -> None:
    """Trap: Authlib's endpoint for JWTs always says Bearer, and drops cnf."""
    answer = jwt_sim.introspect(scoped(jwt_sim, prove()))
    assert answer["token_type"] == "DPoP"
    assert answer["cnf"] == {"jkt": prove.jkt}
    assert answer["aud"] == AUDIENCE
    unbound = jwt_sim.introspect(scoped(jwt_sim))
    assert unbound["token_type"] == "Bearer"
    assert "cnf" not in unbound


@pytest.mark.parametrize(
    ("algorithm", "make_key"),
    [
        ("ES256", lambda kid: ECKey.generate_key("P-256", kid)),
        ("ES384", lambda kid: ECKey.generate_key("P-384", kid)),
        ("PS256", lambda kid: RSAKey.generate_key(2048, kid)),
        ("Ed25519", lambda kid: OKPKey.generate_key("Ed25519", kid)),
    ],
)
@pytest.mark.parametrize("kid", [{}, {"kid": "k2"}])
@pytest.mark.parametrize("form", ["key", "key set", "public JWK Set"])
def test_a_jwt_is_known_by_every_algorithm_of_our_generator(
    jwt_sim: Any, prove: Any, algorithm: str, make_key: Any, kid: Any, form: str
) -> None:
    """Trap: Authlib's endpoint takes those that it does not know for no JWTs."""
    key, sim = make_key(kid), jwt_sim
    sim.server._token_generators["default"] = AccessTokenGenerator(
        ISSUER, lambda: key, alg=algorithm, clock=sim.clock, expires_generator=2**31
    )
    keys = KeySet([make_key({"kid": "other"}), key, sim.signing_key])
    jwt_endpoint = endpoint(sim)
    jwt_endpoint.key = keys if form == "key set" else key
    if form == "public JWK Set":
        jwt_endpoint.key = {"keys": [key.as_dict(private=False)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        text = scoped(sim, prove())
        answer = sim.introspect(text)
        assert (answer["token_type"], answer["scope"]) == ("DPoP", "accounts")
        assert answer["cnf"] == {"jkt": prove.jkt}
        jwt_endpoint.key = make_key(kid)
        assert sim.introspect(text) == {"active": False}


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"exp": 1}, {}),
        ({"exp": None}, {}),
        ({"iss": "https://other.example"}, {}),
        ({"iss": None}, {}),
        ({"client_id": None}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"kid": "other"}),
        ({}, {"crit": ["x"], "x": 1}),
    ],
)
def test_it_has_to_be_as_good_as_those_that_authlib_verifies(
    jwt_sim: Any, changes: Any, header: Any
) -> None:
    key = RSAKey.generate_key(2048, {"kid": "k2"})
    endpoint(jwt_sim).key = key
    claims: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice"}
    claims |= {"client_id": "public", "exp": 2**33, "iat": 1, "jti": "j"}

    def made(changes: Any, header: Any) -> str:
        values = {k: v for k, v in (claims | changes).items() if v is not None}
        return sign_compact({"typ": "at+jwt", "alg": "PS256"} | header, values, key)

    assert jwt_sim.introspect(made({}, {}))["active"]
    assert jwt_sim.introspect(made(changes, header)) == {"active": False}


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", None])
def test_another_jwt_of_the_server_is_inactive(jwt_sim: Any, typ: str | None) -> None:
    """Such as an ID token, which Authlib answers with 401 or 500."""
    now = jwt_sim.clock.now
    claims = {"iss": ISSUER, "aud": "public", "sub": "alice"}
    text = sign_compact(
        {"alg": "ES256", "kid": "k1"} | ({"typ": typ} if typ else {}),
        claims | {"exp": 2**33, "iat": now, "nonce": "n"},
        jwt_sim.signing_key,
    )
    assert jwt_sim.introspect(text) == {"active": False}


def test_a_jwt_need_not_have_a_scope(jwt_sim: Any, prove: Any) -> None:
    """Trap: Authlib's endpoint for JWTs takes the claim without a look."""
    answer = jwt_sim.introspect(issue(jwt_sim, prove()))
    assert answer["active"] is True
    assert answer["cnf"] == {"jkt": prove.jkt}
    assert "scope" not in answer
    generator = jwt_sim.server._token_generators["default"]
    generator.issuer = "https://other.example"
    assert jwt_sim.introspect(issue(jwt_sim, prove())) == {"active": False}


@pytest.mark.requirement("R2233")
def test_a_jwt_with_a_key_is_reported_to_its_resource_server(
    jwt_sim: Any, prove: Any
) -> None:
    text = scoped(jwt_sim, prove(**ask()))
    answer = jwt_sim.introspect(text, "rs")
    assert set(answer["cnf"]["dsk"]) == {"alg", "v", "r", "exp"}
    assert {"iss", "aud", "client_id", "exp"} <= set(answer)
    assert jwt_sim.introspect(text, "other-rs")["cnf"] == {"jkt": prove.jkt}


def test_a_jwt_that_is_bound_by_other_means_keeps_its_cnf(jwt_sim: Any) -> None:
    generator = jwt_sim.server._token_generators["default"]
    generator.get_extra_claims = lambda *_: {"cnf": {"x5t#S256": "x"}}
    answer = jwt_sim.introspect(scoped(jwt_sim))
    assert answer["cnf"] == {"x5t#S256": "x"}
    assert answer["token_type"] == "Bearer"


@pytest.mark.requirement("J-6")
def test_a_jwt_is_reported_with_who_acts(jwt_sim: Any, prove: Any) -> None:
    """Trap: Authlib's endpoint for JWTs drops act, too."""
    subject = jwt_sim.add_token(
        scope="accounts", expires_in=2_000_000_000, may_act={"sub": "rs"}
    )
    form = {"grant_type": TOKEN_EXCHANGE} | jwt_sim.subject(subject)
    response = jwt_sim.token(form, prove(), client="rs")
    answer = jwt_sim.introspect(response.get_json()["access_token"])
    assert answer["act"] == {"sub": "rs", "iss": ISSUER}
    assert (answer["sub"], answer["cnf"]) == ("alice", {"jkt": prove.jkt})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b.c",
        "\xe9",
        "e30.e30.e30",
        # {"alg": "ES256", "crit": null}, and an array for a header
        "eyJhbGciOiJFUzI1NiIsImNyaXQiOm51bGx9.e30.YQ",
        "W10.e30.YQ",
        "eyJhbGciOlsxXX0.e30.YQ",
    ],
)
def test_a_hostile_token_is_inactive(jwt_sim: Any, text: str, caplog: Any) -> None:
    """Trap: JOSE libraries raise TypeError and more; Authlib answers that with 500."""
    caplog.set_level(logging.INFO)
    assert jwt_sim.introspect(text) == {"active": False}
    assert not text or text not in caplog.text or len(text) == 1


def test_the_next_endpoint_is_asked_about_what_is_no_jwt(jwt_sim: Any) -> None:
    class Opaque(JWTIntrospection):
        def create_endpoint_response(self, request: Any) -> Any:
            is_known = request.form["token"] == "opaque"
            body = {"active": is_known, "by": "the next"}
            return 200, body, [("Content-Type", "application/json")]

    jwt_sim.server.register_endpoint(Opaque(issuer=ISSUER))
    assert jwt_sim.introspect("opaque") == {"active": True, "by": "the next"}
    assert jwt_sim.introspect("unknown") == {"active": False, "by": "the next"}
    text = scoped(jwt_sim)
    answer = jwt_sim.introspect(text)
    assert answer["active"] is True
    assert "by" not in answer


def test_a_caller_that_is_not_authenticated_learns_nothing(
    sim: Any, prove: Any
) -> None:
    text = issue(sim, prove())
    response = sim.http.post(
        f"{ISSUER}/introspect",
        data={"token": text},
        headers=[("Authorization", basic("rs", "wrong"))],
    )
    assert response.status_code == 401
    assert response.get_json()["error"] == "invalid_client"


# --- signed answers

SIGNED = "application/token-introspection+jwt"


class Signed(SignedIntrospection, JWTIntrospection):
    def get_signing_keys(self) -> Any:
        return self.key


@pytest.fixture
def signed_sim(jwt_sim: Any) -> Any:
    signed = Signed(issuer=ISSUER)
    signed.key, signed.clock = jwt_sim.signing_key, jwt_sim.clock
    jwt_sim.server._endpoints["introspection"] = []
    jwt_sim.server.register_endpoint(signed)
    return jwt_sim


def ask_about(sim: Any, token: str, accept: str | None, secret: str = "secret") -> Any:
    fields = [("Authorization", basic("rs", secret))]
    fields += [("Accept", accept)] if accept else []
    return sim.http.post(f"{ISSUER}/introspect", data={"token": token}, headers=fields)


@pytest.mark.requirement("B-5", "B-6")
def test_a_signed_answer_keeps_the_key_of_the_token(
    signed_sim: Any, prove: Any
) -> None:
    text = scoped(signed_sim, prove(**ask()))
    plain = signed_sim.introspect(text)
    response = ask_about(signed_sim, text, SIGNED)
    assert response.status_code == 200
    assert response.content_type == SIGNED
    assert response.headers.getlist("Cache-Control") == ["no-store"]
    found = jwt.decode(response.text, signed_sim.signing_key, algorithms=["ES256"])
    assert found.header == {
        "typ": "token-introspection+jwt",
        "alg": "ES256",
        "kid": "k1",
    }
    assert found.claims == {
        "iss": ISSUER,
        "aud": "rs",
        "iat": signed_sim.clock.now,
        "token_introspection": plain,
    }
    assert plain["cnf"]["jkt"] == prove.jkt
    assert set(plain["cnf"]["dsk"]) == {"alg", "v", "r", "exp"}


def test_a_signed_answer_about_an_inactive_token_says_nothing_else(
    signed_sim: Any,
) -> None:
    response = ask_about(signed_sim, "unknown", SIGNED)
    found = jwt.decode(response.text, signed_sim.signing_key, algorithms=["ES256"])
    assert found.claims["token_introspection"] == {"active": False}


@pytest.mark.parametrize(
    ("accept", "is_signed"),
    [
        (None, False),
        ("application/json", False),
        ("*/*", False),
        ("application/jwt", False),
        (f"{SIGNED};q=0", False),
        (f"{SIGNED}; q=0.000", False),
        (f"{SIGNED};q=0.5", True),
        (f"application/json, {SIGNED.upper()};q=1", True),
        (f"{SIGNED};charset=utf-8", True),
    ],
)
def test_an_answer_is_signed_for_whom_asks(
    signed_sim: Any, accept: str | None, is_signed: bool
) -> None:
    response = ask_about(signed_sim, "unknown", accept)
    assert (response.content_type == SIGNED) == is_signed
    assert (response.content_type == "application/json") != is_signed


def test_hostile_credentials_are_an_error_as_well(signed_sim: Any) -> None:
    """Nobody is authenticated then, whom an answer could be for."""
    for accept in (SIGNED, None):
        fields = [("Authorization", "Basic gICAgA==")]
        fields += [("Accept", accept)] if accept else []
        response = signed_sim.http.post(
            f"{ISSUER}/introspect", data={"token": "x"}, headers=fields
        )
        assert response.status_code == 400
        assert response.get_json()["error"] == "invalid_request"


def test_an_error_is_json_as_ever(signed_sim: Any) -> None:
    response = ask_about(signed_sim, "unknown", SIGNED, "wrong")
    assert response.status_code == 401
    assert response.get_json()["error"] == "invalid_client"


def test_signing_needs_a_name_and_a_key(signed_sim: Any) -> None:
    signed_sim.app.testing = True
    signed = endpoint(signed_sim)
    signed.signing_alg = "PS256"
    with pytest.raises(RuntimeError, match="No private key"):
        ask_about(signed_sim, "unknown", SIGNED)
    signed.issuer = None
    with pytest.raises(RuntimeError, match="issuer"):
        ask_about(signed_sim, "unknown", SIGNED)
    with pytest.raises(NotImplementedError):
        SignedIntrospection().get_signing_keys()
