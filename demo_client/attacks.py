"""What a thief would try, and what becomes of it."""

from __future__ import annotations

import time

import requests
from joserfc.jwk import ECKey

from demo_client import transcript
from demo_client.browser import TIMEOUT
from demo_client.journey import Client
from demo_client.report import Report, outcome
from demo_client.servers import Servers, second_resource_server
from dpop_ext.core.proof_making import make_proof


class Thief:
    """Has the access token, from a log for example, and not the key."""

    def __init__(self, client: Client, servers: Servers, report: Report) -> None:
        self._client = client
        self._servers = servers
        self._report = report
        self._token: str = client.session.token["access_token"]
        self._url = f"{servers.rs_url}/api/accounts"

    def as_bearer(self) -> None:
        """Send the token as it would work without DPoP."""
        transcript.heading("Attack: the stolen token as Bearer")
        transcript.why("the token says that it is bound, so it is no bearer token")
        self._expect("401 invalid_token", "stolen token as Bearer", scheme="Bearer")

    def with_another_key(self) -> None:
        """Send the token with a proof by the thief's own key."""
        transcript.heading("Attack: the stolen token with another key")
        transcript.why("the proof is sound, but the token is bound to another key")
        proof = self._make_proof(ECKey.generate_key("P-256"), self._url)
        self._expect("401 invalid_token", "stolen token, other key", proof=proof)

    def twice(self) -> None:
        """Send a captured request once more."""
        transcript.heading("Attack: a captured request, sent again")
        transcript.why("the first is the client's, the second the thief's: same proof")
        proof = self._make_proof(self._client.key, self._url)
        self._expect("200", "proof, first use", proof=proof)
        self._expect("401 invalid_dpop_proof", "proof, second use", proof=proof)

    def at_another_url(self) -> None:
        """Use a captured proof for another request."""
        transcript.heading("Attack: a proof that was made for another URL")
        transcript.why("htu in the proof names the one URL that it is good for")
        other = f"{self._servers.rs_url}/api/echo/harmless"
        proof = self._make_proof(self._client.key, other)
        self._expect("401 invalid_dpop_proof", "proof for another URL", proof=proof)

    def at_another_audience(self, captured: requests.Response) -> None:
        """Relay a request with a symmetric proof to another resource server."""
        transcript.heading("Attack: a symmetric proof at another resource server")
        transcript.why(
            "the first server could try this; the token is not for the second, and "
            "neither is its key"
        )
        proof = captured.request.headers["DPoP"]
        with second_resource_server(self._servers) as url:
            self._expect(
                "401 invalid_token",
                "symmetric proof, other audience",
                proof=proof,
                url=f"{url}/api/transfers",
                method="POST",
            )

    def _make_proof(self, key: ECKey, url: str) -> str:
        return self._sign(key, url, nonce=self._nonce(key))

    def _nonce(self, key: ECKey) -> str | None:
        """Get a nonce as anybody can; None if the server demands none."""
        proof = self._sign(key, self._url, nonce=None)
        headers = {"Authorization": f"DPoP {self._token}", "DPoP": proof}
        response = requests.get(self._url, headers=headers, timeout=TIMEOUT)
        return response.headers.get("DPoP-Nonce")

    def _sign(self, key: ECKey, url: str, *, nonce: str | None) -> str:
        return make_proof(
            key,
            algorithm="ES256",
            method="GET",
            url=url,
            now=int(time.time()),
            access_token=self._token,
            nonce=nonce,
        )

    def _expect(
        self,
        expected: str,
        step: str,
        *,
        proof: str | None = None,
        scheme: str = "DPoP",
        url: str | None = None,
        method: str = "GET",
    ) -> None:
        headers = {"Authorization": f"{scheme} {self._token}"}
        if proof is not None:
            headers["DPoP"] = proof
        response = requests.request(
            method, url or self._url, headers=headers, timeout=TIMEOUT
        )
        transcript.exchange(response)
        self._report.add(step, expected=expected, got=outcome(response))


def run(
    client: Client, servers: Servers, report: Report, *, captured: requests.Response
) -> None:
    """Try everything.

    :param captured: answer to a request with a symmetric proof, if there are any.
    """
    thief = Thief(client, servers, report)
    thief.as_bearer()
    thief.with_another_key()
    thief.twice()
    thief.at_another_url()
    if servers.has_symmetric_keys:
        thief.at_another_audience(captured)
