"""The edge's choices that have no single right answer, as pure functions: waits, and what to do first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybrid_prover.admission.fairness import FairShare

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
FIRST_WINDOW = 256 << 10
"""Bytes of split jobs in flight while nothing is known of the uplink."""
PARTIAL_MARGIN = 1.25
"""A partial is begun only if its chunk's turn comes this many times later than the partial is expected."""


def backoff(attempt: int, jitter: float) -> int:
    """Nanoseconds to wait before attempt `attempt` (1, 2 …): doubling from 0.2 s to 20 s, times 0.5 + jitter / 2.

    jitter is uniform in [0, 1): a cloud that comes back is not met by all its edges at once.
    """
    wait = min(LONGEST_BACKOFF, FIRST_BACKOFF << min(max(attempt, 1) - 1, 16))
    return int(wait * (0.5 + jitter / 2))


Rank = tuple[bool, tuple[float, int], int, int, int]


def next_to_witness(jobs: Iterable[Job], fair: FairShare, now: int) -> tuple[Job, Segment] | None:
    """The queued segment to begin next: of an urgent job, then of the client whose turn it is by wires witnessed; of
    its jobs the one of the highest priority, then with the fewest segments at work, then the oldest; lowest index.

    A large job so shares the workers with a small one that came later, and a client with many jobs with one that has
    few. Jobs past their deadline, and those that the cloud has no room for, wait. O(segments).
    """
    best: Rank | None = None
    choice: tuple[Job, Segment] | None = None
    for job in jobs:
        if job.state is not JobState.RUNNING or job.late(now) or (job.turned_away and not job.private):
            continue
        first = next((s for s in job.segments if s.state is SegmentState.QUEUED and not s.working), None)
        if first is None:
            continue
        share, working = job.share, sum(s.working for s in job.segments)
        rank = (not share.urgent, fair.rank(share.client), -share.priority, working, job.order)
        if best is None or rank < best:
            best, choice = rank, (job, first)
    return choice


def retry_after(queued_segments: int, workers: int, mean_witness: int) -> int:
    """Nanoseconds until about half of the queue is worked off: what a refused client is told to wait; 1 s to 60 s."""
    return min(60 * SECOND, max(SECOND, queued_segments * mean_witness // (2 * workers)))


def least_time(fastest: Sequence[int], workers: int) -> int:
    """Nanoseconds that a job takes at the very least: its segments, each as fast as its like ever was (0 where that is
    not known), on all workers at once with nothing else to do. What comes after the witnesses is taken for nothing."""
    return max(max(fastest, default=0), sum(fastest) // workers)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A chunk that waits for its turn on the uplink."""

    size: int
    """Payload bytes."""
    nanos: float | None
    """What computing its partial takes; None if it has one or shall have none."""


def chunk_for_partial(waiting: Iterable[Waiting], rate: float, room: int) -> int | None:
    """Which of the chunks, given in the order of sending, to compute a partial for next: the first that gains by it.

    That is the first whose turn comes no sooner than `PARTIAL_MARGIN` times what its partial takes: the bytes that must
    have arrived before its turn (all up to it, less the `room` in the uplink) at `rate` bytes a second. Earlier ones
    leave without. So a partial is made where this machine's sums are faster than its uplink, chunk by chunk, and delays
    nothing as far as what was measured holds. None if there is none such. O(chunks up to the answer).
    """
    ahead = -room
    for index, chunk in enumerate(waiting):
        ahead += chunk.size
        if chunk.nanos is not None and ahead > 0 and ahead * SECOND >= rate * chunk.nanos * PARTIAL_MARGIN:
            return index
    return None


def send_window(rate: float | None, trip: int, largest: int, chunk: int) -> int:
    """Bytes in flight up to which a chunk is sent at once: bytes a second, nanoseconds there and back, bytes of the
    largest chunk in flight and of this one.

    Behind the largest chunk follows what the uplink carries until that one's ack is here: it never idles for want of
    bytes. Twice that, since a rate that was measured too low, for want of bytes, then doubles with each trip until it
    is the true one.
    """
    if rate is None:
        return max(FIRST_WINDOW, largest + chunk)
    return largest + chunk + int(2 * rate * trip / SECOND)
