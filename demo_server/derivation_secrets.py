"""The authorization server's derivation secrets: first use, issue, rotation."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import cast

from sqlalchemy import Engine, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from demo_server.models import DerivationSecret
from demo_server.row_encryption import RowEncryption
from dpop_ext.errors import StoreError
from dpop_ext.symmetric.derivation import SECRET_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState

#: How long a version is issued with, in seconds.
ACTIVE_PERIOD = 86_400

#: How long a version stays good after its successor took over, in seconds: longer
#: than any access token lives.
OVERLAP = 86_400


class _ChangedMeanwhileError(Exception):
    """Another process rotated the same secrets first."""


class DerivationSecrets:
    """The table of secrets, as the one issuer sees it.

    :param engine: connections of its own: to look at a secret must not end a
        transaction of the request.
    :param encryption: how the secrets are stored.
    :param issuer: issuer identifier of the authorization server.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        engine: Engine,
        encryption: RowEncryption,
        *,
        issuer: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._encryption = encryption
        self._issuer = issuer
        self._clock = clock
        self._seen: dict[tuple[str, int], int] = {}
        # From a query to the look at its rows: in between, another thread could see
        # newer ones, and these would look as if they had been put back.
        self._reading = threading.Lock()

    def audiences(self) -> list[str]:
        """Return the audiences that have secrets of this issuer."""
        query = (
            select(DerivationSecret.audience)
            .where(DerivationSecret.issuer == self._issuer)
            .distinct()
            .order_by(DerivationSecret.audience)
        )
        with Session(self._engine) as session:
            return list(session.scalars(query))

    def read(self, audience: str) -> SecretRing:
        """Return all versions of *audience*, ended ones included; maybe none.

        :raises StoreError: the database did not answer, or a row was tampered with.
        """
        return self._read(audience)[0]

    def load_numbered(self, audience: str) -> tuple[SecretRing, int, int] | None:
        """Return the secrets to publish, with a number; None for an unknown audience.

        The epoch is the time of the first version, as a new database begins again. The
        sequence counts every change of a row; no row is ever deleted.

        :raises StoreError: as :meth:`read`.
        """
        if self.load(audience) is None:
            return None
        ring, sequence = self._read(audience)
        first = next(iter(ring))
        return ring, first.not_before, sequence

    def _read(self, audience: str) -> tuple[SecretRing, int]:
        try:
            with self._reading, Session(self._engine) as session:
                rows = self._rows(session, audience)
                entries = [self._open(row) for row in rows]
                sequence = sum(row.sequence + 1 for row in rows)
            ring = SecretRing(entries, issuer=self._issuer, audience=audience)
            return ring, sequence
        except SQLAlchemyError as error:
            raise StoreError from error
        except ValueError as error:
            raise StoreError("The derivation secrets contradict each other.") from error

    def load(self, audience: str) -> SecretRing | None:
        """Return the secrets to issue keys with; None for an unknown audience.

        Starts a new version when the active one has had its period.

        :raises StoreError: as :meth:`read`.
        """
        ring = self.read(audience)
        if not ring.highest_version:
            return None
        if any(entry.state == "active" and self._is_due(entry) for entry in ring):
            self.rotate(audience, after=ring.highest_version)
            ring = self.read(audience)
        return ring

    def register(self, audience: str) -> None:
        """Give *audience* its first version, unless it has one.

        :raises StoreError: as :meth:`read`.
        """
        self.rotate(audience, after=0)

    def rotate(
        self, audience: str, *, after: int | None = None, retire_old: bool = False
    ) -> int:
        """Make a new version the active one, at once; return the newest version.

        Versions past their time are erased.

        :param after: do nothing if there is a newer version than this by now.
        :param retire_old: erase every older version instead of letting it run out, so
            that keys derived from it are refused.
        :raises StoreError: the database did not answer, or a row was tampered with.
        """
        try:
            with self._reading, Session(self._engine) as session, session.begin():
                rows = self._rows(session, audience)
                newest = rows[-1].version if rows else 0
                if after is not None and newest > after:
                    return newest
                for row in rows:
                    self._retire(session, row, at_once=retire_old)
                now = int(self._clock())
                row = DerivationSecret(
                    issuer=self._issuer,
                    audience=audience,
                    version=newest + 1,
                    state="active",
                    not_before=now,
                    expires_at=now + ACTIVE_PERIOD + OVERLAP,
                    sequence=0,
                )
                self._encryption.seal(row, secrets.token_bytes(SECRET_LENGTH))
                session.add(row)
                return newest + 1
        except (IntegrityError, _ChangedMeanwhileError) as error:
            if after is None:
                raise StoreError("The derivation secrets were just rotated.") from error
            return newest + 1
        except SQLAlchemyError as error:
            raise StoreError from error

    def _retire(
        self, session: Session, row: DerivationSecret, *, at_once: bool
    ) -> None:
        """Take *row* one state further, if it is time."""
        entry = self._open(row)
        if entry.secret is None:
            return
        state: SecretState = "verify_only"
        secret = entry.secret.reveal()
        if at_once or int(self._clock()) >= entry.expires_at:
            state, secret = "retired", b""
        if state == entry.state:
            return
        changed = DerivationSecret(
            issuer=row.issuer,
            audience=row.audience,
            version=row.version,
            state=state,
            not_before=row.not_before,
            expires_at=row.expires_at,
            sequence=row.sequence + 1,
        )
        self._encryption.seal(changed, secret)
        statement = (
            update(DerivationSecret)
            .where(
                DerivationSecret.issuer == row.issuer,
                DerivationSecret.audience == row.audience,
                DerivationSecret.version == row.version,
                DerivationSecret.sequence == row.sequence,
            )
            .values(state=state, sequence=changed.sequence, sealed=changed.sealed)
            .execution_options(synchronize_session=False)
        )
        result = cast("CursorResult[object]", session.execute(statement))
        if result.rowcount != 1:
            raise _ChangedMeanwhileError

    def _rows(self, session: Session, audience: str) -> list[DerivationSecret]:
        query = (
            select(DerivationSecret)
            .where(
                DerivationSecret.issuer == self._issuer,
                DerivationSecret.audience == audience,
            )
            .order_by(DerivationSecret.version)
        )
        return list(session.scalars(query))

    def _open(self, row: DerivationSecret) -> AudienceSecret:
        secret = self._encryption.open(row)
        # An old row put back in its place opens as well as it ever did.
        key = (row.audience, row.version)
        if row.sequence < self._seen.setdefault(key, row.sequence):
            raise StoreError("A derivation secret is older than it has been.")
        self._seen[key] = row.sequence
        return AudienceSecret(
            version=row.version,
            state=cast("SecretState", row.state),
            not_before=row.not_before,
            expires_at=row.expires_at,
            secret=SecretBytes(secret) if secret else None,
        )

    def _is_due(self, entry: AudienceSecret) -> bool:
        return int(self._clock()) >= entry.not_before + ACTIVE_PERIOD
