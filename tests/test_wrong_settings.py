"""What is set wrong is refused when it is set, by the name of the setting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import create_engine

from dpop_ext import NonceIssuer, ProofSigner, ProofVerifier
from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    DPoP,
    SymmetricKeyringEndpoint,
    SymmetricKeys,
)
from dpop_ext.integrations.authlib_httpx import AsyncOAuth2Client, OAuth2Client
from dpop_ext.integrations.django_oauth2 import DPoPProtector
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.integrations.httpx_client import DPoPAuth as HttpxAuth
from dpop_ext.integrations.requests_client import DPoPAuth as RequestsAuth
from dpop_ext.integrations.requests_client import OAuth2Session
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    HTTPKeyringSource,
    IntrospectionTokenValidator,
    KeyringRequest,
)
from dpop_ext.resource_server.observer import Observer
from dpop_ext.stores.logouts_redis import RedisLogoutStore
from dpop_ext.stores.logouts_sql import SQLLogoutStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.pushed_requests_redis import RedisPushedRequestStore
from dpop_ext.stores.pushed_requests_sql import SQLPushedRequestStore
from dpop_ext.stores.redis import AsyncRedisReplayStore, RedisReplayStore
from dpop_ext.stores.secret_rows_redis import RedisSecretRows
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.stores.ticket_keys_redis import RedisTicketKeyTable
from dpop_ext.symmetric.secret_bytes import SecretBytes

ANY: Any = None
API = "https://api.example"
ISSUER = "https://as.example"
SECRET = bytes(range(32))


def verifier(**settings: Any) -> ProofVerifier:
    return ProofVerifier(MemoryReplayStore(), **settings)


def tokens(**settings: Any) -> AccessTokenValidator:
    settings = {"issuer": ISSUER, "audience": API, **settings}
    return AccessTokenValidator(**{"jwks_uri": f"{ISSUER}/jwks", **settings})


def middleware(**settings: Any) -> DPoPMiddleware:
    settings = {"verifier": verifier(), "find_token": tokens(), **settings}
    return DPoPMiddleware(ANY, **settings)


def validator(**settings: Any) -> DPoPTokenValidator:
    settings = {"inner": tokens(), "verifier": verifier(), **settings}
    return DPoPTokenValidator(**settings)


def extension(**settings: Any) -> DPoP:
    return DPoP(settings.pop("verifier", verifier()), **settings)


@pytest.mark.parametrize("make", [middleware, validator, extension])
@pytest.mark.parametrize(
    "url",
    ["api.example", "http://api.example", "https://api.example/?a", f"{API}#a", ""],
)
def test_a_public_url_that_is_none_is_refused_by_its_name(
    make: Callable[..., Any], url: str
) -> None:
    make(public_url=f"{API}/prefix/")
    with pytest.raises(ValueError, match=r"^public_url "):
        make(public_url=url)


@pytest.mark.parametrize("make", [middleware, validator, extension])
@pytest.mark.parametrize("wrong", [None, MemoryReplayStore(), ProofVerifier])
def test_what_is_no_verifier_is_refused(make: Callable[..., Any], wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^verifier is a ProofVerifier"):
        make(verifier=wrong)


@pytest.mark.parametrize("wrong", [None, AccessTokenValidator, "token"])
def test_what_finds_no_token_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^find_token .*AccessTokenValidator\("):
        middleware(find_token=wrong)
    with pytest.raises(TypeError, match=r"^inner .*AccessTokenValidator\("):
        validator(inner=wrong)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"nonces": [SECRET]}, "nonces is a NonceIssuer"),
        ({"nonces": True}, "nonces is a NonceIssuer"),
        ({"policy": "required"}, "policy is a ProofPolicy"),
    ],
)
def test_a_verifier_is_given_what_it_calls(settings: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        verifier(**settings)


@pytest.mark.parametrize("store", [None, {}, MemoryReplayStore])
def test_a_class_is_no_replay_store(store: Any) -> None:
    with pytest.raises(TypeError, match=r"such as MemoryReplayStore\(\)"):
        ProofVerifier(store)


@pytest.mark.parametrize("secrets", [SECRET, SECRET.hex(), [SECRET.hex()], [1]])
def test_nonce_secrets_are_a_list_of_bytes(secrets: Any) -> None:
    NonceIssuer([SECRET])
    with pytest.raises(TypeError, match="list of bytes"):
        NonceIssuer(secrets)


@pytest.mark.parametrize("name", ["issuer", "audience"])
@pytest.mark.parametrize("value", ["", None, [API]])
def test_issuer_and_audience_are_text(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        tokens(**{name: value})
    settings = {"issuer": ISSUER, "audience": API, name: value}
    with pytest.raises(ValueError, match=f"^{name} "):
        IntrospectionTokenValidator(
            f"{ISSUER}/introspect", client_id="api", client_secret="s", **settings
        )


def test_urls_of_the_issuer_are_named() -> None:
    with pytest.raises(ValueError, match=r"^jwks_uri "):
        tokens(jwks_uri="as.example/jwks")
    with pytest.raises(ValueError, match=r"^endpoint "):
        IntrospectionTokenValidator(
            "http://as.example", client_id="api", issuer=ISSUER, audience=API
        )


def test_signing_keys_come_from_a_function(ec_key: ECKey) -> None:
    wrong: Any = ec_key
    with pytest.raises(TypeError, match="keys is a function"):
        AccessTokenGenerator(ISSUER, wrong)


@pytest.mark.parametrize(
    ("key", "error"), [(SECRET, TypeError), (None, TypeError), (b"short", ValueError)]
)
def test_the_key_of_derivation_secrets_is_32_secret_bytes(
    tmp_path: Path, key: Any, error: type[Exception]
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'as.sqlite3'}")
    if key == b"short":
        key = SecretBytes(key)
    with pytest.raises(error, match=r"^key is "):
        SQLAudienceSecrets(engine, key, issuer=ISSUER)


@pytest.mark.parametrize("url", ["sqlite:///used.db", "used.db"])
def test_an_engine_is_not_its_url(url: Any) -> None:
    for make in (SQLReplayStore, SQLPushedRequestStore, SQLLogoutStore):
        with pytest.raises(TypeError, match=r"create_engine\(url\), or from_url"):
            make(url)
    with pytest.raises(TypeError, match=r"create_engine\(url\)"):
        SQLAudienceSecrets(url, SecretBytes(SECRET), issuer=ISSUER)


def test_a_client_of_redis_is_not_its_url() -> None:
    url: Any = "redis://127.0.0.1"
    for store in (RedisReplayStore, AsyncRedisReplayStore, RedisLogoutStore):
        with pytest.raises(TypeError, match="from_url takes a URL"):
            store(url)


def test_what_keys_of_redis_begin_with_is_bytes() -> None:
    prefix: Any = "api:"
    url = "redis://127.0.0.1"
    for store in (
        RedisReplayStore,
        AsyncRedisReplayStore,
        RedisLogoutStore,
        RedisPushedRequestStore,
        partial(RedisSecretRows.from_url, issuer=ISSUER, audience=API),
        partial(
            RedisTicketKeyTable.from_url, audience=API, row_key=SecretBytes(SECRET)
        ),
    ):
        make: Any = getattr(store, "from_url", store)
        with pytest.raises(TypeError, match=r'^prefix is bytes, such as b"api:"'):
            make(url, prefix=prefix)


@pytest.mark.parametrize("client", [OAuth2Session, OAuth2Client, AsyncOAuth2Client])
def test_a_bundle_is_not_its_path(client: Any) -> None:
    with pytest.raises(TypeError, match=r"^bundle .*FileBundle\(path\)"):
        client("client", bundle="session.json", token_endpoint=f"{ISSUER}/token")
    with pytest.raises(TypeError, match=r"^bundle .*FileBundle\(path\)"):
        client.for_servers(ANY, "client", bundle="session.json")


def test_symmetric_keys_and_their_secrets_have_one_issuer(
    tmp_path: Path, ec_key: ECKey
) -> None:
    """An issuer with a slash at the end would have no secrets, and nobody a key."""
    engine = create_engine(f"sqlite:///{tmp_path / 'as.sqlite3'}")
    secrets = SQLAudienceSecrets(engine, SecretBytes(SECRET), issuer=ISSUER)
    wrong: Any = ec_key

    def endpoint(issuer: str, keys: Any) -> SymmetricKeyringEndpoint:
        store = MemoryReplayStore()
        return SymmetricKeyringEndpoint(
            secrets, store, issuer=issuer, signing_keys=keys
        )

    for make in (
        lambda issuer: SymmetricKeys(secrets, issuer=issuer),
        lambda issuer: endpoint(issuer, lambda: ec_key),
    ):
        make(ISSUER)
        with pytest.raises(ValueError, match=r"^issuer is not the one"):
            make(f"{ISSUER}/")
    with pytest.raises(TypeError, match="signing_keys is a function"):
        endpoint(ISSUER, wrong)
    with pytest.raises(TypeError, match=r"symmetric is SymmetricKeys\("):
        extension(symmetric=secrets)
    with pytest.raises(TypeError, match="plan is a RotationPlan"):
        secrets.register(API, {"poll": 300})  # type: ignore[arg-type]


def test_a_resource_server_has_a_secret_or_a_key() -> None:
    """Such as a variable of the environment that is not set."""
    settings: Any = {"client_id": "api", "issuer": ISSUER, "audience": API}
    for missing in (None, ""):
        with pytest.raises(ValueError, match="client_secret or signing_key is needed"):
            IntrospectionTokenValidator(ISSUER, client_secret=missing, **settings)
    settings["signing_key"] = "signing.jwk"
    with pytest.raises(ValueError, match=r"signing_key is a private key.*load_key"):
        IntrospectionTokenValidator(ISSUER, **settings)


def test_the_two_keys_of_a_resource_server_are_not_each_other() -> None:
    signing_key = ECKey.generate_key("P-256", {"use": "sig"})
    decryption_key = ECKey.generate_key("P-256", {"use": "enc"})

    def source(first: ECKey, second: ECKey) -> HTTPKeyringSource:
        request = KeyringRequest(
            f"{ISSUER}/keyring", issuer=ISSUER, client_id="api", signing_key=first
        )
        jwks = {"keys": [first.as_dict(private=False)]}
        return HTTPKeyringSource(
            request, audience=API, private_keys=[second], jwks=jwks
        )

    source(signing_key, decryption_key)
    with pytest.raises(ValueError, match="signing_key is for signatures"):
        source(decryption_key, decryption_key)
    with pytest.raises(ValueError, match="private_keys are for decryption"):
        source(signing_key, signing_key)


def test_an_observer_is_not_the_name_of_its_file(tmp_path: Path) -> None:
    wrong: Any = str(tmp_path / "observed.jsonl")
    with pytest.raises(TypeError, match=r"observer is an Observer, .*file="):
        middleware(accept_bearer=True, observer=wrong)
    with pytest.raises(TypeError, match=r"observer is an Observer, .*file="):
        ResourceProtector(observer=wrong)
    middleware(accept_bearer=True, observer=Observer(file=wrong))


def test_a_validator_without_a_scheme_is_wrapped() -> None:
    with pytest.raises(TypeError, match=r"DPoPTokenValidator\(validator, verifier"):
        ResourceProtector().register_token_validator(tokens())


def test_a_decorator_of_django_has_parentheses() -> None:
    protector: Any = DPoPProtector(verifier=verifier(), find_token=tokens())
    with pytest.raises(TypeError, match="with parentheses"):
        protector(lambda request: None)


@pytest.mark.parametrize("auth", [RequestsAuth, HttpxAuth])
def test_a_request_is_signed_with_a_signer_and_the_text_of_a_token(auth: Any) -> None:
    signer = ProofSigner.generate()
    auth(signer, "token")
    wrong: Any
    for wrong in (None, {"access_token": "token"}):
        with pytest.raises(TypeError, match=r"such as token\['access_token'\]"):
            auth(signer, wrong)
    for wrong in (None, "token", ProofSigner):
        with pytest.raises(TypeError, match=r"such as ProofSigner\.generate\(\)"):
            auth(wrong, signer)


@pytest.mark.parametrize("key", [None, "client.jwk", {"kty": "EC"}])
def test_the_key_of_a_signer_is_a_key(key: Any) -> None:
    with pytest.raises(TypeError, match=r"such as load_key\(path\) returns"):
        ProofSigner(key)


@pytest.mark.parametrize("signer", [True, ProofSigner])
def test_a_session_has_a_signer(signer: Any) -> None:
    with pytest.raises(TypeError, match=r"ProofSigner\.generate\(\)"):
        OAuth2Session("client", dpop=signer)


async def fetch(session: Any) -> None:
    await session.fetch_token()


def test_a_session_that_knows_no_token_endpoint_says_so() -> None:
    signer = ProofSigner.generate()
    with (
        OAuth2Session("client", dpop=signer) as session,
        pytest.raises(ValueError, match="token_endpoint="),
    ):
        session.fetch_token()
    with pytest.raises(ValueError, match="token_endpoint="):
        fetch(AsyncOAuth2Client("client", dpop=signer)).send(None)
