"""The Alembic project of an application that uses the mixins and the stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from authlib.integrations.sqla_oauth2 import (
    OAuth2AuthorizationCodeMixin,
    OAuth2TokenMixin,
)
from sqlalchemy import Engine, Integer, MetaData, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dpop_ext.integrations.sqla_oauth2 import (
    OAuth2DPoPCodeMixin,
    OAuth2DPoPTokenMixin,
    OAuth2RedeemableMixin,
)
from dpop_ext.migrations import define_tables

ENV = """
from alembic import context
from tests.migrations.project import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata(),
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
"""

FIRST = """
from alembic import op
from tests.migrations.project import Before

revision, down_revision, branch_labels, depends_on = "app_1", None, None, None

def upgrade():
    for table in Before.metadata.sorted_tables:
        table.create(op.get_bind())

def downgrade():
    for table in Before.metadata.sorted_tables:
        op.drop_table(table.name)
"""

SECOND = """
from alembic import op
from dpop_ext.migrations import (
    add_code_columns, add_token_columns, drop_code_columns, drop_token_columns
)

revision, down_revision, branch_labels, depends_on = "app_2", "app_1", None, None

def upgrade():
    add_token_columns(op, "token")
    add_code_columns(op, "code")
    add_code_columns(op, "device", bound=False)

def downgrade():
    drop_token_columns(op, "token")
    drop_code_columns(op, "code")
    drop_code_columns(op, "device", bound=False)
"""


class Before(DeclarativeBase):
    """The tables as they were without this package."""


class After(DeclarativeBase):
    """The tables with its columns."""


class OldToken(Before, OAuth2TokenMixin):
    __tablename__ = "token"
    id: Mapped[int] = mapped_column(primary_key=True)


class OldCode(Before, OAuth2AuthorizationCodeMixin):
    __tablename__ = "code"
    id: Mapped[int] = mapped_column(primary_key=True)


class OldDevice(Before):
    __tablename__ = "device"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Token(After, OAuth2TokenMixin, OAuth2DPoPTokenMixin):
    __tablename__ = "token"
    id: Mapped[int] = mapped_column(primary_key=True)


class Code(After, OAuth2AuthorizationCodeMixin, OAuth2DPoPCodeMixin):
    __tablename__ = "code"
    id: Mapped[int] = mapped_column(primary_key=True)


class Device(After, OAuth2RedeemableMixin):
    __tablename__ = "device"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


def metadata() -> MetaData:
    """Return what the application wants in its database."""
    target = MetaData()
    for table in After.metadata.sorted_tables:
        table.to_metadata(target)
    define_tables(target)
    return target


class Project:
    """Runs Alembic on one database."""

    def __init__(self, directory: Path, url: str) -> None:
        self.engine: Engine = create_engine(url)
        versions = directory / "versions"
        versions.mkdir(parents=True)
        (directory / "env.py").write_text(ENV)
        (versions / "first.py").write_text(FIRST)
        (versions / "second.py").write_text(SECOND)
        self._config = Config()
        self._config.set_main_option("script_location", str(directory))
        self._config.set_main_option("path_separator", "space")
        self._config.set_main_option(
            "version_locations", f"{versions} dpop_ext:migrations/versions"
        )
        self._config.attributes["engine"] = self.engine

    def run(self, name: str, *arguments: Any) -> None:
        """Run a command of Alembic."""
        getattr(command, name)(self._config, *arguments)
