"""The commands by name, each loaded when it is called."""

from __future__ import annotations

import errno
import importlib
import os
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from dpop_ext.errors import DPoPError

#: Module and one line of help of each command. The module has an object of the
#: command's name that is one of click's commands.
COMMANDS: Final = {
    "conformance": (
        "dpop_ext.cli.conformance",
        "Check servers against the symmetric profile.",
    ),
    "curl": ("dpop_ext.cli.curl", "Send a request with a bound token and its proofs."),
    "doctor": ("dpop_ext.cli.doctor", "Check a deployment, and say what to change."),
    "explain": ("dpop_ext.cli.explain", "Check a proof, and say what is wrong."),
    "keygen": ("dpop_ext.cli.keys", "Make the private key of a client."),
    "login": ("dpop_ext.cli.login", "Log in with the browser, and save a session."),
    "logout": ("dpop_ext.cli.logout", "Revoke the tokens of a session, and delete it."),
    "nonces": ("dpop_ext.cli.nonces", "Nonce secrets of a server: create, rotate."),
    "proof": ("dpop_ext.cli.proof", "Make a proof for one request."),
    "readiness": (
        "dpop_ext.cli.readiness",
        "Say for which clients proofs can be enforced.",
    ),
    "secrets": ("dpop_ext.cli.secrets", "Derivation secrets: list, rotate, revoke."),
    "thumbprint": ("dpop_ext.cli.keys", "Print the thumbprint (jkt) of a key."),
}

_EPILOG: Final = """\
\b
Exit code: 0 done, 1 refused, 2 wrong command line; 3 (login, logout, curl) no answer.
\b
Completion of commands, options and files:
  bash  eval "$(_DPOP_EXT_COMPLETE=bash_source dpop-ext)"    in ~/.bashrc
  zsh   eval "$(_DPOP_EXT_COMPLETE=zsh_source dpop-ext)"     in ~/.zshrc
  fish  _DPOP_EXT_COMPLETE=fish_source dpop-ext | source     in config.fish
"""

#: Environment variable with the secret of a client, which nobody types.
SECRET_VARIABLE: Final = "DPOP_EXT_CLIENT_SECRET"
#: The extra that brings a package.
EXTRAS: Final = {
    "alembic": "migrations",
    "filelock": "session",
    "keyring": "session",
    "redis": "redis",
    "requests": "requests",
    "sqlalchemy": "sql",
}
#: What brings a driver that SQLAlchemy looks for.
DRIVERS: Final = {"psycopg": "psycopg[binary]"}


class Refusal(click.ClickException):
    """What cannot be done, in one line; exit code 1."""

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"dpop-ext: {self.message}", file=file, err=True)


class NoAnswer(Refusal):
    """A server that did not answer; exit code 3."""

    exit_code = 3


class LazyGroup(click.Group):
    """Loads the module of a command when it is called, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(COMMANDS[cmd_name][0])
        except ModuleNotFoundError:
            if not ctx.resilient_parsing:
                raise
            # Nobody who only completes it wants to read about an extra.
            return click.Command(cmd_name)
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Return the commands that begin so, without loading them, and the options."""
        commands = [
            CompletionItem(name, help=COMMANDS[name][1])
            for name in sorted(COMMANDS)
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and say in one line why it could not do what was asked."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "dpop_ext":
                raise
            extra = EXTRAS.get(package)
            what = f"dpop-ext[{extra}]" if extra else DRIVERS.get(package)
            advice = f"pip install '{what}'" if what else "install it"
            raise Refusal(f"the package {package} is missing: {advice}") from error
        except DPoPError as error:
            raise Refusal(error.description) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                # Who read has had enough; click ends quietly.
                raise
            reason = error.strerror or type(error).__name__
            raise Refusal(f"it did not work: {reason}") from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog=_EPILOG,
)
@click.version_option(package_name="dpop-ext", prog_name="dpop-ext")
def dpop_ext() -> None:
    """Tools for DPoP (RFC 9449) and the DPoP Symmetric Profile."""
