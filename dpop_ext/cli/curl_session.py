"""The session of ``dpop-ext curl``: made by ``dpop-ext login``, refreshed here."""

from __future__ import annotations

from collections.abc import Callable

from requests import Response

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.session_options import open_bundle, open_session
from dpop_ext.cli.shown_exchange import show_exchange
from dpop_ext.client.destination import Destination
from dpop_ext.core.akp import AnyKey
from dpop_ext.integrations.requests_client import OAuth2Session


def take_up(
    place: str | None, *, key: AnyKey | None, url: str, elsewhere: bool
) -> OAuth2Session:
    """Return the saved session.

    :param key: for a session that has none of its own.
    :param url: where its token is to be sent to.
    :param elsewhere: also if it is for another server.
    :raises Refusal: there is none, or its token is for another server.
    """
    bundle = open_bundle(place, key=key)
    if bundle.token is None:
        raise Refusal("the session has no token: dpop-ext login gets one")
    resource = bundle.about.get("resource", url)
    if not elsewhere and not _is_same_server(resource, url):
        raise Refusal(
            "URL: the token of the session is for another server; --elsewhere sends it "
            "all the same"
        )
    return open_session(bundle)


def prepare(session: OAuth2Session, *, refresh: bool, verbose: bool) -> None:
    """Do what comes before the request.

    :param refresh: get a new token, whether or not the present one has expired.
    :param verbose: show each refresh on standard error.
    :raises Refusal: there is no refresh token.
    """
    if verbose:
        session.register_compliance_hook("refresh_token_response", _show(session))
    if not refresh:
        return
    if "refresh_token" not in session.token:
        raise Refusal("the session has no refresh token: dpop-ext login")
    # The way that processes which share the session agree on: one of them refreshes.
    session.token = {**session.token, "expires_at": 0}
    session.ensure_active_token()


def _show(session: OAuth2Session) -> Callable[[Response], Response]:
    def show(response: Response) -> Response:
        show_exchange(response, jkt=session.dpop.jkt)
        return response

    return show


def _is_same_server(resource: str, url: str) -> bool:
    try:
        expected = Destination.of(resource)
    except ValueError:
        # A name, such as a URN: it does not say where it is.
        return True
    return expected.origin == Destination.of(url).origin
