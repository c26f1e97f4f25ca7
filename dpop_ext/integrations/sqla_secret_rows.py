"""Rows of derivation secrets and their roots, in one transaction.

DPoP Symmetric Profile 1.0. Two servers that change the same secrets at the same time
both take the next sequence number: one of them is refused, and looks again.
"""

from __future__ import annotations

import dataclasses
import secrets

from sqlalchemy import Connection, delete, insert, select, update

from dpop_ext.errors import StoreError
from dpop_ext.stores.secret_tables import SecretTables, read_rows, sealed_row
from dpop_ext.symmetric.derivation import SECRET_LENGTH, audience_secret
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.sealed_row import (
    ROOT_ID_LENGTH,
    audience_row_key,
    open_root,
    open_rows,
    seal_root,
    seal_row,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

_PLAN = tuple(field.name for field in dataclasses.fields(RotationPlan))


class ChangedMeanwhileError(Exception):
    """Another server changed the same rows first."""


class SecretRows:
    """What one transaction does with the tables of one issuer.

    :param key: 32 bytes, which stay out of the database.
    """

    def __init__(
        self,
        connection: Connection,
        tables: SecretTables,
        *,
        issuer: str,
        key: SecretBytes,
    ) -> None:
        self._connection = connection
        self._versions = tables.versions
        self._roots = tables.roots
        self._audiences = tables.audiences
        self._issuer = issuer
        self._key = key

    def audiences(self) -> list[str]:
        """Return the audiences that were registered."""
        table = self._audiences
        ours = table.c.issuer == self._issuer
        query = select(table.c.audience).where(ours).order_by(table.c.audience)
        return list(self._connection.scalars(query))

    def plan(self, audience: str) -> RotationPlan | None:
        """Return how the secrets of *audience* are rotated; None if it is unknown.

        :raises StoreError: the numbers do not fit together.
        """
        table = self._audiences
        ours = (table.c.issuer == self._issuer, table.c.audience == audience)
        row = self._connection.execute(select(table).where(*ours)).first()
        if row is None:
            return None
        # Not authenticated, and so within the limits of the class whatever it says.
        try:
            return RotationPlan(**{name: getattr(row, name) for name in _PLAN})
        except ValueError as error:
            raise StoreError("The rotation plan of an audience is damaged.") from error

    def write_plan(self, audience: str, plan: RotationPlan) -> None:
        """Register *audience*, or give it another plan."""
        table = self._audiences
        ours = (table.c.issuer == self._issuer, table.c.audience == audience)
        values = dataclasses.asdict(plan)
        if self._connection.execute(update(table).where(*ours).values(values)).rowcount:
            return
        values |= {"issuer": self._issuer, "audience": audience}
        self._connection.execute(insert(table).values(values))

    def read(self, audience: str) -> tuple[SecretRing, dict[int, int]]:
        """Return the secrets as they are stored, and the number of each version.

        :raises StoreError: a row was changed by somebody else.
        """
        rows = [
            sealed_row(row)
            for row in read_rows(
                self._connection,
                self._versions,
                issuer=self._issuer,
                audience=audience,
            )
        ]
        ring = open_rows(
            rows, issuer=self._issuer, audience=audience, key=self._row_key(audience)
        )
        return ring, {row.version: row.sequence for row in rows}

    def write(
        self, audience: str, entry: AudienceSecret, *, sequence: int, replaces: int
    ) -> None:
        """Store another state of a version.

        :param replaces: the number of what is there.
        :raises ChangedMeanwhileError: it is not there any more.
        """
        row = seal_row(
            entry,
            issuer=self._issuer,
            audience=audience,
            sequence=sequence,
            key=self._row_key(audience),
        )
        table = self._versions
        values: dict[str, object] = {
            "state": row.state,
            "not_before": row.not_before,
            "sequence": row.sequence,
            "sealed": row.sealed,
        }
        if entry.secret is None:
            values["root_id"] = None
        statement = (
            update(table)
            .where(
                table.c.issuer == self._issuer,
                table.c.audience == audience,
                table.c.version == row.version,
                table.c.sequence == replaces,
            )
            .values(values)
        )
        if self._connection.execute(statement).rowcount != 1:
            raise ChangedMeanwhileError

    def add(
        self,
        audience: str,
        *,
        version: int,
        times: tuple[int, int],
        sequence: int,
        root_since: int,
        now: int,
    ) -> AudienceSecret:
        """Make and store a version.

        :param times: when it begins and ends, in seconds since the epoch.
        :param root_since: derive it from a root that was made after this time, if
            there is one, else from a new one.
        """
        root_id, root = self._root(since=root_since, now=now)
        secret = audience_secret(
            root.reveal(),
            issuer=self._issuer,
            audience=audience,
            version=version,
            root_id=root_id,
        )
        not_before, expires_at = times
        entry = AudienceSecret(
            version=version,
            state="pending" if not_before > now else "active",
            not_before=not_before,
            expires_at=expires_at,
            secret=SecretBytes(secret),
        )
        row = seal_row(
            entry,
            issuer=self._issuer,
            audience=audience,
            sequence=sequence,
            key=self._row_key(audience),
        )
        values = dataclasses.asdict(row) | {"root_id": root_id}
        self._connection.execute(insert(self._versions).values(values))
        return entry

    def erase_unused_roots(self) -> None:
        """Delete the roots that no live version was derived from."""
        roots, versions = self._roots, self._versions
        used = select(versions.c.root_id).where(
            versions.c.issuer == self._issuer, versions.c.root_id.is_not(None)
        )
        self._connection.execute(
            delete(roots).where(
                roots.c.issuer == self._issuer, roots.c.root_id.not_in(used)
            )
        )

    def _root(self, *, since: int, now: int) -> tuple[bytes, SecretBytes]:
        """Return the name and the secret of the newest root, or of a new one."""
        table = self._roots
        query = (
            select(table)
            .where(table.c.issuer == self._issuer, table.c.created_at > since)
            .order_by(table.c.created_at.desc())
            .limit(1)
        )
        row = self._connection.execute(query).first()
        if row is not None:
            root_id = bytes(row.root_id)
            root = open_root(
                bytes(row.sealed), issuer=self._issuer, root_id=root_id, key=self._key
            )
            return root_id, root
        root_id = secrets.token_bytes(ROOT_ID_LENGTH)
        root = SecretBytes(secrets.token_bytes(SECRET_LENGTH))
        sealed = seal_root(root, issuer=self._issuer, root_id=root_id, key=self._key)
        self._connection.execute(
            insert(table).values(
                issuer=self._issuer, root_id=root_id, created_at=now, sealed=sealed
            )
        )
        return root_id, root

    def _row_key(self, audience: str) -> SecretBytes:
        return audience_row_key(self._key, issuer=self._issuer, audience=audience)
