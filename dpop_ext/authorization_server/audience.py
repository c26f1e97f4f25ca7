"""Which resource server a token is for: the ``resource`` parameter (RFC 8707)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpop_ext.authorization_server.client_metadata import metadata_of
from dpop_ext.authorization_server.errors import InvalidTargetError


class AudienceSelection:
    """Chooses the one audience of a token, from the request and the registrations.

    Authlib has no ``resource`` parameter, and takes the client for the audience of a
    JWT. A symmetric key needs a real one, and exactly one.

    The choice is in ``request.audience`` when ``save_authorization_code`` and
    ``save_token`` run. Store it with the code and the refresh token, as ``audience``,
    so that a later token is for the same resource server.
    """

    def get_audience(self, request: Any, client: Any) -> str | None:
        """Choose the audience of the token. Developers MAY re-implement this method.

        In this order: what the request asks for, what the code or the refresh token was
        issued for, the default of the client, the only audience of the client.

        :param request: the OAuth2Request; ``request.resource`` lists what the client
            asks for.
        :returns: None for a client whose registration names no audiences: then
            ``resource`` is ignored, and there are no symmetric keys.
        :raises RuntimeError: the audiences of the client are no list; or it may choose,
            and the application does not store what it chose.
        :raises InvalidTargetError: more than one resource server was asked for; one
            that the client did not register; another one than the grant is for; or
            none, where the client must choose.
        """
        allowed = self.get_client_audiences(client)
        if allowed is None:
            return None
        if isinstance(allowed, str):
            # Every part of the text would be in it. A TypeError would pass for one that
            # a parser raises for hostile input.
            raise RuntimeError(  # noqa: TRY004
                "The audiences of a client are a list of strings."
            )
        requested: Sequence[str] = request.resource
        granted = self.get_granted_audience(request, several=len(allowed) > 1)
        if len(requested) > 1:
            raise InvalidTargetError("Only one resource can be requested at a time.")
        if requested:
            audience = requested[0]
            if granted is not None and audience != granted:
                raise InvalidTargetError("The grant is for another resource.")
        elif granted is not None:
            audience = granted
        else:
            audience = self.get_default_audience(client, allowed)
        if audience not in allowed:
            raise InvalidTargetError("The client may not access this resource.")
        return audience

    def get_granted_audience(self, request: Any, *, several: bool) -> str | None:
        """Return the audience stored with the code or the refresh token.

        Developers MAY re-implement this method; it reads their ``audience``.

        :param several: the client may ask for more than one, so a grant for one of
            them must not give a token for another.
        """
        grant = getattr(request, "authorization_code", None) or request.refresh_token
        if grant is None:
            return None
        if several and not hasattr(grant, "audience"):
            raise RuntimeError(
                "Store request.audience with codes and refresh tokens, as audience: "
                "this client may ask for several."
            )
        return getattr(grant, "audience", None)

    def get_client_audiences(self, client: Any) -> Sequence[str] | None:
        """Return the resource servers that the client may ask for, or None.

        Developers MAY re-implement this method; it reads the member ``audiences`` of
        the client metadata, which the server assigns.
        """
        audiences: Sequence[str] | None = metadata_of(client).get("audiences")
        return audiences

    def get_default_audience(self, client: Any, allowed: Sequence[str]) -> str:
        """Return the audience for a request that names none.

        Developers MAY re-implement this method; it reads the member
        ``default_audience`` of the client metadata.

        :raises InvalidTargetError: there are several, and none is the default.
        """
        default = metadata_of(client).get("default_audience")
        if isinstance(default, str):
            return default
        if len(allowed) != 1:
            raise InvalidTargetError("The resource parameter is required.")
        return allowed[0]
