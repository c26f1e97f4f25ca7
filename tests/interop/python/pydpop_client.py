"""pydpop as a client of the demo servers; it adds proofs and answers challenges."""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

from pydpop import (  # type: ignore[import-not-found]
    generate_key,
    jwk_thumbprint,
    public_jwk,
)
from pydpop.integrations.requests import DPoPAuth  # type: ignore[import-not-found]

from tests.interop.python.exchange import start


def main() -> None:
    """Go through the steps."""
    inputs, session, http = start()
    issuer, api = inputs["issuer"], inputs["api"]
    key = generate_key(alg=inputs["algorithm"])
    # One of these for each server: it knows one nonce.
    at_token_endpoint = DPoPAuth(key)

    credentials = f"demo-confidential:{inputs['secret']}".encode()
    token = session.post(
        f"{issuer}/token",
        data={"grant_type": "client_credentials", "scope": "accounts"},
        headers={"Authorization": f"Basic {base64.b64encode(credentials).decode()}"},
        auth=at_token_endpoint,
    ).json()
    http.report("client_credentials", tokenType=token["token_type"])
    http.send_again()
    http.report("replay_at_token_endpoint")
    access_token = token["access_token"]
    authorization = {"Authorization": f"DPoP {access_token}"}
    at_api = DPoPAuth(key, access_token=access_token)
    session.get(f"{api}/api/accounts", headers=authorization, auth=at_api)
    http.report("accounts")

    key = generate_key(alg=inputs["algorithm"])
    at_token_endpoint = DPoPAuth(key)
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    query = urlencode(
        {
            "response_type": "code",
            "client_id": "demo-public",
            "redirect_uri": inputs["redirectUri"],
            "scope": "accounts transfers profile",
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
            "dpop_jkt": jwk_thumbprint(public_jwk(key)),
        }
    )
    callback = http.authorize(f"{issuer}/authorize?{query}")
    token = session.post(
        f"{issuer}/token",
        data={
            "grant_type": "authorization_code",
            "client_id": "demo-public",
            "code": parse_qs(urlsplit(callback).query)["code"][0],
            "redirect_uri": inputs["redirectUri"],
            "code_verifier": verifier,
        },
        auth=at_token_endpoint,
    ).json()
    http.report("authorization_code", tokenType=token["token_type"])
    token = session.post(
        f"{issuer}/token",
        data={
            "grant_type": "refresh_token",
            "client_id": "demo-public",
            "refresh_token": token["refresh_token"],
        },
        auth=at_token_endpoint,
    ).json()
    http.report("refresh_token", tokenType=token["token_type"])

    access_token = token["access_token"]
    authorization = {"Authorization": f"DPoP {access_token}"}
    at_userinfo = DPoPAuth(key, access_token=access_token)
    at_api = DPoPAuth(key, access_token=access_token)
    user = session.get(f"{issuer}/userinfo", headers=authorization, auth=at_userinfo)
    http.report("userinfo", subject=user.json()["sub"])
    order = {"to": "bob", "amount": 10}
    session.post(f"{api}/api/transfers", json=order, headers=authorization, auth=at_api)
    http.report("transfers")
    http.send_again()
    http.report("replay")
    http.divert(f"{api}/api/accounts")
    session.get(f"{api}/api/echo/elsewhere", headers=authorization, auth=at_api)
    http.report("other_target")


if __name__ == "__main__":
    main()
