"""``dpop-ext secrets``: what an operator does with derivation secrets."""

from __future__ import annotations

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.secrets_changes import retire, revoke, rotate
from dpop_ext.cli.secrets_copies import export_key, publish
from dpop_ext.cli.secrets_list import list_versions

_GLOSSARY = """\
\b
Words:
  derivation secret  32 random bytes that an authorization server shares with one
                     resource server; both derive the keys of symmetric proofs from
                     it. The first sketch of the profile called it the "salt".
  version            the number of a secret; tokens name it, as "v" in cnf.dsk.
  pending            published to the resource server, not issued with yet.
  active             keys are issued with it.
  verify_only        its keys are good until the last token with one has ended.
  retired, revoked   erased, in time or at once.
"""
_CLOSING = closing(
    "export DPOP_EXT_DATABASE=postgresql+psycopg://... DPOP_EXT_KEY_FILE=database.key",
    "dpop-ext secrets list",
)


@click.group(epilog=_CLOSING + _GLOSSARY)
def secrets() -> None:
    """Look after the derivation secrets of symmetric proofs (their "salt")."""


for command in (list_versions, rotate, revoke, retire, export_key, publish):
    secrets.add_command(command)
