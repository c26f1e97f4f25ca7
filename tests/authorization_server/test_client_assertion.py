"""private_key_jwt: whose assertions are good, for what, how long, and how often."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.authorization_server import ClientAssertion
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import MemoryReplayStore
from tests.authorization_server.pushing import Pushing, SigningClient, par_proof
from tests.authorization_server.simulator import (
    ISSUER,
    METHODS,
    TOKEN_URL,
    Prover,
    basic,
)
from tests.garbage import errors_left_by

NOW = 1_790_000_000


class Signing:
    """A server with a client that signs its assertions."""

    def __init__(
        self,
        clock: Any,
        *keys: Key,
        metadata: Any = (),
        assertion_store: Any = None,
        assertion: Any = (),
        **options: Any,
    ) -> None:
        self.clock = clock
        store = MemoryReplayStore()
        self.pushing = Pushing(clock, replay_store=store, **options)
        self.sim = self.pushing.sim
        for name in "signer", "other-signer":
            client = SigningClient(name, *keys, **dict(metadata))
            self.sim.clients[name] = client
        self.client = self.sim.clients["signer"]
        # An empty store is false.
        used = store if assertion_store is None else assertion_store
        self.method = ClientAssertion(ISSUER, used, clock=clock, **dict(assertion))
        self.sim.server.register_client_auth_method("private_key_jwt", self.method)
        for grant, _ in self.sim.server._authorization_grants:
            grant.TOKEN_ENDPOINT_AUTH_METHODS = [*METHODS, "private_key_jwt"]

    def sign(
        self, key: Key, *, header: Any = (), alg: str = "ES256", **changes: Any
    ) -> str:
        """An assertion; a change to None leaves a member out."""
        claims = {
            "iss": "signer",
            "sub": "signer",
            "aud": ISSUER,
            "iat": self.clock.now,
            "exp": self.clock.now + 60,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": alg, "kid": key.kid, **dict(header)}
        return sign_compact(_given(header), _given(claims | changes), key)

    def token(self, assertion: str, proof: str | None = None, **changes: Any) -> Any:
        form = self.sim.grant("authorization_code", "signer") | {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        fields = [("DPoP", proof)] if proof is not None else []
        return self.sim.http.post(TOKEN_URL, data=form | changes, headers=fields)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def description_of(response: Any) -> str:
    """Why nobody was authenticated."""
    assert response.status_code == 401, response.text
    assert response.get_json()["error"] == "invalid_client"
    description: str = response.get_json()["error_description"]
    return description


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "k1"})


@pytest.fixture
def make_signing(clock: Any, key: ECKey) -> Callable[..., Signing]:
    def make(*keys: Key, **options: Any) -> Signing:
        return Signing(clock, *(keys or (key,)), **options)

    return make


@pytest.fixture
def signing(make_signing: Callable[..., Signing]) -> Signing:
    return make_signing()


@pytest.mark.requirement("G-5")
def test_an_assertion_authenticates_beside_a_proof(
    signing: Signing, key: ECKey, prove: Prover
) -> None:
    answer = signing.token(signing.sign(key), prove())
    assert answer.get_json()["token_type"] == "DPoP"


@pytest.mark.requirement("G-5")
@pytest.mark.parametrize("method", [*METHODS, "private_key_jwt"])
def test_a_proof_works_beside_every_way_to_authenticate(
    signing: Signing, key: ECKey, prove: Prover, method: str
) -> None:
    names = {"none": "public", "private_key_jwt": "signer"}
    name = names.get(method, "confidential")
    form = signing.sim.grant("authorization_code", name)
    fields = [("DPoP", prove())]
    if method == "client_secret_basic":
        fields.append(("Authorization", basic(name, "secret")))
    elif method == "private_key_jwt":
        form |= {"client_assertion_type": ASSERTION_TYPE}
        form |= {"client_assertion": signing.sign(key)}
    elif method == "client_secret_post":
        form |= {"client_id": name, "client_secret": "secret"}
    else:
        form |= {"client_id": name}
    answer = signing.sim.http.post(TOKEN_URL, data=form, headers=fields)
    assert answer.get_json()["token_type"] == "DPoP"
    assert signing.sim.tokens[-1].client_id == name
    assert signing.sim.tokens[-1].dpop_jkt == prove.jkt


@pytest.mark.requirement("X-26")
def test_one_key_may_sign_assertions_and_proofs(
    signing: Signing, key: ECKey, clock: Any
) -> None:
    prove = Prover(key, clock)
    answer = signing.token(signing.sign(key), prove())
    assert answer.get_json()["token_type"] == "DPoP"
    form = signing.sim.grant("authorization_code", "signer") | {"client_id": "signer"}
    proof_alone = signing.sim.http.post(
        TOKEN_URL, data=form, headers=[("DPoP", prove())]
    )
    assert proof_alone.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("G-5")
def test_an_assertion_and_a_proof_may_have_one_jti(
    signing: Signing, key: ECKey, prove: Prover
) -> None:
    assertion = signing.sign(key, jti="j1")
    assert signing.token(assertion, prove(jti="j1")).status_code == 200


@pytest.mark.requirement("J-7")
def test_an_assertion_authenticates_at_the_par_endpoint(
    signing: Signing, key: ECKey
) -> None:
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signing.sign(key),
    }
    for client_id in "signer", None:
        form["client_assertion"] = signing.sign(key)
        answer = signing.pushing.push(authenticate=False, client_id=client_id, **form)
        assert answer.status_code == 201, answer.text
    answer = signing.pushing.push(authenticate=False, client_id="signer", **form)
    assert "used before" in description_of(answer)
    form["client_assertion"] = signing.sign(key)
    answer = signing.pushing.push(authenticate=False, client_id="other-signer", **form)
    assert "client_id" in description_of(answer)


@pytest.mark.requirement("F-12")
def test_the_algorithms_of_fapi_are_accepted(
    make_signing: Callable[..., Signing], ed_key: OKPKey, rsa_key: RSAKey, key: ECKey
) -> None:
    signing = make_signing(key, ed_key, rsa_key)
    for one, alg in (
        (key, "ES256"),
        (ed_key, "Ed25519"),
        (ed_key, "EdDSA"),
        (rsa_key, "PS256"),
    ):
        assert signing.token(signing.sign(one, alg=alg)).status_code == 200
    answer = signing.token(signing.sign(rsa_key, alg="RS256"))
    assert "algorithm" in description_of(answer)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.requirement("F-13")
def test_a_weak_key_authenticates_nobody(make_signing: Callable[..., Signing]) -> None:
    weak = RSAKey.generate_key(1024)
    signing = make_signing(weak)
    assertion = signing.sign(weak, alg="PS256")
    assert "registered key" in description_of(signing.token(assertion))


def test_another_algorithm_must_be_asked_for(
    make_signing: Callable[..., Signing], rsa_key: RSAKey
) -> None:
    signing = make_signing(rsa_key, assertion={"algorithms": ["RS256"]})
    assert signing.token(signing.sign(rsa_key, alg="RS256")).status_code == 200
    answer = signing.token(signing.sign(rsa_key, alg="PS256"))
    assert "algorithm" in description_of(answer)


def test_the_algorithm_that_the_client_registered_is_the_only_one(
    make_signing: Callable[..., Signing], key: ECKey, ed_key: OKPKey
) -> None:
    metadata = {"token_endpoint_auth_signing_alg": "ES256"}
    signing = make_signing(key, ed_key, metadata=metadata)
    assert signing.token(signing.sign(key)).status_code == 200
    answer = signing.token(signing.sign(ed_key, alg="Ed25519"))
    assert "algorithm" in description_of(answer)


@pytest.mark.parametrize("typ", [None, "JWT", "client-authentication+jwt"])
def test_an_assertion_may_say_what_it_is(
    signing: Signing, key: ECKey, typ: str | None
) -> None:
    assert signing.token(signing.sign(key, header={"typ": typ})).status_code == 200


@pytest.mark.requirement("X-21")
@pytest.mark.parametrize(
    "typ", ["dpop+jwt", "at+jwt", "application/at+jwt", "dpop-sym+jwt", "", 7, []]
)
def test_another_kind_of_jwt_is_no_assertion(
    signing: Signing, key: ECKey, typ: object
) -> None:
    answer = signing.token(signing.sign(key, header={"typ": typ}))
    assert "typ" in description_of(answer)


@pytest.mark.requirement("X-21")
def test_a_proof_by_the_key_of_the_client_is_no_assertion(
    signing: Signing, key: ECKey, clock: Any
) -> None:
    proof = Prover(key, clock).raw(
        iss="signer", sub="signer", aud=ISSUER, exp=clock.now + 60
    )
    assert description_of(signing.token(proof))
    answer = signing.token(signing.sign(key), signing.sign(key))
    assert answer.get_json()["error"] == "invalid_dpop_proof"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"aud": "https://other.example"}, "audience"),
        ({"aud": TOKEN_URL}, "audience"),
        ({"aud": [ISSUER]}, "audience"),
        ({"aud": f"{ISSUER}/"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {}}, "audience"),
        ({"iss": "other-signer"}, "subject"),
        ({"iss": None}, "subject"),
        ({"sub": "other-signer"}, "subject"),
        ({"sub": "nobody"}, "registered key"),
        ({"sub": None}, "registered key"),
        ({"sub": ["signer"]}, "registered key"),
        ({"sub": "public", "iss": "public"}, "registered key"),
        ({"sub": "confidential", "iss": "confidential"}, "registered key"),
        ({"exp": None}, "malformed"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": NOW}, "expired"),
        ({"exp": NOW + 3631}, "too long"),
        ({"exp": 10**300}, "too long"),
        ({"exp": 10**400}, "not a JWT"),
        ({"iat": "now"}, "malformed"),
        ({"nbf": "now"}, "malformed"),
        ({"jti": None}, "malformed"),
        ({"jti": ""}, "malformed"),
        ({"jti": 7}, "malformed"),
        ({"jti": "j" * 257}, "malformed"),
        ({"header": {"kid": "k2"}}, "registered key"),
        ({"header": {"kid": ["k1"]}}, "registered key"),
        ({"header": {"crit": ["exp"]}}, "not a JWT"),
    ],
)
def test_a_faulty_assertion_authenticates_nobody(
    signing: Signing, key: ECKey, changes: dict[str, Any], part: str
) -> None:
    answer = signing.token(signing.sign(key, **changes))
    assert part in description_of(answer)


def test_the_issuer_need_not_be_dated(signing: Signing, key: ECKey) -> None:
    assert signing.token(signing.sign(key, iat=None)).status_code == 200
    assert signing.token(signing.sign(key, exp=NOW + 3630)).status_code == 200


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_clocks_of_clients_may_be_a_little_fast(
    signing: Signing, key: ECKey, name: str
) -> None:
    for ahead in 0, 10, 30:
        claims: dict[str, Any] = {name: NOW + ahead}
        assertion = signing.sign(key, **claims)
        assert signing.token(assertion).status_code == 200
    for ahead in 31, 61:
        claims = {name: NOW + ahead}
        assertion = signing.sign(key, **claims)
        assert "not yet good" in description_of(signing.token(assertion))


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_only_signatures_count(signing: Signing, key: ECKey, alg: str) -> None:
    _, payload, signature = signing.sign(key).split(".")
    forged = {"none": "eyJhbGciOiJub25lIn0", "HS256": "eyJhbGciOiJIUzI1NiJ9"}[alg]
    answer = signing.token(f"{forged}.{payload}.{signature}")
    assert "algorithm" in description_of(answer)


def test_another_key_authenticates_nobody(
    signing: Signing, key: ECKey, other_ec_key: ECKey
) -> None:
    for header in {"kid": "k1"}, {"kid": None}:
        answer = signing.token(signing.sign(other_ec_key, header=header))
        assert "registered key" in description_of(answer)
    assert signing.token(signing.sign(key, header={"kid": None})).status_code == 200


def test_a_client_without_keys_authenticates_never(
    signing: Signing, key: ECKey
) -> None:
    del signing.client.client_metadata["jwks"]
    assert "registered key" in description_of(signing.token(signing.sign(key)))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "\xe9.\xe9.\xe9", "a" * 9000])
def test_garbage_is_no_assertion(signing: Signing, text: str) -> None:
    assert "not a JWT" in description_of(signing.token(text))


def test_an_assertion_is_sent_once(signing: Signing, key: ECKey) -> None:
    two = [signing.sign(key), signing.sign(key)]
    answer = signing.token("", client_assertion=two)
    assert "not a JWT" in description_of(answer)


def test_without_an_assertion_other_methods_are_tried(
    signing: Signing, key: ECKey
) -> None:
    form = signing.sim.grant("authorization_code")
    assert signing.sim.token(form).status_code == 200
    assertion = signing.sign(key)
    for kind in ("urn:other", "", ASSERTION_TYPE.upper()):
        answer = signing.token(assertion, client_assertion_type=kind)
        assert answer.get_json()["error"] == "invalid_client"
    # None of them has looked at it.
    assert signing.token(assertion).status_code == 200


def test_the_client_id_beside_an_assertion_must_be_the_same(
    signing: Signing, key: ECKey
) -> None:
    answer = signing.token(signing.sign(key), client_id="other-signer")
    assert "client_id" in description_of(answer)
    answer = signing.token(signing.sign(key), client_id=["signer", "signer"])
    assert "malformed" in description_of(answer)
    answer = signing.token(signing.sign(key), client_id="signer")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        (TOKEN_URL, 200),
        (ISSUER, 200),
        ([ISSUER], 200),
        ([ISSUER, TOKEN_URL], 200),
        ([ISSUER, "https://other.example"], 401),
        ([], 401),
    ],
)
def test_the_token_endpoint_is_an_audience_on_demand(
    make_signing: Callable[..., Signing], key: ECKey, audience: object, status: int
) -> None:
    signing = make_signing(assertion={"token_endpoint": TOKEN_URL})
    answer = signing.token(signing.sign(key, aud=audience))
    assert answer.status_code == status


# --- one use


def test_an_assertion_is_good_once(signing: Signing, key: ECKey, clock: Any) -> None:
    assertion = signing.sign(key)
    assert signing.token(assertion).status_code == 200
    clock.advance(59)
    assert "used before" in description_of(signing.token(assertion))
    clock.advance(1)
    assert "expired" in description_of(signing.token(assertion))


def test_two_clients_may_use_one_jti(signing: Signing, key: ECKey) -> None:
    assert signing.token(signing.sign(key, jti="j1")).status_code == 200
    other = signing.sign(key, jti="j1", iss="other-signer", sub="other-signer")
    form = signing.sim.grant("authorization_code", "other-signer")
    assert signing.token(other, code=form["code"]).status_code == 200


def test_parallel_uses_authenticate_once(signing: Signing, key: ECKey) -> None:
    assertion = signing.sign(key)
    forms = [signing.sim.grant("authorization_code", "signer") for _ in range(8)]
    barrier, statuses = threading.Barrier(8), []

    def use(form: dict[str, Any]) -> None:
        data = form | {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        client = signing.sim.app.test_client()
        barrier.wait()
        statuses.append(client.post(TOKEN_URL, data=data).status_code)

    threads = [threading.Thread(target=use, args=(form,)) for form in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 7


@pytest.mark.requirement("Q-18")
def test_a_nonce_challenge_does_not_use_the_assertion_up(
    make_signing: Callable[..., Signing],
    key: ECKey,
    prove: Prover,
    nonces: NonceIssuer,
) -> None:
    signing = make_signing(nonces=nonces)
    assertion = signing.sign(key)
    challenge = signing.token(assertion, prove())
    assert challenge.get_json()["error"] == "use_dpop_nonce"
    nonce = challenge.headers["DPoP-Nonce"]
    assert signing.token(assertion, prove(nonce=nonce)).status_code == 200

    form = {
        "client_id": "signer",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signing.sign(key),
    }
    push = signing.pushing.push
    challenge = push(par_proof(prove), authenticate=False, **form)
    assert challenge.get_json()["error"] == "use_dpop_nonce"
    answer = push(par_proof(prove, nonces), authenticate=False, **form)
    assert answer.status_code == 201


def test_a_refused_assertion_is_not_used_up(signing: Signing, key: ECKey) -> None:
    assertion = signing.sign(key)
    assert signing.token(assertion, client_id="other-signer").status_code == 401
    assert signing.token(assertion).status_code == 200


def test_a_client_of_another_method_uses_nothing_up(
    make_signing: Callable[..., Signing], key: ECKey
) -> None:
    """Trap: Authlib compares the method after the assertion was looked at."""
    store = MemoryReplayStore()
    signing = make_signing(assertion_store=store)
    metadata = signing.sim.clients["public"].client_metadata
    metadata["jwks"] = signing.client.client_metadata["jwks"]
    assertion = signing.sign(key, iss="public", sub="public")
    assert "registered key" in description_of(signing.token(assertion))
    assert len(store) == 0
    assert signing.token(signing.sign(key)).status_code == 200
    assert len(store) == 1


def test_a_store_that_fails_authenticates_nobody(
    make_signing: Callable[..., Signing],
    key: ECKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent:
        error: Exception = StoreError()

        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise self.error

    signing = make_signing(assertion_store=Silent())
    for Silent.error in StoreError(), OSError("dsn with a password"):
        answer = signing.token(signing.sign(key))
        assert answer.status_code == 503
        assert answer.get_json()["error"] == "temporarily_unavailable"
        assert answer.headers["Retry-After"] == "5"
        assert "password" not in answer.text
    # As of any other store: whoever watches for it must not miss this one.
    fields: Any = [vars(one)["fields"] for one in caplog.records]
    assert [(one["reason"], one["cause"]) for one in fields] == [
        ("store_unavailable", None),
        ("store_unavailable", "OSError"),
    ]
    assert {one.levelname for one in caplog.records} == {"ERROR"}
    assert "password" not in caplog.text


@pytest.mark.requirement("X-15")
def test_an_outage_is_no_work_for_the_garbage_collector(
    make_signing: Callable[..., Signing], key: ECKey
) -> None:
    class Down:
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise StoreError from OSError()

    signing = make_signing(assertion_store=Down())
    statuses = [signing.token(signing.sign(key)).status_code]
    assert not errors_left_by(
        lambda: statuses.append(signing.token(signing.sign(key)).status_code)
    )
    assert statuses == [503, 503]


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"max_lifetime": 0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ClientAssertion(ISSUER, MemoryReplayStore(), **options)


def test_no_assertion_is_in_the_log(
    signing: Signing, key: ECKey, caplog: pytest.LogCaptureFixture
) -> None:
    assertion = signing.sign(key, jti="secret-jti", aud="https://other.example")
    with caplog.at_level("DEBUG", logger="dpop_ext"):
        signing.token(assertion)
    assert "another audience" in caplog.text
    for text in assertion, "secret-jti", "other.example":
        assert text not in caplog.text
