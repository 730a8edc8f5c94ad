"""The embedded store: one SQLite file with a write-ahead log, synced at every commit."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa

from .interface import StoreError, StoreInUseError, StoreUnavailableError
from .migrate import upgrade
from .sql import SqlStore, next_epoch

T = TypeVar("T")


class SqliteStore(SqlStore):
    """A database in a file, made if it is not there. `NAME.lock` beside it is held for as long as the store is open.

    `StoreUnavailableError` at once when the disk fails or is full: waiting does not mend those.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _lock(path)
        self._failed: StoreUnavailableError | None = None
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            poolclass=sa.StaticPool,
            hide_parameters=True,
            connect_args={"check_same_thread": False},
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)
        try:
            self._run(upgrade)
            self.epoch = self._run(next_epoch)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()
        self._lock.close()

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        if self._failed is not None:
            raise self._failed
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except sa.exc.OperationalError as e:
            self._failed = StoreUnavailableError(f"the database {self._path} cannot be used: {e.orig}")
            raise self._failed from e
        except sa.exc.SQLAlchemyError as e:
            raise StoreError(f"the database {self._path} refuses: {getattr(e, 'orig', None) or e}") from e


def _lock(path: Path) -> IO[bytes]:
    """Held until closed, also by a kill. Not the database itself: closing that would drop SQLite's own locks."""
    file = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        file.close()
        raise StoreInUseError(f"another cloud is using the database {path}", field="data_dir") from e
    return file


def _configure(connection: Any, _record: object) -> None:
    # Transactions are begun below: the driver's own way leaves out changes of the tables.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN")
