"""Nonces under derived keys: which version makes them, and which are recognised."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dpop_ext.errors import DPoPError, NonceRequiredError, StoreError, UnknownKeyError
from dpop_ext.resource_server import KeyringNonces
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState
from dpop_ext.verifier import ProofVerifier

NOW = 1_790_000_000
SECRETS = {version: SecretBytes(os.urandom(32)) for version in range(6, 11)}


class Polled:
    """A keyring that the test polls."""

    def __init__(self, *states: SecretState, **options: Any) -> None:
        self.error: DPoPError | None = None
        self.poll(*states, **options)

    def poll(self, *states: SecretState, first: int = 7, **options: Any) -> None:
        entries = [
            AudienceSecret(
                version=first + number,
                state=state,
                not_before=NOW - 60,
                expires_at=NOW + 10_000,
                secret=SECRETS[first + number],
            )
            for number, state in enumerate(states)
        ]
        options |= {"issuer": "https://as.example", "audience": "https://api.example"}
        self.ring = SecretRing(entries, **options)

    def load(self) -> SecretRing:
        if self.error is not None:
            raise self.error
        return self.ring


def recognises(nonces: KeyringNonces, nonce: str) -> bool:
    try:
        nonces.verify(nonce, purpose="rs", now=NOW)
    except NonceRequiredError:
        return False
    return True


@pytest.mark.requirement("R2252")
def test_nonces_are_made_under_what_was_active_at_the_poll_before() -> None:
    """Trap: a server that polls later recognises no nonce of one that is ahead."""
    ahead, behind = (Polled("active", "pending") for _ in range(2))
    ours, its = KeyringNonces(ahead), KeyringNonces(behind)
    old = ours.issue(purpose="rs", now=NOW)
    ahead.poll("verify_only", "active")
    assert ours.issue(purpose="rs", now=NOW) == old
    assert recognises(its, old)
    ahead.poll("verify_only", "active")
    new = ours.issue(purpose="rs", now=NOW)
    assert new != old
    assert recognises(its, new)
    assert recognises(ours, old)


@pytest.mark.requirement("R2252")
def test_nonces_are_recognised_under_every_live_version_and_no_other() -> None:
    made = {}
    for version in range(7, 10):
        only = KeyringNonces(Polled("active", first=version))
        made[version] = only.issue(purpose="rs", now=NOW)
    nonces = KeyringNonces(Polled("verify_only", "active", "pending"))
    assert all(recognises(nonces, nonce) for nonce in made.values())
    revoked = KeyringNonces(Polled("verify_only", "active", "pending", revoked=[7]))
    assert not recognises(revoked, made[7])
    retired = KeyringNonces(Polled("verify_only", "active", min_live=8))
    assert not recognises(retired, made[7])
    assert recognises(retired, made[8])


@pytest.mark.requirement("R2252")
def test_a_revoked_version_makes_no_nonce_from_then_on() -> None:
    keyring = Polled("active", "pending")
    nonces = KeyringNonces(keyring)
    before = nonces.issue(purpose="rs", now=NOW)
    keyring.poll("active", "pending", revoked=[7])
    after = nonces.issue(purpose="rs", now=NOW)
    assert after != before
    assert not recognises(nonces, before)
    assert recognises(KeyringNonces(Polled("active", first=8)), after)


def test_a_nonce_ends_with_its_time() -> None:
    nonces = KeyringNonces(Polled("active"))
    nonce = nonces.issue(purpose="rs", now=NOW)
    assert nonces.verify(nonce, purpose="rs", now=NOW) == 0
    with pytest.raises(NonceRequiredError):
        nonces.verify(nonce, purpose="rs", now=NOW + 300)
    with pytest.raises(NonceRequiredError):
        nonces.verify(nonce, purpose="as", now=NOW)


def test_a_keyring_that_is_too_old_is_good_enough_for_nonces() -> None:
    keyring = Polled("active")
    nonces = KeyringNonces(keyring)
    nonce = nonces.issue(purpose="rs", now=NOW)
    keyring.error = UnknownKeyError()
    assert recognises(nonces, nonce)


def test_without_a_secret_there_is_no_nonce() -> None:
    keyring = Polled()
    with pytest.raises(StoreError):
        KeyringNonces(keyring).issue(purpose="rs", now=NOW)
    keyring.error = StoreError()
    with pytest.raises(StoreError):
        KeyringNonces(keyring).verify("x", purpose="rs", now=NOW)


@pytest.mark.requirement("R2251")
def test_they_are_what_a_verifier_takes_and_show_no_secret() -> None:
    nonces = KeyringNonces(Polled("verify_only", "active"))
    assert ProofVerifier(MemoryReplayStore()).nonces is None
    assert ProofVerifier(MemoryReplayStore(), nonces=nonces).nonces is nonces
    nonces.issue(purpose="rs", now=NOW)
    assert repr(nonces) == "<KeyringNonces under [7, 8]>"
