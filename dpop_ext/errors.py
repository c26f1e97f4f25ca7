"""Every error of the package, and what each one becomes on the wire.

::

    DPoPError                        never raised itself
    ├── ProofError                   AS 400, RS 401   invalid_dpop_proof
    │   ├── MissingProofError        missing_proof
    │   ├── MalformedProofError      malformed_proof
    │   ├── UnsupportedKeyError      unsupported_key
    │   ├── BadSignatureError        bad_signature
    │   ├── TargetMismatchError      target_mismatch
    │   ├── TokenMismatchError       token_mismatch
    │   ├── DigestMismatchError      digest_mismatch
    │   ├── MissingDigestError       missing_digest
    │   ├── StaleProofError          stale_proof
    │   └── ReplayedProofError       replayed_proof
    ├── NonceRequiredError           AS 400, RS 401   use_dpop_nonce
    ├── BindingError                 AS 400 invalid_grant, RS 401 invalid_token
    │   ├── KeyMismatchError         key_mismatch
    │   └── UnboundTokenError        unbound_token
    ├── AccessTokenError             RS 401           invalid_token
    ├── SymmetricKeyError            RS 401, with sym_error
    │   ├── StaleKeyError            stale_key        invalid_token
    │   ├── ExpiredKeyError          expired_key      invalid_token
    │   ├── UnknownKeyError          unknown_key      use_dpop_asymmetric
    │   ├── StaleTicketError         stale_ticket     use_dpop_asymmetric
    │   └── AsymmetricRequiredError  policy           use_dpop_asymmetric
    ├── SymmetricUnavailableError    AS 400           dpop_sym_unavailable
    ├── MalformedRequestError        400              invalid_request
    ├── ContentTooLargeError         RS 413           invalid_request
    ├── KeyDeliveryError             raised at the client only
    ├── TooManyRequestsError         429              temporarily_unavailable
    ├── ResponseProofError           raised at the client only
    ├── ProofTooLongError            raised at the client only
    ├── BundleError                  raised at the client only
    │   ├── LostKeyError             lost_key
    │   ├── OtherKeyError            other_key
    │   └── OtherIssuerError         other_issuer
    ├── DiscoveryError               raised at the client only
    │   └── WrongServerError         wrong_server
    ├── UnsupportedServerError       raised at the client only
    ├── ServerAnswerError            raised at the client only
    ├── AuthorizationResponseError   raised at the client only
    │   ├── WrongIssuerError         wrong_issuer
    │   └── AuthorizationRefusedError
    │                                authorization_refused
    └── StoreError                   503, no token used
    MalformedJOSEError(ValueError)   inside the package: the caller knows whose fault

Match on the class or on ``code``: it is stable. ``description`` is constant text
(a number at most), so it can be logged and sent: it never repeats what a caller
sent. Arguments that only a programmer can get wrong raise ``ValueError`` or
``TypeError`` at construction.
"""

from __future__ import annotations

from typing import ClassVar


class DPoPError(Exception):
    """Base of every error of the package. Never raised itself.

    :param description: constant text that replaces the one of the class.
    """

    #: Stable name of the reason, for logs, metrics and programs.
    code: ClassVar[str] = "dpop_error"
    #: What is wrong, in text that may be shown to anyone.
    description: str = "The request could not be accepted."

    def __init__(self, description: str | None = None) -> None:
        # Nothing else, not even super().__init__(): bad proofs are to be cheap.
        if description is not None:
            self.description = description

    def __str__(self) -> str:
        return self.description


class ProofError(DPoPError):
    """The proof is at fault: ``invalid_dpop_proof`` (:rfc:`9449#section-5`)."""

    code = "invalid_proof"
    description = "The DPoP proof is invalid."


class MissingProofError(ProofError):
    """There is no proof where one is required."""

    code = "missing_proof"
    description = "A DPoP proof is required."


class MalformedProofError(ProofError):
    """Not one compact JWS of the right type, or a claim is missing or mistyped."""

    code = "malformed_proof"
    description = "The DPoP proof is malformed."


class UnsupportedKeyError(ProofError):
    """The algorithm is not allowed, or the key does not fit it or is no public key."""

    code = "unsupported_key"
    description = "The algorithm or the key of the DPoP proof is not supported."


class BadSignatureError(ProofError):
    """The signature, or the MAC of a symmetric proof, does not verify."""

    code = "bad_signature"
    description = "The signature of the DPoP proof does not verify."


class TargetMismatchError(ProofError):
    """``htm`` or ``htu`` names another request.

    :param expected: method or URL of the request, as this server knows it.
    :param found: what the proof has instead. Neither is sent to anyone.
    """

    code = "target_mismatch"
    description = "The DPoP proof was made for another method or URL."

    def __init__(self, *, expected: str = "", found: str = "") -> None:
        super().__init__()
        self.expected = expected
        self.found = found


class TokenMismatchError(ProofError):
    """``ath`` is missing or is not the hash of the access token that was sent."""

    code = "token_mismatch"
    description = "The DPoP proof was made for another access token."


class DigestMismatchError(ProofError):
    """``cd`` or ``hq`` is the digest of another content or query."""

    code = "digest_mismatch"
    description = "The DPoP proof was made for another content or query."


class MissingDigestError(ProofError):
    """The proof lacks ``cd`` or ``hq`` where the route requires both."""

    code = "missing_digest"
    description = "The DPoP proof must contain the digests of content and query."


class StaleProofError(ProofError):
    """``iat``, ``nbf`` or ``exp`` puts the proof outside the accepted time."""

    code = "stale_proof"
    description = "The DPoP proof is outside its time window; check the clock."


class ReplayedProofError(ProofError):
    """The proof has been used before."""

    code = "replayed_proof"
    description = "The DPoP proof has been used before."


class NonceRequiredError(DPoPError):
    """The proof lacks a current server nonce: ``use_dpop_nonce``.

    :param nonce: the nonce to use in the next proof.
    """

    code = "use_dpop_nonce"
    description = "The DPoP proof must contain the nonce that the server supplied."

    def __init__(self, *, nonce: str) -> None:
        super().__init__()
        self.nonce = nonce


class BindingError(DPoPError):
    """The proof is sound, but not by the key that the token or grant is bound to."""

    code = "binding"
    description = "The key of the DPoP proof does not fit the token or the grant."


class KeyMismatchError(BindingError):
    """The proof is by another key than the token or the grant names."""

    code = "key_mismatch"
    description = "Invalid DPoP key binding."


class UnboundTokenError(BindingError):
    """The token is bound to no key, so no proof can fit it."""

    code = "unbound_token"
    description = "The access token is not bound to a DPoP key."


class AccessTokenError(DPoPError):
    """The access token is malformed, expired, revoked, or for another audience.

    :param check: for the log: name of the claim or of the member of the header that is
        not what it must be, never its value; None if it is no single one.
    """

    code = "invalid_token"
    description = "The access token is expired, revoked, malformed or not valid here."

    def __init__(
        self, description: str | None = None, *, check: str | None = None
    ) -> None:
        super().__init__(description)
        self.check = check


class SymmetricKeyError(DPoPError):
    """The key of a symmetric proof cannot be used; ``code`` is the ``sym_error``."""

    code = "symmetric_key"
    description = "The symmetric key of the proof cannot be used."


class StaleKeyError(SymmetricKeyError):
    """The derivation secret of the key is retired or revoked: get a new token."""

    code = "stale_key"
    description = "The symmetric key of the proof is retired."


class ExpiredKeyError(SymmetricKeyError):
    """The symmetric key is past its own expiry: get a new token."""

    code = "expired_key"
    description = "The symmetric key of the proof has expired."


class UnknownKeyError(SymmetricKeyError):
    """The secret is newer than this server knows: use an asymmetric proof meanwhile."""

    code = "unknown_key"
    description = "The symmetric key of the proof is not known here yet."


class StaleTicketError(SymmetricKeyError):
    """The ticket is unknown, expired or ended by a log-out: ask for another one."""

    code = "stale_ticket"
    description = "The ticket of the proof is no longer good."


class AsymmetricRequiredError(SymmetricKeyError):
    """The proof is good, but this route demands an asymmetric one."""

    code = "policy"
    description = "This resource demands an asymmetric proof."


class SymmetricUnavailableError(DPoPError):
    """A symmetric key was demanded and cannot be issued: ``dpop_sym_unavailable``.

    :param lacks: for the log: what there would have to be for a key, in one word.
    """

    code = "dpop_sym_unavailable"
    description = "No symmetric key can be issued for this request."

    def __init__(
        self, description: str | None = None, *, lacks: str | None = None
    ) -> None:
        super().__init__(description)
        self.lacks = lacks


class MalformedRequestError(DPoPError):
    """The request contradicts itself, such as two credentials: ``invalid_request``."""

    code = "invalid_request"
    description = "The request is malformed."


class ContentTooLargeError(DPoPError):
    """The content is longer than what is hashed for a proof: 413."""

    code = "content_too_large"
    description = "The content is too large to be verified."


class KeyDeliveryError(DPoPError):
    """A delivered key could not be unwrapped or is not for us.

    One text for every cause: a reason would be an oracle for whoever sent the key.
    """

    code = "key_delivery"
    description = "The delivered symmetric key was not accepted."

    def __init__(self) -> None:
        super().__init__()


class TooManyRequestsError(DPoPError):
    """One client or key has used up its share: 429. Others are served."""

    code = "too_many_requests"
    description = "Too many requests for one client or key; try again later."


class ResponseProofError(DPoPError):
    """An answer is not proved to be the resource server's answer to this request.

    What the request did is not known. Nothing of the answer is handed on.

    :param refresh_due: the answer says, and who knows whose it is, that the symmetric
        key is no longer good: a new access token would bring another.
    """

    code = "response_proof"
    description = "The answer is not proved to be the answer to this request."

    def __init__(
        self, description: str | None = None, *, refresh_due: bool = False
    ) -> None:
        super().__init__(description)
        self.refresh_due = refresh_due


class ProofTooLongError(DPoPError):
    """A post-quantum proof does not fit a header field, and there is no other place.

    Only the token endpoint takes it elsewhere. Ask for a symmetric key with the token,
    and refresh the token when the key is no longer good.
    """

    code = "proof_too_long"
    description = (
        "The DPoP proof is longer than the 8000 characters that servers take in a "
        "header field: a request with this key needs a token with a symmetric key."
    )


class BundleError(DPoPError):
    """The session bundle of a client cannot be used. Nothing was sent."""

    code = "bundle"
    description = (
        "The session bundle cannot be read: restore it from a copy, or delete it and "
        "log in again."
    )


class LostKeyError(BundleError):
    """The private key that a saved token is bound to is not there."""

    code = "lost_key"
    description = (
        "The private key of the session bundle is missing: give the key that its "
        "token is bound to, or delete the bundle and log in again."
    )


class OtherKeyError(BundleError):
    """A saved token is bound to another key (:rfc:`9449#section-5`)."""

    code = "other_key"
    description = (
        "The token of the session bundle is bound to another key: give that key, or "
        "delete the bundle and log in again. A running process must open it anew."
    )


class OtherIssuerError(BundleError):
    """A saved token is of another authorization server, or of another client of it."""

    code = "other_issuer"
    description = (
        "The token of the session bundle is of another authorization server or of "
        "another client: its refresh token is sent to no other. Use another bundle."
    )


class DiscoveryError(DPoPError):
    """The metadata of a server is not to be had, or cannot be used. No token was asked.

    :rfc:`8414`, :rfc:`9728`.
    """

    code = "discovery"
    description = "The server has no usable metadata where it should be."


class WrongServerError(DiscoveryError):
    """Metadata of another server than the one that was asked."""

    code = "wrong_server"
    description = "The metadata names another server than the one that was asked for."


class UnsupportedServerError(DPoPError):
    """A server lacks something that the client cannot do without: nothing was sent.

    Such as DPoP: there is no way on without, and none to a Bearer token.
    """

    code = "unsupported_server"
    description = "The server lacks something that the client cannot do without."


class ServerAnswerError(DPoPError):
    """An answer of an authorization server is too long or too slow, or compressed.

    Or nobody can read it: it is nested too deeply, or its times are no numbers.

    What the request did is not known: a code or a refresh token may be spent.
    """

    code = "server_answer"
    description = "The answer of the authorization server cannot be read."


class AuthorizationResponseError(DPoPError):
    """An authorization response is not the one to the request. No code was sent."""

    code = "authorization_response"
    description = "The authorization response does not belong to the request."


class WrongIssuerError(AuthorizationResponseError):
    """The response is of another authorization server (:rfc:`9207#section-2.4`)."""

    code = "wrong_issuer"
    description = "The authorization response is of another authorization server."


class AuthorizationRefusedError(AuthorizationResponseError):
    """The authorization server said no, at once or after it had asked the user.

    :param error: its error code (:rfc:`6749#section-4.1.2.1`), such as
        ``access_denied``; empty if it has none, or none of the usual characters.
    """

    code = "authorization_refused"
    description = "The authorization server refused the request."

    def __init__(self, *, error: str = "") -> None:
        super().__init__()
        self.error = error


class StoreError(DPoPError):
    """A store did not answer or is full. Nothing was accepted: fail closed with 503."""

    code = "store_unavailable"
    description = "A storage backend is not available."


class MalformedJOSEError(ValueError):
    """The strict JSON or JWS parser refused its input.

    Never leaves the package: the caller maps it to :class:`MalformedProofError` or
    :class:`AccessTokenError`, because it knows whose input it was.
    """
