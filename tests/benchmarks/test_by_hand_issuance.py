"""The issuance by hand: it gives what a server gives, and refuses what it should."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from werkzeug.test import run_wsgi_app

from benchmarks.by_hand import RefusedError
from benchmarks.issuance import application, request
from benchmarks.world import AUDIENCE, CLIENT, EC_KEY, ISSUER, NOW, SECRET
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.derivation import symmetric_key

KEY = OKPKey.generate_key("X25519")


def _respond(app: Any, environ: dict[str, Any]) -> dict[str, Any]:
    body, status, _ = run_wsgi_app(app, environ)
    assert status == "200 OK"
    token: dict[str, Any] = json.loads(b"".join(body))
    return token


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "the package"])
def test_the_key_that_is_delivered_is_that_of_the_token(by_hand: bool) -> None:
    app = application(dpop=True, by_hand=by_hand)
    token = _respond(app, request(dpop=True, key_for="new", key=KEY))
    claims = json.loads(b64url_decode(token["access_token"].split(".")[1]))
    dsk = claims["cnf"]["dsk"]
    delivered = unwrap_key(
        token["cnf"]["jwe"],
        private_key=KEY,
        algorithms=["HS256"],
        key_algorithms=["ECDH-ES"],
        encodings=["A256GCM"],
        issuer=ISSUER,
        audience=AUDIENCE,
        access_token=token["access_token"],
        now=NOW,
    )
    assert token["cnf"]["jkt"] == claims["cnf"]["jkt"] == EC_KEY.thumbprint()
    assert delivered.expires_at == dsk["exp"] == claims["exp"]
    assert delivered.key.reveal() == symmetric_key(
        SECRET.reveal(),
        algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        client_id=CLIENT,
        jkt=EC_KEY.thumbprint(),
        version=dsk["v"],
        r=b64url_decode(dsk["r"]),
    )


@pytest.mark.parametrize("changed", ["signature", "used", "no key"])
def test_what_is_not_good_is_refused(changed: str) -> None:
    app = application(dpop=True, by_hand=True)
    app.testing = True
    environ = request(
        dpop=True, key_for=None if changed == "no key" else "new", key=KEY
    )
    if changed == "signature":
        head, _, tail = environ["HTTP_DPOP"].rpartition(".")
        other = "B" if tail[0] == "A" else "A"
        environ["HTTP_DPOP"] = f"{head}.{other}{tail[1:]}"
    if changed == "used":
        _respond(app, dict(environ))
        environ["wsgi.input"].seek(0)
    with pytest.raises(RefusedError):
        run_wsgi_app(app, environ)
