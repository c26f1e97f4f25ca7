"""A resource server as its clients see it (:rfc:`9449#section-7`)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.checkup.probe import Probe
from dpop_ext.core.policy import RFC9449

#: Seconds that clocks may differ before somebody should look.
SMALL_SKEW = 5

_CLOCK = "clock"
_CHALLENGE = "challenge"
_PUBLIC_URL = "public URL"
_HOST = "Host field"
_CORS = "CORS"


def check_clock(probe: Probe) -> Iterator[Finding]:
    """Compare the server's clock with the one of this machine."""
    response = probe.send()
    if response.date is None:
        yield look(_CLOCK, "the answer has no Date field", "Let the server send one.")
        return
    # A Date field is cut to seconds.
    offset = response.date + 0.5 - (probe.clock() - response.delay)
    seen = f"{offset:+.0f} s from this machine"
    if abs(offset) <= SMALL_SKEW:
        yield good(_CLOCK, seen)
    elif abs(offset) < RFC9449.future:
        yield look(_CLOCK, seen, "Let both synchronise their clocks (NTP).")
    else:
        yield bad(
            _CLOCK,
            seen,
            f"Proofs are refused from {RFC9449.future} s in the future on: let both "
            "synchronise their clocks (NTP).",
        )


def check_challenge(probe: Probe) -> Iterator[Finding]:
    """Ask without credentials."""
    response = probe.send()
    challenge = response.challenge
    if response.status != 401 or challenge is None:
        yield bad(
            _CHALLENGE,
            f"status {response.status} without a DPoP challenge",
            "The URL must be one that needs an access token with a DPoP proof.",
        )
        return
    algorithms = challenge.get("algs")
    if algorithms is None:
        yield look(_CHALLENGE, "it names no algorithms", "Let it have algs.")
    else:
        yield good(_CHALLENGE, f"401, DPoP algs={algorithms}")


def check_public_url(probe: Probe) -> Iterator[Finding]:
    """Send a good proof with a token that is none: only the URL can be wrong."""
    token = secrets.token_urlsafe(32)
    response = probe.send(access_token=token, proof=probe.proof(token))
    if response.error == "invalid_dpop_proof":
        yield bad(
            _PUBLIC_URL,
            "a proof for this URL is refused",
            "The server sees another URL than its clients: set its public_url to what "
            f"they call, {_origin(probe.resource)} and the prefix that the proxy "
            "removes, if it does.",
        )
    elif response.error in {"invalid_token", "use_dpop_nonce"}:
        yield good(_PUBLIC_URL, f"a proof for it is good (token: {response.error})")
    else:
        yield bad(
            _PUBLIC_URL,
            f"status {response.status}, error {response.error}",
            "A token that is none must be refused with invalid_token.",
        )


def check_host(probe: Probe) -> Iterator[Finding]:
    """Send a proof that was made for another server, and its name as ``Host``."""
    token = secrets.token_urlsafe(32)
    host = "doctor.invalid"
    target = urlunsplit(urlsplit(probe.resource)._replace(netloc=host))
    response = probe.send(
        access_token=token,
        proof=probe.proof(token, target=target),
        fields={"Host": host},
    )
    if response.error in {"invalid_token", "use_dpop_nonce"}:
        yield bad(
            _HOST,
            "a proof for another host is accepted under its name",
            "Whoever sends a request chooses the Host field: set public_url.",
        )
    else:
        yield good(_HOST, "a proof for another host is refused")


def check_cors(probe: Probe, origin: str) -> Iterator[Finding]:
    """Ask as a browser does before and with a request of a script."""
    preflight = probe.send(
        method="OPTIONS",
        fields={
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,dpop",
        },
    )
    response = probe.send(fields={"Origin": origin})
    for answer in (preflight, response):
        if answer.fields.get("Access-Control-Allow-Origin") not in {origin, "*"}:
            advice = "Add it to the allowed origins, in refusals too."
            yield bad(_CORS, f"{origin} is not allowed", advice)
            return
    if not preflight.is_accepted:
        yield bad(
            _CORS,
            f"a preflight request is answered {preflight.seen}",
            "A browser sends no token with it: answer it before one is demanded.",
        )
        return
    allowed = _names(preflight.fields.get("Access-Control-Allow-Headers"))
    # Fetch: a wildcard is every name but this one.
    missing = {"authorization"} if "*" in allowed else {"authorization", "dpop"}
    missing -= allowed
    if missing:
        yield bad(
            _CORS,
            f"not allowed in requests: {', '.join(sorted(missing))}",
            "Add them to Access-Control-Allow-Headers; * does not stand for "
            "Authorization.",
        )
        return
    exposed = _names(response.fields.get("Access-Control-Expose-Headers"))
    hidden = {"dpop-nonce", "www-authenticate"} - exposed
    if hidden and "*" not in exposed:
        yield bad(
            _CORS,
            f"scripts cannot read: {', '.join(sorted(hidden))}",
            "Add them to Access-Control-Expose-Headers, in refusals too.",
        )
    else:
        yield good(_CORS, f"scripts of {origin} can send proofs and read nonces")


def _names(value: str | None) -> set[str]:
    return {name.strip().lower() for name in (value or "").split(",")} - {""}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
