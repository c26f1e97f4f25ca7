"""The session of ``dpop-ext curl``, and whether its token may go where it is sent."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import OAuth2Token
from requests import Response

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.saved_session import open_bundle, resume, resume_with_servers
from dpop_ext.cli.session_options import SessionPlace
from dpop_ext.cli.shown_exchange import show_exchange
from dpop_ext.client.destination import Destination
from dpop_ext.core.akp import AnyKey
from dpop_ext.integrations.requests_client import OAuth2Session


def take_up(
    place: SessionPlace,
    *,
    key: AnyKey | None,
    url: str,
    elsewhere: bool,
    refresh: bool,
    verbose: bool,
    cacert: str | None,
) -> OAuth2Session:
    """Return the saved session, with a token that has not expired.

    :param key: for a session that has none of its own.
    :param url: where its token is to be sent to.
    :param elsewhere: also if it is for another server.
    :param refresh: get a new token in any case.
    :param verbose: show the refresh on standard error.
    :raises Refusal: there is none, its token is for another server, or has expired
        and there is no refresh token.
    """
    bundle = open_bundle(place, key=key)
    resource = bundle.about.get("resource", url)
    if not elsewhere and not _is_same_server(resource, url):
        raise Refusal(
            "URL: the token of the session is for another server; --elsewhere sends it "
            "all the same"
        )
    token = OAuth2Token(dict(bundle.token or {}))
    if not refresh and not token.is_expired():
        return resume(bundle, cacert=cacert)
    if "refresh_token" not in token:
        raise Refusal("the session has no refresh token: dpop-ext login")
    session = resume_with_servers(bundle, cacert=cacert)
    if verbose:

        def show(response: Response) -> Response:
            show_exchange(response, jkt=session.dpop.jkt)
            return response

        session.register_compliance_hook("refresh_token_response", show)
    # The way that processes which share the session agree on: one of them refreshes.
    session.token = OAuth2Token({**token, "expires_at": 0})
    session.ensure_active_token()
    return session


def _is_same_server(resource: str, url: str) -> bool:
    try:
        expected = Destination.of(resource)
    except ValueError:
        # A name, such as a URN: it does not say where it is.
        return True
    return expected.origin == Destination.of(url).origin
