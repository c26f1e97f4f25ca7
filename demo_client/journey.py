"""The way of an honest client: log in, get a bound token, call the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import requests
from joserfc.jwk import ECKey

from demo_client import transcript
from demo_client.browser import TIMEOUT, come_back, loopback_redirect
from demo_client.report import Report, outcome
from demo_client.servers import Servers
from dpop_ext import ProofSigner
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session

CLIENT_ID = "demo-public"
SCOPE = "accounts transfers"


@dataclass(slots=True)
class Client:
    """The client of the demo, and the token responses that it got."""

    key: ECKey
    session: OAuth2Session
    #: What the authorization server answered to the session.
    answers: list[requests.Response]

    @classmethod
    def for_servers(cls, servers: Servers, *, redirect_uri: str) -> Client:
        """Make a public client with a new key."""
        key = ECKey.generate_key("P-256")
        session = servers.session(
            CLIENT_ID, dpop=ProofSigner(key), scope=SCOPE, redirect_uri=redirect_uri
        )
        return cls(key=key, session=session, answers=servers.keep_answers(session))


def get_token(
    servers: Servers, report: Report, *, agree: Callable[[str], None]
) -> Client:
    """Run the code flow with PKCE, a pushed request and ``dpop_jkt``.

    :param agree: shows the authorization URL to the person.
    """
    transcript.heading("A key, and nobody else has it")
    with loopback_redirect() as redirect:
        client = Client.for_servers(servers, redirect_uri=redirect.uri)
        session = client.session
        transcript.fact("thumbprint (jkt)", session.dpop.jkt)

        transcript.heading("The client says what it will ask the person for")
        transcript.why(
            "dpop_jkt in the request binds the code to the key before it is issued: "
            "a stolen code is worth nothing"
        )
        transcript.why(
            "the first proof lacks the server's nonce: it is refused, nothing is used "
            "up, and the client sends another one"
        )
        request = session.start_authorization()
        response = client.answers[-1]
        transcript.exchange(response)
        expected = "201"
        if "DPoP-Nonce" in response.headers or response.history:
            expected = "400 use_dpop_nonce, 201"
        report.add(
            "request pushed with a proof", expected=expected, got=outcome(response)
        )

        transcript.heading("The person logs in and agrees")
        redirect.expect(request)
        agree(request.url)
        callback = come_back(redirect)

    transcript.heading("The code is redeemed for a bound token")
    transcript.why(
        "the response was the one to this request (state), and of this server (iss); "
        "the nonce is known by now"
    )
    token = session.finish_authorization(request, callback)
    response = client.answers[-1]
    transcript.exchange(response)
    report.add("code redeemed with a proof", expected="200", got=outcome(response))
    report.add("token type", expected="DPoP", got=str(token["token_type"]))
    if servers.has_symmetric_keys:
        _show_symmetric_key(client, report)
    return client


def call_api(client: Client, servers: Servers, report: Report) -> requests.Response:
    """Call the API with both kinds of proof; return the answer to the transfer."""
    url = f"{servers.rs_url}/api/accounts"
    session = client.session
    transcript.heading("A call with an asymmetric proof")
    transcript.why(
        "each proof names method, URL, token and nonce; again the nonce comes first"
    )
    signer = ProofSigner(client.key, symmetric="never")
    auth = DPoPAuth(signer, session.token["access_token"])
    response = requests.get(url, auth=auth, timeout=TIMEOUT)
    transcript.exchange(response)
    expected = "401 use_dpop_nonce, 200" if response.history else "200"
    report.add("asymmetric proof", expected=expected, got=outcome(response))

    if servers.has_symmetric_keys:
        transcript.heading("Calls with a symmetric proof")
        transcript.why(
            "the same token; the resource server derives the key from the token and "
            "its secret, and checks an HMAC"
        )
        response = session.get(url)
        transcript.exchange(response)
        expected = "401 use_dpop_nonce, 200" if response.history else "200"
        report.add("symmetric proof", expected=expected, got=outcome(response))
    else:
        session.get(url)
    transfer: requests.Response = session.post(
        f"{servers.rs_url}/api/transfers", json={"to": "bob", "amount": 10}
    )
    transcript.exchange(transfer)
    report.add("transfer", expected="201", got=outcome(transfer))
    echo = session.put(f"{servers.rs_url}/api/echo/a%2Fb?c=d")
    transcript.exchange(echo)
    kind = "symmetric" if servers.has_symmetric_keys else "asymmetric"
    report.add(
        "kind of proof verified", expected=kind, got=echo.json().get("proof", "?")
    )
    return transfer


def _show_symmetric_key(client: Client, report: Report) -> None:
    transcript.heading("With the token comes a symmetric key")
    transcript.why(
        "encrypted for a key that was made for this one request, and that the proof "
        "vouched for"
    )
    cnf = client.answers[-1].json().get("cnf", {})
    transcript.fact("encrypted (cnf.jwe)", cnf.get("jwe", "none"))
    held = client.session.dpop.has_symmetric_key(client.session.token["access_token"])
    report.add(
        "symmetric key unwrapped", expected="held", got="held" if held else "none"
    )
