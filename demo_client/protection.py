"""What a proof can cover beyond method, URL and token, and routes that demand more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from demo_client import transcript
from demo_client.browser import TIMEOUT
from demo_client.journey import Client
from demo_client.proxy import MeddlingProxy, Passing, meddling_proxy
from demo_client.report import Report, outcome, without_nonces
from demo_client.servers import Servers
from dpop_ext import ProofSigner, ResponseProofError
from dpop_ext.client import Protection
from dpop_ext.integrations.requests_client import DPoPAuth, response_authentication

_ORDER = {"to": "bob", "amount": 10}
_PATH = "/api/payments?reference=rent"
_REFUSED = "refused by the client"


def run(client: Client, servers: Servers, report: Report) -> None:
    """Show step-up, request digests and response proofs, then attack them."""
    steps = _Steps(client, servers, report)
    steps.step_up()
    steps.protect()
    # TLS keeps such a one out, up to where it ends.
    if servers.rs_url.startswith("http:"):
        with meddling_proxy() as proxy:
            steps.change_requests(proxy)
            steps.change_answers(proxy)


class _Steps:
    def __init__(self, client: Client, servers: Servers, report: Report) -> None:
        self._session = client.session
        self._rs_url = servers.rs_url
        self._report = report
        self._token: str = client.session.token["access_token"]
        self._asymmetric = ProofSigner(client.key, symmetric="never")

    def step_up(self) -> None:
        transcript.heading("A route that demands an asymmetric proof")
        transcript.why(
            "the resource server could have made any symmetric proof itself; here it "
            "wants one that only the client can make, and the client remembers that"
        )
        url = f"{self._rs_url}/api/payees"
        for step, expected in (
            ("step-up", "401 use_dpop_asymmetric policy, 201"),
            ("step-up, remembered", "201"),
        ):
            response = self._session.post(url, json={"to": "bob"})
            transcript.exchange(response)
            self._add(step, expected, response)
        response = self._session.get(f"{self._rs_url}/api/accounts")
        kind = response.json().get("proof", "?")
        self._report.add("other routes meanwhile", expected="symmetric", got=kind)

    def protect(self) -> None:
        transcript.heading("Content, query and answer under the proof")
        transcript.why(
            "cd and hq in the proof are digests of content and query; rsp asks the "
            "server to prove its answer with a key that follows from the client's"
        )
        unprotected = self._pay(self._asymmetric, Protection())
        transcript.exchange(unprotected)
        self._add("no digests where they are demanded", _INVALID, unprotected)
        response = self._pay(self._session.dpop, _BOTH)
        transcript.exchange(response)
        self._add("content and query in the proof", "201", response)
        found = response_authentication(response)
        self._report.add(
            "answer authenticated by the key of the",
            expected="access_token",
            got=found.key if found else "nothing",
        )

    def change_requests(self, proxy: MeddlingProxy) -> None:
        transcript.heading("Attack: a proxy that changes what passes through it")
        transcript.why("the server hashes what it received, and refuses it")
        for step, change in (
            ("amount changed under way", _change_amount),
            ("query changed under way", _change_query),
        ):
            proxy.change_request = change
            response = self._pay(self._asymmetric, _DIGESTS, proxy)
            transcript.exchange(response)
            self._add(step, _INVALID, response)
            proxy.change_request = _pass_on

    def change_answers(self, proxy: MeddlingProxy) -> None:
        transcript.why("the client hashes what came, and hands nothing of it on")
        kept: list[Passing] = []
        proxy.change_answer = kept.append
        response = self._pay(self._session.dpop, _BOTH, proxy)
        self._add("answer that was not changed", "201", response)

        def answer_with_another(answer: Passing) -> None:
            answer.fields, answer.content = kept[-1].fields, kept[-1].content

        changes: tuple[tuple[str, Callable[[Passing], None]], ...] = (
            ("answer changed under way", _change_answer),
            ("status changed under way", _change_status),
            ("proof of the answer removed", _remove_proof),
            ("answer to another request", answer_with_another),
        )
        for step, change in changes:
            proxy.change_answer = change
            try:
                got = outcome(self._pay(self._session.dpop, _BOTH, proxy))
            except ResponseProofError as error:
                transcript.fact(step, error.description)
                got = _REFUSED
            self._report.add(step, expected=_REFUSED, got=got)

    def _pay(
        self,
        signer: ProofSigner,
        protection: Protection,
        proxy: MeddlingProxy | None = None,
    ) -> requests.Response:
        return requests.post(
            self._rs_url + _PATH,
            json=_ORDER,
            auth=DPoPAuth(signer, self._token, protection=protection),
            proxies=proxy.for_requests if proxy else None,
            timeout=TIMEOUT,
        )

    def _add(self, step: str, expected: str, response: Any) -> None:
        got = without_nonces(outcome(response))
        self._report.add(step, expected=expected, got=got)


_INVALID = "401 invalid_dpop_proof"
_DIGESTS = Protection(request_digests=True)
_BOTH = Protection(request_digests=True, authenticated_responses=True)


def _pass_on(_message: Passing) -> None:
    pass


def _change_amount(request: Passing) -> None:
    request.content = request.content.replace(b"10", b"99")


def _change_query(request: Passing) -> None:
    request.target = request.target.replace("rent", "gift")


def _change_answer(answer: Passing) -> None:
    answer.content = answer.content.replace(b"bob", b"eve")


def _change_status(answer: Passing) -> None:
    answer.status = 200


def _remove_proof(answer: Passing) -> None:
    answer.fields = [each for each in answer.fields if each[0] != "DPoP-Response"]
