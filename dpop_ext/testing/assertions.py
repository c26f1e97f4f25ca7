"""Whether a route of yours refuses what it must (:rfc:`9449#section-7`)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import Key

from dpop_ext.client.nonces import read_nonce
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.testing.attacks import Fields, Target, attacks, good_request
from dpop_ext.testing.callers import Answer, Call, caller


def assert_rejects_dpop_attacks(
    client: Any,
    path: str,
    *,
    access_token: str,
    key: Key,
    method: str = "GET",
    public_url: str = "https://api.example",
    clock: Callable[[], float] = time.time,
) -> int:
    """Try a few dozen attacks at one route, and fail if one is not refused.

    ::

        def test_the_accounts_are_protected(client, dpop_issuer, dpop_key, dpop_clock):
            assert_rejects_dpop_attacks(
                client, "/accounts",
                access_token=dpop_issuer.access_token(dpop_key.thumbprint()),
                key=dpop_key, clock=dpop_clock)

    A good request comes first, and must be let through: a route that refuses
    everything shows nothing. So the route is called once or twice for real.

    :param client: see :func:`dpop_ext.testing.callers.caller`.
    :param path: path and query of the route.
    :param access_token: one that the route accepts, bound to *key*.
    :param key: the private key that it is bound to.
    :param public_url: what the route is called in proofs, without *path*; the
        ``public_url`` of your settings.
    :param clock: the one that the application has.
    :returns: the number of attacks.
    :raises AssertionError: with a line for each attack that was let through, that
        brought the server down, or whose refusal is not what the RFC says.
    """
    call = caller(client)
    target = Target(
        method=method,
        url=public_url.rstrip("/") + urlsplit(path).path,
        access_token=access_token,
        key=key,
        now=int(clock()),
    )
    target = _let_through(call, path, target)
    found, count = [], 0
    for attack in attacks(target):
        count += 1
        if attack.before is not None:
            call(method, path, attack.before)
        fault = _fault(call(method, path, attack.fields))
        if fault is not None:
            found.append(f"  {attack.name}: {fault} ({attack.section})")
    if found:
        lines = "\n".join(found)
        raise AssertionError(f"{method} {path} does not refuse as it must:\n{lines}")
    return count


def _let_through(call: Call, path: str, target: Target) -> Target:
    """Send a good request, with a nonce if one is demanded; return the target."""
    answer = _send(call, path, target)
    nonce = read_nonce([answer.fields.get("dpop-nonce", "")])
    if answer.status == 401 and nonce is not None:
        target = dataclasses.replace(target, nonce=nonce)
        answer = _send(call, path, target)
    if answer.status in {400, 401, 403} or answer.status >= 500:
        challenge = answer.fields.get("www-authenticate", "no challenge")
        raise AssertionError(
            f"{target.method} {path} refuses a good request: status {answer.status}, "
            f"{challenge}. Check access_token, its scope, key, clock, and public_url: "
            f"the proof is for {target.url}"
        )
    return target


def _send(call: Call, path: str, target: Target) -> Answer:
    fields: Fields = good_request(target)
    return call(target.method, path, fields)


def _fault(answer: Answer) -> str | None:
    """Return what is wrong with the answer to an attack, if anything is."""
    if answer.status >= 500:
        return f"the server failed with {answer.status}"
    if answer.status not in {400, 401}:
        return f"it was let through, status {answer.status}"
    if answer.status == 401:
        challenges = parse_challenges([answer.fields.get("www-authenticate", "")])
        if not any(challenge.scheme.lower() == "dpop" for challenge in challenges):
            return "a refusal with 401 has no challenge for DPoP"
    return None
