"""The proof that most requests come with, verified in one step (RFC 9449 section 4.3).

It makes the checks of :meth:`.ProofVerifier.open` and :meth:`~.ProofVerifier.verify`,
for a proof by a known key with a known token that is written as the clients of this
package write it. What it does not accept is decided there, and so are the reasons.
"""

from __future__ import annotations

import hmac

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.jws_signature import check_signature
from dpop_ext.core.nonce import Nonces, check_nonce
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import KnownHeaders, ProofHeader
from dpop_ext.core.usual_claims import read_usual_claims
from dpop_ext.errors import BadSignatureError
from dpop_ext.symmetric.proof import MAX_PROOF_LENGTH, USUAL_HEADERS
from dpop_ext.symmetric.verification import DerivedKey
from dpop_ext.symmetric_verifier import SymmetricVerifier
from dpop_ext.verified_proof import VerifiedProof, verified_proof


class UsualProofs:
    """Accepts usual proofs at a resource server. It remembers nothing itself.

    :param headers: of the verifier: those whose signature verified before.
    :param symmetric: of the verifier; None if it takes no keys of tokens.
    """

    __slots__ = ("_headers", "_symmetric")

    def __init__(
        self, headers: KnownHeaders, symmetric: SymmetricVerifier | None
    ) -> None:
        self._headers = headers
        self._symmetric = symmetric

    def verify(
        self,
        proof: str,
        *,
        method: str,
        url: str,
        token: AccessToken,
        token_name: bytes,
        policy: ProofPolicy,
        nonces: Nonces | None,
        now: int,
    ) -> VerifiedProof | None:
        """Return what the two steps would return; None says nothing about *proof*.

        MAC or signature come last, so that nobody pays for them twice.

        :param proof: value of the one ``DPoP`` field, as received.
        :param method: of the request, as received.
        :param url: of the request, normalised.
        :param token: of the request, which is good now.
        :param token_name: the SHA-256 of its exact text.
        :param policy: algorithms, times and limits.
        :param nonces: None demands none.
        :param now: seconds since the epoch.
        :raises BadSignatureError: the first thing wrong is the MAC or the signature.
        """
        confirmation, symmetric = token.confirmation, self._symmetric
        if (
            confirmation is None
            or confirmation.jkt is None
            or confirmation.certificate is not None
            or len(proof) > policy.max_length
            or len(proof) > MAX_PROOF_LENGTH
        ):
            return None
        signing_input, _, last = proof.rpartition(".")
        segment, _, payload = signing_input.partition(".")
        header: ProofHeader | None = None
        key: DerivedKey | None = None
        next_nonce: str | None = None
        try:
            algorithm = USUAL_HEADERS.get(segment)
            if algorithm is None or symmetric is None:
                header = self._find_header(segment, token, policy)
            else:
                key = symmetric.recall(token_name, token, algorithm=algorithm, now=now)
            if not last or (header is None and key is None):
                return None
            ath = b64url_encode(token_name) if key is None else key.ath
            claims = read_usual_claims(b64url_decode(payload))
            if (
                claims is None
                or claims["htm"] != method
                or claims["htu"] != url
                or not hmac.compare_digest(claims["ath"], ath)
                or len(claims["jti"]) > policy.max_jti_length
            ):
                return None
            policy.check_time(iat=claims["iat"], nbf=None, exp=None, now=now)
            if nonces is not None:
                next_nonce = check_nonce(nonces, claims.get("nonce"), "rs", now)
            message, signature = signing_input.encode("ascii"), b64url_decode(last)
        except Exception:  # noqa: BLE001 - who decides next meets it again, and says so
            return None
        if header is not None:
            check_signature(header.check, message, signature)
        elif key is None or not hmac.compare_digest(
            key.mac_key.tag(message), signature
        ):
            # With an opaque token it is not what is looked at first.
            if symmetric is None or not symmetric.opens_tokens:
                return None
            raise BadSignatureError
        return verified_proof(
            jkt=confirmation.jkt,
            jti=claims["jti"],
            kind="asymmetric" if key is None else "symmetric",
            key_kind=None if key is None else "derived",
            claims=claims,
            iat=claims["iat"],
            next_nonce=next_nonce,
            window=policy.window,
            now=now,
        )

    def _find_header(
        self, segment: str, token: AccessToken, policy: ProofPolicy
    ) -> ProofHeader | None:
        """Return the header of an asymmetric proof by the key of *token*.

        :raises DPoPError: *token* was denied.
        """
        header, confirmation = self._headers.get(segment), token.confirmation
        if (
            header is None
            or confirmation is None
            or header.jkt != confirmation.jkt
            or header.members["alg"] not in policy.algorithms
        ):
            return None
        if self._symmetric is not None:
            self._symmetric.check_denied(token)
        return header
