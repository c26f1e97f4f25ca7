"""Sessions that outlive their process, and share their token with others."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.oauth2.rfc6749 import OAuth2Token
from httpx2 import HTTPStatusError
from joserfc.jwk import ECKey
from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError

from dpop_ext.client import ProofSigner, SessionBundle
from dpop_ext.client.exchange import Outcome
from dpop_ext.errors import BundleError, OtherKeyError, UnboundTokenError
from dpop_ext.integrations.authlib_httpx import (
    AsyncOAuth2Client,
    OAuth2Client,
    asyncio_renewal,
)
from dpop_ext.integrations.bundle_stores import FileBundle, FileStore, KeyringBundle
from dpop_ext.integrations.requests_client import OAuth2Session
from tests.integrations.scripted_server import Answer, ScriptedServer
from tests.integrations.token_endpoint import AuthorizationServer
from tests.patience import PATIENCE

EXPIRED = {
    "access_token": "old",
    "token_type": "DPoP",
    "refresh_token": "first",
    "expires_at": 1,
}
#: Another process with the same bundle: says that it is there, and calls when it may.
PROCESS = """
import sys
from dpop_ext.integrations.bundle_stores import FileBundle
from dpop_ext.integrations.requests_client import OAuth2Session

path, token_endpoint, url = sys.argv[1:]
bundle = FileBundle(path)
with OAuth2Session("client", bundle=bundle, token_endpoint=token_endpoint) as session:
    print("ready", flush=True)
    sys.stdin.readline()
    session.get(url)
    print(session.token["access_token"])
"""


@pytest.fixture
def server(server: AuthorizationServer) -> AuthorizationServer:
    """One whose answers hold what is worth keeping."""
    server.members = {"refresh_token": "second", "expires_in": 3600}
    return server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.json"


def open_session(kind: Any, path: Path, server: AuthorizationServer) -> Any:
    return kind("client", bundle=FileBundle(path), token_endpoint=server.url)


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client])
def test_a_session_goes_on_where_the_last_process_ended(
    kind: Any, path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    with open_session(kind, path, server) as session:
        session.fetch_token(grant_type="authorization_code", code="code")
        jkt = session.dpop.jkt
    with open_session(kind, path, server) as session:
        assert session.get(resource.url).status_code == 200
        assert session.dpop.jkt == jkt
    assert resource.received[0].authorization == "DPoP access-1"
    assert len(server.received) == 1


def test_an_asyncio_client_goes_on_and_refreshes(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)

    async def call() -> None:
        async with open_session(AsyncOAuth2Client, path, server) as client:
            await asyncio.gather(*(client.get(resource.url) for _ in range(5)))

    asyncio.run(call())
    assert [form["refresh_token"] for form in server.forms] == ["first"]
    assert {request.authorization for request in resource.received} == {"DPoP access-1"}
    assert FileBundle(path).token is not None
    assert FileBundle(path).token["access_token"] == "access-1"  # type: ignore[index]


def test_two_asyncio_clients_with_one_bundle_refresh_once(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)

    async def call() -> None:
        async with (
            open_session(AsyncOAuth2Client, path, server) as one,
            open_session(AsyncOAuth2Client, path, server) as other,
        ):
            await asyncio.gather(one.get(resource.url), other.get(resource.url))

    asyncio.run(call())
    assert len(server.received) == 1
    assert [request.authorization for request in resource.received] == [
        "DPoP access-1"
    ] * 2


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client])
def test_threads_with_sessions_of_their_own_refresh_once(
    kind: Any, path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)
    sessions = [open_session(kind, path, server) for _ in range(4)]
    threads = [
        threading.Thread(target=session.get, args=(resource.url,))
        for session in sessions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.close()
    assert len(server.received) == 1
    assert [request.authorization for request in resource.received] == [
        "DPoP access-1"
    ] * 4


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client])
def test_a_refresh_token_that_is_not_replaced_stays_in_the_bundle(
    kind: Any, path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)
    server.members = {"expires_in": 3600}
    with open_session(kind, path, server) as session:
        session.get(resource.url)
    token = FileBundle(path).token
    assert token is not None
    assert (token["access_token"], token["refresh_token"]) == ("access-1", "first")


def test_a_refresh_that_fails_leaves_the_bundle_and_the_lock_free(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)
    server.answer = Answer(400, [], b'{"error": "invalid_grant"}')
    with open_session(OAuth2Session, path, server) as session:
        with pytest.raises(OAuthError, match="invalid_grant"):
            session.get(resource.url)
        release = FileStore(path).try_lock()
        assert release is not None
        release()
    assert FileBundle(path).token == EXPIRED
    assert resource.received == []


def test_processes_with_one_bundle_refresh_once_and_both_get_the_token(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(path), server.url, resource.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert printed == ["access-1\n"] * 2
    assert [form["refresh_token"] for form in server.forms] == ["first"]
    assert [request.authorization for request in resource.received] == [
        "DPoP access-1"
    ] * 2


class Held:
    """A server that has spent a refresh token, and has not answered yet."""

    def __init__(self, server: AuthorizationServer) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        server.before_answer = self

    def __call__(self) -> None:
        self.asked.set()
        assert self.may_answer.wait(PATIENCE)


def test_a_refresh_goes_on_when_the_request_that_needs_it_is_cancelled(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    """Else the spent refresh token is sent once more, and all of them are revoked."""
    FileBundle(path).save(EXPIRED)
    held = Held(server)

    async def call() -> None:
        async with open_session(AsyncOAuth2Client, path, server) as client:
            given_up = asyncio.create_task(client.get(resource.url))
            assert await asyncio.to_thread(held.asked.wait, PATIENCE)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            another = asyncio.create_task(client.get(resource.url))
            held.may_answer.set()
            await another

    asyncio.run(call())
    assert [form["refresh_token"] for form in server.forms] == ["first"]
    assert FileBundle(path).token["refresh_token"] == "second"  # type: ignore[index]


@pytest.mark.parametrize("refresh", ["background", "foreground"])
def test_an_asyncio_client_that_is_closed_ends_a_refresh_that_is_under_way(
    path: Path,
    server: AuthorizationServer,
    monkeypatch: pytest.MonkeyPatch,
    refresh: Any,
) -> None:
    monkeypatch.setattr(asyncio_renewal, "uniform_jitter", lambda: 0.0)
    FileBundle(path).save({**EXPIRED, "expires_at": 9_999_999_999})
    held = Held(server)

    async def call() -> None:
        async with open_session(AsyncOAuth2Client, path, server) as client:
            client.set_schedule(refresh)
            client.finish("old", Outcome(refresh_due=True))
            due = asyncio.create_task(client.renew_if_due())
            assert await asyncio.to_thread(held.asked.wait, PATIENCE)
            due.cancel()
            held.may_answer.set()

    asyncio.run(call())
    assert FileBundle(path).token["refresh_token"] == "second"  # type: ignore[index]


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client])
def test_a_session_that_is_closed_waits_for_a_refresh_that_is_under_way(
    kind: Any, path: Path, server: AuthorizationServer
) -> None:
    """Its thread would end with the process."""
    FileBundle(path).save({**EXPIRED, "expires_at": 9_999_999_999})
    held = Held(server)
    with open_session(kind, path, server) as session:
        refresh = threading.Thread(target=session._renew, args=("old",), daemon=True)
        refresh.start()
        assert held.asked.wait(PATIENCE)
        closing = threading.Thread(target=session.close, daemon=True)
        closing.start()
        closing.join(0.1)
        assert closing.is_alive()
        held.may_answer.set()
        closing.join(PATIENCE)
        assert FileBundle(path).token["refresh_token"] == "second"  # type: ignore[index]


def test_a_refresh_that_fails_fails_for_all_tasks_and_is_tried_again_by_the_next(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)
    server.answer = Answer(503, [], b'{"error": "temporarily_unavailable"}')

    async def call() -> None:
        async with open_session(AsyncOAuth2Client, path, server) as client:
            ends = await asyncio.gather(
                *(client.get(resource.url) for _ in range(3)), return_exceptions=True
            )
            assert {type(end) for end in ends} == {HTTPStatusError}
            server.answer = None
            await client.get(resource.url)

    asyncio.run(call())
    assert len(server.received) == 2


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client, AsyncOAuth2Client])
def test_a_token_is_saved_also_if_the_application_fails_to_take_it(
    kind: Any, path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save(EXPIRED)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise LookupError

    async def call_async() -> None:
        async with open_session(kind, path, server) as client:
            client.update_token = fail
            with pytest.raises(LookupError):
                await client.get(resource.url)

    if kind is AsyncOAuth2Client:
        asyncio.run(call_async())
    else:
        with open_session(kind, path, server) as session:
            session.update_token = fail
            with pytest.raises(LookupError):
                session.get(resource.url)
    assert FileBundle(path).token["refresh_token"] == "second"  # type: ignore[index]


def test_a_token_that_could_not_be_saved_is_not_replaced_by_the_one_before(
    path: Path,
    server: AuthorizationServer,
    resource: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk is full for a moment: the refresh token that is saved is spent."""
    FileBundle(path).save(EXPIRED)

    def full(descriptor: int) -> None:
        raise OSError(descriptor)

    with open_session(OAuth2Session, path, server) as session:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match=r"\d"):
                session.get(resource.url)
        session.token["expires_at"] = 1
        session.get(resource.url)
    assert [form["refresh_token"] for form in server.forms] == ["first", "second"]
    assert FileBundle(path).token["access_token"] == "access-2"  # type: ignore[index]


def test_a_stale_key_of_a_token_that_was_replaced_meanwhile_is_no_refresh(
    path: Path, server: AuthorizationServer
) -> None:
    FileBundle(path).save(EXPIRED)
    with open_session(OAuth2Session, path, server) as session:
        FileBundle(path).save({**EXPIRED, "access_token": "newer"})
        session._renew("old")
        assert session.token["access_token"] == "newer"
    assert server.received == []


def test_a_session_of_another_login_is_not_mixed_with_this_one(
    path: Path, server: AuthorizationServer, resource: ScriptedServer, ec_key: ECKey
) -> None:
    FileBundle(path).save(EXPIRED)
    with open_session(OAuth2Session, path, server) as session:
        path.unlink()
        FileBundle(path, key=ec_key).save(EXPIRED)
        with pytest.raises(OtherKeyError):
            session.get(resource.url)
    assert server.received == resource.received == []


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client, AsyncOAuth2Client])
def test_the_nonce_of_a_server_is_known_to_the_next_process(
    kind: Any, path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save({**EXPIRED, "expires_at": 9_999_999_999})
    resource.script = lambda request: Answer(200, [("DPoP-Nonce", "n")])

    async def call_async() -> None:
        async with open_session(kind, path, server) as client:
            await client.get(resource.url)

    for _ in range(2):
        if kind is AsyncOAuth2Client:
            asyncio.run(call_async())
        else:
            with open_session(kind, path, server) as session:
                session.get(resource.url)
    assert resource.nonces == [None, "n"]


def test_what_was_learned_does_not_replace_a_newer_token(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save({**EXPIRED, "expires_at": 9_999_999_999})
    resource.script = lambda request: Answer(200, [("DPoP-Nonce", "n")])
    newer = {**EXPIRED, "access_token": "newer"}
    with open_session(OAuth2Session, path, server) as session:
        session.get(resource.url)
        FileBundle(path).save(newer)
    assert FileBundle(path).token == newer
    assert FileBundle(path).signer.memory()[0] == {(resource.url, "rs"): "n"}


def test_a_bundle_that_is_gone_does_not_keep_a_session_from_closing(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    FileBundle(path).save({**EXPIRED, "expires_at": 9_999_999_999})
    resource.script = lambda request: Answer(200, [("DPoP-Nonce", "n")])
    with open_session(OAuth2Session, path, server) as session:
        session.get(resource.url)
        path.unlink()
    assert not path.exists()


def test_the_file_is_its_owners_alone(path: Path) -> None:
    FileBundle(path).save(EXPIRED)
    for file in (path, path.with_name("session.json.lock")):
        if file.exists():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(PermissionError):
        FileBundle(path)


def test_a_file_that_is_no_text_is_an_error(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(b"\xff")
    with pytest.raises(BundleError):
        FileBundle(path)


def test_a_crash_while_writing_leaves_the_bundle_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = FileBundle(path)
    bundle.save(EXPIRED)

    def crash(descriptor: int) -> None:
        raise OSError(descriptor)

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match=r"\d"):
        bundle.save({**EXPIRED, "access_token": "new"})
    assert bundle.token == FileBundle(path).token == EXPIRED


def test_the_lock_holds_off_another_thread_of_the_same_process(path: Path) -> None:
    store = FileStore(path)
    release = store.try_lock()
    assert release is not None
    assert store.try_lock() is None
    assert FileStore(path).try_lock() is None
    release()
    again = FileStore(path).try_lock()
    assert again is not None
    again()


class Desk(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


def test_a_bundle_is_kept_in_the_keyring(tmp_path: Path) -> None:
    desk = Desk()
    make = partial(KeyringBundle, "app", lock=tmp_path / "lock", backend=desk)
    make("alice").save(EXPIRED)
    assert json.loads(desk.entries["app", "alice"])["token"] == EXPIRED
    assert make("alice").token == EXPIRED
    assert make("bob").token is None
    assert make("alice").signer.jkt != make("bob").signer.jkt


def test_a_desktop_without_a_keyring_is_an_error(tmp_path: Path) -> None:
    class Nothing(Desk):
        def get_password(self, service: str, username: str) -> str | None:
            raise NoKeyringError

    with pytest.raises(NoKeyringError):
        KeyringBundle("app", "alice", lock=tmp_path / "lock", backend=Nothing())


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client, AsyncOAuth2Client])
def test_a_bearer_token_in_the_bundle_is_refused(kind: Any, path: Path) -> None:
    FileBundle(path).save({**EXPIRED, "token_type": "Bearer"})
    with pytest.raises(UnboundTokenError):
        kind("client", bundle=FileBundle(path))


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client, AsyncOAuth2Client])
def test_a_session_has_one_signer_and_one_token(
    kind: Callable[..., Any], path: Path, ec_key: ECKey
) -> None:
    bundle: SessionBundle = FileBundle(path)
    signer = ProofSigner(ec_key)
    with pytest.raises(ValueError, match="signer or a bundle"):
        kind("client")
    with pytest.raises(ValueError, match="in the bundle"):
        kind("client", dpop=signer, bundle=bundle)
    with pytest.raises(ValueError, match="in the bundle"):
        kind("client", bundle=bundle, token=OAuth2Token(EXPIRED))


def test_the_code_in_the_document_runs(
    path: Path, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    document = Path(__file__).parents[2] / "docs" / "sessions.md"
    code, _ = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    names = {"path": path, "token_endpoint": server.url, "url": resource.url}
    for _ in range(2):
        exec(compile(code, document.name, "exec"), names)
    assert len(server.received) == 1
    assert [request.authorization for request in resource.received] == [
        "DPoP access-1"
    ] * 2
