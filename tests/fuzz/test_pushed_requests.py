"""Odd values in pushed authorization requests, and odd references to them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.odd_values import OCTETS, octets
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import TOKEN_ERRORS, Servers, check_form, query
from tests.fuzz.test_pages import PARAMETERS, check_page, pairs_of
from tests.fuzz.wire import FORM, Answer, form, send


@pytest.mark.requirement("J-7")
def test_pushed_requests(servers: Servers) -> None:
    url = f"{servers.settings.issuer_url}/par"
    good = [pair for pair in pairs_of(servers) if pair[0] != "state"]

    def push(name: str, value: bytes, how: str) -> Answer:
        pairs = [p for p in good if p[0] != name or how == "twice"]
        body = form([*pairs, (name, value)], raw=name if how == "raw" else "")
        fields = [("Content-Type", FORM), ("DPoP", servers.good_proof("POST", url))]
        return send(servers.as_app, "POST", b"/par", fields, body=body)

    def check(name: str, value: bytes, how: str) -> None:
        before = servers.state()
        answer = push(name, value, how)
        if answer.status != 201:
            documented = {*TOKEN_ERRORS, (400, "unsupported_response_type")}
            servers.check_unchanged(before, answer, documented)
            assert not answer.all("Location")
            return
        check_form(answer)
        assert name not in ("dpop_jkt", "request_uri", "client_id", "redirect_uri")
        given = [
            ("client_id", b"demo-public"),
            ("request_uri", json.loads(answer.body)["request_uri"].encode()),
        ]
        # What stands beside it does not count.
        beside = [(name, value)] if len(value) < 2000 else []
        for more in [], beside if name not in dict(given) else []:
            target = b"/authorize?" + query([*given, *more])
            answer = send(servers.as_app, "GET", target)
            assert answer.status == 303
            assert answer.first("Location").startswith("/login?")

    @fuzz
    @given(
        name=st.sampled_from(PARAMETERS),
        value=octets(),
        how=st.sampled_from(["alone", "twice", "raw"]),
    )
    def check_made_up(name: str, value: bytes, how: str) -> None:
        check(name, value, how)

    for number, name in enumerate(PARAMETERS):
        for kind, value in enumerate(OCTETS.values(), number):
            check(name, value, ("alone", "twice", "raw")[kind % 3])
    check_made_up()
    assert push("state", b"s-1", "alone").status == 201


def test_odd_references_to_pushed_requests(servers: Servers) -> None:
    prefix = b"urn:ietf:params:oauth:request_uri:"

    def check(value: bytes) -> None:
        for reference in value, prefix + value:
            for more in [], pairs_of(servers):
                given = [("request_uri", reference), ("client_id", b"demo-public")]
                text = query([*given, *(p for p in more if p[0] != "client_id")])
                before = servers.state()
                answer = send(servers.as_app, "GET", b"/authorize?" + text)
                if reference.startswith(prefix) or not more:
                    assert answer.status == 400
                    check_page(answer, repeats=False)
                assert answer.status in (303, 400)
                assert servers.state() == before

    @fuzz
    @given(value=octets())
    def check_made_up(value: bytes) -> None:
        check(value)

    for value in OCTETS.values():
        check(value)
    check_made_up()
