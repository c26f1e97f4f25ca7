"""Columns for keys, and the one use of codes and refresh tokens, on SQLAlchemy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.integrations.sqla_oauth2 import (
    OAuth2AuthorizationCodeMixin,
    OAuth2TokenMixin,
)
from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    grants,
)
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dpop_ext.authorization_server.issuance import Issuance
from dpop_ext.integrations.sqla_oauth2 import (
    OAuth2DPoPCodeMixin,
    OAuth2DPoPTokenMixin,
    OAuth2RedeemableMixin,
    RedeemOnce,
    claim,
    create_save_token_func,
)
from tests.patience import PATIENCE

NOW = 1_790_000_000
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Code(Base, OAuth2AuthorizationCodeMixin, OAuth2DPoPCodeMixin):
    __tablename__ = "codes"
    id: Mapped[int] = mapped_column(primary_key=True)


class Device(Base, OAuth2RedeemableMixin):
    __tablename__ = "devices"
    # A key of two columns: every part of it must be in the condition.
    tenant: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Token(Base, OAuth2TokenMixin, OAuth2DPoPTokenMixin):
    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.sqlite3"


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def add(session: Session, row: Any) -> Any:
    session.add(row)
    session.commit()
    return row


def test_a_row_is_claimed_once(session: Session) -> None:
    code = add(session, Code(code="c", client_id="x"))
    assert code.redeemed_at == 0
    assert claim(session, code, "redeemed_at", now=NOW)
    assert code.redeemed_at == NOW
    assert not claim(session, code, "redeemed_at", now=NOW + 1)
    assert code.redeemed_at == NOW


def test_claiming_a_row_leaves_others_alone(session: Session) -> None:
    rows = [add(session, Device(tenant=t, number=n)) for t in (1, 2) for n in (1, 2)]
    assert claim(session, rows[1], "redeemed_at", now=NOW)
    assert [row.redeemed_at for row in rows] == [0, NOW, 0, 0]


def test_a_row_that_was_read_before_the_claim_cannot_be_claimed_again(
    session: Session, url: str
) -> None:
    add(session, Code(code="c", client_id="x"))
    engine = create_engine(url)
    with Session(engine) as other:
        mine = session.scalars(select(Code)).one()
        theirs = other.scalars(select(Code)).one()
        assert mine.redeemed_at == theirs.redeemed_at == 0
        session.rollback()
        other.rollback()
        assert claim(other, theirs, "redeemed_at", now=NOW)
        assert not claim(session, mine, "redeemed_at", now=NOW)
    engine.dispose()


class FakeGrant:
    """Stands in for a grant of Authlib: it issues, whatever comes."""

    GRANT_TYPE = "authorization_code"

    def __init__(self, request: Any) -> None:
        self.request = request

    def create_token_response(self) -> str:
        return "issued"


def make_grant(base: type, session: Session, grant_type: str, row: Any) -> Any:
    class Grant(RedeemOnce, base):
        GRANT_TYPE = grant_type
        clock = staticmethod(lambda: NOW + 0.5)
        second_uses: list[Any] = []

        def get_session(self) -> Session:
            return session

        def on_second_use(self, credential: Any) -> None:
            self.second_uses.append(credential)

    attribute, _ = RedeemOnce.REDEEMED[grant_type]
    return Grant(SimpleNamespace(**{attribute: row}))


def test_names_of_grants_are_those_of_authlib() -> None:
    assert set(RedeemOnce.REDEEMED) == {
        grants.AuthorizationCodeGrant.GRANT_TYPE,
        grants.RefreshTokenGrant.GRANT_TYPE,
        DeviceCodeGrant.GRANT_TYPE,
    }


@pytest.mark.parametrize(
    ("grant_type", "row"),
    [
        ("authorization_code", Code(code="c")),
        ("refresh_token", Token(access_token="a", refresh_token="r")),
        (DeviceCodeGrant.GRANT_TYPE, Device(tenant=1, number=1)),
    ],
)
def test_a_second_use_gets_nothing_and_is_reported(
    session: Session, grant_type: str, row: Any
) -> None:
    grant = make_grant(FakeGrant, session, grant_type, add(session, row))
    assert grant.create_token_response() == "issued"
    assert grant.second_uses == []
    with pytest.raises(InvalidGrantError):
        grant.create_token_response()
    assert grant.second_uses == [row]


def test_a_refresh_token_that_is_not_rotated_can_be_used_again(
    session: Session,
) -> None:
    row = add(session, Token(access_token="a", refresh_token="r"))
    grant = make_grant(FakeGrant, session, "refresh_token", row)
    grant.INCLUDE_NEW_REFRESH_TOKEN = False
    assert grant.create_token_response() == "issued"
    assert grant.create_token_response() == "issued"
    assert row.refresh_token_revoked_at == 0


def test_a_session_must_be_given(session: Session) -> None:
    class Grant(RedeemOnce, FakeGrant):
        pass

    row = add(session, Code(code="c"))
    with pytest.raises(NotImplementedError, match="Grant needs a method get_session"):
        Grant(SimpleNamespace(authorization_code=row)).create_token_response()
    assert row.redeemed_at == 0


def test_nothing_happens_at_a_second_use_unless_somebody_says_so(
    session: Session,
) -> None:
    class Grant(RedeemOnce, FakeGrant):
        def get_session(self) -> Session:
            return session

    row = add(session, Code(code="c"))
    grant = Grant(SimpleNamespace(authorization_code=row))
    assert grant.create_token_response() == "issued"
    with pytest.raises(InvalidGrantError):
        grant.create_token_response()


@pytest.mark.parametrize(
    ("grant_type", "model", "values"),
    [
        ("authorization_code", Code, {"code": "c"}),
        ("refresh_token", Token, {"access_token": "a", "refresh_token": "r"}),
        (DeviceCodeGrant.GRANT_TYPE, Device, {"tenant": 1, "number": 1}),
    ],
)
def test_of_parallel_redemptions_exactly_one_succeeds(
    session: Session, url: str, grant_type: str, model: type[Any], values: Any
) -> None:
    add(session, model(**values))
    engine = create_engine(url)
    outcomes: list[str] = []
    # All have read the row as unused before one of them redeems it.
    everybody_has_read = threading.Barrier(4)

    def redeem() -> None:
        with Session(engine) as mine:
            row = mine.scalars(select(model)).one()
            grant = make_grant(FakeGrant, mine, grant_type, row)
            everybody_has_read.wait(timeout=PATIENCE)
            try:
                outcomes.append(grant.create_token_response())
            except InvalidGrantError:
                outcomes.append("refused")

    threads = [threading.Thread(target=redeem) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert sorted(outcomes) == ["issued", "refused", "refused", "refused"]


def token_request(**changes: Any) -> Any:
    client = SimpleNamespace(client_id="client")
    return SimpleNamespace(client=client, user=None, **changes)


def test_save_token_stores_the_keys_that_a_token_is_bound_to(session: Session) -> None:
    save_token = create_save_token_func(session, Token)
    issuance = Issuance(jkt=JKT, audience=None, refresh_jkt=JKT, plan=None)
    token = {"access_token": "a", "refresh_token": "r", "token_type": "DPoP"}
    save_token(token, token_request(dpop_issuance=issuance))
    row = session.scalars(select(Token)).one()
    assert row.client_id == "client"
    assert row.user_id is None
    assert (row.dpop_jkt, row.refresh_dpop_jkt, row.dpop_dsk) == (JKT, JKT, None)


def test_a_model_without_the_columns_for_keys_is_refused_at_the_start(
    session: Session,
) -> None:
    class Plain:
        dpop_jkt = refresh_dpop_jkt = None

    with pytest.raises(TypeError, match=r"has no dpop_dsk: class Plain\(.*TokenMixin"):
        create_save_token_func(session, Plain)


def test_save_token_stores_a_bearer_token_without_keys(session: Session) -> None:
    save_token = create_save_token_func(session, Token)
    request = token_request()
    request.user = SimpleNamespace(get_user_id=lambda: 7)
    save_token({"access_token": "a", "token_type": "Bearer"}, request)
    row = session.scalars(select(Token)).one()
    assert row.user_id == 7
    assert (row.dpop_jkt, row.refresh_dpop_jkt, row.dpop_dsk) == (None, None, None)


class RefreshGrant(RedeemOnce, grants.RefreshTokenGrant):
    """One of Authlib, with a user."""

    INCLUDE_NEW_REFRESH_TOKEN = True
    user: Any = SimpleNamespace(get_user_id=lambda: 7)
    second_uses = 0

    def get_session(self) -> Session:
        session: Session = self.server.session
        return session

    def authenticate_user(self, refresh_token: Any) -> Any:
        return self.user

    def revoke_old_credential(self, refresh_token: Any) -> None:
        pass

    def on_second_use(self, credential: Any) -> None:
        self.second_uses += 1


@pytest.fixture
def server(session: Session) -> Any:
    saved: list[Any] = []
    return SimpleNamespace(
        session=session,
        saved=saved,
        generate_token=lambda **_: {"access_token": "b"},
        save_token=lambda token, request: saved.append(token),
    )


@pytest.fixture
def request_for_refresh(session: Session) -> Any:
    row = add(session, Token(access_token="a", refresh_token="r"))
    payload = SimpleNamespace(scope="x")
    return token_request(refresh_token=row, payload=payload)


def test_what_fails_or_is_refused_uses_nothing_up(
    server: Any, request_for_refresh: Any
) -> None:
    """Trap: who tries again after an error would be taken for a thief."""
    row = request_for_refresh.refresh_token
    grant = RefreshGrant(request_for_refresh, server)
    grant.user = None
    with pytest.raises(InvalidRequestError):
        grant.create_token_response()
    make = server.generate_token
    for error in (InvalidScopeError(), RuntimeError("no signing key")):

        def fail(error: Exception = error, **_: Any) -> None:
            raise error

        server.generate_token = fail
        with pytest.raises(type(error)):
            RefreshGrant(request_for_refresh, server).create_token_response()
    assert (row.refresh_token_revoked_at, server.saved) == (0, [])
    server.generate_token = make
    again = RefreshGrant(request_for_refresh, server)
    assert again.create_token_response()[0] == 200
    assert (again.second_uses, len(server.saved)) == (0, 1)
    assert row.refresh_token_revoked_at > 0


def test_a_token_is_not_saved_before_the_credential_is_redeemed(
    server: Any, request_for_refresh: Any
) -> None:
    first, second = (RefreshGrant(request_for_refresh, server) for _ in range(2))
    first.create_token_response()
    with pytest.raises(InvalidGrantError):
        second.create_token_response()
    assert (second.second_uses, len(server.saved)) == (1, 1)


def test_a_grant_that_saves_tokens_in_its_own_way_redeems_as_well(
    server: Any, request_for_refresh: Any
) -> None:
    class SavesNothing(RefreshGrant):
        def save_token(self, token: Any) -> None:
            pass

    first, second = (SavesNothing(request_for_refresh, server) for _ in range(2))
    assert first.create_token_response()[0] == 200
    with pytest.raises(InvalidGrantError):
        second.create_token_response()
    assert second.second_uses == 1
