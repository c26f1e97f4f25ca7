from __future__ import annotations

import pytest

from dpop_ext.client.destination import Destination


@pytest.mark.requirement("S-7")
@pytest.mark.parametrize(
    ("url", "htu"),
    [
        ("https://api.example/a?b=c#d", "https://api.example/a"),
        ("https://api.example/a#d?b", "https://api.example/a"),
        ("https://api.example", "https://api.example/"),
        ("https://api.example?a", "https://api.example/"),
        ("https://api.example:443/a", "https://api.example/a"),
        ("https://api.example:8443/a", "https://api.example:8443/a"),
        ("https://user:secret@api.example/a@b", "https://api.example/a@b"),
        ("HTTPS://API.example/A", "https://api.example/A"),
    ],
)
def test_the_htu_is_the_target_without_what_the_server_ignores(
    url: str, htu: str
) -> None:
    assert Destination.of(url).htu == htu


def test_the_path_stays_as_it_is_on_the_wire() -> None:
    assert Destination.of("https://a.example/%2fb//c/").htu == (
        "https://a.example/%2fb//c/"
    )


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "http://127.0.0.1@api.example/",
        "http://10.0.0.1/",
        "ftp://api.example/",
        "/relative",
        "",
    ],
)
def test_plain_http_and_what_is_no_url_get_no_proof(url: str) -> None:
    with pytest.raises(ValueError, match=r"https|URI"):
        Destination.of(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://LOCALHOST/"]
)
def test_plain_http_may_reach_this_machine(url: str) -> None:
    assert Destination.of(url).origin.startswith("http://")


@pytest.mark.requirement("R1603", "T23")
@pytest.mark.parametrize(
    ("url", "base", "within"),
    [
        ("https://a.example/b", "https://a.example", True),
        ("https://a.example/b", "https://a.example/", True),
        ("https://a.example:443/b", "https://A.example", True),
        ("https://a.example/api", "https://a.example/api", True),
        ("https://a.example/api/b", "https://a.example/api", True),
        ("https://a.example/api/b", "https://a.example/api/", True),
        ("https://a.example/api/../x", "https://a.example/api", False),
        ("https://a.example/api/%2e%2e/x", "https://a.example/api", False),
        ("https://a.example/apis", "https://a.example/api", False),
        ("https://a.example/", "https://a.example/api", False),
        ("https://a.example/API/b", "https://a.example/api", False),
        ("https://a.example:8443/b", "https://a.example", False),
        ("https://a.example.evil/b", "https://a.example", False),
        ("https://b.example/b", "https://a.example", False),
    ],
)
def test_a_target_is_within_a_base_on_its_origin_and_below_its_path(
    url: str, base: str, *, within: bool
) -> None:
    assert Destination.of(url).is_within([base]) is within


def test_one_of_several_bases_is_enough() -> None:
    bases = ["https://a.example", "https://b.example"]
    assert Destination.of("https://b.example/x").is_within(bases)
    assert not Destination.of("https://b.example/x").is_within([])
