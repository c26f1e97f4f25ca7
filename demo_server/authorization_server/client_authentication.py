"""Client authentication by HTTP Basic that survives any input (RFC 6749 2.3)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc6749.authenticate_client import (
    authenticate_client_secret_basic as authlib_client_secret_basic,
)
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from flask import request as flask_request

from demo_server.models import Client
from dpop_ext.authorization_server.errors import TooManyError

#: So many wrong secrets of one client, from one address, in so many seconds. Secrets
#: are long and random: this keeps the time short that their checks take, no more.
MAX_FAILURES = 100
WINDOW = 300
#: Pairs of client and address that are remembered.
MAX_PAIRS = 10_000


class ClientSecretBasic:
    """Authlib's method, within a limit for each worker process.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: End of the period and failures in it, by client and address.
        self._failures: OrderedDict[tuple[str, str | None], tuple[float, int]] = (
            OrderedDict()
        )

    def __call__(
        self, query_client: Callable[[str], Client | None], request: Any
    ) -> Client | None:
        """Return the client, if its secret is right.

        :raises TooManyError: too many were wrong lately. This one was not looked at.
        :raises InvalidClientError: there is no such client, or the credentials are no
            text.
        """
        try:
            client_id, _ = extract_basic_authorization(request.headers)
            pair = client_id or "", flask_request.remote_addr
            self._refuse_over_limit(pair)
            client: Client | None = authlib_client_secret_basic(query_client, request)
        except ValueError as error:
            raise InvalidClientError(
                "The client credentials are malformed.", status_code=401
            ) from error
        if client_id and client is None:
            self._count(pair)
        return client

    def _refuse_over_limit(self, pair: tuple[str, str | None]) -> None:
        with self._lock:
            end, failures = self._failures.get(pair, (0.0, 0))
        if failures >= MAX_FAILURES and self._clock() < end:
            raise TooManyError

    def _count(self, pair: tuple[str, str | None]) -> None:
        now = self._clock()
        with self._lock:
            end, failures = self._failures.pop(pair, (0.0, 0))
            # A clock that was set back must not make the period longer.
            if not now < end <= now + WINDOW:
                end, failures = now + WINDOW, 0
            self._failures[pair] = end, failures + 1
            if len(self._failures) > MAX_PAIRS:
                self._failures.popitem(last=False)
