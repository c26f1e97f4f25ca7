"""Rows that nothing can come of any more, deleted a few at a time."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import Engine, delete, exists, or_, select
from sqlalchemy.exc import SQLAlchemyError

from demo_server.models import AuthorizationCode, Consent, Token

log = logging.getLogger(__name__)

#: Seconds between two sweeps of one process.
INTERVAL = 60
#: Rows of each kind that one sweep deletes at most.
BATCH = 500
#: Seconds that expired rows are kept: a request that is under way still needs them.
MARGIN = 60


class Sweep:
    """Delete tokens, codes and consents when all that hangs on them has expired.

    A code is kept for as long as a token of it: its second use revokes them.

    :param engine: of the database; the sweep has a transaction of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._next = 0

    def now_and_then(self, now: int) -> None:
        """Sweep, if this process has not lately. No request fails because of it."""
        with self._lock:
            if now < self._next:
                return
            self._next = now + INTERVAL
        try:
            self.run(now)
        except SQLAlchemyError as error:
            log.warning("expired rows were not deleted: %s", type(error).__name__)

    def run(self, now: int) -> int:
        """Delete what has expired a while before *now*; return how many rows."""
        before = now - MARGIN
        expired = (
            select(Token.id)
            .where(
                Token.access_token_expires_at < before,
                or_(
                    Token.refresh_token_hash.is_(None),
                    Token.refresh_token_expires_at < before,
                ),
            )
            .limit(BATCH)
        )
        codes = (
            select(AuthorizationCode.code_hash)
            .where(
                AuthorizationCode.expires_at < before,
                ~exists().where(Token.consent_id == AuthorizationCode.consent_id),
            )
            .limit(BATCH)
        )
        # A new one has its code in the same transaction.
        consents = (
            select(Consent.id)
            .where(
                Consent.given_at < before,
                ~exists().where(Token.consent_id == Consent.id),
                ~exists().where(AuthorizationCode.consent_id == Consent.id),
            )
            .limit(BATCH)
        )
        with self._engine.begin() as connection:
            return sum(
                connection.execute(statement).rowcount
                for statement in (
                    delete(Token).where(Token.id.in_(expired)),
                    delete(AuthorizationCode).where(
                        AuthorizationCode.code_hash.in_(codes)
                    ),
                    delete(Consent).where(Consent.id.in_(consents)),
                )
            )
