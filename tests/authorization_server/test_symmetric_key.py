"""Symmetric keys beside the token: when, for whom, how, and that they work."""

from __future__ import annotations

import gc
import json
import logging
import pickle
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dpop_ext.authorization_server import SymmetricKeys, random_values
from dpop_ext.authorization_server.key_plan import KeyPlan
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import AccessToken, parse_confirmation
from dpop_ext.errors import BadSignatureError, KeyDeliveryError, StoreError
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS
from dpop_ext.symmetric.key_jwe import parse_header
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verifier import ProofVerifier
from tests.authorization_server.simulator import (
    AUDIENCE,
    GRANTS,
    ISSUER,
    Client,
    Prover,
    Simulator,
    dsk_column,
)
from tests.authorization_server.symmetric_parts import Secrets, ask, unwrap
from tests.authorization_server.test_every_grant import error_of

RESOURCE_URL = f"{AUDIENCE}/accounts"
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
every_form = pytest.mark.parametrize("form", ["opaque", "jwt"])


@pytest.fixture
def derivation_secrets(clock: Any) -> Secrets:
    return Secrets(clock)


@pytest.fixture
def make_symmetric(make_sim: Any, derivation_secrets: Secrets) -> Callable[..., Any]:
    def make(
        *, cls: type[SymmetricKeys] = SymmetricKeys, keys: Any = (), **options: Any
    ) -> Simulator:
        symmetric = cls(derivation_secrets, issuer=ISSUER, **dict(keys))
        sim: Simulator = make_sim(symmetric=symmetric, **options)
        return sim

    return make


@pytest.fixture(scope="module")
def wrapping_key() -> OKPKey:
    """The client's encryption key."""
    return OKPKey.generate_key("X25519")


def resource_server(sim: Any, ring: SecretRing) -> ProofVerifier:
    return ProofVerifier(
        MemoryReplayStore(),
        keyring=MemoryKeyring(ring),
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form=sim.form,
        clock=sim.clock,
    )


def verify_at_resource_server(sim: Any, response: Any, key: Any, ring: Any) -> Any:
    """Send a symmetric proof with the token of *response*."""
    text = response.get_json()["access_token"]
    claims = sim.claims(response)
    proof = make_symmetric_proof(
        key.key,
        algorithm=key.algorithm,
        method="GET",
        url=RESOURCE_URL,
        now=sim.clock.now,
        access_token=text,
    )
    verifier = resource_server(sim, ring)
    opened = verifier.open(proof, method="GET", url=RESOURCE_URL, access_token=text)
    token = AccessToken(
        issuer=claims["iss"],
        audience=(claims["aud"],),
        client_id=claims["client_id"],
        expires_at=claims["exp"],
        token_id=None,
        confirmation=parse_confirmation(claims["cnf"]),
        scope="",
        claims=claims,
    )
    return verifier.verify(opened, token=token)


# --- end to end


@pytest.mark.parametrize(
    ("grant", "way", "form"),
    list(product(GRANTS, ["extension", "grant", "both"], ["opaque", "jwt"])),
)
@pytest.mark.requirement("R1101", "R1102", "R1301", "R1302", "R1304")
def test_the_delivered_key_makes_proofs_that_the_resource_server_accepts(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    wrapping_key: Any,
    grant: str,
    way: str,
    form: str,
) -> None:
    sim = make_symmetric(way=way, form=form)
    response = sim.token(sim.grant(grant), prove(**ask(wrapping_key)))
    key = unwrap(response, wrapping_key, sim.clock)
    assert (key.algorithm, key.version) == ("HS256", 7)
    assert response.get_json()["cnf"]["jkt"] == prove.jkt
    cnf = sim.claims(response)["cnf"]
    assert set(cnf) == {"jkt", "dsk"}
    assert len(b64url_decode(cnf["dsk"]["r"])) == 32
    assert cnf["dsk"]["exp"] == key.expires_at
    ring = derivation_secrets.rings[AUDIENCE]
    verified = verify_at_resource_server(sim, response, key, ring)
    assert (verified.kind, verified.jkt) == ("symmetric", prove.jkt)


def test_the_key_is_gone_with_its_request(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    """And does not stay in memory until the garbage is collected."""
    sim = make_symmetric()
    proof = prove(**ask(wrapping_key))
    gc.collect()
    gc.disable()
    try:
        statuses = [sim.token(CLIENT_CREDENTIALS, proof).status_code for _ in range(2)]
        left = sum(type(value) is KeyPlan for value in gc.get_objects())
    finally:
        gc.enable()
    assert (statuses, left) == ([200, 400], 0)


def test_without_the_extension_switched_on_nothing_is_asked_for(
    sim: Any, prove: Any, wrapping_key: Any
) -> None:
    """symmetric=None is plain RFC 9449: the claim is one of those that are ignored."""
    for claims in (ask(wrapping_key), {"claims": {"dsk": 5}}):
        response = sim.token(CLIENT_CREDENTIALS, prove(**claims))
        assert response.status_code == 200
        assert "cnf" not in response.get_json()


@every_form
@pytest.mark.requirement("R1101")
def test_no_key_without_asking(make_symmetric: Any, prove: Any, form: str) -> None:
    sim = make_symmetric(form=form)
    response = sim.token(CLIENT_CREDENTIALS, prove())
    assert response.status_code == 200
    assert "cnf" not in response.get_json()
    assert sim.claims(response)["cnf"] == {"jkt": prove.jkt}


def test_no_key_with_a_bearer_token(make_symmetric: Any) -> None:
    sim = make_symmetric(keys={"policy": lambda *_: "force"})
    response = sim.token(CLIENT_CREDENTIALS | {"dpop_sym": "HS256"})
    assert response.get_json()["token_type"] == "Bearer"
    assert "cnf" not in response.get_json()


@every_form
@pytest.mark.requirement("R1303", "T20")
def test_the_key_is_neither_stored_nor_logged_nor_shown(
    make_symmetric: Any, prove: Any, wrapping_key: Any, caplog: Any, form: str
) -> None:
    plans: list[KeyPlan | None] = []

    class Watched(SymmetricKeys):
        def decide(self, *args: Any, **kwargs: Any) -> KeyPlan | None:
            plans.append(super().decide(*args, **kwargs))
            return plans[-1]

    caplog.set_level(logging.DEBUG)
    sim = make_symmetric(cls=Watched, form=form)
    response = sim.token(sim.grant("password"), prove(**ask(wrapping_key)))
    key = unwrap(response, wrapping_key, sim.clock).key.reveal()
    jwe = response.get_json()["cnf"]["jwe"]
    token = sim.tokens[-1]
    seen = [repr(token), repr(plans), response.get_json()["access_token"]]
    # Authlib itself logs whole tokens at this level, so not all of it can be searched.
    seen += [r.getMessage() for r in caplog.records if r.name.startswith("dpop_ext")]
    for secret in (b64url_encode(key), key.hex(), repr(key), jwe):
        assert not any(secret in text for text in seen)
        assert secret not in caplog.text
    with pytest.raises(TypeError):
        pickle.dumps(plans[0])


# --- what each token and each request gets


@every_form
@pytest.mark.requirement("R1304")
def test_every_token_has_a_new_key(
    make_symmetric: Any, prove: Any, wrapping_key: Any, form: str
) -> None:
    sim = make_symmetric(form=form)
    request = sim.grant("authorization_code")
    seen = set()
    for _ in range(3):
        response = sim.token(request, prove(**ask(wrapping_key)))
        key = unwrap(response, wrapping_key, sim.clock)
        seen |= {key.key.reveal(), sim.claims(response)["cnf"]["dsk"]["r"]}
        request = {
            "grant_type": "refresh_token",
            "refresh_token": response.get_json()["refresh_token"],
        }
    assert len(seen) == 6
    plain = sim.token(request, prove())
    assert "cnf" not in plain.get_json()


@pytest.mark.requirement("T16")
def test_duplicate_r_refused(
    make_symmetric: Any,
    prove: Any,
    wrapping_key: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = iter([bytes(range(32)), bytes(range(32)), bytes(range(1, 33))])
    monkeypatch.setattr(
        random_values, "os", SimpleNamespace(urandom=lambda _: next(values))
    )
    sim = make_symmetric()
    first, second, third = (
        sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key))) for _ in range(3)
    )
    assert unwrap(first, wrapping_key, sim.clock)
    assert second.status_code == 200
    assert "cnf" not in second.get_json()
    assert "repeats itself" in caplog.text
    assert unwrap(third, wrapping_key, sim.clock)


@every_form
def test_a_key_does_not_work_with_another_token(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    wrapping_key: Any,
    form: str,
) -> None:
    sim = make_symmetric(form=form)
    first, second = (
        sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key))) for _ in range(2)
    )
    key = unwrap(first, wrapping_key, sim.clock)
    ring = derivation_secrets.rings[AUDIENCE]
    with pytest.raises(BadSignatureError):
        verify_at_resource_server(sim, second, key, ring)


@every_form
def test_a_refresh_uses_the_version_that_is_active_now(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    wrapping_key: Any,
    form: str,
) -> None:
    sim = make_symmetric(form=form)
    derivation_secrets.rings[AUDIENCE] = SecretRing(
        [
            derivation_secrets.secret(state="verify_only"),
            derivation_secrets.secret(version=8),
            derivation_secrets.secret(version=9, state="pending"),
        ],
        issuer=ISSUER,
        audience=AUDIENCE,
    )
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key)))
    assert unwrap(response, wrapping_key, sim.clock).version == 8
    assert sim.claims(response)["cnf"]["dsk"]["v"] == 8


@pytest.mark.requirement("R2222", "R2202", "R2084")
@every_form
@pytest.mark.parametrize(
    "case",  # client, lifetime, limit of the key, life of the secret, life of the key
    [
        ("confidential", 300, 600, 86400, 300),
        ("confidential", 900, 600, 86400, 600),
        ("confidential", 900, 60, 86400, 60),
        # A public client's key lives five minutes at most.
        ("public", 900, 600, 86400, 300),
        ("public", 900, 200, 86400, 200),
        # The secret ends 120 s after the last key that is made of it.
        ("confidential", 900, 600, 320, 200),
        ("confidential", 900, 600, 121, 1),
    ],
)
def test_a_key_ends_with_its_token_its_secret_or_its_own_limit(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    wrapping_key: Any,
    form: str,
    case: Any,
) -> None:
    client, lifetime, max_age, secret_life, expected = case
    sim = make_symmetric(keys={"max_age": max_age}, lifetime=lifetime, form=form)
    now = sim.clock.now
    secret = derivation_secrets.secret(expires_at=now + secret_life)
    derivation_secrets.rings[AUDIENCE] = SecretRing(
        [secret], issuer=ISSUER, audience=AUDIENCE
    )
    request = sim.grant("password", client)
    response = sim.token(request, prove(**ask(wrapping_key)), client=client)
    key = unwrap(response, wrapping_key, sim.clock)
    assert key.expires_at == now + expected
    claims = sim.claims(response)
    assert claims["cnf"]["dsk"]["exp"] == key.expires_at <= claims["exp"]


def test_the_times_of_a_token_come_of_one_clock_reading(
    make_symmetric: Any, prove: Any, wrapping_key: Any, clock: Any
) -> None:
    """Trap: a second reading is one second off now and then, and exp < dsk.exp."""
    sim = make_symmetric(form="jwt")
    generator = sim.server._token_generators["default"]

    def ticking() -> float:
        clock.advance(1)
        return float(clock())

    generator.clock = ticking
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key)))
    claims = sim.claims(response)
    assert claims["exp"] - claims["iat"] == response.get_json()["expires_in"] == 300
    assert claims["cnf"]["dsk"]["exp"] == claims["exp"]


# --- which algorithms, which key to encrypt for


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("HS256",), "HS256"),
        (("HS512",), "HS512"),
        (("HS512", "HS256"), "HS512"),
        (("HS999", "HS256"), "HS256"),
        (("HS384",), None),
    ],
)
def test_the_first_algorithm_in_common_is_used(
    make_symmetric: Any, prove: Any, wrapping_key: Any, asked: Any, expected: Any
) -> None:
    sim = make_symmetric()
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key, *asked)))
    if expected is None:
        assert response.status_code == 200
        assert "cnf" not in response.get_json()
        return
    assert unwrap(response, wrapping_key, sim.clock).algorithm == expected


def make_key(kind: str) -> Any:
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    if kind.startswith("X"):
        return OKPKey.generate_key(kind)  # type: ignore[arg-type]
    return ECKey.generate_key(kind)


@pytest.mark.parametrize("encoding", [None, "A256GCM", "A128GCM"])
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("P-256", None),
        ("P-256", "ECDH-ES+A256KW"),
        ("P-384", "ECDH-ES"),
        ("P-521", "ECDH-ES+A256KW"),
        ("X25519", "ECDH-ES"),
        ("X448", "ECDH-ES+A256KW"),
        ("RSA", None),
        ("RSA", "RSA-OAEP-256"),
    ],
)
def test_every_type_of_encryption_key_works(
    make_symmetric: Any, prove: Any, kind: str, algorithm: Any, encoding: Any
) -> None:
    sim = make_symmetric()
    key = make_key(kind)
    claims = ask(
        key,
        key_algorithms=[algorithm] if algorithm else (),
        encodings=[encoding] if encoding else (),
        must=True,
    )
    response = sim.token(CLIENT_CREDENTIALS, prove(**claims))
    offered = {
        "key_algorithms": [algorithm] if algorithm else KEY_ALGORITHMS,
        "encodings": [encoding or "A256GCM"],
    }
    assert unwrap(response, key, sim.clock, **offered).algorithm == "HS256"


@pytest.mark.parametrize(
    "more",
    [
        {"key_algorithms": ["RSA-OAEP-256"]},
        {"key_algorithms": ["RSA1_5"]},
        {"key_algorithms": ["dir"]},
        {"encodings": ["A128CBC-HS256"]},
    ],
)
@pytest.mark.requirement("R1202")
def test_no_encryption_in_common_is_a_plain_token(
    make_symmetric: Any, prove: Any, wrapping_key: Any, more: dict[str, Any]
) -> None:
    sim = make_symmetric()
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key, **more)))
    assert response.get_json()["token_type"] == "DPoP"
    assert "cnf" not in response.get_json()
    demanded = ask(wrapping_key, must=True, **more)
    response = sim.token(CLIENT_CREDENTIALS, prove(**demanded))
    assert error_of(response) == (400, "dpop_sym_unavailable")


@pytest.mark.requirement("R2113")
def test_the_key_of_the_proof_encrypts_for_clients_that_authenticate_only(
    make_symmetric: Any, prove: Any
) -> None:
    """Offered as such, or once more as the encryption key: it is the same key."""
    sim = make_symmetric()
    for claims in (ask(), ask(prove.key)):
        response = sim.token(sim.grant("password"), prove(**claims))
        assert unwrap(response, prove.key, sim.clock).algorithm == "HS256"
        form = sim.grant("password", "public")
        response = sim.token(form, prove(**claims), client="public")
        assert response.status_code == 200
        assert "cnf" not in response.get_json()


def test_a_subclass_decides_about_the_key_of_the_proof(
    make_symmetric: Any, prove: Any
) -> None:
    class Never(SymmetricKeys):
        def is_same_key_allowed(self, client: Any, *, public: bool) -> bool:
            return False

    sim = make_symmetric(cls=Never)
    demanded = sim.token(CLIENT_CREDENTIALS, prove(**ask(must=True)))
    assert error_of(demanded) == (400, "dpop_sym_unavailable")


@pytest.mark.requirement("R1003")
def test_a_key_that_can_only_sign_needs_another_one_to_encrypt_for(
    make_symmetric: Any, ed_key: Any, wrapping_key: Any, clock: Any
) -> None:
    sim = make_symmetric()
    prove = Prover(ed_key, clock, "Ed25519")
    plain = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    assert plain.status_code == 200
    assert "cnf" not in plain.get_json()
    demanded = sim.token(CLIENT_CREDENTIALS, prove(**ask(must=True)))
    assert error_of(demanded) == (400, "dpop_sym_unavailable")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key)))
    assert unwrap(response, wrapping_key, sim.clock)


def test_a_registered_encryption_key_is_used_when_the_request_has_none(
    make_symmetric: Any, prove: Any, wrapping_key: Any, other_ec_key: Any
) -> None:
    sim = make_symmetric()
    signing = other_ec_key.as_dict(private=False, use="sig")
    broken = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "use": "enc"}
    good = wrapping_key.as_dict(private=False, use="enc")
    metadata = sim.clients["public"].client_metadata
    metadata["jwks"] = {"keys": [signing, broken, good]}
    form = sim.grant("password", "public")
    response = sim.token(form, prove(**ask()), client="public")
    assert unwrap(response, wrapping_key, sim.clock)
    ephemeral = OKPKey.generate_key("X25519")
    form = sim.grant("password", "public")
    response = sim.token(form, prove(**ask(ephemeral)), client="public")
    assert unwrap(response, ephemeral, sim.clock)


# --- the form parameter


def test_the_form_parameter_asks_like_the_claim(
    make_symmetric: Any, prove: Any
) -> None:
    sim = make_symmetric()
    response = sim.token(CLIENT_CREDENTIALS | {"dpop_sym": "HS512 HS256"}, prove())
    assert unwrap(response, prove.key, sim.clock).algorithm == "HS512"


@pytest.mark.requirement("R1001")
def test_claim_and_parameter_must_agree(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    sim = make_symmetric()
    for value in ("HS512", "HS512 HS256", "HS256 HS512", "\xe9", " ", "HS256  "):
        form = CLIENT_CREDENTIALS | {"dpop_sym": value}
        response = sim.token(form, prove(**ask(wrapping_key)))
        assert error_of(response) == (400, "invalid_request")
    form = CLIENT_CREDENTIALS | {"dpop_sym": "HS256"}
    assert unwrap(sim.token(form, prove(**ask(wrapping_key))), wrapping_key, sim.clock)


def test_the_parameter_is_read_once_and_from_the_form(
    make_symmetric: Any, prove: Any
) -> None:
    """Trap: Authlib's payload is query and form in one."""
    sim = make_symmetric()
    form = CLIENT_CREDENTIALS | {"dpop_sym": ["HS256", "HS256"]}
    assert error_of(sim.token(form, prove())) == (400, "invalid_request")
    url = f"{ISSUER}/token?dpop_sym=HS256"
    response = sim.token(CLIENT_CREDENTIALS, prove(), url=url)
    assert "cnf" not in response.get_json()


# --- what is malformed


def odd_requests() -> list[Any]:
    good = OKPKey.generate_key("X25519")
    public = good.as_dict(private=False)
    low_order = b64url_encode(bytes(32))
    private = good.as_dict(private=True)
    rsa = RSAKey.generate_key(2048).as_dict(private=False)
    jwks: list[Any] = [
        private,
        public | {"use": "sig"},
        public | {"x": low_order},
        public | {"crv": "Ed25519"},
        public | {"crv": "nonsense"},
        public | {"crv": ["P-256"]},
        public | {"x": 5},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256", "x": low_order, "y": low_order},
        rsa | {"e": "Aw"},
        rsa | {"n": rsa["n"][:100]},
        public | {"x5c": ["A" * 5000]},
        {},
        [],
        "x",
        None,
        5,
    ]
    claims: list[Any] = [{"algs": ["HS256"], "jwk": jwk} for jwk in jwks]
    claims += [None, 5, "x", [], {}, {"algs": []}, {"algs": "HS256"}, {"algs": [5]}]
    claims += [
        {"algs": ["HS256"], "must": 1},
        {"algs": ["HS256"], "n": "short"},
        {"algs": ["HS256"], "k_jwe": 5},
        {"algs": ["HS256"], "encs": {}},
        {"algs": ["HS256"], "kalgs": [None]},
    ]
    return claims


@pytest.mark.parametrize("dsk", odd_requests())
@pytest.mark.requirement("R1002", "T13", "T14")
def test_a_malformed_request_for_a_key_uses_nothing_up(
    make_symmetric: Any, prove: Any, dsk: Any
) -> None:
    """Also an X25519 point of low order, which fails only when it is used."""
    sim = make_symmetric()
    request = sim.grant("authorization_code")
    refused = sim.token(request, prove(claims={"dsk": dsk}))
    assert error_of(refused) == (400, "invalid_dpop_proof")
    assert sim.is_unused(request)
    # Before the client is authenticated: nothing of its own is known or used yet.
    stranger = sim.http.post(
        f"{ISSUER}/token",
        data=request,
        headers=[("DPoP", prove(claims={"dsk": dsk}))],
    )
    assert error_of(stranger) == (400, "invalid_dpop_proof")


@every_form
@pytest.mark.requirement("R2196", "R2195")
def test_the_part_of_the_client_goes_into_the_token(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    wrapping_key: Any,
    form: str,
) -> None:
    sim = make_symmetric(form=form)
    n = bytes(range(32))
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key, n=n)))
    key = unwrap(response, wrapping_key, sim.clock, n=n)
    with pytest.raises(KeyDeliveryError):
        unwrap(response, wrapping_key, sim.clock)
    dsk = parse_header(response.get_json()["cnf"]["jwe"])["dsk"]
    assert dsk["n"] == b64url_encode(n)
    # The token has what the client saw composed.
    assert sim.claims(response)["cnf"]["dsk"]["r"] == dsk["r"] != dsk["r_as"]
    ring = derivation_secrets.rings[AUDIENCE]
    verified = verify_at_resource_server(sim, response, key, ring)
    assert verified.key_kind == "derived"


@pytest.mark.requirement("T16", "R2196")
def test_r_stays_unique_with_parts_of_the_client_when_random_numbers_repeat(
    make_symmetric: Any,
    prove: Any,
    wrapping_key: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sim = make_symmetric()
    monkeypatch.setattr(random_values, "os", SimpleNamespace(urandom=bytes))

    def ask_with(n: bytes) -> Any:
        return sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key, n=n)))

    first, second = (ask_with(bytes([i]) * 32) for i in (1, 2))
    values = [sim.claims(r)["cnf"]["dsk"]["r"] for r in (first, second)]
    assert values[0] != values[1]
    # Not when the client repeats itself, too.
    assert "cnf" not in ask_with(bytes([2]) * 32).get_json()


@pytest.mark.requirement("R2191")
def test_key_material_is_of_no_use_to_a_derived_key(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    """A key made without it would not be what the client asked for."""
    sim = make_symmetric()
    claim = ask(wrapping_key)["claims"]["dsk"] | {"k_jwe": "a.b.c.d.e"}
    plain = sim.token(CLIENT_CREDENTIALS, prove(claims={"dsk": claim}))
    assert plain.status_code == 200
    assert "cnf" not in plain.get_json()
    refused = sim.token(
        CLIENT_CREDENTIALS, prove(claims={"dsk": claim | {"must": True}})
    )
    assert error_of(refused) == (400, "dpop_sym_unavailable")
    both = claim | {"n": b64url_encode(bytes(32))}
    refused = sim.token(CLIENT_CREDENTIALS, prove(claims={"dsk": both}))
    assert error_of(refused) == (400, "invalid_request")


@pytest.mark.requirement("T7")
def test_a_changed_request_breaks_the_proof(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    header, payload, signature = prove(**ask(wrapping_key)).split(".")
    claims = json.loads(b64url_decode(payload))
    other = OKPKey.generate_key("X25519").as_dict(private=False)
    sim = make_symmetric()
    for changed in (claims | {"dsk": claims["dsk"] | {"jwk": other}}, dict(claims)):
        if changed == claims:
            del changed["dsk"]
        payload = b64url_encode(json.dumps(changed).encode())
        refused = sim.token(CLIENT_CREDENTIALS, f"{header}.{payload}.{signature}")
        assert error_of(refused) == (400, "invalid_dpop_proof")


# --- who decides


@pytest.mark.parametrize("decision", ["deny", "allow", "force"])
@pytest.mark.parametrize("choice", [None, "never", "on_request", "always", "odd"])
@pytest.mark.parametrize("asks", ["no", "yes", "must"])
def test_client_and_policy_decide_together(
    make_symmetric: Any, prove: Any, decision: str, choice: Any, asks: str
) -> None:
    sim = make_symmetric(keys={"policy": lambda *_: decision})
    metadata = sim.clients["confidential"].client_metadata
    if choice is not None:
        metadata["dpop_symmetric_key"] = choice
    claims = {} if asks == "no" else ask(must=asks == "must")
    response = sim.token(CLIENT_CREDENTIALS, prove(**claims))
    wanted = asks != "no" or choice == "always" or decision == "force"
    possible = decision != "deny" and choice not in ("never", "odd")
    if wanted and possible:
        assert unwrap(response, prove.key, sim.clock)
    elif asks == "must" or decision == "force":
        assert error_of(response) == (400, "dpop_sym_unavailable")
    else:
        assert response.get_json()["token_type"] == "DPoP"
        assert "cnf" not in response.get_json()


@pytest.mark.parametrize(
    ("lacks", "keys", "metadata", "dsk"),
    [
        ("audience", {}, {"audiences": None}, {}),
        ("policy", {"policy": lambda *_: "deny"}, {}, {}),
        ("registration", {}, {"dpop_symmetric_key": "never"}, {}),
        ("algs", {}, {}, {"algs": ["HS999"]}),
        ("jwk", {"same_key": False}, {}, {}),
        ("kalgs", {}, {}, {"kalgs": ["RSA-OAEP-256"]}),
        ("secret", {}, {"audiences": ["https://unknown"]}, {}),
    ],
)
@pytest.mark.parametrize("must", [False, True])
def test_the_log_says_what_there_would_have_to_be_for_a_key(
    make_symmetric: Any,
    prove: Any,
    caplog: pytest.LogCaptureFixture,
    lacks: str,
    keys: dict[str, Any],
    metadata: dict[str, Any],
    dsk: dict[str, Any],
    must: bool,
) -> None:
    sim = make_symmetric(keys=keys)
    sim.clients["confidential"].client_metadata.update(metadata)
    with caplog.at_level(logging.INFO, "dpop_ext"):
        claim = ask(must=must)["claims"]["dsk"] | dsk
        sim.token(CLIENT_CREDENTIALS, prove(claims={"dsk": claim}))
    record = caplog.records[0]
    assert vars(record)["event"] == "symmetric_key_not_issued"
    assert vars(record)["fields"]["reason"] == lacks
    assert f"no symmetric key: {lacks}, client 'confidential'" in caplog.text


def test_a_key_and_no_wish_for_one_are_not_in_the_log(
    make_symmetric: Any, prove: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dpop_ext"):
        sim = make_symmetric()
        assert "cnf" in sim.token(CLIENT_CREDENTIALS, prove(**ask())).get_json()
        sim = make_symmetric(keys={"policy": lambda *_: "deny"})
        assert sim.token(CLIENT_CREDENTIALS, prove()).status_code == 200
    assert "no symmetric key" not in caplog.text


def test_the_policy_sees_client_and_audience(make_symmetric: Any, prove: Any) -> None:
    seen: list[Any] = []

    def policy(client: Any, audience: str) -> str:
        seen.append((client.client_id, audience))
        return "deny"

    sim = make_symmetric(keys={"policy": policy})
    assert sim.token(CLIENT_CREDENTIALS, prove(**ask())).status_code == 200
    assert seen == [("confidential", AUDIENCE)]


def test_a_policy_that_answers_something_else_is_a_fault(
    make_symmetric: Any, prove: Any
) -> None:
    sim = make_symmetric(keys={"policy": lambda *_: True})
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="deny, allow or force"):
        sim.token(CLIENT_CREDENTIALS, prove(**ask()))


@pytest.mark.requirement("T7", "R1104")
def test_a_key_that_must_be_and_cannot_uses_nothing_up(
    make_symmetric: Any, prove: Any
) -> None:
    for options in ({"keys": {"policy": lambda *_: "deny"}}, {}):
        sim = make_symmetric(**options)
        if not options:
            sim.clients["confidential"].client_metadata["audiences"] = ["https://c"]
        for grant in GRANTS:
            request = sim.grant(grant)
            proof = prove(**ask(must=True))
            refused = sim.token(request, proof)
            assert error_of(refused) == (400, "dpop_sym_unavailable")
            if "assertion" not in request:  # which this application uses up by itself
                assert sim.is_unused(request)


def test_always_uses_the_registered_algorithms(make_symmetric: Any, prove: Any) -> None:
    sim = make_symmetric()
    metadata = sim.clients["confidential"].client_metadata
    metadata |= {"dpop_symmetric_key": "always"}
    metadata |= {"dpop_symmetric_alg_values": ["HS512"]}
    response = sim.token(CLIENT_CREDENTIALS, prove())
    assert unwrap(response, prove.key, sim.clock).algorithm == "HS512"


@pytest.mark.requirement("R2201")
def test_browser_applications_get_no_key_unless_registered_for_it(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    sim = make_symmetric()
    metadata = sim.clients["public"].client_metadata
    metadata["application_type"] = "web"
    proof = prove(**ask(wrapping_key))
    response = sim.token(sim.grant("password", "public"), proof, client="public")
    assert "cnf" not in response.get_json()
    metadata["dpop_symmetric_key"] = "on_request"
    proof = prove(**ask(wrapping_key))
    response = sim.token(sim.grant("password", "public"), proof, client="public")
    assert unwrap(response, wrapping_key, sim.clock)


# --- audiences and secrets


@pytest.mark.requirement("R1302")
@pytest.mark.parametrize(
    ("audiences", "resource"),
    [(None, None), (None, AUDIENCE), (["https://unknown"], None)],
)
def test_no_key_without_one_audience_that_takes_them(
    make_symmetric: Any, prove: Any, audiences: Any, resource: Any
) -> None:
    sim = make_symmetric()
    sim.clients["confidential"].client_metadata["audiences"] = audiences
    form = CLIENT_CREDENTIALS | ({"resource": resource} if resource else {})
    response = sim.token(form, prove(**ask()))
    assert response.status_code == 200
    assert "cnf" not in response.get_json()
    refused = sim.token(form, prove(**ask(must=True)))
    assert error_of(refused) == (400, "dpop_sym_unavailable")


@every_form
def test_the_key_is_for_the_resource_that_was_asked_for(
    make_symmetric: Any, prove: Any, form: str
) -> None:
    other = "https://b.example"
    sim = make_symmetric(form=form)
    sim.clients["confidential"].client_metadata["audiences"] = [AUDIENCE, other]
    sim.clients["rs"].client_metadata["resource_server_audiences"] = [other]
    request = CLIENT_CREDENTIALS | {"resource": other}
    response = sim.token(request, prove(**ask()))
    key = unwrap(response, prove.key, sim.clock, audience=other)
    assert key.audience == other
    assert sim.claims(response)["aud"] == other


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "pending"},
        {"state": "verify_only"},
        {"state": "retired", "secret": None},
        {"state": "revoked", "secret": None},
        {"not_before": 2_000_000_000, "expires_at": 2_100_000_000},
        # Ends so soon that a key would outlive it at a resource server.
        {"expires_at": 1_790_000_120},
    ],
)
def test_no_key_without_an_active_secret(
    make_symmetric: Any, derivation_secrets: Secrets, prove: Any, changes: Any
) -> None:
    sim = make_symmetric()
    derivation_secrets.rings[AUDIENCE] = SecretRing(
        [derivation_secrets.secret(**changes)], issuer=ISSUER, audience=AUDIENCE
    )
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    assert response.status_code == 200
    assert "cnf" not in response.get_json()
    refused = sim.token(CLIENT_CREDENTIALS, prove(**ask(must=True)))
    assert error_of(refused) == (400, "dpop_sym_unavailable")


def test_a_client_id_that_is_too_long_for_the_derivation_gets_no_key(
    make_symmetric: Any, prove: Any
) -> None:
    sim = make_symmetric()
    long = "c" * 2049
    sim.clients[long] = Client(long, "secret")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask()), client=long)
    assert response.status_code == 200
    assert "cnf" not in response.get_json()


@pytest.mark.parametrize("error", [StoreError(), OSError("secret text")])
def test_secrets_that_do_not_answer_are_a_503_and_use_nothing_up(
    make_symmetric: Any, derivation_secrets: Secrets, prove: Any, error: Exception
) -> None:
    def broken(audience: str) -> SecretRing | None:
        raise error

    sim = make_symmetric()
    derivation_secrets.load = broken  # type: ignore[method-assign]
    request = sim.grant("authorization_code")
    proof = prove(**ask())
    assert error_of(sim.token(request, proof)) == (503, "temporarily_unavailable")
    assert sim.is_unused(request)
    del derivation_secrets.load
    assert sim.token(request, proof).status_code == 200


def test_secrets_of_another_audience_are_not_used(
    make_symmetric: Any, derivation_secrets: Secrets, prove: Any
) -> None:
    rings = derivation_secrets.rings
    rings[AUDIENCE] = rings["https://b.example"]
    sim = make_symmetric()
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    assert error_of(response) == (503, "temporarily_unavailable")


# --- symmetric proofs do not get tokens


@pytest.mark.parametrize("keyring", [False, True])
@pytest.mark.requirement("X-22", "R1005", "T6")
def test_a_symmetric_proof_is_no_proof_at_the_token_endpoint(
    make_symmetric: Any,
    derivation_secrets: Secrets,
    prove: Any,
    *,
    keyring: bool,
) -> None:
    """Also when the same verifier serves a resource server, which has the secrets."""
    options: dict[str, Any] = {}
    if keyring:
        ring = MemoryKeyring(derivation_secrets.rings[AUDIENCE])
        options = {"keyring": ring, "issuer": ISSUER, "audience": AUDIENCE}
    sim = make_symmetric(form="jwt", **options)
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask()))
    key = unwrap(response, prove.key, sim.clock)
    proof = make_symmetric_proof(
        key.key,
        algorithm="HS256",
        method="POST",
        url=f"{ISSUER}/token",
        now=sim.clock.now,
        access_token=response.get_json()["access_token"],
    )
    request = sim.grant("authorization_code")
    assert error_of(sim.token(request, proof)) == (400, "invalid_dpop_proof")
    assert sim.is_unused(request)


# --- faults of the programmer


def test_the_column_has_what_introspection_needs(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    sim = make_symmetric()
    assert sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key))).status_code == 200
    column = dsk_column(sim.tokens[-1])
    assert set(column) == {"alg", "v", "r", "exp", "aud"}
    assert column["aud"] == AUDIENCE
    jwt_sim = make_symmetric(form="jwt")
    jwt_sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key)))
    assert jwt_sim.tokens[-1].dpop_dsk is None


def test_a_lifetime_is_part_of_a_token_with_a_key(
    make_symmetric: Any, prove: Any, wrapping_key: Any
) -> None:
    sim = make_symmetric(lifetime=0)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="lifetime"):
        sim.token(CLIENT_CREDENTIALS, prove(**ask(wrapping_key)))


@pytest.mark.parametrize("option", ["secrets", "private_keys"])
def test_what_is_no_source_of_keys_is_found_at_the_start(
    derivation_secrets: Secrets, option: str
) -> None:
    options: Any = {"secrets": derivation_secrets, option: ["a"]}
    with pytest.raises(TypeError, match=option):
        SymmetricKeys(options.pop("secrets"), issuer=ISSUER, **options)


def test_the_limit_of_a_key_is_positive(derivation_secrets: Secrets) -> None:
    for max_age in (0, -1):
        with pytest.raises(ValueError, match="max_age"):
            SymmetricKeys(derivation_secrets, issuer=ISSUER, max_age=max_age)
