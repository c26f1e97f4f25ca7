"""New keys of a client, for what its server supports (:rfc:`9449#section-5.1`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AnyKey
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.errors import UnsupportedKeyError

_RSA_SIZE = 3072  # bits
#: What a new key is for, unless the caller says otherwise: small and fast ones first.
_PREFERENCE = ("ES256", "Ed25519", "EdDSA", "PS256", "ES384", "ES512", "RS256")
_GENERATE: Mapping[str, Callable[..., Key]] = {
    "EC": ECKey.generate_key,
    "OKP": OKPKey.generate_key,
    "RSA": RSAKey.generate_key,
}


def choose_algorithm(
    algorithm: str | None, *, supported: Collection[str] | None
) -> str:
    """Return the signature algorithm that a new key is for.

    :param algorithm: the one that is wanted; None leaves the choice.
    :param supported: those of the server; None if they are not known.
    :raises ValueError: not an algorithm of DPoP.
    :raises UnsupportedKeyError: the server supports none of the algorithms, or not
        the one that is wanted.
    """
    if algorithm is not None and algorithm not in {*ALGORITHMS, *ML_DSA}:
        raise ValueError("not a signature algorithm of DPoP")
    wanted = _PREFERENCE if algorithm is None else (algorithm,)
    common = [name for name in wanted if supported is None or name in supported]
    if not common:
        raise UnsupportedKeyError("The server supports no algorithm of the client.")
    return common[0]


def generate_key(algorithm: str) -> AnyKey:
    """Make a private key.

    :param algorithm: what it is to sign with.
    :raises ValueError: the cryptography package of this process lacks it.
    """
    if algorithm in ML_DSA:
        return ml_dsa.generate(algorithm)
    key_type, curve = ALGORITHMS[algorithm]
    return _GENERATE[key_type](_RSA_SIZE if curve is None else curve)
