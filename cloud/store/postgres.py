"""The shared store: PostgreSQL through psycopg 3, over one connection that is made anew when it breaks.

The connection holds an advisory lock of the database (of the schema, where the URL chooses one), so that one cloud has
it at a time. The server drops the lock when it notices that the connection is gone, and not before what was sent over
it has been carried out or undone: a write sent again over a new connection cannot overtake its first sending.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog

from prover_core.errors import InvalidInputError

from . import schema
from .interface import StoreError, StoreInUseError, StoreUnavailableError
from .migrate import upgrade
from .sql import SqlStore, next_epoch

T = TypeVar("T")
log = structlog.get_logger(__name__)

LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to connect, at most."""
_CONNECT: Final = {
    "application_name": "hybrid-prover cloud",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SESSION: Final = (
    # The server, too, must notice soon that a cloud's machine is gone, or the lock outlives it.
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET idle_in_transaction_session_timeout = 60000",
    "SET client_min_messages = warning",
)
_LOCK: Final = "hashtextextended('hybrid-prover cloud ' || coalesce(current_schema(), ''), 0)"
_TRANSIENT_CLASSES: Final = ("08", "57", "53")
_READ_ONLY: Final = "25006"


class _Held(Exception):
    """The lock is not to be had yet."""


class PostgresStore(SqlStore):
    """A PostgreSQL database that exists; its tables are made if they are not there.

    A broken connection, a restarting or a standby server and a held lock are waited out, up to `outage_seconds` from
    the first failure on, the first connection included; then `StoreUnavailableError`, or `StoreInUseError` if it is
    the lock. A server that stops answering counts as broken after half that time. `StoreInUseError` also if another
    cloud has had the database while the connection was down: what this one holds in memory is then out of date.
    """

    def __init__(self, url: sa.URL, outage_seconds: float) -> None:
        self._name = url.set(password=None).render_as_string()
        self._outage = outage_seconds
        self._down_since: float | None = None
        self._pause = 0.0
        self._failed: StoreError | None = None
        self._connection: sa.Connection | None = None
        try:
            self._engine = sa.create_engine(
                url.set(drivername="postgresql+psycopg"),
                poolclass=sa.NullPool,
                hide_parameters=True,
                connect_args={k: v for k, v in _CONNECT.items() if k not in url.query},
            )
        except ImportError as e:
            raise InvalidInputError(
                "PostgreSQL needs its driver: pip install 'hybrid-prover[postgres]'", field="database"
            ) from e
        self.epoch = 0
        try:
            self.epoch = self._run(_open)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._drop()
        self._engine.dispose()

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        if self._failed is not None:
            raise self._failed
        while True:
            begun = time.monotonic()
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._watched(self._connection), self._connection.begin():
                    result = work(self._connection)
            except _Held as e:
                self._drop()
                error = StoreInUseError(f"another cloud is using the database {self._name}", field="database")
                self._wait(error, e, begun)
            except sa.exc.DBAPIError as e:
                if not _is_transient(e):
                    raise StoreError(f"the database {self._name} refuses: {e.orig}") from e
                self._drop()
                self._wait(StoreUnavailableError(f"the database {self._name} is away: {e.orig}"), e, begun)
            except sa.exc.SQLAlchemyError as e:
                raise StoreError(f"the database {self._name} refuses: {e}") from e
            else:
                if self._down_since is not None:
                    log.info("database_back", seconds=round(time.monotonic() - self._down_since, 2))
                self._down_since, self._pause = None, 0.0
                return result

    def _connect(self) -> sa.Connection:
        """A new connection that has the lock."""
        connection = self._engine.connect()
        try:
            for statement in _SESSION:
                connection.exec_driver_sql(statement)
            if connection.exec_driver_sql("SHOW fsync").scalar_one() != "on":
                raise self._fail(StoreError(f"the server of {self._name} runs with fsync=off: it would lose data"))
            if connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off":
                connection.exec_driver_sql("SET synchronous_commit = on")
            held = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK})").scalar_one()
            connection.commit()
            if not held:
                raise _Held
            if self.epoch:
                found = connection.execute(sa.select(schema.ownership.c.epoch)).scalar_one_or_none()
                connection.commit()
                if found != self.epoch:
                    text = f"another cloud has used the database {self._name} while this one had lost it"
                    raise self._fail(StoreInUseError(text, field="database"))
        except BaseException:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()
            raise
        return connection

    def _fail(self, error: StoreError) -> StoreError:
        self._failed = error
        return error

    def _wait(self, error: StoreError, cause: Exception, begun: float) -> None:
        """Pauses before the next attempt; raises the error, for good, when there has been time enough."""
        if self._down_since is None:
            self._down_since = begun
            log.warning("database_lost", reason=str(error), patience_seconds=self._outage)
        if time.monotonic() - self._down_since >= self._outage:
            raise self._fail(error) from cause
        self._pause = min(LONGEST_PAUSE, max(0.02, 2 * self._pause), self._outage)
        time.sleep(self._pause)

    def _drop(self) -> None:
        if self._connection is not None:
            # Not given back in good order: the server may not be there to hear it.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _watched(self, connection: sa.Connection) -> Iterator[None]:
        """Cuts the connection when a transaction has had no end for half of `outage_seconds`; the driver would wait on.

        The first one is left alone: it may have much to migrate.
        """
        if not self.epoch:
            yield
            return
        driver: Any = connection.connection.driver_connection
        line = socket.socket(fileno=os.dup(driver.fileno()))
        timer = threading.Timer(self._outage / 2, _cut, (line,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            line.close()


def _open(connection: sa.Connection) -> int:
    upgrade(connection)
    return next_epoch(connection)


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _is_transient(error: sa.exc.DBAPIError) -> bool:
    """Whether a new connection may do better: this one broke, the server is stopping, starting, full or a standby."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state:
        return state[:2] in _TRANSIENT_CLASSES or state == _READ_ONLY
    return error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
