"""What is written in the log about a refusal, and what is not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dpop_ext import errors
from dpop_ext.errors import StoreError
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.oauth2_error import as_oauth2_error
from dpop_ext.resource_server.refusal import Refusal, unsupported_scheme
from dpop_ext.resource_server.refusal_log import log_refusal
from dpop_ext.stores.memory import MemoryReplayStore
from tests.garbage import errors_left_by
from tests.resource_server.cases import CASES, Case, with_proof
from tests.resource_server.test_conformance import arrange
from tests.resource_server.world import ADAPTERS, CLIENT, World, send

LOGGER = "dpop_ext.resource_server"


class BrokenStore:
    """One that cannot be reached."""

    @staticmethod
    def add(key: bytes, *, expires_at: int, now: int) -> bool:
        raise StoreError from OSError()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.requirement("T20", "U-7")
def test_a_refusal_is_one_line_without_a_token_or_a_proof(
    case: Case, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for adapter in ADAPTERS:
        caplog.clear()
        check_lines(case, world, adapter, caplog)


def check_lines(
    case: Case, world: World, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = arrange(world, store=MemoryReplayStore(), **case.setting)
    request = case.request(world)
    status = send(world.app(adapter), request.environ()).status
    lines = [r.getMessage() for r in caplog.records if r.name == LOGGER]
    assert len(lines) == (0 if status == 200 else 1)
    for line in lines:
        assert "reason=" in line
        assert "endpoint='/accounts'" in line
        assert line.isascii()
        assert line.isprintable()
    for _, value in request.headers:
        for word in value.split():
            assert len(word) < 16 or word not in caplog.text


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_client_is_named_once_its_token_is_known_to_be_good(
    adapter: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    app = world.app(adapter)
    forged = with_proof(lambda w: w.token()[:-4] + "AAAA")
    send(app, forged(world).environ())
    assert "client=- " in caplog.text
    caplog.clear()
    other = with_proof(World.token, proof=lambda w, t: w.proof(t, key=w.other_key))
    send(app, other(world).environ())
    assert f"client={CLIENT!r} " in caplog.text
    assert "reason=key_mismatch" in caplog.text


# Flask itself keeps the exception that it answers with in a local variable.
@pytest.mark.parametrize("adapter", [each for each in ADAPTERS if each != "flask"])
def test_a_refusal_is_no_work_for_the_garbage_collector(
    adapter: str, world: World
) -> None:
    sent = []
    for case in CASES:
        arranged = arrange(world, store=MemoryReplayStore(), **case.setting)
        sent.append((arranged.app(adapter), case.request(arranged).environ))
    down = arrange(world, store=BrokenStore())
    sent.append((down.app(adapter), with_proof(World.token)(down).environ))
    for app, environ in sent:
        send(app, environ())
    statuses: set[int] = set()
    assert not errors_left_by(
        lambda: statuses.update(send(app, environ()).status for app, environ in sent)
    )
    assert {400, 401, 403, 503} <= statuses


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("/a?access_token=secret", "'/a'"),
        ("/a#secret", "'/a'"),
        ("https://u:secret@h/a/b?c", "'/a/b'"),
        ("*", "'/'"),
        ("", "'/'"),
        ("/a\r\nforged", "'/a\\r\\nforged'"),
        ("/caf\xe9\u2028", "'/caf\\xe9\\u2028'"),
        ("/" + "a" * 500, "'/" + "a" * 199 + "'"),
    ],
)
def test_the_endpoint_is_a_path_that_cannot_forge_a_line(
    endpoint: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log_refusal(Refusal(status=401, reason="r"), endpoint=endpoint, client_id=None)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"endpoint={shown}")


def test_an_outage_is_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    log_refusal(refuse(errors.StoreError()), endpoint="/", client_id="c")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def every_error() -> list[errors.DPoPError]:
    found: list[errors.DPoPError] = []
    kinds: list[Any] = [errors.DPoPError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        arguments = {"nonce": "n"} if kind is errors.NonceRequiredError else {}
        found.append(kind(**arguments))
    return found


@pytest.mark.parametrize("sent", [errors.BadSignatureError(), None])
def test_an_error_of_authlib_says_what_its_refusal_does(
    sent: errors.DPoPError | None,
) -> None:
    refusal = refuse(sent) if sent is not None else unsupported_scheme()
    error = as_oauth2_error(refusal, Challenges(algorithms=("ES256",)))
    assert error.status_code == refusal.status
    assert error.error == refusal.error
    assert error.description == refusal.description
    assert str(error) == f"{refusal.error}: {refusal.description}"


@pytest.mark.requirement("P-16", "J-14", "P-12")
@pytest.mark.parametrize("error", every_error(), ids=lambda e: type(e).__name__)
def test_every_error_has_an_answer_that_can_be_sent(error: errors.DPoPError) -> None:
    refusal = refuse(error)
    assert refusal.status in {400, 401, 413, 429, 503}
    challenges = Challenges(algorithms=("ES256",), symmetric_algorithms=("HS256",))
    assert challenges.headers(refusal)
    assert challenges.body(refusal)["error"] == refusal.error
