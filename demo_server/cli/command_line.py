"""The command line, and the same options from the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import get_type_hints

from demo_server.cli.options import command_parser, option_parser
from demo_server.option_values import SettingsError
from demo_server.settings import ENVIRONMENT_PREFIX, Settings

_ON = ("on", "1", "true", "yes")
_OFF = ("off", "0", "false", "no")


def parse(
    arguments: Sequence[str], environ: Mapping[str, str] = os.environ
) -> tuple[argparse.Namespace, Settings]:
    """Return the command, and the settings for it.

    :param arguments: without the name of the program.
    :raises SettingsError: an option has an impossible value.
    :raises SystemExit: help was asked for, or the command line cannot be parsed.
    """
    parser = command_parser()
    values: dict[str, object] = {}
    for variable, options in _from_environment(environ):
        try:
            values.update(vars(option_parser().parse_args(options)))
        except argparse.ArgumentError as error:
            raise SettingsError(variable, str(error)) from error
    try:
        command = parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        parser.print_usage(sys.stderr)
        sys.exit(f"{parser.prog}: {error}")
    given = {name for name in vars(command) if name in get_type_hints(Settings)}
    values.update({name: getattr(command, name) for name in given})
    return command, Settings(**values)  # type: ignore[arg-type]


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    found = []
    for name in get_type_hints(Settings):
        variable = ENVIRONMENT_PREFIX + name.upper()
        text = environ.get(variable)
        if text is None:
            continue
        option = "--" + name.replace("_", "-")
        if name != "bearer":
            found.append((variable, [option, text]))
        elif text.lower() in _ON:
            found.append((variable, [option]))
        elif text.lower() not in _OFF:
            raise SettingsError(variable, "must be on or off")
    return found
