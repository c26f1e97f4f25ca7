"""The client of the FAPI profile: what it signs, pushes and asks for."""

from __future__ import annotations

import secrets
import time
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
from dpop_ext.core.jose import sign_compact
from dpop_ext.core.proof import make_proof
from tests.conftest import Clock
from tests.demo.parties import (
    CALLBACK,
    CHALLENGE,
    VERIFIER,
    Parties,
    hidden_fields,
    query_of,
)

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
) -> dict[str, str]:
    """The two parameters by which the client authenticates."""
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": issuer, "iat": now}
    claims |= {"exp": now + 60, "jti": secrets.token_hex(8), **changes}
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

    def assertion(self, **changes: Any) -> dict[str, str]:
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
    """The built-in client, over HTTP, with a key for proofs."""

    def __init__(
        self, server: DemoServer, key: ECKey, *, verify: str | bool = True
    ) -> None:
        self.server = server
        self.key = key
        self.client_key = load_key(server.settings.keys_directory)
        self.nonces: dict[str, str] = {}
        self.session = requests.Session()
        self.verify = self.session.verify = verify
        # A variable of the environment would come before *verify*.
        self.session.trust_env = False

    def send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        """Send a request with a proof, and once more if a nonce was missing."""
        access_token = arguments.pop("access_token", None)
        origin = url[: url.index("/", 8)]
        for _ in range(2):
            proof = make_proof(
                self.key,
                algorithm="ES256",
                method=method,
                url=url,
                now=int(time.time()),
                access_token=access_token,
                nonce=self.nonces.get(origin),
            )
            headers = {"DPoP": proof}
            if access_token is not None:
                headers["Authorization"] = f"DPoP {access_token}"
            answer = requests.request(
                method,
                url,
                headers=headers,
                timeout=10,
                verify=self.verify,
                **arguments,
            )
            fresh = answer.headers.get("DPoP-Nonce")
            if fresh is None or answer.ok:
                return answer
            self.nonces[origin] = fresh
        return answer

    def assertion(self, **changes: Any) -> dict[str, str]:
        return assertion(
            self.client_key,
            issuer=self.server.as_url,
            now=int(time.time()),
            **changes,
        )

    def push(self, **changes: Any) -> requests.Response:
        form = given(REQUEST | self.assertion() | changes)
        return self.send("POST", f"{self.server.as_url}/par", data=form)

    def token(self, **form: Any) -> requests.Response:
        form = self.assertion() | form
        return self.send("POST", f"{self.server.as_url}/token", data=form)

    def decide(self, address: str) -> requests.Response:
        """Sign in as a person would, and allow."""
        browser, url = self.session, self.server.as_url + address
        page = browser.get(url, timeout=10)
        form = {
            **hidden_fields(page.text),
            "username": demo_data.USERNAME,
            "password": demo_data.PASSWORD,
        }
        if "username" in page.text:
            page = browser.post(f"{self.server.as_url}/login", data=form, timeout=10)
        form = {"csrf_token": hidden_fields(page.text)["csrf_token"]}
        form["decision"] = "allow"
        return browser.post(url, data=form, allow_redirects=False, timeout=10)

    def code(self) -> str:
        answer = self.push()
        assert answer.status_code == 201, answer.text
        answer = self.decide(authorize(answer.json()["request_uri"]))
        assert answer.status_code == 303, answer.text
        return query_of(answer.headers["Location"])["code"]

    def redeem(self, code: str) -> requests.Response:
        return self.token(**CODE_FORM, code=code)
