"""The vectors of the profile, judged by the library and by a resource server of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import JWKRegistry

from dpop_ext.authorization_server.errors import to_response
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.core.jose import CompactJWS, b64url_decode, verify_signature
from dpop_ext.errors import DPoPError, KeyDeliveryError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric import derivation, secret_ring
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.encryption_key import import_encryption_key
from dpop_ext.symmetric.key_request import parse_key_request
from dpop_ext.symmetric.keyring import open_keyring
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor
from dpop_ext.symmetric.published_secrets import is_published
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.verifier import ProofVerifier
from tests.vectors.profile import __main__ as vectors

CONTENT = {name: vectors.read(name) for name in vectors.FILES}


def cases(file: str, part: str = "vectors") -> pytest.MarkDecorator:
    """One test for each vector, which shows the requirements that the vector names."""
    return pytest.mark.parametrize(
        "vector",
        [
            pytest.param(
                vector,
                id=vector["name"],
                marks=pytest.mark.requirement(*vector["requirements"]),
            )
            for vector in CONTENT[file][part]
        ],
    )


@pytest.fixture
def published_secrets_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library knows that the secrets of the vectors are published."""
    monkeypatch.setattr(secret_ring, "is_published", lambda _: False)


@pytest.mark.parametrize("name", vectors.FILES)
def test_the_generator_writes_the_files_as_they_are(name: str) -> None:
    path = vectors.FOLDER / f"{name}.json"
    assert path.read_text("ascii") == vectors.text(name)


@pytest.mark.parametrize("name", vectors.FILES)
def test_names_are_unique_in_a_file_and_requirements_are_named(name: str) -> None:
    lists = [part for part in CONTENT[name].values() if isinstance(part, list)]
    named = [part for part in lists if isinstance(part[0], dict) and "name" in part[0]]
    assert named
    for part in named:
        names = [vector["name"] for vector in part]
        assert len(set(names)) == len(names)
        assert all(vector["requirements"] for vector in part)


def test_no_secret_of_the_vectors_is_good_for_anything_else() -> None:
    listed = [b64url_decode(s["k"]) for s in CONTENT["symmetric-proofs"]["secrets"]]
    derived = CONTENT["derivations"]["audience_secret"]
    listed += [bytes.fromhex(vector["key"]) for vector in derived if "key" in vector]
    assert listed
    assert all(is_published(value) for value in listed)


# --- derivations


@cases("derivations", "audience_secret")
def test_the_secret_of_an_audience(vector: dict[str, Any]) -> None:
    def derive() -> bytes:
        return derivation.audience_secret(
            bytes.fromhex(vector["root"]),
            issuer=vector["issuer"],
            audience=vector["audience"],
            version=vector["version"],
            root_id=bytes.fromhex(vector["root_id"]),
        )

    check_derivation(vector, derive)


@cases("derivations", "symmetric_key")
def test_the_key_of_a_token(vector: dict[str, Any]) -> None:
    def derive() -> bytes:
        # What the parser of cnf refuses before anything is derived.
        r = base64.urlsafe_b64decode(vector["r"] + "==")
        return derivation.symmetric_key(
            bytes.fromhex(vector["secret"]),
            algorithm=vector["algorithm"],
            issuer=vector["issuer"],
            audience=vector["audience"],
            client_id=vector["client_id"],
            jkt=vector["jkt"],
            version=vector["version"],
            r=r,
        )

    check_derivation(vector, derive)


@cases("derivations", "nonce_secret")
def test_the_secret_of_nonces(vector: dict[str, Any]) -> None:
    secret = bytes.fromhex(vector["secret"])
    check_derivation(vector, lambda: derivation.nonce_secret(secret))


def check_derivation(vector: dict[str, Any], derive: Callable[[], bytes]) -> None:
    if "error" in vector:
        with pytest.raises(ValueError, match=r"."):
            derive()
    else:
        assert derive().hex() == vector["key"]


# --- what the client sends and gets


@cases("key-requests")
def test_a_request_for_a_key(vector: dict[str, Any]) -> None:
    def judge() -> tuple[str, ...]:
        request = parse_key_request(vector["dsk"], vector["dpop_sym"])
        assert request is not None
        proof_jwk = CONTENT["key-requests"]["proof_jwk"]
        import_encryption_key(request.encryption_jwk, proof_jwk=proof_jwk)
        return request.algorithms

    if "error" in vector:
        with pytest.raises(DPoPError) as caught:
            judge()
        assert to_response(caught.value, None).error == vector["error"]
    else:
        assert judge()


@cases("key-jwes")
def test_a_delivered_key(vector: dict[str, Any]) -> None:
    content = CONTENT["key-jwes"]
    arguments: dict[str, Any] = {
        "private_key": JWKRegistry.import_key(content["private_key"]),
        **{name: content[name] for name in ("algorithms", "key_algorithms")},
        **{name: content[name] for name in ("encodings", "issuer", "audience")},
        "access_token": content["access_token"],
        "now": content["now"],
    }
    if "error" in vector:
        with pytest.raises(KeyDeliveryError):
            unwrap_key(vector["jwe"], **arguments)
    else:
        delivered = unwrap_key(vector["jwe"], **arguments)
        assert delivered.key == SecretBytes(bytes.fromhex(vector["key"]))
        assert delivered.algorithm == vector["algorithm"]
        assert delivered.version == vector["version"]


# --- what a resource server gets


@cases("keyrings")
@pytest.mark.usefixtures("published_secrets_are_good")
def test_a_keyring(vector: dict[str, Any]) -> None:
    content = CONTENT["keyrings"]
    issuer_key = JWKRegistry.import_key(content["issuer_jwk"])
    floor = content["floor"]

    def verify(jws: CompactJWS) -> None:
        verify_signature(jws, issuer_key, algorithm="ES256")

    arguments: dict[str, Any] = {
        "private_keys": [JWKRegistry.import_key(content["private_key"])],
        "verify": verify,
        **{name: content[name] for name in ("issuer", "audience", "nonce", "now")},
        "floor": KeyringFloor(
            epoch=floor["epoch"],
            sequence=floor["seq"],
            content=hashlib.sha256(b"another").hexdigest(),
            min_live=floor["min_live"],
            revoked=frozenset(floor["revoked"]),
        ),
    }
    if "error" in vector:
        with pytest.raises(KeyringError):
            open_keyring(vector["keyring"], **arguments)
    else:
        ring = open_keyring(vector["keyring"], **arguments).ring
        assert usable(ring, now=content["now"]) == vector["usable"]


def usable(ring: SecretRing, *, now: int) -> list[int]:
    found = []
    for version in range(1, 20):
        try:
            ring.find(version, now=now)
        except DPoPError:
            continue
        found.append(version)
    return found


@cases("symmetric-proofs")
@pytest.mark.usefixtures("published_secrets_are_good")
def test_a_symmetric_proof(vector: dict[str, Any]) -> None:
    store = MemoryReplayStore()
    status, fields, served = send_to_resource_server(vector, store)
    if "error" in vector:
        challenges = parse_challenges(
            [value for name, value in fields if name == "WWW-Authenticate"]
        )
        (challenge,) = [c for c in challenges if c.scheme == "DPoP"]
        assert challenge.get("error") == vector["error"]
        assert challenge.get("sym_error") == vector.get("sym_error")
        assert (status, served, len(store)) == (401, 0, 0)
    else:
        assert (status, served, len(store)) == (200, 1, 1)


def send_to_resource_server(
    vector: dict[str, Any], store: MemoryReplayStore
) -> tuple[int, list[tuple[str, str]], int]:
    content = CONTENT["symmetric-proofs"]
    served = []
    answer: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        served.append(environ["dpop_ext.proof"].kind)
        start_response("200 OK", [])
        return [b""]

    protected = DPoPMiddleware(
        app,
        verifier=verifier(content, store),
        find_token=AccessTokenValidator(
            content["issuer"],
            content["audience"],
            jwks={"keys": [content["issuer_jwk"]]},
            clock=lambda: content["now"],
        ),
        scopes=["accounts"],
        public_url=content["audience"],
    )
    path = urlsplit(content["url"]).path
    environ = {
        "REQUEST_METHOD": content["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "RAW_URI": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": urlsplit(content["url"]).netloc,
        "wsgi.url_scheme": "https",
        "HTTP_AUTHORIZATION": f"DPoP {vector['access_token']}",
        "HTTP_DPOP": vector["proof"],
    }
    list(protected(environ, lambda *args: answer.extend(args)))
    return int(answer[0][:3]), answer[1], served.count("symmetric")


def verifier(content: dict[str, Any], store: MemoryReplayStore) -> ProofVerifier:
    ring = SecretRing(
        [
            AudienceSecret(
                version=entry["v"],
                state=entry["state"],
                not_before=entry["nbf"],
                expires_at=entry["exp"],
                secret=SecretBytes(b64url_decode(entry["k"])),
            )
            for entry in content["secrets"]
        ],
        issuer=content["issuer"],
        audience=content["audience"],
        min_live=content["min_live"],
        revoked=content["revoked"],
        denied=DenyList(
            Denial(
                token_id=entry.get("jti"),
                r=b64url_decode(entry["r"]) if "r" in entry else None,
                expires_at=entry["exp"],
            )
            for entry in content["deny"]
        ),
    )
    return ProofVerifier(
        store,
        clock=lambda: content["now"],
        keyring=MemoryKeyring(ring),
        issuer=content["issuer"],
        audience=content["audience"],
    )
