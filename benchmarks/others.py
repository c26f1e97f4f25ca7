"""What others take to check the same requests, as far as they are installed."""

from __future__ import annotations

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

from benchmarks.operations import Row
from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    NOW,
    URL,
    access_token,
    asymmetric_proof,
)
from dpop_ext.core.request_binding import access_token_hash

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
        calls[f"Bearer RS256, {name}"] = bearer = _pyjwt(pyjwt, text)
        calls[f"Bearer HS256, {name}"] = _pyjwt_hs256(pyjwt, text)
        if pydpop is not None:
            proof = _pydpop(pydpop, text)

            def both() -> None:
                bearer()
                proof()

            calls[f"{_PROOF}pydpop {version('pydpop')} + {name}"] = both
        client = _installed("requests_oauth2client")
        if client is not None:
            other = f"requests_oauth2client {version('requests_oauth2client')}"
            calls[f"{_PROOF}{other} + {name}"] = _requests_oauth2client(
                client, text, bearer
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


def _pyjwt(jwt: Any, text: str) -> Callable[[], object]:
    key = ISSUER_KEY.public_key
    return lambda: jwt.decode(
        text, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER
    )


def _pyjwt_hs256(jwt: Any, text: str) -> Callable[[], object]:
    key = secrets.token_bytes(32)
    claims = jwt.decode(text, options={"verify_signature": False})
    shared = jwt.encode(claims, key, algorithm="HS256")
    return lambda: jwt.decode(
        shared, key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
    )


def _requests_oauth2client(
    client: Any, text: str, bearer: Callable[[], object]
) -> Callable[[], object]:
    proof = asymmetric_proof(EC_KEY, "ES256", text)
    ath = access_token_hash(text)

    def both() -> None:
        bearer()
        client.dpop.validate_dpop_proof(
            proof, htm="GET", htu=URL, ath=ath, algs=["ES256"], leeway=3600
        )

    return both


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


def _pydpop(pydpop: Any, text: str) -> Callable[[], object]:
    proof = asymmetric_proof(EC_KEY, "ES256", text)
    return lambda: pydpop.verify_proof(
        proof=proof, htm="GET", htu=URL, access_token=text, now=NOW
    )
