"""What the edge keeps on disk: its session, circuits, jobs, the inputs to make witnesses again, results.

SQLite through SQLAlchemy with a write-ahead log. What a client was promised is synced to the disk; the rest survives
the end of the process and, after a power cut, is learnt again from the cloud or made again from the inputs. Chunks lie
beside it in one file per segment (`chunkfile`), artifacts in their own folder. Inputs are overwritten when their job
ends.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from hybrid_prover.admission.fairness import Priority
from prover_core.errors import FormatError

from .chunkfile import ChunkRecord, scan
from .model import Code, Failure, Job, JobPlan, JobState, Link, Placement, Segment, SegmentPlan, SegmentState, Timing

SCHEMA_VERSION = 7
"""1 had no public signals, 2 no clients, 3 no word of partials, 4 no priorities and deadlines, 5 no assemblies,
6 no records."""
_ADDED = {
    1: ("ALTER TABLE segments ADD COLUMN publics BLOB",),
    2: (
        "ALTER TABLE jobs ADD COLUMN client VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN clients VARCHAR NOT NULL DEFAULT '[]'",
    ),
    3: ("ALTER TABLE segments ADD COLUMN partials VARCHAR NOT NULL DEFAULT '[[],0]'",),
    4: (
        "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 2",
        "ALTER TABLE jobs ADD COLUMN deadline BIGINT NOT NULL DEFAULT 0",
    ),
    5: (
        "ALTER TABLE jobs ADD COLUMN assembly_options BLOB",
        "ALTER TABLE jobs ADD COLUMN assembly BLOB NOT NULL DEFAULT X''",
        "ALTER TABLE jobs ADD COLUMN assembly_status BLOB NOT NULL DEFAULT X''",
    ),
    6: ("ALTER TABLE segments ADD COLUMN record BLOB",),
}
"""What brings each version to the next. Public signals that are missing are made again; records cannot be."""

_tables = sa.MetaData()
_meta = sa.Table(
    "meta", _tables, sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.LargeBinary, nullable=False)
)
_circuits = sa.Table(
    "circuits",
    _tables,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("r1cs", sa.LargeBinary, nullable=False),
    sa.Column("program", sa.LargeBinary, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("facts", sa.String, nullable=False),
)
_jobs = sa.Table(
    "jobs",
    _tables,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("placement", sa.Integer, nullable=False),
    sa.Column("links", sa.String, nullable=False),
    sa.Column("chunk_wires", sa.Integer, nullable=False),
    sa.Column("accepted", sa.BigInteger, nullable=False, index=True),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("ended", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("known_to_cloud", sa.Boolean, nullable=False),
    sa.Column("closing", sa.Boolean, nullable=False),
    sa.Column("failure", sa.LargeBinary),
    sa.Column("client", sa.String, nullable=False),
    sa.Column("clients", sa.String, nullable=False),  # JSON
    sa.Column("assembly_options", sa.LargeBinary),  # hybrid_prover.v1.AssemblyOptions
    sa.Column("assembly", sa.LargeBinary, nullable=False),  # hybrid_prover.v1.AssemblyResult, or empty
    sa.Column("assembly_status", sa.LargeBinary, nullable=False),  # hybrid_prover.v1.Assembly, or empty
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("deadline", sa.BigInteger, nullable=False),
)
_segments = sa.Table(
    "segments",
    _tables,
    sa.Column("job", sa.LargeBinary, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),
    sa.Column("circuit", sa.LargeBinary, nullable=False),
    sa.Column("wires", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("wires_acked", sa.BigInteger, nullable=False),
    sa.Column("chunk_count", sa.BigInteger),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("timings", sa.String, nullable=False),
    sa.Column("failure", sa.LargeBinary),
    sa.Column("inputs", sa.LargeBinary),
    sa.Column("publics", sa.LargeBinary),
    sa.Column("partials", sa.String, nullable=False),  # JSON: chunks sent with one, and how many were late
    sa.Column("record", sa.LargeBinary),  # DSSE envelope of a leaf proof that was made here
)


@dataclass(frozen=True, slots=True)
class CircuitRecord:
    """A registered circuit. Digests of 32 bytes, empty where there is no such part."""

    digest: bytes
    name: str
    r1cs: bytes
    program: bytes
    kind: int
    wires: int
    constraints: int
    public_signals: int
    insecure_setup: bool
    inputs: tuple[tuple[str, int], ...]
    """(name, size) of every input; empty if the program does not tell (circom's wasm knows names by hash only)."""


class Spool:
    """The store of one edge. Used by one thread at a time; writes are kept once `commit` is called."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes the store; `FormatError` if a newer version wrote it."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._chunks = folder / "chunks"
        self._engine = sa.create_engine(
            f"sqlite:///{folder / 'spool.sqlite'}",
            connect_args={"check_same_thread": False},
            poolclass=sa.StaticPool,
            hide_parameters=True,  # errors are logged, and inputs are among the parameters
        )
        sa.event.listen(self._engine, "connect", _configure)
        _tables.create_all(self._engine)
        self._connection = self._engine.connect()
        version = int.from_bytes(self._meta("schema", SCHEMA_VERSION.to_bytes(4, "little")), "little")
        if version in _ADDED:
            version = self._migrate(version)
        if version != SCHEMA_VERSION:
            raise FormatError(f"the spool has schema {version}, this version reads {SCHEMA_VERSION}", field="state_dir")
        self.session_id = self._meta("session", secrets.token_bytes(16))
        """Names this edge's session to the cloud."""
        self.secret = self._meta("secret", secrets.token_bytes(32))
        """Keys the ids of private jobs, see `requests.job_id`."""

    def _migrate(self, version: int) -> int:
        """Brings an older schema to the present one, all of it or nothing."""
        for older in range(version, SCHEMA_VERSION):
            for statement in _ADDED[older]:
                self._connection.exec_driver_sql(statement)
        row = {"value": SCHEMA_VERSION.to_bytes(4, "little")}
        self._connection.execute(sa.update(_meta).where(_meta.c.key == "schema").values(row))
        self._connection.commit()
        return SCHEMA_VERSION

    def _meta(self, key: str, default: bytes) -> bytes:
        self._connection.execute(insert(_meta).values(key=key, value=default).on_conflict_do_nothing())
        found = self._connection.execute(sa.select(_meta.c.value).where(_meta.c.key == key)).scalar_one()
        self._connection.commit()
        return bytes(found)

    def begin(self, *, synced: bool) -> None:
        """Starts a transaction; `synced`: its commit returns only when the disk has it and all that came before."""
        self._connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")

    def commit(self) -> None:
        """Keeps what was written since the last commit, all of it or none."""
        self._connection.commit()

    def rollback(self) -> None:
        """Forgets what was written since the last commit."""
        self._connection.rollback()

    def close(self) -> None:
        """Empties the log (which may hold inputs of ended jobs) and releases the files."""
        self._connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._engine.dispose()

    # Circuits

    def add_circuit(self, c: CircuitRecord) -> None:
        """Keeps a circuit; replaces an older record of the same key."""
        facts = {
            "wires": c.wires,
            "constraints": c.constraints,
            "public_signals": c.public_signals,
            "insecure_setup": c.insecure_setup,
            "inputs": c.inputs,
        }
        row = {
            "digest": c.digest,
            "name": c.name,
            "r1cs": c.r1cs,
            "program": c.program,
            "kind": c.kind,
            "facts": json.dumps(facts),
        }
        statement = insert(_circuits).values(row)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=row))

    def circuits(self) -> list[CircuitRecord]:
        """All circuits, by name."""
        return [_circuit(row) for row in self._connection.execute(sa.select(_circuits).order_by(_circuits.c.name))]

    # Jobs

    def add_job(
        self,
        plan: JobPlan,
        inputs: Iterable[bytes],
        accepted: int,
        *,
        priority: Priority = Priority.NORMAL,
        deadline: int = 0,
    ) -> None:
        """Keeps a new job with the serialized `SegmentSpec` of every segment."""
        self._connection.execute(
            insert(_jobs).values(
                id=plan.job_id,
                name=plan.name,
                placement=int(plan.placement),
                links=json.dumps([[k.from_segment, k.from_signal, k.to_segment, k.to_signal] for k in plan.links]),
                chunk_wires=plan.chunk_wires,
                accepted=accepted,
                state=int(JobState.RUNNING),
                ended=0,
                revision=1,
                known_to_cloud=False,
                closing=False,
                client=plan.client,
                assembly_options=plan.assembly,
                assembly=b"",
                assembly_status=b"",
                clients=json.dumps([plan.client] if plan.client else []),
                priority=int(priority),
                deadline=deadline,
            )
        )
        rows = [
            {**segment_row(plan.job_id, Segment(i, s.circuit, s.wires)), "inputs": blob}
            for i, (s, blob) in enumerate(zip(plan.segments, inputs, strict=True))
        ]
        self._connection.execute(insert(_segments), rows)

    def save_job(self, row: dict[str, Any]) -> None:
        """Updates a job from `job_row`."""
        self._connection.execute(sa.update(_jobs).where(_jobs.c.id == row["id"]).values(row))

    def save_clients(self, job_id: bytes, clients: Iterable[str]) -> None:
        """Keeps who wants a job."""
        values = {"clients": json.dumps(sorted(clients))}
        self._connection.execute(sa.update(_jobs).where(_jobs.c.id == job_id).values(values))

    def save_segment(self, row: dict[str, Any]) -> None:
        """Updates a segment from `segment_row`."""
        where = (_segments.c.job == row["job"]) & (_segments.c.index == row["index"])
        self._connection.execute(sa.update(_segments).where(where).values(row))

    def save_record(self, job_id: bytes, segment: int, envelope: bytes) -> None:
        """Keeps the record of a leaf proof that was made here."""
        where = (_segments.c.job == job_id) & (_segments.c.index == segment)
        self._connection.execute(sa.update(_segments).where(where).values(record=envelope))

    def records(self, job_id: bytes) -> dict[int, bytes]:
        """The records of a job's leaf proofs that are kept, by segment, in order."""
        where = (_segments.c.job == job_id) & (_segments.c.leaf != b"") & _segments.c.record.is_not(None)
        statement = sa.select(_segments.c.index, _segments.c.record).where(where).order_by(_segments.c.index)
        return {segment: bytes(envelope) for segment, envelope in self._connection.execute(statement)}

    def inputs(self, job_id: bytes, segment: int) -> bytes:
        """The serialized `SegmentSpec`; empty once the job has ended."""
        where = (_segments.c.job == job_id) & (_segments.c.index == segment)
        found = self._connection.execute(sa.select(_segments.c.inputs).where(where)).scalar_one_or_none()
        return bytes(found or b"")

    def drop_inputs(self, job_id: bytes) -> None:
        """Overwrites the inputs of an ended job and removes its chunks."""
        self._connection.execute(sa.update(_segments).where(_segments.c.job == job_id).values(inputs=None))
        shutil.rmtree(self._job_folder(job_id), ignore_errors=True)

    def forget(self, job_id: bytes) -> None:
        """Removes a job and its results."""
        self._connection.execute(sa.delete(_segments).where(_segments.c.job == job_id))
        self._connection.execute(sa.delete(_jobs).where(_jobs.c.id == job_id))
        shutil.rmtree(self._job_folder(job_id), ignore_errors=True)

    def jobs(self) -> list[tuple[Job, list[list[ChunkRecord]]]]:
        """Every job in the order of acceptance, with the intact chunks of its segments; hashes all of those.

        Chunks of jobs that have ended are removed.
        """
        rows = self._connection.execute(sa.select(_jobs).order_by(_jobs.c.accepted)).all()
        out = []
        for row in rows:
            columns = [c for c in _segments.c if c.name not in ("inputs", "record")]
            statement = sa.select(*columns).where(_segments.c.job == row.id).order_by(_segments.c.index)
            segments = [_segment(s) for s in self._connection.execute(statement)]
            job = _job(row, segments)
            chunks: list[list[ChunkRecord]] = [[] for _ in segments]
            if job.state is JobState.RUNNING and not job.private:
                for s in segments:
                    chunks[s.index] = scan(self.chunk_file(job.id, s.index), job.id, s.index)
                    s.chunk_bytes = [r.size for r in chunks[s.index]]
                    s.chunk_wires = [r.wire_count for r in chunks[s.index]]
            out.append((job, chunks))
        running = {job.id.hex() for job, _ in out if job.state is JobState.RUNNING}
        for folder in self._chunks.iterdir() if self._chunks.exists() else ():
            if folder.name not in running:
                shutil.rmtree(folder, ignore_errors=True)
        return out

    def _job_folder(self, job_id: bytes) -> Path:
        return self._chunks / job_id.hex()

    def chunk_file(self, job_id: bytes, segment: int) -> Path:
        """Where a segment's chunks lie."""
        return self._job_folder(job_id) / f"{segment}.chunks"


def _configure(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def job_row(job: Job) -> dict[str, Any]:
    """What changes of a job, as it is now."""
    return {
        "id": job.id,
        "state": int(job.state),
        "ended": job.ended,
        "revision": job.revision,
        "known_to_cloud": job.known_to_cloud,
        "closing": job.closing,
        "failure": _failure_blob(job.failure),
        "assembly": job.assembly,
        "assembly_status": job.assembly_status,
        "priority": int(job.priority),
        "deadline": job.deadline,
    }


def segment_row(job_id: bytes, s: Segment) -> dict[str, Any]:
    """What is kept of a segment but its inputs and its record, as it is now."""
    return {
        "job": job_id,
        "index": s.index,
        "circuit": s.circuit,
        "wires": s.wires,
        "state": int(s.state),
        "wires_acked": s.wires_acked,
        "chunk_count": s.chunk_count,
        "crashes": s.crashes,
        "leaf": s.leaf,
        "timings": json.dumps([[t.phase, t.start, t.duration] for t in s.timings.values()]),
        "failure": _failure_blob(s.failure),
        "publics": s.publics,
        "partials": json.dumps([sorted(s.partials_sent), s.partials_late], separators=(",", ":")),
    }


def _failure_blob(failure: Failure | None) -> bytes | None:
    if failure is None:
        return None
    return json.dumps([int(failure.code), failure.message, failure.status.hex()]).encode()


def _failure(blob: bytes | None) -> Failure | None:
    if blob is None:
        return None
    code, message, status = json.loads(blob)
    return Failure(Code(code), message, bytes.fromhex(status))


def _segment(row: Any) -> Segment:
    sent, late = json.loads(row.partials)
    return Segment(
        row.index,
        row.circuit,
        row.wires,
        state=SegmentState(row.state),
        failure=_failure(row.failure),
        leaf=row.leaf,
        publics=row.publics,
        timings={t[0]: Timing(*t) for t in json.loads(row.timings)},
        chunk_count=row.chunk_count,
        crashes=row.crashes,
        wires_acked=row.wires_acked,
        partials_sent=set(sent),
        partials_late=late,
    )


def _job(row: Any, segments: list[Segment]) -> Job:
    plan = JobPlan(
        row.id,
        row.name,
        Placement(row.placement),
        tuple(SegmentPlan(s.circuit, s.wires) for s in segments),
        tuple(Link(*k) for k in json.loads(row.links)),
        row.chunk_wires,
        row.client,
        row.assembly_options,
    )
    return Job(
        plan,
        segments,
        accepted=row.accepted,
        order=0,
        state=JobState(row.state),
        failure=_failure(row.failure),
        ended=row.ended,
        revision=row.revision,
        known_to_cloud=row.known_to_cloud,
        closing=row.closing,
        clients=set(json.loads(row.clients)),
        assembly=row.assembly,
        assembly_status=row.assembly_status,
        priority=Priority(row.priority),
        deadline=row.deadline,
    )


def _circuit(row: Any) -> CircuitRecord:
    facts = json.loads(row.facts)
    facts["inputs"] = tuple((name, size) for name, size in facts["inputs"])
    return CircuitRecord(row.digest, row.name, row.r1cs, row.program, row.kind, **facts)
