from __future__ import annotations

import gc
import io
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from urllib3.util.retry import Retry

from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.target import request_url
from dpop_ext.integrations.requests_client import DPoPAuth, DPoPTokenAuth
from tests.conftest import Clock
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
    running_server,
)
from tests.patience import PATIENCE

OK = Answer(body=b'{"ok": true}')
NONCE_DEMAND = ("WWW-Authenticate", 'DPoP error="use_dpop_nonce", algs="ES256"')


def demand(*nonces: str) -> Answer:
    """A resource server's demand for a nonce."""
    return Answer(401, [NONCE_DEMAND, *(("DPoP-Nonce", nonce) for nonce in nonces)])


def redirect(location: str, status: int = 307) -> Answer:
    return Answer(status, [("Location", location)])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def signer(ec_key: ECKey, clock: Clock) -> ProofSigner:
    return ProofSigner(ec_key, clock=clock)


@pytest.fixture
def auth(signer: ProofSigner) -> DPoPAuth:
    return DPoPAuth(signer, "access")


def check(request: Received, server: ScriptedServer, token: str | None) -> None:
    """Verify the proof of a request as a server would."""
    verify_proof(
        parse_proof(request.dpop, max_length=RFC9449.max_length),
        method=request.method,
        url=request_url(
            scheme="http", host="", raw_target=request.target, public_url=server.url
        ),
        policy=RFC9449,
        access_token=token,
    )


def assert_all_proofs_differ(*servers: ScriptedServer) -> None:
    used = [
        proof.claims["jti"]
        for server in servers
        for request in server.received
        for proof in [request.proof]
    ]
    assert len(set(used)) == len(used)


@pytest.mark.requirement("P-1")
def test_a_single_call_is_signed(server: ScriptedServer, auth: DPoPAuth) -> None:
    response = requests.get(f"{server.url}/me?a=b", auth=auth, timeout=PATIENCE)
    assert response.json() == {}
    (request,) = server.received
    assert request.authorization == "DPoP access"
    check(request, server, "access")
    assert response.request.headers["DPoP"] == request.dpop


@pytest.mark.requirement("S-6", "S-7", "U-4")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "target",
    [
        "",
        "?a",
        "/",
        "/a/",
        "//a//b",
        "/a%2Fb%2fc",
        "/a/../b",
        "/a/%2e%2e/b",
        "/%7Ea/~a",
        "/caf\u00e9 x",
        "/a;b=c:@!$&'()*+,",
        "/a?b=/c#d?e",
    ],
)
def test_the_proof_is_for_the_target_on_the_wire(
    server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    method: str,
    target: str,
) -> None:
    session.request(method, server.url + target, auth=auth)
    (request,) = server.received
    check(request, server, "access")


def test_userinfo_in_the_url_is_not_in_the_proof(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    session.get(server.url.replace("://", "://user:secret@") + "/a", auth=auth)
    (request,) = server.received
    assert request.authorization == "DPoP access"
    assert request.proof.claims["htu"] == f"{server.url}/a"


@pytest.mark.requirement("G-1")
def test_nothing_is_sent_over_plain_http(
    session: requests.Session, auth: DPoPAuth
) -> None:
    with pytest.raises(ValueError, match="https"):
        session.get("http://api.invalid/", auth=auth)


@pytest.mark.requirement("R-2", "U-1")
def test_a_request_that_waited_has_a_proof_of_the_time_it_is_sent(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth, clock: Clock
) -> None:
    prepared = session.prepare_request(requests.Request("GET", server.url, auth=auth))
    clock.advance(300)
    session.send(prepared)
    session.send(prepared.copy())
    assert [proof.claims["iat"] for proof in server.proofs] == [clock.now] * 2
    assert_all_proofs_differ(server)


@pytest.mark.requirement("Q-10", "S-10", "U-9")
def test_three_calls_take_four_requests_when_every_answer_has_a_new_nonce(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    current = "n0"

    def script(request: Received) -> Answer:
        nonlocal current
        good = request.proof.claims.get("nonce") == current
        current = f"n{len(server.received)}"
        fields = [("DPoP-Nonce", current)]
        return Answer(200, fields) if good else Answer(401, [*fields, NONCE_DEMAND])

    server.script = script
    for _ in range(3):
        assert session.get(server.url, auth=auth).status_code == 200
    assert server.nonces == [None, "n1", "n2", "n3"]
    assert_all_proofs_differ(server)


@pytest.mark.parametrize("demanding", [True, False])
@pytest.mark.requirement("U-11")
def test_twenty_calls_at_once_fetch_one_nonce(
    server: ScriptedServer, auth: DPoPAuth, *, demanding: bool
) -> None:
    def script(request: Received) -> Answer:
        if not demanding or request.proof.claims.get("nonce") == "n1":
            return OK
        return demand("n1")

    server.script = script
    start = threading.Barrier(20)
    statuses: list[int] = []

    def call() -> None:
        with requests.Session() as own:
            start.wait()
            statuses.append(own.get(server.url, auth=auth).status_code)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20
    assert len(server.received) == (21 if demanding else 20)
    assert_all_proofs_differ(server)


@pytest.mark.requirement("Q-15", "U-10")
def test_a_server_that_asks_for_ever_gets_two_requests(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    server.script = lambda request: demand(f"n{len(server.received)}")
    response = session.get(server.url, auth=auth)
    assert response.status_code == 401
    assert len(server.received) == 2


@pytest.mark.requirement("U-8")
def test_a_refusal_reaches_the_caller_as_it_was_sent(
    server: ScriptedServer, auth: DPoPAuth
) -> None:
    challenge = 'DPoP error="invalid_token", error_description="Expired."'
    fields = [("WWW-Authenticate", challenge), ("Content-Type", "application/json")]
    server.play(Answer(401, fields, b'{"error": "invalid_token"}'))
    response = requests.get(server.url, auth=auth)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.json() == {"error": "invalid_token"}
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()
    assert caught.value.response is response


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize("nonces", [(), ("a", "b"), ("a", "a"), ("a b",), ("",)])
def test_two_or_illegal_nonce_fields_are_no_nonce(
    server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    nonces: tuple[str, ...],
) -> None:
    server.play(demand(*nonces))
    assert session.get(server.url, auth=auth).status_code == 401
    assert len(server.received) == 1


@pytest.mark.requirement("Q-14", "U-25")
def test_each_server_gets_its_own_nonce(
    server: ScriptedServer,
    other_server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
) -> None:
    server.play(demand("mine"), OK)
    other_server.play(demand("yours"), OK)
    for _ in range(2):
        session.get(server.url, auth=auth)
        session.get(other_server.url, auth=auth)
    assert server.nonces == [None, "mine", "mine"]
    assert other_server.nonces == [None, "yours", "yours"]


@pytest.mark.requirement("P-13")
def test_challenges_on_several_lines_are_read(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    fields = [
        ("www-authenticate", 'Bearer realm="a, b"'),
        ("dpop-nonce", "n1"),
        ("WWW-AUTHENTICATE", "Basic x, dPoP algs=ES256, error=use_dpop_nonce"),
    ]
    server.play(Answer(401, fields), OK)
    assert session.get(server.url, auth=auth).status_code == 200


@pytest.mark.requirement("G-4", "R-1", "U-1")
def test_a_retry_of_urllib3_has_a_new_proof(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth, clock: Clock
) -> None:
    retry = Retry(total=3, status_forcelist=[503], backoff_factor=0)
    session.mount("http://", HTTPAdapter(max_retries=retry))

    def script(request: Received) -> Answer:
        clock.advance(30)
        return Answer(503) if len(server.received) < 4 else OK

    server.script = script
    response = session.get(server.url, auth=auth)
    assert response.status_code == 200
    assert_all_proofs_differ(server)
    started = clock.now - 4 * 30
    assert [proof.claims["iat"] - started for proof in server.proofs] == [0, 30, 60, 90]
    assert response.request.headers["DPoP"] == server.received[-1].dpop


@pytest.mark.requirement("G-4")
def test_threads_share_a_signer(server: ScriptedServer, auth: DPoPAuth) -> None:
    server.script = lambda request: Answer(
        200 if request.proof.claims.get("nonce") else 401,
        [NONCE_DEMAND, ("DPoP-Nonce", "n1")],
    )
    statuses: list[int] = []

    def call() -> None:
        with requests.Session() as own:
            statuses.append(own.get(server.url, auth=auth).status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert_all_proofs_differ(server)


@pytest.mark.requirement("G-4", "U-1")
@pytest.mark.parametrize(
    ("status", "method", "following"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (308, "GET", "GET"),
        (302, "HEAD", "HEAD"),
    ],
)
def test_a_redirect_on_the_same_origin_is_signed_anew(
    server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    *,
    status: int,
    method: str,
    following: str,
) -> None:
    server.play(redirect("/accounts/?x=1", status), redirect("../end", 307), OK)
    response = session.request(
        method, f"{server.url}/accounts", auth=auth, allow_redirects=True
    )
    assert response.status_code == 200
    assert [request.target for request in server.received] == [
        "/accounts",
        "/accounts/?x=1",
        "/end",
    ]
    assert [request.method for request in server.received] == [
        method,
        following,
        following,
    ]
    for request in server.received:
        assert request.authorization == "DPoP access"
        check(request, server, "access")
    assert_all_proofs_differ(server)
    assert len(response.history) == 2


def test_the_target_of_a_redirect_may_want_a_nonce(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    server.play(redirect("/end"), demand("n1"), OK)
    response = session.post(f"{server.url}/start", data=b"body", auth=auth)
    assert response.status_code == 200
    assert server.nonces == [None, None, "n1"]
    assert [request.body for request in server.received] == [b"body"] * 3
    assert server.received[-1].target == "/end"


@pytest.mark.requirement("T23", "U-25")
@pytest.mark.parametrize("nonce_first", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_to_another_origin_takes_no_credentials_along(
    server: ScriptedServer,
    other_server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    host: str,
    *,
    nonce_first: bool,
) -> None:
    elsewhere = other_server.url.replace("127.0.0.1", host)
    answers = [demand("n1")] if nonce_first else []
    server.play(*answers, redirect(f"{elsewhere}/x", 302))
    headers = {"DPoP": "of the caller"}
    assert session.get(server.url, auth=auth, headers=headers).status_code == 200
    assert len(server.received) == 1 + nonce_first
    (request,) = other_server.received
    assert request.all("Authorization") == []
    assert request.all("DPoP") == []


def test_a_redirect_that_comes_back_is_not_signed(
    server: ScriptedServer,
    other_server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
) -> None:
    server.play(redirect(f"{other_server.url}/x"), OK)
    other_server.play(redirect(f"{server.url}/back"))
    session.get(server.url, auth=auth)
    assert server.received[1].all("DPoP") == []


@pytest.mark.parametrize("location", ["http://[", "http://u@127.0.0.1:1/", "ftp://x/"])
def test_a_redirect_to_what_is_no_good_url_is_left_to_requests(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth, location: str
) -> None:
    server.play(redirect(location))
    with pytest.raises((requests.RequestException, ValueError)):
        session.get(server.url, auth=auth)
    assert len(server.received) == 1


def test_a_redirect_that_is_not_followed_can_be_followed_by_hand(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    server.play(redirect("/end"), OK)
    response = session.get(server.url, auth=auth, allow_redirects=False)
    assert (response.status_code, len(server.received)) == (307, 1)
    assert response.next is not None
    assert session.send(response.next).status_code == 200
    check(server.received[1], server, "access")
    assert_all_proofs_differ(server)


def test_a_redirect_for_ever_ends(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    server.play(redirect("/again"))
    session.max_redirects = 3
    with pytest.raises(requests.TooManyRedirects):
        session.get(server.url, auth=auth)
    assert_all_proofs_differ(server)


def test_a_body_is_sent_again_whole(
    server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    tmp_path: Path,
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"skipped;body")
    with path.open("rb") as file:
        file.seek(8)
        for body in ("body", b"body", io.BytesIO(b"body"), file):
            server.received.clear()
            server.play(demand(f"n-{type(body).__name__}"), OK)
            response = session.post(server.url, data=body, auth=auth)
            assert response.status_code == 200
            assert [request.body for request in server.received] == [b"body"] * 2


@pytest.mark.requirement("U-27")
def test_a_body_that_is_gone_is_not_sent_again_empty(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"body")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        for number, body in enumerate([iter([b"bo", b"dy"]), pipe]):
            server.received.clear()
            server.play(demand(f"n{number}"), OK)
            response = session.post(server.url, data=body, auth=auth)
            assert response.status_code == 401
            assert [request.body for request in server.received] == [b"body"]
    server.received.clear()
    session.post(server.url, data=iter([b"body"]), auth=auth)
    assert server.nonces == ["n1"]


def test_the_refusal_is_in_the_history_and_its_connection_used_again(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    server.play(demand("n1"), OK)
    response = session.get(server.url, auth=auth, stream=True)
    assert response.json() == {"ok": True}
    (refusal,) = response.history
    assert (refusal.status_code, refusal.content) == (401, b"{}")
    assert [refusal.request.headers["DPoP"], response.request.headers["DPoP"]] == [
        request.dpop for request in server.received
    ]
    one, other = server.received
    assert one.port == other.port


@pytest.mark.parametrize("before", [[], [demand("n1")], [redirect("/other")]])
def test_what_was_sent_is_let_go_of_with_the_answer(
    server: ScriptedServer,
    session: requests.Session,
    auth: DPoPAuth,
    before: list[Answer],
) -> None:
    """Until the garbage collector comes by, uploads would take a lot of memory."""
    server.play(*before, OK)
    file = io.BytesIO(b"content")
    kept = weakref.ref(file)
    gc.collect()
    gc.disable()
    try:
        response = session.post(server.url, data=file, auth=auth)
        assert (response.status_code, len(response.history)) == (200, len(before))
        del file, response
        assert kept() is None
    finally:
        gc.enable()


def test_cookies_of_a_refusal_are_kept_and_sent(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    session.cookies.set("before", "1")
    refusal = demand("n1")
    refusal.fields.append(("Set-Cookie", "node=7"))
    server.play(refusal, OK)
    session.get(server.url, auth=auth)
    assert server.received[0].all("Cookie") == ["before=1"]
    assert server.received[1].all("Cookie") == ["before=1; node=7"]
    assert session.cookies["node"] == "7"


def test_cookies_of_a_refusal_are_sent_beside_a_field_of_the_caller(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    session.cookies.set("before", "1")
    refusal, again = demand("n1"), Answer(401, [("WWW-Authenticate", "DPoP")])
    refusal.fields.append(("Set-Cookie", "node=7"))
    server.play(refusal, again)
    own = "user=1; node=6"
    session.get(server.url, auth=auth, headers={"Cookie": own})
    assert server.received[0].all("Cookie") == [own]
    assert server.received[1].all("Cookie") == ["user=1; node=7"]


def test_a_cookie_that_a_refusal_deletes_is_not_sent_again(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    host = server.url.removeprefix("http://").partition(":")[0]
    session.cookies.set("before", "1", domain=host, path="/")
    refusal = demand("n1")
    refusal.fields.append(("Set-Cookie", "before=; Max-Age=0; Path=/"))
    refusal.fields.append(("Set-Cookie", "node=7; Path=/"))
    server.play(refusal, OK)
    session.get(server.url, auth=auth)
    assert server.received[1].all("Cookie") == ["node=7"]


class OtherAdapter(HTTPAdapter):
    """An adapter that is not built on urllib3, and perhaps writes no header."""

    def __init__(self, *nonces: str, writes: bool) -> None:
        super().__init__()
        self.nonces = list(nonces)
        self.writes = writes
        self.written: list[dict[str, str]] = []

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if self.writes:
            self.written.append(dict(request.headers.items()))
        response = Response()
        response.status_code = 200
        response.raw = io.BytesIO(b"{}")
        if self.nonces:
            response.status_code = 401
            response.headers.update([NONCE_DEMAND, ("DPoP-Nonce", self.nonces.pop())])
        response.request = request
        response.connection = self
        return response


@pytest.mark.parametrize(("nonce", "attempts"), [("n1", 2), ("n1, n2", 1)])
def test_an_adapter_without_urllib3_is_served_too(
    session: requests.Session, auth: DPoPAuth, nonce: str, attempts: int
) -> None:
    adapter = OtherAdapter(nonce, writes=True)
    session.mount("https://", adapter)
    session.get("https://api.example/", auth=auth)
    assert len(adapter.written) == attempts
    assert len({fields["DPoP"] for fields in adapter.written}) == attempts


def test_an_adapter_that_never_writes_headers_is_left_alone(
    session: requests.Session, auth: DPoPAuth
) -> None:
    session.mount("https://", OtherAdapter(writes=False))
    response = session.get("https://api.example/", auth=auth)
    assert response.status_code == 200
    assert "DPoP" not in response.request.headers


def test_a_hook_of_the_caller_sees_the_final_response(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    seen: list[int] = []

    def hook(response: Response, **kwargs: Any) -> None:
        seen.append(response.status_code)

    server.play(demand("n1"), OK)
    session.get(server.url, auth=auth, hooks={"response": [hook]})
    assert seen == [200]


def test_headers_of_the_caller_go_along_except_credentials(
    server: ScriptedServer, session: requests.Session, auth: DPoPAuth
) -> None:
    headers = {"X-Mine": "1", "dpop": "old", "authorization": "Bearer old"}
    server.play(demand("n1"), OK)
    session.get(server.url, headers=headers, auth=auth)
    for request in server.received:
        assert request.all("X-Mine") == ["1"]
        assert request.authorization == "DPoP access"
        check(request, server, "access")


@pytest.mark.requirement("X-20", "T20")
def test_neither_token_nor_key_shows(
    server: ScriptedServer, auth: DPoPAuth, signer: ProofSigner
) -> None:
    prepared = requests.Request("GET", server.url, auth=auth).prepare()
    token_auth = DPoPTokenAuth(signer, ("client", "secret"))
    for value in (auth, token_auth, prepared.headers):
        assert "access" not in repr(value)
        assert "secret" not in repr(value)
    for value in (auth, token_auth):
        with pytest.raises(TypeError):
            pickle.dumps(value)


def as_nonce(nonce: str) -> Answer:
    return Answer(400, [("DPoP-Nonce", nonce)], b'{"error": "use_dpop_nonce"}')


@pytest.mark.requirement("T-1", "S-11", "G-2")
def test_a_token_request_has_a_proof_beside_the_client_secret(
    server: ScriptedServer, session: requests.Session, signer: ProofSigner
) -> None:
    server.play(as_nonce("n1"), OK)
    auth = DPoPTokenAuth(signer, ("client", "secret"))
    response = session.post(f"{server.url}/token", data={"a": "b"}, auth=auth)
    assert response.status_code == 200
    for request in server.received:
        assert request.authorization == "Basic Y2xpZW50OnNlY3JldA=="
        assert request.form == {"a": "b"}
        check(request, server, None)
        assert "ath" not in request.proof.claims
    assert server.nonces == [None, "n1"]
    assert_all_proofs_differ(server)


@pytest.mark.requirement("G-5", "Q-15", "U-13")
def test_each_attempt_has_a_client_assertion_of_its_own(
    server: ScriptedServer, session: requests.Session, signer: ProofSigner
) -> None:
    assertions = iter(["one", "another"])

    def client_auth(request: PreparedRequest) -> PreparedRequest:
        request.body = f"{request.body!s}&client_assertion={next(assertions)}"
        return request

    server.play(as_nonce("n1"), OK)
    auth = DPoPTokenAuth(signer, client_auth)
    session.post(f"{server.url}/token", data={"code": "c"}, auth=auth)
    assert [request.form for request in server.received] == [
        {"code": "c", "client_assertion": "one"},
        {"code": "c", "client_assertion": "another"},
    ]


def test_a_public_client_sends_the_proof_alone(
    server: ScriptedServer, session: requests.Session, signer: ProofSigner
) -> None:
    session.post(server.url, data={"a": "b"}, auth=DPoPTokenAuth(signer))
    (request,) = server.received
    assert request.all("Authorization") == []
    check(request, server, None)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_of_the_token_endpoint_gets_nothing(
    server: ScriptedServer,
    other_server: ScriptedServer,
    session: requests.Session,
    signer: ProofSigner,
    status: int,
) -> None:
    server.play(as_nonce("n1"), redirect(f"{other_server.url}/token", status))
    auth = DPoPTokenAuth(signer, ("client", "secret"))
    session.post(server.url, data={"code": "c"}, auth=auth)
    (request,) = other_server.received
    assert request.body == b""
    assert request.all("Authorization") == request.all("DPoP") == []
