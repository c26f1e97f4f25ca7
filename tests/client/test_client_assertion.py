from __future__ import annotations

import pickle
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, RSAKey

from dpop_ext.client.client_assertion import AssertionSigner
from dpop_ext.core.client_assertion import LIFETIME
from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import verify_signature
from tests.client.driving import ISSUER
from tests.client.test_external_key import Vault
from tests.conftest import Clock


def assertion_of(signer: AssertionSigner) -> CompactJWS:
    parameters = signer.parameters()
    kind = parameters.pop("client_assertion_type")
    assert kind == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return parse_compact_jws(parameters.pop("client_assertion"), max_length=8192)


@pytest.mark.requirement("G-5")
def test_each_assertion_is_for_one_request_to_one_server(
    ec_key: ECKey, clock: Clock
) -> None:
    signer = AssertionSigner("app", ec_key, issuer=ISSUER, clock=clock)
    first, second = assertion_of(signer), assertion_of(signer)
    verify_signature(first, ec_key, algorithm="ES256")
    jti = first.payload.pop("jti")
    assert len(jti) >= 20
    assert second.payload["jti"] != jti
    assert first.payload == {
        "iss": "app",
        "sub": "app",
        # One string: a list, or the URL of an endpoint, could be used elsewhere.
        "aud": ISSUER,
        "iat": clock.now,
        "exp": clock.now + LIFETIME,
    }


def test_the_key_is_named_and_says_what_it_is_for(
    rsa_key: RSAKey, clock: Clock
) -> None:
    def header_of(**members: Any) -> dict[str, Any]:
        jwk = {**rsa_key.as_dict(private=True), **members}
        signer = AssertionSigner(
            "app", RSAKey.import_key(jwk), issuer=ISSUER, clock=clock
        )
        return dict(assertion_of(signer).header)

    assert header_of() == {"alg": "PS256"}
    assert header_of(kid="1", alg="RS256") == {"alg": "RS256", "kid": "1"}


def test_a_key_that_only_signs_makes_assertions(ec_key: ECKey, clock: Clock) -> None:
    vault = Vault(ec_key, "ES256")
    signer = AssertionSigner("app", vault, issuer=ISSUER, clock=clock)
    verify_signature(assertion_of(signer), ec_key, algorithm="ES256")
    assert vault.signed == 1
    with pytest.raises(ValueError, match="another algorithm"):
        AssertionSigner("app", vault, issuer=ISSUER, algorithm="ES384", clock=clock)


def test_a_key_that_cannot_sign_is_no_key(ec_key: ECKey, clock: Clock) -> None:
    public = ECKey.import_key(ec_key.as_dict(private=False))
    keys: tuple[tuple[Key, str | None], ...] = ((public, None), (ec_key, "PS256"))
    for key, algorithm in keys:
        with pytest.raises(ValueError, match="key"):
            AssertionSigner("app", key, issuer=ISSUER, algorithm=algorithm, clock=clock)


def test_the_private_key_is_not_pickled(ec_key: ECKey, clock: Clock) -> None:
    signer = AssertionSigner("app", ec_key, issuer=ISSUER, clock=clock)
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    assert repr(signer) == "<AssertionSigner ES256>"
