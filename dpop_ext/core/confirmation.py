"""What an access token is bound to: ``cnf`` (RFC 7800, RFC 9449 section 6)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.key import is_thumbprint
from dpop_ext.errors import AccessTokenError, KeyMismatchError

#: The largest integer that every JSON parser reads exactly.
MAX_VERSION: Final = 2**53 - 1

#: The member for a certificate.
CERTIFICATE: Final = "x5t#S256"

#: Longest encrypted key, in characters. Usual ones have about 850.
MAX_JWE: Final = 4096

_ALGORITHMS: Final = ("HS256", "HS512")
_MEMBERS: Final = frozenset({"jkt", "dsk", "jwe", "sym", CERTIFICATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedKeyReference:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The key or keys that prove possession of a token."""

    #: RFC 7638 SHA-256 thumbprint of the client's key, base64url; None for a token that
    #: is bound to a certificate alone.
    jkt: str | None
    #: How to derive the key of symmetric proofs.
    dsk: DerivedKeyReference | None
    #: That key, encrypted for the resource server: a compact JWE. Never beside *dsk*.
    jwe: str | None = field(default=None, repr=False)
    #: SHA-256 thumbprint of the client's certificate, base64url (RFC 8705 section 3.1).
    certificate: str | None = None
    #: ``cnf.sym``: whether a resource server may give the client a symmetric key of
    #: its own, as a ticket.
    allows_tickets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
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
    claims: Mapping[str, Any] = field(repr=False)


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
    if not isinstance(cnf, dict | Mapping):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    thumbprints = [cnf[name] for name in ("jkt", CERTIFICATE) if name in cnf]
    if not thumbprints or not all(map(is_thumbprint, thumbprints)):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    has_dsk, has_jwe = "dsk" in cnf, "jwe" in cnf
    # A key for symmetric proofs is another way to prove possession of the same token,
    # and there is one of it.
    if not _MEMBERS.issuperset(cnf) or (
        (has_dsk or has_jwe) and ("jkt" not in cnf or (has_dsk and has_jwe))
    ):
        raise AccessTokenError("The access token is bound in a way not known here.")
    if not isinstance(cnf.get("sym", True), bool):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    return Confirmation(
        jkt=cnf.get("jkt"),
        dsk=_parse_reference(cnf["dsk"]) if "dsk" in cnf else None,
        jwe=_parse_encrypted(cnf["jwe"]) if "jwe" in cnf else None,
        certificate=cnf.get(CERTIFICATE),
        allows_tickets=cnf.get("sym", True),
    )


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
    if not isinstance(dsk, Mapping):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    version, expires_at = dsk.get("v"), dsk.get("exp")
    if (
        dsk.get("alg") not in _ALGORITHMS
        # type(), because True is an int.
        or type(version) is not int
        or not 1 <= version <= MAX_VERSION
        # 32 bytes in the same form.
        or not is_thumbprint(dsk.get("r"))
        or ("exp" in dsk and type(expires_at) is not int)
    ):
        raise AccessTokenError("The confirmation of the access token is malformed.")
    return DerivedKeyReference(
        algorithm=dsk["alg"],
        version=version,
        r=b64url_decode(dsk["r"]),
        expires_at=expires_at,
    )


def _parse_encrypted(jwe: object) -> str:
    # Its parts are looked at by whoever decrypts it, once the token is verified.
    if not isinstance(jwe, str) or len(jwe) > MAX_JWE or jwe.count(".") != 4:
        raise AccessTokenError("The confirmation of the access token is malformed.")
    return jwe
