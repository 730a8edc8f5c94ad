"""The stages of a segment's life, what each of them is (waiting, work or transfer), and how long it took of late."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What a stage spends its time on; numbers as in `hybrid_prover.v1.StageKind`."""

    WAIT = 1
    COMPUTE = 2
    TRANSFER = 3


KINDS: Final[Mapping[str, Kind]] = {
    "edge_queue": Kind.WAIT,
    "witness": Kind.COMPUTE,
    "partials": Kind.COMPUTE,
    "upload": Kind.TRANSFER,
    "prove": Kind.COMPUTE,
    "queue": Kind.WAIT,
    "accumulate": Kind.COMPUTE,
    "quotient": Kind.COMPUTE,
    "finish": Kind.COMPUTE,
    "batch": Kind.WAIT,
    "verify": Kind.COMPUTE,
    "assembly_queue": Kind.WAIT,
    "commit": Kind.COMPUTE,
    "stage1": Kind.COMPUTE,
    "wrap": Kind.COMPUTE,
}
"""Every stage that is known, in the order of a segment's life, then of its job's assembly; others count as work."""

SUMMED: Final = frozenset({"partials", "queue", "accumulate", "commit", "stage1", "wrap"})
"""Stages whose duration is the sum of intervals with other stages between them."""

WINDOW_SECONDS: Final = 600.0
WINDOW_SIZE: Final = 1024


def kind_of(stage: str) -> Kind:
    """What a stage spends its time on."""
    return KINDS.get(stage, Kind.COMPUTE)


@dataclass(frozen=True, slots=True)
class Summary:
    """How long something took of late, in seconds; and how often and how long since the process began."""

    stage: str
    kind: Kind
    recent: int
    p50: float
    p95: float
    longest: float
    count: int
    seconds: float


class Window:
    """Durations of the last ten minutes, at most 1,024 of them. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=WINDOW_SIZE)
        self.count = 0
        self.seconds = 0.0

    def add(self, seconds: float, now: float | None = None) -> None:
        """Takes one duration; `now` on the monotonic clock."""
        self._seen.append((time.monotonic() if now is None else now, seconds))
        self.count += 1
        self.seconds += seconds

    def summary(self, stage: str, now: float | None = None) -> Summary:
        """Nearest-rank percentiles of what is recent; zeros where nothing is. O(n log n), n at most 1,024."""
        since = (time.monotonic() if now is None else now) - WINDOW_SECONDS
        recent = sorted(seconds for when, seconds in self._seen if when >= since)
        p50, p95, longest = (recent[rank(len(recent), q)] if recent else 0.0 for q in (0.5, 0.95, 1.0))
        return Summary(stage, kind_of(stage), len(recent), p50, p95, longest, self.count, self.seconds)


def rank(count: int, quantile: float) -> int:
    """Index of the nearest-rank quantile among `count` sorted values."""
    return max(0, min(count - 1, -int(-(count * quantile) // 1) - 1))


class RecentRate:
    """How often something happened in the last minute, in buckets of a second. Not thread-safe."""

    SECONDS: Final = 60

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self.total = 0

    def add(self, count: int = 1, now: float | None = None) -> None:
        """It happened `count` times."""
        second = int(time.monotonic() if now is None else now)
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + count)
        else:
            self._buckets.append((second, count))
            self._forget(second)
        self.total += count

    def last_minute(self, now: float | None = None) -> int:
        """How often in the last 60 seconds."""
        self._forget(int(time.monotonic() if now is None else now))
        return sum(count for _, count in self._buckets)

    def _forget(self, second: int) -> None:
        while self._buckets and self._buckets[0][0] <= second - self.SECONDS:
            self._buckets.popleft()


class Words:
    """Lets at most `limit` different strings become label values; any further one is `other`.

    What comes from outside may never make new time series without a bound. Words are cut to 48 characters.
    """

    def __init__(self, *known: str, limit: int = 32) -> None:
        self._known = set(known)
        self._limit = max(limit, len(known))

    def __call__(self, word: str) -> str:
        word = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in word[:48]) or "none"
        if word not in self._known:
            if len(self._known) >= self._limit:
                return "other"
            self._known.add(word)
        return word

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known))
