"""What the stores have in common: the statements, through SQLAlchemy Core, and the opening of a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hybrid_prover.v1 import circuit_pb2

from ..assembly import RUNNING as ASSEMBLY_RUNNING
from ..assembly import Assembly
from ..model import RUNNING, Job
from ..trust import Distrust
from . import schema
from .interface import SESSIONS_KEPT, BatchRecord, Write
from .rows import read_assembly, read_distrust, read_jobs

T = TypeVar("T")

JOBS_AT_ONCE = 500
"""Jobs read with one set of queries: bounds the parameters of a statement."""


@cache
def upsert(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts rows of a table, or replaces those with the same key. Built once: that costs more than running it."""
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = [c.name for c in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def next_epoch(connection: sa.Connection) -> int:
    """Counts one more opening of the database."""
    table = schema.ownership
    epoch = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.epoch), 0))).scalar_one()) + 1
    connection.execute(upsert(connection.dialect.name, table), {"id": 1, "epoch": epoch})
    return epoch


class SqlStore(ABC):
    """A `Store` but for `_run`: how a transaction is had and what is done when the database is not there."""

    epoch: int

    @abstractmethod
    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        """Carries out work in one transaction, durable when this returns; may carry it out again after a failure."""

    def write(self, writes: Sequence[Write]) -> None:
        def work(connection: sa.Connection) -> None:
            for item in writes:
                if item.rows:
                    connection.execute(upsert(connection.dialect.name, item.table), list(item.rows))

        self._run(work)

    def load_job(self, job_id: bytes) -> Job | None:
        jobs = self._load(schema.jobs.c.job_id == job_id, 1)
        return jobs[0] if jobs else None

    def unfinished(self) -> list[Job]:
        return self._load(schema.jobs.c.state == RUNNING, None)[::-1]

    def newest(self, limit: int, client: str | None = None) -> list[Job]:
        return self._load(sa.true() if client is None else schema.jobs.c.client == client, limit)

    def bind_session(self, session_id: bytes, edge: str, now: int) -> str:
        table = schema.session_owners
        owner = sa.select(table.c.edge).where(table.c.session_id == session_id)
        row = {"session_id": session_id, "edge": edge, "since_nanos": now}
        mine = sa.select(table.c.session_id).where(table.c.edge == edge).order_by(table.c.since_nanos.desc())

        def work(connection: sa.Connection) -> str:
            found = connection.execute(owner).scalar_one_or_none()
            if found is not None:
                return str(found)
            connection.execute(sa.insert(table).values(row))
            old = connection.execute(mine.offset(SESSIONS_KEPT)).scalars().all()
            if old:
                connection.execute(sa.delete(table).where(table.c.session_id.in_(old)))
            return edge

        return self._run(work)

    def load_batch(self, batch_id: bytes) -> BatchRecord | None:
        segments = schema.segments
        members = sa.select(segments.c.job_id, segments.c.position).where(segments.c.batch_id == batch_id)
        members = members.order_by(segments.c.job_id, segments.c.position)

        def work(connection: sa.Connection) -> BatchRecord | None:
            query = sa.select(schema.batches).where(schema.batches.c.batch_id == batch_id)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            keys = tuple((r.job_id, r.position) for r in connection.execute(members))
            return BatchRecord(row.batch_id, row.verification_key, keys, row.failed, row.cause, row.closed_nanos)

        return self._run(work)

    def records(self, job_id: bytes) -> tuple[dict[int, bytes], list[bytes]]:
        leaves, batches, segments = schema.records, schema.batch_records, schema.segments
        of_leaves = sa.select(leaves.c.position, leaves.c.envelope).where(leaves.c.job_id == job_id)
        of_batches = sa.select(segments.c.position, batches.c.batch_id, batches.c.envelope)
        of_batches = of_batches.join(batches, batches.c.batch_id == segments.c.batch_id)
        of_batches = of_batches.where(segments.c.job_id == job_id).order_by(segments.c.position)

        def work(connection: sa.Connection) -> tuple[dict[int, bytes], list[bytes]]:
            found = {row.position: row.envelope for row in connection.execute(of_leaves.order_by(leaves.c.position))}
            once = {row.batch_id: row.envelope for row in connection.execute(of_batches)}
            return found, list(once.values())

        return self._run(work)

    def load_assembly(self, assembly_id: bytes) -> Assembly | None:
        table = schema.assemblies
        query = sa.select(table).where(table.c.assembly_id == assembly_id)
        row = self._run(lambda connection: connection.execute(query).one_or_none())
        return read_assembly(row) if row is not None else None

    def unfinished_assemblies(self) -> list[Assembly]:
        table = schema.assemblies
        query = sa.select(table).where(table.c.state == ASSEMBLY_RUNNING, table.c.owner == b"")
        found = self._run(lambda connection: [read_assembly(row) for row in connection.execute(query)])
        return sorted(found, key=lambda a: (a.accepted_nanos, a.assembly_id))

    def circuits(self) -> list[circuit_pb2.Circuit]:
        table = schema.circuits
        query = sa.select(table.c.record)
        found = self._run(lambda c: [circuit_pb2.Circuit.FromString(row.record) for row in c.execute(query)])
        # Sorted here: databases differ in how they compare text.
        return sorted(found, key=lambda c: (c.name, c.digest))

    def distrusted(self) -> list[Distrust]:
        table = schema.distrusted_edges
        query = sa.select(table).where(table.c.forgiven_nanos == 0).order_by(table.c.since_nanos, table.c.session_id)
        return self._run(lambda c: [read_distrust(row) for row in c.execute(query)])

    def _load(self, condition: sa.ColumnElement[bool], limit: int | None) -> list[Job]:
        query = sa.select(schema.jobs).where(condition)
        query = query.order_by(schema.jobs.c.accepted_nanos.desc(), schema.jobs.c.job_id).limit(limit)

        def work(connection: sa.Connection) -> list[Job]:
            rows = connection.execute(query).all()
            parts = [rows[i : i + JOBS_AT_ONCE] for i in range(0, len(rows), JOBS_AT_ONCE)]
            return [job for part in parts for job in read_jobs(connection, part)]

        return self._run(work)
