"""What operators and time do to jobs: cancelled, begun again, given up. Part of the cloud's machine."""

from __future__ import annotations

from hybrid_prover.v1 import uplink_pb2

from . import messages as m
from .attempts import QUARANTINE_REASON
from .chunklog import Recovered
from .coverage import Coverage
from .errors import DEADLINE_EXCEEDED, WireError, make_status, reason_of
from .jobs import CANCELLED_CODE
from .model import (
    CANCELLED,
    JOB_CANCELLED,
    JOB_FAILED,
    OPEN_STATES,
    PROVED,
    PROVING,
    QUEUED,
    RUNNING,
    UPLOADING,
    VERIFIED,
    Job,
    Segment,
)
from .policy import wanted_again
from .proving import Proving
from .validation import check_same

HOUR = 3600 * 10**9


class Control(Proving):
    """Jobs that end and go again by somebody's wish."""

    def goes_again(self, message: uplink_pb2.OpenJob, now: int) -> bool:
        """Whether opening this job begins it again now; if only room is missing, opening it is refused and says so."""
        if not self.may_go_again(message):
            return False
        job = self.jobs[message.job_id]
        try:
            # Who knows nothing of the job but its id begins nothing.
            check_same(message, job)
            self._admit(job.client, wanted_again(job), now)
        except WireError:
            return False
        return True

    def _cancel(self, event: m.Cancel, now: int) -> list[m.Instruction]:
        job = self.jobs.get(event.job_id)
        if job is None or job.state != RUNNING:
            return []
        error = make_status(CANCELLED_CODE, "the job was cancelled", reason="CANCELLED")
        return self._end_job(job, JOB_CANCELLED, error, now, also=(PROVED,))

    def _requeue(self, event: m.Requeue, now: int) -> list[m.Instruction]:
        """A new run: leaf proofs stay, everything else is tried anew, from what the logs still hold."""
        job = self.jobs.get(event.job_id)
        if job is None or job.state not in (JOB_FAILED, JOB_CANCELLED) or len(event.logs) != len(job.segments):
            return []
        # What watchers see must not go back, and durable chunks count in it.
        job.revision += 1 + sum(s.acked for s in job.segments)
        job.state, job.error, job.ended_nanos = RUNNING, None, 0
        job.run, job.active_nanos = job.run + 1, now
        job.submission = event.submission or job.submission
        job.logs_kept = job.durable = False
        # Who begins a job again by hand wants it, however late; a submission says what it wants.
        job.priority = event.priority if event.submission else job.priority
        job.deadline = event.deadline if event.submission else 0
        self._watch_deadline(job)
        if job.assembly is not None:
            job.assembly.renew()
        if job.job_id in self._ended:
            self._ended.remove(job.job_id)
        for segment, log in zip(job.segments, event.logs, strict=True):
            if segment.state == CANCELLED and segment.leaf is not None:
                segment.state = PROVED
            elif segment.state not in (PROVED, VERIFIED):
                _begin(segment, log)
        return [m.SaveJob(job), *self._resume(job), m.Changed(job.job_id)]

    def _tick(self, now: int) -> list[m.Instruction]:
        out = self._expire(now)
        for job in list(self.jobs.values()):
            if job.state == RUNNING:
                waits = any(s.state in OPEN_STATES and not s.ended for s in job.segments)
                if waits and now - max(job.active_nanos, job.accepted_nanos) > self._idle_nanos:
                    text = f"nothing was heard of the job for {self._idle_nanos / HOUR:.1f} hours: its edge is gone"
                    error = make_status(DEADLINE_EXCEEDED, text, reason="JOB_ABANDONED")
                    out += self._end_job(job, JOB_FAILED, error, now)
            elif job.logs_kept and now - job.ended_nanos > self._idle_nanos:
                job.logs_kept = False
                out += [m.Discard((job.job_id, s.index)) for s in job.segments]
        return out

    def clock_set(self, nanos: int) -> None:
        """The clock was set by so many nanoseconds: nobody was silent for that long."""
        for job in self.jobs.values():
            if job.state == RUNNING:
                job.active_nanos = max(job.active_nanos, job.accepted_nanos) + nanos

    def keeps_logs(self, job: Job, now: int) -> bool:
        """Whether the chunk logs of an ended job from the store are still worth keeping."""
        if job.state != JOB_FAILED or job.error is None or reason_of(job.error) != QUARANTINE_REASON:
            return False
        return now - job.ended_nanos <= self._idle_nanos


def _begin(segment: Segment, log: Recovered) -> None:
    """The segment as it was before anything was tried, its witness as far as its log has it."""
    segment.leaf, segment.error, segment.batch_id = None, None, b""
    segment.attempts, segment.timings = [], []
    segment.lease_worker, segment.lease_token = b"", 0
    segment.upload_started_nanos, segment.last_gap = 0, -1
    take_log(segment, log)
    segment.state = PROVING if segment.ended else UPLOADING if segment.received else QUEUED


def take_log(segment: Segment, log: Recovered) -> None:
    """What a log holds is received and acked."""
    segment.coverage, segment.digests, segment.partial_origins = Coverage(), [], {}
    for record in log.chunks:
        segment.coverage.add(record.wire_offset, record.wire_offset + record.wire_count)
        segment.digests.append(record.digest)
        if record.partial:
            segment.partial_origins[record.sequence] = record.origin
    segment.received = segment.acked = len(log.chunks)
    segment.wires_acked = segment.coverage.count
    segment.ended = log.ended
    segment.partials = len(segment.partial_origins)
