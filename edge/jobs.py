"""The life of jobs at the edge: accepted, witnessed, ended. The half of the machine that needs no connection.

Same rules as `machine`: no I/O, no clock; events come in with the time, instructions go out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hybrid_prover.admission.fairness import FairShare, Priority, latest_deadline, most_urgent, one
from hybrid_prover.admission.quotas import Usage

from . import policy
from .faults import broken_link, too_late
from .instructions import (
    CheckLeaf,
    DropInputs,
    Forget,
    Instruction,
    Notify,
    SaveJob,
    SaveSegment,
    StartWitness,
    StopWitness,
)
from .model import Failure, Job, JobPlan, JobState, Placement, Segment, SegmentState, Timing
from .outbox import Outbox
from .partials import PartialPlanner

WIRE_BYTES = 33
"""Of a chunk, at most, for each of its wires."""
EDGE_PHASES = frozenset({"edge_queue", "witness", "partials", "upload", "prove"})
"""What is measured here; what the cloud says of these is what it was told."""


class JobBook:
    """All jobs of one edge. Not thread-safe: one caller at a time. Each StartWitness is answered exactly once."""

    def __init__(
        self,
        *,
        workers: int,
        worker_attempts: int,
        max_unacked: int,
        finished_kept: int,
        weight: Callable[[str], float] = one,
    ) -> None:
        """`weight`: of each client's share of workers and uplink."""
        self.jobs: dict[bytes, Job] = {}
        self._outbox = Outbox(weight)
        self._fair = FairShare(weight)
        self._fastest: dict[tuple[bytes, bool], int] = {}
        """What a witness (private: and its proof) took at best, by circuit and whether it was private."""
        self._partials = PartialPlanner()
        self._workers = workers
        self._worker_attempts = worker_attempts
        self._max_unacked = max_unacked
        self._finished_kept = finished_kept
        self._order = 0
        self._at_work: set[tuple[bytes, int]] = set()
        self._may_start = False
        """A segment may be queued: cleared when none was found, so that acks do not search in vain."""
        self._unacked = 0
        self._finished: deque[bytes] = deque()
        self._out: list[Instruction] = []
        self._witness_times: deque[int] = deque(maxlen=64)

    @property
    def unacked_bytes(self) -> int:
        """Payload bytes in the spool that the cloud has not acknowledged."""
        return self._unacked

    def unfinished(self) -> tuple[int, int]:
        """(jobs, segments) that have not ended."""
        running = [j for j in self.jobs.values() if j.state is JobState.RUNNING]
        return len(running), sum(not s.state.ended for j in running for s in j.segments)

    def usage(self, client: str) -> Usage:
        """What a client has unfinished here. O(segments of its jobs)."""
        mine = [j for j in self.jobs.values() if j.state is JobState.RUNNING and client in j.clients]
        pending = [(j, s) for j in mine for s in j.segments if not s.state.ended]
        return Usage(len(mine), len(pending), sum(WIRE_BYTES * s.wires for j, s in pending if not j.private))

    def retry_after(self, segments: int) -> int:
        """What to tell a client whose job does not fit behind so many segments, in nanoseconds."""
        mean = sum(self._witness_times) // len(self._witness_times) if self._witness_times else policy.SECOND
        return policy.retry_after(segments, self._workers, mean)

    def least_time(self, plan: JobPlan) -> int:
        """Nanoseconds that a job is sure to take, by what was measured here."""
        private = plan.placement is Placement.PRIVATE
        return policy.least_time([self._fastest.get((s.circuit, private), 0) for s in plan.segments], self._workers)

    def submit(
        self, plan: JobPlan, now: int, *, priority: Priority = Priority.NORMAL, deadline: int = 0
    ) -> list[Instruction]:
        """Takes a job whose inputs are durable already; does nothing if it is known."""
        if plan.job_id not in self.jobs:
            segments = [Segment(i, s.circuit, s.wires) for i, s in enumerate(plan.segments)]
            clients = {plan.client} - {""}
            job = Job(plan, segments, now, self._order, clients=clients, priority=priority, deadline=deadline)
            self._adopt(job, now)
            self._out.append(Notify(plan.job_id))
        return self._drain()

    def wanted(self, job_id: bytes, priority: Priority, deadline: int, now: int) -> list[Instruction]:
        """A running job was submitted again: the most urgent priority and the latest deadline count, and the cloud
        hears of it."""
        job = self.jobs[job_id]
        urgency, latest = most_urgent((job.priority, priority)), latest_deadline(job.deadline, deadline)
        if job.state is JobState.RUNNING and (urgency, latest) != (job.priority, job.deadline):
            job.priority, job.deadline = urgency, latest
            self._touch(job)
            self._out.append(SaveJob(job_id))
            job.announced = job.opened = False
            self._out += self._outbox.announce(job, now)
        return self._drain()

    def restore(self, job: Job, now: int) -> list[Instruction]:
        """Takes a job from the spool of an earlier run, with what is known of its segments' chunks."""
        job.order = self._order
        if job.state is not JobState.RUNNING:
            self.jobs[job.id] = job
            self._order += 1
            self._finished.append(job.id)
            return self._drain()
        for s in job.segments:
            s.working = False
            if s.publics is None and not job.private:
                # Of a version that did not verify what the cloud gave it.
                s.leaf = b""
            if not s.leaf:
                whole = s.chunk_count is not None and len(s.chunk_bytes) == s.chunk_count and s.publics is not None
                s.state = SegmentState.UPLOADING if whole else SegmentState.QUEUED
                s.chunk_count = s.chunk_count if whole else None
            self._unacked += sum(s.chunk_bytes)
        self._adopt(job, now)
        return self._drain()

    def _adopt(self, job: Job, now: int) -> None:
        self.jobs[job.id] = job
        self._order += 1
        self._may_start = True
        self._out += self._partials.warm(job)
        self._out += self._outbox.announce(job, now)
        self._schedule(now)

    def forget(self, job_id: bytes) -> list[Instruction]:
        """Nothing is kept of an ended job, so that it can be submitted again; no worker may be at it any more."""
        del self.jobs[job_id]
        self._finished.remove(job_id)
        self._out.append(Forget(job_id))
        return self._drain()

    def cancel(self, job_id: bytes, now: int) -> list[Instruction]:
        """Stops a job at a client's wish; nothing if it has ended."""
        job = self.jobs[job_id]
        if job.state is JobState.RUNNING:
            self._end(job, JobState.CANCELLED, None, now)
            self._outbox.farewell(job)
        return self._drain()

    # Witness workers

    def chunk_ready(
        self, job_id: bytes, segment: int, sequence: int, size: int, wires: int, now: int
    ) -> list[Instruction]:
        """A chunk is in the spool. Known sequence numbers (a witness made again) change nothing."""
        found = self._running(job_id, segment)
        if found and sequence == len(found[1].chunk_bytes):
            job, s = found
            s.chunk_bytes.append(size)
            s.chunk_wires.append(wires)
            if s.complete:
                s.acked = s.cursor = max(s.acked, len(s.chunk_bytes))
            elif sequence < s.acked:
                s.wires_acked += wires
            else:
                self._unacked += size
            self._outbox.offer(job, s)
        return self._drain()

    def witness_finished(
        self, job_id: bytes, segment: int, chunks: int, publics: bytes, timings: list[Timing], now: int
    ) -> list[Instruction]:
        """All chunks of the segment are in the spool, these are its public signals; its worker is idle."""
        self._release(job_id, segment)
        found = self._running(job_id, segment)
        if found:
            job, s = found
            self._note(job, s, timings)
            s.chunk_count = chunks
            if self._learn(job, s, publics, now):
                self._advance(job, s, SegmentState.PROVING if s.complete else SegmentState.UPLOADING)
                self._after_ack(job, s, now)
                self._outbox.offer(job, s)
        self._schedule(now)
        return self._drain()

    def proof_started(self, job_id: bytes, segment: int) -> list[Instruction]:
        """Placement private: the witness is complete, its worker finishes the proof."""
        found = self._running(job_id, segment)
        if found:
            self._advance(*found, SegmentState.PROVING)
        return self._drain()

    def proof_ready(
        self, job_id: bytes, segment: int, leaf: bytes, publics: bytes, timings: list[Timing], now: int
    ) -> list[Instruction]:
        """Placement private: the leaf proof was made and verified here; its worker is idle."""
        self._release(job_id, segment)
        found = self._running(job_id, segment)
        if found:
            job, s = found
            self._note(job, s, timings)
            if self._learn(job, s, publics, now):
                self._accept(job, s, leaf, now)
                self._outbox.offer(job, s)
        self._schedule(now)
        return self._drain()

    def witness_failed(self, job_id: bytes, segment: int, failure: Failure, now: int) -> list[Instruction]:
        """The segment cannot be witnessed (or proved); its worker is idle."""
        self._release(job_id, segment)
        found = self._running(job_id, segment)
        if found and self._needed(*found):
            self._fail_segment(*found, failure, now)
        self._schedule(now)
        return self._drain()

    def worker_died(self, job_id: bytes, segment: int, failure: Failure, now: int) -> list[Instruction]:
        """The worker died under the segment, which is tried again `worker_attempts` times in all."""
        self._release(job_id, segment)
        found = self._running(job_id, segment)
        if found and self._needed(*found):
            job, s = found
            s.crashes += 1
            if s.crashes >= self._worker_attempts:
                self._fail_segment(job, s, failure, now)
            else:
                s.state, self._may_start = SegmentState.QUEUED, True
                self._touch(job)
        self._schedule(now)
        return self._drain()

    def worker_stopped(self, job_id: bytes, segment: int, now: int) -> list[Instruction]:
        """The worker gave the segment up as told."""
        self._release(job_id, segment)
        self._schedule(now)
        return self._drain()

    # Partials

    def partials_warm(self, circuit: bytes, nanos: int) -> list[Instruction]:
        """The circuit's key is loaded for partials; one of a whole chunk took so many nanoseconds."""
        self._partials.warmed(circuit, nanos)
        return self._drain()

    def partial_made(self, job_id: bytes, segment: int, sequence: int, started: int, nanos: int) -> list[Instruction]:
        """The partial of the chunk is there."""
        found = self._running(job_id, segment)
        self._partials.made((job_id, segment), sequence, found[0] if found else None, nanos, started)
        return self._drain()

    def partials_cold(self, circuit: bytes) -> list[Instruction]:
        """The circuit's key could not be loaded for partials: its chunks go without, nothing else changes."""
        self._partials.cold(circuit)
        return self._drain()

    def partial_failed(self, circuit: bytes) -> list[Instruction]:
        """No partial came of it (no memory, a dead worker): the chunk goes without."""
        self._partials.failed(circuit)
        return self._drain()

    # Leaf proofs

    def leaf_verified(self, job_id: bytes, segment: int, leaf: bytes, now: int) -> list[Instruction]:
        """The candidate proves the public signals of this edge's witness; `leaf` is its canonical encoding."""
        found = self._running(job_id, segment)
        if found and found[1].checking:
            self._accept(*found, leaf, now)
        return self._drain()

    def leaf_refused(self, job_id: bytes, segment: int, failure: Failure, now: int) -> list[Instruction]:
        """The candidate is not a proof of the segment: the job ends, and nothing of the candidate is kept."""
        found = self._running(job_id, segment)
        if found and found[1].checking:
            self._fail_segment(*found, failure, now)
        return self._drain()

    def _learn(self, job: Job, s: Segment, publics: bytes, now: int) -> bool:
        """The public signals of the segment's witness are known. False if that broke a link and ended the job."""
        s.publics = publics
        broken = broken_link(job)
        if broken is not None:
            self._end(job, JobState.FAILED, broken, now)
            self._outbox.farewell(job)
            return False
        self._out.append(SaveSegment(job.id, s.index))
        self._check(job, s)
        return True

    def _check(self, job: Job, s: Segment) -> None:
        """Has the candidate verified once there are public signals to hold it against."""
        if s.candidate is not None and s.publics is not None and not (s.checking or s.leaf):
            s.checking = True
            self._out.append(CheckLeaf(job.id, s.index))

    def _accept(self, job: Job, s: Segment, leaf: bytes, now: int) -> None:
        s.leaf, s.candidate, s.checking = leaf, None, False
        self._advance(job, s, SegmentState.VERIFIED if s.vouched else SegmentState.PROVED)
        self._out.append(SaveSegment(job.id, s.index))
        self._maybe_done(job, now)

    # Changes of state

    def _running(self, job_id: bytes, segment: int) -> tuple[Job, Segment] | None:
        job = self.jobs.get(job_id)
        if job is None or job.state is not JobState.RUNNING or not 0 <= segment < len(job.segments):
            return None
        s = job.segments[segment]
        return None if s.state in (SegmentState.FAILED, SegmentState.CANCELLED) else (job, s)

    def _needed(self, job: Job, s: Segment) -> bool:
        """Whether the job cannot do without what a worker makes of the segment."""
        return not s.complete or not job.made(s)

    def _release(self, job_id: bytes, segment: int) -> None:
        self._at_work.discard((job_id, segment))
        job = self.jobs.get(job_id)
        if job is not None:
            job.segments[segment].working = False
            self._may_start = True

    def _schedule(self, now: int) -> None:
        while self._may_start and len(self._at_work) < self._workers and self._unacked <= self._max_unacked:
            choice = policy.next_to_witness(self.jobs.values(), self._fair, now)
            if choice is None:
                self._may_start = False
                return
            job, s = choice
            self._fair.charge(job.client, s.wires)
            s.working = True
            self._at_work.add((job.id, s.index))
            s.timings.setdefault("edge_queue", Timing("edge_queue", job.accepted, max(0, now - job.accepted)))
            self._advance(job, s, SegmentState.WITNESSING)
            self._out.append(StartWitness(job.id, s.index))

    def _advance(self, job: Job, s: Segment, state: SegmentState) -> None:
        if s.state < state:
            s.state = state
        self._touch(job)

    def _touch(self, job: Job) -> None:
        job.revision += 1
        self._out.append(Notify(job.id))

    def _note(self, job: Job, s: Segment, timings: list[Timing]) -> None:
        for timing in timings:
            s.timings[timing.phase] = timing
            if timing.phase == "witness":
                self._witness_times.append(timing.duration)
        taken, key = sum(t.duration for t in timings if t.phase in ("witness", "prove")), (s.circuit, job.private)
        self._fastest[key] = min(taken, self._fastest.get(key, taken))

    def _note_cloud(self, s: Segment, timings: list[Timing]) -> None:
        """What the cloud measured; phases that the edge measures itself stay as measured here."""
        for timing in timings:
            if timing.phase not in EDGE_PHASES or timing.phase not in s.timings:
                s.timings[timing.phase] = timing

    def _move_acked(self, s: Segment, position: int) -> None:
        """The cloud has the chunks before `position`; forwards as a rule, backwards if it lost some."""
        self._unacked += sum(s.chunk_bytes[position : s.acked]) - sum(s.chunk_bytes[s.acked : position])
        s.wires_acked = sum(s.chunk_wires[:position])
        s.acked = position

    def _after_ack(self, job: Job, s: Segment, now: int) -> None:
        if (
            s.chunk_count is not None
            and s.acked == s.chunk_count
            and s.upload_started
            and s.state < SegmentState.PROVING
        ):
            s.timings["upload"] = Timing("upload", s.upload_started, now - s.upload_started)
            if s.tail_sent:
                self._advance(job, s, SegmentState.PROVING)
            self._out.append(SaveSegment(job.id, s.index))

    def _completed(self, job: Job, s: Segment, now: int) -> None:
        """The cloud has all it needs of the segment, even if the edge has not made it all (again).

        It is made here all the same until its public signals are known (private: its proof).
        """
        if s.complete or s.state in (SegmentState.FAILED, SegmentState.CANCELLED):
            return
        s.complete = True
        self._partials.meter.forget((job.id, s.index))
        self._move_acked(s, max(s.acked, len(s.chunk_bytes)))
        s.cursor = s.acked
        s.wires_acked = s.wires
        if s.upload_started and "upload" not in s.timings:
            s.timings["upload"] = Timing("upload", s.upload_started, now - s.upload_started)
        if not job.made(s):
            self._touch(job)
            return
        if s.working:
            self._out.append(StopWitness(job.id, s.index))
        self._advance(job, s, SegmentState.PROVING)

    def _maybe_done(self, job: Job, now: int) -> bool:
        if not job.awaiting_result or not all(s.leaf for s in job.segments):
            return False
        self._end(job, JobState.DONE, None, now)
        return True

    def _fail_segment(self, job: Job, s: Segment, failure: Failure, now: int) -> None:
        s.state, s.failure = SegmentState.FAILED, failure
        text = f"segment {s.index}: {failure.message}"
        self._end(job, JobState.FAILED, Failure(failure.code, text, failure.status), now)
        self._outbox.farewell(job)

    def _fail_job(self, job: Job, failure: Failure, now: int) -> None:
        if job.state is JobState.RUNNING:
            self._end(job, JobState.FAILED, failure, now)
            self._confirm(job)

    def _end(self, job: Job, state: JobState, failure: Failure | None, now: int) -> None:
        """The job ends: nothing of it is witnessed, sent or kept but its record and its proofs."""
        job.state, job.failure, job.ended = state, failure, now
        job.closing = state is not JobState.DONE and job.known_to_cloud
        job.opens = 0
        for s in job.segments:
            s.candidate = None
            s.partials_ready.clear()
            self._partials.meter.forget((job.id, s.index))
            self._unacked -= sum(s.chunk_bytes[s.acked :])
            if s.working:
                self._out.append(StopWitness(job.id, s.index))
            if not s.state.ended:
                s.state = SegmentState.VERIFIED if state is JobState.DONE else SegmentState.CANCELLED
            self._out.append(SaveSegment(job.id, s.index))
        self._touch(job)
        self._out += [SaveJob(job.id), DropInputs(job.id)]
        self._finished.append(job.id)
        while len(self._finished) > self._finished_kept:
            old = self._finished.popleft()
            del self.jobs[old]
            self._out.append(Forget(old))

    def _expire(self, now: int) -> None:
        """Ends the jobs whose deadline has passed, here and at the cloud."""
        for job in [j for j in self.jobs.values() if j.state is JobState.RUNNING and j.late(now)]:
            self._end(job, JobState.FAILED, too_late(job), now)
            self._outbox.farewell(job)

    def _confirm(self, job: Job) -> None:
        if job.closing:
            job.closing = False
            self._out.append(SaveJob(job.id))

    def _drain(self) -> list[Instruction]:
        out, self._out = self._out, []
        return out
