"""Logging to standard error: time, level, logger, message; no token and no key."""

from __future__ import annotations

import logging
import logging.config

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str) -> None:
    """Send the log lines of all libraries to standard error in one format.

    :param level: least severe level that is logged, one of :data:`LEVELS`.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line"}
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                # At level debug these print tokens and parameters of statements.
                "authlib": {"level": "INFO"},
                "sqlalchemy": {"level": "WARNING"},
                # One line says where we listen, and we write it ourselves.
                "gunicorn.error": {"level": "WARNING"},
            },
        }
    )
