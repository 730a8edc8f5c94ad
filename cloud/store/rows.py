"""Jobs, segments and batches as rows, and back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

import sqlalchemy as sa
from google.rpc import status_pb2

from hybrid_prover.admission.fairness import Priority
from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2

from ..assembly import Assembly, assembly_from_view, assembly_view
from ..attempts import Attempt, Outcome
from ..model import CircuitInfo, Job, Maker, Segment
from ..trust import Distrust
from . import schema
from .interface import BatchRecord, Write


def circuit_write(circuit: circuit_pb2.Circuit) -> Write:
    """The row of a registered circuit."""
    row = {"digest": circuit.digest, "name": circuit.name, "record": circuit.SerializeToString()}
    return Write(schema.circuits, (row,))


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
        "run": job.run,
        "submission": job.submission,
        "client": job.client,
        "edges": json.dumps(sorted(job.edges)),
        "priority": int(job.priority),
        "deadline_nanos": job.deadline,
    }
    return Write(schema.jobs, (row,))


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
    own = [assembly_write(job.assembly)] if job.assembly is not None else []
    return [state_write(job), Write(schema.links, tuple(links)), Write(schema.segments, segments), *own]


def segment_writes(job: Job, segment: Segment) -> list[Write]:
    """The rows of one segment, and the job's (its revision has changed)."""
    place = {"job_id": job.job_id, "position": segment.index}
    writes = [state_write(job), Write(schema.segments, (_segment_row(job, segment),))]
    if segment.leaf is not None:
        proof = segment.leaf.proof
        publics = b"".join(segment.leaf.public_signals)
        row = {**place, "a": proof.a, "b": proof.b, "c": proof.c, "public_signals": publics}
        writes.append(Write(schema.proofs, (row,)))
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
    return [*writes, Write(schema.timings, tuple(timings))]


def attempt_write(job: Job, segment: Segment) -> Write:
    """The row of the last attempt at a segment."""
    attempt = segment.attempts[-1]
    row = {
        "job_id": job.job_id,
        "position": segment.index,
        "run": job.run,
        "number": len(segment.attempts),
        "outcome": int(attempt.outcome),
        "worker": attempt.worker,
        "name": attempt.name,
        "error": attempt.error.SerializeToString() if attempt.error is not None else None,
        "unix_nanos": attempt.unix_nanos,
    }
    return Write(schema.attempts, (row,))


def lease_write(job: Job, segment: Segment) -> Write:
    """Which remote worker holds a segment's task."""
    row = {
        "job_id": job.job_id,
        "position": segment.index,
        "worker": segment.lease_worker,
        "token": segment.lease_token,
    }
    return Write(schema.leases, (row,))


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
    return Write(schema.batches, (row,))


def leaf_record_write(job_id: bytes, position: int, envelope: bytes) -> Write:
    """The signed record of a leaf proof."""
    return Write(schema.records, ({"job_id": job_id, "position": position, "envelope": envelope},))


def batch_record_write(batch_id: bytes, envelope: bytes) -> Write:
    """The signed record of a batch."""
    return Write(schema.batch_records, ({"batch_id": batch_id, "envelope": envelope},))


def assembly_write(assembly: Assembly) -> Write:
    """The row of an assembly, with its result if there is one."""
    row = {
        "assembly_id": assembly.assembly_id,
        "owner": assembly.owner,
        "client": assembly.client,
        "state": int(assembly.state),
        "starts": assembly.starts,
        "record": assembly_view(assembly).SerializeToString(),
        "result": assembly.result.SerializeToString() if assembly.result is not None else None,
    }
    return Write(schema.assemblies, (row,))


def read_assembly(row: Any) -> Assembly:
    """The inverse of `assembly_write`, without the work."""
    assembly = assembly_from_view(assembly_pb2.Assembly.FromString(row.record))
    assembly.owner, assembly.client, assembly.starts = row.owner, row.client, row.starts
    assembly.result = assembly_pb2.AssemblyResult.FromString(row.result) if row.result is not None else None
    return assembly


def distrust_write(record: Distrust) -> Write:
    """The row of an edge that is not trusted with partials any more."""
    row = {
        "session_id": record.session_id,
        "identity": record.identity,
        "edge_name": record.edge_name,
        "job_id": record.job_id,
        "position": record.segment,
        "sequences": ",".join(map(str, record.sequences)),
        "since_nanos": record.since_nanos,
        "forgiven_nanos": record.forgiven_nanos,
    }
    return Write(schema.distrusted_edges, (row,))


def read_distrust(row: Any) -> Distrust:
    """The inverse of `distrust_write`."""
    sequences = tuple(int(n) for n in row.sequences.split(",") if n)
    return Distrust(row.session_id, row.identity, row.edge_name, row.job_id, row.position, sequences, row.since_nanos)


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
        "partials": segment.partials,
        "partials_wrong": segment.partials_wrong,
        "maker": json.dumps(astuple(segment.maker)) if segment.maker is not None else "",
    }


def read_jobs(connection: sa.Connection, rows: Sequence[Any]) -> list[Job]:
    """The jobs of these rows of `schema.jobs`, whole, in their order: four queries for all of them."""
    ids = [row.job_id for row in rows]

    def of_jobs(table: sa.Table, *order: str) -> Iterable[Any]:
        query = sa.select(table).where(table.c.job_id.in_(ids)).order_by(*(table.c[name] for name in order))
        return connection.execute(query)

    links = defaultdict(list)
    for k in of_jobs(schema.links, "position"):
        ends = {name: getattr(k, name) for name in ("from_segment", "from_signal", "to_segment", "to_signal")}
        links[k.job_id].append(common_pb2.Link(**ends))
    segments: defaultdict[bytes, list[Segment]] = defaultdict(list)
    for s in of_jobs(schema.segments, "position"):
        segments[s.job_id].append(_segment(s))
    for p in of_jobs(schema.proofs):
        raw = p.public_signals
        segments[p.job_id][p.position].leaf = common_pb2.LeafProof(
            proof=common_pb2.Groth16Proof(a=p.a, b=p.b, c=p.c),
            public_signals=[raw[i : i + 32] for i in range(0, len(raw), 32)],
        )
    for t in of_jobs(schema.timings, "number"):
        segments[t.job_id][t.position].timings.append(
            common_pb2.PhaseTiming(phase=t.phase, start_unix_nanos=t.start_unix_nanos, duration_nanos=t.duration_nanos)
        )
    runs = {row.job_id: row.run for row in rows}
    for a in of_jobs(schema.attempts, "number"):
        if a.run == runs[a.job_id]:
            attempt = Attempt(Outcome(a.outcome), a.worker, a.name, _status(a.error), a.unix_nanos)
            segments[a.job_id][a.position].attempts.append(attempt)
    for held in of_jobs(schema.leases):
        segment = segments[held.job_id][held.position]
        segment.lease_worker, segment.lease_token = held.worker, held.token
    jobs = [_job(row, links[row.job_id], segments[row.job_id]) for row in rows]
    own = sa.select(schema.assemblies).where(schema.assemblies.c.owner.in_(ids))
    by_owner = {row.owner: read_assembly(row) for row in connection.execute(own)}
    for job in jobs:
        job.assembly = by_owner.get(job.job_id)
    return jobs


def _status(raw: bytes | None) -> status_pb2.Status | None:
    return status_pb2.Status.FromString(raw) if raw is not None else None


def _segment(row: Any) -> Segment:
    segment = Segment(row.position, CircuitInfo(row.circuit, row.wires, row.n_public))
    segment.state, segment.error = row.state, _status(row.error)
    segment.received = segment.acked = row.chunks
    segment.wires_acked, segment.batch_id = row.wires_acked, row.batch_id or b""
    segment.partials, segment.partials_wrong = row.partials, row.partials_wrong
    segment.maker = Maker(*json.loads(row.maker)) if row.maker else None
    return segment


def _job(row: Any, links: list[common_pb2.Link], segments: list[Segment]) -> Job:
    return Job(
        job_id=row.job_id,
        name=row.name,
        placement=row.placement,
        links=links,
        segments=segments,
        state=row.state,
        error=_status(row.error),
        accepted_nanos=row.accepted_nanos,
        ended_nanos=row.ended_nanos,
        revision=row.revision,
        run=row.run,
        submission=row.submission,
        client=row.client,
        edges=set(json.loads(row.edges)),
        priority=Priority(row.priority),
        deadline=row.deadline_nanos,
        durable=True,
    )
