"""Symmetric keys that are encrypted for the resource server: no secret is shared."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OKPKey

from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    SymmetricKeys,
    random_values,
    registered_recipient,
)
from dpop_ext.authorization_server.signing_key import sign
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, parse_confirmation
from dpop_ext.core.token_text import parse_token
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.derivation import mixed_key
from dpop_ext.symmetric.encapsulation import KeyDecryptor, KeyRecipient
from dpop_ext.symmetric.key_jwe import parse_header
from dpop_ext.symmetric.key_material import encrypt_key_material
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.authorization_server.simulator import (
    AUDIENCE,
    GRANTS,
    ISSUER,
    JWT_BEARER,
    PUBLIC_GRANTS,
    Client,
    Simulator,
    dsk_column,
)
from tests.authorization_server.symmetric_parts import Secrets, ask, unwrap
from tests.authorization_server.test_every_grant import error_of

URL = f"{AUDIENCE}/accounts"
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
B = "https://b.example"
every_form = pytest.mark.parametrize("form", ["opaque", "jwt"])

RS_KEY = ECKey.generate_key("P-256")
AS_KEY = ECKey.generate_key("P-256")
WRAPPING_KEY = OKPKey.generate_key("X25519")


def public(key: Key) -> Any:
    return type(key).import_key(dict(key.as_dict(private=False)))


RECIPIENT = KeyRecipient(key=public(RS_KEY), algorithm="ECDH-ES")


@pytest.fixture
def make_encapsulated(make_sim: Any) -> Callable[..., Simulator]:
    def make(
        *, keys: Any = (), secrets: Any = None, lifetime: int = 300, **options: Any
    ) -> Simulator:
        values: dict[str, Any] = {
            "issuer": ISSUER,
            "recipients": {AUDIENCE: RECIPIENT}.get,
            "private_keys": lambda: [AS_KEY],
            **dict(keys),
        }
        symmetric = SymmetricKeys(secrets, **values)
        sim: Simulator = make_sim(symmetric=symmetric, lifetime=lifetime, **options)
        return sim

    return make


def verify_at_resource_server(sim: Simulator, response: Any, key: Any) -> VerifiedProof:
    """Send a symmetric proof with the token of *response*."""
    text = response.get_json()["access_token"]
    claims = sim.claims(response)
    proof = make_symmetric_proof(
        key.key,
        algorithm=key.algorithm,
        method="GET",
        url=URL,
        now=sim.clock.now,
        access_token=text,
    )
    verifier = ProofVerifier(
        MemoryReplayStore(),
        decryptor=KeyDecryptor(lambda: [RS_KEY]),
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque" if sim.form == "opaque" else "jwt",
        clock=sim.clock,
    )
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
    opened = verifier.open(proof, method="GET", url=URL, access_token=text)
    return verifier.verify(opened, token=token)


# --- end to end


@pytest.mark.parametrize(
    ("grant", "way", "form"),
    list(product(GRANTS, ["extension", "grant"], ["opaque", "jwt"])),
)
@pytest.mark.requirement("R1101", "R1102", "R2061", "R2062", "R2261")
def test_client_and_resource_server_get_one_key_without_a_shared_secret(
    make_encapsulated: Any, prove: Any, grant: str, way: str, form: str
) -> None:
    sim = make_encapsulated(way=way, form=form)
    response = sim.token(sim.grant(grant), prove(**ask(WRAPPING_KEY)))
    key = unwrap(response, WRAPPING_KEY, sim.clock)
    assert (key.algorithm, key.version) == ("HS256", None)
    claims = sim.claims(response)
    assert set(claims["cnf"]) == {"jkt", "jwe"}
    header = parse_header(claims["cnf"]["jwe"])
    assert header["typ"] == "dpop-sym-rs+jwe"
    assert header["dsk"] == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "client_id": "confidential",
        "jkt": prove.jkt,
        "alg": "HS256",
        "exp": claims["exp"],
    }
    assert key.expires_at == claims["exp"]
    verified = verify_at_resource_server(sim, response, key)
    assert (verified.key_kind, verified.jkt) == ("encapsulated", prove.jkt)


@every_form
def test_every_token_has_a_new_key(
    make_encapsulated: Any, prove: Any, form: str
) -> None:
    sim = make_encapsulated(form=form)
    keys = []
    for _ in range(2):
        response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
        keys.append(unwrap(response, WRAPPING_KEY, sim.clock))
    assert keys[0].key != keys[1].key


@pytest.mark.requirement("R2064")
def test_the_key_is_as_long_as_its_mac(make_encapsulated: Any, prove: Any) -> None:
    sim = make_encapsulated()
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY, "HS512")))
    key = unwrap(response, WRAPPING_KEY, sim.clock)
    assert (key.algorithm, len(key.key)) == ("HS512", 64)
    assert verify_at_resource_server(sim, response, key).kind == "symmetric"


@pytest.mark.requirement("R1303")
@every_form
def test_what_is_stored_is_readable_to_the_resource_server_alone(
    make_encapsulated: Any,
    prove: Any,
    caplog: pytest.LogCaptureFixture,
    form: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    sim = make_encapsulated(form=form)
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    key = unwrap(response, WRAPPING_KEY, sim.clock).key.reveal()
    stored = repr(vars(sim.tokens[-1])) + caplog.text + str(sim.claims(response))
    assert b64url_encode(key) not in stored
    assert key.hex() not in stored
    if form == "jwt":
        assert sim.tokens[-1].dpop_dsk is None
    else:
        column = dsk_column(sim.tokens[-1])
        assert set(column) == {"jwe", "exp", "aud"}


@pytest.mark.requirement("R2233")
def test_only_the_resource_server_of_the_token_is_told_its_encrypted_key(
    make_encapsulated: Any, prove: Any
) -> None:
    sim = make_encapsulated(form="opaque")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    text = response.get_json()["access_token"]
    answer = sim.introspect(text, "rs")
    assert set(answer["cnf"]) == {"jkt", "jwe"}
    assert answer["aud"] == AUDIENCE
    assert {"iss", "client_id", "exp"} <= set(answer)
    for other in ("other-rs", "confidential"):
        answer = sim.introspect(text, other)
        assert (answer["token_type"], answer["cnf"]) == ("DPoP", {"jkt": prove.jkt})
    sim.clients["rs"].client_metadata["resource_server_audiences"] = [B]
    assert sim.introspect(text, "rs")["cnf"] == {"jkt": prove.jkt}


@pytest.mark.requirement("R2062")
def test_the_answer_about_an_opaque_token_has_the_expiry_of_its_key(
    make_encapsulated: Any, prove: Any
) -> None:
    """Trap: the row is made by a later reading of the clock than the key."""
    sim = make_encapsulated(form="opaque")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    key = unwrap(response, WRAPPING_KEY, sim.clock)
    sim.tokens[-1].issued_at += 1
    assert sim.claims(response)["exp"] == key.expires_at
    verify_at_resource_server(sim, response, key)
    # What the application shortened stays short, and the key no longer fits.
    sim.tokens[-1].issued_at -= 100
    assert sim.claims(response)["exp"] < key.expires_at


# --- times


@pytest.mark.requirement("R2062")
@pytest.mark.parametrize(
    ("client", "lifetime", "max_age", "expected"),
    [
        ("confidential", 300, 600, 300),
        ("confidential", 3600, 600, 600),
        ("confidential", 3600, 100, 100),
        ("public", 3600, 600, 300),
        ("public", 200, 600, 200),
    ],
)
@every_form
def test_a_token_lives_no_longer_than_its_encrypted_key_may(
    make_encapsulated: Any,
    prove: Any,
    form: str,
    client: str,
    lifetime: int,
    max_age: int,
    expected: int,
) -> None:
    sim = make_encapsulated(form=form, lifetime=lifetime, keys={"max_age": max_age})
    response = sim.token(
        sim.grant("password", client), prove(**ask(WRAPPING_KEY)), client=client
    )
    key = unwrap(response, WRAPPING_KEY, sim.clock)
    assert response.get_json()["expires_in"] == expected
    assert key.expires_at == sim.clock.now + expected == sim.claims(response)["exp"]
    plain = sim.token(sim.grant("password", client), prove(), client=client)
    assert plain.get_json()["expires_in"] == lifetime


# --- who gets one


def test_audiences_choose_how_they_get_their_keys(
    make_encapsulated: Any, prove: Any, clock: Any
) -> None:
    sim = make_encapsulated(secrets=Secrets(clock), form="jwt")
    sim.clients["confidential"].client_metadata["audiences"] = [AUDIENCE, B]
    members = {}
    for audience in (AUDIENCE, B):
        response = sim.token(
            CLIENT_CREDENTIALS | {"resource": audience}, prove(**ask(WRAPPING_KEY))
        )
        unwrap(response, WRAPPING_KEY, sim.clock, audience=audience)
        members[audience] = set(sim.claims(response)["cnf"])
    assert members == {AUDIENCE: {"jkt", "jwe"}, B: {"jkt", "dsk"}}


def test_no_key_for_an_audience_that_is_no_recipient(
    make_encapsulated: Any, prove: Any
) -> None:
    sim = make_encapsulated(keys={"recipients": {}.get})
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    assert "cnf" not in response.get_json()
    refused = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY, must=True)))
    assert error_of(refused) == (400, "dpop_sym_unavailable")


def test_recipients_that_cannot_be_looked_up_are_a_503_and_use_nothing_up(
    make_encapsulated: Any, prove: Any
) -> None:
    def broken(_audience: str) -> KeyRecipient | None:
        raise ConnectionError

    sim = make_encapsulated(keys={"recipients": broken})
    form = sim.grant("authorization_code")
    response = sim.token(form, prove(**ask(WRAPPING_KEY)))
    assert error_of(response) == (503, "temporarily_unavailable")
    assert sim.is_unused(form)


@pytest.mark.requirement("R2104")
def test_no_key_for_identifiers_without_room_in_the_header(
    make_encapsulated: Any, prove: Any
) -> None:
    sim = make_encapsulated()
    name = "c" * 2000
    sim.clients[name] = Client(name, "secret")
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)), client=name)
    assert response.status_code == 200
    assert "cnf" not in response.get_json()


def test_there_must_be_a_way_to_get_keys_to_resource_servers() -> None:
    with pytest.raises(ValueError, match="secrets or recipients"):
        SymmetricKeys(None, issuer=ISSUER)


@pytest.mark.requirement("T16")
def test_no_encapsulated_key_when_random_numbers_repeat(
    make_encapsulated: Any, prove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = make_encapsulated()
    monkeypatch.setattr(random_values, "os", SimpleNamespace(urandom=bytes))
    first, second = (
        sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY))) for _ in range(2)
    )
    unwrap(first, WRAPPING_KEY, sim.clock)
    assert "cnf" not in second.get_json()


def test_what_may_become_a_key_is_not_remembered_itself() -> None:
    values = random_values.RandomValues()
    secret = values.draw_secret(64)
    assert values._recent.get(secret) is None
    assert values._recent.get(hashlib.sha256(secret).digest()) is not None


# --- the token generators of applications


@pytest.mark.parametrize(
    "changes", [{"exp": 1_790_000_299}, {"client_id": "x"}, {"aud": B}]
)
def test_a_generator_whose_jwt_does_not_fit_the_key_is_a_fault(
    make_encapsulated: Any,
    prove: Any,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    sim = make_encapsulated(form="jwt")
    generate = AccessTokenGenerator.generate

    def changed(self: AccessTokenGenerator, *args: Any, **kwargs: Any) -> Any:
        token = generate(self, *args, **kwargs)
        claims = parse_token(token["access_token"]).payload | changes
        text = sign(claims, self.get_jwks(), algorithm=self.alg, typ="at+jwt")
        return {**token, "access_token": text}

    monkeypatch.setattr(AccessTokenGenerator, "generate", changed)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="does not fit"):
        sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))


# --- key material of the client


def with_material(
    prove: Any,
    *,
    value: bytes = bytes(range(32)),
    recipient: Key = AS_KEY,
    must: bool = False,
    **binding: Any,
) -> str:
    """Make a proof with key material that is bound to it."""
    values = {
        "client_id": "confidential",
        "jkt": prove.jkt,
        "jti": "jti-of-the-proof",
        **binding,
    }
    material = encrypt_key_material(
        SecretBytes(value), recipient=public(recipient), **values
    )
    proof: str = prove(
        jti="jti-of-the-proof",
        **ask(WRAPPING_KEY, key_material=material, must=must),
    )
    return proof


@pytest.mark.requirement("R2191", "R2192", "R2193")
@every_form
def test_key_material_of_the_client_goes_into_the_key(
    make_encapsulated: Any, prove: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = make_encapsulated(form=form)
    drawn = bytes(range(100, 132))
    monkeypatch.setattr(random_values, "os", SimpleNamespace(urandom=lambda _: drawn))
    material = bytes(range(32))
    response = sim.token(CLIENT_CREDENTIALS, with_material(prove, value=material))
    key = unwrap(response, WRAPPING_KEY, sim.clock)
    assert key.key.reveal() == mixed_key(
        drawn, algorithm="HS256", key_material=material
    )
    assert key.key.reveal() not in (material, drawn)
    verified = verify_at_resource_server(sim, response, key)
    assert verified.key_kind == "encapsulated"


@pytest.mark.requirement("R2193")
@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"jkt": "1ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"jti": "jti-of-another-proof"},
        {"recipient": RS_KEY},
    ],
)
def test_key_material_of_another_proof_uses_nothing_up(
    make_encapsulated: Any, prove: Any, change: dict[str, Any]
) -> None:
    sim = make_encapsulated()
    form = sim.grant("authorization_code")
    response = sim.token(form, with_material(prove, **change))
    assert error_of(response) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)
    # Nor is the proof: the same one, with material of its own, is good.
    assert sim.token(form, with_material(prove)).status_code == 200


@pytest.mark.requirement("R2194")
@pytest.mark.parametrize("grant", [g for g in GRANTS if g != JWT_BEARER])
def test_key_material_is_decrypted_after_authentication_and_grant_validation(
    make_encapsulated: Any, prove: Any, decryptions: list[str], grant: str
) -> None:
    sim = make_encapsulated()
    form = sim.grant(grant)
    stranger = sim.http.post(
        f"{ISSUER}/token", data=form, headers=[("DPoP", with_material(prove))]
    )
    assert stranger.status_code in (400, 401)
    assert decryptions == []
    for name in set(form) & {
        *("code", "refresh_token", "password", "device_code", "subject_token")
    }:
        wrong = sim.token(form | {name: "wrong"}, with_material(prove))
        assert wrong.status_code == 400, wrong.get_json()
    assert decryptions == []
    assert sim.token(form, with_material(prove)).status_code == 200
    assert len(decryptions) == 1


@pytest.mark.requirement("R2194")
@pytest.mark.parametrize("grant", PUBLIC_GRANTS)
def test_key_material_of_a_public_client_waits_for_its_grant(
    make_encapsulated: Any, prove: Any, decryptions: list[str], grant: str
) -> None:
    sim = make_encapsulated()
    form = sim.grant(grant, "public")
    for name in set(form) & {"code", "refresh_token", "password", "device_code"}:
        proof = with_material(prove, client_id="public")
        wrong = sim.token(form | {name: "wrong"}, proof, client="public")
        assert wrong.status_code == 400, wrong.get_json()
    assert decryptions == []
    proof = with_material(prove, client_id="public")
    assert sim.token(form, proof, client="public").status_code == 200
    assert len(decryptions) == 1


@pytest.mark.requirement("R2194")
def test_key_material_is_not_decrypted_for_a_key_that_is_not_issued(
    make_encapsulated: Any, prove: Any, decryptions: list[str]
) -> None:
    settings: list[dict[str, Any]] = [
        {"policy": lambda _client, _audience: "deny"},
        {"recipients": {}.get},
        {"private_keys": tuple},
    ]
    for keys in settings:
        sim = make_encapsulated(keys=keys)
        plain = sim.token(CLIENT_CREDENTIALS, with_material(prove))
        assert plain.status_code == 200
        assert "cnf" not in plain.get_json()
        sim = make_encapsulated(keys=keys)
        refused = sim.token(CLIENT_CREDENTIALS, with_material(prove, must=True))
        assert error_of(refused) == (400, "dpop_sym_unavailable")
    assert decryptions == []


def test_private_keys_that_do_not_answer_are_a_503_and_use_nothing_up(
    make_encapsulated: Any, prove: Any
) -> None:
    def broken() -> list[Key]:
        raise ConnectionError

    sim = make_encapsulated(keys={"private_keys": broken})
    form = sim.grant("authorization_code")
    response = sim.token(form, with_material(prove))
    assert error_of(response) == (503, "temporarily_unavailable")
    assert sim.is_unused(form)
    # Nobody else is concerned.
    assert sim.token(form, prove(**ask(WRAPPING_KEY))).status_code == 200


@pytest.mark.requirement("R2191", "R2194")
def test_key_material_beside_n_is_refused_before_anything_is_decrypted(
    make_encapsulated: Any, prove: Any, decryptions: list[str]
) -> None:
    sim = make_encapsulated()
    proof = prove(**ask(WRAPPING_KEY, n=bytes(32), key_material="a.b.c.d.e"))
    assert error_of(sim.token(CLIENT_CREDENTIALS, proof)) == (400, "invalid_request")
    assert decryptions == []


@pytest.mark.requirement("R2196")
def test_a_part_of_r_is_of_no_use_to_an_encapsulated_key(
    make_encapsulated: Any, prove: Any
) -> None:
    """There is no r that it could go into, so none is claimed to be composed."""
    sim = make_encapsulated()
    plain = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY, n=bytes(32))))
    assert plain.status_code == 200
    assert "cnf" not in plain.get_json()
    response = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    with pytest.raises(KeyDeliveryError):
        unwrap(response, WRAPPING_KEY, sim.clock, n=bytes(32))


# --- registration and metadata


def registered(**metadata: Any) -> Client:
    jwks = {"keys": [{**RS_KEY.as_dict(private=False), "use": "enc"}]}
    return Client("rs", "secret", **({"jwks": jwks} | metadata))


@pytest.mark.requirement("R2063")
def test_a_resource_server_registers_its_key_and_algorithms() -> None:
    assert registered_recipient(registered()) is None
    found = registered_recipient(registered(dpop_symmetric_encapsulation_alg="ECDH-ES"))
    assert found is not None
    assert (found.algorithm, found.encoding) == ("ECDH-ES", "A256GCM")
    assert found.key.thumbprint() == RS_KEY.thumbprint()
    found = registered_recipient(
        registered(
            dpop_symmetric_encapsulation_alg="ECDH-ES+A256KW",
            dpop_symmetric_encapsulation_enc="A128GCM",
        )
    )
    assert found is not None
    assert (found.algorithm, found.encoding) == ("ECDH-ES+A256KW", "A128GCM")


def test_the_newest_encryption_key_is_the_one_to_encrypt_for() -> None:
    old, new = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    jwks = {
        "keys": [
            {**old.as_dict(private=False), "use": "enc"},
            {**new.as_dict(private=False), "use": "enc"},
            {**RS_KEY.as_dict(private=False), "use": "sig"},
        ]
    }
    found = registered_recipient(
        registered(jwks=jwks, dpop_symmetric_encapsulation_alg="ECDH-ES")
    )
    assert found is not None
    assert found.key.thumbprint() == new.thumbprint()


@pytest.mark.parametrize(
    "metadata",
    [
        {"jwks": None},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [RS_KEY.as_dict(private=False)]}},
        {"jwks": {"keys": [{**RS_KEY.as_dict(private=True), "use": "enc"}]}},
        {"jwks": {"keys": [{"kty": "oct", "k": "AA", "use": "enc"}]}},
        {"dpop_symmetric_encapsulation_alg": "RSA-OAEP-256"},
        {"dpop_symmetric_encapsulation_alg": "dir"},
        {"dpop_symmetric_encapsulation_enc": "A256CBC-HS512"},
    ],
)
def test_a_registration_that_cannot_work_is_an_error(metadata: dict[str, Any]) -> None:
    values = {"dpop_symmetric_encapsulation_alg": "ECDH-ES"} | metadata
    with pytest.raises(ValueError):  # noqa: PT011 - it names no value
        registered_recipient(registered(**values))


@pytest.mark.requirement("R1704")
def test_the_metadata_names_a_derivation_only_where_keys_are_derived(
    make_encapsulated: Any, clock: Any
) -> None:
    kdf = "dpop_symmetric_kdf_values_supported"
    metadata = make_encapsulated().dpop.get_metadata()
    assert kdf not in metadata
    assert metadata["dpop_symmetric_alg_values_supported"] == ["HS256", "HS512"]
    both = make_encapsulated(secrets=Secrets(clock)).dpop.get_metadata()
    assert both[kdf] == ["dpop-sym/1"]


@pytest.mark.requirement("R2113")
@pytest.mark.parametrize("allowed", [True, False])
def test_the_metadata_tells_the_truth_about_the_key_of_the_proof(
    make_encapsulated: Any, prove: Any, *, allowed: bool
) -> None:
    sim = make_encapsulated(keys={"same_key": allowed})
    metadata = sim.dpop.get_metadata()
    assert metadata["dpop_symmetric_same_key_allowed"] is allowed
    for same_key in (ask(), ask(prove.key)):
        response = sim.token(CLIENT_CREDENTIALS, prove(**same_key))
        assert ("cnf" in response.get_json()) is allowed
        public_client = sim.token(
            sim.grant("password", "public"), prove(**same_key), client="public"
        )
        assert "cnf" not in public_client.get_json()
    other = sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    assert "cnf" in other.get_json()


def test_the_column_is_json_that_names_no_secret(
    make_encapsulated: Any, prove: Any
) -> None:
    sim = make_encapsulated(form="opaque")
    sim.token(CLIENT_CREDENTIALS, prove(**ask(WRAPPING_KEY)))
    column = json.loads(sim.tokens[-1].dpop_dsk)
    assert column["aud"] == AUDIENCE
    assert column["exp"] == sim.clock.now + 300
