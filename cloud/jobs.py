"""The book of jobs: how they are opened, located, failed and ended, and who is told. The base of the cloud's machine.

Same rules as `machine`: no I/O, no clock, no entropy; events come in with the time, instructions go out.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container, Iterable

from google.rpc import status_pb2

from hybrid_prover.admission.fairness import Priority, latest_deadline, most_urgent
from hybrid_prover.admission.quotas import Usage
from hybrid_prover.admission.refusals import refusal
from hybrid_prover.v1 import common_pb2, job_pb2, uplink_pb2

from . import answers
from . import messages as m
from .assembly import Assembly, Shelf
from .attempts import QUARANTINE_REASON
from .coverage import Coverage
from .errors import (
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    WireError,
    make_status,
    reason_of,
    refuse,
)
from .model import (
    CANCELLED,
    ENDED_STATES,
    FAILED,
    JOB_CANCELLED,
    JOB_FAILED,
    OPEN_STATES,
    PROVED,
    PROVING,
    RUNNING,
    WITNESS_PLACEMENTS,
    CircuitInfo,
    Job,
    Segment,
)
from .ownership import edge_of, wanted_by_others
from .policy import SECOND, Limits, usage, wanted_again
from .sessions import Session, Sessions, draining
from .trust import TrustBook
from .validation import check_open, check_same, check_submission, priority_of

CANCELLED_CODE = 1
MAX_TOLD_BYTES = 8192
"""Largest reason that an edge may give; of a larger one the message's beginning is kept."""
ENDED_JOBS_KEPT = 256
"""Ended jobs kept in memory for edges that come back; older ones are read from the store."""


class JobBook:
    """All jobs that are not over, and the sessions that feed them."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        max_chunk_bytes: int,
        max_segments: int,
        limits: Limits = Limits(),  # noqa: B008
        retry_budget: int = 3,
        idle_nanos: int = 7 * 86_400_000_000_000,
    ) -> None:
        self.sessions = sessions
        self.trust = TrustBook()
        self.jobs: dict[bytes, Job] = {}
        self.circuits: dict[bytes, CircuitInfo] = {}
        self.assemblies: dict[bytes, Assembly] = {}
        """Those that run, and those that ended last."""
        self.shelf = Shelf()
        """Told by the runtime, again whenever an assembly is asked for."""
        self.draining_ms: int | None = None
        self._ended: deque[bytes] = deque()
        self._max_chunk_bytes = max_chunk_bytes
        self._max_segments = max_segments
        self._limits = limits
        self._deadlines: list[tuple[int, bytes]] = []
        """A heap of (deadline, job id); of a job whose deadline has moved there are older entries too."""
        self._verified: deque[int] = deque(maxlen=64)
        """When segments were last verified: how fast room is made."""
        self._retry_budget = retry_budget
        self._idle_nanos = idle_nanos

    # Messages of edges about whole jobs.

    def _open(self, connection: int, session: Session, message: uplink_pb2.OpenJob, now: int) -> list[m.Instruction]:
        job = self.jobs.get(message.job_id)
        out: list[m.Instruction] = []
        try:
            if self.draining_ms is not None:
                raise WireError(draining(self.draining_ms))
            check_submission(message)
            if job is None:
                job = self._new_job(message, now)
                self.jobs[job.job_id] = job
            else:
                check_same(message, job)
                if self.may_go_again(message):
                    # It would run by now if there were room.
                    self._admit(job.client, wanted_again(job), now)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id)]
        job.active_nanos = now
        if not job.durable:
            out.append(m.SaveJob(job))
        elif message.submission and job.submission != message.submission and job.state == RUNNING:
            job.submission = message.submission
            out.append(m.SaveState(job))
        elif edge_of(session) not in job.edges:
            out.append(m.SaveState(job))
        out += self._wanted(job, priority_of(message), message.deadline_unix_nanos)
        job.edges.add(edge_of(session))
        job.subscribers.add(session.session_id)
        opened = uplink_pb2.JobOpened(job_id=job.job_id)
        for segment in job.segments:
            segment.last_gap = -1
            done = segment.state not in OPEN_STATES or segment.ended
            opened.positions.add(next_sequence=segment.received, complete=done)
        out.append(m.Send(connection, uplink_pb2.UplinkResponse(job_opened=opened)))
        out += answers.once_durable(connection, answers.news(job))
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
            submission=message.submission,
            client=message.client,
            priority=priority_of(message),
            deadline=message.deadline_unix_nanos,
        )
        if 0 < job.deadline <= now:
            text = "the deadline had passed when the job came"
            raise refuse(DEADLINE_EXCEEDED, text, reason="DEADLINE_PASSED", field="deadline_unix_nanos")
        self._admit(job.client, usage(job), now)
        self._watch_deadline(job)
        return job

    def may_go_again(self, message: uplink_pb2.OpenJob) -> bool:
        """Whether opening this job begins it again: it failed or was cancelled, and the submission is a new one."""
        job = self.jobs.get(message.job_id)
        if job is None or job.state not in (JOB_FAILED, JOB_CANCELLED):
            return False
        return message.submission not in (0, job.submission) and not message.submission >> 63

    def _admit(self, client: str, wanted: Usage, now: int) -> None:
        """RESOURCE_EXHAUSTED names the limit if there is no room; with RetryInfo if there will be."""
        pace = (now - self._verified[0]) // len(self._verified) if self._verified else SECOND
        over = self._limits.check(client, wanted, self.jobs.values(), pace)
        if over is not None:
            raise WireError(refusal(over))

    def _wanted(self, job: Job, priority: Priority, deadline: int) -> list[m.Instruction]:
        """A running job is opened again: the most urgent priority and the latest deadline count."""
        urgency, latest = most_urgent((job.priority, priority)), latest_deadline(job.deadline, deadline)
        if job.state != RUNNING or not job.durable or (urgency, latest) == (job.priority, job.deadline):
            return []
        moved = urgency != job.priority and job.placement in WITNESS_PLACEMENTS
        job.priority, job.deadline = urgency, latest
        job.revision += 1
        self._watch_deadline(job)
        out: list[m.Instruction] = [m.SaveState(job)]
        if moved:
            at_work = [s for s in job.segments if s.acked and s.state in OPEN_STATES | {PROVING}]
            out += [m.Advance((job.job_id, s.index), s.circuit, s.acked, s.state == PROVING) for s in at_work]
        return out

    def _watch_deadline(self, job: Job) -> None:
        if job.deadline:
            heapq.heappush(self._deadlines, (job.deadline, job.job_id))

    def due(self, now: int) -> bool:
        """Whether a deadline has passed: then `Tick` ends jobs. O(1)."""
        return bool(self._deadlines) and self._deadlines[0][0] <= now

    def _expire(self, now: int) -> list[m.Instruction]:
        """Ends the jobs whose deadline has passed, and all work on them."""
        out: list[m.Instruction] = []
        while self.due(now):
            job = self.jobs.get(heapq.heappop(self._deadlines)[1])
            if job is not None and job.state == RUNNING and 0 < job.deadline <= now:
                out += self._end_job(job, JOB_FAILED, answers.too_late(job), now, also=(PROVED,))
        return out

    def _locate(
        self, session: Session, job_id: bytes, index: int, placements: Container[common_pb2.Placement] | None
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
        if placements is not None and job.placement not in placements:
            raise refuse(
                FAILED_PRECONDITION,
                f"segments[{index}]: a job of placement {common_pb2.Placement.Name(job.placement)} refuses this",
                reason="PLACEMENT_CONFLICT",
                field=f"segments[{index}]",
            )
        return job, job.segments[index]

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
        if not error.code or error.ByteSize() > MAX_TOLD_BYTES:
            error = make_status(
                error.code or FAILED_PRECONDITION,
                f"segments[{segment.index}]: the edge gave up: {error.message[:512]}",
                reason="EDGE_GAVE_UP",
                field=f"segments[{segment.index}]",
            )
        return self._fault(connection, session, job, segment, error, now)

    def _abort(self, connection: int, session: Session, message: uplink_pb2.AbortJob, now: int) -> list[m.Instruction]:
        job = self.jobs.get(message.job_id)
        if job is None or session.session_id not in job.subscribers:
            error = make_status(NOT_FOUND, "this job is not open on this session", reason="JOB_NOT_OPEN")
            return [answers.refused(connection, error, message.job_id)]
        if job.state != RUNNING:
            return answers.once_durable(connection, answers.job_news(job))
        state, error = JOB_CANCELLED, message.error
        if error.code in (0, CANCELLED_CODE):
            error = make_status(CANCELLED_CODE, "the job was cancelled by a client", reason="CANCELLED")
        else:
            state = JOB_FAILED
            if error.ByteSize() > MAX_TOLD_BYTES:
                text = f"the edge gave up: {error.message[:512]}"
                error = make_status(error.code, text, reason="EDGE_GAVE_UP")
        if wanted_by_others(job, session):
            return self._withdraw(connection, session, job, error)
        return self._end_job(job, state, error, now, also=(PROVED,))

    # How things end.

    def _fault(
        self, connection: int, session: Session, job: Job, segment: Segment, error: status_pb2.Status, now: int
    ) -> list[m.Instruction]:
        """A segment cannot go on with this edge: it fails, unless other edges want the job and can bring it."""
        if job.state == RUNNING and wanted_by_others(job, session):
            return self._withdraw(connection, session, job, error)
        return self._fail(job, segment, error, now)

    def _withdraw(self, connection: int, session: Session, job: Job, error: status_pb2.Status) -> list[m.Instruction]:
        """The job is over for this edge alone."""
        job.edges.discard(edge_of(session))
        job.subscribers.discard(session.session_id)
        update = uplink_pb2.JobUpdate(job_id=job.job_id, failed=error)
        return [m.SaveState(job), m.Send(connection, uplink_pb2.UplinkResponse(job_update=update))]

    def _fail(self, job: Job, segment: Segment, error: status_pb2.Status, now: int) -> list[m.Instruction]:
        if segment.state in ENDED_STATES:
            return []
        segment.state, segment.error = FAILED, error
        job.revision += 1
        job.logs_kept = reason_of(error) == QUARANTINE_REASON
        key = (job.job_id, segment.index)
        out = [m.SaveSegment(job, segment), *self._let_go(segment)]
        out.append(m.Stop(key) if job.logs_kept else m.Discard(key))
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
        """Ends a job. What cannot be of use any more is stopped; leaf proofs that exist are kept.

        So are the logs of a job of which a segment was quarantined: it can go again without its edge.
        """
        ending = [s for s in job.segments if s.state in OPEN_STATES or s.state == PROVING or s.state in also]
        # Work stops before anything is saved; logs go when it is.
        out: list[m.Instruction] = [m.Stop((job.job_id, s.index)) for s in ending]
        for segment in ending:
            segment.state = CANCELLED
            out += [m.SaveSegment(job, segment), *self._let_go(segment)]
            if not job.logs_kept:
                out.append(m.Discard((job.job_id, segment.index)))
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
        if segment.state != PROVING:
            segment.partial_origins = {}
        segment.digests, segment.coverage = [], Coverage()
        return out

    def _retire(self, job: Job) -> None:
        """Keeps a bounded number of ended jobs; one that waits for a batch, or whose logs are kept, is kept longer."""
        self._ended.append(job.job_id)
        for _ in range(len(self._ended) - ENDED_JOBS_KEPT):
            old = self.jobs.get(self._ended.popleft())
            if old is None or old.state == RUNNING:
                continue
            if old.logs_kept or any(s.state == PROVED for s in old.segments):
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
