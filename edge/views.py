"""Jobs and circuits as messages of the wire API."""

from __future__ import annotations

from collections.abc import Iterable

from hybrid_prover.assemblymodel import assembly_id
from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2, job_pb2

from .model import Job, Link, Segment, Timing
from .spool import CircuitRecord
from .status import to_status


def timing_messages(timings: Iterable[Timing]) -> list[common_pb2.PhaseTiming]:
    """Measured phases."""
    return [common_pb2.PhaseTiming(phase=t.phase, start_unix_nanos=t.start, duration_nanos=t.duration) for t in timings]


def timings_of(messages: Iterable[common_pb2.PhaseTiming]) -> list[Timing]:
    """The inverse of `timing_messages`."""
    return [Timing(t.phase, t.start_unix_nanos, t.duration_nanos) for t in messages]


def link_messages(links: Iterable[Link]) -> list[common_pb2.Link]:
    """Links."""
    return [
        common_pb2.Link(
            from_segment=k.from_segment, from_signal=k.from_signal, to_segment=k.to_segment, to_signal=k.to_signal
        )
        for k in links
    ]


def segment_message(s: Segment) -> job_pb2.SegmentStatus:
    """One segment as it stands."""
    message = job_pb2.SegmentStatus(
        index=s.index,
        circuit=s.circuit,
        state=job_pb2.SegmentState.Name(int(s.state)),
        wires_acked=s.wires_acked,
        wires=s.wires,
        timings=timing_messages(s.timings.values()),
    )
    if s.failure is not None:
        message.error.CopyFrom(to_status(s.failure))
    return message


def partial_use(s: Segment) -> job_pb2.PartialUse:
    """How many chunks of a segment of a split job have left, and with how many partials."""
    left = s.chunk_count if s.state.ended and s.chunk_count is not None else s.cursor
    return job_pb2.PartialUse(chunks=left, partials=len(s.partials_sent), late=s.partials_late)


def job_message(job: Job) -> job_pb2.Job:
    """One job as it stands; O(segments)."""
    message = job_pb2.Job(
        job_id=job.id,
        name=job.plan.name,
        placement=common_pb2.Placement.Name(int(job.plan.placement)),
        state=job_pb2.JobState.Name(int(job.state)),
        segments=[segment_message(s) for s in job.segments],
        links=link_messages(job.plan.links),
        accepted_unix_nanos=job.accepted,
        ended_unix_nanos=job.ended,
        revision=job.revision,
        priority=common_pb2.Priority.Name(int(job.priority)),
        deadline_unix_nanos=job.deadline,
    )
    if job.split:
        for s, view in zip(job.segments, message.segments, strict=True):
            view.partials.CopyFrom(partial_use(s))
    if job.failure is not None:
        message.error.CopyFrom(to_status(job.failure))
    if job.plan.assembly is not None:
        message.assembly.CopyFrom(assembly_message(job, job.plan.assembly))
    return message


def assembly_message(job: Job, options: bytes) -> assembly_pb2.Assembly:
    """The job's assembly as far as the cloud has told of it. It ends with the job."""
    if job.assembly_status:
        message = assembly_pb2.Assembly.FromString(job.assembly_status)
    else:
        asked = assembly_pb2.AssemblyOptions.FromString(options)
        chain = (asked.chain.out, asked.chain.into) if asked.HasField("chain") else None
        message = assembly_pb2.Assembly(
            assembly_id=assembly_id([job.id], chain).raw,
            job_ids=[job.id],
            options=asked,
            leaves=len(job.segments),
            accepted_unix_nanos=job.accepted,
        )
    # The states have the same numbers.
    message.MergeFrom(assembly_pb2.Assembly(state=assembly_pb2.AssemblyState.Name(int(job.state))))
    return message


def circuit_message(c: CircuitRecord) -> circuit_pb2.Circuit:
    """A registered circuit."""
    return circuit_pb2.Circuit(
        digest=c.digest,
        name=c.name,
        parts=circuit_pb2.CircuitParts(
            zkey_digest=c.digest,
            r1cs_digest=c.r1cs,
            program_digest=c.program,
            program_kind=circuit_pb2.ProgramKind.Name(c.kind),
        ),
        wires=c.wires,
        constraints=c.constraints,
        public_signals=c.public_signals,
        insecure_setup=c.insecure_setup,
    )
