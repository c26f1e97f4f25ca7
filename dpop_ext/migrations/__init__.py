"""Migrations with Alembic, for what the package keeps in a database.

Its own tables, of used proofs, pushed requests, derivation secrets, ticket keys and
log-outs, are a branch of their own with the label ``dpop_ext``. In ``alembic.ini``::

    path_separator = space
    version_locations = %(here)s/versions dpop_ext:migrations/versions

(without the first line Alembic finds nothing in the second place and does not say so),
and in ``env.py``, so that ``--autogenerate`` leaves the tables alone::

    define_tables(target_metadata)

``alembic upgrade heads`` then creates and changes them with those of the application,
``alembic upgrade dpop_ext@head`` alone. For the columns that the mixins of
:mod:`dpop_ext.integrations.sqla_oauth2` add to tables of the application there are
functions for its own migrations: ``--autogenerate`` finds the columns too, but not how
to fill them where there are rows already.
"""

from __future__ import annotations

from dpop_ext import extras

with extras.needs("migrations"):
    from dpop_ext.migrations.columns import (
        add_code_columns,
        add_token_columns,
        drop_code_columns,
        drop_token_columns,
    )
    from dpop_ext.migrations.tables import define_tables

__all__ = [
    "add_code_columns",
    "add_token_columns",
    "define_tables",
    "drop_code_columns",
    "drop_token_columns",
]
