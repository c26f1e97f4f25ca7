"""A client's session that outlives its process: :rfc:`9449`, sections 5 and 11.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from dpop_ext.client.bundle_lock import BundleLock
from dpop_ext.client.bundle_state import BundleState
from dpop_ext.client.bundle_store import BundleStore
from dpop_ext.client.external_key import ExternalKey
from dpop_ext.client.key_generation import generate_key
from dpop_ext.client.proof_maker import usual_algorithm
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.akp import AnyKey
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.errors import LostKeyError, OtherIssuerError, OtherKeyError


class SessionBundle:
    """Token, key, nonces and clock skew of one client, saved together.

    Hand it to a session in place of a signer, in every process that uses it::

        session = OAuth2Session("client", bundle=FileBundle(path), ...)

    A token that has expired is refreshed by one thread of one process, and the others
    take over what it got. Symmetric keys are not saved: a token that came from the
    bundle is used with asymmetric proofs until the next one.

    :param store: keeps it.
    :param key: the private key, where it is kept elsewhere: the bundle then has its
        thumbprint. None makes a key at the first use, and saves it.
    :param algorithm: of a key that is made, one of those of
        :meth:`.ProofSigner.generate`. A key that is there stays as it is.
    :param make_signer: makes the signer of the session from the key; and from the
        keyword *algorithm*, if it is not the usual one for the key: ``EdDSA`` and
        ``RS256`` are not.
    :raises BundleError: the store holds something else, or was locked for a minute.
    :raises LostKeyError: the key is needed, and neither here nor there.
    :raises OtherKeyError: the token is bound to another key than *key*.
    :raises ValueError: the signer cannot do without symmetric keys, or *algorithm* is
        none of DPoP.
    """

    def __init__(
        self,
        store: BundleStore,
        *,
        key: AnyKey | ExternalKey | None = None,
        algorithm: str = "ES256",
        make_signer: Callable[..., ProofSigner] = ProofSigner,
    ) -> None:
        if algorithm not in {*ALGORITHMS, *ML_DSA}:
            raise ValueError("not a signature algorithm of DPoP")
        self._store = store
        self._lock = BundleLock(store)
        self._key: AnyKey | None = None
        self._algorithm: str | None = None
        # Locked: of two processes that start at once, one makes the key.
        with self.locked():
            text = store.read()
            state = BundleState.load(text) if text is not None else None
            if key is None:
                key = self._key = _own_key(state, algorithm)
                self._algorithm = _own_algorithm(state, key, algorithm)
            special = {} if self._algorithm is None else {"algorithm": self._algorithm}
            #: Signs the requests of the session.
            self.signer = make_signer(key, **special)
            if state is not None:
                self._check(state)
                self.signer.remember(state.nonces, state.skew)
            if self.signer.symmetric == "must" or self.signer.needs_symmetric_key:
                raise ValueError("A bundle has no symmetric keys: use prefer or never.")
            self._token = state.token if state is not None else None
            self._about = state.about if state is not None else {}
            self._memory = self.signer.memory()
            if state is None:
                self.save(None)

    @property
    def token(self) -> Mapping[str, Any] | None:
        """The token response that was saved or read last."""
        return self._token

    @property
    def about(self) -> Mapping[str, str]:
        """What was saved with :meth:`describe` or :meth:`belong_to`; empty before."""
        return self._about

    def describe(self, about: Mapping[str, str]) -> None:
        """Save what the next process is to know, in place of what was said before.

        A token is used by the ``issuer`` and the ``client_id`` in it and no others.

        :param about: such as ``client_id``, ``issuer`` and ``token_endpoint``, with
            which the token is refreshed.
        """
        with self.locked():
            token = self.read_token()
            self._about = dict(about)
            self.save(token)

    def belong_to(self, *, issuer: str, client_id: str, **about: str) -> None:
        """Say whose tokens are saved from now on, and are there already.

        :param issuer: identifier of the authorization server.
        :param client_id: who the client is there.
        :param about: more for :attr:`about`.
        :raises OtherIssuerError: there is a token, of another server or client.
        """
        owner = {"issuer": issuer, "client_id": client_id}
        if self._token is not None:
            _require_same_owner(self._about, owner)
        self._about = {**self._about, **owner, **about}

    def read_token(self) -> Mapping[str, Any] | None:
        """Return the token response that any process saved last.

        :raises BundleError: there is no bundle any more, or something else.
        :raises OtherKeyError: it is the bundle of another key by now.
        :raises OtherIssuerError: or of another server or client.
        """
        text = self._store.read()
        if text is None:
            raise LostKeyError
        state = BundleState.load(text)
        self._check(state)
        if state.token is not None:
            _require_same_owner(state.about, self._about)
        self._token = state.token
        self._about = state.about or self._about
        return self._token

    def save(self, token: Mapping[str, Any] | None) -> None:
        """Save *token* with all that the signer knows; under the lock."""
        self._memory = self.signer.memory()
        nonces, skew = self._memory
        state = BundleState(
            jkt=self.signer.jkt,
            key=self._key,
            algorithm=self._algorithm,
            token=None if token is None else dict(token),
            nonces=nonces,
            skew=skew,
            about=self._about,
        )
        self._store.write(state.dump())
        self._token = token

    @property
    def has_news(self) -> bool:
        """Whether the signer knows more than was saved."""
        return self.signer.memory() != self._memory

    def locked(self) -> AbstractContextManager[None]:
        """Hold off other threads and processes.

        :raises BundleError: another one had the lock for a minute, when it is entered.
        """
        return self._lock.locked()

    def try_lock(self, deadline: float) -> AbstractContextManager[None] | None:
        """Hold off other threads, tasks and processes, or return at once.

        Who holds the lock gets it once more.

        :param deadline: of :func:`dpop_ext.client.bundle_lock.lock_deadline`, when the
            caller began to wait.
        :returns: to be entered at once; None if another one has the lock.
        :raises BundleError: another one had it for a minute.
        """
        return self._lock.try_lock(deadline)

    def _check(self, state: BundleState) -> None:
        if state.jkt != self.signer.jkt:
            raise OtherKeyError

    def __repr__(self) -> str:
        return f"<SessionBundle {self.signer.jkt}>"


def _require_same_owner(saved: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Refuse a token that another server gave, or gave to another client."""
    for name in ("issuer", "client_id"):
        if name in saved and name in own and saved[name] != own[name]:
            raise OtherIssuerError


def _own_key(state: BundleState | None, algorithm: str) -> AnyKey:
    if state is None:
        return generate_key(algorithm)
    if state.key is None:
        raise LostKeyError
    return state.key


def _own_algorithm(
    state: BundleState | None, key: AnyKey, algorithm: str
) -> str | None:
    """Return what the key is to sign with, if that is not the usual one for it."""
    if state is not None:
        return state.algorithm
    # A post-quantum key knows its own.
    if algorithm in ML_DSA or usual_algorithm(key, None) == algorithm:
        return None
    return algorithm


def require_bundle(bundle: object) -> None:
    """Refuse what is no bundle, such as its path.

    :raises TypeError: it is something else.
    """
    if not isinstance(bundle, SessionBundle):
        raise TypeError("bundle is a SessionBundle, such as FileBundle(path)")
