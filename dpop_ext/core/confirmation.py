"""What an access token is bound to: ``cnf`` (RFC 7800, RFC 9449 section 6)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.key import is_thumbprint
from dpop_ext.errors import (
    AccessTokenError,
    KeyMismatchError,
    MalformedJOSEError,
    UnboundTokenError,
)

#: The largest integer that every JSON parser reads exactly.
MAX_VERSION: Final = 2**53 - 1

#: The member for a certificate.
CERTIFICATE: Final = "x5t#S256"

#: Longest encrypted key, in characters. Usual ones have about 850.
MAX_JWE: Final = 4096

_R_LENGTH: Final = 32
_ALGORITHMS: Final = ("HS256", "HS512")
_MEMBERS: Final = frozenset({"jkt", "dsk", "jwe", "sym", CERTIFICATE})


# Tuples, because the frozen dataclasses that these could be take four times as long to
# make: 4 of the 90 microseconds of a token that is seen for the first time.


class DerivedKeyReference(NamedTuple):
    """``cnf.dsk``: how a resource server derives the key of symmetric proofs.

    Nothing in it is secret.
    """

    algorithm: str
    #: Version of the derivation secret.
    version: int
    #: 32 random bytes, fresh for each token.
    r: bytes
    #: End of the key's life, in seconds since the epoch; None: that of the token.
    expires_at: int | None


class Confirmation(NamedTuple):
    """The key or keys that prove possession of a token."""

    #: RFC 7638 SHA-256 thumbprint of the client's key, base64url; None for a token that
    #: is bound to a certificate alone.
    jkt: str | None
    #: How to derive the key of symmetric proofs.
    dsk: DerivedKeyReference | None
    #: That key, encrypted for the resource server: a compact JWE. Never beside *dsk*.
    jwe: str | None = None
    #: SHA-256 thumbprint of the client's certificate, base64url (RFC 8705 section 3.1).
    certificate: str | None = None
    #: ``cnf.sym``: whether a resource server may give the client a symmetric key of
    #: its own, as a ticket.
    allows_tickets: bool = True

    def __repr__(self) -> str:
        # Without the encrypted key.
        return (
            f"<Confirmation jkt={self.jkt!r} dsk={self.dsk!r}"
            f" certificate={self.certificate!r}>"
        )


class AccessToken(NamedTuple):
    """What a proof is compared with. Made from a token that was verified elsewhere."""

    #: None where the server does not say.
    issuer: str | None
    audience: tuple[str, ...]
    client_id: str | None
    #: In seconds since the epoch.
    expires_at: int | None
    #: ``jti`` of the token.
    token_id: str | None
    #: None for an unbound token.
    confirmation: Confirmation | None
    #: Space-separated.
    scope: str
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        # Without the claims, which say who the user is.
        return (
            f"<AccessToken issuer={self.issuer!r} audience={self.audience!r}"
            f" client_id={self.client_id!r} token_id={self.token_id!r}"
            f" scope={self.scope!r}>"
        )


def parse_confirmation(cnf: object) -> Confirmation:
    """Read a ``cnf`` that is there; for a token without one, do not call this.

    Every member has to be understood: one that cannot be verified here makes the token
    unusable rather than less bound.

    :param cnf: the member as parsed, whatever it is.
    :raises AccessTokenError: not an object; with neither ``jkt`` nor ``x5t#S256``, or
        one that is no thumbprint of 43 canonical characters; with another member than
        these two, ``dsk``, ``jwe`` and ``sym``; with a ``sym`` that is no boolean; or
        with both ``dsk`` and ``jwe``, or one of them that is malformed or without
        ``jkt``.
    """
    # The usual type first: to find out about others takes a microsecond.
    if not isinstance(cnf, dict) and not isinstance(cnf, Mapping):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    has_jkt, has_certificate = "jkt" in cnf, CERTIFICATE in cnf
    if (
        not (has_jkt or has_certificate)
        or (has_jkt and not is_thumbprint(cnf["jkt"]))
        or (has_certificate and not is_thumbprint(cnf[CERTIFICATE]))
    ):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    has_dsk, has_jwe = "dsk" in cnf, "jwe" in cnf
    # A key for symmetric proofs is another way to prove possession of the same token,
    # and there is one of it.
    if not _MEMBERS.issuperset(cnf) or (
        (has_dsk or has_jwe) and (not has_jkt or (has_dsk and has_jwe))
    ):
        raise AccessTokenError("The access token is bound in a way not known here.")
    allows_tickets = cnf.get("sym", True)
    if allows_tickets is not True and allows_tickets is not False:
        raise AccessTokenError("The confirmation of the access token is malformed.")
    values = (
        cnf["jkt"] if has_jkt else None,
        _parse_reference(cnf["dsk"]) if has_dsk else None,
        _parse_encrypted(cnf["jwe"]) if has_jwe else None,
        cnf[CERTIFICATE] if has_certificate else None,
        allows_tickets,
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(Confirmation, values)


def bound_jkt(token: AccessToken) -> str:
    """Return the thumbprint of the key that *token* is bound to.

    :raises UnboundTokenError: it is bound to no key, or to a certificate alone.
    """
    if token.confirmation is None or token.confirmation.jkt is None:
        raise UnboundTokenError
    return token.confirmation.jkt


def check_binding(token: AccessToken, jkt: str) -> None:
    """Check that *token* is bound to the key of a proof (:rfc:`9449#section-7.1`).

    :param jkt: thumbprint of that key.
    :raises UnboundTokenError: it is bound to no key, or to a certificate alone.
    :raises KeyMismatchError: it is bound to another one.
    """
    # Not by a call of the function above: this is done for each request.
    if token.confirmation is None or token.confirmation.jkt is None:
        raise UnboundTokenError
    # Thumbprints are public: there is nothing to learn from the time this takes.
    if token.confirmation.jkt != jkt:
        raise KeyMismatchError


def check_certificate(confirmation: Confirmation, certificate: str | None) -> None:
    """Check that a request came with the certificate that its token is bound to.

    :param certificate: SHA-256 thumbprint of the client's certificate on the
        connection, base64url; None if there is none, or none that can be trusted.
    :raises KeyMismatchError: the token is bound to another one.
    """
    bound = confirmation.certificate
    if bound is not None and (
        certificate is None
        or not hmac.compare_digest(bound.encode(), certificate.encode())
    ):
        raise KeyMismatchError("The access token is bound to another certificate.")


def _parse_reference(dsk: object) -> DerivedKeyReference:
    if not isinstance(dsk, dict) and not isinstance(dsk, Mapping):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    algorithm, version, expires_at = dsk.get("alg"), dsk.get("v"), dsk.get("exp")
    r = _octets(dsk.get("r"))
    if (
        algorithm not in _ALGORITHMS
        # type(), because True is an int.
        or type(version) is not int
        or not 1 <= version <= MAX_VERSION
        or len(r) != _R_LENGTH
        or (type(expires_at) is not int and "exp" in dsk)
    ):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    values = (algorithm, version, r, expires_at)
    return tuple.__new__(DerivedKeyReference, values)


def _octets(value: object) -> bytes:
    try:
        return b64url_decode(value) if isinstance(value, str) else b""
    except MalformedJOSEError:
        return b""


def _parse_encrypted(jwe: object) -> str:
    # Its parts are looked at by whoever decrypts it, once the token is verified.
    if not isinstance(jwe, str) or len(jwe) > MAX_JWE or jwe.count(".") != 4:
        raise AccessTokenError("The confirmation of the access token is malformed.")
    return jwe
