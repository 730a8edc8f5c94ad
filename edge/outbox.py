"""What may be written to the uplink, and in which order; the part of the machine that a connection's end resets.

Control messages go first; then one chunk of each segment that has any, in turn, within the credit of the cloud.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

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

    def __init__(self) -> None:
        self.connected = False
        self.draining = False
        self.credit = 0
        self.max_chunk = 0
        self.circuits: dict[bytes, bool] = {}
        """Circuits asked for on this connection; True once the cloud has them."""
        self.circuit_retries: dict[bytes, tuple[int, int]] = {}
        """Circuit → (attempts so far, time of the next)."""
        self._control: deque[Message] = deque()
        self._ring: deque[tuple[bytes, int]] = deque()
        self._in_ring: set[tuple[bytes, int]] = set()

    def reset(self, jobs: Mapping[bytes, Job], *, connected: bool, credit: int = 0, max_chunk: int = 0) -> None:
        """A connection began or ended: nothing of an earlier one holds any more."""
        self.connected, self.draining, self.credit, self.max_chunk = connected, False, credit, max_chunk
        self.circuits.clear()
        self.circuit_retries.clear()
        self._control.clear()
        self._ring.clear()
        self._in_ring.clear()
        for job in jobs.values():
            job.announced = job.opened = False
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
            self._ring.append((job.id, s.index))

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
        while self._ring:
            job_id, index = self._ring[0]
            job = jobs.get(job_id)
            if job is not None and sendable(job, job.segments[index]):
                return job, job.segments[index]
            self._in_ring.discard(self._ring.popleft())
        return None

    def upcoming(self, jobs: Mapping[bytes, Job]) -> Iterator[tuple[Job, Segment, int]]:
        """The chunks that wait, as (job, segment, sequence number), in the order in which they will be taken."""
        turns: deque[tuple[Job, Segment, int]] = deque()
        for job_id, index in self._ring:
            job = jobs.get(job_id)
            if job is not None and sendable(job, job.segments[index]):
                turns.append((job, job.segments[index], job.segments[index].cursor))
        while turns:
            job, s, sequence = turns.popleft()
            if sequence < len(s.chunk_bytes):
                yield job, s, sequence
                turns.append((job, s, sequence + 1))

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
            s.tail_sent = True
            message = SendEnd(job.id, s.index)
        self._ring.rotate(-1)
        return message


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
