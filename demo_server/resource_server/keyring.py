"""How the resource server gets at the keys of symmetric proofs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

from demo_server import demo_data, tls
from demo_server.resource_server_keys import load_keys
from demo_server.settings import Settings
from dpop_ext.resource_server import HTTPKeyringSource, KeyringRequest, KeySource
from dpop_ext.resource_server.transport import Answer, ask
from dpop_ext.symmetric.encapsulation import KeyDecryptor

#: How often the secrets are asked for, in seconds. The authorization server would have
#: it do so less often; nobody wants to wait for that in a demo.
POLL_INTERVAL = 2


def create_keyring(
    settings: Settings,
    *,
    jwks: KeySource,
    fetch: Callable[..., bytes] | None,
    clock: Callable[[], float],
) -> HTTPKeyringSource | None:
    """Return the derivation secrets of this server; None if it has none.

    :param jwks: public keys of the authorization server.
    :param fetch: asks it, when a request needs that; None asks it over HTTP, in a
        thread of its own.
    :param clock: seconds since the epoch.
    :raises PrivateFileError: the file of the keys cannot be read or trusted.
    """
    if not settings.derives_keys:
        return None
    signing, decryption = load_keys(settings.rs_keys_directory)
    request = KeyringRequest(
        f"{settings.issuer_url}/keyring",
        issuer=settings.issuer_url,
        client_id=demo_data.RESOURCE_SERVER_ID,
        signing_key=signing,
        post=_post(settings, fetch),
        clock=clock,
    )
    name = hashlib.sha256(settings.resource_url.encode()).hexdigest()[:16]
    return HTTPKeyringSource(
        request,
        audience=settings.resource_url,
        private_keys=[decryption],
        jwks=jwks,
        cache=settings.rs_keys_directory / f"keyring-{name}.jwe",
        poll=POLL_INTERVAL,
        run=None if fetch is None else lambda task: task(),
        clock=clock,
    )


def create_decryptor(settings: Settings) -> KeyDecryptor | None:
    """Return what decrypts the keys in tokens; None if they have none.

    :raises PrivateFileError: the file of the keys cannot be read or trusted.
    """
    if not settings.encapsulates_keys:
        return None
    _, decryption = load_keys(settings.rs_keys_directory)
    return KeyDecryptor(lambda: [decryption])


def _post(
    settings: Settings, fetch: Callable[..., bytes] | None
) -> Callable[..., Answer]:
    if fetch is None:
        return functools.partial(ask, context=tls.client_context(settings))

    def post(url: str, *, data: bytes, headers: dict[str, str]) -> Answer:
        return Answer(200, None, fetch(url, data=data, headers=headers))

    return post
