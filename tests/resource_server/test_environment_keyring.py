"""Derivation secrets in an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import StaleKeyError
from dpop_ext.resource_server.environment_keyring import EnvironmentKeyring
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.resource_server.world import AUDIENCE, ISSUER

NOW = 1_790_000_000
KEY = os.urandom(32)
TEXT = b64url_encode(KEY)


def load(text: str) -> SecretRing:
    source = EnvironmentKeyring(
        "SECRETS", issuer=ISSUER, audience=AUDIENCE, environment={"SECRETS": text}
    )
    return source.load()


@pytest.mark.requirement("R2053")
def test_versions_are_read_with_their_states() -> None:
    other = b64url_encode(os.urandom(32))
    ring = load(
        f"7:active:{NOW + 10}:{TEXT}, 8:pending:{NOW + 20}:{other},6:revoked:1:"
    )
    assert [(e.version, e.state) for e in ring] == [
        (6, "revoked"),
        (7, "active"),
        (8, "pending"),
    ]
    found = ring.find(7, now=NOW).secret
    assert found is not None
    assert found.reveal() == KEY
    for version, now in ((6, NOW), (7, NOW + 10)):
        with pytest.raises(StaleKeyError):
            ring.find(version, now=now)


def test_a_variable_that_is_missing_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="SECRETS: there is no such variable"):
        EnvironmentKeyring("SECRETS", issuer=ISSUER, audience=AUDIENCE, environment={})


@pytest.mark.requirement("R1702", "R2053")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        f"7:active:{TEXT}",
        f"7:active::{TEXT}",
        f"0:active:1:{TEXT}",
        f"07:active:1:{TEXT}",
        f"\u0667:active:1:{TEXT}",
        f"7:old:1:{TEXT}",
        f"7:revoked:1:{TEXT}",
        "7:active:1:",
        f"7:active:1:{TEXT[:-1]}",
        f"7:active:1:{TEXT}A",
        f"7:active:1:{TEXT},",
        "7:active:1:" + "A" * 43,
    ],
    # The secret is new in each process, and names must be the same in all.
    ids=range(14),
)
def test_a_malformed_variable_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="SECRETS") as caught:
        load(text)
    assert TEXT[:8] not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.requirement("T19")
def test_a_version_that_has_ended_does_not_come_back_with_an_older_variable(
    tmp_path: Path,
) -> None:
    other = b64url_encode(os.urandom(32))

    def start(text: str) -> SecretRing:
        return EnvironmentKeyring(
            "SECRETS",
            issuer=ISSUER,
            audience=AUDIENCE,
            floor=tmp_path / "floor",
            environment={"SECRETS": text},
        ).load()

    start(f"6:verify_only:{NOW + 10}:{other},7:active:{NOW + 10}:{TEXT}")
    start(f"7:active:{NOW + 10}:{TEXT}")
    ring = start(f"6:verify_only:{NOW + 10}:{other},7:active:{NOW + 10}:{TEXT}")
    assert ring.find(7, now=NOW).version == 7
    with pytest.raises(StaleKeyError):
        ring.find(6, now=NOW)
