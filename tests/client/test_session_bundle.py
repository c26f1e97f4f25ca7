from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextvars import copy_context
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client import ProofSigner, SessionBundle
from dpop_ext.client.answer_limit import MAX_TOKEN_ANSWER
from dpop_ext.client.bundle_lock import lock_deadline
from dpop_ext.client.bundle_state import MAX_LENGTH, BundleState
from dpop_ext.client.exchange import Reply
from dpop_ext.client.nonces import MAX_NONCE_LENGTH, Role
from dpop_ext.core.key import thumbprint
from dpop_ext.errors import BundleError, LostKeyError, OtherIssuerError, OtherKeyError
from tests.client.driving import INVALID_PROOF, OK, drive
from tests.conftest import Clock

URL = "https://api.example/accounts"
TOKEN = {"access_token": "access", "token_type": "DPoP", "refresh_token": "refresh"}


class MemoryStore:
    """A store of the user's own."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.lock = threading.Lock()

    def read(self) -> str | None:
        return self.text

    def write(self, text: str) -> None:
        self.text = text

    def try_lock(self) -> Callable[[], object] | None:
        return self.lock.release if self.lock.acquire(blocking=False) else None


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def change(store: MemoryStore, **members: Any) -> None:
    assert store.text is not None
    store.text = json.dumps({**json.loads(store.text), **members})


def test_a_bundle_brings_back_token_key_nonces_and_skew(
    store: MemoryStore, clock: Clock
) -> None:
    make = partial(ProofSigner, clock=clock)
    bundle = SessionBundle(store, make_signer=make)
    date = formatdate(clock.now + 3600, usegmt=True)
    refusal = Reply(
        status=401, challenges=INVALID_PROOF.challenges, dates=(date,), nonces=("n",)
    )
    flow = bundle.signer.resource_request(method="GET", url=URL, access_token="access")
    drive(flow, refusal, OK)
    bundle.save(TOKEN)
    later = SessionBundle(store, make_signer=make)
    assert later.token == TOKEN
    assert later.signer.jkt == bundle.signer.jkt
    flow = later.signer.resource_request(method="GET", url=URL, access_token="access")
    (proof,) = drive(flow, OK).proofs
    assert (proof.claims["nonce"], proof.claims["iat"]) == ("n", clock.now + 3600)


def test_the_longest_token_answer_is_found_again_with_all_nonces() -> None:
    text = "\N{GRINNING FACE}"
    token = {**TOKEN, "x": text * (MAX_TOKEN_ANSWER // len(text.encode()))}
    nonces: dict[tuple[str, Role], str] = {
        (f"https://api-{number}.example", "rs"): "n" * MAX_NONCE_LENGTH
        for number in range(100)
    }
    state = BundleState(jkt="jkt", token=token, nonces=nonces)
    assert BundleState.load(state.dump()) == state


def test_the_key_is_saved_before_there_is_a_token(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    assert bundle.token is None
    assert SessionBundle(store).signer.jkt == bundle.signer.jkt


def test_two_that_start_at_once_have_one_key(store: MemoryStore) -> None:
    found: list[str] = []
    ready = threading.Barrier(4)

    def start() -> None:
        ready.wait()
        found.append(SessionBundle(store).signer.jkt)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_key_that_is_kept_elsewhere_is_not_in_the_bundle(
    store: MemoryStore, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    SessionBundle(store, key=ec_key).save(TOKEN)
    assert store.text is not None
    assert json.loads(store.text)["key"] is None
    assert json.loads(store.text)["jkt"] == thumbprint(ec_key)
    assert SessionBundle(store, key=ec_key).token == TOKEN
    with pytest.raises(LostKeyError, match="give the key"):
        SessionBundle(store)
    with pytest.raises(OtherKeyError, match="log in again"):
        SessionBundle(store, key=other_ec_key)


@pytest.mark.requirement("U-24")
def test_a_key_that_does_not_fit_the_token_is_an_error(
    store: MemoryStore, ec_key: ECKey
) -> None:
    SessionBundle(store).save(TOKEN)
    change(store, key=ec_key.as_dict(private=True))
    with pytest.raises(OtherKeyError):
        SessionBundle(store)


@pytest.mark.parametrize(
    "key", ["public", {}, 1, [], {"kty": "oct", "k": "AA"}, {"kty": "AKP"}]
)
@pytest.mark.requirement("U-24")
def test_a_key_that_is_damaged_is_a_lost_key(
    store: MemoryStore, ec_key: ECKey, key: Any
) -> None:
    SessionBundle(store).save(TOKEN)
    change(store, key=ec_key.as_dict(private=False) if key == "public" else key)
    with pytest.raises((LostKeyError, OtherKeyError)):
        SessionBundle(store)


def test_the_key_of_a_state_is_the_private_one_of_its_token(ec_key: ECKey) -> None:
    state = BundleState(jkt=thumbprint(ec_key), key=ec_key)
    assert BundleState.load(state.dump()).jkt == state.jkt

    def edited(**members: Any) -> str:
        return json.dumps({**json.loads(state.dump()), **members})

    # Also where the caller has a key of its own.
    for text, error in (
        (edited(key=ec_key.as_dict(private=False)), LostKeyError),
        (edited(jkt="x"), OtherKeyError),
        (edited(key=None, algorithm="ES256"), BundleError),
        (edited(algorithm="RS256"), BundleError),
    ):
        with pytest.raises(error) as caught:
            BundleState.load(text)
        assert type(caught.value) is error


def test_a_bundle_may_have_a_million_characters(ec_key: ECKey) -> None:
    text = BundleState(jkt=thumbprint(ec_key)).dump()
    assert BundleState.load(text.ljust(MAX_LENGTH)).key is None
    with pytest.raises(BundleError):
        BundleState.load(text.ljust(MAX_LENGTH + 1))


@pytest.mark.parametrize("odd", [None, 7, [], "x"], ids=repr)
def test_a_memory_that_is_none_is_empty(store: MemoryStore, odd: object) -> None:
    SessionBundle(store).save(TOKEN)
    change(store, nonces=odd, skew=odd)
    bundle = SessionBundle(store)
    assert (bundle.token, bundle.signer.memory()) == (TOKEN, ({}, {}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2, "jkt": "x"}',
        '{"version": 1}',
        '{"version": 1, "jkt": "x", "token": "y"}',
        '{"version": 1, "jkt": "x", "token": {}}',
        '{"version": 1, "jkt": "x", "token": {"access_token": 1}}',
        "[" * 100_000,
        " " * 300_000,
    ],
)
def test_what_is_no_bundle_is_an_error_and_is_left_alone(text: str) -> None:
    store = MemoryStore(text)
    with pytest.raises(BundleError, match="delete it"):
        SessionBundle(store)
    assert store.text == text
    assert not store.lock.locked()


def test_a_memory_that_is_damaged_costs_no_session(store: MemoryStore) -> None:
    SessionBundle(store).save(TOKEN)
    change(
        store,
        nonces=[1, ["o", "rs"], ["o", "xx", "n"], ["o", "rs", 'a"b'], ["o", "as", "n"]],
        skew={"a": "1", "b": True, "c": 10**9, "d": 60},
    )
    bundle = SessionBundle(store)
    assert bundle.token == TOKEN
    assert bundle.signer.memory() == ({("o", "as"): "n"}, {"d": 60})


def test_a_running_process_notices_that_the_bundle_is_another_one(
    store: MemoryStore,
) -> None:
    bundle = SessionBundle(store)
    store.text = None
    with pytest.raises(LostKeyError):
        bundle.read_token()
    SessionBundle(store).save(TOKEN)
    with pytest.raises(OtherKeyError):
        bundle.read_token()
    assert bundle.token is None


def test_a_signer_that_needs_symmetric_keys_has_no_bundle(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        SessionBundle(store, make_signer=partial(ProofSigner, symmetric="must"))
    assert store.text is None


def test_nobody_waits_for_ever(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    with SessionBundle(store).locked():
        assert bundle.try_lock(lock_deadline()) is None
        with pytest.raises(BundleError, match="60 seconds"):
            bundle.try_lock(0.0)
        assert store.lock.locked()
    assert not store.lock.locked()


def test_who_holds_the_lock_gets_it_once_more(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    with bundle.locked():
        with bundle.locked():
            pass
        assert store.lock.locked()
    assert not store.lock.locked()


def test_who_holds_the_lock_gets_it_once_more_under_that_of_another_bundle(
    store: MemoryStore,
) -> None:
    """The token of one session is exchanged for that of the other, for example."""
    bundle, other = SessionBundle(store), SessionBundle(MemoryStore())
    with bundle.locked(), other.locked():
        again = bundle.try_lock(lock_deadline())
        assert again is not None
        with again, other.locked():
            pass
        assert store.lock.locked()
    assert not store.lock.locked()


def test_what_was_begun_under_the_lock_does_not_have_it_for_ever(
    store: MemoryStore,
) -> None:
    bundle = SessionBundle(store)
    with bundle.locked():
        task = copy_context()
    lock = task.run(bundle.try_lock, lock_deadline())
    assert lock is not None
    with lock:
        assert store.lock.locked()
    with SessionBundle(store).locked():
        assert task.run(bundle.try_lock, lock_deadline()) is None


def test_neither_token_nor_key_shows(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    bundle.save(TOKEN)
    assert repr(bundle) == f"<SessionBundle {bundle.signer.jkt}>"


def test_what_a_client_says_of_itself_stays_with_its_session(
    store: MemoryStore,
) -> None:
    bundle, other = SessionBundle(store), SessionBundle(store)
    assert bundle.about == {}
    bundle.save(TOKEN)
    other.describe({"client_id": "one"})
    with bundle.locked():
        bundle.save(bundle.read_token())
    later = SessionBundle(store)
    assert (later.about, later.token) == ({"client_id": "one"}, TOKEN)


@pytest.mark.parametrize("about", ["text", ["client_id"], {"client_id": 7}, None])
def test_what_is_no_description_is_left_out(store: MemoryStore, about: object) -> None:
    SessionBundle(store).describe({"client_id": "one"})
    change(store, about=about)
    assert SessionBundle(store).about == {}


OWNER = {"issuer": "https://as.example", "client_id": "app"}


def test_a_token_of_another_server_or_client_is_not_used(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    bundle.belong_to(**OWNER)
    bundle.save(TOKEN)
    again = SessionBundle(store)
    assert again.about == OWNER
    again.belong_to(**OWNER)
    for changed in {"issuer": "https://evil.example"}, {"client_id": "other"}:
        other = OWNER | changed
        with pytest.raises(OtherIssuerError):
            SessionBundle(store).belong_to(**other)
        # And not if another process has logged in there since.
        change(store, about=other)
        with pytest.raises(OtherIssuerError):
            bundle.read_token()
        change(store, about=OWNER)
    # Without a token, nothing is lost with the name.
    bundle.save(None)
    SessionBundle(store).belong_to(**(OWNER | {"client_id": "other"}))


def test_a_token_that_has_no_owner_yet_gets_one(store: MemoryStore) -> None:
    SessionBundle(store).save(TOKEN)
    bundle = SessionBundle(store)
    bundle.belong_to(**OWNER)
    assert bundle.read_token() == TOKEN
    bundle.save(TOKEN)
    assert SessionBundle(store).about == OWNER


def test_a_name_that_is_not_saved_yet_is_not_lost(store: MemoryStore) -> None:
    bundle = SessionBundle(store)
    bundle.belong_to(**OWNER)
    assert bundle.read_token() is None
    bundle.save(TOKEN)
    assert SessionBundle(store).about == OWNER


def test_the_key_of_a_bundle_is_for_the_algorithm_of_the_server(
    store: MemoryStore,
) -> None:
    assert SessionBundle(store, algorithm="Ed25519").signer.algorithm == "Ed25519"
    # The key that is there stays.
    assert SessionBundle(store, algorithm="ES384").signer.algorithm == "Ed25519"
    with pytest.raises(ValueError, match="algorithm"):
        SessionBundle(MemoryStore(), algorithm="HS256")


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_a_server_that_has_one_algorithm_for_a_key_gets_proofs_of_that(
    store: MemoryStore, algorithm: str
) -> None:
    def make(key: Any, **options: Any) -> ProofSigner:
        return ProofSigner(key, symmetric="never", **options)

    first = SessionBundle(store, algorithm=algorithm, make_signer=make)
    # In a later process too, whatever that would make.
    for bundle in (first, SessionBundle(store), SessionBundle(store, make_signer=make)):
        bundle.save(TOKEN)
        flow = bundle.signer.resource_request(
            method="GET", url="https://api.example", access_token="access"
        )
        (proof,) = drive(flow).proofs
        assert proof.header["alg"] == algorithm
        assert bundle.signer.jkt == first.signer.jkt


def test_an_algorithm_that_is_not_for_the_key_is_no_bundle(store: MemoryStore) -> None:
    def make(key: Any) -> ProofSigner:
        return ProofSigner(key)

    # One that takes a key alone is called with no more for the usual algorithm.
    SessionBundle(store, make_signer=make)
    for algorithm in ("EdDSA", "none", 1, ["ES256"]):
        change(store, algorithm=algorithm)
        with pytest.raises(BundleError):
            SessionBundle(store)
    # As it was before there was one.
    change(store, algorithm=None)
    assert SessionBundle(store).signer.algorithm == "ES256"
