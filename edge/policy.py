"""The edge's choices that have no single right answer, as pure functions: waits, and what to do first."""

from __future__ import annotations

from collections.abc import Iterable

from .model import Job, JobState, Segment, SegmentState

SECOND = 1_000_000_000

FIRST_BACKOFF = SECOND // 5
LONGEST_BACKOFF = 20 * SECOND
RESEND_AFTER = 30 * SECOND
"""A chunk that was neither acked nor refused for this long is sent again (doubled with every repetition)."""
MAX_RESENDS = 8
"""Refusals of one segment without progress before it is given up."""
MAX_OPENS = 8
"""Refused OpenJobs in a row before the job is given up; farewells sent to a cloud that does not answer."""


def backoff(attempt: int, jitter: float) -> int:
    """Nanoseconds to wait before attempt `attempt` (1, 2 …): doubling from 0.2 s to 20 s, times 0.5 + jitter / 2.

    jitter is uniform in [0, 1): a cloud that comes back is not met by all its edges at once.
    """
    wait = min(LONGEST_BACKOFF, FIRST_BACKOFF << min(max(attempt, 1) - 1, 16))
    return int(wait * (0.5 + jitter / 2))


def next_to_witness(jobs: Iterable[Job]) -> tuple[Job, Segment] | None:
    """The queued segment to begin next: of the job with the fewest segments at work, then the oldest; lowest index.

    A large job so shares the workers with a small one that came later. O(segments).
    """
    best: tuple[int, int] | None = None
    choice: tuple[Job, Segment] | None = None
    for job in jobs:
        if job.state is not JobState.RUNNING:
            continue
        first = next((s for s in job.segments if s.state is SegmentState.QUEUED and not s.working), None)
        if first is None:
            continue
        rank = (sum(s.working for s in job.segments), job.order)
        if best is None or rank < best:
            best, choice = rank, (job, first)
    return choice


def retry_after(queued_segments: int, workers: int, mean_witness: int) -> int:
    """Nanoseconds until about half of the queue is worked off: what a refused client is told to wait; 1 s to 60 s."""
    return min(60 * SECOND, max(SECOND, queued_segments * mean_witness // (2 * workers)))
