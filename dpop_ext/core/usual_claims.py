"""The claims of a proof as this package writes them: :rfc:`9449#section-4.2`."""

from __future__ import annotations

import json
import re
from typing import Any, Final

#: Without white space and escapes, in the order of this package's client. It has few
#: enough of the characters that the strict parser counts, and numbers that it takes.
#: What may be absent is written as an alternative, which takes less than a ``?``.
_CLAIMS: Final = (
    r'"jti":"([A-Za-z0-9_-]{1,256})"'
    r',"htm":"([A-Z]+)"'
    r',"htu":"(https?:[!#-+.-9;-Z^-z|~-]+(?::[!#-+.-9;-Z^-z|~-]+|))"'
    r',"iat":([1-9][0-9]{0,14})'
    r'(?:,"ath":"([A-Za-z0-9_-]{43})"|)'
    r'(?:,"nonce":"([A-Za-z0-9_.~+/=-]+)"|)\}'
)
_USUAL: Final = re.compile(r"\{" + _CLAIMS)
_NAME: Final = r'\["([A-Za-z0-9+._-]{1,32})"\]'
#: The same in a token request that asks for a symmetric key (DPoP Symmetric Profile).
_ASKING: Final = re.compile(
    rf'\{{"dsk":\{{"algs":{_NAME}'
    r',"jwk":\{"crv":"X25519","x":"([A-Za-z0-9_-]{43})","kty":"OKP"\}'
    rf'(?:,"kalgs":{_NAME})?(?:,"encs":{_NAME})?\}},' + _CLAIMS
)

#: ``jti``, ``htm``, ``htu`` and the digits of ``iat``; ``ath`` and ``nonce``, or None.
UsualValues = tuple[str, str, str, str, str | None, str | None]

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


def match_usual_claims(raw: bytes) -> UsualValues | None:
    """Return the values of the claims, for whoever looks at them before anything else.

    :param raw: the claims of a proof.
    :returns: None for claims that are written otherwise, whatever they are.
    """
    try:
        found: Any = _USUAL.fullmatch(raw.decode("ascii"))
    except UnicodeDecodeError:
        return None
    return None if found is None else found.groups()


def read_usual_claims(raw: bytes) -> dict[str, Any] | None:
    """Return what a strict JSON parser would.

    :param raw: the claims of a proof.
    :returns: None for claims that are written otherwise, whatever they are.
    """
    usual = match_usual_claims(raw)
    if usual is not None:
        return _claims(usual)
    asking = read_asking_claims(raw)
    return None if asking is None else asking[0]


def read_asking_claims(
    raw: bytes,
) -> tuple[dict[str, Any], tuple[str, str | None, str | None]] | None:
    """Return what a strict JSON parser would, of a request for a symmetric key.

    :param raw: the claims of a proof.
    :returns: beside them the names that ``algs``, ``kalgs`` and ``encs`` of ``dsk``
        consist of, each well-formed, or None where there is no such list. None for
        claims that are written otherwise, whatever they are.
    """
    try:
        asking = _ASKING.fullmatch(raw.decode("ascii"))
    except UnicodeDecodeError:
        return None
    if asking is None:
        return None
    algorithm, x, kalg, enc, jti, htm, htu, digits, ath, nonce = asking.groups()
    jwk = {"crv": "X25519", "x": x, "kty": "OKP"}
    request: dict[str, Any] = {"algs": [algorithm], "jwk": jwk}
    if kalg is not None:
        request["kalgs"] = [kalg]
    if enc is not None:
        request["encs"] = [enc]
    claims = _claims((jti, htm, htu, digits, ath, nonce))
    return {"dsk": request, **claims}, (algorithm, kalg, enc)


def _claims(usual: UsualValues) -> dict[str, Any]:
    jti, htm, htu, digits, ath, nonce = usual
    claims: dict[str, Any] = {"jti": jti, "htm": htm, "htu": htu, "iat": int(digits)}
    if ath is not None:
        claims["ath"] = ath
    if nonce is not None:
        claims["nonce"] = nonce
    return claims
