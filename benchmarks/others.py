"""What others take to check the same requests, as far as they are installed.

Each does the whole of it: what a verifier leaves to who calls it (to hash the token, to
compare its key with that of the proof, to remember used proofs) is done as shortly as
it can be. auth0-api-python does not tell the ``jti``, so there is no memory with it.
"""

from __future__ import annotations

import hashlib
import importlib
import secrets
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import version
from types import ModuleType
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

from benchmarks.operations import ASYMMETRIC_REQUESTS, Row
from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    NOW,
    URL,
    Serve,
    access_token,
    asymmetric_proof,
    serving,
)
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.stores.memory import MemoryReplayStore

_ES256 = ("ES256 verify",)
_PROOF = "ES256 proof: "


def others() -> list[Row]:
    """Return a row for each check that another package does of a request."""
    text = access_token(EC_KEY)
    calls = {
        f"Bearer RS256, joserfc {version('joserfc')}": _joserfc(text),
        f"Bearer RS256, Authlib {version('authlib')}": _authlib(text),
    }
    pyjwt, pydpop = _installed("jwt"), _installed("pydpop")
    if pyjwt is not None:
        name = f"PyJWT {version('PyJWT')}"
        bearer = _pyjwt(pyjwt)
        calls[f"Bearer RS256, {name}"] = lambda: bearer(text)
        calls[f"Bearer HS256, {name}"] = _pyjwt_hs256(pyjwt, text)
        if pydpop is not None:
            proof_name = f"{_PROOF}pydpop {version('pydpop')} + {name}"
            calls[proof_name] = _serving(bearer, _pydpop(pydpop))
        client = _installed("requests_oauth2client")
        if client is not None:
            other = f"requests_oauth2client {version('requests_oauth2client')}"
            calls[f"{_PROOF}{other} + {name}"] = _serving(
                bearer, _requests_oauth2client(client)
            )
    auth0 = _installed("auth0_api_python")
    if auth0 is not None:
        call = _auth0(auth0)
        calls[f"{_PROOF}auth0-api-python {version('auth0-api-python')}"] = call
    return [Row(name=name, call=call, base=_ES256) for name, call in calls.items()]


def comparisons(names: Iterable[str]) -> list[tuple[str, str, str, float]]:
    """Return what is compared with what, and how many times faster it should be.

    :param names: of the rows that were measured.
    """
    wanted = (
        ("symmetric", "Bearer RS256, PyJWT", 1 / 0.3),
        ("symmetric", _PROOF, 20.0),
        ("ES256, key and token seen before", _PROOF, 3.0),
    )
    return [
        (
            f"{ours.partition(',')[0]} faster than {name.removeprefix(_PROOF)}",
            *(ours, name, budget),
        )
        for ours, beginning, budget in wanted
        for name in names
        if name.startswith(beginning)
    ]


def _installed(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            # Of Authlib, about how the others use it.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


def _joserfc(text: str) -> Callable[[], object]:
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )

    def call() -> None:
        token = joserfc_jwt.decode(text, ISSUER_KEY, algorithms=["RS256"])
        registry.validate(token.claims)

    return call


def _authlib(text: str) -> Callable[[], object]:
    # It warns on every call about a function that it calls itself.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="authlib")

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
        def get_jwks(self) -> Any:
            return keys

    # As the documents of Authlib have it: the cached JSON of a jwks_uri.
    keys = KeySet([ISSUER_KEY]).as_dict(private=False)
    validator = Validator(issuer=ISSUER, resource_server=AUDIENCE)

    def call() -> None:
        token = validator.authenticate_token(text)
        validator.validate_token(token, ["accounts"], None)

    return call


def _pyjwt(jwt: Any) -> Callable[[str], Any]:
    key = ISSUER_KEY.public_key
    return lambda text: jwt.decode(
        text, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER
    )


def _pyjwt_hs256(jwt: Any, text: str) -> Callable[[], object]:
    key = secrets.token_bytes(32)
    claims = jwt.decode(text, options={"verify_signature": False})
    shared = jwt.encode(claims, key, algorithm="HS256")
    return lambda: jwt.decode(
        shared, key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
    )


def _serving(
    decode: Callable[[str], Any], verify: Callable[[str, str], tuple[str, str]]
) -> Callable[[], object]:
    """Return a call that serves the next request, each with a proof of its own.

    :param decode: verifies an access token, and returns its claims.
    :param verify: verifies a proof with an access token, and returns the thumbprint of
        its key and its ``jti``.
    """
    text = access_token(EC_KEY)
    requests = [
        (text, asymmetric_proof(EC_KEY, "ES256", text))
        for _ in range(ASYMMETRIC_REQUESTS)
    ]

    def start() -> Serve:
        store = MemoryReplayStore(10_000_000)

        def serve(text: str, proof: str) -> None:
            claims = decode(text)
            jkt, jti = verify(text, proof)
            name = hashlib.sha256(jti.encode()).digest()
            if claims["cnf"]["jkt"] != jkt or not store.add(
                name, expires_at=NOW + 66, now=NOW
            ):
                raise AssertionError(jti)

        return serve

    return serving(requests, start)


def _requests_oauth2client(client: Any) -> Callable[[str, str], tuple[str, str]]:
    def verify(text: str, proof: str) -> tuple[str, str]:
        verified = client.dpop.validate_dpop_proof(
            proof,
            htm="GET",
            htu=URL,
            ath=access_token_hash(text),
            algs=["ES256"],
            leeway=3600,
        )
        key = client.dpop.jwskate.Jwk(verified.headers["jwk"])
        return key.thumbprint(), verified.jwt_token_id

    return verify


def _auth0(auth0: Any) -> Callable[[], object]:
    issuer = f"{ISSUER}/"
    documents = {
        f"{issuer}.well-known/openid-configuration": {
            "issuer": issuer,
            "jwks_uri": f"{issuer}jwks",
        },
        f"{issuer}jwks": {"keys": [ISSUER_KEY.as_dict(private=False)]},
    }

    async def fetch(url: str) -> Any:
        return documents[url]

    options = auth0.ApiClientOptions(
        domain=ISSUER.removeprefix("https://"),
        audience=AUDIENCE,
        custom_fetch=fetch,
        dpop_required=True,
    )
    verifier = auth0.ApiClient(options)
    text = access_token(EC_KEY, issuer=issuer)
    proof = asymmetric_proof(EC_KEY, "ES256", text)
    headers = {"authorization": f"DPoP {text}", "dpop": proof}

    def call() -> None:
        # It waits for nothing, so no event loop is needed, which would cost more.
        with suppress(StopIteration):
            verifier.verify_request(headers, "GET", URL).send(None)
            raise AssertionError("it waits")

    return call


def _pydpop(pydpop: Any) -> Callable[[str, str], tuple[str, str]]:
    def verify(text: str, proof: str) -> tuple[str, str]:
        verified = pydpop.verify_proof(
            proof=proof, htm="GET", htu=URL, access_token=text, now=NOW
        )
        return verified["jwk_thumbprint"], verified["claims"]["jti"]

    return verify
