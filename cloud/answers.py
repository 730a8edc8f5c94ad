"""What the machine says to edges: refusals, acks and the news of jobs and segments. Pure functions of the model."""

from __future__ import annotations

from google.rpc import status_pb2

from hybrid_prover.v1 import common_pb2, uplink_pb2

from . import messages as m
from .assembly import assembly_view
from .errors import (
    ALREADY_EXISTS,
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    OUT_OF_RANGE,
    make_status,
)
from .model import FAILED, JOB_DONE, PROVED, PROVING, RUNNING, VERIFIED, Job, Segment
from .trust import Distrust


def broken_link(job: Job) -> status_pb2.Status | None:
    """The first link whose two public signals differ, as an error that names both positions; None if all hold."""
    for k, link in enumerate(job.links):
        before, after = job.segments[link.from_segment].leaf, job.segments[link.to_segment].leaf
        if before is None or after is None:
            continue
        if before.public_signals[link.from_signal] != after.public_signals[link.to_signal]:
            return make_status(
                FAILED_PRECONDITION,
                f"links[{k}]: public signal {link.from_signal} of segment {link.from_segment} differs from "
                f"public signal {link.to_signal} of segment {link.to_segment}",
                reason="LINK_BROKEN",
                field=f"links[{k}]",
                from_segment=str(link.from_segment),
                from_signal=str(link.from_signal),
                to_segment=str(link.to_segment),
                to_signal=str(link.to_signal),
            )
    return None


def too_late(job: Job) -> status_pb2.Status:
    """Why a job ends whose deadline has passed, and what was done by then."""
    done, proved = (sum(s.state == state for s in job.segments) for state in (VERIFIED, PROVED))
    text = f"the deadline has passed with {done} of {len(job.segments)} segments verified and {proved} more proved"
    return make_status(
        DEADLINE_EXCEEDED,
        text,
        reason="JOB_DEADLINE",
        deadline_unix_nanos=str(job.deadline),
        segments=str(len(job.segments)),
        verified=str(done),
        proved=str(proved),
    )


def span(phase: str, start: int, now: int) -> common_pb2.PhaseTiming:
    """How long a phase took that ends now; a start of 0 means it starts now."""
    start = start or now
    return common_pb2.PhaseTiming(phase=phase, start_unix_nanos=start, duration_nanos=max(0, now - start))


def batch_error(job: Job, segment: Segment) -> status_pb2.Status:
    """Why a leaf proof that failed its batch fails its segment: the edge's fault only where the edge made it."""
    where = f"segments[{segment.index}]"
    if job.placement == common_pb2.PLACEMENT_PRIVATE:
        return make_status(
            INVALID_ARGUMENT,
            f"{where}: the proof does not verify for its public signals",
            reason="PROOF_INVALID",
            field=f"{where}.proof",
        )
    return make_status(
        INTERNAL, f"{where}: a leaf proof made here failed its batch", reason="PROOF_INVALID", field=f"{where}.proof"
    )


def refused(
    connection: int, error: status_pb2.Status, job_id: bytes = b"", segment: int | None = None, wanted: int = 0
) -> m.Send:
    """A message that was not taken; `wanted` is the sequence number that is."""
    message = uplink_pb2.Refused(
        job_id=job_id, segment=segment or 0, has_segment=segment is not None, next_sequence=wanted, error=error
    )
    return m.Send(connection, uplink_pb2.UplinkResponse(refused=message))


def partials_refused(connection: int, record: Distrust) -> m.Send:
    """Tells an edge that its partials are taken no more."""
    where = f"segments[{record.segment}]"
    error = make_status(
        FAILED_PRECONDITION,
        f"{where}: {len(record.sequences)} of its partials were wrong; no more are taken from this edge",
        reason="PARTIALS_WRONG",
        field=where,
    )
    message = uplink_pb2.PartialsRefused(
        job_id=record.job_id, segment=record.segment, sequences=record.sequences, error=error
    )
    return m.Send(connection, uplink_pb2.UplinkResponse(partials_refused=message))


def ack(connection: int, job: Job, segment: Segment) -> m.Send:
    """Everything durable of a segment, to one connection."""
    message = uplink_pb2.Ack(job_id=job.job_id, segment=segment.index, next_sequence=segment.acked)
    return m.Send(connection, uplink_pb2.UplinkResponse(ack=message))


def gap(connection: int, job: Job, segment: Segment, sequence: int) -> list[m.Instruction]:
    """Asks once for the wanted chunk; what was already under way behind the gap is dropped without a word."""
    under_way = segment.last_gap >= 0 and sequence > segment.last_gap
    segment.last_gap = sequence
    if under_way:
        return []
    where = f"segments[{segment.index}].chunks[{sequence}]"
    error = make_status(
        OUT_OF_RANGE,
        f"{where}: chunk {segment.received} is wanted first",
        reason="CHUNK_GAP",
        field=f"{where}.sequence",
    )
    return [refused(connection, error, job.job_id, segment.index, segment.received)]


def out_of_order(connection: int, job: Job, segment: Segment, chunk: uplink_pb2.Chunk) -> list[m.Instruction]:
    """The answer to a chunk that is not the wanted one: acked again, a conflict, too late, or a gap."""
    if chunk.sequence < segment.received:
        if segment.digests[chunk.sequence] == chunk.digest:
            return [ack(connection, job, segment)]
        where = f"segments[{segment.index}].chunks[{chunk.sequence}]"
        error = make_status(
            ALREADY_EXISTS,
            f"{where}: another chunk with this sequence number has come before",
            reason="CHUNK_CONFLICT",
            field=f"{where}.sequence",
        )
        return [refused(connection, error, job.job_id, segment.index, segment.received)]
    if segment.ended:
        where = f"segments[{segment.index}].chunks[{chunk.sequence}]"
        error = make_status(
            FAILED_PRECONDITION,
            f"{where}: the segment ended with {segment.received} chunks",
            reason="AFTER_END",
            field=f"{where}.sequence",
        )
        return [refused(connection, error, job.job_id, segment.index, segment.received)]
    return gap(connection, job, segment, chunk.sequence)


def segment_news(job: Job, segment: Segment) -> list[uplink_pb2.UplinkResponse]:
    """The updates that bring an edge from waiting to the segment's present state."""
    update = uplink_pb2.SegmentUpdate(job_id=job.job_id, segment=segment.index, timings=segment.timings)
    out: list[uplink_pb2.UplinkResponse] = []
    if segment.state == PROVING:
        update.proving.SetInParent()
        return [uplink_pb2.UplinkResponse(segment_update=update)]
    if segment.leaf is not None and segment.state in (PROVED, VERIFIED):
        update.proved.CopyFrom(segment.leaf)
        out.append(uplink_pb2.UplinkResponse(segment_update=update))
    if segment.state == VERIFIED:
        out.append(verified(job, segment))
    if segment.state == FAILED and segment.error is not None:
        update.failed.CopyFrom(segment.error)
        out.append(uplink_pb2.UplinkResponse(segment_update=update))
    return out


def verified(job: Job, segment: Segment) -> uplink_pb2.UplinkResponse:
    """The segment passed its batch."""
    update = uplink_pb2.SegmentUpdate(
        job_id=job.job_id,
        segment=segment.index,
        verified=uplink_pb2.SegmentVerified(batch_id=segment.batch_id),
        timings=segment.timings,
    )
    return uplink_pb2.UplinkResponse(segment_update=update)


def job_news(job: Job) -> list[uplink_pb2.UplinkResponse]:
    """How the job ended, if it has."""
    if job.state == RUNNING:
        return []
    update = uplink_pb2.JobUpdate(job_id=job.job_id)
    if job.state == JOB_DONE:
        update.done.SetInParent()
        if job.assembly is not None and job.assembly.result is not None:
            update.done.assembly.CopyFrom(job.assembly.result)
            update.done.status.CopyFrom(assembly_view(job.assembly))
    elif job.error is not None:
        update.failed.CopyFrom(job.error)
    return [uplink_pb2.UplinkResponse(job_update=update)]


def assembling(job: Job) -> uplink_pb2.UplinkResponse:
    """All leaf proofs of the job are verified and being assembled."""
    update = uplink_pb2.JobUpdate(job_id=job.job_id)
    if job.assembly is not None:
        update.assembling.CopyFrom(assembly_view(job.assembly))
    return uplink_pb2.UplinkResponse(job_update=update)


def once_durable(connection: int, told: list[uplink_pb2.UplinkResponse]) -> list[m.Instruction]:
    """News as the job stands in memory, told when the saves that are under way are done."""
    return [m.Settle(), *(m.Send(connection, item) for item in told)] if told else []


def news(job: Job) -> list[uplink_pb2.UplinkResponse]:
    """All that an edge which opens the job may have missed."""
    return [item for s in job.segments for item in segment_news(job, s)] + job_news(job)
