"""auth0-api-python as the resource server: each line of the input is a request."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from auth0_api_python import (  # type: ignore[import-not-found]
    ApiClient,
    ApiClientOptions,
)
from auth0_api_python.errors import BaseAuthError  # type: ignore[import-not-found]


def report(step: str, **fields: Any) -> None:
    """Print what became of a request."""
    print(json.dumps({"step": step, **fields}), flush=True)  # noqa: T201


async def main() -> None:
    """Verify the requests."""
    inputs = json.loads(sys.argv[1])

    async def fetch(url: str) -> Any:
        # It asks the issuer by https only.
        return inputs["documents"][url]

    verifier = ApiClient(
        ApiClientOptions(
            domain=inputs["domain"],
            audience=inputs["audience"],
            custom_fetch=fetch,
            dpop_required=True,
        )
    )
    report("ready")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            claims = await verifier.verify_request(
                request["headers"], request["method"], request["url"]
            )
        except BaseAuthError as error:
            report("refused", reason=str(error))
        else:
            report("verified", claims=claims)


if __name__ == "__main__":
    asyncio.run(main())
