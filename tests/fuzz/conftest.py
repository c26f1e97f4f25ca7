"""The servers that are fuzzed, in both nonce modes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from joserfc.jwk import ECKey

from dpop_ext.resource_server import failure_limit
from tests.fuzz.running import Log, running
from tests.fuzz.servers import Servers
from tests.post_quantum import IS_SUPPORTED

#: By what nonces are: one of the servers takes long proofs in its forms, too.
POST_QUANTUM = {"off": "off", "required": "on" if IS_SUPPORTED else "off"}


def is_plain(line: str) -> bool:
    return line.isascii() and line.isprintable()


@pytest.fixture(scope="module", params=["off", "required"])
def servers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    ec_key: ECKey,
) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("fuzz")
    with (
        pytest.MonkeyPatch.context() as patch,
        running(
            directory,
            ec_key,
            nonce=request.param,
            post_quantum=POST_QUANTUM[request.param],
        ) as servers,
        Log() as log,
    ):
        # Behind the limit there would be nothing to see.
        patch.setattr(failure_limit, "LIMIT", 1_000_000)
        token, _ = servers.symmetric
        assert servers.api("GET", "/api/accounts", token).status_code == 200
        yield servers
    # Nothing that was sent makes a line of its own, or moves the cursor.
    assert log.lines
    assert [line for line in log.lines if not is_plain(line)] == []
