"""Vectors about the claims of a proof."""

from __future__ import annotations

import hashlib

from tests.vectors.corpus import ABSENT, METHOD, NOW, TOKEN, URL, Corpus
from tests.vectors.hand_made import b64, sha256


def targets(corpus: Corpus) -> None:
    def equal(name: str, ids: str, htu: str, url: str = URL) -> None:
        corpus.add(f"htu {name}", f"C-9 {ids}", claims={"htu": htu}, url=url)

    def differs(name: str, ids: str, htu: object, url: str = URL) -> None:
        corpus.add(
            f"htu {name}", f"C-9 {ids}", "target_mismatch", claims={"htu": htu}, url=url
        )

    host, path = "https://api.example.com", "/accounts/42"
    equal("carries the query", "N-1", f"{URL}?a=b", f"{URL}?a=b")
    equal("carries another query", "N-1", f"{URL}?a=b")
    equal("carries a fragment", "N-1", f"{URL}#f?a=b")
    equal("lacks the query", "N-2", URL, f"{URL}?a=b")
    equal("in upper-case scheme and host", "N-3", f"HTTPS://API.EXAMPLE.COM{path}")
    equal("with the default port", "N-8", f"{host}:443{path}")
    equal("with an empty port", "N-8", f"{host}:{path}")
    equal("with zeros before the port", "N-8", f"{host}:0443{path}")
    equal("with an escaped unreserved character", "N-5", f"{host}/%61ccounts/42")
    equal("with escapes in lower case", "N-5", f"{host}/a%2fb", f"{host}/a%2Fb")
    equal("with a dot segment", "N-7", f"{host}/./accounts/42")
    equal("with two dots", "N-7", f"{host}/x/../accounts/42")
    equal("with escaped dots", "N-7", f"{host}/x/%2e%2E/accounts/42")
    equal("with dots above the root", "N-7", f"{host}/../accounts/42")
    equal("without a path", "N-10", host, f"{host}/")
    differs("of another host", "N-14", f"https://evil.example{path}")
    differs("of a host with a trailing dot", "N-14", f"https://api.example.com.{path}")
    differs("with an escape in the host", "N-14", f"https://%61pi.example.com{path}")
    differs(
        "in another spelling of an address",
        "N-14",
        f"https://[0:0::1]{path}",
        f"https://[::1]{path}",
    )
    differs("with a trailing slash", "N-11", f"{URL}/")
    differs("without the trailing slash", "N-11", URL, f"{URL}/")
    differs("with a doubled slash", "N-11", f"{host}//accounts/42")
    differs("in another case of the path", "N-4", f"{host}/Accounts/42")
    differs("with an escaped slash", "N-6", f"{host}/accounts%2F42")
    differs("with a plus for a space", "N-6", f"{host}/a+b", f"{host}/a%20b")
    differs("of another port", "N-9", f"{host}:8443{path}")
    differs("of the other scheme's port", "N-9", f"{host}:80{path}")
    differs("of the other scheme", "N-12", f"http://api.example.com{path}")
    differs("that is a path", "N-16", path)
    differs("without a scheme", "N-16", f"//api.example.com{path}")
    differs("with one slash", "N-16", f"https:/api.example.com{path}")
    differs("of another kind of scheme", "N-16", f"ftp://api.example.com{path}")
    differs("with user information", "N-13", f"https://alice@api.example.com{path}")
    differs("with empty user information", "N-13", f"https://@api.example.com{path}")
    differs(
        "with the host as user", "N-13", f"https://api.example.com@evil.example{path}"
    )
    differs(
        "with a host in letters that are not ASCII",
        "N-15",
        f"https://bücher.example{path}",
    )
    for name, spoilt in (
        ("line break", f"{host}/accounts\n/42"),
        ("tab", f"{host}\t{path}"),
        ("space in front", f" {URL}"),
        ("space behind", f"{URL} "),
        ("DEL", f"{URL}\x7f"),
        ("backslash", f"{host}\\accounts/42"),
        ("broken escape", f"{URL}%4"),
        ("escape of no hex", f"{URL}%zz"),
        ("letter that is not ASCII", f"{host}/ä"),
        ("port of letters", f"{host}:https{path}"),
        ("port out of range", f"{host}:65979{path}"),
        ("broken address", f"https://[::1{path}"),
        ("line break in the query", f"{URL}?\r\nx"),
    ):
        differs(f"with a {name}", "N-17", spoilt)
    for name, htu in (
        ("missing", ABSENT),
        ("null", None),
        ("a list", [URL]),
        ("empty", ""),
    ):
        corpus.add(f"htu {name}", "S-7 C-3", "malformed_proof", claims={"htu": htu})


def methods(corpus: Corpus) -> None:
    for name, ids, htm, method in (
        ("in lower case", "C-8 S-6", "get", METHOD),
        ("of another method", "C-8 S-6", "POST", METHOD),
        ("GET for HEAD", "C-8", "GET", "HEAD"),
        ("with a space", "C-8", "GET ", METHOD),
    ):
        corpus.add(
            f"htm {name}", ids, "target_mismatch", claims={"htm": htm}, method=method
        )
    corpus.add(
        "htm of an unusual method", "C-8", claims={"htm": "query"}, method="query"
    )
    for name, missing in (
        ("missing", ABSENT),
        ("a number", 1),
        ("null", None),
        ("empty", ""),
    ):
        corpus.add(f"htm {name}", "S-6 C-3", "malformed_proof", claims={"htm": missing})


def identifiers(corpus: Corpus) -> None:
    corpus.add("jti of 256 characters", "X-16", claims={"jti": "j" * 256})
    corpus.add(
        "jti of letters that are not ASCII", "S-4", claims={"jti": "идентификатор"}
    )
    for name, ids, jti in (
        ("of 257 characters", "X-16", "j" * 257),
        ("of 6000 characters", "X-16", "j" * 6000),
        ("missing", "S-4 C-3", ABSENT),
        ("empty", "S-4", ""),
        ("a number", "S-4 C-3", 1),
        ("null", "S-4", None),
        ("a list", "S-4", ["a"]),
        ("with a NUL", "C-2", "a\0b"),
        ("with half a surrogate pair", "C-2", "a\ud800"),
    ):
        corpus.add(f"jti {name}", ids, "malformed_proof", claims={"jti": jti})


def times(corpus: Corpus) -> None:
    for age in (0, 8, 20, 50, 65):
        corpus.add(f"iat {age} s ago", "C-11 X-14", claims={"iat": NOW - age})
    for age in (66, 80, 150, 250, 320, 500):
        corpus.add(
            f"iat {age} s ago", "C-11 X-14", "stale_proof", claims={"iat": NOW - age}
        )
    for ahead in (5, 20, 28, 30):
        corpus.add(f"iat {ahead} s ahead", "C-11 X-17", claims={"iat": NOW + ahead})
    for ahead in (31, 50, 150, 280, 400):
        corpus.add(
            f"iat {ahead} s ahead",
            "C-11 X-17 T28",
            "stale_proof",
            claims={"iat": NOW + ahead},
        )
    corpus.add("iat with a fraction", "S-8", claims={"iat": NOW - 0.5})
    corpus.add(
        "iat with an exponent", "S-8", raw_payload=corpus.claims_with({"iat": "1.79e9"})
    )
    for name, text in (
        ("in milliseconds", f"{NOW}000"),
        ("zero", "0"),
        ("minus zero", "-0.0"),
        ("negative", f"-{NOW}"),
        ("of 300 digits", "9" * 300),
    ):
        corpus.add(
            f"iat {name}",
            "C-11 S-8",
            "stale_proof",
            raw_payload=corpus.claims_with({"iat": text}),
        )
    for name, text in (
        ("true", "true"),
        ("null", "null"),
        ("a string", f'"{NOW}"'),
        ("a list", f"[{NOW}]"),
        ("an object", "{}"),
        ("NaN", "NaN"),
        ("infinite", "Infinity"),
        ("minus infinite", "-Infinity"),
        ("beyond a double", "1e400"),
        ("of 309 digits", "9" * 309),
        ("of 5000 digits", "9" * 5000),
        ("with a leading zero", f"0{NOW}"),
        ("in hex", "0x6ab13d80"),
    ):
        corpus.add(
            f"iat {name}",
            "S-8 C-3 T22",
            "malformed_proof",
            raw_payload=corpus.claims_with({"iat": text}),
        )
    corpus.add("iat missing", "S-8 C-3", "malformed_proof", claims={"iat": ABSENT})
    corpus.add("nbf and exp around now", "S-13", claims={"nbf": NOW, "exp": NOW + 300})
    corpus.add("nbf 30 s ahead", "S-13", claims={"nbf": NOW + 30})
    corpus.add("nbf 31 s ahead", "S-13", "stale_proof", claims={"nbf": NOW + 31})
    corpus.add("exp 4 s ago", "S-13", claims={"exp": NOW - 4})
    corpus.add("exp 5 s ago", "S-13", "stale_proof", claims={"exp": NOW - 5})
    corpus.add("exp in the past", "S-13", "stale_proof", claims={"exp": NOW - 60})
    corpus.add("nbf in the future", "S-13", "stale_proof", claims={"nbf": NOW + 60})
    corpus.add(
        "exp does not stretch the window",
        "S-13 X-14",
        "stale_proof",
        claims={"iat": NOW - 66, "exp": NOW + 300},
    )
    for claim in ("exp", "nbf"):
        for name, value in (("a string", str(NOW)), ("true", True), ("null", None)):
            corpus.add(
                f"{claim} {name}", "S-13", "malformed_proof", claims={claim: value}
            )


def token_hashes(corpus: Corpus) -> None:
    digest = hashlib.sha256(TOKEN.encode())
    for name, ids, ath in (
        ("of another token", "C-12a X-24", sha256("another token")),
        ("in hex", "C-12a X-25", digest.hexdigest()),
        ("padded", "C-12a X-25", b64(digest.digest()) + "="),
        ("of SHA-512", "X-25", b64(hashlib.sha512(TOKEN.encode()).digest())),
        ("not ASCII", "C-12a", "ä" * 43),
        ("missing", "C-12a S-9", ABSENT),
        ("empty", "C-12a S-9", ""),
        ("null", "C-12a S-9", None),
        ("a number", "C-12a S-9", 1),
    ):
        corpus.add(f"ath {name}", ids, "token_mismatch", claims={"ath": ath})
