"""The declarative base of every table."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Times are integers: seconds since the epoch."""
