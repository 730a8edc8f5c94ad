"""Brings a database to the present tables, with Alembic. The steps are in `cloud.migrations.versions`."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from .interface import StoreVersionError

BEFORE_MIGRATIONS: Final = 1
"""`user_version` of SQLite files of version 0.1.0, which knew no migrations."""
WITH_MIGRATIONS: Final = 2
"""`user_version` since; version 0.1.0 refuses files that have it."""


def migrations() -> Config:
    """The migrations of this package, as Alembic's commands want them."""
    config = Config()
    config.set_main_option("script_location", "cloud:migrations")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: sa.Connection, target: str = "head") -> None:
    """Runs what is missing up to `target` in the transaction that the connection is in: all of it or none.

    `StoreVersionError` if the database has a version that this software does not know; it is not touched then.
    """
    config = migrations()
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    heads = MigrationContext.configure(connection).get_current_heads()
    if unknown := sorted(set(heads) - known):
        newest = script.get_current_head()
        raise StoreVersionError(
            f"the database has schema {', '.join(unknown)}, this version knows schemas up to {newest}", field="database"
        )
    embedded = connection.dialect.name == "sqlite"
    if embedded and not heads:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found not in (0, BEFORE_MIGRATIONS):
            text = f"the database says user_version {found} and has no schema of ours"
            raise StoreVersionError(text, field="database")
    if heads == (script.get_current_head(),):
        return
    config.attributes["connection"] = connection
    command.upgrade(config, target)
    if embedded:
        connection.exec_driver_sql(f"PRAGMA user_version={WITH_MIGRATIONS}")
