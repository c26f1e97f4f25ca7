"""A session that ``dpop-ext login`` made, taken up again (:rfc:`9449#section-5`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from joserfc.jwk import Key

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.keys import read_key
from dpop_ext.cli.session_options import SessionPlace, client_secret, refusing
from dpop_ext.client.servers import Profile, Servers
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.errors import LostKeyError
from dpop_ext.integrations.requests_client import Discovery, OAuth2Session
from dpop_ext.integrations.requests_client.direct import DirectSession


def open_bundle(place: SessionPlace, *, key: AnyKey | None) -> SessionBundle:
    """Return the session that was saved, which has a token.

    :param key: for a session that has none of its own.
    :raises Refusal: there is none, or it cannot be used.
    """
    store = place.store
    try:
        with refusing():
            if store.read() is None:
                advice = "dpop-ext login makes one"
                if key is not None:
                    advice += "; a token from elsewhere is --access-token"
                raise Refusal(f"there is no session yet: {advice}")
            try:
                bundle = SessionBundle(store)
            except LostKeyError:
                if key is None:
                    raise
                bundle = SessionBundle(store, key=key)
    except LostKeyError as error:
        raise Refusal(
            "the session has no key of its own: --key names the one it was made with"
        ) from error
    except ValueError as error:
        raise Refusal(f"--key: {error}") from error
    if bundle.token is None:
        raise Refusal("the session has no token: dpop-ext login gets one")
    return bundle


def resume(bundle: SessionBundle, *, cacert: str | None) -> OAuth2Session:
    """Return a session with the saved token, which is not refreshed."""
    session = OAuth2Session(bundle.about.get("client_id"), bundle=bundle)
    session.verify = cacert or True
    return session


def resume_with_servers(bundle: SessionBundle, *, cacert: str | None) -> OAuth2Session:
    """Ask the authorization server what it offers, and return a session that refreshes.

    :raises Refusal: the session does not say whose it is.
    :raises DPoPError: the server does not offer any more what is needed.
    :raises requests.RequestException: it cannot be reached.
    """
    about = bundle.about
    if "issuer" not in about or "client_id" not in about:
        raise Refusal("the session does not say whose it is: dpop-ext login")
    servers = discovery(cacert).servers(issuer=about["issuer"])
    return session_at(servers, about, bundle=bundle, cacert=cacert)


def discovery(cacert: str | None) -> Discovery:
    """Return what asks servers about themselves.

    :param cacert: PEM of the authorities to trust; None is the usual ones.
    """
    session = DirectSession()
    session.verify = cacert or True
    return Discovery(session)


def session_at(
    servers: Servers,
    about: Mapping[str, str],
    *,
    bundle: SessionBundle,
    cacert: str | None,
    **options: Any,
) -> OAuth2Session:
    """Return a session with *bundle* at *servers*.

    :param about: what is saved with a session: ``client_id``, and where there are any,
        ``resource``, ``profile``, and ``client_key``, the path of a file.
    :raises Refusal: the client's key cannot be read.
    """
    path = about.get("client_key")
    session = OAuth2Session.for_servers(
        servers,
        about["client_id"],
        client_secret=None if path else client_secret(),
        client_key=None if path is None else _client_key(Path(path)),
        profile=cast("Profile", about.get("profile", "oauth2")),
        bundle=bundle,
        resource=about.get("resource"),
        # The process ends before anything in the background would have begun.
        refresh="foreground",
        **options,
    )
    session.verify = cacert or True
    return session


def _client_key(path: Path) -> Key:
    key = read_key(path)
    if isinstance(key, AKPKey):
        raise Refusal(f"{path}: a key for private_key_jwt is needed, of RFC 7518")
    return key
