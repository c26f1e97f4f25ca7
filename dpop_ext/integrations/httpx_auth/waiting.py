"""How an ``auth=`` of httpx or httpx2 waits for another request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from concurrent.futures import wait
from contextlib import closing, suppress
from typing import Any

from dpop_ext.client.nonces import FIRST_ANSWER_WAIT
from dpop_ext.integrations.httpx_auth.limited import limit
from dpop_ext.integrations.httpx_auth.signed_request import Sending, is_future
from dpop_ext.integrations.httpx_auth.transport import wait_for_first


class WaitingAuth:
    """Runs a flow in a blocking client, or in one of any asynchronous framework."""

    requires_request_body = False
    requires_response_body = False

    def auth_flow(self, request: Any) -> Sending:
        """Sign *request*; see the subclasses."""
        yield request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Run the flow in a blocking client."""
        if self.requires_request_body:
            request.read()
        with closing(self.auth_flow(request)) as flow:
            response = None
            with suppress(StopIteration):
                while True:
                    step = flow.send(response)
                    response = None
                    if is_future(step):
                        wait([step], timeout=FIRST_ANSWER_WAIT)
                        continue
                    response = yield step
                    if self.requires_response_body:
                        limit(response)
                        response.read()

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Run the flow where other tasks go on while one waits."""
        if self.requires_request_body:
            await request.aread()
        with closing(self.auth_flow(request)) as flow:
            response = None
            with suppress(StopIteration):
                while True:
                    step = flow.send(response)
                    response = None
                    if is_future(step):
                        await wait_for_first(step)
                        continue
                    response = yield step
                    if self.requires_response_body:
                        limit(response)
                        await response.aread()
