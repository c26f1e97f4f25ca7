"""The code in docs/tickets.md runs, with a real Redis."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from dpop_ext.client.destination import Destination
from dpop_ext.resource_server import protected_resource_metadata

FILE = Path(__file__).parent.parent.parent / "docs" / "tickets.md"


def test_the_code_of_the_document_runs(redis: Any) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", FILE.read_text(), re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {
        "redis_url": redis.url,
        "row_key": secrets.token_bytes(32),
        "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    }
    server, logout, client = (compile(block, FILE.name, "exec") for block in blocks)
    exec(server, names)
    exec(logout, names)
    verifier = names["verifier"]
    names["metadata"] = protected_resource_metadata(
        verifier, resource=verifier.audience
    )
    exec(client, names)

    tickets = verifier.tickets
    assert tickets.keys.load().current(now=int(verifier.clock())) is not None
    now = int(verifier.clock())
    assert tickets.find_logout(issuer=verifier.issuer, jkt=names["jkt"], now=now)
    ring = vars(names["signer"])["_tickets"]
    assert ring.find_server(Destination.of("https://api.example/x")) == names["server"]
    for store in (names["table"], tickets.logouts, verifier.replay_store):
        store.close()
