"""The proof that most requests come with, verified in one step (RFC 9449 section 4.3).

It makes the checks of :meth:`.ProofVerifier.open` and :meth:`~.ProofVerifier.verify`,
for a proof by a known key, with a known token or without one, that is written as the
clients of this package write it. Whatever else there is, those two know.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.jws_signature import check_signature
from dpop_ext.core.nonce import Nonces, check_nonce
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_header import KnownHeaders, ProofHeader
from dpop_ext.core.request_binding import check_request
from dpop_ext.core.target import normalize_target
from dpop_ext.core.usual_claims import (
    match_usual_claims,
    read_asking_claims,
    read_usual_claims,
)
from dpop_ext.errors import BadSignatureError
from dpop_ext.symmetric.key_request import KeyRequest, usual_key_request
from dpop_ext.symmetric.proof import MAX_PROOF_LENGTH
from dpop_ext.symmetric.proof_header import USUAL_HEADERS, read_ticket_header
from dpop_ext.symmetric_verifier import SymmetricVerifier
from dpop_ext.ticket_uses import TicketUses
from dpop_ext.verified_proof import (
    KeyKind,
    TicketUse,
    VerifiedProof,
    verified_proof,
)


class UsualProofs:
    """Accepts usual proofs. It remembers nothing itself.

    :param headers: of the verifier: those whose signature verified before.
    :param symmetric: of the verifier; None if it takes no keys of tokens.
    :param tickets: of the verifier; None if it takes none.
    :param opens_tokens: a MAC is verified by what a token says, before the token is.
    """

    __slots__ = ("_headers", "_opens_tokens", "_symmetric", "_tickets")

    def __init__(
        self,
        headers: KnownHeaders,
        symmetric: SymmetricVerifier | None,
        tickets: TicketUses | None,
        *,
        opens_tokens: bool,
    ) -> None:
        self._headers = headers
        self._symmetric = symmetric
        self._tickets = tickets
        self._opens_tokens = opens_tokens

    def verify_without_token(
        self,
        proof: str,
        *,
        method: str,
        url: str,
        policy: ProofPolicy,
        get_times: Callable[[], ProofPolicy],
        nonces: Nonces | None,
        clock: Callable[[], float],
    ) -> tuple[VerifiedProof, Mapping[str, Any], KeyRequest | None] | None:
        """Return what the two steps would return at an authorization server.

        :param proof: of a request without an access token, as received.
        :param method: of the request, as received.
        :param url: absolute URL of the request, without its query.
        :param policy: algorithms and limits.
        :param get_times: returns the policy with the times for this request.
        :param nonces: None demands none.
        :param clock: seconds since the epoch.
        :returns: the proof, the key that made it, and what its ``dsk`` asks for if it
            has one; None says nothing about *proof*.
        :raises DPoPError: as the two steps, once the signature was looked at.
        """
        signing_input, _, last = proof.rpartition(".")
        segment, _, payload = signing_input.partition(".")
        header = self._headers.get(segment)
        if header is None or not last or len(proof) > policy.max_length:
            return None
        claims: dict[str, Any] | None
        request: KeyRequest | None = None
        try:
            raw = b64url_decode(payload)
            asking = read_asking_claims(raw)
            if asking is None:
                claims = read_usual_claims(raw)
            else:
                claims = asking[0]
                request = usual_key_request(claims["dsk"]["jwk"], asking[1])
            target = normalize_target(url)
            if (
                claims is None
                or header.members["alg"] not in policy.algorithms
                or len(claims["jti"]) > policy.max_jti_length
            ):
                return None
            message, signature = signing_input.encode("ascii"), b64url_decode(last)
        except Exception:  # noqa: BLE001 - who decides next meets it again, and says so
            return None
        check_signature(header.check, message, signature)
        if claims["htm"] != method or claims["htu"] != target:
            check_request(claims, method=method, url=url, ath=None, target=target)
        times, now = get_times(), int(clock())
        next_nonce: str | None = None
        if nonces is not None:
            next_nonce = check_nonce(nonces, claims.get("nonce"), "as", now)
        times.check_time(iat=claims["iat"], now=now)
        verified = verified_proof(
            header.jkt, claims, claims["iat"], None, next_nonce, times.window, now
        )
        # Read-only, as later proofs with the same header share it.
        return verified, MappingProxyType(header.members["jwk"]), request

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
        """Return what the two steps would return at a resource server.

        None says nothing about *proof*. What it does not know is found out before the
        signature is looked at, so that nobody pays for that twice, and before the MAC,
        unless that is bad and the token opaque. After it the checks, their order and
        the errors are those of the steps.

        :param proof: value of the one ``DPoP`` field, as received.
        :param method: of the request, as received.
        :param url: of the request, normalised if it can be.
        :param token: of the request, which is good now.
        :param token_name: the SHA-256 of its exact text.
        :param policy: algorithms, times and limits.
        :param nonces: None demands none.
        :param now: seconds since the epoch.
        :raises BadSignatureError: the MAC or the signature.
        :raises StaleTicketError: the ticket has ended by a log-out.
        :raises TargetMismatchError: ``htm`` or ``htu`` names another request.
        :raises TokenMismatchError: ``ath`` is of another token.
        :raises NonceRequiredError: the nonce is missing or no longer good.
        :raises StaleProofError: the proof is of another time.
        """
        confirmation = token.confirmation
        if (
            confirmation is None
            or (jkt := confirmation.jkt) is None
            or confirmation.certificate is not None
            or len(proof) > policy.max_length
            or len(proof) > MAX_PROOF_LENGTH
        ):
            return None
        signing_input, _, last = proof.rpartition(".")
        segment, _, payload = signing_input.partition(".")
        try:
            algorithm = USUAL_HEADERS.get(segment)
            found = (
                self._symmetric.recall(token_name, token, algorithm=algorithm, now=now)
                if algorithm is not None and self._symmetric is not None
                else self._find_ticket(segment, token, token_name, now)
                or self._find_header(segment, token, policy)
            )
            # What is left to the steps is not read here, too.
            usual = found and last and match_usual_claims(b64url_decode(payload))
            if not found or not usual:
                return None
            jti, htm, htu, digits, claimed_ath, nonce = usual
            if (
                claimed_ath is None
                or len(jti) > policy.max_jti_length
                # Nothing is wrong with the URL itself.
                or (htu != url and normalize_target(url) != url)
            ):
                return None
            message, signature = signing_input.encode("ascii"), b64url_decode(last)
        except Exception:  # noqa: BLE001 - who decides next meets it again, and says so
            return None
        key_kind: KeyKind | None = None
        if isinstance(found, ProofHeader):
            check_signature(found.check, message, signature)
            ath = b64url_encode(token_name)
        else:
            if not hmac.compare_digest(found.mac_key.tag(message), signature):
                # With an opaque token it is not what is looked at first.
                if not self._opens_tokens:
                    return None
                raise BadSignatureError
            ath, key_kind = found.ath, "derived"
            if isinstance(found, TicketUse) and self._tickets is not None:
                key_kind = "ticket"
                self._tickets.check_ended(found, jkt, now=now)
        iat = int(digits)
        claims = {"jti": jti, "htm": htm, "htu": htu, "iat": iat, "ath": claimed_ath}
        if nonce is not None:
            claims["nonce"] = nonce
        if htm != method or htu != url or not hmac.compare_digest(claimed_ath, ath):
            # It may be for the same URL, written otherwise.
            check_request(claims, method=method, url=url, ath=ath, target=url)
        next_nonce = (
            check_nonce(nonces, nonce, "rs", now) if nonces is not None else None
        )
        window = policy.window
        if not now - window <= iat <= now + policy.future:
            policy.check_time(iat=iat, now=now)
        return verified_proof(jkt, claims, iat, key_kind, next_nonce, window, now)

    def _find_ticket(
        self, segment: str, token: AccessToken, token_name: bytes, now: int
    ) -> TicketUse | None:
        """Return the key of a symmetric proof with a ticket.

        :raises DPoPError: ticket or *token* is not good any more.
        """
        if self._tickets is None:
            return None
        found = read_ticket_header(segment)
        if found is None:
            return None
        if self._symmetric is not None:
            self._symmetric.check_denied(token)
        return self._tickets.recall(
            token_name, token, algorithm=found[0], ticket=found[1], now=now
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
