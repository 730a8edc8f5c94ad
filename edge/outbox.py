"""What may be written to the uplink, and in which order; the part of the machine that a connection's end resets.

Control messages go first; then chunks, within the credit of the cloud: clients by fair share of the bytes, within a
client jobs by priority, those of one priority in turn, and so the segments of a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from hybrid_prover.admission.fairness import FairShare, Turns, one

from . import policy
from .instructions import (
    EnsureCircuit,
    Instruction,
    Message,
    SaveJob,
    SendAbort,
    SendChunk,
    SendEnd,
    SendFailure,
    SendOpen,
    SendProof,
)
from .model import Job, JobState, Segment


class Outbox:
    """One connection at a time. Not thread-safe."""

    def __init__(self, weight: Callable[[str], float] = one) -> None:
        """`weight` of each client's share of the uplink."""
        self.connected = False
        self.draining = False
        self.credit = 0
        self.max_chunk = 0
        self.circuits: dict[bytes, bool] = {}
        """Circuits asked for on this connection; True once the cloud has them."""
        self.circuit_retries: dict[bytes, tuple[int, int]] = {}
        """Circuit → (attempts so far, time of the next)."""
        self._control: deque[Message] = deque()
        self._fair = FairShare(weight)
        self._turns = Turns(self._fair)
        self._rings: dict[bytes, deque[int]] = {}
        """Segments that may have something to send, by job."""
        self._in_ring: set[tuple[bytes, int]] = set()

    def reset(self, jobs: Mapping[bytes, Job], *, connected: bool, credit: int = 0, max_chunk: int = 0) -> None:
        """A connection began or ended: nothing of an earlier one holds any more."""
        self.connected, self.draining, self.credit, self.max_chunk = connected, False, credit, max_chunk
        self.circuits.clear()
        self.circuit_retries.clear()
        self._control.clear()
        self._turns = Turns(self._fair)
        self._rings.clear()
        self._in_ring.clear()
        for job in jobs.values():
            job.announced = job.opened = job.turned_away = False
            for s in job.segments:
                s.tail_sent = False
                s.stale_refusals = 0

    def announce(self, job: Job, now: int) -> list[Instruction]:
        """Puts OpenJob on the uplink if the cloud has every circuit of the job; else says which to bring there.

        A job that ended here while the cloud may not know is announced too, at most `MAX_OPENS` times.
        """
        wanted = job.state is JobState.RUNNING or job.closing
        if not self.connected or job.announced or not wanted or job.not_before > now:
            return []
        if job.closing:
            job.opens += 1
            if job.opens > policy.MAX_OPENS:
                job.closing = False
                return []
        else:
            missing = {s.circuit for s in job.segments if not self.circuits.get(s.circuit)}
            if missing:
                new = sorted(missing - self.circuits.keys())
                self.circuits.update(dict.fromkeys(new, False))
                return [EnsureCircuit(digest) for digest in new]
        new_there = not job.known_to_cloud
        job.announced = job.known_to_cloud = True
        self._control.append(SendOpen(job.id))
        return [SaveJob(job.id)] if new_there else []

    def offer(self, job: Job, s: Segment) -> None:
        """The segment may have chunks, its end or its proof to send."""
        if not self.connected or not job.opened:
            return
        if job.private:
            if s.leaf and not (s.tail_sent or s.complete or s.state.ended or s.not_before):
                s.tail_sent = True
                self._control.append(SendProof(job.id, s.index))
        elif (job.id, s.index) not in self._in_ring and sendable(job, s):
            self._in_ring.add((job.id, s.index))
            self._rings.setdefault(job.id, deque()).append(s.index)
            self._turns.put(job.id, job.share)

    def farewell(self, job: Job) -> None:
        """Tells the cloud of a job that ended here, if the cloud has it open."""
        if job.closing and job.opened:
            failed = next((s for s in job.segments if s.failure is not None), None)
            if failed is not None and failed.failure is not None:
                self._control.append(SendFailure(job.id, failed.index, failed.failure))
            else:
                self._control.append(SendAbort(job.id))

    def take_control(self) -> Message | None:
        """The next control message."""
        return self._control.popleft() if self._control else None

    def head(self, jobs: Mapping[bytes, Job]) -> tuple[Job, Segment] | None:
        """The segment whose turn it is."""
        while (job_id := next(self._turns.order(), None)) is not None:
            job, ring = jobs.get(job_id), self._rings[job_id]
            while ring:
                if job is not None and sendable(job, job.segments[ring[0]]):
                    return job, job.segments[ring[0]]
                self._in_ring.discard((job_id, ring.popleft()))
            del self._rings[job_id]
            self._turns.remove(job_id)
        return None

    def upcoming(self, jobs: Mapping[bytes, Job]) -> Iterator[tuple[Job, Segment, int]]:
        """The chunks that wait, as (job, segment, sequence number), in about the order in which they will be taken:
        as if clients, and the segments of each, went in turn. Exact for one client whose jobs have one priority."""
        clients: dict[str, list[tuple[Job, Segment]]] = {}
        for job_id in self._turns.order():
            job = jobs.get(job_id)
            if job is not None:
                waiting = [(job, job.segments[i]) for i in self._rings[job_id] if sendable(job, job.segments[i])]
                clients.setdefault(job.client, []).extend(waiting)
        lanes = deque(_in_turn(waiting) for waiting in clients.values())
        while lanes:
            if (chunk := next(lanes[0], None)) is None:
                lanes.popleft()
            else:
                yield chunk
                lanes.rotate(-1)

    def take_head(self, job: Job, s: Segment) -> Message | None:
        """The next message of the segment at the head, which then goes to the back; None if the credit is short."""
        message: Message
        if s.cursor < len(s.chunk_bytes):
            size = s.chunk_bytes[s.cursor]
            if size > self.credit:
                return None
            self.credit -= size
            message = SendChunk(job.id, s.index, s.cursor)
            s.cursor += 1
        else:
            size = 0
            s.tail_sent = True
            message = SendEnd(job.id, s.index)
        self._rings[job.id].rotate(-1)
        self._turns.took(job.id, size)
        return message


def _in_turn(waiting: list[tuple[Job, Segment]]) -> Iterator[tuple[Job, Segment, int]]:
    """One chunk of each segment, then the next one, segments of higher priority first."""
    for priority in sorted({job.priority for job, _ in waiting}, reverse=True):
        turns = deque((job, s, s.cursor) for job, s in waiting if job.priority is priority)
        while turns:
            job, s, sequence = turns.popleft()
            if sequence < len(s.chunk_bytes):
                yield job, s, sequence
                turns.append((job, s, sequence + 1))


def sendable(job: Job, s: Segment) -> bool:
    """Whether the segment has a chunk or its end to send now."""
    if (
        job.state is not JobState.RUNNING
        or job.private
        or not job.opened
        or s.complete
        or s.state.ended
        or s.not_before
    ):
        return False
    return s.cursor < len(s.chunk_bytes) or (s.cursor == s.chunk_count and not s.tail_sent)
