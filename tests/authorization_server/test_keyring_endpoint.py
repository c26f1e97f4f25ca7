"""Who gets which keyring, encrypted for which key."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.authorization_server import SymmetricKeyringEndpoint
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.jws_signature import sign_compact, verify_signature
from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.keyring import open_keyring
from dpop_ext.symmetric.keyring_claims import Keyring
from dpop_ext.symmetric.keyring_floor import KeyringFloor
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.authorization_server.pushing import SigningClient
from tests.authorization_server.simulator import AUDIENCE, ISSUER, Simulator, basic
from tests.authorization_server.symmetric_parts import Secrets

URL = f"{ISSUER}/keyring"
OTHER = "https://b.example"


class Numbered(Secrets):
    """The secrets of two audiences, with a number."""

    sequence = 1

    def load_numbered(self, audience: str) -> tuple[SecretRing, int, int] | None:
        ring = self.load(audience)
        return (ring, 1, self.sequence) if ring is not None else None


class Distribution:
    """A server with two resource servers that poll their secrets."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.sim = Simulator(clock)
        self.secrets = Numbered(clock)
        self.signing_key = ECKey.generate_key("P-256", {"kid": "s", "use": "sig"})
        self.private_key = ECKey.generate_key("P-256", {"kid": "e", "use": "enc"})
        for name, audiences in {
            "api": [AUDIENCE],
            "other-api": [OTHER],
            "none": [],
            "two": [AUDIENCE, OTHER],
            "foreign": ["https://unknown.example"],
        }.items():
            self.register(name, audiences)
        self.server = self.sim.server
        self.start(poll=300)

        @self.sim.app.route("/keyring", methods=["GET", "POST"])
        def keyring() -> Any:
            return self.server.create_endpoint_response("dpop_symmetric_keyring")

    def start(self, *, poll: int) -> None:
        endpoint = SymmetricKeyringEndpoint(
            self.secrets,
            MemoryReplayStore(),
            issuer=ISSUER,
            signing_keys=lambda: self.sim.signing_key,
            poll=poll,
            clock=self.clock,
        )
        self.server._endpoints.clear()
        self.server.register_endpoint(endpoint)

    def register(self, name: str, audiences: Any, *keys: Any, **more: Any) -> None:
        self.sim.clients[name] = SigningClient(
            name,
            *(keys or (self.signing_key, self.private_key)),
            resource_server_audiences=audiences,
            **more,
        )

    def assertion(self, client: str = "api", **changes: Any) -> str:
        claims = {
            "iss": client,
            "sub": client,
            "aud": ISSUER,
            "exp": self.clock.now + 60,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": "ES256", "kid": "s"}
        return sign_compact(header, claims | changes, self.signing_key)

    def ask(self, client: str = "api", *, headers: Any = None, **changes: Any) -> Any:
        form = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(client),
            "nonce": b64url_encode(secrets.token_bytes(16)),
        } | changes
        form = {name: value for name, value in form.items() if value is not None}
        return self.sim.http.post(URL, data=form, headers=headers)

    def open(self, answer: Any, audience: str, nonce: str | None) -> Keyring:
        def by_issuer(jws: CompactJWS) -> None:
            assert jws.header["kid"] == "k1"
            verify_signature(jws, self.sim.signing_key, algorithm="ES256")

        return open_keyring(
            answer.text,
            private_keys=[self.private_key],
            verify=by_issuer,
            issuer=ISSUER,
            audience=audience,
            nonce=nonce,
            floor=KeyringFloor(),
            now=self.clock.now,
        )


@pytest.fixture
def at(clock: Any) -> Distribution:
    return Distribution(clock)


@pytest.mark.requirement("R1702", "T19", "R2033", "R2041")
def test_a_resource_server_gets_its_own_secrets_for_its_request(
    at: Distribution,
) -> None:
    for client, audience in (("api", AUDIENCE), ("other-api", OTHER)):
        nonce = b64url_encode(secrets.token_bytes(16))
        answer = at.ask(client, nonce=nonce)
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "application/dpop-keyring+jwt"
        assert answer.headers["Cache-Control"] == "no-store"
        ring = at.open(answer, audience, nonce).ring
        assert list(ring) == list(at.secrets.rings[audience])
        assert (ring.issuer, ring.audience) == (ISSUER, audience)


@pytest.mark.requirement("T19", "R2031")
@pytest.mark.parametrize("name", ["audience", "resource", "aud"])
def test_the_audience_is_the_registered_one_whatever_is_asked_for(
    at: Distribution, name: str
) -> None:
    answer = at.ask("api", **{name: OTHER})
    assert at.open(answer, AUDIENCE, None).ring.audience == AUDIENCE


@pytest.mark.requirement("R2032")
@pytest.mark.parametrize("client", ["none", "two", "foreign", "signer"])
def test_whoever_is_no_resource_server_gets_403(at: Distribution, client: str) -> None:
    at.register("signer", None)
    answer = at.ask(client)
    assert answer.status_code == 403
    assert answer.get_json()["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-256", {"kid": "x", "use": "sig"}),
        ECKey.generate_key("secp256k1", {"kid": "x", "use": "enc"}),
    ],
)
def test_without_a_key_to_encrypt_for_there_is_no_keyring(
    at: Distribution, key: Any
) -> None:
    at.register("api", [AUDIENCE], at.signing_key, key)
    assert at.ask().status_code == 403


@pytest.mark.requirement("R2033")
def test_the_newest_encryption_key_is_used(at: Distribution) -> None:
    old = ECKey.generate_key("P-256", {"kid": "old", "use": "enc"})
    at.register("api", [AUDIENCE], old, at.signing_key, at.private_key)
    assert at.open(at.ask(), AUDIENCE, None).poll == 300


@pytest.mark.requirement("R2034")
@pytest.mark.parametrize(
    "audience", [URL, f"{ISSUER}/token", [ISSUER], f"{ISSUER}/", None]
)
def test_the_assertion_is_for_exactly_the_issuer(
    at: Distribution, audience: Any
) -> None:
    answer = at.ask(client_assertion=at.assertion(aud=audience))
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"


def test_an_assertion_is_good_once(at: Distribution) -> None:
    assertion = at.assertion()
    assert at.ask(client_assertion=assertion).status_code == 200
    assert at.ask(client_assertion=assertion).status_code == 401


def test_no_other_method_authenticates(at: Distribution) -> None:
    form = {"nonce": "A" * 22}
    for headers in ({}, {"Authorization": basic("rs", "secret")}):
        assert at.sim.http.post(URL, data=form, headers=headers).status_code == 401
    assert at.sim.http.get(URL, query_string=form).status_code == 400


@pytest.mark.requirement("R2041")
@pytest.mark.parametrize("nonce", [None, "", "A" * 21, "A" * 21 + "B", "A" * 43])
def test_a_request_needs_a_nonce_of_16_bytes(at: Distribution, nonce: Any) -> None:
    assertion = at.assertion()
    answer = at.ask(client_assertion=assertion, nonce=nonce)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_request"
    assert at.ask(client_assertion=assertion).status_code == 200


def test_a_keyring_is_asked_for_by_post(at: Distribution) -> None:
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": at.assertion(),
        "nonce": b64url_encode(secrets.token_bytes(16)),
    }
    assert at.sim.http.get(URL, data=form).status_code == 400
    assert at.sim.http.post(URL, data=form).status_code == 200


def test_a_keyring_that_is_known_is_not_sent_again(at: Distribution) -> None:
    etag = at.ask().headers["ETag"]
    at.clock.advance(100)
    for value in (etag, f'"other", W/{etag}'):
        answer = at.ask(headers={"If-None-Match": value})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["ETag"] == etag
    assert at.ask("none", headers={"If-None-Match": etag}).status_code == 403
    at.secrets.sequence = 2
    assert at.ask(headers={"If-None-Match": etag}).status_code == 200


def test_another_encryption_key_makes_it_another_keyring(at: Distribution) -> None:
    etag = at.ask().headers["ETag"]
    at.private_key = ECKey.generate_key("P-256", {"kid": "e2", "use": "enc"})
    at.register("api", [AUDIENCE])
    answer = at.ask(headers={"If-None-Match": etag})
    assert at.open(answer, AUDIENCE, None).poll == 300


def test_another_interval_makes_it_another_answer(at: Distribution) -> None:
    etag = at.ask().headers["ETag"]
    at.start(poll=60)
    answer = at.ask(headers={"If-None-Match": etag})
    assert at.open(answer, AUDIENCE, None).poll == 60


def test_no_secret_can_be_read_without_the_key(at: Distribution) -> None:
    (entry,) = at.secrets.rings[AUDIENCE]
    assert entry.secret is not None
    text = at.ask().text
    assert text.count(".") == 4
    assert b64url_encode(entry.secret.reveal()) not in text


@pytest.mark.parametrize("error", [StoreError(), OSError("dsn with a password")])
def test_a_database_that_does_not_answer_is_503(
    at: Distribution,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Whatever secrets that are not ours raise."""

    def fail(audience: str) -> Any:
        raise error

    monkeypatch.setattr(at.secrets, "load_numbered", fail)
    answer = at.ask()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    (record,) = caplog.records
    assert vars(record)["fields"]["reason"] == "store_unavailable"
    assert ("cause OSError" in caplog.text) == isinstance(error, OSError)
    assert "password" not in caplog.text + answer.text


@pytest.mark.parametrize("pair", [("https://other.example", AUDIENCE), (ISSUER, OTHER)])
def test_secrets_of_another_pair_of_servers_are_not_sent(
    at: Distribution, pair: tuple[str, str]
) -> None:
    at.secrets.rings[AUDIENCE] = SecretRing(
        [at.secrets.secret()], issuer=pair[0], audience=pair[1]
    )
    assert at.ask().status_code == 503


@pytest.mark.parametrize("options", [{"alg": "HS256"}, {"poll": 29}, {"poll": 601}])
def test_arguments_that_cannot_be(at: Distribution, options: Any) -> None:
    values: Any = {"issuer": ISSUER, "signing_keys": lambda: at.sim.signing_key}
    with pytest.raises(ValueError, match=r"alg|poll"):
        SymmetricKeyringEndpoint(at.secrets, MemoryReplayStore(), **values, **options)
