"""The claims of a proof in the form that most clients write them: :rfc:`9449`."""

from __future__ import annotations

import re
from typing import Any, Final

#: Without white space and escapes, in the order of this package's client. It has few
#: enough of the characters that the strict parser counts, and numbers that it takes.
_USUAL: Final = re.compile(
    r'\{"jti":"([\w-]{1,256})"'
    r',"htm":"([A-Z]+)"'
    r',"htu":"(https?:[!#-+.-9;-Z^-z|~-]+(?::[!#-+.-9;-Z^-z|~-]+)?)"'
    r',"iat":([1-9][0-9]{0,14})'
    r'(?:,"ath":"([\w-]{43})")?'
    r'(?:,"nonce":"([\w.~+/=-]+)")?\}',
    re.ASCII,
)


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
