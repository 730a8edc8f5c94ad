"""What survives the process: circuits, jobs, segments, leaf proofs, public signals, timings and batch membership.

`open_store` gives the `Store` that a setting names; the calls block, so that the aggregator makes them in one thread.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from prover_core.errors import InvalidInputError

from .interface import (
    BatchRecord,
    Store,
    StoreError,
    StoreInUseError,
    StoreUnavailableError,
    StoreVersionError,
    Write,
)
from .rows import (
    assembly_write,
    attempt_write,
    batch_record_write,
    batch_write,
    circuit_write,
    distrust_write,
    job_writes,
    leaf_record_write,
    lease_write,
    segment_writes,
    state_write,
)
from .sqlite import SqliteStore

__all__ = [
    "BatchRecord",
    "SqliteStore",
    "Store",
    "StoreError",
    "StoreInUseError",
    "StoreUnavailableError",
    "StoreVersionError",
    "Write",
    "assembly_write",
    "attempt_write",
    "batch_record_write",
    "batch_write",
    "check_url",
    "circuit_write",
    "distrust_write",
    "job_writes",
    "leaf_record_write",
    "lease_write",
    "open_store",
    "segment_writes",
    "state_write",
]

SQLITE_NAME = "cloud.sqlite"
"""The embedded database's file in the data folder."""


def check_url(database: str) -> sa.URL | None:
    """The parsed setting, None for the embedded database; `InvalidInputError` if it names no database we can use."""
    if not database:
        return None
    try:
        url = sa.engine.make_url(database)
    except sa.exc.ArgumentError as e:
        raise InvalidInputError("database is not a URL such as postgresql://user@host/name", field="database") from e
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise InvalidInputError(
            f"a database is a postgresql:// URL, or empty for the embedded one; not {url.drivername}://",
            field="database",
        )
    return url


def open_store(database: str, data_dir: Path, outage_seconds: float) -> Store:
    """Opens the database of a cloud, and makes or upgrades its tables; blocks, see `Store` for what it raises."""
    url = check_url(database)
    if url is None:
        return SqliteStore(data_dir / SQLITE_NAME)
    from .postgres import PostgresStore

    return PostgresStore(url, outage_seconds)
