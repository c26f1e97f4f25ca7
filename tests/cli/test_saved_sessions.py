"""Sessions from one command to the next: keyrings, clients with keys, and logout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from click.testing import Result
from joserfc.jwk import ECKey, OKPKey
from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError, PasswordDeleteError

from dpop_ext.client.keyfile import save_key
from dpop_ext.integrations.bundle_stores import FileBundle, FileStore
from tests.cli.conftest import run
from tests.cli.login_world import RESOURCE, LoginServer, Person
from tests.integrations.scripted_server import Answer


class Desk(KeyringBackend):
    """A keyring in memory, which can be locked."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False
        #: Whether an entry is still there when it is to be deleted.
        self.keeps = True

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise NoKeyringError
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None or not self.keeps:
            raise PasswordDeleteError


@pytest.fixture
def desk() -> Iterator[Desk]:
    before, desk = keyring.get_keyring(), Desk()
    keyring.set_keyring(desk)
    yield desk
    keyring.set_keyring(before)


@pytest.fixture
def session(place: Path, server: LoginServer) -> FileBundle:
    bundle = FileBundle(place)
    bundle.save({"access_token": "a-1", "token_type": "DPoP", "refresh_token": "r-1"})
    bundle.describe({"client_id": "app", "issuer": server.issuer})
    return bundle


def offer(server: LoginServer, **members: Any) -> None:
    assert server.metadata is not None
    server.metadata |= members


def offer_revocation(server: LoginServer, answer: Answer) -> None:
    server.answers["/revoke"] = answer
    offer(server, revocation_endpoint=f"{server.issuer}/revoke")


def logout(place: Path, *arguments: str) -> Result:
    return run("logout", "--session", str(place), *arguments)


def test_a_session_in_the_keyring_is_made_used_and_deleted(
    server: LoginServer, person: Person, desk: Desk, tmp_path: Path
) -> None:
    offer_revocation(server, Answer())
    there: dict[str, str] = {
        "DPOP_EXT_SESSION": "keyring:work",
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    options = ("--client-id", "app", "--resource", server.issuer)
    made = run("login", server.issuer, *options, **there)
    assert made.exit_code == 0, made.output
    assert "session  keyring:work" in made.stdout
    saved = json.loads(desk.entries["dpop-ext", "work"])
    assert saved["token"]["refresh_token"] == "refresh-1"
    # Nothing but a lock is on the disk.
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.suffix == ".lock" and not path.stat().st_size for path in files)

    server.answers["/accounts"] = Answer(body=b"mine")
    assert run("curl", f"{server.issuer}/accounts", **there).stdout == "mine"
    ended = run("logout", **there)
    assert (ended.exit_code, desk.entries) == (0, {})
    again = run("logout", **there)
    assert again.exit_code == 1
    assert "no session yet" in again.stderr


def test_a_keyring_that_is_locked_is_said_in_one_line(
    desk: Desk, tmp_path: Path
) -> None:
    desk.locked = True
    place = ("--session", "keyring:work")
    for command in (["curl", "https://api.example"], ["logout"]):
        shown = run(*command, *place, XDG_CONFIG_HOME=str(tmp_path))
        assert shown.exit_code == 1
        assert shown.stderr == (
            "dpop-ext: --session: the keyring is not available (NoKeyringError)\n"
        )


def test_a_client_with_a_key_logs_in_as_fapi_demands_and_refreshes_with_it(
    server: LoginServer, person: Person, place: Path, tmp_path: Path, ec_key: ECKey
) -> None:
    client_key = tmp_path / "client.jwk"
    save_key(client_key, ec_key)
    options = ("--session", str(place), "--client-id", "app", "--profile", "fapi2")
    with_key = (*options, "--client-key", str(client_key), "--resource", RESOURCE)

    # Nobody is asked to log in at a server that does not offer it.
    refused = run("login", server.issuer, *with_key)
    assert (refused.exit_code, person.asked, place.exists()) == (1, {}, False)
    assert refused.stderr.count("\n") == 1

    offer(
        server,
        pushed_authorization_request_endpoint=f"{server.issuer}/par",
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported=["ES256"],
    )
    without_key = run("login", server.issuer, *options)
    assert (without_key.exit_code, server.received) == (1, [])

    def pushed() -> None:
        person.pushed = server.to("/par")[0].form

    person.before = pushed
    body = json.dumps({"request_uri": "urn:x:1", "expires_in": 60}).encode()
    server.answers["/par"] = Answer(201, body=body)
    result = run("login", server.issuer, *with_key)
    assert result.exit_code == 0, result.output
    assert person.asked["request_uri"] == "urn:x:1"
    (token,) = server.to("/token")
    assert token.form["client_assertion"] != person.pushed["client_assertion"]
    about = FileBundle(place).about
    assert (about["client_key"], about["profile"]) == (str(client_key), "fapi2")
    # The key of the client itself is not copied.
    assert str(ec_key.as_dict(private=True)["d"]) not in place.read_text()

    run("curl", "--refresh", "--elsewhere", server.issuer, "--session", str(place))
    refresh = server.to("/token")[1].form
    assert refresh["refresh_token"] == "refresh-1"
    assert "client_assertion" in refresh


def test_logout_revokes_what_makes_tokens_and_deletes_the_session(
    server: LoginServer, session: FileBundle, place: Path
) -> None:
    offer_revocation(server, Answer())
    ended = logout(place)
    assert ended.exit_code == 0, ended.output
    assert not place.exists()
    (sent,) = server.to("/revoke")
    assert (sent.form["token"], sent.form["token_type_hint"]) == (
        "r-1",
        "refresh_token",
    )
    assert "r-1" not in ended.output
    assert ended.stdout == f"the session is deleted: {place}\n"


def test_logout_revokes_the_access_token_if_there_is_no_other(
    server: LoginServer, session: FileBundle, place: Path
) -> None:
    session.save({"access_token": "a-1", "token_type": "DPoP"})
    offer_revocation(server, Answer())
    assert logout(place).exit_code == 0
    (sent,) = server.to("/revoke")
    assert (sent.form["token"], sent.form["token_type_hint"]) == ("a-1", "access_token")


def test_logout_of_a_session_without_a_key_needs_the_one_that_made_it(
    server: LoginServer, place: Path, ec_key: ECKey, other_ec_key: ECKey, tmp_path: Path
) -> None:
    offer_revocation(server, Answer())
    bundle = FileBundle(place, key=ec_key)
    bundle.save({"access_token": "a-1", "token_type": "DPoP"})
    bundle.describe({"client_id": "app", "issuer": server.issuer})
    save_key(tmp_path / "good", ec_key)
    save_key(tmp_path / "other", other_ec_key)
    save_key(tmp_path / "no signer", OKPKey.generate_key("X25519"))
    for arguments, text in (
        ((), "no key of its own: --key names"),
        (("--key", str(tmp_path / "other")), "is bound to another key"),
        (("--key", str(tmp_path / "no signer")), "dpop-ext: --key: "),
    ):
        refused = logout(place, *arguments)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
        assert text in refused.stderr
    assert server.to("/revoke") == []
    assert logout(place, "--key", str(tmp_path / "good")).exit_code == 0


def test_a_session_without_a_token_is_told_how_to_get_one(place: Path) -> None:
    FileBundle(place)
    shown = run("curl", "https://api.example", "--session", str(place))
    assert (shown.exit_code, shown.stderr) == (
        1,
        "dpop-ext: the session has no token: dpop-ext login gets one\n",
    )


@pytest.mark.parametrize("member", ["issuer", "client_id"])
def test_a_session_that_does_not_say_whose_it_is_is_sent_nowhere(
    server: LoginServer, session: FileBundle, place: Path, member: str
) -> None:
    session.describe({k: v for k, v in session.about.items() if k != member})
    shown = logout(place)
    assert (shown.exit_code, place.exists(), server.received) == (1, True, [])
    assert "does not say whose it is" in shown.stderr


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "open to others"])
def test_a_session_in_what_is_no_file_of_ones_own_is_not_read(
    session: FileBundle, place: Path, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other"
    if kind == "directory":
        other.mkdir()
    elif kind == "pipe":
        os.mkfifo(other)
    elif kind == "link":
        other.symlink_to(place)
    else:
        other.write_text(place.read_text())
        other.chmod(0o644)
    for command in (["curl", "https://api.example"], ["logout"]):
        shown = run(*command, "--session", str(other))
        assert (shown.exit_code, shown.stderr.count("\n")) == (1, 1)
        assert shown.stderr.startswith("dpop-ext: --session: ")
    assert place.exists()


def test_an_entry_of_the_keyring_that_is_gone_is_deleted(
    server: LoginServer, desk: Desk, tmp_path: Path, session: FileBundle, place: Path
) -> None:
    desk.entries["dpop-ext", "work"] = place.read_text()
    desk.keeps = False
    there = {"DPOP_EXT_SESSION": "keyring:work", "XDG_CONFIG_HOME": str(tmp_path)}
    ended = run("logout", "--force", **there)
    assert ended.exit_code == 0, ended.output
    assert "the session is deleted: keyring:work" in ended.stdout


def test_without_a_place_the_session_is_where_only_its_owner_looks(
    server: LoginServer, person: Person, tmp_path: Path
) -> None:
    there = {"XDG_CONFIG_HOME": str(tmp_path / "new")}
    made = run("login", server.issuer, "--client-id", "app", "--json", **there)
    assert made.exit_code == 0, made.output
    usual = tmp_path / "new" / "dpop-ext" / "session.json"
    assert usual.parent.stat().st_mode & 0o777 == 0o700
    shown = json.loads(made.stdout)
    assert shown == {
        "session": str(usual),
        "issuer": server.issuer,
        "client_id": "app",
        "resource": None,
        "scope": None,
        "jkt": FileBundle(usual).signer.jkt,
        "expires_at": (FileBundle(usual).token or {})["expires_at"],
        "can_refresh": True,
    }
    assert "resource" not in FileBundle(usual).about
    release = FileStore(usual).try_lock()
    assert release is not None
    release()
    server.answers["/accounts"] = Answer(body=b"mine")
    assert run("curl", f"{server.issuer}/accounts", **there).stdout == "mine"


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (None, 1, "cannot revoke tokens"),
        (Answer(503), 1, "not revoked (status 503)"),
        (Answer(302, [("Location", "/elsewhere")]), 1, "not revoked (status 302)"),
    ],
)
def test_without_a_revocation_the_session_stays_unless_it_is_forced(
    server: LoginServer,
    session: FileBundle,
    place: Path,
    answer: Answer | None,
    code: int,
    text: str,
) -> None:
    if answer is not None:
        offer_revocation(server, answer)
    kept = logout(place)
    assert (kept.exit_code, place.exists()) == (code, True)
    assert text in kept.stderr
    assert "--force" in kept.stderr
    assert kept.stderr.count("\n") == 1
    forced = logout(place, "--force")
    assert (forced.exit_code, place.exists()) == (0, False)
    assert text in forced.stderr
    assert server.to("/elsewhere") == []


def test_a_server_that_does_not_answer_is_another_exit_code(
    session: FileBundle, place: Path
) -> None:
    session.describe({**session.about, "issuer": "http://127.0.0.1:1"})
    kept = logout(place)
    assert (kept.exit_code, place.exists()) == (3, True)
    assert "no connection" in kept.stderr
    assert logout(place, "--force").exit_code == 0
    assert not place.exists()
