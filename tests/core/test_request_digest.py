"""``cd`` and ``hq``: what a proof can say of content and query."""

from __future__ import annotations

import hashlib
from typing import Any, Never

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_digest import check_digests, content_digest, query_digest
from dpop_ext.errors import DigestMismatchError, MissingDigestError


def digest(data: bytes) -> str:
    return b64url_encode(hashlib.sha256(data).digest())


def unread() -> Never:
    raise AssertionError("the content was read")


def check(claims: dict[str, Any], *, required: bool = False) -> None:
    check_digests(
        claims, target="/a?b=c", read_content=lambda: b"content", required=required
    )


@pytest.mark.requirement("R2144")
@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/a", b""),
        ("/a?", b""),
        ("/a?b", b"b"),
        ("/a?b?c", b"b?c"),
        ("/a?%2F%2f", b"%2F%2f"),
        ("/a?\xe9", b"\xe9"),
        ("https://h/a?b#c", b"b#c"),
        ("/a%3Fb", b""),
    ],
)
def test_the_query_is_what_stands_after_the_first_question_mark(
    target: str, query: bytes
) -> None:
    assert query_digest(target) == digest(query)


@pytest.mark.requirement("R2143")
def test_no_content_has_the_digest_of_nothing() -> None:
    assert content_digest(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


@pytest.mark.requirement("R2141", "R2142", "T21")
@pytest.mark.parametrize("required", [False, True])
def test_what_is_there_is_compared_whether_required_or_not(*, required: bool) -> None:
    good = {"cd": digest(b"content"), "hq": digest(b"b=c")}
    check(good, required=required)
    for name in good:
        with pytest.raises(DigestMismatchError):
            check(good | {name: digest(b"other")}, required=required)


@pytest.mark.requirement("R2142")
def test_absence_is_an_error_where_both_are_required() -> None:
    good = {"cd": digest(b"content"), "hq": digest(b"b=c")}
    for claims in ({}, {"cd": good["cd"]}, {"hq": good["hq"]}):
        check(claims)
        with pytest.raises(MissingDigestError):
            check(claims, required=True)


def test_the_content_is_read_for_its_digest_only() -> None:
    for claims in ({}, {"hq": digest(b"b=c")}):
        check_digests(claims, target="/a?b=c", read_content=unread, required=False)
    with pytest.raises(AssertionError):
        check_digests({"cd": ""}, target="/a", read_content=unread, required=False)


@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("name", ["cd", "hq"])
@pytest.mark.parametrize(
    "value",
    [None, True, 1, "", "A" * 43, [], {}, "\ud800", digest(b"content") + "=", "\xe9"],
)
def test_what_is_no_digest_is_the_digest_of_nothing_here(name: str, value: Any) -> None:
    with pytest.raises(DigestMismatchError):
        check({name: value})


def test_a_target_that_no_server_receives_has_no_query() -> None:
    with pytest.raises(DigestMismatchError):
        check_digests(
            {"hq": digest(b"")}, target="/?\u20ac", read_content=unread, required=False
        )
