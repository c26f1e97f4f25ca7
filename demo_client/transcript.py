"""What goes over the wire, printed for a person."""

from __future__ import annotations

import base64
import itertools
import json
import os
import sys
from typing import Any
from urllib.parse import parse_qs

from requests import Response

_SHOWN_REQUEST = ("Authorization", "DPoP")
_SHOWN_RESPONSE = (
    *("WWW-Authenticate", "DPoP-Nonce", "DPoP-Response", "DPoP-Ticket"),
    "Location",
)
_MAX_VALUE = 76
_BOLD, _DIM, _RESET = "\033[1m", "\033[2m", "\033[0m"
_COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


_steps = itertools.count(1)


def heading(text: str) -> None:
    """Begin a step, with the next number."""
    print(f"\n{_style(f'{next(_steps)}. {text}', _BOLD)}", flush=True)


def why(text: str) -> None:
    """Say in one line why something happens."""
    print(_style(f"    {text}", _DIM), flush=True)


def fact(name: str, value: object) -> None:
    """Show one value."""
    print(f"    {name:<22}{_shorten(str(value))}", flush=True)


def exchange(response: Response, *, body: bool = True) -> None:
    """Show a response with its request, and before it those that it took."""
    for one in [*response.history, response]:
        _show(one, body=body)


def describe_proof(proof: str) -> str:
    """Return type, algorithm, claims and length of a proof."""
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=="))
            for part in proof.split(".")[:2]
        )
        typ, alg = header["typ"], header["alg"]
    except (KeyError, TypeError, ValueError):
        return "not a proof"
    shown = " ".join(f"{name}={_shorten(str(claims[name]), 14)}" for name in claims)
    return f"{typ} {alg}, {len(proof)} bytes: {shown}"


def _show(response: Response, *, body: bool) -> None:
    request = response.request
    print(f"  > {request.method} {_shorten(str(request.url), 100)}")
    for name in _SHOWN_REQUEST:
        value = request.headers.get(name)
        if value is None:
            continue
        shown = describe_proof(value) if name == "DPoP" else _credentials(value)
        print(f"      {name}: {shown}")
    if isinstance(request.body, str) and "dpop_proof=" in request.body:
        proof = parse_qs(request.body)["dpop_proof"][0]
        print(f"      dpop_proof={describe_proof(proof)}")
    print(f"  < {response.status_code} {response.reason}")
    for name in _SHOWN_RESPONSE:
        if name in response.headers:
            print(f"      {name}: {_shorten(response.headers[name], 100)}")
    if body and response.headers.get("Content-Type", "").startswith("application/json"):
        print(f"      {_shorten(_body(response), 100)}")
    sys.stdout.flush()


def _body(response: Response) -> str:
    members: Any = response.json()
    if isinstance(members, dict):
        # Tokens and keys are shown by their beginning.
        return ", ".join(
            f"{name}: {_shorten(str(v), 28)}" for name, v in members.items()
        )
    return str(members)


def _credentials(value: str) -> str:
    scheme, _, token = value.partition(" ")
    return f"{scheme} {_shorten(token, 20)} ({len(token)} bytes)"


def _shorten(text: str, length: int = _MAX_VALUE) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _style(text: str, code: str) -> str:
    return f"{code}{text}{_RESET}" if _COLOURS else text
