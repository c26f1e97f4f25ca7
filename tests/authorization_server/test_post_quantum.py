"""Post-quantum clients: the proof is in the form, the key is for HPKE-9-KE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from authlib.oauth2 import rfc8414
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.authorization_server import AuthorizationServerMetadata, SymmetricKeys
from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS
from tests import post_quantum
from tests.authorization_server.pushing import PAR_URL
from tests.authorization_server.simulator import (
    AUDIENCE,
    GRANTS,
    ISSUER,
    TOKEN_URL,
    Prover,
    Simulator,
)
from tests.authorization_server.symmetric_parts import Secrets, ask, unwrap

post_quantum.require()

POLICY = ProofPolicy(algorithms=("ES256", *ML_DSA))
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
SERVER = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": TOKEN_URL,
    "response_types_supported": ["code"],
}


@dataclass
class LongProver:
    """A client with a post-quantum key."""

    key: AKPKey
    clock: Any

    def __call__(self, **changes: Any) -> str:
        values: dict[str, Any] = {
            "algorithm": self.key.alg,
            "method": "POST",
            "url": TOKEN_URL,
            "now": self.clock.now,
        }
        return make_proof(self.key, **(values | changes))


@pytest.fixture(scope="module")
def long_key() -> AKPKey:
    return ml_dsa.generate("ML-DSA-65")


@pytest.fixture
def prove_long(long_key: AKPKey, clock: Any) -> LongProver:
    return LongProver(long_key, clock)


@pytest.fixture
def sim(make_sim: Any) -> Simulator:
    made: Simulator = make_sim(policy=POLICY)
    return made


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.get_json()["error"]


@pytest.mark.requirement("R2304", "T-2", "B-3")
@pytest.mark.parametrize("grant_type", GRANTS)
def test_the_form_has_the_proof_for_every_grant(
    sim: Simulator, prove_long: LongProver, grant_type: str
) -> None:
    form = sim.grant(grant_type) | {"dpop_proof": prove_long()}
    response = sim.token(form)
    assert response.status_code == 200, response.text
    assert response.get_json()["token_type"] == "DPoP"
    assert sim.tokens[-1].dpop_jkt == prove_long.key.thumbprint()


@pytest.mark.requirement("R2301", "R2304")
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_each_algorithm_is_accepted_in_form_and_field(
    sim: Simulator, clock: Any, algorithm: str
) -> None:
    prove = LongProver(ml_dsa.generate(algorithm), clock)
    form = CLIENT_CREDENTIALS | {"dpop_proof": prove()}
    for response in (sim.token(form), sim.token(CLIENT_CREDENTIALS, prove())):
        assert response.get_json()["token_type"] == "DPoP"
        assert sim.tokens[-1].dpop_jkt == prove.key.thumbprint()


def test_other_proofs_may_be_in_the_form_too(sim: Simulator, prove: Prover) -> None:
    response = sim.token(CLIENT_CREDENTIALS | {"dpop_proof": prove()})
    assert response.get_json()["token_type"] == "DPoP"
    assert sim.tokens[-1].dpop_jkt == prove.jkt


@pytest.mark.requirement("R2305", "R1004")
def test_a_proof_in_both_places_is_refused(
    sim: Simulator, prove: Prover, prove_long: LongProver
) -> None:
    for field, parameter in (
        (prove(), prove_long()),
        (prove_long(), prove()),
        ("x", prove_long()),
        (prove(), "x"),
    ):
        form = sim.grant("authorization_code") | {"dpop_proof": parameter}
        assert error_of(sim.token(form, field)) == (400, "invalid_dpop_proof")
        assert sim.is_unused(form)
    same = prove_long()
    form = CLIENT_CREDENTIALS | {"dpop_proof": same}
    assert error_of(sim.token(form, same)) == (400, "invalid_dpop_proof")
    # Neither was used up.
    assert sim.token(form).status_code == 200


@pytest.mark.requirement("R2305", "H-4")
def test_an_empty_parameter_is_not_an_absent_one(sim: Simulator, prove: Prover) -> None:
    form = CLIENT_CREDENTIALS | {"dpop_proof": ""}
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert error_of(sim.token(form, prove())) == (400, "invalid_dpop_proof")
    assert sim.tokens == []


@pytest.mark.requirement("R2305")
def test_a_repeated_parameter_is_refused(
    sim: Simulator, prove_long: LongProver
) -> None:
    form = sim.grant("authorization_code")
    response = sim.token(form | {"dpop_proof": [prove_long(), prove_long()]})
    assert error_of(response) == (400, "invalid_request")
    assert sim.is_unused(form)
    response = sim.token(form | {"dpop_proof": ["", prove_long()]})
    assert error_of(response) == (400, "invalid_request")


@pytest.mark.requirement("R2304", "H-5")
def test_the_query_and_a_cookie_are_no_form(sim: Simulator, prove: Prover) -> None:
    sim.http.set_cookie("dpop_proof", prove())
    url = f"{TOKEN_URL}?dpop_proof={prove()}"
    response = sim.token(CLIENT_CREDENTIALS, url=url)
    assert response.get_json()["token_type"] == "Bearer"


@pytest.mark.requirement("R2304", "H-5")
def test_a_server_without_post_quantum_algorithms_does_not_know_the_parameter(
    make_sim: Any, prove: Prover
) -> None:
    sim = make_sim()
    for value in (prove(), "", "x"):
        response = sim.token(CLIENT_CREDENTIALS | {"dpop_proof": value}, prove())
        assert response.status_code == 200
        response = sim.token(CLIENT_CREDENTIALS | {"dpop_proof": value})
        assert response.get_json()["token_type"] == "Bearer"


@pytest.mark.requirement("R2304", "R2305")
def test_a_pushed_request_has_no_proof_in_its_form(
    make_pushing: Any, prove: Prover
) -> None:
    pushing = make_pushing(policy=POLICY)
    proof = prove(url=PAR_URL)
    assert error_of(pushing.push(dpop_proof=proof)) == (400, "invalid_dpop_proof")
    assert pushing.push(proof).status_code == 201


@pytest.mark.requirement("R2304", "C-8", "C-9", "C-11")
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET"},
        {"url": f"{ISSUER}/par"},
        {"now": 1_790_000_000 - 66},
        {"now": 1_790_000_000 + 31},
    ],
    ids=str,
)
def test_the_checks_are_those_of_the_field(
    sim: Simulator, prove_long: LongProver, changes: dict[str, Any]
) -> None:
    form = sim.grant("authorization_code") | {"dpop_proof": prove_long(**changes)}
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)
    assert sim.token(form | {"dpop_proof": prove_long()}).status_code == 200


@pytest.mark.requirement("R2304", "X-15")
def test_a_proof_is_used_once_wherever_it_stands(
    sim: Simulator, prove_long: LongProver
) -> None:
    proof = prove_long()
    form = CLIENT_CREDENTIALS | {"dpop_proof": proof}
    assert sim.token(form).status_code == 200
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert error_of(sim.token(CLIENT_CREDENTIALS, proof)) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("R2304", "Q-18")
def test_a_nonce_comes_before_anything_is_spent(
    make_sim: Any, prove_long: LongProver, nonces: NonceIssuer
) -> None:
    sim = make_sim(policy=POLICY, nonces=nonces)
    form = sim.grant("authorization_code")
    refused = sim.token(form | {"dpop_proof": prove_long()})
    assert error_of(refused) == (400, "use_dpop_nonce")
    assert sim.is_unused(form)
    nonce = refused.headers["DPoP-Nonce"]
    accepted = sim.token(form | {"dpop_proof": prove_long(nonce=nonce)})
    assert accepted.get_json()["token_type"] == "DPoP"


@pytest.mark.requirement("R2303", "R2304")
@pytest.mark.parametrize(
    "text", ["x", "a.b.c", "..", "a" * 13_000, "\0", "\ud7ff", "a," * 3000]
)
def test_what_is_no_proof_is_refused(sim: Simulator, text: str) -> None:
    form = sim.grant("authorization_code") | {"dpop_proof": text}
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)


@pytest.mark.requirement("R2303")
def test_a_proof_beyond_the_limit_is_refused(
    sim: Simulator, prove_long: LongProver
) -> None:
    def send(size: int) -> tuple[int, str]:
        proof = prove_long(claims={"x": "a" * size})
        assert (len(proof) > POLICY.max_ml_dsa_length) == (size > 2500)
        response = sim.token(CLIENT_CREDENTIALS | {"dpop_proof": proof})
        return response.status_code, response.get_json().get("error", "")

    assert send(2500) == (200, "")
    assert send(4000) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("R1003")
def test_a_post_quantum_key_gets_no_symmetric_key_for_itself(
    make_sim: Any, prove_long: LongProver, clock: Any
) -> None:
    keys = SymmetricKeys(Secrets(clock), issuer=ISSUER)
    sim = make_sim(policy=POLICY, symmetric=keys)
    form = CLIENT_CREDENTIALS | {"dpop_proof": prove_long(**ask())}
    response = sim.token(form)
    assert response.get_json()["token_type"] == "DPoP"
    assert "cnf" not in response.get_json()
    form = CLIENT_CREDENTIALS | {"dpop_proof": prove_long(**ask(must=True))}
    assert error_of(sim.token(form)) == (400, "dpop_sym_unavailable")


@pytest.mark.requirement("R2306", "M-1")
def test_the_metadata_names_algorithms_and_parameter(
    make_sim: Any, sim: Simulator
) -> None:
    metadata = sim.dpop.get_metadata()
    assert metadata["dpop_proof_parameter_supported"] is True
    assert set(ML_DSA) < set(metadata["dpop_signing_alg_values_supported"])
    document = rfc8414.AuthorizationServerMetadata(SERVER | metadata)
    document.validate(metadata_classes=[AuthorizationServerMetadata])
    assert "dpop_proof_parameter_supported" not in make_sim().dpop.get_metadata()
    wrong = rfc8414.AuthorizationServerMetadata(
        SERVER | {"dpop_proof_parameter_supported": "true"}
    )
    with pytest.raises(ValueError, match="boolean"):
        wrong.validate(metadata_classes=[AuthorizationServerMetadata])


def delivering(make_sim: Any, clock: Any, *more: str) -> Simulator:
    keys = SymmetricKeys(
        Secrets(clock), issuer=ISSUER, key_algorithms=(*KEY_ALGORITHMS, *more)
    )
    sim: Simulator = make_sim(policy=POLICY, symmetric=keys)
    return sim


@pytest.mark.requirement("R2308", "R2309", "R1704")
def test_a_symmetric_key_is_delivered_to_a_post_quantum_key(
    make_sim: Any, prove_long: LongProver, clock: Any
) -> None:
    sim = delivering(make_sim, clock, "HPKE-9-KE")
    key = hpke.generate()
    asked = ask(key, key_algorithms=("HPKE-9-KE",), must=True)
    form = CLIENT_CREDENTIALS | {"dpop_proof": prove_long(**asked)}
    delivered = unwrap(sim.token(form), key, clock, key_algorithms=("HPKE-9-KE",))
    assert delivered.audience == AUDIENCE
    metadata = sim.dpop.get_metadata()
    names = metadata["dpop_symmetric_key_encryption_alg_values_supported"]
    assert names == [*KEY_ALGORITHMS, "HPKE-9-KE"]
    document = rfc8414.AuthorizationServerMetadata(SERVER | metadata)
    document.validate(metadata_classes=[AuthorizationServerMetadata])


@pytest.mark.parametrize(("kind", "curve"), [(OKPKey, "X25519"), (ECKey, "P-256")])
@pytest.mark.parametrize("more", [{}, {"n": bytes(range(32))}])
def test_it_delivers_to_every_other_key_as_before(
    make_sim: Any, prove: Prover, clock: Any, kind: Any, curve: str, more: Any
) -> None:
    """Whether the request has the usual form or not."""
    sim = delivering(make_sim, clock, "HPKE-9-KE")
    key = kind.generate_key(curve)
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(key, must=True, **more)))
    assert unwrap(response, key, clock, **more).audience == AUDIENCE


@pytest.mark.requirement("R2308")
def test_a_server_that_is_not_told_to_delivers_to_no_such_key(
    make_sim: Any, prove: Prover, clock: Any
) -> None:
    sim = delivering(make_sim, clock)
    asked = ask(hpke.generate(), key_algorithms=("HPKE-9-KE", "ECDH-ES"))
    form = sim.grant("authorization_code")
    response = sim.token(form, prove(**asked))
    assert error_of(response) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)


@pytest.mark.requirement("R2308")
def test_a_client_that_does_not_offer_the_algorithm_gets_no_key(
    make_sim: Any, prove: Prover, clock: Any
) -> None:
    sim = delivering(make_sim, clock, "HPKE-9-KE")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(hpke.generate())))
    assert response.status_code == 200
    assert "cnf" not in response.get_json()


@pytest.mark.requirement("R2308")
@pytest.mark.parametrize("name", ["RSA1_5", "dir", "HPKE-9", "PBES2-HS256+A128KW"])
def test_no_other_algorithm_can_be_configured(clock: Any, name: str) -> None:
    with pytest.raises(ValueError, match="key_algorithms"):
        SymmetricKeys(Secrets(clock), issuer=ISSUER, key_algorithms=(name,))


def test_a_server_may_use_fewer_algorithms(
    make_sim: Any, prove: Prover, clock: Any
) -> None:
    keys = SymmetricKeys(
        Secrets(clock), issuer=ISSUER, key_algorithms=("ECDH-ES+A256KW",)
    )
    sim = make_sim(symmetric=keys)
    key = OKPKey.generate_key("X25519")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(key)))
    assert "cnf" not in response.get_json()
    asked = ask(key, key_algorithms=("ECDH-ES", "ECDH-ES+A256KW"))
    response = sim.token(CLIENT_CREDENTIALS, prove(**asked))
    assert unwrap(response, key, clock).version == 7


@pytest.mark.requirement("R2308")
def test_a_registered_post_quantum_key_is_used(
    make_sim: Any, prove: Prover, clock: Any
) -> None:
    sim = delivering(make_sim, clock, "HPKE-9-KE")
    key = hpke.generate()
    sim.clients["confidential"].client_metadata["jwks"] = {
        "keys": [{**key.as_dict(), "use": "enc"}]
    }
    asked = ask(None, key_algorithms=("HPKE-9-KE",))
    response = sim.token(CLIENT_CREDENTIALS, prove(**asked))
    delivered = unwrap(response, key, clock, key_algorithms=("HPKE-9-KE",))
    assert len(delivered.key) == 32
