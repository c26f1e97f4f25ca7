"""What a keyring says (RFC 7519 section 4; DPoP Symmetric Profile, R1701, R1702)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.keyring_floor import (
    KeyringError,
    KeyringFloor,
    number,
    versions,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

#: Live versions that one keyring may have.
MAX_SECRETS: Final = 16
#: The interval between two polls that a keyring may ask for, in seconds.
MIN_POLL: Final = 30
MAX_POLL: Final = 600
#: Seconds after which a keyring is given up, if three polls are not sooner.
MAX_STALE: Final = 1800
#: Seconds by which the clocks of the two servers may differ.
SKEW: Final = 60
#: Room for denials in a keyring that is read at all, in characters, and how many of
#: them may be one of ``{}[]:,``: what is over the limits of the reader is refused as a
#: whole, with every denial that is in it.
MAX_DENIED_TEXT: Final = 32_000
MAX_DENIED_STRUCTURAL: Final = 3_600

_LIVE: Final = ("pending", "active", "verify_only")
_DERIVATION: Final = "dpop-sym/1"
#: What differs between two keyrings that say the same of the secrets. The interval is a
#: setting, of the issuer or of who reads a file: to change it is no change of them, and
#: raises no number.
_PASSING: Final = ("iat", "exp", "jti", "nonce", "poll")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """A keyring that was verified."""

    ring: SecretRing
    #: What every later keyring must reach.
    floor: KeyringFloor
    #: When it was made, in seconds since the epoch.
    issued_at: int
    #: Seconds between two polls, from :data:`MIN_POLL` to :data:`MAX_POLL`.
    poll: int


def keyring_claims(
    ring: SecretRing, *, epoch: int, sequence: int, poll: int
) -> dict[str, Any]:
    """Return what a keyring says, but for when and to which request.

    It does not depend on the time: as long as it is the same, so is its number.

    :param ring: the secrets of one audience, with what became of earlier ones.
    :param epoch: goes up when the sequence starts again, after a loss of data.
    :param sequence: 1 or more; goes up whenever anything in *ring* changes.
    :param poll: seconds after which the resource server asks again.
    :raises ValueError: there are more than 16 live versions.
    """
    live = [e for e in ring if e.secret is not None and e.version >= ring.min_live]
    live = [e for e in live if e.version not in ring.revoked]
    ended = ring.revoked.union(e.version for e in ring if e.secret is None)
    lowest = live[0].version if live else ring.highest_version + 1
    if len(live) > MAX_SECRETS:
        raise ValueError("too many live versions for a keyring")
    return {
        "iss": ring.issuer,
        "aud": ring.audience,
        "epoch": epoch,
        "seq": sequence,
        "poll": poll,
        "min_live": lowest,
        "keys": [
            {
                "v": entry.version,
                "state": entry.state,
                "nbf": entry.not_before,
                "exp": entry.expires_at,
                "kdf": _DERIVATION,
                "k": b64url_encode(entry.secret.reveal()),
            }
            for entry in live
            if entry.secret is not None
        ],
        "revoked": sorted(version for version in ended if version >= lowest),
        "deny": [_denial_member(denial) for denial in ring.denied],
    }


def content_digest(claims: Mapping[str, Any]) -> str:
    """Return SHA-256 of what a keyring says of the secrets, in hexadecimal digits.

    The secrets in it are random, so that it tells nothing about them.
    """
    content = {n: value for n, value in claims.items() if n not in _PASSING}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_claims(
    claims: Mapping[str, Any], *, floor: KeyringFloor, online: bool, now: int
) -> Keyring:
    """Check what a keyring says and return it.

    :param claims: signed by the issuer for this resource server, as was checked.
    :param floor: what it must reach.
    :param online: it was just asked for, and not kept.
    :param now: seconds since the epoch.
    :raises KeyringError: a claim is refused. A malformed one raises whatever it makes
        Python raise: :func:`.keyring.open_keyring` has one error for all of it.
    """
    issued_at, expires_at = number(claims["iat"]), number(claims["exp"])
    poll = min(max(number(claims["poll"], least=1), MIN_POLL), MAX_POLL)
    good_until = min(expires_at, min(issued_at, now) + min(3 * poll, MAX_STALE))
    if issued_at > now + SKEW or now >= good_until:
        raise KeyringError("the keyring is outside its time; check the clock")
    if online and issued_at < now - SKEW:
        raise KeyringError("the keyring is not fresh; check the clock")
    epoch, sequence = number(claims["epoch"]), number(claims["seq"], least=1)
    content = content_digest(claims)
    floor.check(epoch=epoch, sequence=sequence, content=content)
    if not isinstance(claims["keys"], list) or len(claims["keys"]) > MAX_SECRETS:
        raise KeyringError("the keys of the keyring are malformed")
    floor = floor.raised(
        epoch=epoch,
        sequence=sequence,
        content=content,
        min_live=number(claims["min_live"], least=1),
        revoked=versions(claims.get("revoked", [])),
    )
    ring = SecretRing(
        [_read_secret(entry) for entry in claims["keys"]],
        issuer=claims["iss"],
        audience=claims["aud"],
        min_live=floor.min_live,
        revoked=floor.revoked,
        denied=DenyList(_read_denial(entry) for entry in claims.get("deny", [])),
        good_until=good_until,
    )
    return Keyring(ring=ring, floor=floor, issued_at=issued_at, poll=poll)


def fit_in_keyring(denials: Iterable[Denial]) -> bool:
    """Tell whether a keyring has room for all of *denials*."""
    text = json.dumps([_denial_member(denial) for denial in denials])
    structural = sum(map(text.count, "{}[]:,"))
    return len(text) <= MAX_DENIED_TEXT and structural <= MAX_DENIED_STRUCTURAL


def _read_secret(entry: Mapping[str, Any]) -> AudienceSecret:
    if entry["kdf"] != _DERIVATION or entry["state"] not in _LIVE:
        raise KeyringError("a key of the keyring is of an unknown kind")
    return AudienceSecret(
        version=number(entry["v"], least=1),
        state=entry["state"],
        not_before=number(entry["nbf"]),
        expires_at=number(entry["exp"]),
        secret=SecretBytes(b64url_decode(entry["k"])),
    )


def _denial_member(denial: Denial) -> dict[str, Any]:
    if denial.r is not None:
        return {"r": b64url_encode(denial.r), "exp": denial.expires_at}
    return {"jti": denial.token_id, "exp": denial.expires_at}


def _read_denial(entry: Mapping[str, Any]) -> Denial:
    r, token_id = entry.get("r"), entry.get("jti")
    if token_id is not None and not isinstance(token_id, str):
        raise KeyringError("a denial of the keyring is malformed")
    return Denial(
        token_id=token_id,
        r=b64url_decode(r) if r is not None else None,
        expires_at=number(entry["exp"]),
    )
