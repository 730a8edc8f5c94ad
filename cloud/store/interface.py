"""What the cloud asks of a database: the contract that every store keeps, and what it raises.

One conformance suite (`tests/services/test_store_contract.py`) runs against every store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from hybrid_prover.v1 import circuit_pb2
from prover_core.errors import ProverError, UnavailableError

from ..assembly import Assembly
from ..model import Job, SegmentKey
from ..trust import Distrust

SESSIONS_KEPT = 256
"""Sessions of one edge that are remembered. An edge has one, until its folder is lost."""


class StoreError(ProverError):
    """A store cannot do what it was asked; the text of the database is in the message."""


class StoreUnavailableError(StoreError, UnavailableError):
    """The database cannot be reached or written, and that has lasted longer than a store waits.

    Whether the last write is there is unknown. The store is finished: every later call raises this again, so that
    nothing is written after something that is missing.
    """


class StoreInUseError(StoreError):
    """Another cloud has the database open, or has had it while this one had lost it."""


class StoreVersionError(StoreError):
    """The database was written by a newer version of this software, or is not one of ours."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One verified batch. `batch_id` is the digest of key, members and proofs."""

    batch_id: bytes
    verification_key: bytes
    members: tuple[SegmentKey, ...]
    failed: int
    cause: str
    closed_nanos: int


@dataclass(frozen=True, slots=True)
class Write:
    """Rows ready to be written: taken from the live model at once, written later by the store's thread."""

    table: sa.Table
    rows: tuple[dict[str, Any], ...]


class Store(Protocol):
    """One database, opened by one cloud at a time. One thread at a time calls it; every call blocks until done.

    Opening brings the tables to the present version in one transaction (`StoreVersionError` if they are newer),
    and raises `StoreInUseError` while another cloud has the database open, whichever machine that runs on.

    Calls are carried out in the order they are made, and a read sees every write before it. A store rides out a
    lost connection by itself for as long as it was told to; then it raises `StoreUnavailableError` for good.
    """

    @property
    def epoch(self) -> int:
        """How often this database has been opened, this time included: no two openings have the same number."""
        ...

    def write(self, writes: Sequence[Write]) -> None:
        """Inserts or replaces all rows, in their order, in one transaction.

        When this returns, every row survives the end of any process and of the power; when it raises `StoreError`,
        none of them is there (with `StoreUnavailableError`: all or none). Idempotent: a row replaces the one with
        the same key, so that a list written twice, or begun and written again, is as if written once.
        """
        ...

    def load_job(self, job_id: bytes) -> Job | None:
        """One job with all its segments; coverage and digests of unfinished ones are in their logs, not here."""
        ...

    def unfinished(self) -> list[Job]:
        """Running jobs, to take up again after a restart, oldest first."""
        ...

    def newest(self, limit: int, client: str | None = None) -> list[Job]:
        """The newest jobs first: all, or those of one client."""
        ...

    def load_batch(self, batch_id: bytes) -> BatchRecord | None:
        """One batch with its members, in the order of their jobs' ids and positions."""
        ...

    def bind_session(self, session_id: bytes, edge: str, now: int) -> str:
        """To which edge a session belongs: durably to the first that showed it, `edge` if nobody did before.

        Of each edge the newest `SESSIONS_KEPT` are remembered: no edge fills the database, or unbinds another's.
        """
        ...

    def records(self, job_id: bytes) -> tuple[dict[int, bytes], list[bytes]]:
        """The signed records of a job: of its leaf proofs, by segment, and of their batches, in order of first use."""
        ...

    def load_assembly(self, assembly_id: bytes) -> Assembly | None:
        """One assembly with its result; without its work."""
        ...

    def unfinished_assemblies(self) -> list[Assembly]:
        """Running assemblies that are no job's, oldest first; those of jobs come with their jobs."""
        ...

    def circuits(self) -> list[circuit_pb2.Circuit]:
        """All registered circuits, by name."""
        ...

    def distrusted(self) -> list[Distrust]:
        """Edges that are not trusted with partials, oldest first."""
        ...

    def close(self) -> None:
        """Lets another cloud open the database. Harmless when called twice or after a failure; never raises."""
        ...
