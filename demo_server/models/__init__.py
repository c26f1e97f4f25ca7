"""The tables, one file each."""

from __future__ import annotations

from demo_server.models.authorization_code import AuthorizationCode
from demo_server.models.base import Base
from demo_server.models.client import Client
from demo_server.models.consent import Consent
from demo_server.models.derivation_secret import DerivationSecret
from demo_server.models.login_attempt import LoginAttempt
from demo_server.models.pushed_request import PushedRequest
from demo_server.models.token import Token
from demo_server.models.user import User

__all__ = [
    "AuthorizationCode",
    "Base",
    "Client",
    "Consent",
    "DerivationSecret",
    "LoginAttempt",
    "PushedRequest",
    "Token",
    "User",
]
