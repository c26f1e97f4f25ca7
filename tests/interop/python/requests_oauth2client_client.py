"""requests_oauth2client as a client of the demo servers; it answers challenges."""

from __future__ import annotations

from contextlib import suppress

from requests_oauth2client import (  # type: ignore[import-not-found]
    ClientSecretBasic,
    DPoPKey,
    MissingDPoPNonce,
    OAuth2Client,
    PublicApp,
)

from tests.interop.python.exchange import start


def main() -> None:
    """Go through the steps."""
    inputs, session, http = start()
    issuer, api = inputs["issuer"], inputs["api"]

    service = OAuth2Client(
        f"{issuer}/token",
        auth=ClientSecretBasic("demo-confidential", inputs["secret"]),
        session=session,
        dpop_bound_access_tokens=True,
        dpop_alg=inputs["algorithm"],
        testing=True,  # takes http
    )
    token = service.client_credentials(scope="accounts")
    http.report("client_credentials", tokenType=token.token_type)
    http.send_again()
    http.report("replay_at_token_endpoint")
    session.get(f"{api}/api/accounts", auth=token)
    http.report("accounts")

    app = OAuth2Client(
        f"{issuer}/token",
        auth=PublicApp("demo-public"),
        authorization_endpoint=f"{issuer}/authorize",
        redirect_uri=inputs["redirectUri"],
        issuer=issuer,
        authorization_response_iss_parameter_supported=True,
        session=session,
        testing=True,
    )
    request = app.authorization_request(
        scope="accounts transfers profile",
        dpop_key=DPoPKey.generate(inputs["algorithm"]),
    )
    callback = request.validate_callback(http.authorize(request.uri))
    token = app.authorization_code(callback)
    http.report("authorization_code", tokenType=token.token_type)
    token = app.refresh_token(token)
    http.report("refresh_token", tokenType=token.token_type)

    user = session.get(f"{issuer}/userinfo", auth=token).json()
    http.report("userinfo", subject=user["sub"])
    order = {"to": "bob", "amount": 10}
    session.post(f"{api}/api/transfers", json=order, auth=token)
    http.report("transfers")
    http.send_again()
    http.report("replay")
    http.divert(f"{api}/api/accounts")
    # It takes every 401 with a DPoP challenge for one that brings a nonce.
    with suppress(MissingDPoPNonce):
        session.get(f"{api}/api/echo/elsewhere", auth=token)
    http.report("other_target")


if __name__ == "__main__":
    main()
