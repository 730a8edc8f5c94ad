"""Decisions apart from I/O: what credit to give back, whom to admit, when a batch closes. Time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hybrid_prover.admission.quotas import UNLIMITED, Exceeded, Quota, Usage, exceeded

from .model import ENDED_STATES, RUNNING, WITNESS_PLACEMENTS, Job, SegmentKey

SECOND = 1_000_000_000


def credit_to_grant(window: int, owed: int, outstanding: int, largest: int) -> int:
    """Bytes to give back now of the `owed`: in lumps of a quarter window, sooner if the edge may be about to wait.

    An edge that holds less than half its window, or less than the `largest` chunk needs, gets all that is owed.
    """
    soon = 2 * outstanding < window or outstanding < largest
    return owed if owed > 0 and (soon or 4 * owed >= window) else 0


def session_window(wanted: int, smallest: int, reserved: int, limit: int) -> int:
    """Credit for a new session, or 0 if there is no room for it: what is left of the limit, at most what is wanted."""
    left = min(wanted, limit - reserved)
    return left if left >= smallest else 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What all clients together may have unfinished, and each of them."""

    jobs: int = 1 << 62
    segments: int = 1 << 62
    backlog_bytes: int = 1 << 62
    quota: Callable[[str], Quota] = lambda _client: UNLIMITED

    def check(self, client: str, wanted: Usage, jobs: Iterable[Job], pace: int) -> Exceeded | None:
        """Whether a client's new job has room among the `jobs`; a refusal's wait is what half of the segments before it
        take at one every `pace` nanoseconds. A job is taken when nothing else is there, else it would wait for ever;
        its client's quota holds all the same. O(jobs), and the segments of those that changed since."""
        everybody = mine = Usage()
        for job in jobs:
            if job.state == RUNNING or job.logs_kept:
                used = usage(job)
                everybody = add(everybody, used)
                if job.client == client:
                    mine = add(mine, used)
        over = None
        if everybody.jobs or everybody.backlog_bytes:
            whole = Quota(jobs=self.jobs, segments=self.segments, backlog_bytes=self.backlog_bytes)
            over = exceeded(whole, "", everybody, wanted)
        over = over or exceeded(self.quota(client), client, mine, wanted)
        if over is None or over.wanted > over.most:
            return over
        before = (mine if over.client else everybody).segments
        return replace(over, retry_after=min(60 * SECOND, max(SECOND, before * pace // 2)))


def usage(job: Job) -> Usage:
    """What a job takes: running, or ended with its logs kept. Counted once for each revision of a running job."""
    if job.state != RUNNING:
        return Usage(0, 0, job.witness_bytes)
    if job.usage is None or job.usage[0] != job.revision:
        pending = sum(s.state not in ENDED_STATES for s in job.segments)
        job.usage = job.revision, Usage(1, pending, job.witness_bytes)
    return job.usage[1]


def wanted_again(job: Job) -> Usage:
    """What an ended job takes that goes again: its leaf proofs stay, and what is kept of its witnesses counts
    already."""
    left = [s.circuit.wires for s in job.segments if s.leaf is None]
    size = 0 if job.placement not in WITNESS_PLACEMENTS else 33 * sum(left) - job.witness_bytes
    return Usage(1, len(left), max(0, size))


def add(a: Usage, b: Usage) -> Usage:
    """Both together."""
    return Usage(a.jobs + b.jobs, a.segments + b.segments, a.backlog_bytes + b.backlog_bytes)


class BatchCause(StrEnum):
    """Why a batch was closed; kept with the batch."""

    SIZE = "size"
    AGE = "age"
    JOB = "job"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """Leaf proofs of one verification key to be verified together, in order of arrival."""

    key: bytes
    members: tuple[SegmentKey, ...]
    cause: BatchCause
    opened_nanos: int


@dataclass(slots=True)
class _OpenBatch:
    opened_nanos: int
    members: list[SegmentKey] = field(default_factory=list)


class BatchPolicy:
    """Gathers leaf proofs by verification key. A batch closes on size, on age, or when its job waits for nothing else.

    Deterministic: the same calls with the same times close the same batches.
    """

    def __init__(self, max_size: int, max_age_nanos: int) -> None:
        self._max_size = max_size
        self._max_age = max_age_nanos
        self._open: dict[bytes, _OpenBatch] = {}

    def add(self, key: bytes, member: SegmentKey, now: int) -> list[ClosedBatch]:
        """Adds one proof; gives its batch if that is full."""
        batch = self._open.setdefault(key, _OpenBatch(now))
        batch.members.append(member)
        return [self._close(key, BatchCause.SIZE)] if len(batch.members) >= self._max_size else []

    def complete(self, job_id: bytes) -> list[ClosedBatch]:
        """All leaf proofs of a job are there: closes every batch that holds one of them."""
        keys = [k for k, b in self._open.items() if any(job == job_id for job, _ in b.members)]
        return [self._close(k, BatchCause.JOB) for k in keys]

    def tick(self, now: int) -> list[ClosedBatch]:
        """Closes what is old enough."""
        keys = [k for k, b in self._open.items() if now - b.opened_nanos >= self._max_age]
        return [self._close(k, BatchCause.AGE) for k in keys]

    def drain(self) -> list[ClosedBatch]:
        """Closes everything."""
        return [self._close(k, BatchCause.DRAIN) for k in list(self._open)]

    def drop(self, members: Iterable[SegmentKey]) -> None:
        """Forgets proofs that nobody wants any more (a cancelled job's)."""
        gone = set(members)
        for key, batch in list(self._open.items()):
            batch.members = [m for m in batch.members if m not in gone]
            if not batch.members:
                del self._open[key]

    def next_deadline(self) -> int | None:
        """When `tick` will close something, if anything is open."""
        return min((b.opened_nanos + self._max_age for b in self._open.values()), default=None)

    def _close(self, key: bytes, cause: BatchCause) -> ClosedBatch:
        batch = self._open.pop(key)
        return ClosedBatch(key, tuple(batch.members), cause, batch.opened_nanos)
