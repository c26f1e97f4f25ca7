"""The credentials of a request: one scheme, one token, one proof.

:rfc:`9449#section-7.1` and :rfc:`9110#section-11.4`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote_plus

from dpop_ext.core.token68 import is_token68
from dpop_ext.core.token_text import MAX_TOKEN_LENGTH
from dpop_ext.errors import AccessTokenError, MalformedProofError
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.error_refusal import malformed_request, refuse
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    Scheme,
    unsupported_scheme,
)

_PARAMETER = "access_token"
#: Characters of this name with an escape for each.
_LONGEST_NAME = 3 * len(_PARAMETER)
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MALFORMED = "The Authorization header is malformed."
_SCHEMES: dict[str, Scheme] = {"dpop": "dpop", "bearer": "bearer"}


# Not frozen: each request gets one, and to fill a frozen one takes three times as long.
@dataclass(slots=True, kw_only=True)
class ResourceRequest:
    """What the decision needs of a request, as the server received it.

    The lists have one entry for each header field line. A server that joins lines with
    a comma gives one entry with that comma.
    """

    method: str
    #: ``http`` or ``https``, as the server itself saw it.
    scheme: str
    #: Host and port, as the server itself saw them.
    host: str
    #: The request target as it was sent, with its escapes.
    raw_target: str = field(repr=False)
    authorization: tuple[str, ...] = field(repr=False)
    proofs: tuple[str, ...] = field(repr=False)
    #: The query or a form names an access token.
    token_elsewhere: bool = False
    #: SHA-256 thumbprint of the certificate that the client showed on this connection,
    #: base64url (RFC 8705); None if there is none, or none that can be trusted.
    certificate: str | None = None
    #: The proofs that this request has spent already, by store, because another
    #: layer of the same application decided about it too.
    spent: set[tuple[int, bytes]] = field(default_factory=set, repr=False)
    #: Returns the content as received, before content decoding, given how many bytes it
    #: may have; raises ContentTooLargeError. It is called after MAC and token were
    #: verified, and only for a proof that says something of the content. None: it
    #: cannot be read here, and such a proof is refused.
    read_content: Callable[[int], bytes] | None = field(default=None, repr=False)
    #: Where the signer of the answer is left; None: nobody signs answers.
    answer: AnswerSlot | None = field(default=None, repr=False)


class Credentials(NamedTuple):
    """One access token, and under the DPoP scheme its proof."""

    scheme: Scheme
    token: str
    #: None under Bearer, where a ``DPoP`` field is ignored.
    proof: str | None

    def __repr__(self) -> str:
        return f"<Credentials {self.scheme}>"


def parse_credentials(request: ResourceRequest) -> Credentials | None:
    """Return the credentials of *request*, or None when it has none at all.

    :raises AccessRefusedError: several credentials, or malformed ones; a scheme that
        is neither DPoP nor Bearer; an access token that is too long; under DPoP, no
        proof or more than one.
    """
    found = parse_token(request)
    if found is None:
        return None
    scheme, token = found
    if scheme == "bearer":
        return Credentials(scheme, token, None)
    if len(request.proofs) == 1:
        # It may be empty, and then fails. To call the class takes twice as long.
        return tuple.__new__(Credentials, (scheme, token, request.proofs[0]))
    description = (
        "There must be one DPoP header."
        if request.proofs
        else "The DPoP proof is missing."
    )
    raise AccessRefusedError(refuse(MalformedProofError(description)))


def parse_token(request: ResourceRequest) -> tuple[Scheme, str] | None:
    """Do :func:`parse_credentials` without looking at the proof.

    :returns: scheme and access token.
    :raises AccessRefusedError: as there, but for the proof.
    """
    if request.token_elsewhere:
        raise AccessRefusedError(
            malformed_request("An access token goes into the Authorization header.")
        )
    if not request.authorization:
        return None
    if len(request.authorization) > 1 or "," in request.authorization[0]:
        raise AccessRefusedError(
            malformed_request("There must be one Authorization header.")
        )
    name, _, token = request.authorization[0].strip(" \t").partition(" ")
    # In any case for dispatch and thereby for enforcement: "dpop" is not a lesser DPoP.
    scheme = _SCHEMES.get(name.lower())
    if scheme is None:
        if _SCHEME.fullmatch(name):
            raise AccessRefusedError(unsupported_scheme())
        raise AccessRefusedError(malformed_request(_MALFORMED))
    token = token.lstrip(" ")
    if not is_token68(token):
        raise AccessRefusedError(malformed_request(_MALFORMED, schemes=(scheme,)))
    if len(token) > MAX_TOKEN_LENGTH:
        error = AccessTokenError("The access token is too long.")
        raise AccessRefusedError(refuse(error, schemes=(scheme,)))
    return scheme, token


def names_access_token(urlencoded: str) -> bool:
    """Tell whether a query or form has a parameter ``access_token``."""
    # Most requests have none at all. And a name of another length is not decoded: a
    # form has room for many.
    return bool(urlencoded) and any(
        unquote_plus(name) == _PARAMETER
        for pair in urlencoded.split("&")
        if len(_PARAMETER) <= len(name := pair.partition("=")[0]) <= _LONGEST_NAME
    )
