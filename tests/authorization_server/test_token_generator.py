"""JWT access tokens: what is in them, and generators that cannot bind."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerTokenGenerator as Rfc7523Generator
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    ConfirmationClaim,
    SymmetricKeys,
)
from dpop_ext.authorization_server.issuance import (
    Issuance,
    current_issuance,
    dpop_columns,
    making,
)
from dpop_ext.authorization_server.signing_key import sign
from dpop_ext.authorization_server.token_request import TokenRequest
from dpop_ext.core.confirmation import parse_confirmation
from tests.authorization_server.simulator import AUDIENCE, GRANTS, ISSUER
from tests.authorization_server.symmetric_parts import Secrets, ask, unwrap

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}


def decode(response: Any, key: Any, algorithm: str = "ES256") -> Any:
    text = response.get_json()["access_token"]
    return jwt.decode(text, key, algorithms=[algorithm])


def generator_with(sim: Any, **options: Any) -> None:
    options = {"expires_generator": 300, "clock": sim.clock} | options
    generator = AccessTokenGenerator(ISSUER, **options)
    sim.server.register_token_generator("default", generator)


def test_a_token_says_what_rfc_9068_asks_for(make_sim: Any, prove: Any) -> None:
    sim = make_sim(form="jwt")
    form = sim.grant("password") | {"scope": "accounts"}
    token = decode(sim.token(form, prove()), sim.signing_key)
    assert token.header == {"typ": "at+jwt", "alg": "ES256", "kid": "k1"}
    jti = token.claims.pop("jti")
    assert len(jti) >= 16
    assert token.claims == {
        "iss": ISSUER,
        "sub": "alice",
        "client_id": "confidential",
        "aud": AUDIENCE,
        "iat": sim.clock.now,
        "exp": sim.clock.now + 300,
        "scope": "accounts",
        "cnf": {"jkt": prove.jkt},
    }


def test_without_a_user_the_subject_is_the_client(make_sim: Any) -> None:
    sim = make_sim(form="jwt")
    token = decode(sim.token(CLIENT_CREDENTIALS), sim.signing_key)
    assert token.claims["sub"] == "confidential"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ECKey.generate_key("P-256")),
        ("ES384", ECKey.generate_key("P-384")),
        ("ES512", ECKey.generate_key("P-521")),
        ("PS256", RSAKey.generate_key(2048)),
        ("RS256", RSAKey.generate_key(2048)),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
    ],
)
def test_every_asymmetric_algorithm_signs(
    sim: Any, prove: Any, algorithm: str, key: Any
) -> None:
    """Trap: Authlib signs with what joserfc recommends only: no PS256, no Ed25519."""
    generator_with(sim, keys=lambda: key, alg=algorithm)
    token = decode(sim.token(CLIENT_CREDENTIALS, prove()), key, algorithm)
    assert token.header == {"typ": "at+jwt", "alg": algorithm}
    assert token.claims["cnf"] == {"jkt": prove.jkt}


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256K", "Ed448", ""])
def test_other_algorithms_are_refused_when_the_server_starts(algorithm: str) -> None:
    with pytest.raises(ValueError, match="alg"):
        AccessTokenGenerator(ISSUER, alg=algorithm)


def test_the_newest_key_that_fits_signs(sim: Any, prove: Any) -> None:
    old, new, unfit, public, encrypting, other_algorithm = (
        ECKey.generate_key("P-256", {"kid": "old"}),
        ECKey.generate_key("P-256", {"kid": "new"}),
        OKPKey.generate_key("Ed25519", {"kid": "unfit"}),
        ECKey.import_key(ECKey.generate_key("P-256").as_dict(private=False)),
        ECKey.generate_key("P-256", {"use": "enc"}),
        ECKey.generate_key("P-256", {"alg": "ES384"}),
    )
    keys = KeySet([old, new, unfit, public, encrypting, other_algorithm])
    generator_with(sim, keys=lambda: keys)
    assert decode(sim.token(CLIENT_CREDENTIALS, prove()), new).header["kid"] == "new"


def test_a_key_that_does_not_fit_is_a_fault_of_the_server(
    sim: Any, ed_key: Any
) -> None:
    sim.app.testing = True
    generator_with(sim, keys=lambda: ed_key)
    with pytest.raises(RuntimeError, match="No private key is for ES256"):
        sim.token(CLIENT_CREDENTIALS)
    generator_with(sim)
    with pytest.raises(RuntimeError, match="Pass keys"):
        sim.token(CLIENT_CREDENTIALS)


def test_the_client_is_never_the_audience(sim: Any, ec_key: Any) -> None:
    """Trap: Authlib's get_audiences returns the id of the client."""
    sim.app.testing = True
    del sim.clients["confidential"].client_metadata["audiences"]
    generator_with(sim, keys=lambda: ec_key)
    with pytest.raises(RuntimeError, match="No audience"):
        sim.token(CLIENT_CREDENTIALS)
    generator_with(sim, keys=lambda: ec_key, audience=AUDIENCE)
    assert decode(sim.token(CLIENT_CREDENTIALS), ec_key).claims["aud"] == AUDIENCE


@pytest.mark.parametrize("lifetime", [0, -1, True, 1.5])
def test_a_token_without_an_end_is_not_made(
    sim: Any, ec_key: Any, lifetime: Any
) -> None:
    sim.app.testing = True
    generator_with(sim, keys=lambda: ec_key, expires_generator=lambda *_: lifetime)
    with pytest.raises(RuntimeError, match="lifetime"):
        sim.token(CLIENT_CREDENTIALS)


def test_claims_of_the_application_do_not_replace_the_binding(
    sim: Any, prove: Any, ec_key: Any
) -> None:
    class Extra(AccessTokenGenerator):
        def get_extra_claims(self, *args: Any) -> dict[str, Any]:
            return {"cnf": {"jkt": "x"}, "aud": "y", "groups": ["a"]}

        def get_acr(self, user: Any) -> str:
            return "0"

    generator = Extra(ISSUER, lambda: ec_key, expires_generator=300, clock=sim.clock)
    sim.server.register_token_generator("default", generator)
    claims = decode(sim.token(CLIENT_CREDENTIALS, prove()), ec_key).claims
    assert claims["cnf"] == {"jkt": prove.jkt}
    assert (claims["aud"], claims["groups"], claims["acr"]) == (AUDIENCE, ["a"], "0")


@pytest.mark.requirement("R2135")
@pytest.mark.parametrize("base", [AccessTokenGenerator, "mixed"])
def test_a_client_can_be_kept_from_tickets(
    make_sim: Any, prove: Any, rsa_key: Any, clock: Any, base: Any
) -> None:
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    kept: list[str] = []

    class Strict(Mixed if base == "mixed" else AccessTokenGenerator):  # type: ignore[misc]
        def allows_tickets(self, client: Any) -> bool:
            return client.get_client_id() not in kept

        def get_jwks(self) -> Any:
            return rsa_key

    options = {"issuer": ISSUER, "alg": "RS256", "expires_generator": 300}
    generator = Strict(**options)
    generator.clock = clock
    sim.server.register_token_generator("default", generator)

    def issue() -> Any:
        response = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
        unwrap(response, prove.key, clock)
        cnf = decode(response, rsa_key, "RS256").claims["cnf"]
        assert "dsk" in cnf
        return parse_confirmation(cnf), cnf

    confirmation, cnf = issue()
    assert "sym" not in cnf
    assert confirmation.allows_tickets
    kept.append("confidential")
    confirmation, cnf = issue()
    assert cnf["sym"] is False
    assert not confirmation.allows_tickets


def test_it_is_a_generator_of_authlib(clock: Any, sim: Any, ec_key: Any) -> None:
    """Also outside a token request, and with the lifetime as an argument."""
    generator = AccessTokenGenerator(
        ISSUER,
        lambda: ec_key,
        audience=AUDIENCE,
        refresh_token_generator=lambda **_: "refresh",
        expires_generator=300,
        clock=clock,
    )
    client = sim.clients["confidential"]
    token = generator("password", client, None, "a", 60)
    assert (token["expires_in"], token["refresh_token"]) == (60, "refresh")
    claims = jwt.decode(token["access_token"], ec_key).claims
    assert claims["exp"] - claims["iat"] == 60
    assert "cnf" not in claims
    text = generator.access_token_generator(client, "password", None, "a")
    assert jwt.decode(text, ec_key).claims["exp"] == clock.now + 300
    assert "refresh_token" not in generator.generate(
        "password", client, include_refresh_token=False
    )


# --- the mixin for a generator of the application


class Mixed(ConfirmationClaim, JWTBearerTokenGenerator):
    key: Any = None

    def get_jwks(self) -> Any:
        return self.key


@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.requirement("B-3", "T-5")
def test_the_mixin_binds_the_tokens_of_any_generator(
    sim: Any, prove: Any, rsa_key: Any, grant: str
) -> None:
    generator = Mixed(issuer=ISSUER, expires_generator=300)
    generator.key = rsa_key
    generator.clock = sim.clock
    sim.server.register_token_generator("default", generator)
    response = sim.token(sim.grant(grant), prove())
    assert response.get_json()["token_type"] == "DPoP"
    claims = decode(response, rsa_key, "RS256").claims
    assert claims["cnf"] == {"jkt": prove.jkt}
    assert claims["aud"] == AUDIENCE
    unbound = decode(sim.token(sim.grant(grant)), rsa_key, "RS256").claims
    assert "cnf" not in unbound


def test_the_mixin_leaves_other_tokens_alone(sim: Any, rsa_key: Any) -> None:
    """Outside of a token request, and where no audience is registered."""
    generator = Mixed(issuer=ISSUER, expires_generator=300)
    generator.key = rsa_key
    sim.server.register_token_generator("default", generator)
    client = sim.clients["confidential"]
    text = generator("password", client)["access_token"]
    outside = jwt.decode(text, rsa_key, algorithms=["RS256"]).claims
    del client.client_metadata["audiences"]
    inside = decode(sim.token(CLIENT_CREDENTIALS), rsa_key, "RS256").claims
    for claims in (outside, inside):
        assert claims["aud"] == "confidential"
        assert "cnf" not in claims


def test_the_mixin_and_symmetric_keys(
    make_sim: Any, prove: Any, rsa_key: Any, clock: Any
) -> None:
    """Trap: the times of the generator and of the key come of one reading here too."""
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    generator = Mixed(issuer=ISSUER, expires_generator=300)
    generator.key, generator.clock = rsa_key, clock
    sim.server.register_token_generator("default", generator)
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    key = unwrap(response, prove.key, clock)
    claims = decode(response, rsa_key, "RS256").claims
    assert claims["exp"] == clock.now + 300 == key.expires_at
    assert claims["cnf"]["dsk"]["exp"] == key.expires_at
    assert claims["iat"] == clock.now


def test_a_jwt_of_another_issuer_gets_no_symmetric_key(
    make_sim: Any, prove: Any, clock: Any, ec_key: Any
) -> None:
    """No resource server could ever derive that key."""
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    sim.app.testing = True
    generator = AccessTokenGenerator(
        "https://as.example/", lambda: ec_key, expires_generator=300, clock=clock
    )
    sim.server.register_token_generator("default", generator)
    with pytest.raises(RuntimeError, match="iss must be that of SymmetricKeys"):
        sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    assert sim.tokens == []


# --- generators that cannot bind


def stock_generators(key: Any) -> list[Any]:
    class Stock(JWTBearerTokenGenerator):
        def get_jwks(self) -> Any:
            return key

    class Forgetful(Mixed):
        def get_extra_claims(self, *args: Any) -> dict[str, Any]:
            return {}

    forgetful = Forgetful(issuer=ISSUER, expires_generator=300)
    forgetful.key = key

    def own(**_: Any) -> str:
        header = {"alg": "RS256", "typ": "at+jwt"}
        return jws.serialize_compact(header, b'{"iss":"x","cnf":{}}', key)

    return [
        Stock(issuer=ISSUER, expires_generator=300),
        Rfc7523Generator(key, issuer=ISSUER),
        forgetful,
        BearerTokenGenerator(own, None, 300),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.requirement("T-6")
def test_a_jwt_without_cnf_is_refused_at_the_first_issuance(
    sim: Any, prove: Any, rsa_key: Any, number: int
) -> None:
    """A JWT that says nothing of the key is a Bearer token, whatever its type says."""
    generator = stock_generators(rsa_key)[number]
    sim.server.register_token_generator("default", generator)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="ConfirmationClaim"):
        sim.token(CLIENT_CREDENTIALS, prove())
    assert sim.tokens == []
    assert sim.token(CLIENT_CREDENTIALS).get_json()["token_type"] == "Bearer"


@pytest.mark.parametrize(
    "text", ["a.b.c", "e30.e30.x", "bnVsbA.bnVsbA.x", "A.A.A", "a.b", "..."]
)
def test_a_text_that_only_looks_like_a_jwt_is_opaque(
    sim: Any, prove: Any, text: str
) -> None:
    generator = BearerTokenGenerator(lambda **_: text, None, 300)
    sim.server.register_token_generator("default", generator)
    response = sim.token(CLIENT_CREDENTIALS, prove())
    assert response.get_json()["access_token"] == text
    assert sim.tokens[-1].dpop_jkt == prove.jkt


def test_a_grant_that_goes_around_generate_token_issues_nothing(
    sim: Any, prove: Any
) -> None:
    """Better a fault of the server than a Bearer token in answer to a proof."""
    grant_cls, extensions = sim.server._token_grants[2]

    class Around(grant_cls):  # type: ignore[valid-type, misc]
        def create_token_response(self) -> Any:
            return 200, {"access_token": "a", "token_type": "Bearer"}, []

    sim.server._token_grants[2] = (Around, extensions)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="generate_token"):
        sim.token(CLIENT_CREDENTIALS, prove())
    assert sim.token(CLIENT_CREDENTIALS).status_code == 200


# --- the bridge to the generator


def test_an_error_of_the_generator_leaves_nothing_behind() -> None:
    """Trap: hooks for "after" do not run on errors, only those for "before" do.

    A value set in one would reach the next request of the thread.
    """
    issuance = Issuance(jkt="j", audience=None, refresh_jkt=None, plan=None)
    seen: list[Any] = []

    def fail() -> None:
        seen.append(current_issuance())
        raise ZeroDivisionError

    grant: Any = SimpleNamespace(
        generate_token=fail, validate_token_request=None, create_token_response=None
    )
    extension: Any = None  # it is not asked for anything
    TokenRequest(extension, grant)._issuance = issuance
    with pytest.raises(ZeroDivisionError):
        grant.generate_token()
    assert seen == [issuance]
    assert current_issuance() is None


def test_threads_do_not_see_each_others_keys() -> None:
    seen: list[Any] = []
    issuance = Issuance(jkt="j", audience=None, refresh_jkt=None, plan=None)
    reset = making.set(issuance)
    thread = threading.Thread(target=lambda: seen.append(current_issuance()))
    thread.start()
    thread.join()
    making.reset(reset)
    assert seen == [None]


def test_columns_are_empty_without_a_token_request() -> None:
    nothing = {"dpop_jkt": None, "refresh_dpop_jkt": None, "dpop_dsk": None}
    assert dpop_columns(object()) == nothing


@pytest.mark.parametrize("wrong", [[], ["key"], "key", None])
def test_signing_keys_are_a_key_or_a_key_set(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a Key, or a KeySet of several"):
        sign({}, wrong, algorithm="ES256", typ="at+jwt")


def test_the_algorithm_that_has_no_key_is_named(ec_key: Any) -> None:
    with pytest.raises(RuntimeError, match="No private key is for ES384"):
        sign({}, ec_key, algorithm="ES384", typ="at+jwt")
