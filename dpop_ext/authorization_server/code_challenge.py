"""Proof key for code exchange by S256, for every client (RFC 7636, RFC 9700 2.1.1)."""

from __future__ import annotations

import re
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc7636 import CodeChallenge

_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class S256CodeChallenge(CodeChallenge):
    """Authlib's extension without ``plain``, and without exceptions.

    ::

        server.register_grant(AuthorizationCodeGrant, [S256CodeChallenge()])

    The application stores ``code_challenge`` with the code.
    """

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str | None) -> None:
        """Demand a challenge.

        :raises InvalidRequestError: it is missing, repeated, malformed, or not S256.
        """
        super().validate_code_challenge(grant, redirect_uri)
        data = grant.request.payload.data
        # A missing method means "plain".
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A code_challenge of method S256 is required.")
        if not _S256_CHALLENGE.fullmatch(data.get("code_challenge", "")):
            raise InvalidRequestError("The code_challenge is malformed.")

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Demand the verifier.

        :raises InvalidGrantError: it does not fit, or the code has no challenge.
        :raises InvalidRequestError: it is missing or malformed.
        """
        code = grant.request.authorization_code
        if not self.get_authorization_code_challenge(code):
            raise InvalidGrantError("The authorization code has no code_challenge.")
        super().validate_code_verifier(grant, result)

    def get_authorization_code_challenge_method(self, authorization_code: Any) -> str:
        """Return the one method there is."""
        return "S256"
