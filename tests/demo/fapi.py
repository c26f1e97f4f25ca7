"""The client of the FAPI profile: what it signs, pushes and asks for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, Key
from werkzeug.test import TestResponse

from demo_server import demo_data
from demo_server.fapi_client import CLIENT_ID, load_key
from demo_server.supervisor import DemoServer
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.proof_making import make_proof
from tests.conftest import Clock
from tests.demo.parties import (
    CALLBACK,
    CHALLENGE,
    VERIFIER,
    Parties,
    hidden_fields,
    query_of,
)
from tests.patience import PATIENCE

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
REQUEST = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": CALLBACK,
    "scope": "accounts transfers profile",
    "state": "s-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
CODE_FORM = {
    "grant_type": "authorization_code",
    "redirect_uri": CALLBACK,
    "code_verifier": VERIFIER,
}


def assertion(
    key: Key, *, issuer: str, now: int, alg: str = "ES256", **changes: Any
) -> dict[str, Any]:
    """The two parameters by which the client authenticates.

    A change to None leaves a claim out.
    """
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": issuer, "iat": now}
    claims = given(claims | {"exp": now + 60, "jti": secrets.token_hex(8)} | changes)
    header = {"alg": alg, "kid": key.kid}
    return {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign_compact(header, claims, key),
    }


def given(form: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in form.items() if value is not None}


class FapiParties:
    """The two apps with the FAPI profile, and its built-in client."""

    def __init__(
        self, directory: Path, clock: Clock, key: ECKey, **options: Any
    ) -> None:
        self.clock = clock
        self.parties = Parties.start(directory, clock, key, profile="fapi2", **options)
        self.issuer = self.parties.settings.issuer_url
        self.client_key = load_key(self.parties.settings.keys_directory)

    def assertion(self, **changes: Any) -> dict[str, Any]:
        return assertion(
            self.client_key, issuer=self.issuer, now=self.clock.now, **changes
        )

    def push(self, **changes: Any) -> TestResponse:
        """Push a request with a proof, and once more if a nonce was missing."""
        form = given(REQUEST | self.assertion() | changes)
        return self.parties.send(
            self.parties.as_app.test_client(), "POST", f"{self.issuer}/par", data=form
        )

    def request_uri(self, **changes: Any) -> str:
        answer = self.push(**changes)
        assert answer.status_code == 201, answer.text
        request_uri: str = answer.get_json()["request_uri"]
        return request_uri

    def signed_in(self, address: str) -> FlaskClient:
        browser = self.parties.as_app.test_client()
        assert self.parties.sign_in(browser, target=address).location == address
        return browser

    def code(self, **changes: Any) -> str:
        address = authorize(self.request_uri(**changes))
        browser = self.signed_in(address)
        answer = self.parties.decide(browser, address, "allow")
        assert answer.status_code == 303
        return query_of(answer.location)["code"]

    def token(self, **form: Any) -> TestResponse:
        """Ask for a token; a change to None leaves a parameter out."""
        key = form.pop("key", None)
        return self.parties.token(given(self.assertion() | form), key=key)

    def redeem(self, code: str, **changes: Any) -> TestResponse:
        return self.token(**{**CODE_FORM, "code": code, **changes})


def authorize(request_uri: str, client_id: str = CLIENT_ID) -> str:
    query = {"client_id": client_id, "request_uri": request_uri}
    return f"/authorize?{urlencode(query)}"


class FapiClient:
    """A client over HTTP, with a key for proofs; the built-in one unless told."""

    def __init__(
        self,
        server: DemoServer,
        key: ECKey,
        *,
        verify: str | bool = True,
        client_id: str = CLIENT_ID,
        client_key: Key | None = None,
        algorithm: str = "ES256",
        redirect_uri: str = CALLBACK,
    ) -> None:
        self.server = server
        self.key = key
        self.client_id = client_id
        self.client_key = client_key or load_key(server.settings.keys_directory)
        self.algorithm = algorithm
        self.redirect_uri = redirect_uri
        self.nonces: dict[str, str] = {}
        self.session = requests.Session()
        self.verify = self.session.verify = verify
        # A variable of the environment would come before *verify*.
        self.session.trust_env = False

    def proof(
        self,
        method: str,
        url: str,
        *,
        key: Key | None = None,
        algorithm: str = "ES256",
        **values: Any,
    ) -> str:
        """Make a proof with the newest nonce of the server."""
        return make_proof(
            key or self.key,
            algorithm=algorithm,
            method=method,
            url=url,
            nonce=self.nonces.get(_origin(url)),
            **{"now": int(time.time()), **values},
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        access_token: str | None = None,
        scheme: str = "DPoP",
        proof: Callable[[], str | None] | None = None,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> requests.Response:
        """Send a request with a proof, and once more if a nonce was missing.

        :param proof: makes another proof than the good one, or None for no proof.
        """
        for _ in range(2):
            made = (
                proof()
                if proof is not None
                else self.proof(method, url, access_token=access_token)
            )
            fields = dict(headers or {})
            if made is not None:
                fields["DPoP"] = made
            if access_token is not None:
                fields["Authorization"] = f"{scheme} {access_token}"
            answer = requests.request(
                method,
                url,
                headers=fields,
                timeout=PATIENCE,
                verify=self.verify,
                **arguments,
            )
            fresh = answer.headers.get("DPoP-Nonce")
            if fresh is None or answer.ok:
                return answer
            self.nonces[_origin(url)] = fresh
        return answer

    def assertion(self, **changes: Any) -> dict[str, Any]:
        return assertion(
            self.client_key,
            **{
                "issuer": self.server.as_url,
                "now": int(time.time()),
                "alg": self.algorithm,
                "iss": self.client_id,
                "sub": self.client_id,
                **changes,
            },
        )

    def push(
        self, *, proof: Callable[[], str | None] | None = None, **changes: Any
    ) -> requests.Response:
        own = {"client_id": self.client_id, "redirect_uri": self.redirect_uri}
        form = given(REQUEST | own | self.assertion() | changes)
        return self.send("POST", f"{self.server.as_url}/par", data=form, proof=proof)

    def request_uri(self, **changes: Any) -> str:
        answer = self.push(**changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["request_uri"])

    def token(
        self, *, proof: Callable[[], str | None] | None = None, **form: Any
    ) -> requests.Response:
        form = given(self.assertion() | form)
        return self.send("POST", f"{self.server.as_url}/token", data=form, proof=proof)

    def page(self, address: str) -> requests.Response:
        """Load the page with the question, signed in as a person would."""
        url = self.server.as_url + address
        page = self.session.get(url, timeout=PATIENCE)
        if 'name="username"' in page.text:
            form = {
                **hidden_fields(page.text),
                "username": demo_data.USERNAME,
                "password": demo_data.PASSWORD,
            }
            login = f"{self.server.as_url}/login"
            page = self.session.post(login, data=form, timeout=PATIENCE)
        return page

    def decide(self, address: str, decision: str = "allow") -> requests.Response:
        """Answer the question."""
        form = {"csrf_token": hidden_fields(self.page(address).text)["csrf_token"]}
        form["decision"] = decision
        url = self.server.as_url + address
        return self.session.post(
            url, data=form, allow_redirects=False, timeout=PATIENCE
        )

    def code(self, **changes: Any) -> str:
        address = authorize(self.request_uri(**changes), self.client_id)
        answer = self.decide(address)
        assert answer.status_code == 303, answer.text
        return query_of(answer.headers["Location"])["code"]

    def redeem(self, code: str, **changes: Any) -> requests.Response:
        form = CODE_FORM | {"redirect_uri": self.redirect_uri, "code": code}
        return self.token(**{**form, **changes})


def _origin(url: str) -> str:
    return url[: url.index("/", 8)]
