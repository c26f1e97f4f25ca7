"""Protected requests over real HTTP: client, a proxy in the middle, resource server."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from demo_client.proxy import Passing, meddling_proxy
from dpop_ext.client import Protection
from dpop_ext.client.exchange import Outcome
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations.requests_client import DPoPAuth, response_authentication
from dpop_ext.symmetric.response import MAX_ANSWER
from tests.client.reading import read
from tests.integrations.protected_messages import (
    ANSWERS,
    BOTH,
    CHANGES,
    DIGESTS,
    TIMEOUT,
    ProtectedParties,
    other_content,
    protected_messages,
)
from tests.resource_server.world import (
    VERSION,
    World,
    ring,
    secret,
)


@dataclass
class Parties(ProtectedParties):
    """What is there, and requests as the client."""

    def send(
        self,
        method: str = "POST",
        path: str = "/echo",
        *,
        protection: Protection = BOTH,
        session: requests.Session | None = None,
        **arguments: Any,
    ) -> requests.Response:
        auth = DPoPAuth(
            self.signer,
            self.token,
            protection=protection,
            finish=self.outcomes.append,
        )
        send = session.request if session else requests.request
        return send(
            method,
            self.url + path,
            auth=auth,
            proxies=self.proxy.for_requests,
            timeout=TIMEOUT,
            **arguments,
        )


@pytest.fixture(params=[False, True], ids=["no nonces", "nonces"])
def parties(request: Any, world: World) -> Iterator[Parties]:
    with protected_messages(world, use_nonces=request.param) as there:
        yield Parties(**vars(there))


# --- requests


@pytest.mark.requirement("R2141", "R2143", "R2144")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": b"bytes"},
        {"data": "text \u00e9 \u20ac"},
        {"data": {"a": "b c"}},
        {"json": {"a": 1}},
        {"files": {"file": b"content"}},
        {"data": io.BytesIO(b"file")},
        {"data": b"a" * 200_000},
    ],
)
def test_every_body_that_can_be_hashed_is(
    parties: Parties, body: dict[str, Any]
) -> None:
    # A copy, since the first test that sends a file leaves it at its end.
    response = parties.send(path="/echo?a=b", **copy.deepcopy(body))
    assert response.status_code == 200
    assert response.json()["length"] == len(parties.seen[0]) > 0 or not body
    assert response_authentication(response)


@pytest.mark.requirement("R2143")
def test_a_file_is_hashed_and_sent_from_where_it_stands(
    parties: Parties, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + b"x" * 100_000)
    with path.open("rb") as file:
        file.seek(7)
        assert parties.send(data=file).status_code == 200
    path.write_text("caf\u00e9", "utf-8")
    with path.open(encoding="utf-8") as file:
        # requests counts characters here and sends bytes, so it is chunked by hand.
        assert parties.send(data=file.read()).status_code == 200
    assert parties.seen == [b"x" * 100_000, "caf\u00e9".encode()]


def test_a_body_that_can_be_read_once_only_is_refused_before_it_is_sent(
    parties: Parties,
) -> None:
    for body in ((b"a" for _ in range(3)), iter([b"a"])):
        with pytest.raises(ValueError, match="read once"):
            parties.send(data=body)
    assert parties.seen == []
    unprotected = parties.send(path="/open", protection=Protection(), data=b"a")
    assert unprotected.status_code == 200


@pytest.mark.requirement("R2144")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?a",
        "?a=b&a=c",
        "?a=%2f%2F",
        "?a=b?c",
        "?\u00e9=\u20ac",
        "?a b",
        "?%7Ea",
    ],
)
def test_every_query_is_the_one_that_is_sent(parties: Parties, query: str) -> None:
    assert parties.send("GET", "/echo" + query + "#fragment").status_code == 200
    params = parties.send("GET", "/echo", params={"a b": "\u00e9&="})
    assert params.status_code == 200


@pytest.mark.requirement("T21", "R2141")
@pytest.mark.parametrize(
    "change",
    [
        {"content": b'{"amount": 1000}'},
        {"content": b""},
        {"target": "/echo?to=eve"},
        {"target": "/echo"},
    ],
    ids=["other content", "no content", "other query", "no query"],
)
def test_a_request_that_was_changed_under_way_is_refused(
    parties: Parties, change: dict[str, Any]
) -> None:
    def meddle(message: Passing) -> None:
        for name, value in change.items():
            setattr(message, name, value)

    good = parties.send(path="/echo?to=bob", data=b'{"amount": 10}', protection=DIGESTS)
    assert good.status_code == 200
    parties.proxy.change_request = meddle
    bad = parties.send(path="/echo?to=bob", data=b'{"amount": 10}', protection=DIGESTS)
    assert bad.status_code == 401
    assert "invalid_dpop_proof" in bad.headers["WWW-Authenticate"]
    assert len(parties.seen) == 1
    # Nor does the client take the refusal for an answer to what it sent.
    with pytest.raises(ResponseProofError):
        parties.send(path="/echo?to=bob", data=b'{"amount": 10}')


def test_without_digests_the_change_goes_unnoticed(parties: Parties) -> None:
    parties.proxy.change_request = lambda message: setattr(message, "content", b"evil")
    sent = parties.send(path="/open", data=b"good", protection=Protection())
    assert sent.status_code == 200
    assert parties.seen == [b"evil"]


# --- answers


@pytest.mark.requirement("R1903", "R2165")
@pytest.mark.parametrize("stream", [False, True])
def test_an_authenticated_answer_is_read_like_any_other(
    parties: Parties, stream: bool
) -> None:
    with requests.Session() as session:
        answer = parties.send(
            "GET", "/open", protection=ANSWERS, session=session, stream=stream
        )
        assert session.cookies["seen"] == "1"
    assert b"".join(answer.iter_content(2)) == b"answer"
    found = response_authentication(answer)
    assert found
    assert found.key == "access_token"
    plain = parties.send("GET", "/open", protection=Protection())
    assert response_authentication(plain) is None


@pytest.mark.requirement("R2162")
def test_the_content_is_checked_before_its_coding_is_undone(parties: Parties) -> None:
    for stream in (False, True):
        answer = parties.send("GET", "/coded", protection=ANSWERS, stream=stream)
        assert answer.content == b"answer"


@pytest.mark.requirement("R2162")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/open", 200), ("GET", "/empty/204", 204), ("GET", "/empty/404", 404)],
)
def test_answers_without_content(
    parties: Parties, method: str, path: str, status: int
) -> None:
    answer = parties.send(method, path, protection=ANSWERS)
    assert (answer.status_code, answer.content) == (status, b"")
    assert response_authentication(answer)


@pytest.mark.requirement("T21", "R1903", "R2154", "R2161", "R2162", "R2163")
@pytest.mark.requirement("R2165")
@pytest.mark.parametrize(
    "change",
    CHANGES,
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_changed_under_way_is_refused(
    parties: Parties, change: Callable[[Passing], None], stream: bool
) -> None:
    assert parties.send("GET", "/open", protection=ANSWERS).content == b"answer"
    parties.proxy.change_answer = change
    with pytest.raises(ResponseProofError):
        parties.send("GET", "/open", protection=ANSWERS, stream=stream)


@pytest.mark.requirement("R2161", "R2154")
def test_the_answer_to_another_request_is_refused(parties: Parties) -> None:
    kept: list[Passing] = []

    def keep(message: Passing) -> None:
        kept.append(replace(message))

    def replay(message: Passing) -> None:
        message.status, message.fields = kept[-1].status, kept[-1].fields
        message.content = kept[-1].content

    parties.proxy.change_answer = keep
    assert parties.send("GET", "/open", protection=ANSWERS).status_code == 200
    parties.proxy.change_answer = replay
    with pytest.raises(ResponseProofError):
        parties.send("GET", "/open", protection=ANSWERS)


@pytest.mark.requirement("R2153", "R2154")
def test_a_request_that_was_sent_twice_under_way_has_one_good_answer(
    parties: Parties,
) -> None:
    """The proxy sends a copy first: what the client gets is the refusal of a replay."""

    def send_twice(message: Passing) -> None:
        url = parties.url + message.target
        requests.request(
            message.method, url, headers=dict(message.fields), timeout=TIMEOUT
        )

    assert parties.send("GET", "/open", protection=ANSWERS).status_code == 200
    parties.proxy.change_request = send_twice
    with pytest.raises(ResponseProofError):
        parties.send("GET", "/open", protection=ANSWERS)


@pytest.mark.requirement("R2164", "R2154")
def test_answers_that_cannot_be_proved_are_refused(parties: Parties) -> None:
    largest = parties.send("GET", f"/long/{MAX_ANSWER}", protection=ANSWERS)
    assert len(largest.content) == MAX_ANSWER
    for path in (f"/long/{MAX_ANSWER + 1}", "/stream"):
        with pytest.raises(ResponseProofError):
            parties.send("GET", path, protection=ANSWERS)
        assert parties.send("GET", path, protection=Protection()).status_code == 200


@pytest.mark.requirement("R2165")
def test_nobody_sees_a_byte_before_it_is_authenticated(parties: Parties) -> None:
    seen: list[bytes] = []

    def hook(response: requests.Response, **_: Any) -> None:
        seen.append(response.content)

    hooks = {"response": hook}
    parties.send("GET", "/open", protection=ANSWERS, hooks=hooks)
    assert seen == [b"answer"]
    parties.proxy.change_answer = other_content
    with pytest.raises(ResponseProofError):
        parties.send("GET", "/open", protection=ANSWERS, hooks=hooks)
    assert seen == [b"answer"]


@pytest.mark.requirement("R2166")
def test_a_conditional_request_is_refused_whoever_made_it_so(parties: Parties) -> None:
    fields = {"If-None-Match": '"1"'}
    with pytest.raises(ValueError, match="conditional"):
        parties.send("GET", "/open", protection=ANSWERS, headers=fields)

    class Cache(HTTPAdapter):
        def send(self, request: Any, **arguments: Any) -> Any:  # type: ignore[override]
            request.headers["If-Modified-Since"] = "Sat, 01 Jan 2000 00:00:00 GMT"
            return super().send(request, **arguments)

    with requests.Session() as session:
        session.mount("http://", Cache())
        with pytest.raises(ValueError, match="conditional"):
            parties.send("GET", "/open", protection=ANSWERS, session=session)
    assert parties.seen == []
    free = parties.send("GET", "/open", protection=Protection(), headers=fields)
    assert free.status_code == 200


@pytest.mark.requirement("R2154")
def test_an_answer_that_a_cache_made_is_refused(parties: Parties) -> None:
    first = parties.send("GET", "/open", protection=ANSWERS)

    class Cache(HTTPAdapter):
        def send(self, request: Any, **_: Any) -> Any:  # type: ignore[override]
            cached = requests.Response()
            cached.status_code, cached.headers = first.status_code, first.headers
            cached.raw, cached.request = io.BytesIO(b"answer"), request
            return cached

    with requests.Session() as session:
        session.mount("http://", Cache())
        with pytest.raises(ResponseProofError):
            parties.send("GET", "/open", protection=ANSWERS, session=session)


# --- redirects, retries, step-up, keys


@pytest.mark.requirement("R2154", "G-4")
@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_redirect_on_the_same_origin_is_authenticated_throughout(
    parties: Parties, status: int
) -> None:
    answer = parties.send(
        path=f"/redirect/{status}?to=/echo?a=b", data=b"content", protection=BOTH
    )
    assert answer.status_code == 200
    assert response_authentication(answer)
    assert parties.seen == [b"content" if status == 307 else b""]
    last = answer.history[-1]
    assert response_authentication(last)
    parties.proxy.change_answer = lambda message: message.fields.append(
        ("Location", "/open") if message.status == status else ("Via", "proxy")
    )
    with pytest.raises(ResponseProofError):
        parties.send(path=f"/redirect/{status}?to=/echo", protection=BOTH)


@pytest.mark.requirement("R2154")
def test_a_redirect_elsewhere_is_not_followed(parties: Parties) -> None:
    with meddling_proxy() as elsewhere:
        path = f"/redirect/302?to={elsewhere.url}/"
        with pytest.raises(ResponseProofError, match="redirect"):
            parties.send("GET", path, protection=ANSWERS)
        answer = parties.send("GET", path, protection=ANSWERS, allow_redirects=False)
        assert answer.status_code == 302
        assert response_authentication(answer)


@pytest.mark.requirement("R1511", "T6", "R2152")
def test_step_up_is_authenticated_and_remembered(parties: Parties) -> None:
    kinds: list[str] = []

    def watch(message: Passing) -> None:
        typ = read(dict(message.fields)["DPoP"]).header["typ"]
        kinds.append("s" if typ == "dpop-sym+jwt" else "a")

    parties.send("GET", "/open", protection=Protection())  # brings a nonce, maybe
    parties.proxy.change_request = watch
    for expected in ("sa", "a"):
        kinds.clear()
        answer = parties.send(path="/step-up", protection=BOTH, data=b"content")
        assert answer.content == b"dpop+jwt"
        assert response_authentication(answer)
        assert "".join(kinds) == expected
    kinds.clear()
    parties.send("GET", "/open", protection=ANSWERS)
    assert kinds == ["s"]


def test_retries_of_urllib3_are_authenticated(parties: Parties) -> None:
    failures = [503, 503]
    proofs: set[str] = set()

    def fail(message: Passing) -> None:
        if failures:
            message.status = failures.pop()

    retry = Retry(total=3, status_forcelist=[503], backoff_factor=0)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        parties.proxy.change_answer = fail
        parties.proxy.change_request = lambda message: proofs.add(
            dict(message.fields)["DPoP"]
        )
        answer = parties.send("GET", "/open", protection=ANSWERS, session=session)
    assert answer.status_code == 200
    assert response_authentication(answer)
    assert len(proofs) >= 3


@pytest.mark.requirement("R2154", "R1506")
def test_a_stale_key_fails_closed_and_calls_for_a_refresh(parties: Parties) -> None:
    parties.world.keyring.replace(ring(secret(VERSION, "revoked")))
    with pytest.raises(ResponseProofError):
        parties.send("POST", "/open", protection=ANSWERS)
    assert parties.outcomes[-1] == Outcome(refresh_due=True)
    assert parties.seen == []
    assert not parties.signer.has_symmetric_key(parties.token)
    with pytest.raises(ResponseProofError, match="no key"):
        parties.send("POST", "/open", protection=ANSWERS)
    assert parties.send("POST", "/open", protection=DIGESTS).status_code == 200
