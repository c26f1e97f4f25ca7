"""The claims of a proof as this package writes them: :rfc:`9449#section-4.2`."""

from __future__ import annotations

import json
import re
from typing import Any, Final

#: Without white space and escapes, in the order of this package's client. It has few
#: enough of the characters that the strict parser counts, and numbers that it takes.
_USUAL: Final = re.compile(
    r'\{"jti":"([A-Za-z0-9_-]{1,256})"'
    r',"htm":"([A-Z]+)"'
    r',"htu":"(https?:[!#-+.-9;-Z^-z|~-]+(?::[!#-+.-9;-Z^-z|~-]+)?)"'
    r',"iat":([1-9][0-9]{0,14})'
    r'(?:,"ath":"([A-Za-z0-9_-]{43})")?'
    r'(?:,"nonce":"([A-Za-z0-9_.~+/=-]+)")?\}',
)

_quote = json.JSONEncoder().encode


def write_usual_claims(
    *, jti: str, htm: str, htu: str, iat: int, ath: str | None, nonce: str | None
) -> bytes:
    """Return the claims of a proof as JSON; a claim that is None is left out."""
    text = (
        f'{{"jti":{_quote(jti)},"htm":{_quote(htm)},"htu":{_quote(htu)},"iat":{iat:d}'
    )
    if ath is not None:
        text += f',"ath":{_quote(ath)}'
    if nonce is not None:
        text += f',"nonce":{_quote(nonce)}'
    return (text + "}").encode("ascii")


def read_usual_claims(raw: bytes) -> dict[str, Any] | None:
    """Return what a strict JSON parser would.

    :param raw: the claims of a proof.
    :returns: None for claims that are written otherwise, whatever they are.
    """
    try:
        usual = _USUAL.fullmatch(raw.decode("ascii"))
    except UnicodeDecodeError:
        return None
    if usual is None:
        return None
    jti, htm, htu, digits, ath, nonce = usual.groups()
    claims = {"jti": jti, "htm": htm, "htu": htu, "iat": int(digits)}
    if ath is not None:
        claims["ath"] = ath
    if nonce is not None:
        claims["nonce"] = nonce
    return claims
