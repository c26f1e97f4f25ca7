"""Token requests that something below the client repeats: :rfc:`9449#section-4`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc.jwk import ECKey
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from dpop_ext import ProofSigner
from dpop_ext.client import Servers
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.integrations.httpx_client import DPoPTokenAuth
from dpop_ext.integrations.requests_client import OAuth2Session
from tests.client.metadata import as_metadata
from tests.client.reading import read
from tests.integrations.hostile_site import Site, http

TOKEN = http(json.dumps({"access_token": "t", "token_type": "DPoP"}).encode())
BUSY = http(b"busy", status="503 Service Unavailable")
#: The connection ends before there is an answer.
NOTHING = b""
NO_NONCE = http(
    b'{"error": "use_dpop_nonce"}', "DPoP-Nonce: n1", status="400 Bad Request"
)


def _session(site: Site, client_key: ECKey) -> OAuth2Session:
    document = as_metadata(
        issuer=site.issuer,
        token_endpoint=f"{site.issuer}/token",
        authorization_endpoint=f"{site.issuer}/authorize",
        pushed_authorization_request_endpoint=f"{site.issuer}/par",
    )
    found = ServerMetadata.of_document(document, issuer=site.issuer)
    session = OAuth2Session.for_servers(
        Servers(authorization=found),
        "c",
        client_key=client_key,
        redirect_uri="https://client.example/cb",
    )
    retry = Retry(
        total=4, allowed_methods=None, status_forcelist=[503], backoff_factor=0
    )
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def _one_time_values(asked: str) -> tuple[Any, Any]:
    """Return what identifies the proof and the assertion of a request."""
    head, body = asked.split("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:])
    assert int(fields["content-length"]) == len(body)
    (proof,) = [line[6:] for line in head.splitlines() if line.startswith("DPoP: ")]
    form = parse_qs(body, strict_parsing=True)
    (assertion,) = form["client_assertion"]
    return read(proof).claims["jti"], read(assertion).claims["jti"]


@pytest.mark.requirement("G-4", "R-1")
@pytest.mark.parametrize("failure", [NOTHING, BUSY])
def test_what_urllib3_repeats_has_a_new_proof_and_a_new_assertion(
    site: Site, other_ec_key: ECKey, failure: bytes
) -> None:
    with _session(site, other_ec_key) as session:
        site.answers(failure, failure, NO_NONCE, failure, TOKEN)
        token = session.fetch_token(grant_type="client_credentials")
        assert token["access_token"] == "t"
        pushed = http(b'{"request_uri": "urn:x"}', status="201 Created")
        site.answers(failure, pushed)
        session.start_authorization()
    values = [_one_time_values(asked) for asked in site.asked]
    assert len(values) == 7
    assert len({jti for jti, _ in values}) == 7
    assert len({jti for _, jti in values}) == 7


def test_what_a_transport_of_httpx_repeats_is_sent_once(site: Site) -> None:
    class Repeating(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            response.close()
            return super().handle_request(request)

    site.answers(BUSY, TOKEN)
    auth = DPoPTokenAuth(ProofSigner.generate(), ("c", "secret"))
    with (
        httpx.Client(transport=Repeating()) as http_client,
        pytest.raises(httpx.RemoteProtocolError, match="sent once"),
    ):
        http_client.post(f"{site.issuer}/token", data={"a": "b"}, auth=auth)
    bodies = [asked.split("\r\n\r\n")[1] for asked in site.asked]
    assert [body for body in bodies if body] == ["a=b"]
