"""Requests, and exactly what a resource server answers to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.request_binding import access_token_hash
from tests.resource_server.world import AUDIENCE, Request, World, ring, secret

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and its answer."""

    name: str
    request: Callable[[World], Request]
    status: int
    #: The ``error`` of the DPoP challenge.
    error: str | None = None
    #: The ``error`` of the Bearer challenge; there is one on a mixed server only.
    bearer_error: str | None = None
    ids: tuple[str, ...]
    #: Fields of the world.
    setting: dict[str, Any] = field(default_factory=dict)
    sym_error: str | None = None
    nonce: bool = False
    retry_after: bool = False
    #: Proofs that are used up.
    spent: int = 0


def with_proof(
    token: Callable[[World], str],
    *,
    scheme: str = "DPoP",
    proof: Callable[[World, str], str] = lambda world, token: world.proof(token),
    more: tuple[tuple[str, str], ...] = (),
    **request: Any,
) -> Callable[[World], Request]:
    """Describe a request with a token and a proof."""

    def build(world: World) -> Request:
        text = token(world)
        headers = [("Authorization", f"{scheme} {text}"), ("DPoP", proof(world, text))]
        return Request(headers=[*headers, *more], **request)

    return build


def without_proof(
    token: Callable[[World], str], *, scheme: str = "DPoP", **request: Any
) -> Callable[[World], Request]:
    return lambda world: Request(
        headers=[("Authorization", f"{scheme} {token(world)}")], **request
    )


def carrying(build: Callable[[World, str], Request]) -> Callable[[World], Request]:
    """Describe a request with a bound token, and whatever *build* makes for it."""

    def complete(world: World) -> Request:
        token = world.token()
        request = build(world, token)
        credentials = ("Authorization", f"DPoP {token}")
        return replace(request, headers=[credentials, *request.headers])

    return complete


def authorization(*values: str, **request: Any) -> Callable[[World], Request]:
    """Describe a request with a good proof and odd Authorization lines.

    ``{token}`` and ``{unbound}`` stand for good tokens.
    """

    def build(world: World) -> Request:
        token, unbound = world.token(), world.unbound_token()
        lines = [
            (
                "Authorization",
                value.replace("{token}", token).replace("{unbound}", unbound),
            )
            for value in values
        ]
        return Request(headers=[*lines, ("DPoP", world.proof(token))], **request)

    return build


def proofs(*values: str) -> Callable[[World], Request]:
    """Describe a request with odd DPoP lines; ``{proof}`` stands for a good one."""

    def build(world: World) -> Request:
        token = world.token()
        lines = [
            ("DPoP", value.replace("{proof}", world.proof(token))) for value in values
        ]
        return Request(headers=[("Authorization", f"DPoP {token}"), *lines])

    return build


def signed_proof(world: World, token: str, **changes: Any) -> str:
    """Make a proof with other header members or claims; None leaves one out."""
    header = {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": world.key.as_dict(private=False),
    }
    claims = {
        "jti": "0123456789abcdef",
        "htm": "GET",
        "htu": AUDIENCE + "/accounts",
        "iat": world.clock.now,
        "ath": access_token_hash(token),
    }
    for name, value in changes.items():
        place = header if name in ("typ", "alg", "jwk", "crit", "b64") else claims
        place[name] = value
    return sign_compact(
        header, {n: v for n, v in claims.items() if v is not None}, world.key
    )


def bound(world: World) -> str:
    return world.token()


def unbound(world: World) -> str:
    return world.unbound_token()


def symmetric(world: World) -> str:
    return world.symmetric_token()


def changed(**changes: Any) -> Callable[[World], str]:
    return lambda world: world.token(**changes)


def field_named(name: str) -> Callable[[World, str], Request]:
    return lambda world, token: Request(headers=[(name, world.proof(token))])


def proof_with_nonce_of(age: int) -> Callable[[World, str], str]:
    return lambda world, token: world.proof(token, nonce=world.nonce(age=age))


def symmetric_of(version: int) -> Callable[[World], str]:
    return lambda world: world.symmetric_token(version=version)


def proof_with(**changes: Any) -> Callable[[World, str], str]:
    return lambda world, token: world.proof(token, **changes)


def symmetric_proof_with(**changes: Any) -> Callable[[World, str], str]:
    return lambda world, token: world.symmetric_proof(token, **changes)


MIXED = {"accept_bearer": True}
NONCES = {"use_nonces": True}
SYMMETRIC = {"symmetric": True}
IDP = "invalid_dpop_proof"

#: The matrix of scheme, token and proof: RFC 9449 sections 7.1 and 7.2.
MATRIX = [
    Case(
        name="bound token, valid proof",
        request=with_proof(bound),
        status=200,
        spent=1,
        ids=("P-2", "W-1"),
    ),
    Case(
        name="bound token, valid proof, mixed server",
        request=with_proof(bound),
        setting=MIXED,
        status=200,
        spent=1,
        ids=("P-2",),
    ),
    Case(
        name="bound token, no proof",
        request=without_proof(bound),
        status=401,
        error=IDP,
        ids=("P-4", "P-16"),
    ),
    Case(
        name="bound token, no proof, mixed server",
        request=without_proof(bound),
        setting=MIXED,
        status=401,
        error=IDP,
        ids=("P-4", "D-6"),
    ),
    Case(
        name="bound token, proof by another key",
        request=with_proof(bound, proof=lambda w, t: w.proof(t, key=w.other_key)),
        status=401,
        error="invalid_token",
        ids=("B-2", "C-12b", "P-16"),
    ),
    Case(
        name="unbound token, valid proof",
        request=with_proof(unbound),
        status=401,
        error="invalid_token",
        ids=("P-7",),
    ),
    Case(
        name="unbound token, valid proof, mixed server",
        request=with_proof(unbound),
        setting=MIXED,
        status=401,
        error="invalid_token",
        ids=("P-7", "D-6"),
    ),
    Case(
        name="bound token as Bearer",
        request=without_proof(bound, scheme="Bearer"),
        setting=MIXED,
        status=401,
        bearer_error="invalid_token",
        ids=("D-1", "D-6"),
    ),
    Case(
        name="bound token as Bearer, valid proof",
        request=with_proof(bound, scheme="Bearer"),
        setting=MIXED,
        status=401,
        bearer_error="invalid_token",
        ids=("D-1", "D-6"),
    ),
    Case(
        name="bound token as bearer in lower case, valid proof",
        request=with_proof(bound, scheme="bearer"),
        setting=MIXED,
        status=401,
        bearer_error="invalid_token",
        ids=("D-1", "P-5"),
    ),
    Case(
        name="bound token as Bearer, DPoP-only server",
        request=with_proof(bound, scheme="Bearer"),
        status=401,
        error="invalid_token",
        ids=("D-2",),
    ),
    Case(
        name="unbound token as Bearer",
        request=without_proof(unbound, scheme="Bearer"),
        setting=MIXED,
        status=200,
        ids=("D-8",),
    ),
    Case(
        name="unbound token as Bearer, stray proof is ignored",
        request=lambda w: Request(
            headers=[
                ("Authorization", f"Bearer {w.unbound_token()}"),
                ("DPoP", "garbage"),
                ("DPoP", "more garbage"),
            ]
        ),
        setting=MIXED,
        status=200,
        ids=("D-8",),
    ),
    Case(
        name="unbound token as Bearer, DPoP-only server",
        request=without_proof(unbound, scheme="Bearer"),
        status=401,
        error="invalid_token",
        ids=("D-2",),
    ),
    Case(
        name="expired token as Bearer",
        request=without_proof(
            lambda w: w.unbound_token(exp=w.clock.now), scheme="Bearer"
        ),
        setting=MIXED,
        status=401,
        bearer_error="invalid_token",
        ids=("D-6",),
    ),
    Case(
        name="Bearer token without the scope",
        request=without_proof(lambda w: w.unbound_token(scope="x"), scheme="Bearer"),
        setting=MIXED,
        status=403,
        bearer_error="insufficient_scope",
        ids=("D-6", "P-9"),
    ),
    *(
        Case(
            name=f"nothing sent: {name}",
            request=request,
            setting=setting,
            status=401,
            ids=("D-5", "P-11", *ids),
        )
        for name, request, setting, ids in [
            ("nothing", lambda w: Request(headers=[]), {}, ()),
            ("nothing, mixed server", lambda w: Request(headers=[]), MIXED, ()),
            (
                "a proof alone",
                lambda w: Request(headers=[("DPoP", w.proof(None))]),
                {},
                ("G-3",),
            ),
            (
                "proxy authorization",
                lambda w: Request(
                    headers=[
                        ("Proxy-Authorization", f"DPoP {w.token()}"),
                        ("DPoP", w.proof(w.token())),
                    ]
                ),
                {},
                ("P-14",),
            ),
            (
                "a scheme that is neither",
                lambda w: Request(headers=[("Authorization", "Basic YTpi")]),
                MIXED,
                (),
            ),
        ]
    ),
    *(
        Case(
            name=f"ambiguous{', mixed server' if setting else ''}: {lines}",
            request=authorization(*lines),
            setting=setting,
            status=400,
            error="invalid_request",
            bearer_error="invalid_request" if setting else None,
            ids=("D-7", "P-16", "J-15"),
        )
        for setting in (MIXED, {})
        for lines in [
            ("DPoP {token}", "Bearer {unbound}"),
            ("Bearer {unbound}", "DPoP {token}"),
            ("DPoP {token}", "DPoP {token}"),
            ("Bearer {unbound}, DPoP {token}",),
            ("DPoP {token},Bearer {unbound}",),
            ("DPoP {token}", ""),
            ("", "DPoP {token}"),
        ]
    ),
]

#: The form of the credentials.
CREDENTIALS = [
    *(
        Case(
            name=f"scheme spelt {scheme}",
            request=with_proof(bound, scheme=scheme),
            status=200,
            spent=1,
            ids=("P-5", "J-15"),
        )
        for scheme in ("dpop", "DPOP", "dPoP")
    ),
    *(
        Case(
            name=f"lower case is not a lesser scheme: {name}",
            request=request,
            status=401,
            error=IDP,
            ids=("P-5",),
        )
        for name, request in [
            ("no proof", without_proof(bound, scheme="dpop")),
            (
                "a bad proof",
                with_proof(bound, scheme="dpop", proof=lambda w, t: "garbage"),
            ),
        ]
    ),
    Case(
        name="several spaces after the scheme",
        request=authorization("DPoP    {token}"),
        status=200,
        spent=1,
        ids=("P-6",),
    ),
    *(
        Case(
            name=f"malformed credentials: {value!r}",
            request=authorization(value),
            status=400,
            error="invalid_request",
            ids=("P-6", "P-16"),
        )
        for value in [
            "",
            " ",
            "DPoP",
            "DPoP ",
            "DPoP\t{token}",
            "DPoP {token} more",
            "DPoP token={token}",
            'DPoP "{token}"',
            "DPoP {token}\xe9",
            "DPoP t\xf6ken",
            "DPoP \x00",
            "DPoP =",
            "DPoP a=b",
            "DPoP: {token}",
            "{token}\xa0",
            "(DPoP) {token}",
        ]
    ),
    Case(
        name="white space around the field value",
        request=authorization(" DPoP {token}\t"),
        status=200,
        spent=1,
        ids=("P-6",),
    ),
    *(
        Case(
            name=f"malformed Bearer credentials: {value!r}",
            request=authorization(value),
            setting=MIXED,
            status=400,
            bearer_error="invalid_request",
            ids=("P-6", "D-6"),
        )
        for value in ["Bearer", "Bearer a b", "Bearer a=b"]
    ),
    *(
        Case(
            name=f"token in the {name}",
            request=request,
            setting=setting,
            status=400,
            error="invalid_request",
            bearer_error="invalid_request" if setting else None,
            ids=("P-8", "F-10"),
        )
        for name, request, setting in [
            (
                "query",
                lambda w: Request(
                    headers=[("DPoP", w.proof(w.token()))],
                    target=f"/accounts?access_token={w.token()}",
                ),
                {},
            ),
            (
                "query of a mixed server",
                lambda w: Request(
                    headers=[], target=f"/accounts?a=b&access_token={w.unbound_token()}"
                ),
                MIXED,
            ),
            (
                "query, the name escaped",
                lambda w: Request(headers=[], target="/accounts?access%5Ftoken=x"),
                {},
            ),
            (
                "query beside the header",
                with_proof(bound, target="/accounts?access_token=x"),
                {},
            ),
            (
                "form",
                lambda w: Request(
                    headers=[FORM, ("DPoP", w.proof(w.token()))],
                    method="POST",
                    body=f"a=b&access_token={w.token()}".encode(),
                ),
                {},
            ),
            (
                "form beside the header",
                with_proof(
                    bound,
                    proof=proof_with(method="POST"),
                    more=(FORM,),
                    method="POST",
                    body=b"access_token=x",
                ),
                {},
            ),
        ]
    ),
    Case(
        name="a form without a token",
        request=with_proof(
            bound,
            proof=proof_with(method="POST"),
            more=(FORM,),
            method="POST",
            body=b"amount=10",
        ),
        status=200,
        spent=1,
        ids=("P-8",),
    ),
    Case(
        name="content that is no form",
        request=with_proof(
            bound,
            proof=proof_with(method="POST"),
            more=(("Content-Type", "text/plain"),),
            method="POST",
            body=b"access_token=x",
        ),
        status=200,
        spent=1,
        ids=("P-8",),
    ),
    Case(
        name="token too long",
        request=with_proof(lambda w: "a" * (16 * 1024 + 1)),
        status=401,
        error="invalid_token",
        ids=("P-16",),
    ),
]

#: The field that carries the proof.
PROOF_FIELD = [
    *(
        Case(
            name=f"field name {name}",
            request=carrying(field_named(name)),
            status=200,
            spent=1,
            ids=("H-1",),
        )
        for name in ("dpop", "DPOP", "Dpop")
    ),
    *(
        Case(
            name=f"DPoP field: {lines!r}",
            request=proofs(*lines),
            status=401,
            error=IDP,
            ids=(*ids, "P-16"),
        )
        for lines, ids in [
            (("",), ("H-4",)),
            ((" ",), ("H-3",)),
            (("{proof}", "{proof}"), ("C-1", "J-15")),
            (("{proof}", ""), ("C-1",)),
            (("", "{proof}"), ("C-1",)),
            (("{proof}, {proof}",), ("C-1",)),
            (("{proof},",), ("C-1",)),
            (("{proof}=",), ("H-3",)),
            (("{proof}.",), ("H-3",)),
            (("{proof}~",), ("H-3",)),
            (("DPoP {proof}",), ("H-3",)),
            (('"{proof}"',), ("H-3",)),
            (("{proof}\xe9",), ("H-3",)),
            (("garbage",), ("H-3",)),
            (("..",), ("C-2",)),
            (("a" * 8193,), ("C-2",)),
        ]
    ),
    Case(
        name="proof in another letter case",
        request=with_proof(bound, proof=lambda w, t: w.proof(t).swapcase()),
        status=401,
        error=IDP,
        ids=("H-2",),
    ),
    *(
        Case(
            name=f"proof in the {name}",
            request=request,
            status=401,
            error=IDP,
            ids=("H-5",),
        )
        for name, request in [
            (
                "query",
                carrying(
                    lambda w, t: Request(
                        headers=[], target=f"/accounts?DPoP={w.proof(t)}"
                    )
                ),
            ),
            (
                "cookie",
                carrying(
                    lambda w, t: Request(headers=[("Cookie", f"DPoP={w.proof(t)}")])
                ),
            ),
            (
                "form",
                carrying(
                    lambda w, t: Request(
                        headers=[FORM],
                        method="POST",
                        body=f"DPoP={w.proof(t, method='POST')}".encode(),
                    )
                ),
            ),
        ]
    ),
]

#: Proofs that are well-formed and say the wrong thing.
PROOFS = [
    *(
        Case(
            name=f"proof: {name}",
            request=with_proof(bound, proof=proof),
            status=401,
            error=IDP,
            ids=(*ids, "P-16", "P-2"),
        )
        for name, proof, ids in [
            ("another method", proof_with(method="POST"), ("C-8",)),
            ("method in lower case", proof_with(method="get"), ("C-8",)),
            ("another path", proof_with(url=AUDIENCE + "/transfers"), ("C-9",)),
            ("another host", proof_with(url="https://x.example/accounts"), ("C-9",)),
            (
                "plain http",
                proof_with(url="http://api.example.com/accounts"),
                ("C-9",),
            ),
            ("trailing slash", proof_with(url=AUDIENCE + "/accounts/"), ("C-9",)),
            ("no ath", lambda w, t: w.proof(None), ("S-9",)),
            ("ath of another token", lambda w, t: w.proof(t + "x"), ("C-12a", "X-24")),
            (
                "too old",
                lambda w, t: w.proof(t, now=w.clock.now - 66),
                ("X-14", "C-11"),
            ),
            (
                "from the future",
                lambda w, t: w.proof(t, now=w.clock.now + 31),
                ("X-17", "T28"),
            ),
            ("typ", lambda w, t: signed_proof(w, t, typ="jwt"), ("C-4",)),
            ("crit", lambda w, t: signed_proof(w, t, crit=["b64"]), ("C-2c",)),
            ("no jti", lambda w, t: signed_proof(w, t, jti=None), ("S-4", "C-3")),
            ("iat is true", lambda w, t: signed_proof(w, t, iat=True), ("S-8", "C-3")),
            (
                "a private key",
                lambda w, t: signed_proof(w, t, jwk=w.key.as_dict(private=True)),
                ("C-7",),
            ),
            (
                "a key of another curve",
                lambda w, t: signed_proof(
                    w, t, jwk=w.key.as_dict(private=False) | {"crv": "P-384"}
                ),
                ("C-5b",),
            ),
            (
                "another key than signed",
                lambda w, t: signed_proof(w, t, jwk=w.other_key.as_dict(private=False)),
                ("C-6",),
            ),
            (
                "a symmetric proof where none is accepted",
                symmetric_proof_with(),
                ("R1504", "P-16"),
            ),
            ("the access token itself", lambda w, t: t, ("X-21",)),
        ]
    ),
    *(
        Case(
            name=f"accepted: {name}",
            request=with_proof(bound, proof=proof, target=target),
            status=200,
            spent=1,
            ids=ids,
        )
        for name, proof, target, ids in [
            (
                "65 s old",
                lambda w, t: w.proof(t, now=w.clock.now - 65),
                "/accounts",
                ("X-14",),
            ),
            (
                "30 s ahead",
                lambda w, t: w.proof(t, now=w.clock.now + 30),
                "/accounts",
                ("X-17",),
            ),
            (
                "query in the request",
                proof_with(),
                "/accounts?page=2",
                ("N-2",),
            ),
            ("more claims", proof_with(claims={"x": 1}), "/accounts", ("X-23", "S-12")),
            (
                "a nonce where none is asked",
                proof_with(nonce="x"),
                "/accounts",
                ("C-10",),
            ),
        ]
    ),
    Case(
        name="a method override is ignored",
        request=with_proof(
            bound,
            proof=proof_with(method="DELETE"),
            more=(("X-HTTP-Method-Override", "DELETE"),),
            method="POST",
        ),
        status=401,
        error=IDP,
        ids=("C-8",),
    ),
]

#: Tokens that are not valid here, sent with a proof by the right key.
TOKENS = [
    Case(
        name=f"token: {name}",
        request=with_proof(token),
        status=401,
        error="invalid_token",
        ids=(*ids, "P-16", "P-2"),
    )
    for name, token, ids in [
        ("expired", lambda w: w.token(exp=w.clock.now), ("J-8",)),
        ("not valid yet", lambda w: w.token(nbf=w.clock.now + 61), ("J-8",)),
        ("another issuer", changed(iss="https://other.example"), ("J-8",)),
        ("another audience", changed(aud="https://other.example"), ("J-8",)),
        ("no audience", changed(aud=None), ("J-8",)),
        ("typ JWT", changed(header={"typ": "JWT"}), ("J-8", "J-13")),
        ("a proof", lambda w: w.proof(None), ("X-21", "J-8")),
        ("garbage", lambda w: "garbage", ("P-17",)),
        ("no client", changed(client_id=None), ("J-8",)),
        ("cnf is empty", changed(cnf={}), ("B-8",)),
        ("cnf is a string", changed(cnf="x"), ("B-8",)),
        ("cnf is an array", changed(cnf=["x"]), ("B-8",)),
        ("jkt is empty", changed(cnf={"jkt": ""}), ("B-8",)),
        ("jkt is no string", changed(cnf={"jkt": 1}), ("B-8",)),
        (
            "jkt is too short",
            lambda w: w.token(cnf={"jkt": w.jkt[:-1]}),
            ("B-8", "X-25"),
        ),
        ("bound to a certificate", changed(cnf={"x5t#S256": "a" * 43}), ("J-19",)),
        (
            "bound to a certificate too",
            lambda w: w.token(cnf={"jkt": w.jkt, "x5t#S256": "a" * 43}),
            ("B-9",),
        ),
    ]
]

#: Nonces and scopes.
NONCES_AND_SCOPES = [
    *(
        Case(
            name=f"nonce: {name}",
            request=with_proof(bound, proof=proof),
            setting=NONCES,
            status=401,
            error="use_dpop_nonce",
            nonce=True,
            ids=("Q-12", "Q-13", "Q-6", "Q-4", "C-10", "P-16", *ids),
        )
        for name, proof, ids in [
            ("none", proof_with(nonce=None), ("Q-16",)),
            ("made up", proof_with(nonce="a" * 22), ("Q-5",)),
            ("no string", lambda w, t: signed_proof(w, t, nonce=1), ("Q-5",)),
            (
                "three steps old",
                lambda w, t: w.proof(t, nonce=w.nonce(age=3)),
                ("Q-7",),
            ),
            (
                "of the authorization server",
                lambda w, t: w.proof(
                    t, nonce=w.nonces.issue(purpose="as", now=w.clock.now)
                ),
                ("Q-20",),
            ),
            (
                "none, and too old as well",
                lambda w, t: w.proof(t, nonce=None, now=w.clock.now - 600),
                ("C-11",),
            ),
        ]
    ),
    Case(
        name="nonce is good, but the proof is old",
        request=with_proof(bound, proof=lambda w, t: w.proof(t, now=w.clock.now - 66)),
        setting=NONCES,
        status=401,
        error=IDP,
        ids=("X-18",),
    ),
    Case(
        name="nonce is current",
        request=with_proof(bound),
        setting=NONCES,
        status=200,
        spent=1,
        ids=("Q-9",),
    ),
    *(
        Case(
            name=f"nonce is {age} steps old",
            request=with_proof(bound, proof=proof_with_nonce_of(age)),
            setting=NONCES,
            status=200,
            nonce=True,
            spent=1,
            ids=("Q-7", "Q-9", "Q-4", "Q-11"),
        )
        for age in (1, 2)
    ),
    Case(
        name="scope is missing",
        request=with_proof(changed(scope="transfers")),
        status=403,
        error="insufficient_scope",
        ids=("P-16", "J-14", "P-9"),
    ),
    Case(
        name="scope is missing, mixed server",
        request=with_proof(changed(scope=None)),
        setting=MIXED,
        status=403,
        error="insufficient_scope",
        ids=("J-14", "D-6"),
    ),
    Case(
        name="scope is missing, and the nonce is old",
        request=with_proof(
            changed(scope="transfers"),
            proof=lambda w, t: w.proof(t, nonce=w.nonce(age=1)),
        ),
        setting=NONCES,
        status=403,
        error="insufficient_scope",
        nonce=True,
        ids=("Q-4",),
    ),
    Case(
        name="scope is missing, and the proof is by another key",
        request=with_proof(
            changed(scope="transfers"), proof=lambda w, t: w.proof(t, key=w.other_key)
        ),
        status=401,
        error="invalid_token",
        ids=("P-3",),
    ),
]


def _revoke(world: World) -> str:
    token = world.symmetric_token()
    world.keyring.replace(ring(secret(7, "revoked"), secret(8)))
    return token


def _retire(world: World) -> str:
    token = world.symmetric_token()
    world.keyring.replace(ring(secret(7, "retired"), secret(8)))
    return token


def _bad_mac(world: World, token: str) -> str:
    head, _, tag = world.symmetric_proof(token).rpartition(".")
    return f"{head}.{'A' if tag[0] != 'A' else 'B'}{tag[1:]}"


#: Symmetric proofs: the DPoP Symmetric Profile.
SYMMETRIC_PROOFS = [
    Case(
        name="symmetric proof",
        request=with_proof(symmetric, proof=symmetric_proof_with()),
        setting=SYMMETRIC,
        status=200,
        spent=1,
        ids=("R1501",),
    ),
    Case(
        name="asymmetric proof for a token with a symmetric key",
        request=with_proof(symmetric),
        setting=SYMMETRIC,
        status=200,
        spent=1,
        ids=("R1301",),
    ),
    Case(
        name="symmetric proof, nonce is old",
        request=with_proof(
            symmetric,
            proof=lambda w, t: w.symmetric_proof(t, nonce=w.nonce(age=1)),
        ),
        setting=SYMMETRIC | NONCES,
        status=200,
        nonce=True,
        spent=1,
        ids=("Q-9",),
    ),
    Case(
        name="symmetric proof without a nonce",
        request=with_proof(symmetric, proof=symmetric_proof_with(nonce=None)),
        setting=SYMMETRIC | NONCES,
        status=401,
        error="use_dpop_nonce",
        nonce=True,
        ids=("Q-12",),
    ),
    *(
        Case(
            name=f"symmetric proof: {name}",
            request=with_proof(token, proof=proof),
            setting=SYMMETRIC,
            status=401,
            error=IDP,
            ids=ids,
        )
        for name, token, proof, ids in [
            ("bad MAC", symmetric, _bad_mac, ("R1509",)),
            (
                "another method",
                symmetric,
                symmetric_proof_with(method="POST"),
                ("C-8",),
            ),
            (
                "another path",
                symmetric,
                symmetric_proof_with(url=AUDIENCE + "/x"),
                ("C-9", "T23"),
            ),
            (
                "too old",
                symmetric,
                lambda w, t: w.symmetric_proof(t, now=w.clock.now - 66),
                ("X-14",),
            ),
            (
                "another token's ath",
                symmetric,
                lambda w, t: w.symmetric_proof(t + "x"),
                ("R1404",),
            ),
            (
                "another algorithm",
                lambda w: w.symmetric_token(alg="HS512"),
                symmetric_proof_with(),
                ("R1403",),
            ),
            ("a token without a key", bound, symmetric_proof_with(), ("R1509",)),
            (
                "a proof of no known type",
                symmetric,
                lambda w, t: signed_proof(w, t, typ="x"),
                ("R1401",),
            ),
        ]
    ),
    *(
        Case(
            name=f"symmetric proof, token: {name}",
            request=with_proof(token, proof=symmetric_proof_with()),
            setting=SYMMETRIC,
            status=401,
            error="invalid_token",
            ids=ids,
        )
        for name, token, ids in [
            (
                "of another audience",
                lambda w: w.token(aud="https://other.example"),
                ("R1501",),
            ),
            (
                "of two audiences",
                lambda w: w.token(
                    aud=[AUDIENCE, "https://other.example"],
                    cnf={
                        "jkt": w.jkt,
                        "dsk": {"alg": "HS256", "v": 7, "r": b64url_encode(bytes(32))},
                    },
                ),
                ("R1302",),
            ),
            ("garbage", lambda w: "garbage", ("P-17",)),
            (
                "of a version that cannot be",
                lambda w: w.symmetric_token(version=10),
                ("R1507",),
            ),
            (
                "not signed by the issuer",
                lambda w: w.symmetric_token()[:-4] + "AAAA",
                ("R1509", "P-2"),
            ),
        ]
    ),
    *(
        Case(
            name=f"symmetric proof, {name} version",
            request=with_proof(token, proof=symmetric_proof_with()),
            setting=SYMMETRIC,
            status=401,
            error="invalid_token",
            sym_error="stale_key",
            ids=("R1506",),
        )
        for name, token in [("revoked", _revoke), ("retired", _retire)]
    ),
    Case(
        name="symmetric proof, the key has expired",
        request=with_proof(
            lambda w: w.symmetric_token(exp=w.clock.now), proof=symmetric_proof_with()
        ),
        setting=SYMMETRIC,
        status=401,
        error="invalid_token",
        sym_error="expired_key",
        ids=("R1506",),
    ),
    *(
        Case(
            name=f"symmetric proof, version {ahead} ahead",
            request=with_proof(
                symmetric_of(version=7 + ahead),
                proof=symmetric_proof_with(),
            ),
            setting=SYMMETRIC,
            status=401,
            error="use_dpop_asymmetric",
            sym_error="unknown_key",
            retry_after=True,
            ids=("R1507",),
        )
        for ahead in (1, 2)
    ),
    Case(
        name="symmetric proof, scope is missing",
        request=with_proof(
            lambda w: w.token(
                scope="x",
                cnf={
                    "jkt": w.jkt,
                    "dsk": {
                        "alg": "HS256",
                        "v": 7,
                        "r": b64url_encode(bytes(range(100, 132))),
                    },
                },
            ),
            proof=symmetric_proof_with(),
        ),
        setting=SYMMETRIC,
        status=403,
        error="insufficient_scope",
        ids=("J-14",),
    ),
]

CASES = [
    *MATRIX,
    *CREDENTIALS,
    *PROOF_FIELD,
    *PROOFS,
    *TOKENS,
    *NONCES_AND_SCOPES,
    *SYMMETRIC_PROOFS,
]
