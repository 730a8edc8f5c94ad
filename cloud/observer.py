"""Sees every event and every instruction of the cloud and turns them into metrics, spans and one log line a job.

The machine and its parts know nothing of it. Cost: a few microseconds an event; memory: a few numbers for each
segment that is not over.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import structlog
from google.rpc import status_pb2

from hybrid_prover.errors import code_name, read_details
from hybrid_prover.telemetry.certificates import Expiries
from hybrid_prover.telemetry.sizes import request_bytes
from hybrid_prover.telemetry.spans import Piece, SpanSink, job_span, segment_spans, trace_hex
from hybrid_prover.telemetry.stages import KINDS, Kind, RecentRate
from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2, uplink_pb2

from . import messages as m
from .assembly import DONE as ASSEMBLY_DONE
from .assembly import RUNNING as ASSEMBLY_RUNNING
from .assembly import Assembly
from .attempts import QUARANTINE_REASON, Attempt, Outcome
from .errors import INTERNAL
from .leases import LOCAL
from .metrics import CloudMetrics
from .model import ENDED_STATES, FAILED, PROVED, PROVING, RUNNING, VERIFIED, Job, Segment, SegmentKey
from .trust import Distrust

log = structlog.get_logger(__name__)

_EDGE_STAGES = frozenset({"edge_queue", "witness", "prove"})
"""Measured by edges: told in the job's log line, counted by the edges themselves."""


_SESSIONS_KEPT = 4096


def placement_label(placement: int) -> str:
    """`cloud`, `split` or `private`."""
    return common_pb2.Placement.Name(placement).removeprefix("PLACEMENT_").lower()


def segment_label(state: int) -> str:
    """A segment's state as a label."""
    return job_pb2.SegmentState.Name(state).removeprefix("SEGMENT_STATE_").lower()


def job_label(state: int) -> str:
    """A job's state as a label."""
    return job_pb2.JobState.Name(state).removeprefix("JOB_STATE_").lower()


def assembly_label(state: int) -> str:
    """An assembly's state as a label."""
    return assembly_pb2.AssemblyState.Name(state).removeprefix("ASSEMBLY_STATE_").lower()


class CloudObserver:
    """One for each cloud, on its event loop; the methods under "Also from other threads" may be called from any."""

    def __init__(self, metrics: CloudMetrics, backend: str, device: str, tls: Path | None) -> None:
        self.metrics = metrics
        self.expiries = Expiries(tls)
        self.spans: SpanSink | None = None
        """Where traces go, if anywhere."""
        self.verified = RecentRate()
        """Segments verified."""
        self._backend = backend
        self._pending: dict[SegmentKey, deque[tuple[int, float]]] = {}
        """(sequence, arrival) of chunks on their way to the disk."""
        self._sessions: OrderedDict[bytes, str] = OrderedDict()
        metrics.backend_info.labels(backend, device).set(1)

    def saw(self, event: m.Event, instructions: Sequence[m.Instruction], now: int) -> None:
        """One event and what the machine made of it, before that is carried out; `now` as the machine was told.

        Never raises: who is watched does not stumble over who watches.
        """
        try:
            self._saw(event, instructions, now)
        except Exception as e:
            log.error("observer_failed", kind=type(event).__name__, exc_info=e)

    def _saw(self, event: m.Event, instructions: Sequence[m.Instruction], now: int) -> None:
        if isinstance(event, m.Received):
            self._received(event.request, instructions)
        elif isinstance(event, m.ChunksDurable):
            self._durable(event)
        elif isinstance(event, m.PartialsWrong):
            self.metrics.partials_wrong.inc(len(event.sequences))
        for instruction in instructions:
            match instruction:
                case m.Send():
                    self._sent(instruction.response)
                case m.Close():
                    self.metrics.closes.labels(self.metrics.reasons(read_details(instruction.error).reason)).inc()
                case m.SaveJob():
                    if instruction.job.accepted_nanos == now:
                        self.metrics.jobs_accepted.labels(placement_label(instruction.job.placement)).inc()
                case m.SaveSegment():
                    self._segment(event, instruction.job, instruction.segment, now)
                case m.SaveState():
                    if instruction.job.state != RUNNING and instruction.job.ended_nanos == now:
                        self._job(instruction.job)
                case m.SaveAssembly():
                    if instruction.assembly.state != ASSEMBLY_RUNNING and instruction.assembly.ended_nanos == now:
                        self._assembly(instruction.assembly)
                case m.SaveDistrust():
                    self._distrusted(instruction.record)
                case _:
                    pass

    def _distrusted(self, record: Distrust) -> None:
        self.metrics.edges_distrusted.inc()
        log.error(
            "edge_distrusted",
            edge=record.edge_name,
            identity=record.identity,
            session=record.fingerprint,
            job_id=record.job_id.hex(),
            segment=record.segment,
            sequences=list(record.sequences),
        )

    async def close(self) -> None:
        """Ends the metrics' page and sends the last spans."""
        await self.metrics.stop()
        if self.spans is not None:
            await self.spans.close()

    # The uplink.

    def _received(self, request: uplink_pb2.UplinkRequest, instructions: Sequence[m.Instruction]) -> None:
        metrics, kind = self.metrics, request.WhichOneof("message") or "none"
        metrics.messages.labels(kind).inc()
        size = request_bytes(request)
        metrics.received_bytes.inc(size)
        if kind == "chunk":
            chunk, outcome = request.chunk, self._chunk(request.chunk, size, instructions)
            metrics.chunks.labels(outcome).inc()
            log.debug(
                "chunk_received",
                job_id=chunk.job_id.hex(),
                segment=chunk.segment,
                sequence=chunk.sequence,
                outcome=outcome,
            )
        elif kind == "hello" and any(isinstance(i, m.Send) for i in instructions):
            metrics.connections.inc()
            if request.hello.session_id in self._sessions:
                metrics.reconnects.inc()
            self._sessions[request.hello.session_id] = request.hello.edge_name
            self._sessions.move_to_end(request.hello.session_id)
            if len(self._sessions) > _SESSIONS_KEPT:
                self._sessions.popitem(last=False)

    def _chunk(self, chunk: uplink_pb2.Chunk, size: int, instructions: Sequence[m.Instruction]) -> str:
        outcome = "dropped"
        for instruction in instructions:
            if isinstance(instruction, m.AppendChunk):
                self.metrics.chunk_bytes.inc(size)
                self.metrics.partials.inc(instruction.chunk.HasField("partial"))
                pending = self._pending.setdefault((chunk.job_id, chunk.segment), deque())
                pending.append((chunk.sequence, time.monotonic()))
                return "accepted"
            if isinstance(instruction, m.Send):
                if instruction.response.HasField("refused"):
                    return "refused"
                if instruction.response.HasField("ack"):
                    outcome = "duplicate"
        return outcome

    def _durable(self, event: m.ChunksDurable) -> None:
        pending, now = self._pending.get(event.key), time.monotonic()
        while pending and pending[0][0] < event.next_sequence:
            self.metrics.chunk_durable_seconds.observe(now - pending.popleft()[1])
        if event.ended or not pending:
            self._pending.pop(event.key, None)

    def _sent(self, response: uplink_pb2.UplinkResponse) -> None:
        metrics = self.metrics
        metrics.sent_bytes.inc(response.ByteSize())
        match response.WhichOneof("message"):
            case "ack":
                metrics.acks.inc()
                ack = response.ack
                log.debug("chunks_acked", job_id=ack.job_id.hex(), segment=ack.segment, next=ack.next_sequence)
            case "credit":
                metrics.credit_granted.inc(response.credit.bytes)
            case "refused":
                status = status_pb2.Status.FromString(response.refused.error.SerializeToString())
                metrics.refusals.labels(metrics.reasons(read_details(status).reason)).inc()
            case _:
                pass

    def edge_name(self, session_id: bytes) -> str:
        """What the edge of a session is called; empty if that is forgotten."""
        return self._sessions.get(session_id, "")

    # Segments and jobs.

    def _segment(self, event: m.Event, job: Job, segment: Segment, now: int) -> None:
        placement, key = placement_label(job.placement), (job.job_id, segment.index)
        self.metrics.segments.labels(placement, segment_label(segment.state)).inc()
        remote = isinstance(event, m.LeafProved | m.SegmentBroken) and bool(segment.lease_worker)
        backend, trace = "remote" if remote else self._backend, trace_hex(job.job_id)
        for timing in _measured_here(event, segment, key):
            self.metrics.stage(timing.phase, timing.duration_nanos / 1e9, placement, backend, trace)
        if segment.state == VERIFIED:
            self.verified.add()
        if segment.state == FAILED and segment.error is not None:
            self.metrics.quarantined.inc(read_details(segment.error).reason == QUARANTINE_REASON)
        if segment.state in ENDED_STATES:
            self._pending.pop(key, None)
            if self.spans is not None:
                self.spans.put(segment_spans("cloud", _piece(job, segment, placement, now)))

    def _job(self, job: Job) -> None:
        """The one line that says how a job went, its span and its counters."""
        placement, state = placement_label(job.placement), job_label(job.state)
        seconds = (job.ended_nanos - job.accepted_nanos) / 1e9
        code = code_name(job.error.code) if job.error is not None else "OK"
        self.metrics.jobs_ended.labels(placement, state, code).inc()
        self.metrics.job_seconds.labels(placement, state).observe(seconds, {"trace_id": trace_hex(job.job_id)})
        if self.spans is not None:
            error = job.error.message if job.error is not None else ""
            count, start, end = len(job.segments), job.accepted_nanos, job.ended_nanos
            self.spans.put([job_span("cloud", job.job_id, placement, state, count, start, end, error)])
        measured = [t for s in job.segments for t in s.timings]
        measured += job.assembly.timings if job.assembly is not None else []
        stages = stage_milliseconds((t.phase, t.duration_nanos) for t in measured)
        tell = log.info if job.error is None else log.warning
        tell(
            "job_ended",
            job_id=job.job_id.hex(),
            trace_id=trace_hex(job.job_id),
            state=state,
            placement=placement,
            segments=len(job.segments),
            verified=sum(s.state == VERIFIED for s in job.segments),
            seconds=round(seconds, 3),
            waited_ms=sum(ms for stage, ms in stages.items() if KINDS[stage] is Kind.WAIT),
            worked_ms=sum(ms for stage, ms in stages.items() if KINDS[stage] is Kind.COMPUTE),
            stages_ms=stages,
            code=code,
            error=job.error.message if job.error is not None else "",
        )

    def _assembly(self, assembly: Assembly) -> None:
        state = assembly_label(assembly.state)
        code = code_name(assembly.error.code) if assembly.error is not None else "OK"
        self.metrics.assemblies_ended.labels(state, code).inc()
        self.metrics.assembled_leaves.inc(assembly.leaves if assembly.state == ASSEMBLY_DONE else 0)
        trace = trace_hex(assembly.owner or assembly.assembly_id)
        for timing in assembly.timings:
            self.metrics.stage(timing.phase, timing.duration_nanos / 1e9, "assembly", self._backend, trace)
        tell = log.info if assembly.error is None else log.warning
        tell(
            "assembly_ended",
            assembly_id=assembly.assembly_id.hex(),
            job_id=assembly.owner.hex(),
            state=state,
            jobs=len(assembly.job_ids),
            leaves=assembly.leaves,
            assemblies=assembly.nodes,
            seconds=round((assembly.ended_nanos - assembly.accepted_nanos) / 1e9, 3),
            stages_ms=stage_milliseconds((t.phase, t.duration_nanos) for t in assembly.timings),
            code=code,
            error=assembly.error.message if assembly.error is not None else "",
        )

    def batch(self, cause: str, size: int, failed: int) -> None:
        """A batch was verified."""
        self.metrics.batches.labels(cause).inc()
        self.metrics.batch_size.observe(size)
        self.metrics.bad_proofs.inc(failed)

    @contextlib.contextmanager
    def store_write(self) -> Iterator[None]:
        """Measures a write of the store, from asking for it to its being durable."""
        with self.metrics.store_write_seconds.time():
            yield

    # Also from other threads.

    def attempt_ended(self, attempt: Attempt) -> None:
        """An attempt at a segment ended without a proof."""
        self.metrics.failed_attempts.labels(attempt.outcome.name.lower()).inc()
        if attempt.outcome is Outcome.LOST:
            self.metrics.worker_losses.inc()
        elif attempt.error is not None and attempt.error.code == INTERNAL:
            self.metrics.device_faults.labels(self._backend if attempt.worker == LOCAL else "remote").inc()

    def storage_failed(self) -> None:
        """A segment's chunks could not be written."""
        self.metrics.storage_failures.inc()


def stage_milliseconds(timings: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Milliseconds over all segments for each known stage, in the order of a segment's life."""
    sums: dict[str, int] = {}
    for stage, nanos in timings:
        if stage in KINDS:
            sums[stage] = sums.get(stage, 0) + nanos
    return {stage: sums[stage] // 1_000_000 for stage in KINDS if stage in sums}


def _measured_here(event: m.Event, segment: Segment, key: SegmentKey) -> Iterable[common_pb2.PhaseTiming]:
    """What the cloud itself has measured up to this change; never what an edge says that it measured."""
    match event:
        case m.LeafProved() if event.key == key and segment.state == PROVED:
            return event.timings
        case m.SegmentBroken() if event.key == key and segment.state == FAILED:
            return event.timings
        case m.BatchChecked() if segment.state in (VERIFIED, FAILED) and key in (*event.good, *event.bad):
            return event.timings(key)
        case m.ChunksDurable() if event.key == key and segment.state == PROVING:
            return segment.timings[-1:]
        case _:
            return ()


def _piece(job: Job, segment: Segment, placement: str, now: int) -> Piece:
    """The segment for its spans: of two measurements of a stage, the cloud's came last."""
    stages = {t.phase: t for t in segment.timings if t.phase in KINDS and t.phase not in _EDGE_STAGES}
    return Piece(
        job.job_id,
        segment.index,
        segment.circuit.digest,
        placement,
        segment_label(segment.state),
        segment.upload_started_nanos,
        now,
        [(t.phase, t.start_unix_nanos, t.duration_nanos) for t in stages.values()],
        segment.error.message if segment.error is not None and segment.state == FAILED else "",
    )
