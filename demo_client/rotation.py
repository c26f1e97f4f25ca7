"""The operator replaces the derivation secrets, and the client hardly notices."""

from __future__ import annotations

import json
import time

from demo_client import transcript
from demo_client.journey import Client
from demo_client.report import Report, outcome, without_nonces
from demo_client.servers import Servers, operate

#: The demo's resource server asks for its secrets every two seconds.
_POLL = 2.5  # seconds


def run(client: Client, servers: Servers, report: Report) -> None:
    """Rotate, then revoke the secret behind the client's key, and call the API."""
    url = f"{servers.rs_url}/api/accounts"
    session = client.session
    transcript.heading("The operator rotates the derivation secrets")
    listed = json.loads(operate(servers, "list", "--json"))
    (version,) = (v["version"] for v in listed[0]["versions"] if v["state"] == "active")
    _show(servers, "rotate")
    _show(servers, "list")
    response = session.get(url)
    report.add(
        "symmetric, while a version is pending",
        expected="200",
        got=without_nonces(outcome(response)),
    )

    transcript.heading(f"Version {version} may have leaked: the operator revokes it")
    _show(servers, "revoke", str(version), "--yes")
    transcript.why(f"the resource server knows in {_POLL} seconds")
    time.sleep(_POLL)
    transcript.why(
        "the token is still good, so the request goes out again with an asymmetric "
        "proof; one refresh brings a token of the same key, and later ones a new "
        "symmetric key, as soon as every resource server has the new version"
    )
    before = len(client.answers)
    response = session.get(url)
    transcript.exchange(response)
    refreshes = client.answers[before:]
    for refresh in refreshes:
        transcript.exchange(refresh)
    report.add(
        "stale key, then asymmetric",
        expected="401 invalid_token stale_key, 200",
        got=without_nonces(outcome(response)),
    )
    report.add("refreshes", expected="1", got=str(len(refreshes)))

    response = session.get(url)
    transcript.exchange(response)
    report.add(
        "asymmetric, no outage", expected="200", got=without_nonces(outcome(response))
    )


def _show(servers: Servers, *arguments: str) -> None:
    print(f"  $ dpop-ext secrets {' '.join(arguments)}")
    for line in operate(servers, *arguments).splitlines():
        print(f"    {line}")
