"""Independent clients get bound tokens of our servers and use them.

None of them knows of symmetric keys, which the servers have to offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo_client.browser import fill_forms
from demo_server import demo_data
from demo_server.supervisor import DemoServer
from tests.interop.installation import ROOT
from tests.interop.loopback import LoopbackRedirect
from tests.interop.script import Script

NODE_CLIENTS = ["openid_client", "oauth4webapi", "dpop"]
PYTHON_CLIENTS = ["requests_oauth2client", "pydpop"]


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
@pytest.mark.parametrize("client", NODE_CLIENTS)
@pytest.mark.requirement("T-4", "C-9", "Q-1", "Q-12", "Q-13")
def test_client_for_node(
    servers: DemoServer, node_directory: Path, client: str, algorithm: str
) -> None:
    command = ["node", f"{client}.mjs"]
    go_through_the_steps(servers, command, cwd=node_directory, algorithm=algorithm)


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
@pytest.mark.requirement("T-4", "C-9", "Q-1", "Q-12", "Q-13")
def test_client_for_python(servers: DemoServer, python: Path, client: str) -> None:
    command = [python, "-m", f"tests.interop.python.{client}_client"]
    go_through_the_steps(servers, command, cwd=ROOT, algorithm="ES256")


def go_through_the_steps(
    servers: DemoServer, command: list[Any], *, cwd: Path, algorithm: str
) -> None:
    with LoopbackRedirect() as redirect:
        inputs = {
            "issuer": servers.as_url,
            "api": servers.rs_url,
            "redirectUri": redirect.uri,
            "secret": demo_data.CONFIDENTIAL_SECRET,
            "algorithm": algorithm,
        }
        with Script(command, inputs, cwd=cwd) as script:
            steps = Steps(
                script=script, with_nonces=servers.settings.nonce == "required"
            )
            steps.token("client_credentials", challenge=400)
            steps.refusal("replay_at_token_endpoint", 400, "used before")
            steps.success("accounts", 200, challenge=401)

            fill_forms(script.step("authorize")["url"])
            script.tell(redirect.wait())
            # The challenge leaves the code good.
            steps.token("authorization_code", challenge=400)
            steps.token("refresh_token", challenge=None)
            user = steps.success("userinfo", 200, challenge=401)
            assert user["subject"] == demo_data.USERNAME
            steps.success("transfers", 201, challenge=401)
            steps.refusal("replay", 401, "used before")
            steps.refusal("other_target", 401, "another method or URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What each step of a client is expected to end in."""

    script: Script
    #: Whether a proof without a nonce is refused.
    with_nonces: bool

    def success(
        self, name: str, status: int, *, challenge: int | None
    ) -> dict[str, Any]:
        """A step that succeeds, if need be after a *challenge* for a nonce."""
        step = self.script.step(name)
        expected: list[dict[str, Any]] = [{"status": status}]
        if challenge and self.with_nonces:
            expected.insert(0, {"status": challenge, "error": "use_dpop_nonce"})
        answers = [
            {name: answer[name] for name in answer if name != "description"}
            for answer in step["answers"]
        ]
        assert answers == expected
        return step

    def token(self, name: str, *, challenge: int | None) -> None:
        """A step that gets a bound token."""
        step = self.success(name, 200, challenge=challenge)
        assert step["tokenType"].lower() == "dpop"

    def refusal(self, name: str, status: int, reason: str) -> None:
        """A step whose only request is refused for its proof."""
        (answer,) = self.script.step(name)["answers"]
        assert answer["status"] == status
        assert answer["error"] == "invalid_dpop_proof"
        assert reason in answer["description"]
