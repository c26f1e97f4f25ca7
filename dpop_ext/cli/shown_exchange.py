"""A request and its answer as ``dpop-ext curl --verbose`` shows them to a person."""

from __future__ import annotations

import json
from typing import Any, Final

import click
from requests import Response

from dpop_ext.cli.output import printable
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.core.strict_json import parse_json_object

#: Fields that are worth something to whoever reads them.
_SECRET: Final = {"cookie", "proxy-authorization", "set-cookie"}
_WHY: Final = {
    "use_dpop_nonce": "the server wants its nonce in the proof",
    "use_dpop_asymmetric": "the server wants an asymmetric proof",
    "invalid_dpop_proof": "the proof was refused",
    "invalid_token": "the symmetric key is no longer good",
}


def show_exchange(response: Response, *, jkt: str) -> None:
    """Write a response and those that it took, each with its request, to stderr.

    Proofs are shown decoded, and without their signature; tokens are not shown.

    :param jkt: thumbprint of the key that signs, shown in place of the key.
    """
    for one in response.history:
        _show(one, jkt)
        click.secho(f"* {_why_again(one)}", fg="yellow", err=True)
    _show(response, jkt)


def decode_proof(proof: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and claims, unverified; None if it is no proof."""
    try:
        header, claims, _ = proof.split(".")
        return (
            parse_json_object(b64url_decode(header)),
            parse_json_object(b64url_decode(claims)),
        )
    except ValueError:
        return None


def error_code(response: Response) -> str:
    """Return the error code of a challenge, or of the body of a token endpoint."""
    challenges = parse_challenges([response.headers.get("WWW-Authenticate", "")])
    for challenge in challenges:
        if (code := challenge.get("error")) is not None:
            return printable(code)
    return ""


def _show(response: Response, jkt: str) -> None:
    request = response.request
    _line(">", f"{request.method} {request.url}", bold=True)
    # Not .items() of the fields themselves: it would make another proof.
    for name in request.headers:
        value = request.headers[name]
        if name.lower() == "dpop":
            _show_proof(value, jkt)
        else:
            _line(">", f"{name}: {_redacted(name, value)}")
    status = response.status_code
    _line("<", f"{status} {response.reason}", bold=True, good=status < 400)
    for name, value in response.headers.items():
        _line("<", f"{name}: {_redacted(name, value)}")


def _show_proof(proof: str, jkt: str) -> None:
    decoded = decode_proof(proof)
    if decoded is None:
        _line(">", f"DPoP: no proof, {len(proof)} bytes")
        return
    header, claims = decoded
    kind = "asymmetric" if "jwk" in header else "symmetric"
    if "jwk" in header:
        header = {**header, "jwk": f"the key with jkt {jkt}"}
    _line(">", f"DPoP: {kind} proof, {len(proof)} bytes")
    for title, members in (("header", header), ("claims", claims)):
        for name, value in members.items():
            _line(">", f"        {title} {name} {json.dumps(value)}", dim=True)


def _redacted(name: str, value: str) -> str:
    if name.lower() == "authorization":
        scheme, _, credentials = value.partition(" ")
        return f"{scheme} <{len(credentials)} bytes, not shown>"
    return f"<{len(value)} bytes, not shown>" if name.lower() in _SECRET else value


def _why_again(response: Response) -> str:
    if response.is_redirect:
        return "redirected"
    code = error_code(response)
    if not code and response.status_code == 400:
        # Of a token endpoint.
        return "the server wants its nonce in the proof; sent again"
    return f"{_WHY.get(code, 'refused')}; sent again"


def _line(
    mark: str, text: str, *, bold: bool = False, dim: bool = False, good: bool = True
) -> None:
    colour = None if good else "red"
    styled = click.style(printable(text), bold=bold or None, dim=dim or None, fg=colour)
    click.echo(f"{mark} {styled}", err=True)
