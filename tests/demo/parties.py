"""Both demo apps in one process, on one clock, and a client and a browser for them."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask.testing import FlaskClient
from joserfc.jwk import ECKey
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from demo_server import authorization_server, demo_data, resource_server
from demo_server.first_start import prepare, prepare_resource_server
from demo_server.models import Client
from demo_server.passwords import hash_password
from demo_server.registration import register_resource_server
from demo_server.resource_server_keys import public_jwks
from demo_server.settings import Settings
from dpop_ext.core.proof_making import make_proof
from tests.conftest import Clock

CALLBACK = "http://127.0.0.1:7777/callback"
VERIFIER = "v" * 43
CHALLENGE = create_s256_code_challenge(VERIFIER)

#: The files that a first start made, with their modes, by options and time.
_FIRST_STARTS: dict[str, dict[str, tuple[int, bytes]]] = {}


def basic(client_id: str, secret: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


CONFIDENTIAL = basic("demo-confidential", demo_data.CONFIDENTIAL_SECRET)
#: A second resource server for the same tokens, whose requests are easily made.
RESOURCE_SERVER = basic("tests-resource-server", "tests-resource-server-secret")


@dataclass(kw_only=True)
class Parties:
    """The servers, and a client with one key that answers nonce challenges."""

    settings: Settings
    clock: Clock
    key: ECKey
    nonces: dict[str, str] = field(default_factory=dict)
    #: What a first start makes is there.
    is_prepared: bool = False

    def __post_init__(self) -> None:
        if not self.is_prepared:
            make_ready(self.settings, self.clock)
        self.as_app = authorization_server.create_app(self.settings, clock=self.clock)
        self.rs_app = resource_server.create_app(
            self.settings, fetch=self.fetch, clock=self.clock
        )
        self.as_client = self.as_app.test_client()
        self.rs_client = self.rs_app.test_client()

    @classmethod
    def start(
        cls, directory: Path, clock: Clock, key: ECKey, **options: Any
    ) -> Parties:
        database = f"sqlite:///{directory}/demo.sqlite3"
        settings = Settings(database=database, **options)
        make_ready_once(directory, settings, clock, options)
        return cls(settings=settings, clock=clock, key=key, is_prepared=True)

    def fetch(
        self, url: str, *, data: bytes | None = None, headers: Any = None
    ) -> bytes:
        method = "GET" if data is None else "POST"
        answer = self.as_app.test_client().open(
            urlsplit(url).path, method=method, data=data, headers=headers
        )
        if answer.status_code != 200:
            raise OSError
        return bytes(answer.data)

    def send(
        self,
        client: FlaskClient,
        method: str,
        url: str,
        *,
        key: ECKey | None = None,
        access_token: str | None = None,
        claims: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> TestResponse:
        """Send a request with a proof, and once more if a nonce was missing."""
        origin = url[: url.index("/", 8)]
        for _ in range(2):
            proof = make_proof(
                key or self.key,
                algorithm="ES256",
                method=method,
                url=url,
                now=self.clock.now,
                access_token=access_token,
                nonce=self.nonces.get(origin),
                claims=claims,
            )
            fields = {"DPoP": proof, **(headers or {})}
            if access_token is not None:
                fields["Authorization"] = f"DPoP {access_token}"
            response = client.open(
                url[len(origin) :], method=method, headers=fields, **arguments
            )
            nonce = response.headers.get("DPoP-Nonce")
            if nonce is None:
                return response
            self.nonces[origin] = nonce
            if response.status_code < 400:
                return response
        return response

    def token(
        self, form: dict[str, Any], *, key: ECKey | None = None, **arguments: Any
    ) -> TestResponse:
        url = f"{self.settings.issuer_url}/token"
        return self.send(
            self.as_app.test_client(), "POST", url, data=form, key=key, **arguments
        )

    def api(self, method: str, path: str, token: str, **arguments: Any) -> TestResponse:
        url = self.settings.resource_url + path
        return self.send(self.rs_client, method, url, access_token=token, **arguments)

    def authorize_url(self, **changes: str | None) -> str:
        parameters = {
            "response_type": "code",
            "client_id": "demo-public",
            "redirect_uri": CALLBACK,
            "scope": "accounts transfers profile",
            "state": "s-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "dpop_jkt": self.key.thumbprint(),
            **changes,
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        return "/authorize?" + urlencode(given)

    def sign_in(
        self, browser: FlaskClient, *, target: str, password: str = demo_data.PASSWORD
    ) -> TestResponse:
        page = browser.get("/login", query_string={"next": target})
        form = {
            **hidden_fields(page.text),
            "username": demo_data.USERNAME,
            "password": password,
        }
        return browser.post("/login", data=form)

    def decide(self, browser: FlaskClient, url: str, decision: str) -> TestResponse:
        page = browser.get(url)
        assert page.status_code == 200, page.text
        csrf_token = hidden_fields(page.text)["csrf_token"]
        return browser.post(url, data={"csrf_token": csrf_token, "decision": decision})

    def code(self, **changes: str | None) -> str:
        """Get a code as a person would, through both pages."""
        browser = self.as_app.test_client()
        url = self.authorize_url(**changes)
        answer = self.sign_in(browser, target=url)
        assert answer.location == url
        return query_of(self.decide(browser, url, "allow").location)["code"]

    def redeem(self, code: str, **arguments: Any) -> TestResponse:
        return self.token(code_form(code), **arguments)

    def refresh(self, refresh_token: str, **arguments: Any) -> TestResponse:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": "demo-public",
        }
        return self.token(form, **arguments)


def make_ready(settings: Settings, clock: Clock) -> None:
    """Do what is done before the servers start for the first time."""
    prepare(settings, clock=clock)
    prepare_resource_server(settings)
    register(settings)


def make_ready_once(
    directory: Path, settings: Settings, clock: Clock, options: dict[str, Any]
) -> None:
    """Do it as it was done before with the same *options* at the same time.

    :param directory: of the database.
    """
    before = {path for path in directory.rglob("*") if path.is_file()}
    given = [option for option in options.values() if isinstance(option, Path)]
    if directory / "demo.sqlite3" in before or not all(map(Path.is_file, given)):
        make_ready(settings, clock)
        return
    said = {
        name: option.read_bytes() if isinstance(option, Path) else option
        for name, option in options.items()
    }
    known = f"{sorted(said.items())} {clock.now}"
    if known not in _FIRST_STARTS:
        make_ready(settings, clock)
        _FIRST_STARTS[known] = {
            str(path.relative_to(directory)): (path.stat().st_mode, path.read_bytes())
            for path in directory.rglob("*")
            if path.is_file() and path not in before
        }
        return
    for name, (mode, content) in _FIRST_STARTS[known].items():
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode)
        path.write_bytes(content)


def register(settings: Settings) -> None:
    """Register the resource server, as an operator does, and one for the tests."""
    engine = create_engine(settings.database, poolclass=NullPool)
    resource = settings.resource_url
    jwks = public_jwks(settings.rs_keys_directory)
    register_resource_server(
        engine, jwks, resource=resource, encapsulates=settings.encapsulates_keys
    )
    metadata = {
        "token_endpoint_auth_method": "client_secret_basic",
        "resource_server_audiences": [resource],
    }
    with Session(engine) as session, session.begin():
        session.merge(
            Client(
                client_id="tests-resource-server",
                secret_hash=hash_password("tests-resource-server-secret"),
                client_metadata=metadata,
            )
        )


def code_form(code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": "demo-public",
        "code_verifier": VERIFIER,
    }


def hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def query_of(location: str) -> dict[str, str]:
    query = parse_qs(urlsplit(location).query, strict_parsing=True)
    return {name: values[0] for name, values in query.items()}
