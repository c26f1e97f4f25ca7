"""The tables, one file each."""

from __future__ import annotations

from demo_server.models.authorization_code import AuthorizationCode
from demo_server.models.base import Base
from demo_server.models.browser_session import BrowserSession
from demo_server.models.client import Client
from demo_server.models.consent import Consent
from demo_server.models.failed_attempt import FailedAttempt
from demo_server.models.token import Token
from demo_server.models.user import User
from dpop_ext.stores.pushed_requests_sql import define_pushed_request_table

__all__ = [
    "AuthorizationCode",
    "Base",
    "BrowserSession",
    "Client",
    "Consent",
    "FailedAttempt",
    "Token",
    "User",
]

define_pushed_request_table(Base.metadata)
