"""The ways to a symmetric key, and what each costs in bytes for one token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests

from demo_client import transcript
from demo_client.browser import TIMEOUT
from demo_client.report import Report
from demo_client.servers import Servers
from demo_server import demo_data
from dpop_ext import ProofSigner
from dpop_ext.client.key_material import KeyMaterial

CLIENT_ID = "demo-confidential"


def run(servers: Servers, report: Report) -> None:
    """Get a token in each way that the servers have, and use it once."""
    transcript.heading("What a symmetric key costs, once for a token")
    if servers.derives_keys:
        transcript.why(
            "derived: the token names a version of the secret and a random value; "
            "composite: the client made a part of that value, and sees that it was used"
        )
    else:
        transcript.why(
            "encrypted: the token brings the key along, for the resource server alone, "
            "so the servers share no secret; the client may contribute to it"
        )
    transcript.fact("bytes", "   token  request proof  key in response  call proof")
    for name, signer, options in _ways(servers):
        _show(servers, report, name, signer, options)


def _ways(servers: Servers) -> Iterator[tuple[str, ProofSigner, dict[str, Any]]]:
    yield "no symmetric key", ProofSigner.generate(symmetric="never"), {}
    if servers.derives_keys:
        yield "derived", ProofSigner.generate(), {}
        yield "composite", ProofSigner.generate(compose=True), {}
        return
    yield "encrypted", ProofSigner.generate(), {}
    jwks_uri = servers.authorization.document["jwks_uri"]
    jwks = requests.get(jwks_uri, timeout=TIMEOUT).json()
    material = KeyMaterial.of(jwks, client_id=CLIENT_ID)
    yield "with key material", ProofSigner.generate(), {"key_material": material}


def _show(
    servers: Servers,
    report: Report,
    name: str,
    signer: ProofSigner,
    options: dict[str, Any],
) -> None:
    session = servers.session(
        CLIENT_ID,
        client_secret=demo_data.CONFIDENTIAL_SECRET,
        dpop=signer,
        **options,
    )
    answers = servers.keep_answers(session)
    token = session.fetch_token(grant_type="client_credentials")
    call = session.get(f"{servers.rs_url}/api/accounts")
    delivered = answers[-1].json().get("cnf", {}).get("jwe", "")
    transcript.fact(
        name,
        f"{len(token['access_token']):>8}"
        f"{len(answers[-1].request.headers['DPoP']):>15}"
        f"{len(delivered):>17}"
        f"{len(call.request.headers['DPoP']):>12}",
    )
    expected = "asymmetric" if signer.symmetric == "never" else "symmetric"
    kind = call.json().get("proof", "none") if call.ok else f"{call.status_code}"
    report.add(f"{name}: kind of proof", expected=expected, got=kind)
    session.close()
