"""A page at an origin of its own: a public client of both servers, in JavaScript.

Its files are in ``static``; no build step stands between them and the browser.
"""

from __future__ import annotations

from demo_server.browser_client.page_server import PageServer

__all__ = ["PageServer"]
