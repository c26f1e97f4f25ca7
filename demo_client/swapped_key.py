"""A thief puts a key of his own into a stolen token, and is found out."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import requests
from joserfc.jwk import ECKey, OKPKey

from demo_client import transcript
from demo_client.browser import TIMEOUT
from demo_client.journey import Client
from demo_client.key_models import CLIENT_ID
from demo_client.report import Report, outcome
from demo_client.servers import Servers
from demo_server import demo_data
from dpop_ext.core.proof_making import make_proof
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.proof import make_symmetric_proof


def run(client: Client, servers: Servers, report: Report) -> None:
    """Swap the encrypted key of the client's token for one that the thief knows."""
    transcript.heading("Attack: the stolen token with another encrypted key")
    transcript.why(
        "the thief has a token of his own, whose key he knows; but the encrypted key "
        "is under the signature of the token, and is decrypted for that token alone"
    )
    own, key = _own_token(servers)
    stolen: str = client.session.token["access_token"]
    header, payload, signature = stolen.split(".")
    claims = _read(payload)
    claims["cnf"]["jwe"] = _read(own.split(".")[1])["cnf"]["jwe"]
    forged = f"{header}.{_write(claims)}.{signature}"
    answer = _call(servers, forged, key)
    transcript.exchange(answer)
    report.add(
        "stolen token, swapped key", expected="401 invalid_token", got=outcome(answer)
    )
    # The key is good for the token that it came in.
    answer = _call(servers, own, key, nonce=answer.headers.get("DPoP-Nonce"))
    nonce = answer.headers.get("DPoP-Nonce")
    if nonce is not None and answer.status_code == requests.codes.unauthorized:
        answer = _call(servers, own, key, nonce=nonce)
    report.add("the thief's own token", expected="200", got=outcome(answer))


def _own_token(servers: Servers) -> tuple[str, DeliveredKey]:
    """Return a token of the thief, and its symmetric key."""
    key, wrapping = ECKey.generate_key("P-256"), OKPKey.generate_key("X25519")
    url = servers.authorization.token_endpoint
    claim = key_request_claim(algorithms=["HS256"], encryption_key=wrapping)
    nonce = None
    for _ in range(2):
        proof = make_proof(
            key,
            algorithm="ES256",
            method="POST",
            url=url,
            now=int(time.time()),
            nonce=nonce,
            claims={"dsk": claim},
        )
        response = requests.post(
            url,
            data={"grant_type": "client_credentials", "resource": servers.resource},
            auth=(CLIENT_ID, demo_data.CONFIDENTIAL_SECRET),
            headers={"DPoP": proof},
            timeout=TIMEOUT,
        )
        if response.ok:
            break
        nonce = response.headers.get("DPoP-Nonce")
    token: dict[str, Any] = response.json()
    delivered = unwrap_key(
        token["cnf"]["jwe"],
        private_key=wrapping,
        algorithms=["HS256"],
        key_algorithms=["ECDH-ES"],
        encodings=["A256GCM"],
        issuer=servers.issuer,
        audience=servers.resource,
        access_token=token["access_token"],
        now=int(time.time()),
    )
    return token["access_token"], delivered


def _call(
    servers: Servers, token: str, key: DeliveredKey, *, nonce: str | None = None
) -> requests.Response:
    url = f"{servers.rs_url}/api/accounts"
    proof = make_symmetric_proof(
        key.key,
        algorithm=key.algorithm,
        method="GET",
        url=url,
        now=int(time.time()),
        access_token=token,
        nonce=nonce,
    )
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    return requests.get(url, headers=headers, timeout=TIMEOUT)


def _read(segment: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return claims


def _write(claims: dict[str, Any]) -> str:
    data = json.dumps(claims, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
