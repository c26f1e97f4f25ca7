"""Targets are equal where RFC 3986 section 6.2 says so, and nowhere else."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.target import (
    is_loopback,
    is_secure,
    normalize_target,
    origin,
    proof_target,
    request_url,
)

EQUAL = [
    pytest.param(claim, target, marks=pytest.mark.requirement(requirement))
    for requirement, claim, target in [
        ("N-1", "https://h/a?q=1", "https://h/a"),
        ("N-1", "https://h/a#f", "https://h/a"),
        ("N-1", "https://h/a#f?q", "https://h/a"),
        ("N-1", "https://h/a?q#f", "https://h/a"),
        ("N-1", "https://h/a?", "https://h/a"),
        ("N-1", "https://h?q", "https://h/"),
        ("N-1", "https://h#f", "https://h/"),
        ("N-1", "https://h/a?x=100%", "https://h/a"),
        ("N-2", "https://h/a", "https://h/a?q=1"),
        ("N-2", "https://h/a?q=2", "https://h/a?q=1"),
        ("N-3", "HTTPS://RS.EXAMPLE/p", "https://rs.example/p"),
        ("N-3", "hTTp://Rs.Example:8080/p", "http://rs.example:8080/p"),
        ("N-5", "https://h/%7euser", "https://h/~user"),
        ("N-5", "https://h/%7Euser", "https://h/%7euser"),
        ("N-5", "https://h/%41%5a%61%7a%30%39%2d%2E%5f%7E", "https://h/AZaz09-._~"),
        ("N-6", "https://h/a%2fb", "https://h/a%2Fb"),
        ("N-7", "https://h/a/../b", "https://h/b"),
        ("N-7", "https://h/a/./b", "https://h/a/b"),
        ("N-7", "https://h/%2e%2e/b", "https://h/b"),
        ("N-7", "https://h/a/%2E%2e/b", "https://h/b"),
        ("N-7", "https://h/../../b", "https://h/b"),
        ("N-7", "https://h/a/..", "https://h/"),
        ("N-7", "https://h/a/.", "https://h/a/"),
        ("N-7", "https://h/a/b/../", "https://h/a/"),
        ("N-7", "https://h/..", "https://h"),
        ("N-7", "https://h/a//../b", "https://h/a/b"),
        ("N-8", "https://h:443/p", "https://h/p"),
        ("N-8", "https://h:/p", "https://h/p"),
        ("N-8", "https://h:0443/p", "https://h/p"),
        ("N-8", "http://h:80/p", "http://h/p"),
        ("N-8", "http://h:000080/p", "http://h/p"),
        ("N-8", "https://h:08443/p", "https://h:8443/p"),
        ("N-8", "https://[::1]:443/p", "https://[::1]/p"),
        ("N-10", "https://h", "https://h/"),
        ("N-10", "https://h:443", "https://h/"),
        ("N-14", "https://[2001:DB8::1]/p", "https://[2001:db8::1]/p"),
    ]
]

DIFFERENT = [
    pytest.param(claim, target, marks=pytest.mark.requirement(requirement))
    for requirement, claim, target in [
        ("N-4", "https://h/P", "https://h/p"),
        ("N-6", "https://h/a%2Fb", "https://h/a/b"),
        ("N-6", "https://h/%40a", "https://h/@a"),
        ("N-6", "https://h/%3A", "https://h/:"),
        ("N-6", "https://h/%3B", "https://h/;"),
        ("N-6", "https://h/a+b", "https://h/a%20b"),
        ("N-6", "https://h/%252e", "https://h/%2e"),
        ("N-7", "https://h/..a", "https://h/a"),
        ("N-7", "https://h/...", "https://h/"),
        ("N-7", "https://h/a%2F..", "https://h/"),
        ("N-9", "https://h:80/p", "https://h/p"),
        ("N-9", "http://h:443/p", "http://h/p"),
        ("N-9", "https://h:8443/p", "https://h/p"),
        ("N-9", "https://h:0/p", "https://h/p"),
        ("N-11", "https://h/p/", "https://h/p"),
        ("N-11", "https://h//p", "https://h/p"),
        ("N-11", "https://h/a//b", "https://h/a/b"),
        ("N-12", "http://h/p", "https://h/p"),
        ("N-12", "http://h:443/p", "https://h/p"),
        ("N-14", "https://h./p", "https://h/p"),
        ("N-14", "https://localhost/p", "https://127.0.0.1/p"),
        ("N-14", "https://127.1/p", "https://127.0.0.1/p"),
        ("N-14", "https://[::0:1]/p", "https://[::1]/p"),
        ("N-15", "https://xn--bcher-kva.example/p", "https://bucher.example/p"),
    ]
]

REFUSED = [
    pytest.param(url, marks=pytest.mark.requirement(requirement))
    for requirement, urls in {
        "N-13": ["https://u@h/p", "https://u:p@h/p", "https://@h/p", "https://h@e/p"],
        "N-14": ["https://%68/p", "https://h%2e/p"],
        "N-15": ["https://b\u00fccher.example/p"],
        "N-16": [
            *("", "/p", "//h/p", "h/p", "h", "https", "https:", "https:/h/p"),
            *("https:h/p", "https://", "https:///p", "https://?q", "https://:443/p"),
            *("ftp://h/p", "ws://h/p", "httpss://h/p", "urn:x", "mailto:a@h"),
            *("xhttps://h/p", "data:,https://h/p", "about:blank", "*", "h:443"),
        ],
        "N-17": [
            *(f"https://h/a{chr(code)}b" for code in [*range(0x21), 0x7F, 0x80, 0xE9]),
            *(f"https://h/{chr(code)}" for code in (0x2028, 0xFF0F, 0xD800, 0x1F600)),
            *(" https://h/p", "https://h/p ", "\thttps://h/p", "https://h/p\n"),
            *("ht\ntps://h/p", "https://h\t/p", "https://h/p?\n", "https://h/p#\0"),
            *("https://h/p?\u00e9", "https://h\\p", "https://h/\\p", "https:\\\\h/p"),
            *("https://h/%", "https://h/%4", "https://h/%zz", "https://h/%%41"),
            *("https://h/%u0041", "https://h/% 41", "https://h/%2"),
            *("https://h:x/p", "https://h:-1/p", "https://h:65536/p", "https://h:4 4/"),
            *("https://h:443:443/p", "https://h:" + "9" * 5000, "https://h:+443/"),
            *("https://[::1/p", "https://::1/p", "https://[]/p", "https://[g::]/p"),
            *("https://[::1]x/p", "https://[::1%25eth0]/p", "https://[v1.a]/p"),
            *(
                "https://[1:2:3:4:5:6:7:8:9]/",
                "https://[127.0.0.1]/",
                "https://[[::1]]/",
            ),
            *("https://h^/p", 'https://"h"/p', "https://h|/p", "https://<h>/p"),
        ],
    }.items()
    for url in urls
]


@pytest.mark.parametrize(("claim", "target"), EQUAL)
def test_spellings_of_one_target_are_equal(claim: str, target: str) -> None:
    assert normalize_target(claim) == normalize_target(target)


@pytest.mark.parametrize(("claim", "target"), DIFFERENT)
def test_other_targets_are_different(claim: str, target: str) -> None:
    assert normalize_target(claim) != normalize_target(target)


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the one check's
        normalize_target(url)


def test_the_largest_port_is_a_port() -> None:
    assert normalize_target("https://h:65535/p") == "https://h:65535/p"


PATHS = st.text("/.%2eEfF~a4:@;+", max_size=20).map(lambda path: "/" + path)
HOSTS = st.sampled_from(["h", "RS.example", "127.0.0.1", "[::1]", "[2001:DB8::a]"])
PORTS = st.sampled_from(["", ":", ":443", ":0443", ":80", ":8080", ":65535"])
URLS = st.builds(
    lambda scheme, host, port, path, rest: f"{scheme}://{host}{port}{path}{rest}",
    st.sampled_from(["https", "http", "HTTPS"]),
    HOSTS,
    PORTS,
    PATHS | st.just(""),
    st.sampled_from(["", "?q", "#f", "?a#b", "#a?b"]),
)


@given(URLS)
def test_normalising_twice_changes_nothing(url: str) -> None:
    with contextlib.suppress(ValueError):
        once = normalize_target(url)
        assert normalize_target(once) == once


@given(URLS)
def test_a_normal_form_has_no_second_spelling(url: str) -> None:
    with contextlib.suppress(ValueError):
        normal = normalize_target(url)
        path = normal.split("://", 1)[1].partition("/")[2]
        assert not {".", ".."} & set(path.split("/"))
        assert not re.search("%[0-9A-F]?[a-f]|%(3[0-9]|[46][1-9A-F]|2[DE])", normal)
        assert "?" not in normal
        assert "#" not in normal


@given(st.text(max_size=30))
def test_any_text_is_a_target_or_a_value_error(text: str) -> None:
    for url in (text, "https://" + text, "https://h/" + text, "https://h:" + text):
        for function in (normalize_target, origin, proof_target):
            with contextlib.suppress(ValueError):
                assert function(url).startswith(("https://", "http://"))


@given(URLS)
def test_the_htu_of_a_client_is_equal_to_the_target(url: str) -> None:
    with contextlib.suppress(ValueError):
        target = normalize_target(url)
        assert normalize_target(proof_target(url)) == target


@pytest.mark.requirement("S-7")
@pytest.mark.parametrize(
    ("url", "htu"),
    [
        ("https://h/p?q#f", "https://h/p"),
        ("https://h/p#f?q", "https://h/p"),
        ("https://h", "https://h/"),
        ("https://h?q", "https://h/"),
        ("https://H:443/P", "https://h/P"),
        ("http://h:80/p", "http://h/p"),
        ("https://h:8443/p", "https://h:8443/p"),
        ("https://user:secret@h/p", "https://h/p"),
        ("https://user@evil@h/p", "https://h/p"),
        ("https://h/a@b", "https://h/a@b"),
        ("https://h/%7euser/../a%2fb", "https://h/%7euser/../a%2fb"),
    ],
)
def test_the_htu_of_a_client_keeps_the_path_as_it_goes_out(url: str, htu: str) -> None:
    assert proof_target(url) == htu


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://H:443/p?q", "https://h"),
        ("http://h:8080", "http://h:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert origin(url) == expected


class TestRequestURL:
    def test_it_is_built_from_what_the_server_received(self) -> None:
        url = request_url(
            scheme="http", host="RS:8080", raw_target="/a%2Fb?q=1", public_url=None
        )

        assert url == "http://rs:8080/a%2Fb"

    @pytest.mark.requirement("N-18")
    @pytest.mark.parametrize(
        ("public_url", "expected"),
        [
            ("https://api.example", "https://api.example/p"),
            ("https://api.example/", "https://api.example/p"),
            ("https://api.example:8443/v1", "https://api.example:8443/v1/p"),
            ("https://api.example/v1/", "https://api.example/v1/p"),
        ],
    )
    def test_the_public_url_wins_over_host_and_scheme(
        self, public_url: str, expected: str
    ) -> None:
        for host in ("rs.internal:8080", "evil.example", "", "a, b", "h/evil?"):
            url = request_url(
                scheme="http", host=host, raw_target="/p?q", public_url=public_url
            )
            assert url == expected

    @pytest.mark.requirement("N-18")
    @pytest.mark.parametrize(
        ("raw_target", "expected"),
        [
            ("https://evil.example/p?q", "https://api.example/p"),
            ("http://evil.example:80/p", "https://api.example/p"),
            ("HTTP://evil.example", "https://api.example/"),
            ("http://evil.example?q=/x", "https://api.example/"),
            ("http://evil.example//p", "https://api.example//p"),
        ],
    )
    def test_a_target_in_absolute_form_names_the_path_only(
        self, raw_target: str, expected: str
    ) -> None:
        for public_url in (None, "https://api.example"):
            url = request_url(
                scheme="https",
                host="api.example",
                raw_target=raw_target,
                public_url=public_url,
            )
            assert url == expected

    @pytest.mark.requirement("N-11", "N-18")
    def test_a_path_of_two_slashes_is_no_authority(self) -> None:
        url = request_url(
            scheme="https", host="h", raw_target="//evil/p", public_url=None
        )

        assert url == "https://h//evil/p"

    @pytest.mark.parametrize(
        "raw_target",
        ["*", "", "h:443", "h", "p", "?q", "ftp://h/p", "://h", " /p", "https:/h/p"],
    )
    def test_other_forms_are_refused(self, raw_target: str) -> None:
        for public_url in (None, "https://api.example"):
            with pytest.raises(ValueError):  # noqa: PT011
                request_url(
                    scheme="https",
                    host="h",
                    raw_target=raw_target,
                    public_url=public_url,
                )

    @pytest.mark.requirement("N-18")
    @pytest.mark.parametrize(
        "host",
        [
            "",
            "h/evil",
            "h?",
            "h#",
            "u@h",
            "h\\",
            "h e",
            "h\n",
            "h,h",
            "h:x",
            "é",
            "[::1",
            "h/",
        ],
    )
    def test_a_host_that_is_none_is_refused(self, host: str) -> None:
        """One that holds a slash would move into the path what the server routes by."""
        with pytest.raises(ValueError):  # noqa: PT011
            request_url(scheme="https", host=host, raw_target="/p", public_url=None)

    @pytest.mark.parametrize("scheme", ["", "ws", "https://evil", "HTTPS"])
    def test_another_scheme_is_refused(self, scheme: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            request_url(scheme=scheme, host="h", raw_target="/p", public_url=None)

    def test_an_odd_query_does_no_harm(self) -> None:
        url = request_url(
            scheme="https", host="h", raw_target="/p?a=100%\u00e9\\", public_url=None
        )

        assert normalize_target(url) == "https://h/p"


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_host_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "host", ["", "localhost.example", "10.0.0.1", "::ffff:10.0.0.1"]
)
def test_no_other_host_is(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "url",
    [
        *("https://h/p", "https://127.0.0.1/", "https://[::1]/", "http://LOCALHOST/"),
        *("http://localhost:9000/p", "http://127.0.0.1/", "http://127.9.9.9:80/"),
        *("http://[::1]:9001/", "http://[::1]", "http://[::ffff:127.0.0.1]/"),
    ],
)
def test_https_is_secure_and_so_is_this_machine(url: str) -> None:
    assert is_secure(url)


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "url",
    [
        *("http://h/p", "http://10.0.0.1/", "http://0.0.0.0/", "http://[::]/"),
        *("http://localhost.evil/", "http://127.0.0.1.evil/", "http://127.1/"),
        *("http://localhost@evil/", "http://[::ffff:10.0.0.1]/", "http://evil#@[::1]/"),
        *("ftp://localhost/", "localhost", "", "http://", "https://u@h/"),
    ],
)
def test_plain_http_to_another_machine_is_not(url: str) -> None:
    assert not is_secure(url)
