"""The cloud's state machine: sessions, jobs, segments, the order of chunks. Events go in, instructions come out.

No I/O, no clock, no entropy: the same events at the same times give the same instructions. What `Save*` and `Append*`
ask for is durable before anybody is told (see messages.py). Rules for a chunk with sequence number s, w being wanted:

    s = w   taken if digest, range and encoding are right and no wire comes twice; otherwise the segment fails
            (DATA_LOSS excepted: the edge sends it again)
    s < w   equal digest: dropped and acked again; other digest: ALREADY_EXISTS, the segment keeps what it has
    s > w   OUT_OF_RANGE with next_sequence = w, once for each run of chunks that were already under way
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from google.rpc import status_pb2

from hybrid_prover.v1 import common_pb2, job_pb2, uplink_pb2

from . import answers
from . import messages as m
from .coverage import Coverage
from .errors import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    RESOURCE_EXHAUSTED,
    WireError,
    make_status,
    refuse,
)
from .model import (
    CANCELLED,
    ENDED_STATES,
    FAILED,
    JOB_CANCELLED,
    JOB_DONE,
    JOB_FAILED,
    OPEN_STATES,
    PROVED,
    PROVING,
    QUEUED,
    RUNNING,
    UPLOADING,
    VERIFIED,
    CircuitInfo,
    InFlight,
    Job,
    Segment,
)
from .sessions import Session, Sessions, draining
from .validation import (
    check_chunk_digest,
    check_chunk_range,
    check_chunk_size,
    check_open,
    check_same,
    parse_leaf,
    usable_timings,
)

CANCELLED_CODE = 1
ENDED_JOBS_KEPT = 256
"""Ended jobs kept in memory for edges that come back; older ones are read from the store."""


class Machine:
    """All jobs that are not over, and the sessions that feed them."""

    def __init__(self, sessions: Sessions, *, max_chunk_bytes: int, max_segments: int, backlog_bytes: int) -> None:
        self.sessions = sessions
        self.jobs: dict[bytes, Job] = {}
        self.circuits: dict[bytes, CircuitInfo] = {}
        self.draining_ms: int | None = None
        self._ended: deque[bytes] = deque()
        self._max_chunk_bytes = max_chunk_bytes
        self._max_segments = max_segments
        self._backlog_bytes = backlog_bytes

    # What the runtime calls.

    def handle(self, event: m.Event, now: int) -> list[m.Instruction]:
        """Takes one event at a time in Unix nanoseconds; O(1) but for opening and ending jobs."""
        match event:
            case m.Received():
                return self._received(event.connection, event.request, now)
            case m.ChunksDurable():
                return self._durable(event, now)
            case m.LeafProved():
                return self._proved(event, now)
            case m.SegmentBroken():
                return self._broken(event, now)
            case m.BatchChecked():
                return self._checked(event, now)
            case m.JobSaved():
                if event.job_id in self.jobs:
                    self.jobs[event.job_id].durable = True
                return []
            case m.CircuitKnown():
                self.circuits[event.circuit.digest] = event.circuit
                return []
            case m.Disconnected():
                self._unsubscribe(self.sessions.disconnected(event.connection))
                return []
            case m.Drain():
                self.draining_ms = event.retry_after_ms
                message = uplink_pb2.UplinkResponse(
                    draining=uplink_pb2.Draining(retry_after_millis=event.retry_after_ms)
                )
                return [m.Send(c, message) for c in self.sessions.connections()]

    def restore(self, job: Job) -> list[m.Instruction]:
        """Takes up a job from the store, its segments as far as their logs go; gives the work that is due."""
        job.durable = True
        self.jobs[job.job_id] = job
        if job.state != RUNNING:
            self._retire(job)
            return []
        out: list[m.Instruction] = []
        for segment in job.segments:
            key = (job.job_id, segment.index)
            if segment.state in OPEN_STATES and segment.ended:
                segment.state = PROVING
            if segment.state in OPEN_STATES | {PROVING} and job.placement == common_pb2.PLACEMENT_CLOUD:
                if segment.acked:
                    out.append(m.Advance(key, segment.circuit, segment.acked, segment.state == PROVING))
            elif segment.state == PROVED and segment.leaf is not None:
                out.append(m.Verify(key, segment.circuit, segment.leaf))
        if all(s.state in (PROVED, VERIFIED) for s in job.segments):
            out.append(m.LeavesComplete(job.job_id))
        return out

    # Messages of edges.

    def _received(self, connection: int, request: uplink_pb2.UplinkRequest, now: int) -> list[m.Instruction]:
        session = self.sessions.of(connection)
        if request.HasField("hello"):
            if self.draining_ms is not None:
                return [m.Close(connection, draining(self.draining_ms))]
            try:
                return self.sessions.hello(connection, request.hello)
            except WireError as e:
                return [m.Close(connection, e.status)]
        if session is None:
            error = make_status(FAILED_PRECONDITION, "the first message of a connection is Hello", reason="NO_HELLO")
            return [m.Close(connection, error)]
        match request.WhichOneof("message"):
            case "open_job":
                return self._open(connection, session, request.open_job, now)
            case "chunk":
                return self._chunk(connection, session, request.chunk, now)
            case "segment_end":
                return self._end(connection, session, request.segment_end, now)
            case "segment_proof":
                return self._private_proof(connection, session, request.segment_proof, now)
            case "segment_failure":
                return self._edge_gave_up(connection, session, request.segment_failure, now)
            case "abort_job":
                return self._abort(connection, session, request.abort_job, now)
            case _:
                error = make_status(INVALID_ARGUMENT, "a message of an unknown kind", reason="EMPTY_MESSAGE")
                return [answers.refused(connection, error)]

    def _open(self, connection: int, session: Session, message: uplink_pb2.OpenJob, now: int) -> list[m.Instruction]:
        job = self.jobs.get(message.job_id)
        out: list[m.Instruction] = []
        try:
            if self.draining_ms is not None:
                raise WireError(draining(self.draining_ms))
            if job is None:
                job = self._new_job(message, now)
                self.jobs[job.job_id] = job
            else:
                check_same(message, job)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id)]
        if not job.durable:
            out.append(m.SaveJob(job))
        job.subscribers.add(session.session_id)
        opened = uplink_pb2.JobOpened(job_id=job.job_id)
        for segment in job.segments:
            segment.last_gap = -1
            done = segment.state not in OPEN_STATES or segment.ended
            opened.positions.add(next_sequence=segment.received, complete=done)
        out.append(m.Send(connection, uplink_pb2.UplinkResponse(job_opened=opened)))
        out += [m.Send(connection, news) for news in answers.news(job)]
        out.append(m.Changed(job.job_id))
        return out

    def _new_job(self, message: uplink_pb2.OpenJob, now: int) -> Job:
        circuits = check_open(message, self.circuits, self._max_segments)
        job = Job(
            job_id=message.job_id,
            name=message.name,
            placement=message.placement,
            links=list(message.links),
            segments=[Segment(i, circuit) for i, circuit in enumerate(circuits)],
            accepted_nanos=now,
        )
        backlog = sum(other.witness_bytes for other in self.jobs.values())
        if backlog and backlog + job.witness_bytes > self._backlog_bytes:
            raise refuse(
                RESOURCE_EXHAUSTED,
                f"the job's witnesses need up to {job.witness_bytes} bytes and this cloud holds {backlog} already",
                reason="BACKLOG_FULL",
                retry_after_ms=5000,
            )
        return job

    def _locate(
        self, session: Session, job_id: bytes, index: int, placement: common_pb2.Placement | None
    ) -> tuple[Job, Segment]:
        job = self.jobs.get(job_id)
        if job is None or session.session_id not in job.subscribers or not job.durable:
            raise refuse(
                NOT_FOUND,
                "this job is not open on this session: send OpenJob, wait for JobOpened",
                reason="JOB_NOT_OPEN",
            )
        if index >= len(job.segments):
            raise refuse(
                INVALID_ARGUMENT,
                f"segment {index} of {len(job.segments)}",
                reason="SEGMENT_RANGE",
                field=f"segments[{index}]",
            )
        if placement is not None and job.placement != placement:
            raise refuse(
                FAILED_PRECONDITION,
                f"segments[{index}]: a job of placement {common_pb2.Placement.Name(job.placement)} refuses this",
                reason="PLACEMENT_CONFLICT",
                field=f"segments[{index}]",
            )
        return job, job.segments[index]

    def _chunk(self, connection: int, session: Session, chunk: uplink_pb2.Chunk, now: int) -> list[m.Instruction]:
        size = len(chunk.payload)
        wanted = 0
        try:
            self.sessions.spend(session, size)
        except WireError as e:
            return [answers.refused(connection, e.status, chunk.job_id, chunk.segment)]
        try:
            job, segment = self._locate(session, chunk.job_id, chunk.segment, common_pb2.PLACEMENT_CLOUD)
            wanted = segment.received
            if segment.state not in OPEN_STATES:
                return [*self.sessions.release(session.session_id, size), answers.ack(connection, job, segment)]
            check_chunk_size(chunk, self._max_chunk_bytes)
            check_chunk_digest(chunk)
        except WireError as e:
            segment_known = chunk.job_id in self.jobs and chunk.segment < len(self.jobs[chunk.job_id].segments)
            if segment_known and e.status.code != NOT_FOUND:
                self.jobs[chunk.job_id].segments[chunk.segment].last_gap = chunk.sequence
            return [
                *self.sessions.release(session.session_id, size),
                answers.refused(connection, e.status, chunk.job_id, chunk.segment, wanted),
                *self._fail_if_final(chunk, wanted, e.status, now),
            ]
        if chunk.sequence != segment.received or segment.ended:
            return [
                *self.sessions.release(session.session_id, size),
                *answers.out_of_order(connection, job, segment, chunk),
            ]
        return self._take(connection, session, job, segment, chunk, now)

    def _take(
        self, connection: int, session: Session, job: Job, segment: Segment, chunk: uplink_pb2.Chunk, now: int
    ) -> list[m.Instruction]:
        stop = chunk.wire_offset + chunk.wire_count
        try:
            check_chunk_range(chunk, segment.circuit.wires)
            if segment.coverage.overlaps(chunk.wire_offset, stop):
                where = f"segments[{chunk.segment}].chunks[{chunk.sequence}]"
                raise refuse(
                    INVALID_ARGUMENT,
                    f"{where}: some of wires {chunk.wire_offset} to {stop - 1} came before",
                    reason="WIRE_OVERLAP",
                    field=f"{where}.wire_offset",
                )
        except WireError as e:
            return [
                *self.sessions.release(session.session_id, len(chunk.payload)),
                answers.refused(connection, e.status, job.job_id, segment.index, segment.received),
                *self._fail(job, segment, e.status, now),
            ]
        out: list[m.Instruction] = []
        if segment.state == QUEUED:
            segment.state, segment.upload_started_nanos = UPLOADING, now
            job.revision += 1
            out.append(m.Changed(job.job_id))
        segment.coverage.add(chunk.wire_offset, stop)
        segment.received += 1
        segment.last_gap = -1
        segment.digests.append(chunk.digest)
        segment.in_flight.append(InFlight(chunk.sequence, chunk.wire_count, len(chunk.payload), session.session_id))
        out.append(m.AppendChunk(chunk))
        return out

    def _fail_if_final(
        self, chunk: uplink_pb2.Chunk, wanted: int, error: status_pb2.Status, now: int
    ) -> list[m.Instruction]:
        """An oversized chunk that was wanted can never come: its segment fails."""
        job = self.jobs.get(chunk.job_id)
        if error.code != RESOURCE_EXHAUSTED or job is None or chunk.sequence != wanted:
            return []
        return self._fail(job, job.segments[chunk.segment], error, now)

    def _end(self, connection: int, session: Session, message: uplink_pb2.SegmentEnd, now: int) -> list[m.Instruction]:
        try:
            job, segment = self._locate(session, message.job_id, message.segment, common_pb2.PLACEMENT_CLOUD)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id, message.segment)]
        where = f"segments[{segment.index}]"
        if segment.state not in OPEN_STATES or segment.ended:
            return []
        if message.chunk_count > segment.received:
            return answers.gap(connection, job, segment, message.chunk_count)
        error: status_pb2.Status | None = None
        if message.chunk_count < segment.received:
            error = make_status(
                ALREADY_EXISTS,
                f"{where}: ended after {message.chunk_count} chunks, {segment.received} have come",
                reason="END_CONFLICT",
                field=f"{where}.chunk_count",
            )
            return [answers.refused(connection, error, job.job_id, segment.index, segment.received)]
        if segment.coverage.count != segment.circuit.wires:
            error = make_status(
                INVALID_ARGUMENT,
                f"{where}: the chunks hold {segment.coverage.count} of {segment.circuit.wires} wires",
                reason="INCOMPLETE_WITNESS",
                field=f"{where}.wires",
            )
            refused = answers.refused(connection, error, job.job_id, segment.index, segment.received)
            return [refused, *self._fail(job, segment, error, now)]
        segment.ended = True
        segment.timings.extend(usable_timings(message.timings))
        return [m.AppendEnd((job.job_id, segment.index), segment.received)]

    def _private_proof(
        self, connection: int, session: Session, message: uplink_pb2.SegmentProof, now: int
    ) -> list[m.Instruction]:
        try:
            job, segment = self._locate(session, message.job_id, message.segment, common_pb2.PLACEMENT_PRIVATE)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id, message.segment)]
        if segment.state not in OPEN_STATES:
            return [m.Send(connection, news) for news in answers.segment_news(job, segment)]
        try:
            parse_leaf(message.leaf, segment.circuit.n_public, f"segments[{segment.index}]")
        except WireError as e:
            refused = answers.refused(connection, e.status, job.job_id, segment.index)
            return [refused, *self._fail(job, segment, e.status, now)]
        segment.timings.extend(usable_timings(message.timings))
        segment.wires_acked = segment.circuit.wires
        return self._leaf(job, segment, message.leaf)

    def _edge_gave_up(
        self, connection: int, session: Session, message: uplink_pb2.SegmentFailure, now: int
    ) -> list[m.Instruction]:
        try:
            job, segment = self._locate(session, message.job_id, message.segment, None)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id, message.segment)]
        if segment.state not in OPEN_STATES:
            return []
        error = message.error
        if not error.code or error.ByteSize() > 8192:
            error = make_status(
                error.code or FAILED_PRECONDITION,
                f"segments[{segment.index}]: the edge gave up: {error.message[:512]}",
                reason="EDGE_GAVE_UP",
                field=f"segments[{segment.index}]",
            )
        return self._fail(job, segment, error, now)

    def _abort(self, connection: int, session: Session, message: uplink_pb2.AbortJob, now: int) -> list[m.Instruction]:
        job = self.jobs.get(message.job_id)
        if job is None or session.session_id not in job.subscribers:
            error = make_status(NOT_FOUND, "this job is not open on this session", reason="JOB_NOT_OPEN")
            return [answers.refused(connection, error, message.job_id)]
        if job.state != RUNNING:
            return [m.Send(connection, news) for news in answers.job_news(job)]
        error = make_status(CANCELLED_CODE, "the job was cancelled by a client", reason="CANCELLED")
        return self._end_job(job, JOB_CANCELLED, error, now, also=(PROVED,))

    # What storage, prover and batcher report.

    def _durable(self, event: m.ChunksDurable, now: int) -> list[m.Instruction]:
        job_id, index = event.key
        job = self.jobs.get(job_id)
        if job is None:
            return []
        segment = job.segments[index]
        out: list[m.Instruction] = []
        while segment.in_flight and segment.in_flight[0].sequence < event.next_sequence:
            chunk = segment.in_flight.popleft()
            segment.wires_acked += chunk.wires
            out += self.sessions.release(chunk.session, chunk.payload_bytes)
        if segment.state not in OPEN_STATES:
            return out
        grew = event.next_sequence > segment.acked
        segment.acked = max(segment.acked, event.next_sequence)
        if grew:
            out += [answers.ack(c, job, segment) for c in self._listeners(job)]
        if event.ended:
            segment.state = PROVING
            out += self._let_go(segment)
            segment.timings.append(answers.span("upload", segment.upload_started_nanos, now))
            job.revision += 1
            out.append(m.SaveSegment(job, segment))
            proving = uplink_pb2.SegmentUpdate(
                job_id=job_id, segment=index, proving=uplink_pb2.SegmentProving(), timings=segment.timings
            )
            out = [*out, *self._tell(job, uplink_pb2.UplinkResponse(segment_update=proving))]
        advance = m.Advance(event.key, segment.circuit, segment.acked, event.ended)
        return [advance, *out, m.Changed(job_id)]

    def _proved(self, event: m.LeafProved, now: int) -> list[m.Instruction]:
        job = self.jobs.get(event.key[0])
        if job is None or job.segments[event.key[1]].state != PROVING:
            return []
        segment = job.segments[event.key[1]]
        segment.timings.extend(event.timings)
        return self._leaf(job, segment, event.leaf)

    def _leaf(self, job: Job, segment: Segment, leaf: common_pb2.LeafProof) -> list[m.Instruction]:
        key = (job.job_id, segment.index)
        segment.leaf, segment.state = leaf, PROVED
        job.revision += 1
        out: list[m.Instruction] = [m.SaveSegment(job, segment)]
        out += self._tell(job, *answers.segment_news(job, segment))
        out.append(m.Discard(key))
        out.append(m.Verify(key, segment.circuit, leaf))
        if all(s.state in (PROVED, VERIFIED) for s in job.segments):
            out.append(m.LeavesComplete(job.job_id))
        return [*out, m.Changed(job.job_id)]

    def _broken(self, event: m.SegmentBroken, now: int) -> list[m.Instruction]:
        job = self.jobs.get(event.key[0])
        if job is None or job.segments[event.key[1]].state in ENDED_STATES:
            return []
        segment = job.segments[event.key[1]]
        segment.timings.extend(event.timings)
        return self._fail(job, segment, event.error, now)

    def _checked(self, event: m.BatchChecked, now: int) -> list[m.Instruction]:
        out: list[m.Instruction] = []
        touched: dict[bytes, Job] = {}
        for job_id, index in event.good:
            job = self.jobs.get(job_id)
            if job is None or job.segments[index].state != PROVED:
                continue
            segment = job.segments[index]
            segment.state, segment.batch_id = VERIFIED, event.batch_id
            segment.timings.append(event.timing)
            job.revision += 1
            touched[job_id] = job
            out.append(m.SaveSegment(job, segment))
            out += self._tell(job, answers.verified(job, segment))
        for key in event.bad:
            job = self.jobs.get(key[0])
            if job is not None and job.segments[key[1]].state == PROVED:
                touched[key[0]] = job
                segment = job.segments[key[1]]
                segment.batch_id = event.batch_id
                segment.timings.append(event.timing)
                out += self._fail(job, segment, answers.batch_error(job, segment), now)
        for job in touched.values():
            if job.state == RUNNING and all(s.state == VERIFIED for s in job.segments):
                broken = answers.broken_link(job)
                out += self._end_job(job, JOB_FAILED if broken else JOB_DONE, broken, now)
            out.append(m.Changed(job.job_id))
        return out

    # How things end.

    def _fail(self, job: Job, segment: Segment, error: status_pb2.Status, now: int) -> list[m.Instruction]:
        if segment.state in ENDED_STATES:
            return []
        segment.state, segment.error = FAILED, error
        job.revision += 1
        out = [m.SaveSegment(job, segment), *self._let_go(segment), m.Discard((job.job_id, segment.index))]
        out += self._tell(job, *answers.segment_news(job, segment))
        if job.state == RUNNING:
            out += self._end_job(job, JOB_FAILED, error, now)
        return [*out, m.Changed(job.job_id)]

    def _end_job(
        self,
        job: Job,
        state: job_pb2.JobState,
        error: status_pb2.Status | None,
        now: int,
        also: tuple[job_pb2.SegmentState, ...] = (),
    ) -> list[m.Instruction]:
        """Ends a job. What cannot be of use any more is stopped; leaf proofs that exist are kept."""
        out: list[m.Instruction] = []
        for segment in job.segments:
            if segment.state in OPEN_STATES or segment.state == PROVING or segment.state in also:
                segment.state = CANCELLED
                out += [m.SaveSegment(job, segment), *self._let_go(segment), m.Discard((job.job_id, segment.index))]
        job.state, job.error, job.ended_nanos = state, error, now
        job.revision += 1
        out.append(m.SaveState(job))
        out += self._tell(job, *answers.job_news(job))
        out.append(m.Changed(job.job_id))
        self._retire(job)
        return out

    def _let_go(self, segment: Segment) -> list[m.Instruction]:
        """A segment that takes no more chunks keeps nothing of them; credit still in flight goes back."""
        out: list[m.Instruction] = []
        for chunk in segment.in_flight:
            out += self.sessions.release(chunk.session, chunk.payload_bytes)
        segment.in_flight.clear()
        segment.digests, segment.coverage = [], Coverage()
        return out

    def _retire(self, job: Job) -> None:
        """Keeps a bounded number of ended jobs; one that still waits for a batch is kept longer."""
        self._ended.append(job.job_id)
        for _ in range(len(self._ended) - ENDED_JOBS_KEPT):
            old = self.jobs.get(self._ended.popleft())
            if old is None or old.state == RUNNING:
                continue
            if any(s.state == PROVED for s in old.segments):
                self._ended.append(old.job_id)
            else:
                del self.jobs[old.job_id]

    # Telling.

    def _listeners(self, job: Job) -> Iterable[int]:
        for session_id in sorted(job.subscribers):
            connection = self.sessions.connection_of(session_id)
            if connection is not None:
                yield connection

    def _tell(self, job: Job, *news: uplink_pb2.UplinkResponse) -> list[m.Instruction]:
        return [m.Send(c, item) for c in self._listeners(job) for item in news]

    def _unsubscribe(self, session_id: bytes | None) -> None:
        if session_id is not None:
            for job in self.jobs.values():
                job.subscribers.discard(session_id)
