"""Keys from keys, and the arguments that no key is derived from."""

from __future__ import annotations

import base64
import hmac
from typing import Any, Final

from tests.vectors.profile.parts import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    JKT,
    NOW,
    ROOT,
    b64url,
    expand,
    key_info,
    lp,
    merged,
    secret,
    secret_info,
    seed,
)

R: Final = bytes(range(32, 64))
LARGEST: Final = 2**53 - 1

_SECRET: Final = {
    "root": ROOT.hex(),
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "version": 7,
    "root_id": "",
}
_KEY: Final = {
    "secret": secret(7).hex(),
    "algorithm": "HS256",
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "client_id": CLIENT,
    "jkt": JKT,
    "version": 7,
    "r": b64url(R),
}


def generate() -> dict[str, Any]:
    """Return the content of ``derivations.json``."""
    return {
        "audience_secret": [
            _secret("usual", ["T4"]),
            _secret("another audience", ["T4"], audience="https://b.example.com"),
            _secret("another issuer", ["T4"], issuer="https://as.example.net"),
            _secret("another version", ["T4"], version=8),
            _secret("the largest version", ["R2101"], version=LARGEST),
            _secret("a named root", ["R2071"], root_id=bytes(range(160, 176)).hex()),
            _secret(
                "letters beyond ASCII", ["R2104"], audience="https://bücher.example"
            ),
            _secret("256 bytes", ["R2104"], audience="https://a/".ljust(256, "x")),
            _refused("257 bytes", ["R2104"], audience="https://a/".ljust(257, "x")),
            _refused("no audience", ["R2104"], audience=""),
            _refused("NUL", ["R2105"], audience="https://a\0b"),
            _refused("a lone surrogate", ["R2105"], audience="https://a\ud800"),
            _refused("version 0", ["R2101"], version=0),
            _refused("a version too large", ["R2101"], version=LARGEST + 1),
            _refused("a root of 31 bytes", ["R1702"], root=ROOT[1:].hex()),
        ],
        "symmetric_key": [
            _key("HS256", ["T4"]),
            _key("HS512", ["T4"], algorithm="HS512"),
            _key("another client", ["T4"], client_id="another"),
            _key("another proof key", ["T4"], jkt=b64url(seed("another key"))),
            _key("another r", ["R1304"], r=b64url(R[::-1])),
            _key("another audience", ["T4"], audience="https://b.example.com"),
            _key("a boundary", ["T4"], issuer=ISSUER[:-1], audience="m" + AUDIENCE),
            _key("letters beyond ASCII", ["R2104"], client_id="klientų"),
            _key("2048 bytes", ["R2104"], client_id="x" * 2048),
            _refused_key("2049 bytes", ["R2104"], client_id="x" * 2049),
            _refused_key("no client", ["R2104"], client_id=""),
            _refused_key("NUL", ["R2105"], client_id="a\0"),
            _refused_key("r of 31 bytes", ["R1304"], r=b64url(R[1:])),
            _refused_key("a jkt of 31 bytes", ["R2103"], jkt=b64url(R[1:])),
            _refused_key("a jkt with left-over bits", ["R2103"], jkt=JKT[:-1] + "J"),
            _refused_key("another MAC", ["R1403"], algorithm="HS384"),
            _refused_key("version 0", ["R2101"], version=0),
            _refused_key(
                "a secret of 33 bytes", ["R1702"], secret=seed("x").hex() + "00"
            ),
        ],
        "nonce_secret": [_labelled("usual", ["R2251"], secret(7), "nonce")],
        "response_key": [
            _labelled("usual", ["R2106"], seed("symmetric key"), "res"),
            _labelled("of a key for HS512", ["R2106"], seed("a") + seed("b"), "res"),
        ],
        "composite_r": [
            _composed("usual", seed("r_as"), seed("n")),
            _composed("a part of zeros", bytes(32), seed("n")),
            _composed("an n of 31 bytes", seed("r_as"), seed("n")[1:]),
            _composed("an r_as of 33 bytes", seed("r_as") + b"x", seed("n")),
        ],
        "mixed_key": [
            _mixed("usual", "HS256", seed("k_c")),
            _mixed("HS512", "HS512", seed("k_c")),
            _mixed("weak material", "HS256", bytes(32)),
            _mixed("material of 31 bytes", "HS256", seed("k_c")[1:]),
        ],
        "ticket_key": [
            _ticket_key("usual", 497_222),
            _ticket_key("the next hour", 497_223),
        ],
        "ticket_mac_key": [
            _ticket_mac_key("usual"),
            _ticket_mac_key("HS512", algorithm="HS512"),
            _ticket_mac_key("another client", client_id="another"),
            _ticket_mac_key("another audience", audience="https://b.example.com"),
            _ticket_mac_key("another ticket", ticket=b64url(b"\x02" + bytes(26))),
        ],
    }


def _secret(name: str, requirements: list[str], **changes: Any) -> dict[str, Any]:
    values = merged(_SECRET, changes)
    info = secret_info(
        values["issuer"],
        values["audience"],
        values["version"],
        bytes.fromhex(values["root_id"]),
    )
    key = expand(bytes.fromhex(values["root"]), info, 32)
    return _named(name, requirements, values) | {"info": info.hex(), "key": key.hex()}


def _key(name: str, requirements: list[str], **changes: Any) -> dict[str, Any]:
    values = merged(_KEY, changes)
    r = R if values["r"] == b64url(R) else R[::-1]
    info = key_info(
        values["algorithm"],
        values["issuer"],
        values["audience"],
        values["client_id"],
        values["jkt"],
        values["version"],
        r,
    )
    length = {"HS256": 32, "HS512": 64}[values["algorithm"]]
    key = expand(bytes.fromhex(values["secret"]), info, length)
    return _named(name, requirements, values) | {"info": info.hex(), "key": key.hex()}


def _refused(name: str, requirements: list[str], **changes: Any) -> dict[str, Any]:
    return _named(name, requirements, merged(_SECRET, changes)) | {"error": "refused"}


def _refused_key(name: str, requirements: list[str], **changes: Any) -> dict[str, Any]:
    return _named(name, requirements, merged(_KEY, changes)) | {"error": "refused"}


def _named(name: str, requirements: list[str], values: Any) -> dict[str, Any]:
    return {"name": name, "requirements": requirements, **values}


def _labelled(
    name: str, requirements: list[str], key: bytes, label: str
) -> dict[str, Any]:
    info = f"dpop-sym/1 {label}\0".encode()
    values = {
        "secret": key.hex(),
        "info": info.hex(),
        "key": expand(key, info, 32).hex(),
    }
    return _named(name, requirements, values)


def _composed(name: str, r_as: bytes, n: bytes) -> dict[str, Any]:
    values = _named(name, ["R2196", "R2195"], {"r_as": b64url(r_as), "n": b64url(n)})
    if len(r_as) != 32 or len(n) != 32:
        return values | {"error": "refused"}
    r = hmac.digest(r_as, b"dpop-sym/1 r\0" + lp(n), "sha256")
    return values | {"key": r.hex()}


def _mixed(name: str, algorithm: str, material: bytes) -> dict[str, Any]:
    random = seed("random32")
    values = {"random": random.hex(), "algorithm": algorithm, "k_c": material.hex()}
    named = _named(name, ["R2192"], values)
    if len(material) != 32:
        return named | {"error": "refused"}
    info = b"dpop-sym/1 kc\0" + lp(algorithm.encode()) + lp(material)
    key = expand(random, info, {"HS256": 32, "HS512": 64}[algorithm])
    return named | {"info": info.hex(), "key": key.hex()}


def _ticket_key(name: str, hour: int) -> dict[str, Any]:
    number = hour.to_bytes(8)
    tkid = expand(secret(7), b"dpop-sym/1 tkid\0" + number, 32)[:4]
    key = expand(secret(7), b"dpop-sym/1 ticket\0" + number, 32)
    values = {"secret": secret(7).hex(), "hour": hour, "tkid": tkid.hex()}
    return _named(name, ["R2122"], values | {"key": key.hex()})


def _ticket_mac_key(name: str, **changes: Any) -> dict[str, Any]:
    usual = {
        name: _KEY[name] for name in ("algorithm", "audience", "issuer", "client_id")
    }
    ticket = b"\x02" + seed("tkid")[:4] + (NOW + 300).to_bytes(6) + seed("ticket")[:16]
    usual |= {
        "jkt": JKT,
        "ticket_key": seed("ticket key").hex(),
        "ticket": b64url(ticket),
    }
    values = merged(usual, changes)
    raw = base64.urlsafe_b64decode(values["ticket"])
    names = [
        values[n].encode() for n in ("algorithm", "audience", "issuer", "client_id")
    ]
    info = b"dpop-sym/1 tkt\0" + b"".join(map(lp, [raw, *names, JKT.encode()]))
    length = {"HS256": 32, "HS512": 64}[values["algorithm"]]
    key = expand(bytes.fromhex(values["ticket_key"]), info, length)
    return _named(name, ["T12", "R1803"], values) | {
        "info": info.hex(),
        "key": key.hex(),
    }
