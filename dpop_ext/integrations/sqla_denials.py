"""Access tokens that were revoked before their time, in a database.

DPoP Symmetric Profile 1.0, revocation. A resource server that verifies tokens by itself
learns of a revocation (RFC 7009) from its keyring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from dpop_ext.extras import needs

with needs("sql"):
    from sqlalchemy import Connection, Engine, MetaData, delete, func, insert, select

from dpop_ext.errors import StoreError
from dpop_ext.integrations.sqla_secret_database import create_tables, run
from dpop_ext.stores.denial_tables import define_denial_tables
from dpop_ext.stores.secret_tables import PREFIX
from dpop_ext.stores.sql_engine import check_dialect
from dpop_ext.symmetric.deny_list import MAX_DENIALS, Denial, DenyList
from dpop_ext.symmetric.keyring_claims import fit_in_keyring

#: Exchanges in a row that are followed.
MAX_EXCHANGES: Final = 16


class SQLDenials:
    """Says which tokens are good no more, and what was exchanged from them.

    ::

        denials = SQLDenials(engine, issuer=issuer)
        secrets = SQLAudienceSecrets(engine, key, issuer=issuer, denials=denials)

        def revoke_token(self, token, request):
            ...
            denials.deny(audience, token_id=jti, expires_at=exp)

    :param engine: for SQLite in a file or PostgreSQL; as that of the secrets.
    :param issuer: issuer identifier of the authorization server.
    :param prefix: beginning of the names of the tables; see
        :func:`dpop_ext.stores.denial_tables.define_denial_tables`.
    :param clock: seconds since the epoch.
    :raises ValueError: *engine* is for another database: a denial and an exchange of
        one moment might not see each other.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        issuer: str,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_dialect(engine.url)
        self._engine = engine
        self._issuer = issuer
        self._metadata = MetaData()
        self._tables = define_denial_tables(self._metadata, prefix=prefix)
        self._clock = clock

    def create_schema(self) -> None:
        """Create the tables, if they are not there; many processes may do so at once.

        :raises StoreError: the database does not let us.
        """
        create_tables(self._engine, self._metadata)

    def deny(
        self,
        audience: str,
        *,
        token_id: str | None = None,
        r: bytes | None = None,
        expires_at: int,
    ) -> None:
        """Have *audience* refuse a token, and others what was exchanged from it.

        :param token_id: ``jti`` of the token; or
        :param r: the random value of its symmetric key, 32 bytes. What was exchanged is
            found by *token_id* only.
        :param expires_at: when the token would have ended, in seconds since the epoch.
        :raises ValueError: neither is given, or both, or one is outside its limits.
        :raises StoreError: the database did not answer; or so many tokens are denied
            that no more fit into a keyring: revoke the version of the secret.
        """
        denial = Denial(token_id=token_id, r=r, expires_at=expires_at)

        def step(connection: Connection) -> None:
            self._hold_off_exchanges(connection)
            self._add(connection, audience, denial)
            for row in self._exchanged_from(connection, token_id):
                derived = Denial(token_id=row.token_id, expires_at=row.expires_at)
                self._add(connection, row.audience, derived)

        run(self._engine, step)

    def record_exchange(
        self, *, subject_id: str, token_id: str, audience: str, expires_at: int
    ) -> None:
        """Remember what a token was exchanged from (:rfc:`8693`), until it has ended.

        To be called by ``save_token`` with what is in ``request.token_exchange``. If
        the subject token has been denied meanwhile, the new one is denied at once.

        :param subject_id: ``jti`` of the subject token.
        :param token_id: ``jti`` of the new token.
        :param audience: of the new token.
        :param expires_at: of the new token, in seconds since the epoch.
        :raises StoreError: the database did not answer.
        """
        table = self._tables.exchanges
        values = {
            "issuer": self._issuer,
            "token_id": token_id,
            "subject_id": subject_id,
            "audience": audience,
            "expires_at": expires_at,
        }

        def step(connection: Connection) -> None:
            now = int(self._clock())
            connection.execute(delete(table).where(table.c.expires_at <= now))
            connection.execute(insert(table).values(values))
            # The subject token was good when it was exchanged; since then it may have
            # been denied, with all that was recorded by then.
            if self._is_denied(connection, subject_id):
                derived = Denial(token_id=token_id, expires_at=expires_at)
                self._add(connection, audience, derived)

        run(self._engine, step)

    def read(self, audience: str) -> tuple[DenyList, int]:
        """Return what *audience* must refuse, with a number that goes up with changes.

        :raises StoreError: the database did not answer, or a row is malformed.
        """
        table = self._tables.denials
        ours = (table.c.issuer == self._issuer, table.c.audience == audience)
        query = select(table).where(*ours).order_by(table.c.sequence)
        rows = run(self._engine, lambda connection: connection.execute(query).all())
        try:
            denied = DenyList(map(_denial, rows))
        except (TypeError, ValueError) as error:
            raise StoreError("The denials of an audience are malformed.") from error
        return denied, max((row.sequence for row in rows), default=0)

    def _add(self, connection: Connection, audience: str, denial: Denial) -> None:
        table = self._tables.denials
        ours = (table.c.issuer == self._issuer, table.c.audience == audience)
        now = int(self._clock())
        if denial.expires_at <= now:
            return
        count = select(func.count(), func.max(table.c.sequence)).where(*ours)
        held, newest = connection.execute(count).one()
        same = table.c.token_id == denial.token_id
        if denial.r is not None:
            same = table.c.r == denial.r
        known = select(table.c.sequence).where(
            *ours, same, table.c.expires_at >= denial.expires_at
        )
        if connection.execute(known).first() is not None:
            return
        # What has ended stays in the keyring until there is a change to number: this.
        past = table.c.expires_at <= now
        held -= connection.execute(delete(table).where(*ours, past)).rowcount
        others = connection.execute(select(table).where(*ours)).all()
        try:
            has_room = fit_in_keyring([denial, *map(_denial, others)])
        except (TypeError, ValueError) as error:
            raise StoreError("The denials of an audience are malformed.") from error
        if held >= MAX_DENIALS or not has_room:
            raise StoreError("Too many tokens are denied: revoke the version.")
        connection.execute(
            insert(table).values(
                issuer=self._issuer,
                audience=audience,
                sequence=max(now, (newest or 0) + 1),
                token_id=denial.token_id,
                r=denial.r,
                expires_at=denial.expires_at,
            )
        )

    def _hold_off_exchanges(self, connection: Connection) -> None:
        """Wait for exchanges that are being recorded, and let others wait for us.

        Or one of them and this denial would not see each other, and both be committed.
        SQLite has one writer at a time anyway.
        """
        if connection.dialect.name == "postgresql":
            preparer = connection.dialect.identifier_preparer
            name = preparer.format_table(self._tables.exchanges)
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")

    def _is_denied(self, connection: Connection, token_id: str) -> bool:
        table = self._tables.denials
        query = select(table.c.sequence).where(
            table.c.issuer == self._issuer,
            table.c.token_id == token_id,
            table.c.expires_at > int(self._clock()),
        )
        return connection.execute(query).first() is not None

    def _exchanged_from(
        self, connection: Connection, token_id: str | None
    ) -> Sequence[Any]:
        """Return all tokens that came of one, over any number of exchanges."""
        table = self._tables.exchanges
        found: dict[str, Any] = {}
        names = [token_id] if token_id is not None else []
        for _ in range(MAX_EXCHANGES):
            if not names:
                break
            query = select(table).where(
                table.c.issuer == self._issuer, table.c.subject_id.in_(names)
            )
            rows = connection.execute(query).all()
            names = [row.token_id for row in rows if row.token_id not in found]
            found |= {row.token_id: row for row in rows}
        return list(found.values())


def _denial(row: Any) -> Denial:
    return Denial(
        token_id=row.token_id,
        r=bytes(row.r) if row.r is not None else None,
        expires_at=row.expires_at,
    )
