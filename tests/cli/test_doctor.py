"""``dpop-ext doctor`` against servers that are well, and ones with a fault each."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import requests
from joserfc.jwk import ECKey, import_key
from redis import Redis

from dpop_ext.cli import limited_answer
from dpop_ext.cli.checkup import place
from dpop_ext.cli.checkup import store as store_checks
from dpop_ext.cli.checkup.finding import Finding
from dpop_ext.cli.checkup.issuer import check_issuer
from dpop_ext.cli.checkup.keyring import check_keyring
from dpop_ext.cli.checkup.nodes import check_nonces, check_replay
from dpop_ext.cli.checkup.place import check_place
from dpop_ext.cli.checkup.probe import Probe
from dpop_ext.cli.checkup.resource import (
    check_clock,
    check_cors,
    check_host,
    check_public_url,
)
from dpop_ext.cli.checkup.store import check_store
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.errors import StoreError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.integrations.wsgi_cors import CORS
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.cli.conftest import run
from tests.client.reading import read
from tests.conftest import Clock
from tests.engines import RedisServer, free_ports
from tests.patience import PATIENCE
from tests.resource_server.world import World

Application = Callable[..., Any]


class QuietHandler(WSGIRequestHandler):
    """Hands the target on as it came, as production servers do."""

    def get_environ(self) -> dict[str, Any]:
        return super().get_environ() | {"RAW_URI": self.path}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(app: Application) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, WSGIServer, QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def protected(world: World, **options: Any) -> Application:
    verifier = options.pop("verifier", None) or ProofVerifier(
        MemoryReplayStore(), clock=world.clock
    )
    return DPoPMiddleware(
        page, verifier=verifier, find_token=world.validator, **options
    )


@contextmanager
def api(world: World, **options: Any) -> Iterator[str]:
    """Run a protected API whose public URL is its own, unless *options* say else."""
    app: list[Application] = []

    def later(environ: Any, start_response: Any) -> Any:
        return app[0](environ, start_response)

    with serving(later) as url:
        options.setdefault("public_url", url)
        app.append(protected(world, **options))
        yield f"{url}/accounts"


@pytest.fixture
def world(ec_key: ECKey, other_ec_key: ECKey) -> World:
    """Parties whose clock is the one of this machine, as the doctor's is."""
    return World(
        clock=Clock(time.time()),
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=other_ec_key,
    )


def status_of(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in findings]


def report(*arguments: str, **environment: str) -> tuple[int, dict[str, str]]:
    """Run the command; return its exit code, and the status of each check."""
    result = run("doctor", "--json", *arguments, **environment)
    findings = json.loads(result.output)
    for finding in findings:
        assert finding["status"] == "good" or finding["advice"] or not finding["seen"]
    return result.exit_code, {
        finding["check"]: finding["status"] for finding in findings
    }


def test_a_server_that_is_well_has_no_findings(world: World) -> None:
    with api(world) as url:
        code, found = report("--resource", url)
    assert found == {
        "clock": "good",
        "challenge": "good",
        "public URL": "good",
        "Host field": "good",
    }
    assert code == 0


def test_a_wrong_public_url_is_named_with_what_to_change(world: World) -> None:
    with api(world, public_url="https://api.example.com") as url:
        result = run("doctor", "--resource", url)
    assert result.exit_code == 1
    assert "bad      public URL" in result.output
    assert "set its public_url" in result.output


def test_a_server_that_believes_the_host_field_is_bad(world: World) -> None:
    def behind_tls(environ: Any, start_response: Any) -> Any:
        app = protected(world, public_url=None)
        return app(environ | {"wsgi.url_scheme": "https"}, start_response)

    class Probed(Probe):
        def send(self, **options: Any) -> Any:
            return super().send(node=url, **options)

    with serving(behind_tls) as url:
        probe = Probed("https://api.example.com/accounts")
        assert status_of(check_public_url(probe)) == [("public URL", "good")]
        assert status_of(check_host(probe)) == [("Host field", "bad")]


@pytest.mark.parametrize(
    ("offset", "status"), [(0, "good"), (10, "look"), (-10, "look"), (90, "bad")]
)
def test_a_clock_that_is_off_is_found(world: World, offset: int, status: str) -> None:
    with api(world) as url:
        probe = Probe(url, clock=lambda: time.time() - offset)
        assert status_of(check_clock(probe)) == [("clock", status)]


@pytest.mark.parametrize("date", ["yesterday", f"{'9' * 30} Jan 2000 00:00:00 GMT"])
def test_a_date_that_is_none_is_one_finding(date: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [("Date", date)])
        return []

    with serving(app) as url:
        assert status_of(check_clock(Probe(url))) == [("clock", "look")]


def test_a_page_without_protection_is_bad() -> None:
    with serving(page) as url:
        code, found = report("--resource", url)
    assert (code, found["challenge"], found["public URL"]) == (1, "bad", "bad")


def test_a_server_that_is_not_there_is_bad(unused_url: str) -> None:
    code, found = report("--resource", unused_url, "--issuer", unused_url)
    assert code == 1
    assert set(found.values()) == {"bad"}


def test_a_certificate_that_is_none_is_told_from_a_server_that_is_down() -> None:
    with serving(page) as url:
        result = run("doctor", "--issuer", url.replace("http:", "https:"))
    assert "no answer (SSLError)" in result.output
    assert "certificate is not one that this machine trusts" in result.output


@pytest.fixture
def unused_url() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_cors_is_checked_for_the_origin(world: World) -> None:
    page_origin = "https://app.example"
    with api(world) as url:
        code, found = report("--resource", url, "--origin", page_origin)
        assert (code, found["CORS"]) == (1, "bad")

    def with_cors(environ: Any, start_response: Any) -> Any:
        app = protected(world, public_url=base)
        return CORS(app, origins=[page_origin])(environ, start_response)

    with serving(with_cors) as base:
        code, found = report("--resource", base, "--origin", page_origin)
    assert (code, found["CORS"]) == (0, "good")


ALLOWED = "Access-Control-Allow-Origin"
REQUESTS = "Access-Control-Allow-Headers"
EXPOSED = "Access-Control-Expose-Headers"


@pytest.mark.parametrize(
    ("preflight", "answer", "status", "seen"),
    [
        ({}, {}, "good", "can send proofs"),
        ({ALLOWED: "*", REQUESTS: "*, Authorization"}, {ALLOWED: "*"}, "good", "can"),
        ({}, {EXPOSED: "*"}, "good", "can send proofs"),
        ({ALLOWED: "https://b.example"}, {}, "bad", "is not allowed"),
        ({}, {ALLOWED: ""}, "bad", "is not allowed"),
        ({"status": "401 Unauthorized"}, {}, "bad", "is answered 401"),
        ({REQUESTS: "*"}, {}, "bad", "in requests: authorization"),
        ({REQUESTS: "authorization"}, {}, "bad", "in requests: dpop"),
        ({REQUESTS: ""}, {}, "bad", "in requests: authorization, dpop"),
        ({}, {EXPOSED: "DPoP-Nonce"}, "bad", "cannot read: www-authenticate"),
        ({}, {EXPOSED: "WWW-Authenticate"}, "bad", "cannot read: dpop-nonce"),
    ],
)
def test_what_a_browser_lets_scripts_do_is_told(
    preflight: dict[str, str], answer: dict[str, str], status: str, seen: str
) -> None:
    origin = "https://a.example"
    usual = {
        "status": "204 No Content",
        ALLOWED: origin,
        REQUESTS: "DPoP,Authorization",
    }
    refused = {
        "status": "401 No",
        ALLOWED: origin,
        EXPOSED: "DPoP-Nonce, WWW-Authenticate",
    }

    def app(environ: Any, start_response: Any) -> list[bytes]:
        is_preflight = environ["REQUEST_METHOD"] == "OPTIONS"
        fields = usual | preflight if is_preflight else refused | answer
        start_response(fields.pop("status"), list(fields.items()))
        return []

    with serving(app) as url:
        (found,) = check_cors(Probe(url), origin)
    assert (found.status, seen in found.seen) == (status, True), found


def nodes(world: World, stack: ExitStack, *verifiers: ProofVerifier) -> list[str]:
    """Run servers that are called by one name."""
    return [
        stack.enter_context(
            serving(
                protected(
                    world, verifier=verifier, public_url="https://api.example.com"
                )
            )
        )
        for verifier in verifiers
    ]


@pytest.mark.parametrize(
    ("algorithms", "status"),
    [
        (["ES256"], "good"),
        (["ML-DSA-65"], "good"),
        ([["x"], {}, 7, "ES256"], "good"),
        (["ES256K"], "look"),
        ([["ES256"], {}, None], "look"),
        ([], "bad"),
        ("ES256", "bad"),
    ],
)
def test_the_algorithms_of_an_issuer_are_looked_at(
    algorithms: Any, status: str
) -> None:
    document: dict[str, Any] = {"dpop_signing_alg_values_supported": algorithms}

    def metadata(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    with serving(metadata) as url:
        document["issuer"] = url
        assert status_of(check_issuer(url)) == [("issuer metadata", status)]


@contextmanager
def issuer(**members: Any) -> Iterator[tuple[str, list[str]]]:
    """Run an authorization server; what it is asked for is in the list."""
    asked: list[str] = []
    document: dict[str, Any] = {}

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    with serving(answer) as url:
        document.update({"issuer": url, "token_endpoint": f"{url}/token"} | members)
        yield url, asked


def test_nothing_that_a_server_says_speaks_to_the_terminal() -> None:
    odd = "\x1b]0;title\x07"
    with issuer(dpop_signing_alg_values_supported=["ES256", odd]) as (url, _):
        result = run("doctor", "--issuer", url)
    assert "\\x1b]0;title\\x07" in result.output
    assert result.output.replace("\n", "").isprintable()


@contextmanager
def endless(piece: bytes, *, pause: float) -> Iterator[str]:
    """Run a server whose answers come to no end by themselves."""
    let_go = threading.Event()

    def answer(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(50 * PATIENCE):
            yield piece
            if let_go.wait(pause):
                return

    with serving(answer) as url:
        try:
            yield url
        finally:
            let_go.set()


def test_metadata_without_end_is_not_read_to_its_end() -> None:
    with endless(b"x" * 4096, pause=0.001) as url:
        result = run("doctor", "--issuer", url)
    assert result.exit_code == 1
    assert "no answer that can be read (The answer is too long.)" in result.output


def test_metadata_that_trickles_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_answer, "TIMEOUT", 0.2)
    with endless(b" ", pause=0.02) as url:
        result = run("doctor", "--issuer", url)
    assert "no answer that can be read (The answer took too long.)" in result.output


def test_metadata_that_no_parser_bears_is_bad() -> None:
    def deep(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"[" * 100_000]

    with serving(deep) as url:
        assert report("--issuer", url) == (1, {"issuer metadata": "bad"})


@pytest.mark.parametrize(
    ("status", "found"), [("404 No", "status 404"), ("200 OK", "no JSON object")]
)
def test_an_issuer_without_metadata_is_told_where_it_belongs(
    status: str, found: str
) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [])
        return [b"<html>"]

    with serving(app) as url:
        result = run("doctor", "--issuer", f"{url}/tenant")
    assert f"{found} at /.well-known/oauth-authorization-server/tenant" in result.output
    assert "get_metadata() of DPoP" in result.output


def test_content_of_an_api_is_not_read() -> None:
    let_go, ended = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(50 * PATIENCE):
            yield b"x" * 4096
            if let_go.wait(0.02):
                return
        ended.set()

    with serving(slow) as url:
        try:
            assert Probe(url).send().status == 200
            assert not ended.is_set()
        finally:
            let_go.set()


def test_the_metadata_of_another_issuer_gets_no_secret() -> None:
    node = ("--node", "https://a.example", "--resource", "https://a.example")
    client = ("--client-id", "c", "--client-secret", "s")
    with issuer(issuer="https://other.example") as (url, asked):
        result = run("doctor", *node, *client, "--issuer", url)
    assert "is that of another issuer" in result.output
    assert "/token" not in asked


@contextmanager
def token_server(give: Callable[[Any], Any]) -> Iterator[str]:
    """Run an authorization server whose token endpoint answers what *give* returns."""
    document: dict[str, Any] = {"dpop_signing_alg_values_supported": ["ES256"]}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        is_token = environ["PATH_INFO"] == "/token"
        return [json.dumps(give(environ) if is_token else document).encode()]

    with serving(app) as url:
        document |= {"issuer": url, "token_endpoint": f"{url}/token"}
        yield url


def test_nodes_are_tried_with_a_token_for_a_key_of_its_own(world: World) -> None:
    asked: list[Any] = []

    def give(environ: Any) -> Any:
        asked.append(environ)
        jwk = import_key(read(environ["HTTP_DPOP"]).header["jwk"])
        token = world.token(cnf={"jkt": jwk.thumbprint()})
        return {"access_token": token, "token_type": "DPoP"}

    verifier = ProofVerifier(MemoryReplayStore(), clock=world.clock)
    with ExitStack() as stack:
        issuer = stack.enter_context(token_server(give))
        (node,) = nodes(world, stack, verifier)
        result = run(
            *("doctor", "--json", "--issuer", issuer, "--node", f"{node}/"),
            *("--resource", "https://api.example.com/accounts"),
            *("--client-id", "c", "--scope", "accounts"),
            DPOP_EXT_CLIENT_SECRET="s3cret",
        )
    (environ,) = asked
    assert environ["HTTP_AUTHORIZATION"] == requests.auth._basic_auth_str("c", "s3cret")
    found = {one["check"]: one["status"] for one in json.loads(result.stdout)}
    assert found["shared replay store"] == "good"
    assert found["shared nonce secrets"] == found["nodes"] == "skipped"
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"access_token": "\u65e5", "token_type": "DPoP"},
        {"access_token": "a\nb", "token_type": "DPoP"},
        {"access_token": "t", "token_type": "Bearer"},
    ],
)
def test_without_a_token_no_node_is_asked(answer: Any) -> None:
    with token_server(lambda _: answer) as issuer:
        result = run(
            *("doctor", "--issuer", issuer, "--resource", "http://127.0.0.1:1/"),
            *("--node", "http://127.0.0.1:1", "--client-id", "c"),
        )
    assert result.exit_code == 1
    assert "dpop-ext: the issuer gives the client no token: " in result.stderr


def test_nodes_that_share_nothing_are_found_out(world: World) -> None:
    token, probe = world.token(), Probe("https://api.example.com/a", key=world.key)
    one, other = (
        ProofVerifier(
            MemoryReplayStore(),
            nonces=NonceIssuer([bytes(range(seed, seed + 32))]),
            clock=world.clock,
        )
        for seed in (0, 1)
    )
    with ExitStack() as stack:
        urls = nodes(world, stack, one, other)
        replay = status_of(check_replay(probe, token, urls))
        nonces = status_of(check_nonces(probe, token, urls))
    assert [status for _, status in replay] == ["good", "skipped"]
    assert [status for _, status in nonces] == ["good", "bad"]
    without = [ProofVerifier(MemoryReplayStore(), clock=world.clock) for _ in range(2)]
    with ExitStack() as stack:
        urls = nodes(world, stack, *without)
        replay = status_of(check_replay(probe, token, urls))
        nonces = status_of(check_nonces(probe, token, urls))
    assert [status for _, status in replay] == ["good", "bad"]
    assert [status for _, status in nonces] == ["skipped"]


def test_nodes_that_share_everything_are_good(world: World) -> None:
    token, probe = world.token(), Probe("https://api.example.com/a", key=world.key)
    store, nonce_issuer = MemoryReplayStore(), NonceIssuer([bytes(range(32))])
    verifiers = [
        ProofVerifier(store, nonces=nonce_issuer, clock=world.clock) for _ in range(3)
    ]
    with ExitStack() as stack:
        urls = nodes(world, stack, *verifiers)
        found = status_of(check_replay(probe, token, urls))
        found += status_of(check_nonces(probe, token, urls))
    assert [status for _, status in found] == ["good"] * 6


class Broken:
    """A store that works for so many calls."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self._store = MemoryReplayStore()

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        self._left -= 1
        if self._left < 0:
            raise StoreError
        return self._store.add(key, expires_at=expires_at, now=now)

    def close(self) -> None:
        """Nothing is open."""


def test_a_node_that_does_not_serve_is_not_said_to_share_or_not_to(
    world: World,
) -> None:
    token, probe = world.token(), Probe("https://api.example.com/a", key=world.key)
    nonce_issuer = NonceIssuer([bytes(range(32))])
    good_one, bad_one = (
        ProofVerifier(store, nonces=nonce_issuer, clock=world.clock)
        for store in (MemoryReplayStore(), Broken(0))
    )
    with ExitStack() as stack:
        urls = nodes(world, stack, good_one, bad_one)
        replay = list(check_replay(probe, token, urls))
        nonces = list(check_nonces(probe, token, urls))
    for found in (replay, nonces):
        assert [finding.status for finding in found] == ["good", "bad"]
        assert found[1].seen == f"{urls[1]} answers 503"


def test_a_first_node_that_ends_checks_nothing(world: World) -> None:
    token, probe = world.token(), Probe("https://api.example.com/a", key=world.key)
    verifiers = [ProofVerifier(Broken(1), clock=world.clock) for _ in range(2)]
    with ExitStack() as stack:
        urls = nodes(world, stack, *verifiers)
        found = status_of(check_replay(probe, token, urls))
    assert [status for _, status in found] == ["skipped"] * 2


def test_a_node_without_replay_protection_is_bad_by_itself(world: World) -> None:
    token, probe = world.token(), Probe("https://api.example.com/a", key=world.key)
    verifier = ProofVerifier(NoReplayProtection(), clock=world.clock)
    with ExitStack() as stack:
        urls = nodes(world, stack, verifier)
        assert status_of(check_replay(probe, token, urls)) == [
            ("shared replay store", "bad")
        ]


def test_a_token_that_is_refused_checks_nothing(world: World) -> None:
    probe = Probe("https://api.example.com/a", key=world.other_key)
    verifier = ProofVerifier(MemoryReplayStore(), clock=world.clock)
    with ExitStack() as stack:
        urls = nodes(world, stack, verifier)
        assert status_of(check_replay(probe, world.token(), urls)) == [
            ("shared replay store", "skipped")
        ]


def test_a_store_is_reachable_and_atomic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/replay.sqlite3"
    code, found = report("--replay-store", url)
    assert (code, found) == (1, {"replay store": "bad"})
    SQLReplayStore.from_url(url).create_schema()
    code, found = report(DPOP_EXT_REPLAY_STORE=url)
    assert code == 0
    assert found["replay store is atomic"] == "good"


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ("disk/x", ["good"]),
        ("srv/a b/x", ["bad"]),
        ("srv/local/x", ["good"]),
        ("srv/stacked/x", ["bad"]),
        ("link/x", ["bad"]),
    ],
)
def test_a_file_on_a_file_server_is_found(
    file: str, status: list[str], tmp_path: Path
) -> None:
    for name in ("srv/a b", "srv/local", "disk", "srv/stacked"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "srv/a b")
    escaped = str(tmp_path).replace(" ", "\\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"2 1 0:5 / {escaped}/srv/a\\040b rw shared:1 - nfs4 host:/ rw\n"
        f"3 1 0:6 / {escaped}/srv/local rw - xfs /dev/sdb rw\n"
        f"4 1 0:7 / {escaped}/srv/stacked rw - ext4 /dev/sdc rw\n"
        f"5 1 0:8 / {escaped}/srv/stacked rw - fuse.sshfs host: rw\nodd\n"
    )
    found = list(check_place("file", tmp_path / file, mounts=mounts))
    assert [finding.status for finding in found] == status
    assert not list(check_place("file", tmp_path, mounts=tmp_path / "none"))


def test_the_places_of_store_and_keyring_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:5 / / rw - nfs host:/ rw\n")
    monkeypatch.setattr(place.check_place, "__kwdefaults__", {"mounts": mounts})
    url = f"sqlite:///{tmp_path}/used.db"
    SQLReplayStore.from_url(url).create_schema()
    keyring = tmp_path / "keyring"
    keyring.touch()
    code, found = report("--replay-store", url, "--keyring-cache", str(keyring))
    assert code == 1
    assert found["replay store's file"] == found["keyring file"] == "bad"


@pytest.mark.parametrize(
    "url",
    ["redis://app:pass/word@redis.example/0", "mysql://db.example/d", "x", "sqlite://"],
)
def test_what_is_no_url_of_a_store_is_not_repeated(url: str) -> None:
    result = run("doctor", "--replay-store", url)
    assert result.exit_code == 1
    assert "no URL of a store" in result.output
    assert "pass" not in result.output


class Forgetful(NoReplayProtection):
    def close(self) -> None:
        """Nothing is open."""


def test_a_store_that_adds_twice_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_checks, "open_store", lambda *_: Forgetful())
    found = status_of(check_store("redis://x", clock=time.time))
    assert ("replay store is atomic", "bad") in found


def test_the_settings_of_redis_are_looked_at(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How busy this machine is, is not looked at.
    monkeypatch.setattr(store_checks, "SLOW", 10)
    code, found = report("--replay-store", redis.url)
    assert (code, set(found.values())) == (0, {"good"})
    assert len(found) == 4


def test_a_redis_that_forgets_what_it_has_no_room_for_is_bad(
    redis: RedisServer,
) -> None:
    with closing(Redis.from_url(redis.url)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = {f.check: f for f in check_store(redis.url, clock=time.time)}
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    finding = found["replay store keeps all"]
    assert (finding.status, finding.seen) == ("bad", "maxmemory-policy is allkeys-lru")


def test_a_clock_that_the_store_refuses_is_bad(redis: RedisServer) -> None:
    judged = ((0, "good"), (-5, "look"), (5, "look"), (-15, "bad"), (90_000, "bad"))
    for offset, status in judged:
        found = check_store(redis.url, clock=lambda: time.time() + offset)  # noqa: B023
        assert [finding.status for finding in found][-1] == status


def test_a_store_that_fails_under_several_calls_is_no_store_that_adds_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_checks, "open_store", lambda *_: Broken(100))
    found = list(check_store("redis://x", clock=time.time))
    assert [finding.status for finding in found] == ["good", "bad"]
    assert found[1].seen == "61 of 160 calls had no answer"


def test_a_user_of_redis_who_may_do_no_more_than_the_stores_do(
    redis: RedisServer,
) -> None:
    rules = ("on", ">secret", "~app:*", "-@all", "+set", "+get", "+time")
    redis.command("ACL", "SETUSER", "doctor", *rules)
    url = redis.url.replace("unix://", "unix://doctor:secret@")
    code, found = report("--replay-store", url, "--store-prefix", "app:")
    assert code == 0
    assert found["replay store is atomic"] == "good"
    assert found["replay store keeps all"] == "look"
    redis.command("ACL", "SETUSER", "doctor", "-time")
    code, found = report("--replay-store", url, "--store-prefix", "app:")
    assert (code, found["replay store's clock"]) == (1, "bad")
    code, found = report("--replay-store", url)
    assert (code, found) == (1, {"replay store": "bad"})


@pytest.mark.parametrize(
    ("poll", "age", "status"),
    [
        (300, 650, "good"),
        (300, 800, "look"),
        (300, 901, "bad"),
        (600, 1300, "good"),
        (600, 1700, "look"),
        (600, 1801, "bad"),
        (30, 91, "bad"),
    ],
)
def test_an_old_keyring_is_found(
    tmp_path: Path, poll: int, age: int, status: str
) -> None:
    path = tmp_path / "keyring"
    path.touch()
    written = time.time() - age
    os.utime(path, (written, written))
    found = status_of(check_keyring(path, poll=poll, clock=lambda: written + age))
    assert found == [("keyring age", status)]


def test_a_keyring_that_is_not_there_is_bad(tmp_path: Path) -> None:
    code, found = report("--keyring-cache", str(tmp_path / "none"))
    assert (code, found["keyring age"]) == (1, "bad")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--node", "https://a.example"],
        ["--node", "https://a.example", "--resource", "https://a.example"],
        ["--resource", "http://api.example"],
        ["--node", "http://10.0.0.5:8000"],
        ["--issuer", "as.example"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(
    arguments: list[str],
) -> None:
    assert run("doctor", *arguments).exit_code == 2


def test_nodes_on_other_machines_are_called_in_the_clear_if_they_are_meant_to() -> None:
    node = ("doctor", "--node", "http://10.0.0.5:8000")
    refused, allowed = run(*node), run(*node, "--plain-nodes")
    assert (refused.exit_code, allowed.exit_code) == (2, 2)
    assert "https is needed" in refused.output
    assert "--node needs --resource" in allowed.output
    # What clients call is another matter.
    resource = run("doctor", "--resource", "http://10.0.0.5/", "--plain-nodes")
    assert "https is needed" in resource.output
