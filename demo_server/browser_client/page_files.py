"""The files of the page, and the header fields that they are served with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from demo_server import demo_data
from demo_server.settings import Settings

_STATIC: Final = Path(__file__).parent / "static"
#: The page shares colours and sign with those of the authorization server.
_PAGES: Final = Path(__file__).parent.parent / "authorization_server/static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def read_files(settings: Settings) -> dict[str, tuple[str, bytes]]:
    """Return media type and content by path: nothing else can be asked for."""
    files = {
        f"/{path.name}": (_TYPES[path.suffix], path.read_bytes())
        for path in (*_STATIC.iterdir(), _PAGES / "base.css", _PAGES / "icon.svg")
    }
    # Where the authorization server sends people back to is the same page.
    files["/"] = files[demo_data.BROWSER_CALLBACK] = files.pop("/index.html")
    files["/config.js"] = (_TYPES[".js"], _config(settings).encode())
    return files


def _config(settings: Settings) -> str:
    values = {
        "issuer": settings.issuer_url,
        "resource": settings.resource_url,
        "clientId": demo_data.BROWSER_ID,
        "redirectUri": f"{settings.client_url}{demo_data.BROWSER_CALLBACK}",
        "scope": " ".join(demo_data.SCOPES),
    }
    return "".join(
        f"export const {name} = {json.dumps(value)};\n"
        for name, value in values.items()
    )


def header_fields(settings: Settings) -> dict[str, str]:
    """Return what every answer says."""
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        # A script that got in all the same can send what it finds nowhere else.
        f"connect-src {settings.issuer_url} {settings.resource_url}",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # No text ever becomes markup or script.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        # The two give the page a process of its own, and with it a clock that is fine
        # enough to tell one kind of proof from the other.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
