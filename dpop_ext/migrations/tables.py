"""Every table that the package keeps by itself, with the names it gives them."""

from __future__ import annotations

from sqlalchemy import MetaData

from dpop_ext.stores.denial_tables import define_denial_tables
from dpop_ext.stores.logouts_sql import define_logout_table
from dpop_ext.stores.pushed_requests_sql import define_pushed_request_table
from dpop_ext.stores.secret_tables import define_secret_tables
from dpop_ext.stores.sql_statements import define_tables as define_used_proof_tables
from dpop_ext.stores.ticket_keys_sql import define_ticket_key_table


def define_tables(metadata: MetaData) -> None:
    """Add all tables to *metadata*, as the newest migration leaves them.

    For ``target_metadata`` in ``env.py``. Tables with other names, which the stores
    can be told, are migrated by the application: define them in its metadata instead.

    :param metadata: of the application.
    """
    define_used_proof_tables(metadata)
    define_pushed_request_table(metadata)
    define_secret_tables(metadata)
    define_denial_tables(metadata)
    define_ticket_key_table(metadata)
    define_logout_table(metadata)
