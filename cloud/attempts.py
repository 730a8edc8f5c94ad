"""What was tried for one segment and how it went: what the budget is counted by, and what a quarantine says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from google.rpc import status_pb2

from .errors import ABORTED, make_status

QUARANTINE_REASON = "SEGMENT_QUARANTINED"
"""Reason (google.rpc.ErrorInfo) of a segment that is not tried again before somebody requeues its job."""


class Outcome(IntEnum):
    """How an attempt ended that made no proof. Values are stored."""

    FAILED = 1
    """The worker erred, or its proof does not verify. Spends the budget."""
    CLAIMED = 2
    """The worker blames the witness, and nothing here can confirm it. Spends the budget."""
    LOST = 3
    """The worker was gone before it ended. Spends nothing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt."""

    outcome: Outcome
    worker: bytes
    """Its id."""
    name: str
    """What people call the worker, or the stage that refused the proof."""
    error: status_pb2.Status | None
    unix_nanos: int = 0
    """When it ended."""


def failures(attempts: Sequence[Attempt]) -> int:
    """Attempts that spent the budget."""
    return sum(a.outcome is not Outcome.LOST for a in attempts)


def losses_in_a_row(attempts: Sequence[Attempt]) -> int:
    """Workers lost since an attempt last ended otherwise."""
    count = 0
    while count < len(attempts) and attempts[-1 - count].outcome is Outcome.LOST:
        count += 1
    return count


def quarantine(index: int, attempts: Sequence[Attempt]) -> status_pb2.Status:
    """Why a segment is not tried again: ABORTED, with every attempt, a line each, in the details."""
    lost = losses_in_a_row(attempts)
    why = (
        f"{lost} workers in a row were lost while they worked on it"
        if lost
        else f"{failures(attempts)} attempts failed"
    )
    return make_status(
        ABORTED,
        f"segments[{index}]: quarantined: {why}",
        reason=QUARANTINE_REASON,
        field=f"segments[{index}]",
        attempts="\n".join(f"{i}: {_line(a)}" for i, a in enumerate(attempts, 1)),
    )


def _line(attempt: Attempt) -> str:
    said = f": {attempt.error.message[:256]}" if attempt.error is not None else ""
    return f"{attempt.name}: {attempt.outcome.name.lower()}{said}"
