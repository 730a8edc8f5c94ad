"""Decisions apart from I/O: what credit to give back, whom to admit, when a batch closes. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from .model import SegmentKey


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
