"""The proof verifier of both servers: open, verify, spend (RFC 9449 section 4.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Literal

from dpop_ext.core.confirmation import (
    AccessToken,
    bound_jkt,
    check_binding,
    check_certificate,
)
from dpop_ext.core.nonce import Nonces, check_nonce
from dpop_ext.core.policy import RFC9449, ProofPolicy
from dpop_ext.core.proof import parse_proof, proof_type, verify_proof
from dpop_ext.core.proof_header import KnownHeaders, find_header
from dpop_ext.core.recent import Recent
from dpop_ext.errors import (
    AsymmetricRequiredError,
    DPoPError,
    MalformedProofError,
    ReplayedProofError,
    StaleProofError,
    StoreError,
)
from dpop_ext.stores.base import KeyringSource, ReplayStore, require_replay_store
from dpop_ext.stores.quota import KeyQuota
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.proof import (
    SymmetricProof,
    parse_symmetric_proof,
    parse_usual_proof,
)
from dpop_ext.symmetric.proof_header import SYMMETRIC_PROOF_TYPE
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric_verifier import SymmetricVerifier
from dpop_ext.ticket_verifier import TicketVerifier
from dpop_ext.tickets import Tickets
from dpop_ext.usual_proof import UsualProofs
from dpop_ext.verified_proof import (
    KeyKind,
    OpenedProof,
    VerifiedProof,
    opened_proof,
    verified_proof,
)

#: Headers of asymmetric proofs that are remembered at most. Each takes 3 kB or so.
MAX_HEADERS = 4096

_MAC_ALGORITHMS = tuple(MAC_ALGORITHMS)


class ProofVerifier:
    """Verify DPoP proofs, at an authorization server or at a resource server.

    Three steps, because the access token is verified between the first two, and
    because only the last one leaves a trace::

        opened = verifier.open(proof, method=..., url=..., access_token=...)
        verified = verifier.verify(opened, token=...)
        verifier.spend(verified)

    The first two may be repeated, by a gateway for example. :meth:`spend` succeeds
    once for a proof.

    :param replay_store: remembers the proofs that were used. To do without, say so:
        :class:`dpop_ext.stores.base.NoReplayProtection`.
    :param policy: algorithms, times and limits.
    :param nonces: demand server-provided nonces; None does not.
    :param keyring: this resource server's derivation secrets, to accept symmetric
        proofs; None is plain :rfc:`9449`.
    :param decryptor: decrypts symmetric keys that the authorization server encrypted
        for this resource server, to accept symmetric proofs without shared secrets, or
        beside them.
    :param issuer: with *keyring*, *decryptor* or *tickets*: identifier of the
        authorization server, exactly as in its tokens.
    :param audience: likewise: this resource server's own identifier.
    :param token_form: likewise: whether *issuer* issues JWTs, so that a bad MAC is
        refused before the token's signature is looked at, or opaque tokens.
    :param tickets: this resource server's own keys for symmetric proofs, which clients
        may ask it for; None gives and takes no tickets.
    :param quota: how much of the replay store one key may fill; None is no limit.
    :param clock: seconds since the epoch.
    :raises TypeError: *replay_store* is none, or one for asyncio; *policy*, *nonces*,
        *keyring* or *decryptor* is something else.
    :raises ValueError: symmetric keys or tickets without *issuer* and *audience*, or
        another *token_form*.
    """

    def __init__(
        self,
        replay_store: ReplayStore,
        *,
        policy: ProofPolicy = RFC9449,
        nonces: Nonces | None = None,
        keyring: KeyringSource | None = None,
        decryptor: KeyDecryptor | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        token_form: Literal["jwt", "opaque"] = "jwt",
        tickets: Tickets | None = None,
        quota: KeyQuota | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        has_keys = keyring is not None or decryptor is not None
        self._takes_symmetric = has_keys or tickets is not None
        if self._takes_symmetric and not (issuer and audience):
            raise ValueError("symmetric keys need issuer and audience")
        if token_form not in ("jwt", "opaque"):
            raise ValueError("token_form is 'jwt' or 'opaque'")
        if not isinstance(policy, ProofPolicy):
            raise TypeError(
                "policy is a ProofPolicy, such as ProofPolicy(required=True)"
            )
        if nonces is not None and not callable(getattr(nonces, "issue", None)):
            raise TypeError("nonces is a NonceIssuer, or a FileNonces")
        self.policy = policy
        self.nonces = nonces
        self.issuer = issuer
        self.audience = audience
        self.tickets = tickets
        self.clock: Final = clock
        self.replay_store = require_replay_store(replay_store)
        self._quota = quota
        self._headers: KnownHeaders = Recent(MAX_HEADERS)
        self._symmetric: SymmetricVerifier | None = None
        self._tickets: TicketVerifier | None = None
        if issuer and audience:
            names = {"issuer": issuer, "audience": audience}
            if has_keys:
                self._symmetric = SymmetricVerifier(
                    keyring, decryptor, **names, token_form=token_form, clock=clock
                )
            if tickets is not None:
                self._tickets = TicketVerifier(
                    tickets, **names, token_form=token_form, clock=clock
                )
        #: A quicker way for most proofs. None: what a subclass changes is not in it.
        self.usual_proofs: UsualProofs | None = None
        if type(self) is ProofVerifier:
            self.usual_proofs = UsualProofs(
                self._headers,
                self._symmetric,
                self._tickets.uses if self._tickets is not None else None,
                opens_tokens=token_form == "jwt",
            )

    @property
    def symmetric_algorithms(self) -> tuple[str, ...]:
        """The MAC algorithms accepted in proofs; empty without symmetric keys."""
        if self._symmetric is not None:
            return _MAC_ALGORITHMS
        return self.tickets.algorithms if self.tickets is not None else ()

    @property
    def symmetric_modes(self) -> tuple[str, ...]:
        """Where the keys of symmetric proofs may come from, as metadata names it."""
        modes = self._symmetric.modes if self._symmetric is not None else ()
        return (*modes, "ticket") if self._tickets is not None else modes

    def get_policy(self, token: AccessToken | None) -> ProofPolicy:
        """Return the times for a proof. Re-implement it to be lenient with one client.

        Its algorithms and limits are not asked for: they are checked before it is
        known whose proof it is.

        :param token: the verified access token; None at an authorization server.
        """
        return self.policy

    def open(
        self,
        proof: str,
        *,
        method: str,
        url: str,
        access_token: str | None = None,
    ) -> OpenedProof:
        """Check *proof* as far as possible without I/O and without trusting the token.

        An asymmetric proof: items 2 to 9 and 12a of :rfc:`9449#section-4.3`. A
        symmetric proof for a JWT: its MAC. That there is one ``DPoP`` field (item 1)
        is for the caller to check.

        :param proof: value of the ``DPoP`` field, as received.
        :param method: the request method, as received.
        :param url: absolute URL of the request, built from the raw request target;
            query and fragment are ignored.
        :param access_token: the exact text of the token of a resource request; None
            at an authorization server, where only asymmetric proofs are accepted.
        :raises ProofError: the proof is at fault; the subclass says how.
        :raises AccessTokenError: a symmetric proof came with a token that cannot be
            one for this server.
        :raises SymmetricKeyError: the key or the ticket of a symmetric proof is retired
            or not known.
        :raises StoreError: the keyring did not answer.
        """
        symmetric = None
        if self._takes_symmetric and len(proof) <= self.policy.max_length:
            symmetric = parse_usual_proof(proof)
        if symmetric is None:
            policy = self.policy
            header = find_header(self._headers, proof)
            jws = parse_proof(
                proof,
                max_length=policy.max_length,
                max_ml_dsa_length=policy.max_ml_dsa_length if policy.has_ml_dsa else 0,
                header=header,
            )
            if proof_type(jws) != SYMMETRIC_PROOF_TYPE:
                signed = verify_proof(
                    jws,
                    method=method,
                    url=url,
                    policy=policy,
                    access_token=access_token,
                    header=header,
                    known=self._headers,
                )
                return opened_proof(
                    kind="asymmetric",
                    method=method,
                    url=url,
                    access_token=access_token,
                    proof=signed,
                    derived=None,
                )
            symmetric = parse_symmetric_proof(jws)
        verifier = self._symmetric if symmetric.ticket is None else self._tickets
        if verifier is None or access_token is None:
            raise MalformedProofError("Symmetric proofs are not accepted here.")
        return opened_proof(
            kind="symmetric",
            method=method,
            url=url,
            access_token=access_token,
            proof=symmetric,
            derived=verifier.open(symmetric, access_token),
        )

    def verify(
        self,
        opened: OpenedProof,
        *,
        token: AccessToken | None = None,
        policy: ProofPolicy | None = None,
        certificate: str | None = None,
        asymmetric_only: bool = False,
    ) -> VerifiedProof:
        """Complete the checks that leave no trace: items 10, 11 and 12b.

        :param opened: from :meth:`open`.
        :param token: the verified access token; None at an authorization server, which
            compares the key with its grant itself.
        :param policy: times for this client, in place of those of :meth:`get_policy`.
        :param certificate: SHA-256 thumbprint of the certificate that the client showed
            on this connection, base64url, for tokens that are bound to one too.
        :param asymmetric_only: the route takes no symmetric proof.
        :raises ProofError: a claim, or the time.
        :raises NonceRequiredError: the nonce is missing or no longer good.
        :raises BindingError: the token is bound to another key or certificate, or to
            no key.
        :raises AccessTokenError: the token does not fit a symmetric proof, or is one
            that the keyring denies.
        :raises SymmetricKeyError: the key of a symmetric proof is retired, expired or
            not known.
        :raises StoreError: the keyring did not answer.
        :raises ValueError: *token* was given here and its text not to :meth:`open`, or
            the other way: hash or binding would go unchecked.
        """
        if (token is None) != (opened.access_token is None):
            raise ValueError("open and verify both need the access token, or neither")
        policy = policy or self.get_policy(token)
        now = int(self.clock())
        proof = opened.proof
        key_kind: KeyKind | None = None
        next_nonce: str | None = None
        if isinstance(proof, SymmetricProof):
            verifier = self._symmetric if proof.ticket is None else self._tickets
            if verifier is None or token is None or opened.access_token is None:
                raise MalformedProofError("Symmetric proofs are not accepted here.")
            if opened.derived is not None:
                # The MAC stands. No other proof helps a token that is denied.
                self.check_denied(token)
            jkt = verifier.verify(opened, proof, token, opened.access_token, now=now)
            # Only now that it is known to be for this route: else this refusal, which
            # makes the client send its request again, could be had on another.
            if asymmetric_only:
                raise AsymmetricRequiredError
            key_kind = _key_kind(proof, token)
            if self.nonces is not None:
                next_nonce = check_nonce(self.nonces, proof.nonce, "rs", now)
            policy.check_time(iat=proof.iat, nbf=proof.nbf, exp=proof.exp, now=now)
        else:
            jkt = proof.jkt
            if self.nonces is not None:
                next_nonce = check_nonce(
                    self.nonces, proof.nonce, "as" if token is None else "rs", now
                )
            policy.check_time(iat=proof.iat, nbf=proof.nbf, exp=proof.exp, now=now)
            if token is not None:
                check_binding(token, jkt)
        if token is not None:
            if self._symmetric is not None:
                self._symmetric.check_denied(token)
            confirmation = token.confirmation
            if confirmation is not None and confirmation.certificate is not None:
                check_certificate(confirmation, certificate)
        issued_at = math.ceil(proof.iat)
        return verified_proof(
            jkt, proof.claims, issued_at, key_kind, next_nonce, policy.window, now
        )

    def response_key(
        self, opened: OpenedProof, token: AccessToken
    ) -> SecretBytes | None:
        """Return the key to prove the answer with, if the sender can verify that.

        :param opened: from :meth:`open`.
        :param token: the verified access token, which *opened* was sent with.
        :returns: None unless the sender holds the private key of *token* or its
            symmetric one, and that is good now.
        """
        now, proof, text = self._now(), opened.proof, opened.access_token
        if text is None:
            return None
        try:
            self.check_denied(token)
            if isinstance(proof, SymmetricProof):
                verifier = self._symmetric if proof.ticket is None else self._tickets
                if verifier is None:
                    return None
                return verifier.response_key(proof, token, text, now=now)
            check_binding(token, proof.jkt)
            if self._symmetric is None:
                return None
            return self._symmetric.response_key(None, token, text, now=now)
        except DPoPError:
            return None

    def spend_refused(self, opened: OpenedProof, token: AccessToken) -> None:
        """Use up a proof that :meth:`verify` refused for its nonce.

        It may have been accepted while that was good. Whoever proves the refusal to the
        client must know that it was not: the client sends the request once more.

        :param opened: from :meth:`open`; there is a :meth:`response_key` for it.
        :param token: the verified access token.
        :raises DPoPError: as :meth:`spend`; or its time has run out, and with that the
            memory of the store.
        """
        policy, now, proof = self.get_policy(token), self._now(), opened.proof
        jkt, issued_at = bound_jkt(token), math.ceil(proof.iat)
        key_kind: KeyKind | None = None
        if isinstance(proof, SymmetricProof):
            key_kind = _key_kind(proof, token)
        policy.check_time(iat=proof.iat, nbf=proof.nbf, exp=proof.exp, now=now)
        self.spend(
            verified_proof(
                jkt, proof.claims, issued_at, key_kind, None, policy.window, now
            )
        )

    @property
    def can_sync(self) -> bool:
        """Whether the keyring can be asked for newer secrets."""
        return self._symmetric is not None and self._symmetric.can_sync

    def sync_keyring(self) -> None:
        """Let the keyring look for newer secrets, after :exc:`UnknownKeyError`.

        Call it only once the signature of the access token has been verified.
        """
        if self._symmetric is not None:
            self._symmetric.sync()

    def check_denied(self, token: AccessToken) -> None:
        """Refuse a token that the keyring denies, whatever kind of proof it came with.

        Without a keyring, or as long as there is none to load, no token is denied:
        asymmetric proofs do not depend on it.

        :param token: verified.
        :raises AccessTokenError: it is denied.
        """
        if self._symmetric is not None:
            self._symmetric.check_denied(token)

    def log_out(self, *, jkt: str) -> None:
        """End all tickets of one key, at every server that shares their store.

        Tokens are not touched: revoke them at the authorization server.

        :param jkt: thumbprint of the key that the tokens are bound to.
        :raises StoreError: it was not remembered.
        :raises ValueError: there are no tickets here.
        """
        if self.tickets is None or self.issuer is None:
            raise ValueError("there are no tickets here")
        self.tickets.log_out(issuer=self.issuer, jkt=jkt, now=self._now())

    def spend(self, verified: VerifiedProof) -> None:
        """Use *verified* up. The last step before the request is served.

        :raises StaleProofError: its time ran out since it was verified. The store may
            have forgotten an earlier use by now.
        :raises TooManyRequestsError: its key has used up its share of the store.
        :raises ReplayedProofError: it has been used before (:rfc:`9449#section-11.1`).
        :raises StoreError: the replay store did not answer.
        """
        now = int(self.clock())
        if now > verified.spend_until:
            raise StaleProofError
        if self._quota is not None:
            self._quota.check(verified.jkt, now=now)
        try:
            added = self.replay_store.add(
                verified.replay_key, expires_at=verified.replay_expires_at, now=now
            )
        except StoreError:
            raise
        except Exception as error:
            raise StoreError from error
        # A store that answers something else has not said that it is new.
        if added is not True:
            raise ReplayedProofError
        if self._quota is not None:
            self._quota.count(verified.jkt, expires_at=verified.replay_expires_at)

    def _now(self) -> int:
        return int(self.clock())


def _key_kind(proof: SymmetricProof, token: AccessToken) -> KeyKind:
    if proof.ticket is not None:
        return "ticket"
    confirmation = token.confirmation
    if confirmation is None or confirmation.jwe is None:
        return "derived"
    return "encapsulated"
