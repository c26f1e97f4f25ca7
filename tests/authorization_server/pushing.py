"""The simulator with pushed requests: what a client pushes and where it goes then."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response
from joserfc.jwk import Key
from werkzeug.test import TestResponse

from dpop_ext.authorization_server import PushedAuthorizationRequests
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.stores.pushed_requests import MemoryPushedRequestStore
from tests.authorization_server.simulator import (
    ISSUER,
    REDIRECT_URI,
    VERIFIER,
    Client,
    Prover,
    Simulator,
    basic,
)

PAR_URL = f"{ISSUER}/par"
REQUEST = {
    "response_type": "code",
    "client_id": "confidential",
    "redirect_uri": REDIRECT_URI,
    "state": "s t",
    "code_challenge": VERIFIER,
}


class Pushing:
    """A server that takes pushed requests, and a client.

    :param options: of :class:`Simulator`; ``required`` and ``lifetime`` are those of
        the extension.
    """

    def __init__(
        self,
        clock: Any,
        *,
        required: bool = False,
        lifetime: int = 300,
        **options: Any,
    ) -> None:
        self.sim = Simulator(clock, **options)
        self.store = MemoryPushedRequestStore()
        self.extension = PushedAuthorizationRequests(
            self.store, dpop=self.sim.dpop, required=required, lifetime=lifetime
        )
        self.sim.server.register_extension(self.extension)

        @self.sim.app.route("/par", methods=["GET", "POST", "PUT"])
        def par() -> Response:
            return self.sim.server.create_endpoint_response(  # type: ignore[no-any-return]
                "pushed_authorization_request"
            )

    def push(
        self,
        proof: str | None = None,
        *,
        client: str = "confidential",
        headers: Any = (),
        url: str = PAR_URL,
        authenticate: bool = True,
        data: Any = None,
        **changes: Any,
    ) -> TestResponse:
        """Push a request; a change to None leaves the parameter out."""
        form = {"client_id": client, **changes}
        form = {k: v for k, v in (REQUEST | form).items() if v is not None}
        fields = [*headers]
        if proof is not None:
            fields.append(("DPoP", proof))
        if authenticate and self.sim.clients[client].secret is not None:
            fields.append(("Authorization", basic(client, "secret")))
        return self.sim.http.post(url, data=data or form, headers=fields)

    def request_uri(self, *args: Any, **kwargs: Any) -> str:
        response = self.push(*args, **kwargs)
        assert response.status_code == 201, response.text
        request_uri: str = response.get_json()["request_uri"]
        return request_uri

    def address(
        self, request_uri: str, client: str = "confidential", **more: str
    ) -> str:
        query = {"client_id": client, "request_uri": request_uri, **more}
        return f"{ISSUER}/authorize?{urlencode(query)}"

    def code(self, request_uri: str, client: str = "confidential", **more: str) -> str:
        """See the consent page, then agree to it."""
        address = self.address(request_uri, client, **more)
        assert self.sim.http.get(address).status_code == 200
        response = self.sim.http.post(address, data={"confirm": "yes"})
        return redirected(response)["code"]

    def redeem(
        self, code: str, proof: str | None = None, client: str = "confidential"
    ) -> TestResponse:
        form = self.sim.grant("authorization_code", client) | {"code": code}
        return self.sim.token(form, proof, client=client)


class SigningClient(Client):
    """A client that has keys and no secret."""

    def __init__(self, client_id: str, *keys: Key, **metadata: Any) -> None:
        jwks = {"keys": [key.as_dict(private=False) for key in keys]}
        super().__init__(client_id, None, jwks=jwks, **metadata)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "private_key_jwt"


def redirected(response: TestResponse) -> dict[str, str]:
    """The parameters that the client gets."""
    assert response.status_code == 302, response.text
    location = urlsplit(response.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT_URI
    return dict(parse_qsl(location.query))


def par_proof(prove: Prover, nonces: NonceIssuer | None = None, **changes: Any) -> str:
    values: dict[str, Any] = {"url": PAR_URL, **changes}
    if nonces is not None:
        values["nonce"] = nonces.issue(purpose="as", now=prove.clock.now)
    return prove(**values)
