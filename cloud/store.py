"""What survives the process: circuits, jobs, segments, leaf proofs, public signals, timings and batch membership.

SQLite through SQLAlchemy Core, write-ahead log, full sync: what a method wrote is durable when it returns. The API is
synchronous; the aggregator calls it through one thread, so that writes happen in the order they were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from google.rpc import status_pb2
from sqlalchemy.dialects.sqlite import insert

from hybrid_prover.v1 import circuit_pb2, common_pb2

from .model import RUNNING, CircuitInfo, Job, Segment, SegmentKey

SCHEMA_VERSION: Final = 1

_meta = sa.MetaData()

_circuits = sa.Table(
    "circuits",
    _meta,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),  # hybrid_prover.v1.Circuit
)
_jobs = sa.Table(
    "jobs",
    _meta,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("placement", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("error", sa.LargeBinary),  # google.rpc.Status
    sa.Column("accepted_nanos", sa.BigInteger, nullable=False),
    sa.Column("ended_nanos", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("jobs_by_time", "accepted_nanos"),
    sa.Index("jobs_by_state", "state"),
)
_links = sa.Table(
    "links",
    _meta,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("from_segment", sa.Integer, nullable=False),
    sa.Column("from_signal", sa.Integer, nullable=False),
    sa.Column("to_segment", sa.Integer, nullable=False),
    sa.Column("to_signal", sa.Integer, nullable=False),
)
_batches = sa.Table(
    "batches",
    _meta,
    sa.Column("batch_id", sa.LargeBinary, primary_key=True),
    sa.Column("verification_key", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("closed_nanos", sa.BigInteger, nullable=False),
)
_segments = sa.Table(
    "segments",
    _meta,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("circuit", sa.LargeBinary, nullable=False),
    sa.Column("wires", sa.BigInteger, nullable=False),
    sa.Column("n_public", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("chunks", sa.BigInteger, nullable=False),
    sa.Column("wires_acked", sa.BigInteger, nullable=False),
    sa.Column("error", sa.LargeBinary),
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id")),
)
_proofs = sa.Table(
    "proofs",
    _meta,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("a", sa.LargeBinary, nullable=False),
    sa.Column("b", sa.LargeBinary, nullable=False),
    sa.Column("c", sa.LargeBinary, nullable=False),
    sa.Column("public_signals", sa.LargeBinary, nullable=False),  # 32 bytes each, big-endian
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
_timings = sa.Table(
    "timings",
    _meta,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("start_unix_nanos", sa.BigInteger, nullable=False),
    sa.Column("duration_nanos", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)


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


@cache
def _upsert(table: sa.Table) -> sa.Insert:
    """Inserts rows of a table, or replaces those with the same key. Built once: that costs more than running it."""
    statement = insert(table)
    keys = [c.name for c in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


class Store:
    """One database. Not thread-safe by contract: one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the database; `sqlalchemy.exc.SQLAlchemyError` if it is not one of ours."""
        self._engine = sa.create_engine(
            f"sqlite:///{path}", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
        )
        sa.event.listen(self._engine, "connect", _configure)
        _meta.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def write(self, writes: Sequence[Write]) -> None:
        """Inserts or replaces all rows in one transaction."""
        with self._engine.begin() as connection:
            for item in writes:
                if item.rows:
                    connection.execute(_upsert(item.table), list(item.rows))

    def load_job(self, job_id: bytes) -> Job | None:
        """One job with all its segments; coverage and digests of unfinished ones are in their logs, not here."""
        jobs = self._load(_jobs.c.job_id == job_id, 1)
        return jobs[0] if jobs else None

    def unfinished(self) -> list[Job]:
        """Running jobs, to take up again after a restart, oldest first."""
        return self._load(_jobs.c.state == RUNNING, None)[::-1]

    def newest(self, limit: int) -> list[Job]:
        """The newest jobs first."""
        return self._load(sa.true(), limit)

    def load_batch(self, batch_id: bytes) -> BatchRecord | None:
        """One batch with its members."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_batches).where(_batches.c.batch_id == batch_id)).one_or_none()
            if row is None:
                return None
            wanted = sa.select(_segments.c.job_id, _segments.c.position).where(_segments.c.batch_id == batch_id)
            members = tuple((r.job_id, r.position) for r in connection.execute(wanted))
        return BatchRecord(row.batch_id, row.verification_key, members, row.failed, row.cause, row.closed_nanos)

    def circuits(self) -> list[circuit_pb2.Circuit]:
        """All registered circuits, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_circuits.c.record).order_by(_circuits.c.name, _circuits.c.digest))
            return [circuit_pb2.Circuit.FromString(r.record) for r in rows]

    def _load(self, condition: sa.ColumnElement[bool], limit: int | None) -> list[Job]:
        query = sa.select(_jobs).where(condition).order_by(_jobs.c.accepted_nanos.desc(), _jobs.c.job_id)
        with self._engine.connect() as connection:
            return [_job(connection, row) for row in connection.execute(query.limit(limit)).all()]


def circuit_write(circuit: circuit_pb2.Circuit) -> Write:
    """The row of a registered circuit."""
    return Write(_circuits, ({"digest": circuit.digest, "name": circuit.name, "record": circuit.SerializeToString()},))


def state_write(job: Job) -> Write:
    """The job's own row."""
    row = {
        "job_id": job.job_id,
        "name": job.name,
        "placement": int(job.placement),
        "state": int(job.state),
        "error": job.error.SerializeToString() if job.error is not None else None,
        "accepted_nanos": job.accepted_nanos,
        "ended_nanos": job.ended_nanos,
        "revision": job.revision,
    }
    return Write(_jobs, (row,))


def job_writes(job: Job) -> list[Write]:
    """All rows of a job."""
    links = [
        {
            "job_id": job.job_id,
            "position": k,
            "from_segment": link.from_segment,
            "from_signal": link.from_signal,
            "to_segment": link.to_segment,
            "to_signal": link.to_signal,
        }
        for k, link in enumerate(job.links)
    ]
    segments = tuple(_segment_row(job, s) for s in job.segments)
    return [state_write(job), Write(_links, tuple(links)), Write(_segments, segments)]


def segment_writes(job: Job, segment: Segment) -> list[Write]:
    """The rows of one segment, and the job's (its revision has changed)."""
    place = {"job_id": job.job_id, "position": segment.index}
    writes = [state_write(job), Write(_segments, (_segment_row(job, segment),))]
    if segment.leaf is not None:
        proof = segment.leaf.proof
        publics = b"".join(segment.leaf.public_signals)
        writes.append(Write(_proofs, ({**place, "a": proof.a, "b": proof.b, "c": proof.c, "public_signals": publics},)))
    timings = (
        {
            **place,
            "number": k,
            "phase": t.phase,
            "start_unix_nanos": t.start_unix_nanos,
            "duration_nanos": t.duration_nanos,
        }
        for k, t in enumerate(segment.timings)
    )
    return [*writes, Write(_timings, tuple(timings))]


def batch_write(batch: BatchRecord) -> Write:
    """The row of a batch; membership is with the segments."""
    row = {
        "batch_id": batch.batch_id,
        "verification_key": batch.verification_key,
        "size": len(batch.members),
        "failed": batch.failed,
        "cause": batch.cause,
        "closed_nanos": batch.closed_nanos,
    }
    return Write(_batches, (row,))


def _segment_row(job: Job, segment: Segment) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "position": segment.index,
        "circuit": segment.circuit.digest,
        "wires": segment.circuit.wires,
        "n_public": segment.circuit.n_public,
        "state": int(segment.state),
        "chunks": segment.acked,
        "wires_acked": segment.wires_acked,
        "error": segment.error.SerializeToString() if segment.error is not None else None,
        "batch_id": segment.batch_id or None,
    }


def _configure(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, SCHEMA_VERSION):
        raise sa.exc.InvalidRequestError(f"the database has schema {found}, this version reads {SCHEMA_VERSION}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _status(raw: bytes | None) -> status_pb2.Status | None:
    return status_pb2.Status.FromString(raw) if raw is not None else None


def _job(connection: sa.Connection, row: Any) -> Job:
    links = connection.execute(sa.select(_links).where(_links.c.job_id == row.job_id).order_by(_links.c.position))
    found = connection.execute(
        sa.select(_segments).where(_segments.c.job_id == row.job_id).order_by(_segments.c.position)
    )
    segments = []
    for s in found:
        segment = Segment(s.position, CircuitInfo(s.circuit, s.wires, s.n_public))
        segment.state, segment.error = s.state, _status(s.error)
        segment.received = segment.acked = s.chunks
        segment.wires_acked, segment.batch_id = s.wires_acked, s.batch_id or b""
        segments.append(segment)
    for p in connection.execute(sa.select(_proofs).where(_proofs.c.job_id == row.job_id)):
        raw = p.public_signals
        segments[p.position].leaf = common_pb2.LeafProof(
            proof=common_pb2.Groth16Proof(a=p.a, b=p.b, c=p.c),
            public_signals=[raw[i : i + 32] for i in range(0, len(raw), 32)],
        )
    timings = sa.select(_timings).where(_timings.c.job_id == row.job_id).order_by(_timings.c.number)
    for t in connection.execute(timings):
        segments[t.position].timings.append(
            common_pb2.PhaseTiming(phase=t.phase, start_unix_nanos=t.start_unix_nanos, duration_nanos=t.duration_nanos)
        )
    return Job(
        job_id=row.job_id,
        name=row.name,
        placement=row.placement,
        links=[
            common_pb2.Link(
                from_segment=k.from_segment,
                from_signal=k.from_signal,
                to_segment=k.to_segment,
                to_signal=k.to_signal,
            )
            for k in links
        ],
        segments=segments,
        state=row.state,
        error=_status(row.error),
        accepted_nanos=row.accepted_nanos,
        ended_nanos=row.ended_nanos,
        revision=row.revision,
        durable=True,
    )
