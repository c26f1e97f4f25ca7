"""The operator replaces the derivation secrets, and the client hardly notices."""

from __future__ import annotations

import time

from demo_client import transcript
from demo_client.journey import Client
from demo_client.report import Report, outcome
from demo_client.servers import Servers, rotate_secrets

#: The demo's resource server reads its secrets every two seconds.
_POLL = 2.5  # seconds


def run(client: Client, servers: Servers, report: Report) -> None:
    """Retire the secret behind the client's key, and call the API twice."""
    url = f"{servers.rs_url}/api/accounts"
    session = client.session
    transcript.heading("12. The operator rotates the derivation secrets")
    print("  $ python -m demo_server secrets rotate --retire-old")
    for line in rotate_secrets(servers).splitlines():
        print(f"    {line}")
    transcript.why(f"the resource server has them in {_POLL} seconds")
    time.sleep(_POLL)

    transcript.heading(
        "13. The client's key is stale: its next call works all the same"
    )
    transcript.why(
        "the token is still good, so the request goes out again with an asymmetric "
        "proof, and one refresh brings a new key"
    )
    before = len(client.token_responses)
    response = session.get(url)
    transcript.exchange(response)
    refreshes = client.token_responses[before:]
    for refresh in refreshes:
        transcript.exchange(refresh)
    report.add(
        "stale key, then asymmetric",
        expected="401 invalid_token stale_key, 200",
        got=_without_nonces(outcome(response)),
    )
    report.add("refreshes", expected="1", got=str(len(refreshes)))

    response = session.get(url)
    transcript.exchange(response)
    report.add(
        "symmetric again", expected="200", got=_without_nonces(outcome(response))
    )
    held = session.dpop.has_symmetric_key(session.token["access_token"])
    report.add("new symmetric key", expected="held", got="held" if held else "none")


def _without_nonces(outcomes: str) -> str:
    """Leave out the challenges that come when the minute of a nonce is over."""
    challenges = ("400 use_dpop_nonce, ", "401 use_dpop_nonce, ")
    for challenge in challenges:
        outcomes = outcomes.replace(challenge, "")
    return outcomes
