"""A refusal as an error of Authlib, with its own challenges (RFC 9449 section 7.1)."""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import MissingAuthorizationError

from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.refusal import NO_CREDENTIALS, Refusal


class RefusedRequestError(OAuth2Error):
    """The request is not served. Authlib's own errors challenge for Bearer alone.

    :param refusal: what is wrong.
    :param challenges: how this server says it.
    """

    def __init__(self, refusal: Refusal, challenges: Challenges) -> None:
        self.error, self.description = refusal.error, refusal.description
        # Not by an argument: Authlib looks at each of its characters, which takes as
        # long as the decision did. Whoever writes the challenges does that, too.
        OAuth2Error.__init__(self, status_code=refusal.status)
        self.refusal = refusal
        self.challenges = challenges

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the header fields of the answer, all of them."""
        return self.challenges.headers(self.refusal)

    def get_body(self) -> list[tuple[str, str]]:
        """Return the members of the JSON body."""
        return list(self.challenges.body(self.refusal).items())


class MissingCredentialsError(RefusedRequestError, MissingAuthorizationError):
    """No credentials were sent. ``optional=True`` of a protector lets these pass."""


def as_oauth2_error(refusal: Refusal, challenges: Challenges) -> RefusedRequestError:
    """Return the error of Authlib for *refusal*."""
    if refusal.reason == NO_CREDENTIALS:
        return MissingCredentialsError(refusal, challenges)
    return RefusedRequestError(refusal, challenges)
