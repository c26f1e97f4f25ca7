"""A client with a post-quantum key, and what that costs on the wire (RFC 9964)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import requests

from demo_client import transcript
from demo_client.browser import TIMEOUT, DemoError, come_back, loopback_redirect
from demo_client.journey import CLIENT_ID, SCOPE
from demo_client.report import Report, outcome
from demo_client.servers import Servers
from dpop_ext import ProofSigner, ProofTooLongError
from dpop_ext.integrations.requests_client import DPoPAuth

ALGORITHM = "ML-DSA-65"
_KEY_ALGORITHM: Final = "HPKE-9-KE"


def run(servers: Servers, report: Report, *, agree: Callable[[str], None]) -> None:
    """Get a token with one post-quantum proof, and call the API with symmetric ones.

    :raises DemoError: the authorization server does not take such keys.
    """
    _require_support(servers)
    transcript.heading("A post-quantum key")
    signer = ProofSigner.generate(
        ALGORITHM, symmetric="must", key_algorithm=_KEY_ALGORITHM
    )
    transcript.fact("algorithm", f"{ALGORITHM} (RFC 9964)")
    transcript.fact("thumbprint (jkt)", signer.jkt)
    with loopback_redirect() as redirect:
        session = servers.session(
            CLIENT_ID, dpop=signer, scope=SCOPE, redirect_uri=redirect.uri
        )
        answers = servers.keep_answers(session)
        transcript.heading("The person logs in and agrees")
        request = session.start_authorization()
        transcript.exchange(answers[-1])
        redirect.expect(request)
        agree(request.url)
        callback = come_back(redirect)

    transcript.heading("One post-quantum proof for one token")
    transcript.why(
        "it is too long for the header fields that common servers take, so it is a "
        "parameter of the form, dpop_proof"
    )
    token = session.finish_authorization(request, callback)
    transcript.exchange(answers[-1])
    proof = _proof_in_form(answers[-1])
    report.add(
        "place of the proof",
        expected="dpop_proof, no DPoP field",
        got=_place(answers[-1]),
    )
    report.add("token type", expected="DPoP", got=str(token["token_type"]))
    held = signer.has_symmetric_key(token["access_token"])
    report.add(
        f"symmetric key by {_KEY_ALGORITHM}",
        expected="held",
        got="held" if held else "none",
    )

    transcript.heading("A symmetric proof for each request")
    transcript.why("HMAC-SHA256 has nothing to fear from a quantum computer")
    answer = session.get(f"{servers.rs_url}/api/accounts")
    transcript.exchange(answer)
    expected = "401 use_dpop_nonce, 200" if answer.history else "200"
    report.add("symmetric proof", expected=expected, got=outcome(answer))

    transcript.heading("Without the symmetric key")
    transcript.why("nothing is sent: no server on the way would take the header")
    report.add(
        "post-quantum proof in a header",
        expected="refused by the client",
        got=_try_without_key(signer, token["access_token"], servers),
    )
    _show_sizes(answers[-1], answer, proof)


def _require_support(servers: Servers) -> None:
    algorithms = servers.authorization.dpop_algorithms
    if ALGORITHM not in algorithms or not servers.has_symmetric_keys:
        raise DemoError(
            "The authorization server takes no post-quantum keys: start it with "
            "--post-quantum on."
        )


def _proof_in_form(answer: requests.Response) -> str:
    form = parse_qs(str(answer.request.body))
    return form.get("dpop_proof", [""])[0]


def _place(answer: requests.Response) -> str:
    parameter = "dpop_proof" if _proof_in_form(answer) else "no dpop_proof"
    field = "a DPoP field" if "DPoP" in answer.request.headers else "no DPoP field"
    return f"{parameter}, {field}"


def _try_without_key(signer: ProofSigner, access_token: str, servers: Servers) -> str:
    signer.forget(access_token)
    try:
        answer = requests.get(
            f"{servers.rs_url}/api/accounts",
            auth=DPoPAuth(signer, access_token),
            timeout=TIMEOUT,
        )
    except ProofTooLongError as error:
        transcript.fact(type(error).__name__, error.description)
        return "refused by the client"
    return outcome(answer)


def _show_sizes(
    token_answer: requests.Response, answer: requests.Response, proof: str
) -> None:
    transcript.heading("Bytes of proof on the wire")
    transcript.fact("once for a token", f"{len(proof):>6} {ALGORITHM}, in the form")
    field = len(answer.request.headers["DPoP"])
    transcript.fact("once for a request", f"{field:>6} HMAC-SHA256, in the header")
    delivered = len(token_answer.json()["cnf"]["jwe"])
    transcript.fact("the key, in the answer", f"{delivered:>6} {_KEY_ALGORITHM}")
    # The same without the dsk claim, and with the hash of a token.
    without = ProofSigner.generate(ALGORITHM, symmetric="never")
    attempt = next(
        without.token_request(method="POST", url=str(token_answer.request.url))
    )
    alone = len(attempt.parameters()["dpop_proof"])
    transcript.why(
        f"without symmetric keys each request would carry about {alone} bytes of proof"
    )
