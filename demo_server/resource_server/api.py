"""The protected resources, and what the server says about itself (RFC 9728)."""

from __future__ import annotations

import hashlib
from typing import Any

from authlib.integrations.flask_oauth2 import current_token
from flask import Blueprint, Flask, Response, abort, jsonify, request
from werkzeug.routing import BaseConverter, Rule

from demo_server.settings import Settings
from dpop_ext.errors import StoreError
from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.resource_server import RoutePolicy, protected_resource_metadata
from dpop_ext.verifier import ProofVerifier

METADATA_PATH = "/.well-known/oauth-protected-resource"
SCOPES = ("accounts", "transfers")

ACCOUNTS = (
    {"id": "1", "name": "Current account", "currency": "EUR", "balance": "1250.00"},
    {"id": "2", "name": "Savings", "currency": "EUR", "balance": "9800.00"},
)
MAX_AMOUNT = 1_000_000


class Everything(BaseConverter):
    """The rest of a path, whatever it is; also nothing, or more slashes."""

    regex = "(?s:.*)"
    part_isolating = False


def create_blueprint(
    settings: Settings, verifier: ProofVerifier, protector: ResourceProtector
) -> Blueprint:
    """Return the API, behind *protector*."""
    api = Blueprint("api", __name__)
    metadata = protected_resource_metadata(
        verifier,
        resource=settings.resource_url,
        authorization_servers=[settings.issuer_url],
        scopes=SCOPES,
        accept_bearer=settings.bearer,
        asymmetric_paths=["/api/payees"],
        signs_answers=True,
    )

    @api.get(METADATA_PATH)
    def well_known() -> Response:
        return jsonify(metadata)

    @api.get("/api/accounts")
    @protector("accounts")  # type: ignore[untyped-decorator]
    def accounts() -> Response:
        return jsonify(owner=_subject(), proof=_proof_kind(), accounts=ACCOUNTS)

    @api.post("/api/transfers")
    @protector("transfers")  # type: ignore[untyped-decorator]
    def transfers() -> tuple[Response, int]:
        order = _read_order(_read_json())
        number = hashlib.sha256(request.get_data()).hexdigest()[:12]
        answer = {"id": number, "status": "accepted", "proof": _proof_kind(), **order}
        return jsonify(answer), 201

    @api.post("/api/payments")
    @protector(  # type: ignore[untyped-decorator]
        "transfers", route=RoutePolicy(request_digest=True)
    )
    def payments() -> tuple[Response, int]:
        order = _read_order(_read_json())
        return jsonify(status="accepted", proof=_proof_kind(), **order), 201

    @api.post("/api/payees")
    @protector(  # type: ignore[untyped-decorator]
        "transfers", route=RoutePolicy(asymmetric=True)
    )
    def payees() -> tuple[Response, int]:
        payee = _read_payee(_read_json())
        return jsonify(status="added", proof=_proof_kind(), payee=payee), 201

    if verifier.tickets is not None:

        @api.post("/api/logout")
        @protector()  # type: ignore[untyped-decorator]
        def logout() -> tuple[str, int]:
            if not current_proof:
                abort(400)
            try:
                verifier.log_out(jkt=current_proof.jkt)
            except StoreError:
                abort(503)
            return "", 204

    return api


def add_echo(app: Flask, protector: ResourceProtector) -> None:
    """Add the resource that answers with the request as it was verified.

    Past the routing of Flask, which would name the methods, and would send a client
    with two slashes in its path elsewhere.
    """

    @protector("accounts")  # type: ignore[untyped-decorator]
    def echo(rest: str) -> Response:  # noqa: ARG001 - it is in the raw target
        target = request.environ.get("RAW_URI") or request.environ["REQUEST_URI"]
        return jsonify(method=request.method, target=target, proof=_proof_kind())

    app.url_map.merge_slashes = False
    app.url_map.converters["everything"] = Everything
    app.url_map.add(
        Rule("/api/echo/<everything:rest>", endpoint="echo", strict_slashes=False)
    )
    app.view_functions["echo"] = echo


def _subject() -> str:
    return str(current_token.claims.get("sub", current_token.client_id))


def _proof_kind() -> str | None:
    """Return how the request was proved; None for an unbound Bearer token."""
    return current_proof.kind if current_proof else None


def _read_json() -> Any:
    """Return the body, or None if it is no JSON that can be read."""
    try:
        return request.get_json(silent=True)
    except RecursionError:  # nested too deeply, which is not silent
        return None


def _read_order(body: Any) -> dict[str, str | int]:
    """Return a well-formed order; what is not in it is left out."""
    if not isinstance(body, dict):
        abort(400)
    amount = body.get("amount")
    if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
        abort(422)
    return {"amount": amount, "to": _read_payee(body)}


def _read_payee(body: Any) -> str:
    """Return who is to be paid."""
    if not isinstance(body, dict):
        abort(400)
    to = body.get("to")
    if not isinstance(to, str) or not 0 < len(to) <= 64 or not to.isalnum():
        abort(422)
    return to
