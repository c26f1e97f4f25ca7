"""The header of a symmetric proof as it is written here (DPoP Symmetric Profile).

Its type is not the one of :rfc:`9449#section-4.2`, so that a verifier that knows only
that specification refuses the proof.
"""

from __future__ import annotations

import re
from typing import Final

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.confirmation import MAX_VERSION
from dpop_ext.core.jose import json_segment
from dpop_ext.core.recent import Recent
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS

SYMMETRIC_PROOF_TYPE: Final = "dpop-sym+jwt"

#: The headers of proofs without a ``kid``, encoded, by their algorithm.
_HEADERS: Final = {
    name: json_segment({"typ": SYMMETRIC_PROOF_TYPE, "alg": name})
    for name in MAC_ALGORITHMS
}
#: And the algorithms, by these headers.
USUAL_HEADERS: Final = {header: name for name, header in _HEADERS.items()}
#: What proofs with these headers begin with.
_STARTS: Final = tuple(f"{header}." for header in USUAL_HEADERS)
#: A header with a ticket, as it is written here.
_TICKET_HEADER: Final = re.compile(
    rb'\{"typ":"dpop-sym\+jwt","alg":"(HS256|HS512)","tkt":"([A-Za-z0-9_-]{36})"\}'
)
#: Characters of such a header in base64url.
_TICKET_HEADER_LENGTH: Final = 108
#: Headers with a ticket that were read lately: all proofs with a ticket have the same.
_TICKET_HEADERS: Final[Recent[str, tuple[str, str]]] = Recent(4096)


def write_header(algorithm: str, version: int | None, ticket: str | None) -> str:
    """Return the header of a proof, encoded.

    :param algorithm: ``HS256`` or ``HS512``.
    :param version: of the derivation secret, to be sent as ``kid``; or None.
    :param ticket: to be sent as ``tkt``; or None.
    :raises ValueError: there are both, or *version* is none.
    """
    if ticket is not None:
        if version is not None:
            raise ValueError("the key of a ticket has no version")
        return json_segment(
            {"typ": SYMMETRIC_PROOF_TYPE, "alg": algorithm, "tkt": ticket}
        )
    if version is None:
        return _HEADERS[algorithm]
    if not 1 <= version <= MAX_VERSION:
        raise ValueError("a version is an integer from 1 to 2**53-1")
    return json_segment(
        {"typ": SYMMETRIC_PROOF_TYPE, "alg": algorithm, "kid": str(version)}
    )


def has_usual_header(text: str) -> bool:
    """Tell whether a proof has the header of a symmetric one, as it is written here."""
    if text.startswith(_STARTS):
        return True
    try:
        return read_ticket_header(text.partition(".")[0]) is not None
    except MalformedJOSEError:
        return False


def read_ticket_header(segment: str) -> tuple[str, str] | None:
    """Return algorithm and ticket of a header that is written as here, or None.

    :raises MalformedJOSEError: it is no base64url.
    """
    # Not the header of an asymmetric proof, which would be looked for in vain.
    if len(segment) != _TICKET_HEADER_LENGTH:
        return None
    found = _TICKET_HEADERS.get(segment)
    if found is None:
        match = _TICKET_HEADER.fullmatch(b64url_decode(segment))
        if match is not None:
            found = match[1].decode("ascii"), match[2].decode("ascii")
            _TICKET_HEADERS.put(segment, found)
    return found
