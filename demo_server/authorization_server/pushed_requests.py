"""Pushed authorization requests in the database (RFC 9126)."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, delete

from demo_server.database import Database
from demo_server.models import PushedRequest as Row
from demo_server.token_hash import token_hash
from dpop_ext.stores.pushed_requests import PushedRequest


class StoredPushedRequests:
    """A :class:`dpop_ext.stores.pushed_requests.PushedRequestStore`.

    :param database: whose session belongs to the request.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed*, and drop what has expired."""
        session = self._database.session
        session.execute(delete(Row).where(Row.expires_at <= now))
        session.add(
            Row(
                reference_hash=token_hash(reference),
                client_id=pushed.client_id,
                parameters=dict(pushed.parameters),
                dpop_jkt=pushed.dpop_jkt,
                expires_at=pushed.expires_at,
            )
        )
        session.commit()

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed."""
        row = self._database.session.get(Row, token_hash(reference))
        if row is None:
            return None
        return PushedRequest(
            client_id=row.client_id,
            parameters=row.parameters,
            dpop_jkt=row.dpop_jkt,
            expires_at=row.expires_at,
        )

    def consume(self, reference: str) -> bool:
        """Remove a request; True for the one call that did."""
        session = self._database.session
        statement = delete(Row).where(Row.reference_hash == token_hash(reference))
        result = cast("CursorResult[Any]", session.execute(statement))
        session.commit()
        return result.rowcount == 1
