"""What a request is signed with: the signer and its token (RFC 9449 section 7)."""

from __future__ import annotations

from dpop_ext.client.signer import ProofSigner


def require_signer(signer: ProofSigner) -> ProofSigner:
    """Refuse what is no signer, such as a class or the token.

    :raises TypeError: it is something else.
    """
    if not isinstance(signer, ProofSigner):
        raise TypeError("signer is a ProofSigner, such as ProofSigner.generate()")
    return signer


def require_token(access_token: str) -> str:
    """Refuse what is no token, such as the answer of the token endpoint as a whole.

    :raises TypeError: it is no text.
    """
    if not isinstance(access_token, str):
        raise TypeError("access_token is its text, such as token['access_token']")
    return access_token
