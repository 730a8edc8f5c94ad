"""Sees what the edge's machine decides and what goes over the uplink, and turns it into metrics, spans and log lines.

The machine knows nothing of it. Cost: a few microseconds an event; memory: a few numbers for each running segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from google.rpc import status_pb2

from hybrid_prover.errors import read_details
from hybrid_prover.telemetry.certificates import Expiries
from hybrid_prover.telemetry.sizes import request_bytes
from hybrid_prover.telemetry.spans import Piece, SpanSink, job_span, segment_spans, trace_hex
from hybrid_prover.telemetry.stages import KINDS, SUMMED, Kind, RecentRate
from hybrid_prover.v1 import uplink_pb2

from .instructions import Instruction, SaveJob, SaveSegment
from .jobs import EDGE_PHASES
from .metrics import EdgeMetrics
from .model import Job, JobPlan, JobState, Segment, SegmentState

log = structlog.get_logger("edge")


@dataclass(slots=True)
class _Seen:
    """What has been told of one segment."""

    phases: set[str] = field(default_factory=set)
    ended: bool = False
    sent: int = 0
    """Chunks below this have been sent at least once."""


class EdgeObserver:
    """One for each edge, on its event loop."""

    def __init__(self, metrics: EdgeMetrics, jobs: Mapping[bytes, Job], backend: str, tls: Path | None) -> None:
        """`jobs` as the machine keeps them."""
        self.metrics = metrics
        self.expiries = Expiries(tls)
        self.spans: SpanSink | None = None
        """Where traces go, if anywhere."""
        self.verified = RecentRate()
        """Segments verified."""
        self._jobs = jobs
        self._backend = backend or "auto"
        self._running: dict[bytes, dict[int, _Seen]] = {}
        metrics.backend_info.labels(self._backend, "").set(1)

    def accepted(self, plan: JobPlan) -> None:
        """A client's job was taken."""
        self.metrics.jobs_accepted.labels(plan.placement.name.lower()).inc()
        self._running[plan.job_id] = {}

    def restored(self, job: Job) -> None:
        """A running job of an earlier run; what was measured then has been told."""
        self._running[job.id] = {s.index: _Seen({*s.timings}, s.state.ended, s.acked) for s in job.segments}

    def saw(self, instructions: Iterable[Instruction], now: int) -> None:
        """What the machine decided, before that is carried out. Never raises."""
        try:
            for instruction in instructions:
                if isinstance(instruction, SaveSegment):
                    self._segment(instruction.job_id, instruction.segment, now)
                elif isinstance(instruction, SaveJob):
                    self._job(instruction.job_id)
        except Exception as e:
            log.error("observer failed", error=repr(e), exc_info=e)

    async def close(self) -> None:
        """Ends the metrics' page and sends the last spans."""
        await self.metrics.stop()
        if self.spans is not None:
            await self.spans.close()

    # The uplink.

    def connected(self) -> None:
        """The cloud welcomed this edge."""
        self.metrics.connections.inc()

    def disconnected(self) -> None:
        """A welcomed connection ended."""
        self.metrics.disconnects.inc()

    def sends(self, request: uplink_pb2.UplinkRequest) -> None:
        """A message goes to the cloud."""
        kind = request.WhichOneof("message") or "none"
        self.metrics.messages.labels(kind).inc()
        self.metrics.sent_bytes.inc(request_bytes(request))
        if kind == "chunk":
            chunk = request.chunk
            log.debug("chunk sent", job_id=chunk.job_id.hex(), segment=chunk.segment, sequence=chunk.sequence)
            segments = self._running.get(chunk.job_id)
            if segments is not None:
                seen = segments.setdefault(chunk.segment, _Seen())
                again = chunk.sequence < seen.sent
                seen.sent = max(seen.sent, chunk.sequence + 1)
                self.metrics.chunks_sent.labels("yes" if again else "no").inc()
                self.metrics.partials_sent.inc(chunk.HasField("partial"))

    def told(self, answer: uplink_pb2.UplinkResponse) -> None:
        """A message came from the cloud."""
        self.metrics.received_bytes.inc(answer.ByteSize())
        match answer.WhichOneof("message"):
            case "ack":
                self.metrics.chunks_acked.inc()
                ack = answer.ack
                log.debug("chunks acked", job_id=ack.job_id.hex(), segment=ack.segment, next=ack.next_sequence)
            case "credit":
                self.metrics.credit_granted.inc(answer.credit.bytes)
            case "partials_refused":
                self.metrics.partials_refused.inc()
            case "refused":
                status = status_pb2.Status.FromString(answer.refused.error.SerializeToString())
                self.metrics.refusals.labels(self.metrics.reasons(read_details(status).reason)).inc()
            case _:
                pass

    # Faults.

    def worker_died(self) -> None:
        """A witness worker ended in the middle of a segment."""
        self.metrics.worker_losses.inc()

    def leaf_refused(self) -> None:
        """A leaf proof of the cloud did not verify, or was for a private job."""
        self.metrics.leaves_refused.inc()

    # Segments and jobs.

    def _segment(self, job_id: bytes, index: int, now: int) -> None:
        job, segments = self._jobs.get(job_id), self._running.get(job_id)
        if job is None or segments is None:
            return
        s, seen = job.segments[index], segments.setdefault(index, _Seen())
        placement = job.plan.placement.name.lower()
        for timing in s.timings.values():
            complete = s.state.ended or timing.phase not in SUMMED
            if complete and timing.phase in EDGE_PHASES and timing.phase not in seen.phases:
                seen.phases.add(timing.phase)
                self.metrics.stage(timing.phase, timing.duration / 1e9, placement, self._backend, trace_hex(job_id))
        if s.state.ended and not seen.ended:
            seen.ended = True
            self.metrics.segments.labels(placement, s.state.name.lower()).inc()
            if s.state is SegmentState.VERIFIED:
                self.verified.add()
            if self.spans is not None:
                self.spans.put(segment_spans("edge", _piece(job, s, now)))

    def _job(self, job_id: bytes) -> None:
        """The one line that says how a job went, its span and its counters."""
        job = self._jobs.get(job_id)
        if job is None or job.state is JobState.RUNNING or self._running.pop(job_id, None) is None:
            return
        placement, state = job.plan.placement.name.lower(), job.state.name.lower()
        seconds = (job.ended - job.accepted) / 1e9
        code = job.failure.code.name if job.failure is not None else "OK"
        error = job.failure.message if job.failure is not None else ""
        self.metrics.jobs_ended.labels(placement, state, code).inc()
        self.metrics.job_seconds.labels(placement, state).observe(seconds, {"trace_id": trace_hex(job_id)})
        if self.spans is not None:
            self.spans.put(
                [job_span("edge", job_id, placement, state, len(job.segments), job.accepted, job.ended, error)]
            )
        stages = _stage_milliseconds(job)
        tell = log.info if job.state is JobState.DONE else log.warning
        tell(
            "job ended",
            job_id=job_id.hex(),
            trace_id=trace_hex(job_id),
            state=state,
            placement=placement,
            segments=len(job.segments),
            verified=sum(s.state is SegmentState.VERIFIED for s in job.segments),
            seconds=round(seconds, 3),
            waited_ms=sum(ms for stage, ms in stages.items() if KINDS[stage] is Kind.WAIT),
            worked_ms=sum(ms for stage, ms in stages.items() if KINDS[stage] is Kind.COMPUTE),
            stages_ms=stages,
            code=code,
            error=error,
        )


def _stage_milliseconds(job: Job) -> dict[str, int]:
    """Milliseconds over all segments for each known stage, those that the cloud told included."""
    sums: dict[str, int] = {}
    for s in job.segments:
        for timing in s.timings.values():
            if timing.phase in KINDS:
                sums[timing.phase] = sums.get(timing.phase, 0) + timing.duration
    return {stage: sums[stage] // 1_000_000 for stage in KINDS if stage in sums}


def _piece(job: Job, s: Segment, now: int) -> Piece:
    """The segment for its spans: what was measured here."""
    stages = [(t.phase, t.start, t.duration) for t in s.timings.values() if t.phase in EDGE_PHASES]
    return Piece(
        job.id,
        s.index,
        s.circuit,
        job.plan.placement.name.lower(),
        s.state.name.lower(),
        job.accepted,
        now,
        stages,
        s.failure.message if s.failure is not None else "",
    )
