"""What must be there before the authorization server starts; may be done again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from demo_server import (
    client_file,
    demo_data,
    fapi_client,
    resource_server_keys,
    resource_server_tickets,
    shared_stores,
)
from demo_server.client_file import ClientFileError
from demo_server.database import Database
from demo_server.derivation_secrets import open_secrets, rotation_plan
from demo_server.models import Client, User
from demo_server.passwords import check_password, hash_password
from demo_server.settings import Settings
from demo_server.signing_keys import SIGNING_KEYS_FILE, SigningKeys
from dpop_ext.core.target import is_loopback
from dpop_ext.integrations.sqla_denials import SQLDenials

log = logging.getLogger(__name__)


class StartError(Exception):
    """Something that the servers need is missing or faulty."""


def prepare(settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
    """Create tables, keys and secrets that are missing, and register the clients.

    :param clock: seconds since the epoch.
    :raises StartError: the file of clients is faulty.
    :raises PrivateFileError: a key file cannot be read, written or trusted.
    :raises StoreError: derivation secrets cannot be read with the key that there is.
    """
    clients = _clients(settings)
    SigningKeys(settings.keys_directory / SIGNING_KEYS_FILE).signing_key()
    database = Database(settings.database)
    try:
        database.create_schema()
        shared_stores.prepare(settings, "as")
        with Session(database.engine) as session, session.begin():
            _register_clients(session, clients)
            _register_user(session)
        if settings.derives_keys:
            secrets = open_secrets(settings, database.engine, clock=clock)
            secrets.create_schema()
            SQLDenials(database.engine, issuer=settings.issuer_url).create_schema()
            plan = rotation_plan(settings)
            for audience in sorted(
                {a for c in clients for a in c.get("audiences", ())}
            ):
                # The resource server starts after this.
                secrets.register(audience, plan, at_once=True)
    finally:
        database.close()
    if not is_loopback(urlsplit(settings.issuer_url).hostname or ""):
        log.warning("the built-in user and client secrets are public: for a demo only")


def prepare_resource_server(settings: Settings) -> None:
    """Create the keys and stores of the resource server, if they are missing.

    :raises PrivateFileError: a key file cannot be read, written or trusted.
    :raises StoreError: used proofs cannot be stored.
    """
    shared_stores.prepare(settings, "rs")
    resource_server_keys.load_keys(settings.rs_keys_directory)
    if settings.gives_tickets:
        resource_server_tickets.load_row_key(settings)


def _clients(settings: Settings) -> list[dict[str, Any]]:
    resource = settings.resource_url
    clients = demo_data.clients(resource)
    methods = list(client_file.AUTH_METHODS)
    if settings.profile == "fapi2":
        clients = [fapi_client.metadata(settings.keys_directory, resource=resource)]
        methods = ["private_key_jwt"]
    if settings.client_url is not None:
        clients.append(demo_data.browser_client(settings.client_url, resource=resource))
    if settings.clients is not None:
        try:
            clients += client_file.load(
                settings.clients, resource=resource, methods=methods
            )
        except ClientFileError as error:
            raise StartError(f"--clients: {error}") from error
    return clients


def _register_clients(session: Session, clients: list[dict[str, Any]]) -> None:
    """Make these the clients there are. Others stay for their tokens, disabled.

    The resource server is registered by other means.
    """
    for registered in session.scalars(select(Client)):
        if registered.client_id != demo_data.RESOURCE_SERVER_ID:
            registered.enabled = False
    for entry in clients:
        metadata = dict(entry)
        secret = metadata.pop("client_secret", None)
        client = session.get(Client, entry["client_id"])
        if client is None:
            client = Client(client_id=entry["client_id"], secret_hash=None)
            session.add(client)
        if secret is None:
            client.secret_hash = None
        elif not check_password(client.secret_hash, secret):
            client.secret_hash = hash_password(secret)
        client.client_metadata = metadata
        client.enabled = True


def _register_user(session: Session) -> None:
    if session.get(User, demo_data.USERNAME) is None:
        session.add(
            User(
                username=demo_data.USERNAME,
                password_hash=hash_password(demo_data.PASSWORD),
                display_name=demo_data.DISPLAY_NAME,
            )
        )
