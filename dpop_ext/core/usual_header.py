"""The header of a proof as this package writes it: :rfc:`9449#section-4.2`."""

from __future__ import annotations

import re
from typing import Any, Final

#: With a key on a curve, without white space and escapes, in the order of this
#: package's client. Whether the values fit each other is looked at later.
_USUAL: Final = re.compile(
    r'\{"typ":"dpop\+jwt","alg":"([A-Za-z0-9]+)"'
    r',"jwk":\{"kty":"(EC|OKP)","crv":"([A-Za-z0-9-]+)"'
    r',"x":"([A-Za-z0-9_-]{43})"(?:,"y":"([A-Za-z0-9_-]{43})")?\}\}'
)


def read_usual_header(raw: bytes) -> dict[str, Any] | None:
    """Return what a strict JSON parser would.

    :param raw: the header of a proof.
    :returns: None for headers that are written otherwise, whatever they are.
    """
    try:
        usual = _USUAL.fullmatch(raw.decode("ascii"))
    except UnicodeDecodeError:
        return None
    if usual is None:
        return None
    algorithm, kty, crv, x, y = usual.groups()
    jwk = {"kty": kty, "crv": crv, "x": x}
    if y is not None:
        jwk["y"] = y
    return {"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk}
