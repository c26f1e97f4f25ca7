"""Derived keys that a verifier remembers: only good ones, and not beyond their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.recent import Recent
from dpop_ext.errors import (
    AccessTokenError,
    BadSignatureError,
    DPoPError,
    ExpiredKeyError,
    MalformedProofError,
    StaleKeyError,
    TargetMismatchError,
)
from dpop_ext.symmetric.prepared_secret import PreparedSecret
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret
from dpop_ext.symmetric.verification import DerivedKey
from dpop_ext.symmetric_verifier import SymmetricVerifier
from tests.test_verifier import TOKEN, R, Symmetric, ring, secret


@pytest.fixture(params=["jwt", "opaque"])
def sym(request: Any, ec_key: Any, clock: Any) -> Symmetric:
    return Symmetric(ec_key, clock, token_form=request.param)


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each key that was derived by a verifier."""
    made: list[int] = []
    derive = PreparedSecret.symmetric_key

    def count(secret: PreparedSecret, **values: Any) -> bytes:
        made.append(int.from_bytes(secret._version))
        return derive(secret, **values)

    monkeypatch.setattr(PreparedSecret, "symmetric_key", count)
    return made


class Session:
    """Requests with one access token."""

    def __init__(self, sym: Symmetric, **changes: Any) -> None:
        self.sym = sym
        opaque = _verifier_of(sym)._token_form == "opaque"
        self.text = TOKEN if opaque else sym.token(**changes)
        self.token = sym.verified()

    def request(self, token: AccessToken | None = None, **changes: Any) -> None:
        opened = self.sym.open(self.sym.proof(self.text, **changes), self.text)
        self.sym.verifier.verify(opened, token=token or self.token)


@pytest.fixture
def session(sym: Symmetric) -> Session:
    return Session(sym)


def _verifier_of(sym: Symmetric) -> SymmetricVerifier:
    verifier = sym.verifier._symmetric
    assert verifier is not None
    return verifier


def remembered(sym: Symmetric) -> Recent[bytes, DerivedKey]:
    return _verifier_of(sym)._keys.recent


def test_a_key_is_derived_once_for_a_token(
    session: Session, derivations: list[int]
) -> None:
    for _ in range(3):
        session.request()
    # The token is verified anew now and then.
    session.token = session.token._replace()
    session.request()
    session.request()
    assert derivations == [7]


def test_a_key_is_not_remembered_before_its_token_was_verified(
    sym: Symmetric, derivations: list[int]
) -> None:
    session = Session(sym)
    other = Confirmation(jkt=sym.jkt, dsk=None)
    wrong = session.token._replace(confirmation=other)
    for _ in range(2):
        with pytest.raises(DPoPError):
            session.request(wrong)
    assert len(remembered(sym)) == 0
    assert len(derivations) == (2 if _verifier_of(sym)._token_form == "jwt" else 0)


@pytest.mark.requirement("R1509")
def test_a_key_under_a_bad_proof_is_not_remembered(
    session: Session, sym: Symmetric
) -> None:
    with pytest.raises(TargetMismatchError):
        session.request(method="POST")
    assert len(remembered(sym)) == 0


@pytest.mark.requirement("R1509")
def test_a_bad_mac_is_refused_with_a_remembered_key(
    session: Session, sym: Symmetric
) -> None:
    session.request()
    proof = sym.proof(session.text)
    head, _, tag = proof.rpartition(".")
    for forged in (
        f"{head}.{('B' if tag[0] == 'A' else 'A') + tag[1:]}",
        f"{head}.{tag[:40]}",
    ):
        with pytest.raises(BadSignatureError):
            sym.verifier.verify(sym.open(forged, session.text), token=session.token)
    session.request()


@pytest.mark.requirement("R1403")
def test_the_algorithm_is_compared_with_a_remembered_key(
    session: Session, sym: Symmetric, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.request()
    monkeypatch.setattr(sym, "derive", lambda: SecretBytes(bytes(range(64))))
    with pytest.raises(MalformedProofError):
        session.request(algorithm="HS512")


def _other_secret() -> AudienceSecret:
    return AudienceSecret(
        version=7,
        state="active",
        not_before=0,
        expires_at=1_790_009_000,
        secret=SecretBytes(bytes(range(50, 82))),
    )


@pytest.mark.parametrize(
    ("secrets", "error"),
    [
        (lambda: [_other_secret()], BadSignatureError),
        (lambda: [secret(7, "revoked"), secret(8)], StaleKeyError),
        (lambda: [secret(7, "retired"), secret(8)], StaleKeyError),
        (lambda: [secret(8)], StaleKeyError),
        (lambda: [secret(1)], AccessTokenError),
    ],
)
def test_new_secrets_count_at_once(
    session: Session,
    sym: Symmetric,
    secrets: Callable[[], list[AudienceSecret]],
    error: type[DPoPError],
) -> None:
    session.request()
    proof = sym.proof(session.text)
    sym.keyring.replace(ring(*secrets()))
    with pytest.raises(error):
        sym.verifier.verify(sym.open(proof, session.text), token=session.token)


def test_the_same_secret_in_a_new_ring_goes_on(
    session: Session, sym: Symmetric, derivations: list[int]
) -> None:
    session.request()
    sym.keyring.replace(ring(secret(7), secret(8, "pending")))
    session.request()
    session.request()
    assert derivations == [7, 7]


def test_a_secret_expires_under_a_remembered_key(ec_key: Any, clock: Any) -> None:
    sym = Symmetric(ec_key, clock, ring=ring(secret(7, expires_at=clock.now + 10)))
    session = Session(sym)
    session.request()
    clock.advance(10)
    with pytest.raises(StaleKeyError):
        session.request()


def test_a_key_expires_though_it_is_remembered(sym: Symmetric, clock: Any) -> None:
    session = Session(sym)
    if _verifier_of(sym)._token_form == "jwt":
        dsk = {"alg": "HS256", "v": 7, "exp": clock.now + 10}
        cnf = {"jkt": sym.jkt, "dsk": dsk | {"r": b64url_encode(R)}}
        session = Session(sym, cnf=cnf)
    session.token = sym.verified(dsk_exp=clock.now + 10)
    session.request()
    clock.advance(10)
    with pytest.raises(ExpiredKeyError):
        session.request()


def test_a_token_expires_though_its_key_is_remembered(ec_key: Any, clock: Any) -> None:
    sym = Symmetric(ec_key, clock)
    session = Session(sym)
    session.request()
    clock.advance(299)
    session.request()
    clock.advance(1)
    with pytest.raises(AccessTokenError):
        session.request()


@pytest.mark.parametrize(
    "changes", [{"client_id": "client-2"}, {"issuer": "x"}, {"audience": ("x",)}]
)
def test_the_verified_token_is_compared_on_each_request(
    sym: Symmetric, changes: dict[str, Any]
) -> None:
    session = Session(sym)
    session.request()
    with pytest.raises((AccessTokenError, BadSignatureError)):
        session.request(session.token._replace(**changes))
    session.request()


def test_what_introspection_says_today_counts(ec_key: Any, clock: Any) -> None:
    sym = Symmetric(ec_key, clock, token_form="opaque")
    session = Session(sym)
    session.request()
    reference = DerivedKeyReference(
        algorithm="HS256", version=7, r=bytes(32), expires_at=None
    )
    other = Confirmation(jkt=sym.jkt, dsk=reference)
    with pytest.raises(BadSignatureError):
        session.request(session.token._replace(confirmation=other))


def test_a_key_is_for_one_text(session: Session, sym: Symmetric) -> None:
    session.request()
    other = session.text + "x"
    with pytest.raises(DPoPError):
        sym.verifier.verify(
            sym.open(sym.proof(session.text), other), token=session.token
        )


def test_an_expiry_that_only_the_application_knows_is_not_remembered(
    ec_key: Any, clock: Any
) -> None:
    sym = Symmetric(ec_key, clock)
    session = Session(sym)
    session.token = session.token._replace(expires_at=clock.now + 9999)
    session.request()
    assert len(remembered(sym)) == 0


def test_a_remembered_key_is_not_shown(session: Session, sym: Symmetric) -> None:
    session.request()
    known = next(iter(remembered(sym).young.values()))
    shown = repr(known)
    assert session.text not in shown
    assert sym.derive().reveal().hex() not in shown
    assert repr(sym.derive().reveal()) not in shown
    with pytest.raises(TypeError):
        known.mac_key.__reduce__()
