"""What the demo starts with: its clients and one user. All public."""

from __future__ import annotations

from typing import Any

#: The scopes, and how the consent page explains them.
SCOPES = {
    "accounts": "See your accounts and their balances",
    "transfers": "Make transfers from your accounts",
    "profile": "See your name",
}

#: What a native application listens on while it waits for the browser, at any port.
LOOPBACK_CALLBACKS = ["http://127.0.0.1/callback", "http://[::1]/callback"]

USERNAME = "alice"
PASSWORD = "wonderland"
DISPLAY_NAME = "Alice Liddell"

CONFIDENTIAL_SECRET = "demo-confidential-secret"

#: Who may act with the tokens of the confidential client.
DELEGATE_ID = "demo-delegate"
DELEGATE_SECRET = "demo-delegate-secret"

#: The page, and where the authorization server sends people back to it.
BROWSER_ID = "demo-browser"
BROWSER_CALLBACK = "/callback"

#: As which client the resource server asks for secrets and about tokens, once it is
#: registered.
RESOURCE_SERVER_ID = "demo-resource-server"


def clients(resource: str) -> list[dict[str, Any]]:
    """Return the metadata of the built-in clients (:rfc:`7591#section-2`).

    :param resource: the one audience of the demo.
    """
    return [
        {
            "client_id": "demo-public",
            "client_name": "Demo application",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": LOOPBACK_CALLBACKS,
            "scope": " ".join(SCOPES),
            "audiences": [resource],
        },
        {
            "client_id": DELEGATE_ID,
            "client_secret": DELEGATE_SECRET,
            "client_name": "Demo delegate",
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "response_types": [],
            "scope": " ".join(SCOPES),
            "audiences": [resource],
        },
        {
            "client_id": "demo-confidential",
            "client_secret": CONFIDENTIAL_SECRET,
            "client_name": "Demo web service",
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
            ],
            "response_types": ["code"],
            "redirect_uris": LOOPBACK_CALLBACKS,
            "scope": " ".join(SCOPES),
            "audiences": [resource],
            "may_act": {"sub": DELEGATE_ID},
        },
    ]


def browser_client(origin: str, *, resource: str) -> dict[str, Any]:
    """Return the metadata of the page, which runs in a browser.

    :param origin: of the page.
    :param resource: as of :func:`clients`.
    """
    return {
        "client_id": BROWSER_ID,
        "client_name": "Demo page",
        "client_uri": origin,
        "application_type": "web",
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": [origin + BROWSER_CALLBACK],
        "scope": " ".join(SCOPES),
        "audiences": [resource],
        "dpop_bound_access_tokens": True,
        # Clients in browsers get no symmetric keys unless somebody says so.
        "dpop_symmetric_key": "on_request",
    }
